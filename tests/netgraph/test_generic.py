"""Tests for the fourteen generic messages and the seven of the control cookie."""

from __future__ import annotations

import struct
from errno import EADDRINUSE, EEXIST, EINVAL, ENOENT

from ngksock.netgraph import Hook, Message, Node, Packet
from ngksock.netgraph.controlforms import Description, HookStats, Origin
from ngksock.netgraph.generic import CONTROL, GENERIC, SHARED_ROWS, ascii2binary, binary2ascii
from ngksock.netgraph.layout import STRING, Prefixed, Struct
from ngksock.netgraph.message import CONTROL_COOKIE, GENERIC_COOKIE, RESPONSE
from ngksock.plugin import NodeType
from tests.netgraph.bound import KSOCKET, bound
from tests.netgraph.rig import READS, GraphTests


def name(text: str, size: int = 32, junk: bytes = b"") -> bytes:
    """Return a fixed string with *junk* behind its NUL."""
    return (text.encode() + b"\0" + junk).ljust(size, b"\0")[:size]


def info(node: Node, hooks: int) -> bytes:
    """Return the nodeinfo of *node*."""
    return name(node.name) + name(node.type.name) + struct.pack("=II", node.id, hooks)


NAMES = """shutdown mkpeer connect name rmhook nodeinfo listhooks listnames listnodes
    listtypes textstatus binary2ascii ascii2binary textconfig""".split()  # noqa: SIM905, a table


class RowTests(GraphTests):
    def test_numbers(self) -> None:
        """Fourteen messages with FreeBSD's numbers, six to thirteen of them readers (§3.1)."""
        numbers = [1, 2, 3, 4, 5, *(n | READS for n in range(6, 14)), 14]
        self.assertEqual(
            list(zip(NAMES, numbers, strict=True)), [(r.name, r.cmd) for r in GENERIC.rows.all]
        )
        self.assertEqual(805306381, numbers[12])

    def test_control_numbers(self) -> None:
        """Seven messages under the cookie of our own: five that tell, two that edit."""
        names = [(row.name, row.cmd, row.cookie) for row in CONTROL.rows.all]
        self.assertEqual(
            [(n, i | READS, 1750000001) for i, n in enumerate(
                ("describe", "hookstats", "config", "available", "origins"), 1)]
            + [("insert", 6, 1750000001), ("bypass", 7, 1750000001)],
            names)  # fmt: skip
        self.assertEqual({GENERIC_COOKIE: GENERIC, CONTROL_COOKIE: CONTROL}, SHARED_ROWS)

    def test_sizes(self) -> None:
        """Arguments and replies have the sizes of §3.2."""
        sizes = {r.name: (r.arg and r.arg.size, r.resp and r.resp.size) for r in GENERIC.rows.all}
        self.assertEqual([(96, None), (576, None), (32, None), (32, None), (None, 72)],
                         [sizes[n] for n in NAMES[1:6]])  # fmt: skip

    def test_every_row_has_a_sentence(self) -> None:
        """Each says what it does."""
        for row in (*GENERIC.rows.all, *CONTROL.rows.all):
            self.assertRegex(row.doc, r"^[A-Z].*\.", row.name)


