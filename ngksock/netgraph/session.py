"""Sessions: ngctl's commands carried out through a port.

A `Session` carries out one line after the other through a `Port`, which is a
graph in this process or a connection to one in another; nothing here knows
which.  What is printed keeps ngctl's layout to the byte, for scripts read it
by column and word (netgraph.md §9).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from errno import EINPROGRESS, EINVAL, ENOENT, ENOSYS
from typing import Final, Protocol, TypeVar

from ngksock.netgraph import display
from ngksock.netgraph.controlforms import Origin
from ngksock.netgraph.generic import (
    READS,
    Connect,
    HookList,
    MkPeer,
    NameList,
    RmHook,
    SetName,
    TypeList,
)
from ngksock.netgraph.layout import STRING, ParseType, Prefixed, Struct
from ngksock.netgraph.lexer import ParseError
from ngksock.netgraph.message import CONTROL_COOKIE, GENERIC_COOKIE, Message
from ngksock.netgraph.ngctl import (
    COMMANDS,
    Command,
    LineError,
    Quit,
    Word,
    find_command,
    near,
    split,
)
from ngksock.netgraph.path import NAME_MAX, PATH_MAX
from ngksock.netgraph.scalars import number

__all__ = ["Files", "Port", "Session"]

T = TypeVar("T")

NO_TEXT: Final = (EINVAL, ENOSYS)
"""What a node says, or a port when it says nothing, that has no status or no config."""

# Made once: to make a layout takes longer than to use it a hundred times.
MKPEER: Final = Struct(MkPeer)
CONNECT: Final = Struct(Connect)
SETNAME: Final = Struct(SetName)
RMHOOK: Final = Struct(RmHook)
HOOKLIST: Final = Struct(HookList)
NAMELIST: Final = Struct(NameList)
TYPELIST: Final = Struct(TypeList)
ORIGINS: Final = Prefixed(Struct(Origin))


class Port(Protocol):
    """How a session reaches a graph."""

    def send(self, path: str, message: Message) -> None:
        """Send *message* to *path*; raises OSError with the errno of its delivery."""

    def request(self, path: str, message: Message) -> bytes:
        """Send *message* and return the arguments of its response."""

    def encode(self, path: str, name: str, text: str) -> Message:
        """Convert an ASCII message as the node at *path* does; raises ParseError, OSError."""

    def received(self) -> list[tuple[str, Message]]:
        """Take what has arrived: addresses of senders (``[1a]:``) and messages."""

    def decode(self, address: str, message: Message) -> Message | None:
        """Convert a message that arrived from *address* to text, or None if nobody can."""

    def write(self, hook: str, data: bytes) -> None:
        """Send one packet out of a hook of the session's own node."""

    def names(self) -> Iterable[str]:
        """Return the names of the nodes there are."""

    def types(self) -> Iterable[str]:
        """Return the names of the types there are."""

    def hooks(self, path: str) -> Iterable[str]:
        """Return the names of the hooks of the node at *path*."""

    def messages(self, path: str) -> Iterable[str]:
        """Return the ASCII names that the node at *path* knows."""


class Files(Protocol):
    """What commands may do outside the graph."""

    def run(self, name: str) -> None:
        """Run the command file *name*."""

    def load(self, name: str, size: int) -> bytes:
        """Return the first *size* bytes of the file *name*."""

    def save(self, name: str, text: str) -> None:
        """Write *text* to the file *name*."""


