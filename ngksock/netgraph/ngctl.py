"""The language of ngctl(8): words, and the table of commands (netgraph.md §9.2, §9.3)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from errno import EINVAL
from typing import Final

__all__ = ["COMMANDS", "Command", "LineError", "Quit", "Word", "find_command", "near", "split"]

WORD_SHOWN: Final = 40
"""Characters of a word that is no command, in what is said of it."""


class Quit(Exception):  # noqa: N818 - it is no error
    """The command ``quit``: the file or the session ends here, with success."""


class LineError(OSError):
    """
    Why a line could not be carried out.

    Args:
        errno: As everywhere.
        strerror: A sentence.
        at: Position of the offending word in the line.
        command: The command's name, or "" where the line names none.
        remedy: What may help, or "".
        syntax: Whether the line is wrong in itself, not for the state of
            the graph or of the system.
    """

    def __init__(
        self,
        errno: int,
        strerror: str,
        at: int = 0,
        command: str = "",
        remedy: str = "",
        syntax: bool = False,
    ) -> None:
        super().__init__(errno, strerror)
        self.at = at
        self.command = command
        self.remedy = remedy
        self.syntax = syntax


class Word(str):
    """A word of a line, and ``start``, its position there."""

    start: int

    @classmethod
    def at(cls, text: str, start: int) -> Word:
        """Return *text* as the word that begins at *start*."""
        word = cls(text)
        word.start = start
        return word

    def unquoted(self) -> str:
        """Return the word without quotes if they enclose all of it."""
        if not self.startswith('"'):
            return str(self)
        return self[1:-1] if _QUOTED.fullmatch(self) else str(self)


# Blanks are those of ASCII: a line is bytes, and a0 may be half a letter of UTF-8.
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_WORD: Final = re.compile(rf"(?:{_QUOTED.pattern}|\S)+", re.DOTALL | re.ASCII)
_PLAIN: Final = re.compile(r"\S+", re.ASCII)
_CLOSED: Final = re.compile(rf'(?:[^"]+|{_QUOTED.pattern})*+', re.DOTALL)


def split(line: str) -> list[Word]:
    """
    Split *line* into words at blanks; a ``"..."`` run within a word keeps its own.

    A quote that nothing closes is an ordinary character.
    """
    # Where one quote is not closed, none after it is: they are not looked at again.
    closed = _CLOSED.match(line)
    end = closed.end() if closed is not None else 0
    words = [Word.at(match[0], match.start()) for match in _WORD.finditer(line, 0, end)]
    rest = [Word.at(match[0], match.start()) for match in _PLAIN.finditer(line, end)]
    if words and rest and words[-1].start + len(words[-1]) == end == rest[0].start:
        rest[0] = Word.at(words[-1] + rest[0], words.pop().start)
    return words + rest


@dataclass(frozen=True, slots=True)
class Command:
    """One row of the table of netgraph.md §9.2."""

    name: str
    syntax: str
    summary: str
    least: int
    most: int | None
    aliases: tuple[str, ...] = ()
    keeps_quotes: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The name and the aliases."""
        return (self.name, *self.aliases)


COMMANDS: Final = (
    Command("config", "config <path> [arguments]", "show or set the text configuration of a node",
            1, None, keeps_quotes=True),
    Command("connect", "connect [path] <relpath> <hook> <peerhook>", "link hooks of two nodes",
            3, 4, ("join",)),
    Command("debug", "debug [level]", "show or set the debug level", 0, 1),
    Command("dot", "dot [-c] [outputfile]", "draw the graph for GraphViz",
            0, 2, ("graphviz", "confdot")),
    Command("help", "help [command]", "list the commands, or explain one", 0, None, ("?",)),
    Command("list", "list [-ln]", "list all nodes", 0, 2, ("ls",)),
    Command("mkpeer", "mkpeer [path] <type> <hook> <peerhook>",
            "make a node, linked to another", 3, 4),
    Command("msg", "msg path command [args ... ]", "send a message to a node",
            2, None, ("cmd",), keeps_quotes=True),
    Command("name", "name <path> <name>", "name a node", 2, 2),
    Command("read", "read <filename>", "run the commands in a file", 1, 1, ("source", ".")),
    Command("rmhook", "rmhook [path] <hook>", "remove a hook, and the link with it",
            1, 2, ("disconnect",)),
    Command("show", "show [-n] <path>", "show a node and its hooks", 1, 2, ("inquire", "info")),
    Command("shutdown", "shutdown <path>", "end a node", 1, 1, ("kill", "rmnode")),
    Command("status", "status <path>", "show the status of a node", 1, 1),
    Command("types", "types [-v]", "list the types in use", 0, 1),
    Command("write", "write hook < -f file | byte ... >", "send a packet out of a hook",
            2, None, ("w",)),
    Command("quit", "quit", "end", 0, 0, ("exit",)),
)  # fmt: skip
"""The commands of ngctl, in the order of its help."""


_EXACT: Final = {name: entry for entry in COMMANDS for name in entry.names}


def find_command(word: str, at: int = 0, more: Sequence[Command] = ()) -> Command:
    """
    Return the command that *word* abbreviates, or is.

    Args:
        word: What was written.
        at: Its position in the line.
        more: Commands that stand behind ngctl's own: what abbreviates one of
            ngctl's is never one of these.

    Raises:
        LineError: EINVAL: no command, or more than one, begins so.
    """
    low = word.lower()
    known = _EXACT.get(low)
    if known is not None:
        return known
    found: list[Command] = []
    for table in (COMMANDS, more):
        found = found or [entry for entry in table if low in entry.names]
    for table in (COMMANDS, more):
        found = found or [e for e in table if any(name.startswith(low) for name in e.names)]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(entry.name for entry in found)
        raise LineError(
            EINVAL, f'"{word}": ambiguous command', at, remedy=f"it may be {names}", syntax=True
        )
    word = word if len(word) <= WORD_SHOWN else word[:WORD_SHOWN] + "..."
    names_like = near(word, (name for entry in (*COMMANDS, *more) for name in entry.names))
    raise LineError(EINVAL, f'"{word}": unknown command', at, remedy=names_like, syntax=True)


ALIKE: Final = 0.61
"""How much of two names is the same, at least, for one to be offered for the other."""


def near(word: str, names: Iterable[str], form: str = "{}") -> str:
    """
    Return a remedy that offers what is spelt nearly as *word*, or "".

    Args:
        word: What was written.
        names: What there is; beyond two thousand names the rest is not looked at.
        form: How a name is to be written, with ``{}`` in its place.
    """
    from difflib import get_close_matches  # it takes long to import, and errors are rare

    # Each once: a type's own message may be called as one that all nodes have.
    limited = list({name: None for name, _ in zip(names, range(2000), strict=False)})
    close = get_close_matches(word, limited, 2, ALIKE)
    return (
        "did you mean " + " or ".join(f'"{form.format(n)}"' for n in close) + "?" if close else ""
    )
