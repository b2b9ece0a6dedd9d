"""Facing streams are fused: the socket layer moves their bytes, the graph only counts them.

Two ksockets face each other when the route that begins at the hook of one ends
at the hook of the other: nothing in between does more than pass on.  Each
direction is decided by itself, when it has carried a packet or two (most
connections that are open carry nothing) and now and then while packets go
through the graph.  When the route changes packets go through the graph
again, and whatever the socket layer cannot do for us goes through it anyway.

Datagrams go through the graph, but not through nodes that only pass on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ngksock.netgraph import follow
from ngksock.nodes.ksocket.datapath import DataPath

if TYPE_CHECKING:
    from ngksock.kpi import Socket
    from ngksock.kpi.relay import Relay
    from ngksock.netgraph import Hook, Route
    from ngksock.packet import Batch

__all__ = ["Facing"]

FIRST: Final = 3
"""A connection that has been looked at so often carries something: it is worth a relay."""

READS: Final = 16
"""After so many reads through the graph it is asked again whether they need to go there."""


class Facing(DataPath):
    """A data path that may be fused with one it faces."""

    __slots__ = ("_far", "_fed", "_reads", "_relay")

    def __init__(self) -> None:
        super().__init__()
        self._relay: Relay | None = None
        self._far: Facing | None = None
        self._fed: Route | None = None  # what a relay sends by our socket would take it
        self._reads = FIRST  # so many until it is asked

    @property
    def held(self) -> bool:
        """Whether it does not read because of a sink that takes nothing."""
        return (self.hook is not None and self.hook.high) or (
            self._relay is not None and self._relay.held
        )

    def _read(self) -> None:
        super()._read()
        self._reads -= 1
        if not self._reads:
            self._reads = READS
            self._fuse()

    def _send_stream(self, batch: Batch) -> None:
        if self._fed is not None:
            # A relay waits until so_snd is empty, which it never is while others
            # fill it: by packets, all who feed us are held, and let go, alike.
            self._fed.changed()
        super()._send_stream(batch)

    def _takes_stream(self, hook: Hook) -> Socket | None:
        """Return the socket that sends what arrives by *hook*, if it is one for streams."""
        if not self.valid or hook is not self.hook or self.kind is None or not self.kind.connected:
            return None
        return self.so

    def _fuse(self) -> None:
        """Let the node we face send what we receive, if there is one and it can."""
        so, hook = self.so, self.hook
        if so is None or hook is None or self._relay is not None or not self.valid:
            return
        if self.kind is not None and not self.kind.connected:
            self._shorten(hook)
            return
        relays = so.kpi.relays
        if relays is None or not relays.on or not so.proto.stream:
            return
        route = follow(hook)
        if route is None or not isinstance(route.end.node, Facing):
            return
        far = route.end.node
        to = far._takes_stream(route.end)
        if to is None or to.kpi is not so.kpi:
            return
        relay = relays.fuse(so, to, route, route.drop)
        if relay is not None:
            self._relay, self._far, far._fed = relay, far, route
            route.fix(self._part)

    def _shorten(self, hook: Hook) -> None:
        """Hand datagrams to the first node that does more than pass on, if it is not the next."""
        if self._route is None:
            route = follow(hook)
            if route is not None and len(route.hooks) > 1:
                self._route = route
                route.counts = route.hooks[:-1]  # the last one is asked to send, and counts itself
                route.fix(self._lengthen)

    def _lengthen(self) -> None:
        """The way is another: datagrams go node by node."""
        self._route = None

    def _part(self) -> None:
        """The way to the node we faced is another, or there is none."""
        relay, self._relay = self._relay, None
        far, self._far = self._far, None
        if relay is not None and far is not None:
            far._fed = None
            relay.end()
            self.graph.work.call(far._speak_up)

    def _speak_up(self) -> None:
        """Tell those who feed us by packets now that we are full, if we are."""
        so, hook = self.so, self.hook
        if so is not None and hook is not None and not self._high and so.sndspace() <= 0:
            self._high = True
            hook.send_flow(True)
