"""The pure parts: addresses, buffers, the state table, the switch, the upcall queue."""

from __future__ import annotations

import errno
import socket
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from ngksock._ikpi import IBatchSocket, ISocketKPI, ISocketKPIProvider, IUserRequests
from ngksock.kpi import SocketKPI, sockaddr
from ngksock.kpi import constants as c
from ngksock.kpi.callbacks import Callbacks
from ngksock.kpi.protosw import pffindproto
from ngksock.kpi.sockbuf import RcvBuf, SndBuf
from ngksock.kpi.state import EVENT, READ, TRANSITIONS, WRITE
from ngksock.kpi.upcall import Upcalls
from ngksock.packet import Batch, Packet
from tests.kpi.sockets import DGRAM, INET, INET6, SEQPACKET, STREAM, UNIX, packets


class InterfaceTests(SynchronousTestCase):
    def test_verified(self) -> None:
        """What says it provides an interface does, for every kind of socket."""
        kpi = SocketKPI(reactor)
        self.addCleanup(kpi.closeall)
        verifyObject(ISocketKPIProvider, kpi)
        for domain, type in ((INET, STREAM), (INET, DGRAM), (UNIX, SEQPACKET)):
            so = kpi.socket(domain, type)
            verifyObject(ISocketKPI, so)
            verifyObject(IBatchSocket, so)
            verifyObject(IUserRequests, so.driver)


class SwitchTests(SynchronousTestCase):
    def errno_of(self, *args: int) -> int | None:
        code: int | None = self.assertRaises(OSError, pffindproto, *args).errno
        return code

    def test_errors(self) -> None:
        """What cannot be made fails at once, with XNU's errno."""
        self.assertEqual(errno.EAFNOSUPPORT, self.errno_of(99, STREAM, 0))
        self.assertEqual(errno.EPROTOTYPE, self.errno_of(INET, STREAM, 17))
        self.assertEqual(errno.EPROTOTYPE, self.errno_of(INET6, DGRAM, 6))
        self.assertEqual(errno.EPROTOTYPE, self.errno_of(INET, DGRAM, 1))
        self.assertEqual(errno.EPROTONOSUPPORT, self.errno_of(INET, 9, 0))
        self.assertEqual(errno.EPROTONOSUPPORT, self.errno_of(INET, SEQPACKET, 0))
        self.assertEqual(errno.EPROTONOSUPPORT, self.errno_of(UNIX, STREAM, 6))
        self.assertEqual(errno.EPROTONOSUPPORT, self.errno_of(UNIX, int(socket.SOCK_RAW), 0))

    def test_unknown_to_host(self) -> None:
        """A protocol the host does not have is EPROTONOSUPPORT, not one of its own errors."""
        error = self.assertRaises(OSError, SocketKPI(reactor).socket, INET, STREAM, 200)
        self.assertEqual(errno.EPROTONOSUPPORT, error.errno)

    def test_resolved(self) -> None:
        """Protocol 0 is the usual one, and gettype says which."""
        kpi = SocketKPI(reactor)
        self.addCleanup(kpi.closeall)
        self.assertEqual((INET, STREAM, 6), kpi.socket(INET, STREAM).gettype())
        self.assertEqual((INET6, DGRAM, 17), kpi.socket(INET6, DGRAM).gettype())
        self.assertEqual((UNIX, SEQPACKET, 0), kpi.socket(UNIX, SEQPACKET).gettype())


