"""Blocking mode: calls that wait, and every way in which a wait ends."""

from __future__ import annotations

import errno
import socket
from functools import partial
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater

from ngksock.kpi import Mbuf, MsgHdr, Socket, SocketKPI
from ngksock.kpi import constants as c
from tests.kpi.sockets import ANY, DGRAM, INET, STREAM, UNIX, KPITestCase, Owner, packets

HIWAT = c.SB_HIWAT


def into(size: int) -> tuple[bytearray, MsgHdr]:
    """Return a buffer and a message to receive into it."""
    buffer = bytearray(size)
    return buffer, MsgHdr(iov=[buffer])


def waiting(result: object) -> Deferred[Any]:
    """Return what a call in blocking mode gave, as a Deferred."""
    assert isinstance(result, Deferred)
    return result


class WaitCase(KPITestCase):
    """Sockets in blocking mode."""

    def blocking(self, domain: int = INET, type: int = STREAM) -> Socket:
        """Make a socket in blocking mode."""
        return self.kpi.socket(domain, type)

    async def ends(self, domain: int = INET) -> tuple[Socket, Socket]:
        """Return two ends of a connection."""
        listener = self.blocking(domain)
        listener.bind(self.fresh(domain))
        listener.listen(5)
        client = self.blocking(domain)
        accepting = waiting(listener.accept())
        await waiting(client.connect(listener.getsockname()))
        server, _name = await accepting
        listener.close()
        return client, server

    async def errno_when(self, done: object) -> int | None:
        """Return the errno *done* fails with."""
        try:
            await waiting(done)
        except OSError as error:
            return error.errno
        return None


class OrderTests(WaitCase):
    async def test_first_come(self) -> None:
        """Those who wait are served in order, and before the upcall."""
        client, server = await self.ends()
        told: list[object] = []

        def note(name: str, count: int) -> None:
            told.append((name, count))

        buffers = []
        for name in ("first", "second"):
            buffer, msg = into(3)
            buffers.append(buffer)
            waiting(server.receive(msg)).addCallback(partial(note, name))
        server.setupcall(lambda *args: told.append("upcall"))
        await waiting(client.send(MsgHdr(iov=[b"abcdef"])))
        while len(told) < 3:
            await deferLater(reactor, 0)
        self.assertEqual([("first", 3), ("second", 3), "upcall"], told[:3])
        self.assertEqual([b"abc", b"def"], buffers)

    async def test_no_overtaking(self) -> None:
        """A call that does not wait never overtakes one that does."""
        client, server = await self.ends()
        _buffer, msg = into(4)
        first = waiting(server.receive(msg, c.MSG_WAITALL))
        client.send(MsgHdr(iov=[b"abc"]))
        while not server.rcvcount:
            await deferLater(reactor, 0)
        self.assertEqual(errno.EWOULDBLOCK, self.errno_of(server.receive, msg, c.MSG_DONTWAIT))
        client.send(MsgHdr(iov=[b"d"]))
        self.assertEqual(4, await first)

    async def test_never_raises(self) -> None:
        """In blocking mode what is wrong is told by the Deferred."""
        client, _server = await self.ends()
        nothing: Any = None
        for call in (
            lambda: client.receive(MsgHdr()),
            lambda: client.receivembuf(0),
            lambda: client.receive_internal(None, True, 0, -1),
            lambda: client.send(MsgHdr(iov=[])),
            lambda: client.sendmbuf(nothing),
            lambda: client.accept(),
        ):
            self.assertEqual(errno.EINVAL, await self.errno_when(call()))
        client.close()
        for late in (
            lambda: client.receive(into(1)[1]),
            lambda: client.send(MsgHdr(iov=[b"x"])),
            lambda: client.accept(),
            lambda: client.connect(ANY),
            lambda: client.connectwait(1),
        ):
            self.assertEqual(errno.EBADF, await self.errno_when(late()))


