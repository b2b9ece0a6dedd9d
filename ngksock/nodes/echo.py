"""echo: send everything back to where it came from.

Hooks: any name, any number.  A packet goes out by the hook it came in by.

Messages: every message that is not generic, and ``textstatus`` and
``textconfig``, returns to its sender as a response with the arguments it had.
There is no ASCII form of any (ENOSYS).  Cookie: 884298942.

It ends by ``shutdown``, or with its last hook.
"""

from __future__ import annotations

from ngksock.netgraph import Batch, Hook, Item, Node, Packet
from ngksock.plugin import NodeType


class Echo(Node):
    """A node that returns what it gets."""

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        hook.send_data(packet)

    def rcvbatch(self, hook: Hook, batch: Batch) -> None:
        hook.send_batch(batch)

    def rcvflow(self, hook: Hook, high: bool) -> None:
        """Hold those beyond *hook*: it is their own packets that go out of it."""
        hook.send_flow(high)

    def rcvmsg(self, item: Item, lasthook: Hook | None) -> None:
        self.graph.reply(item, item.message.data)


echo = NodeType("echo", 884298942, Echo)
