"""How much work control takes, counted and not timed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ngksock.netgraph import Graph, Item
from ngksock.netgraph.port import GraphPort
from ngksock.netgraph.replay import NoFiles
from ngksock.netgraph.session import Session
from ngksock.netgraph.structure import Struct
from ngksock.nodes.socket import Socket, socket
from ngksock.plugin import find_type


class WorkCase(SynchronousTestCase):
    """A case with a graph and a session."""

    def setUp(self) -> None:
        later: list[object] = []
        self.graph = Graph(
            find_type, later.append, lambda: 0.0, lambda text, error: self.fail(text)
        )
        node, inbox = Socket(), deque[Item]()
        node.on_message = inbox.append
        self.graph.add(socket, node)
        self.said: list[str] = []
        port = GraphPort(self.graph, node, inbox=inbox)
        self.session = Session(port, self.said.append, self.said.append, NoFiles())


class WorkTests(WorkCase):
    """What a session does not do again."""

    def test_layouts(self) -> None:
        """No command of a session makes a layout: to make one costs more than the command."""
        self.session.run("mkpeer hub a a")  # a type that is used first may make its own
        made: list[object] = []
        self.patch(Struct, "__init__", lambda self, cls, **more: made.append(cls))
        for line in (
            "mkpeer hub b b", "name b two", "connect a two: x y", "show two:", "list -l",
            "types", "status two:", "dot", "rmhook two: y", "shutdown two:",
        ):  # fmt: skip
            self.session.run(line)
        self.assertEqual([], made)


class Looked(dict[Any, Any]):
    """A dict that counts how many of its items are looked at one by one."""

    looked = 0

    def _seen(self, items: Iterable[Any]) -> Iterable[Any]:
        Looked.looked += len(self)
        return items

    def values(self) -> Any:
        return self._seen(super().values())

    def items(self) -> Any:
        return self._seen(super().items())

    def __iter__(self) -> Any:
        return self._seen(super().__iter__())

    def __reversed__(self) -> Any:
        return self._seen(super().__reversed__())


class GrowthTests(WorkCase):
    """Work in graphs of two sizes; what is counted are looks at each node, name or hook."""

    SIZES = 50, 500

    def setUp(self) -> None:
        super().setUp()
        make = self.graph.make

        def counting(kind: Any) -> Any:
            node = make(kind)
            node.hooks = Looked()
            return node

        self.patch(self.graph, "make", counting)
        for table in ("nodes", "names", "types", "living"):
            self.patch(self.graph, table, Looked(getattr(self.graph, table)))

    def grown(self, size: int, chain: bool) -> None:
        """Make so many hubs, each beyond the one before, or all beyond the first."""
        self.run_lines("mkpeer hub boot boot", "name boot n0")
        for number in range(1, size):
            before = number - 1 if chain else 0
            self.run_lines(
                f"mkpeer n{before}: hub h{number} up", f"name n{before}:h{number} n{number}"
            )

    def run_lines(self, *lines: str) -> None:
        """Carry out lines."""
        for line in lines:
            self.session.run(line)

    def run_line(self, line: str, size: int) -> None:
        """Carry out a line that is the same in graphs of any size."""
        self.session.run(line)

    def looks(self, chain: bool, work: Callable[[int], object]) -> tuple[int, int]:
        """Return how much is looked at by *work* in a small graph, and in a large one."""
        found = []
        for size in self.SIZES:
            self.setUp()
            self.grown(size, chain)
            Looked.looked = 0
            work(size)
            found.append(Looked.looked)
        small, large = found
        return small, large

    def test_single(self) -> None:
        """To find, name, link, unlink, message or end one node takes the same in any graph."""
        for line in (
            "name n7: new", "name n0:h1 new", "connect n3: n9: x y", "rmhook n3: up",
            "shutdown n7:", "mkpeer n0: hub new up", "status n5:", "msg n5: setpersistent",
            "msg n0:h1 setpersistent", "connect n0: n5: x y", "rmhook n0: h1", "show n9:",
        ):  # fmt: skip
            for chain in (True, False):
                small, large = self.looks(chain, partial(self.run_line, line))
                self.assertEqual(small, large, line)

    def test_all(self) -> None:
        """To make, list or close all nodes takes as much for each of them in any graph."""
        for name, work in (
            ("list", lambda size: self.session.run("list")),
            ("list -l", lambda size: self.session.run("list -l")),
            ("dot", lambda size: self.session.run("dot")),
            ("close", lambda size: self.graph.close()),
        ):
            for chain in (True, False):
                small, large = self.looks(chain, work)
                most = self.SIZES[1] / self.SIZES[0] * (small + 10)
                self.assertLessEqual(large, most, f"{name}, chain {chain}")

    def test_growing(self) -> None:
        """To make a graph takes as much for each node, however many there are."""
        for chain in (True, False):
            found = []
            for size in self.SIZES:
                self.setUp()
                Looked.looked = 0
                self.grown(size, chain)
                found.append(Looked.looked)
            self.assertLessEqual(found[1], self.SIZES[1] / self.SIZES[0] * (found[0] + 10))
