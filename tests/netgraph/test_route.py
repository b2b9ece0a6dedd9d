"""Routes: where packets end up when what is in between only passes on."""

from __future__ import annotations

from errno import EPIPE
from typing import Any

from ngksock.netgraph import EOF, Hook, Node, Packet, follow
from ngksock.netgraph.route import LONGEST
from ngksock.netgraph.worklist import DEPTH
from ngksock.testing import GraphTestCase


class RouteTests(GraphTestCase):
    """A recorder, what stands in between, and a hole at the end."""

    def setUp(self) -> None:
        super().setUp()
        self.changes = 0

    def changed(self) -> None:
        """Count that a route has ended."""
        self.changes += 1

    def out(self, name: str = "a") -> Hook:
        """Return a hook of the recorder."""
        return self.local.hooks[name]

    def end(self) -> str:
        """Return the type of the node at the end of the route."""
        route = follow(self.out())
        return "" if route is None else route.end.node.type.name

    def test_direct(self) -> None:
        """Of two linked nodes the route is their link; the far node is at its end."""
        self.graph("mkpeer hole a h")
        route = follow(self.out())
        assert route is not None
        self.assertEqual(((self.out(),), "h"), (route.hooks, route.end.name))
        self.assertEqual((), route.tallies)
        route.drop(EPIPE, 2)
        self.assertEqual({EPIPE: 2}, self.out().drops)

    def test_through(self) -> None:
        """A tee without onlookers and a hub of two hooks are passed; all are counted."""
        self.graph("mkpeer tee a left", "mkpeer .:a hub right x", "mkpeer .:a.right hole y h")
        route = follow(self.out())
        assert route is not None
        self.assertEqual(["a", "right", "y"], [hook.name for hook in route.hooks])
        self.assertEqual("hole", route.end.node.type.name)
        route.fix(self.changed)
        route.packets, route.bytes = 1, 5
        said = self.msg(".:a", "getstats")
        self.assertEqual(
            "{ right={ outOctets=5 outFrames=1 } left={ inOctets=5 inFrames=1 } }", said
        )
        self.assertEqual((1, 5), (route.hooks[2].packets, route.hooks[2].bytes))

    def test_counted(self) -> None:
        """Whoever looks first, each hook and node has counted what took the route, and once."""
        for looks in (
            lambda route: route.hooks[0].packets,
            lambda route: route.hooks[2].bytes,
            lambda route: self.msg(".:a", "getstats"),
            lambda route: route.forget(),
            lambda route: self.graph("rmhook a"),
            lambda route: self.graph("shutdown .:a.right.right"),
        ):
            self.graph("mkpeer tee a left", "mkpeer .:a tee right left")
            self.graph("mkpeer .:a.right hole right h")
            route = follow(self.out())
            assert route is not None
            tees: list[Any] = [hook.peer.node for hook in route.hooks[:2]]
            route.fix(self.changed)
            for _ in range(2):
                if route.valid:
                    route.packets, route.bytes = route.packets + 2, route.bytes + 5
                    looks(route)
            rounds = 2 if route.valid else 1
            for hook in route.hooks:
                self.assertEqual((2 * rounds, 5 * rounds), (hook.packets, hook.bytes))
            for tee in tees:
                stats = tee.getstats()
                self.assertEqual(
                    (2 * rounds, 5 * rounds), (stats.left.in_frames, stats.left.in_octets)
                )
                self.assertEqual(5 * rounds, stats.right.out_octets)
            if "a" in self.local.hooks:
                self.graph("rmhook a")

    def test_looks(self) -> None:
        """Either counter of a hook is true by itself."""
        for name, count in (("packets", 2), ("bytes", 5)):
            self.graph("mkpeer tee a left", "mkpeer .:a hole right h")
            route = follow(self.out())
            assert route is not None
            route.fix(self.changed)
            for rounds, hook in enumerate(route.hooks, 1):
                route.packets, route.bytes = 2, 5
                self.assertEqual(count * rounds, getattr(hook, name))
            self.graph("rmhook a")

    def test_cleared(self) -> None:
        """What a tee has told and reset is told once, though it took a route."""
        self.graph("mkpeer tee a left", "name .:a t", "mkpeer t: hole right h")
        route = follow(self.out())
        assert route is not None
        route.fix(self.changed)
        for count in (5, 7):
            route.packets, route.bytes = 1, count
            tee: Any = self.net.find("t:", self.local)[0]
            stats = tee.getclrstats()
            self.assertEqual((count, count), (stats.left.in_octets, stats.right.out_octets))

    def test_refuses(self) -> None:
        """There is none to a node that takes nothing any more."""
        self.graph("mkpeer hole a h")
        self.out().refuse()
        self.assertIsNone(follow(self.out()))

    def test_tee(self) -> None:
        """An onlooker ends the route; another leads to the tee, and the old one comes back."""
        self.graph("mkpeer tee a left", "name .:a t", "mkpeer t: hole right h")
        for change in ("connect . t: look left2right", "rmhook look", "shutdown t:"):
            route = follow(self.out())
            assert route is not None
            self.assertEqual("tee" if change == "rmhook look" else "hole", route.end.node.type.name)
            route.fix(self.changed)
            self.graph(change)
            self.assertFalse(route.valid)
        self.assertEqual(3, self.changes)
        self.assertEqual((), self.out().routes)

    def test_hub(self) -> None:
        """A third hook of a hub ends the route."""
        self.graph("mkpeer hub a x", "name .:a h", "mkpeer h: hole y h")
        route = follow(self.out())
        assert route is not None
        route.fix(self.changed)
        self.graph("connect . h: b z")
        self.assertEqual(1, self.changes)
        self.assertEqual("hub", self.end())

    def test_rmhook(self) -> None:
        """A link that goes, near or far, ends it once; so does a node that refuses."""
        for line in ("rmhook a", "shutdown .:a", "shutdown .:a.right"):
            self.graph("mkpeer tee a left", "mkpeer .:a hole right h")
            route = follow(self.out())
            assert route is not None
            before = self.changes
            route.fix(self.changed)
            self.graph(line)
            self.assertEqual(before + 1, self.changes, line)
            if "a" in self.local.hooks:
                self.graph("rmhook a")

    def test_forget(self) -> None:
        """Whoever forgets a route is not told."""
        self.graph("mkpeer hole a h")
        route = follow(self.out())
        assert route is not None
        route.fix(self.changed)
        route.forget()
        self.graph("rmhook a")
        self.assertEqual(0, self.changes)

    def test_circle(self) -> None:
        """A way that leads nowhere is no route, nor one that is too long."""
        self.graph("mkpeer hub a x", "name .:a h", "mkpeer h: hub y x", "name h:y g")
        self.graph("connect g: g: p q")
        self.assertEqual("hub", self.end())
        node = Node()
        self.net.add(self.net.type("hub"), node)
        self.graph(
            f"connect . [{node.id:x}]: loop in", f"connect [{node.id:x}]: [{node.id:x}]: p q"
        )
        hooks = node.hooks
        hooks["in"].pass_to(hooks["p"])
        hooks["q"].pass_to(hooks["p"])
        self.assertIsNone(follow(self.out("loop")))
        self.assertGreater(LONGEST, DEPTH)

    def test_waiting(self) -> None:
        """A packet that must wait ends the route, and there is none until it has gone."""
        self.graph("mkpeer hole a h")
        route = follow(self.out())
        assert route is not None
        route.fix(self.changed)
        self.net.work.depth = DEPTH
        self.out().send_data(Packet(b"x"))
        self.net.work.depth = 0
        self.assertEqual(1, self.changes)
        self.assertIsNone(follow(self.out()))
        self.net.work.run()
        self.assertIsNotNone(follow(self.out()))
        self.out().send_data(EOF)
