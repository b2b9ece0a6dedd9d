"""With and without recvmmsg, sendmmsg and segments: the far ends see the same.

Everything that the tests of datagrams and the table of checks say about the
usual driver is said here about the two plainer ones, and random traffic is
compared between all three.
"""

from __future__ import annotations

import errno
import select
import shutil
import socket
import tempfile
from collections.abc import Callable
from typing import Any, ClassVar

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from ngksock.kpi import Socket, SocketKPI
from ngksock.kpi import constants as c
from ngksock.kpi.dgram import DgramDriver
from ngksock.kpi.mmsg import MmsgDriver
from ngksock.packet import Batch, Packet
from ngksock.testing.kpi import TABLE, run_check
from ngksock.testing.kpi.registry import CHECKS, statement
from tests.kpi import test_dgram
from tests.kpi.sockets import DGRAM, INET, INET6, UNIX, KPITestCase, driver
from tests.kpi.worlds import make_world

WAYS = ("off", "mmsg", "segments")
COLUMNS = ("udp4", "udp6", "local_dgram")
LONGEST = {INET: 65507, INET6: 65527}
ROOM = 120_000
"""Bytes that wait in a far end at most: any system lets a socket hold them."""


class OffDgramTests(test_dgram.DgramTests):
    """The tests of datagrams, without the guest."""

    def setUp(self) -> None:
        super().setUp()
        self.kpi = SocketKPI(reactor, mmsg="off")
        self.addCleanup(self.kpi.closeall)

    def test_driver(self) -> None:
        """This is the plain driver."""
        self.assertIs(DgramDriver, type(driver(self.socket(INET, DGRAM))))


class LooseDgramTests(test_dgram.DgramTests):
    """The tests of datagrams, without segments."""

    def setUp(self) -> None:
        super().setUp()
        self.kpi = SocketKPI(reactor, mmsg="mmsg")
        self.addCleanup(self.kpi.closeall)

    def test_driver(self) -> None:
        """This is the guest, and it makes no runs."""
        found = driver(self.socket(INET, DGRAM))
        self.assertEqual((MmsgDriver, 0), (type(found), found.longest))


def _test(number: int, column: str, doc: str | None) -> Callable[[Any], Any]:
    async def test(self: TableTests) -> None:
        world = make_world(column, self.flushLoggedErrors)
        world.provider = SocketKPI(reactor, mmsg="off")
        world.strict = SocketKPI(reactor, strict_xnu=True, mmsg="off")
        await run_check(world, number)

    test.__doc__ = doc
    return test


class TableTests(TestCase):
    """The columns of the table that datagrams have, without the guest."""

    timeout = 12


for _column in COLUMNS:
    for _number, _row in TABLE.items():
        _what = _row[_column]
        if _what.word != "n/a":
            _doc = statement(_what.variant or CHECKS[_number])
            _name = f"test_{_number}_{_column}_plain"
            setattr(TableTests, _name, _test(_number, _column, _doc))


SIZES = st.sampled_from(
    (0, 1, 2, 2, *[60] * 4, 512, *[1400] * 3, 1472, 2048, 2049, 9000, 32753, 32754, 65507, 65508)
)
TARGETS = st.sampled_from(("a", "a", "a", "b", "gone", "peer", "wrong"))
RUNS = st.lists(st.tuples(TARGETS, SIZES, st.integers(1, 40)), min_size=1, max_size=8)


