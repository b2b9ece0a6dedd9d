"""Checks 80 to 86: filters, traffic classes, defunct and privilege."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from zope.interface import implementer

from ngksock._ikpi import ISocketFilter
from ngksock.kpi import constants as c
from ngksock.kpi.msghdr import MsgHdr
from ngksock.testing.kpi.checks_ending import raises
from ngksock.testing.kpi.claims import equal, errno_of, fails, holds
from ngksock.testing.kpi.recorder import Recorder
from ngksock.testing.kpi.registry import check
from ngksock.testing.kpi.world import SocketWorld

SO_PRIORITY = int(getattr(socket, "SO_PRIORITY", 12))


@implementer(ISocketFilter)
class Filter:
    """A filter that records, and answers as it was told."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer
        self.attached: list[tuple[Any, Any, Any]] = []
        self.accepted: list[tuple[Any, ...]] = []
        self.detached: list[Any] = []

    def sf_attach(self, so: Any) -> Any:
        """Note who is the listener, and whether it is locked."""
        listener = so.getlistener()
        if listener is not None:
            raises(RuntimeError, listener.accept, c.MSG_DONTWAIT)
        self.attached.append((so, listener, so.gettype()))
        return "cookie"

    def sf_accept(self, cookie: Any, listener: Any, so: Any, local: Any, remote: Any) -> Any:
        """Answer."""
        self.accepted.append((cookie, listener, so, local, remote))
        if isinstance(self.answer, OSError):
            raise self.answer
        return self.answer

    def sf_detach(self, cookie: Any, so: Any) -> None:
        """Note that."""
        self.detached.append((cookie, so))


@contextmanager
def _filtered(w: SocketWorld, answer: Any = None) -> Iterator[Filter]:
    one = Filter(answer)
    w.provider.filters.register(one, w.domain, w.type, w.resolved)
    try:
        yield one
    finally:
        w.provider.filters.unregister(one)


@check(80)
async def check_80(w: SocketWorld) -> None:
    """sf_attach sees new sockets; getlistener is the listener of one that waits, then None."""
    with _filtered(w) as seen:
        listener, client = w.listener(), w.socket()
        equal([None, None], [who for _, who, _ in seen.attached], "listeners of those made")
        owner = Recorder(listener)
        await w.connect(client, listener.getsockname())
        await w.until(lambda: owner.count("read"), "an upcall of the listener")
        equal(3, len(seen.attached), "sockets seen before accept")
        so, who, kind = seen.attached[2]
        equal((listener, client.gettype()), (who, kind), "the listener, and what it is")
        accepted = await w.accept(listener)
        holds(accepted is so, "the accepted socket is the one that was seen")
        equal(None, accepted.getlistener(), "getlistener after accept")
        equal([("cookie", listener, so)], [one[:3] for one in seen.accepted], "sf_accept")
        accepted.close()
        await w.until(lambda: seen.detached == [("cookie", accepted)], "sf_detach")
    equal(None, w.socket().getlistener(), "getlistener")
    equal(3, len(seen.attached), "sockets seen after unregister")


@check(81)
async def check_81(w: SocketWorld) -> None:
    """sf_accept's errno fails accept and closes; EJUSTRETURN makes the socket defunct."""
    with _filtered(w, OSError(errno.EPERM, "no")):
        listener = w.listener()
        client = await w.connect(w.socket(), listener.getsockname())

        def refused() -> bool:
            return errno_of(listener.accept, c.MSG_DONTWAIT) == errno.EPERM

        await w.until(refused, "accept is EPERM")
        code = await w.until(lambda: _end(w, client), "the client sees the end")
        holds(code in ("end of file", errno.ECONNRESET), f"the client sees the end: {code}")
    with _filtered(w, c.EJUSTRETURN):
        listener = w.listener()
        client = await w.connect(w.socket(), listener.getsockname())
        accepted = await w.accept(listener)
        fails(errno.EPIPE, w.send, accepted, b"x")
        fails(errno.ENOTCONN, w.receive, accepted)


