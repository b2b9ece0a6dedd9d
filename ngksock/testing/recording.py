"""RecordingNode: a node for tests, which records all that happens to it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, Final

from ngksock.netgraph import EOF, Batch, Hook, Item, Message, Node, Packet
from ngksock.plugin import NodeType

__all__ = ["Data", "RecordingNode", "recorder"]

Data = bytes | Packet
"""What a packet held; an end-of-file mark is recorded as `EOF` itself."""


class RecordingNode(Node):
    """
    A node that takes any hook and any message, and lives until it is shut down.

    ``events`` is everything in order, a tuple each, the callback's name first::

        ("newhook", "a")            ("rcvdata", "a", b"payload")
        ("connect", "a")            ("rcvflow", "a", True)
        ("disconnect", "a")         ("rcvmsg", "a", Message(...))
        ("close",)  ("shutdown",)   ("rcvmsg", None, Message(...))

    A batch is recorded packet by packet.  ``received`` and ``sent`` are the
    packets alone, by hook: ``{"a": [b"x"]}``; a hook that saw none has no
    entry, and refused packets are not among them.  ``inbox`` holds the messages
    until somebody takes them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.events: list[tuple[Any, ...]] = []
        self.received: dict[str, list[Data]] = {}
        self.sent: dict[str, list[Data]] = {}
        self.inbox: deque[Item] = deque()
        self._refused: dict[tuple[str, str | None], int] = {}

    # -- what a test tells it -----------------------------------------------------

    def refuse(self, callback: str, errno: int, hook: str | None = None) -> None:
        """
        From now on answer *callback* with *errno*; 0: accept again.

        Args:
            callback: ``newhook``, ``connect``, ``rcvdata`` or ``rcvmsg``.
            errno: What it raises; the call is recorded all the same.
            hook: Only for the hook of that name.
        """
        self._refused[callback, hook] = errno

    def send(self, hook: str, data: Data) -> None:
        """Send one packet out of *hook*; raises what `Hook.send_data` does."""
        packet = data if isinstance(data, Packet) else Packet(data)
        out = self.hooks[hook]
        self.sent.setdefault(hook, []).append(_contents(packet))
        out.send_data(packet)

    def send_batch(self, hook: str, datas: Iterable[Data]) -> None:
        """Send packets out of *hook* as one batch."""
        batch = Batch(data if isinstance(data, Packet) else Packet(data) for data in datas)
        out = self.hooks[hook]
        self.sent.setdefault(hook, []).extend(map(_contents, batch))
        out.send_batch(batch)

    def forget(self) -> None:
        """Begin anew: no events, nothing received or sent, no messages."""
        self.events.clear()
        self.received.clear()
        self.sent.clear()
        self.inbox.clear()

    @property
    def messages(self) -> list[tuple[str | None, Message]]:
        """The messages received, each with the hook it came in by, or None."""
        return [(event[1], event[2]) for event in self.events if event[0] == "rcvmsg"]

    # -- what happens to it ---------------------------------------------------------

    def newhook(self, hook: Hook, name: str) -> None:
        self._record("newhook", name)

    def connect(self, hook: Hook) -> None:
        self._record("connect", hook.name)

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        data = _contents(packet)
        self._record("rcvdata", hook.name, data)
        self.received.setdefault(hook.name, []).append(data)

    def rcvflow(self, hook: Hook, high: bool) -> None:
        self._record("rcvflow", hook.name, high)

    def rcvmsg(self, item: Item, lasthook: Hook | None) -> None:
        name = None if lasthook is None else lasthook.name
        self._record("rcvmsg", name, item.message)
        self.inbox.append(item)

    def disconnect(self, hook: Hook) -> None:
        self._record("disconnect", hook.name)

    def close(self) -> None:
        self._record("close")

    def shutdown(self) -> None:
        self._record("shutdown")

    def _record(self, callback: str, hook: str | None = None, *rest: object) -> None:
        alone = hook is None and not rest
        self.events.append((callback,) if alone else (callback, hook, *rest))
        errno = self._refused.get((callback, hook)) or self._refused.get((callback, None))
        if errno:
            raise OSError(errno, f"{callback} is refused by the test")


def _contents(packet: Packet) -> Data:
    return EOF if packet.eof else bytes(packet)


recorder: Final = NodeType("recorder", 1763800001, RecordingNode)
"""The type of recording nodes; a `Sandbox` knows it, so mkpeer can make them."""
