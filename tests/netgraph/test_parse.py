"""Tests for the basic argument types."""

import errno
import struct

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ngksock.netgraph.layout import (
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
    FixedString,
    Lexer,
    ParseError,
    ParseType,
    Reader,
)

INTS = [
    (INT8, "b"),
    (UINT8, "B"),
    (HEX8, "B"),
    (INT16, "h"),
    (UINT16, "H"),
    (HEX16, "H"),
    (INT32, "i"),
    (UINT32, "I"),
    (HEX32, "I"),
    (INT64, "q"),
    (UINT64, "Q"),
    (HEX64, "Q"),
]


class ErrorCase(SynchronousTestCase):
    """A test case that states errno, offset and words of an error in one line."""

    def fails(self, kind, text, number, offset, words=""):
        """Assert that *kind* refuses *text*."""
        error = self.assertRaises(ParseError, kind.parse, text)
        self.assertEqual((number, offset), (error.errno, error.offset), f"{text!r}: {error}")
        self.assertIn(words, str(error))


class IntTests(ErrorCase):
    def test_range(self):
        """All N-bit types take -(2^(N-1)) to 2^N-1, and no more; the message tells the range."""
        for kind, code in INTS:
            low, high = -(1 << (kind.bits - 1)), (1 << kind.bits) - 1
            for value in (low, -1, 0, 1, high // 2, high):
                packed = kind.pack(kind.parse(str(value)))
                self.assertEqual(struct.pack("=" + code.upper(), value & high), packed)
                self.assertEqual(packed, kind.pack(value))
                self.assertEqual(struct.unpack("=" + code, packed)[0], kind.unpack(packed))
            for value in (low - 1, high + 1, 10**30):
                self.fails(
                    kind, f" {value}", errno.EINVAL, 1, f"value {value} is outside {low}..{high}"
                )
                for convert in (kind.pack, kind.unparse):
                    error = self.assertRaises(OSError, convert, value)
                    self.assertEqual(errno.EINVAL, error.errno)

    def test_canonical(self):
        """parse returns what unpack returns for the same bytes."""
        self.assertEqual(-1, INT8.parse("255"))
        self.assertEqual(255, UINT8.parse("-1"))
        self.assertEqual(2**64 - 1, UINT64.parse("18446744073709551615"))
        self.assertEqual("0xffff", HEX16.unparse(-1))

    def test_bases(self):
        """0x is hexadecimal, a leading 0 octal; signs are fine before either."""
        for text, value in [
            ("0", 0),
            ("-0", 0),
            ("+7", 7),
            ("010", 8),
            ("-010", -8),
            ("0x1F", 31),
            ("-0X1f", -31),
            ("00", 0),
            ("0" * 5000 + "7", 7),
        ]:
            self.assertEqual(value, INT32.parse(text), text)

    def test_not_a_number(self):
        """Any character too many is EINVAL, never ignored."""
        for text in ["12abc", "0x", "0xg", "--1", "+", "1_000", "1.0", "\xb2", "1e3", "'1'"]:
            self.fails(INT32, text, errno.EINVAL, 0, f"{text} is not" if text.isascii() else "")
        self.fails(INT32, "08", errno.EINVAL, 0, "08 is not a number; a leading 0 means octal")

    def test_no_word(self):
        """Where no word is, the message tells what is there."""
        for text, offset in [("", 0), ("  ", 2), ('"1"', 0), ("{}", 0), ("=", 0)]:
            self.fails(INT32, text, errno.EINVAL, offset, "expected a number")

    def test_trailing(self):
        """Text behind a complete value is EINVAL at its place."""
        self.fails(INT32, "1 2", errno.EINVAL, 2, "2 follows the complete value")
        self.fails(INT32, "1}", errno.EINVAL, 1)

    def test_thousands_of_digits(self):
        """A number of any length is just out of range, and shown shortened."""
        self.fails(INT64, "9" * 100000, errno.EINVAL, 0, "999... is outside")

    def test_size(self):
        """unpack takes exactly the size of the type."""
        for kind, _ in INTS:
            for length in (0, kind.bits // 8 - 1, kind.bits // 8 + 1):
                error = self.assertRaises(OSError, kind.unpack, bytes(length))
                self.assertEqual(errno.EINVAL, error.errno)

    def test_shape(self):
        """The shape names form and bits."""
        self.assertEqual("<uint32> <hex8>", f"{UINT32.shape()} {HEX8.shape()}")


class StringTests(ErrorCase):
    def test_string(self):
        """A string of any length ends with a NUL in its bytes."""
        self.assertEqual(b"a\xff\0", STRING.pack(STRING.parse(r' "a\xff" ')))
        self.assertEqual("", STRING.unpack(b"\0"))
        self.assertEqual('"a\\xff"', STRING.unparse("a\xff"))
        for data in (b"", b"ab", b"a\0b", b"a\0b\0"):
            self.assertEqual(errno.EINVAL, self.assertRaises(OSError, STRING.unpack, data).errno)

    def test_fixed(self):
        """A fixed string is padded; what follows its NUL does not count."""
        kind = FixedString(4)
        self.assertEqual(b"ab\0\0", kind.pack(kind.parse('"ab"')))
        for data, value in [(b"abcd", "abc"), (b"a\0xy", "a"), (b"\0\0\0\0", "")]:
            self.assertEqual(value, kind.unpack(data))
        self.fails(kind, ' "abcd"', errno.E2BIG, 1, "4 bytes long, at most 3 fit")
        self.assertEqual(errno.E2BIG, self.assertRaises(OSError, kind.pack, "abcd").errno)
        self.assertRaises(ValueError, FixedString, 0)

    def test_nul(self):
        """A NUL inside a NUL-ended string is EINVAL, never a silently shorter string."""
        for kind in (STRING, FixedString(9)):
            self.fails(kind, '"a\\0b"', errno.EINVAL, 0, "contains a NUL")
            self.assertEqual(errno.EINVAL, self.assertRaises(OSError, kind.pack, "a\0").errno)

    def test_sized(self):
        """A sized string has its length in front and may contain NUL, up to 65535 bytes."""
        self.assertEqual(struct.pack("=H3s", 3, b"a\0b"), SIZED_STRING.pack("a\0b"))
        self.assertEqual("a\0b", SIZED_STRING.unpack(struct.pack("=H3s", 3, b"a\0b")))
        self.assertEqual("", SIZED_STRING.unpack(bytes(2)))
        self.fails(SIZED_STRING, f'"{"x" * 65536}"', errno.EINVAL, 0, "65536 bytes long")
        error = self.assertRaises(OSError, SIZED_STRING.unpack, struct.pack("=H2s", 3, b"ab"))
        self.assertEqual(errno.EINVAL, error.errno)

    def test_unquoted(self):
        """A word where a string belongs is EINVAL."""
        for kind in (STRING, SIZED_STRING, FixedString(4)):
            self.fails(kind, "ab", errno.EINVAL, 0, "expected a quoted string, not ab")

    def test_beyond_latin1(self):
        """A value with a character that is no byte is EINVAL, both ways out."""
        for kind in (STRING, SIZED_STRING, FixedString(40)):
            for convert in (kind.pack, kind.unparse):
                error = self.assertRaises(OSError, convert, "\u20ac")
                self.assertEqual(errno.EINVAL, error.errno)

    def test_too_long(self):
        """A text that makes more than 20480 bytes is ERANGE; packing has no such limit."""
        STRING.parse(f'"{"x" * 20479}"')
        self.fails(STRING, f'"{"x" * 20480}"', errno.ERANGE, 0)
        self.assertEqual(30001, len(STRING.pack("x" * 30000)))

    @given(st.text(st.characters(min_codepoint=1, max_codepoint=0xFF), max_size=30))
    @settings(deadline=None, max_examples=60)
    def test_round_trip(self, value):
        """Every string survives text and bytes."""
        for kind in (STRING, SIZED_STRING, FixedString(31)):
            self.assertEqual(value, kind.unpack(kind.pack(kind.parse(kind.unparse(value)))))


class AddressTests(ErrorCase):
    def test_ip(self):
        """An IP address is four numbers of base 0, in network byte order."""
        for text, data in [
            ("10.0.0.1", b"\x0a\0\0\1"),
            ("0x7f.0.010.-1", b"\x7f\0\x08\xff"),
            ("255.-128.0.0", b"\xff\x80\0\0"),
        ]:
            self.assertEqual(data, IPADDR.pack(IPADDR.parse(text)), text)
        self.assertEqual("10.0.0.1", IPADDR.unparse(IPADDR.unpack(b"\x0a\0\0\1")))

    def test_bad_ip(self):
        """The offset of a bad IP address is at the part that is wrong."""
        for text, offset in [
            (" 1.2.3", 1),
            ("1.2.3.4.5", 0),
            ("1.2.300.4", 4),
            ("1.2.3.x", 6),
            ("1.2.3.", 6),
            ("1..3.4", 2),
            ('"1.2.3.4"', 0),
        ]:
            self.fails(IPADDR, text, errno.EINVAL, offset)
        for value in ("1.2.3", "1.2.3.256", "1.2.3.4\n", "::1"):
            self.assertEqual(errno.EINVAL, self.assertRaises(OSError, IPADDR.pack, value).errno)

    def test_ether(self):
        """An Ethernet address is six hex bytes; it prints with two digits each."""
        self.assertEqual(bytes([2, 0, 0xFF, 0, 1, 0x10]), ETHER.parse("2:0:fF:000:01:10"))
        self.assertEqual("02:00:ff:00:01:10", ETHER.unparse(bytes([2, 0, 0xFF, 0, 1, 0x10])))
        self.assertIsNone(ETHER.default({}))

    def test_bad_ether(self):
        """The offset of a bad Ethernet address is at the part that is wrong."""
        for text, offset in [
            ("1:2:3:4:5", 0),
            ("1:2:3:4:5:6:7", 0),
            ("1:2:100:4:5:6", 4),
            ("1:2:3:4:5:", 10),
            ("1:2:3:4:0x5:6", 8),
        ]:
            self.fails(ETHER, text, errno.EINVAL, offset)
        self.assertEqual(errno.EINVAL, self.assertRaises(OSError, ETHER.pack, b"12345").errno)


class BrokenType(ParseType[int]):
    """A type whose own code raises a plain OSError."""

    def scan(self, text, seen):
        text.word("a word")
        raise OSError(errno.EAFNOSUPPORT, "no such family")


class HookTests(ErrorCase):
    def test_plain_oserror(self):
        """A plain OSError of a type's own scan gets the position of its value."""
        self.fails(BrokenType(), "  x", errno.EAFNOSUPPORT, 2, "no such family")

    def test_abstract(self):
        """The hooks without a default have to be written."""
        kind: ParseType[int] = ParseType()
        self.assertRaises(NotImplementedError, kind.shape)
        self.assertRaises(NotImplementedError, kind.scan, Lexer(""), {})
        self.assertRaises(NotImplementedError, kind.unparse, 0)
        self.assertRaises(NotImplementedError, kind.pack, 0)
        self.assertRaises(NotImplementedError, kind.unpack, b"")

    def test_reader(self):
        """A reader counts what is left and refuses to go beyond."""
        reader = Reader(b"abcde")
        self.assertEqual((b"ab", 3), (reader.take(2), reader.left))
        reader.align(4)
        self.assertEqual(4, reader.pos)
        error = self.assertRaises(OSError, reader.take, 2)
        self.assertEqual(errno.EINVAL, error.errno)
