"""The layouts of a car's messages, and what setconf accepts."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from errno import EINVAL
from typing import Final

from ngksock.netgraph.layout import Struct, UInt8, UInt64

__all__ = [
    "AWARE", "CONF", "COUNT", "DOUBLE", "DROP", "FORWARD", "MARK", "PACKET", "RANDOM", "SHAPE",
    "SINGLE", "STATS", "Conf", "Stats", "WayConf", "WayStats",
]  # fmt: skip

FORWARD, DROP, MARK = 1, 2, 3
SINGLE, DOUBLE, RANDOM, SHAPE = 0, 1, 2, 3
AWARE, COUNT = 1, 2

FASTEST: Final = 10**9
PACKET: Final = 128
"""What a packet costs when packets are counted, in bytes."""


@dataclass
class WayStats:
    """What became of the packets of one direction."""

    passed: UInt64 = 0
    dropped: UInt64 = 0
    green: UInt64 = 0
    yellow: UInt64 = 0
    red: UInt64 = 0
    errors: UInt64 = 0


@dataclass
class Stats:
    """The counters of both directions."""

    upstream: WayStats = field(default_factory=WayStats)
    downstream: WayStats = field(default_factory=WayStats)


@dataclass
class WayConf:
    """The configuration of one direction."""

    cbs: UInt64 = 8192
    ebs: UInt64 = 8192
    cir: UInt64 = 10240
    pir: UInt64 = 0
    green_action: UInt8 = field(default=FORWARD, metadata={"name": "greenAction"})
    yellow_action: UInt8 = field(default=FORWARD, metadata={"name": "yellowAction"})
    red_action: UInt8 = field(default=DROP, metadata={"name": "redAction"})
    mode: UInt8 = SINGLE
    opt: UInt8 = 0

    @property
    def given(self) -> bool:
        """Whether it says anything at all."""
        return any(getattr(self, each.name) for each in fields(self))

    def check(self, way: str) -> None:
        """
        See that it can be used.

        Raises:
            OSError: EINVAL, it cannot.
        """
        fastest, unit = FASTEST, "bit/s"
        if self.opt & COUNT:
            fastest, unit = FASTEST // (8 * PACKET), "packets a second"
        for name, rate in (("cir", self.cir), ("pir", self.pir)):
            if rate > fastest:
                raise OSError(EINVAL, f"{way}: {name} is {rate}, at most {fastest} {unit} is legal")
        if not self.cbs and not self.ebs:
            raise OSError(EINVAL, f"{way}: cbs and ebs are both 0; give one of them a size")
        if self.mode > SHAPE:
            raise OSError(EINVAL, f"{way}: mode is {self.mode}, not 0, 1, 2 or 3")
        if self.mode == SHAPE and not self.cir:
            raise OSError(EINVAL, f"{way}: mode 3 needs a cir of 1 to {fastest} {unit}")


@dataclass
class Conf:
    """The configuration of both directions."""

    upstream: WayConf = field(default_factory=WayConf)
    downstream: WayConf = field(default_factory=WayConf)


STATS: Final = Struct(Stats)
CONF: Final = Struct(Conf)
