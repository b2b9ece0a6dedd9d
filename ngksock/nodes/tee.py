"""tee: pass packets between ``left`` and ``right``, with a copy to whoever looks on.

Hooks: ``left``, ``right``, ``left2right``, ``right2left``.

============== =============== ==================
a packet from  is copied to    and goes on to
============== =============== ==================
``left``       ``left2right``  ``right``
``right``      ``right2left``  ``left``
``left2right``                 ``left``
``right2left``                 ``right``
============== =============== ==================

Without ``right``, what comes from ``left`` goes to ``left2right`` alone, and
the mirror image.  Without any destination a packet is dropped; that is no
error.  A copy that fails does not stop the packet itself.

Messages (cookie 916107047):

* 1 ``getstats``: tell the counters of all hooks.
* 2 ``clrstats``: reset them.
* 3 ``getclrstats``: tell them, then reset them.

A copy that failed is not counted as sent, a packet itself always is.  (Of a
batch that lost some, the bytes lost are reckoned at the batch's mean.)  A hook's
counters begin at zero when it is connected, and outlive it.

A flow message from ``left`` goes on to the node at ``right``, and the reverse;
one from elsewhere is swallowed.  Back-pressure takes the ways of the table
against the packets: a slow onlooker holds the traffic too.

It ends by ``shutdown``, which joins the neighbours at ``left`` and ``right``
without telling them, or with its last hook.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from ngksock.netgraph import FLOW_COOKIE, Batch, Hook, Item, Node, Packet, command
from ngksock.netgraph.layout import Struct, UInt64
from ngksock.plugin import NodeType


@dataclass
class HookStats:
    """What went in and out by one hook."""

    in_octets: UInt64 = field(default=0, metadata={"name": "inOctets"})
    in_frames: UInt64 = field(default=0, metadata={"name": "inFrames"})
    out_octets: UInt64 = field(default=0, metadata={"name": "outOctets"})
    out_frames: UInt64 = field(default=0, metadata={"name": "outFrames"})


@dataclass
class Stats:
    """The counters of all four hooks."""

    right: HookStats = field(default_factory=HookStats)
    left: HookStats = field(default_factory=HookStats)
    right2left: HookStats = field(default_factory=HookStats)
    left2right: HookStats = field(default_factory=HookStats)

    def of(self, name: str) -> HookStats:
        """Return the counters of the hook *name*."""
        stats: HookStats = getattr(self, name)
        return stats


STATS: Final = Struct(Stats)

COPY: Final = {"left": "left2right", "right": "right2left"}
ONWARD: Final = {"left": "right", "right": "left", "left2right": "left", "right2left": "right"}


class Passed:
    """What went by between two hooks without the tee's seeing it, and is not yet counted."""

    __slots__ = ("bytes", "packets")

    def __init__(self) -> None:
        self.packets = self.bytes = 0


class Way:
    """
    Where packets from one hook go: its ``private``, decided when links change.

    Args:
        stats: The hook's own counters.
        copy: Gets a copy, or None.
        onward: Gets the packet itself, or None.
        passed: Counts what goes this way by itself, until `fold`.
    """

    __slots__ = ("copy", "copy_stats", "onward", "onward_stats", "passed", "stats")

    def __init__(self, stats: Stats, hook: Hook, hooks: dict[str, Hook], passed: Passed) -> None:
        copy, onward = hooks.get(COPY.get(hook.name, "")), hooks.get(ONWARD[hook.name])
        if onward is None:
            copy, onward = None, copy
        self.copy, self.onward = copy, onward
        self.stats = stats.of(hook.name)
        self.copy_stats = stats.of(copy.name) if copy is not None else self.stats
        self.onward_stats = stats.of(onward.name) if onward is not None else self.stats
        self.passed = passed

    def fold(self) -> None:
        """Count what went by."""
        passed = self.passed
        self.stats.in_frames += passed.packets
        self.stats.in_octets += passed.bytes
        self.onward_stats.out_frames += passed.packets
        self.onward_stats.out_octets += passed.bytes
        passed.packets = passed.bytes = 0


