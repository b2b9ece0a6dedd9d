"""getsockopt and setsockopt: what Python keeps, and what the host does.

Timeouts, low-water marks and linger never reach the descriptor: the first two
would change what readiness means, and close(2) would stop the reactor for the
third.  Buffer sizes are remembered, for Linux reports twice what it was told.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from typing import TYPE_CHECKING, Final

from ngksock.errors import oserror
from ngksock.kpi.constants import SB_HIWAT, SS_CANTRCVMORE, SS_CANTSENDMORE
from ngksock.kpi.optform import pack_time, unpack_time
from ngksock.kpi.sockopt import SO_MODE, SOL_BSD, host_option
from ngksock.kpi.state import READ, WRITE

if TYPE_CHECKING:
    from ngksock.kpi.socket import Socket

__all__ = ["sogetopt", "sosetopt"]

_SOL: Final = socket.SOL_SOCKET
_SO_PROTOCOL: Final = getattr(socket, "SO_PROTOCOL", 0x1016)
_SO_DOMAIN: Final = getattr(socket, "SO_DOMAIN", 0x1019)
_BUFFERS: Final = (socket.SO_SNDBUF, socket.SO_RCVBUF)
_READ_ONLY: Final = frozenset(
    {socket.SO_ERROR, socket.SO_TYPE, socket.SO_ACCEPTCONN, _SO_PROTOCOL, _SO_DOMAIN}
)
_FULLY_SHUT: Final = SS_CANTSENDMORE | SS_CANTRCVMORE


def sogetopt(so: Socket, level: int, name: int, length: int | None) -> int | bytes:
    """Return an option of *so*: an int, or *length* bytes at most."""
    if level == SOL_BSD != _SOL:
        raw = host_option(level, name).get(so)
        return _int(raw) if length is None else raw[:length]
    kept = _kept(so, name) if level == _SOL else None
    if kept is None:
        return so.driver.ctloutput(level, name, None, length or 0)
    if isinstance(kept, int) and length is not None:
        return struct.pack("i", kept)[:length]
    return kept if length is None or isinstance(kept, int) else kept[:length]


def _kept(so: Socket, name: int) -> int | bytes | None:
    """Return what Python keeps under *name*, or None: it is the host's."""
    if name == socket.SO_ERROR:
        return so.takeerror()
    if name in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        return pack_time((so.so_rcv if name == socket.SO_RCVTIMEO else so.so_snd).timeo)
    if name == socket.SO_LINGER:
        on = so.linger is not None
        return struct.pack("ii", on, so.linger or 0)
    if name in _BUFFERS:
        return None if so.remembered is None else so.remembered.get((_SOL, name))
    if name == socket.SO_KEEPALIVE:
        # The driver sets it for reasons of its own; this is the owner's word.
        return 0 if so.remembered is None else so.remembered.get((_SOL, name), 0)
    return {
        socket.SO_RCVLOWAT: so.so_rcv.lowat,
        socket.SO_SNDLOWAT: so.so_snd.lowat,
        socket.SO_ACCEPTCONN: int(so.so_comp is not None),
        socket.SO_TYPE: so.proto.type,
        _SO_PROTOCOL: so.proto.protocol,
        _SO_DOMAIN: so.proto.domain,
        SO_MODE: so.mode,
    }.get(name)


def sosetopt(so: Socket, level: int, name: int, value: int | bytes) -> None:
    """Set an option of *so*."""
    if level == SOL_BSD != _SOL:
        raw = struct.pack("i", value) if isinstance(value, int) else value
        host_option(level, name).set(so, raw)
        return
    if so.state & _FULLY_SHUT == _FULLY_SHUT:
        raise oserror(errno.EINVAL, "both directions are shut down")
    if level == _SOL and _keep(so, name, value):
        return
    so.driver.ctloutput(level, name, value)


def _keep(so: Socket, name: int, value: int | bytes) -> bool:
    """Keep *value* under *name*; return False when it is the host's."""
    if name in _READ_ONLY:
        raise oserror(errno.ENOPROTOOPT, "the option can only be read")
    if name in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        seconds = unpack_time(_bytes(value))
        (so.so_rcv if name == socket.SO_RCVTIMEO else so.so_snd).timeo = seconds
    elif name == socket.SO_LINGER:
        on, seconds_ = struct.unpack_from("ii", _bytes(value).ljust(8, b"\0"))
        if len(_bytes(value)) < 8 or (on and seconds_ < 0):
            raise oserror(errno.EINVAL)
        so.linger = seconds_ if on else None
    elif name in (socket.SO_RCVLOWAT, socket.SO_SNDLOWAT):
        _set_lowat(so, name, _positive(value))
    elif name == SO_MODE:
        so.mode = _int(value) & 0o777
    elif name in _BUFFERS:
        _set_buffer(so, name, _positive(value))
    elif name == socket.SO_KEEPALIVE:
        so.driver.ctloutput(_SOL, name, _int(value))
        _remember(so, name, int(_int(value) != 0))
    else:
        return False
    return True


def _set_lowat(so: Socket, name: int, value: int) -> None:
    """A mark that is satisfied already is told of at once."""
    if name == socket.SO_RCVLOWAT:
        so.so_rcv.lowat = min(value, so.so_rcv.hiwat)
        if so.so_rcv.cc >= so.so_rcv.lowat:
            so.post(READ, so.so_rcv)
    else:
        so.so_snd.lowat = min(value, so.so_snd.hiwat)
        if so.so_snd.space >= so.so_snd.lowat:
            so.post(WRITE, so.so_snd)


def _set_buffer(so: Socket, name: int, value: int) -> None:
    """so_snd grows and shrinks with the host's buffer; so_rcv only shrinks."""
    so.driver.ctloutput(_SOL, name, value)
    _remember(so, name, value)
    if name == socket.SO_SNDBUF:
        so.so_snd.hiwat = value
    else:
        so.so_rcv.hiwat = min(value, SB_HIWAT)


def _remember(so: Socket, name: int, value: int) -> None:
    if so.remembered is None:
        so.remembered = {}
    so.remembered[_SOL, name] = value


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise oserror(errno.EINVAL, "the option takes a structure")
    return value


def _int(value: int | bytes) -> int:
    if isinstance(value, int):
        return value
    if len(value) < 4:
        raise oserror(errno.EINVAL, "the option takes an int")
    return int.from_bytes(value[:4], sys.byteorder, signed=True)


def _positive(value: int | bytes) -> int:
    number = _int(value)
    if number < 1:
        raise oserror(errno.EINVAL, f"{number} is not a size")
    return number
