"""bpf: netgraph.md §10.7."""

from __future__ import annotations

import struct
from errno import E2BIG, EINVAL, EIO, ENOENT, EPERM
from importlib.util import find_spec

from ngksock.netgraph import EOF, Batch, Hook, Message, Packet, Tag
from ngksock.nodes.bpf import bpf
from ngksock.plugin import find_type
from ngksock.testing import GraphTestCase, check_node_type
from ngksock.testing.recording import Data

OWN = 1750000305
ODD = "{ code=0x30 } { code=0x45 jf=1 k=1 } { code=6 k=2 } { code=6 }"
"""A first byte that is odd matches, and leaves 2 bytes."""
BY_FIRST = "{ code=0x30 } { code=0x16 }"
"""The first byte is the length."""
ALL_OF_IT = "{ code=6 k=8192 }"


def setting(steps: str, hook: str = "a", match: str = "b", other: str = "c") -> str:
    """Return the message that sets a program."""
    return (
        f'setprogram {{ thisHook="{hook}" ifMatch="{match}" ifNotMatch="{other}" '
        f"bpf_prog_len={steps.count('{')} bpf_prog=[ {steps} ] }}"
    )


class BPFTestCase(GraphTestCase):
    def hooks(self, *hooks: str) -> None:
        """Make a bpf node with hooks to the test's own of the same names."""
        first, *rest = hooks
        self.graph(f"mkpeer bpf {first} {first}", f"name {first} f")
        self.graph(*(f"connect f: {hook} {hook}" for hook in rest))
        self.local.forget()

    def program(self, steps: str, hook: str = "a", match: str = "b", other: str = "c") -> None:
        """Set a program."""
        self.assertIsNone(self.msg("f:", setting(steps, hook, match, other)))

    def sent(self, hook: str, *datas: Data) -> dict[str, list[Data]]:
        """Send *datas* out of a hook one by one, and return who received what."""
        for data in datas:
            self.send(hook, data)
        return self.take()

    def stats(self, hook: str) -> str | None:
        """Return the counters of a hook."""
        return self.msg("f:", f'getstats "{hook}"')


class TypeTests(BPFTestCase):
    def test_conforms(self) -> None:
        """It keeps the promises of all types, with programs of all kinds."""
        check_node_type(bpf, examples=30)
        check_node_type(bpf, setup=[setting(BY_FIRST), setting(ODD, "b", "b", "a")], examples=20)
        check_node_type(bpf, setup=[setting(BY_FIRST, "a", "b", "b")], examples=20)
        check_node_type(
            bpf, setup=[setting(ODD, "a", "b", ""), setting(ALL_OF_IT, "c", "", "a")], examples=20
        )

    def test_conforms_with_filter(self) -> None:
        """It keeps them with an expression, too."""
        if find_spec("cypcap") is None:
            self.skipTest("cypcap is not installed")
        text = 'setfilter { thisHook="a" ifMatch="b" ifNotMatch="c" filter="len > 3" }'
        check_node_type(bpf, setup=[text], examples=20)

    def test_found(self) -> None:
        """Its name finds it, and its cookie is FreeBSD's."""
        self.assertIs(bpf, find_type("bpf"))
        self.assertEqual(944100792, bpf.cookie)

    def test_rows(self) -> None:
        """FreeBSD's messages are 1 to 5, ours under a cookie of their own; statistics 48 bytes."""
        rows = [
            (row.cookie, row.cmd, row.name, row.arg is not None, row.resp and row.resp.size)
            for row in bpf.commands.all
        ]
        self.assertEqual(
            [
                (bpf.cookie, 1, "setprogram", True, None),
                (bpf.cookie, 2, "getprogram", True, None),
                (bpf.cookie, 3, "getstats", True, 48),
                (bpf.cookie, 4, "clrstats", True, None),
                (bpf.cookie, 5, "getclrstats", True, 48),
                (OWN, 1, "setfilter", True, None),
                (OWN, 2, "setdump", True, None),
            ],
            rows,
        )


