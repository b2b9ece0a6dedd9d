"""The layouts of a pipe's messages, and what setcfg makes of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from ngksock.netgraph.layout import Struct, UInt32, UInt64

__all__ = [
    "ALL",
    "CONFIG",
    "LOSS",
    "MILLION",
    "RUN",
    "STATS",
    "Config",
    "Loss",
    "Run",
    "Stats",
    "WayConfig",
    "WayRun",
    "WayStats",
]

ALL: Final = (1 << 32) - 1
"""-1 in 32 bits: reset."""
ALL64: Final = (1 << 64) - 1
MILLION: Final = 1_000_000

DELAY: Final = range(1, 10_000_000)
BANDWIDTH: Final = range(100, 1_000_000_001)
OVERHEAD: Final = range(1, 256)
OFFSET: Final = range(1, 64)
BER: Final = range(1, 10**12 + 1)
LENGTH: Final = range(5, ALL)
DUPLICATE: Final = range(1, 51)

FAST: Final = 10_000_000
"""From this bandwidth on the overhead is that of Ethernet, below it that of PPP."""
QUANTUM: Final = 2048
LEAST_QUANTUM: Final = 32
QUEUELEN: Final = 50


@dataclass
class WayStats:
    """What became of the packets of one direction."""

    fwd_octets: UInt64 = field(default=0, metadata={"name": "FwdOctets"})
    fwd_frames: UInt64 = field(default=0, metadata={"name": "FwdFrames"})
    queue_drop_octets: UInt64 = field(default=0, metadata={"name": "queueDropOctets"})
    queue_drop_frames: UInt64 = field(default=0, metadata={"name": "queueDropFrames"})
    delay_drop_octets: UInt64 = field(default=0, metadata={"name": "delayDropOctets"})
    delay_drop_frames: UInt64 = field(default=0, metadata={"name": "delayDropFrames"})


@dataclass
class Stats:
    """The counters of both directions."""

    downstream: WayStats = field(default_factory=WayStats)
    upstream: WayStats = field(default_factory=WayStats)


@dataclass
class WayRun:
    """What is on its way in one direction."""

    queues: UInt32 = 0
    queued_octets: UInt32 = field(default=0, metadata={"name": "queuedOctets"})
    queued_frames: UInt32 = field(default=0, metadata={"name": "queuedFrames"})
    delayed_octets: UInt32 = field(default=0, metadata={"name": "delayedOctets"})
    delayed_frames: UInt32 = field(default=0, metadata={"name": "delayedFrames"})


@dataclass
class Run:
    """What is on its way in both directions."""

    downstream: WayRun = field(default_factory=WayRun)
    upstream: WayRun = field(default_factory=WayRun)


@dataclass
class WayConfig:
    """The configuration of one direction."""

    bandwidth: UInt64 = 0
    ber: UInt64 = field(default=0, metadata={"name": "BER"})
    queuelen: UInt32 = 0
    delaylen: UInt32 = 0
    duplicate: UInt32 = 0
    fifo: UInt32 = 0
    drr: UInt32 = 0
    wfq: UInt32 = 0
    droptail: UInt32 = 0
    drophead: UInt32 = 0

    @classmethod
    def fresh(cls) -> WayConfig:
        """Return what a direction has when its hook is connected."""
        return cls(queuelen=QUEUELEN, fifo=1, droptail=1)

    def change(self, wanted: WayConfig) -> None:
        """Take from *wanted* what it sets."""
        if wanted.bandwidth == ALL64:
            self.bandwidth = 0
            self._select("fifo", 1)
        else:
            self.bandwidth = _chosen(self.bandwidth, wanted.bandwidth, BANDWIDTH, ALL64)
        self.ber = _chosen(self.ber, wanted.ber, BER, ALL64)
        self.queuelen = _chosen(self.queuelen, wanted.queuelen, LENGTH)
        self.delaylen = _chosen(self.delaylen, wanted.delaylen, LENGTH)
        self.duplicate = _chosen(self.duplicate, wanted.duplicate, DUPLICATE)
        if wanted.fifo:
            self._select("fifo", 1)
        if wanted.wfq:
            self._select("wfq", 1)
        if wanted.drr:
            self._select("drr", wanted.drr if wanted.drr >= LEAST_QUANTUM else QUANTUM)
        if wanted.droptail:
            self.droptail, self.drophead = 1, 0
        if wanted.drophead:
            self.droptail, self.drophead = 0, 1

    def _select(self, mode: str, value: int) -> None:
        self.fifo = self.drr = self.wfq = 0
        setattr(self, mode, value)

    def difference(self) -> WayConfig:
        """Return what a fresh direction must be told to become this one."""
        return WayConfig(
            self.bandwidth,
            self.ber,
            0 if self.queuelen == QUEUELEN else self.queuelen or ALL,
            self.delaylen,
            self.duplicate,
            drr=self.drr,
            wfq=self.wfq,
            drophead=self.drophead,
        )


@dataclass
class Config:
    """The configuration of a pipe."""

    bandwidth: UInt64 = 0
    delay: UInt64 = 0
    header_offset: UInt32 = 0
    overhead: UInt32 = 0
    downstream: WayConfig = field(default_factory=WayConfig)
    upstream: WayConfig = field(default_factory=WayConfig)

    def change(self, wanted: Config) -> None:
        """Take from *wanted* what it sets; its bandwidth is both directions'."""
        ways = (self.downstream, self.upstream)
        if wanted.bandwidth == ALL64:
            self.overhead = 0
            for way in ways:
                way.bandwidth = 0
        elif wanted.bandwidth in BANDWIDTH:
            self.overhead = 24 if wanted.bandwidth >= FAST else 10
            for way in ways:
                way.bandwidth = wanted.bandwidth
        self.delay = _chosen(self.delay, wanted.delay, DELAY, ALL64)
        self.overhead = _chosen(self.overhead, wanted.overhead, OVERHEAD)
        self.header_offset = _chosen(self.header_offset, wanted.header_offset, OFFSET)
        for way, its in zip(ways, (wanted.downstream, wanted.upstream), strict=True):
            way.change(its)


@dataclass
class Loss:
    """The chance that a packet is lost, in parts per million, by direction."""

    downstream: UInt32 = 0
    upstream: UInt32 = 0


def _chosen(now: int, wanted: int, legal: range, reset: int = ALL) -> int:
    """Return what a number becomes: *reset*, or what is legal; nothing else changes it."""
    if wanted == reset:
        return 0
    return wanted if wanted in legal else now


STATS: Final = Struct(Stats)
RUN: Final = Struct(Run)
CONFIG: Final = Struct(Config)
LOSS: Final = Struct(Loss)
