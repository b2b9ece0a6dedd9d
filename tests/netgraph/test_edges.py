"""Tests for links: the order of callbacks, refusals, removal and bypass (netgraph.md §5)."""

from __future__ import annotations

from errno import EEXIST, EINVAL, ENOENT, ENXIO, EPERM

from ngksock.netgraph import Hook, Node, Packet
from ngksock.netgraph.edges import connect, mkpeer
from ngksock.netgraph.worklist import DEPTH
from ngksock.plugin import NodeType
from tests.netgraph.rig import GraphTests, life_type


class LifeTests(GraphTests):
    """Types ``a`` and ``b`` that note their lives in one list."""

    def setUp(self) -> None:
        super().setUp()
        self.log: list[str] = []
        self.refuse: dict[str, Exception] = {}
        self.add(*(life_type(label, self.log, self.refuse) for label in "abc"))
        self.ngctl("mkpeer a x in", "name x a")
        self.log.clear()

    def expect(self, *calls: str) -> None:
        """Assert that *calls* were noted since the last time, in order."""
        noted = [line.rstrip() for line in self.log]
        self.log.clear()
        self.assertEqual(list(calls), noted)


class OrderTests(LifeTests):
    def test_mkpeer(self) -> None:
        """Constructor, newhook here and there, connect here and there (§5.2)."""
        self.ngctl("mkpeer a: b out in")
        self.expect(
            "constructor b", "newhook a out", "newhook b in", "connect a out", "connect b in"
        )
        self.assert_whole()

    def test_connect(self) -> None:
        """newhook here and there, connect there and here (§5.3)."""
        self.ngctl("mkpeer b y in", "name y b")
        self.log.clear()
        self.ngctl("connect a: b: out back")
        self.expect("newhook a out", "newhook b back", "connect b back", "connect a out")
        self.assert_whole()

    def test_connect_to_itself(self) -> None:
        """A node may be linked to itself, by two names."""
        self.ngctl("connect a: a: one two")
        self.expect("newhook a one", "newhook a two", "connect a two", "connect a one")
        self.assertEqual(EEXIST, self.errno("connect a: a: three three"))
        self.expect()
        self.ngctl("rmhook a: one")
        self.expect("disconnect a two", "disconnect a one")
        self.assert_whole()

    def test_validity(self) -> None:
        """During the callbacks the hook does not resolve; afterwards it does (§5.4)."""
        errnos: list[int] = []

        def look() -> None:
            for path in ("a:out", "a:in.x"):
                try:
                    self.graph.find(path, self.me)
                    errnos.append(0)
                except OSError as error:
                    errnos.append(error.errno or -1)

        self.node("a:").during.update(newhook=look, connect=look)
        self.ngctl("mkpeer a: b out in")
        self.assertEqual([ENOENT, 0] * 2, errnos)
        self.assertEqual("b", self.node("a:out").label)

    def test_linked_in_connect(self) -> None:
        """In connect both hooks exist and know each other."""
        seen: list[tuple[str, bool]] = []

        class Curious(Node):
            def connect(self, hook: Hook) -> None:
                seen.append((hook.peer.name, hook.peer.node is not self and not hook.valid))

        self.add(NodeType("curious", 1, Curious))
        self.ngctl("mkpeer a: curious out in")
        self.assertEqual([("out", True)], seen)

    def test_rmhook(self) -> None:
        """The peer's disconnect comes first; the hook is out of its node's list then (§5.5)."""
        self.ngctl("mkpeer a: b out in")
        a, b = self.node("a:"), self.node("a:out")
        states: list[tuple[list[str], list[str]]] = []
        for node in (a, b):
            node.during["disconnect"] = lambda: states.append((list(a.hooks), list(b.hooks)))
        self.log.clear()
        self.ngctl("rmhook a: out")
        self.expect("disconnect b in", "disconnect a out")
        self.assertEqual([(["in", "out"], []), (["in"], [])], states)
        self.ngctl(f"shutdown [{b.id:x}]:")
        self.assert_whole()

    def test_shutdown(self) -> None:
        """close with all hooks there, each hook removed newest first, then shutdown (§5.6)."""
        self.ngctl("mkpeer a: b out in", "mkpeer a: c more in")
        a = self.node("a:")
        seen: list[tuple[bool, int, list[str]]] = []
        for callback in ("close", "disconnect", "shutdown"):
            a.during[callback] = lambda: seen.append(
                (a.valid, len(self.graph.names), list(a.hooks))
            )
        self.log.clear()
        self.ngctl("shutdown a:")
        self.expect(
            "close a", "disconnect c in", "disconnect a more", "disconnect b in",
            "disconnect a out", "disconnect a in", "shutdown a",
        )  # fmt: skip
        expected = [["in", "out", "more"], ["in", "out"], ["in"], [], []]
        self.assertEqual([(False, 1, hooks) for hooks in expected], seen)

    def test_names_are_free_at_once(self) -> None:
        """Name and id stop resolving when shutdown begins, and the name may be used again."""
        a = self.node("a:")
        a.during["close"] = lambda: self.graph.rename(self.me, "a")
        self.ngctl("shutdown a:")
        self.assertIs(self.me, self.graph.names["a"])
        self.assertNotIn(a.id, self.graph.nodes)
        self.assertEqual({"a": self.me}, self.graph.names)

    def test_no_self_destruction_by_disconnect(self) -> None:
        """Node's disconnect ends it with the last hook, and not twice."""
        self.ngctl("mkpeer hub h h", "name h hub", "mkpeer hub: b out in")
        hub = self.node("hub:")
        ends: list[Node] = []
        hub.watch(ends.append)
        self.ngctl("rmhook h")
        self.assertEqual([], ends)
        self.ngctl("rmhook hub: out")
        self.assertEqual([hub], ends)
        self.assert_whole()


