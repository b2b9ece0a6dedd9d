"""An echo server and its client, with upcalls.

    python kpi_echo.py [--port N]
    python kpi_echo.py --connect HOST:PORT < FILE

The server listens on 127.0.0.1, and stops at Ctrl-C.  The client sends its
standard input and prints what comes back.  Addresses are numeric.
"""

from __future__ import annotations

import argparse
import sys
from socket import AF_INET, AF_INET6, SOCK_STREAM
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from ngksock.interfaces import ISocketKPIProvider
from ngksock.kpi import FIONBIO, SHUT_WR, SO_REUSEADDR, SOL_SOCKET, MsgHdr, SocketKPI

SIZE = 64 * 1024


class Echo:
    """One connection of the server: sends back what it receives."""

    def __init__(self, so: Any) -> None:
        self.buffer = bytearray(SIZE)
        self.unsent = memoryview(b"")
        so.setupcall(self.ready)  # and, if something is here already, an upcall

    def ready(self, so: Any, cookie: Any, waitf: int) -> None:
        """Receive and send until one of them would block: the upcall."""
        try:
            while True:
                while self.unsent:  # before more is taken in: this is the back-pressure
                    sent = so.send(MsgHdr(iov=[self.unsent]))
                    self.unsent = self.unsent[sent:]
                got = so.receive(MsgHdr(iov=[self.buffer]))
                if not got:
                    break
                self.unsent = memoryview(self.buffer)[:got]
        except BlockingIOError:
            return  # there will be another upcall
        except OSError as error:
            print(f"a connection failed: {error}", file=sys.stderr)
        so.close()


def serve(kpi: ISocketKPIProvider, port: int) -> None:
    """Listen on *port* of 127.0.0.1."""

    def arrived(listener: Any, cookie: Any, waitf: int) -> None:
        try:
            while True:
                so, _peer = listener.accept()  # non-blocking, as the listener is
                Echo(so)
        except BlockingIOError:
            return  # there will be another upcall

    listener = kpi.socket(AF_INET, SOCK_STREAM, 0, arrived)
    listener.ioctl(FIONBIO, 1)
    listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(128)
    print("listening on {}:{}".format(*listener.getsockname()), flush=True)


class Client:
    """
    Sends *data*, then the end of file, and prints what comes back.

    Args:
        so: A socket in non-blocking mode that was told to connect.
        data: What to send.

    ``done`` fires when the server has sent its end of file, or fails.
    """

    def __init__(self, so: Any, data: bytes) -> None:
        self.buffer = bytearray(SIZE)
        self.unsent = memoryview(data)
        self.open = True
        self.done: Deferred[None] = Deferred()
        so.setupcall(self.ready)

    def ready(self, so: Any, cookie: Any, waitf: int) -> None:
        """Receive, then send: the upcall, for the first time when connected or refused."""
        try:
            # What went wrong is told by receive; send would say EPIPE.
            ended = self.receive(so)
            if not ended:
                self.send(so)
                return
        except OSError as error:
            self.done.errback(error)
        else:
            self.done.callback(None)
        so.close()

    def receive(self, so: Any) -> bool:
        """Print what has come; return whether that was all."""
        try:
            while got := so.receive(MsgHdr(iov=[self.buffer])):
                sys.stdout.buffer.write(memoryview(self.buffer)[:got])
        except BlockingIOError:
            return False
        return True

    def send(self, so: Any) -> None:
        """Send as much as there is space for, and after the last byte the end of file."""
        try:
            while self.unsent:
                self.unsent = self.unsent[so.send(MsgHdr(iov=[self.unsent])) :]
        except BlockingIOError:
            return
        if self.open:
            self.open = False
            so.shutdown(SHUT_WR)


def connect(kpi: ISocketKPIProvider, to: tuple[str, int], data: bytes) -> Deferred[None]:
    """Send *data* to the server at *to*."""
    so = kpi.socket(AF_INET6 if ":" in to[0] else AF_INET, SOCK_STREAM)
    so.ioctl(FIONBIO, 1)
    client = Client(so, data)
    try:
        so.connect(to)
    except BlockingIOError:
        pass  # EINPROGRESS: an upcall will tell
    except OSError:
        so.close()
        raise
    return client.done


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
            serve(kpi, args.port)
            await Deferred()  # until Ctrl-C
        else:
            await connect(kpi, args.connect, sys.stdin.buffer.read())
    except OSError as error:
        raise SystemExit(f"kpi_echo.py: {error}") from None


if __name__ == "__main__":
    react(main, sys.argv[1:])