class AddressTests(SynchronousTestCase):
    def errno_of(self, domain: int, address: object) -> int | None:
        code: int | None = self.assertRaises(OSError, sockaddr.check, domain, address).errno
        return code

    def test_numeric(self) -> None:
        """Numeric addresses pass as they are."""
        for domain, address in (
            (INET, ("127.0.0.1", 80)),
            (INET6, ("::1", 80)),
            (INET6, ("fe80::1", 80, 0, 1)),
        ):
            self.assertEqual(address, sockaddr.check(domain, address))

    def test_never_a_name(self) -> None:
        """A host name is EINVAL, and so is whatever else is not an address."""
        for bad in (
            ("localhost", 80),
            ("", 80),
            ("fe80::1%lo", 80),
            ("127.0.0.1\0", 80),
            ("::1", -1),
            ("::1", 65536),
            ("::1", "80"),
            ("::1",),
            ("::1", 80, 0),
            ("::1", 80, 1 << 20, 0),
            ["::1", 80],
            None,
            5,
        ):
            self.assertEqual(errno.EINVAL, self.errno_of(INET6, bad), bad)

    def test_family(self) -> None:
        """An address of another family is EAFNOSUPPORT."""
        self.assertEqual(errno.EAFNOSUPPORT, self.errno_of(INET, ("::1", 80)))
        self.assertEqual(errno.EAFNOSUPPORT, self.errno_of(INET6, ("127.0.0.1", 80)))
        self.assertEqual(errno.EAFNOSUPPORT, self.errno_of(INET, "/tmp/s"))
        self.assertEqual(errno.EAFNOSUPPORT, self.errno_of(UNIX, ("127.0.0.1", 80)))

    def test_path(self) -> None:
        """An empty path and one with a NUL inside are EINVAL."""
        self.assertEqual(errno.EINVAL, self.errno_of(UNIX, ""))
        self.assertEqual(errno.EINVAL, self.errno_of(UNIX, b"a\0b"))
        self.assertEqual("\u20ac".encode(), sockaddr.check(UNIX, "\u20ac"))

    @given(st.binary(min_size=1, max_size=sockaddr.SUN_PATH).filter(lambda b: 0 not in b))
    def test_path_text(self, raw: bytes) -> None:
        """The text of a path stands for exactly its bytes."""
        self.assertEqual(raw, sockaddr.path_bytes(sockaddr.path_text(raw)))

    def test_scope(self) -> None:
        """A scope is the number of an interface, by name or as it is."""
        self.assertEqual(socket.if_nametoindex("lo"), sockaddr.scope_id("lo"))
        self.assertEqual(7, sockaddr.scope_id("7"))
        error = self.assertRaises(OSError, sockaddr.scope_id, "nosuch0")
        self.assertEqual(errno.ENXIO, error.errno)


