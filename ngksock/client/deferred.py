"""`NodeSocket`'s calls for programs that run a reactor: nothing here waits.

The one file of this package that imports Twisted::

    node = await connect(reactor)
    node.on_data = lambda hook, data: print(hook, data)
    print(await node.request_ascii("[1]:", "nodeinfo"))
    node.close()
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable, Coroutine
from errno import ECONNRESET, EINPROGRESS, EPIPE, ETIMEDOUT
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from ngksock import ngd
from ngksock.client.channel import NoAnswerError, NoDaemonError, no_daemon
from ngksock.client.nodesocket import ASCII2BINARY, BINARY2ASCII, TIMEOUT, Received
from ngksock.netgraph.message import GENERIC_COOKIE, Message

__all__ = ["DeferredNodeSocket", "connect"]

P = ParamSpec("P")
T = TypeVar("T")

_LOST: Final = "the connection was closed"


def _deferred(function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Deferred[T]]:
    """Have a coroutine function return a Deferred."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        return Deferred.fromCoroutine(function(*args, **kwargs))

    return run


@_deferred
async def connect(
    reactor: Any, name: str | None = None, path: str | None = None, data: bool = True
) -> DeferredNodeSocket:
    """
    Make a node of type ``socket`` in the daemon's graph.

    Args:
        reactor: Provides IReactorFDSet and IReactorTime.
        name: The node's name; None: it has none.
        path: The daemon's socket; None: the usual place.
        data: Whether packets are wanted as well as messages.

    Raises:
        OSError: As `ngksock.client.connect`.
    """
    node = DeferredNodeSocket(reactor, ngd.default_path() if path is None else path)
    try:
        await node.begin(name, data)
    except BaseException:
        node.close()
        raise
    return node


class _Events(FileDescriptor):
    """An event channel."""

    def __init__(
        self, reactor: Any, number: int, room: int, take: Callable[[ngd.Event | None], None]
    ) -> None:
        super().__init__(reactor)
        os.set_inheritable(number, False)
        self.sock = socket.socket(fileno=number)
        self.sock.setblocking(False)
        self._room = room
        self._take = take
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
                self.reactor.removeReader(self)
                self._take(None)
                return
            self._take(ngd.Event.unpack(raw))
            if self.sock.fileno() < 0:
                return

    def connectionLost(self, reason: Failure) -> None:
        self.reactor.removeReader(self)
        self.sock.close()


