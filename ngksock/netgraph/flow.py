"""Back-pressure: how a sink that is full reaches the sources that feed it.

Theory of operation
-------------------
A sink calls ``hook.send_flow(True)`` on its own hook when it is over its
high-water mark, and ``send_flow(False)`` when it is under its low one again.
The word travels against the data: each node it reaches has ``rcvflow`` called
with the hook it came in by, and passes it on by calling ``send_flow`` on its
other hooks, which is what `Node.rcvflow` does by itself.

Two things make that right in any graph.  A wave carries the *identity* of its
sink, and every hook remembers the set of sinks that are high beyond it: a
source holds while ``hook.high``, so of two slow branches neither can release it
for the other.  And a wave enters each node once, so that it ends in a graph
with loops.  When a link comes or goes, the waves of the sinks that are high and
reach it are taken back and sent anew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ngksock.netgraph.hook import Hook

if TYPE_CHECKING:
    from ngksock.netgraph.node import Node

__all__ = ["Flow"]


class Flow:
    """
    The state of one graph's back-pressure.

    Args:
        bug: Reports an exception of a node's ``rcvflow``.
    """

    def __init__(self, bug: Callable[[Node, Exception], None]) -> None:
        self._bug = bug
        self._sink: Hook | None = None  # whose wave is under way
        self._next: deque[Hook] = deque()
        self._reached: dict[Hook, list[Hook]] = {}  # of each high sink: hooks its wave entered

    def __len__(self) -> int:
        """How many sinks are over their mark."""
        return len(self._reached)

    def send(self, hook: Hook, high: bool) -> None:
        """Pass the wave under way out of *hook*, or begin one with *hook* as its sink."""
        if self._sink is not None:
            if high:
                self._next.append(hook.peer)  # a wave is taken back by _stop, hook by hook
        elif high and hook not in self._reached:
            self._start(hook)
        elif not high and hook in self._reached:
            self._stop(hook)

    def _start(self, sink: Hook) -> None:
        reached = self._reached[sink] = []
        visited: set[Node] = set()
        self._sink = sink
        self._next.append(sink.peer)
        # A queue and no recursion: a chain of nodes may be thousands long.
        while self._next:
            hook = self._next.popleft()
            if not hook.valid or hook.node in visited:
                continue
            visited.add(hook.node)
            reached.append(hook)
            if hook.sinks is None:
                hook.sinks = set()
            hook.sinks.add(sink)
            self._tell(hook, True)
        self._sink = None

    def _stop(self, sink: Hook) -> None:
        self._sink = sink
        for hook in self._reached.pop(sink):
            if hook.sinks is not None:
                hook.sinks.discard(sink)
            self._tell(hook, False)
        self._sink = None

    def _tell(self, hook: Hook, high: bool) -> None:
        try:
            hook.node.rcvflow(hook, high)
        except Exception as error:
            self._bug(hook.node, error)

    # -- when links change

    def cut(self, ends: Iterable[Hook]) -> list[Hook]:
        """
        Take back the waves that pass *ends*, hooks about to be unlinked.

        Returns:
            The sinks whose waves `renew` must send again once that is done.
        """
        sinks: list[Hook] = []
        for hook in ends:
            found = set(hook.sinks or ())
            if hook in self._reached:
                found.add(hook)
            for sink in found:
                if sink in self._reached:
                    self._stop(sink)
                    sinks.append(sink)
        return sinks

    def near(self, nodes: Iterable[Node]) -> list[Hook]:
        """Take back the waves that reach *nodes*, which are about to get a new link."""
        if not self._reached:
            return []
        return self.cut([hook for node in nodes for hook in node.hooks.values()])

    def renew(self, sinks: Iterable[Hook]) -> None:
        """Send the waves of *sinks* again, those that still have a link."""
        for sink in sinks:
            if sink.valid and sink not in self._reached:
                self._start(sink)
