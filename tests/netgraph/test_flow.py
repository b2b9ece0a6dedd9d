"""Tests for back-pressure: how the word of a full sink travels (house.md "Back-pressure")."""

from __future__ import annotations

from errno import EPERM

from ngksock.netgraph import Batch, Hook, Node, Packet
from ngksock.plugin import NodeType
from tests.netgraph.rig import GraphTests, Sink, life_type


class Source(Node):
    """Sends whenever it may: ``left`` packets, one after the other, until told to hold."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 0
        self.words: list[bool] = []

    def rcvflow(self, hook: Hook, high: bool) -> None:
        self.words.append(high)
        self.go()

    def go(self) -> None:
        (hook,) = self.hooks.values()
        while self.left and not hook.high:
            self.left -= 1
            hook.send_data(Packet(b"p"))


class Tank(Node):
    """Holds ``size`` packets: it is high when full, and low when `empty` is called."""

    size = 3

    def __init__(self) -> None:
        super().__init__()
        self.level = self.most = 0

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        self.level += 1
        self.most = max(self.most, self.level)
        if self.level >= self.size:
            hook.send_flow(True)

    def empty(self) -> None:
        self.level = 0
        for hook in list(self.hooks.values()):
            hook.send_flow(False)


KINDS = (NodeType("source", 1, Source), NodeType("tank", 1, Tank))


class FlowTests(GraphTests):
    def setUp(self) -> None:
        super().setUp()
        self.add(*KINDS)

    def sink(self, path: str) -> Hook:
        """Return the one hook of the sink at *path*."""
        (hook,) = self.node(path).hooks.values()
        assert isinstance(hook, Hook)
        return hook

    def assert_idle(self) -> None:
        """Assert that no sink is high, and that no hook remembers one."""
        self.assertEqual(0, len(self.graph.flow))
        for node in self.graph:
            self.assertEqual({}, {n: h.sinks for n, h in node.hooks.items() if h.high})

    def test_one_link(self) -> None:
        """The neighbour is told once that a sink is high, and once that it is low again."""
        self.ngctl("mkpeer sink x in")
        sink, other = self.sink("x"), self.hook("x")
        words: list[int] = []
        self.me.on_message = lambda item: words.append(item.message.cmd)
        for high in (True, True, False, False, True, False):
            sink.send_flow(high)
            self.assertEqual((high, False), (other.high, sink.high))
        self.assertEqual([34, 35, 34, 35], words)
        self.assert_idle()

    def test_chain(self) -> None:
        """Nodes that know only rcvdata pass it on, three thousand of them without recursion."""
        self.chain("pass", 3000)
        self.ngctl("connect . x.out x2 side")
        sink = self.sink("sink:")
        sink.send_flow(True)
        self.assertEqual((True, True), (self.hook("x").high, self.hook("x2").high))
        sink.send_flow(False)
        self.assertEqual((False, False), (self.hook("x").high, self.hook("x2").high))
        self.assert_idle()

    def test_bare(self) -> None:
        """So does a provider that has no base class."""

        class Bare:
            def rcvdata(self, hook: Hook, packet: Packet) -> None:
                pass

        self.add(NodeType("bare", 1, Bare))
        self.ngctl("mkpeer bare x in", "mkpeer x sink out in")
        self.sink("x.out").send_flow(True)
        self.assertTrue(self.hook("x").high)

    def test_two_sinks(self) -> None:
        """Of two slow branches neither releases the source for the other."""
        self.ngctl("mkpeer hub x x", "mkpeer x sink a in", "mkpeer x sink b in")
        self.ngctl("mkpeer x source s out")
        source, a, b = self.node("x.s"), self.sink("x.a"), self.sink("x.b")
        (out,) = source.hooks.values()
        a.send_flow(True)
        b.send_flow(True)
        a.send_flow(False)
        self.assertEqual((True, False), (out.high, False in source.words))
        b.send_flow(False)
        self.assertEqual((False, False), (out.high, source.words[-1]))
        self.assertEqual(1, source.words.count(False))
        self.assert_idle()

    def test_sinks_see_each_other(self) -> None:
        """A sink's word reaches all other branches of a hub, never its own."""
        self.ngctl("mkpeer hub x x", "mkpeer x sink a in", "mkpeer x sink b in")
        a, b = self.sink("x.a"), self.sink("x.b")
        a.send_flow(True)
        self.assertEqual(([True], []), (self.node("x.b").flows, self.node("x.a").flows))
        self.assertEqual((True, False), (b.high, a.high))

    def test_loop(self) -> None:
        """A wave enters each hook once, so that it ends in loops; it is taken back whole."""
        self.ngctl("mkpeer hub x x", "name x one", "mkpeer one: hub l0 l0", "name one:l0 two")
        self.ngctl("connect one: two: l1 l1", "connect one: one: s0 s1", "mkpeer two: sink s in")
        sink = self.sink("two:s")
        sink.send_flow(True)
        self.assertTrue(self.hook("x").high)
        sink.send_flow(False)
        self.assertFalse(self.hook("x").high)
        self.assert_idle()

    def test_two_ways(self) -> None:
        """A node with two ways to a sink is told by both, each for its own sources."""

        class Taps(Node):
            def rcvflow(self, hook: Hook, high: bool) -> None:
                way = self.hooks.get({"tap1": "one", "tap2": "two"}.get(hook.name, ""))
                if way is not None:
                    way.send_flow(high)

        self.add(NodeType("taps", 1, Taps))
        self.ngctl("mkpeer taps x one", "mkpeer x hub tap1 a", "connect . x z two")
        self.ngctl("connect x tap1 tap2 b", "mkpeer x.tap1 sink s in")
        sink = self.sink("x.tap1.s")
        sink.send_flow(True)
        self.assertEqual((True, True), (self.hook("x").high, self.hook("z").high))
        sink.send_flow(False)
        self.assertEqual((False, False), (self.hook("x").high, self.hook("z").high))
        self.assert_idle()

    def test_sink_removed(self) -> None:
        """A high sink that is shut down, or unhooked, or whose way is cut, holds nobody."""
        for line in ("shutdown x.s", "rmhook x s", "rmhook x.s in", "rmhook x x", "shutdown x"):
            self.ngctl("mkpeer hub x x", "mkpeer x hub y y", "mkpeer x sink s in")
            self.sink("x.s").send_flow(True)
            hook = self.hook("x")
            self.assertTrue(hook.high)
            self.ngctl(line)
            self.assertFalse(hook.high, line)
            for node in list(self.graph)[1:]:
                self.graph.rmnode(node)
            self.assert_idle()
            self.assert_whole()

    def test_branch_removed(self) -> None:
        """Removing one branch keeps those held that the sink's word still reaches."""
        self.ngctl("mkpeer hub x x", "mkpeer x source s out", "mkpeer x hub b b")
        self.ngctl("mkpeer x sink k in", "mkpeer x.b source s out")
        near, far = self.node("x.s"), self.node("x.b.s")
        self.sink("x.k").send_flow(True)
        self.ngctl("rmhook x b")
        self.assertNotIn(False, near.words)
        self.assertEqual([True, False], far.words)

    def test_new_link(self) -> None:
        """A link made under a high sink is held at once, and nobody is released meanwhile."""
        self.ngctl("mkpeer hub x x", "mkpeer x sink k in", "mkpeer x source s out")
        sink, source = self.sink("x.k"), self.node("x.s")
        sink.send_flow(True)
        self.ngctl("mkpeer x source s2 out", "connect . x z z")
        late = self.node("x.s2")
        self.assertEqual((True, {True}), (self.hook("z").high, set(late.words + source.words)))
        sink.send_flow(False)
        self.assertFalse(self.hook("z").high)
        self.assertEqual([1, 1], [node.words.count(False) for node in (late, source)])
        self.assert_idle()

    def test_refused_link(self) -> None:
        """A link that is refused changes nothing of who is held."""
        log: list[str] = []
        self.add(life_type("no", log, {"connect no": OSError(EPERM, "")}))
        self.ngctl("mkpeer hub x x", "mkpeer x sink k in")
        self.sink("x.k").send_flow(True)
        self.assertEqual(EPERM, self.errno("mkpeer x no n n"))
        self.assertTrue(self.hook("x").high)
        self.sink("x.k").send_flow(False)
        self.assert_idle()

    def test_high_in_connect(self) -> None:
        """A node that is full already may say so to a new neighbour, while it connects."""

        class Full(Sink):
            def connect(self, hook: Hook) -> None:
                hook.send_flow(True)

        self.add(NodeType("full", 1, Full))
        self.ngctl("mkpeer hub x x", "mkpeer x full f in")
        self.assertTrue(self.hook("x").high)
        self.sink("x.f").send_flow(False)
        self.assert_idle()

    def test_high_and_refused(self) -> None:
        """The word of a hook that never came to be is forgotten."""

        class Full(Sink):
            def newhook(self, hook: Hook, name: str) -> None:
                hook.send_flow(True)

            def connect(self, hook: Hook) -> None:
                hook.send_flow(True)
                raise OSError(EPERM, "no")

            def disconnect(self, hook: Hook) -> None:
                hook.send_flow(True)

        self.add(NodeType("full", 1, Full))
        self.assertEqual(EPERM, self.errno("mkpeer full f in"))
        self.assert_idle()

    def test_bypass(self) -> None:
        """Bypass under a high sink keeps the source held, and the low word finds it."""
        self.ngctl("mkpeer pass x left", "mkpeer x sink right in", "name x middle")
        sink, middle = self.sink("middle:right"), self.node("middle:")
        sink.send_flow(True)
        self.graph.bypass(middle.hooks["left"], middle.hooks["right"])
        self.assertTrue(self.hook("x").high)
        sink.send_flow(False)
        self.assertFalse(self.hook("x").high)
        self.assert_idle()

    def test_bypass_of_a_sink(self) -> None:
        """A middle that was a sink itself holds nobody once it is bypassed."""
        self.ngctl("mkpeer pass x left", "mkpeer x sink right in")
        middle = self.node("x")
        middle.hooks["left"].send_flow(True)
        self.assertTrue(self.hook("x").high)
        self.graph.bypass(middle.hooks["left"], middle.hooks["right"])
        self.assertFalse(self.hook("x").high)
        self.assert_idle()

    def test_bug(self) -> None:
        """A node that fails in rcvflow is reported; the others are told all the same."""

        class Broken(Node):
            def rcvflow(self, hook: Hook, high: bool) -> None:
                raise ZeroDivisionError

        self.add(NodeType("broken", 1, Broken))
        self.ngctl("mkpeer hub x x", "mkpeer x broken b b", "mkpeer x sink k in")
        sink = self.sink("x.k")
        sink.send_flow(True)
        self.assertEqual((True, 1), (self.hook("x").high, len(self.reports)))
        sink.send_flow(False)
        self.assertEqual((False, 1), (self.hook("x").high, len(self.reports)))

    def test_full_outside(self) -> None:
        """An outside that cannot take the word is no bug."""

        def full(item: object) -> None:
            raise OSError(EPERM, "no room")

        self.ngctl("mkpeer sink x in")
        self.me.on_message = full
        self.sink("x").send_flow(True)
        self.assertEqual([], self.reports)


