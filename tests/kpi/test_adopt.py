"""Sockets that were somebody else's, and what wakes a reactor that is no end."""

from __future__ import annotations

import errno
import socket
import struct

from twisted.internet import reactor
from twisted.internet.task import deferLater

from ngksock.kpi import MsgHdr
from ngksock.kpi import constants as c
from ngksock.kpi.ancillary import Datagram
from ngksock.packet import Batch, Packet, Tag
from tests.kpi.sockets import ANY, DGRAM, INET, Owner, driver, packets
from tests.kpi.test_wait import WaitCase, into, waiting

SOL = c.SOL_SOCKET


class AdoptTests(WaitCase):
    async def test_states(self) -> None:
        """A socket is adopted as it is: fresh, listening, connected."""
        listening = socket.socket()
        listening.bind(ANY)
        listening.listen(3)
        name = listening.getsockname()
        listener = self.kpi.adopt(listening)
        self.assertEqual(-1, listening.fileno())
        accepting = waiting(listener.accept())
        connected = socket.create_connection(name)
        server, peer = await accepting
        self.assertEqual(connected.getsockname(), peer)
        client = self.kpi.adopt(connected)
        self.assertTrue(client.isconnected())
        self.assertFalse(client.iskernel() or listener.iskernel() or server.iskernel())
        await waiting(client.send(MsgHdr(iov=[b"hello"])))
        _buffer, msg = into(5)
        self.assertEqual(5, await waiting(server.receive(msg)))
        fresh = self.kpi.adopt(socket.socket())
        self.assertFalse(fresh.isconnected())
        await waiting(fresh.connect(name))

    async def test_datagrams(self) -> None:
        """A connected datagram socket is adopted with its peer."""
        theirs = socket.socket(type=socket.SOCK_DGRAM)
        theirs.bind(ANY)
        self.addCleanup(theirs.close)
        ours = socket.socket(type=socket.SOCK_DGRAM)
        ours.connect(theirs.getsockname())
        so = self.kpi.adopt(ours)
        self.assertEqual(theirs.getsockname(), so.getpeername())
        await waiting(so.send(MsgHdr(iov=[b"x"])))
        self.assertEqual(b"x", theirs.recv(5))
        theirs.sendto(b"yy", so.getsockname())
        _buffer, msg = into(5)
        self.assertEqual(2, await waiting(so.receive(msg)))
        self.assertEqual(theirs.getsockname(), msg.name)

    def test_refused(self) -> None:
        """What is no open socket of a known kind is refused, and stays the caller's."""
        closed = socket.socket()
        closed.close()
        self.assertEqual(errno.EBADF, self.errno_of(self.kpi.adopt, closed))
        self.assertEqual(errno.EBADF, self.errno_of(self.kpi.adopt, 3))
        if hasattr(socket, "AF_NETLINK"):
            odd = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
            self.addCleanup(odd.close)
            self.assertEqual(errno.EAFNOSUPPORT, self.errno_of(self.kpi.adopt, odd))
            self.assertGreater(odd.fileno(), -1)

    def plain_pair(self) -> tuple[socket.socket, socket.socket]:
        """Return two connected TCP sockets of Python's."""
        with socket.create_server(ANY) as server:
            client = socket.create_connection(server.getsockname())
            accepted, _name = server.accept()
        for sock in (client, accepted):
            self.addCleanup(sock.close)
        return client, accepted

    async def test_connecting(self) -> None:
        """A socket that is connecting goes on, and tells when it is done."""
        full = socket.create_server(ANY, backlog=0)
        self.addCleanup(full.close)
        first = socket.create_connection(full.getsockname())
        self.addCleanup(first.close)
        ours = socket.socket()
        ours.setblocking(False)
        self.assertEqual(errno.EINPROGRESS, ours.connect_ex(full.getsockname()))
        so = self.kpi.adopt(ours)
        done = waiting(so.connectwait(20))
        accepted = [full.accept()[0]]
        for sock in accepted:
            self.addCleanup(sock.close)
        await done
        self.assertTrue(so.isconnected())

    async def test_shut_before(self) -> None:
        """A stream whose sending side had ended still receives; sending is EPIPE."""
        ours, theirs = self.plain_pair()
        ours.shutdown(socket.SHUT_WR)
        so = self.kpi.adopt(ours)
        self.assertEqual(errno.EPIPE, await self.errno_when(so.send(MsgHdr(iov=[b"x"]))))
        theirs.sendall(b"reply")
        buffer, msg = into(5)
        self.assertEqual(5, await waiting(so.receive(msg)))
        self.assertEqual(b"reply", buffer)
        theirs.close()
        self.assertEqual(0, await waiting(so.receive(msg)))
        self.assertFalse(so.isconnected())

    async def test_reset_before(self) -> None:
        """Of a connection that was reset the error is told, after what came before it."""
        ours, theirs = self.plain_pair()
        theirs.sendall(b"last")
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        theirs.close()
        while ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != 7:
            await deferLater(reactor, 0)
        so = self.kpi.adopt(ours)
        self.assertFalse(so.isconnected())
        codes = [await self.errno_when(so.receive(into(9)[1])) for _ in range(2)]
        self.assertIn(errno.ECONNRESET, codes)
        self.assertEqual(0, await waiting(so.receive(into(9)[1])))

    async def test_deaf_datagrams(self) -> None:
        """A datagram socket shut for reading is at its end, and does not wake the reactor."""
        theirs = socket.socket(type=socket.SOCK_DGRAM)
        theirs.bind(ANY)
        self.addCleanup(theirs.close)
        ours = socket.socket(type=socket.SOCK_DGRAM)
        ours.connect(theirs.getsockname())
        ours.shutdown(socket.SHUT_RD)
        so = self.kpi.adopt(ours)
        self.assertEqual(0, await waiting(so.receive(into(9)[1])))
        self.assertFalse(driver(so).reading)
        await waiting(so.send(MsgHdr(iov=[b"x"])))
        self.assertEqual(b"x", theirs.recv(9))


