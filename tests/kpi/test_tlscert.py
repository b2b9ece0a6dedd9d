"""Certificates: what is wrong with the files, who is served which, and what changes."""

from __future__ import annotations

import base64
import errno
import os
import socket
from typing import Any

import trustme
from cryptography.hazmat.primitives.asymmetric import x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from ngksock.kpi import constants as c
from ngksock.kpi import tlsreload
from ngksock.kpi.tlscert import dns_names
from ngksock.kpi.tlsconfig import TLSConfig
from ngksock.kpi.tlsopt import gettls, settls
from tests.kpi.sockets import INET, STREAM, UNIX, Owner, driver
from tests.kpi.tlspeers import CA, NAME, SERVER, TLSTestCase, der, pem_of, self_made


class FileTests(TLSTestCase):
    def complaint(self, code: int, why: str, **values: Any) -> None:
        """Assert that settls refuses *values* with *code* and *why*, our folder left out."""
        so = self.tls()
        error = self.assertRaises(OSError, settls, so, TLSConfig(**values))
        said = str(error.strerror).replace(self.folder + "/", "")
        self.assertEqual((code, why), (error.errno, said))

    def test_missing(self) -> None:
        """A file that does not exist is named."""
        gone = os.path.join(self.folder, "gone")
        self.complaint(errno.ENOENT, "gone does not exist", cert=gone)
        self.complaint(errno.ENOENT, "gone does not exist", cert=self.cert, key=gone)
        self.complaint(errno.ENOENT, "gone does not exist", ca=gone)
        self.complaint(errno.ENOENT, "gone does not exist", certdir=gone)
        self.complaint(
            errno.ENOENT, "the key log gone/x: no such file or directory", keylog=gone + "/x"
        )
        self.complaint(errno.ENOTDIR, "ca.pem/x is not a directory", cert=self.ca + "/x")

    def test_directory(self) -> None:
        """A directory where a file belongs, and the other way round."""
        why = f"{self.folder} is a directory, not a file"
        for name in ("cert", "ca"):
            self.complaint(errno.EISDIR, why, **{name: self.folder})
        self.complaint(
            errno.EISDIR, f"the key log {self.folder}: is a directory", keylog=self.folder
        )
        self.complaint(errno.ENOTDIR, "ca.pem is not a directory", certdir=self.ca)

    def test_empty_folder(self) -> None:
        """A certdir without any .pem is none."""
        empty = os.path.join(self.folder, "empty")
        os.mkdir(empty)
        self.complaint(errno.ENOENT, "empty has no file whose name ends in .pem", certdir=empty)

    def test_not_pem(self) -> None:
        """Neither nothing nor noise is a certificate; a broken one is none either."""
        broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
        for contents in (b"", b"\x30\x82" + bytes(300), broken):
            path = self.file("x", contents)
            self.complaint(errno.EINVAL, "x has no certificate in PEM form", cert=path)
            self.complaint(errno.EINVAL, "x has no certificate in PEM form", ca=path)

    def test_not_a_file(self) -> None:
        """Nothing waits at a FIFO, nor reads an endless device."""
        fifo = os.path.join(self.folder, "fifo")
        os.mkfifo(fifo)
        self.complaint(errno.EINVAL, "fifo is not a file of certificates", cert=fifo)
        self.complaint(errno.EINVAL, "/dev/zero is not a file of certificates", ca="/dev/zero")

    def test_unreadable(self) -> None:
        """A file that may not be read: EACCES (root may read anything)."""
        os.chmod(self.cert, 0)
        if os.access(self.cert, os.R_OK):
            return
        self.complaint(errno.EACCES, "server.pem cannot be read: permission denied", cert=self.cert)

    def test_keys(self) -> None:
        """A key that is missing, of somebody else, damaged, or of no use."""
        alone = self.file("alone.pem", SERVER.cert_chain_pems[0].bytes())
        self.complaint(errno.EINVAL, "alone.pem has no private key in PEM form", cert=alone)
        other = self.file("other.key", CA.issue_cert("x.org").private_key_pem.bytes())
        self.complaint(
            errno.EINVAL,
            "the key in other.key does not match the certificate in alone.pem",
            cert=alone,
            key=other,
        )
        mixed = self.file("mixed.pem", SERVER.cert_chain_pems[0].bytes() + open_(other))
        why = "the key does not match the certificate in mixed.pem"
        self.complaint(errno.EINVAL, why, cert=mixed)
        damaged = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
        self.complaint(
            errno.EINVAL,
            "the private key in damaged is damaged",
            cert=alone,
            key=self.file("damaged", damaged),
        )
        useless = x25519.X25519PrivateKey.generate().private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
        unknown = der(0x30, b"\2\1\0" + der(0x30, b"\6\2\x2a\3") + der(4, b"\0"))
        unknown = base64.b64encode(unknown).join(
            (b"-----BEGIN PRIVATE KEY-----\n", b"\n-----END PRIVATE KEY-----\n")
        )
        why = "TLS cannot use the kind of key in useless"
        for contents in (useless, unknown):
            self.complaint(errno.EINVAL, why, cert=alone, key=self.file("useless", contents))
        self.complaint(errno.EINVAL, "a key is given, and no certificate", key=self.cert)

    def test_encrypted(self) -> None:
        """An encrypted key is refused, with the remedy."""
        key = load_pem_private_key(SERVER.private_key_pem.bytes(), None)
        secret = key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
        )
        self.complaint(
            errno.EINVAL,
            "the key in secret.key is encrypted and nobody can be asked for the passphrase; "
            "decrypt it with openssl pkey",
            cert=self.cert,
            key=self.file("secret.key", secret),
        )

    def test_weak(self) -> None:
        """A certificate OpenSSL finds too weak is refused."""
        weak = self.file("weak.pem", self_made(NAME, -1, 1, rsa_bits=1024))
        why = "TLS cannot use the certificate in weak.pem: ee key too small"
        self.complaint(errno.EINVAL, why, cert=weak)

    def test_too_large(self) -> None:
        """A file of megabytes is no certificate, nor the beginnings of a thousand keys one key."""
        many = b"-----BEGIN PRIVATE KEY-----\n" * 30_000
        path = self.file("x", many + b"-----BEGIN EC PRIVATE KEY-----\n")
        alone = self.file("alone.pem", SERVER.cert_chain_pems[0].bytes())
        self.complaint(errno.EINVAL, "x has no private key in PEM form", cert=alone, key=path)
        path = self.file("x", bytes(1 << 20) + pem_of(SERVER))
        self.complaint(errno.EINVAL, "x is not a file of certificates", cert=path)
        self.complaint(errno.EINVAL, "x is not a file of certificates", cert=alone, key=path)
        path = self.file("x", many[:900] + pem_of(SERVER).replace(b" EC ", b" "))
        self.complaint(errno.EINVAL, "the private key in x is damaged", cert=alone, key=path)
        self.tls(ca=self.file("x", b"#" * (1 << 20) + b"\n" + CA.cert_pem.bytes()))

    def test_key_log(self) -> None:
        """The key log is a file of ours that nobody else reads, or none; nothing waits for it."""
        path = os.path.join(self.folder, "keys")
        target = os.path.join(self.folder, "target")
        os.symlink(target, path)
        why = "the key log keys is a symbolic link"
        self.complaint(errno.EACCES, why, keylog=path)
        self.assertFalse(os.path.exists(target))
        os.unlink(path)
        os.mkfifo(path)
        why = "the key log keys is not a file"
        self.complaint(errno.EACCES, why, keylog=path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        self.complaint(errno.EACCES, why, keylog=path)
        self.complaint(errno.EACCES, "the key log /dev/null is not a file", keylog="/dev/null")
        os.unlink(path)
        for mode in (0o666, 0o640, 0o604, 0o620):
            self.file("keys", b"")
            os.chmod(path, mode)
            why = "the key log keys is not its owner's alone; chmod 600 it, or remove it"
            self.complaint(errno.EACCES, why, keylog=path)
        os.chmod(path, 0o600)
        self.tls(keylog=path)
        self.patch(os, "geteuid", lambda: 4711)
        why = "the key log keys is somebody else's"
        self.complaint(errno.EACCES, why, keylog=path)
        self.assertEqual(b"", open_(path))

    def test_values(self) -> None:
        """Values that make no sense are refused in a sentence."""
        self.complaint(errno.EINVAL, "minversion is 1.2 or 1.3, not '1.1'", minversion="1.1")
        self.complaint(errno.EINVAL, "0 s is no time for a handshake", timeout=0.0)
        self.complaint(errno.EINVAL, "a protocol's name has 1 to 255 bytes", alpn=("",))
        self.complaint(errno.EINVAL, "a protocol's name has 1 to 255 bytes", alpn=("x" * 256,))
        why = "the names of all protocols have at most 4096 bytes"
        self.complaint(errno.EINVAL, why, alpn=("x" * 255,) * 17)
        self.tls(alpn=("x" * 255,) * 16)
        self.complaint(errno.EINVAL, "'a b' is not the name of a server", servername="a b")
        self.complaint(errno.EINVAL, r"'a\x00b' is not a path", cert="a\0b")
        for name in ("cert", "keylog", "certdir"):
            self.complaint(errno.EINVAL, r"'\ud800' is not a path", **{name: "\ud800"})
        self.complaint(errno.EINVAL, r"'\ud800' is not a protocol's name", alpn=("\ud800",))

    def test_listen(self) -> None:
        """A listener needs a certificate, and whom to trust if it verifies."""
        cases: tuple[tuple[str, dict[str, Any]], ...] = (
            ("who listens needs a certificate: set cert or certdir", {}),
            (
                "who verifies clients needs ca: whom may they be signed by",
                {"cert": self.cert, "verify": True},
            ),
        )
        for why, values in cases:
            error = self.assertRaises(OSError, self.tls(**values).listen, 1)
            self.assertEqual((errno.EINVAL, why), (error.errno, error.strerror))

    def test_listen_fails(self) -> None:
        """A listener that could not listen serves nothing, and may be told otherwise."""
        clock = self.clocked()
        both = [self.tls(cert=self.cert) for _ in range(2)]
        for so in both:
            so.setsockopt(c.SOL_SOCKET, int(socket.SO_REUSEADDR), 1)
            so.bind(both[0].getsockname() if so is both[1] else ("127.0.0.1", 0))
        both[0].listen(1)
        self.assertEqual(errno.EADDRINUSE, self.errno_of(both[1].listen, 1))
        self.assertIsNone(driver(both[1]).served)
        settls(both[1], TLSConfig(cert=self.cert))
        both[0].close()
        self.assertEqual([], clock.getDelayedCalls())

    def test_local_needs_a_name(self) -> None:
        """Who verifies on a local socket must say whom it expects."""
        listener = self.server(UNIX)
        so = self.tls(UNIX, ca=self.ca)
        self.assertEqual(errno.EINVAL, self.errno_of(so.connect, listener.so.getsockname()))

    def test_gone_since(self) -> None:
        """A file that is gone by the time of connect or listen is told then."""
        so = self.tls(cert=self.cert)
        other = self.tls(cert=self.cert)
        os.unlink(self.cert)
        self.assertEqual(errno.ENOENT, self.errno_of(so.connect, ("127.0.0.1", 1)))
        self.assertEqual(errno.ENOENT, self.errno_of(other.listen, 1))

    def test_relative(self) -> None:
        """A relative path is relative to the provider's directory, wherever we are now."""
        self.kpi.paths._directory = os.fsencode(self.folder)
        so = self.tls(cert="server.pem")
        so.listen(1)

    async def test_expired_own(self) -> None:
        """Our own certificate may have expired: that is a warning, once."""
        cert = self.file("x.pem", self_made(NAME, -9, -2))
        self.server(cert=cert)
        self.assertEqual(1, len(self.logged))
        self.assertIn("x.pem expired on 20", self.logged[0])


def open_(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


class ServedTests(TLSTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.certdir = os.path.join(self.folder, "d")
        os.mkdir(self.certdir)

    def serve(self, file: str, *names: str) -> trustme.LeafCert:
        """Put a certificate for *names* into the folder."""
        leaf = CA.issue_cert(*names)
        self.file(f"d/{file}", pem_of(leaf))
        return leaf

    async def served(self, listener: Owner, name: str, resume: bool = False) -> set[str]:
        """Return the names of the certificate *listener* serves to who asks for *name*."""
        one = self.client(listener.so.getsockname(), servername=name, verify=False)
        two = await self.accepted(listener)
        await one.until(lambda: one.so.isconnected() or one.error)
        cert = driver(one.so).records.conn.get_peer_certificate(as_cryptography=True)
        one.so.abort()
        two.so.abort()
        return set(dns_names(cert))

    async def test_by_name(self) -> None:
        """Each name gets its own, a wildcard one label, all others the usual one."""
        self.serve("1.pem", "a.example.org")
        self.serve("2.pem", "b.example.org", "*.example.org", "B2.example.net")
        self.serve("ignored.txt", "c.example.org")
        listener = self.server(certdir=self.certdir, cert=self.cert)
        for name, expected in (
            ("a.example.org", "a.example.org"),
            ("A.Example.ORG", "a.example.org"),
            ("b.example.org", "b.example.org"),
            ("b2.example.net", "b.example.org"),
            ("c.example.org", "b.example.org"),
            ("c.d.example.org", NAME),
            ("other.net", NAME),
            ("127.0.0.1", NAME),
        ):
            self.assertIn(expected, await self.served(listener, name), name)

    async def test_first_file(self) -> None:
        """Without cert the first file serves those who ask for nobody."""
        self.serve("b.pem", "b.example.org")
        self.serve("a.pem", "a.example.org")
        listener = self.server(certdir=self.certdir)
        self.assertEqual({"a.example.org"}, await self.served(listener, "other.net"))

    async def test_same_name_twice(self) -> None:
        """Of two files for a name the first one serves."""
        self.serve("1.pem", "a.example.org", "one.example.org")
        self.serve("2.pem", "a.example.org", "two.example.org")
        listener = self.server(certdir=self.certdir)
        self.assertIn("one.example.org", await self.served(listener, "a.example.org"))

    async def test_verified_by_name(self) -> None:
        """A client that verifies, and one with a certificate, work by name as well."""
        self.serve("1.pem", "a.example.org")
        mine = self.file("me.pem", pem_of(CA.issue_cert("me@example.org", common_name="me")))
        listener = self.server(
            certdir=self.certdir, cert=self.cert, ca=self.ca, verify=True, alpn=("h2",)
        )
        one = self.client(
            listener.so.getsockname(), servername="a.example.org", cert=mine, alpn=("h2",)
        )
        two = await self.accepted(listener)
        self.assertIn("CN=me", gettls(two.so).subject)
        await one.until(one.so.isconnected)
        self.assertEqual("h2", gettls(one.so).alpn)

    def test_bad_at_first(self) -> None:
        """A bad file in the folder is an error at the beginning."""
        self.serve("1.pem", "a.example.org")
        self.file("d/2.pem", b"")
        so = self.socket(INET, STREAM, 0x544C53)
        self.assertEqual(errno.EINVAL, self.errno_of(settls, so, TLSConfig(certdir=self.certdir)))

    async def test_folder_changes(self) -> None:
        """New files are seen, old ones go, bad ones leave what was there."""
        clock = self.clocked()
        self.serve("1.pem", "a.example.org")
        listener = self.server(certdir=self.certdir, cert=self.cert)
        self.assertEqual({NAME}, await self.served(listener, "b.example.org"))
        self.serve("2.pem", "b.example.org")
        clock.advance(2)
        self.assertEqual({"b.example.org"}, await self.served(listener, "b.example.org"))
        self.file("d/1.pem", b"noise")
        self.file("d/3.pem", b"noise")
        self.serve("4.pem", "c.example.org")
        clock.advance(2)
        self.assertEqual({"a.example.org"}, await self.served(listener, "a.example.org"))
        self.assertEqual({"c.example.org"}, await self.served(listener, "c.example.org"))
        bad = [line for line in self.logged if "no certificate" in line]
        self.assertEqual(2, len(bad))
        self.assertIn("1.pem has no certificate in PEM form; the old one stays in use", bad[0])
        self.assertTrue(bad[1].endswith("3.pem has no certificate in PEM form"))
        os.unlink(os.path.join(self.certdir, "2.pem"))
        clock.advance(2)
        self.assertEqual({NAME}, await self.served(listener, "b.example.org"))
        for name in os.listdir(self.certdir):
            os.unlink(os.path.join(self.certdir, name))
        clock.advance(2)
        why = "d has no file whose name ends in .pem; the old ones stay in use"
        self.assertEqual(1, sum(line.endswith(why) for line in self.logged))
        self.assertEqual({"c.example.org"}, await self.served(listener, "c.example.org"))

    async def test_all_bad(self) -> None:
        """A folder whose files were all replaced by bad ones serves as before."""
        clock = self.clocked()
        self.serve("1.pem", "a.example.org")
        listener = self.server(certdir=self.certdir)
        os.unlink(os.path.join(self.certdir, "1.pem"))
        self.file("d/2.pem", b"noise")
        clock.advance(2)
        self.assertEqual({"a.example.org"}, await self.served(listener, "a.example.org"))
        self.assertEqual({"a.example.org"}, await self.served(listener, "x.org"))
        self.assertEqual([], self.flushLoggedErrors())

    async def test_replaced(self) -> None:
        """A file that was replaced serves after two seconds, and those before stay as they are."""
        clock = self.clocked()
        listener = self.server(ca=self.ca)
        one = self.client(listener.so.getsockname())
        two = await self.accepted(listener)
        self.file("server.pem", pem_of(CA.issue_cert("new.example.org", "127.0.0.1")))
        clock.advance(1.9)
        self.assertEqual({NAME}, await self.served(listener, "x.org"))
        clock.advance(0.2)
        self.assertEqual({"new.example.org"}, await self.served(listener, "x.org"))
        self.assertTrue(two.so.isconnected())
        self.assertIn("certificates were loaded again", self.logged[-1])
        one.so.close()

    async def test_bad_kept(self) -> None:
        """A bad file keeps the old one; it is told once, and again when it changes."""
        clock = self.clocked()
        listener = self.server()

        def bad() -> int:
            return sum("the old one stays in use" in line for line in self.logged)

        self.file("server.pem", b"half a fi")
        for _ in range(3):
            clock.advance(2)
        self.assertEqual(1, bad())
        self.assertEqual({NAME}, await self.served(listener, "x.org"))
        self.file("server.pem", b"still bad")
        os.utime(self.cert, (1, 1))
        clock.advance(2)
        self.assertEqual(2, bad())
        os.unlink(self.cert)
        clock.advance(2)
        self.assertEqual(3, bad())
        self.file("server.pem", pem_of(CA.issue_cert("new.example.org")))
        clock.advance(2)
        self.assertEqual({"new.example.org"}, await self.served(listener, "x.org"))

    async def test_timer(self) -> None:
        """One timer for all listeners, and none without."""
        clock = self.clocked()
        listeners = [self.server(), self.server()]
        looks = [call for call in clock.getDelayedCalls() if call.getTime() == 2]
        self.assertEqual(1, len(looks))
        for listener in listeners:
            listener.so.listen(9)  # once more is no second listener
            listener.so.close()
        clock.advance(0)
        self.assertEqual([], clock.getDelayedCalls())

    async def test_bug_in_look(self) -> None:
        """What nobody foresaw is logged, and the timer goes on."""
        clock = self.clocked()
        self.server()
        self.patch(tlsreload, "seen", lambda config: 1 / 0)
        clock.advance(2)
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        self.assertEqual(1, len([c for c in clock.getDelayedCalls() if c.getTime() == 4]))

    async def test_client_changes(self) -> None:
        """Who connects uses the files as they are then, and good old ones rather than bad."""
        listener = self.server()
        to = listener.so.getsockname()
        ca = self.file("mine.pem", CA.cert_pem.bytes())
        for contents, expected in (
            (None, None),
            (b"noise", None),
            (self_made("somebody.org", -1, 1), errno.EACCES),
        ):
            if contents is not None:
                so = self.tls(ca=ca)
                self.file("mine.pem", contents)
                one = Owner(so)
                self.connect(so, to)
            else:
                one = self.client(to, ca=ca)
            await one.until(lambda one: one.so.isconnected() or one.error, one)
            self.assertEqual(expected, one.error)
            if not expected:
                await self.accepted(listener)
            self.file("mine.pem", CA.cert_pem.bytes())

    def test_clients_bounded(self) -> None:
        """Contexts of very many configurations are not kept."""
        self.patch(tlsreload, "CLIENTS", 2)
        known = tlsreload.certificates(self.kpi)
        made = [known.client(TLSConfig(verify=False, alpn=(str(n),))) for n in range(3)]
        self.assertEqual(2, len(known._clients))
        again = known.client(TLSConfig(verify=False, alpn=("2",), servername="x.org", timeout=3))
        self.assertIs(made[2], again)
