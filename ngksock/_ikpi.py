"""The interfaces of the socket KPI: above, beside and below a socket.

`ISocketKPI` is XNU's kernel socket KPI, a method for each call of it, by theme
in the files beside this one; `IBatchSocket` moves many packets at once beside
it; `IUserRequests` is the narrow waist to a driver, in BSD's words.

Everything fails with ``OSError(errno, sentence)``, numbers of this host.  A
closed socket answers every call with EBADF.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

from ngksock._ikpi_data import ISocketData
from ngksock._ikpi_events import ISocketEvents, SockUpcall
from ngksock._ikpi_life import ISocketLife
from ngksock._ikpi_names import ISocketNames
from ngksock._ikpi_options import ISocketOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twisted.internet.defer import Deferred

    from ngksock.packet import Batch

__all__ = ["IBatchSocket", "ISocketFilter", "ISocketKPI", "ISocketKPIProvider", "IUserRequests"]


class ISocketKPIProvider(Interface):
    """Makes sockets: ``sock_socket``, and what all of them share."""

    filters = Attribute("Where `ISocketFilter` are registered.")

    def socket(
        domain: int,
        type: int,
        protocol: int = 0,
        callback: SockUpcall | None = None,
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
            ISocketKPI and IBatchSocket: the socket, in blocking mode, the
            caller's to close.

        Raises:
            OSError: EAFNOSUPPORT, unknown domain.  EPROTOTYPE, the protocol
                is of another type.  EPROTONOSUPPORT, unknown type or
                protocol.  EPERM, raw sockets need CAP_NET_RAW.  EMFILE,
                ENFILE, ENOBUFS, ENOMEM.
        """

    def adopt(sock: Any) -> Any:
        """
        Make a socket of one the host has already.

        Args:
            sock: A `socket.socket` of a kind `socket` knows, in any state;
                it is detached: its descriptor is ours from now on, and
                non-blocking.  If this raises it is the caller's still.

        Returns:
            ISocketKPI and IBatchSocket, as `socket` does; not ``iskernel``.

        Raises:
            OSError: EBADF, it is closed.  EOPNOTSUPP, this provider's
                sockets are not the host's.  Else as `socket`.
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


class ISocketKPI(ISocketLife, ISocketNames, ISocketOptions, ISocketData, ISocketEvents):
    """
    A kernel socket, as XNU's socket KPI has it, whole.

    Addresses are ``(host, port)`` for inet, that or ``(host, port, flowinfo,
    scope_id)`` for inet6, a path for local (str, a character a byte, or bytes;
    always str when given back).  They are numeric: names are not resolved.

    *Mode.*  A new socket is in blocking mode: accept, connect, receive,
    receivembuf, send and sendmbuf return a Deferred and raise nothing.  With
    ``ioctl(FIONBIO, 1)``, or MSG_DONTWAIT in one call, they return a value or
    raise OSError, EWOULDBLOCK where they would wait.  All other calls never
    wait and are the same in both modes; connectwait and close always return
    a Deferred.  To cancel a Deferred is the signal of a Unix program: the
    wait ends with EINTR, what was begun goes on.
    """


class ISocketFilter(Interface):
    """
    A socket filter, as much of XNU's as `ISocketLife.getlistener` needs (kpi-socket.md §9).

    Register it by ``SocketKPI.filters.register(filter, domain, type,
    protocol)``.  An exception other than OSError is logged, and counts as
    EINVAL of sf_attach, as EPERM of sf_accept.
    """

    def sf_attach(so: Any) -> Any:
        """
        Look at a new socket: at creation, or when it enters a listener's queue.

        Returns:
            A cookie for the other two.

        Raises:
            OSError: This filter does not want *so*; nothing else comes of it.
        """

    def sf_accept(cookie: Any, listener: Any, so: Any, local: Any, remote: Any) -> Any:
        """
        Judge a connection in the moment it is accepted.

        Returns:
            None, or ``ngksock.kpi.EJUSTRETURN``: let accept succeed and make
            the socket defunct.  Anything else is a bug, and EPERM.

        Raises:
            OSError: *so* is closed, and accept fails with this.
        """

    def sf_detach(cookie: Any, so: Any) -> None:
        """Forget *so*: it is closed."""


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
    why = Attribute("str: a sentence about the error that ended the connection, or empty.")

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
        ``lasterror`` (which of them lost a packet of this batch, `takelosses`
        tells), and the others go on.  An empty packet is a datagram.

        Returns:
            How many packets were taken, or (datagrams) sent.

        Raises:
            OSError: ENOTCONN, a stream neither connected nor connecting.
                EPIPE, the sending side has ended, by shutdown or for good.
                ENOBUFS, so_snd is full: nothing of *batch* was taken.

        Upcall: write, when so_snd is low again after it was high.
        """

    def takelosses() -> dict[int, int]:
        """
        Tell how many datagrams were lost since the last call, by errno.

        What the peer refused after it had left is in ``senderrors`` alone.
        """

    def sndspace() -> int:
        """Return the bytes that fit under so_snd's high-water mark; or below 0."""


