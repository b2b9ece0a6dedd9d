"""hub: send each packet out of all hooks but the one it came in by.

Hooks: any name, any number.  A packet goes out by the newest hook first; with
one hook alone it is dropped.  A hook that fails does not stop the others, and
the sender gets the last error.  Loops are not detected: two hubs joined by two
links pass a packet round until the graph's work list drops it.

Messages (cookie 1082189597):

* 1 ``setpersistent``: live on without hooks.  There is no way back.

It ends by ``shutdown``, or with its last hook unless it is persistent.
"""

from __future__ import annotations

from ngksock.netgraph import Batch, Hook, Node, Packet, command, send_all
from ngksock.plugin import NodeType


class Hub(Node):
    """A node that repeats what it hears."""

    def __init__(self) -> None:
        super().__init__()
        self.persistent = False
        self.newest_first: tuple[Hook, ...] = ()
        self._pair: tuple[Hook, ...] = ()  # which pass on to each other

    def connect(self, hook: Hook) -> None:
        self._sort()

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        send_all(self.newest_first, packet, hook)

    def rcvbatch(self, hook: Hook, batch: Batch) -> None:
        for other in self.newest_first:
            if other is not hook:
                other.send_batch(batch)

    @command(1)
    def setpersistent(self) -> None:
        """Live on without hooks."""
        self.persistent = True

    def config(self) -> list[str]:
        return ["msg . setpersistent"] if self.persistent else []

    def status(self) -> str:
        count = len(self.hooks)
        text = f"{count} hook" if count == 1 else f"{count} hooks"
        return f"{text}, persistent" if self.persistent else text

    def disconnect(self, hook: Hook) -> None:
        self._sort()
        if not self.persistent:
            super().disconnect(hook)

    def _sort(self) -> None:
        self.newest_first = hooks = tuple(reversed(self.hooks.values()))
        pair = hooks if len(hooks) == 2 else ()  # with two, each only passes on to the other
        for hook in self._pair:
            if hook not in pair:
                hook.pass_to(None)
        self._pair = pair
        for hook, other in zip(pair, reversed(pair), strict=True):
            hook.pass_to(other)


hub = NodeType("hub", 1082189597, Hub)
