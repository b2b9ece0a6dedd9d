"""Timer: what a node puts off."""

from __future__ import annotations

from errno import EIO

from ngksock.netgraph import Node, Timer
from ngksock.plugin import NodeType
from ngksock.testing import GraphTestCase
from ngksock.testing.sandbox import Sandbox


class Late(Node):
    """Writes down when its timer fired; fails if it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.fired: list[float] = []
        self.error: Exception | None = None
        self.timer = Timer(self, self.fire)

    def fire(self) -> None:
        self.fired.append(self.graph.clock())
        if self.error is not None:
            raise self.error


late = NodeType("late", 1763800009, Late)


class TimerTests(GraphTestCase):
    node_types = (late,)

    def late(self) -> Late:
        self.graph("mkpeer late a a")
        node = self.node(".:a")
        assert isinstance(node, Late)
        return node

    def test_fires(self) -> None:
        """It fires once, when it is due."""
        node = self.late()
        node.timer.start(2)
        self.assertTrue(node.timer.active)
        self.pass_time(1.5)
        self.assertEqual([], node.fired)
        self.pass_time(10)
        self.assertEqual([2.0], node.fired)
        self.assertFalse(node.timer.active)

    def test_restart(self) -> None:
        """Started again it fires at the new time alone, earlier or later."""
        node = self.late()
        node.timer.start(2)
        node.timer.start(5)
        self.pass_time(4)
        node.timer.start(0.5)
        self.pass_time(4)
        self.assertEqual([4.5], node.fired)

    def test_stop(self) -> None:
        """Stopped it does not fire; to stop it twice is no error."""
        node = self.late()
        node.timer.start(2)
        node.timer.stop()
        node.timer.stop()
        self.pass_time(4)
        self.assertEqual([], node.fired)

    def test_end(self) -> None:
        """It ends with its node, and starts no more."""
        node = self.late()
        node.timer.start(2)
        self.graph("shutdown .:a")
        self.assertFalse(node.timer.active)
        node.timer.start(1)
        self.pass_time(4)
        self.assertEqual([], node.fired)

    def test_error(self) -> None:
        """What the call raises is a bug of the node, and ends nothing."""
        node = self.late()
        for error in (ValueError("no"), OSError(EIO, "nobody hears")):
            node.error = error
            node.timer.start(1)
            self.pass_time(1)
            self.assertEqual([error], self.flush_bugs())
        self.assertEqual(2, len(node.fired))

    def test_dry_run(self) -> None:
        """In a dry run nothing is put off."""
        sandbox = Sandbox(late, checking=True)
        node = sandbox.graph.make(late)
        assert isinstance(node, Late)
        node.timer.start(1)
        self.assertFalse(node.timer.active)
        sandbox.close()

    def test_standstill(self) -> None:
        """A node that is due at once, for ever, is found out by the sandbox."""
        node = self.late()
        node.timer = Timer(node, lambda: node.timer.start(0))
        node.timer.start(0)
        with self.assertRaises(AssertionError):
            self.pass_time(1)
