"""What comes while a person thinks, and what that leaves for commands."""

from __future__ import annotations

import contextlib
import io
import threading

from ngksock.client import NodeSocket
from ngksock.client.port import ClientPort
from ngksock.ctl.commands import ConsoleSession
from ngksock.ctl.console import Console
from ngksock.ctl.runner import Runner
from ngksock.ctl.traffic import Traffic
from tests.client.daemon import DaemonCase


class TrafficTests(DaemonCase):
    """The thread that shows packets."""

    def test_flood(self) -> None:
        """Packets that come faster than they can be shown do not keep commands waiting."""
        node, other = self.connect("shows"), self.connect()
        other.send_ascii_msg(".", 'connect { path="shows:" ourhook="x" peerhook="y" }')
        stop, began = threading.Event(), threading.Event()

        def show(text: str) -> None:
            began.set()
            stop.wait(0.001)

        feeding = threading.Thread(target=self._flood, args=(other, stop))
        feeding.start()
        try:
            with Traffic(node, self.session(node), show) as traffic:
                self.assertTrue(began.wait(20))
                for _ in range(5):
                    self.assertTrue(traffic.lock.acquire(timeout=10))
                    self.assertIn("shows", node.request_ascii(".", "nodeinfo"))
                    traffic.lock.release()
                stop.set()
        finally:
            stop.set()
            feeding.join()

    def session(self, node: NodeSocket) -> ConsoleSession:
        """Return a session that prints nowhere."""
        console = Console("test", io.BytesIO(), io.BytesIO())
        return ConsoleSession(ClientPort(node), console, Runner(console))

    @staticmethod
    def _flood(node: NodeSocket, stop: threading.Event) -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError):
                node.send_data("x", b"packet")
