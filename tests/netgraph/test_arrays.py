"""Tests for arrays and byte arrays: indexes, lengths, bounds."""

import errno
from dataclasses import make_dataclass
from typing import Annotated, Any

from ngksock.netgraph.layout import (
    ETHER,
    INT8,
    INT16,
    STRING,
    UINT8,
    UINT16,
    UINT64,
    Counted,
    CountedBytes,
    FixedArray,
    FixedBytes,
    Int32,
    ParseError,
    ParseType,
    Prefixed,
    Struct,
    UInt16,
    UInt32,
)
from tests.netgraph.layouts import (
    SA,
    SOCKOPT,
    Address,
    LayoutCase,
    Sockopt,
    TypeInfo,
    TypeList,
)


class ArrayTests(LayoutCase):
    def test_indexes(self):
        """Elements follow each other; an index moves on; what is left out is zero."""
        kind = FixedArray(INT16, 5)
        self.assertEqual([0, 1, 0, 3, 4], kind.parse("[ 1=1 3=3 4 ]"))
        self.assertEqual([1, 2, 0, 0, 0], kind.parse("[ 1 = 2 0x0 = 1 ]"))
        self.assertEqual("[ 1=1 3=3 4 ]", kind.unparse([0, 1, 0, 3, 4]))
        self.assertEqual("[]", kind.unparse([0] * 5))

    def test_index_errors(self):
        """Index errors stand at the index, or at the element that has none."""
        kind = FixedArray(INT16, 3)
        for text, number, offset, words in [
            ("[ 1 2 3 4 ]", errno.E2BIG, 8, "index 3 is too large: the array holds 3"),
            ("[ 3=1 ]", errno.E2BIG, 2, "index 3"),
            (f"[ {10**50}=1 ]", errno.E2BIG, 2, "index 1000"),
            ("[ 1=1 1=2 ]", errno.EALREADY, 6, "element 1 is given twice"),
            ("[ 1=1 0=2 3 ]", errno.EALREADY, 10, ""),
            ("[ -1=1 ]", errno.EINVAL, 2, "has a sign"),
            ("[ +1=1 ]", errno.EINVAL, 2, "has a sign"),
            ("[ a=1 ]", errno.EINVAL, 2, "a is not a number"),
            ("[ 1x=1 ]", errno.EINVAL, 2, ""),
            ('[ "1"=1 ]', errno.EINVAL, 2, ""),
            ("[ 0=1,1=2 ]", errno.EINVAL, 4, "1,1 is not a number; separate"),
            ("[ 1= ]", errno.EINVAL, 5, ""),
            ("[ 1", errno.EINVAL, 0, "never closed"),
            ("1", errno.EINVAL, 0, "expected an array"),
        ]:
            self.fails(kind, text, number, offset, words)

    def test_elements_are_separate(self):
        """Elements that are left out are objects of their own."""
        first, second = FixedArray(TypeInfo, 2).parse("[]")
        self.assertIsNot(first, second)

    def test_nested(self):
        """Arrays of arrays and of structs print and read back."""
        kind = FixedArray(FixedArray(TypeInfo, 2), 2)
        text = '[ 1=[ 1={ typename="x" } ] ]'
        self.assertEqual(text, kind.unparse(kind.parse(text)))
        self.assertEqual(144, kind.size)

    def test_count_mismatch(self):
        """A list of another length than its count field is EINVAL, never a bad message."""
        for value in (TypeList(2, [TypeInfo()]), TypeList(2**32 - 1, [])):
            self.refuses(Struct(TypeList).pack, value)
            self.refuses(Struct(TypeList).unparse, value)
        for sa in (Address(9, 0, b"x"), Address(2, 0, b"\0")):
            self.refuses(SA.pack, sa)
            self.refuses(SA.unparse, sa)
        self.refuses(FixedBytes(2).pack, b"abc")

    def test_negative_count(self):
        """A negative count is EINVAL in every direction."""
        program = make_dataclass(
            "Program", [("n", Int32), ("v", Annotated[list, Counted(INT8, "n")])]
        )
        kind: Struct[Any] = Struct(program)
        self.fails(kind, "{ n=-1 v=[] }", errno.EINVAL, 9, "n is -1")
        self.fails(kind, "{ n=-1 }", errno.EINVAL, 0, "n is -1")
        self.refuses(kind.unpack, b"\xff" * 4)
        self.refuses(kind.pack, program(-1, []))
        self.refuses(kind.unparse, program(-1, []))

    def test_huge_counts(self):
        """A count of thousands of millions costs nothing: ERANGE from text, EINVAL from bytes."""
        kind: ParseType[Any]
        elements: list[tuple[Any, str]] = [(TypeInfo, "v=[]"), (UINT8, ""), (FixedBytes(0), "v=[]")]
        for element, rest in elements:
            kind = Struct(
                make_dataclass(
                    "Many", [("n", UInt32), ("v", Annotated[list[Any], Counted(element, "n")])]
                )
            )
            error = self.assertRaises(ParseError, kind.parse, f"{{ n=4294967295 {rest} }}")
            self.assertEqual(errno.ERANGE, error.errno)
            self.refuses(kind.unpack, b"\xff" * 64)
        for kind in (Prefixed(TypeInfo), Prefixed(FixedBytes(0))):
            self.refuses(kind.unpack, b"\xff" * 64)
        blob = make_dataclass("Blob", [("n", UInt32), ("v", Annotated[bytes, CountedBytes("n")])])
        self.fails(Struct(blob), "{ n=4294967295 }", errno.ERANGE, 0)
        self.fails(Struct(blob), "{ n=4294967295 v=[] }", errno.ERANGE, 17)

    def test_amplification(self):
        """Many small texts cannot add up to a large value either."""
        blob = make_dataclass("Blob", [("n", UInt16), ("v", Annotated[bytes, CountedBytes("n")])])
        kind: FixedArray[Any] = FixedArray(blob, 9)
        self.fails(kind, "[ {n=20000} {n=500} ]", errno.ERANGE, 12, "more than 20480")
        self.assertEqual(20000, kind.parse("[ {n=20000} {n=400} ]")[0].n)

    def test_output_bound(self):
        """A value of more than 20480 bytes is ERANGE, if its type is fixed or not."""
        FixedArray(UINT8, 20480).parse("[]")
        self.fails(FixedArray(UINT8, 20481), "[]", errno.ERANGE, 0)
        self.fails(Prefixed(UINT64), f"[ {'1 ' * 2560} ]", errno.ERANGE, 0)
        self.fails(FixedBytes(20481), '""', errno.ERANGE, 0)

    def test_prefixed(self):
        """A prefixed array tells its length in the bytes, and by its last element in text."""
        kind = Prefixed(UINT16)
        self.assertEqual(b"\3\0\0\0\1\0\0\0\0\0\0\0", kind.pack([1, 0, 0]))
        self.assertEqual([1, 0, 0], kind.unpack(kind.pack([1, 0, 0])))
        self.assertEqual("[ 1 2=0 ]", kind.unparse([1, 0, 0]))
        self.assertEqual([1, 0, 0], kind.parse("[ 1 2=0 ]"))
        self.assertEqual([[], [""]], [Prefixed(STRING).parse(text) for text in ("[]", '[ "" ]')])
        self.fails(Prefixed(INT8, UINT8), "[ 255=1 ]", errno.E2BIG, 2)
        self.fails(kind, "[ 99999999=1 ]", errno.E2BIG, 2)
        self.fails(Prefixed(TypeInfo), "[ 9999={} ]", errno.ERANGE, 0)
        self.fails(Prefixed(ETHER), "[ 1=0:0:0:0:0:0 ]", errno.EOPNOTSUPP, 0)

    def test_prefixed_many(self):
        """A reply may be longer than what a text can make."""
        kind = Prefixed(TypeInfo)
        self.assertEqual(4 + 36 * 5000, len(kind.pack([TypeInfo()] * 5000)))


