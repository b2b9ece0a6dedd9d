"""Options that Python keeps, most of them Darwin's alone, and the rules of all options.

A number in a test's name is that of a check in kpi-socket.md §16.
"""

from __future__ import annotations

import errno
import socket
import struct
from typing import Any

from ngksock.kpi import constants as c
from ngksock.kpi.sockopt import SOL_BSD
from tests.kpi.sockets import DGRAM, INET, INET6, STREAM, UNIX, KPITestCase, Owner, packets

SOL = c.SOL_SOCKET


class DarwinTests(KPITestCase):
    """Options that Python keeps because only Darwin has them, and the rules of all."""

    FLAGS = (
        c.SO_NOSIGPIPE,
        c.SO_NOADDRERR,
        c.SO_UPCALLCLOSEWAIT,
        c.SO_DONTTRUNC,
        c.SO_WANTMORE,
        c.SO_WANTOOBFLAG,
    )

    def test_flags(self) -> None:
        """A flag is 0 at first, reads back non-zero once set, and 0 once cleared."""
        so = self.socket()
        for name in self.FLAGS:
            self.assertEqual(0, so.getsockopt(SOL, name))
            so.setsockopt(SOL, name, 5)
            self.assertTrue(so.getsockopt(SOL, name))
            so.setsockopt(SOL, name, struct.pack("iq", 0, -1))
            self.assertEqual(0, so.getsockopt(SOL, name))
            self.assertEqual(errno.EINVAL, self.errno_of(so.setsockopt, SOL, name, b"\1"))

    def test_by_darwin_level(self) -> None:
        """Level 0xffff means Darwin's own options too, where FreeBSD has no such number."""
        so = self.socket()
        so.setsockopt(SOL_BSD, c.SO_NOADDRERR, 1)
        self.assertEqual(1, so.getsockopt(SOL, c.SO_NOADDRERR))
        self.assertEqual(1, so.getsockopt(SOL_BSD, c.SO_NOADDRERR))
        self.assertEqual(errno.ENOPROTOOPT, self.errno_of(so.getsockopt, SOL_BSD, c.SO_DONTTRUNC))

    def test_08_buffer(self) -> None:
        """Check 8: a receive buffer reads back as it was set; 0 is EINVAL."""
        so = self.socket()
        so.setsockopt(SOL, c.SO_RCVBUF, 10000)
        self.assertEqual(10000, so.getsockopt(SOL, c.SO_RCVBUF))
        self.assertEqual(errno.EINVAL, self.errno_of(so.setsockopt, SOL, c.SO_RCVBUF, 0))
        self.assertEqual(10000, so.getsockopt(SOL, c.SO_RCVBUF))

    def test_09_timeout(self) -> None:
        """Check 9: a timeout is a pair or a timeval, and EDOM when out of range."""
        so = self.socket()
        for name, buf in ((c.SO_RCVTIMEO, so.so_rcv), (c.SO_SNDTIMEO, so.so_snd)):
            so.setsockopt(SOL, name, (1, 500_000))
            self.assertEqual(1.5, buf.timeo)
            self.assertEqual(struct.pack("qq", 1, 500_000), so.getsockopt(SOL, name))
            for bad in ((0, 1_000_000), (-1, 0), (0, -1), (1 << 40, 0)):
                self.assertEqual(errno.EDOM, self.errno_of(so.setsockopt, SOL, name, bad))
                raw = struct.pack("qq", *bad)
                self.assertEqual(errno.EDOM, self.errno_of(so.setsockopt, SOL, name, raw))
            self.assertEqual(1.5, buf.timeo)
            so.setsockopt(SOL, name, (0, 0))
            self.assertEqual(0, buf.timeo)
        so.setsockopt(SOL_BSD, 0x1006, (2, 5))
        self.assertEqual(struct.pack("qq", 2, 5), so.getsockopt(SOL_BSD, 0x1006))
        for bad_call in ((SOL_BSD, 4, (1, 0)), (SOL, c.SO_REUSEADDR, (1, 0)), (6, 1, (1, 0))):
            self.assertEqual(errno.EINVAL, self.errno_of(so.setsockopt, *bad_call))

    async def test_10_setoptshut(self) -> None:
        """Check 10: SETOPTSHUT, set in time, lets options be set after both directions are shut."""
        client, server = await self.pair()
        client.so.setsockopt(SOL, c.SO_NP_EXTENSIONS, struct.pack("II", 1, 1))
        for owner, code in ((client, None), (server, errno.EINVAL)):
            owner.so.shutdown(c.SHUT_RDWR)
            if code is None:
                owner.so.setsockopt(SOL, c.SO_KEEPALIVE, 1)
                self.assertEqual(1, owner.so.getsockopt(SOL, c.SO_KEEPALIVE))
            else:
                call = (owner.so.setsockopt, SOL, c.SO_NP_EXTENSIONS, 1)
                self.assertEqual(code, self.errno_of(*call))

    def test_extensions(self) -> None:
        """SO_NP_EXTENSIONS is an int or flags and mask; other bits are EINVAL."""
        so, name = self.socket(), c.SO_NP_EXTENSIONS
        so.setsockopt(SOL, name, 1)
        self.assertEqual(struct.pack("II", 1, 1), so.getsockopt(SOL, name))
        so.setsockopt(SOL, name, struct.pack("II", 0, 0))  # none is meant
        self.assertEqual(struct.pack("I", 1), so.getsockopt(SOL, name, 4))
        so.setsockopt(SOL, name, struct.pack("II", 2, 1))
        self.assertEqual(bytes(4), so.getsockopt(SOL, name, 4))
        for bad in (2, struct.pack("II", 0, 2)):
            self.assertEqual(errno.EINVAL, self.errno_of(so.setsockopt, SOL, name, bad))

    def test_11_unknown(self) -> None:
        """Check 11: an unknown option or level is ENOPROTOOPT, a short int EINVAL."""
        for domain, type in ((INET, STREAM), (INET6, DGRAM), (UNIX, STREAM)):
            so = self.socket(domain, type)
            for level, name in ((SOL, 9999), (4711, 1), ("SOL_SOCKET", 1), (SOL, 1 << 40)):
                self.assertEqual(errno.ENOPROTOOPT, self.errno_of(so.getsockopt, level, name))
                self.assertEqual(errno.ENOPROTOOPT, self.errno_of(so.setsockopt, level, name, 1))
        so = self.socket()
        for level, name in ((SOL, c.SO_REUSEADDR), (0, socket.IP_TOS), (6, socket.TCP_NODELAY)):
            self.assertEqual(errno.EINVAL, self.errno_of(so.setsockopt, level, name, b"\1"))
        so.setsockopt(0, socket.IP_TOS, struct.pack("ii", 0x10, -1))
        self.assertEqual(0x10, so.getsockopt(0, socket.IP_TOS))

    def test_values(self) -> None:
        """What is neither an int of 32 bits nor bytes nor a time is EINVAL."""
        so = self.socket()
        for bad in (None, "1", 1.5, 1 << 32, -(1 << 32), (1,), (1, 2.5), [1, 2]):
            for name in (c.SO_REUSEADDR, c.SO_NOSIGPIPE, c.SO_RCVTIMEO, 9999):
                self.assertEqual(errno.EINVAL, self.errno_of(so.setsockopt, SOL, name, bad))
        so.setsockopt(SOL, c.SO_NOSIGPIPE, 0xFFFFFFFF)
        array: Any = bytearray(struct.pack("i", 1))
        so.setsockopt(SOL, c.SO_REUSEADDR, array)
        self.assertEqual(1, so.getsockopt(SOL, c.SO_REUSEADDR))

    def test_lengths(self) -> None:
        """A get with too few bytes gives as many, with too many what there is."""
        so = self.socket()
        so.setsockopt(SOL, c.SO_LINGER, struct.pack("ii", 1, 7))
        for level, name, whole in (
            (SOL, c.SO_TYPE, struct.pack("i", STREAM)),
            (SOL, c.SO_REUSEADDR, bytes(4)),
            (6, socket.TCP_NODELAY, bytes(4)),
            (SOL, c.SO_LINGER, struct.pack("ii", 1, 7)),
            (SOL_BSD, 4, bytes(4)),
        ):
            for length in (0, 1, 3, 4, 8, 5000):
                self.assertEqual(whole[:length], so.getsockopt(level, name, length))
            for bad in (-1, "4"):
                self.assertEqual(errno.EINVAL, self.errno_of(so.getsockopt, level, name, bad))
        self.assertEqual(struct.pack("ii", 0x80, 7), so.getsockopt(SOL_BSD, 0x80))

    def test_linger_sec(self) -> None:
        """SO_LINGER_SEC is SO_LINGER in seconds."""
        so = self.socket()
        so.setsockopt(SOL, c.SO_LINGER_SEC, struct.pack("ii", 1, 9))
        self.assertEqual(struct.pack("ii", 1, 9), so.getsockopt(SOL, c.SO_LINGER))
        self.assertEqual(struct.pack("ii", 1, 9), so.getsockopt(SOL, c.SO_LINGER_SEC))
        so.setsockopt(SOL, c.SO_LINGER_SEC, bytes(8))
        self.assertIs(None, so.linger)

    def test_restrictions(self) -> None:
        """What SO_RESTRICTIONS denies stays denied, and is EPERM."""
        so = self.socket()
        so.bind(("127.0.0.1", 0))
        so.setsockopt(SOL, c.SO_RESTRICTIONS, c.SO_RESTRICT_DENY_IN)
        self.assertEqual(errno.EPERM, self.errno_of(so.listen, 1))
        so.setsockopt(SOL, c.SO_RESTRICTIONS, c.SO_RESTRICT_DENY_OUT)
        so.setsockopt(SOL, c.SO_RESTRICTIONS, 0)
        self.assertEqual(3, so.getsockopt(SOL, c.SO_RESTRICTIONS))
        self.assertEqual(errno.EPERM, self.errno_of(so.connect, ("127.0.0.1", 9)))
        call = (so.setsockopt, SOL, c.SO_RESTRICTIONS, 0x20)
        self.assertEqual(errno.EINVAL, self.errno_of(*call))

    async def test_counts_of_a_stream(self) -> None:
        """SO_NREAD and SO_NWRITE count bytes; a stream has no packets to count."""
        client, server = await self.pair(reads=False)
        server.so.sendbatch(packets(b"12345"))
        await client.until(lambda: client.so.rcvcount == 5)
        self.assertEqual(5, client.so.getsockopt(SOL, c.SO_NREAD))
        self.assertEqual(0, server.so.getsockopt(SOL, c.SO_NREAD))
        code = self.errno_of(client.so.getsockopt, SOL, c.SO_NUMRCVPKT)
        self.assertEqual(errno.ENOPROTOOPT, code)
        while not server.so.sndcount:
            server.so.sendbatch(packets(bytes(1 << 18)))
        waits = server.so.getsockopt(SOL, c.SO_NWRITE)
        self.assertGreater(int(waits), server.so.sndcount)
        for name in (c.SO_NREAD, c.SO_NWRITE, c.SO_NUMRCVPKT, c.SO_TRAFFIC_MGT):
            code = self.errno_of(client.so.setsockopt, SOL, name, 1)
            self.assertEqual(errno.ENOPROTOOPT, code)
        listener = self.listener()
        self.assertEqual([0, 0], [listener.so.getsockopt(SOL, n) for n in (0x1020, 0x1024)])
        server.so.abort()

    async def test_counts_of_datagrams(self) -> None:
        """SO_NREAD is the size of the first datagram, SO_NUMRCVPKT how many there are."""
        so, peer = self.socket(INET, DGRAM), self.socket(INET, DGRAM)
        so.bind(("127.0.0.1", 0))
        self.assertEqual(0, so.getsockopt(SOL, c.SO_NUMRCVPKT))
        owner = Owner(so, reads=False)
        peer.connect(so.getsockname())
        peer.sendbatch(packets(b"123", b"45678"))
        await owner.until(lambda: so.rcvcount == 8)
        counts = [so.getsockopt(SOL, name) for name in (c.SO_NREAD, c.SO_NUMRCVPKT)]
        self.assertEqual([3, 2], counts)
        self.assertEqual(0, peer.getsockopt(SOL, c.SO_NWRITE))

    def test_defunct(self) -> None:
        """A local socket may not be made defunct at first, others may; ISDEFUNCT is to read."""
        for domain, wanted in ((INET, 1), (INET6, 1), (UNIX, 0)):
            so = self.socket(domain, DGRAM)
            self.assertEqual(wanted, so.getsockopt(SOL, c.SO_DEFUNCTOK))
            so.setsockopt(SOL, c.SO_DEFUNCTOK, 1 - wanted)
            self.assertEqual(1 - wanted, so.getsockopt(SOL, c.SO_DEFUNCTOK))
            self.assertEqual(0, so.getsockopt(SOL, c.SO_ISDEFUNCT))
            self.assertEqual(errno.EINVAL, self.errno_of(so.setsockopt, SOL, c.SO_ISDEFUNCT, 1))

    def test_marks_follow(self) -> None:
        """A low-water mark goes down with the buffer it is in."""
        so = self.socket()
        so.setsockopt(SOL, c.SO_RCVLOWAT, 9000)
        so.setsockopt(SOL, c.SO_RCVBUF, 5000)
        so.setsockopt(SOL, c.SO_SNDBUF, 5000)
        so.setsockopt(SOL, c.SO_SNDLOWAT, 4000)
        so.setsockopt(SOL, c.SO_SNDBUF, 3000)
        self.assertEqual((5000, 3000), (so.so_rcv.lowat, so.so_snd.lowat))

    async def test_inherited(self) -> None:
        """An accepted socket has its listener's options, but for those of its own calls."""
        listener = self.listener()
        so = listener.so
        kept = (c.SO_NOADDRERR, c.SO_KEEPALIVE, c.SO_NP_EXTENSIONS, c.SO_DONTTRUNC)
        for name in (*kept, c.SO_UPCALLCLOSEWAIT):
            so.setsockopt(SOL, name, 1)
        so.setsockopt(SOL, c.SO_DEFUNCTOK, 0)
        so.setsockopt(SOL, c.SO_RCVBUF, 20000)
        so.setsockopt(SOL, c.SO_LINGER, struct.pack("ii", 1, 7))
        so.setsockopt(SOL, c.SO_RCVTIMEO, (1, 0))
        so.setsockopt(SOL, c.SO_RCVLOWAT, 7)
        client = Owner(self.socket())
        self.connect(client.so, so.getsockname())
        await listener.until(lambda: so.so_comp)
        accepted, _name = self.accept(so)
        self.assertTrue(all(accepted.getsockopt(SOL, name, 4) != bytes(4) for name in kept))
        self.assertEqual(struct.pack("ii", 1, 7), accepted.getsockopt(SOL, c.SO_LINGER))
        wanted = {
            c.SO_UPCALLCLOSEWAIT: 0,
            c.SO_DEFUNCTOK: 0,
            c.SO_RCVBUF: 20000,
            c.SO_RCVLOWAT: 1,
            c.SO_RCVTIMEO: bytes(16),
            c.SO_ACCEPTCONN: 0,
        }
        self.assertEqual(wanted, {name: accepted.getsockopt(SOL, name) for name in wanted})
