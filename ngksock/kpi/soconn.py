"""Accepting and connecting, as calls that may wait (kpi-socket.md §6.1, §6.3, §6.4)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

from ngksock.errors import oserror
from ngksock.kpi import constants as c
from ngksock.kpi.callbacks import check_callable
from ngksock.kpi.lower import WOULD_BLOCK
from ngksock.kpi.wait import Call

if TYPE_CHECKING:
    from ngksock._ikpi_events import SockUpcall
    from ngksock.kpi.life import SocketLife
    from ngksock.kpi.sockaddr import SockAddr
    from ngksock.kpi.socket import Socket

__all__ = ["Accepting", "Connecting", "seconds_of"]

LONGEST = 327
"""Seconds connectwait takes at most: 32767 ticks of XNU's clock."""


class Accepting(Call["tuple[Socket, SockAddr]"]):
    """
    One call of accept.

    Args:
        so: The listener.
        flags: MSG_DONTWAIT, MSG_USEUPCALL.
        callback: The upcall of the new socket, or None.
        cookie: Its cookie.

    Raises:
        OSError: EINVAL, not listening, a callback beside MSG_USEUPCALL, or one
            that cannot be called.  ENOTSUP, other flags.
    """

    __slots__ = ("callback", "cookie", "flags", "so")

    def __init__(
        self, so: SocketLife, flags: int, callback: SockUpcall | None, cookie: Any
    ) -> None:
        so.check_open()
        if not isinstance(flags, int):
            raise oserror(errno.EINVAL, "flags is a number")
        if so.so_comp is None:
            raise oserror(errno.EINVAL, "the socket does not listen")
        known = c.MSG_DONTWAIT | (0 if so.kpi.strict_xnu else c.MSG_USEUPCALL)
        if flags & ~known:
            raise oserror(errno.ENOTSUP, f"accept has no flags {flags & ~known:#x}")
        if flags & c.MSG_USEUPCALL and callback is not None:
            raise oserror(errno.EINVAL, "a callback beside MSG_USEUPCALL")
        check_callable(callback)  # before there is a connection that would be lost
        self.so = so
        self.flags = flags
        self.callback = callback
        self.cookie = cookie

    def attempt(self) -> tuple[Socket, SockAddr]:
        so = self.so
        so.check_open()
        comp = so.so_comp
        if comp is None:
            raise oserror(errno.ECONNABORTED)
        if not comp:
            so.accept_now()
            if not comp:
                raise BlockingIOError(errno.EWOULDBLOCK, WOULD_BLOCK)
        new, name = so.dequeue()
        if so.kpi.filters.active:
            self._filtered(new, name)
        if self.flags & c.MSG_USEUPCALL:
            self._use_upcall(new)
        elif self.callback is not None or self.cookie is not None:
            new.setupcall(self.callback, self.cookie)
        new.driver.rcvd()
        return new, name

    def orphaned(self, result: tuple[Socket, SockAddr]) -> None:
        result[0].abort()

    def _filtered(self, new: Socket, name: SockAddr) -> None:
        try:
            verdict = self.so.kpi.filters.accept(self.so, new, new.driver.sockaddr(), name)
        except OSError as error:
            if not new.state & c.SS_NOFDREF:
                new.abort()
            if isinstance(error, BlockingIOError):  # which would say: wait for another
                raise oserror(errno.EPERM, f"a filter refused the connection: {error}") from None
            raise
        if new.state & c.SS_NOFDREF:
            raise oserror(errno.ECONNABORTED, "a filter closed the connection")
        if verdict == c.EJUSTRETURN:
            new.make_defunct()

    def _use_upcall(self, new: Socket) -> None:
        rcv, snd = self.so.so_rcv, self.so.so_snd
        if self.cookie is None:
            new.setupcalls(rcv.upcall, rcv.upcallarg, snd.upcall, snd.upcallarg)
        else:
            new.setupcalls(rcv.upcall, self.cookie, snd.upcall, self.cookie)


class Connecting(Call[None]):
    """
    The wait for a connection that was begun: of connect and of connectwait.

    Args:
        so: The socket.
    """

    __slots__ = ("begun", "so")

    def __init__(self, so: SocketLife) -> None:
        self.so = so
        self.begun = bool(so.state & c.SS_ISCONNECTING)

    def attempt(self) -> None:
        so = self.so
        so.check_open()
        so.raise_error()
        if so.state & c.SS_ISCONNECTING:
            raise oserror(errno.EINPROGRESS)
        if not so.state & c.SS_ISCONNECTED:
            if self.begun and so.failed:  # somebody else has taken the error slot
                raise oserror(so.failed, so.why or None)
            raise oserror(errno.EINVAL, "no connection was begun")


def seconds_of(timeout: Any) -> float:
    """
    Return the seconds of a timeout: a number of them, or (seconds, microseconds).

    Raises:
        OSError: EDOM, out of range.  EINVAL, not a timeout.
    """
    if isinstance(timeout, (int, float)) and not isinstance(timeout, bool):
        if not 0 <= timeout <= LONGEST:
            raise oserror(errno.EDOM, f"{timeout} s is not in 0..{LONGEST}")
        return float(timeout)
    if (
        not isinstance(timeout, tuple)
        or len(timeout) != 2
        or not all(isinstance(part, int) for part in timeout)
    ):
        raise oserror(errno.EINVAL, f"{timeout!r} is neither seconds nor (seconds, microseconds)")
    if not 0 <= timeout[0] <= LONGEST or not 0 <= timeout[1] < 1_000_000:
        raise oserror(errno.EDOM, f"{timeout!r} is out of range")
    seconds: float = timeout[0] + timeout[1] / 1e6
    return seconds
