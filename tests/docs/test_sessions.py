"""The console sessions of the documentation print what it says they print."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from tests.docs.console import Terminal, alike, commands
from tests.docs.pages import blocks, free_ports, names_of_pages, with_ports


class SessionTests(SynchronousTestCase):
    """Each page's sessions, from its top to its end, in one folder."""

    def sessions(self, page: str) -> None:
        """Write the files that *page* shows, run its commands, and compare."""
        found = blocks(page, "console", "ngctl", "python")
        if shutil.which("nc") is None and any("nc -" in block.text for block in found):
            raise SkipTest("needs nc, of the Debian package netcat-openbsd")
        ports = free_ports(found)
        directory = Path(tempfile.mkdtemp(prefix="ngksock-docs-"))
        self.addCleanup(shutil.rmtree, directory)
        terminal = Terminal(directory)
        self.addCleanup(terminal.close)
        for block in found:
            text = with_ports(block, ports).text
            if block.caption:
                path = directory / block.caption
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            if block.language == "console":
                for command, shown in commands(text):
                    try:
                        terminal.run(command, shown)
                    except AssertionError as error:
                        self.fail(f"{block}: {error}")

    def test_tutorial(self) -> None:
        """The tutorial works as it is written."""
        self.sessions("tutorial")

    def test_language(self) -> None:
        """Files are checked, and refused, as the page on the language says."""
        self.sessions("language")

    def test_service(self) -> None:
        """The service is run, stopped and refused as its page says."""
        self.sessions("service")

    def test_ngkctl(self) -> None:
        """A running graph is built, looked at and saved from outside as the chapter says."""
        self.sessions("ngkctl")

    def test_tls(self) -> None:
        """TLS is tried, and certificates are replaced, as its page says."""
        self.sessions("tls")

    def test_writing(self) -> None:
        """The types of node that a page shows work, are found, and pass their tests."""
        self.sessions("writing-a-node-type")

    def test_testing(self) -> None:
        """The test that the page about testing shows passes."""
        self.sessions("testing")

    def test_wire(self) -> None:
        """The client on the page about the protocol runs, and needs nothing of ours."""
        self.sessions("wire")

    def test_all(self) -> None:
        """No page has a session that no test runs."""
        run = {"tutorial", "language", "service", "ngkctl", "tls", "testing", "wire"}
        run.add("writing-a-node-type")
        others = [page for page in names_of_pages() if page not in run and blocks(page, "console")]
        self.assertEqual([], others)

    def test_commands(self) -> None:
        """A session is commands, lines that continue them, and what is shown below."""
        text = "$ a\n$ b \\\n> c\nx\n> y\n\n$ d\n"
        self.assertEqual([("a", ""), ("b \\\nc", "x\n> y\n"), ("d", "")], list(commands(text)))

    def test_alike(self) -> None:
        """Three dots stand for anything, and nothing else does."""
        for shown, printed in [("", ""), ("a...c\n", "abbc"), ("...\nb", "a\nb \n"), ("...", "")]:
            self.assertTrue(alike(shown, printed), f"{shown!r} {printed!r}")
        for shown, printed in [("", "a"), ("a.c", "abc"), ("a...", "ba"), ("a", "a\nb")]:
            self.assertFalse(alike(shown, printed), f"{shown!r} {printed!r}")
