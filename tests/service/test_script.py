"""Command files: lines, places, and what is read when."""

from __future__ import annotations

import io
import os
from errno import EISDIR, ENOENT
from pathlib import Path

from ngksock.service.script import STDIN, Library, Line, Problem, Script, legible
from tests.service.folder import FolderTestCase


def read(data: bytes) -> Script:
    """Return the script of a file of that content."""
    script = Script("a.ng", "/a.ng", "/")
    script.fill(io.BytesIO(data))
    return script


class LineTests(FolderTestCase):
    def texts(self, data: bytes) -> list[str]:
        """Return the logical lines of a file."""
        return [line.text for line in read(data).lines]

    def test_plain(self) -> None:
        """Lines come in order; the last one needs no newline."""
        self.assertEqual(["list", "  quit "], self.texts(b"list\n  quit "))

    def test_nothing_to_do(self) -> None:
        """Comments, indented ones too, and blank lines are left out, but counted."""
        lines = read(b"# one\n\n \t\n\t## two\nlist\n").lines
        self.assertEqual([Line("list", 5)], lines)
        self.assertEqual([], self.texts(b""))

    def test_carriage_returns(self) -> None:
        """Lines may end as on Windows, continued ones too."""
        self.assertEqual(["list", "a  b"], self.texts(b"list\r\n\r\na \\\r\n b\r\n"))

    def test_continuation(self) -> None:
        """A last backslash joins two lines with nothing between them, blanks kept."""
        self.assertEqual(["a bcd  e"], self.texts(b"a b\\\ncd\\\n  e\n"))

    def test_continuation_at_the_end(self) -> None:
        """A backslash that nothing follows is as if it were not there."""
        self.assertEqual(["list "], self.texts(b"list \\"))
        self.assertEqual(["list "], self.texts(b"list \\\n"))

    def test_backslash_before_a_blank(self) -> None:
        """Only the very last character continues a line."""
        self.assertEqual(["a \\ ", "b"], self.texts(b"a \\ \nb\n"))

    def test_comments_do_not_continue(self) -> None:
        """A comment ends with its line, as in FreeBSD; within a continued line # is a word."""
        self.assertEqual(["list"], self.texts(b"# no \\\nlist\n"))
        self.assertEqual(["a # b"], self.texts(b"a \\\n# b\n"))

    def test_bytes(self) -> None:
        """A byte is a character, whatever it means."""
        self.assertEqual(["\xe4\xa0\xff"], self.texts(b"\xe4\xa0\xff\n"))

    def test_byte_order_mark(self) -> None:
        """The mark that some editors put first counts as blanks, and columns stay."""
        self.assertEqual(["   list"], self.texts(b"\xef\xbb\xbflist\n"))

    def test_places(self) -> None:
        """Positions become physical lines and columns, from 1."""
        line = Line("abcdef", 7, (0, 2, 2, 4))
        self.assertEqual([(7, 1), (7, 2), (9, 1), (9, 2), (10, 1), (10, 2), (10, 3)],
                         [line.place(at) for at in range(7)])  # fmt: skip

    def test_binary(self) -> None:
        """A NUL ends the reading; what came before stays."""
        script = read(b"list\n\nab\0c\nquit\n")
        self.assertEqual(["list"], [line.text for line in script.lines])
        self.assertEqual(
            "a.ng:3:3: a NUL byte: this is a binary file; commands are plain text",
            str(script.problem),
        )


class ProblemTests(FolderTestCase):
    def test_shapes(self) -> None:
        """FILE:LINE:COL: TEXT; remedy; and where the file was read from."""
        self.assertEqual("a:1:2: no; yes", str(Problem("a", 1, 2, "no", "yes")))
        self.assertEqual("a:1:2: no", str(Problem("a", 1, 2, "no")))
        self.assertEqual("a: no", str(Problem("a", 0, 0, "no")))
        self.assertEqual("a:1:2: no; read from b:9", str(Problem("a", 1, 2, "no", origin="b:9")))

    def test_legible(self) -> None:
        """Bytes that are UTF-8 are shown as such, control characters as their numbers."""
        self.assertEqual("é", legible("é".encode().decode("latin-1")))
        self.assertEqual("é", legible("é"))
        self.assertEqual("→\ta\\x1b[2J\\x0a", legible("→\ta\x1b[2J\n"))


class LibraryTests(FolderTestCase):
    def library(self, stdin: bytes = b"") -> Library:
        """Return a library whose names begin in the folder."""
        return Library(io.BytesIO(stdin), str(self.folder))

    def test_read_once(self) -> None:
        """What was read first is what there is, even when the file is gone."""
        self.write("a.ng", "list\n")
        library = self.library()
        first = library.script("a.ng")
        (self.folder / "a.ng").unlink()
        self.assertIs(first, library.script("a.ng"))

    def test_stdin_is_read_once(self) -> None:
        """- is standard input, called <stdin>, and its names begin where we are."""
        library = self.library(b"list\n")
        script = library.script("-")
        self.assertEqual((STDIN, ["list"]), (script.shown, [line.text for line in script.lines]))
        self.assertIs(script, library.script("-"))
        self.assertEqual(str(self.folder / "b.ng"), script.resolve("b.ng"))
        self.assertEqual("b.ng", script.show("b.ng"))

    def test_a_file_called_dash(self) -> None:
        """A command that names - means a file of that name, as in ngctl."""
        self.write("a.ng", "read -\n")
        self.write("-", "types\n")
        library = self.library()
        inner = library.script("-", library.script("a.ng"))
        self.assertEqual(("-", ["types"]), (inner.shown, [line.text for line in inner.lines]))

    def test_relative_to_the_file(self) -> None:
        """Names in a file begin where it is, and are shown so that they can be opened."""
        self.write("sub/a.ng", "read b.ng\n")
        self.write("sub/b.ng", "list\n")
        library = self.library()
        outer = library.script("sub/a.ng")
        inner = library.script("b.ng", outer)
        self.assertEqual(("sub/b.ng", 1), (inner.shown, len(inner.lines)))
        self.assertEqual("/etc/b.ng", outer.show("/etc/b.ng"))

    def test_names_in_utf8(self) -> None:
        """A file whose name is UTF-8 in a file is found."""
        self.write("a.ng", "read fä.ng\n".encode())
        (self.folder / "fä.ng").write_bytes(b"list\n")
        library = self.library()
        name = library.script("a.ng").lines[0].text.split()[1]
        self.assertEqual("fä.ng", library.script(name, library.script("a.ng")).shown)

    def test_unreadable(self) -> None:
        """Missing files and directories raise the system's errors."""
        library = self.library()
        for name, number in (("nothing", ENOENT), (".", EISDIR), ("/dev/null/x", 20)):
            error = self.assertRaises(OSError, library.script, name)
            self.assertEqual(number, error.errno)

    def test_load(self) -> None:
        """Data is read once too, up to a size."""
        self.write("data", b"12345")
        library = self.library(b"")
        inside = library.script("-")
        self.assertEqual(b"1234", library.load("data", 4, inside))
        os.unlink(self.folder / "data")
        self.assertEqual(b"1234", library.load("data", 4, inside))
        self.assertRaises(OSError, library.load, "other", 4, inside)

    def test_directory(self) -> None:
        """Without another word names begin in the working directory."""
        self.assertEqual(str(Path.cwd()), Library().directory)
