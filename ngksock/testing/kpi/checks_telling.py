"""Checks 72 to 79: upcalls and events."""

from __future__ import annotations

import errno
from functools import partial
from typing import Any

from twisted.logger import ILogObserver, globalLogPublisher
from zope.interface import implementer

from ngksock.kpi import constants as c
from ngksock.testing.kpi.checks_connect import CONNECTED, CONNRESET, DISCONNECTED
from ngksock.testing.kpi.claims import equal, errno_of, fails
from ngksock.testing.kpi.recorder import Recorder
from ngksock.testing.kpi.registry import check
from ngksock.testing.kpi.world import SocketWorld


@check(72)
async def check_72(w: SocketWorld) -> None:
    """What arrives is told each time, though nobody reads what came before."""
    one, other = await w.pair()
    owner = Recorder(other)
    for count in (1, 2, 3):
        await w.turn()
        owner.clear()
        w.send(one, b"x")
        await w.arrived(other, count)
        await w.until(lambda: owner.told, "an upcall")
        equal(["read"], owner.told, "what is told")


class UpcallError(Exception):
    """What an upcall of check 73 raises."""


@check(73)
async def check_73(w: SocketWorld) -> None:
    """An upcall that raises is logged, and the next is run."""
    one, other = await w.pair()
    owner = Recorder(other)
    await w.turn()
    owner.clear()

    def fail() -> None:
        raise UpcallError

    logged: list[Any] = []

    @implementer(ILogObserver)
    def observe(event: Any) -> None:
        if "log_failure" in event and event["log_failure"].check(UpcallError):
            logged.append(event)

    owner.hook = fail
    globalLogPublisher.addObserver(observe)
    try:
        for count in (1, 2):
            w.send(one, b"x")
            await w.arrived(other, count)
            await w.until(partial(owner.has, count), "an upcall")
        await w.turn()
    finally:
        globalLogPublisher.removeObserver(observe)
        if w.flush is not None:
            w.flush(UpcallError)
    equal(2, len(logged), "how often it was logged")


@check(74)
async def check_74(w: SocketWorld) -> None:
    """An upcall may receive, send, remove itself and close: it is never run within itself."""
    one, other = await w.pair()
    owner = Recorder(other)
    await w.turn()
    owner.clear()
    depth: list[int] = [0, 0]

    def work() -> None:
        depth[0] += 1
        depth[1] = max(depth)
        got = w.receive(other)
        if got == b"last":
            other.setupcall(None)
            other.close()
        else:
            w.send(other, got)
            other.setupcall(None)
            other.setupcalls(owner._read, 1, owner._write, 2)
            fails(errno.EWOULDBLOCK, w.receive, other)
        depth[0] -= 1

    owner.hook = work
    w.send(one, b"first")
    equal(b"first", await w.exactly(one, 5), "what comes back")
    w.send(one, b"last")
    await w.until(lambda: errno_of(other.isconnected) == errno.EBADF, "it is closed")
    equal([0, 1], depth, "how deep upcalls were")


@check(75)
async def check_75(w: SocketWorld) -> None:
    """setupcalls: each side has its function and cookie, waitf is 1; None is nothing."""
    if w.connects:
        peer = w.listener()
    else:
        peer = w.socket()
        peer.bind(w.address())
    so = w.socket()
    so.bind(w.address())
    calls: list[Any] = []

    def r(so: Any, cookie: Any, waitf: int) -> None:
        calls.append(("r", so, cookie, waitf))

    def write(so: Any, cookie: Any, waitf: int) -> None:
        calls.append(("w", so, cookie, waitf))

    so.setupcalls(r, 1, write, 2)
    await w.connect(so, peer.getsockname())
    await w.until(lambda: len(calls) > 1, "two upcalls")
    equal([("r", so, 1, 1), ("w", so, 2, 1)], calls, "the upcalls")
    if w.connects:
        peer = await w.accept(peer)
    else:
        peer.connect(so.getsockname(), c.MSG_DONTWAIT)
    so.setupcalls(None, 1, write, 2)
    w.send(peer, b"x")
    await w.arrived(so, 1)
    await w.turn()
    equal(2, len(calls), "how many upcalls there were")


@check(76)
async def check_76(w: SocketWorld) -> None:
    """setupcall with data there already: one read upcall; none in strict XNU."""
    one, other = await w.pair()
    w.send(one, b"x")
    await w.arrived(other, 1)
    owner = Recorder(other)
    equal([], owner.told, "what is told within the call")
    await w.turn()
    equal(["read"], owner.told, "what is told")
    if w.strict is None:
        return
    provider, w.provider = w.provider, w.strict
    try:
        one, other = await w.pair()
    finally:
        w.provider = provider
    one.ioctl(c.FIONBIO, 1)  # in strict XNU send does not look at MSG_DONTWAIT
    w.send(one, b"x")
    await w.arrived(other, 1)
    await w.turn()
    owner = Recorder(other)
    await w.turn()
    equal([], owner.told, "what is told in strict XNU")


@check(77)
async def check_77(w: SocketWorld) -> None:
    """catchevents tells of what its mask names, and of nothing without mask or callback."""
    mask = c.SO_FILT_HINT_DISCONNECTED
    one, other = await w.pair()
    owners = [Recorder(one, mask), Recorder(other, 0)]
    await _ends(w, one, other)
    equal([mask], owners[0].events, "events with a mask of 0x2000")
    equal([], owners[1].events, "events with no mask")
    one, other = await w.pair()
    owner = Recorder(one)
    one.catchevents(None, None, 0xFFFFFFFF)
    await _ends(w, one, other)
    equal([], owner.events, "events without a callback")


async def _ends(w: SocketWorld, one: Any, other: Any) -> None:
    one.shutdown(c.SHUT_WR)
    equal(b"", await w.next(other), "receive")
    other.shutdown(c.SHUT_WR)
    await w.gone(one)
    await w.gone(other)


async def check_77_dgram(w: SocketWorld) -> None:
    """The same, of the events that datagram sockets have: 0x4 and 0x8."""
    one, _other = await w.pair()
    await w.turn()
    owner = Recorder(one, c.SO_FILT_HINT_CANTRCVMORE)
    one.shutdown(c.SHUT_RDWR)
    await w.turn()
    equal([c.SO_FILT_HINT_CANTRCVMORE], owner.events, "events with a mask of 0x4")
    _one, other = await w.pair()
    await w.turn()
    owner = Recorder(other)
    other.catchevents(None, None, 0xFFFFFFFF)
    other.shutdown(c.SHUT_RDWR)
    await w.turn()
    equal([], owner.events, "events without a callback")


@check(78)
async def check_78(w: SocketWorld) -> None:
    """A reset: 0x2, 0x6000, then the upcalls, write before read; no 0x4 and no 0x8."""
    one, other = await w.pair()
    owner = Recorder(other)
    await w.turn()
    owner.clear()
    w.reset(one, other)
    await w.gone(other)
    equal([CONNRESET, DISCONNECTED, "write", "read"], owner.told, "what is told")


@check(79)
async def check_79(w: SocketWorld) -> None:
    """An accepted socket has no CONNECTED event: its connection is the past."""
    listener = w.listener()
    client = w.socket()
    there = Recorder(client)
    await w.connect(client, listener.getsockname())
    owner = Recorder(await w.accept(listener))
    await w.until(lambda: there.events, "an event of the client")
    await w.turn()
    equal([CONNECTED], there.events, "events of the client")
    equal([], owner.events, "events of the accepted socket")
