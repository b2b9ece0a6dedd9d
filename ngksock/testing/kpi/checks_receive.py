"""Checks 32 to 40: receive, what is there and what is not."""

from __future__ import annotations

import errno

from ngksock.kpi import constants as c
from ngksock.kpi.msghdr import MsgHdr
from ngksock.testing.kpi.claims import equal, errno_of, fails, holds
from ngksock.testing.kpi.recorder import Recorder
from ngksock.testing.kpi.registry import check
from ngksock.testing.kpi.world import SocketWorld


@check(32)
async def check_32(w: SocketWorld) -> None:
    """receive gives what is there; then EWOULDBLOCK, or a Deferred that fires with more."""
    one, other = await w.pair()
    w.send(one, b"abc")
    await w.arrived(other, 3)
    equal(b"abc", w.receive(other, 10), "receive")
    fails(errno.EWOULDBLOCK, w.receive, other, 10)
    space = bytearray(10 + w.header)
    waits = other.receive(MsgHdr(iov=[space]))
    await w.turn()
    equal(False, waits.called, "receive has fired")
    w.send(one, b"more")
    equal(4 + w.header, await w.result(waits, "receive"), "receive")
    equal(b"more", bytes(space[w.header : w.header + 4]), "what was received")
    other.ioctl(c.FIONBIO, 1)
    fails(errno.EWOULDBLOCK, other.receive, MsgHdr(iov=[space]))


@check(33)
async def check_33(w: SocketWorld) -> None:
    """No buffers, or an empty first one, are EINVAL; so is receivembuf of 0 bytes or with iov."""
    _one, other = await w.pair()
    for iov in (None, [], [bytearray()], [bytearray(), bytearray(4)], [b"read-only"]):
        fails(errno.EINVAL, other.receive, MsgHdr(iov=iov), c.MSG_DONTWAIT)
    fails(errno.EINVAL, other.receive, None, c.MSG_DONTWAIT)
    fails(errno.EINVAL, other.receivembuf, 0, None, c.MSG_DONTWAIT)
    fails(errno.EINVAL, other.receivembuf, -1, None, c.MSG_DONTWAIT)
    fails(errno.EINVAL, other.receivembuf, 4, MsgHdr(iov=[bytearray(4)]), c.MSG_DONTWAIT)
    await w.fails(errno.EINVAL, other.receive(MsgHdr()), "receive")
    await w.fails(errno.EINVAL, other.receivembuf(0), "receivembuf")


@check(34)
async def check_34(w: SocketWorld) -> None:
    """What was sent before an end of file is read first; the end as often as asked."""
    one, other = await w.pair()
    w.send(one, b"ab")
    one.close()
    equal(b"ab", await w.exactly(other, 2), "receive")
    equal(b"", await w.next(other), "receive")
    equal(b"", w.receive(other), "receive again")
    equal((None, 0), other.receivembuf(100, None, c.MSG_DONTWAIT), "receivembuf")
    equal((None, 0), await w.result(other.receivembuf(100), "receivembuf"))


@check(35)
async def check_35(w: SocketWorld) -> None:
    """What was sent before a reset is read first, then ECONNRESET once, then end of file."""
    one, other = await w.pair()
    w.send(one, b"ab")
    await w.arrived(other, 2)
    w.reset(one, other)
    await w.gone(other)
    equal(b"ab", w.receive(other), "receive")
    fails(errno.ECONNRESET, w.receive, other)
    equal(b"", w.receive(other), "receive")


@check(36)
async def check_36(w: SocketWorld) -> None:
    """To peek at a reset is ECONNRESET and leaves it: again, and then the end of file."""
    one, other = await w.pair()
    w.reset(one, other)
    await w.gone(other)
    fails(errno.ECONNRESET, w.receive, other, 1, c.MSG_PEEK)
    fails(errno.ECONNRESET, w.receive, other)
    equal(b"", w.receive(other), "receive")


@check(37)
async def check_37(w: SocketWorld) -> None:
    """MSG_PEEK leaves the data, in receive and in receivembuf, which gives it as well."""
    one, other = await w.pair()
    w.send(one, b"abcd")
    await w.arrived(other, 4)
    equal(b"ab", w.receive(other, 2, c.MSG_PEEK), "a peek of 2")
    chain, size = other.receivembuf(100, None, c.MSG_PEEK | c.MSG_DONTWAIT)
    equal((4 + w.header, b"abcd"), (size, bytes(chain)[w.header :]), "a peek of mbufs")
    equal(b"abcd", w.receive(other, 4), "receive")
    fails(errno.EWOULDBLOCK, w.receive, other)


@check(38)
async def check_38(w: SocketWorld) -> None:
    """MSG_WAITALL waits for all of it; an end of file before that gives what there is."""
    one, other = await w.pair()
    space = bytearray(10)
    waits = other.receive(MsgHdr(iov=[space]), c.MSG_WAITALL)
    w.send(one, b"1234")
    await w.turn()
    equal(False, waits.called, "receive has fired")
    w.send(one, b"567890")
    equal(10, await w.result(waits, "receive"), "receive")
    equal(b"1234567890", bytes(space), "what was received")
    waits = other.receive(MsgHdr(iov=[space]), c.MSG_WAITALL)
    w.send(one, b"rest")
    one.close()
    equal(4, await w.result(waits, "receive"), "receive")
    equal(b"", w.receive(other), "receive")


async def check_38_records(w: SocketWorld) -> None:
    """A receive is one record: MSG_WAITALL waits for no second one."""
    one, other = await w.pair()
    space = bytearray(10 + w.header)
    waits = other.receive(MsgHdr(iov=[space]), c.MSG_WAITALL)
    w.send(one, b"1234")
    equal(4 + w.header, await w.result(waits, "receive"), "receive")


