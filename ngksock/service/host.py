"""The service that hosts a graph, from its files to the last flushed stream."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, TimeoutError
from twisted.logger import Logger
from twisted.python.failure import Failure

from ngksock.kpi import SocketKPI
from ngksock.netgraph import Graph, Node
from ngksock.nodes.ksocket import kpi_of
from ngksock.plugin import available, find_type, origins
from ngksock.service.control import ControlServer, Place
from ngksock.service.run import Run
from ngksock.service.script import Library, legible

__all__ = ["GraphService"]

DRAIN: Final = 1.5
"""Seconds that streams have to send what they hold when the service stops."""
NODES_MAX: Final = 50
"""How many nodes the log tells about at the start."""
_log: Final = Logger(namespace="ngksock")


class GraphService(Service):
    """
    Hosts one graph, made by command files.

    Args:
        library: Holds the files; they have been checked.
        files: Their names; none: the graph is empty at first.
        reactor: None: the global one.
        place: Where outside programs can attach; None: nowhere.

    Raises, when it is started:
        ScriptError: A command failed; the graph is closed again.
        PlaceError: The place cannot be had; no file was applied.
    """

    name = "ngksock"

    def __init__(
        self,
        library: Library,
        files: Sequence[str],
        reactor: Any = None,
        place: Place | None = None,
    ) -> None:
        self.library = library
        self.place = place
        self.control: ControlServer | None = None
        self.files = list(files)
        self.graph: Graph | None = None
        self._reactor = reactor
        self._signals: dict[int, Any] = {}

    @property
    def reactor(self) -> Any:
        """The reactor, looked up late: a program may install one until it starts."""
        if self._reactor is None:
            from twisted.internet import reactor

            self._reactor = reactor
        return self._reactor

    # -- start -----------------------------------------------------------------------

    def privilegedStartService(self) -> None:
        """Apply the files while the process may bind low ports."""
        Service.privilegedStartService(self)
        self._begin()

    def startService(self) -> None:
        """Apply the files, if that has not been done (twist never calls the former)."""
        if self.graph is None:
            self._begin()
        Service.startService(self)

    def _begin(self) -> None:
        self._catch()
        try:
            self.apply()
        except BaseException:
            self._let_go()
            raise

    def apply(self) -> None:
        """Make the graph; on a failure close what was opened, and raise."""
        reactor = self.reactor
        self.graph = graph = Graph(
            find_type,
            lambda work: reactor.callLater(0, work),
            reactor.seconds,
            _report,
            available=available,
            reactor=reactor,
            origins=origins,
        )
        graph.shared["directory"] = self.library.directory
        sockets = kpi_of(graph)
        run = Run(graph, self.library, _say, _warn)
        try:
            if self.place is not None:
                self.control = self.place.open(graph, reactor, _warn)
            for name in self.files:
                run.file(name)
        except BaseException:
            self.graph = None
            self._close_control()
            graph.close()
            sockets.closeall()
            raise
        if self.control is not None:
            _say(f"control socket: {self.control}")
        for line in _summary(graph, ", ".join(self.files) or "no file"):
            _say(line)

    def _close_control(self) -> None:
        control, self.control = self.control, None
        if control is not None:
            control.close()

    # -- signals ---------------------------------------------------------------------

    def _catch(self) -> None:
        """Let SIGHUP and SIGUSR1 no longer end the process."""
        if threading.current_thread() is not threading.main_thread():
            return
        wanted: dict[int, Callable[[], None]] = {
            signal.SIGHUP: self._reload, signal.SIGUSR1: self.log_counters
        }  # fmt: skip
        for number, action in wanted.items():

            def caught(_: int, __: FrameType | None, action: Callable[[], None] = action) -> None:
                self.reactor.callFromThread(action)

            self._signals[number] = signal.signal(number, caught)

    def _let_go(self) -> None:
        """Leave the signals to whom they belonged."""
        while self._signals:
            number, previous = self._signals.popitem()
            signal.signal(number, previous)

    def _reload(self) -> None:
        _log.warn("SIGHUP: reload is not there yet; restart to apply the files again")

    def log_counters(self) -> None:
        """Log what every hook has sent and lost."""
        if self.graph is not None:
            for line in _counters(self.graph):
                _say(line)

    # -- stop ------------------------------------------------------------------------

    def stopService(self) -> Deferred[None] | None:
        """Close the graph; done when all streams have sent what they held, or time is up."""
        Service.stopService(self)
        self._let_go()
        graph, self.graph = self.graph, None
        if graph is None:
            return None
        self._close_control()
        graph.close()
        sockets = kpi_of(graph)
        drained = sockets.drain().addTimeout(DRAIN, self.reactor)

        def give_up(failure: Failure) -> None:
            failure.trap(TimeoutError)
            _log.warn("not all streams could send what they held within {time} s", time=DRAIN)

        drained.addErrback(give_up)
        return drained.addBoth(_close, sockets)


def _close(result: Failure | None, sockets: SocketKPI) -> Failure | None:
    sockets.closeall()
    return result


# -- what is logged ------------------------------------------------------------------


def _say(text: str) -> None:
    """Log *text*, each of its lines by itself, so that the layout stays."""
    for line in text.split("\n"):
        _log.info("{line}", line=legible(line) or " ")


def _warn(sentence: str) -> None:
    _log.warn("{sentence}", sentence=legible(sentence))


def _report(sentence: str, error: Exception | None) -> None:
    sentence = legible(sentence)  # it has names in it that any program may choose
    if error is None:
        _log.warn("{sentence}", sentence=sentence)
    else:
        _log.failure("{sentence}", failure=Failure(error), sentence=sentence)


def _address(node: Node) -> str:
    """Return a path to *node* that says something to people."""
    if node.name:
        return f"{node.name}:"
    for hook in node.hooks.values():
        if hook.peer.node.name:
            return f"{hook.peer.node.name}:{hook.peer.name}"
    return f"[{node.id:x}]:"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _summary(graph: Graph, source: str) -> Iterator[str]:
    """Yield what there is in *graph*: how much, and the status of each node."""
    nodes = list(graph)
    links = sum(len(node.hooks) for node in nodes) // 2
    yield f"{_count(len(nodes), 'node')}, {_count(links, 'link')} from {source}"
    for node in nodes[:NODES_MAX]:
        told = ""
        try:
            # The counters that follow the first clause are all zero yet.
            told = (node.status() or "").partition(";")[0].replace("\n", ", ")
        except BaseException as error:  # which may be no Exception: see Graph.bug
            graph.bug(node, error)
        told = told or _count(len(node.hooks), "hook")
        yield f"  {_address(node):<15} {node.type.name:<15} {told}"
    if len(nodes) > NODES_MAX:
        yield f"  and {len(nodes) - NODES_MAX} more"


def _counters(graph: Graph) -> Iterator[str]:
    """Yield a line for each hook."""
    yield f"counters of {_count(len(graph.nodes), 'node')}:"
    for node in graph:
        for hook in node.hooks.values():
            lost = ", ".join(f"{name} {n}" for name, n in hook.drop_names().items())
            sent = f"{_count(hook.packets, 'packet')}, {_count(hook.bytes, 'byte')}"
            yield (
                f"  {_address(node):<15} {node.type.name:<15} {hook.name:<15} sent {sent}"
                + (f", lost {lost}" if lost else "")
            )
