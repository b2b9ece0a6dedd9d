"""The node: its queue, its run, its messages."""

from __future__ import annotations

import os
import socket
from collections import deque
from dataclasses import replace
from errno import EBUSY, EINVAL, ENOBUFS, ENOTCONN, ENXIO
from itertools import islice
from typing import Final

from ngksock.netgraph import Batch, Hook, Node, Packet, Timer, command
from ngksock.netgraph.layout import UINT8, UINT32, UINT64, quote
from ngksock.nodes.source.layouts import (
    COUNTER,
    COUNTERS,
    DATA,
    EMBED,
    ENABLE,
    FOREVER,
    NAME,
    ONCE,
    STAMP,
    STATS,
    CounterInfo,
    EmbedInfo,
    Stats,
    stamp,
    timeval,
)
from ngksock.nodes.source.pace import MOST, SECOND, TICK, Pace
from ngksock.plugin import NodeType

__all__ = ["Source", "source"]

OWN_COOKIE: Final = 1750000301
"""Of the messages FreeBSD's source does not have."""

FRAMES: Final = 2048
OCTETS: Final = 64 << 20
"""What the queue holds at most."""
TURN_OCTETS: Final = 1 << 18
"""So many bytes are sent before we look whether the sink is full, but one packet always."""
SAVED: Final = 40_000
"""``config()`` lists packets up to so many characters: more does not fit a reply."""


