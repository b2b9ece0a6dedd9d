"""vlan: sort Ethernet frames by their VLAN tag, and tag what goes the other way.

Hooks: ``downstream`` carries tagged frames, ``nomatch`` those no filter is
for; a hook of any other name carries the frames of one VLAN, without their tag,
once a filter says which.

================ =================================== ===========================
a frame from     that                                goes to
================ =================================== ===========================
``downstream``   has no tag                          ``nomatch``
``downstream``   has a tag some hook filters         that hook, without the tag
``downstream``   has another tag                     ``nomatch``, as it is
a VLAN hook      (its filter tells the tag)          ``downstream``, tagged
a VLAN hook      and there is no filter              nobody: EOPNOTSUPP
``nomatch``                                          ``downstream``, as it is
================ =================================== ===========================

ENETDOWN where that hook is missing; EINVAL for a frame shorter than its header.
A tag is known by its protocol (``setencapproto``, 0x8100 at first).

A tag may also travel *beside* a frame, as a packet tag (cookie 1068486472,
type 1, 16 bits: priority, CFI, VLAN), which here counts like one inside; beside
a frame from a VLAN hook it becomes the inner one of two.  With
``setdecap`` not 0 the tag of a frame for ``nomatch`` is taken out and put
beside it.  Bit 1 of ``setencap`` (1 at first) says that tags of VLAN hooks go
into the frame, else they go beside it; bit 2 that those beside frames from
``nomatch`` go in.

Messages (cookie 1068486472):

* 1 ``addfilter``: let a hook have a VLAN: ``{ hook="v100" vid=100 }``.
* 2 ``delfilter``: take the filter of a hook away.
* 3 ``gettable``: tell all filters.
* 4 ``delvidflt``: take the filter of a VLAN away.
* 5 ``getdecap``, 6 ``setdecap``, 7 ``getencap``, 8 ``setencap``, 9
  ``getencapproto``, 10 ``setencapproto``: see above.

Flow messages from ``downstream`` are copied to all VLAN hooks, others swallowed.
An end-of-file mark from ``downstream`` goes to all hooks, one from elsewhere to
``downstream``.  Back-pressure takes the ways of the table against the frames: a
VLAN hook without a filter holds nobody.

It ends by ``shutdown``, or with its last hook.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from errno import EEXIST, EINVAL, ENETDOWN, ENOENT, EOPNOTSUPP
from typing import Annotated, Final

from ngksock.ethernet import ADDRESSES, HEADER, TAG, VLAN_PROTOCOLS, too_short
from ngksock.netgraph import (
    FLOW_COOKIE,
    Batch,
    Hook,
    Item,
    Node,
    Packet,
    Shares,
    Tag,
    command,
    send_all,
)
from ngksock.netgraph.layout import (
    HEX16,
    HEX32,
    UINT16,
    Counted,
    FixedString,
    Struct,
    UInt8,
    UInt16,
    UInt32,
)
from ngksock.plugin import NodeType

COOKIE: Final = 1068486472
BESIDE: Final = 1
"""Type of the packet tag that is a VLAN tag beside its frame."""
VID_MAX, PCP_MAX = 4095, 7
ENCAP_FILTER, ENCAP_NOMATCH = 1, 2
SPECIAL: Final = ("downstream", "nomatch")


@dataclass
class Filter:
    """Which VLAN a hook carries, and the rest of the tag its frames get."""

    hook: Annotated[str, FixedString(32)] = ""
    vlan: UInt16 = 0
    vid: UInt16 = 0
    pcp: UInt8 = 0
    cfi: UInt8 = 0

    @property
    def tci(self) -> bytes:
        """The 16 bits of the tag."""
        return (self.pcp << 13 | self.cfi << 12 | self.vid).to_bytes(2, "big")


@dataclass
class Table:
    """All filters."""

    n: UInt32 = 0
    filter: Annotated[list[Filter], Counted(Filter, "n")] = field(default_factory=list)


NAME: Final = FixedString(32)
FILTER: Final = Struct(Filter)
TABLE: Final = Struct(Table, loose=True)  # no padding behind the last filter


class Vlan(Node):
    """A node that joins VLANs to one link, and parts them."""

    hook_form = "downstream, nomatch; any other name for a VLAN"

    def __init__(self) -> None:
        super().__init__()
        self.filters: dict[str, Filter] = {}
        self.decap, self.encap = 0, ENCAP_FILTER
        self.protocol = b"\x81\0"  # as a frame has it
        self.downstream: Hook | None = None
        self.nomatch: Hook | None = None
        self.outputs: dict[int, Hook] = {}  # by VLAN

    def connect(self, hook: Hook) -> None:
        if hook.name == "downstream":
            self.downstream = hook
        elif hook.name == "nomatch":
            self.nomatch = hook

    # -- frames ---------------------------------------------------------------------------

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        if packet.eof:
            send_all(self._ended(hook), packet)
            return
        out, packet = self._sort(hook, packet)
        out.send_data(packet)

    def rcvbatch(self, hook: Hook, batch: Batch) -> None:
        shares = Shares()
        for packet in batch:
            if packet.eof:
                for out in self._ended(hook):
                    shares[out].add(packet)
                continue
            try:
                out, packet = self._sort(hook, packet)
            except OSError as error:
                hook.peer.drop(error.errno or EINVAL)
            else:
                shares[out].add(packet)
        shares.send(batch)

    def _sort(self, hook: Hook, packet: Packet) -> tuple[Hook, Packet]:
        """
        Return where a frame from *hook* goes, and what it becomes.

        Raises:
            OSError: EINVAL, it is too short; ENETDOWN, there is no such hook;
                EOPNOTSUPP, the hook it came from has no filter.
        """
        if packet.len < HEADER:
            raise too_short(packet.len)
        out = self.downstream
        if hook is out:
            return self._upstream(packet)
        if hook is self.nomatch:
            if self.encap & ENCAP_NOMATCH:
                packet = self._whole(packet)
        else:
            tci: bytes | None = hook.private
            if tci is None:
                raise OSError(
                    EOPNOTSUPP, f'hook "{hook.name}" has no VLAN yet; send addfilter first'
                )
            packet = self._whole(packet)
            if self.encap & ENCAP_FILTER:
                packet = self._inside(packet, tci)
            else:
                packet = _beside(packet, packet.data, tci)
        if out is None:
            raise OSError(ENETDOWN, "there is no hook downstream")
        return out, packet

    def _upstream(self, packet: Packet) -> tuple[Hook, Packet]:
        """Return where a frame from downstream goes, and what it becomes."""
        out, frame = self.nomatch, packet.data
        beside = _tag_beside(packet)
        if beside is not None:
            vlan = self.outputs.get(_vid(beside))
            if vlan is not None:
                return vlan, _alone(packet)
        elif frame[ADDRESSES:HEADER] == self.protocol:
            if packet.len < HEADER + TAG:
                raise too_short(packet.len, HEADER + TAG)
            tci = bytes(frame[14:16])
            vlan = self.outputs.get(_vid(tci))
            if vlan is not None:
                return vlan, packet.replace(_untagged(frame))
            if self.decap:
                packet = _beside(packet, _untagged(frame), tci)
        if out is None:
            raise OSError(ENETDOWN, "there is no hook nomatch")
        return out, packet

    def _inside(self, packet: Packet, tci: bytes) -> Packet:
        frame = bytes(packet)
        return packet.replace(frame[:ADDRESSES] + self.protocol + tci + frame[ADDRESSES:])

    def _whole(self, packet: Packet) -> Packet:
        """Return *packet* with the tag beside it, if there is one, put into it."""
        beside = _tag_beside(packet)
        return packet if beside is None else self._inside(_alone(packet), beside)

    def _ended(self, hook: Hook) -> tuple[Hook, ...]:
        """Return the hooks that an end-of-file mark from *hook* goes to."""
        if hook is self.downstream:
            return tuple(other for other in self.hooks.values() if other is not hook)
        return () if self.downstream is None else (self.downstream,)

    def rcvflow(self, hook: Hook, high: bool) -> None:
        """Hold the hooks whose frames go out of *hook*."""
        for other in list(self.hooks.values()):
            ends = (hook, other)
            if other is not hook and self.downstream in ends and all(map(self._used, ends)):
                other.send_flow(high)

    def _used(self, hook: Hook) -> bool:
        """Tell whether frames go out of *hook* at all: a VLAN hook may have no filter."""
        return hook.name in SPECIAL or hook.private is not None

    # -- messages ---------------------------------------------------------------------------

    def rcvmsg(self, item: Item, lasthook: Hook | None) -> None:
        if item.message.cookie != FLOW_COOKIE:
            super().rcvmsg(item, lasthook)
        elif lasthook is not None and lasthook is self.downstream:
            for name, hook in list(self.hooks.items()):
                if name not in SPECIAL:
                    with suppress(OSError):  # most nodes do not understand it
                        self.graph.send_hook(hook, item.message)

    @command(1, arg=FILTER)
    def addfilter(self, entry: Filter) -> None:
        """Let a hook carry the frames of a VLAN."""
        vid = entry.vid or entry.vlan
        if entry.vlan not in (0, vid):
            raise OSError(EINVAL, f"vid is {vid} and vlan, its old name, is {entry.vlan}")
        for name, value, most in (
            ("vid", vid, VID_MAX), ("pcp", entry.pcp, PCP_MAX), ("cfi", entry.cfi, 1)
        ):  # fmt: skip
            if value > most:
                raise OSError(EINVAL, f"{name} is {value}, above {most}")
        if entry.hook in SPECIAL:
            raise OSError(EINVAL, f'hook "{entry.hook}" carries no VLAN of its own')
        if entry.hook not in self.hooks:
            raise OSError(ENOENT, f'node {self!r} has no hook "{entry.hook}"')
        if entry.hook in self.filters:
            raise OSError(EEXIST, f'hook "{entry.hook}" has a filter already; delfilter first')
        if vid in self.outputs:
            raise OSError(EEXIST, f'VLAN {vid} goes to hook "{self.outputs[vid].name}" already')
        self.filters[entry.hook] = entry = Filter(entry.hook, vid, vid, entry.pcp, entry.cfi)
        hook = self.outputs[vid] = self.hooks[entry.hook]
        hook.private = entry.tci
        self.graph.flow.rerouted(self)

    @command(2, arg=NAME)
    def delfilter(self, name: str) -> None:
        """Let a hook carry no VLAN any more."""
        if name not in self.filters:
            raise OSError(ENOENT, f'there is no filter of a hook "{name}"; gettable tells all')
        self._forget(name).private = None
        self.graph.flow.rerouted(self)

    def _forget(self, name: str) -> Hook:
        """Forget the filter of a hook, and return the hook."""
        return self.outputs.pop(self.filters.pop(name).vid)

    @command(3, resp=TABLE)
    def gettable(self) -> Table:
        """Tell all filters."""
        return Table(len(self.filters), list(self.filters.values()))

    @command(4, arg=UINT16)
    def delvidflt(self, vid: int) -> None:
        """Take the filter of a VLAN away."""
        hook = self.outputs.get(vid)
        if hook is None:
            raise OSError(ENOENT, f"there is no filter of VLAN {vid}; gettable tells all")
        self.delfilter(hook.name)

    @command(5, resp=HEX32)
    def getdecap(self) -> int:
        """Tell whether tags of frames for nomatch are put beside them."""
        return self.decap

    @command(6, arg=HEX32)
    def setdecap(self, decap: int) -> None:
        """Put tags of frames for nomatch beside them, or (0) leave them inside."""
        self.decap = decap

    @command(7, resp=HEX32)
    def getencap(self) -> int:
        """Tell which tags are put into frames: bit 1 of VLAN hooks, bit 2 of nomatch."""
        return self.encap

    @command(8, arg=HEX32)
    def setencap(self, encap: int) -> None:
        """Choose which tags are put into frames: bit 1 of VLAN hooks, bit 2 of nomatch."""
        self.encap = encap

    @command(9, resp=HEX16)
    def getencapproto(self) -> int:
        """Tell the protocol of tags."""
        return int.from_bytes(self.protocol)

    @command(10, arg=HEX16)
    def setencapproto(self, protocol: int) -> None:
        """Set the protocol of tags: 0x8100, 0x88a8, 0x9100, 0x9200 or 0x9300."""
        if protocol not in VLAN_PROTOCOLS:
            known = ", ".join(f"{number:#x}" for number in sorted(VLAN_PROTOCOLS))
            raise OSError(EINVAL, f"{protocol:#x} announces no VLAN tag; known are {known}")
        self.protocol = protocol.to_bytes(2)

    def config(self) -> list[str]:
        lines = [f"msg . addfilter {FILTER.unparse(entry)}" for entry in self.filters.values()]
        if self.decap:
            lines.append(f"msg . setdecap {HEX32.unparse(self.decap)}")
        if self.encap != ENCAP_FILTER:
            lines.append(f"msg . setencap {HEX32.unparse(self.encap)}")
        if self.getencapproto() != 0x8100:
            lines.append(f"msg . setencapproto {HEX16.unparse(self.getencapproto())}")
        return lines

    def status(self) -> str:
        names = (f"{entry.vid} to {name}" for name, entry in self.filters.items())
        return f"VLANs: {', '.join(names) or 'none'}"

    # -- the end ----------------------------------------------------------------------------

    def disconnect(self, hook: Hook) -> None:
        if hook is self.downstream:
            self.downstream = None
        elif hook is self.nomatch:
            self.nomatch = None
        elif hook.name in self.filters:
            self._forget(hook.name)
        super().disconnect(hook)


def _vid(tci: bytes) -> int:
    return (tci[0] << 8 | tci[1]) & VID_MAX


def _tag_beside(packet: Packet) -> bytes | None:
    """Return the 16 bits of the VLAN tag beside a frame; a packet tag of another size is none."""
    tag = packet.find_tag(COOKIE, BESIDE) if packet.tags else None
    return tag.data if tag is not None and len(tag.data) == 2 else None


def _untagged(frame: bytes | memoryview) -> bytes:
    data = bytes(frame)
    return data[:ADDRESSES] + data[ADDRESSES + TAG :]


def _alone(packet: Packet) -> Packet:
    """Return *packet* without a VLAN tag beside it."""
    bare = packet.replace(packet.data)
    bare.tags = tuple(t for t in packet.tags if (t.cookie, t.type) != (COOKIE, BESIDE))
    return bare


def _beside(packet: Packet, frame: bytes | memoryview, tci: bytes) -> Packet:
    """Return a packet of *frame* with a VLAN tag beside it, and all other tags of *packet*."""
    tagged = packet.replace(frame)
    tagged.tags = (Tag(COOKIE, BESIDE, tci), *_alone(packet).tags)
    return tagged


vlan = NodeType("vlan", COOKIE, Vlan)
