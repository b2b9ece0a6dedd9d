"""echo: netgraph.md §10.4."""

from __future__ import annotations

from errno import EIO, ENOENT, ENOSYS

from ngksock.netgraph import EOF, Message
from ngksock.nodes.echo import echo
from ngksock.plugin import find_type
from ngksock.testing import GraphTestCase, check_node_type


class EchoTests(GraphTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.graph("mkpeer echo a x", "name a e", "connect e: b y")
        self.local.forget()

    def answer(self, message: Message) -> list[Message]:
        """Send *message* to the echo and return what came back."""
        self.net.send(self.local, "e:", message)
        return [message for _, message in self.local.messages]

    def test_conforms(self) -> None:
        """An echo keeps the promises of all types, and returns what they refuse."""
        check_node_type(echo, others="returned")

    def test_found(self) -> None:
        """Its name finds it, and its cookie is FreeBSD's; it has no messages of its own."""
        self.assertIs(echo, find_type("echo"))
        self.assertEqual((884298942, ()), (echo.cookie, echo.commands.all))

    def test_data(self) -> None:
        """A packet returns out of the hook it came in by, and no other."""
        self.send("a", b"1")
        self.send_batch("b", [b"2", b"3", EOF])
        self.assertEqual({"a": [b"1"], "b": [b"2", b"3", EOF]}, self.received)

    def test_refused(self) -> None:
        """Who refuses the echo of his own packet gets his own errno."""
        self.local.refuse("rcvdata", EIO)
        self.assertEqual(EIO, self.errno(lambda: self.send("a", b"1")))
        self.assertEqual({EIO: 1}, self.node("e:").hooks["x"].drops)

    def test_message(self) -> None:
        """A message of any cookie returns as it was, with the response flag."""
        message = Message(12345, 678, b"data", token=9, cmdstr="name")
        self.assertEqual([message.response(b"data")], self.answer(message))

    def test_text_messages(self) -> None:
        """textstatus and textconfig return too."""
        for cmd in (11 | 0x30000000, 14):
            self.local.forget()
            message = Message(1137070366, cmd, b"text\0", token=9)
            self.assertEqual([message.response(b"text\0")], self.answer(message))

    def test_generic(self) -> None:
        """Other generic messages are carried out."""
        self.assertIn("Type: echo", self.graph("show e:"))

    def test_ascii(self) -> None:
        """No message has an ASCII form but the generic ones: ENOSYS."""
        self.assertEqual(ENOSYS, self.errno("msg e: anything"))
        self.assertEqual('{ name="e" type="echo" id=0x2 hooks=2 }', self.msg("e:", "nodeinfo"))

    def test_flow(self) -> None:
        """A neighbour that is full holds itself, for its own packets come back to it."""
        self.local.hooks["a"].send_flow(True)
        self.assertEqual([("rcvflow", "a", True)], self.local.events)
        self.assertTrue(self.local.hooks["a"].high)
        self.assertFalse(self.local.hooks["b"].high)
        self.local.hooks["a"].send_flow(False)
        self.assertFalse(self.local.hooks["a"].high)

    def test_two_echoes(self) -> None:
        """Two echoes that face each other pass a packet to and fro, a bounded time a turn."""
        self.graph("mkpeer e: echo z z", "rmhook a")
        node = self.node("e:")
        node.hooks["z"].send_data(EOF)
        self.turn()
        self.assertEqual(1, self.net.work.held)

    def test_last_hook(self) -> None:
        """An echo ends with its last hook."""
        self.graph("rmhook a", "show e:", "rmhook b")
        self.assertEqual(ENOENT, self.errno("show e:"))
