"""The TLS driver: a stream of the host's with TLS between it and the socket.

Theory of operation.  All that comes is decrypted at once, so a paused
transport has nothing up its sleeve.  Plaintext stays in so_snd until its
ciphertext has left: at most WINDOW bytes are encrypted ahead, and ``sealed``
says how many at the head of so_snd are.  They are never more than so_snd holds
when it is full: of what is sent it keeps no more, and whoever sent the rest
would send it again.  Besides, what waits in ``records`` may be a handshake's or
an alert, which are nobody's plaintext.

TLS ends each direction by an alert of its own, close_notify.  An end of file
without it is an error: somebody may have cut the stream.
"""

from __future__ import annotations

import errno
import socket
import struct
import termios
from contextlib import suppress
from fcntl import ioctl
from typing import TYPE_CHECKING, Any, Final, NoReturn

from OpenSSL import SSL

from ngksock.errors import oserror
from ngksock.kpi.driver import Driver
from ngksock.kpi.listen import CONNECTED, ENDED
from ngksock.kpi.stream import RCV_MAX, RCV_MIN, folded
from ngksock.kpi.tlsfail import CUT, explain
from ngksock.kpi.tlsrecord import WINDOW, windows
from ngksock.kpi.tlsshake import Handshake
from ngksock.packet import Batch

if TYPE_CHECKING:
    from ngksock.kpi.provider import SocketKPI

__all__ = ["TLSDriver"]

FLOOD: Final = 1024 * 1024
"""More ciphertext than this only a peer brings about that asks and never reads."""

SENT: Final = 1
"""``so.fin`` when our end of file has left and the peer's counts for nothing yet."""


class TLSDriver(Handshake):
    """
    A TLS connection, or a listener for them.

    Args:
        kpi: Whose reactor, upcalls, paths and certificates this uses.
        sock: The host's socket.
    """

    def __init__(self, kpi: SocketKPI, sock: socket.socket) -> None:
        super().__init__(kpi, sock)
        self.fresh = True
        self.sealed = 0
        self.notified = False
        self.fin_due = False

    # -- IUserRequests

    def send(self, batch: Batch) -> int:
        taken = 0
        try:
            if not self.records.waiting:
                taken = self._send([packet.data for packet in batch])
        except OSError as error:
            self._lost(folded(error.errno))
            raise
        if taken < batch.nbytes:
            self._want_write()
        return taken

    def sendmsg(self, *args: Any) -> NoReturn:
        raise oserror(errno.EOPNOTSUPP, "TLS has neither urgent nor control data")

    def recvoob(self, *args: Any) -> NoReturn:
        raise oserror(errno.EOPNOTSUPP, "TLS has no urgent data")

    def _send(self, pieces: list[bytes | memoryview]) -> int:
        """Send *pieces* until the system takes no more; return how much has left."""
        taken = 0
        for window in windows(pieces, min(WINDOW, self.so.so_snd.hiwat)):
            self.sealed = self.records.seal(window)
            if not self.records.push(self.sock):
                break
            taken += self.sealed
            self.sealed = 0
        return taken

    def shutdown(self) -> None:
        if self.mode != CONNECTED or self.notified:
            return
        self.notified = True
        self.records.notify()
        try:
            done = self.records.push(self.sock)
        except OSError:
            return  # a reset was quicker; it is on its way to doRead
        if done:
            super().shutdown()
        else:
            # The socket shall not believe that both ends are done, and close:
            # _flush tells it when they are.
            self.fin_due = True
            self.so.fin = SENT
            self._want_write()

    def outq(self) -> int:
        if self.mode != CONNECTED:
            return 0  # a handshake's bytes are nobody's
        left = super().outq() + self.records.waiting
        if not left and not self.notified and self.sock.family == socket.AF_UNIX:
            # There must be room for the alert that detach sends.
            left = struct.unpack("i", ioctl(self.sock, termios.TIOCOUTQ, bytes(4)))[0]
        return left

    def detach(self) -> None:
        if self.mode == CONNECTED:
            self._farewell()
        self._keep_session()
        super().detach()

    def _farewell(self) -> None:
        """Send close_notify, for which there is room, before the descriptor goes."""
        try:
            if not self.notified:
                self.notified = True
                self.records.notify()
            self.records.push(self.sock)
            # What nobody read, tickets above all, makes close(2) send a reset.
            self.sock.recv(RCV_MIN)
        except OSError:
            return  # nothing there, or the peer has gone

    def abort(self) -> None:
        self.mode = ENDED  # nothing is said in farewell
        super().abort()

    # -- when connected

    def _read(self) -> None:
        if self.held:
            Driver.pause(self)  # nobody has accepted it yet
            return
        try:
            data = self.sock.recv(self.rcvsize)
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(folded(error.errno))
            return
        if not data:
            self._lost(errno.ECONNRESET, CUT)
            return
        if len(data) == self.rcvsize:
            self.rcvsize = RCV_MAX
        elif len(data) < RCV_MIN:
            self.rcvsize = RCV_MIN
        self._take(data)

    def _take(self, data: bytes) -> None:
        """Decrypt *data*, give the socket what is in it, and send TLS's own answers."""
        batch, ended = self.records.open(data)
        room = self.so.sbappendbatch(batch) if batch else True
        if self.fresh and data:
            self.fresh = False
            self._keep_session()
        if self.records.waiting and not self.writing:  # else _flush sees to it
            self._push()
        if isinstance(ended, SSL.ZeroReturnError):
            self._ended()
        elif ended is not None:
            self._lost(*explain(ended))
        elif self.records.waiting > FLOOD:
            self._lost(errno.EPROTO, "the peer asks for ever new keys and takes no answer")
        elif not room:
            self.pause()

    def _flush(self) -> None:
        so, snd = self.so, self.so.so_snd
        assert self.sealed <= snd.cc
        try:
            if self.records.push(self.sock):
                snd.sbdrop(self.sealed)
                self.sealed = 0
                while snd.cc and not self.records.waiting:
                    snd.sbdrop(self._send(snd.gather()))
        except OSError as error:
            self._lost(folded(error.errno))
            return
        if not self.records.waiting:
            self._stop_write()
            if self.fin_due:
                self.fin_due = False
                super().shutdown()
                if self.eof:
                    so.socantrcvmore()
                    return
        else:
            self._want_write()
        so.sowwakeup()

    def _lost(self, error: int, why: str = "") -> None:
        was = self.mode
        if was == ENDED:
            return
        self.mode = ENDED
        self.stop()
        self.kpi.watch.discard(self)
        self._stop_limit()
        if was == CONNECTED and not self.eof and not why:
            error, why = self._pull_all(error)
        if self.shaking:
            # The owner may take its time to close; the peer need not wait.
            with suppress(OSError):
                self.sock.shutdown(socket.SHUT_WR)
        self._fail(error, why)

    def _keep_session(self) -> None:
        """Keep the session to go on with; in TLS 1.3 it comes after the handshake."""
        if self.shaken and self.target is not None:
            context, name, to = self.target
            context.keep(self.records.conn, name, to)

    def _pull_all(self, error: int) -> tuple[int, str]:
        """Take in what arrived before the end; return the *error*, or a better one."""
        try:
            while data := self.sock.recv(RCV_MIN):
                batch, ended = self.records.open(data)
                if batch:
                    self.so.sbappendbatch(batch)
                if isinstance(ended, SSL.ZeroReturnError):
                    return error, ""
                if ended is not None:
                    return explain(ended)
        except OSError:
            pass  # nothing more
        return (error, "") if error else (errno.ECONNRESET, CUT)
