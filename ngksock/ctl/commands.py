"""The session of ngkctl: ngctl's commands with JSON beside them, and our own."""

from __future__ import annotations

import os
import select
import time
from errno import EHOSTUNREACH, EINVAL, ENOENT, ENXIO, ETIMEDOUT
from typing import Any, Final

from ngksock.client.channel import NoAnswerError
from ngksock.client.port import ClientPort
from ngksock.ctl.console import Console
from ngksock.ctl.runner import FullError, Runner
from ngksock.netgraph import display
from ngksock.netgraph.generic import READS, NameList, TypeList
from ngksock.netgraph.layout import Struct
from ngksock.netgraph.ngctl import Command, LineError, Word, find_command
from ngksock.netgraph.session import NO_TEXT, Session

__all__ = ["MORE", "ConsoleSession", "patience"]

MORE: Final = (
    Command("inspect", "inspect [-a] <type | path>",
            "explain a type: its hooks, and its messages with an example each", 1, 2),
    Command("save", "save [filename]", "write commands that make this graph again", 0, 1),
    Command("wait", "wait [-t seconds] <path>", "wait until a node is there", 1, 3),
    Command("watch", "watch [-c count] [-i seconds] [path]",
            "show the counters of hooks, and their rates, until Ctrl-C", 0, 5),
)  # fmt: skip
"""The commands that FreeBSD's ngctl does not have."""

AS_JSON: Final = ("inspect", "list", "show", "status", "types", "watch")
"""Commands that take --json as an argument too."""
TICK: Final = 0.05
"""Seconds between two looks for a node that is waited for."""


