"""udp-tunnel.ng under load: 100 MiB of TCP, and ends that are restarted meanwhile."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import threading
import time
from collections.abc import Callable

from tests.integration.namespaces import Space
from tests.integration.service import until
from tests.integration.test_tuntap import BridgeCase, TunnelCase

MEBI = 1 << 20
SIZE = 100 * MEBI
PATIENCE = 120.0


class Transfer(threading.Thread):
    """
    100 MiB over one TCP connection, one way.

    Args:
        source: Where the sender is.
        sink: Where the receiver is.
        address: Of the receiver.
    """

    def __init__(self, source: Space, sink: Space, address: str) -> None:
        super().__init__(daemon=True)
        with sink.socket() as listening:
            listening.bind((address, 0))
            listening.listen()
            self.sender = source.socket()
            self.sender.connect(listening.getsockname())
            self.receiver, _ = listening.accept()
        for sock in (self.sender, self.receiver):
            sock.settimeout(PATIENCE)
        self.arrived = 0
        self.seconds = 0.0
        self.good = False

    def run(self) -> None:
        """Send, receive, and compare."""
        began = time.monotonic()
        block = os.urandom(MEBI)
        sent, got = hashlib.sha256(block * (SIZE // MEBI)), hashlib.sha256()
        feeder = threading.Thread(target=self._feed, args=(block,), daemon=True)
        feeder.start()
        with self.receiver:
            while data := self.receiver.recv(1 << 18):
                got.update(data)
                self.arrived += len(data)
        feeder.join()
        self.seconds = time.monotonic() - began
        self.good = self.arrived == SIZE and got.digest() == sent.digest()

    def _feed(self, block: bytes) -> None:
        with self.sender:
            for _ in range(SIZE // MEBI):
                self.sender.sendall(block)
            self.sender.shutdown(socket.SHUT_WR)

    def wait_for(self, size: int) -> None:
        """Wait until *size* bytes have arrived."""
        until(lambda: self.arrived >= size or not self.is_alive(), f"{size} bytes")

    def result(self) -> str:
        """Wait for the end; return what it took."""
        self.join(PATIENCE)
        if not self.good:
            raise AssertionError(f"{self.arrived} of {SIZE} bytes, or other ones, arrived")
        return (
            f"{SIZE / MEBI:.0f} MiB in {self.seconds:.1f} s, {SIZE / 1e6 / self.seconds:.0f} MB/s"
        )


def rtt(pinged: str) -> str:
    """Return the line of ping about times."""
    found = re.search(r"rtt .*", pinged)
    assert found is not None, pinged
    return found[0]


class TunnelSoak(TunnelCase):
    """The tunnel."""

    def transfer(self, interrupt: Callable[[Transfer], None] | None = None) -> str:
        """Transfer 100 MiB from the near end to the far one."""
        transfer = Transfer(self.near, self.far, "10.0.0.2")
        transfer.start()
        if interrupt is not None:
            interrupt(transfer)
        return transfer.result()

    def test_transfer(self):
        """100 MiB arrive as they were sent."""
        near = self.run_near()
        self.run_far()
        pinged = rtt(self.near.pings("10.0.0.2", 20))
        taken = self.transfer()
        held = near.rss >> 20
        print(f"\ntunnel: {taken}; {pinged}; the near service has {held} MiB")

    def test_interrupted(self):
        """100 MiB arrive over one connection while both ends are restarted, one after the other."""
        near, far = self.run_near(), self.run_far()
        self.near.pings("10.0.0.2")

        def interrupt(transfer: Transfer) -> None:
            transfer.wait_for(SIZE // 10)
            self.end(near)
            self.assertLess(transfer.arrived, SIZE)
            self.run_near()
            transfer.wait_for(SIZE // 2)
            self.end(far)
            self.assertLess(transfer.arrived, SIZE)
            self.run_far()

        print(f"\ntunnel, both ends restarted: {self.transfer(interrupt)}")


class BridgeSoak(BridgeCase):
    """The bridge."""

    def test_transfer(self):
        """100 MiB arrive as they were sent."""
        home = self.space("home")
        self.serve(home, self.example("bridge.ng", {}))
        one, other, _ = self.give(home)
        pinged = rtt(one.pings("192.0.2.11", 20))
        transfer = Transfer(one, other, "192.0.2.11")
        transfer.start()
        print(f"\nbridge: {transfer.result()}; {pinged}")
