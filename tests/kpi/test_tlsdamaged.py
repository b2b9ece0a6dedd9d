"""Certificates that no authority makes, but a stranger may: nothing but a refusal comes of them."""

from __future__ import annotations

import errno
import os
from typing import Any

from cryptography import x509
from OpenSSL import SSL
from twisted.internet import reactor
from twisted.internet.task import deferLater

from ngksock.kpi import tlscert
from ngksock.kpi.tlsconfig import TLSConfig
from ngksock.kpi.tlsfail import shown
from ngksock.kpi.tlsopt import IPPROTO_TLS, gettls, settls
from tests.kpi.sockets import INET, STREAM, Owner, packets
from tests.kpi.tlspeers import CA, CLIENT, EDI_PARTY, RawPeer, TLSTestCase, made, pem_of

NONSENSE = bytes.fromhex("300382016101")
EVIL = "evil\n2026-01-01T00:00:00+0000 [-] FAKE LINE \x1b[31m\u202e"


VERSION = (bytes.fromhex("a003020102"), bytes.fromhex("a003020109"))
DNS = x509.SubjectAlternativeName([x509.DNSName("a.org")]).public_bytes()
ODD = {
    "a name of a kind nobody reads": made(EDI_PARTY),
    "names that are nonsense": made(NONSENSE),
    "names twice": made(DNS, DNS),
    "a version nobody knows": made(DNS, change=VERSION),
}
BROKEN = made(DNS, change=(b"\x0c\x01x", b"\x13\x01\xff"))
STRANGE = {
    "a name of a kind nobody reads": made(EDI_PARTY, issuer="nobody"),
    "names twice": made(DNS, DNS, issuer="nobody"),
    "a version nobody knows": made(DNS, change=VERSION, issuer="nobody"),
}


class DamagedTests(TLSTestCase):
    def raw_context(self, contents: bytes, server: bool) -> SSL.Context:
        """Return a context of OpenSSL's that shows the certificate in *contents*."""
        context = SSL.Context(SSL.TLS_SERVER_METHOD if server else SSL.TLS_CLIENT_METHOD)
        path = self.file("odd.pem", contents)
        context.use_certificate_chain_file(path)
        context.use_privatekey_file(path)
        return context

    async def shows(self, contents: bytes, listener: Owner, name: str = "") -> str:
        """Connect and show *contents*; return what *listener* has logged."""
        self.logged.clear()
        plain = await self.plain(listener.so.getsockname())
        raw = RawPeer(plain, self.raw_context(contents, False), server=False, name=name)
        await plain.until(lambda: raw.go() and raw.ended)
        while not self.logged:
            await deferLater(reactor, 0)
        (line,) = self.logged
        return line

    async def test_clients(self) -> None:
        """A stranger that shows one is refused and logged, and the next ones are served."""
        listener = self.server(ca=self.ca, verify=True)
        mine = self.file("client.pem", pem_of(CLIENT))
        for what, contents in STRANGE.items():
            line = await self.shows(contents, listener)
            self.assertRegex(line, r"failed: the (peer's )?certificate ", what)
            one = self.client(listener.so.getsockname(), cert=mine)
            two = await self.accepted(listener)
            await one.until(one.so.isconnected)
            one.so.abort()
            two.so.abort()
        self.assertEqual([], self.flushLoggedErrors())

    async def test_by_name(self) -> None:
        """What one client shows to one name harms nobody at another, connected or new."""
        certdir = os.path.join(self.folder, "d")
        os.mkdir(certdir)
        for name in ("a.org", "b.org"):
            self.file(f"d/{name}.pem", pem_of(CA.issue_cert(name)))
        listener = self.server(certdir=certdir, ca=self.ca, verify=True)
        mine = self.file("client.pem", pem_of(CLIENT))
        values: dict[str, Any] = {"servername": "a.org", "cert": mine}
        victim = self.client(listener.so.getsockname(), **values)
        two = await self.accepted(listener)
        await victim.until(victim.so.isconnected)
        for _ in range(3):
            await self.shows(made(EDI_PARTY, issuer="nobody"), listener, "b.org")
        victim.so.sendbatch(packets(b"hello"))
        await two.until(lambda: two.data or two.error)
        self.assertEqual((b"hello", None), (two.data, two.error))
        for _ in range(3):
            one = self.client(listener.so.getsockname(), **values)
            await self.accepted(listener)
            await one.until(lambda one: one.so.isconnected() or one.error, one)
            self.assertIsNone(one.error)
        self.assertEqual([], self.flushLoggedErrors())

    async def test_servers(self) -> None:
        """A server that shows one is refused: EACCES, and a sentence."""
        for what, contents in ODD.items():
            context = self.raw_context(contents, True)
            listener = self.listener()
            one = self.client(listener.so.getsockname(), servername="x.org")
            two = await self.accepted(listener)
            raw = RawPeer(two, context, server=True)
            waits = two.until(lambda raw=raw: raw.go() and raw.ended)
            waits.addErrback(lambda _: None)
            code, why = await self.fails(one)
            self.assertEqual(errno.EACCES, code, (what, why))
            self.assertRegex(why, "^the (peer's )?certificate ", what)
            one.so.close()
        self.assertEqual([], self.flushLoggedErrors())

    async def test_accepted(self) -> None:
        """One our CA has signed, of a client, is good enough; gettls may find no subject in it."""
        listener = self.server(ca=self.ca, verify=True)
        for what, expected in (
            ("a name of a kind nobody reads", "CN=x"),
            ("names that are nonsense", "CN=x"),
            ("a version nobody knows", "damaged"),
            ("", "damaged"),
        ):
            contents = ODD[what] if what else BROKEN
            plain = await self.plain(listener.so.getsockname())
            raw = RawPeer(plain, self.raw_context(contents, False), server=False)
            plain.until(lambda raw=raw: raw.go() and raw.ended).addErrback(lambda _: None)
            two = await self.accepted(listener)
            self.assertEqual(expected, gettls(two.so).subject, what)
            two.so.abort()

    def test_names(self) -> None:
        """Whatever is asked of one, it has no names rather than an exception."""
        for what, contents in ODD.items():
            if "version" in what:
                continue
            (cert,) = x509.load_pem_x509_certificates(contents)
            self.assertEqual([], tlscert.dns_names(cert), what)
            self.assertEqual([], tlscert.all_san(cert), what)
            self.assertEqual("x", tlscert.called(cert), what)
        broken = made(DNS[:-1] + b"\xff", change=(b"\x0c\x01x", b"\x0c\x01\xff"))
        (cert,) = x509.load_pem_x509_certificates(broken)
        self.assertEqual("nobody", tlscert.called(cert))

    def test_own(self) -> None:
        """One of our own is refused by settls, in a sentence."""
        so = self.socket(INET, STREAM, IPPROTO_TLS)
        for what, contents in ODD.items():
            path = self.file("odd.pem", contents)
            error = self.assertRaises(OSError, settls, so, TLSConfig(cert=path))
            self.assertEqual(errno.EINVAL, error.errno, what)
            self.assertRegex(
                str(error.strerror),
                "^TLS cannot use the certificate in .*odd.pem: .|odd.pem has no certificate",
                what,
            )

    async def test_second_line(self) -> None:
        """What nobody foresaw, of OpenSSL or our functions, ends that connection with EPROTO."""

        def fail(*_: Any) -> None:
            raise ZeroDivisionError("somebody else's")

        one, two = await self.both({}, {})
        patched = self.patch(SSL.Connection, "_raise_ssl_error", fail)
        two.so.close()
        self.assertEqual(errno.EPROTO, (await self.fails(one))[0])
        patched.restore()
        one, two = await self.both({}, {})
        patched = self.patch(SSL.Connection, "send", fail)
        self.assertEqual(errno.EPIPE, self.errno_of(one.so.sendbatch, packets(b"x")))
        patched.restore()
        one, two = await self.both({}, {})
        patched = self.patch(SSL.Connection, "shutdown", fail)
        one.so.close()
        await two.until(lambda: two.error)
        patched.restore()
        self.patch(SSL.Connection, "do_handshake", fail)
        listener = self.server()
        error, why = await self.fails(self.client(listener.so.getsockname()))
        self.assertEqual((errno.EPROTO, True), (error, "somebody else's" in why))
        self.assertEqual([], self.flushLoggedErrors())


