"""The lower half of a socket: what happens, told by the driver.

Each method changes the state by one row of `ngksock.kpi.state` and posts who
is to be told.  The end of a descriptor is here too, for more often than not
it is the driver's last byte that brings it about.
"""

from __future__ import annotations

import errno
import os
from typing import Final

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from ngksock._ikpi import IUserRequests
from ngksock.errors import oserror
from ngksock.kpi import constants as c
from ngksock.kpi.callbacks import Callbacks
from ngksock.kpi.sockaddr import SockAddr
from ngksock.kpi.soopt import inherit
from ngksock.kpi.state import ERROR_HINT, READ, WRITE
from ngksock.packet import Batch, Packet

log: Final = Logger(namespace="ngksock.kpi")

__all__ = ["LIVE", "LowerSocket"]

SENT = 1
"""Our end of file has left."""

RECEIVED = 2
"""The peer's end of file has come."""

WOULD_BLOCK = os.strerror(errno.EWOULDBLOCK)
"""Looked up once: every reader that reads until the end is told."""

LIVE = c.SS_ISCONNECTED | c.SS_ISCONNECTING | c.SS_ISDISCONNECTING
"""Any of these: there is a connection, or an attempt at one."""


class LowerSocket(Callbacks):
    """A socket as its driver sees it."""

    __slots__ = ()

    def sbappend(self, packet: Packet) -> bool:
        """Take in *packet*; return False when the driver is to pause."""
        rcv = self.so_rcv
        if rcv.drop:
            return True
        self.rcvpackets += 1
        self.rcvbytes += packet.len
        room = rcv.append(packet)
        self.post(READ, rcv)
        return room

    def sbappendbatch(self, batch: Batch) -> bool:
        """Take in *batch*, which is ours from now on; else as `sbappend`."""
        rcv = self.so_rcv
        if rcv.drop:
            return True
        self.rcvpackets += len(batch)
        self.rcvbytes += batch.nbytes
        room = rcv.append_batch(batch)
        self.post(READ, rcv)
        return room

    def sowwakeup(self) -> None:
        """The driver took bytes from so_snd."""
        snd = self.so_snd
        if self.timer is not None:
            self.timer.reset(self.patience())
        if not snd.cc:
            if self.state & c.SS_NOFDREF:
                self.settle()
                return
            if self.state & c.SS_CANTSENDMORE:
                self.sendfin()
        if snd.lowered():
            self.post(WRITE, snd)

    def sospace(self) -> None:
        """The driver, which queues nothing, may take a datagram again."""
        self.post(WRITE, self.so_snd)

    def sosenderror(self, code: int | None, lost: int = 0) -> None:
        """Count a packet as lost, and the *lost* bytes it had: nobody is told else."""
        code = code or errno.EIO
        self.sndbytes -= lost
        self._count_error(code)
        losses = self.losses
        if losses is None:
            losses = self.losses = {}
        losses[code] = losses.get(code, 0) + 1

    def _count_error(self, code: int) -> None:
        self.lasterror = code
        lost = self.lost
        if lost is None:
            lost = self.lost = {}
        lost[code] = lost.get(code, 0) + 1

    def takelosses(self) -> dict[int, int]:
        losses, self.losses = self.losses, None
        return losses or {}

    def soerror(self, code: int | None) -> None:
        """An error that belongs to no call: of a datagram that was sent before."""
        self.so_error = code = code or errno.EIO
        self._count_error(code)
        self.post(READ, self.so_rcv)
        self.post(WRITE, self.so_snd)

    @property
    def full(self) -> bool:
        """Whether as many connections wait for accept as may: leave the others to the host."""
        return self.so_comp is not None and len(self.so_comp) >= self.so_qlimit

    def sonewconn(self, driver: IUserRequests, name: SockAddr) -> None:
        """A connection came in: it waits in so_comp, as the listener's child."""
        so = self.kpi.newconn(self.proto, driver)
        inherited = c.SS_NBIO | c.SS_ASYNC | c.SS_PRIV
        so.state = self.state & inherited | c.SS_ISCONNECTED | c.SS_COMP
        so.kernel = self.kernel
        inherit(self, so)
        so.so_head = self
        so.peer = name
        if self.so_comp is None:  # closed by now
            so.abort()
            return
        self.so_comp.append(so)
        if self.kpi.filters.active:
            self.kpi.filters.attach(so)
        self.post(READ, self.so_rcv)

    def soisconnected(self) -> None:
        """The attempt to connect succeeded."""
        self.enter("connected")
        if not self.so_snd.cc and self.state & c.SS_CANTSENDMORE:
            self.sendfin()

    def socantrcvmore(self) -> None:
        """The peer sent its end of file."""
        if not self.state & c.SS_CANTRCVMORE:
            self.enter("cantrcvmore")
        self.fin |= RECEIVED
        if self.fin & SENT:
            self.soisdisconnected(0)

    def soisdisconnected(self, error: int, why: str = "") -> None:
        """The connection is over: both ends are done, or *error* ended it (a sentence: *why*)."""
        if self.state & c.SS_ISDISCONNECTED:
            return
        self.so_snd.flush()
        if self.state & c.SS_NOFDREF:
            self.sofree()
            return
        if error:
            self.so_error, self.why = error, why
            self.failed = error
            self.post_event(ERROR_HINT.get(error, 0))
        self.enter("disconnected")

    def sendfin(self) -> None:
        """Tell the peer of our end of file once so_snd is empty."""
        if self.fin & SENT or self.so_snd.cc or not self.state & c.SS_ISCONNECTED:
            return
        self.fin |= SENT
        self.driver.shutdown()
        if self.fin & RECEIVED:
            self.soisdisconnected(0)

    def rcvd(self) -> None:
        """There is room in so_rcv again."""
        self.so_rcv.full = False
        self.driver.rcvd()

    def receivebatch(self, max: int) -> Batch:
        rcv = self.so_rcv
        if rcv.waits is not None:
            self.check_open()
            raise BlockingIOError(errno.EWOULDBLOCK, WOULD_BLOCK)  # others were here before
        batch = rcv.take(max)
        if batch is not None:
            if rcv.full and rcv.low:
                self.rcvd()
            return batch
        self.check_open()
        self.raise_error()
        if self.state & c.SS_CANTRCVMORE:
            return Batch((), 0)
        if self.proto.connrequired and not self.state & LIVE:
            raise oserror(errno.ENOTCONN)
        raise BlockingIOError(errno.EWOULDBLOCK, WOULD_BLOCK)

    # -- the end

    def close(self) -> Deferred[None]:
        self.check_open()
        if self.retaincnt:
            if not self.created:
                raise RuntimeError("close was called before; only release is left to do")
            self.created = False
            return succeed(None)
        return self.soclose()

    def soclose(self) -> Deferred[None]:
        """Close, whoever else has held the socket."""
        self.let_go()
        if self.linger == 0:
            return self.sofree(abort=True)
        if not self.state & LIVE or not (self.so_snd.cc or self.driver.outq()):
            return self.sofree(abort=self.resets)
        self.so_rcv.drop = True
        self.so_rcv.flush()
        self.rcvd()  # a peer that cannot write may not read either
        self.kpi.flushing.add(self)
        self.flushed = flushed = Deferred[None]()
        if self.so_snd.cc:
            self.timer = self.kpi.clock.callLater(self.patience(), self.give_up)
        else:
            self.settle()
        return flushed

    def reset(self) -> Deferred[None]:
        self.check_open()
        self.resets = self.resets or not self.retaincnt
        return self.close()

    def retain(self) -> None:
        self.check_open()
        self.retaincnt += 1

    def release(self) -> None:
        if self.retaincnt <= 0:
            raise RuntimeError("release without retain")
        self.retaincnt -= 1
        if not self.retaincnt and not self.created and not self.state & c.SS_NOFDREF:
            self.soclose()

    def abort(self) -> None:
        if self.state & c.SS_NOFDREF:
            if self.flushed is None:
                raise oserror(errno.EBADF)
        else:
            self.let_go()
        self.sofree(abort=True)

    def let_go(self) -> None:
        """No callback from now on; what waited for accept is reset."""
        self.state |= c.SS_NOFDREF
        rcv, snd = self.so_rcv, self.so_snd
        rcv.upcall = snd.upcall = self.event = None
        rcv.upcallarg = snd.upcallarg = self.eventarg = None
        self.end_waits()
        for so in self.so_comp or ():
            so.abort()
        self.so_comp = None

    def patience(self) -> float:
        """Return the seconds a closed socket flushes without any progress."""
        return c.LINGER_SECONDS if self.linger is None else float(self.linger)

    def settle(self, before: int = 0, waited: float = 0.0) -> None:
        """
        Close once the peer's system has all that was sent.

        Not at once: a descriptor closed while something unread is on its way
        to it makes the system send a reset, which overtakes what was sent.

        Args:
            before: How much was missing the last time.
            waited: For so many seconds nothing was acknowledged.
        """
        if self.timer is not None and self.timer.active():
            self.timer.cancel()
        self.timer = None
        if not self.resets:
            self.sendfin()
        if self.state & c.SS_ISCONNECTED:  # else that was the end of it
            left = self.driver.outq()
            if left != before:
                waited = 0.0
            if not left or waited >= self.patience():
                self.sofree(abort=self.resets)
            else:
                step = c.SETTLE_SECONDS
                self.timer = self.kpi.clock.callLater(step, self.settle, left, waited + step)

    def give_up(self) -> None:
        """Nothing moved for too long: reset the connection."""
        self.timer = None
        log.warn("closed with {count} bytes that the peer did not take", count=self.so_snd.cc)
        self.sofree(abort=True)

    def sofree(self, abort: bool = False) -> Deferred[None]:
        """Give the descriptor back; tell who waits for it."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        self.state &= ~LIVE
        self.so_rcv.flush()
        self.so_snd.flush()
        if not self.state & c.SS_DEFUNCT:  # else the driver has let go already
            if abort:
                self.driver.abort()
            else:
                self.driver.detach()
        self.kpi.forget(self)
        done, self.flushed = self.flushed, None
        if done is None:
            return succeed(None)
        done.callback(None)
        return done
