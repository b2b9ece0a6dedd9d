"""The bpf node: a program and two ways onward for each hook (netgraph.md §10.7)."""

from __future__ import annotations

from collections.abc import Sequence
from errno import ENOENT
from typing import Final

from ngksock.netgraph import Batch, Fork, Forks, Hook, Node, Packet, command, send_all
from ngksock.nodes.bpf.expression import compile_expression
from ngksock.nodes.bpf.layouts import (
    DUMP,
    EXPRESSION,
    NAME,
    PROGRAM,
    STATS,
    Dump,
    Expression,
    Program,
    Stats,
    Ways,
)
from ngksock.nodes.bpf.machine import Instruction, check, parse_dump
from ngksock.nodes.bpf.translate import translate
from ngksock.plugin import NodeType

__all__ = ["BPF", "bpf"]

OWN_COOKIE: Final = 1750000305
NOTHING: Final = (Instruction(0x06),)
"""The program of a new hook: ``ret #0``."""
NO_MATCH: Final = translate(NOTHING)


class Way(Fork):
    """
    What becomes of packets that come in by one hook: its ``private``.

    Args:
        name: The hook's.

    ``match`` and ``other`` are the hooks that the program names; ``stats``
    outlive a new program.
    """

    __slots__ = ("expression", "program", "run", "stats")

    def __init__(self, name: str) -> None:
        super().__init__()
        self.stats = Stats()
        self.run = NO_MATCH
        self.program = Program(name, length=len(NOTHING), steps=list(NOTHING))
        self.expression: Expression | None = None

    def set(
        self, ways: Ways, steps: Sequence[Instruction], expression: Expression | None = None
    ) -> None:
        """
        Set the program, and remember what names go with it.

        Args:
            ways: The names.
            steps: The program, which is valid.
            expression: What it was compiled from, if it was.
        """
        self.run = translate(steps)
        self.program = Program(
            ways.this_hook, ways.if_match, ways.if_not_match, len(steps), list(steps)
        )
        self.expression = expression

    def config(self) -> str:
        """Return the message that sets it; "": it is a new hook's."""
        if self.expression is not None:
            return f"setfilter {EXPRESSION.unparse(self.expression)}"
        if self.program == Way(self.program.this_hook).program:
            return ""
        return f"setprogram {PROGRAM.unparse(self.program)}"

    def status(self) -> str:
        """Tell in words what it does, and how often it did."""
        program, stats = self.program, self.stats
        if self.expression is not None:
            what = f'"{self.expression.filter}"'
        else:
            what = f"a program of {program.length} instruction{'s' * (program.length > 1)}"
        return (
            f"{what} to {program.if_match or 'nobody'}, others to "
            f"{program.if_not_match or 'nobody'}; "
            f"{stats.recv_match_frames} of {stats.recv_frames} packets matched"
        )


def _send(out: Hook | None, batch: Batch) -> None:
    if out is not None and batch:
        stats: Stats = out.private.stats
        stats.xmit_frames += len(batch)
        stats.xmit_octets += batch.nbytes
        out.send_batch(batch)


