"""Arrays of any type, and byte arrays (spec sections 6.3, 6.6 and 6.8)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from errno import E2BIG, EALREADY, EINVAL, EOPNOTSUPP, ERANGE
from typing import Final, TypeVar

from ngksock.netgraph.lexer import MAX_OUTPUT, Lexer, ParseError, excerpt
from ngksock.netgraph.parse import ParseType, Reader, Seen, pad, scan_value, weight
from ngksock.netgraph.scalars import HEX8, INT32, UINT32, IntType, not_a_number, number
from ngksock.netgraph.structure import Struct

__all__ = ["Count", "Counted", "CountedBytes", "FixedArray", "FixedBytes", "Prefixed", "Rest"]

T = TypeVar("T")

Count = str | Callable[[Seen], int]
"""
Where a length comes from: an earlier field of the struct (``"n"``, or
``"nodeinfo.hooks"`` for a field of a field), or a callable of the earlier values.
"""


def _length(count: Count, seen: Seen) -> int:
    if callable(count):
        length, source = count(seen), "the length"
    else:
        first, *path = count.split(".")
        length, source = seen[first], count
        for name in path:
            length = getattr(length, name)
    if length < 0:
        raise OSError(EINVAL, f"{source} is {length}, which is no number of elements")
    return length


def _check_length(given: int, wanted: int) -> None:
    if given != wanted:
        raise OSError(EINVAL, f"the array has {given} elements, its length is {wanted}")


def _element(kind: ParseType[T] | type[T]) -> ParseType[T]:
    element = kind if isinstance(kind, ParseType) else Struct(kind)
    if element.greedy:
        raise TypeError("a type that takes all bytes left cannot be an element")
    return element


def _scan_items(text: Lexer, element: ParseType[T], limit: int, seen: Seen) -> dict[int, T]:
    """Read an array of at most *limit* elements and return what is given, by index."""
    text.open("[", 'an array in "[ ]"')
    items: dict[int, T] = {}
    index = 0
    while not text.at_close():
        at = text.blanks()
        key = text.key()
        if key is not None:
            given = number(key[0])
            if given is None:
                raise not_a_number(key[0], at)
            if given < 0 or key[0][0] in "+-":
                raise ParseError(EINVAL, f"index {excerpt(key[0])} has a sign", at)
            index = given
        if index >= limit:
            shown = str(index) if key is None else excerpt(key[0])
            raise ParseError(
                E2BIG, f"index {shown} is too large: the array holds {limit} elements", at
            )
        if index in items:
            raise ParseError(EALREADY, f"element {index} is given twice", at)
        items[index] = scan_value(element, text, seen)
        index += 1
    text.close()
    return items


def _show_items(values: Sequence[T], element: ParseType[T], keep_last: bool, seen: Seen) -> str:
    """Write what differs from its default; *keep_last* where only the text tells the length."""
    parts = []
    follows = 0
    for index, value in enumerate(values):
        last = keep_last and index == len(values) - 1
        if last or not element.is_default(value, seen):
            shown = element.show(value, seen)
            parts.append(shown if index == follows else f"{index}={shown}")
            follows = index + 1
    return f"[ {' '.join(parts)} ]" if parts else "[]"


class _Array(ParseType[list[T]]):
    """What the arrays share; subclasses tell the length."""

    def __init__(self, element: ParseType[T] | type[T]) -> None:
        self.element = _element(element)
        self.align = self.element.align

    def length(self, seen: Seen) -> int:
        """How many elements there are."""
        raise NotImplementedError

    def scan(self, text: Lexer, seen: Seen) -> list[T]:
        at = text.blanks()
        count = self.length(seen)
        return self._filled(_scan_items(text, self.element, count, seen), count, text, at, seen)

    def _filled(self, items: dict[int, T], count: int, text: Lexer, at: int, seen: Seen) -> list[T]:
        missing = count - len(items)
        if missing:
            text.spend(missing, at)
            default = self.element.default(seen)
            if default is None:
                index = next(index for index in range(count) if index not in items)
                raise ParseError(EOPNOTSUPP, f"element {index} is missing and has no default", at)
            text.spend(missing * (weight(self.element, default, seen) - 1), at)
        # Every element is an object of its own: a struct may be changed later.
        return [self._item(items, index, seen) for index in range(count)]

    def _item(self, items: dict[int, T], index: int, seen: Seen) -> T:
        item = items[index] if index in items else self.element.default(seen)
        assert item is not None, "the element has a default"
        return item

    def lasts(self, text: str) -> bool:
        if type(self) not in _STEADY:
            return False
        count: object = getattr(self, "count", None)
        # What is called may count by whatever it likes.
        counted = count.lasts(text) if isinstance(count, ParseType) else not callable(count)
        return counted and self.element.lasts(text)

    def show(self, value: list[T], seen: Seen) -> str:
        _check_length(len(value), self.length(seen))
        return _show_items(value, self.element, False, seen)

    def write(self, value: list[T], out: bytearray, seen: Seen) -> None:
        _check_length(len(value), self.length(seen))
        for item in value:
            pad(out, self.element.align)
            self.element.write(item, out, seen)
        pad(out, self.align)

    def read(self, data: Reader, seen: Seen) -> list[T]:
        return self._read_items(self.length(seen), data, seen)

    def _read_items(self, count: int, data: Reader, seen: Seen) -> list[T]:
        # Checked before the loop: a count of four thousand million must not cost anything.
        least = count * self.element.minsize
        if least > data.left or (count > data.left and count > MAX_OUTPUT):
            raise OSError(
                EINVAL,
                f"the argument is too short: {count} elements do not fit {data.left} bytes",
            )
        items = []
        for _ in range(count):
            data.align(self.element.align)
            items.append(self.element.read(data, seen))
        data.align(self.align)
        return items

    def default(self, seen: Seen) -> list[T] | None:
        count = self.length(seen)
        items = []
        if count * max(self.element.minsize, 1) > MAX_OUTPUT:
            raise OSError(ERANGE, f"{count} elements take more than {MAX_OUTPUT} bytes")
        for _ in range(count):
            item = self.element.default(seen)
            if item is None:
                return None
            items.append(item)
        return items

    def is_default(self, value: list[T], seen: Seen) -> bool:
        # Without default(): a wrong count of a caller's value must not allocate anything.
        return len(value) == self.length(seen) and all(
            self.element.is_default(item, seen) for item in value
        )

    def shape(self) -> str:
        return f"[ {self.element.shape()} ... ]"


class FixedArray(_Array[T]):
    """
    An array of a fixed number of elements; its value is a list.

    Args:
        element: Type of the elements, or a dataclass.
        count: How many there are.
    """

    def __init__(self, element: ParseType[T] | type[T], count: int) -> None:
        super().__init__(element)
        self.count = count
        if self.element.size is not None:
            self.size = count * (self.element.size + -self.element.size % self.align)

    @property
    def minsize(self) -> int:
        return self.count * self.element.minsize

    def length(self, seen: Seen) -> int:
        """How many elements there are."""
        return self.count

    def shape(self) -> str:
        return f"[ {self.element.shape()} x {self.count} ]"


class Counted(_Array[T]):
    """
    An array whose length an earlier field of the struct tells; its value is a list.

    Args:
        element: Type of the elements, or a dataclass.
        count: Name of the field, or a callable (see `Count`).

    The field is printed like any other.  A list of another length than the
    field says is EINVAL when it is packed or printed.
    """

    def __init__(self, element: ParseType[T] | type[T], count: Count) -> None:
        super().__init__(element)
        self.count = count

    def length(self, seen: Seen) -> int:
        """How many elements the earlier fields announce; EINVAL if less than none."""
        return _length(self.count, seen)


class Prefixed(_Array[T]):
    """
    An array that carries its length in its bytes, and shows none in its text.

    Args:
        element: Type of the elements, or a dataclass.
        count: Type of the length in front of the elements, an unsigned one.

    In text the length is the highest index + 1, so the last element is always
    printed.
    """

    def __init__(self, element: ParseType[T] | type[T], count: IntType = UINT32) -> None:
        super().__init__(element)
        if count.form == "int":
            raise TypeError("a length has no sign")
        self.count = count
        self.align = max(self.element.align, count.align)

    @property
    def minsize(self) -> int:
        return self.count.minsize

    @property
    def _most(self) -> int:
        return min((1 << self.count.bits) - 1, MAX_OUTPUT)

    def scan(self, text: Lexer, seen: Seen) -> list[T]:
        at = text.blanks()
        items = _scan_items(text, self.element, self._most, seen)
        return self._filled(items, max(items, default=-1) + 1, text, at, seen)

    def show(self, value: list[T], seen: Seen) -> str:
        return _show_items(value, self.element, True, seen)

    def write(self, value: list[T], out: bytearray, seen: Seen) -> None:
        self.count.write(len(value), out, seen)
        for item in value:
            pad(out, self.element.align)
            self.element.write(item, out, seen)
        pad(out, self.align)

    def read(self, data: Reader, seen: Seen) -> list[T]:
        return self._read_items(self.count.read(data, seen), data, seen)

    def default(self, seen: Seen) -> list[T]:
        return []

    def is_default(self, value: list[T], seen: Seen) -> bool:
        return not value


_STEADY: Final = (FixedArray, Counted, Prefixed)


class CountedBytes(ParseType[bytes]):
    """
    A byte array whose length an earlier field of the struct tells.

    Args:
        count: Name of the field, or a callable (see `Count`).

    Text is an array of numbers or a quoted string, zero filled; it prints as an
    array.  More bytes than the length is E2BIG.
    """

    steady = True

    def __init__(self, count: Count) -> None:
        self.count = count

    def length(self, seen: Seen) -> int:
        """How many elements the earlier fields announce; EINVAL if less than none."""
        return _length(self.count, seen)

    def lasts(self, text: str) -> bool:
        return isinstance(self.count, str) and super().lasts(text)

    def scan(self, text: Lexer, seen: Seen) -> bytes:
        at = text.blanks()
        count = self.length(seen)
        data = _scan_bytes(text, count, seen)
        text.spend(count - len(data), at)
        return data.ljust(count, b"\0")

    def show(self, value: bytes, seen: Seen) -> str:
        _check_length(len(value), self.length(seen))
        return _show_items(value, HEX8, False, seen)

    def write(self, value: bytes, out: bytearray, seen: Seen) -> None:
        _check_length(len(value), self.length(seen))
        out.extend(value)

    def read(self, data: Reader, seen: Seen) -> bytes:
        return data.take(self.length(seen))

    def default(self, seen: Seen) -> bytes:
        count = self.length(seen)
        if count > MAX_OUTPUT:
            raise OSError(ERANGE, f"{count} elements take more than {MAX_OUTPUT} bytes")
        return bytes(count)

    def is_default(self, value: bytes, seen: Seen) -> bool:
        return len(value) == self.length(seen) and not any(value)

    def shape(self) -> str:
        return "[ <hex8> ... ]"


class FixedBytes(CountedBytes):
    """
    A byte array of a fixed size, otherwise as `CountedBytes`.

    Args:
        count: How many bytes there are.
    """

    steady = True

    def __init__(self, count: int) -> None:
        super().__init__(lambda seen: count)
        self.size = count

    def lasts(self, text: str) -> bool:
        return ParseType.lasts(self, text)  # what it calls is its own

    def shape(self) -> str:
        return f"[ <hex8> x {self.size} ]"


class Rest(ParseType[bytes]):
    """
    All bytes up to the end of the argument, such as a socket option's value.

    Args:
        minimum: How many bytes a value given as text has at least.

    Text is an array of numbers, a quoted string, or one integer for the 4 bytes
    of an int32; what is shorter than *minimum* is zero filled.  A field left out
    has no bytes at all.  The last byte is always printed if it lies beyond
    *minimum*, because only the text tells the length (section 7.9).

    A struct that ends with a Rest has no padding behind it: it could not be
    told from the value.
    """

    steady = True
    greedy = True

    def __init__(self, minimum: int = 0) -> None:
        self.minimum = minimum

    def scan(self, text: Lexer, seen: Seen) -> bytes:
        if text.peek() == "w":
            value = scan_value(INT32, text, seen)
            data = value.to_bytes(4, sys.byteorder, signed=True)
        else:
            data = _scan_bytes(text, MAX_OUTPUT, seen)
        return data.ljust(self.minimum, b"\0")

    def show(self, value: bytes, seen: Seen) -> str:
        return _show_items(value, HEX8, len(value) > self.minimum, seen)

    def write(self, value: bytes, out: bytearray, seen: Seen) -> None:
        out.extend(value)

    def read(self, data: Reader, seen: Seen) -> bytes:
        return data.take(data.left)

    def default(self, seen: Seen) -> bytes:
        return b""

    def shape(self) -> str:
        return "[ <hex8> ... ]"


def _scan_bytes(text: Lexer, limit: int, seen: Seen) -> bytes:
    at = text.blanks()
    if text.peek() == '"':
        data = text.string("a byte array").encode("latin-1")
        if len(data) > limit:
            raise ParseError(
                E2BIG, f"the string is {len(data)} bytes long, the array holds {limit}", at
            )
        return data
    items = _scan_items(text, HEX8, limit, seen)
    count = max(items, default=-1) + 1
    text.spend(count - len(items), at)
    return bytes(items.get(index, 0) for index in range(count))
