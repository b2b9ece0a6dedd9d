"""The graph: nodes, their ids and names, and how messages reach them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from errno import EADDRINUSE, EINVAL, ENETDOWN, ENOENT, ENXIO
from functools import partial
from typing import Any, Final

from ngksock._inetgraph import INodeType
from ngksock.netgraph.bug import as_bug
from ngksock.netgraph.controlforms import Origin
from ngksock.netgraph.flow import Flow
from ngksock.netgraph.generic import PASSED, SHARED_ROWS
from ngksock.netgraph.hook import Hook
from ngksock.netgraph.live import must_wait
from ngksock.netgraph.message import CONTROL_COOKIE, RESPONSE, Item, Message
from ngksock.netgraph.node import Node, bare_node
from ngksock.netgraph.path import Path, check_node_name, decode_id
from ngksock.netgraph.worklist import DEPTH, Worklist

__all__ = ["Graph"]

_ID_END: Final = 1 << 32


class Graph:
    """
    A graph of nodes; a process may have several.

    Everything foreign is an argument: nothing here knows of Twisted, of
    sockets or of the time.

    Args:
        find_type: Returns the type of that name; raises OSError(ENOENT).
        soon: Arranges for a callable to be called in a later turn of the
            reactor.
        clock: Returns the time in seconds, never going back.
        report: Takes a sentence for the operator and, where a node's code
            failed, the exception.
        checking: True in a dry run: nodes open nothing.
        available: Returns the names of the types that could be found.
        reactor: Opaque here; nodes that open sockets or wait for a time take
            it from here.
        origins: Returns where all types come from.

    ``shared`` is where node types keep what all their nodes of this graph share.
    ``newborn``, while it is a list, gets the nodes that `make` makes.  ``closing``
    is true once nothing new is to begin.
    """

    def __init__(
        self,
        find_type: Callable[[str], INodeType],
        soon: Callable[[Callable[[], None]], object],
        clock: Callable[[], float],
        report: Callable[[str, Exception | None], None],
        checking: bool = False,
        available: Callable[[], list[str]] = list,
        reactor: Any = None,
        origins: Callable[[], list[Origin]] = list,
    ) -> None:
        self.soon = soon
        self.clock = clock
        self.report = report
        self.checking = checking
        self.available = available
        self.reactor = reactor
        self.origins = origins
        self.shared: dict[str, Any] = {}
        self.newborn: list[Node] | None = None
        self.closing = False
        self.work = Worklist(soon)
        self.flow = Flow(self.bug)
        self.nodes: dict[int, Node] = {}
        self.names: dict[str, Node] = {}
        self.types: dict[str, INodeType] = {}
        self.living: dict[str, int] = {}
        self.bugs: dict[tuple[int, str], int] = {}
        self._faulty: dict[int, list[tuple[int, str]]] = {}  # of each node, its keys in `bugs`
        self._find_type = find_type
        self._last_id = 0
        self._queued: dict[int, int] = {}  # node id: how many messages wait for it

    def __iter__(self) -> Iterator[Node]:
        """Iterate over the nodes by ascending id."""
        return iter(sorted(self.nodes.values(), key=lambda node: node.id))

    def bug(self, node: Node, error: BaseException) -> None:
        """Report an exception that the code of *node* should not have raised, once a kind."""
        # Not its own repr: that may be what is broken.
        self._report_once(node.id, f"node {Node.__repr__(node)}", node.type, error)

    def _report_once(self, number: int, what: str, kind: INodeType, error: BaseException) -> None:
        key = (number, f"{'' if number else kind.name + ' '}{type(error).__name__}")
        bug = as_bug(error)
        self.bugs[key] = count = self.bugs.get(key, 0) + 1
        if count == 1:
            self._faulty.setdefault(number, []).append(key)
            if number and number not in self.nodes:  # it failed while, or after, it ended
                self.work.call(partial(self._forgive, number))
            place = getattr(kind, "place", "")
            origin = f" (the type is of {place})" if place else ""
            self.report(f"{kind.name} {what} failed{origin}", bug)

    def _forgive(self, number: int) -> None:
        """Forget what was reported of a node that is gone."""
        for key in self._faulty.pop(number, ()):
            del self.bugs[key]

    # -- types and nodes

    def type(self, name: str) -> INodeType:
        """
        Return the type of that name, loading it on first use.

        Raises:
            OSError: ENOENT, there is none.
        """
        found = self.types.get(name)
        if found is None:
            found = self.types[name] = self._find_type(name)
        return found

    def look(self, name: str) -> INodeType:
        """Return the type of that name, as `type` does, but do not count it as used."""
        return self.types.get(name) or self._find_type(name)

    def make(self, kind: INodeType) -> Node:
        """
        Make a node of type *kind*, without hooks and without a name.

        Raises:
            OSError: The constructor's own.
        """
        try:
            made = kind.constructor()
            node = bare_node(made)
            if node is made and isinstance(getattr(node, "graph", None), Graph):
                raise ValueError("the constructor returned a node that is in a graph already")
        except OSError:
            raise
        except BaseException as error:
            self._report_once(0, "constructor", kind, error)
            raise OSError(
                EINVAL, f"the constructor of type {kind.name} failed; the log says where"
            ) from error
        self.add(kind, node)
        if self.newborn is not None:
            self.newborn.append(node)
        return node

    def add(self, kind: INodeType, node: Node) -> None:
        """Bring *node*, which the caller made, into the graph."""
        self.types.setdefault(kind.name, kind)
        node.type = kind
        node.graph = self
        node.id = self._new_id()
        self.nodes[node.id] = node
        self.living[kind.name] = self.living.get(kind.name, 0) + 1

    def _new_id(self) -> int:
        number = self._last_id
        while True:
            number = number + 1 if number + 1 < _ID_END else 1
            if number not in self.nodes:
                self._last_id = number
                return number

    def rename(self, node: Node, name: str) -> None:
        """
        Give *node* a name, or another one.

        Raises:
            OSError: EINVAL, not a legal name; EADDRINUSE, another node has it;
                ENXIO, *node* is being destroyed.
        """
        if name == node.name:
            return
        check_node_name(name)
        if not node.valid:
            raise OSError(ENXIO, f"node {node!r} is being destroyed")
        if name in self.names:
            raise OSError(EADDRINUSE, f'another node has the name "{name}"')
        self.names.pop(node.name, None)
        node.name = name
        self.names[name] = node

    # -- addressing

    def find(self, text: str, here: Node | None) -> tuple[Node, Hook | None]:
        """
        Resolve an address (netgraph.md §4.2).

        Args:
            text: The address.
            here: The local node, for relative addresses.

        Returns:
            The node, and its hook by which the path arrived, or None.

        Raises:
            OSError: EINVAL, malformed; ENOENT, no such node or hook; ENXIO,
                the node is being destroyed.
        """
        path = Path.parse(text)
        node = here
        if path.node is not None:
            number = decode_id(path.node)
            node = self.names.get(path.node) if number is None else self.nodes.get(number)
            if node is None:
                raise OSError(ENOENT, f'there is no node "{path.node}:"')
        if node is None:
            raise OSError(EINVAL, f'path "{text}" is relative, and there is no local node')
        arrival: Hook | None = None
        for name in path.hooks:
            hook = node.hooks.get(name)
            if hook is None or not hook.valid:
                raise OSError(ENOENT, f'node {node!r} has no hook "{name}"')
            arrival = hook.peer
            node = arrival.node
            if not node.valid:
                raise OSError(ENXIO, f"node {node!r} is being destroyed")
        return node, arrival

    # -- messages

    def send(self, source: Node, text: str, message: Message) -> None:
        """
        Send *message* to the address *text*, resolved at *source*.

        The message is applied, and what the target replied at once has been
        delivered to *source*, when this returns (unless it is called from
        within another call: then the replies follow when that ends).

        Raises:
            OSError: The address's errors; the target's; that of the delivery
                of its reply.
        """
        node, arrival = self.find(text, source)
        self.deliver(node, Item(message, source.id), arrival)

    def send_hook(self, hook: Hook, message: Message) -> None:
        """
        Send *message* to the node beyond *hook*, from the node that owns it.

        Raises:
            OSError: ENETDOWN, the link is going; the target's.
        """
        if not hook.valid or not hook.peer.node.valid:
            raise OSError(ENETDOWN, f"hook {hook.name} is not connected")
        self.deliver(hook.peer.node, Item(message, hook.node.id), hook.peer)

    def deliver(self, node: Node, item: Item, arrival: Hook | None = None) -> None:
        """
        Deliver *item* to *node*.

        While the node is busy, or has messages waiting, it waits behind them
        until the outermost call returns; the sender sees success then.

        Raises:
            OSError: What the node answered; EINVAL, its code failed, or it is
                being destroyed; ENOBUFS, too many messages wait.
        """
        if not node.valid:
            raise OSError(EINVAL, f"node {node!r} is being destroyed")
        if (
            self.work.depth >= DEPTH
            or node.busy
            or node.id in self._queued
            or (item.message.cookie == CONTROL_COOKIE and must_wait(self.work, item.message))
        ):
            self.work.check_room()
            self._queue(node, item, arrival)
            if item.error is not None:  # no call was under way, so it is over already
                raise item.error
        else:
            self._deliver(node, item, arrival)

    def _deliver(self, node: Node, item: Item, arrival: Hook | None) -> None:
        work = self.work
        work.enter()
        node.busy += 1
        item.target = node
        try:
            self._dispatch(node, item, arrival)
        except OSError:
            if not item.replied:  # of an error and a reply the reply counts (§3.4)
                raise
        except BaseException as error:
            self.bug(node, error)
            if not item.replied:
                raise OSError(EINVAL, f"node {node!r} failed; the log says where") from error
        finally:
            node.busy -= 1
            work.leave()
        if item.error is not None:
            raise item.error

    def _queue(self, node: Node, item: Item, arrival: Hook | None) -> None:
        self._queued[node.id] = self._queued.get(node.id, 0) + 1
        self.work.call(lambda: self._deliver_late(node, item, arrival))

    def _deliver_late(self, node: Node, item: Item, arrival: Hook | None) -> None:
        self._queued[node.id] -= 1
        if not self._queued[node.id]:
            del self._queued[node.id]
        if arrival is not None and not arrival.valid:
            arrival = None
        try:
            if not node.valid:
                raise OSError(EINVAL, "the node is gone, and the message with it")
            self._deliver(node, item, arrival)
        except OSError as error:
            item.error = error
            if item.cause is not None:
                item.cause.error = error

    def _dispatch(self, node: Node, item: Item, arrival: Hook | None) -> None:
        message = item.message
        shared = SHARED_ROWS.get(message.cookie)
        if shared is None or message.flags & RESPONSE:
            node.rcvmsg(item, arrival)
            return
        row = shared.rows.find(message.cookie, message.cmd)
        if row is None:
            raise OSError(EINVAL, f"no generic message has the number {message.cmd:#x}")
        if row.name in PASSED:
            node.rcvmsg(item, arrival)
        else:
            row.call(shared, item, self.reply, node)

    def reply(self, item: Item, data: bytes, cmdstr: str = "", source: int | None = None) -> None:
        """
        Answer *item* with *data*; the response is queued to its sender (§3.4).

        Args:
            item: The request.
            data: The response's arguments, in binary form.
            cmdstr: A name for its header, if not the request's.
            source: The id it comes from, if not the node that was asked.
        """
        item.replied = True
        message = item.message.response(data, cmdstr)
        answer = Item(message, item.target.id if source is None else source, item)
        requester = self.nodes.get(item.source)
        if requester is None:
            item.error = OSError(EINVAL, "the requester is gone, and the reply with it")
        else:
            self._queue(requester, answer, None)

    # -- the end of a node

    def rmnode(self, node: Node) -> None:
        """Destroy *node* now (netgraph.md §5.6); once is enough."""
        if node.closing:
            return
        if node.valid:
            self._invalidate(node)
        node.closing = True
        self.work.enter()
        try:
            self._guard(node, node.close)
            while node.hooks:  # a pass over all at once: to find the newest takes long in a dict
                for hook in reversed(list(node.hooks.values())):
                    self.rmhook(hook)
            stay = self._guard(node, node.shutdown)
            if stay is True:
                self._revive(node)
                return
            self.living[node.type.name] -= 1
            watchers, node.watchers = node.watchers, ()
            for ended in watchers:
                self._guard(node, ended, node)
            if node.id in self._faulty:
                self.work.call(partial(self._forgive, node.id))  # it may be failing just now
        finally:
            self.work.leave()

    def rmnode_self(self, node: Node) -> None:
        """Let *node* end once the call under way has returned; it is invalid at once."""
        if node.valid:
            self._invalidate(node)
            self.work.call(lambda: self.rmnode(node))

    def _invalidate(self, node: Node) -> None:
        node.valid = False
        for hook in node.hooks.values():
            if hook.valid:
                hook.peer.refuse()  # no packet reaches it any more (§5.9)
        self.nodes.pop(node.id, None)
        if node.name and self.names.get(node.name) is node:
            del self.names[node.name]

    def _revive(self, node: Node) -> None:
        node.valid, node.closing = True, False
        self.nodes[node.id] = node
        if node.name:
            if node.name in self.names:
                node.name = ""
            else:
                self.names[node.name] = node

    def _guard(self, node: Node, method: Callable[..., Any], *args: object) -> Any:
        """Call a method of *node* that cannot refuse."""
        try:
            return method(*args)
        except BaseException as error:
            self.bug(node, error)
            return None

    def close(self) -> None:
        """Destroy every node, the youngest first; no room that this makes is taken."""
        self.closing = True
        for node in reversed(list(self)):
            self.rmnode(node)

    # -- links

    def rmhook(self, hook: Hook) -> None:
        """Remove *hook* and its peer; the peer's node learns of it first (§5.5)."""
        if hook.node.hooks.get(hook.name) is not hook:
            return
        peer = hook.peer
        # While an insertion asks its node, the peers of its hooks are not theirs alone yet.
        ends = [hook] if peer is hook or peer.peer is not hook else [peer, hook]
        self.work.enter()
        try:
            sinks = self.flow.cut(ends)
            for end in ends:
                end.unlink()
            for end in ends:
                self._drop(end)
            self.flow.renew(sinks)
        finally:
            self.work.leave()

    def _drop(self, hook: Hook) -> None:
        """Take an unlinked hook from its node, unless a callback did so already."""
        hooks = hook.node.hooks
        if hooks.get(hook.name) is hook:
            del hooks[hook.name]
            self._guard(hook.node, hook.node.disconnect, hook)

    def bypass(self, one: Hook, other: Hook) -> None:
        """
        Join the peers of two hooks of one node, and remove those hooks (§5.8).

        The outer nodes keep their hooks, are told nothing, and lose no packet
        that waits.  Hooks that face each other, or are not linked (yet), just go.
        """
        left, right = one.peer, other.peer
        if left is other or not (one.valid and other.valid):
            self.rmhook(one)
            self.rmhook(other)
            return
        self.work.enter()
        try:
            sinks = self.flow.cut([one, other, left, right])
            self.work.move(one, right)
            self.work.move(other, left)
            for hook in (one, other):
                hook.unlink()
            left.link(right)
            right.link(left)
            for hook in (one, other):
                self._drop(hook)
            self.flow.renew(sinks)
        finally:
            self.work.leave()
