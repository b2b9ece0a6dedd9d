"""A source to test: what its tests share."""

from __future__ import annotations

from ngksock.netgraph import Packet
from ngksock.nodes.source import Source
from ngksock.testing import GraphTestCase

__all__ = ["SourceTestCase"]


class SourceTestCase(GraphTestCase):
    """A source ``s``, with the test at both of its hooks, and a packet in a millisecond."""

    def setUp(self) -> None:
        super().setUp()
        self.graph("mkpeer source output output", "name output s", "connect s: input input")
        self.msg("s:", "setpps 1000")
        self.local.forget()

    @property
    def source(self) -> Source:
        """The node."""
        node = self.node("s:")
        assert isinstance(node, Source)
        return node

    def packets(self) -> list[Packet]:
        """Return a list to which, from now on, the packets themselves come."""
        got: list[Packet] = []
        hook = self.local.hooks["output"]
        hook.rcvbatch = lambda hook, batch: got.extend(batch)
        hook.peer.link(hook)
        return got

    def run_for(self, count: int, rest: float = 0.0) -> list[bytes]:
        """Let it send so many packets; return them."""
        self.msg("s:", f"start {count}")
        self.pass_time(count / 1000 + rest)
        return [bytes(data) for data in self.take().get("output", [])]

    def stats(self) -> str | None:
        """Return the counters."""
        return self.msg("s:", "getstats")
