"""Traffic classes: what is remembered, what packets carry, and what background takes back."""

from __future__ import annotations

import errno
import socket
import struct
from typing import Any

from twisted.internet import reactor

from ngksock.errors import oserror
from ngksock.kpi import MsgHdr, Socket, SocketKPI
from ngksock.kpi import constants as c
from ngksock.kpi.dgram import DgramDriver
from ngksock.kpi.protosw import Protosw
from ngksock.kpi.traffic import CLASSES, RECVBG_WINDOW, marked
from tests.kpi.sockets import DGRAM, INET, INET6, STREAM, UNIX, KPITestCase, Owner

SOL = c.SOL_SOCKET
TOS = (int(socket.IPPROTO_IP), int(socket.IP_TOS))
TCLASS = (int(socket.IPPROTO_IPV6), int(socket.IPV6_TCLASS))
CLAMP = (int(socket.IPPROTO_TCP), int(socket.TCP_WINDOW_CLAMP))
CS1 = 0x20


class Far(DgramDriver):
    """A socket whose peer seems to be far away."""

    def peeraddr(self) -> Any:
        return ("198.51.100.7", 9)


class Gone(DgramDriver):
    """A socket whose peer has just gone."""

    def peeraddr(self) -> Any:
        raise oserror(errno.ENOTCONN)


class Unmarked(DgramDriver):
    """A socket of a host without options."""

    def ctloutput(
        self, level: int, name: int, value: int | bytes | None = None, length: int = 0
    ) -> int | bytes:
        raise oserror(errno.ENOPROTOOPT)


class TrafficCase(KPITestCase):
    def marks(self, so: Socket) -> tuple[int, int, int]:
        """Return the class, the byte and the priority of *so*."""
        byte = so.gettclassopt()
        priority = so.getsockopt(SOL, socket.SO_PRIORITY)
        traffic_class = so.getsockopt(SOL, c.SO_TRAFFIC_CLASS)
        return int(traffic_class), byte, int(priority)

    def over(self, driver: type[DgramDriver]) -> Socket:
        """Return a datagram socket over *driver*."""

        def drivers(kpi: SocketKPI, proto: Protosw) -> DgramDriver:
            return driver(kpi, proto.open())

        kpi = SocketKPI(reactor, drivers=drivers)
        self.addCleanup(kpi.closeall)
        return kpi.socket(INET, DGRAM)


