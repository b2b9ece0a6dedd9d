"""Chains of mbufs: joining, cutting, copying, writing; headers and tags."""

from __future__ import annotations

import errno

from ngksock.kpi import mbuf as k
from ngksock.kpi.mbuf import Mbuf, PktHdr, tag_id_find
from ngksock.kpi.mcluster import INT_MAX
from tests.kpi.test_mbuf import MbufTests, chain, lengths


class FrontTests(MbufTests):
    def test_check_89_prepend_in_space(self) -> None:
        """With leading space the head stays the head, and the packet is 4 longer."""
        m = Mbuf.gethdr()
        m.setdata(64, 3)
        m.data()[:] = b"abc"
        m.pkthdr_setlen(3)
        self.assertIs(m, m.prepend(4))
        self.assertEqual((60, 7, 7), (m.start, m.length, m.pkthdr_len))
        m.data()[:4] = b"head"
        self.holds(b"headabc", m)

    def test_check_89_prepend_new_head(self) -> None:
        """Without, a new head takes over header, packet flags and the next packet."""
        m, other = chain(b"abc", b"d"), chain(b"e")
        m.setflags(k.M_PKTHDR | k.M_BCAST | k.M_EOR)
        m.setnextpkt(other)
        id = tag_id_find("test.prepend")
        m.tag_allocate(id, 1, 2)
        head = m.prepend(4)
        self.assertEqual(([4, 3, 1], 8), (lengths(head), head.pkthdr_len))
        self.assertIs(m, head.next)
        self.assertIs(other, head.nextpkt)
        self.assertEqual((k.M_PKTHDR | k.M_BCAST, k.M_EOR), (head.flags, m.flags))
        self.assertEqual(bytearray(2), head.tag_find(id, 1))
        self.assertEqual((None, None), (m.pkthdr, m.nextpkt))
        head.data()[:] = b"head"
        self.holds(b"headabcd", head)
        self.assertIs(head, head.prepend(252))
        self.assertEqual([256, 3, 1], lengths(head))

    def test_prepend_to_shared(self) -> None:
        """Space in memory that others see is not used."""
        m = chain(b"0123456789")
        m.adj(5)
        copy = m.copym()
        head = m.prepend(2)
        self.assertIsNot(m, head)
        head.data()[:] = b"xy"
        self.holds(b"xy56789", head)
        self.holds(b"56789", copy)

    def test_prepend_large(self) -> None:
        """What is prepended is in one piece, however much it is, header or not."""
        m = chain(b"a", header=False)
        head = m.prepend(20000)
        self.assertEqual(([20000, 1], 0), (lengths(head), head.pkthdr_len))
        self.assertIs(head, head.prepend(0))
        head.check()

    def test_prepend_fails(self) -> None:
        """An impossible prepend frees the chain."""
        for n, code in ((-1, errno.EINVAL), (INT_MAX, errno.ENOMEM)):
            m = chain(b"a", b"b")
            parts = list(m)
            self.fails(code, m.prepend, n)
            self.assertEqual([True, True], [part.freed for part in parts])

    def test_check_90_pullup(self) -> None:
        """Bytes across three mbufs become contiguous, the content stays."""
        m = chain(b"ab", b"cd", b"ef", b"gh")
        head = m.pullup(5)
        self.assertIs(m, head)
        self.assertEqual(b"abcde", bytes(head.data()[:5]))
        self.assertEqual([5, 1, 2], lengths(head))
        self.holds(b"abcdefgh", head)

    def test_check_90_pullup_too_long(self) -> None:
        """Longer than the chain is an error, and the chain is freed."""
        for n, code in ((9, errno.ENOMEM), (-1, errno.EINVAL)):
            m = chain(b"ab", b"cd", b"ef")
            parts = list(m)
            self.fails(code, m.pullup, n)
            self.assertEqual([True] * 3, [part.freed for part in parts])

    def test_pullup_any_size(self) -> None:
        """There is no limit to it, and memory that others see is left alone."""
        m = Mbuf.allocpacket(9000)
        m.copyback(0, bytes(range(250)) * 36)
        copy = m.copym()
        self.assertEqual([9000], lengths(m.pullup(9000)))
        self.holds(bytes(range(250)) * 36, m)
        self.holds(bytes(range(250)) * 36, copy)
        self.assertFalse(copy.mclhasreference())

    def test_pulldown(self) -> None:
        """Bytes in the middle become contiguous and the head stays the head."""
        m = chain(b"ab", b"cd", b"ef", b"gh")
        where, off = m.pulldown(3, 4)
        self.assertIs(where, list(m)[1])
        self.assertEqual((1, b"defg"), (off, bytes(where.data()[off : off + 4])))
        self.holds(b"abcdefgh", m)
        self.assertEqual((m, 1), m.pulldown(1, 1))
        last, off = m.pulldown(8, 0)
        self.assertEqual((None, last.length), (last.next, off))

    def test_pulldown_fails(self) -> None:
        """An impossible pulldown frees the chain."""
        for off, n, code in ((3, 4, errno.ENOMEM), (7, 0, errno.ENOMEM),
                             (-1, 1, errno.EINVAL), (1, -1, errno.EINVAL)):  # fmt: skip
            m = chain(b"abc", b"def")
            self.fails(code, m.pulldown, off, n)
            self.assertTrue(m.freed)

    def test_record_end(self) -> None:
        """The end of a record stays at the end, whatever is done to the chain."""
        m = chain(b"ab", b"cd")
        list(m)[1].setflags(k.M_EOR)
        tail = m.split(3)
        self.assertEqual([k.M_PKTHDR, 0, k.M_PKTHDR | k.M_EOR], [x.flags for x in (*m, *tail)])
        m.concatenate(tail).pkthdr_setlen(4)
        self.assertEqual([0, 0, k.M_EOR], [x.flags & k.M_EOR for x in m.copym()])
        self.assertEqual(k.M_EOR, m.dup().flags & k.M_EOR)
        m.copyback(200, bytes(300))
        self.assertEqual(k.M_EOR, list(m)[-1].flags & k.M_EOR)
        self.assertEqual(1, sum(x.flags & k.M_EOR != 0 for x in m))
        self.assertEqual(k.M_EOR, m.pullup(500).flags & k.M_EOR)


