"""bpf against libpcap: expressions are compiled by it, and its machine decides as ours."""

from __future__ import annotations

import importlib
import random
import struct
import sys
from errno import EINVAL, ENOENT, EOPNOTSUPP
from time import process_time
from typing import Any
from unittest import SkipTest

from hypothesis import given
from twisted.trial.unittest import SynchronousTestCase

from ngksock.netgraph import Message
from ngksock.nodes.bpf.expression import compile_expression
from ngksock.nodes.bpf.machine import Instruction, check
from ngksock.nodes.bpf.translate import translate
from ngksock.testing import GraphTestCase
from ngksock.testing.exchange import limits
from tests.nodes.bpfprograms import packets, program, programs

try:
    cypcap: Any = importlib.import_module("cypcap")  # it has no annotations
except ImportError as error:
    raise SkipTest(f"cypcap is not installed: {error}") from error

ETHERNET, IP = 1, 12
SEED = 20250705
PACKETS = 4000

FILTERS = """\
udp port 53
tcp
udp
icmp
icmp6
arp
rarp
ip
ip6
ip proto 47
ip6 proto 58
vlan
vlan 100
vlan 100 and udp port 53
vlan and ip6
host 10.0.0.1
src host 10.0.0.2
dst host 10.0.0.3
src net 10.0.0.0/8
net 192.168.0.0/16 and not host 192.168.1.1
host 2001:db8::1
src net 2001:db8::/32
ether host 02:00:00:00:00:01
ether src 02:00:00:00:00:02
ether broadcast
ether multicast
ip multicast
ip6 multicast
tcp port 80 or tcp port 443
tcp dst port 22
src port 53 and dst portrange 1024-65535
portrange 50-90
tcp[tcpflags] & (tcp-syn|tcp-fin) != 0
tcp[tcpflags] & tcp-syn != 0 and tcp[tcpflags] & tcp-ack == 0
tcp port 80 and (((ip[2:2] - ((ip[0] & 0xf) << 2)) - ((tcp[12] & 0xf0) >> 2)) != 0)
icmp[icmptype] == icmp-echo or icmp[icmptype] == icmp-echoreply
ip[6:2] & 0x1fff != 0
ip[6] & 0x20 != 0 or ip[6:2] & 0x1fff != 0
ip[0] & 0xf > 5
ip[8] < 10
udp[4:2] > 100
less 64
greater 100 and less 200
len % 7 == 3
len * 3 - 60 > len / 2 + 30
ether[12:2] > 1500 and not (ip or ip6 or arp)
ip6[6] == 44 or ip6[7] == 1
not (tcp or udp) and (ip or ip6)
host 10.0.0.1 and (port 53 or 80 or 443) and not src net 192.168.0.0/16
(ether[0] ^ ether[6]) | (ether[5] & 0x0f) != 0 and ether[14] >> 4 == 4
""".splitlines()

PORTS = (22, 53, 67, 80, 123, 443, 1024, 5353, 60000)
V4 = tuple(
    bytes(address)
    for address in ((10, 0, 0, 1), (10, 0, 0, 2), (10, 0, 0, 3), (192, 168, 1, 1),
                    (192, 168, 2, 9), (172, 16, 0, 1), (224, 0, 0, 251), (255, 255, 255, 255))
)  # fmt: skip
V6 = tuple(
    bytes.fromhex(address)
    for address in ("20010db8000000000000000000000001", "20010db8000000000000000000000002",
                    "fe800000000000000000000000000001", "ff0200000000000000000000000000fb")
)  # fmt: skip
STATIONS = (
    b"\xff" * 6,
    b"\x01\x00\x5e\x00\x00\xfb",
    b"\x33\x33\x00\x00\x00\xfb",
    *(bytes((2, 0, 0, 0, 0, number)) for number in range(4)),
)