class ConsoleSession(Session):
    """
    A session on a console.

    Args:
        port: The daemon.
        console: Takes what is printed.
        runner: Reads and writes files.
        json: Whether replies are printed as JSON, one to a line.
    """

    more = MORE
    port: ClientPort

    def __init__(
        self, port: ClientPort, console: Console, runner: Runner, json: bool = False
    ) -> None:
        super().__init__(port, console.say, console.complain, runner)
        self.json = self._always = json

    def parse_words(self, words: Any) -> tuple[Command, list[Word]] | None:
        self.json = self._always
        asked = "--json" in words[1:] and not words[0].startswith("#")
        if asked and find_command(words[0], words[0].start, self.more).name in AS_JSON:
            self.json = True
            words = [words[0], *(word for word in words[1:] if word != "--json")]
        return super().parse_words(words)

    def _tell(self, value: object) -> None:
        import json

        # Bytes beyond ASCII are latin-1 characters here; JSON is UTF-8.
        self.say(json.dumps(_utf8(value), ensure_ascii=True))

    # -- ngctl's commands

    def show_received(self) -> None:
        if not self.json:
            super().show_received()
            return
        from ngksock.ctl import asjson

        for address, message in self.port.received():
            decoded = self.port.decode(address, message)
            self._tell(asjson.message(address, message, decoded))

    def _list(self, args: list[Word]) -> None:
        letters = "".join(word[1:] for word in args)
        if not self.json or set(letters) - set("ln") or any(word[0] != "-" for word in args):
            super()._list(args)
            return
        from ngksock.ctl import asjson

        nodes = self._ask(".", (8 if "n" in letters else 9), Struct(NameList)).nodeinfo
        if "l" in letters:
            self._tell([asjson.hooks(self.port.hooklist(f"[{info.id:x}]:")) for info in nodes])
        else:
            self._tell([asjson.node(info) for info in nodes])

    def _show(self, args: list[Word]) -> None:
        if not self.json or len(args) > 1:
            super()._show(args)
            return
        from ngksock.ctl import asjson

        self._tell(asjson.hooks(self.port.hooklist(args[0])))

    def _types(self, args: list[Word]) -> None:
        if not self.json or args not in ([], ["-v"]):
            super()._types(args)
            return
        infos = self._ask(".", 10, Struct(TypeList)).typeinfo
        if "-v" not in args:
            self._tell([{"type": info.typename, "nodes": info.numnodes} for info in infos])
            return
        living = {info.typename: info.numnodes for info in infos}
        self._tell([{"type": one.type or None, "nodes": living.get(one.type, 0),
                     "origin": one.origin, "problem": one.problem or None}
                    for one in self._origins()])  # fmt: skip

    def _status(self, args: list[Word]) -> None:
        if not self.json:
            super()._status(args)
            return
        status = None
        try:
            status = display.text(self.port.request(args[0], self._message(11 | READS)))
        except OSError as error:
            if error.errno not in NO_TEXT:
                raise
        self._tell({"path": args[0], "status": status})

    def _write(self, args: list[Word]) -> None:
        try:
            super()._write(args)
        except LineError:
            raise
        except OSError as error:
            number = error.errno or EHOSTUNREACH
            text = f'writing to hook "{args[0]}": {os.strerror(number)}'
            remedy = "" if number != EHOSTUNREACH else self._own_hooks()
            raise FullError(number, text, args[0].start, remedy=remedy) from error

    def _own_hooks(self) -> str:
        hooks = ", ".join(sorted(self.port.hooks(".")))
        return f"this node's hooks are {hooks}" if hooks else "this node has no hooks"

    def _help(self, args: list[Word]) -> None:
        if not args:
            super()._help(args)
            return
        from ngksock.ctl.explain import explained

        self.say(explained(find_command(args[0], args[0].start, self.more)))

    # -- our own

    def _inspect(self, args: list[Word]) -> None:
        from ngksock.ctl import inspection

        everything = "-a" in args
        wanted = [word for word in args if word != "-a"]
        if len(wanted) != 1:
            raise _usage("inspect", args)
        path, about = inspection.find(self.port, wanted[0])
        if self.json:
            self._tell(inspection.as_json(about))
        else:
            self.say(inspection.as_text(about, path, everything))

    def _save(self, args: list[Word]) -> None:
        from ngksock.ctl.saving import saved

        text = saved(self.port)
        if args:
            self.files.save(args[0], text)
        else:
            self.say(text.removesuffix("\n"))

    def _wait(self, args: list[Word]) -> None:
        limit, args = _number("t", args, "wait")
        if len(args) != 1:
            raise _usage("wait", args)
        end = None if limit is None else time.monotonic() + limit
        while True:
            try:
                self.port.nodeinfo(args[0])
                return
            except OSError as error:
                if error.errno not in (ENOENT, ENXIO):
                    raise
            if end is not None and time.monotonic() >= end:
                text = f'there is still no node "{args[0]}" after {limit:g} s'
                raise FullError(ETIMEDOUT, text) from NoAnswerError(ETIMEDOUT, text)
            select.select((), (), (), TICK)

    def _watch(self, args: list[Word]) -> None:
        from ngksock.ctl.watching import watch

        count, args = _number("c", args, "watch")
        every, args = _number("i", args, "watch")
        if len(args) > 1 or (count is not None and not count.is_integer()):
            raise _usage("watch", args)
        path = args[0] if args else None
        tell = self._tell if self.json else None
        watch(self.port, path, 1.0 if every is None else every, count, self.say, tell)


def patience(words: list[str]) -> float | None:
    """Return for how long a command line waits for the daemon itself; None: for ever."""
    try:
        if not words or find_command(words[0], 0, MORE).name != "wait":
            return 0.0
        return _number("t", [Word.at(word, 0) for word in words[1:]], "wait")[0]
    except LineError:
        return 0.0


def _usage(name: str, args: list[Word]) -> LineError:
    syntax = next(entry.syntax for entry in MORE if entry.name == name)
    return LineError(EINVAL, f"usage: {syntax}", args[0].start if args else 0, syntax=True)


def _number(letter: str, args: list[Word], name: str) -> tuple[float | None, list[Word]]:
    """Take the number of the option *letter* out of *args*; return the rest too."""
    if f"-{letter}" not in args:
        return None, args
    at = args.index(Word(f"-{letter}"))
    try:
        value = float(args[at + 1])
    except (IndexError, ValueError):
        raise _usage(name, args) from None
    if not 0 <= value < 1e9:
        raise _usage(name, args)
    return value, args[:at] + args[at + 2 :]


def _utf8(value: Any) -> Any:
    """Return *value* with its strings, bytes as latin-1, read as UTF-8 where they are."""
    if isinstance(value, str):
        try:
            return value.encode("latin-1").decode("utf-8")
        except UnicodeError:
            return str(value)
    if isinstance(value, list):
        return [_utf8(item) for item in value]
    if isinstance(value, dict):
        return {_utf8(key): _utf8(item) for key, item in value.items()}
    return value
