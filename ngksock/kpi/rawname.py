"""Addresses as the host's system calls have them: ``struct sockaddr`` and back.

Both directions are remembered: the same few senders and targets come again
and again, and each is told apart by its bytes.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from ngksock.kpi.sockaddr import SockAddr, path_text

__all__ = ["READ", "STRIDE", "pack"]

STRIDE: Final = {int(socket.AF_INET): 16, int(socket.AF_INET6): 28, int(socket.AF_UNIX): 112}
"""The room of an address: those of the internet fill it, a path never does."""

KNOWN: Final = 4096
"""So many addresses of a family are remembered."""


@lru_cache(KNOWN)
def _inet(raw: bytes) -> SockAddr:
    return socket.inet_ntoa(raw[4:8]), int.from_bytes(raw[2:4])


@lru_cache(KNOWN)
def _inet6(raw: bytes) -> SockAddr:
    port, flow, host = struct.unpack("!HI16s", raw[2:24])
    (scope,) = struct.unpack("=I", raw[24:28])
    return socket.inet_ntop(socket.AF_INET6, host), port, flow, scope


@lru_cache(KNOWN)
def _local(raw: bytes) -> SockAddr:
    path = raw[2:]
    # A leading NUL is an abstract name, whole; else the path ends at one.
    return path_text(path if path[:1] == b"\0" else path.split(b"\0", 1)[0])


READ: Final[dict[int, Callable[[bytes], Any]]] = {
    int(socket.AF_INET): _inet,
    int(socket.AF_INET6): _inet6,
    int(socket.AF_UNIX): _local,
}
"""By family: makes the name of what the system wrote."""


@lru_cache(KNOWN)
def pack(family: int, name: SockAddr) -> bytes:
    """
    Return *name* as the system reads it.

    Args:
        family: The host's number.
        name: An address that was checked; a local one in full, as bytes.
    """
    head = struct.pack("=H", family)
    if family == socket.AF_UNIX:
        raw: bytes = name
        return head + raw + (b"" if raw[:1] == b"\0" else b"\0")
    packed = socket.inet_pton(family, name[0])
    if family == socket.AF_INET:
        return head + struct.pack("!H", name[1]) + packed + bytes(8)
    flow, scope = name[2:] if len(name) == 4 else (0, 0)
    return head + struct.pack("!HI", name[1], flow) + packed + struct.pack("=I", scope)
