"""``-d``: the messages that go and come, as libnetgraph logs them (netgraph.md §8.6)."""

from __future__ import annotations

from collections.abc import Callable

from ngksock.netgraph.display import dump
from ngksock.netgraph.message import Message

__all__ = ["Trace"]

FAMILY = 32
COOKIES = {1137070366: "generic", 851672669: "flow", 851601233: "socket", 1750000001: "control"}


class Trace:
    """
    Logs what a node socket sends and receives.

    Args:
        complain: Takes a line.
        level: Tells the debug level: 1, failures; 2, messages too; 3, their
            bytes too.
    """

    def __init__(self, complain: Callable[[str], None], level: Callable[[], int]) -> None:
        self._complain = complain
        self._level = level

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
            for line in _lines(what, path, message, level):
                self._complain(line)


def _lines(what: str, path: str, message: Message, level: int) -> list[str]:
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
        f"  cmd    {message.cmd}",
        f"  args ({len(message.data)} bytes)",
    ]
    if level >= 3 and message.data:
        lines += dump(message.data).split("\n")
    return lines
