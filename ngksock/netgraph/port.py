"""A session's way into a graph in the same process."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from errno import EHOSTUNREACH, EINVAL, ENOSYS
from typing import TYPE_CHECKING

from ngksock.netgraph.generic import ascii2binary, binary2ascii, message_names
from ngksock.netgraph.message import Item, Message
from ngksock.packet import Packet

if TYPE_CHECKING:
    from ngksock._inetgraph import INodeType
    from ngksock.netgraph.graph import Graph
    from ngksock.netgraph.node import Node

__all__ = ["GraphPort"]


class GraphPort:
    """
    A `ngksock.netgraph.session.Port` to a graph of this process.

    Args:
        graph: The graph.
        source: The node that sends, and to which replies go.
        here: The node that is ``.`` in paths; None: *source*.
        inbox: Where *source* keeps the messages it receives; without it
            replies cannot be waited for.
    """

    def __init__(
        self,
        graph: Graph,
        source: Node,
        here: Node | None = None,
        inbox: deque[Item] | None = None,
    ) -> None:
        self.graph = graph
        self.source = source
        self.here = source if here is None else here
        self.inbox: deque[Item] = deque() if inbox is None else inbox
        self._asked: dict[int, INodeType] = {}

    def send(self, path: str, message: Message) -> None:
        node, arrival = self.graph.find(path, self.here)
        # The response may come when its sender is gone: its type converts it then.
        self._asked[message.token] = node.type
        if len(self._asked) > 256:
            del self._asked[next(iter(self._asked))]
        self.graph.deliver(node, Item(message, self.source.id), arrival)

    def request(self, path: str, message: Message) -> bytes:
        self.send(path, message)
        for item in self.inbox:
            if item.message.token == message.token:
                if item.message.is_response:
                    self.inbox.remove(item)
                    return item.message.data
                if item.source == self.source.id:  # asked of oneself: nobody will answer it
                    self.inbox.remove(item)
                    break
        raise OSError(ENOSYS, f'node "{path}" gave no answer')

    def encode(self, path: str, name: str, text: str) -> Message:
        node, _ = self.graph.find(path, self.here)
        try:
            return ascii2binary(node.type, Message(0, 0, cmdstr=name), text)
        except OSError:
            raise
        except BaseException as error:  # a layout of the type's own
            self.graph.bug(node, error)
            raise OSError(EINVAL, f"node {node!r} failed; the log says where") from error

    def received(self) -> list[tuple[str, Message]]:
        items = [(f"[{item.source:x}]:", item.message) for item in self.inbox]
        self.inbox.clear()
        return items

    def decode(self, address: str, message: Message) -> Message | None:
        sender = self.graph.nodes.get(int(address[1:-2], 16))
        kinds = [sender.type] if sender is not None else []
        if message.token in self._asked:
            kinds.append(self._asked[message.token])
        for kind in kinds:
            try:
                return binary2ascii(kind, message)
            except OSError:
                continue  # the next may know it; else the caller shows the bytes
            except BaseException as error:
                self.graph.bug(sender or self.source, error)
        return None

    def write(self, hook: str, data: bytes) -> None:
        out = self.source.hooks.get(hook)
        if out is None:
            raise OSError(EHOSTUNREACH, f'node {self.source!r} has no hook "{hook}"')
        out.send_data(Packet(data))

    def names(self) -> Iterable[str]:
        return list(self.graph.names)

    def types(self) -> Iterable[str]:
        return self.graph.available()

    def hooks(self, path: str) -> Iterable[str]:
        node, _ = self.graph.find(path, self.here)
        return list(node.hooks)

    def messages(self, path: str) -> Iterable[str]:
        node, _ = self.graph.find(path, self.here)
        return message_names(node.type)
