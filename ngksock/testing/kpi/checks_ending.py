"""Checks 60 to 71: shutdown, close, and the life in between."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

from ngksock.kpi import constants as c
from ngksock.kpi.msghdr import MsgHdr
from ngksock.testing.kpi.checks_connect import DISCONNECTED
from ngksock.testing.kpi.claims import equal, errno_of, fails
from ngksock.testing.kpi.recorder import Recorder
from ngksock.testing.kpi.registry import check
from ngksock.testing.kpi.world import SocketWorld

CANTRCVMORE = c.SO_FILT_HINT_CANTRCVMORE
CANTSENDMORE = c.SO_FILT_HINT_CANTSENDMORE


def raises(kind: type[BaseException], call: Callable[..., Any], *args: Any) -> None:
    """Claim that *call* raises *kind*."""
    try:
        call(*args)
    except kind:
        return
    raise AssertionError(f"{call}: expected a {kind.__name__}")


@check(60)
async def check_60(w: SocketWorld) -> None:
    """shutdown of a fresh socket is ENOTCONN and harms nothing; a bad how is EINVAL."""
    fresh = w.socket()
    for how in (c.SHUT_WR, c.SHUT_RD, c.SHUT_RDWR):
        fails(errno.ENOTCONN, fresh.shutdown, how)
    fails(errno.EINVAL, fresh.shutdown, 3)
    if not w.connects:
        other = w.socket()
        other.bind(w.address())
        fresh.connect(other.getsockname(), c.MSG_DONTWAIT)
        await w.exchange(fresh, other)
        return
    listener = w.listener()
    fails(errno.ENOTCONN, listener.shutdown, c.SHUT_RD)
    await w.connect(fresh, listener.getsockname())
    accepted = await w.accept(listener)
    await w.exchange(fresh, accepted)
    await w.exchange(accepted, fresh)


@check(61)
async def check_61(w: SocketWorld) -> None:
    """shutdown twice is ENOTCONN, SHUT_RD after the peer's end, too; RDWR then keeps sending."""
    one, other = await w.pair()
    one.shutdown(c.SHUT_WR)
    fails(errno.ENOTCONN, one.shutdown, c.SHUT_WR)
    equal(b"", await w.next(other), "what the peer receives")
    fails(errno.ENOTCONN, other.shutdown, c.SHUT_RD)
    fails(errno.ENOTCONN, other.shutdown, c.SHUT_RDWR)
    await w.exchange(other, one)


async def check_61_dgram(w: SocketWorld) -> None:
    """shutdown twice is ENOTCONN; the peer is not told of it, and has both directions."""
    one, other = await w.pair()
    one.shutdown(c.SHUT_WR)
    fails(errno.ENOTCONN, one.shutdown, c.SHUT_WR)
    await w.exchange(other, one)
    other.shutdown(c.SHUT_RDWR)


@check(62)
async def check_62(w: SocketWorld) -> None:
    """SHUT_WR: 0x8 and a write upcall here, 0x4 and a read upcall there; both connected."""
    one, other = await w.pair()
    here, there = Recorder(one), Recorder(other)
    await w.turn()
    here.clear()
    there.clear()
    one.shutdown(c.SHUT_WR)
    await w.until(lambda: there.count("read"), "an upcall of the peer")
    await w.turn()
    equal([CANTSENDMORE, "write"], here.told, "what is told here")
    equal([CANTRCVMORE, "read"], there.told, "what is told there")
    equal((True, True), (one.isconnected(), other.isconnected()), "isconnected")


async def check_62_dgram(w: SocketWorld) -> None:
    """SHUT_WR: 0x8 and a write upcall here, nothing there; both stay connected."""
    one, other = await w.pair()
    await w.turn()
    here, there = Recorder(one), Recorder(other)
    one.shutdown(c.SHUT_WR)
    await w.turn()
    equal([CANTSENDMORE, "write"], here.told, "what is told here")
    equal([], there.told, "what is told there")
    equal((True, True), (one.isconnected(), other.isconnected()), "isconnected")


