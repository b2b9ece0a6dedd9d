"""Checks 48 to 59: send."""

from __future__ import annotations

import errno
from contextlib import suppress
from typing import Any

from ngksock.kpi import constants as c
from ngksock.kpi.mbuf import Mbuf
from ngksock.kpi.msghdr import MsgHdr
from ngksock.testing.kpi.claims import equal, errno_of, fails, holds
from ngksock.testing.kpi.recorder import Recorder
from ngksock.testing.kpi.registry import check
from ngksock.testing.kpi.world import SocketWorld

MUCH = 8 << 20


@check(48)
async def check_48(w: SocketWorld) -> None:
    """Unconnected: ENOTCONN, of a datagram EDESTADDRREQ; connected, with a name EISCONN."""
    so = w.socket()
    fails(errno.ENOTCONN if w.connects else errno.EDESTADDRREQ, w.send, so, b"x")
    await w.fails(
        errno.ENOTCONN if w.connects else errno.EDESTADDRREQ, so.send(MsgHdr(iov=[b"x"])), "send"
    )
    one, other = await w.pair()
    name = other.getsockname()
    if w.connects:
        w.send(one, b"x", to=name)  # the name of a connected stream is ignored
        equal(b"x", await w.exactly(other, 1), "what arrives")
    else:
        fails(errno.EISCONN, w.send, one, b"x", 0, name)


@check(49)
async def check_49(w: SocketWorld) -> None:
    """After one's own SHUT_WR send is EPIPE; the peer sees the end, and sends on."""
    one, other = await w.pair()
    one.shutdown(c.SHUT_WR)
    fails(errno.EPIPE, w.send, one, b"x")
    equal(b"", await w.next(other), "what the peer receives")
    await w.exchange(other, one)


async def check_49_dgram(w: SocketWorld) -> None:
    """After one's own SHUT_WR send is EPIPE; the peer is not told, and sends on."""
    one, other = await w.pair()
    one.shutdown(c.SHUT_WR)
    fails(errno.EPIPE, w.send, one, b"x")
    await w.turn()
    fails(errno.EWOULDBLOCK, w.receive, other)
    await w.exchange(other, one)


@check(50)
async def check_50(w: SocketWorld) -> None:
    """After a reset send is EPIPE; ECONNRESET stays for receive; send is EPIPE again."""
    one, other = await w.pair()
    w.reset(other, one)
    await w.gone(one)
    fails(errno.EPIPE, w.send, one, b"x")
    fails(errno.ECONNRESET, w.receive, one)
    fails(errno.EPIPE, w.send, one, b"x")


@check(51)
async def check_51(w: SocketWorld) -> None:
    """Of 8 MiB to one who does not read some are taken, then EWOULDBLOCK, later an upcall."""
    one, other = await w.pair()
    one.ioctl(c.FIONBIO, 1)
    owner = Recorder(one)
    msg = MsgHdr(iov=[bytes(MUCH)])
    sent = one.send(msg)
    holds(0 < sent < MUCH, f"{sent} bytes are some of {MUCH}")
    fails(errno.EWOULDBLOCK, one.send, msg)
    while not (code := errno_of(one.send, msg)):
        await w.turn()  # what went to the peer meanwhile made room
    equal(errno.EWOULDBLOCK, code, "send")
    owner.clear()

    def drained() -> int:
        errno_of(w.receive, other, 1 << 20)
        return owner.count("write")

    await w.until(drained, "a write upcall")
    equal(1, one.send(MsgHdr(iov=[b"x"])), "send")


async def check_51_records(w: SocketWorld) -> None:
    """Records go whole: many of them, then EWOULDBLOCK, and later an upcall."""
    one, other = await w.pair()
    one.ioctl(c.FIONBIO, 1)
    owner = Recorder(one)
    msg = MsgHdr(iov=[bytes(8192)])
    while not (code := errno_of(one.send, msg)):
        await w.pause(0)
    equal(errno.EWOULDBLOCK, code, "send")
    owner.clear()

    def drained() -> int:
        errno_of(w.receive, other, 8192)
        return owner.count("write")

    await w.until(drained, "a write upcall")
    equal(8192, one.send(msg), "send")


