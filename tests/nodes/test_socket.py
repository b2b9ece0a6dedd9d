"""Tests for the socket node: where the outside is attached (netgraph.md §8.5, §11.5)."""

from __future__ import annotations

from errno import EEXIST, EINVAL, ENOBUFS, ENOENT

from ngksock.netgraph import Item, Message, Packet
from ngksock.netgraph.message import FLOW_COOKIE, GENERIC_COOKIE, RESPONSE
from ngksock.nodes.socket import COOKIE, LINGER, NOLINGER, Socket, socket
from ngksock.plugin import NodeType
from ngksock.testing import check_node_type
from tests.netgraph.rig import READS, GraphTests


class MessageTests(GraphTests):
    def test_type(self) -> None:
        """FreeBSD's cookie, no commands with a text form, and mkpeer makes none."""
        self.assertEqual(
            ("socket", 851601233, ()), (socket.name, socket.cookie, socket.commands.all)
        )
        self.assertEqual(EINVAL, self.errno("mkpeer socket a b"))
        self.assert_whole()

    def test_conforms(self) -> None:
        """Made by who may, with nobody behind it, it keeps the promises of all types."""
        made = NodeType(socket.name, COOKIE, Socket)
        check_node_type(made)

    def test_everything_else(self) -> None:
        """Whatever the node does not answer itself is handed out as it is (§8.5)."""
        other = self.socket("other")
        messages = [
            Message(12345, 1, b"x", 7), Message(GENERIC_COOKIE, 6 | READS, b"", 8, RESPONSE),
            Message(FLOW_COOKIE, 32), Message(GENERIC_COOKIE, 11 | READS),
            Message(GENERIC_COOKIE, 14), Message(COOKIE, NOLINGER, flags=RESPONSE),
        ]  # fmt: skip
        for message in messages:
            self.graph.send(other, "me:", message)
        self.assertEqual(messages, [item.message for item in self.inbox])
        self.assertEqual({other.id}, {item.source for item in self.inbox})

    def test_generic(self) -> None:
        """Generic requests are the graph's to answer, also to a socket node."""
        other = self.socket("other")
        other.on_message = self.inbox.append
        self.graph.send(other, "me:", Message(GENERIC_COOKIE, 6 | READS))
        self.assertEqual([72], [len(item.message.data) for item in self.inbox])

    def test_nobody_listens(self) -> None:
        """Without somebody behind it every message is EINVAL."""
        self.me.on_message = None
        self.assertEqual(EINVAL, self.tell("me:", 1, cookie=12345))
        self.assertEqual(EINVAL, self.tell("me:", NOLINGER, cookie=COOKIE))

    def test_full(self) -> None:
        """What the outside refuses is the sender's errno."""

        def full(item: Item) -> None:
            raise OSError(ENOBUFS, "full")

        self.me.on_message = full
        self.assertEqual(ENOBUFS, self.tell("me:", 1, cookie=12345))

    def test_unknown(self) -> None:
        """Another number of its own cookie is EINVAL."""
        for cmd in (0, 3, NOLINGER | READS):
            self.assertEqual(EINVAL, self.tell("me:", cmd, cookie=COOKIE))

    def test_linger(self) -> None:
        """It lives on without hooks, until it is told to end with the last one."""
        self.ngctl("mkpeer hub x x", "rmhook x")
        self.assertTrue(self.me.valid)
        self.assertEqual(0, self.tell("me:", NOLINGER, cookie=COOKIE))
        self.assertTrue(self.me.valid)
        self.assertEqual(0, self.tell("me:", LINGER, cookie=COOKIE))
        self.ngctl("mkpeer hub x x", "rmhook x")
        self.assertTrue(self.me.valid)
        self.tell("me:", NOLINGER, cookie=COOKIE)
        self.ngctl("mkpeer hub x x", "mkpeer hub y y", "rmhook x")
        self.assertTrue(self.me.valid)
        self.ngctl("rmhook y")
        self.assertFalse(self.me.valid)
        self.assert_whole()


