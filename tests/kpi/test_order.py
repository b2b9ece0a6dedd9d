"""Waits that share a side: who goes on when another ends, and what never mixes."""

from __future__ import annotations

import array
import contextlib
import errno
import gc
import os
import socket
from functools import partial
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock, deferLater
from zope.interface import implementer

from ngksock.kpi import Mbuf, MsgHdr, Socket, SocketKPI
from ngksock.kpi import constants as c
from tests.kpi.sockets import ANY, INET, SEQPACKET, STREAM, UNIX, KPITestCase, packets
from tests.kpi.test_wait import WaitCase, into, waiting


@implementer(IReactorTime)
class OneTimeout:
    """The reactor's time, but a wait of five seconds ends when a test says so."""

    seconds = reactor.seconds
    getDelayedCalls = reactor.getDelayedCalls

    def __init__(self) -> None:
        self.clock = Clock()

    def callLater(self, delay: float, callable: Any, *args: Any, **kwargs: Any) -> Any:
        timer: Any = self.clock if delay == 5 else reactor
        return timer.callLater(delay, callable, *args, **kwargs)

    def expire(self) -> None:
        """Let the five seconds pass."""
        self.clock.advance(5)


class TurnTests(WaitCase):
    async def until(self, condition: Any) -> None:
        """Let the reactor turn until *condition* holds."""
        end = reactor.seconds() + 10
        while not condition():
            self.assertLess(reactor.seconds(), end, "waited in vain")
            await deferLater(reactor, 0)

    async def behind(self, first: Any) -> None:
        """Have *first* end the wait at the head; the one behind it is served then."""
        client, server = await self.ends()
        server.setsockopt(c.SOL_SOCKET, c.SO_RCVTIMEO, (5, 0))
        _buffer, msg = into(100)
        head = waiting(server.receive(msg, c.MSG_WAITALL))
        server.setsockopt(c.SOL_SOCKET, c.SO_RCVTIMEO, (0, 0))
        behind = waiting(server.receive(into(5)[1]))
        await waiting(client.send(MsgHdr(iov=[b"0123456789"])))
        await self.until(lambda: server.rcvcount == 10)
        self.assertNoResult(behind)
        first(head)
        self.assertIsNotNone(await self.errno_when(head))
        self.assertEqual(5, await behind)

    async def test_cancelled(self) -> None:
        """Who waits behind a call that is cancelled goes on."""
        await self.behind(lambda head: head.cancel())

    async def test_timed_out(self) -> None:
        """Who waits behind a call whose time is over goes on."""
        clock = OneTimeout()
        self.kpi = SocketKPI(reactor, clock)
        self.addCleanup(self.kpi.closeall)
        await self.behind(lambda head: clock.expire())

    async def test_owner_told(self) -> None:
        """An owner who was refused because of a wait gets an upcall when that ends."""
        client, server = await self.ends()
        head = waiting(server.receive(into(100)[1], c.MSG_WAITALL))
        await waiting(client.send(MsgHdr(iov=[b"0123456789"])))
        await self.until(lambda: server.rcvcount == 10)
        told: Deferred[None] = Deferred()

        def tell(*args: object) -> None:
            if not told.called:
                told.callback(None)

        server.setupcalls(tell, None, None, None)
        await told
        told = Deferred()
        self.assertEqual(
            errno.EWOULDBLOCK, self.errno_of(server.receive, into(5)[1], c.MSG_DONTWAIT)
        )
        head.cancel()
        await self.errno_when(head)
        await told

    async def test_batches_wait_too(self) -> None:
        """Batches never get between the bytes of a call that waits, either way."""
        client, server = await self.ends()
        data = b"a" * (8 << 20)
        sending = waiting(client.send(MsgHdr(iov=[data])))
        self.assertEqual(errno.ENOBUFS, self.errno_of(client.sendbatch, packets(b"b")))
        receiving = waiting(server.receive(into(100)[1], c.MSG_WAITALL))
        self.assertEqual(errno.EWOULDBLOCK, self.errno_of(server.receivebatch, 1))
        left = len(data) - await receiving
        while left:
            chain, count = await waiting(server.receivembuf(left))
            self.assertEqual(b"a" * count, bytes(chain))
            left -= count
        self.assertEqual(len(data), await sending)

    async def test_buffer_is_free(self) -> None:
        """Once it has fired, a Deferred holds none of the owner's buffers."""
        client, server = await self.ends()
        buffer = bytearray(10)
        done = waiting(server.receive(MsgHdr(iov=[buffer])))
        await waiting(client.send(MsgHdr(iov=[b"abc"])))
        count = await done
        del buffer[count:]
        self.assertEqual(b"abc", buffer)
        data = bytearray(8 << 20)
        sending = waiting(client.send(MsgHdr(iov=[data])))
        sending.cancel()
        self.assertGreater(self.successResultOf(sending), 0)
        del data[:]

    async def test_shared_memory(self) -> None:
        """Whoever shares the memory of a chain that waits to be sent writes to a copy."""
        client, server = await self.ends()
        first = waiting(client.send(MsgHdr(iov=[bytes(8 << 20)])))
        chain = Mbuf.getpacket()
        chain.copyback(0, b"A" * 1000)
        sharer = chain.copym()
        second = waiting(client.sendmbuf(chain))
        sharer.copyback(0, b"Z" * 1000)
        left = 8 << 20
        while left:
            _chain, count = await waiting(server.receivembuf(left))
            left -= count
        await first
        await second
        received, _count = await waiting(server.receivembuf(1000, flags=c.MSG_WAITALL))
        self.assertEqual(b"A" * 1000, bytes(received))

    async def test_connect_waits_apart(self) -> None:
        """Those who wait for a connection are all told why there is none, and stop no send."""
        client = self.blocking()
        refused = socket.socket()
        refused.bind(ANY)
        first = waiting(client.connect(refused.getsockname()))
        others = [waiting(client.connectwait(5)) for _ in range(2)]
        self.assertEqual(
            errno.ENOTCONN, self.errno_of(client.send, MsgHdr(iov=[b"x"]), c.MSG_DONTWAIT)
        )
        refused.close()
        for done in (first, *others):
            self.assertEqual(errno.ECONNREFUSED, await self.errno_when(done))
        self.assertEqual(errno.EINVAL, await self.errno_when(client.connectwait(1)))

    async def test_smaller_buffer(self) -> None:
        """A smaller SO_RCVBUF that satisfies a low-water mark wakes who waits for it."""
        client, server = await self.ends()
        server.setsockopt(c.SOL_SOCKET, c.SO_RCVLOWAT, 50_000)
        done = waiting(server.receive(into(60_000)[1]))
        await waiting(client.send(MsgHdr(iov=[bytes(40_000)])))
        await self.until(lambda: server.rcvcount == 40_000)
        server.setsockopt(c.SOL_SOCKET, c.SO_RCVBUF, 20_000)
        self.assertEqual(40_000, await done)

    async def test_bounded(self) -> None:
        """Asking again and again for more than fits does not make the buffer grow."""
        client, server = await self.ends()
        server.ioctl(c.FIONBIO, 1)
        client.ioctl(c.FIONBIO, 1)
        _buffer, msg = into(16 << 20)
        for _ in range(200):
            with contextlib.suppress(BlockingIOError):
                client.send(MsgHdr(iov=[bytes(1 << 20)]))
            self.assertEqual(errno.EWOULDBLOCK, self.errno_of(server.receive, msg, c.MSG_WAITALL))
            await deferLater(reactor, 0)
        self.assertLess(server.rcvcount, 2 * c.SB_HIWAT + 1)


