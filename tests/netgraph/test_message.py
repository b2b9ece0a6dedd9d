"""Tests for the header of messages (netgraph.md §2)."""

import struct
from errno import EINVAL

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ngksock.netgraph.message import (
    CONTROL_COOKIE,
    FLOW_COOKIE,
    GENERIC_COOKIE,
    HASREPLY,
    HEADER_SIZE,
    READONLY,
    RESPONSE,
    VERSION,
    Item,
    Message,
    cut_string,
)

UINT32 = st.integers(0, 0xFFFFFFFF)
CMDSTR = st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=31)
MESSAGES = st.builds(
    Message, UINT32, UINT32, st.binary(max_size=64), UINT32, UINT32, CMDSTR, st.integers(0, 255)
)


class MessageTests(SynchronousTestCase):
    def test_numbers(self) -> None:
        """Sizes, bits and cookies are FreeBSD's, and the control cookie is our own."""
        self.assertEqual(
            (56, 8, 1, 0x10000000, 0x20000000),
            (HEADER_SIZE, VERSION, RESPONSE, READONLY, HASREPLY),
        )
        self.assertEqual(
            (1137070366, 851672669, 1750000001), (GENERIC_COOKIE, FLOW_COOKIE, CONTROL_COOKIE)
        )

    def test_layout(self) -> None:
        """Each field stands where §2.1 has it, in host byte order, without padding."""
        raw = Message(0x11121314, 0x21222324, b"ab", 0x31323334, 1, "getname", 8).pack()
        expected = {0: (8, "=B"), 1: (0, "=B"), 2: (0, "=H"), 4: (2, "=I"), 8: (0x21222324, "=I")}
        expected |= {12: (1, "=I"), 16: (0x31323334, "=I"), 20: (0x11121314, "=I")}
        for offset, (value, form) in expected.items():
            self.assertEqual((value,), struct.unpack_from(form, raw, offset), offset)
        self.assertEqual(b"getname".ljust(32, b"\0") + b"ab", raw[24:])

    def test_cmdstr_is_cut(self) -> None:
        """A name for people never takes more than 31 bytes and its NUL."""
        raw = Message(1, 1, cmdstr="x" * 40).pack()
        self.assertEqual(b"x" * 31 + b"\0", raw[24:])

    def test_unpack_forces_the_end_of_cmdstr(self) -> None:
        """An unterminated name is cut to 31 bytes, junk behind the NUL is ignored."""
        head = Message(1, 1).pack()[:24]
        self.assertEqual("x" * 31, Message.unpack(head + b"x" * 32).cmdstr)
        self.assertEqual("ab", Message.unpack(head + b"ab\0junk".ljust(32, b"?")).cmdstr)

    def test_unpack_ignores_the_rest(self) -> None:
        """Bytes beyond arglen do not belong to the message."""
        raw = Message(1, 2, b"abc").pack()
        self.assertEqual(b"abc", Message.unpack(raw + b"more").data)

    def test_unpack_refuses(self) -> None:
        """Less than a header, or than arglen says, is EINVAL and never anything else."""
        raw = Message(1, 2, b"abc").pack()
        for size in range(len(raw)):
            error = self.assertRaises(OSError, Message.unpack, raw[:size])
            self.assertEqual(EINVAL, error.errno)
        lie = struct.pack("=BBHI", 8, 0, 0, 0xFFFFFFFF) + bytes(48)
        self.assertEqual(EINVAL, self.assertRaises(OSError, Message.unpack, lie).errno)

    @given(MESSAGES)
    def test_round_trip(self, message: Message) -> None:
        """What is packed reads back the same, every field of it."""
        self.assertEqual(message, Message.unpack(message.pack()))

    @given(st.binary(min_size=56, max_size=80))
    def test_any_bytes(self, raw: bytes) -> None:
        """Any bytes are a message or EINVAL."""
        try:
            message = Message.unpack(raw)
        except OSError as error:
            self.assertEqual(EINVAL, error.errno)
        else:
            self.assertLessEqual(len(message.data), len(raw) - HEADER_SIZE)

    def test_response(self) -> None:
        """A response copies token, cookie, cmd and cmdstr; version and flag are its own (§2.3)."""
        request = Message(5, 6, b"ask", 7, 0, "name", version=0)
        response = request.response(b"answer")
        self.assertEqual(Message(5, 6, b"answer", 7, RESPONSE, "name", VERSION), response)
        self.assertEqual((False, True), (request.is_response, response.is_response))

    def test_is_response_is_one_bit(self) -> None:
        """Only bit 0 of the flags makes a response."""
        self.assertFalse(Message(1, 1, flags=2).is_response)
        self.assertTrue(Message(1, 1, flags=3).is_response)

    def test_with_token(self) -> None:
        """Another token changes nothing else."""
        self.assertEqual(
            Message(1, 2, b"x", 9, 1, "n"), Message(1, 2, b"x", 3, 1, "n").with_token(9)
        )

    def test_cut_string(self) -> None:
        """A fixed string ends at its NUL or before its last byte, and bytes are latin-1."""
        self.assertEqual("", cut_string(b""))
        self.assertEqual("ab", cut_string(b"abc"))
        self.assertEqual("a", cut_string(b"a\0bc"))
        self.assertEqual("\xe9", cut_string(b"\xe9\0"))

    def test_item(self) -> None:
        """A new item is not answered, and has no error."""
        item = Item(Message(1, 2), 3)
        self.assertEqual(
            (3, None, None, False), (item.source, item.cause, item.error, item.replied)
        )
