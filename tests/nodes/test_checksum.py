"""checksum: netgraph.md §10.16; RFC 791, 768, 9293, 8200, 9260."""

from __future__ import annotations

from errno import EINVAL

from hypothesis import given
from hypothesis import strategies as st

from ngksock.netgraph import EOF, Packet, Tag
from ngksock.nodes.checksum import CONFIG, STATS, Checksum, checksum, crc32c, internet_sum
from ngksock.packet import Record
from ngksock.plugin import find_type
from ngksock.testing import GraphTestCase, check_node_type
from ngksock.testing.recording import Data

ALL = 0xE0F
TCP, UDP, SCTP = 6, 17, 132
FLAG = {
    (4, UDP): 0x2, (4, TCP): 0x4, (4, SCTP): 0x8,
    (6, UDP): 0x200, (6, TCP): 0x400, (6, SCTP): 0x800,
}  # fmt: skip
PLACE = {UDP: slice(6, 8), TCP: slice(16, 18), SCTP: slice(8, 12)}
ADDRESS = {4: bytes.fromhex("c0a80001 c0a800c7"), 6: bytes(range(1, 33))}
ETHERNET = bytes.fromhex("020000000001 020000000002")

# The header of https://en.wikipedia.org/wiki/Internet_checksum: its sum is 0xb861.
HEADER = bytes.fromhex("4500 0073 0000 4000 4011 0000 c0a8 0001 c0a8 00c7")


def folded(data: bytes) -> int:
    """Return the sum of 16-bit words with end-around carry, as RFC 1071 describes it."""
    total = 0
    for at in range(0, len(data), 2):
        total += int.from_bytes(data[at : at + 2].ljust(2, b"\0"))
        total = (total & 0xFFFF) + (total >> 16)
    return total


def bitwise_crc32c(data: bytes) -> int:
    """Return CRC32c, bit by bit: the reflected polynomial 0x1EDC6F41."""
    crc = 0xFFFFFFFF
    for bit in (byte >> place & 1 for byte in data for place in range(8)):
        crc = crc >> 1 ^ (0x82F63B78 if (crc ^ bit) & 1 else 0)
    return crc ^ 0xFFFFFFFF


def segment(protocol: int, payload: bytes, junk: bytes = b"\xde\xad\xbe\xef") -> bytes:
    """Return a UDP, TCP or SCTP packet whose checksum is *junk*."""
    if protocol == UDP:
        length = (8 + len(payload)).to_bytes(2)
        return bytes.fromhex("1234 5678") + length + junk[:2] + payload
    if protocol == TCP:
        ends = bytes.fromhex("1234 5678 00000001 00000002 5018 2000")
        return ends + junk[:2] + bytes(2) + payload
    return bytes.fromhex("1234 5678 01020304") + junk + payload


