"""What FreeBSD's own tests assert of vlan_rotate (netgraph.md §11.6), over NGD/1."""

from __future__ import annotations

import struct

from tests.control import rawclient as raw
from tests.control.case import ControlCase

ADDRESSES = bytes.fromhex("020000000001 020000000002")
PROTOCOLS = (0x8100, 0x88A8, 0x9100)
HOOKS = ("original", "ordered", "excessive", "incomplete")
OTHER = {"original": "ordered", "ordered": "original"}

Stack = list[tuple[int, int]]
"""Protocol and VLAN of each tag, the outermost first."""


def frame(stack: Stack) -> bytes:
    """Return an IPv4 frame with these tags."""
    return ADDRESSES + b"".join(struct.pack(">HH", *tag) for tag in stack) + b"\x08\0test\0"


def plain(depth: int) -> Stack:
    """Return a stack of tags of one protocol, numbered from 1."""
    return [(0x8100, number) for number in range(1, depth + 1)]


def mixed(depth: int) -> Stack:
    """Return the same of three protocols."""
    return [(PROTOCOLS[number % 3], number) for number in range(1, depth + 1)]


class VlanRotateTests(ControlCase):
    def setUp(self) -> None:
        super().setUp()
        self.p = self.rotate()

    def rotate(self) -> raw.Client:
        """Return a program with its hooks on all those of a vlan_rotate."""
        p = self.client()
        self.ok(p.mkpeer(".", "vlan_rotate", HOOKS[0], HOOKS[0]), p.name(f".:{HOOKS[0]}", "vlrot"))
        self.ok(*(p.link(".", "vlrot:", hook, hook) for hook in HOOKS[1:]))
        return p

    def sent(self, hook: str, data: bytes) -> list[tuple[str, bytes]]:
        """Send a frame; return the hooks by which it came back, and as what."""
        self.ok(self.p.write(hook, data))
        return self.p.data.drain()

    def check(self, hook: str, sense: int, whole: Stack) -> None:
        """Send stacks of 9 to 1 tags with every turn there is: tag i is the old i + turn."""
        for depth in range(9, 0, -1):
            stack = whole[:depth]
            for rot in range(1 - depth, depth):
                self.ok(self.p.ascii("vlrot:", f"setconf {{ min=0 max=9 rot={rot} }}"))
                turned = [stack[(at + sense * rot) % depth] for at in range(depth)]
                self.assertEqual(
                    [(OTHER[hook], frame(turned))],
                    self.sent(hook, frame(stack)),
                    f"{depth} tags by {rot}",
                )

    def test_26_rotation(self) -> None:
        """From original: tag i is the old tag (i - rot) mod length."""
        self.check("original", -1, plain(9))

    def test_27_reverse(self) -> None:
        """From ordered: tag i is the old tag (i + rot) mod length."""
        self.check("ordered", 1, plain(9))

    def test_28_ethertypes(self) -> None:
        """Ethertypes move with their tags, from original."""
        self.check("original", -1, mixed(9))

    def test_28_ethertypes_reverse(self) -> None:
        """Ethertypes move with their tags, from ordered."""
        self.check("ordered", 1, mixed(9))

    def test_29_min_max(self) -> None:
        """Stacks of fewer than 3 tags are incomplete, of more than 7 excessive."""
        self.ok(self.p.ascii("vlrot:", "setconf { min=3 max=7 rot=0 }"))
        for depth in range(9, -1, -1):
            data = frame(plain(depth))
            for hook, other in OTHER.items():
                way = "incomplete" if depth < 3 else "excessive" if depth > 7 else other
                self.assertEqual([(way, data)], self.sent(hook, data), f"{depth} tags from {hook}")
            for hook in ("excessive", "incomplete"):
                self.assertEqual([("original", data)], self.sent(hook, data))
