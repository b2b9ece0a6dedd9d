"""The listening half of a stream driver: connections in, one at a time.

Out of descriptors a listener leaves what comes in the host's backlog and
tries again every second; it says so once.
"""

from __future__ import annotations

import errno
import select
import socket
from typing import TYPE_CHECKING, Final

from twisted.internet.interfaces import IDelayedCall

from ngksock.errors import words
from ngksock.kpi.driver import Driver, log
from ngksock.kpi.sockaddr import SockAddr

if TYPE_CHECKING:
    from ngksock.kpi.provider import SocketKPI

__all__ = ["CONNECTED", "CONNECTING", "ENDED", "IDLE", "LISTENING", "ListenDriver"]

IDLE: Final = 0
LISTENING: Final = 1
CONNECTING: Final = 2
CONNECTED: Final = 3
ENDED: Final = 4

SHORTAGE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""What accept says when there is no descriptor or memory for the connection."""

ACCEPT_RETRY: Final = 1.0
"""Seconds until a listener that ran short tries again."""


class ListenDriver(Driver):
    """
    A connection-oriented socket of the host's, as far as it listens.

    Args:
        kpi: Whose reactor, upcalls and paths this uses.
        sock: The host's socket.
        connected: True for one that accept returned.
    """

    short = False
    retry: IDelayedCall | None = None

    def __init__(self, kpi: SocketKPI, sock: socket.socket, connected: bool = False) -> None:
        super().__init__(kpi, sock)
        self.mode = CONNECTED if connected else IDLE

    def listen(self, backlog: int) -> None:
        self.sock.listen(backlog)
        self.mode = LISTENING
        Driver.rcvd(self)

    def accept(self) -> bool:
        try:
            sock, address = self.sock.accept()
        except BlockingIOError:
            self._episode_ended()
            return False
        except OSError as error:
            if error.errno in SHORTAGE and self._is_awaited():
                self._ran_short(error.errno)
            # Else it is the error of a connection that went away meanwhile,
            # which accept(2) reports to the listener; the next may be well.
            return False
        self._episode_ended()
        self._arrived(sock, self.name(address))
        return True

    def _arrived(self, sock: socket.socket, name: SockAddr) -> None:
        """A connection came in."""
        self.so.sonewconn(type(self)(self.kpi, sock, True), name)

    def _is_awaited(self) -> bool:
        """Whether a connection waits: accept says EMFILE when there is none, too."""
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return bool(poll.poll(0))

    def _ran_short(self, code: int) -> None:
        """No descriptor for a connection: let it wait, and say so once."""
        if not self.short:
            self.short = True
            log.warn("cannot accept a connection: {why}; it waits in the backlog", why=words(code))
        if self.reading:
            self.pause()
        if self.retry is None:
            self.retry = self.kpi.clock.callLater(ACCEPT_RETRY, self._retry)

    def _episode_ended(self) -> None:
        if self.short:
            self.short = False
            log.info("accepting connections again")

    def _retry(self) -> None:
        self.retry = None
        self.rcvd()  # the connection still waits, so doRead comes at once
