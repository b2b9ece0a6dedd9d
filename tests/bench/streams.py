"""Streams: throughput, ping-pong, connections; TCP, TLS and local sockets."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import ssl
import struct
import time
from pathlib import Path
from typing import Any

from tests.bench.job import collect, far, spawn
from tests.bench.relay import Relay
from tests.bench.settings import HOST, opt, pause

__all__ = ["bulk", "connect", "crr", "listener", "rr", "tls_client"]


def listener(relay: Relay) -> socket.socket:
    """Return a socket that listens where *relay* forwards to."""
    if relay.local:
        Path(str(relay.targets[0])).unlink(missing_ok=True)
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(relay.targets[0]))
    else:
        server = socket.socket()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((HOST, relay.targets[0]))
    server.listen(1024)
    return server


def connect(relay: Relay, timeout: float | None = None) -> socket.socket:
    """Return a connection to *relay*."""
    sock = socket.socket(socket.AF_UNIX if relay.local else socket.AF_INET)
    if timeout is not None:
        sock.settimeout(timeout)
    sock.connect(relay.address)
    if not relay.local:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def tls_client() -> ssl.SSLContext:
    """Return a context that believes any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


# -- throughput


def _bulk_sink(server: socket.socket, relay: Relay, cheap: bool) -> dict[str, Any]:
    poll = select.epoll()
    server.setblocking(False)
    poll.register(server.fileno(), select.EPOLLIN)
    socks: dict[int, socket.socket] = {}
    buffer = bytearray(1 << 22 if cheap else 1 << 20)
    flags = socket.MSG_TRUNC if cheap else 0
    total = base = 0
    start: float | None = None
    began: float | None = None
    used = 0.0
    patience = time.monotonic() + 10
    while True:
        for fd, _ in poll.poll(0.5):
            if fd == server.fileno():
                sock, _ = server.accept()
                sock.setblocking(False)
                socks[sock.fileno()] = sock
                poll.register(sock.fileno(), select.EPOLLIN)
                continue
            try:
                count = socks[fd].recv_into(buffer, 0, flags)
            except BlockingIOError:
                continue
            if not count:
                poll.unregister(fd)
            total += count
        now = time.monotonic()
        if start is None:
            if total:
                start = now
            elif now > patience:
                raise RuntimeError("no data arrived")
        elif began is None:
            if now - start > opt.warm:
                began, base, used = now, total, relay.cpu()
        elif now - began >= opt.secs:
            cpu, count = relay.cpu() - used, total - base
            return {
                "v": count * 8e-9 / (now - began),
                "cpu": cpu / (count * 1e-9) if count else None,
                "util": cpu / (now - began),
            }


def _tls_source(relay: Relay) -> None:
    sock = tls_client().wrap_socket(connect(relay))
    data = os.urandom(1 << 17)
    end = time.monotonic() + opt.secs + opt.warm + 8
    with contextlib.suppress(OSError):
        while time.monotonic() < end:
            sock.sendall(data)


def _bulk_source(relay: Relay, conns: int, cheap: bool) -> None:
    size = 1 << 20 if cheap else 1 << 17
    memory = os.memfd_create("bench")
    os.write(memory, os.urandom(size))
    data = os.pread(memory, size, 0)
    poll = select.epoll()
    socks: dict[int, socket.socket] = {}
    for _ in range(conns):
        sock = connect(relay)
        sock.setblocking(False)
        socks[sock.fileno()] = sock
        poll.register(sock.fileno(), select.EPOLLOUT)
    end = time.monotonic() + opt.secs + opt.warm + 8
    with contextlib.suppress(OSError):
        while time.monotonic() < end:
            for fd, event in poll.poll(0.5):
                if event & (select.EPOLLERR | select.EPOLLHUP):
                    return
                with contextlib.suppress(BlockingIOError):
                    if cheap:
                        os.sendfile(fd, memory, 0, size)
                    else:
                        socks[fd].send(data)


