"""Traffic in volume: datagrams in windows, and connections full both ways."""

from __future__ import annotations

import hashlib
import os
import random
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Final

LONGEST: Final = 65507
"""The longest datagram UDP over IPv4 carries."""
WINDOW: Final = 100_000
"""Bytes under way at once: a socket of the system's default size holds as many."""
OVERHEAD: Final = 1300
"""What the system adds to the size of a datagram in a socket's buffer."""
BLOCK: Final = 1 << 18


def datagrams(count: int, seed: int = 1) -> Iterator[bytes]:
    """Yield *count* datagrams of all sizes: the extremes, small, of a packet, any."""
    choose = random.Random(seed)
    sizes: tuple[Callable[[], int], ...] = (
        lambda: choose.choice((0, 1, LONGEST - 1, LONGEST)),
        lambda: choose.randrange(64),
        lambda: choose.randrange(64),
        lambda: choose.randrange(1473),
        lambda: choose.randrange(1473),
        lambda: choose.randrange(LONGEST + 1),
    )
    for _ in range(count):
        yield choose.randbytes(choose.choice(sizes)())


def windows(source: Iterator[bytes]) -> Iterator[list[bytes]]:
    """Divide datagrams into windows that fit a socket of the system's default size."""
    window: list[bytes] = []
    size = 0
    for datagram in source:
        cost = len(datagram) * 5 // 4 + OVERHEAD
        if window and size + cost > WINDOW:
            yield window
            window, size = [], 0
        window.append(datagram)
        size += cost
    if window:
        yield window


def fan_out(sender: socket.socket, receivers: list[socket.socket], count: int) -> None:
    """Send *count* datagrams; each receiver must get each, in order, byte for byte."""
    done = 0
    buffer = bytearray(65536)
    for window in windows(datagrams(count)):
        for datagram in window:
            sender.send(datagram)
        for number, receiver in enumerate(receivers):
            for place, datagram in enumerate(window, done):
                size = receiver.recv_into(buffer)
                if buffer[:size] != datagram:
                    raise AssertionError(
                        f"datagram {place} of {len(datagram)} bytes reached receiver {number} "
                        f"as another one, of {size}"
                    )
        done += len(window)


class Pool:
    """
    Random bytes for many streams, each of which begins at another place.

    Args:
        size: How many bytes a stream has.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._data = memoryview(os.urandom(size))

    def blocks(self, stream: int) -> Iterator[memoryview]:
        """Yield the bytes of that stream."""
        first = stream * 7919 * 13 % self.size
        for start, end in ((first, self.size), (0, first)):
            for at in range(start, end, BLOCK):
                yield self._data[at : min(at + BLOCK, end)]

    def digest(self, stream: int) -> bytes:
        """Return the SHA-256 of that stream."""
        summed = hashlib.sha256()
        for block in self.blocks(stream):
            summed.update(block)
        return summed.digest()


class End(threading.Thread):
    """
    One end of a connection: sends a stream and takes in the other one.

    Args:
        sock: The connection.
        pool: Where both streams come from.
        sends: The stream that it sends.
        takes: The stream that it expects.
        first: Whether it ends its own sending before the other does; else it
            keeps its last block until it has seen the other's end.
    """

    def __init__(
        self, sock: socket.socket, pool: Pool, sends: int, takes: int, first: bool
    ) -> None:
        super().__init__(daemon=True)
        self.sock, self.pool, self.first = sock, pool, first
        self.sends, self.takes = sends, takes
        self.failed = ""
        self._seen = threading.Event()
        self._reader = threading.Thread(target=self._guard, args=(self._take,), daemon=True)

    def run(self) -> None:
        """Send, and take in meanwhile."""
        self._reader.start()
        self._guard(self._send)
        self._reader.join()

    def _guard(self, part: Callable[[], None]) -> None:
        try:
            part()
        except (OSError, AssertionError) as error:
            self.failed = self.failed or f"{part.__name__} of stream {self.sends}: {error!r}"
            self._seen.set()

    def _send(self) -> None:
        held = memoryview(b"")
        for block in self.pool.blocks(self.sends):
            if held:
                self.sock.sendall(held)
            held = block
        if not self.first:
            self._seen.wait()
        self.sock.sendall(held)
        self.sock.shutdown(socket.SHUT_WR)

    def _take(self) -> None:
        summed, size = hashlib.sha256(), 0
        buffer = bytearray(BLOCK)
        view = memoryview(buffer)
        while count := self.sock.recv_into(buffer):
            summed.update(view[:count])
            size += count
        self._seen.set()
        if size != self.pool.size or summed.digest() != self.pool.digest(self.takes):
            raise AssertionError(f"{size} of {self.pool.size} bytes, or other ones, arrived")


def exchange(pairs: list[tuple[socket.socket, socket.socket]], size: int) -> None:
    """Send *size* random bytes both ways over each pair of ends, all pairs at once."""
    pool = Pool(size)
    ends = []
    for number, (client, server) in enumerate(pairs):
        client_first = number % 2 == 0
        ends.append(End(client, pool, 2 * number, 2 * number + 1, client_first))
        ends.append(End(server, pool, 2 * number + 1, 2 * number, not client_first))
    for end in ends:
        end.start()
    for end in ends:
        end.join()
    failed = [end.failed for end in ends if end.failed]
    if failed:
        raise AssertionError("; ".join(failed))