class Traffic:
    """Frames as a network has them, and as it should not."""

    def __init__(self, seed: int) -> None:
        self.choose = random.Random(seed)

    def frames(self, count: int) -> list[bytes]:
        """Return *count* frames; some are cut off, or have damaged bytes."""
        return [self.frame() for _ in range(count)]

    def frame(self) -> bytes:
        """Return one frame."""
        choose = self.choose
        if choose.random() < 0.05:
            return choose.randbytes(choose.choice((1, 13, 14, 60, 200)))
        kind, payload = choose.choice(
            (self.ip4, self.ip4, self.ip4, self.ip6, self.ip6, self.arp)
        )()
        if choose.random() < 0.04:
            kind, payload = choose.choice((0x0026, 0x88CC, 0x05DC)), choose.randbytes(46)
        tags = b""
        for protocol in choose.choice(((), (), (), (0x8100,), (0x88A8, 0x8100), (0x9100,))):
            tags += struct.pack(">HH", protocol, choose.choice((0, 100, 0x2064, 4095)))
        data = choose.choice(STATIONS) + choose.choice(STATIONS) + tags
        data += struct.pack(">H", kind) + payload
        if choose.random() < 0.1:
            data = data[: choose.randrange(1, len(data))]
        if choose.random() < 0.1:
            at = choose.randrange(len(data))
            data = data[:at] + choose.randbytes(1) + data[at + 1 :]
        return data

    def arp(self) -> tuple[int, bytes]:
        """Return an ARP, or RARP, request or answer."""
        choose = self.choose
        head = struct.pack(">HHBBH", 1, 0x0800, 6, 4, choose.choice((1, 2)))
        ends = b"".join(choose.choice(STATIONS) + choose.choice(V4) for _ in "ab")
        return choose.choice((0x0806, 0x0806, 0x8035)), head + ends + bytes(18)

    def ip4(self) -> tuple[int, bytes]:
        """Return IPv4, with options and in fragments at times."""
        choose = self.choose
        proto, payload = self.transport(1)
        options = bytes(choose.choice((0, 0, 0, 4, 8, 40)))
        fragment = choose.choice((0, 0, 0, 0x4000, 0x2000, 0x2010, 0x0010))
        head = struct.pack(
            ">BBHHHBBH", 0x45 + len(options) // 4, 0, 20 + len(options) + len(payload), 1,
            fragment, choose.choice((1, 9, 64, 255)), proto, 0,
        )  # fmt: skip
        return 0x0800, head + choose.choice(V4) + choose.choice(V4) + options + payload

    def ip6(self) -> tuple[int, bytes]:
        """Return IPv6, with a fragment header at times."""
        choose = self.choose
        proto, payload = self.transport(58)
        if choose.random() < 0.15:
            offset = choose.choice((0, 1, 0x10))
            payload = struct.pack(">BBHI", proto, 0, offset, 7) + payload
            proto = 44
        head = struct.pack(">IHBB", 6 << 28, len(payload), proto, 64)
        return 0x86DD, head + choose.choice(V6) + choose.choice(V6) + payload

    def transport(self, icmp: int) -> tuple[int, bytes]:
        """Return a protocol, and what it carries."""
        choose = self.choose
        data = choose.randbytes(choose.choice((0, 0, 1, 20, 100, 600)))
        ports = struct.pack(">HH", choose.choice(PORTS), choose.choice(PORTS))
        proto = choose.choice((6, 6, 17, 17, 17, icmp, 47))
        if proto == 6:
            flags = choose.choice((0x02, 0x12, 0x10, 0x18, 0x11, 0x04))
            return 6, ports + struct.pack(">IIBBHHH", 1, 2, 0x50, flags, 512, 0, 0) + data
        if proto == 17:
            return 17, ports + struct.pack(">HH", 8 + len(data), 0) + data
        kind = choose.choice((0, 8, 3, 128, 135))
        return proto, struct.pack(">BBHI", kind, 0, 0, 1) + data


class VerdictTests(SynchronousTestCase):
    def test_real_filters(self) -> None:
        """200,000 verdicts, 4,000 packets under 50 filters, are libpcap's own."""
        self.assertEqual((50, 50), (len(FILTERS), len({*FILTERS})))
        frames = Traffic(SEED).frames(PACKETS)
        headers = [cypcap.Pkthdr(caplen=len(frame), len=len(frame)) for frame in frames]
        verdicts = 0
        for text in FILTERS:
            theirs = cypcap.compile(ETHERNET, 262144, text, True, 0xFFFFFFFF)
            run = translate(compile_expression(text, ETHERNET, 262144))
            ours = [run(frame) for frame in frames]
            self.assertEqual({0, 262144}, {*ours}, f"{text} is decided one way alone")
            expected = list(map(theirs.offline_filter, headers, frames))
            if expected != list(map(bool, ours)):
                at = next(n for n, kept in enumerate(ours) if bool(kept) != expected[n])
                self.fail(f"{text}: {ours[at]}, libpcap {expected[at]}, of {frames[at].hex()}")
            verdicts += len(ours)
        self.assertEqual(200_000, verdicts)

    def test_unoptimized(self) -> None:
        """So are those of the programs before libpcap optimizes them, where ours takes them."""
        frames = Traffic(SEED + 1).frames(200)
        for text in FILTERS:
            theirs = cypcap.compile(ETHERNET, 96, text, False, 0xFFFFFFFF)
            steps = [Instruction(*step) for step in theirs]
            check(steps)
            run = translate(steps)
            for frame in frames:
                header = cypcap.Pkthdr(caplen=len(frame), len=len(frame))
                self.assertEqual(96 * theirs.offline_filter(header, frame), run(frame), text)

    @limits(400)
    @given(programs(), packets())
    def test_random_programs(self, steps: list[Instruction], packet: bytes) -> None:
        """Any valid program decides as in libpcap's machine."""
        theirs = cypcap.BpfProgram([(step.code, step.jt, step.jf, step.k) for step in steps])
        header = cypcap.Pkthdr(caplen=len(packet), len=len(packet))
        self.assertEqual(theirs.offline_filter(header, packet), bool(translate(steps)(packet)))

    def test_index_beyond(self) -> None:
        """X + k that does not fit 32 bits is beyond the packet, as libpcap has it."""
        for load in (0x40, 0x48, 0x50):
            for x, k in ((0xFFFFFFFF, 1), (0xFFFFFFFF, 5), (1, 0xFFFFFFFF), (0x80000000,) * 2):
                steps = program((0x01, x), (load, k), (0x06, 1))
                theirs = cypcap.BpfProgram([(s.code, s.jt, s.jf, s.k) for s in steps])
                self.assertFalse(theirs.offline_filter(cypcap.Pkthdr(caplen=9, len=9), bytes(9)))
                self.assertEqual(0, translate(steps)(bytes(9)))


