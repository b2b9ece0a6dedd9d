"""One mbuf by itself: its storage, its links, its type and its flags.

The first of five layers; `ngksock.kpi.mbuf.Mbuf` is the last one and the
class there are objects of.  Where bytes lie and what may be written is
decided here: leading and trailing space are what may be used, so a cluster
that is shared or read-only has none.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from ngksock.errors import oserror
from ngksock.kpi.mcluster import (
    LEAD,
    M16KCLBYTES,
    MBIGCLBYTES,
    MCLBYTES,
    Cluster,
    Inline,
    flat,
    storage,
)
from ngksock.kpi.mpkthdr import PktHdr
from ngksock.kpi.mtype import M_EXT, M_PKTHDR, MT_DATA, MT_FREE, SETTABLE, check_type

__all__ = ["FreeFunction", "Segment"]

FreeFunction = Callable[[Any, int, Any], object]
"""``free(buffer, size, arg)``: takes an attached buffer back; must not raise."""


class Segment:
    """
    One mbuf, alone.

    ``cluster`` is where its bytes are, ``start`` where they begin in it and
    ``length`` how many they are; ``next`` is the next mbuf of the chain and
    ``nextpkt``, on the first of a chain, the next packet; ``pkthdr`` is the
    packet's header or None.  To be read by everybody, and written with the
    calls below, which check.

    There is no ``len()`` of an mbuf: an empty one would be false.
    """

    __slots__ = ("_flags", "cluster", "length", "next", "nextpkt", "pkthdr", "start", "type")

    def __init__(
        self,
        cluster: Cluster,
        start: int = 0,
        length: int = 0,
        type: int = MT_DATA,
        pkthdr: PktHdr | None = None,
    ) -> None:
        self.cluster = cluster
        self.start = start
        self.length = length
        self.type = type
        self.pkthdr = pkthdr
        self.next: Self | None = None
        self.nextpkt: Self | None = None
        self._flags = 0  # without M_EXT and M_PKTHDR, which the other slots say

    if not TYPE_CHECKING:  # mypy would take any name for an attribute

        def __getattr__(self, name: str) -> Any:
            # Freeing empties the slots, so that whatever is done with a freed
            # mbuf ends here, and what is done with a live one pays nothing.
            if name in Segment.__slots__:
                raise oserror(errno.EINVAL, "the mbuf was freed; it may not be used any more")
            raise AttributeError(f"an mbuf has no attribute {name!r}")

    def __repr__(self) -> str:
        name = type(self).__name__
        if self.freed:
            return f"<{name} freed>"
        packet = "" if self.pkthdr is None else f", packet of {self.pkthdr.len}"
        return f"<{name} {self.length} of {self.maxlen()} bytes{packet}>"

    # -- making

    @classmethod
    def get(cls, type: int = MT_DATA) -> Self:
        """
        Make an mbuf with 256 bytes of its own, ``mbuf_get``.

        Args:
            type: MT_*, not MT_FREE.

        Returns:
            An empty mbuf without a header; the caller's to free.

        Raises:
            OSError: EINVAL, not a type.

        Source: kpi-socket.md §11.1.
        """
        check_type(type)
        return cls(Inline(), 0, 0, type)

    @classmethod
    def gethdr(cls, type: int = MT_DATA) -> Self:
        """
        Make an mbuf with 256 bytes of its own and a header, ``mbuf_gethdr``.

        Args, Returns, Raises, Source: as `get`.
        """
        check_type(type)
        return cls(Inline(), 0, 0, type, PktHdr())

    @classmethod
    def getcluster(cls, size: int, type: int = MT_DATA) -> Self:
        """
        Make an mbuf with a cluster, ``mbuf_getcluster``.

        Args:
            size: 2048, 4096 or 16384 bytes.
            type: MT_*, not MT_FREE.

        Returns:
            An empty mbuf without a header; the caller's to free.

        Raises:
            OSError: EINVAL, another size, or not a type.  (Never ENOTSUP:
                there is always memory for a jumbo cluster.)

        Source: kpi-socket.md §11.1.
        """
        check_type(type)
        if size not in (MCLBYTES, MBIGCLBYTES, M16KCLBYTES):
            raise oserror(errno.EINVAL, f"a cluster has 2048, 4096 or 16384 bytes, not {size}")
        return cls(storage(size), 0, 0, type)

    @classmethod
    def attachcluster(
        cls,
        buffer: bytes | bytearray | memoryview | None,
        free: FreeFunction | None = None,
        arg: Any = None,
        type: int = MT_DATA,
    ) -> Self:
        """
        Make an mbuf over memory of the caller's, ``mbuf_attachcluster``.

        Args:
            buffer: The memory.  It is not to be touched by anybody else until
                *free* is called; if it is read-only, so is the mbuf's data.
            free: Called as ``free(buffer, size, arg)`` from within the call
                that frees the last mbuf that shares the buffer.
            arg: Given to *free*; may be None.
            type: MT_*, not MT_FREE.

        Returns:
            An mbuf of length 0 without a header; the caller's to free.

        Raises:
            OSError: EINVAL, no or an empty buffer, no free function, or not a
                type; *free* is not called then.

        Source: kpi-socket.md §11.1.
        """
        check_type(type)
        if buffer is None or free is None:
            raise oserror(errno.EINVAL, "a buffer and the function that frees it are needed")
        view = flat(buffer)
        if not view.nbytes:
            raise oserror(errno.EINVAL, "an empty buffer cannot be attached")
        return cls(Cluster(view, partial(free, buffer, view.nbytes, arg)), 0, 0, type)

    # -- freeing

    @property
    def freed(self) -> bool:
        """Whether it was freed: then anything else raises EINVAL (its type is MT_FREE)."""
        return self.type == MT_FREE

    def _check_live(self) -> None:
        """Ask for a slot, where a call would only write to them."""
        self.mclhasreference()

    def free(self) -> Self | None:
        """
        Free this one mbuf, ``mbuf_free``.

        Returns:
            The next mbuf of the chain or None; it is the caller's now.

        Raises:
            OSError: EINVAL, it was freed before.

        Source: kpi-socket.md §11.1, §11.2.
        """
        cluster, after = self.cluster, self.next
        del self.cluster, self.start, self.length, self.next
        del self.nextpkt, self.pkthdr, self._flags
        self.type = MT_FREE
        cluster.release()
        return after

    # -- where the data are

    def data(self) -> memoryview:
        """
        Return the data of this mbuf, ``mbuf_data``.

        Returns:
            A view of `length` bytes of the memory itself, read-only if that
            is.  It is writable even when the memory is shared: call
            `writable` before writing.  Not to be used once the mbuf was freed.

        Source: kpi-socket.md §11.1, §11.2.
        """
        return self.cluster.buf[self.start : self.start + self.length]

    @property
    def datastart(self) -> memoryview:
        """A view of all the storage, `maxlen` bytes, ``mbuf_datastart``: to receive into."""
        return self.cluster.buf

    def maxlen(self) -> int:
        """Return the size of the storage in bytes, ``mbuf_maxlen``."""
        return len(self.cluster.buf)

    def leadingspace(self) -> int:
        """Return how many bytes may be written before the data, ``mbuf_leadingspace``."""
        return self.start if self.cluster.writable else 0

    def trailingspace(self) -> int:
        """Return how many bytes may be written behind the data, ``mbuf_trailingspace``."""
        cluster = self.cluster
        return len(cluster.buf) - self.start - self.length if cluster.writable else 0

    def setdata(self, offset: int, length: int) -> None:
        """
        Say where in the storage the data are, ``mbuf_setdata``.

        The length in the packet's header stays as it is.

        Args:
            offset: Bytes from `datastart`.
            length: Bytes.

        Raises:
            OSError: EINVAL, that is not within the storage.

        Source: kpi-socket.md §11.1.
        """
        size = self.maxlen()
        if offset < 0 or length < 0 or offset + length > size:
            where = f"{length} bytes at {offset}"
            raise oserror(errno.EINVAL, f"{where} do not lie within the {size} of the mbuf")
        self.start = offset
        self.length = length

    def setlen(self, length: int) -> None:
        """
        Set the length of the data, ``mbuf_setlen``.

        The length in the packet's header stays as it is.

        Args:
            length: Bytes.

        Raises:
            OSError: EINVAL, negative, or more than the storage holds (XNU
                would not look).

        Source: kpi-socket.md §11.1.
        """
        self.setdata(self.start, length)

    def adjustlen(self, amount: int) -> None:
        """
        Make the data longer or shorter at their end, ``mbuf_adjustlen``.

        The length in the packet's header stays as it is.

        Args:
            amount: Bytes; negative to shorten.

        Raises:
            OSError: EINVAL, the storage has no room, or not so many data.

        Source: kpi-socket.md §11.1.
        """
        self.setdata(self.start, self.length + amount)

    # -- sharing

    def mclhasreference(self) -> bool:
        """
        Say whether somebody else sees the same memory, ``mbuf_mclhasreference``.

        Returns:
            True after `copym`, `split` within an mbuf, or `packets`, until
            the others are freed (what `packets` lent stays lent).

        Source: kpi-socket.md §11.1.
        """
        return self.cluster.shares > 1

    def writable(self) -> Self:
        """
        Make this one mbuf safe to write to: copy its data if need be.

        Returns:
            The mbuf itself, on storage of its own if the old one was shared
            or read-only; that loses a share.

        Source: kpi-socket.md §11.2.
        """
        if not self.cluster.writable:
            self._move(self.length)
        return self

    def _move(self, room: int) -> None:
        """Move the data to new storage with space for *room* bytes and some before them."""
        new, old = storage(LEAD + room), self.cluster
        new.buf[LEAD : LEAD + self.length] = self.data()
        self.cluster = new
        self.start = LEAD
        old.release()

    def _part(self, first: int, length: int) -> Self:
        """Return a new mbuf that sees *length* bytes of the data from *first* on."""
        return type(self)(self.cluster.share(), self.start + first, length, self.type)

    # -- links, type, flags

    def setnext(self, after: Self | None) -> None:
        """
        Link the next mbuf of the chain, ``mbuf_setnext``.

        Args:
            after: Belongs to the chain from now on; None ends the chain here.
                What was linked before is the caller's again.

        Raises:
            OSError: EINVAL, *after* was freed, is itself linked to a next
                packet, or leads back here.

        Source: kpi-socket.md §11.1; that it leads back is refused by us.
        """
        self._check_live()
        if after is not None and after.nextpkt is not None:
            raise oserror(errno.EINVAL, "an mbuf with a next packet cannot be inside a chain")
        m = after
        while m is not None:
            if m is self:
                raise oserror(errno.EINVAL, "the chain would lead back to this mbuf")
            m = m.next
        self.next = after

    def setnextpkt(self, packet: Self | None) -> None:
        """
        Link the next packet, ``mbuf_setnextpkt``.

        Args:
            packet: The first mbuf of another chain, which stays the
                caller's; or None.

        Raises:
            OSError: EINVAL, *packet* was freed, or is this mbuf.

        Source: kpi-socket.md §11.1; the checks are ours.
        """
        self._check_live()
        if packet is self:
            raise oserror(errno.EINVAL, "a packet cannot be its own next packet")
        if packet is not None:
            packet._check_live()
        self.nextpkt = packet

    def settype(self, type: int) -> None:
        """
        Say what the bytes are, ``mbuf_settype``.

        Args:
            type: MT_*.

        Raises:
            OSError: EINVAL, MT_FREE, or not a type.

        Source: kpi-socket.md §11.1.
        """
        self._check_live()
        check_type(type)
        self.type = type

    @property
    def flags(self) -> int:
        """The flags M_*, ``mbuf_flags``; M_EXT and M_PKTHDR tell what is there."""
        ext = M_EXT if self.cluster.ext else 0
        return self._flags | ext | (0 if self.pkthdr is None else M_PKTHDR)

    def setflags(self, flags: int) -> None:
        """
        Set all flags, ``mbuf_setflags``.

        Args:
            flags: M_*.  Setting M_PKTHDR gives a new header, of length 0;
                clearing it drops the header with its tags.

        Raises:
            OSError: EINVAL, M_EXT would change, or there are unknown bits.

        Source: kpi-socket.md §11.1.
        """
        changed = flags ^ self.flags
        if changed & (~SETTABLE):
            raise oserror(errno.EINVAL, f"the flags {changed & ~M_PKTHDR:#x} cannot be changed")
        if changed & M_PKTHDR:
            self.pkthdr = PktHdr() if flags & M_PKTHDR else None
        self._flags = flags & ~(M_EXT | M_PKTHDR)
