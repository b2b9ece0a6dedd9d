"""
The basic argument types: integers, strings and addresses (spec section 6.6).

Integers are in the host's byte order, with standard sizes.
"""

from __future__ import annotations

import re
import sys
from errno import E2BIG, EINVAL
from typing import Annotated, Final, Literal

from ngksock.netgraph.lexer import Lexer, ParseError, excerpt, quote
from ngksock.netgraph.parse import ParseType, Reader, Seen

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
    "Ether",
    "EtherType",
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
    "SizedString",
    "SizedStringType",
    "String",
    "StringType",
    "UInt8",
    "UInt16",
    "UInt32",
    "UInt64",
    "not_a_number",
    "number",
]

_NUMBER = re.compile(r"([+-]?)(?:0[xX]([0-9a-fA-F]+)|(0[0-7]*)|([1-9][0-9]*))")


def number(word: str) -> int | None:
    """Read *word* as an integer of base 0; None if any part of it is no number."""
    match = _NUMBER.fullmatch(word)
    if match is None:
        return None
    sign, digits, octal, decimal = match.groups()
    if digits is not None:
        value = int(digits, 16)
    elif octal is not None:
        value = int(octal, 8)
    else:
        # int() refuses thousands of digits; no range reaches that far anyway.
        value = int(decimal[:100])
    return -value if sign == "-" else value


def not_a_number(word: str, at: int) -> ParseError:
    """Make the error for *word* where a number belongs."""
    hint = ""
    if "," in word:
        hint = "; separate elements with blanks"
    elif re.fullmatch(r"[+-]?0[0-9]+", word):
        hint = "; a leading 0 means octal"
    return ParseError(EINVAL, f"{excerpt(word)} is not a number{hint}", at)


