"""The ksocket node: netgraph.md §7, in words and in bytes, on real sockets."""

from __future__ import annotations

import errno as e
import os
import socket
import struct
import sys

from hypothesis import strategies as st

from ngksock.netgraph import EOF, Packet, Tag
from ngksock.nodes.ksocket import ksocket
from ngksock.nodes.ksocket.accepted import Accepted, AcceptedType
from ngksock.nodes.ksocket.address import SOCKADDR, SockAddr, SockAddrType
from ngksock.nodes.ksocket.option import (
    SOCKOPT,
    OptionName,
    OptionNameType,
    Sockopt,
    SockoptType,
)
from ngksock.testing.exchange import check_forms, check_messages, check_others
from ngksock.testing.strategies import register_values
from tests.nodes.reactive import TCP, UDP, ReactiveCase, inet

COOKIE, OWN = 942710669, 1750000200
INTS = st.integers(-(1 << 31), (1 << 31) - 1)


@register_values(SockAddrType)
def _addresses(kind, seen, small):
    families = st.sampled_from([1, 2, 28]) | st.integers(0, 255)
    sizes = st.sampled_from([14, 26]).flatmap(lambda size: st.binary(min_size=size, max_size=size))
    return st.builds(SockAddr, families, sizes | st.binary(max_size=253))


@register_values(AcceptedType)
def _accepted(kind, seen, small):
    numbers = st.integers(0, (1 << 32) - 1)
    return st.builds(Accepted, numbers, _addresses(kind, seen, small).map(SockAddr.generic))


@register_values(SockoptType)
def _options(kind, seen, small):
    return st.builds(Sockopt, INTS, INTS, st.binary(min_size=4, max_size=40))


@register_values(OptionNameType)
def _option_names(kind, seen, small):
    return st.builds(OptionName, INTS, INTS)