class ErrorQueueTests(WaitCase):
    async def test_datagrams(self) -> None:
        """A refusal that comes by the error queue as well does not make a socket deaf."""
        gone = socket.socket(type=socket.SOCK_DGRAM)
        gone.bind(ANY)
        name = gone.getsockname()
        so = self.socket(INET, DGRAM)
        so.setsockopt(socket.IPPROTO_IP, 11, 1)  # IP_RECVERR
        so.connect(name)
        client = Owner(so)
        gone.close()
        so.sendbatch(packets(b"x"))
        await client.until(lambda: client.error)
        self.assertEqual(errno.ECONNREFUSED, client.error)
        again = socket.socket(type=socket.SOCK_DGRAM)
        self.addCleanup(again.close)
        again.bind(name)
        again.sendto(b"back", so.getsockname())
        await client.until(lambda: client.received)
        self.assertEqual([b"back"], client.received)

    async def test_error_taken(self) -> None:
        """A refusal that a send has fetched before the reactor comes leaves it listening."""
        gone = socket.socket(type=socket.SOCK_DGRAM)
        gone.bind(ANY)
        name = gone.getsockname()
        so = self.socket(INET, DGRAM)
        so.connect(name)
        client = Owner(so)
        gone.close()
        so.sendbatch(packets(b"x"))
        driver(so).take_error()
        await deferLater(reactor, 0)
        again = socket.socket(type=socket.SOCK_DGRAM)
        self.addCleanup(again.close)
        again.bind(name)
        again.sendto(b"back", so.getsockname())
        await client.until(lambda: client.received)
        self.assertEqual([b"back"], client.received)

    async def test_stream(self) -> None:
        """A timestamp in the error queue is no end of a connection."""
        client, server = await self.pair()
        client.so.setsockopt(SOL, 37, 2 | 16)  # SO_TIMESTAMPING: TX_SOFTWARE, SOFTWARE
        client.so.sendbatch(packets(b"hello"))
        await server.until(lambda: server.received)
        for _ in range(10):
            await deferLater(reactor, 0)
        self.assertTrue(client.so.isconnected())
        server.so.sendbatch(packets(b"back"))
        await client.until(lambda: client.received)
        self.assertEqual([b"back"], client.received)

    async def test_shortage(self) -> None:
        """What has left before the system ran short of memory is not sent again."""
        client, server = await self.pair()
        real = driver(client.so).sock

        class Short(socket.socket):
            calls = 0

            def sendmsg(self, *args: object) -> int:
                Short.calls += 1
                if Short.calls == 2:
                    raise OSError(errno.ENOBUFS, "no buffers")
                return super().sendmsg(*args)  # type: ignore[arg-type]

        short = Short(real.family, real.type, real.proto, fileno=real.detach())
        short.setblocking(False)
        driver(client.so).sock = short
        pieces = [b"%03d" % number for number in range(200)]
        client.so.sendbatch(packets(*pieces))
        await server.until(lambda: len(server.data) >= 600)
        self.assertEqual(b"".join(pieces), server.data)


class PacketTests(WaitCase):
    def test_other_bytes(self) -> None:
        """A datagram with control messages keeps tags and mark when its bytes change."""
        one = Datagram(b"abc", [(0, 8, b"x")], 0)
        one.tags = (Tag(1, 2, b"t"),)
        other = one.replace(b"d")
        self.assertEqual((b"d", one.tags, True), (other.data, other.tags, other.record))

    async def test_batches_are_bounded(self) -> None:
        """Whoever takes packet by packet does not let so_rcv grow without bound."""
        client, server = await self.pair(reads=False)
        for _ in range(200):
            client.so.sendbatch(packets(bytes(1 << 18))) if client.so.sndspace() > 0 else None
            # As a driver does that has many packets in one read.
            if driver(server.so).reading:
                server.so.sbappendbatch(Batch(Packet(bytes(256)) for _ in range(1024)))
            try:
                server.so.receivebatch(1)
            except BlockingIOError:
                continue
            finally:
                await deferLater(reactor, 0)
        self.assertLess(server.so.rcvcount, 3 * c.SB_HIWAT)
