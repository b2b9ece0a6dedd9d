"""Clusters: where the bytes of mbufs are, and how many mbufs share them.

Sizes are XNU's (kpi-socket.md §11.1).  There is no pool behind them: what is
not wrapped or attached is a bytearray.  Nothing here counts where an mbuf's
data begin; that is the mbuf's own affair, so two mbufs may see different
parts of one cluster.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import ClassVar, Final, Self

from ngksock.errors import oserror

__all__ = [
    "INT_MAX",
    "LEAD",
    "M16KCLBYTES",
    "MBIGCLBYTES",
    "MCLBYTES",
    "MINCLSIZE",
    "MSIZE",
    "Cluster",
    "Inline",
    "flat",
    "storage",
]

MSIZE: Final = 256
"""What an mbuf holds in itself, in bytes; we count no header against it."""

MCLBYTES: Final = 2048
MBIGCLBYTES: Final = 4096
M16KCLBYTES: Final = 16384

MINCLSIZE: Final = 2 * MSIZE
"""What a header mbuf and a plain one hold together without a cluster."""

LEAD: Final = 64
"""So much leading space has a copy we make on our own, for headers to come."""

INT_MAX: Final = 0x7FFFFFFF
"""No chain is longer."""


class Cluster:
    """
    Storage that one or more mbufs share.

    Args:
        buf: The bytes, flat; read-only if nobody may write to them.
        free: Called once no mbuf has a share any more, or None.

    ``shares`` counts the mbufs that use it, and those who were lent a view
    and will never say that they are done.
    """

    __slots__ = ("buf", "free", "shares")

    ext: ClassVar[bool] = True
    """Whether an mbuf on it has the flag M_EXT."""

    def __init__(self, buf: memoryview, free: Callable[[], object] | None = None) -> None:
        self.buf = buf
        self.free = free
        self.shares = 1

    @property
    def writable(self) -> bool:
        """Whether a write harms nobody else: one share, and not read-only."""
        return self.shares == 1 and not self.buf.readonly

    def share(self) -> Self:
        """Count one more mbuf; return the cluster for it."""
        self.shares += 1
        return self

    def release(self) -> None:
        """Count one mbuf less; after the last one the free function runs."""
        self.shares -= 1
        if not self.shares and self.free is not None:
            self.buf = memoryview(b"")  # whose buffer it is may resize it then
            self.free()


class Inline(Cluster):
    """The 256 bytes within an mbuf: a cluster to the code, none by its flags."""

    __slots__ = ()

    ext = False

    def __init__(self) -> None:
        super().__init__(memoryview(bytearray(MSIZE)))


def storage(room: int) -> Cluster:
    """Return new storage for at least *room* bytes, of the smallest size that will do."""
    if room <= MSIZE:
        return Inline()
    fitting = (size for size in (MCLBYTES, MBIGCLBYTES, M16KCLBYTES) if room <= size)
    return Cluster(memoryview(bytearray(next(fitting, room))))


def flat(data: bytes | bytearray | memoryview) -> memoryview:
    """
    Return a view of *data* byte by byte, whatever its items are; nothing is copied.

    Raises:
        OSError: EINVAL, the bytes do not lie one behind the other.
        TypeError: *data* has no bytes.
    """
    view = memoryview(data)
    if view.format == "B" and view.ndim == 1 and view.c_contiguous:
        return view
    if not view.c_contiguous:
        raise oserror(errno.EINVAL, "the bytes of the buffer do not lie one behind the other")
    return view.cast("B") if view.nbytes else memoryview(b"")
