"""``-d``: the messages that go and come, as libnetgraph logs them (netgraph.md §8.6)."""

from __future__ import annotations

from collections.abc import Callable

from ngksock.client import NodeSocket
from ngksock.netgraph.display import dump, text
from ngksock.netgraph.message import Message
from ngksock.netgraph.path import Path

__all__ = ["Trace", "translator"]

FAMILY = 32
COOKIES = {
    851601233: "socket", 851672669: "flow", 884298942: "echo", 915433206: "hole",
    916107047: "tee", 942710669: "ksocket", 1082189597: "hub", 1100897444: "one2many",
    1137070366: "generic", 1750000001: "control", 1750000100: "listener",
    1750000200: "ksocket's own",
}  # fmt: skip
PATIENCE = 1.0
"""Seconds that a translation may take."""

Translate = Callable[[str, Message], Message | None]


class Trace:
    """
    Logs what a node socket sends and receives.

    Args:
        complain: Takes a line.
        level: Tells the debug level: 1, failures; 2, messages too; 3, their
            arguments too, as text and as bytes.
        translate: Returns the ASCII form of a message of or for a path, or None.
    """

    def __init__(
        self, complain: Callable[[str], None], level: Callable[[], int], translate: Translate
    ) -> None:
        self._complain = complain
        self._level = level
        self._translate = translate

    def __call__(self, what: str, path: str, message: Message, error: OSError | None) -> None:
        """
        Log a message.

        Args:
            what: ``SENDING`` or ``RECEIVED``.
            path: Where it goes, or comes from.
            message: The message.
            error: Why it could not be sent, or None.
        """
        level = self._level()
        if error is not None and level >= 1:
            self._complain(f'sendto "{path}": {error.strerror}')
        if error is None and level >= 2:
            shown = self._translate(path, message) if level >= 3 else None
            for line in _lines(what, path, message, shown):
                self._complain(line)
            if level >= 3 and message.data:
                for line in dump(message.data).split("\n"):
                    self._complain(line)


def translator(node: NodeSocket) -> Translate:
    """
    Return what translates the messages of *node*.

    Each is asked of the daemon through another node, which ends at once: *node*
    itself is in the middle of a call.
    """

    def translate(path: str, message: Message) -> Message | None:
        try:
            name, hooks = Path.parse(path)
            start = node.address if name is None else f"{name}:"
            with NodeSocket(node.path, PATIENCE) as asker:
                return asker.decode(start + ".".join(hooks), message)
        except OSError:
            return None  # the node is gone, or does not know the message

    return translate


def _lines(what: str, path: str, message: Message, shown: Message | None) -> list[str]:
    cookie = f"{COOKIES.get(message.cookie, '??')} ({message.cookie})"
    lines = [
        f"{what} {'RESPONSE' if message.is_response else 'MESSAGE'}:",
        f'SOCKADDR: {{ fam={FAMILY} len={len(path) + 3} addr="{path}" }}',
        "NG_MESG :",
        f"  vers   {message.version}",
        f"  arglen {len(message.data)}",
        f"  flags  {message.flags:x}",
        f"  token  {message.token}",
        f"  cookie {cookie}",
    ]
    if shown is None:
        return [*lines, f"  cmd    {message.cmd}", f"  args ({len(message.data)} bytes)"]
    return [
        *lines,
        f"  cmd    {shown.cmdstr} ({message.cmd})",
        f"  args   {text(shown.data)}".rstrip(),
    ]
