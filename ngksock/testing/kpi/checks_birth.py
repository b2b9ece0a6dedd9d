"""Checks 1 to 11: creation, names and options."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

from ngksock.kpi import constants as c
from ngksock.testing.kpi.claims import equal, fails, holds
from ngksock.testing.kpi.registry import check
from ngksock.testing.kpi.world import SocketWorld

KEEPALIVE = (c.SOL_SOCKET, c.SO_KEEPALIVE, 1)


@check(1)
async def check_1(w: SocketWorld) -> None:
    """A socket of domain 99 cannot be made: EAFNOSUPPORT."""
    fails(errno.EAFNOSUPPORT, w.provider.socket, 99, w.type, w.protocol)


@check(2)
async def check_2(w: SocketWorld) -> None:
    """The protocol of another type is EPROTOTYPE, the type 9 EPROTONOSUPPORT."""
    wrong = socket.SOCK_DGRAM if w.type == socket.SOCK_STREAM else socket.SOCK_STREAM
    fails(errno.EPROTOTYPE, w.provider.socket, w.domain, int(wrong), w.resolved)
    fails(errno.EPROTONOSUPPORT, w.provider.socket, w.domain, 9, 0)


async def check_2_local(w: SocketWorld) -> None:
    """Local sockets have no protocols: any number is EPROTONOSUPPORT, as the type 9 is."""
    fails(errno.EPROTONOSUPPORT, w.provider.socket, w.domain, w.type, int(socket.IPPROTO_UDP))
    fails(errno.EPROTONOSUPPORT, w.provider.socket, w.domain, 9, 0)


async def check_2_raw(w: SocketWorld) -> None:
    """A raw socket takes every protocol, TCP and UDP as well; the type 9 is EPROTONOSUPPORT."""
    for protocol in (int(socket.IPPROTO_TCP), int(socket.IPPROTO_UDP)):
        w.mine(w.provider.socket(w.domain, w.type, protocol))
    fails(errno.EPROTONOSUPPORT, w.provider.socket, w.domain, 9, 0)


@check(3)
async def check_3(w: SocketWorld) -> None:
    """A socket made with protocol 0 tells by gettype which one it has: TCP is 6."""
    so = w.mine(w.provider.socket(w.domain, w.type, 0))
    equal((w.domain, w.type, w.resolved), so.gettype(), "gettype")


async def check_3_named(w: SocketWorld) -> None:
    """The protocol 0 means another one, or none; one asked for by number is told."""
    equal((w.domain, w.type, w.protocol), w.socket().gettype(), "gettype")


@check(4)
async def check_4(w: SocketWorld) -> None:
    """A fresh socket is not connected, blocking, and a kernel's; an adopted one is not."""
    _fresh(w)
    sock = socket.socket(w.domain, w.type, w.protocol)
    so = w.mine(w.provider.adopt(sock))
    equal(-1, sock.fileno(), "the descriptor the adopted socket has left")
    equal(False, so.iskernel(), "iskernel of an adopted socket")


async def check_4_made(w: SocketWorld) -> None:
    """A fresh socket is so; there is nothing of this kind to adopt."""
    _fresh(w)


def _fresh(w: SocketWorld) -> None:
    so = w.socket()
    equal((False, False, True), (so.isconnected(), so.isnonblocking(), so.iskernel()), "fresh")


@check(5)
async def check_5(w: SocketWorld) -> None:
    """FIONBIO sets and clears SS_NBIO; the system's descriptor never blocks."""
    so = w.socket()
    for on in (0, 1, 0):
        so.ioctl(c.FIONBIO, on)
        equal(bool(on), so.isnonblocking(), "isnonblocking")
        equal(False, os.get_blocking(w.descriptor(so)), "the descriptor blocks")


async def check_5_bare(w: SocketWorld) -> None:
    """FIONBIO sets and clears SS_NBIO; there is no descriptor."""
    so = w.socket()
    for on in (0, 1, 0):
        so.ioctl(c.FIONBIO, on)
        equal(bool(on), so.isnonblocking(), "isnonblocking")


@check(6)
async def check_6(w: SocketWorld) -> None:
    """A fresh socket is called by the wildcard; getpeername is ENOTCONN, getaddr is not."""
    so = w.socket()
    equal(w.wildcard, so.getsockname(), "getsockname")
    fails(errno.ENOTCONN, so.getpeername)
    equal(w.wildcard, so.getaddr(), "getaddr")
    equal(w.nobody, so.getaddr(True), "getaddr(peer)")
    so.freeaddr(so.getaddr(True))
    so.freeaddr(None)


