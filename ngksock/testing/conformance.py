"""check_node_type: the promises that every type of node keeps."""

from __future__ import annotations

from collections.abc import Sequence
from errno import EINVAL, EPERM
from typing import Final

from zope.interface.verify import verifyObject

from ngksock.interfaces import INode, INodeType
from ngksock.netgraph import Hook, Node, Packet
from ngksock.netgraph.edges import connect, mkpeer
from ngksock.netgraph.path import NAME_MAX
from ngksock.netgraph.port import GraphPort
from ngksock.testing.recording import RecordingNode
from ngksock.testing.sandbox import Sandbox
from ngksock.testing.stage import Stage, errno_of

__all__ = ["check_node_type"]

STRANGER: Final = "no-such-hook"


def check_node_type(
    kind: INodeType,
    *,
    hooks: Sequence[str] | None = None,
    setup: Sequence[str] = (),
    others: str = "refused",
    examples: int = 50,
    seconds: float = 0,
) -> None:
    """
    Hold a type of node to what all types promise.

    * It and its nodes provide their interfaces, signatures included.
    * A node ends without a trace, whether it has no hook, some, or all of
      them: by shutdown, by removal of the hooks from either side, from within
      a delivery; and it survives a neighbour that refuses a hook.
    * Every message survives the way from bytes to text and back, takes
      arguments of no other length, and is never a bug, whatever it says.
      (Messages at random go to a node in a dry run, which opens nothing.)
    * Messages it does not know do what *others* says.
    * ``config()`` makes an equal node, ``status()`` can be shown.
    * A batch has the same effect as its packets one by one.

    Args:
        kind: The type.
        hooks: Hooks its nodes can have at once; by default the first four of
            the class's ``hook_names``, or any three names.
        setup: Messages in ASCII form that prepare a node with these hooks
            for packets, such as ``setpersistent``.
        others: What becomes of unknown messages: ``refused`` (EINVAL),
            ``returned`` to the sender with their arguments, or ``swallowed``.
        examples: How many random examples to try of each promise.
        seconds: How much later the effect of packets is looked at; for types
            that delay them.

    Raises:
        AssertionError: A promise is broken; the text says which.
        zope.interface.Invalid: An interface is not provided.

    Needs hypothesis.
    """
    # Here, for hypothesis is no dependency of the package.
    from ngksock.testing.delivery import check_batches
    from ngksock.testing.exchange import check_forms, check_messages, check_others

    node = _check_interfaces(kind)
    names = getattr(node, "hook_names", None)
    if hooks is None:
        hooks = ("a", "b", "c") if names is None else tuple(names)[:4]
    _check_lives(kind, hooks, setup)
    _check_refusals(kind, hooks, any_name=names is None)
    _check_config(kind, hooks, setup)
    check_forms(kind, examples)
    check_messages(kind, hooks, setup, examples)
    check_others(kind, others)
    check_batches(kind, hooks, setup, examples, seconds)


def _check_interfaces(kind: INodeType) -> Node:
    verifyObject(INodeType, kind)
    assert 1 <= len(kind.name) <= NAME_MAX, f"the name {kind.name!r} has not 1 to {NAME_MAX} bytes"
    assert 0 < kind.cookie < 1 << 32, f"cookie {kind.cookie} is no positive 32-bit number"
    for row in kind.commands.all:
        assert len(row.name) <= NAME_MAX, f"the message {row.name} has too long a name"
        assert row.doc, f"the message {row.name} has no docstring, which is its help"
    sandbox = Sandbox(kind)
    node = sandbox.graph.make(kind)
    verifyObject(INode, node)
    assert not node.hooks, "a new node has hooks already"
    sandbox.close()
    return node


class _Ender(RecordingNode):
    """Shuts *victim* down as soon as a packet arrives."""

    victim: Node | None = None

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        super().rcvdata(hook, packet)
        if self.victim is not None:
            self.graph.rmnode(self.victim)


def _check_lives(kind: INodeType, hooks: Sequence[str], setup: Sequence[str]) -> None:
    for count in range(len(hooks) + 1):
        Stage(kind, hooks[:count]).end(f"with {count} hooks")
    for theirs in (True, False):
        for order in (hooks, hooks[::-1]):
            stage = Stage(kind, order, setup)
            for name in order:
                if name in stage.node.hooks:  # some types end with one hook of several
                    owner = stage.node if theirs else stage.local
                    stage.graph.rmhook(owner.hooks[name])
            stage.end("after its hooks were removed")
    for name in hooks:
        for batch in (True, False):
            ender = _Ender()
            stage = Stage(kind, hooks, setup, local=ender)
            ender.victim = stage.node
            if batch:
                ender.send_batch(name, [b"1", b"2"])
            else:
                errno_of(ender.send, name, b"1")
            stage.end(f"within a delivery from {name}")


def _check_refusals(kind: INodeType, hooks: Sequence[str], any_name: bool) -> None:
    for callback in ("newhook", "connect"):
        for place, name in enumerate(hooks):
            stage = Stage(kind, hooks[:place])
            stage.local.refuse(callback, EPERM)
            refused = errno_of(connect, stage.graph, stage.local, name, stage.node, name)
            assert refused == EPERM, f"connect of {name} answers {refused}, its neighbour {EPERM}"
            refused = errno_of(mkpeer, stage.graph, stage.local, kind.name, "new", name)
            assert refused == EPERM, f"mkpeer by {name} answers {refused}, its neighbour {EPERM}"
            assert name not in stage.node.hooks, f"the refused hook {name} is left"
            stage.end(f"after its neighbour refused {name}")
    if not any_name:
        stage = Stage(kind)
        refused = errno_of(connect, stage.graph, stage.local, "x", stage.node, STRANGER)
        assert refused == EINVAL, f"a hook of no known name is answered by {refused}, not EINVAL"
        stage.end("after it refused a hook")


def _check_config(kind: INodeType, hooks: Sequence[str], setup: Sequence[str]) -> None:
    stage = Stage(kind, hooks, setup)
    status = stage.node.status()
    assert status is None or isinstance(status, str), "status() is no text"
    if status is not None:
        status.encode("latin-1")
    lines = stage.node.config()
    stage.end("after config")
    copy = Stage(kind, hooks)
    port = GraphPort(copy.graph, copy.local, here=copy.node)
    for line in lines:
        verb, path, name, *args = line.split(" ")
        assert (verb, path) == ("msg", "."), f"config() says {line!r}, which is no message to ."
        port.send(path, port.encode(path, name, " ".join(args)))
    again = copy.node.config()
    assert again == lines, f"config() says {lines}, the node it makes says {again}"
    copy.end("after a config was applied")
