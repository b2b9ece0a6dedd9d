"""``save``: commands that make the running graph again.

Theory of operation.  A component of the graph is made from a root outwards.  A
tee is the scaffold: the root is made at its left, the node of the root's first
link at its right, and when it is shut down it joins the two.  So no node needs
a hook that it does not have in the running graph.  Each node further out is
made by mkpeer, over the first link that reaches it, and links between nodes
that are there already by connect.  Only then is everything configured, the ends
of the graph first: a listener starts when its socket is bound.

The order depends on that of the nodes and of the hooks of each, and on nothing
else; and the commands make nodes and hooks in that very order: so what is saved
of the graph they make is the same text.

Programs' socket nodes are left out, and connections that were accepted, with the
nodes that end without them: no command makes those.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from errno import EINVAL, ENOENT, ENXIO
from typing import Final, NamedTuple

from ngksock.client.port import ClientPort
from ngksock.netgraph.generic import READS, LinkInfo, NodeInfo
from ngksock.netgraph.layout import STRING, Prefixed
from ngksock.netgraph.message import CONTROL_COOKIE
from ngksock.netgraph.ngctl import split

__all__ = ["saved"]

SOCKET: Final = "socket"
CONFIG: Final = 3 | READS
START: Final = "start"
"""The message, of any type, before which all its neighbours must be ready."""
ACCEPTED: Final = "# accepted"
"""What the configuration of a connection begins with that no command makes."""
PERSISTENT: Final = "setpersistent"
"""The message, of any type, by which a node lives without hooks."""
HEADING: Final = "# Made by ngkctl save."


class Saved(NamedTuple):
    """A node as it is to be made again, its oldest link first."""

    info: NodeInfo
    links: list[LinkInfo]
    config: list[str]
    hooks: list[str]
    accepted: bool

    @property
    def shown(self) -> str:
        """Its path, for people."""
        return f"{self.info.name}:" if self.info.name else f"[{self.info.id:x}]:"


def saved(port: ClientPort) -> str:
    """
    Return the graph behind *port* as the text of a command file.

    Raises:
        OSError: EINVAL, a name cannot be written in a file.
    """
    nodes = _read(port)
    comments = _prune(nodes)
    for node in nodes.values():
        if not node.links:
            with suppress(OSError):  # it has ended meanwhile
                node.hooks.extend(port.describe(f"[{node.info.id:x}]:").hooks)
    made = _Commands(nodes)
    for node in nodes.values():
        if node.info.id not in made.paths:
            made.component(node)
    remarks = [f"# {text}".replace("\n", "?") for text in comments]  # as no name may end one
    return "".join(f"{line}\n" for line in [HEADING, *remarks, *made.lines])


def _read(port: ClientPort) -> dict[int, Saved]:
    """Return what nodes there are, by id."""
    nodes = {}
    for info in port.nodes():
        path = f"[{info.id:x}]:"
        if info.type == SOCKET:
            continue
        try:
            links = list(reversed(port.hooklist(path).linkinfo))
            config = port.ask(path, CONFIG, Prefixed(STRING), CONTROL_COOKIE)
            accepted = config[:1] == [ACCEPTED]
        except OSError as error:
            if error.errno not in (ENOENT, ENXIO):
                raise
            continue  # it has ended since it was listed
        nodes[info.id] = Saved(info, links, config, [], accepted)
    return nodes


def _prune(nodes: dict[int, Saved]) -> list[str]:
    """Take out of *nodes* what no command can make; return comments that say so."""
    comments = []
    while gone := [node for node in nodes.values() if node.accepted or not _kept(node, nodes)]:
        for node in gone:
            comments.append(f"left out: {node.shown} ({node.info.type}), {_reason(node)}")
            del nodes[node.info.id]
    for node in nodes.values():
        for link in node.links[:]:
            if link.nodeinfo.id not in nodes:
                node.links.remove(link)
                if link.nodeinfo.type == SOCKET:
                    comments.append(f"left out: a program at {node.shown}{link.ourhook}")
    return comments


def _kept(node: Saved, nodes: dict[int, Saved]) -> bool:
    """Say whether *node* would live without the links that are left out."""
    left = any(link.nodeinfo.id in nodes for link in node.links)
    lasting = any(line.split()[2:3] == [PERSISTENT] for line in node.config)
    return left or lasting or not node.links


def _reason(node: Saved) -> str:
    if node.accepted:
        return "an accepted connection"
    held = any(link.nodeinfo.type == SOCKET for link in node.links)
    return "which a program alone holds" if held else "what hangs on one"


class _Commands:
    """
    The commands, as they are found.

    ``paths`` has for each node, by id, how the commands reach it.
    """

    def __init__(self, nodes: dict[int, Saved]) -> None:
        self.nodes = nodes
        self.lines: list[str] = []
        self.paths: dict[int, str] = {}
        self._linked: set[tuple[int, str]] = set()
        self._hops: dict[int, list[tuple[str, int]]] = {}

    def component(self, first: Saved) -> None:
        """Add the commands for the component of the graph that *first* is in."""
        members = self._members(first)
        root = next((node for node in members if node.info.name), members[0])
        self.lines.append("")
        if not root.links:
            self._alone(root)
            return
        link = next((x for x in root.links if x.nodeinfo.id != root.info.id), None)
        peer = self.nodes[link.nodeinfo.id] if link is not None else None
        self.add("mkpeer", "tee", "boot", "left2right")
        if link is None or peer is None:  # it is linked to itself alone
            link = root.links[0]
            self.add("mkpeer", "boot", root.info.type, "left", link.ourhook)
            self._name(root, "boot.left")
            self.add("connect", "boot", "left", "right", link.peerhook)
            joined = bool(root.info.name)
        else:
            self.add("mkpeer", "boot", root.info.type, "left", link.ourhook)
            self._name(root, "boot.left")
            self.add("mkpeer", "boot", peer.info.type, "right", link.peerhook)
            self._name(peer, "boot.right")
            joined = bool(root.info.name or peer.info.name)
        self._linked |= {(root.info.id, link.ourhook), (link.nodeinfo.id, link.peerhook)}
        self._join(root.info.id, link, ("", "") if joined else (".right", ".left"))
        if joined:
            self.add("shutdown", "boot")
            self._reach(root, link)
        todo = deque([root] if peer is None else [root, peer])
        order = list(todo)
        while todo:
            found = self._spread(todo.popleft())
            todo += found
            order += found
        self._configure(order)
        if not joined:
            self.add("shutdown", "boot")

    def _reach(self, root: Saved, link: LinkInfo) -> None:
        """Change the paths that led by the scaffold, which is gone."""
        far = link.nodeinfo
        if far.id == root.info.id:
            return
        if not far.name:
            self.paths[far.id] = _beyond(self.paths[root.info.id], link.ourhook)
        elif not root.info.name:
            self.paths[root.info.id] = _beyond(self.paths[far.id], link.peerhook)

    def _members(self, first: Saved) -> list[Saved]:
        """Return the nodes of a component, by ascending id."""
        seen, todo = {first.info.id}, [first]
        while todo:
            for link in todo.pop().links:
                if link.nodeinfo.id not in seen:
                    seen.add(link.nodeinfo.id)
                    todo.append(self.nodes[link.nodeinfo.id])
        return [self.nodes[number] for number in sorted(seen)]

    def _spread(self, node: Saved) -> list[Saved]:
        """Make the links of *node* that are not there yet; return the nodes made with them."""
        found = []
        for link in node.links:
            here, there = (node.info.id, link.ourhook), (link.nodeinfo.id, link.peerhook)
            if here in self._linked:
                continue
            self._linked |= {here, there}
            path, peer = self.paths[node.info.id], self.nodes[link.nodeinfo.id]
            if peer.info.id in self.paths:
                far = self.paths[peer.info.id]
                if ":" not in far:  # it leads from the file's own node
                    far = self._route(node.info.id, peer.info.id)
                self.add("connect", path, far, link.ourhook, link.peerhook)
                self._join(node.info.id, link)
                continue
            self.add("mkpeer", path, peer.info.type, link.ourhook, link.peerhook)
            self._name(peer, _beyond(path, link.ourhook))
            self._join(node.info.id, link)
            found.append(peer)
        return found

    def _join(self, number: int, link: LinkInfo, by: tuple[str, str] = ("", "")) -> None:
        """Note that a link is there, with what of the scaffold is between its ends."""
        far = link.nodeinfo.id
        self._hops.setdefault(number, []).append((link.ourhook + by[0], far))
        self._hops.setdefault(far, []).append((link.peerhook + by[1], number))

    def _route(self, start: int, end: int) -> str:
        """Return a path from one node to another over the links that are there."""
        paths = {start: "."}
        todo = deque([start])
        while end not in paths:
            here = todo.popleft()
            for hook, there in self._hops[here]:
                if there not in paths:
                    paths[there] = f"{paths[here]}{hook}."
                    todo.append(there)
        return paths[end] if start == end else paths[end].strip(".")

    def _alone(self, node: Saved) -> None:
        """Make a node that lives without hooks."""
        hook = node.hooks[0] if node.hooks else "boot"
        self.add("mkpeer", node.info.type, "boot", hook)
        self._name(node, "boot")
        self._configure([node])
        self.add("rmhook", "boot")

    def _configure(self, nodes: Sequence[Saved]) -> None:
        """Configure nodes: the ends first, what is nearest to the root last."""
        last: list[str] = []
        for node in sorted(reversed(nodes), key=lambda node: len(node.links) > 1):
            path = _word(self.paths[node.info.id])
            for line in node.config:
                words = split(line)
                if len(words) > 1 and words[1] == ".":
                    at = words[1].start
                    line = f"{line[:at]}{path}{line[at + 1 :]}"
                (last if words[2:3] == [START] else self.lines).append(line)
        self.lines += last

    def _name(self, node: Saved, path: str) -> None:
        """Name the node that was made at *path*, if it has a name."""
        self.paths[node.info.id] = f"{node.info.name}:" if node.info.name else path
        if node.info.name:
            self.add("name", path, node.info.name)

    def add(self, *words: str) -> None:
        """Add a command."""
        self.lines.append(" ".join(map(_word, words)))


def _beyond(path: str, hook: str) -> str:
    return f"{path}{hook}" if path.endswith(":") else f"{path}.{hook}"


def _word(text: str) -> str:
    """Write *text* as one word of a line."""
    for written in (text, f'"{text}"'):
        words = split(written)
        if len(words) == 1 and words[0].unquoted() == text and "\n" not in text:
            return written
    raise OSError(EINVAL, f"{text!r} cannot be written in a command file")
