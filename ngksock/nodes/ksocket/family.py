"""The words and FreeBSD numbers in a ksocket's hook name (netgraph.md §7.3)."""

from __future__ import annotations

import socket
from errno import EAFNOSUPPORT, EINVAL, EPROTONOSUPPORT, EPROTOTYPE
from typing import Final, NamedTuple

from ngksock.kpi import IPPROTO_TLS

__all__ = ["FAMILIES", "INET", "INET6", "LOCAL", "Kind", "family_name", "family_number"]

LOCAL: Final = 1
INET: Final = 2
INET6: Final = 28

FAMILIES: Final = {
    "local": LOCAL,
    "inet": INET,
    "inet6": INET6,
    "atm": 30,
    "divert": 44,
    "atalk": 16,
    "ipx": 23,
}
_HOST: Final = {
    LOCAL: int(socket.AF_UNIX),
    INET: int(socket.AF_INET),
    INET6: int(socket.AF_INET6),
}
_TYPES: Final = {"stream": 1, "dgram": 2, "raw": 3, "rdm": 4, "seqpacket": 5}
_HOST_TYPES: Final = {
    1: int(socket.SOCK_STREAM),
    2: int(socket.SOCK_DGRAM),
    3: int(socket.SOCK_RAW),
    5: int(socket.SOCK_SEQPACKET),
}
_CONNECTED: Final = frozenset({int(socket.SOCK_STREAM), int(socket.SOCK_SEQPACKET)})
_SHARED: Final = {
    "ip": 0, "tcp": 6, "udp": 17, "gre": 47, "esp": 50, "ah": 51, "encap": 98, "pim": 103,
    "raw": 255,
}  # fmt: skip
_PROTOCOLS: Final = {
    INET: {**_SHARED, "icmp": 1, "igmp": 2, "swipe": 53, "tls": IPPROTO_TLS},
    INET6: {**_SHARED, "icmp6": 58, "tls": IPPROTO_TLS},
    LOCAL: {"tls": IPPROTO_TLS},
}


def family_name(number: int) -> str:
    """Return the word for a FreeBSD family number, or the number itself."""
    return next((word for word, value in FAMILIES.items() if value == number), str(number))


def _number(word: str, table: dict[str, int], what: str) -> int:
    if word in table:
        return table[word]
    if not word:
        return 0
    if word.isascii() and word.isdecimal():
        digits = word.lstrip("0") or "0"
        if len(digits) <= 10 and int(digits) < 1 << 31:
            return int(digits)
    known = ", ".join(table) or "numbers only"
    raise OSError(EINVAL, f'"{word}" is no {what}; there are {known}')


def family_number(word: str) -> int:
    """
    Return the FreeBSD number of a family written as a word or a decimal number.

    Raises:
        OSError: EINVAL, neither.
    """
    return _number(word, FAMILIES, "socket family")


class Kind(NamedTuple):
    """
    What a hook name asks for.

    Args:
        family: FreeBSD's number of the family.
        domain: The host's number of it.
        type: The host's SOCK_*.
        protocol: The protocol number.
    """

    family: int
    domain: int
    type: int
    protocol: int

    @classmethod
    def parse(cls, name: str) -> Kind:
        """
        Read a hook name ``family/type/protocol``.

        Raises:
            OSError: EINVAL, malformed.  EAFNOSUPPORT, EPROTONOSUPPORT: this
                host has no such family, type or protocol.  EPROTOTYPE, TLS is
                for streams.
        """
        parts = name.split("/", 2)
        if len(parts) < 3:
            raise OSError(
                EINVAL, f'hook "{name}" is not family/type/protocol, as in inet/dgram/udp'
            )
        family = family_number(parts[0])
        if "divert" in parts:
            raise OSError(
                EPROTONOSUPPORT,
                f'hook "{name}": divert sockets are part of FreeBSD\'s firewall, no other has them',
            )
        domain = _HOST.get(family)
        if domain is None:
            raise OSError(
                EAFNOSUPPORT,
                f'hook "{name}": family {family_name(family)} does not exist here; '
                f"local, inet and inet6 do",
            )
        number = _number(parts[1], _TYPES, "socket type")
        kind = _HOST_TYPES.get(number)
        if kind is None:
            raise OSError(EPROTONOSUPPORT, f'hook "{name}": this host has no type {parts[1]}')
        protocol = _number(parts[2], _PROTOCOLS[family], f"protocol of {family_name(family)}")
        if protocol == IPPROTO_TLS and kind != socket.SOCK_STREAM:
            raise OSError(
                EPROTOTYPE,
                f'hook "{name}": TLS needs a stream, as in {family_name(family)}/stream/tls',
            )
        return cls(family, domain, kind, protocol)

    @property
    def connected(self) -> bool:
        """Whether data needs a connection first, and have an end."""
        return self.type in _CONNECTED

    @property
    def tls(self) -> bool:
        """Whether it speaks TLS."""
        return self.protocol == IPPROTO_TLS

    def words(self) -> str:
        """Return the kind as people write it, as far as there are words."""
        types = {_HOST_TYPES.get(number): word for word, number in _TYPES.items()}
        table = _PROTOCOLS[self.family]
        protocol = next((w for w, n in table.items() if n == self.protocol and n), None)
        return f"{family_name(self.family)}/{types[self.type]}/{protocol or self.protocol}"
