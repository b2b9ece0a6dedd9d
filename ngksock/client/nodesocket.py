"""`NodeSocket`: libnetgraph's calls, for a node of type ``socket`` in the daemon."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from errno import EBADF, EINPROGRESS, EINVAL, ENOSYS, EPIPE, ETIMEDOUT
from types import TracebackType
from typing import Final, NamedTuple, Self

from ngksock import ngd
from ngksock.client.channel import Channel, NoAnswerError, NoDaemonError
from ngksock.netgraph.message import GENERIC_COOKIE, HASREPLY, READONLY, Message

__all__ = ["TIMEOUT", "NodeSocket", "Received", "ascii_message", "connect"]

TIMEOUT: Final = 10.0
"""Seconds that a call, or the response to a request, may take unless told otherwise."""
BINARY2ASCII: Final = 12 | READONLY | HASREPLY
ASCII2BINARY: Final = 13 | READONLY | HASREPLY


_COST: Final = 384
"""What a message that waits counts beside its arguments, about as in the system's queue."""


class Received(NamedTuple):
    """
    A message that came.

    Args:
        address: The node that sent it, as ``[1a]:``.
        message: What it says; with its arguments as text where an ASCII
            message was asked for.
    """

    address: str
    message: Message

    @property
    def text(self) -> str:
        """The arguments of a message in ASCII form."""
        return self.message.data.split(b"\0", 1)[0].decode("latin-1")


def ascii_message(text: str) -> Message:
    """
    Return what a node is to convert to binary form.

    Args:
        text: The message's name, and behind a blank its arguments.

    Raises:
        OSError: EINVAL, it is not latin-1.
    """
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        raise OSError(EINVAL, f'"{text}" is not latin-1') from None
    name, *rest = text.split(None, 1) or [""]
    return Message(0, 0, "".join(rest).encode("latin-1") + b"\0", cmdstr=name[:31])


def connect(
    name: str | None = None,
    path: str | None = None,
    data: bool = True,
    timeout: float | None = TIMEOUT,
    queue: int = 0,
) -> NodeSocket:
    """
    Make a node of type ``socket`` in the daemon's graph.

    Args:
        name: The node's name, 1 to 31 bytes; None: it has none.
        path: The daemon's socket; None: the usual place.
        data: Whether packets are wanted as well as messages.
        timeout: Seconds that each call may take; None: for ever.
        queue: Bytes wanted for what waits to be received; 0: the usual.

    Raises:
        NoDaemonError: ENOENT, ECONNREFUSED: nobody listens at *path*.
        OSError: EADDRINUSE, the name is taken; EINVAL, it cannot be one;
            EPERM, EACCES, not permitted; ENOBUFS, too many are connected.
    """
    node = NodeSocket(ngd.default_path() if path is None else path, timeout, queue)
    try:
        if name:
            node.bind(name)
        if data:
            node.open_data()
    except BaseException:
        node.close()
        raise
    return node


