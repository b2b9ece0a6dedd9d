"""Running the service in a process of its own, and the case that tests it.

Nothing here sleeps for a time and hopes: a test waits for a line of the log, for
bytes on a socket, or for what `/proc` says, each with a deadline.
"""

from __future__ import annotations

import itertools
import os
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from twisted.trial.unittest import SynchronousTestCase

ROOT: Final = Path(__file__).resolve().parents[2]
EXAMPLES: Final = ROOT / "docs" / "examples"

DEADLINE: Final = 30.0
"""Seconds after which what a test waits for will not come any more."""
STOP: Final = 2.0
"""Seconds in which SIGTERM ends the service: a promise of house.md."""
MARGIN: Final = 1.0
"""What a busy machine may add, to save coverage data for one."""

TWISTD: Final = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()")
TWIST: Final = (sys.executable, "-m", "twisted")

_READY: Final = re.compile(r"\d+ nodes?, \d+ links? from ")
_PORT: Final = re.compile(r"(?<=[\d\]]):(\d+)\b")
_WRONG: Final = ("Traceback", "Unhandled", "CRITICAL", "#critical", "Exception ignored")


_numbers = itertools.count()


def environment(*folders: Path | str) -> dict[str, str]:
    """Return the environment of a child: ours, with this tree and *folders* to import from."""
    paths = [*map(str, folders), str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "NGD_SOCKET": f"{tempfile.gettempdir()}/ngd-{os.getpid()}-{next(_numbers)}.sock",
    }


def until(condition: Callable[[], Any], what: str = "", every: float = 0.005) -> Any:
    """Look again and again until *condition* is true, and return what it returned."""
    pause = threading.Event()
    end = time.monotonic() + DEADLINE
    while not (found := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"waited {DEADLINE} s in vain for {what or condition}")
        pause.wait(every)
    return found


def free_port() -> int:
    """Return a port free for TCP and UDP, of those the system gives to nobody by itself."""
    while True:
        port = random.SystemRandom().randrange(10000, 32000)
        try:
            for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    with socket.socket(family, kind) as probe:
                        probe.bind((host, port))
        except OSError:
            continue
        return port


