"""Tests for special types, and the properties every type has, over random layouts."""

import errno
import re
from dataclasses import field, make_dataclass
from typing import Annotated, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ngksock.netgraph.layout import (
    ETHER,
    HEX8,
    HEX32,
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
    Counted,
    CountedBytes,
    FixedArray,
    FixedBytes,
    FixedString,
    Int32,
    ParseError,
    ParseType,
    Prefixed,
    Rest,
    Struct,
    UInt8,
)
from ngksock.testing.strategies import bytes_of, values_of
from tests.netgraph.layouts import (
    SA,
    LayoutCase,
    Place,
    PlaceType,
)


class SpecialTypeTests(LayoutCase):
    Visit = make_dataclass("Visit", [("to", Annotated[Place, PlaceType()]), ("n", Int32)])

    def test_composes(self):
        """A type that scans its own text works in structs and arrays, brackets and all."""
        for text in ["{ to=at/[a]:1 n=2 }", "{n=2,to=at/[a]:1}", "{ n=2 to = at/[a]:1}"]:
            self.assertEqual(self.Visit(Place("a", 1), 2), Struct(self.Visit).parse(text), text)
        kind = FixedArray(PlaceType(), 2)
        self.assertEqual([Place("a", 1), Place("b", 2)], kind.parse("[ 1=at/[b]:2, 0=at/[a]:1 ]"))

    def test_errors(self):
        """Its errors carry offsets, whether it raised them with one or not."""
        self.fails(
            Struct(self.Visit), "{ to=x }", errno.EINVAL, 5, "expected at/[host]:port, not x"
        )
        self.fails(Struct(self.Visit), "{ n=1 to=at/[]:65536 }", errno.EINVAL, 9, "port 65536")
        self.fails(Struct(self.Visit), "{ n=1 }", errno.EOPNOTSUPP, 0)

    def test_scan_and_skip_disagree(self):
        """A type that reads less than it skips makes an EINVAL, not a wrong value."""

        class Lazy(PlaceType):
            def scan(self, text, seen):
                text.match(re.compile("a"))
                return Place("a", 1)

            def skip(self, text):
                text.skip()

        kind: Struct[Any] = Struct(make_dataclass("Odd", [("to", Annotated[Place, Lazy()])]))
        self.fails(kind, "{ to=abc }", errno.EINVAL, 6, 'the end of field "to"')

    def test_unwritable(self):
        """A value that parses but does not pack is an error of the text, not a surprise later."""

        class Unwritable(PlaceType):
            size: int | None = None

            def write(self, value, out, seen):
                raise OSError(errno.E2BIG, "no")

        self.fails(Unwritable(), "at/[a]:1", errno.E2BIG, 0)


LEAVES = st.sampled_from(
    [
        INT8, UINT8, HEX8, INT16, UINT16, INT32, HEX32, INT64, UINT64,
        STRING, SIZED_STRING, FixedString(1), FixedString(5), IPADDR, ETHER,
        FixedBytes(0), FixedBytes(3), PlaceType(),
    ]
)  # fmt: skip


@st.composite
def structs(draw, inner, last=False):
    """Struct types with some fields, perhaps a counted array, and perhaps a Rest."""
    fields: list[Any] = [
        (f"f{index}", Annotated[Any, kind], field(metadata={"name": f"f-{index}"}))
        for index, kind in enumerate(draw(st.lists(inner, max_size=3)))
    ]
    if draw(st.booleans()):
        fields.append(("n", UInt8))
        counted = Counted(draw(inner), "n") if draw(st.booleans()) else CountedBytes("n")
        fields.append(("v", Annotated[Any, counted]))
    if last:
        fields.append(("rest", Annotated[bytes, Rest(draw(st.sampled_from([0, 4])))]))
    return Struct(make_dataclass("Generated", fields))


def composites(inner):
    """Arrays and structs of *inner*."""
    return st.one_of(
        st.builds(FixedArray, inner, st.integers(0, 3)),
        st.builds(Prefixed, inner, st.sampled_from([UINT8, UINT16, UINT32, UINT64])),
        structs(inner),
    )


TREES = st.recursive(LEAVES, composites, max_leaves=6)
TYPES = TREES | structs(TREES, last=True)

SYNTAX = st.text(st.sampled_from('{}[]=",\\ 01x-f\xff.:/nv') | st.characters(max_codepoint=0x17F))

fast = settings(deadline=None, max_examples=120)


class PropertyTests(LayoutCase):
    @given(st.data())
    @fast
    def test_inverse(self, data):
        """Bytes and text of a canonical value both read back as that value."""
        kind = data.draw(TYPES)
        value = data.draw(values_of(kind))
        packed = kind.pack(value)
        self.assertEqual(value, kind.unpack(packed))
        self.assertEqual(value, kind.parse(kind.unparse(value)))
        self.assertIn(kind.size, (None, len(packed)))
        self.assertTrue(kind.minsize <= len(packed))
        self.assertTrue(kind.greedy or len(packed) % kind.align == 0)

    @given(st.data())
    @fast
    def test_bytes_to_text_to_bytes(self, data):
        """Canonical bytes come back from their text unchanged."""
        kind = data.draw(TYPES)
        packed = data.draw(bytes_of(kind))
        self.assertEqual(packed, kind.pack(kind.parse(kind.unparse(kind.unpack(packed)))))

    @given(st.data())
    @fast
    def test_any_bytes(self, data):
        """Any bytes are EINVAL or settle after one pass through text."""
        kind = data.draw(TYPES)
        packed = bytearray(data.draw(bytes_of(kind)))
        for at, byte in data.draw(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 255)))):
            if packed:
                packed[at % len(packed)] = byte
        raw = data.draw(st.just(bytes(packed)) | st.binary(max_size=40))
        try:
            text = kind.unparse(kind.unpack(raw))
        except OSError as error:
            self.assertEqual(errno.EINVAL, error.errno)
            return
        once = kind.pack(kind.parse(text))
        self.assertEqual(text, kind.unparse(kind.unpack(once)))
        self.assertEqual(once, kind.pack(kind.parse(kind.unparse(kind.unpack(once)))))

    @given(st.data())
    @fast
    def test_any_text(self, data):
        """Any text, also a damaged valid one, parses or is a ParseError within the text."""
        kind = data.draw(TYPES)
        text = data.draw(values_of(kind).map(kind.unparse) | SYNTAX)
        for at, cut, put in data.draw(
            st.lists(st.tuples(st.integers(0, 200), st.integers(0, 3), SYNTAX), max_size=3)
        ):
            at %= len(text) + 1
            text = text[:at] + put + text[at + cut :]
        try:
            value = kind.parse(text)
        except ParseError as error:
            self.assertTrue(0 <= error.offset <= len(text), (text, error.offset))
            self.assertTrue(error.strerror)
            return
        self.assertEqual(value, kind.parse(kind.unparse(value)))
        self.assertEqual(value, kind.unpack(kind.pack(value)))

    def test_unknown_type(self):
        """A strategy for a class nobody registered is a TypeError that names it."""
        error = self.assertRaises(TypeError, values_of, ParseType())
        self.assertIn("ParseType", str(error))

    @given(st.data())
    @fast
    def test_sa(self, data):
        """A length that a callable computes works in all directions."""
        value = data.draw(values_of(SA))
        self.assertEqual(value, SA.unpack(SA.pack(value)))
        self.assertEqual(value, SA.parse(SA.unparse(value)))
