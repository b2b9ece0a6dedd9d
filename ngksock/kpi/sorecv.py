"""Receiving: one class for every way to do it (kpi-socket.md §6.17 to §6.21).

What is here is taken in this order: what arrived, the error slot, once, the
end of file, as often as asked.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from ngksock.errors import oserror
from ngksock.kpi import constants as c
from ngksock.kpi.ancillary import Datagram
from ngksock.kpi.lower import LIVE, WOULD_BLOCK
from ngksock.kpi.mbuf import Mbuf
from ngksock.kpi.msghdr import MsgHdr
from ngksock.kpi.soopt import recall
from ngksock.kpi.wait import Call
from ngksock.packet import Batch, Packet

if TYPE_CHECKING:
    from ngksock.kpi.socket import Socket

__all__ = ["Receiving"]

Piece = bytes | memoryview


class Receiving(Call[tuple[Mbuf | None, int]]):
    """
    One call of receive, receivembuf or receive_internal.

    Args:
        so: The socket.
        flags: MSG_PEEK, MSG_WAITALL, MSG_DONTWAIT, MSG_OOB.
        want: At most so many bytes.
        views: Where to put them; None: into a chain.
        msg: Where to put name, control and flags, or None.
        waits: Whether this is in blocking mode.
    """

    __slots__ = ("flags", "got", "mbuf", "msg", "pieces", "so", "views", "waits", "want")

    def __init__(
        self,
        so: Socket,
        flags: int,
        want: int,
        views: list[memoryview] | None,
        msg: MsgHdr | None,
        waits: bool,
    ) -> None:
        if not isinstance(flags, int):
            raise oserror(errno.EINVAL, "flags is a number")
        self.so = so
        self.flags = flags
        self.want = want
        self.views = views
        self.msg = msg
        self.waits = waits
        self.got = 0
        self.pieces: list[Piece] = []

    def attempt(self) -> tuple[Mbuf | None, int]:
        so = self.so
        so.check_open()
        if so.state & c.SS_DEFUNCT:
            raise oserror(errno.ENOTCONN, "the socket is defunct")
        if self.flags & c.MSG_OOB:
            return self._urgent()
        batch = so.so_rcv.batch
        if batch:
            return self._record(batch) if so.proto.atomic else self._stream()
        if not self.got:
            so.raise_error(bool(self.flags & c.MSG_PEEK))
        if self.got or so.state & c.SS_CANTRCVMORE:
            # After progress an error stays for the next call.
            if so.so_error or so.state & c.SS_CANTRCVMORE:
                return self._end()
            raise BlockingIOError(errno.EWOULDBLOCK, WOULD_BLOCK)
        if so.proto.connrequired and not so.state & LIVE:
            raise oserror(errno.ENOTCONN)
        if not self.want:
            return self._end()
        raise BlockingIOError(errno.EWOULDBLOCK, WOULD_BLOCK)

    def interrupted(self, code: int) -> tuple[Mbuf | None, int]:
        if self.got and code != errno.EBADF:
            return self._end()
        raise oserror(code)

    def closed(self) -> tuple[Mbuf | None, int]:
        return self._end()

    def _urgent(self) -> tuple[Mbuf | None, int]:
        if not self.so.proto.stream:
            raise oserror(errno.EOPNOTSUPP, "only a stream has urgent data")
        data = self.so.driver.recvoob(bool(self.flags & c.MSG_PEEK))
        return self._give([data], len(data), c.MSG_OOB)

    def _stream(self) -> tuple[Mbuf | None, int]:
        so, rcv = self.so, self.so.so_rcv
        wanted = self.want - self.got
        whole = self.flags & c.MSG_WAITALL
        # What is larger than the buffer is collected in pieces.
        piecemeal = whole and self.waits and wanted > rcv.hiwat
        need = wanted if whole else min(rcv.lowat, wanted)
        last = so.so_error or so.state & c.SS_CANTRCVMORE
        if rcv.cc < need and not (last or piecemeal or self.flags & c.MSG_DONTWAIT):
            if rcv.full and need <= rcv.hiwat:  # of small packets: there is room for the rest
                rcv.sbcompress()
                so.rcvd()
            raise BlockingIOError(errno.EWOULDBLOCK, WOULD_BLOCK)
        count = min(wanted, rcv.cc)
        pieces = rcv.look(count)
        if self.flags & c.MSG_PEEK:
            return self._give(pieces, count, 0)
        rcv.sbdrop(count)
        self._make_room()
        if piecemeal and count < wanted:
            self._keep(pieces, count)
            return self.attempt()
        return self._give(pieces, count, 0)

    def _record(self, batch: Batch) -> tuple[Mbuf | None, int]:
        so, rcv = self.so, self.so.so_rcv
        packet = batch[0]
        flags = 0
        if self.msg is not None:
            name = None if batch.names is None else batch.names[0]
            self.msg.name = so.peer if name is None else name
            if isinstance(packet, Datagram):
                self.msg.control = list(packet.control)
                flags = packet.flags
        data: Piece = packet.data
        rest = None
        if packet.len > self.want:
            data = memoryview(packet.data)[: self.want]
            if recall(so, c.SO_DONTTRUNC):
                rest = memoryview(packet.data)[self.want :]
                flags |= c.MSG_RCVMORE
            else:
                flags |= c.MSG_TRUNC
        if not self.flags & c.MSG_PEEK:
            rcv.drop_record(rest)
            self._make_room()
            if recall(so, c.SO_WANTMORE) and rcv.batch is not None:
                flags |= c.MSG_HAVEMORE
        return self._give([data], len(data), flags)

    def _make_room(self) -> None:
        """Let a transport that paused go on."""
        rcv = self.so.so_rcv
        if rcv.full and rcv.low:
            self.so.rcvd()

    def _keep(self, pieces: list[Piece], count: int) -> None:
        """Put *pieces* where they belong: into the buffers, or aside for the chain."""
        self.got += count
        if self.views is None:
            self.pieces += pieces
            return
        views = self.views
        for piece in pieces:
            data = memoryview(piece)
            while data.nbytes:
                room = views[0].nbytes
                views[0][: data.nbytes] = data[:room]
                views[0] = views[0][data.nbytes :]
                data = data[room:]
                if not views[0].nbytes:
                    del views[0]

    def _give(self, pieces: list[Piece], count: int, flags: int) -> tuple[Mbuf | None, int]:
        self._keep(pieces, count)
        if self.msg is not None:
            self.msg.flags = flags
        if self.views is not None:
            self.views = []  # the buffers are their owner's again
            return None, self.got
        if self.flags & c.MSG_PEEK and self.so.kpi.strict_xnu:
            return None, self.got  # XNU tells the length alone
        return Mbuf.from_packets(Batch(map(Packet, self.pieces))), self.got

    def _end(self) -> tuple[Mbuf | None, int]:
        """End with what there is, maybe nothing."""
        if self.got:
            return self._give([], 0, 0)
        if self.views is not None:
            self.views = []
        if self.msg is not None:
            self.msg.flags = 0
        return None, 0
