"""Bytes in and out of a socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zope.interface import Interface

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

__all__ = ["ISocketData"]


class ISocketData(Interface):
    """
    The calls of the KPI that move data (kpi-socket.md §6.17 to §6.23).

    *msg* is an `ngksock.kpi.MsgHdr`.  In blocking mode each returns a
    Deferred, also of what it would return at once, and never raises.  To
    cancel it is EINTR, unless there is progress to tell of: then the result.
    Waits are served in order, and before the upcall of their side.
    """

    def receive(msg: Any, flags: int = 0) -> int | Deferred[int]:
        """
        Receive into the buffers of ``msg.iov``.

        Sets ``msg.name`` (datagrams: the sender), ``msg.control`` and
        ``msg.flags`` (MSG_TRUNC, MSG_RCVMORE, MSG_HAVEMORE, MSG_CTRUNC).

        Args:
            msg: Its iov: writable buffers, the first not empty.
            flags: MSG_PEEK, MSG_WAITALL, MSG_DONTWAIT, MSG_OOB.

        Returns:
            How many bytes; 0 is the end of file, as often as asked, or an
            empty datagram.

        Raises:
            OSError: EINVAL, no buffers; MSG_OOB and there is no urgent byte.
                EWOULDBLOCK, nothing (or less than SO_RCVLOWAT) is here, or
                SO_RCVTIMEO is over.  ENOTCONN, a stream that was never
                connected, or a defunct socket.  Else the error slot.

        Upcall: none.
        """

    def receivembuf(
        recvlen: int, msg: Any = None, flags: int = 0
    ) -> tuple[Any, int] | Deferred[tuple[Any, int]]:
        """
        Receive as a chain of mbufs, without copying.

        Args:
            recvlen: At most so many bytes; no memory is taken for them.
            msg: For name, control and flags, as in `receive`; without iov.
            flags: As in `receive`; with MSG_PEEK the data is given, too.

        Returns:
            The chain, the caller's to free, and its length; ``(None, 0)`` is
            the end of file.

        Raises:
            OSError: EINVAL, *recvlen* below 1, or *msg* with iov; else as
                `receive`.
        """

    def receive_internal(
        msg: Any, want_mbuf: bool, flags: int, recvlen: int
    ) -> tuple[Any, int] | Deferred[tuple[Any, int]]:
        """
        Receive either way: what `receive` and `receivembuf` have in common.

        Args:
            msg: Buffers, name, control and flags, or None.
            want_mbuf: Whether to return a chain; else into ``msg.iov``.
            flags: As in `receive`.
            recvlen: At most so many bytes; with buffers, their size counts.

        Returns:
            The chain or None, and how many bytes.
        """

    def send(msg: Any, flags: int = 0) -> int | Deferred[int]:
        """
        Send the buffers of ``msg.iov``.

        Args:
            msg: Its iov, at least one buffer, which may be empty; its name
                (unconnected datagrams: where to); its control, a list of
                (level, type, bytes).
            flags: MSG_DONTWAIT, MSG_OOB, MSG_DONTROUTE, MSG_EOF (half-close
                after the last byte).

        Returns:
            How many bytes were taken; all of them in blocking mode, unless
            it was cancelled or SO_SNDTIMEO was over after some.  Until then
            the buffers must not change.

        Raises:
            OSError: EINVAL, no buffers, MSG_EOR on a stream, control that is
                no such list or too long.  EOPNOTSUPP, MSG_OOB and no stream.
                EPIPE, the sending side has ended.  ENOTCONN, a stream that is
                not connected.  EDESTADDRREQ, an unconnected datagram without
                a name.  EISCONN, a connected one with a name.  EMSGSIZE, a
                datagram longer than SO_SNDBUF or the protocol's limit.
                EWOULDBLOCK, no space, or SO_SNDTIMEO is over.  Else the
                error slot.

        Upcall: write, when so_snd is low again after it was full.
        """

    def sendmbuf(data: Any, msg: Any = None, flags: int = 0) -> int | Deferred[int]:
        """
        Send a chain of mbufs, whole or not at all, on a stream as well.

        The chain is consumed: it is freed even if this raises.

        Args:
            data: The chain; its packet header has its right length.
            msg: For name and control; without iov.
            flags: As in `send`.

        Returns:
            The whole length.

        Raises:
            OSError: EINVAL, no chain, no packet header, a wrong length in
                it, or *msg* with iov.  EMSGSIZE, longer than SO_SNDBUF.
                Else as `send`.
        """
