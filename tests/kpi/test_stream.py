"""Connections: their life, their ends, and what they carry."""

from __future__ import annotations

import errno
import socket

from ngksock.kpi import constants as c
from tests.kpi.sockets import (
    ANY,
    INET,
    INET6,
    SEQPACKET,
    STREAM,
    UNIX,
    KPITestCase,
    Owner,
    driver,
    packets,
)

CONNECTED = c.SO_FILT_HINT_CONNECTED | c.SO_FILT_HINT_CONNINFO_UPDATED
DISCONNECTED = c.SO_FILT_HINT_DISCONNECTED | c.SO_FILT_HINT_CONNINFO_UPDATED
CANTRCVMORE = c.SO_FILT_HINT_CANTRCVMORE
CANTSENDMORE = c.SO_FILT_HINT_CANTSENDMORE
CONNRESET = c.SO_FILT_HINT_CONNRESET

RCVBUF = int(socket.SO_RCVBUF)
SNDBUF = int(socket.SO_SNDBUF)
SOL = int(socket.SOL_SOCKET)


class LifeTests(KPITestCase):
    async def life(self, domain: int, type: int) -> None:
        client, server = await self.pair(domain, type)
        self.assertTrue(client.so.isconnected())
        self.assertEqual(2, client.so.sendbatch(packets(b"hello ", b"there")))
        await server.until(lambda: server.data == b"hello there")
        server.so.sendbatch(packets(b"and back"))
        await client.until(lambda: client.data == b"and back")
        client.so.shutdown(c.SHUT_WR)
        await server.until(lambda: server.eof)
        self.assertTrue(server.so.isconnected())
        server.so.sendbatch(packets(b" late"))
        await client.until(lambda: client.data == b"and back late")
        server.so.shutdown(c.SHUT_WR)
        await client.until(lambda: client.eof)
        self.assertIn(DISCONNECTED, client.told)
        self.assertFalse(client.so.isconnected())
        self.assertEqual(errno.ENOTCONN, self.errno_of(client.so.getpeername))

    async def test_tcp(self) -> None:
        """A TCP connection carries bytes both ways and ends half by half."""
        await self.life(INET, STREAM)

    async def test_tcp6(self) -> None:
        """TCP over inet6 lives as over inet."""
        await self.life(INET6, STREAM)

    async def test_local(self) -> None:
        """A local stream lives as a TCP connection does."""
        await self.life(UNIX, STREAM)

    async def test_seqpacket(self) -> None:
        """A local seqpacket connection lives so too."""
        await self.life(UNIX, SEQPACKET)

    async def test_records(self) -> None:
        """A seqpacket connection keeps packets apart, also those that had to wait."""
        client, server = await self.pair(UNIX, SEQPACKET)
        server.reads = False
        sent = [bytes([n % 251]) * 1000 for n in range(1000)]
        for start in range(0, 1000, 100):
            client.so.sendbatch(packets(*sent[start : start + 100], b""))
        self.assertGreater(client.so.sndcount, 0)
        await server.until(lambda: not driver(server.so).reading)
        server.reads = True
        server.drain()
        await server.until(lambda: len(server.received) == 1000)
        self.assertEqual(sent, server.received)

    async def test_too_long_record(self) -> None:
        """A record no system call takes is counted, and the next one goes."""
        client, server = await self.pair(UNIX, SEQPACKET)
        client.so.setsockopt(SOL, SNDBUF, 4096)
        client.so.sendbatch(packets(bytes(100_000), b"next"))
        await server.until(lambda: server.received == [b"next"])
        self.assertEqual({errno.EMSGSIZE: 1}, client.so.senderrors)

    async def test_names(self) -> None:
        """Both ends know both names."""
        client, server = await self.pair()
        self.assertEqual(client.so.getsockname(), server.so.getpeername())
        self.assertEqual(client.so.getpeername(), server.so.getsockname())

    async def test_large(self) -> None:
        """Ten megabytes arrive whole and in order, whatever the sizes of the pieces."""
        client, server = await self.pair()
        piece = bytes(range(256)) * 512
        for _ in range(80):
            if client.so.sndspace() < 0:
                client.told.clear()
                await client.until(lambda: "write" in client.told)
            client.so.sendbatch(packets(piece[:7], piece[7:1000], b"", piece[1000:]))
        await server.until(lambda: len(server.data) == 80 * len(piece))
        self.assertEqual(piece * 80, server.data)
        self.assertEqual(80 * len(piece), client.so.sndbytes)
        self.assertEqual(80 * len(piece), server.so.rcvbytes)

    async def test_empty_packet(self) -> None:
        """An empty packet on a stream is nothing: no byte, no end of file."""
        client, server = await self.pair()
        self.assertEqual(1, client.so.sendbatch(packets(b"")))
        client.so.sendbatch(packets(b"x"))
        await server.until(lambda: server.data)
        self.assertEqual((b"x", False), (server.data, server.eof))


