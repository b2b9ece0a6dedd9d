"""What the tests of TLS share: sockets that speak it, what was logged, and odd peers."""

from __future__ import annotations

import base64
import datetime
import os
import textwrap
from typing import Any, ClassVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from OpenSSL import SSL
from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import implementer

from ngksock.kpi import Socket, SocketKPI
from ngksock.kpi.constants import FIONBIO
from ngksock.kpi.tlsconfig import TLSConfig
from ngksock.kpi.tlsopt import IPPROTO_TLS, settls
from tests.certificates import CA, CLIENT, NAME, OTHER_CA, SERVER, pem_of, self_made
from tests.kpi.sockets import INET, STREAM, KPITestCase, Owner, packets

__all__ = [
    "CA",
    "CLIENT",
    "EDI_PARTY",
    "NAME",
    "OTHER_CA",
    "SERVER",
    "RawPeer",
    "TLSTestCase",
    "der",
    "made",
    "pem_of",
    "self_made",
]

SAN = x509.ObjectIdentifier("2.5.29.17")
OTHER = x509.ObjectIdentifier("2.5.29.99")
EDI_PARTY = bytes.fromhex("3007a505a1030c0161")
"""The extension of names with one of a kind that cryptography does not read."""


class TLSTestCase(KPITestCase):
    """
    A test with certificates in files, and what was logged.

    ``way`` is how TLS is spoken, as `SocketKPI` has it.
    """

    way: ClassVar[str | None] = None

    def setUp(self) -> None:
        super().setUp()
        if self.way is not None:
            self.kpi = SocketKPI(reactor, tls=self.way)
            self.addCleanup(self.kpi.closeall)
        self.usual = self.kpi
        self.folder = os.path.abspath(self.mktemp())
        os.mkdir(self.folder)
        self.ca = self.file("ca.pem", CA.cert_pem.bytes())
        self.cert = self.file("server.pem", pem_of(SERVER))
        self.logged: list[str] = []

        @implementer(ILogObserver)
        def observe(event: LogEvent) -> None:
            if event.get("log_namespace") == "ngksock.kpi":
                self.logged.append(event["log_format"].format(**event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)

    def file(self, name: str, contents: bytes) -> str:
        """Write a file; return its path."""
        path = os.path.join(self.folder, name)
        with open(path, "wb") as file:
            file.write(contents)
        return path

    def clocked(self) -> Clock:
        """Let all further sockets have a clock that stands."""
        clock = Clock()
        self.kpi = SocketKPI(reactor, clock, tls=self.way)
        self.addCleanup(self.kpi.closeall)
        return clock

    async def plain(self, to: Any) -> Owner:
        """Return a plain socket that is connected to *to*, on no such clock."""
        owner = Owner(self.usual.socket(INET, STREAM))
        owner.so.ioctl(FIONBIO, 1)
        self.connect(owner.so, to)
        await owner.until(owner.so.isconnected)
        return owner

    def tls(self, domain: int = INET, **values: Any) -> Socket:
        """Return a TLS socket of that configuration."""
        so = self.socket(domain, STREAM, IPPROTO_TLS)
        settls(so, TLSConfig(**values))
        return so

    def server(self, domain: int = INET, **values: Any) -> Owner:
        """Return a TLS listener, of our usual certificate unless told otherwise."""
        if "certdir" not in values:
            values.setdefault("cert", self.cert)
        so = self.tls(domain, **values)
        so.bind(self.fresh(domain))
        so.listen(5)
        return Owner(so)

    def client(self, to: Any, domain: int = INET, reads: bool = True, **values: Any) -> Owner:
        """Return a TLS client that connects to *to* and trusts our CA."""
        values.setdefault("ca", self.ca)
        owner = Owner(self.tls(domain, **values), reads)
        self.connect(owner.so, to)
        return owner

    async def accepted(self, listener: Owner, reads: bool = True) -> Owner:
        """Return what *listener* accepts next."""
        await listener.until(lambda: listener.so.so_comp)
        return Owner(self.accept(listener.so)[0], reads)

    async def both(self, server: dict[str, Any], client: dict[str, Any]) -> tuple[Owner, Owner]:
        """Return a connected client and server."""
        listener = self.server(**server)
        one = self.client(listener.so.getsockname(), **client)
        two = await self.accepted(listener)
        await one.until(lambda: one.so.isconnected() or one.error)
        listener.so.close()
        one.told.clear()
        return one, two

    async def fails(self, owner: Owner) -> tuple[int | None, str]:
        """Wait for the error of *owner*; return it with its sentence."""
        await owner.until(lambda: owner.error)
        self.assertFalse(owner.so.isconnected())
        return owner.error, owner.so.why


class RawPeer:
    """
    A peer made of pyOpenSSL on a plain socket: it does what no proper one does.

    Args:
        owner: Owns a connected plain socket.
        context: OpenSSL's.
        server: Which side.
        name: The server's, as a client asks for it.
    """

    def __init__(self, owner: Owner, context: SSL.Context, server: bool, name: str = "") -> None:
        self.owner = owner
        self.conn = SSL.Connection(context, None)
        if server:
            self.conn.set_accept_state()
        else:
            self.conn.set_connect_state()
        if name:
            self.conn.set_tlsext_host_name(name.encode())
        self.plain = b""
        self.ended: Exception | None = None
        self._fed = 0
        self.go()

    def go(self) -> bool:
        """Feed what came, send what is to be sent; True once the handshake is done."""
        data = self.owner.data[self._fed :]
        self._fed += len(data)
        done = False
        if data:
            self.conn.bio_write(data)
        try:
            self.conn.do_handshake()
            done = True
            while True:
                self.plain += self.conn.recv(65536)
        except SSL.WantReadError:
            pass
        except SSL.Error as error:
            self.ended = error
        self.flush()
        return done or self.ended is not None

    def flush(self) -> None:
        """Send what is to be sent."""
        try:
            while True:
                self.owner.so.sendbatch(packets(self.conn.bio_read(65536)))
        except (SSL.WantReadError, OSError):
            return


def der(tag: int, contents: bytes) -> bytes:
    """Return *contents* in DER."""
    size = len(contents)
    raw = size.to_bytes(4, "big").lstrip(b"\0")
    length = bytes([size]) if size < 128 else bytes([0x80 | len(raw)]) + raw
    return bytes([tag]) + length + contents


def made(
    *sans: bytes, change: tuple[bytes, bytes] = (b"", b""), subject: str = "x", issuer: str = ""
) -> bytes:
    """
    Return a certificate and its key, signed by our CA unless by a stranger, *issuer*.

    Args:
        sans: What is in its extension of names, each a whole one.
        change: Bytes to replace before it is signed, and by what.
        subject: Its common name.
        issuer: Who signs.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    signer: Any = key if issuer else CA._private_key
    ca = x509.load_pem_x509_certificate(CA.cert_pem.bytes())
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(named(subject))
        .issuer_name(named(issuer) if issuer else ca.subject)
        .public_key(key.public_key())
        .serial_number(5)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=9))
    )
    for oid, san in zip((SAN, OTHER), sans, strict=False):
        builder = builder.add_extension(x509.UnrecognizedExtension(oid, san), False)
    cert = builder.sign(signer, hashes.SHA256())
    body = cert.tbs_certificate_bytes.replace(bytes([0x55, 0x1D, 99]), bytes([0x55, 0x1D, 17]))
    if change[0]:
        assert change[0] in body
        body = body.replace(*change, 1)
    signature = signer.sign(body, ec.ECDSA(hashes.SHA256()))
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")
    raw = base64.b64encode(der(0x30, body + algorithm + der(3, b"\0" + signature))).decode()
    lines = ["-----BEGIN CERTIFICATE-----", *textwrap.wrap(raw, 64), "-----END CERTIFICATE-----"]
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private + "\n".join(lines).encode() + b"\n"


def named(name: str) -> x509.Name:
    """Return the distinguished name that is one common name."""
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
