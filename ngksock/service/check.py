"""Checking files without opening anything.

Theory of operation
-------------------
Files are run on a `Sketch`: a graph in a dry run, whose nodes open nothing.
There an error does not end the file, so what a wrong line would have made has
to come from somewhere, or every later line that uses it would be called wrong
too.  It comes from *phantoms*: nodes that take any hook and any message.

* A name or a hook that does not exist is reported once and stands for a
  phantom from then on, until something real has that name: ``missing``.
* Where a line failed to make a link or to give a name, a phantom hides
  whatever real thing is there, since later lines mean what the failed one
  would have made: ``doubted``.
* A node to which a message was wrong may refuse others for its lack: it is
  ``excused`` from then on.  What is wrong with their text is still found.
* What a file that cannot be read would have made is anybody's guess: then
  nothing is missed any more.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from errno import EADDRINUSE, EINVAL, ENXIO
from typing import Final

from ngksock.netgraph import Graph, Hook, Item, Message, Node
from ngksock.netgraph.edges import connect
from ngksock.netgraph.message import GENERIC_COOKIE
from ngksock.netgraph.ngctl import LineError, Word, find_command, split
from ngksock.netgraph.path import NAME_MAX, Path, decode_id
from ngksock.netgraph.port import GraphPort
from ngksock.nodes.socket import Socket
from ngksock.plugin import NodeType, available, find_type
from ngksock.service.run import Run, UnreadableError
from ngksock.service.script import Library, Line, Problem

__all__ = ["Check", "Findings", "Sketch"]

SHOWN_MAX: Final = 100
REPEATS: Final = 4
"""How often a line is tried again after what it missed was made up."""


class Findings:
    """The problems found: the first hundred, the number of all, the exit code."""

    def __init__(self) -> None:
        self.shown: list[Problem] = []
        self.count = 0
        self.code = 0
        self._known: set[Problem] = set()

    def add(self, problem: Problem) -> None:
        """Take a problem, unless it is known: a file may be read twice."""
        if problem in self._known:
            return
        self.count += 1
        self.code = self.code or problem.code
        if len(self.shown) < SHOWN_MAX:
            self.shown.append(problem)
            self._known.add(problem)

    def lines(self) -> list[str]:
        """Return what to print."""
        lines = [str(problem) for problem in self.shown]
        if self.count > len(lines):
            lines.append(f"{self.count - len(lines)} more errors are not shown")
        return lines


class Phantom(Node):
    """Stands for a node that could not be made: takes anything, does nothing, stays."""

    def rcvmsg(self, item: Item, lasthook: Hook | None) -> None:
        if item.message.cookie == GENERIC_COOKIE:
            raise OSError(EINVAL, "a phantom has no status and no configuration")

    def disconnect(self, hook: Hook) -> None:
        """Stay: the true node might have been told to."""


PHANTOM: Final = NodeType("phantom", 1, Phantom)


class Sketch(Graph):
    """A graph in a dry run, with phantoms for what is not there."""

    def __init__(self, report: Callable[[str, Exception | None], None]) -> None:
        self.later: deque[Callable[[], None]] = deque()
        super().__init__(find_type, self.later.append, time.monotonic, report, True, available)
        self.missing: dict[tuple[Node | None, str], Node] = {}
        self.doubted: dict[tuple[Node | None, str], Node] = {}
        self.excused: set[Node] = set()
        self.rumours: set[str] = set()
        self.refusal: OSError | None = None
        self.made = 0
        self.guessing = False

    def phantom(self) -> Phantom:
        """Return a new phantom."""
        node = Phantom()
        self.add(PHANTOM, node)
        return node

    def miss(self, node: Node | None, name: str) -> Node:
        """Let the hook *name* of *node*, or for None the node *name*, be a phantom."""
        key = (node, name)
        if key not in self.missing or not self.missing[key].valid:
            self.missing[key] = self.phantom()
            self.made += 1
        return self.missing[key]

    def doubt(self, node: Node | None, name: str, other: Node) -> None:
        """Let the hook *name* of *node*, or the node *name*, be *other*, whatever is there."""
        self.doubted[node, name] = other
        self.rumours.update(re.split("[.:]", name))

    def unseen(self, node: Node | None, name: str) -> bool:
        """Whether it is news that something is not there."""
        known = (node, name) in self.missing or name in self.rumours
        return not (known or self.guessing or isinstance(node, Phantom))

    def find(self, text: str, here: Node | None) -> tuple[Node, Hook | None]:
        """As `Graph.find`; what is not there is reported once, and then made up."""
        head, colon, rest = text.partition(":")
        node = self.doubted.get((None, head)) if colon else None
        if node is not None and node.valid:
            path = Path.parse(f".:{rest}")
        else:
            path = Path.parse(text)
            node = here if path.node is None else self._named(path.node)
        if node is None:
            return super().find(text, here)  # which says what is wrong
        arrival: Hook | None = None
        for name in path.hooks:
            arrival = None
            doubted = self.doubted.get((node, name))
            hook = node.hooks.get(name)
            if doubted is not None and doubted.valid:
                node = doubted
            elif hook is not None and hook.valid:
                arrival = hook.peer
                node = arrival.node
            else:
                owner, unseen = node, self.unseen(node, name)
                node = self.miss(owner, name)
                if unseen:
                    return super().find(f"[{owner.id:x}]:{name}", here)
        if not node.valid:
            raise OSError(ENXIO, f"node {node!r} is being destroyed")
        return node, arrival

    def _named(self, name: str) -> Node | None:
        number = decode_id(name)
        node = self.names.get(name) if number is None else self.nodes.get(number)
        if node is not None:
            return node
        unseen = self.unseen(None, name)
        node = self.miss(None, name)
        return None if unseen else node

    def deliver(self, node: Node, item: Item, arrival: Hook | None = None) -> None:
        """As `Graph.deliver`; an excused node refuses nothing but generic messages."""
        try:
            super().deliver(node, item, arrival)
        except OSError as error:
            if node in self.excused and item.message.cookie != GENERIC_COOKIE:
                return
            self.refusal = error
            raise

    def turn(self) -> None:
        """Do what waits for the next turn of the reactor, within reason."""
        for _ in range(min(len(self.later), 64)):
            self.later.popleft()()


class SketchPort(GraphPort):
    """A port that sends no packets, and lets phantoms be told anything."""

    def __init__(self, sketch: Sketch, node: Socket, inbox: deque[Item]) -> None:
        super().__init__(sketch, node, inbox=inbox)
        self.sketch = sketch

    def encode(self, path: str, name: str, text: str) -> Message:
        node, _ = self.sketch.find(path, self.here)
        if isinstance(node, Phantom):
            return Message(PHANTOM.cookie, 1, cmdstr=name)
        return super().encode(path, name, text)

    def write(self, hook: str, data: bytes) -> None:
        """Look only whether *hook* is there: packets may cause anything."""
        if hook in self.source.hooks or (self.source, hook) in self.sketch.doubted:
            return
        if self.sketch.unseen(self.source, hook):
            self.sketch.miss(self.source, hook)
            super().write(hook, data)


class Check(Run):
    """
    Finds everything that is wrong with command files.

    Args:
        library: Where the files are.
        report: Takes what is to be said of nodes whose code failed.
    """

    def __init__(self, library: Library, report: Callable[[str, Exception | None], None]) -> None:
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
