"""The life of a socket: bind, listen, accept, connect, shutdown, defunct.

Linux differs from the KPI in dozens of small ways once a socket is in an odd
state, so EISCONN, EALREADY, EINVAL and their like are decided from the state
here, before any system call.  How a socket is closed is told in
`ngksock.kpi.lower`, which has the driver's part in it.
"""

from __future__ import annotations

import errno
from collections import deque
from functools import partial
from socket import AF_UNIX
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from ngksock._ikpi_events import SockUpcall
from ngksock.errors import oserror
from ngksock.kpi import constants as c
from ngksock.kpi import sockaddr, soopt
from ngksock.kpi.lower import LIVE, SENT, LowerSocket
from ngksock.kpi.sockaddr import SockAddr
from ngksock.kpi.sockbuf import WaitQueue
from ngksock.kpi.soconn import Accepting, Connecting, seconds_of
from ngksock.kpi.state import FINAL
from ngksock.kpi.wait import perform, start

if TYPE_CHECKING:
    from ngksock.kpi.socket import Socket

__all__ = ["SocketLife"]

RESERVED: Final = 1024
"""Ports below this one need SS_PRIV."""


class SocketLife(LowerSocket):
    """What changes a socket's state by its owner's wish."""

    __slots__ = ()

    # -- two questions that many calls ask

    def waits(self, flags: object) -> bool:
        """Say whether a call with *flags* is in blocking mode."""
        asked = flags if isinstance(flags, int) else 0  # the call itself refuses others
        return not (self.state & c.SS_NBIO or asked & (c.MSG_DONTWAIT | c.MSG_NBIO))

    def address(self, to: SockAddr) -> SockAddr:
        """Return *to*, checked, as the system call takes it."""
        to = sockaddr.check(self.proto.domain, to)
        if isinstance(to, bytes):
            return sockaddr.path_bytes(self.kpi.paths.absolute(to))
        return to

    # -- from the beginning to the end

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
        self.bound = True

    def listen(self, backlog: int) -> None:
        self.check_open()
        if not self.proto.connrequired:
            raise oserror(errno.EOPNOTSUPP)
        if self.state & (LIVE | c.SS_ISDISCONNECTED | c.SS_DEFUNCT):
            raise oserror(errno.EINVAL, "a connected socket cannot listen")
        if soopt.recall(self, c.SO_RESTRICTIONS) & c.SO_RESTRICT_DENY_IN:
            raise oserror(errno.EPERM, "SO_RESTRICTIONS denies it")
        if not isinstance(backlog, int):
            raise oserror(errno.EINVAL, "a backlog is a number")
        if not 0 < backlog <= c.SOMAXCONN:
            backlog = c.SOMAXCONN
        self.driver.listen(backlog)
        self.so_qlimit = backlog
        if self.so_comp is None:
            self.so_comp = deque()

    def accept(
        self, flags: int = 0, callback: SockUpcall | None = None, cookie: Any = None
    ) -> tuple[Socket, SockAddr] | Deferred[tuple[Socket, SockAddr]]:
        if (
            self.so_comp
            and flags == c.MSG_DONTWAIT
            and callback is cookie is None
            and self.so_rcv.waits is None
            and not self.kpi.filters.active
        ):  # the short way, of what nobody has to look at more closely
            self.check_open()
            new, name = self.dequeue()
            new.driver.rcvd()
            return new, name
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
            if not self._connect(to, flags, errno.EALREADY):
                raise oserror(errno.EINPROGRESS)
            return None
        try:
            self._connect(to, flags, errno.EISCONN)
        except OSError as error:
            return fail(Failure(error.with_traceback(None)))
        return start(self, self._connects(), Connecting(self))

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
            return start(self, self._connects(), call)
        if not seconds:
            return fail(oserror(errno.EINPROGRESS))
        return start(self, self._connects(), call, seconds, errno.EINPROGRESS)

    def _connects(self) -> WaitQueue:
        """Return the queue of those who wait in connect."""
        if self.connects is None:
            self.connects = WaitQueue()
        return self.connects

    def _connect(self, to: SockAddr, flags: int, busy: int) -> bool:
        """Begin to connect; return whether that is done.  *busy*: the errno of an attempt."""
        self.check_open()
        if not isinstance(flags, int):
            raise oserror(errno.EINVAL, "flags is a number")
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
                self.so_rcv.came_from(self.peer)
                self.peer = self._named(to)
            self.soisconnected()
            return True
        if not self.state & c.SS_ISDISCONNECTED:  # else it has failed within the call
            self.enter("connecting")
        return False

    def _named(self, to: SockAddr) -> SockAddr:
        """Return the peer's address as the host tells it; *to* of a raw socket, which has none."""
        try:
            return self.driver.peeraddr()
        except OSError:
            return to

    def _check_tcp(self, to: SockAddr) -> None:
        if sockaddr.never_tcp(self.proto.domain, to):
            raise oserror(errno.EAFNOSUPPORT, "TCP cannot use a group or broadcast address")
        # The host is not asked for the address of a socket that has none.
        if (self.bound or not to[1]) and self.driver.sockaddr()[:2] == to[:2]:
            raise oserror(errno.EINVAL, "a socket cannot connect to itself")
        self.bound = True  # an attempt that fails may leave it with a port

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
        self.bound = True  # as far as anybody knows
        driver = self.driver
        if self.proto.connrequired and driver.ctloutput(c.SOL_SOCKET, c.SO_ACCEPTCONN):
            self.so_qlimit = c.SOMAXCONN
            self.so_comp = deque()
            driver.listen(c.SOMAXCONN)
            return
        found = driver.adopted()
        if found & c.SS_ISCONNECTED:
            self.state |= found
            if not self.proto.connrequired:
                self.peer = self._named(None)
            if found & c.SS_CANTSENDMORE:
                self.fin |= SENT
            if found & c.SS_CANTRCVMORE:
                self.so_rcv.drop = True
        elif found & c.SS_ISCONNECTING:
            self.enter("connecting")
