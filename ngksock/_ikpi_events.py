"""Upcalls and events: what the owner of a socket is told."""

from __future__ import annotations

from typing import Any, Protocol

from zope.interface import Interface

__all__ = ["ISocketEvents", "SockEvupcall", "SockUpcall"]


class SockUpcall(Protocol):
    """XNU's ``sock_upcall``: look again."""

    def __call__(self, so: Any, cookie: Any, waitf: int, /) -> object:
        """
        Be told that something may have changed.

        Args:
            so: The socket.
            cookie: What was given when this was installed.
            waitf: Always MBUF_DONTWAIT (1).
        """


class SockEvupcall(Protocol):
    """XNU's ``sock_evupcall``: the state changed."""

    def __call__(self, so: Any, cookie: Any, event: int, /) -> object:
        """
        Be told of a change of the state.

        Args:
            so: The socket.
            cookie: What was given when this was installed.
            event: SO_FILT_HINT_* bits, of those that were asked for.
        """


class ISocketEvents(Interface):
    """
    The calls of the KPI that install callbacks (kpi-socket.md §7, §8).

    An upcall carries no data, says look again, may be spurious, and must be
    answered with non-blocking calls until EWOULDBLOCK or until there is
    reason to stop.  Callbacks run from the reactor, one at a time, never
    inside a call of the KPI, and never once ``close`` was called; an
    exception of theirs is logged.
    """

    def setupcall(callback: SockUpcall | None, cookie: Any = None) -> None:
        """
        Install *callback* as the upcall of both sides; None removes both.

        If the provider is ``strict_xnu`` the read side's alone (kpi-socket.md
        §13).

        Upcall: the read one, once, if something waits already (not if
        ``strict_xnu``); none for space to write, which is there until a call
        says EWOULDBLOCK.
        """

    def setupcalls(
        rcallback: SockUpcall | None,
        rcookie: Any,
        wcallback: SockUpcall | None,
        wcookie: Any,
    ) -> None:
        """
        Install the upcall of each side; None removes that side's.

        The read upcall runs for each arrival, end of file, error and end of
        the connection; the write upcall when so_snd, once full, has room
        again, and at connecting, shutdown, error and the end.

        Upcall: as `setupcall`.
        """

    def catchevents(callback: SockEvupcall | None, cookie: Any = None, mask: int = 0) -> None:
        """
        Tell *callback* of changes of the state; None ends that.

        Args:
            callback: Is given those of the hints that are in *mask*.
            cookie: Given to *callback*.
            mask: SO_FILT_HINT_* bits.  The past is not told again.
        """
