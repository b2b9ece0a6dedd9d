"""Tests for nodes, ids, names, replies, busy nodes, and the end of nodes."""

from __future__ import annotations

from errno import EADDRINUSE, EINVAL, ENETDOWN, ENOBUFS, ENOENT, EPERM

from ngksock.netgraph import Batch, Hook, Item, Message, Node, Packet
from ngksock.netgraph.message import RESPONSE
from ngksock.plugin import NodeType
from tests.netgraph.rig import READS, GraphTests, Life, life_type

COOKIE = 4711


class IdTests(GraphTests):
    def test_ascending(self) -> None:
        """Ids count from 1, are not used again, and order the graph."""
        self.ngctl("mkpeer hub a a", "mkpeer hub b b", "rmhook b", "mkpeer hub c c")
        self.assertEqual([1, 2, 4], [node.id for node in self.graph])

    def test_wrap(self) -> None:
        """After 2**32 - 1 comes 1, ids in use left out."""
        self.graph._last_id = 0xFFFFFFFE
        self.ngctl("mkpeer hub a a", "mkpeer hub b b", "mkpeer hub c c")
        ids = [self.hook(name).peer.node.id for name in "abc"]
        self.assertEqual([0xFFFFFFFF, 2, 3], ids)

    def test_two_graphs(self) -> None:
        """Several graphs live in one process and know nothing of each other."""
        other = IdTests("test_two_graphs")
        other.setUp()
        self.ngctl("mkpeer hub a a", "name a same")
        other.ngctl("mkpeer hub a a", "name a same")
        self.assertIsNot(self.node("same:"), other.node("same:"))

    def test_types(self) -> None:
        """A type is looked up once, counted by its living nodes, and ENOENT if unknown."""
        self.ngctl("mkpeer hub a a", "mkpeer hub b b")
        self.kinds.clear()
        self.ngctl("mkpeer hub c c", "rmhook a")
        self.assertEqual({"socket": 1, "hub": 2}, self.graph.living)
        self.assertEqual(ENOENT, self.errno("mkpeer tee d d"))
        self.assertEqual(["socket", "hub"], list(self.graph.types))


class NameTests(GraphTests):
    def test_rename(self) -> None:
        """A name may be replaced; the old one is free then."""
        self.ngctl("mkpeer hub a a", "name a one", "name one: two", "mkpeer hub b b", "name b one")
        self.assertEqual(["me", "one", "two"], sorted(self.graph.names))
        self.assertEqual(ENOENT, self.errno("name three: x"))

    def test_same_name(self) -> None:
        """The name it has is no error, and neither is none for none (PR 241954)."""
        self.ngctl("name . me")
        self.graph.rename(self.graph.make(self.graph.type("hub")), "")
        self.assertRaises(OSError, self.graph.rename, self.me, "")

    def test_taken(self) -> None:
        """Another's name is EADDRINUSE, and nothing changes."""
        self.ngctl("mkpeer hub a a", "name a one")
        self.assertEqual(EADDRINUSE, self.errno("name . one"))
        self.assertEqual("me", self.me.name)

    def test_repr(self) -> None:
        """A node is shown by its name, else by its id."""
        self.ngctl("mkpeer hub a a")
        self.assertEqual(("me", "[2]"), (repr(self.me), repr(self.node("a"))))


class Asked(Node):
    """Answers, fails or both, as ``answer`` and ``error`` say."""

    answer: bytes | None = None
    error: Exception | None = None

    def rcvmsg(self, item: Item, lasthook: Hook | None) -> None:
        if self.answer is not None:
            self.graph.reply(item, self.answer)
        if self.error is not None:
            raise self.error


