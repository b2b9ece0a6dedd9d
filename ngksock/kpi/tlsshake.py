"""The handshake of a TLS driver: who begins it, who waits for it, how it fails.

A driver is CONNECTING until the handshake is done.  A listener has the
handshake of each connection done before the socket above hears of it: such an
*embryo* is a driver without a socket, and ``head`` is its listener.
"""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Final

from OpenSSL import SSL
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from ngksock.errors import oserror, words
from ngksock.kpi import tlsopt
from ngksock.kpi.driver import Driver, log
from ngksock.kpi.listen import CONNECTED, CONNECTING, ENDED, IDLE, LISTENING
from ngksock.kpi.sockaddr import SockAddr
from ngksock.kpi.stream import RCV_MIN, StreamDriver, folded
from ngksock.kpi.tlsconfig import TLSConfig
from ngksock.kpi.tlsctx import ClientContext
from ngksock.kpi.tlsfail import CUT_EARLY, explain, shown
from ngksock.kpi.tlsrecord import Records
from ngksock.kpi.tlsreload import Served, certificates

if TYPE_CHECKING:
    from ngksock.kpi.provider import SocketKPI

__all__ = ["Handshake"]

EMBRYOS: Final = 1024
"""So many handshakes a listener has under way; for another one the oldest must go."""

SUBJECT_MAX: Final = 1000
ALPN_MAX: Final = 255
"""So much of what the peer says of itself is told; programs compare it, so it is ample."""

USUAL: Final = TLSConfig()
"""What a driver is configured with until somebody says how."""

LINES: Final = 20
"""So many failed handshakes are logged a second."""


