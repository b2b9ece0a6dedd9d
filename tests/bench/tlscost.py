"""Where TLS spends its CPU: OpenSSL in Python's ssl, in pyOpenSSL, and in what we make of it.

A server's side on buffers in memory, no socket: full handshakes, and bytes
decrypted and encrypted.  The client's part is not counted.  ``python -m
tests.bench tlscost`` prints the table.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import statistics
import time
from typing import Any, Final, Protocol

from OpenSSL import SSL
from twisted.internet import reactor

from ngksock.kpi import SocketKPI, TLSConfig
from ngksock.kpi.tlsctx import ServerContexts

__all__ = ["tls_costs"]

SAMPLES: Final = 7
SHAKES: Final = 150
PIECE: Final = 1 << 18
PIECES: Final = 128


class Server(Protocol):
    """A server's side, on buffers in memory."""

    def new(self) -> None:
        """Begin a connection."""

    def shake(self, data: bytes) -> tuple[bool, bytes]:
        """Go on with the handshake; return whether it is done, and what is to be sent."""

    def open(self, data: bytes) -> int:
        """Decrypt; return how many bytes."""

    def seal(self, data: bytes) -> bytes:
        """Encrypt."""


class Standard:
    """
    Python's ssl.

    Args:
        cert: A PEM file.
    """

    def __init__(self, cert: str) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(cert)

    def new(self) -> None:
        self.into, self.out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.conn = self.context.wrap_bio(self.into, self.out, server_side=True)

    def shake(self, data: bytes) -> tuple[bool, bytes]:
        self.into.write(data)
        try:
            self.conn.do_handshake()
        except ssl.SSLWantReadError:
            return False, self.out.read()
        return True, self.out.read()

    def open(self, data: bytes) -> int:
        self.into.write(data)
        count = 0
        with contextlib.suppress(ssl.SSLWantReadError):
            while True:
                count += len(self.conn.read(16384))
        return count

    def seal(self, data: bytes) -> bytes:
        self.conn.write(data)
        return self.out.read()


class Bare:
    """
    pyOpenSSL, as it is.

    Args:
        cert: A PEM file.
    """

    def __init__(self, cert: str) -> None:
        self.context = SSL.Context(SSL.TLS_SERVER_METHOD)
        self.context.use_certificate_chain_file(cert)
        self.context.use_privatekey_file(cert)

    def new(self) -> None:
        self.conn = SSL.Connection(self.context, None)
        self.conn.set_accept_state()

    def _said(self) -> bytes:
        try:
            return self.conn.bio_read(PIECE * 2)
        except SSL.WantReadError:
            return b""

    def shake(self, data: bytes) -> tuple[bool, bytes]:
        self.conn.bio_write(data)
        try:
            self.conn.do_handshake()
        except SSL.WantReadError:
            return False, self._said()
        return True, self._said()

    def open(self, data: bytes) -> int:
        self.conn.bio_write(data)
        count = 0
        with contextlib.suppress(SSL.WantReadError):
            while True:
                count += len(self.conn.recv(16384))
        return count

    def seal(self, data: bytes) -> bytes:
        self.conn.sendall(data)
        return self._said()


class Wire:
    """What stands in for a socket: it keeps what is sent."""

    def __init__(self) -> None:
        self.said: list[bytes] = []

    def send(self, piece: bytes | memoryview, flags: int) -> int:
        """Take *piece*, all of it."""
        self.said.append(bytes(piece))
        return len(piece)

    def sendmsg(self, pieces: list[bytes | memoryview], control: object, flags: int) -> int:
        """Take *pieces*, all of them."""
        return sum(self.send(piece, flags) for piece in pieces)


class Ours:
    """
    What the TLS driver uses.

    Args:
        cert: A PEM file.
        way: As `SocketKPI` has it.
    """

    def __init__(self, cert: str, way: str) -> None:
        self.contexts = ServerContexts(TLSConfig(cert=cert))
        self.make = SocketKPI(reactor, tls=way).records

    def new(self) -> None:
        self.records = self.make(self.contexts.connection())

    def _said(self) -> bytes:
        wire: Any = Wire()
        self.records.push(wire)
        return b"".join(wire.said)

    def shake(self, data: bytes) -> tuple[bool, bytes]:
        return self.records.shake(data) is True, self._said()

    def open(self, data: bytes) -> int:
        return self.records.open(data)[0].nbytes

    def seal(self, data: bytes) -> bytes:
        self.records.seal(data)
        return self._said()


class _Client:
    def __init__(self, context: ssl.SSLContext) -> None:
        self.into, self.out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.conn = context.wrap_bio(self.into, self.out)

    def shake(self, server: Server) -> int:
        """Do the handshake with *server*; return the ns that took the server."""
        clock = time.thread_time_ns
        began = clock()
        server.new()
        used = clock() - began
        ours = theirs = False
        while not (ours and theirs):
            with contextlib.suppress(ssl.SSLWantReadError):
                self.conn.do_handshake()
                ours = True
            data = self.out.read()
            if data:
                began = clock()
                theirs, answer = server.shake(data)
                used += clock() - began
                self.into.write(answer)
        return used


def _sample(server: Server, context: ssl.SSLContext) -> tuple[float, float, float]:
    """Return us a handshake, and s a GB decrypted and encrypted."""
    clock = time.thread_time_ns
    shaken = sum(_Client(context).shake(server) for _ in range(SHAKES)) / SHAKES / 1e3
    client = _Client(context)
    client.shake(server)
    plain = os.urandom(PIECE)
    opened = sealed = count = 0
    for _ in range(PIECES):
        client.conn.write(plain)
        wire = client.out.read()
        began = clock()
        count += server.open(wire)
        opened += clock() - began
        began = clock()
        server.seal(plain)
        sealed += clock() - began
    if count != PIECE * PIECES:
        raise RuntimeError("not all was decrypted")
    return shaken, opened / count, sealed / count


def tls_costs(cert: str) -> list[list[str]]:
    """Return a row for each way: its name, us a handshake, s a GB in and out."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    servers: dict[str, Server] = {
        f"Python's ssl, {ssl.OPENSSL_VERSION.split()[1]}": Standard(cert),
        f"bare pyOpenSSL, {SSL.SSLeay_version(SSL.SSLEAY_VERSION).split()[1].decode()}": Bare(cert),
        "ngksock, tls=off": Ours(cert, "off"),
        "ngksock, tls=direct": Ours(cert, "direct"),
    }
    samples: dict[str, list[tuple[float, float, float]]] = {name: [] for name in servers}
    for _ in range(SAMPLES):
        for name, server in servers.items():
            samples[name].append(_sample(server, context))
    rows = []
    for name, found in samples.items():
        shake, opened, sealed = (statistics.median(column) for column in zip(*found, strict=True))
        rows.append([name, f"{shake:.0f}", f"{opened:.3f}", f"{sealed:.3f}"])
    return rows
