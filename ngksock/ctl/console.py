"""What console programs share: exit codes, output in bytes, and how they attach."""

from __future__ import annotations

import os
import select
import sys
import time
from contextlib import suppress
from errno import EPERM
from typing import BinaryIO, Final, TextIO

from ngksock.client import NoAnswerError, NoDaemonError, NodeSocket

__all__ = [
    "CANNOT_OPEN",
    "FAILED",
    "LATE",
    "NO_DAEMON",
    "REFUSED",
    "USAGE",
    "Console",
    "StartError",
]

USAGE: Final = 64
CANNOT_OPEN: Final = 66
NO_DAEMON: Final = 69
FAILED: Final = 71
LATE: Final = 75
REFUSED: Final = 77

TIMEOUT: Final = 10.0
"""Seconds that the daemon may take to answer."""
QUEUE: Final = 1 << 20
"""Bytes for what waits: a list of some thousand nodes is one message."""


class StartError(Exception):
    """The program cannot begin, or not go on: a sentence, and its exit code."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


class Console:
    """
    Standard output and error, in the language of the graph.

    Strings are latin-1 characters for bytes, as names in the graph are; so
    UTF-8 goes through unharmed.

    Args:
        program: The name of the program, in front of its complaints.
        out: Standard output.
        err: Standard error.
    """

    def __init__(
        self, program: str, out: BinaryIO | None = None, err: BinaryIO | None = None
    ) -> None:
        self.program = program
        self.out = _stream(sys.stdout) if out is None else out
        self.err = _stream(sys.stderr) if err is None else err

    def say(self, text: str) -> None:
        """Print *text* and a newline; StartError if there is no room for it."""
        try:
            self.out.write(as_bytes(f"{text}\n"))
            self.out.flush()
        except OSError as error:
            raise StartError(f"standard output: {error.strerror}", FAILED) from error

    def complain(self, text: str) -> None:
        """Print a line to standard error, behind the program's name."""
        self.remark(f"{self.program}: {text}")

    def remark(self, text: str) -> None:
        """Print a line to standard error, if there is room for it."""
        with suppress(OSError):
            self.err.write(as_bytes(f"{text}\n"))
            self.err.flush()


def _stream(stream: TextIO | None) -> BinaryIO:
    """Return the bytes below *stream*; None, it was closed before we began, takes all."""
    return open(os.devnull, "wb") if stream is None else stream.buffer


def as_bytes(text: str) -> bytes:
    """Return the bytes of *text*, of which a foreign part may not be latin-1."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape")


def as_text(word: str) -> str:
    """Return a word of the command line in the language of the graph."""
    return os.fsencode(word).decode("latin-1")


def seconds(text: str, letter: str) -> float:
    """Return a time that an option gives."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e9:  # neither nan nor inf
        raise StartError(f'-{letter}: "{text}" is no number of seconds', USAGE)
    return value


def whole(text: str, letter: str) -> int:
    """Return a number of at least 1 that an option gives."""
    if not (text.isascii() and text.isdecimal() and int(text[:19]) > 0):
        raise StartError(f'-{letter}: "{text}" is no number above 0', USAGE)
    return int(text[:19])


def code_of(error: OSError) -> int:
    """Return the exit code for an error of the connection to the daemon."""
    if isinstance(error, NoDaemonError):
        return NO_DAEMON
    return LATE if isinstance(error, NoAnswerError) else FAILED


def attach(path: str, name: str, wait: float | None = 0.0) -> NodeSocket:
    """
    Make a node of that name.

    Args:
        path: The daemon's socket.
        name: The node's.
        wait: Seconds to wait for a daemon; None: for ever.

    Raises:
        StartError: It cannot be made.
    """
    end = None if wait is None else time.monotonic() + wait
    try:
        while True:
            try:
                node = NodeSocket(path, TIMEOUT, QUEUE)
                break
            except NoDaemonError:
                if end is not None and time.monotonic() >= end:
                    raise
            select.select((), (), (), 0.05)
    except PermissionError as error:
        said = error.strerror or ""
        if said == os.strerror(EPERM):
            said = f"the daemon at {path} does not let this user in: {said}"
        raise StartError(said, REFUSED) from error
    except (NoDaemonError, NoAnswerError) as error:
        raise StartError(f"{error.strerror}", LATE if wait else code_of(error)) from error
    except OSError as error:
        raise StartError(f"can't create node: {error.strerror}", FAILED) from error
    try:
        node.bind(name)
    except OSError as error:
        node.close()
        raise StartError(f"can't create node: {error.strerror}", FAILED) from error
    return node
