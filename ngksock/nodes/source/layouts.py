"""What the messages of a source say, and what it writes into packets."""

from __future__ import annotations

from dataclasses import dataclass, field
from errno import EINVAL
from struct import Struct as Bytes
from typing import Final

from ngksock.netgraph.layout import (
    Hex8,
    Hex16,
    Int32,
    Int64,
    LooseString,
    Rest,
    Struct,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
)

COUNTERS: Final = 4
WIDTHS: Final = (1, 2, 4)
ENABLE, ONCE = 1, 2
FOREVER: Final = (1 << 64) - 1


@dataclass
class TimeVal:
    """A time."""

    tv_sec: Int64 = 0
    tv_usec: Int64 = 0


def timeval(seconds: float) -> TimeVal:
    """Divide a time into seconds and microseconds."""
    return TimeVal(*divmod(round(seconds * 1e6), 10**6))


@dataclass
class Stats:
    """What was sent, what is queued, and when."""

    out_octets: UInt64 = field(default=0, metadata={"name": "outOctets"})
    out_frames: UInt64 = field(default=0, metadata={"name": "outFrames"})
    queue_octets: UInt32 = field(default=0, metadata={"name": "queueOctets"})
    queue_frames: UInt32 = field(default=0, metadata={"name": "queueFrames"})
    max_pps: UInt32 = field(default=0, metadata={"name": "maxPps"})
    start_time: TimeVal = field(default_factory=TimeVal, metadata={"name": "startTime"})
    end_time: TimeVal = field(default_factory=TimeVal, metadata={"name": "endTime"})
    elapsed_time: TimeVal = field(default_factory=TimeVal, metadata={"name": "elapsedTime"})
    last_time: TimeVal = field(default_factory=TimeVal, metadata={"name": "lastTime"})


@dataclass
class EmbedInfo:
    """Where the time is written; a spare byte follows."""

    offset: Hex16 = 0
    flags: Hex8 = 0


@dataclass
class CounterInfo:
    """A number that is written into packets."""

    offset: UInt16 = 0
    flags: UInt8 = 0
    width: UInt8 = 0
    next_val: UInt32 = 0
    min_val: UInt32 = 0
    max_val: UInt32 = 0
    increment: Int32 = 0
    index: UInt8 = 0

    def check(self) -> None:
        """Raise OSError(EINVAL) if there cannot be such a counter."""
        if self.index >= COUNTERS:
            raise OSError(EINVAL, f"counter {self.index} is not in 0..{COUNTERS - 1}")
        if self.width not in WIDTHS:
            raise OSError(EINVAL, f"width of counter {self.index} is {self.width}, not 1, 2 or 4")
        if self.min_val > self.max_val:
            raise OSError(
                EINVAL,
                f"min_val of counter {self.index} is {self.min_val},"
                f" above its max_val, {self.max_val}",
            )

    def write(self, data: bytearray) -> None:
        """Write the number, and advance it unless that is done once a round."""
        end = self.offset + self.width
        if end <= len(data):
            number = self.next_val & ((1 << 8 * self.width) - 1)
            data[self.offset : end] = number.to_bytes(self.width)
            if not self.flags & ONCE:
                self.advance()

    def advance(self) -> None:
        """Go on to the next number."""
        low = self.min_val
        self.next_val = low + (self.next_val + self.increment - low) % (self.max_val - low + 1)


NAME: Final = LooseString(16)
STATS: Final = Struct(Stats)
EMBED: Final = Struct(EmbedInfo)
COUNTER: Final = Struct(CounterInfo)
DATA: Final = Rest()
STAMP: Final = Bytes(">I4xI4x")


def stamp(seconds: float) -> bytes:
    """Return a time as it is written into packets."""
    time = timeval(seconds)
    return STAMP.pack(time.tv_sec & 0xFFFFFFFF, time.tv_usec)
