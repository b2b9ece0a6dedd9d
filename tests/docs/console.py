"""A terminal that runs the console sessions of the documentation."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tests.docs.pages import ROOT

__all__ = ["Terminal", "commands"]

MARK = "-- end of command --"
SECONDS = 30.0
"""So long a command may take to say what the documentation says."""


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Yield each command of a console session, and what is shown below it."""
    typed: list[str] = []
    shown: list[str] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            if typed:
                yield "\n".join(typed), "\n".join(shown)
            typed, shown = [line[2:]], []
        elif line.startswith("> ") and not shown:
            typed.append(line[2:])
        else:
            shown.append(line)
    if typed:
        yield "\n".join(typed), "\n".join(shown)


def alike(shown: str, printed: str) -> bool:
    """Tell whether *printed* is what was *shown*, in which ``...`` stands for anything."""
    pattern = ".*?".join(map(re.escape, _stripped(shown).split("...")))
    return re.fullmatch(pattern, _stripped(printed), re.DOTALL) is not None


def _stripped(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip("\n").split("\n"))


class Terminal:
    """
    One shell, and what is printed there, by commands in the background too.

    Args:
        directory: Where it starts; its PATH begins with this Python's, and ours.
    """

    def __init__(self, directory: Path) -> None:
        programs = Path(__file__).parent / "bin"  # ngkctl and ngkhook, where they are not installed
        path = os.pathsep.join([os.path.dirname(sys.executable), str(programs), os.environ["PATH"]])
        self._directory = directory
        self._shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env={
                **os.environ,
                "PATH": path,
                "PYTHONPATH": str(ROOT),
                "LC_ALL": "C.UTF-8",
                "NGD_SOCKET": f"{tempfile.gettempdir()}/ngd-{os.getpid()}-docs.sock",
            },
            start_new_session=True,
            bufsize=0,
        )

    def run(self, command: str, shown: str) -> None:
        """
        Run *command*, and wait until all of what is *shown* was printed.

        Raises:
            AssertionError: Something else was.
        """
        assert self._shell.stdin is not None
        # The status is kept, for ``echo $?`` may be what comes next.
        tail = f'_status=$?; echo "{MARK}"; (exit $_status)'
        self._shell.stdin.write(f"{command}\n{tail}\n".encode())
        printed = ""
        ended = False
        deadline = time.monotonic() + SECONDS
        while not ended or not alike(shown, printed):
            more = self._read(deadline - time.monotonic())
            if not more:
                raise AssertionError(f"$ {command}\nprinted:\n{printed}\ninstead of:\n{shown}")
            printed += more
            if f"{MARK}\n" in printed:
                printed = printed.replace(f"{MARK}\n", "")
                ended = True

    def _read(self, seconds: float) -> str:
        assert self._shell.stdout is not None
        ready, _, _ = select.select([self._shell.stdout], [], [], max(seconds, 0))
        return os.read(self._shell.stdout.fileno(), 1 << 16).decode() if ready else ""

    def close(self) -> None:
        """Kill everything that was started here."""
        for path in self._directory.glob("*.pid"):
            with suppress(OSError, ValueError):
                os.kill(int(path.read_text()), signal.SIGKILL)
        with suppress(ProcessLookupError):
            os.killpg(self._shell.pid, signal.SIGKILL)
        for stream in (self._shell.stdin, self._shell.stdout):
            assert stream is not None
            stream.close()
        self._shell.wait()