class JoinTests(MbufTests):
    def test_check_93_concatenate(self) -> None:
        """The packet's length stays what it was until it is set."""
        m = chain(b"abc", b"d")
        self.assertIs(m, m.concatenate(chain(b"ef", b"g")))
        self.assertEqual((4, b"abcdefg"), (m.pkthdr_len, bytes(m)))
        self.fails(errno.EINVAL, m.check)
        m.pkthdr_adjustlen(3)
        self.holds(b"abcdefg", m)
        self.assertIs(m, m.concatenate(None))

    def test_concatenate_refused(self) -> None:
        """A chain is not appended to itself, nor one that has a next packet."""
        m = chain(b"a", b"b")
        second = list(m)[1]
        for src in (m, second):
            self.fails(errno.EINVAL, m.concatenate, src)
        self.fails(errno.EINVAL, second.concatenate, m)
        other = chain(b"c")
        other.setnextpkt(chain(b"d"))
        self.fails(errno.EINVAL, m.concatenate, other)
        self.holds(b"ab", m)
        self.holds(b"c", other)

    def test_check_88_split(self) -> None:
        """Lengths are divided, memory is shared, tags stay on the head."""
        m = chain(b"0123456789abcdef")
        assert m.pkthdr is not None
        m.pkthdr.rcvif = "em0"
        id = tag_id_find("test.split")
        m.tag_allocate(id, 1, 1)
        tail = m.split(10)
        assert tail.pkthdr is not None
        self.assertEqual((10, 6, "em0"), (m.pkthdr_len, tail.pkthdr_len, tail.pkthdr.rcvif))
        self.assertEqual(bytearray(1), m.tag_find(id, 1))
        self.fails(errno.ENOENT, tail.tag_find, id, 1)
        m.datastart[10:11] = b"X"
        self.holds(b"Xbcdef", tail)
        m.writable().data()[:] = b"9876543210"
        m.adjustlen(1)
        m.data()[10:11] = b"Z"
        self.holds(b"Xbcdef", tail)

    def test_check_88_split_at_end(self) -> None:
        """At the end the tail is empty, with a header and memory of its own."""
        m = chain(b"ab", b"cd")
        tail = m.split(4)
        self.assertEqual(([0], 0, k.M_PKTHDR), (lengths(tail), tail.pkthdr_len, tail.flags))
        self.assertFalse(list(m)[1].mclhasreference())
        self.holds(b"abcd", m)
        self.holds(b"", tail)

    def test_check_88_split_beyond(self) -> None:
        """Beyond the end is an error and the chain is intact."""
        m = chain(b"ab", b"cd")
        self.fails(errno.ENOMEM, m.split, 5)
        self.fails(errno.EINVAL, m.split, -1)
        self.holds(b"abcd", m)

    def test_split_between(self) -> None:
        """Between two mbufs nothing is shared; a chain without header has tails without."""
        m = chain(b"ab", b"cd", b"ef")
        second = list(m)[1]
        tail = m.split(2)
        self.assertIs(second, tail)
        self.assertFalse(m.mclhasreference() or tail.mclhasreference())
        self.holds(b"cdef", tail)
        plain = chain(b"ab", b"cd", header=False)
        self.assertIsNone(plain.split(1).pkthdr)
        whole = chain(b"abc")
        self.holds(b"abc", whole.split(0))
        self.holds(b"", whole)

    def test_check_93_adj(self) -> None:
        """adj(-3) takes three bytes from the packet's end."""
        m = chain(b"abcd", b"ef")
        m.adj(-3)
        self.assertEqual((3, [3, 0]), (m.pkthdr_len, lengths(m)))
        self.holds(b"abc", m)

    def test_adj(self) -> None:
        """Trimming works across mbufs, and stops at nothing left."""
        m = chain(b"ab", b"cd", b"ef")
        m.adj(3)
        self.assertEqual([0, 1, 2], lengths(m))
        self.holds(b"def", m)
        m.adj(0)
        self.holds(b"def", m)
        for n in (99, -99):
            m = chain(b"ab", b"cd")
            m.adj(n)
            self.assertEqual(([0, 0], 0), (lengths(m), m.pkthdr_len))


