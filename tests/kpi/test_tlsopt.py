"""The options of TLS: their forms, when they may be set, and what they tell."""

from __future__ import annotations

import errno
import os
import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from ngksock.kpi import tlsopt as o
from ngksock.kpi.tlsconfig import TLSConfig, identity_of
from ngksock.kpi.tlsfail import speaks_tls
from ngksock.kpi.tlsrecord import WINDOW, windows
from tests.kpi.sockets import DGRAM, INET, STREAM, UNIX, Owner, packets
from tests.kpi.tlspeers import NAME, TLSTestCase

LEVEL = o.SOL_NGK_TLS


class FakeDriver:
    """Holds a configuration, as a driver does."""

    def __init__(self) -> None:
        self.config = TLSConfig()

    def configure(self, config: TLSConfig) -> None:
        """Take it."""
        self.config = config

    def info(self) -> o.TLSInfo:
        """Return what a handshake may bring."""
        return o.TLSInfo("TLSv1.3", "A_CIPHER", "CN=x", "h2", True)


class CodecTests(TLSTestCase):
    @given(st.text(st.characters(exclude_characters="\0", codec="utf-8")))
    def test_files(self, path: str) -> None:
        """Any path comes back as it was set."""
        driver = FakeDriver()
        for name in (o.TLS_CERT, o.TLS_KEY, o.TLS_CA, o.TLS_CERTDIR, o.TLS_KEYLOG):
            driver.configure(o.setopt(driver, name, path.encode()))
            self.assertEqual(path.encode(), o.getopt(driver, name, 0))
            self.assertEqual(path.encode()[:3], o.getopt(driver, name, 3))

    @given(st.lists(st.text("abc/123.", min_size=1)))
    def test_alpn(self, names: list[str]) -> None:
        """Names with commas between come back in order."""
        driver = FakeDriver()
        raw = ",".join(names).encode()
        driver.configure(o.setopt(driver, o.TLS_ALPN, raw))
        self.assertEqual(tuple(names), driver.config.alpn)
        self.assertEqual(raw, o.getopt(driver, o.TLS_ALPN, 0))

    @given(st.integers(1, 2**31 - 1))
    def test_timeout(self, number: int) -> None:
        """Milliseconds come back as they were set, as an int or its bytes; not for ever."""
        driver = FakeDriver()
        for value in (number, struct.pack("i", number)):
            if number >= 1e9:
                self.assertEqual(
                    errno.EINVAL, self.errno_of(o.setopt, driver, o.TLS_TIMEOUT, value)
                )
                continue
            driver.configure(o.setopt(driver, o.TLS_TIMEOUT, value))
            self.assertEqual(number, o.getopt(driver, o.TLS_TIMEOUT, 0))
            self.assertEqual(struct.pack("i", number), o.getopt(driver, o.TLS_TIMEOUT, 4))

    def test_verify(self) -> None:
        """1, 0, and -1 for as usual."""
        driver = FakeDriver()
        self.assertEqual(-1, o.getopt(driver, o.TLS_VERIFY, 0))
        for number, expected in ((1, True), (0, False), (-1, None), (1, True)):
            driver.configure(o.setopt(driver, o.TLS_VERIFY, number))
            self.assertIs(expected, driver.config.verify)
        self.assertEqual(1, o.getopt(driver, o.TLS_VERIFY, 0))

    def test_refused(self) -> None:
        """Wrong forms and values are EINVAL, unknown and read-only ones ENOPROTOOPT."""
        driver = FakeDriver()
        for code, name, value in (
            (errno.EINVAL, o.TLS_CERT, 1),
            (errno.EINVAL, o.TLS_CERT, b"a\0b"),
            (errno.EINVAL, o.TLS_SERVERNAME, b"\xff"),
            (errno.EINVAL, o.TLS_SERVERNAME, b"not a name"),
            (errno.EINVAL, o.TLS_MINVERSION, b"1.0"),
            (errno.EINVAL, o.TLS_VERIFY, b"1"),
            (errno.EINVAL, o.TLS_TIMEOUT, 0),
            (errno.EINVAL, o.TLS_ALPN, b"x" * 256),
            (errno.ENOPROTOOPT, o.TLS_VERSION, b"1.3"),
            (errno.ENOPROTOOPT, 999, 1),
        ):
            self.assertEqual(code, self.errno_of(o.setopt, driver, name, value), (name, value))
        self.assertEqual(errno.ENOPROTOOPT, self.errno_of(o.getopt, driver, 999, 0))

    def test_told(self) -> None:
        """What the handshake brought can be read."""
        driver = FakeDriver()
        told = (o.TLS_VERSION, o.TLS_CIPHER, o.TLS_PEERSUBJECT, o.TLS_ALPN_SELECTED)
        self.assertEqual(
            [b"TLSv1.3", b"A_CIPHER", b"CN=x", b"h2"], [o.getopt(driver, n, 0) for n in told]
        )
        self.assertEqual(1, o.getopt(driver, o.TLS_RESUMED, 0))

    @settings(deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2 * WINDOW))))
    def test_windows(self, sizes: list[tuple[int, int]]) -> None:
        """Pieces of any sizes leave in order, whole, and never too much at once."""
        pieces = [bytes([fill]) * (size if fill else size % 7) for fill, size in sizes]
        runs = list(windows(pieces))
        self.assertEqual(b"".join(pieces), b"".join(runs))
        self.assertTrue(all(0 < len(run) <= WINDOW for run in runs))
        self.assertTrue(all(len(run) == WINDOW for run in runs[:-1]))

    @given(st.binary(min_size=2))
    def test_speaks_tls(self, data: bytes) -> None:
        """Two bytes tell a record of TLS: its kind, and the 3 of its version."""
        self.assertEqual(20 <= data[0] <= 23 and data[1] == 3, speaks_tls(data))

    def test_no_answer(self) -> None:
        """A number that is no answer, and a protocol without a name, are EINVAL."""
        driver = FakeDriver()
        for value in (-2, 2, 1 << 30, struct.pack("i", -5)):
            self.assertEqual(errno.EINVAL, self.errno_of(o.setopt, driver, o.TLS_VERIFY, value))
        for raw in (b",", b"a,,b", b",a", b"a,", b"x" * 256):
            self.assertEqual(errno.EINVAL, self.errno_of(o.setopt, driver, o.TLS_ALPN, raw), raw)
        self.assertEqual((), o.setopt(driver, o.TLS_ALPN, b"").alpn)

    def test_identity(self) -> None:
        """A name is a name, an address an address, with a scope or without."""
        self.assertEqual(b"example.org", identity_of("Example.org").hostname)
        self.assertEqual(b"xn--bcher-kva.example", identity_of("bücher.example").hostname)
        self.assertEqual(b"example.org", identity_of("example.org.").hostname)
        self.assertEqual("fe80::1", str(identity_of("fe80::1%eth0").ip))
        self.assertEqual("127.0.0.1", str(identity_of("127.0.0.1").ip))
        self.assertEqual(b"xn--bcher-kva.example", identity_of("BÜCHER.Example").hostname)
        self.assertEqual("::1", str(identity_of("::1").ip))
        scoped = ("x.org%eth0", "127.0.0.1%eth0", "%eth0", "%", "x%", "x.org%")
        for name in ("", "a b", "a..b", "*.x.org", "x" * 300, *scoped):
            self.assertEqual(errno.EINVAL, self.errno_of(identity_of, name), name)


