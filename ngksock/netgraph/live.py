"""Editing a live edge: a node is put into a link, or taken out of it, while packets pass.

Theory of operation.  A link is two hooks that know each other, so all an edit
does to the outer nodes is to give their hooks other peers: names, counters and
``private`` stay, and no callback is called.  Everything that may be refused
comes before that, while packets still take the old way; the edit itself is a
few assignments that cannot fail.

Nothing is lost, doubled or reordered because every packet is somewhere when
that happens, and keeps its place:

* *handed over already*, in a call that has not returned.  Whoever has it goes
  on; an insertion is behind it.  A bypass waits until that call is over, for
  it takes away the hooks by which its node would pass the packet on;
* *waiting in the work list* for a hook.  What was sent out of an outer hook
  waits there on and goes the new way, before all that is sent later: through
  the node that was put in, past the one that was taken out.  What the latter
  had sent itself goes before that (`Graph.bypass`);
* *inside the node* that is taken out.  It is asked to send that on first
  (`ngksock.interfaces.INode`, ``rcvbypass``), or the bypass is refused;
* *gone past the graph*, by a route (`ngksock.netgraph.route`).  The route ends
  first, and whoever sends asks again for one when the edit is done.
"""

from __future__ import annotations

from errno import EINVAL, ENOENT, ENOTCONN, ENXIO
from functools import partial
from typing import TYPE_CHECKING, Final

from ngksock.netgraph.edges import ask, newhooks
from ngksock.netgraph.message import CONTROL_COOKIE, Message

if TYPE_CHECKING:
    from ngksock.netgraph.graph import Graph
    from ngksock.netgraph.hook import Hook
    from ngksock.netgraph.node import Node
    from ngksock.netgraph.worklist import Worklist

__all__ = ["BYPASS", "INSERT", "bypass", "hook_of", "insert", "must_wait"]

INSERT: Final = 6
BYPASS: Final = 7
"""Numbers of the two messages, under the control cookie."""


def insert(graph: Graph, at: Hook, kind: str, into: str, out: str, name: str = "") -> Node:
    """
    Put a new node of type *kind* into the link at the hook *at*.

    *at* is linked to its hook *into*, and what *at* was linked to, to its hook
    *out*.  It alone has callbacks: ``newhook`` for both, then ``connect`` for
    both, in this order, while packets still pass it by.  Packets that wait in
    the work list for either outer hook go through it, before all later ones.

    Args:
        graph: The graph.
        at: A hook of any node.
        kind: The name of a type.
        into: The name of its hook that faces *at*.
        out: Of the one that faces the old peer.
        name: A name for the new node; "": none.

    Returns:
        The new node.

    Raises:
        OSError: ENOENT, no such type; EADDRINUSE, another node has that name;
            EINVAL, a name is not legal, or the type has no such hook; EEXIST,
            both hooks have one name; ENOTCONN, *at* is not linked yet, or not
            to the same hook any more; ENXIO, a node is ending; or what the new
            node said.  The link is then as it was, and the new node is gone.
    """
    far = at.peer
    _check_linked(at)
    graph.work.enter()
    try:
        new = graph.make(graph.type(kind))
        ends: list[Hook] = []
        try:
            if name:
                graph.rename(new, name)
            ends = newhooks(graph, (new, into), (new, out))
            one, other = ends
            one.peer, other.peer = at, far
            for hook in ends:
                ask(graph, new, partial(new.connect, hook))
            _check_still(new, ends)
            _check_linked(at)
            if at.peer is not far:
                raise OSError(ENOTCONN, f'hook "{at.name}" of node {at.node!r} was linked anew')
        except BaseException:  # Ctrl-C is no OSError, and undone as well
            for hook in ends:
                hook.peer = hook  # its end is not that of the outer ones
            graph.rmnode(new)
            raise
        flow = graph.flow
        sinks = dict.fromkeys([*flow.cut((at, far)), *flow.near((new,))])
        for hook, peer in ((at, one), (far, other), (one, at), (other, far)):
            hook.link(peer)
        flow.renew(sinks)
    finally:
        graph.work.leave()
    return new


def bypass(graph: Graph, node: Node, into: str, out: str) -> None:
    """
    Take *node* out: join the peers of its hooks *into* and *out*, which go.

    *node* alone is told, by ``disconnect`` for each of them, and ends if that
    is what its type does without hooks.  What it holds back it sends on first,
    and what waits in the work list arrives in order: what *node* had sent,
    then what had been sent to it, then all that is sent from now on.

    Raises:
        OSError: ENOENT, it has no such hook; EINVAL, they are the same, or
            face each other; ENOTCONN, one is not linked yet; ENXIO, the node
            beyond is ending; what its ``rcvbypass`` said, as EBUSY.  Nothing has
            changed then.
    """
    one, other = hook_of(node, into), hook_of(node, out)
    if one is other:
        raise OSError(EINVAL, f'"{into}" is one hook; a bypass needs two, to join their peers')
    if one.peer is other:
        raise OSError(
            EINVAL,
            f'hooks "{into}" and "{out}" of node {node!r} face each other:'
            " there is nobody to join; rmhook removes them",
        )
    _check_linked(one)
    _check_linked(other)
    graph.work.enter()
    try:
        ask(graph, node, partial(node.rcvbypass, one, other))
        if node.hooks.get(into) is not one or node.hooks.get(out) is not other:
            raise OSError(ENOTCONN, f"node {node!r} lost a hook as it sent on what it held")
        _check_linked(one)
        _check_linked(other)
        graph.bypass(one, other)
    finally:
        graph.work.leave()


def must_wait(work: Worklist, message: Message) -> bool:
    """Whether *message* takes a node out, and packets are under way that it may be passing on."""
    return message.cookie == CONTROL_COOKIE and message.cmd == BYPASS and work.carrying


def hook_of(node: Node, name: str) -> Hook:
    """
    Return the hook of that name.

    Raises:
        OSError: ENOENT, there is none.
    """
    hook = node.hooks.get(name)
    if hook is None:
        names = ", ".join(node.hooks) or "none"
        raise OSError(ENOENT, f'node {node!r} has no hook "{name}"; it has {names}')
    return hook


def _check_linked(hook: Hook) -> None:
    if not hook.valid:
        raise OSError(ENOTCONN, f'hook "{hook.name}" of node {hook.node!r} is not linked')
    for end in (hook, hook.peer):
        if not end.node.valid:
            raise OSError(ENXIO, f"node {end.node!r} is being destroyed")


def _check_still(new: Node, ends: list[Hook]) -> None:
    """Raise unless *new* still lives and has the hooks it was given."""
    if not new.valid:
        raise OSError(ENXIO, f"node {new!r} ended at once")
    for hook in ends:
        if new.hooks.get(hook.name) is not hook:
            raise OSError(ENXIO, f"node {new!r} removed the new hook at once")
