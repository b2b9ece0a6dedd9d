"""The examples under all the load that issue 2 names; figures go to the output."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

from tests.integration.pressure import WITH_PASSER, PressureCase
from tests.integration.service import (
    DEADLINE,
    IntegrationCase,
    Service,
    free_port,
    port_of,
    receive_all,
    until,
)
from tests.integration.traffic import exchange, fan_out

MEBI = 1 << 20


class FanOutSoak(IntegrationCase):
    """docs/examples/fanout.ng."""

    def test_fanout(self):
        """200,000 datagrams of 0 to 65,507 bytes reach all three receivers, in order."""
        receivers = [self.udp() for _ in range(3)]
        ports = {9000 + n: port_of(r) for n, r in enumerate(receivers, 1)}
        entry = free_port()
        self.start(self.example("fanout.ng", {9000: entry, **ports}))
        began = time.monotonic()
        fan_out(self.udp(to=entry), receivers, 200_000)
        print(f"\n200,000 datagrams to each of three in {time.monotonic() - began:.1f} s")


class ForwardSoak(IntegrationCase):
    """docs/examples/forward.ng."""

    def forward(self, server: socket.socket) -> tuple[Service, int]:
        """Start forward.ng in front of *server*; return it and its port."""
        port = free_port()
        changes = {8080: port, 9000: port_of(server)}
        return self.start(self.example("forward.ng", changes)), port

    def full(self, port: int, server: socket.socket, count: int, size: int) -> None:
        """Send *size* bytes both ways over each of *count* connections at once."""
        pairs = []
        for _ in range(count):
            client = self.tcp(port)
            pairs.append((client, self.accept(server)))
        for pair in pairs:
            for sock in pair:
                sock.settimeout(300)
        exchange(pairs, size)
        for pair in pairs:
            for sock in pair:
                sock.close()

    def short(self, port: int, count: int) -> None:
        """Make *count* connections one after the other; each asks, and is answered."""
        for number in range(count):
            question = b"%d" % number * 20
            with socket.create_connection(("127.0.0.1", port), DEADLINE) as client:
                client.sendall(question)
                client.shutdown(socket.SHUT_WR)
                if receive_all(client) != question:
                    raise AssertionError(f"short connection {number} got something else")

    def answer(self, server: socket.socket) -> None:
        """Send back what each connection of *server* says, until there comes none."""
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return  # the test is over
            with connection:
                connection.settimeout(DEADLINE)
                connection.sendall(receive_all(connection))

    def test_full(self):
        """16 connections with 64 MiB both ways each, then 2,000 short ones; nothing is kept."""
        server = self.tcp_server()
        service, port = self.forward(server)
        idle = service.descriptors
        # The first of each kind loads what is loaded once.
        self.full(port, server, 16, MEBI)
        until(lambda: service.descriptors == idle, "descriptors to be given back")
        before = service.rss
        began = time.monotonic()
        self.full(port, server, 16, 64 * MEBI)
        took = time.monotonic() - began
        until(lambda: service.descriptors == idle, "descriptors to be given back")
        full = service.rss
        answers = threading.Thread(target=self.answer, args=(server,), daemon=True)
        answers.start()
        began = time.monotonic()
        self.short(port, 2000)
        brief = time.monotonic() - began
        server.shutdown(socket.SHUT_RDWR)
        until(lambda: service.descriptors == idle, "descriptors to be given back")
        print(
            f"\n16 x 64 MiB both ways in {took:.1f} s, {2048 / took:.0f} MiB/s; "
            f"2,000 short connections in {brief:.1f} s; descriptors {idle} before and after; "
            f"memory {before >> 10} KiB, {full >> 10} after the former, "
            f"{service.rss >> 10} after the latter"
        )
        self.assertLess(full - before, 4 * MEBI)
        self.assertLess(service.rss - before, 4 * MEBI)


class BackPressureSoak(PressureCase):
    """A reader that stops for ten seconds."""

    def hold(self, what: str, **how: Any) -> None:
        """Hold a sender for ten seconds, and say what came of it."""
        sent, grown = self.assert_holds(10, **how)
        print(f"\n{what}: held for 10 s after {sent >> 10} KiB; grown by {grown >> 10} KiB")

    def test_forward(self):
        """The sender is held for all that time, and the service does not grow."""
        self.hold("two ksockets")

    def test_third_party(self):
        """The same with a stranger's node that has ``rcvdata`` alone in the middle."""
        self.hold("with a stranger between", changes=WITH_PASSER, env=self.strange())
