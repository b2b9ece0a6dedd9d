"""TLS in a service: the examples in volume, and peers and files that are no good."""

from __future__ import annotations

import os
import re
import socket
import ssl
import time
from pathlib import Path
from typing import Any

import trustme

from tests.certificates import CA, CLIENT, NAME, OTHER_CA, SERVER, pem_of, self_made
from tests.integration.service import (
    IntegrationCase,
    Service,
    free_port,
    port_of,
    receive,
    receive_all,
    until,
)
from tests.integration.tlstraffic import (
    OpenSSL,
    client_context,
    exchange_pipes,
    exchange_tls,
    server_context,
)

SIZE = 64 << 20
RELOADED = 5.0
"""Seconds after which a new certificate is served: a promise of the issue."""
DOOR = 'settls { cert="server.pem" minversion="1.2" timeout=10 }'
ORIGIN = '{ ca=\\"server.pem\\" servername=\\"localhost\\" }'


class TLSCase(IntegrationCase):
    """A case with certificates in files, and the two examples on ports of its own."""

    def setUp(self) -> None:
        super().setUp()
        self.ca = self.pem("ca.pem", CA.cert_pem.bytes())
        self.cert = self.pem("server.pem", pem_of(SERVER))

    def pem(self, name: str, contents: bytes) -> Path:
        """Write a file, at once as others see it."""
        path = self.folder / name
        fresh = self.folder / f"{name}.new"
        fresh.write_bytes(contents)
        os.replace(fresh, path)
        return path

    def tls(self, options: str = "") -> tuple[Service, int, socket.socket]:
        """Start tls.ng; return it, its port, and the plain server behind it."""
        server, port = self.tcp_server(), free_port()
        changes: dict[int | str, int | str] = {
            8443: port, 8080: port_of(server),
            DOOR: f'settls {{ cert="{self.cert}" {options} }}',
        }  # fmt: skip
        return self.start(self.example("tls.ng", changes)), port, server

    def origin(self, backend: int, name: str = NAME, ca: Path | None = None) -> tuple[Service, int]:
        """Start tls-origin.ng in front of a TLS server; return it and its port."""
        port = free_port()
        changes: dict[int | str, int | str] = {
            9000: port, 8443: backend,
            ORIGIN: f'{{ ca=\\"{ca or self.ca}\\" servername=\\"{name}\\" }}',
        }  # fmt: skip
        return self.start(self.example("tls-origin.ng", changes)), port

    def client(self, port: int, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
        """Return a TLS connection of Python's to that port, its handshake done."""
        wrapped = (context or client_context(self.ca)).wrap_socket(
            self.tcp(port), server_hostname=NAME, suppress_ragged_eofs=False
        )
        self.addCleanup(wrapped.close)
        return wrapped

    def program(self, *words: str | Path) -> OpenSSL:
        """Return a running openssl, to be ended after the test."""
        program = OpenSSL(*words)
        self.addCleanup(program.close)
        return program

    def s_client(self, port: int, *words: str | Path) -> OpenSSL:
        """Return openssl s_client, which verifies, connected to that port."""
        return self.program(
            "s_client", "-quiet", "-connect", f"127.0.0.1:{port}", "-CAfile", self.ca,
            "-servername", NAME, "-verify_hostname", NAME, "-verify_return_error", *words,
        )  # fmt: skip

    def assert_serves(self, port: int, server: socket.socket) -> None:
        """A new connection carries data both ways, and ends as it ought to."""
        client = self.client(port)
        client.sendall(b"ping")
        connection = self.accept(server)
        self.assertEqual(b"ping", receive(connection, 4))
        connection.sendall(b"pong")
        connection.close()
        self.assertEqual(b"pong", client.recv(5))
        self.assertEqual(b"", client.recv(1))
        client.unwrap().close()

    def given_back(self, service: Service, idle: int) -> None:
        """Wait until the service has as few descriptors as before."""
        until(lambda: service.descriptors == idle, "descriptors to be given back")


class VolumeTests(TLSCase):
    """64 MiB both ways at once, through each example, with each kind of peer."""

    def python_client(self, version: str) -> None:
        """Python's ssl connects to tls.ng."""
        service, port, server = self.tls()
        idle = service.descriptors
        client = self.client(port, client_context(self.ca, version))
        self.assertEqual(f"TLSv{version}", client.version())
        exchange_tls(self.accept(server), client, SIZE)
        self.given_back(service, idle)

    def python_server(self, version: str) -> None:
        """tls-origin.ng connects to Python's ssl."""
        server = self.tcp_server()
        service, port = self.origin(port_of(server))
        idle = service.descriptors
        client = self.tcp(port)
        context = server_context(self.cert, version)
        connection = context.wrap_socket(
            self.accept(server), server_side=True, suppress_ragged_eofs=False
        )
        self.assertEqual(f"TLSv{version}", connection.version())
        exchange_tls(client, connection, SIZE)
        self.given_back(service, idle)

    def s_client_case(self, *words: str) -> None:
        """The program connects to tls.ng."""
        service, port, server = self.tls()
        idle = service.descriptors
        program = self.s_client(port, *words)
        exchange_pipes(self.accept(server), program, SIZE)
        self.assertEqual((0, b""), program.ended()[:2])
        self.given_back(service, idle)

    def s_server_case(self, *words: str) -> None:
        """tls-origin.ng connects to the program."""
        backend = free_port()
        program = self.program(
            "s_server", "-quiet", "-accept", f"127.0.0.1:{backend}", "-naccept", "1",
            "-cert", self.cert, "-cert_chain", self.cert, *words,
        )  # fmt: skip
        until(lambda: listens(backend), "s_server")
        service, port = self.origin(backend)
        idle = service.descriptors
        exchange_pipes(self.tcp(port), program, SIZE)
        self.assertEqual((0, b""), program.ended()[:2])
        self.given_back(service, idle)

    def test_python_client_12(self):
        """tls.ng and Python's ssl as a client, TLS 1.2."""
        self.python_client("1.2")

    def test_python_client_13(self):
        """tls.ng and Python's ssl as a client, TLS 1.3."""
        self.python_client("1.3")

    def test_python_server_12(self):
        """tls-origin.ng and Python's ssl as a server, TLS 1.2."""
        self.python_server("1.2")

    def test_python_server_13(self):
        """tls-origin.ng and Python's ssl as a server, TLS 1.3."""
        self.python_server("1.3")

    def test_s_client_12(self):
        """tls.ng and openssl s_client, TLS 1.2."""
        self.s_client_case("-tls1_2")

    def test_s_client_13(self):
        """tls.ng and openssl s_client, TLS 1.3."""
        self.s_client_case("-tls1_3")

    def test_s_server_12(self):
        """tls-origin.ng and openssl s_server, TLS 1.2."""
        self.s_server_case("-tls1_2")

    def test_s_server_13(self):
        """tls-origin.ng and openssl s_server, TLS 1.3."""
        self.s_server_case("-tls1_3")


class PeerTests(TLSCase):
    """Peers that are refused, and that do not behave; others notice nothing."""

    def assert_refused(self, context: ssl.SSLContext, port: int) -> str:
        """Python's ssl gets no connection, or one that ends at once; return what it says."""
        with self.assertRaises(ssl.SSLError) as caught:
            self.client(port, context).recv(1)
        return str(caught.exception)

    def test_client_certificate(self):
        """A server that verifies takes clients with a certificate of its CA, and no others."""
        service, port, server = self.tls(f'verify=1 ca="{self.ca}"')
        good = self.pem("client.pem", pem_of(CLIENT))
        other = self.pem("other.pem", pem_of(OTHER_CA.issue_cert("x.example.org")))
        for version in ("1.2", "1.3"):
            client = self.client(port, client_context(self.ca, version, good))
            client.sendall(b"let me in")
            self.assertEqual(b"let me in", receive(self.accept(server), 9))
            self.assert_refused(client_context(self.ca, version), port)
            self.assert_refused(client_context(self.ca, version, other), port)
        service.wait_for("the peer has no certificate, and one is required", 2)
        service.wait_for("the certificate of x.example.org is not trusted", 2)
        program = self.s_client(port, "-cert", good)
        program.stdin.write(b"me too")
        program.stdin.flush()
        connection = self.accept(server)
        self.assertEqual(b"me too", receive(connection, 6))
        connection.close()
        self.assertEqual(0, program.ended()[0])
        status, out, said = self.s_client(port).ended()
        self.assertEqual((True, b""), (status != 0, out))
        self.assertIn("certificate required", said)

    def test_wrong_server(self):
        """A server of another name, of another CA, or expired gets nothing; the log says why."""
        expired = self.pem("expired.pem", self_made(NAME, -20, -10))
        other = self.pem("ca2.pem", OTHER_CA.cert_pem.bytes())
        cases: dict[str, tuple[Path, dict[str, Any]]] = {
            "the certificate is for .*, not for www.example.org":
                (self.cert, {"name": "www.example.org"}),
            f"the certificate of {NAME} expired on 20": (expired, {"ca": expired}),
            f"the certificate of {NAME} is not trusted": (self.cert, {"ca": other}),
        }  # fmt: skip
        for said, (cert, options) in cases.items():
            server = self.tcp_server()
            service, port = self.origin(port_of(server), **options)
            idle = service.descriptors
            client = self.tcp(port)
            client.sendall(b"a secret")
            with self.assertRaises(ssl.SSLError):
                server_context(cert).wrap_socket(self.accept(server), server_side=True).recv(1)
            self.assertEqual(b"", self.rest(client))
            service.wait_for(f"failed: EACCES: {said}")
            service.wait_for(r'"msg \.:out connect .*": EACCES')
            self.given_back(service, idle)

    def rest(self, client: socket.socket) -> bytes:
        """Return what comes until the end of a connection, whichever it is."""
        try:
            return receive_all(client)
        except ConnectionResetError:
            return b""

    def test_odd_clients(self):
        """Plaintext, a stall in the handshake, a cut: each ends alone, and leaves nothing."""
        service, port, server = self.tls("timeout=1")
        idle = service.descriptors
        bystander = self.client(port)
        beyond = self.accept(server)
        hello = ssl.MemoryBIO()
        half = client_context(self.ca).wrap_bio(ssl.MemoryBIO(), hello, server_hostname=NAME)
        with self.assertRaises(ssl.SSLWantReadError):
            half.do_handshake()
        first = hello.read()
        stalled = [self.tcp(port) for _ in range(3)]
        for client, data in zip(stalled, (b"", first[:50], first), strict=True):
            client.sendall(data)
        plain, cut = self.tcp(port), self.tcp(port)
        plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
        cut.sendall(first[:50])
        cut.close()
        self.assertNotIn(b"HTTP", self.rest(plain))
        self.assert_serves(port, server)
        for client in stalled:
            self.rest(client)
        service.wait_for("the peer did not finish the TLS handshake in 1 s", 3)
        service.wait_for("the peer does not speak TLS")
        service.wait_for("the peer closed the connection during the TLS handshake")
        bystander.sendall(b"still here")
        self.assertEqual(b"still here", receive(beyond, 10))
        bystander.close()
        beyond.close()
        self.assert_serves(port, server)
        self.given_back(service, idle)

    def test_truncated(self):
        """A client that is cut off without an end is none that ended: the server sees a reset."""
        _, port, server = self.tls()
        client = self.client(port)
        client.sendall(b"the first half of it")
        connection = self.accept(server)
        self.assertEqual(b"the first half of it", receive(connection, 20))
        client.close()  # Python sends no close_notify
        with self.assertRaises(ConnectionResetError):
            connection.recv(1)


class FileTests(TLSCase):
    """Certificates on disk."""

    def served(self, port: int) -> bytes | None:
        """Return the certificate a new connection is shown, in DER."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with context.wrap_socket(self.tcp(port), server_hostname=NAME) as client:
            return client.getpeercert(binary_form=True)

    def test_replaced(self):
        """A new certificate is served within 5 s; a bad one is logged, and changes nothing."""
        service, port, server = self.tls()
        client = self.client(port)
        connection = self.accept(server)
        fresh = CA.issue_cert(NAME)
        self.assertEqual(der_of(SERVER), self.served(port))
        self.pem("server.pem", pem_of(fresh))
        began = time.monotonic()
        until(lambda: self.served(port) == der_of(fresh), "the new certificate", 0.05)
        self.assertLess(time.monotonic() - began, RELOADED)
        service.wait_for("certificates were loaded again")
        self.pem("server.pem", b"a slip of the pen")
        service.wait_for("server.pem has no certificate in PEM form; the old one stays in use")
        self.assertEqual(der_of(fresh), self.served(port))
        self.pem("server.pem", pem_of(SERVER))
        until(lambda: self.served(port) == der_of(SERVER), "the first certificate", 0.05)
        client.sendall(b"still here")
        self.assertEqual(b"still here", receive(connection, 10))

    def test_missing(self):
        """Without its certificate the service does not start: 71, and the file is named."""
        missing = self.folder / "missing.pem"
        path = self.example("tls.ng", {8443: 1, 8080: 1, '"server.pem"': f'"{missing}"'})
        service = self.spawn(path)
        self.assertEqual(71, service.ended())
        self.assertRegex(
            service.log,
            rf"tls.ng:\d+:24: msg: ENOENT \(.*\); {missing} does not exist\n",
        )
        self.assertNotIn("Traceback", service.log)

    def test_by_name(self):
        """``certdir`` serves each name its own certificate; what else is asked for, the usual."""
        folder = self.folder / "names"
        folder.mkdir()
        certs = {name: CA.issue_cert(name) for name in ("one.example", "two.example")}
        for name, cert in certs.items():
            (folder / f"{name}.pem").write_bytes(pem_of(cert))
        _, port, _ = self.tls(f'certdir="{folder}"')
        for name, cert in {**certs, "three.example": SERVER}.items():
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            with context.wrap_socket(self.tcp(port), server_hostname=name) as client:
                self.assertEqual(der_of(cert), client.getpeercert(binary_form=True))

    def test_key_log(self):
        """``keylog`` gets a line for each secret, and only its owner may read it."""
        log = self.folder / "keys.log"
        _, port, server = self.tls(f'keylog="{log}"')
        self.assert_serves(port, server)
        self.assertEqual(0o600, log.stat().st_mode & 0o777)
        self.assertIn("CLIENT_TRAFFIC_SECRET_0 ", log.read_text(encoding="ascii"))


def der_of(cert: trustme.LeafCert) -> bytes:
    """Return a certificate as TLS sends it."""
    return ssl.PEM_cert_to_DER_cert(cert.cert_chain_pems[0].bytes().decode())


def listens(port: int) -> bool:
    """Tell whether somebody listens at that port of 127.0.0.1, without a connection to it."""
    table = Path("/proc/net/tcp").read_text(encoding="ascii")
    return re.search(rf"0100007F:{port:04X} 00000000:0000 0A ", table) is not None
