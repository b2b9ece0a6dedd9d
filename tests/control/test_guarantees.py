"""The five guarantees of docs/wire, and what bounds a loop."""

from __future__ import annotations

import errno
import select
import socket
import struct

from tests.control import rawclient as raw
from tests.control.case import ControlCase
from tests.control.rawclient import (
    BIND,
    CONTROL,
    DATA,
    GETNAME,
    SEND,
    Client,
    EndedError,
    RawSocket,
)
from tests.integration.service import until


def waits(sock: RawSocket) -> bool:
    """Say whether a reply is there now."""
    return bool(select.select([sock], [], [], 0)[0])


class GuaranteeTests(ControlCase):
    def test_applied(self) -> None:
        """1: when a call has returned, its message has been applied, and the errno is its."""
        one, two = self.client(), self.client()
        for turn in range(200):
            self.ok(one.mkpeer(".", "hub", "a", "x"), one.name("a", "h"))
            self.assertEqual({"h": "hub"}, two.names(), turn)
            self.assertEqual(errno.EADDRINUSE, two.control.errno_of(BIND, "h"))
            self.ok(two.shutdown("h:"))
            self.assertEqual(errno.ENOENT, one.shutdown("h:"))

    def test_event_first(self) -> None:
        """2: once the reply to the call can be read, every event it caused can be."""
        client, other = self.client("n"), self.client("o")
        self.ok(client.link(".", "o:", "a", "b"))
        self.ok(client.mkpeer(".", "hub", "h1", "x1"), client.link("h1", "n:", "x2", "h2"))
        for seq in range(1, 300):
            client.control.calls.send(
                raw.call(SEND, seq, b".", raw.message(raw.GENERIC, raw.LISTNODES, token=seq))
            )
            until(lambda: waits(client.control), "a reply")
            self.assertTrue(client.control.pending())
            client.control.reply()
            self.assertEqual(seq, client.control.message().token)
        for name, there in (("a", other.data), ("h1", client.data)):
            client.data.calls.send(raw.call(SEND, 1, name.encode(), b"x"))
            until(lambda: waits(client.data), "a reply")
            self.assertEqual(1, len(there.drain()))
            client.data.reply()

    def test_has_reply(self) -> None:
        """3: a request of the has-reply kind that succeeds has queued an event to its sender."""
        client = self.client("n")
        self.ok(
            client.mkpeer(".", "hub", "h", "x"),
            client.mkpeer(".", "ksocket", "k", "inet/dgram/udp"),
        )
        asked = 0
        for path in (".", "h", "k"):
            for cookie in (raw.GENERIC, raw.EXTRA, raw.KSOCKET, 851601233):
                for cmd in range(1, 16):
                    for bits in (0x20000000, 0x30000000):
                        code = client.send(path, cookie, cmd | bits)
                        events = len(client.control.drain())
                        self.assertEqual(code == 0, events > 0, (path, cookie, cmd))
                        asked += code == 0
        self.assertGreater(asked, 20)

    def test_refused_reply(self) -> None:
        """3: a reply that finds no room makes the request fail with ENOBUFS."""
        client = self.client("n", queue=4096)
        codes = [client.send(".", raw.GENERIC, raw.LISTNODES) for _ in range(100)]
        accepted = codes.count(0)
        self.assertEqual([0] * accepted + [errno.ENOBUFS] * (100 - accepted), codes)
        self.assertEqual(accepted, len(client.control.drain()))
        self.assertTrue(0 < accepted < 100)

    def test_too_long_a_reply(self) -> None:
        """3: one that is longer than the whole queue is ENOBUFS too, and nothing is stuck."""
        small, client = self.client("small", queue=4096), self.client("n")
        for number in range(150):
            self.ok(client.mkpeer(".", "hub", f"h{number}", "x"))
        self.assertEqual(errno.ENOBUFS, small.send("n:", raw.GENERIC, raw.LISTHOOKS))
        self.ok(small.send(".", raw.GENERIC, raw.NODEINFO))
        self.assertEqual(72 + 150 * 136, len(client.ask("n:", raw.GENERIC, raw.LISTHOOKS)))

    def test_order(self) -> None:
        """4: effects are visible to everyone's next call; events are FIFO."""
        clients = [self.client(f"c{n}") for n in range(5)]
        for n, client in enumerate(clients):
            self.ok(client.link(".", "c0:", "out", f"in{n}"))
            self.assertIn(f"c{n}", clients[n - 1].names())
        for n in range(50):
            for client in clients[1:]:
                self.ok(client.write("out", b"%d" % n), client.send("c0:", 99, n))
        data = [(hook, int(packet)) for hook, packet in clients[0].data.drain()]
        self.assertEqual([(f"in{c}", n) for n in range(50) for c in range(1, 5)], data)
        cmds = [struct.unpack_from("=I", packet, 8)[0] for _, packet in clients[0].control.drain()]
        self.assertEqual([n for n in range(50) for _ in range(4)], cmds)

    def test_again_under_the_same_name(self) -> None:
        """5: who ended a moment ago is gone before the next HELLO is answered."""
        for _ in range(300):
            client = Client(self.path, "same")
            client.mkpeer(".", "hub", "a", "b")
            client.close()

    def test_calls_before_the_end(self) -> None:
        """5: what a client had sent before its end is done first, however much it was."""
        other = self.client()
        for turn in range(10):
            sock = RawSocket(self.path, None)
            sock.calls.send(raw.call(1, 1, b"", raw.hello(CONTROL)))
            sock.calls.send(raw.call(BIND, 2, b"same"))
            for n in range(20):
                mkpeer = raw.field("hub") + raw.field(f"a{n}") + raw.field("b")
                sock.calls.send(
                    raw.call(SEND, 3, b".", raw.message(raw.GENERIC, raw.MKPEER, mkpeer))
                )
            name = raw.message(raw.GENERIC, raw.NAME, raw.field(f"left{turn}"))
            sock.calls.send(raw.call(SEND, 4, b"a7", name))
            persist = raw.message(1082189597, 1)
            sock.calls.send(raw.call(SEND, 5, b"a7", persist))
            sock.calls.shutdown(socket.SHUT_WR)
            self.open.append(sock)
            self.client("same").close()
            self.assertIn(f"left{turn}", other.names())

    def test_half_closed(self) -> None:
        """5: a client that has shut down its side for writing has ended as well."""
        sock = self.socket(CONTROL)
        sock.do(BIND, "same")
        sock.calls.shutdown(socket.SHUT_WR)
        self.client("same")
        self.assertRaises(EndedError, sock.reply)

    def test_two_that_end_within_hello(self) -> None:
        """5: of clients that have said HELLO and gone, nothing stays."""
        for _ in range(20):
            for kind in (CONTROL, DATA, CONTROL, CONTROL):
                sock = RawSocket(self.path, None)
                sock.calls.send(raw.call(1, 1, b"", raw.hello(kind)))
                sock.close()
        self.assertEqual(1, len(self.client().nodes()))


