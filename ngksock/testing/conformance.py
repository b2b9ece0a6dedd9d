"""check_node_type: the promises that every type of node keeps."""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface.verify import verifyObject

from ngksock.interfaces import INode, INodeType
from ngksock.netgraph import Node
from ngksock.netgraph.path import NAME_MAX
from ngksock.testing.lives import check_edits, check_ends, check_lives, check_refusals
from ngksock.testing.stage import Stage, check_config

__all__ = ["check_node_type"]


def check_node_type(
    kind: INodeType,
    *,
    hooks: Sequence[str] | None = None,
    setup: Sequence[str] = (),
    others: str = "refused",
    examples: int = 50,
    seconds: float = 0,
    packets: Sequence[bytes] = (),
) -> None:
    """
    Hold a type of node to what all types promise.

    * It and its nodes provide their interfaces, signatures included.
    * A node ends without a trace (no hooks, timers or descriptors are left),
      whether it has no hook, some, or all of them: by shutdown at any point of
      its setup, by removal of the hooks from either side, with packets under
      way, from within whatever it causes at a neighbour; and it survives one
      that refuses a hook.
    * It can be put into a live link by any two of its hooks and be taken out of
      it again, or refuses; the nodes beyond are told nothing of either.
    * Every message survives the way from bytes to text and back, takes
      arguments of no other length, and is never a bug, whatever it says.
      (Messages at random go to a node in a dry run, which opens nothing: that
      too is a promise.)
    * Messages it does not know do what *others* says.
    * ``config()`` makes an equal node, after any message; ``status()`` can be
      shown.
    * A batch has the same effect as its packets one by one; neither it nor
      they are changed.
    * What it refuses, it refuses with an OSError that has an errno; it raises
      nothing else, and out of ``rcvbatch`` not even that.

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
        packets: Packets the type makes something of, such as whole frames; some
            of those that are sent at random are these.

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
    Stage(kind, hooks, setup).end("at first", descriptors=False)  # what is loaded once is now
    check_lives(kind, hooks, setup, seconds)
    check_ends(kind, hooks, setup)
    check_edits(kind, hooks, seconds)
    check_refusals(kind, hooks, any_name=names is None)
    _check_config(kind, hooks, setup)
    check_forms(kind, examples)
    check_messages(kind, hooks, setup, examples)
    check_others(kind, others)
    if hooks:
        check_batches(kind, hooks, setup, examples, seconds, packets)


def _check_interfaces(kind: INodeType) -> Node:
    verifyObject(INodeType, kind)
    assert 1 <= len(kind.name) <= NAME_MAX, f"the name {kind.name!r} has not 1 to {NAME_MAX} bytes"
    assert 0 < kind.cookie < 1 << 32, f"cookie {kind.cookie} is no positive 32-bit number"
    for row in kind.commands.all:
        assert len(row.name) <= NAME_MAX, f"the message {row.name} has too long a name"
        assert row.doc, f"the message {row.name} has no docstring, which is its help"
    stage = Stage(kind)
    node = stage.node
    verifyObject(INode, node)
    assert not node.hooks, "a new node has hooks already"
    names = getattr(node, "hook_names", None)
    assert names is None or (isinstance(names, tuple) and all(isinstance(n, str) for n in names)), (
        f"hook_names is {names!r}, neither None nor a tuple of names"
    )
    stage.end("at first", descriptors=False)
    return node


def _check_config(kind: INodeType, hooks: Sequence[str], setup: Sequence[str]) -> None:
    stage = Stage(kind, hooks, setup)
    status = stage.told("status")
    assert status is None or isinstance(status, str), "status() is no text"
    shown = status is None or all(0 < ord(letter) < 256 for letter in status)
    assert shown, f"status() says {status!r}, which is more than latin-1, or has a zero"
    lines = stage.lines()
    stage.end("after config")
    check_config(kind, hooks, lines)
