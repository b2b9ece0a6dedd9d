"""Running the console programs in processes of their own, also at a terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Sequence

from tests.client.daemon import Daemon
from tests.integration.service import DEADLINE, environment, until

NGKCTL = (sys.executable, "-m", "ngksock.ctl")
NGKHOOK = (sys.executable, "-m", "ngksock.ctl.ngkhook")


def variables(path: str) -> dict[str, str]:
    """Return the environment of a program for the daemon at *path*."""
    return {**environment(), "NGD_SOCKET": path, "HOME": "/nowhere", "PROMPT_TOOLKIT_NO_CPR": "1"}


def run(
    running: Daemon | str, program: Sequence[str], *words: str, given: bytes = b""
) -> tuple[int, bytes, bytes]:
    """Run a program to its end; return its status, output and complaints."""
    path = running if isinstance(running, str) else running.path
    done = subprocess.run(
        [*program, *words], env=variables(path), input=given, capture_output=True, timeout=DEADLINE
    )
    return done.returncode, done.stdout, done.stderr


class Terminal:
    """
    A program at a terminal.

    Args:
        path: The daemon's socket.
        words: The program and its arguments.
        term: The terminal's kind.
    """

    def __init__(self, path: str, *words: str, term: str = "dumb") -> None:
        self.pid, self.fd = pty.fork()
        if not self.pid:
            try:
                os.execve(words[0], words, {**variables(path), "TERM": term})
            finally:
                os._exit(127)
        self.screen = ""
        self._seen = 0

    def type(self, text: str) -> None:
        """Type *text*."""
        os.write(self.fd, text.encode())

    def wait_for(self, pattern: str) -> str:
        """Wait until *pattern* is on the screen behind what was waited for before."""
        end = time.monotonic() + DEADLINE
        while not (found := re.search(pattern, self.screen[self._seen :])):
            if time.monotonic() > end or not self._read():
                raise AssertionError(f"{pattern!r} is not in {self.screen[self._seen :]!r}")
        self._seen += found.end()
        return found[0]

    def _read(self) -> bool:
        if not select.select([self.fd], [], [], DEADLINE)[0]:
            return False
        try:
            raw = os.read(self.fd, 65536)
        except OSError:  # what Linux says at the end of a terminal
            return False
        text = raw.decode("utf-8", "replace").replace("\r\n", "\n")
        self.screen += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
        return bool(raw)

    def interrupt(self) -> None:
        """Type Ctrl-C until there is a prompt: readline loses one that comes while it begins."""
        end = time.monotonic() + DEADLINE
        while not re.search(r"\+ $", self.screen[self._seen :]):
            if time.monotonic() > end:
                raise AssertionError(f"no prompt in {self.screen[self._seen :]!r}")
            self.type("\x03")
            while select.select([self.fd], [], [], 0.5)[0] and self._read():
                pass
        self._seen = len(self.screen)

    def leave(self) -> int:
        """Type Ctrl-D at the prompt; return the exit code."""
        # Before the prompt is there the terminal would take it for itself.
        self.wait_for(r"\+ $")
        self.type("\x04")
        return self.ended()

    def ended(self) -> int:
        """Wait for the end of the program; return its exit code."""
        while self._read():
            pass
        status = until(self._status, "the end of the program")
        return os.waitstatus_to_exitcode(status[0])

    def _status(self) -> list[int]:
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if not pid:
            return []
        os.close(self.fd)
        self.pid = 0
        return [status]

    def kill(self) -> None:
        """End it if nothing else has."""
        if self.pid:
            os.kill(self.pid, 9)
            self.ended()
