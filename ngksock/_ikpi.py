"""The interfaces of the socket KPI: above, beside and below a socket.

`ISocketKPI` is XNU's kernel socket KPI, a method for each call that exists so
far; `IBatchSocket` moves many packets at once beside it; `IUserRequests` is the
narrow waist to a driver, in BSD's words.

Everything fails with ``OSError(errno, sentence)``, numbers of this host.  A
closed socket answers every call with EBADF.  An *upcall* is
``callback(so, cookie, waitf)``, waitf always 1: it carries no data, says look
again, may be spurious, and must be answered with calls until EWOULDBLOCK or
until there is reason to stop.  An *event* is ``callback(so, cookie, hints)``.
Both run from the reactor, one at a time, never inside a call of the KPI, and
never once ``close`` was called; an exception of theirs is logged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.defer import Deferred

    from ngksock.packet import Batch

__all__ = ["IBatchSocket", "ISocketKPI", "ISocketKPIProvider", "IUserRequests"]


class ISocketKPIProvider(Interface):
    """Makes sockets: ``sock_socket``, and what all of them share."""

    def socket(
        domain: int,
        type: int,
        protocol: int = 0,
        callback: Callable[[Any, Any, int], object] | None = None,
        cookie: Any = None,
    ) -> Any:
        """
        Make a socket.

        Args:
            domain: AF_INET, AF_INET6 or AF_UNIX.
            type: SOCK_STREAM, SOCK_DGRAM, SOCK_RAW or SOCK_SEQPACKET.
            protocol: A number, or 0 for the usual one.
            callback: The upcall of both sides, or None.
            cookie: Given to *callback*.

        Returns:
            ISocketKPI and IBatchSocket: the socket, the caller's to close.

        Raises:
            OSError: EAFNOSUPPORT, unknown domain.  EPROTOTYPE, the protocol
                is of another type.  EPROTONOSUPPORT, unknown type or
                protocol.  EPERM, raw sockets need CAP_NET_RAW.  EMFILE,
                ENFILE, ENOBUFS, ENOMEM.
        """

    def absolute(path: str | bytes) -> str:
        """
        Return the path of a local socket in full.

        Args:
            path: Relative to the directory in which this provider was made;
                twistd changes the directory later.  Abstract names (leading
                NUL) are full already.
        """

    def drain() -> Deferred[None]:
        """
        Wait for the closed sockets that still have bytes to send.

        Returns:
            Fires with None once none of them is left, maybe at once.
        """

    def closeall() -> None:
        """
        Close every socket there is at once, those that still flush as well.

        Connections are reset; no upcall runs; what `drain` gave fires.
        """


class ISocketKPI(Interface):
    """
    A kernel socket, as XNU's socket KPI has it.

    Addresses are ``(host, port)`` for inet, that or ``(host, port, flowinfo,
    scope_id)`` for inet6, a path for local (str, a character a byte, or bytes;
    always str when given back).  They are numeric: names are not resolved.

    Every call returns or raises at once: SS_NBIO is always set in this
    version.  Numbers of levels and options are the host's; level 0xffff means
    FreeBSD's numbers and values.
    """

    def bind(to: Any) -> None:
        """
        Give the socket a local address.

        A local path left behind by a crash is taken over.  The file has the
        mode of the option SO_MODE (0660) and is removed at `close`, if it is
        still ours.

        Args:
            to: The address, of the socket's family; port 0 picks one.

        Raises:
            OSError: EINVAL, bound already, or a host name.  EAFNOSUPPORT,
                another family, or a group for TCP.  EADDRNOTAVAIL, not an
                address of this host.  EADDRINUSE, taken.  EACCES, a reserved
                port.  ENAMETOOLONG, too long a path.
        """

    def listen(backlog: int) -> None:
        """
        Wait for connections.

        Args:
            backlog: How many may wait for `accept`; 128 if not in 1..128.

        Raises:
            OSError: EOPNOTSUPP, not connection-oriented.  EINVAL, connected
                or connecting, or a local socket without a name.  EADDRINUSE.

        Upcall: the read one, once for each connection; while one is not
        taken by `accept` the others wait in the host's backlog, unannounced.
        """

    def accept(
        flags: int = 0,
        callback: Callable[[Any, Any, int], object] | None = None,
        cookie: Any = None,
    ) -> tuple[Any, Any]:
        """
        Take the oldest connection that waits.

        It inherits options, SO_LINGER and buffer sizes, no callback.

        Args:
            flags: MSG_DONTWAIT or 0.
            callback: The upcall of both sides of the new socket, or None.
            cookie: Given to *callback*.

        Returns:
            The new socket, the caller's to close, and the peer's address.
            The peer may have gone already: receiving tells.

        Raises:
            OSError: EINVAL, not listening.  ENOTSUP, other flags.
                EWOULDBLOCK, none waits.
        """

    def connect(to: Any, flags: int = 0) -> None:
        """
        Begin a connection to *to*.

        A datagram socket gets its peer at once, again if it had one.

        Args:
            to: Where to connect; of the socket's own family, numeric.
            flags: MSG_DONTWAIT or 0.

        Raises:
            OSError: EINPROGRESS, started; upcalls and event tell the outcome.
                EALREADY, started before.  EISCONN, connected.  EOPNOTSUPP,
                the socket listens.  EINVAL, a host name, the socket's own
                address, or an attempt has failed before: make a new socket.
                EAFNOSUPPORT, another family, or a group for TCP.
                ECONNREFUSED, nobody listens, or (local) the backlog is full.
                EADDRNOTAVAIL, ENETUNREACH, EHOSTUNREACH, EACCES, ENOENT.

        Upcall: read and write, then the event CONNECTED|CONNINFO_UPDATED; or
        the event CONNRESET or TIMEOUT, DISCONNECTED|CONNINFO_UPDATED, then
        write and read, with the error in SO_ERROR.
        """

    def getsockname() -> Any:
        """Return the local address; the wildcard and port 0 when unbound."""

    def getpeername() -> Any:
        """
        Return the peer's address.

        Raises:
            OSError: ENOTCONN, not connected (yet, or any more).
        """

    def getsockopt(level: int, optname: int, optlen: int | None = None) -> int | bytes:
        """
        Return an option.

        Args:
            level: SOL_SOCKET or a protocol; 0xffff for FreeBSD's numbers.
            optname: Which.  SO_ERROR reads the error slot and clears it.
            optlen: How many bytes of it to return, or None for an int
                (bytes all the same where the option is a structure).

        Raises:
            OSError: ENOPROTOOPT, there is no such option.
        """

    def setsockopt(level: int, optname: int, optval: int | bytes) -> None:
        """
        Set an option.

        Args:
            level: SOL_SOCKET or a protocol; 0xffff for FreeBSD's numbers.
            optname: Which.
            optval: An int, or the bytes of the structure; more are ignored.

        Raises:
            OSError: EINVAL, too few bytes, a size below 1, or both directions
                are shut down.  EDOM, a time out of range.  ENOPROTOOPT, no
                such option, or one to read only.  EPERM.
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

        A connection goes on sending what so_snd holds until the peer's system
        has it, for as long as there is progress within 30 s (or SO_LINGER's
        time), and is reset after that.  What comes in meanwhile is dropped.
        SO_LINGER of 0 resets at once.  Connections that wait for `accept`
        are reset.

        Returns:
            Fires with None when the descriptor is closed, mostly at once.
        """

    def reset() -> Deferred[None]:
        """As `close`, but what so_snd holds is followed by a reset and not by an end of file."""

    def abort() -> None:
        """Give the socket back now; a connection is reset.  Also after `close`."""

    def isconnected() -> bool:
        """Say whether the socket is connected; True while half closed."""

    def isnonblocking() -> bool:
        """Return the SS_NBIO bit."""

    def gettype() -> tuple[int, int, int]:
        """Return domain, type and protocol, the latter resolved: 6 for TCP."""

    def setupcall(callback: Callable[[Any, Any, int], object] | None, cookie: Any = None) -> None:
        """
        Install *callback* as the upcall of both sides; None removes both.

        Upcall: the read one, once, if something waits already.
        """

    def setupcalls(
        rcallback: Callable[[Any, Any, int], object] | None,
        rcookie: Any,
        wcallback: Callable[[Any, Any, int], object] | None,
        wcookie: Any,
    ) -> None:
        """
        Install the upcall of each side; None removes that side's.

        The read upcall runs for each arrival, end of file, error and end of
        the connection; the write upcall when so_snd, once at its high-water
        mark, is down to its low one, and at connecting, shutdown and the end.

        Upcall: the read one, once, if something waits already.
        """

    def catchevents(
        callback: Callable[[Any, Any, int], object] | None, cookie: Any = None, mask: int = 0
    ) -> None:
        """
        Tell *callback* of changes of the state; None ends that.

        Args:
            callback: Is given those of the hints that are in *mask*.
            cookie: Given to *callback*.
            mask: SO_FILT_HINT_* bits.  The past is not told again.
        """


class IBatchSocket(Interface):
    """Many packets in one call, beside `ISocketKPI`."""

    readable = Attribute("bool: packets, an end of file, an error, or a connection to accept wait.")
    rcvcount = Attribute("int: bytes that wait in so_rcv.")
    sndcount = Attribute("int: bytes that wait in so_snd.")
    rcvpackets = Attribute("int: packets that came in, ever.")
    rcvbytes = Attribute("int: bytes that came in, ever.")
    sndpackets = Attribute("int: packets sent, or taken to send, ever.")
    sndbytes = Attribute("int: bytes sent, or taken to send, ever.")
    truncated = Attribute("int: packets longer than 65,535 bytes, dropped on the way in.")
    senderrors = Attribute("dict of errno to how many packets had it, sent or refused.")
    lasterror = Attribute("int: the newest errno in ``senderrors``, 0 if none.")

    def receivebatch(max: int) -> Batch:
        """
        Take what has arrived, and make room for more.

        What arrived before an error comes first, then the error, once, then
        the end of file.

        Args:
            max: The most packets to take, at least 1.

        Returns:
            The packets, the caller's.  Of a stream each is what one read
            brought.  An empty batch is the end of file, as often as asked.
            Of an unconnected datagram socket, ``names`` has the sender of
            each ("" or a name of its own; str for local ones).

        Raises:
            OSError: EWOULDBLOCK, nothing is here yet.  ENOTCONN, a stream
                that was never connected.  Else the error of the connection.
        """

    def sendbatch(batch: Batch) -> int:
        """
        Send all packets of *batch*, which stays the caller's.

        A stream takes all of it: the system what it can at once, so_snd the
        rest; while connecting, all waits in so_snd.  Empty packets send
        nothing.  The caller heeds `sndspace`; the hard limit is four times
        the high-water mark, and 1 MiB at least.

        A datagram socket sends each packet to its entry in ``names``, or to
        the peer; none waits.  A failure is counted in ``senderrors`` and
        ``lasterror``, and the others go on.  An empty packet is a datagram.

        Returns:
            How many packets were taken, or (datagrams) sent.

        Raises:
            OSError: ENOTCONN, a stream neither connected nor connecting.
                EPIPE, the sending side has ended, by shutdown or for good.
                ENOBUFS, so_snd is full: nothing of *batch* was taken.

        Upcall: write, when so_snd is low again after it was high.
        """

    def sndspace() -> int:
        """Return the bytes that fit under so_snd's high-water mark; or below 0."""


