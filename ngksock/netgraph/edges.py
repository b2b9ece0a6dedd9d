"""Making links: mkpeer and connect, with the order of callbacks of netgraph.md §5.2, §5.3."""

from __future__ import annotations

from collections.abc import Callable
from errno import EEXIST, EINVAL, ENXIO
from typing import TYPE_CHECKING

from ngksock.netgraph.hook import Hook
from ngksock.netgraph.path import check_hook_name

if TYPE_CHECKING:
    from ngksock.netgraph.graph import Graph
    from ngksock.netgraph.node import Node

__all__ = ["ask", "connect", "mkpeer", "newhooks"]


def mkpeer(graph: Graph, node: Node, kind: str, ourhook: str, peerhook: str) -> Node:
    """
    Make a node of type *kind* and link hook *ourhook* of *node* to its *peerhook*.

    Returns:
        The new node.

    Raises:
        OSError: ENOENT, no such type; EEXIST, *node* has that hook; EINVAL,
            not a hook name; what the constructor or a callback said.  Nothing
            is left behind.
    """
    graph.work.enter()
    try:
        new = graph.make(graph.type(kind))
        try:
            ends = newhooks(graph, (node, ourhook), (new, peerhook))
            _join(graph, ends, callbacks=ends)
        except OSError:
            graph.rmnode(new)
            raise
    finally:
        graph.work.leave()
    return new


def connect(graph: Graph, node: Node, ourhook: str, far: Node, peerhook: str) -> None:
    """
    Link hook *ourhook* of *node* to hook *peerhook* of *far*.

    Raises:
        OSError: EEXIST, either hook exists (the far one is looked at first);
            EINVAL, not a hook name; what a callback said.
    """
    check_hook_name(peerhook)
    _check_free(far, peerhook)
    if node is far and ourhook == peerhook:
        raise OSError(EEXIST, f'node {node!r} cannot have two hooks named "{ourhook}"')
    graph.work.enter()
    try:
        ends = newhooks(graph, (node, ourhook), (far, peerhook))
        _join(graph, ends, callbacks=ends[::-1])
    finally:
        graph.work.leave()


def _check_free(node: Node, name: str) -> None:
    if not node.valid:
        raise OSError(ENXIO, f"node {node!r} is being destroyed")
    if name in node.hooks:
        raise OSError(EEXIST, f'node {node!r} has a hook "{name}" already')


def newhooks(graph: Graph, *wanted: tuple[Node, str]) -> list[Hook]:
    """
    Bring hooks into being on their nodes, linked to nothing yet.

    Raises:
        OSError: EEXIST, a node has that hook; EINVAL, not a hook name; ENXIO, a
            node is ending; what ``newhook`` said.  Those before are taken back.
    """
    made: list[Hook] = []
    try:
        for node, name in wanted:
            check_hook_name(name)
            if name in node.hooks or not node.valid:
                _check_free(node, name)
            hook = Hook(node, name)
            ask(graph, node, node.newhook, hook, name)
            if name in node.hooks or not node.valid:  # the callback may have done anything
                _check_free(node, name)
            node.hooks[name] = hook
            made.append(hook)
    except OSError:
        for hook in made:
            graph.rmhook(hook)
        raise
    return made


def _join(graph: Graph, ends: list[Hook], callbacks: list[Hook]) -> None:
    one, other = ends
    one.peer, other.peer = other, one
    try:
        for hook in callbacks:
            ask(graph, hook.node, hook.node.connect, hook)
    except OSError:
        graph.rmhook(one)
        raise
    for hook in ends:
        if hook.node.hooks.get(hook.name) is not hook:
            raise OSError(ENXIO, f"node {hook.node!r} removed the new hook at once")
        if not hook.node.valid:
            graph.rmhook(hook)
            raise OSError(ENXIO, f"node {hook.node!r} ended at once")
    one.link(other)
    other.link(one)
    if graph.flow:
        graph.flow.renew(graph.flow.near((one.node, other.node)))


def ask(graph: Graph, node: Node, callback: Callable[..., None], *args: object) -> None:
    """Call a *callback* of *node* that may refuse; a bug in it is EINVAL, and reported."""
    try:
        callback(*args)
    except OSError:
        raise
    except BaseException as error:
        graph.bug(node, error)
        raise OSError(EINVAL, f"node {node!r} failed; the log says where") from error
