"""Tests for packets, tags and batches."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ngksock.packet import EOF, Batch, Packet, Piece, Record, Tag


class PacketTests(SynchronousTestCase):
    def test_plain(self) -> None:
        """A packet has bytes, their number, no tags and no mark."""
        packet = Packet(b"abc")
        self.assertEqual((b"abc", 3, (), False), (packet.data, packet.len, packet.tags, packet.eof))
        self.assertEqual(b"abc", bytes(packet))

    def test_view(self) -> None:
        """A view serves as well as bytes, and is not copied."""
        view = memoryview(b"abcdef")[1:4]
        packet = Packet(view)
        self.assertIs(view, packet.data)
        self.assertEqual((3, b"bcd"), (packet.len, bytes(packet)))

    def test_replace(self) -> None:
        """Other bytes keep mark and tags, and the first packet stays what it was."""
        tag = Tag(1, 2, b"t")
        first = Packet(b"abc", (tag,), eof=True)
        other = first.replace(b"longer")
        self.assertEqual((b"longer", 6, (tag,), True),
                         (other.data, other.len, other.tags, other.eof))  # fmt: skip
        self.assertEqual((b"abc", 3), (first.data, first.len))

    def test_record(self) -> None:
        """A copy of a datagram is a datagram; other packets are none."""
        self.assertTrue(Record(b"a").replace(b"b").record)
        self.assertFalse(Packet(b"a").replace(b"b").record)

    def test_piece(self) -> None:
        """A copy of a stream's piece is one; datagrams and other packets are none."""
        self.assertTrue(Piece(b"a").replace(b"b").stream)
        self.assertFalse(Packet(b"a").stream or Record(b"a").stream or Piece(b"a").record)

    def test_find_tag(self) -> None:
        """The first tag of that cookie and type, or None."""
        tags = (Tag(1, 1, b"a"), Tag(1, 2, b"b"), Tag(1, 2, b"c"), Tag(2, 2, b"d"))
        packet = Packet(b"", tags)
        self.assertIs(tags[1], packet.find_tag(1, 2))
        self.assertIs(tags[3], packet.find_tag(2, 2))
        self.assertIsNone(packet.find_tag(2, 1))

    def test_eof(self) -> None:
        """The mark is one empty packet; an empty packet is not the mark."""
        self.assertEqual((b"", 0, True), (EOF.data, EOF.len, EOF.eof))
        self.assertFalse(Packet(b"").eof)

    def test_slots(self) -> None:
        """Nothing else fits into a packet or a tag."""
        self.assertRaises(AttributeError, setattr, Packet(b""), "colour", 1)
        self.assertRaises(AttributeError, setattr, Tag(1, 1, b""), "colour", 1)

    def test_repr(self) -> None:
        """Packets and tags are shown short."""
        self.assertEqual("<Packet 2 bytes> <Packet 0 bytes eof>", f"{Packet(b'ab')!r} {EOF!r}")
        self.assertEqual("Tag(1, 2, b'x')", repr(Tag(1, 2, b"x")))


class BatchTests(SynchronousTestCase):
    @given(st.lists(st.binary(max_size=9)), st.lists(st.binary(max_size=9)))
    def test_nbytes(self, first: list[bytes], more: list[bytes]) -> None:
        """The length beside the list is that of its packets, also while it is filled."""
        batch = Batch(Packet(data) for data in first)
        for data in more:
            batch.add(Packet(data))
        self.assertEqual(len(b"".join(first + more)), batch.nbytes)
        self.assertEqual(first + more, [bytes(packet) for packet in batch])

    def test_known_length(self) -> None:
        """Who knows the length saves the counting."""
        self.assertEqual(77, Batch([Packet(b"a")], 77).nbytes)

    def test_names(self) -> None:
        """A batch has no addresses unless its socket gives them."""
        self.assertIsNone(Batch().names)
        self.assertEqual(0, Batch().nbytes)
