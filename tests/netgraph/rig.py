"""A graph on the bench: turns are made by hand, and every callback can be recorded."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from errno import ENOENT
from functools import partial
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ngksock.netgraph import Batch, Graph, Hook, Item, Message, Node, Packet
from ngksock.netgraph.message import GENERIC_COOKIE, HASREPLY, READONLY
from ngksock.netgraph.ngctl import LineError
from ngksock.netgraph.port import GraphPort
from ngksock.netgraph.session import Session
from ngksock.nodes.socket import Socket
from ngksock.nodes.socket import socket as socket_type
from ngksock.plugin import NodeType

READS = READONLY | HASREPLY


class Hub(Node):
    """Sends each packet out of all other hooks, and goes on when one refuses."""

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        last: OSError | None = None
        for other in reversed(list(self.hooks.values())):
            if other is not hook:
                try:
                    other.send_data(packet)
                except OSError as error:
                    last = error
        if last is not None:
            raise last

    def rcvbatch(self, hook: Hook, batch: Batch) -> None:
        for other in reversed(list(self.hooks.values())):
            if other is not hook:
                other.send_batch(batch)


class Pass(Node):
    """Passes packets one by one: all that a third party's node may know."""

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        for other in self.hooks.values():
            if other is not hook:
                other.send_data(packet)


class Train(Pass):
    """As Pass, and passes batches whole."""

    def rcvbatch(self, hook: Hook, batch: Batch) -> None:
        for other in self.hooks.values():
            if other is not hook:
                other.send_batch(batch)


class Sink(Node):
    """Keeps what it receives, as text; raises ``error`` where that is set."""

    def __init__(self) -> None:
        super().__init__()
        self.got: list[str] = []
        self.flows: list[bool] = []
        self.error: Exception | None = None

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        if self.error is not None:
            raise self.error
        self.got.append(bytes(packet).decode())

    def rcvflow(self, hook: Hook, high: bool) -> None:
        self.flows.append(high)


class Life(Node):
    """Notes every callback as ``"CALLBACK LABEL HOOK"`` and raises what ``refuse`` has for it."""

    def __init__(self, label: str, log: list[str], refuse: dict[str, Exception]) -> None:
        super().__init__()
        self.label, self.log, self.refuse = label, log, refuse
        self.stay: bool | None = None
        self.during: dict[str, Callable[[], object]] = {}
        self.note("constructor")

    def note(self, callback: str, detail: str = "") -> None:
        self.log.append(f"{callback} {self.label} {detail}".rstrip())
        act = self.during.get(callback)
        if act is not None:
            act()
        error = self.refuse.get(f"{callback} {self.label}")
        if error is not None:
            raise error

    def newhook(self, hook: Hook, name: str) -> None:
        self.note("newhook", name)

    def connect(self, hook: Hook) -> None:
        self.note("connect", hook.name)

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        self.note("rcvdata", bytes(packet).decode())

    def rcvflow(self, hook: Hook, high: bool) -> None:
        self.note("rcvflow", f"{hook.name} {high}")

    def rcvmsg(self, item: Item, lasthook: Hook | None) -> None:
        self.note("rcvmsg", f"{item.message.cmd} {lasthook.name if lasthook else None}")

    def disconnect(self, hook: Hook) -> None:
        self.note("disconnect", hook.name)

    def close(self) -> None:
        self.note("close")

    def shutdown(self) -> bool | None:
        self.note("shutdown")
        return self.stay


def life_type(label: str, log: list[str], refuse: dict[str, Exception] | None = None) -> NodeType:
    """Return a type whose nodes note their life in *log*."""
    return NodeType(label, 77, partial(Life, label, log, {} if refuse is None else refuse))


KINDS = (
    NodeType("hub", 1082189597, Hub),
    NodeType("pass", 1001, Pass),
    NodeType("train", 1002, Train),
    NodeType("sink", 1003, Sink),
    socket_type,
)


class NoFiles:
    """There are no files here."""

    def run(self, name: str) -> None:
        raise OSError(ENOENT, f"no file {name}")

    def load(self, name: str, size: int) -> bytes:
        raise OSError(ENOENT, f"no file {name}")

    def save(self, name: str, text: str) -> None:
        raise OSError(ENOENT, f"no file {name}")


