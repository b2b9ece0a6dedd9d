"""Streams in memory, and streams of records.

A connection is two ends and a `Wire` each way.  The end of a connection is a
segment like the data before it, and arrives after it.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import IDelayedCall

from ngksock.errors import oserror
from ngksock.kpi.constants import DGRAM_SLOT, MSG_OOB, SIOCATMARK
from ngksock.kpi.sockaddr import SockAddr, path_text
from ngksock.packet import Batch, Piece
from ngksock.testing.memorydriver import DATA, FIN, OOB, RST, MemorySocket, Segment, Wire

if TYPE_CHECKING:
    from ngksock.kpi import SocketKPI
    from ngksock.kpi.protosw import Protosw
    from ngksock.testing.memory import MemoryNet

__all__ = ["MemorySeqpacket", "MemoryStream"]

IDLE: Final = "idle"
LISTENING: Final = "listening"
CONNECTING: Final = "connecting"
CONNECTED: Final = "connected"
ENDED: Final = "ended"


class MemoryStream(MemorySocket):
    """
    A connection-oriented socket in memory.

    A listener holds at most ``backlog`` connections that wait for accept, the
    socket's so_comp included, in ``pending``; those that try meanwhile are in
    ``stuck``.  An end of a connection has a wire ``out`` and a wire ``inward``.
    """

    def __init__(self, net: MemoryNet, kpi: SocketKPI, proto: Protosw) -> None:
        super().__init__(net, kpi, proto)
        self.mode = IDLE
        # a listener
        self.backlog = 0
        self.pending: deque[MemoryStream] = deque()
        self.stuck: list[MemoryStream] = []
        # an attempt
        self.listener: MemoryStream | None = None
        self.timer: IDelayedCall | None = None
        # a connection
        self.peer: MemoryStream | None = None
        self.out = Wire(net, self, None)
        self.inward = self.out
        self.begun = True
        self.stalled = False
        self.fin = False
        self.atmark = False
        self.urgent = b""
        self._call: IDelayedCall | None = None

    # -- a listener

    @property
    def listens(self) -> bool:
        return self.mode == LISTENING

    def listen(self, backlog: int) -> None:
        names = self.net.names
        if self.name is None:
            names.ephemeral(self, None)
        names.check_listen(self)
        self.mode = LISTENING
        self.backlog = backlog
        self.rcvd()

    def accept(self) -> bool:
        if not self.pending:
            return False
        server = self.pending.popleft()
        self.so.sonewconn(server, server.address(server.peername))
        return True

    def _full(self) -> bool:
        return len(self.pending) + len(self.so.so_comp or ()) >= self.backlog

    def _admit(self, client: MemoryStream) -> None:
        """Make a connection with *client*; it waits for accept."""
        server = type(self)(self.net, self.kpi, self.proto)
        server.options = dict(self.options)
        server.begun = server.reading = False
        server.peer, client.peer = client, server
        server.inward = client.out = Wire(self.net, server, client)
        client.inward = server.out = Wire(self.net, client, server)
        server.peername = client.name if client.name is not None else b""
        name = client.peername
        server.name = name
        if not isinstance(name, bytes):
            self.net.names.add(server)
        self.pending.append(server)
        server.mode = client.mode = CONNECTED
        self.rcvd()

    def _schedule(self, delay: float = 0.0) -> None:
        if self._call is None:
            self._call = self.net.clock.callLater(delay, self._soon)

    def _soon(self) -> None:
        self._call = None
        if self.mode == CONNECTING:
            self._knock()
            return
        while self.stuck and self.mode == LISTENING and not self._full():
            self.stuck.pop(0)._enter(self)
        if self.mode == LISTENING and self.pending and not self.so.full:
            with self.turn():
                self.accept()
            self.rcvd()

    # -- an attempt

    def connect(self, to: SockAddr) -> bool:
        names = self.net.names
        if isinstance(to, bytes):
            listener = names.at(to, self.proto)
            if not isinstance(listener, MemoryStream) or not listener.listens:
                raise oserror(errno.ECONNREFUSED, f"nobody listens at {path_text(to)}")
            if listener._full():
                raise oserror(
                    errno.ECONNREFUSED, f"the backlog of {path_text(to)} is full; try again"
                )
            self.peername = to
            listener._admit(self)
            return True
        to = names.reachable(to)
        names.settle(self, to[0])
        self.peername = to
        self.mode = CONNECTING
        self.timer = self.net.clock.callLater(self.net.timeout, self._timed_out)
        self._schedule(2 * self.latency)
        return False

    def _knock(self) -> None:
        """The first segment gets where it should, and its answer comes back."""
        listener = self.net.names.listener(self.proto, self.peername)
        if not isinstance(listener, MemoryStream):
            with self.turn():
                self.lost(errno.ECONNREFUSED)
        elif listener._full():
            self.listener = listener
            listener.stuck.append(self)
        else:
            self._enter(listener)

    def _enter(self, listener: MemoryStream) -> None:
        self.listener = None
        self._stop()
        listener._admit(self)
        with self.turn():
            self.so.soisconnected()
            self.stalled = self.so.so_snd.cc > 0
            self.flush()

    def _timed_out(self) -> None:
        self.timer = None
        with self.turn():
            self.lost(errno.ETIMEDOUT)

    def _stop(self) -> None:
        """End the attempt, whatever became of it."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self._call is not None:
            self._call.cancel()
            self._call = None
        if self.listener is not None:
            self.listener.stuck.remove(self)
            self.listener = None

    # -- a connection: out

    def send(self, batch: Batch) -> int:
        self._check()
        return self._put(b"".join([packet.data for packet in batch]))

    def sendmsg(
        self, pieces: Sequence[bytes | memoryview], flags: int, to: SockAddr, control: list[Any]
    ) -> int:
        if control:
            raise oserror(errno.EOPNOTSUPP)
        self._check()
        data = b"".join(pieces)
        room = self.out.room()
        if data and room <= 0:
            self.stalled = True
            raise oserror(errno.EWOULDBLOCK)
        if not data or not flags & MSG_OOB or len(data) > room:
            return self._put(data)
        self._put(data[:-1])
        self.out.put(Segment(OOB, data[-1:]))
        return len(data)

    def _check(self) -> None:
        if self.mode != CONNECTED:
            raise oserror(errno.EPIPE)

    def _put(self, data: bytes) -> int:
        """Send as much of *data* as there is room for: one arrival."""
        taken = min(len(data), max(self.out.room(), 0))
        if taken:
            self.out.put(Segment(DATA, data[:taken]))
        self.stalled = self.stalled or taken < len(data)
        return taken

    def flush(self) -> None:
        if not self.stalled or self.mode != CONNECTED:
            return
        snd = self.so.so_snd
        before = snd.cc
        self._push()
        self.stalled = snd.cc > 0
        if snd.cc < before or not snd.cc:
            self.so.sowwakeup()

    def _push(self) -> None:
        """Send from so_snd what there is room for."""
        snd = self.so.so_snd
        while snd.cc and self.out.room() > 0:
            if snd.urgent:
                self.out.put(Segment(OOB, b"".join(snd.gather())))
                snd.sbdrop(1)
                continue
            snd.sbdrop(self._put(b"".join(snd.gather())))

    def shutdown(self) -> None:
        self.fin = True
        self.out.put(Segment(FIN))

    def outq(self) -> int:
        return self.out.unacknowledged()

    # -- a connection: in

    def rcvd(self) -> None:
        if self.mode == LISTENING:
            ready = self.pending and not self.so.full
            if ready or (self.stuck and not self._full()):
                self._schedule()
        else:
            self.reading = self.begun = True
            self.inward.wake()

    def wants(self, over: bool) -> bool:
        # A reset waits for no reader, but for accept; and no reader at all
        # is left when the socket is closed.
        return self.mode == ENDED or (self.begun and (self.reading or over))

    def arrived(self, segment: Segment) -> None:
        kind = segment.kind
        if self.mode == ENDED:
            if segment.data:
                self.out.put(Segment(RST))  # nobody is here to read it
        elif kind is RST:
            self.lost(errno.ECONNRESET)
        elif kind is FIN:
            self.so.socantrcvmore()
        elif kind is OOB and not (segment.data and self.option(socket.SO_OOBINLINE)):
            self.atmark = True
            self.urgent = segment.data or self.urgent
        else:
            self.atmark = False
            self._take(segment.data)

    def _take(self, data: bytes) -> None:
        self.reading = self.so.sbappend(Piece(data))

    def recvoob(self, peek: bool) -> bytes:
        if not self.urgent and not self.option(socket.SO_OOBINLINE):
            # It may be here, behind data that nobody has read.
            for segment in self.inward.arrived():
                if segment.kind is OOB:
                    self.urgent, segment.data = segment.data, b""
                    self.inward.nbytes -= len(self.urgent)
                    break
        byte = self.urgent
        if not byte:
            raise oserror(errno.EINVAL, "there is no urgent byte")
        if not peek:
            self.urgent = b""
        return byte

    def ioctl(self, request: int, arg: bytes) -> bytes:
        if request != SIOCATMARK:
            raise oserror(errno.EOPNOTSUPP)
        return struct.pack("i", self.atmark)

    def peeraddr(self) -> SockAddr:
        if self.mode != CONNECTED or any(s.kind is RST for s in self.inward.arrived()):
            raise oserror(errno.ENOTCONN)
        return super().peeraddr()

    # -- the end

    def lost(self, code: int) -> None:
        if self.mode == ENDED:
            return
        self.mode = ENDED
        self._stop()
        self.inward.abandon()
        if not self.out.over:
            self.out.close()  # else a reset is on its way to the peer
        self.so.soisdisconnected(code)

    def detach(self) -> None:
        self._end(RST if any(s.data for s in self.inward.arrived()) else FIN)

    def abort(self) -> None:
        self._end(RST)

    def _end(self, kind: str) -> None:
        mode, self.mode = self.mode, ENDED
        self._stop()
        super().detach()
        pending, self.pending = self.pending, deque()
        for server in pending:
            server.abort()
        stuck, self.stuck = self.stuck, []
        for client in stuck:
            client.listener = None
            client._schedule(2 * client.latency)  # to be refused, or to find another
        peer = self.peer
        if peer is None:
            return
        if mode == CONNECTED and (kind is RST or not self.fin):
            self.out.put(Segment(kind))
        if peer.mode == ENDED:
            self.inward.close()
            self.out.close()
        elif self.out.cut:
            self.out.close()
        elif kind is RST:
            self.inward.abandon()
        else:
            self.inward.wake()  # what comes now is answered by a reset
        self.peer = None

    # -- faults

    def reset(self) -> None:
        if self.mode != CONNECTED:
            super().reset()
        self.inward.put(Segment(RST))
        self.out.put(Segment(RST))

    def cut(self) -> None:
        if self.mode == CONNECTED:
            self.inward.vanish()
            self.out.vanish()
        elif self.mode == CONNECTING:
            timer, self.timer = self.timer, None
            self._stop()
            self.timer = timer
        else:
            raise oserror(errno.ENOTCONN)


