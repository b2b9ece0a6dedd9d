r"""
Tokens of the ASCII form of control-message arguments (spec section 6.1).

A text is a str of latin-1 code points: one character is one byte.  Its tokens
are the brackets ``{ } [ ]``, ``=``, quoted strings, and words, which are
everything else up to a blank or one of the former.

Commas follow the innermost open bracket.  Inside braces a comma is a blank.
Inside brackets it is a blank unless it stands directly between two word
characters: ``[ 1, 2 ]`` and ``["a","b"]`` read as two elements, and
``[1,2,3]``, which FreeBSD takes for a single element, stays one word that no
number type accepts.  Outside brackets a comma is part of a word.
"""

from __future__ import annotations

import re
from errno import EINVAL, ERANGE
from typing import Any

__all__ = ["MAX_DEPTH", "MAX_OUTPUT", "Lexer", "ParseError", "excerpt", "quote"]

MAX_DEPTH = 64
"""How deep brackets nest."""

MAX_OUTPUT = 20480
"""How many bytes a text may turn into (spec section 1.2)."""

_STOP = r' \t\n\v\f\r{}\[\]="'
# How words and blanks read, by the innermost open bracket.
_WORDS = {
    "": re.compile(f"[^{_STOP}]+"),
    "{": re.compile(f"[^{_STOP},]+"),
    "[": re.compile(f"[^{_STOP},]+(?:,[^{_STOP},]+)*"),
}
_BLANKS = {
    "": re.compile(r"[ \t\n\v\f\r]*"),
    "{": re.compile(r"[ \t\n\v\f\r,]*"),
    "[": re.compile(r"[ \t\n\v\f\r,]*"),
}
_STRING = re.compile(r'"((?:[^"\\]+|\\.)*+)"', re.DOTALL)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{1,2})|([0-7]{1,3})|(.))", re.DOTALL)
_LETTERS = {"t": "\t", "n": "\n", "r": "\r", "v": "\v", "f": "\f"}
_CLOSERS = {"{": "}", "[": "]"}

_QUOTED = {code: f"\\x{code:02x}" for code in range(256) if not 0x20 <= code <= 0x7E}
_QUOTED.update({ord(char): "\\" + letter for letter, char in _LETTERS.items()})
_QUOTED.update({ord(char): "\\" + char for char in '"\\'})


class ParseError(OSError):
    """
    A text that cannot be read.

    Args:
        errno: The errno; EINVAL for syntax and values, ENOENT for an unknown
            field, EALREADY for a repetition, E2BIG for too many elements or
            too long a string, EOPNOTSUPP for a missing field without default,
            ERANGE for a result of more than `MAX_OUTPUT` bytes.
        strerror: A sentence that says what is wrong.
        offset: Position from 0 of the offending token in the text.
    """

    def __init__(self, errno: int, strerror: str, offset: int) -> None:
        super().__init__(errno, strerror)
        self.offset = offset

    def __reduce__(self) -> tuple[Any, ...]:
        # OSError's own way back passes two arguments only.
        return type(self), (self.errno, self.strerror, self.offset)


def quote(value: str) -> str:
    """Write *value*, latin-1 code points, as a quoted string (section 6.7)."""
    return f'"{value.translate(_QUOTED)}"'


def excerpt(text: str) -> str:
    """Shorten *text* for an error message, control characters escaped."""
    shown = text.encode("unicode_escape").decode("ascii").replace("\\\\", "\\")
    return shown if len(shown) <= 40 else shown[:37] + "..."


def _unescape(match: re.Match[str]) -> str:
    digits, octal, char = match.groups()
    if digits is not None:
        return chr(int(digits, 16))
    if octal is not None:
        return chr(int(octal, 8) % 256)
    return _LETTERS.get(char, char)


