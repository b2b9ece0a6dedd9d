"""Listening: connections wait in the backlog until somebody takes them."""

from __future__ import annotations

import errno
import os
import resource
import socket
import struct

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogPublisher
from zope.interface import implementer

from ngksock.kpi import SocketKPI
from ngksock.kpi import constants as c
from tests.kpi.sockets import DGRAM, INET, UNIX, KPITestCase, Owner, driver, packets

SOL = int(socket.SOL_SOCKET)


class ListenTests(KPITestCase):
    def test_rules(self) -> None:
        """Only an unconnected, connection-oriented socket listens."""
        self.assertEqual(errno.EOPNOTSUPP, self.errno_of(self.socket(INET, DGRAM).listen, 1))
        self.assertEqual(errno.EINVAL, self.errno_of(self.socket(UNIX).listen, 1))
        fresh = self.socket()
        self.assertEqual(errno.EINVAL, self.errno_of(fresh.accept))
        fresh.listen(1)
        self.assertGreater(fresh.getsockname()[1], 0)
        self.assertEqual(1, fresh.getsockopt(SOL, socket.SO_ACCEPTCONN))
        self.assertEqual(errno.EWOULDBLOCK, self.errno_of(fresh.accept))
        self.assertEqual(errno.ENOTSUP, self.errno_of(fresh.accept, socket.MSG_PEEK))
        self.assertEqual(errno.ENOTCONN, self.errno_of(fresh.shutdown, c.SHUT_RD))

    async def test_connected(self) -> None:
        """A connected socket does not listen."""
        client, _server = await self.pair()
        self.assertEqual(errno.EINVAL, self.errno_of(client.so.listen, 1))

    async def test_backlog_waits(self) -> None:
        """Nobody takes them: as many as the backlog are announced, all come in order."""
        listener = self.listener()
        listener.so.listen(2)
        clients = []
        for count in (1, 2, 3):
            client = Owner(self.socket())
            self.connect(client.so, listener.so.getsockname())
            await client.until(lambda so: so.isconnected(), client.so)
            await listener.until(lambda n: listener.told == ["read"] * n, min(count, 2))
            clients.append(client)
        self.assertFalse(driver(listener.so).reading)
        self.assertEqual(2, len(listener.so.so_comp or ()))
        self.assertTrue(listener.so.readable)
        names = [self.accept(listener.so)[1] for _ in clients]
        self.assertEqual([client.so.getsockname() for client in clients], names)
        self.assertEqual(errno.EWOULDBLOCK, self.errno_of(listener.so.accept))

    async def test_one_upcall_each(self) -> None:
        """Connections taken one by one are announced one by one."""
        listener = self.listener()
        for count in (1, 2, 3):
            self.connect(self.socket(), listener.so.getsockname())
            await listener.until(lambda n: listener.told == ["read"] * n, count)
            self.accept(listener.so)

    async def test_inherited(self) -> None:
        """An accepted socket has its listener's options and no callback."""
        so = self.socket()
        so.setsockopt(SOL, socket.SO_KEEPALIVE, 1)
        so.setsockopt(SOL, socket.SO_LINGER, struct.pack("ii", 1, 7))
        so.setsockopt(SOL, socket.SO_SNDBUF, 100_000)
        so.setsockopt(SOL, socket.SO_RCVTIMEO, struct.pack("qq", 5, 0))
        so.bind(("127.0.0.1", 0))
        so.listen(3)
        listener = Owner(so)
        self.connect(self.socket(), so.getsockname())
        await listener.until(lambda: so.so_comp)
        accepted, _ = self.accept(so)
        self.assertEqual(1, accepted.getsockopt(SOL, socket.SO_KEEPALIVE))
        self.assertEqual(struct.pack("ii", 1, 7), accepted.getsockopt(SOL, socket.SO_LINGER))
        self.assertEqual(100_000, accepted.getsockopt(SOL, socket.SO_SNDBUF))
        self.assertEqual(100_000, accepted.sndspace())
        self.assertEqual(bytes(16), accepted.getsockopt(SOL, socket.SO_RCVTIMEO))
        self.assertTrue(accepted.isnonblocking())
        self.assertIsNone(accepted.so_rcv.upcall)
        accepted.setsockopt(SOL, socket.SO_LINGER, bytes(8))

    async def test_callback(self) -> None:
        """The callback given to accept is told of data that came before."""
        listener = self.listener()
        client = Owner(self.socket())
        self.connect(client.so, listener.so.getsockname())
        client.so.sendbatch(packets(b"early"))
        await listener.until(lambda: listener.so.so_comp)
        told: Deferred[object] = Deferred()
        done = listener.so.accept(0, lambda so, cookie, waitf: told.callback(cookie), "c")
        assert isinstance(done, tuple)
        accepted = done[0]
        self.assertEqual("c", await told)
        self.assertEqual([b"early"], [bytes(p) for p in accepted.receivebatch(9)])

    async def test_gone_already(self) -> None:
        """A connection reset before accept is accepted; receiving tells."""
        listener = self.listener()
        client = Owner(self.socket())
        self.connect(client.so, listener.so.getsockname())
        await client.until(lambda: client.so.isconnected())
        await listener.until(lambda: listener.so.so_comp)
        client.so.abort()
        server = Owner(self.accept(listener.so)[0])
        await server.until(lambda: server.error)
        self.assertEqual(errno.ECONNRESET, server.error)
        server.drain()
        self.assertTrue(server.eof)

    async def test_close_resets(self) -> None:
        """Closing a listener resets who waits and leaves alone who was accepted."""
        listener = self.listener()
        to = listener.so.getsockname()
        first = Owner(self.socket())
        self.connect(first.so, to)
        await listener.until(lambda: listener.so.so_comp)
        server = Owner(self.accept(listener.so)[0])
        waiting = [Owner(self.socket()) for _ in range(2)]
        for client in waiting:
            self.connect(client.so, to)
            await client.until(lambda so: so.isconnected(), client.so)
        await listener.until(lambda: listener.so.so_comp)
        listener.so.close()
        for client in waiting:
            await client.until(lambda client: client.error, client)
            self.assertEqual(errno.ECONNRESET, client.error)
        server.so.sendbatch(packets(b"well"))
        await first.until(lambda: first.data == b"well")


