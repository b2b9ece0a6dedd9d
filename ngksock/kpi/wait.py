"""Calls that wait: what a blocked thread is in the kernel, a Deferred is here.

A `Call` knows how to do its work at once or to say that it cannot yet, by
BlockingIOError; that is all there is to the non-blocking mode.  In blocking
mode a `Wait` keeps it in the queue of its side and tries again whenever that
side is woken: in order, and before the side's upcall.
"""

from __future__ import annotations

import errno
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from ngksock.errors import oserror

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall

    from ngksock.kpi.callbacks import Callbacks
    from ngksock.kpi.sockbuf import SockBuf, WaitQueue

__all__ = ["Call", "Wait", "perform", "serve", "start"]

T = TypeVar("T")


class Call(Generic[T]):
    """One call of the KPI that may have to wait."""

    __slots__ = ()

    def attempt(self) -> T:
        """Do it; BlockingIOError when that is not possible yet."""
        raise NotImplementedError

    def interrupted(self, code: int) -> T:
        """Return what there is to show when the wait ends with *code*, or raise it."""
        raise oserror(code)

    def orphaned(self, result: T) -> None:
        """Give back *result*: the wait ended while it was made."""

    def closed(self) -> T:
        """Return what the call gives when its socket is closed meanwhile."""
        raise oserror(errno.ECONNABORTED, "the socket was closed")


_NOTHING: Final[Call[Any]] = Call()


class Wait(Deferred[T]):
    """
    The Deferred of a call that waits.

    Args:
        so: The socket.
        buf: The side it waits on.
        call: What to try.
        seconds: The longest wait, or None for no limit.
        late: The errno when that is over.
        shielded: Whether ``nointerrupt`` of the side keeps it from being
            cancelled.

    To cancel it is EINTR, or what there is to show.
    """

    def __init__(
        self,
        so: Callbacks,
        buf: WaitQueue,
        call: Call[T],
        seconds: float | None = None,
        late: int = errno.EWOULDBLOCK,
        shielded: bool = False,
    ) -> None:
        super().__init__()
        self.so = so
        self.buf = buf
        self.call: Call[T] = call
        self.shielded = shielded
        self.how: Callable[[], T] | None = None
        self.timer: IDelayedCall | None = None
        if seconds is not None:
            self.timer = so.kpi.clock.callLater(seconds, self._expired, late)
        if buf.waits is None:
            buf.waits = deque()
        buf.waits.append(self)

    def cancel(self) -> None:
        if not self.called:
            if self.how is not None:
                self.fire()  # it has ended already, only the turn to tell it was to come
            elif not (self.shielded and self.buf.nointr):
                self.end(errno.EINTR)
            return
        super().cancel()

    def again(self) -> bool:
        """Try again; return whether the wait is over."""
        call = self.call
        try:
            result = call.attempt()
        except BlockingIOError:
            return self.called
        except Exception as error:
            if not self.called:
                self._leave()
                self._fail(error)
        else:
            if self.called:
                call.orphaned(result)
            else:
                self._leave()
                self.callback(result)
        return True

    def end(self, code: int) -> None:
        """End the wait with what there is to show, or *code*; those behind may go on."""
        self.end_later(partial(self.call.interrupted, code))
        self.so.left(self.buf)
        self.fire()

    def end_later(self, how: Callable[[], T]) -> None:
        """End the wait; `fire` tells what *how* gives."""
        self.how = how
        self._leave()

    def fire(self) -> None:
        """Tell what `end_later` was given, once."""
        how, self.how = self.how, None
        if self.called or how is None:
            return
        try:
            result = how()
        except OSError as error:
            self._fail(error)
        else:
            self.callback(result)

    def _expired(self, late: int) -> None:
        self.timer = None
        self.end(late)

    def _leave(self) -> None:
        # Whoever keeps this Deferred shall not keep the owner's buffers, too.
        self.call = _NOTHING
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        waits = self.buf.waits
        if waits is not None:
            waits.remove(self)
            if not waits:
                self.buf.waits = None

    def _fail(self, error: Exception) -> None:
        # Without its frames: they hold this Deferred, and it the error.
        self.errback(Failure(error.with_traceback(None)))


def start(
    so: Callbacks,
    buf: WaitQueue,
    call: Call[T],
    seconds: float | None = None,
    late: int = errno.EWOULDBLOCK,
    shielded: bool = False,
) -> Deferred[T]:
    """
    Begin *call* in blocking mode.

    Args:
        so: The socket.
        buf: The side to wait on.
        call: What to try.
        seconds: The longest wait, or None for no limit.
        late: The errno when that is over.
        shielded: Whether nointerrupt keeps it from being cancelled.
    """
    if not buf.waits:  # else it is not our turn
        try:
            return succeed(call.attempt())
        except BlockingIOError:
            pass
        except OSError as error:
            return fail(Failure(error.with_traceback(None)))
    return Wait(so, buf, call, seconds, late, shielded)


def perform(
    so: Callbacks, buf: SockBuf, make: Callable[[], Call[T]], waits: bool, timed: bool = True
) -> T | Deferred[T]:
    """
    Do a call in either mode.

    Args:
        so: The socket.
        buf: The side it is about.
        make: Makes the call, and checks what it was given.
        waits: Whether it is in blocking mode: then nothing is raised.
        timed: Whether the timeout of the side, and nointerrupt, are for it.
    """
    if waits:
        try:
            call = make()
        except OSError as error:
            return fail(Failure(error.with_traceback(None)))
        return start(so, buf, call, buf.seconds if timed else None, shielded=timed)
    call = make()
    if buf.waits:
        so.check_open()
        raise oserror(errno.EWOULDBLOCK)  # others were here before
    return call.attempt()


def serve(buf: WaitQueue) -> None:
    """Let those who wait on *buf* try again, in order, until one cannot go on."""
    while buf.waits and buf.waits[0].again():
        pass