@check(63)
async def check_63(w: SocketWorld) -> None:
    """When both have shut down: 0x6000, after the 0x4 of the first; nobody is connected."""
    one, other = await w.pair()
    here, there = Recorder(one), Recorder(other)
    one.shutdown(c.SHUT_WR)
    await w.until(lambda: there.count(CANTRCVMORE), "the peer sees the end of file")
    other.shutdown(c.SHUT_WR)
    await w.gone(one)
    await w.gone(other)
    equal([CANTSENDMORE, CANTRCVMORE, DISCONNECTED], here.events, "events of the first")
    equal([CANTRCVMORE, CANTSENDMORE, DISCONNECTED], there.events, "events of the second")
    for so in (one, other):
        fails(errno.ENOTCONN, so.getpeername)
        equal(b"", w.receive(so), "receive")


@check(64)
async def check_64(w: SocketWorld) -> None:
    """SHUT_RD: 0x4, one last read upcall and none for later data; write upcalls go on."""
    one, other = await w.pair()
    await w.turn()
    owner = Recorder(one)
    await w.turn()
    owner.clear()
    one.shutdown(c.SHUT_RD)
    await w.turn()
    equal([CANTRCVMORE, "read"], owner.told, "what is told")
    owner.clear()
    w.send(other, b"later")
    await w.turn()
    equal([], owner.told, "what is told of later data")
    one.shutdown(c.SHUT_WR)
    await w.until(lambda: owner.count("write"), "a write upcall")
    equal(0, owner.count("read"), "read upcalls")


@check(65)
async def check_65(w: SocketWorld) -> None:
    """A retained socket works after close; release ends it; another is a RuntimeError."""
    one, other = await w.pair()
    one.retain()
    one.close()
    await w.exchange(one, other)
    await w.exchange(other, one)
    one.release()
    if w.connects:
        equal(b"", await w.next(other), "what the peer receives")
    await w.turn()
    fails(errno.EBADF, one.isconnected)
    raises(RuntimeError, one.release)


@check(66)
async def check_66(w: SocketWorld) -> None:
    """retain and release without close change nothing; a release too many is a RuntimeError."""
    one, other = await w.pair()
    one.retain()
    one.release()
    equal(True, one.isconnected(), "isconnected")
    await w.exchange(one, other)
    await w.exchange(other, one)
    raises(RuntimeError, one.release)
    equal(True, one.isconnected(), "isconnected")


@check(67)
async def check_67(w: SocketWorld) -> None:
    """After close everything is EBADF, close as well."""
    one, _other = await w.pair()
    await w.result(one.close(), "close")
    for call in _every(one, MsgHdr(iov=[bytearray(4)])):
        try:
            got = call()
        except OSError as error:
            equal(errno.EBADF, error.errno, f"{call}")
            continue
        await w.fails(errno.EBADF, got, f"{call}")


def _every(so: Any, msg: MsgHdr) -> list[Callable[[], Any]]:
    """Return all that can be asked of a socket."""

    def upcall(so: Any, cookie: Any, what: int) -> None:
        raise AssertionError("a callback of a closed socket")

    level, name = c.SOL_SOCKET, c.SO_KEEPALIVE
    return [
        so.accept,
        lambda: so.accept(c.MSG_DONTWAIT),
        lambda: so.bind(None),
        lambda: so.catchevents(upcall, None, 0xFFFFFFFF),
        so.close,
        lambda: so.connect(None),
        lambda: so.connect(None, c.MSG_DONTWAIT),
        lambda: so.connectwait(1),
        lambda: so.defunct(None, c.SHUTDOWN_SOCKET_LEVEL_DISCONNECT_ALL),
        so.getaddr,
        so.getlistener,
        so.getpeername,
        so.getsockname,
        lambda: so.getsockopt(level, name),
        so.gettclassopt,
        so.gettype,
        lambda: so.ioctl(c.FIONBIO, 1),
        so.isconnected,
        so.iskernel,
        so.isnonblocking,
        lambda: so.listen(5),
        lambda: so.nointerrupt(True),
        lambda: so.receive(msg),
        lambda: so.receive(msg, c.MSG_DONTWAIT),
        lambda: so.receive_internal(msg, False, 0, 0),
        lambda: so.receivembuf(4),
        so.retain,
        lambda: so.send(msg),
        lambda: so.send(msg, c.MSG_DONTWAIT),
        lambda: so.set_traffic_mgt_flags(1),
        lambda: so.clear_traffic_mgt_flags(1),
        lambda: so.setpriv(True),
        lambda: so.setsockopt(level, name, 1),
        lambda: so.settclassopt(0),
        lambda: so.setupcall(upcall),
        lambda: so.setupcalls(upcall, None, upcall, None),
        lambda: so.shutdown(c.SHUT_WR),
    ]