class DataTests(GraphTests):
    def test_any_hook(self) -> None:
        """Any name, any number of hooks; packets come with the hook they arrived on."""
        self.ngctl("mkpeer hub a a", *(f"connect . a h{n} h{n}" for n in range(50)))
        self.send("a", "p")
        self.assertEqual({f"h{n}" for n in range(50)}, {name for name, _ in self.got})

    def test_self_link(self) -> None:
        """A packet out of one end arrives once at the other (§11.1 #1)."""
        self.ngctl("connect . . a b")
        self.send("a", "12345")
        self.assertEqual([("b", "12345")], self.got)

    def test_collisions(self) -> None:
        """A hook that is taken, and one name for both ends, are EEXIST (§11.1 #5)."""
        self.ngctl("connect . . a b")
        for line in ("connect . . a c", "connect . . c b", "connect . . c c", "mkpeer hub a x"):
            self.assertEqual(EEXIST, self.errno(line), line)
        self.assertEqual(["a", "b"], list(self.me.hooks))

    def test_batch(self) -> None:
        """A batch arrives packet by packet; what is refused is counted."""

        def picky(hook: object, packet: Packet) -> None:
            if packet.len > 1:
                raise OSError(ENOBUFS, "full")
            self.got.append(("", bytes(packet).decode()))

        self.ngctl("connect . . a b")
        self.me.on_data = picky
        self.send_batch("a", "1", "22", "3")
        self.assertEqual([("", "1"), ("", "3")], self.got)
        self.assertEqual({"ENOBUFS": 1}, self.hook("a").drop_names())
        self.assertEqual(ENOBUFS, self.assertRaises(OSError, self.send, "a", "22").errno)

    def test_no_taker(self) -> None:
        """Packets for an outside that takes none are dropped, as delivered."""
        self.ngctl("connect . . a b")
        self.me.on_data = None
        self.send("a", "x")
        self.send_batch("a", "x", "y")
        self.assertEqual((3, {}), (self.hook("a").packets, self.hook("a").drops))

    def test_flow(self) -> None:
        """The outside is told of a full sink with messages 34 and 35 of the neighbour."""
        self.ngctl("mkpeer sink x in")
        for high in (True, False):
            self.hook("in", self.node("x")).send_flow(high)
        names = ["NGM_HIGH_WATER_PASSED", "NGM_LOW_WATER_PASSED"]
        self.assertEqual(
            [(Message(FLOW_COOKIE, 34 + n, bytes(24), cmdstr=name), 2)
             for n, name in enumerate(names)],
            [(item.message, item.source) for item in self.inbox],
        )  # fmt: skip

    def test_flow_and_nobody(self) -> None:
        """With nobody behind it the word ends here."""
        self.me.on_message = None
        self.ngctl("mkpeer sink x in")
        self.hook("in", self.node("x")).send_flow(True)
        self.assertTrue(self.hook("x").high)


class EndTests(GraphTests):
    def test_shutdown(self) -> None:
        """The outside is told once, and nothing reaches it any more."""
        ends: list[str] = []
        self.me.on_shutdown = lambda: ends.append("end")
        self.ngctl("mkpeer sink x in")
        self.graph.rmnode(self.me)
        self.graph.rmnode(self.me)
        self.assertEqual((["end"], None, None), (ends, self.me.on_message, self.me.on_data))
        self.assertEqual({}, self.me.hooks)
        self.assert_whole()

    def test_by_message(self) -> None:
        """shutdown by name ends it; shutting down a name that does not exist is ENOENT."""
        other = self.socket("other")
        self.ngctl("shutdown other:")
        self.assertEqual((False, ENOENT), (other.valid, self.errno("shutdown other:")))

    def test_bug_outside(self) -> None:
        """An outside that fails while it is told is reported, and harms nobody."""
        self.me.on_shutdown = lambda: [].pop()
        self.graph.rmnode(self.me)
        self.assertEqual(["socket node me failed"], [text for text, _ in self.reports])
        self.assert_whole()
