"""What may stand next in a line that is being typed."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from contextlib import AbstractContextManager, suppress
from glob import glob
from typing import Final

from ngksock.client.port import ClientPort
from ngksock.ctl.commands import MORE
from ngksock.ctl.console import as_bytes, as_text
from ngksock.ctl.inspection import described, fields
from ngksock.netgraph.ngctl import COMMANDS, LineError, Word, find_command, split

__all__ = ["Completion"]

# What the arguments of each command are; the last goes on for ever.  An optional
# first path makes each of the others stand in two places.
ARGUMENTS: Final = {
    "config": ("path", ""),
    "connect": ("path", "path own", "hook", "hook", ""),
    "dot": ("file", "file", ""),
    "help": ("command",),
    "inspect": ("type path", ""),
    "list": ("list",),
    "mkpeer": ("type path", "type", "first", "first", ""),
    "msg": ("path", "message", "field"),
    "name": ("path", ""),
    "read": ("file", ""),
    "rmhook": ("path own", "hook", ""),
    "save": ("file", ""),
    "show": ("path",),
    "shutdown": ("path", ""),
    "status": ("path", ""),
    "wait": ("path",),
    "watch": ("path",),
    "write": ("own", "file"),
}


class Completion:
    """
    Finds what a word may become.

    Args:
        port: The daemon, which is asked.

    ``lock`` is held meanwhile.
    """

    delimiters = " \t\n{="

    def __init__(self, port: ClientPort) -> None:
        self.port = port
        self.lock: AbstractContextManager[object] = threading.RLock()

    def start(self, text: str) -> int:
        """Return where the last word of *text* begins."""
        return max(text.rfind(char) for char in self.delimiters) + 1

    def candidates(self, before: str, word: str) -> list[str]:
        """
        Return what *word* may become, sorted.

        Args:
            before: The line, up to the word.
            word: What is typed of it.
        """
        found: set[str] = set()
        words = split(before)
        with self.lock, suppress(OSError):  # a path that is not there has no hooks
            if not words:
                found.update(name for entry in (*COMMANDS, *MORE) for name in entry.names)
            else:
                for kind in self._kinds(words):
                    found.update(getattr(self, "_" + kind)(words, word))
        return sorted(one for one in found if one.startswith(word))

    def _kinds(self, words: list[Word]) -> list[str]:
        try:
            name = find_command(words[0], 0, MORE).name
        except LineError:
            return []
        kinds = ARGUMENTS.get(name, ("",))
        return kinds[min(len(words) - 1, len(kinds) - 1)].split()

    def _command(self, words: list[Word], word: str) -> Iterable[str]:
        return [entry.name for entry in (*COMMANDS, *MORE)]

    def _list(self, words: list[Word], word: str) -> Iterable[str]:
        return ["-l", "-n", "--json"]

    def _file(self, words: list[Word], word: str) -> Iterable[str]:
        return map(as_text, glob(as_bytes(word).decode("utf-8", "surrogateescape") + "*"))

    def _type(self, words: list[Word], word: str) -> Iterable[str]:
        return self.port.types()

    def _path(self, words: list[Word], word: str) -> Iterable[str]:
        at = max(word.rfind(":"), word.rfind(".")) + 1
        if at and word not in (".",):
            base = word[:at]
            hooks = self.port.hooks(base if base.endswith(":") else base[:-1])
            return [base + hook for hook in hooks]
        nodes = self.port.nodes()
        if word.startswith("["):
            return [f"[{info.id:x}]:" for info in nodes]
        return [f"{info.name}:" for info in nodes if info.name]

    def _own(self, words: list[Word], word: str) -> Iterable[str]:
        return self.port.hooks(".")

    def _hook(self, words: list[Word], word: str) -> Iterable[str]:
        """Return the hooks that a type says it has, of the node that was named last."""
        path = next((one for one in reversed(words) if ":" in one), Word("."))
        about = self.port.describe(path.unquoted() if isinstance(path, Word) else path)
        return {*about.hooks, *self.port.hooks(path)}

    def _first(self, words: list[Word], word: str) -> Iterable[str]:
        """Return hooks of the type that a mkpeer names, if it tells them."""
        kind = next((one for one in words[1:3] if one in self.port.types()), None)
        return described(self.port, kind).hooks if kind else ()

    def _message(self, words: list[Word], word: str) -> Iterable[str]:
        return self.port.messages(words[1].unquoted())

    def _field(self, words: list[Word], word: str) -> Iterable[str]:
        for row in self.port.describe(words[1].unquoted()).commands:
            if row.name == words[2]:
                typed = set(re.findall(r"(\w+)=", " ".join(words[3:])))
                return [f"{name}=" for name in fields(row.arg) if name not in typed]
        return ()
