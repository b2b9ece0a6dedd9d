"""Socket options in messages: FreeBSD's struct, or one word (netgraph.md §7.5, §7.9)."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from errno import EINVAL, ENOENT
from typing import Annotated, Final

from ngksock.kpi.sockopt import WORDS
from ngksock.netgraph.layout import Int32, Lexer, ParseError, ParseType, Reader, Rest, Seen, Struct

__all__ = ["OPTION_NAME", "SOCKOPT", "SOCKOPT_REPLY", "OptionName", "Sockopt", "in_words"]


@dataclass
class OptionName:
    """An option by FreeBSD's level and number."""

    level: Int32
    name: Int32


@dataclass
class Sockopt:
    """An option and its value, in FreeBSD's form."""

    level: Int32
    name: Int32
    value: Annotated[bytes, Rest(4)] = field(metadata={"alias": "data"})


_PREFIXES: Final = ("so_", "tcp_", "ip_", "ipv6_")


_PLAIN: Final = re.compile(r"\s*\{\s*\w+=[0-9]+\s*\}\s*", re.ASCII)
_AHEAD: Final = re.compile(r'\{[\s,]*([^\s{}\[\]=",]+)')


def _word(text: Lexer) -> str | None:
    """Take ``{`` and the option word behind it; None, and nothing taken, if there is none."""
    match = _AHEAD.match(text.text, text.blanks())
    if match is None or not match[1].startswith(_PREFIXES):
        return None
    text.open("{", 'an option in "{ }"')
    at = text.blanks()
    word = text.word("the name of an option")
    if word not in WORDS:
        close = get_close_matches(word, WORDS, 1)
        hint = f'; did you mean "{close[0]}"?' if close else ""
        raise ParseError(ENOENT, f'no option "{word}"{hint}', at)
    return word


class SockoptType(ParseType[Sockopt]):
    """``{ level=<int32> name=<int32> value=[ ... ] }`` or exactly one ``{ word=value }``."""

    steady = True
    greedy = True
    _form = Struct(Sockopt)

    def lasts(self, text: str) -> bool:
        return _PLAIN.fullmatch(text) is not None  # a word may name an interface

    @property
    def minsize(self) -> int:
        return 8

    def scan(self, text: Lexer, seen: Seen) -> Sockopt:
        word = _word(text)
        if word is None:
            return self._form.scan(text, {})
        text.equals(word)
        at = text.blanks()
        value = text.string("a value") if text.peek() == '"' else text.word("a value")
        if not text.at_close():
            raise ParseError(EINVAL, "one option a message: send another for the next", text.pos)
        text.close()
        option = WORDS[word]
        try:
            raw = option.encode(value)
        except OSError as error:
            raise ParseError(error.errno or EINVAL, error.strerror or "", at) from error
        return Sockopt(option.level, option.number, raw)

    def show(self, value: Sockopt, seen: Seen) -> str:
        return self._form.show(value, {})

    def write(self, value: Sockopt, out: bytearray, seen: Seen) -> None:
        self._form.write(value, out, {})

    def read(self, data: Reader, seen: Seen) -> Sockopt:
        return self._form.read(data, {})

    def shape(self) -> str:
        return f"{{ <option>=<value> }} | {self._form.shape()}"


class OptionNameType(ParseType[OptionName]):
    """``{ level=<int32> name=<int32> }`` or exactly one ``{ word }``."""

    size = 8
    align = 4
    _form = Struct(OptionName)

    def scan(self, text: Lexer, seen: Seen) -> OptionName:
        word = _word(text)
        if word is None:
            return self._form.scan(text, {})
        if not text.at_close():
            raise ParseError(EINVAL, "one option a message: ask again for the next", text.pos)
        text.close()
        return OptionName(WORDS[word].level, WORDS[word].number)

    def show(self, value: OptionName, seen: Seen) -> str:
        return self._form.show(value, {})

    def write(self, value: OptionName, out: bytearray, seen: Seen) -> None:
        self._form.write(value, out, {})

    def read(self, data: Reader, seen: Seen) -> OptionName:
        return self._form.read(data, {})

    def shape(self) -> str:
        return f"{{ <option> }} | {self._form.shape()}"


SOCKOPT: Final = SockoptType()
SOCKOPT_REPLY: Final = Struct(Sockopt)
OPTION_NAME: Final = OptionNameType()

_BY_NUMBER: Final = {(option.level, option.number): option for option in WORDS.values()}


def in_words(option: Sockopt) -> str:
    """Return *option* as ``{ word=value }`` if that means the same bytes, else in numbers."""
    known = _BY_NUMBER.get((option.level, option.name))
    if known is not None:
        with suppress(OSError):  # the value is of another length, or cannot be written
            text = f"{{ {known.word}={known.decode(option.value)} }}"
            if SOCKOPT.parse(text) == option:
                return text
    return SOCKOPT.unparse(option)
