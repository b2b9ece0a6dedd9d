"""A TCP forwarder, with Deferreds that are awaited, and mbufs.

    python kpi_proxy.py [--listen HOST:PORT] TARGET:PORT

Each connection that comes in is connected to the target.  Both directions are
copied at once; each ends by itself, with an end of file of its own.  A side
that does not read holds the other one back.  An error of one side resets both.
Addresses are numeric: 127.0.0.1:80, [::1]:80.  Ctrl-C ends it.
"""

from __future__ import annotations

import argparse
import sys
from socket import AF_INET, AF_INET6, SOCK_STREAM
from typing import Any

from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.internet.task import react

from ngksock.interfaces import ISocketKPIProvider
from ngksock.kpi import SHUT_WR, SO_REUSEADDR, SOL_SOCKET, SocketKPI

SIZE = 64 * 1024

Address = tuple[str, int]


def stream(kpi: ISocketKPIProvider, address: Address) -> Any:
    """Return a new TCP socket of the family of *address*."""
    return kpi.socket(AF_INET6 if ":" in address[0] else AF_INET, SOCK_STREAM)


async def copy(source: Any, sink: Any) -> None:
    """Move bytes from one socket to the other, the end of file as well."""
    while True:
        chain, _length = await source.receivembuf(SIZE)
        if chain is None:
            break
        await sink.sendmbuf(chain)  # waits for space; the chain is the socket's from now on
    sink.shutdown(SHUT_WR)


async def forward(kpi: ISocketKPIProvider, client: Any, peer: Address, target: Address) -> None:
    """Connect *client* to *target*, and close both sockets in the end."""
    ends = [client]
    try:
        server = stream(kpi, target)
        ends.append(server)
        await server.connect(target)
        directions = [copy(client, server), copy(server, client)]
        await gatherResults(map(Deferred.fromCoroutine, directions), consumeErrors=True)
    except (OSError, FirstError) as error:
        cause = error.subFailure.value if isinstance(error, FirstError) else error
        print("{}:{}: {}".format(*peer[:2], cause), file=sys.stderr)
        for so in ends:
            so.reset()  # behind what it has still to send; a wait on it ends, too
    else:
        for so in ends:
            so.close()


async def serve(kpi: ISocketKPIProvider, at: Address, target: Address) -> None:
    """Listen at an address, for ever."""
    listener = stream(kpi, at)
    try:
        listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        listener.bind(at)
        listener.listen(128)
        print("listening on {}:{}".format(*listener.getsockname()), flush=True)
        while True:
            client, peer = await listener.accept()
            Deferred.fromCoroutine(forward(kpi, client, peer, target))
    finally:
        listener.close()


def address(text: str) -> Address:
    """Return the address that HOST:PORT or [HOST]:PORT says."""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


async def main(reactor: Any, *words: str) -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description="Forward TCP connections.")
    parser.add_argument("--listen", type=address, default=("127.0.0.1", 0), metavar="HOST:PORT")
    parser.add_argument("target", type=address, metavar="TARGET:PORT")
    args = parser.parse_args(words)
    try:
        await serve(SocketKPI(reactor), args.listen, args.target)
    except OSError as error:
        raise SystemExit(f"kpi_proxy.py: {error}") from None


if __name__ == "__main__":
    react(main, sys.argv[1:])
