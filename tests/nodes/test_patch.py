"""patch: netgraph.md §10.12, §12.4 #46."""

from __future__ import annotations

from errno import EINVAL, EISCONN, EPERM
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from ngksock.netgraph import EOF, Packet, Tag
from ngksock.netgraph.message import Message
from ngksock.nodes.patch import CONFIG, Config, Operation, Patch, patch
from ngksock.packet import Record
from ngksock.plugin import find_type
from ngksock.testing import GraphTestCase, check_node_type
from ngksock.testing.recording import Data

DECREMENT = "setconfig { count=1 ops=[ { mode=3 value=1 length=1 offset=8 } ] }"
TEXTBOOK = {  # mode -> the number 0x1234 and the value 3 become, in 2 bytes
    1: 3, 2: 0x1237, 3: 0x1231, 4: 0x369C, 5: 0x1234 // 3, 6: 0x10000 - 0x1234, 7: 0,
    8: 0x1237, 9: 0x1237, 10: 0x91A0, 11: 0x1234 >> 3,
}  # fmt: skip


class PatchTestCase(GraphTestCase):
    def patch_node(self, *hooks: str) -> None:
        """Make a patch with hooks to the test's own of the same names."""
        first, *rest = hooks
        self.graph(f"mkpeer patch {first} {first}", f"name {first} p")
        self.graph(*(f"connect p: {hook} {hook}" for hook in rest))
        self.local.forget()

    def patched(self, ops: str, data: Data, count: int = 1, more: str = "") -> Data:
        """Return what *data* becomes, alone and in a batch; both must do the same."""
        self.msg("p:", f"setconfig {{ count={count} {more} ops=[ {ops} ] }}")
        self.send("in", data)
        self.send_batch("in", [data])
        one, other = self.take()["out"]
        self.assertEqual(one, other)
        return one

    def stats(self) -> str | None:
        """Return the counters, and reset them."""
        return self.msg("p:", "getclrstats")


class TypeTests(PatchTestCase):
    def test_conforms(self) -> None:
        """A patch keeps the promises of all types, configured or not."""
        check_node_type(patch)
        ops = "{ mode=3 value=1 length=1 } { mode=9 value=0xffff length=2 offset=2 }"
        setup = (f"setconfig {{ count=2 relative_offset=1 ops=[ {ops} ] }}", "setdlt 1")
        check_node_type(patch, hooks=("inside", "out3"), setup=setup, examples=20)
        check_node_type(patch, hooks=("in",), setup=(DECREMENT,), examples=20)

    def test_found(self) -> None:
        """Its name finds it, and its cookie is FreeBSD's."""
        self.assertIs(patch, find_type("patch"))
        self.assertEqual(1262445509, patch.cookie)

    def test_rows(self) -> None:
        """Its messages have FreeBSD's numbers and sizes."""
        self.assertEqual(
            [
                (1, "setconfig", False), (2, "getconfig", True), (3, "getstats", True),
                (4, "clrstats", False), (5, "getclrstats", True), (6, "getdlt", True),
                (7, "setdlt", False),
            ],
            [(row.cmd, row.name, row.resp is not None) for row in patch.commands.all],
        )  # fmt: skip

    def test_layout(self) -> None:
        """A configuration is 24 bytes, and 16 for each operation."""
        op = "{ offset=8 length=4 mode=3 value=5 }"
        text = f"{{ count=1 csum_flags=1 relative_offset=2 ops=[ {op} ] }}"
        data = CONFIG.pack(CONFIG.parse(text))
        self.assertEqual(
            "01000000 00000000 0100000000000000 02000000 00000000"
            "08000000 0400 0300 0500000000000000".replace(" ", ""),
            data.hex(),
        )
        self.assertEqual(text, CONFIG.unparse(CONFIG.unpack(data)))


