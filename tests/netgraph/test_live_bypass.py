"""Taking a node out of a live edge, and the order of what is under way meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from errno import EBUSY, EINVAL, ENOENT, ENOTCONN
from typing import Any

from ngksock.netgraph import Batch, Hook, Node, Packet
from ngksock.netgraph.message import CONTROL_COOKIE
from ngksock.netgraph.worklist import DEPTH
from ngksock.plugin import NodeType
from tests.netgraph.test_live import IN_OUT, OUT_OF, LiveTests, Seer


class BypassTests(LiveTests):
    """Taking a node out again."""

    def setUp(self) -> None:
        super().setUp()
        self.insert()
        self.mid = self.node("mid:")
        self.log.clear()

    def test_bypassed(self) -> None:
        """Only the node that goes is told; the outer ones face each other again."""
        self.ngctl(f"msg mid: {OUT_OF}")
        self.assertEqual(["disconnect mid left", "disconnect mid right"], self.noted())
        self.assertEqual({}, self.mid.hooks)
        self.graph.rmnode(self.mid)
        self.assert_linked()

    def test_ends_with_its_hooks(self) -> None:
        """A node whose type ends with its last hook ends; one that has more of them lives."""
        for more, lives in (((), False), (("connect . two:in tap left2right",), True)):
            self.ngctl('msg two: insert { hook="in" type="tee" in="right" out="left" name="t" }')
            self.ngctl(*more)
            self.ngctl('msg t: bypass { in="right" out="left" }')
            self.assertEqual(lives, "t" in self.graph.names)
            self.assertEqual(["a"], self.sends("a"))
        self.ngctl("shutdown t:")
        self.assert_whole()

    def test_refused(self) -> None:
        """No such hook, one hook twice, hooks that face each other, and types that say no."""
        self.ngctl("connect mid: mid: a b")
        for errno, text in (
            (ENOENT, 'bypass { in="left" out="wrong" }'),
            (ENOENT, 'bypass { in="wrong" out="right" }'),
            (ENOENT, 'bypass { in="" out="right" }'),
            (EINVAL, 'bypass { in="left" out="left" }'),
            (EINVAL, 'bypass { in="a" out="b" }'),
        ):
            self.assertEqual(errno, self.errno(f"msg mid: {text}"), text)
        for error, errno in ((OSError(EBUSY, "full"), EBUSY), (KeyError("bug"), EINVAL)):
            self.patch(self.mid, "rcvbypass", self.raiser(error))
            self.assertEqual(errno, self.errno(f"msg mid: {OUT_OF}"))
        self.ngctl("rmhook mid: a")
        self.assertEqual(["a"], self.sends("a"))
        self.assertEqual([], self.warned)
        self.assert_whole()

    def raiser(self, error: Exception) -> Callable[[Hook, Hook], None]:
        def fail(one: Hook, other: Hook) -> None:
            raise error

        return fail

    def test_asked_first(self) -> None:
        """What the node sends on when it is asked arrives before all that is sent later."""

        def release(one: Hook, other: Hook) -> None:
            other.send_data(Packet(b"held"))
            one.send_data(Packet(b"held back"))

        self.patch(self.mid, "rcvbypass", release)
        self.ngctl(f"msg mid: {OUT_OF}")
        self.assertEqual("rcvdata two held", self.noted()[0])
        self.assertEqual([("x", "held back")], self.got)
        self.graph.rmnode(self.mid)
        self.assert_linked()

    def test_loses_a_hook_as_it_is_asked(self) -> None:
        """A node that removes its hook when asked refuses: ENOTCONN."""
        self.patch(self.mid, "rcvbypass", lambda one, other: self.graph.rmhook(other))
        self.assertEqual(ENOTCONN, self.errno(f"msg mid: {OUT_OF}"))
        self.assert_whole()

    def test_one_node(self) -> None:
        """A node whose two hooks lead to hooks of one other leaves that linked to itself."""
        self.ngctl("connect one: mid: y z", 'msg mid: bypass { in="left" out="z" }')
        self.assertIs(self.one.hooks["y"], self.out.peer)
        self.assert_whole()

    def test_own_hook(self) -> None:
        """Where a third hook of its own is beyond, that is joined."""
        self.ngctl("connect mid: mid: a b", 'msg mid: bypass { in="a" out="right" }')
        self.assertIs(self.mid.hooks["b"], self.into.peer)
        self.assert_whole()

    def test_within_rcvdata(self) -> None:
        """From within the delivery of a batch the edit waits until all of that is passed on."""
        for label in ("one", "mid", "two"):
            node = self.node(f"{label}:")

            def edit(node: Any = node) -> None:
                node.during.clear()
                self.ngctl(f"msg mid: {OUT_OF}")
                self.assertIn("left", self.node("mid:").hooks)

            node.during["rcvdata"] = edit
            self.noted()
            self.send_batch("x", "a", "b", "c")
            got = [line[12:] for line in self.noted() if line.startswith("rcvdata two")]
            self.assertEqual(["a", "b", "c"], got, label)
            self.graph.rmnode(self.node("mid:"))
            self.assert_linked()
            self.insert()

    def test_by_an_onlooker(self) -> None:
        """An onlooker that takes its tee away gets the packet, and so does who it was meant for."""
        self.ngctl('msg one: insert { hook="out" type="tee" in="left" out="right" name="t" }')
        self.ngctl("connect . t: look left2right")

        def take_away(hook: Hook, packet: Packet) -> None:
            self.ngctl('msg t: bypass { in="left" out="right" }')

        self.me.on_data = take_away
        self.send_batch("x", "a", "b")
        got = [line[12:] for line in self.noted() if line.startswith("rcvdata two")]
        self.assertEqual(["a", "b"], got)
        self.assertEqual(["left2right"], list(self.node("t:").hooks))

    def test_ended_by_an_onlooker(self) -> None:
        """So does one that ends the tee; what is sent meanwhile goes past it."""
        self.ngctl('msg one: insert { hook="out" type="tee" in="left" out="right" name="t" }')

        def end(hook: Hook, packet: Packet) -> None:
            self.ngctl("shutdown t:")

        self.me.on_data = end
        for send in (self.send, self.send_batch):
            self.ngctl("connect . t: look left2right")
            self.noted()
            send("x", "a", "b")
            got = [line[12:] for line in self.noted() if line.startswith("rcvdata two")]
            self.assertEqual(["a", "b"], got)
            self.assertNotIn("t", self.graph.names)
            self.ngctl('msg one: insert { hook="out" type="tee" in="left" out="right" name="t" }')
        self.assertEqual({}, self.out.drops)
        self.assert_whole()


class OrderTests(LiveTests):
    """What waits in the work list, and the words of flow."""

    def wait(self, hook: Hook, *texts: str) -> None:
        """Send packets that wait in the work list."""
        self.graph.work.depth = DEPTH
        for text in texts:
            hook.send_data(Packet(text.encode()))
        self.graph.work.depth = 0

    def arrived(self) -> list[str]:
        """Return what two and one got, in order, when nothing waits any more."""
        self.noted()
        self.turn(99)
        return [
            line[8:] for line in self.noted() if line.startswith(("rcvdata two", "rcvdata one"))
        ]

    def test_waiting_before_an_insertion(self) -> None:
        """What waits for either outer hook goes through the new node, before later packets."""
        self.wait(self.out, "1", "2")
        self.wait(self.into, "back")
        self.insert()
        mid = self.node("mid:")
        self.assertEqual((2, 1), (self.out.waiting, self.into.waiting))
        self.out.send_data(Packet(b"3"))
        arrived = self.arrived()
        self.assertEqual(["two 1", "two 2", "two 3"], [at for at in arrived if at[:3] == "two"])
        self.assertIn("one back", arrived)
        self.assertEqual((3, 1), (mid.hooks["right"].packets, mid.hooks["left"].packets))
        self.assertEqual((3, {}), (self.out.packets, self.out.drops))
        self.assert_whole()

    def test_waiting_before_a_bypass(self) -> None:
        """What the node had sent arrives first, then what it holds, then what waited for it."""
        self.insert()
        mid = self.node("mid:")
        self.wait(mid.hooks["right"], "1")
        self.wait(self.out, "3")
        self.patch(mid, "rcvbypass", lambda one, other: other.send_data(Packet(b"2")))
        self.ngctl(f"msg mid: {OUT_OF}")
        self.out.send_data(Packet(b"4"))
        self.assertEqual(["two 1", "two 2", "two 3", "two 4"], self.arrived())
        self.graph.rmnode(mid)
        self.assert_linked()

    def test_batch_and_back(self) -> None:
        """Through many edits while packets wait not one is lost, doubled or out of order."""
        wanted = []
        for number in range(60):
            text = str(number)
            wanted.append(f"two {text}")
            self.wait(self.out, text)
            if number % 3 == 0:
                self.insert(name="mid" if "mid" not in self.graph.names else "")
            if number % 4 == 3 and "mid" in self.graph.names:
                mid = self.node("mid:")
                self.ngctl(f"msg mid: {OUT_OF}")
                self.graph.rmnode(mid)
            if number % 5 == 4:
                self.out.send_batch(Batch([Packet(f"{number}.5".encode())]))
                wanted.append(f"two {number}.5")
            self.turn(number % 2)
        noted = [line[8:] for line in self.log if line.startswith("rcvdata two")]
        self.assertEqual(wanted, noted + self.arrived())
        self.assert_whole()

    def test_words_of_flow(self) -> None:
        """A sink that is high holds its source through a new node, and lets it go when low."""
        for node in (self.two, self.one):
            self.patch(node, "rcvflow", Node.rcvflow.__get__(node))
        self.into.send_flow(True)
        self.assertTrue(self.out.high and self.hook("x").high)
        for kind in ("hub", "tee", "pass"):
            self.ngctl(f'msg one: insert {{ {IN_OUT % kind} name="{kind}" }}')
            self.assertTrue(self.hook("x").high, kind)
        self.into.send_flow(False)
        self.assertFalse(self.hook("x").high)
        self.into.send_flow(True)
        for kind in ("tee", "pass", "hub"):
            node = self.node(f"{kind}:")
            self.ngctl(f"msg {kind}: {OUT_OF}")
            self.assertTrue(self.hook("x").high, kind)
            self.graph.rmnode(node)
        self.into.send_flow(False)
        self.assertEqual((False, 0), (self.hook("x").high, len(self.graph.flow)))
        self.assert_linked()

    def test_swallowed_words(self) -> None:
        """A new node that passes no word on lets the source go; without it it is held again."""

        class Deaf(Seer):
            def rcvflow(self, hook: Hook, high: bool) -> None:
                """Hold nobody."""

        self.add(NodeType("deaf", 1, lambda: Deaf("deaf", self.log, {})))
        self.into.send_flow(True)
        self.insert("deaf", "deaf")
        self.assertFalse(self.out.high)
        self.ngctl(f"msg deaf: {OUT_OF}")
        self.assertTrue(self.out.high)
        self.into.send_flow(False)

    def test_high_new_node(self) -> None:
        """A new node that is full from the first holds the source until it is taken out."""

        class Full(Seer):
            def connect(self, hook: Hook) -> None:
                if hook.name == "left":
                    hook.send_flow(True)

        self.add(NodeType("full", 1, lambda: Full("full", self.log, {})))
        self.insert("full", "full")
        self.assertTrue(self.out.high)
        self.ngctl(f"msg full: {OUT_OF}")
        self.assertEqual((False, 0), (self.out.high, len(self.graph.flow)))


class BinaryTests(LiveTests):
    def test_layout(self) -> None:
        """Fixed strings of 32 bytes, in the order of the text; other lengths are EINVAL."""
        words = [b"out", b"mid", b"left", b"right", b"m"]
        data = b"".join(word.ljust(32, b"\0") for word in words)
        self.assertEqual(EINVAL, self.tell("one:", 6, data[:-1], CONTROL_COOKIE))
        self.assertEqual(0, self.tell("one:", 6, data, CONTROL_COOKIE))
        data = b"left".ljust(32, b"\0") + b"right".ljust(32, b"\0")
        mid = self.node("m:")
        self.assertEqual(EINVAL, self.tell("m:", 7, data + b"\0", CONTROL_COOKIE))
        self.assertEqual(0, self.tell("m:", 7, data, CONTROL_COOKIE))
        self.graph.rmnode(mid)
        self.assert_linked()

    def test_no_answer(self) -> None:
        """Neither has a response."""
        self.insert()
        self.ngctl(f"msg mid: {OUT_OF}")
        self.assertEqual(([], []), (list(self.inbox), self.said))

    def test_while_carrying(self) -> None:
        """Only a bypass waits for packets under way, and only while there are any."""
        work = self.graph.work
        self.assertFalse(work.carrying)
        seen: list[bool] = []
        self.two.during["rcvdata"] = lambda: seen.append(work.carrying)
        self.send("x", "a")
        self.wait_once()
        work.enter()
        seen.append(work.carrying)
        work.call(lambda: seen.append(work.carrying))
        work.leave()
        self.assertEqual([True, True, False, False], seen)

    def wait_once(self) -> None:
        """Have one packet delivered from the work list."""
        self.graph.work.depth = DEPTH
        self.out.send_data(Packet(b"late"))
        self.graph.work.depth = 0
        self.turn()
