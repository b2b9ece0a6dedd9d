"""Datagrams by the batch where something is wrong: each way counts it as the plain one does."""

from __future__ import annotations

import errno
import os
import select
import socket

from twisted.internet import reactor

from ngksock.kpi import Socket, SocketKPI, mmsg, segments, slots
from ngksock.kpi import constants as c
from ngksock.kpi.ancillary import Datagram
from ngksock.packet import Batch, Packet, Slab
from tests.kpi.sockets import ANY, DGRAM, INET, UNIX, KPITestCase, driver, packets

IP_RECVERR = 11
WAYS = ("off", "mmsg", "segments")


class FaultCase(KPITestCase):
    def of(self, way: str, domain: int = INET, directory: str | None = None) -> Socket:
        """Return a socket of datagrams of the *way*."""
        kpi = SocketKPI(reactor, mmsg=way, directory=directory)
        self.addCleanup(kpi.closeall)
        so = kpi.socket(domain, DGRAM)
        so.ioctl(c.FIONBIO, 1)
        return so

    def far(self, domain: int = INET) -> socket.socket:
        """Return a far end."""
        sock = socket.socket(domain, DGRAM)
        self.addCleanup(sock.close)
        sock.bind(self.fresh(domain))
        sock.setblocking(False)
        return sock

    def seen(self, far: socket.socket, count: int) -> list[bytes]:
        """Return *count* datagrams of a far end, and whatever more there is."""
        poll = select.poll()
        poll.register(far, select.POLLIN)
        got: list[bytes] = []
        while poll.poll(2000 if len(got) < count else 0):
            got.append(far.recv(70_000))
        return got