class EndTests(WaitCase):
    async def test_close_ends_all(self) -> None:
        """Close ends every wait, each in its own way, and not within the call."""
        client, server = await self.ends()
        listener = self.blocking()
        listener.listen(1)
        told: list[object] = []

        def note(result: Any) -> None:
            told.append(result if isinstance(result, int) else result.value.errno)

        sending = waiting(client.send(MsgHdr(iov=[bytes(64 << 20)])))
        for done in (
            server.receive(into(1 << 30 >> 6)[1], c.MSG_WAITALL),
            listener.accept(),
            client.receive(into(1)[1]),
        ):
            waiting(done).addBoth(note)
        server.close()
        listener.close()
        client.abort()
        self.assertEqual([], told)
        partial = await sending
        self.assertGreater(partial, 0)
        self.assertEqual([0, errno.ECONNABORTED, 0], told)

    async def test_cancel_after_close(self) -> None:
        """A wait that close has ended is told at once when it is cancelled then."""
        client, _server = await self.ends()
        done = waiting(client.receive(into(1)[1]))
        client.close()
        done.cancel()
        self.assertEqual(0, self.successResultOf(done))

    async def test_cancel_waitall(self) -> None:
        """What was collected in pieces is the result when the rest is cancelled."""
        client, server = await self.ends()
        want = 3 * HIWAT
        buffer, msg = into(want)
        done = waiting(server.receive(msg, c.MSG_WAITALL))
        data = bytes(range(256)) * (2 * HIWAT // 256)
        await waiting(client.send(MsgHdr(iov=[data])))
        while server.rcvbytes < len(data):
            await deferLater(reactor, 0)
        await deferLater(reactor, 0)
        done.cancel()
        self.assertEqual(len(data), self.successResultOf(done))
        self.assertEqual(data, buffer[: len(data)])

    async def test_cancelled_send(self) -> None:
        """A send that is cancelled tells how much was taken, and that much arrives."""
        client, server = await self.ends()
        data = bytes(range(256)) * (1 << 16)
        done = waiting(client.send(MsgHdr(iov=[data])))
        done.cancel()
        taken = self.successResultOf(done)
        self.assertTrue(0 < taken < len(data))
        client.close()
        received = b""
        while True:
            chain, _count = await waiting(server.receivembuf(1 << 30))
            if chain is None:
                break
            received += bytes(chain)
        self.assertEqual(data[:taken], received)

    async def test_shielded(self) -> None:
        """While nobody may interrupt, cancelling changes nothing; accept is not shielded."""
        client, server = await self.ends()
        server.nointerrupt(True)
        buffer, msg = into(5)
        done = waiting(server.receive(msg))
        done.cancel()
        self.assertNoResult(done)
        await waiting(client.send(MsgHdr(iov=[b"hello"])))
        self.assertEqual(5, await done)
        self.assertEqual(b"hello", buffer)
        listener = self.blocking()
        listener.listen(1)
        listener.nointerrupt(True)
        accepting = waiting(listener.accept())
        accepting.cancel()
        self.assertEqual(errno.EINTR, await self.errno_when(accepting))

    async def test_timeouts(self) -> None:
        """SO_RCVTIMEO and SO_SNDTIMEO end a wait: EWOULDBLOCK, or what was done."""
        clock = Clock()
        kpi = SocketKPI(reactor, clock)
        self.addCleanup(kpi.closeall)
        ours, theirs = socket.socketpair()
        so = kpi.adopt(ours)
        self.addCleanup(theirs.close)
        so.setsockopt(c.SOL_SOCKET, c.SO_RCVTIMEO, (2, 500_000))
        done = waiting(so.receive(into(1)[1]))
        clock.advance(2.4)
        self.assertNoResult(done)
        clock.advance(0.2)
        self.assertEqual(errno.EWOULDBLOCK, await self.errno_when(done))
        so.setsockopt(c.SOL_SOCKET, c.SO_SNDTIMEO, (1, 0))
        done = waiting(so.send(MsgHdr(iov=[bytes(4 << 20)])))
        clock.advance(1)
        self.assertTrue(0 < self.successResultOf(done) < 4 << 20)
        done = waiting(so.send(MsgHdr(iov=[b"x"])))
        clock.advance(1)
        self.assertEqual(errno.EWOULDBLOCK, await self.errno_when(done))
        so.abort()
        self.assertEqual([], [call for call in clock.getDelayedCalls() if call.getTime() > 4])

    async def test_defunct(self) -> None:
        """Whoever waits on a socket that becomes defunct is told EBADF."""
        client, _server = await self.ends()
        done = waiting(client.receive(into(1)[1]))
        client.defunct(None, c.SHUTDOWN_SOCKET_LEVEL_DISCONNECT_ALL)
        self.assertEqual(errno.EBADF, await self.errno_when(done))


class SmallTests(WaitCase):
    async def test_many_small(self) -> None:
        """A thousand small segments fill so_rcv and do not stop a wait for more."""
        client, server = await self.ends()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        want = 3 * c.RCV_PACKETS
        buffer, msg = into(want)
        done = waiting(server.receive(msg, c.MSG_WAITALL))
        for number in range(want):
            await waiting(client.send(MsgHdr(iov=[bytes([number % 251])])))
            if number % 3 == 0:
                await deferLater(reactor, 0)
        self.assertEqual(want, await done)
        self.assertEqual(bytes(n % 251 for n in range(want)), buffer)

    async def test_external(self) -> None:
        """The owner of attached memory has it back as soon as sendmbuf returns."""
        client, server = await self.ends()
        memory = bytearray(b"x" * 1000)
        freed: list[object] = []
        chain = Mbuf.attachcluster(memory, lambda *args: freed.append(args[2]), "arg")
        chain.setlen(1000)
        packet = Mbuf.gethdr()
        packet.setnext(chain)
        packet.pkthdr_setlen(1000)
        done = waiting(client.sendmbuf(packet))
        self.assertEqual(["arg"], freed)
        memory[:] = b"y" * 1000
        self.assertEqual(1000, await done)
        received, _count = await waiting(server.receivembuf(1000, flags=c.MSG_WAITALL))
        self.assertEqual(b"x" * 1000, bytes(received))

    async def test_urgent_waits(self) -> None:
        """An urgent byte goes behind what waits before it, in its place."""
        client, server = await self.ends()
        data = bytes(8 << 20)
        first = waiting(client.send(MsgHdr(iov=[data])))
        urgent = waiting(client.send(MsgHdr(iov=[b"!"]), c.MSG_OOB))
        self.assertNoResult(urgent)
        left = len(data)
        while left:
            _chain, count = await waiting(server.receivembuf(left))
            left -= count
        self.assertEqual(len(data), await first)
        self.assertEqual(1, await urgent)
        while True:
            buffer, msg = into(1)
            try:
                server.receive(msg, c.MSG_OOB | c.MSG_DONTWAIT)
                break
            except OSError:
                await deferLater(reactor, 0)
        self.assertEqual(b"!", buffer)


class DatagramTests(WaitCase):
    async def test_full_receiver(self) -> None:
        """A local datagram waits until its receiver has room, connected or not."""
        for connected in (True, False):
            path = self.mktemp_short()
            theirs = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self.addCleanup(theirs.close)
            theirs.bind(path)
            so = self.blocking(UNIX, DGRAM)
            if connected:
                await waiting(so.connect(path))
            name = None if connected else path
            sent = 0
            while True:
                done = waiting(so.send(MsgHdr(name=name, iov=[b"%d" % sent])))
                if not done.called:
                    break
                sent += 1
            theirs.recv(10)
            theirs.recv(10)
            self.assertEqual(len(b"%d" % sent), await done)
            self.assertEqual(b"2", theirs.recv(10))

    async def test_control(self) -> None:
        """Control messages come with each datagram once an option asks for them."""
        so = self.blocking(INET, DGRAM)
        so.bind(ANY)
        so.setsockopt(socket.IPPROTO_IP, 8, 1)  # IP_PKTINFO
        peer = Owner(self.socket(INET, DGRAM))
        peer.so.connect(so.getsockname())
        peer.so.sendbatch(packets(b"hello"))
        buffer, msg = into(10)
        self.assertEqual(5, await waiting(so.receive(msg)))
        self.assertEqual(b"hello", buffer[:5])
        self.assertEqual([(0, 8)], [(level, type) for level, type, _ in msg.control or ()])
        self.assertEqual(peer.so.getsockname(), msg.name)

    async def test_marked_by_control(self) -> None:
        """A control message sent with a datagram has its effect."""
        so = self.blocking(INET, DGRAM)
        so.bind(ANY)
        so.setsockopt(socket.IPPROTO_IP, 13, 1)  # IP_RECVTOS
        peer = self.blocking(INET, DGRAM)
        tos = (int(socket.IPPROTO_IP), int(socket.IP_TOS), (0xB8).to_bytes(4, "little"))
        sent = peer.send(MsgHdr(name=so.getsockname(), iov=[b"x"], control=[tos]))
        self.assertEqual(1, await waiting(sent))
        _buffer, msg = into(10)
        await waiting(so.receive(msg))
        self.assertEqual([b"\xb8"], [data[:1] for _, _, data in msg.control or ()])
