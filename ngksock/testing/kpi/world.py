"""SocketWorld: what a check of the socket KPI needs to know about sockets of one kind."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from ngksock.kpi.constants import FIONREAD, MSG_DONTWAIT, SO_LINGER, SOL_SOCKET
from ngksock.kpi.msghdr import MsgHdr
from ngksock.testing.kpi.claims import equal, named

__all__ = ["SocketWorld"]

T = TypeVar("T")

DEADLINE = 8.0
"""Seconds after which what a check waits for will not come any more."""

LINGER_NONE = (1).to_bytes(4, "little") + bytes(4)


class SocketWorld:
    """
    Sockets of one kind, and the verbs in which checks speak of them.

    A third party makes a subclass for its implementation: `address` is what
    it must define; the other attributes say what its sockets are like.

    Args:
        provider: Makes the sockets; ISocketKPIProvider.
        clock: Runs delayed calls; a reactor, or what stands for one.
        domain: Of its sockets.
        type: Of its sockets.
        protocol: Of its sockets, as asked for.
        column: Which column of the table these sockets are held to.
        strict: A provider in ``strict_xnu`` mode, or None if there is none.
        flush: Forgets logged errors of a type and returns them, as trial's
            ``flushLoggedErrors``; None: nobody minds them.

    Attributes, for subclasses to change:
        connects: Sockets are connection-oriented.
        records: A receive gives one record, not what is there.
        header: So many bytes of each record are not the sender's.
        resolved: The protocol `gettype` tells.
        wildcard: The address of an unbound socket.
        nobody: The peer's address of an unconnected one.
    """

    header = 0

    def __init__(
        self,
        provider: Any,
        clock: Any,
        domain: int,
        type: int,
        protocol: int = 0,
        *,
        column: str,
        strict: Any = None,
        flush: Callable[[Any], list[Failure]] | None = None,
    ) -> None:
        self.provider, self.strict, self.clock = provider, strict, clock
        self.domain, self.type, self.protocol = domain, type, protocol
        self.column = column
        self.flush = flush
        self.connects = type in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET)
        self.records = type != socket.SOCK_STREAM
        self.resolved = protocol
        self.wildcard: Any = ("0.0.0.0", 0)
        self.nobody: Any = self.wildcard
        self._made: list[Any] = []

    # -- what a subclass defines

    def address(self) -> Any:
        """Return a fresh address to bind to."""
        raise NotImplementedError

    def unused(self) -> Any:
        """Return an address at which nobody is."""
        raise NotImplementedError

    def stuck(self) -> Any:
        """Return an address to which connections are begun and never made."""
        raise NotImplementedError

    def impatient(self, so: Any) -> None:
        """Let *so* give up connecting after few seconds."""
        raise NotImplementedError

    def prepare(self, so: Any) -> None:
        """Do to a new socket what it needs before bind or connect."""

    def descriptor(self, so: Any) -> int:
        """Return the descriptor of the system's that *so* has."""
        raise NotImplementedError

    def leftovers(self) -> list[str]:
        """Return what closed sockets have left behind: descriptors, readers, delayed calls."""
        return []

    def open(self) -> None:
        """Begin a check: what is there now is no leftover."""

    async def pause(self, seconds: float) -> None:
        """Let the clock go on, and happen what is due."""
        await deferLater(self.clock, seconds, lambda: None)

    # -- time

    async def turn(self) -> None:
        """Let the reactor run until it is idle."""
        for _ in range(10):
            await self.pause(0)

    async def until(self, condition: Callable[[], T], what: str = "") -> T:
        """Wait until *condition* is true, and return what it returned."""
        end = self.clock.seconds() + DEADLINE
        step = 0.0
        turns = 0
        while not (found := condition()):
            if self.clock.seconds() > end:
                raise AssertionError(f"in {DEADLINE} s this did not happen: {what or condition}")
            await self.pause(step)
            turns += 1
            step = 0.0 if turns < 50 else 0.002
        return found

    async def result(self, deferred: Any, what: str = "a call") -> Any:
        """Wait for what *deferred* fires with; its failure is raised."""
        got: list[Any] = []
        if not isinstance(deferred, Deferred):
            raise AssertionError(f"{what}: a Deferred was expected, got {deferred!r}")
        deferred.addBoth(got.append)
        await self.until(lambda: got, f"{what} fires")
        if isinstance(got[0], Failure):
            got[0].raiseException()
        return got[0]

    async def fails(self, code: int, deferred: Any, what: str = "a call that waits") -> None:
        """Claim that *deferred* fails with *code*, some time."""
        try:
            got = await self.result(deferred, what)
        except OSError as error:
            equal(named(code), named(error.errno), what)
            return
        raise AssertionError(f"{what}: expected {named(code)}, got {got!r}")

    # -- sockets

    def socket(self, callback: Any = None, cookie: Any = None, *, strict: bool = False) -> Any:
        """Make a socket."""
        provider = self.strict if strict else self.provider
        so = provider.socket(self.domain, self.type, self.protocol, callback, cookie)
        self.prepare(so)
        return self.mine(so)

    def mine(self, so: Any) -> Any:
        """Remember to close *so*, and return it."""
        self._made.append(so)
        return so

    def listener(self, backlog: int = 5, *, strict: bool = False) -> Any:
        """Make a listening socket."""
        so = self.socket(strict=strict)
        so.bind(self.address())
        so.listen(backlog)
        return so

    def begin(self, so: Any, to: Any) -> None:
        """Begin to connect *so*."""
        try:
            so.connect(to, MSG_DONTWAIT)
        except BlockingIOError as error:
            equal(named(errno.EINPROGRESS), named(error.errno), "connect")

    async def connect(self, so: Any, to: Any) -> Any:
        """Connect *so*, and return it."""
        self.begin(so, to)
        await self.until(so.isconnected, "a socket is connected")
        return so

    async def accept(self, listener: Any, *args: Any) -> Any:
        """Accept what waits, or comes soon."""

        def attempt() -> Any:
            try:
                return listener.accept(MSG_DONTWAIT, *args)
            except BlockingIOError:
                return None

        so, _name = await self.until(attempt, "a connection to accept")
        return self.mine(so)

    async def pair(self) -> tuple[Any, Any]:
        """Return two connected sockets; the first connected, the second was accepted."""
        if not self.connects:
            return self.couple()
        listener = self.listener()
        client = await self.connect(self.socket(), listener.getsockname())
        accepted = await self.accept(listener)
        await self.turn()
        listener.close()
        return client, accepted

    def couple(self) -> tuple[Any, Any]:
        """Return two datagram sockets that are each other's peer."""
        one, other = self.socket(), self.socket()
        one.bind(self.address())
        other.bind(self.address())
        one.connect(other.getsockname(), MSG_DONTWAIT)
        other.connect(one.getsockname(), MSG_DONTWAIT)
        return one, other

    # -- data

    def send(self, so: Any, data: bytes, flags: int = 0, to: Any = None) -> None:
        """Send *data*, now and whole."""
        sent = so.send(MsgHdr(name=to, iov=[data]), flags | MSG_DONTWAIT)
        equal(len(data), sent, "send")

    def receive(self, so: Any, size: int = 64, flags: int = 0) -> bytes:
        """Receive what is there."""
        return self.receive_msg(so, size, flags)[0]

    def receive_msg(self, so: Any, size: int = 64, flags: int = 0) -> tuple[bytes, MsgHdr]:
        """Receive what is there, and what was told about it."""
        space = bytearray(size + self.header)
        msg = MsgHdr(iov=[space])
        got = so.receive(msg, flags | MSG_DONTWAIT)
        return bytes(space[self.header : got]), msg

    async def arrived(self, so: Any, size: int) -> None:
        """Wait until *size* bytes wait in *so*."""
        size += self.header
        await self.until(lambda: so.ioctl(FIONREAD) >= size, f"{size} bytes arrive")

    async def exactly(self, so: Any, size: int) -> bytes:
        """Receive until there are *size* bytes, or the end of file."""
        data = b""
        while len(data) < size:
            piece = await self.next(so, size - len(data))
            if not piece:
                break
            data += piece
        return data

    async def next(self, so: Any, size: int = 1 << 16) -> bytes:
        """Receive what is there or comes next."""

        def attempt() -> list[bytes]:
            try:
                return [self.receive(so, size)]
            except BlockingIOError:
                return []

        return (await self.until(attempt, "something arrives"))[0]

    async def exchange(self, one: Any, other: Any, data: bytes = b"hello") -> None:
        """Claim that *one* can send to *other*."""
        self.send(one, data)
        equal(data, await self.exactly(other, len(data)), "what arrives")

    # -- ends

    def reset(self, so: Any, peer: Any = None) -> None:
        """Close *so* so that its *peer* sees a reset."""
        so.setsockopt(SOL_SOCKET, SO_LINGER, LINGER_NONE)
        so.close()

    async def gone(self, so: Any) -> None:
        """Wait until the connection of *so* is over."""
        await self.until(lambda: not so.isconnected(), "a connection ends")
        await self.turn()

    def abandon(self) -> None:
        """Close all that was made."""
        made, self._made = self._made, []
        for so in made:
            try:
                so.abort()
            except OSError as error:
                equal(named(errno.EBADF), named(error.errno), "abort of a closed socket")

    async def close(self) -> None:
        """Close all that was made, and claim that nothing is left."""
        self.abandon()
        await self.turn()
        left = self.leftovers()
        for _ in range(200):
            if not left:
                return
            await self.pause(0.005)
            left = self.leftovers()
        raise AssertionError(f"closed sockets have left behind {left}")