class ConnectTests(KPITestCase):
    async def test_sequence(self) -> None:
        """A connection begins with EINPROGRESS; then read, write, and the event."""
        listener = self.listener()
        client = Owner(self.socket())
        to = listener.so.getsockname()
        self.assertEqual(errno.EINPROGRESS, self.errno_of(client.so.connect, to))
        self.assertEqual(errno.EALREADY, self.errno_of(client.so.connect, to))
        self.assertFalse(client.so.isconnected())
        self.assertEqual(errno.ENOTCONN, self.errno_of(client.so.getpeername))
        self.assertEqual([], client.told)
        await client.until(lambda: CONNECTED in client.told)
        self.assertEqual(["read", "write", CONNECTED], client.told)
        self.assertEqual(errno.EISCONN, self.errno_of(client.so.connect, to))

    async def test_local_sequence(self) -> None:
        """A local stream connects at once, and is told of it in the next turn."""
        listener = self.listener(UNIX)
        client = Owner(self.socket(UNIX))
        client.so.connect(listener.so.getsockname())
        self.assertTrue(client.so.isconnected())
        self.assertEqual([], client.told)
        await client.until(lambda: CONNECTED in client.told)
        self.assertEqual(["read", "write", CONNECTED], client.told)

    async def test_refused(self) -> None:
        """A refusal is told as reset, then disconnected; its errno is read once."""
        listener = self.listener()
        to = listener.so.getsockname()
        listener.so.close()
        client = Owner(self.socket(), reads=False)
        self.connect(client.so, to)
        await client.until(lambda: client.told[-1:] == ["read"])
        self.assertEqual([CONNRESET, DISCONNECTED, "write", "read"], client.told)
        self.assertEqual(errno.ECONNREFUSED, client.so.getsockopt(SOL, socket.SO_ERROR))
        self.assertEqual(0, client.so.getsockopt(SOL, socket.SO_ERROR))
        self.assertFalse(client.so.isconnected())
        self.assertEqual(errno.EINVAL, self.errno_of(client.so.connect, to))
        self.assertEqual(errno.EPIPE, self.errno_of(client.so.sendbatch, packets(b"x")))

    async def test_data_before(self) -> None:
        """What is sent while connecting waits in so_snd and leaves once connected."""
        listener = self.listener()
        client = Owner(self.socket())
        self.connect(client.so, listener.so.getsockname())
        self.assertEqual(1, client.so.sendbatch(packets(b"early")))
        self.assertEqual(5, client.so.sndcount)
        client.so.shutdown(c.SHUT_WR)
        await listener.until(lambda: listener.so.so_comp)
        server = Owner(self.accept(listener.so)[0])
        await server.until(lambda: server.eof)
        self.assertEqual(b"early", server.data)

    async def test_closed_before(self) -> None:
        """A socket closed while connecting still sends what it was given."""
        listener = self.listener()
        client = self.socket()
        self.connect(client, listener.so.getsockname())
        client.sendbatch(packets(b"last words"))
        done = client.close()
        await listener.until(lambda: listener.so.so_comp)
        server = Owner(self.accept(listener.so)[0])
        await server.until(lambda: server.eof)
        self.assertEqual(b"last words", server.data)
        await done

    def test_state_decides(self) -> None:
        """The errors of odd states are the KPI's, not the system's."""
        listener = self.listener()
        to = listener.so.getsockname()
        self.assertEqual(errno.EOPNOTSUPP, self.errno_of(listener.so.connect, to))
        bound = self.socket()
        bound.bind(ANY)
        self.assertEqual(errno.EINVAL, self.errno_of(bound.connect, bound.getsockname()))
        self.assertEqual(errno.EINVAL, self.errno_of(bound.bind, ANY))
        fresh = self.socket()
        for group in (("224.0.0.1", 9), ("255.255.255.255", 9)):
            self.assertEqual(errno.EAFNOSUPPORT, self.errno_of(fresh.connect, group))
            self.assertEqual(errno.EAFNOSUPPORT, self.errno_of(fresh.bind, group))
        self.assertEqual(errno.EINVAL, self.errno_of(fresh.connect, ("localhost", 9)))
        self.assertEqual(errno.EAFNOSUPPORT, self.errno_of(fresh.connect, ("::1", 9)))
        self.assertEqual(errno.ENOTCONN, self.errno_of(fresh.sendbatch, packets(b"x")))
        self.assertEqual(errno.ENOTCONN, self.errno_of(fresh.receivebatch, 1))
        self.assertEqual(("0.0.0.0", 0), fresh.getsockname())

    async def test_receive_while_connecting(self) -> None:
        """Receiving while connecting would block; it is not an error of its own."""
        listener = self.listener()
        client = Owner(self.socket())
        self.connect(client.so, listener.so.getsockname())
        self.assertEqual(errno.EWOULDBLOCK, self.errno_of(client.so.receivebatch, 1))
        await client.until(lambda: client.so.isconnected())

    async def test_full_local_backlog(self) -> None:
        """A local listener whose backlog is full refuses, as on BSD, and says why."""
        so = self.socket(UNIX)
        so.bind(self.fresh(UNIX))
        so.listen(1)
        driver(so).pause()  # nobody takes connections
        to = so.getsockname()
        refused = None
        for _ in range(5):
            try:
                self.socket(UNIX).connect(to)
            except ConnectionRefusedError as error:
                refused = error
        assert refused is not None
        self.assertIn("backlog", refused.strerror)


