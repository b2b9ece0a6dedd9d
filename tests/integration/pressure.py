"""A reader that stops, and what is to become of its sender and of the service."""

from __future__ import annotations

import select
import socket
from typing import Any

from tests.integration.service import (
    DEADLINE,
    IntegrationCase,
    Service,
    environment,
    free_port,
    port_of,
    receive,
)

GROWTH = 4 << 20
"""By less than this does a stopped reader make the service grow: a promise of issue 2."""

PATTERN = bytes(range(256)) * 256
WITH_PASSER = {
    '"mkpeer ksocket out inet/stream/tcp" "msg .:out connect': (
        '"mkpeer passer out in" "mkpeer .:out ksocket out inet/stream/tcp" "msg .:out.out connect'
    )
}
PASSER = """\
from ngksock.netgraph import Node
from ngksock.plugin import NodeType


class Passer(Node):
    hook_names = ("in", "out")

    def rcvdata(self, hook, packet):
        other = self.hooks.get("out" if hook.name == "in" else "in")
        if other is not None:
            other.send_data(packet)


passer = NodeType("passer", 1763800001, Passer)
"""


class PressureCase(IntegrationCase):
    """Connections through forward.ng whose reader stops."""

    def stuff(self, client: socket.socket, quiet: float) -> int:
        """Send until nothing more is taken for *quiet* seconds; return how much was."""
        client.setblocking(False)
        poll = select.poll()
        poll.register(client, select.POLLOUT)
        sent = 0
        while poll.poll(quiet * 1000):
            sent += client.send(PATTERN[sent % 256 :])
        client.settimeout(DEADLINE)
        return sent

    def connect(self, **how: Any) -> tuple[Service, socket.socket, socket.socket]:
        """Start forward.ng, with other words in it; return it and both ends of a connection."""
        server, port = self.tcp_server(), free_port()
        changes: dict[int | str, int | str] = {8080: port, 9000: port_of(server)}
        changes.update(how.pop("changes", {}))
        service = self.start(self.example("forward.ng", changes), **how)
        client = self.tcp(port)
        connection = self.accept(server)
        client.sendall(PATTERN[:256])
        self.assertEqual(PATTERN[:256], receive(connection, 256))
        return service, client, connection

    def assert_pattern(self, connection: socket.socket) -> int:
        """Read to the end; return how many bytes of the pattern there were."""
        got = 0
        while data := receive(connection, len(PATTERN)):
            self.assertEqual(PATTERN[: len(data)], data)
            got += len(data)
        return got

    def assert_holds(self, quiet: float, **how: Any) -> tuple[int, int]:
        """
        The sender is held, memory stays, and the reader that goes on gets everything.

        Returns:
            The bytes sent until then, and by how many the service has grown.
        """
        service, client, connection = self.connect(**how)
        before = service.rss
        sent = self.stuff(client, quiet)
        grown = service.rss - before
        self.assertLess(grown, GROWTH)
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(sent, self.assert_pattern(connection))
        return sent, grown

    def strange(self) -> dict[str, str]:
        """Install a stranger's node type; return the environment that has it."""
        plugins = self.folder / "strange" / "twisted" / "plugins"
        plugins.mkdir(parents=True)
        (plugins / "passer_plugin.py").write_text(PASSER, encoding="utf-8")
        return environment(self.folder / "strange")