class NameTests(ReactiveCase):
    """Hook names and addresses."""

    def test_conforms(self):
        """Its messages keep the promises that those of all types do."""
        check_forms(ksocket, 30)
        check_messages(ksocket, (UDP,), (), 30)
        check_others(ksocket, "refused")

    def test_kinds(self):
        """§7.3: words and FreeBSD's numbers name the same sockets."""
        for name, expected in {
            "inet/dgram/udp": (socket.AF_INET, socket.SOCK_DGRAM),
            "2/2/17": (socket.AF_INET, socket.SOCK_DGRAM),
            "inet/dgram/": (socket.AF_INET, socket.SOCK_DGRAM),
            "2/1/6": (socket.AF_INET, socket.SOCK_STREAM),
            "inet6/dgram/udp": (socket.AF_INET6, socket.SOCK_DGRAM),
            "28/2/17": (socket.AF_INET6, socket.SOCK_DGRAM),
            "inet6/stream/6": (socket.AF_INET6, socket.SOCK_STREAM),
            "local/dgram/0": (socket.AF_UNIX, socket.SOCK_DGRAM),
            "local/seqpacket/0": (socket.AF_UNIX, socket.SOCK_SEQPACKET),
            "1/1/0": (socket.AF_UNIX, socket.SOCK_STREAM),
        }.items():
            self.run_lines(f"mkpeer ksocket x {name}")
            self.assertEqual(expected, self.node(".:x").so.gettype()[:2], name)
            self.run_lines("rmhook x")

    def test_no_kinds(self):
        """§7.3: each name that is none gives its errno, and leaves no node."""
        for name, expected in {
            "inet/dgram": e.EINVAL, "inet/dgram/udp/x": e.EINVAL, "INET/dgram/udp": e.EINVAL,
            "inet/0x2/udp": e.EINVAL, "inet/-1/udp": e.EINVAL, "2147483648/2/17": e.EINVAL,
            "inet/dgram/icmp6": e.EINVAL, "local/stream/ip": e.EINVAL,
            "inet/raw/divert": e.EPROTONOSUPPORT, "divert/raw/0": e.EPROTONOSUPPORT,
            "inet/rdm/0": e.EPROTONOSUPPORT, "inet/dgram/tcp": e.EPROTOTYPE,
            "atm/dgram/0": e.EAFNOSUPPORT, "99/2/0": e.EAFNOSUPPORT,
        }.items():  # fmt: skip
            self.assertEqual(expected, self.errno(f"mkpeer ksocket x {name}"), name)
            self.assertEqual([self.local.id], list(self.net.nodes))

    def test_one_hook(self):
        """A second hook is EISCONN."""
        self.run_lines(f"mkpeer ksocket a {UDP}")
        self.assertEqual(e.EISCONN, self.errno(f"connect .:a b {TCP}"))
        self.assertEqual(e.EISCONN, self.errno(f"mkpeer .:a hub {TCP} x"))

    def test_addresses(self):
        """§7.8: both forms of addresses, and back."""
        for text, data in {
            "inet/192.168.1.1:1234": bytes.fromhex("100204d2c0a80101") + bytes(8),
            "inet/192.168.1.1": bytes.fromhex("10020000c0a80101") + bytes(8),
            'local/"/tmp/foo.socket"': b"\x11\x01/tmp/foo.socket",
            "inet6/[2001::1]:1234": bytes.fromhex("1c1c04d2000000002001")
            + bytes(13) + b"\1" + bytes(4),
        }.items():  # fmt: skip
            self.assertEqual(data, SOCKADDR.pack(SOCKADDR.parse(text)), text)
            self.assertEqual(text, SOCKADDR.unparse(SOCKADDR.unpack(data)), text)
        for text, data in {
            "2/127.0.0.1:80": inet(80),
            "{ family=16 len=16 data=[0x70 0x00 0x01 0x23] }": b"\x10\x10\x70\0\1\x23" + bytes(10),
            "inet6/[::1%lo]:80": bytes.fromhex("1c1c005000000000") + bytes(15) + b"\1"
            + struct.pack("=I", socket.if_nametoindex("lo")),
        }.items():  # fmt: skip
            self.assertEqual(data, SOCKADDR.pack(SOCKADDR.parse(text)), text)

    def test_no_addresses(self):
        """§7.8: what is no address."""
        for text, expected in {
            "": e.EINVAL, "127.0.0.1:80": e.EINVAL, "inet/localhost:80": e.EINVAL,
            "inet/1.2.3": e.EINVAL, "inet/1.2.3.256": e.EINVAL, "inet/1.2.3.4:65536": e.EINVAL,
            "inet/1.2.3.4:": e.EINVAL, "inet/1.2.3.4:x": e.EINVAL, "nowhere/1": e.EINVAL,
            "inet6/::1": e.EINVAL, "inet6/[::g]": e.EINVAL, "inet6/[::1]x": e.EINVAL,
            "inet6/[::1%nosuchif]:1": e.ENXIO, "local//tmp/x": e.EINVAL, 'local/""': e.EINVAL,
            f'local/"{"x" * 200}"': e.E2BIG, "{ family=2 data=[1] }": e.E2BIG,
            "atm/1": e.EINVAL,
        }.items():  # fmt: skip
            self.assertEqual(expected, self.code(SOCKADDR.parse, text), text)


