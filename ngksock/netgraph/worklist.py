"""Work that cannot be done by a direct call.

Theory of operation
-------------------
Packets travel by direct calls, and so do control messages: a sender learns
the errno at once, and nothing waits for a turn of the reactor.  Three things
bound that (house.md "Depth"; netgraph.md §5.9):

* calls nest at most `DEPTH` deep;
* one *root* call (made when no other is under way) may cause at most `CREDIT`
  deliveries, so that a graph whose hubs multiply packets cannot run for ever
  below one depth;
* a hook that has packets waiting makes later ones wait behind them.

What goes beyond is kept here: packets in one queue a hook, served in rotation,
a slice at a time, with the reactor between slices.  `CAP` packets may wait in
all, `HOOK_CAP` on one hook; more are dropped with ENOBUFS and counted there.

Control work (replies, a node's wish to end, messages to a node that is busy)
is one FIFO, run to its end when the outermost call returns: a requester finds
its reply before its own call has returned (wire.md, guarantee 2).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from errno import ENOBUFS
from typing import TYPE_CHECKING, Final

from ngksock.packet import Batch, Packet

if TYPE_CHECKING:
    from ngksock.netgraph.hook import Hook

__all__ = ["CAP", "CREDIT", "DEPTH", "HOOK_CAP", "Worklist"]

DEPTH: Final = 32
CREDIT: Final = 1024
CAP: Final = 4096
HOOK_CAP: Final = 1024
SLICE: Final = 256
"""Control calls, and deliveries that waited, before the reactor has its turn."""


class Worklist:
    """
    The work list of one graph.

    Args:
        soon: Arranges for a callable to be called in a later turn of the
            reactor, as ``reactor.callLater(0, f)`` does.

    ``depth``, ``credit`` and ``counted`` belong to `Hook.send_data`, which is
    written out there for speed.
    """

    __slots__ = (
        "_calls",
        "_control",
        "_hooks",
        "_scheduled",
        "_soon",
        "counted",
        "credit",
        "depth",
        "held",
    )

    def __init__(self, soon: Callable[[Callable[[], None]], object]) -> None:
        self.depth = 0
        self._calls = 0  # of `depth`, those that are no packets
        self.credit = CREDIT
        self.counted: dict[int, OSError] = {}  # by id, until the root call ends
        self.held = 0
        self._soon = soon
        self._scheduled = False
        self._control: deque[Callable[[], None]] = deque()
        self._hooks: deque[Hook] = deque()

    def __len__(self) -> int:
        return self.held + len(self._control)

    @property
    def carrying(self) -> bool:
        """Whether a packet is being handed over just now: the call has not returned yet."""
        return self.depth > self._calls

    # -- control

    def enter(self) -> None:
        """Begin a call; each is paired with `leave`."""
        self.depth += 1
        self._calls += 1

    def leave(self) -> None:
        """End a call; the outermost one runs the control work it left behind."""
        if self.depth == 1:
            self.settle()
        self.depth -= 1
        self._calls -= 1

    def settle(self) -> None:
        """
        Run control work at the end of a root call.

        All that the call left is done; of what that causes in turn a slice.
        """
        self.credit = CREDIT
        if self.counted:
            self.counted.clear()
        control = self._control
        if not control:
            return
        calls, self._calls = self._calls, self.depth  # the root call's packets are delivered
        try:
            for _ in range(max(SLICE, len(control))):
                if not control:
                    return
                control.popleft()()
                self.credit = CREDIT
        finally:
            self._calls = calls
        if control:
            self._schedule()

    def call(self, work: Callable[[], None]) -> None:
        """
        Run *work* when the outermost call returns, or now if there is none.

        *work* must not raise.
        """
        self._control.append(work)
        if not self.depth:
            self.enter()
            self.leave()

    def check_room(self) -> None:
        """Raise OSError(ENOBUFS) if so much control work waits that no message may join it."""
        if len(self._control) >= CAP:
            raise OSError(ENOBUFS, "too many messages wait in the graph: does it loop?")

    # -- packets

    def defer(self, hook: Hook, load: Packet | Batch) -> None:
        """
        Keep *load* for delivery across *hook* in a later turn.

        Raises:
            OSError: ENOBUFS: the list, or this hook's share of it, is full.
        """
        count = len(load) if isinstance(load, Batch) else 1
        if self.held + count > CAP or hook.waiting + count > HOOK_CAP:
            raise OSError(ENOBUFS, "the graph's work list is full: does it loop?")
        if hook.backlog is None:
            hook.backlog = deque()
            self._hooks.append(hook)
        hook.backlog.append(load)
        hook.waiting += count
        self.held += count
        self._schedule()

    def move(self, old: Hook, new: Hook) -> None:
        """Let what waits for *old*, which is going, go across *new*, before all else there."""
        if old.backlog is None:
            return
        backlog, count = old.backlog, old.waiting
        old.backlog, old.waiting = None, 0
        self._hooks.remove(old)
        if new.backlog is None:
            new.backlog = deque()
            self._hooks.append(new)
        new.backlog.extendleft(reversed(backlog))
        new.waiting += count

    def forget(self, hook: Hook) -> int:
        """Drop what waits for *hook*, which is going; return how many packets."""
        if hook.backlog is None:
            return 0
        count = hook.waiting
        self.held -= count
        hook.waiting = 0
        hook.backlog = None
        self._hooks.remove(hook)
        return count

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._soon(self.run)

    def run(self) -> None:
        """Do one slice: control work first, then packets, a hook at a time."""
        self._scheduled = False
        self.enter()
        self.settle()
        # One hop a turn in the rotation: if what waited could run on from here, a loop
        # would send to the hooks beside it more often than those have their turn.
        self.depth = DEPTH - 1
        self.credit = SLICE
        while self._hooks and self.credit > 0:
            self._deliver_next()
        self.depth = 1
        self.leave()
        if self._hooks or self._control:
            self._schedule()

    def _deliver_next(self) -> None:
        hooks = self._hooks
        hook = hooks[0]
        backlog = hook.backlog
        assert backlog is not None  # a hook in rotation has a queue
        load = backlog.popleft()
        count = len(load) if isinstance(load, Batch) else 1
        self.credit -= 1
        self.held -= count
        hook.waiting -= count
        if backlog:
            hooks.rotate(-1)
        else:
            hook.backlog = None
            hooks.popleft()
        hook.deliver(load)
