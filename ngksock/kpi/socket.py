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
from functools import partial
from socket import AF_UNIX
from typing import Any, Final

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from ngksock._ikpi import IBatchSocket, ISocketKPI
from ngksock._ikpi_events import SockUpcall
from ngksock.errors import oserror
from ngksock.kpi import constants as c
from ngksock.kpi import sockaddr, soopt, traffic
from ngksock.kpi.lower import LIVE, LowerSocket
from ngksock.kpi.mbuf import Mbuf
from ngksock.kpi.msghdr import MsgHdr, control_of, iov_in, iov_out
from ngksock.kpi.sockaddr import SockAddr
from ngksock.kpi.soconn import Accepting, Connecting, seconds_of
from ngksock.kpi.soioctl import soioctl
from ngksock.kpi.sorecv import Receiving
from ngksock.kpi.sosend import Sending, consume
from ngksock.kpi.state import FINAL
from ngksock.kpi.wait import perform, start
from ngksock.packet import Batch

__all__ = ["Socket"]

RESERVED: Final = 1024
"""Ports below this one need SS_PRIV."""


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
        if self.state & c.SS_DEFUNCT:
            raise oserror(errno.EINVAL, "the socket is defunct")
        to = self.address(to)
        if self.proto.is_tcp and sockaddr.never_tcp(self.proto.domain, to):
            raise oserror(errno.EAFNOSUPPORT, "TCP cannot use a group or broadcast address")
        if self.unprivileged and isinstance(to, tuple) and 0 < to[1] < RESERVED:
            raise oserror(errno.EACCES, f"port {to[1]} is reserved, and setpriv took the privilege")
        self.driver.bind(to)

    def listen(self, backlog: int) -> None:
        self.check_open()
        if not self.proto.connrequired:
            raise oserror(errno.EOPNOTSUPP)
        if self.state & (LIVE | c.SS_ISDISCONNECTED | c.SS_DEFUNCT):
            raise oserror(errno.EINVAL, "a connected socket cannot listen")
        if soopt.recall(self, c.SO_RESTRICTIONS) & c.SO_RESTRICT_DENY_IN:
            raise oserror(errno.EPERM, "SO_RESTRICTIONS denies it")
        if not 0 < backlog <= c.SOMAXCONN:
            backlog = c.SOMAXCONN
        self.driver.listen(backlog)
        self.so_qlimit = backlog
        if self.so_comp is None:
            self.so_comp = deque()

    def accept(
        self, flags: int = 0, callback: SockUpcall | None = None, cookie: Any = None
    ) -> tuple[Socket, SockAddr] | Deferred[tuple[Socket, SockAddr]]:
        make = partial(Accepting, self, flags, callback, cookie)
        return perform(self, self.so_rcv, make, self.waits(flags), timed=False)

    def accept_now(self) -> None:
        """Take a connection from the backlog, of which nobody need be told."""
        rcv = self.so_rcv
        told = rcv.posted
        rcv.posted = told or -1  # as if an upcall waited already
        self.driver.accept()
        rcv.posted = told

    def dequeue(self) -> tuple[Socket, SockAddr]:
        """Take the oldest connection out of so_comp: whoever accepts has it now."""
        comp = self.so_comp
        assert comp is not None
        so = comp.popleft()
        so.so_head = None
        so.state &= ~c.SS_COMP
        name, so.peer = so.peer, None
        self.driver.rcvd()
        return so, name

    def connect(self, to: SockAddr, flags: int = 0) -> Deferred[None] | None:
        if not self.waits(flags):
            if not self._connect(to, errno.EALREADY):
                raise oserror(errno.EINPROGRESS)
            return None
        try:
            self._connect(to, errno.EISCONN)
        except OSError as error:
            return fail(Failure(error.with_traceback(None)))
        return start(self, self.so_snd, Connecting(self))

    def connectwait(self, timeout: Any) -> Deferred[None]:
        call = Connecting(self)
        try:
            if not self.state & c.SS_ISCONNECTING or self.so_error:
                call.attempt()
                return succeed(None)
            seconds = seconds_of(timeout)
        except OSError as error:
            return fail(Failure(error.with_traceback(None)))
        if self.kpi.strict_xnu and not seconds:
            return start(self, self.so_snd, call)
        if not seconds:
            return fail(oserror(errno.EINPROGRESS))
        return start(self, self.so_snd, call, seconds, errno.EINPROGRESS)

    def _connect(self, to: SockAddr, busy: int) -> bool:
        """Begin to connect; return whether that is done.  *busy*: the errno of an attempt."""
        self.check_open()
        state = self.state
        if state & c.SS_ISCONNECTING:
            raise oserror(busy)
        if self.so_comp is not None:
            raise oserror(errno.EOPNOTSUPP, "a listening socket cannot connect")
        if state & c.SS_DEFUNCT:
            raise oserror(errno.EOPNOTSUPP, "the socket is defunct")
        if soopt.recall(self, c.SO_RESTRICTIONS) & c.SO_RESTRICT_DENY_OUT:
            raise oserror(errno.EPERM, "SO_RESTRICTIONS denies it")
        if self.proto.connrequired:
            if state & LIVE:
                raise oserror(errno.EISCONN)
            if state & c.SS_ISDISCONNECTED:
                self.raise_error()
                raise oserror(errno.EINVAL, "an attempt to connect has failed; make a new socket")
        to = self.address(to)
        if self.proto.is_tcp:
            self._check_tcp(to)
        if self.driver.connect(to):
            if not self.proto.connrequired:
                self.peer = self.driver.peeraddr()
            self.soisconnected()
            return True
        self.enter("connecting")
        return False

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

    def defunct(self, proc: Any, level: int) -> None:
        self.check_open()
        if level == c.SHUTDOWN_SOCKET_LEVEL_DISCONNECT_SVC:
            if self.proto.domain != AF_UNIX:
                raise oserror(errno.EOPNOTSUPP, "only local sockets are disconnected as services")
        elif level != c.SHUTDOWN_SOCKET_LEVEL_DISCONNECT_ALL:
            raise oserror(errno.EINVAL, f"{level!r} is not a level of defunct")
        if not soopt.recall(self, c.SO_DEFUNCTOK, int(self.proto.domain != AF_UNIX)):
            raise oserror(errno.EOPNOTSUPP, "SO_DEFUNCTOK is 0")
        self.make_defunct()

    def make_defunct(self) -> None:
        """Reset what there is, and tell of the end; nothing is of any use from now on."""
        if self.state & c.SS_DEFUNCT:
            return
        self.state |= c.SS_DEFUNCT
        self.end_waits(errno.EBADF)
        for so in self.so_comp or ():
            so.abort()
        self.so_comp = None
        self.so_rcv.drop = True
        self.so_rcv.flush()
        self.so_snd.flush()
        self.driver.abort()
        self.so_error = self.so_error or errno.EBADF
        for name, done in (
            ("cantrcvmore", c.SS_CANTRCVMORE),
            ("cantsendmore", c.SS_CANTSENDMORE),
            ("disconnected", c.SS_ISDISCONNECTED),
        ):
            if not self.state & done:
                self.enter(name)

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

    def adopted(self) -> None:
        """Learn the state of a socket that somebody else began."""
        self.kernel = False
        driver = self.driver
        if self.proto.connrequired and driver.ctloutput(c.SOL_SOCKET, c.SO_ACCEPTCONN):
            self.so_qlimit = c.SOMAXCONN
            self.so_comp = deque()
            driver.listen(c.SOMAXCONN)
            return
        try:
            peer = driver.peeraddr()
        except OSError:
            return  # not connected
        self.state |= c.SS_ISCONNECTED
        if not self.proto.connrequired:
            self.peer = peer
        driver.adopted(True)

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

    def address(self, to: SockAddr) -> SockAddr:
        """Return *to*, checked, as the system call takes it."""
        to = sockaddr.check(self.proto.domain, to)
        if isinstance(to, bytes):
            return sockaddr.path_bytes(self.kpi.paths.absolute(to))
        return to

    # -- data

    def waits(self, flags: int) -> bool:
        """Say whether a call with *flags* is in blocking mode."""
        return not (self.state & c.SS_NBIO or flags & (c.MSG_DONTWAIT | c.MSG_NBIO))

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
            if recvlen < 1 or (msg is not None and msg.iov):
                raise oserror(errno.EINVAL, "a length of at least 1, and no iov, is needed")
            return Receiving(self, flags, recvlen, None, msg, waits)

        return perform(self, self.so_rcv, make, waits)

    def receive_internal(
        self, msg: MsgHdr | None, want_mbuf: bool, flags: int, recvlen: int
    ) -> tuple[Mbuf | None, int] | Deferred[tuple[Mbuf | None, int]]:
        waits = self.waits(flags)

        def make() -> Receiving:
            if recvlen < 0:
                raise oserror(errno.EINVAL, "a length below 0")
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
            if msg is not None and msg.iov:
                raise oserror(errno.EINVAL, "a chain, and iov beside it")
            name = None if msg is None else msg.name
            return Sending(self, flags, views, name, control_of(msg), True, waits)

        return perform(self, self.so_snd, make, waits)

    def _send_waits(self, flags: int) -> bool:
        if self.kpi.strict_xnu:  # which does not ask DONTWAIT about space
            return not (self.state & c.SS_NBIO or flags & c.MSG_NBIO)
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
