"""socket: where something outside the graph is attached to it.

A file of commands, a program, or a test acts through a node of this type: its
messages come from here and the replies go here; its packets leave by any hook.
Any hook name is accepted.  mkpeer cannot make one (EINVAL): only whoever
stands behind it can.

Messages of its own (binary form only): 1, end with the last hook; 2, live on
without hooks, the default.  Everything else, generic responses and flow
messages among it, is handed to the outside; EINVAL if nobody listens there.
Packets for an outside that takes none are dropped.

It ends by ``shutdown``, or when the outside lets go (netgraph.md §8.5).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from errno import EINVAL
from typing import Final, NoReturn

from ngksock.netgraph import FLOW_COOKIE, Batch, Hook, Item, Message, Node, Packet
from ngksock.plugin import NodeType

COOKIE: Final = 851601233
NOLINGER: Final = 1
LINGER: Final = 2
HIGH_WATER: Final = 34, "NGM_HIGH_WATER_PASSED"
LOW_WATER: Final = 35, "NGM_LOW_WATER_PASSED"


class Socket(Node):
    """
    The graph's end of an outside party.

    ``on_message`` takes each item that arrives, ``on_data`` each packet with
    the hook it arrived on, ``on_shutdown`` is called when the node is gone;
    None: nobody listens.
    """

    def __init__(self) -> None:
        super().__init__()
        self.on_message: Callable[[Item], None] | None = None
        self.on_data: Callable[[Hook, Packet], None] | None = None
        self.on_shutdown: Callable[[], None] | None = None
        self._linger = True

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        if self.on_data is not None:
            self.on_data(hook, packet)

    def rcvbatch(self, hook: Hook, batch: Batch) -> None:
        if self.on_data is not None:
            super().rcvbatch(hook, batch)

    def rcvflow(self, hook: Hook, high: bool) -> None:
        """Tell the outside, as a flow message from the neighbour (netgraph.md §2.5)."""
        if self.on_message is not None:
            cmd, name = HIGH_WATER if high else LOW_WATER
            message = Message(FLOW_COOKIE, cmd, bytes(24), cmdstr=name)
            with suppress(OSError):  # an outside that has no room for it misses it
                self.on_message(Item(message, hook.peer.node.id))

    def rcvmsg(self, item: Item, lasthook: Hook | None) -> None:
        message = item.message
        if self.on_message is None:
            raise OSError(EINVAL, "nobody listens behind this socket node")
        if message.cookie == COOKIE and not message.is_response:
            if message.cmd not in (NOLINGER, LINGER):
                raise OSError(EINVAL, f"a socket has no message {message.cmd}")
            self._linger = message.cmd == LINGER
            return
        self.on_message(item)

    def disconnect(self, hook: Hook) -> None:
        if not self._linger and not self.hooks and self.valid:
            self.graph.rmnode_self(self)

    def shutdown(self) -> None:
        self.on_message = self.on_data = None
        done, self.on_shutdown = self.on_shutdown, None
        if done is not None:
            done()


def _refuse() -> NoReturn:
    raise OSError(EINVAL, "a socket node is made by attaching to the graph, not by mkpeer")


socket = NodeType("socket", COOKIE, _refuse)