class Handshake(StreamDriver):
    """
    A TLS driver until its connection is established.

    Args:
        kpi: Whose reactor, upcalls, paths and certificates this uses.
        sock: The host's socket.
    """

    records: Records

    def __init__(self, kpi: SocketKPI, sock: socket.socket) -> None:
        super().__init__(kpi, sock)
        self.config = USUAL
        self.target: tuple[ClientContext, str, SockAddr] | None = None
        self.shaking = False
        self.shaken = False
        self.held = False
        self.first = b""
        self.limit: IDelayedCall | None = None
        self.head: Handshake | None = None
        self.peer: SockAddr = None
        self.served: Served | None = None
        self.embryos: dict[Handshake, None] = {}  # the oldest first
        self._second = self._lines = 0

    # -- options

    def configure(self, config: TLSConfig) -> None:
        """Take *config*, its paths in full, before connect or listen."""
        if self.mode in (CONNECTING, CONNECTED):
            raise oserror(errno.EISCONN, "TLS is configured before connect")
        if self.mode != IDLE:
            raise oserror(errno.EINVAL, "TLS is configured before listen or connect")
        self.config = config

    def info(self) -> tlsopt.TLSInfo:
        """Return what the handshake has brought."""
        if not self.shaken:
            raise oserror(errno.ENOTCONN)
        conn = self.records.conn
        return tlsopt.TLSInfo(
            conn.get_protocol_version_name(),
            conn.get_cipher_name() or "",
            _subject(conn),
            shown(conn.get_alpn_proto_negotiated().decode("utf-8", "replace"), ALPN_MAX),
            self.records.resumed,
        )

    def ctloutput(
        self, level: int, name: int, value: int | bytes | None = None, length: int = 0
    ) -> int | bytes:
        if level != tlsopt.SOL_NGK_TLS:
            return super().ctloutput(level, name, value, length)
        if value is None:
            return tlsopt.getopt(self, name, length)
        self.configure(tlsopt.setopt(self, name, value).absolute(self.kpi.paths.absolute))
        return b""

    # -- IUserRequests

    def listen(self, backlog: int) -> None:
        if self.served is None:
            self.served = certificates(self.kpi).serve(self.config)
        try:
            super().listen(backlog)
        except OSError:
            if self.mode != LISTENING:
                self._serve_no_more()
            raise

    def _serve_no_more(self) -> None:
        if self.served is not None:
            certificates(self.kpi).discard(self.served)
            self.served = None

    def connect(self, to: SockAddr) -> bool:
        name = self.config.expected(to)
        self.target = certificates(self.kpi).client(self.config), name, to
        if super().connect(to):
            self._begin()
        return False

    def rcvd(self) -> None:
        self.held = False
        super().rcvd()

    def detach(self) -> None:
        self._stop_limit()
        for embryo in list(self.embryos):
            embryo.abort()
        self.embryos.clear()
        self._serve_no_more()
        self.shaken = False
        vars(self).pop("records", None)  # OpenSSL's memory need not wait for the collector
        super().detach()

    # -- connections that come in

    def _arrived(self, sock: socket.socket, name: SockAddr) -> None:
        assert self.served is not None
        if len(self.embryos) >= EMBRYOS:
            # Not the new one: a thousand silent peers would keep out all others
            # for as long as a handshake may take.
            next(iter(self.embryos))._lost(
                errno.ETIMEDOUT, "too many others are under way, and it was the oldest"
            )
        embryo = type(self)(self.kpi, sock)
        embryo.config, embryo.head, embryo.peer = self.config, self, name
        embryo.records = self.kpi.records(self.served.contexts.connection())
        self.embryos[embryo] = None
        Driver.rcvd(embryo)
        embryo._begin()

    def _left(self, head: Handshake) -> None:
        """This is an embryo of *head*'s no more."""
        self.head = None
        head.embryos.pop(self, None)

    # -- the handshake

    def _begin(self) -> None:
        """The stream below is there."""
        self.mode = CONNECTING
        self.shaking = True
        self.limit = self.kpi.clock.callLater(self.config.timeout, self._too_late)
        self._stop_write()
        if self.target is not None:
            context, name, to = self.target
            self.records = self.kpi.records(context.connection(name, to))
            self._shake(b"")

    def _finish(self) -> None:
        if not self.shaking:
            error = self.take_error()
            if error:
                self._lost(error)
            else:
                self._begin()
            return
        if self.records.waiting or self.writing:
            self._push()
        try:
            data = self.sock.recv(RCV_MIN)
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(folded(error.errno), CUT_EARLY)
            return
        if not data:
            self._lost(errno.ECONNRESET, CUT_EARLY)
            return
        self.first = self.first or data[:2]
        self._shake(data)

    def _shake(self, data: bytes) -> None:
        result = self.records.shake(data)
        if self.records.waiting:
            self._push()
        if isinstance(result, Exception):
            self._lost(*explain(result, self.records.conn.get_app_data().why, self.first))
        elif result:
            self._established()

    def _push(self) -> None:
        """Send what TLS itself has to say; of an error the reader will be told."""
        try:
            done = self.records.push(self.sock)
        except OSError:
            return
        if done:
            self._stop_write()
        else:
            self._want_write()

    def _established(self) -> None:
        self._stop_limit()
        self.mode = CONNECTED
        self.shaken = True
        head = self.head
        if head is None:
            self.so.soisconnected()
        else:
            self.held = True  # until somebody accepts, who mostly is there at once
            head.so.sonewconn(self, self.peer)
            self._left(head)
        if self.mode == CONNECTED:
            self._take(b"")  # what came along with the end of the handshake
        if self.mode == CONNECTED and self.so.so_snd.cc:
            self._flush()

    def _too_late(self) -> None:
        self.limit = None
        upcalls = self.kpi.upcalls
        upcalls.hold()
        try:
            seconds = f"{self.config.timeout:g} s"
            self._lost(errno.ETIMEDOUT, f"the peer did not finish the TLS handshake in {seconds}")
        finally:
            upcalls.drain()

    def _stop_limit(self) -> None:
        if self.limit is not None:
            self.limit.cancel()
            self.limit = None

    def _fail(self, error: int, why: str) -> None:
        """There is no connection any more: tell the socket, or for want of one the log."""
        head = self.head
        if head is None:
            self.so.soisdisconnected(error, why)
            return
        head._tell(_address(self.peer), why or words(error))
        self.detach()
        self._left(head)

    def _tell(self, peer: str, why: str) -> None:
        """Log that a handshake failed; of very many a second only the first ones."""
        second = int(self.kpi.clock.seconds())
        if second != self._second:
            self._second, self._lines = second, 0
        self._lines += 1
        if self._lines < LINES:
            log.info("the TLS handshake with {peer} failed: {why}", peer=peer, why=why)
        elif self._lines == LINES:
            log.info("more TLS handshakes fail, too many to tell of each")

    # -- what the established connection does

    def _take(self, data: bytes) -> None:
        """Decrypt *data*, and tell the socket."""
        raise NotImplementedError

    def connectionLost(self, reason: Failure) -> None:
        if self.mode != CONNECTING or not self.shaking:
            super().connectionLost(reason)
            return
        self.let_go()
        upcalls = self.kpi.upcalls
        upcalls.hold()
        try:
            self._finish()  # an alert may have come
            if self.mode != ENDED:  # else an embryo has no descriptor any more
                early = CUT_EARLY if self.mode == CONNECTING else ""
                self._lost(self.take_error() or errno.ECONNRESET, early)
        finally:
            upcalls.drain()


def _subject(conn: SSL.Connection) -> str:
    """Return the subject of the peer's certificate; "" if it has shown none."""
    try:
        cert = conn.get_peer_certificate(as_cryptography=True)
        return "" if cert is None else shown(cert.subject.rfc4514_string(), SUBJECT_MAX)
    except Exception:
        return "damaged"


def _address(peer: SockAddr) -> str:
    """Return whom a log line is about."""
    if not isinstance(peer, tuple):
        return "a local peer"
    host, port = peer[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
