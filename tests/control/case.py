"""A daemon that tests share, and the case that looks after it."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.control.rawclient import GENERIC, SHUTDOWN, Client, RawSocket
from tests.integration.service import TWISTD, Service, until

WRONG = ("Traceback", "Unhandled", "CRITICAL", "#critical", "Exception ignored")


class Daemon:
    """
    A service without files, in a process of its own.

    Args:
        folder: Where its socket is.
        options: More options of ``ngksock``.
        words: What runs before it, and its own options.
    """

    def __init__(
        self, folder: Path, options: tuple[str, ...] = (), words: tuple[str, ...] = TWISTD
    ) -> None:
        self.path = str(folder / "ngd.sock")
        line = [*words, "-n", "--pidfile=", "ngksock", "--control", self.path, *options]
        self.service = Service(line)
        self.service.wait_ready()


@cache
def shared_daemon() -> Daemon:
    """Return the daemon that lives as long as this process."""
    folder = Path(tempfile.mkdtemp(prefix="ngk"))
    daemon = Daemon(folder)

    def end() -> None:
        with contextlib.suppress(Exception):
            daemon.service.stop()
        daemon.service.kill()
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(end)
    return daemon


class ControlCase(SynchronousTestCase):
    """
    A case with a running daemon, whose graph is empty before and after each test.

    That the daemon answers, holds as many descriptors as before and has logged
    no traceback is part of every test.
    """

    maxDiff = None

    def setUp(self) -> None:
        self.daemon = shared_daemon()
        self.path = self.daemon.path
        self.began = len(self.daemon.service.log)
        self.before = self.daemon.service.descriptors
        self.open: list[Any] = []
        self.addCleanup(self._look_after)

    def _look_after(self) -> None:
        for one in self.open:
            one.close()
        with contextlib.closing(Client(self.path)) as client:
            for _, _, number, _ in client.nodes():
                if number != client.control.node:
                    client.shutdown(f"[{number:x}]:")
            self.assertEqual(1, len(client.nodes()))
        service = self.daemon.service
        until(lambda: service.descriptors == self.before, "its descriptors to be closed")
        log = service.log[self.began :]
        self.assertEqual([], [line for line in log.splitlines() if any(w in line for w in WRONG)])

    def client(self, name: str = "", queue: int = 0) -> Client:
        """Return a program with a node of its own."""
        client = Client(self.path, name, queue)
        self.open.append(client)
        return client

    def socket(self, kind: int | None, queue: int = 0) -> RawSocket:
        """Return one connection."""
        sock = RawSocket(self.path, kind, queue)
        self.open.append(sock)
        return sock

    def ok(self, *errnos: int) -> None:
        """Fail unless all of them are 0."""
        self.assertEqual([0] * len(errnos), [*errnos], [os.strerror(code) for code in errnos])

    def log_since(self) -> str:
        """Return what the daemon has logged since the test began."""
        return self.daemon.service.log[self.began :]


__all__ = ["GENERIC", "SHUTDOWN", "ControlCase", "Daemon", "shared_daemon"]
