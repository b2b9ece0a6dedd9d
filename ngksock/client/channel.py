"""One NGD/1 connection: calls and their replies, and the events that come."""

from __future__ import annotations

import os
import select
import socket
import sys
import time
from errno import (
    EACCES,
    EAGAIN,
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

__all__ = [
    "AGAIN",
    "Channel",
    "NoAnswerError",
    "NoDaemonError",
    "check",
    "foreign",
    "no_daemon",
    "room",
    "welcome",
]

_OURS: Final = (EACCES, EMFILE, ENFILE, EPERM)
"""What a connect fails with although a daemon may well be there."""
AGAIN: Final = 0.01
"""Seconds between attempts to connect to a daemon that has not accepted others yet."""
_ROOM_MAX: Final = 1 << 24
_LONGEST: Final = 1e6
"""Seconds that the system waits in one go; it refuses to wait for some centuries."""


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


def foreign(error: OSError, path: str) -> NoDaemonError:
    """Return what to raise where *error* shows that who answers at *path* does not speak NGD."""
    text = f"what answers at {path} is no daemon of ours: {error.strerror}"
    return NoDaemonError(EPROTO, text)


def welcome(reply: ngd.Reply, path: str) -> ngd.Welcome:
    """
    Return what the daemon at *path* said to HELLO.

    Raises:
        NoDaemonError: EPROTO, it is none, or one of another version.
        OSError: The errno of the reply.
    """
    try:
        if reply.errno == EPROTO:
            served = int.from_bytes(reply.body[:2], sys.byteorder)
            raise OSError(EPROTO, f"it serves version {served} of NGD")
        check(reply)
        found = ngd.Welcome.unpack(reply.body)
        if found.version != ngd.VERSION:
            raise OSError(EPROTO, f"it speaks version {found.version} of NGD")
    except OSError as error:
        if error.errno != EPROTO:
            raise
        raise foreign(error, path) from error
    return found


def room(queue: int) -> int:
    """Return how long an event may be where *queue* bytes are in force for them."""
    # The system refuses a packet longer than twice what was asked for.
    return min(max(2 * queue, ngd.PAYLOAD_MAX), _ROOM_MAX) + ngd.EVENT_HEADER


def check(reply: ngd.Reply) -> None:
    """Raise the errno of *reply*, if it has one."""
    if reply.errno < 0:
        raise OSError(EPROTO, f"a reply with the errno {reply.errno}")
    if reply.errno:
        raise OSError(reply.errno, os.strerror(reply.errno))


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
            end = self._end()
            self._connect(end)
            self.welcome = self._greet(ngd.Hello(kind, queue), end)
            if self._events is None:
                raise foreign(OSError(EPROTO, "it gave no event channel"), path)
        except BaseException:
            self.close()
            raise
        self._room = bytearray(room(self.welcome.queue))

    def _end(self) -> float | None:
        return None if self.timeout is None else time.monotonic() + self.timeout

    def _connect(self, end: float | None) -> None:
        self._calls.setblocking(False)
        while True:
            try:
                self._calls.connect(self.path)
                return
            except OSError as error:
                if error.errno != EAGAIN:
                    raise no_daemon(error, self.path) from error
                if end is not None and time.monotonic() >= end:
                    raise self._silent() from error
            # As many as may wait to be accepted do so; others come soon.
            select.select((), (), (), AGAIN)

    def _greet(self, hello: ngd.Hello, end: float | None) -> ngd.Welcome:
        try:
            return welcome(self._exchange(ngd.HELLO, "", hello.pack(), end), self.path)
        except OSError as error:
            if error.errno == EPROTO and not isinstance(error, NoDaemonError):
                raise foreign(error, self.path) from error
            raise

    def call(self, op: int, address: str = "", payload: bytes = b"") -> bytes:
        """
        Make a call and return the body of its reply.

        Raises:
            NoAnswerError: ETIMEDOUT, no reply in time; a late one is dropped.
            NoDaemonError: The daemon is gone.
            OSError: The errno of the reply.
        """
        reply = self._exchange(op, address, payload, self._end())
        check(reply)
        return reply.body

    def _exchange(self, op: int, address: str, payload: bytes, end: float | None) -> ngd.Reply:
        self._seq = (self._seq + 1) & 0xFFFFFFFF
        raw = ngd.Call(op, self._seq, address, payload).pack()
        try:
            self._limit(end)
            self._calls.send(raw, socket.MSG_NOSIGNAL)
            while True:
                self._limit(end)
                try:
                    reply = self._reply()
                except TimeoutError:
                    if end is None or time.monotonic() < end:
                        continue  # it was too long to wait for in one go
                    raise
                if reply.seq == self._seq:
                    break
        except TimeoutError as error:
            raise self._silent() from error
        except ConnectionError as error:
            raise self._gone(error.errno or ECONNRESET) from error
        if reply.op != op:
            raise OSError(EPROTO, f"a reply to call {reply.op} where {op} was made")
        return reply

    def _limit(self, end: float | None) -> None:
        """Have the system give up at *end*."""
        left = None if end is None else min(max(end - time.monotonic(), 0.001), _LONGEST)
        self._calls.settimeout(left)

    def _reply(self) -> ngd.Reply:
        raw, descriptors, _, _ = socket.recv_fds(
            self._calls, ngd.REPLY_MAX, 1, socket.MSG_CMSG_CLOEXEC
        )
        for number in descriptors:
            self._adopt(number)
        if not raw:
            raise self._gone(ECONNRESET)
        return ngd.Reply.unpack(raw)

    def _adopt(self, number: int) -> None:
        """Take a descriptor for the event channel, of which there is one."""
        try:
            if self._events is None:
                self._events = socket.socket(fileno=number)
                self._events.setblocking(False)
                return
        except OSError:
            pass  # it is no socket
        os.close(number)

    def _silent(self) -> NoAnswerError:
        return NoAnswerError(ETIMEDOUT, f"the daemon at {self.path} does not answer")

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
            poll.poll(None if left is None else min(left, _LONGEST) * 1000 + 1)

    def fileno(self) -> int:
        """Return the descriptor that is readable when an event waits."""
        assert self._events is not None
        return self._events.fileno()

    def close(self) -> None:
        """Close the connection; again is no error."""
        self._calls.close()
        if self._events is not None:
            self._events.close()
