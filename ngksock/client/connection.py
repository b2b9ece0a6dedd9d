"""`Channel` for programs that run a reactor: a connection, whose calls do not wait."""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from collections.abc import Callable, Coroutine
from errno import ECONNRESET, EPROTO, ETIMEDOUT
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from ngksock import ngd
from ngksock.client.channel import (
    AGAIN,
    NoAnswerError,
    NoDaemonError,
    check,
    foreign,
    no_daemon,
    room,
    welcome,
)

__all__ = ["LOST", "Connection", "deferred"]

P = ParamSpec("P")
T = TypeVar("T")

LOST: Final = "the connection was closed"


def deferred(function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Deferred[T]]:
    """Have a coroutine function return a Deferred."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        return Deferred.fromCoroutine(function(*args, **kwargs))

    return run


class _Events(FileDescriptor):
    """An event channel: ``take`` is given each event, ``lost`` why there will be no more."""

    def __init__(
        self, reactor: Any, sock: socket.socket, room: int,
        take: Callable[[ngd.Event], None], lost: Callable[[OSError | None], None],
    ) -> None:  # fmt: skip
        super().__init__(reactor)
        self.sock = sock
        self._room = room
        self._take = take
        self._lost = lost
        self.reactor.addReader(self)

    def fileno(self) -> int:
        return self.sock.fileno()

    def doRead(self) -> None:
        for _ in range(64):  # and then others have their turn
            try:
                raw = self.sock.recv(self._room)
            except BlockingIOError:
                return
            except OSError:
                raw = b""
            if not raw:
                self._end(None)
                return
            try:
                self._take(ngd.Event.unpack(raw))
            except OSError as error:  # it is no event
                self._end(error)
                return
            if self.sock.fileno() < 0:
                return

    def _end(self, error: OSError | None) -> None:
        self.close()
        self._lost(error)

    def connectionLost(self, reason: Failure) -> None:
        if self.sock.fileno() >= 0:
            self._end(None)

    def close(self) -> None:
        """Let go; again is no error."""
        if self.sock.fileno() >= 0:
            self.reactor.removeReader(self)
            self.sock.close()


class _Call:
    """A call, and the Deferred of its reply."""

    def __init__(self, seq: int, raw: bytes, done: Deferred[ngd.Reply]) -> None:
        self.seq = seq
        self.raw = raw
        self.done = done

    def fail(self, error: OSError) -> None:
        """Have it fail, if it was not given up."""
        if not self.done.called:
            self.done.errback(error)


class Connection(FileDescriptor):
    """
    A connection; its calls wait until those before them have their reply.

    Args:
        reactor: Waits.
        path: The daemon's socket.
        timeout: Seconds that each call may take; None: for ever.
        lost: Is told when the connection ends by itself.
    """

    def __init__(
        self, reactor: Any, path: str, timeout: float | None, lost: Callable[[OSError], None]
    ) -> None:
        super().__init__(reactor)
        self.path = path
        self.timeout = timeout
        self._clock: Any = reactor
        self.events: _Events | None = None
        self._lost = lost
        self._seq = 0
        self._sent: _Call | None = None
        self._waiting: deque[_Call] = deque()
        self._given: socket.socket | None = None
        self._error: OSError | None = None
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.setblocking(False)

    def fileno(self) -> int:
        return self.sock.fileno()

    async def begin(
        self, hello: ngd.Hello,
        take: Callable[[ngd.Event], None], lost: Callable[[OSError | None], None],
    ) -> ngd.Welcome:  # fmt: skip
        """Connect and introduce ourselves; events go to *take*, and *lost* is told their end."""
        await self._connect()
        self.reactor.addReader(self)
        reply = await self._exchange(ngd.HELLO, "", hello.pack())
        said = welcome(reply, self.path)
        given, self._given = self._given, None
        if given is None:
            raise foreign(OSError(EPROTO, "it gave no event channel"), self.path)
        given.setblocking(False)
        self.events = _Events(self.reactor, given, room(said.queue), take, lost)
        return said

    async def _connect(self) -> None:
        end = None if self.timeout is None else time.monotonic() + self.timeout
        while True:
            try:
                self.sock.connect(self.path)
                return
            except BlockingIOError as error:  # too many wait to be accepted
                if end is not None and time.monotonic() >= end:
                    raise self._silent() from error
            except OSError as error:
                raise no_daemon(error, self.path) from error
            await deferLater(self._clock, AGAIN)

    def _silent(self) -> NoAnswerError:
        return NoAnswerError(ETIMEDOUT, f"the daemon at {self.path} does not answer")

    @deferred
    async def call(self, op: int, address: str = "", payload: bytes = b"") -> bytes:
        """Make a call; the body of its reply comes, or OSError."""
        reply = await self._exchange(op, address, payload)
        check(reply)
        return reply.body

    def _exchange(self, op: int, address: str, payload: bytes) -> Deferred[ngd.Reply]:
        if self._error is not None:
            return fail(type(self._error)(*self._error.args))
        self._seq = (self._seq + 1) & 0xFFFFFFFF
        try:
            raw = ngd.Call(op, self._seq, address, payload).pack()
        except OSError as error:
            return fail(error)
        done: Deferred[ngd.Reply] = Deferred(lambda _: self._give_up(call))
        call = _Call(self._seq, raw, done)
        self._waiting.append(call)
        if self.timeout is not None:
            done.addTimeout(self.timeout, self._clock, self._late)
        self._begin()
        return done

    def _late(self, result: object, seconds: float) -> ngd.Reply:
        raise self._silent()

    def _give_up(self, call: _Call) -> None:
        """Forget a call that has not been made yet; the reply to one that has is dropped."""
        if call in self._waiting:
            self._waiting.remove(call)

    def _begin(self) -> None:
        """Make the oldest call if none is on its way: so there is room for it."""
        while self._sent is None and self._waiting:
            call = self._waiting.popleft()
            self._sent = call
            try:
                self.sock.send(call.raw, socket.MSG_NOSIGNAL)
            except OSError as error:
                self._sent = None
                if isinstance(error, ConnectionError):
                    self._waiting.appendleft(call)
                    self._end(self._gone())
                else:
                    call.fail(error)

    def doRead(self) -> None:
        try:
            raw, numbers, _, _ = socket.recv_fds(
                self.sock, ngd.REPLY_MAX, 1, socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return
        except OSError:
            raw, numbers = b"", []
        for number in numbers:
            self._adopt(number)
        if not raw:
            self._end(self._gone())
            return
        call = self._sent
        try:
            reply = ngd.Reply.unpack(raw)
            if call is None or (reply.seq, reply.op) != (call.seq, call.raw[0]):
                raise OSError(EPROTO, "a reply that no call waits for")
        except OSError as error:
            self._end(foreign(error, self.path))
            return
        self._sent = None
        if not call.done.called:
            call.done.callback(reply)
        self._begin()

    def _adopt(self, number: int) -> None:
        """Keep a descriptor for the event channel, of which there is one."""
        try:
            if self._given is None and self.events is None:
                self._given = socket.socket(fileno=number)
                return
        except OSError:
            pass  # it is no socket
        os.close(number)

    def _gone(self) -> NoDaemonError:
        return NoDaemonError(ECONNRESET, f"the daemon at {self.path} has gone")

    def connectionLost(self, reason: Failure) -> None:
        self._end(self._gone())

    def _end(self, error: OSError) -> None:
        if self._error is None:
            self.close(error)
            self._lost(error)

    def close(self, error: OSError) -> None:
        """Let go; what is under way fails with *error*.  Again is no error."""
        if self._error is not None:
            return
        self._error = error
        self.reactor.removeReader(self)
        self.sock.close()
        if self._given is not None:
            self._given.close()
        if self.events is not None:
            self.events.close()
        calls = [*([self._sent] if self._sent else ()), *self._waiting]
        self._sent = None
        self._waiting.clear()
        for call in calls:
            call.fail(error)