class ReplyTests(GraphTests):
    def setUp(self) -> None:
        super().setUp()
        self.add(NodeType("asked", COOKIE, Asked))
        self.ngctl("mkpeer asked x in", "name x asked")
        self.asked = self.node("asked:")

    def test_reply(self) -> None:
        """A reply has token, cookie, number and cmdstr of the request, and the sender's id."""
        self.asked.answer = b"yes"
        self.graph.send(self.me, "asked:", Message(COOKIE, 5, b"?", 99, cmdstr="quest"))
        (item,) = self.inbox
        self.assertEqual(Message(COOKIE, 5, b"yes", 99, RESPONSE, "quest"), item.message)
        self.assertEqual(self.asked.id, item.source)

    def test_error_and_reply(self) -> None:
        """Of an error and a reply only the reply counts, also when the error is a bug."""
        self.asked.answer = b"yes"
        for error in (OSError(EPERM, ""), ZeroDivisionError()):
            self.asked.error = error
            self.assertEqual(b"yes", self.ask("asked:", 5, cookie=COOKIE))
        self.assertEqual(1, len(self.reports))

    def test_error(self) -> None:
        """An error alone is the sender's errno, a bug EINVAL and told to the operator."""
        self.asked.error = OSError(EPERM, "no")
        self.assertEqual(EPERM, self.tell("asked:", 5, cookie=COOKIE))
        self.asked.error = ZeroDivisionError()
        self.assertEqual(EINVAL, self.tell("asked:", 5, cookie=COOKIE))
        self.assertEqual([("asked node asked failed", self.asked.error)], self.reports)

    def test_delivered_before_return(self) -> None:
        """The reply is there when send returns, and not before the target has returned."""
        order: list[str] = []
        self.me.on_message = lambda item: order.append("reply")

        class Slow(Asked):
            def rcvmsg(self, item: Item, lasthook: Hook | None) -> None:
                self.graph.reply(item, b"")
                order.append("target returns")

        self.add(NodeType("slow", 1, Slow))
        self.ngctl("mkpeer slow y y")
        self.tell("y", 1, cookie=1)
        order.append("send returns")
        self.assertEqual(["target returns", "reply", "send returns"], order)

    def test_refused_reply(self) -> None:
        """A requester that cannot take the reply makes the send fail with its error (§3.4)."""

        def full(item: Item) -> None:
            raise OSError(ENOBUFS, "full")

        self.me.on_message = full
        self.asked.answer = b"yes"
        self.assertEqual(ENOBUFS, self.tell("asked:", 5, cookie=COOKIE))
        self.me.on_message = None
        self.assertEqual(EINVAL, self.tell("asked:", 5, cookie=COOKIE))

    def test_requester_gone(self) -> None:
        """If the requester ends before its reply comes, the send fails with EINVAL."""
        self.asked.answer = b"yes"
        gone = self.socket("gone")
        gone.on_message = self.inbox.append

        class Cruel(Asked):
            def rcvmsg(self, item: Item, lasthook: Hook | None) -> None:
                super().rcvmsg(item, lasthook)
                self.graph.rmnode(gone)

        self.add(NodeType("cruel", 1, Cruel))
        self.ngctl("mkpeer cruel y y")
        self.node("y").answer = b"yes"
        error = self.assertRaises(OSError, self.graph.send, gone, "me:y", Message(1, 1))
        self.assertEqual((EINVAL, 0), (error.errno, len(self.inbox)))
        error = self.assertRaises(OSError, self.graph.send, gone, "asked:", Message(1, 1))
        self.assertEqual(EINVAL, error.errno)

    def test_through_a_hook(self) -> None:
        """A node may send through a hook; the arrival hook is the far one."""
        log: list[str] = []
        self.add(life_type("n", log))
        self.ngctl("mkpeer n y in")
        self.graph.send_hook(self.hook("y"), Message(COOKIE, 5))
        self.graph.send(self.me, "y", Message(COOKIE, 6))
        self.graph.send(self.me, f"[{self.node('y').id:x}]:", Message(COOKIE, 7))
        self.assertEqual(["rcvmsg n 5 in", "rcvmsg n 6 in", "rcvmsg n 7 None"], log[-3:])

    def test_through_a_dead_hook(self) -> None:
        """Through a hook that went, or to a node that is about to, it is ENETDOWN (§4.4)."""
        hook = self.hook("x")
        self.graph.work.enter()
        self.graph.rmnode_self(self.asked)
        error = self.assertRaises(OSError, self.graph.send_hook, hook, Message(COOKIE, 5))
        self.assertEqual(ENETDOWN, error.errno)
        error = self.assertRaises(
            OSError, self.graph.deliver, self.asked, Item(Message(COOKIE, 5), 1)
        )
        self.assertEqual(EINVAL, error.errno)
        self.graph.work.leave()
        error = self.assertRaises(OSError, self.graph.send_hook, hook, Message(COOKIE, 5))
        self.assertEqual(ENETDOWN, error.errno)


