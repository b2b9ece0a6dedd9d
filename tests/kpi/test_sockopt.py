"""Options: FreeBSD's numbers and people's words, on sockets of this host."""

from __future__ import annotations

import errno
import os
import socket
import struct

from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from ngksock.kpi import constants as c
from ngksock.kpi.optform import ADDRESS
from ngksock.kpi.sockopt import SOL_BSD, WORDS, OptionWord, host_option
from tests.kpi.sockets import DGRAM, INET, INET6, STREAM, UNIX, KPITestCase, driver, packets

SOL = int(socket.SOL_SOCKET)

# word: (domain, type, text to set, text it reads back as, None: as set)
VALUES: dict[str, tuple[int, int, str, str | None]] = {
    "so_reuseaddr": (INET, STREAM, "1", None),
    "so_reuseport": (INET, STREAM, "1", None),
    "so_keepalive": (INET, STREAM, "1", None),
    "so_broadcast": (INET, DGRAM, "1", None),
    "so_dontroute": (INET, DGRAM, "1", None),
    "so_oobinline": (INET, STREAM, "1", None),
    "so_timestamp": (INET, DGRAM, "1", None),
    "so_debug": (INET, DGRAM, "0", None),
    "so_linger": (INET, STREAM, "5", None),
    "so_sndbuf": (INET, STREAM, "50000", None),
    "so_rcvbuf": (INET, DGRAM, "10000", None),
    "so_sndlowat": (INET, STREAM, "4096", None),
    "so_rcvlowat": (INET, STREAM, "10", None),
    "so_sndtimeo": (INET, STREAM, "2", None),
    "so_rcvtimeo": (INET, STREAM, "1.5", None),
    "so_setfib": (INET, DGRAM, "2", None),
    "so_mode": (UNIX, DGRAM, "0600", None),
    "tcp_nodelay": (INET, STREAM, "1", None),
    "tcp_maxseg": (INET, STREAM, "1000", None),
    "tcp_nopush": (INET, STREAM, "1", None),
    "tcp_keepidle": (INET, STREAM, "30", None),
    "tcp_keepintvl": (INET6, STREAM, "5", None),
    "tcp_keepcnt": (INET, STREAM, "3", None),
    "ip_tos": (INET, DGRAM, "0x10", "16"),
    "ip_ttl": (INET, DGRAM, "9", None),
    "ip_multicast_if": (INET, DGRAM, "127.0.0.1", None),
    "ip_multicast_ttl": (INET, DGRAM, "3", None),
    "ip_multicast_loop": (INET, DGRAM, "off", "0"),
    "ip_bindany": (INET, DGRAM, "1", None),
    "ip_dontfrag": (INET, DGRAM, "1", None),
    "ipv6_unicast_hops": (INET6, DGRAM, "9", None),
    "ipv6_multicast_if": (INET6, DGRAM, "lo", None),
    "ipv6_multicast_hops": (INET6, DGRAM, "3", None),
    "ipv6_multicast_loop": (INET6, DGRAM, "0", None),
    "ipv6_v6only": (INET6, DGRAM, "1", None),
    "ipv6_tclass": (INET6, DGRAM, "16", None),
}
READ_ONLY = {"so_error", "so_type", "so_protocol", "so_acceptconn"}
MEMBERSHIPS = {
    "ip_add_membership": (INET, "239.1.1.1%lo"),
    "ip_drop_membership": (INET, "239.1.1.1%lo"),
    "ipv6_join_group": (INET6, "ff02::1234%lo"),
    "ipv6_leave_group": (INET6, "ff02::1234%lo"),
}