class _Calls(FileDescriptor):
    """A call channel: calls wait until those before them have their reply."""

    def __init__(
        self, reactor: Any, kind: int, path: str, take: Callable[[ngd.Event | None], None]
    ) -> None:
        super().__init__(reactor)
        self.kind = kind
        self.path = path
        self.welcome: ngd.Welcome | None = None
        self.events: _Events | None = None
        self._take = take
        self._seq = 0
        self._waiting: deque[tuple[ngd.Call, Deferred[bytes]]] = deque()
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self.sock.setblocking(False)
            self.sock.connect(path)
        except OSError as error:
            self.sock.close()
            raise no_daemon(error, path) from error
        self.reactor.addReader(self)

    def fileno(self) -> int:
        return self.sock.fileno()

    def hello(self) -> Deferred[bytes]:
        """Introduce ourselves; the reply brings the event channel."""
        return self.call(ngd.HELLO, "", ngd.Hello(self.kind).pack())

    def call(self, op: int, address: str = "", payload: bytes = b"") -> Deferred[bytes]:
        """Make a call; the body of its reply comes, or OSError."""
        if self.sock.fileno() < 0:
            return fail(OSError(EPIPE, _LOST))
        self._seq = (self._seq + 1) & 0xFFFFFFFF
        done: Deferred[bytes] = Deferred()
        self._waiting.append((ngd.Call(op, self._seq, address, payload), done))
        if len(self._waiting) == 1:
            self._begin()
        return done

    def _begin(self) -> None:
        """Write the oldest call; there is room, for it is the only one on its way."""
        try:
            self.sock.send(self._waiting[0][0].pack(), socket.MSG_NOSIGNAL)
        except OSError as error:
            self._waiting.popleft()[1].errback(error)
            if self._waiting:
                self._begin()

    def doRead(self) -> None:
        try:
            raw, numbers, _, _ = socket.recv_fds(self.sock, ngd.REPLY_MAX, 1)
        except BlockingIOError:
            return
        except OSError:
            raw, numbers = b"", []
        if not raw:
            self.connectionLost(Failure(ConnectionResetError()))
            return
        reply = ngd.Reply.unpack(raw)
        _, done = self._waiting.popleft()
        if numbers:
            self.welcome = ngd.Welcome.unpack(reply.body)
            room = 2 * self.welcome.queue + ngd.PAYLOAD_MAX
            self.events = _Events(self.reactor, numbers[0], room, self._take)
        if self._waiting:
            self._begin()
        if reply.errno:
            done.errback(OSError(reply.errno, os.strerror(reply.errno)))
        else:
            done.callback(reply.body)

    def connectionLost(self, reason: Failure) -> None:
        if self.sock.fileno() < 0:
            return
        self.reactor.removeReader(self)
        self.sock.close()
        if self.events is not None:
            self.events.connectionLost(reason)
        text = f"the daemon at {self.path} has gone"
        waiting, self._waiting = self._waiting, deque()
        for _, done in waiting:
            done.errback(NoDaemonError(ECONNRESET, text))