class BufferTests(SynchronousTestCase):
    @given(st.lists(st.binary(max_size=9), max_size=9), st.data())
    def test_sndbuf(self, contents: list[bytes], data: st.DataObject) -> None:
        """so_snd gives back the bytes it took, in order, however they are dropped."""
        snd, whole = SndBuf(), b"".join(contents)
        skip = data.draw(st.integers(0, len(whole)))
        snd.append(packets(*contents), skip)
        left = whole[skip:]
        while left:
            self.assertEqual(len(left), snd.cc)
            self.assertEqual(left, b"".join(snd.gather()))
            count = data.draw(st.integers(1, len(left)))
            snd.sbdrop(count)
            left = left[count:]
        self.assertEqual((0, []), (snd.cc, snd.gather()))

    @given(st.lists(st.binary(max_size=9), max_size=20), st.integers(1, 5))
    def test_rcvbuf(self, contents: list[bytes], limit: int) -> None:
        """so_rcv gives back its packets in order, with their bytes and their names."""
        rcv = RcvBuf()
        for number, content in enumerate(contents):
            batch = packets(content)
            batch.names = [number] if number % 3 else None
            rcv.append_batch(batch)
        self.assertEqual(sum(map(len, contents)), rcv.cc)
        taken: list[bytes] = []
        names: list[Any] = []
        while (part := rcv.take(limit)) is not None:
            self.assertLessEqual(len(part), limit)
            self.assertEqual(sum(p.len for p in part), part.nbytes)
            taken += [bytes(p) for p in part]
            names += part.names or [None] * len(part)
        self.assertEqual(contents, taken)
        self.assertEqual([n if n % 3 else None for n in range(len(contents))], names)

    def test_marks(self) -> None:
        """so_snd is lowered once, when three quarters are free, after it was at its high mark."""
        snd = SndBuf()
        self.assertFalse(snd.lowered())
        snd.append(Batch([Packet(bytes(c.SB_HIWAT))]), 0)
        self.assertEqual(0, snd.space)
        snd.sbdrop(c.SB_HIWAT - c.SB_HIWAT // 4 - 1)
        self.assertFalse(snd.lowered())
        snd.sbdrop(1)
        self.assertTrue(snd.lowered())
        self.assertFalse(snd.lowered())


class TableTests(SynchronousTestCase):
    def test_order(self) -> None:
        """Connected tells the event last; every change towards the end tells it first."""
        orders = {name: row.order for name, row in TRANSITIONS.items() if row.order}
        self.assertEqual((READ, WRITE, EVENT), orders.pop("connected"))
        self.assertEqual({EVENT}, {order[0] for order in orders.values()})

    def test_bits(self) -> None:
        """No change sets what it clears, and each end of the states is in the table."""
        for row in TRANSITIONS.values():
            self.assertEqual(0, row.set & row.clear)
        ended = TRANSITIONS["disconnected"]
        self.assertEqual(c.SS_CANTRCVMORE | c.SS_CANTSENDMORE | c.SS_ISDISCONNECTED, ended.set)


class Recorder:
    """Stands for a socket in the queue; what is delivered may be a call."""

    def __init__(self, seen: list[object]) -> None:
        self.seen = seen

    def deliver(self, what: int, data: Any) -> None:
        self.seen.append(what)
        if data is not None:
            data()


class QueueTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.upcalls = Upcalls(self.clock)
        self.seen: list[object] = []
        self.so = cast(Callbacks, Recorder(self.seen))

    def test_next_turn(self) -> None:
        """What arises inside a call waits for the next turn, by one delayed call."""
        for number in range(3):
            self.upcalls.post(self.so, number, None)
        self.assertEqual([], self.seen)
        self.assertEqual(1, len(self.clock.getDelayedCalls()))
        self.clock.advance(0)
        self.assertEqual([0, 1, 2], self.seen)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_driver(self) -> None:
        """What a driver brings is told at the end of its turn, without a delayed call."""
        self.upcalls.hold()
        self.upcalls.post(self.so, 1, None)
        self.assertEqual(([], []), (self.seen, self.clock.getDelayedCalls()))
        self.upcalls.drain()
        self.assertEqual([1], self.seen)

    def test_not_reentrant(self) -> None:
        """What an upcall causes waits until after it, for the next turn."""

        def cause() -> None:
            self.upcalls.post(self.so, 2, None)
            self.upcalls.drain()
            self.seen.append("end")

        self.upcalls.hold()
        self.upcalls.post(self.so, 1, cause)
        self.upcalls.drain()
        self.assertEqual([1, "end"], self.seen)
        self.clock.advance(0)
        self.assertEqual([1, "end", 2], self.seen)

    def test_nested_driver(self) -> None:
        """A driver's turn inside an upcall tells after it, and forgets nothing."""

        def nested() -> None:
            self.upcalls.hold()
            self.upcalls.post(self.so, 2, None)
            self.upcalls.drain()
            self.seen.append("end")

        self.upcalls.hold()
        self.upcalls.post(self.so, 1, nested)
        self.upcalls.drain()
        self.assertEqual([1, "end"], self.seen)
        self.clock.advance(0)
        self.assertEqual([1, "end", 2], self.seen)

    def test_drained_early(self) -> None:
        """A driver's turn takes along what waited, and the delayed call with it."""
        self.upcalls.post(self.so, 1, None)
        self.upcalls.hold()
        self.upcalls.drain()
        self.assertEqual([1], self.seen)
        self.assertEqual([], self.clock.getDelayedCalls())
