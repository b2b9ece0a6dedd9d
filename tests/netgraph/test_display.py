"""Tests for what ngctl prints, to the byte (netgraph.md §9.4, §9.5)."""

from twisted.trial.unittest import SynchronousTestCase

from ngksock.netgraph import Message, display
from ngksock.netgraph.generic import HookList, LinkInfo, NodeInfo
from ngksock.netgraph.ngctl import COMMANDS, Command
from tests.netgraph.rig import GraphTests


class DumpTests(SynchronousTestCase):
    def test_example(self) -> None:
        """The dump of §9.5."""
        self.assertEqual(
            "0000:  48 65 6c 6c 6f 2c 20 70 65 65 72 21 00 01 02 03  Hello, peer!....\n"
            "0010:  41 42 43                                         ABC             ",
            display.dump(b"Hello, peer!\0\1\2\3ABC"),
        )

    def test_bytes(self) -> None:
        """Only printable ASCII is shown as it is; nothing gives nothing."""
        self.assertEqual("", display.dump(b""))
        self.assertEqual(". ~..".ljust(16), display.dump(b"\x1f ~\x7f\xa0")[-16:])
        self.assertEqual(["0000", "0010", "0020"],
                         [line[:4] for line in display.dump(bytes(33)).split("\n")])  # fmt: skip

    def test_text(self) -> None:
        """A text ends at its NUL; its bytes are latin-1."""
        self.assertEqual("a\xe9", display.text(b"a\xe9\0junk"))


class MessageTests(SynchronousTestCase):
    RAW = Message(1, 5, b"\1", flags=1)

    def test_response(self) -> None:
        """Name, number, sender, and the arguments behind a tab."""
        decoded = Message(1, 5, b"inet/127.0.0.1:5000\0", flags=1, cmdstr="getname")
        self.assertEqual(
            'Rec\'d response "getname" (5) from "[1a]:":\nArgs:\tinet/127.0.0.1:5000',
            display.message("[1a]:", self.RAW, decoded),
        )

    def test_no_arguments(self) -> None:
        """An empty text has no arguments; a command is called one; numbers are decimal."""
        raw = Message(1, 0x30000006)
        self.assertEqual(
            'Rec\'d command "nodeinfo" (805306374) from "[1]:":\nNo arguments',
            display.message("[1]:", raw, Message(1, 6, b"\0", cmdstr="nodeinfo")),
        )

    def test_undecoded(self) -> None:
        """Without a conversion: the number and a dump, or no arguments."""
        self.assertEqual(
            f'Rec\'d response 5 from "[1]:":\n{display.dump(self.RAW.data)}',
            display.message("[1]:", self.RAW, None),
        )
        self.assertEqual(
            'Rec\'d command 5 from "[1]:":\nNo arguments',
            display.message("[1]:", Message(1, 5), None),
        )


class TableTests(SynchronousTestCase):
    def test_headers(self) -> None:
        """The first line of list."""
        self.assertEqual("There are 0 total nodes:", display.list_header(0, False))
        self.assertEqual("There are 2 total named nodes:", display.list_header(2, True))

    def test_no_types(self) -> None:
        """Without types the headings are left out."""
        self.assertEqual("There are 0 total types:", display.types([]))

    def test_long_names(self) -> None:
        """Names longer than a column push the others on; none is cut."""
        info = NodeInfo("n" * 31, "t" * 31, 0xFFFFFFFF, 1)
        text = display.node(HookList(info, [LinkInfo("h" * 31, "p" * 31, info)]))
        self.assertEqual(
            f"  Name: {'n' * 31} Type: {'t' * 31} ID: ffffffff   Num hooks: 1", text.split("\n")[0]
        )
        self.assertEqual(
            f"  {'h' * 31} {'n' * 31} {'t' * 31} {'ffffffff':<15} {'p' * 31}", text.split("\n")[-1]
        )

    def test_help(self) -> None:
        """One line a command, in the table's order; one command with usage and summary."""
        lines = display.help_all(COMMANDS).split("\n")
        self.assertEqual(["Available commands:"], lines[:1])
        self.assertEqual([f"  {entry.name:<10} {entry.summary}" for entry in COMMANDS], lines[1:])
        self.assertEqual(
            "usage:    x <y>\nSummary:  do x", display.help_one(Command("x", "x <y>", "do x", 1, 1))
        )


class DotTests(GraphTests):
    maxDiff = None

    def test_normal(self) -> None:
        """An undirected graph: nodes, lonely ones apart, an octagon a hook, each link once."""
        self.ngctl("mkpeer hub x in", "name x odd{n}", "connect x . l1 l2")
        self.socket("alone")
        self.assertEqual(
            r"""graph netgraph {
	edge [ weight = 1.0 ];
	node [ shape = record, fontsize = 12 ];
	"1" [ label="{me:|{socket|[1]:}}" ];
	"2" [ label="{odd\{n\}:|{hub|[2]:}}" ];
	subgraph cluster_disconnected {
		bgcolor = "pink";
		"3" [ label="{alone:|{socket|[3]:}}" ];
	}
	node [ shape = octagon, fontsize = 10 ];
	"1.x" [ label = "x" ];
	"1" -- "1.x" [ style = bold, weight = 2.0 ];
	"2.l2" [ label = "l2" ];
	"2" -- "2.l2" [ style = bold, weight = 2.0 ];
	"2.l1" [ label = "l1" ];
	"2" -- "2.l1" [ style = bold, weight = 2.0 ];
	"2.in" [ label = "in" ];
	"2" -- "2.in" [ style = bold, weight = 2.0 ];
	"2.l2" -- "2.l1";
	"2.in" -- "1.x";
}""",
            self.ngctl("dot")[0],
        )

    def test_compact(self) -> None:
        """A directed graph with hooks as labels at both ends; unnamed nodes escaped."""
        self.ngctl('mkpeer hub "a b" "q\\"q"')
        self.assertEqual(
            r"""digraph netgraph {
	edge [ dir = "none" fontsize = 10 ];
	node [ shape = record, fontsize = 12 ];
	"1" [ label="{me:|{socket|[1]:}}" ];
	"2" [ label="{\<unnamed\>:|{hub|[2]:}}" ];
	"2" -> "1" [ headlabel = "a b", taillabel = "q\\\"q" ];
}""",
            self.ngctl("dot -c")[0],
        )
