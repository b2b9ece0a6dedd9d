"""hole: swallow everything, and count it.

Hooks: any name, any number.  A hook's counters begin at zero when it is
connected.

Messages (cookie 915433206); the argument is the name of a hook, such as
``"x"``, and ENOENT says that there is none of that name:

* 1 ``getstats``: tell the hook's counters, ``{ frames=3 octets=120 }``.
* 2 ``clrstats``: reset them.
* 3 ``getclrstats``: tell them, then reset them.

It ends by ``shutdown``, or with its last hook.
"""

from __future__ import annotations

from dataclasses import dataclass
from errno import ENOENT
from typing import Final

from ngksock.netgraph import Batch, Hook, Node, Packet, command
from ngksock.netgraph.layout import FixedString, Struct, UInt64
from ngksock.plugin import NodeType


@dataclass
class Stats:
    """What one hook swallowed."""

    frames: UInt64 = 0
    octets: UInt64 = 0


NAME: Final = FixedString(32)
STATS: Final = Struct(Stats)


class Hole(Node):
    """A node that nothing comes out of."""

    def newhook(self, hook: Hook, name: str) -> None:
        hook.private = Stats()

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        stats: Stats = hook.private
        stats.frames += 1
        stats.octets += packet.len

    def rcvbatch(self, hook: Hook, batch: Batch) -> None:
        stats: Stats = hook.private
        stats.frames += len(batch)
        stats.octets += batch.nbytes

    def rcvflow(self, hook: Hook, high: bool) -> None:
        """Tell nobody: nothing here goes out of *hook*."""

    @command(1, arg=NAME, resp=STATS)
    def getstats(self, name: str) -> Stats:
        """Count the packets and bytes that a hook swallowed."""
        return self._stats(name)

    @command(2, arg=NAME)
    def clrstats(self, name: str) -> None:
        """Reset the counters of a hook."""
        self.getclrstats(name)

    @command(3, arg=NAME, resp=STATS)
    def getclrstats(self, name: str) -> Stats:
        """Tell the counters of a hook, then reset them."""
        stats = self._stats(name)
        self.hooks[name].private = Stats()
        return stats

    def _stats(self, name: str) -> Stats:
        hook = self.hooks.get(name)
        if hook is None:
            raise OSError(ENOENT, f'node {self!r} has no hook "{name}"')
        stats: Stats = hook.private
        return stats

    def status(self) -> str:
        counts = ((hook.name, hook.private) for hook in self.hooks.values())
        lines = [f"{name}: {s.frames} packets, {s.octets} bytes" for name, s in counts]
        return "\n".join(lines) or "no hooks"


hole = NodeType("hole", 915433206, Hole)
