"""One direction of a car: its buckets, and the packets that wait for them."""

from __future__ import annotations

from collections import deque
from math import inf
from typing import Final

from ngksock.netgraph import Batch, Hook, Packet, Tag
from ngksock.nodes.car.layouts import (
    AWARE,
    COUNT,
    DOUBLE,
    FORWARD,
    MARK,
    PACKET,
    RANDOM,
    SHAPE,
    SINGLE,
    WayConf,
    WayStats,
)

__all__ = ["Way"]

OWN_COOKIE: Final = 1750000306
"""Of the tags that carry a colour."""
COLOUR_TAG: Final = 1
GREEN, YELLOW, RED = 0, 1, 2

QUEUE: Final = 99
EASY: Final = 8
"""With so many in the queue none is dropped yet, and no stream is held."""
PIECE: Final = 1 << 16
"""A stream is held when so many bytes of it wait."""
LIMIT: Final = 64 << 20
"""The bytes that wait of a stream whose source cannot be held, at most, `COST` for each piece."""
COST: Final = 256
EARLY: Final = 1e-6
"""What is due by so much later is due now: times are sums of floats."""


class Way:
    """
    One direction: its buckets, and what waits for them.

    ``hook`` is where its packets enter, ``out`` where they leave, or None;
    ``tc`` and ``te`` are the buckets, filled up to the time ``last``.
    """

    def __init__(self) -> None:
        self.hook: Hook | None = None
        self.out: Hook | None = None
        self.stats = WayStats()
        self.high = False
        self.queue: deque[Packet] = deque()
        self.octets = 0
        self.configure(WayConf(), 0)

    def configure(self, conf: WayConf, now: float) -> None:
        """Begin to do as *conf* says."""
        self.conf = conf
        self.counting = bool(conf.opt & COUNT)
        self.aware = bool(conf.opt & AWARE)
        self.actions = (conf.green_action, conf.yellow_action, conf.red_action)
        unit = PACKET if self.counting else 1
        self.cbs, self.ebs = conf.cbs * unit, conf.ebs * unit
        # Bytes a second: of rates in packets each is as many as a packet costs.
        self.cir = conf.cir * PACKET if self.counting else conf.cir / 8
        self.pir = conf.pir * PACKET if self.counting else conf.pir / 8
        self.tc: float = self.cbs
        self.te: float = 0 if conf.mode in (RANDOM, SHAPE) else self.ebs
        self.last = now
        if self.queue:
            self.tc -= self._cost(self.queue[0])

    def _cost(self, packet: Packet) -> int:
        if packet.eof:
            return 0
        return PACKET if self.counting else packet.len

    def _fill(self, now: float) -> None:
        """Fill the buckets by what has come since the last time."""
        elapsed, self.last = now - self.last, now
        self.tc += self.cir * elapsed
        if self.conf.mode == DOUBLE:
            self.te = min(self.te + self.pir * elapsed, self.ebs)
        if self.tc > self.cbs and not self.queue:
            if self.conf.mode == SINGLE:
                self.te = min(self.te + self.tc - self.cbs, self.ebs)
            self.tc = self.cbs

    # -- policing

    def all_green(self, batch: Batch) -> bool:
        """Whether all of *batch* is green, and goes on as it is; it is paid for then."""
        if (
            self.queue
            or self.aware
            or self.actions[GREEN] != FORWARD
            or any(packet.eof for packet in batch)
        ):
            return False
        cost = PACKET * len(batch) if self.counting else batch.nbytes
        if self.tc < cost:
            return False
        self.tc -= cost
        self.stats.green += len(batch)
        return True

    def police(self, packet: Packet, now: float, passed: list[Packet]) -> None:
        """Add to *passed* what goes on now: *packet*, or what waited, or nothing."""
        self.release(now, passed)
        if packet.eof:
            if not self.queue:
                passed.append(packet)
            elif self._admits(packet):
                self._wait(packet)
            else:
                self.stats.dropped += 1
            return
        te = self.te
        if self.queue and (packet.stream or self.conf.mode == SHAPE):
            colour = None
        else:
            colour = self._colour(packet, now)
        if colour is not None and packet.stream and self.actions[colour] not in (FORWARD, MARK):
            self._refund(packet, colour, te)
            colour = None
        if colour is None:
            if self._admits(packet):
                self.stats.yellow += 1
                self._wait(packet)
                self.release(now, passed)
            else:
                self.stats.red += 1
                self.stats.dropped += 1
            return
        self._count(colour)
        action = self.actions[colour]
        if action == MARK:
            passed.append(_marked(packet, colour))
        elif action == FORWARD:
            passed.append(packet)
        else:
            self.stats.dropped += 1

    def _colour(self, packet: Packet, now: float) -> int | None:
        """Find the colour of *packet*, and take what it costs; None, it is to wait."""
        cost, tint = self._cost(packet), _tint(packet) if self.aware else GREEN
        if tint == GREEN and self.tc >= cost:
            self.tc -= cost
            return GREEN
        self._fill(now)
        if tint == GREEN and self.tc >= cost:
            self.tc -= cost
            return GREEN
        mode = self.conf.mode
        if mode == SHAPE:
            return None
        if tint == RED:
            return RED
        if mode == RANDOM:
            borrowed = max(cost - self.tc, 0)
            if cost + borrowed > self.ebs:
                return RED
            if self.te + borrowed < self.ebs:
                self.te += borrowed
                self.tc -= cost
                return YELLOW
            self.te = 0
            return RED
        if self.te >= cost:
            self.te -= cost
            return YELLOW
        return RED

    def _refund(self, packet: Packet, colour: int, te: float) -> None:
        """Give back what *packet* paid for its *colour*, *te* before: it waits, and pays then."""
        cost, random = self._cost(packet), self.conf.mode == RANDOM
        if colour == GREEN or (random and colour == YELLOW):
            self.tc += cost
        elif colour == YELLOW:
            self.te += cost
        if random:
            self.te = te

    def _count(self, colour: int) -> None:
        stats = self.stats
        if colour == GREEN:
            stats.green += 1
        elif colour == YELLOW:
            stats.yellow += 1
        else:
            stats.red += 1

    # -- shaping

    def _admits(self, packet: Packet) -> bool:
        """Whether there is room in the queue for *packet*; the fuller it is the less often."""
        length = len(self.queue)
        if packet.stream or packet.eof:
            return self.octets + packet.len + COST * length <= LIMIT
        if length >= QUEUE:
            return False
        if length > EASY:
            self.te += length - EASY
            if self.te > QUEUE:
                self.te = 0
                return False
        return True

    def _wait(self, packet: Packet) -> None:
        if not self.queue:
            self.tc -= self._cost(packet)
        self.queue.append(packet)
        self.octets += packet.len

    @property
    def held(self) -> bool:
        """Whether what waits must wait on, for the sink is full."""
        out = self.out
        return out is not None and out.high and not self.queue[0].record

    def release(self, now: float, passed: list[Packet]) -> None:
        """Add to *passed* what has waited long enough."""
        queue = self.queue
        if not queue:
            return
        self._fill(now)
        while queue and self.tc >= -EARLY * self.cir and not self.held:
            packet = queue.popleft()
            self.octets -= packet.len
            passed.append(packet)
            if queue:
                self.tc -= self._cost(queue[0])
        self.tc = min(self.tc, self.cbs)

    def due(self) -> float:
        """Return when the next one has waited long enough; infinity: never, or not known."""
        if not self.queue or self.held:
            return inf
        if self.tc >= 0:
            return self.last
        return self.last - self.tc / self.cir if self.cir else inf

    def press(self, streaming: bool) -> None:
        """
        Hold the source while too much of a stream waits; and let it go on.

        Args:
            streaming: Whether it has just sent what may be of a stream.
        """
        hook = self.hook
        if hook is None:
            return
        if not self.high:
            if streaming and (len(self.queue) > EASY or self.octets >= PIECE):
                self.high = True
                hook.send_flow(True)
        elif len(self.queue) <= EASY // 2 and self.octets <= PIECE // 2:
            self.high = False
            hook.send_flow(False)

    def empty(self) -> Batch:
        """Take out what waits, a piece of it at a time; nothing while the sink takes nothing."""
        out, batch = self.out, Batch()
        if out is None or out.high or out.waiting:
            return batch
        while self.queue and batch.nbytes < PIECE:
            batch.add(self.queue.popleft())
        self.octets -= batch.nbytes
        return batch

    def discard(self) -> None:
        """Forget all but what belongs to a stream: its source may have ended, as sources do."""
        kept = deque(packet for packet in self.queue if packet.eof or packet.stream)
        if self.queue:
            self.tc += self._cost(self.queue[0])
        self.queue = kept
        self.octets = sum(packet.len for packet in kept)
        if kept:
            self.tc -= self._cost(kept[0])


def _tint(packet: Packet) -> int:
    """Return the colour that *packet* is marked with; green if it is not."""
    tag = packet.find_tag(OWN_COOKIE, COLOUR_TAG)
    return min(tag.data[0], RED) if tag is not None and tag.data else GREEN


def _marked(packet: Packet, colour: int) -> Packet:
    """Return *packet* with that mark, in place of one it had."""
    marked = packet.replace(packet.data)
    others = [tag for tag in packet.tags if (tag.cookie, tag.type) != (OWN_COOKIE, COLOUR_TAG)]
    marked.tags = (*others, Tag(OWN_COOKIE, COLOUR_TAG, bytes((colour,))))
    return marked