class MessageTests(ReactiveCase):
    """The eight messages, and two of our own."""

    def setUp(self) -> None:
        super().setUp()
        self.run_lines(f"mkpeer ksocket u {UDP}", f"mkpeer ksocket t {TCP}")

    def test_bind(self):
        """bind and getname, in words and in bytes."""
        self.assertEqual("inet/0.0.0.0", self.ask(".:u", "getname"))
        self.run_lines("msg .:u bind inet/127.0.0.1:0")
        host, _, port = self.ask(".:u", "getname").partition(":")
        self.assertEqual(("inet/127.0.0.1", True), (host, int(port) > 0))
        self.assertEqual([inet(int(port))], self.binary(".:u", COOKIE, 5))
        self.assertEqual([], self.binary(".:t", COOKIE, 1, inet(0)))
        self.assertTrue(self.ask(".:t", "getname").startswith("inet/127.0.0.1:"))

    def test_bind_errors(self):
        """bind fails with the errno of bind(2), or for an address of the wrong kind."""
        taken, address = self.udp()
        self.assertEqual(e.EADDRINUSE, self.errno(f"msg .:u bind {address}"))
        self.assertEqual(e.EADDRNOTAVAIL, self.errno("msg .:u bind inet/192.0.2.1:1"))
        self.assertEqual(e.EAFNOSUPPORT, self.errno('msg .:u bind local/"/tmp/x"'))
        self.run_lines("msg .:u bind inet/127.0.0.1:0")
        self.assertEqual(e.EINVAL, self.errno("msg .:u bind inet/127.0.0.1:0"))
        taken.close()

    def test_lengths(self):
        """Arguments of a wrong length are EINVAL, whatever the socket is."""
        for cmd, data in (
            (1, b""), (1, b"\x10"), (1, inet(1)[:15]), (2, bytes(3)), (2, bytes(5)), (3, bytes(4)),
            (4, b"\x10"), (4, inet(1)[:15]), (5, b"x"), (6, b"x"), (7, bytes(7)), (8, bytes(7)),
            (8, bytes(9)),
        ):  # fmt: skip
            self.assertEqual(
                e.EINVAL, self.code(self.binary, ".:u", COOKIE, cmd, data), (cmd, data)
            )
        for cookie, cmd in ((COOKIE, 9), (COOKIE, 0), (1, 1), (OWN, 99)):
            self.assertEqual(e.EINVAL, self.code(self.binary, ".:u", cookie, cmd))

    def test_no_socket(self):
        """Without a hook there is no socket: ENXIO, after the check of the length."""
        node = self.net.make(ksocket)
        path = f"[{node.id:x}]:"
        self.assertEqual(e.EINVAL, self.code(self.binary, path, COOKIE, 1, b""))
        self.assertEqual(e.ENXIO, self.code(self.binary, path, COOKIE, 1, inet(1)))
        for text in ("listen 5", "accept", "getname", "getpeername", "getopt { so_type }", "eof"):
            self.assertEqual(e.ENXIO, self.errno(f"msg {path} {text}"), text)
        self.assertEqual("no socket", self.ask(path, "textstatus").strip('"'))
        self.run_lines(f"shutdown {path}")

    def test_peername(self):
        """getpeername: ENOTCONN, then the peer; a datagram socket may have another."""
        _, first = self.udp()
        _, second = self.udp()
        self.assertEqual(e.ENOTCONN, self.errno("msg .:u getpeername"))
        for address in (first, second):
            token = self.post(".:u", f"connect {address}")
            self.assertEqual(address, self.ask(".:u", "getpeername"))
            self.assertEqual([], self.answers(token))

    def test_options(self):
        """§7.9: FreeBSD's numbers and our words set the same options; replies are numbers."""
        for text, asked, shown in (
            ("{ level=0xffff name=4 value=[ 1 ] }", "{ so_reuseaddr }",
             "{ level=65535 name=4 value=[ 0x4 ] }"),
            ("{ level=0xffff name=4 value=[ 0 ] }", "{ level=0xffff name=4 }",
             "{ level=65535 name=4 value=[ 0x0 ] }"),
            ("{ so_reuseaddr=1 }", "{ level=0xffff name=4 }",
             "{ level=65535 name=4 value=[ 0x4 ] }"),
            ("{ level=0xffff name=4098 data=[ 2=0x1 ] }", "{ so_rcvbuf }",
             "{ level=65535 name=4098 value=[ 2=0x1 ] }"),
            ("{ so_rcvbuf=65536 }", "{ level=65535 name=0x1002 }",
             "{ level=65535 name=4098 value=[ 2=0x1 ] }"),
            ("{ ip_ttl=7 }", "{ level=0 name=4 }", "{ level=0 name=4 value=[ 0x7 ] }"),
        ):  # fmt: skip
            self.run_lines(f"msg .:u setopt {text}")
            answer = self.ask(".:u", f"getopt {asked}")
            self.assertEqual(SOCKOPT.parse(shown), SOCKOPT.parse(answer), text)
        [raw] = self.binary(".:u", COOKIE, 8, struct.pack("=ii", 0xFFFF, 4))
        self.assertEqual(struct.pack("=iii", 0xFFFF, 4, 4), raw)

    def test_option_errors(self):
        """Options that are none, more than one, or not of this host."""
        for text, expected in {
            "{ so_nonsense=1 }": e.ENOENT, "{ so_reuseaddr=1 so_keepalive=1 }": e.EINVAL,
            "{ so_reuseaddr=x }": e.EINVAL, "{ so_reuseaddr }": e.EINVAL,
            "{ level=0xffff name=0x1000 value=[ 1 ] }": e.ENOPROTOOPT,
            "{ level=77 name=1 value=[ 1 ] }": e.ENOPROTOOPT, "": e.EINVAL,
            '{ ip_add_membership="239.1.1.1%nosuchif" }': e.ENXIO,
        }.items():  # fmt: skip
            self.assertEqual(expected, self.errno(f"msg .:u setopt {text}"), text)

    def test_config(self):
        """What was set is told as messages that set it again."""
        self.run_lines("msg .:u setopt { so_reuseaddr=1 }", "msg .:u bind inet/127.0.0.1:0")
        self.assertEqual(
            ["msg . setopt { so_reuseaddr=1 }", "msg . bind inet/127.0.0.1"],
            self.node(".:u").config(),
        )

    def test_config_words(self):
        """An option is told in words where they have the same bytes, else in numbers."""
        for given, told in {
            "{ level=0xffff name=4 value=[ 1 ] }": "{ so_reuseaddr=1 }",
            "{ level=0xffff name=4 value=[ 2 ] }": "{ level=65535 name=4 value=[ 0x2 ] }",
            "{ so_rcvbuf=0x20000 }": "{ so_rcvbuf=131072 }",
            "{ so_rcvtimeo=1.5 }": "{ so_rcvtimeo=1.5 }",
            "{ so_linger=5 }": "{ so_linger=5 }",
            "{ level=0xffff name=0x80 value=[ 1 4=5 7=0 8=1 ] }":
                "{ level=65535 name=128 value=[ 0x1 4=0x5 8=0x1 ] }",
            "{ ip_multicast_if=lo }": "{ ip_multicast_if=lo }",
            "{ ip_multicast_if=127.0.0.1 }": "{ ip_multicast_if=127.0.0.1 }",
        }.items():  # fmt: skip
            self.run_lines(f"msg .:u setopt {given}")
            self.assertEqual(f"msg . setopt {told}", self.node(".:u").config()[-1])
            self.assertEqual(SOCKOPT.pack(SOCKOPT.parse(given)), SOCKOPT.pack(SOCKOPT.parse(told)))

    def test_config_groups(self):
        """A group that was left is not told, one that was joined again is."""
        one, two = (f"msg . setopt {{ ip_add_membership=239.1.1.{n}%lo }}" for n in (1, 2))
        for number in (1, 2):
            self.run_lines(f'msg .:u setopt {{ ip_add_membership="239.1.1.{number}%lo" }}')
        self.assertEqual([one, two], self.node(".:u").config())
        self.run_lines('msg .:u setopt { ip_drop_membership="239.1.1.1%lo" }')
        self.assertEqual([two], self.node(".:u").config())
        self.run_lines('msg .:u setopt { ip_add_membership="239.1.1.1%lo" }')
        self.assertEqual([two, one], self.node(".:u").config())

    def test_config_refused(self):
        """A connect that was refused is not told: what the socket was connected to, it still is."""
        _, address = self.udp()
        self.run_lines(f"msg .:u connect {address}")
        self.assertEqual(e.EACCES, self.errno("msg .:u connect inet/255.255.255.255:9"))
        self.assertEqual([f"msg . connect {address}"], self.node(".:u").config())
        self.assertEqual(address, self.ask(".:u", "getpeername"))

    def test_config_paths(self):
        """A relative path is told in full: the file may be read in another directory."""
        folder = self.mktemp()
        os.mkdir(folder)
        self.net.shared["directory"] = os.path.abspath(folder)
        self.net.shared.pop("kpi", None)
        self.run_lines("mkpeer ksocket p local/dgram/0", 'msg .:p bind local/"x"')
        full = os.path.join(os.path.abspath(folder), "x")
        self.assertEqual([f'msg . bind local/"{full}"'], self.node(".:p").config())

    def test_status(self):
        """The status tells kind, state, addresses, counters, queues and the last error."""
        _, address = self.udp()
        self.run_lines("msg .:u bind inet/127.0.0.1:0", f"msg .:u connect {address}")
        name = self.ask(".:u", "getname")
        self.local.send("u", b"four")
        self.local.send("u", b"")
        self.assertEqual(
            f"inet/dgram/udp connected {name} -> {address}; received 0 packets, 0 bytes; "
            "sent 2 packets, 4 bytes; queued 0 in, 0 out",
            self.node(".:u").status(),
        )
        self.assertEqual(e.EMSGSIZE, self.code(self.local.send, "u", bytes(65508)))
        self.assertIn("failed to send 1 EMSGSIZE; last error EMSGSIZE", self.node(".:u").status())


