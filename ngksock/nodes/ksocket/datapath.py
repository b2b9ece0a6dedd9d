"""The data path of a ksocket: from its hook to its socket, and back (netgraph.md §7.10, §7.11)."""

from __future__ import annotations

from errno import ECONNABORTED, EINVAL, ENOBUFS, ENXIO, errorcode
from operator import attrgetter
from socket import SO_ERROR, SOL_SOCKET
from typing import Final

from ngksock.kpi import Socket
from ngksock.kpi.constants import SHUT_WR, SO_FILT_HINT_DISCONNECTED
from ngksock.netgraph import EOF, Batch, Hook, Node, Packet, Reply, Route, Tag
from ngksock.netgraph.hook import one_by_one
from ngksock.nodes.ksocket.describe import addresses
from ngksock.nodes.ksocket.family import Kind
from ngksock.nodes.ksocket.tags import AddressTags, destination, shared_tags

__all__ = ["OWN_COOKIE", "DataPath"]

OWN_COOKIE: Final = 1750000200
"""Of the messages FreeBSD's ksocket does not have."""
RESET_TAG: Final = 1
"""Under our own cookie, on an end-of-file mark: the stream was cut off, not ended."""
CUT: Final = Packet(b"", (Tag(OWN_COOKIE, RESET_TAG, b""),), True)

_IS_MARK: Final = attrgetter("eof")

ROUND: Final = 64
"""Packets taken from the socket at a time."""


