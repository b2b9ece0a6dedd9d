"""Mbufs: every call of kpi-socket.md §11, its checks 87 to 93, and who owns what."""

from __future__ import annotations

import array
import errno
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ngksock.kpi import mbuf as k
from ngksock.kpi.mbuf import Mbuf, freem_list, tag_id_find
from ngksock.kpi.mcluster import INT_MAX
from ngksock.packet import EOF, Batch, Packet, Record, Tag


def chain(*pieces: bytes, header: bool = True) -> Mbuf:
    """Return a chain on writable memory, an mbuf for each of *pieces*."""
    head = last = Mbuf.gethdr() if header else Mbuf.get()
    for number, piece in enumerate(pieces):
        if number:
            m = Mbuf.get()
            last.setnext(m)
            last = m
        last.setlen(len(piece))
        last.data()[:] = piece
    if header:
        head.pkthdr_setlen(sum(map(len, pieces)))
    head.check()
    return head


def lengths(head: Mbuf) -> list[int]:
    """Return the length of each mbuf of a chain."""
    return [m.length for m in head]


class MbufTests(SynchronousTestCase):
    """Assertions that the tests below share."""

    def fails(self, code: int, call: Callable[..., object], *args: Any) -> None:
        """Assert that a call raises OSError with *code* and a sentence."""
        error = self.assertRaises(OSError, call, *args)
        self.assertEqual(errno.errorcode[code], errno.errorcode[error.errno])
        self.assertIn(" ", error.strerror)

    def holds(self, data: bytes, head: Mbuf) -> None:
        """Assert that a chain holds *data* and agrees with itself."""
        self.assertEqual(data, bytes(head))
        head.check()


class MakingTests(MbufTests):
    def test_constants(self) -> None:
        """Sizes, types, flags and traffic classes have XNU's numbers."""
        self.assertEqual((256, 2048, 4096, 16384),
                         (k.MSIZE, k.MCLBYTES, k.MBIGCLBYTES, k.M16KCLBYTES))  # fmt: skip
        types = (k.MT_FREE, k.MT_DATA, k.MT_HEADER, k.MT_SONAME, k.MT_SOOPTS, k.MT_FTABLE)
        self.assertEqual((0, 1, 2, 8, 10, 11), types)
        self.assertEqual((12, 14, 15), (k.MT_RIGHTS, k.MT_CONTROL, k.MT_OOBDATA))
        flags = (k.M_EXT, k.M_PKTHDR, k.M_EOR, k.M_LOOP, k.M_BCAST, k.M_MCAST)
        self.assertEqual((0x1, 0x2, 0x4, 0x40, 0x100, 0x200), flags)
        flags2 = (k.M_FRAG, k.M_FIRSTFRAG, k.M_LASTFRAG, k.M_PROMISC, k.M_HASFCS)
        self.assertEqual((0x400, 0x800, 0x1000, 0x2000, 0x4000), flags2)
        classes = (k.MBUF_TC_BE, k.MBUF_TC_BK, k.MBUF_TC_VI, k.MBUF_TC_VO)
        self.assertEqual((0, 1, 2, 3), classes)
        self.assertEqual(1_000_000_000, k.M_COPYALL)
        self.assertEqual(2 * k.MSIZE, k.MINCLSIZE)

    def test_get(self) -> None:
        """A plain mbuf holds 256 bytes in itself and has no header."""
        m = Mbuf.get(k.MT_CONTROL)
        self.assertEqual((256, 0, 0, k.MT_CONTROL), (m.maxlen(), m.length, m.flags, m.type))
        self.assertIsNone(m.pkthdr)
        self.assertEqual((None, None), (m.next, m.nextpkt))

    def test_gethdr(self) -> None:
        """A header mbuf has a header of length 0 that says nothing yet."""
        m = Mbuf.gethdr()
        header = m.pkthdr
        assert header is not None
        self.assertEqual((k.M_PKTHDR, 0, k.MT_DATA), (m.flags, m.pkthdr_len, m.type))
        self.assertEqual((None, None, None, None, 0, 0),
                         (header.rcvif, header.tags, header.vlan, header.timestamp,
                          header.csum_flags, header.traffic_class))  # fmt: skip
        self.assertEqual("<PktHdr 0 bytes>", repr(header))

    def test_getpacket(self) -> None:
        """A packet is a header mbuf with a 2048-byte cluster."""
        m = Mbuf.getpacket()
        self.assertEqual((2048, k.M_EXT | k.M_PKTHDR, 0), (m.maxlen(), m.flags, m.length))
        m.check()

    def test_type(self) -> None:
        """Nothing is made, or made into, what is not a type."""
        makers = (Mbuf.get, Mbuf.gethdr, Mbuf.get().settype)
        for call in makers:
            for type in (k.MT_FREE, 3, -1, 99):
                self.fails(errno.EINVAL, call, type)
        self.fails(errno.EINVAL, Mbuf.getcluster, 2048, k.MT_FREE)
        self.fails(errno.EINVAL, Mbuf.attachcluster, b"a", print, None, k.MT_FREE)

    def test_getcluster(self) -> None:
        """A cluster has one of three sizes."""
        for size in (2048, 4096, 16384):
            m = Mbuf.getcluster(size, k.MT_OOBDATA)
            self.assertEqual((size, size, k.M_EXT), (m.maxlen(), len(m.datastart), m.flags))
            self.assertEqual((k.MT_OOBDATA, None), (m.type, m.pkthdr))
        for size in (0, -1, 256, 2047, 32768):
            self.fails(errno.EINVAL, Mbuf.getcluster, size)

    def test_check_87_allocpacket(self) -> None:
        """5000 bytes take two chunks or more, and one chunk is ENOBUFS."""
        m = Mbuf.allocpacket(5000)
        self.assertEqual((5000, [4096, 904]), (m.pkthdr_len, lengths(m)))
        self.holds(bytes(5000), m)
        self.fails(errno.ENOBUFS, Mbuf.allocpacket, 5000, 1)
        for chunks in (None, 0, 2, 3):
            self.assertEqual(2, len(list(Mbuf.allocpacket(5000, chunks))))

    def test_allocpacket(self) -> None:
        """Each chunk is no larger than it need be; impossible lengths fail."""
        for length, sizes in ((1, [256]), (257, [2048]), (2049, [4096]), (4096, [4096]),
                              (4097, [4096, 256]), (8193, [4096, 4096, 256])):  # fmt: skip
            m = Mbuf.allocpacket(length)
            self.assertEqual(sizes, [part.maxlen() for part in m])
            self.holds(bytes(length), m)
        for arguments in ((0,), (-1,), (1, -1)):
            self.fails(errno.EINVAL, Mbuf.allocpacket, *arguments)
        self.fails(errno.ENOMEM, Mbuf.allocpacket, INT_MAX + 1)

    def test_slots(self) -> None:
        """Nothing else fits into an mbuf, and what it has not it does not pretend to."""
        m = Mbuf.get()
        self.assertRaises(AttributeError, setattr, m, "colour", 1)
        self.assertFalse(hasattr(m, "colour"))