class BusyTests(GraphTests):
    """Messages to a node whose code is running, or that has others waiting."""

    def setUp(self) -> None:
        super().setUp()
        self.log: list[str] = []
        self.add(*(life_type(label, self.log) for label in "nk"))
        self.ngctl("mkpeer n x in", "name x n", "mkpeer k y in", "name y k")
        self.log.clear()
        self.n: Life = self.node("n:")
        self.k: Life = self.node("k:")

    def told(self) -> list[str]:
        return [line for line in self.log if line.startswith("rcvmsg")]

    def test_to_itself(self) -> None:
        """What a node sends itself waits until it has returned; the sender sees success."""

        def again() -> None:
            self.n.during.clear()
            for cmd in (2, 3 | READS, 4):
                self.graph.send(self.n, ".", Message(COOKIE, cmd))
            self.log.append("returned")

        self.n.during["rcvmsg"] = again
        self.tell("n:", 1, cookie=COOKIE)
        self.assertEqual(
            ["rcvmsg n 1 None", "returned", "rcvmsg n 2 None",
             f"rcvmsg n {3 | READS} None", "rcvmsg n 4 None"], self.log)  # fmt: skip

    def test_no_overtaking(self) -> None:
        """A message waits behind those that wait, readers and idle targets included."""

        def first() -> None:
            self.k.during.clear()
            self.graph.send(self.k, ".", Message(COOKIE, 1))  # busy: it waits

        self.k.during["rcvmsg"] = first
        self.graph.work.enter()
        for cmd in (0, 2 | READS, 3):
            self.graph.send(self.me, "k:", Message(COOKIE, cmd))
        self.graph.work.leave()
        self.assertEqual([f"rcvmsg k {cmd} None" for cmd in (0, 1, 2 | READS, 3)], self.told())

    def test_error_late(self) -> None:
        """The error of a message that waited reaches nobody, and harms nobody."""

        def again() -> None:
            self.n.during.clear()
            self.n.refuse["rcvmsg n"] = OSError(EPERM, "")
            self.graph.send(self.n, ".", Message(COOKIE, 2))

        self.n.during["rcvmsg"] = again
        self.assertEqual(EPERM, self.tell("n:", 1, cookie=COOKIE))
        self.assertEqual(2, len(self.told()))

    def test_arrival_hook_gone(self) -> None:
        """An arrival hook that went while the message waited is forgotten (§5.9)."""

        def again() -> None:
            self.n.during.clear()
            self.graph.send(self.me, "x", Message(COOKIE, 2))
            self.graph.rmhook(self.hook("x"))

        self.n.during["rcvmsg"] = again
        self.ngctl("connect me: n: z z")
        self.tell("n:", 1, cookie=COOKIE)
        self.assertEqual(["rcvmsg n 1 None", "rcvmsg n 2 None"], self.told())

    def test_discarded(self) -> None:
        """What waits for a node that ends is discarded."""

        def again() -> None:
            self.graph.send(self.n, ".", Message(COOKIE, 2))
            self.graph.rmnode_self(self.n)

        self.n.during["rcvmsg"] = again
        self.tell("n:", 1, cookie=COOKIE)
        self.assertEqual(1, len(self.told()))
        self.assert_whole()

    def test_errno_when_others_wait(self) -> None:
        """A sender outside of any call learns the errno even if others wait before it."""
        self.graph._queue(self.n, Item(Message(COOKIE, 1), 1), None)
        self.n.refuse["rcvmsg n"] = OSError(EPERM, "")
        self.assertEqual(EPERM, self.tell("n:", 2, cookie=COOKIE))


