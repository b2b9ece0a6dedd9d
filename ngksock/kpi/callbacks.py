"""What a socket keeps, and whom it tells: the part both halves stand on.

Callbacks are posted here and run later, by `ngksock.kpi.upcall`: at most one
upcall a side waits at a time, and none runs once the socket was closed.
"""

from __future__ import annotations

import errno
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from ngksock._ikpi import IUserRequests
from ngksock.errors import oserror
from ngksock.kpi import constants as c
from ngksock.kpi.protosw import Protosw
from ngksock.kpi.sockaddr import SockAddr
from ngksock.kpi.sockbuf import RcvBuf, SndBuf, SockBuf, WaitQueue
from ngksock.kpi.state import EVENT, OVER, READ, TRANSITIONS, WAKE, WRITE
from ngksock.kpi.wait import Wait, serve

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IDelayedCall

    from ngksock._ikpi_events import SockEvupcall, SockUpcall
    from ngksock.kpi.provider import SocketKPI
    from ngksock.kpi.socket import Socket

__all__ = ["Callbacks"]


def check_callable(*callbacks: object) -> None:
    """Raise EINVAL for a callback that cannot be called."""
    for callback in callbacks:
        if callback is not None and not callable(callback):
            raise oserror(errno.EINVAL, f"a callback is a function or None, not {callback!r}")