class BytesTests(MbufTests):
    def test_from_bytes(self) -> None:
        """Bytes of any kind are wrapped as a packet, not copied, and read-only."""
        source = bytearray(b"abcdef")
        for data in (source, bytes(source), memoryview(source)):
            m = Mbuf.from_bytes(data)
            self.assertEqual((6, 6, True), (m.pkthdr_len, m.length, m.data().readonly))
            self.holds(b"abcdef", m)
        m = Mbuf.from_bytes(source)
        source[0:1] = b"A"
        self.assertEqual(b"Abcdef", bytes(m))

    def test_items(self) -> None:
        """A view of larger items is taken byte by byte; one with gaps is EINVAL."""
        words = memoryview(array.array("H", [0x4141, 0x4242]))
        self.holds(b"AABB", Mbuf.from_bytes(words))
        self.holds(b"", Mbuf.from_bytes(words[:0]))
        self.fails(errno.EINVAL, Mbuf.from_bytes, memoryview(b"abcd")[::2])

    def test_empty(self) -> None:
        """No bytes make a chain of length 0, which is a chain."""
        m = Mbuf.from_bytes(b"")
        self.assertEqual(([0], 0), (lengths(m), m.pkthdr_len))
        self.assertTrue(m)
        self.holds(b"", m)

    def test_writable(self) -> None:
        """Read-only and shared memory is copied before a write, other is not."""
        data = b"abc"
        m = Mbuf.from_bytes(data)
        self.assertIs(m, m.writable())
        m.data()[0:1] = b"X"
        self.assertEqual((b"Xbc", b"abc"), (bytes(m), data))
        cluster = m.cluster
        self.assertIs(cluster, m.writable().cluster)
        copy = m.copym()
        self.assertTrue(m.mclhasreference() and copy.mclhasreference())
        copy.writable().data()[0:1] = b"Y"
        self.assertEqual((b"Xbc", b"Ybc"), (bytes(m), bytes(copy)))
        self.assertFalse(m.mclhasreference() or copy.mclhasreference())
        self.assertIs(cluster, m.cluster)

    def test_from_packets(self) -> None:
        """Packets become one chain on their own bytes; empty ones and tags stay behind."""
        first, second = b"abc", b"de"
        batch = [EOF, Packet(first, (Tag(1, 2, b"t"),)), Packet(b""), Record(memoryview(second))]
        m = Mbuf.from_packets(Batch(batch))
        self.assertEqual((5, [3, 2]), (m.pkthdr_len, lengths(m)))
        self.assertEqual([first, second], [part.data().obj for part in m])
        self.assertIs(first, m.data().obj)
        self.holds(b"abcde", m)
        self.holds(b"", Mbuf.from_packets(Batch()))
        one = Mbuf.from_packet(batch[1])
        self.assertIs(first, one.data().obj)
        self.assertIsNone(one.pkthdr and one.pkthdr.tags)

    def test_packets(self) -> None:
        """A chain becomes packets on its memory, read-only, that outlive it."""
        m = chain(b"abc", b"", b"de")
        batch = m.packets()
        self.assertEqual((5, [b"abc", b"de"]), (batch.nbytes, [bytes(p) for p in batch]))
        view = batch[0].data
        assert isinstance(view, memoryview)
        self.assertTrue(view.readonly)
        self.assertIs(m.data().obj, view.obj)
        m.copyback(0, b"X")
        m.adj(-1)
        head = m.prepend(0)
        self.assertIs(m, head)
        head.freem()
        self.assertEqual([b"abc", b"de"], [bytes(p) for p in batch])

    def test_packets_of_nothing(self) -> None:
        """An empty chain is one empty packet: an empty datagram stays one."""
        batch = Mbuf.from_bytes(b"").packets()
        self.assertEqual((0, [b""]), (batch.nbytes, [bytes(p) for p in batch]))
        self.assertFalse(batch[0].eof)

    def test_packets_of_attached(self) -> None:
        """An attached buffer may be used again, so packets do not depend on it."""
        buffer = bytearray(b"abc")
        calls: list[object] = []
        m = Mbuf.attachcluster(buffer, lambda *args: calls.append(args))
        m.setlen(3)
        batch = m.packets()
        m.freem()
        self.assertEqual(1, len(calls))
        buffer[:] = b"xyz"
        self.assertEqual([b"abc"], [bytes(p) for p in batch])