class ShutdownTests(KPITestCase):
    async def test_rules(self) -> None:
        """Each direction is shut once, and only of a connection."""
        fresh = self.socket()
        self.assertEqual(errno.EINVAL, self.errno_of(fresh.shutdown, 3))
        self.assertEqual(errno.ENOTCONN, self.errno_of(fresh.shutdown, c.SHUT_WR))
        client, _server = await self.pair()
        client.so.shutdown(c.SHUT_WR)
        self.assertEqual(errno.ENOTCONN, self.errno_of(client.so.shutdown, c.SHUT_WR))
        self.assertEqual(errno.EPIPE, self.errno_of(client.so.sendbatch, packets(b"x")))

    async def test_after_peers(self) -> None:
        """After the peer's end of file SHUT_RDWR fails and leaves sending open."""
        client, server = await self.pair()
        server.so.shutdown(c.SHUT_WR)
        await client.until(lambda: client.eof)
        self.assertEqual(errno.ENOTCONN, self.errno_of(client.so.shutdown, c.SHUT_RDWR))
        client.so.sendbatch(packets(b"still"))
        await server.until(lambda: server.data == b"still")

    async def test_events(self) -> None:
        """Shutting tells the event first, then the upcall; the peer likewise."""
        client, server = await self.pair()
        client.so.shutdown(c.SHUT_WR)
        await server.until(lambda: server.eof)
        self.assertEqual([CANTSENDMORE, "write"], client.told)
        self.assertEqual([CANTRCVMORE, "read"], server.told)
        server.told.clear()
        server.so.shutdown(c.SHUT_WR)
        await client.until(lambda: client.told[-1] == "read")
        await server.until(lambda: server.told[-1] == "read")
        # The write upcall of the second change is the one of the first, moved.
        self.assertEqual([CANTSENDMORE, DISCONNECTED, "write", "read"], server.told)
        self.assertEqual(
            [CANTSENDMORE, "write", CANTRCVMORE, DISCONNECTED, "write", "read"], client.told
        )

    async def test_read_side(self) -> None:
        """After SHUT_RD: one last upcall, end of file, and nothing comes any more."""
        client, server = await self.pair()
        client.so.shutdown(c.SHUT_RD)
        await client.until(lambda: "read" in client.told)
        self.assertEqual([CANTRCVMORE, "read"], client.told)
        self.assertEqual(([], True), (client.received, client.eof))
        for _ in range(64):  # more than all buffers between them hold
            server.so.sendbatch(packets(bytes(65536)))
            if server.so.sndspace() < 0:
                server.told.clear()
                await server.until(lambda: "write" in server.told)
        client.so.sendbatch(packets(b"still sending"))
        await server.until(lambda: server.data == b"still sending")
        self.assertEqual(0, client.so.rcvcount)
        self.assertEqual([CANTRCVMORE, "read"], client.told)

    async def test_queued_first(self) -> None:
        """What waits in so_snd reaches the peer before the end of file."""
        client, server = await self.pair()
        server.reads = False
        client.so.setsockopt(SOL, SNDBUF, 4 << 20)
        sent = bytes(8 << 20)
        client.so.sendbatch(packets(sent))
        self.assertGreater(client.so.sndcount, 0)
        client.so.shutdown(c.SHUT_WR)
        await server.until(lambda: not driver(server.so).reading)
        server.reads = True
        server.drain()
        await server.until(lambda: server.eof)
        self.assertEqual(len(sent), len(server.data))


