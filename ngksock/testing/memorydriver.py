"""Sockets in memory: what all of them share.

Nothing reaches the other end within a call.  It goes by a `Wire`, which has at
most one delayed call on the clock however much it carries and gives each
arrival a turn of its own: so upcalls can be counted.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import IDelayedCall
from zope.interface import implementer

from ngksock.errors import oserror
from ngksock.interfaces import IUserRequests
from ngksock.kpi.sockaddr import SockAddr, path_text
from ngksock.packet import Batch

if TYPE_CHECKING:
    from ngksock.kpi import Socket, SocketKPI
    from ngksock.kpi.protosw import Protosw
    from ngksock.testing.memory import MemoryNet

__all__ = ["DATA", "FIN", "LOCAL", "OOB", "RST", "MemorySocket", "Segment", "Wire"]

DATA: Final = "data"
OOB: Final = "oob"
FIN: Final = "fin"
RST: Final = "rst"

LOCAL: Final = int(socket.AF_UNIX)

_FLAGS: Final = ("SO_REUSEADDR", "SO_REUSEPORT", "SO_KEEPALIVE", "SO_DONTROUTE", "SO_BROADCAST")
_OPTIONS: Final = {
    "SOL_SOCKET": {
        **dict.fromkeys((*_FLAGS, "SO_OOBINLINE", "SO_DEBUG", "SO_PRIORITY", "SO_MARK"), 0),
        "SO_RCVBUF": 0,  # the wire's size
        "SO_SNDBUF": 0,
    },
    "IPPROTO_IP": {"IP_TOS": 0, "IP_TTL": 64, "IP_MULTICAST_TTL": 1, "IP_MULTICAST_LOOP": 1},
    "IPPROTO_IPV6": {
        "IPV6_V6ONLY": 1,
        "IPV6_TCLASS": 0,
        "IPV6_UNICAST_HOPS": 64,
        "IPV6_MULTICAST_HOPS": 1,
        "IPV6_MULTICAST_LOOP": 1,
    },
    "IPPROTO_TCP": {
        "TCP_NODELAY": 0,
        "TCP_MAXSEG": 1460,
        "TCP_CORK": 0,
        "TCP_NOPUSH": 0,
        "TCP_KEEPIDLE": 7200,
        "TCP_KEEPINTVL": 75,
        "TCP_KEEPCNT": 9,
        "TCP_SYNCNT": 6,
    },
}
_DEFAULTS: Final = {
    (int(getattr(socket, level)), int(getattr(socket, name))): value
    for level, names in _OPTIONS.items()
    for name, value in names.items()
    if hasattr(socket, name)
}
_LEVELS: Final = {  # which levels the sockets of a domain have
    int(socket.AF_INET): {int(socket.SOL_SOCKET), int(socket.IPPROTO_IP)},
    int(socket.AF_INET6): {int(socket.SOL_SOCKET), int(socket.IPPROTO_IPV6)},
    LOCAL: {int(socket.SOL_SOCKET)},
}
_BUFFERS: Final = (int(socket.SO_RCVBUF), int(socket.SO_SNDBUF))


@dataclass(slots=True)
class Segment:
    """
    One thing on its way: bytes, a datagram, or a mark.

    Args:
        kind: DATA, OOB (one urgent byte), FIN (end of file) or RST.
        data: The bytes.
        name: Of a datagram, who sent it.
        due: When it arrives; `Wire.put` sets it.
    """

    kind: str
    data: bytes = b""
    name: SockAddr = None
    due: float = 0.0


class Wire:
    """
    One way to one socket: what was sent and has not been taken in there.

    Args:
        net: Whose clock, latency and size.
        sink: Where it leads.
        source: Whose it is, and who goes on sending when there is room; None
            if that is nobody's business.

    ``nbytes`` is what it holds.  It is ``over`` once a reset was put in, or it
    was closed: what is sent later is lost.  A ``cut`` one delivers nothing
    more, and its source gives up ``net.timeout`` seconds after it wanted to.
    """

    def __init__(self, net: MemoryNet, sink: MemorySocket, source: MemorySocket | None) -> None:
        self.net = net
        self.sink = sink
        self.source = source
        self.queue: deque[Segment] = deque()
        self.nbytes = 0
        self.over = False
        self.cut = False
        self._last = 0.0
        self._call: IDelayedCall | None = None

    def room(self) -> int:
        """Return how many bytes it takes now."""
        return self.net.wire if self.over else self.net.wire - self.nbytes

    def put(self, segment: Segment) -> None:
        """Send *segment*, behind all others; the caller looked for room."""
        if self.over:
            return
        self.over = segment.kind is RST
        # A latency that was made shorter lets nothing overtake.
        self._last = segment.due = max(self._last, self.net.clock.seconds() + self.sink.latency)
        self.queue.append(segment)
        self.nbytes += len(segment.data)
        self.wake()

    def wake(self) -> None:
        """See to it that the oldest segment arrives, if it is wanted there."""
        if self._call is not None or not self.queue:
            return
        clock = self.net.clock
        if self.cut:
            if self.source is not None:
                self._call = clock.callLater(self.net.timeout, self._give_up, self.source)
        elif self.sink.wants(self.over):
            delay = max(0.0, self.queue[0].due - clock.seconds())
            self._call = clock.callLater(delay, self._deliver)

    def arrived(self) -> list[Segment]:
        """Return what is at the other end already, whether it was taken in or not."""
        now = self.net.clock.seconds()
        return [] if self.cut else [segment for segment in self.queue if segment.due <= now]

    def unacknowledged(self) -> int:
        """Return how many bytes, marks counted as one, are not there yet."""
        gone = len(self.arrived())
        return sum(len(segment.data) or 1 for segment in list(self.queue)[gone:])

    def vanish(self) -> None:
        """Deliver nothing any more, and tell nobody."""
        self.cut = True
        self._stop()
        self.wake()

    def abandon(self) -> None:
        """The sink is gone, and the source does not know."""
        if not self.cut:  # else the source is to wait in vain
            self.close()

    def close(self) -> None:
        """Forget all that is in it; nobody is interested."""
        self.over = True
        self.queue.clear()
        self.nbytes = 0
        self._stop()

    def _stop(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _deliver(self) -> None:
        self._call = None
        segment = self.queue.popleft()
        self.nbytes -= len(segment.data)
        with self.sink.turn():
            self.sink.arrived(segment)
        if self.source is not None:
            with self.source.turn():
                self.source.flush()
        self.wake()

    def _give_up(self, source: MemorySocket) -> None:
        self._call = None
        with source.turn():
            source.lost(errno.ETIMEDOUT)


class _Turn:
    """A turn the reactor gave a driver: the upcalls wait until it ends."""

    def __init__(self, kpi: SocketKPI) -> None:
        self.upcalls = kpi.upcalls

    def __enter__(self) -> None:
        self.upcalls.hold()

    def __exit__(self, *error: object) -> None:
        self.upcalls.drain()


@implementer(IUserRequests)
class MemorySocket:
    """
    What every socket in memory has: a name, options, and turns.

    Args:
        net: Where it lives.
        kpi: Whose upcalls it drains.
        proto: Its row of the protocol switch.

    ``name`` is None while unbound, else (host, port) or the bytes of a path;
    ``peername`` likewise.
    """

    so: Socket

    def __init__(self, net: MemoryNet, kpi: SocketKPI, proto: Protosw) -> None:
        self.net = net
        self.kpi = kpi
        self.proto = proto
        self.name: SockAddr = None
        self.peername: SockAddr = None
        self.options: dict[tuple[int, int], int] = {}
        self.reading = True

    # -- IUserRequests

    def attach(self, so: Socket) -> None:
        self.so = so

    def bind(self, to: SockAddr) -> None:
        if self.name is not None:
            raise oserror(errno.EINVAL, "the socket is bound already")
        self.net.names.bind(self, to)

    def listen(self, backlog: int) -> None:
        raise oserror(errno.EOPNOTSUPP)

    def accept(self) -> bool:
        raise oserror(errno.EOPNOTSUPP)

    def connect(self, to: SockAddr) -> bool:
        raise NotImplementedError

    def send(self, batch: Batch) -> int:
        raise NotImplementedError

    def sendmsg(
        self, pieces: Sequence[bytes | memoryview], flags: int, to: SockAddr, control: list[Any]
    ) -> int:
        raise NotImplementedError

    def recvoob(self, peek: bool) -> bytes:
        raise oserror(errno.EOPNOTSUPP)

    def adopted(self) -> int:
        raise oserror(errno.EOPNOTSUPP, "a socket in memory was never the host's")

    def ioctl(self, request: int, arg: bytes) -> bytes:
        raise oserror(errno.EOPNOTSUPP)

    def rcvd(self) -> None:
        raise NotImplementedError

    def shutdown(self) -> None:
        """Nothing to tell the other end of; a stream has something."""

    def outq(self) -> int:
        return 0

    def detach(self) -> None:
        self.net.names.release(self)

    def abort(self) -> None:
        self.detach()

    def sockaddr(self) -> SockAddr:
        return self.address(self.name)

    def peeraddr(self) -> SockAddr:
        if self.peername is None:
            raise oserror(errno.ENOTCONN)
        return self.address(self.peername)

    def ctloutput(
        self, level: int, name: int, value: int | bytes | None = None, length: int = 0
    ) -> int | bytes:
        key = (level, name)
        tcp = level == socket.IPPROTO_TCP == self.proto.protocol
        if key not in _DEFAULTS or not (tcp or level in _LEVELS[self.proto.domain]):
            raise oserror(errno.ENOPROTOOPT)
        if value is None:
            buffer = level == socket.SOL_SOCKET and name in _BUFFERS
            kept = self.options.get(key, self.net.wire if buffer else _DEFAULTS[key])
            return struct.pack("i", kept)[:length] if length else kept
        if isinstance(value, bytes):
            if len(value) < 4:
                raise oserror(errno.EINVAL, "the option takes an int")
            value = int.from_bytes(value[:4], sys.byteorder, signed=True)
        self.options[key] = value
        return b""

    # -- for the net, the wires, and the drivers themselves

    @property
    def latency(self) -> float:
        """Seconds anything takes to get here."""
        return 0.0 if self.proto.domain == LOCAL else self.net.latency

    @property
    def listens(self) -> bool:
        """Whether connections may come in."""
        return False

    def turn(self) -> _Turn:
        """Return what a turn of this socket runs in."""
        return _Turn(self.kpi)

    def option(self, name: int) -> int:
        """Return an option of the socket level."""
        return self.options.get((socket.SOL_SOCKET, name), 0)

    def address(self, name: SockAddr) -> SockAddr:
        """Return a name as programs see it; None is the unbound one."""
        if self.proto.domain == LOCAL:
            return path_text(name)
        if self.proto.domain == socket.AF_INET:
            return ("0.0.0.0", 0) if name is None else name
        return (*(("::", 0) if name is None else name), 0, 0)

    def wants(self, over: bool) -> bool:
        """Say whether a segment may arrive; *over*: a reset is among them."""
        return self.reading

    def arrived(self, segment: Segment) -> None:
        """Take in *segment*; within a turn."""
        raise NotImplementedError

    def flush(self) -> None:
        """Go on with so_snd: the wire may have room; within a turn."""

    def lost(self, code: int) -> None:
        """The connection is no more; within a turn."""

    def reset(self) -> None:
        """Reset the connection, from both sides."""
        raise oserror(errno.ENOTCONN)

    def cut(self) -> None:
        """Let nothing pass any more."""
        raise NotImplementedError