class NodeSocket:
    """
    A socket node; `connect` makes one.

    Not for several threads at once.  Strings are names and paths of latin-1
    characters, each of which is a byte.

    Args:
        path: The daemon's socket.
        timeout: Seconds that each call may take; None: for ever.
        queue: Bytes wanted for what waits to be received; 0: the usual.

    ``id`` is the node's; ``timeout`` may be changed.  ``trace``, if set, is
    called with ``SENDING`` or ``RECEIVED``, the path, and each message, and why
    it could not be sent, or None.  ``dropped`` counts the messages that came
    while a request was waiting for its response, and for which there was no
    room: what is kept here has as much as the system's queue.
    """

    def __init__(self, path: str, timeout: float | None = TIMEOUT, queue: int = 0) -> None:
        self.path = path
        self._queue = queue
        self._control = Channel(ngd.CONTROL, path, timeout, queue)
        self._data: Channel | None = None
        self._waiting: deque[Received] = deque()
        self._room = self._control.welcome.queue
        self._token = 0
        self.dropped = 0
        self.id = self._control.welcome.node
        self.trace: Callable[[str, str, Message, OSError | None], None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()

    # -- the node

    @property
    def timeout(self) -> float | None:
        """Seconds that each call may take; None: for ever."""
        return self._control.timeout

    @timeout.setter
    def timeout(self, seconds: float | None) -> None:
        self._control.timeout = seconds
        if self._data is not None:
            self._data.timeout = seconds

    @property
    def name(self) -> str:
        """The node's name, or ``[1a]`` if it has none; EPIPE once it was shut down."""
        return self._control.call(ngd.GETNAME).decode("latin-1")

    @property
    def address(self) -> str:
        """The node's path: its id, as ``[1a]:``."""
        return f"[{self.id:x}]:"

    def bind(self, name: str) -> None:
        """Name the node; EINVAL for what can be no name, EADDRINUSE for a taken one."""
        self._control.call(ngd.BIND, name)

    def open_data(self) -> None:
        """Have packets come too, from now on; again is no error."""
        if self._data is None:
            data = Channel(ngd.DATA, self.path, self.timeout, self._queue)
            try:
                data.call(ngd.CONNECT, self.address)
            except BaseException:
                data.close()
                raise
            self._data = data

    def close(self) -> None:
        """End the node; again is no error."""
        self._control.close()
        if self._data is not None:
            self._data.close()

    def fileno(self) -> int:
        """
        Return the descriptor that is readable when a message comes.

        Messages that came while a request was waiting for its response are
        kept here: look at `waiting` too.
        """
        return self._control.fileno()

    def data_fileno(self) -> int:
        """Return the descriptor that is readable when a packet comes."""
        return self._packets().fileno()

    # -- messages out

    def next_token(self) -> int:
        """Return a token that no message of the last two milliards had."""
        self._token = self._token % 0x7FFFFFFF + 1
        return self._token

    def send(self, path: str, message: Message) -> bool:
        """
        Send *message* as it is.

        Returns:
            True when it is done, False for EINPROGRESS: a reply will tell.

        Raises:
            OSError: The errno of its delivery.
        """
        try:
            self._control.call(ngd.SEND, path, message.pack())
        except OSError as error:
            done = error.errno != EINPROGRESS
            if self.trace is not None:
                self.trace("SENDING", path, message, error if done else None)
            if done:
                raise
            return False
        if self.trace is not None:
            self.trace("SENDING", path, message, None)
        return True

    def send_msg(self, path: str, cookie: int, cmd: int, data: bytes = b"") -> int:
        """
        Send a message and return its token, which its response will bear.

        EINPROGRESS is no failure: the response will tell the outcome.

        Args:
            path: The node it is for.
            cookie: The namespace of *cmd*.
            cmd: The number of the message, with its flag bits.
            data: Its arguments in binary form.

        Raises:
            OSError: The errno of its delivery.
        """
        token = self.next_token()
        self.send(path, Message(cookie, cmd, data, token, cmdstr=f"cmd{cmd}"))
        return token

    def send_ascii_msg(self, path: str, text: str) -> int:
        """
        Send the message that *text* writes, and return its token.

        Args:
            path: The node it is for.
            text: Its name, and behind a blank its arguments.

        Raises:
            OSError: ENOSYS, the node has no message of that name; ENOENT,
                EALREADY, EINVAL, E2BIG, ERANGE, the arguments are not what
                it takes; or the errno of its delivery.
        """
        message = self.encode(path, text).with_token(self.next_token())
        self.send(path, message)
        return message.token

    def send_reply_msg(self, path: str, message: Message, data: bytes = b"") -> None:
        """Answer *message*, which came from *path*."""
        self.send(path, message.response(data))

    # -- messages in

    @property
    def waiting(self) -> int:
        """How many messages came while a request was waiting for its response."""
        return len(self._waiting)

    def recv_msg(self, timeout: float | None = None) -> Received:
        """
        Return the next message.

        Args:
            timeout: Seconds to wait for it; None: for ever; 0: not at all.

        Raises:
            NoAnswerError: ETIMEDOUT, none came in time.
            OSError: EPIPE, the node was shut down.
        """
        if not self._waiting:
            return self._arrival(timeout)
        received = self._waiting.popleft()
        self._room += _cost(received)
        return received

    def recv_ascii_msg(self, timeout: float | None = None) -> Received:
        """Return the next message, its arguments as text; as `recv_msg` and `decode`."""
        address, message = self.recv_msg(timeout)
        return Received(address, self.decode(address, message))

    def _arrival(self, timeout: float | None) -> Received:
        event = self._control.event(timeout)
        if event is None:
            raise self._ended()
        received = Received(event.address, Message.unpack(event.payload))
        if self.trace is not None:
            self.trace("RECEIVED", *received, None)
        return received

    def _ended(self) -> OSError:
        """Return why no event will come any more."""
        try:
            self._control.call(ngd.GETNAME)
        except NoDaemonError as error:
            return error
        except OSError:
            pass  # EPIPE: the daemon lives, the node does not
        return OSError(EPIPE, "the node was shut down")

    def put_back(self, address: str, message: Message) -> None:
        """Have *message*, of *address*, be the next to be received."""
        received = Received(address, message)
        self._waiting.appendleft(received)
        self._room -= _cost(received)

    def _keep(self, received: Received) -> None:
        """Have *received* wait; who never looks must not make this grow for ever."""
        if self._room <= 0:
            self.dropped += 1
            return
        self._waiting.append(received)
        self._room -= _cost(received)

    def response(self, token: int, timeout: float | None) -> Received:
        """
        Return the response to the message of *token*; what else comes waits.

        Raises:
            NoAnswerError: ETIMEDOUT, none came in time.
            OSError: ENOSYS, the message was sent to this very node.
        """
        end = None if timeout is None else time.monotonic() + timeout
        for received in self._waiting:
            if received.message.token == token and received.message.is_response:
                self._waiting.remove(received)
                self._room += _cost(received)
                return received
        while True:
            left = None if end is None else max(0.0, end - time.monotonic())
            try:
                received = self._arrival(left)
            except NoAnswerError as error:
                raise NoAnswerError(ETIMEDOUT, f"no response came within {timeout:g} s") from error
            if received.message.token == token:
                if received.message.is_response:
                    return received
                if received.address == self.address:
                    raise OSError(ENOSYS, "a program does not answer itself")
            self._keep(received)

    def ask(self, path: str, message: Message, timeout: float | None = None) -> Received:
        """
        Send *message* under a token of its own and return the response to it.

        Args:
            path: The node it is for.
            message: Of any token.
            timeout: Seconds to wait; None: as long as a call may take.

        Raises:
            NoAnswerError: ETIMEDOUT, no response in time.
            OSError: The errno of its delivery.
        """
        token = self.next_token()
        self.send(path, message.with_token(token))
        return self.response(token, self.timeout if timeout is None else timeout)

    def request(
        self, path: str, cookie: int, cmd: int, data: bytes = b"", timeout: float | None = None
    ) -> Message:
        """Send a message, as `send_msg`, and return the response to it, as `ask`."""
        return self.ask(path, Message(cookie, cmd, data, cmdstr=f"cmd{cmd}"), timeout).message

    def request_ascii(self, path: str, text: str, timeout: float | None = None) -> str:
        """Send an ASCII message, as `send_ascii_msg`, and return its response's arguments."""
        address, message = self.ask(path, self.encode(path, text), timeout)
        return Received(address, self.decode(address, message)).text

    # -- conversion

    def encode(self, path: str, text: str) -> Message:
        """Have the node at *path* convert a message and its arguments to binary form."""
        return self._convert(path, ASCII2BINARY, ascii_message(text))

    def decode(self, address: str, message: Message) -> Message:
        """Have the node at *address* convert a message to text: its name and its arguments."""
        return self._convert(address, BINARY2ASCII, message)

    def _convert(self, path: str, cmd: int, message: Message) -> Message:
        return Message.unpack(self.request(path, GENERIC_COOKIE, cmd, message.pack()).data)

    # -- packets

    def _packets(self) -> Channel:
        if self._data is None:
            raise OSError(EBADF, "the node was made without data")
        return self._data

    def send_data(self, hook: str, data: bytes) -> None:
        """
        Send one packet out of *hook*; "": out of the only one.

        Raises:
            OSError: EHOSTUNREACH, there is no such hook; EDESTADDRREQ, there
                is not exactly one; EMSGSIZE, more than 65536 bytes; ENOBUFS,
                a program that should receive it does not; or the errno of
                its delivery.
        """
        self._packets().call(ngd.SEND, hook, data)

    def recv_data(self, timeout: float | None = None) -> tuple[str, bytes]:
        """
        Return the hook that the next packet came to, and the packet.

        Raises:
            NoAnswerError: ETIMEDOUT, none came within *timeout* seconds.
            OSError: EPIPE, the node was shut down.
        """
        event = self._packets().event(timeout)
        if event is None:
            raise self._ended()
        return event.address, event.payload


def _cost(received: Received) -> int:
    return len(received.message.data) + _COST
