"""How much work control takes, counted and not timed."""

from __future__ import annotations

from collections import deque

from twisted.trial.unittest import SynchronousTestCase

from ngksock.netgraph import Graph, Item
from ngksock.netgraph.port import GraphPort
from ngksock.netgraph.session import Session
from ngksock.netgraph.structure import Struct
from ngksock.nodes.socket import Socket, socket
from ngksock.plugin import find_type


class NoFiles:
    def run(self, name: str) -> None:
        raise FileNotFoundError(name)

    def load(self, name: str, size: int) -> bytes:
        raise FileNotFoundError(name)

    def save(self, name: str, text: str) -> None:
        raise FileNotFoundError(name)


class WorkTests(SynchronousTestCase):
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
