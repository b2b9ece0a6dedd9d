"""Hooks: the ends of a link, where packets are sent and counted."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from errno import EINVAL, EIO, ENETDOWN, errorcode
from typing import TYPE_CHECKING, Any

from ngksock.netgraph.worklist import DEPTH
from ngksock.packet import Batch, Packet

if TYPE_CHECKING:
    from ngksock.netgraph.node import Node
    from ngksock.netgraph.route import Route, Tally

__all__ = ["Hook", "Shares", "one_by_one", "send_all"]

RcvData = Callable[["Hook", Packet], None]
RcvBatch = Callable[["Hook", Batch], None]


def _down(hook: Hook, packet: Packet) -> None:
    raise OSError(ENETDOWN, "the hook is not connected")


def _down_batch(hook: Hook, batch: Batch) -> None:
    hook.peer.drop(ENETDOWN, len(batch))  # an unlinked hook is its own peer


class Hook:
    """
    One end of a link; made by the graph, never by a node type.

    Args:
        node: The node it belongs to.
        name: Its name there.

    ``peer`` is the hook at the other end, ``private`` the owner's to use.
    ``rcvdata`` and ``rcvbatch``, set in ``newhook`` or ``connect``, override
    the node's own for this hook.  ``packets`` and ``bytes`` count what was
    sent out of this hook and ``drops`` what of that was lost at the far end or
    on the way there, by errno; what the peer received is their difference.
    ``sinks`` holds the hooks beyond this one whose owners are over their
    high-water mark (see `ngksock.netgraph.flow`); ``onward``, ``tally`` and
    ``routes`` belong to `ngksock.netgraph.route`.
    """

    __slots__ = (
        "_batch",
        "_bytes",
        "_data",
        "_packets",
        "_work",
        "backlog",
        "drops",
        "name",
        "node",
        "onward",
        "peer",
        "private",
        "rcvbatch",
        "rcvdata",
        "routes",
        "sinks",
        "tally",
        "valid",
        "waiting",
    )

    def __init__(self, node: Node, name: str) -> None:
        self.node = node
        self.name = name
        self.peer: Hook = self  # until it is linked; always somebody's afterwards
        self.private: Any = None
        self.valid = False
        self._packets = 0
        self._bytes = 0
        self.drops: dict[int, int] = {}
        self.rcvdata: RcvData | None = None
        self.rcvbatch: RcvBatch | None = None
        self.sinks: set[Hook] | None = None
        self.onward: Hook | None = None
        self.tally: Tally | None = None
        self.routes: tuple[Route, ...] = ()
        self.waiting = 0
        self.backlog: deque[Packet | Batch] | None = None
        self._work = node.graph.work
        self._data: RcvData = _down
        self._batch: RcvBatch = _down_batch

    def __repr__(self) -> str:
        return f"<Hook {self.name} of {self.node!r}>"

    @property
    def high(self) -> bool:
        """Whether a sink beyond this hook asks its sources to hold back."""
        return bool(self.sinks)

    @property
    def refuses(self) -> bool:
        """Whether the node beyond takes no packets any more."""
        return self._data is _down

    # -- for the owner

    def pass_to(self, onward: Hook | None, tally: Tally | None = None) -> None:
        """
        Say that all that arrives here leaves, unchanged and at once, by *onward*.

        It need not come by then: whoever sends it may hand it on himself, and
        counts it on *tally* and on the hooks.

        Args:
            onward: Another hook of the same node; None: no such word any more.
            tally: Counts what went by without the node's seeing it; `fold`
                comes before a look at it.
        """
        if onward is not self.onward or tally is not self.tally:
            self.onward, self.tally = onward, tally
            self.peer.unfix()

    def unfix(self) -> None:
        """End every route across this hook: its packets go another way, or wait."""
        for route in self.routes:
            route.changed()

    # -- life, for the graph alone

    def link(self, peer: Hook) -> None:
        """Decide, once, whom packets sent out of this hook reach, and how."""
        self.unfix()
        self.peer = peer
        self.valid = True
        node = peer.node
        self._data = peer.rcvdata or node.rcvdata
        if peer.rcvbatch is not None:
            self._batch = peer.rcvbatch
        elif peer.rcvdata is not None:
            self._batch = self._one_by_one
        else:
            self._batch = node.rcvbatch

    def refuse(self) -> None:
        """Refuse packets from now on, for the node beyond is about to end."""
        self.unfix()
        self._data = _down
        self._batch = _down_batch

    def unlink(self) -> None:
        """Refuse packets from now on; what waits is lost and counted as EIO."""
        self.valid = False
        self.peer = self
        self.refuse()
        lost = self._work.forget(self)
        if lost:
            self.drop(EIO, lost)

    # -- sending

    def send_data(self, packet: Packet) -> None:
        """
        Send *packet* out of this hook, to the node at the other end.

        Args:
            packet: Belongs to the receivers from now on; never changed again.

        Raises:
            OSError: What the far node answered; ENETDOWN, the link is going;
                ENOBUFS, the work list is full.  The loss is counted already.
        """
        work = self._work
        self._packets += 1
        self._bytes += packet.len
        depth = work.depth
        if depth >= DEPTH or self.waiting or work.credit <= 0:
            self._defer(packet, 1)
            return
        peer = self.peer
        work.depth = depth + 1
        work.credit -= 1
        try:
            self._data(peer, packet)
        except OSError as error:
            self.lost(error)
            raise
        except BaseException as error:
            self.bug(error, 1, peer)
        finally:
            if not depth:
                work.settle()
            work.depth = depth

    def send_batch(self, batch: Batch) -> None:
        """
        Send all of *batch* out of this hook; losses are counted, never raised.

        Args:
            batch: Belongs to the receivers from now on; never changed again.
        """
        work = self._work
        self._packets += len(batch)
        self._bytes += batch.nbytes
        depth = work.depth
        if depth >= DEPTH or self.waiting or work.credit <= 0:
            with suppress(OSError):  # counted on this hook, and a batch's sender is told no more
                self._defer(batch, len(batch))
            return
        peer = self.peer
        work.depth = depth + 1
        work.credit -= 1
        try:
            self._batch(peer, batch)
        except BaseException as error:
            self.bug(error, len(batch), peer)
        finally:
            if not depth:
                work.settle()
            work.depth = depth

    def deliver(self, load: Packet | Batch) -> None:
        """Deliver what is counted already, for it waited; nobody is left to raise to."""
        work, peer = self._work, self.peer
        work.enter()
        try:
            if isinstance(load, Batch):
                self._batch(peer, load)
            else:
                self._data(peer, load)
        except BaseException as error:
            if isinstance(load, Batch):
                self.bug(error, len(load), peer)  # an OSError, too, as in `send_batch`
            elif isinstance(error, OSError):
                self.lost(error, ends=True)
            else:
                self.bug(error, 1, peer)
        finally:
            work.leave()

    def send_flow(self, high: bool) -> None:
        """
        Tell the node beyond that this side is over its high-water mark, or again under it.

        Called by a sink on its own hook, and by a node that passes on in its
        ``rcvflow`` what it was told (house.md "Back-pressure").
        """
        self.node.graph.flow.send(self, high)

    # -- counting

    @property
    def packets(self) -> int:
        """The packets sent out of this hook."""
        for route in self.routes:
            route.fold()
        return self._packets

    @property
    def bytes(self) -> int:
        """The bytes in them."""
        for route in self.routes:
            route.fold()
        return self._bytes

    def carried(self, packets: int, count: int) -> None:
        """Count *packets* of *count* bytes in all that took a route across this hook."""
        self._packets += packets
        self._bytes += count

    def fold(self) -> None:
        """Have the tallies count what came in here by a route, unseen by their nodes."""
        for route in self.peer.routes:
            route.fold()

    def drop(self, errno: int, count: int = 1) -> None:
        """Count *count* packets sent out of this hook as lost for *errno*."""
        if count:
            self.drops[errno] = self.drops.get(errno, 0) + count

    def drop_names(self) -> dict[str, int]:
        """Return the losses by errno name, for people."""
        return {errorcode.get(number, str(number)): n for number, n in self.drops.items()}

    def lost(self, error: OSError, ends: bool = False) -> None:
        """
        Count a packet sent out of this hook as lost for *error*.

        A loss is counted once, on the hook nearest to it: the same exception
        on its way back to the sender, past the hooks before, is not another.

        Args:
            error: What the far node raised.
            ends: Whether its way ends here; the object may be raised anew then.
        """
        counted = self._work.counted
        if id(error) not in counted:
            counted[id(error)] = error
            self.drop(error.errno or EINVAL)
        if ends:
            del counted[id(error)]

    def bug(self, error: BaseException, count: int = 1, peer: Hook | None = None) -> None:
        """
        Count *count* packets as lost to an error in the far node's code, and report it.

        Args:
            error: What it raised.
            count: How many packets.
            peer: The far hook, if the node may have unlinked it.
        """
        self.drop(EINVAL, count)
        node = (peer or self.peer).node
        node.graph.bug(node, error)

    def _defer(self, load: Packet | Batch, count: int) -> None:
        self.unfix()  # nothing may overtake it
        try:
            if self._data is _down:
                raise OSError(ENETDOWN, "the hook is not connected")
            self._work.defer(self, load)
        except OSError as error:
            self.drop(error.errno or EINVAL, count)
            self._work.counted[id(error)] = error
            raise

    def _one_by_one(self, hook: Hook, batch: Batch) -> None:
        """Feed a hook that overrides ``rcvdata`` alone."""
        one_by_one(self._data, hook, batch)


def one_by_one(rcvdata: RcvData, hook: Hook, batch: Batch) -> None:
    """Give *batch* to a *rcvdata* packet by packet; count what each one loses."""
    sender = hook.peer
    for count, packet in enumerate(batch):
        if not hook.valid:
            sender.drop(EIO, len(batch) - count)  # the link went, perhaps the node with it
            return
        try:
            rcvdata(hook, packet)
        except OSError as error:
            sender.lost(error, ends=True)
        except BaseException as error:
            sender.bug(error, 1, hook)


def send_all(hooks: Iterable[Hook], packet: Packet, but: Hook | None = None) -> None:
    """
    Send *packet* out of several hooks; one that fails does not stop the others.

    Args:
        hooks: Must not change meanwhile: a delivery may remove hooks.
        packet: What all of them get.
        but: Left out, the hook it came in by.

    Raises:
        OSError: The last of their errors, when all have been served.
    """
    failed: OSError | None = None
    for hook in hooks:
        if hook is not but:
            try:
                hook.send_data(packet)
            except OSError as error:
                # A hook that an earlier delivery removed is no destination any more.
                failed = error if hook.valid else failed
    if failed is not None:
        try:
            raise failed
        finally:
            failed = None  # its traceback holds this frame: no cycle for each loss


class Shares(dict[Hook, Batch]):
    """
    What each hook gets of a batch that is being sorted: ``shares[hook].add(packet)``.

    Each hook sees its packets in the order of the batch.
    """

    def __missing__(self, hook: Hook) -> Batch:
        share = self[hook] = Batch()
        return share

    def send(self, batch: Batch) -> None:
        """Send all shares; *batch* itself, which others may have too, where one is all of it."""
        for hook, share in self.items():
            hook.send_batch(batch if share == batch else share)
