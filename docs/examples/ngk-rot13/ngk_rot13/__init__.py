"""rot13: turn the letters of what passes between ``left`` and ``right``.

Messages, cookie 1763800013:

* setshift (1) int32: how many places the letters are moved on, -25 to 25.
* getshift (2): tell it.
* getstats (3): count the packets that passed, and their letters.

A packet that arrives while the other hook is missing is lost, with ENOTCONN.
The node ends with its last hook.
"""

from __future__ import annotations

from dataclasses import dataclass
from errno import EINVAL, ENOTCONN
from string import ascii_letters, ascii_lowercase, ascii_uppercase
from typing import Final

from ngksock.netgraph import Batch, Hook, Node, Packet, command
from ngksock.netgraph.layout import INT32, Struct, UInt64
from ngksock.plugin import NodeType

__all__ = ["Rot13", "rot13"]

USUAL: Final = 13
OTHERS: Final = bytes(set(range(256)) - set(ascii_letters.encode()))


@dataclass
class Stats:
    """What getstats answers."""

    packets: UInt64 = 0
    letters: UInt64 = 0


def table(shift: int) -> bytes:
    """Return what makes of each byte another one."""
    turned = "".join(
        letters[shift % 26 :] + letters[: shift % 26]
        for letters in (ascii_lowercase, ascii_uppercase)
    )
    return bytes.maketrans(ascii_letters.encode(), turned.encode())


class Rot13(Node):
    """Two hooks, and letters that change between them."""

    hook_names = ("left", "right")

    def __init__(self) -> None:
        super().__init__()
        self.shift = USUAL
        self.table = table(USUAL)
        self.stats = Stats()

    def connect(self, hook: Hook) -> None:
        """Decide once where packets go, not for each of them."""
        for one in self.hooks.values():
            one.private = next((other for other in self.hooks.values() if other is not one), None)

    def disconnect(self, hook: Hook) -> None:
        """What stays has no other any more."""
        self.connect(hook)
        super().disconnect(hook)

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        out = hook.private
        if out is None:
            raise OSError(ENOTCONN, f"rot13 {self!r} has nothing at its other hook")
        out.send_data(self._turned(packet))

    def rcvbatch(self, hook: Hook, batch: Batch) -> None:
        out = hook.private
        if out is None:
            hook.peer.drop(ENOTCONN, len(batch))
        else:
            out.send_batch(Batch(map(self._turned, batch), batch.nbytes))

    def _turned(self, packet: Packet) -> Packet:
        data = bytes(packet.data)
        self.stats.packets += 1
        self.stats.letters += len(data.translate(None, OTHERS))
        # A packet never changes once it was sent; replace() keeps tags and end-of-file mark.
        return packet.replace(data.translate(self.table))

    @command(1, arg=INT32)
    def setshift(self, shift: int) -> None:
        """Move letters *shift* places on, -25 to 25."""
        if not -25 <= shift <= 25:
            raise OSError(EINVAL, f"a shift of {shift} is none: -25 to 25")
        self.shift = shift
        self.table = table(shift)

    @command(2, resp=INT32)
    def getshift(self) -> int:
        """Tell how many places letters are moved on."""
        return self.shift

    @command(3, resp=Struct(Stats))
    def getstats(self) -> Stats:
        """Count the packets that passed, and their letters."""
        return self.stats

    def config(self) -> list[str]:
        return [] if self.shift == USUAL else [f"msg . setshift {self.shift}"]

    def status(self) -> str:
        return f"letters move {self.shift} places; {self.stats.packets} packets"


rot13 = NodeType("rot13", 1763800013, Rot13, abi=1)