class DatagramTests(ReactiveCase):
    """Datagrams, and whom they go to."""

    def setUp(self) -> None:
        super().setUp()
        self.run_lines(f"mkpeer ksocket u {UDP}", "msg .:u bind inet/127.0.0.1:0")
        self.name = self.ask(".:u", "getname")
        self.port = int(self.name.rpartition(":")[2])

    async def arrived(self, data: bytes) -> Packet:
        """Send the ksocket a datagram from a fresh socket; return the packet it becomes."""
        packets: list[Packet] = []
        self.local.rcvdata = lambda hook, packet: packets.append(packet)  # type: ignore[method-assign]
        self.peer, _ = self.udp()
        self.peer.sendto(data, ("127.0.0.1", self.port))
        await self.until(lambda: packets)
        return packets[0]

    async def test_tagged(self):
        """§7.11: a datagram is marked with the ksocket's id and its sender's address."""
        packet = await self.arrived(b"hello")
        [tag] = packet.tags
        own = struct.pack("=I", self.node(".:u").id)
        self.assertEqual((COOKIE, 1), (tag.cookie, tag.type))
        self.assertEqual(own + inet(self.peer.getsockname()[1]), tag.data)

    async def test_answered(self):
        """§7.12: with its own mark, or with id 0, a packet finds its destination."""
        packet = await self.arrived(b"hello")
        self.local.hooks["u"].send_data(packet)
        self.assertEqual(b"hello", await self.read(self.peer, 100))
        to = inet(self.peer.getsockname()[1])
        anybody = Packet(b"from afar", (Tag(COOKIE, 1, bytes(4) + to),))
        self.local.hooks["u"].send_data(anybody)
        self.assertEqual(b"from afar", await self.read(self.peer, 100))

    async def test_other_mark(self):
        """§7.12: the mark of another ksocket is no destination: EDESTADDRREQ, and counted."""
        packet = await self.arrived(b"hello")
        other = (self.node(".:u").id + 1).to_bytes(4, sys.byteorder)
        wrong = Packet(b"x", (Tag(COOKIE, 1, other + packet.tags[0].data[4:]),))
        hook = self.local.hooks["u"]
        self.assertEqual(e.EDESTADDRREQ, self.code(hook.send_data, wrong))
        self.assertEqual({"EDESTADDRREQ": 1}, hook.drop_names())

    async def test_batch(self):
        """A batch with marks goes to its several destinations, and loses only what is lost."""
        one, _ = self.udp()
        two, _ = self.udp()
        tags = [(Tag(COOKIE, 1, bytes(4) + inet(s.getsockname()[1])),) for s in (one, two)]
        batch = [Packet(b"1", tags[0]), Packet(b"2", tags[1]), EOF, Packet(b"lost")]
        self.local.send_batch("u", batch)
        self.assertEqual(b"1", await self.read(one, 10))
        self.assertEqual(b"2", await self.read(two, 10))
        self.assertEqual({"EDESTADDRREQ": 1}, self.local.hooks["u"].drop_names())

    async def test_connected(self):
        """A connected socket marks nothing, and empty datagrams are datagrams."""
        peer, address = self.udp()
        self.run_lines(f"msg .:u connect {address}")
        peer.sendto(b"", ("127.0.0.1", self.port))
        peer.sendto(b"x", ("127.0.0.1", self.port))
        await self.until(lambda: len(self.local.received.get("u", [])) == 2)
        self.assertEqual({"u": [b"", b"x"]}, self.local.received)
        self.local.send("u", b"")
        self.assertEqual(b"", await self.read(peer, 10))

    async def test_refused(self):
        """A datagram that nobody took costs nothing but a note in the status."""
        peer, address = self.udp()
        peer.close()
        self.run_lines(f"msg .:u connect {address}")
        self.local.send("u", b"x")
        await self.until(lambda: "ECONNREFUSED" in self.node(".:u").status())
        self.local.send("u", b"x")

    async def test_no_end(self):
        """The mark of an end means nothing to datagrams."""
        self.local.send("u", EOF)
        await self.pause()
        self.assertTrue(self.node(".:u").valid)
