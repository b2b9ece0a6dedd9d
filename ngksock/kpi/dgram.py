"""The datagram driver: each packet one system call, in and out.

Nothing is queued on the way out: what the system does not take is counted and
gone.  On the way in so_rcv is bounded, and above it the system drops.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from ngksock.errors import oserror
from ngksock.kpi import sockaddr
from ngksock.kpi.ancillary import Datagram, asks_for_control
from ngksock.kpi.constants import (
    DGRAM_ROUND,
    DGRAM_SLOT,
    MSG_CTRUNC,
    MSG_NOSIGNAL,
    SS_CANTRCVMORE,
    SS_ISCONNECTED,
)
from ngksock.kpi.driver import Driver
from ngksock.kpi.msghdr import Control
from ngksock.kpi.sockaddr import SockAddr, path_text
from ngksock.packet import Batch, Packet, Record

if TYPE_CHECKING:
    from ngksock.kpi.provider import SocketKPI
    from ngksock.kpi.socket import Socket

__all__ = ["DgramDriver"]

SPACE_SECONDS: Final = 0.02
"""So long until a local receiver who had no room is tried again."""

CONTROL_ROOM: Final = 512
"""Bytes for the control messages of one datagram."""

OLD_ERRORS: Final = 16
"""So many refusals of older datagrams, come one after the other, do not lose a new one."""


class DgramDriver(Driver):
    """
    A connectionless socket of the host's: udp, local or raw.

    Args:
        kpi: Whose reactor, upcalls and paths this uses.
        sock: The host's socket.
    """

    def __init__(self, kpi: SocketKPI, sock: socket.socket) -> None:
        super().__init__(kpi, sock)
        self.connected = False
        self.ancillary = False
        self.waiting: IDelayedCall | None = None
        self.writing = False

    # -- IUserRequests

    def attach(self, so: Socket) -> None:
        super().attach(so)
        # Unlike a fresh TCP descriptor this one reports nothing yet; and a
        # raw socket is given packets from now on.
        self.rcvd()

    def connect(self, to: SockAddr) -> bool:
        code = self.sock.connect_ex(to)
        if code:
            raise oserror(code)
        self.connected = True
        return True

    def adopted(self) -> int:
        found = 0
        if self.shut_for_reading():
            self.pause()  # for the reactor would tell us so for ever
            found |= SS_CANTRCVMORE
        try:
            self.sock.getpeername()
        except OSError:
            return 0
        self.connected = True
        return found | SS_ISCONNECTED

    def abort(self) -> None:
        self.detach()

    def detach(self) -> None:
        if self.waiting is not None:
            self.waiting.cancel()
            self.waiting = None
        super().detach()

    def sendmsg(
        self,
        pieces: Sequence[bytes | memoryview],
        flags: int,
        to: SockAddr,
        control: list[Control],
    ) -> int:
        try:
            return super().sendmsg(pieces, flags, to, control)
        except BlockingIOError:
            self._await_space()
            raise

    def _await_space(self) -> None:
        """Have ``so.sospace`` called once the system may take a datagram again."""
        if self.sock.family == socket.AF_UNIX and not self.connected:
            # Writable all the time: it is the receiver who has no room.
            if self.waiting is None:
                self.waiting = self.kpi.clock.callLater(SPACE_SECONDS, self._space)
        elif not self.writing:
            self.writing = True
            self.kpi.reactor.addWriter(self)

    def _space(self) -> None:
        self.waiting = None
        self.doWrite()

    def ctloutput(
        self, level: int, name: int, value: int | bytes | None = None, length: int = 0
    ) -> int | bytes:
        done = super().ctloutput(level, name, value, length)
        if value is not None and asks_for_control(level, name):
            self.ancillary = True  # for good: to receive with room for control costs little
        return done

    def send(self, batch: Batch) -> int:
        names = batch.names
        if names is None and self.connected:
            return self._send_connected(batch)
        return self._send_named(batch, names if names is not None else [None] * len(batch))

    def _send_connected(self, batch: Batch) -> int:
        send = self.sock.send
        sent = 0
        for packet in batch:
            try:
                send(packet.data, MSG_NOSIGNAL)
                sent += 1
            except OSError as error:
                sent += self._again(packet, error)
        return sent

    def _again(self, packet: Packet, error: OSError, to: SockAddr = None) -> int:
        """Count *error*; send *packet* if that was the error of an older one, or of several."""
        for _ in range(OLD_ERRORS):
            # By UDP nobody refuses before he was sent something.
            if error.errno != errno.ECONNREFUSED or self.sock.family == socket.AF_UNIX:
                break
            self.so.soerror(error.errno)
            try:
                if to is None:
                    self.sock.send(packet.data, MSG_NOSIGNAL)
                else:
                    self.sock.sendto(packet.data, MSG_NOSIGNAL, to)
            except OSError as another:
                error = another
            else:
                return 1
        self.so.sosenderror(error.errno, packet.len)
        return 0

    def _send_named(self, batch: Batch, names: list[SockAddr | None]) -> int:
        sent = 0
        for packet, to in zip(batch, names, strict=True):
            if to is None and self.connected:
                sent += self._send_connected(Batch((packet,), packet.len))
                continue
            try:
                if to is None:
                    raise oserror(errno.EDESTADDRREQ)
                if self.connected:
                    raise oserror(errno.EISCONN)  # Linux would send it elsewhere
                target = self._target(to)
            except OSError as error:
                self.so.sosenderror(error.errno, packet.len)
                continue
            try:
                self.sock.sendto(packet.data, MSG_NOSIGNAL, target)
                sent += 1
            except OSError as error:
                sent += self._again(packet, error, target)
        return sent

    def _target(self, name: SockAddr) -> SockAddr:
        """Return *name* as the system calls take it; a path is in full, and not too long."""
        to = sockaddr.check(self.sock.family, name)
        if not isinstance(to, bytes):
            return to
        return sockaddr.path_bytes(self.kpi.paths.absolute(to))

    # -- the reactor calls these

    def doRead(self) -> None:
        if not self.reading:
            return
        upcalls = self.kpi.upcalls
        upcalls.hold()
        try:
            self._read()
        finally:
            upcalls.drain()

    def doWrite(self) -> None:
        # Nothing is queued here: a call that waits, or the owner, tries again.
        if self.sock.fileno() < 0:
            return  # what was read just before has made somebody close it
        if self.writing:
            self.writing = False
            self.kpi.reactor.removeWriter(self)
        upcalls = self.kpi.upcalls
        upcalls.hold()
        try:
            self.so.sospace()
        finally:
            upcalls.drain()

    def connectionLost(self, reason: Failure) -> None:
        # An error without input (a datagram of ours was refused) looks like
        # the end of the socket to a reactor, which lets go of it.
        self.reading, writing, self.writing = False, self.writing, False
        if self.sock.fileno() < 0:
            return
        error = self.take_error()
        drained = self.drain_errors()
        if not error and not drained and reason.check(ConnectionLost) and not writing:
            return  # the reactor's own end
        if error:
            upcalls = self.kpi.upcalls
            upcalls.hold()
            try:
                self.so.soerror(error)
            finally:
                upcalls.drain()
        # Without an error a call was quicker to fetch it, and counted it.
        if self.sock.fileno() >= 0 and not self.so.so_rcv.full:
            self.rcvd()
        if self.sock.fileno() >= 0 and writing:
            self._await_space()

    def _read(self) -> None:
        so = self.so
        slot = self.kpi.slot
        recvfrom, recv = self.sock.recvfrom_into, self.sock.recv_into
        batch = Batch((), 0)
        names: list[SockAddr] | None = None if self.connected else []
        for _ in range(DGRAM_ROUND):
            try:
                if self.ancillary:
                    self._receive_all(batch, names)
                    continue
                if names is None:
                    size = recv(slot)
                else:
                    size, name = recvfrom(slot)
            except BlockingIOError:
                break
            except OSError as error:
                # What became of an older datagram; the next may be well.
                so.soerror(error.errno)
                continue
            if size > DGRAM_SLOT:
                so.truncated += 1
                continue
            batch.append(Record(bytes(slot[:size])))
            batch.nbytes += size
            if names is not None:
                names.append(name if isinstance(name, tuple) else path_text(name))
        batch.names = names if batch else None
        if batch and not so.sbappendbatch(batch):
            self.pause()

    def _receive_all(self, batch: Batch, names: list[SockAddr] | None) -> None:
        """Receive one datagram with its control messages."""
        slot = self.kpi.slot
        size, control, flags, name = self.sock.recvmsg_into([slot], CONTROL_ROOM)
        if size > DGRAM_SLOT:
            self.so.truncated += 1
            return
        batch.append(Datagram(bytes(slot[:size]), control, flags & MSG_CTRUNC))
        batch.nbytes += size
        if names is not None:
            names.append(self.name(name))
