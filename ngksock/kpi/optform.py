"""The forms an option's value has: as text, in FreeBSD's bytes, in the host's.

A form is one object with four methods; `ngksock.kpi.sockopt` says which option
has which.  The host's layouts and FreeBSD's are the same on 64-bit machines
where nothing is said here.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable
from typing import Final, NamedTuple

from ngksock.errors import oserror
from ngksock.kpi.sockaddr import scope_id, scope_name

__all__ = [
    "ADDRESS",
    "BOOL",
    "DONTFRAG",
    "INT",
    "INTERFACE",
    "INTERFACE6",
    "LINGER",
    "MEMBERSHIP",
    "MEMBERSHIP6",
    "MODE",
    "TIME",
    "Form",
    "pack_time",
    "timeval_seconds",
    "unpack_time",
]

_INT: Final = struct.Struct("i")
_PAIR: Final = struct.Struct("ii")
_TIMEVAL: Final = struct.Struct("qq")
_MREQN: Final = struct.Struct("4s4si")
_MREQ6: Final = struct.Struct("16sI")

_WORDS: Final = {
    "1": 1, "on": 1, "yes": 1, "true": 1,
    "0": 0, "off": 0, "no": 0, "false": 0,
}  # fmt: skip

Host = int | bytes
"""A value as setsockopt(2) of the host takes it."""


class Form(NamedTuple):
    """
    One form of option values.

    Args:
        kind: What it is called: bool, int, linger, time and so on.
        size: How many bytes to ask the host for.
        encode: Text to FreeBSD's bytes; OSError(EINVAL) with a sentence.
        decode: FreeBSD's bytes to text that `encode` takes back.
        to_host: FreeBSD's bytes to the host's value.
        from_host: The host's bytes to FreeBSD's; the second argument is the
            option's own bit, as which a set boolean reads back.
    """

    kind: str
    size: int
    encode: Callable[[str], bytes]
    decode: Callable[[bytes], str]
    to_host: Callable[[bytes], Host]
    from_host: Callable[[bytes, int], bytes]


def _bad(text: str, wanted: str) -> OSError:
    shown = text if len(text) <= 40 else text[:37] + "..."
    return oserror(errno.EINVAL, f"{shown!r} is not {wanted}")


def _need(value: bytes, size: int) -> bytes:
    """Return the first *size* bytes; longer is fine, shorter is EINVAL."""
    if len(value) < size:
        raise oserror(errno.EINVAL, f"the value has {len(value)} bytes, the option takes {size}")
    return value[:size]


def _as_is(value: bytes, _bit: int) -> bytes:
    return value


# -- numbers


def _int(value: bytes) -> int:
    number: int = _INT.unpack(_need(value, 4))[0]
    return number


def _encode_int(text: str) -> bytes:
    try:
        number = int(text, 0)
    except ValueError:
        raise _bad(text, "a number") from None
    if not -(2**31) <= number < 2**32:
        raise _bad(text, "a number of 32 bits")
    return (number & 0xFFFFFFFF).to_bytes(4, "little" if _INT.pack(1)[0] else "big")


def _encode_bool(text: str) -> bytes:
    if text.lower() not in _WORDS:
        raise _bad(text, "0 or 1")
    return _INT.pack(_WORDS[text.lower()])


def _bit_of(value: bytes, bit: int) -> bytes:
    return _INT.pack(bit if _int(value) else 0)


def _encode_mode(text: str) -> bytes:
    try:
        mode = int(text, 8)
    except ValueError:
        raise _bad(text, "an octal file mode") from None
    if not 0 <= mode <= 0o777:
        raise _bad(text, "a file mode in 0..0777")
    return _INT.pack(mode)


INT: Final = Form("int", 4, _encode_int, lambda v: str(_int(v)), _int, _as_is)

BOOL: Final = Form(
    "bool", 4, _encode_bool, lambda v: "1" if _int(v) else "0", lambda v: int(_int(v) != 0), _bit_of
)

MODE: Final = Form("mode", 4, _encode_mode, lambda v: f"{_int(v):04o}", _int, _as_is)

DONTFRAG: Final = Form(  # path MTU discovery on Linux: 2 is always, 0 is never
    "bool",
    4,
    _encode_bool,
    lambda v: "1" if _int(v) else "0",
    lambda v: 2 if _int(v) else 0,
    lambda v, bit: _INT.pack(int(_int(v) == 2)),
)


# -- times


def pack_time(seconds: float) -> bytes:
    """Return a struct timeval."""
    whole, part = divmod(round(seconds * 1_000_000), 1_000_000)
    return _TIMEVAL.pack(whole, part)


def timeval_seconds(whole: int, part: int) -> float:
    """
    Return the seconds of *whole* seconds and *part* microseconds.

    Raises:
        OSError: EDOM, negative, a second or more of microseconds, or more
            than 68 years.
    """
    if not 0 <= whole < 1 << 31 or not 0 <= part < 1_000_000:
        raise oserror(errno.EDOM, f"{whole} s and {part} us are not a time to wait")
    return whole + part / 1_000_000


def unpack_time(value: bytes) -> float:
    """Return the seconds of a struct timeval; EINVAL if short, EDOM as `timeval_seconds`."""
    whole, part = _TIMEVAL.unpack(_need(value, _TIMEVAL.size))
    return timeval_seconds(whole, part)


def _encode_time(text: str) -> bytes:
    try:
        seconds = float(text)
    except ValueError:
        raise _bad(text, "a time in seconds") from None
    if not 0 <= seconds < 2**31:  # and NaN
        raise _bad(text, "a time in seconds")
    return pack_time(seconds)


TIME: Final = Form(
    "time",
    _TIMEVAL.size,
    _encode_time,
    lambda v: f"{unpack_time(v):g}",
    lambda v: _need(v, _TIMEVAL.size),
    _as_is,
)


def _encode_linger(text: str) -> bytes:
    try:
        seconds = int(text, 10)
    except ValueError:
        seconds = -2
    if not -1 <= seconds <= 0x7FFF:
        raise _bad(text, "a linger time in 0..32767 seconds, or -1 for none")
    return _PAIR.pack(0, 0) if seconds < 0 else _PAIR.pack(1, seconds)


def _decode_linger(value: bytes) -> str:
    on, seconds = _PAIR.unpack(_need(value, 8))
    return str(seconds) if on else "-1"


def _linger_bit(value: bytes, bit: int) -> bytes:
    on, seconds = _PAIR.unpack(_need(value, 8))
    return _PAIR.pack(bit if on else 0, seconds)


LINGER: Final = Form(
    "linger", 8, _encode_linger, _decode_linger, lambda v: _need(v, 8), _linger_bit
)


# -- interfaces and groups


def _literal(family: int, text: str) -> bytes | None:
    try:
        return socket.inet_pton(family, text)
    except (OSError, ValueError):
        return None


def _encode_address(text: str) -> bytes:
    raw = _literal(socket.AF_INET, text)
    if raw is None:
        raise _bad(text, "an IPv4 address")
    return raw


ADDRESS: Final = Form(
    "address",
    4,
    _encode_address,
    lambda v: socket.inet_ntoa(_need(v, 4)),
    lambda v: _need(v, 4),
    _as_is,
)


def _encode_interface(text: str) -> bytes:
    raw = _literal(socket.AF_INET, text)
    if raw is not None:
        return raw
    return _MREQN.pack(b"", b"", scope_id(text))


def _decode_interface(value: bytes) -> str:
    if len(value) >= _MREQN.size:
        _group, address, index = _MREQN.unpack(_need(value, _MREQN.size))
        return scope_name(index) if index else socket.inet_ntoa(address)
    return socket.inet_ntoa(_need(value, 4))


def _interface_to_host(value: bytes) -> bytes:
    size = _MREQN.size if len(value) >= _MREQN.size else 8 if len(value) >= 8 else 4
    return _need(value, size)


INTERFACE: Final = Form(
    "interface", 4, _encode_interface, _decode_interface, _interface_to_host, _as_is
)

INTERFACE6: Final = Form(
    "interface",
    4,
    lambda text: _INT.pack(scope_id(text)),
    lambda v: scope_name(_int(v)) if _int(v) else "0",
    _int,
    _as_is,
)


def _group(family: int, text: str) -> tuple[bytes, str]:
    """Split ``group%interface``; the interface is "" when none is named."""
    group, _, interface = text.partition("%")
    raw = _literal(family, group)
    if raw is None:
        raise _bad(group, "the address of a group")
    return raw, interface


def _encode_membership(text: str) -> bytes:
    group, interface = _group(socket.AF_INET, text)
    address = _literal(socket.AF_INET, interface or "0.0.0.0")
    if address is not None:
        return group + address
    return _MREQN.pack(group, b"", scope_id(interface))


def _decode_membership(value: bytes) -> str:
    group = socket.inet_ntoa(_need(value, 8)[:4])
    interface = _decode_interface(value if len(value) >= _MREQN.size else value[4:8])
    return group if interface == "0.0.0.0" else f"{group}%{interface}"


def _membership_to_host(value: bytes) -> bytes:
    return _need(value, _MREQN.size if len(value) >= _MREQN.size else 8)


MEMBERSHIP: Final = Form(
    "membership", 8, _encode_membership, _decode_membership, _membership_to_host, _as_is
)


def _encode_membership6(text: str) -> bytes:
    group, interface = _group(socket.AF_INET6, text)
    return _MREQ6.pack(group, scope_id(interface) if interface else 0)


def _decode_membership6(value: bytes) -> str:
    raw, index = _MREQ6.unpack(_need(value, _MREQ6.size))
    group = socket.inet_ntop(socket.AF_INET6, raw)
    return f"{group}%{scope_name(index)}" if index else group


MEMBERSHIP6: Final = Form(
    "membership",
    _MREQ6.size,
    _encode_membership6,
    _decode_membership6,
    lambda v: _need(v, _MREQ6.size),
    _as_is,
)
