"""Forks: hooks found by name, whenever they come and go."""

from __future__ import annotations

from ngksock.netgraph import Fork, Forks, Hook, Node
from ngksock.plugin import NodeType
from ngksock.testing import GraphTestCase


class Forked(Node):
    """Sends what comes in by ``in`` both ways; back-pressure comes the same ways."""

    def __init__(self) -> None:
        super().__init__()
        self.forks = Forks(self)
        self.fork = Fork()

    def connect(self, hook: Hook) -> None:
        self.forks.changed(hook.name)

    def rcvflow(self, hook: Hook, high: bool) -> None:
        if hook in self.fork.both:
            self.hooks["in"].send_flow(high)

    def disconnect(self, hook: Hook) -> None:
        self.forks.changed(hook.name)
        super().disconnect(hook)


class ForkTests(GraphTestCase):
    node_types = (NodeType("forked", 1763800009, Forked),)

    def setUp(self) -> None:
        super().setUp()
        self.graph("mkpeer forked in in", "name in f", "connect f: a a", "connect f: b b")
        node = self.node("f:")
        assert isinstance(node, Forked)
        self.forked = node

    def ways(self) -> tuple[str | None, str | None, list[str]]:
        """Return the names of the hooks that were found: match, other, both."""
        fork = self.forked.fork
        match, other = (hook.name if hook else None for hook in (fork.match, fork.other))
        return match, other, [hook.name for hook in fork.both]

    def test_new(self) -> None:
        """A new fork leads nowhere."""
        self.assertEqual((None, None, []), self.ways())

    def test_led(self) -> None:
        """Hooks are found when a fork is led to them; one hook may be both ways."""
        for match, other, both in (
            ("a", "b", ["a", "b"]), ("a", "a", ["a"]), ("", "b", ["b"]), ("b", "", ["b"]),
        ):  # fmt: skip
            self.forked.forks.lead(self.forked.fork, match, other)
            self.assertEqual((match or None, other or None, both), self.ways())

    def test_changed(self) -> None:
        """A hook that comes, goes, and comes again is found and lost."""
        self.forked.forks.lead(self.forked.fork, "a", "later")
        self.assertEqual(("a", None, ["a"]), self.ways())
        self.graph("connect f: x later", "rmhook a")
        self.assertEqual((None, "later", ["later"]), self.ways())
        self.graph("connect f: a a")
        self.assertEqual(("a", "later", ["a", "later"]), self.ways())

    def test_forgotten(self) -> None:
        """A fork that is forgotten, or led elsewhere, leaves nothing behind."""
        forks, fork = self.forked.forks, self.forked.fork
        forks.lead(fork, "a", "b")
        forks.lead(fork, "c", "c")
        self.assertEqual({"c": {fork}}, forks._named)
        forks.forget(fork)
        forks.forget(fork)
        self.assertEqual({}, forks._named)

    def test_pressure(self) -> None:
        """When a fork is led elsewhere, those held by a full sink are held no more."""
        source = self.local.hooks["in"]
        self.local.hooks["a"].send_flow(True)
        self.assertFalse(source.high)
        self.forked.forks.lead(self.forked.fork, "", "a")
        self.assertTrue(source.high)
        self.forked.forks.lead(self.forked.fork, "b", "")
        self.assertFalse(source.high)
        self.local.hooks["a"].send_flow(False)
