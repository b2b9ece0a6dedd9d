"""The manual pages of the node types: there is one of each, and it is not stale."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from ngksock.netgraph.message import HASREPLY, READONLY
from ngksock.plugin import find_type, origins
from tests.docs.pages import DOCS, ROOT

MAN = DOCS / "man" / "man4"
SECTIONS = ["NAME", "SYNOPSIS", "DESCRIPTION", "HOOKS", "CONTROL MESSAGES", "SHUTDOWN", "EXAMPLES",
            "DIFFERENCES TO FREEBSD", "SEE ALSO"]  # fmt: skip
REMEDY = "make it with tox -e man, or python docs/_ext/manpages.py"
ESCAPES = {"dq": '"', "aq": "'", "bu": "*", "ga": "`", "ha": "^", "ti": "~", "rs": "\\"}


def plain(page: str) -> str:
    """Return what a reader sees of *page*, its lines joined."""
    text = re.sub(r"\\f[BIPR]|\\&|\\%", "", page)
    text = re.sub(r"\\\[u([0-9A-F]{4,6})\]", lambda found: chr(int(found[1], 16)), text)
    text = re.sub(r"\\\((\w\w)", lambda found: ESCAPES[found[1]], text)
    text = text.replace("\\-", "-").replace("\\e", "\\")
    return " ".join(text.split())


def ours() -> list[str]:
    """Return the names of our types."""
    return [one.type for one in origins() if one.origin.startswith("ngksock ")]


class NodeManualTests(SynchronousTestCase):
    """docs/man/man4/ngk_*.4."""

    def pages(self) -> dict[str, str]:
        """Return the pages by the types they are of."""
        return {
            path.stem.removeprefix("ngk_"): path.read_text(encoding="ascii")
            for path in MAN.iterdir()
        }

    def test_all(self) -> None:
        """Each type has a page, and each page a type."""
        self.assertEqual(sorted(ours()), sorted(self.pages()), REMEDY)

    def test_messages(self) -> None:
        """A page has each message, with its number, its arguments and its answer, and no other."""
        for name, page in self.pages().items():
            rows = find_type(name).commands.all
            shown = plain(page)
            heads = set(re.findall(r"\.B \\fB(\w+)\\fP \((\d+)[,)]", page))
            numbers = {(row.name, str(row.cmd & ~(READONLY | HASREPLY))) for row in rows}
            self.assertEqual(numbers, heads, f"{name}: {REMEDY}")
            for row in rows:
                self.assertIn(f"Cookie {row.cookie}:", shown, name)
                for word, layout in (("Argument", row.arg), ("Response", row.resp)):
                    shape = " ".join(layout.shape().split()) if layout is not None else ""
                    self.assertIn(shape, shown, f"{name} {row.name} {word}: {REMEDY}")

    def test_sections(self) -> None:
        """The usual sections, in their order; and the first line is the page's on the web."""
        for name, page in self.pages().items():
            found = re.findall(r"(?m)^\.SH (.*)", page)
            self.assertEqual(
                [s for s in SECTIONS if s in found], [s for s in found if s in SECTIONS]
            )
            self.assertEqual({"NAME", "DESCRIPTION", "HOOKS", "SEE ALSO"} - set(found), set(), name)
            self.assertIn(f"ngk_{name} - ", plain(page))
            source = (DOCS / "nodes" / f"{name}.rst").read_text(encoding="utf-8")
            words = re.findall(r"\w+", source.split("\n\n")[1].partition("``")[0])[:4]
            line = re.findall(rf"(?m)^ngk_{name} .*", page)[0]
            self.assertEqual([], [word for word in words if word not in line], REMEDY)

    def test_ascii(self) -> None:
        """ASCII without blanks at the ends of lines."""
        for name, page in self.pages().items():
            self.assertEqual(
                [], [line for line in page.splitlines() if line != line.rstrip()], name
            )

    def test_groff(self) -> None:
        """groff, and mandoc where it is, have nothing to warn of."""
        if shutil.which("groff") is None:
            raise SkipTest("needs groff")
        for path in sorted(MAN.iterdir()):
            self.assertEqual("", self.warnings("groff", "-t", "-man", "-Tutf8", "-ww", "-z", path))
        if shutil.which("mandoc") is not None:
            for path in sorted(MAN.iterdir()):
                self.assertEqual("", self.warnings("mandoc", "-T", "lint", "-W", "error", path))

    def warnings(self, *words: str | Path) -> str:
        """Return what a program prints."""
        done = subprocess.run(list(map(str, words)), cwd=ROOT, text=True, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
        return done.stdout
