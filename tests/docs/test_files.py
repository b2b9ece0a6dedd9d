"""The command files in the documentation are good, and print what it says they print."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from textwrap import dedent

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from ngksock.netgraph import Graph
from ngksock.nodes.ksocket import kpi_of
from ngksock.plugin import available, find_type
from ngksock.service.check import Check
from ngksock.service.run import Run
from ngksock.service.script import Library
from tests.docs.console import alike
from tests.docs.pages import Block, blocks, free_ports, names_of_pages, with_ports
from tests.integration.namespaces import need

TYPES = (
    "bpf",
    "bridge",
    "car",
    "checksum",
    "echo",
    "eiface",
    "hole",
    "hub",
    "iface",
    "ksocket",
    "listener",
    "macfilter",
    "one2many",
    "patch",
    "pipe",
    "rfc1490",
    "socket",
    "source",
    "split",
    "tag",
    "tee",
    "vlan",
    "vlan_rotate",
)
DEVICES = ("eiface", "iface")


class FileTests(TestCase):
    """Each ``ngctl`` block, alone; a ``text`` block behind it is what it prints."""

    def setUp(self) -> None:
        before = Path.cwd()
        self.folder = Path(tempfile.mkdtemp(prefix="ngksock-docs-"))
        self.addCleanup(shutil.rmtree, self.folder)
        os.chdir(self.folder)  # some make local sockets, with relative names
        self.addCleanup(os.chdir, before)

    async def page(self, page: str) -> None:
        """Check and run all files on *page*."""
        found = blocks(page, "ngctl", "text")
        ports = free_ports(found)
        for block, follower in zip(found, [*found[1:], None], strict=True):
            if block.language == "ngctl" and not block.caption:
                shown = follower if follower and follower.language == "text" else None
                await self.file(with_ports(block, ports), shown and with_ports(shown, ports))

    async def file(self, block: Block, shown: Block | None) -> None:
        """Check the file that *block* is, and carry it out."""
        name = f"{block.page.replace('/', '-')}-{block.line}.ng"
        (self.folder / name).write_text(block.text, encoding="utf-8")
        reports: list[str] = []
        check = Check(Library(), lambda text, error: reports.append(text))
        check.file(name)
        self.assertEqual([], check.findings.lines() + reports, str(block))
        said: list[str] = []
        graph = Graph(
            find_type,
            lambda work: reactor.callLater(0, work),
            reactor.seconds,
            lambda text, error: reports.append(text),
            available=available,
            reactor=reactor,
        )
        try:
            Run(graph, Library(), said.append, reports.append).file(name)
        finally:
            graph.close()
            kpi_of(graph).closeall()
            await kpi_of(graph).drain()
        # Small examples need no node that stays.
        odd = [text for text in reports if " ended with the file: " not in text]
        self.assertEqual([], odd, str(block))
        if shown is not None:
            printed = dedent("\n".join(said))
            self.assertTrue(alike(shown.text, printed), f"{shown} is not what came:\n{printed}")

    async def test_nodes(self) -> None:
        """The examples on the pages of the types are good, whole files."""
        for kind in TYPES:
            if kind not in DEVICES:
                await self.page(f"nodes/{kind}")

    async def test_devices(self) -> None:
        """So are those of the types that are devices of the system, which need privileges."""
        need()
        for kind in DEVICES:
            await self.page(f"nodes/{kind}")

    async def test_messages(self) -> None:
        """The examples on the page of the common messages are."""
        await self.page("messages")

    async def test_language(self) -> None:
        """The examples on the page of the language are."""
        await self.page("language")

    def test_all(self) -> None:
        """Every type has a page with its sections, and no page has a file that is not run."""
        self.assertEqual(list(TYPES), available())
        sections = ["Description", "Hooks", "Control messages", "Shutdown", "Examples"]
        sections.append("Differences to FreeBSD")
        for kind in TYPES:
            page = f"nodes/{kind}"
            text = (Path(__file__).parents[2] / f"docs/{page}.rst").read_text(encoding="utf-8")
            self.assertTrue(text.startswith(f"{kind}\n"), page)
            ours = sections if kind != "listener" else sections[:-1]
            places = [text.find(f"\n{section}\n{'-' * len(section)}\n") for section in ours]
            self.assertNotIn(-1, places, page)
            self.assertEqual(sorted(places), places, page)
            self.assertIn(f"\n.. netgraph-messages:: {kind}\n", text, page)
            self.assertTrue(blocks(page, "ngctl"), page)
        run = {"messages", "language", *(f"nodes/{kind}" for kind in TYPES)}
        others = [
            str(block)
            for page in names_of_pages()
            if page not in run
            for block in blocks(page, "ngctl")
            if not block.caption  # a file that a console session uses
        ]
        self.assertEqual([], others)