class DataTests(PatchTestCase):
    def test_ways(self) -> None:
        """In goes to out, out to in; without out what came in returns."""
        self.patch_node("in", "out")
        self.send("in", b"x")
        self.send("out", b"y")
        self.assertEqual({"out": [b"x"], "in": [b"y"]}, self.take())
        self.graph("rmhook out")
        self.send_batch("in", [b"x", EOF])
        self.assertEqual({"in": [b"x", EOF]}, self.take())
        self.assertEqual("{ Received=4 }", self.stats())

    def test_no_in(self) -> None:
        """Without in, packets from out are dropped and counted; that is no error."""
        self.patch_node("out")
        self.send("out", b"x")
        self.send_batch("out", [b"x", b"y"])
        self.assertEqual({}, self.received)
        self.assertEqual({}, self.local.hooks["out"].drops)
        self.assertEqual("{ Received=3 Dropped=3 }", self.stats())

    def test_one_way(self) -> None:
        """Packets from out are not patched."""
        self.patch_node("in", "out")
        self.msg("p:", DECREMENT)
        self.send("out", bytes(9))
        self.send_batch("out", [bytes(9)])
        self.assertEqual({"in": [bytes(9), bytes(9)]}, self.received)
        self.assertEqual("{ Received=2 }", self.stats())

    def test_modes(self) -> None:
        """Each mode does what its name says."""
        self.patch_node("in", "out")
        for mode, number in TEXTBOOK.items():
            done = self.patched(f"{{ mode={mode} value=3 length=2 offset=1 }}", b"\xaa\x12\x34\xbb")
            self.assertEqual(b"\xaa" + number.to_bytes(2) + b"\xbb", done, f"mode {mode}")
        for mode in (0, 12, 65535):
            self.assertEqual(b"\x12\x34", self.patched(f"{{ mode={mode} length=2 }}", b"\x12\x34"))

    @given(
        st.lists(
            st.builds(
                Operation,
                offset=st.integers(0, 20) | st.just(0xFFFFFFFF),
                length=st.sampled_from((1, 2, 4, 8)),
                mode=st.integers(0, 13),
                value=st.integers(0, 300) | st.integers(0, (1 << 64) - 1),
            ),
            max_size=5,
        ),
        st.binary(max_size=24),
    )
    def test_any(self, ops: list[Operation], data: bytes) -> None:
        """Whatever the operations, a packet keeps its length and what no operation covers."""
        node = Patch()
        node.setconfig(Config(len(ops), 0, 0, ops))
        done = bytes(node._patched(Packet(data)))
        covered = {
            at
            for op in ops
            if op.offset + op.length <= len(data)
            for at in range(op.offset, op.offset + op.length)
        }
        self.assertEqual(len(data), len(done))
        for at, (before, after) in enumerate(zip(data, done, strict=True)):
            if at not in covered:
                self.assertEqual(before, after)

    def test_order(self) -> None:
        """Operations are done in order, each on what the one before left."""
        self.patch_node("in", "out")
        ops = "{ mode=1 value=5 length=1 } { mode=4 value=7 length=1 } { mode=2 value=1 length=1 }"
        self.assertEqual(b"\x24", self.patched(ops, b"\0", 3))

    def test_size(self) -> None:
        """Only the bits of the field count, of the value and of the result."""
        self.patch_node("in", "out")
        for size in (1, 2, 4, 8):
            data = b"\xff" * size
            self.assertEqual(bytes(size), self.patched(f"{{ mode=2 value=1 length={size} }}", data))
        self.assertEqual(b"\x01", self.patched("{ mode=1 value=0x101 length=1 }", b"\0"))

    def test_shift(self) -> None:
        """A shift by more than the field's bits leaves zeros, at once."""
        self.patch_node("in", "out")
        for mode in (10, 11):
            self.assertEqual(
                bytes(4), self.patched(f"{{ mode={mode} value=-1 length=4 }}", b"\xff" * 4)
            )

    def test_division_by_zero(self) -> None:
        """A division by zero is no operation, also when the field cuts the value to zero."""
        self.patch_node("in", "out")
        for value in (0, 0x100):
            op = f"{{ mode=5 value={value} length=1 }}"
            self.assertEqual(b"\x09", self.patched(op, b"\x09"))
        self.assertEqual("{ Received=4 }", self.stats())

    def test_beyond(self) -> None:
        """An operation beyond the end is skipped; one that fits makes the packet count."""
        self.patch_node("in", "out")
        ops = "{ mode=1 value=7 length=2 offset=1 } { mode=1 value=7 length=1 offset=1 }"
        self.assertEqual(b"\0\x07", self.patched(ops, b"\0\0", 2))
        self.assertEqual("{ Received=2 Patched=2 }", self.stats())
        self.assertEqual(b"\0", self.patched(ops, b"\0", 2))
        self.assertEqual(EOF, self.patched(ops, EOF, 2))
        self.assertEqual("{ Received=4 }", self.stats())

    def test_header(self) -> None:
        """With link type 1, relative offsets begin behind the header and all its tags."""
        self.patch_node("in", "out")
        self.msg("p:", "setdlt 1")
        op = "{ mode=1 value=0x7f length=1 offset=1 }"
        tag = b"\x81\0\0\x05" + b"\x88\xa8\0\x06"
        for frame in (bytes(12) + b"\x08\0", bytes(12) + tag + b"\x08\0"):
            done = self.patched(op, frame + b"abc", more="relative_offset=1")
            self.assertEqual(frame + b"a\x7fc", done)
            self.assertEqual(b"\0\x7f", bytes(self.patched(op, frame))[:2])
        for short in (b"", bytes(13), bytes(12) + b"\x81\0\0\x05\x08"):
            self.assertEqual(short, self.patched(op, short, more="relative_offset=1"))

    def test_kept(self) -> None:
        """A patched packet keeps its tags and stays a datagram."""
        self.patch_node("in", "out")
        self.msg("p:", "setconfig { count=1 ops=[ { mode=6 length=1 } ] }")
        node = self.node("p:")
        assert isinstance(node, Patch)
        packet = Record(b"\x01", (Tag(1, 2, b"3"),))
        done = node._patched(packet)
        self.assertEqual((b"\xff", packet.tags, True), (bytes(done), done.tags, done.record))
        self.assertEqual(b"\x01", bytes(packet))

    def test_pressure(self) -> None:
        """A full sink holds those whose packets go there."""
        self.patch_node("in", "out")
        self.local.hooks["out"].send_flow(True)
        self.assertEqual([("rcvflow", "in", True)], self.local.events)