class ProgramTests(BPFTestCase):
    def packed(self, text: str) -> bytes:
        """Return the bytes of a program given as text."""
        row = bpf.commands.named("setprogram")
        assert row is not None and row.arg is not None
        packed = row.arg.pack(row.arg.parse(text))
        self.assertEqual(packed, row.arg.pack(row.arg.parse(row.arg.unparse(row.arg.parse(text)))))
        return packed

    def test_bytes(self) -> None:
        """The examples of the manual have the bytes they should."""
        names = b"".join(name.ljust(32, b"\0") for name in (b"a", b"b", b"c"))
        names_text = 'thisHook="a" ifMatch="b" ifNotMatch="c"'
        self.assertEqual(
            names + bytes.fromhex("01000000 06000000 00200000"),
            self.packed(f"{{ {names_text} bpf_prog_len=1 bpf_prog=[ {{ code=6 k=8192 }} ] }}"),
        )
        self.assertEqual(
            names
            + bytes.fromhex(
                "04000000 28000000 0c000000 15000001 00080000 06000000 00200000 06000000 00000000"
            ),
            self.packed(
                f"{{ {names_text} bpf_prog_len=4 bpf_prog=[ {{ code=40 k=12 }} "
                "{ code=21 jf=1 k=2048 } { code=6 k=8192 } { code=6 } ] }"
            ),
        )

    def test_default(self) -> None:
        """A new hook's program matches nothing, and both of its names are empty."""
        self.hooks("a")
        self.assertEqual(
            '{ thisHook="a" bpf_prog_len=1 bpf_prog=[ { code=0x6 } ] }',
            self.msg("f:", 'getprogram "a"'),
        )
        self.assertEqual({}, self.sent("a", b"x", b""))
        self.send_batch("a", [b"x", EOF])
        self.assertEqual(({}, {}), (self.received, self.local.hooks["a"].drops))

    def test_set(self) -> None:
        """What setprogram sets, getprogram tells, of that hook alone."""
        self.hooks("a", "b")
        self.program(ODD)
        self.assertEqual(
            '{ thisHook="a" ifMatch="b" ifNotMatch="c" bpf_prog_len=4 bpf_prog=[ { code=0x30 } '
            "{ code=0x45 jf=1 k=1 } { code=0x6 k=2 } { code=0x6 } ] }",
            self.msg("f:", 'getprogram "a"'),
        )
        self.assertEqual(
            '{ thisHook="b" bpf_prog_len=1 bpf_prog=[ { code=0x6 } ] }',
            self.msg("f:", 'getprogram "b"'),
        )

    def test_refused(self) -> None:
        """An invalid program is EINVAL, and leaves the old one."""
        self.hooks("a", "b", "c")
        self.program(ODD)
        before = self.msg("f:", 'getprogram "a"')
        for steps in (
            "", "{ code=0 }", "{ code=0x15 jt=1 } { code=6 }", "{ code=5 k=0xffffffff } { code=6 }",
            "{ code=0x34 } { code=6 }", "{ code=0x94 } { code=6 }", "{ code=2 k=16 } { code=6 }",
            "{ code=0xffff } { code=6 }", "{ code=6 } " * 513,
        ):  # fmt: skip
            self.assertEqual(EINVAL, self.errno(f"msg f: {setting(steps)}"), steps[:60])
        self.program("{ code=6 } " * 512)
        self.program(ODD)
        self.assertEqual(before, self.msg("f:", 'getprogram "a"'))

    def test_length(self) -> None:
        """The argument has exactly 100 + 8n bytes."""
        self.hooks("a")
        head = b"a".ljust(96, b"\0")
        one = struct.pack("=HBBI", 6, 0, 0, 5)
        for data in (
            b"", head, head + b"\1\0\0", head + struct.pack("=i", 1), head + struct.pack("=i", -1),
            head + struct.pack("=i", 1) + one[:7], head + struct.pack("=i", 1) + one + b"\0",
            head + struct.pack("=i", 2) + one, head + struct.pack("=i", 0x7FFFFFFF) + one,
            head + struct.pack("=i", 0),
        ):  # fmt: skip
            with self.assertRaises(OSError) as caught:
                self.net.send(self.local, "f:", Message(bpf.cookie, 1, data))
            self.assertEqual(EINVAL, caught.exception.errno, data[90:])
        self.net.send(self.local, "f:", Message(bpf.cookie, 1, head + struct.pack("=i", 1) + one))

    def test_unknown_hook(self) -> None:
        """A hook that is not there is ENOENT, in all messages."""
        self.hooks("a")
        self.assertEqual(ENOENT, self.errno(f"msg f: {setting(ALL_OF_IT, 'x')}"))
        for name in ("getprogram", "getstats", "clrstats", "getclrstats"):
            self.assertEqual(ENOENT, self.errno(f'msg f: {name} "x"'))
            self.assertEqual(E2BIG, self.errno(f'msg f: {name} "{"a" * 32}"'))

    def test_long_names(self) -> None:
        """The names in a program have at most 31 bytes (E2BIG)."""
        self.hooks("a")
        self.assertEqual(E2BIG, self.errno(f"msg f: {setting(ALL_OF_IT, match='b' * 32)}"))

    def test_name_argument(self) -> None:
        """The name of a hook may be of any length but none; its last byte counts as NUL."""
        self.hooks("a")
        for data in (b"a\0", b"ax", b"a".ljust(32, b"\0"), b"a\0zz", b"a".ljust(900, b"\0")):
            self.net.send(self.local, "f:", Message(bpf.cookie, 4, data))
        for data, errno in (
            (b"", EINVAL), (b"a", ENOENT), (b"ab\0", ENOENT), (b"\0", ENOENT),
            (b"a" * 32, ENOENT), (b"a" * 33, EINVAL),
        ):  # fmt: skip
            with self.assertRaises(OSError) as caught:
                self.net.send(self.local, "f:", Message(bpf.cookie, 4, data))
            self.assertEqual(errno, caught.exception.errno, data)

    def test_name_bytes(self) -> None:
        """In its ASCII form the name becomes 32 bytes, as FreeBSD makes it."""
        row = bpf.commands.named("getstats")
        assert row is not None and row.arg is not None
        self.assertEqual(b"a".ljust(32, b"\0"), row.arg.pack(row.arg.parse('"a"')))


