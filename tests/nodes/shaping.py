"""Seeing when packets arrive, for tests of the types that delay them."""

from __future__ import annotations

from math import sqrt

from ngksock.netgraph import Batch, Hook, Node, Packet
from ngksock.plugin import NodeType


class Stamper(Node):
    """Writes down when each packet came, in ``arrivals``, and ends with the graph alone."""

    def __init__(self) -> None:
        super().__init__()
        self.arrivals: list[tuple[float, Packet]] = []
        self.batches = 0

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        self.arrivals.append((self.graph.clock(), packet))

    def rcvbatch(self, hook: Hook, batch: Batch) -> None:
        self.batches += 1
        now = self.graph.clock()
        self.arrivals += [(now, packet) for packet in batch]

    def disconnect(self, hook: Hook) -> None:
        """Live on."""

    @property
    def data(self) -> list[bytes]:
        """What came, in order."""
        return [bytes(packet) for _, packet in self.arrivals]

    @property
    def times(self) -> list[float]:
        """When it came."""
        return [time for time, _ in self.arrivals]


stamper = NodeType("stamper", 1763800021, Stamper)


def spread(tries: int, chance: float) -> float:
    """Return what a count of hits may differ by from its mean: five deviations."""
    return 5 * sqrt(tries * chance * (1 - chance))
