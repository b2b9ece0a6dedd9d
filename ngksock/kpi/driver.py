"""What every driver of the host's sockets does: names, options, registration.

A driver is a Twisted transport.  It moves bytes and holds no rule about
states: those are in `ngksock.kpi.socket`, above it.
"""

from __future__ import annotations

import errno
import fcntl
import select
import socket
import struct
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import IReadWriteDescriptor
from twisted.logger import Logger
from zope.interface import implementer

from ngksock._ikpi import IUserRequests
from ngksock.errors import oserror
from ngksock.kpi.constants import MSG_NOSIGNAL
from ngksock.kpi.msghdr import Control
from ngksock.kpi.sockaddr import SockAddr, path_text
from ngksock.packet import Batch

if TYPE_CHECKING:
    from ngksock.kpi.provider import SocketKPI
    from ngksock.kpi.socket import Socket

__all__ = ["Driver"]

log = Logger(namespace="ngksock.kpi")

RDHUP = getattr(select, "POLLRDHUP", 0)
ERRQUEUE = getattr(socket, "MSG_ERRQUEUE", None)
ERRORS_MAX = 1024

OPTION_MAX = 1024
"""Bytes that Python's getsockopt returns at most."""

_ABORT = struct.pack("ii", 1, 0)
_FORCE = {  # option: (its privileged twin on Linux, how it is written)
    socket.SO_RCVBUF: (33, "so_rcvbuf"),
    socket.SO_SNDBUF: (32, "so_sndbuf"),
}


@implementer(IReadWriteDescriptor, IUserRequests)
class Driver(FileDescriptor):
    """
    The half of a driver that streams and datagrams share.

    Args:
        kpi: Whose reactor, upcalls and paths this uses.
        sock: The host's socket; made non-blocking here.

    ``reading`` says whether the reactor watches for input, ``writing`` whether
    it does for room.
    """

    so: Socket
    writing = False
    path: bytes | None = None

    def __init__(self, kpi: SocketKPI, sock: socket.socket) -> None:
        # Not the base's: it makes a buffer for what `write` is given, and
        # nobody writes to a driver but by `send`.
        self.reactor = kpi.reactor
        if sock.gettimeout() != 0.0:
            sock.setblocking(False)
        self.kpi = kpi
        self.sock = sock
        self.reading = False

    # -- IUserRequests

    def attach(self, so: Socket) -> None:
        self.so = so

    def bind(self, to: SockAddr) -> None:
        if isinstance(to, bytes):
            if self.path is not None:
                raise oserror(errno.EINVAL, "the socket is bound already")
            self.kpi.paths.bind(self.sock, to, self.so.mode)
            self.path = to
        else:
            self.sock.bind(to)

    def listen(self, backlog: int) -> None:
        raise oserror(errno.EOPNOTSUPP)

    def accept(self) -> bool:
        raise oserror(errno.EOPNOTSUPP)

    def connect(self, to: SockAddr) -> bool:
        raise NotImplementedError

    def send(self, batch: Batch) -> int:
        raise NotImplementedError

    def sendmsg(
        self,
        pieces: Sequence[bytes | memoryview],
        flags: int,
        to: SockAddr,
        control: list[Control],
    ) -> int:
        if to is None:
            return self.sock.sendmsg(pieces, control, flags | MSG_NOSIGNAL)
        return self.sock.sendmsg(pieces, control, flags | MSG_NOSIGNAL, to)

    def recvoob(self, peek: bool) -> bytes:
        raise oserror(errno.EOPNOTSUPP)

    def ioctl(self, request: int, arg: bytes) -> bytes:
        if self.sock.fileno() < 0:
            raise oserror(errno.EBADF, "the socket has no descriptor any more")
        done = fcntl.ioctl(self.sock, request, arg)
        assert isinstance(done, bytes)
        return done

    def adopted(self) -> int:
        raise NotImplementedError

    def shut_for_reading(self) -> bool:
        """Say whether nothing will ever come in: somebody has shut that down."""
        poll = select.poll()
        poll.register(self.sock, RDHUP)
        return bool(RDHUP) and any(found & RDHUP for _, found in poll.poll(0))

    def rcvd(self) -> None:
        if not self.reading:
            self.reading = True
            self.kpi.reactor.addReader(self)

    def shutdown(self) -> None:
        """Nothing to tell the other end of; a stream has something."""

    def outq(self) -> int:
        return 0

    def detach(self) -> None:
        self.stop()
        self.sock.close()
        if self.path is not None:
            self.kpi.paths.release(self.path)
        if hasattr(self, "so"):
            del self.so  # or the two would hold each other until the collector comes

    def abort(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        self.detach()

    def sockaddr(self) -> SockAddr:
        return self.name(self.sock.getsockname())

    def peeraddr(self) -> SockAddr:
        return self.name(self.sock.getpeername())

    def ctloutput(
        self, level: int, name: int, value: int | bytes | None = None, length: int = 0
    ) -> int | bytes:
        if value is None:
            if length:
                return self.sock.getsockopt(level, name, min(length, OPTION_MAX))
            return self.sock.getsockopt(level, name)
        if level == socket.SOL_SOCKET and name in _FORCE and isinstance(value, int):
            self._setbuf(name, value)
        else:
            self.sock.setsockopt(level, name, value)
        return b""

    def _setbuf(self, name: int, value: int) -> None:
        """Set a buffer of the host's as near to *value* as it lets us."""
        sock = self.sock
        sock.setsockopt(socket.SOL_SOCKET, name, value)
        if sys.platform != "linux":
            return  # platform: the others refuse what they cannot do
        # Linux reports twice what it set, for its own bookkeeping.
        got = sock.getsockopt(socket.SOL_SOCKET, name) // 2
        if got >= value:
            return
        force, word = _FORCE[name]
        try:
            sock.setsockopt(socket.SOL_SOCKET, force, value)
            return
        except OSError:
            # Not privileged, or no such option here: tell what there is.
            log.warn(
                "{word}: {value} bytes were asked for, the system limit gives {got}",
                word=word,
                value=value,
                got=got,
            )

    # -- for the drivers themselves

    def name(self, address: Any) -> SockAddr:
        """Return an address of the system's in the form of ours."""
        if isinstance(address, tuple):
            return address
        return path_text(address)

    def pause(self) -> None:
        """Watch for input no more, until `rcvd`."""
        self.reading = False
        self.kpi.reactor.removeReader(self)

    def stop(self) -> None:
        """Watch for nothing any more."""
        if self.reading:
            self.reading = False
            self.kpi.reactor.removeReader(self)
        if self.writing:
            self.writing = False
            self.kpi.reactor.removeWriter(self)

    def let_go(self) -> None:
        """Watch for nothing any more, whatever the reactor has forgotten already."""
        self.reading = self.writing = False
        self.kpi.reactor.removeReader(self)
        self.kpi.reactor.removeWriter(self)

    def drain_errors(self) -> bool:
        """
        Throw away what waits in the error queue (timestamps, IP_RECVERR); say if there was any.

        It wakes the reactor as an error does, for as long as it is there.
        """
        if ERRQUEUE is None or self.sock.family == socket.AF_UNIX:
            return False
        found = False
        try:
            for _ in range(ERRORS_MAX):
                self.sock.recvmsg(0, OPTION_MAX, ERRQUEUE)
                found = True
        except OSError:
            return found  # empty
        return found

    def take_error(self) -> int:
        """Return the error the system keeps for this socket, and clear it."""
        return self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    # -- IReadWriteDescriptor

    def fileno(self) -> int:
        return self.sock.fileno()

    def logPrefix(self) -> str:
        return "ngksock"