async def check_51_dgram(w: SocketWorld) -> None:
    """The peer's queue is the limit: EWOULDBLOCK when it is full; no upcall when it is not."""
    one, other = await w.pair()
    msg = MsgHdr(iov=[bytes(8192)])
    while not (code := errno_of(one.send, msg, c.MSG_DONTWAIT)):
        await w.pause(0)
    equal(errno.EWOULDBLOCK, code, "send")
    await w.next(other)
    await w.turn()
    while not errno_of(w.receive, other):
        await w.turn()
    equal(8192, one.send(msg, c.MSG_DONTWAIT), "send")


@check(52)
async def check_52(w: SocketWorld) -> None:
    """A blocking send of 8 MiB fires with all of it; cancelled half-way, with what has gone."""
    one, other = await w.pair()
    waits = one.send(MsgHdr(iov=[bytes(MUCH)]))
    equal(False, waits.called, "send has fired")
    got = 0
    while got < MUCH:
        got += len(await w.next(other, 1 << 20))
    equal(MUCH, await w.result(waits, "send"), "send")
    waits = one.send(MsgHdr(iov=[bytes(MUCH)]))
    await w.turn()
    waits.cancel()
    sent = await w.result(waits, "send")
    holds(0 < sent < MUCH, f"{sent} bytes are some of {MUCH}")
    one.shutdown(c.SHUT_WR)
    got = 0
    while data := await w.next(other, 1 << 20):
        got += len(data)
    equal(sent, got, "what arrives of it")


@check(53)
async def check_53(w: SocketWorld) -> None:
    """MSG_DONTWAIT is EWOULDBLOCK when there is no space, in blocking mode as well."""
    one, _other = await w.pair()
    equal(False, one.isnonblocking(), "isnonblocking")
    msg = MsgHdr(iov=[bytes(8192)])
    while not (code := errno_of(one.send, msg, c.MSG_DONTWAIT)):
        await w.pause(0)
    equal(errno.EWOULDBLOCK, code, "send")


@check(54)
async def check_54(w: SocketWorld) -> None:
    """sendmbuf: longer than SO_SNDBUF is EMSGSIZE, wrong header or iov EINVAL; all freed."""
    one, other = await w.pair()
    one.setsockopt(c.SOL_SOCKET, c.SO_SNDBUF, 8192)
    long = Mbuf.from_bytes(bytes(8193))
    bare = Mbuf.from_bytes(b"data")
    bare.setflags(bare.flags & ~2)  # no M_PKTHDR
    wrong = Mbuf.from_bytes(b"data")
    wrong.setlen(3)
    iov = Mbuf.from_bytes(b"data")
    for chain, msg, code in (
        (long, None, errno.EMSGSIZE),
        (bare, None, errno.EINVAL),
        (wrong, None, errno.EINVAL),
        (iov, MsgHdr(iov=[b"x"]), errno.EINVAL),
    ):
        fails(code, one.sendmbuf, chain, msg, c.MSG_DONTWAIT)
        holds(chain.freed, "the chain is freed")
    fails(errno.EINVAL, one.sendmbuf, None, None, c.MSG_DONTWAIT)
    await w.turn()
    fails(errno.EWOULDBLOCK, w.receive, other)


@check(55)
async def check_55(w: SocketWorld) -> None:
    """sendmbuf of three mbufs sends their bytes; the chain is used up."""
    one, other = await w.pair()
    chain = three(b"abc", b"defg", b"hi")
    equal(9, one.sendmbuf(chain, None, c.MSG_DONTWAIT), "sendmbuf")
    holds(chain.freed, "the chain is freed")
    equal(b"abcdefghi", await w.exactly(other, 9), "what arrives")
    chain = three(b"123", b"45", b"6")
    equal(6, await w.result(one.sendmbuf(chain), "sendmbuf"), "sendmbuf")
    holds(chain.freed, "the chain is freed")
    equal(b"123456", await w.exactly(other, 6), "what arrives")


