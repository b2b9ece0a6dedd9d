"""Socket addresses in messages: FreeBSD's bytes, the text forms, and the host's tuples.

On the wire an address is ``u8 len, u8 family, data`` with FreeBSD's family
numbers, whatever the host has (netgraph.md §7.5, §7.8).
"""

from __future__ import annotations

import re
import socket
import struct
import sys
from dataclasses import dataclass
from errno import E2BIG, EAFNOSUPPORT, EINVAL
from functools import lru_cache
from typing import Annotated, Any, Final

from ngksock.kpi import sockaddr
from ngksock.netgraph.layout import (
    CountedBytes,
    Lexer,
    ParseError,
    ParseType,
    Reader,
    Seen,
    Struct,
    UInt8,
    quote,
)
from ngksock.netgraph.lexer import excerpt
from ngksock.nodes.ksocket.family import INET, INET6, LOCAL, family_name, family_number

__all__ = ["GENERIC_ADDRESS", "SOCKADDR", "GenericAddress", "SockAddr", "host_text"]

_FAMILY: Final = re.compile(r'([^/\s{}\[\]="]*)/')
_WORD: Final = re.compile(r'[^\s{}\[\]=",]*')
_INET: Final = re.compile(r"([0-9]+)\.([0-9]+)\.([0-9]+)\.([0-9]+)")
_INET6: Final = re.compile(r'\[([^\]\s"]*)\]([^\s{}\[\]=",]*)')


@dataclass
class GenericAddress:
    """Any address, field by field; ``data`` has ``len`` - 2 bytes."""

    len: UInt8
    family: UInt8
    data: Annotated[bytes, CountedBytes(lambda seen: max(seen["len"] - 2, 0))]


GENERIC_ADDRESS: Final = Struct(GenericAddress)


@dataclass(frozen=True, slots=True)
class SockAddr:
    """
    An address as messages carry it.

    Args:
        family: FreeBSD's number.
        data: What follows ``len`` and ``family``.
    """

    family: int
    data: bytes

    def pack(self) -> bytes:
        """Return the bytes, with their length in front."""
        return bytes((len(self.data) + 2, self.family)) + self.data

    @classmethod
    def unpack(cls, raw: bytes) -> SockAddr:
        """Read the address at the start of *raw*; what follows it is ignored."""
        if len(raw) < 2 or raw[0] > len(raw):
            raise OSError(EINVAL, "the address is shorter than its length byte says")
        return cls(raw[1], bytes(raw[2 : max(raw[0], 2)]))

    def generic(self) -> GenericAddress:
        """Return it field by field."""
        return GenericAddress(len(self.data) + 2, self.family, self.data)

    @classmethod
    def of_host(cls, name: Any) -> SockAddr:
        """Translate an address of the KPI: a tuple, or a path."""
        if not isinstance(name, tuple):
            raw = name if isinstance(name, bytes) else (name or "").encode("latin-1")
            return cls(LOCAL, raw)
        if len(name) == 2:
            return cls(INET, struct.pack("!H4s8x", name[1], socket.inet_aton(name[0])))
        host, port, flow, scope = name
        packed = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
        return cls(INET6, struct.pack("!HI16s", port, flow, packed) + struct.pack("=I", scope))

    def host(self, family: int) -> Any:
        """
        Translate to an address of the KPI, for a socket of *family*.

        Raises:
            OSError: EAFNOSUPPORT, of another family.  EINVAL, too short.
        """
        if self.family != family:
            raise OSError(
                EAFNOSUPPORT,
                f"an address of family {family_name(self.family)} does not fit "
                f"a socket of family {family_name(family)}",
            )
        data = self.data
        if family == LOCAL:
            return data.split(b"\0", 1)[0] if data[:1] != b"\0" else data
        if family == INET and len(data) >= 6:
            return socket.inet_ntoa(data[2:6]), int.from_bytes(data[:2])
        if family == INET6 and len(data) >= 22:
            port, flow, packed = struct.unpack_from("!HI16s", data)
            scope = int.from_bytes(data[22:26].ljust(4, b"\0"), sys.byteorder)
            return socket.inet_ntop(socket.AF_INET6, packed), port, flow, scope
        raise OSError(EINVAL, f"an address of family {family_name(family)} is longer")

    def text(self) -> str:
        """Return it as people write it; the generic form where there is no other."""
        try:
            return _remembered(self) if self.family == INET else _text(self)
        except (OSError, ValueError):
            return GENERIC_ADDRESS.unparse(self.generic())


def host_text(name: Any) -> str:
    """Return an address of the KPI as people write it."""
    return SockAddr.of_host(name).text()


def _text(address: SockAddr) -> str:
    data = address.data
    # Only what reads back to the same bytes has a short form.
    if address.family == LOCAL and data and len(data) <= sockaddr.SUN_PATH:
        return f"local/{quote(data.decode('latin-1'))}"
    if address.family == INET and len(data) == 14 and not any(data[6:]):
        host, port = address.host(INET)
        return f"inet/{host}" + (f":{port}" if port else "")
    if address.family == INET6 and len(data) == 26 and not any(data[2:6]):
        host, port, _, scope = address.host(INET6)
        return f"inet6/[{host}{_scope_text(scope)}]" + (f":{port}" if port else "")
    return GENERIC_ADDRESS.unparse(address.generic())


