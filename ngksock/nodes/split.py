"""split: part the two directions of a link.

Hooks: ``mixed``, ``in``, ``out``, each of them once.

============== =======================
a packet from  goes to
============== =======================
``in``         ``mixed``
``mixed``      ``out``
``out``        nobody: refused, EINVAL
============== =======================

Where the hook it should go to is missing, a packet is dropped; that is no
error.

No messages of its own (cookie 949409402): whatever is not generic vanishes,
without an answer and without an error.

Back-pressure takes the ways of the table against the packets.

It ends by ``shutdown``, or with its last hook.
"""

from __future__ import annotations

from errno import EINVAL
from typing import Final

from ngksock.netgraph import Batch, Hook, Item, Node, Packet
from ngksock.netgraph.message import GENERIC_COOKIE
from ngksock.plugin import NodeType

ONWARD: Final = {"in": "mixed", "mixed": "out"}


class Split(Node):
    """A node that makes one link in both directions two of one direction each."""

    hook_names = ("mixed", "in", "out")

    def connect(self, hook: Hook) -> None:
        self._direct()

    def _direct(self) -> None:
        """Decide for every hook where its packets go: its ``private``."""
        for name, hook in self.hooks.items():
            hook.private = self.hooks.get(ONWARD[name]) if name in ONWARD else None

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        onward: Hook | None = hook.private
        if onward is not None:
            onward.send_data(packet)
        elif hook.name == "out":
            raise OSError(EINVAL, "nothing may come in by the hook out of a split")

    def rcvbatch(self, hook: Hook, batch: Batch) -> None:
        onward: Hook | None = hook.private
        if onward is not None:
            onward.send_batch(batch)
        elif hook.name == "out":
            hook.peer.drop(EINVAL, len(batch))

    def rcvflow(self, hook: Hook, high: bool) -> None:
        """Hold the hook whose packets go out of *hook*."""
        for other in list(self.hooks.values()):
            if other.private is hook:
                other.send_flow(high)

    def rcvmsg(self, item: Item, lasthook: Hook | None) -> None:
        """Swallow whatever is not generic; there is no status to tell (EINVAL)."""
        if item.message.cookie == GENERIC_COOKIE:
            super().rcvmsg(item, lasthook)

    def disconnect(self, hook: Hook) -> None:
        self._direct()
        super().disconnect(hook)


split = NodeType("split", 949409402, Split)
