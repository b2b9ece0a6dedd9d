"""Tests for structures: the worked examples of section 6.9, row by row, and the rules."""

import errno
import re
import sys
from dataclasses import field, make_dataclass
from typing import Annotated, Any

from ngksock.netgraph import layout
from ngksock.netgraph.layout import (
    ETHER,
    HEX32,
    INT8,
    INT32,
    SIZED_STRING,
    STRING,
    UINT8,
    UINT32,
    UINT64,
    Counted,
    CountedBytes,
    FixedArray,
    FixedBytes,
    FixedString,
    Int32,
    LooseString,
    ParseType,
    Prefixed,
    Rest,
    String,
    Struct,
    UInt8,
    UInt32,
)
from tests.netgraph.layouts import (
    DEMO,
    SA,
    SOCKOPT,
    Bridge,
    Demo,
    Filter,
    HookList,
    Host,
    Hosts,
    LayoutCase,
    LinkInfo,
    MkPeer,
    Named,
    NodeInfo,
    One2Many,
    Op,
    Patch,
    RmHook,
    Sockopt,
    TypeInfo,
    TypeList,
)

ROW14 = "02 01 00 00 0a 00 00 01 61 62 00 00 00 00 03 00 07 00 00 00 09 00 00 00"

# Section 6.9: row, type, text, bytes in hex or errno, printed form or offset of the error.
# Runs of zero bytes are "+n".
ROWS: list[tuple[int, ParseType[Any], str, str | int, str | int]] = [
    (1, INT32, "-1", "ff ff ff ff", "-1"),
    (2, UINT32, "-1", "ff ff ff ff", "4294967295"),
    (3, HEX32, "255", "ff 00 00 00", "0xff"),
    (4, UINT32, "010", "08 00 00 00", "8"),
    (5, UINT8, "-128", "80", "128"),
    (6, UINT8, "256", errno.EINVAL, 0),
    (7, UINT32, "12abc", errno.EINVAL, 0),
    (8, UINT64, "5000000000", "00 f2 05 2a 01 00 00 00", "5000000000"),
    (9, Struct(Named), '{ name="foo" }', "66 6f 6f +29", '{ name="foo" }'),
    (
        10,
        SA,
        "{ family=16 len=16 data=[0x70 0x00 0x01 0x23] }",
        "10 10 70 00 01 23 +10",
        "{ len=16 family=16 data=[ 0x70 2=0x1 0x23 ] }",
    ),
    (
        11,
        SA,
        "{ len=16 family=2 data=[ 0x4 0xd2 0x7f 5=1 ] }",
        "10 02 04 d2 7f 00 00 01 +8",
        "{ len=16 family=2 data=[ 0x4 0xd2 0x7f 5=0x1 ] }",
    ),
    (
        12,
        SA,
        '{ len=8 family=1 data="/tmp/a" }',
        "08 01 2f 74 6d 70 2f 61",
        "{ len=8 family=1 data=[ 0x2f 0x74 0x6d 0x70 0x2f 0x61 ] }",
    ),
    (13, SA, "{ family=2 data=[1] }", errno.E2BIG, 17),
    (
        14,
        DEMO,
        '{ n=3 ip=10.0.0.1 v=[ 7 2=9 ] tag="ab" id=0x102 }',
        ROW14,
        '{ id=258 ip=10.0.0.1 tag="ab" n=3 v=[ 7 2=9 ] }',
    ),
    (15, DEMO, "{}", "+16", "{}"),
    (16, DEMO, "{ n=2 v=[ 1 2 3 ] }", errno.E2BIG, 14),
    (17, DEMO, "{ id=1 id=2 }", errno.EALREADY, 7),
    (18, DEMO, "{ idx=1 }", errno.ENOENT, 2),
    (19, DEMO, '{ tag="abcdef" }', errno.E2BIG, 6),
    (20, DEMO, "{ tag=ab }", errno.EINVAL, 6),
    (21, DEMO, "{ n=3 v=[1,2,3] }", errno.EINVAL, 9),
    (22, FixedArray(FixedString(4), 2), '[ "a" "b" ]', "61 +3 62 +3", '[ "a" "b" ]'),
    (23, FixedArray(FixedString(4), 2), '[ 0="a" 1="b" ]', "61 +3 62 +3", '[ "a" "b" ]'),
    (
        24,
        Struct(MkPeer),
        '{ type="ksocket" ourhook="x" peerhook="inet/dgram/udp" }',
        "6b 73 6f 63 6b 65 74 +25 78 +31 69 6e 65 74 2f 64 67 72 61 6d 2f 75 64 70 +18",
        '{ type="ksocket" ourhook="x" peerhook="inet/dgram/udp" }',
    ),
    (25, Struct(RmHook), '{ hook="x" }', "78 +31", '{ hook="x" }'),
    (
        26,
        Struct(NodeInfo),
        '{ name="ks" type="ksocket" id=0x1a hooks=1 }',
        "6b 73 +30 6b 73 6f 63 6b 65 74 +25 1a 00 00 00 01 00 00 00",
        '{ name="ks" type="ksocket" id=0x1a hooks=1 }',
    ),
    (
        27,
        Struct(HookList),
        '{ nodeinfo={ name="ks" type="ksocket" id=0x1a hooks=1 } linkinfo=[ { '
        'ourhook="inet/dgram/udp" peerhook="x" nodeinfo={ type="socket" id=0x5 hooks=1 } } ] }',
        "6b 73 +30 6b 73 6f 63 6b 65 74 +25 1a 00 00 00 01 00 00 00"
        "69 6e 65 74 2f 64 67 72 61 6d 2f 75 64 70 +18 78 +31"
        "+32 73 6f 63 6b 65 74 +26 05 00 00 00 01 00 00 00",
        '{ nodeinfo={ name="ks" type="ksocket" id=0x1a hooks=1 } linkinfo=[ { '
        'ourhook="inet/dgram/udp" peerhook="x" nodeinfo={ type="socket" id=0x5 hooks=1 } } ] }',
    ),
    (
        28,
        Struct(TypeList),
        '{ numtypes=2 typeinfo=[ { typename="hub" } { typename="socket" numnodes=1 } ] }',
        "02 00 00 00 68 75 62 +29 00 00 00 00 73 6f 63 6b 65 74 +26 01 00 00 00",
        '{ numtypes=2 typeinfo=[ { typename="hub" } { typename="socket" numnodes=1 } ] }',
    ),
    (
        29,
        Struct(One2Many),
        "{ xmitAlg=3 failAlg=1 enabledLinks=[ 1 1 ] }",
        "03 00 00 00 01 00 00 00 01 01 +62",
        "{ xmitAlg=3 failAlg=1 enabledLinks=[ 1 1 ] }",
    ),
    (
        30,
        Struct(Bridge),
        "{ debugLevel=1 loopTimeout=60 maxStaleness=900 minStableAge=1 }",
        "01 00 00 00 3c 00 00 00 84 03 00 00 01 00 00 00",
        "{ debugLevel=1 loopTimeout=60 maxStaleness=900 minStableAge=1 }",
    ),
    (
        31,
        Struct(Filter),
        '{ vlan=100 hook="v100" }',
        "76 31 30 30 +28 64 00 00 00 00 00",
        '{ hook="v100" vlan=100 }',
    ),
    (
        32,
        Struct(Patch),
        "{ count=1 ops=[ { mode=1 value=16 length=1 offset=1 } ] }",
        "01 00 00 00 +20 01 00 00 00 01 00 01 00 10 00 00 00 00 00 00 00",
        "{ count=1 ops=[ { offset=1 length=1 mode=1 value=16 } ] }",
    ),
]


