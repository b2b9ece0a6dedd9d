"""What a socket is called, and what it is."""

from __future__ import annotations

from typing import Any

from zope.interface import Interface

__all__ = ["ISocketNames"]


class ISocketNames(Interface):
    """
    The calls of the KPI that tell addresses and states.

    None of them waits, in either mode.
    """

    def getsockname() -> Any:
        """Return the local address; the wildcard and port 0 when unbound."""

    def getpeername() -> Any:
        """
        Return the peer's address.

        Raises:
            OSError: ENOTCONN, not connected (yet, or any more).
        """

    def getaddr(peer: bool = False) -> Any:
        """
        Return the local address, or the *peer*'s.

        Unlike `getpeername` this does not ask for a connection: without one
        the peer's address is the wildcard (or "").  In XNU it is allocated,
        to be given back by `freeaddr`.
        """

    def freeaddr(address: Any) -> None:
        """Give back what `getaddr` returned: nothing to do in Python; None is fine."""

    def gettype() -> tuple[int, int, int]:
        """Return domain, type and protocol, the latter resolved: 6 for TCP."""

    def isconnected() -> bool:
        """Say whether the socket is connected; True while half closed."""

    def isnonblocking() -> bool:
        """Return the SS_NBIO bit, which ``ioctl(FIONBIO)`` sets."""

    def iskernel() -> bool:
        """Say whether the KPI made the socket (or its listener); not so if it was adopted."""
