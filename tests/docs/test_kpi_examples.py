"""The Python of the guide to the socket KPI: its programs are run, and its pages' blocks."""

from __future__ import annotations

import ast
import hashlib
import inspect
import os
import random
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from importlib.util import module_from_spec, spec_from_file_location
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.docs.console import alike
from tests.docs.pages import DOCS, Block, blocks
from tests.integration.service import (
    DEADLINE,
    EXAMPLES,
    Service,
    environment,
    receive,
    receive_all,
    until,
)

MIB = 1 << 20
ECHOES = ("kpi_echo.py", "kpi_echo_await.py")


def some_bytes(size: int, seed: int = 1) -> bytes:
    """Return bytes that do not repeat."""
    return random.Random(seed).randbytes(size)


class ProgramCase(SynchronousTestCase):
    """A case that runs the programs, and connects to them."""

    maxDiff = None

    def start(self, name: str, *words: str) -> tuple[Service, tuple[str, int]]:
        """Run a program that listens; return it and where it does."""
        service = Service([sys.executable, str(EXAMPLES / name), *words])
        self.addCleanup(service.kill)
        line = service.wait_for(r"^listening on \S+\n")
        host, _, port = line.split()[-1].rpartition(":")
        return service, (host, int(port))

    def owned(self, sock: socket.socket) -> socket.socket:
        """Give *sock* a deadline, and close it after the test."""
        self.addCleanup(sock.close)
        sock.settimeout(DEADLINE)
        return sock

    def connected(self, address: tuple[str, int]) -> socket.socket:
        """Return a connection to *address*."""
        return self.owned(socket.create_connection(address, DEADLINE))

    def listening(self) -> socket.socket:
        """Return a socket that listens."""
        return self.owned(socket.create_server(("127.0.0.1", 0)))

    def sender(self, sock: socket.socket, data: bytes) -> threading.Thread:
        """Send *data* and the end of file, beside what the test does."""

        def run() -> None:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=run)
        thread.start()
        self.addCleanup(thread.join, DEADLINE)
        return thread

    def interrupt(self, service: Service, log: str = r"listening on \S+\n") -> None:
        """Press Ctrl-C; the program ends with 0, and has printed *log* alone."""
        service.process.send_signal(signal.SIGINT)
        self.assertEqual(0, service.ended(), service.log)
        self.assertRegex(service.log, rf"\A{log}\Z")

    def client(
        self, name: str, address: Sequence[object] | str, data: bytes
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a program as a client of *address*."""
        where = address if isinstance(address, str) else "{}:{}".format(*address)
        return subprocess.run(
            [sys.executable, str(EXAMPLES / name), "--connect", where],
            input=data,
            capture_output=True,
            env=environment(),
            timeout=DEADLINE,
            check=False,
        )


class EchoTests(ProgramCase):
    """The echo server and its client, with upcalls and with Deferreds."""

    def test_both(self) -> None:
        """A client of either style has 1 MiB echoed by a server of either."""
        data = some_bytes(MIB)
        for name in ECHOES:
            server, address = self.start(name)
            for other in ECHOES:
                done = self.client(other, address, data)
                self.assertEqual((0, b""), (done.returncode, done.stderr), f"{name} {other}")
                self.assertTrue(done.stdout == data, f"{name} {other}: other bytes")
            self.interrupt(server)

    def test_nothing(self) -> None:
        """A client with nothing to send gets the end of file."""
        for name in ECHOES:
            _server, address = self.start(name)
            for other in ECHOES:
                done = self.client(other, address, b"")
                self.assertEqual((0, b"", b""), (done.returncode, done.stdout, done.stderr))

    def test_many(self) -> None:
        """Connections are served beside each other, and leave no descriptor."""
        for name in ECHOES:
            server, address = self.start(name)
            first = self.connected(address)
            first.sendall(b"here")
            self.assertEqual(b"here", receive(first, 4))
            before = server.descriptors
            socks = [self.connected(address) for _ in range(50)]
            for number, sock in enumerate(reversed(socks)):
                sock.sendall(b"%02d" % number)
                self.assertEqual(b"%02d" % number, receive(sock, 2))
            for sock in socks:
                sock.close()
            self.settles(server, before)
            self.interrupt(server)

    def settles(self, server: Service, count: int) -> None:
        """Wait until *server* has that many descriptors."""
        until(lambda: server.descriptors == count, "the descriptors", 0.05)

    def test_held_back(self) -> None:
        """A client that sends and does not read is held back, and loses nothing."""
        for name in ECHOES:
            server, address = self.start(name)
            sock = self.connected(address)
            sent = hashlib.sha256()
            size = 0
            data = some_bytes(MIB)
            while select.select([], [sock], [], 0.5)[1]:
                taken = sock.send(data, socket.MSG_DONTWAIT)
                sent.update(data[:taken])
                size += taken
                self.assertLess(size, 128 * MIB)
            sock.shutdown(socket.SHUT_WR)
            self.assertEqual(sent.digest(), hashlib.sha256(receive_all(sock)).digest())
            self.interrupt(server)

    def test_reset(self) -> None:
        """A connection that is reset is told of in one line, and the server goes on."""
        for name in ECHOES:
            server, address = self.start(name)
            sock = self.connected(address)
            sock.sendall(b"x")
            receive(sock, 1)
            reset(sock)
            server.wait_for(r"a connection failed: .*reset by peer\n")
            self.assertEqual(b"again", self.client(name, address, b"again").stdout)
            self.interrupt(server, r"listening on \S+\na connection failed: [^\n]+\n")

    def test_interrupt_with_connections(self) -> None:
        """Ctrl-C ends a server with connections, quietly."""
        for name in ECHOES:
            server, address = self.start(name)
            sock = self.connected(address)
            sock.sendall(b"x")
            receive(sock, 1)
            self.interrupt(server, r"listening on \S+\n(a connection failed: [^\n]+\n)?")

    def test_refused(self) -> None:
        """A client says in one line why there is no connection."""
        for name in ECHOES:
            for where, why in [
                (self.refusing(), "Connection refused"),
                ("localhost:1", "names are not resolved"),
            ]:
                done = self.client(name, where, b"data")
                self.assertEqual((1, b""), (done.returncode, done.stdout))
                self.assertRegex(done.stderr.decode(), rf"\A{name}: [^\n]*{why}\n\Z")

    def refusing(self) -> tuple[str, int]:
        """Return an address that is ours, and where nobody listens."""
        address: tuple[str, int] = self.bound().getsockname()
        return address

    def bound(self) -> socket.socket:
        """Return a socket that has a port and does not listen."""
        sock = self.owned(socket.socket())
        sock.bind(("127.0.0.1", 0))
        return sock

    def test_reset_client(self) -> None:
        """A client whose server resets it says so."""
        for name in ECHOES:
            listener = self.listening()

            def serve(listener: socket.socket = listener) -> None:
                sock = listener.accept()[0]
                sock.recv(1)
                reset(sock)

            thread = threading.Thread(target=serve)
            thread.start()
            done = self.client(name, listener.getsockname(), bytes(MIB))
            thread.join()
            self.assertEqual(1, done.returncode)
            self.assertRegex(done.stderr.decode(), rf"\A{name}: [^\n]*reset by peer\n\Z")


def reset(sock: socket.socket) -> None:
    """Close *sock* with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class ProxyTests(ProgramCase):
    """The forwarder."""

    def proxy(self, to: socket.socket) -> tuple[Service, tuple[str, int]]:
        """Run the forwarder before *to*."""
        return self.start("kpi_proxy.py", "{}:{}".format(*to.getsockname()))

    def through(self) -> tuple[Service, socket.socket, socket.socket]:
        """Return a forwarder and the two ends of a connection through it."""
        target = self.listening()
        proxy, address = self.proxy(target)
        client = self.connected(address)
        return proxy, client, self.owned(target.accept()[0])

    def test_both_ways(self) -> None:
        """8 MiB pass in both directions at once."""
        proxy, client, server = self.through()
        up, down = some_bytes(8 * MIB, 1), some_bytes(8 * MIB, 2)
        self.sender(client, up)
        self.sender(server, down)
        got: dict[str, str] = {}
        reader = threading.Thread(
            target=lambda: got.update(up=hashlib.sha256(receive_all(server)).hexdigest())
        )
        reader.start()
        got["down"] = hashlib.sha256(receive_all(client)).hexdigest()
        reader.join(DEADLINE)
        want = {"up": hashlib.sha256(up).hexdigest(), "down": hashlib.sha256(down).hexdigest()}
        self.assertEqual(want, got)
        self.interrupt(proxy)

    def test_half_close(self) -> None:
        """The end of file of one direction passes, and the other goes on."""
        proxy, client, server = self.through()
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(b"question", receive_all(server))
        server.sendall(b"answer")
        self.assertEqual(b"answer", receive(client, 6))
        server.close()
        self.assertEqual(b"", receive_all(client))
        self.interrupt(proxy)

    def test_refused(self) -> None:
        """Where the target refuses, the client is reset and one line says why."""
        target = self.owned(socket.socket())
        target.bind(("127.0.0.1", 0))
        proxy, address = self.proxy(target)
        client = self.connected(address)
        self.assertRaises(ConnectionResetError, client.recv, 1)
        proxy.wait_for(r"127\.0\.0\.1:\d+: .*Connection refused\n")
        target.listen()  # and it is asked again for the next one
        other = self.connected(address)
        server = self.owned(target.accept()[0])
        other.sendall(b"x")
        self.assertEqual(b"x", receive(server, 1))

    def test_reset(self) -> None:
        """A reset of one side reaches the other, from either."""
        for first in (0, 1):
            proxy, *ends = self.through()
            for one, other in (ends, reversed(ends)):
                one.sendall(b"x")
                receive(other, 1)
            reset(ends[first])
            self.assertRaises(ConnectionResetError, ends[1 - first].recv, 1)
            self.interrupt(proxy, r"listening on \S+\n127[^\n]+reset by peer\n")

    def test_held_back(self) -> None:
        """A target that does not read holds the client back, and gets all in the end."""
        proxy, client, server = self.through()
        sent = hashlib.sha256()
        size = 0
        data = some_bytes(MIB)
        while select.select([], [client], [], 0.5)[1]:
            taken = client.send(data, socket.MSG_DONTWAIT)
            sent.update(data[:taken])
            size += taken
            self.assertLess(size, 128 * MIB)
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(sent.digest(), hashlib.sha256(receive_all(server)).digest())
        self.interrupt(proxy)

    def test_interrupt_with_connections(self) -> None:
        """Ctrl-C ends a forwarder in mid-transfer: each cut connection is a line, no more."""
        proxy, client, _server = self.through()
        while select.select([], [client], [], 0.2)[1]:
            client.send(bytes(MIB), socket.MSG_DONTWAIT)
        self.interrupt(proxy, r"listening on \S+\n(127\S+: \[Errno[^\n]+\n)?")

    def test_no_leak(self) -> None:
        """Connections that ended, well or not, leave no descriptor."""
        target = self.listening()
        proxy, address = self.proxy(target)
        self.connected(address).close()
        target.accept()[0].close()
        until(lambda: self.sockets(proxy) == 1, "the listener alone", 0.05)
        for number in range(40):
            client = self.connected(address)
            server = target.accept()[0]
            client.sendall(b"x")
            receive(server, 1)
            (reset if number % 2 else socket.socket.close)(client)
            (reset if number % 3 else socket.socket.close)(server)
        until(lambda: self.sockets(proxy) == 1, "the listener alone", 0.05)
        self.assertNotIn("Traceback", proxy.log)

    def sockets(self, service: Service) -> int:
        """Count the TCP sockets a process has."""
        tcp = {line.split()[9] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]}
        folder = Path(f"/proc/{service.pid}/fd")
        return sum(
            os.readlink(path).removeprefix("socket:[").rstrip("]") in tcp
            for path in folder.iterdir()
        )

    def test_port_taken(self) -> None:
        """A port that is taken is told of in one line."""
        taken = self.listening()
        where = "{}:{}".format(*taken.getsockname())
        done = subprocess.run(
            [sys.executable, str(EXAMPLES / "kpi_proxy.py"), "--listen", where, where],
            capture_output=True,
            env=environment(),
            timeout=DEADLINE,
            text=True,
            check=False,
        )
        self.assertEqual((1, ""), (done.returncode, done.stdout))
        self.assertRegex(done.stderr, r"\Akpi_proxy\.py: [^\n]*already in use\n\Z")


