"""Connections are light: nothing for the collector, no question to the host that nobody asked."""

from __future__ import annotations

import errno
import gc
import os
import socket
import weakref
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, Logger, formatEvent
from twisted.python.failure import Failure
from zope.interface import implementer

from ngksock.kpi import Socket, SocketKPI, ways
from ngksock.kpi import constants as c
from ngksock.kpi.constants import MSG_DONTWAIT
from ngksock.kpi.driver import Driver
from tests.kpi.sockets import (
    ANY,
    DGRAM,
    INET,
    SEQPACKET,
    STREAM,
    UNIX,
    KPITestCase,
    Owner,
    driver,
    packets,
)

SOL = socket.SOL_SOCKET


class GarbageTests(KPITestCase):
    async def test_closed(self) -> None:
        """A closed connection is gone at once: its socket, its driver and its buffers."""
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        listener = self.listener()
        client = self.socket()
        self.connect(client, listener.so.getsockname())
        await listener.until(lambda: listener.so.so_comp)
        server, _ = self.accept(listener.so)
        client.catchevents(print, self)
        gone = [weakref.ref(thing) for so in (client, server) for thing in (so, driver(so))]
        client.close()
        server.close()
        del client, server
        await self.turn()
        self.assertEqual([None] * 4, [ref() for ref in gone])

    def test_late_readiness(self) -> None:
        """A reactor may still tell a driver of what it saw before the socket was closed."""
        for domain, type in ((INET, STREAM), (INET, DGRAM), (UNIX, SEQPACKET), (UNIX, DGRAM)):
            for listens in (False, True):
                so = self.socket(domain, type)
                if listens and type != DGRAM:
                    so.bind(self.fresh(domain))
                    so.listen(5)
                below = driver(so)
                so.close()
                below.doRead()
                below.doWrite()
                below.connectionLost(Failure(ConnectionDone()))
                self.assertFalse(below.reading or below.writing)

    async def test_cookies(self) -> None:
        """A socket that was closed keeps nothing of its owner's."""
        client, _server = await self.pair()
        so = client.so
        so.close()
        kept = so.so_rcv.upcall, so.so_rcv.upcallarg, so.so_snd.upcall, so.so_snd.upcallarg
        self.assertEqual([None] * 6, [*kept, so.event, so.eventarg])

    async def turn(self) -> None:
        """Let the reactor turn once, so that nothing is on its stack."""
        self.kpi.clock.callLater(0, self.kpi.upcalls.drain)
        await self.kpi.drain()


class HostTests(KPITestCase):
    def test_no_name(self) -> None:
        """To connect does not ask the host for the address of a socket that was never bound."""
        asked: list[Driver] = []

        def sockaddr(self: Driver) -> tuple[str, int]:
            asked.append(self)
            host, port = self.sock.getsockname()
            return host, port

        listener = self.listener()
        to = listener.so.getsockname()
        self.patch(Driver, "sockaddr", sockaddr)
        plain, bound = self.socket(), self.socket()
        bound.bind(ANY)
        self.connect(plain, to)
        self.connect(bound, to)
        self.assertEqual([driver(bound)], asked)

    def test_itself(self) -> None:
        """A socket still cannot connect to itself: bound, adopted, or by the port 0 it has."""
        so = self.socket()
        so.bind(ANY)
        adopted = socket.socket()
        adopted.bind(ANY)
        theirs = self.kpi.adopt(adopted)
        theirs.ioctl(c.FIONBIO, 1)
        for each, to in (
            (so, so.getsockname()),
            (theirs, theirs.getsockname()),
            (self.socket(), ("0.0.0.0", 0)),
        ):
            self.assertEqual(errno.EINVAL, self.errno_of(each.connect, to))

    async def test_keepalive(self) -> None:
        """A half-closed stream gets SO_KEEPALIVE with the first look, if it is still there."""
        clock = Clock()
        kpi = SocketKPI(reactor, clock)
        self.addCleanup(kpi.closeall)
        listener = self.listener()
        so = kpi.socket(INET, socket.SOCK_STREAM)
        self.connect(so, listener.so.getsockname())
        client = Owner(so)
        await client.until(so.isconnected)
        await listener.until(lambda: listener.so.so_comp)
        server = Owner(self.accept(listener.so)[0])
        server.so.shutdown(c.SHUT_WR)
        await client.until(lambda: client.eof)
        self.assertEqual(0, driver(so).sock.getsockopt(SOL, socket.SO_KEEPALIVE))
        clock.advance(10)
        self.assertEqual(1, driver(so).sock.getsockopt(SOL, socket.SO_KEEPALIVE))

    async def test_never_waits(self) -> None:
        """Every descriptor is non-blocking, however it came to be."""
        client, server = await self.pair()
        adopted = self.kpi.adopt(socket.socket())
        for so in (client.so, server.so, adopted, self.socket(type=socket.SOCK_DGRAM)):
            self.assertFalse(socket.socket.getblocking(driver(so).sock))
            self.assertFalse(_blocks(so))


