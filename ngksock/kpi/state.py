"""The states of a socket as a table: what each change sets, and who is told.

An *active* opening tells the upcalls first and the event last; every change
towards the end tells the event first.  That asymmetry is XNU's.
"""

from __future__ import annotations

import errno
from typing import Final, NamedTuple

from ngksock.kpi import constants as c

__all__ = [
    "ERROR_HINT",
    "EVENT",
    "FINAL",
    "OVER",
    "READ",
    "TRANSITIONS",
    "WAKE",
    "WRITE",
    "Transition",
]

READ: Final = 0
"""The read upcall."""

WRITE: Final = 1
"""The write upcall."""

EVENT: Final = 2
"""The callback of catchevents."""

FINAL: Final = 3
"""The last read upcall, after shutdown removed the callback."""

WAKE: Final = 4
"""Those who wait on one side may try again."""

OVER: Final = 5
"""A call that waited has ended by a call of the owner's; it is told now."""


class Transition(NamedTuple):
    """
    One row of the table.

    Args:
        clear: State bits that go.
        set: State bits that come.
        hint: What the event callback is told.
        order: Who is told, first to last: READ, WRITE, EVENT.
        ends: Whether it is a step towards the end: the event is told first.
    """

    clear: int
    set: int
    hint: int
    order: tuple[int, ...]
    ends: bool = False


TRANSITIONS: Final = {
    "connecting": Transition(c.SS_ISCONNECTED | c.SS_ISDISCONNECTING, c.SS_ISCONNECTING, 0, ()),
    "connected": Transition(
        c.SS_ISCONNECTING | c.SS_ISDISCONNECTING,
        c.SS_ISCONNECTED,
        c.SO_FILT_HINT_CONNECTED | c.SO_FILT_HINT_CONNINFO_UPDATED,
        (READ, WRITE, EVENT),
    ),
    "cantrcvmore": Transition(
        0, c.SS_CANTRCVMORE, c.SO_FILT_HINT_CANTRCVMORE, (EVENT, READ), ends=True
    ),
    "cantsendmore": Transition(
        0, c.SS_CANTSENDMORE, c.SO_FILT_HINT_CANTSENDMORE, (EVENT, WRITE), ends=True
    ),
    "disconnected": Transition(
        c.SS_ISCONNECTING | c.SS_ISCONNECTED | c.SS_ISDISCONNECTING,
        c.SS_CANTRCVMORE | c.SS_CANTSENDMORE | c.SS_ISDISCONNECTED,
        c.SO_FILT_HINT_DISCONNECTED | c.SO_FILT_HINT_CONNINFO_UPDATED,
        (EVENT, WRITE, READ),
        ends=True,
    ),
}

ERROR_HINT: Final = {
    errno.ECONNRESET: c.SO_FILT_HINT_CONNRESET,
    errno.ECONNREFUSED: c.SO_FILT_HINT_CONNRESET,
    errno.ETIMEDOUT: c.SO_FILT_HINT_TIMEOUT,
}
"""The event that goes before *disconnected* when an error was the cause."""
