"""`NodeSocket`'s calls for programs that run a reactor: nothing here waits.

With `ngksock.client.connection` what imports Twisted in this package::

    node = await connect(reactor)
    node.on_data = lambda hook, data: print(hook, data)
    print(await node.request_ascii("[1]:", "nodeinfo"))
    node.close()
"""

from __future__ import annotations

from collections.abc import Callable
from errno import EBADF, EINPROGRESS, ENOSYS, EPIPE, ETIMEDOUT
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ngksock import ngd
from ngksock.client.channel import NoAnswerError, foreign
from ngksock.client.connection import LOST, Connection, deferred
from ngksock.client.nodesocket import ASCII2BINARY, BINARY2ASCII, TIMEOUT, Received, ascii_message
from ngksock.netgraph.message import GENERIC_COOKIE, Message

__all__ = ["DeferredNodeSocket", "connect"]

_log = Logger()


@deferred
async def connect(
    reactor: Any,
    name: str | None = None,
    path: str | None = None,
    data: bool = True,
    timeout: float | None = TIMEOUT,
    queue: int = 0,
) -> DeferredNodeSocket:
    """
    Make a node of type ``socket`` in the daemon's graph.

    Args:
        reactor: Provides IReactorFDSet and IReactorTime.
        name: The node's name; None: it has none.
        path: The daemon's socket; None: the usual place.
        data: Whether packets are wanted as well as messages.
        timeout: Seconds that each call may take; None: for ever.
        queue: Bytes wanted for what waits to be received; 0: the usual.

    Raises:
        OSError: As `ngksock.client.connect`.
    """
    path = ngd.default_path() if path is None else path
    node = DeferredNodeSocket(reactor, path, timeout, queue)
    try:
        await node.begin(name, data)
    except BaseException:
        node.close()
        raise
    return node


