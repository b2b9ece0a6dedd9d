"""Correctness before speed: what arrives is what was sent, whole and in order."""

from __future__ import annotations

import hashlib
import random
import select
import socket
import struct
import time
from typing import Any

from tests.bench.datagrams import gram_pair
from tests.bench.job import collect, spawn
from tests.bench.relay import Relay
from tests.bench.settings import opt
from tests.bench.streams import connect, listener, tls_client

__all__ = ["check", "tcheck", "ucheck"]

SIZES = (1, 7, 100, 1500, 65536, 300000)


def _pump(sock: socket.socket, seed: int, size: int) -> list[Any]:
    rnd = random.Random(seed)
    data = rnd.randbytes(1 << 20)
    sock.setblocking(False)
    out, into = hashlib.sha256(), hashlib.sha256()
    sent = got = 0
    ended = shut = False
    pending = b""
    end = time.monotonic() + 30
    while not (ended and shut):
        if time.monotonic() > end:
            raise RuntimeError(f"check: stuck at {sent}/{size} sent, {got} received")
        readable, writable, _ = select.select(
            [] if ended else [sock], [] if shut else [sock], [], 1
        )
        if writable:
            if not pending and sent < size:
                at = rnd.randrange(1 << 19)
                pending = data[at : at + min(size - sent, rnd.choice(SIZES))]
            try:
                count = sock.send(pending) if pending else 0
            except BlockingIOError:
                count = 0
            out.update(pending[:count])
            sent += count
            pending = pending[count:]
            if sent >= size:
                sock.shutdown(socket.SHUT_WR)
                shut = True
        if readable:
            try:
                piece = sock.recv(rnd.choice((100, 65536, 1 << 20)))
            except BlockingIOError:
                continue
            ended = not piece
            into.update(piece)
            got += len(piece)
    return [out.hexdigest(), into.hexdigest(), sent, got]


def check(relay: Relay, size: int = 24 << 20) -> dict[str, Any]:
    """Send random data both ways at once, end one way first, compare hashes."""
    server = listener(relay)

    def serve() -> list[Any]:
        server.settimeout(8)
        return _pump(server.accept()[0], 1, size)

    far = spawn(serve)
    server.close()
    near = spawn(lambda: _pump(connect(relay), 2, size // 3))
    ours, theirs = collect(far), collect(near)
    if ours[0] != theirs[1] or theirs[0] != ours[1]:
        raise RuntimeError(f"check: data differ {ours[2:]} {theirs[2:]}")
    return {"v": 1.0}


def tcheck(relay: Relay, size: int = 8 << 20) -> dict[str, Any]:
    """Send random data through TLS one way, then the other, compare hashes."""
    server = listener(relay)

    def receive(sock: socket.socket) -> str:
        digest, left = hashlib.sha256(), size
        while left:
            data = sock.recv(min(left, 1 << 16))
            if not data:
                raise RuntimeError(f"tcheck: {left} of {size} bytes are missing")
            digest.update(data)
            left -= len(data)
        return digest.hexdigest()

    def send(sock: socket.socket, seed: int) -> str:
        data = random.Random(seed).randbytes(size)
        sock.sendall(data)
        return hashlib.sha256(data).hexdigest()

    def serve() -> list[str]:
        server.settimeout(8)
        sock, _ = server.accept()
        sock.settimeout(20)
        return [receive(sock), send(sock, 4)]

    def ask() -> list[str]:
        sock = tls_client().wrap_socket(connect(relay, 20))
        return [send(sock, 3), receive(sock)]

    far = spawn(serve)
    server.close()
    near = spawn(ask)
    ours, theirs = collect(far), collect(near)
    if ours != theirs:
        raise RuntimeError("tcheck: data differ")
    return {"v": 1.0}


def ucheck(relay: Relay, fan: int = 1, count: int = 400) -> dict[str, Any]:
    """Send datagrams of mixed sizes; each target gets all, whole and in order."""
    # A local socket queues ten datagrams, and its senders get EAGAIN then.
    round_size = 5 if relay.local else 20

    def run() -> dict[str, float]:
        source, sinks = gram_pair(relay, fan)
        for sink in sinks:
            sink.setblocking(True)
            sink.settimeout(2)
        rnd = random.Random(5)
        wanted: list[bytes] = []
        for number in range(count):
            sizes = (0, 1, 60, 60, 60, 508, 1396, 1396)
            data = struct.pack("!I", number) + rnd.randbytes(rnd.choice(sizes))
            wanted.append(data)
            source.send(data)
            if number % round_size == round_size - 1:
                for sink in sinks:
                    for expected in wanted:
                        if sink.recv(65536) != expected:
                            raise RuntimeError(f"ucheck: datagram differs at {number}")
                wanted = []
        return {"v": 1.0}

    result: dict[str, Any] = collect(spawn(run, cpu=opt.pin_load))
    return result
