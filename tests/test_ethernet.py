"""Ethernet frames: netgraph.md §10.12, §10.16."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ngksock.ethernet import BROADCAST, TAG, VLAN_PROTOCOLS, is_group, type_offset

ADDRESSES = b"\x02\0\0\0\0\x01" + b"\x02\0\0\0\0\x02"


class EthernetTests(SynchronousTestCase):
    def test_groups(self) -> None:
        """The lowest bit of the first byte says that an address is a group's."""
        self.assertTrue(is_group(BROADCAST))
        self.assertTrue(is_group(b"\x01\0\x5e\0\0\x01"))
        self.assertFalse(is_group(b"\x02\0\0\0\0\x01"))

    @given(st.lists(st.sampled_from(sorted(VLAN_PROTOCOLS)), max_size=40), st.binary(max_size=8))
    def test_depth(self, stack: list[int], payload: bytes) -> None:
        """The ethertype is found behind any number of tags, of any of the protocols."""
        tags = b"".join(protocol.to_bytes(2, "big") + b"\0\x05" for protocol in stack)
        frame = ADDRESSES + tags + b"\x08\0" + payload
        self.assertEqual(12 + TAG * len(stack), type_offset(frame))
        self.assertEqual(12 + TAG * len(stack), type_offset(memoryview(frame)))

    def test_short(self) -> None:
        """A frame that ends before its ethertype has none."""
        self.assertEqual(12, type_offset(ADDRESSES + b"\x08\0"))
        for frame in (b"", ADDRESSES, ADDRESSES + b"\x08", ADDRESSES + b"\x81\0\0\x05\x08"):
            self.assertIsNone(type_offset(frame))

    def test_protocols(self) -> None:
        """A caller may know fewer protocols."""
        frame = ADDRESSES + b"\x93\0\0\x05\x08\0"
        self.assertEqual(16, type_offset(frame))
        self.assertEqual(12, type_offset(frame, frozenset({0x8100})))