class IUserRequests(Interface):
    """
    What a socket asks of its driver, BSD's ``pru_*``.

    The driver moves bytes and holds no rule of state: the socket has decided
    before it asks.  Addresses are checked; local ones are bytes, in full.
    What happens it tells the socket by ``sbappend``, ``sbappendbatch``,
    ``sowwakeup``, ``sosenderror``, ``sonewconn``, ``soisconnected``,
    ``socantrcvmore`` and ``soisdisconnected``, and drains the upcalls at the
    end of each turn the reactor gives it.
    """

    def attach(so: Any) -> None:
        """Belong to *so*; called once, before anything else."""

    def bind(to: Any) -> None:
        """Bind to *to*; OSError as bind(2)."""

    def listen(backlog: int) -> None:
        """Listen, and tell of a connection by ``so.sonewconn(driver, name)``."""

    def accept() -> None:
        """Take one connection now, if there is one: ``so.sonewconn``."""

    def connect(to: Any) -> bool:
        """
        Connect to *to*.

        Returns:
            True, connected.  False, begun: ``so.soisconnected()`` or
            ``so.soisdisconnected(error)`` follows, in another turn.

        Raises:
            OSError: The attempt failed at once, and may be made again.
        """

    def send(batch: Batch) -> int:
        """
        Send *batch* now.

        Returns:
            Of a stream, the bytes taken: the rest is put in ``so.so_snd`` by
            the caller, and the driver goes on with it, calling
            ``so.sowwakeup()`` after each bit of progress.  Of datagrams, how
            many packets were sent.

        Raises:
            OSError: The connection is over, and ``so`` was told.
        """

    def rcvd() -> None:
        """so_rcv has room, so_comp too: go on reading."""

    def shutdown() -> None:
        """Send the end of file; so_snd is empty."""

    def outq() -> int:
        """Return how many bytes (or ends of file) the peer has not acknowledged."""

    def detach() -> None:
        """Close the descriptor; leave nothing in the reactor."""

    def abort() -> None:
        """As ``detach``, but reset the connection."""

    def sockaddr() -> Any:
        """Return the local address."""

    def peeraddr() -> Any:
        """Return the peer's address; OSError as getpeername(2)."""

    def ctloutput(
        level: int, name: int, value: int | bytes | None = None, length: int = 0
    ) -> int | bytes:
        """
        Get (*value* None) or set an option of the host's.

        Args:
            level: The host's level.
            name: The host's number.
            value: What to set, or None.
            length: To get so many bytes, or 0 to get an int.
        """
