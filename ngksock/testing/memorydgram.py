"""Datagrams in memory."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import IDelayedCall

from ngksock.errors import oserror
from ngksock.kpi import sockaddr
from ngksock.kpi.constants import DGRAM_SLOT, MSG_OOB, RCV_PACKETS
from ngksock.kpi.sockaddr import SockAddr
from ngksock.packet import Batch, Record
from ngksock.testing.memorydriver import DATA, LOCAL, MemorySocket, Segment, Wire

if TYPE_CHECKING:
    from ngksock.kpi import SocketKPI
    from ngksock.kpi.protosw import Protosw
    from ngksock.testing.memory import MemoryNet

__all__ = ["MemoryDgram"]

_LONGEST: Final = {int(socket.AF_INET): 65507, int(socket.AF_INET6): 65527}
"""The longest datagram; a local one has what its wire has."""


class MemoryDgram(MemorySocket):
    """
    A connectionless socket in memory.

    What arrives while so_rcv is full waits in a buffer of the wire's size and
    of 1,024 datagrams; beyond it datagrams are lost (local: EAGAIN).
    """

    def __init__(self, net: MemoryNet, kpi: SocketKPI, proto: Protosw) -> None:
        super().__init__(net, kpi, proto)
        self.wire = Wire(net, self, None)
        self.gone = False
        self._local_peer: MemorySocket | None = None
        self._waiting: list[MemoryDgram] = []  # for room in our wire
        self._space: IDelayedCall | None = None
        self._refusal: IDelayedCall | None = None

    def connect(self, to: SockAddr) -> bool:
        names = self.net.names
        if isinstance(to, bytes):
            self._local_peer = names.at(to, self.proto)
            self.peername = to
        else:
            to = names.reachable(to)
            if to[1] == 0:
                raise oserror(errno.EINVAL, "nobody is at port 0")
            names.settle(self, to[0])
            self.peername = to
        return True

    def send(self, batch: Batch) -> int:
        sent = 0
        names = batch.names if batch.names is not None else [None] * len(batch)
        for packet, to in zip(batch, names, strict=True):
            try:
                if to is not None:
                    to = sockaddr.check(self.proto.domain, to)
                    if isinstance(to, bytes):
                        to = sockaddr.path_bytes(self.kpi.paths.absolute(to))
                self._send(bytes(packet.data), to)
                sent += 1
            except OSError as error:
                self.so.sosenderror(error.errno, packet.len)
        return sent

    def sendmsg(
        self, pieces: Sequence[bytes | memoryview], flags: int, to: SockAddr, control: list[Any]
    ) -> int:
        if control or flags & MSG_OOB:
            raise oserror(errno.EOPNOTSUPP)
        data = b"".join(pieces)
        self._send(data, to, waits=True)
        return len(data)

    def rcvd(self) -> None:
        self.reading = True
        self.wire.wake()

    def detach(self) -> None:
        self.gone = True
        self.wire.close()
        self._wake_senders()
        for call in (self._refusal, self._space):
            if call is not None:
                call.cancel()
        self._refusal = self._space = None
        super().detach()

    def cut(self) -> None:
        self.wire.cut = True
        self.wire.close()

    def arrived(self, segment: Segment) -> None:
        self._wake_senders()
        if len(segment.data) > DGRAM_SLOT:
            self.so.truncated += 1
            return
        batch = Batch((Record(segment.data),))
        if self.peername is None:
            batch.names = [segment.name]
        self.reading = self.so.sbappendbatch(batch)

    def _wake_senders(self) -> None:
        waiting, self._waiting = self._waiting, []
        for sender in waiting:
            if sender._space is None and not sender.gone:
                sender._space = self.net.clock.callLater(0, sender._has_space)

    def _has_space(self) -> None:
        self._space = None
        with self.turn():
            self.so.sospace()

    def _send(self, data: bytes, to: SockAddr, waits: bool = False) -> None:
        """
        Send one datagram to *to*, or to the peer if that is None.

        Args:
            data: Its bytes.
            to: Where to.
            waits: Whether to tell when there is room, if there is none.
        """
        if to is None and self.peername is None:
            raise oserror(errno.EDESTADDRREQ)
        if to is not None and self.peername is not None:
            raise oserror(errno.EISCONN)
        if len(data) > _LONGEST.get(self.proto.domain, self.net.wire):
            raise oserror(errno.EMSGSIZE)
        if self.proto.domain == LOCAL:
            self._send_local(data, to, waits)
        else:
            self._send_inet(data, to)

    def _send_local(self, data: bytes, to: bytes | None, waits: bool) -> None:
        sink = self._local_peer if to is None else self.net.names.at(to, self.proto)
        assert isinstance(sink, MemoryDgram)
        if sink.gone:
            raise oserror(errno.ECONNREFUSED, "the peer was closed")
        if sink._local_peer is not None and sink._local_peer is not self:
            raise oserror(errno.EPERM, "the receiver is connected to another socket")
        if not self._pass(sink, data):
            if waits and self not in sink._waiting:
                sink._waiting.append(self)
            raise oserror(errno.EAGAIN, "the receiver's buffer is full")

    def _send_inet(self, data: bytes, to: SockAddr) -> None:
        names = self.net.names
        if to is not None:
            to = names.reachable(to)
            if to[1] == 0:
                raise oserror(errno.EINVAL, "nobody is at port 0")
            if self.name is None:
                names.ephemeral(self, None)
        else:
            to = self.peername
        source = names.source(self, to[0])
        sink = names.receiver(self.proto, to, source)
        if sink is not None:
            assert isinstance(sink, MemoryDgram)
            self.net.dropped += not self._pass(sink, data, source)
            return
        self.net.dropped += 1
        # An answer comes to those alone who have a peer it can come from.
        if self.peername is not None and self._refusal is None and not self.wire.cut:
            self._refusal = self.net.clock.callLater(2 * self.latency, self._refused)

    def _pass(self, sink: MemoryDgram, data: bytes, source: SockAddr = None) -> bool:
        """Send *data* to *sink*; return False if its buffer is full."""
        wire = sink.wire
        if self.wire.cut or wire.cut:
            self.net.dropped += 1
            return True
        if len(data) > wire.room() or len(wire.queue) >= RCV_PACKETS:
            return False
        name = self.address(self.name if source is None else source)
        wire.put(Segment(DATA, data, name))
        return True

    def _refused(self) -> None:
        self._refusal = None
        with self.turn():
            self.so.soerror(errno.ECONNREFUSED)
