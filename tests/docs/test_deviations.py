"""The page on differences to FreeBSD: the answers it gives are the true ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from errno import errorcode

from twisted.trial.unittest import SynchronousTestCase

from ngksock.netgraph.port import GraphPort
from ngksock.netgraph.session import Session
from ngksock.testing import Sandbox
from tests.docs.pages import DOCS

_ROW = re.compile(r"   \* - ``(.+)``\n     - .+\n     - (\w+)\n")
SETUP = (
    "mkpeer hub a a",
    "name a fan",
    "mkpeer one2many b one",
    "name b spread",
    "mkpeer ksocket c inet/dgram/udp",
    "name c ks",
    "mkpeer ksocket d inet6/dgram/udp",
    "name d six",
)


class NoFiles:
    """The lines here read and write none."""

    def run(self, name: str) -> None:
        raise OSError(name)

    def load(self, name: str, size: int) -> bytes:
        raise OSError(name, size)

    def save(self, name: str, text: str) -> None:
        raise OSError(name, text)


class DeviationTests(SynchronousTestCase):
    """The table of lines that are answered otherwise."""

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yield each line, and what it is said to do here."""
        for match in _ROW.finditer((DOCS / "deviations.rst").read_text(encoding="utf-8")):
            yield match[1], match[2]

    def outcome(self, line: str) -> str:
        """Run *line* on a graph that opens nothing, and say what came of it."""
        sandbox = Sandbox(checking=True)
        local = sandbox.local
        port = GraphPort(sandbox.graph, local, inbox=local.inbox)
        session = Session(port, lambda text: None, sandbox.reports.append, NoFiles())
        for made in SETUP:
            session.run(made)
        try:
            session.run(line)
        except OSError as error:
            return errorcode[error.errno or 0]
        finally:
            sandbox.close()
        return "works"

    def test_lines(self) -> None:
        """Each line works, or is refused with the errno that is named."""
        expected = list(self.rows())
        self.assertEqual(expected, [(line, self.outcome(line)) for line, _ in expected])

    def test_complete(self) -> None:
        """All rows of the table are read."""
        text = (DOCS / "deviations.rst").read_text(encoding="utf-8")
        self.assertEqual(text.count("   * - ") - 1, len(list(self.rows())))
