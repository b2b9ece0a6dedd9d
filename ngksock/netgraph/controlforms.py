"""Layouts of the messages of the control cookie (wire.md "Beyond netgraph")."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from ngksock.netgraph.layout import (
    STRING,
    FixedString,
    Hex32,
    Prefixed,
    StringType,
    Struct,
    UInt32,
    UInt64,
)
from ngksock.netgraph.lexer import Lexer
from ngksock.netgraph.parse import Reader, Seen

__all__ = [
    "Bypass",
    "CommandInfo",
    "Description",
    "DropCount",
    "HookStats",
    "Insert",
    "NameOrNothing",
    "Origin",
]

Name = Annotated[str, FixedString(32)]


class NameOrNothing(StringType):
    """A quoted string, or nothing at all, which is ""."""

    @property
    def minsize(self) -> int:
        return 0

    def scan(self, text: Lexer, seen: Seen) -> str:
        return super().scan(text, seen) if text.peek() else ""

    def show(self, value: str, seen: Seen) -> str:
        return super().show(value, seen) if value else ""

    def write(self, value: str, out: bytearray, seen: Seen) -> None:
        if value:
            super().write(value, out, seen)

    def read(self, data: Reader, seen: Seen) -> str:
        return super().read(data, seen) if data.left else ""

    def shape(self) -> str:
        return f"nothing | {super().shape()}"


@dataclass
class CommandInfo:
    """One message, in words."""

    name: Annotated[str, STRING]
    cookie: UInt32
    cmd: Hex32
    arg: Annotated[str, STRING]
    resp: Annotated[str, STRING]
    help: Annotated[str, STRING]


@dataclass
class Description:
    """A type of node."""

    type: Annotated[str, STRING]
    cookie: UInt32
    hooks: Annotated[list[str], Prefixed(STRING)]
    hookform: Annotated[str, STRING]
    commands: Annotated[list[CommandInfo], Prefixed(Struct(CommandInfo))]


@dataclass
class DropCount:
    """What was lost for one errno."""

    errno: Annotated[str, STRING]
    packets: UInt64


@dataclass
class HookStats:
    """What was sent out of one hook."""

    hook: Name
    packets: UInt64
    bytes: UInt64
    drops: Annotated[list[DropCount], Prefixed(Struct(DropCount))]


@dataclass
class Origin:
    """Where a type comes from, and why it cannot be used, if it cannot."""

    type: Annotated[str, STRING]
    origin: Annotated[str, STRING]
    problem: Annotated[str, STRING]


@dataclass
class Insert:
    """What to put where; ``in`` is a word of Python's."""

    hook: Name
    type: Name
    into: Name = field(metadata={"name": "in"})
    out: Name
    name: Name


@dataclass
class Bypass:
    """The two hooks whose peers are joined."""

    into: Name = field(metadata={"name": "in"})
    out: Name
