"""The package that docs/examples shows: its tests pass, and its README tells the truth."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.docs.pages import DOCS, ROOT

PACKAGE = DOCS / "examples" / "ngk-rot13"
SHOW = (
    "from ngk_rot13 import rot13; print(rot13.cookie, *((r.name, r.cmd, r.arg and r.arg.shape(),"
    " r.resp and r.resp.shape()) for r in rot13.commands.all), sep='\\n')"
)


class PackageTests(SynchronousTestCase):
    """docs/examples/ngk-rot13; `tests/packaging` builds and installs it."""

    def run_python(self, *words: str) -> str:
        """Run Python where the package can be imported; return what it prints."""
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        done = subprocess.run(
            [sys.executable, *words], cwd=folder, text=True, check=False,
            env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{PACKAGE}"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.assertEqual(0, done.returncode, done.stdout)
        return done.stdout

    def test_own_tests(self) -> None:
        """Its own tests pass."""
        text = self.run_python("-m", "twisted.trial", str(PACKAGE / "tests" / "test_rot13.py"))
        self.assertRegex(text, r"PASSED \(successes=5\)")

    def test_readme(self) -> None:
        """The README has each message, with number, argument and answer, and the cookie."""
        readme = (PACKAGE / "README.md").read_text(encoding="utf-8")
        cookie, *rows = self.run_python("-c", SHOW).splitlines()
        self.assertIn(f"Cookie {cookie}.", readme)
        self.assertEqual(3, len(rows))
        for row in rows:
            words = re.findall(r"'([^']*)'|(\d+)|None", row)
            name, number = words[0][0], words[1][1]
            (line,) = [line for line in readme.splitlines() if line.startswith(f"| `{name}`")]
            self.assertIn(f"| {number} ", line)
            for shape, _ in words[2:]:
                self.assertIn(shape.strip("<>"), line)

    def test_project(self) -> None:
        """pyproject.toml announces the type, and is whole."""
        project = tomllib.loads((PACKAGE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        self.assertEqual(
            {"rot13": "ngk_rot13:rot13"}, project["entry-points"]["ngksock.node_types"]
        )
        self.assertEqual("BSD-2-Clause", project["license"])
        self.assertTrue((PACKAGE / project["readme"]).is_file())
        self.assertTrue((PACKAGE / "ngk_rot13" / "py.typed").is_file())