class Service:
    """
    A process with ngksock in it, and its log.

    Args:
        words: The command and its arguments.
        env: Its environment.
    """

    def __init__(self, words: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            list(words),
            cwd="/",
            env=environment() if env is None else env,
            text=True,
            encoding="utf-8",
            errors="backslashreplace",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.pid = self.process.pid
        self.log = ""
        self._news = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self.log += line
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def wait_for(self, pattern: str | re.Pattern[str], count: int = 1) -> str:
        """Wait until *pattern* is in the log *count* times; return the last of them."""
        found: list[re.Match[str]] = []

        def there() -> bool:
            found[:] = re.finditer(pattern, self.log)
            return len(found) >= count or self._ended

        with self._news:
            self._news.wait_for(there, DEADLINE)
        if len(found) < count:
            raise AssertionError(f"{pattern!r} is not in the log:\n{self.last_words}")
        return found[count - 1][0]

    def wait_ready(self) -> None:
        """Wait until the graph is there, and the reactor has the signals in its hands."""
        self.wait_for(_READY)
        until(lambda: self.catches(signal.SIGTERM) or self._ended, "a reactor")

    def catches(self, number: int) -> bool:
        """Tell whether the process has set itself up for that signal."""
        mask = re.search(r"SigCgt:\s*(\w+)", self._proc("status"))
        return mask is not None and bool(int(mask[1], 16) >> number - 1 & 1)

    def _proc(self, name: str) -> str:
        return Path(f"/proc/{self.pid}/{name}").read_text(encoding="ascii")

    @property
    def descriptors(self) -> int:
        """How many descriptors the process has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    @property
    def rss(self) -> int:
        """The bytes of memory the process has."""
        match = re.search(r"VmRSS:\s*(\d+) kB", self._proc("status"))
        assert match is not None, "Linux tells it"
        return int(match[1]) * 1024

    def counters(self, pattern: str) -> re.Match[str]:
        """Have the counters logged until *pattern* is among them; return the match."""

        def look() -> re.Match[str] | None:
            at = len(self.log)
            # What belongs to the first heading has followed once the second is there.
            for _ in range(2):
                heading = len(re.findall("counters of", self.log)) + 1
                self.process.send_signal(signal.SIGUSR1)
                self.wait_for("counters of", heading)
            return re.search(pattern, self.log[at:])

        found: re.Match[str] = until(look, f"{pattern!r} among the counters", 0.05)
        return found

    @property
    def last_words(self) -> str:
        """The end of the log."""
        return self.log[-4000:]

    def ended(self) -> int:
        """Wait for the end of the process; return its status."""
        status = self.process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        return status

    def stop(self) -> float:
        """Send SIGTERM; return how long it took to end."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.ended()
        return time.monotonic() - began

    def kill(self) -> None:
        """End the process if nothing else has."""
        if self.process.poll() is None:
            self.process.kill()
        self.ended()
        assert self.process.stdout is not None
        self.process.stdout.close()


class IntegrationCase(SynchronousTestCase):
    """
    A case whose services are stopped by SIGTERM after each test.

    That they end in time, by that signal, and with no traceback in their log
    is part of every test.
    """

    maxDiff = None
    services: list[Service]

    def setUp(self) -> None:
        self.services = []
        # In /tmp: the path of a unix socket must be short.
        self.folder = Path(tempfile.mkdtemp(prefix="ngk"))
        self.addCleanup(shutil.rmtree, self.folder)

    def _finish(self, service: Service) -> None:
        try:
            if service in self.services:
                self.assert_stops(service)
        finally:
            service.kill()

    # -- the service -------------------------------------------------------------------

    def example(self, name: str, changes: Mapping[Any, int | str]) -> Path:
        """Copy an example with ports, and other words, of its own; none of the old may stay."""
        text = (EXAMPLES / name).read_text(encoding="utf-8")
        commands = "".join(
            line for line in text.splitlines(keepends=True) if not line.startswith("#")
        )
        ports = set(_PORT.findall(commands))
        self.assertEqual(ports, {str(old) for old in changes if isinstance(old, int)})

        def changed(match: re.Match[str]) -> str:
            return f":{changes[int(match[1])]}"

        commands = _PORT.sub(changed, commands)
        for old, new in changes.items():
            if isinstance(old, str):
                self.assertIn(old, commands)
                commands = commands.replace(old, str(new))
        return self.file(name, commands)

    def file(self, name: str, text: str) -> Path:
        """Write a command file."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def spawn(
        self,
        *words: str | Path,
        program: Sequence[str] = TWISTD,
        options: Sequence[str] = ("-n", "--pidfile="),
        env: Mapping[str, str] | None = None,
    ) -> Service:
        """Begin to run ``ngksock`` with these arguments."""
        service = Service([*program, *options, "ngksock", *map(str, words)], env)
        self.addCleanup(self._finish, service)
        return service

    def start(self, *words: str | Path, **how: Any) -> Service:
        """Run the service, and wait until it is ready."""
        service = self.spawn(*words, **how)
        service.wait_ready()
        self.services.append(service)
        return service

    def assert_stops(self, service: Service) -> None:
        """Stop *service*, and see that it does so as it ought to."""
        self.assertIsNone(service.process.poll(), f"it ended by itself:\n{service.last_words}")
        took = service.stop()
        self.assertIn(service.process.returncode, (-signal.SIGTERM, 0), service.last_words)
        self.assertLess(took, STOP + MARGIN, service.last_words)
        wrong = [line for line in service.log.splitlines() if any(w in line for w in _WRONG)]
        self.assertEqual([], wrong, service.last_words)

    # -- sockets -----------------------------------------------------------------------

    def owned(self, sock: socket.socket) -> socket.socket:
        """Give *sock* a deadline, and close it after the test."""
        self.addCleanup(sock.close)
        sock.settimeout(DEADLINE)
        return sock

    def udp(self, port: int = 0, host: str = "127.0.0.1", to: int = 0) -> socket.socket:
        """Return a UDP socket with room, bound, and for *to* connected to that port."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = self.owned(socket.socket(family, socket.SOCK_DGRAM))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        sock.bind((host, port))
        if to:
            sock.connect((host, to))
        return sock

    def tcp_server(self, host: str = "127.0.0.1") -> socket.socket:
        """Return a listening TCP socket."""
        return self.owned(socket.create_server((host, 0), backlog=128))

    def tcp(self, port: int, host: str = "127.0.0.1") -> socket.socket:
        """Return a TCP socket connected to that port."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = self.owned(socket.socket(family))
        sock.connect((host, port))
        return sock

    def accept(self, server: socket.socket) -> socket.socket:
        """Return the next connection of *server*."""
        return self.owned(server.accept()[0])


def port_of(sock: socket.socket) -> int:
    """Return the port *sock* is bound to."""
    port: int = sock.getsockname()[1]
    return port


def readable(sock: socket.socket, seconds: float) -> bool:
    """Wait for so long until *sock* has something to read; say whether it has."""
    return bool(select.select([sock], [], [], seconds)[0])


def receive(sock: socket.socket, size: int) -> bytes:
    """Return the next *size* bytes of a stream, fewer if it ends."""
    data = bytearray()
    while len(data) < size:
        more = sock.recv(min(size - len(data), 1 << 18))
        if not more:
            break
        data += more
    return bytes(data)


def receive_all(sock: socket.socket) -> bytes:
    """Return what a stream has until its end."""
    return receive(sock, 1 << 62)
