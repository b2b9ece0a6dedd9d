"""Types and flags of mbufs, with XNU's numbers (kpi-socket.md §11.1)."""

from __future__ import annotations

import errno
from typing import Final

from ngksock.errors import oserror

__all__ = [
    "MT_CONTROL",
    "MT_DATA",
    "MT_FREE",
    "MT_FTABLE",
    "MT_HEADER",
    "MT_OOBDATA",
    "MT_RIGHTS",
    "MT_SONAME",
    "MT_SOOPTS",
    "M_BCAST",
    "M_EOR",
    "M_EXT",
    "M_FIRSTFRAG",
    "M_FRAG",
    "M_HASFCS",
    "M_LASTFRAG",
    "M_LOOP",
    "M_MCAST",
    "M_OF_PACKET",
    "M_PKTHDR",
    "M_PROMISC",
    "SETTABLE",
    "check_type",
]

# Types: what the bytes are.
MT_FREE: Final = 0
MT_DATA: Final = 1
MT_HEADER: Final = 2
MT_SONAME: Final = 8
MT_SOOPTS: Final = 10
MT_FTABLE: Final = 11
MT_RIGHTS: Final = 12
MT_CONTROL: Final = 14
MT_OOBDATA: Final = 15

_TYPES: Final = frozenset(
    {MT_DATA, MT_HEADER, MT_SONAME, MT_SOOPTS, MT_FTABLE, MT_RIGHTS, MT_CONTROL, MT_OOBDATA}
)

# Flags.
M_EXT: Final = 0x0001
M_PKTHDR: Final = 0x0002
M_EOR: Final = 0x0004
M_LOOP: Final = 0x0040
M_BCAST: Final = 0x0100
M_MCAST: Final = 0x0200
M_FRAG: Final = 0x0400
M_FIRSTFRAG: Final = 0x0800
M_LASTFRAG: Final = 0x1000
M_PROMISC: Final = 0x2000
M_HASFCS: Final = 0x4000

M_OF_PACKET: Final = (
    M_LOOP | M_BCAST | M_MCAST | M_FRAG | M_FIRSTFRAG | M_LASTFRAG | M_PROMISC | M_HASFCS
)
"""The flags that speak of the packet and go where its header goes."""

SETTABLE: Final = M_PKTHDR | M_EOR | M_OF_PACKET
"""The flags a program may change."""


def check_type(type: int) -> None:
    """
    Refuse what an mbuf cannot be made.

    Raises:
        OSError: EINVAL, MT_FREE, or not a type.
    """
    if type not in _TYPES:
        raise oserror(errno.EINVAL, f"{type} is not a type an mbuf can be given")