class SendTests(FaultCase):
    """Out."""

    def test_path_too_long(self) -> None:
        """A relative path that is too long in full is ENAMETOOLONG, and the others are sent to."""
        far = self.far(UNIX)
        for way in WAYS:
            so = self.of(way, UNIX, "/tmp/" + "d" * 90)
            batch = packets(b"a", b"b", b"c", b"d")
            batch.names = ["x" * 30, far.getsockname(), "x" * 30, far.getsockname()]
            self.assertEqual(2, so.sendbatch(batch), way)
            self.assertEqual([b"b", b"d"], self.seen(far, 2))
            self.assertEqual({errno.ENAMETOOLONG: 2}, so.senderrors)

    def test_old_refusal_unconnected(self) -> None:
        """With IP_RECVERR the refusal of one target is counted, and costs no other anything."""
        far, gone = self.far(), self.far()
        dead = gone.getsockname()
        gone.close()
        for way in WAYS:
            for sizes in ([9] * 8, [1, 2, 3, 4, 5, 6, 7, 8]):
                so = self.of(way)
                so.setsockopt(int(socket.IPPROTO_IP), IP_RECVERR, 1)
                first = packets(b"x")
                first.names = [dead]
                self.assertEqual(1, so.sendbatch(first))
                batch = packets(*map(bytes, sizes))
                batch.names = [far.getsockname()] * 8
                self.assertEqual(8, so.sendbatch(batch), way)
                self.assertEqual(sizes, list(map(len, self.seen(far, 8))))
                self.assertEqual({errno.ECONNREFUSED: 1}, so.senderrors)
                self.assertEqual({}, so.takelosses())

    def test_losses(self) -> None:
        """What was lost is told by errno, once, apart from refusals of what was sent before."""
        far = self.far()
        for way in WAYS:
            so = self.of(way)
            batch = packets(b"a", bytes(65_508), b"b", b"c", bytes(65_508), b"d")
            good = far.getsockname()
            batch.names = [good, good, ("127.0.0.1", 0), good, good, good]
            self.assertEqual(3, so.sendbatch(batch), way)
            self.assertEqual({errno.EMSGSIZE: 2, errno.EINVAL: 1}, so.takelosses())
            self.assertEqual({}, so.takelosses())
            self.assertEqual({errno.EMSGSIZE: 2, errno.EINVAL: 1}, so.senderrors)
            self.assertEqual([b"a", b"c", b"d"], self.seen(far, 3))

    def test_broadcast(self) -> None:
        """Without SO_BROADCAST each datagram to everybody is EACCES, and is lost."""
        for way in WAYS:
            for sizes in ([9] * 8, [1, 2, 3, 4, 5, 6, 7, 8]):
                so = self.of(way)
                batch = packets(*map(bytes, sizes))
                batch.names = [("255.255.255.255", 9)] * 8
                self.assertEqual(0, so.sendbatch(batch), way)
                self.assertEqual({errno.EACCES: 8}, so.senderrors)
                self.assertEqual((0, 0), (so.sndpackets, so.sndbytes))

    def test_full_peer(self) -> None:
        """A local peer without room loses what does not fit, counted; the order stays."""
        for way in WAYS:
            so, far = self.of(way, UNIX), self.far(UNIX)
            so.connect(far.getsockname())
            sent = so.sendbatch(Batch(Packet(n.to_bytes(2)) for n in range(1000)))
            self.assertEqual({errno.EAGAIN: 1000 - sent}, so.takelosses(), way)
            self.assertEqual([n.to_bytes(2) for n in range(sent)], self.seen(far, sent))
            self.assertEqual((sent, 2 * sent), (so.sndpackets, so.sndbytes))

    def test_local_refusal(self) -> None:
        """A local peer that is gone loses each datagram; the system tells why but once."""
        lost = {errno.ECONNREFUSED: 1, errno.ENOTCONN: 2}
        for way in WAYS:
            so, far = self.of(way, UNIX), self.far(UNIX)
            so.connect(far.getsockname())
            far.close()
            self.assertEqual(0, so.sendbatch(packets(b"a", b"b", b"c")), way)
            self.assertEqual(lost, so.senderrors)
            self.assertEqual(lost, so.takelosses())

    def test_grown(self) -> None:
        """A batch that nobody vouches for is sent as it is now, not as it was the last time."""
        far = self.far()
        for way in WAYS:
            so = self.of(way)
            so.connect(far.getsockname())
            batch = packets(b"a", b"b", b"c")
            self.assertEqual(3, so.sendbatch(batch), way)
            batch.add(Packet(b"d"))
            del batch[0]
            self.assertEqual(3, so.sendbatch(batch))
            self.assertEqual([b"a", b"b", b"c", b"b", b"c", b"d"], self.seen(far, 6))

    def test_shared(self) -> None:
        """A batch that several send is cut for each of them: by its targets, and its way."""
        far, other = self.far(), self.far()
        for first, second in (WAYS[1:], WAYS[:0:-1]):
            one, two, loose = self.of(first), self.of(second), self.of(second)
            one.connect(far.getsockname())
            two.connect(far.getsockname())
            batch = packets(*[bytes([number] * 9) for number in range(12)])
            batch.tag(())
            wanted = [packet.data for packet in batch]
            self.assertEqual([12, 12], [one.sendbatch(batch), two.sendbatch(batch)])
            self.assertEqual(wanted * 2, self.seen(far, 24))
            batch.names = [far.getsockname(), other.getsockname()] * 6
            self.assertEqual(12, loose.sendbatch(batch))
            self.assertEqual(wanted[::2], self.seen(far, 6))
            self.assertEqual(wanted[1::2], self.seen(other, 6))
            batch.names = None
            two.setsockopt(int(socket.IPPROTO_UDP), segments.UDP_SEGMENT, 0)
            self.assertEqual([12, 12], [two.sendbatch(batch), one.sendbatch(batch)])
            self.assertEqual(wanted * 2, self.seen(far, 24))


