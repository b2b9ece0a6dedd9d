"""A socket: XNU's verbs and the rules of state behind them.

Theory of operation.  A `Socket` holds the state, the buffers, the error slot
and the owner's callbacks; its driver, an `IUserRequests`, holds the host's
descriptor.  Verbs come from above and end in a request to the driver; what
happens comes from below through the methods whose names begin with so, sb or
sow, changes the state by one row of `ngksock.kpi.state` and posts callbacks.
No callback runs from here: `ngksock.kpi.upcall` runs them when the driver's
turn ends, or on the reactor's next turn.

The class is stacked, each storey a file: what it holds and whom it tells
(`ngksock.kpi.callbacks`), the driver's half and the end (`lower`), the life
(`life`), and here names, options and data.

Closing takes four steps when so_snd still holds data: the owner lets go
(SS_NOFDREF, no callback any more), the driver goes on flushing, the peer's
system acknowledges, and then, or after LINGER_SECONDS without progress, the
descriptor goes.
"""

from __future__ import annotations

import errno
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from ngksock._ikpi import IBatchSocket, ISocketKPI
from ngksock.errors import oserror
from ngksock.kpi import constants as c
from ngksock.kpi import sockaddr, soopt, traffic
from ngksock.kpi.life import SocketLife
from ngksock.kpi.lower import LIVE
from ngksock.kpi.mbuf import Mbuf
from ngksock.kpi.msghdr import MsgHdr, control_of, iov_in, iov_out, without_iov
from ngksock.kpi.sockaddr import SockAddr
from ngksock.kpi.soioctl import soioctl
from ngksock.kpi.sorecv import Receiving
from ngksock.kpi.sosend import Sending, consume
from ngksock.kpi.wait import perform
from ngksock.packet import Batch

__all__ = ["Socket"]