class OneTests(MbufTests):
    def test_space(self) -> None:
        """Where the data are says how much space is before and behind them."""
        m = Mbuf.get()
        m.setdata(100, 50)
        m.data()[:] = bytes(range(50))
        self.assertEqual((100, 106), (m.leadingspace(), m.trailingspace()))
        self.assertEqual(bytes(range(50)), bytes(m.datastart[100:150]))

    def test_no_space(self) -> None:
        """Memory that others see, or that is read-only, has no space to use."""
        m = chain(b"abcd")
        m.adj(1)
        tail = m.split(2)
        for part in (m, tail, Mbuf.from_bytes(b"abc")):
            self.assertEqual((0, 0), (part.leadingspace(), part.trailingspace()))
        tail.free()
        self.assertEqual((1, 253), (m.leadingspace(), m.trailingspace()))

    def test_setdata(self) -> None:
        """Data can be anywhere within the storage, and nowhere else."""
        m = Mbuf.gethdr()
        for offset, length in ((0, 256), (256, 0), (0, 0), (10, 246)):
            m.setdata(offset, length)
            self.assertEqual((offset, length), (m.start, m.length))
        for offset, length in ((-1, 1), (0, 257), (257, 0), (0, -1), (200, 57)):
            self.fails(errno.EINVAL, m.setdata, offset, length)
        self.assertEqual((10, 246, 0), (m.start, m.length, m.pkthdr_len))

    def test_setlen(self) -> None:
        """The length of an mbuf is set without the packet's."""
        m = Mbuf.gethdr()
        m.setlen(9)
        self.assertEqual((9, 0), (m.length, m.pkthdr_len))
        for length in (-1, 257):
            self.fails(errno.EINVAL, m.setlen, length)
        self.fails(errno.EINVAL, m.check)

    def test_check_93_adjustlen(self) -> None:
        """Beyond the room is EINVAL, and the packet's length is not touched."""
        m = chain(b"abc")
        m.adjustlen(-1)
        self.assertEqual((2, 3), (m.length, m.pkthdr_len))
        m.adjustlen(254)
        self.fails(errno.EINVAL, m.adjustlen, 1)
        self.fails(errno.EINVAL, m.adjustlen, -257)
        self.assertEqual(256, m.length)

    def test_setnext(self) -> None:
        """A successor is live, has no next packet and does not lead back."""
        first, second, third = chain(b"a"), chain(b"b", header=False), Mbuf.get()
        second.setnext(third)
        first.setnext(second)
        self.assertEqual([first, second, third], list(first))
        self.fails(errno.EINVAL, third.setnext, first)
        self.fails(errno.EINVAL, first.setnext, first)
        packet = Mbuf.get()
        packet.setnextpkt(Mbuf.get())
        self.fails(errno.EINVAL, third.setnext, packet)
        packet.free()
        self.fails(errno.EINVAL, third.setnext, packet)
        second.setnext(None)
        self.assertEqual([first, second], list(first))

    def test_setnextpkt(self) -> None:
        """Packets are linked, beside their chains."""
        first, second = chain(b"a", b"b"), chain(b"c")
        first.setnextpkt(second)
        self.assertIs(second, first.nextpkt)
        self.holds(b"ab", first)
        self.fails(errno.EINVAL, first.setnextpkt, first)
        second.free()
        self.fails(errno.EINVAL, first.setnextpkt, second)
        first.setnextpkt(None)
        self.assertIsNone(first.nextpkt)

    def test_settype(self) -> None:
        """A type is set; MT_FREE is not one to set."""
        m = Mbuf.get()
        m.settype(k.MT_RIGHTS)
        self.fails(errno.EINVAL, m.settype, k.MT_FREE)
        self.assertEqual(k.MT_RIGHTS, m.type)

    def test_setflags(self) -> None:
        """Flags are set, except those that are not the caller's."""
        m = Mbuf.getcluster(2048)
        m.setflags(k.M_EXT | k.M_EOR | k.M_BCAST)
        self.assertEqual(k.M_EXT | k.M_EOR | k.M_BCAST, m.flags)
        for flags in (0, k.M_EOR, k.M_EXT | 0x8, -1):
            self.fails(errno.EINVAL, m.setflags, flags)
        self.fails(errno.EINVAL, Mbuf.get().setflags, k.M_EXT)
        self.assertEqual(k.M_EXT | k.M_EOR | k.M_BCAST, m.flags)

    def test_setflags_header(self) -> None:
        """Toggling M_PKTHDR drops the header, or gives a new one."""
        m = chain(b"abc")
        m.setflags(k.M_PKTHDR | k.M_MCAST)
        self.assertEqual(3, m.pkthdr_len)
        m.setflags(0)
        self.assertIsNone(m.pkthdr)
        m.setflags(k.M_PKTHDR)
        self.assertEqual((k.M_PKTHDR, 0), (m.flags, m.pkthdr_len))
        self.assertIsNotNone(m.pkthdr)