class ShortageTests(KPITestCase):
    async def test_no_descriptors(self) -> None:
        """Out of descriptors a listener says so once, waits a second, then goes on."""
        clock = Clock()
        kpi = SocketKPI(reactor, clock)
        self.addCleanup(kpi.closeall)
        told: list[str] = []

        @implementer(ILogObserver)
        def observe(event: LogEvent) -> None:
            if event.get("log_namespace") == "ngksock.kpi":
                level = event["log_level"]
                told.append("warn" if level is LogLevel.warn else "info")

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        so = kpi.socket(INET, int(socket.SOCK_STREAM))
        so.ioctl(c.FIONBIO, 1)
        so.bind(("127.0.0.1", 0))
        so.listen(5)
        listener = Owner(so)
        client = Owner(self.socket())
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        spare = os.open("/dev/null", os.O_RDONLY)
        os.close(spare)
        self.connect(client.so, so.getsockname())
        resource.setrlimit(resource.RLIMIT_NOFILE, (spare, limits[1]))
        try:
            for _ in range(3):  # no turn passes: the reactor would run short too
                self.assertEqual(errno.EWOULDBLOCK, self.errno_of(so.accept))
                driver(so).doRead()
            self.assertEqual(["warn"], told)
            self.assertFalse(driver(so).reading)
            self.assertEqual([1.0], [call.getTime() for call in clock.getDelayedCalls()])
            clock.advance(1)
            driver(so).doRead()
            self.assertEqual(["warn"], told)
            self.assertEqual([2.0], [call.getTime() for call in clock.getDelayedCalls()])
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        clock.advance(1)
        await listener.until(lambda: so.so_comp)
        self.assertEqual(["warn", "info"], told)
        self.accept(so)
        self.assertEqual([], clock.getDelayedCalls())

    def test_closed_meanwhile(self) -> None:
        """A listener closed while it waits to retry leaves no delayed call."""
        clock = Clock()
        kpi = SocketKPI(reactor, clock)
        so = kpi.socket(INET, int(socket.SOCK_STREAM))
        so.listen(5)
        driver(so)._ran_short(errno.EMFILE)
        self.assertEqual(1, len(clock.getDelayedCalls()))
        so.close()
        self.assertEqual([], clock.getDelayedCalls())

    async def test_all_gone(self) -> None:
        """The shortage ends also when the connections that waited have gone."""
        so = self.listener().so
        driver(so)._ran_short(errno.EMFILE)
        self.assertTrue(driver(so).short)
        self.assertEqual(errno.EWOULDBLOCK, self.errno_of(so.accept))
        self.assertFalse(driver(so).short)
