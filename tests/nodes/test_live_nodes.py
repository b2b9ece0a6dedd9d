"""Types that hold packets, or let others look on, put into a live link and taken out of it."""

from __future__ import annotations

from errno import EBUSY

from ngksock.netgraph import EOF, Hook, follow
from ngksock.packet import Piece, Record
from ngksock.testing import GraphTestCase

JOIN = 'bypass { in="upper" out="lower" }'
SHAPE = "{ cbs=100 cir=800 mode=3 greenAction=1 yellowAction=1 redAction=1 }"


class LinkCase(GraphTestCase):
    """The test's hooks ``a`` and ``b`` are linked to each other."""

    def setUp(self) -> None:
        super().setUp()
        self.graph("connect . . a b")
        self.local.forget()

    def insert(self, kind: str, into: str = "upper", out: str = "lower") -> None:
        """Put a node, called ``new``, behind ``a``."""
        self.graph(f'msg . insert {{ hook="a" type="{kind}" in="{into}" out="{out}" name="new" }}')

    def hook(self, name: str) -> Hook:
        """Return one of the test's hooks."""
        return self.local.hooks[name]

    def untold(self) -> None:
        """Assert that the test noticed nothing of any edit, and that a and b are joined."""
        edits = ("newhook", "connect", "disconnect")
        self.assertEqual([], [event for event in self.local.events if event[0] in edits])
        self.assertIs(self.hook("a"), self.hook("b").peer)


class HoldingTests(LinkCase):
    """pipe and car send on what they hold before they are taken out."""

    def test_pipe(self) -> None:
        """All that waits and is under way arrives, in order, before what is sent then."""
        self.insert("pipe")
        self.graph("msg new: setcfg { delay=1000000 bandwidth=1000 }")
        self.send_batch("a", [b"1", Piece(b"2"), Record(b"3"), b"4", EOF])
        self.send("b", b"back")
        self.pass_time(0.3)
        self.send("a", b"5")
        self.assertEqual({}, self.received)
        self.graph(f"msg new: {JOIN}")
        self.send("a", b"6")
        self.assertEqual(
            {"b": [b"1", b"2", b"3", b"4", EOF, b"5", b"6"], "a": [b"back"]}, self.received
        )
        self.untold()
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_pipe_that_is_told_within(self) -> None:
        """So from within a delivery by its timer, of which more are due."""
        self.insert("pipe")
        self.graph("msg new: setcfg { delay=1000 }")
        node = self.node("new:")
        self.send("a", b"1")
        self.pass_time(0.0005)
        self.send_batch("a", [b"2", b"3"])
        received = self.local.rcvdata

        def rcvdata(hook: Hook, packet: object) -> None:
            received(hook, packet)  # type: ignore[arg-type]
            if node.hooks:
                self.graph(f"msg new: {JOIN}")

        self.patch(self.hook("b"), "rcvdata", None)
        self.patch(self.local, "rcvdata", rcvdata)
        self.hook("b").peer.link(self.hook("b"))
        self.pass_time(1)
        self.assertEqual({"b": [b"1", b"2", b"3"]}, self.received)
        self.untold()

    def test_car(self) -> None:
        """What a car holds back arrives as well."""
        self.insert("car")
        self.graph(f"msg new: setconf {{ upstream={SHAPE} downstream={SHAPE} }}")
        sent = [bytes([n]) * 100 for n in range(9)]
        self.send_batch("a", sent)
        self.assertLess(len(self.received.get("b", ())), 9)
        self.graph(f"msg new: {JOIN}")
        self.send("a", b"later")
        self.assertEqual({"b": [*sent, b"later"]}, self.received)
        self.untold()
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_busy(self) -> None:
        """While what they hold has nowhere to go they refuse: EBUSY; and nothing has changed."""
        for kind, text in (
            ("pipe", "setcfg { delay=1000 }"),
            ("car", f"setconf {{ upstream={SHAPE} downstream={SHAPE} }}"),
        ):
            self.insert(kind)
            self.graph(f"msg new: {text}")
            self.hook("b").send_flow(True)
            sent = [Piece(bytes([n]) * 99) for n in range(5)]
            self.send_batch("a", sent)
            self.assertEqual(EBUSY, self.errno(f"msg new: {JOIN}"), kind)
            self.assertIn("new", self.net.names)
            self.hook("b").send_flow(False)
            self.graph(f"msg new: {JOIN}")
            self.assertEqual({"b": [packet.data for packet in sent]}, self.received, kind)
            self.untold()
            self.local.forget()

    def test_held_source(self) -> None:
        """A source that a full pipe held is let go when the pipe is gone."""
        self.insert("pipe")
        self.graph("msg new: setcfg { bandwidth=1000 }")
        self.send_batch("a", [Piece(b"x" * 100)] * 60)
        self.assertTrue(self.hook("a").high)
        self.graph(f"msg new: {JOIN}")
        self.assertFalse(self.hook("a").high)
        self.assertEqual(60, len(self.received["b"]))


class RouteTests(LinkCase):
    """Routes end when a link is edited, and are found again when a node adds nothing."""

    def test_route(self) -> None:
        """A tee without onlookers, and a hub, are no end of a route; a third node is one."""
        ended: list[str] = []
        for kind, into, out in (("tee", "left", "right"), ("hub", "x", "y")):
            route = follow(self.hook("a"))
            assert route is not None
            route.fix(lambda kind=kind: ended.append(f"insert {kind}"))  # type: ignore[misc]
            self.insert(kind, into, out)
            route = follow(self.hook("a"))
            assert route is not None
            self.assertIs(self.hook("b"), route.end)
            route.fix(lambda kind=kind: ended.append(f"bypass {kind}"))  # type: ignore[misc]
            self.graph(f'msg new: bypass {{ in="{into}" out="{out}" }}')
        self.assertEqual(["insert tee", "bypass tee", "insert hub", "bypass hub"], ended)
        self.untold()

    def test_onlooker(self) -> None:
        """A tap in a live link sees all from then on, and nothing is missing behind it."""
        self.send("a", b"1")
        self.insert("tee", "left", "right")
        self.graph("connect . new: look left2right")
        self.send_batch("a", [b"2", b"3"])
        self.graph('msg new: bypass { in="left" out="right" }')
        self.send("a", b"4")
        self.assertEqual({"b": [b"1", b"2", b"3", b"4"], "look": [b"2", b"3"]}, self.received)
        self.graph("shutdown new:")
        self.assertIs(self.hook("a"), self.hook("b").peer)
