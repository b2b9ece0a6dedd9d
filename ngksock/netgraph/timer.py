"""Timer and Schedule: a node's ways to do something later."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ngksock.netgraph.node import Node

__all__ = ["TICK", "Schedule", "Timer"]

TICK: Final = 0.0005
"""A `Schedule` does what is due at most once in so many seconds: then it is several things."""


class Timer:
    """
    A call that a node has put off; at most one at a time.

    It is forgotten when the node is gone, so none fires after ``shutdown``.
    In a dry run (``graph.checking``) and in a graph without a reactor nothing
    is ever put off.  One timer serves all that waits in a node: start it for
    the earliest, and look in *call* what else is due by then.

    Args:
        node: Whose it is; may be made in its ``__init__``, after ``super()``'s.
        call: What to do, without arguments.  Nobody is left to raise to:
            whatever it raises is reported as a bug of the node.
    """

    __slots__ = ("_call", "_node", "_waiting")

    def __init__(self, node: Node, call: Callable[[], object]) -> None:
        self._node = node
        self._call = call
        self._waiting: Any = None
        node.watch(self._ended)

    @property
    def active(self) -> bool:
        """Whether the call is still to come."""
        return self._waiting is not None

    def start(self, seconds: float) -> None:
        """
        Call in so many *seconds* from now, and not when it was to be before.

        Args:
            seconds: At least 0; with 0 it is a later turn of the reactor.
        """
        graph = self._node.graph
        if self._waiting is not None:
            self._waiting.reset(seconds)
        elif graph.reactor is not None and not graph.checking and self._node.valid:
            self._waiting = graph.reactor.callLater(seconds, self._fire)

    def stop(self) -> None:
        """Do not call after all."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()

    def _fire(self) -> None:
        self._waiting = None
        try:
            self._call()
        except BaseException as error:
            self._node.graph.bug(self._node, error)

    def _ended(self, node: Node) -> None:
        self.stop()


class Schedule:
    """
    The time of a node in which packets wait, and one timer for all of them.

    Args:
        node: Whose it is.
        due: Returns when the next thing is to be done, in the time of `now`;
            inf: nothing waits.
        do: Does what is to be done by now, and then calls `arm`.
    """

    __slots__ = ("_ahead", "_due", "_fired", "_last", "_next", "_node", "_timer")

    def __init__(self, node: Node, due: Callable[[], float], do: Callable[[], object]) -> None:
        def fire() -> None:
            self._fired = self.now()
            do()

        self._node = node
        self._next = due
        self._timer = Timer(node, fire)
        self._due = inf
        self._fired = self._last = -inf
        self._ahead = 0.0

    def now(self) -> float:
        """Return the time; where the clock was set back it has stood still for a moment."""
        now = self._node.graph.clock() + self._ahead
        if now < self._last:
            self._ahead += self._last - now
            now = self._last
            self._due = inf  # the timer waits for what the clock showed: start it anew
            self.arm(now)
        self._last = now
        return now

    def covers(self, at: float) -> bool:
        """Tell whether what is due *at* a time will be done then without a call of `arm`."""
        return self._timer.active and self._due <= max(at, self._fired + TICK)

    def arm(self, now: float) -> None:
        """Have the next thing done in its time."""
        due = self._next()
        if due == inf:
            self._timer.stop()
            return
        due = max(due, self._fired + TICK)
        if due < self._due or not self._timer.active:
            self._due = due
            self._timer.start(max(due - now, 0))
