"""Sending: the tests in XNU's order, then as much as there is space for.

Bytes go to the system at once while nothing waits before them; so_snd takes
the rest, copied, up to its high-water mark (kpi-socket.md §6.22, §6.23).
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from ngksock.errors import oserror
from ngksock.kpi import constants as c
from ngksock.kpi.lower import WOULD_BLOCK
from ngksock.kpi.mbuf import Mbuf
from ngksock.kpi.msghdr import Control
from ngksock.kpi.traffic import marked
from ngksock.kpi.wait import Call
from ngksock.packet import Batch, Packet

if TYPE_CHECKING:
    from ngksock.kpi.sockaddr import SockAddr
    from ngksock.kpi.socket import Socket

__all__ = ["Sending", "consume"]

HOST_FLAGS = c.MSG_DONTROUTE | c.MSG_NOSIGNAL
IOV_MAX = 1024


class Sending(Call[int]):
    """
    One call of send or sendmbuf.

    Args:
        so: The socket.
        flags: MSG_OOB, MSG_DONTROUTE, MSG_EOF.
        views: What to send.
        to: Where to, or None.
        control: Control messages.
        whole: All at once or nothing, on a stream as well.
        waits: Whether this is in blocking mode.

    Raises:
        OSError: EOPNOTSUPP, EINVAL: flags that the socket has no use for.
    """

    __slots__ = (
        "control",
        "flags",
        "sent",
        "so",
        "to",
        "total",
        "urgent",
        "views",
        "waits",
        "whole",
    )

    def __init__(
        self,
        so: Socket,
        flags: int,
        views: list[memoryview],
        to: SockAddr,
        control: list[Control],
        whole: bool,
        waits: bool,
    ) -> None:
        if not isinstance(flags, int):
            raise oserror(errno.EINVAL, "flags is a number")
        self.so = so
        self.flags = flags
        self.views = [view for view in views if view.nbytes]
        self.to = to
        self.control = marked(so, control)
        self.whole = whole
        self.waits = waits
        self.total = sum(view.nbytes for view in self.views)
        self.sent = 0
        self.urgent = b""
        if flags & c.MSG_OOB and so.proto.stream and self.views:
            last = self.views[-1]  # it is the last byte that is urgent
            self.urgent = bytes(last[-1:])
            self.views[-1:] = [last[:-1]] if last.nbytes > 1 else []

    def attempt(self) -> int:
        so, snd = self.so, self.so.so_snd
        so.check_open()
        self._check()
        if so.proto.atomic and self.total > snd.hiwat:
            raise oserror(errno.EMSGSIZE, f"{self.total} bytes, SO_SNDBUF is {snd.hiwat}")
        if not so.proto.connrequired:
            return self._datagram()
        if self.whole and self.total > snd.hiwat:
            raise oserror(errno.EMSGSIZE, f"{self.total} bytes, SO_SNDBUF is {snd.hiwat}")
        if so.proto.atomic:
            return self._record()
        if self.control and not self._controlled():
            return self._rest()
        room = snd.space
        least = self.total if self.whole else min(snd.lowat, snd.hiwat)
        if snd.cc and room < least:
            snd.high = True
            return self._rest()
        if self.views:
            self._stream(room)
        if self.views:
            return self._rest()
        if self.urgent:
            self._mark()
        return self._done()

    def interrupted(self, code: int) -> int:
        self.views = []  # the buffers are their owner's again
        if self.sent and code != errno.EBADF:
            return self.sent
        raise oserror(code)

    def closed(self) -> int:
        return self.interrupted(errno.EPIPE)

    def _check(self) -> None:
        """Refuse, in XNU's order."""
        so, state = self.so, self.so.state
        stream = so.proto.stream
        if self.flags & c.MSG_OOB and not so.proto.has_urgent:
            raise oserror(errno.EOPNOTSUPP, "only a plain stream has urgent data")
        if self.control and so.proto.is_tls:
            raise oserror(errno.EOPNOTSUPP, "TLS has no control data")
        if self.flags & c.MSG_EOR and stream:
            raise oserror(errno.EINVAL, "a stream has no records")
        if state & (c.SS_DEFUNCT | c.SS_CANTSENDMORE):
            raise oserror(errno.EPIPE)
        so.raise_error()
        if so.proto.connrequired:
            if not state & c.SS_ISCONNECTED:
                raise oserror(errno.ENOTCONN)
        elif self.to is None:
            if not state & c.SS_ISCONNECTED:
                raise oserror(errno.EDESTADDRREQ)
        elif state & c.SS_ISCONNECTED:
            raise oserror(errno.EISCONN)

    def _datagram(self) -> int:
        so = self.so
        to = None if self.to is None else so.address(self.to)
        pieces = self.views if len(self.views) <= IOV_MAX else [memoryview(b"".join(self.views))]
        so.driver.sendmsg(pieces, self.flags & HOST_FLAGS, to, self.control)
        so.sndpackets += 1
        so.sndbytes += self.total
        return self.total

    def _record(self) -> int:
        """Send one record of a connection; an empty one would look like its end."""
        so, snd = self.so, self.so.so_snd
        if not self.views:
            return self._done()
        data = memoryview(b"".join(self.views))
        if snd.cc:
            if self.control or self.total > snd.space:
                snd.high = True
                return self._rest()
            snd.append(Batch((Packet(bytes(data)),), self.total), 0)
        else:
            try:
                so.driver.sendmsg([data], self.flags & HOST_FLAGS, None, self.control)
            except BlockingIOError:
                snd.high = True
                if self.control:
                    raise
                snd.append(Batch((Packet(bytes(data)),), self.total), 0)
        self._took(self.total)
        return self._done()

    def _controlled(self) -> bool:
        """Send what the control messages go with; return False if that must wait."""
        so, snd = self.so, self.so.so_snd
        snd.high = True  # so that we hear of it when there is room
        if snd.cc:
            return False
        flags = self.flags & HOST_FLAGS
        try:
            sent = so.driver.sendmsg(self.views[:IOV_MAX], flags, None, self.control)
        except BlockingIOError:
            return False
        snd.high = False
        self._took(sent)
        self.control = []
        return True

    def _mark(self) -> None:
        """Send the last byte as urgent data, behind whatever waits."""
        so, snd, byte = self.so, self.so.so_snd, self.urgent
        self.urgent = b""
        so.sndbytes += 1
        if not snd.cc:
            try:
                so.driver.sendmsg([byte], c.MSG_OOB, None, [])
                return
            except BlockingIOError:
                snd.high = True
        snd.append_urgent(byte)

    def _stream(self, room: int) -> None:
        """Hand the system what it takes, and so_snd what fits of the rest."""
        so, snd = self.so, self.so.so_snd
        left = sum(view.nbytes for view in self.views)
        if not snd.cc:
            taken = so.push(Batch(map(Packet, self.views), left))
            self._took(taken)
            left -= taken
        if not left:
            return
        count = left if self.whole else min(left, room)
        snd.append(Batch((Packet(_first(self.views, count)),), count), 0)
        self._took(count)
        if self.views:
            snd.high = True

    def _took(self, count: int) -> None:
        """Note that *count* bytes are sent or will be."""
        so = self.so
        so.sndbytes += count
        self.sent += count
        views = self.views
        gone = 0
        for view in views:
            if view.nbytes > count:
                break
            count -= view.nbytes
            gone += 1
        del views[:gone]
        if count:
            views[0] = views[0][count:]

    def _rest(self) -> int:
        """Some is left: that is the end of it, or a reason to wait."""
        if self.sent and not self.waits:
            self.so.sndpackets += 1
            return self.sent
        raise BlockingIOError(errno.EWOULDBLOCK, WOULD_BLOCK)

    def _done(self) -> int:
        self.so.sndpackets += 1
        if self.flags & c.MSG_EOF:
            self.so.shutdown(c.SHUT_WR)
        return self.total


