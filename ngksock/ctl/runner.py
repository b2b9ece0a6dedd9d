"""Carrying out lines and files, and saying what went wrong as ngctl says it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from errno import EINVAL, ELOOP
from typing import TYPE_CHECKING, BinaryIO, Final

from ngksock.ctl.console import FAILED, USAGE, Console, as_bytes, code_of
from ngksock.ctl.lines import logical_lines
from ngksock.netgraph.ngctl import LineError, Quit, Word

if TYPE_CHECKING:
    from ngksock.ctl.commands import ConsoleSession

__all__ = ["FullError", "Runner"]

NESTED_MAX: Final = 16
"""How deep files may read each other."""


class FullError(LineError):
    """An error whose text says all there is to say."""


class _ReadError(LineError):
    """A line of a file that a command read failed, and was complained of."""

    def __init__(self, code: int) -> None:
        super().__init__(EINVAL, "error in file")
        self.code = code


class Runner:
    """
    Carries out commands and complains of those that fail.

    ``session`` carries out a line; it is set once both are made.

    Args:
        console: Takes output and complaints.
    """

    session: ConsoleSession

    def __init__(self, console: Console) -> None:
        self.console = console
        self._depth = 0

    def words(self, words: list[Word]) -> int:
        """Carry out the command that *words* are; return the exit status."""
        try:
            return self._attempt(lambda: self.session.run_words(words))
        except Quit:
            return 0

    def line(self, text: str) -> int:
        """Carry out a line; return the exit status; raises Quit."""
        return self._attempt(lambda: self.session.run(text))

    def stream(self, file: BinaryIO) -> int:
        """Carry out the lines of *file* until one fails; return the exit status."""
        try:
            with file:
                return self._lines(logical_lines(file))
        except Quit:
            return 0

    def _lines(self, lines: Iterable[tuple[int, str]]) -> int:
        try:
            for number, text in lines:
                if code := self.line(text):
                    self.console.complain(f"line {number}: error in file")
                    return code
        except OSError as error:  # a folder, or a disk that fails
            self.console.complain(f"{error.strerror}")
            return FAILED
        return 0

    def _attempt(self, do: Callable[[], None]) -> int:
        try:
            do()
        except _ReadError as error:
            return error.code
        except LineError as error:
            for sentence in _sentences(error):
                self.console.complain(sentence)
            return _code(error)
        return 0

    # -- what the session asks of files

    def run(self, name: str) -> None:
        """Run the command file *name*."""
        if self._depth >= NESTED_MAX:
            raise FullError(ELOOP, f"{name}: files read each other more than {NESTED_MAX} deep")
        try:
            file = open(as_bytes(name), "rb")  # noqa: SIM115 - closed below
        except OSError as error:
            raise FullError(error.errno or EINVAL, f"{name}: {error.strerror}") from error
        self._depth += 1
        try:
            with file:
                code = self._lines(logical_lines(file))
        finally:
            self._depth -= 1
        if code:
            raise _ReadError(code)

    def load(self, name: str, size: int) -> bytes:
        """Return the beginning of the file *name*."""
        try:
            with open(as_bytes(name), "rb") as file:
                data = file.read(size)
        except OSError as error:
            text = f'can\'t read file "{name}": {error.strerror}'
            raise FullError(error.errno or EINVAL, text) from error
        if not data:
            raise FullError(EINVAL, f'file "{name}" is empty')
        return data

    def save(self, name: str, text: str) -> None:
        """Write *text* to the file *name*."""
        try:
            with open(as_bytes(name), "wb") as file:
                file.write(as_bytes(text))
        except OSError as error:
            raise FullError(error.errno or EINVAL, f"{name}: {error.strerror}") from error


def _sentences(error: LineError) -> list[str]:
    """Return what is said of *error*: ngctl's own line, and one that helps."""
    said = error.strerror or ""
    number = error.errno or EINVAL
    cause = error.__cause__
    if error.syntax or isinstance(error, FullError):
        return list(filter(None, [said, error.remedy]))
    system = os.strerror(number)
    if isinstance(cause, OSError) and code_of(cause) != FAILED:
        return [f"recv msg: {said}"]
    what = "shutdown" if error.command == "shutdown" else "send msg"
    more = "; ".join(filter(None, ["" if said == system else said, error.remedy]))
    return list(filter(None, [f"{what}: {system}", more]))


def _code(error: LineError) -> int:
    if error.syntax and (error.strerror or "").startswith("usage: "):
        return USAGE
    cause = error.__cause__
    return code_of(cause) if isinstance(cause, OSError) else FAILED
