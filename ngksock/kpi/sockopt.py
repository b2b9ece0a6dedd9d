"""Socket options: FreeBSD's numbers, the host's, and the words people write.

Configuration files and messages carry FreeBSD's levels and numbers; the host
has others.  The two meet by name, in one table.  Options that are kept in
Python rather than by the host have a host's number all the same, so there is
one way to all of them: ``getsockopt`` and ``setsockopt`` of the socket.
"""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Final, NamedTuple

from ngksock.errors import oserror
from ngksock.kpi.optform import (
    BOOL,
    DONTFRAG,
    INT,
    INTERFACE,
    INTERFACE6,
    LINGER,
    MEMBERSHIP,
    MEMBERSHIP6,
    MODE,
    TIME,
    Form,
    Host,
)

if TYPE_CHECKING:
    from ngksock.kpi.callbacks import Callbacks
    from ngksock.kpi.socket import Socket

__all__ = [
    "SOL_BSD",
    "SO_MODE",
    "WORDS",
    "HostOption",
    "OptionWord",
    "forget",
    "host_option",
    "recall",
    "remember",
]

SOL_BSD: Final = 0xFFFF
"""SOL_SOCKET of FreeBSD and Darwin."""

SO_MODE: Final = 0x4E470001
"""Ours: the mode of the file that binding a local socket makes."""

_LINUX: Final = {  # names Python's socket module does not have
    "SO_TIMESTAMP": 29,
    "IP_MTU_DISCOVER": 10,
}


class _Row(NamedTuple):
    level: int
    number: int
    form: Form
    word: str
    hosts: tuple[str, ...]
    bit: int
    privilege: str


def _row(
    level: int, number: int, form: Form, word: str, *hosts: str, bit: int = 1, privilege: str = ""
) -> _Row:
    return _Row(level, number, form, word, hosts or (word.upper(),), bit, privilege)


def _flag(number: int, word: str) -> _Row:
    """A boolean of the socket level: set, it reads back as its own bit."""
    return _row(SOL_BSD, number, BOOL, word, bit=number)


_ADMIN: Final = "CAP_NET_ADMIN"

_TABLE: Final = (
    _flag(0x1, "so_debug"),
    _flag(0x2, "so_acceptconn"),
    _flag(0x4, "so_reuseaddr"),
    _flag(0x8, "so_keepalive"),
    _flag(0x10, "so_dontroute"),
    _flag(0x20, "so_broadcast"),
    _row(SOL_BSD, 0x80, LINGER, "so_linger", bit=0x80),
    _flag(0x100, "so_oobinline"),
    _flag(0x200, "so_reuseport"),
    _flag(0x400, "so_timestamp"),
    _row(SOL_BSD, 0x1001, INT, "so_sndbuf"),
    _row(SOL_BSD, 0x1002, INT, "so_rcvbuf"),
    _row(SOL_BSD, 0x1003, INT, "so_sndlowat"),
    _row(SOL_BSD, 0x1004, INT, "so_rcvlowat"),
    _row(SOL_BSD, 0x1005, TIME, "so_sndtimeo"),
    _row(SOL_BSD, 0x1006, TIME, "so_rcvtimeo"),
    _row(SOL_BSD, 0x1007, INT, "so_error"),
    _row(SOL_BSD, 0x1008, INT, "so_type"),
    _row(SOL_BSD, 0x1014, INT, "so_setfib", "SO_SETFIB", "SO_MARK", privilege=_ADMIN),
    _row(SOL_BSD, 0x1016, INT, "so_protocol"),
    _row(SOL_BSD, SO_MODE, MODE, "so_mode"),
    _row(6, 1, BOOL, "tcp_nodelay"),
    _row(6, 2, INT, "tcp_maxseg"),
    _row(6, 4, BOOL, "tcp_nopush", "TCP_NOPUSH", "TCP_CORK"),
    _row(6, 0x100, INT, "tcp_keepidle"),
    _row(6, 0x200, INT, "tcp_keepintvl"),
    _row(6, 0x400, INT, "tcp_keepcnt"),
    _row(0, 3, INT, "ip_tos"),
    _row(0, 4, INT, "ip_ttl"),
    _row(0, 9, INTERFACE, "ip_multicast_if"),
    _row(0, 10, INT, "ip_multicast_ttl"),
    _row(0, 11, BOOL, "ip_multicast_loop"),
    _row(0, 12, MEMBERSHIP, "ip_add_membership"),
    _row(0, 13, MEMBERSHIP, "ip_drop_membership"),
    _row(0, 24, BOOL, "ip_bindany", "IP_BINDANY", "IP_TRANSPARENT", privilege=_ADMIN),
    _row(0, 67, DONTFRAG, "ip_dontfrag", "IP_MTU_DISCOVER"),
    _row(41, 4, INT, "ipv6_unicast_hops"),
    _row(41, 9, INTERFACE6, "ipv6_multicast_if"),
    _row(41, 10, INT, "ipv6_multicast_hops"),
    _row(41, 11, BOOL, "ipv6_multicast_loop"),
    _row(41, 12, MEMBERSHIP6, "ipv6_join_group"),
    _row(41, 13, MEMBERSHIP6, "ipv6_leave_group"),
    _row(41, 27, BOOL, "ipv6_v6only"),
    _row(41, 61, INT, "ipv6_tclass"),
)

