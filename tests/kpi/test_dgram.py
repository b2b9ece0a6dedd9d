"""Datagrams: each packet one datagram, from and to anybody or one peer."""

from __future__ import annotations

import errno
import os
import socket

from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure

from ngksock.kpi import Socket
from ngksock.kpi import constants as c
from ngksock.packet import Batch
from tests.kpi.sockets import ANY, DGRAM, INET, INET6, UNIX, KPITestCase, Owner, driver, packets

SOL = int(socket.SOL_SOCKET)


def to(name: object, *contents: bytes) -> Batch:
    """Return a batch of packets for *name*."""
    batch = packets(*contents)
    batch.names = [name] * len(batch)
    return batch


class DgramTests(KPITestCase):
    def bound(self, domain: int = INET, reads: bool = True) -> Owner:
        so = self.socket(domain, DGRAM)
        so.bind(self.fresh(domain))
        return Owner(so, reads)

    async def life(self, domain: int) -> None:
        server, client = self.bound(domain), self.bound(domain)
        name = server.so.getsockname()
        self.assertEqual(3, client.so.sendbatch(to(name, b"a", b"", b"bcd")))
        await server.until(lambda: len(server.received) == 3)
        self.assertEqual([b"a", b"", b"bcd"], server.received)
        self.assertEqual([client.so.getsockname()] * 3, server.names)
        self.assertEqual(1, server.so.sendbatch(to(server.names[0], b"back")))
        await client.until(lambda: client.received)
        self.assertEqual([b"back"], client.received)
        self.assertEqual((3, 4), (server.so.rcvpackets, server.so.rcvbytes))
        self.assertEqual((3, 4), (client.so.sndpackets, client.so.sndbytes))

    async def test_udp(self) -> None:
        """Datagrams go to names and come with names; an empty one is one too."""
        await self.life(INET)

    async def test_udp6(self) -> None:
        """Over inet6 as over inet."""
        await self.life(INET6)

    async def test_local(self) -> None:
        """Local datagrams have paths for names."""
        await self.life(UNIX)

    async def test_nameless(self) -> None:
        """A local sender without a name is called ""."""
        server = self.bound(UNIX)
        self.socket(UNIX, DGRAM).sendbatch(to(server.so.getsockname(), b"x"))
        await server.until(lambda: server.received)
        self.assertEqual([""], server.names)

    async def test_connected(self) -> None:
        """A connected socket needs no names, gives none, and may change its peer."""
        first, second = self.bound(), self.bound()
        client = Owner(self.socket(INET, DGRAM))
        client.so.connect(first.so.getsockname())
        self.assertTrue(client.so.isconnected())
        await client.until(lambda: 0x5000 in client.told)
        self.assertEqual(["read", "write", 0x5000], client.told)
        client.so.sendbatch(packets(b"one"))
        await first.until(lambda: first.received)
        first.so.sendbatch(to(first.names[0], b"back"))
        await client.until(lambda: client.received)
        self.assertEqual([], client.names)
        client.so.connect(second.so.getsockname())
        self.assertEqual(second.so.getsockname(), client.so.getpeername())
        client.so.sendbatch(packets(b"two"))
        await second.until(lambda: second.received)
        self.assertEqual(([b"one"], [b"two"]), (first.received, second.received))

    def test_counted(self) -> None:
        """A packet that cannot be sent is counted by its errno; the others go."""
        server = self.bound(reads=False)
        name = server.so.getsockname()
        client = self.socket(INET, DGRAM)
        batch = packets(b"a", b"b", b"c", b"d", bytes(65508), b"f")
        batch.names = [name, None, ("localhost", 9), ("::1", 9), name, name]
        self.assertEqual(2, client.sendbatch(batch))
        wanted = {errno.EDESTADDRREQ: 1, errno.EINVAL: 1, errno.EAFNOSUPPORT: 1, errno.EMSGSIZE: 1}
        self.assertEqual(wanted, client.senderrors)
        self.assertEqual(errno.EMSGSIZE, client.lasterror)
        self.assertEqual((2, 2), (client.sndpackets, client.sndbytes))
        client.connect(name)
        self.assertEqual(0, client.sendbatch(to(name, b"x")))
        self.assertEqual(errno.EISCONN, client.lasterror)

    async def test_refused(self) -> None:
        """What a connected peer refuses is counted, told once, and stops nothing."""
        gone = self.bound()
        name = gone.so.getsockname()
        gone.so.close()
        client = Owner(self.socket(INET, DGRAM))
        client.so.connect(name)
        client.so.sendbatch(packets(b"x"))
        sent = client.so.sendbatch(packets(b"y"))  # the refusal has come: step over it
        self.assertEqual((1, errno.ECONNREFUSED), (sent, client.so.lasterror))
        again = self.socket(INET, DGRAM)
        again.bind(name)
        server = Owner(again)
        client.so.sendbatch(packets(b"z"))
        await server.until(lambda: server.received)
        server.so.sendbatch(to(server.names[0], b"back"))
        await client.until(lambda: client.received)
        self.assertEqual([b"back"], client.received)
        self.assertEqual(errno.ECONNREFUSED, client.error)
        self.assertEqual(0, client.so.so_error)

    def test_refused_nameless(self) -> None:
        """A batch with names steps over refusals as well where a packet has none."""
        gone = self.bound()
        name = gone.so.getsockname()
        gone.so.close()
        client = self.socket(INET, DGRAM)
        client.connect(name)
        sent = [client.sendbatch(to(None, b"x", b"y")) for _ in range(3)]
        self.assertEqual([2, 2, 2], sent)

    async def test_refused_while_idle(self) -> None:
        """A refusal that comes while nothing is sent does not end the socket."""
        gone = self.bound()
        name = gone.so.getsockname()
        gone.so.close()
        client = Owner(self.socket(INET, DGRAM))
        client.so.connect(name)
        client.so.sendbatch(packets(b"x"))
        watcher, _ = await self.pair()  # turns pass, the reactor sees the error
        self.assertEqual({errno.ECONNREFUSED: 1}, client.so.senderrors)
        self.assertTrue(driver(client.so).reading)
        watcher.so.close()

    async def test_truncated(self) -> None:
        """A datagram beyond 65,535 bytes is counted and dropped; the next is read."""
        server = self.bound(UNIX)
        client = self.socket(UNIX, DGRAM)
        name = server.so.getsockname()
        self.assertEqual(3, client.sendbatch(to(name, bytes(70_000), bytes(65535), b"x")))
        await server.until(lambda: len(server.received) == 2)
        self.assertEqual([65535, 1], [len(data) for data in server.received])
        self.assertEqual(1, server.so.truncated)

    async def test_bounded(self) -> None:
        """so_rcv is bounded by packets and by bytes; taking some lets more in."""
        for size in (0, 1000):
            server = self.bound(reads=False)
            server.so.setsockopt(SOL, socket.SO_RCVBUF, 4 << 20)
            client = self.socket(INET, DGRAM)
            batch = to(server.so.getsockname(), *[bytes(size)] * 64)
            for _ in range(32):
                client.sendbatch(batch)
            await server.until(lambda server: not driver(server.so).reading, server)
            held = server.so.rcvpackets
            self.assertLess(held, c.RCV_PACKETS + 2 * c.DGRAM_ROUND)
            self.assertLess(server.so.rcvcount, c.SB_HIWAT + c.DGRAM_ROUND * 1000)
            server.reads = True
            server.drain()
            await server.until(lambda server: len(server.received) == 2048, server)
            self.assertEqual(2048, len(server.names))

    async def test_names_split(self) -> None:
        """Packets and names stay together when they are taken in parts."""
        server = self.bound(reads=False)
        one, two = self.socket(INET, DGRAM), self.socket(INET, DGRAM)
        name = server.so.getsockname()
        one.sendbatch(to(name, b"1"))
        two.sendbatch(to(name, b"2", b"3"))
        await server.until(lambda: server.so.rcvpackets == 3)
        first = server.so.receivebatch(2)
        rest = server.so.receivebatch(2)
        ports = [one.getsockname()[1], two.getsockname()[1]]
        self.assertEqual([b"1", b"2"], [bytes(p) for p in first])
        self.assertEqual(ports, [port for _host, port in first.names or ()])
        self.assertEqual(([b"3"], 1), ([bytes(p) for p in rest], rest.nbytes))
        self.assertEqual(ports[1:], [port for _host, port in rest.names or ()])

    async def test_shutdown(self) -> None:
        """A connected datagram socket shuts each direction, in its own state alone."""
        server = self.bound()
        client = Owner(self.socket(INET, DGRAM))
        self.assertEqual(errno.ENOTCONN, self.errno_of(client.so.shutdown, c.SHUT_RD))
        client.so.connect(server.so.getsockname())
        client.so.shutdown(c.SHUT_RD)
        await client.until(lambda: client.eof)
        client.so.sendbatch(packets(b"x"))
        await server.until(lambda: server.received)
        client.so.shutdown(c.SHUT_WR)
        self.assertEqual(errno.EPIPE, self.errno_of(client.so.sendbatch, packets(b"x")))

    def test_would_block(self) -> None:
        """An idle datagram socket would block; a closed one is EBADF."""
        so: Socket = self.socket(INET, DGRAM)
        self.assertEqual(errno.EWOULDBLOCK, self.errno_of(so.receivebatch, 1))
        self.assertGreater(so.sndspace(), 0)
        self.assertFalse(so.readable)
        so.close()
        self.assertEqual(errno.EBADF, self.errno_of(so.receivebatch, 1))
        self.assertEqual(errno.EBADF, self.errno_of(so.sendbatch, packets(b"x")))

    async def test_raw(self) -> None:
        """A raw socket is served by this driver, or says which privilege it needs."""
        try:
            so = self.socket(INET, int(socket.SOCK_RAW), int(socket.IPPROTO_ICMP))
        except PermissionError as error:
            self.assertIn("CAP_NET_RAW", error.strerror)
            return
        owner = Owner(so)
        echo = b"\x08\x00" + bytes([0xF7, 0xFF]) + bytes(4)
        so.sendbatch(to(("127.0.0.1", 0), echo))
        await owner.until(lambda: owner.received)
        self.assertEqual((4, "127.0.0.1"), (owner.received[0][0] >> 4, owner.names[0][0]))

    def test_raw_privilege(self) -> None:
        """Without privilege a raw socket is EPERM, and the sentence names it."""
        if os.geteuid() == 0:
            os.seteuid(65534)
            self.addCleanup(os.seteuid, 0)
        call = (self.socket, INET, int(socket.SOCK_RAW), int(socket.IPPROTO_ICMP))
        error = self.assertRaises(PermissionError, *call)
        self.assertIn("CAP_NET_RAW", error.strerror)

    def test_error_with_input(self) -> None:
        """A refusal that a read meets is counted and told once; the reading goes on."""
        gone = self.bound()
        name = gone.so.getsockname()
        gone.so.close()
        so = self.socket(INET, DGRAM)
        so.connect(name)
        so.sendbatch(packets(b"x"))
        driver(so).doRead()
        self.assertEqual({errno.ECONNREFUSED: 1}, so.senderrors)
        self.assertEqual(errno.ECONNREFUSED, self.errno_of(so.receivebatch, 1))
        self.assertEqual(errno.EWOULDBLOCK, self.errno_of(so.receivebatch, 1))

    def test_reactor_ends(self) -> None:
        """The end of the reactor is no error of a datagram socket."""
        so = self.socket(INET, DGRAM)
        self.kpi.reactor.removeReader(driver(so))
        driver(so).connectionLost(Failure(ConnectionLost()))
        self.assertEqual(({}, False), (so.senderrors, driver(so).reading))
        so.close()
        driver(so).connectionLost(Failure(ConnectionLost()))

    def test_names_of_a_connected(self) -> None:
        """A batch whose names are all None goes to the peer."""
        server = self.bound(reads=False)
        so = self.socket(INET, DGRAM)
        so.connect(server.so.getsockname())
        self.assertEqual(2, so.sendbatch(to(None, b"a", b"b")))

    def test_connect_fails(self) -> None:
        """A datagram socket that cannot connect says so and is not connected."""
        so = self.socket(UNIX, DGRAM)
        self.assertEqual(errno.ENOENT, self.errno_of(so.connect, self.mktemp_short()))
        self.assertFalse(so.isconnected())
        self.assertEqual(0, so.sendbatch(packets(b"x")))
        self.assertEqual(errno.EDESTADDRREQ, so.lasterror)

    def test_local_peer_gone(self) -> None:
        """A local peer that has gone refuses every datagram: each is counted once."""
        server = self.bound(UNIX)
        so = self.socket(UNIX, DGRAM)
        so.connect(server.so.getsockname())
        server.so.close()
        self.assertEqual(0, so.sendbatch(packets(b"x", b"y")))
        self.assertEqual(2, sum(so.senderrors.values()))
        self.assertEqual((0, 0), (so.sndpackets, so.sndbytes))

    def test_bind_rules(self) -> None:
        """Bind fails as the KPI says, and UDP may use a group."""
        taken = self.bound().so.getsockname()
        so = self.socket(INET, DGRAM)
        self.assertEqual(errno.EADDRINUSE, self.errno_of(so.bind, taken))
        self.assertEqual(errno.EADDRNOTAVAIL, self.errno_of(so.bind, ("192.0.2.1", 0)))
        so.bind(("224.0.0.251", 0))
        self.assertEqual(errno.EINVAL, self.errno_of(so.bind, ANY))
