"""Where clients connect: the listening socket, who is let in, and how many."""

from __future__ import annotations

import errno
import os
import resource
import select
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ngksock import ngd
from ngksock.errors import words
from ngksock.kpi.local import Paths
from ngksock.netgraph import Graph
from ngksock.service.control.alone import alone
from ngksock.service.control.connection import Connection
from ngksock.service.control.peer import Peer

if TYPE_CHECKING:
    from ngksock.service.control.attachment import Attachment

__all__ = ["ControlServer"]

_log: Final = Logger(namespace="ngksock.control")

CONNECTIONS_MAX: Final = 4096
RESERVE: Final = 128
"""Descriptors that are kept from clients: a connection takes two."""
SPARE: Final = 32
"""Those of them that go to clients beyond the limit, for each of which HELLO is ENOBUFS."""
BACKLOG: Final = 4096
"""Clients that wait to be accepted; one that does not wait gets EAGAIN beyond."""
LEFT_MAX: Final = 1 << 16
"""More calls than a client that has ended can have left behind."""
RETRY_SECONDS: Final = 1.0
TELL_SECONDS: Final = 60.0
"""How long the log is spared another word about clients that wait."""
_TRY_AGAIN: Final = (errno.EAGAIN, errno.ECONNABORTED, errno.EINTR)
_PATH_MAX: Final = 107
"""The bytes of a path that a local address has room for."""


def connections_max() -> int:
    """Return how many connections this process has descriptors for."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return CONNECTIONS_MAX
    return max(min(CONNECTIONS_MAX, (limit - RESERVE) // 2), 2)


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
            ENAMETOOLONG, more than 107 bytes.  Else what bind(2) says.
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
        self._tell_from = 0.0
        self._by_number: dict[int, Connection] = {}
        self._sweeping = False
        self._paths = Paths(b"/")
        if len(self.path) > _PATH_MAX:
            raise OSError(errno.ENAMETOOLONG, f"a socket's path has at most {_PATH_MAX} bytes")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._ends = select.epoll()  # tells of connections that have ended
            self.sock.setblocking(False)
            with alone(os.path.dirname(self.path)):
                self._paths.bind(self.sock, self.path, 0o600)
                self.sock.listen(BACKLOG)
        except BaseException:
            self._release()
            self.sock.close()
            raise
        self.reactor.addReader(self)

    def give(self, user: int, group: int) -> None:
        """
        Let others own the socket's file: a *group*, or a *user* to become; -1: as it is.

        Raises:
            OSError: EPERM, it is not ours to give away.
        """
        os.chown(self.path, user, group)
        if self.group is not None:
            os.chmod(self.path, 0o660)  # not before it is that group's

    def __str__(self) -> str:
        return os.fsdecode(self.path)

    # -- the reactor calls these

    def fileno(self) -> int:
        return self.sock.fileno()

    def logPrefix(self) -> str:
        return "ngksock"

    def doRead(self) -> None:
        """Take one client in; more are taken in the next turns."""
        try:
            # Who says nothing takes a descriptor too: the graph's own are kept from him.
            if len(self.connections) >= connections_max() + SPARE:
                raise OSError(errno.EMFILE, "the rest are not for clients")
            sock, _ = self.sock.accept()
        except OSError as error:
            if error.errno not in _TRY_AGAIN:
                self._ran_short(error.errno or errno.EMFILE)
            return
        try:
            connection = Connection(self, sock, Peer.of(sock))
        except OSError:
            sock.close()  # gone already
            return
        self.connections[connection] = None
        self._by_number[sock.fileno()] = connection
        self._ends.register(sock, select.EPOLLRDHUP)

    def connectionLost(self, reason: Failure) -> None:
        self.close()

    # -- for the connections

    def admit(self, connection: Connection, kind: int) -> None:
        """
        Let a connection in.

        Raises:
            OSError: EPERM, not this user.  ENOBUFS, there are too many.
        """
        if kind == ngd.CONTROL and not connection.peer.may_control(self.group):
            raise OSError(errno.EPERM, "control sockets are for the daemon's own user")
        # Those without a HELLO do not count: they end by themselves, and few fit beyond these.
        most = connections_max()
        if sum(1 for other in self.connections if other.kind) >= most:
            raise OSError(errno.ENOBUFS, f"{most} connections are the most there are")

    def sweep(self, but: Connection) -> None:
        """
        Do the last calls of connections that have ended, and close them.

        Before each call of another: on FreeBSD whoever closes a socket knows
        that its node is gone, and its name free, when that returns.
        """
        if self._sweeping:
            return  # it is one of those calls
        self._sweeping = True
        try:
            for number, _ in self._ends.poll(0):
                ended = self._by_number.get(number)
                if ended is None or ended is but:
                    continue
                for _ in range(LEFT_MAX):
                    ended.doRead()
                    if ended.closed:
                        break
        finally:
            self._sweeping = False

    def forget(self, connection: Connection) -> None:
        """A connection is about to be closed."""
        self.connections.pop(connection, None)
        if self._by_number.pop(connection.fileno(), None) is not None:
            self._ends.unregister(connection.sock)
        if self._retry is not None:
            self._retry.reset(0)  # there is a descriptor for somebody

    # -- the end

    def close(self) -> None:
        """Close everything; the file goes, if it is still ours."""
        if self.sock.fileno() < 0:
            return
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        self.reactor.removeReader(self)
        self._release()  # while it answers: what is stale another may replace meanwhile
        self.sock.close()
        for connection in list(self.connections):
            connection.close()
        self._ends.close()

    def _release(self) -> None:
        with suppress(OSError):  # whoever starts next finds it stale
            self._paths.release(self.path)

    def _ran_short(self, code: int) -> None:
        """No descriptor for a client: he waits in the backlog, and we do not spin."""
        now = self.clock.seconds()
        if now >= self._tell_from:
            self._tell_from = now + TELL_SECONDS
            _log.warn("cannot accept a client: {why}; it waits", why=words(code))
        self.reactor.removeReader(self)
        self._retry = self.clock.callLater(RETRY_SECONDS, self._go_on)

    def _go_on(self) -> None:
        self._retry = None
        self.reactor.addReader(self)
