"""What travels through a graph: packets, their tags, and batches of them.

The packet is the unit of meaning, the batch the unit of delivery.  Both are
immutable once sent: a hub hands the same object to all of its hooks, and a
node that wants other contents makes a new packet with `Packet.replace`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, ClassVar, Final

__all__ = ["EOF", "Batch", "Packet", "Piece", "Record", "Slab", "Tag", "rows"]


class Tag:
    """
    A note that travels with a packet, as FreeBSD's mbuf tags do.

    Args:
        cookie: Whose namespace *type* belongs to (a node type's cookie).
        type: The kind of tag within *cookie*.
        data: The contents in their binary form; never changed later.
    """

    __slots__ = ("cookie", "data", "type")

    def __init__(self, cookie: int, type: int, data: bytes) -> None:
        self.cookie = cookie
        self.type = type
        self.data = data

    def __repr__(self) -> str:
        return f"Tag({self.cookie}, {self.type}, {self.data!r})"


class Packet:
    """
    One packet: a byte string, tags, and perhaps the end-of-file mark.

    Args:
        data: The bytes; the packet owns them, so nobody may write to them
            any more.
        tags: Tags that travel along.  The tuple is never changed: copies of
            a packet share it.
        eof: True for the mark a stream sends when it has ended (empty data).

    ``len`` is the number of bytes, kept in a slot because every hop counts it.
    """

    __slots__ = ("data", "eof", "len", "tags")

    record: ClassVar[bool] = False
    """Whether it is whole in itself: a sink that is full may lose it (see `Record`)."""
    stream: ClassVar[bool] = False
    """Whether it is known to be a piece of a stream: nobody may lose it (see `Piece`)."""

    def __init__(
        self,
        data: bytes | memoryview,
        tags: tuple[Tag, ...] = (),
        eof: bool = False,
    ) -> None:
        self.data = data
        self.len = len(data)
        self.tags = tags
        self.eof = eof

    def replace(self, data: bytes | memoryview) -> Packet:
        """Return a packet of other bytes that keeps this one's tags and mark."""
        return type(self)(data, self.tags, self.eof)

    def find_tag(self, cookie: int, type: int) -> Tag | None:
        """Return the first tag of that *cookie* and *type*, or None."""
        for tag in self.tags:
            if tag.cookie == cookie and tag.type == type:
                return tag
        return None

    def __bytes__(self) -> bytes:
        return bytes(self.data)

    def __repr__(self) -> str:
        mark = " eof" if self.eof else ""
        return f"<Packet {self.len} bytes{mark}>"


class Record(Packet):
    """
    A packet that came as one datagram.

    A stream that is full loses a record and counts it, where any other packet
    would leave a hole in what it sends; and no source of records is ever held.
    """

    __slots__ = ()

    record = True


class Piece(Packet):
    """
    A packet that came as a piece of a stream.

    What follows it is worth nothing without it: a node that delays or limits
    packets keeps it, in its place, and holds the source; and it is never sent
    twice.
    """

    __slots__ = ()

    stream = True


EOF: Final = Packet(b"", eof=True)
"""The one end-of-file mark; it has no contents, so all streams share it."""


class Batch(list[Packet]):
    """
    Packets for one hook, in order, with their total length beside them.

    Args:
        packets: The packets.
        nbytes: The sum of their lengths, if known; else it is counted here.

    ``names`` is used between a socket and its owner alone: a list parallel to
    the packets with the address each came from or goes to (None: the
    connected peer), or None for a batch without addresses.  No batch with
    names enters a graph.

    ``uniform`` is set by who vouches that the batch changes no more, that none
    of its packets is a mark, and that all share one tuple of tags: then a sink
    need not look at each.  ``wire`` is what a sink made of such a batch, kept
    for the next one that sends it.  ``whole`` is for `Slab` alone.
    """

    __slots__ = ("names", "nbytes", "uniform", "whole", "wire")

    whole: tuple[bytes, int, tuple[Tag, ...]]

    def __init__(self, packets: Iterable[Packet] = (), nbytes: int | None = None) -> None:
        super().__init__(packets)
        self.nbytes: int = sum(p.len for p in self) if nbytes is None else nbytes
        self.names: list[Any] | None = None
        self.uniform = False
        self.wire: Any = None

    def add(self, packet: Packet) -> None:
        """Append *packet* while the batch is being filled."""
        self.append(packet)
        self.nbytes += packet.len

    def tag(self, tags: tuple[Tag, ...]) -> None:
        """Give all packets, which nobody else has yet, the same *tags*; see ``uniform``."""
        for packet in self:
            packet.tags = tags
        self.uniform = True

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy is there to be changed, and what a sink keeps cannot be copied.
        packets = list(self)  # before it is asked what it is: a slab is a batch after that
        return type(self), (packets, self.nbytes), (None, {"names": self.names})

    def addressed(self, names: list[Any]) -> Batch:
        """Return the same packets, with *names*: this batch stays without."""
        batch = Batch(self, self.nbytes)
        batch.names = names
        return batch

    def tags(self) -> tuple[Tag, ...]:
        """Return the tags that all packets share; of a batch that is ``uniform``, and not empty."""
        return self[0].tags


class Slab(Batch):
    """
    Records of one size that lie in one piece of memory, cut when somebody looks.

    Until then there is no packet, and whoever sends all of them need not put
    them together again.  Its length and ``nbytes`` are known, and so are
    ``tags``; anything else makes it the plain batch it stands for, once.  (Only
    C code that reads a list's memory without asking would find marks in it.)

    Args:
        whole: The bytes of all, one after the other.
        size: The length of each, at least 1.

    ``whole`` holds the memory, the length of each and their tags.
    """

    __slots__ = ()  # so that it can become what it stands for

    def __init__(self, whole: bytes, size: int) -> None:
        super().__init__([EOF] * (len(whole) // size), len(whole))
        self.whole = whole, size, ()

    def addressed(self, names: list[Any]) -> Batch:
        whole, size, tags = self.whole
        batch = Slab(whole, size)
        batch.whole = whole, size, tags
        batch.names = names
        return batch

    def tag(self, tags: tuple[Tag, ...]) -> None:
        self.whole = *self.whole[:2], tags
        self.uniform = True

    def tags(self) -> tuple[Tag, ...]:
        return self.whole[2]

    def cut(self) -> None:
        """Make the packets; this is a plain batch from now on."""
        whole, size, tags = self.whole
        del self.whole
        object.__setattr__(self, "__class__", Batch)
        self[:] = map(Record, rows(size, 0, len(self)).unpack(whole))
        if tags:
            for packet in self:
                packet.tags = tags


@lru_cache(256)  # some KiB each
def rows(size: int, gap: int, count: int) -> struct.Struct:
    """Return what takes *count* records of *size* out of memory, with *gap* bytes between."""
    return struct.Struct(f"{size}s{gap}x" * count)


def _looking(name: str) -> Callable[..., Any]:
    """Return the method of lists called *name*, for slabs."""
    plain = getattr(list, name)

    def looks(self: Slab, *args: Any, **named: Any) -> Any:
        for slab in (self, *args):
            if isinstance(slab, Slab):
                slab.cut()
        return plain(self, *args, **named)

    return looks


def _radd(self: Slab, other: Any) -> Any:
    self.cut()  # for a plain list adds what lies in it without asking
    return NotImplemented  # now *other* can do it, and in place if that is asked


_COMPARING: Final = ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__")
_BLIND: Final = ("__len__", "__class_getitem__")

# All that lists can do, but to be made, to be let go, and to tell their length.
for _name in dir(list):
    if _name in (*_COMPARING, "__repr__", "__reduce_ex__") or not (
        hasattr(object, _name) or _name in _BLIND
    ):
        setattr(Slab, _name, _looking(_name))
setattr(Slab, "__radd__", _radd)  # noqa: B010 - a list has none, as far as mypy knows
