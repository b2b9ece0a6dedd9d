"""What the tests of the socket KPI share: sockets, and an owner who listens.

Nothing here sleeps: an `Owner` records every upcall and event in one list, and
a test waits for what it expects to be in it.
"""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from ngksock.kpi import Socket, SocketKPI
from ngksock.kpi.constants import FIONBIO, SS_NOFDREF
from ngksock.packet import Batch, Packet

ANY = ("127.0.0.1", 0)
STREAM = int(socket.SOCK_STREAM)
DGRAM = int(socket.SOCK_DGRAM)
SEQPACKET = int(socket.SOCK_SEQPACKET)
INET = int(socket.AF_INET)
INET6 = int(socket.AF_INET6)
UNIX = int(socket.AF_UNIX)


def packets(*contents: bytes) -> Batch:
    """Return a batch of those packets."""
    return Batch(Packet(data) for data in contents)


def driver(so: Socket) -> Any:
    """Return the driver of *so*, to look under the waist."""
    return so.driver


class Owner:
    """
    Owns a socket: reads what comes unless told not to, and records.

    ``told`` has "read", "write" and hints in the order they came;
    ``received`` what was read; ``eof`` and ``error`` how it ended.
    """

    def __init__(self, so: Socket, reads: bool = True) -> None:
        self.so = so
        self.reads = reads
        self.told: list[str | int] = []
        self.received: list[bytes] = []
        self.names: list[Any] = []
        self.eof = False
        self.error: int | None = None
        self._waits: list[tuple[Callable[..., object], tuple[object, ...], Deferred[None]]] = []
        so.catchevents(self._event, None, 0xFFFFFFFF)
        so.setupcalls(self._read, None, self._write, None)

    @property
    def data(self) -> bytes:
        """All that was received, joined."""
        return b"".join(self.received)

    def until(self, condition: Callable[..., object], *args: object) -> Deferred[None]:
        """Fire once *condition* of *args* holds; it is asked after each callback."""
        done: Deferred[None] = Deferred()
        self._waits.append((condition, args, done))
        self._check()
        return done

    def drain(self) -> None:
        """Read all there is."""
        try:
            while batch := self.so.receivebatch(64):
                self.received += [bytes(packet.data) for packet in batch]
                self.names += batch.names or []
            self.eof = True
        except BlockingIOError:
            return
        except OSError as error:
            self.error = error.errno

    def _event(self, so: Socket, cookie: Any, hint: int) -> None:
        self.told.append(hint)
        self._check()

    def _read(self, so: Socket, cookie: Any, waitf: int) -> None:
        self.told.append("read")
        if self.reads and so.so_comp is None:
            self.drain()
        self._check()

    def _write(self, so: Socket, cookie: Any, waitf: int) -> None:
        self.told.append("write")
        self._check()

    def _check(self) -> None:
        for wait in list(self._waits):
            condition, args, done = wait
            if condition(*args):
                self._waits.remove(wait)
                done.callback(None)


class KPITestCase(TestCase):
    """A test with a `SocketKPI` whose sockets are closed after it."""

    timeout = 20

    def setUp(self) -> None:
        self.kpi = SocketKPI(reactor)
        self.addCleanup(self.kpi.closeall)

    def socket(self, domain: int = INET, type: int = STREAM, protocol: int = 0) -> Socket:
        """Make a socket in non-blocking mode."""
        so = self.kpi.socket(domain, type, protocol)
        so.ioctl(FIONBIO, 1)
        return so

    def accept(self, so: Socket, flags: int = 0) -> tuple[Socket, Any]:
        """Accept a connection that waits."""
        accepted = so.accept(flags)
        assert isinstance(accepted, tuple)
        return accepted

    def fresh(self, domain: int) -> Any:
        """Return an address of *domain* to bind to, no fixed port in it."""
        if domain == UNIX:
            return self.mktemp_short()
        return ANY if domain == INET else ("::1", 0)

    def mktemp_short(self) -> str:
        """Return a path short enough for a socket."""
        folder = tempfile.mkdtemp(prefix="ngk")
        self.addCleanup(shutil.rmtree, folder)
        return f"{folder}/s"

    def listener(self, domain: int = INET, type: int = STREAM) -> Owner:
        """Make a listening socket."""
        so = self.socket(domain, type)
        so.bind(self.fresh(domain))
        so.listen(5)
        return Owner(so)

    def connect(self, so: Socket, to: Any) -> None:
        """Begin to connect."""
        try:
            so.connect(to)
        except BlockingIOError:
            return

    async def pair(
        self, domain: int = INET, type: int = STREAM, reads: bool = True
    ) -> tuple[Owner, Owner]:
        """Return a connected client and its accepted peer, both past the beginning."""
        listener = self.listener(domain, type)
        client = Owner(self.socket(domain, type), reads)
        self.connect(client.so, listener.so.getsockname())
        await client.until(lambda: 0x5000 in client.told)
        await listener.until(lambda: listener.so.so_comp)
        accepted, _name = self.accept(listener.so)
        listener.so.close()
        client.told.clear()
        return client, Owner(accepted, reads)

    def errno_of(self, call: Callable[..., object], *args: Any) -> int | None:
        """Return the errno *call* fails with."""
        code: int | None = self.assertRaises(OSError, call, *args).errno
        return code

    def is_closed(self, so: Socket) -> bool:
        """Tell whether the owner closed *so*."""
        return bool(so.state & SS_NOFDREF)