class ClassTests(TrafficCase):
    def test_83_classes(self) -> None:
        """Check 83: each class is a DSCP and a priority on the host's socket, in both families."""
        for domain in (INET, INET6):
            so = self.socket(domain)
            self.assertEqual((0, 0, 0), self.marks(so))
            for value, mark in CLASSES.items():
                so.setsockopt(SOL, c.SO_TRAFFIC_CLASS, value)
                self.assertEqual((value, *mark), self.marks(so))
        self.assertEqual((0xB8, 6), CLASSES[c.SO_TC_VO])

    def test_83_invalid(self) -> None:
        """Check 83: what is no class is EINVAL and changes nothing; 1, 2 and 3 mean BK, VI, VO."""
        so = self.socket()
        for legacy, value in ((1, c.SO_TC_BK), (2, c.SO_TC_VI), (3, c.SO_TC_VO)):
            so.setsockopt(SOL, c.SO_TRAFFIC_CLASS, legacy)
            self.assertEqual((value, *CLASSES[value]), self.marks(so))
        for bad in (-1, 4, 150, 901, 9999, 10009, b"\1"):
            code = self.errno_of(so.setsockopt, SOL, c.SO_TRAFFIC_CLASS, bad)
            self.assertEqual(errno.EINVAL, code)
        self.assertEqual((800, 0xB8, 6), self.marks(so))

    def test_services(self) -> None:
        """A network service type chooses the class; a plain class forgets the type."""
        so = self.socket(INET, DGRAM)
        for service, value in enumerate((0, 200, 700, 700, 800, 600, 500, 400, 300)):
            so.setsockopt(SOL, c.SO_NET_SERVICE_TYPE, service)
            self.assertEqual((value, *CLASSES[value]), self.marks(so))
            self.assertEqual(service, so.getsockopt(SOL, c.SO_NET_SERVICE_TYPE))
        so.setsockopt(SOL, c.SO_TRAFFIC_CLASS, c.SO_TC_NETSVC + c.NET_SERVICE_TYPE_VO)
        self.assertEqual(c.NET_SERVICE_TYPE_VO, so.getsockopt(SOL, c.SO_NET_SERVICE_TYPE))
        so.setsockopt(SOL, c.SO_TRAFFIC_CLASS, c.SO_TC_BK)
        self.assertEqual(0, so.getsockopt(SOL, c.SO_NET_SERVICE_TYPE))
        for bad in (-1, 9):
            code = self.errno_of(so.setsockopt, SOL, c.SO_NET_SERVICE_TYPE, bad)
            self.assertEqual(errno.EINVAL, code)

    async def test_83_inherited(self) -> None:
        """Check 83: an accepted socket has its listener's class and priority."""
        for domain in (INET, INET6):
            listener = self.listener(domain)
            listener.so.setsockopt(SOL, c.SO_TRAFFIC_CLASS, c.SO_TC_VO)
            client = Owner(self.socket(domain))
            self.connect(client.so, listener.so.getsockname())
            await listener.until(lambda so=listener.so: so.so_comp)
            accepted, _name = self.accept(listener.so)
            self.assertEqual((800, 0xB8, 6), self.marks(accepted))
            self.assertEqual((0, 0, 0), self.marks(client.so))

    async def test_inherited_background(self) -> None:
        """An accepted socket is in background as its listener, but receives as it likes."""
        listener = self.listener()
        listener.so.setsockopt(SOL, c.SO_TRAFFIC_CLASS, c.SO_TC_VO)
        listener.so.set_traffic_mgt_flags(3)
        client = Owner(self.socket())
        self.connect(client.so, listener.so.getsockname())
        await listener.until(lambda: listener.so.so_comp)
        accepted, _name = self.accept(listener.so)
        self.assertEqual(1, accepted.getsockopt(SOL, c.SO_TRAFFIC_MGT))
        self.assertEqual((800, CS1, 1), self.marks(accepted))
        self.assertGreater(int(accepted.getsockopt(*CLAMP)), RECVBG_WINDOW)
        accepted.clear_traffic_mgt_flags(1)
        self.assertEqual((800, 0xB8, 6), self.marks(accepted))

    def test_unmarked(self) -> None:
        """A class holds although the host takes no mark, and of a local socket too."""
        for so in (self.over(Unmarked), self.socket(UNIX)):
            so.setsockopt(SOL, c.SO_TRAFFIC_CLASS, c.SO_TC_VI)
            so.set_traffic_mgt_flags(3)
            so.clear_traffic_mgt_flags(3)
            self.assertEqual(700, so.getsockopt(SOL, c.SO_TRAFFIC_CLASS))

    def test_switch(self) -> None:
        """Without marks_dscp a class is a priority alone; settclassopt marks all the same."""
        self.kpi = SocketKPI(reactor, marks_dscp=False)
        self.addCleanup(self.kpi.closeall)
        so = self.socket(INET, DGRAM)
        so.setsockopt(SOL, c.SO_TRAFFIC_CLASS, c.SO_TC_VO)
        self.assertEqual((800, 0, 6), self.marks(so))
        so.set_traffic_mgt_flags(1)
        self.assertEqual((800, 0, 1), self.marks(so))
        so.clear_traffic_mgt_flags(1)
        so.connect(("127.0.0.1", 9))
        so.settclassopt(0x20)
        self.assertEqual((100, 0x20, 1), self.marks(so))