class GraphTests(SynchronousTestCase):
    """
    A graph with a socket node ``me``, which the lines given to `ngctl` come from.

    ``turns`` holds what the graph asked to be called soon, ``reports`` what it
    told the operator, ``said`` what ngctl printed, ``inbox`` messages to me.
    """

    def setUp(self) -> None:
        self.turns: deque[Callable[[], None]] = deque()
        self.reports: list[tuple[str, Exception | None]] = []
        self.kinds = {kind.name: kind for kind in KINDS}
        self.graph = Graph(
            self.find_type,
            self.turns.append,
            lambda: 0.0,
            lambda text, error: self.reports.append((text, error)),
            available=lambda: sorted(self.kinds),
        )
        self.inbox: deque[Item] = deque()
        self.got: list[tuple[str, str]] = []
        self.said: list[str] = []
        self.warned: list[str] = []
        self.me = self.socket("me")
        self.me.on_message = self.inbox.append
        self.port = GraphPort(self.graph, self.me, inbox=self.inbox)
        self.session = Session(self.port, self.said.append, self.warned.append, NoFiles())

    def find_type(self, name: str) -> NodeType:
        if name not in self.kinds:
            raise OSError(ENOENT, f'there is no node type "{name}"')
        return self.kinds[name]

    def socket(self, name: str) -> Socket:
        """Attach something from outside; the packets it gets are in ``got``."""
        node = Socket()
        self.graph.add(socket_type, node)
        self.graph.rename(node, name)
        node.on_data = lambda hook, packet: self.got.append((hook.name, bytes(packet).decode()))
        return node

    def add(self, *kinds: NodeType) -> None:
        """Make more types known."""
        self.kinds.update({kind.name: kind for kind in kinds})

    def ngctl(self, *lines: str) -> list[str]:
        """Carry out *lines*; return what they printed."""
        before = len(self.said)
        for line in lines:
            self.session.run(line)
        return self.said[before:]

    def errno(self, line: str) -> int:
        """Return the errno *line* fails with, 0 if it does not."""
        try:
            self.session.run(line)
        except LineError as error:
            assert error.errno is not None
            return error.errno
        return 0

    def node(self, name: str) -> Any:
        """Return the node at the path *name*."""
        return self.graph.find(name, self.me)[0]

    def hook(self, name: str, node: Node | None = None) -> Hook:
        """Return a hook, of me if nobody else."""
        return (node or self.me).hooks[name]

    def send(self, hook: str, *texts: str) -> None:
        """Send packets out of a hook of me, one by one."""
        for text in texts:
            self.hook(hook).send_data(Packet(text.encode()))

    def send_batch(self, hook: str, *texts: str) -> None:
        """Send packets out of a hook of me, all at once."""
        self.hook(hook).send_batch(Batch(Packet(text.encode()) for text in texts))

    def ask(self, path: str, cmd: int, data: bytes = b"", cookie: int = GENERIC_COOKIE) -> bytes:
        """Send a request and return the arguments of the one reply that came."""
        self.inbox.clear()
        self.graph.send(self.me, path, Message(cookie, cmd, data, 7, cmdstr="asked"))
        (item,) = self.inbox
        self.inbox.clear()
        return item.message.data

    def tell(self, path: str, cmd: int, data: bytes = b"", cookie: int = GENERIC_COOKIE) -> int:
        """Send a message; return its errno, 0 if there was none."""
        try:
            self.graph.send(self.me, path, Message(cookie, cmd, data))
        except OSError as error:
            assert error.errno is not None
            return error.errno
        return 0

    def turn(self, most: int = 1) -> int:
        """Make at most *most* turns; return how many there were to make."""
        for made in range(most):
            if not self.turns:
                return made
            self.turns.popleft()()
        return most

    def chain(self, kind: str, length: int) -> list[Node]:
        """Link *length* nodes of type *kind* in a row behind hook ``x`` of me, and a sink."""
        nodes: list[Node] = []
        at = "."
        for number in range(length):
            self.ngctl(f"mkpeer {at} {kind} {'x' if at == '.' else 'out'} in")
            nodes.append((nodes[-1].hooks["out"] if nodes else self.hook("x")).peer.node)
            at = f"[{nodes[-1].id:x}]:"
            if number == length - 1:
                self.ngctl(f"mkpeer {at} sink out in", f"name {at}out sink")
        return nodes

    def assert_whole(self) -> None:
        """Assert that what the graph keeps agrees with itself."""
        graph = self.graph
        living: dict[str, int] = {}
        for number, node in graph.nodes.items():
            living[node.type.name] = living.get(node.type.name, 0) + 1
            self.assertEqual((number, True, False, 0), self.state(node))
            for name, hook in node.hooks.items():
                self.assertEqual((name, node, True), (hook.name, hook.node, hook.valid))
                self.assertIs(hook, hook.peer.peer)
                self.assertIsNot(hook, hook.peer)
                self.assertIs(hook.peer, hook.peer.node.hooks[hook.peer.name])
                self.assertIs(hook.peer.node, graph.nodes[hook.peer.node.id])
        self.assertEqual({n.name: n for n in graph.nodes.values() if n.name}, graph.names)
        self.assertEqual(living, {name: count for name, count in graph.living.items() if count})
        self.assertEqual((0, 0), (len(graph.work), graph.work.depth))

    def state(self, node: Node) -> tuple[int, bool, bool, int]:
        """Return id, validity, closing and busy of *node*."""
        return node.id, node.valid, node.closing, node.busy
