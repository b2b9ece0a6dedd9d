"""Client - ksocket - ... - ksocket - server, on a reactor turned by hand."""

from __future__ import annotations

import errno as e
import socket
import struct
import termios
from collections.abc import Callable
from contextlib import suppress
from fcntl import ioctl
from functools import cache
from typing import Any, Final

from twisted.internet.epollreactor import EPollReactor

from ngksock.kpi import SocketKPI
from ngksock.netgraph import Graph
from ngksock.netgraph.port import GraphPort
from ngksock.netgraph.session import Session
from ngksock.nodes.ksocket import kpi_of
from ngksock.plugin import find_type
from ngksock.testing import RecordingNode, recorder

SOL: Final = socket.SOL_SOCKET
SMALL: Final = 1 << 14
DEADLINE: Final = 10.0
QUIET: Final = 12
"""So many turns in which nothing happens: nothing is under way any more."""

MIDDLES: Final = {
    "plain": [],
    "tee": [("tee", "left", "right")],
    "hub": [("hub", "a", "b")],
    "three": [("tee", "left", "right"), ("hub", "a", "b"), ("tee", "right", "left")],
}
FIND: Final = cache(find_type)
"""The entry points are looked up once, for there are many graphs."""

RESET: Final = struct.pack("ii", 1, 0)


