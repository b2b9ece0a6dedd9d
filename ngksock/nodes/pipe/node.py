"""The node: its hooks, its one timer, its messages."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from errno import EBUSY, EINVAL, ENETDOWN
from typing import Final

from ngksock.netgraph import FLOW_COOKIE, Batch, Hook, Message, Node, Packet, Schedule, command
from ngksock.netgraph.layout import UINT64
from ngksock.nodes.pipe.layouts import (
    ALL,
    CONFIG,
    LOSS,
    MILLION,
    RUN,
    STATS,
    Config,
    Loss,
    Run,
    Stats,
    WayConfig,
    WayStats,
)
from ngksock.nodes.pipe.way import EARLY, Way
from ngksock.plugin import NodeType

__all__ = ["Pipe", "pipe"]

OWN_COOKIE: Final = 1750000304
"""Of the messages FreeBSD's pipe does not have."""
UP, DOWN = 32, 33
OTHER: Final = {"upper": "lower", "lower": "upper"}


class Pipe(Node):
    """A node through which packets take their time."""

    hook_names = ("upper", "lower")

    def __init__(self) -> None:
        super().__init__()
        self.ways = {name: Way() for name in self.hook_names}
        self.downstream, self.upstream = self.ways.values()
        self.settings = Config(downstream=self.downstream.config, upstream=self.upstream.config)
        self.seed: int | None = None
        self.schedule = Schedule(self, self._next, self._pump)

    def newhook(self, hook: Hook, name: str) -> None:
        super().newhook(hook, name)
        self._look()
        way = self.ways[name]
        way.config, way.stats, way.loss = WayConfig.fresh(), WayStats(), 0
        if way is self.downstream:
            self.settings.downstream = way.config
        else:
            self.settings.upstream = way.config
        self._configure()
        self.schedule.arm(self.schedule.now())  # for a stream that waited for another configuration

    def connect(self, hook: Hook) -> None:
        hook.private = self.ways[hook.name]
        hook.private.hook = hook
        self.ways[OTHER[hook.name]].out = hook

    # -- packets --------------------------------------------------------------------------

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        way: Way = hook.private
        out = way.out
        if out is None:
            way.lost(1, packet.len)
            raise OSError(ENETDOWN, f"there is no hook {OTHER[hook.name]}")
        if way.plain and way.idle:
            drops = out.drops
            before = sum(drops.values()) if drops else 0
            try:
                out.send_data(packet)
            finally:
                if drops and sum(drops.values()) > before:
                    way.lost(1, packet.len)
                else:
                    way.passed(1, packet.len)
            return
        now = self.schedule.now()
        way.accept(packet, now)
        self._go(way, now, not packet.record)

    def rcvbatch(self, hook: Hook, batch: Batch) -> None:
        way: Way = hook.private
        out = way.out
        if not batch:
            return
        if out is None:
            way.lost(len(batch), batch.nbytes)
            hook.peer.drop(ENETDOWN, len(batch))
        elif way.plain and way.idle:
            way.pass_on(out, batch)
        else:
            now = self.schedule.now()
            way.accept_batch(batch, now)
            self._go(way, now, not batch[-1].record)

    def rcvflow(self, hook: Hook, high: bool) -> None:
        """Hold the source whose packets go out of *hook*; what is under way waits here."""
        way = self.ways[OTHER[hook.name]]
        if not high:
            self.graph.work.call(self._pump)
        elif way.hook is not None:
            way.hook.send_flow(True)

    def _go(self, way: Way, now: float, streaming: bool) -> None:
        """Do what is to be done in one direction when packets came."""
        self._move(way, now, streaming)
        line = way.line
        if way.high or not line or not self.schedule.covers(line[0][0]):
            self.schedule.arm(self.schedule.now())

    def _move(self, way: Way, now: float, streaming: bool) -> None:
        """Bring one direction to where it is at *now*."""
        if way.waiting:
            way.serve(now)
        if way.line and way.line[0][0] <= now + EARLY:
            way.deliver(now)
        if streaming or way.high:
            way.press(streaming)

    def _pump(self) -> None:
        """Do what is to be done by now in both."""
        for way in self.ways.values():
            self._move(way, self.schedule.now(), False)
        self.schedule.arm(self.schedule.now())

    def _next(self) -> float:
        """Return when the next packet has waited long enough."""
        return min(way.due() for way in self.ways.values())

    # -- messages -------------------------------------------------------------------------

    def _configure(self) -> None:
        settings, now = self.settings, self.schedule.now()
        for way in self.ways.values():
            way.configure(settings.delay, settings.overhead, settings.header_offset, now)

    def _look(self) -> None:
        """Bring up to date what is counted."""
        now = self.schedule.now()
        for way in self.ways.values():
            way.serve(now)

    @command(1, resp=STATS)
    def getstats(self) -> Stats:
        """Count packets and bytes that arrived, and those that were dropped, by direction."""
        self._look()
        return Stats(self.downstream.stats, self.upstream.stats)

    @command(2)
    def clrstats(self) -> None:
        """Reset all counters."""
        self.getclrstats()

    @command(3, resp=STATS)
    def getclrstats(self) -> Stats:
        """Tell all counters, then reset them."""
        stats = self.getstats()
        for way in self.ways.values():
            way.stats = WayStats()
        return stats

    @command(4, resp=RUN)
    def getrun(self) -> Run:
        """Tell what waits, and what is under way, by direction."""
        self._look()
        return Run(self.downstream.run(), self.upstream.run())

    @command(5, resp=CONFIG)
    def getcfg(self) -> Config:
        """Tell the configuration; a bandwidth that both directions have stands in front."""
        settings = self.settings
        bandwidth = settings.downstream.bandwidth
        if bandwidth != settings.upstream.bandwidth:
            return settings
        return replace(
            settings,
            bandwidth=bandwidth,
            downstream=replace(settings.downstream, bandwidth=0),
            upstream=replace(settings.upstream, bandwidth=0),
        )

    @command(6, arg=CONFIG)
    def setcfg(self, config: Config) -> None:
        """Change what is given and in range; 0 means unchanged, -1 resets to 0."""
        self._look()
        before = [way.down for way in self.ways.values()]
        self.settings.change(config)
        self._configure()
        self._pump()
        after = [way.down for way in self.ways.values()]
        told = dict.fromkeys(
            DOWN if down else UP for was, down in zip(before, after, strict=True) if was != down
        )
        for cmd in told:
            for hook in list(self.hooks.values()):
                with suppress(OSError):  # most nodes do not understand it
                    self.graph.send_hook(hook, Message(FLOW_COOKIE, cmd))

    @command(1, cookie=OWN_COOKIE, arg=LOSS)
    def setloss(self, loss: Loss) -> None:
        """Set the chance of loss in parts per million; 0 means unchanged, -1 resets to 0."""
        wanted = (loss.downstream, loss.upstream)
        for value in wanted:
            if value != ALL and value > MILLION:
                raise OSError(
                    EINVAL,
                    f"a loss of {value} is not in 1..{MILLION} (parts per million: 10000 is 1 %);"
                    " -1 resets it",
                )
        self._look()
        for way, value in zip(self.ways.values(), wanted, strict=True):
            if value:
                way.loss = 0 if value == ALL else value
        self._configure()
        self._pump()

    @command(2, cookie=OWN_COOKIE, resp=LOSS)
    def getloss(self) -> Loss:
        """Tell the chance of loss that setloss set."""
        return Loss(self.downstream.loss, self.upstream.loss)

    @command(3, cookie=OWN_COOKIE, arg=UINT64)
    def setseed(self, seed: int) -> None:
        """Begin a sequence of chances that the same seed repeats."""
        self.seed = seed
        for number, way in enumerate(self.ways.values()):
            way.random.seed(2 * seed + number)

    def config(self) -> list[str]:
        settings, lines = self.settings, []
        wanted = replace(
            settings,
            downstream=settings.downstream.difference(),
            upstream=settings.upstream.difference(),
        )
        if wanted != Config():
            lines.append(f"msg . setcfg {CONFIG.unparse(wanted)}")
        loss = self.getloss()
        if loss != Loss():
            lines.append(f"msg . setloss {LOSS.unparse(loss)}")
        if self.seed is not None:
            # Text has no unsigned numbers beyond 63 bits (netgraph.md §6.6).
            seed = self.seed if self.seed < 1 << 63 else self.seed - (1 << 64)
            lines.append(f"msg . setseed {seed}")
        return lines

    def status(self) -> str:
        self._look()
        lines = []
        for name, way in zip(("downstream", "upstream"), self.ways.values(), strict=True):
            stats = way.stats
            text = f"{name}: {stats.fwd_frames} packets passed"
            dropped = stats.queue_drop_frames + stats.delay_drop_frames
            if dropped:
                text += f", {dropped} lost"
            if way.waiting or way.line_frames:
                text += f", {way.waiting} waiting, {way.line_frames} under way"
            lines.append(f"{text}; link down" if way.down else text)
        return "\n".join(lines)

    # -- the end ----------------------------------------------------------------------------

    def rcvbypass(self, one: Hook, other: Hook) -> None:
        """Send on at once all that waits or is under way; EBUSY while a sink takes nothing."""
        ways = self.ways.values()
        for _ in ways:  # twice: what the far end answers at once comes in behind us
            for way in ways:
                way.empty()
        left = sum(way.waiting + way.line_frames for way in ways)
        if left:
            self._pump()
            raise OSError(
                EBUSY,
                f"pipe {self!r} holds {left} packet{'s' * (left > 1)} for a sink that takes none"
                " just now; send bypass again when it does",
            )

    def disconnect(self, hook: Hook) -> None:
        way = self.ways[hook.name]
        way.hook, way.high = None, False
        self.ways[OTHER[hook.name]].out = None
        way.discard()
        if self.hooks and self.valid:
            self.schedule.arm(self.schedule.now())
        super().disconnect(hook)

    def close(self) -> None:
        """Send on what is left of streams, and join the two neighbours."""
        upper, lower = self.hooks.get("upper"), self.hooks.get("lower")
        if upper is not None and lower is not None:
            for way in self.ways.values():
                way.flush()
            self.graph.bypass(upper, lower)


pipe = NodeType("pipe", 200708191, Pipe)
