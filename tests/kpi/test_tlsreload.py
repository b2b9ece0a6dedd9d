"""Files that change while they are served: what fails harms nothing else, and may pass."""

from __future__ import annotations

import errno
import os
from typing import Any

from ngksock.kpi import tlscert, tlsctx, tlsreload
from ngksock.kpi.tlsconfig import TLSConfig
from ngksock.kpi.tlsctx import ClientContext, ServerContexts
from ngksock.kpi.tlsreload import certificates
from tests.kpi.sockets import Owner, driver
from tests.kpi.tlspeers import (
    CA,
    CLIENT,
    EDI_PARTY,
    NAME,
    OTHER_CA,
    TLSTestCase,
    made,
    pem_of,
    self_made,
)

WEAK = self_made("weak.org", -1, 9, rsa_bits=1024)


class ReloadTests(TLSTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.certdir = os.path.join(self.folder, "d")
        os.mkdir(self.certdir)

    def put(self, file: str, *names: str) -> None:
        """Put a certificate for *names* into the folder."""
        self.file(f"d/{file}", pem_of(CA.issue_cert(*names)))

    def contexts(self, listener: Owner) -> ServerContexts:
        """Return what *listener* serves with."""
        served = driver(listener.so).served
        assert isinstance(served.contexts, ServerContexts)
        return served.contexts

    def names(self, listener: Owner) -> set[str]:
        """Return the names *listener* has certificates for."""
        return set(self.contexts(listener)._named)

    def said(self, what: str) -> int:
        """Return how many log lines have *what* in them."""
        return sum(what in line for line in self.logged)

    def test_weak(self) -> None:
        """A certificate OpenSSL will not use holds up no other, and is told once."""
        clock = self.clocked()
        self.put("a.pem", "a.org")
        listener = self.server(certdir=self.certdir)
        for count, (name, contents) in enumerate(
            (("w1.pem", WEAK), ("w2.pem", made(EDI_PARTY)), ("w3.pem", WEAK)), 1
        ):
            self.file(f"d/{name}", contents)
            self.put(f"c{count}.pem", f"c{count}.org")
            for _ in range(3):
                clock.advance(2)
            self.assertIn(f"c{count}.org", self.names(listener))
            self.assertEqual(count, self.said("TLS cannot use the certificate in"), self.logged)
        self.file("d/a.pem", WEAK)
        clock.advance(2)
        self.assertIn("a.org", self.names(listener))
        self.assertIn("ee key too small; the old one stays in use", self.logged[-1])
        self.assertEqual([], self.flushLoggedErrors())

    def test_weak_client(self) -> None:
        """Who connects keeps a good old one, too."""
        mine = self.file("mine.pem", pem_of(CLIENT))
        known = certificates(self.kpi)
        config = TLSConfig(cert=mine, ca=self.ca)
        first = known.client(config)
        self.file("mine.pem", WEAK)
        for _ in range(3):
            self.assertIs(first._context, known.client(config)._context)
        self.assertEqual(1, self.said("ee key too small; the old one stays in use"))
        self.file("mine.pem", pem_of(CLIENT))
        self.assertIsNot(first._context, known.client(config)._context)

    def test_bug(self) -> None:
        """What nobody foresaw is logged once for a change, not every two seconds."""
        clock = self.clocked()
        listener = self.server()
        patched = self.patch(tlsreload, "ServerContexts", lambda *_: 1 / 0)
        self.file("server.pem", pem_of(CA.issue_cert("new.org")))
        for _ in range(5):
            clock.advance(2)
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        patched.restore()
        self.file("server.pem", pem_of(CA.issue_cert("newer.org")))
        clock.advance(2)
        self.assertEqual(("newer.org",), self.contexts(listener)._usual.names)

    def fail_reading(self, code: int) -> Any:
        """Let reading any file fail with *code*."""

        def read(path: str, *_: Any) -> bytes:
            raise tlscert._cannot_read(path, OSError(code, "so it is"))

        return self.patch(tlscert, "_read", read)

    def test_passing(self) -> None:
        """What may pass by itself is tried at each look, and told once."""
        clock = self.clocked()
        listener = self.server()
        for code in (errno.EMFILE, errno.EACCES, errno.EIO):
            self.logged.clear()
            patched = self.fail_reading(code)
            new = self.file("new.pem", pem_of(CA.issue_cert(f"e{code}.org")))
            os.rename(new, self.cert)
            for _ in range(5):
                clock.advance(2)
            self.assertEqual(1, len(self.logged), self.logged)
            self.assertIn("; the old one stays in use", self.logged[0])
            patched.restore()
            clock.advance(2)
            self.assertEqual((f"e{code}.org",), self.contexts(listener)._usual.names)
            self.assertEqual(1, self.said("certificates were loaded again"))
            self.assertFalse(self.contexts(listener).again)

    def test_passing_client(self) -> None:
        """The same for who connects."""
        mine = self.file("mine.pem", pem_of(CLIENT))
        config = TLSConfig(cert=mine, ca=self.ca)
        known = certificates(self.kpi)
        first = known.client(config)
        patched = self.fail_reading(errno.ENFILE)
        self.file("mine.pem", pem_of(CA.issue_cert("x.org")))
        for _ in range(3):
            self.assertIs(first._context, known.client(config)._context)
        self.assertEqual(1, len(self.logged))
        patched.restore()
        self.assertIsNot(first._context, known.client(config)._context)

    def test_passing_folder(self) -> None:
        """The same for a folder that cannot be listed for a moment."""
        clock = self.clocked()
        self.put("a.pem", "a.org")
        listener = self.server(certdir=self.certdir)
        self.put("b.pem", "b.org")

        def fail(folder: str) -> list[str]:
            raise OSError(errno.EMFILE, "too many")

        patched = self.patch(tlscert, "pem_files", fail)
        for _ in range(3):
            clock.advance(2)
        self.assertEqual(["too many; the old ones stay in use"], self.logged)
        patched.restore()
        clock.advance(2)
        self.assertEqual({"a.org", "b.org"}, self.names(listener))

    def test_gone_before(self) -> None:
        """A folder that is gone by the time of listen is an error of it."""
        self.put("a.pem", "a.org")
        so = self.tls(certdir=self.certdir)
        os.unlink(os.path.join(self.certdir, "a.pem"))
        self.assertEqual(errno.ENOENT, self.errno_of(so.listen, 1))

    def test_rights(self) -> None:
        """A change of a file's rights is a change of the file."""
        before = tlscert.stamp(self.cert)
        os.chmod(self.cert, 0o640)
        self.assertNotEqual(before, tlscert.stamp(self.cert))

    def count_made(self) -> list[Any]:
        """Count the contexts that are made from now on."""
        made: list[Any] = []
        real = tlsctx._context

        def count(*args: Any) -> Any:
            made.append(args)
            return real(*args)

        self.patch(tlsctx, "_context", count)
        return made

    def test_made_when_needed(self) -> None:
        """Of very many names the contexts of those are made that somebody asked for."""
        clock = self.clocked()
        for number in range(20):
            self.put(f"{number:02}.pem", f"n{number}.org")
        made = self.count_made()
        listener = self.server(certdir=self.certdir, ca=self.ca, verify=True)
        self.assertEqual(1, len(made))
        contexts = self.contexts(listener)
        first, five = contexts.default, contexts.serves("n5.org")
        self.assertIs(first, contexts.serves("N0.org."))
        self.assertIs(first, contexts.serves("other.net"))
        self.assertIs(five, contexts.serves("n5.org"))
        self.assertEqual(2, len(made))
        self.put("07.pem", "n7.org")
        os.unlink(os.path.join(self.certdir, "09.pem"))
        clock.advance(2)
        again = self.contexts(listener)
        self.assertIsNot(contexts, again)
        self.assertEqual((first, five), (again.default, again.serves("n5.org")))
        self.assertEqual(2, len(made))
        self.put("05.pem", "n5.org")
        clock.advance(2)
        self.assertIsNot(five, self.contexts(listener).serves("n5.org"))
        self.assertIs(five, again.serves("n5.org"))
        self.assertEqual(2, len(self.contexts(listener)._made))
        self.file("ca.pem", OTHER_CA.cert_pem.bytes())
        clock.advance(2)
        self.assertIsNot(first, self.contexts(listener).default)

    async def test_all_bad_and_another_ca(self) -> None:
        """When no certificate is any good any more, who is trusted still changes."""
        clock = self.clocked()
        self.put("a.pem", "a.org")
        ca = self.file("clients.pem", CA.cert_pem.bytes())
        listener = self.server(certdir=self.certdir, ca=ca, verify=True)
        mine = self.file("mine.pem", pem_of(OTHER_CA.issue_cert("me@example.org")))
        os.unlink(os.path.join(self.certdir, "a.pem"))
        self.file("d/b.pem", b"noise")
        self.file("clients.pem", OTHER_CA.cert_pem.bytes())
        clock.advance(2)
        one = self.client(listener.so.getsockname(), servername="a.org", cert=mine)
        await self.accepted(listener)
        await one.until(one.so.isconnected)

    def test_bug_by_name(self) -> None:
        """A context that cannot be made is logged, and the usual one serves."""
        self.put("a.pem", NAME)
        listener = self.server(certdir=self.certdir, cert=self.cert)
        connection = self.contexts(listener).connection()
        self.patch(connection, "get_servername", lambda: b"x.org")
        usual = connection.get_context()
        self.patch(ServerContexts, "serves", lambda *_: 1 / 0)
        tlsctx._serve(connection)
        self.assertIs(usual, connection.get_context())
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))

    def test_sessions_stay(self) -> None:
        """Sessions of who connects stay when the files do, and go with them."""
        config = TLSConfig(ca=self.ca)
        first = ClientContext(config)
        self.assertIs(first._sessions, ClientContext(config, first)._sessions)
        self.file("ca.pem", OTHER_CA.cert_pem.bytes())
        self.assertIsNot(first._sessions, ClientContext(config, first)._sessions)