class CopyTests(MbufTests):
    def test_copym(self) -> None:
        """A copy sees the same memory; from 0 on it has the header, without tags."""
        m = chain(b"abc", b"", b"def")
        m.setflags(k.M_PKTHDR | k.M_MCAST)
        assert m.pkthdr is not None
        m.pkthdr.vlan, m.pkthdr.timestamp, m.pkthdr.rcvif = 7, 1.5, "em0"
        m.pkthdr.traffic_class, m.pkthdr.csum_flags = k.MBUF_TC_VO, 3
        m.tag_allocate(tag_id_find("test.copym"), 1, 1)
        copy = m.copym(0, 4)
        header = copy.pkthdr
        assert header is not None
        self.assertEqual((7, 1.5, "em0", 3, 3, None),
                         (header.vlan, header.timestamp, header.rcvif, header.traffic_class,
                          header.csum_flags, header.tags))  # fmt: skip
        self.assertEqual(([3, 1], k.M_PKTHDR | k.M_MCAST), (lengths(copy), copy.flags))
        self.holds(b"abcd", copy)
        self.assertIs(m.cluster, copy.cluster)
        self.holds(b"abcdef", m.copym())
        middle = m.copym(2)
        self.assertIsNone(middle.pkthdr)
        self.holds(b"cdef", middle)
        for off, length in ((6, k.M_COPYALL), (0, 0), (3, 0)):
            self.holds(b"", m.copym(off, length))

    def test_copym_fails(self) -> None:
        """What is not there is not copied, and the chain stays."""
        m = chain(b"abc", b"def")
        for off, length in ((7, k.M_COPYALL), (0, 7), (6, 1), (7, 0)):
            self.fails(errno.ENOMEM, m.copym, off, length)
        for off, length in ((-1, 1), (0, -1)):
            self.fails(errno.EINVAL, m.copym, off, length)
        self.assertFalse(m.mclhasreference())
        self.holds(b"abcdef", m)

    def test_dup(self) -> None:
        """A duplicate is deep: bytes, type, flags, header."""
        m = chain(b"abc", b"def")
        m.settype(k.MT_OOBDATA)
        m.setflags(k.M_PKTHDR | k.M_BCAST)
        copy = m.dup()
        m.copyback(0, b"XXXXXX")
        self.holds(b"abcdef", copy)
        self.assertEqual((k.MT_OOBDATA, k.M_PKTHDR | k.M_BCAST), (copy.type, copy.flags))
        self.assertGreaterEqual(copy.leadingspace(), 64)
        self.assertIsNone(chain(b"a", header=False).dup().pkthdr)

    def test_check_91_copydata(self) -> None:
        """Bytes are copied from anywhere; beyond the end is EINVAL."""
        m = chain(b"abc", b"def")
        self.assertEqual((b"abcdef", b"cd", b"", b""),
                         (m.copydata(0, 6), m.copydata(2, 2), m.copydata(6, 0),
                          m.copydata(6, k.M_COPYALL)))  # fmt: skip
        for off, length in ((0, 7), (6, 1), (7, 0), (-1, 1), (0, -1), (0, INT_MAX),
                            (7, k.M_COPYALL)):  # fmt: skip
            self.fails(errno.EINVAL, m.copydata, off, length)

    def test_check_91_copyback(self) -> None:
        """Past the end the chain grows, and the packet's length with it."""
        m = chain(b"abc", b"def")
        m.copyback(5, b"12345")
        self.assertEqual(10, m.pkthdr_len)
        self.holds(b"abcde12345", m)
        m.copyback(12, bytes([1]) * 3000)
        self.assertEqual(3012, m.pkthdr_len)
        self.holds(b"abcde12345\0\0" + bytes([1]) * 3000, m)

    def test_copyback(self) -> None:
        """Within the chain it overwrites, in memory nobody else sees."""
        data = b"abcdef"
        m = Mbuf.from_bytes(data)
        copy = m.copym()
        m.copyback(1, memoryview(b"XY"))
        self.holds(b"aXYdef", m)
        self.holds(b"abcdef", copy)
        self.assertEqual(b"abcdef", data)
        plain = chain(b"abc", header=False)
        plain.copyback(2, b"123")
        self.assertEqual((b"ab123", 0), (bytes(plain), plain.pkthdr_len))

    def test_copyback_stale(self) -> None:
        """A gap is zeros, not what lay there before."""
        m = chain(b"secret")
        m.adj(-6)
        m.copyback(4, b"x")
        self.holds(b"\0\0\0\0x", m)

    def test_copyback_fails(self) -> None:
        """No bytes, a negative place and too far a one leave the chain as it was."""
        m = chain(b"abc")
        self.fails(errno.EINVAL, m.copyback, 0, b"")
        self.fails(errno.EINVAL, m.copyback, -1, b"a")
        self.fails(errno.ENOBUFS, m.copyback, INT_MAX, b"a")
        self.holds(b"abc", m)

    def test_check(self) -> None:
        """Each way in which a chain can disagree with itself is found."""
        for spoil in (
            lambda m: m.pkthdr_setlen(5),
            lambda m: setattr(m.next, "length", 257),
            lambda m: setattr(m.next, "start", -1),
            lambda m: setattr(m.next, "length", -1),
            lambda m: setattr(m.next, "pkthdr", PktHdr()),
            lambda m: setattr(m.next, "nextpkt", Mbuf.get()),
            lambda m: setattr(m.next, "next", m),
            lambda m: setattr(m.cluster, "shares", 0),
            lambda m: m.next.free(),
        ):
            m = chain(b"ab", b"cd")
            spoil(m)
            self.fails(errno.EINVAL, m.check)


