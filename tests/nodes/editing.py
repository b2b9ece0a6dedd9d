"""A path between two ksockets whose nodes come and go while it carries traffic."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from errno import EBUSY
from typing import Any, Final

from twisted.internet.epollreactor import EPollReactor

from ngksock.kpi import SocketKPI
from ngksock.netgraph import Graph, Hook, Node, Packet
from ngksock.netgraph.port import GraphPort
from ngksock.netgraph.replay import NoFiles
from ngksock.netgraph.session import Session
from ngksock.nodes.ksocket import kpi_of
from ngksock.plugin import NodeType
from ngksock.testing import RecordingNode, recorder
from tests.nodes.facing import DEADLINE, FIND
from tests.nodes.facing import Facing as Streams

WAY: Final = "{ cbs=100 cir=1 greenAction=1 yellowAction=1 redAction=1 }"
SHAPE: Final = "{ cbs=3000 cir=400000000 mode=3 greenAction=1 yellowAction=1 redAction=1 }"
KINDS: Final = {
    "tee": ("tee", "left", "right", ()),
    "hub": ("hub", "a", "b", ()),
    "third": ("third", "left", "right", ()),
    "pipe": ("pipe", "upper", "lower", ()),
    "delay": ("pipe", "upper", "lower", ("setcfg { delay=1000 }",)),
    "queue": ("pipe", "upper", "lower", ("setcfg { delay=1000 bandwidth=800000000 }",)),
    "car": ("car", "lower", "upper", (f"setconf {{ upstream={WAY} downstream={WAY} }}",)),
    "shape": ("car", "lower", "upper", (f"setconf {{ upstream={SHAPE} downstream={SHAPE} }}",)),
}
"""What is put in: the type, by which hooks, and what it is told at once; three hold packets."""
LOSSY: Final = ("queue", "shape")
"""Their queues have room for so many datagrams; streams wait."""

ROOM: Final = 60_000
"""Bytes of datagrams that are under way at most: any system lets a socket hold them."""


class Third(Node):
    """A third party's: ``rcvdata``, and no more."""

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        other = self.hooks["right" if hook.name == "left" else "left"]
        other.send_data(packet)


THIRD: Final = NodeType("third", 1763800031, Third)


def find(name: str) -> Any:
    """Return a type of node, one of the tests' among them."""
    return THIRD if name == "third" else FIND(name)


def carry_out(graph: Graph, local: RecordingNode, said: list[str], lines: Sequence[str]) -> None:
    """Carry out *lines* of ngctl, from *local*."""
    port = GraphPort(graph, local, inbox=local.inbox)
    session = Session(port, said.append, said.append, NoFiles())
    for line in lines:
        session.run(line)


