"""Which descriptors the process has open: what a node leaves behind shows there."""

from __future__ import annotations

import gc
import os
import resource
from typing import Final

__all__ = ["Opened", "left_open", "open_descriptors"]

FOLDERS: Final = ("/proc/self/fd", "/dev/fd")
MOST: Final = 4096
"""So far descriptors are tried, where no folder lists them."""

Opened = dict[int, tuple[int, int]]
"""By descriptor, what tells one open file from the next: device and inode."""


def open_descriptors() -> Opened:
    """Return the descriptors that are open."""
    found: Opened = {}
    for number in _candidates():
        try:
            stat = os.fstat(number)
        except OSError:
            continue
        found[number] = stat.st_dev, stat.st_ino
    return found


def _candidates() -> list[int]:
    for folder in FOLDERS:
        try:
            numbers = [int(name) for name in os.listdir(folder)]
        except OSError:
            continue
        # Where /dev/fd is no true list it has the first three alone.
        if len(numbers) > 3:
            return numbers
    return list(range(min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], MOST)))


def left_open(before: Opened) -> list[str]:
    """Return, in words, the descriptors that were not open *before*."""
    left = _new(before)
    if left:
        gc.collect()  # what only a cycle holds is as good as closed
        left = _new(before)
    return [f"descriptor {number}{_what(number)}" for number in left]


def _new(before: Opened) -> list[int]:
    return sorted(fd for fd, file in open_descriptors().items() if before.get(fd) != file)


def _what(number: int) -> str:
    try:
        return f" ({os.readlink(f'{FOLDERS[0]}/{number}')})"
    except OSError:
        return ""
