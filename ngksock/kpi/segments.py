"""UDP_SEGMENT: a run of equal-sized datagrams leaves in one system call.

The kernel takes the run as one buffer through the whole stack and cuts it at
the very end; the far end sees the same datagrams.  All of a run are of one
size and for one target; only the last may be shorter, and none may be empty.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Final

from ngksock.kpi.msghdr import Control
from ngksock.packet import Slab, rows

if TYPE_CHECKING:
    from ngksock.packet import Batch

__all__ = ["BYTES", "SOL_UDP", "Wire", "cut", "most_segments", "segmented"]

SOL_UDP: Final = int(socket.IPPROTO_UDP)
UDP_SEGMENT: Final = 103
BYTES: Final = 65507
"""All of a run together: as much as one datagram over IPv4 could have."""

MOST: Final = (128, 64)
"""What kernels allow of segments in a run: since 6.9, and before."""

JOINED: Final = 2048
"""Shorter datagrams of a run are put together first: that costs less than to list them."""

WORTH: Final = 3
"""
A shorter run leaves with the datagrams around it.

Measured over loopback, far end and all: a run of two costs 1.5 µs, of 64 short
ones 9; sendmmsg(2) 2.8 µs, and 0.6 more for each datagram, whatever its size.
"""


@cache  # one look is enough
def most_segments() -> int:
    """Return how many segments a run may have here, 0 if there are no runs."""
    if sys.platform != "linux":
        return 0  # platform: not on Linux, which alone has UDP_SEGMENT
    for count in MOST:
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.bind(("127.0.0.1", 0))
                probe.connect(probe.getsockname())
                probe.sendmsg([bytes(count)], segmented(1))
                probe.setblocking(False)
                # Where UDP_SEGMENT is unknown it may be passed over in silence.
                if len(probe.recv(count)) == 1:
                    return count
        except OSError:
            continue
    return 0


@lru_cache(1024)
def segmented(size: int) -> list[Control]:
    """Return the control messages by which a send is cut after each *size* bytes."""
    return [(SOL_UDP, UDP_SEGMENT, struct.pack("=H", size))]


def cut(
    lens: list[int], targets: Sequence[object] | None, longest: int, most: int
) -> list[tuple[int, int, int]]:
    """
    Cut datagrams into pieces that leave in one system call each.

    Args:
        lens: Their lengths.
        targets: Where each goes, or None: all to the same.
        longest: Longer segments are not to be used.
        most: So many segments has a run at most.

    Returns:
        (start, stop, size): a run of segments of *size*; 0: any datagrams.
    """
    count = len(lens)
    size = lens[0]
    if not longest:
        return [(0, count, 0)]
    one_target = targets is None or targets.count(targets[0]) == count
    if one_target and lens.count(size) == count:
        return _equal(count, size, _room(size, longest, most))
    pieces: list[tuple[int, int, int]] = []
    start = loose = 0  # from loose to start nothing is in a piece yet
    while start < count:
        size = lens[start]
        end = min(count, start + _room(size, longest, most))
        stop = start + 1
        while stop < end and lens[stop] == size:
            if not one_target and targets is not None and targets[stop] != targets[start]:
                break
            stop += 1
        else:
            if (
                stop < end
                and 0 < lens[stop] < size
                and (one_target or targets is None or targets[stop] == targets[start])
            ):
                stop += 1  # a shorter one ends the run
        if stop - start >= WORTH:
            if loose < start:
                pieces.append((loose, start, 0))
            pieces.append((start, stop, size))
            loose = stop
        start = stop
    if loose < count:
        pieces.append((loose, count, 0))
    return pieces


def _equal(count: int, size: int, room: int) -> list[tuple[int, int, int]]:
    """Cut *count* datagrams of *size* to one target, of which a run has *room* for so many."""
    if min(room, count) < 2:
        return [(0, count, 0)]
    pieces = [(start, min(start + room, count), size) for start in range(0, count, room)]
    start, stop, _ = pieces[-1]
    if stop - start == 1:
        pieces[-1] = start, stop, 0
    return pieces


class Wire:
    """
    The datagrams of a batch as they leave; of one that changes no more, for all who send it.

    Args:
        batch: The batch.

    ``lens`` are their lengths.
    """

    __slots__ = ("_data", "_longest", "_pieces", "_runs", "_size", "_whole", "lens")

    def __init__(self, batch: Batch) -> None:
        if isinstance(batch, Slab):
            self._whole, self._size, _ = batch.whole
            self._data: list[bytes | memoryview] = []
            self.lens = [self._size] * len(batch)
        else:
            self._size = 0
            self._data = [packet.data for packet in batch]
            self.lens = list(map(len, self._data))
        self._runs: dict[tuple[int, int], list[bytes | memoryview]] = {}
        self._longest = -1
        self._pieces: list[tuple[int, int, int]] = []

    def cut(self, targets: Sequence[object] | None, longest: int) -> list[tuple[int, int, int]]:
        """Return the pieces to send it in, as `cut` does; what is for the peer is cut once."""
        if targets is None and longest == self._longest:
            return self._pieces
        pieces = cut(self.lens, targets, longest, most_segments() if longest else 1)
        if targets is None:
            self._longest, self._pieces = longest, pieces
        return pieces

    def data(self, start: int, stop: int) -> list[bytes | memoryview]:
        """Return datagrams, one by one."""
        if not self._data:
            self._data = list(rows(self._size, 0, len(self.lens)).unpack(self._whole))
        return self._data[start:stop]

    def run(self, start: int, stop: int) -> list[bytes | memoryview]:
        """Return datagrams, to be sent one after the other: as one piece if they are short."""
        run = self._runs.get((start, stop))
        if run is None:
            if self._size:
                run = [memoryview(self._whole)[start * self._size : stop * self._size]]
            elif self.lens[start] > JOINED:
                run = self._data[start:stop]
            else:
                run = [b"".join(self._data[start:stop])]
            self._runs[start, stop] = run
        return run


def _room(size: int, longest: int, most: int) -> int:
    """Return how many segments of *size* a run may have; 1: none of that size are runs."""
    return min(most, BYTES // size) if 0 < size <= longest else 1
