"""Addresses: numeric tuples and paths, checked before any system call.

An inet address is ``(host, port)``, an inet6 one ``(host, port)`` or
``(host, port, flowinfo, scope_id)``, a local one a path (bytes, or a str whose
characters are the bytes, latin-1).  The standard library would resolve a host
name there and then and stop the reactor, so a name never gets past this file.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import sys
from functools import lru_cache
from typing import Any, Final

from ngksock.errors import oserror

__all__ = [
    "SUN_PATH",
    "WILDCARD",
    "SockAddr",
    "check",
    "never_tcp",
    "path_bytes",
    "path_text",
    "scope_id",
    "scope_name",
]

SockAddr = Any
"""tuple[str, int] | tuple[str, int, int, int] | str | bytes."""

SUN_PATH: Final = 107 if sys.platform == "linux" else 103
"""The longest path of a local socket, in bytes."""

WILDCARD: Final[dict[int, SockAddr]] = {
    int(socket.AF_INET): ("0.0.0.0", 0),
    int(socket.AF_INET6): ("::", 0, 0, 0),
    int(socket.AF_UNIX): "",
}
"""The address of a socket that has none."""

_IGMP: Final = re.compile(r"^(\d+)\t(\S+) *:", re.MULTILINE)


def scope_id(scope: str) -> int:
    """
    Return the number of the interface called *scope*, or of a decimal one.

    Raises:
        OSError: ENXIO, there is no such interface.
    """
    if scope.isascii() and scope.isdecimal():
        if len(scope) > 10 or int(scope) > 0x7FFFFFFF:
            raise oserror(errno.ENXIO, f"no interface has the number {scope[:20]}")
        return int(scope)
    try:
        return _interfaces().get(scope) or socket.if_nametoindex(scope)
    except (OSError, ValueError):
        raise oserror(errno.ENXIO, f"no interface is called {scope[:40]!r}") from None


def scope_name(number: int) -> str:
    """Return the name of the interface with this *number*, or the number as text."""
    for name, known in _interfaces().items():
        if known == number:
            return name
    try:
        return socket.if_indextoname(number)
    except (OSError, OverflowError):
        return str(number)


def _interfaces() -> dict[str, int]:
    """
    Return the numbers of the interfaces that use IPv4, where the system lists them.

    if_nametoindex(3) and its reverse open a socket to ask; a dry run must not open one.
    """
    try:
        with open("/proc/net/igmp", encoding="ascii", errors="replace") as table:
            return {name: int(number) for number, name in _IGMP.findall(table.read())}
    except OSError:
        return {}  # platform: not on Linux, which has that file; if_nametoindex is asked


def check(domain: int, address: SockAddr) -> SockAddr:
    """
    Return *address* in the form the system call of *domain* takes.

    Raises:
        OSError: EINVAL, not numeric, or not an address at all.
            EAFNOSUPPORT, an address of another family.  ENAMETOOLONG, a
            path that does not fit.
    """
    if domain == socket.AF_UNIX:
        return path_bytes(address)
    try:
        return _inet(domain, address)
    except TypeError:  # unhashable: a list, say
        raise oserror(errno.EINVAL, f"{address!r} is not an address") from None


@lru_cache(4096)
def _inet(domain: int, address: SockAddr) -> SockAddr:
    # Cached, because every datagram that goes to an address asks again.
    if isinstance(address, (str, bytes)):
        raise oserror(errno.EAFNOSUPPORT, f"{address!r} is not an internet address")
    if (
        not isinstance(address, tuple)
        or len(address) not in ((2,) if domain == socket.AF_INET else (2, 4))
        or not isinstance(address[0], str)
        or not all(isinstance(part, int) for part in address[1:])
    ):
        raise oserror(errno.EINVAL, f"{address!r} is not an address")
    host, port = address[:2]
    if not 0 <= port <= 65535:
        raise oserror(errno.EINVAL, f"port {port} is not in 0..65535")
    if len(address) == 4 and not (0 <= address[2] <= 0xFFFFF and 0 <= address[3] <= 0xFFFFFFFF):
        raise oserror(errno.EINVAL, f"flow or scope of {address!r} is out of range")
    if not _is_literal(domain, host):
        other = socket.AF_INET6 if domain == socket.AF_INET else socket.AF_INET
        if _is_literal(other, host):
            raise oserror(errno.EAFNOSUPPORT, f"{host} is of another address family")
        raise oserror(errno.EINVAL, f"{host!r} is not a numeric address; names are not resolved")
    return address


def _is_literal(domain: int, host: str) -> bool:
    try:
        socket.inet_pton(domain, host)
    except (OSError, ValueError):
        return False
    return True


@lru_cache(1024)
def never_tcp(domain: int, address: SockAddr) -> bool:
    """Say whether TCP can never use *address*: a group, or everybody."""
    if domain == socket.AF_INET:
        raw = socket.inet_pton(domain, address[0])
        return 224 <= raw[0] <= 239 or raw == b"\xff\xff\xff\xff"
    if domain == socket.AF_INET6:
        return socket.inet_pton(domain, address[0])[0] == 0xFF
    return False


def path_bytes(path: SockAddr) -> bytes:
    """Return the bytes of a local address; a leading NUL is an abstract name."""
    if isinstance(path, str):
        try:
            raw = path.encode("latin-1")
        except UnicodeEncodeError:
            try:
                raw = os.fsencode(path)
            except UnicodeEncodeError:
                raise oserror(errno.EINVAL, f"{path!r} is not a path") from None
    elif isinstance(path, bytes):
        raw = path
    else:
        raise oserror(errno.EAFNOSUPPORT, f"{path!r} is not a path")
    if not raw or b"\0" in raw[1:] or (raw[:1] == b"\0" and sys.platform != "linux"):
        raise oserror(errno.EINVAL, f"{path!r} is not the path of a socket")
    if len(raw) > SUN_PATH:
        raise oserror(
            errno.ENAMETOOLONG,
            f"the path of a socket has at most {SUN_PATH} bytes, {path_text(raw)!r} has {len(raw)}",
        )
    return raw


def path_text(raw: str | bytes | None) -> str:
    """Return a path as the system gave it as a str, one character a byte."""
    if not raw:
        return ""  # the socket at the other end has no name
    return os.fsencode(raw).decode("latin-1")
