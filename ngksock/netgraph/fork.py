"""Forks: two ways onward for the packets of one hook, to hooks that are told by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ngksock.netgraph.hook import Hook

if TYPE_CHECKING:
    from ngksock.netgraph.node import Node

__all__ = ["Fork", "Forks"]


class Fork:
    """
    Two ways: what becomes of packets is the business of a subclass.

    ``match`` and ``other`` are the hooks packets go to, or None where no hook
    of that name is connected; ``both`` is the same without None and doubles.
    """

    __slots__ = ("both", "match", "names", "other")

    def __init__(self) -> None:
        self.names = ("", "")
        self.match: Hook | None = None
        self.other: Hook | None = None
        self.both: tuple[Hook, ...] = ()

    def find(self, hooks: dict[str, Hook]) -> None:
        """Find the hooks of both names among *hooks*."""
        self.match, self.other = found = tuple(hooks.get(name) for name in self.names)
        self.both = tuple(hook for hook in dict.fromkeys(found) if hook is not None)


class Forks:
    """
    All forks of a node.

    A hook that comes or goes concerns only those that name it: so thousands of
    hooks cost no more each than a few.

    Args:
        node: The node.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._named: dict[str, set[Fork]] = {}

    def lead(self, fork: Fork, match: str, other: str) -> None:
        """Let *fork* lead to the hooks of these names from now on; "": to none."""
        self.forget(fork)
        fork.names = (match, other)
        for name in fork.names:
            self._named.setdefault(name, set()).add(fork)
        fork.find(self._node.hooks)
        self._node.graph.flow.rerouted(self._node)

    def changed(self, name: str) -> None:
        """Look again for the hook of that *name*, which came or went."""
        for fork in self._named.get(name, ()):
            fork.find(self._node.hooks)

    def forget(self, fork: Fork) -> None:
        """Forget *fork*, whose hook is gone."""
        for name in fork.names:
            forks = self._named.get(name, set())
            forks.discard(fork)
            if not forks:
                self._named.pop(name, None)