class UrgentTests(WaitCase):
    async def test_many_parts(self) -> None:
        """However many parts an urgent message has, its last byte alone is urgent."""
        client, server = await self.ends()
        parts = [b"%d" % (n % 10) for n in range(1500)]
        receiving = waiting(server.receive(into(1499)[1], c.MSG_WAITALL))
        with self.assertRaises(OSError):
            server.receive(into(1)[1], c.MSG_OOB | c.MSG_DONTWAIT)
        self.assertEqual(1500, await waiting(client.send(MsgHdr(iov=parts), c.MSG_OOB)))
        self.assertEqual(1499, await receiving)

    async def test_behind_a_lot(self) -> None:
        """An urgent message of 8 MiB is sent whole, and so is a chain that goes whole."""
        client, server = await self.ends()
        done = waiting(client.send(MsgHdr(iov=[bytes(8 << 20)]), c.MSG_OOB))
        left = (8 << 20) - 1
        while left:
            _chain, count = await waiting(server.receivembuf(left))
            left -= count
        self.assertEqual(8 << 20, await done)
        client.ioctl(c.FIONBIO, 1)
        sent = client.sendmbuf(Mbuf.from_bytes(bytes(c.SB_HIWAT)), flags=c.MSG_OOB)
        self.assertEqual(c.SB_HIWAT, sent)


