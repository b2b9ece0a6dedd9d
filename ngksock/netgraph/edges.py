"""Making links: mkpeer and connect, with the order of callbacks of netgraph.md §5.2, §5.3."""

from __future__ import annotations

from collections.abc import Callable
from errno import EEXIST, EINVAL, ENXIO
from functools import partial
from typing import TYPE_CHECKING

from ngksock.netgraph.hook import Hook
from ngksock.netgraph.path import check_hook_name

if TYPE_CHECKING:
    from ngksock.netgraph.graph import Graph
    from ngksock.netgraph.node import Node

__all__ = ["connect", "mkpeer"]


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
    new = graph.make(graph.type(kind))
    graph.work.enter()
    sinks = graph.flow.near((node,))
    try:
        ends = _newhooks(graph, (node, ourhook), (new, peerhook))
        _join(graph, ends, callbacks=ends)
    except OSError:
        graph.rmnode(new)
        raise
    finally:
        graph.flow.renew(sinks)
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
    sinks = graph.flow.near((node, far))
    try:
        ends = _newhooks(graph, (node, ourhook), (far, peerhook))
        _join(graph, ends, callbacks=ends[::-1])
    finally:
        graph.flow.renew(sinks)
        graph.work.leave()


def _check_free(node: Node, name: str) -> None:
    if name in node.hooks:
        raise OSError(EEXIST, f'node {node!r} has a hook "{name}" already')


def _newhooks(graph: Graph, *wanted: tuple[Node, str]) -> list[Hook]:
    """Bring hooks into being on their nodes; on a refusal take back those before."""
    made: list[Hook] = []
    try:
        for node, name in wanted:
            check_hook_name(name)
            _check_free(node, name)
            hook = Hook(node, name)
            _ask(graph, node, partial(node.newhook, hook, name))
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
            _ask(graph, hook.node, partial(hook.node.connect, hook))
    except OSError:
        graph.rmhook(one)
        raise
    if one.node.hooks.get(one.name) is one and other.node.hooks.get(other.name) is other:
        one.link(other)
        other.link(one)
    else:
        raise OSError(ENXIO, "a node removed the new hook at once")


def _ask(graph: Graph, node: Node, callback: Callable[[], None]) -> None:
    """Call a callback that may refuse; its bugs refuse too."""
    try:
        callback()
    except OSError:
        raise
    except Exception as error:
        graph.bug(node, error)
        raise OSError(EINVAL, f"node {node!r} failed; the log says where") from error