class IUserRequests(Interface):
    """
    What a socket asks of its driver, BSD's ``pru_*``.

    The driver moves bytes and holds no rule of state: the socket has decided
    before it asks.  Addresses are checked; local ones are bytes, in full.
    ``detach`` and ``abort`` may follow each other, and must then do nothing.
    ``so.full`` tells a listener that no more connections may wait, and
    ``so.truncated`` counts what was too long.
    What happens it tells the socket by ``sbappend``, ``sbappendbatch``,
    ``sowwakeup``, ``sospace``, ``soerror``, ``sosenderror``, ``sonewconn``,
    ``soisconnected``, ``socantrcvmore`` and ``soisdisconnected``, and drains the upcalls at the
    end of each turn the reactor gives it.
    """

    def attach(so: Any) -> None:
        """Belong to *so*; called once, before anything else."""

    def bind(to: Any) -> None:
        """Bind to *to*; OSError as bind(2)."""

    def listen(backlog: int) -> None:
        """Listen, and tell of a connection by ``so.sonewconn(driver, name)``."""

    def accept() -> bool:
        """Take one connection now: ``so.sonewconn``; return whether there was one."""

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

    def sendmsg(
        pieces: Sequence[bytes | memoryview], flags: int, to: Any, control: list[Any]
    ) -> int:
        """
        Send *pieces* in one system call, with all that sendmsg(2) can have.

        Args:
            pieces: The bytes; of a datagram socket one datagram.
            flags: MSG_OOB, MSG_DONTROUTE and the like; the host's.
            to: The address, checked, or None.
            control: (level, type, bytes) of each control message.

        Returns:
            The bytes taken.

        Raises:
            OSError: EWOULDBLOCK, not now: ``so.sowwakeup()`` (a stream's) or
                ``so.sospace()`` follows.  EOPNOTSUPP, not by this driver.
                Else as sendmsg(2).  On a stream it is over, and ``so`` told.
        """

    def recvoob(peek: bool) -> bytes:
        """
        Return the urgent byte, and see to it that none is lost from now on.

        Args:
            peek: Whether it stays.

        Raises:
            OSError: EINVAL, there is none.  EWOULDBLOCK, announced but not
                here yet.  EOPNOTSUPP, not by this driver.
        """

    def adopted() -> int:
        """
        Take over a host's socket that was somebody else's, in whatever state.

        Returns:
            SS_ISCONNECTED, with SS_CANTSENDMORE or SS_CANTRCVMORE if a
            direction has ended; SS_ISCONNECTING; or 0.
        """

    def ioctl(request: int, arg: bytes) -> bytes:
        """Do ioctl(2) with the bytes of a structure, and return them changed."""

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
