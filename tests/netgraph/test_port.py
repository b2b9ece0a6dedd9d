"""Tests for the port of a session to a graph in the same process."""

from __future__ import annotations

from errno import EHOSTUNREACH, ENOENT, ENOSYS

from ngksock.netgraph import Message, Node, command
from ngksock.netgraph.layout import STRING, UINT32
from ngksock.netgraph.message import RESPONSE
from ngksock.netgraph.port import GraphPort
from ngksock.plugin import NodeType
from tests.netgraph.rig import GraphTests


class Talker(Node):
    @command(2, resp=STRING)
    def gettext(self) -> str:
        """Tell the text."""
        return "as it was"

    @command(3)
    def reset(self) -> None:
        """Do nothing."""

    @command(4, arg=UINT32)
    def setn(self, n: int) -> None:
        """Take a number."""


class PortTests(GraphTests):
    def setUp(self) -> None:
        super().setUp()
        self.add(NodeType("talker", 55, Talker))
        self.ngctl("mkpeer talker t t")

    def test_no_answer(self) -> None:
        """A request that nobody answers is ENOSYS, and says of whom."""
        error = self.assertRaises(OSError, self.port.request, "t", Message(55, 3, token=9))
        self.assertEqual((ENOSYS, 'node "t" gave no answer'), (error.errno, error.strerror))

    def test_token(self) -> None:
        """Of several messages that arrived the one with the token is taken."""
        self.graph.send(self.node("t"), "me:", Message(1, 1, b"x", 8, 1))
        self.assertEqual(b"as it was\0", self.port.request("t", Message(55, 2, token=9)))
        self.assertEqual([("[2]:", 8)], [(at, m.token) for at, m in self.port.received()])
        self.assertEqual([], self.port.received())

    def test_remembers_few(self) -> None:
        """What types were asked is remembered for the last messages only."""
        for token in range(1000):
            self.port.send(".", Message(1, 1, token=token))
        self.assertLessEqual(len(self.port._asked), 256)

    def test_here(self) -> None:
        """Paths may start elsewhere than at the sender."""
        port = GraphPort(self.graph, self.me, here=self.node("t"))
        self.assertEqual(["gettext", "reset", "setn"], list(port.messages("."))[:3])
        port.send(".", Message(55, 3))
        self.assertEqual((["me"], ["hub"]), (list(port.names()), list(port.types())[:1]))

    def test_write(self) -> None:
        """A packet goes out of the sender's own hook."""
        self.ngctl("mkpeer sink s s")
        self.port.write("s", b"abc")
        self.assertEqual(["abc"], self.node("s").got)
        error = self.assertRaises(OSError, self.port.write, "n", b"")
        self.assertEqual(EHOSTUNREACH, error.errno)

    def test_encode(self) -> None:
        """Text becomes the message the node at the path means by it."""
        self.assertEqual(
            Message(55, 4, UINT32.pack(7), cmdstr="setn"), self.port.encode("t", "setn", "7")
        )
        error = self.assertRaises(OSError, self.port.encode, "nobody:", "setn", "7")
        self.assertEqual(ENOENT, error.errno)

    def test_decode(self) -> None:
        """A message is converted by its sender's type, else by that of whom it answers."""
        answer = Message(55, 2, b"x\0", 70, RESPONSE)
        self.assertEqual(b'"x"\0', self.data(self.port.decode("[2]:", answer)))
        self.assertIsNone(self.port.decode("[1]:", answer))
        self.assertIsNone(self.port.decode("[99]:", answer))
        self.port.send("t", Message(55, 3, token=70))
        for sender in ("[1]:", "[99]:"):
            self.assertEqual(b'"x"\0', self.data(self.port.decode(sender, answer)))

    def data(self, message: Message | None) -> bytes | None:
        return None if message is None else message.data
