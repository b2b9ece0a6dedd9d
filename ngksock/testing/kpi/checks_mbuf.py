"""Checks 87 to 93: mbufs, on chains that a socket gave where that is possible."""

from __future__ import annotations

import errno

from ngksock.kpi.mbuf import MBIGCLBYTES, Mbuf, tag_id_find
from ngksock.testing.kpi.checks_send import three
from ngksock.testing.kpi.claims import equal, fails, holds
from ngksock.testing.kpi.registry import check
from ngksock.testing.kpi.world import SocketWorld

TAG = "ngksock.testing.kpi"


@check(87)
async def check_87(w: SocketWorld) -> None:
    """allocpacket of 5000 bytes has a header that says so, and two chunks; one is ENOBUFS."""
    chain = Mbuf.allocpacket(5000)
    equal(5000, chain.pkthdr_len, "pkthdr_len")
    holds(len(list(chain)) >= 2, "there are two mbufs or more")
    equal(5000, len(bytes(chain)), "bytes")
    fails(errno.ENOBUFS, Mbuf.allocpacket, MBIGCLBYTES + 1, 1)
    fails(errno.ENOBUFS, Mbuf.allocpacket, 5000, 1)
    fails(errno.EINVAL, Mbuf.allocpacket, 0)
    chain.freem()


@check(88)
async def check_88(w: SocketWorld) -> None:
    """split shares the memory, tags stay; at the end it is empty; beyond, ENOMEM."""
    chain = Mbuf.allocpacket(100)
    chain.copyback(0, bytes(range(100)))
    tag = tag_id_find(TAG)
    chain.tag_allocate(tag, 1, 4)
    tail = chain.split(10)
    equal((10, 90), (chain.pkthdr_len, tail.pkthdr_len), "lengths")
    equal((bytes(range(10)), bytes(range(10, 100))), (bytes(chain), bytes(tail)), "bytes")
    holds(chain.cluster is tail.cluster and chain.mclhasreference(), "the memory is shared")
    tail.data()[0] = 255
    equal(255, chain.datastart[tail.start], "what is written through one, seen through the other")
    holds(tail.writable().cluster is not chain.cluster, "writable copies")
    chain.tag_find(tag, 1)
    fails(errno.ENOENT, tail.tag_find, tag, 1)
    empty = chain.split(10)
    equal((10, 0, b""), (chain.pkthdr_len, empty.pkthdr_len, bytes(empty)), "at the end")
    fails(errno.ENOMEM, chain.split, 11)
    equal(bytes(range(10)), bytes(chain), "after a split beyond the end")
    chain.check()


@check(89)
async def check_89(w: SocketWorld) -> None:
    """prepend uses the space in front; without, a new mbuf in front has the header."""
    chain = Mbuf.allocpacket(100)
    chain.adj(8)
    same = chain.prepend(4)
    holds(same is chain, "the head is the same")
    equal(96, same.pkthdr_len, "pkthdr_len")
    chain = Mbuf.from_bytes(b"data")
    head = chain.prepend(4)
    holds(head is not chain and head.next is chain, "there is a new head")
    equal((8, 0), (head.pkthdr_len, chain.pkthdr_len), "lengths in the headers")
    holds(chain.pkthdr is None, "the header has moved")
    head.data()[:4] = b"more"
    equal(b"moredata", bytes(head), "bytes")


@check(90)
async def check_90(w: SocketWorld) -> None:
    """pullup brings bytes of three mbufs into one piece; too many free the chain."""
    chain = three(b"abc", b"defg", b"hij").pullup(9)
    equal(b"abcdefghi", bytes(chain.data()[:9]), "the first nine bytes")
    equal((b"abcdefghij", 10), (bytes(chain), chain.pkthdr_len), "the chain")
    chain = three(b"abc", b"defg", b"hij")
    fails(errno.ENOMEM, chain.pullup, 11)
    holds(chain.freed, "the chain is freed")


@check(91)
async def check_91(w: SocketWorld) -> None:
    """copydata beyond the end is EINVAL; copyback makes the chain longer."""
    chain = three(b"abc", b"defg")
    equal(b"cde", chain.copydata(2, 3), "copydata")
    fails(errno.EINVAL, chain.copydata, 5, 3)
    chain.copyback(5, b"12345")
    equal((b"abcde12345", 10), (bytes(chain), chain.pkthdr_len), "after copyback")
    fails(errno.EINVAL, chain.copyback, 0, b"")


@check(92)
async def check_92(w: SocketWorld) -> None:
    """Tags: one id for a word, EEXIST, ENOENT, EINVAL; copym loses them, dup keeps them."""
    tag = tag_id_find(TAG)
    equal(tag, tag_id_find(TAG), "the id")
    chain = Mbuf.from_bytes(b"data")
    fails(errno.ENOENT, chain.tag_find, tag, 1)
    chain.tag_allocate(tag, 1, 4)[:] = b"mark"
    fails(errno.EEXIST, chain.tag_allocate, tag, 1, 4)
    for length in (0, 65536):
        fails(errno.EINVAL, chain.tag_allocate, tag, 2, length)
    fails(errno.EINVAL, Mbuf.get().tag_allocate, tag, 1, 4)
    fails(errno.ENOENT, chain.copym().tag_find, tag, 1)
    equal(b"mark", bytes(chain.dup().tag_find(tag, 1)), "the tag of a dup")


@check(93)
async def check_93(w: SocketWorld) -> None:
    """concatenate leaves pkthdr_len; adjustlen needs room; adj(-3) takes 3 off the end."""
    chain = Mbuf.from_bytes(b"abc")
    chain.concatenate(Mbuf.from_bytes(b"defg"))
    equal((b"abcdefg", 3), (bytes(chain), chain.pkthdr_len), "after concatenate")
    chain.pkthdr_setlen(7)
    fails(errno.EINVAL, chain.adjustlen, 1)
    chain.adj(-3)
    equal((b"abcd", 4), (bytes(chain), chain.pkthdr_len), "after adj")
