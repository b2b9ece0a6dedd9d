"""The parts of ngkctl that need no daemon, and completion, which asks one."""

from __future__ import annotations

import io

from twisted.trial.unittest import SynchronousTestCase

from ngksock.client.port import ClientPort
from ngksock.ctl.asjson import ascii_value
from ngksock.ctl.completion import Completion
from ngksock.ctl.console import as_bytes, as_text
from ngksock.ctl.inspection import example, fields
from ngksock.ctl.lines import logical_lines
from tests.client.daemon import DaemonCase


class ValueTests(SynchronousTestCase):
    """ASCII forms as values."""

    def test_values(self) -> None:
        """Structs, arrays, numbers, strings, and what is none of them."""
        for text, value in (
            ("", None),
            ("5", 5),
            ("0x1f", 31),
            ("-1", -1),
            ('"a b"', "a b"),
            ("{}", {}),
            ("[]", []),
            ('{ a=1 b="x" c=[ 1 2 ] }', {"a": 1, "b": "x", "c": [1, 2]}),
            ("[ 1 5=2 3 ]", {"0": 1, "5": 2, "6": 3}),
            ("{ a={ b=[ { c=1 } ] } }", {"a": {"b": [{"c": 1}]}}),
            ("inet/127.0.0.1:80", "inet/127.0.0.1:80"),
            ("{ a=1", "{ a=1"),
            ("two words", "two words"),
        ):
            self.assertEqual(value, ascii_value(text))


class ShapeTests(SynchronousTestCase):
    """Examples and fields from the shapes of arguments."""

    def test_examples(self) -> None:
        """The first form of a shape, with values in it."""
        for shape, text in (
            ("", ""),
            ("<int32>", "1"),
            ('nothing | "<string>"', ""),
            ("inet/<a.b.c.d>:<port> | inet6/[<addr>%<scope>]:<port>", "inet/127.0.0.1:9000"),
            ('{ type="<string up to 31>" n=<uint32> }', '{ type="text" n=1 }'),
            ("{ a=[ <hex8> ... ] b=[ <uint8> x 64 ] } | { <option> }", "{ a=[ 0x1 ] b=[ 1 ] }"),
            ("{ a={ x=1 | 2 } } | 3", "{ a={ x=1 | 2 } }"),
            ("{ <option>=<value> } | { level=<int32> }", "{ so_reuseaddr=1 }"),
            ("{ <option> } | { level=<int32> }", "{ so_reuseaddr }"),
        ):
            self.assertEqual(text, example(shape))

    def test_fields(self) -> None:
        """The names of fields, each once."""
        self.assertEqual(["a", "b", "c"], fields("{ a=<int32> b={ c=<int32> a=<int32> } }"))


class LineTests(SynchronousTestCase):
    """Lines of files."""

    def lines(self, raw: bytes) -> list[tuple[int, str]]:
        """Return the logical lines of *raw*."""
        return list(logical_lines(io.BytesIO(raw)))

    def test_numbers(self) -> None:
        """A line's number is that of its first part."""
        self.assertEqual(
            [(2, "a"), (3, "bc"), (6, "d")], self.lines(b"#\na\nb\\\nc\n\n  d".replace(b"  ", b""))
        )

    def test_ends(self) -> None:
        """Newlines of Windows, a byte order mark, and a continuation at the end are no harm."""
        self.assertEqual([(1, "a"), (2, "b")], self.lines(b"\xef\xbb\xbfa\r\nb\\\n"))

    def test_comments(self) -> None:
        """A comment, indented or not, does not continue."""
        self.assertEqual([(2, "a")], self.lines(b" # x \\\na\n"))


class ByteTests(SynchronousTestCase):
    """Words of the command line, names in the graph, and output are the same bytes."""

    def test_round_trip(self) -> None:
        """Every byte of an argument comes out as it went in."""
        raw = bytes(range(1, 256))
        self.assertEqual(raw, as_bytes(as_text(raw.decode("utf-8", "surrogateescape"))))

    def test_foreign(self) -> None:
        """What is no byte is written in UTF-8."""
        self.assertEqual("→".encode(), as_bytes("→"))


class CompletionTests(DaemonCase):
    """What may stand next."""

    graph = "mkpeer tee boot left\nname boot both\nmkpeer both: hub right r\nname both:right wide\n"

    def setUp(self) -> None:
        super().setUp()
        self.completion = Completion(ClientPort(self.connect("typist")))

    def offered(self, line: str) -> list[str]:
        """Return what the end of *line* may become."""
        at = self.completion.start(line)
        return self.completion.candidates(line[:at], line[at:])

    def test_commands(self) -> None:
        """Commands, by names and aliases; ours too."""
        self.assertEqual(["show", "shutdown"], self.offered("sh"))
        self.assertEqual(["inquire", "inspect"], self.offered("in")[-2:])
        self.assertIn("mkpeer", self.offered("help mk"))
        self.assertEqual([], self.offered("nonsense "))

    def test_paths(self) -> None:
        """Names with their colon, hooks behind them, ids."""
        self.assertEqual(["both:"], self.offered("show bo"))
        self.assertEqual(["both:right"], self.offered("show both:r"))
        self.assertEqual(["both:right.r"], self.offered("show both:right."))
        self.assertIn("[2]:", self.offered("show ["))
        self.assertEqual([], self.offered("show nosuch:"))

    def test_types_and_hooks(self) -> None:
        """Types for mkpeer, hooks for connect and rmhook."""
        self.assertEqual(["hole", "hub"], self.offered("mkpeer wide: h"))
        self.assertEqual(["left2right"], self.offered("mkpeer wide: tee a left2"))
        self.assertEqual(["one"], self.offered("mkpeer wide: one2many a on"))  # of which is none
        self.assertIn("right2left", self.offered("connect wide: both: x right2"))
        self.assertEqual(["right"], self.offered("rmhook both: righ")[:1])

    def test_messages(self) -> None:
        """Messages of the node, then the fields of that message, those typed left out."""
        self.assertEqual(["getclrstats", "getstats"], self.offered("msg both: get"))
        self.assertEqual(["ourhook=", "peerhook=", "type="], self.offered("msg both: mkpeer { "))
        self.assertEqual(["peerhook="], self.offered('msg both: mkpeer { type="x" p'))
        self.assertEqual([], self.offered("msg both: nosuch { "))

    def test_others(self) -> None:
        """Options and files."""
        self.assertEqual(["--json", "-l", "-n"], self.offered("list -"))
        self.assertIn("/etc/passwd", self.offered("read /etc/pass"))
