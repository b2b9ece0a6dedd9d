"""What a reactor may do to a connection, and what of it the owner is told."""

from __future__ import annotations

import errno
import socket

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from ngksock.kpi import constants as c
from tests.kpi.sockets import INET, SEQPACKET, STREAM, UNIX, KPITestCase, Owner, driver, packets

DISCONNECTED = c.SO_FILT_HINT_DISCONNECTED | c.SO_FILT_HINT_CONNINFO_UPDATED
SOL = int(socket.SOL_SOCKET)


class ReactorTests(KPITestCase):
    async def test_let_go(self) -> None:
        """A connection the reactor lets go of is over; what had arrived is kept."""
        for domain, type in ((INET, STREAM), (UNIX, SEQPACKET)):
            client, server = await self.pair(domain, type, reads=False)
            server.so.sendbatch(packets(b"one"))
            server.so.sendbatch(packets(b"two"))
            self.kpi.reactor.removeReader(driver(client.so))
            driver(client.so).connectionLost(Failure(ConnectionDone()))
            await client.until(lambda told: told, client.told)
            await client.until(lambda told: told[-1] == "read", client.told)
            self.assertEqual([DISCONNECTED, "write", "read"], client.told[-3:])
            client.drain()
            self.assertEqual((b"onetwo", True), (client.data, client.eof))
            driver(client.so).connectionLost(Failure(ConnectionDone()))
            driver(client.so).doRead()
            driver(client.so).doWrite()

    async def test_let_go_while_sending(self) -> None:
        """If bytes were still to be sent, the end is an error: nobody took them."""
        client, server = await self.pair(reads=False)
        while not client.so.sndcount:
            client.so.sendbatch(packets(bytes(1 << 18)))
        driver(client.so).connectionLost(Failure(ConnectionDone()))
        client.drain()
        self.assertEqual(errno.ECONNRESET, client.error)
        server.so.abort()

    def test_let_go_while_connecting(self) -> None:
        """An attempt the reactor lets go of is ended, not left hanging."""
        listener = self.listener()
        client = Owner(self.socket(), reads=False)
        self.connect(client.so, listener.so.getsockname())
        driver(client.so).connectionLost(Failure(ConnectionDone()))
        self.assertEqual(errno.ECONNABORTED, client.so.getsockopt(SOL, socket.SO_ERROR))
        self.assertFalse(client.so.isconnected())
        driver(listener.so).connectionLost(Failure(ConnectionDone()))

    async def test_nothing_there(self) -> None:
        """Readiness that turns out to be none changes nothing."""
        for domain, type in ((INET, STREAM), (UNIX, SEQPACKET)):
            client, _server = await self.pair(domain, type)
            driver(client.so).doRead()
            driver(client.so).doWrite()
            self.assertTrue(client.so.isconnected())
            self.assertEqual([], client.told)

    async def test_long_records(self) -> None:
        """A record beyond 65,535 bytes is counted and dropped; so is it at the end."""
        client, server = await self.pair(UNIX, SEQPACKET)
        server.so.sendbatch(packets(bytes(70_000), b"next"))
        await client.until(lambda: client.received)
        self.assertEqual(([b"next"], 1), (client.received, client.so.truncated))
        server.so.sendbatch(packets(bytes(70_000), b"last"))
        self.kpi.reactor.removeReader(driver(client.so))
        driver(client.so).connectionLost(Failure(ConnectionDone()))
        client.drain()
        self.assertEqual(([b"next", b"last"], 2), (client.received, client.so.truncated))

    async def test_record_reset(self) -> None:
        """A seqpacket peer that goes is EPIPE to the sender and ends the socket."""
        client, server = await self.pair(UNIX, SEQPACKET, reads=False)
        server.so.abort()
        for count in (1, 2):
            batch = packets(*[b"x"] * count)
            self.assertEqual(errno.EPIPE, self.errno_of(client.so.sendbatch, batch))
        self.assertFalse(client.so.isconnected())

    async def test_queued_long_record(self) -> None:
        """A record that grows too long while it waits is counted; the rest goes on."""
        client, server = await self.pair(UNIX, SEQPACKET, reads=False)
        while not client.so.sndcount:
            client.so.sendbatch(packets(bytes(60_000)))
        client.so.sendbatch(packets(bytes(400_000), b"last"))
        server.reads = True
        server.drain()
        await server.until(lambda: server.received[-1:] == [b"last"])
        self.assertEqual({errno.EMSGSIZE: 1}, client.so.senderrors)