class WordTests(KPITestCase):
    def test_all_tried(self) -> None:
        """Every word there is has a line in these tests."""
        self.assertEqual(set(WORDS), set(VALUES) | READ_ONLY | set(MEMBERSHIPS))

    def test_round_trip(self) -> None:
        """What a word sets on a socket of the host, it reads back."""
        for name, (domain, type, text, back) in VALUES.items():
            word, so = WORDS[name], self.socket(domain, type)
            try:
                word.host().set(so, word.encode(text))
            except PermissionError as error:
                self.assertIn("CAP_NET_ADMIN", error.strerror, name)
                continue
            found = word.decode(word.host().get(so))
            self.assertEqual(text if back is None else back, found, name)

    def test_by_number(self) -> None:
        """The socket takes level 0xffff to mean FreeBSD's numbers and values."""
        so = self.socket()
        self.assertEqual(bytes(4), so.getsockopt(SOL_BSD, 4, 4))
        so.setsockopt(SOL_BSD, 4, struct.pack("i", 1) + b"padding")
        self.assertEqual(4, so.getsockopt(SOL_BSD, 4))
        so.setsockopt(SOL_BSD, 0x200, 1)
        self.assertEqual(struct.pack("i", 0x200), so.getsockopt(SOL_BSD, 0x200, 99))
        so.setsockopt(SOL_BSD, 0x1006, struct.pack("qq", 2, 0))
        self.assertEqual(struct.pack("qq", 2, 0), so.getsockopt(SOL, socket.SO_RCVTIMEO))
        so.setsockopt(SOL_BSD, 0x80, struct.pack("ii", 1, 5))
        self.assertEqual(struct.pack("ii", 0x80, 5), so.getsockopt(SOL_BSD, 0x80, 99))

    def test_read_only(self) -> None:
        """What can only be read has its value and refuses to be set."""
        so = self.socket(INET, DGRAM)
        values = {name: WORDS[name].decode(WORDS[name].host().get(so)) for name in READ_ONLY}
        wanted = {"so_error": "0", "so_type": "2", "so_protocol": "17", "so_acceptconn": "0"}
        self.assertEqual(wanted, values)
        for name in READ_ONLY:
            call = WORDS[name].host().set
            self.assertEqual(errno.ENOPROTOOPT, self.errno_of(call, so, struct.pack("i", 1)))

    def test_membership(self) -> None:
        """A group is joined and left, its interface given by name, address or not at all."""
        for join, leave, domain, groups in (
            (
                "ip_add_membership",
                "ip_drop_membership",
                INET,
                ("239.1.1.1%lo", "239.1.1.2%127.0.0.1"),
            ),
            ("ipv6_join_group", "ipv6_leave_group", INET6, ("ff02::1234%lo", "ff02::1%1")),
        ):
            so = self.socket(domain, DGRAM)
            for group in groups:
                for word in (WORDS[join], WORDS[leave]):
                    word.host().set(so, word.encode(group))
                    back = word.decode(word.encode(group))
                    self.assertEqual("ff02::1%lo" if group == "ff02::1%1" else group, back)
                self.assertEqual(
                    errno.EADDRNOTAVAIL,
                    self.errno_of(WORDS[leave].host().set, so, WORDS[leave].encode(group)),
                )
        alone = WORDS["ip_add_membership"].encode("239.1.1.1")
        self.assertEqual((8, "239.1.1.1"), (len(alone), WORDS["ip_add_membership"].decode(alone)))

    def test_multicast_interface(self) -> None:
        """The interface for groups is given by name as well as by address."""
        word, so = WORDS["ip_multicast_if"], self.socket(INET, DGRAM)
        word.host().set(so, word.encode("lo"))
        self.assertEqual("lo", word.decode(word.encode("lo")))
        gone = struct.pack("4s4si", b"", b"", 99999)
        self.assertEqual("99999", word.decode(gone))

    def test_address_form(self) -> None:
        """An option that is an address alone is written as one."""
        self.assertEqual(b"\x7f\0\0\1", ADDRESS.encode("127.0.0.1"))
        self.assertEqual("127.0.0.1", ADDRESS.decode(b"\x7f\0\0\1"))
        self.assertEqual(errno.EINVAL, self.errno_of(ADDRESS.encode, "lo"))

    def test_privilege(self) -> None:
        """Without privilege the sentence says which one an option needs."""
        so = self.socket(INET, DGRAM)
        if os.geteuid() == 0:
            os.seteuid(65534)
            self.addCleanup(os.seteuid, 0)
        for name in ("so_setfib", "ip_bindany"):
            word = WORDS[name]
            error = self.assertRaises(PermissionError, word.host().set, so, word.encode("1"))
            self.assertIn("CAP_NET_ADMIN", error.strerror)

    def test_bad_text(self) -> None:
        """Text that means nothing is EINVAL, and the sentence begins with the word."""
        for name, text in (
            ("so_reuseaddr", "maybe"),
            ("so_rcvbuf", "much"),
            ("so_rcvbuf", "0x1ffffffff"),
            ("so_linger", "-2"),
            ("so_linger", "long"),
            ("so_rcvtimeo", "-1"),
            ("so_rcvtimeo", "nan"),
            ("so_rcvtimeo", "soon"),
            ("so_mode", "888"),
            ("so_mode", "7777"),
            ("ip_add_membership", "group%lo"),
            ("ipv6_join_group", "239.1.1.1"),
        ):
            error = self.assertRaises(OSError, WORDS[name].encode, text)
            self.assertEqual(errno.EINVAL, error.errno)
            self.assertTrue((error.strerror or "").startswith(f"{name}: "), error)
        error = self.assertRaises(OSError, WORDS["ip_add_membership"].encode, "239.1.1.1%nosuch0")
        self.assertEqual(errno.ENXIO, error.errno)

    def test_linger_off(self) -> None:
        """so_linger=-1 is off, 0 is the reset."""
        word: OptionWord = WORDS["so_linger"]
        self.assertEqual(("linger", bytes(8)), (word.kind, word.encode("-1")))
        self.assertEqual(struct.pack("ii", 1, 0), word.encode("0"))
        self.assertEqual("-1", word.decode(word.host().get(self.socket())))