class ByteTests(TrafficCase):
    async def test_82_byte(self) -> None:
        """Check 82: towards loopback the whole byte is written, and its DSCP is the class."""
        for domain in (INET, INET6):
            client, _server = await self.pair(domain)
            for byte, value in (
                (0xB8, c.SO_TC_VI),
                (0xC0, c.SO_TC_VO),
                (0xFC, c.SO_TC_VO),
                (0x20, c.SO_TC_BK_SYS),
                (0x5C, c.SO_TC_BK_SYS),
                (0x60, c.SO_TC_BE),
                (0x1C, c.SO_TC_BE),
                (0x00, c.SO_TC_BE),
            ):
                client.so.settclassopt(byte)
                self.assertEqual((value, byte, CLASSES[value].priority), self.marks(client.so))
                option = TOS if domain == INET else TCLASS
                self.assertEqual(byte, client.so.getsockopt(*option))

    def test_82_refused(self) -> None:
        """Check 82: not connected is ENOTCONN; not a byte, or a family without one, EINVAL."""
        so = self.socket()
        self.assertEqual(errno.ENOTCONN, self.errno_of(so.settclassopt, 0xB8))
        for bad in (None, "184", b"\xb8", 1.0, -1, 256):
            self.assertEqual(errno.EINVAL, self.errno_of(so.settclassopt, bad))
        self.assertEqual(errno.EINVAL, self.errno_of(self.socket(UNIX).gettclassopt))

    async def test_82_local(self) -> None:
        """Check 82: a connected local socket has no byte: EINVAL."""
        client, _server = await self.pair(UNIX)
        self.assertEqual(errno.EINVAL, self.errno_of(client.so.settclassopt, 0xB8))

    def test_far(self) -> None:
        """Towards another host, or nobody, the class is set and no packet is marked."""
        for driver in (Far, Gone):
            so = self.over(driver)
            so.connect(("127.0.0.1", 9))
            so.settclassopt(0xB8)
            self.assertEqual((700, 0, 5), self.marks(so))

    def test_mapped(self) -> None:
        """Loopback of IPv4 is local for an inet6 socket as well, and both bytes are written."""
        so = self.socket(INET6, DGRAM)
        so.connect(("::ffff:127.0.0.1", 9))
        so.settclassopt(0x20)
        self.assertEqual((100, 0x20, 1), self.marks(so))
        self.assertEqual(0x20, so.getsockopt(*TOS))


class ManagementTests(TrafficCase):
    def test_84_flags(self) -> None:
        """Check 84: two bits are kept, others are ignored, whichever spelling sets them."""
        so = self.socket()
        so.set_traffic_mgt_flags(0xFFFFFFFF)
        self.assertEqual(3, so.getsockopt(SOL, c.SO_TRAFFIC_MGT))
        so.clear_traffic_mgt_flags(0xFD)
        self.assertEqual(2, so.getsockopt(SOL, c.SO_TRAFFIC_MGT))
        so.clear_traffic_mgt_flags_locked(2)
        so.set_traffic_mgt_flags_locked(1)
        self.assertEqual(1, so.getsockopt(SOL, c.SO_TRAFFIC_MGT))
        for call in (so.set_traffic_mgt_flags, so.clear_traffic_mgt_flags):
            self.assertEqual(errno.EINVAL, self.errno_of(call, "1"))

    def test_background(self) -> None:
        """In background the marks are the lowest, and what was asked meanwhile comes after."""
        so = self.socket(INET, DGRAM)
        so.setsockopt(SOL, c.SO_TRAFFIC_CLASS, c.SO_TC_AV)
        so.set_traffic_mgt_flags(c.TRAFFIC_MGT_SO_BACKGROUND)
        self.assertEqual((500, CS1, 1), self.marks(so))
        so.set_traffic_mgt_flags(c.TRAFFIC_MGT_SO_BACKGROUND)  # twice is once
        so.clear_traffic_mgt_flags(c.TRAFFIC_MGT_SO_BACKGROUND)
        self.assertEqual((500, 0x68, 4), self.marks(so))
        so.set_traffic_mgt_flags(c.TRAFFIC_MGT_SO_BACKGROUND)
        so.setsockopt(SOL, c.SO_TRAFFIC_CLASS, c.SO_TC_VO)
        self.assertEqual((800, CS1, 1), self.marks(so))
        so.connect(("127.0.0.1", 9))
        so.settclassopt(0xC0)
        self.assertEqual((800, CS1, 1), self.marks(so))
        so.clear_traffic_mgt_flags(c.TRAFFIC_MGT_SO_BACKGROUND)
        self.assertEqual((800, 0xC0, 6), self.marks(so))

    async def test_recvbg(self) -> None:
        """TCP_RECVBG clamps the receive window until it is cleared."""
        client, _server = await self.pair()
        fresh = self.socket()
        for so in (client.so, fresh):
            before = int(so.getsockopt(*CLAMP))
            so.set_traffic_mgt_flags(c.TRAFFIC_MGT_TCP_RECVBG)
            self.assertEqual(RECVBG_WINDOW, so.getsockopt(*CLAMP))
            so.clear_traffic_mgt_flags(c.TRAFFIC_MGT_TCP_RECVBG)
            after = int(so.getsockopt(*CLAMP))
            self.assertGreaterEqual(after, max(before, RECVBG_WINDOW + 1))
        so = self.socket(INET, DGRAM)
        so.set_traffic_mgt_flags(c.TRAFFIC_MGT_TCP_RECVBG)
        so.clear_traffic_mgt_flags(c.TRAFFIC_MGT_TCP_RECVBG)


