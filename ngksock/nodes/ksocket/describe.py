"""What a ksocket tells of itself, in words."""

from __future__ import annotations

from collections.abc import Callable
from errno import errorcode
from typing import Any

from ngksock.kpi import Socket
from ngksock.nodes.ksocket.address import host_text
from ngksock.nodes.ksocket.family import Kind
from ngksock.nodes.ksocket.tls import tls_words

__all__ = ["addresses", "describe"]


def addresses(so: Socket | None) -> str:
    """Return the local and, if there is one, the remote address of *so*."""
    if so is None:
        return ""
    asks: tuple[Callable[[], Any], ...] = (so.getsockname, so.getpeername)
    names = []
    for ask in asks:
        try:
            names.append(host_text(ask()))
        except OSError:
            continue  # not connected, or not any more
    return " -> ".join(names)


def describe(kind: Kind, so: Socket | None, state: str, lasterror: int) -> str:
    """
    Return the status of a ksocket.

    Args:
        kind: What its hook asked for.
        so: Its socket, or None.
        state: Its state in a word or two.
        lasterror: The errno that its node met last, or 0.
    """
    if so is None:
        return f"{kind.words()} {state}"
    parts = [
        " ".join(word for word in (kind.words(), state, addresses(so)) if word),
        f"received {so.rcvpackets} packets, {so.rcvbytes} bytes",
        f"sent {so.sndpackets} packets, {so.sndbytes} bytes",
        f"queued {so.rcvcount} in, {so.sndcount} out",
    ]
    if kind.tls:
        parts[1:1] = tls_words(so)
    if so.senderrors:
        lost = (
            f"{count} {errorcode.get(number, number)}" for number, count in so.senderrors.items()
        )
        parts.append(f"failed to send {', '.join(lost)}")
    if so.truncated:
        parts.append(f"truncated {so.truncated}")
    last = lasterror or so.lasterror
    if last:
        parts.append(f"last error {errorcode.get(last, last)}")
    return "; ".join(parts)
