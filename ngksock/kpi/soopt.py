"""getsockopt and setsockopt: what Python keeps, and what the host does (kpi-socket.md §2.4, §6.9).

Timeouts, low-water marks and linger never reach the descriptor: the first two
would change what readiness means, and close(2) would stop the reactor for the
third.  Buffer sizes are remembered, for Linux reports twice what it was told.
Options that only Darwin has are all kept here; what is not in the two tables
below is the driver's.

Three of them are kept and have no effect: SO_NOSIGPIPE (no call ever raises
the signal), SO_UPCALLCLOSEWAIT (upcalls run one at a time) and SO_NOADDRERR
(nothing tells us that an address went).  Of SO_RESTRICTIONS only DENY_IN and
DENY_OUT can be kept to: a process does not see what a route costs.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ngksock.errors import oserror
from ngksock.kpi import constants as c
from ngksock.kpi import traffic
from ngksock.kpi.optform import pack_time, timeval_seconds, unpack_time
from ngksock.kpi.sockopt import SO_MODE, SOL_BSD, host_option, recall, remember
from ngksock.kpi.state import READ, WRITE

if TYPE_CHECKING:
    from ngksock.kpi.callbacks import Callbacks
    from ngksock.kpi.socket import Socket

__all__ = ["inherit", "recall", "remember", "sogetopt", "sosetopt"]

Value = int | bytes | tuple[int, int]

_SOL: Final = c.SOL_SOCKET
_SO_PROTOCOL: Final = getattr(socket, "SO_PROTOCOL", 0x1016)
_SO_DOMAIN: Final = getattr(socket, "SO_DOMAIN", 0x1019)
_FULLY_SHUT: Final = c.SS_CANTSENDMORE | c.SS_CANTRCVMORE

_FLAGS: Final = (
    c.SO_NOSIGPIPE,
    c.SO_NOADDRERR,
    c.SO_UPCALLCLOSEWAIT,
    c.SO_DONTTRUNC,
    c.SO_WANTMORE,
    c.SO_WANTOOBFLAG,
)
"""Options that are remembered, and that others look up where they matter."""

_NOT_INHERITED: Final = frozenset({c.SO_UPCALLCLOSEWAIT, c.SIOCSPGRP})

_RESTRICTIONS: Final = (
    c.SO_RESTRICT_DENY_IN
    | c.SO_RESTRICT_DENY_OUT
    | c.SO_RESTRICT_DENY_CELLULAR
    | c.SO_RESTRICT_DENY_EXPENSIVE
    | c.SO_RESTRICT_DENY_CONSTRAINED
)

_LINGER_UNIT: Final = 100 if sys.platform == "darwin" else 1
"""SO_LINGER counts so many of its units a second, as on this host."""

_NPX: Final = struct.Struct("II")
"""The value of SO_NP_EXTENSIONS: flags, and which of them are meant."""

_WHOLE_INTS: Final = frozenset(
    {(int(socket.IPPROTO_IP), int(socket.IP_TOS)), (int(socket.IPPROTO_IP), int(socket.IP_TTL))}
)
"""Ints of which Linux would take one byte, which BSD takes in multicast options alone."""

_GET_MAX: Final = 1024
"""The most bytes Python asks the host for."""


# -- to get


def sogetopt(so: Socket, level: int, name: int, length: int | None) -> int | bytes:
    """
    Return an option of *so*: an int, or *length* bytes at most.

    Raises:
        OSError: ENOPROTOOPT, there is no such option.  EINVAL, *length* is
            not one.
    """
    _check_numbers(level, name)
    if length is not None and (not isinstance(length, int) or length < 0):
        raise oserror(errno.EINVAL, f"{length!r} is not a number of bytes")
    if level == SOL_BSD != _SOL and name not in _DARWIN:
        return _cut(host_option(level, name).get(so), length)
    get = _GET.get(name) if level in (_SOL, SOL_BSD) else None
    kept = None if get is None else get(so)
    if kept is None:
        return _from_driver(so, level, name, length)
    if isinstance(kept, int):
        return kept if length is None else struct.pack("i", kept)[:length]
    return kept if length is None else kept[:length]


def _cut(raw: bytes, length: int | None) -> int | bytes:
    if length is not None:
        return raw[:length]
    return _int(raw) if len(raw) == 4 else raw


def _from_driver(so: Socket, level: int, name: int, length: int | None) -> int | bytes:
    try:
        if length is None:
            return so.driver.ctloutput(level, name)
        found = so.driver.ctloutput(level, name, None, max(length, 4))
    except OSError as error:
        if error.errno is None and length is not None and length > _GET_MAX:
            return _from_driver(so, level, name, _GET_MAX)
        raise _no_option(error, level, name) from None
    return found[:length] if isinstance(found, bytes) else struct.pack("i", found)[:length]


def _no_option(error: OSError, level: int, name: int) -> OSError:
    """Return *error*, or ENOPROTOOPT: a level the host does not know is EOPNOTSUPP to some."""
    if error.errno not in (errno.EOPNOTSUPP, errno.ENOPROTOOPT):
        return error
    return oserror(errno.ENOPROTOOPT, f"there is no socket option {name:#x} at level {level:#x}")


def _get_error(so: Socket) -> int:
    return so.takeerror()


def _get_linger(so: Socket) -> bytes:
    return struct.pack("ii", so.linger is not None, (so.linger or 0) * _LINGER_UNIT)


def _get_linger_sec(so: Socket) -> bytes:
    return struct.pack("ii", so.linger is not None, so.linger or 0)


def _get_buffer(name: int, so: Socket) -> int | None:
    kept = recall(so, name, -1)
    return None if kept < 0 else kept


def _get_nread(so: Socket) -> int:
    """Return the bytes to receive; of the first packet alone where packets count."""
    batch = so.so_rcv.batch
    if so.proto.type == socket.SOCK_STREAM or not batch:
        return so.so_rcv.cc
    return batch[0].len


def _get_nwrite(so: Socket) -> int:
    """Return the bytes that have not reached the peer's system."""
    if so.so_comp is not None:
        return 0
    return so.so_snd.cc + so.driver.outq()


