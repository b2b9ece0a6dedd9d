"""The stream driver: bytes in and out of one connection, or connections in.

It sends at once and waits for writability only with what the system would not
take; it takes in at once what arrives, until so_rcv is full.  Three things a
level-triggered reactor does shape this file.  A fresh TCP descriptor reports
HUP, so it is watched only from connect or listen on.  A refused connection
reaches a writer alone as ``connectionLost``, so reader and writer are both
watched while connecting.  And ``doWrite`` may follow a ``doRead`` that ended
everything, so each asks for the mode first.
"""

from __future__ import annotations

import errno
import fcntl
import select
import socket
import struct
import sys
import termios
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from twisted.python.failure import Failure

from ngksock.errors import oserror
from ngksock.kpi.constants import (
    MSG_NOSIGNAL,
    SO_NWRITE,
    SS_CANTSENDMORE,
    SS_ISCONNECTED,
    SS_ISCONNECTING,
)
from ngksock.kpi.listen import CONNECTED, CONNECTING, ENDED, LISTENING, ListenDriver
from ngksock.kpi.msghdr import Control
from ngksock.kpi.sockaddr import SockAddr, path_text
from ngksock.kpi.sockbuf import GATHER
from ngksock.packet import Batch, Piece

if TYPE_CHECKING:
    from ngksock.kpi.pipes import Lent
    from ngksock.kpi.provider import SocketKPI

__all__ = ["BUSY", "StreamDriver", "folded"]

RCV_MIN: Final = 64 * 1024
RCV_MAX: Final = 256 * 1024
"""One read takes this much from a connection that fills the smaller size."""

BUSY: Final = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOBUFS, errno.ENOMEM})
"""What send says when the connection is well and the system is not ready."""

OUTQ: Final = termios.TIOCOUTQ if sys.platform == "linux" else 0x40046677
"""Tells what the peer has not acknowledged; FIONWRITE of the BSDs (not run there)."""

TCPS_SYN_SENT: Final = 2
TCPS_SHUT: Final = frozenset({4, 5, 9, 11})
"""FIN-WAIT-1 and 2, LAST-ACK, CLOSING: our end of file has left."""

FATAL: Final = frozenset(
    {
        errno.EPIPE,
        errno.ECONNRESET,
        errno.ECONNABORTED,
        errno.ETIMEDOUT,
        errno.ENOTCONN,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.EHOSTUNREACH,
    }
)
"""What sendmsg says when the connection is over; anything else is about its arguments."""


