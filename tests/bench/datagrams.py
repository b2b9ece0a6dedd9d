"""Datagrams: the highest rate without loss, UDP and local sockets."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import time
from pathlib import Path
from typing import Any, ClassVar, Final

from tests.bench.job import collect, spawn
from tests.bench.relay import Relay
from tests.bench.settings import HOST, opt

__all__ = ["datagrams", "gram_pair", "open_loop"]

UDP_SEGMENT: Final = 103
UDP_GRO: Final = 104


class _IoVec(ctypes.Structure):
    _fields_: ClassVar = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]


class _MsgHdr(ctypes.Structure):
    _fields_: ClassVar = [
        ("name", ctypes.c_void_p),
        ("namelen", ctypes.c_uint),
        ("iov", ctypes.c_void_p),
        ("iovlen", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("controllen", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    ]


class _MMsgHdr(ctypes.Structure):
    _fields_: ClassVar = [("hdr", _MsgHdr), ("len", ctypes.c_uint)]


_libc: Final = ctypes.CDLL(None, use_errno=True)


class _Slots:
    """So many datagrams for recvmmsg and sendmmsg; nothing for each of them in Python."""

    def __init__(self, count: int, size: int) -> None:
        self.count = count
        self.memory = ctypes.create_string_buffer(count * size)
        self.iov = (_IoVec * count)()
        self.headers = (_MMsgHdr * count)()
        base = ctypes.addressof(self.memory)
        for n in range(count):
            self.iov[n].base, self.iov[n].len = base + n * size, size
            self.headers[n].hdr.iov = ctypes.addressof(self.iov[n])
            self.headers[n].hdr.iovlen = 1
        self.pointer = ctypes.c_void_p(ctypes.addressof(self.headers))

    def send(self, fd: int, count: int) -> int:
        sent: int = _libc.sendmmsg(fd, self.pointer, count, socket.MSG_DONTWAIT)
        return sent

    def receive(self, fd: int) -> int:
        flags = socket.MSG_DONTWAIT
        got: int = _libc.recvmmsg(fd, self.pointer, self.count, flags, None)
        return got


def gram_pair(relay: Relay, fan: int) -> tuple[socket.socket, list[socket.socket]]:
    """Return a socket that sends to *relay*, and those it forwards to."""
    family = socket.AF_UNIX if relay.local else socket.AF_INET

    def make(address: int | str) -> socket.socket:
        sock = socket.socket(family, socket.SOCK_DGRAM)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, 4 << 20)
        if address:
            sock.bind((HOST, address))
        sock.setblocking(False)
        return sock

    sinks = [sink.dup() for sink in relay.sinks] or [make(port) for port in relay.targets[:fan]]
    for sink in sinks:
        sink.setblocking(False)
    source = make(0)
    source.connect(relay.address)
    return source, sinks


class _Rig:
    """Source and sinks in one process, so that they share one core without switching."""

    def __init__(self, relay: Relay, size: int, fan: int, segments: bool) -> None:
        self.size = size
        self.segments = segments
        self.source, self.sinks = gram_pair(relay, fan)
        self.got = [0] * fan
        self.sent = 0
        if segments:
            self.source.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, size)
            for sink in self.sinks:
                sink.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
            self.buffer = bytearray(1 << 16)
            self.load = memoryview(os.urandom(size) * (65000 // size))
        else:
            self.out, self.into = _Slots(64, size), _Slots(64, size)
            ctypes.memmove(self.out.memory, os.urandom(64 * size), 64 * size)

    def send(self, count: int) -> None:
        if self.segments:
            count = min(count, len(self.load) // self.size)
            try:
                sent = self.source.send(self.load[: count * self.size]) // self.size
            except OSError:
                sent = 0
        else:
            sent = max(0, self.out.send(self.source.fileno(), count))
        self.sent += sent

    def drain(self) -> int:
        total = 0
        for n, sink in enumerate(self.sinks):
            count = 0
            if self.segments:
                with contextlib.suppress(BlockingIOError):
                    count = -(-sink.recv_into(self.buffer) // self.size)
            else:
                count = max(0, self.into.receive(sink.fileno()))
            self.got[n] += count
            total += count
        return total

    def close(self) -> None:
        for sock in (*self.sinks, self.source):
            sock.close()


def _window(
    relay: Relay, size: int, fan: int, segments: bool, window: int, burst: int, secs: float
) -> dict[str, Any]:
    """Keep at most *window* datagrams under way, so that the source cannot outrun the relay."""
    rig = _Rig(relay, size, fan, segments)
    clock = time.perf_counter
    lost = 0
    now = last = clock()
    began: float | None = None
    before, used = 0, 0.0
    while True:
        if rig.sent - min(rig.got) - lost + burst <= window:
            rig.send(burst)
        if rig.drain():
            last = now
        now = clock()
        if now - last > 0.05:
            lost, last = rig.sent - min(rig.got), now
        if began is None:
            if now > last + 1 or rig.sent > 2 * window or lost:
                began, before, used = now, min(rig.got), relay.cpu()
        elif now - began >= secs:
            break
    count, cpu, elapsed = min(rig.got) - before, relay.cpu() - used, now - began
    while clock() < now + 0.1:
        rig.drain()
    loss = 1 - min(rig.got) / max(rig.sent, 1)
    rig.close()
    return {
        "v": count / elapsed / 1e3,
        "cpu": cpu * 1e6 / max(count, 1),
        "loss": loss,
        "util": cpu / elapsed,
    }


def datagrams(relay: Relay, size: int, fan: int = 1, segments: bool = False) -> dict[str, Any]:
    """Measure the rate of datagrams of *size* bytes without loss."""
    window, burst = opt.window, opt.burst
    if relay.local:
        # Beyond its queue a local socket tells the sender EAGAIN.
        window = int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text())
        window, burst = min(window, opt.window), min(max(1, window // 2), opt.burst)
    result: dict[str, Any] = collect(
        spawn(_window, relay, size, fan, segments, window, burst, opt.secs)
    )
    return result


def _paced(relay: Relay, size: int, rate: float, secs: float, burst: int = 8) -> dict[str, float]:
    rig = _Rig(relay, size, 1, False)
    clock = time.perf_counter
    began = clock()
    count, total = 0, int(rate * secs)
    while count < total:
        if count <= (clock() - began) * rate:
            rig.send(burst)
            count += burst
        rig.drain()
    elapsed = clock() - began
    end = clock() + 0.1
    while clock() < end:
        if rig.drain():
            end = clock() + 0.05
    loss, real = 1 - min(rig.got) / max(rig.sent, 1), rig.sent / elapsed
    rig.close()
    return {"loss": loss, "rate": real}


def open_loop(relay: Relay, size: int) -> dict[str, Any]:
    """Search the highest fixed rate of which at most one in a thousand is lost."""
    base = collect(spawn(_window, relay, size, 1, False, opt.window, opt.burst, 0.4))
    low, high, best = 0.0, base["v"] * 1.5e3, {"rate": 0.0, "loss": 1.0}
    for _ in range(7):
        middle = (low + high) / 2
        result = collect(spawn(_paced, relay, size, middle, 0.3))
        if result["loss"] <= 0.001 and result["rate"] > middle * 0.97:
            low, best = middle, result
        else:
            high = middle
    return {"v": best["rate"] / 1e3, "cpu": None, "loss": best["loss"]}
