"""Carrying out a command file on a graph, through a socket node of its own."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from errno import ELOOP, errorcode
from typing import Final

from ngksock.netgraph import Graph, Item, Node
from ngksock.netgraph.ngctl import LineError, Quit, Word
from ngksock.netgraph.port import GraphPort
from ngksock.netgraph.session import Session
from ngksock.nodes.socket import Socket, socket
from ngksock.service.script import Library, Line, Problem, Script

__all__ = ["Run", "ScriptError", "UnreadableError"]

NESTED_MAX: Final = 16
"""How deep files may read each other."""
READS_MAX: Final = 10_000
"""How many files a run reads in all: a few that read each other twice are many."""
NAMED_MAX: Final = 20
"""How many ended nodes a file is warned about one by one."""


class ScriptError(Exception):
    """A command failed; ``problem`` says where and why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


class UnreadableError(LineError):
    """A file that a command names cannot be read."""


class Run:
    """
    Runs command files on one graph, one after the other.

    Args:
        graph: The graph.
        library: Where the files are.
        say: Takes each piece of output, of one or more lines.
        warn: Takes a sentence about something odd that is no error.
    """

    def __init__(
        self,
        graph: Graph,
        library: Library,
        say: Callable[[str], None],
        warn: Callable[[str], None],
    ) -> None:
        self.graph = graph
        self.library = library
        self._say = say
        self._warn = warn
        self._open: list[tuple[Script, Line | None]] = []  # the file, and the line being run
        self._reads = 0

    def port(self, node: Socket, inbox: deque[Item]) -> GraphPort:
        """Return the port by which the commands of a file reach the graph."""
        return GraphPort(self.graph, node, inbox=inbox)

    def file(self, name: str) -> None:
        """
        Run the file *name*, of the command line.

        Raises:
            OSError: It cannot be read.
            ScriptError: A command failed; what went before stays.
        """
        script = self.library.script(name)
        node, inbox = Socket(), deque[Item]()
        node.on_message = inbox.append
        self.graph.add(socket, node)
        with suppress(OSError):  # somebody has that name: so it is without one
            self.graph.rename(node, f"ngctl{os.getpid()}")
        self.session = Session(self.port(node, inbox), self._say, self.odd, self)
        self.own = node
        try:
            self._lines(script)
            self.session.show_received()
        finally:
            self._end(script, node)

    def _lines(self, script: Script) -> None:
        self._open.append((script, None))
        try:
            for line in script.lines:
                self._open[-1] = (script, line)
                try:
                    self.session.run(line.text)
                except LineError as error:
                    self.failed(line, error)
            if script.problem is not None:
                self.cut_short(replace(script.problem, origin=self._origin()))
        except Quit:
            pass  # this file ends, with success
        finally:
            self._open.pop()

    # -- what goes wrong ---------------------------------------------------------------

    def failed(self, line: Line, error: LineError) -> None:
        """Take an error of the line being run: raise it, with its place."""
        number = error.errno or 0
        system = os.strerror(number)
        said = "" if error.strerror == system else error.strerror or ""
        text = f"{error.command}: {errorcode.get(number, number)} ({system})"
        remedy = "; ".join(filter(None, [said, error.remedy]))
        raise ScriptError(self.problem(error.at, text, remedy, code=71)) from error

    def cut_short(self, problem: Problem) -> None:
        """Take the reason for which the rest of a file is not known."""
        raise ScriptError(problem)

    def odd(self, sentence: str) -> None:
        """Warn, with the place of the line being run."""
        self._warn(str(self.problem(0, sentence)))

    def problem(self, at: int, text: str, remedy: str = "", code: int = 65) -> Problem:
        """Make a problem at position *at* of the line being run."""
        script, line = self._open[-1]
        number, column = line.place(at) if line is not None else (0, 0)
        text = text.replace(f"node {self.own!r} ", "the file's own node ")
        return Problem(script.shown, number, column, text, remedy, code, self._origin())

    def _origin(self) -> str:
        """Return the place from which the file being run is read, if a file reads it."""
        if len(self._open) < 2:
            return ""
        outer, calling = self._open[-2]
        assert calling is not None  # it is that line that reads
        return f"{outer.shown}:{calling.number}"

    def _end(self, script: Script, node: Node) -> None:
        """End the file's node, and warn of the nodes that end with it."""
        before = list(self.graph)
        linked = {hook.peer.node for hook in node.hooks.values()}
        self.graph.rmnode(node)
        ended = [other for other in before if not other.valid and other is not node]
        for other in ended[:NAMED_MAX]:
            called = f'"{other.name}"' if other.name else repr(other)
            why = (
                "its last hook led to the file's own node"
                if other in linked
                else "the nodes it was linked to ended"
            )
            self._warn(
                f"{script.shown}: node {called} ({other.type.name}) ended with the file: {why}; "
                "link it to a node that stays"
            )
        if len(ended) > NAMED_MAX:
            self._warn(f"{script.shown}: {len(ended) - NAMED_MAX} more nodes ended with the file")

    # -- what the session asks of files -----------------------------------------------

    def run(self, name: str) -> None:
        """Run the command file that the line being run names, with the same node."""
        at = name.start if isinstance(name, Word) else 0
        inside, _ = self._open[-1]
        try:
            script = self.library.script(name, inside)
        except OSError as error:
            raise self._unreadable(error, inside.show(name), at) from error
        self._reads += 1
        if any(script.path == outer.path for outer, _ in self._open):
            raise LineError(
                ELOOP, f'"{name}" is being read already', at, remedy="a file cannot read itself"
            )
        if len(self._open) >= NESTED_MAX or self._reads > READS_MAX:
            limit = f"{NESTED_MAX} deep" if self._reads <= READS_MAX else f"{READS_MAX} times"
            raise LineError(ELOOP, f"files read each other more than {limit}", at)
        self._lines(script)

    def load(self, name: str, size: int) -> bytes:
        """Return the beginning of the file that the line being run names."""
        at = name.start if isinstance(name, Word) else 0
        inside, _ = self._open[-1]
        try:
            return self.library.load(name, size, inside)
        except OSError as error:
            raise self._unreadable(error, inside.show(name), at) from error

    def _unreadable(self, error: OSError, shown: str, at: int) -> UnreadableError:
        number = error.errno or 0
        return UnreadableError(number, f"{shown}: {os.strerror(number)}", at)

    def save(self, name: str, text: str) -> None:
        """Write the file that the line being run names."""
        inside, _ = self._open[-1]
        with open(inside.resolve(name), "w", encoding="latin-1") as stream:
            stream.write(text)