class Lexer:
    """
    A cursor over a text; argument types take tokens from it.

    Args:
        text: The text to read.

    Every method skips blanks first.  ``pos`` may be set back to an earlier
    position as long as the same brackets are open there.

    Raises:
        ParseError: EINVAL, *text* has a character beyond latin-1.
    """

    def __init__(self, text: str) -> None:
        try:
            text.encode("latin-1")
        except UnicodeEncodeError as error:
            code = ord(text[error.start])
            raise ParseError(
                EINVAL, f"character U+{code:04X} is not a single byte", error.start
            ) from None
        self.text = text
        self.pos = 0
        self._open: list[tuple[str, int]] = []
        self._context = ""
        self._spent = 0

    def blanks(self) -> int:
        """Skip blanks; return the position of the token that follows."""
        match = _BLANKS[self._context].match(self.text, self.pos)
        assert match is not None, "the pattern matches the empty text"
        self.pos = match.end()
        return self.pos

    def peek(self) -> str:
        """
        Tell the next token without taking it.

        Returns: one of ``{ } [ ] =``, ``"`` for a string, ``w`` for a word, or
            the empty str at the end of the text.
        """
        at = self.blanks()
        char = self.text[at : at + 1]
        return char if char in '{}[]="' else "w"

    def word(self, wanted: str) -> str:
        """Take a word; EINVAL, *wanted* is expected, if there is none."""
        match = _WORDS[self._context].match(self.text, self.blanks())
        if match is None:
            raise self.unexpected(wanted)
        self.pos = match.end()
        return match.group()

    def string(self, wanted: str) -> str:
        """Take a quoted string and return what it stands for (section 6.7)."""
        if self.peek() != '"':
            raise self.unexpected(wanted)
        match = _STRING.match(self.text, self.pos)
        if match is None:
            raise ParseError(EINVAL, "the quoted string has no closing quote", self.pos)
        self.pos = match.end()
        return _ESCAPE.sub(_unescape, match.group(1))

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Take what *pattern* matches here, for types with a syntax of their own."""
        match = pattern.match(self.text, self.blanks())
        if match is not None:
            self.pos = match.end()
        return match

    def key(self) -> tuple[str, int] | None:
        """Take ``word =`` and return the word and its position; None if there is none."""
        at = self.blanks()
        if self.peek() == "w":
            word = self.word("an index")
            if self.peek() == "=":
                self.pos += 1
                return word, at
            self.pos = at
        return None

    def equals(self, name: str) -> None:
        """Take the ``=`` behind the field *name*."""
        if self.peek() != "=":
            raise self.unexpected(f'"=" behind {excerpt(name)}')
        self.pos += 1

    def open(self, bracket: str, wanted: str) -> int:
        """
        Take an opening *bracket*.

        Returns: its position.

        Raises:
            ParseError: EINVAL, something else is there, or brackets nest
                deeper than `MAX_DEPTH`.
        """
        if self.peek() != bracket:
            raise self.unexpected(wanted)
        if len(self._open) >= MAX_DEPTH:
            raise ParseError(EINVAL, f"brackets nest deeper than {MAX_DEPTH}", self.pos)
        self._open.append((bracket, self.pos))
        self._context = bracket
        self.pos += 1
        return self._open[-1][1]

    def at_close(self) -> bool:
        """
        Tell whether the next token closes the innermost bracket.

        Raises:
            ParseError: EINVAL, the text ends or the wrong bracket closes.
        """
        kind = self.peek()
        bracket, at = self._open[-1]
        if not kind:
            raise ParseError(EINVAL, f'"{bracket}" is never closed', at)
        if kind not in "}]":
            return False
        if kind != _CLOSERS[bracket]:
            raise ParseError(EINVAL, f'"{kind}" cannot close "{bracket}"', self.pos)
        return True

    def close(self) -> None:
        """Take the bracket that `at_close` saw."""
        self._open.pop()
        self._context = self._open[-1][0] if self._open else ""
        self.pos += 1

    def skip(self) -> None:
        """Take one word, string or bracketed value without looking inside."""
        depth = len(self._open)
        while True:
            kind = self.peek()
            if len(self._open) > depth and self.at_close():
                self.close()
            elif kind in ("{", "["):
                self.open(kind, "a value")
            elif kind == "=" and len(self._open) > depth:
                self.pos += 1
            elif kind == '"':
                self.string("a value")
            else:
                self.word("a value")
            if len(self._open) == depth:
                return

    def end(self) -> None:
        """Check that nothing follows; EINVAL otherwise."""
        if self.peek():
            raise ParseError(EINVAL, f"{self._token()} follows the complete value", self.pos)

    def spend(self, count: int, at: int) -> None:
        """
        Account for *count* bytes that the text left out.

        Without it a few characters could ask for any amount of memory.

        Raises:
            ParseError: ERANGE at *at*, the sum exceeds `MAX_OUTPUT`.
        """
        self._spent += count
        if self._spent > MAX_OUTPUT:
            raise ParseError(ERANGE, f"the value takes more than {MAX_OUTPUT} bytes", at)

    def unexpected(self, wanted: str) -> ParseError:
        """Make the error that says *wanted* is expected instead of the next token."""
        return ParseError(EINVAL, f"expected {wanted}, not {self._token()}", self.blanks())

    def _token(self) -> str:
        kind = self.peek()
        if not kind:
            return "the end of the text"
        if kind == '"':
            return "a quoted string"
        match = _WORDS[self._context].match(self.text, self.pos)
        return excerpt(match.group()) if match is not None else f'"{kind}"'
