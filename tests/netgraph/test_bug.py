"""What a node raises that is no Exception: a bug like any other, unless it is Ctrl-C."""

from __future__ import annotations

from errno import EINVAL

from ngksock.netgraph import Batch, Hook, Node, Packet
from ngksock.netgraph.bug import EscapeError, as_bug
from ngksock.plugin import NodeType
from ngksock.testing import GraphTestCase


class Leaver(Node):
    """Raises *error* with each packet."""

    error: BaseException = SystemExit(3)

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        raise self.error


class BugTests(GraphTestCase):
    node_types = (NodeType("leaver", 1, Leaver),)

    def setUp(self) -> None:
        super().setUp()
        self.patch(Leaver, "error", SystemExit(3))
        self.graph("mkpeer leaver a a", "name a l")

    def test_exit(self) -> None:
        """SystemExit ends nothing: the loss is counted, and the bug told once, with its place."""
        for _ in range(2):
            self.send("a", b"x")
            self.send_batch("a", [b"1", b"2"])
        self.assertEqual({EINVAL: 6}, self.local.hooks["a"].drops)
        (bug,) = self.flush_bugs()
        self.assertIsInstance(bug, EscapeError)
        self.assertEqual("SystemExit: 3", str(bug))
        traceback = bug.__traceback__
        while traceback is not None and traceback.tb_next is not None:
            traceback = traceback.tb_next
        assert traceback is not None
        self.assertEqual("rcvdata", traceback.tb_frame.f_code.co_name)

    def test_interrupt(self) -> None:
        """KeyboardInterrupt is the operator's: it comes out, and the graph is as before."""
        Leaver.error = KeyboardInterrupt()
        hook = self.local.hooks["a"]
        self.assertRaises(KeyboardInterrupt, hook.send_data, Packet(b"x"))
        self.assertRaises(KeyboardInterrupt, hook.send_batch, Batch([Packet(b"x")]))
        self.assertEqual((0, []), (self.net.work.depth, self.sandbox.bugs))
        self.graph("status l:")

    def test_as_bug(self) -> None:
        """An Exception is itself."""
        error = ValueError("x")
        self.assertIs(error, as_bug(error))
        self.assertEqual("GeneratorExit", str(as_bug(GeneratorExit())))
        self.assertRaises(KeyboardInterrupt, as_bug, KeyboardInterrupt())