def _end(w: SocketWorld, so: Any) -> Any:
    """Return how the connection of *so* has ended, 0: it has not."""
    try:
        return "end of file" if w.receive(so) == b"" else 0
    except BlockingIOError:
        return 0
    except OSError as error:
        return error.errno


@check(82)
async def check_82(w: SocketWorld) -> None:
    """settclassopt: ENOTCONN, later the TOS byte and its class; EINVAL what is no int."""
    fails(errno.ENOTCONN, w.socket().settclassopt, 0xB8)
    one, _other = await w.pair()
    ipv6 = w.domain == socket.AF_INET6
    level = int(socket.IPPROTO_IPV6 if ipv6 else socket.IPPROTO_IP)
    option = int(socket.IPV6_TCLASS if ipv6 else socket.IP_TOS)
    for value, kind in ((0xB8, 700), (0xC0, 800), (0x20, 100), (0x00, 0)):
        one.settclassopt(value)
        equal(value, one.getsockopt(level, option), "the byte of the system's")
        equal(value, one.gettclassopt(), "gettclassopt")
        equal(kind, one.getsockopt(c.SOL_SOCKET, c.SO_TRAFFIC_CLASS), f"class of {value:#x}")
    for wrong in ("184", None, b"\xb8"):
        fails(errno.EINVAL, one.settclassopt, wrong)


async def check_82_bare(w: SocketWorld) -> None:
    """There is no TOS byte: settclassopt and gettclassopt are EINVAL."""
    one, _other = await w.pair()
    fails(errno.EINVAL, one.settclassopt, 0xB8)
    fails(errno.EINVAL, one.gettclassopt)


@check(83)
async def check_83(w: SocketWorld) -> None:
    """SO_TRAFFIC_CLASS sets SO_PRIORITY; others are EINVAL, legacy 3 is 800; accept inherits."""
    so = w.socket()
    fresh = so.getsockopt(c.SOL_SOCKET, c.SO_TRAFFIC_CLASS)
    equal(0, fresh, "the class of a fresh socket")
    so.setsockopt(c.SOL_SOCKET, c.SO_TRAFFIC_CLASS, 800)
    equal(6, so.getsockopt(c.SOL_SOCKET, SO_PRIORITY), "SO_PRIORITY")
    _classes(so)
    if w.connects:
        listener = w.listener()
        listener.setsockopt(c.SOL_SOCKET, c.SO_TRAFFIC_CLASS, 800)
        await w.connect(w.socket(), listener.getsockname())
        accepted = await w.accept(listener)
        equal(800, accepted.getsockopt(c.SOL_SOCKET, c.SO_TRAFFIC_CLASS), "the class inherited")
        equal(6, accepted.getsockopt(c.SOL_SOCKET, SO_PRIORITY), "SO_PRIORITY inherited")


def _classes(so: Any) -> None:
    for wrong in (-1, 150, 901):
        fails(errno.EINVAL, so.setsockopt, c.SOL_SOCKET, c.SO_TRAFFIC_CLASS, wrong)
    for legacy, kind in ((1, 200), (2, 700), (3, 800), (100, 100)):
        so.setsockopt(c.SOL_SOCKET, c.SO_TRAFFIC_CLASS, legacy)
        equal(kind, so.getsockopt(c.SOL_SOCKET, c.SO_TRAFFIC_CLASS), "SO_TRAFFIC_CLASS")


async def check_83_bare(w: SocketWorld) -> None:
    """Local packets cross no network: classes are kept, and SO_PRIORITY stays 0."""
    so = w.socket()
    _classes(so)
    equal(0, so.getsockopt(c.SOL_SOCKET, SO_PRIORITY), "SO_PRIORITY")
    if w.connects:
        listener = w.listener()
        listener.setsockopt(c.SOL_SOCKET, c.SO_TRAFFIC_CLASS, 800)
        await w.connect(w.socket(), listener.getsockname())
        accepted = await w.accept(listener)
        equal(800, accepted.getsockopt(c.SOL_SOCKET, c.SO_TRAFFIC_CLASS), "the class inherited")