class DeferredNodeSocket:
    """
    A socket node; `connect` makes one.

    Args:
        reactor: Provides IReactorFDSet and IReactorTime.
        path: The daemon's socket.
        timeout: Seconds that each call may take; None: for ever.
        queue: Bytes wanted for what waits to be received; 0: the usual.

    ``on_message`` takes each message that answers no request, ``on_data`` the
    hook and each packet, ``on_end`` is called once, when the node was shut down
    or the daemon has gone; what is under way then fails.  What one of them
    raises is logged.  ``id`` is the node's.

    A Deferred may be cancelled: what was not sent yet is not sent, and a
    response that still comes goes to ``on_message``.
    """

    def __init__(
        self, reactor: Any, path: str, timeout: float | None = TIMEOUT, queue: int = 0
    ) -> None:
        self.reactor = reactor
        self.path = path
        self.id = 0
        self.on_message: Callable[[Received], None] | None = None
        self.on_data: Callable[[str, bytes], None] | None = None
        self.on_end: Callable[[], None] | None = None
        self._queue = queue
        self._token = 0
        self._over = False
        self._asked: dict[int, Deferred[Message]] = {}
        self._timeout = timeout
        self._control = Connection(reactor, path, timeout, self._end)
        self._data: Connection | None = None

    @deferred
    async def begin(self, name: str | None, data: bool) -> None:
        """Become a node; `connect` does this."""
        hello = ngd.Hello(ngd.CONTROL, self._queue)
        self.id = (await self._control.begin(hello, self._message, self._no_more)).node
        if name:
            await self._control.call(ngd.BIND, name)
        if data:
            hello = ngd.Hello(ngd.DATA, self._queue)
            self._data = Connection(self.reactor, self.path, self._timeout, self._end)
            await self._data.begin(hello, self._packet, self._no_more)
            await self._data.call(ngd.CONNECT, self.address)

    @property
    def address(self) -> str:
        """The node's path: its id, as ``[1a]:``."""
        return f"[{self.id:x}]:"

    def close(self) -> None:
        """End the node; what is under way fails with EPIPE.  Again is no error."""
        self.on_end = None
        self._close(OSError(EPIPE, LOST))

    def _close(self, error: OSError) -> None:
        self._over = True
        for calls in (self._control, self._data):
            if calls is not None:
                calls.close(error)
        self._fail(error)

    def _fail(self, error: OSError) -> None:
        asked, self._asked = self._asked, {}
        for done in asked.values():
            done.errback(error)

    # -- what comes

    def _no_more(self, error: OSError | None) -> None:
        """Find out why no event will come any more: what it is that has ended."""
        if error is not None:
            self._end(foreign(error, self.path))
        elif not self._over:
            self._control.call(ngd.GETNAME).addBoth(self._shut_down)

    def _shut_down(self, said: object) -> None:
        # A daemon that has gone was told of already.
        self._end(OSError(EPIPE, "the node was shut down"))

    def _end(self, error: OSError) -> None:
        if self._over:
            return
        self._close(error)
        if self.on_end is not None:
            self._tell(self.on_end)

    def _tell(self, function: Callable[..., None], *args: object) -> None:
        """Call a function of the program; what is wrong with it is no matter of ours."""
        try:
            function(*args)
        except Exception:
            _log.failure("{function} of the node at {path}", function=function, path=self.path)

    def _message(self, event: ngd.Event) -> None:
        message = Message.unpack(event.payload)
        if message.token in self._asked:
            if message.is_response:
                self._asked.pop(message.token).callback(message)
                return
            if event.address == self.address:
                error = OSError(ENOSYS, "a program does not answer itself")
                self._asked.pop(message.token).errback(error)
                return
        if self.on_message is not None:
            self._tell(self.on_message, Received(event.address, message))

    def _packet(self, event: ngd.Event) -> None:
        if self.on_data is not None:
            self._tell(self.on_data, event.address, event.payload)

    # -- what goes

    @deferred
    async def name(self) -> str:
        """Return the node's name, or ``[1a]`` if it has none."""
        return (await self._control.call(ngd.GETNAME)).decode("latin-1")

    @deferred
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

    @deferred
    async def send_msg(self, path: str, cookie: int, cmd: int, data: bytes = b"") -> int:
        """Send a message and return its token, as `NodeSocket.send_msg`."""
        token = self._next_token()
        await self.send(path, Message(cookie, cmd, data, token, cmdstr=f"cmd{cmd}"))
        return token

    @deferred
    async def send_ascii_msg(self, path: str, text: str) -> int:
        """Send the message that *text* writes, and return its token."""
        message = (await self.encode(path, text)).with_token(self._next_token())
        await self.send(path, message)
        return message.token

    @deferred
    async def send_data(self, hook: str, data: bytes) -> None:
        """Send one packet out of *hook*; "": out of the only one."""
        if self._data is None:
            raise OSError(EBADF, "the node was made without data")
        await self._data.call(ngd.SEND, hook, data)

    @deferred
    async def send_reply_msg(self, path: str, message: Message, data: bytes = b"") -> None:
        """Answer *message*, which came from *path*."""
        await self.send(path, message.response(data))

    def ask(self, path: str, message: Message, timeout: float = TIMEOUT) -> Deferred[Message]:
        """
        Send *message* under a token of its own and return the response to it.

        Raises:
            NoAnswerError: ETIMEDOUT, none came within *timeout* seconds.
            OSError: The errno of its delivery; ENOSYS, the message was sent
                to this very node.
        """

        def late(result: object, seconds: float) -> Message:
            raise NoAnswerError(ETIMEDOUT, f"{path} did not answer within {timeout:g} s")

        return self._response(path, message).addTimeout(timeout, self.reactor, late)

    @deferred
    async def _response(self, path: str, message: Message) -> Message:
        token = self._next_token()
        done: Deferred[Message] = Deferred()
        # The response may be read before the reply to the call.
        self._asked[token] = done
        try:
            await self.send(path, message.with_token(token))
            return await done
        finally:
            self._asked.pop(token, None)
            done.addErrback(lambda _: None)

    @deferred
    async def request(
        self, path: str, cookie: int, cmd: int, data: bytes = b"", timeout: float = TIMEOUT
    ) -> Message:
        """Send a message and return the response to it."""
        return await self.ask(path, Message(cookie, cmd, data, cmdstr=f"cmd{cmd}"), timeout)

    @deferred
    async def request_ascii(self, path: str, text: str, timeout: float = TIMEOUT) -> str:
        """Send an ASCII message and return the arguments of its response."""
        message = await self.ask(path, await self.encode(path, text), timeout)
        return Received(path, await self.decode(path, message)).text

    @deferred
    async def encode(self, path: str, text: str) -> Message:
        """Have the node at *path* convert a message and its arguments to binary form."""
        return await self._convert(path, ASCII2BINARY, ascii_message(text))

    @deferred
    async def decode(self, address: str, message: Message) -> Message:
        """Have the node at *address* convert a message to text."""
        return await self._convert(address, BINARY2ASCII, message)

    @deferred
    async def _convert(self, path: str, cmd: int, message: Message) -> Message:
        answer = await self.request(path, GENERIC_COOKIE, cmd, message.pack())
        return Message.unpack(answer.data)
