"""Command files: reading them, and saying where in them something is wrong.

A file is bytes; its text is those bytes as latin-1, so that a character of a
line is a byte of the file and a position is a column.  A last ``\\`` joins a
line with the next, nothing between them; comments do not continue.
"""

from __future__ import annotations

import os
import re
import sys
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from errno import EBADF
from typing import BinaryIO, Final

__all__ = ["LINE_MAX", "STDIN", "Library", "Line", "Problem", "Script", "legible"]

LINE_MAX: Final = 1 << 20
"""Most bytes in a line, continuations included."""
FILE_MAX: Final = 1 << 24
"""Most bytes in a file; an endless one must end somewhere."""
STDIN: Final = "<stdin>"
TEXT_MAX: Final = 500
_BOM: Final = b"\xef\xbb\xbf"
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")


def legible(text: str) -> str:
    """Return *text*, latin-1 characters for bytes, as a person reads it: UTF-8, no controls."""
    with suppress(UnicodeError):  # it is latin-1, or a message of our own
        text = text.encode("latin-1").decode("utf-8")
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def _shortened(text: str) -> str:
    half = TEXT_MAX // 2
    return text if len(text) <= TEXT_MAX else f"{text[:half]}...{text[-half:]}"


@dataclass(frozen=True)
class Problem:
    """
    What is wrong, where, and with which exit code the service ends for it.

    ``line`` and ``column`` count from 1; a ``line`` of 0 means the whole file.
    ``origin`` is the place from which the file was read, if not the command line.
    """

    file: str
    line: int
    column: int
    text: str
    remedy: str = ""
    code: int = 65
    origin: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        parts = [_shortened(self.text), _shortened(self.remedy)]
        if self.origin:
            parts.append(f"read from {self.origin}")
        return f"{place}: {legible('; '.join(part for part in parts if part))}"


@dataclass(frozen=True, slots=True)
class Line:
    """
    A logical line.

    ``starts`` holds where in ``text`` each physical line begins, and
    ``number`` is that of the first of them.
    """

    text: str
    number: int
    starts: tuple[int, ...] = (0,)

    def place(self, at: int) -> tuple[int, int]:
        """Return line and column, from 1, of the position *at* in the text."""
        part = bisect_right(self.starts, at) - 1
        return self.number + part, at - self.starts[part] + 1


@dataclass
class Script:
    """
    The commands of one file.

    Args:
        shown: The file's name in messages.
        path: Its real path, or `STDIN`.
        directory: Where the relative names in it begin.
        lines: Its lines, without comments and blank ones.
        problem: Why what follows ``lines`` could not be read, if so.
    """

    shown: str
    path: str
    directory: str
    lines: list[Line] = field(default_factory=list)
    problem: Problem | None = None

    def resolve(self, name: str) -> str:
        """Return the absolute path of the file that *name* is in this one."""
        return os.path.join(self.directory, os.fsdecode(name.encode("latin-1")))

    def show(self, name: str) -> str:
        """Return how messages call the file that *name* is in this one."""
        typed = "" if self.path == STDIN else os.path.dirname(self.shown)
        return os.path.join(typed, os.fsdecode(name.encode("latin-1")))

    def fill(self, stream: BinaryIO) -> None:
        """
        Read the lines of *stream*, up to the end or to what cannot be a line.

        Raises:
            OSError: The system's own.
        """
        try:
            self.lines.extend(_join(self._physical(stream)))
        except _TextError as bad:
            self.problem = Problem(self.shown, bad.line, bad.column, bad.text, bad.remedy)

    def _physical(self, stream: BinaryIO) -> Iterator[tuple[int, str]]:
        """Yield the numbers and texts of the lines, in which nothing is unreadable."""
        number = total = 0
        while raw := stream.readline(LINE_MAX + 2):
            number += 1
            total += len(raw)
            if number == 1 and raw.startswith(_BOM):
                raw = b"   " + raw[3:]
            nul = raw.find(b"\0")
            if nul >= 0:
                remedy = "commands are plain text"
                raise _TextError(number, nul + 1, "a NUL byte: this is a binary file", remedy)
            line = raw.removesuffix(b"\n").removesuffix(b"\r")
            if len(line) > LINE_MAX:
                raise _TextError(number, LINE_MAX + 1, f"the line is longer than {LINE_MAX} bytes")
            if total > FILE_MAX:
                raise _TextError(number, 1, f"the file is larger than {FILE_MAX} bytes")
            yield number, line.decode("latin-1")


class _TextError(Exception):
    def __init__(self, line: int, column: int, text: str, remedy: str = "") -> None:
        super().__init__(line, column, text, remedy)
        self.line, self.column, self.text, self.remedy = line, column, text, remedy


def _join(physical: Iterator[tuple[int, str]]) -> Iterator[Line]:
    """Yield logical lines: continued ones joined, comments and blank ones left out."""
    for first, text in physical:
        if text.lstrip(" \t\r\v\f")[:1] in ("", "#"):
            continue
        parts, starts, length = [], [0], 0
        number = first
        while text.endswith("\\"):
            parts.append(text[:-1])
            length += len(text) - 1
            number, text = next(physical, (number, ""))
            if length + len(text) > LINE_MAX:
                column = LINE_MAX - length + 1
                raise _TextError(
                    number,
                    column,
                    f"the line, from line {first} on, is longer than {LINE_MAX} bytes",
                )
            starts.append(length)
        yield Line("".join([*parts, text]), first, tuple(starts))


class Library:
    """
    All files that the commands of a service name, each read once.

    What was read while the files were checked is what is applied later, when
    twistd has changed its directory, its root or its user.

    Args:
        stdin: What the name ``-`` stands for; None: this process's.

    """

    def __init__(self, stdin: BinaryIO | None = None, directory: str | None = None) -> None:
        self._stdin = stdin
        self.directory = os.getcwd() if directory is None else directory
        self._scripts: dict[str, Script] = {}
        self._loaded: dict[str, bytes] = {}

    def script(self, name: str, inside: Script | None = None) -> Script:
        """
        Return a command file.

        Args:
            name: As typed on the command line, or as a command names it.
            inside: The file in which that command stands.

        Raises:
            OSError: Missing, unreadable, a directory.
        """
        if inside is not None:
            shown, path = inside.show(name), inside.resolve(name)
        elif name == "-":
            shown = path = STDIN
        else:
            shown, path = name, os.path.join(self.directory, name)
        found = self._scripts.get(path)
        if found is None:
            real = path if path == STDIN else os.path.realpath(path)
            directory = self.directory if path == STDIN else os.path.dirname(path)
            found = Script(shown, real, directory)
            with self._open(path) as stream:
                found.fill(stream)
            self._scripts[path] = found
        return found

    def _open(self, path: str) -> AbstractContextManager[BinaryIO]:
        if path != STDIN:
            return open(path, "rb")
        stdin = self._stdin
        if stdin is None and sys.stdin is not None:
            stdin = sys.stdin.buffer
        if stdin is None:
            raise OSError(EBADF, os.strerror(EBADF))
        return nullcontext(stdin)

    def load(self, name: str, size: int, inside: Script) -> bytes:
        """
        Return the first *size* bytes of a file that a command names.

        Raises:
            OSError: Missing, unreadable, a directory.
        """
        path = inside.resolve(name)
        data = self._loaded.get(path)
        if data is None:
            with open(path, "rb") as stream:
                data = self._loaded[path] = stream.read(size)
        return data
