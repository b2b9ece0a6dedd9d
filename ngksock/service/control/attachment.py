"""A socket node and the outside program behind it: its two connections."""

from __future__ import annotations

from errno import ENOBUFS
from typing import TYPE_CHECKING

from ngksock import ngd
from ngksock.netgraph import Hook, Item, Packet
from ngksock.nodes.socket import Socket, socket

if TYPE_CHECKING:
    from ngksock.netgraph import Graph
    from ngksock.service.control.connection import Connection

__all__ = ["Attachment"]


class Attachment:
    """
    One node of type ``socket``, from HELLO until both its connections are closed.

    Args:
        graph: Where the node is made.
        control: The control connection, which made it.

    ``data`` is the data connection, or None; ``node`` stays when it has ended.
    """

    def __init__(self, graph: Graph, control: Connection) -> None:
        self.graph = graph
        self.uid = control.uid
        self.control: Connection | None = control
        self.data: Connection | None = None
        self.node = Socket()
        self.node.on_message = self._message
        self.node.on_shutdown = self._ended
        graph.add(socket, self.node)

    def attach(self, data: Connection) -> None:
        """Give the node its data connection."""
        self.data = data
        self.node.on_data = self._packet

    def detach(self, connection: Connection) -> None:
        """Forget a connection that is closed; the node ends with the last one."""
        if connection is self.control:
            self.control = self.node.on_message = None
        elif connection is self.data:
            self.data = self.node.on_data = None
        if self.control is None and self.data is None and self.node.valid:
            self.graph.rmnode(self.node)

    def _message(self, item: Item) -> None:
        assert self.control is not None
        event = ngd.Event(ngd.CONTROL, f"[{item.source:x}]:", item.message.pack())
        self.control.answered = item.cause
        if not self.control.tell(event):
            raise OSError(ENOBUFS, "the program behind the socket node does not read its messages")

    def _packet(self, hook: Hook, packet: Packet) -> None:
        assert self.data is not None
        if packet.eof:
            return  # the mark does not cross the wire
        if not self.data.tell(ngd.Event(ngd.DATA, hook.name, bytes(packet.data))):
            raise OSError(ENOBUFS, "the program behind the socket node does not read its data")

    def _ended(self) -> None:
        """The node was shut down: the client drains its channels, and then reads the end."""
        for connection in (self.control, self.data):
            if connection is not None:
                connection.end_events()