def _get_packets(so: Socket) -> int:
    if so.proto.type == socket.SOCK_STREAM:
        raise oserror(errno.ENOPROTOOPT, "a stream has no packets to count")
    return len(so.so_rcv.batch or ())


def _get_extensions(so: Socket) -> bytes:
    return _NPX.pack(recall(so, c.SO_NP_EXTENSIONS), c.SONPX_SETOPTSHUT)


def _get_defunctok(so: Socket) -> int:
    return recall(so, c.SO_DEFUNCTOK, int(so.proto.domain != socket.AF_UNIX))


def _get_remembered(name: int, so: Socket) -> int:
    return recall(so, name)


# The driver sets SO_KEEPALIVE for reasons of its own; here is the owner's word.
_REMEMBERED: Final = (
    *_FLAGS,
    c.SO_KEEPALIVE,
    c.SO_RESTRICTIONS,
    c.SO_TRAFFIC_CLASS,
    c.SO_NET_SERVICE_TYPE,
    c.SO_TRAFFIC_MGT,
)

_GET: Final[dict[int, Callable[[Any], int | bytes | None]]] = {
    c.SO_ERROR: _get_error,
    c.SO_TYPE: lambda so: so.proto.type,
    _SO_PROTOCOL: lambda so: so.proto.protocol,
    _SO_DOMAIN: lambda so: so.proto.domain,
    c.SO_ACCEPTCONN: lambda so: int(so.so_comp is not None),
    c.SO_RCVTIMEO: lambda so: pack_time(so.so_rcv.timeo),
    c.SO_SNDTIMEO: lambda so: pack_time(so.so_snd.timeo),
    c.SO_RCVLOWAT: lambda so: so.so_rcv.lowat,
    c.SO_SNDLOWAT: lambda so: so.so_snd.lowat,
    c.SO_RCVBUF: partial(_get_buffer, c.SO_RCVBUF),
    c.SO_SNDBUF: partial(_get_buffer, c.SO_SNDBUF),
    c.SO_LINGER: _get_linger,
    c.SO_LINGER_SEC: _get_linger_sec,
    SO_MODE: lambda so: so.mode,
    c.SO_NREAD: _get_nread,
    c.SO_NWRITE: _get_nwrite,
    c.SO_NUMRCVPKT: _get_packets,
    c.SO_NP_EXTENSIONS: _get_extensions,
    c.SO_DEFUNCTOK: _get_defunctok,
    c.SO_ISDEFUNCT: lambda so: int(bool(so.state & c.SS_DEFUNCT)),
    **{name: partial(_get_remembered, name) for name in _REMEMBERED},
}


# -- to set