_remembered: Final = lru_cache(1024)(_text)
"""Who connects to one place again and again tells its name as often (interfaces may change)."""


def _scope_text(scope: int) -> str:
    return f"%{sockaddr.scope_name(scope)}" if scope else ""


class SockAddrType(ParseType[SockAddr]):
    """
    A socket address as an argument.

    Text: ``inet/1.2.3.4:80``, ``inet6/[::1%lo]:80``, ``local/"path"``, or the
    generic struct.  It has no default.  Names are not resolved.
    """

    steady = True
    greedy = True

    def lasts(self, text: str) -> bool:
        return "%" not in text  # an interface has another number when it comes again

    @property
    def minsize(self) -> int:
        return 2

    def scan(self, text: Lexer, seen: Seen) -> SockAddr:
        if text.peek() == "{":
            form = GENERIC_ADDRESS.scan(text, {})
            if form.len < 2:
                raise OSError(EINVAL, "the length of an address counts its first two bytes")
            return SockAddr(form.family, form.data)
        at = text.blanks()
        match = text.match(_FAMILY)
        if match is None or len(match[1]) > 31:
            raise ParseError(EINVAL, "an address begins with its family, as in inet/", at)
        family = family_number(match[1])
        if family == LOCAL:
            return self._local(text)
        if family == INET6:
            return self._inet6(text)
        if family == INET:
            return self._inet(text)
        raise ParseError(
            EINVAL, f"addresses of family {family_name(family)} have the generic form alone", at
        )

    def skip(self, text: Lexer) -> None:
        self.scan(text, {})

    def _local(self, text: Lexer) -> SockAddr:
        at = text.pos
        if text.text[at : at + 1] != '"':
            raise ParseError(EINVAL, 'a path is quoted, as in local/"/tmp/a"', at)
        path = text.string("a quoted path").encode("latin-1")
        if not path:
            raise ParseError(EINVAL, "the path is empty", at)
        if len(path) > sockaddr.SUN_PATH:
            raise ParseError(
                E2BIG, f"the path has {len(path)} bytes, at most {sockaddr.SUN_PATH} fit", at
            )
        return SockAddr(LOCAL, path)

    def _inet(self, text: Lexer) -> SockAddr:
        at = text.pos
        match = _WORD.match(text.text, at)
        word = match[0] if match else ""
        text.pos = at + len(word)
        host, colon, port = word.partition(":")
        numbers = _INET.fullmatch(host)
        if numbers is None:
            raise ParseError(
                EINVAL, f'"{host}" is not a numeric IPv4 address; names are not resolved', at
            )
        for index, number in enumerate(numbers.groups(), 1):
            if len(number.lstrip("0")) > 3 or int(number[-3:]) > 255:
                raise ParseError(
                    EINVAL,
                    f"{excerpt(number)} in an IPv4 address is above 255",
                    at + numbers.start(index),
                )
        packed = bytes(int(number[-3:]) for number in numbers.groups())
        return SockAddr(INET, _port(colon, port, at + len(host) + 1) + packed + bytes(8))

    def _inet6(self, text: Lexer) -> SockAddr:
        at = text.pos
        match = _INET6.match(text.text, at)
        if match is None:
            raise ParseError(EINVAL, "an IPv6 address stands in brackets, as in inet6/[::1]", at)
        text.pos = match.end()
        host, percent, scope = match[1].partition("%")
        try:
            packed = socket.inet_pton(socket.AF_INET6, host)
        except (OSError, ValueError):
            raise ParseError(
                EINVAL, f'"{host}" is not a numeric IPv6 address; names are not resolved', at + 1
            ) from None
        try:
            number = sockaddr.scope_id(scope) if percent else 0
        except OSError as error:
            raise ParseError(
                error.errno or EINVAL, error.strerror or "", at + 2 + len(host)
            ) from error
        tail = match[2]
        if tail and not tail.startswith(":"):
            raise ParseError(EINVAL, f'"{tail}" follows the address', match.start(2))
        port = _port(tail[:1], tail[1:], match.start(2) + 1)
        return SockAddr(INET6, port + bytes(4) + packed + struct.pack("=I", number))

    def show(self, value: SockAddr, seen: Seen) -> str:
        return value.text()

    def write(self, value: SockAddr, out: bytearray, seen: Seen) -> None:
        out.extend(value.pack())

    def read(self, data: Reader, seen: Seen) -> SockAddr:
        return SockAddr.unpack(data.take(data.left))

    def shape(self) -> str:
        forms = 'inet/<a.b.c.d>:<port> | inet6/[<addr>%<scope>]:<port> | local/"<path>"'
        return f"{forms} | {GENERIC_ADDRESS.shape()}"


def _port(colon: str, port: str, at: int) -> bytes:
    if not colon:
        return bytes(2)
    if not (port.isascii() and port.isdecimal()):
        raise ParseError(EINVAL, f'"{port}" is not a port number', at)
    if len(port.lstrip("0")) > 5 or int(port[-5:]) > 65535:
        raise ParseError(EINVAL, f"port {excerpt(port)} is above 65535", at)
    return int(port[-5:]).to_bytes(2)


SOCKADDR: Final = SockAddrType()