class TrafficTests(KPITestCase):
    """Random traffic, the same in each of the ways."""

    names: ClassVar[dict[int, Any]] = {INET: ("127.0.0.1", 0), INET6: ("::1", 0)}

    def far(self, family: int) -> socket.socket:
        """Return a far end."""
        sock = socket.socket(family, DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        if family == UNIX:
            folder = tempfile.mkdtemp(prefix="ngk")
            self.ended.append(lambda: shutil.rmtree(folder))
            sock.bind(f"{folder}/s")
        else:
            sock.bind(self.names[family])
        sock.setblocking(False)
        self.ended.append(sock.close)
        return sock

    def setUp(self) -> None:
        super().setUp()
        self.ended: list[Callable[[], object]] = []

    def over(self) -> None:
        """End one example."""
        while self.ended:
            self.ended.pop()()

    def drain(self, sock: socket.socket, count: int) -> list[bytes]:
        """Return *count* datagrams, or all that come within a second, and what is beyond."""
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        got: list[bytes] = []
        while poll.poll(1000 if len(got) < count else 0):
            got.append(sock.recv(70_000))
        return got

    def batches(self, runs: list[tuple[str, int, int]]) -> list[list[tuple[str, bytes]]]:
        """Return batches of targets and contents, each of which fits into the far ends."""
        batch: list[tuple[str, bytes]] = []
        batches, room, number = [batch], ROOM, 0
        for target, size, count in runs:
            for _ in range(count):
                room -= size + 1000  # what the system adds, about
                if room < 0:
                    batch, room = [], ROOM - size - 1000
                    batches.append(batch)
                number += 1
                batch.append((target, (number.to_bytes(4) * (size // 4 + 1))[:size]))
        return [batch for batch in batches if batch]

    def goes(self, to: str, end: str, connected: bool, names: list[Any] | None) -> bool:
        """Tell whether a datagram for *to* arrives at *end*."""
        if connected:
            return end == "a" and (names is None or to == "peer")
        return to == end

    def outcome(
        self, way: str, family: int, connected: bool, runs: list[tuple[str, int, int]]
    ) -> Any:
        """Send *runs*, and return what the far ends saw, and what was counted."""
        kpi = SocketKPI(reactor, mmsg=way)
        self.ended.append(kpi.closeall)
        ends = {"a": self.far(family), "b": self.far(family)}
        names = {key: sock.getsockname() for key, sock in ends.items()}
        nobody = self.far(family)
        names["gone"] = nobody.getsockname()
        nobody.close()
        names["wrong"] = ("localhost", 9)
        so = kpi.socket(family, DGRAM)
        so.ioctl(c.FIONBIO, 1)
        if connected:
            so.connect(names["a"])
        seen: list[Any] = []
        for batch in self.batches(runs):
            made = Batch(Packet(data) for _, data in batch)
            if not connected or any(target in ("b", "wrong") for target, _ in batch):
                made.names = [names.get(target) for target, _ in batch]
            sent = so.sendbatch(made)
            for key, sock in ends.items():
                wanted = [
                    to
                    for to, data in batch
                    if len(data) <= LONGEST.get(family, ROOM)
                    and self.goes(to, key, connected, made.names)
                ]
                # A local datagram is there at once, or it is lost.
                seen.append(self.drain(sock, len(wanted) if family != UNIX else 0))
                if family != UNIX:
                    self.assertEqual(len(wanted), len(seen[-1]), "nothing was lost on the way")
            seen.append(sent)
        counted = so.sndpackets, so.sndbytes, so.senderrors, so.lasterror, so.so_error
        self.over()
        return seen, counted

    def same(self, family: int, connected: bool, runs: list[tuple[str, int, int]]) -> None:
        """Assert that each way sends *runs* as the first does."""
        try:
            first, *others = [self.outcome(way, family, connected, runs) for way in WAYS]
        finally:
            self.over()
        for way, other in zip(WAYS[1:], others, strict=True):
            self.assertEqual(first, other, way)

    @settings(max_examples=40, deadline=None)
    @given(RUNS)
    def test_inet(self, runs: list[tuple[str, int, int]]) -> None:
        """To anybody over inet: the same datagrams, in order, and the same counters."""
        self.same(INET, False, runs)

    @settings(max_examples=25, deadline=None)
    @given(RUNS)
    def test_inet6(self, runs: list[tuple[str, int, int]]) -> None:
        """To anybody over inet6."""
        self.same(INET6, False, runs)

    @settings(max_examples=25, deadline=None)
    @given(RUNS)
    def test_connected(self, runs: list[tuple[str, int, int]]) -> None:
        """To one peer; a batch with a name in it is sent the slow way."""
        self.same(INET, True, runs)

    @settings(max_examples=25, deadline=None)
    @given(RUNS)
    def test_connected6(self, runs: list[tuple[str, int, int]]) -> None:
        """To one peer over inet6."""
        self.same(INET6, True, runs)

    @settings(max_examples=25, deadline=None)
    @given(RUNS, st.booleans())
    def test_local(self, runs: list[tuple[str, int, int]], connected: bool) -> None:
        """Over local sockets, where a receiver has room for a few only and the others are lost."""
        self.same(UNIX, connected, runs)

    def arrived(self, so: Socket) -> Any:
        """Read all that is there; return it, and what was counted."""
        poll = select.poll()
        poll.register(driver(so).fileno(), select.POLLIN)
        got: list[bytes] = []
        names: list[Any] = []
        while poll.poll(0):
            if not driver(so).reading:
                break
            driver(so).doRead()
            try:
                batch = so.receivebatch(1000)
            except BlockingIOError:
                continue
            self.assertEqual(sum(packet.len for packet in batch), batch.nbytes)
            got += [bytes(packet.data) for packet in batch]
            names += batch.names or []
        return got, names, so.rcvpackets, so.rcvbytes, so.truncated, so.so_error

    def received(
        self, family: int, connected: bool, script: list[tuple[int, int, int]], step: int
    ) -> list[Any]:
        """Have *script* (sender, size, how many) received in each way, *step* at a time."""
        outcomes = []
        for way in WAYS[:2]:
            kpi = SocketKPI(reactor, mmsg=way)
            self.ended.append(kpi.closeall)
            senders = [self.far(family) for _ in range(2)]
            so = kpi.socket(family, DGRAM)
            so.ioctl(c.FIONBIO, 1)
            so.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            so.bind(self.fresh(family))
            if connected:
                so.connect(senders[0].getsockname())
            known = {sender.getsockname(): i for i, sender in enumerate(senders)}
            to = so.getsockname()
            seen: list[Any] = []
            for sender, size, count in script:
                for number in range(count):
                    try:
                        senders[sender].sendto(bytes([number]) * size, to)
                    except OSError as error:
                        seen.append(error.errno)
                    if number % step == step - 1 or size > 10_000:
                        seen.append(self.arrived(so))
            seen.append(self.arrived(so))
            outcomes.append(
                [
                    (one[0], [known[n] for n in one[1]], one[2:]) if isinstance(one, tuple) else one
                    for one in seen
                ]
            )
            self.over()
        return outcomes

    @settings(max_examples=30, deadline=None)
    @given(
        st.sampled_from((INET, INET6, UNIX)),
        st.booleans(),
        st.lists(st.tuples(st.integers(0, 1), SIZES, st.integers(1, 70)), max_size=6),
        st.sampled_from((2, 9, 40)),
    )
    def test_received(
        self, family: int, connected: bool, script: list[tuple[int, int, int]], step: int
    ) -> None:
        """What comes in is the same, with its senders, and is counted the same."""
        try:
            plain, quick = self.received(family, connected, script, step)
        finally:
            self.over()
        self.assertEqual(plain, quick)


class RefusedTests(KPITestCase):
    """Where counters cannot be equal: how many refusals come is the network's business."""

    def test_refused(self) -> None:
        """Each way sends all to a peer that refuses, counts that and keeps the error."""
        for way in WAYS:
            for sizes in ([60] * 50, [1, 2, 3, 4, 5] * 10, [60] * 10 + [1, 0] * 10):
                kpi = SocketKPI(reactor, mmsg=way)
                self.addCleanup(kpi.closeall)
                gone = kpi.socket(INET, DGRAM)
                gone.bind(("127.0.0.1", 0))
                so = kpi.socket(INET, DGRAM)
                so.ioctl(c.FIONBIO, 1)
                so.connect(gone.getsockname())
                gone.close()
                for _ in range(3):
                    self.assertEqual(
                        len(sizes), so.sendbatch(Batch(map(Packet, map(bytes, sizes))))
                    )
                self.assertEqual({errno.ECONNREFUSED}, set(so.senderrors))
                self.assertEqual(errno.ECONNREFUSED, so.so_error)
                counted = 3 * len(sizes), 3 * sum(sizes)
                self.assertEqual(counted, (so.sndpackets, so.sndbytes))
