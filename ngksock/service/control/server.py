"""Where clients connect: the listening socket, who is let in, and how many."""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ngksock import ngd
from ngksock.errors import words
from ngksock.kpi.local import Paths
from ngksock.netgraph import Graph
from ngksock.service.control.connection import Connection
from ngksock.service.control.peer import Peer

if TYPE_CHECKING:
    from ngksock.service.control.attachment import Attachment

__all__ = ["ControlServer"]

_log: Final = Logger(namespace="ngksock.control")

CONNECTIONS_MAX: Final = 4096
BACKLOG: Final = 128
RETRY_SECONDS: Final = 1.0


class ControlServer(FileDescriptor):
    """
    Serves NGD/1 at a path.

    Args:
        graph: The graph that clients become a part of.
        reactor: Provides IReactorFDSet and IReactorTime.
        path: Where the socket is made.
        group: Whose members may connect as well, by number; None: nobody's.

    Raises:
        OSError: EADDRINUSE, another daemon answers there, or it is a file.
            Else what bind(2) says.
    """

    def __init__(self, graph: Graph, reactor: Any, path: str, group: int | None = None) -> None:
        super().__init__(reactor)
        self.graph = graph
        self.clock: IReactorTime = reactor
        self.group = group
        self.path = os.fsencode(os.path.abspath(path))
        self.connections: dict[Connection, None] = {}
        self.attachments: dict[int, Attachment] = {}
        self._retry: IDelayedCall | None = None
        self._paths = Paths(b"/")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self.sock.setblocking(False)
            self._paths.bind(self.sock, self.path, 0o600 if group is None else 0o660)
            if group is not None:
                os.chown(self.path, -1, group)
            self.sock.listen(BACKLOG)
        except BaseException:
            self.sock.close()
            self._paths.release(self.path)
            raise
        self.reactor.addReader(self)

    def __str__(self) -> str:
        return os.fsdecode(self.path)

    # -- the reactor calls these

    def fileno(self) -> int:
        return self.sock.fileno()

    def logPrefix(self) -> str:
        return "ngksock"

    def doRead(self) -> None:
        try:
            sock, _ = self.sock.accept()
        except BlockingIOError:
            return
        except OSError as error:
            self._ran_short(error.errno or errno.EMFILE)
            return
        try:
            peer = Peer.of(sock)
        except OSError:
            sock.close()  # gone already
            return
        self.connections[Connection(self, sock, peer)] = None

    def connectionLost(self, reason: Failure) -> None:
        self.close()

    # -- for the connections

    def admit(self, connection: Connection, kind: int) -> None:
        """
        Let a connection in, after whatever has ended before it is cleared away.

        Raises:
            OSError: EPERM, not this user.  ENOBUFS, there are too many.
        """
        for other in list(self.connections):
            while other is not connection and not other.closed and other.has_ended():
                other.doRead()  # a call that waits there, or the end
        if kind == ngd.CONTROL and not connection.peer.may_control(self.group):
            raise OSError(errno.EPERM, "control sockets are for the daemon's own user")
        if len(self.connections) > CONNECTIONS_MAX:
            raise OSError(errno.ENOBUFS, f"{CONNECTIONS_MAX} connections are the most there are")

    def forget(self, connection: Connection) -> None:
        """A connection is closed."""
        self.connections.pop(connection, None)

    # -- the end

    def close(self) -> None:
        """Close everything; the file goes, if it is still ours."""
        if self.sock.fileno() < 0:
            return
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        self.reactor.removeReader(self)
        self.sock.close()
        self._paths.release(self.path)
        for connection in list(self.connections):
            connection.close()

    def _ran_short(self, code: int) -> None:
        """No descriptor for a client: he waits in the backlog, and we do not spin."""
        if self._retry is None:
            _log.warn("cannot accept a client: {why}; it waits", why=words(code))
            self.reactor.removeReader(self)
            self._retry = self.clock.callLater(RETRY_SECONDS, self._go_on)

    def _go_on(self) -> None:
        self._retry = None
        self.reactor.addReader(self)
