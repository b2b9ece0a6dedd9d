"""Every example in docs/examples does what its comment says."""

from __future__ import annotations

import os
import re
import shlex
import socket
import struct
import subprocess
import time
from pathlib import Path
from statistics import median

from tests.integration.service import (
    EXAMPLES,
    ROOT,
    IntegrationCase,
    free_port,
    port_of,
    readable,
    receive,
    receive_all,
    until,
)
from tests.integration.tlstraffic import OpenSSL

DATAGRAMS = (b"hello\n", b"", b"\0\xff" * 700, os.urandom(65507))


class DatagramExampleTests(IntegrationCase):
    """The examples in which every packet is a datagram."""

    def test_fanout(self):
        """fanout.ng: three receivers get every datagram, the empty one too, byte for byte."""
        receivers = [self.udp() for _ in range(3)]
        ports = {9000 + n: port_of(r) for n, r in enumerate(receivers, 1)}
        entry = free_port()
        self.start(self.example("fanout.ng", {9000: entry, **ports}))
        sender = self.udp(to=entry)
        for datagram in DATAGRAMS:
            sender.send(datagram)
            for receiver in receivers:
                self.assertEqual(datagram, receiver.recv(65536))

    def test_udp_reply(self):
        """udp-reply.ng: of several clients at once each gets its own datagrams back."""
        port = free_port()
        self.start(self.example("udp-reply.ng", {9000: port}))
        clients = [self.udp(to=port) for _ in range(5)]
        for datagram in DATAGRAMS:
            own = [bytes([number]) + datagram[:9000] for number in range(len(clients))]
            for client, expected in zip(clients, own, strict=True):
                client.send(expected)
            for client, expected in zip(clients, own, strict=True):
                self.assertEqual(expected, client.recv(65536))
            clients[0].send(datagram)
            self.assertEqual(datagram, clients[0].recv(65536))

    def test_multicast(self):
        """multicast.ng: what is sent to the group, and that alone, reaches the collector."""
        port, collector = free_port(), self.udp()
        self.start(self.example("multicast.ng", {9000: port, 9001: port_of(collector)}))
        sender = self.udp()
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        sender.sendto(b"not for the group", ("127.0.0.1", port))
        sender.sendto(b"for another group", ("239.1.1.2", port))
        for datagram in (b"hello\n", b"", bytes(range(256)) * 5):
            sender.sendto(datagram, ("239.1.1.1", port))
            self.assertEqual(datagram, collector.recv(65536))

    def test_tunnel(self):
        """tunnel-a.ng and tunnel-b.ng: two services carry datagrams, and their answers."""
        program, service = self.udp(), self.udp()
        entry, side_a, side_b = free_port(), free_port(), free_port()
        ends = {7000: side_a, 7001: side_b}
        near = {5000: entry, 5001: port_of(program)}
        self.start(self.example("tunnel-a.ng", {**near, **ends}))
        self.start(self.example("tunnel-b.ng", {5300: port_of(service), **ends}))
        program.connect(("127.0.0.1", entry))
        for datagram in DATAGRAMS:
            program.send(datagram)
            received, source = service.recvfrom(65536)
            self.assertEqual(datagram, received)
            service.sendto(datagram[::-1], source)
            self.assertEqual(datagram[::-1], program.recv(65536))

    def test_tee_join(self):
        """tee-join.ng: without the tee, datagrams pass between the two ksockets, both ways."""
        client, server = self.udp(), self.udp()
        ports = {9000: free_port(), 9001: port_of(server), 9002: port_of(client)}
        running = self.start(self.example("tee-join.ng", ports))
        self.assertNotIn("tee ", running.log)
        client.connect(("127.0.0.1", ports[9000]))
        for datagram in DATAGRAMS:
            client.send(datagram)
            received, source = server.recvfrom(65536)
            self.assertEqual(datagram, received)
            server.sendto(datagram[::-1], source)
            self.assertEqual(datagram[::-1], client.recv(65536))

    def test_badnet(self):
        """badnet.ng: either way datagrams are 50 ms late, and one in ten is lost."""
        client, server = self.udp(), self.udp()
        ports = {9000: free_port(), 9001: port_of(server), 9002: port_of(client)}
        self.start(self.example("badnet.ng", ports))
        client.connect(("127.0.0.1", ports[9000]))
        client.send(b"where are you")
        until(lambda: client.send(b"first") and readable(server, 0.1), "one that is not lost")
        _, relay = server.recvfrom(65536)
        server.connect(relay)
        while readable(server, 0.2):
            server.recv(65536)
        for one, other in ((client, server), (server, client)):
            self.assert_bad(one, other)

    def assert_bad(self, source: socket.socket, sink: socket.socket) -> None:
        """Assert that of 1,000 datagrams nine in ten arrive, in order, 50 ms later."""
        numbers, delays = [], []

        def take(seconds: float) -> None:
            while readable(sink, seconds):
                number, sent = struct.unpack("=Id", sink.recv(65536))
                numbers.append(number)
                delays.append(time.monotonic() - sent)

        for number in range(1000):
            source.send(struct.pack("=Id", number, time.monotonic()))
            take(0.001)
        take(0.2)
        self.assertEqual(sorted(set(numbers)), numbers)
        self.assertTrue(850 <= len(numbers) <= 950, f"{len(numbers)} of 1000 came")  # 5 deviations
        self.assertGreater(min(delays), 0.0499)
        self.assertLess(median(delays), 0.07)

    def test_filter(self):
        """filter.ng: datagrams that begin with ERROR go one way, all others the other."""
        errors, rest = self.udp(), self.udp()
        ports = {9000: free_port(), 9001: port_of(errors), 9002: port_of(rest)}
        self.start(self.example("filter.ng", ports))
        sender = self.udp(to=ports[9000])
        for datagram in (b"ERROR", b"ERROR: disk full\n", b"ERROR" + os.urandom(65000)):
            sender.send(datagram)
            self.assertEqual(datagram, errors.recv(65536))
        for datagram in (*DATAGRAMS, b"ERRO", b"ERRORS"[1:], b"error: no\n", b"ERROr"):
            sender.send(datagram)
            self.assertEqual(datagram, rest.recv(65536))


