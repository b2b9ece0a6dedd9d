"""Checks 22 to 31: connect."""

from __future__ import annotations

import errno
import socket

from ngksock.kpi import constants as c
from ngksock.testing.kpi.claims import equal, fails, holds
from ngksock.testing.kpi.recorder import Recorder
from ngksock.testing.kpi.registry import check
from ngksock.testing.kpi.world import SocketWorld

CONNECTED = c.SO_FILT_HINT_CONNECTED | c.SO_FILT_HINT_CONNINFO_UPDATED
DISCONNECTED = c.SO_FILT_HINT_DISCONNECTED | c.SO_FILT_HINT_CONNINFO_UPDATED
CONNRESET = c.SO_FILT_HINT_CONNRESET
TIMEOUT = c.SO_FILT_HINT_TIMEOUT


@check(22)
async def check_22(w: SocketWorld) -> None:
    """Non-blocking connect: EINPROGRESS, then EALREADY; connected only later, then EISCONN."""
    listener, so = w.listener(), w.socket()
    to = listener.getsockname()
    fails(errno.EINPROGRESS, so.connect, to, c.MSG_DONTWAIT)
    fails(errno.EALREADY, so.connect, to, c.MSG_DONTWAIT)
    equal(False, so.isconnected(), "isconnected")
    await w.until(so.isconnected, "it is connected")
    fails(errno.EISCONN, so.connect, to, c.MSG_DONTWAIT)


async def check_22_atonce(w: SocketWorld) -> None:
    """It connects within the call: None, never EINPROGRESS; then EISCONN."""
    listener, so = w.listener(), w.socket()
    to = listener.getsockname()
    equal(None, so.connect(to, c.MSG_DONTWAIT), "connect")
    equal(True, so.isconnected(), "isconnected")
    fails(errno.EISCONN, so.connect, to, c.MSG_DONTWAIT)


@check(23)
async def check_23(w: SocketWorld) -> None:
    """Connected: the upcalls first, read before write, then the event 0x5000."""
    listener, so = w.listener(), w.socket()
    owner = Recorder(so)
    w.begin(so, listener.getsockname())
    equal([], owner.told, "what is told within the call")
    await w.until(lambda: owner.events, "an event")
    equal(["read", "write", CONNECTED], owner.told, "what is told")


@check(24)
async def check_24(w: SocketWorld) -> None:
    """Refused: ECONNREFUSED; events 0x2, 0x6000; SO_ERROR is 0 then; connect again is EINVAL."""
    so = w.socket()
    owner = Recorder(so)
    await w.fails(errno.ECONNREFUSED, so.connect(w.unused()), "connect")
    await w.until(lambda: len(owner.events) > 1, "events")
    await w.turn()
    equal([CONNRESET, DISCONNECTED], owner.events, "events")
    equal(0, so.getsockopt(c.SOL_SOCKET, c.SO_ERROR), "SO_ERROR")
    fails(errno.EINVAL, so.connect, w.listener().getsockname(), c.MSG_DONTWAIT)


async def check_24_atonce(w: SocketWorld) -> None:
    """Local connections are refused within the call: no event, and one may try again."""
    so = w.socket()
    owner = Recorder(so)
    await w.fails(errno.ENOENT, so.connect(w.unused()), "connect to no file")
    await w.fails(errno.ECONNREFUSED, so.connect(_left(w)), "connect")
    await w.turn()
    equal([], owner.told, "what is told")
    equal(0, so.getsockopt(c.SOL_SOCKET, c.SO_ERROR), "SO_ERROR")
    await w.connect(so, w.listener().getsockname())


def _left(w: SocketWorld) -> str:
    """Return a path at which nobody listens any more."""
    path: str = w.address()
    with socket.socket(w.domain, w.type) as gone:
        gone.bind(path)
    return path


@check(25)
async def check_25(w: SocketWorld) -> None:
    """Refused while nobody waits: SO_ERROR has ECONNREFUSED once; it is not connected."""
    so = w.socket()
    owner = Recorder(so)
    w.begin(so, w.unused())
    await w.until(lambda: owner.events, "events")
    await w.turn()
    error = so.getsockopt(c.SOL_SOCKET, c.SO_ERROR)
    equal(errno.ECONNREFUSED, error, "SO_ERROR")
    equal(0, so.getsockopt(c.SOL_SOCKET, c.SO_ERROR), "SO_ERROR, again")
    equal(False, so.isconnected(), "isconnected")


async def check_25_atonce(w: SocketWorld) -> None:
    """Local connections are refused within the call: ECONNREFUSED is raised, SO_ERROR is 0."""
    so = w.socket()
    fails(errno.ECONNREFUSED, so.connect, _left(w), c.MSG_DONTWAIT)
    equal(0, so.getsockopt(c.SOL_SOCKET, c.SO_ERROR), "SO_ERROR")
    equal(False, so.isconnected(), "isconnected")


