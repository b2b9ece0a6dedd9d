"""checksum: compute the checksums of IP packets.

Hooks: ``in`` and ``out``.

A packet from ``in`` gets its checksums and goes to ``out``, or back to ``in``
if there is no ``out``.  A packet from ``out`` goes to ``in`` as it is; without
``in`` it is dropped, which is counted and no error.

Messages (cookie 439419912):

* 1 ``getdlt``: tell the link type.
* 2 ``setdlt``: set it: 12, raw IP packets, the default, or 1, Ethernet.
* 3 ``getconfig``: tell the configuration.
* 4 ``setconfig``: choose the checksums, such as ``{ csum_flags=7 }``.
* 5 ``getclrstats``: tell the counters, then reset them.
* 6 ``getstats``: tell the packets received, processed and dropped.
* 7 ``clrstats``: reset the counters.

``csum_flags`` is the sum of

========= ============ ========= ============
0x1       IPv4 header
0x2       IPv4 UDP     0x200     IPv6 UDP
0x4       IPv4 TCP     0x400     IPv6 TCP
0x8       IPv4 SCTP    0x800     IPv6 SCTP
========= ============ ========= ============

Other bits, and ``csum_offload``, mean hardware: kept, and without effect.

The header of IPv4 is done for fragments, too, and with options.  Nothing else
is done for what has no whole UDP, TCP or SCTP in it: fragments, and packets
that are shorter than they say.  Of IPv6 the hop-by-hop, routing and destination
headers, and a fragment header that fragments nothing, are stepped over.  Where
the checksum is about other addresses than those of the header (a source route
not yet at its end, a home address) it stays as it is.

With link type 1 any number of VLAN tags may be before the packet.  What is
behind its end, such as the padding of a frame, stays.  A packet counts as
processed if a checksum was computed, were it right before or not.

Back-pressure takes the ways of the packets against them.

It ends by ``shutdown``, or with its last hook.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from errno import EINVAL
from typing import Final

from ngksock.ethernet import type_offset
from ngksock.netgraph import Batch, Hook, Node, Packet, command
from ngksock.netgraph.layout import UINT8, Struct, UInt64
from ngksock.plugin import NodeType

ETHERNET, RAW = 1, 12
TCP, UDP, SCTP = 6, 17, 132
HEADER_FLAG: Final = 0x1
FLAGS_4: Final = {UDP: 0x2, TCP: 0x4, SCTP: 0x8}
FLAGS_6: Final = {UDP: 0x200, TCP: 0x400, SCTP: 0x800}
KNOWN: Final = HEADER_FLAG | sum(FLAGS_4.values()) | sum(FLAGS_6.values())
ETHERTYPES: Final = {0x0800: 4, 0x86DD: 6}

IP4_SIZE, IP6_SIZE, UDP_SIZE, TCP_SIZE, SCTP_SIZE = 20, 40, 8, 20, 12
HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION = 0, 43, 44, 60
EXTENSIONS: Final = (HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION)
SOURCE_ROUTES: Final = (131, 137)
HOME_ADDRESS: Final = 201

Sum = tuple[int, bytes]
"""Where a checksum stands in a packet, and what it should be."""


@dataclass
class Config:
    """Which checksums are computed."""

    csum_flags: UInt64 = 0
    csum_offload: UInt64 = 0


@dataclass
class Stats:
    """What became of packets, from either hook."""

    received: UInt64 = field(default=0, metadata={"name": "Received"})
    processed: UInt64 = field(default=0, metadata={"name": "Processed"})
    dropped: UInt64 = field(default=0, metadata={"name": "Dropped"})


CONFIG: Final = Struct(Config)
STATS: Final = Struct(Stats)


class Checksum(Node):
    """A node that makes packets fit to be sent."""

    hook_names = ("in", "out")

    def __init__(self) -> None:
        super().__init__()
        self.settings = Config()
        self.dlt = RAW
        self.flags = 0  # those that mean something here
        self.stats = Stats()
        self.inner: Hook | None = None

    def connect(self, hook: Hook) -> None:
        if hook.name == "in":
            self.inner = hook
        self._direct()

    def _direct(self) -> None:
        """Decide where packets go: the ``private`` of the hook they come from."""
        inner, outer = self.hooks.get("in"), self.hooks.get("out")
        if inner is not None:
            inner.private = outer or inner
        if outer is not None:
            outer.private = inner

    # -- packets --------------------------------------------------------------------------

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        onward: Hook | None = hook.private
        self.stats.received += 1
        if onward is None:
            self.stats.dropped += 1
            return
        if self.flags and hook is self.inner:
            packet = self._summed(packet)
        onward.send_data(packet)

    def rcvbatch(self, hook: Hook, batch: Batch) -> None:
        onward: Hook | None = hook.private
        self.stats.received += len(batch)
        if onward is None:
            self.stats.dropped += len(batch)
            return
        if self.flags and hook is self.inner:
            batch = Batch(map(self._summed, batch), batch.nbytes)
        onward.send_batch(batch)

    def _summed(self, packet: Packet) -> Packet:
        """Return *packet* with its checksums, itself if they are right or there is none."""
        old = bytes(packet)
        sums = list(sums_of(old, self.dlt, self.flags))
        if not sums:
            return packet
        self.stats.processed += 1
        new = bytearray(old)
        for at, checksum in sums:
            new[at : at + len(checksum)] = checksum
        return packet if new == old else packet.replace(bytes(new))

    def rcvflow(self, hook: Hook, high: bool) -> None:
        """Hold the hooks whose packets go out of *hook*."""
        for other in list(self.hooks.values()):
            if other.private is hook:
                other.send_flow(high)

    # -- messages ---------------------------------------------------------------------------

    @command(1, resp=UINT8)
    def getdlt(self) -> int:
        """Tell the link type: 12, raw, or 1, Ethernet."""
        return self.dlt

    @command(2, arg=UINT8)
    def setdlt(self, dlt: int) -> None:
        """Set the link type: 12, raw, or 1, Ethernet."""
        if dlt not in (ETHERNET, RAW):
            raise OSError(EINVAL, f"link type {dlt} is neither 12, raw, nor 1, Ethernet")
        self.dlt = dlt

    @command(3, resp=CONFIG)
    def getconfig(self) -> Config:
        """Tell which checksums are computed."""
        return self.settings

    @command(4, arg=CONFIG)
    def setconfig(self, config: Config) -> None:
        """Choose which checksums are computed."""
        self.settings = config
        self.flags = config.csum_flags & KNOWN

    @command(5, resp=STATS)
    def getclrstats(self) -> Stats:
        """Tell the counters, then reset them."""
        stats, self.stats = self.stats, Stats()
        return stats

    @command(6, resp=STATS)
    def getstats(self) -> Stats:
        """Count the packets received, processed and dropped."""
        return self.stats

    @command(7)
    def clrstats(self) -> None:
        """Reset the counters."""
        self.getclrstats()

    def config(self) -> list[str]:
        lines = [] if self.dlt == RAW else [f"msg . setdlt {self.dlt}"]
        if self.settings != Config():
            lines.append(f"msg . setconfig {CONFIG.unparse(self.settings)}")
        return lines

    def status(self) -> str:
        stats = self.stats
        return (
            f"checksums {self.flags:#x}; {stats.received} packets received,"
            f" {stats.processed} processed, {stats.dropped} dropped"
        )

    # -- the end ----------------------------------------------------------------------------

    def disconnect(self, hook: Hook) -> None:
        if hook is self.inner:
            self.inner = None
        self._direct()
        super().disconnect(hook)


# -- checksums


def sums_of(data: bytes, dlt: int, flags: int) -> Iterator[Sum]:
    """
    Yield the checksums of a packet that *flags* ask for.

    Args:
        data: The packet; what its checksums are now makes no difference.
        dlt: ETHERNET or RAW.
        flags: As in ``csum_flags``.
    """
    at, version = 0, data[0] >> 4 if data else 0
    if dlt == ETHERNET:
        place = type_offset(data)
        if place is None:
            return
        at = place + 2
        version = ETHERTYPES.get(int.from_bytes(data[place:at]), 0)
        if len(data) == at or data[at] >> 4 != version:
            return
    if version == 4:
        yield from _sums_of_ip4(data, at, flags)
    elif version == 6:
        yield from _sums_of_ip6(data, at, flags)


def _sums_of_ip4(data: bytes, at: int, flags: int) -> Iterator[Sum]:
    header = data[at : at + 4 * (data[at] & 15)]
    if len(header) < IP4_SIZE or len(header) < 4 * (data[at] & 15):
        return
    total = int.from_bytes(header[2:4])
    if not len(header) <= total <= len(data) - at:
        return
    if flags & HEADER_FLAG:
        old = int.from_bytes(header[10:12])
        yield at + 10, internet_sum(header, -old).to_bytes(2)
    whole = not int.from_bytes(header[6:8]) & 0x3FFF  # neither a fragment nor the first of some
    if whole and flags & FLAGS_4.get(header[9], 0) and not _is_routed(header):
        start = at + len(header)
        yield from _sum_of(data[start : at + total], start, header[9], header[12:20])


def _is_routed(header: bytes) -> bool:
    """Tell whether an IPv4 packet has a way to go after its destination; or who knows."""
    at = IP4_SIZE
    while at < len(header) and header[at] != 0:
        if header[at] == 1:
            at += 1
            continue
        option = header[at : at + 3]
        if len(option) < 2 or option[1] < 2:
            return True
        if option[0] in SOURCE_ROUTES and (len(option) < 3 or option[2] <= option[1]):
            return True
        at += option[1]
    return False


def _sums_of_ip6(data: bytes, at: int, flags: int) -> Iterator[Sum]:
    header = data[at : at + IP6_SIZE]
    end = at + IP6_SIZE + int.from_bytes(header[4:6])
    if len(header) < IP6_SIZE or end > len(data):
        return
    protocol, start = header[6], at + IP6_SIZE
    while protocol in EXTENSIONS:
        extension = data[start : min(start + 8, end)]
        if len(extension) < 8:
            return
        size = 8 if protocol == FRAGMENT else 8 * (extension[1] + 1)
        if _bars(protocol, data[start : start + size]):
            return
        protocol = extension[0]
        start += size
    if flags & FLAGS_6.get(protocol, 0) and start <= end:
        yield from _sum_of(data[start:end], start, protocol, header[8:40])


def _bars(protocol: int, extension: bytes) -> bool:
    """Tell whether an IPv6 extension header says that no checksum of its packet is behind it."""
    if protocol == FRAGMENT:
        return bool(int.from_bytes(extension[2:4]) & 0xFFF9)  # an offset, or more to come
    if protocol == ROUTING:
        return extension[3] != 0  # segments left
    at = 2
    while protocol == DESTINATION and at + 1 < len(extension):
        if extension[at] == HOME_ADDRESS:
            return True
        at += 1 if extension[at] == 0 else 2 + extension[at + 1]
    return False


def _sum_of(segment: bytes, at: int, protocol: int, addresses: bytes) -> Iterator[Sum]:
    """Yield the checksum of what a packet carries, unless it is too short for one."""
    if protocol == SCTP:
        if len(segment) >= SCTP_SIZE:
            crc = crc32c(segment[:8] + bytes(4) + segment[SCTP_SIZE:])
            yield at + 8, crc.to_bytes(4, "little")
        return
    place = 16
    if protocol == UDP:
        place, length = 6, int.from_bytes(segment[4:6])
        if not UDP_SIZE <= length <= len(segment):
            return
        segment = segment[:length]
    elif len(segment) < TCP_SIZE:
        return
    old = int.from_bytes(segment[place : place + 2])
    pseudo = int.from_bytes(addresses) + protocol + len(segment)
    checksum = internet_sum(segment, pseudo - old)
    if protocol == UDP and not checksum:
        checksum = 0xFFFF  # 0 would say that there is none
    yield at + place, checksum.to_bytes(2)


def internet_sum(data: bytes, more: int = 0) -> int:
    """
    Return the checksum of RFC 1071.

    Args:
        data: What it is of; an odd byte at the end counts as the upper one.
        more: Is added, such as other data as one number; less what the checksum
            within *data* is now.  Something of all this is not 0.
    """
    # To add 16-bit numbers with end-around carry is to add modulo 0xffff, where
    # 1 << 16 is 1: all of them as one large number have the same remainder.
    number = int.from_bytes(data) << 8 * (len(data) % 2)
    return -(number + more) % 0xFFFF


def _crc_table() -> tuple[int, ...]:
    table = []
    for number in range(256):
        for _ in range(8):
            number = number >> 1 ^ (0x82F63B78 if number & 1 else 0)
        table.append(number)
    return tuple(table)


CRC_TABLE: Final = _crc_table()


def crc32c(data: bytes) -> int:
    """Return the checksum of SCTP (RFC 9260), CRC32c."""
    crc, table = 0xFFFFFFFF, CRC_TABLE
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


checksum = NodeType("checksum", 439419912, Checksum)