class SocketTests(TLSTestCase):
    def test_protocol(self) -> None:
        """TLS is a protocol of streams, over inet, inet6 and local sockets."""
        for domain in (INET, UNIX):
            so = self.socket(domain, STREAM, o.IPPROTO_TLS)
            self.assertEqual((domain, STREAM, o.IPPROTO_TLS), so.gettype())
            self.assertEqual(domain == INET, so.proto.is_tcp)
        self.assertEqual(errno.EPROTOTYPE, self.errno_of(self.socket, INET, DGRAM, o.IPPROTO_TLS))
        code = self.errno_of(self.socket, UNIX, DGRAM, o.IPPROTO_TLS)
        self.assertEqual(errno.EPROTONOSUPPORT, code)

    async def test_set_one_by_one(self) -> None:
        """Sockets configured by options alone connect, and tell what was agreed on."""
        listener = self.socket(INET, STREAM, o.IPPROTO_TLS)
        listener.setsockopt(LEVEL, o.TLS_CERT, self.cert.encode())
        listener.setsockopt(LEVEL, o.TLS_ALPN, b"h2,http/1.1")
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        one = self.socket(INET, STREAM, o.IPPROTO_TLS)
        one.setsockopt(LEVEL, o.TLS_CA, self.ca.encode())
        one.setsockopt(LEVEL, o.TLS_SERVERNAME, NAME.encode())
        one.setsockopt(LEVEL, o.TLS_ALPN, b"http/1.1")
        one.setsockopt(LEVEL, o.TLS_MINVERSION, b"1.3")
        self.assertEqual(errno.ENOTCONN, self.errno_of(one.getsockopt, LEVEL, o.TLS_VERSION))
        self.connect(one, listener.getsockname())
        self.assertEqual(
            errno.EISCONN, self.errno_of(one.setsockopt, LEVEL, o.TLS_CERT, self.cert.encode())
        )
        owner = Owner(one)
        two = await self.accepted(Owner(listener))
        await owner.until(one.isconnected)
        self.assertEqual(b"TLSv1.3", one.getsockopt(LEVEL, o.TLS_VERSION))
        self.assertEqual(b"http/1.1", two.so.getsockopt(LEVEL, o.TLS_ALPN_SELECTED))
        self.assertEqual(0, one.getsockopt(LEVEL, o.TLS_RESUMED))
        inherited = two.so.getsockopt(LEVEL, o.TLS_CERT)
        self.assertEqual(self.cert.encode(), inherited)
        for so in (one, two.so):
            self.assertEqual(errno.EISCONN, self.errno_of(o.settls, so, TLSConfig()))
        self.assertEqual(errno.EINVAL, self.errno_of(o.settls, listener, TLSConfig()))
        one.sendbatch(packets(b"x"))
        await two.until(lambda: two.data == b"x")

    def test_relative(self) -> None:
        """A relative file is set relative to the provider's directory."""
        so = self.tls()
        so.setsockopt(LEVEL, o.TLS_CERTDIR, b"certs")
        expected = os.fsencode(self.kpi.absolute("certs"))
        self.assertEqual(expected, so.getsockopt(LEVEL, o.TLS_CERTDIR))
        so.setsockopt(LEVEL, o.TLS_CERTDIR, b"")
        self.assertEqual(b"", so.getsockopt(LEVEL, o.TLS_CERTDIR))

    def test_other_levels(self) -> None:
        """Options of other levels are the host's as ever."""
        so = self.tls()
        so.setsockopt(6, 1, 1)  # TCP_NODELAY
        self.assertEqual(1, so.getsockopt(6, 1))

    def test_plain(self) -> None:
        """A plain socket has none of these options."""
        so = self.socket()
        self.assertEqual(errno.EOPNOTSUPP, self.errno_of(o.settls, so, TLSConfig()))
        self.assertTrue(self.errno_of(so.getsockopt, LEVEL, o.TLS_CERT))
