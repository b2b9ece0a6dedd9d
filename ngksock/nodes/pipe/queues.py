"""The queues of a pipe: one for all packets, or one a flow, served fairly.

A flow is a byte string, and `FIRST` that of all that has none of its own.  An
end-of-file mark, wherever it belongs, leaves behind all that came before it and
before all that came after.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from heapq import heapify, heappop, heappush
from itertools import chain, count
from typing import Final

from ngksock.netgraph import Packet

__all__ = ["FIRST", "Queue", "RoundRobin", "Weighted", "flow_of"]

FIRST: Final = b""
SLACK: Final = 32


def flow_of(packet: Packet, offset: int) -> bytes:
    """
    Return the flow of *packet*: its IPv4 source and destination.

    Args:
        packet: Anything.
        offset: Where the IPv4 header begins.
    """
    data = packet.data
    if packet.stream or packet.len < offset + 20 or not 0x45 <= data[offset] <= 0x4F:
        return FIRST
    return bytes(data[offset + 12 : offset + 20])


class Queue:
    """
    Packets that wait, first in, first out; ``fifo``.

    ``frames`` and ``octets`` are what waits, ``flows`` the packets of each flow
    that has any.
    """

    flowing = False
    """Whether it tells flows apart."""

    def __init__(self) -> None:
        self.frames = 0
        self.octets = 0
        self.flows: dict[bytes, deque[Packet]] = {}
        self._behind: deque[tuple[bytes, Packet]] = deque()  # from a mark on
        self._sized: dict[int, dict[bytes, None]] = {}  # flows by the number of their packets
        self._longest = 0

    def push(self, flow: bytes, packet: Packet) -> None:
        """Add *packet*, of that *flow*."""
        self.frames += 1
        self.octets += packet.len
        if self._behind or (packet.eof and self.flowing and self.flows):
            self._behind.append((flow, packet))
        else:
            self._put(flow, packet)

    def pop(self) -> Packet:
        """Take out the packet whose turn it is; there must be one."""
        flow = self._next()
        queue = self.flows[flow]
        packet = queue.popleft()
        if self.flowing:
            self._resized(flow, len(queue) + 1, len(queue))
        if not queue:
            del self.flows[flow]
        self._taken(flow, packet)
        self._count_out(packet)
        return packet

    def shed(self, head: bool) -> Packet | None:
        """
        Drop a packet of the longest flow: its first, or its last.

        Streams and marks are not dropped: where the longest flow has nothing
        else it is another's, or None.
        """
        if not self.flows:
            return None
        longest = next(iter(self._sized[self._longest])) if self.flowing else FIRST
        for flow in chain((longest,), self.flows):
            queue = self.flows[flow]
            for at in range(len(queue)) if head else range(len(queue) - 1, -1, -1):
                packet = queue[at]
                if packet.eof or packet.stream:
                    continue
                del queue[at]
                if self.flowing:
                    self._resized(flow, len(queue) + 1, len(queue))
                if not queue:
                    del self.flows[flow]
                    self._emptied(flow)
                self._count_out(packet)
                return packet
        for at, (_, packet) in enumerate(self._behind):
            if not (packet.eof or packet.stream):
                del self._behind[at]
                self._count_out(packet)
                return packet
        return None

    def drain(self) -> list[Packet]:
        """Take out all packets, in the order of their turns."""
        return [self.pop() for _ in range(self.frames)]

    def _count_out(self, packet: Packet) -> None:
        self.frames -= 1
        self.octets -= packet.len
        if not self.flows:
            self._resume()

    def _resume(self) -> None:
        """Bring up what waits behind a mark: the next mark alone, or all before it."""
        while self._behind:
            flow, packet = self._behind[0]
            if packet.eof and self.flows:
                return
            self._behind.popleft()
            self._put(flow, packet)
            if packet.eof:
                return

    # -- what the disciplines differ in

    def _put(self, flow: bytes, packet: Packet) -> None:
        if not self.flowing:
            flow = FIRST
        queue = self.flows.get(flow)
        if queue is not None:
            queue.append(packet)
            if self.flowing:
                self._resized(flow, len(queue) - 1, len(queue))
            return
        self.flows[flow] = deque((packet,))
        if self.flowing:
            self._resized(flow, 0, 1)
        self._began(flow)

    def _resized(self, flow: bytes, before: int, after: int) -> None:
        """Note that *flow* has a packet more, or less, to know which is the longest."""
        sized = self._sized
        if after:
            same = sized.get(after)
            if same is None:
                sized[after] = {flow: None}
            else:
                same[flow] = None
        if before:
            same = sized[before]
            if len(same) > 1:
                del same[flow]
            else:
                del sized[before]
        if after > self._longest or self._longest not in sized:
            self._longest = after

    def _began(self, flow: bytes) -> None:
        """The first packet of *flow* is there."""

    def _next(self) -> bytes:
        """Return the flow whose turn it is."""
        return FIRST

    def _taken(self, flow: bytes, packet: Packet) -> None:
        """*packet* had its turn; its flow has ended if it was the last."""

    def _emptied(self, flow: bytes) -> None:
        """The last packet of *flow* was dropped."""


class RoundRobin(Queue):
    """
    Flows in turn, a quantum of bytes each; ``drr`` (deficit round robin).

    Args:
        quantum: What a flow may send in a turn.
    """

    flowing = True

    def __init__(self, quantum: int) -> None:
        super().__init__()
        self.quantum = quantum
        # The flows, whose turn it is first, with the bytes that each may still send in its turn.
        self._active: OrderedDict[bytes, int] = OrderedDict()

    def _began(self, flow: bytes) -> None:
        self._active[flow] = 0 if self._active else self.quantum

    def _next(self) -> bytes:
        active, turned = self._active, 0
        while True:
            flow = next(iter(active))
            if self.flows[flow][0].len <= active[flow]:
                return flow
            if turned == len(active):
                # Nobody had enough in a whole round: those in which nobody will are one sum.
                short = min(self.flows[flow][0].len - left for flow, left in active.items())
                rounds = (short - 1) // self.quantum
                for each in active:
                    active[each] += rounds * self.quantum
                turned = 0
            active.move_to_end(flow)
            active[next(iter(active))] += self.quantum
            turned += 1

    def _taken(self, flow: bytes, packet: Packet) -> None:
        self._active[flow] -= packet.len
        if flow not in self.flows:
            self._emptied(flow)

    def _emptied(self, flow: bytes) -> None:
        active = self._active
        turn = next(iter(active)) == flow
        del active[flow]
        if turn and active:
            active[next(iter(active))] += self.quantum


class Weighted(Queue):
    """
    Flows by what they would have sent if all did at once, bit by bit; ``wfq``.

    Each flow's first packet has a finish tag, the bytes that every flow has
    sent by then; the smallest is next (self-clocked fair queueing).
    """

    flowing = True

    def __init__(self) -> None:
        super().__init__()
        self._now = 0
        self._heap: list[tuple[int, int, bytes]] = []
        self._tags: dict[bytes, tuple[int, int, bytes]] = {}
        self._count = count()

    def _began(self, flow: bytes) -> None:
        tag = (self._now + self.flows[flow][0].len, next(self._count), flow)
        self._tags[flow] = tag
        heappush(self._heap, tag)

    def _next(self) -> bytes:
        heap = self._heap
        while self._tags.get(heap[0][2]) is not heap[0]:
            heappop(heap)  # of a flow that was dropped
        return heap[0][2]

    def _taken(self, flow: bytes, packet: Packet) -> None:
        self._now = heappop(self._heap)[0]
        if flow in self.flows:
            self._began(flow)
        else:
            del self._tags[flow]

    def _emptied(self, flow: bytes) -> None:
        del self._tags[flow]
        if len(self._heap) > 2 * len(self._tags) + SLACK:
            self._heap = list(self._tags.values())
            heapify(self._heap)