class BytesTests(LayoutCase):
    def test_forms(self):
        """A byte array reads from numbers or a string, zero filled, and prints as numbers."""
        kind = FixedBytes(4)
        self.assertEqual(b"ab\0\0", kind.parse(' "ab"'))
        self.assertEqual(b"\1\0\xff\0", kind.parse("[ 1 2=-1 ]"))
        self.assertEqual("[ 0x1 2=0xff ]", kind.unparse(b"\1\0\xff\0"))
        self.fails(kind, ' "abcde"', errno.E2BIG, 1, "5 bytes long, the array holds 4")
        self.fails(kind, "[ 4=1 ]", errno.E2BIG, 2)
        self.fails(kind, "1", errno.EINVAL, 0, "expected an array")
        self.fails(kind, "[ 256 ]", errno.EINVAL, 2)

    def test_option_value(self):
        """Section 7.9: the text's own length counts, with room for an integer at least."""
        head = b"\xff\xff\0\0\x14\x10\0\0"
        for text, value in [
            ("{ level=0xffff name=0x1014 }", b""),
            ("{ level=0xffff name=0x1014 value=[ 2 ] }", b"\2\0\0\0"),
            ("{ level=0xffff name=0x1014 value=[ 5=2 ] }", b"\0\0\0\0\0\2"),
            ("{ level=0xffff name=0x1014 value=2 }", b"\2\0\0\0"),
            ("{ level=0xffff name=0x1014 value=-2 }", b"\xfe\xff\xff\xff"),
            ("{ level=0xffff name=0x1014 data=[ 2 ] }", b"\2\0\0\0"),
            ('{ level=0xffff name=0x1014 value="dataready" }', b"dataready"),
        ]:
            self.assertEqual(head + value, SOCKOPT.pack(SOCKOPT.parse(text)), text)
        self.fails(SOCKOPT, "{ value=2x }", errno.EINVAL, 8, "2x is not a number")
        self.fails(SOCKOPT, "{ value=[ 999999999999=1 ] }", errno.E2BIG, 10)

    def test_option_printed(self):
        """Replies print as on FreeBSD; the last byte behind the minimum tells the length."""
        for value, text in [
            (b"\4\0\0\0", "{ level=65535 name=4 value=[ 0x4 ] }"),
            (b"\0\0\1\0", "{ level=65535 name=4 value=[ 2=0x1 ] }"),
            (b"\0\0\0\0", "{ level=65535 name=4 value=[] }"),
            (b"\1\0\0\0\5\0\0\0", "{ level=65535 name=4 value=[ 0x1 4=0x5 7=0x0 ] }"),
            (b"", "{ level=65535 name=4 }"),
        ]:
            option = Sockopt(0xFFFF, 4, value)
            self.assertEqual(text, SOCKOPT.unparse(option))
            self.assertEqual(option, SOCKOPT.parse(text))
            self.assertEqual(option, SOCKOPT.unpack(SOCKOPT.pack(option)))

    def test_rest_has_no_padding(self):
        """An option of one byte stays one byte: nothing is padded behind a Rest."""
        self.assertEqual(9, len(SOCKOPT.pack(Sockopt(0, 0, b"x"))))
        self.assertEqual(b"x", SOCKOPT.unpack(bytes(8) + b"x").value)