class Session:
    """
    Carries out commands.

    Args:
        port: The graph.
        say: Takes each piece of output, without its last newline.
        warn: Takes a sentence about something odd that is no error.
        files: Reads and writes files.
        only: The commands allowed; None: all.

    ``more`` are commands beside ngctl's; a subclass has a method for each.
    """

    more: tuple[Command, ...] = ()

    def __init__(
        self,
        port: Port,
        say: Callable[[str], None],
        warn: Callable[[str], None],
        files: Files,
        only: frozenset[str] | None = None,
    ) -> None:
        self.port = port
        self.say = say
        self.warn = warn
        self.files = files
        self.only = only
        self.token = 0
        self.debug = 0

    def parse(self, line: str) -> tuple[Command, list[Word]] | None:
        """
        Return the command of *line* and its arguments, or None if it has none.

        Raises:
            LineError: EINVAL: unknown or ambiguous command, wrong number of
                arguments, or not allowed here.
        """
        return self.parse_words(split(line))

    def parse_words(self, words: Sequence[Word]) -> tuple[Command, list[Word]] | None:
        """Return what `parse` returns, for a line that is in words already."""
        if not words or words[0].startswith("#"):
            return None
        first, *args = words
        command = find_command(first, first.start, self.more)
        if self.only is not None and command.name not in self.only:
            raise LineError(
                EINVAL, f"{command.name} cannot be used here", first.start, syntax=True,
                remedy=f"only {', '.join(sorted(self.only))}",
            )  # fmt: skip
        if len(args) < command.least or (command.most is not None and len(args) > command.most):
            at = first.start if len(args) < command.least else args[command.most or 0].start
            raise LineError(EINVAL, f"usage: {command.syntax}", at, syntax=True)
        if not command.keeps_quotes:
            args = [
                Word.at(word.unquoted(), word.start) if word.startswith('"') else word
                for word in args
            ]
        return command, args

    def run(self, line: str) -> None:
        """
        Carry out *line*; blank lines and comments do nothing.

        Raises:
            LineError: It failed; what went before stays.
            Quit: It is ``quit``.
        """
        self.run_words(split(line))

    def run_words(self, words: Sequence[Word]) -> None:
        """Carry out a line that is in words already, as `run` does."""
        parsed = self.parse_words(words)
        if parsed is None:
            return
        command, args = parsed
        try:
            getattr(self, "_" + command.name)(list(args))  # which it takes apart
        except LineError as error:
            error.command = error.command or command.name
            raise
        except OSError as error:
            raise self._explain(command, args, error) from error

    def _explain(self, command: Command, args: Sequence[Word], error: OSError) -> LineError:
        """Say where in the line an error belongs, and what may help."""
        text = error.strerror or str(error)
        quoted = re.findall(r'"([^"]*)"', text)
        blamed = [w for w in args for q in quoted if w == q or w.startswith((q + ":", q + "."))]
        blamed += [w for w in args for q in quoted if q in re.split("[.:/]", w)]
        # What a message was refused for is in its arguments rather than in its path.
        worst = [*args[2:], *args[1:], *args] if command.name == "msg" else args
        at = (blamed or [*worst, Word.at("", 0)])[0].start
        remedy = ""
        with suppress(OSError):  # the error is what was asked for, not the remedy
            if error.errno == ENOENT and quoted:
                remedy = self._near(text, quoted[0].removesuffix(":"), blamed)
            elif error.errno == ENOSYS and command.name == "msg" and quoted[-1:] == [args[1]]:
                at = args[1].start
                remedy = near(args[1], self.port.messages(args[0].unquoted()))
        return LineError(error.errno or EINVAL, text, at, command.name, remedy)

    def _near(self, text: str, wanted: str, blamed: Sequence[Word]) -> str:
        """Return what may have been meant where the error *text* says that it is not there."""
        if "no node type" in text:
            return near(wanted, self.port.types())
        names = list(self.port.names())
        if "no hook" in text and wanted in names:
            return f'did you mean the node "{wanted}:"?'
        if "no hook" in text and blamed:
            return near(wanted, self._hooks_before(blamed[0], wanted))
        return near(wanted, names, "{}:") if "no node" in text else ""

    def _hooks_before(self, path: str, hook: str) -> Iterable[str]:
        """Return the hooks of the node that *path* reaches before *hook*; none if unknown."""
        try:
            return self.port.hooks(path[: path.find(hook)].rstrip("."))
        except OSError:
            return ()

    # -- messages

    def _message(self, cmd: int, data: bytes = b"") -> Message:
        self.token = (self.token + 1) & 0x7FFFFFFF
        name = f"cmd{cmd}"
        return Message(GENERIC_COOKIE, cmd, data, self.token, cmdstr=name)

    def _generic(self, path: str, cmd: int, layout: ParseType[T], arg: T) -> None:
        self.port.send(path[:PATH_MAX], self._message(cmd, layout.pack(arg)))

    def _ask(self, path: str, cmd: int, layout: ParseType[T]) -> T:
        return layout.unpack(self.port.request(path[:PATH_MAX], self._message(cmd | READS)))

    def _cut(self, name: str, limit: int = NAME_MAX) -> str:
        if len(name) > limit:
            self.warn(f'name "{name}" is longer than {limit} bytes and was cut, as ngctl does')
        return name[:limit]

    def show_received(self) -> None:
        """Print the messages that have arrived, in ngctl's wording."""
        for address, message in self.port.received():
            self.say(display.message(address, message, self.port.decode(address, message)))

    # -- the commands

    def _config(self, args: list[Word]) -> None:
        path, *rest = args
        name = path.unquoted()
        data = STRING.pack(" ".join(rest)) if rest else b""
        try:
            answer = self.port.request(name, self._message(14, data))
        except OSError as error:
            if error.errno not in NO_TEXT:
                raise
            self.say(f'No config available for "{name}"')
        else:
            self.say(f'Config for "{name}":\n{display.text(answer)}')

    def _connect(self, args: list[Word]) -> None:
        path = args.pop(0) if len(args) == 4 else "."
        far, ourhook, peerhook = args
        arg = Connect(self._cut(far, PATH_MAX), self._cut(ourhook), self._cut(peerhook))
        self._generic(path, 3, CONNECT, arg)

    def _debug(self, args: list[Word]) -> None:
        if not args:
            self.say(f"Current debug level is {self.debug}")
        elif args[0] in ("+", "-"):
            self.debug = max(0, self.debug + (1 if args[0] == "+" else -1))
        elif args[0].isdecimal():
            self.debug = int(args[0][:6])
        else:
            raise LineError(EINVAL, f'invalid debug level "{args[0]}"', args[0].start, syntax=True)

    def _dot(self, args: list[Word]) -> None:
        compact = bool(args) and args[0] == "-c"
        names = args[1:] if compact else args
        if len(names) > 1:
            raise LineError(EINVAL, "usage: dot [-c] [outputfile]", names[1].start, syntax=True)
        nodes = self._ask(".", 9, NAMELIST).nodeinfo
        lists = [self._ask(f"[{info.id:x}]:", 7, HOOKLIST) for info in nodes]
        drawing = display.dot(lists, compact)
        if names:
            self.files.save(names[0], drawing + "\n")
        else:
            self.say(drawing)

    def _help(self, args: list[Word]) -> None:
        if args:
            self.say(display.help_one(find_command(args[0], args[0].start, self.more)))
        else:
            self.say(display.help_all(COMMANDS, self.more))

    def _list(self, args: list[Word]) -> None:
        letters = _letters(args, "ln", "list [-ln]")
        named = "n" in letters
        nodes = self._ask(".", 8 if named else 9, NAMELIST).nodeinfo
        lines = [display.list_header(len(nodes), named)]
        if "l" in letters:
            tables = [self._ask(f"[{i.id:x}]:", 7, HOOKLIST) for i in nodes]
            lines.append("\n\n".join(display.node(table) for table in tables))
        else:
            lines.extend(display.node_line(info) for info in nodes)
        self.say("\n".join(lines))

    def _mkpeer(self, args: list[Word]) -> None:
        path = args.pop(0) if len(args) == 4 else "."
        kind, ourhook, peerhook = map(self._cut, args)
        self._generic(path, 2, MKPEER, MkPeer(kind, ourhook, peerhook))

    def _msg(self, args: list[Word]) -> None:
        path, name, *rest = args
        try:
            message = self.port.encode(path.unquoted()[:PATH_MAX], name, " ".join(rest))
        except ParseError as error:
            raise LineError(
                error.errno or EINVAL, error.strerror or "", _place(rest, error.offset, name),
                syntax=True,
            ) from error  # fmt: skip
        self.token = (self.token + 1) & 0x7FFFFFFF
        try:
            self.port.send(path.unquoted()[:PATH_MAX], message.with_token(self.token))
        except OSError as error:
            # A connection that is on its way is no failure of the line (§9.3).
            if error.errno != EINPROGRESS:
                raise
        self.show_received()

    def _name(self, args: list[Word]) -> None:
        path, name = args
        self._generic(path, 4, SETNAME, SetName(self._cut(name)))

    def _read(self, args: list[Word]) -> None:
        self.files.run(args[0])

    def _rmhook(self, args: list[Word]) -> None:
        path = args.pop(0) if len(args) == 2 else "."
        self._generic(path, 5, RMHOOK, RmHook(self._cut(args[0])))

    def _show(self, args: list[Word]) -> None:
        letters = _letters(args[:-1], "n", "show [-n] <path>")
        if args == ["-n"]:
            raise LineError(EINVAL, "usage: show [-n] <path>", args[0].start, syntax=True)
        self.say(display.node(self._ask(args[-1], 7, HOOKLIST), bare="n" in letters))

    def _shutdown(self, args: list[Word]) -> None:
        self.port.send(args[0][:PATH_MAX], self._message(1))

    def _status(self, args: list[Word]) -> None:
        try:
            answer = self.port.request(args[0], self._message(11 | READS))
        except OSError as error:
            if error.errno not in NO_TEXT:
                raise
            self.say(f'No status available for "{args[0]}"')
        else:
            self.say(f'Status for "{args[0]}":\n{display.text(answer)}')

    def _types(self, args: list[Word]) -> None:
        used = self._ask(".", 10, TYPELIST).typeinfo
        if _letters(args, "v", "types [-v]"):
            self.say(display.origins(self._origins(), {u.typename: u.numnodes for u in used}))
        else:
            self.say(display.types(used))

    def _origins(self) -> list[Origin]:
        asked = replace(self._message(5 | READS), cookie=CONTROL_COOKIE)
        return ORIGINS.unpack(self.port.request(".", asked))

    def _write(self, args: list[Word]) -> None:
        hook, *rest = args
        if rest[0] == "-f":
            if len(rest) != 2:
                raise LineError(EINVAL, "usage: write hook -f file", rest[0].start, syntax=True)
            data = self.files.load(rest[1], display.WRITE_MAX)
            if not data:
                raise LineError(EINVAL, f'file "{rest[1]}" is empty', rest[1].start)
        else:
            data = bytes(_byte(word) for word in rest[: display.WRITE_MAX])
        self.port.write(hook, data)

    def _quit(self, args: list[Word]) -> None:
        raise Quit


def _letters(words: list[Word], allowed: str, syntax: str) -> str:
    """Return the option letters in *words*."""
    for word in words:
        if not word.startswith("-") or set(word[1:]) - set(allowed):
            raise LineError(EINVAL, f"usage: {syntax}", word.start, syntax=True)
    return "".join(word[1:] for word in words)


def _byte(word: Word) -> int:
    value = number(word)
    if value is None or not -128 <= value <= 255:
        raise LineError(EINVAL, f'invalid byte "{word}"', word.start, syntax=True)
    return value & 0xFF


def _place(words: list[Word], offset: int, before: Word) -> int:
    """Return where in the line the position *offset* of the joined *words* is."""
    if not words:
        return before.start
    for word in words:
        if offset <= len(word):
            return word.start + offset
        offset -= len(word) + 1
    return words[-1].start + len(words[-1])