PAGES = sorted(f"kpi/{path.stem}" for path in DOCS.glob("kpi/*.rst"))


class PageTests(TestCase):
    """The blocks of each page, in order; a ``text`` block behind them is what they print."""

    def setUp(self) -> None:
        self.patch(sys, "path", [*sys.path, str(EXAMPLES)])
        self.addCleanup(sys.modules.pop, "kpi_echo", None)

    async def run_block(self, block: Block, names: dict[str, Any]) -> None:
        """Run *block*, which may await."""
        source = "\n" * block.line + block.text
        top = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        done = eval(compile(source, str(block), "exec", flags=top), names)
        if inspect.isawaitable(done):
            await done

    async def page(self, page: str) -> None:
        """Run all blocks of *page*, those that make the connection first."""
        printed: list[str] = []
        names: dict[str, Any] = {
            "__name__": page,
            "print": lambda *words: printed.append(" ".join(map(str, words)) + "\n"),
        }
        start = blocks("kpi/calls", "python")[0]
        found = blocks(page, "python", "text")
        if page in ("kpi/data", "kpi/options"):
            await self.run_block(start, names)
        try:
            for block in found:
                if block.language == "python":
                    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):  # the example's
                        await self.run_block(block, names)
                    continue
                said = "".join(printed)
                self.assertTrue(alike(block.text, said), f"{block} is not what came:\n{said}")
                printed.clear()
            self.assertEqual([], printed, page)
        finally:
            if "kpi" in names:
                names["kpi"].closeall()
                await names["kpi"].drain()

    async def test_index(self) -> None:
        """The first page's blocks do what they say."""
        await self.page("kpi/index")

    async def test_calls(self) -> None:
        """Those on modes, upcalls, events and ends do."""
        await self.page("kpi/calls")

    async def test_data(self) -> None:
        """Those on messages and mbufs do."""
        await self.page("kpi/data")

    async def test_options(self) -> None:
        """Those on options, filters and adopted sockets do."""
        await self.page("kpi/options")

    async def test_testing(self) -> None:
        """Those on tests without a network do."""
        await self.page("kpi/testing")

    def test_all(self) -> None:
        """No page has a block that no test runs, and no program is left out."""
        ran = {"kpi/index", "kpi/calls", "kpi/data", "kpi/options", "kpi/testing"}
        self.assertEqual([], [page for page in PAGES if page not in ran and blocks(page, "python")])
        self.assertEqual([], [page for page in PAGES if blocks(page, "console", "ngctl")])
        programs = {path.name for path in EXAMPLES.glob("kpi_*.py")}
        self.assertEqual({*ECHOES, "kpi_proxy.py"}, programs)

    def test_included(self) -> None:
        """What the pages include from a program is there: sphinx asks for it by name."""
        for page in PAGES:
            text = (DOCS / f"{page}.rst").read_text(encoding="utf-8")
            for name, thing in re.findall(r"examples/(\w+\.py)\n +:pyobject: (\w+)", text):
                tree = ast.parse((EXAMPLES / name).read_text(encoding="utf-8"))
                self.assertIn(thing, {getattr(node, "name", None) for node in tree.body})


class StatusTests(SynchronousTestCase):
    """The table of every call."""

    def table(self) -> ModuleType:
        """Return the module that has it."""
        spec = spec_from_file_location("kpi_status", DOCS / "_ext" / "kpi_status.py")
        assert spec is not None and spec.loader is not None
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def test_complete(self) -> None:
        """Each call of the interface has a row, and each row a call."""
        self.assertEqual([], self.table().missing())

    def test_can_fail(self) -> None:
        """A call that is left out is found, and so is a row too many."""
        table = self.table()
        table.STATUS["sendfile"] = table.STATUS.pop("send")
        self.assertEqual(["send is not in STATUS", "sendfile is in STATUS alone"], table.missing())

    def test_not_run(self) -> None:
        """Nothing is said to work where it was not run."""
        for name, status in self.table().STATUS.items():
            self.assertTrue(status.macos.startswith("not run"), name)
            self.assertTrue(status.bsd.startswith("not run"), name)
            if "in part" in status or "lacks" in status.macos + status.bsd:
                self.assertTrue(status.note, name)
