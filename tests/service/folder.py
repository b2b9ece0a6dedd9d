"""A folder of command files, to be checked and applied in this process."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from ngksock.netgraph import Graph
from ngksock.plugin import NodeType, available, find_type
from ngksock.service.check import Check
from ngksock.service.run import Run
from ngksock.service.script import Library

ROOT = Path(__file__).resolve().parent.parent.parent


def check_files(folder: Path, *names: str) -> tuple[list[str], int]:
    """Return the messages about the files *names* in *folder*, and the exit code."""
    bugs: list[str] = []
    check = Check(
        Library(directory=str(folder)), lambda text, error: bugs.append(f"{text} {error!r}")
    )
    for name in names:
        check.file(name)
    return check.findings.lines() + bugs, check.findings.code


class FolderTestCase(SynchronousTestCase):
    """Tests with files in a folder of their own, which is not the working directory."""

    maxDiff = None

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir(parents=True)

    def write(self, name: str, text: str | bytes) -> None:
        """Write a file; text is latin-1, as the service reads it."""
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode("latin-1"))

    def check(self, text: str | bytes) -> list[str]:
        """Return the messages about a file ``a.ng`` of that content."""
        self.write("a.ng", text)
        return check_files(self.folder, "a.ng")[0]

    def apply(self, *names: str, types: tuple[NodeType, ...] = ()) -> Graph:
        """Run files on a graph; what it says is in ``said``, its warnings in ``warned``."""
        self.said: list[str] = []
        self.warned: list[str] = []
        kinds = {kind.name: kind for kind in types}
        self.graph = Graph(
            lambda name: kinds.get(name) or find_type(name),
            lambda work: None,
            lambda: 0.0,
            lambda sentence, error: self.warned.append(sentence),
            available=lambda: sorted({*kinds, *available()}),
        )
        library = Library(directory=str(self.folder))
        run = Run(self.graph, library, self.said.append, self.warned.append)
        for name in names:
            run.file(name)
        return self.graph

    def nodes(self, graph: Graph) -> list[str]:
        """Return names and types of the nodes that are there."""
        return [f"{node!r} {node.type.name}" for node in graph]
