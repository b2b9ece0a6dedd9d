"""A graph of dictionaries: what the daemon's must be like after the same calls."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from errno import EADDRINUSE, EEXIST, EINVAL, ENOENT

KINDS = ("hub", "hole", "echo", "socket", "no_such_type")


class Refused(Exception):  # noqa: N818 -- it is an answer, not an error
    """The call fails with ``code``."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass(eq=False)
class Node:
    """A node: its hooks by name, the oldest first, each with the far node and hook."""

    kind: str
    number: int = 0
    name: str = ""
    persistent: bool = False
    hooks: dict[str, tuple[Node, str]] = field(default_factory=dict)


def check_hook(name: str) -> None:
    if not name or "." in name or ":" in name:
        raise Refused(EINVAL)


class Model:
    """All nodes, by their id."""

    def __init__(self) -> None:
        self.nodes: dict[int, Node] = {}

    def add(self, kind: str, number: int) -> Node:
        """Add a node that the daemon has made."""
        node = self.nodes[number] = Node(kind, number)
        return node

    def find(self, node: str, hooks: list[str], here: Node) -> Node:
        """Return the node of an address."""
        found: Node | None = here
        if node:
            match = re.fullmatch(r"\[([0-9a-f]+)\]", node)
            if match and int(match[1], 16):
                found = self.nodes.get(int(match[1], 16))
            else:
                found = self.named(node)
        if found is None:
            raise Refused(ENOENT)
        for hook in hooks:
            if hook not in found.hooks:
                raise Refused(ENOENT)
            found = found.hooks[hook][0]
        return found

    def named(self, name: str) -> Node | None:
        """Return the node of that name."""
        return next((node for node in self.nodes.values() if node.name == name), None)

    def rename(self, node: Node, name: str) -> None:
        """As the message ``name``."""
        if name == node.name:
            return
        if not name or "." in name or ":" in name or re.fullmatch(r"\[[0-9a-f]*[1-9a-f]\]", name):
            raise Refused(EINVAL)
        if self.named(name):
            raise Refused(EADDRINUSE)
        node.name = name

    def may_mkpeer(self, node: Node, kind: str, ourhook: str, peerhook: str) -> None:
        """As ``mkpeer``, but for the node it makes."""
        if kind == "no_such_type":
            raise Refused(ENOENT)
        if kind == "socket":
            raise Refused(EINVAL)
        check_hook(ourhook)
        if ourhook in node.hooks:
            raise Refused(EEXIST)
        check_hook(peerhook)

    def connect(self, node: Node, ourhook: str, far: Node, peerhook: str) -> None:
        """As the message ``connect``."""
        check_hook(peerhook)
        if peerhook in far.hooks or (node is far and ourhook == peerhook):
            raise Refused(EEXIST)
        check_hook(ourhook)
        if ourhook in node.hooks:
            raise Refused(EEXIST)
        self.join(node, ourhook, far, peerhook)

    def join(self, node: Node, ourhook: str, far: Node, peerhook: str) -> None:
        """Link two hooks that are free."""
        node.hooks[ourhook] = far, peerhook
        far.hooks[peerhook] = node, ourhook

    def rmhook(self, node: Node, name: str) -> None:
        """As ``rmhook``; nodes that live by their hooks end with the last."""
        if name not in node.hooks:
            return
        far, peer = node.hooks.pop(name)
        far.hooks.pop(peer, None)
        for end in (far, node):
            if not end.hooks and not end.persistent and end.kind != "socket":
                self.nodes.pop(end.number, None)

    def shutdown(self, node: Node) -> None:
        """As ``shutdown``."""
        self.nodes.pop(node.number, None)
        for name in list(node.hooks):
            self.rmhook(node, name)
        self.nodes.pop(node.number, None)

    def receivers(self, node: Node, hook: str) -> list[tuple[Node, str]] | None:
        """Return where a packet sent out of *hook* arrives; None: it may go round."""
        far, peer = node.hooks[hook]
        if far.kind == "socket":
            return [(far, peer)]
        if far.kind == "hole":
            return []
        if far.kind == "echo":
            return [(node, hook)] if node.kind == "socket" else None
        found = []
        for name, (beyond, arrival) in far.hooks.items():
            if name != peer:
                if beyond.kind == "socket":
                    found.append((beyond, arrival))
                elif beyond.kind != "hole":
                    return None
        return found