class ReentryTests(GraphTests):
    """What nodes do within the word."""

    def setUp(self) -> None:
        super().setUp()
        self.add(*KINDS)

    def test_full_again_at_once(self) -> None:
        """A source that fills its sink within the word to go on is held again at once."""
        self.ngctl("mkpeer pass x x", "mkpeer x tank t in", "mkpeer x source s out")
        tank, source = self.node("x.t"), self.node("x.s")
        source.left = 10
        source.go()
        self.assertEqual((3, 7), (tank.level, source.left))
        for left in (4, 1):
            tank.empty()
            self.assertEqual((3, left), (tank.level, source.left))
        tank.empty()
        self.assertEqual((1, 0, 3), (tank.level, source.left, tank.most))
        self.assertEqual(0, len(self.graph.flow))

    def test_two_sources(self) -> None:
        """The first source refills the sink: the second is not released past it."""
        self.ngctl("mkpeer hub x x", "mkpeer x tank t in", "mkpeer x source s out")
        self.ngctl("mkpeer x source s2 out")
        tank, one, two = self.node("x.t"), self.node("x.s"), self.node("x.s2")
        one.left = two.left = 30
        one.go()
        for _ in range(12):
            two.go()
            self.assertTrue(all(hook.high for s in (one, two) for hook in s.hooks.values()))
            tank.empty()
            self.assertLessEqual(tank.most, 3)
        self.assertLess(one.left + two.left, 60)

    def test_cut_in_the_word(self) -> None:
        """A node that removes its hook when told to hold leaves no one held for it."""

        class Impatient(Node):
            def rcvflow(self, hook: Hook, high: bool) -> None:
                if high:
                    self.graph.rmhook(hook)

        self.add(NodeType("impatient", 1, Impatient))
        self.ngctl("mkpeer hub x x", "mkpeer x impatient i i", "mkpeer x sink k in")
        self.ngctl("mkpeer x source s out")
        self.node("x.k").hooks["in"].send_flow(True)
        self.assertEqual((True, True), (self.hook("x").high, self.node("x.s").hooks["out"].high))
        self.node("x.k").hooks["in"].send_flow(False)
        self.assertEqual((False, 0), (self.hook("x").high, len(self.graph.flow)))
        self.assertFalse(self.node("x.s").hooks["out"].high)
        self.assert_whole()

    def test_sink_ends_in_the_word(self) -> None:
        """A neighbour that ends the sink while it is told releases everybody."""
        log: list[str] = []
        self.add(life_type("killer", log))
        self.ngctl("mkpeer hub x x", "mkpeer x killer i i", "mkpeer x sink k in")
        self.node("x.i").during["rcvflow"] = lambda: self.graph.rmnode(self.node("x.k"))
        self.node("x.k").hooks["in"].send_flow(True)
        self.assertEqual((False, 0), (self.hook("x").high, len(self.graph.flow)))
        self.assertEqual("rcvflow killer i False", log[-1])

    def test_queue_node(self) -> None:
        """A node with a queue of its own that empties within the word releases its source."""

        class Queue(Node):
            def __init__(self) -> None:
                super().__init__()
                self.kept: list[Packet] = []

            def rcvdata(self, hook: Hook, packet: Packet) -> None:
                self.kept.append(packet)
                self.drain()
                if len(self.kept) >= 2:
                    self.hooks["in"].send_flow(True)

            def rcvflow(self, hook: Hook, high: bool) -> None:
                self.drain()

            def drain(self) -> None:
                out = self.hooks["out"]
                while self.kept and not out.high:
                    out.send_data(self.kept.pop(0))
                if not self.kept:
                    self.hooks["in"].send_flow(False)

        self.add(NodeType("queue", 1, Queue))
        self.ngctl("mkpeer queue x in", "mkpeer x tank out in", "name x.out tank")
        tank = self.node("tank:")
        sent = 0
        for _ in range(4):
            while not self.hook("x").high:
                self.send("x", "p")
                sent += 1
            tank.empty()
        self.assertEqual((3, True), (tank.most, sent > 8))
        self.assert_idle_at_the_end(tank)

    def assert_idle_at_the_end(self, tank: Tank) -> None:
        for _ in range(3):
            tank.empty()
        self.assertEqual((False, 0), (self.hook("x").high, len(self.graph.flow)))

    def test_echo(self) -> None:
        """Whose own packets come back to it is held, and let go, as any other source."""

        class Echo(Node):
            def rcvbatch(self, hook: Hook, batch: Batch) -> None:
                hook.send_batch(batch)

            def rcvflow(self, hook: Hook, high: bool) -> None:
                hook.send_flow(high)

        self.add(NodeType("echo", 1, Echo))
        self.ngctl("mkpeer echo x e")
        hook = self.hook("x")
        hook.send_flow(True)
        self.assertTrue(hook.high)
        hook.send_flow(False)
        self.assertEqual((False, 0), (hook.high, len(self.graph.flow)))

    def test_unhashable(self) -> None:
        """A node whose class compares by value is a node like any other."""
        from dataclasses import dataclass

        @dataclass
        class Valued(Node):
            level: int = 0

            def __post_init__(self) -> None:
                super().__init__()

        self.add(NodeType("valued", 1, Valued))
        self.ngctl("mkpeer valued x in", "mkpeer x sink out in")
        self.node("x.out").hooks["in"].send_flow(True)
        self.assertTrue(self.hook("x").high)
        self.ngctl("shutdown x")
        self.assert_whole()
