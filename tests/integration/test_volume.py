"""Much traffic: all of it arrives, and a reader that stops holds its sender."""

from __future__ import annotations

import signal
import socket
import time

from tests.integration.pressure import WITH_PASSER, PressureCase
from tests.integration.service import (
    MARGIN,
    STOP,
    IntegrationCase,
    free_port,
    port_of,
    until,
)
from tests.integration.traffic import exchange, fan_out

MEBI = 1 << 20


class VolumeTests(IntegrationCase):
    """The examples under load."""

    def test_fanout(self):
        """fanout.ng: 20,000 datagrams of 0 to 65,507 bytes reach all three, in order."""
        receivers = [self.udp() for _ in range(3)]
        ports = {9000 + n: port_of(r) for n, r in enumerate(receivers, 1)}
        entry = free_port()
        self.start(self.example("fanout.ng", {9000: entry, **ports}))
        fan_out(self.udp(to=entry), receivers, 20_000)

    def test_forward(self):
        """forward.ng: 4 connections at once, 4 MiB of random data both ways each."""
        server, port = self.tcp_server(), free_port()
        service = self.start(self.example("forward.ng", {8080: port, 9000: port_of(server)}))
        idle = service.descriptors
        pairs = []
        for _ in range(4):
            client = self.tcp(port)
            pairs.append((client, self.accept(server)))
        exchange(pairs, 4 * MEBI)
        until(lambda: service.descriptors == idle, "descriptors to be given back")

    def test_slow_client(self):
        """A client that reads slowly gets all that a server sent at once before it left."""
        server, port = self.tcp_server(), free_port()
        self.start(self.example("forward.ng", {8080: port, 9000: port_of(server)}))
        client = self.owned(socket.socket())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        client.connect(("127.0.0.1", port))
        connection = self.accept(server)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * MEBI)
        data = bytes(range(251)) * 4000
        connection.sendall(data)
        connection.close()
        received = bytearray()
        while more := client.recv(3001):
            received += more
        self.assertEqual(data, bytes(received))


class BackPressureTests(PressureCase):
    """A reader that stops."""

    def test_forward(self):
        """The sender is held back through two ksockets."""
        self.assert_holds(0.5)

    def test_third_party(self):
        """The sender is held back through a stranger's node that has ``rcvdata`` alone."""
        self.assert_holds(0.5, changes=WITH_PASSER, env=self.strange())

    def test_terminated(self):
        """SIGTERM while data is queued: the stream gets all the service took, within 2 s."""
        service, client, connection = self.connect()
        self.stuff(client, 0.2)
        taken = int(service.counters(r"\bout\b.* sent \d+ packets?, (\d+) bytes")[1])
        began = time.monotonic()
        service.process.send_signal(signal.SIGTERM)
        self.assertLessEqual(taken, 256 + self.assert_pattern(connection))
        service.ended()
        self.assertLess(time.monotonic() - began, STOP + MARGIN)
        self.assertNotIn("not all streams", service.log)
        self.services.remove(service)

    def test_terminated_in_vain(self):
        """SIGTERM while a reader has stopped for good: the service does not wait for it."""
        service, client, _ = self.connect()
        self.stuff(client, 0.2)
        self.services.remove(service)
        self.assert_stops(service)
        self.assertIn("not all streams", service.log)
