"""Tests for the conversion messages: binary2ascii and ascii2binary (netgraph.md §3.3, §6.10)."""

from __future__ import annotations

import struct
from errno import EINVAL, ENOENT, ENOSYS

from hypothesis import given
from hypothesis import strategies as st

from ngksock.netgraph import Message
from ngksock.netgraph.generic import CONTROL, GENERIC, ascii2binary, binary2ascii, message_names
from ngksock.netgraph.lexer import ParseError
from ngksock.netgraph.message import GENERIC_COOKIE, RESPONSE
from tests.netgraph.bound import KSOCKET, bound
from tests.netgraph.rig import READS, GraphTests


def name(text: str) -> bytes:
    """Return a fixed string of 32 bytes."""
    return text.encode().ljust(32, b"\0")


class ConversionTests(GraphTests):
    def setUp(self) -> None:
        super().setUp()
        self.add(bound)
        self.ngctl("mkpeer bound k k", "name k ks")

    REQUEST = bytes.fromhex(
        "08 00 00 00 4c 00 00 00 0d 00 00 30 00 00 00 00"
        "09 00 00 00 1e 51 c6 43 63 6d 64 38 30 35 33 30"
        "36 33 38 31 00 00 00 00 00 00 00 00 00 00 00 00"
        "00 00 00 00 00 00 00 00 00 00 00 00 14 00 00 00"
        "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"
        "62 69 6e 64 00 00 00 00 00 00 00 00 00 00 00 00"
        "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"
        "69 6e 65 74 2f 31 32 37 2e 30 2e 30 2e 31 3a 35"
        "30 30 30 00"
    )
    REPLY = bytes.fromhex(
        "08 00 00 00 48 00 00 00 0d 00 00 30 01 00 00 00"
        "09 00 00 00 1e 51 c6 43 63 6d 64 38 30 35 33 30"
        "36 33 38 31 00 00 00 00 00 00 00 00 00 00 00 00"
        "00 00 00 00 00 00 00 00 00 00 00 00 10 00 00 00"
        "01 00 00 00 00 00 00 00 00 00 00 00 8d 9f 30 38"
        "62 69 6e 64 00 00 00 00 00 00 00 00 00 00 00 00"
        "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"
        "10 02 13 88 7f 00 00 01 00 00 00 00 00 00 00 00"
    )
    FINAL = bytes.fromhex(
        "08 00 00 00 10 00 00 00 01 00 00 00 00 00 00 00"
        "0a 00 00 00 8d 9f 30 38 62 69 6e 64 00 00 00 00"
        "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"
        "00 00 00 00 00 00 00 00 10 02 13 88 7f 00 00 01"
        "00 00 00 00 00 00 00 00"
    )

    def test_exchange(self) -> None:
        """The exchange of §6.10, byte for byte."""
        self.graph.send(self.me, "ks:", Message.unpack(self.REQUEST))
        self.assertEqual(self.REPLY, self.inbox.pop().message.pack())
        inner = bytearray(self.REPLY[56:])
        inner[0], inner[16] = 8, 10
        self.assertEqual(self.FINAL, bytes(inner))
        self.graph.send(self.me, "ks:", Message.unpack(bytes(inner)))
        bound = self.node("ks:").bound
        self.assertEqual((16, 2, self.FINAL[58:]), (bound.len, bound.family, bound.data))

    def convert(self, cmd: int, inner: bytes) -> Message:
        return Message.unpack(self.ask("ks:", cmd | READS, inner))

    def test_and_back(self) -> None:
        """binary2ascii gives name, text, NUL and the length of both; the rest stays (§3.3)."""
        asked = Message(GENERIC_COOKIE, 4, name("me"), 5, 0, "", 0)
        self.assertEqual(
            Message(GENERIC_COOKIE, 4, b'{ name="me" }\0', 5, 0, "name", 0),
            self.convert(12, asked.pack() + b"more"),
        )

    def test_response_flag(self) -> None:
        """The flag of the inner message chooses the type of the reply."""
        data = self.ask("ks:", 6 | READS)
        text = self.convert(12, Message(GENERIC_COOKIE, 6 | READS, data, flags=RESPONSE).pack())
        self.assertEqual(b'{ name="ks" type="bound" id=0x2 hooks=1 }\0', text.data)
        back = self.convert(13, text.pack())
        self.assertEqual((data, 6 | READS), (back.data, back.cmd))
        request = self.convert(12, Message(GENERIC_COOKIE, 6 | READS).pack())
        self.assertEqual(b"\0", request.data)

    def test_shadow(self) -> None:
        """A type's own name goes before the generic one, and numbers before all."""
        own = self.convert(13, Message(0, 0, b"\0", cmdstr="name").pack())
        self.assertEqual((KSOCKET, 9, b""), (own.cookie, own.cmd, own.data))

    def test_unknown(self) -> None:
        """ENOSYS: an unknown name, another case of a known one, an unknown number or cookie."""
        for cmdstr in ("nosuch", "", "BIND", "bind ", "connec"):
            self.assertEqual(
                ENOSYS, self.tell("ks:", 13 | READS, Message(0, 0, b"\0", cmdstr=cmdstr).pack())
            )
        for cookie, number in ((KSOCKET, 77), (GENERIC_COOKIE, 15), (12345, 1), (0, 0)):
            self.assertEqual(ENOSYS, self.tell("ks:", 12 | READS, Message(cookie, number).pack()))

    def test_lengths(self) -> None:
        """EINVAL: less than a header, a lying inner length, a text without a byte."""
        for cmd in (12 | READS, 13 | READS):
            self.assertEqual(EINVAL, self.tell("ks:", cmd, b""))
            self.assertEqual(EINVAL, self.tell("ks:", cmd, bytes(55)))
            lie = struct.pack("=BBHI", 8, 0, 0, 4) + bytes(16) + name("bind") + b"abc"
            self.assertEqual(EINVAL, self.tell("ks:", cmd, lie))
        self.assertEqual(EINVAL, self.tell("ks:", 13 | READS, Message(0, 0, cmdstr="bind").pack()))

    def test_last_byte(self) -> None:
        """The last byte of the text is forced to NUL, and the text ends at the first."""
        for text in (b'{ hook="a" }X', b'{ hook="a" }\0junk'):
            got = self.convert(13, Message(0, 0, text, cmdstr="rmhook").pack())
            self.assertEqual(name("a"), got.data)

    def test_errors(self) -> None:
        """What does not fit the layout is an errno, and told nobody."""
        bad = Message(GENERIC_COOKIE, 4, b"short").pack()
        self.assertEqual(EINVAL, self.tell("ks:", 12 | READS, bad))
        for text, errno in ((b'{ nme="x" }\0', ENOENT), (b"{ \0", EINVAL), (b"x\0", EINVAL)):
            inner = Message(0, 0, text, cmdstr="rmhook").pack()
            self.assertEqual(errno, self.tell("ks:", 13 | READS, inner))
        self.assertEqual([], self.reports)

    def test_no_argument(self) -> None:
        """A text for a message that takes none is EINVAL, blanks are none (§6.4, strict)."""
        kind = self.kinds["bound"]
        error = self.assertRaises(
            ParseError, ascii2binary, kind, Message(0, 0, cmdstr="shutdown"), "  x"
        )
        self.assertEqual((EINVAL, 2), (error.errno, error.offset))
        self.assertEqual(b"", ascii2binary(kind, Message(0, 0, cmdstr="shutdown"), "  ").data)

    def test_nested(self) -> None:
        """A conversion message is itself a message, and converts."""
        inner = Message(GENERIC_COOKIE, 4, name("a"), 1, 0, "name")
        outer = Message(GENERIC_COOKIE, 12 | READS, inner.pack())
        text = binary2ascii(self.kinds["bound"], outer)
        self.assertEqual("binary2ascii", text.cmdstr)
        back = ascii2binary(self.kinds["bound"], text, text.data[:-1].decode())
        self.assertEqual(inner, Message.unpack(back.data))

    def test_names(self) -> None:
        """A node's messages: its own first, each name once."""
        names = message_names(self.kinds["bound"])
        self.assertEqual(["bind", "connect_it", "name", "shutdown"], names[:4])
        self.assertEqual(len(set(names)), len(names))

    @given(st.binary(max_size=200))
    def test_any_bytes(self, raw: bytes) -> None:
        """Whatever bytes are sent for conversion, the answer is a message or an errno."""
        self.reports.clear()
        for cmd in (12, 13):
            self.tell("ks:", cmd | READS, raw)
            self.tell("ks:", cmd | READS, Message(GENERIC_COOKIE, cmd, raw, cmdstr="name").pack())
        self.assertEqual([], self.reports)

    @given(st.sampled_from([*GENERIC.rows.all, *CONTROL.rows.all]), st.binary(max_size=600))
    def test_any_arguments(self, row, data: bytes) -> None:
        """Whatever arguments a message has, the answer is a reply or an errno, never a bug."""
        self.reports.clear()
        if row.name != "shutdown":
            self.tell("me:", row.cmd, data, row.cookie)
        self.assertEqual([], [error for _, error in self.reports if error])
