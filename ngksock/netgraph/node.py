"""Node: an optional base for INode, as Service is to IService."""

from __future__ import annotations

from collections.abc import Callable
from errno import EINVAL
from typing import TYPE_CHECKING, Any, ClassVar

from zope.interface import implementer

from ngksock._inetgraph import INode, INodeType
from ngksock.netgraph.hook import Hook, one_by_one
from ngksock.netgraph.message import GENERIC_COOKIE, HASREPLY, READONLY, Item
from ngksock.packet import Batch, Packet

if TYPE_CHECKING:
    from ngksock.netgraph.graph import Graph

__all__ = ["Node", "bare_node"]

TEXTSTATUS = 11 | READONLY | HASREPLY


@implementer(INode)
class Node:
    """
    A node that takes any hook, drops what it gets and ends with its last hook.

    Subclasses override what their type does; the methods stand in the order of
    a node's life and are described in `ngksock.interfaces.INode`.
    """

    hook_names: ClassVar[tuple[str, ...] | None] = None
    """The hooks a node of this type may have; None: any name."""

    id: int
    type: INodeType
    graph: Graph

    def __init__(self) -> None:
        self.name = ""
        self.hooks: dict[str, Hook] = {}
        self.valid = True
        self.closing = False
        self.watchers: tuple[Callable[[Node], None], ...] = ()
        self.busy = 0

    def __repr__(self) -> str:
        return self.name or f"[{self.id:x}]"

    def watch(self, ended: Callable[[Node], None]) -> None:
        """Have *ended* called with this node when it is gone."""
        self.watchers += (ended,)

    def newhook(self, hook: Hook, name: str) -> None:
        """Refuse a hook whose name this type does not have (EINVAL)."""
        names = self.hook_names
        if names is not None and name not in names:
            raise OSError(
                EINVAL, f'{self.type.name} has no hook "{name}"; its hooks are {", ".join(names)}'
            )

    def connect(self, hook: Hook) -> None:
        """Accept."""

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        """Drop the packet."""

    def rcvbatch(self, hook: Hook, batch: Batch) -> None:
        """Hand the packets to ``rcvdata``, one by one, counting what is lost."""
        one_by_one(self.rcvdata, hook, batch)

    def rcvflow(self, hook: Hook, high: bool) -> None:
        """Pass the word on to all other hooks."""
        if not high:
            return  # who was told to hold is known; a sink of its own here stays high
        for other in list(self.hooks.values()):
            if other is not hook:
                other.send_flow(high)

    def rcvmsg(self, item: Item, lasthook: Hook | None) -> None:
        """Carry out the row of the message; EINVAL if there is none."""
        message = item.message
        if message.cookie == GENERIC_COOKIE and message.cmd == TEXTSTATUS:
            text = self.status()
            if text is None:
                raise OSError(EINVAL, f"a {self.type.name} has no status to tell")
            self.graph.reply(item, text.encode("latin-1", "replace") + b"\0")
            return
        row = None if message.is_response else self.type.commands.find(message.cookie, message.cmd)
        if row is None:
            raise OSError(
                EINVAL,
                f"a {self.type.name} has no message {message.cmd} of cookie {message.cookie}",
            )
        row.call(self, item, self.graph.reply)

    def config(self) -> list[str]:
        """Return no lines: there is nothing to configure."""
        return []

    def status(self) -> str | None:
        """Return None: there is nothing to tell."""
        return None

    def rcvbypass(self, one: Hook, other: Hook) -> None:
        """Do nothing: nothing is held back."""

    def disconnect(self, hook: Hook) -> None:
        """End with the last hook."""
        if not self.hooks and self.valid:
            self.graph.rmnode_self(self)

    def close(self) -> None:
        """Do nothing."""

    def shutdown(self) -> bool | None:
        """Let the node end."""
        return None


class _Bare(Node):
    """Stands in the graph for a provider of INode that has no base class."""

    OPTIONAL = (
        "newhook", "connect", "rcvbatch", "rcvflow", "rcvmsg", "config", "status",
        "rcvbypass", "disconnect", "close", "shutdown",
    )  # fmt: skip

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner
        for name in ("rcvdata", *self.OPTIONAL):
            method = getattr(inner, name, None)
            if method is not None:
                setattr(self, name, method)
        inner.name, inner.hooks = self.name, self.hooks

    def __getattr__(self, name: str) -> Any:
        # What Node lacks is the provider's own: its commands above all.
        return getattr(self.__dict__["inner"], name)

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name in ("id", "name", "type", "graph") and "inner" in vars(self):
            setattr(self.inner, name, value)


def bare_node(provider: Any) -> Node:
    """
    Return *provider* itself if it is a `Node`, else one that speaks for it.

    Raises:
        TypeError: It is one, and did not call ``Node.__init__``; or it is a class.
    """
    if isinstance(provider, type):
        raise TypeError(f"the constructor returned the class {provider.__qualname__}, no node")
    if not isinstance(provider, Node):
        return _Bare(provider)
    if getattr(provider, "watchers", None) is None:
        raise TypeError(f"{type(provider).__qualname__} did not call super().__init__()")
    return provider
