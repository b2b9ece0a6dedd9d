"""
Argument types: one object converts text, Python value and bytes (spec section 6).

A `ParseType` has two faces.  `parse`, `unparse`, `pack` and `unpack` convert a
whole argument.  The hooks `scan`, `show`, `write`, `read`, `default` and `skip`
convert one value inside a larger one; a type with a syntax of its own
overrides them.  `scalars`, `arrays` and `structure` have the types there are;
node authors import them from `layout`.
"""

from __future__ import annotations

from collections.abc import Mapping
from errno import EINVAL, ERANGE
from typing import Any, Generic, TypeVar

from ngksock.netgraph.lexer import MAX_OUTPUT, Lexer, ParseError

__all__ = ["ParseType", "Reader", "Seen", "pad", "scan_value", "skip_value", "weight"]

T = TypeVar("T")

Seen = Mapping[str, Any]
"""The values of the fields declared earlier in the enclosing struct, by Python name."""


class Reader:
    """
    A cursor over the bytes of an argument.

    Args:
        data: All bytes of the argument; alignments count from their start.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.pos = 0

    @property
    def left(self) -> int:
        """How many bytes follow."""
        return len(self.data) - self.pos

    def take(self, count: int) -> bytes:
        """Take *count* bytes; EINVAL if fewer are left."""
        if count > self.left:
            raise OSError(
                EINVAL,
                f"the argument is too short: {count} bytes wanted at {self.pos}, {self.left} left",
            )
        self.pos += count
        return self.data[self.pos - count : self.pos]

    def align(self, align: int) -> None:
        """Skip padding up to a multiple of *align*; EINVAL if it is cut off."""
        self.take(-self.pos % align)


def pad(out: bytearray, align: int) -> None:
    """Append zero bytes up to a multiple of *align*."""
    out.extend(bytes(-len(out) % align))


class ParseType(Generic[T]):
    """
    How one kind of argument looks as text, as a Python value, and as bytes.

    ``align`` is the alignment, ``size`` the number of bytes or None if it
    varies, ``minsize`` the least number of bytes.  ``greedy`` marks a type that
    takes all bytes left: it can only come last.

    A type of one's own overrides `scan`, `show`, `write`, `read` and `shape`;
    `default` if a value may be left out; `skip` if a value is neither one word,
    nor one string, nor within one pair of brackets.  Whatever OSError `scan`
    raises gets the position of the value as its offset.
    """

    align: int = 1
    size: int | None = None
    greedy: bool = False
    steady: bool = False
    """Whether what this very class reads depends on text or bytes alone (see `lasts`)."""

    @property
    def minsize(self) -> int:
        """The least number of bytes a value takes."""
        return self.size or 0

    def parse(self, text: str) -> T:
        """
        Read a whole argument.

        Args:
            text: The argument as latin-1 code points.

        Raises:
            ParseError: with the errnos listed there.
        """
        lexer = Lexer(text)
        value = scan_value(self, lexer, {})
        lexer.end()
        try:
            size = self.size if self.size is not None else len(self.pack(value))
        except OSError as error:
            raise _located(error, 0) from error
        if size > MAX_OUTPUT:
            raise ParseError(ERANGE, f"the value takes {size} bytes of at most {MAX_OUTPUT}", 0)
        return value

    def unparse(self, value: T) -> str:
        """Write *value* as text that `parse` reads back; EINVAL if it is no legal value."""
        return self.show(value, {})

    def pack(self, value: T) -> bytes:
        """Write *value* as bytes; EINVAL if it is no legal value."""
        out = bytearray()
        self.write(value, out, {})
        return bytes(out)

    def unpack(self, data: bytes) -> T:
        """
        Read a whole argument from its bytes.

        Raises:
            OSError: EINVAL, *data* is too short, or bytes are left over.
        """
        reader = Reader(data)
        value = self.read(reader, {})
        if reader.left:
            raise OSError(
                EINVAL,
                f"the argument is too long: {len(data)} bytes, {reader.pos} expected",
            )
        return value

    def lasts(self, text: str) -> bool:
        """Tell whether *text* means the same bytes at any time, and they the same: to be kept."""
        # A subclass may read by rules of its own: it has to say so anew.
        return vars(type(self)).get("steady", False) is True

    def shape(self) -> str:
        """Tell what the text looks like, for help and manual pages."""
        raise NotImplementedError

    def scan(self, text: Lexer, seen: Seen) -> T:
        """Read a value from *text*, up to its end and no further."""
        raise NotImplementedError

    def show(self, value: T, seen: Seen) -> str:
        """Write *value* as text."""
        raise NotImplementedError

    def write(self, value: T, out: bytearray, seen: Seen) -> None:
        """Append *value* to *out*, which is already aligned."""
        raise NotImplementedError

    def read(self, data: Reader, seen: Seen) -> T:
        """Take a value from *data*, which is already aligned."""
        raise NotImplementedError

    def default(self, seen: Seen) -> T | None:
        """Make the value of a field that is left out; None if it must be given."""
        return None

    def is_default(self, value: T, seen: Seen) -> bool:
        """Tell whether a field with *value* may be left out of the text."""
        default = self.default(seen)
        return default is not None and value == default

    def skip(self, text: Lexer) -> None:
        """
        Move to the end of a value, whose earlier fields are not known yet.

        A type with brackets or blanks of its own may ``self.scan(text, {})``.
        """
        text.skip()


def scan_value(kind: ParseType[T], text: Lexer, seen: Seen) -> T:
    """Read a value with *kind*; an OSError without an offset gets the value's position."""
    at = text.blanks()
    try:
        return kind.scan(text, seen)
    except OSError as error:
        raise _located(error, at) from error


def skip_value(kind: ParseType[T], text: Lexer) -> None:
    """Skip a value with *kind*, which may scan it to do so; errors as with `scan_value`."""
    at = text.blanks()
    try:
        kind.skip(text)
    except OSError as error:
        raise _located(error, at) from error


def weight(kind: ParseType[T], value: T, seen: Seen) -> int:
    """How many bytes *value* takes, at least 1."""
    size = kind.size
    if size is None:
        out = bytearray()
        kind.write(value, out, seen)
        size = len(out)
    return max(size, 1)


def _located(error: OSError, at: int) -> ParseError:
    if isinstance(error, ParseError):
        return error
    return ParseError(error.errno or EINVAL, error.strerror or str(error), at)
