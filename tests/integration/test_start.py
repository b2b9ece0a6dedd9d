"""How the service starts, or does not: checks, failures, reactors, programs."""

from __future__ import annotations

import re
import shutil
import socket
from pathlib import Path

from tests.integration.service import (
    DEADLINE,
    EXAMPLES,
    TWIST,
    TWISTD,
    IntegrationCase,
    free_port,
    port_of,
    receive_all,
)

# As strace writes them.  socketpair, by which a reactor wakes itself, is none
# that could reach anybody.
CALL = re.compile(r"\d+ +(?!socketpair)\w+\(.*")


class CheckTests(IntegrationCase):
    """``--check`` reads a file and opens nothing."""

    def traced(self, *words: str | Path) -> tuple[int, str, list[str]]:
        """Run the service to its end; return status, output, and its calls about sockets."""
        strace = shutil.which("strace")
        assert strace is not None, "these tests need strace"
        trace = self.folder / "trace"
        program = (strace, "-f", "-e", "trace=%network", "-o", str(trace), *TWISTD)
        service = self.spawn(*words, program=program)
        status = service.ended()
        return status, service.log, CALL.findall(trace.read_text(encoding="ascii"))

    def test_examples(self):
        """Each example is found good, in silence, without one call about a socket."""
        for path in sorted(EXAMPLES.glob("*.ng")):
            self.assertEqual((0, "", []), self.traced("--check", path), path.name)

    def test_trace(self):
        """The trace sees what is opened without ``--check``: there it could fail."""
        taken = self.udp()
        changes = {9000: port_of(taken), 9001: 1, 9002: 1, 9003: 1}
        status, _, calls = self.traced("--no-control", self.example("fanout.ng", changes))
        self.assertEqual(71, status)
        self.assertRegex(calls[0], r"socket\(AF_INET, SOCK_DGRAM")
        self.assertRegex(calls[1], r"bind\(.*EADDRINUSE")


class FailureTests(IntegrationCase):
    """Starts that fail leave nothing behind."""

    def test_port_in_use(self):
        """A port in use: one message with its place, status 71, what was opened is closed."""
        taken, door = self.udp(), self.folder / "door"
        before = self.file("before.ng", DOOR.format(door))
        port = port_of(taken)
        fails = self.example("fanout.ng", {9000: port, 9001: 1, 9002: 1, 9003: 1})
        service = self.spawn(before, fails)
        self.assertEqual(71, service.ended())
        place = next(
            number
            for number, line in enumerate(fails.read_text(encoding="utf-8").splitlines(), 1)
            if str(port) in line
        )
        said = [line for line in service.log.splitlines() if line.startswith("/")]
        self.assertEqual(1, len(said), service.log)
        self.assertRegex(
            said[0], rf"^{fails}:{place}:\d+: msg: EADDRINUSE \(Address already in use\)"
        )
        self.assertNotIn("Traceback", service.log)
        self.assertFalse(door.exists())

    def test_socket_in_use(self):
        """A unix socket that is answered stays; one left by a crash is taken over."""
        door = self.folder / "door"
        file = self.file("door.ng", DOOR.format(door))
        crashed = self.owned(socket.socket(socket.AF_UNIX))
        crashed.bind(str(door))
        crashed.close()
        first = self.start(file)
        inode = door.stat().st_ino
        second = self.spawn(file)
        self.assertEqual(71, second.ended())
        self.assertIn("EADDRINUSE", second.log)
        self.assertEqual(inode, door.stat().st_ino)
        self.owned(socket.socket(socket.AF_UNIX)).connect(str(door))
        self.assertNotIn("EADDRINUSE", first.log)

    def test_address_not_ours(self):
        """An address that is not this host's is EADDRNOTAVAIL, status 71."""
        file = self.file("far.ng", UDP.format("inet/192.0.2.1:9000"))
        service = self.spawn(file)
        self.assertEqual(71, service.ended())
        self.assertRegex(service.log, rf"{file}:3:\d+: msg: EADDRNOTAVAIL \(")


UDP = """\
mkpeer hub a a
mkpeer .:a ksocket in inet/dgram/udp
msg .:a.in bind {}
name .:a hub
"""
DOOR = """\
mkpeer listener boot boot
name boot door
mkpeer door: ksocket socket local/stream/0
msg door: setscript {{ lines=[ "mkpeer echo e e" ] }}
msg door:socket bind local/"{}"
msg door: start 8
"""


class ReactorTests(IntegrationCase):
    """Every reactor, and both programs, serve datagrams and streams."""

    def assert_serves(self, **how: object) -> None:
        """A service with streams in and out, and datagrams back, does its job and stops."""
        server, receiver = self.tcp_server(), self.udp()
        port, entry = free_port(), free_port()
        files = (
            self.example("forward.ng", {8080: port, 9000: port_of(server)}),
            self.example("tee-join.ng", {9000: entry, 9001: port_of(receiver), 9002: 1}),
        )
        self.start(*files, **how)
        client = self.tcp(port)
        connection = self.accept(server)
        data = bytes(range(256)) * 4096
        connection.settimeout(DEADLINE)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, len(data))
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(data, receive_all(connection))
        connection.sendall(data[:1000])
        connection.close()
        self.assertEqual(data[:1000], receive_all(client))

    def reactor(self, name: str) -> None:
        """Try the reactor of that name."""
        self.assert_serves(options=("-n", "--pidfile=", f"--reactor={name}"))

    def test_epoll(self):
        """The epoll reactor."""
        self.reactor("epoll")

    def test_poll(self):
        """The poll reactor."""
        self.reactor("poll")

    def test_select(self):
        """The select reactor."""
        self.reactor("select")

    def test_asyncio(self):
        """The asyncio reactor."""
        self.reactor("asyncio")

    def test_twist(self):
        """``twist ngksock``, which knows no privileged start."""
        self.assert_serves(program=TWIST, options=())
