"""A graph in a dry run, where phantoms stand for what is not there.

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
from collections.abc import Callable, Iterable, Sequence
from errno import EINVAL, ENOENT, ENXIO
from typing import Final

from ngksock._inetgraph import INodeType
from ngksock.netgraph import Graph, Hook, Item, Message, Node
from ngksock.netgraph.generic import SHARED_ROWS
from ngksock.netgraph.message import GENERIC_COOKIE
from ngksock.netgraph.path import Path, decode_id
from ngksock.netgraph.port import GraphPort
from ngksock.nodes.socket import Socket
from ngksock.plugin import NodeType, available, find_type

__all__ = ["Sketch", "SketchPort"]

_QUOTED: Final = re.compile(r'"([^"]*)"')


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

    def __init__(self, report: Callable[[str, Exception], None]) -> None:
        self.later: deque[Callable[[], None]] = deque()
        self._bug = report
        self._available = available()
        super().__init__(
            self._known_type, self.later.append, time.monotonic, self._tell, True, self.offered
        )
        self.missing: dict[tuple[Node | None, str], Node] = {}
        self.doubted: dict[tuple[Node | None, str], Node] = {}
        self.excused: set[Node] = set()
        self.rumours: set[str] = set()
        self.refusal: OSError | None = None
        self.made = 0
        self.guessing = False
        self.terse = False

    def _tell(self, sentence: str, error: Exception | None) -> None:
        """Tell of bugs alone: a check without errors is silent."""
        if error is not None:
            self._bug(sentence, error)

    def _known_type(self, name: str) -> INodeType:
        if name not in self._available:  # the look for it takes milliseconds
            raise OSError(ENOENT, f'there is no node type "{name}"')
        return find_type(name)

    def offered(self) -> list[str]:
        """Return the names of the types there are, looked up once."""
        return self._available

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

    def whisper(self, message: Sequence[str]) -> None:
        """Do not miss what *message*, which fails or is to a phantom, may have put somewhere."""
        if message and message[0] == "insert":
            self.rumours.update(_QUOTED.findall(" ".join(message)))

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
        """As `Graph.deliver`; an excused node refuses nothing but what every node understands."""
        try:
            super().deliver(node, item, arrival)
        except OSError as error:
            if node in self.excused and item.message.cookie not in SHARED_ROWS:
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
            self.sketch.whisper((name, text))
            return Message(PHANTOM.cookie, 1, cmdstr=name)
        return super().encode(path, name, text)

    def names(self) -> Iterable[str]:
        """Return the names of nodes, while near ones are still shown to anybody."""
        return () if self.sketch.terse else super().names()

    def write(self, hook: str, data: bytes) -> None:
        """Look only whether *hook* is there: packets may cause anything."""
        if hook in self.source.hooks or (self.source, hook) in self.sketch.doubted:
            return
        if self.sketch.unseen(self.source, hook):
            self.sketch.miss(self.source, hook)
            super().write(hook, data)