class RuleTests(KPITestCase):
    def test_unknown(self) -> None:
        """An option this host lacks is ENOPROTOOPT, with its name where it has one."""
        for level, name, part in (
            (SOL_BSD, 0x1015, "SO_USER_COOKIE"),
            (0, 7, "IP_RECVDSTADDR"),
            (6, 0x999, "level=0x6 name=0x999"),
        ):
            error = self.assertRaises(OSError, host_option, level, name)
            self.assertEqual(errno.ENOPROTOOPT, error.errno)
            self.assertIn(part, error.strerror or "")
        so = self.socket()
        self.assertEqual(errno.ENOPROTOOPT, self.errno_of(so.getsockopt, SOL, 9999))

    def test_too_short(self) -> None:
        """A value shorter than the option takes is EINVAL."""
        so = self.socket()
        for level, name in ((SOL_BSD, 4), (SOL_BSD, 0x80), (SOL_BSD, 0x1006), (SOL_BSD, 0x1002)):
            self.assertEqual(errno.EINVAL, self.errno_of(so.setsockopt, level, name, b"\1"))
        self.assertEqual(errno.EINVAL, self.errno_of(so.setsockopt, SOL, socket.SO_RCVTIMEO, 1))

    def test_ranges(self) -> None:
        """Sizes begin at 1, times are whole, a linger time is not negative."""
        so = self.socket()
        for name in (socket.SO_RCVBUF, socket.SO_SNDBUF, socket.SO_RCVLOWAT, socket.SO_SNDLOWAT):
            self.assertEqual(errno.EINVAL, self.errno_of(so.setsockopt, SOL, name, 0))
        for value in (struct.pack("qq", 0, 1_000_000), struct.pack("qq", -1, 0)):
            call = (so.setsockopt, SOL, socket.SO_RCVTIMEO, value)
            self.assertEqual(errno.EDOM, self.errno_of(*call))
        call2 = (so.setsockopt, SOL, socket.SO_LINGER, struct.pack("ii", 1, -1))
        self.assertEqual(errno.EINVAL, self.errno_of(*call2))

    def test_never_on_the_descriptor(self) -> None:
        """Timeouts, low-water marks and linger do not reach the host's socket."""
        so = self.socket()
        so.setsockopt(SOL, socket.SO_RCVTIMEO, struct.pack("qq", 5, 0))
        so.setsockopt(SOL, socket.SO_RCVLOWAT, 100)
        so.setsockopt(SOL, socket.SO_LINGER, struct.pack("ii", 1, 5))
        host = driver(so).sock
        self.assertEqual(bytes(16), host.getsockopt(SOL, socket.SO_RCVTIMEO, 16))
        self.assertEqual(1, host.getsockopt(SOL, socket.SO_RCVLOWAT))
        self.assertEqual(bytes(8), host.getsockopt(SOL, socket.SO_LINGER, 8))
        so.setsockopt(SOL, socket.SO_LINGER, bytes(8))

    def test_marks(self) -> None:
        """Buffer sizes move the marks of so_snd and so_rcv; low marks stay below."""
        so = self.socket()
        so.setsockopt(SOL, socket.SO_SNDBUF, 4096)
        so.setsockopt(SOL, socket.SO_RCVBUF, 8192)
        self.assertEqual((4096, 8192), (so.sndspace(), so.so_rcv.hiwat))
        self.assertEqual(c.SB_LIMIT * c.SB_HIWAT, so.so_snd.limit)
        so.setsockopt(SOL, socket.SO_SNDLOWAT, 1 << 20)
        so.setsockopt(SOL, socket.SO_RCVLOWAT, 1 << 20)
        self.assertEqual((4096, 8192), (so.so_snd.lowat, so.so_rcv.lowat))

    def test_beyond_the_limit(self) -> None:
        """A buffer beyond the system's limit is set as far as possible, with a warning."""
        warnings: list[tuple[object, object]] = []

        @implementer(ILogObserver)
        def observe(event: LogEvent) -> None:
            if event.get("log_namespace") == "ngksock.kpi":
                warnings.append((event["value"], event["got"]))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        so = self.socket(INET, DGRAM)
        if os.geteuid() == 0:
            os.seteuid(65534)
            self.addCleanup(os.seteuid, 0)
        wanted = 1 << 29
        so.setsockopt(SOL, socket.SO_RCVBUF, wanted)
        self.assertEqual(wanted, so.getsockopt(SOL, socket.SO_RCVBUF))
        got = driver(so).sock.getsockopt(SOL, socket.SO_RCVBUF) // 2
        self.assertEqual([] if got >= wanted else [(wanted, got)], warnings)

    async def test_fully_shut(self) -> None:
        """Once both directions are shut no option can be set."""
        client, _server = await self.pair()
        client.so.setsockopt(SOL, socket.SO_KEEPALIVE, 1)
        client.so.shutdown(c.SHUT_RDWR)
        call = (client.so.setsockopt, SOL, socket.SO_KEEPALIVE, 1)
        self.assertEqual(errno.EINVAL, self.errno_of(*call))

    async def test_satisfied_mark(self) -> None:
        """Setting a receive mark that is satisfied already is told of."""
        client, server = await self.pair(reads=False)
        server.so.sendbatch(packets(b"1234"))
        await client.until(lambda: client.told)
        client.told.clear()
        client.so.setsockopt(SOL, socket.SO_RCVLOWAT, 4)
        await client.until(lambda: client.told)
        self.assertEqual(["read"], client.told)


class FormTests(SynchronousTestCase):
    @given(st.integers(-(2**31), 2**31 - 1))
    def test_int(self, number: int) -> None:
        """Every int reads back as it was written."""
        word = WORDS["ip_tos"]
        self.assertEqual(str(number), word.decode(word.encode(str(number))))

    @given(st.integers(0, 10**9))
    def test_time(self, microseconds: int) -> None:
        """A time in text and its timeval stand for the same microseconds."""
        word = WORDS["so_rcvtimeo"]
        whole, part = struct.unpack("qq", word.encode(f"{microseconds / 1e6:.6f}"))
        self.assertEqual(microseconds, whole * 1_000_000 + part)

    @given(st.integers(-1, 32767))
    def test_linger(self, seconds: int) -> None:
        """A linger time reads back, off included."""
        word = WORDS["so_linger"]
        self.assertEqual(str(seconds), word.decode(word.encode(str(seconds))))
