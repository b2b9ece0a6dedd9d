"""The units of NGD/1, byte by byte: golden bytes, round trips, and what is refused."""

from __future__ import annotations

import struct
import sys
from errno import EINVAL, EPROTO, ERANGE
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ngksock import ngd

OPS = st.integers(0, 127)
U32 = st.integers(0, 0xFFFFFFFF)
NAMES = st.text(st.characters(max_codepoint=255), max_size=ngd.ADDRESS_MAX)
HOOKS = st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=31)


def host(order: str) -> bytes:
    """Return bytes written for a little-endian host, in hex, as one of ours has them."""
    assert sys.byteorder == "little", "the golden bytes are of a little-endian host"
    return bytes.fromhex(order)


class GoldenTests(SynchronousTestCase):
    """Bytes written by hand from the table of docs/wire."""

    def test_call(self) -> None:
        """A call: op, 0, length of the address, seq, address, payload."""
        raw = host("04 00 0300 78563412") + b"a:b\x08\xff"
        call = ngd.Call(ngd.SEND, 0x12345678, "a:b", b"\x08\xff")
        self.assertEqual(raw, call.pack())
        self.assertEqual(call, ngd.Call.unpack(raw))

    def test_reply(self) -> None:
        """A reply: op with 0x80, zeros, seq, errno, body."""
        raw = host("84 00 0000 78563412 6a000000") + b"body"
        reply = ngd.Reply(ngd.SEND, 0x12345678, 106, b"body")
        self.assertEqual(raw, reply.pack())
        self.assertEqual(reply, ngd.Reply.unpack(raw))

    def test_event(self) -> None:
        """An event: kind, 0, length of the address, of the payload, 32 bytes, payload."""
        raw = host("01 00 0400 05000000") + b"left" + bytes(28) + b"hello"
        event = ngd.Event(ngd.DATA, "left", b"hello")
        self.assertEqual(raw, event.pack())
        self.assertEqual(event, ngd.Event.unpack(raw))

    def test_hello(self) -> None:
        """HELLO: magic, version, kind, 0, wanted queue bytes."""
        raw = host("3144474e 0100 02 00 00000200")
        self.assertEqual(raw, ngd.Hello(ngd.CONTROL, 131072).pack())
        self.assertEqual(ngd.Hello(ngd.CONTROL, 131072), ngd.Hello.unpack(raw))

    def test_welcome(self) -> None:
        """Its reply: version, 0, node id, the longest payload, queue bytes in force."""
        raw = host("0100 0000 2a000000 00000100 00000200")
        self.assertEqual(raw, ngd.Welcome(42, 131072).pack())
        self.assertEqual(ngd.Welcome(42, 131072), ngd.Welcome.unpack(raw))

    def test_served(self) -> None:
        """What a client of another version is told: the highest that is served."""
        self.assertEqual(host("0100"), ngd.SERVED)

    def test_numbers(self) -> None:
        """Operations, kinds and limits have the numbers of the specification."""
        ops = (ngd.HELLO, ngd.BIND, ngd.CONNECT, ngd.SEND, ngd.GETNAME)
        self.assertEqual((1, 2, 3, 4, 5), ops)
        self.assertEqual((1, 2), (ngd.DATA, ngd.CONTROL))
        self.assertEqual((0x4E474431, 1, 511, 65536), (
            ngd.MAGIC, ngd.VERSION, ngd.ADDRESS_MAX, ngd.PAYLOAD_MAX,
        ))  # fmt: skip
        self.assertEqual(8 + 511 + 65536, ngd.CALL_MAX)
        self.assertEqual(40, ngd.EVENT_HEADER)


