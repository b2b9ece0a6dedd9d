"""TLS by others: Python's ssl and the openssl program, as ends of connections."""

from __future__ import annotations

import hashlib
import os
import select
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Final

from tests.integration.service import DEADLINE
from tests.integration.traffic import BLOCK, End, Pool

VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
TURN: Final = 16
"""So many records go one way before the other way has its turn."""


def client_context(ca: Path, version: str = "1.3", cert: Path | None = None) -> ssl.SSLContext:
    """Return Python's context for a client of one version that trusts *ca*."""
    context = ssl.create_default_context(cafile=str(ca))
    context.minimum_version = context.maximum_version = VERSIONS[version]
    if cert is not None:
        context.load_cert_chain(cert)
    return context


def server_context(cert: Path, version: str = "1.3") -> ssl.SSLContext:
    """Return Python's context for a server of one version."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = VERSIONS[version]
    context.load_cert_chain(cert)
    return context


class Sums:
    """
    What a stream has brought.

    Args:
        pool: Where it comes from.
        stream: Which it ought to be.
    """

    def __init__(self, pool: Pool, stream: int) -> None:
        self._pool, self._stream = pool, stream
        self._summed = hashlib.sha256()
        self.size = 0

    def add(self, data: bytes | memoryview) -> None:
        """Take in what came."""
        self._summed.update(data)
        self.size += len(data)

    def check(self) -> None:
        """Raise AssertionError unless all has come, and nothing else."""
        if self.size != self._pool.size or self._summed.digest() != self._pool.digest(self._stream):
            raise AssertionError(f"{self.size} of {self._pool.size} bytes, or other ones, arrived")


class TLSEnd(threading.Thread):
    """
    One end of a connection, with Python's ssl: sends one stream, takes another.

    One thread does both, for an SSL object is not for two.  The other side must
    be an `End` that ends first: Python's ssl cannot half-close.

    Args:
        sock: The connection, its handshake done.
        pool: Where both streams come from.
        sends: The stream that it sends.
        takes: The stream that it expects.
    """

    def __init__(self, sock: ssl.SSLSocket, pool: Pool, sends: int, takes: int) -> None:
        super().__init__(daemon=True)
        self.sock = sock
        self.failed = ""
        self._blocks = pool.blocks(sends)
        self._held = next(self._blocks)
        self._sums = Sums(pool, takes)
        self._ended = self._finished = False
        self._buffer = memoryview(bytearray(BLOCK))

    def run(self) -> None:
        """Send and take in, then end TLS as one ought to."""
        try:
            self._exchange()
            self._sums.check()
            self.sock.settimeout(DEADLINE)
            self.sock.unwrap()
        except (OSError, AssertionError) as error:
            self.failed = f"TLS: {error!r}"
        finally:
            self.sock.close()

    def _exchange(self) -> None:
        self.sock.setblocking(False)
        poll = select.poll()
        while not (self._ended and self._finished):
            waits = 0  # for what; a way that goes on waits for nothing
            try:
                self._take()
                busy = not self._ended
            except ssl.SSLWantReadError:
                busy, waits = False, select.POLLIN
            try:
                self._send()
                busy = busy or not self._finished
            except ssl.SSLWantWriteError:
                waits |= select.POLLOUT
            if waits and not busy:
                poll.register(self.sock, waits)
                if not poll.poll(DEADLINE * 1000):
                    raise TimeoutError

    def _take(self) -> None:
        for _ in range(TURN):
            if self._ended:
                return
            count = self.sock.recv_into(self._buffer)
            self._sums.add(self._buffer[:count])
            self._ended = not count

    def _send(self) -> None:
        for _ in range(TURN):
            if not self._held:
                following = next(self._blocks, None)
                if following is None:
                    self._finished = True
                    return
                self._held = following
            self._held = self._held[self.sock.send(self._held) :]


def exchange_tls(plain: socket.socket, tls: ssl.SSLSocket, size: int) -> None:
    """Send *size* random bytes both ways at once; *plain* ends first, *tls* after it."""
    pool = Pool(size)
    ends = End(plain, pool, 0, 1, first=True), TLSEnd(tls, pool, 1, 0)
    for end in ends:
        end.start()
    for end in ends:
        end.join()
    failed = [end.failed for end in ends if end.failed]
    if failed:
        raise AssertionError("; ".join(failed))


class OpenSSL:
    """
    The openssl program at one end of a connection, its data on its pipes.

    Args:
        words: Its arguments.
    """

    def __init__(self, *words: str | Path) -> None:
        self._errors = ""
        self.process = subprocess.Popen(
            ["openssl", *map(str, words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._stack = ExitStack()
        for stream in (self.stdin, self.stdout, self.stderr):
            self._stack.push(stream)

    @property
    def stdin(self) -> BinaryIO:
        """What it sends."""
        return self._stream("stdin")

    @property
    def stdout(self) -> BinaryIO:
        """What it has received."""
        return self._stream("stdout")

    @property
    def stderr(self) -> BinaryIO:
        """What it says."""
        return self._stream("stderr")

    def _stream(self, name: str) -> BinaryIO:
        stream: BinaryIO = getattr(self.process, name)
        return stream

    def ended(self) -> tuple[int, bytes, str]:
        """Close its input, wait for its end; return status, output and what it said."""
        out, said = self.process.communicate(timeout=DEADLINE)
        return self.process.returncode, out, said.decode()

    def close(self) -> None:
        """End it if nothing else has."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._stack.close()


def exchange_pipes(plain: socket.socket, program: OpenSSL, size: int) -> None:
    """
    Send *size* random bytes both ways at once between *plain* and *program*.

    The program cannot half-close, and gives up when the other side does: so
    *plain* ends, both ways, when it has all.
    """
    pool = Pool(size)
    failed: list[str] = []

    def out(write: Callable[[memoryview], object], stream: int) -> None:
        for block in pool.blocks(stream):
            write(block)

    def into(pieces: Iterator[bytes], stream: int) -> None:
        sums = Sums(pool, stream)
        for piece in pieces:
            sums.add(piece)
            if sums.size >= size:
                break
        sums.check()

    def guarded(part: Callable[..., None], *args: object) -> threading.Thread:
        def run() -> None:
            try:
                part(*args)
            except (OSError, AssertionError) as error:
                failed.append(f"{part.__name__}: {error!r}")

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def write_pipe(block: memoryview) -> None:
        program.stdin.write(block)
        program.stdin.flush()

    threads = (
        guarded(out, write_pipe, 0),
        guarded(out, plain.sendall, 1),
        guarded(into, iter(lambda: plain.recv(BLOCK), b""), 0),
        guarded(into, iter(lambda: os.read(program.stdout.fileno(), BLOCK), b""), 1),
    )
    for thread in threads:
        thread.join(DEADLINE)
    plain.close()
    if failed or any(thread.is_alive() for thread in threads):
        raise AssertionError("; ".join(failed) or "it takes too long")
