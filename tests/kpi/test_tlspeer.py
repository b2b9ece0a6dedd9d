"""TLS with others at the other end: Python's ssl in a thread, and the openssl program."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import socket
import ssl
import threading
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure

from ngksock.kpi import constants as c
from ngksock.kpi.tlsopt import gettls
from tests.kpi.sockets import Owner, packets
from tests.kpi.tlspeers import CLIENT, NAME, TLSTestCase, pem_of

PIECE = os.urandom(1 << 16)
COUNT = 128  # 8 MiB
VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}


class PythonTests(TLSTestCase):
    def context(self, server: bool, version: str = "TLSv1.3", **values: Any) -> ssl.SSLContext:
        """Return a context of Python's for one version alone."""
        kind = ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT
        context = ssl.SSLContext(kind)
        context.minimum_version = context.maximum_version = VERSIONS[version]
        context.load_verify_locations(self.ca)
        if server:
            context.load_cert_chain(self.cert)
        return context

    def dial(self, context: ssl.SSLContext, to: Any) -> ssl.SSLSocket:
        """Connect as a client of Python's; in a thread."""
        below = socket.create_connection(to, 20)
        try:
            return context.wrap_socket(below, server_hostname=NAME)
        except BaseException:
            below.close()
            raise

    def both_ways(self, peer: ssl.SSLSocket) -> str:
        """Send and receive at once until the end; return the SHA-256 of what came; in a thread."""
        sender = threading.Thread(target=peer.sendall, args=(PIECE * COUNT,))
        sender.start()
        came = hashlib.sha256()
        left = COUNT * len(PIECE)
        while left:
            data = peer.recv(1 << 16)
            assert data
            came.update(data)
            left -= len(data)
        sender.join()
        return came.hexdigest()

    def feed(self, owner: Owner) -> None:
        """Send as the peer does, heeding back-pressure."""
        left = [COUNT]

        def more(so: Any, cookie: Any, waitf: int) -> None:
            while left[0] and so.sndspace() > 0:
                so.sendbatch(packets(PIECE))
                left[0] -= 1

        owner.so.setupcalls(owner._read, None, more, None)
        more(owner.so, None, 1)

    async def exchange(self, owner: Owner, peer: ssl.SSLSocket) -> None:
        """Exchange 8 MiB each way at once, and end it well on both sides."""
        expected = hashlib.sha256(PIECE * COUNT)
        self.feed(owner)
        came = await deferToThread(self.both_ways, peer)
        self.assertEqual(expected.hexdigest(), came)
        await owner.until(lambda: len(owner.received) and len(owner.data) == COUNT * len(PIECE))
        self.assertEqual(expected.digest(), hashlib.sha256(owner.data).digest())
        owner.so.shutdown(c.SHUT_WR)

        def finish() -> bytes:
            end = peer.recv(1)
            peer.unwrap().close()
            return end

        self.assertEqual(b"", await deferToThread(finish))
        await owner.until(lambda: owner.eof or owner.error)
        self.assertIsNone(owner.error)

    async def test_client(self) -> None:
        """Python's client at our server, 1.2 and 1.3: 8 MiB each way, a clean end."""
        for version in VERSIONS:
            listener = self.server()
            context = self.context(False, version)
            dialed = deferToThread(self.dial, context, listener.so.getsockname())
            two = await self.accepted(listener)
            peer = await dialed
            self.assertEqual(version, gettls(two.so).version)
            await self.exchange(two, peer)

    async def test_server(self) -> None:
        """Our client at Python's server, the same."""
        for version in VERSIONS:
            context = self.context(True, version)
            below = socket.create_server(("127.0.0.1", 0))
            below.settimeout(20)

            def answer(context: ssl.SSLContext, below: socket.socket) -> ssl.SSLSocket:
                with below:
                    return context.wrap_socket(below.accept()[0], server_side=True)

            answered = deferToThread(answer, context, below)
            one = self.client(below.getsockname(), servername=NAME)
            peer = await answered
            await one.until(one.so.isconnected)
            self.assertEqual(version, gettls(one.so).version)
            await self.exchange(one, peer)

    async def test_resumed(self) -> None:
        """Python's client goes on with a session of our server's."""
        listener = self.server()
        context = self.context(False, "TLSv1.2")

        def twice(to: Any) -> list[bool | None]:
            told: list[bool | None] = []
            session = None
            for _ in range(2):
                below = socket.create_connection(to, 20)
                with context.wrap_socket(below, server_hostname=NAME, session=session) as peer:
                    told.append(peer.session_reused)
                    session = peer.session
            return told

        done = deferToThread(twice, listener.so.getsockname())
        for expected in (False, True):
            two = await self.accepted(listener)
            self.assertEqual(expected, gettls(two.so).resumed)
        self.assertEqual([False, True], await done)

    async def test_refused(self) -> None:
        """Python's client refuses our certificate for another name; we learn why."""
        listener = self.server()

        def dial(to: Any) -> str:
            with socket.create_connection(to, 20) as below:
                try:
                    self.context(False).wrap_socket(below, server_hostname="other.org")
                except ssl.SSLCertVerificationError as error:
                    return error.verify_message
            return ""

        self.assertIn("other.org", await deferToThread(dial, listener.so.getsockname()))
        listener.so.close()

    async def test_client_certificate(self) -> None:
        """Python's client without the certificate that is required gets no further."""
        listener = self.server(ca=self.ca, verify=True)
        to = listener.so.getsockname()

        def bare() -> str:
            try:
                with self.dial(self.context(False), to) as peer:
                    return repr(peer.recv(1))
            except ssl.SSLError as error:
                return str(error.reason)

        reason = await deferToThread(bare)
        self.assertIn("CERTIFICATE_REQUIRED", reason)
        self.assertFalse(listener.so.so_comp)
        context = self.context(False)
        context.load_cert_chain(self.file("me.pem", pem_of(CLIENT)))
        dialed = deferToThread(self.dial, context, to)
        two = await self.accepted(listener)
        self.assertIn("CN=a client", gettls(two.so).subject)
        (await dialed).close()

    async def test_cut_by_python(self) -> None:
        """Python closes without its unwrap: the stream was cut."""
        listener = self.server()
        dialed = deferToThread(self.dial, self.context(False), listener.so.getsockname())
        two = await self.accepted(listener)
        peer = await dialed
        await deferToThread(peer.sendall, b"half of it")
        await two.until(lambda: two.data == b"half of it")
        peer.close()
        self.assertEqual(errno.ECONNRESET, (await self.fails(two))[0])


