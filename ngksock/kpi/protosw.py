"""Which driver serves a domain, a type and a protocol: the switch.

What the table does not name is the host's to decide, so a protocol it has and
we never heard of works as the type says.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ngksock.errors import oserror
from ngksock.kpi.dgram import DgramDriver
from ngksock.kpi.seqpacket import SeqpacketDriver
from ngksock.kpi.stream import StreamDriver
from ngksock.kpi.tls import TLSDriver
from ngksock.kpi.tlsopt import IPPROTO_TLS

if TYPE_CHECKING:
    from ngksock._ikpi import IUserRequests
    from ngksock.kpi.provider import SocketKPI

__all__ = ["IPPROTO_TCP", "IPPROTO_TLS", "IPPROTO_UDP", "Protosw", "pffindproto"]

IPPROTO_TCP: Final = int(socket.IPPROTO_TCP)
IPPROTO_UDP: Final = int(socket.IPPROTO_UDP)


def _datagrams(kpi: SocketKPI, sock: socket.socket) -> IUserRequests:
    """Make the driver of datagrams: the quick one, if it is here and may."""
    if kpi.mmsg != "off":
        try:
            from ngksock.kpi.mmsg import MmsgDriver, usable
        except ImportError:
            return DgramDriver(kpi, sock)  # a guest that did not come
        if usable():
            return MmsgDriver(kpi, sock)
    return DgramDriver(kpi, sock)


_DRIVERS: Final[dict[int, Callable[..., IUserRequests]]] = {
    socket.SOCK_STREAM: StreamDriver,
    socket.SOCK_SEQPACKET: SeqpacketDriver,
    socket.SOCK_DGRAM: _datagrams,
    socket.SOCK_RAW: DgramDriver,
}

_DEFAULT: Final = {
    (int(socket.AF_INET), int(socket.SOCK_STREAM)): IPPROTO_TCP,
    (int(socket.AF_INET6), int(socket.SOCK_STREAM)): IPPROTO_TCP,
    (int(socket.AF_INET), int(socket.SOCK_DGRAM)): IPPROTO_UDP,
    (int(socket.AF_INET6), int(socket.SOCK_DGRAM)): IPPROTO_UDP,
}

_TYPE_OF: Final = {
    IPPROTO_TCP: int(socket.SOCK_STREAM),
    IPPROTO_TLS: int(socket.SOCK_STREAM),
    IPPROTO_UDP: int(socket.SOCK_DGRAM),
    int(socket.IPPROTO_ICMP): int(socket.SOCK_RAW),
    int(socket.IPPROTO_ICMPV6): int(socket.SOCK_RAW),
}

_LOCAL_TLS: Final = (IPPROTO_TLS, int(socket.SOCK_STREAM))

NONBLOCK: Final = int(getattr(socket, "SOCK_NONBLOCK", 0))
"""Makes a socket that never waits, where it can be said at once."""

INT_MAX: Final = 0x7FFFFFFF

DOMAINS: Final = frozenset({int(socket.AF_INET), int(socket.AF_INET6), int(socket.AF_UNIX)})


class Protosw(NamedTuple):
    """
    One row of the switch.

    Args:
        domain: AF_INET, AF_INET6 or AF_UNIX.
        type: SOCK_STREAM, SOCK_DGRAM, SOCK_RAW or SOCK_SEQPACKET.
        protocol: The protocol, resolved: 6 for a TCP socket asked for by 0.
            IPPROTO_TLS is ours; the host's socket below it is a plain stream.
        connrequired: Whether data needs a connection first.
        driver: Makes the driver of a host's socket.
    """

    domain: int
    type: int
    protocol: int
    connrequired: bool
    driver: Callable[..., Any]

    @property
    def stream(self) -> bool:
        """Whether it carries bytes without boundaries."""
        return self.type == socket.SOCK_STREAM

    @property
    def atomic(self) -> bool:
        """Whether each send is one record: PR_ATOMIC."""
        return self.type != socket.SOCK_STREAM

    @property
    def is_tcp(self) -> bool:
        """Whether TCP carries it, and TCP's rules hold: TLS over inet, too."""
        return self.protocol == IPPROTO_TCP or (
            self.protocol == IPPROTO_TLS and self.domain != socket.AF_UNIX
        )

    @property
    def is_tls(self) -> bool:
        """Whether TLS is between the socket and the host's."""
        return self.protocol == IPPROTO_TLS

    @property
    def has_urgent(self) -> bool:
        """Whether it has urgent data."""
        return self.stream and not self.is_tls

    def open(self) -> socket.socket:
        """
        Return a new socket of the host's.

        Raises:
            OSError: EPERM, raw sockets are for the privileged.
                EPROTONOSUPPORT, the host has no such protocol.  EMFILE,
                ENFILE, ENOBUFS or ENOMEM, there is no room for one.
        """
        protocol = 0 if self.protocol == IPPROTO_TLS else self.protocol
        try:
            return socket.socket(self.domain, self.type | NONBLOCK, protocol)
        except PermissionError as error:
            if self.type != socket.SOCK_RAW:
                raise
            raise oserror(
                error.errno or errno.EPERM,
                "a raw socket needs the privilege CAP_NET_RAW",
            ) from None
        except OSError as error:
            if error.errno in (errno.ESOCKTNOSUPPORT, errno.EPROTOTYPE):
                raise oserror(errno.EPROTONOSUPPORT) from None
            raise


@cache  # so that a thousand sockets share one row
def pffindproto(domain: int, type: int, protocol: int) -> Protosw:
    """
    Return the row for *domain*, *type* and *protocol* (0: the usual one).

    Raises:
        OSError: EAFNOSUPPORT, unknown domain.  EPROTOTYPE, the protocol is
            of another type.  EPROTONOSUPPORT, unknown type or protocol.
    """
    if not all(isinstance(number, int) for number in (domain, type, protocol)):
        raise oserror(errno.EINVAL, "domain, type and protocol are numbers")
    if domain not in DOMAINS:
        raise oserror(errno.EAFNOSUPPORT)
    if type not in _DRIVERS or not 0 <= protocol <= INT_MAX:
        raise oserror(errno.EPROTONOSUPPORT)
    if domain == socket.AF_UNIX:
        if type == socket.SOCK_RAW or (protocol and (protocol, type) != _LOCAL_TLS):
            raise oserror(errno.EPROTONOSUPPORT)
    elif type != socket.SOCK_RAW:
        if _TYPE_OF.get(protocol, type) != type:
            raise oserror(errno.EPROTOTYPE)
        protocol = protocol or _DEFAULT.get((domain, type), 0)
        if not protocol:  # inet seqpacket: only if a protocol is named
            raise oserror(errno.EPROTONOSUPPORT)
    return Protosw(
        domain,
        type,
        protocol,
        type in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET),
        TLSDriver if protocol == IPPROTO_TLS else _DRIVERS[type],
    )
