"""A socket: XNU's verbs and the rules of state behind them.

Theory of operation.  A `Socket` holds the state, the buffers, the error slot
and the owner's callbacks; its driver, an `IUserRequests`, holds the host's
descriptor.  Verbs come from above and end in a request to the driver; what
happens comes from below through the methods whose names begin with so, sb or
sow, changes the state by one row of `ngksock.kpi.state` and posts callbacks.
No callback runs from here: `ngksock.kpi.upcall` runs them when the driver's
turn ends, or on the reactor's next turn.

Linux differs from the KPI in dozens of small ways once a socket is in an odd
state, so EISCONN, EALREADY, EINVAL and their like are decided from the state
here, before any system call.

Closing takes four steps when so_snd still holds data: the owner lets go
(SS_NOFDREF, no callback any more), the driver goes on flushing, the peer's
system acknowledges, and then, or after LINGER_SECONDS without progress, the
descriptor goes.
"""

from __future__ import annotations

import errno
from collections import deque
from typing import Any

from zope.interface import implementer

from ngksock._ikpi import IBatchSocket, ISocketKPI
from ngksock.errors import oserror
from ngksock.kpi import constants as c
from ngksock.kpi import sockaddr, soopt
from ngksock.kpi.callbacks import Upcall
from ngksock.kpi.lower import LIVE, LowerSocket
from ngksock.kpi.protosw import IPPROTO_TCP
from ngksock.kpi.sockaddr import SockAddr
from ngksock.kpi.state import FINAL
from ngksock.packet import Batch

__all__ = ["Socket"]


