"""Where sockets come from, and what all of them share."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFDSet, IReactorTime
from zope.interface import implementer

from ngksock._ikpi import ISocketKPIProvider, IUserRequests
from ngksock.kpi.callbacks import Upcall
from ngksock.kpi.constants import DGRAM_SLOT
from ngksock.kpi.local import Paths
from ngksock.kpi.lower import LowerSocket
from ngksock.kpi.protosw import Protosw, pffindproto
from ngksock.kpi.sockaddr import SockAddr, path_bytes, path_text
from ngksock.kpi.socket import Socket
from ngksock.kpi.upcall import Upcalls
from ngksock.kpi.watch import Watch

__all__ = ["SocketKPI"]


@implementer(ISocketKPIProvider)
class SocketKPI:
    """
    The socket layer of one reactor.

    Args:
        reactor: Provides IReactorFDSet, and IReactorTime unless *clock* does.
        clock: Where delayed calls run; the reactor if None.
        directory: What relative paths of local sockets are relative to, also
            when the process has gone elsewhere; None: where it is now.
    """

    def __init__(
        self, reactor: Any, clock: IReactorTime | None = None, directory: str | None = None
    ) -> None:
        self.reactor: IReactorFDSet = reactor
        self.clock: IReactorTime = reactor if clock is None else clock
        self.upcalls = Upcalls(self.clock)
        self.watch = Watch(self.clock)
        self.paths = Paths(os.fsencode(os.getcwd() if directory is None else directory))
        # One slot is enough: each datagram is copied out before the next.
        # The byte beyond the longest one tells a longer one.
        self.slot = memoryview(bytearray(DGRAM_SLOT + 1))
        self._sockets: set[LowerSocket] = set()
        self.flushing: set[LowerSocket] = set()
        self._drained: list[Deferred[None]] = []

    def socket(
        self,
        domain: int,
        type: int,
        protocol: int = 0,
        callback: Upcall | None = None,
        cookie: Any = None,
    ) -> Socket:
        proto = pffindproto(domain, type, protocol)
        so = self.newconn(proto, proto.driver(self, proto.open()))
        so.setupcall(callback, cookie)
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
            so.abort()  # and a listener takes along what waits in it

    def newconn(self, proto: Protosw, driver: IUserRequests) -> Socket:
        """Make the socket above *driver*, and keep it in mind until `forget`."""
        so = Socket(self, proto, driver)
        self._sockets.add(so)
        return so

    def forget(self, so: LowerSocket) -> None:
        """The descriptor of *so* is closed."""
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
