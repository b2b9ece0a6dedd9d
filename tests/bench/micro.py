"""What single steps cost: hops, messages, texts, nodes; time of this process's CPU.

``python -m tests.bench.micro`` prints the figures as JSON.  They are CPU times,
so what else the machine does disturbs them little; each is the median of seven
samples of at least 50 ms.
"""

from __future__ import annotations

import gc
import json
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections import deque
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

from ngksock.netgraph import Batch, Graph, Hook, Node, Packet
from ngksock.netgraph.edges import connect
from ngksock.netgraph.generic import READS
from ngksock.netgraph.message import GENERIC_COOKIE, Item, Message
from ngksock.netgraph.port import GraphPort
from ngksock.netgraph.replay import NoFiles
from ngksock.netgraph.session import Session
from ngksock.nodes.socket import Socket, socket
from ngksock.plugin import NodeType, available, find_type
from ngksock.service.check import Check
from ngksock.service.run import Run
from ngksock.service.script import Library
from tests.bench.connections import connections
from tests.bench.large import NODES, large, loading
from tests.bench.script import scripts

__all__ = ["cost", "figures"]

SAMPLES: Final = 7
LEAST_NS: Final = 50_000_000
HOPS: Final = 10
SETCONFIG: Final = "{ xmitAlg=2 failAlg=1 enabledLinks=[ 1 1 1 1 0 1 ] }"
SETSCRIPT: Final = (
    '{ lines=[ "mkpeer ksocket out inet/stream/tcp" "msg .:out connect inet/127.0.0.1:9000" ] }'
)


def cost(step: Callable[[int], None]) -> float:
    """Return the CPU nanoseconds of one round of *step*, which does as many as it is told."""
    clock = time.process_time_ns
    rounds = 1
    while True:
        began = clock()
        step(rounds)
        took = clock() - began
        if took >= LEAST_NS:
            break
        rounds = max(rounds * 2, int(rounds * LEAST_NS * 1.2 / max(took, 1)))
    samples = []
    for _ in range(SAMPLES):
        began = clock()
        step(rounds)
        samples.append((clock() - began) / rounds)
    return statistics.median(samples)


def _complain(sentence: str, error: Exception | None) -> None:
    raise RuntimeError(sentence) from error


def _silent(text: str) -> None:
    """Say nothing."""


def new_graph() -> Graph:
    """Return an empty graph, whose later turns never come."""
    return Graph(find_type, lambda work: None, time.monotonic, _complain, available=available)


# -- hops


class Third(Node):
    """A third party's node: ``rcvdata``, and no more."""

    hook_names = ("left", "right")

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        out = self.hooks.get("right")
        if out is not None:
            out.send_data(packet)


THIRD: Final = NodeType("third", 1763800001, Third)


def _chain(kind: str) -> Hook:
    """Return the hook that leads through ten nodes into a hole."""
    graph = new_graph()
    graph.types["third"] = THIRD
    source = graph.make(graph.type("hub"))
    before, out = source, "out"
    for _ in range(HOPS):
        node = graph.make(graph.type(kind))
        connect(graph, before, out, node, "left")
        before, out = node, "right"
    hole = graph.make(graph.type("hole"))
    connect(graph, before, out, hole, "in")
    return source.hooks["out"]


def _one_by_one(hook: Hook) -> Callable[[int], None]:
    packet = Packet(bytes(64))
    send = hook.send_data

    def step(rounds: int) -> None:
        for _ in range(rounds):
            send(packet)

    return step


def _batched(hook: Hook, size: int = 64) -> Callable[[int], None]:
    batch = Batch([Packet(bytes(64)) for _ in range(size)])
    send = hook.send_batch

    def step(rounds: int) -> None:
        for _ in range(rounds):
            send(batch)

    return step


def hops() -> Iterator[tuple[str, float]]:
    """Yield what a hop costs; that into the hole is left out by a chain without nodes."""
    for kind, name in (("tee", "hop"), ("hub", "hop through a hub"), ("third", "hop, third party")):
        hook = _chain(kind)
        yield f"{name}, one by one, ns", cost(_one_by_one(hook)) / (HOPS + 1)
        yield f"{name}, batches of 64, ns", cost(_batched(hook)) / (HOPS + 1) / 64