def ip4(protocol: int, data: bytes, options: bytes = b"", fragment: int = 0x4000) -> bytes:
    """Return an IPv4 packet whose header has a wrong checksum."""
    size = 20 + len(options)
    head = bytes([0x40 | size // 4, 0]) + (size + len(data)).to_bytes(2) + b"\0\x01"
    head += fragment.to_bytes(2) + bytes([64, protocol]) + b"\xca\xfe" + ADDRESS[4]
    return head + options + data


def ip6(protocol: int, data: bytes) -> bytes:
    """Return an IPv6 packet; *data* may begin with extension headers."""
    return b"\x60\0\0\0" + len(data).to_bytes(2) + bytes([protocol, 64]) + ADDRESS[6] + data


def ip(version: int, protocol: int, data: bytes) -> bytes:
    """Return an IP packet."""
    return ip4(protocol, data) if version == 4 else ip6(protocol, data)


class ChecksumTestCase(GraphTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.graph("mkpeer checksum in in", "name in c", "connect c: out out")
        self.local.forget()

    def flags(self, flags: int, dlt: int = 12) -> None:
        """Choose the checksums, and the link type."""
        self.msg("c:", f"setconfig {{ csum_flags={flags} }}")
        self.msg("c:", f"setdlt {dlt}")

    def summed(self, data: Data) -> bytes:
        """Return what *data* becomes, alone and in a batch; both must do the same."""
        self.send("in", data)
        self.send_batch("in", [data])
        one, other = self.take()["out"]
        self.assertEqual(one, other)
        return bytes(one)

    def check_segment(self, version: int, protocol: int, old: bytes, new: bytes) -> None:
        """Fail unless *new* is *old* with the right checksum of what the packet carries."""
        place = PLACE[protocol]
        self.assertEqual(old[: place.start], new[: place.start])
        self.assertEqual(old[place.stop :], new[place.stop :])
        if protocol == SCTP:
            bare = new[: place.start] + bytes(4) + new[place.stop :]
            self.assertEqual(bitwise_crc32c(bare).to_bytes(4, "little"), new[place])
            return
        length = len(new).to_bytes(4)
        self.assertEqual(
            0xFFFF, folded(ADDRESS[version] + length + protocol.to_bytes(4) + new)
        )  # RFC 1071: the sum of what is right is all ones
        if protocol == UDP:
            self.assertNotEqual(b"\0\0", new[place])


class TypeTests(ChecksumTestCase):
    def test_conforms(self) -> None:
        """It keeps the promises of all types, configured or not."""
        check_node_type(checksum)
        setup = ("setconfig { csum_flags=0xfff csum_offload=1 }", "setdlt 1")
        check_node_type(checksum, setup=setup, examples=20)
        for hook in ("in", "out"):
            check_node_type(checksum, hooks=(hook,), setup=setup[:1], examples=20)

    def test_found(self) -> None:
        """Its name finds it; cookie, numbers and sizes are FreeBSD's."""
        self.assertIs(checksum, find_type("checksum"))
        self.assertEqual(439419912, checksum.cookie)
        self.assertEqual(
            [
                (1, "getdlt"), (2, "setdlt"), (3, "getconfig"), (4, "setconfig"),
                (5, "getclrstats"), (6, "getstats"), (7, "clrstats"),
            ],
            [(row.cmd, row.name) for row in checksum.commands.all],
        )  # fmt: skip
        self.assertEqual((16, 24), (CONFIG.size, STATS.size))
        text = "{ csum_flags=7 csum_offload=2 }"
        data = CONFIG.pack(CONFIG.parse(text))
        self.assertEqual("0700000000000000 0200000000000000".replace(" ", ""), data.hex())
        self.assertEqual(text, CONFIG.unparse(CONFIG.unpack(data)))


class SumTests(ChecksumTestCase):
    def test_known(self) -> None:
        """The sums of well-known vectors."""
        self.assertEqual(0xB861, internet_sum(HEADER))
        # RFC 1071, §3: 0001 f203 f4f5 f6f7 adds up to ddf2.
        self.assertEqual(0xDDF2 ^ 0xFFFF, internet_sum(bytes.fromhex("0001f203f4f5f6f7")))
        # RFC 3720, B.4, and the check value of the catalogues.
        self.assertEqual(0xE3069283, crc32c(b"123456789"))
        self.assertEqual(bytes.fromhex("aa36918a"), crc32c(bytes(32)).to_bytes(4, "little"))
        self.assertEqual(bytes.fromhex("4e79dd46"), crc32c(bytes(range(32))).to_bytes(4, "little"))

    @given(st.binary(min_size=1, max_size=99).filter(any))
    def test_model(self, data: bytes) -> None:
        """The sums are those of the step by step methods."""
        self.assertEqual(folded(data) ^ 0xFFFF, internet_sum(data))
        self.assertEqual(bitwise_crc32c(data), crc32c(data))

    def test_header(self) -> None:
        """The header of an IPv4 packet, to the byte."""
        self.flags(1)
        old = HEADER + bytes(0x73 - 20)
        self.assertEqual(old[:10] + b"\xb8\x61" + old[12:], self.summed(old))

    def test_udp_by_hand(self) -> None:
        """A UDP packet, added up by hand."""
        self.flags(0x2)
        old = ip4(UDP, segment(UDP, b"abc"))
        # Addresses c0a8+0001+c0a8+00c7, protocol and length 0011+000b, header
        # 1234+5678+000b, payload 6162+6300: 2af4d, with its carry af4f, inverted 50b0.
        wanted = 0x50B0
        self.assertEqual(old[:26] + wanted.to_bytes(2) + old[28:], self.summed(old))

    @given(
        st.sampled_from(sorted(FLAG)),
        st.binary(max_size=80),
        st.binary(min_size=4, max_size=4),
        st.binary(max_size=20),
        st.integers(0, 3),
    )
    def test_any(
        self, kind: tuple[int, int], payload: bytes, junk: bytes, behind: bytes, tags: int
    ) -> None:
        """
        Whatever a packet carries, its checksum is right afterwards; nothing else changes.

        What the checksum was does not matter, nor what is behind the packet.
        """
        version, protocol = kind
        data = segment(protocol, payload, junk)
        old = ip(version, protocol, data)
        start = len(old) - len(data)
        self.flags(FLAG[kind])
        new = self.summed(old + behind)
        self.assertEqual(old[:start], new[:start])
        self.check_segment(version, protocol, data, new[start : len(old)])
        self.assertEqual(behind, new[len(old) :])
        self.flags(ALL)
        done = self.summed(old)
        self.assertEqual(new[start : len(old)], done[start:])
        if version == 4:
            self.assertEqual(0xFFFF, folded(done[:20]))
        self.assertEqual(done, self.summed(done))
        # The same as a frame.
        self.flags(ALL, dlt=1)
        header = ETHERNET + b"\x81\0\0\x07" * tags + {4: b"\x08\0", 6: b"\x86\xdd"}[version]
        self.assertEqual(header + done + behind, self.summed(header + old + behind))

    @given(st.binary(max_size=100), st.sampled_from((4, 6)), st.sampled_from((1, 12)))
    def test_noise(self, data: bytes, version: int, dlt: int) -> None:
        """Whatever bytes come pass, with their length."""
        self.flags((1 << 64) - 1, dlt)
        self.assertEqual(len(data), len(self.summed(data)))
        start = ETHERNET + b"\x08\0" if dlt == 1 else b""
        packet = start + bytes([version << 4 | 5]) + data
        self.assertEqual(len(packet), len(self.summed(packet)))

    def test_flags(self) -> None:
        """Only what the flags ask for is computed; unknown flags mean nothing."""
        for (version, protocol), flag in FLAG.items():
            packet = ip(version, protocol, segment(protocol, b"payload"))
            self.flags(~flag & ~1 & 0xFFFFFFFFFFFFFFFF)
            self.assertEqual(packet, self.summed(packet))
            self.flags(flag)
            self.assertNotEqual(packet, self.summed(packet))
        self.flags(~ALL & 0xFFFFFFFFFFFFFFFF)
        self.send("in", HEADER + bytes(95))
        self.assertEqual("{ Received=25 Processed=12 }", self.msg("c:", "getstats"))

    def test_udp_zero(self) -> None:
        """A UDP checksum of 0 is written as 0xffff; of TCP it stays 0."""
        self.flags(ALL)
        for protocol, wanted in ((UDP, b"\xff\xff"), (TCP, b"\0\0")):
            first = segment(protocol, bytes(2))
            done = self.summed(ip4(protocol, first))[20:]
            # The payload that adds what is missing to all ones:
            packet = ip4(protocol, first[:-2] + done[PLACE[protocol]])
            self.assertEqual(wanted, self.summed(packet)[20:][PLACE[protocol]])

    def test_kept(self) -> None:
        """A packet keeps its tags and stays a datagram; one that was right is the same object."""
        node = self.node("c:")
        assert isinstance(node, Checksum)
        self.flags(ALL)
        old = ip4(UDP, segment(UDP, b"payload"))
        packet = Record(memoryview(old), (Tag(1, 2, b"3"),))
        done = node._summed(packet)
        self.assertEqual((packet.tags, True), (done.tags, done.record))
        self.assertNotEqual(old, bytes(done))
        self.assertIs(done, node._summed(done))


class OddTests(ChecksumTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.flags(ALL)

    def header_only(self, packet: bytes, size: int = 20) -> None:
        """Fail unless only the header of an IPv4 packet gets a checksum."""
        done = self.summed(packet)
        self.assertEqual(0xFFFF, folded(done[:size]))
        self.assertEqual(packet[:10] + packet[12:], done[:10] + done[12:])

    def same(self, *packets: bytes) -> None:
        """Fail unless *packets* pass as they are, and do not count as processed."""
        self.msg("c:", "clrstats")
        for packet in packets:
            self.assertEqual(packet, self.summed(packet))
        received = 2 * len(packets)
        self.assertEqual(f"{{ Received={received} }}", self.msg("c:", "getclrstats"))

    def test_options(self) -> None:
        """Options of IPv4 are part of its header, and no obstacle."""
        for options in (b"\x01" * 4, b"\x07\x07\x04" + bytes(5), b"\0\x83\x07\x04", b"\x01" * 40):
            for protocol in PLACE:
                data = segment(protocol, b"payload")
                done = self.summed(ip4(protocol, data, options))
                size = 20 + len(options)
                self.assertEqual(0xFFFF, folded(done[:size]))
                self.check_segment(4, protocol, data, done[size:])

    def test_source_route(self) -> None:
        """With a source route not at its end, or broken options, the header alone is done."""
        for kind in (131, 137):
            far = bytes([kind, 7, 4, 10, 0, 0, 1, 0])
            self.header_only(ip4(UDP, segment(UDP, b"payload"), far), 28)
            there = bytes([kind, 7, 8, 10, 0, 0, 1, 0])
            data = segment(UDP, b"payload")
            self.check_segment(4, UDP, data, self.summed(ip4(UDP, data, there))[28:])
        for broken in (b"\x01\x01\x01\x83", b"\x07\0\0\0", b"\x07\x01\0\0", b"\x01\x01\x83\x02"):
            self.header_only(ip4(UDP, segment(UDP, b"payload"), broken), 24)

    def test_fragments(self) -> None:
        """Of a fragment of IPv4 the header alone is done."""
        for fragment in (0x2000, 0x0001, 0x1FFF, 0x3001):
            self.header_only(ip4(UDP, segment(UDP, b"payload"), fragment=fragment))
        data = segment(UDP, b"payload")
        for whole in (0, 0x8000):
            self.check_segment(4, UDP, data, self.summed(ip4(UDP, data, fragment=whole))[20:])

    def test_other_protocols(self) -> None:
        """ICMP and all else is left alone; IPv4 has its header done."""
        for protocol in (0, 1, 41, 43, 47, 50, 51, 60, 136, 255):
            self.header_only(ip4(protocol, bytes(40)))
        self.same(*(ip6(protocol, bytes(40)) for protocol in (1, 41, 47, 50, 51, 59, 136, 255)))

    def test_truncated(self) -> None:
        """A packet shorter than it says passes as it is, wherever it is cut."""
        for version, protocol in FLAG:
            packet = ip(version, protocol, segment(protocol, b"payload"))
            self.same(*(packet[:size] for size in range(len(packet))))
            self.flags(ALL, 1)
            for tags in range(3):
                ethertype = {4: b"\x08\0", 6: b"\x86\xdd"}[version]
                frame = ETHERNET + b"\x88\xa8\0\x07" * tags + ethertype + packet
                self.same(*(frame[:size] for size in range(len(frame))))
            self.flags(ALL)

    def test_short(self) -> None:
        """What has no room for its own header has no checksum."""
        for protocol, size in ((UDP, 8), (TCP, 20), (SCTP, 12)):
            whole = segment(protocol, b"")
            self.assertEqual(size, len(whole))
            for less in range(size):
                self.header_only(ip4(protocol, whole[:less]))
                self.same(ip6(protocol, whole[:less]))
            for version in (4, 6):
                done = self.summed(ip(version, protocol, whole))
                self.check_segment(version, protocol, whole, done[-size:])

    def test_udp_length(self) -> None:
        """UDP is as long as it says: 8 at least, and no longer than its packet."""
        data = segment(UDP, b"payload")
        for length in (0, 7, 16, 0xFFFF):
            wrong = data[:4] + length.to_bytes(2) + data[6:]
            self.header_only(ip4(UDP, wrong))
            self.same(ip6(UDP, wrong))
        done = self.summed(ip6(UDP, data + b"more"))
        self.check_segment(6, UDP, data, done[40 : 40 + len(data)])
        self.assertEqual(b"more", done[40 + len(data) :])

    def test_lies(self) -> None:
        """Wrong versions and lengths of headers pass as they are."""
        packet = ip4(UDP, segment(UDP, b"payload"))
        rest = packet[1:]
        self.same(*(bytes([first]) + rest for first in (0x00, 0x40, 0x44, 0x55, 0x4F, 0xF5)))
        for total in (0, 19, len(packet) + 1, 0xFFFF):
            self.same(packet[:2] + total.to_bytes(2) + packet[4:])
        self.flags(ALL, 1)
        self.same(
            ETHERNET + b"\x86\xdd" + packet, ETHERNET + b"\x08\x06" + packet, ETHERNET + b"\x08\0",
            ETHERNET + b"\x81\0\0\x01" * 300,
        )  # fmt: skip
        deep = ETHERNET + b"\x81\0\0\x01" * 300 + b"\x08\0"
        self.assertEqual(0xFFFF, folded(self.summed(deep + packet)[len(deep) :][:20]))

    def extended(self, *headers: tuple[int, str], protocol: int = UDP) -> tuple[bytes, bytes]:
        """Return an IPv6 packet with extension headers (after their next header), and its end."""
        data = segment(protocol, b"payload")
        chain = [*(kind for kind, _ in headers), protocol]
        front = b"".join(
            bytes([after]) + bytes.fromhex(text)
            for after, (_, text) in zip(chain[1:], headers, strict=True)
        )
        return ip6(chain[0], front + data), data

    def test_extensions(self) -> None:
        """Extension headers of IPv6 are stepped over."""
        hop, dest = (0, "00 050200000100"), (60, "01 010c" + "00" * 12)
        routing, atomic = (43, "00 0200 00000000"), (44, "00 0000 00000001")
        for headers in ((hop,), (dest,), (routing,), (atomic,), (hop, dest, routing, atomic, dest)):
            for protocol in PLACE:
                packet, data = self.extended(*headers, protocol=protocol)
                done = self.summed(packet)
                self.assertEqual(packet[: -len(data)], done[: -len(data)])
                self.check_segment(6, protocol, data, done[-len(data) :])

    def test_not_extended(self) -> None:
        """A fragment, a route not at its end, a home address, a signed packet: left alone."""
        for header in (
            (44, "00 0008 00000001"),
            (44, "00 0001 00000001"),
            (43, "02 0201 00000000" + "00" * 16),
            (60, "02 0102 0000 c910" + "00" * 16),
            (51, "04 0000 00000001 00000001" + "00" * 12),
        ):
            self.same(self.extended(header)[0])

    def test_extensions_beyond(self) -> None:
        """Extension headers that reach beyond the packet, or never end, are left alone."""
        packet, _ = self.extended((60, "ff 010400000000"))
        self.same(packet, ip6(0, b"\0\0" + bytes(6)), ip6(0, bytes(8 * 1000)), ip6(60, b""))
        self.same(*(packet[:4] + bytes([0, size]) + packet[6:] for size in range(16)))


class WayTests(ChecksumTestCase):
    def test_ways(self) -> None:
        """In goes to out, out to in as it is; without out what came in returns."""
        self.flags(ALL)
        packet = ip4(UDP, segment(UDP, b"payload"))
        done = self.summed(packet)
        self.assertNotEqual(packet, done)
        self.send("out", packet)
        self.send_batch("out", [packet])
        self.assertEqual({"in": [packet, packet]}, self.take())
        self.graph("rmhook out")
        self.send("in", packet)
        self.send_batch("in", [packet, EOF])
        self.assertEqual({"in": [done, done, EOF]}, self.take())
        self.assertEqual("{ Received=7 Processed=4 }", self.msg("c:", "getclrstats"))
        self.assertEqual("{}", self.msg("c:", "getstats"))

    def test_no_in(self) -> None:
        """Without in, packets from out are dropped and counted; that is no error."""
        self.graph("rmhook in")
        self.send("out", b"x")
        self.send_batch("out", [b"x", b"y"])
        self.assertEqual({}, self.received)
        self.assertEqual({}, self.local.hooks["out"].drops)
        self.assertEqual("{ Received=3 Dropped=3 }", self.msg("c:", "getstats"))

    def test_mark(self) -> None:
        """An end-of-file mark goes the way of the data."""
        self.flags(ALL)
        for hook, other in (("in", "out"), ("out", "in")):
            self.send(hook, EOF)
            self.send_batch(hook, [b"x", EOF])
            self.assertEqual({other: [EOF, b"x", EOF]}, self.take())

    def test_idle(self) -> None:
        """Without flags that mean something a batch goes on as the same packets."""
        node = self.node("c:")
        packet = Packet(ip4(UDP, segment(UDP, b"payload")))
        self.send_batch("in", [packet])
        self.assertEqual({"out": [bytes(packet)]}, self.take())
        self.assertEqual([], node.config())

    def test_pressure(self) -> None:
        """A full sink holds those whose packets go there."""
        self.local.hooks["out"].send_flow(True)
        self.assertEqual([("rcvflow", "in", True)], self.local.events)


class MessageTests(ChecksumTestCase):
    def test_config(self) -> None:
        """What was set is told, unknown flags too; config makes it again."""
        self.assertEqual(("{}", "12"), (self.msg("c:", "getconfig"), self.msg("c:", "getdlt")))
        text = "{ csum_flags=18446744073709551615 csum_offload=2 }"
        self.msg("c:", f"setconfig {text}")
        self.msg("c:", "setdlt 1")
        self.assertEqual((text, "1"), (self.msg("c:", "getconfig"), self.msg("c:", "getdlt")))
        self.assertEqual(["msg . setdlt 1", f"msg . setconfig {text}"], self.node("c:").config())
        self.msg("c:", "setconfig {}")
        self.msg("c:", "setdlt 12")
        self.assertEqual([], self.node("c:").config())

    def test_refused(self) -> None:
        """Another link type is EINVAL and changes nothing."""
        self.msg("c:", "setdlt 1")
        for dlt in (0, 2, 11, 13, 255):
            self.assertEqual(EINVAL, self.errno(f"msg c: setdlt {dlt}"))
        self.assertEqual("1", self.msg("c:", "getdlt"))

    def test_hooks(self) -> None:
        """There are no other hooks."""
        self.assertEqual(EINVAL, self.errno("connect c: x in2"))

    def test_status(self) -> None:
        """The status tells the checksums and the counters."""
        self.flags(0x1001)
        self.send("in", ip4(1, b""))
        self.assertEqual(
            'Status for "c:":\nchecksums 0x1; 1 packets received, 1 processed, 0 dropped',
            self.graph("status c:"),
        )