class RoundTripTests(SynchronousTestCase):
    """What is packed is what is unpacked."""

    @given(OPS, U32, NAMES, st.binary(max_size=300))
    def test_call(self, op: int, seq: int, address: str, payload: bytes) -> None:
        """Calls, with every byte there is in the address."""
        call = ngd.Call(op, seq, address, payload)
        self.assertEqual(call, ngd.Call.unpack(call.pack()))

    @given(OPS, U32, st.integers(0, 0x7FFFFFFF), st.binary(max_size=300))
    def test_reply(self, op: int, seq: int, code: int, body: bytes) -> None:
        """Replies."""
        reply = ngd.Reply(op, seq, code, body)
        self.assertEqual(reply, ngd.Reply.unpack(reply.pack()))

    @given(st.integers(0, 255), HOOKS, st.binary(max_size=300))
    def test_event(self, kind: int, address: str, payload: bytes) -> None:
        """Events."""
        event = ngd.Event(kind, address, payload)
        self.assertEqual(event, ngd.Event.unpack(event.pack()))
        self.assertEqual(40 + len(payload), len(event.pack()))

    @given(st.integers(0, 255), U32)
    def test_hello(self, kind: int, queue: int) -> None:
        """HELLO."""
        self.assertEqual(ngd.Hello(kind, queue), ngd.Hello.unpack(ngd.Hello(kind, queue).pack()))

    @given(U32, U32, U32, st.integers(0, 0xFFFF))
    def test_welcome(self, node: int, queue: int, most: int, version: int) -> None:
        """Its reply."""
        welcome = ngd.Welcome(node, queue, most, version)
        self.assertEqual(welcome, ngd.Welcome.unpack(welcome.pack()))

    @given(st.binary(max_size=700))
    def test_anything(self, raw: bytes) -> None:
        """Random bytes are read, or refused with an errno."""
        for unit in (ngd.Call, ngd.Reply, ngd.Event, ngd.Hello, ngd.Welcome):
            try:
                unit.unpack(raw)
            except OSError as error:
                self.assertIn(error.errno, (EPROTO, EINVAL))


class RefusalTests(SynchronousTestCase):
    """What is no unit."""

    def refused(self, code: int, unit: Any, raw: bytes) -> None:
        error = self.assertRaises(OSError, unit.unpack, raw)
        self.assertEqual(code, error.errno, raw)

    def test_calls(self) -> None:
        """Short headers, and addresses beyond the packet or beyond 511 bytes."""
        for size in range(8):
            self.refused(EPROTO, ngd.Call, bytes(size))
        self.refused(EPROTO, ngd.Call, struct.pack("=BBHI", 4, 0, 1, 0))
        self.refused(EPROTO, ngd.Call, struct.pack("=BBHI", 4, 0, 512, 0) + bytes(600))
        ngd.Call.unpack(struct.pack("=BBHI", 4, 0, 511, 0) + bytes(511))

    def test_addresses(self) -> None:
        """No call has an address of 512 bytes, or one that latin-1 has no bytes for."""
        error = self.assertRaises(OSError, ngd.Call(4, 0, "a" * 512).pack)
        self.assertEqual(ERANGE, error.errno)
        error = self.assertRaises(OSError, ngd.Call(4, 0, "\u20ac:").pack)
        self.assertEqual(EINVAL, error.errno)
        self.assertEqual(519, len(ngd.Call(4, 0, "a" * 511).pack()))

    def test_replies(self) -> None:
        """Short ones, and what has not the bit of a reply."""
        self.refused(EPROTO, ngd.Reply, bytes(11))
        self.refused(EPROTO, ngd.Reply, bytes(12))

    def test_events(self) -> None:
        """Short ones, and lengths that lie."""
        self.refused(EPROTO, ngd.Event, bytes(39))
        self.refused(EPROTO, ngd.Event, struct.pack("=BBHI32s", 1, 0, 33, 0, b""))
        self.refused(EPROTO, ngd.Event, struct.pack("=BBHI32s", 1, 0, 3, 1, b""))

    def test_hello(self) -> None:
        """Another magic or version, whatever follows, is EPROTO; another length EINVAL."""
        good = ngd.Hello(ngd.DATA).pack()
        for raw in (b"", good[:5], b"x" + good[1:], good[:4] + b"\2\0" + good[6:] + bytes(40)):
            self.refused(EPROTO, ngd.Hello, raw)
        for raw in (good[:6], good[:-1], good + b"\0"):
            self.refused(EINVAL, ngd.Hello, raw)

    def test_welcome(self) -> None:
        """A short welcome."""
        self.refused(EPROTO, ngd.Welcome, bytes(15))

    def test_default_path(self) -> None:
        """$NGD_SOCKET, else the user's run-time folder, else the system's."""
        both = {"NGD_SOCKET": "/a", "XDG_RUNTIME_DIR": "/run/user/7"}
        self.assertEqual("/a", ngd.default_path(both))
        both["NGD_SOCKET"] = ""
        self.assertEqual("/run/user/7/ngksock.sock", ngd.default_path(both))
        self.assertEqual("/run/ngksock/ngksock.sock", ngd.default_path({}))
