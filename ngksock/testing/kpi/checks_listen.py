"""Checks 12 to 21: listen and accept."""

from __future__ import annotations

import errno
from typing import Any

from ngksock.kpi import constants as c
from ngksock.testing.kpi.claims import equal, errno_of, fails, holds
from ngksock.testing.kpi.recorder import Recorder
from ngksock.testing.kpi.registry import check
from ngksock.testing.kpi.world import SocketWorld


@check(12)
async def check_12(w: SocketWorld) -> None:
    """listen: EOPNOTSUPP of datagrams, EINVAL when connected; unbound, it gets a port."""
    if not w.connects:
        fails(errno.EOPNOTSUPP, w.socket().listen, 5)
        return
    client, _accepted = await w.pair()
    fails(errno.EINVAL, client.listen, 5)
    so = w.socket()
    so.listen(5)
    holds(so.getsockname()[1], "the port is not 0")


async def check_12_local(w: SocketWorld) -> None:
    """A local socket without a path cannot listen: EINVAL, as a connected one."""
    client, _accepted = await w.pair()
    fails(errno.EINVAL, client.listen, 5)
    fails(errno.EINVAL, w.socket().listen, 5)


@check(13)
async def check_13(w: SocketWorld) -> None:
    """accept: EINVAL if it does not listen, whatever the flags; EWOULDBLOCK; flags ENOTSUP."""
    so = w.socket()
    fails(errno.EINVAL, so.accept, c.MSG_DONTWAIT)
    fails(errno.EINVAL, so.accept, c.MSG_DONTWAIT | c.MSG_PEEK)
    await w.fails(errno.EINVAL, so.accept(), "accept")
    listener = w.listener()
    fails(errno.EWOULDBLOCK, listener.accept, c.MSG_DONTWAIT)
    await w.fails(errno.ENOTSUP, listener.accept(c.MSG_PEEK), "accept(MSG_PEEK)")
    listener.ioctl(c.FIONBIO, 1)
    fails(errno.EWOULDBLOCK, listener.accept)
    fails(errno.ENOTSUP, listener.accept, c.MSG_PEEK)


@check(14)
async def check_14(w: SocketWorld) -> None:
    """With a backlog of -1 three connections wait, and are accepted in their order."""
    listener = w.listener(-1)
    clients = [await w.connect(w.socket(), listener.getsockname()) for _ in range(3)]
    for number, client in enumerate(clients):
        w.send(client, bytes([number]))
    got = [await w.exactly(await w.accept(listener), 1) for _ in range(3)]
    equal([b"\0", b"\1", b"\2"], got, "who was accepted")


@check(15)
async def check_15(w: SocketWorld) -> None:
    """accept waits for a connection, and gives the socket and the client's address."""
    listener = w.listener()
    waits = listener.accept()
    await w.turn()
    equal(False, waits.called, "accept has fired")
    client = await w.connect(w.socket(), listener.getsockname())
    accepted, name = await w.result(waits, "accept")
    w.mine(accepted)
    equal(client.getsockname(), name, "the client's address")
    await w.exchange(client, accepted)


@check(16)
async def check_16(w: SocketWorld) -> None:
    """A connection to a listener with SS_NBIO has it, too."""
    listener = w.listener()
    listener.ioctl(c.FIONBIO, 1)
    await w.connect(w.socket(), listener.getsockname())
    equal(True, (await w.accept(listener)).isnonblocking(), "isnonblocking")


@check(17)
async def check_17(w: SocketWorld) -> None:
    """A socket accepted without a callback has none; its data is not the listener's."""
    listener = w.listener()
    owner = Recorder(listener)
    client = await w.connect(w.socket(), listener.getsockname())
    accepted = await w.accept(listener)
    await w.turn()
    owner.clear()
    w.send(client, b"x")
    await w.arrived(accepted, 1)
    await w.turn()
    equal([], owner.told, "what the listener is told")


