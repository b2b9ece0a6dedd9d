"""Sandbox: a graph cut off from the world, with turns and a clock of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from twisted.internet.testing import MemoryReactorClock

from ngksock.interfaces import INodeType
from ngksock.netgraph import Graph, Hook, Node
from ngksock.netgraph.controlforms import Origin
from ngksock.plugin import available, find_type, origins
from ngksock.testing.recording import RecordingNode, recorder

__all__ = ["TURNS", "Sandbox"]

TURNS: Final = 10_000
"""After so many turns a graph that still has work is one that never ends."""


class Sandbox:
    """
    A graph for one test.

    Args:
        types: Types of node that are not installed; those that are, are
            found as always.
        checking: Whether it is a dry run (``graph.checking``).

    ``graph`` is the graph, ``local`` a `RecordingNode` in it, ``clock`` its
    time and its reactor (which reads and writes nothing), ``reports`` the
    sentences for the operator, and ``bugs`` the exceptions that nodes should
    not have raised.
    """

    def __init__(self, *types: INodeType, checking: bool = False) -> None:
        self.clock = MemoryReactorClock()
        self.reports: list[str] = []
        self.bugs: list[Exception] = []
        self._types = {kind.name: kind for kind in (recorder, *types)}
        self._queue: deque[Callable[[], None]] = deque()
        self.graph = Graph(
            self._find_type,
            self._queue.append,
            self.clock.seconds,
            self._report,
            checking,
            lambda: sorted({*self._types, *available()}),
            self.clock,
            lambda: [*(Origin(name, "the test", "") for name in self._types), *origins()],
        )
        self.local = self.recorder()

    def _find_type(self, name: str) -> INodeType:
        return self._types.get(name) or find_type(name)

    def _report(self, sentence: str, error: Exception | None) -> None:
        if error is None:
            self.reports.append(sentence)
        else:
            self.bugs.append(error)

    def recorder(self) -> RecordingNode:
        """Return a further recording node, without hooks."""
        node = RecordingNode()
        self.graph.add(recorder, node)
        return node

    # -- time ---------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Whether nothing waits for a turn."""
        return not self._queue

    def turn(self) -> None:
        """Do what waits, as one turn of the reactor does."""
        for _ in range(len(self._queue)):
            self._queue.popleft()()

    def settle(self, most: int = TURNS) -> int:
        """
        Take turns until nothing waits, and return how many it took.

        Raises:
            AssertionError: *most* turns were not enough.
        """
        taken = 0
        while not self.idle:
            if taken == most:
                raise AssertionError(f"the graph has work left after {most} turns")
            self.turn()
            taken += 1
        return taken

    def pass_time(self, seconds: float) -> None:
        """
        Let *seconds* pass, as a reactor does: whatever is due by then is done in its time.

        Raises:
            AssertionError: Time stands still: something is due at once, again and again.
        """
        clock, still = self.clock, 0
        end = clock.seconds() + seconds
        while True:
            self.settle()
            due = min((call.getTime() for call in clock.getDelayedCalls()), default=end + 1)
            if due > end:
                break
            still = 0 if due > clock.seconds() else still + 1
            if still > TURNS:
                raise AssertionError(f"after {still} turns it is still {due} s")
            # Not by Clock.advance, which would do what becomes due meanwhile in the same turn.
            clock.rightNow = max(clock.rightNow, due)
            for call in [call for call in clock.calls if call.getTime() <= due]:
                if call.active():
                    clock.calls.remove(call)
                    call.called = 1
                    call.func(*call.args, **call.kw)
        clock.rightNow = end

    # -- the end --------------------------------------------------------------------

    def close(self) -> None:
        """
        End the graph.

        Raises:
            AssertionError: Something is left of it, or a node had a bug.
        """
        complaints = [f"{hook!r} has no proper peer" for hook in self._hooks() if not _paired(hook)]
        nodes: list[Node] = list(self.graph)
        self.graph.close()
        self.settle()
        complaints += [f"node {node!r} of type {node.type.name} is left" for node in self.graph]
        complaints += [f"{hook!r} is left" for node in nodes for hook in node.hooks.values()]
        complaints += [f"the name {name!r} is left" for name in self.graph.names]
        if self.graph.work:
            complaints.append(f"{len(self.graph.work)} pieces of work are left")
        if len(self.graph.flow):
            complaints.append(f"{len(self.graph.flow)} sinks are still high")
        complaints += [f"{call} is left" for call in self.clock.getDelayedCalls()]
        ends = {*self.clock.getReaders(), *self.clock.getWriters()}
        complaints += [f"{end!r} is left with the reactor" for end in ends]
        complaints += [f"a node had a bug: {bug!r}" for bug in self.bugs]
        if complaints:
            raise AssertionError("; ".join(complaints)) from next(iter(self.bugs), None)

    def _hooks(self) -> list[Hook]:
        return [hook for node in self.graph for hook in node.hooks.values()]


def _paired(hook: Hook) -> bool:
    peer = hook.peer
    return peer is not hook and peer.peer is hook and peer.node.hooks.get(peer.name) is peer