def sosetopt(so: Socket, level: int, name: int, value: Value) -> None:
    """
    Set an option of *so*.

    Raises:
        OSError: EINVAL, not a value of this option, or both directions are
            shut down.  EDOM, a time out of range.  ENOPROTOOPT, no such
            option, or one to read only.  EBADF, SO_DEFUNCTOK of a defunct
            socket.
    """
    _check_numbers(level, name)
    ours = level == _SOL or (level == SOL_BSD and name in _DARWIN)
    if ours and name == c.SO_DEFUNCTOK and so.state & c.SS_DEFUNCT:
        raise oserror(errno.EBADF, "the socket is defunct already")
    shut = so.state & _FULLY_SHUT == _FULLY_SHUT
    if shut and not recall(so, c.SO_NP_EXTENSIONS) & c.SONPX_SETOPTSHUT:
        raise oserror(errno.EINVAL, "both directions are shut down")
    value = _checked(value)
    if level == SOL_BSD and not ours:
        host = host_option(level, name)
        if isinstance(value, tuple) and host.form.kind == "time":
            value = pack_time(_timeval(value))
        elif isinstance(value, tuple):
            raise _no_time()
        host.set(so, struct.pack("i", value) if isinstance(value, int) else value)
        return
    if ours and name in _READ_ONLY:
        raise oserror(errno.ENOPROTOOPT, "the option can only be read")
    put = _PUT.get(name) if ours else None
    if put is not None:
        put(so, value)
        return
    if isinstance(value, tuple):
        raise _no_time()
    if (level, name) in _WHOLE_INTS:
        value = _int(value)
    try:
        so.driver.ctloutput(level, name, value)
    except OSError as error:
        raise _no_option(error, level, name) from None


def _check_numbers(level: Any, name: Any) -> None:
    for number in (level, name):
        if not isinstance(number, int) or not -(1 << 31) <= number < 1 << 31:
            raise oserror(errno.ENOPROTOOPT, f"{number!r} is not the number of an option")


def _checked(value: Any) -> Value:
    """Return *value* as one of the three kinds of values; an unsigned int as its signed twin."""
    if isinstance(value, int):
        if not -(1 << 31) <= value < 1 << 32:
            raise oserror(errno.EINVAL, f"{value} does not fit in 32 bits")
        return value - (1 << 32) if value >= 1 << 31 else int(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, tuple) and len(value) == 2 and all(isinstance(i, int) for i in value):
        return value
    raise oserror(errno.EINVAL, f"{value!r} is neither an int nor bytes nor a time")


def _bytes(value: Value) -> bytes:
    if not isinstance(value, bytes):
        raise oserror(errno.EINVAL, "the option takes a structure")
    return value


def _int(value: Value) -> int:
    if isinstance(value, int):
        return value
    if not isinstance(value, bytes) or len(value) < 4:
        raise oserror(errno.EINVAL, "the option takes an int")
    return int.from_bytes(value[:4], sys.byteorder, signed=True)


def _positive(value: Value) -> int:
    number = _int(value)
    if number < 1:
        raise oserror(errno.EINVAL, f"{number} is not a size")
    return number


def _no_time() -> OSError:
    return oserror(errno.EINVAL, "only a timeout is given as (seconds, microseconds)")


def _timeval(value: Value) -> float:
    if isinstance(value, tuple):
        return timeval_seconds(*value)
    return unpack_time(_bytes(value))


def _put_flag(name: int, so: Socket, value: Value) -> None:
    remember(so, name, int(_int(value) != 0))


def _put_rcvtimeo(so: Socket, value: Value) -> None:
    so.so_rcv.timeo = _timeval(value)


def _put_sndtimeo(so: Socket, value: Value) -> None:
    so.so_snd.timeo = _timeval(value)


