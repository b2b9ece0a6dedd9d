"""Streams that nobody reads: how their reset is found out.

A level-triggered reactor tells of a reset only those that read.  A stream that
is paused, or whose other end has already sent its end of file, gets
SO_KEEPALIVE and is looked at here every ten seconds.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

if TYPE_CHECKING:
    from ngksock.kpi.stream import StreamDriver

__all__ = ["SECONDS", "Watch"]

SECONDS: Final = 10.0
"""The time between two looks."""

TCPS_CLOSE: Final = 7
"""The first byte of TCP_INFO when the connection is no more (Linux)."""

_TCP_INFO: Final = getattr(socket, "TCP_INFO", None)


class Watch:
    """
    The streams of one `SocketKPI` to look at, and one timer for all.

    Args:
        clock: Where the timer runs.

    A stream that reads again leaves at the next look rather than at once:
    to pause and resume is done thousands of times a second.  The timer ends
    with the last stream.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._streams: set[StreamDriver] = set()
        self._call: IDelayedCall | None = None

    def add(self, stream: StreamDriver) -> None:
        """Begin to look at *stream*."""
        if _TCP_INFO is None:
            stream.probe()
            return
        if stream in self._streams:
            return
        self._streams.add(stream)
        if self._call is None:
            self._call = self._clock.callLater(SECONDS, self._look)

    def discard(self, stream: StreamDriver) -> None:
        """Look at *stream* no more: it is closed."""
        self._streams.discard(stream)
        if not self._streams and self._call is not None:
            self._call.cancel()
            self._call = None

    def _look(self) -> None:
        self._call = None
        for stream in list(self._streams):
            if stream not in self._streams:
                continue  # who was told of the end of another has closed it
            if stream.reading:
                self._streams.discard(stream)
            elif _state(stream.sock) == TCPS_CLOSE:
                self._streams.discard(stream)
                stream.found_reset()
            else:
                stream.probe()  # most that have met their end of file are closed by now
        if self._streams and self._call is None:  # else one of them was told, and began a watch
            self._call = self._clock.callLater(SECONDS, self._look)


def _state(sock: socket.socket) -> int:
    if _TCP_INFO is None:
        return 0
    return sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 1)[0]
