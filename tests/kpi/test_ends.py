"""How a socket ends when its ends overlap: paused, unacknowledged, or unread."""

from __future__ import annotations

import errno
import random
import socket
import struct
from collections.abc import Callable

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater

from ngksock.kpi import Socket, SocketKPI
from ngksock.kpi import constants as c
from ngksock.kpi.sockbuf import RcvBuf
from ngksock.packet import Batch, Packet
from tests.kpi.sockets import INET, STREAM, KPITestCase, Owner, driver, packets

SOL = int(socket.SOL_SOCKET)
SNDBUF, RCVBUF = int(socket.SO_SNDBUF), int(socket.SO_RCVBUF)
TCPS_CLOSE = 7
DATA = random.Random(1).randbytes(700_000)


def tcp_state(sock: socket.socket) -> int:
    """Return the state of a TCP connection as Linux numbers it."""
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]


class EndCase(KPITestCase):
    """A case whose one end is a plain socket."""

    async def until(self, condition: Callable[[], object]) -> None:
        """Let the reactor turn until *condition* holds."""
        end = reactor.seconds() + 10
        while not condition():
            self.assertLess(reactor.seconds(), end, "waited in vain")
            await deferLater(reactor, 0.001)

    async def plain(
        self, kpi: SocketKPI, reads: bool = True, rcvbuf: int = 0
    ) -> tuple[Owner, socket.socket]:
        """Connect a socket of *kpi* to a plain one, whose receive buffer is *rcvbuf*."""
        server = socket.socket()
        self.addCleanup(server.close)
        if rcvbuf:
            server.setsockopt(SOL, RCVBUF, rcvbuf)
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        so = kpi.socket(INET, STREAM)
        self.connect(so, server.getsockname())
        owner = Owner(so, reads)
        peer, _ = server.accept()
        self.addCleanup(peer.close)
        peer.setblocking(False)
        await self.until(so.isconnected)
        return owner, peer

    async def write(self, peer: socket.socket, data: bytes) -> None:
        """Write all of *data* to a plain socket."""
        left = memoryview(data)

        def more() -> bool:
            nonlocal left
            try:
                left = left[peer.send(left) :]
            except BlockingIOError:
                return False
            return not left

        await self.until(more)

    async def rest(self, peer: socket.socket) -> tuple[bytes, int]:
        """Return what a plain socket receives until its end, and the errno of that end."""
        data, ends = bytearray(), list[int]()

        def more() -> bool:
            try:
                got = peer.recv(1 << 16)
            except BlockingIOError:
                return False
            except OSError as error:
                ends.append(error.errno or 0)
                return True
            data.extend(got)
            if not got:
                ends.append(0)
            return not got

        await self.until(more)
        return bytes(data), ends[0]

    async def arrives(self, data: bytes, code: int, peer: socket.socket) -> None:
        """See exactly *data* come, and then that end."""
        got, end = await self.rest(peer)
        self.assertEqual((len(data), code), (len(got), end))
        self.assertTrue(data == got)


class PausedTests(EndCase):
    """Both ends of file have passed while the stream was paused."""

    async def paused(self, ours_first: bool) -> tuple[Clock, Owner]:
        """Return a paused stream the system holds for closed, with more to read."""
        clock = Clock()
        kpi = SocketKPI(reactor, clock)
        self.addCleanup(kpi.closeall)
        client, peer = await self.plain(kpi, reads=False)
        driver(client.so).sock.setsockopt(SOL, RCVBUF, 1 << 20)
        if ours_first:
            client.so.shutdown(c.SHUT_WR)
        await self.write(peer, DATA)
        await self.until(lambda: not driver(client.so).reading)
        peer.shutdown(socket.SHUT_WR)
        if not ours_first:
            client.so.shutdown(c.SHUT_WR)
        await self.until(lambda: tcp_state(driver(client.so).sock) == TCPS_CLOSE)
        self.assertLess(client.so.rcvcount, len(DATA))  # the rest is still the system's
        return clock, client

    async def ends(self, ours_first: bool) -> None:
        """Look twice, then read on."""
        clock, client = await self.paused(ours_first)
        clock.pump([10, 10])
        self.assertEqual((True, 0), (client.so.isconnected(), client.so.so_error))
        client.reads = True
        client.drain()

        def ended() -> bool:
            clock.advance(0)
            return client.eof or client.error is not None

        await self.until(ended)
        self.assertEqual((None, len(DATA)), (client.error, len(client.data)))
        self.assertTrue(client.data == DATA)
        clock.advance(10)
        self.assertEqual([], clock.getDelayedCalls())

    async def test_theirs_first(self) -> None:
        """Their end, then ours, is no reset at the watch's look: all arrives, then EOF."""
        await self.ends(False)

    async def test_ours_first(self) -> None:
        """Our end, then theirs, is no reset either."""
        await self.ends(True)


