"""Trains: datagrams that left as one may arrive as one, and are taken apart here."""

from __future__ import annotations

import select
import socket

from twisted.internet import reactor

from ngksock.kpi import Socket, SocketKPI, mmsg, segments, slots
from ngksock.kpi import constants as c
from ngksock.kpi.ancillary import Datagram
from ngksock.packet import Packet
from tests.kpi.sockets import DGRAM, INET, INET6, UNIX, KPITestCase, driver

SO_TIMESTAMP = 29
SO_TIMESTAMPING = 37
RECEIVED = 1 << 3 | 1 << 4
"""Of SO_TIMESTAMPING: when the software received it."""


class TrainTests(KPITestCase):
    def setUp(self) -> None:
        super().setUp()
        self.kpi = SocketKPI(reactor, mmsg="segments")  # whatever the environment says
        self.addCleanup(self.kpi.closeall)
        self.number = 0

    def ends(self, domain: int = INET) -> tuple[Socket, socket.socket]:
        """Return a socket and a far end."""
        so, far = self.socket(domain, DGRAM), socket.socket(domain, DGRAM)
        self.addCleanup(far.close)
        so.setsockopt(c.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        so.bind(self.fresh(domain))
        far.bind(self.fresh(domain))
        return so, far

    def train(
        self, so: Socket, far: socket.socket, size: int, count: int, last: int
    ) -> list[bytes]:
        """Send *so* a train, whose last datagram has *last* bytes; return its datagrams."""
        lens = [size] * (count - 1) + [last]
        wanted = []
        for length in lens:
            self.number += 1
            wanted.append((self.number.to_bytes(2) * size)[:length])
        far.sendmsg(wanted, segments.segmented(size), 0, so.getsockname())
        return wanted

    def taken(self, so: Socket) -> tuple[list[Packet], list[object]]:
        """Read all that is there."""
        poll = select.poll()
        poll.register(driver(so).fileno(), select.POLLIN)
        got: list[Packet] = []
        names: list[object] = []
        while poll.poll(0):
            driver(so).doRead()
            batch = so.receivebatch(4096)
            self.assertEqual(sum(packet.len for packet in batch), batch.nbytes)
            got += batch
            names += batch.names or []
        return got, names

    def merging(self, so: Socket, far: socket.socket) -> None:
        """Send until trains are asked for, and no longer."""
        for _ in range(mmsg.ALIKE_ROUNDS):
            self.assertFalse(driver(so).merged)
            wanted = self.train(so, far, 40, 64, 40)
            got, _ = self.taken(so)
            self.assertEqual(wanted, [packet.data for packet in got])
        self.assertTrue(driver(so).merged)

    def check(self, so: Socket, far: socket.socket, size: int, count: int, last: int) -> None:
        """Have a train received in one piece, and see its datagrams come out of it."""
        wanted = self.train(so, far, size, count, last)
        got, names = self.taken(so)
        self.assertEqual(wanted, [packet.data for packet in got])
        self.assertTrue(all(packet.record for packet in got))
        if not so.isconnected():
            self.assertEqual([far.getsockname()] * count, names)

    def test_trains(self) -> None:
        """Once full rounds of equal datagrams have come trains are asked for, and taken apart."""
        for domain in (INET, INET6):
            so, far = self.ends(domain)
            self.merging(so, far)
            before = so.rcvpackets
            for size, count, last in (
                (40, 64, 40), (40, 60, 7), (1400, 46, 1400), (1400, 46, 1), (2, 2, 1),
                (30_000, 2, 30_000), (3000, 21, 2000), (1, 64, 1), (1023, 64, 1023),
            ):  # fmt: skip
                self.check(so, far, size, count, last)
                self.assertEqual(mmsg.TRAINS, driver(so).most)
                before += count
            self.assertEqual(before, so.rcvpackets)
            far.sendto(b"alone", so.getsockname())
            far.sendto(b"", so.getsockname())
            self.assertEqual([b"alone", b""], [packet.data for packet in self.taken(so)[0]])
            self.assertEqual(c.DGRAM_ROUND, driver(so).most)
            self.check(so, far, 40, 60, 7)

    def test_as_long(self) -> None:
        """Trains as long as the datagrams before them are trains all the same."""
        so, far = self.ends()
        self.merging(so, far)
        for number in range(20):
            far.sendto(bytes([number] * 90), so.getsockname())
        self.assertEqual(20, len(self.taken(so)[0]))
        self.assertEqual((90, c.DGRAM_ROUND), (driver(so).apart, driver(so).most))
        wanted = [data for _ in range(10) for data in self.train(so, far, 9, 10, 9)]
        self.assertEqual(wanted, [packet.data for packet in self.taken(so)[0]])

    def test_mixed(self) -> None:
        """Trains and single datagrams of several senders come in order, each with its name."""
        so, far = self.ends()
        self.merging(so, far)
        other = socket.socket(INET, DGRAM)
        self.addCleanup(other.close)
        other.bind(("127.0.0.1", 0))
        other.sendto(b"a", so.getsockname())
        wanted = [b"a", *self.train(so, far, 100, 20, 50)]
        other.sendto(b"b", so.getsockname())
        wanted += [b"b", *self.train(so, other, 9, 10, 9)]
        got, names = self.taken(so)
        self.assertEqual(wanted, [packet.data for packet in got])
        one, two = far.getsockname(), other.getsockname()
        self.assertEqual([two, *[one] * 20, two, *[two] * 10], names)

    def test_connected(self) -> None:
        """A socket that is connected meanwhile takes trains without names."""
        so, far = self.ends()
        self.merging(so, far)
        so.connect(far.getsockname())
        self.check(so, far, 100, 50, 99)

    def test_options_later(self) -> None:
        """Who asks for control messages gets them with each datagram of a train, waiting or not."""
        so, far = self.ends()
        self.merging(so, far)
        wanted = self.train(so, far, 100, 20, 50)
        so.setsockopt(c.SOL_SOCKET, SO_TIMESTAMP, 1)
        far.sendto(b"x", so.getsockname())
        wanted += [b"x", *self.train(so, far, 100, 20, 100)]
        got, names = self.taken(so)
        self.assertEqual(wanted, [packet.data for packet in got])
        self.assertEqual([far.getsockname()] * 41, names)
        for packet in got:
            assert isinstance(packet, Datagram)
            self.assertNotIn(slots.UDP_GRO, [(level, kind) for level, kind, _ in packet.control])
        last = got[-1]
        assert isinstance(last, Datagram)
        self.assertEqual([(1, SO_TIMESTAMP)], [(level, kind) for level, kind, _ in last.control])

    def test_options_unknown(self) -> None:
        """Control messages nobody here asked for do not hide what a train is."""
        so, far = self.ends()
        so.setsockopt(c.SOL_SOCKET, SO_TIMESTAMPING, RECEIVED)
        self.merging(so, far)
        self.check(so, far, 100, 30, 10)
        far.sendto(b"alone", so.getsockname())
        self.assertEqual([b"alone"], [packet.data for packet in self.taken(so)[0]])
        # Nor does one that comes first, set behind the back of the socket layer.
        driver(so).sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMP, 1)
        self.assertFalse(driver(so).ancillary)
        self.check(so, far, 100, 30, 10)

    def test_never(self) -> None:
        """Different sizes, rounds that are not full, local sockets: no trains are asked for."""
        so, far = self.ends()
        for _ in range(2 * mmsg.ALIKE_ROUNDS):
            self.train(so, far, 40, 64, 39)
            self.taken(so)
            self.train(so, far, 40, 63, 40)
            self.taken(so)
        self.assertFalse(driver(so).merged)
        local, far = self.ends(UNIX)
        self.assertEqual(0, driver(local).longest)

    def test_full(self) -> None:
        """so_rcv counts the datagrams of trains, and pauses the socket when it is full."""
        so, far = self.ends()
        self.merging(so, far)
        sent = 0
        while driver(so).reading and sent < 100:
            self.train(so, far, 20, 64, 20)
            sent += 1
            driver(so).doRead()
        self.assertEqual(c.RCV_PACKETS, 64 * sent)
        self.assertTrue(so.so_rcv.full)
        for left in range(15, -1, -1):
            self.assertEqual((64, left), (len(so.receivebatch(64)), so.rcvcount // 64 // 20))
        self.assertTrue(driver(so).reading)
