"""The packet header of an mbuf: what is said of a packet as a whole."""

from __future__ import annotations

from typing import Final

__all__ = [
    "MBUF_TC_BE",
    "MBUF_TC_BK",
    "MBUF_TC_VI",
    "MBUF_TC_VO",
    "TAG_ID_FIRST",
    "PktHdr",
    "is_tag_id",
    "tag_id_find",
]

# Traffic classes: best effort, background, video, voice.
MBUF_TC_BE: Final = 0
MBUF_TC_BK: Final = 1
MBUF_TC_VI: Final = 2
MBUF_TC_VO: Final = 3

TAG_ID_FIRST: Final = 1000
"""Ids of tags start here; the numbers below are reserved."""

_ids: Final[dict[str, int]] = {}  # one for the process: an id never means two strings


class PktHdr:
    """
    What the first mbuf of a packet says of all of it.

    Args:
        len: The length of the packet in bytes; kept, not counted.
        rcvif: The name of the interface it came in by, or None.

    ``tags`` maps (id, type) to the tag's bytes, or is None while there was
    none; ``traffic_class`` is one of MBUF_TC_*; ``csum_flags`` says which
    checksums were verified or are wanted; ``vlan`` is the VLAN's tag or None;
    ``timestamp`` is in seconds or None.
    """

    __slots__ = ("csum_flags", "len", "rcvif", "tags", "timestamp", "traffic_class", "vlan")

    def __init__(self, len: int = 0, rcvif: str | None = None) -> None:
        self.len = len
        self.rcvif = rcvif
        self.tags: dict[tuple[int, int], bytearray] | None = None  # most have none
        self.traffic_class = MBUF_TC_BE
        self.csum_flags = 0
        self.vlan: int | None = None
        self.timestamp: float | None = None

    def copy(self, len: int) -> PktHdr:
        """Return the header of a copy *len* bytes long: all of it but the tags."""
        other = PktHdr(len, self.rcvif)
        other.traffic_class = self.traffic_class
        other.csum_flags = self.csum_flags
        other.vlan = self.vlan
        other.timestamp = self.timestamp
        return other

    def __repr__(self) -> str:
        return f"<PktHdr {self.len} bytes>"


def tag_id_find(string: str) -> int:
    """
    Return the id of the tags of *string*, ``mbuf_tag_id_find``.

    Args:
        string: Names a module, by custom in reverse order of domains.

    Returns:
        The same id for the same string for as long as the process runs.

    Source: kpi-socket.md §11.1.
    """
    return _ids.setdefault(string, TAG_ID_FIRST + len(_ids))


def is_tag_id(id: int) -> bool:
    """Whether `tag_id_find` ever returned *id*."""
    return TAG_ID_FIRST <= id < TAG_ID_FIRST + len(_ids)