class ForwardCase(IntegrationCase):
    """A case whose examples forward connections."""

    def assert_forwards(self, client: socket.socket, server: socket.socket) -> None:
        """Data goes both ways, also after one side, and then the other, has ended its own."""
        connection = self.accept(server)
        client.sendall(b"question\n")
        self.assertEqual(b"question\n", receive(connection, 9))
        connection.sendall(b"answer\n")
        self.assertEqual(b"answer\n", receive(client, 7))
        client.sendall(b"last words")
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(b"last words", receive_all(connection))
        connection.sendall(b"a long farewell" * 10000)
        connection.close()
        self.assertEqual(b"a long farewell" * 10000, receive_all(client))


class StreamExampleTests(ForwardCase):
    """The examples that forward connections."""

    def test_forward(self):
        """forward.ng: TCP, with one end half closed while the other goes on."""
        server, port = self.tcp_server(), free_port()
        self.start(self.example("forward.ng", {8080: port, 9000: port_of(server)}))
        for _ in range(3):
            self.assert_forwards(self.tcp(port), server)

    def test_unix_to_tcp(self):
        """unix-to-tcp.ng: the unix socket serves its group, and goes with the service."""
        path, server = self.folder / "door", self.tcp_server()
        changes: dict[int | str, int | str] = {
            9000: port_of(server), "/tmp/ngksock-example.sock": str(path)
        }  # fmt: skip
        running = self.start(self.example("unix-to-tcp.ng", changes))
        self.assertEqual(0o660, path.stat().st_mode & 0o777)
        for _ in range(2):
            client = self.owned(socket.socket(socket.AF_UNIX))
            client.connect(str(path))
            self.assert_forwards(client, server)
        self.services.remove(running)
        self.assert_stops(running)
        self.assertFalse(path.exists())

    def test_ipv6(self):
        """ipv6.ng: a client on ::1 reaches the server on 127.0.0.1."""
        server, port = self.tcp_server(), free_port()
        self.start(self.example("ipv6.ng", {8080: port, 9000: port_of(server)}))
        self.assert_forwards(self.tcp(port, "::1"), server)


