"""Options, controls and privileges of a socket."""

from __future__ import annotations

from typing import Any

from zope.interface import Interface

__all__ = ["ISocketOptions"]


class ISocketOptions(Interface):
    """
    The calls of the KPI that tune a socket.  None of them waits.

    Numbers of levels and options are the host's; level 0xffff means
    FreeBSD's numbers and values.  Options that only Darwin has carry Darwin's
    numbers (0x1020 and up).
    """

    def getsockopt(level: int, optname: int, optlen: int | None = None) -> Any:
        """
        Return an option.

        Args:
            level: SOL_SOCKET or a protocol; 0xffff for FreeBSD's numbers.
            optname: Which.  SO_ERROR reads the error slot and clears it.
            optlen: How many bytes of it to return, or None for an int
                (bytes all the same where the option is a structure).

        Returns:
            int or bytes.

        Raises:
            OSError: ENOPROTOOPT, there is no such option.
        """

    def setsockopt(level: int, optname: int, optval: int | bytes | tuple[int, int]) -> None:
        """
        Set an option.

        SO_RCVTIMEO and SO_SNDTIMEO limit the waits of receive and send, and
        of nothing else; expiry is EWOULDBLOCK.

        Args:
            level: SOL_SOCKET or a protocol; 0xffff for FreeBSD's numbers.
            optname: Which.
            optval: An int, the bytes of the structure (more are ignored), or
                of a timeout (seconds, microseconds).

        Raises:
            OSError: EINVAL, too few bytes, a size below 1, a traffic class
                that does not exist, or both directions are shut down and
                SO_NP_EXTENSIONS does not allow it.  EDOM, a time out of
                range.  ENOPROTOOPT, no such option, or one to read only.
                EBADF, SO_DEFUNCTOK of a defunct socket.  EPERM.
        """

    def ioctl(request: int, arg: Any = None) -> Any:
        """
        Do what *request* says; the host's and Darwin's numbers both.

        Args:
            request: FIONBIO (sets SS_NBIO and never touches the descriptor),
                FIOASYNC (a bit, no more: there are no signals), FIONREAD,
                SIOCATMARK, SIOCSPGRP, SIOCGPGRP; else handed to the host.
            arg: An int, or the bytes of the structure the host wants.

        Returns:
            An int for FIONREAD, SIOCATMARK and SIOCGPGRP; None or bytes else.

        Raises:
            OSError: EOPNOTSUPP, the host has no such request.  EINVAL, not an
                argument of it.
        """

    def settclassopt(value: int) -> None:
        """
        Set the traffic class by a whole TOS byte.

        The six upper bits choose SO_TRAFFIC_CLASS; packets are marked with
        the byte if the destination is local (loopback or link-local), as
        XNU does it, whatever its header says (kpi-socket.md §13).

        Args:
            value: 0..255.

        Raises:
            OSError: EINVAL, not an int, or a family without such a byte.
                ENOTCONN, not connected.
        """

    def gettclassopt() -> int:
        """Return IP_TOS or IPV6_TCLASS; EINVAL of other families."""

    def set_traffic_mgt_flags(flags: int) -> None:
        """
        Set traffic management bits: SO_BACKGROUND 1, TCP_RECVBG 2.

        In background, packets carry DSCP CS1 and SO_PRIORITY 1 whatever the
        traffic class says; RECVBG clamps the receive window.  Other bits are
        ignored.  The option SO_TRAFFIC_MGT, of our own, tells the bits.
        """

    def clear_traffic_mgt_flags(flags: int) -> None:
        """Clear traffic management bits; what they changed is restored."""

    def set_traffic_mgt_flags_locked(flags: int) -> None:
        """As `set_traffic_mgt_flags`: there is no lock to hold."""

    def clear_traffic_mgt_flags_locked(flags: int) -> None:
        """As `clear_traffic_mgt_flags`: there is no lock to hold."""

    def setpriv(on: bool) -> None:
        """
        Set or clear SS_PRIV; at first it says whether the user is root.

        It grants nothing, for that is the system's to do.  Cleared, it takes
        away: ports below 1024 are EACCES.
        """

    def nointerrupt(on: bool) -> None:
        """Shield the waits of receive and send from being cancelled, or no longer."""
