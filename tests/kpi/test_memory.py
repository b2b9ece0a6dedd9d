"""The memory driver: sockets without a network, on a clock the test turns."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from ngksock.interfaces import IUserRequests
from ngksock.kpi import Socket, SocketKPI
from ngksock.kpi import constants as c
from ngksock.kpi.msghdr import MsgHdr
from ngksock.kpi.protosw import pffindproto
from ngksock.testing import MemoryNet
from tests.kpi.sockets import DGRAM, INET, INET6, SEQPACKET, STREAM, UNIX, Owner, packets

ANY = ("127.0.0.1", 0)
KINDS = [(INET, STREAM), (INET, DGRAM), (INET6, STREAM), (INET6, DGRAM)]
KINDS += [(UNIX, kind) for kind in (STREAM, DGRAM, SEQPACKET)]
RESET_TOLD = [0x2, 0x6000, "write", "read"]
SOL = int(socket.SOL_SOCKET)


class MemoryTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.net = MemoryNet(self.clock)
        self.kpi = self.net.kpi()

    def tearDown(self) -> None:
        """Whatever a test did, closed sockets leave nothing."""
        self.kpi.closeall()
        self.clock.advance(0)
        self.assertEqual([], self.clock.getDelayedCalls())
        self.assertEqual(({}, {}), (self.net.names._ports, self.net.names._paths))

    def turn(self) -> None:
        self.clock.advance(0)

    def socket(self, domain: int = INET, type: int = STREAM) -> Socket:
        so = self.kpi.socket(domain, type)
        so.ioctl(c.FIONBIO, 1)
        return so

    def bound(self, domain: int = INET, type: int = STREAM) -> Socket:
        """Return a socket that is bound to a fresh address."""
        so = self.socket(domain, type)
        local = f"/sock/{id(so)}"
        so.bind({INET: ANY, INET6: ("::1", 0), UNIX: local}[domain])
        return so

    def listener(self, domain: int = INET, type: int = STREAM, backlog: int = 5) -> Owner:
        so = self.bound(domain, type)
        so.listen(backlog)
        return Owner(so)

    def dial(self, to: Any, domain: int = INET, type: int = STREAM, reads: bool = True) -> Owner:
        """Begin a connection to *to*."""
        owner = Owner(self.socket(domain, type), reads)
        if domain == UNIX:
            owner.so.connect(to)
        else:
            self.fails(errno.EINPROGRESS, owner.so.connect, to)
        return owner

    def take(self, listener: Owner) -> tuple[Socket, Any]:
        taken = listener.so.accept(c.MSG_DONTWAIT)
        assert isinstance(taken, tuple)
        return taken

    def accept(self, listener: Owner, reads: bool = True) -> Owner:
        return Owner(self.take(listener)[0], reads)

    def pair(self, domain: int = INET, type: int = STREAM, reads: bool = True) -> list[Owner]:
        """Return a client and its accepted peer, past the beginning."""
        listener = self.listener(domain, type)
        client = self.dial(listener.so.getsockname(), domain, type, reads)
        self.turn()
        server = self.accept(listener, reads)
        listener.so.close()
        self.turn()
        for owner in (client, server):
            owner.told.clear()
        return [client, server]

    def fails(self, code: int, call: Callable[..., object], *args: Any) -> None:
        """Claim that *call* fails with *code*."""
        self.assertEqual(code, self.assertRaises(OSError, call, *args).errno)

    def send(self, so: Socket, data: bytes, to: Any = None, flags: int = 0) -> Any:
        return so.send(MsgHdr(name=to, iov=[data]), flags)


class NetTests(MemoryTestCase):
    def test_waist(self) -> None:
        """The drivers are what a socket asks of one, and need no reactor."""
        for domain, type in KINDS:
            verifyObject(IUserRequests, self.socket(domain, type).driver)
        self.fails(errno.EPROTONOSUPPORT, self.kpi.socket, INET, int(socket.SOCK_RAW), 1)

    def test_drivers(self) -> None:
        """A provider of one's own uses the net by its drivers argument."""
        kpi = SocketKPI(object(), self.clock, drivers=self.net.driver)
        so = kpi.socket(INET, DGRAM)
        so.bind(("127.0.0.1", 7))
        self.fails(errno.EADDRINUSE, self.socket(INET, DGRAM).bind, ("127.0.0.1", 7))
        kpi.closeall()

    def test_adopt(self) -> None:
        """A host's socket stays one, and is none that can be reset here."""
        driver = self.net.driver(self.kpi, pffindproto(INET, STREAM, 0))
        self.fails(errno.EOPNOTSUPP, driver.adopted)
        self.assertRaises(TypeError, self.net.reset, Owner.__new__(_Foreign))

    def test_bind(self) -> None:
        """EINVAL bound twice, EADDRINUSE taken, EADDRNOTAVAIL elsewhere; ports are counted."""
        for type in (STREAM, DGRAM):
            so = self.bound(INET, type)
            self.assertEqual(("127.0.0.1", 49152 + (type == DGRAM)), so.getsockname())
            self.fails(errno.EINVAL, so.bind, ANY)
            for taken in (so.getsockname(), ("0.0.0.0", so.getsockname()[1])):
                self.fails(errno.EADDRINUSE, self.socket(INET, type).bind, taken)
            self.socket(INET, type).bind(("127.9.9.9", so.getsockname()[1]))
            self.fails(errno.EADDRNOTAVAIL, self.socket(INET, type).bind, ("192.0.2.1", 0))
        six = self.socket(INET6)
        six.bind(("0::0:1", 80))
        self.assertEqual(("::1", 80, 0, 0), six.getsockname())

    def test_reuse(self) -> None:
        """SO_REUSEADDR shares a port unless somebody listens; SO_REUSEPORT in any case."""
        one, other, third = self.bound(), self.socket(), self.socket()
        for so in (one, other, third):
            so.setsockopt(SOL, c.SO_REUSEADDR, 1)
        other.bind(one.getsockname())
        one.listen(1)
        self.fails(errno.EADDRINUSE, other.listen, 1)
        self.fails(errno.EADDRINUSE, third.bind, one.getsockname())
        for so in (one, other, third):
            so.setsockopt(SOL, int(socket.SO_REUSEPORT), 1)
        other.listen(1)
        third.bind(one.getsockname())

    def test_restart(self) -> None:
        """The port of a closed listener is taken while its connections live."""
        listener = self.listener()
        name = listener.so.getsockname()
        self.dial(name)
        self.turn()
        server = self.accept(listener)
        listener.so.close()
        self.fails(errno.EADDRINUSE, self.socket().bind, name)
        server.so.close()
        self.socket().bind(name)

    def test_ports(self) -> None:
        """With every port in use there is none: EADDRNOTAVAIL; a closed one is free again."""
        sockets = [self.bound(INET, DGRAM) for _ in range(16384)]
        self.fails(errno.EADDRNOTAVAIL, self.bound, INET, DGRAM)
        name = sockets[100].getsockname()
        sockets[100].close()
        self.assertEqual(name, self.bound(INET, DGRAM).getsockname())

    def test_addresses(self) -> None:
        """A net has the addresses it was given; elsewhere is ENETUNREACH."""
        net = MemoryNet(self.clock, ["10.0.0.0/8"])
        server, client = net.kpi().socket(INET, DGRAM), net.kpi().socket(INET, DGRAM)
        server.bind(("10.0.0.1", 53))
        client.bind(("10.0.0.2", 0))
        client.connect(("10.0.0.1", 53), c.MSG_DONTWAIT)
        self.send(client, b"?", flags=c.MSG_DONTWAIT)
        self.turn()
        self.assertEqual([client.getsockname()], server.receivebatch(1).names)
        self.fails(errno.ENETUNREACH, self.socket().connect, ("10.0.0.1", 53))
        for so in (server, client):
            so.close()

    def test_local_names(self) -> None:
        """A path is ENOENT, EADDRINUSE, EPROTOTYPE or ECONNREFUSED as on the host; no file."""
        listener = self.listener(UNIX, backlog=1)
        path = listener.so.getsockname()
        self.fails(errno.EADDRINUSE, self.socket(UNIX, DGRAM).bind, path)
        self.fails(errno.EPROTOTYPE, self.socket(UNIX, DGRAM).connect, path)
        self.fails(errno.ENOENT, self.socket(UNIX).connect, "/nobody")
        self.fails(errno.ECONNREFUSED, self.socket(UNIX).connect, "\0nobody")
        idle = self.bound(UNIX)
        self.fails(errno.ECONNREFUSED, self.socket(UNIX).connect, idle.getsockname())
        self.fails(errno.EINVAL, self.socket(UNIX).listen, 1)
        client = self.dial(path, UNIX)
        self.assertTrue(client.so.isconnected())
        self.fails(errno.ECONNREFUSED, self.socket(UNIX).connect, path)
        server, name = self.take(listener)
        self.assertEqual(["", "", path], [name, client.so.getsockname(), server.getsockname()])

    def test_options(self) -> None:
        """Options are kept, ints of four bytes; ENOPROTOOPT those nobody knows."""
        so = self.socket()
        tos = (int(socket.IPPROTO_IP), int(socket.IP_TOS))
        so.setsockopt(*tos, 0x10)
        so.setsockopt(SOL, c.SO_RCVBUF, 10000)
        so.setsockopt(int(socket.IPPROTO_TCP), int(socket.TCP_NODELAY), b"\1\0\0\0")
        self.assertEqual([0x10, 10000], [so.getsockopt(*tos), so.getsockopt(SOL, c.SO_RCVBUF)])
        self.assertEqual(b"\1\0\0\0", so.driver.ctloutput(6, int(socket.TCP_NODELAY), None, 4))
        self.assertEqual(256 * 1024, self.socket(INET, DGRAM).getsockopt(SOL, c.SO_SNDBUF))
        for level, name in ((SOL, 0x7FFF), (41, int(socket.IPV6_TCLASS))):
            self.fails(errno.ENOPROTOOPT, so.getsockopt, level, name)
        self.fails(errno.ENOPROTOOPT, self.socket(UNIX).setsockopt, *tos, 1)
        self.fails(errno.EINVAL, so.driver.ctloutput, *tos, b"\1")
        self.fails(errno.EOPNOTSUPP, so.ioctl, 0x8927, bytes(40))
        self.fails(errno.EOPNOTSUPP, self.socket(INET, DGRAM).driver.ioctl, c.SIOCATMARK, b"")


