"""Socket filters: who looks at new sockets and at connections (kpi-socket.md §9).

As much of XNU's as ``getlistener`` and ``accept`` need.  A filter is attached
to each new socket of the protocol it was registered for: at creation, or when
a connection enters its listener's queue.  The newest filter is asked first.
To unregister stops new attachments; those that are stay until their socket is
closed.
"""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from twisted.logger import Logger

from ngksock.errors import oserror
from ngksock.kpi.constants import EJUSTRETURN, SS_LOCKED, SS_NOFDREF
from ngksock.kpi.protosw import pffindproto

if TYPE_CHECKING:
    from ngksock.kpi.callbacks import Callbacks
    from ngksock.kpi.socket import Socket

__all__ = ["Filters"]

_log: Final = Logger(namespace="ngksock.kpi")

_DOMAINS: Final = (socket.AF_INET, socket.AF_INET6)
_CALLS: Final = ("sf_attach", "sf_accept", "sf_detach")


class _Registered(NamedTuple):
    filter: Any
    kind: tuple[int, int, int]


class Filters:
    """
    The filters of one `SocketKPI`, and which sockets they are attached to.

    ``active`` says whether there is any; as long as there is not, nobody need
    call anything else of this.
    """

    __slots__ = ("_attached", "_registered", "active")

    def __init__(self) -> None:
        self._registered: list[_Registered] = []  # the newest first
        self._attached: dict[Callbacks, list[tuple[Any, Any]]] = {}
        self.active = False

    # -- for the owners of filters

    def register(self, filter: Any, domain: int, type: int, protocol: int = 0) -> None:
        """
        Attach *filter* to all sockets of a protocol made from now on.

        Args:
            filter: Provides ISocketFilter.
            domain: AF_INET or AF_INET6.
            type: As of `SocketKPI.socket`.
            protocol: As of `SocketKPI.socket`; 0 for the usual one.

        Raises:
            OSError: EINVAL, another domain, not numbers, or not a filter.
                EEXIST, *filter* is registered.  EPROTOTYPE,
                EPROTONOSUPPORT, there is no such protocol.
        """
        if not all(isinstance(number, int) for number in (domain, type, protocol)):
            raise oserror(errno.EINVAL, "domain, type and protocol are numbers")
        if domain not in _DOMAINS:
            raise oserror(errno.EINVAL, "filters are for AF_INET and AF_INET6 alone")
        for name in _CALLS:
            if not callable(getattr(filter, name, None)):
                raise oserror(errno.EINVAL, f"{filter!r} has no {name}")
        if any(one.filter is filter for one in self._registered):
            raise oserror(errno.EEXIST, f"{filter!r} is registered")
        kind = pffindproto(domain, type, protocol)[:3]
        self._registered.insert(0, _Registered(filter, kind))
        self.active = True

    def unregister(self, filter: Any) -> None:
        """
        Attach *filter* to no further socket; where it is attached it stays.

        Raises:
            OSError: ENOENT, it is not registered.
        """
        for one in self._registered:
            if one.filter is filter:
                self._registered.remove(one)
                self._settle()
                return
        raise oserror(errno.ENOENT, f"{filter!r} is not registered")

    # -- for the sockets

    def attach(self, so: Socket) -> None:
        """
        Ask every filter that *so* is of interest to; its listener is locked meanwhile.

        A filter may close *so*: nobody will accept it then.
        """
        kind = so.proto[:3]
        head = so.so_head
        for one in list(self._registered):
            if one.kind != kind or so.state & SS_NOFDREF:
                continue
            if head is not None:
                head.state |= SS_LOCKED
            try:
                cookie = one.filter.sf_attach(so)
            except OSError:
                continue  # it does not want this one
            except Exception:
                _log.failure("sf_attach of {filter} failed for {so}", filter=one.filter, so=so)
                continue
            finally:
                if head is not None:
                    head.state &= ~SS_LOCKED
            self._attached.setdefault(so, []).append((one.filter, cookie))
        if so.state & SS_NOFDREF:  # closed by a filter
            self.detach(so)
            if head is not None and head.so_comp is not None and so in head.so_comp:
                head.so_comp.remove(so)

    def accept(self, listener: Any, so: Callbacks, local: Any, remote: Any) -> int | None:
        """
        Ask the filters attached to *so* whether *listener* may accept it.

        Returns:
            None, or EJUSTRETURN: as a defunct socket.

        Raises:
            OSError: What a filter said: *so* is to be closed.
        """
        for filter, cookie in list(self._attached.get(so, ())):
            try:
                verdict = filter.sf_accept(cookie, listener, so, local, remote)
            except OSError as error:
                raise oserror(error.errno or errno.EPERM, error.strerror) from error
            except Exception:
                _log.failure("sf_accept of {filter} failed for {so}", filter=filter, so=so)
                raise oserror(errno.EPERM, "the filter failed") from None
            if verdict == EJUSTRETURN:
                return EJUSTRETURN
            if verdict is not None:
                _log.error("sf_accept of {filter} said {said!r}", filter=filter, said=verdict)
                raise oserror(errno.EPERM, "the filter said neither None nor EJUSTRETURN")
        return None

    def detach(self, so: Callbacks) -> None:
        """Tell the filters attached to *so* that it is closed."""
        for filter, cookie in self._attached.pop(so, ()):
            try:
                filter.sf_detach(cookie, so)
            except Exception:
                _log.failure("sf_detach of {filter} failed for {so}", filter=filter, so=so)
        self._settle()

    def _settle(self) -> None:
        self.active = bool(self._registered or self._attached)