def unhex(text: str) -> bytes:
    """Turn the table's hex form into bytes."""
    return bytes.fromhex(re.sub(r"\+(\d+)", lambda run: "00 " * int(run.group(1)), text))


class WorkedExampleTests(LayoutCase):
    """Section 6.9, row by row (bytes are those of a little-endian host)."""

    if sys.byteorder != "little":
        skip = "the table has little-endian bytes"


def _add_row(number, kind, text, result, printed):
    def test(self):
        if isinstance(result, int):
            self.fails(kind, text, result, printed)
            return
        data = unhex(result)
        value = kind.parse(text)
        self.assertEqual(data, kind.pack(value))
        self.assertEqual(value, kind.unpack(data))
        self.assertEqual(printed, kind.unparse(value))
        self.assertEqual(value, kind.parse(kind.unparse(value)))

    test.__doc__ = f"Row {number} of the worked examples holds: text, bytes, printed form."
    setattr(WorkedExampleTests, f"test_row_{number:02}", test)


for _row in ROWS:
    _add_row(*_row)


class StructTests(LayoutCase):
    def test_sizes(self):
        """Sizes, paddings and alignments are those of the C structures."""
        for cls, size in [
            (MkPeer, 96),
            (RmHook, 32),
            (NodeInfo, 72),
            (LinkInfo, 136),
            (TypeInfo, 36),
            (One2Many, 72),
            (Bridge, 16),
            (Filter, 38),
            (Op, 16),
            (Host, 42),
        ]:
            self.assertEqual(size, Struct(cls).size)
        for cls in (Demo, HookList, Sockopt, Hosts):
            self.assertIsNone(Struct(cls).size)

    def test_commas(self):
        """Commas between fields and between spaced elements are blanks."""
        expected = DEMO.parse("{ id=10 n=2 v=[ 1 2 ] }")
        for text in ["{id=10,n=2,v=[1 2]}", "{ id=10, n=2, v=[ 1, 2 ] }", "{id=10,v=[1 ,2],n=2,}"]:
            self.assertEqual(expected, DEMO.parse(text), text)
        self.assertEqual(["a", "b"], FixedArray(STRING, 2).parse('["a","b"]'))

    def test_comma_trap(self):
        """Joined elements are refused with the way out, not read as one element."""
        self.fails(DEMO, "{ n=3 v=[1,2,3] }", errno.EINVAL, 9, "1,2,3 is not a number; separate")

    def test_syntax_errors(self):
        """Every error has the errno of its kind and the offset of its token."""
        for text, number, offset, words in [
            ("", errno.EINVAL, 0, "expected a structure"),
            ("  [ 1 ]", errno.EINVAL, 2, "expected a structure"),
            ("{ id=1", errno.EINVAL, 0, "never closed"),
            ("{ id=1 ]", errno.EINVAL, 7, "cannot close"),
            ("{ id 1 }", errno.EINVAL, 5, 'expected "=" behind id'),
            ("{ id= }", errno.EINVAL, 6, "expected a value"),
            ("{ id=1 =2 }", errno.EINVAL, 7, "expected the name of a field"),
            ('{ "id"=1 }', errno.EINVAL, 2, "expected the name of a field"),
            ("{ id=1 } x", errno.EINVAL, 9, "x follows the complete value"),
            ("{ id={} }", errno.EINVAL, 5, "expected a number"),
            ("{ id=65536 }", errno.EINVAL, 5, "value 65536 is outside -32768..65535"),
            ("{ v=3 }", errno.EINVAL, 4, "expected an array"),
            ("{ n=1 v=[ 0 }", errno.EINVAL, 12, "cannot close"),
            ("{ ip=1.2.3.999 }", errno.EINVAL, 11, "999"),
            ("{ idx=1 }", errno.ENOENT, 2, 'no field "idx"; fields are id, ip, tag, n, v'),
            ("{ ID=1 }", errno.ENOENT, 2, ""),
            ("{ id=x id=2 }", errno.EALREADY, 7, 'field "id" is given twice'),
        ]:
            self.fails(DEMO, text, number, offset, words)

    def test_order(self):
        """Fields convert in declaration order: of two bad ones the first declared is named."""
        self.fails(DEMO, "{ n=x id=y }", errno.EINVAL, 9, "y is not a number")

    def test_no_default(self):
        """What has no default must be given, and always prints: EOPNOTSUPP at its struct."""
        kind = Struct(Host)
        self.fails(kind, ' { hook="a" }', errno.EOPNOTSUPP, 1, 'field "addr" is missing')
        self.assertEqual("{ addr=00:00:00:00:00:00 }", kind.unparse(Host(bytes(6))))
        hosts = Struct(Hosts)
        self.fails(hosts, "{ n=2 }", errno.EOPNOTSUPP, 0, 'field "hosts" is missing')
        text = "{ n=2 hosts=[ 1={ addr=0:0:0:0:0:0 } ] }"
        self.fails(hosts, text, errno.EOPNOTSUPP, 12, "element 0 is missing")
        self.assertEqual(Hosts(0, []), hosts.parse("{}"))
        self.assertIsNone(kind.default({}))

    def test_type_default(self):
        """What the text leaves out is zero, whatever default the dataclass has."""

        config = make_dataclass("Config", [("a", Int32, 7), ("b", String, "x")])
        kind: Struct[Any] = Struct(config)
        self.assertEqual(config(0, ""), kind.parse("{}"))
        self.assertEqual('{ a=7 b="x" }', kind.unparse(config()))

    def test_names(self):
        """Metadata gives a name in text that is no identifier, and synonyms for input."""
        self.assertEqual(b"abcd", SOCKOPT.parse('{ data="abcd" }').value)
        self.fails(SOCKOPT, "{ data=1 value=1 }", errno.EALREADY, 9)
        keyword = make_dataclass("Keyword", [("in_", Int32, field(metadata={"name": "in"}))])
        self.assertEqual("{ in=1 }", Struct(keyword).unparse(Struct(keyword).parse("{ in=1 }")))

    def test_alignment(self):
        """Metadata may set a field's own alignment."""
        packed = make_dataclass(
            "Packed",
            [
                ("a", UInt8),
                ("b", UInt32, field(metadata={"align": 1})),
                ("c", UInt8, field(metadata={"align": 8})),
            ],
        )
        kind: Struct[Any] = Struct(packed)
        self.assertEqual(16, kind.size)
        data = kind.pack(packed(1, -1, 2))
        self.assertEqual(b"\1\xff\xff\xff\xff\0\0\0\2" + bytes(7), data)
        self.assertEqual(packed(1, 2**32 - 1, 2), kind.unpack(data))

    def test_padding_is_ignored(self):
        """Padding reads as anything and writes as zero."""
        data = bytearray(DEMO.pack(DEMO.parse("{ n=1 }")))
        data[2] = data[15] = data[-1] = 9
        self.assertEqual(DEMO.parse("{ n=1 }"), DEMO.unpack(bytes(data)))

    def test_exact_size(self):
        """Bytes too few or too many are EINVAL, the trailing padding included."""
        kinds: list[Struct[Any]] = [Struct(Bridge), DEMO, Struct(HookList)]
        for kind in kinds:
            data = kind.pack(kind.parse("{}"))
            kind.unpack(data)
            self.refuses(kind.unpack, data[:-1])
            self.refuses(kind.unpack, data + b"\0")

    def test_loose(self):
        """A loose structure ignores what follows, and misses no padding at its end."""
        made = make_dataclass(
            "Made", [("n", UInt32), ("data", Annotated[bytes, CountedBytes("n")])]
        )
        kind: Struct[Any] = Struct(made, loose=True)
        data = kind.pack(made(3, b"abc"))
        self.assertEqual(7, len(data))
        for tail in (b"", b"\0", b"12345"):
            self.assertEqual(made(3, b"abc"), kind.unpack(data + tail))
        with self.assertRaises(OSError):
            kind.unpack(data[:-1])
        with self.assertRaises(TypeError):
            FixedArray(kind, 2)

    def test_loose_string(self):
        """A loose string takes all bytes there are, the last one for a NUL."""
        kind = LooseString(8)
        self.assertEqual(b"abc".ljust(8, b"\0"), kind.pack("abc"))
        for data in (b"abc\0", b"abcX", b"abc\0rest", b"abc".ljust(32, b"\0")):
            self.assertEqual("abc", kind.unpack(data))
        self.assertEqual("", kind.unpack(b"\0"))
        self.refuses(kind.unpack, b"")
        self.refuses(kind.unpack, b"12345678\0")

    def test_wrong_declarations(self):
        """A layout that cannot work is a TypeError where it is declared."""

        def declare(*fields):
            return Struct(make_dataclass("Bad", list(fields)))

        self.assertRaises(TypeError, Struct, int)
        self.assertRaises(TypeError, declare, ("a", int))
        self.assertRaises(TypeError, declare, ("a", Annotated[int, "a number"]))
        self.assertRaises(
            TypeError, declare, ("v", Annotated[list, Counted(INT8, "n")]), ("n", UInt8)
        )
        self.assertRaises(TypeError, declare, ("v", Annotated[bytes, Rest()]), ("n", UInt8))
        self.assertRaises(TypeError, declare, ("a", Int32, field(metadata={"name": "a b"})))
        self.assertRaises(TypeError, declare, ("a", Int32, field(metadata={"alias": "a"})))
        self.assertRaises(TypeError, declare, ("a", NodeInfo, field(metadata={"align": 1})))
        self.assertRaises(TypeError, FixedArray, Rest(), 2)
        self.assertRaises(TypeError, Prefixed, INT8, INT32)

    def test_shape(self):
        """The shape shows the text's form with types for values."""
        self.assertEqual("{ level=<int32> name=<int32> value=[ <hex8> ... ] }", SOCKOPT.shape())
        self.assertEqual(
            '{ id=<uint16> ip=<a.b.c.d> tag="<string up to 5>" n=<uint8> v=[ <uint16> ... ] }',
            DEMO.shape(),
        )
        self.assertEqual("{ len=<uint8> family=<uint8> data=[ <hex8> ... ] }", SA.shape())
        self.assertEqual("[ [ <hex8> x 2 ] x 3 ]", FixedArray(FixedBytes(2), 3).shape())
        self.assertEqual("{}", Struct(make_dataclass("Empty", [])).shape())
        self.assertEqual('[ "<string>" ... ]', Prefixed(STRING).shape())
        self.assertEqual('"<string up to 65535>"', SIZED_STRING.shape())
        self.assertEqual("<aa:bb:cc:dd:ee:ff>", ETHER.shape())

    def test_outermost_annotation(self):
        """Of two types in a hint the outer one counts."""
        shown = make_dataclass("Shown", [("a", Annotated[Int32, HEX32])])
        self.assertEqual("{ a=0xff }", Struct(shown).unparse(shown(255)))

    def test_public_names(self):
        """All that layout promises is there."""
        for name in layout.__all__:
            self.assertTrue(hasattr(layout, name), name)