@implementer(ISocketKPI, IBatchSocket)
class Socket(LowerSocket):
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

    # -- life

    def bind(self, to: SockAddr) -> None:
        self.check_open()
        to = self._address(to)
        if self.proto.protocol == IPPROTO_TCP and sockaddr.never_tcp(self.proto.domain, to):
            raise oserror(errno.EAFNOSUPPORT, "TCP cannot use a group or broadcast address")
        self.driver.bind(to)

    def listen(self, backlog: int) -> None:
        self.check_open()
        if not self.proto.connrequired:
            raise oserror(errno.EOPNOTSUPP)
        if self.state & (LIVE | c.SS_ISDISCONNECTED):
            raise oserror(errno.EINVAL, "a connected socket cannot listen")
        if not 0 < backlog <= c.SOMAXCONN:
            backlog = c.SOMAXCONN
        self.driver.listen(backlog)
        if self.so_comp is None:
            self.so_comp = deque()

    def accept(
        self, flags: int = 0, callback: Upcall | None = None, cookie: Any = None
    ) -> tuple[Socket, SockAddr]:
        self.check_open()
        comp = self.so_comp
        if comp is None:
            raise oserror(errno.EINVAL, "the socket does not listen")
        if flags & ~c.MSG_DONTWAIT:
            raise oserror(errno.ENOTSUP)
        if not comp:
            self._accept_now()
            if not comp:
                raise oserror(errno.EWOULDBLOCK)
        so = comp.popleft()
        so.so_head = None
        so.state &= ~c.SS_COMP
        name, so.peer = so.peer, None
        so.setupcall(callback, cookie)
        so.driver.rcvd()
        self.driver.rcvd()
        return so, name

    def _accept_now(self) -> None:
        """Take a connection from the backlog, of which nobody need be told."""
        rcv = self.so_rcv
        told = rcv.posted
        rcv.posted = told or -1  # as if an upcall waited already
        self.driver.accept()
        rcv.posted = told

    def connect(self, to: SockAddr, flags: int = 0) -> None:
        self.check_open()
        state = self.state
        if state & c.SS_ISCONNECTING:
            raise oserror(errno.EALREADY)
        if self.so_comp is not None:
            raise oserror(errno.EOPNOTSUPP, "a listening socket cannot connect")
        if self.proto.connrequired:
            if state & LIVE:
                raise oserror(errno.EISCONN)
            if state & c.SS_ISDISCONNECTED:
                raise oserror(self.takeerror() or errno.EINVAL)
        to = self._address(to)
        if self.proto.protocol == IPPROTO_TCP:
            self._check_tcp(to)
        if self.driver.connect(to):
            self.soisconnected()
        else:
            self.enter("connecting")
            raise oserror(errno.EINPROGRESS)

    def _check_tcp(self, to: SockAddr) -> None:
        if sockaddr.never_tcp(self.proto.domain, to):
            raise oserror(errno.EAFNOSUPPORT, "TCP cannot use a group or broadcast address")
        if self.driver.sockaddr()[:2] == to[:2]:
            raise oserror(errno.EINVAL, "a socket cannot connect to itself")

    def shutdown(self, how: int) -> None:
        self.check_open()
        if how not in (c.SHUT_RD, c.SHUT_WR, c.SHUT_RDWR):
            raise oserror(errno.EINVAL)
        if not self.state & LIVE:
            raise oserror(errno.ENOTCONN)
        if how != c.SHUT_WR:
            if self.state & c.SS_CANTRCVMORE:
                raise oserror(errno.ENOTCONN)
            self._shut_read()
        if how != c.SHUT_RD:
            if self.state & c.SS_CANTSENDMORE:
                raise oserror(errno.ENOTCONN)
            self.enter("cantsendmore")
            self.sendfin()

    def _shut_read(self) -> None:
        rcv = self.so_rcv
        callback, cookie = rcv.upcall, rcv.upcallarg
        rcv.upcall = None
        rcv.posted = 0
        self.enter("cantrcvmore")
        if callback is not None:
            # The last upcall: removed at once, so that one installed after
            # this call stays, and told all the same.
            self.kpi.upcalls.post(self, FINAL, (callback, cookie))
        rcv.drop = True
        rcv.lowat, rcv.timeo = 1, 0.0
        rcv.flush()
        self.rcvd()

    # -- names, options, state

    def getsockname(self) -> SockAddr:
        self.check_open()
        return self.driver.sockaddr()

    def getpeername(self) -> SockAddr:
        self.check_open()
        if not self.state & c.SS_ISCONNECTED:
            raise oserror(errno.ENOTCONN)
        return self.driver.peeraddr()

    def getsockopt(self, level: int, optname: int, optlen: int | None = None) -> int | bytes:
        self.check_open()
        return soopt.sogetopt(self, level, optname, optlen)

    def setsockopt(self, level: int, optname: int, optval: int | bytes) -> None:
        self.check_open()
        soopt.sosetopt(self, level, optname, optval)

    def gettype(self) -> tuple[int, int, int]:
        self.check_open()
        return self.proto[:3]

    def isconnected(self) -> bool:
        self.check_open()
        return bool(self.state & c.SS_ISCONNECTED)

    def isnonblocking(self) -> bool:
        self.check_open()
        return bool(self.state & c.SS_NBIO)

    def _address(self, to: SockAddr) -> SockAddr:
        to = sockaddr.check(self.proto.domain, to)
        if isinstance(to, bytes):
            return sockaddr.path_bytes(self.kpi.paths.absolute(to))
        return to

    # -- data

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
        taken = 0
        if snd.cc + batch.nbytes > c.SND_LIMIT and snd.cc + batch.nbytes > snd.limit:
            raise oserror(errno.ENOBUFS, f"so_snd holds {snd.cc} of at most {snd.limit} bytes")
        if not snd.cc and batch.nbytes and state & c.SS_ISCONNECTED:
            taken = self._send(batch)
        if taken < batch.nbytes:
            snd.append(batch, taken)
        self.sndpackets += len(batch)
        self.sndbytes += batch.nbytes
        return len(batch)

    def _send(self, batch: Batch) -> int:
        try:
            return self.driver.send(batch)
        except OSError:
            # The driver has told of the end; the reason is kept for the
            # reader, and a sender sees EPIPE from the first moment.
            raise oserror(errno.EPIPE) from None
