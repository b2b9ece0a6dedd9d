"""Memory of connections that carry nothing."""

from __future__ import annotations

import os
import resource
import select
import socket
import time
from typing import Any

from tests.bench.job import collect, spawn
from tests.bench.machine import session_memory
from tests.bench.relay import Relay
from tests.bench.settings import pause
from tests.bench.streams import connect, listener

__all__ = ["idle"]

WARM = 50
"""Connections that come and go first: what is loaded on first use is no connection's."""


def _mirror(server: socket.socket, end: float) -> None:
    """Send back the one byte that each connection brings, and keep it open."""
    poll = select.epoll()
    server.setblocking(False)
    poll.register(server.fileno(), select.EPOLLIN)
    socks: dict[int, socket.socket] = {}
    while time.monotonic() < end:
        for fd, _ in poll.poll(0.2):
            if fd == server.fileno():
                sock, _ = server.accept()
                socks[sock.fileno()] = sock
                poll.register(sock.fileno(), select.EPOLLIN)
                continue
            try:
                data = socks[fd].recv(16)
            except OSError:
                data = b""
            if data:
                socks[fd].send(data)
            else:
                poll.unregister(fd)
                socks.pop(fd).close()


def _hold(relay: Relay, count: int) -> dict[str, float]:
    def once() -> socket.socket:
        sock = connect(relay, 10)
        sock.send(b"x")
        if sock.recv(1) != b"x":
            raise RuntimeError("a connection ended")
        return sock

    pid = relay.proc.pid if relay.proc else os.getpid()
    for sock in [once() for _ in range(WARM)]:
        sock.close()
    pause(0.5)
    before, began = session_memory(pid), time.monotonic()
    held = [once() for _ in range(count)]
    elapsed = time.monotonic() - began
    pause(0.5)
    after = session_memory(pid)
    for sock in held:
        sock.close()
    return {"v": (after - before) / count, "rate": count / elapsed, "count": count}


def idle(relay: Relay, count: int) -> dict[str, Any]:
    """
    Measure the KiB that a relay has more for each of *count* idle connections.

    Where the system allows fewer descriptors, as many as a relay can have.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(count, (soft - 200) // 2)
    server = listener(relay)
    job = spawn(_mirror, server, time.monotonic() + 3 + count / 250)
    server.close()
    try:
        result: dict[str, Any] = collect(spawn(_hold, relay, count))
    finally:
        collect(job)
    return result
