"""Datagrams by the batch: what the quick driver does by itself, and when it gives way."""

from __future__ import annotations

import errno
import select
import socket
import sys
from typing import Any

from twisted.internet import reactor

from ngksock.errors import oserror
from ngksock.kpi import MsgHdr, Socket, SocketKPI, segments
from ngksock.kpi import constants as c
from ngksock.kpi.ancillary import Datagram
from ngksock.kpi.dgram import DgramDriver
from ngksock.kpi.mmsg import MmsgDriver
from ngksock.packet import Batch, Packet
from tests.kpi.sockets import ANY, DGRAM, INET, INET6, UNIX, KPITestCase, Owner, driver, packets

SOL = c.SOL_SOCKET
SO_NO_CHECK = 11
IPV6_MTU = 24
UDP_CORK = 1


class Stubborn:
    """A host's socket that refuses runs: each of *codes* once, and then goes on."""

    def __init__(self, sock: socket.socket, *codes: int) -> None:
        self.sock = sock
        self.codes = list(codes)
        self.runs: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sock, name)

    def sendmsg(self, pieces: Any, *args: Any) -> int:
        """Refuse, or send."""
        if self.codes:
            raise oserror(self.codes.pop(0))
        sent = self.sock.sendmsg(pieces, *args)
        size = int.from_bytes(args[0][0][2], sys.byteorder)
        self.runs.append(-(-sent // size))
        return sent


class MmsgCase(KPITestCase):
    def setUp(self) -> None:
        super().setUp()
        self.kpi = SocketKPI(reactor, mmsg="segments")  # whatever the environment says
        self.addCleanup(self.kpi.closeall)

    def far(self, domain: int = INET) -> socket.socket:
        """Return a far end."""
        sock = socket.socket(domain, DGRAM)
        self.addCleanup(sock.close)
        sock.setblocking(False)
        sock.setsockopt(SOL, socket.SO_RCVBUF, 4 << 20)
        sock.bind(self.fresh(domain))
        return sock

    def seen(self, far: socket.socket, count: int) -> list[bytes]:
        """Return *count* datagrams of a far end, and whatever more there is."""
        poll = select.poll()
        poll.register(far, select.POLLIN)
        got: list[bytes] = []
        while poll.poll(2000 if len(got) < count else 0):
            got.append(far.recv(70_000))
        return got

    def joined(self, domain: int = INET) -> tuple[Socket, socket.socket]:
        """Return a socket and the far end it is connected to."""
        far, so = self.far(domain), self.socket(domain, DGRAM)
        so.connect(far.getsockname())
        return so, far

    def stubborn(self, so: Socket, *codes: int) -> Stubborn:
        """Let the host refuse the next runs of *so*."""
        driver(so).sock = refusing = Stubborn(driver(so).sock, *codes)
        return refusing


class ChoiceTests(MmsgCase):
    """Which driver serves whom."""

    def test_chosen(self) -> None:
        """Datagrams of each family are served by the guest, segments are for UDP alone."""
        for domain, longest in ((INET, 65507), (INET6, 65507), (UNIX, 0)):
            found = driver(self.socket(domain, DGRAM))
            self.assertEqual((MmsgDriver, longest), (type(found), found.longest))
        lite = self.kpi.socket(INET, DGRAM, 136)  # UDP-Lite, which has no segments
        self.assertEqual((MmsgDriver, 0), (type(driver(lite)), driver(lite).longest))

    def test_absent(self) -> None:
        """Without the module datagrams have the plain driver."""
        name = "ngksock.kpi.mmsg"
        self.addCleanup(sys.modules.__setitem__, name, sys.modules[name])
        sys.modules[name] = None  # type: ignore[assignment]
        self.assertIs(DgramDriver, type(driver(self.socket(INET, DGRAM))))

    def test_elsewhere(self) -> None:
        """On another system, too."""
        self.patch(sys, "platform", "darwin")
        self.assertIs(DgramDriver, type(driver(self.socket(INET, DGRAM))))

    def test_switch(self) -> None:
        """The switch is an argument, or the environment's, and has three positions."""
        self.patch(sys.modules["os"], "environ", {})
        self.assertEqual("segments", SocketKPI(reactor).mmsg)
        self.assertEqual("mmsg", SocketKPI(reactor, mmsg="mmsg").mmsg)
        self.assertRaises(ValueError, SocketKPI, reactor, mmsg="on")
        self.patch(sys.modules["os"], "environ", {"NGKSOCK_MMSG": "off"})
        self.assertEqual("off", SocketKPI(reactor).mmsg)

    def test_lazy(self) -> None:
        """Memory to receive into is one for all sockets, made for the first who reads."""
        one, two = self.socket(INET, DGRAM), self.socket(INET6, DGRAM)
        boxes = driver(one).boxes
        self.assertIs(boxes, driver(two).boxes)
        self.assertIsNone(boxes._inbox)
        driver(one).doRead()
        self.assertIs(boxes.inbox, driver(two).boxes.inbox)

    def test_others(self) -> None:
        """Who runs datagrams together by himself is left alone: now, or before we had it."""
        so = self.socket(INET, DGRAM)
        so.setsockopt(segments.SOL_UDP, UDP_CORK, 0)
        self.assertEqual(0, driver(so).longest)
        for option, longest in ((UDP_CORK, 0), (None, 65507)):
            theirs = socket.socket(INET, DGRAM)
            if option is not None:
                theirs.setsockopt(segments.SOL_UDP, option, 1)
            self.assertEqual(longest, driver(self.kpi.adopt(theirs)).longest)


class SendTests(MmsgCase):
    """Out."""

    def test_run(self) -> None:
        """A run leaves in one call, of 200 in two or four; the last may be shorter."""
        so, far = self.joined()
        calls = self.stubborn(so)
        wanted = [bytes([i]) * 60 for i in range(200)] + [b"short"]
        self.assertEqual(201, so.sendbatch(packets(*wanted)))
        self.assertEqual(wanted, self.seen(far, 201))
        most = segments.most_segments()
        self.assertEqual([most] * (201 // most) + [201 % most], calls.runs)

    def test_named_runs(self) -> None:
        """Runs to one of several targets leave each in one call, in order."""
        a, b, so = self.far(INET6), self.far(INET6), self.socket(INET6, DGRAM)
        calls = self.stubborn(so)
        batch = packets(*[bytes([i]) * 9 for i in range(30)])
        batch.names = [a.getsockname()] * 10 + [b.getsockname()[:2]] * 10 + [a.getsockname()] * 10
        self.assertEqual(30, so.sendbatch(batch))
        self.assertEqual([10, 10, 10], calls.runs)
        self.assertEqual([*range(10), *range(20, 30)], [d[0] for d in self.seen(a, 20)])
        self.assertEqual([*range(10, 20)], [d[0] for d in self.seen(b, 10)])

    def test_many(self) -> None:
        """More than a round of mixed datagrams goes out in several, connected and not."""
        wanted = [bytes(i % 7) for i in range(150)]
        for domain in (INET, INET6):
            so, far = self.joined(domain)
            self.assertEqual(150, so.sendbatch(packets(*wanted)))
            self.assertEqual(wanted, self.seen(far, 150))
            so = self.socket(domain, DGRAM)
            batch = packets(*wanted)
            batch.names = [far.getsockname()] * 150
            self.assertEqual(150, so.sendbatch(batch))
            self.assertEqual(wanted, self.seen(far, 150))
            self.assertEqual((150, sum(map(len, wanted))), (so.sndpackets, so.sndbytes))

    def test_views(self) -> None:
        """Packets may hold views."""
        so, far = self.joined()
        data = memoryview(bytes(range(100)))
        wanted = [data[i : i + 3 + i % 2] for i in range(0, 90, 3)]
        self.assertEqual(30, so.sendbatch(Batch(map(Packet, wanted))))
        self.assertEqual(wanted, self.seen(far, 30))

    def test_large(self) -> None:
        """Large datagrams of different sizes leave one by one, to the peer or by name."""
        so, far = self.joined()
        wanted = [bytes(20_000), bytes(65_507), bytes(30_000)]
        self.assertEqual(3, so.sendbatch(packets(*wanted)))
        self.assertEqual(wanted, self.seen(far, 3))
        so, batch = self.socket(INET, DGRAM), packets(*wanted)
        batch.names = [far.getsockname()] * 3
        self.assertEqual(3, so.sendbatch(batch))
        self.assertEqual(wanted, self.seen(far, 3))

    def test_mtu(self) -> None:
        """Segments above the path's MTU go loose, and are remembered; shorter ones go on."""
        so, far = self.joined(INET6)
        so.setsockopt(int(socket.IPPROTO_IPV6), IPV6_MTU, 1280)
        for size, longest in ((1400, 1399), (1300, 1299), (1200, 1299), (1350, 1299)):
            wanted = [bytes([i]) * size for i in range(8)]
            self.assertEqual(8, so.sendbatch(packets(*wanted)))
            self.assertEqual(wanted, self.seen(far, 8))
            self.assertEqual(longest, driver(so).longest)
        self.assertEqual({}, so.senderrors)

    def test_no_checksums(self) -> None:
        """Where runs are EINVAL the datagrams go loose, by name too."""
        so, far = self.socket(INET, DGRAM), self.far()
        so.setsockopt(SOL, SO_NO_CHECK, 1)
        batch = packets(*[b"x"] * 8)
        batch.names = [far.getsockname()] * 8
        self.assertEqual(8, so.sendbatch(batch))
        self.assertEqual([b"x"] * 8, self.seen(far, 8))
        self.assertEqual(({}, 0), (so.senderrors, driver(so).longest))

    def test_bad_target(self) -> None:
        """A target that nothing can be sent to does not end runs to the others."""
        so = self.socket(INET, DGRAM)
        batch = packets(*[b"x"] * 8)
        batch.names = [("127.0.0.1", 0)] * 8
        self.assertEqual(0, so.sendbatch(batch))
        self.assertEqual(({errno.EINVAL: 8}, 65507), (so.senderrors, driver(so).longest))

    def test_refused_runs(self) -> None:
        """EIO ends runs for the socket; ENOBUFS and EAGAIN do not; nothing is lost."""
        for code, longest in ((errno.EIO, 0), (errno.ENOBUFS, 65507), (errno.EAGAIN, 65507)):
            so, far = self.joined()
            self.stubborn(so, code)
            self.assertEqual(8, so.sendbatch(packets(*[b"x"] * 8)))
            self.assertEqual([b"x"] * 8, self.seen(far, 8))
            self.assertEqual(({}, longest), (so.senderrors, driver(so).longest))

    def test_old_refusals(self) -> None:
        """Refusals of older datagrams are counted and told, and lose none of a run."""
        for count in (1, 3, 40):
            so, far = self.joined()
            self.stubborn(so, *[errno.ECONNREFUSED] * count)
            self.assertEqual(8, so.sendbatch(packets(*[b"x"] * 8)))
            self.assertEqual([b"x"] * 8, self.seen(far, 8))
            self.assertEqual({errno.ECONNREFUSED: min(count, 16)}, so.senderrors)
            self.assertEqual(errno.ECONNREFUSED, so.so_error)

    def test_kept_error(self) -> None:
        """Another error that was kept for the socket costs one datagram, as it does one by one."""
        so, far = self.joined()
        self.stubborn(so, errno.EHOSTUNREACH)
        self.assertEqual(7, so.sendbatch(packets(*[bytes([i]) for i in range(8)])))
        self.assertEqual([bytes([i]) for i in range(1, 8)], self.seen(far, 7))
        self.assertEqual({errno.EHOSTUNREACH: 1}, so.senderrors)
        self.assertEqual((7, 7), (so.sndpackets, so.sndbytes))

    def test_too_long(self) -> None:
        """A datagram the system refuses is stepped over, among loose ones and among runs."""
        for sizes in (
            [1, 2, 65508, 3, 4],
            [*[5] * 70, 65508, *[5] * 70],
            [*[5] * 70, *[65508] * 9],
        ):
            so, far = self.joined()
            wanted = [bytes(size) for size in sizes if size != 65508]
            self.assertEqual(len(wanted), so.sendbatch(packets(*map(bytes, sizes))))
            self.assertEqual(wanted, self.seen(far, len(wanted)))
            self.assertEqual({errno.EMSGSIZE: sizes.count(65508)}, so.senderrors)
            self.assertEqual(65507, driver(so).longest)

    def test_local_full(self) -> None:
        """A local receiver without room loses its own datagrams alone; each is counted."""
        full, other, so = self.far(UNIX), self.far(UNIX), self.socket(UNIX, DGRAM)
        batch = packets(*[bytes(i % 3) for i in range(2000)])
        batch.names = [full.getsockname()] * 1998 + [other.getsockname()] * 2
        sent = so.sendbatch(batch)
        self.assertEqual([b"", b"\0"], self.seen(other, 2))
        self.assertEqual(sent - 2, len(self.seen(full, sent - 2)))
        self.assertEqual({errno.EAGAIN: 2000 - sent}, so.senderrors)

    def test_local_names(self) -> None:
        """Paths of any length, and abstract names, are sent to in one batch."""
        paths = [self.far(UNIX) for _ in range(2)]
        hidden = socket.socket(UNIX, DGRAM)
        self.addCleanup(hidden.close)
        hidden.bind("")  # Linux picks an abstract name
        ends, so = [*paths, hidden], self.socket(UNIX, DGRAM)
        batch = packets(*[bytes([i]) for i in range(30)])
        batch.names = [ends[i % 3].getsockname() for i in range(30)]
        self.assertEqual(30, so.sendbatch(batch))
        for i, end in enumerate(ends):
            self.assertEqual([bytes([n]) for n in range(i, 30, 3)], self.seen(end, 10))

    async def test_would_block(self) -> None:
        """A single send that would block waits as it always did."""
        so, far = self.joined(UNIX)
        owner = Owner(so)
        while so.sendbatch(packets(b"x")):
            pass
        so.senderrors.clear()
        self.assertEqual(errno.EAGAIN, self.errno_of(so.send, MsgHdr(iov=[b"y"])))
        owner.told.clear()
        self.seen(far, 1)
        await owner.until(lambda: "write" in owner.told)


class ReceiveTests(MmsgCase):
    """In."""

    def test_sizes(self) -> None:
        """Datagrams come whole, on either side of what lies together in memory."""
        so, far = self.socket(INET, DGRAM), self.far()
        so.setsockopt(SOL, socket.SO_RCVBUF, 1 << 20)
        so.bind(ANY)
        wanted = [
            bytes([i]) * size for i, size in enumerate((0, 1, 2047, 2048, 2049, 65507, 60, 4096))
        ]
        for data in wanted:
            far.sendto(data, so.getsockname())
        driver(so).doRead()
        batch = so.receivebatch(64)
        self.assertEqual(wanted, [packet.data for packet in batch])
        self.assertEqual([far.getsockname()] * 8, batch.names)
        self.assertEqual(sum(map(len, wanted)), batch.nbytes)
        self.assertTrue(all(packet.record for packet in batch))

    def test_round(self) -> None:
        """One turn reads one round; packets stay what they are when the next one comes."""
        so, far = self.socket(INET, DGRAM), self.far()
        so.bind(ANY)
        for i in range(100):
            far.sendto(bytes([i]) * 40, so.getsockname())
        driver(so).doRead()
        self.assertEqual(c.DGRAM_ROUND, so.rcvpackets)
        first = so.receivebatch(200)
        driver(so).doRead()
        self.assertEqual([bytes([i]) * 40 for i in range(64)], [packet.data for packet in first])
        self.assertEqual(36, len(so.receivebatch(200)))

    def test_truncated(self) -> None:
        """What is too long is counted and dropped, and nobody else gets its name."""
        so = self.socket(UNIX, DGRAM)
        so.bind(self.fresh(UNIX))
        senders = [self.far(UNIX) for _ in range(3)]
        for i, size in enumerate((3, 70_000, 65_535)):
            senders[i].setsockopt(SOL, socket.SO_SNDBUF, 1 << 20)
            senders[i].sendto(bytes(size), so.getsockname())
        driver(so).doRead()
        batch = so.receivebatch(64)
        self.assertEqual([3, 65_535], [packet.len for packet in batch])
        self.assertEqual([senders[0].getsockname(), senders[2].getsockname()], batch.names)
        self.assertEqual((1, 65_538), (so.truncated, batch.nbytes))
        senders[1].sendto(bytes(70_000), so.getsockname())
        driver(so).doRead()
        self.assertEqual(2, so.truncated)
        self.assertEqual(errno.EWOULDBLOCK, self.errno_of(so.receivebatch, 1))

    def test_local_names(self) -> None:
        """Names of all kinds and lengths come in one round, and again in the next."""
        so = self.socket(UNIX, DGRAM)
        so.bind(self.fresh(UNIX))
        senders = [self.far(UNIX), self.far(UNIX)]
        for name in (None, ""):  # nobody, and an abstract name that Linux picks
            sock = socket.socket(UNIX, DGRAM)
            self.addCleanup(sock.close)
            if name is not None:
                sock.bind(name)
            senders.append(sock)
        wanted = [driver(so).name(sender.getsockname()) for sender in senders]
        self.assertEqual("", wanted[2])
        self.assertEqual("\0", wanted[3][0])
        for _ in range(2):
            for sender in senders:
                sender.sendto(b"x", so.getsockname())
            driver(so).doRead()
            self.assertEqual(wanted, so.receivebatch(64).names)

    def test_names(self) -> None:
        """The names are those the standard library gives, of one sender or of several."""
        for domain in (INET, INET6):
            so, senders = self.socket(domain, DGRAM), [self.far(domain) for _ in range(3)]
            so.bind(self.fresh(domain))
            for order in ((0, 0, 0), (0, 1, 2, 1), (2,)):
                for number in order:
                    senders[number].sendto(b"x", so.getsockname())
                driver(so).doRead()
                wanted = [senders[number].getsockname() for number in order]
                self.assertEqual(wanted, so.receivebatch(64).names)

    def test_options_later(self) -> None:
        """Who asks for control messages gets them from the next datagram on."""
        so, far = self.socket(INET, DGRAM), self.far()
        so.bind(ANY)
        for wanted in (False, True):
            far.sendto(b"x", so.getsockname())
            driver(so).doRead()
            (packet,) = so.receivebatch(64)
            self.assertEqual(wanted, isinstance(packet, Datagram) and bool(packet.control))
            so.setsockopt(SOL, 29, 1)  # SO_TIMESTAMP

    def test_refused(self) -> None:
        """A refusal in front of datagrams is told, and they are read."""
        so, far = self.joined()
        name = far.getsockname()
        far.close()
        so.sendbatch(packets(b"x"))
        again = socket.socket(INET, DGRAM)
        self.addCleanup(again.close)
        again.bind(name)
        again.sendto(b"y", so.getsockname())
        driver(so).doRead()
        self.assertEqual({errno.ECONNREFUSED: 1}, so.senderrors)
        self.assertEqual([b"y"], [packet.data for packet in so.receivebatch(1)])
        self.assertEqual(errno.ECONNREFUSED, self.errno_of(so.receivebatch, 1))

    def test_errors_without_end(self) -> None:
        """A socket that only ever fails does not hold the others."""
        so = self.socket(INET, DGRAM)
        found = driver(so)

        class Failing:
            def receive(self, *args: int) -> list[int]:
                raise oserror(errno.ENOMEM)

        found.boxes._inbox = Failing()
        found.doRead()
        found.boxes._inbox = None
        self.assertEqual({errno.ENOMEM: c.DGRAM_ROUND}, so.senderrors)