class GenericTests(GraphTests):
    def setUp(self) -> None:
        super().setUp()
        self.ngctl("mkpeer hub x in", "name x hub")
        self.hub = self.node("hub:")

    def test_arglen(self) -> None:
        """A length that is not the structure's own is EINVAL; nothing happens."""
        for cmd, size in ((2, 96), (3, 576), (4, 32), (5, 32)):
            for wrong in (0, 1, size - 1, size + 1, 2 * size):
                self.assertEqual(EINVAL, self.tell("hub:", cmd, name("in", wrong)), (cmd, wrong))
        self.assertEqual(["in"], list(self.hub.hooks))

    def test_ignored_arguments(self) -> None:
        """Where no argument is wanted one is ignored (§3.1)."""
        for cmd in range(6, 11):
            self.assertTrue(self.ask("hub:", cmd | READS, b"junk"))
        self.assertEqual(0, self.tell("hub:", 1, b"junk"))
        self.assertEqual([self.me], list(self.graph))

    def test_unknown(self) -> None:
        """Other numbers, and known ones without or with too many flag bits, are EINVAL."""
        for cmd in (0, 15, 6, 0x10000006, 0x20000006, 2 | READS, 0xFFFFFFFF):
            self.assertEqual(EINVAL, self.tell("hub:", cmd))
        self.assertEqual(EINVAL, self.tell("hub:", 6 | READS, cookie=CONTROL_COOKIE))

    def test_junk_behind_the_nul(self) -> None:
        """Clients send stack bytes behind the NUL, or no NUL: cut at 31 bytes (wire.md)."""
        junk = b"\xff:." * 20
        arg = name("hub", junk=junk) + name("y", junk=junk) + name("in", junk=junk)
        self.assertEqual(0, self.tell("hub:", 2, arg))
        self.assertEqual(0, self.tell("hub:y", 4, b"n" * 32))
        self.assertEqual("n" * 31, self.node("hub:y").name)
        self.assertEqual(0, self.tell("hub:", 5, name("y", junk=junk)))
        self.assertEqual(["in"], list(self.hub.hooks))

    def test_mkpeer(self) -> None:
        """A node without a name, linked as asked; errnos in the order of §3.3."""
        arg = name("hub") + name("out") + name("back")
        self.assertEqual(0, self.tell("hub:", 2, arg))
        self.assertEqual(("", "back"), (self.node("hub:out").name, self.hub.hooks["out"].peer.name))
        self.assertEqual(EEXIST, self.tell("hub:", 2, arg))
        for kind, ours, theirs, errno in (
            ("nosuch", "in", "", ENOENT), ("socket", "in", "", EINVAL), ("", "in", "", ENOENT),
            ("hub", "in", "", EEXIST), ("hub", "", "a", EINVAL), ("hub", "a.b", "a", EINVAL),
            ("hub", "a", "b:c", EINVAL), ("hub", "a", "", EINVAL),
        ):  # fmt: skip
            self.assertEqual(errno, self.tell("hub:", 2, name(kind) + name(ours) + name(theirs)))
        self.assertEqual(3, len(list(self.graph)))
        self.assert_whole()

    def test_connect(self) -> None:
        """The path is relative to the addressed node; errnos in the order of §3.3."""
        self.ngctl("mkpeer hub: hub out in", "name hub:out two")
        for path, ours, theirs, errno in (
            ("out", "a", "b", 0), ("out", "a", "c", EEXIST), ("out", "c", "b", EEXIST),
            ("nosuch:", "c", "d", ENOENT), ("nosuch", "c", "d", ENOENT), ("a..b", "c", "d", EINVAL),
            (":", "c", "d", EINVAL), (".", "s", "s", EEXIST), (".", "s", "t", 0),
            ("two:", "", "d", EINVAL), ("two:", "c", "", EINVAL), ("[0]:", "c", "d", ENOENT),
        ):  # fmt: skip
            arg = name(path, 512) + name(ours) + name(theirs)
            self.assertEqual(errno, self.tell("hub:", 3, arg), (path, ours, theirs))
        self.assertEqual("b", self.hub.hooks["a"].peer.name)
        self.assertIs(self.hub.hooks["t"], self.hub.hooks["s"].peer)
        self.assert_whole()

    def test_connect_long_path(self) -> None:
        """A path without NUL is cut to 511 bytes."""
        path = (".in.x" * 200).encode()[1:513]
        self.assertEqual(
            ENOENT, self.tell("hub:", 3, path.ljust(512, b"x") + name("c") + name("d"))
        )

    def test_name(self) -> None:
        """Assigned, replaced, kept; errnos of §3.3."""
        for wanted, errno in (
            ("one", 0), ("one", 0), ("two", 0), ("me", EADDRINUSE), ("", EINVAL), ("a.b", EINVAL),
            ("a:b", EINVAL), ("[1f]", EINVAL), ("[0]", 0), ("[xyz]", 0), ("test hub", 0),
        ):  # fmt: skip
            self.assertEqual(errno, self.tell(f"[{self.hub.id:x}]:", 4, name(wanted)), wanted)
        self.assertEqual("test hub", self.hub.name)
        self.ngctl("mkpeer me: hub y y")
        self.assertEqual(0, self.tell("y", 4, name("")))
        self.assertEqual("", self.node("y").name)

    def test_rmhook(self) -> None:
        """The hook and its peer go; a hook that is not there is no error, but is told."""
        self.assertEqual(0, self.tell("hub:", 5, name("nosuch")))
        self.assertEqual(['rmhook: node hub has no hook "nosuch" to remove'],
                         [text for text, _ in self.reports])  # fmt: skip
        self.assertEqual(0, self.tell("hub:", 5, name("in")))
        self.assertEqual([self.me], list(self.graph))

    def test_nodeinfo(self) -> None:
        """Name, type, id and number of hooks."""
        self.assertEqual(info(self.hub, 1), self.ask("hub:", 6 | READS))
        self.ngctl("mkpeer hub: hub out in")
        self.assertEqual(info(self.node("hub:out"), 1), self.ask("hub:out", 6 | READS))

    def test_listhooks(self) -> None:
        """The node, then its hooks newest first, each with the node beyond it."""
        self.ngctl("mkpeer hub: hub out back", "connect hub: hub: l1 l2")
        far = self.node("hub:out")
        expected = info(self.hub, 4) + b"".join(
            name(ours) + name(theirs) + info(node, hooks)
            for ours, theirs, node, hooks in (
                ("l2", "l1", self.hub, 4), ("l1", "l2", self.hub, 4),
                ("out", "back", far, 1), ("in", "x", self.me, 1))
        )  # fmt: skip
        self.assertEqual(expected, self.ask("hub:", 7 | READS))
        self.assertEqual(72 + 4 * 136, len(expected))

    def test_listhooks_valid_only(self) -> None:
        """Only hooks that are linked whole are listed, and counted in the reply."""
        seen: list[int] = []

        class Curious(Node):
            def connect(self, hook: Hook) -> None:
                table = GENERIC.listhooks(self)
                seen.extend([len(self.hooks), table.nodeinfo.hooks, len(table.linkinfo)])

        self.add(NodeType("curious", 1, Curious))
        self.ngctl("mkpeer curious c c")
        self.assertEqual([1, 0, 0], seen)

    def test_listnames_and_listnodes(self) -> None:
        """All nodes, or those with a name, by ascending id."""
        self.ngctl("mkpeer hub: hub out in")
        far = self.node("hub:out")
        every = [info(self.me, 1), info(self.hub, 2), info(far, 1)]
        self.assertEqual(struct.pack("=I", 3) + b"".join(every), self.ask("hub:", 9 | READS))
        self.assertEqual(struct.pack("=I", 2) + b"".join(every[:2]), self.ask("hub:", 8 | READS))

    def test_listtypes(self) -> None:
        """The types used so far, newest first, with their living nodes; none may be left."""
        self.ngctl("mkpeer hub: sink out in", "mkpeer hub: pass more in", "rmhook hub: more")
        expected = [("pass", 0), ("sink", 1), ("hub", 1), ("socket", 1)]
        self.assertEqual(
            struct.pack("=I", 4) + b"".join(name(n) + struct.pack("=I", c) for n, c in expected),
            self.ask("hub:", 10 | READS),
        )

    def test_shutdown(self) -> None:
        """It always succeeds, also when the node persists."""

        class Lasting(Node):
            def shutdown(self) -> bool:
                return True

        self.add(NodeType("lasting", 1, Lasting))
        self.ngctl("mkpeer lasting y y", "name y lasting")
        self.assertEqual([0, 0], [self.tell("lasting:", 1), self.tell("lasting:", 1)])
        self.assertEqual([0, ENOENT], [self.tell("hub:", 1), self.tell("hub:", 1)])

    def test_text(self) -> None:
        """textstatus and textconfig are the node's own; EINVAL where it has nothing to tell."""
        self.add(bound)
        self.ngctl("mkpeer bound b b")
        for cmd in (11 | READS, 14):
            self.assertEqual(EINVAL, self.tell("b", cmd))
            self.assertEqual(EINVAL, self.tell("hub:", cmd))
        self.ngctl("msg b bind inet/127.0.0.1:5000")
        self.assertEqual(b"bound ?\0", self.ask("b", 11 | READS))

    def test_big_answer(self) -> None:
        """A thousand nodes are listed in one reply."""
        for number in range(1000):
            self.ngctl(f"mkpeer hub: hub h{number} h")
        self.assertEqual(4 + 72 * 1002, len(self.ask("hub:", 9 | READS)))
        self.assertEqual(72 + 136 * 1001, len(self.ask("hub:", 7 | READS)))


