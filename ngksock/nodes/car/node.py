"""The node: its hooks, its one timer, its messages."""

from __future__ import annotations

from dataclasses import replace
from errno import EBUSY, EINVAL, ENETDOWN
from typing import Final

from ngksock.netgraph import Batch, Hook, Node, Packet, Schedule, command
from ngksock.nodes.car.layouts import CONF, STATS, Conf, Stats, WayConf, WayStats
from ngksock.nodes.car.way import Way
from ngksock.plugin import NodeType

__all__ = ["Car", "car"]

OTHER: Final = {"upper": "lower", "lower": "upper"}


class Car(Node):
    """A node that colours packets, and drops or delays some."""

    hook_names = ("upper", "lower")

    def __init__(self) -> None:
        super().__init__()
        self.ways = {name: Way() for name in self.hook_names}
        self.downstream, self.upstream = self.ways.values()
        self.schedule = Schedule(self, self._next, self._pump)

    def newhook(self, hook: Hook, name: str) -> None:
        super().newhook(hook, name)
        way = self.ways[name]
        way.stats = WayStats()
        way.configure(WayConf(), self.schedule.now())

    def connect(self, hook: Hook) -> None:
        hook.private = self.ways[hook.name]
        hook.private.hook = hook
        self.ways[OTHER[hook.name]].out = hook

    # -- packets --------------------------------------------------------------------------

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        way: Way = hook.private
        out = way.out
        if out is None:
            way.stats.errors += 1
            raise OSError(ENETDOWN, f"there is no hook {OTHER[hook.name]}")
        passed: list[Packet] = []
        way.police(packet, self.schedule.now(), passed)
        if len(passed) == 1 and not way.queue:
            way.stats.passed += 1
            drops = out.drops
            before = sum(drops.values()) if drops else 0
            try:
                out.send_data(passed[0])
            finally:
                if drops and sum(drops.values()) > before:
                    way.stats.errors += 1
        elif passed:
            self._send(way, out, Batch(passed))
        if way.queue or way.high:
            way.press(not packet.record)
            self.schedule.arm(self.schedule.now())

    def rcvbatch(self, hook: Hook, batch: Batch) -> None:
        way: Way = hook.private
        out = way.out
        if not batch:
            return
        if out is None:
            way.stats.errors += len(batch)
            hook.peer.drop(ENETDOWN, len(batch))
            return
        if way.all_green(batch):
            self._send(way, out, batch)
            return
        now, passed = self.schedule.now(), list[Packet]()
        for packet in batch:
            way.police(packet, now, passed)
        if passed:
            self._send(way, out, batch if passed == batch else Batch(passed))
        if way.queue or way.high:
            way.press(not batch[-1].record)
            self.schedule.arm(self.schedule.now())

    def _send(self, way: Way, out: Hook, batch: Batch) -> None:
        count, before = len(batch), sum(out.drops.values())
        way.stats.passed += count
        out.send_batch(batch)
        way.stats.errors += min(sum(out.drops.values()) - before, count)

    def rcvflow(self, hook: Hook, high: bool) -> None:
        """Hold the source whose packets go out of *hook*; what waits waits on."""
        way = self.ways[OTHER[hook.name]]
        if not high:
            self.graph.work.call(self._pump)
        elif way.hook is not None:
            way.hook.send_flow(True)

    def _pump(self) -> None:
        """Send what has waited long enough."""
        for way in self.ways.values():
            passed: list[Packet] = []
            way.release(self.schedule.now(), passed)
            if way.out is None:
                way.stats.errors += len(passed)
            elif passed:
                self._send(way, way.out, Batch(passed))
            way.press(False)
        self.schedule.arm(self.schedule.now())

    def _next(self) -> float:
        """Return when the next packet has waited long enough."""
        return min(way.due() for way in self.ways.values())

    # -- messages -------------------------------------------------------------------------

    @command(1, resp=STATS)
    def getstats(self) -> Stats:
        """Count packets by colour and by what became of them, by direction."""
        return Stats(self.upstream.stats, self.downstream.stats)

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

    @command(4, resp=CONF)
    def getconf(self) -> Conf:
        """Tell the configuration."""
        return Conf(self.upstream.conf, self.downstream.conf)

    @command(5, arg=CONF)
    def setconf(self, conf: Conf) -> None:
        """Replace the configuration of the directions that are given."""
        wanted = {"upstream": conf.upstream, "downstream": conf.downstream}
        given = {name: way for name, way in wanted.items() if way.given}
        if not given:
            raise OSError(EINVAL, "neither upstream nor downstream is given; give one, or both")
        for name, way in given.items():
            way.check(name)
        now = self.schedule.now()
        for name, way in given.items():
            (self.upstream if name == "upstream" else self.downstream).configure(replace(way), now)
        self._pump()

    def config(self) -> list[str]:
        nothing = WayConf(0, 0, 0, 0, 0, 0, 0, 0, 0)
        wanted = Conf(
            *(
                nothing if way.conf == WayConf() else way.conf
                for way in (self.upstream, self.downstream)
            )
        )
        if wanted == Conf(nothing, nothing):
            return []
        return [f"msg . setconf {CONF.unparse(wanted)}"]

    def status(self) -> str:
        lines = []
        for name, way in (("downstream", self.downstream), ("upstream", self.upstream)):
            stats = way.stats
            text = f"{name}: {stats.passed} packets passed, {stats.dropped} dropped"
            lines.append(f"{text}, {len(way.queue)} waiting" if way.queue else text)
        return "\n".join(lines)

    # -- the end ----------------------------------------------------------------------------

    def rcvbypass(self, one: Hook, other: Hook) -> None:
        """Send on at once all that waits; EBUSY while a sink takes nothing."""
        ways = self.ways.values()
        for _ in ways:  # twice: what the far end answers at once comes in behind us
            for way in ways:
                while way.out is not None and (batch := way.empty()):
                    self._send(way, way.out, batch)
        left = sum(len(way.queue) for way in ways)
        if left:
            self._pump()
            raise OSError(
                EBUSY,
                f"car {self!r} holds {left} packet{'s' * (left > 1)} for a sink that takes none"
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


car = NodeType("car", 1173648034, Car)
