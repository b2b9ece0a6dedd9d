"""What FreeBSD's own netgraph tests assert (netgraph.md §11), over NGD/1.

The numbers are those of that list.  bridge (14 to 21), vlan_rotate (26 to 29)
and macfilter (30 to 36) are in modules of their own.
"""

from __future__ import annotations

import errno
import re
import socket
import struct

from tests.control import rawclient as raw
from tests.control.case import ControlCase
from tests.control.rawclient import BIND, CONTROL, GETNAME
from tests.integration.service import until

BIND_SOCKET, CONNECT_SOCKET, GETNAME_SOCKET = 1, 4, 5


class BasicTests(ControlCase):
    def test_1_self_link(self) -> None:
        """A packet out of a arrives exactly once on b."""
        p = self.client()
        self.ok(p.link(".", ".", "a", "b"), p.write("a", b"test\0"))
        self.assertEqual([("b", b"test\0")], p.data.drain())

    def test_2_names_with_blanks(self) -> None:
        """A node called `test hub`, twice; its path works in connect and shutdown."""
        p = self.client()
        self.ok(
            p.mkpeer(".", "hub", "a", "a"), p.name(".:a", "test hub"), p.name(".:a", "test hub"),
            p.link(".", "test hub:", "b", "b"), p.shutdown("test hub:"),
        )  # fmt: skip

    def test_3_fan_out(self) -> None:
        """Three hooks on a named hub; then one less."""
        p = self.client()
        self.ok(p.mkpeer(".", "hub", "a", "a"), p.name(".:a", "test hub"))
        self.ok(p.link(".", "test hub:", "b", "b"), p.link(".", "test hub:", "c", "c"))
        self.ok(p.write("a", b"test\0"))
        self.assertEqual({"a": 0, "b": 1, "c": 1}, p.counts("a", "b", "c"))
        self.ok(p.rmhook(".", "b"), p.write("a", b"test\0"))
        self.assertEqual({"a": 0, "b": 0, "c": 1}, p.counts("a", "b", "c"))
        self.ok(p.shutdown("test hub:"))

    def test_4_persistence(self) -> None:
        """A persistent hub outlives its only hook; the message is sent in ASCII."""
        p = self.client()
        self.ok(p.mkpeer(".", "hub", "a", "a"), p.name(".:a", "test hub"))
        self.ok(p.ascii(".:a", "setpersistent"), p.rmhook(".", "a"), p.shutdown("test hub:"))

    def test_5_collisions(self) -> None:
        """Hooks and names that are taken."""
        p = self.client()
        self.ok(p.mkpeer(".", "hub", "a", "a"), p.name(".:a", "test hub"))
        self.assertEqual(errno.EEXIST, p.link(".", ".", "a", "b"))
        self.assertEqual(errno.EEXIST, p.link(".", ".", "b", "b"))
        self.assertEqual(errno.EADDRINUSE, p.name(".", "test hub"))

    def test_6_receive_buffer(self) -> None:
        """More than 100 packets fit, fewer than 1000; what was accepted is all there."""
        p = self.client()
        self.ok(p.link(".", ".", "a", "b"))
        codes: list[int] = []
        while len(codes) < 1000 and not any(codes):
            codes.append(p.write("a", b"test\0"))
        accepted = codes.count(0)
        self.assertTrue(100 < accepted < 1000, accepted)
        self.assertEqual([0] * accepted + [errno.ENOBUFS], codes)
        self.assertEqual({"a": 0, "b": accepted}, p.counts("a", "b"))


class HubTests(ControlCase):
    def test_7_no_bounce(self) -> None:
        """A packet does not come back to its sender."""
        p = self.client()
        self.ok(p.mkpeer(".", "hub", "a", "a"), p.write("a", b"test\0"))
        self.assertEqual({"a": 0}, p.counts("a"))

    def test_8_all_others(self) -> None:
        """From each of three hooks to the two others; then to the one that is left."""
        p = self.client()
        self.ok(p.mkpeer(".", "hub", "a", "a"), p.name(".:a", "test hub"))
        self.ok(p.link(".", "test hub:", "b", "b"), p.link(".", "test hub:", "c", "c"))
        for out in "abc":
            self.ok(p.write(out, b"test\0"))
            self.assertEqual({h: int(h != out) for h in "abc"}, p.counts(*"abc"))
        self.ok(p.rmhook(".", "b"), p.write("a", b"test\0"))
        self.assertEqual({"a": 0, "c": 1}, p.counts("a", "c"))

    def test_9_persistence(self) -> None:
        """As the fourth, with the message in binary."""
        p = self.client()
        self.ok(p.mkpeer(".", "hub", "a", "a"), p.name(".:a", "test hub"))
        self.ok(p.send(".:a", 1082189597, 1), p.rmhook(".", "a"))
        self.assertEqual({"test hub": "hub"}, p.names())
        self.ok(p.shutdown("test hub:"))

    def test_10_open_loop(self) -> None:
        """Two hubs with one link: once."""
        p = self.client()
        self.two_hubs(p)
        self.ok(p.write("a", b"test\0"))
        self.assertEqual({"a": 0, "b": 1}, p.counts("a", "b"))

    def test_11_closed_loop(self) -> None:
        """Two hubs with two links: it goes round, and both can be shut down."""
        p = self.client()
        self.two_hubs(p)
        self.ok(p.link("test hub 1:", "test hub 2:", "loop", "loop"))
        self.ok(p.write("a", b"test\0"))
        found = [p.data.event() for _ in range(10)]
        self.assertGreater(len(found), 7)
        self.ok(p.shutdown("test hub 1:"), p.shutdown("test hub 2:"))

    def test_12_many_hooks(self) -> None:
        """A thousand hooks, a packet from each: more than a hundred arrive at the first."""
        p = self.client()
        self.ok(p.mkpeer(".", "hub", "h0", "h0"), p.name(".:h0", "test hub"))
        seen = 0
        for n in range(1, 1000):
            self.ok(p.link(".", "test hub:", f"h{n}", f"h{n}"))
            code = p.write(f"h{n}", b"test\0")
            # More hooks than packets that the queue has room for: as on FreeBSD.
            self.assertIn(code, (0, errno.ENOBUFS))
            seen += p.counts("h0")["h0"]
        self.assertGreater(seen, 100)

    def test_13_no_such_name(self) -> None:
        """Shutting down what is not there."""
        self.assertEqual(errno.ENOENT, self.client().shutdown("test hub 1:"))

    def two_hubs(self, p: raw.Client) -> None:
        self.ok(
            p.mkpeer(".", "hub", "a", "a"), p.name(".:a", "test hub 1"),
            p.mkpeer(".", "hub", "b", "b"), p.name(".:b", "test hub 2"),
            p.link("test hub 1:", "test hub 2:", "link", "link"),
        )  # fmt: skip