class MessageTests(PatchTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.patch_node("in", "out")

    def test_never_set(self) -> None:
        """Before setconfig getconfig succeeds without an answer."""
        self.assertIsNone(self.msg("p:", "getconfig"))
        self.msg("p:", "setconfig {}")
        self.assertEqual("{}", self.msg("p:", "getconfig"))

    def test_config(self) -> None:
        """What was set is told; config makes it again."""
        self.msg("p:", DECREMENT)
        self.msg("p:", "setdlt 1")
        text = "{ count=1 ops=[ { offset=8 length=1 mode=3 value=1 } ] }"
        self.assertEqual((text, "1"), (self.msg("p:", "getconfig"), self.msg("p:", "getdlt")))
        self.assertEqual(["msg . setdlt 1", f"msg . setconfig {text}"], self.node("p:").config())

    def test_refused(self) -> None:
        """A bad length or link type is EINVAL and changes nothing."""
        self.msg("p:", DECREMENT)
        before = self.node("p:").config()
        for length in (0, 3, 5, 16):
            bad = f"{{ count=2 ops=[ {{ length=1 }} {{ length={length} }} ] }}"
            self.assertEqual(EINVAL, self.errno(f"msg p: setconfig {bad}"))
        for dlt in (0, 2, 255):
            self.assertEqual(EINVAL, self.errno(f"msg p: setdlt {dlt}"))
        self.assertEqual(before, self.node("p:").config())

    def test_lying_count(self) -> None:
        """A count of more operations than were sent is EINVAL."""
        for count in (2, 0xFFFFFFFF):
            data = count.to_bytes(4, "little") + bytes(20) + bytes(16)
            message = Message(1262445509, 1, data)
            refused = self.errno(partial(self.net.send, self.local, "p:", message))
            self.assertEqual(EINVAL, refused)

    def test_hooks(self) -> None:
        """A hook's name begins with in or out; each side has one."""
        self.assertEqual(EINVAL, self.errno("connect p: x middle"))
        self.assertEqual(EISCONN, self.errno("connect p: x in2"))
        self.assertEqual(EISCONN, self.errno("connect p: x output"))
        self.graph("rmhook in", "connect p: in inner")
        self.send("in", b"x")
        self.assertEqual({"out": [b"x"]}, self.received)

    def test_linked_to_itself(self) -> None:
        """A second hook of one side is refused also when a patch is linked to itself."""
        self.graph("rmhook in")
        self.assertEqual(EISCONN, self.errno("connect p: p: in1 in2"))
        self.assertEqual(["out"], list(self.node("p:").hooks))
        self.graph("connect p: in in")
        self.send("in", b"x")
        self.assertEqual({"out": [b"x"]}, self.received)

    def test_refused_hook(self) -> None:
        """A hook that its neighbour refused takes no other hook along."""
        for hook, other in (("in", "out"), ("out", "in")):
            self.graph(f"rmhook {hook}")
            for callback in ("newhook", "connect"):
                self.local.refuse(callback, EPERM, hook)
                self.assertEqual(EPERM, self.errno(f"connect p:{other} p: {hook} {hook}"))
                self.assertEqual(EPERM, self.errno(f"connect p: p:{other} {hook} {hook}"))
                self.local.refuse(callback, 0, hook)
            self.graph(f"connect p: {hook} {hook}")
            self.send(hook, b"x")
            self.assertEqual({other: [b"x"]}, self.take())

    def test_status(self) -> None:
        """The status tells the operations and the counters."""
        self.msg("p:", DECREMENT)
        self.send("in", bytes(9))
        self.assertEqual(
            'Status for "p:":\n1 operations; 1 packets received, 1 patched, 0 dropped',
            self.graph("status p:"),
        )