class ControlTests(WaitCase):
    async def ends_of(self, type: int) -> tuple[Socket, socket.socket]:
        """Return one of our ends, and one of Python's."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, type)
        self.addCleanup(theirs.close)
        return self.kpi.adopt(ours), theirs

    async def test_bad_arguments(self) -> None:
        """Control messages the system refuses are the caller's error; the connection lives."""
        so, theirs = await self.ends_of(socket.SOCK_STREAM)
        closed = os.open("/dev/null", os.O_RDONLY)
        os.close(closed)
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [closed]).tobytes())
        msg = MsgHdr(iov=[b"x"], control=[rights])
        self.assertEqual(errno.EBADF, await self.errno_when(so.send(msg)))
        wide: Any = (1 << 40, 1, b"")
        self.assertEqual(
            errno.EINVAL, await self.errno_when(so.send(MsgHdr(iov=[b"x"], control=[wide])))
        )
        await waiting(so.send(MsgHdr(iov=[b"alive"])))
        self.assertEqual(b"alive", theirs.recv(10))
        self.assertTrue(so.isconnected())

    async def test_rights_wait(self) -> None:
        """A message with a descriptor waits for space, and its writer is told."""
        so, theirs = await self.ends_of(socket.SOCK_STREAM)
        with open("/dev/null", "rb") as file:
            rights = (
                socket.SOL_SOCKET,
                socket.SCM_RIGHTS,
                array.array("i", [file.fileno()]).tobytes(),
            )
            done = waiting(so.send(MsgHdr(iov=[bytes(2 << 20)], control=[rights])))
            received = 0
            descriptors: list[int] = []
            while received < 2 << 20:
                await deferLater(reactor, 0)
                data, fds, _flags, _name = socket.recv_fds(theirs, 1 << 20, 4)
                received += len(data)
                descriptors += fds
            self.assertEqual(2 << 20, await done)
        self.assertEqual(1, len(descriptors))
        os.close(descriptors[0])

    async def test_records(self) -> None:
        """A record too long is EMSGSIZE, one of many parts is one, an empty one is none."""
        so, theirs = await self.ends_of(socket.SOCK_SEQPACKET)
        so.setsockopt(c.SOL_SOCKET, c.SO_SNDBUF, 200_000)
        real = so.driver.ctloutput(c.SOL_SOCKET, c.SO_SNDBUF)
        assert isinstance(real, int)
        so.so_snd.hiwat = real + 1  # what the host says of it, then
        self.assertEqual(
            errno.EMSGSIZE, await self.errno_when(so.send(MsgHdr(iov=[bytes(real + 1)])))
        )
        self.assertTrue(so.isconnected())
        parts = [b"x"] * 1500
        control: Any = []
        self.assertEqual(1500, await waiting(so.send(MsgHdr(iov=parts, control=control))))
        self.assertEqual(b"x" * 1500, theirs.recv(4000))
        self.assertEqual(0, await waiting(so.send(MsgHdr(iov=[b""]))))
        await waiting(so.send(MsgHdr(iov=[b"next"])))
        self.assertEqual(b"next", theirs.recv(100))