class StreamDriver(ListenDriver):
    """
    A connection-oriented socket of the host's.

    Args:
        kpi: Whose reactor, upcalls and paths this uses.
        sock: The host's socket.
        connected: True for one that accept returned.

    Three things are for a relay, a guest that sends elsewhere what comes in
    here (`ngksock.kpi.relay`).  ``lane`` is asked before each read, and says
    whether it has dealt with it; ``ahead`` has bytes that are counted in so_snd
    and leave before the others there; ``drained`` is called when so_snd is empty
    again, or never will be.
    """

    lane: Callable[[], bool] | None = None
    ahead: Lent | None = None
    drained: Callable[[], None] | None = None
    # An idle connection is small: what most never need stands here.
    eof = False
    probed = False
    urgent: bytes | None = None  # None: nobody asked for urgent data

    def __init__(self, kpi: SocketKPI, sock: socket.socket, connected: bool = False) -> None:
        super().__init__(kpi, sock, connected)
        self.rcvsize = RCV_MIN

    # -- IUserRequests

    def connect(self, to: SockAddr) -> bool:
        code = self.sock.connect_ex(to)
        if code == errno.EINPROGRESS:
            self.mode = CONNECTING
            super().rcvd()
            self._want_write()
            return False
        if code == errno.EAGAIN and isinstance(to, bytes):
            # Linux, of a local listener with a full backlog.  BSD refuses.
            raise oserror(errno.ECONNREFUSED, f"the backlog of {path_text(to)} is full; try again")
        if code:
            raise oserror(code)
        self.mode = CONNECTED
        super().rcvd()
        return True

    def send(self, batch: Batch) -> int:
        try:
            if len(batch) == 1:
                sent = self.sock.send(batch[0].data, MSG_NOSIGNAL)
            else:
                sent = self._send_many(batch)
        except OSError as error:
            if error.errno not in BUSY:
                self._lost(self.refused(error.errno))
                raise
            sent = 0
        if sent < batch.nbytes:
            self._want_write()
        return sent

    def sendmsg(
        self,
        pieces: Sequence[bytes | memoryview],
        flags: int,
        to: SockAddr,
        control: list[Control],
    ) -> int:
        try:
            return super().sendmsg(pieces, flags, None, control)
        except OSError as error:
            if error.errno in BUSY:
                self._want_write()
                raise oserror(errno.EWOULDBLOCK) from None
            if error.errno not in FATAL:
                raise  # the connection is well, the arguments are not
            self._lost(self.refused(error.errno))
            raise oserror(errno.EPIPE) from None

    def refused(self, code: int | None) -> int:
        """Return the error of the connection when a send, with none before it, met *code*."""
        if code == errno.EPIPE and self.sock.family == socket.AF_UNIX:
            return 0  # the peer closed and left nothing unread: no reset, but its end of file
        return folded(code)

    def recvoob(self, peek: bool) -> bytes:
        data = self.urgent or b""
        if not data:
            self.urgent = b""
            data = self.sock.recv(1, socket.MSG_OOB)
        self.urgent = data if peek else b""
        return data

    def _save_urgent(self) -> None:
        """Fetch an urgent byte before the next read goes past it, where it would be lost."""
        try:
            self.urgent = self.sock.recv(1, socket.MSG_OOB) or self.urgent
        except OSError:
            return  # there is none

    def adopted(self) -> int:
        state = self._tcp_state()
        if state == TCPS_SYN_SENT:
            self.mode = CONNECTING
            super().rcvd()
            self._want_write()
            return SS_ISCONNECTING
        try:
            self.sock.getpeername()
        except OSError:
            error = self.take_error()
            if error:
                self._pull()  # what came before a reset is still to be had
                self.so.soisdisconnected(folded(error))
            return 0
        self.mode = CONNECTED
        super().rcvd()
        return SS_ISCONNECTED | (SS_CANTSENDMORE if state in TCPS_SHUT else 0)

    def _tcp_state(self) -> int:
        """Return the state of a TCP connection as Linux numbers it; 0 elsewhere."""
        if self.sock.family == socket.AF_UNIX or not hasattr(socket, "TCP_INFO"):
            return 0
        return self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]

    def rcvd(self) -> None:
        if self.mode == LISTENING:
            if self.retry is None and not self.so.full:
                super().rcvd()
        elif self.mode == CONNECTED and not self.eof:
            super().rcvd()

    def shutdown(self) -> None:
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise
            # A reset was quicker; it is on its way to doRead.

    def outq(self) -> int:
        if self.sock.fileno() < 0 or self.so.proto.domain == socket.AF_UNIX:
            return 0  # what was sent is the peer's already
        if sys.platform == "darwin":
            return self.sock.getsockopt(socket.SOL_SOCKET, SO_NWRITE)
        left: int = struct.unpack("i", fcntl.ioctl(self.sock, OUTQ, bytes(4)))[0]
        return left

    def detach(self) -> None:
        self.mode = ENDED
        if self.retry is not None:
            self.retry.cancel()
            self.retry = None
        self.kpi.watch.discard(self)
        self._drop_ahead()
        super().detach()

    # -- the reactor calls these

    def doRead(self) -> None:
        lane = self.lane
        if lane is not None and self.mode == CONNECTED and lane():
            return
        upcalls = self.kpi.upcalls
        upcalls.hold()
        try:
            mode = self.mode
            if mode == CONNECTED:
                self._read()
            elif mode == LISTENING:
                # One, and the owner is told before the next: what he does with
                # it needs descriptors, too.
                self.accept()
                if self.mode == LISTENING and self.so.full:
                    self.pause()
            elif mode == CONNECTING:
                self._finish()
        finally:
            upcalls.drain()

    def doWrite(self) -> None:
        upcalls = self.kpi.upcalls
        upcalls.hold()
        try:
            if self.mode == CONNECTED:
                self._flush()
            elif self.mode == CONNECTING:
                self._finish()
        finally:
            upcalls.drain()

    def connectionLost(self, reason: Failure) -> None:
        # The reactor has let go of the descriptor: HUP or an error without
        # input, a bug that escaped doRead, or the reactor's own end.
        self.let_go()
        upcalls = self.kpi.upcalls
        upcalls.hold()
        try:
            if self.mode == CONNECTED:
                error = folded(self.take_error())
                if not error and self.drain_errors() and not self._hung_up():
                    self._go_on()  # it was the error queue that woke the reactor
                    return
                if not error and self.so.so_snd.cc:
                    error = errno.ECONNRESET  # nobody takes what is queued
                self._lost(error)
            elif self.mode == CONNECTING:
                self._lost(self.take_error() or errno.ECONNABORTED)
        finally:
            upcalls.drain()

    def _hung_up(self) -> bool:
        poll = select.poll()
        poll.register(self.sock, 0)
        return any(found & select.POLLHUP for _, found in poll.poll(0))

    def _go_on(self) -> None:
        """Be watched by the reactor again, as before."""
        if not self.eof and not self.so.so_rcv.full:
            self.rcvd()
        if self.so.so_snd.cc:
            self._want_write()

    # -- a relay calls these

    def want_write(self) -> None:
        """Go on sending what is in so_snd when the system takes more."""
        self._want_write()

    def broke(self, code: int | None) -> None:
        """To read was answered with the error *code*."""
        self._end_now(folded(code))

    def failed(self, code: int | None) -> None:
        """To send, with nothing before it, was answered with the error *code*."""
        self._end_now(self.refused(code))

    def _end_now(self, error: int) -> None:
        upcalls = self.kpi.upcalls
        upcalls.hold()
        try:
            self._lost(error)
        finally:
            upcalls.drain()

    def _drop_ahead(self) -> None:
        """Nothing more will leave: what a relay left here is lost."""
        if self.ahead is not None:
            self.ahead.give_back()
            self.ahead = None
        if self.drained is not None:
            self.drained()

    # -- how it is done

    def _read(self) -> None:
        if self.urgent is not None:
            self._save_urgent()
        try:
            data = self.sock.recv(self.rcvsize)
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(folded(error.errno))
            return
        if not data:
            self._ended()
            return
        got = len(data)
        if got == self.rcvsize:
            self.rcvsize = RCV_MAX
        elif got < RCV_MIN:
            self.rcvsize = RCV_MIN  # a large buffer costs more than a small read
        if not self.so.sbappend(Piece(data)):
            self.pause()

    def pause(self) -> None:
        super().pause()
        if self.mode == CONNECTED:
            self._watch()

    def _ended(self) -> None:
        self.eof = True
        super().pause()  # end of file would be reported for ever
        if self.so.proto.domain != socket.AF_UNIX:
            self.kpi.watch.add(self)
        self.so.socantrcvmore()

    def _watch(self) -> None:
        """Have a reset found that the reactor will not tell of."""
        if self.so.proto.domain == socket.AF_UNIX:
            return  # the other end is on this host: it cannot vanish silently
        self.probe()
        self.kpi.watch.add(self)

    def probe(self) -> None:
        """Have the host ask a silent peer, now and then, whether it is still there."""
        if not self.probed:
            self.probed = True
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def found_reset(self) -> None:
        """The watch found the connection gone; both ends of file are no reset."""
        error = folded(self.take_error())
        if not error:
            return  # what came before the end of file still waits to be read
        self._end_now(error)

    def _finish(self) -> None:
        """The attempt to connect has ended, well or not."""
        error = self.take_error()
        if error:
            self._lost(error)
            return
        self.mode = CONNECTED
        so = self.so
        so.soisconnected()
        if self.mode != CONNECTED:
            return
        if so.so_snd.cc:
            self._flush()
        else:
            self._stop_write()

    def _flush(self) -> None:
        so = self.so
        if so.so_snd.cc:
            try:
                self._push()
            except OSError as error:
                if error.errno not in BUSY:
                    self._lost(folded(error.errno))
                return
        if not so.so_snd.cc:
            self._stop_write()
            if self.drained is not None:
                self.drained()
        so.sowwakeup()

    def _push(self) -> None:
        """Send from so_snd what the system takes now."""
        snd = self.so.so_snd
        if self.ahead is not None:
            snd.cc -= self.ahead.send(self.sock)
            if self.ahead.left:
                return
            self.ahead.give_back()
            self.ahead = None
            if not snd.cc:
                return
        flags = MSG_NOSIGNAL | (socket.MSG_OOB if snd.urgent else 0)
        snd.sbdrop(self.sock.sendmsg(snd.gather(), (), flags))

    def _send_many(self, batch: Batch) -> int:
        """Send the packets of *batch* until the system takes no more."""
        total = 0
        for start in range(0, len(batch), GATHER):
            pieces = [packet.data for packet in batch[start : start + GATHER]]
            want = sum(map(len, pieces))
            try:
                sent = self.sock.sendmsg(pieces, (), MSG_NOSIGNAL)
            except OSError as error:
                if error.errno not in BUSY:
                    raise
                break  # what has left has left
            total += sent
            if sent < want:
                break
        return total

    def _want_write(self) -> None:
        if not self.writing:
            self.writing = True
            self.kpi.reactor.addWriter(self)

    def _stop_write(self) -> None:
        if self.writing:
            self.writing = False
            self.kpi.reactor.removeWriter(self)

    def _lost(self, error: int, why: str = "") -> None:
        """The connection, or the attempt at one, is no more."""
        was = self.mode
        if was == ENDED:
            return
        self.mode = ENDED
        self.stop()
        self.kpi.watch.discard(self)
        if was == CONNECTED and not self.eof:
            self._pull()
        self.so.soisdisconnected(error, why)
        self._drop_ahead()

    def _pull(self) -> None:
        """Take in what arrived before the end and was not read yet."""
        try:
            while data := self.sock.recv(RCV_MIN):
                self.so.sbappend(Piece(data))
        except OSError:
            return  # nothing more; why is known already


def folded(code: int | None) -> int:
    """Return an error as the KPI has it: Linux says EPIPE after an end of file."""
    return errno.ECONNRESET if code == errno.EPIPE else code or 0
