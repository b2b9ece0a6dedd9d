"""Mbufs: XNU's mutable chains of bytes, for programs that use ISocketKPI.

Theory of operation.  A chain of `Mbuf` objects, linked by ``next``, holds the
bytes of one packet or of a piece of a stream; each mbuf sees a part of a
cluster, and clusters are shared rather than copied.  The methods are the
``mbuf_`` calls of the KPI, in five layers of one class::

    Mbuf       makers of chains; packets in and out            this file
    Copy       copying and writing                             mcopy.py
    Chain      a chain as a whole: joining, cutting, trimming  mchain.py
    Header     the packet's header and its tags                mheader.py
    Segment    one mbuf: storage, links, type, flags, free     msegment.py

Whoever has a chain frees it, once, with `Mbuf.freem`, or gives it to a call
that says it consumes it.  What is done with a freed mbuf raises EINVAL.  Every
error is an OSError; what the KPI reports by a NULL where memory would do, but
the request cannot be met, is ENOMEM.

Packets of a graph never change and mbufs do, so bytes pass from one to the
other without a copy only as long as nobody writes: read-only memory and
shares see to that, and `Mbuf.writable` is how a writer asks.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import Self

from ngksock.errors import oserror
from ngksock.kpi.mcluster import (
    INT_MAX,
    M16KCLBYTES,
    MBIGCLBYTES,
    MCLBYTES,
    MINCLSIZE,
    MSIZE,
    Cluster,
    flat,
    storage,
)
from ngksock.kpi.mcopy import M_COPYALL, Copy
from ngksock.kpi.mpkthdr import (
    MBUF_TC_BE,
    MBUF_TC_BK,
    MBUF_TC_VI,
    MBUF_TC_VO,
    PktHdr,
    tag_id_find,
)
from ngksock.kpi.msegment import FreeFunction
from ngksock.kpi.mtype import (
    M_BCAST,
    M_EOR,
    M_EXT,
    M_FIRSTFRAG,
    M_FRAG,
    M_HASFCS,
    M_LASTFRAG,
    M_LOOP,
    M_MCAST,
    M_PKTHDR,
    M_PROMISC,
    MT_CONTROL,
    MT_DATA,
    MT_FREE,
    MT_FTABLE,
    MT_HEADER,
    MT_OOBDATA,
    MT_RIGHTS,
    MT_SONAME,
    MT_SOOPTS,
)
from ngksock.packet import Batch, Packet

__all__ = [
    "M16KCLBYTES",
    "MBIGCLBYTES",
    "MBUF_TC_BE",
    "MBUF_TC_BK",
    "MBUF_TC_VI",
    "MBUF_TC_VO",
    "MCLBYTES",
    "MINCLSIZE",
    "MSIZE",
    "MT_CONTROL",
    "MT_DATA",
    "MT_FREE",
    "MT_FTABLE",
    "MT_HEADER",
    "MT_OOBDATA",
    "MT_RIGHTS",
    "MT_SONAME",
    "MT_SOOPTS",
    "M_BCAST",
    "M_COPYALL",
    "M_EOR",
    "M_EXT",
    "M_FIRSTFRAG",
    "M_FRAG",
    "M_HASFCS",
    "M_LASTFRAG",
    "M_LOOP",
    "M_MCAST",
    "M_PKTHDR",
    "M_PROMISC",
    "FreeFunction",
    "Mbuf",
    "PktHdr",
    "freem_list",
    "tag_id_find",
]


class Mbuf(Copy):
    """
    An mbuf, and the chain that begins with it.

    Made by the class methods: here, and `get`, `gethdr`, `getcluster` and
    `attachcluster` for single ones.
    """

    __slots__ = ()

    # -- making

    @classmethod
    def getpacket(cls) -> Self:
        """
        Make an mbuf with a header and a cluster of 2048 bytes, ``mbuf_getpacket``.

        Returns:
            An empty mbuf; the caller's to free.

        Source: kpi-socket.md §11.1; neither ENOMEM nor EWOULDBLOCK occurs.
        """
        return cls(storage(MCLBYTES), 0, 0, MT_DATA, PktHdr())

    @classmethod
    def allocpacket(cls, length: int, maxchunks: int | None = None) -> Self:
        """
        Make a chain with a header and room for a packet, ``mbuf_allocpacket``.

        Its clusters have 4096 bytes at most, so that what is kept of a packet
        later does not hold much more; jumbo ones are for `getcluster`.

        Args:
            length: Bytes of the packet, all zero.
            maxchunks: The most mbufs to use; None or 0 for any number.

        Returns:
            The chain, with as few mbufs as will do (``len(list(chain))``);
            the caller's to free.

        Raises:
            OSError: EINVAL, *length* is not positive or *maxchunks* negative.
                ENOBUFS, *maxchunks* are too few.  ENOMEM, *length* exceeds
                INT_MAX.

        Source: kpi-socket.md §11.1.
        """
        if length < 1 or (maxchunks or 0) < 0:
            raise oserror(errno.EINVAL, "a packet has at least one byte and one chunk")
        if length > INT_MAX:
            raise oserror(errno.ENOMEM, "no chain is longer than INT_MAX")
        chunks = -(-length // MBIGCLBYTES)
        if maxchunks and chunks > maxchunks:
            raise oserror(errno.ENOBUFS, f"{length} bytes need {chunks} chunks, not {maxchunks}")
        size = min(length, MBIGCLBYTES)
        head = last = cls(storage(size), 0, size, MT_DATA, PktHdr(length))
        for left in range(length - size, 0, -MBIGCLBYTES):
            size = min(left, MBIGCLBYTES)
            last.next = cls(storage(size), 0, size)
            last = last.next
        return head

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview) -> Self:
        """
        Make a packet of bytes that exist, without copying them.

        Args:
            data: The bytes; nobody may write to them any more.

        Returns:
            One mbuf with a header on read-only memory (`writable` copies);
            for no bytes, one of length 0.  The caller's to free.

        Raises:
            OSError: EINVAL, *data* is a view whose bytes do not lie one
                behind the other.

        Source: kpi-socket.md §11.2.
        """
        buf = flat(data).toreadonly()
        length = len(buf)
        return cls(Cluster(buf), 0, length, MT_DATA, PktHdr(length))

    @classmethod
    def from_packet(cls, packet: Packet) -> Self:
        """
        Make a chain of a graph's packet, without copying.

        Args:
            packet: Its bytes are shared, and stay what they are.  Its tags
                and its mark stay behind: they are the graph's, not the KPI's.

        Returns:
            One mbuf, as from `from_bytes`.

        Source: house.md, packets and batches.
        """
        return cls.from_bytes(packet.data)

    @classmethod
    def from_packets(cls, batch: Iterable[Packet]) -> Self:
        """
        Make one chain of many packets, without copying.

        Args:
            batch: As for `from_packet`; empty packets leave no trace.

        Returns:
            A chain with one header and an mbuf for each packet, or one mbuf
            of length 0.  The caller's to free.

        Source: house.md, packets and batches.
        """
        head: Self | None = None
        last: Self | None = None
        total = 0
        for packet in batch:
            if not packet.len:
                continue
            m = cls.from_bytes(packet.data)
            total += packet.len
            if last is None:
                head = m
            else:
                m.pkthdr = None
                last.next = m
            last = m
        if head is None:
            return cls.from_bytes(b"")
        head.pkthdr_setlen(total)
        return head

    # -- and back

    def packets(self) -> Batch:
        """
        Return the chain's data as packets of a graph, without copying.

        The chain stays the caller's to free, at once if it likes: the packets
        keep the memory.  They must not change, so they count as a share for
        ever: `writable`, `copyback` and the others copy before they write.
        An attached buffer alone is copied, because a packet has no end at
        which its free function could be called.

        Returns:
            A packet for each mbuf that has data; for a chain of length 0 one
            empty packet, so that an empty datagram stays one.

        Source: house.md, packets and batches.
        """
        batch = Batch()
        for m in self:
            if not m.length:
                continue
            if m.cluster.free is None:
                m.cluster.share()
                batch.add(Packet(m.data().toreadonly()))
            else:
                batch.add(Packet(bytes(m.data())))
        if not batch:
            batch.add(Packet(b""))
        return batch


def freem_list(m: Mbuf | None) -> int:
    """
    Free a list of packets linked by ``nextpkt``, ``mbuf_freem_list``.

    Args:
        m: The first mbuf of the first packet, or None.

    Returns:
        How many packets were freed.

    Raises:
        OSError: EINVAL, one was freed before.

    Source: kpi-socket.md §11.1.
    """
    count = 0
    while m is not None:
        after = m.nextpkt
        m.freem()
        m = after
        count += 1
    return count
