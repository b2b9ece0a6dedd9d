"""One direction of a pipe: the packets that entered by one hook.

Theory of operation
-------------------
A packet waits in a *queue*, is sent over the *line*, and is under way there
until it is due.  Nothing happens in the queue but at a time when somebody looks:
`serve` sends what had its turn by now, at the very times at which the turns
were.  So only arrivals need a timer, and however late that fires, the next
packet's time is reckoned from the ideal end of the one before.  That end is kept
as a beginning and the bits sent since, for sums of many small floats drift.
"""

from __future__ import annotations

from collections import deque
from math import exp, inf, log1p
from random import Random
from typing import Final

from ngksock.netgraph import Batch, Hook, Packet
from ngksock.nodes.pipe.layouts import MILLION, WayConfig, WayRun, WayStats
from ngksock.nodes.pipe.queues import Queue, RoundRobin, Weighted, flow_of

__all__ = ["EARLY", "Way"]

LIMIT: Final = 64 << 20
"""The bytes that wait, or are under way, at most, `COST` for each packet among them."""
COST: Final = 256
FRAME: Final = 1500
"""A stream's piece may be long: it counts as so many packets of this length."""
PIECE: Final = 1 << 16
"""So many bytes are delivered before we look whether the sink is full."""
MOST: Final = 64
"""So many packets are delivered at a time."""
EARLY: Final = 1e-6
"""What is due by so much later is due now: times are sums of floats."""