class Tee(Node):
    """A node that lets others look on."""

    hook_names = ("left", "right", "left2right", "right2left")

    def __init__(self) -> None:
        super().__init__()
        self.stats = Stats()

    def connect(self, hook: Hook) -> None:
        self._fold()
        setattr(self.stats, hook.name, HookStats())
        self._direct()

    def _direct(self) -> None:
        """Decide for every hook where its packets go; `_fold` comes first."""
        for hook in self.hooks.values():
            passed = hook.private.passed if hook.private is not None else Passed()
            hook.private = way = Way(self.stats, hook, self.hooks, passed)
            # Without a copy there is nothing to do but to count.
            alone = way.onward is not None and way.copy is None
            hook.pass_to(way.onward if alone else None, passed if alone else None)

    def _fold(self) -> None:
        """Count what went by without our seeing it."""
        for hook in self.hooks.values():
            if hook.private is not None:
                hook.fold()
                hook.private.fold()

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        way: Way = hook.private
        way.stats.in_frames += 1
        way.stats.in_octets += packet.len
        failed: OSError | None = None
        if way.copy is not None:
            sender = hook.peer
            try:
                way.copy.send_data(packet)
            except OSError as error:
                failed = error if way.copy.valid else None
            else:
                way.copy_stats.out_frames += 1
                way.copy_stats.out_octets += packet.len
            if self.closing and sender.valid:
                sender.deliver(packet)  # who got the copy ended us: our neighbours are joined
                return
        if way.onward is not None:
            way.onward_stats.out_frames += 1
            way.onward_stats.out_octets += packet.len
            way.onward.send_data(packet)
        if failed is not None:
            try:
                raise failed
            finally:
                failed = None  # its traceback holds this frame: no cycle for each loss

    def rcvbatch(self, hook: Hook, batch: Batch) -> None:
        way: Way = hook.private
        count = len(batch)
        way.stats.in_frames += count
        way.stats.in_octets += batch.nbytes
        if way.copy is not None:
            sender, before = hook.peer, sum(way.copy.drops.values())
            way.copy.send_batch(batch)
            lost = min(sum(way.copy.drops.values()) - before, count)
            way.copy_stats.out_frames += count - lost
            way.copy_stats.out_octets += batch.nbytes * (count - lost) // max(count, 1)
            if self.closing and sender.valid:
                sender.deliver(batch)
                return
        if way.onward is not None:
            way.onward_stats.out_frames += count
            way.onward_stats.out_octets += batch.nbytes
            way.onward.send_batch(batch)

    def rcvflow(self, hook: Hook, high: bool) -> None:
        """Hold the hooks whose packets, or copies of them, go out of *hook*."""
        for other in list(self.hooks.values()):
            way: Way | None = other.private
            if way is not None and hook in (way.copy, way.onward):
                other.send_flow(high)

    def rcvmsg(self, item: Item, lasthook: Hook | None) -> None:
        message = item.message
        if message.cookie != FLOW_COOKIE:
            super().rcvmsg(item, lasthook)
        elif lasthook is not None and lasthook.name in COPY:
            onward = self.hooks.get(ONWARD[lasthook.name])
            if onward is not None:
                self.graph.send_hook(onward, message)

    @command(1, resp=STATS)
    def getstats(self) -> Stats:
        """Count packets and bytes in and out, by hook."""
        self._fold()
        return self.stats

    @command(2)
    def clrstats(self) -> None:
        """Reset all counters."""
        self.getclrstats()

    @command(3, resp=STATS)
    def getclrstats(self) -> Stats:
        """Tell all counters, then reset them."""
        self._fold()
        stats, self.stats = self.stats, Stats()
        self._direct()
        return stats

    def status(self) -> str:
        self._fold()
        lines = []
        for name in self.hook_names:
            if name in self.hooks:
                s = self.stats.of(name)
                lines.append(
                    f"{name}: in {s.in_frames} packets, {s.in_octets} bytes; "
                    f"out {s.out_frames} packets, {s.out_octets} bytes"
                )
        return "\n".join(lines) or "no hooks"

    def disconnect(self, hook: Hook) -> None:
        self._fold()
        if hook.private is not None:
            hook.private.fold()  # a hook that goes is no longer among the others
        self._direct()
        super().disconnect(hook)

    def close(self) -> None:
        """Join the two neighbours."""
        left, right = self.hooks.get("left"), self.hooks.get("right")
        if left is not None and right is not None:
            self.graph.bypass(left, right)


tee = NodeType("tee", 916107047, Tee)