def _put_linger(unit: int, so: Socket, value: Value) -> None:
    raw = _bytes(value)
    if len(raw) < 8:
        raise oserror(errno.EINVAL, "a struct linger has 8 bytes")
    on, time = struct.unpack_from("ii", raw)
    if on and time < 0:
        raise oserror(errno.EINVAL, f"{time} is not a time to linger")
    so.linger = -(-time // unit) if on else None  # rounded up: 0 would be a reset


def _put_rcvlowat(so: Socket, value: Value) -> None:
    """A mark that is satisfied already is told of at once."""
    rcv = so.so_rcv
    rcv.lowat = min(_positive(value), rcv.hiwat)
    if rcv.cc >= rcv.lowat:
        so.post(READ, rcv)


def _put_sndlowat(so: Socket, value: Value) -> None:
    snd = so.so_snd
    snd.lowat = min(_positive(value), snd.hiwat)
    if snd.space >= snd.lowat:
        so.post(WRITE, snd)


def _put_sndbuf(so: Socket, value: Value) -> None:
    """so_snd grows and shrinks with the host's buffer."""
    size = _positive(value)
    so.driver.ctloutput(_SOL, c.SO_SNDBUF, size)
    remember(so, c.SO_SNDBUF, size)
    snd = so.so_snd
    snd.hiwat = size
    snd.lowat = min(snd.lowat, size)
    snd.high = snd.high or snd.cc >= size  # whoever finds it full is told when it is not


def _put_rcvbuf(so: Socket, value: Value) -> None:
    """so_rcv only shrinks: the host's buffer stands before it."""
    size = _positive(value)
    so.driver.ctloutput(_SOL, c.SO_RCVBUF, size)
    remember(so, c.SO_RCVBUF, size)
    so.so_rcv.hiwat = min(size, c.SB_HIWAT)
    so.so_rcv.lowat = min(so.so_rcv.lowat, so.so_rcv.hiwat)
    if so.so_rcv.cc >= so.so_rcv.lowat:
        so.post(READ, so.so_rcv)


def _put_mode(so: Socket, value: Value) -> None:
    so.mode = _int(value) & 0o777


def _put_keepalive(so: Socket, value: Value) -> None:
    so.driver.ctloutput(_SOL, c.SO_KEEPALIVE, _int(value))
    remember(so, c.SO_KEEPALIVE, int(_int(value) != 0))


def _put_restrictions(so: Socket, value: Value) -> None:
    """A trapdoor: what is denied stays denied."""
    bits = _int(value)
    if bits & ~_RESTRICTIONS:
        raise oserror(errno.EINVAL, f"{bits:#x} has restrictions that do not exist")
    remember(so, c.SO_RESTRICTIONS, recall(so, c.SO_RESTRICTIONS) | bits)


def _put_extensions(so: Socket, value: Value) -> None:
    """An int stands for all flags; the structure says which of them are meant."""
    flags, mask = _int(value), c.SONPX_SETOPTSHUT
    if isinstance(value, bytes) and len(value) >= _NPX.size:
        flags, mask = _NPX.unpack_from(value)
        flags &= mask
    if (flags | mask) & ~c.SONPX_SETOPTSHUT:
        raise oserror(errno.EINVAL, f"{flags:#x} has extensions that do not exist")
    remember(so, c.SO_NP_EXTENSIONS, recall(so, c.SO_NP_EXTENSIONS) & ~mask | flags)


def _put_isdefunct(so: Socket, value: Value) -> None:
    raise oserror(errno.EINVAL, "a socket is made defunct by defunct()")


def _put_class(so: Socket, value: Value) -> None:
    traffic.set_class(so, _int(value))


def _put_service(so: Socket, value: Value) -> None:
    traffic.set_service(so, _int(value))


_PUT: Final[dict[int, Callable[[Any, Value], None]]] = {
    c.SO_RCVTIMEO: _put_rcvtimeo,
    c.SO_SNDTIMEO: _put_sndtimeo,
    c.SO_RCVLOWAT: _put_rcvlowat,
    c.SO_SNDLOWAT: _put_sndlowat,
    c.SO_RCVBUF: _put_rcvbuf,
    c.SO_SNDBUF: _put_sndbuf,
    c.SO_LINGER: partial(_put_linger, _LINGER_UNIT),
    c.SO_LINGER_SEC: partial(_put_linger, 1),
    c.SO_KEEPALIVE: _put_keepalive,
    SO_MODE: _put_mode,
    c.SO_RESTRICTIONS: _put_restrictions,
    c.SO_NP_EXTENSIONS: _put_extensions,
    c.SO_TRAFFIC_CLASS: _put_class,
    c.SO_NET_SERVICE_TYPE: _put_service,
    c.SO_DEFUNCTOK: partial(_put_flag, c.SO_DEFUNCTOK),
    c.SO_ISDEFUNCT: _put_isdefunct,
    **{name: partial(_put_flag, name) for name in _FLAGS},
}

_READ_ONLY: Final = frozenset(_GET) - frozenset(_PUT)

_DARWIN: Final = frozenset(name for name in _GET if 0x1020 <= name < 0x1200)
"""Darwin's own options, which level 0xffff may name too: FreeBSD has none of these numbers."""


# -- to hand down


def inherit(listener: Callbacks, so: Callbacks) -> None:
    """
    Give *so*, which has come in, the options of its listener (kpi-socket.md §6.1).

    All but SO_UPCALLCLOSEWAIT, the timeouts, the low-water marks, the process
    group and TCP_RECVBG; the state bits are the caller's to copy.
    """
    so.linger = listener.linger
    so.so_rcv.hiwat, so.so_snd.hiwat = listener.so_rcv.hiwat, listener.so_snd.hiwat
    so.so_snd.lowat = min(so.so_snd.lowat, so.so_snd.hiwat)
    if listener.remembered is not None:
        so.remembered = {
            option: value
            for option, value in listener.remembered.items()
            if option[0] != _SOL or option[1] not in _NOT_INHERITED
        }
        traffic.inherited(so)