def consume(data: Mbuf | None) -> list[memoryview]:
    """
    Take the bytes out of the chain *data* and free it, whatever comes of it.

    Raises:
        OSError: EINVAL, no chain, no packet header, or a wrong length in it.
    """
    if not isinstance(data, Mbuf):
        raise oserror(errno.EINVAL, "a chain of mbufs is needed")
    # The memory of an external cluster is its owner's again once it is freed.
    views = [_lend(m) for m in data]
    header, length = data.pkthdr, sum(view.nbytes for view in views)
    data.freem()
    if header is None or header.len != length:
        told = "there is none" if header is None else f"it says {header.len}"
        raise oserror(errno.EINVAL, f"the packet header is to say {length} bytes; {told}")
    return views


def _lend(m: Mbuf) -> memoryview:
    """Return the bytes of one mbuf, which stay as they are however long they wait."""
    if m.cluster.free is not None:
        return memoryview(bytes(m.data()))
    m.cluster.share()  # for good: whoever else has the cluster writes to a copy
    return m.data()


def _first(views: list[memoryview], count: int) -> bytes:
    """Return a copy of the first *count* bytes."""
    pieces = []
    for view in views:
        pieces.append(view[:count])
        count -= view.nbytes
        if count <= 0:
            break
    return b"".join(pieces)