class ResetTests(KPITestCase):
    async def test_abort(self) -> None:
        """Abort is a reset: the peer gets its data, the error once, then end of file."""
        client, server = await self.pair(reads=False)
        server.so.sendbatch(packets(b"ab"))
        await client.until(lambda: client.so.rcvcount == 2)
        client.told.clear()
        server.so.abort()
        await client.until(lambda: client.told[-1:] == ["read"])
        self.assertEqual([CONNRESET, DISCONNECTED, "write", "read"], client.told)
        self.assertEqual(errno.EPIPE, self.errno_of(client.so.sendbatch, packets(b"x")))
        self.assertEqual(b"ab", bytes(client.so.receivebatch(9)[0].data))
        self.assertEqual(errno.ECONNRESET, self.errno_of(client.so.receivebatch, 9))
        self.assertEqual([], client.so.receivebatch(9))
        self.assertEqual([], client.so.receivebatch(9))

    async def test_mid_transfer(self) -> None:
        """A reset in the middle of sending empties so_snd and tells of it."""
        client, server = await self.pair()
        server.reads = False
        client.so.sendbatch(packets(bytes(1 << 20)))
        while client.so.sndspace() > 0:
            client.so.sendbatch(packets(bytes(1 << 18)))
        await server.until(lambda: not driver(server.so).reading)
        server.so.abort()
        await client.until(lambda: client.error)
        self.assertEqual(errno.ECONNRESET, client.error)
        self.assertEqual(0, client.so.sndcount)
        self.assertEqual(errno.EPIPE, self.errno_of(client.so.sendbatch, packets(b"x")))

    async def test_while_paused(self) -> None:
        """What had arrived before a reset is delivered even to a paused reader."""
        client, server = await self.pair(reads=False)
        server.so.setsockopt(SOL, SNDBUF, 1 << 20)
        while driver(client.so).reading:
            server.so.sendbatch(packets(bytes(100_000)))
            await client.until(lambda n: client.so.rcvcount > n, client.so.rcvcount)
        while client.so.sndspace() > 0:  # so that the client watches for writability
            client.so.sendbatch(packets(bytes(1 << 18)))
        before = client.so.rcvcount
        server.so.abort()
        await client.until(lambda: DISCONNECTED in client.told)
        self.assertGreaterEqual(client.so.rcvcount, before)
        client.drain()
        self.assertEqual(errno.ECONNRESET, client.error)

    async def test_after_eof(self) -> None:
        """A reset after the peer's end of file is ECONNRESET too."""
        client, server = await self.pair()
        server.so.shutdown(c.SHUT_WR)
        await client.until(lambda: client.eof)
        server.so.abort()
        while not client.so.so_error:
            try:
                client.so.sendbatch(packets(bytes(1000)))
            except BrokenPipeError:
                break
        await client.until(lambda: DISCONNECTED in client.told)
        client.drain()
        self.assertEqual(errno.ECONNRESET, client.error)