class RefusalTests(LifeTests):
    """Every callback of every node may refuse, or fail; nothing is left behind."""

    BUG = ZeroDivisionError("a bug")

    def refused(self, line: str, left: dict[str, list[str]]) -> None:
        """Let each callback that *line* makes refuse, then fail; *left*: what is noted then."""
        for callback, calls in left.items():
            for error in (OSError(EPERM, "no"), self.BUG):
                before = self.picture()
                self.refuse[callback] = error
                self.log.clear()
                expected = EPERM if isinstance(error, OSError) else EINVAL
                self.assertEqual(expected, self.errno(line), callback)
                self.refuse.clear()
                self.expect(*calls)
                self.assertEqual(before, self.picture(), callback)
                self.assert_whole()
        self.assertEqual(0, self.errno(line))
        self.assert_whole()

    def picture(self) -> list[tuple[int, list[str]]]:
        """Return all nodes and their hooks."""
        return [(node.id, list(node.hooks)) for node in self.graph]

    def test_mkpeer(self) -> None:
        """The new node is destroyed, the local hook removed if it had been accepted."""
        made = ["constructor b", "newhook a out"]
        undone = ["disconnect b in", "disconnect a out", "close b", "shutdown b"]
        self.refused(
            "mkpeer a: b out in",
            {
                "constructor b": made[:1],
                "newhook a": [*made, "close b", "shutdown b"],
                "newhook b": [*made, "newhook b in", "disconnect a out", "close b", "shutdown b"],
                "connect a": [*made, "newhook b in", "connect a out", *undone],
                "connect b": [*made, "newhook b in", "connect a out", "connect b in", *undone],
            },
        )

    def test_connect(self) -> None:
        """Hooks that were accepted are removed on both sides."""
        self.ngctl("mkpeer b y in", "name y b")
        made = ["newhook a out", "newhook b back"]
        undone = ["disconnect b back", "disconnect a out"]
        self.refused(
            "connect a: b: out back",
            {
                "newhook a": made[:1],
                "newhook b": [*made, "disconnect a out"],
                "connect b": [*made, "connect b back", *undone],
                "connect a": [*made, "connect b back", "connect a out", *undone],
            },
        )

    def test_bugs_are_told(self) -> None:
        """A callback's bug is told to the operator once; a refusal is not."""
        self.refuse["newhook a"] = OSError(EPERM, "")
        self.errno("mkpeer a: b out in")
        self.assertEqual([], self.reports)
        self.refuse["newhook a"] = self.BUG
        self.errno("mkpeer a: b out in")
        self.errno("mkpeer a: b out in")
        self.assertEqual([("a node a failed", self.BUG)], self.reports)

    def test_constructor_bug(self) -> None:
        """So is a constructor's, and one that makes no node at all."""
        self.add(NodeType("nothing", 1, lambda: None))
        for kind, key in (("nothing", ""), ("b", "constructor b")):
            self.refuse[key] = self.BUG
            self.reports.clear()
            self.assertEqual(EINVAL, self.errno(f"mkpeer a: {kind} out in"))
            self.assertEqual(f"{kind} constructor failed", self.reports[0][0])
        self.assert_whole()

    def test_forgotten_init(self) -> None:
        """A class that does not call Node's __init__ is told so, and leaves nothing behind."""

        class Forgetful(Node):
            def __init__(self) -> None:
                pass

        self.add(NodeType("forgetful", 1, Forgetful))
        self.assertEqual(EINVAL, self.errno("mkpeer forgetful f f"))
        self.assertIn("did not call super().__init__()", str(self.reports[0][1]))
        self.assert_whole()

    def test_order_of_errors(self) -> None:
        """Type, then constructor, then the local hook, then the far one (§3.3)."""
        self.assertEqual(ENOENT, self.errno("mkpeer a: nosuch in in"))
        self.refuse["constructor b"] = OSError(EPERM, "")
        self.assertEqual(EPERM, self.errno("mkpeer a: b in in"))
        self.refuse.clear()
        self.assertEqual(EEXIST, self.errno("mkpeer a: b in in"))
        self.assertEqual(EINVAL, self.errno("mkpeer a: b out i.n"))
        self.assertEqual(EINVAL, self.errno("mkpeer a: socket out in"))
        self.assert_whole()

    def test_order_of_connect_errors(self) -> None:
        """The far node's hook is looked at before the local one, both before any callback."""
        self.ngctl("mkpeer b y in", "name y b")
        self.log.clear()
        self.refuse["newhook a"] = OSError(EPERM, "")
        self.assertEqual(EEXIST, self.errno("connect a: b: out in"))
        self.assertEqual(EEXIST, self.errno("connect a: b: in out"))
        self.assertEqual(ENOENT, self.errno("connect a: nobody: in in"))
        self.assertEqual(ENOENT, self.errno("connect a: nohook in in"))
        self.assertEqual(EINVAL, self.errno("connect a: a..b in in"))
        self.assertEqual(EINVAL, self.errno("connect a: b: out :"))
        self.expect()

    def test_node_ends_in_a_callback(self) -> None:
        """A node that ends while it is linked refuses the link: ENXIO."""
        for callback in ("newhook", "connect"):
            self.ngctl("mkpeer b y in", "name y b")
            b = self.node("b:")
            b.during[callback] = lambda b=b: self.graph.rmnode_self(b)
            self.assertEqual(ENXIO, self.errno("connect a: b: out back"), callback)
            self.assertNotIn("out", self.node("a:").hooks)
            self.assert_whole()

    def test_hook_removed_in_a_callback(self) -> None:
        """A node that removes the hook it was just given refuses the link: ENXIO."""
        self.ngctl("mkpeer b y in", "name y b")
        b = self.node("b:")
        b.during["connect"] = lambda: self.graph.rmhook(b.hooks["back"])
        self.assertEqual(ENXIO, self.errno("connect a: b: out back"))
        self.assert_whole()

    def test_same_hook_made_in_a_callback(self) -> None:
        """A callback that makes the hook itself wins; the request gets EEXIST."""
        self.ngctl("mkpeer b y in", "name y b")
        a = self.node("a:")

        def make() -> None:
            a.during.clear()
            mkpeer(self.graph, a, "c", "out", "in")

        a.during["newhook"] = make
        self.assertEqual(EEXIST, self.errno("connect a: b: out back"))
        self.assertEqual("c", self.node("a:out").label)
        self.assert_whole()

    def test_ending_node(self) -> None:
        """A node that is ending gets no more hooks: ENXIO."""
        a = self.node("a:")
        errnos: list[int | None] = []

        def late() -> None:
            for make in (
                lambda: mkpeer(self.graph, a, "hub", "late", "late"),
                lambda: connect(self.graph, a, "late", self.me, "late"),
                lambda: connect(self.graph, self.me, "late", a, "late"),
                lambda: self.graph.rename(a, "late"),
            ):
                try:
                    make()
                except OSError as error:
                    errnos.append(error.errno)

        a.during.update(close=late, shutdown=late)
        self.ngctl("shutdown a:")
        self.assertEqual([ENXIO] * 8, errnos)
        self.assert_whole()


