"""Stage: one node of the type under test, with recording nodes at its hooks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from errno import errorcode
from itertools import count
from typing import Any, TypeVar

from ngksock.interfaces import INodeType
from ngksock.netgraph import Node
from ngksock.netgraph.bug import as_bug
from ngksock.netgraph.edges import connect
from ngksock.netgraph.message import Message
from ngksock.netgraph.port import GraphPort
from ngksock.testing.descriptors import left_open, open_descriptors
from ngksock.testing.recording import RecordingNode, recorder
from ngksock.testing.sandbox import Sandbox

__all__ = ["Stage", "check_config", "errno_of"]

T = TypeVar("T")


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
        self.kind = kind
        self._open = open_descriptors()
        self.sandbox = Sandbox(kind, checking=checking)
        self.graph = self.sandbox.graph
        self.local = self.sandbox.local
        if local is not None:
            self.graph.add(recorder, local)
            self.local = local
        self._tokens = count(1)
        self.node: Node = self.require("the constructor", self.graph.make, kind)
        for name in hooks:
            self.require(f"the hook {name}", connect, self.graph, self.local, name, self.node, name)
        for text in setup:
            self.require(f"the message {text} of the setup", self.tell, text)

    @property
    def path(self) -> str:
        """The address of the node."""
        return f"[{self.node.id:x}]:"

    def require(self, what: str, call: Callable[..., T], *args: object) -> T:
        """Do what must not fail."""
        try:
            return call(*args)
        except OSError as error:
            bugs = "".join(f"; a node had a bug: {bug!r}" for bug in self.sandbox.bugs)
            raise AssertionError(f"{what} fails: {error}{bugs}") from error

    def told(self, method: str) -> Any:
        """Return what a method of the node that cannot refuse tells."""
        try:
            return getattr(self.node, method)()
        except BaseException as error:
            bug = as_bug(error)
            raise AssertionError(f"{method}() raises {bug!r}") from error

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

    def feed(self, name: str) -> None:
        """Send packets out of the neighbour's hook of that name, if it is there."""
        if name in self.local.hooks:
            errno_of(self.local.send, name, bytes(64))
        if name in self.local.hooks:
            self.local.send_batch(name, [bytes(64), b"", b"1"])

    def lines(self) -> list[str]:
        """Return what the node's ``config()`` says."""
        lines = self.told("config")
        known = isinstance(lines, list) and all(isinstance(line, str) for line in lines)
        assert known, f"config() is no list of lines: {lines!r}"
        for line in lines:
            words = line.split(" ")
            known = words[:2] == ["msg", "."] and len(words) > 2
            assert known, f"config() says {line!r}, which is no message to ."
        return list(lines)

    def opened(self) -> list[str]:
        """Return, in words, the descriptors that are open now and were not before."""
        return left_open(self._open)

    def end(self, when: str, descriptors: bool = True) -> None:
        """
        Shut the node down if it lives, and close the sandbox.

        Args:
            when: Goes into complaints.
            descriptors: Whether it may leave none open.
        """
        self.graph.rmnode(self.node)
        self.sandbox.pass_time(0)  # what is due in this turn may still be done
        assert not self.sandbox.clock.getDelayedCalls(), (
            f"{when}: {self.sandbox.clock.getDelayedCalls()[0]} is left"
        )
        assert self.node.id not in self.graph.nodes, f"the node lives on after shutdown, {when}"
        # Hooks of local may live on: a tee joins its neighbours.
        ends = {hook.peer.node for hook in self.local.hooks.values()}
        assert not self.node.hooks, f"the node keeps hooks after shutdown, {when}"
        assert self.node not in ends, f"hooks to the node are left after shutdown, {when}"
        try:
            self.sandbox.close()
        except AssertionError as error:
            raise AssertionError(f"{when}: {error}") from error
        left = self.opened() if descriptors else []
        assert not left, f"{when}: {', '.join(left)} is left open"


def check_config(
    kind: INodeType, hooks: Sequence[str], lines: list[str], checking: bool = False
) -> None:
    """
    Check that *lines* make a node of which ``config()`` says the same.

    The node that said them has ended: what it owned may be had once only.
    """
    copy = Stage(kind, hooks, checking=checking)
    for line in lines:
        copy.require(f"what config() says, {line!r},", copy.tell, line.removeprefix("msg . "))
    again = copy.lines()
    assert again == lines, f"config() says {lines}, the node it makes says {again}"
    copy.end("after a config was applied")


def errno_of(call: Callable[..., object], *args: object) -> int:
    """Return the errno by which a call fails; 0: it does not."""
    try:
        call(*args)
    except OSError as error:
        known = error.errno in errorcode
        assert known, f"a refusal has no errno: {error!r}"
        return error.errno or 0
    return 0