class BackPressureTests(KPITestCase):
    async def test_bounded(self) -> None:
        """A reader that takes nothing bounds so_rcv, then so_snd; taking resumes all."""
        client, server = await self.pair()
        server.reads = False
        piece = bytes(65536)
        sent = 0
        while client.so.sndspace() > 0:
            client.so.sendbatch(packets(piece))
            sent += len(piece)
        await server.until(lambda: not driver(server.so).reading)
        self.assertLess(server.so.rcvcount, 2 * c.SB_HIWAT + 1)
        while True:
            try:
                client.so.sendbatch(packets(piece))
                sent += len(piece)
            except OSError as error:
                full = error
                break
        self.assertEqual(errno.ENOBUFS, full.errno)
        self.assertLessEqual(client.so.sndcount, 4 * c.SB_HIWAT)
        self.assertLess(client.so.sndspace(), 0)
        client.told.clear()
        server.reads = True
        server.drain()
        await client.until(lambda: "write" in client.told)
        self.assertLessEqual(client.so.sndcount, c.SND_LOWAT)
        await server.until(lambda: len(server.data) == sent)
        self.assertEqual(["write"], client.told)


class UpcallTests(KPITestCase):
    async def test_each_arrival(self) -> None:
        """Each arrival is told of, even while earlier ones are not read."""
        client, server = await self.pair(reads=False)
        for count in (1, 2, 3):
            server.so.sendbatch(packets(b"x"))
            await client.until(lambda n: client.told == ["read"] * n, count)
        self.assertEqual(3, len(client.so.receivebatch(9)))

    async def test_limit(self) -> None:
        """A receive takes no more packets than it was asked for."""
        client, server = await self.pair(reads=False)
        for count in (1, 2, 3):
            server.so.sendbatch(packets(b"%d" % count))
            await client.until(lambda n: len(client.told) == n, count)
        batch = client.so.receivebatch(2)
        self.assertEqual(([b"1", b"2"], 2), ([bytes(p) for p in batch], batch.nbytes))
        self.assertEqual([b"3"], [bytes(p) for p in client.so.receivebatch(2)])
        self.assertEqual(errno.EWOULDBLOCK, self.errno_of(client.so.receivebatch, 2))

    async def test_installed_late(self) -> None:
        """Who installs an upcall when data waits already is told once."""
        client, server = await self.pair(reads=False)
        server.so.sendbatch(packets(b"x"))
        await client.until(lambda: client.told)
        late = Owner(client.so, reads=False)
        self.assertEqual([], late.told)
        await late.until(lambda: late.told)
        self.assertEqual(["read"], late.told)

    async def test_close_in_upcall(self) -> None:
        """An upcall may close its socket; no other callback of it runs."""
        client, server = await self.pair()
        told = []

        def close(so: object, cookie: object, waitf: int) -> None:
            told.append((cookie, waitf))
            client.so.close()

        client.so.setupcalls(close, "r", close, "w")
        client.so.catchevents(None)
        server.so.abort()
        await server.so.kpi.drain()
        watcher, _ = await self.pair()  # some turns pass
        watcher.so.abort()
        self.assertEqual([("w", 1)], told)
        self.assertEqual(errno.EBADF, self.errno_of(client.so.isconnected))

    async def test_never_after_close(self) -> None:
        """An upcall that waits when its socket is closed never runs."""
        listener = self.listener(UNIX)
        client = Owner(self.socket(UNIX))
        client.so.connect(listener.so.getsockname())
        client.so.close()
        await listener.until(lambda: listener.told)
        await self.pair()
        self.assertEqual([], client.told)

    async def test_upcall_raises(self) -> None:
        """A failing upcall is logged, and the next one runs all the same."""
        client, server = await self.pair()
        client.so.setupcall(lambda so, cookie, waitf: 1 // 0)
        server.so.sendbatch(packets(b"x"))
        other, peer = await self.pair()
        peer.so.sendbatch(packets(b"y"))
        await other.until(lambda: other.data == b"y")
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))

    async def test_mask(self) -> None:
        """Only the hints asked for are told, and none once the callback is gone."""
        client, server = await self.pair()
        hints: list[int] = []
        client.so.catchevents(lambda so, cookie, hint: hints.append(hint), None, 0x2000)
        server.so.catchevents(None)
        server.so.shutdown(c.SHUT_WR)
        await client.until(lambda: client.eof)
        client.so.shutdown(c.SHUT_WR)
        await client.until(lambda: hints)
        self.assertEqual([0x2000], hints)
        self.assertNotIn(CANTSENDMORE, server.told)