class TLSExampleTests(ForwardCase):
    """The examples that speak TLS, with the certificate that their comments make."""

    def certificate(self, name: str) -> str:
        """Run the openssl command in an example's comment; return the path of what it made."""
        [command] = re.findall(r"(?m)^#   (openssl req .*)$", (EXAMPLES / name).read_text())
        subprocess.run(
            shlex.split(command), cwd=self.folder, check=True, stderr=subprocess.DEVNULL
        )  # fmt: skip
        return str(self.folder / "server.pem")

    def test_tls(self):
        """tls.ng: openssl s_client verifies it, and talks to a plain server."""
        server, port = self.tcp_server(), free_port()
        path = self.certificate("tls.ng")
        changes: dict[int | str, int | str] = {
            8443: port, 8080: port_of(server), "server.pem": path
        }  # fmt: skip
        self.start(self.example("tls.ng", changes))
        client = OpenSSL(
            "s_client", "-quiet", "-verify_return_error", "-CAfile", path,
            "-connect", f"127.0.0.1:{port}", "-verify_hostname", "localhost",
        )  # fmt: skip
        self.addCleanup(client.close)
        client.stdin.write(b"question\n")
        client.stdin.flush()
        connection = self.accept(server)
        self.assertEqual(b"question\n", receive(connection, 9))
        connection.sendall(b"answer\n")
        connection.close()
        self.assertEqual((0, b"answer\n"), client.ended()[:2])

    def test_tls_origin(self):
        """tls-origin.ng in front of tls.ng: a tunnel, in which either end may end first."""
        server, inner, outer = self.tcp_server(), free_port(), free_port()
        path = self.certificate("tls-origin.ng")
        changes: dict[int | str, int | str] = {
            8443: inner, 8080: port_of(server), "server.pem": path
        }  # fmt: skip
        self.start(self.example("tls.ng", changes))
        changes = {9000: outer, 8443: inner, "server.pem": path}
        self.start(self.example("tls-origin.ng", changes))
        for _ in range(2):
            self.assert_forwards(self.tcp(outer), server)


class TextTests(IntegrationCase):
    """What the files themselves look like."""

    examples = sorted(EXAMPLES.glob("*.ng"))

    def commands(self, path: Path) -> list[str]:
        """Return the lines of a file that do something."""
        lines = path.read_text(encoding="utf-8").splitlines()
        return [line for line in lines if line and not line.startswith("#")]

    def test_readme(self):
        """fanout.ng and forward.ng are, without comments, what the README shows."""
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        for name in ("fanout.ng", "forward.ng"):
            shown = "\n".join(["```", *self.commands(EXAMPLES / name), "```"])
            self.assertIn(shown, readme)

    def test_comments(self):
        """Each begins with a comment that says what to type to try it."""
        for path in self.examples:
            text = path.read_text(encoding="utf-8")
            comment = text.partition("\n\n")[0]
            self.assertTrue(all(line.startswith("#") for line in comment.splitlines()), path.name)
            self.assertRegex(comment, r"try it", path.name)
            self.assertRegex(comment, r"\b(nc|socat) -", path.name)

    def test_freebsd(self):
        """fanout.ng and tee-join.ng have nothing that FreeBSD's ngctl would refuse."""
        for name in ("fanout.ng", "tee-join.ng"):
            for line in self.commands(EXAMPLES / name):
                self.assertRegex(line, r"^(mkpeer|name|msg|shutdown) ")
                self.assertNotRegex(line, r'["\\\[{]')
                for kind in re.findall(r"^mkpeer (?:\S+: )?(\w+) ", line):
                    self.assertIn(kind, ("hub", "tee", "ksocket"))

    def test_all_have_tests(self):
        """Each example is run by a test of this module, or of one about few of them."""
        here = Path(__file__)
        modules = (here, *map(here.with_name, ("test_tuntap.py", "test_load.py")))
        text = "".join(path.read_text(encoding="utf-8") for path in modules)
        missing = [path.name for path in self.examples if f'self.example("{path.name}"' not in text]
        self.assertEqual([], missing)
