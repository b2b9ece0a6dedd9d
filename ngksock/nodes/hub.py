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
        self._order: tuple[Hook, ...] = ()  # the newest first; made when it is needed
        self._pair: tuple[Hook, ...] = ()  # which pass on to each other

    def connect(self, hook: Hook) -> None:
        self._changed()

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        send_all(self._order or self._sort(), packet, hook)

    def rcvbatch(self, hook: Hook, batch: Batch) -> None:
        for other in self._order or self._sort():
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
        self._changed()
        if not self.persistent:
            super().disconnect(hook)

    def _sort(self) -> tuple[Hook, ...]:
        self._order = tuple(reversed(self.hooks.values()))
        return self._order

    def _changed(self) -> None:
        self._order = ()  # a hub of thousands is not sorted anew with each that comes
        # With two hooks, each only passes on to the other.
        pair = tuple(self.hooks.values()) if len(self.hooks) == 2 else ()
        for hook in self._pair:
            if hook not in pair:
                hook.pass_to(None)
        self._pair = pair
        for hook, other in zip(pair, reversed(pair), strict=True):
            hook.pass_to(other)


hub = NodeType("hub", 1082189597, Hub)