# -- control


def _session(graph: Graph) -> Session:
    node, inbox = Socket(), deque[Item]()
    node.on_message = inbox.append
    graph.add(socket, node)
    return Session(GraphPort(graph, node, inbox=inbox), _silent, _silent, NoFiles())


def _lines(session: Session, *lines: str) -> Callable[[int], None]:
    def step(rounds: int) -> None:
        for _ in range(rounds):
            for line in lines:
                session.run(line)

    return step


def control() -> Iterator[tuple[str, float]]:
    """Yield how many messages and nodes a second, and what texts cost."""
    graph = new_graph()
    session = _session(graph)
    session.run("mkpeer one2many a one")
    session.run("name a many")
    port, message = session.port, Message(GENERIC_COOKIE, 6 | READS, token=7)

    def ask(rounds: int) -> None:
        for _ in range(rounds):
            port.request("many:", message)

    yield "messages with replies per second", 1e9 / cost(ask)
    line = _lines(session, f"msg many: setconfig {SETCONFIG}")
    yield "ngctl lines per second", 1e9 / cost(line)
    yield (
        "mkpeer and shutdown per second",
        1e9 / cost(_lines(session, "mkpeer hub b b", "shutdown .:b")),
    )
    for kind, name, text in (
        ("one2many", "setconfig", SETCONFIG),
        ("listener", "setscript", SETSCRIPT),
        ("ksocket", "bind", "inet/192.0.2.1:8080"),
    ):
        row = graph.type(kind).commands.named(name)
        assert row is not None and row.arg is not None
        layout = row.arg
        value = layout.parse(text)
        data = layout.pack(value)

        def parse(rounds: int, layout=layout, text=text) -> None:
            for _ in range(rounds):
                layout.pack(layout.parse(text))

        def unparse(rounds: int, layout=layout, data=data) -> None:
            for _ in range(rounds):
                layout.unparse(layout.unpack(data))

        yield f"parse {kind} {name}, us", cost(parse) / 1e3
        yield f"unparse {kind} {name}, us", cost(unparse) / 1e3


# -- large graphs


def listing() -> Iterator[tuple[str, float]]:
    """Yield what it takes to make, list and close a graph of 10,000 nodes."""
    for shape in ("chain", "star"):
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            path = Path(folder, "large.ng")
            large(path, shape == "chain")
            library = Library()
            began = time.process_time()
            Check(library, _complain).file(str(path))
            yield f"check {NODES} nodes, {shape}, s", time.process_time() - began
            began = time.process_time()
            graph = new_graph()
            Run(graph, library, _silent, _silent).file(str(path))
            yield f"apply {NODES} nodes, {shape}, s", time.process_time() - began
        session = _session(graph)
        for command in ("list", "list -l", "dot"):
            began = time.process_time()
            session.run(command)
            yield f"{command} of {NODES} nodes, {shape}, s", time.process_time() - began
        began = time.process_time()
        graph.close()
        yield f"close {NODES} nodes, {shape}, s", time.process_time() - began


def memory() -> Iterator[tuple[str, float]]:
    """Yield the bytes that Python keeps for a node, and for a hook."""
    graph = new_graph()
    kind = graph.type("tee")
    for _ in range(100):
        graph.make(kind)
    gc.collect()
    tracemalloc.start()
    nodes = [graph.make(kind) for _ in range(NODES)]
    gc.collect()
    alone, _ = tracemalloc.get_traced_memory()
    for one, other in pairwise(nodes):
        connect(graph, one, "right", other, "left")
    gc.collect()
    linked, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    yield "node without hooks, bytes", alone / NODES
    yield "hook, bytes", (linked - alone) / (2 * NODES - 2)


def figures() -> dict[str, float]:
    """Return all of them by name, and their ratios that are promised."""
    found = dict(
        [*memory(), *loading(), *listing(), *hops(), *control(), *scripts(cost), *connections()]
    )
    plain = found["hop, one by one, ns"]
    found["third party / hop"] = found["hop, third party, one by one, ns"] / plain
    found["third party in batches / hop"] = found["hop, third party, batches of 64, ns"] / plain
    return found


if __name__ == "__main__":
    json.dump(figures(), sys.stdout, indent=1)
    print()
