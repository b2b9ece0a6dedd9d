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

    __slots__ = ("control", "flags", "sent", "so", "to", "total", "views", "waits", "whole")

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
        self.so = so
        self.flags = flags
        self.views = [view for view in views if view.nbytes]
        self.to = to
        self.control = marked(so, control)
        self.whole = whole
        self.waits = waits
        self.total = sum(view.nbytes for view in self.views)
        self.sent = 0

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
        if self.flags & c.MSG_OOB or self.control:
            return self._alone()
        room = snd.space
        least = self.total if self.whole or so.proto.atomic else min(snd.lowat, snd.hiwat)
        if snd.cc and room < least:
            snd.high = True
            return self._rest()
        if self.views:
            self._stream(room)
        return self._done() if not self.views else self._rest()

    def interrupted(self, code: int) -> int:
        if self.sent and code != errno.EBADF:
            return self.sent
        raise oserror(code)

    def closed(self) -> int:
        return self.interrupted(errno.EPIPE)

    def _check(self) -> None:
        """Refuse, in XNU's order."""
        so, state = self.so, self.so.state
        stream = so.proto.stream
        if self.flags & c.MSG_OOB and not stream:
            raise oserror(errno.EOPNOTSUPP, "only a stream has urgent data")
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

    def _alone(self) -> int:
        """Send what needs a system call of its own, behind nothing that waits."""
        so = self.so
        if so.so_snd.cc:
            so.so_snd.high = True
            return self._rest()
        flags = self.flags & (HOST_FLAGS | c.MSG_OOB)
        self._took(so.driver.sendmsg(self.views[:IOV_MAX], flags, None, self.control))
        self.control = []
        return self._done() if not self.views else self._rest()

    def _stream(self, room: int) -> None:
        """Hand the system what it takes, and so_snd what fits of the rest."""
        so, snd = self.so, self.so.so_snd
        views = [memoryview(b"".join(self.views))] if so.proto.atomic else self.views
        taken = 0
        if not snd.cc:
            taken = so.push(Batch(map(Packet, views), self.total - self.sent))
        left = self.total - self.sent - taken
        self._took(taken)
        if not left:
            return
        count = left if self.whole or so.proto.atomic else min(left, room)
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
    views = [m.data() if m.cluster.free is None else memoryview(bytes(m.data())) for m in data]
    header, length = data.pkthdr, sum(view.nbytes for view in views)
    data.freem()
    if header is None or header.len != length:
        told = "there is none" if header is None else f"it says {header.len}"
        raise oserror(errno.EINVAL, f"the packet header is to say {length} bytes; {told}")
    return views


def _first(views: list[memoryview], count: int) -> bytes:
    """Return a copy of the first *count* bytes."""
    pieces = []
    for view in views:
        pieces.append(view[:count])
        count -= view.nbytes
        if count <= 0:
            break
    return b"".join(pieces)
