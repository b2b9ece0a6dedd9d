"""One daemon at a time looks whether a place is free, and takes it."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

__all__ = ["alone"]

PATIENCE: Final = 0.5
"""Seconds to wait for another; whoever holds the folder for longer is no daemon of ours."""


@contextmanager
def alone(folder: bytes) -> Iterator[None]:
    """
    Keep other daemons that start from taking a place in *folder* meanwhile.

    Of two that find a stale socket the second would else remove the first
    one's new socket.  The lock is on the folder itself, so that nothing is left
    behind; where it cannot be had we go on without it.
    """
    number = -1
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if number >= 0:
            _lock(number)
        yield
    finally:
        if number >= 0:
            os.close(number)


def _lock(number: int) -> None:
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.sched_yield()  # it needs a few system calls more, and the reactor does not run yet
        except OSError:
            return  # this file system has none
        else:
            return