class IntType(ParseType[int]):
    """
    An integer (section 6.6).

    Args:
        bits: 8, 16, 32 or 64.
        form: ``int`` for a signed value, ``uint`` for an unsigned one, ``hex``
            for an unsigned one that prints in hexadecimal.

    Text, and values to pack, may be anything from -(2^(bits-1)) to 2^bits-1:
    -1 is the usual way to write all ones.  Anything else is EINVAL.
    """

    steady = True

    def __init__(self, bits: int, form: Literal["int", "uint", "hex"]) -> None:
        self.bits = bits
        self.form = form
        self.size = self.align = bits // 8

    def _checked(self, value: int, shown: str = "") -> int:
        low, high = -(1 << (self.bits - 1)), (1 << self.bits) - 1
        if not low <= value <= high:
            raise OSError(EINVAL, f"value {shown or value} is outside {low}..{high}")
        value &= high
        if self.form == "int" and value >> (self.bits - 1):
            value -= 1 << self.bits
        return value

    def scan(self, text: Lexer, seen: Seen) -> int:
        at = text.blanks()
        word = text.word("a number")
        value = number(word)
        if value is None:
            raise not_a_number(word, at)
        return self._checked(value, excerpt(word))

    def show(self, value: int, seen: Seen) -> str:
        value = self._checked(value)
        return f"0x{value:x}" if self.form == "hex" else str(value)

    def write(self, value: int, out: bytearray, seen: Seen) -> None:
        value = self._checked(value)
        out.extend(value.to_bytes(self.bits // 8, sys.byteorder, signed=self.form == "int"))

    def read(self, data: Reader, seen: Seen) -> int:
        return int.from_bytes(data.take(self.bits // 8), sys.byteorder, signed=self.form == "int")

    def unpack(self, data: bytes) -> int:
        if type(self) is not IntType or len(data) != self.size:
            return super().unpack(data)  # by the rules of a subclass; or it says what is wrong
        return int.from_bytes(data, sys.byteorder, signed=self.form == "int")

    def default(self, seen: Seen) -> int:
        return 0

    def shape(self) -> str:
        return f"<{self.form}{self.bits}>"


def _latin1(value: str) -> bytes:
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError as error:
        code = ord(value[error.start])
        raise OSError(EINVAL, f"character U+{code:04X} is not a single byte") from None


class StringType(ParseType[str]):
    """
    A string of any length; its bytes end with a NUL.

    A NUL within the string is EINVAL: its bytes would read back shorter.
    """

    steady = True

    def _encoded(self, value: str) -> bytes:
        data = _latin1(value)
        if b"\0" in data:
            raise OSError(EINVAL, "the string contains a NUL")
        return data

    @property
    def minsize(self) -> int:
        return 1

    def scan(self, text: Lexer, seen: Seen) -> str:
        value = text.string("a quoted string")
        self._encoded(value)
        return value

    def show(self, value: str, seen: Seen) -> str:
        self._encoded(value)
        return quote(value)

    def write(self, value: str, out: bytearray, seen: Seen) -> None:
        out.extend(self._encoded(value) + b"\0")

    def read(self, data: Reader, seen: Seen) -> str:
        end = data.data.find(b"\0", data.pos)
        if end < 0:
            raise OSError(EINVAL, "the string does not end with a NUL")
        return data.take(end + 1 - data.pos)[:-1].decode("latin-1")

    def default(self, seen: Seen) -> str:
        return ""

    def shape(self) -> str:
        return '"<string>"'


class FixedString(StringType):
    """
    A string in a field of fixed size, padded with NUL bytes.

    Args:
        capacity: Size of the field, its terminating NUL included.

    A longer string is E2BIG.  Bytes read end at the first NUL, at the latest at
    the last byte of the field; what follows the NUL is ignored.
    """

    steady = True

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError("a fixed string needs room for its NUL")
        self.size = self.capacity = capacity

    @property
    def minsize(self) -> int:
        return self.capacity

    def _encoded(self, value: str) -> bytes:
        data = super()._encoded(value)
        if len(data) >= self.capacity:
            raise OSError(
                E2BIG, f"the string is {len(data)} bytes long, at most {self.capacity - 1} fit"
            )
        return data

    def write(self, value: str, out: bytearray, seen: Seen) -> None:
        out.extend(self._encoded(value).ljust(self.capacity, b"\0"))

    def read(self, data: Reader, seen: Seen) -> str:
        return data.take(self.capacity)[:-1].partition(b"\0")[0].decode("latin-1")

    def shape(self) -> str:
        return f'"<string up to {self.capacity - 1}>"'


class LooseString(FixedString):
    """
    A `FixedString` that ends an argument, and may have any length but none there.

    For the names of hooks that some messages take: programs send them with
    their NUL, or as the whole field.  The last byte is taken for a NUL.
    """

    steady = True
    greedy = True

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self.size = None

    @property
    def minsize(self) -> int:
        return 1

    def read(self, data: Reader, seen: Seen) -> str:
        value = data.take(max(data.left, 1))[:-1].partition(b"\0")[0]
        if len(value) >= self.capacity:
            raise OSError(
                EINVAL, f"the string is {len(value)} bytes long, at most {self.capacity - 1} fit"
            )
        return value.decode("latin-1")


class SizedStringType(StringType):
    """A string behind its 16-bit length; it may contain NUL.  Over 65535 bytes: EINVAL."""

    steady = True

    def _encoded(self, value: str) -> bytes:
        data = _latin1(value)
        if len(data) > 0xFFFF:
            raise OSError(EINVAL, f"the string is {len(data)} bytes long, at most 65535 fit")
        return data

    @property
    def minsize(self) -> int:
        return 2

    def write(self, value: str, out: bytearray, seen: Seen) -> None:
        data = self._encoded(value)
        out.extend(len(data).to_bytes(2, sys.byteorder) + data)

    def read(self, data: Reader, seen: Seen) -> str:
        length = int.from_bytes(data.take(2), sys.byteorder)
        return data.take(length).decode("latin-1")

    def shape(self) -> str:
        return '"<string up to 65535>"'


class IPAddrType(ParseType[str]):
    """
    An IPv4 address in network byte order; its value is the dotted decimal str.

    Each part of the text is an int8 of base 0, so ``010`` is 8 (section 6.6).
    """

    steady = True
    size = align = 4

    def scan(self, text: Lexer, seen: Seen) -> str:
        at = text.blanks()
        word = text.word("an IP address")
        parts = word.split(".")
        if len(parts) != 4:
            raise ParseError(EINVAL, f"{excerpt(word)} is not four numbers with dots", at)
        octets = []
        for part in parts:
            value = number(part)
            if value is None:
                raise ParseError(
                    EINVAL, f"{excerpt(part) or 'nothing'} is not a number in an IP address", at
                )
            if not -128 <= value <= 255:
                raise ParseError(EINVAL, f"value {excerpt(part)} is outside -128..255", at)
            octets.append(str(value & 0xFF))
            at += len(part) + 1
        return ".".join(octets)

    def show(self, value: str, seen: Seen) -> str:
        return ".".join(map(str, self._encoded(value)))

    def _encoded(self, value: str) -> bytes:
        match = re.fullmatch(r"([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})", value)
        octets = [int(part) for part in match.groups()] if match else [256]
        if max(octets) > 255:
            raise OSError(EINVAL, f"{excerpt(value)} is not an IPv4 address")
        return bytes(octets)

    def write(self, value: str, out: bytearray, seen: Seen) -> None:
        out.extend(self._encoded(value))

    def read(self, data: Reader, seen: Seen) -> str:
        return ".".join(map(str, data.take(4)))

    def default(self, seen: Seen) -> str:
        return "0.0.0.0"

    def shape(self) -> str:
        return "<a.b.c.d>"


class EtherType(ParseType[bytes]):
    """An Ethernet address; its value is the six bytes, as a frame holds them.  No default."""

    steady = True
    size = 6

    def scan(self, text: Lexer, seen: Seen) -> bytes:
        at = text.blanks()
        word = text.word("an Ethernet address")
        parts = word.split(":")
        if len(parts) != 6:
            raise ParseError(EINVAL, f"{excerpt(word)} is not six hex bytes with colons", at)
        address = bytearray()
        for part in parts:
            if not re.fullmatch("0*[0-9a-fA-F]{1,2}", part):
                raise ParseError(EINVAL, f"{excerpt(part) or 'nothing'} is not a hex byte", at)
            address.append(int(part, 16))
            at += len(part) + 1
        return bytes(address)

    def show(self, value: bytes, seen: Seen) -> str:
        return ":".join(f"{byte:02x}" for byte in self._checked(value))

    def _checked(self, value: bytes) -> bytes:
        if len(value) != 6:
            raise OSError(EINVAL, f"an Ethernet address has 6 bytes, not {len(value)}")
        return value

    def write(self, value: bytes, out: bytearray, seen: Seen) -> None:
        out.extend(self._checked(value))

    def read(self, data: Reader, seen: Seen) -> bytes:
        return data.take(6)

    def shape(self) -> str:
        return "<aa:bb:cc:dd:ee:ff>"


INT8, INT16, INT32, INT64 = (IntType(bits, "int") for bits in (8, 16, 32, 64))
UINT8, UINT16, UINT32, UINT64 = (IntType(bits, "uint") for bits in (8, 16, 32, 64))
HEX8, HEX16, HEX32, HEX64 = (IntType(bits, "hex") for bits in (8, 16, 32, 64))
STRING: Final = StringType()
SIZED_STRING: Final = SizedStringType()
IPADDR: Final = IPAddrType()
ETHER: Final = EtherType()

Int8 = Annotated[int, INT8]
Int16 = Annotated[int, INT16]
Int32 = Annotated[int, INT32]
Int64 = Annotated[int, INT64]
UInt8 = Annotated[int, UINT8]
UInt16 = Annotated[int, UINT16]
UInt32 = Annotated[int, UINT32]
UInt64 = Annotated[int, UINT64]
Hex8 = Annotated[int, HEX8]
Hex16 = Annotated[int, HEX16]
Hex32 = Annotated[int, HEX32]
Hex64 = Annotated[int, HEX64]
String = Annotated[str, STRING]
SizedString = Annotated[str, SIZED_STRING]
IPAddr = Annotated[str, IPADDR]
Ether = Annotated[bytes, ETHER]
