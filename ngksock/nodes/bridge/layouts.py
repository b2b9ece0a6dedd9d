"""The structures in the messages of a bridge."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Final

from ngksock.netgraph.layout import (
    Counted,
    Ether,
    EtherType,
    FixedString,
    Seen,
    Struct,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
)

__all__ = [
    "CONFIG",
    "MOVE",
    "PAGES",
    "STATS",
    "TABLE",
    "WANTED",
    "Config",
    "HostInfo",
    "Move",
    "Page",
    "Stats",
    "Table",
    "Wanted",
]


@dataclass
class Config:
    """When hosts are forgotten, and what is a loop; times in seconds."""

    debug_level: UInt8 = field(default=1, metadata={"name": "debugLevel"})
    loop_timeout: UInt32 = field(default=60, metadata={"name": "loopTimeout"})
    max_staleness: UInt32 = field(default=900, metadata={"name": "maxStaleness"})
    min_stable_age: UInt32 = field(default=1, metadata={"name": "minStableAge"})


@dataclass(slots=True)
class Stats:
    """What one link received and sent, and what it lost."""

    recv_octets: UInt64 = field(default=0, metadata={"name": "recvOctets"})
    recv_packets: UInt64 = field(default=0, metadata={"name": "recvPackets"})
    # These two are called so in FreeBSD's ASCII form, unlike those sent.
    recv_multicasts: UInt64 = field(default=0, metadata={"name": "recvMulticast"})
    recv_broadcasts: UInt64 = field(default=0, metadata={"name": "recvBroadcast"})
    recv_unknown: UInt64 = field(default=0, metadata={"name": "recvUnknown"})
    recv_runts: UInt64 = field(default=0, metadata={"name": "recvRunts"})
    recv_invalid: UInt64 = field(default=0, metadata={"name": "recvInvalid"})
    xmit_octets: UInt64 = field(default=0, metadata={"name": "xmitOctets"})
    xmit_packets: UInt64 = field(default=0, metadata={"name": "xmitPackets"})
    xmit_multicasts: UInt64 = field(default=0, metadata={"name": "xmitMulticasts"})
    xmit_broadcasts: UInt64 = field(default=0, metadata={"name": "xmitBroadcasts"})
    loop_drops: UInt64 = field(default=0, metadata={"name": "loopDrops"})
    loop_detects: UInt64 = field(default=0, metadata={"name": "loopDetects"})
    memory_failures: UInt64 = field(default=0, metadata={"name": "memoryFailures"})


@dataclass
class HostInfo:
    """A host of the table: for how many seconds it is on its link, and was not heard."""

    addr: Ether
    hook: Annotated[str, FixedString(32)] = ""
    age: UInt16 = 0
    staleness: UInt16 = 0


@dataclass
class Table:
    """All hosts."""

    num_hosts: UInt32 = field(default=0, metadata={"name": "numHosts"})
    hosts: Annotated[list[HostInfo], Counted(HostInfo, "num_hosts")] = field(default_factory=list)


class _AnyEther(EtherType):
    """An Ethernet address that is all zeros if it is left out."""

    def default(self, seen: Seen) -> bytes:
        return bytes(6)


ANY_ETHER: Final = _AnyEther()


@dataclass
class Wanted:
    """The first address of a page that is wanted, and how many; 0: some."""

    start: Annotated[bytes, ANY_ETHER] = bytes(6)
    count: UInt32 = 0


@dataclass
class Page:
    """Some of *total* hosts; *next* starts the page that follows, if it is not all zeros."""

    total: UInt32 = 0
    next: Annotated[bytes, ANY_ETHER] = bytes(6)
    num_hosts: UInt32 = field(default=0, metadata={"name": "numHosts"})
    hosts: Annotated[list[HostInfo], Counted(HostInfo, "num_hosts")] = field(default_factory=list)


@dataclass
class Move:
    """A host, and the hook it is to be put on."""

    addr: Ether
    hook: Annotated[str, FixedString(32)] = ""


CONFIG: Final = Struct(Config)
MOVE: Final = Struct(Move, loose=True)  # FreeBSD asks for *at least* 38 bytes
STATS: Final = Struct(Stats)
WANTED: Final = Struct(Wanted)
# Loose: the structures of C have no padding behind their arrays.
TABLE: Final = Struct(Table, loose=True)
PAGES: Final = Struct(Page, loose=True)