class DataTests(BPFTestCase):
    def test_sorted(self) -> None:
        """What matches goes to ifMatch, cut to the result; the rest to ifNotMatch, whole."""
        self.hooks("a", "b", "c")
        self.program(ODD)
        datas = [b"\1", b"\1\2\3", b"\2\2\3", b"\3\4"]
        expected = {"b": [b"\1", b"\1\2", b"\3\4"], "c": [b"\2\2\3"]}
        self.assertEqual(expected, self.sent("a", *datas))
        self.send_batch("a", datas)
        self.assertEqual(expected, self.take())

    def test_own_program(self) -> None:
        """Each hook has a program of its own; one may send packets back."""
        self.hooks("a", "b")
        self.program(ODD, "a", "b", "")
        self.program(ODD, "b", "a", "b")
        self.assertEqual({"b": [b"\1"]}, self.sent("a", b"\1", b"\2"))
        self.assertEqual({"a": [b"\1"], "b": [b"\2"]}, self.sent("b", b"\1", b"\2"))

    def test_long_result(self) -> None:
        """A result of more than the packet's length leaves it as it is: the same object."""
        self.hooks("a", "b")
        seen: list[Packet] = []
        self.local.hooks["b"].peer._data = lambda hook, packet: seen.append(packet)
        packet = Packet(b"\1\2", (Tag(1, 2, b"tag"),))
        for steps in ("{ code=6 k=2 }", "{ code=6 k=3 }", "{ code=6 k=0xffffffff }"):
            self.program(steps)
            self.send("a", packet)
        self.assertEqual([packet] * 3, seen)

    def test_cut_keeps_tags(self) -> None:
        """A packet that is cut keeps its tags; the one that came is as it was."""
        self.hooks("a", "b")
        self.program("{ code=6 k=1 }")
        seen: list[Packet] = []
        self.local.hooks["b"].peer._data = lambda hook, packet: seen.append(packet)
        self.local.hooks["b"].peer._batch = lambda hook, batch: seen.extend(batch)
        packet = Packet(b"\1\2", (Tag(1, 2, b"tag"),))
        self.send("a", packet)
        self.send_batch("a", [packet])
        self.assertEqual([b"\1"] * 2, [bytes(one) for one in seen])
        self.assertEqual([packet.tags] * 2, [one.tags for one in seen])
        self.assertEqual(b"\1\2", bytes(packet))

    def test_whole_batches(self) -> None:
        """A batch that goes one way unchanged is handed on as the object it is."""
        self.hooks("a", "b", "c")
        seen: list[tuple[str, Batch]] = []

        def note(hook: Hook, batch: Batch) -> None:
            seen.append((hook.name, batch))

        for name in "bc":
            self.local.hooks[name].peer._batch = note
        odd, even = Batch([Packet(b"\1\1")] * 3), Batch([Packet(b"\2\2\2")] * 3)
        mark, cut = Batch([EOF]), Batch([Packet(b"\1\1\1")])
        mixed = Batch([Packet(b"\1"), EOF, Packet(b"\2\2")])
        self.program(ODD)
        for batch in (odd, even, mark, cut, mixed, Batch()):
            self.local.hooks["a"].send_batch(batch)
        for place, (name, whole) in enumerate((("b", odd), ("c", even), ("b", mark), ("c", mark))):
            self.assertEqual(name, seen[place][0])
            self.assertIs(whole, seen[place][1])
        parts = [(name, [packet.len for packet in batch], batch.nbytes) for name, batch in seen[4:]]
        self.assertEqual([("b", [2], 2), ("b", [1, 0], 1), ("c", [0, 2], 2)], parts)

    def test_empty(self) -> None:
        """An empty packet matches nothing, whatever the program."""
        self.hooks("a", "b", "c")
        self.program(ALL_OF_IT)
        self.assertEqual({"c": [b""]}, self.sent("a", b""))
        self.send_batch("a", [b""])
        self.assertEqual({"c": [b""]}, self.take())

    def test_mark(self) -> None:
        """An end-of-file mark goes to both hooks, once, and matches nothing."""
        self.hooks("a", "b", "c")
        self.program(ODD)
        self.assertEqual({"b": [b"\1", EOF], "c": [EOF]}, self.sent("a", b"\1", EOF))
        self.send_batch("a", [b"\2", EOF])
        self.assertEqual({"b": [EOF], "c": [b"\2", EOF]}, self.take())
        self.program(ODD, match="b", other="b")
        self.assertEqual({"b": [EOF]}, self.sent("a", EOF))
        self.send_batch("a", [b"\2", EOF, b"\1"])
        self.assertEqual({"b": [b"\2", EOF, b"\1"]}, self.take())

    def test_names_connected_later(self) -> None:
        """A destination is found when it is connected, however late, and lost when it goes."""
        self.hooks("a")
        self.program(ODD)
        self.assertEqual({}, self.sent("a", b"\1", b"\2"))
        self.graph("connect f: c c", "connect f: b b")
        self.assertEqual({"b": [b"\1"], "c": [b"\2"]}, self.sent("a", b"\1", b"\2"))
        self.graph("rmhook b")
        self.assertEqual({"c": [b"\2"]}, self.sent("a", b"\1", b"\2"))
        self.graph("connect f: b b")
        self.assertEqual({"b": [b"\1"], "c": [b"\2"]}, self.sent("a", b"\1", b"\2"))
        self.assertEqual({}, self.local.hooks["a"].drops)

    def test_new_hook_of_a_name(self) -> None:
        """A hook that is connected again begins with the program of a new one."""
        self.hooks("a", "b")
        self.program(ALL_OF_IT)
        self.graph("rmhook a", "connect f: a a")
        self.assertEqual({}, self.sent("a", b"x"))
        self.assertEqual([], self.node("f:").config())

    def test_failures(self) -> None:
        """An error of a destination is the sender's; in a batch it is counted where it is."""
        self.hooks("a", "b", "c")
        self.program(ODD)
        self.local.refuse("rcvdata", EPERM, "b")
        self.local.refuse("rcvdata", EIO, "c")
        self.assertEqual(EPERM, self.errno(lambda: self.send("a", b"\1")))
        self.assertEqual(EIO, self.errno(lambda: self.send("a", EOF)))
        self.send_batch("a", [b"\1", b"\2", b"\2"])
        drops = {name: hook.drops for name, hook in self.node("f:").hooks.items()}
        self.assertEqual({"a": {}, "b": {EPERM: 3}, "c": {EIO: 3}}, drops)

    def test_removed_meanwhile(self) -> None:
        """Of a batch, the rest is dropped if delivering the matches removes where it goes."""
        self.hooks("a", "b", "c")
        self.program(ODD)
        self.node("f:").hooks["b"]._batch = lambda hook, batch: self.net.rmhook(
            self.local.hooks["c"]
        )
        self.send_batch("a", [b"\1", b"\2"])
        self.assertEqual({}, self.received)