@implementer(ISocketKPI, IBatchSocket)
class Socket(SocketLife):
    """
    One kernel socket.  `SocketKPI.socket` makes them.

    Args:
        kpi: Whom it belongs to.
        proto: Its row of the protocol switch.
        driver: What moves its bytes.

    The attributes are for reading: ``state`` (SS_* bits), ``so_rcv`` and
    ``so_snd``, ``so_comp`` (connections that wait for accept; None unless
    listening), ``mode`` (of the file a local bind makes), the counters.
    """

    __slots__ = ()

    # -- names, options, state

    def getsockname(self) -> SockAddr:
        self.check_open()
        return self.driver.sockaddr()

    def getpeername(self) -> SockAddr:
        self.check_open()
        if not self.state & c.SS_ISCONNECTED:
            raise oserror(errno.ENOTCONN)
        return self.driver.peeraddr()

    def getaddr(self, peer: bool = False) -> SockAddr:
        self.check_open()
        if not peer:
            return self.driver.sockaddr()
        try:
            return self.driver.peeraddr()
        except OSError:
            return sockaddr.WILDCARD[self.proto.domain]

    def freeaddr(self, address: SockAddr) -> None:
        """Nothing to do: Python frees it."""

    def getsockopt(self, level: int, optname: int, optlen: int | None = None) -> int | bytes:
        self.check_open()
        return soopt.sogetopt(self, level, optname, optlen)

    def setsockopt(self, level: int, optname: int, optval: int | bytes | tuple[int, int]) -> None:
        self.check_open()
        soopt.sosetopt(self, level, optname, optval)

    def ioctl(self, request: int, arg: Any = None) -> Any:
        self.check_open()
        return soioctl(self, request, arg)

    def settclassopt(self, value: int) -> None:
        self.check_open()
        traffic.settclassopt(self, value)

    def gettclassopt(self) -> int:
        self.check_open()
        return traffic.gettclassopt(self)

    def set_traffic_mgt_flags(self, flags: int) -> None:
        self.check_open()
        traffic.set_flags(self, flags)

    def clear_traffic_mgt_flags(self, flags: int) -> None:
        self.check_open()
        traffic.clear_flags(self, flags)

    set_traffic_mgt_flags_locked = set_traffic_mgt_flags
    clear_traffic_mgt_flags_locked = clear_traffic_mgt_flags

    def setpriv(self, on: bool) -> None:
        self.check_open()
        self.state = self.state | c.SS_PRIV if on else self.state & ~c.SS_PRIV
        self.unprivileged = not on

    def nointerrupt(self, on: bool) -> None:
        self.check_open()
        self.so_rcv.nointr = self.so_snd.nointr = bool(on)

    def gettype(self) -> tuple[int, int, int]:
        self.check_open()
        return self.proto[:3]

    def isconnected(self) -> bool:
        self.check_open()
        return bool(self.state & c.SS_ISCONNECTED)

    def isnonblocking(self) -> bool:
        self.check_open()
        return bool(self.state & c.SS_NBIO)

    def iskernel(self) -> bool:
        self.check_open()
        return self.kernel

    def getlistener(self) -> Socket | None:
        self.check_open()
        head = self.so_head
        return head if isinstance(head, Socket) else None

    # -- data

    def receive(self, msg: MsgHdr, flags: int = 0) -> int | Deferred[int]:
        waits = self.waits(flags)

        def make() -> Receiving:
            views = iov_in(msg)
            want = sum(view.nbytes for view in views)
            return Receiving(self, flags, want, views, msg, waits)

        done = perform(self, self.so_rcv, make, waits)
        return done.addCallback(_count) if isinstance(done, Deferred) else done[1]

    def receivembuf(
        self, recvlen: int, msg: MsgHdr | None = None, flags: int = 0
    ) -> tuple[Mbuf | None, int] | Deferred[tuple[Mbuf | None, int]]:
        waits = self.waits(flags)

        def make() -> Receiving:
            if not isinstance(recvlen, int) or recvlen < 1:
                raise oserror(errno.EINVAL, "a length of at least 1 is needed")
            without_iov(msg)
            return Receiving(self, flags, recvlen, None, msg, waits)

        return perform(self, self.so_rcv, make, waits)

    def receive_internal(
        self, msg: MsgHdr | None, want_mbuf: bool, flags: int, recvlen: int
    ) -> tuple[Mbuf | None, int] | Deferred[tuple[Mbuf | None, int]]:
        waits = self.waits(flags)

        def make() -> Receiving:
            if not isinstance(recvlen, int) or recvlen < 0:
                raise oserror(errno.EINVAL, "a length of at least 0 is needed")
            if want_mbuf or msg is None:
                return Receiving(self, flags, recvlen, None, msg, waits)
            views = iov_in(msg)
            want = sum(view.nbytes for view in views)
            return Receiving(self, flags, want, views, msg, waits)

        return perform(self, self.so_rcv, make, waits)

    def send(self, msg: MsgHdr, flags: int = 0) -> int | Deferred[int]:
        waits = self._send_waits(flags)

        def make() -> Sending:
            return Sending(self, flags, iov_out(msg), msg.name, control_of(msg), False, waits)

        return perform(self, self.so_snd, make, waits)

    def sendmbuf(
        self, data: Mbuf, msg: MsgHdr | None = None, flags: int = 0
    ) -> int | Deferred[int]:
        waits = self._send_waits(flags)

        def make() -> Sending:
            views = consume(data)
            without_iov(msg)
            name = None if msg is None else msg.name
            return Sending(self, flags, views, name, control_of(msg), True, waits)

        return perform(self, self.so_snd, make, waits)

    def _send_waits(self, flags: int) -> bool:
        if self.kpi.strict_xnu and isinstance(flags, int):
            flags &= ~c.MSG_DONTWAIT  # which XNU does not ask about space
        return self.waits(flags)

    @property
    def rcvcount(self) -> int:
        """The bytes that wait in so_rcv."""
        return self.so_rcv.cc

    @property
    def sndcount(self) -> int:
        """The bytes that wait in so_snd."""
        return self.so_snd.cc

    def sndspace(self) -> int:
        return self.so_snd.space

    def sendbatch(self, batch: Batch) -> int:
        state = self.state
        if state & (c.SS_CANTSENDMORE | c.SS_NOFDREF):
            self.check_open()
            raise oserror(errno.EPIPE)
        if not self.proto.connrequired:
            self.sndbytes += batch.nbytes
            sent = self.driver.send(batch)
            self.sndpackets += sent
            return sent
        if not state & LIVE:
            raise oserror(errno.ENOTCONN)
        snd = self.so_snd
        if snd.waits is not None:
            raise oserror(errno.ENOBUFS, "a call that waits to send is first")
        taken = 0
        if snd.cc + batch.nbytes > c.SND_LIMIT and snd.cc + batch.nbytes > snd.limit:
            raise oserror(errno.ENOBUFS, f"so_snd holds {snd.cc} of at most {snd.limit} bytes")
        if not snd.cc and batch.nbytes and state & c.SS_ISCONNECTED:
            taken = self.push(batch)
        if taken < batch.nbytes:
            snd.append(batch, taken)
        self.sndpackets += len(batch)
        self.sndbytes += batch.nbytes
        return len(batch)

    def push(self, batch: Batch) -> int:
        """Hand the driver *batch*; return how many bytes it took."""
        try:
            return self.driver.send(batch)
        except OSError:
            # The driver has told of the end; the reason is kept for the
            # reader, and a sender sees EPIPE from the first moment.
            raise oserror(errno.EPIPE) from None


def _count(received: tuple[Mbuf | None, int]) -> int:
    return received[1]
