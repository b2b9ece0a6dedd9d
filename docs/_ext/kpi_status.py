"""How far each call of the socket KPI goes on Linux, macOS and the BSDs: the one table."""

from __future__ import annotations

from typing import Any, NamedTuple

from zope.interface.interface import Method

from ngksock.interfaces import ISocketKPI

YES = "yes"
"""The whole call, held by tests that are run."""

PART = "in part"
"""Held by tests that are run, but for what the note says."""

WRITTEN = "not run"
"""Written for this system and never run on it."""

LACKS = "not run; lacks"
"""As WRITTEN; what the note says has no counterpart there that we use."""


class Status(NamedTuple):
    """
    How far a call goes.

    Args:
        linux: One of YES, PART.
        macos: One of WRITTEN, LACKS.
        bsd: One of WRITTEN, LACKS.
        note: What is missing or other, in a sentence; or nothing.
    """

    linux: str = YES
    macos: str = WRITTEN
    bsd: str = WRITTEN
    note: str = ""


OURS = "Ours: XNU's KPI has no such call."
_OUTQ = "TIOCOUTQ of a socket is Linux's; elsewhere it must be replaced before this can work."
_MARKS = "SO_PRIORITY and the window clamp are Linux's."

STATUS: dict[str, Status] = {
    "socket": Status(note="A descriptor of the process is below each socket."),
    "accept": Status(note="The host completes handshakes; a filter can only reset afterwards."),
    "bind": Status(),
    "connect": Status(),
    "connectwait": Status(),
    "listen": Status(),
    "shutdown": Status(),
    "close": Status(macos=LACKS, bsd=LACKS, note=_OUTQ),
    "reset": Status(macos=LACKS, bsd=LACKS, note=f"{OURS}  {_OUTQ}"),
    "abort": Status(note=OURS),
    "retain": Status(),
    "release": Status(),
    "defunct": Status(PART, note="Only sockets of this process."),
    "getlistener": Status(),
    "getsockname": Status(),
    "getpeername": Status(),
    "getaddr": Status(),
    "freeaddr": Status(),
    "gettype": Status(),
    "isconnected": Status(),
    "isnonblocking": Status(),
    "iskernel": Status(note="Bookkeeping: every socket has a descriptor."),
    "getsockopt": Status(),
    "setsockopt": Status(
        PART,
        LACKS,
        LACKS,
        "SO_NOADDRERR, SO_NOSIGPIPE and SO_UPCALLCLOSEWAIT are kept and do nothing.  Buffer "
        "sizes are read back, and forced, in ways of Linux's.",
    ),
    "ioctl": Status(note="FIOASYNC is a bit and sends no signal."),
    "settclassopt": Status(
        PART, LACKS, LACKS, f"Local is what the addresses say, not the routes.  {_MARKS}"
    ),
    "gettclassopt": Status(),
    "set_traffic_mgt_flags": Status(
        PART, LACKS, LACKS, f"Marks and a window in place of congestion control.  {_MARKS}"
    ),
    "clear_traffic_mgt_flags": Status(PART, LACKS, LACKS, "As set_traffic_mgt_flags."),
    "set_traffic_mgt_flags_locked": Status(PART, LACKS, LACKS, "There is no lock."),
    "clear_traffic_mgt_flags_locked": Status(PART, LACKS, LACKS, "There is no lock."),
    "setpriv": Status(PART, note="It takes away, and grants nothing."),
    "nointerrupt": Status(),
    "receive": Status(),
    "receivembuf": Status(),
    "receive_internal": Status(),
    "send": Status(),
    "sendmbuf": Status(),
    "setupcall": Status(
        PART,
        LACKS,
        LACKS,
        "An upcall a read, not a segment; no write upcall for each ACK.  A reset of a stream "
        "nobody reads is found by TCP_INFO, on Linux alone.",
    ),
    "setupcalls": Status(PART, LACKS, LACKS, "As setupcall."),
    "catchevents": Status(
        PART,
        LACKS,
        LACKS,
        "CONNECTED, DISCONNECTED, CONNINFO_UPDATED, CANTRCVMORE, CANTSENDMORE, CONNRESET and "
        "TIMEOUT; the other hints have no source.  Resets as with setupcall.",
    ),
}


def calls(interface: Any) -> dict[str, Method]:
    """Return the methods of *interface*, by name."""
    found = {name: interface[name] for name in interface.names(all=True)}
    return {name: one for name, one in found.items() if isinstance(one, Method)}


def missing() -> list[str]:
    """Say which calls have no status, and which statuses no call; in order."""
    every = set(calls(ISocketKPI)) | {"socket"}
    lost = [f"{name} is not in STATUS" for name in sorted(every - set(STATUS))]
    return lost + [f"{name} is in STATUS alone" for name in sorted(set(STATUS) - every)]
