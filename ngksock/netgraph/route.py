"""Routes: where the packets of a hook end up, found once and fixed while that is so.

Theory of operation.  Packets travel node by node, and each node decides.  A
node that adds nothing says so beforehand, for one of its hooks: all that comes
in there leaves, unchanged, by a certain other one (`Hook.pass_to`).  Whoever
sends much follows these words from his own hook to the node that does
something, and may then hand it his data directly, as long as he counts on the
route what the hooks and nodes in between would have counted.  They learn of it
when somebody looks (`Route.fold`), and when the route ends: ten nodes in
between cost as much as none.

That holds until a link on the way is made, cut or moved, a node there takes
back its word, or a packet has to wait on the way.  Each of these calls
`Hook.unfix` *before* anything else is sent, which ends every route across it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from ngksock.netgraph.hook import Hook

__all__ = ["Route", "Tally", "follow"]

LONGEST: Final = 256
"""Links of a route; whoever finds no end within them goes in circles."""


class Tally(Protocol):
    """Counts what goes by: a route does, and a node may have one for what it passes on."""

    packets: int
    bytes: int


class Route:
    """
    The way from one hook to the first node that does more than pass on.

    Args:
        hooks: The hooks that packets are sent out of, in order.
        tallies: The tallies of the nodes in between.

    ``end`` is the hook by which packets arrive; ``valid`` says that this is
    still the way.  ``packets`` and ``bytes`` count what took it: whoever uses
    a route adds to them while it is fixed, and everybody else reads the hooks.
    ``counts`` are the hooks that count by the route alone: all, but for the
    last one where whoever uses the route sends out of that, as ever.
    """

    __slots__ = ("_changed", "bytes", "counts", "end", "hooks", "packets", "tallies", "valid")

    def __init__(self, hooks: tuple[Hook, ...], tallies: tuple[Tally, ...]) -> None:
        self.hooks = self.counts = hooks
        self.tallies = tallies
        self.end = hooks[-1].peer
        self.packets = self.bytes = 0
        self.valid = True
        self._changed: Callable[[], None] | None = None

    def fix(self, changed: Callable[[], None]) -> None:
        """Have *changed* called, once, as soon as this is no longer the way."""
        self._changed = changed
        for hook in self.hooks:
            hook.routes = (*hook.routes, self)

    def fold(self) -> None:
        """Count on every hook and tally of the way what took it since the last time."""
        packets, count = self.packets, self.bytes
        if packets:
            self.packets = self.bytes = 0
            for hook in self.counts:
                hook.carried(packets, count)
            for tally in self.tallies:
                tally.packets += packets
                tally.bytes += count

    def forget(self) -> None:
        """Call nobody any more: whoever fixed it does not use it."""
        self.fold()
        self.valid = False
        self._changed = None
        for hook in self.hooks:
            hook.routes = tuple(route for route in hook.routes if route is not self)

    def changed(self) -> None:
        """This is the way no longer."""
        told = self._changed
        self.forget()
        if told is not None:
            told()

    def drop(self, errno: int, count: int = 1) -> None:
        """Count *count* packets as lost for *errno*, where the node at the end would."""
        self.hooks[-1].drop(errno, count)


def follow(hook: Hook) -> Route | None:
    """Return the route that begins with *hook*, or None if there is none just now."""
    hooks: list[Hook] = []
    tallies: list[Tally] = []
    while hook.valid and not hook.waiting and not hook.refuses and len(hooks) < LONGEST:
        hooks.append(hook)
        arrives = hook.peer
        if arrives.onward is None:
            return Route(tuple(hooks), tuple(tallies))
        if arrives.tally is not None:
            tallies.append(arrives.tally)
        hook = arrives.onward
    return None
