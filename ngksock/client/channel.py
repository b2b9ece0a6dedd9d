"""One NGD/1 connection: calls and their replies, and the events that come."""

from __future__ import annotations

import os
import select
import socket
import time
from errno import (
    EACCES,
    ECONNRESET,
    EMFILE,
    ENAMETOOLONG,
    ENFILE,
    EPERM,
    EPROTO,
    ETIMEDOUT,
    EWOULDBLOCK,
)
from typing import Final

from ngksock import ngd

__all__ = ["Channel", "NoAnswerError", "NoDaemonError", "no_daemon"]

_OURS: Final = (EACCES, EMFILE, ENFILE, EPERM)
"""What a connect fails with although a daemon may well be there."""


class NoDaemonError(OSError):
    """Nobody serves NGD/1 at the path, or not any more; the text names the path."""


class NoAnswerError(TimeoutError):
    """ETIMEDOUT: what was waited for did not come in time."""


def no_daemon(error: OSError, path: str) -> OSError:
    """Return what to raise where connecting to *path* failed with *error*."""
    number = error.errno or ENAMETOOLONG  # the one failure Python finds by itself
    text = f"{path}: {os.strerror(number)}"
    if number in (EACCES, EPERM):
        return PermissionError(number, f"not permitted to attach to the daemon at {text}")
    if number in _OURS:
        return OSError(number, text)
    return NoDaemonError(number, f'no daemon answers at {text}; "twistd ngksock" starts one')


class Channel:
    """
    A connection to the daemon.

    Args:
        kind: ngd.CONTROL or ngd.DATA.
        path: The daemon's socket.
        timeout: Seconds a call may take; None: for ever.
        queue: Bytes wanted for events that wait to be received; 0: the usual.

    ``welcome`` is what the daemon said to HELLO.

    Raises:
        NoDaemonError: Nobody listens there, or it is no daemon of ours.
        OSError: EPERM, EACCES, not permitted; ENOBUFS, EMFILE, too many
            connections.
    """

    _events: socket.socket | None = None

    def __init__(self, kind: int, path: str, timeout: float | None, queue: int = 0) -> None:
        self.path = path
        self.timeout = timeout
        self._seq = 0
        self._calls = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._calls.settimeout(timeout)
            try:
                self._calls.connect(path)
            except OSError as error:
                raise no_daemon(error, path) from error
            self.welcome = ngd.Welcome.unpack(
                self.call(ngd.HELLO, "", ngd.Hello(kind, queue).pack())
            )
            if self._events is None:
                raise OSError(EPROTO, f"the daemon at {path} gave no event channel")
        except BaseException:
            self.close()
            raise
        # The system refuses a packet longer than twice what was asked for.
        self._room = bytearray(max(2 * self.welcome.queue, ngd.PAYLOAD_MAX) + ngd.EVENT_HEADER)

    def call(self, op: int, address: str = "", payload: bytes = b"") -> bytes:
        """
        Make a call and return the body of its reply.

        Raises:
            NoAnswerError: ETIMEDOUT, no reply in time; a late one is dropped.
            NoDaemonError: The daemon is gone.
            OSError: The errno of the reply.
        """
        self._seq = (self._seq + 1) & 0xFFFFFFFF
        raw = ngd.Call(op, self._seq, address, payload).pack()
        end = None if self.timeout is None else time.monotonic() + self.timeout
        try:
            self._calls.send(raw, socket.MSG_NOSIGNAL)
            while True:
                if end is not None:
                    self._calls.settimeout(max(end - time.monotonic(), 0.001))
                reply = self._reply()
                if reply.seq == self._seq:
                    break
        except TimeoutError as error:
            raise NoAnswerError(ETIMEDOUT, f"the daemon at {self.path} does not answer") from error
        except ConnectionError as error:
            raise self._gone(error.errno or ECONNRESET) from error
        if reply.errno:
            raise OSError(reply.errno, os.strerror(reply.errno))
        return reply.body

    def _reply(self) -> ngd.Reply:
        raw, descriptors, _, _ = socket.recv_fds(self._calls, ngd.REPLY_MAX, 1)
        for number in descriptors:
            os.set_inheritable(number, False)
            self._events = socket.socket(fileno=number)
            self._events.setblocking(False)
        if not raw:
            raise self._gone(ECONNRESET)
        return ngd.Reply.unpack(raw)

    def _gone(self, number: int) -> NoDaemonError:
        return NoDaemonError(number, f"the daemon at {self.path} has gone: {os.strerror(number)}")

    def event(self, timeout: float | None = None) -> ngd.Event | None:
        """
        Return the next event, or None when the node was shut down.

        Args:
            timeout: Seconds to wait for it; None: for ever; 0: not at all.

        Raises:
            NoAnswerError: ETIMEDOUT, none came in time.
        """
        assert self._events is not None
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            try:
                size = self._events.recv_into(self._room)
            except OSError as error:
                if error.errno == ECONNRESET:
                    return None
                if error.errno != EWOULDBLOCK:
                    raise
            else:
                return ngd.Event.unpack(bytes(memoryview(self._room)[:size])) if size else None
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                raise NoAnswerError(ETIMEDOUT, f"nothing came within {timeout:g} s")
            poll = select.poll()  # select() has no room for descriptors above 1023
            poll.register(self._events, select.POLLIN)
            poll.poll(None if left is None else left * 1000 + 1)

    def fileno(self) -> int:
        """Return the descriptor that is readable when an event waits."""
        assert self._events is not None
        return self._events.fileno()

    def close(self) -> None:
        """Close the connection; again is no error."""
        self._calls.close()
        if self._events is not None:
            self._events.close()