class PacketTests(TrafficCase):
    def message(self, value: int, name: int = c.SO_TRAFFIC_CLASS) -> Any:
        """Return the control message for *value*."""
        return (SOL, name, struct.pack("i", value))

    def tos(self, value: int) -> Any:
        """Return the control message that the host takes."""
        return (*TOS, struct.pack("i", value))

    def test_messages(self) -> None:
        """The first valid class of a packet becomes its byte; others stay as they are."""
        so = self.socket(INET, DGRAM)
        ttl = (int(socket.IPPROTO_IP), int(socket.IP_TTL), struct.pack("i", 3))
        for given, wanted in (
            ([], []),
            ([ttl], [ttl]),
            ([self.message(800)], [self.tos(0xB8)]),
            ([self.message(3), ttl], [ttl, self.tos(0xB8)]),
            ([self.message(10001)], [self.tos(0x20)]),
            ([self.message(5, c.SO_NET_SERVICE_TYPE)], [self.tos(0x80)]),
            ([self.message(150), self.message(900), self.message(100)], [self.tos(0xC0)]),
            ([self.message(10099), self.message(9, c.SO_NET_SERVICE_TYPE)], []),
            ([(SOL, c.SO_TRAFFIC_CLASS, b"\1")], []),
        ):
            self.assertEqual(wanted, marked(so, given))
        so6 = self.socket(INET6, DGRAM)
        self.assertEqual([(*TCLASS, struct.pack("i", 0xB8))], marked(so6, [self.message(800)]))

    def test_where_not(self) -> None:
        """A stream's and a local socket's messages go; in background TOS goes as well."""
        for domain, type in ((INET, STREAM), (UNIX, DGRAM)):
            self.assertEqual([], marked(self.socket(domain, type), [self.message(800)]))
        so = self.socket(INET, DGRAM)
        so.set_traffic_mgt_flags(c.TRAFFIC_MGT_SO_BACKGROUND)
        self.assertEqual([], marked(so, [self.message(800), self.tos(0xB8)]))

    def test_on_the_wire(self) -> None:
        """A datagram carries the byte of its own class, and the next one its socket's."""
        so = self.socket(INET, DGRAM)
        so.setsockopt(SOL, c.SO_TRAFFIC_CLASS, c.SO_TC_AV)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.bind(("127.0.0.1", 0))
            peer.settimeout(5)
            peer.setsockopt(socket.IPPROTO_IP, 13, 1)  # IP_RECVTOS
            for control in (marked(so, [self.message(c.SO_TC_VO)]), None):
                so.send(MsgHdr(peer.getsockname(), [b"x"], control))
            bytes_ = [peer.recvmsg(9, 99)[1][0][2][0] for _ in range(2)]
        self.assertEqual([0xB8, 0x68], bytes_)