class SetFilterTests(GraphTestCase):
    def setUp(self) -> None:
        """Make a bpf node with hooks a, b and c."""
        super().setUp()
        self.graph("mkpeer bpf a a", "name a f", "connect f: b b", "connect f: c c")
        self.local.forget()

    def setfilter(self, text: str) -> None:
        """Set the filter of hook a; matches go to b, others to c."""
        self.assertIsNone(
            self.msg("f:", f'setfilter {{ thisHook="a" ifMatch="b" ifNotMatch="c" {text} }}')
        )

    def refused(self, text: str) -> OSError:
        """Return the error by which a filter is refused with EINVAL; the old one stays."""
        before = self.msg("f:", 'getprogram "a"')
        with self.assertRaises(OSError) as caught:
            self.setfilter(text)
        self.assertEqual(EINVAL, caught.exception.errno, text)
        self.assertEqual(before, self.msg("f:", 'getprogram "a"'))
        error: OSError = caught.exception
        return error

    def frame(self, proto: int, port: int) -> bytes:
        """Return a frame of IPv4, from port 9."""
        head = struct.pack(">BBHHHBBH", 0x45, 0, 28, 1, 0, 64, proto, 0) + bytes(8)
        return bytes(12) + b"\x08\x00" + head + struct.pack(">HHHH", 9, port, 8, 0)

    def test_sorted(self) -> None:
        """What matches goes to ifMatch whole, what does not to ifNotMatch."""
        self.setfilter('filter="udp port 53"')
        dns, other, tcp = self.frame(17, 53), self.frame(17, 54), self.frame(6, 53)
        for packet in (dns, other, tcp):
            self.send("a", packet)
        self.assertEqual({"b": [dns], "c": [other, tcp]}, self.take())

    def test_snaplen(self) -> None:
        """Matches are cut to snaplen bytes."""
        self.setfilter('snaplen=20 filter="udp"')
        self.send("a", self.frame(17, 53))
        self.assertEqual({"b": [self.frame(17, 53)[:20]]}, self.take())

    def test_dlt(self) -> None:
        """With dlt=12 packets begin with their IP header."""
        self.setfilter('dlt=12 filter="udp port 53"')
        self.send("a", self.frame(17, 53)[14:])
        self.assertEqual({"b": [self.frame(17, 53)[14:]]}, self.take())

    def test_empty(self) -> None:
        """An empty expression matches everything but the empty packet."""
        self.setfilter("")
        self.send_batch("a", [b"x", b""])
        self.assertEqual({"b": [b"x"], "c": [b""]}, self.take())

    def test_as_program(self) -> None:
        """getprogram tells what was compiled."""
        self.setfilter('filter="ip"')
        self.assertEqual(
            '{ thisHook="a" ifMatch="b" ifNotMatch="c" bpf_prog_len=4 bpf_prog=[ '
            "{ code=0x28 k=12 } { code=0x15 jf=1 k=2048 } { code=0x6 k=262144 } { code=0x6 } ] }",
            self.msg("f:", 'getprogram "a"'),
        )

    def test_config(self) -> None:
        """config() has the expression as it was given; a program that follows takes its place."""
        for text in ('filter="udp port 53"', 'dlt=12 snaplen=96 filter="ip[0] & 0xf != 5"'):
            self.setfilter(text)
            line = f'msg . setfilter {{ thisHook="a" ifMatch="b" ifNotMatch="c" {text} }}'
            self.assertEqual([line], self.node("f:").config())
            self.graph(line, here="f:")
            self.assertEqual([line], self.node("f:").config())
        self.graph('msg f: setprogram { thisHook="a" bpf_prog_len=1 bpf_prog=[ { code=6 } ] }')
        self.assertEqual([], self.node("f:").config())

    def test_status(self) -> None:
        """The status shows the expression."""
        self.setfilter('filter="udp"')
        self.send("a", self.frame(17, 53))
        self.assertIn(
            'a: "udp" to b, others to c; 1 of 1 packets matched\n', self.graph("status f:")
        )

    def test_syntax(self) -> None:
        """What libpcap does not understand is EINVAL, in its words."""
        self.assertIn("syntax error", str(self.refused('filter="udp and or"')))
        self.assertIn('"prt"', str(self.refused('filter="udp prt 53"')))
        self.assertIn("unknown data link type 999", str(self.refused('dlt=999 filter="ip"')))
        self.refused('dlt=0xffffffff filter="ip"')
        self.refused('filter="ip broadcast"')  # the netmask is not known
        self.refused('filter="port 65536"')
        self.refused('filter="((((("')
        self.assertIn("ASCII", str(self.refused('filter="port \\xe4"')))

    def test_snaplen_range(self) -> None:
        """A snaplen of 0, or of more than 31 bits, is EINVAL and told its range."""
        for snaplen in ("0", "0x80000000"):
            error = self.refused(f'snaplen={snaplen} filter="ip"')
            self.assertIn("1..2147483647", str(error))

    def test_too_long(self) -> None:
        """An expression of more than 512 instructions is EINVAL, and takes no time to find out."""
        for count in (200, 400):
            hosts = " or ".join(f"host 10.0.{n // 250}.{n % 250}" for n in range(count))
            self.assertIn("512", str(self.refused(f'filter="{hosts}"')))

    def test_endless(self) -> None:
        """What would keep libpcap busy for minutes is EINVAL at once, and the limit is told."""
        begin = process_time()
        ports = " or ".join(f"port {n}" for n in range(1, 3000))
        for text, limit in ((ports[:9998], "8192"), (ports[:7998], "256"), ("a" * 9999, "8192")):
            self.assertIn(limit, str(self.refused(f'filter="{text}"')))
        self.assertLess(process_time() - begin, 1)

    def test_loops(self) -> None:
        """protochain makes a program that jumps back, which no node runs."""
        self.assertIn("jumps", str(self.refused('filter="ip6 protochain 17"')))

    def test_hosts(self) -> None:
        """Names of hosts and networks are refused: to look them up takes the resolver's time."""
        for text in (
            "host www.example.org", "src host nobody-knows", "udp and dst nobody", "gateway x1",
            "net nowhere", "host \\\\nobody", "not host a.b.c", "ip host nobody-", "ether host nix",
        ):  # fmt: skip
            self.assertIn("not looked up", str(self.refused(f'filter="{text}"')), text)

    def test_other_names(self) -> None:
        """Key words, services, protocols and addresses of all kinds are no names of hosts."""
        for text in (
            "tcp[tcpflags] & tcp-syn != 0", "port domain or http", "ip proto ospf",
            "ip proto \\\\tcp", "ether proto \\\\arp", "host fe80::1", "net 10.0/16", "net 10.1",
            "ether host aa:bb:cc:dd:ee:ff", "portrange 6000-6008", "ip6 net 2001:db8::/32",
            "udp[4:2] > 0x10 and len >= 5", "not ether dst 00-11-22-33-44-55", "mpls 5 and ip",
        ):  # fmt: skip
            self.setfilter(f'filter="{text}"')

    def test_words_of_wireless(self) -> None:
        """Words that only follow a key word, such as the types of wireless frames, pass."""
        self.setfilter('dlt=105 filter="type mgt subtype beacon or dir fromds"')

    def test_without_cypcap(self) -> None:
        """Without cypcap it is EOPNOTSUPP, with the remedy; the rest of the type works."""
        self.patch(sys, "modules", {**sys.modules, "cypcap": None})
        with self.assertRaises(OSError) as caught:
            self.setfilter('filter="ip"')
        self.assertEqual(EOPNOTSUPP, caught.exception.errno)
        self.assertIn("pip install ngksock[bpf]", str(caught.exception))
        self.graph('msg f: setdump { thisHook="a" dump="1,6 0 0 5" }')

    def test_unknown_hook(self) -> None:
        """A hook that is not there is ENOENT, whatever the filter."""
        line = 'msg f: setfilter { thisHook="x" filter="udp prt" }'
        self.assertEqual(ENOENT, self.errno(line))

    def test_binary(self) -> None:
        """Its bytes: three names of 32, dlt, snaplen, the text and its NUL, zeros up to 4."""
        names = b"".join(name.ljust(32, b"\0") for name in (b"a", b"b", b""))
        data = names + struct.pack("=II", 1, 96) + b"ip\0\0"
        self.net.send(self.local, "f:", Message(1750000305, 1, data))
        self.assertEqual(
            ['msg . setfilter { thisHook="a" ifMatch="b" snaplen=96 filter="ip" }'],
            self.node("f:").config(),
        )