_NAMES: Final = {  # numbers people write that no row translates
    (SOL_BSD, 0x40): "SO_USELOOPBACK",
    (SOL_BSD, 0x800): "SO_NOSIGPIPE",
    (SOL_BSD, 0x1000): "SO_ACCEPTFILTER",
    (SOL_BSD, 0x1015): "SO_USER_COOKIE",
    (0, 7): "IP_RECVDSTADDR",
}

_ROWS: Final = {(row.level, row.number): row for row in _TABLE}


class HostOption(NamedTuple):
    """
    An option as this host has it.

    Args:
        name: The host's name of it, as ``TCP_CORK``.
        level: The host's level.
        number: The host's number.
        form: How its values are translated.
        bit: As what a set boolean reads back on FreeBSD.
        privilege: The privilege the host asks for, or "".
    """

    name: str
    level: int
    number: int
    form: Form
    bit: int
    privilege: str

    def to_host(self, value: bytes) -> Host:
        """Return FreeBSD's bytes *value* as the host's setsockopt takes it."""
        return self.form.to_host(value)

    def from_host(self, value: bytes) -> bytes:
        """Return the bytes the host's getsockopt gave as FreeBSD gives them."""
        return self.form.from_host(value, self.bit)

    def set(self, so: Socket, value: bytes) -> None:
        """
        Set the option of *so* to *value*, in FreeBSD's form.

        Raises:
            OSError: EINVAL, too short or out of range.  EPERM, the text says
                which privilege it needs.  Else what the host says.
        """
        try:
            so.setsockopt(self.level, self.number, self.to_host(value))
        except PermissionError as error:
            if not self.privilege:
                raise
            raise oserror(
                error.errno or errno.EPERM, f"{self.name} needs the privilege {self.privilege}"
            ) from None

    def get(self, so: Socket) -> bytes:
        """Return the value the option of *so* has, in FreeBSD's form."""
        value = so.getsockopt(self.level, self.number, self.form.size)
        assert isinstance(value, bytes)
        return self.from_host(value)


def host_option(level: int, name: int) -> HostOption:
    """
    Return the host's option for FreeBSD's *level* and number *name*.

    Raises:
        OSError: ENOPROTOOPT, no such option, or none on this host.
    """
    row = _ROWS.get((level, name))
    if row is None:
        what = _NAMES.get((level, name), f"level={level:#x} name={name:#x}")
        raise oserror(errno.ENOPROTOOPT, f"socket option {what} is not known here")
    host_level = socket.SOL_SOCKET if level == SOL_BSD else level
    if name == SO_MODE:
        return HostOption("SO_MODE", host_level, name, row.form, row.bit, "")
    for host in row.hosts:
        number = getattr(socket, host, _LINUX.get(host))
        if isinstance(number, int):
            return HostOption(host, host_level, number, row.form, row.bit, row.privilege)
    raise oserror(errno.ENOPROTOOPT, f"this host has no {row.hosts[0]}")


class OptionWord(NamedTuple):
    """
    An option as people write it, ``so_reuseaddr=1``.

    Args:
        word: The word.
        level: FreeBSD's level.
        number: FreeBSD's number.
        form: How its value is written.
    """

    word: str
    level: int
    number: int
    form: Form

    @property
    def kind(self) -> str:
        """What its values are: bool, int, mode, linger, time, membership, interface."""
        return self.form.kind

    def encode(self, text: str) -> bytes:
        """Return the value written as *text* in FreeBSD's bytes; OSError(EINVAL)."""
        try:
            return self.form.encode(text)
        except OSError as error:
            raise oserror(error.errno or errno.EINVAL, f"{self.word}: {error.strerror}") from None

    def decode(self, value: bytes) -> str:
        """Return FreeBSD's bytes *value* as text that `encode` takes back."""
        return self.form.decode(value)

    def host(self) -> HostOption:
        """Return the host's option; see `host_option` for what it raises."""
        return host_option(self.level, self.number)


WORDS: Final = {row.word: OptionWord(row.word, row.level, row.number, row.form) for row in _TABLE}
"""All words, and what each stands for."""


# -- what Python remembers of a socket: few have any, so the dict is made late


def recall(so: Callbacks, name: int, default: int = 0) -> int:
    """Return what was remembered of *so* as option *name* of SOL_SOCKET, or *default*."""
    if so.remembered is None:
        return default
    return so.remembered.get((socket.SOL_SOCKET, name), default)


def remember(so: Callbacks, name: int, value: int) -> None:
    """Remember *value* of *so* as option *name* of SOL_SOCKET."""
    if so.remembered is None:
        so.remembered = {}
    so.remembered[socket.SOL_SOCKET, name] = value


def forget(so: Callbacks, name: int) -> None:
    """Remember nothing of *so* as option *name* of SOL_SOCKET any more."""
    if so.remembered is not None:
        so.remembered.pop((socket.SOL_SOCKET, name), None)
