"""Real twistd and twist processes."""

from __future__ import annotations

import itertools
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from threading import Timer
from time import monotonic
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from tests.service.folder import ROOT

TWISTD: Final = "import sys; from twisted.scripts.twistd import run; sys.argv[0] = 'twistd'; run()"
TWIST: Final = (
    "import sys; from twisted.application.twist._twist import Twist; sys.argv[0] = 'twist';"
    " Twist.main()"
)
_numbers = itertools.count()
PATIENCE: Final = 30
"""Seconds after which a process that should have ended is killed."""


class TwistdTestCase(SynchronousTestCase):
    """Tests that run the programs people run, in a folder of their own."""

    maxDiff = None

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir(parents=True)

    def write(self, name: str, text: str) -> None:
        """Write a file."""
        (self.folder / name).write_text(text, encoding="utf-8")

    def command(self, program: str, *args: str) -> list[str]:
        """Return the command line of a program and its arguments."""
        return [sys.executable, "-c", {"twistd": TWISTD, "twist": TWIST}[program], *args]

    def environment(self) -> dict[str, str]:
        """Return what a process needs to find the plugin."""
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        place = f"{tempfile.gettempdir()}/ngd-{os.getpid()}-{next(_numbers)}.sock"
        return {**os.environ, "PYTHONPATH": path.rstrip(os.pathsep), "NGD_SOCKET": place}

    def run_to_end(self, program: str, *args: str, stdin: str = "") -> tuple[int, str, str]:
        """Return status, standard output and standard error of a process."""
        done = subprocess.run(
            self.command(program, *args), input=stdin, capture_output=True, text=True,
            cwd=self.folder, env=self.environment(), timeout=PATIENCE, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    def start(self, program: str, *args: str) -> Running:
        """Start a process that stays, and return it once its reactor runs."""
        process = subprocess.Popen(
            self.command(program, *args), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, cwd=self.folder, env=self.environment(),
        )  # fmt: skip
        running = Running(process)
        self.addCleanup(running.kill)
        running.wait_for(" from ")
        process.send_signal(signal.SIGUSR1)  # caught by now, and answered in a reactor's turn
        running.wait_for("counters of ")
        return running


class Running:
    """A process that stays until it is told to end; its output is read line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._timer = Timer(PATIENCE, process.kill)
        self._timer.start()

    def wait_for(self, text: str) -> str:
        """Return the next line with *text* in it."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if text in line:
                return line
        raise AssertionError(f"{text!r} was not said, but {''.join(self.lines)}")

    def end(self, number: signal.Signals) -> float:
        """Send a signal; return the seconds until the process has ended."""
        before = monotonic()
        self.process.send_signal(number)
        rest, _ = self.process.communicate()
        self.lines += rest.splitlines(True)
        self._timer.cancel()
        return monotonic() - before

    def kill(self) -> None:
        """End it in any case."""
        self._timer.cancel()
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


def wait_for_end(pid: int) -> float:
    """Wait until a process that is no child of ours has ended; return the seconds it took."""
    before = monotonic()
    waiting = select.poll()
    descriptor = os.pidfd_open(pid)
    try:
        waiting.register(descriptor, select.POLLIN)
        if not waiting.poll(PATIENCE * 1000):
            raise AssertionError(f"process {pid} lives on")
    finally:
        os.close(descriptor)
    return monotonic() - before


def programs() -> Sequence[tuple[str, ...]]:
    """Return the three ways to start the service."""
    return (("twistd", "--pidfile=t.pid"), ("twistd", "-n", "--pidfile=t.pid"), ("twist",))