@check(39)
async def check_39(w: SocketWorld) -> None:
    """FIONBIO and MSG_WAITALL with too little is EWOULDBLOCK and takes none; DONTWAIT takes it."""
    one, other = await w.pair()
    other.ioctl(c.FIONBIO, 1)
    w.send(one, b"1234")
    await w.arrived(other, 4)
    msg = MsgHdr(iov=[bytearray(10)])
    fails(errno.EWOULDBLOCK, other.receive, msg, c.MSG_WAITALL)
    equal(4, other.receive(msg), "a plain receive")
    other.ioctl(c.FIONBIO, 0)
    w.send(one, b"1234")
    await w.arrived(other, 4)
    equal(4, other.receive(msg, c.MSG_WAITALL | c.MSG_DONTWAIT), "DONTWAIT|WAITALL")


async def check_39_records(w: SocketWorld) -> None:
    """A receive is one record: MSG_WAITALL changes nothing, in either mode."""
    one, other = await w.pair()
    other.ioctl(c.FIONBIO, 1)
    msg = MsgHdr(iov=[bytearray(10 + w.header)])
    for flags in (c.MSG_WAITALL, c.MSG_WAITALL | c.MSG_DONTWAIT):
        w.send(one, b"1234")
        await w.arrived(other, 4)
        equal(4 + w.header, other.receive(msg, flags), "receive")


@check(40)
async def check_40(w: SocketWorld) -> None:
    """Below SO_RCVLOWAT: EWOULDBLOCK with FIONBIO, what is there with MSG_DONTWAIT."""
    one, other = await w.pair()
    other.setsockopt(c.SOL_SOCKET, c.SO_RCVLOWAT, 10)
    msg = MsgHdr(iov=[bytearray(20)])
    waits = other.receive(msg)
    w.send(one, b"1234")
    await w.arrived(other, 4)
    equal(False, waits.called, "receive has fired")
    waits.cancel()
    await w.fails(errno.EINTR, waits, "receive")
    other.ioctl(c.FIONBIO, 1)
    fails(errno.EWOULDBLOCK, other.receive, msg)
    equal(4, other.receive(msg, c.MSG_DONTWAIT), "receive")


async def check_40_records(w: SocketWorld) -> None:
    """A record is given as soon as it is there, however short."""
    one, other = await w.pair()
    other.setsockopt(c.SOL_SOCKET, c.SO_RCVLOWAT, 10 + w.header)
    msg = MsgHdr(iov=[bytearray(20 + w.header)])
    waits = other.receive(msg)
    w.send(one, b"1234")
    equal(4 + w.header, await w.result(waits, "receive"), "receive")
    other.ioctl(c.FIONBIO, 1)
    w.send(one, b"1234")
    await w.arrived(other, 4)
    equal(4 + w.header, other.receive(msg), "receive")


@check(46)
async def check_46(w: SocketWorld) -> None:
    """After one's own SHUT_RD there is the end of file, and no upcall for what comes."""
    one, other = await w.pair()
    w.send(one, b"before")
    await w.arrived(other, 6)
    owner = Recorder(other)
    await w.turn()
    other.shutdown(c.SHUT_RD)
    await w.turn()
    owner.clear()
    equal(b"", w.receive(other), "receive")
    w.send(one, b"after")
    await w.turn()
    equal(b"", w.receive(other), "receive")
    equal([], owner.told, "what is told")


@check(47)
async def check_47(w: SocketWorld) -> None:
    """To cancel a receive is EINTR; after nointerrupt(1) it goes on and gets its data."""
    one, other = await w.pair()
    msg = MsgHdr(iov=[bytearray(10 + w.header)])
    waits = other.receive(msg)
    waits.cancel()
    await w.fails(errno.EINTR, waits, "receive")
    other.nointerrupt(True)
    waits = other.receive(msg)
    waits.cancel()
    await w.turn()
    equal(False, waits.called, "receive has fired")
    w.send(one, b"data")
    equal(4 + w.header, await w.result(waits, "receive"), "receive")
    other.nointerrupt(False)
    waits = other.receive(msg)
    waits.cancel()
    await w.fails(errno.EINTR, waits, "receive")


@check(41)
async def check_41(w: SocketWorld) -> None:
    """SO_RCVTIMEO ends a receive with EWOULDBLOCK in its time; the socket goes on."""
    one, other = await w.pair()
    other.setsockopt(c.SOL_SOCKET, c.SO_RCVTIMEO, (0, 100_000))
    msg = MsgHdr(iov=[bytearray(10 + w.header)])
    before = w.clock.seconds()
    await w.fails(errno.EWOULDBLOCK, other.receive(msg), "receive")
    passed = w.clock.seconds() - before
    holds(0.09 <= passed < 1, f"it waited 0.1 s, not {passed:.3f}")
    waits = other.receive(msg)
    w.send(one, b"data")
    equal(4 + w.header, await w.result(waits, "receive"), "receive")


@check(94)
async def check_94(w: SocketWorld) -> None:
    """receivembuf of a billion bytes with 100 there takes memory for 100, and says 100."""
    one, other = await w.pair()
    w.send(one, bytes(100))
    await w.arrived(other, 100)
    chain, size = other.receivembuf(1_000_000_000, None, c.MSG_DONTWAIT)
    equal((100 + w.header, 100 + w.header), (size, chain.pkthdr_len), "the length")
    room, mbuf = 0, chain
    while mbuf is not None:
        room += mbuf.maxlen()
        mbuf = mbuf.next
    holds(room <= 1 << 18, f"{room} bytes of memory are few")
    equal(errno.EWOULDBLOCK, errno_of(other.receivembuf, 1_000_000_000, None, c.MSG_DONTWAIT))
