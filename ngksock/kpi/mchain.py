"""Chains of mbufs: walking, checking, joining, cutting and trimming them.

The third of the five layers of an mbuf.  A call on an mbuf is about the chain
that begins with it.  Clusters are shared wherever that will do; before a call
here writes to memory it makes sure that nobody else sees it.  Space for more
bytes is found by chaining, never by resizing.

The three calls that hand back a head (`prepend`, `pullup`, `pulldown`) free
the chain when they fail, as in XNU: after an error of theirs there is nothing
left to free.  All others leave it as it was.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Self

from ngksock.errors import oserror
from ngksock.kpi.mcluster import INT_MAX, storage
from ngksock.kpi.mheader import Header
from ngksock.kpi.mpkthdr import PktHdr
from ngksock.kpi.mtype import M_EOR, M_OF_PACKET

__all__ = ["Chain"]


class Chain(Header):
    """An mbuf as the first of its chain."""

    __slots__ = ()

    def __iter__(self) -> Iterator[Self]:
        """Walk the chain, from this mbuf on."""
        m: Self | None = self
        while m is not None:
            yield m
            m = m.next

    def __bytes__(self) -> bytes:
        """Copy the chain's data together."""
        return b"".join([m.data() for m in self])

    def _total(self) -> int:
        """Count the chain's data, whatever a header says."""
        return sum(m.length for m in self)

    def _last(self) -> Self:
        m = self
        while m.next is not None:
            m = m.next
        return m

    def _pieces(self, off: int, length: int) -> Iterator[tuple[Self, int, int]]:
        """Yield where *length* bytes from *off* on are: mbuf, first and end in its data."""
        for m in self:
            if length <= 0:
                return
            if off >= m.length:
                off -= m.length
                continue
            end = min(m.length, off + length)
            yield m, off, end
            length -= end - off
            off = 0

    def freem(self) -> None:
        """
        Free the whole chain, ``mbuf_freem``; a next packet stays.

        Raises:
            OSError: EINVAL, it was freed before.

        Source: kpi-socket.md §11.1.
        """
        m: Chain | None = self
        while m is not None:
            m = m.free()

    def check(self) -> None:
        """
        Check that the chain agrees with itself.

        Raises:
            OSError: EINVAL, with a sentence that says what is wrong: data
                outside their storage, a header or a next packet inside the
                chain, a circle, a freed mbuf, or a length in the header that
                is not the sum.

        Source: kpi-socket.md §11.2.
        """
        seen: set[int] = set()
        for m in self:
            if id(m) in seen:
                raise oserror(errno.EINVAL, "the chain leads back to itself")
            seen.add(id(m))
            if min(m.start, m.length) < 0 or m.start + m.length > m.maxlen():
                raise oserror(errno.EINVAL, "the data of an mbuf are not within its storage")
            if m.cluster.shares < 1:
                raise oserror(errno.EINVAL, "the storage of an mbuf was given up")
            if m is not self and m.pkthdr is not None:
                raise oserror(errno.EINVAL, "an mbuf inside the chain has a packet header")
            if m is not self and m.nextpkt is not None:
                raise oserror(errno.EINVAL, "an mbuf inside the chain has a next packet")
        total = self._total()
        if self.pkthdr is not None and self.pkthdr.len != total:
            said = f"the header says {self.pkthdr.len} bytes"
            raise oserror(errno.EINVAL, f"{said}, the chain has {total}")

    # -- calls that give back a head and free the chain when they fail

    def _need(self, count: int, most: int, text: str) -> None:
        """Free the chain and raise unless 0 <= *count* <= *most*."""
        if not 0 <= count <= most:
            self.freem()
            if count < 0:
                raise oserror(errno.EINVAL, f"{count} is not a number of bytes; the chain is freed")
            raise oserror(errno.ENOMEM, f"{text}; the chain is freed")

    def prepend(self, n: int) -> Self:
        """
        Make the chain longer at its front, ``mbuf_prepend``.

        The length in the packet's header grows as well.

        Args:
            n: Bytes; their contents are whatever lies there.

        Returns:
            The head: this mbuf if it had the leading space, else a new one
            in front of it to which header, packet flags and the link to the
            next packet have moved.  The *n* bytes are in one piece.

        Raises:
            OSError: EINVAL, negative.  ENOMEM, the chain would exceed
                INT_MAX.  The chain is freed.

        Source: kpi-socket.md §11.1, §11.2.
        """
        self._need(n, INT_MAX - self._total(), "no chain is longer than INT_MAX")
        head = self
        if n <= self.leadingspace():
            self.start -= n
        else:
            cluster = storage(n)
            # At the end of it: the next prepend finds the space before.
            head = type(self)(cluster, len(cluster.buf) - n, 0, self.type, self.pkthdr)
            head.next = self
            head.nextpkt, self.nextpkt = self.nextpkt, None
            head._flags = self._flags & M_OF_PACKET
            self._flags &= ~M_OF_PACKET
            self.pkthdr = None
        head.length += n
        if head.pkthdr is not None:
            head.pkthdr.len += n
        return head

    def pullup(self, n: int) -> Self:
        """
        Bring the first bytes into one piece, ``mbuf_pullup``.

        Mbufs that are emptied by it are freed.

        Args:
            n: Bytes, any number the chain has (XNU stops at a small mbuf).

        Returns:
            The head, always this mbuf here: its `data` has *n* bytes or more.

        Raises:
            OSError: EINVAL, negative.  ENOMEM, the chain is shorter.  The
                chain is freed.

        Source: kpi-socket.md §11.1, §11.2.
        """
        if not 0 <= n <= self.length:  # else it is in one piece
            self._need(n, self._total(), f"the chain is shorter than {n} bytes")
            self._gather(n)
        return self

    def pulldown(self, off: int, n: int) -> tuple[Self, int]:
        """
        Bring bytes in the middle into one piece, ``mbuf_pulldown``.

        Args:
            off: Where they begin in the chain, in bytes.
            n: Bytes.

        Returns:
            The mbuf that has them, and where in its data they begin.  The
            head stays the head.

        Raises:
            OSError: EINVAL, negative.  ENOMEM, the chain is shorter.  The
                chain is freed.

        Source: kpi-socket.md §11.1, §11.2.
        """
        total = self._total()
        self._need(off, total, f"the chain has {total} bytes and none at {off}")
        self._need(n, total - off, f"the chain is shorter than {off} and {n} bytes")
        m = self
        while off >= m.length and m.next is not None:
            off -= m.length
            m = m.next
        m._gather(off + n)
        return m, off

    def _gather(self, n: int) -> None:
        """Bring the first *n* bytes, which there are, into this mbuf."""
        if n - self.length > self.trailingspace():
            self._move(n)
        while self.length < n and self.next is not None:
            m = self.next
            count = min(m.length, n - self.length)
            end = self.start + self.length
            self.cluster.buf[end : end + count] = m.data()[:count]
            self.length += count
            m.start += count
            m.length -= count
            if not m.length:
                # Where a record ends is told by its last mbuf.
                self._flags |= m._flags & M_EOR
                self.next = m.free()

    # -- joining, cutting, trimming

    def concatenate(self, src: Self | None) -> Self:
        """
        Append another chain, ``mbuf_concatenate``.

        The length in this packet's header stays as it is.

        Args:
            src: Belongs to this chain from now on; its header is dropped,
                with the tags.  None: nothing happens.

        Returns:
            This mbuf.

        Raises:
            OSError: EINVAL, *src* was freed, is linked to a next packet, or
                shares mbufs with this chain.

        Source: kpi-socket.md §11.1; that the header goes follows from §11.2.
        """
        last = self._last()
        if src is not None:
            if src._last() is last:
                raise oserror(errno.EINVAL, "the chains are one already")
            last.setnext(src)
            src.pkthdr = None
            src._flags &= ~M_OF_PACKET
        return self

    def split(self, off: int) -> Self:
        """
        Cut the chain in two, ``mbuf_split``.

        An mbuf that is cut has both halves on the same memory.

        Args:
            off: So many bytes stay here.

        Returns:
            The rest, a chain of its own and the caller's to free.  If this
            one has a header, so has the rest: the interface copied, the
            lengths divided, the tags all here.  At the very end the rest is
            one empty mbuf.

        Raises:
            OSError: EINVAL, negative.  ENOMEM, the chain is shorter.  The
                chain stays as it was.

        Source: kpi-socket.md §11.1.
        """
        if off < 0:
            raise oserror(errno.EINVAL, f"{off} is not a number of bytes")
        m, at = self, off
        while at > m.length:
            at -= m.length
            if m.next is None:
                raise oserror(errno.ENOMEM, f"the chain is shorter than {off} bytes")
            m = m.next
        if at < m.length:
            tail = m._part(at, m.length - at)
            tail._flags = m._flags & M_EOR  # the end of a record stays at the end
            m._flags &= ~M_EOR
            tail.next = m.next
            m.length = at
        else:
            tail = self.get(self.type) if m.next is None else m.next
        m.next = None
        if self.pkthdr is not None:
            tail.pkthdr = PktHdr(self.pkthdr.len - off, self.pkthdr.rcvif)
            self.pkthdr.len = off
        return tail

    def adj(self, n: int) -> None:
        """
        Trim the chain, ``mbuf_adj``.

        Mbufs that are emptied by it stay; the header's length is adjusted.

        Args:
            n: Bytes; positive to trim the front, negative the tail.  More
                than there are: all.

        Source: kpi-socket.md §11.1.
        """
        total = self._total()
        front, keep = max(n, 0), max(total + min(n, 0), 0)
        for m in self:
            m.length = min(m.length, keep)
            keep -= m.length
            cut = min(m.length, front)
            m.start += cut
            m.length -= cut
            front -= cut
        if self.pkthdr is not None:
            self.pkthdr.len -= min(abs(n), total)
