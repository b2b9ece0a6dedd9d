"""Structures: a dataclass whose hints name the types of its fields (spec sections 6.3, 6.8)."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from errno import EALREADY, EINVAL, ENOENT, EOPNOTSUPP
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

from ngksock.netgraph.lexer import Lexer, ParseError, excerpt
from ngksock.netgraph.parse import ParseType, Reader, Seen, pad, scan_value, skip_value, weight
from ngksock.netgraph.scalars import IntType, IPAddrType

__all__ = ["Field", "Struct", "made_plainly"]

T = TypeVar("T")


@dataclass(frozen=True)
class Field:
    """
    One field of a `Struct`.

    Args:
        name: Attribute of the dataclass.
        label: Its name in text.
        aliases: Further names that text may use.
        type: How it converts.
        align: Its alignment within the struct.
    """

    name: str
    label: str
    aliases: tuple[str, ...]
    type: ParseType[Any]
    align: int


class Struct(ParseType[T]):
    """
    A structure; its value is an instance of a dataclass.

    Args:
        cls: The dataclass.  Each hint names the type of its field, by
            ``Annotated[..., type]``, one of the aliases here, or a dataclass.
        loose: Whether more bytes may follow it, which are ignored, or less
            padding than its alignment asks for; it can only come last then.

    The metadata of a dataclass field may hold ``name``, the name in text where
    it is no Python identifier; ``alias``, a further name (or a tuple of them)
    that text may use; ``align``, an alignment other than the type's own.

    What text leaves out becomes the *type's* default, zero or empty, whatever
    default the dataclass has for its Python users (section 6.3).

    Raises:
        TypeError: a hint names no type; names clash; a `Counted` field counts
            by a field that is not declared before it.
    """

    def __init__(self, cls: type[T], *, loose: bool = False) -> None:
        if not dataclasses.is_dataclass(cls):
            raise TypeError(f"{cls!r} is not a dataclass")
        self.cls = cls
        hints = get_type_hints(cls, include_extras=True)
        self.fields = tuple(
            _field(cls, field, hints[field.name]) for field in dataclasses.fields(cls) if field.init
        )
        self._by_label: dict[str, Field] = {}
        declared: set[str] = set()
        for field in self.fields:
            for label in (field.label, *field.aliases):
                if label in self._by_label or not re.fullmatch(r'[^\s{}\[\]=",]+', label):
                    raise TypeError(f"{cls.__qualname__}: {label!r} is no name for a field")
                self._by_label[label] = field
            count = getattr(field.type, "count", None)
            if isinstance(count, str) and count.split(".")[0] not in declared:
                raise TypeError(f"{cls.__qualname__}: {count} is not declared before {field.name}")
            declared.add(field.name)
        if any(field.type.greedy for field in self.fields[:-1]):
            raise TypeError(f"{cls.__qualname__}: what takes all bytes left must come last")
        self.loose = loose
        self.greedy = loose or (bool(self.fields) and self.fields[-1].type.greedy)
        self.align = max((field.align for field in self.fields), default=1)
        self.size = None if loose else self._fixed_size()

    def _fixed_size(self) -> int | None:
        size = 0
        for field in self.fields:
            if field.type.size is None:
                return None
            size += -size % field.align + field.type.size
        return size + -size % self.align

    @property
    def minsize(self) -> int:
        return sum(field.type.minsize for field in self.fields)

    def scan(self, text: Lexer, seen: Seen) -> T:
        at = text.open("{", 'a structure in "{ }"')
        spans: dict[str, tuple[int, int]] = {}
        while not text.at_close():
            here = text.blanks()
            label = text.word("the name of a field")
            field = self._by_label.get(label)
            if field is None:
                known = ", ".join(field.label for field in self.fields) or "none"
                raise ParseError(ENOENT, f'no field "{excerpt(label)}"; fields are {known}', here)
            if field.name in spans:
                raise ParseError(EALREADY, f'field "{excerpt(label)}" is given twice', here)
            text.equals(label)
            start = text.blanks()
            skip_value(field.type, text)
            spans[field.name] = start, text.pos
        end = text.pos
        # In the order of declaration, which need not be that of the text: an array
        # may get its length from a field that is written behind it.
        values: dict[str, Any] = {}
        for field in self.fields:
            if field.name in spans:
                text.pos, stop = spans[field.name]
                values[field.name] = scan_value(field.type, text, values)
                if text.pos != stop:
                    raise text.unexpected(f'the end of field "{field.label}"')
            else:
                values[field.name] = self._left_out(field, text, at, values)
        text.pos = end
        text.close()
        return self.cls(**values)

    def _left_out(self, field: Field, text: Lexer, at: int, seen: Seen) -> Any:
        try:
            value = field.type.default(seen)
        except OSError as error:
            raise ParseError(error.errno or EINVAL, error.strerror or "", at) from error
        if value is None:
            raise ParseError(EOPNOTSUPP, f'field "{field.label}" is missing and has no default', at)
        text.spend(weight(field.type, value, seen) - 1, at)
        return value

    def show(self, value: T, seen: Seen) -> str:
        inner: dict[str, Any] = {}
        parts = []
        for field in self.fields:
            item = getattr(value, field.name)
            if not field.type.is_default(item, inner):
                parts.append(f"{field.label}={field.type.show(item, inner)}")
            inner[field.name] = item
        return f"{{ {' '.join(parts)} }}" if parts else "{}"

    def write(self, value: T, out: bytearray, seen: Seen) -> None:
        inner: dict[str, Any] = {}
        for field in self.fields:
            item = getattr(value, field.name)
            pad(out, field.align)
            field.type.write(item, out, inner)
            inner[field.name] = item
        if not self.greedy:
            pad(out, self.align)

    def read(self, data: Reader, seen: Seen) -> T:
        values: dict[str, Any] = {}
        for field in self.fields:
            data.align(field.align)
            values[field.name] = field.type.read(data, values)
        if self.loose:
            data.take(data.left)
        elif not self.greedy:
            data.align(self.align)
        return self.cls(**values)

    def default(self, seen: Seen) -> T | None:
        values: dict[str, Any] = {}
        for field in self.fields:
            value = field.type.default(values)
            if value is None:
                return None
            values[field.name] = value
        return self.cls(**values)

    def is_default(self, value: T, seen: Seen) -> bool:
        # Field by field: a dataclass may compare as it likes.
        inner: dict[str, Any] = {}
        for field in self.fields:
            item = getattr(value, field.name)
            if not field.type.is_default(item, inner):
                return False
            inner[field.name] = item
        return True

    def lasts(self, text: str) -> bool:
        steady = type(self) is Struct and made_plainly(self.cls)
        return steady and all(field.type.lasts(text) for field in self.fields)

    def shape(self) -> str:
        parts = " ".join(f"{field.label}={field.type.shape()}" for field in self.fields)
        return f"{{ {parts} }}" if parts else "{}"


def made_plainly(cls: type) -> bool:
    """Whether an instance of the dataclass *cls* is what its fields are given, and no more."""
    return not hasattr(cls, "__post_init__") and all(f.init for f in dataclasses.fields(cls))


def _field(cls: type[Any], field: dataclasses.Field[Any], hint: Any) -> Field:
    kind = _type_of(hint)
    if kind is None:
        raise TypeError(f"{cls.__qualname__}.{field.name}: {hint!r} names no type")
    aliases = field.metadata.get("alias", ())
    align = field.metadata.get("align", kind.align)
    if align < kind.align and not isinstance(kind, IntType | IPAddrType):
        raise TypeError(f"{cls.__qualname__}.{field.name}: align {align} breaks its inner layout")
    return Field(
        name=field.name,
        label=field.metadata.get("name", field.name),
        aliases=(aliases,) if isinstance(aliases, str) else tuple(aliases),
        type=kind,
        align=align,
    )


def _type_of(hint: Any) -> ParseType[Any] | None:
    if get_origin(hint) is Annotated:
        base, *notes = get_args(hint)
        # The outermost note is the last one: Annotated[Int32, HEX32] prints in hex.
        for note in reversed(notes):
            if isinstance(note, ParseType):
                return note
        hint = base
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return Struct(hint)
    return None
