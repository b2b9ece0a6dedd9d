"""Timer: a node's way to do something later."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ngksock.netgraph.node import Node

__all__ = ["Timer"]


class Timer:
    """
    A call that a node has put off; at most one at a time.

    It is forgotten when the node is gone, so none fires after ``shutdown``.
    In a dry run (``graph.checking``) and in a graph without a reactor nothing
    is ever put off.  One timer serves all that waits in a node: start it for
    the earliest, and look in *call* what else is due by then.

    Args:
        node: Whose it is; may be made in its ``__init__``, after ``super()``'s.
        call: What to do, without arguments.  Nobody is left to raise to:
            whatever it raises is reported as a bug of the node.
    """

    __slots__ = ("_call", "_node", "_waiting")

    def __init__(self, node: Node, call: Callable[[], object]) -> None:
        self._node = node
        self._call = call
        self._waiting: Any = None
        node.watch(self._ended)

    @property
    def active(self) -> bool:
        """Whether the call is still to come."""
        return self._waiting is not None

    def start(self, seconds: float) -> None:
        """
        Call in so many *seconds* from now, and not when it was to be before.

        Args:
            seconds: At least 0; with 0 it is a later turn of the reactor.
        """
        graph = self._node.graph
        if self._waiting is not None:
            self._waiting.reset(seconds)
        elif graph.reactor is not None and not graph.checking and self._node.valid:
            self._waiting = graph.reactor.callLater(seconds, self._fire)

    def stop(self) -> None:
        """Do not call after all."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()

    def _fire(self) -> None:
        self._waiting = None
        try:
            self._call()
        except BaseException as error:
            self._node.graph.bug(self._node, error)

    def _ended(self, node: Node) -> None:
        self.stop()
