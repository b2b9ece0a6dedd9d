"""Back-pressure: how a sink that is full reaches the sources that feed it.

Theory of operation
-------------------
A sink calls ``hook.send_flow(True)`` on its own hook when it is over its
high-water mark, and ``send_flow(False)`` when it is under its low one again.
The word travels against the data: each node it reaches has ``rcvflow`` called
with the hook it came in by, and passes it on by calling ``send_flow`` on its
other hooks, which is what `Node.rcvflow` does by itself.

Three things make that right in any graph.  A wave carries the *identity* of its
sink, and every hook remembers the set of sinks that are high beyond it: a
source holds while ``hook.high``, is told to go on when the last of them is low,
and so of two slow branches neither can release it for the other.  A wave enters
each hook once, so that it ends in a graph with loops, and a tee whose two taps
lead to one sink is told by both.  And a source that goes
on may fill its sink at once, within the word to go on: whoever calls
``send_flow`` is passing on only while its own ``rcvflow`` runs, and in the same
sense; else it speaks for itself, and the wave under way notices.

When a link comes or goes, the waves that passed it, or now might, are sent
anew; only hooks they do not reach any more are told to go on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from ngksock.netgraph.hook import Hook

if TYPE_CHECKING:
    from ngksock.netgraph.node import Node

__all__ = ["Flow"]


class _Word(NamedTuple):
    """What one node is being told, and where it may pass that on to."""

    node: Node
    high: bool
    further: deque[Hook]


class Flow:
    """
    The state of one graph's back-pressure.

    Args:
        bug: Reports an exception of a node's ``rcvflow``.
    """

    def __init__(self, bug: Callable[[Node, BaseException], None]) -> None:
        self._bug = bug
        self._word: _Word | None = None
        self._reached: dict[Hook, list[Hook]] = {}  # of each high sink: hooks its wave entered

    def __len__(self) -> int:
        """How many sinks are over their mark."""
        return len(self._reached)

    def send(self, hook: Hook, high: bool) -> None:
        """Pass the word under way out of *hook*, or begin a wave with *hook* as its sink."""
        word = self._word
        if high:
            if word is not None and word.high and word.node is hook.node:
                word.further.append(hook.peer)
            elif hook not in self._reached and hook.node.hooks.get(hook.name) is hook:
                self._start(hook)
        elif hook in self._reached:
            # What else is passed on when a wave ends goes nowhere: _lower knows whom to tell.
            self._lower(self._reached.pop(hook), hook)

    def _start(self, sink: Hook) -> None:
        reached: list[Hook] = []
        self._reached[sink] = reached
        visited: set[Hook] = set()
        further = deque([sink.peer])
        # A queue and no recursion: a chain of nodes may be thousands long.
        while further and self._reached.get(sink) is reached:
            hook = further.popleft()
            if not hook.valid or hook in visited:
                continue
            visited.add(hook)
            reached.append(hook)
            if hook.sinks is None:
                hook.sinks = set()
            hook.sinks.add(sink)
            self._tell(_Word(hook.node, True, further), hook)

    def _lower(self, hooks: list[Hook], sink: Hook, again: bool = False) -> None:
        """Take the wave of *sink* back from *hooks*; *again*: and send it anew first."""
        for hook in hooks:
            if hook.sinks is not None:
                hook.sinks.discard(sink)
        if again:
            self._start(sink)
        for hook in hooks:
            if hook.valid and not hook.high:
                self._tell(_Word(hook.node, False, deque()), hook)

    def _tell(self, word: _Word, hook: Hook) -> None:
        before, self._word = self._word, word
        try:
            word.node.rcvflow(hook, word.high)
        except BaseException as error:
            self._bug(word.node, error)
        finally:
            self._word = before

    # -- when links change

    def cut(self, ends: Iterable[Hook]) -> list[Hook]:
        """
        Find the waves that pass *ends*, hooks whose links are about to change.

        Returns:
            The sinks whose waves `renew` must send again once that is done.
        """
        if not self._reached:
            return []
        found: dict[Hook, None] = {}
        for hook in ends:
            found.update(dict.fromkeys(hook.sinks or ()))
            if hook in self._reached:
                found[hook] = None
        return list(found)

    def near(self, nodes: Iterable[Node]) -> list[Hook]:
        """Find the waves that reach *nodes*, whose links, or use of them, change."""
        if not self._reached:
            return []
        return self.cut([hook for node in nodes for hook in node.hooks.values()])

    def rerouted(self, node: Node) -> None:
        """Send the waves that reach *node* again: packets take other ways within it now."""
        self.renew(self.near((node,)))

    def renew(self, sinks: Iterable[Hook]) -> None:
        """Send the waves of *sinks* again; those that lost their link end."""
        for sink in sinks:
            if sink in self._reached:
                self._lower(self._reached.pop(sink), sink, again=sink.valid)