class DeferredNodeSocket:
    """
    A socket node; `connect` makes one.

    Args:
        reactor: Provides IReactorFDSet and IReactorTime.
        path: The daemon's socket.

    ``on_message`` takes each message that answers no request, ``on_data`` the
    hook and each packet, ``on_end`` is called when the node was shut down or
    the daemon has gone.  ``id`` is the node's.
    """

    def __init__(self, reactor: Any, path: str) -> None:
        self.reactor = reactor
        self.path = path
        self.id = 0
        self.on_message: Callable[[Received], None] | None = None
        self.on_data: Callable[[str, bytes], None] | None = None
        self.on_end: Callable[[], None] | None = None
        self._token = 0
        self._asked: dict[int, tuple[Deferred[Message], IDelayedCall]] = {}
        self._data: _Calls | None = None
        self._control = _Calls(reactor, ngd.CONTROL, path, self._message)

    @_deferred
    async def begin(self, name: str | None, data: bool) -> None:
        """Become a node; `connect` does this."""
        await self._control.hello()
        assert self._control.welcome is not None
        self.id = self._control.welcome.node
        if name:
            await self._control.call(ngd.BIND, name)
        if data:
            self._data = _Calls(self.reactor, ngd.DATA, self.path, self._packet)
            await self._data.hello()
            await self._data.call(ngd.CONNECT, f"[{self.id:x}]:")

    def close(self) -> None:
        """End the node; what was asked for fails with EPIPE."""
        lost = Failure(OSError(EPIPE, _LOST))
        self.on_end = None
        for calls in (self._control, self._data):
            if calls is not None:
                calls.connectionLost(lost)
        self._fail(OSError(EPIPE, _LOST))

    def _fail(self, error: OSError) -> None:
        asked, self._asked = self._asked, {}
        for done, timer in asked.values():
            timer.cancel()
            done.errback(error)

    # -- what comes

    def _message(self, event: ngd.Event | None) -> None:
        if event is None:
            self._fail(OSError(EPIPE, "the node was shut down"))
            if self.on_end is not None:
                self.on_end()
            return
        message = Message.unpack(event.payload)
        if message.is_response and message.token in self._asked:
            done, timer = self._asked.pop(message.token)
            timer.cancel()
            done.callback(message)
        elif self.on_message is not None:
            self.on_message(Received(event.address, message))

    def _packet(self, event: ngd.Event | None) -> None:
        if event is not None and self.on_data is not None:
            self.on_data(event.address, event.payload)

    # -- what goes

    @_deferred
    async def name(self) -> str:
        """Return the node's name, or ``[1a]`` if it has none."""
        return (await self._control.call(ngd.GETNAME)).decode("latin-1")

    @_deferred
    async def send(self, path: str, message: Message) -> bool:
        """Send *message* as it is; False for EINPROGRESS: a reply will tell."""
        try:
            await self._control.call(ngd.SEND, path, message.pack())
        except OSError as error:
            if error.errno != EINPROGRESS:
                raise
            return False
        return True

    def _next_token(self) -> int:
        self._token = self._token % 0x7FFFFFFF + 1
        return self._token

    @_deferred
    async def send_msg(self, path: str, cookie: int, cmd: int, data: bytes = b"") -> int:
        """Send a message and return its token, as `NodeSocket.send_msg`."""
        token = self._next_token()
        await self.send(path, Message(cookie, cmd, data, token, cmdstr=f"cmd{cmd}"))
        return token

    @_deferred
    async def send_ascii_msg(self, path: str, text: str) -> int:
        """Send the message that *text* writes, and return its token."""
        message = (await self.encode(path, text)).with_token(self._next_token())
        await self.send(path, message)
        return message.token

    @_deferred
    async def send_data(self, hook: str, data: bytes) -> None:
        """Send one packet out of *hook*; "": out of the only one."""
        if self._data is None:
            raise OSError(EPIPE, "the node was made without data")
        await self._data.call(ngd.SEND, hook, data)

    @_deferred
    async def ask(self, path: str, message: Message, timeout: float = TIMEOUT) -> Message:
        """
        Send *message* under a token of its own and return the response to it.

        Raises:
            NoAnswerError: ETIMEDOUT, none came within *timeout* seconds.
            OSError: The errno of its delivery.
        """
        token = self._next_token()
        done: Deferred[Message] = Deferred()
        late = NoAnswerError(ETIMEDOUT, f"{path} did not answer within {timeout:g} s")

        def give_up() -> None:
            del self._asked[token]
            done.errback(late)

        # The response may be read before the reply to the call.
        self._asked[token] = done, self.reactor.callLater(timeout, give_up)
        try:
            await self.send(path, message.with_token(token))
        except OSError:
            if token in self._asked:
                self._asked.pop(token)[1].cancel()
            done.addErrback(lambda _: None)
            raise
        return await done

    @_deferred
    async def request(
        self, path: str, cookie: int, cmd: int, data: bytes = b"", timeout: float = TIMEOUT
    ) -> Message:
        """Send a message and return the response to it."""
        return await self.ask(path, Message(cookie, cmd, data, cmdstr=f"cmd{cmd}"), timeout)

    @_deferred
    async def request_ascii(self, path: str, text: str, timeout: float = TIMEOUT) -> str:
        """Send an ASCII message and return the arguments of its response."""
        message = await self.ask(path, await self.encode(path, text), timeout)
        return Received(path, await self.decode(path, message)).text

    @_deferred
    async def encode(self, path: str, text: str) -> Message:
        """Have the node at *path* convert a message and its arguments to binary form."""
        name, *rest = text.split(None, 1) or [""]
        inner = Message(0, 0, "".join(rest).encode("latin-1") + b"\0", cmdstr=name[:31])
        return await self._convert(path, ASCII2BINARY, inner)

    @_deferred
    async def decode(self, address: str, message: Message) -> Message:
        """Have the node at *address* convert a message to text."""
        return await self._convert(address, BINARY2ASCII, message)

    @_deferred
    async def _convert(self, path: str, cmd: int, message: Message) -> Message:
        answer = await self.request(path, GENERIC_COOKIE, cmd, message.pack())
        return Message.unpack(answer.data)