@check(18)
async def check_18(w: SocketWorld) -> None:
    """With MSG_USEUPCALL the accepted socket has the listener's upcall; ENOTSUP in strict XNU."""
    listener = w.listener()
    owner = Recorder(listener)
    client = await w.connect(w.socket(), listener.getsockname())
    await w.until(lambda: owner.count("read"), "an upcall of the listener")
    accepted = w.mine(listener.accept(c.MSG_DONTWAIT | c.MSG_USEUPCALL)[0])
    owner.clear()
    w.send(client, b"x")
    await w.until(lambda: owner.calls, "an upcall of the accepted socket")
    equal((accepted, 1, c.MBUF_DONTWAIT), owner.calls[0], "the upcall")
    flags = c.MSG_DONTWAIT | c.MSG_USEUPCALL
    fails(errno.EINVAL, listener.accept, flags, lambda so, cookie, waitf: None)
    if w.strict is not None:
        fails(errno.ENOTSUP, w.listener(strict=True).accept, flags)


@check(19)
async def check_19(w: SocketWorld) -> None:
    """A connection reset before accept is accepted: ECONNRESET once, then end of file."""
    accepted = await _ended_before(w)
    fails(errno.ECONNRESET, w.receive, accepted)
    equal(b"", w.receive(accepted), "receive")
    fails(errno.ENOTCONN, accepted.getpeername)


async def _ended_before(w: SocketWorld) -> Any:
    listener = w.listener()
    owner = Recorder(listener)
    client = await w.connect(w.socket(), listener.getsockname())
    await w.until(lambda: owner.count("read"), "an upcall of the listener")
    w.reset(client)
    await w.turn()
    accepted = w.mine(listener.accept(c.MSG_DONTWAIT)[0])
    await w.until(lambda: errno_of(w.receive, accepted, 1, c.MSG_PEEK) != errno.EWOULDBLOCK)
    return accepted


async def check_19_local(w: SocketWorld) -> None:
    """A local socket closed before accept is no reset, but an end of file, as often as asked."""
    accepted = await _ended_before(w)
    equal(b"", w.receive(accepted), "receive")
    equal(b"", w.receive(accepted), "receive")


@check(20)
async def check_20(w: SocketWorld) -> None:
    """When a listener closes, what waits is reset: ECONNRESET; what was accepted lives on."""
    waiting, client, accepted = await _closed_listener(w)
    await w.gone(waiting)
    fails(errno.ECONNRESET, w.receive, waiting)
    await w.exchange(client, accepted)
    await w.exchange(accepted, client)


async def _closed_listener(w: SocketWorld) -> tuple[Any, Any, Any]:
    listener = w.listener()
    client = await w.connect(w.socket(), listener.getsockname())
    accepted = await w.accept(listener)
    owner = Recorder(listener)
    waiting = await w.connect(w.socket(), listener.getsockname())
    await w.until(lambda: owner.count("read"), "an upcall of the listener")
    listener.close()
    return waiting, client, accepted


async def check_20_local(w: SocketWorld) -> None:
    """A local connection that waited sees no reset, but the end of file; the rest holds."""
    waiting, client, accepted = await _closed_listener(w)
    equal(b"", await w.next(waiting), "receive")
    await w.exchange(client, accepted)
    await w.exchange(accepted, client)


@check(21)
async def check_21(w: SocketWorld) -> None:
    """Of connections in one turn the listener is told once at least; one by one, once each."""
    listener = w.listener()
    owner = Recorder(listener)
    clients = [w.socket(), w.socket()]
    for client in clients:
        w.begin(client, listener.getsockname())
    await w.until(lambda: owner.count("read"), "an upcall of the listener")
    for _ in clients:
        await w.accept(listener)
    for _ in range(2):
        await w.turn()
        owner.clear()
        await w.connect(w.socket(), listener.getsockname())
        await w.until(lambda: owner.count("read"), "an upcall of the listener")
        await w.turn()
        equal(["read"], owner.told, "what the listener is told of one connection")
        await w.accept(listener)
