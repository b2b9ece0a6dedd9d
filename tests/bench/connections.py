"""What one relayed connection costs in this process: through the socket layer, and through a graph.

A connection is accepted, one of its own is made, a byte goes there and back,
and both end.  The far ends live in this process, too; what they take is
measured without a relay, and left out.
"""

from __future__ import annotations

import resource
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

from twisted.internet.epollreactor import EPollReactor

from ngksock.kpi import SocketKPI
from ngksock.kpi.constants import (
    FIONBIO,
    MSG_DONTWAIT,
    SHUT_WR,
    SO_FILT_HINT_CONNECTED,
    SO_FILT_HINT_DISCONNECTED,
    SS_CANTSENDMORE,
    SS_NOFDREF,
)
from ngksock.netgraph import Graph
from ngksock.plugin import available, find_type
from ngksock.service.run import Run
from ngksock.service.script import Library

__all__ = ["Bystander", "connections", "forward", "through_kpi"]

HOST: Final = "127.0.0.1"
TOGETHER: Final = 8
"""So many connections are under way at a time, as in the bench."""
ROUNDS: Final = 100
SAMPLES: Final = 7
TURNS: Final = 1000
"""After so many turns of the reactor what has not come never will."""
GRAPH: Final = Path(__file__).with_name("graphs") / "forward.ng"


class Bystander:
    """
    Both far ends, and the reactor that a relay between them runs on.

    ``target`` is where the relay connects to, ``port`` where it is to listen.
    """

    def __init__(self) -> None:
        self.reactor: Any = EPollReactor()
        self.server = socket.create_server((HOST, 0), backlog=1024)
        self.server.setblocking(False)
        self._waiting: list[socket.socket] = []
        self.target: int = self.server.getsockname()[1]
        with socket.create_server((HOST, 0)) as probe:
            self.port: int = probe.getsockname()[1]

    def spin(self, done: Callable[[], Any]) -> None:
        """
        Run the reactor until *done* says something.

        Raises:
            TimeoutError: It never did.
        """
        for _ in range(TURNS):
            if done():
                return
            self.reactor.iterate(0)
        raise TimeoutError("a connection was not relayed")

    def begin(self, port: int) -> socket.socket:
        """Connect to *port* and send a byte."""
        near = socket.create_connection((HOST, port))
        near.send(b"x")
        return near

    def answer(self) -> socket.socket:
        """Accept at the target what comes there, and send a byte for a byte."""
        self.spin(self._came)
        far = self._waiting.pop(0)
        self.spin(lambda: _has(far))
        far.send(far.recv(1))
        return far

    def _came(self) -> bool:
        try:
            while True:
                sock, _ = self.server.accept()
                self._waiting.append(sock)
        except BlockingIOError:
            return bool(self._waiting)

    def round(self, port: int) -> None:
        """Open some connections over *port*, a byte each way, and end them."""
        near = [self.begin(port) for _ in range(TOGETHER)]
        for _ in near:
            self.answer().close()
        for sock in near:
            self.spin(partial(_has, sock))
            sock.recv(1)
            sock.close()


def _has(sock: socket.socket) -> bool:
    try:
        return bool(sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except BlockingIOError:
        return False


# -- the relays


class _Forward:
    """The least that the users of the socket layer must do to relay a stream."""

    def __init__(self, kpi: SocketKPI, port: int, target: int) -> None:
        self.kpi, self.target = kpi, target
        self.open = 0
        self.so = kpi.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.so.ioctl(FIONBIO, 1)
        self.so.bind((HOST, port))
        self.so.listen(1024)
        self.so.setupcall(self._accept)

    def _accept(self, so: Any, cookie: Any, waitf: int) -> None:
        for _ in range(TOGETHER):
            try:
                taken = so.accept(MSG_DONTWAIT)
            except BlockingIOError:
                return
            made = self.kpi.socket(socket.AF_INET, socket.SOCK_STREAM)
            made.ioctl(FIONBIO, 1)
            made.catchevents(self._event, taken[0], SO_FILT_HINT_CONNECTED)
            self.open += 2
            try:
                made.connect((HOST, self.target), MSG_DONTWAIT)
            except BlockingIOError:
                continue

    def _event(self, made: Any, taken: Any, event: int) -> None:
        for so, other in ((made, taken), (taken, made)):
            so.catchevents(self._over, other, SO_FILT_HINT_DISCONNECTED)
            so.setupcall(self._readable, other)
            self._readable(so, other, 0)

    def _readable(self, so: Any, other: Any, waitf: int) -> None:
        if not so.readable or other.state & (SS_CANTSENDMORE | SS_NOFDREF):
            return
        try:
            batch = so.receivebatch(64)
        except BlockingIOError:
            return
        if batch:
            other.sendbatch(batch)
        else:
            other.shutdown(SHUT_WR)

    def _over(self, so: Any, other: Any, event: int) -> None:
        self._readable(so, other, 0)
        self.open -= 1
        so.close()


def through_kpi(by: Bystander) -> Callable[[], bool]:
    """Relay by the socket layer alone; return who says that nothing is left open."""
    relay = _Forward(SocketKPI(by.reactor), by.port, by.target)
    return lambda: not relay.open


def forward(by: Bystander) -> Callable[[], bool]:
    """Relay by the graph of the bench; return who says that nothing is left open."""

    def complain(sentence: str, error: Exception | None) -> None:
        raise RuntimeError(sentence) from error

    def soon(work: Callable[[], None]) -> None:
        by.reactor.callLater(0, work)

    graph = Graph(
        find_type, soon, time.monotonic, complain, available=available, reactor=by.reactor
    )
    text = GRAPH.read_text()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        path = Path(folder, "forward.ng")
        path.write_text(text.replace("{listen}", str(by.port)).replace("{target}", str(by.target)))
        Run(graph, Library(), lambda text: None, lambda text: None).file(str(path))
    before = len(graph.nodes)
    return lambda: len(graph.nodes) == before


# -- what they cost


def _cost(step: Callable[[], None]) -> tuple[float, float]:
    """Return the microseconds of one connection of *step*, and the system's share of them."""
    samples = []
    before = resource.getrusage(resource.RUSAGE_SELF)
    for _ in range(SAMPLES):
        began = time.process_time_ns()
        for _ in range(ROUNDS):
            step()
        samples.append((time.process_time_ns() - began) / 1e3 / ROUNDS / TOGETHER)
    after = resource.getrusage(resource.RUSAGE_SELF)
    system = after.ru_stime - before.ru_stime
    share = system / (system + after.ru_utime - before.ru_utime)
    whole = statistics.median(samples)
    return whole, whole * share


def connections() -> Iterator[tuple[str, float]]:
    """Yield the CPU time of a relayed connection, the system's share apart."""
    by = Bystander()
    alone = _cost(lambda: by.round(by.target))
    for name, relay in (("kpi", through_kpi), ("ksocket nodes", forward)):
        by = Bystander()
        idle = relay(by)

        def step(by: Bystander = by, idle: Callable[[], bool] = idle) -> None:
            by.round(by.port)
            by.spin(idle)

        step()
        whole, system = (all - ends for all, ends in zip(_cost(step), alone, strict=True))
        yield f"connection through {name}, us", whole
        yield f"connection through {name}, of it the system, us", system