@check(84)
async def check_84(w: SocketWorld) -> None:
    """set_traffic_mgt_flags sets two bits and ignores others; clear clears."""
    so = w.socket()

    def flags() -> Any:
        return so.getsockopt(c.SOL_SOCKET, c.SO_TRAFFIC_MGT)

    equal(0, flags(), "at first")
    so.set_traffic_mgt_flags(0x3)
    equal(3, flags(), "after set(3)")
    so.clear_traffic_mgt_flags(0x1)
    equal(2, flags(), "after clear(1)")
    so.set_traffic_mgt_flags_locked(0xF0)
    equal(2, flags(), "after set(0xf0)")
    so.clear_traffic_mgt_flags_locked(0xFF)
    equal(0, flags(), "after clear(0xff)")


@check(85)
async def check_85(w: SocketWorld) -> None:
    """defunct: EINVAL, EOPNOTSUPP of SVC; then nothing works any more, and the peer is told."""
    one, other = await w.pair()
    fails(errno.EINVAL, one.defunct, None, 0)
    fails(errno.EOPNOTSUPP, one.defunct, None, c.SHUTDOWN_SOCKET_LEVEL_DISCONNECT_SVC)
    await _defunct(w, one, other)
    one = w.socket()
    one.setsockopt(c.SOL_SOCKET, c.SO_DEFUNCTOK, 0)
    fails(errno.EOPNOTSUPP, one.defunct, None, c.SHUTDOWN_SOCKET_LEVEL_DISCONNECT_ALL)


async def _defunct(w: SocketWorld, one: Any, other: Any) -> None:
    level = c.SHUTDOWN_SOCKET_LEVEL_DISCONNECT_ALL
    waits = one.receive(MsgHdr(iov=[bytearray(4 + w.header)]))
    one.defunct(None, level)
    await w.fails(errno.EBADF, waits, "a receive that waited")
    fails(errno.EPIPE, w.send, one, b"x")
    fails(errno.ENOTCONN, w.receive, one)
    fails(errno.EOPNOTSUPP, one.connect, other.getsockname(), c.MSG_DONTWAIT)
    fails(errno.EINVAL, one.bind, w.address())
    fails(errno.EINVAL if w.connects else errno.EOPNOTSUPP, one.listen, 5)
    fails(errno.EBADF, one.setsockopt, c.SOL_SOCKET, c.SO_DEFUNCTOK, 1)
    holds(one.getsockopt(c.SOL_SOCKET, c.SO_ISDEFUNCT), "SO_ISDEFUNCT")
    one.defunct(None, level)
    if w.connects:
        code = await w.until(lambda: _end(w, other), "the peer sees the end")
        holds(code in ("end of file", errno.ECONNRESET), f"the peer sees the end: {code}")


async def check_85_local(w: SocketWorld) -> None:
    """A local socket may not be made defunct unless SO_DEFUNCTOK says so; then the rest holds."""
    one, other = await w.pair()
    fails(errno.EINVAL, one.defunct, None, 0)
    for level in (c.SHUTDOWN_SOCKET_LEVEL_DISCONNECT_SVC, c.SHUTDOWN_SOCKET_LEVEL_DISCONNECT_ALL):
        fails(errno.EOPNOTSUPP, one.defunct, None, level)
    one.setsockopt(c.SOL_SOCKET, c.SO_DEFUNCTOK, 1)
    await _defunct(w, one, other)


@check(86)
async def check_86(w: SocketWorld) -> None:
    """Without privilege a reserved port is EACCES; with it the system decides."""
    so = w.socket()
    so.setpriv(False)
    to = (w.address()[0], 80)
    fails(errno.EACCES, so.bind, to)
    so.setpriv(True)
    code = errno_of(so.bind, to)
    holds(code in (0, errno.EACCES, errno.EADDRINUSE), f"the system decides: {code}")
