"""The interface between the graph and a type of node: INode and INodeType."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from ngksock.packet import Batch, Packet

__all__ = ["INode", "INodeType"]


class INode(Interface):
    """
    One node of a graph, in the order of its life.

    Only ``rcvdata`` must be there: the graph supplies the defaults of
    `ngksock.netgraph.Node` for whatever a provider lacks.  The attributes are
    the graph's to set, before any method is called.

    Hooks are `ngksock.netgraph.Hook` objects.  A method refuses by raising
    ``OSError(errno, sentence)``; any other exception is a bug of the node,
    logged with its traceback, and harms nobody else.
    """

    id = Attribute("The node's id, 1 to 2**32 - 1, unique in its graph.")
    name = Attribute('The node\'s name, "" while it has none.')
    type = Attribute("The `INodeType` that made it.")
    hooks = Attribute("dict of name to Hook, oldest first; the graph keeps it.")
    graph = Attribute("The graph it lives in.")

    def newhook(hook: Any, name: str) -> None:
        """
        A hook is about to exist; its peer is not linked yet.

        Args:
            hook: The hook, not yet in ``hooks``.  Its ``private``, ``rcvdata``
                and ``rcvbatch`` may be set now.
            name: Its name, 1 to 31 characters without ``.`` and ``:``.

        Raises:
            OSError: Refused: EINVAL, no such hook in this type; EISCONN, one
                more than it can have.  ``disconnect`` is not called then.

        Source: netgraph.md §5.1, §5.2.
        """

    def connect(hook: Any) -> None:
        """
        Both ends of *hook* exist and are linked; no packet passes yet.

        Raises:
            OSError: Refused: both hooks are removed, ``disconnect`` is called.
        """

    def rcvdata(hook: Any, packet: Packet) -> None:
        """
        A packet arrived on *hook*.

        Args:
            hook: The receiving hook, one of this node's.
            packet: Shared and immutable: pass it on, or make another one with
                ``replace()``.

        Raises:
            OSError: The packet is lost; its sender gets this errno.
        """

    def rcvbatch(hook: Any, batch: Batch) -> None:
        """
        Several packets arrived on *hook*, in order.

        Never raises OSError: a loss is counted where it happens, on the hook
        out of which the packet could not go.  Default: ``rcvdata`` for each.

        Args:
            batch: Shared and immutable, as its packets are.
        """

    def rcvflow(hook: Any, high: bool) -> None:
        """
        A sink beyond *hook* asks its sources to hold (True); none does any more (False).

        ``hook.high`` tells the same at any time.  True may be told again, for
        another sink or after a link changed.  A node that is no source passes
        the word on, ``other.send_flow(high)``, to the hooks whose packets go
        out of *hook*.  Default: all others.

        Passing on ends with this call: a later ``send_flow`` speaks for the
        node itself, which is how a node with a queue of its own says that it
        is full.
        """

    def rcvmsg(item: Any, lasthook: Any) -> None:
        """
        A message that the graph does not answer itself arrived.

        Args:
            item: The `ngksock.netgraph.Item`: its ``message`` and the id of
                its ``source``.  `Graph.reply` answers it.
            lasthook: The hook of this node by which the message's path ended,
                or None.

        Raises:
            OSError: Refused; the sender gets this errno and no reply.

        Default: the method whose `command` row has its number, else EINVAL.
        """

    def config() -> list[str]:
        """Return ngctl lines that make this node's state again; its path is ``.``."""

    def status() -> str | None:
        """Return what ``status`` shows of this node, or None if it has nothing to tell."""

    def rcvbypass(one: Any, other: Any) -> None:
        """
        The peers of two of its hooks are about to be joined, past this node.

        They are linked still.  Whoever holds packets back (a queue, a delay)
        sends all of them on now, in order, for afterwards they can go nowhere.
        Default: nothing.

        Raises:
            OSError: EBUSY, they cannot all go just now: nothing is joined, and
                what was not sent is kept.
        """

    def disconnect(hook: Any) -> None:
        """
        *hook* is being removed; it is out of ``hooks`` already.

        Default: a node ends with its last hook.
        """

    def close() -> None:
        """The node begins to end; its hooks are still there, its name is not."""

    def shutdown() -> bool | None:
        """
        All hooks are gone.  Release everything: sockets, timers, files.

        Returns:
            True to stay as a node without hooks (netgraph.md §5.6), else
            nothing.
        """


class INodeType(Interface):
    """A class of node, found by its name (netgraph.md §1.4)."""

    name = Attribute("1 to 31 bytes; what mkpeer asks for.")
    cookie = Attribute("The 32-bit namespace of its messages.")
    commands = Attribute("`ngksock.netgraph.Rows`: its control messages.")
    abi = Attribute(
        "The `ngksock.plugin.ABI` it was written for: another one's is EINVAL. "
        "A provider without it is taken to be of ABI 1."
    )

    def constructor() -> Any:
        """
        Return a new provider of INode.

        Raises:
            OSError: It cannot be made: EPERM, EOPNOTSUPP...
        """