class Source(Node):
    """A node that makes traffic."""

    hook_names = ("input", "output")

    def __init__(self) -> None:
        super().__init__()
        self.queue: deque[Packet] = deque()
        self.octets = self.longest = 0
        self.output: Hook | None = None
        self.timer = Timer(self, self._turn)
        self.pps = 0
        self.interval: int | None = None
        self.iface = ""
        self.pace: Pace | None = None
        self.timestamp = EmbedInfo()
        self.counters = [CounterInfo(index=index) for index in range(COUNTERS)]
        self.given = list(self.counters)  # as they were set; those above go on
        self.running = False
        self.wanted = self.togo = 0
        self.left = 0  # of this round of the queue; 0: the next packet begins another
        self.round_time = 0.0
        self._clear()

    def _clear(self) -> None:
        self.out_octets = self.out_frames = 0
        self.started = self.ended = self.last = 0.0

    def connect(self, hook: Hook) -> None:
        if hook.name == "output":
            self.output = hook
            self._clear()

    # -- packets --------------------------------------------------------------------------

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        if hook is not self.output and not packet.eof:
            self._put(packet)

    def rcvbatch(self, hook: Hook, batch: Batch) -> None:
        if hook is self.output:
            return
        lost = sum(not (packet.eof or self._append(packet)) for packet in batch)
        hook.peer.drop(ENOBUFS, lost)

    def _put(self, packet: Packet) -> None:
        if not self._append(packet):
            raise OSError(
                ENOBUFS,
                f"the queue of {self!r} is full, with {len(self.queue)} packets and {self.octets}"
                f" bytes of at most {FRAMES} and {OCTETS}; clrdata empties it",
            )

    def _append(self, packet: Packet) -> bool:
        """Put *packet* into the queue; False: there is no room for it."""
        if len(self.queue) >= FRAMES or self.octets + packet.len > OCTETS:
            return False
        if packet.stream:
            packet = Packet(packet.data, packet.tags)  # no piece of a stream is sent twice
        self.queue.append(packet)
        self.octets += packet.len
        self.longest = max(self.longest, packet.len)
        if self.running and len(self.queue) == 1:
            self._begin()
        return True

    def rcvflow(self, hook: Hook, high: bool) -> None:
        """Go on when the sink has room again; nothing that comes in goes straight out."""
        if hook is self.output and not high and self.running:
            self.timer.start(0)

    # -- the run --------------------------------------------------------------------------

    def _begin(self) -> None:
        """Reckon from now on."""
        if self.pace is not None and self.running:
            now = self.graph.clock()
            self.pace.begin(now)
            self.timer.start(self.pace.wait(now))

    def _turn(self) -> None:
        """Send what is due; with an empty queue, or held, wait for who changes that."""
        out, pace = self.output, self.pace
        if out is None or pace is None or not self.queue or out.high:
            return
        now = self.graph.clock()
        most = min(MOST, max(TURN_OCTETS // max(self.longest, 1), 1))
        count = min(pace.due(now), most, self.togo)
        wait = None
        if count:
            batch = self._marked(count, now) if self._marks() else self._plain(count, now)
            pace.sent(count)
            self.out_frames += count
            self.out_octets += batch.nbytes
            self.last = now
            if self.togo != FOREVER:
                self.togo -= count
            if not self.togo:
                self.stop()
            lost = sum(out.drops.values())
            out.send_batch(batch)
            if not pace.span and sum(out.drops.values()) > lost:
                wait = TICK / SECOND
        if self.running and pace is self.pace:
            self.timer.start(pace.wait(now) if wait is None else wait)

    def _marks(self) -> bool:
        """Whether anything is written into packets."""
        return bool(self.timestamp.flags & ENABLE or any(c.flags & ENABLE for c in self.counters))

    def _plain(self, count: int, now: float) -> Batch:
        """Take *count* packets; all they are is shared."""
        queue = self.queue
        rounds, rest = divmod(count, len(queue))
        tail = list(islice(queue, rest))
        nbytes = self.octets * rounds + sum(packet.len for packet in tail)
        batch = Batch([*queue] * rounds + tail, nbytes)
        queue.rotate(-rest)
        if count > self.left:
            self.round_time = now
            self.left += len(queue) * -(-(count - self.left) // len(queue))
        self.left -= count
        return batch

    def _marked(self, count: int, now: float) -> Batch:
        """Take *count* packets, with time and numbers in those that have room for them."""
        queue, batch = self.queue, Batch()
        stamped, at = self.timestamp.flags & ENABLE, self.timestamp.offset
        behind = at + STAMP.size
        once = self.timestamp.flags & ONCE
        time = stamp(self.round_time if once else now)
        counters = [counter for counter in self.counters if counter.flags & ENABLE]
        ends = [counter.offset + counter.width for counter in counters]
        if stamped:
            ends.append(behind)
        least = min(ends)
        for _ in range(count):
            if not self.left:
                self.left, self.round_time = len(queue), now
                time = stamp(now)
            packet = queue[0]
            queue.rotate(-1)
            if packet.len >= least:
                data = bytearray(packet.data)
                if stamped and behind <= packet.len:
                    data[at:behind] = time
                for counter in counters:
                    counter.write(data)
                packet = packet.replace(bytes(data))
            batch.add(packet)
            self.left -= 1
            if not self.left:
                for counter in counters:
                    if counter.flags & ONCE:
                        counter.advance()
        return batch

    @command(4, arg=UINT64)
    def start(self, packets: int) -> None:
        """Send so many packets, then stop; -1: without end."""
        if self.running:
            raise OSError(EBUSY, f"{self!r} is running; stop it first")
        if self.output is None:
            raise OSError(ENOTCONN, f"{self!r} has no hook output; connect that first")
        if self.pace is None:
            raise OSError(ENXIO, "no rate is set; setpps, setinterval or setiface sets one")
        if not packets:
            raise OSError(EINVAL, f"0 packets are none to send; 1..{FOREVER - 1}, or -1: no end")
        self.running, self.wanted, self.togo = True, packets, packets
        self.started, self.ended = self.graph.clock(), 0.0
        self._begin()

    @command(5)
    def stop(self) -> None:
        """Stop sending, if it does."""
        if self.running:
            self.running = False
            self.ended = self.graph.clock()
            self.timer.stop()

    # -- the rate ---------------------------------------------------------------------------

    @command(7, arg=NAME)
    def setiface(self, name: str) -> None:
        """Be as fast as one may for an interface of this host, unless another rate is set."""
        if not name:
            raise OSError(EINVAL, "the name of the interface is empty")
        if not self.graph.checking:  # the host the file is for may be another one
            try:
                socket.if_nametoindex(os.fsdecode(name.encode("latin-1")))
            except OSError:
                raise OSError(
                    ENXIO,
                    f'this host has no interface "{name}"; setinterval 0 needs none',
                ) from None
        self.iface = name
        self._set_pace()

    @command(8, arg=UINT32)
    def setpps(self, pps: int) -> None:
        """Set the rate, in packets a second; 0: none."""
        if not pps and self.running and not self.iface:
            raise OSError(EBUSY, f"{self!r} is running, and without a rate cannot; stop it first")
        self.pps, self.interval = pps, None
        self._set_pace()

    @command(1, cookie=OWN_COOKIE, arg=UINT64)
    def setinterval(self, nanoseconds: int) -> None:
        """Set the rate, by the nanoseconds between packets; 0: as fast as it can."""
        self.pps, self.interval = 0, nanoseconds
        self._set_pace()

    def _set_pace(self) -> None:
        if self.pps:
            self.pace = Pace(self.pps, SECOND)
        elif self.interval is not None:
            self.pace = Pace(1, self.interval)
        else:
            self.pace = Pace(1, 0) if self.iface else None
        self._begin()

    @command(2, cookie=OWN_COOKIE, resp=UINT64)
    def getinterval(self) -> int:
        """Tell the nanoseconds between packets; 0: it is as fast as it can."""
        if self.pace is None:
            raise OSError(ENXIO, "no rate is set; setpps, setinterval or setiface sets one")
        return -(-self.pace.span // self.pace.packets)

    # -- the packets, and what is written into them -----------------------------------------

    @command(3, cookie=OWN_COOKIE, arg=DATA)
    def adddata(self, data: bytes) -> None:
        """Put a packet into the queue."""
        self._put(Packet(data))

    @command(6)
    def clrdata(self) -> None:
        """Empty the queue."""
        self.queue.clear()
        self.octets = self.longest = self.left = 0

    @command(9, arg=EMBED)
    def settimestamp(self, info: EmbedInfo) -> None:
        """Say where the time is written into packets."""
        self.timestamp = info

    @command(10, resp=EMBED)
    def gettimestamp(self) -> EmbedInfo:
        """Tell where the time is written into packets."""
        return self.timestamp

    @command(11, arg=COUNTER)
    def setcounter(self, info: CounterInfo) -> None:
        """Say which number is written into packets, and where."""
        info.check()
        self.counters[info.index], self.given[info.index] = info, replace(info)

    @command(12, arg=UINT8, resp=COUNTER)
    def getcounter(self, index: int) -> CounterInfo:
        """Tell which number is written next, and where."""
        if index >= COUNTERS:
            raise OSError(EINVAL, f"counter {index} is not in 0..{COUNTERS - 1}")
        return self.counters[index]

    # -- what is told -----------------------------------------------------------------------

    @command(1, resp=STATS)
    def getstats(self) -> Stats:
        """Count what was sent and what is queued, and tell when."""
        ended = self.graph.clock() if self.running else self.ended
        return Stats(
            self.out_octets, self.out_frames, self.octets, len(self.queue), self.pps,
            timeval(self.started), timeval(self.ended), timeval(max(ended - self.started, 0)),
            timeval(self.last),
        )  # fmt: skip

    @command(2)
    def clrstats(self) -> None:
        """Reset the counters; those of a run under way begin now."""
        self._clear()
        if self.running:
            self.started = self.graph.clock()

    @command(3, resp=STATS)
    def getclrstats(self) -> Stats:
        """Tell the counters, then reset them."""
        stats = self.getstats()
        self.clrstats()
        return stats

    def config(self) -> list[str]:
        """Return what was set, not how far it is: the same lines at any time of a run."""
        lines = []
        if self.iface:
            lines.append(f"msg . setiface {NAME.unparse(self.iface)}")
        if self.pps:
            lines.append(f"msg . setpps {self.pps}")
        elif self.interval is not None:
            lines.append(f"msg . setinterval {self.interval}")
        if self.timestamp != EmbedInfo():
            lines.append(f"msg . settimestamp {EMBED.unparse(self.timestamp)}")
        for index, counter in enumerate(self.given):
            if counter != CounterInfo(index=index):
                lines.append(f"msg . setcounter {COUNTER.unparse(counter)}")
        room = SAVED
        queue = self.queue.copy()
        queue.rotate(len(queue) - self.left if self.left else 0)  # to where the round began
        for packet in queue:
            if packet.len > room:
                break
            data = bytes(packet)
            texts = DATA.unparse(data), quote(data.decode("latin-1"))
            line = f"msg . adddata {min(texts, key=len)}"
            room -= len(line)
            if room < 0:
                break
            lines.append(line)
        if self.running:
            lines.append(f"msg . start {-1 if self.wanted == FOREVER else self.wanted}")
        return lines

    def status(self) -> str:
        rate = "no rate"
        if self.pace is not None:
            if self.pps:
                rate = f"{self.pps} packets a second"
            elif self.pace.span:
                rate = f"a packet every {self.pace.span} ns"
            else:
                rate = "as fast as it can"
        run = "stopped"
        if self.running:
            held = self.output is not None and self.output.high
            run = "no packets to send" if not self.queue else "held" if held else "running"
            run += ", no end" if self.togo == FOREVER else f", {self.togo} to go"
        return (
            f"{len(self.queue)} packets, {self.octets} bytes queued; {rate}; {run};"
            f" {self.out_frames} packets, {self.out_octets} bytes sent"
        )

    # -- the end ----------------------------------------------------------------------------

    def disconnect(self, hook: Hook) -> None:
        if hook is self.output:
            self.stop()
            self.output = None
            if self.valid:
                self.graph.rmnode_self(self)
        else:
            super().disconnect(hook)

    def shutdown(self) -> None:
        self.running = False
        self.clrdata()


source = NodeType("source", 1110646684, Source)