class ArgumentTests(KPITestCase):
    def test_wrong_types(self) -> None:
        """What is no number, no message or no function is EINVAL, and nothing else."""
        odd: Any
        so = self.socket()
        for odd in (None, "1", 1.5):
            for call, *args in (
                (so.receive, into(1)[1], odd),
                (so.receivembuf, 1, None, odd),
                (so.receivembuf, odd),
                (so.receive_internal, None, True, 0, odd),
                (so.send, MsgHdr(iov=[b"x"]), odd),
                (so.sendmbuf, Mbuf.from_bytes(b"x"), None, odd),
                (so.connect, ANY, odd),
                (so.accept, odd),
                (so.listen, odd),
                (so.catchevents, print, None, odd),
                (self.kpi.socket, INET, STREAM, odd),
                (self.kpi.socket, odd, STREAM),
            ):
                self.assertEqual(errno.EINVAL, self.errno_of(call, *args), (call, args))
        odd = "no message"
        self.assertEqual(errno.EINVAL, self.errno_of(so.receivembuf, 1, odd))
        self.assertEqual(errno.EINVAL, self.errno_of(so.setupcall, odd))
        self.assertEqual(errno.EPROTONOSUPPORT, self.errno_of(self.kpi.socket, INET, 1, 1 << 40))
        self.assertEqual(errno.EINVAL, self.errno_of(self.socket(UNIX).bind, "\ud800"))

    def test_bound_again(self) -> None:
        """A local socket that is bound takes no second path, and removes nothing there."""
        first, stale = self.mktemp_short(), self.mktemp_short()
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(stale)
        so = self.socket(UNIX)
        so.bind(first)
        self.assertEqual(errno.EINVAL, self.errno_of(so.bind, stale))
        self.assertTrue(os.path.exists(stale))

    def test_after_defunct(self) -> None:
        """A defunct socket answers whatever is asked of its descriptor with an OSError."""
        so = self.socket()
        so.defunct(None, c.SHUTDOWN_SOCKET_LEVEL_DISCONNECT_ALL)
        for request in (c.SIOCATMARK, 0x8905, 0x8933):
            self.assertEqual(errno.EBADF, self.errno_of(so.ioctl, request, bytes(64)))
        self.assertEqual(0, so.getsockopt(c.SOL_SOCKET, c.SO_NWRITE))
        gc.collect()

    async def test_reset_twice(self) -> None:
        """reset of a socket that is closing already changes nothing of its end."""
        client, server = await self.pair(reads=False)
        while not client.so.sndcount:
            client.so.sendbatch(packets(bytes(1 << 18)))
        client.so.close()
        self.assertEqual(errno.EBADF, self.errno_of(client.so.reset))
        self.assertFalse(client.so.resets)
        server.so.abort()

    async def test_closeall_in_callbacks(self) -> None:
        """All sockets are closed even when the end of one closes another."""
        kpi = SocketKPI(reactor)
        pairs = [socket.socketpair(socket.AF_UNIX, SEQPACKET) for _ in range(8)]
        sockets = []
        for ours, theirs in pairs:
            self.addCleanup(theirs.close)
            so = kpi.adopt(ours)
            so.ioctl(c.FIONBIO, 1)
            while not so.sndcount:
                so.sendbatch(packets(bytes(60_000)))
            sockets.append(so)

        def end(other: Socket, result: None) -> None:
            with contextlib.suppress(OSError):  # closeall was quicker
                other.abort()

        for so, other in zip(sockets[::2], sockets[1::2], strict=True):
            so.close().addCallback(partial(end, other))
        kpi.closeall()
        self.assertEqual(set(), kpi._sockets)