class _Foreign(Owner):
    driver: object = None


class ConnectTests(MemoryTestCase):
    def test_connect(self) -> None:
        """A connection is made in another turn: upcalls, the event; accept has the name."""
        listener = self.listener()
        client = self.dial(("0.0.0.0", listener.so.getsockname()[1]))
        self.fails(errno.EALREADY, client.so.connect, listener.so.getsockname())
        self.assertEqual([], client.told)
        self.turn()
        self.assertEqual((["read", "write", 0x5000], ["read"]), (client.told, listener.told))
        server, name = self.take(listener)
        self.assertEqual(client.so.getsockname(), name)
        self.assertEqual(("127.0.0.1", 49153), server.getpeername())
        self.assertEqual(server.getsockname(), client.so.getpeername())

    def test_refused(self) -> None:
        """Where nobody listens a connection is refused, in another turn."""
        client = self.dial(self.bound().getsockname())
        self.assertEqual([], client.told)
        self.turn()
        self.assertEqual((RESET_TOLD, errno.ECONNREFUSED), (client.told, client.error))

    def test_backlog(self) -> None:
        """Beyond the backlog attempts are stuck until an accept; they come in in order."""
        listener = self.listener(backlog=2)
        clients = [self.dial(listener.so.getsockname()) for _ in range(4)]
        self.turn()
        connected = [client.so.isconnected() for client in clients]
        self.assertEqual([True, True, False, False], connected)
        for client in clients:
            self.assertTrue(client.so.isconnected())
            _, name = self.take(listener)
            self.assertEqual(client.so.getsockname(), name)
            self.turn()
        self.fails(errno.EWOULDBLOCK, listener.so.accept)
        self.assertEqual(4, listener.told.count("read"))

    def test_stuck(self) -> None:
        """Who is stuck gets ETIMEDOUT in the net's time, or is refused with the listener gone."""
        listener = self.listener(backlog=1)
        self.dial(listener.so.getsockname())
        self.turn()
        late = self.dial(listener.so.getsockname())
        self.clock.advance(self.net.timeout - 1)
        later = self.dial(listener.so.getsockname())
        gone = self.dial(listener.so.getsockname())
        self.turn()
        gone.so.close()
        self.clock.advance(1)
        self.assertEqual(([0x10, 0x6000, "write", "read"], errno.ETIMEDOUT), told(late))
        self.assertEqual(([], None), told(later))
        listener.so.close()
        self.turn()
        self.assertEqual((RESET_TOLD, errno.ECONNREFUSED), told(later))

    def test_listener_closed(self) -> None:
        """Connections nobody accepted are reset with the listener; accepted ones live."""
        listener = self.listener()
        for backlog in (1, 3):  # a listener may change its mind
            listener.so.listen(backlog)
        clients = [self.dial(listener.so.getsockname()) for _ in range(2)]
        self.turn()
        server = self.accept(listener)
        listener.so.close()
        self.turn()
        self.assertEqual([None, errno.ECONNRESET], [client.error for client in clients])
        self.send(clients[0].so, b"alive")
        self.turn()
        self.assertEqual(b"alive", server.data)

    def test_reset_before_accept(self) -> None:
        """A client that came and went is accepted all the same, and read to its end."""
        for end, error in ((Socket.abort, errno.ECONNRESET), (Socket.close, None)):
            listener = self.listener()
            client = self.dial(listener.so.getsockname())
            self.turn()
            client.so.sendbatch(packets(b"bye"))
            end(client.so)
            self.turn()
            server = self.accept(listener)
            if error:
                self.fails(errno.ENOTCONN, server.so.getpeername)
            self.turn()
            self.assertEqual((b"bye", error, not error), (server.data, server.error, server.eof))

    def test_connecting_sends(self) -> None:
        """What is sent, and the end of file, while connecting goes out once connected."""
        listener = self.listener()
        client = self.dial(listener.so.getsockname())
        client.so.sendbatch(packets(b"early", b"bird"))
        client.so.shutdown(c.SHUT_WR)
        self.turn()
        server = self.accept(listener)
        self.turn()
        self.assertEqual(([b"earlybird"], True), (server.received, server.eof))

    def test_blocking(self) -> None:
        """Calls of blocking mode wait on the clock."""
        listener, client = self.listener().so, self.kpi.socket(INET, STREAM)
        listener.ioctl(c.FIONBIO, 0)
        accepting: Any = listener.accept()
        connecting: Any = client.connect(listener.getsockname())
        self.turn()
        self.assertIsNone(self.successResultOf(connecting))
        server, _ = self.successResultOf(accepting)
        space = bytearray(8)
        receiving = server.receive(MsgHdr(iov=[space]))
        self.assertNoResult(receiving)
        self.assertEqual(3, self.successResultOf(self.send(client, b"abc")))
        self.turn()
        self.assertEqual((3, b"abc"), (self.successResultOf(receiving), bytes(space[:3])))