class FreeTests(MbufTests):
    def test_free(self) -> None:
        """One mbuf is freed and hands over the next."""
        m = chain(b"a", b"b", b"c")
        second, third = list(m)[1:]
        self.assertIs(second, m.free())
        self.assertEqual((True, False), (m.freed, second.freed))
        self.assertEqual([second, third], list(second))
        third.freem()
        self.fails(errno.EINVAL, second.check)

    def test_freem(self) -> None:
        """A chain is freed whole; the next packet is not."""
        m, other = chain(b"a", b"b", b"c"), chain(b"d")
        m.setnextpkt(other)
        parts = list(m)
        m.freem()
        self.assertEqual([True] * 3, [part.freed for part in parts])
        self.holds(b"d", other)

    def test_freem_list(self) -> None:
        """A list of packets is freed, and they are counted."""
        packets = [chain(b"a", b"b"), chain(b"c"), chain(b"d")]
        packets[0].setnextpkt(packets[1])
        packets[1].setnextpkt(packets[2])
        self.assertEqual(3, freem_list(packets[0]))
        self.assertEqual([True] * 3, [m.freed for m in packets])
        self.assertEqual(0, freem_list(None))
        self.fails(errno.EINVAL, freem_list, packets[0])

    def test_freed(self) -> None:
        """Whatever is done with a freed mbuf raises EINVAL, and it can be shown."""
        m, id = chain(b"a"), tag_id_find("test.freed")
        m.free()
        calls: dict[str, tuple[Any, ...]] = {
            "free": (), "freem": (), "data": (), "maxlen": (), "leadingspace": (),
            "trailingspace": (), "setdata": (0, 0), "setlen": (0,), "adjustlen": (0,),
            "setnext": (None,), "setnextpkt": (None,), "settype": (1,), "setflags": (0,),
            "prepend": (0,), "concatenate": (None,), "split": (0,), "pullup": (0,),
            "pulldown": (0, 0), "adj": (0,), "copym": (), "dup": (), "copydata": (0, 0),
            "copyback": (0, b"a"), "pkthdr_setlen": (0,), "pkthdr_adjustlen": (0,),
            "copy_pkthdr": (Mbuf.gethdr(),), "mclhasreference": (), "writable": (),
            "tag_allocate": (id, 1, 1), "tag_find": (id, 1), "tag_free": (id, 1),
            "check": (), "packets": (), "__bytes__": (),
        }  # fmt: skip
        for name, arguments in calls.items():
            self.fails(errno.EINVAL, getattr(m, name), *arguments)
        attributes = ("cluster", "start", "length", "next", "nextpkt", "pkthdr")
        for name in (*attributes, "flags", "pkthdr_len", "datastart"):
            self.fails(errno.EINVAL, getattr, m, name)
        public = {name for name in dir(Mbuf) if not name.startswith("_")}
        makers = {"get", "gethdr", "getcluster", "attachcluster", "getpacket", "allocpacket",
                  "from_bytes", "from_packet", "from_packets"}  # fmt: skip
        left = public - set(calls) - set(attributes) - makers
        self.assertEqual({"flags", "pkthdr_len", "datastart", "freed", "type"}, left)
        self.fails(errno.EINVAL, Mbuf.get().copy_pkthdr, m)
        self.fails(errno.EINVAL, Mbuf.get().concatenate, m)
        self.assertEqual((True, k.MT_FREE), (m.freed, m.type))
        self.assertEqual("<Mbuf freed>", repr(m))

    def test_repr(self) -> None:
        """An mbuf is shown with its length, its storage and its packet's length."""
        self.assertEqual("<Mbuf 1 of 256 bytes, packet of 3>", repr(chain(b"a", b"bc")))
        self.assertEqual("<Mbuf 0 of 256 bytes>", repr(Mbuf.get()))

    def attach(self, buffer: bytearray) -> tuple[Mbuf, list[object]]:
        """Return an mbuf on all of *buffer*, and the list of calls of its free function."""
        calls: list[object] = []
        m = Mbuf.attachcluster(buffer, lambda *args: calls.append(args), "arg")
        m.setlen(len(buffer))
        return m, calls

    def test_attachcluster(self) -> None:
        """The free function runs once, when the last share goes, and has its buffer back."""
        buffer = bytearray(b"abcdef")
        m, calls = self.attach(buffer)
        self.assertEqual((6, k.M_EXT, None), (m.maxlen(), m.flags, m.pkthdr))
        m.data()[0:1] = b"X"
        self.assertEqual(b"Xbcdef", bytes(buffer))
        copy = m.copym()
        tail = copy.split(3)
        copy.freem()
        m.freem()
        self.assertEqual([], calls)
        self.assertEqual(b"def", bytes(tail))
        tail.freem()
        self.assertEqual([(buffer, 6, "arg")], calls)
        buffer.clear()

    def test_attached_moved(self) -> None:
        """An mbuf that leaves the buffer gives it back as well."""
        m, calls = self.attach(bytearray(b"abc"))
        m.concatenate(chain(b"def"))
        self.assertIs(m, m.pullup(5))
        self.assertEqual(1, len(calls))
        self.holds(b"abcdef", m)
        m.freem()
        self.assertEqual(1, len(calls))

    def test_attachcluster_arguments(self) -> None:
        """Nothing attached, or nobody to take it back, is EINVAL and calls nobody."""
        calls: list[object] = []
        free = lambda *args: calls.append(args)  # noqa: E731
        for buffer in (None, b"", bytearray(), memoryview(b"")):
            self.fails(errno.EINVAL, Mbuf.attachcluster, buffer, free)
        self.fails(errno.EINVAL, Mbuf.attachcluster, b"abc")
        self.assertEqual([], calls)