class End:
    """
    A far end: it sends when it can what it is told to, and reads only when told.

    Args:
        sock: Its socket.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.out = bytearray()
        self.sent = 0
        self.shuts = self.shut = False
        self.got = bytearray()
        self.over = ""

    def push(self) -> bool:
        """Send what goes; tell whether anything did."""
        if self.sock.fileno() < 0 or self.shut:
            return False
        try:
            count = self.sock.send(self.out) if self.out else 0
        except BlockingIOError:
            return False
        except OSError as error:
            self.over = self.over or e.errorcode[error.errno or 0]
            self.out.clear()
            return True
        del self.out[:count]
        self.sent += count
        if self.shuts and not self.out and self.over in ("", "end"):
            with suppress(OSError):  # a reset was quicker
                self.sock.shutdown(socket.SHUT_WR)
            self.shut = True
            return True
        return bool(count)

    def read(self, count: int) -> bool:
        """Read up to *count* bytes; tell whether anything came, the end included."""
        if self.sock.fileno() < 0 or self.over:
            return False
        try:
            data = self.sock.recv(count)
        except BlockingIOError:
            return False
        except OSError as error:
            self.over = e.errorcode[error.errno or 0]
            return True
        self.got += data
        if not data:
            self.over = "end"
        return True

    def cut(self) -> None:
        """Close by a reset."""
        self.sock.setsockopt(SOL, socket.SO_LINGER, RESET)
        self.sock.close()


def _small(inet: int) -> socket.socket:
    """Return a socket with small buffers, and segments that are small to them: none waits."""
    sock = socket.socket(inet, socket.SOCK_STREAM)
    sock.settimeout(DEADLINE)  # a test that waits in vain ends
    sock.setsockopt(SOL, socket.SO_RCVBUF, SMALL)
    sock.setsockopt(SOL, socket.SO_SNDBUF, SMALL)
    if inet != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1000)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


class Facing:
    """
    A relay made by a graph, in one of the ways a socket layer has.

    Args:
        how: "off", "fuse" or "splice", after which so few bytes are enough.
        middle: What stands between: a key of MIDDLES.
        family: "inet", "inet6" or "local".
        couple: After so many bytes a relay is left to the kernel.
        fused: Whether that is so before it has carried anything.
    """

    def __init__(
        self,
        how: str,
        middle: str = "plain",
        family: str = "inet",
        couple: int = 1000,
        fused: bool = True,
    ) -> None:
        self.reactor = EPollReactor()
        self.reports: list[str] = []
        self.near: Any = None
        self.far: Any = None
        self.bugs: list[Exception] = []
        self.graph = Graph(
            FIND,
            lambda work: self.reactor.callLater(0, work),
            self.reactor.seconds,
            self._report,
            reactor=self.reactor,
        )
        self.kpi = self.graph.shared["kpi"] = SocketKPI(self.reactor, relay=how)
        if self.kpi.relays is not None:
            self.kpi.relays.couple, self.kpi.relays.small = couple, 1
        self.local = RecordingNode()
        self.graph.add(recorder, self.local)
        self._connect(middle, family, fused)

    @property
    def pipes(self) -> Any:
        """The pool of pipes; there is one in every way but "off"."""
        assert self.kpi.relays is not None
        return self.kpi.relays.pipes

    def _report(self, text: str, error: Exception | None) -> None:
        if error is None:
            self.reports.append(text)
        else:
            self.bugs.append(error)

    def _connect(self, middle: str, family: str, fused: bool) -> None:
        inet = {"inet": socket.AF_INET, "inet6": socket.AF_INET6, "local": socket.AF_UNIX}[family]
        name: Any = {"inet": ("127.0.0.1", 0), "inet6": ("::1", 0), "local": ""}[family]
        kind = f"{family}/stream/" + ("0" if family == "local" else "tcp")
        listens = _small(inet)
        listens.bind(name)
        listens.listen()
        self.lines(f"mkpeer ksocket l {kind}")
        listener: Any = self.graph.find(".:l", self.local)[0]
        listener.so.bind(name if family != "local" else f"/tmp/ngk-facing-{id(self)}")
        self.lines("msg .:l listen 5", "msg .:l accept")
        client = _small(inet)
        client.connect(listener.so.getsockname())
        self.until(lambda: any(item.message.cmd == 3 for item in self.local.inbox))
        answer = next(item for item in self.local.inbox if item.message.cmd == 3)
        self.near = self.graph.nodes[answer.source]
        path, hook = f"[{answer.source:x}]:", "x"
        self.made: list[Any] = []
        for number, (what, arrives, leaves) in enumerate(MIDDLES[middle]):
            self.lines(f"mkpeer {path} {what} {hook} {arrives}")
            path += "." * (not path.endswith(":")) + hook
            hook = leaves
            self.made.append(self.graph.find(path, self.local)[0])
            self.lines(f"name {path} m{number}")
        self.lines(f"mkpeer {path} ksocket {hook} {kind}")
        self.far = self.graph.find(path + "." * (not path.endswith(":")) + hook, self.local)[0]
        for node in (self.near, self.far):
            node.so.driver.sock.setsockopt(SOL, socket.SO_SNDBUF, SMALL)
            node.so.driver.sock.setsockopt(SOL, socket.SO_RCVBUF, SMALL)
        to = listens.getsockname()
        with suppress(BlockingIOError):
            self.far.so.connect(to[:2] if family == "inet6" else to)
        server = listens.accept()[0]
        listens.close()
        self.until(lambda: self.far.so.isconnected())
        self.lines("rmhook l")
        self.turn(3)
        for node in (self.near, self.far) if fused else ():
            node._fuse()
        self.ends = {"client": End(client), "server": End(server)}
        self.names = {"client": client.getpeername(), "server": server.getpeername()}

    # -- time

    def turn(self, count: int = 1) -> bool:
        """Turn the reactor; tell whether a socket of ours carried anything."""
        before = self._moved()
        for _ in range(count):
            self.reactor.runUntilCurrent()
            self.reactor.doIteration(0)
        return self._moved() != before

    def _moved(self) -> tuple[int, ...]:
        nodes = [node for node in (self.near, self.far) if node is not None]
        sockets = [node.so for node in nodes if node.so is not None]
        return (*(so.rcvbytes - so.sndcount for so in sockets), len(self.graph.nodes))

    def until(self, condition: Callable[[], Any]) -> None:
        """Turn until *condition* holds."""
        end = self.reactor.seconds() + DEADLINE
        while self.reactor.seconds() < end:
            if condition():
                return
            self.turn()
        raise AssertionError(f"waited in vain; {self.reports}, {self.bugs}")

    def settle(self, reads: bool = True) -> None:
        """Turn until nothing moves any more; the far ends read meanwhile if *reads*."""
        quiet, end = 0, self.reactor.seconds() + DEADLINE
        while quiet < QUIET:
            assert self.reactor.seconds() < end, "it never settles"
            moved = [far.push() for far in self.ends.values()]
            moved.append(self.turn(2))
            if reads:
                moved += [far.read(1 << 17) for far in self.ends.values()]
                moved += map(self._under_way, self._sockets())
            quiet = 0 if any(moved) else quiet + 1

    def _sockets(self) -> list[socket.socket]:
        nodes = (node.so.driver.sock for node in (self.near, self.far) if node.so is not None)
        # One that has read the end of file may have sent what is under way yet.
        return [*nodes, *(end.sock for end in self.ends.values() if end.over in ("", "end"))]

    def _under_way(self, sock: socket.socket) -> bool:
        """Whether the other end's system has not taken all that *sock* sent."""
        if sock.fileno() < 0 or sock.family == socket.AF_UNIX:
            return False
        if sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == 7:
            return False  # closed
        return any(ioctl(sock, termios.TIOCOUTQ, bytes(4)))

    # -- control

    def lines(self, *lines: str) -> None:
        """Carry out lines of ngctl; EINPROGRESS and a node that is gone do not matter."""
        port = GraphPort(self.graph, self.local, inbox=self.local.inbox)
        session = Session(port, lambda text: None, self.reports.append, None)  # type: ignore[arg-type]
        for line in lines:
            session.run(line)

    @property
    def relays(self) -> tuple[Any, Any]:
        """The relays of both nodes: from the client, from the server."""
        return self.near._relay, self.far._relay

    def close(self) -> None:
        """End everything."""
        for end in self.ends.values():
            end.sock.close()
        self.graph.close()
        kpi_of(self.graph).closeall()
        self.turn(3)
        pipes = self.kpi.relays.pipes if self.kpi.relays is not None else None
        assert pipes is None or not (pipes._made or pipes._users), "pipes are left"
        self.reactor.removeAll()
        for reader in list(self.reactor._internalReaders):
            reader.connectionLost(None)
        self.reactor._poller.close()
        assert not self.bugs, self.bugs
