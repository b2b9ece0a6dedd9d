"""Where sockets come from, and what all of them share."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFDSet, IReactorTime
from zope.interface import implementer

from ngksock._ikpi import ISocketKPIProvider, IUserRequests
from ngksock._ikpi_events import SockUpcall
from ngksock.errors import oserror
from ngksock.kpi.callbacks import check_callable
from ngksock.kpi.constants import DGRAM_SLOT, SS_PRIV
from ngksock.kpi.filter import Filters
from ngksock.kpi.local import Paths
from ngksock.kpi.lower import LowerSocket
from ngksock.kpi.protosw import Protosw, pffindproto
from ngksock.kpi.sockaddr import SockAddr, path_bytes, path_text
from ngksock.kpi.socket import Socket
from ngksock.kpi.tlsrecord import Records
from ngksock.kpi.upcall import Upcalls
from ngksock.kpi.watch import Watch
from ngksock.kpi.ways import chosen

if TYPE_CHECKING:
    from OpenSSL import SSL

    from ngksock.kpi.relay import Relays

__all__ = ["SocketKPI"]


Drivers = Callable[["SocketKPI", Protosw], IUserRequests]


def _open(kpi: SocketKPI, proto: Protosw) -> IUserRequests:
    driver: IUserRequests = proto.driver(kpi, proto.open())
    return driver


def _relays(how: str | None) -> Relays | None:
    try:
        from ngksock.kpi.relay import Relays
    except ImportError:  # a guest that did not come
        return None
    return Relays(how)


def _records(how: str | None, slot: memoryview) -> Callable[[SSL.Connection], Records]:
    if chosen(how, "NGKSOCK_TLS", ("off", "direct")) == "off":
        return Records
    try:
        from ngksock.kpi.tlsdirect import USABLE, DirectRecords
    except ImportError:  # a guest that did not come
        return Records
    return partial(DirectRecords, slot=slot) if USABLE else Records


@implementer(ISocketKPIProvider)
class SocketKPI:
    """
    The socket layer of one reactor.

    Args:
        reactor: Provides IReactorFDSet, and IReactorTime unless *clock* does.
        clock: Where delayed calls run; the reactor if None.
        directory: What relative paths of local sockets are relative to, also
            when the process has gone elsewhere; None: where it is now.
        strict_xnu: Where XNU's header and its implementation disagree, do as
            the implementation does (kpi-socket.md §13).
        marks_dscp: Whether a traffic class marks packets with its DSCP
            (XNU does so only where policy allows; kpi-socket.md §10).
        drivers: Makes the driver of a new socket, given this and its row of
            the protocol switch; None: one of the host's sockets.
        relay: How facing streams may be fused: "off", "fuse" or "splice";
            None: as the environment's NGKSOCK_RELAY says, or "splice".
        mmsg: How datagrams come and go: "off", each with a system call of its
            own, "mmsg", by the batch, or "segments", and runs of equal ones as
            one; None: as the environment's NGKSOCK_MMSG says, or "segments".
        tls: How TLS is spoken: "off", by pyOpenSSL, or "direct", by OpenSSL's
            functions below it; None: as the environment's NGKSOCK_TLS says, or
            "direct" where that is possible.

    ``relays`` fuses them, or is None where there is no such thing.
    """

    def __init__(
        self,
        reactor: Any,
        clock: IReactorTime | None = None,
        directory: str | None = None,
        *,
        strict_xnu: bool = False,
        marks_dscp: bool = True,
        drivers: Drivers | None = None,
        relay: str | None = None,
        mmsg: str | None = None,
        tls: str | None = None,
    ) -> None:
        self.strict_xnu = strict_xnu
        self.marks_dscp = marks_dscp
        self.reactor: IReactorFDSet = reactor
        self.clock: IReactorTime = reactor if clock is None else clock
        self._drivers = _open if drivers is None else drivers
        self.upcalls = Upcalls(self.clock)
        self.watch = Watch(self.clock)
        self.filters = Filters()
        self.relays = _relays(relay)
        self.mmsg = chosen(mmsg, "NGKSOCK_MMSG", ("off", "mmsg", "segments"))
        self.paths = Paths(os.fsencode(os.getcwd() if directory is None else directory))
        # One slot is enough: each datagram is copied out before the next.
        # The byte beyond the longest one tells a longer one.
        self.slot = memoryview(bytearray(DGRAM_SLOT + 1))
        self.records = _records(tls, self.slot)
        self._sockets: set[LowerSocket] = set()
        self.flushing: set[LowerSocket] = set()
        self._drained: list[Deferred[None]] = []

    def socket(
        self,
        domain: int,
        type: int,
        protocol: int = 0,
        callback: SockUpcall | None = None,
        cookie: Any = None,
    ) -> Socket:
        proto = pffindproto(domain, type, protocol)
        if callback is not None:
            check_callable(callback)  # before there is anything to close
        so = self._new(proto, self._drivers(self, proto), callback, cookie)
        return so

    def adopt(self, sock: Any) -> Socket:
        if self._drivers is not _open:
            raise oserror(errno.EOPNOTSUPP, "these sockets are not the host's")
        if not isinstance(sock, socket.socket) or sock.fileno() < 0:
            raise oserror(errno.EBADF, "an open socket.socket is needed")
        proto = pffindproto(int(sock.family), int(sock.type), sock.proto)
        ours = socket.socket(sock.family, sock.type, sock.proto, fileno=sock.detach())
        so = self._new(proto, proto.driver(self, ours))
        so.adopted()
        return so

    def _new(
        self,
        proto: Protosw,
        driver: IUserRequests,
        callback: SockUpcall | None = None,
        cookie: Any = None,
    ) -> Socket:
        """Make a socket that no listener made."""
        so = self.newconn(proto, driver)
        if os.geteuid() == 0:
            so.state |= SS_PRIV
        if callback is not None or cookie is not None:
            so.setupcall(callback, cookie)
        if self.filters.active:
            self.filters.attach(so)
        return so

    def absolute(self, path: SockAddr) -> str:
        return path_text(self.paths.absolute(path_bytes(path)))

    def drain(self) -> Deferred[None]:
        done: Deferred[None] = Deferred(self._drained.remove)
        self._drained.append(done)
        self._tell_drained()
        return done

    def closeall(self) -> None:
        for so in [so for so in self._sockets if so.so_head is None]:
            if so in self._sockets:  # else a callback of another one's has closed it
                so.abort()  # and a listener takes along what waits in it

    def newconn(self, proto: Protosw, driver: IUserRequests) -> Socket:
        """Make the socket above *driver*, and keep it in mind until `forget`."""
        so = Socket(self, proto, driver)
        self._sockets.add(so)
        return so

    def forget(self, so: LowerSocket) -> None:
        """The descriptor of *so* is closed."""
        if self.filters.active:
            self.filters.detach(so)
        self._sockets.discard(so)
        self.flushing.discard(so)
        if self._drained:
            self._tell_drained()

    def _tell_drained(self) -> None:
        if self.flushing:
            return
        waiting, self._drained = self._drained, []
        for done in waiting:
            done.callback(None)