class BypassTests(GraphTests):
    """Joining the peers of two hooks of one node (§5.8)."""

    def setUp(self) -> None:
        super().setUp()
        self.log: list[str] = []
        self.add(life_type("m", self.log))
        self.ngctl("mkpeer hub x in", "name x one", "mkpeer one: m out left")
        self.ngctl("mkpeer one:out sink right in")
        self.middle = self.node("one:out")
        self.sink = self.node("one:out.right")
        self.log.clear()

    def bypass(self) -> None:
        self.graph.bypass(self.middle.hooks["left"], self.middle.hooks["right"])

    def test_joined(self) -> None:
        """The outer hooks stay, face each other and carry packets; the middle lost its two."""
        out, far = self.hook("out", self.node("one:")), self.sink.hooks["in"]
        self.bypass()
        self.assertEqual((far, out), (out.peer, far.peer))
        self.assertEqual(["disconnect m left", "disconnect m right"], self.log)
        self.send("x", "a")
        self.send_batch("x", "b", "c")
        self.send_on(far, "back")
        self.assertEqual((["a", "b", "c"], [("x", "back")]), (self.sink.got, self.got))
        self.graph.rmnode(self.middle)
        self.assert_whole()

    def test_counters(self) -> None:
        """The outer hooks keep counting where they were."""
        self.send("x", "a")
        self.bypass()
        self.send("x", "b")
        self.assertEqual(2, self.hook("out", self.node("one:")).packets)

    def test_waiting(self) -> None:
        """What waits on either side arrives, the packet that was further on first."""
        self.graph.work.depth = DEPTH
        self.send_on(self.middle.hooks["right"], "1", "2")
        self.send_on(self.hook("out", self.node("one:")), "3")
        self.send_on(self.middle.hooks["left"], "back")
        self.graph.work.depth = 0
        self.bypass()
        self.assertEqual(4, len(self.graph.work))
        self.send("x", "4")
        self.turn(9)
        self.assertEqual((list("1234"), [("x", "back")]), (self.sink.got, self.got))
        self.assertEqual(0, len(self.graph.work))
        self.graph.rmnode(self.middle)
        self.assert_whole()

    def send_on(self, hook: Hook, *texts: str) -> None:
        for text in texts:
            hook.send_data(Packet(text.encode()))

    def test_no_disconnect_outside(self) -> None:
        """The outer nodes are told nothing, and do not end."""
        self.bypass()
        self.assertTrue(self.sink.valid and self.node("one:").valid)

    def test_peers_of_itself(self) -> None:
        """Two hooks that face each other are just removed."""
        self.ngctl(f"connect [{self.middle.id:x}]: [{self.middle.id:x}]: a b")
        self.graph.bypass(self.middle.hooks["a"], self.middle.hooks["b"])
        self.assertEqual(["left", "right"], list(self.middle.hooks))
        self.assert_whole()

    def test_one_neighbour(self) -> None:
        """Where both lead to one node it is linked to itself."""
        self.ngctl("mkpeer m y left", "connect . y z right")
        middle = self.node("y")
        self.graph.bypass(middle.hooks["left"], middle.hooks["right"])
        self.assertIs(self.hook("z"), self.hook("y").peer)
        self.send("y", "round")
        self.assertEqual([("z", "round")], self.got)

    def test_in_close(self) -> None:
        """A node that bypasses itself as it closes joins its neighbours, as tee does."""
        self.middle.during["close"] = self.bypass
        self.ngctl(f"shutdown [{self.middle.id:x}]:")
        self.send("x", "a")
        self.assertEqual(["a"], self.sink.got)
        self.assert_whole()

    def test_rash_disconnect(self) -> None:
        """A middle that removes its other hook when it loses one harms nobody."""

        def unhook() -> None:
            for hook in list(self.middle.hooks.values()):
                self.graph.rmhook(hook)

        self.middle.during["disconnect"] = unhook
        self.bypass()
        self.send("x", "a")
        self.assertEqual((["a"], {}), (self.sink.got, self.middle.hooks))
        self.graph.rmnode(self.middle)
        self.assert_whole()
