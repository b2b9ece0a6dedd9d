"""Checking files without opening anything: all that is wrong, and nothing that is not."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from errno import EADDRINUSE
from typing import Final

from ngksock.netgraph import Item, Node
from ngksock.netgraph.edges import connect
from ngksock.netgraph.ngctl import LineError, Word, find_command, split
from ngksock.netgraph.path import NAME_MAX
from ngksock.netgraph.port import GraphPort
from ngksock.nodes.socket import Socket
from ngksock.service.run import Run, UnreadableError
from ngksock.service.script import Library, Line, Problem
from ngksock.service.sketch import Sketch, SketchPort

__all__ = ["Check", "Findings"]

SHOWN_MAX: Final = 100
REPEATS: Final = 4
"""How often a line is tried again after what it missed was made up."""


class Findings:
    """The problems found: the first hundred, the number of all, the exit code."""

    def __init__(self) -> None:
        self.shown: list[Problem] = []
        self.count = 0
        self.code = 0
        self._known: set[Problem] = set()  # without origins

    def add(self, problem: Problem) -> None:
        """Take a problem, unless it is known: a file may be read twice."""
        place = replace(problem, origin="")
        if place in self._known:
            return
        self.count += 1
        self.code = self.code or problem.code
        if len(self.shown) < SHOWN_MAX:
            self.shown.append(problem)
            self._known.add(place)

    def lines(self) -> list[str]:
        """Return what to print."""
        lines = [str(problem) for problem in self.shown]
        if self.count > len(lines):
            lines.append(f"{self.count - len(lines)} more errors are not shown")
        return lines


class Check(Run):
    """
    Finds everything that is wrong with command files.

    Args:
        library: Where the files are.
        report: Takes a sentence about a node whose code failed, and the exception.
    """

    def __init__(self, library: Library, report: Callable[[str, Exception], None]) -> None:
        self.sketch = Sketch(report)
        super().__init__(self.sketch, library, _ignore, _ignore)
        self.findings = Findings()
        self._made = 0

    def port(self, node: Socket, inbox: deque[Item]) -> GraphPort:
        return SketchPort(self.sketch, node, inbox)

    def file(self, name: str) -> None:
        """Check the file *name*, of the command line."""
        try:
            super().file(name)
        except OSError as error:
            self.sketch.guessing = True
            text = error.strerror or str(error)
            self.findings.add(Problem(name, 0, 0, text, code=66))
        self.sketch.turn()

    def save(self, name: str, text: str) -> None:
        """Write nothing."""

    def cut_short(self, problem: Problem) -> None:
        self.sketch.guessing = True
        self.findings.add(problem)

    def failed(self, line: Line, error: LineError) -> None:
        """Note the error, and make up what the line would have made."""
        noted: list[Problem] = []
        for _ in range(REPEATS):
            problem = self._found(line, error)
            if problem not in noted:
                noted.append(problem)
                self.findings.add(problem)
                self.sketch.terse = self.findings.count >= SHOWN_MAX
            made, self._made = self._made, self.sketch.made
            if made == self._made:
                self._make_up(line.text, error)
                return
            try:  # what the line missed is there now: is anything else wrong with it?
                self.session.run(line.text)
            except LineError as another:
                error = another
            else:
                return

    def _found(self, line: Line, error: LineError) -> Problem:
        text, code = error.strerror or "", 66 if isinstance(error, UnreadableError) else 65
        if error.__cause__ is self.sketch.refusal and error.command == "msg":
            path = split(line.text)[1].unquoted()
            text = f"{path.removesuffix(':')}: {text}"
        return self.problem(error.at, text, error.remedy, code)

    def _make_up(self, text: str, error: LineError) -> None:
        sketch, own = self.sketch, self.own
        try:
            parsed = self.session.parse(text)
        except LineError:
            self._rumour(split(text), error)
            return
        assert parsed is not None  # a line without a command has no errors
        command, args = parsed
        with suppress(OSError):  # a path that leads nowhere would have made nothing
            if command.name == "mkpeer":
                node, _ = sketch.find(args[0] if len(args) == 4 else ".", own)
                self._stand_in(node, args[-2])
            elif command.name == "connect":
                node, _ = sketch.find(args[0] if len(args) == 4 else ".", own)
                self._stand_in(node, args[-2])
                self._stand_in(sketch.find(args[-3], node)[0], args[-1])
            elif command.name == "name":
                node, _ = sketch.find(args[0], own)
                taken = error.errno == EADDRINUSE
                sketch.doubt(None, args[1], sketch.phantom() if taken else node)
            elif command.name == "msg":
                sketch.whisper(args[1:])
                sketch.excused.add(sketch.find(args[0].unquoted(), own)[0])
            elif command.name == "read":
                sketch.guessing = True

    def _stand_in(self, node: Node, hook: str) -> None:
        """Link a phantom to *hook* of *node*, if only in the sense that paths find it there."""
        phantom, hook = self.sketch.phantom(), hook[:NAME_MAX]
        try:
            connect(self.sketch, node, hook, phantom, "phantom")
        except OSError:
            self.sketch.doubt(node, hook, phantom)

    def _rumour(self, words: list[Word], error: LineError) -> None:
        """Do not miss what a line that cannot be understood may have made."""
        try:
            name = find_command(words[0]).name
        except LineError:
            name = "read" if '"read"' in error.remedy else "mkpeer"
        if name == "read":
            self.sketch.guessing = True
        elif name in ("mkpeer", "connect", "name"):
            for word in words[1:]:
                self.sketch.rumours.update(re.split("[.:]", word))


def _ignore(sentence: str) -> None:
    """Say nothing: only errors are told."""