class ShownTests(TLSTestCase):
    def clean(self, text: str) -> None:
        """Assert that *text* can be logged."""
        self.assertTrue(text.isprintable(), repr(text))
        self.assertLess(len(text), 700)

    def test_shown(self) -> None:
        """What a peer says is one line, of a size, and nothing a terminal obeys."""
        self.assertEqual("Bücher, a b", shown("Bücher, a b"))
        self.assertEqual(r"a\nb\x1b[2J\u202e\x00", shown("a\nb\x1b[2J\u202e\0"))
        self.assertEqual(200, len(shown("x" * 9999)))
        self.assertTrue(shown("x" * 201).endswith("..."))
        self.assertEqual("x" * 200, shown("x" * 200))
        self.clean(shown("\n" * 9999))
        self.clean(shown("\ud800"))

    async def test_protocols(self) -> None:
        """The protocols a client offers."""
        listener = self.server(alpn=("h2",))
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_alpn_protos([b"\n[fake]\x1b[2J", *[b"A" * 255] * 60])
        plain = await self.plain(listener.so.getsockname())
        raw = RawPeer(plain, context, server=False)
        await plain.until(lambda: raw.go() and raw.ended)
        self.assertIn(r"do not speak: \n[fake]\x1b[2J, AAA", self.logged[-1])
        self.clean(self.logged[-1])

    async def test_certificate(self) -> None:
        """Subject, issuer and names of a certificate, in the log and in why."""
        path = self.file("evil.pem", made(subject=EVIL, issuer=EVIL))
        names = x509.SubjectAlternativeName([x509.DNSName("a" * 60 + f".{n}") for n in range(90)])
        many = self.file("many.pem", made(names.public_bytes()))
        for cert in (path, many):
            listener = self.server(cert=cert)
            one = self.client(listener.so.getsockname())
            code, why = await self.fails(one)
            self.assertEqual(errno.EACCES, code)
            self.clean(why)
        listener = self.server(ca=self.ca, verify=True)
        self.client(listener.so.getsockname(), cert=path)
        while not (lines := [line for line in self.logged if "FAKE" in line]):
            await deferLater(reactor, 0)
        self.assertIn(r"FAKE LINE \x1b[31m", lines[0])
        self.clean(lines[0])

    async def test_info(self) -> None:
        """What gettls tells."""
        cert = self.file("evil.pem", made(subject=EVIL))
        one, _two = await self.both({"cert": cert}, {"verify": False})
        self.clean(gettls(one.so).subject)
        self.assertIn("FAKE LINE", gettls(one.so).subject)