def bulk(relay: Relay, conns: int, cheap: bool = False, tls: bool = False) -> dict[str, Any]:
    """Measure the throughput of *conns* connections."""
    server = listener(relay)
    sink = spawn(_bulk_sink, server, relay, cheap, cpu=far(relay))
    server.close()
    source = spawn(_tls_source, relay) if tls else spawn(_bulk_source, relay, conns, cheap)
    try:
        result: dict[str, Any] = collect(sink)
    finally:
        with contextlib.suppress(RuntimeError):
            collect(source)
    return result


# -- ping-pong


def _echo_server(server: socket.socket, end: float) -> None:
    server.settimeout(0.5)
    while time.monotonic() < end:
        try:
            sock, _ = server.accept()
        except TimeoutError:
            continue
        if sock.family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(5)
        with contextlib.suppress(OSError):
            while data := sock.recv(65536):
                sock.sendall(data)
        sock.close()
        return


def _ping(relay: Relay) -> dict[str, Any]:
    sock = connect(relay, 5)
    message = os.urandom(64)
    clock = time.perf_counter_ns
    turns: list[int] = []

    def turn() -> int:
        begin = clock()
        sock.sendall(message)
        count = 0
        while count < 64:
            got = len(sock.recv(64))
            if not got:
                raise RuntimeError("closed")
            count += got
        return clock() - begin

    for _ in range(200):
        turn()
    used, began = relay.cpu(), time.monotonic()
    while time.monotonic() - began < opt.secs:
        turns.append(turn())
    elapsed = time.monotonic() - began
    cpu = relay.cpu() - used
    turns.sort()
    return {
        "v": turns[len(turns) // 2] / 1e3,
        "p99": turns[len(turns) * 99 // 100] / 1e3,
        "rate": len(turns) / elapsed,
        "cpu": cpu * 1e6 / len(turns),
    }


def rr(relay: Relay) -> dict[str, Any]:
    """Measure the time that 64 bytes need to the far end and back."""
    server = listener(relay)
    job = spawn(_echo_server, server, time.monotonic() + opt.secs + 12, cpu=far(relay))
    server.close()
    try:
        result: dict[str, Any] = collect(spawn(_ping, relay))
    finally:
        collect(job)
    return result


# -- connections


def _answer(server: socket.socket, end: float) -> None:
    poll = select.epoll()
    server.setblocking(False)
    poll.register(server.fileno(), select.EPOLLIN)
    socks: dict[int, socket.socket] = {}
    while time.monotonic() < end:
        for fd, _ in poll.poll(0.2):
            if fd == server.fileno():
                for _ in range(16):
                    try:
                        sock, _ = server.accept()
                    except BlockingIOError:
                        break
                    socks[sock.fileno()] = sock
                    poll.register(sock.fileno(), select.EPOLLIN)
                continue
            sock = socks.pop(fd)
            with contextlib.suppress(OSError):
                if sock.recv(16, socket.MSG_DONTWAIT):
                    sock.send(b"y")
            sock.close()


def _ask(relay: Relay, end: float, tls: bool) -> list[int]:
    good = bad = 0
    start = time.monotonic() + opt.warm
    patience = struct.pack("ll", 3, 0)
    context = tls_client() if tls else None
    while (now := time.monotonic()) < end:
        sock = socket.socket(socket.AF_UNIX if relay.local else socket.AF_INET)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, patience)
            sock.connect(relay.address)
            if context is not None:
                sock = context.wrap_socket(sock)
            sock.send(b"x")
            if sock.recv(1) == b"y":
                good += now >= start
            else:
                bad += 1
        except OSError:
            bad += 1
        sock.close()
    return [good, bad]


def crr(relay: Relay, clients: int = 8, tls: bool = False) -> dict[str, Any]:
    """Count connections a second: connect, a byte each way, close."""
    server = listener(relay)
    end = time.monotonic() + opt.warm + opt.secs
    job = spawn(_answer, server, end + 0.3, cpu=far(relay))
    server.close()
    jobs = [spawn(_ask, relay, end, tls) for _ in range(clients)]
    pause(end - opt.secs - time.monotonic())
    used = relay.cpu()
    pause(end - time.monotonic())
    cpu = relay.cpu() - used
    results = [collect(client) for client in jobs]
    collect(job)
    good, bad = (sum(result[n] for result in results) for n in (0, 1))
    return {"v": good / opt.secs, "bad": bad, "cpu": cpu * 1e6 / max(good, 1)}
