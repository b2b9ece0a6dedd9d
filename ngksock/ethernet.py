"""Ethernet frames: the numbers and the few questions that several node types share.

A frame here begins with the destination's address and has no checksum at its
end: 6 bytes destination, 6 bytes source, any number of VLAN tags (a protocol
and a tag, 2 bytes each), 2 bytes ethertype, payload.
"""

from __future__ import annotations

from errno import EINVAL
from typing import Final

__all__ = [
    "ADDRESSES",
    "BROADCAST",
    "HEADER",
    "TAG",
    "VLAN_PROTOCOLS",
    "is_group",
    "too_short",
    "type_offset",
]

ADDRESSES: Final = 12
"""Bytes of both addresses: behind them is the first tag, or the ethertype."""
HEADER: Final = 14
"""Bytes of a header without tags."""
TAG: Final = 4
"""Bytes of one VLAN tag, its protocol included."""
BROADCAST: Final = b"\xff" * 6
VLAN_PROTOCOLS: Final = frozenset({0x8100, 0x88A8, 0x9100, 0x9200, 0x9300})
"""The protocols by which VLAN tags are known (netgraph.md §10.16)."""


def is_group(address: bytes | memoryview) -> bool:
    """Tell whether an address means several stations: multicast, or broadcast."""
    return bool(address[0] & 1)


def too_short(size: int, header: int = HEADER) -> OSError:
    """Return the error (EINVAL) for a frame of *size* bytes that ends within its header."""
    return OSError(EINVAL, f"a frame of {size} bytes is too short: its header has {header}")


def type_offset(
    frame: bytes | memoryview, protocols: frozenset[int] = VLAN_PROTOCOLS
) -> int | None:
    """
    Return where the ethertype behind all VLAN tags stands: 12 without tags.

    Args:
        frame: Of any length.
        protocols: What announces a tag.

    None if the frame ends before it.
    """
    at, end = ADDRESSES, len(frame) - 2
    while at <= end:
        if frame[at] << 8 | frame[at + 1] not in protocols:
            return at
        at += TAG
    return None
