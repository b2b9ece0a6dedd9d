"""Layouts the tests use: FreeBSD's structures, and a type with a syntax of its own."""

import errno
import re
from dataclasses import dataclass, field
from typing import Annotated

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ngksock.netgraph.layout import (
    UINT8,
    UINT16,
    Counted,
    CountedBytes,
    Ether,
    FixedArray,
    FixedString,
    Hex32,
    Int32,
    IPAddr,
    Lexer,
    ParseError,
    ParseType,
    Reader,
    Rest,
    Seen,
    Struct,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
)
from ngksock.testing.strategies import register_values

Name = Annotated[str, FixedString(32)]


@dataclass
class Named:
    name: Name = ""


@dataclass
class Address:
    len: UInt8 = 0
    family: UInt8 = 0
    data: Annotated[bytes, CountedBytes(lambda seen: max(seen["len"] - 2, 0))] = b""


@dataclass
class Demo:
    id: UInt16 = 0
    ip: IPAddr = "0.0.0.0"
    tag: Annotated[str, FixedString(6)] = ""
    n: UInt8 = 0
    v: Annotated[list[int], Counted(UINT16, "n")] = field(default_factory=list)


@dataclass
class MkPeer:
    type: Name
    ourhook: Name
    peerhook: Name


@dataclass
class RmHook:
    ourhook: Annotated[str, FixedString(32)] = field(metadata={"name": "hook"})


@dataclass
class NodeInfo:
    name: Name = ""
    type: Name = ""
    id: Hex32 = 0
    hooks: UInt32 = 0


@dataclass
class LinkInfo:
    ourhook: Name
    peerhook: Name
    nodeinfo: NodeInfo


@dataclass
class HookList:
    nodeinfo: NodeInfo
    linkinfo: Annotated[list[LinkInfo], Counted(LinkInfo, "nodeinfo.hooks")]


@dataclass
class TypeInfo:
    typename: Name = ""
    numnodes: UInt32 = 0


@dataclass
class TypeList:
    numtypes: UInt32
    typeinfo: Annotated[list[TypeInfo], Counted(TypeInfo, "numtypes")]


@dataclass
class One2Many:
    xmit_alg: UInt32 = field(metadata={"name": "xmitAlg"})
    fail_alg: UInt32 = field(metadata={"name": "failAlg"})
    enabled: Annotated[list[int], FixedArray(UINT8, 64)] = field(metadata={"name": "enabledLinks"})


@dataclass
class Bridge:
    debugLevel: UInt8  # noqa: N815 - the name in text
    loopTimeout: UInt32  # noqa: N815
    maxStaleness: UInt32  # noqa: N815
    minStableAge: UInt32  # noqa: N815


@dataclass
class Filter:
    hook: Name
    vlan: UInt16
    vid: UInt16
    pcp: UInt8
    cfi: UInt8


@dataclass
class Op:
    offset: UInt32
    length: UInt16
    mode: UInt16
    value: UInt64


@dataclass
class Patch:
    count: UInt32
    csum_flags: UInt64
    relative_offset: UInt32
    ops: Annotated[list[Op], Counted(Op, "count")]


@dataclass
class Host:
    addr: Ether
    hook: Name = ""
    age: UInt16 = 0
    staleness: UInt16 = 0


@dataclass
class Hosts:
    n: UInt32
    hosts: Annotated[list[Host], Counted(Host, "n")]


@dataclass
class Sockopt:
    level: Int32 = 0
    name: Int32 = 0
    value: Annotated[bytes, Rest(4)] = field(default=b"", metadata={"alias": "data"})


DEMO = Struct(Demo)
SA = Struct(Address)
SOCKOPT = Struct(Sockopt)


class LayoutCase(SynchronousTestCase):
    """A test case that states errno, offset and words of an error in one line."""

    def fails(self, kind, text, number, offset, words=""):
        """Assert that *kind* refuses *text*."""
        error = self.assertRaises(ParseError, kind.parse, text)
        self.assertEqual((number, offset), (error.errno, error.offset), f"{text!r}: {error}")
        self.assertIn(words, str(error))

    def refuses(self, function, *args):
        """Assert that *function* raises EINVAL."""
        self.assertEqual(errno.EINVAL, self.assertRaises(OSError, function, *args).errno)


@dataclass(frozen=True)
class Place:
    host: str
    port: int


class PlaceType(ParseType[Place]):
    """A special type as a node author writes it: ``at/[host]:port``, or a number for the port."""

    size: int | None = 8

    _TEXT = re.compile(r"at/\[([a-z]{0,6})\]:([0-9]+)")

    def scan(self, text: Lexer, seen: Seen) -> Place:
        match = text.match(self._TEXT)
        if match is None:
            raise text.unexpected("at/[host]:port")
        if int(match[2]) > 0xFFFF:
            raise OSError(errno.EINVAL, f"port {match[2]} is outside 0..65535")
        return Place(match[1], int(match[2]))

    def skip(self, text: Lexer) -> None:
        self.scan(text, {})

    def show(self, value: Place, seen: Seen) -> str:
        return f"at/[{value.host}]:{value.port}"

    def write(self, value: Place, out: bytearray, seen: Seen) -> None:
        out += value.host.encode().ljust(6, b"\0") + value.port.to_bytes(2, "big")

    def read(self, data: Reader, seen: Seen) -> Place:
        host = data.take(6).rstrip(b"\0")
        if not re.fullmatch(b"[a-z]*", host):
            raise OSError(errno.EINVAL, "the host has odd characters")
        return Place(host.decode(), int.from_bytes(data.take(2), "big"))

    def shape(self) -> str:
        return "at/[host]:port"


@register_values(PlaceType)
def _places(kind, seen, small):
    return st.builds(
        Place,
        st.text(st.characters(min_codepoint=97, max_codepoint=122), max_size=6),
        st.integers(0, 65535),
    )
