"""GraphTestCase: tests of graphs, written in the language of ngctl."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from errno import EOPNOTSUPP
from itertools import count
from typing import ClassVar, NoReturn

from twisted.trial.unittest import SynchronousTestCase

from ngksock.interfaces import INodeType
from ngksock.netgraph import Node
from ngksock.netgraph.port import GraphPort
from ngksock.netgraph.session import Session
from ngksock.testing.recording import Data
from ngksock.testing.sandbox import TURNS, Sandbox

__all__ = ["GraphTestCase"]


class GraphTestCase(SynchronousTestCase):
    """
    A test case with a fresh graph, in which the test itself is a node.

    That node, ``local``, is a `RecordingNode` and ``.`` in paths::

        class HubTests(GraphTestCase):
            def test_fan_out(self) -> None:
                \"\"\"A packet goes to all hooks but the one it came in by.\"\"\"
                self.graph("mkpeer hub a a", "name a h", "connect h: b b")
                self.send("a", b"x")
                self.assertEqual({"b": [b"x"]}, self.received)

    When the test is over the graph is closed; it fails if anything is left of
    it: nodes, hooks, waiting work, high sinks, delayed calls on ``clock``, or
    bugs of nodes that `flush_bugs` did not take.
    """

    node_types: ClassVar[Sequence[INodeType]] = ()
    """Types of node that are not installed but used here."""

    def setUp(self) -> None:
        """Make the graph; a subclass calls this first."""
        super().setUp()
        self.sandbox = Sandbox(*self.node_types)
        self.net = self.sandbox.graph
        self.local = self.sandbox.local
        self.clock = self.sandbox.clock
        self._tokens = count(1 << 24)
        self._printed: list[str] = []

    def tearDown(self) -> None:
        """Close the graph; a subclass calls this last."""
        self.sandbox.close()
        super().tearDown()

    # -- control ----------------------------------------------------------------------

    def graph(self, *lines: str, here: str = ".") -> str:
        """
        Carry out *lines* of ngctl and return what they print.

        Args:
            lines: Commands.
            here: Path of the node that is ``.`` in them.

        Raises:
            LineError: One failed; those before it stay in effect.
        """
        session = Session(
            self._port(here), self._printed.append, self.sandbox.reports.append, _NoFiles()
        )
        self._printed.clear()
        for line in lines:
            session.run(line)
        return "\n".join(self._printed)

    def msg(self, path: str, text: str) -> str | None:
        """
        Send a message in its ASCII form, and return the response's arguments.

        Args:
            path: Where to.
            text: Name and arguments: ``getstats "x"``.

        Returns:
            ASCII, "" if the response has no arguments; None: no response.
        """
        name, _, args = text.partition(" ")
        port = self._port(".")
        message = port.encode(path, name, args).with_token(next(self._tokens))
        port.send(path, message)
        for item in list(self.local.inbox):
            if item.message.is_response and item.message.token == message.token:
                self.local.inbox.remove(item)
                answer = port.decode(f"[{item.source:x}]:", item.message)
                assert answer is not None, "the node knows its own message"
                return answer.data[:-1].decode("latin-1")
        return None

    def _port(self, here: str) -> GraphPort:
        return GraphPort(self.net, self.local, self.node(here), self.local.inbox)

    def node(self, path: str) -> Node:
        """Return the node at *path*."""
        return self.net.find(path, self.local)[0]

    def errno(self, attempt: str | Callable[[], object]) -> int:
        """Return the errno by which a line of ngctl, or a call, fails; 0: it does not."""
        try:
            if isinstance(attempt, str):
                self.graph(attempt)
            else:
                attempt()
        except OSError as error:
            return error.errno or 0
        return 0

    # -- packets ------------------------------------------------------------------------

    def send(self, hook: str, data: Data) -> None:
        """Send one packet out of a hook of ``local``; raises OSError as the graph does."""
        self.local.send(hook, data)

    def send_batch(self, hook: str, datas: Iterable[Data]) -> None:
        """Send packets out of a hook of ``local`` as one batch."""
        self.local.send_batch(hook, datas)

    @property
    def received(self) -> dict[str, list[Data]]:
        """What ``local`` received, by hook."""
        return self.local.received

    def take(self) -> dict[str, list[Data]]:
        """Return what ``local`` received since the last time."""
        taken = dict(self.local.received)
        self.local.received.clear()
        return taken

    # -- time and bugs ----------------------------------------------------------------------

    def turn(self) -> None:
        """Let the graph do what waits for the next turn of the reactor."""
        self.sandbox.turn()

    def settle(self, most: int = TURNS) -> int:
        """Take turns until nothing waits; fails if *most* are not enough."""
        return self.sandbox.settle(most)

    def pass_time(self, seconds: float) -> None:
        """Let *seconds* pass on ``clock``; whatever is due by then is done in its time."""
        self.sandbox.pass_time(seconds)

    def flush_bugs(self, *kinds: type[Exception]) -> list[Exception]:
        """Take the bugs of nodes, of those *kinds* or all: the test expected them."""
        bugs = self.sandbox.bugs
        taken = [bug for bug in bugs if not kinds or isinstance(bug, kinds)]
        bugs[:] = [bug for bug in bugs if bug not in taken]
        return taken


class _NoFiles:
    """Stands for the files a session may use: there are none."""

    def run(self, name: str) -> NoReturn:
        raise OSError(EOPNOTSUPP, "a GraphTestCase reads and writes no files")

    def load(self, name: str, size: int) -> NoReturn:
        self.run(name)

    def save(self, name: str, text: str) -> NoReturn:
        self.run(name)