@check(26)
async def check_26(w: SocketWorld) -> None:
    """connectwait: EINPROGRESS in its time, EDOM above 327 s, EINVAL if nothing was begun."""
    so = w.socket()
    w.begin(so, w.stuck())
    before = w.clock.seconds()
    await w.fails(errno.EINPROGRESS, so.connectwait(0.1), "connectwait(0.1)")
    passed = w.clock.seconds() - before
    holds(0.09 <= passed < 1, f"it waited 0.1 s, not {passed:.3f}")
    await w.fails(errno.EINPROGRESS, so.connectwait(0), "connectwait(0)")
    for timeout in (400, -1, (0, 1_000_000)):
        await w.fails(errno.EDOM, so.connectwait(timeout), f"connectwait({timeout})")
    await check_26_atonce(w)


async def check_26_atonce(w: SocketWorld) -> None:
    """Nothing is ever in progress: connectwait is EINVAL, or done when connected."""
    await w.fails(errno.EINVAL, w.socket().connectwait(1), "connectwait of a fresh socket")
    listener, so = w.listener(), w.socket()
    w.begin(so, listener.getsockname())
    await w.result(so.connectwait(5), "connectwait")
    equal(True, so.isconnected(), "isconnected")
    await w.result(so.connectwait(1), "connectwait when connected")


@check(27)
async def check_27(w: SocketWorld) -> None:
    """To cancel a connect is EINTR; the attempt goes on: EALREADY."""
    so, to = w.socket(), w.stuck()
    waits = so.connect(to)
    waits.cancel()
    await w.fails(errno.EINTR, waits, "connect")
    fails(errno.EALREADY, so.connect, to, c.MSG_DONTWAIT)
    waits = so.connectwait(10)
    waits.cancel()
    await w.fails(errno.EINTR, waits, "connectwait")


@check(28)
async def check_28(w: SocketWorld) -> None:
    """A connect nobody answers is ETIMEDOUT some time; events 0x10, 0x6000."""
    so = w.socket()
    w.impatient(so)
    owner = Recorder(so)
    await w.fails(errno.ETIMEDOUT, so.connect(w.stuck()), "connect")
    await w.turn()
    equal([TIMEOUT, DISCONNECTED], owner.events, "events")


@check(29)
async def check_29(w: SocketWorld) -> None:
    """While connecting: send is ENOTCONN, receive EWOULDBLOCK, getpeername ENOTCONN."""
    listener, so = w.listener(), w.socket()
    fails(errno.EINPROGRESS, so.connect, listener.getsockname(), c.MSG_DONTWAIT)
    fails(errno.ENOTCONN, w.send, so, b"x")
    fails(errno.EWOULDBLOCK, w.receive, so)
    fails(errno.ENOTCONN, so.getpeername)
    await w.until(so.isconnected, "it is connected")
    await w.exchange(so, await w.accept(listener))


@check(30)
async def check_30(w: SocketWorld) -> None:
    """connect of a listener is EOPNOTSUPP, to oneself EINVAL, of TCP to a group EAFNOSUPPORT."""
    _listening(w)
    so = w.socket()
    so.bind(w.address())
    fails(errno.EINVAL, so.connect, so.getsockname(), c.MSG_DONTWAIT)
    group = ("ff02::1", 9) if w.domain == socket.AF_INET6 else ("224.0.0.1", 9)
    fails(errno.EAFNOSUPPORT, w.socket().connect, group, c.MSG_DONTWAIT)


def _listening(w: SocketWorld) -> None:
    listener = w.listener()
    fails(errno.EOPNOTSUPP, listener.connect, w.listener().getsockname(), c.MSG_DONTWAIT)


async def check_30_local(w: SocketWorld) -> None:
    """A local listener is EOPNOTSUPP, oneself ECONNREFUSED; there are no groups."""
    _listening(w)
    so = w.socket()
    so.bind(w.address())
    fails(errno.ECONNREFUSED, so.connect, so.getsockname(), c.MSG_DONTWAIT)


@check(31)
async def check_31(w: SocketWorld) -> None:
    """A datagram socket gets its peer at once, upcalls and 0x5000 follow; and then another."""
    one, other, so = w.socket(), w.socket(), w.socket()
    one.bind(w.address())
    other.bind(w.address())
    owner = Recorder(so)
    for peer in (one, other):
        owner.clear()
        equal(None, so.connect(peer.getsockname(), c.MSG_DONTWAIT), "connect")
        equal([], owner.told, "what is told within the call")
        equal(peer.getsockname(), so.getpeername(), "getpeername")
        await w.until(lambda: owner.events, "an event")
        equal(["read", "write", CONNECTED], owner.told, "what is told")
    w.send(so, b"x")
    equal(b"x", await w.next(other), "what the second peer has")
    fails(errno.EWOULDBLOCK, w.receive, one)