class ReceiveTests(FaultCase):
    """In."""

    def test_lazy(self) -> None:
        """Nothing is tried before the first datagram: opening and binding need no other call."""
        tried: list[None] = []
        self.patch(slots, "calls", lambda: tried.append(None))
        self.patch(mmsg, "calls", slots.calls)
        so, far = self.of("segments"), self.far()
        so.bind(ANY)
        self.assertEqual([], tried)
        far.sendto(b"x", so.getsockname())
        driver(so).doRead()
        self.assertEqual([None], tried)
        self.assertEqual([b"x"], [packet.data for packet in so.receivebatch(9)])

    def test_forbidden(self) -> None:
        """Where the calls are forbidden each datagram comes and goes by itself."""
        self.patch(slots, "calls", lambda: None)
        self.patch(mmsg, "calls", slots.calls)
        so, far = self.of("segments"), self.far()
        so.bind(ANY)
        for sizes in ([9] * 8, [1, 2, 3, 4, 5, 6, 7, 8]):
            batch = packets(*map(bytes, sizes))
            batch.names = [far.getsockname()] * 8
            self.assertEqual(8, so.sendbatch(batch))
            self.assertEqual(sizes, list(map(len, self.seen(far, 8))))
            for size in sizes:
                far.sendto(bytes(size), so.getsockname())
            driver(so).doRead()
            self.assertEqual(sizes, [packet.len for packet in so.receivebatch(9)])

    def test_theirs(self) -> None:
        """Who asks for trains himself gets them whole, each with what it is made of."""
        for merged in (False, True):
            so, far = self.of("segments"), self.far()
            so.bind(ANY)
            rounds = mmsg.ALIKE_ROUNDS if merged else 0
            for _ in range(rounds):
                far.sendmsg([bytes(64 * 9)], segments.segmented(9), 0, so.getsockname())
                driver(so).doRead()
                self.assertEqual(64, len(so.receivebatch(99)))
            self.assertEqual(merged, driver(so).merged)
            so.setsockopt(*slots.UDP_GRO, 1)
            far.sendmsg([bytes(64)], segments.segmented(9), 0, so.getsockname())
            driver(so).doRead()
            (packet,) = so.receivebatch(99)
            assert isinstance(packet, Datagram)
            self.assertEqual(
                (64, [slots.UDP_GRO]), (packet.len, [one[:2] for one in packet.control])
            )

    def test_options_missing(self) -> None:
        """Where an option of UDP is missing sockets are taken over all the same."""
        self.patch(mmsg, "_THEIRS", (9999, *mmsg._THEIRS))
        for theirs in (0, 9):
            far = self.far()
            far.setsockopt(socket.IPPROTO_UDP, segments.UDP_SEGMENT, theirs)
            so = self.of("segments").kpi.adopt(far)
            self.assertEqual(0 if theirs else segments.BYTES, driver(so).longest)

    def test_lost_name(self) -> None:
        """A round that was not looked at to the end does not shorten the names of the next."""
        box, far = slots.Inbox(), self.far(UNIX)
        nobody = socket.socket(UNIX, DGRAM)
        here = self.far(UNIX)
        self.addCleanup(nobody.close)
        nobody.sendto(b"x", here.getsockname())
        self.assertEqual([1], box.receive(here.fileno(), UNIX))
        far.sendto(b"y", here.getsockname())
        self.assertEqual([1], box.receive(here.fileno(), UNIX))
        (name,) = box.names(UNIX, 1, bytes)
        self.assertEqual(far.getsockname(), os.fsdecode(name[2:].rstrip(b"\0")))

    def test_expected(self) -> None:
        """Datagrams as long as the ones before lie in one piece; others come as they are."""
        so, far = self.of("segments"), self.far()
        so.setsockopt(c.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        so.bind(ANY)
        rounds: list[tuple[type[Batch], list[int]]] = [
            (Batch, [9] * 20),
            (Slab, [9] * 20),
            (Slab, [9] * 8),
            (Batch, [9] * 7),
            (Batch, [9] * 10 + [10, 0, 3000, 65_507, 8] + [9] * 10),
            (Batch, [9] * 20),
            (Slab, [9] * 20),
            (Batch, [3000] * 20),
            (Slab, [3000] * 20),
            (Batch, [20_000] * 9),
            (Batch, [20_000] * 9),
            (Batch, [0] * 20),
            (Batch, [0] * 20),
            (Batch, [slots.APART_MOST] * 9),
            (Slab, [slots.APART_MOST] * 9),
            (Batch, [slots.APART_MOST + 1] * 9),
        ]
        for number, (kind, sizes) in enumerate(rounds):
            wanted = [bytes([number, i] * 33_000)[:size] for i, size in enumerate(sizes)]
            for data in wanted:
                far.sendto(data, so.getsockname())
            driver(so).doRead()
            batch = so.receivebatch(64)
            self.assertIs(kind, type(batch), str(number))
            self.assertEqual((len(sizes), sum(sizes)), (len(batch), batch.nbytes))
            self.assertEqual([far.getsockname()] * len(sizes), batch.names)
            self.assertEqual(wanted, [packet.data for packet in batch])

    def test_two_sockets(self) -> None:
        """Sockets that expect different lengths do not get into each other's way."""
        one, two, far = self.of("segments"), self.of("segments"), self.far()
        two = one.kpi.socket(INET, DGRAM)
        for so in (one, two):
            so.bind(ANY)
        for number in range(6):
            for so, size in ((one, 50), (two, 60)):
                wanted = [bytes([number, i] * 30)[:size] for i in range(10)]
                for data in wanted:
                    far.sendto(data, so.getsockname())
                driver(so).doRead()
                batch = so.receivebatch(64)
                self.assertIs(Slab if number else Batch, type(batch))
                self.assertEqual(wanted, [packet.data for packet in batch])

    def test_waiting(self) -> None:
        """What waits in so_rcv while more comes is the same in the end, names and all."""
        so, far = self.of("segments"), self.far()
        so.bind(ANY)
        wanted = []
        for number in range(5):
            for i in range(10):
                wanted.append(bytes([number, i]))
                far.sendto(wanted[-1], so.getsockname())
            driver(so).doRead()
        self.assertEqual([b"\0\0"], [packet.data for packet in so.receivebatch(1)])
        batch = so.receivebatch(99)
        self.assertEqual(wanted[1:], [packet.data for packet in batch])
        self.assertEqual(([far.getsockname()] * 49, 98), (batch.names, batch.nbytes))

    def test_named_and_not(self) -> None:
        """What waits as the socket is connected keeps its sender; what the peer sends has none."""
        for way in WAYS:
            so, far, other = self.of(way), self.far(), self.far()
            so.bind(ANY)
            for _ in range(9):
                other.sendto(b"o", so.getsockname())
            driver(so).doRead()
            so.connect(far.getsockname())
            for _ in range(9):
                far.sendto(b"f", so.getsockname())
            driver(so).doRead()
            first, rest = so.receivebatch(3), so.receivebatch(99)
            self.assertEqual([other.getsockname()] * 3, first.names, way)
            self.assertEqual([other.getsockname()] * 6 + [None] * 9, rest.names)
            self.assertEqual([b"o"] * 6 + [b"f"] * 9, [packet.data for packet in rest])

    def test_closed_meanwhile(self) -> None:
        """A socket that its owner closes as it reads is not written to in the same turn."""
        for way in WAYS:
            so, far = self.of(way), self.far()
            so.bind(ANY)
            guest = driver(so)
            guest._await_space()
            so.setupcalls(lambda so, cookie, flags: so.close(), None, None, None)
            far.sendto(b"x", so.getsockname())
            guest.doRead()
            self.assertEqual(-1, guest.sock.fileno(), way)
            guest.doWrite()
            self.assertNotIn(guest, reactor.getWriters())

    def test_sent_on(self) -> None:
        """What came in one piece leaves as well in each way, to a peer and by name."""
        for way in WAYS:
            source, so, far = self.of("segments"), self.of(way), self.far()
            sink = self.far()
            source.bind(ANY)
            so.connect(sink.getsockname())
            loose = self.of(way)
            for number in range(3):
                wanted = [bytes([number, i] * 4) for i in range(60)]
                for data in wanted:
                    far.sendto(data, source.getsockname())
                driver(source).doRead()
                batch = source.receivebatch(64)
                self.assertIs(Slab if number else Batch, type(batch))
                names, batch.names = batch.names, None
                batch.uniform = number == 2
                self.assertEqual(60, loose.sendbatch(batch.addressed(names or [])))
                self.assertEqual(wanted, self.seen(far, 60))
                self.assertEqual(60, so.sendbatch(batch))
                self.assertEqual(60, so.sendbatch(batch))
                self.assertEqual(wanted * 2, self.seen(sink, 120))
                self.assertEqual(wanted, [packet.data for packet in batch])
