"""Reading command files, a logical line at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

__all__ = ["logical_lines"]


def logical_lines(stream: BinaryIO) -> Iterator[tuple[int, str]]:
    """
    Yield the lines of *stream* with their numbers, blank ones and comments left out.

    A last ``\\`` joins a line with the next.  Each line is yielded before the
    next is read: commands that come through a pipe are carried out as they come.
    """
    number = 0
    for raw in stream:
        number += 1
        first, text = number, _text(raw, number)
        if text.lstrip(" \t\r\v\f")[:1] in ("", "#"):
            continue
        while text.endswith("\\"):
            number += 1
            text = text[:-1] + _text(stream.readline(), number)
        yield first, text


def _text(raw: bytes, number: int) -> str:
    if number == 1:
        raw = raw.removeprefix(b"\xef\xbb\xbf")
    return raw.removesuffix(b"\n").removesuffix(b"\r").decode("latin-1")
