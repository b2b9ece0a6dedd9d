"""Certificates that change on disk: looked at while somebody serves them.

One timer for all listeners of a `SocketKPI`, and none without listeners.
Sockets that connect look when they do, and share contexts: to read the
system's certificates takes longer than a handshake.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ngksock.kpi.tlsconfig import TLSConfig
from ngksock.kpi.tlsctx import ClientContext, ServerContexts, log, seen

if TYPE_CHECKING:
    from ngksock.kpi.provider import SocketKPI

__all__ = ["SECONDS", "Certificates", "Served", "certificates"]

SECONDS: Final = 2.0
"""The time between two looks."""

CLIENTS: Final = 64
"""So many configurations of connecting sockets are kept."""

_OF: Final[WeakKeyDictionary[SocketKPI, Certificates]] = WeakKeyDictionary()


class Served:
    """
    What one listener serves with.

    Args:
        config: Its configuration.

    ``contexts`` is swapped whole when a file has changed.

    Raises:
        OSError: As `ServerContexts`.
    """

    def __init__(self, config: TLSConfig) -> None:
        self.contexts = ServerContexts(config)
        self._seen = self.contexts.stamps

    def look(self) -> None:
        """Load again what has changed."""
        old = self.contexts
        now = seen(old.config)
        if now != self._seen or old.again:
            self._seen = now  # whatever comes of it: what fails is not tried for ever
            self.contexts = ServerContexts(old.config, old)
            if self.contexts.fresh:
                log.info("certificates were loaded again: {path}", path=_where(old.config))


class Certificates:
    """
    The certificates of one `SocketKPI`.

    Args:
        clock: Where the timer runs.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._served: list[Served] = []
        self._clients: OrderedDict[TLSConfig, ClientContext] = OrderedDict()
        self._call: IDelayedCall | None = None

    def serve(self, config: TLSConfig) -> Served:
        """
        Load what a listener needs, and look after it until `discard`.

        Raises:
            OSError: As `TLSConfig.load`.
        """
        config.check_listen()
        served = Served(config)
        self._served.append(served)
        if self._call is None:
            self._call = self._clock.callLater(SECONDS, self._look)
        return served

    def discard(self, served: Served) -> None:
        """The listener is closed."""
        self._served.remove(served)
        if not self._served and self._call is not None:
            self._call.cancel()
            self._call = None

    def client(self, config: TLSConfig) -> ClientContext:
        """
        Return the context to connect with, of the files as they are now.

        Raises:
            OSError: As `TLSConfig.load`.
        """
        config.check_connect()
        key = replace(config, servername="", timeout=1.0, certdir="")
        known = self._clients.get(key)
        if known is None or known.again or seen(key) != known.stamps:
            known = self._clients[key] = ClientContext(key, known)
        self._clients.move_to_end(key)
        if len(self._clients) > CLIENTS:
            self._clients.popitem(last=False)
        return known

    def _look(self) -> None:
        self._call = self._clock.callLater(SECONDS, self._look)
        for served in self._served:
            try:
                served.look()
            except Exception:
                log.failure("certificates could not be loaded again")


def certificates(kpi: SocketKPI) -> Certificates:
    """Return the certificates of *kpi*."""
    found = _OF.get(kpi)
    if found is None:
        found = _OF[kpi] = Certificates(kpi.clock)
    return found


def _where(config: TLSConfig) -> str:
    return ", ".join(filter(None, (config.cert, config.certdir)))
