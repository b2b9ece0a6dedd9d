"""HostWorld: the sockets of this host, on a real reactor."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import socket
import tempfile
from collections.abc import Callable
from typing import Any

from ngksock.kpi import SocketKPI
from ngksock.testing.kpi.world import SocketWorld

__all__ = ["HostWorld"]

TCP_SYNCNT = int(getattr(socket, "TCP_SYNCNT", 7))


class HostWorld(SocketWorld):
    """
    Sockets of the host.

    Args:
        reactor: Where they live.
        domain: AF_INET, AF_INET6 or AF_UNIX.
        type: SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET or SOCK_RAW.
        protocol: As for `SocketKPI.socket`.
        column: The column of the table; see `SocketWorld`.
        prepare: Called with each new socket, to set its options.
        flush: See `SocketWorld`.
    """

    def __init__(
        self,
        reactor: Any,
        domain: int,
        type: int,
        protocol: int = 0,
        *,
        column: str,
        prepare: Callable[[Any], object] = lambda so: None,
        flush: Callable[[Any], Any] | None = None,
    ) -> None:
        super().__init__(
            SocketKPI(reactor),
            reactor,
            int(domain),
            int(type),
            int(protocol),
            column=column,
            strict=SocketKPI(reactor, strict_xnu=True),
            flush=flush,
        )
        self.reactor = reactor
        self._prepare = prepare
        self._numbers = itertools.count(2)
        self._peers: list[socket.socket] = []
        self._folder: str | None = None
        self._before: list[tuple[str, Any]] = []
        if domain == socket.AF_UNIX:
            self.wildcard = self.nobody = ""
        elif type == socket.SOCK_RAW:
            self.header = 20 if domain == socket.AF_INET else 0
            self.wildcard = ("0.0.0.0", self.protocol)  # Linux's way to tell it
        else:
            tcp = type == socket.SOCK_STREAM
            usual = socket.IPPROTO_TCP if tcp else socket.IPPROTO_UDP
            self.resolved = int(protocol or usual)
        if domain == socket.AF_INET6:
            self.wildcard = self.nobody = ("::", 0, 0, 0)

    def prepare(self, so: Any) -> None:
        self._prepare(so)

    def descriptor(self, so: Any) -> int:
        number: int = so.driver.fileno()
        return number

    # -- addresses

    def address(self) -> Any:
        if self.domain == socket.AF_UNIX:
            if self._folder is None:
                self._folder = tempfile.mkdtemp(prefix="ngk")
            return f"{self._folder}/{next(self._numbers)}"
        if self.type == socket.SOCK_RAW:
            return (f"127.0.0.{next(self._numbers) % 250}", 0)  # no ports: each has a host
        return ("127.0.0.1", 0) if self.domain == socket.AF_INET else ("::1", 0)

    def unused(self) -> Any:
        if self.domain == socket.AF_UNIX or self.type == socket.SOCK_RAW:
            return self.address()
        with socket.socket(self.domain, self.type) as peer:
            peer.bind(self.address())
            return peer.getsockname()

    def stuck(self) -> Any:
        """Return the address of a listener with a full backlog: SYNs are dropped there."""
        if self.domain == socket.AF_UNIX or not self.connects:
            raise NotImplementedError  # they are refused, or connect at once
        listener = self.peer()
        listener.bind(self.address())
        listener.listen(0)
        self.peer().connect_ex(listener.getsockname())
        return listener.getsockname()

    def impatient(self, so: Any) -> None:
        so.setsockopt(int(socket.IPPROTO_TCP), TCP_SYNCNT, 1)

    def reset(self, so: Any, peer: Any = None) -> None:
        if self.domain == socket.AF_UNIX and peer is not None:
            self.send(peer, b"unread")  # what is closed before it was read is a reset
        super().reset(so, peer)

    def peer(self) -> socket.socket:
        """Return a bare socket of this kind; closed after the check."""
        peer = socket.socket(self.domain, self.type)
        peer.setblocking(False)
        self._peers.append(peer)
        return peer

    # -- what is left

    def open(self) -> None:
        self._before = self._there()

    def abandon(self) -> None:
        super().abandon()
        while self._peers:
            self._peers.pop().close()
        if self._folder is not None:
            shutil.rmtree(self._folder)
            self._folder = None

    def leftovers(self) -> list[str]:
        before = list(self._before)
        left = []
        for thing in self._there():
            if thing in before:
                before.remove(thing)
            else:
                left.append(f"{thing[0]} {thing[1]}")
        return left

    def _there(self) -> list[tuple[str, Any]]:
        reactor = self.reactor
        found: list[tuple[str, Any]] = []
        for descriptor in os.listdir("/dev/fd"):
            try:
                found.append(("descriptor", f"{descriptor} {os.readlink('/dev/fd/' + descriptor)}"))
            except OSError as error:
                if error.errno == errno.EINVAL:
                    found.append(("descriptor", descriptor))
                # Else it was that of the listing itself.
        found += [("reader", reader) for reader in reactor.getReaders()]
        found += [("writer", writer) for writer in reactor.getWriters()]
        found += [("delayed call", call) for call in reactor.getDelayedCalls()]
        return found
