"""The queue every upcall and event waits in before it runs.

A callback never runs inside a call of its owner's.  What a driver's doRead or
doWrite brings is told at the end of it; what arises inside a call of the KPI
waits for the next turn of the reactor, for which all sockets share one
delayed call.  Nothing here is ever re-entered.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

if TYPE_CHECKING:
    from ngksock.kpi.callbacks import Callbacks

__all__ = ["Upcalls"]

_log = Logger(namespace="ngksock.kpi")


class Upcalls:
    """
    One queue for the sockets of one `SocketKPI`.

    Args:
        clock: Gives the next turn, by ``callLater(0)``.

    ``serial`` numbers what is posted, so that a socket can tell the newest
    of its upcalls from one that it has posted again behind an event.
    """

    __slots__ = ("_call", "_clock", "_held", "_queue", "_running", "serial")

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._queue: deque[tuple[Callbacks, int, Any]] = deque()
        self._call: IDelayedCall | None = None
        self._held = False
        self._running = False
        self.serial = 0

    def post(self, so: Callbacks, what: int, data: Any) -> None:
        """Queue a callback of *so*; see `Callbacks.deliver` for *what* and *data*."""
        self._queue.append((so, what, data))
        # A driver's turn and a drain see to the queue when they end.
        if not self._held and not self._running:
            self._next_turn()

    def hold(self) -> None:
        """Begin a driver's turn: the drain at the end of it is certain."""
        self._held = True

    def drain(self) -> None:
        """Run what is queued now; what this queues waits for the next turn."""
        self._held = False
        queue = self._queue
        if not queue or self._running:
            return
        self._running = True
        try:
            for _ in range(len(queue)):
                so, what, data = queue.popleft()
                try:
                    so.deliver(what, data)
                except Exception:
                    _log.failure("an upcall of {so} failed", so=so)
        finally:
            self._running = False
        if queue:
            self._next_turn()
        elif self._call is not None:
            self._call.cancel()
            self._call = None

    def _next_turn(self) -> None:
        if self._call is None:
            self._call = self._clock.callLater(0, self._turn)

    def _turn(self) -> None:
        self._call = None
        self.drain()
