"""Tests for packets, tags and batches."""

import copy
import pickle
from collections import deque
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ngksock.packet import EOF, Batch, Packet, Piece, Record, Slab, Tag


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

    def test_copies(self) -> None:
        """A copy is its maker's to change: nothing vouches for it, and no sink has made it up."""
        for first in (Batch([Record(b"ab")] * 3), Slab(b"ababab", 2)):
            first.tag(())
            first.wire = memoryview(b"of a sink")
            for made in (
                copy.copy(first),
                copy.deepcopy(first),
                *(pickle.loads(pickle.dumps(first, how)) for how in range(2, 6)),
            ):
                self.assertEqual((False, None, 6), (made.uniform, made.wire, made.nbytes))
                self.assertEqual([b"ab"] * 3, [packet.data for packet in made])
            self.assertTrue(first.uniform)
        named = copy.copy(first.addressed(["a"] * 3))
        self.assertEqual((["a"] * 3, 6), (named.names, named.nbytes))


LOOKS: dict[str, Callable[[Any], Any]] = {
    "iter": lambda b: [*b],
    "for": lambda b: [packet for packet in b],
    "call": lambda b: (lambda *packets: packets)(*b),
    "tuple": tuple,
    "reversed": lambda b: list(reversed(b)),
    "item": lambda b: b[1],
    "last": lambda b: b[-1],
    "slice": lambda b: b[1:3],
    "unpack": lambda b: (lambda first, *_: first)(*b),
    "add": lambda b: b + [EOF],  # noqa: RUF005 - that is what is tried
    "radd": lambda b: [EOF] + b,  # noqa: RUF005 - and that
    "mul": lambda b: b * 2,
    "rmul": lambda b: 2 * b,
    "copy": lambda b: b.copy(),
    "copied": copy.copy,
    "batch": lambda b: Batch(b),
    "contains": lambda b: EOF in b,
    "count": lambda b: b.count(EOF),
    "repr": repr,
    "equal": lambda b: b == [EOF] * len(b),
    "equals": lambda b: [EOF] * len(b) == b,
    "other": lambda b: b != Batch([EOF] * len(b)),
    "others": lambda b: Batch([EOF] * len(b)) == b,
    "sum": lambda b: sum(packet.len for packet in b),
    "set": lambda b: len(set(b)),
    "extended": lambda b: _did(Batch([EOF]), lambda to: to.extend(b)),
    "in place": lambda b: _grown([EOF], b),
    "batch in place": lambda b: _grown(Batch([EOF]), b),
    "deque in place": lambda b: list(_grown(deque([EOF]), b)),
    "pickled": lambda b: pickle.loads(pickle.dumps(b)),
    "into": lambda b: _did([EOF, EOF], lambda to: to.__setitem__(slice(1, 1), b)),
    "append": lambda b: _did(b, lambda it: it.append(EOF)),
    "grow": lambda b: _did(b, lambda it: it.add(EOF)),
    "extend": lambda b: _did(b, lambda it: it.extend([EOF])),
    "insert": lambda b: _did(b, lambda it: it.insert(1, EOF)),
    "pop": lambda b: _did(b, lambda it: it.pop()),
    "set item": lambda b: _did(b, lambda it: it.__setitem__(0, EOF)),
    "del": lambda b: _did(b, lambda it: it.__delitem__(slice(2))),
    "clear": lambda b: _did(b, lambda it: it.clear()),
    "reverse": lambda b: _did(b, lambda it: it.reverse()),
    "sort": lambda b: _did(b, lambda it: it.sort(key=lambda packet: packet.data)),
    "addressed": lambda b: b.addressed(["a"] * len(b)),
}


def _did(batch: Any, what: Callable[[Any], object]) -> Any:
    what(batch)
    return batch


def _grown(first: Any, more: Any) -> Any:
    """Return *first* when *more* was added to it in place."""
    same = first
    first += more
    assert first is same, "it is another object now"
    return first


def _plain(found: Any) -> Any:
    """Return what was found in a form that can be compared."""
    if isinstance(found, Packet):
        tags = [(tag.cookie, tag.type, tag.data) for tag in found.tags]
        return bytes(found.data), tags, found.record, found.eof
    if isinstance(found, Batch):
        return [_plain(packet) for packet in found], found.nbytes
    if isinstance(found, (list, tuple)):
        return [_plain(packet) for packet in found]
    return found


class SlabTests(SynchronousTestCase):
    """A slab is the batch it stands for, whatever is done to it."""

    def test_looks(self) -> None:
        """Whoever looks, by whatever way, finds the packets, with their tags."""
        tags = (Tag(1, 2, b"t"),)
        for name, look in LOOKS.items():
            plain, slab = Batch(map(Record, (b"cc", b"aa", b"bb"))), Slab(b"ccaabb", 2)
            for batch in (plain, slab):
                batch.tag(tags)
            self.assertEqual(_plain(look(plain)), _plain(look(slab)), name)
            self.assertEqual(_plain(plain), _plain(slab), name)
            self.assertTrue(slab.uniform)

    def test_unseen(self) -> None:
        """Length, bytes and tags are known before anybody looks; then it is a plain batch."""
        slab, tags = Slab(b"ccaabb", 2), (Tag(1, 2, b"t"),)
        slab.tag(tags)
        self.assertEqual((3, True, 6, tags), (len(slab), bool(slab), slab.nbytes, slab.tags()))
        self.assertIs(Slab, type(slab.addressed(["a"] * 3)))
        self.assertIs(Slab, type(slab))
        self.assertIs(tags, slab[0].tags)
        self.assertIs(Batch, type(slab))
        self.assertIs(tags, slab.tags())

    def test_two(self) -> None:
        """Two slabs are compared and added by what they stand for."""
        one, two = Slab(b"ccaabb", 2), Slab(b"ccaabb", 2)
        self.assertFalse(one == two)  # as packets are only ever equal to themselves
        self.assertEqual(
            [b"ccaabb"[i : i + 1] for i in range(6)] * 2,
            [packet.data for packet in Slab(b"ccaabb", 1) + Slab(b"ccaabb", 1)],
        )