class HeaderTests(MbufTests):
    def test_pkthdr_len(self) -> None:
        """The length is kept as it is told; without a header it is 0 and cannot be."""
        m = Mbuf.gethdr()
        m.pkthdr_setlen(99)
        m.pkthdr_adjustlen(-9)
        self.assertEqual(90, m.pkthdr_len)
        plain = Mbuf.get()
        self.assertEqual(0, plain.pkthdr_len)
        self.fails(errno.EINVAL, plain.pkthdr_setlen, 1)
        self.fails(errno.EINVAL, plain.pkthdr_adjustlen, 1)

    def test_copy_pkthdr(self) -> None:
        """A header is copied with the packet's flags, without its tags."""
        src, plain = chain(b"abc"), Mbuf.get()
        src.setflags(k.M_PKTHDR | k.M_PROMISC | k.M_EOR)
        assert src.pkthdr is not None
        src.pkthdr.rcvif = "em0"
        src.tag_allocate(tag_id_find("test.copy"), 1, 1)
        plain.copy_pkthdr(src)
        assert plain.pkthdr is not None
        self.assertEqual((3, "em0", None),
                         (plain.pkthdr_len, plain.pkthdr.rcvif, plain.pkthdr.tags))  # fmt: skip
        self.assertEqual(k.M_PKTHDR | k.M_PROMISC, plain.flags)
        self.fails(errno.EINVAL, src.copy_pkthdr, Mbuf.get())
        self.assertEqual(3, src.pkthdr_len)

    def test_check_92_tag_id_find(self) -> None:
        """The same string has the same id, another has another."""
        first = tag_id_find("test.one")
        self.assertEqual(first, tag_id_find("test.one"))
        self.assertNotEqual(first, tag_id_find("test.two"))
        self.assertGreater(first, 0)

    def test_check_92_tags(self) -> None:
        """Allocating twice is EEXIST, finding none ENOENT, and the bytes are the tag's."""
        m, id = chain(b"abc"), tag_id_find("test.tags")
        self.fails(errno.ENOENT, m.tag_find, id, 1)
        m.tag_free(id, 1)
        tag = m.tag_allocate(id, 1, 4)
        self.assertEqual(bytearray(4), tag)
        tag[:] = b"note"
        self.assertIs(tag, m.tag_find(id, 1))
        self.fails(errno.EEXIST, m.tag_allocate, id, 1, 4)
        self.fails(errno.ENOENT, m.tag_find, id, 2)
        self.assertEqual(65535, len(m.tag_allocate(id, 65535, 65535)))
        m.tag_free(id, 1)
        m.tag_free(id, 1)
        self.fails(errno.ENOENT, m.tag_find, id, 1)

    def test_check_92_tag_arguments(self) -> None:
        """Impossible lengths, types and ids, and an mbuf without header, are EINVAL."""
        m, plain, id = chain(b"abc"), Mbuf.get(), tag_id_find("test.arguments")
        for arguments in ((id, 1, 0), (id, 1, 65536), (id, 1, -1), (id, -1, 1), (id, 65536, 1),
                          (0, 1, 1), (-1, 1, 1), (1 << 40, 1, 1)):  # fmt: skip
            self.fails(errno.EINVAL, m.tag_allocate, *arguments)
        self.fails(errno.EINVAL, m.tag_find, 1 << 40, 1)
        self.fails(errno.EINVAL, plain.tag_allocate, id, 1, 1)
        self.fails(errno.EINVAL, plain.tag_find, id, 1)
        plain.tag_free(id, 1)

    def test_check_92_tags_of_copies(self) -> None:
        """copym loses tags, dup keeps them as its own."""
        m, id = chain(b"abc"), tag_id_find("test.copies")
        m.tag_allocate(id, 1, 1)[:] = b"t"
        self.fails(errno.ENOENT, m.copym().tag_find, id, 1)
        copy = m.dup()
        self.assertEqual(b"t", copy.tag_find(id, 1))
        copy.tag_find(id, 1)[:] = b"u"
        self.assertEqual(b"t", m.tag_find(id, 1))
