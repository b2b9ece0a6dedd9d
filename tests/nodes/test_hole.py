"""hole: netgraph.md §10.3."""

from __future__ import annotations

from errno import EINVAL, ENOENT
from functools import partial

from ngksock.netgraph import EOF, Message
from ngksock.nodes.hole import hole
from ngksock.plugin import find_type
from ngksock.testing import GraphTestCase, check_node_type


class HoleTests(GraphTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.graph("mkpeer hole a x", "name a o", "connect o: b y")

    def test_conforms(self) -> None:
        """A hole keeps the promises of all types."""
        check_node_type(hole)

    def test_found(self) -> None:
        """Its name finds it, and its cookie is FreeBSD's."""
        self.assertIs(hole, find_type("hole"))
        self.assertEqual(915433206, hole.cookie)

    def test_rows(self) -> None:
        """Its messages have FreeBSD's numbers; all take a name of 32 bytes."""
        rows = [
            (row.cmd, row.name, row.arg and row.arg.size, row.resp and row.resp.size)
            for row in hole.commands.all
        ]
        self.assertEqual(
            [(1, "getstats", 32, 16), (2, "clrstats", 32, None), (3, "getclrstats", 32, 16)], rows
        )

    def test_swallows(self) -> None:
        """Whatever arrives goes nowhere, and is counted by hook."""
        for _ in range(3):
            self.send("a", bytes(40))
        self.assertEqual({}, self.received)
        self.assertEqual("{ frames=3 octets=120 }", self.msg("o:", 'getstats "x"'))
        self.assertEqual("{}", self.msg("o:", 'getstats "y"'))

    def test_batch(self) -> None:
        """A batch counts as its packets do, end-of-file marks among them."""
        self.send_batch("a", [b"abc", b"de", EOF])
        self.assertEqual("{ frames=3 octets=5 }", self.msg("o:", 'getstats "x"'))

    def test_clrstats(self) -> None:
        """clrstats resets one hook, without an answer."""
        self.send("a", b"abc")
        self.send("b", b"abc")
        self.assertIsNone(self.msg("o:", 'clrstats "x"'))
        self.assertEqual("{}", self.msg("o:", 'getstats "x"'))
        self.assertEqual("{ frames=1 octets=3 }", self.msg("o:", 'getstats "y"'))

    def test_getclrstats(self) -> None:
        """getclrstats tells the counters first, and resets them then."""
        self.send("a", b"abc")
        self.assertEqual("{ frames=1 octets=3 }", self.msg("o:", 'getclrstats "x"'))
        self.assertEqual("{}", self.msg("o:", 'getclrstats "x"'))

    def test_unknown_hook(self) -> None:
        """A hook that does not exist is ENOENT, whichever the message."""
        for name in ("getstats", "clrstats", "getclrstats"):
            self.assertEqual(ENOENT, self.errno(f'msg o: {name} "z"'))

    def test_length(self) -> None:
        """An argument that has not 32 bytes is EINVAL."""
        for size in (0, 31, 33):
            message = Message(hole.cookie, 1, b"x".ljust(size, b"\0")[:size])
            send = partial(self.net.send, self.local, "o:", message)
            self.assertEqual(EINVAL, self.errno(send))

    def test_new_hook(self) -> None:
        """A hook that is connected anew counts from zero."""
        self.send("a", b"abc")
        self.graph("rmhook a", "connect o: a x")
        self.assertEqual("{}", self.msg("o:", 'getstats "x"'))

    def test_status(self) -> None:
        """The status tells every hook's counters in words."""
        self.send("b", b"abc")
        self.assertEqual(
            'Status for "o:":\nx: 0 packets, 0 bytes\ny: 1 packets, 3 bytes',
            self.graph("status o:"),
        )

    def test_flow(self) -> None:
        """Nothing comes out of a hole, so nobody is held by a sink beyond it."""
        self.graph("mkpeer o: recorder z z")
        self.node("o:z").hooks["z"].send_flow(True)
        self.assertFalse(self.local.hooks["a"].high)

    def test_last_hook(self) -> None:
        """A hole ends with its last hook."""
        self.graph("rmhook a", "show o:", "rmhook b")
        self.assertEqual(ENOENT, self.errno("show o:"))