class Middles:
    """
    What stands between two ksockets, from the near one on.

    Args:
        graph: Their graph.
        lines: Carries out lines of ngctl.
        near: Returns the ksocket at one end.
        far: At the other.
        lossy: Whether nodes with short queues may be put in.
    """

    def __init__(
        self,
        graph: Graph,
        lines: Callable[..., None],
        near: Callable[[], Any],
        far: Callable[[], Any],
        lossy: bool,
    ) -> None:
        self.graph, self.lines, self.near, self.far = graph, lines, near, far
        self.lossy = lossy
        self.between: list[tuple[Any, str, str]] = []
        self.made = 0

    @property
    def whole(self) -> bool:
        """Whether both ends are there, and linked."""
        return all(node.valid and node.hook is not None for node in (self.near(), self.far()))

    def edit(self, what: str, kind: str, place: int) -> None:
        """Change something: "insert" a *kind*, "bypass", or "look"."""
        if what == "insert":
            self.insert(kind, place)
        elif what == "bypass":
            self.bypass(place)
        else:
            self.look(place)

    def insert(self, kind: str, place: int) -> None:
        """Put a node in, at a link of that number, by a message to one of its ends."""
        if not self.whole or (kind in LOSSY and not self.lossy):
            return
        kind, into, out, told = KINDS[kind]
        at = place % (len(self.between) + 1)
        if place // 7 % 2:  # by way of the node beyond
            node, hook = (
                (self.far(), self.far().hook.name)
                if at == len(self.between)
                else self.between[at][:2]
            )
            ends = f'in="{out}" out="{into}"'
        else:
            node, hook = (
                (self.near(), self.near().hook.name)
                if not at
                else (self.between[at - 1][0], self.between[at - 1][2])
            )
            ends = f'in="{into}" out="{out}"'
        self.made += 1
        name = f"edit{self.made}"
        hooks = self.near().hook, self.far().hook
        self.lines(
            f'msg [{node.id:x}]: insert {{ hook="{hook}" type="{kind}" {ends} name="{name}" }}',
            *(f"msg {name}: {text}" for text in told),
        )
        new = self.graph.names[name]
        self.between.insert(at, (new, into, out))
        assert hooks == (self.near().hook, self.far().hook), "an end has another hook now"

    def bypass(self, place: int) -> None:
        """Take a node out, by one hook or the other first; what else it has hooks for ends it."""
        if not self.between or not self.whole:
            return
        at = place % len(self.between)
        node, into, out = self.between[at]
        if place // 7 % 2:
            into, out = out, into
        try:
            self.lines(f'msg {node.name}: bypass {{ in="{into}" out="{out}" }}')
        except OSError as error:
            # It holds what a sink does not take just now, or what ended that when it was sent on.
            if error.errno == EBUSY or not self.whole:
                return
            raise
        del self.between[at]
        if node.valid:
            self.lines(f"shutdown {node.name}:")

    def look(self, place: int) -> None:
        """Let a hole look on at a tee, or no more."""
        tees = [node for node, _, _ in self.between if node.type.name == "tee"]
        if tees and self.whole:
            tee = tees[place % len(tees)]
            hook = ("left2right", "right2left")[place // 7 % 2]
            if hook in tee.hooks:
                self.lines(f"rmhook {tee.name}: {hook}")
            else:
                self.lines(f"mkpeer {tee.name}: hole {hook} in")

    def passed(self) -> list[tuple[int, int]]:
        """Return the bytes that each sent on, from the near end and from the far one."""
        return [(node.hooks[out].bytes, node.hooks[into].bytes) for node, into, out in self.between]

    def check(self) -> None:
        """What the nodes counted is what passed: all that came in went out, and none was lost."""
        for node, into, out in self.between:
            if not (node.valid and into in node.hooks and out in node.hooks):
                continue
            before, after = node.hooks[into].peer, node.hooks[out].peer
            assert not node.hooks[into].drops and not node.hooks[out].drops, node
            if node.type.name == "tee":
                stats = node.getstats()
                for name, other in (("left", "right"), ("right", "left")):
                    came, went = stats.of(name), stats.of(other)
                    assert came.in_octets == went.out_octets, node
                    assert came.in_octets == node.hooks[other].bytes, node
            assert before.node is not node and after.node is not node


class EditedStreams(Streams):
    """Two facing streams, and what comes between them."""

    def __init__(self, how: str, family: str = "inet") -> None:
        super().__init__(how, "plain", family)
        self.graph.types["third"] = THIRD
        self.middles = Middles(self.graph, self.lines, lambda: self.near, lambda: self.far, True)


class EditedDatagrams:
    """
    Client - ksocket - ... - ksocket - server, for datagrams, in one of the ways there are.

    Args:
        how: "off", "mmsg" or "segments".
        inet: AF_INET or AF_INET6.
    """

    def __init__(self, how: str, inet: int = socket.AF_INET) -> None:
        self.reactor = EPollReactor()
        self.reports: list[str] = []
        self.bugs: list[Exception] = []
        self.graph = Graph(
            find,
            lambda work: self.reactor.callLater(0, work),
            self.reactor.seconds,
            lambda text, error: self.bugs.append(error) if error else self.reports.append(text),
            reactor=self.reactor,
        )
        self.graph.shared["kpi"] = SocketKPI(self.reactor, mmsg=how)
        self.local = RecordingNode()
        self.graph.add(recorder, self.local)
        name: Any = "127.0.0.1" if inet == socket.AF_INET else "::1"
        kind = "inet/dgram/udp" if inet == socket.AF_INET else "inet6/dgram/udp"
        self.socks = {side: socket.socket(inet, socket.SOCK_DGRAM) for side in ("client", "server")}
        for sock in self.socks.values():
            sock.bind((name, 0))
            sock.setblocking(False)
        self.nodes: dict[str, Any] = {}
        # Linked by a hub, which is taken out then: each has its hook's name from the start.
        self.lines("mkpeer hub h h", "name h h")
        for side in self.socks:
            self.lines(f"mkpeer h: ksocket {side} {kind}")
            node: Any = self.graph.find(f"h:{side}", self.local)[0]
            self.nodes[side] = node
            node.so.bind((name, 0))
            node.so.connect(self.socks[side].getsockname()[:2])
            self.socks[side].connect(node.so.getsockname()[:2])
        self.lines('msg h: bypass { in="client" out="server" }', "rmhook h")
        self.middles = Middles(
            self.graph,
            self.lines,
            lambda: self.nodes["client"],
            lambda: self.nodes["server"],
            False,
        )
        self.sent: dict[str, list[bytes]] = {"client": [], "server": []}
        self.got: dict[str, list[bytes]] = {"client": [], "server": []}
        self.under_way = 0

    def lines(self, *lines: str) -> None:
        """Carry out lines of ngctl."""
        carry_out(self.graph, self.local, self.reports, lines)

    def write(self, side: str, size: int, count: int) -> None:
        """Send *count* datagrams of a size from one end, or as many as there is room for."""
        for _ in range(count):
            if self.under_way + size + 1000 > ROOM:
                return
            number = len(self.sent[side])
            data = (number.to_bytes(4) + bytes([number & 255]) * size)[: size + 4]
            self.socks[side].send(data)
            self.sent[side].append(data)
            self.under_way += size + 1000  # what a system counts for it besides

    def turn(self, count: int = 1) -> None:
        """Turn the reactor."""
        for _ in range(count):
            self.reactor.runUntilCurrent()
            self.reactor.doIteration(0)

    def read(self) -> None:
        """Take what has come at either end."""
        for side, sock in self.socks.items():
            try:
                while True:
                    self.got[side].append(sock.recv(70_000))
            except BlockingIOError:
                continue

    def settle(self) -> None:
        """Turn until all has come that was sent; what never does fails in `check`."""
        end = self.reactor.seconds() + DEADLINE
        while self.reactor.seconds() < end:
            self.turn()
            self.read()
            if all(len(self.got[b]) >= len(self.sent[a]) for a, b in SIDES):
                break
        self.turn(3)  # what is doubled comes now
        self.read()
        self.under_way = 0

    def check(self) -> None:
        """Every datagram came, once, in order; and what was counted says so."""
        for side, other in SIDES:
            got, sent = self.got[other], self.sent[side]
            assert got == sent, f"{other} got {len(got)} of {len(sent)}, or others"
            node, far = self.nodes[side], self.nodes[other]
            hook = node.hook
            count = len(sent), sum(map(len, sent))
            assert (hook.packets, hook.bytes, hook.drops) == (*count, {}), side
            assert (node.so.rcvpackets, node.so.rcvbytes) == count, side
            assert (far.so.sndpackets, far.so.sndbytes) == count, side
        self.middles.check()

    def close(self) -> None:
        """End everything."""
        for sock in self.socks.values():
            sock.close()
        self.graph.close()
        kpi_of(self.graph).closeall()
        self.turn(3)
        self.reactor.removeAll()
        for reader in list(self.reactor._internalReaders):
            reader.connectionLost(None)
        self.reactor._poller.close()
        assert not self.bugs, self.bugs


SIDES: Final = (("client", "server"), ("server", "client"))
