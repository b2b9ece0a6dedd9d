"""Stage: one node of the type under test, with recording nodes at its hooks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count

from ngksock.interfaces import INodeType
from ngksock.netgraph import Node
from ngksock.netgraph.edges import connect
from ngksock.netgraph.message import Message
from ngksock.netgraph.port import GraphPort
from ngksock.testing.recording import RecordingNode, recorder
from ngksock.testing.sandbox import Sandbox

__all__ = ["Stage", "errno_of"]


class Stage:
    """
    A sandbox with a node of type *kind*.

    Args:
        kind: The type.
        hooks: The hooks of the node to link, in this order, to hooks of the
            same names of ``local``.
        setup: Messages in ASCII form to send it then.
        local: The recording node beyond the hooks; None: the sandbox's own.
        checking: Whether it is a dry run.
    """

    def __init__(
        self,
        kind: INodeType,
        hooks: Sequence[str] = (),
        setup: Sequence[str] = (),
        *,
        local: RecordingNode | None = None,
        checking: bool = False,
    ) -> None:
        self.sandbox = Sandbox(kind, checking=checking)
        self.graph = self.sandbox.graph
        self.local = self.sandbox.local
        if local is not None:
            self.graph.add(recorder, local)
            self.local = local
        self.node: Node = self.graph.make(kind)
        self._tokens = count(1)
        for name in hooks:
            connect(self.graph, self.local, name, self.node, name)
        for text in setup:
            self.tell(text)

    @property
    def path(self) -> str:
        """The address of the node."""
        return f"[{self.node.id:x}]:"

    def tell(self, text: str) -> None:
        """Send the node a message in its ASCII form."""
        name, _, args = text.partition(" ")
        port = GraphPort(self.graph, self.local)
        self.graph.send(self.local, self.path, port.encode(self.path, name, args))

    def ask(self, message: Message) -> tuple[int, list[bytes]]:
        """Send the node *message*; return the errno and the responses' arguments."""
        token = next(self._tokens)
        errno = errno_of(self.graph.send, self.local, self.path, message.with_token(token))
        answers = [m.data for _, m in self.local.messages if m.is_response and m.token == token]
        return errno, answers

    def end(self, when: str) -> None:
        """Shut the node down if it lives, and close the sandbox; *when* goes into complaints."""
        self.graph.rmnode(self.node)
        self.sandbox.settle()
        assert self.node.id not in self.graph.nodes, f"the node lives on after shutdown, {when}"
        # Hooks of local may live on: a tee joins its neighbours.
        ends = {hook.peer.node for hook in self.local.hooks.values()}
        assert not self.node.hooks, f"the node keeps hooks after shutdown, {when}"
        assert self.node not in ends, f"hooks to the node are left after shutdown, {when}"
        try:
            self.sandbox.close()
        except AssertionError as error:
            raise AssertionError(f"{when}: {error}") from error


def errno_of(call: Callable[..., object], *args: object) -> int:
    """Return the errno by which a call fails; 0: it does not."""
    try:
        call(*args)
    except OSError as error:
        return error.errno or 0
    return 0