class AcceptTests(KPITestCase):
    async def test_short_way(self) -> None:
        """Accepting the short way and with all that may be said is the same."""
        listener = self.listener()
        to = listener.so.getsockname()
        told: list[Socket] = []
        found = []
        for callback in (None, lambda so, cookie, waitf: told.append(so)):
            client = self.socket()
            self.connect(client, to)
            await listener.until(lambda: listener.so.so_comp)
            accepted = listener.so.accept(MSG_DONTWAIT, callback, self if callback else None)
            assert isinstance(accepted, tuple)
            new, name = accepted
            self.assertIs(callback, new.so_rcv.upcall)
            client.sendbatch(packets(b"x"))
            own = Owner(new)
            await own.until(lambda own=own: own.received)
            found.append((own.data, name == client.getsockname(), new.state, new.peer))
        self.assertEqual([(b"x", True, found[1][2], None)] * 2, found)
        self.assertEqual(errno.EWOULDBLOCK, self.errno_of(listener.so.accept, MSG_DONTWAIT))
        listener.so.close()
        self.assertEqual(errno.EBADF, self.errno_of(listener.so.accept, MSG_DONTWAIT))

    async def test_in_order(self) -> None:
        """The short way does not overtake a call that waits."""
        so = self.listener().so
        so.ioctl(c.FIONBIO, 0)
        first = so.accept()
        client = self.socket()
        self.connect(client, so.getsockname())
        self.assertTrue(driver(so).accept())
        self.assertEqual(errno.EWOULDBLOCK, self.errno_of(so.accept, MSG_DONTWAIT))
        assert isinstance(first, Deferred)
        _, name = await first
        self.assertEqual(client.getsockname(), name)

    async def test_no_callback(self) -> None:
        """What cannot be called is refused before there is a socket, or a connection to lose."""
        listener = self.listener()
        client = self.socket()
        self.connect(client, listener.so.getsockname())
        await listener.until(lambda: listener.so.so_comp)
        before = set(self.kpi._sockets)
        nonsense: Any = "nonsense"
        self.assertEqual(errno.EINVAL, self.errno_of(listener.so.accept, 0, nonsense))
        self.assertEqual(errno.EINVAL, self.errno_of(self.kpi.socket, INET, STREAM, 0, nonsense))
        self.assertEqual(before, self.kpi._sockets)
        self.accept(listener.so)


class WayTests(KPITestCase):
    def test_slip(self) -> None:
        """A word in the environment that says nothing is logged, and the best way is taken."""
        logged: list[str] = []

        @implementer(ILogObserver)
        def observe(event: LogEvent) -> None:
            logged.append(formatEvent(event))

        self.patch(ways, "_log", Logger(observer=observe))
        names = ("NGKSOCK_MMSG", "NGKSOCK_RELAY", "NGKSOCK_TLS")
        self.patch(os, "environ", os.environ | dict.fromkeys(names, "of"))
        kpi = SocketKPI(reactor)
        relays = kpi.relays
        assert relays is not None
        self.assertEqual(("segments", True), (kpi.mmsg, relays.on))
        self.assertEqual(
            [
                "NGKSOCK_MMSG is one of off, mmsg, segments, not 'of'; it is ignored",
                "NGKSOCK_RELAY is one of off, fuse, splice, not 'of'; it is ignored",
                "NGKSOCK_TLS is one of off, direct, not 'of'; it is ignored",
            ],
            sorted(logged),
        )


def _blocks(so: Socket) -> bool:
    """Ask the host whether the descriptor of *so* waits."""
    return os.get_blocking(driver(so).fileno())
