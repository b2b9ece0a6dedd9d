"""An echo server and its client, with Deferreds that are awaited.

    python kpi_echo_await.py [--port N]
    python kpi_echo_await.py --connect HOST:PORT < FILE

It does what kpi_echo.py does.  Its sockets are in blocking mode: a call that
would wait returns a Deferred.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from socket import AF_INET, AF_INET6, SOCK_STREAM
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from ngksock.interfaces import ISocketKPIProvider
from ngksock.kpi import SHUT_WR, SO_REUSEADDR, SOL_SOCKET, MsgHdr, SocketKPI

SIZE = 64 * 1024


async def echo(so: Any) -> None:
    """Send back what *so* receives, until its end of file."""
    buffer = bytearray(SIZE)
    try:
        while got := await so.receive(MsgHdr(iov=[buffer])):
            await so.send(MsgHdr(iov=[memoryview(buffer)[:got]]))
    except OSError as error:
        print(f"a connection failed: {error}", file=sys.stderr)
    finally:
        so.close()


async def serve(kpi: ISocketKPIProvider, port: int) -> None:
    """Listen on *port* of 127.0.0.1, for ever."""
    listener = kpi.socket(AF_INET, SOCK_STREAM)
    try:
        listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(128)
        print("listening on {}:{}".format(*listener.getsockname()), flush=True)
        while True:
            so, _peer = await listener.accept()
            Deferred.fromCoroutine(echo(so))  # one more at the same time
    finally:
        listener.close()


async def collect(so: Any) -> None:
    """Print what *so* receives, until its end of file."""
    buffer = bytearray(SIZE)
    while got := await so.receive(MsgHdr(iov=[buffer])):
        sys.stdout.buffer.write(memoryview(buffer)[:got])


async def connect(kpi: ISocketKPIProvider, to: tuple[str, int], data: bytes) -> None:
    """Send *data* to the server at *to*, and print what comes back."""
    so = kpi.socket(AF_INET6 if ":" in to[0] else AF_INET, SOCK_STREAM)
    try:
        await so.connect(to)
        # Both directions at once: a server that is not read from stops reading.
        printed = Deferred.fromCoroutine(collect(so))
        with suppress(OSError):  # the connection has ended: what receives knows why
            await so.send(MsgHdr(iov=[data]))
            so.shutdown(SHUT_WR)
        await printed
    finally:
        so.close()


def address(text: str) -> tuple[str, int]:
    """Return the address that HOST:PORT or [HOST]:PORT says."""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


async def main(reactor: Any, *words: str) -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description="An echo server and its client.")
    parser.add_argument("--port", type=int, default=0, help="listen there; 0 picks one")
    parser.add_argument("--connect", type=address, metavar="HOST:PORT", help="be a client")
    args = parser.parse_args(words)
    kpi = SocketKPI(reactor)
    try:
        if args.connect is None:
            await serve(kpi, args.port)
        else:
            await connect(kpi, args.connect, sys.stdin.buffer.read())
    except OSError as error:
        raise SystemExit(f"kpi_echo_await.py: {error}") from None


if __name__ == "__main__":
    react(main, sys.argv[1:])
