"""vlan_rotate: turn the stack of VLAN tags of a frame.

Hooks: ``original``, ``ordered``, ``excessive``, ``incomplete``.

================ =============================== =============
a frame from     with its tags                   goes to
================ =============================== =============
``original``     turned by -rot                  ``ordered``
``ordered``      turned by +rot                  ``original``
either of these  more than max, or 10 and more   ``excessive``
either of these  fewer than min, or not more     ``incomplete``
                 than \\|rot\\|
``excessive``    as they are                     ``original``
``incomplete``   as they are                     ``original``
================ =============================== =============

Turned by r > 0 means: the new outermost tag is the old tag number r, counted
from 0.  A tag keeps its protocol (0x8100, 0x88a8, 0x9100, 0x9200, 0x9300).
Where the hook it should go to is missing, a frame is dropped and counted; that
is no error.

Messages (cookie 1568378766):

* 1 ``getconf``: tell the configuration.
* 2 ``setconf``: set it, such as ``{ rot=1 min=2 max=4 }``; max 0 leaves max.
* 3 ``getstat``: tell how many frames were dropped, excessive, incomplete, and
  how many had 0 to 9 tags.
* 4 ``clrstat``: reset the counters.
* 5 ``getclrstat``: tell them, then reset them.

A frame from ``original`` or ``ordered`` counts in the histogram, one with 10 or
more tags as excessive alone.  What does not reach its ethertype has as many
tags as were whole.  An end-of-file mark is no frame: it goes all ways the data of
its hook may go, and is not counted.

It ends by ``shutdown``, or with its last hook.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from errno import EINVAL
from typing import Annotated, Final

from ngksock.ethernet import ADDRESSES, TAG, VLAN_PROTOCOLS
from ngksock.netgraph import Batch, Hook, Node, Packet, Shares, command, send_all
from ngksock.netgraph.layout import UINT64, FixedArray, Int8, Struct, UInt8, UInt64
from ngksock.plugin import NodeType

DEPTH: Final = 10
"""So many tags are excessive whatever the configuration says."""
SORTED_OUT: Final = ("excessive", "incomplete")
WAYS: Final = {
    "original": ("ordered", *SORTED_OUT),
    "ordered": ("original", *SORTED_OUT),
    "excessive": ("original",),
    "incomplete": ("original",),
}
"""Where frames of a hook may go, the usual way first."""


@dataclass
class Config:
    """How far stacks are turned, and which are."""

    rot: Int8 = 0
    min: UInt8 = 0
    max: UInt8 = 0


@dataclass
class Stats:
    """What became of frames."""

    drops: UInt64 = 0
    excessive: UInt64 = 0
    incomplete: UInt64 = 0
    histogram: Annotated[list[int], FixedArray(UINT64, DEPTH)] = field(
        default_factory=lambda: [0] * DEPTH
    )


CONFIG: Final = Struct(Config)
STATS: Final = Struct(Stats)


def depth_of(frame: bytes | memoryview) -> int:
    """Return how many VLAN tags *frame* has; DEPTH if there are as many or more."""
    at, depth, last = ADDRESSES, 0, len(frame) - TAG
    while at <= last and depth < DEPTH and frame[at] << 8 | frame[at + 1] in VLAN_PROTOCOLS:
        at += TAG
        depth += 1
    return depth


class VlanRotate(Node):
    """A node that makes an inner VLAN tag the outermost, and back."""

    hook_names = tuple(WAYS)

    def __init__(self) -> None:
        super().__init__()
        self.settings = Config(0, 0, DEPTH)
        self.stats = Stats()
        self.turns = {"ordered": 0, "original": 0}

    # -- packets --------------------------------------------------------------------------

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        if packet.eof:
            send_all(self._ended(hook), packet)
            return
        out, packet = self._sort(hook, packet)
        if out is None:
            self.stats.drops += 1
        else:
            out.send_data(packet)

    def rcvbatch(self, hook: Hook, batch: Batch) -> None:
        shares = Shares()
        for packet in batch:
            if packet.eof:
                for way in self._ended(hook):
                    shares[way].add(packet)
                continue
            out, turned = self._sort(hook, packet)
            if out is None:
                self.stats.drops += 1
            else:
                shares[out].add(turned)
        shares.send(batch)

    def _ended(self, hook: Hook) -> tuple[Hook, ...]:
        """Return the hooks that an end-of-file mark from *hook* goes to."""
        return tuple(self.hooks[name] for name in WAYS[hook.name] if name in self.hooks)

    def _sort(self, hook: Hook, packet: Packet) -> tuple[Hook | None, Packet]:
        """Return where a frame from *hook* goes, and what it becomes."""
        way = WAYS[hook.name][0]
        turn = self.turns.get(hook.name)
        if turn is not None:
            settings, stats = self.settings, self.stats
            depth = depth_of(packet.data)
            if depth < DEPTH:
                stats.histogram[depth] += 1
            if depth >= DEPTH or depth > settings.max:
                stats.excessive += 1
                way = "excessive"
            elif depth < settings.min or depth <= abs(turn):
                stats.incomplete += 1
                way = "incomplete"
            elif turn:
                packet = packet.replace(_turned(bytes(packet), turn % depth, depth))
        return self.hooks.get(way), packet

    def rcvflow(self, hook: Hook, high: bool) -> None:
        """Hold the hooks whose frames go out of *hook*."""
        for other in list(self.hooks.values()):
            if hook.name in WAYS[other.name]:
                other.send_flow(high)

    # -- messages ---------------------------------------------------------------------------

    @command(1, resp=CONFIG)
    def getconf(self) -> Config:
        """Tell how far stacks are turned, and which are."""
        return self.settings

    @command(2, arg=CONFIG)
    def setconf(self, config: Config) -> None:
        """Set how far stacks are turned, and how many tags they may have; max 0 leaves max."""
        most = config.max or self.settings.max
        if most > DEPTH:
            raise OSError(EINVAL, f"max is {most}, above {DEPTH}")
        if config.min > most:
            raise OSError(EINVAL, f"min is {config.min}, above max, which is {most}")
        if abs(config.rot) >= most:
            raise OSError(
                EINVAL, f"rot is {config.rot}, which turns no stack of {most} tags, the max"
            )
        self.settings = Config(config.rot, config.min, most)
        self.turns = {"ordered": config.rot, "original": -config.rot}

    @command(3, resp=STATS)
    def getstat(self) -> Stats:
        """Count the frames dropped, excessive and incomplete, and those of 0 to 9 tags."""
        return self.stats

    @command(4)
    def clrstat(self) -> None:
        """Reset the counters."""
        self.getclrstat()

    @command(5, resp=STATS)
    def getclrstat(self) -> Stats:
        """Tell the counters, then reset them."""
        stats, self.stats = self.stats, Stats()
        return stats

    def config(self) -> list[str]:
        if self.settings == Config(0, 0, DEPTH):
            return []
        return [f"msg . setconf {CONFIG.unparse(self.settings)}"]

    def status(self) -> str:
        settings, stats = self.settings, self.stats
        return (
            f"stacks of {settings.min} to {settings.max} tags turned by {settings.rot}; "
            f"{stats.drops} frames dropped, {stats.excessive} excessive, "
            f"{stats.incomplete} incomplete"
        )


def _turned(frame: bytes, by: int, depth: int) -> bytes:
    """Return *frame* with old tag number *by* as the outermost of its *depth* tags."""
    first, split, end = ADDRESSES, ADDRESSES + TAG * by, ADDRESSES + TAG * depth
    return frame[:first] + frame[split:end] + frame[first:split] + frame[end:]


vlan_rotate = NodeType("vlan_rotate", 1568378766, VlanRotate)
