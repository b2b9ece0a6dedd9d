"""Replay: a script that is run again and again is read once.

Theory of operation.  Each line is run once through a `Session` whose port only
notes what the session asks of it.  Nearly always that is one message: a path
and arguments, which are in binary form by then.  To run the line again is to
find the path, which may lead elsewhere each time, and to deliver the message.

That is a fast path, and a guest.  A line that warns, fails, or comes to
anything but one message is run by the session every time.  The text of a
message is converted anew where the node at its path is not of the type that it
was of the last time, or where it need not mean the same every time
(`ParseType.lasts`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import fields
from errno import EINPROGRESS, EOPNOTSUPP
from typing import TYPE_CHECKING, Any, Final, cast

from ngksock.netgraph.command import Row
from ngksock.netgraph.generic import SHARED_ROWS, row_named
from ngksock.netgraph.message import GENERIC_COOKIE, Item, Message
from ngksock.netgraph.port import GraphPort
from ngksock.netgraph.session import Session
from ngksock.netgraph.structure import made_plainly

if TYPE_CHECKING:
    from ngksock._inetgraph import INodeType
    from ngksock.netgraph.graph import Graph
    from ngksock.netgraph.node import Node

__all__ = ["NoFiles", "Replay", "ScriptPort"]

_PLAIN: Final = frozenset({bool, int, str, bytes})


class NoFiles:
    """The script of a node reads and writes no files."""

    def run(self, name: str) -> None:
        raise OSError(EOPNOTSUPP, "a script cannot read another one")

    def load(self, name: str, size: int) -> bytes:
        raise OSError(EOPNOTSUPP, "a script cannot read a file")

    def save(self, name: str, text: str) -> None:
        raise OSError(EOPNOTSUPP, "a script cannot write a file")


class ScriptPort(GraphPort):
    """
    A port that notes what is under way: ``waiting``, by token the line that began it.

    ``line`` is the one that is being run; ``here`` may be set anew between runs.
    """

    def __init__(self, graph: Graph, source: Node, here: Node) -> None:
        super().__init__(graph, source, here)
        self.line = ""
        self.waiting: dict[int, str] = {}

    def send(self, path: str, message: Message) -> None:
        try:
            super().send(path, message)
        except OSError as error:
            if error.errno == EINPROGRESS:
                self.waiting[message.token] = self.line
            raise


class _Refused(Exception):  # noqa: N818 - it says where the fast path ends, not that anything failed
    """A line that is more than a message."""


class _Notes:
    """A `Port` that leads nowhere, and notes what is asked of it."""

    def __init__(self) -> None:
        self.encoded: list[tuple[str, str, str]] = []
        self.sent: list[tuple[str, Message]] = []

    def send(self, path: str, message: Message) -> None:
        self.sent.append((path, message))

    def encode(self, path: str, name: str, text: str) -> Message:
        self.encoded.append((path, name, text))
        return Message(0, 0)

    def received(self) -> list[tuple[str, Message]]:
        return []

    def request(self, path: str, message: Message) -> bytes:
        raise _Refused

    def decode(self, address: str, message: Message) -> Message | None:
        raise _Refused

    def write(self, hook: str, data: bytes) -> None:
        raise _Refused

    def names(self) -> Iterable[str]:
        raise _Refused

    def types(self) -> Iterable[str]:
        raise _Refused

    def hooks(self, path: str) -> Iterable[str]:
        raise _Refused

    def messages(self, path: str) -> Iterable[str]:
        raise _Refused


class _Step:
    """
    A line, and the message it comes to.

    ``path`` is None where it is the session's to run.  ``text`` is the text of a
    message's arguments; ``kind`` is the type of node it was converted for, None
    where nothing is known yet.  ``given`` is what `Item.given` may be.
    """

    __slots__ = ("cmd", "cmdstr", "cookie", "data", "given", "kind", "line", "name", "path", "text")

    def __init__(self, line: str) -> None:
        self.line = line
        self.path: str | None = None
        self.name: str | None = None
        self.text = ""
        self.kind: INodeType | None = None
        self.given: tuple[Row, tuple[Any, ...]] | None = None
        self.cookie = GENERIC_COOKIE
        self.cmd = 0
        self.data = b""
        self.cmdstr = ""

    def hold(self, message: Message) -> None:
        """Keep what is sent."""
        self.cookie, self.cmd = message.cookie, message.cmd
        self.data, self.cmdstr = message.data, message.cmdstr


class Replay:
    """
    The lines of a script, to be run as *session* runs them.

    Args:
        session: Checked that each line is a command and allowed.
        port: The port of *session*.
        lines: The script.
    """

    def __init__(self, session: Session, port: ScriptPort, lines: Sequence[str]) -> None:
        self.session = session
        self.port = port
        self._steps = [_prepare(line, session.only) for line in lines]

    def run(self) -> None:
        """
        Run the lines, up to the first that fails: ``port.line`` tells which.

        Raises:
            OSError: Its errno and its sentence, as of the session's LineError.
        """
        port = self.port
        port.line = ""
        for step in self._steps:
            port.line = step.line
            if step.path is None:
                self.session.run(step.line)
            elif step.name is None:
                self._send(step, step.path)
            else:
                self._convert_and_send(step, step.path)

    def _send(self, step: _Step, path: str) -> None:
        """Send a generic message, which is the same to nodes of any type."""
        session, port = self.session, self.port
        session.token = token = (session.token + 1) & 0x7FFFFFFF
        graph = port.graph
        node, arrival = graph.find(path, port.here)
        item = Item(
            Message(step.cookie, step.cmd, step.data, token, 0, step.cmdstr), port.source.id
        )
        item.given = step.given
        graph.deliver(node, item, arrival)

    def _convert_and_send(self, step: _Step, path: str) -> None:
        """Send a message of a node's type, in the form that the type gives it."""
        session, port = self.session, self.port
        graph = port.graph
        node, arrival = graph.find(path, port.here)
        if node.type is not step.kind:
            self._convert(step, path, node.type)
        session.token = token = (session.token + 1) & 0x7FFFFFFF
        item = Item(
            Message(step.cookie, step.cmd, step.data, token, 0, step.cmdstr), port.source.id
        )
        item.given = step.given
        try:
            graph.deliver(node, item, arrival)
        except OSError as error:
            # A connection that is on its way is no failure of the line (§9.3).
            if error.errno != EINPROGRESS:
                raise
            port.waiting[token] = step.line

    def _convert(self, step: _Step, path: str, kind: INodeType) -> None:
        name = step.name
        assert name is not None  # it is a message with a name
        message = self.port.encode(path, name, step.text)
        step.kind = step.given = None  # what was known is of another form
        step.hold(message)
        with suppress(Exception):  # of a layout's own code: the node is to say so then, each time
            row = row_named(kind, name)
            if row is not None and (row.arg is None or row.arg.lasts(step.text)):
                step.kind = kind
                given = row.unpack(step.data)
                if all(map(_unchanging, given)):
                    step.given = row, given


def _prepare(line: str, only: frozenset[str] | None) -> _Step:
    step = _Step(line)
    notes, warned = _Notes(), list[str]()
    session = Session(notes, _silent, warned.append, NoFiles(), only)
    try:
        session.run(line)
    except (OSError, _Refused):
        return step
    if warned or len(notes.sent) != 1 or len(notes.encoded) > 1:
        return step
    [(path, message)] = notes.sent
    if notes.encoded:
        [(where, step.name, step.text)] = notes.encoded
        if where != path:
            return step
    else:
        step.hold(message)
        row = SHARED_ROWS[message.cookie].rows.find(message.cookie, message.cmd)
        if row is not None:
            step.given = row, row.unpack(message.data)  # the graph's own methods only read it
    step.path = path
    return step


def _unchanging(value: object) -> bool:
    """Whether nobody can change *value*, and another made of the same bytes is the same."""
    kind = type(value)
    if kind in _PLAIN:
        return True
    params = vars(kind).get("__dataclass_params__")
    if params is None or not params.frozen or not made_plainly(kind):
        return False
    return all(_unchanging(getattr(value, field.name)) for field in fields(cast(Any, value)))


def _silent(text: str) -> None:
    """Say nothing: a script's output has no reader."""
