"""patch: change numbers inside packets.

Hooks: one whose name begins with ``in``, and one that begins with ``out``.

A packet from ``in`` is patched and goes to ``out``, or back to ``in`` if there
is no ``out``.  A packet from ``out`` goes to ``in`` as it is; without ``in`` it
is dropped, which is counted and no error.

Messages (cookie 1262445509):

* 1 ``setconfig``: set the operations, such as ``{ count=1 ops=[ { mode=3
  value=1 length=1 offset=8 } ] }``.
* 2 ``getconfig``: tell them; no answer if they were never set.
* 3 ``getstats``: tell the packets received, patched and dropped.
* 4 ``clrstats``: reset the counters.
* 5 ``getclrstats``: tell them, then reset them.
* 6 ``getdlt``: tell the link type.
* 7 ``setdlt``: set it: 12, raw, or 1, Ethernet.

An operation reads the big-endian number of ``length`` bytes (1, 2, 4 or 8) at
``offset``, changes it, and writes it back, in the order of the list.  Modes: 1
set, 2 add, 3 subtract, 4 multiply, 5 divide, 6 negate, 7 and, 8 or, 9 xor, 10
shift left, 11 shift right; any other leaves the number as it is.  Only as many
bits as the field has count.  A division by zero is no operation.  An operation
beyond the end of a packet is skipped; a packet counts as patched if one was not.

With ``relative_offset`` not 0 and link type 1 offsets count from behind the
Ethernet header and its VLAN tags; a packet that ends before passes as it is.
``csum_flags`` is about checksums in hardware: kept, and without effect.

Back-pressure takes the ways of the packets against them.

It ends by ``shutdown``, or with its last hook.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from errno import EINVAL, EISCONN
from operator import add, and_, floordiv, lshift, mul, or_, rshift, sub, xor
from typing import Annotated, Final

from ngksock.ethernet import type_offset
from ngksock.netgraph import Batch, Hook, Node, Packet, Reply, command, command_later
from ngksock.netgraph.layout import UINT8, Counted, Struct, UInt16, UInt32, UInt64
from ngksock.plugin import NodeType

ETHERNET, RAW = 1, 12
SET, DIVIDE, NEGATE, SHIFT_LEFT, SHIFT_RIGHT = 1, 5, 6, 10, 11
LENGTHS: Final = (1, 2, 4, 8)
TAGS: Final = frozenset({0x8100, 0x88A8, 0x9100})
"""The VLAN protocols this type knows (netgraph.md §10.12)."""

Change = Callable[[int, int], int]
CHANGES: Final[dict[int, Change]] = {
    SET: lambda number, value: value,
    2: add,
    3: sub,
    4: mul,
    DIVIDE: floordiv,
    NEGATE: lambda number, value: -number,
    7: and_,
    8: or_,
    9: xor,
    SHIFT_LEFT: lshift,
    SHIFT_RIGHT: rshift,
}


@dataclass
class Operation:
    """One change of one number."""

    offset: UInt32 = 0
    length: UInt16 = 0
    mode: UInt16 = 0
    value: UInt64 = 0

    def step(self) -> Step | None:
        """Return what is to be done for each packet, or None: nothing ever."""
        bits = 8 * self.length
        mask = (1 << bits) - 1
        change, value = CHANGES.get(self.mode), self.value & mask
        if self.mode == DIVIDE and not value:
            return None
        if self.mode in (SHIFT_LEFT, SHIFT_RIGHT):
            value = min(self.value, bits)
        return Step(self.offset, self.length, mask, change or _keep, value)


def _keep(number: int, value: int) -> int:
    return number


@dataclass(frozen=True, slots=True)
class Step:
    """An operation, made ready."""

    offset: int
    length: int
    mask: int
    change: Change
    value: int


@dataclass
class Config:
    """What is done to packets from ``in``."""

    count: UInt32 = 0
    csum_flags: UInt64 = 0
    relative_offset: UInt32 = 0
    ops: Annotated[list[Operation], Counted(Operation, "count")] = field(default_factory=list)


@dataclass
class Stats:
    """What became of packets, from either hook."""

    received: UInt64 = field(default=0, metadata={"name": "Received"})
    patched: UInt64 = field(default=0, metadata={"name": "Patched"})
    dropped: UInt64 = field(default=0, metadata={"name": "Dropped"})


CONFIG: Final = Struct(Config, loose=True)
STATS: Final = Struct(Stats)


class Patch(Node):
    """A node that rewrites fields of packets."""

    hook_names = ("in", "out")
    hook_form = "a name that begins with in, and one that begins with out"

    def __init__(self) -> None:
        super().__init__()
        self.settings: Config | None = None
        self.steps: list[Step] = []
        self.dlt = RAW
        self.behind_header = False
        self.stats = Stats()
        self.inner: Hook | None = None
        self.outer: Hook | None = None

    def newhook(self, hook: Hook, name: str) -> None:
        if not name.startswith(self.hook_names):
            raise OSError(
                EINVAL, f'patch has no hook "{name}"; names of its hooks begin with in or out'
            )
        side = "in" if name.startswith("in") else "out"
        for taken in self.hooks:
            if taken.startswith(side):
                raise OSError(EISCONN, f'"{name}" would be a second hook beside "{taken}"')

    def connect(self, hook: Hook) -> None:
        if hook.name.startswith("in"):
            self.inner = hook
        else:
            self.outer = hook
        self._direct()

    def _direct(self) -> None:
        """Decide where packets go: the ``private`` of the hook they come from."""
        if self.inner is not None:
            self.inner.private = self.outer or self.inner
        if self.outer is not None:
            self.outer.private = self.inner

    # -- packets --------------------------------------------------------------------------

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        onward: Hook | None = hook.private
        self.stats.received += 1
        if onward is None:
            self.stats.dropped += 1
            return
        if self.steps and hook is self.inner:
            packet = self._patched(packet)
        onward.send_data(packet)

    def rcvbatch(self, hook: Hook, batch: Batch) -> None:
        onward: Hook | None = hook.private
        self.stats.received += len(batch)
        if onward is None:
            self.stats.dropped += len(batch)
            return
        if self.steps and hook is self.inner:
            batch = Batch(map(self._patched, batch), batch.nbytes)
        onward.send_batch(batch)

    def _patched(self, packet: Packet) -> Packet:
        """Return *packet* with all operations done, itself if none was."""
        start = 0
        if self.behind_header:
            at = type_offset(packet.data, TAGS)
            if at is None:
                return packet
            start = at + 2
        data: bytearray | None = None
        for step in self.steps:
            at = start + step.offset
            end = at + step.length
            if end > packet.len:
                continue
            if data is None:
                data = bytearray(packet.data)
            number = step.change(int.from_bytes(data[at:end]), step.value) & step.mask
            data[at:end] = number.to_bytes(step.length)
        if data is None:
            return packet
        self.stats.patched += 1
        return packet.replace(bytes(data))

    def rcvflow(self, hook: Hook, high: bool) -> None:
        """Hold the hooks whose packets go out of *hook*."""
        for other in list(self.hooks.values()):
            if other.private is hook:
                other.send_flow(high)

    # -- messages ---------------------------------------------------------------------------

    @command(1, arg=CONFIG)
    def setconfig(self, config: Config) -> None:
        """Set the operations, which replace those there were."""
        for place, operation in enumerate(config.ops):
            if operation.length not in LENGTHS:
                raise OSError(
                    EINVAL, f"length of operation {place} is {operation.length}, not 1, 2, 4 or 8"
                )
        self.settings = config
        self._prepare()

    def _prepare(self) -> None:
        settings = self.settings or Config()
        self.steps = [step for step in (op.step() for op in settings.ops) if step is not None]
        self.behind_header = self.dlt == ETHERNET and bool(settings.relative_offset)

    @command_later(2, resp=CONFIG)
    def getconfig(self, reply: Reply[Config]) -> None:
        """Tell the operations; no answer if they were never set."""
        if self.settings is not None:
            reply(self.settings)

    @command(3, resp=STATS)
    def getstats(self) -> Stats:
        """Count the packets received, patched and dropped."""
        return self.stats

    @command(4)
    def clrstats(self) -> None:
        """Reset the counters."""
        self.getclrstats()

    @command(5, resp=STATS)
    def getclrstats(self) -> Stats:
        """Tell the counters, then reset them."""
        stats, self.stats = self.stats, Stats()
        return stats

    @command(6, resp=UINT8)
    def getdlt(self) -> int:
        """Tell the link type: 12, raw, or 1, Ethernet."""
        return self.dlt

    @command(7, arg=UINT8)
    def setdlt(self, dlt: int) -> None:
        """Set the link type: 12, raw, or 1, Ethernet."""
        if dlt not in (ETHERNET, RAW):
            raise OSError(EINVAL, f"link type {dlt} is neither 12, raw, nor 1, Ethernet")
        self.dlt = dlt
        self._prepare()

    def config(self) -> list[str]:
        lines = [] if self.dlt == RAW else [f"msg . setdlt {self.dlt}"]
        if self.settings is not None:
            lines.append(f"msg . setconfig {CONFIG.unparse(self.settings)}")
        return lines

    def status(self) -> str:
        stats = self.stats
        return (
            f"{len(self.settings.ops) if self.settings else 0} operations; {stats.received} packets"
            f" received, {stats.patched} patched, {stats.dropped} dropped"
        )

    # -- the end ----------------------------------------------------------------------------

    def disconnect(self, hook: Hook) -> None:
        if hook is self.inner:
            self.inner = None
        elif hook is self.outer:
            self.outer = None
        self._direct()
        super().disconnect(hook)


patch = NodeType("patch", 1262445509, Patch)