class Way:
    """
    A direction, and what is in it.

    ``hook`` is where its packets enter, ``out`` where they leave, or None;
    ``plain``, whether nothing is configured that would change anything.
    """

    def __init__(self) -> None:
        self.hook: Hook | None = None
        self.out: Hook | None = None
        self.config = WayConfig.fresh()
        self.loss = 0
        self.stats = WayStats()
        self.random = Random()
        self.high = False
        self.queue = Queue()
        self.first: Packet | None = None  # of the queue, where it must not be asked again
        self.stalled = False
        self.line: deque[tuple[float, Packet | Batch]] = deque()
        self.line_frames = 0
        self.line_octets = 0
        self.delivering = False
        self.bandwidth = 0
        self._begin = -inf
        self._bits = 0
        self._chances: dict[int, float] = {}
        self.configure(0, 0, 0, 0.0)

    def configure(self, delay: int, overhead: int, offset: int, now: float) -> None:
        """Do as ``config``, ``loss``, and these values say, from *now*, to which `serve` came."""
        self._begin, self._bits = max(self.free, now), 0
        self.stalled = False
        config = self.config
        self.delay, self.overhead, self.offset = delay / MILLION, overhead, offset
        self.bandwidth = config.bandwidth
        self.down = config.ber == 1
        self.lossy = bool(config.ber or self.loss)
        self._chances.clear()
        self.whole = not (self.bandwidth or self.lossy or config.duplicate or config.delaylen)
        self.plain = not (self.bandwidth or self.lossy or config.duplicate or delay)
        self._requeue()

    def _requeue(self) -> None:
        """Have the queue that is configured, with what is in the one there is."""
        config, old = self.config, self.queue
        if config.drr:
            if isinstance(old, RoundRobin) and old.quantum == config.drr:
                return
            self.queue = RoundRobin(config.drr)
        elif config.wfq:
            if isinstance(old, Weighted):
                return
            self.queue = Weighted()
        elif type(old) is Queue:
            return
        else:
            self.queue = Queue()
        for packet in old.drain():
            self.queue.push(self._flow(packet), packet)

    def _flow(self, packet: Packet) -> bytes:
        return flow_of(packet, self.offset) if self.queue.flowing else b""

    @property
    def free(self) -> float:
        """When the line is free; without a bandwidth it always is."""
        return self._begin + self._bits / self.bandwidth if self.bandwidth else -inf

    @property
    def waiting(self) -> int:
        """How many packets wait."""
        return self.queue.frames + (self.first is not None)

    @property
    def idle(self) -> bool:
        """Whether there is nothing in it that a packet would have to stay behind."""
        return not (self.line or self.waiting or self.delivering)

    # -- in

    def accept(self, packet: Packet, now: float) -> None:
        """Take in *packet*, and send it at once if it is its turn."""
        if self.first is not None or self.queue.frames:
            self.serve(now)
        if self.first is None and not self.queue.frames and self.free <= now:
            self._begin, self._bits = now, 0
            if not self._send(packet, now):
                self._stall(packet)
            elif self.waiting:
                self.serve(now)  # once more
            return
        queue, config = self.queue, self.config
        dropped: Packet | None = None
        full = self._cost(queue.octets + packet.len, queue.frames + 1) > LIMIT
        if full and (packet.stream or packet.eof):
            dropped = packet  # of a source that was told to hold long ago
        else:
            queue.push(self._flow(packet), packet)
            over = config.queuelen and self.waiting > config.queuelen
            if (full or over) and not (packet.stream or packet.eof):
                dropped = queue.shed(bool(config.drophead))
        if dropped is not None:
            self.stats.queue_drop_frames += 1
            self.stats.queue_drop_octets += dropped.len

    def accept_batch(self, batch: Batch, now: float) -> None:
        """Take in all of *batch*."""
        if self.whole and not self.waiting and not self._full(batch.nbytes, len(batch)):
            self._put(now + self.delay, batch, len(batch), batch.nbytes)
            return
        for packet in batch:
            self.accept(packet, now)

    def _cost(self, octets: int, frames: int) -> int:
        return octets + COST * frames

    def _full(self, octets: int, frames: int = 1) -> bool:
        """Whether so much more is too much for the line."""
        return self._cost(self.line_octets + octets, self.line_frames + frames) > LIMIT

    # -- from the queue to the line

    def serve(self, now: float) -> None:
        """Send what had its turn by *now*."""
        if self.stalled:
            self.stalled = False
            if self.free < now:
                self._begin, self._bits = now, 0
        while self.waiting:
            start = self.free if self.bandwidth else now
            if start > now + EARLY:
                return
            packet, self.first = self.first, None
            if packet is None:
                packet = self.queue.pop()
            if not self._send(packet, start):
                self._stall(packet)
                return

    def _stall(self, packet: Packet) -> None:
        """Wait with *packet*, and all behind it, until something changes."""
        self.first = packet
        self.stalled = True

    def _send(self, packet: Packet, start: float) -> bool:
        """Send *packet*, or lose it; False, it must wait."""
        kept = packet.eof or packet.stream
        config, frames = self.config, self.line_frames
        # What `_full` says, written out: this is for each packet.
        full = self.line_octets + packet.len + COST * (frames + 1) > LIMIT or (
            0 < config.delaylen <= frames and self._crowded(start)
        )
        if kept and (self.down or full):
            return False
        end = start
        if self.bandwidth and not packet.eof:
            self._bits += (packet.len + self.overhead) * 8
            end = self.free
        if not kept:
            if config.duplicate and self.random.random() * 100 < config.duplicate:
                self.first = packet
            if full or (self.lossy and self.random.random() >= self._chance(packet.len)):
                self.lost(1, packet.len)
                return True
        self._put(end + self.delay, packet, 1, packet.len)
        return True

    def _crowded(self, start: float) -> bool:
        """Whether delaylen of what is on the line are still under way at *start*."""
        line, most = self.line, self.config.delaylen
        held = self.out is not None and self.out.high
        return held or len(line) < most or line[-most][0] > start + EARLY

    def _chance(self, length: int) -> float:
        """Return the chance that a packet of that length arrives."""
        chance = self._chances.get(length)
        if chance is None:
            chance = 1 - self.loss / MILLION
            if self.down:
                chance = 0.0
            elif self.config.ber:
                chance *= exp((length + self.overhead) * 8 * log1p(-1 / self.config.ber))
            if len(self._chances) < FRAME:
                self._chances[length] = chance
        return chance

    def lost(self, frames: int, octets: int) -> None:
        """Count packets that are lost after the queue."""
        self.stats.delay_drop_frames += frames
        self.stats.delay_drop_octets += octets

    def passed(self, frames: int, octets: int) -> None:
        """Count packets that arrived."""
        self.stats.fwd_frames += frames
        self.stats.fwd_octets += octets

    def _put(self, due: float, load: Packet | Batch, frames: int, octets: int) -> None:
        line = self.line
        if line and due < line[-1][0]:
            due = line[-1][0]  # the delay has become shorter; nobody overtakes
        line.append((due, load))
        self.line_frames += frames
        self.line_octets += octets

    # -- out

    def due(self) -> float:
        """Return when there will be something to do; infinity: never, by itself."""
        line, out = self.line, self.out
        held = line and out is not None and out.high and not _records(line[0][1])
        due = line[0][0] if line and not held else inf
        if self.waiting and not self.stalled and (self.high or not line):
            due = min(due, self.free)
        return due

    def deliver(self, now: float) -> None:
        """Let arrive what is due, in order, as long as the sink takes it."""
        if self.delivering:
            return  # whoever answers within a delivery is not to overtake the rest of it
        line, limit = self.line, now + EARLY
        most = self.line_frames + self.waiting  # what is answered has another turn
        self.delivering = True
        try:
            while line and line[0][0] <= limit and most > 0:
                out = self.out
                if out is not None and out.high and not _records(line[0][1]):
                    return  # a stream cannot be lost, and a sink can hold us
                batch = self._gather(limit, 1 if out is not None and out.high else MOST)
                most -= len(batch)
                if out is None:
                    self.lost(len(batch), batch.nbytes)
                else:
                    self.pass_on(out, batch)
                if self.stalled:
                    self.serve(now)
        finally:
            self.delivering = False

    def _gather(self, limit: float, most: int) -> Batch:
        """Take what is due by *limit* off the line, as one batch of at most *most* packets."""
        line = self.line
        load = line.popleft()[1]
        if isinstance(load, Batch):
            batch = load
        else:
            batch = Batch((load,), load.len)
            while line and line[0][0] <= limit and len(batch) < most and batch.nbytes < PIECE:
                load = line[0][1]
                if isinstance(load, Batch):
                    break
                line.popleft()
                batch.add(load)
        self.line_frames -= len(batch)
        self.line_octets -= batch.nbytes
        return batch

    def pass_on(self, out: Hook, batch: Batch) -> None:
        """Hand over *batch*, and count what becomes of it."""
        count, before = len(batch), sum(out.drops.values())
        out.send_batch(batch)
        failed = min(sum(out.drops.values()) - before, count)
        octets = batch.nbytes * failed // count
        self.lost(failed, octets)
        self.passed(count - failed, batch.nbytes - octets)

    # -- the source, and the end

    def press(self, streaming: bool) -> None:
        """
        Hold the source while too much waits; and let it go on.

        Args:
            streaming: Whether it has just sent what may be of a stream.
        """
        hook = self.hook
        if hook is None or not (streaming or self.high):
            return
        frames, octets = self.waiting, self.queue.octets
        kept = self._cost(octets + self.line_octets, frames + self.line_frames)
        most = self.config.queuelen or LIMIT // FRAME // 4
        if not self.high:
            if frames >= most or octets >= most * FRAME or kept > LIMIT // 2:
                self.high = True
                hook.send_flow(True)
        elif frames <= most // 2 and octets <= most * FRAME // 2 and kept < LIMIT // 4:
            self.high = False
            hook.send_flow(False)

    def run(self) -> WayRun:
        """Tell what waits, and what is under way."""
        first = self.first
        return WayRun(
            len(self.queue.flows) or int(first is not None),
            self.queue.octets + (first.len if first is not None else 0),
            self.waiting,
            self.line_octets,
            self.line_frames,
        )

    def discard(self) -> None:
        """Forget all but what belongs to a stream: its source may have ended, as sources do."""
        waiting = self.queue.drain()
        if self.first is not None:
            waiting.insert(0, self.first)
        self.first = None
        self.stalled = False
        for packet in waiting:
            if packet.eof or packet.stream:
                self.queue.push(self._flow(packet), packet)
        line = list(self.line)
        self.line.clear()
        self.line_frames = self.line_octets = 0
        for due, load in line:
            for packet in load if isinstance(load, Batch) else (load,):
                if packet.eof or packet.stream:
                    self._put(due, packet, 1, packet.len)

    def empty(self) -> bool:
        """Send on at once what is under way and what waits, in order; False: some cannot go now."""
        line, delivering = self.line, self.delivering
        self.delivering = True
        try:
            while line or self.waiting:
                out = self.out
                if out is None or out.high or out.waiting:
                    return False
                batch = self._gather(inf, MOST) if line else self._turns(MOST)
                self.pass_on(out, batch)
        finally:
            self.delivering = delivering
        return True

    def _turns(self, most: int) -> Batch:
        """Take out of the queue the packets that have the next *most* turns."""
        self.stalled = False
        batch = Batch()
        if self.first is not None:
            batch.add(self.first)
            self.first = None
        while self.queue.frames and len(batch) < most:
            batch.add(self.queue.pop())
        return batch

    def flush(self) -> None:
        """Send on what belongs to a stream at once, and forget the rest."""
        self.discard()
        under_way = [packet for _, packet in self.line if isinstance(packet, Packet)]
        batch = Batch([*under_way, *self.queue.drain()])
        self.line.clear()
        self.line_frames = self.line_octets = 0
        if self.out is not None and batch:
            self.pass_on(self.out, batch)


def _records(load: Packet | Batch) -> bool:
    """Whether *load* may be lost by a sink that is full."""
    if isinstance(load, Batch):
        return all(packet.record for packet in load)
    return load.record
