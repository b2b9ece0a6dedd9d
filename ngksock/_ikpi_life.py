"""The life of a socket: how it begins, connects, listens and ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zope.interface import Interface

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from ngksock._ikpi_events import SockUpcall

__all__ = ["ISocketLife"]


class ISocketLife(Interface):
    """The calls of the KPI that change what a socket is (kpi-socket.md §6)."""

    def bind(to: Any) -> None:
        """
        Give the socket a local address.

        A local path left behind by a crash is taken over.  The file has the
        mode of the option SO_MODE (0660) and is removed at `close`, if it is
        still ours.

        Args:
            to: The address, of the socket's family; port 0 picks one.

        Raises:
            OSError: EINVAL, bound already, defunct, or a host name.
                EAFNOSUPPORT, another family, or a group for TCP.
                EADDRNOTAVAIL, not an address of this host.  EADDRINUSE,
                taken.  EACCES, a reserved port.  ENAMETOOLONG, too long a
                path.
        """

    def listen(backlog: int) -> None:
        """
        Wait for connections; again: change how many may wait.

        Args:
            backlog: How many may wait for `accept`; 128 if not in 1..128.

        Raises:
            OSError: EOPNOTSUPP, not connection-oriented.  EINVAL, connected,
                connecting or defunct, or a local socket without a name.
                EPERM, SO_RESTRICTIONS denies it.  EADDRINUSE.

        Upcall: the read one, once for each connection.
        """

    def accept(
        flags: int = 0, callback: SockUpcall | None = None, cookie: Any = None
    ) -> tuple[Any, Any] | Deferred[tuple[Any, Any]]:
        """
        Take the oldest connection that waits.

        It inherits options, SS_NBIO, SO_LINGER, buffer sizes and traffic
        class; no callback, timeout or low-water mark.

        Args:
            flags: MSG_DONTWAIT, MSG_USEUPCALL or 0.  With MSG_USEUPCALL the
                new socket has the upcalls of the listener.
            callback: The upcall of both sides of the new socket, or None.
            cookie: Given to *callback*; or, with MSG_USEUPCALL, in place of
                the listener's cookie unless it is None.

        Returns:
            The new socket, the caller's to close, and the peer's address.
            The peer may have gone already: receiving tells.  A Deferred of
            both in blocking mode.

        Raises:
            OSError: EINVAL, not listening, or MSG_USEUPCALL together with a
                callback.  ENOTSUP, other flags.  EWOULDBLOCK, none waits.
                ECONNABORTED, the listener was closed meanwhile.  EINTR, the
                Deferred was cancelled.  What a filter's ``sf_accept`` said.

        Upcall: the read one of the new socket if something waits in it.
        """

    def connect(to: Any, flags: int = 0) -> Deferred[None] | None:
        """
        Begin a connection to *to*.

        A datagram socket gets its peer at once, again if it had one.

        Args:
            to: Where to connect; of the socket's own family, numeric.
            flags: MSG_DONTWAIT or 0.

        Returns:
            None, connected; a Deferred of that in blocking mode.  To cancel
            it ends the wait (EINTR), not the attempt.

        Raises:
            OSError: EINPROGRESS, started; upcalls and event tell the outcome.
                EALREADY, started before.  EISCONN, connected (or, in
                blocking mode, connecting).  EOPNOTSUPP, the socket listens or
                is defunct.  EINVAL, a host name, the socket's own address, or
                an attempt has failed before: make a new socket.  EPERM,
                SO_RESTRICTIONS denies it.  EAFNOSUPPORT, another family, or a
                group for TCP.  ECONNREFUSED, nobody listens, or (local) the
                backlog is full.  ETIMEDOUT, no answer.  EADDRNOTAVAIL,
                ENETUNREACH, EHOSTUNREACH, EACCES, ENOENT.

        Upcall: read and write, then the event CONNECTED|CONNINFO_UPDATED; or
        the event CONNRESET or TIMEOUT, DISCONNECTED|CONNINFO_UPDATED, then
        write and read, with the error in SO_ERROR.
        """

    def connectwait(timeout: Any) -> Deferred[None]:
        """
        Wait until a connection that was begun is made.

        Args:
            timeout: At most so long: seconds, or (seconds, microseconds);
                0 looks once (XNU waits without limit: the provider's
                ``strict_xnu`` does, too).

        Returns:
            Fires with None when connected.

        Raises:
            OSError (by the Deferred): EINPROGRESS, not yet: wait again.
                EDOM, *timeout* negative, above 327 s, or a million
                microseconds or more.  EINVAL, nothing was begun.
                ECONNABORTED, closed meanwhile.  EINTR, cancelled.  Else the
                error of the attempt, which leaves the error slot.
        """

    def shutdown(how: int) -> None:
        """
        End one direction or both.

        What waits in so_snd is sent before the peer sees the end.  What
        waits in so_rcv, and all that comes later, is thrown away.

        Args:
            how: SHUT_RD 0, SHUT_WR 1, SHUT_RDWR 2.

        Raises:
            OSError: EINVAL, another *how*.  ENOTCONN, not connected, or this
                direction has ended before, by the peer's doing as well (and
                then the other direction of SHUT_RDWR stays open).

        Upcall: for reading the event CANTRCVMORE and a last read upcall, then
        the callback is removed; for writing CANTSENDMORE and a write upcall.
        """

    def close() -> Deferred[None]:
        """
        Give the socket back.  No callback runs from now on.

        While it is retained only the creator's reference goes, and the last
        `release` closes.  Calls that wait end: accept, connect and
        connectwait with ECONNABORTED, receive with end of file, send with
        what it has sent or EPIPE.

        A connection goes on sending what so_snd holds until the peer's system
        has it, for as long as there is progress within 30 s (or SO_LINGER's
        time), and is reset after that.  What comes in meanwhile is dropped.
        SO_LINGER of 0 resets at once.  Connections that wait for `accept`
        are reset.  (XNU resets as well when something that came in was not
        read; here nothing that was sent is lost by that.)

        Returns:
            Fires with None when the descriptor is closed, mostly at once.
            XNU's SO_UPCALLCLOSEWAIT needs nothing more: upcalls are run one
            at a time, so the only one that can run now is the caller's own.

        Raises:
            OSError: EBADF, closed already.
        """

    def reset() -> Deferred[None]:
        """As `close`, but what so_snd holds is followed by a reset and not by an end of file."""

    def abort() -> None:
        """Give the socket back now; a connection is reset.  Also after `close`."""

    def retain() -> None:
        """Hold the socket: `close` takes effect only after as many a `release`."""

    def release() -> None:
        """
        Undo one `retain`; the last one closes if `close` was called.

        It never closes a socket that its creator still holds (kpi-socket.md
        §13; the header's wording suggests otherwise).

        Raises:
            RuntimeError: There is no `retain` to undo (a panic in XNU).
        """

    def defunct(proc: Any, level: int) -> None:
        """
        Make the socket useless, for good; it must still be closed.

        Buffers are emptied, a connection is reset, and calls that wait fail
        with EBADF.  From then on bind and listen are EINVAL, connect
        EOPNOTSUPP, send EPIPE and receive ENOTCONN.

        Args:
            proc: In XNU the process whose authority is used; not looked at,
                for one's own sockets need none.
            level: SHUTDOWN_SOCKET_LEVEL_DISCONNECT_SVC or _ALL.

        Raises:
            OSError: EINVAL, another *level*.  EOPNOTSUPP, the socket may not
                be made defunct (SO_DEFUNCTOK is 0, as of local ones at
                first), or DISCONNECT_SVC of one that is not local.

        Upcall: the events CANTRCVMORE and CANTSENDMORE and DISCONNECTED|
        CONNINFO_UPDATED, the write and the read upcall.
        """

    def getlistener() -> Any:
        """
        Return the listener while this socket waits for its `accept`; else None.

        It is meant for a filter's ``sf_attach``: in that callback the
        listener is locked, and its calls raise RuntimeError.
        """