class EndTests(GraphTests):
    def setUp(self) -> None:
        super().setUp()
        self.log: list[str] = []
        self.add(life_type("n", self.log))
        self.ngctl("mkpeer n x in", "name x n")
        self.log.clear()
        self.n: Life = self.node("n:")

    def test_once(self) -> None:
        """However often a node is destroyed, from wherever, it ends once."""

        def again() -> None:
            self.graph.rmnode(self.n)
            self.graph.rmnode_self(self.n)

        self.n.during = dict.fromkeys(("close", "disconnect", "shutdown"), again)
        self.graph.rmnode(self.n)
        self.graph.rmnode(self.n)
        self.graph.rmnode_self(self.n)
        self.assertEqual(["close n", "disconnect n in", "shutdown n"], self.log)
        self.assert_whole()

    def test_in_its_own_calls(self) -> None:
        """A node may end within its own rcvdata, rcvmsg or disconnect, at once or soon."""
        for how in (self.graph.rmnode, self.graph.rmnode_self):
            for callback in ("rcvdata", "rcvmsg", "disconnect"):
                self.ngctl("mkpeer n y in")
                node = self.node("y")
                node.during[callback] = lambda node=node, how=how: how(node)
                if callback == "rcvdata":
                    self.send("y", "a")
                elif callback == "rcvmsg":
                    self.tell("y", 1, cookie=COOKIE)
                else:
                    self.ngctl("rmhook y")
                self.assertEqual((False, True), (node.valid, node.closing), callback)
                self.assertNotIn("y", self.me.hooks)
                self.assert_whole()

    def test_callbacks_fail(self) -> None:
        """Bugs in close, disconnect and shutdown are told, and the node ends all the same."""
        for callback in ("close", "disconnect", "shutdown"):
            self.n.refuse[f"{callback} n"] = KeyError(callback)
        self.ngctl("shutdown n:")
        self.assertEqual([("n node n failed", KeyError)], [(t, type(e)) for t, e in self.reports])
        self.assertEqual({}, self.graph.bugs)
        self.assert_whole()

    def test_bug_after_the_end(self) -> None:
        """A node that ends itself and then fails leaves no trace in the count of bugs."""
        self.n.during["rcvdata"] = lambda: self.graph.rmnode(self.n)
        self.n.refuse["rcvdata n"] = KeyError()
        self.send("x", "a")
        self.assertEqual((1, {}), (len(self.reports), self.graph.bugs))

    def test_watched(self) -> None:
        """Who watches a node is called when it is gone."""
        ends: list[tuple[Node, bool]] = []
        self.n.watch(lambda node: ends.append((node, "n" in self.graph.names)))
        self.ngctl("shutdown n:")
        self.assertEqual([(self.n, False)], ends)

    def test_revive(self) -> None:
        """A node whose shutdown says so stays, with id and name, without hooks (§5.6)."""
        self.n.stay = True
        self.ngctl("shutdown n:")
        self.assertEqual((self.n, {}), (self.node("n:"), self.n.hooks))
        self.assertIs(self.n, self.graph.nodes[self.n.id])
        self.assertEqual(1, self.graph.living["n"])
        self.ngctl("connect . n: x again")
        self.send("x", "a")
        self.assertIn("rcvdata n a", self.log)
        self.n.stay = None
        self.ngctl("shutdown n:")
        self.assert_whole()

    def test_revive_without_its_name(self) -> None:
        """If somebody took its name meanwhile it stays without one."""
        self.n.stay = True
        self.n.during["close"] = lambda: self.graph.rename(self.me, "n")
        self.ngctl("shutdown n:")
        self.assertEqual(("", self.me), (self.n.name, self.graph.names["n"]))
        self.assert_whole()

    def test_only_true_revives(self) -> None:
        """Anything but True lets it end."""
        for value in (False, None, 1, "yes"):
            self.n.stay = value  # type: ignore[assignment]
            self.graph.rmnode(self.n)
            self.assertNotIn(self.n.id, self.graph.nodes)
            self.ngctl("mkpeer n x in")
            self.n = self.node("x")

    def test_close(self) -> None:
        """The end of the graph ends all nodes, the youngest first."""
        self.ngctl("mkpeer n y in", "mkpeer n: n out in")
        ends: list[int] = []
        for node in self.graph:
            node.watch(lambda node: ends.append(node.id))
        self.graph.close()
        self.assertEqual(([4, 3, 2, 1], [], {}), (ends, list(self.graph), self.graph.names))
        self.assert_whole()

    def test_hooks_made_while_closing(self) -> None:
        """No hook survives its node, also not one that was waiting to be removed."""
        self.ngctl("connect n: n: a b", "connect n: me: c c")

        def unhook() -> None:
            for hook in list(self.n.hooks.values()):
                self.graph.rmhook(hook)

        self.n.during["disconnect"] = unhook
        self.ngctl("shutdown n:")
        self.assertEqual(({}, {}), (self.n.hooks, self.me.hooks))
        self.assert_whole()

    def test_data_while_closing(self) -> None:
        """A node that closes may still send, and receives nothing any more."""

        def last_words() -> None:
            self.n.hooks["in"].send_data(Packet(b"bye"))
            self.hook("x").send_batch(Batch([Packet(b"?")]))

        self.n.during["close"] = last_words
        self.ngctl("shutdown n:")
        self.assertEqual([("x", "bye")], self.got)
        self.assertNotIn("rcvdata n ?", self.log)
