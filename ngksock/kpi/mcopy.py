"""Bytes copied within chains of mbufs, out of them and into them.

The fourth of the five layers of an mbuf.  A call that fails leaves the chain
as it was.
"""

from __future__ import annotations

import errno
from typing import Final, Self

from ngksock.errors import oserror
from ngksock.kpi.mchain import Chain
from ngksock.kpi.mcluster import INT_MAX, LEAD, flat, storage
from ngksock.kpi.mtype import M_EOR, M_OF_PACKET

__all__ = ["M_COPYALL", "Copy"]

M_COPYALL: Final = 1_000_000_000
"""The length that means all there is."""


class Copy(Chain):
    """A chain that is copied and written to."""

    __slots__ = ()

    def _whole(self, off: int, length: int) -> int:
        """Return how many bytes are meant by *length* from *off* on, -1 if they are not there."""
        if off < 0 or length < 0:
            raise oserror(errno.EINVAL, f"{length} at {off} are not numbers of bytes")
        left = self._total() - off
        wanted = left if length == M_COPYALL else length
        return wanted if wanted <= left else -1

    def copym(self, off: int = 0, length: int = M_COPYALL) -> Self:
        """
        Return a chain on the same memory, ``mbuf_copym``.

        Args:
            off: Where it begins in this one, in bytes.
            length: Bytes; M_COPYALL is all there are from *off* on.

        Returns:
            A chain that shares the clusters; the caller's to free, and to be
            made `writable` before it is written to, as is this one.  It has
            a copy of the header, without tags, if *off* is 0.

        Raises:
            OSError: EINVAL, negative.  ENOMEM, the chain is shorter.

        Source: kpi-socket.md §11.1.
        """
        count = self._whole(off, length)
        if count < 0:
            raise oserror(errno.ENOMEM, f"the chain is shorter than {off} and {length} bytes")
        head: Self | None = None
        last: Self | None = None
        for m, first, end in self._pieces(off, count):
            part = m._part(first, end - first)
            part._flags = m._flags & M_EOR if end == m.length else 0
            if last is None:
                head = part
            else:
                last.next = part
            last = part
        if head is None:
            head = self.get(self.type)
        if off == 0 and self.pkthdr is not None:
            head.pkthdr = self.pkthdr.copy(count)
            head._flags |= self._flags & M_OF_PACKET
        return head

    def dup(self) -> Self:
        """
        Return a copy on memory of its own, ``mbuf_dup``.

        Returns:
            One mbuf with all the data, flags and, if there is one, the
            header with copies of the tags; the caller's to free.

        Source: kpi-socket.md §11.1.
        """
        data = bytes(self)
        cluster = storage(LEAD + len(data))
        cluster.buf[LEAD : LEAD + len(data)] = data
        other = type(self)(cluster, LEAD, len(data), self.type)
        other._flags = (self._flags & ~M_EOR) | (self._last()._flags & M_EOR)
        header = self.pkthdr
        if header is not None:
            other.pkthdr = header.copy(header.len)
            if header.tags is not None:
                other.pkthdr.tags = {key: tag[:] for key, tag in header.tags.items()}
        return other

    def copydata(self, off: int, length: int) -> bytes:
        """
        Copy bytes out of the chain, ``mbuf_copydata``.

        Args:
            off: Where they begin, in bytes.
            length: Bytes; M_COPYALL is all there are from *off* on.

        Returns:
            The bytes.

        Raises:
            OSError: EINVAL, negative, or the chain is shorter.

        Source: kpi-socket.md §11.1.
        """
        count = self._whole(off, length)
        if count < 0:
            raise oserror(errno.EINVAL, f"the chain is shorter than {off} and {length} bytes")
        return b"".join([m.data()[first:end] for m, first, end in self._pieces(off, count)])

    # -- writing

    def copyback(self, off: int, data: bytes | bytearray | memoryview) -> None:
        """
        Write bytes into the chain, ``mbuf_copyback``.

        The chain grows as needed, with zeros up to *off*, and the header's
        length with it.  Mbufs whose memory is shared or read-only are made
        `writable` first, so nobody else sees the write.

        Args:
            off: Where they go, in bytes.
            data: The bytes; they are copied.

        Raises:
            OSError: EINVAL, *off* is negative, or there are no bytes.
                ENOBUFS, the chain would exceed INT_MAX.  The chain stays as
                it was.

        Source: kpi-socket.md §11.1.
        """
        view = flat(data)
        end = off + len(view)
        if off < 0 or not len(view):
            raise oserror(errno.EINVAL, f"{len(view)} bytes at {off} cannot be written")
        if end > INT_MAX:
            raise oserror(errno.ENOBUFS, "no chain is longer than INT_MAX")
        growth = end - self._total()
        if growth > 0:
            self._grow(growth)
            if self.pkthdr is not None:
                self.pkthdr.len = max(self.pkthdr.len, end)
        for m, first, stop in self._pieces(off, len(view)):
            m.writable().data()[first:stop] = view[: stop - first]
            view = view[stop - first :]

    def _grow(self, n: int) -> None:
        """Append *n* zeros, in the last mbuf as far as it has space."""
        last = self._last()
        count = min(n, last.trailingspace())
        if count:  # else the memory may not be ours to write
            end = last.start + last.length
            last.cluster.buf[end : end + count] = bytes(count)
            last.length += count
        if count < n:
            more = last.next = type(self)(storage(n - count), 0, n - count, last.type)
            # Where a record ends is told by its last mbuf.
            more._flags = last._flags & M_EOR
            last._flags &= ~M_EOR
