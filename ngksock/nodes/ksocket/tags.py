"""Address tags: how the answer to a datagram finds its sender (netgraph.md §7.11, §7.12)."""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import Any, Final

from ngksock.nodes.ksocket.address import SockAddr
from ngksock.packet import Batch, Tag

__all__ = ["COOKIE", "AddressTags", "destination", "shared_tags"]

COOKIE: Final = 942710669
ADDRESS_TAG: Final = 1
KNOWN_MAX: Final = 4096
"""So many senders are remembered; after that, all over again."""


@lru_cache(KNOWN_MAX)
def _unpack(data: bytes, family: int) -> tuple[int, Any]:
    """Return a tag's node id, and its address for a socket of *family*."""
    return int.from_bytes(data[:4], sys.byteorder), SockAddr.unpack(data[4:]).host(family)


@lru_cache(KNOWN_MAX)
def destination(tags: tuple[Tag, ...], number: int, family: int) -> Any:
    """
    Return where the *tags* of a packet send it, or None: to the connected peer.

    Args:
        tags: All it has.
        number: The id of the ksocket; a tag of another node's is not for it,
            one of id 0 is for all.
        family: FreeBSD's number of the socket's family.
    """
    for tag in tags:
        if tag.cookie == COOKIE and tag.type == ADDRESS_TAG:
            try:
                node, name = _unpack(tag.data, family)
            except OSError:
                continue  # of another family, so for another socket
            if node in (0, number):
                return name
    return None


def shared_tags(batch: Batch) -> tuple[Tag, ...] | None:
    """Return the tags that all packets of *batch* have, as those of one sender do, or None."""
    if batch.uniform:
        return batch.tags()
    tags = batch[0].tags
    for packet in batch:
        if packet.tags is not tags:
            return None
    return tags


class AddressTags:
    """Marks datagrams with where they came from; a sender's tag is made once."""

    def __init__(self) -> None:
        self._known: dict[Any, tuple[Tag, ...]] = {}

    def mark(self, batch: Batch, number: int) -> None:
        """
        Turn the names of *batch*, which nobody else has yet, into tags.

        Args:
            batch: What was received; without names it came from the peer.
            number: The id of the ksocket.
        """
        names, batch.names = batch.names, None
        if names is None:
            batch.uniform = True
            return
        first = names[0]
        if names.count(first) == len(names):  # as they come from one sender
            batch.tag(self._tags(first, number))
            return
        for packet, name in zip(batch, names, strict=True):
            packet.tags = self._tags(name, number)

    def _tags(self, name: Any, number: int) -> tuple[Tag, ...]:
        known = self._known
        tags = known.get(name)
        if tags is None and name:  # a local sender may have no name to answer to
            if len(known) >= KNOWN_MAX:
                known.clear()
            data = number.to_bytes(4, sys.byteorder) + SockAddr.of_host(name).pack()
            tags = known[name] = (Tag(COOKIE, ADDRESS_TAG, data),)
        return tags or ()