@check(7)
async def check_7(w: SocketWorld) -> None:
    """bind: again EINVAL, taken EADDRINUSE, foreign EADDRNOTAVAIL; other family; a name EINVAL."""
    so = w.socket()
    so.bind(w.address())
    fails(errno.EINVAL, so.bind, w.address())
    fails(errno.EADDRINUSE, w.socket().bind, so.getsockname())
    foreign, other = ("192.0.2.1", 0), ("::1", 0)
    if w.domain == socket.AF_INET6:
        foreign, other = ("2001:db8::1", 0), ("127.0.0.1", 0)
    fails(errno.EADDRNOTAVAIL, w.socket().bind, foreign)
    _wrong_names(w, other)


def _wrong_names(w: SocketWorld, other: object) -> None:
    asked: list[object] = []
    lookup: Any = socket.getaddrinfo

    def note(*args: Any, **words: Any) -> Any:
        asked.append(args)
        return lookup(*args, **words)

    socket.getaddrinfo = note
    try:
        fails(errno.EAFNOSUPPORT, w.socket().bind, other)
        if w.domain != socket.AF_UNIX:
            fails(errno.EINVAL, w.socket().bind, ("localhost", 0))
    finally:
        socket.getaddrinfo = lookup
    equal([], asked, "questions to the resolver")


async def check_7_local(w: SocketWorld) -> None:
    """bind: again EINVAL, taken path EADDRINUSE, no such folder ENOENT, no path EAFNOSUPPORT."""
    so = w.socket()
    so.bind(w.address())
    if w.connects:
        so.listen(1)
    fails(errno.EINVAL, so.bind, w.address())
    fails(errno.EADDRINUSE, w.socket().bind, so.getsockname())
    fails(errno.ENOENT, w.socket().bind, w.address() + "/none/such")
    _wrong_names(w, ("127.0.0.1", 0))


async def check_7_raw(w: SocketWorld) -> None:
    """Raw addresses have no ports: they may be shared and bound again; the rest holds."""
    so = w.socket()
    so.bind(w.address())
    so.bind(w.address())
    w.socket().bind(so.getsockname())
    fails(errno.EADDRNOTAVAIL, so.bind, ("192.0.2.1", 0))
    _wrong_names(w, ("::1", 0))


@check(8)
async def check_8(w: SocketWorld) -> None:
    """SO_RCVBUF is told as it was set; 0 is EINVAL."""
    so = w.socket()
    so.setsockopt(c.SOL_SOCKET, c.SO_RCVBUF, 10000)
    equal(10000, so.getsockopt(c.SOL_SOCKET, c.SO_RCVBUF), "SO_RCVBUF")
    fails(errno.EINVAL, so.setsockopt, c.SOL_SOCKET, c.SO_RCVBUF, 0)
    equal(10000, so.getsockopt(c.SOL_SOCKET, c.SO_RCVBUF), "SO_RCVBUF")


@check(9)
async def check_9(w: SocketWorld) -> None:
    """A timeout of a million microseconds, or below 0 s, is EDOM."""
    so = w.socket()
    for option in (c.SO_RCVTIMEO, c.SO_SNDTIMEO):
        fails(errno.EDOM, so.setsockopt, c.SOL_SOCKET, option, (1, 1_000_000))
        fails(errno.EDOM, so.setsockopt, c.SOL_SOCKET, option, (-1, 0))
        so.setsockopt(c.SOL_SOCKET, option, (1, 999_999))


@check(10)
async def check_10(w: SocketWorld) -> None:
    """After shutdown of both directions setsockopt is EINVAL, unless SETOPTSHUT was set before."""
    one, other = await w.pair()
    other.setsockopt(c.SOL_SOCKET, c.SO_NP_EXTENSIONS, c.SONPX_SETOPTSHUT)
    one.shutdown(c.SHUT_RDWR)
    fails(errno.EINVAL, one.setsockopt, *KEEPALIVE)
    if not w.connects:
        other.shutdown(c.SHUT_RDWR)
    else:
        # The end of file shuts the other direction.
        equal(b"", await w.next(other), "receive")
        other.shutdown(c.SHUT_WR)
    other.setsockopt(*KEEPALIVE)
    holds(other.getsockopt(c.SOL_SOCKET, c.SO_KEEPALIVE), "SO_KEEPALIVE is set")


@check(11)
async def check_11(w: SocketWorld) -> None:
    """An unknown option is ENOPROTOOPT; one byte for an int is EINVAL."""
    so = w.socket()
    fails(errno.ENOPROTOOPT, so.getsockopt, c.SOL_SOCKET, 0x7777)
    fails(errno.ENOPROTOOPT, so.getsockopt, 0x7777, 1)
    fails(errno.EINVAL, so.setsockopt, c.SOL_SOCKET, c.SO_KEEPALIVE, b"\x01")
    fails(errno.EINVAL, so.setsockopt, c.SOL_SOCKET, c.SO_RCVLOWAT, b"\x01")