class DataPath(Node):
    """
    What a ksocket holds, and how packets go through it.

    It reads while its hook takes what it reads, and sends at once what comes
    from there; of a stream it passes on the end of file, and how it came.
    """

    # Thousands of connections are twice as many of these: a dict would take
    # three times the room (one with more than 30 names is not shared).
    __slots__ = (
        "_abandoned",
        "_connecting",
        "_cut",
        "_eof_received",
        "_eof_seen",
        "_high",
        "_listening",
        "_reading",
        "_route",
        "_tags",
        "_target",
        "cloned",
        "hook",
        "kind",
        "lasterror",
        "so",
    )

    def __init__(self) -> None:
        super().__init__()
        self.kind: Kind | None = None
        self.so: Socket | None = None
        self.hook: Hook | None = None
        self.cloned = False
        self.lasterror = 0
        self._target = ""
        self._high = False
        self._eof_seen = False  # the mark went out of the hook
        self._eof_received = False  # the mark came in
        self._cut = False
        self._abandoned = False  # by its neighbour, while it was connecting
        self._listening = False
        self._connecting: Reply[int] | None = None
        self._tags: AddressTags | None = None  # of datagrams, once there is a hook
        self._reading = False
        self._route: Route | None = None  # of datagrams, past nodes that pass on

    # -- from the hook to the socket (§7.10)

    def _stream_data(self, hook: Hook, packet: Packet) -> None:
        if packet.eof:
            self._shut(packet)
        elif packet.len:
            self._send_stream(Batch((packet,), packet.len))

    def _stream_batch(self, hook: Hook, batch: Batch) -> None:
        if batch[0].eof if len(batch) == 1 else any(packet.eof for packet in batch):
            one_by_one(self._stream_data, hook, batch)
        elif batch.nbytes:
            try:
                self._send_stream(batch)
            except OSError as error:
                # An empty packet has nothing to lose.
                lost = sum(packet.len > 0 for packet in batch)
                hook.peer.drop(error.errno or EINVAL, lost)

    def _send_stream(self, batch: Batch) -> None:
        so = self._socket()
        try:
            so.sendbatch(batch)
        except OSError as error:
            if error.errno == ENOBUFS and not all(packet.record for packet in batch):
                # Whoever feeds it does not heed rcvflow; a stream with a hole
                # in it would be worse than none (house.md "Back-pressure").
                self._fail(ENOBUFS, abort=True)
            raise
        if not self._high and so.sndspace() <= 0:
            self._high = True
            if self.hook is not None:
                self.hook.send_flow(True)

    def _shut(self, mark: Packet = EOF) -> None:
        """Tell the peer that no more comes, once the queue is empty; of a cut, end."""
        if mark.find_tag(OWN_COOKIE, RESET_TAG) is not None:
            self._cut = True
            self._abandoned = self._connecting is not None
            self.graph.rmnode_self(self)
            return
        self._socket().shutdown(SHUT_WR)
        self._eof_received = True
        self._finish()

    def _dgram_data(self, hook: Hook, packet: Packet) -> None:
        if packet.eof:
            return
        so = self._socket()
        batch = Batch((packet,), packet.len)
        name = destination(packet.tags, self.id, self._kind().family)
        if name is not None:
            batch.names = [name]
        if not so.sendbatch(batch):
            so.takelosses()  # that is how it is told
            raise OSError(so.lasterror, f"ksocket {self!r} could not send a datagram")

    def _dgram_batch(self, hook: Hook, batch: Batch) -> None:
        so = self.so
        if so is None:
            hook.peer.drop(ENXIO, len(batch))
            return
        if not batch.uniform and any(map(_IS_MARK, batch)):
            batch = Batch(packet for packet in batch if not packet.eof)
        if not batch:
            return
        family = self._kind().family
        tags = shared_tags(batch)
        if tags is not None:
            name = destination(tags, self.id, family) if tags else None
            if name is not None:
                batch = batch.addressed([name] * len(batch))
        else:
            # Packets of a few senders come mixed: each is looked up once.
            known = {tags: destination(tags, self.id, family) for tags in {p.tags for p in batch}}
            # Tags of other nodes are none for this one: then the batch goes the short way.
            if any(name is not None for name in known.values()):
                batch = batch.addressed([known[packet.tags] for packet in batch])
        try:
            lost = len(batch) - so.sendbatch(batch)
        except OSError as error:  # its own side was shut
            hook.peer.drop(error.errno or EINVAL, len(batch))
            return
        if lost:
            for code, count in so.takelosses().items():
                hook.peer.drop(code, count)

    # -- from the socket to the hook (§7.11)

    def rcvflow(self, hook: Hook, high: bool) -> None:
        """Hold a stream while a sink asks for it; go on when none does."""
        if not hook.high:
            self.graph.work.call(self._read)

    def _writable(self, so: Socket) -> None:
        if self._high and so.sndspace() > 0:
            self._high = False
            if self.hook is not None:
                self.hook.send_flow(False)
        self._finish()

    def _event(self, so: Socket, event: int) -> None:
        """A connection was made, or it ended; upcalls do not tell which came first."""
        if self._connecting is not None:
            if event & SO_FILT_HINT_DISCONNECTED:
                error = so.getsockopt(SOL_SOCKET, SO_ERROR)
                assert isinstance(error, int)
                self._fail(error or ECONNABORTED)
                return
            reply, self._connecting = self._connecting, None
            reply(0)
        self._read()

    def _read(self) -> None:
        """Send on what the socket has, as long as the graph takes it."""
        so, hook = self.so, self.hook
        if so is None or hook is None or self._reading or self._listening:
            return
        assert self.kind is not None
        self._reading = True
        try:
            while so.readable and hook.valid and not self._eof_seen:
                if hook.high and self.kind.connected:
                    break  # datagrams are never held: where there is no room they are lost
                batch = so.receivebatch(ROUND)
                if self.kind.connected:
                    if not batch:
                        self._eof_seen = True
                        hook.send_batch(Batch((EOF,), 0))
                        break
                elif self._tags is not None:
                    self._tags.mark(batch, self.id)
                route = self._route
                if route is None:
                    hook.send_batch(batch)
                else:
                    route.packets += len(batch)
                    route.bytes += batch.nbytes
                    route.hooks[-1].send_batch(batch)
        except BlockingIOError:
            return  # an upcall follows when there is more
        except OSError as error:
            self._received_error(error.errno or EINVAL)
        finally:
            self._reading = False
        self._finish()

    def _received_error(self, errno: int) -> None:
        assert self.kind is not None
        if self.kind.connected:
            self._fail(errno)
        else:
            self.lasterror = errno  # a datagram of ours was refused (§7.11)

    def _finish(self) -> None:
        """End once both directions of the connection have."""
        so = self.so
        if self._eof_seen and so is not None and not so.isconnected() and not so.sndcount:
            self.graph.rmnode_self(self)

    def _fail(self, errno: int, abort: bool = False) -> None:
        """The socket is of no use any more: tell who waits, and end."""
        self.lasterror = errno
        reply = self._connecting
        told = reply is not None and reply.source in self.graph.nodes
        why = f": {self.so.why}" if self.so is not None and self.so.why else ""
        # What clients do to their connections is no news; a reply has no room for a sentence.
        if not self.cloned and (why or not told):
            where, name = self._target or addresses(self.so), errorcode.get(errno, str(errno))
            self.graph.report(f"ksocket {self!r} ({where}) failed: {name}{why}", None)
        if reply is not None:
            self._connecting = None
            reply(errno)
        if self.hook is not None and not self._eof_seen:
            self._eof_seen = True
            self.hook.send_batch(Batch((CUT,), 0))
        if abort and self.so is not None:
            so, self.so = self.so, None
            so.abort()
        self.graph.rmnode_self(self)

    def _socket(self) -> Socket:
        if self.so is None:
            raise OSError(ENXIO, f"ksocket {self!r} has no socket")
        return self.so

    def _kind(self) -> Kind:
        if self.kind is None:
            raise OSError(ENXIO, f"ksocket {self!r} has no socket")
        return self.kind
