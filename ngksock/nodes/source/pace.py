"""The rate of a source, exact however late anybody looks."""

from __future__ import annotations

from typing import Final

__all__ = ["MOST", "SECOND", "TICK", "Pace"]

MOST: Final = 256
"""So many packets are sent in one turn of the reactor."""
SECOND: Final = 10**9
TICK: Final = 10**6
"""In nanoseconds: the timer fires at most so often, then several packets are due."""
CATCH_UP: Final = SECOND
"""After a stall what was due in so many nanoseconds is made up for, and one packet."""
EARLY: Final = 500
"""What is due so many nanoseconds later is due now: times are floats."""
LONGEST: Final = 3600.0
"""The timer fires at least once in so many seconds."""


class Pace:
    """
    How many packets are due, reckoned from the beginning, so that no fraction is lost.

    Args:
        packets: So many are sent
        span: in so many nanoseconds; 0: there is no limit.
    """

    __slots__ = ("_begin", "_last", "_sent", "packets", "span")

    def __init__(self, packets: int, span: int) -> None:
        self.packets = packets
        self.span = span
        self.begin(0.0)

    def begin(self, now: float) -> None:
        """Reckon from *now* on."""
        self._begin = self._last = now
        self._sent = 0

    def due(self, now: float) -> int:
        """Return how many packets are to be sent by *now*."""
        if not self.span:
            return MOST
        if now < self._last:
            self._begin -= self._last - now  # somebody has set the clock back
        self._last = now
        due = self._elapsed(now) * self.packets // self.span - self._sent
        most = CATCH_UP * self.packets // self.span + 1
        if due > most:
            self._sent += due - most
        return min(due, most)

    def sent(self, count: int) -> None:
        """Take note that *count* packets were sent."""
        self._sent += count

    def wait(self, now: float) -> float:
        """Return in how many seconds from *now*, when `due` was asked, to look again."""
        if not self.span:
            return 0.0
        elapsed = self._elapsed(now)
        due = -(-(self._sent + 1) * self.span // self.packets)
        if due <= elapsed:
            return 0.0
        due = max(due, (elapsed // TICK + 1) * TICK)
        return min(max(self._begin + due / SECOND - now, 0.0), LONGEST)

    def _elapsed(self, now: float) -> int:
        return round((now - self._begin) * SECOND) + EARLY
