"""A graph on the real reactor, for nodes that open sockets and wait for times."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from itertools import count
from typing import Any, Final

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from ngksock.netgraph import Graph, Message, Node
from ngksock.netgraph.port import GraphPort
from ngksock.netgraph.session import Session
from ngksock.nodes.ksocket import kpi_of
from ngksock.plugin import available, find_type
from ngksock.testing import RecordingNode, recorder

DEADLINE: Final = 10.0
UDP: Final = "inet/dgram/udp"
TCP: Final = "inet/stream/tcp"


def inet(port: int, host: str = "127.0.0.1") -> bytes:
    """Return FreeBSD's bytes of an IPv4 address."""
    return struct.pack("!BBH4s8x", 16, 2, port, socket.inet_aton(host))


class ReactiveCase(TestCase):
    """
    A case like `GraphTestCase`, whose sockets are real.

    ``local`` is a `RecordingNode` and ``.`` in paths; ``reports`` are the
    sentences for the operator.  Peers are plain sockets, which never block.
    """

    timeout = 30

    def setUp(self) -> None:
        self.reports: list[str] = []
        self.bugs: list[Exception] = []
        self.net = Graph(
            find_type,
            lambda work: reactor.callLater(0, work),
            reactor.seconds,
            self._report,
            available=available,
            reactor=reactor,
        )
        self.local = RecordingNode()
        self.net.add(recorder, self.local)
        self._tokens = count(1 << 24)
        self.addCleanup(self._end)

    def _report(self, sentence: str, error: Exception | None) -> None:
        if error is None:
            self.reports.append(sentence)
        else:
            self.bugs.append(error)

    async def _end(self) -> None:
        self.net.close()
        kpi_of(self.net).closeall()
        await self.pause()
        self.assertEqual([], self.bugs)
        self.assertEqual({}, self.net.nodes)

    async def pause(self, seconds: float = 0) -> None:
        """Let the reactor turn."""
        await deferLater(reactor, seconds)

    async def until(self, condition: Callable[[], Any]) -> Any:
        """Let the reactor turn until *condition* is true; return what it returned."""
        end = reactor.seconds() + DEADLINE
        while not (found := condition()):
            if reactor.seconds() > end:
                raise AssertionError(f"waited in vain; {self.reports}, {self.local.events}")
            await self.pause(0.001)
        return found

    # -- control

    def run_lines(self, *lines: str) -> None:
        """Carry out lines of ngctl."""
        port = GraphPort(self.net, self.local, inbox=self.local.inbox)
        session = Session(port, lambda text: None, self.reports.append, None)  # type: ignore[arg-type]
        for line in lines:
            session.run(line)

    def errno(self, line: str) -> int:
        """Return the errno by which a line fails, 0 if it does not."""
        try:
            self.run_lines(line)
        except OSError as error:
            return error.errno or 0
        return 0

    def node(self, path: str) -> Any:
        """Return the node at *path*."""
        return self.net.find(path, self.local)[0]

    def post(self, path: str, text: str, source: RecordingNode | None = None) -> int:
        """Send a message in its ASCII form; return its token."""
        asker = source or self.local
        port = GraphPort(self.net, asker, inbox=asker.inbox)
        name, _, args = text.partition(" ")
        token = next(self._tokens)
        port.send(path, port.encode(path, name, args).with_token(token))
        return token

    def answers(self, token: int, source: RecordingNode | None = None) -> list[tuple[int, Message]]:
        """Return the responses to that token: their senders, and the messages."""
        return [
            (item.source, item.message)
            for item in (source or self.local).inbox
            if item.message.is_response and item.message.token == token
        ]

    def ask(self, path: str, text: str) -> str:
        """Send a message in its ASCII form; return the arguments of its answer."""
        token = self.post(path, text)
        (sender, message), *_ = self.answers(token)
        port = GraphPort(self.net, self.local)
        answer = port.decode(f"[{sender:x}]:", message)
        assert answer is not None, "the node knows its own message"
        return answer.data[:-1].decode("latin-1")

    def binary(self, path: str, cookie: int, cmd: int, data: bytes = b"") -> list[bytes]:
        """Send a message in its binary form; return what its answers carry."""
        token = next(self._tokens)
        self.net.send(self.local, path, Message(cookie, cmd, data, token))
        return [message.data for _, message in self.answers(token)]

    def code(self, call: Callable[..., object], *args: Any) -> int:
        """Return the errno a call fails with, 0 if it does not."""
        try:
            call(*args)
        except OSError as error:
            return error.errno or 0
        return 0

    def gone(self, node: Node) -> Callable[[], bool]:
        """Return a condition: the node has ended."""
        return lambda: node.id not in self.net.nodes

    # -- peers

    def owned(self, sock: socket.socket) -> socket.socket:
        """Make *sock* one that never blocks, and close it after the test."""
        self.addCleanup(sock.close)
        sock.setblocking(False)
        return sock

    def udp(self) -> tuple[socket.socket, str]:
        """Return a bound UDP socket and its address as messages have it."""
        sock = self.owned(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        sock.bind(("127.0.0.1", 0))
        return sock, "inet/{}:{}".format(*sock.getsockname())

    def server(self) -> tuple[socket.socket, str]:
        """Return a listening TCP socket and its address as messages have it."""
        sock = self.owned(socket.create_server(("127.0.0.1", 0)))
        return sock, "inet/{}:{}".format(*sock.getsockname())

    def client(self, address: str) -> socket.socket:
        """Return a TCP socket connected to an address that getname gave."""
        host, _, port = address.removeprefix("inet/").partition(":")
        return self.owned(socket.create_connection((host, int(port))))

    async def accepted(self, server: socket.socket) -> socket.socket:
        """Return the next connection of *server*."""

        def accept() -> socket.socket | None:
            try:
                return self.owned(server.accept()[0])
            except BlockingIOError:
                return None

        found: socket.socket = await self.until(accept)
        return found

    async def read(self, sock: socket.socket, size: int) -> bytes:
        """Return the next *size* bytes of a stream, fewer at its end, or a datagram."""
        data = bytearray()

        def more() -> bool:
            try:
                got = sock.recv(size - len(data))
            except BlockingIOError:
                return False
            data.extend(got)
            return len(data) == size or not got or sock.type == socket.SOCK_DGRAM

        await self.until(more)
        return bytes(data)

    def got(self, hook: str) -> bytes:
        """Return the bytes that ``local`` received on *hook*, marks left out."""
        return b"".join(d for d in self.local.received.get(hook, []) if isinstance(d, bytes))