class BPF(Node):
    """A node that sorts packets."""

    def __init__(self) -> None:
        super().__init__()
        self.forks = Forks(self)

    def newhook(self, hook: Hook, name: str) -> None:
        hook.private = Way(name)

    def connect(self, hook: Hook) -> None:
        self.forks.changed(hook.name)

    # -- packets --------------------------------------------------------------------------

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        way: Way = hook.private
        stats, size = way.stats, packet.len
        stats.recv_frames += 1
        stats.recv_octets += size
        out = way.other
        if size:
            kept = way.run(packet.data)
            if kept:
                out = way.match
                stats.recv_match_frames += 1
                stats.recv_match_octets += size
                if kept < size:
                    packet = packet.replace(packet.data[:kept])
        elif packet.eof:
            for out in way.both:
                out.private.stats.xmit_frames += 1
            send_all(way.both, packet)
            return
        if out is not None:
            stats = out.private.stats
            stats.xmit_frames += 1
            stats.xmit_octets += packet.len
            out.send_data(packet)

    def rcvbatch(self, hook: Hook, batch: Batch) -> None:
        way: Way = hook.private
        run, stats = way.run, way.stats
        matches = Batch()
        others = matches if way.match is way.other else Batch()
        frames = octets = cut = 0
        for packet in batch:
            size = packet.len
            kept = run(packet.data) if size else 0
            if kept:
                frames += 1
                octets += size
                if kept < size:
                    cut += size - kept
                    packet = packet.replace(packet.data[:kept])
                matches.append(packet)
            else:
                others.append(packet)
                if packet.eof and others is not matches:
                    matches.append(packet)
        stats.recv_frames += len(batch)
        stats.recv_octets += batch.nbytes
        stats.recv_match_frames += frames
        stats.recv_match_octets += octets
        if others is matches:
            matches.nbytes = batch.nbytes - cut
        else:
            matches.nbytes = octets - cut
            others.nbytes = batch.nbytes - octets
        # What is the same as it came goes on as it came: others may share it already.
        unchanged = len(batch) if not cut else -1
        _send(way.match, batch if len(matches) == unchanged else matches)
        if others is not matches:
            # Named again: the delivery may have removed it.
            _send(way.other, batch if len(others) == len(batch) else others)

    def rcvflow(self, hook: Hook, high: bool) -> None:
        """Hold the hooks whose packets may go out of *hook*."""
        for other in list(self.hooks.values()):
            if hook in other.private.both:
                other.send_flow(high)

    # -- messages -------------------------------------------------------------------------

    def _way(self, name: str) -> Way:
        hook = self.hooks.get(name)
        if hook is None:
            raise OSError(ENOENT, f'node {self!r} has no hook "{name}"')
        way: Way = hook.private
        return way

    def _set(
        self, ways: Ways, steps: Sequence[Instruction], expression: Expression | None = None
    ) -> None:
        way = self._way(ways.this_hook)
        check(steps)
        way.set(ways, steps, expression)
        self.forks.lead(way, ways.if_match, ways.if_not_match)

    @command(1, arg=PROGRAM)
    def setprogram(self, program: Program) -> None:
        """Set a hook's program, and the hooks for what matches it and what does not."""
        self._set(program, program.steps)

    @command(2, arg=NAME, resp=PROGRAM)
    def getprogram(self, name: str) -> Program:
        """Tell the program of a hook, and where packets go."""
        return self._way(name).program

    @command(3, arg=NAME, resp=STATS)
    def getstats(self, name: str) -> Stats:
        """Count what came in by a hook, what of it matched, and what went out."""
        return self._way(name).stats

    @command(4, arg=NAME)
    def clrstats(self, name: str) -> None:
        """Reset the counters of a hook."""
        self._way(name).stats = Stats()

    @command(5, arg=NAME, resp=STATS)
    def getclrstats(self, name: str) -> Stats:
        """Tell the counters of a hook, then reset them."""
        way = self._way(name)
        stats, way.stats = way.stats, Stats()
        return stats

    @command(1, arg=EXPRESSION, cookie=OWN_COOKIE)
    def setfilter(self, wanted: Expression) -> None:
        """Set a hook's program from an expression as tcpdump takes; needs ngksock[bpf]."""
        self._way(wanted.this_hook)  # before it is compiled, which takes its time
        self._set(wanted, compile_expression(wanted.filter, wanted.dlt, wanted.snaplen), wanted)

    @command(2, arg=DUMP, cookie=OWN_COOKIE)
    def setdump(self, wanted: Dump) -> None:
        """Set a hook's program from the output of ``tcpdump -ddd``."""
        self._set(wanted, parse_dump(wanted.dump))

    def config(self) -> list[str]:
        messages = (hook.private.config() for hook in self.hooks.values())
        return [f"msg . {message}" for message in messages if message]

    def status(self) -> str:
        lines = [f"{name}: {hook.private.status()}" for name, hook in self.hooks.items()]
        return "\n".join(lines) or "no hooks"

    # -- the end ----------------------------------------------------------------------------

    def disconnect(self, hook: Hook) -> None:
        self.forks.forget(hook.private)
        self.forks.changed(hook.name)
        super().disconnect(hook)


bpf = NodeType("bpf", 944100792, BPF)
