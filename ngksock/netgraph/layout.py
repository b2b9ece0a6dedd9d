"""
Layouts of control-message arguments: structs, arrays, and the basic types (spec section 6).

Declare a layout once, as a dataclass whose hints carry the types::

    @dataclass
    class Filter:
        hook: Annotated[str, FixedString(32)] = ""
        vlan: UInt16 = 0

    FILTER = Struct(Filter)
    FILTER.parse('{ vlan=100 hook="v100" }')    # Filter(hook="v100", vlan=100)

This is the one module a node author imports; `ParseType` says how to write a
type with a syntax of its own.
"""

from ngksock.netgraph.arrays import (
    Count,
    Counted,
    CountedBytes,
    FixedArray,
    FixedBytes,
    Prefixed,
    Rest,
)
from ngksock.netgraph.lexer import Lexer, ParseError, quote
from ngksock.netgraph.parse import ParseType, Reader, Seen, pad, scan_value
from ngksock.netgraph.scalars import (
    ETHER,
    HEX8,
    HEX16,
    HEX32,
    HEX64,
    INT8,
    INT16,
    INT32,
    INT64,
    IPADDR,
    SIZED_STRING,
    STRING,
    UINT8,
    UINT16,
    UINT32,
    UINT64,
    Ether,
    EtherType,
    FixedString,
    Hex8,
    Hex16,
    Hex32,
    Hex64,
    Int8,
    Int16,
    Int32,
    Int64,
    IntType,
    IPAddr,
    IPAddrType,
    LooseString,
    SizedString,
    SizedStringType,
    String,
    StringType,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
)
from ngksock.netgraph.structure import Field, Struct

__all__ = [
    "ETHER",
    "HEX8",
    "HEX16",
    "HEX32",
    "HEX64",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "IPADDR",
    "SIZED_STRING",
    "STRING",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "Count",
    "Counted",
    "CountedBytes",
    "Ether",
    "EtherType",
    "Field",
    "FixedArray",
    "FixedBytes",
    "FixedString",
    "Hex8",
    "Hex16",
    "Hex32",
    "Hex64",
    "IPAddr",
    "IPAddrType",
    "Int8",
    "Int16",
    "Int32",
    "Int64",
    "IntType",
    "Lexer",
    "LooseString",
    "ParseError",
    "ParseType",
    "Prefixed",
    "Reader",
    "Rest",
    "Seen",
    "SizedString",
    "SizedStringType",
    "String",
    "StringType",
    "Struct",
    "UInt8",
    "UInt16",
    "UInt32",
    "UInt64",
    "pad",
    "quote",
    "scan_value",
]
