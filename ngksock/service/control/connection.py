"""One netgraph socket of a client: calls in, replies and events out."""

from __future__ import annotations

import errno
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ngksock import ngd
from ngksock.netgraph import Item, Message, Packet
from ngksock.netgraph.message import VERSION
from ngksock.netgraph.path import check_node_name
from ngksock.service.control.attachment import Attachment
from ngksock.service.control.peer import Peer

if TYPE_CHECKING:
    from ngksock.service.control.server import ControlServer

__all__ = ["Connection"]

_log: Final = Logger(namespace="ngksock.control")

HELLO_SECONDS: Final = 5.0
QUEUE: Final = 131072
"""The bytes of an event channel, unless others are wanted: about 340 small packets."""
QUEUE_MIN: Final = 4096
QUEUE_MAX: Final = 4 << 20
ROUNDS: Final = 8
"""How often control work is gone on with, for the reply to a request, before we give up."""


class Connection(FileDescriptor):
    """
    A connection of a client.

    Args:
        server: Whose it is.
        sock: The call channel.
        peer: Who is at its other end.

    ``kind`` is 0 until HELLO was answered.  ``answered`` is the request whose
    response was the last to be written, or lost, in the event channel.
    """

    def __init__(self, server: ControlServer, sock: socket.socket, peer: Peer) -> None:
        super().__init__(server.reactor)
        sock.setblocking(False)
        self.server = server
        self.sock = sock
        self.peer = peer
        self.kind = 0
        self.answered: Item | None = None
        self.attachment: Attachment | None = None
        self.events: socket.socket | None = None
        self.timer: IDelayedCall | None = server.clock.callLater(HELLO_SECONDS, self._silent)
        self.closed = self.told = False
        self.reactor.addReader(self)

    @property
    def uid(self) -> int:
        """The user at the other end."""
        return self.peer.uid

    # -- the reactor calls these

    def fileno(self) -> int:
        return self.sock.fileno()

    def logPrefix(self) -> str:
        return "ngksock"

    def doRead(self) -> None:
        """Do one call: the other clients, and the graph, have their turn before the next."""
        try:
            # Without room for them, descriptors that are sent along are closed by the system.
            raw, _, flags, _ = self.sock.recvmsg(ngd.CALL_MAX + 1)
        except (BlockingIOError, ConnectionResetError):
            return  # reset: it went without reading a reply; calls it had sent may follow
        except OSError:
            raw, flags = b"", 0
        if not raw:
            self.close()
            return
        try:
            call = ngd.Call.unpack(raw)
        except OSError as error:
            self._malformed(error.strerror or "no call")
            return
        if self.kind == 0 and call.op != ngd.HELLO:
            self._malformed("a call before HELLO")
            return
        self.server.sweep(self)
        if flags & socket.MSG_TRUNC or len(call.payload) > ngd.PAYLOAD_MAX:
            self._reply(call, errno.EMSGSIZE)
        elif call.op == ngd.HELLO:
            self._welcome(call)
        else:
            self._answer(call)

    def connectionLost(self, reason: Failure) -> None:
        self.close()

    # -- replies

    def _answer(self, call: ngd.Call) -> None:
        body, code = b"", 0
        try:
            body = self._call(call)
        except OSError as error:
            code = _number(error)
        except Exception:
            code = self._bug(call)
        self._reply(call, code, body)

    def _welcome(self, call: ngd.Call) -> None:
        """Answer HELLO: the reply brings the client's end of the event channel."""
        body, code, theirs = b"", 0, None
        try:
            welcome, theirs = self._hello(call.payload)
            body = welcome.pack()
        except OSError as error:
            code = _number(error)
            self._refused(error)
            body = ngd.SERVED if code == errno.EPROTO else b""
        except Exception:
            code = self._bug(call)
        self._reply(call, code, body, theirs)

    def _reply(
        self, call: ngd.Call, code: int, body: bytes = b"", theirs: socket.socket | None = None
    ) -> None:
        """Write the reply, or close: the client does not read its replies, or is gone."""
        reply = ngd.Reply(call.op, call.seq, code, body).pack()
        try:
            if self.closed:
                return
            if theirs is not None:
                socket.send_fds(self.sock, [reply], [theirs.fileno()])
            else:
                self.sock.send(reply, socket.MSG_NOSIGNAL)
        except OSError:
            self.close()
        finally:
            if theirs is not None:
                theirs.close()

    def _refused(self, error: OSError) -> None:
        """Log that the client was not let in, once however often it tries."""
        if not self.told and not self.kind:
            self.told = True
            _log.info("{peer}: HELLO refused: {why}", peer=self.peer, why=error.strerror)

    def _bug(self, call: ngd.Call) -> int:
        """Log what no call should raise, and return what the client is told of it."""
        _log.failure("{peer}: call {op} failed", failure=Failure(), peer=self.peer, op=call.op)
        return errno.EIO

    # -- calls

    def _hello(self, payload: bytes) -> tuple[ngd.Welcome, socket.socket]:
        """Let the client in; return what it is told, and its end of the event channel."""
        if self.kind:
            raise OSError(errno.EISCONN, "HELLO was said before")
        hello = ngd.Hello.unpack(payload)
        if hello.kind not in (ngd.CONTROL, ngd.DATA):
            raise OSError(errno.EPROTONOSUPPORT, f"no kind of socket is {hello.kind}")
        self.server.admit(self, hello.kind)
        wanted = min(max(hello.queue or QUEUE, QUEUE_MIN), QUEUE_MAX)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, wanted)
        # The system may grant less; and it counts its own overhead: twice what was asked.
        queue = min(wanted, ours.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) // 2)
        self.events = ours
        node = 0
        if hello.kind == ngd.CONTROL:
            self.attachment = Attachment(self.server.graph, self)
            node = self.attachment.node.id
            self.server.attachments[node] = self.attachment
        self.kind = hello.kind
        self._stop_timer()
        return ngd.Welcome(node, queue), theirs

    def _call(self, call: ngd.Call) -> bytes:
        """Do a call after HELLO; return the body of its reply."""
        if call.op not in (ngd.BIND, ngd.CONNECT, ngd.SEND, ngd.GETNAME):
            raise OSError(errno.EOPNOTSUPP, f"no call is {call.op}")
        if self.attachment is not None and not self.attachment.node.valid:
            raise OSError(errno.EPIPE, "the node was shut down")
        if "\0" in call.address:
            raise OSError(errno.EINVAL, "a NUL in an address")
        if call.op == ngd.BIND:
            self._bind(call.address)
        elif call.op == ngd.CONNECT:
            self._connect(call.address)
        elif call.op == ngd.GETNAME:
            return self._name().encode("latin-1")
        elif self.kind == ngd.CONTROL:
            self._send_message(call.address, call.payload)
        else:
            self._send_data(call.address, call.payload)
        return b""

    def _attached(self) -> Attachment:
        if self.attachment is None:
            raise OSError(errno.ENOTCONN, "the data socket is not attached to a node")
        return self.attachment

    def _bind(self, name: str) -> None:
        if self.kind != ngd.CONTROL:
            raise OSError(errno.EINVAL, "a data socket has no name")
        check_node_name(name)  # the node's own name too: it may be empty
        self.server.graph.rename(self._attached().node, name)

    def _connect(self, path: str) -> None:
        if self.kind != ngd.DATA:
            raise OSError(errno.EINVAL, "a control socket is not attached")
        if self.attachment is not None:
            raise OSError(errno.EISCONN, "the data socket is attached already")
        if ":" not in path:
            raise OSError(errno.EINVAL, f'"{path}" is not an absolute path')
        node, _ = self.server.graph.find(path, None)
        attachment = self.server.attachments.get(node.id)
        if attachment is None:
            raise OSError(errno.EINVAL, f'"{path}" is not a socket node of a program')
        if self.uid not in (0, attachment.uid):
            raise OSError(errno.EPERM, f'"{path}" belongs to another user')
        if attachment.data is not None:
            raise OSError(errno.EADDRINUSE, f'"{path}" has a data socket already')
        self.attachment = attachment
        attachment.attach(self)

    def _send_message(self, path: str, payload: bytes) -> None:
        message = Message.unpack(payload)
        if message.version != VERSION:
            raise OSError(errno.EINVAL, f"a message of version {message.version}")
        graph, source = self.server.graph, self._attached().node
        node, arrival = graph.find(path, source)
        item = Item(message, source.id)
        graph.deliver(node, item, arrival)
        for _ in range(ROUNDS):
            if not item.replied or self.answered is item:
                break
            # So much control work waits that a slice did not get to the response.
            graph.work.enter()
            graph.work.leave()
        self.answered = None
        if item.error is not None:
            raise item.error

    def _send_data(self, name: str, payload: bytes) -> None:
        hooks = self._attached().node.hooks
        if name:
            hook = hooks.get(name)
            if hook is None:
                raise OSError(errno.EHOSTUNREACH, f'there is no hook "{name}"')
        elif len(hooks) == 1:
            (hook,) = hooks.values()
        else:
            raise OSError(errno.EDESTADDRREQ, f"which of {len(hooks)} hooks?")
        hook.send_data(Packet(payload))

    def _name(self) -> str:
        node = self._attached().node
        return node.name or f"[{node.id:x}]"

    # -- events

    def tell(self, event: ngd.Event) -> bool:
        """Write *event* to the event channel; return False if it was lost."""
        if self.events is None:
            return False
        try:
            self.events.send(event.pack(), socket.MSG_NOSIGNAL)
        except OSError:
            return False  # full, too long for it, or closed by the client
        return True

    def end_events(self) -> None:
        """No more events: the client reads what there is, and then the end."""
        if self.events is not None:
            with suppress(OSError):  # the client has closed it
                self.events.shutdown(socket.SHUT_RDWR)

    # -- the end

    def close(self) -> None:
        """Close both channels; the node ends with its last connection."""
        if self.closed:
            return
        self.closed = True
        self._stop_timer()
        self.reactor.removeReader(self)
        self.server.forget(self)
        self.sock.close()
        if self.events is not None:
            self.events.close()
            self.events = None
        if self.attachment is not None:
            self.attachment.detach(self)
            if self.attachment.control is None and self.attachment.data is None:
                self.server.attachments.pop(self.attachment.node.id, None)

    def _silent(self) -> None:
        self.timer = None
        self._malformed("no HELLO within 5 s")

    def _malformed(self, why: str) -> None:
        _log.info("{peer}: {why}; its connection is closed", peer=self.peer, why=why)
        self.close()

    def _stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


def _number(error: OSError) -> int:
    """Return what the client is told: EIO for what some node raises that is no errno."""
    code = error.errno
    return code if isinstance(code, int) and 0 < code < 1 << 31 else errno.EIO