class KsocketTests(ControlCase):
    """Addresses are FreeBSD's: length, family, then the port."""

    def udp(self) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(sock.close)
        sock.settimeout(raw.DEADLINE)
        return sock

    def test_22_udp_connect(self) -> None:
        """Data written without an address arrives at an ordinary socket, byte for byte."""
        p, udp = self.client(), self.udp()
        udp.bind(("127.0.0.1", 0))
        self.ok(p.mkpeer(".", "ksocket", "ks", "inet/dgram/udp"))
        port = udp.getsockname()[1]
        address = struct.pack(">BBH4s8x", 16, 2, port, socket.inet_aton("127.0.0.1"))
        self.ok(p.send(".:ks", raw.KSOCKET, CONNECT_SOCKET, address))
        self.ok(p.write("", b"test\0"))
        self.assertEqual(b"test\0", udp.recv(100))

    def test_23_udp_bind(self) -> None:
        """bind to port zero, getname, and data the other way."""
        p, udp = self.client(), self.udp()
        self.ok(p.mkpeer(".", "ksocket", "ks", "inet/dgram/udp"))
        self.ok(p.send(".:ks", raw.KSOCKET, BIND_SOCKET, struct.pack(">BB14x", 16, 2)))
        name = p.ask(".:ks", raw.KSOCKET, GETNAME_SOCKET)
        self.assertFalse(p.control.pending())
        length, family, port, host = struct.unpack(">BBH4s8x", name)
        self.assertEqual((16, 2, "0.0.0.0"), (length, family, socket.inet_ntoa(host)))
        udp.connect(("127.0.0.1", port))
        udp.send(b"test\0")
        until(lambda: p.data.pending(), "a packet")
        self.assertEqual([("ks", b"test\0")], p.data.drain())

    def test_asynchronous_connect(self) -> None:
        """connect of a stream is EINPROGRESS; exactly one response follows, with its outcome."""
        p = self.client()
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            for hook in ("good", "bad"):
                self.ok(p.mkpeer(".", "ksocket", hook, "inet/stream/tcp"))
                address = struct.pack(">BBH4s8x", 16, 2, port, socket.inet_aton("127.0.0.1"))
                code = p.send(f".:{hook}", raw.KSOCKET, CONNECT_SOCKET, address)
                self.assertEqual(errno.EINPROGRESS, code)
                reply = p.control.message()
                self.assertEqual(
                    (1, p.token, raw.KSOCKET), (reply.flags, reply.token, reply.cookie)
                )
                (outcome,) = struct.unpack("=i", reply.data)
                self.assertEqual(0 if hook == "good" else errno.ECONNREFUSED, outcome)
                server.close()
        self.assertFalse(p.control.pending())


class SocketTests(ControlCase):
    def test_24_unnamed(self) -> None:
        """The name of an unnamed node is its id."""
        name = self.socket(CONTROL).do(GETNAME).decode()
        self.assertTrue(re.fullmatch(r"\[[0-9a-f]+\]", name), name)
        self.assertGreaterEqual(len(name), 3)

    def test_25_named(self) -> None:
        """A name of 31 characters is returned in full."""
        sock = self.socket(CONTROL)
        name = "0123456789012345678901234567890"
        sock.do(BIND, name)
        self.assertEqual(name.encode(), sock.do(GETNAME))


class AssumptionTests(ControlCase):
    """Test harness assumptions worth keeping (§11.8)."""

    def test_conversions(self) -> None:
        """binary2ascii from a second node at every step: no side effects, the text is right."""
        p, other = self.client(), self.client()
        mkpeer = raw.field("hub") + raw.field("a") + raw.field("b")
        before = p.nodes()
        inner = raw.message(raw.GENERIC, raw.MKPEER, mkpeer)
        answer = raw.Reply("", other.ask(".", raw.GENERIC, raw.BINARY2ASCII, inner))
        self.assertEqual("mkpeer", answer.cmdstr)
        self.assertEqual(b'{ type="hub" ourhook="a" peerhook="b" }\0', answer.data)
        self.assertEqual(answer.arglen, len(answer.data))
        self.assertEqual(before, p.nodes())
        self.assertFalse(p.control.pending())
