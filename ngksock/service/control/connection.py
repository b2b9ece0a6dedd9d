"""One netgraph socket of a client: calls in, replies and events out."""

from __future__ import annotations

import errno
import select
import socket
from typing import TYPE_CHECKING, Final

from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ngksock import ngd
from ngksock.netgraph import Item, Message, Packet
from ngksock.netgraph.message import VERSION
from ngksock.service.control.attachment import Attachment
from ngksock.service.control.peer import Peer

if TYPE_CHECKING:
    from ngksock.service.control.server import ControlServer

__all__ = ["Connection"]

_log: Final = Logger(namespace="ngksock.control")

HELLO_SECONDS: Final = 5.0
QUEUE: Final = 131072
QUEUE_MIN: Final = 4096
QUEUE_MAX: Final = 4 << 20


class Connection(FileDescriptor):
    """
    A connection of a client.

    Args:
        server: Whose it is.
        sock: The call channel.
        peer: Who is at its other end.
    """

    def __init__(self, server: ControlServer, sock: socket.socket, peer: Peer) -> None:
        super().__init__(server.reactor)
        sock.setblocking(False)
        self.server = server
        self.sock = sock
        self.peer = peer
        self.kind = 0
        self.attachment: Attachment | None = None
        self.events: socket.socket | None = None
        self.timer: IDelayedCall | None = server.clock.callLater(HELLO_SECONDS, self._silent)
        self.closed = False
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
        except BlockingIOError:
            return
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
        too_long = flags & socket.MSG_TRUNC or len(call.payload) > ngd.PAYLOAD_MAX
        self._answer(call, errno.EMSGSIZE if too_long else 0)

    def connectionLost(self, reason: Failure) -> None:
        self.close()

    # -- calls

    def _answer(self, call: ngd.Call, code: int) -> None:
        body, descriptors = b"", []
        if not code:
            try:
                if call.op == ngd.HELLO:
                    body = self._hello(call)
                    descriptors = [self._event_channel()]
                else:
                    body = self._call(call)
            except OSError as error:
                code = error.errno or errno.EIO
                body = b"" if call.op != ngd.HELLO or code != errno.EPROTO else b"\1\0"
        if self.closed:
            return
        reply = ngd.Reply(call.op, call.seq, code, body).pack()
        try:
            if descriptors:
                socket.send_fds(self.sock, [reply], [sock.fileno() for sock in descriptors])
            else:
                self.sock.send(reply, socket.MSG_NOSIGNAL)
        except OSError:
            self.close()  # it does not read its replies, or has gone
        finally:
            for sock in descriptors:
                sock.close()

    def _hello(self, call: ngd.Call) -> bytes:
        hello = ngd.Hello.unpack(call.payload)
        if self.kind:
            raise OSError(errno.EISCONN, "HELLO was said before")
        if hello.magic != ngd.MAGIC or hello.version != ngd.VERSION:
            raise OSError(errno.EPROTO, "another protocol, or another version of it")
        if hello.kind not in (ngd.CONTROL, ngd.DATA):
            raise OSError(errno.EPROTONOSUPPORT, f"no kind of socket is {hello.kind}")
        self.server.admit(self, hello.kind)
        self._wanted = min(max(hello.queue or QUEUE, QUEUE_MIN), QUEUE_MAX)
        ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._wanted)
        self.events = ours
        node = 0
        if hello.kind == ngd.CONTROL:
            self.attachment = Attachment(self.server.graph, self)
            self.server.attachments[self.attachment.node.id] = self.attachment
            node = self.attachment.node.id
        self.kind = hello.kind
        self._stop_timer()
        queue = min(self._wanted, ours.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) // 2)
        return ngd.Welcome(node, queue).pack()

    def _event_channel(self) -> socket.socket:
        """Return the client's end, to be handed over."""
        return self._theirs

    def _call(self, call: ngd.Call) -> bytes:
        if call.op not in (ngd.BIND, ngd.CONNECT, ngd.SEND, ngd.GETNAME):
            raise OSError(errno.EOPNOTSUPP, f"no call is {call.op}")
        if self.attachment is not None and not self.attachment.node.valid:
            raise OSError(errno.EPIPE, "the node was shut down")
        if call.op == ngd.BIND:
            self._bind(call.address)
        elif call.op == ngd.CONNECT:
            self._connect(call.address)
        elif call.op == ngd.SEND:
            if self.kind == ngd.CONTROL:
                self._send_message(call.address, call.payload)
            else:
                self._send_data(call.address, call.payload)
        else:
            return self._name().encode("latin-1")
        return b""

    def _attached(self) -> Attachment:
        if self.attachment is None:
            raise OSError(errno.ENOTCONN, "the data socket is not attached to a node")
        return self.attachment

    def _bind(self, name: str) -> None:
        if self.kind != ngd.CONTROL:
            raise OSError(errno.EINVAL, "a data socket has no name")
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
        graph.deliver(node, Item(message, source.id), arrival)

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
            self.events.shutdown(socket.SHUT_RDWR)

    # -- the end

    def has_ended(self) -> bool:
        """Say whether the client has closed the call channel, maybe behind some calls."""
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return any(found & (select.POLLHUP | select.POLLERR) for _, found in poll.poll(0))

    def close(self) -> None:
        """Close both channels; the node ends with its last connection."""
        if self.closed:
            return
        self.closed = True
        self._stop_timer()
        self.reactor.removeReader(self)
        self.sock.close()
        if self.events is not None:
            self.events.close()
            self.events = None
        self.server.forget(self)
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