class MemorySeqpacket(MemoryStream):
    """A connection-oriented socket of records; one of no bytes is never sent."""

    def send(self, batch: Batch) -> int:
        self._check()
        total = 0
        for packet in batch:
            if packet.len > self.net.wire:
                self.so.sosenderror(errno.EMSGSIZE, packet.len)
            elif self._record(packet.data) < packet.len:
                break
            total += packet.len  # sent, or it never will be
        return total

    def sendmsg(
        self, pieces: Sequence[bytes | memoryview], flags: int, to: SockAddr, control: list[Any]
    ) -> int:
        if control or flags & MSG_OOB:
            raise oserror(errno.EOPNOTSUPP)
        self._check()
        data = b"".join(pieces)
        if len(data) > self.net.wire:
            raise oserror(errno.EMSGSIZE)
        if self._record(data) < len(data):
            raise oserror(errno.EWOULDBLOCK)
        return len(data)

    def recvoob(self, peek: bool) -> bytes:
        raise oserror(errno.EOPNOTSUPP)

    def _record(self, data: bytes | memoryview) -> int:
        """Send *data* as one record, or nothing of it."""
        if len(data) > self.out.room():
            self.stalled = True
            return 0
        return self._put(bytes(data))

    def _push(self) -> None:
        snd = self.so.so_snd
        while snd.cc:
            for piece in snd.gather():
                if len(piece) > self.net.wire:
                    self.so.sosenderror(errno.EMSGSIZE, len(piece))
                elif self._record(piece) < len(piece):
                    return
                snd.sbdrop(len(piece))

    def _take(self, data: bytes) -> None:
        if len(data) > DGRAM_SLOT:
            self.so.truncated += 1
        else:
            super()._take(data)
