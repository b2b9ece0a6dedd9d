"""The ksocket node is small, and leaves nothing behind: there are ten thousand of them."""

from __future__ import annotations

import gc
import socket
import tracemalloc
import weakref
from functools import partial

from ngksock.netgraph import Node
from ngksock.nodes.ksocket import KSocket
from ngksock.nodes.ksocket.address import SockAddr
from ngksock.nodes.ksocket.family import INET
from tests.nodes.reactive import TCP, ReactiveCase, inet

LIMIT = 6 * 1024
COUNT = 100


class Probe:
    """Something that can be seen to go."""


class SmallTests(ReactiveCase):
    def test_slots(self) -> None:
        """All that a ksocket adds to a node is in slots: no dict of its own."""
        self.assertEqual(set(vars(Node())), set(vars(KSocket())))

    async def test_idle(self) -> None:
        """A relayed connection takes at most 6 KiB: two nodes, two sockets and their links."""
        far = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(far.close)
        target = far.getsockname()[1]
        self.run_lines(
            "mkpeer listener boot boot",
            "name boot fwd",
            f"mkpeer fwd: ksocket socket {TCP}",
            f'msg fwd: setscript {{ lines=[ "mkpeer ksocket out {TCP}"'
            f' "msg .:out connect inet/127.0.0.1:{target}" ] }}',
            "msg fwd:socket bind inet/127.0.0.1:0",
            "msg fwd: start 1024",
        )
        port = kpi_port(self)
        held = [await self.relayed(port, far) for _ in range(COUNT)]  # what is made once is made
        gc.collect()
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        held += [await self.relayed(port, far) for _ in range(COUNT)]
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
        for near, answer in held:
            near.close()
            answer.close()
        # The far ends are in this process, too: some 300 bytes a connection.
        self.assertTrue(2048 < taken / COUNT < LIMIT, f"{taken / COUNT} bytes a connection")

    async def relayed(self, port: int, far: socket.socket) -> tuple[socket.socket, socket.socket]:
        """Return both ends of a connection that has carried a byte each way."""
        near = socket.create_connection(("127.0.0.1", port))
        near.send(b"x")
        far.setblocking(False)
        answer, _ = await self.until(lambda: accepted(far))
        for one, other in ((answer, near), (near, answer)):
            one.setblocking(False)
            await self.until(partial(received, one))
            if other is near:
                answer.send(b"y")
        return near, answer

    def test_in_progress(self) -> None:
        """The answer that a connect is in progress keeps nobody alive who has asked."""
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        far = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(far.close)
        self.run_lines(f"mkpeer ksocket t {TCP}")
        line = f"msg .:t connect inet/127.0.0.1:{far.getsockname()[1]}"

        def ask() -> weakref.ref[Probe]:
            probe = Probe()
            ref = weakref.ref(probe)
            self.run_lines(line)
            return ref

        self.assertIsNone(ask()())

    def test_text_of_addresses(self) -> None:
        """One address has one text, however often it is told."""
        name = SockAddr(INET, inet(80)[2:])
        again = SockAddr(INET, inet(80)[2:])
        self.assertEqual("inet/127.0.0.1:80", name.text())
        self.assertIs(name.text(), again.text())


def kpi_port(case: SmallTests) -> int:
    """Return the port that the listening ksocket has."""
    port: int = case.node("fwd:socket").so.getsockname()[1]
    return port


def accepted(far: socket.socket) -> tuple[socket.socket, object] | None:
    """Return what *far* has accepted, or None."""
    try:
        return far.accept()
    except BlockingIOError:
        return None


def received(sock: socket.socket) -> bytes | None:
    """Return a byte of *sock*, or None."""
    try:
        return sock.recv(1)
    except BlockingIOError:
        return None