class WatchTests(EndCase):
    """What the watch finds out is told to owners, who may do anything."""

    async def reset(self, count: int) -> tuple[Clock, list[Owner]]:
        """Return streams that were half-closed, and then reset, which nobody knows yet."""
        clock = Clock()
        kpi = SocketKPI(reactor, clock)
        self.addCleanup(kpi.closeall)
        owners = []
        for _ in range(count):
            owner, peer = await self.plain(kpi)
            peer.shutdown(socket.SHUT_WR)

            def ended(owner: Owner = owner) -> bool:
                clock.advance(0)
                return owner.eof

            await self.until(ended)
            peer.setsockopt(SOL, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()
            owners.append(owner)
            await self.until(lambda: tcp_state(driver(owners[-1].so).sock) == TCPS_CLOSE)
        return clock, owners

    async def test_closes_others(self) -> None:
        """Who is told of a reset may close others that are looked at, and the look goes on."""
        clock, owners = await self.reset(3)

        def close(so: Socket, cookie: object, hint: int) -> None:
            for other in owners[:2]:
                if not self.is_closed(other.so):
                    other.so.abort()

        for owner in owners[:2]:
            owner.so.catchevents(close, None, 0xFFFFFFFF)
        clock.advance(10)
        self.assertEqual([True] * 2, [self.is_closed(owner.so) for owner in owners[:2]])
        self.assertEqual(errno.ECONNRESET, owners[2].error)
        self.assertEqual([], clock.getDelayedCalls())

    async def test_one_timer(self) -> None:
        """There is one timer, even if whoever is told of a reset begins another watch."""
        clock, (owner,) = await self.reset(1)
        other, _peer = await self.plain(owner.so.kpi)
        owner.so.catchevents(lambda so, cookie, hint: driver(other.so).pause(), None, 0xFFFFFFFF)
        clock.advance(10)
        self.assertEqual(1, len(clock.getDelayedCalls()))
        other.so.abort()
        self.assertEqual([], clock.getDelayedCalls())


class TakeTests(KPITestCase):
    """What one call takes out of so_rcv."""

    def fill(self, sizes: list[int], named: bool) -> RcvBuf:
        """Return a buffer of packets that tell their number, with names if *named*."""
        buf = RcvBuf()
        for number, size in enumerate(sizes):
            batch = Batch((Packet(number.to_bytes(4)[-size:] + bytes(max(size - 4, 0))),))
            if named:
                batch.names = [number]
            buf.append_batch(batch)
        return buf

    def check(self, sizes: list[int], limit: int, named: bool) -> None:
        """Take all that is there, by *limit*, and check each part."""
        buf = self.fill(sizes, named)
        self.assertEqual(sum(sizes), buf.cc)
        taken: list[int] = []
        names: list[object] = []
        while (batch := buf.take(limit)) is not None:
            parts = [packet.len for packet in batch]
            self.assertEqual(sum(parts), batch.nbytes)
            self.assertTrue(0 < len(batch) <= limit)
            self.assertTrue(len(batch) == 1 or batch.nbytes <= c.SB_HIWAT, parts)
            if named:
                self.assertIsNotNone(batch.names)
            if batch.names is not None:
                self.assertEqual(len(batch), len(batch.names))
                names += batch.names
            taken += parts
            self.assertEqual(sum(sizes) - sum(taken), buf.cc)
        self.assertEqual(sizes, taken)
        self.assertEqual(list(range(len(sizes))) if named else [], names)

    def test_bounded(self) -> None:
        """take gives at most SB_HIWAT bytes, or one packet; order and names stay."""
        full = c.SB_HIWAT
        for named in (False, True):
            for limit in (1, 2, 64, 1 << 20):
                self.check([full], limit, named)
                self.check([full, 1], limit, named)
                self.check([full + 1, 1, 1], limit, named)
                self.check([1, full, 1], limit, named)
                self.check([full // 2, full // 2, 1, full * 4, 5], limit, named)
                self.check([5] * 200, limit, named)

    def test_random(self) -> None:
        """So it is for sizes of all kinds."""
        chance = random.Random(2)
        for _ in range(60):
            sizes = [
                chance.choice((1, 1400, 65507, chance.randrange(1, 2 * c.SB_HIWAT)))
                for _ in range(chance.randrange(1, 40))
            ]
            self.check(sizes, chance.choice((1, 7, 64, 1000)), chance.random() < 0.5)

    def test_late_names(self) -> None:
        """Packets that came without names have None beside those that came with some."""
        buf = RcvBuf()
        buf.append_batch(packets(b"a", bytes(c.SB_HIWAT)))
        more = packets(b"c")
        more.names = ["sender"]
        buf.append_batch(more)
        names: list[object] = []
        while (batch := buf.take(64)) is not None:
            self.assertEqual(len(batch), len(batch.names or ()))
            names += batch.names or []
        self.assertEqual([None, None, "sender"], names)


class UnreadTests(EndCase):
    """Closing with bytes on their way out, and others that nobody has read."""

    async def filled(self, kpi: SocketKPI, reads: bool) -> tuple[Owner, socket.socket]:
        """Return a socket whose so_snd is empty and whose system still has much to send."""
        client, peer = await self.plain(kpi, reads, 4096)
        driver(client.so).sock.setsockopt(SOL, SNDBUF, 1 << 20)
        client.so.sendbatch(packets(DATA))
        self.assertEqual(0, client.so.sndcount)
        self.assertGreater(driver(client.so).outq(), 0)
        return client, peer

    async def test_input_at_close(self) -> None:
        """What comes in the very turn of the closing costs the peer no byte."""
        client, peer = await self.filled(self.kpi, True)
        peer.send(b"more")
        done = client.so.close()
        self.assertNoResult(done)
        self.assertEqual(errno.EBADF, self.errno_of(client.so.isconnected))
        await self.arrives(DATA, 0, peer)
        peer.close()
        await done

    async def test_paused(self) -> None:
        """Nor does a full so_rcv, with more behind it in the system."""
        client, peer = await self.filled(self.kpi, False)
        await self.write(peer, bytes(c.SB_HIWAT))
        await self.until(lambda: not driver(client.so).reading)
        await self.write(peer, bytes(1 << 16))
        done = client.so.close()
        await self.arrives(DATA, 0, peer)
        await done

    async def test_input_after(self) -> None:
        """Nor does a peer that goes on sending while it reads slowly."""
        client, peer = await self.filled(self.kpi, True)
        done = client.so.close()
        drained = self.kpi.drain()
        got = bytearray()

        def more() -> bool:
            try:
                peer.send(b"still")
                got.extend(peer.recv(20_000))
            except BlockingIOError:
                return False
            return len(got) == len(DATA)

        await self.until(more)
        self.assertEqual(b"", peer.recv(1))
        self.assertTrue(bytes(got) == DATA)
        await done
        await drained

    async def test_half_closed(self) -> None:
        """Nor is a byte lost when our end of file was already said."""
        client, peer = await self.filled(self.kpi, True)
        client.so.shutdown(c.SHUT_WR)
        peer.send(b"more")
        done = client.so.close()
        await self.arrives(DATA, 0, peer)
        await done

    async def test_reset(self) -> None:
        """reset sends what there is, so_snd too, and then a reset, never an end of file."""
        for size in (1, len(DATA), 3 << 20):
            client, peer = await self.plain(self.kpi, True, 4096)
            data = random.Random(size).randbytes(size)
            client.so.setsockopt(SOL, SNDBUF, 1 << 20)
            client.so.sendbatch(packets(data))
            done: Deferred[None] = client.so.reset()
            await self.arrives(data, errno.ECONNRESET, peer)
            await done
