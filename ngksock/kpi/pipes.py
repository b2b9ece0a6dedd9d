"""Pipes by which the host moves bytes from socket to socket, without our seeing them.

A pipe is lent for one splice in and one out, and kept longer only while bytes
are left in it.  There are few: Linux gives an unprivileged user 64 MiB of
pipes in all, and when that is spent, pipes of 8 KiB, which are of no use here.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
from typing import Final

__all__ = ["CHUNK", "Lent", "Pipes", "can_splice"]

CHUNK: Final = 512 * 1024
"""What one splice moves at most: what so_snd may hold beyond its mark (`SND_LIMIT`)."""

_SIZE: Final = 1024 * 1024
_LEAST: Final = 256 * 1024
_SET_SIZE: Final = getattr(fcntl, "F_SETPIPE_SZ", 1031)
_MOST: Final = 16
_PATIENCE: Final = 256
"""So often nobody gets a new pipe after the system refused one: to ask costs four calls."""

_splice = getattr(os, "splice", None)
_FLAGS: Final = getattr(os, "SPLICE_F_MOVE", 0) | getattr(os, "SPLICE_F_NONBLOCK", 0)


def can_splice() -> bool:
    """Whether the host splices, and tells of a closed socket by an error, not a signal."""
    return _splice is not None and signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN


class Lent:
    """
    A pipe on loan.

    Args:
        pipes: Whom to give it back to.
        out: Its end to read from.
        into: Its end to write to.

    ``left`` is how many bytes are in it.
    """

    __slots__ = ("_into", "_out", "_pipes", "left")

    def __init__(self, pipes: Pipes, out: int, into: int) -> None:
        self._pipes = pipes
        self._out, self._into = out, into
        self.left = 0

    def fill(self, sock: socket.socket, count: int) -> int:
        """
        Take up to *count* bytes from *sock* into the empty pipe; return how many, 0 at the end.

        Raises:
            OSError: EAGAIN, there are none (or an urgent byte is in the way);
                what else splice(2) and the socket say.
        """
        assert _splice is not None
        got: int = _splice(sock.fileno(), self._into, count, None, None, _FLAGS)
        self.left = got
        return got

    def send(self, sock: socket.socket) -> int:
        """
        Send what is in the pipe to *sock*; return how much of it went.

        Raises:
            OSError: EAGAIN, it takes nothing; what else splice(2) and the socket say.
        """
        assert _splice is not None
        sent: int = _splice(self._out, sock.fileno(), self.left, None, None, _FLAGS)
        self.left -= sent
        return sent

    def take(self) -> bytes:
        """Return what is in the pipe, which is empty then."""
        pieces = []
        while self.left:
            pieces.append(os.read(self._out, self.left))
            self.left -= len(pieces[-1])
        return b"".join(pieces)

    def give_back(self) -> None:
        """End the loan; what is in the pipe is lost."""
        self._pipes.take_back(self)

    def close(self) -> None:
        """Give both descriptors back to the system."""
        os.close(self._out)
        os.close(self._into)


class Pipes:
    """A few pipes, for all who couple sockets; none is left when the last of them has ended."""

    def __init__(self) -> None:
        self._idle: list[Lent] = []
        self._made = 0
        self._users = 0
        self._refused = 0  # so often nobody is to ask the system for one

    def enter(self) -> None:
        """Somebody will want pipes, until as many `leave`."""
        self._users += 1

    def leave(self) -> None:
        """Somebody wants no more pipes; what he holds he still gives back."""
        self._users -= 1
        if not self._users:
            while self._idle:
                self._close(self._idle.pop())

    def lend(self) -> Lent | None:
        """Return an empty pipe, or None if all are taken or the system has no more."""
        if self._idle:
            return self._idle.pop()
        if self._refused:
            self._refused -= 1
            return None
        return self._make() if self._made < _MOST else None

    @property
    def scarce(self) -> bool:
        """Whether the next one who asks gets none: who holds a pipe had better empty it."""
        return not self._idle and (self._made >= _MOST or self._refused > 0)

    def take_back(self, lent: Lent) -> None:
        """Keep a pipe for the next; one that is not empty is closed."""
        if lent.left or not self._users:
            self._close(lent)
        else:
            self._idle.append(lent)

    def _close(self, lent: Lent) -> None:
        self._made -= 1
        lent.close()

    def _make(self) -> Lent | None:
        try:
            out, into = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            self._refused = _PATIENCE
            return None  # no descriptors: bytes are carried as ever
        lent = Lent(self, out, into)
        try:
            size = fcntl.fcntl(into, _SET_SIZE, _SIZE)
        except OSError:
            size = 0
        if size < _LEAST:
            lent.close()
            self._refused = _PATIENCE
            return None
        self._made += 1
        return lent