def three(*parts: bytes) -> Mbuf:
    """Return a chain of mbufs, one for each of *parts*."""
    chain = Mbuf.from_bytes(parts[0])
    for part in parts[1:]:
        chain.concatenate(Mbuf.from_bytes(part))
    chain.pkthdr_setlen(sum(map(len, parts)))
    return chain


@check(56)
async def check_56(w: SocketWorld) -> None:
    """MSG_EOR on a stream is EINVAL; MSG_OOB is one urgent byte, read once: then EINVAL."""
    one, other = await w.pair()
    fails(errno.EINVAL, w.send, one, b"x", c.MSG_EOR)
    fails(errno.EINVAL, w.receive, other, 1, c.MSG_OOB)
    w.send(one, b"!", c.MSG_OOB)
    got: list[bytes] = []

    def urgent() -> list[bytes]:
        with suppress(OSError):
            got.append(w.receive(other, 1, c.MSG_OOB))
        return got

    await w.until(urgent, "the urgent byte")
    equal([b"!"], got, "the urgent byte")
    fails(errno.EINVAL, w.receive, other, 1, c.MSG_OOB)
    await w.exchange(one, other)


async def check_56_none(w: SocketWorld) -> None:
    """MSG_EOR on a stream is EINVAL; there is no urgent byte: MSG_OOB is EOPNOTSUPP."""
    one, other = await w.pair()
    fails(errno.EINVAL, w.send, one, b"x", c.MSG_EOR)
    fails(errno.EOPNOTSUPP, w.send, one, b"!", c.MSG_OOB)
    await w.exchange(one, other)


async def check_56_records(w: SocketWorld) -> None:
    """MSG_OOB is EOPNOTSUPP: it is for streams alone."""
    one, other = await w.pair()
    fails(errno.EOPNOTSUPP, w.send, one, b"!", c.MSG_OOB)
    await w.exchange(one, other)


@check(57)
async def check_57(w: SocketWorld) -> None:
    """MSG_EOF sends the data and the end of file; the event CANTSENDMORE tells."""
    one, other = await w.pair()
    owner = Recorder(one)
    w.send(one, b"last", c.MSG_EOF)
    equal(b"last", await w.exactly(other, 4), "what arrives")
    equal(b"", await w.next(other), "then")
    equal([c.SO_FILT_HINT_CANTSENDMORE], owner.events, "events")
    fails(errno.EPIPE, w.send, one, b"x")


@check(58)
async def check_58(w: SocketWorld) -> None:
    """2000 buffers of one byte are sent by one call; control that is none is EINVAL."""
    one, other = await w.pair()
    iov = [bytes([number % 251]) for number in range(2000)]
    equal(2000, one.send(MsgHdr(iov=iov), c.MSG_DONTWAIT), "send")
    equal(b"".join(iov), await w.exactly(other, 2000), "what arrives")
    wrong: tuple[Any, ...] = (b"four", [(1, 2)], [(1, 2, bytes(300))])
    for control in wrong:
        msg = MsgHdr(iov=[b"x"], control=control)
        fails(errno.EINVAL, one.send, msg, c.MSG_DONTWAIT)


@check(59)
async def check_59(w: SocketWorld) -> None:
    """A datagram longer than SO_SNDBUF is EMSGSIZE; one that is as long is sent."""
    one, other = await w.pair()
    one.setsockopt(c.SOL_SOCKET, c.SO_SNDBUF, 6000)
    fails(errno.EMSGSIZE, w.send, one, bytes(6001))
    equal(6000, one.send(MsgHdr(iov=[bytes(6000)]), c.MSG_DONTWAIT), "send")
    equal(6000, len(await w.next(other)), "what arrives")