class LoopTests(ControlCase):
    def test_closed_loop(self) -> None:
        """A packet that goes round for ever does not keep control messages waiting."""
        client = self.client()
        self.ok(
            client.mkpeer(".", "hub", "a", "x"), client.name("a", "one"),
            client.mkpeer("one:", "hub", "l0", "l0"), client.name("one:l0", "two"),
            client.link("one:", "two:", "l1", "l1"), client.write("a", b"round"),
        )  # fmt: skip
        for _ in range(100):
            self.assertEqual({"one": "hub", "two": "hub"}, client.names())
        until(lambda: client.data.pending(), "a packet")
        self.ok(client.shutdown("one:"))  # the other one goes with its last hook
        client.data.drain()
        self.assertEqual({}, client.names())


class PipelineTests(ControlCase):
    def test_unread_replies(self) -> None:
        """Who never reads replies is closed once no reply fits; others notice nothing."""
        sock, other = self.socket(CONTROL), self.client()
        sock.do(BIND, "deaf")
        sock.calls.setblocking(False)
        sent = 0
        while True:
            try:
                sock.calls.send(raw.call(GETNAME, sent))
            except BlockingIOError:
                self.assertTrue(other.nodes())  # it gets on meanwhile
                continue
            except OSError:
                break
            sent += 1
            self.assertLess(sent, 100_000)
        self.assertGreater(sent, 100)
        self.client().close()
        self.assertNotIn("deaf", other.names())