class Program(ProcessProtocol):
    """A program: what it said, and when it has ended."""

    def __init__(self) -> None:
        self.said = b""
        self.ended: Deferred[None] = Deferred()
        self.waits: list[tuple[bytes, Deferred[None]]] = []

    def outReceived(self, data: bytes) -> None:
        self.said += data
        for wait in list(self.waits):
            if wait[0] in self.said:
                self.waits.remove(wait)
                wait[1].callback(None)

    errReceived = outReceived

    def processEnded(self, reason: Failure) -> None:
        self.ended.callback(None)

    def says(self, words: bytes) -> Deferred[None]:
        """Fire once it has said *words*."""
        done: Deferred[None] = Deferred()
        self.waits.append((words, done))
        self.outReceived(b"")
        return done


class OpenSSLTests(TLSTestCase):
    if shutil.which("openssl") is None:
        skip = "there is no openssl program here"

    def run_openssl(self, *words: str) -> Any:
        """Start openssl; return its protocol."""
        program = Program()
        path = shutil.which("openssl") or ""
        process = reactor.spawnProcess(program, path, ["openssl", *words], env=os.environ)

        async def end() -> None:
            if process.pid is not None:
                process.signalProcess("KILL")
                await program.ended

        self.addCleanup(lambda: Deferred.fromCoroutine(end()))
        return program

    async def test_s_client(self) -> None:
        """openssl s_client verifies us, is served by name, and talks."""
        host, port = (listener := self.server(alpn=("h2",))).so.getsockname()
        program = self.run_openssl(
            "s_client", "-connect", f"{host}:{port}", "-CAfile", self.ca, "-servername", NAME,
            "-verify_hostname", NAME, "-verify_return_error", "-alpn", "h2",
        )  # fmt: skip
        two = await self.accepted(listener)
        two.so.sendbatch(packets(b"hello from us\n"))
        await program.says(b"hello from us")
        program.transport.write(b"hello from openssl\n")
        await two.until(lambda: b"hello from openssl" in two.data)
        self.assertIn(b"Verify return code: 0", program.said)
        self.assertIn(b"ALPN protocol: h2", program.said)
        two.so.close()
        await program.ended

    async def test_s_server(self) -> None:
        """We verify openssl s_server, and talk to it."""
        with socket.create_server(("127.0.0.1", 0)) as spare:
            port = spare.getsockname()[1]
        program = self.run_openssl(
            "s_server", "-accept", f"127.0.0.1:{port}", "-cert", self.cert, "-key", self.cert,
        )  # fmt: skip
        await program.says(b"ACCEPT")
        one = self.client(("127.0.0.1", port))
        await one.until(lambda: one.so.isconnected() or one.error)
        one.so.sendbatch(packets(b"hello from us\n"))
        await program.says(b"hello from us")
        program.transport.write(b"hello from openssl\n")
        await one.until(lambda: b"hello from openssl" in one.data)
        one.so.close()
