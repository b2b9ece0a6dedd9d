"""ioctl of a socket: what Python does, and what the host is asked for (kpi-socket.md §6.11)."""

from __future__ import annotations

import errno
import socket
import struct
from typing import TYPE_CHECKING, Any, Final

from ngksock.errors import oserror
from ngksock.kpi import constants as c
from ngksock.kpi.sockopt import recall, remember

if TYPE_CHECKING:
    from ngksock.kpi.socket import Socket

__all__ = ["soioctl"]

_INT: Final = struct.Struct("i")

_DARWIN: Final = {
    0x8004667E: c.FIONBIO,
    0x8004667D: c.FIOASYNC,
    0x4004667F: c.FIONREAD,
    0x40047307: c.SIOCATMARK,
    0x80047308: c.SIOCSPGRP,
    0x40047309: c.SIOCGPGRP,
}
"""Darwin's numbers of what Linux numbers otherwise."""

_BITS: Final = {c.FIONBIO: c.SS_NBIO, c.FIOASYNC: c.SS_ASYNC}

_ARG_MAX: Final = 1024
"""The longest structure Python hands to ioctl(2)."""


def soioctl(so: Socket, request: int, arg: Any = None) -> int | bytes | None:
    """
    Do what *request* says; see `ISocketOptions.ioctl`.

    Args:
        so: The socket.
        request: The host's number or Darwin's.
        arg: An int, the bytes of a structure, or None (4 bytes of zeros).

    Raises:
        OSError: EOPNOTSUPP, the host has no such request.  EINVAL, *arg* is
            too short, too long, or of another type.
    """
    if not isinstance(request, int) or not -(1 << 31) <= request < 1 << 32:
        raise oserror(errno.EINVAL, f"{request!r} is not the number of a request")
    request &= 0xFFFFFFFF  # the high bit makes it negative where a number is an int
    request = _DARWIN.get(request, request)
    if request in _BITS:
        _set_bit(so, _BITS[request], _int(arg))
        return None
    if request == c.SIOCSPGRP:
        remember(so, c.SIOCSPGRP, _int(arg))
        return None
    if request == c.SIOCGPGRP:
        return recall(so, c.SIOCSPGRP)
    if request == c.FIONREAD:
        return so.so_rcv.cc
    if request == c.SIOCATMARK:
        return _at_mark(so)
    return _ask_host(so, request, _bytes(arg))


def _set_bit(so: Socket, bit: int, on: int) -> None:
    """The descriptor is non-blocking whatever this says, and never signals."""
    so.state = so.state | bit if on else so.state & ~bit


def _at_mark(so: Socket) -> int:
    """Not while something waits in so_rcv: it came before the mark."""
    if so.proto.type != socket.SOCK_STREAM or so.so_comp is not None or so.so_rcv.cc:
        return 0
    answer = _ask_host(so, c.SIOCATMARK, bytes(_INT.size))
    return int(_INT.unpack_from(answer)[0] != 0)


def _ask_host(so: Socket, request: int, arg: bytes) -> bytes:
    try:
        return so.driver.ioctl(request, arg)
    except OSError as error:
        if error.errno not in (errno.ENOTTY, errno.EOPNOTSUPP):
            raise
        raise oserror(errno.EOPNOTSUPP, f"the host has no request {request:#x}") from None


def _int(arg: Any) -> int:
    if isinstance(arg, int):
        return arg
    if not isinstance(arg, (bytes, bytearray, memoryview)) or len(arg) < _INT.size:
        raise oserror(errno.EINVAL, f"{arg!r} is not an int")
    number: int = _INT.unpack_from(arg)[0]
    return number


def _bytes(arg: Any) -> bytes:
    if arg is None:
        return bytes(_INT.size)
    if isinstance(arg, int):
        if not -(1 << 31) <= arg < 1 << 32:
            raise oserror(errno.EINVAL, f"{arg} does not fit in 32 bits")
        return _INT.pack(arg - (1 << 32) if arg >= 1 << 31 else arg)
    if not isinstance(arg, (bytes, bytearray, memoryview)) or len(arg) > _ARG_MAX:
        raise oserror(errno.EINVAL, f"neither an int nor up to {_ARG_MAX} bytes of a structure")
    return bytes(arg)