@check(68)
async def check_68(w: SocketWorld) -> None:
    """A callback that waits when the socket is closed is not run."""
    one, other = await w.pair()
    await w.turn()
    here, there = Recorder(one), Recorder(other)
    await w.turn()
    here.clear()
    there.clear()
    w.send(one, b"x")
    one.shutdown(c.SHUT_WR)
    one.close()
    other.close()
    await w.turn()
    equal(([], []), (here.told, there.told), "what is told")


@check(69)
async def check_69(w: SocketWorld) -> None:
    """close within one's own upcall does not wait for it, not with SO_UPCALLCLOSEWAIT either."""
    one, other = await w.pair()
    one.setsockopt(c.SOL_SOCKET, c.SO_UPCALLCLOSEWAIT, 1)
    closed: list[Any] = []
    owner = Recorder(one)
    await w.turn()
    owner.clear()

    def close() -> None:
        if not closed:
            closed.append(one.close())

    owner.hook = close
    w.send(other, b"x")
    await w.until(lambda: closed, "an upcall")
    await w.result(closed[0], "close")
    await w.turn()
    equal(1, len(owner.told), "upcalls")


@check(70)
async def check_70(w: SocketWorld) -> None:
    """close ends what waits: accept, connectwait ECONNABORTED, receive end of file, send EPIPE."""
    if w.connects:
        listener = w.listener()
        accept = listener.accept()
        listener.close()
        await w.fails(errno.ECONNABORTED, accept, "accept")
    one, _other = await w.pair()
    receive = one.receive(MsgHdr(iov=[bytearray(4 + w.header)]))
    chain = one.receivembuf(4)
    if w.connects:
        await _fill(w, one)
        send = one.send(MsgHdr(iov=[b"more"]))
        await w.turn()
        equal(False, send.called, "send has fired")
    one.close()
    equal(0, await w.result(receive, "receive"), "receive")
    equal((None, 0), await w.result(chain, "receivembuf"), "receivembuf")
    if w.connects:
        await w.fails(errno.EPIPE, send, "send")
        await _connecting(w)


async def _fill(w: SocketWorld, so: Any) -> None:
    """Send until there is no space."""
    msg = MsgHdr(iov=[bytes(8192)])
    for _ in range(3):  # and again, for some of it goes on its way meanwhile
        while not errno_of(so.send, msg, c.MSG_DONTWAIT):
            await w.pause(0)
        await w.turn()


async def _connecting(w: SocketWorld) -> None:
    """Claim that connect and connectwait end with their socket, if anything is stuck there."""
    try:
        to = w.stuck()
    except NotImplementedError:
        return
    so = w.socket()
    connect = so.connect(to)
    wait = so.connectwait(10)
    so.close()
    await w.fails(errno.ECONNABORTED, connect, "connect")
    await w.fails(errno.ECONNABORTED, wait, "connectwait")


@check(71)
async def check_71(w: SocketWorld) -> None:
    """When the last socket is closed nothing is left of any in the reactor or the system."""
    for so in await w.pair():
        so.close()
    w.socket().close()
    if w.connects:
        w.listener().close()
        w.begin(so := w.socket(), w.listener().getsockname())
        so.close()
    await w.close()