class ControlTests(GraphTests):
    def setUp(self) -> None:
        super().setUp()
        self.add(bound)
        self.ngctl("mkpeer bound k k", "name k ks", "mkpeer ks: sink out in")

    def round_trip(self, cmd: int) -> str:
        """Check that the reply reads back from its text; return that."""
        data = self.ask("ks:", cmd | READS, cookie=CONTROL_COOKIE)
        kind = self.kinds["bound"]
        reply = Message(CONTROL_COOKIE, cmd | READS, data, flags=RESPONSE)
        text = binary2ascii(kind, reply)
        words = text.data[:-1].decode("latin-1")
        self.assertEqual(data, ascii2binary(kind, text, words).data)
        return words

    def test_describe(self) -> None:
        """Hooks and messages of the type with their shapes; help in latin-1, whatever it was."""
        self.round_trip(1)
        data = self.ask("ks:", 1 | READS, cookie=CONTROL_COOKIE)
        told = Struct(Description).unpack(data)
        self.assertEqual(("bound", KSOCKET, []), (told.type, told.cookie, told.hooks))
        first = told.commands[0]
        self.assertEqual(
            ("bind", KSOCKET, 1, ""), (first.name, first.cookie, first.cmd, first.resp)
        )
        self.assertEqual("Bind, as bind(2) ? or not.", first.help)
        self.assertEqual(3 + 14 + 7, len(told.commands))
        self.assertEqual([], self.reports)

    def test_describe_hooks(self) -> None:
        """The names a type's hooks may have."""

        class Two(Node):
            hook_names = ("left", "right")

        self.add(NodeType("two", 5, Two))
        self.ngctl("mkpeer two t left")
        told = Struct(Description).unpack(self.ask("t", 1 | READS, cookie=CONTROL_COOKIE))
        self.assertEqual((["left", "right"], ""), (told.hooks, told.hookform))
        self.assertEqual(EINVAL, self.errno("mkpeer two u up"))

    def test_describe_form(self) -> None:
        """A type with hooks of any name says so; one may say in words which names they have."""

        class Numbered(Node):
            hook_form = "a number"

        self.add(NodeType("numbered", 5, Numbered))
        for kind, form in (("hub", "any name"), ("numbered", "a number")):
            data = self.ask("ks:", 1 | READS, STRING.pack(kind), CONTROL_COOKIE)
            told = Struct(Description).unpack(data)
            self.assertEqual((kind, [], form), (told.type, told.hooks, told.hookform))

    def test_describe_other(self) -> None:
        """Any node describes any type, which is not used by that; ENOENT if there is none."""
        told = self.ask("ks:", 1 | READS, STRING.pack("train"), CONTROL_COOKIE)
        self.assertEqual("train", Struct(Description).unpack(told).type)
        self.assertNotIn("train", self.graph.types)
        arg = STRING.pack("bus")
        self.assertEqual(ENOENT, self.tell("ks:", 1 | READS, arg, CONTROL_COOKIE))
        self.assertEqual(EINVAL, self.tell("ks:", 1 | READS, b"train", CONTROL_COOKIE))
        row = CONTROL.rows.named("describe")
        assert row is not None and row.arg is not None
        for text, data in (("", b""), ('"hub"', b"hub\0")):
            self.assertEqual(
                (data, text),
                (row.arg.pack(row.arg.parse(text)), row.arg.unparse(row.arg.unpack(data))),
            )

    def test_hookstats(self) -> None:
        """What was sent out of each hook and lost, newest first."""
        self.node("ks:out").error = OSError(ENOENT, "")
        out = self.node("ks:").hooks["out"]
        self.assertRaises(OSError, out.send_data, Packet(b"abc"))
        self.assertEqual(
            '[ { hook="out" packets=1 bytes=3 drops=[ { errno="ENOENT" packets=1 } ] } '
            '{ hook="k" } ]',
            self.round_trip(2),
        )
        stats = Prefixed(Struct(HookStats)).unpack(
            self.ask("ks:", 2 | READS, cookie=CONTROL_COOKIE)
        )
        self.assertEqual(["out", "k"], [stat.hook for stat in stats])

    def test_config(self) -> None:
        """The lines that make the node's state again; none for most."""
        self.assertEqual('[ "msg . bind inet/127.0.0.1:5000" ]', self.round_trip(3))
        empty = self.ask("ks:out", 3 | READS, cookie=CONTROL_COOKIE)
        self.assertEqual([], Prefixed(STRING).unpack(empty))

    def test_available(self) -> None:
        """The types that are not in use yet."""
        self.assertEqual('[ "hub" "pass" "train" ]', self.round_trip(4))

    def test_origins(self) -> None:
        """Where the types come from, as the graph was told."""
        self.assertEqual("[]", self.round_trip(5))
        self.graph.origins = lambda: [Origin("a", "dist 1.0", ""), Origin("b", "c", "no")]
        self.assertEqual(
            '[ { type="a" origin="dist 1.0" } { type="b" origin="c" problem="no" } ]',
            self.round_trip(5),
        )
