"""What the graph's side of a relayed connection costs: no socket is opened here.

The ksockets are stand-ins of the same messages: one listens, its clones are
"accepted", those that a script makes "connect" later.  What is left is the
work of listener and graph in the whole life of a connection.
"""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable, Iterator
from errno import EINPROGRESS
from typing import Final

from ngksock.netgraph import Graph, Hook, Node, Reply, command, command_later
from ngksock.netgraph.edges import mkpeer
from ngksock.netgraph.layout import INT32
from ngksock.nodes.ksocket.accepted import ACCEPTED, Accepted
from ngksock.nodes.ksocket.address import SOCKADDR, SockAddr
from ngksock.nodes.listener import KSOCKET_COOKIE, KSOCKET_OWN_COOKIE, Listener, Script
from ngksock.plugin import NodeType, find_type

__all__ = ["FORWARD", "Door", "scripts"]

FORWARD: Final = ["mkpeer ksocket out inet/stream/tcp", "msg .:out connect inet/127.0.0.1:9000"]
PEER: Final = SockAddr(2, bytes(14)).generic()
HELD: Final = 2000


class StandIn(Node):
    """A ksocket without a socket: it keeps what it was asked, for the bench to answer."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: Reply[Accepted] | None = None
        self.connecting: Reply[int] | None = None

    def connect(self, hook: Hook) -> None:
        pass

    def disconnect(self, hook: Hook) -> None:
        if self.valid:
            self.graph.rmnode_self(self)

    @command(2, arg=INT32)
    def listen(self, backlog: int) -> None:
        """Listen."""

    @command_later(3, "accept", resp=ACCEPTED, cmdstr="NGM_KSOCKET_ACCEPT")
    def soaccept(self, reply: Reply[Accepted]) -> None:
        """Wait for a connection."""
        self.asked = reply

    @command_later(4, "connect", arg=SOCKADDR, resp=INT32, cmdstr="NGM_KSOCKET_CONNECT")
    def soconnect(self, to: SockAddr, reply: Reply[int]) -> None:
        """Begin to connect."""
        self.connecting = reply
        raise BlockingIOError(EINPROGRESS, "under way")

    @command(2, cookie=KSOCKET_OWN_COOKIE)
    def unaccept(self) -> None:
        """Accept nothing."""
        self.asked = None


KSOCKET: Final = NodeType("ksocket", KSOCKET_COOKIE, StandIn)


def _complain(sentence: str, error: Exception | None) -> None:
    raise RuntimeError(sentence) from error


class Door:
    """
    A listener that was started.

    Args:
        lines: Its script.
    """

    def __init__(self, lines: list[str]) -> None:
        self.graph = Graph(
            lambda name: KSOCKET if name == "ksocket" else find_type(name),
            lambda work: None, time.monotonic, _complain,
        )  # fmt: skip
        listener = self.graph.make(self.graph.type("listener"))
        assert isinstance(listener, Listener)
        self.listener = listener
        socket = mkpeer(self.graph, listener, "ksocket", "socket", "inet/stream/tcp")
        assert isinstance(socket, StandIn)
        self.socket = socket
        listener.setscript(Script(lines))
        listener.start(1024)

    def open(self) -> StandIn:
        """Let a connection come in, and what its script connects be connected."""
        clone = StandIn()
        self.graph.add(KSOCKET, clone)
        accepted = self.socket.asked
        assert accepted is not None
        accepted(Accepted(clone.id, PEER), clone.id)
        for hook in clone.hooks.values():
            far = hook.peer.node
            if isinstance(far, StandIn) and far.connecting is not None:
                reply, far.connecting = far.connecting, None
                reply(0)
        return clone

    def live(self, rounds: int) -> None:
        """Let so many connections come and go."""
        graph = self.graph
        for _ in range(rounds):
            clone = self.open()
            assert clone.hooks
            graph.rmnode_self(clone)


def scripts(cost: Callable[[Callable[[int], None]], float]) -> Iterator[tuple[str, float]]:
    """Yield what *cost* finds for the life of a connection, and the bytes an idle one keeps."""
    yield "a connection's script, us", cost(Door(FORWARD).live) / 1e3
    door = Door(FORWARD)
    for clone in [door.open() for _ in range(100)]:
        door.graph.rmnode(clone)
    gc.collect()
    tracemalloc.start()
    held = [door.open() for _ in range(HELD)]
    gc.collect()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    yield "an idle connection's graph, bytes", size / len(held)
    door.graph.close()
