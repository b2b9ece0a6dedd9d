"""The end of a socket: flushed, given up, or cut."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable

from twisted.internet import reactor
from twisted.internet.task import Clock

from ngksock.kpi import Socket, SocketKPI
from ngksock.kpi import constants as c
from tests.kpi.sockets import INET, STREAM, KPITestCase, Owner, driver, packets

SOL = int(socket.SOL_SOCKET)
SNDBUF = int(socket.SO_SNDBUF)


class CloseTests(KPITestCase):
    def test_everything_is_ebadf(self) -> None:
        """Every call of a closed socket is EBADF, closing included."""
        so = self.socket()
        self.successResultOf(so.close())
        calls: list[Callable[[], object]] = [
            lambda: so.bind(("127.0.0.1", 0)),
            lambda: so.listen(1),
            so.accept,
            lambda: so.connect(("127.0.0.1", 9)),
            so.getsockname,
            so.getpeername,
            lambda: so.getsockopt(SOL, SNDBUF),
            lambda: so.setsockopt(SOL, SNDBUF, 1),
            lambda: so.shutdown(c.SHUT_RD),
            so.close,
            so.abort,
            so.isconnected,
            so.isnonblocking,
            so.gettype,
            lambda: so.setupcall(None),
            lambda: so.setupcalls(None, None, None, None),
            lambda: so.catchevents(None),
            lambda: so.receivebatch(1),
            lambda: so.sendbatch(packets(b"x")),
        ]
        self.assertEqual({errno.EBADF}, {self.errno_of(call) for call in calls})

    async def test_flushes(self) -> None:
        """Eight megabytes reach a slow reader after close; then it is the end of file."""
        client, server = await self.pair()
        server.reads = False
        client.so.setsockopt(SOL, SNDBUF, 4 << 20)
        sent = bytes(range(256)) * (8 << 12)
        client.so.sendbatch(packets(sent))
        self.assertGreater(client.so.sndcount, 0)
        done = client.so.close()
        self.assertNoResult(done)
        self.assertEqual(errno.EBADF, self.errno_of(client.so.isconnected))
        drained = self.kpi.drain()
        self.assertNoResult(drained)
        server.so.sendbatch(packets(bytes(1 << 20)))  # nobody takes it, nobody waits for it
        await server.until(lambda: not driver(server.so).reading)
        server.reads = True
        server.drain()
        await done
        await drained
        await server.until(lambda: server.eof or server.error)
        self.assertEqual((len(sent), True), (len(server.data), sent == server.data))

    async def test_settles(self) -> None:
        """Sent is not arrived: the descriptor stays until the peer's system has it all."""
        clock = Clock()
        kpi = SocketKPI(reactor, clock)
        so, server = await self.stuck(kpi)
        done = so.close()
        # As if the system had taken the rest: what it holds is still on its way.
        so.so_snd.flush()
        so.sowwakeup()
        for _ in range(3):
            clock.advance(c.SETTLE_SECONDS)
        self.assertNoResult(done)
        server.reads = True
        server.drain()
        await server.until(lambda: server.eof)
        clock.advance(c.SETTLE_SECONDS)
        self.successResultOf(done)
        self.assertEqual([], clock.getDelayedCalls())

    async def test_never_settles(self) -> None:
        """After 30 s what the system has is left to it: it may still arrive."""
        clock = Clock()
        kpi = SocketKPI(reactor, clock)
        so, server = await self.stuck(kpi)
        done = so.close()
        so.so_snd.flush()
        so.sowwakeup()
        clock.pump([c.SETTLE_SECONDS] * (int(c.LINGER_SECONDS / c.SETTLE_SECONDS) + 3))
        self.successResultOf(done)
        server.reads = True
        server.drain()
        await server.until(lambda: server.eof)
        self.assertIsNone(server.error)

    async def stuck(self, kpi: SocketKPI) -> tuple[Socket, Owner]:
        """Return a socket of *kpi* with more to send than its peer takes."""
        listener = self.listener()
        so = kpi.socket(INET, STREAM)
        self.connect(so, listener.so.getsockname())
        client = Owner(so)
        await client.until(so.isconnected)
        await listener.until(lambda: listener.so.so_comp)
        server = Owner(self.accept(listener.so)[0], reads=False)
        while so.sndspace() > 0:
            so.sendbatch(packets(bytes(1 << 18)))
        await server.until(lambda: not driver(server.so).reading)
        return so, server

    async def test_gives_up(self) -> None:
        """Without progress for 30 s a closed socket is reset; progress starts anew."""
        clock = Clock()
        kpi = SocketKPI(reactor, clock)
        so, server = await self.stuck(kpi)
        done = so.close()
        drained = kpi.drain()
        clock.advance(c.LINGER_SECONDS - 1)
        self.assertNoResult(done)
        so.sowwakeup()  # as after some bytes
        clock.advance(c.LINGER_SECONDS - 1)
        self.assertNoResult(done)
        clock.advance(1)
        self.successResultOf(done)
        self.successResultOf(drained)
        server.reads = True
        server.drain()
        await server.until(lambda: server.error)
        self.assertEqual(errno.ECONNRESET, server.error)
        self.assertEqual([], clock.getDelayedCalls())

    async def test_linger(self) -> None:
        """SO_LINGER is the time to flush; 0 resets at once; neither stops the reactor."""
        clock = Clock()
        kpi = SocketKPI(reactor, clock)
        so, _server = await self.stuck(kpi)
        so.setsockopt(SOL, socket.SO_LINGER, struct.pack("ii", 1, 5))
        done = so.close()
        clock.advance(4)
        self.assertNoResult(done)
        clock.advance(1)
        self.successResultOf(done)
        so, server = await self.stuck(kpi)
        so.setsockopt(SOL, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.successResultOf(so.close())
        server.reads = True
        server.drain()
        await server.until(lambda: server.error)
        self.assertEqual(errno.ECONNRESET, server.error)

    async def test_peer_goes(self) -> None:
        """A peer that resets while we flush ends the flushing, not the reactor."""
        so, server = await self.stuck(self.kpi)
        done = so.close()
        server.so.abort()
        await done
        self.assertEqual(0, so.sndcount)

    async def test_closeall(self) -> None:
        """Closeall cuts what is open and what flushes; drain fires; nothing is left."""
        so, _server = await self.stuck(self.kpi)
        listener = self.listener()
        self.connect(self.socket(), listener.so.getsockname())
        await listener.until(lambda: listener.so.so_comp)
        done, drained = so.close(), self.kpi.drain()
        self.kpi.closeall()
        self.successResultOf(done)
        self.successResultOf(drained)
        self.assertTrue(self.is_closed(listener.so))
        self.kpi.closeall()

    async def test_abort_flushing(self) -> None:
        """A closed socket that still flushes can be cut."""
        so, _server = await self.stuck(self.kpi)
        done = so.close()
        so.abort()
        self.successResultOf(done)
        self.assertEqual(errno.EBADF, self.errno_of(so.abort))

    def test_drain_idle(self) -> None:
        """Draining fires at once when nothing is being flushed; open sockets do not count."""
        self.socket()
        self.successResultOf(self.kpi.drain())

    async def test_drain_cancelled(self) -> None:
        """Who no longer waits for the draining may cancel."""
        so, _server = await self.stuck(self.kpi)
        so.close()
        drained = self.kpi.drain()
        drained.cancel()
        self.failureResultOf(drained)
        so.abort()


class WatchTests(KPITestCase):
    async def test_paused(self) -> None:
        """The reset of a paused stream is found within ten seconds; then no timer is left."""
        clock = Clock()
        kpi = SocketKPI(reactor, clock)
        self.addCleanup(kpi.closeall)
        listener = self.listener()
        so = kpi.socket(INET, STREAM)
        self.connect(so, listener.so.getsockname())
        client = Owner(so, reads=False)
        await client.until(so.isconnected)
        clock.advance(0)
        await listener.until(lambda: listener.so.so_comp)
        server = Owner(self.accept(listener.so)[0])
        server.so.setsockopt(SOL, SNDBUF, 2 << 20)
        self.assertEqual([], clock.getDelayedCalls())
        server.so.sendbatch(packets(bytes(4 << 20)))
        await client.until(lambda: not driver(so).reading)
        self.assertEqual(1, driver(so).sock.getsockopt(SOL, socket.SO_KEEPALIVE))
        self.assertEqual(0, so.getsockopt(SOL, socket.SO_KEEPALIVE))
        server.so.abort()
        self.assertTrue(so.isconnected())
        clock.advance(10)
        self.assertFalse(so.isconnected())
        client.drain()
        self.assertEqual(errno.ECONNRESET, client.error)
        self.assertEqual([], clock.getDelayedCalls())

    async def test_half_closed(self) -> None:
        """The reset of a half-closed stream is found too; closing ends the watch."""
        clock = Clock()
        kpi = SocketKPI(reactor, clock)
        self.addCleanup(kpi.closeall)
        owners = []
        for _ in range(2):
            listener = self.listener()
            so = kpi.socket(INET, STREAM)
            self.connect(so, listener.so.getsockname())
            client = Owner(so)
            await client.until(so.isconnected)
            await listener.until(lambda listener: listener.so.so_comp, listener)
            server = Owner(self.accept(listener.so)[0])
            server.so.shutdown(c.SHUT_WR)
            await client.until(lambda client: client.eof, client)
            owners.append((client, server))
        (client, server), (other, _peer) = owners
        server.so.abort()
        clock.advance(10)
        client.drain()
        self.assertEqual(errno.ECONNRESET, client.error)
        self.assertTrue(other.so.isconnected())
        self.assertEqual(1, len(clock.getDelayedCalls()))
        other.so.close()
        self.assertEqual([], clock.getDelayedCalls())
