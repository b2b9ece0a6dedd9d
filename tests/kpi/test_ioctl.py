"""ioctl: both numberings, the bits Python keeps, and what the host is asked for."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
import struct

from ngksock.kpi import constants as c
from ngksock.kpi.sockopt import recall
from tests.kpi.sockets import DGRAM, INET, UNIX, KPITestCase, Owner, driver, packets

FIONBIO_DARWIN = 0x8004667E
SIOCGIFFLAGS = 0x8913


class IoctlTests(KPITestCase):
    def test_05_nonblocking(self) -> None:
        """Check 5: FIONBIO is SS_NBIO alone; the descriptor is non-blocking throughout."""
        so = self.kpi.socket(INET, DGRAM)
        flags = driver(so).sock.fileno()
        for request in (c.FIONBIO, FIONBIO_DARWIN, FIONBIO_DARWIN - (1 << 32)):
            for on, said in ((1, True), (0, False), (struct.pack("i", 7), True), (bytes(4), False)):
                self.assertIs(None, so.ioctl(request, on))
                self.assertIs(said, so.isnonblocking())
                self.assertTrue(fcntl.fcntl(flags, fcntl.F_GETFL) & os.O_NONBLOCK)

    def test_async(self) -> None:
        """FIOASYNC is a bit of the state and no more."""
        so = self.socket()
        so.ioctl(c.FIOASYNC, 1)
        self.assertTrue(so.state & c.SS_ASYNC)
        so.ioctl(0x8004667D, 0)
        self.assertFalse(so.state & c.SS_ASYNC)

    async def test_fionread(self) -> None:
        """FIONREAD counts what waits in so_rcv, and is 0 of a listener."""
        client, server = await self.pair(reads=False)
        server.so.sendbatch(packets(b"12345", b"678"))
        await client.until(lambda: client.so.rcvcount == 8)
        self.assertEqual(8, client.so.ioctl(c.FIONREAD))
        self.assertEqual(8, client.so.ioctl(0x4004667F, bytes(4)))
        self.assertEqual(0, self.listener().so.ioctl(c.FIONREAD))

    def test_owner(self) -> None:
        """The process group is remembered for who asks; nobody is signalled."""
        so = self.socket()
        self.assertEqual(0, so.ioctl(c.SIOCGPGRP))
        so.ioctl(c.SIOCSPGRP, struct.pack("i", -42))
        self.assertEqual(-42, so.ioctl(0x40047309))
        self.assertEqual(-42, recall(so, c.SIOCSPGRP))

    async def test_atmark(self) -> None:
        """SIOCATMARK tells when the urgent byte is next, and is 0 of what has none."""
        client, server = await self.pair(reads=False)
        self.assertEqual(0, client.so.ioctl(c.SIOCATMARK))
        driver(server.so).sock.send(b"a")
        await client.until(lambda: client.so.rcvcount)
        self.assertEqual(0, client.so.ioctl(0x40047307))
        client.drain()
        self.assertEqual(0, client.so.ioctl(c.SIOCATMARK))
        self.assertEqual(0, self.socket(INET, DGRAM).ioctl(c.SIOCATMARK))
        self.assertEqual(0, self.listener().so.ioctl(c.SIOCATMARK))

    async def test_at_the_mark(self) -> None:
        """SIOCATMARK is 1 once all before the urgent byte was read."""
        client, server = await self.pair(reads=False)
        driver(client.so).pause()
        driver(server.so).sock.send(b"!", socket.MSG_OOB)
        select.select([], [], [driver(client.so).sock], 5)
        self.assertEqual(1, client.so.ioctl(c.SIOCATMARK))
        driver(client.so).rcvd()

    def test_host(self) -> None:
        """Another request is the host's; a structure goes in and comes out changed."""
        so = self.socket(INET, DGRAM)
        asked = struct.pack("16sH14x", b"lo", 0)
        answer = so.ioctl(SIOCGIFFLAGS, asked)
        self.assertEqual(len(asked), len(answer))
        self.assertTrue(struct.unpack_from("16sH", answer)[1] & 0x8)  # IFF_LOOPBACK
        gone = struct.pack("16sH14x", b"nosuch0", 0)
        self.assertEqual(errno.ENODEV, self.errno_of(so.ioctl, SIOCGIFFLAGS, gone))

    async def test_host_int(self) -> None:
        """A request without a structure is given four bytes: an int, or zeros."""
        client, server = await self.pair(reads=False)
        for arg in (None, 0, 0xFFFFFFFF, -1, bytearray(4)):
            self.assertEqual(bytes(4), server.so.ioctl(0x5411, arg))  # SIOCOUTQ
        client.so.close()

    def test_unknown(self) -> None:
        """A request the host does not have is EOPNOTSUPP, of every family."""
        for domain in (INET, UNIX):
            so = self.socket(domain, DGRAM)
            self.assertEqual(errno.EOPNOTSUPP, self.errno_of(so.ioctl, 0x1234, bytes(8)))
            self.assertEqual(errno.EOPNOTSUPP, self.errno_of(so.ioctl, 0xFFFFFFFF))

    def test_bad_input(self) -> None:
        """What is no number, and an argument too short, too long or of another type, is EINVAL."""
        so = self.socket()
        for request, arg in (
            ("FIONBIO", 1),
            (1 << 40, 1),
            (c.FIONBIO, None),
            (c.FIONBIO, b"\1"),
            (c.FIONBIO, "1"),
            (c.SIOCSPGRP, None),
            (SIOCGIFFLAGS, bytes(1025)),
            (SIOCGIFFLAGS, "lo"),
            (SIOCGIFFLAGS, 1 << 32),
        ):
            self.assertEqual(errno.EINVAL, self.errno_of(so.ioctl, request, arg), request)
        so.close()
        self.assertEqual(errno.EBADF, self.errno_of(so.ioctl, c.FIONREAD))

    async def test_inherited(self) -> None:
        """An accepted socket is non-blocking as its listener was; the process group is its own."""
        listener = self.listener()
        listener.so.ioctl(c.SIOCSPGRP, 42)
        listener.so.ioctl(c.FIOASYNC, 1)
        client = Owner(self.socket())
        self.connect(client.so, listener.so.getsockname())
        await listener.until(lambda: listener.so.so_comp)
        accepted, _name = self.accept(listener.so)
        self.assertTrue(accepted.isnonblocking())
        self.assertTrue(accepted.state & c.SS_ASYNC)
        self.assertEqual(0, accepted.ioctl(c.SIOCGPGRP))