class Callbacks:
    """
    The fields of a socket and its owner's callbacks.

    Args:
        kpi: Whom it belongs to.
        proto: Its row of the protocol switch.
        driver: What moves its bytes.
    """

    __slots__ = (
        "__weakref__",
        "bound",
        "connects",
        "created",
        "driver",
        "event",
        "eventarg",
        "eventmask",
        "failed",
        "fin",
        "flushed",
        "kernel",
        "kpi",
        "lasterror",
        "linger",
        "losses",
        "lost",
        "mode",
        "peer",
        "proto",
        "rcvbytes",
        "rcvpackets",
        "remembered",
        "resets",
        "retaincnt",
        "sndbytes",
        "sndpackets",
        "so_comp",
        "so_error",
        "so_head",
        "so_qlimit",
        "so_rcv",
        "so_snd",
        "state",
        "timer",
        "truncated",
        "unprivileged",
        "why",
    )

    def __init__(self, kpi: SocketKPI, proto: Protosw, driver: IUserRequests) -> None:
        self.kpi = kpi
        self.proto = proto
        self.driver = driver
        self.state = 0
        self.so_error = 0
        self.why = ""
        self.failed = 0
        self.connects: WaitQueue | None = None
        self.kernel = True
        self.created = True
        self.retaincnt = 0
        self.unprivileged = False
        self.bound = False
        self.so_rcv = RcvBuf()
        self.so_snd = SndBuf()
        self.so_comp: deque[Socket] | None = None
        self.so_qlimit = 0
        self.so_head: Callbacks | None = None
        self.peer: SockAddr = None
        self.event: SockEvupcall | None = None
        self.eventarg: Any = None
        self.eventmask = 0
        self.linger: int | None = None
        self.resets = False
        self.mode = 0o660
        self.remembered: dict[tuple[int, int], int] | None = None
        self.lost: dict[int, int] | None = None
        self.lasterror = 0
        self.losses: dict[int, int] | None = None  # since they were taken; idle is small
        self.truncated = 0
        self.rcvpackets = self.rcvbytes = 0
        self.sndpackets = self.sndbytes = 0
        self.fin = 0
        self.flushed: Deferred[None] | None = None
        self.timer: IDelayedCall | None = None
        driver.attach(self)

    @property
    def senderrors(self) -> dict[int, int]:
        """What could not be sent: so many packets by errno."""
        return {} if self.lost is None else self.lost

    def __repr__(self) -> str:
        return f"<Socket {self.proto[:3]} state {self.state:#x}>"

    def setupcall(self, callback: SockUpcall | None, cookie: Any = None) -> None:
        self.setupcalls(callback, cookie, None if self.kpi.strict_xnu else callback, cookie)

    def setupcalls(
        self,
        rcallback: SockUpcall | None,
        rcookie: Any,
        wcallback: SockUpcall | None,
        wcookie: Any,
    ) -> None:
        self.check_open()
        if not (callable(rcallback) and callable(wcallback)):
            check_callable(rcallback, wcallback)
        rcv, snd = self.so_rcv, self.so_snd
        rcv.upcall, rcv.upcallarg = rcallback, rcookie
        snd.upcall, snd.upcallarg = wcallback, wcookie
        if rcallback is not None and self.readable and not self.kpi.strict_xnu:
            self.post(READ, rcv)  # a spurious upcall is legal, a lost one is not

    def catchevents(self, callback: SockEvupcall | None, cookie: Any = None, mask: int = 0) -> None:
        self.check_open()
        check_callable(callback)
        if not isinstance(mask, int):
            raise oserror(errno.EINVAL, f"a mask of events is a number, not {mask!r}")
        self.event, self.eventarg = callback, cookie
        self.eventmask = 0 if callback is None else mask

    def post(self, side: int, buf: SockBuf, again: bool = False) -> None:
        """Post an upcall unless one waits; *again*: behind what was posted since."""
        if buf.waits is not None:
            self.wake(buf)
        if buf.upcall is None or (buf.posted and not again):
            return
        upcalls = self.kpi.upcalls
        upcalls.serial += 1
        buf.posted = upcalls.serial
        upcalls.post(self, side, upcalls.serial)

    def wake(self, buf: WaitQueue | None) -> None:
        """Let those who wait on *buf* try again, in the order of what is posted."""
        if buf is not None and buf.waits is not None and not buf.waking:
            buf.waking = True
            self.kpi.upcalls.post(self, WAKE, buf)

    def left(self, buf: WaitQueue) -> None:
        """A wait on *buf* ended without being served: others may go on now, or the owner."""
        if buf.waits is not None:
            self.wake(buf)
        elif buf is self.so_rcv and self.readable:
            self.post(READ, self.so_rcv)
        elif buf is self.so_snd and self.so_snd.space > 0:
            self.post(WRITE, self.so_snd)

    def end_waits(self, code: int | None = None) -> None:
        """End every call that waits: with *code*, or as the end of the socket does."""
        if self.so_rcv.waits is None and self.so_snd.waits is None and self.connects is None:
            return  # as nearly always
        for buf in (self.so_rcv, self.so_snd, self.connects):
            for wait in list(buf.waits or ()) if buf is not None else ():
                call = wait.call
                wait.end_later(call.closed if code is None else partial(call.interrupted, code))
                self.kpi.upcalls.post(self, OVER, wait)

    def post_event(self, hint: int) -> None:
        """Post an event, if the owner asked for it."""
        if self.event is not None and hint & self.eventmask:
            self.kpi.upcalls.post(self, EVENT, hint)

    def deliver(self, what: int, data: Any) -> None:
        """Run what was posted, if its owner still wants it."""
        if what <= WRITE:
            buf: SockBuf = self.so_rcv if what == READ else self.so_snd
            # Else it was posted again since; a closed socket has no upcall.
            if buf.posted == data:
                buf.posted = 0
                if buf.upcall is not None:
                    buf.upcall(self, buf.upcallarg, c.MBUF_DONTWAIT)
        elif what == EVENT:
            hint = data & self.eventmask
            if self.event is not None and hint:
                self.event(self, self.eventarg, hint)
        elif what == WAKE:
            data.waking = False
            serve(data)
        elif what == OVER:
            ended: Wait[Any] = data
            ended.fire()
        elif not self.state & c.SS_NOFDREF:  # FINAL
            callback, cookie = data
            callback(self, cookie, c.MBUF_DONTWAIT)

    def enter(self, name: str) -> None:
        """Make one change of the state and post who is to be told."""
        clear, also, hint, order, ends = TRANSITIONS[name]
        self.state = self.state & ~clear | also
        if not ends and self.connects is not None:
            self.wake(self.connects)  # whoever waits in connect is told before the upcalls
        for what in order:
            if what == EVENT:
                if self.event is not None:
                    self.post_event(hint)
            else:
                buf = self.so_rcv if what == READ else self.so_snd
                if buf.upcall is not None or buf.waits is not None:
                    self.post(what, buf, ends)
        if ends and self.connects is not None:
            self.wake(self.connects)

    @property
    def readable(self) -> bool:
        """Soreadable: packets, an end of file, an error or a connection wait."""
        return bool(
            self.so_rcv.batch or self.so_error or self.so_comp or self.state & c.SS_CANTRCVMORE
        )

    def takeerror(self) -> int:
        """Return what is in the error slot, and clear it."""
        error, self.so_error = self.so_error, 0
        return error

    def raise_error(self, keep: bool = False) -> None:
        """Raise what is in the error slot, if anything, and clear it unless *keep*."""
        error = self.so_error
        if error:
            if not keep:
                self.so_error = 0
            raise oserror(error, self.why or None)

    def check_open(self) -> None:
        """Raise EBADF once the socket was closed."""
        if self.state & (c.SS_NOFDREF | c.SS_LOCKED):
            if self.state & c.SS_LOCKED:
                raise RuntimeError("the listener is locked while sf_attach looks at a connection")
            raise oserror(errno.EBADF, "the socket is closed")
