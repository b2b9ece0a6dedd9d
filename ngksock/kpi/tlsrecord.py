"""TLS in memory: ciphertext and plaintext in and out, and what waits to leave.

OpenSSL works on two buffers of its own.  What comes in is decrypted at once,
all of it; what goes out is taken from it at once and waits here until the
system takes it.
"""

from __future__ import annotations

import errno
import socket
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from OpenSSL import SSL, _util

from ngksock.errors import oserror
from ngksock.kpi.constants import MSG_NOSIGNAL
from ngksock.kpi.sockbuf import GATHER
from ngksock.packet import Batch, Piece

__all__ = ["RECORD", "WINDOW", "Records", "windows"]

WINDOW: Final = 256 * 1024
"""So much plaintext is encrypted ahead of what the system takes."""

RECORD: Final = 16 * 1024
"""The most plaintext in one record."""

BUSY: Final = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOBUFS, errno.ENOMEM})


class Records:
    """
    One side of a connection.

    Args:
        conn: OpenSSL's, on buffers in memory.

    ``waiting`` is how many bytes of ciphertext wait to leave.
    """

    __slots__ = ("_out", "conn", "waiting")

    def __init__(self, conn: SSL.Connection) -> None:
        self.conn = conn
        self.waiting = 0
        self._out: deque[bytes | memoryview] = deque()

    def shake(self, data: bytes = b"") -> bool | Exception:
        """
        Go on with the handshake.

        Args:
            data: What has come.

        Returns:
            Whether it is done, or why it failed, which may be anything: ours
            are the functions that OpenSSL calls.  What is to be sent waits.
        """
        result: bool | Exception = True
        if data:
            self.conn.bio_write(data)
        try:
            self.conn.do_handshake()
        except SSL.WantReadError:
            result = False
        except Exception as error:
            result = error
        self._collect(RECORD)
        return result

    def open(self, data: bytes = b"") -> tuple[Batch, Exception | None]:
        """
        Decrypt all that has come.

        Args:
            data: What has come since the last time.

        Returns:
            The plaintext, and what ended it (ZeroReturnError: the peer's
            close_notify), or None.
        """
        conn = self.conn
        if data:
            conn.bio_write(data)
        batch = Batch((), 0)
        ended: Exception | None = None
        try:
            while True:
                batch.add(Piece(conn.recv(RECORD)))
        except SSL.WantReadError:
            pass
        except Exception as error:
            ended = error
        self._collect(0)
        return batch, ended

    def seal(self, data: bytes | memoryview) -> int:
        """
        Encrypt *data*; its ciphertext waits.  Returns how long *data* is.

        Raises:
            OSError: EPROTO, TLS has broken before.
        """
        try:
            count = self.conn.send(data)
        except Exception:  # what our verification left behind may come out of any call
            raise oserror(errno.EPROTO) from None
        self._collect(count)
        return count

    def notify(self) -> None:
        """End our direction: the alert waits."""
        try:
            self.conn.shutdown()
        except Exception:
            return  # it has ended already, by an error
        self._collect(0)

    def push(self, sock: socket.socket) -> bool:
        """
        Send what waits until *sock* takes no more; return whether all has left.

        Raises:
            OSError: As send(2), but for being busy.
        """
        out = self._out
        while out:
            try:
                if len(out) == 1:
                    sent = sock.send(out[0], MSG_NOSIGNAL)
                else:
                    sent = sock.sendmsg(list(islice(out, GATHER)), (), MSG_NOSIGNAL)
            except OSError as error:
                if error.errno in BUSY:
                    return False
                raise
            self.waiting -= sent
            while out and len(out[0]) <= sent:
                sent -= len(out.popleft())
            if sent:
                out[0] = memoryview(out[0])[sent:]
                return False
        return True

    @property
    def resumed(self) -> bool:
        """Whether an earlier session goes on; pyOpenSSL has no name for it."""
        return bool(_util.lib.SSL_session_reused(self.conn._ssl))

    def _collect(self, plain: int) -> None:
        """Take what OpenSSL has to send, the ciphertext of about *plain* bytes."""
        size = plain + plain // 128 + 512
        try:
            while True:
                piece = self.conn.bio_read(size)
                self._out.append(piece)
                self.waiting += len(piece)
                if len(piece) < size:
                    return
        except SSL.WantReadError:
            return


def windows(
    pieces: Iterable[bytes | memoryview], size: int = WINDOW
) -> Iterator[bytes | memoryview]:
    """Yield *pieces* joined, at most *size* bytes at a time: few records are better than many."""
    run: list[bytes | memoryview] = []
    room = size
    for piece in pieces:
        while len(piece) > room:
            run.append(memoryview(piece)[:room])
            yield b"".join(run)
            piece = memoryview(piece)[room:]
            run, room = [], size
        if piece:
            run.append(piece)
            room -= len(piece)
    if run:
        yield run[0] if len(run) == 1 else b"".join(run)
