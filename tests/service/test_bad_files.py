"""The wrong files in tests/scripts/bad, and others too big to be kept."""

from __future__ import annotations

import resource

from ngksock.service.script import FILE_MAX, LINE_MAX
from tests.service.folder import ROOT, FolderTestCase, check_files

BAD = ROOT / "tests" / "scripts" / "bad"


class BadFileTests(FolderTestCase):
    """Each wrong file gives exactly what its ``.expect`` says."""

    def test_every_file(self) -> None:
        """Messages and exit code are those written down, to the byte."""
        names = sorted(path.stem for path in BAD.glob("*.ng"))
        self.assertGreater(len(names), 30)
        for name in names:
            lines, code = check_files(BAD, f"{name}.ng")
            expected = (BAD / f"{name}.expect").read_text(encoding="utf-8").splitlines()
            self.assertEqual(expected, [*lines, f"exit {code}"])

    def test_no_expectation_without_a_file(self) -> None:
        """Nothing is expected of files that are not there."""
        expected = {path.stem for path in BAD.glob("*.expect")}
        self.assertEqual(set(), expected - {path.stem for path in BAD.glob("*.ng")})

    def test_first_decides(self) -> None:
        """The exit code is that of the first failure, and the other files are checked too."""
        names = ["no-such-file.ng", "unknown-type.ng"]
        lines, code = check_files(BAD, *names)
        self.assertEqual((2, 66), (len(lines), code))
        lines, code = check_files(BAD, *reversed(names))
        self.assertEqual((2, 65), (len(lines), code))


class BigFileTests(FolderTestCase):
    """Files that are wrong by being too much."""

    def test_longest_line(self) -> None:
        """A line of a mebibyte is fine; one byte more is refused, at its place."""
        line = "#" + "x" * (LINE_MAX - 1)
        self.assertEqual([], self.check(f"{line}\n{line}\r\n{line}"))
        longer = self.check(f"list\n{line}x\nfoo\n")
        self.assertEqual(["a.ng:2:1048577: the line is longer than 1048576 bytes"], longer)

    def test_longest_line_in_parts(self) -> None:
        """Continuations count together, and the place is that of the byte too much."""
        part = "x" * (LINE_MAX - 10)
        found = self.check(f"list\nlist \\\n{part}\\\n123456789\n")
        self.assertEqual(
            ["a.ng:4:6: the line, from line 2 on, is longer than 1048576 bytes"], found
        )

    def test_huge_line(self) -> None:
        """A line of 100 MB is not read into memory."""
        path = self.folder / "a.ng"
        with path.open("wb") as file:
            for _ in range(100):
                file.write(b"x" * 1_000_000)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found, code = check_files(self.folder, "a.ng")
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        self.assertEqual(["a.ng:1:1048577: the line is longer than 1048576 bytes"], found)
        self.assertEqual(65, code)
        self.assertLess(grown, 16 * 1024)  # KiB

    def test_huge_file(self) -> None:
        """A file that does not end is given up at a limit."""
        found = self.check(("#" * 1023 + "\n") * (FILE_MAX // 1024 + 1))
        self.assertEqual(["a.ng:16385:1: the file is larger than 16777216 bytes"], found)

    def test_endless_device(self) -> None:
        """A device of zeros is a binary file."""
        found, code = check_files(self.folder, "/dev/zero")
        self.assertEqual(
            ["/dev/zero:1:1: a NUL byte: this is a binary file; commands are plain text"], found
        )
        self.assertEqual(65, code)

    def test_ten_thousand_errors(self) -> None:
        """A hundred errors are shown, the others counted."""
        text = "".join(f"mkpeer nosuch{n} hook{n} peer\n" for n in range(10_000))
        found = self.check(text)
        self.assertEqual(101, len(found))
        self.assertEqual('a.ng:1:8: there is no node type "nosuch0"', found[0])
        self.assertEqual('a.ng:100:8: there is no node type "nosuch99"', found[99])
        self.assertEqual("9900 more errors are not shown", found[100])

    def test_many_quotes(self) -> None:
        """A line of quotes that nothing closes takes no time to speak of."""
        found = self.check('x"' + '\\"' * 500_000)
        self.assertEqual(1, len(found))
        self.assertLess(len(found[0]), 1200)

    def test_a_long_word(self) -> None:
        """A message shows the two ends of what is too long; of no command the beginning."""
        [found] = self.check("x" * 2000)
        self.assertEqual(f'a.ng:1:1: "{"x" * 40}...": unknown command', found)
        [found] = self.check(f"msg .:{'x' * 2000} y")
        self.assertRegex(found, r'^a.ng:1:2008: the file.s own node has no hook "x+\.\.\.x+"$')
        self.assertLess(len(found), 600)
