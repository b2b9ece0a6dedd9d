"""macfilter: spread Ethernet frames over hooks by the address they come from.

Hooks: ``ether``, the lower side; ``default`` and any other name, the upper side.
Upper hooks have numbers: ``default`` 0, another one the lowest from 1 that is
free.

What comes from ``ether`` goes to the hook to which its source address was
directed, else to ``default``.  What comes from an upper hook goes to ``ether``.
Where that hook is missing a frame is dropped; that is no error.  A frame
shorter than 14 bytes is EINVAL.

For each directed address there are counters: *in*, what came from it by
``ether``; *out*, what was sent to it out of ``ether``, by whichever hook it
came.  Bytes are counted without the header's 14.  A frame counts as sent
whatever became of it, but not where ``ether`` is missing.

Messages (cookie 1042445461):

* 1 ``reset``: forget all addresses.
* 2 ``direct``: direct an address to an upper hook, such as
  ``{ hookname="out1" ether=00:00:00:00:00:01 }``; to ``default``, connected or
  not, means to forget it.  A hook that is not there is ENOENT, ``ether`` EINVAL.
  An address that was directed before keeps its counters.
* 3 ``directi``: the same by the hook's number; one that nobody has is EINVAL.
* 4 ``getmacs``: tell all addresses, in their order, with hook and counters.
* 5 ``getclrmacs``: the same, then reset the counters.
* 6 ``clrmacs``: reset the counters.
* 7 ``gethooks``: tell the upper hooks by number, and how many addresses each has.

A hook that is removed takes its addresses along.

An end-of-file mark from ``ether`` goes to all upper hooks, for it ends all their
streams; one from an upper hook goes to ``ether``.  Back-pressure: a full sink
beyond ``ether`` holds all upper hooks; one beyond ``default``, or beyond a hook
to which addresses are directed, holds ``ether``.

It ends by ``shutdown``, or with its last hook.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from errno import EINVAL, ENOBUFS, ENOENT
from heapq import heappop, heappush
from typing import Annotated, Final

from ngksock.ethernet import HEADER, too_short
from ngksock.netgraph import Batch, Hook, Node, Packet, Shares, command, send_all
from ngksock.netgraph.layout import (
    Counted,
    Ether,
    FixedString,
    Struct,
    UInt16,
    UInt32,
    UInt64,
)
from ngksock.plugin import NodeType

LOWER, DEFAULT = "ether", "default"
LAST_ID: Final = 0xFFFF


@dataclass
class Direct:
    """An address, and the name of the hook it is directed to."""

    ether: Ether
    hookname: Annotated[str, FixedString(32)] = ""


@dataclass
class DirectI:
    """An address, and the number of the hook it is directed to."""

    ether: Ether
    hookid: UInt16 = 0


@dataclass
class MacInfo:
    """An address, its hook and its counters."""

    ether: Ether
    hookid: UInt16 = 0
    packets_in: UInt64 = 0
    bytes_in: UInt64 = 0
    packets_out: UInt64 = 0
    bytes_out: UInt64 = 0


@dataclass
class Macs:
    """All directed addresses."""

    n: UInt32 = 0
    macs: Annotated[list[MacInfo], Counted(MacInfo, "n")] = field(default_factory=list)


@dataclass
class HookInfo:
    """An upper hook, and how many addresses are directed to it."""

    hookname: Annotated[str, FixedString(32)] = ""
    hookid: UInt16 = 0
    maccnt: UInt32 = 0


@dataclass
class Hooks:
    """All upper hooks."""

    n: UInt32 = 0
    hooks: Annotated[list[HookInfo], Counted(HookInfo, "n")] = field(default_factory=list)


DIRECT: Final = Struct(Direct)
MACS: Final = Struct(Macs)


class Upper:
    """An upper hook: its ``private``."""

    __slots__ = ("hook", "macs", "number")

    def __init__(self, hook: Hook, number: int) -> None:
        self.hook = hook
        self.number = number
        self.macs: set[bytes] = set()


class Mac:
    """A directed address: where to, and its counters."""

    __slots__ = ("bytes_in", "bytes_out", "packets_in", "packets_out", "upper")

    def __init__(self, upper: Upper) -> None:
        self.upper = upper
        self.clear()

    def clear(self) -> None:
        """Reset the counters."""
        self.packets_in = self.bytes_in = self.packets_out = self.bytes_out = 0


class MacFilter(Node):
    """A node that sorts frames by who sent them."""

    hook_form = "ether, default; any other name leads upward, too"

    def __init__(self) -> None:
        super().__init__()
        self.macs: dict[bytes, Mac] = {}
        self.ether: Hook | None = None
        self.numbers: dict[int, Upper] = {}
        self.free: list[int] = []  # numbers under ``fresh`` that nobody has, a heap
        self.fresh = 1

    def connect(self, hook: Hook) -> None:
        if hook.name == LOWER:
            self.ether = hook
            return
        if hook.name == DEFAULT:
            number = 0
        elif self.free:
            number = heappop(self.free)
        elif self.fresh <= LAST_ID:
            number, self.fresh = self.fresh, self.fresh + 1
        else:
            raise OSError(ENOBUFS, f"a macfilter has no more than {LAST_ID} hooks beside default")
        hook.private = self.numbers[number] = Upper(hook, number)

    def _uppers(self) -> list[Hook]:
        return [upper.hook for upper in self.numbers.values()]

    # -- packets --------------------------------------------------------------------------

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        if hook is not self.ether:
            self._check_out(packet)
            if self.ether is not None:
                self.ether.send_data(packet)
        elif packet.eof:
            send_all(self._uppers(), packet)
        else:
            upper = self._upper(packet)
            if upper is not None:
                upper.send_data(packet)

    def _upper(self, packet: Packet) -> Hook | None:
        """Count a frame that came by ``ether``, and return the hook it goes to."""
        if packet.len < HEADER:
            raise too_short(packet.len)
        mac = self.macs.get(bytes(packet.data[6:12]))
        if mac is None:
            return self.hooks.get(DEFAULT)
        mac.packets_in += 1
        mac.bytes_in += packet.len - HEADER
        return mac.upper.hook

    def _check_out(self, packet: Packet) -> None:
        """Count a frame that goes to ``ether``; EINVAL if it is none."""
        if packet.len < HEADER:
            if not packet.eof:
                raise too_short(packet.len)
        elif self.macs and self.ether is not None:
            mac = self.macs.get(bytes(packet.data[:6]))
            if mac is not None:
                mac.packets_out += 1
                mac.bytes_out += packet.len - HEADER

    def rcvbatch(self, hook: Hook, batch: Batch) -> None:
        if hook is self.ether:
            self._spread(hook, batch)
            return
        good = Batch()
        for packet in batch:
            try:
                self._check_out(packet)
            except OSError as error:
                hook.peer.lost(error, ends=True)
            else:
                good.append(packet)
        if good and self.ether is not None:
            good.nbytes = batch.nbytes if len(good) == len(batch) else sum(p.len for p in good)
            self.ether.send_batch(batch if len(good) == len(batch) else good)

    def _spread(self, hook: Hook, batch: Batch) -> None:
        """Give each upper hook its share of *batch*."""
        shares = Shares()
        for packet in batch:
            if packet.eof:
                for upper in self._uppers():
                    shares[upper].append(packet)
                continue
            try:
                to = self._upper(packet)
            except OSError as error:
                hook.peer.lost(error, ends=True)
                continue
            if to is not None:
                shares[to].add(packet)
        shares.send(batch)

    def rcvflow(self, hook: Hook, high: bool) -> None:
        """Hold the hooks whose packets go out of *hook*."""
        if hook is self.ether:
            for other in self._uppers():
                other.send_flow(high)
            return
        upper: Upper = hook.private
        if self.ether is not None and (upper.macs or hook.name == DEFAULT):
            self.ether.send_flow(high)

    # -- messages -------------------------------------------------------------------------

    @command(1)
    def reset(self) -> None:
        """Forget all addresses."""
        self.macs.clear()
        for upper in self.numbers.values():
            upper.macs.clear()
        self.graph.flow.rerouted(self)

    @command(2, arg=DIRECT)
    def direct(self, wanted: Direct) -> None:
        """Direct an address to the hook of that name; to ``default``: forget it."""
        if wanted.hookname == DEFAULT:
            self._forget(wanted.ether)
            return
        hook = self.hooks.get(wanted.hookname)
        if hook is None:
            raise OSError(ENOENT, f'there is no hook "{wanted.hookname}" to direct to')
        if hook is self.ether:
            raise OSError(EINVAL, "nothing can be directed to ether, where it comes from")
        self._direct(wanted.ether, hook.private)

    @command(3, arg=Struct(DirectI))
    def directi(self, wanted: DirectI) -> None:
        """Direct an address to the hook of that number; to 0: forget it."""
        if wanted.hookid == 0:
            self._forget(wanted.ether)
            return
        upper = self.numbers.get(wanted.hookid)
        if upper is None:
            raise OSError(EINVAL, f"no hook has the number {wanted.hookid}; gethooks tells them")
        self._direct(wanted.ether, upper)

    def _direct(self, address: bytes, upper: Upper) -> None:
        mac = self.macs.get(address)
        if mac is None:
            self.macs[address] = Mac(upper)
        else:
            mac.upper.macs.discard(address)
            mac.upper = upper
        upper.macs.add(address)
        self.graph.flow.rerouted(self)

    def _forget(self, address: bytes) -> None:
        mac = self.macs.pop(address, None)
        if mac is not None:
            mac.upper.macs.discard(address)
            self.graph.flow.rerouted(self)

    @command(4, resp=MACS)
    def getmacs(self) -> Macs:
        """Tell all directed addresses, with their hooks and counters."""
        infos = [
            MacInfo(a, m.upper.number, m.packets_in, m.bytes_in, m.packets_out, m.bytes_out)
            for a, m in sorted(self.macs.items(), key=lambda item: item[0])
        ]
        return Macs(len(infos), infos)

    @command(5, resp=MACS)
    def getclrmacs(self) -> Macs:
        """Tell all directed addresses, then reset their counters."""
        macs = self.getmacs()
        self.clrmacs()
        return macs

    @command(6)
    def clrmacs(self) -> None:
        """Reset the counters of all addresses."""
        for mac in self.macs.values():
            mac.clear()

    @command(7, resp=Struct(Hooks))
    def gethooks(self) -> Hooks:
        """Tell the upper hooks, and how many addresses are directed to each."""
        infos = [
            HookInfo(upper.hook.name, number, len(upper.macs))
            for number, upper in sorted(self.numbers.items())
        ]
        return Hooks(len(infos), infos)

    def config(self) -> list[str]:
        return [
            f"msg . direct {DIRECT.unparse(Direct(address, mac.upper.hook.name))}"
            for address, mac in sorted(self.macs.items(), key=lambda item: item[0])
        ]

    def status(self) -> str:
        return f"{len(self.macs)} addresses, {len(self.numbers)} upper hooks"

    # -- the end ----------------------------------------------------------------------------

    def disconnect(self, hook: Hook) -> None:
        upper: Upper | None = hook.private
        if hook is self.ether:
            self.ether = None
        elif upper is not None:  # else it was refused before it was connected
            for address in upper.macs:
                del self.macs[address]
            upper.macs.clear()
            del self.numbers[upper.number]
            if upper.number:
                heappush(self.free, upper.number)
        super().disconnect(hook)


macfilter = NodeType("macfilter", 1042445461, MacFilter)