def told(owner: Owner) -> tuple[list[str | int], int | None]:
    return owner.told, owner.error


class StreamTests(MemoryTestCase):
    def test_arrivals(self) -> None:
        """Each send is one arrival, in order, with one upcall, in another turn."""
        for domain in (INET, UNIX):
            one, other = self.pair(domain)
            for data in (b"a", b"b", b"c"):
                one.so.sendbatch(packets(data, data))
            self.assertEqual([], other.told)
            self.turn()
            self.assertEqual((["read"] * 3, [b"aa", b"bb", b"cc"]), (other.told, other.received))

    def test_back_pressure(self) -> None:
        """A wire holds what it holds; the rest waits in so_snd, and all arrives in order."""
        self.net.wire = 1000
        for type in (STREAM, SEQPACKET):
            one, other = self.pair(UNIX, type, reads=False)
            other.so.setsockopt(SOL, c.SO_RCVBUF, 500)
            sent = [bytes([n]) * 300 for n in range(100)]
            one.so.setsockopt(SOL, c.SO_SNDBUF, 4096)
            one.so.sendbatch(packets(*sent))
            self.turn()
            self.assertGreater(one.so.sndcount, 27000)
            self.assertNotIn("write", one.told)
            other.reads = True
            other.drain()
            self.turn()
            self.assertEqual(b"".join(sent), other.data)
            self.assertEqual((0, ["write"]), (one.so.sndcount, one.told))

    def test_half_close(self) -> None:
        """An end of file leaves the other direction open; after both it is over."""
        one, other = self.pair()
        one.so.shutdown(c.SHUT_WR)
        self.turn()
        self.assertEqual((True, [0x4, "read"]), (other.eof, other.told))
        self.send(other.so, b"still")
        other.so.shutdown(c.SHUT_WR)
        self.turn()
        self.assertEqual(b"still", one.data)
        self.assertEqual([0x8, "write", "read", 0x4, 0x6000], one.told[:5])
        self.assertFalse(one.so.isconnected() or other.so.isconnected())

    def test_reset(self) -> None:
        """What came before a reset is read first; then the error once, the end after it."""
        one, other = self.pair(reads=False)
        self.send(one.so, b"ab")
        one.so.abort()
        self.turn()
        self.assertEqual(["read", 0x2, 0x6000, "write", "read"], other.told)
        self.assertEqual([b"ab"], [bytes(p) for p in other.so.receivebatch(9)])
        self.fails(errno.ECONNRESET, other.so.receivebatch, 9)
        self.assertEqual([], other.so.receivebatch(9))
        self.fails(errno.EPIPE, self.send, other.so, b"x")

    def test_reset_unread(self) -> None:
        """A reset does not wait for a reader; what waits on the wire comes before it."""
        one, other = self.pair(reads=False)
        other.so.setsockopt(SOL, c.SO_RCVBUF, 10)
        one.so.sendbatch(packets(bytes(20)))
        self.turn()
        one.so.sendbatch(packets(bytes(30)))
        one.so.abort()
        self.turn()
        other.drain()
        self.assertEqual((50, errno.ECONNRESET), (len(other.data), other.error))

    def test_close_unread(self) -> None:
        """Closing with unread data in the system resets; so does data that comes later."""
        one, other = self.pair(reads=False)
        other.so.setsockopt(SOL, c.SO_RCVBUF, 10)
        one.so.sendbatch(packets(bytes(20)))
        self.turn()
        one.so.sendbatch(packets(bytes(20)))
        other.so.close()
        self.turn()
        one.drain()
        self.assertEqual(errno.ECONNRESET, one.error)
        one, other = self.pair()
        other.so.close()
        self.turn()
        self.assertEqual((True, None), (one.eof, one.error))
        one.told.clear()
        self.send(one.so, b"anybody there?")
        self.turn()
        self.assertEqual((RESET_TOLD, errno.ECONNRESET), told(one))

    def test_defunct(self) -> None:
        """A defunct socket has reset its connection, and is closed all the same."""
        one, other = self.pair()
        one.so.defunct(None, c.SHUTDOWN_SOCKET_LEVEL_DISCONNECT_ALL)
        self.turn()
        self.assertEqual(errno.ECONNRESET, other.error)
        one.so.close()

    def test_urgent(self) -> None:
        """An urgent byte is out of band, fetched once; the mark is where it was."""
        one, other = self.pair()
        self.send(one.so, b"abc!", flags=c.MSG_OOB)
        self.turn()
        urgent = bytearray(1)
        for flags in (c.MSG_OOB | c.MSG_PEEK, c.MSG_OOB):
            self.assertEqual(1, other.so.receive(MsgHdr(iov=[urgent]), flags))
        self.assertEqual((b"!", b"abc"), (urgent, other.data))
        self.fails(errno.EINVAL, other.so.receive, MsgHdr(iov=[urgent]), c.MSG_OOB)
        self.assertEqual(1, other.so.ioctl(c.SIOCATMARK))
        self.send(one.so, b"d")
        self.turn()
        self.assertEqual(0, other.so.ioctl(c.SIOCATMARK))
        other.so.setsockopt(SOL, c.SO_OOBINLINE, 1)
        self.send(one.so, b"?", flags=c.MSG_OOB)
        self.turn()
        self.assertEqual(b"abcd?", other.data)
        self.fails(errno.EINVAL, other.so.receive, MsgHdr(iov=[urgent]), c.MSG_OOB)

    def test_urgent_overtakes(self) -> None:
        """An urgent byte is fetched past data nobody has read; on a full wire it has its turn."""
        self.net.wire = 30
        one, other = self.pair(reads=False)
        other.so.setsockopt(SOL, c.SO_RCVBUF, 10)
        one.so.sendbatch(packets(bytes(10)))
        self.turn()
        one.so.sendbatch(packets(bytes(10)))
        self.send(one.so, b"!", flags=c.MSG_OOB)
        one.so.driver.send(packets(bytes(19)))
        self.send(one.so, b"?", flags=c.MSG_OOB)
        self.assertEqual(1, one.so.sndcount)
        self.assertEqual(b"!", other.so.driver.recvoob(False))
        other.reads = True
        other.drain()
        self.turn()
        self.assertEqual((39, 0), (len(other.data), one.so.sndcount))
        self.assertEqual(b"?", other.so.driver.recvoob(False))
        self.fails(errno.EOPNOTSUPP, one.so.driver.sendmsg, [b"x"], 0, None, [(1, 1, b"")])

    def test_records(self) -> None:
        """A seqpacket socket keeps records apart; empty ones are not sent, too long ones lost."""
        one, other = self.pair(UNIX, SEQPACKET)
        one.so.sendbatch(packets(b"a", b"", b"bc", bytes(65536), bytes(300000), b"d"))
        self.turn()
        self.assertEqual([b"a", b"bc", b"d"], other.received)
        self.assertEqual((1, {errno.EMSGSIZE: 1}), (other.so.truncated, one.so.senderrors))
        self.fails(errno.EOPNOTSUPP, self.send, one.so, b"x", None, c.MSG_OOB)
        self.fails(errno.EOPNOTSUPP, other.so.driver.recvoob, False)
        sendmsg = one.so.driver.sendmsg
        self.assertEqual(3, sendmsg([b"x", memoryview(b"yz")], 0, None, []))
        self.fails(errno.EMSGSIZE, sendmsg, [bytes(300000)], 0, None, [])
        self.fails(errno.EOPNOTSUPP, sendmsg, [b""], c.MSG_OOB, None, [])
        self.assertEqual(200000, sendmsg([bytes(200000)], 0, None, []))
        self.fails(errno.EWOULDBLOCK, sendmsg, [bytes(200000)], 0, None, [])

    def test_records_queued(self) -> None:
        """Records that turn out too long while they wait are lost alone, however many."""
        self.net.wire = 1000
        one, other = self.pair(UNIX, SEQPACKET)
        one.so.sendbatch(packets(bytes(900), bytes(900), *[bytes(2000)] * 150, b"end"))
        self.turn()
        self.assertEqual([900, 900, 3], [len(data) for data in other.received])
        self.assertEqual({errno.EMSGSIZE: 150}, one.so.senderrors)
