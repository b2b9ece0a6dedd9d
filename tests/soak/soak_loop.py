"""Hubs in a closed loop: the service stays responsive and bounded."""

from __future__ import annotations

import re
from collections import deque
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from ngksock.netgraph import Graph
from ngksock.netgraph.message import Item
from ngksock.netgraph.port import GraphPort
from ngksock.netgraph.session import Session
from ngksock.nodes.socket import Socket, socket
from ngksock.plugin import available, find_type

GROWTH = 16 << 20
EVERY = 0.1
ANSWERED = 0.1
"""Seconds in which a control message is answered."""


def rss() -> int:
    """Return the bytes of memory this process has."""
    match = re.search(r"VmRSS:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert match is not None, "Linux tells it"
    return int(match[1]) * 1024


def waited() -> float:
    """Return the seconds this process could have run, while others had the processors."""
    return int(Path("/proc/self/schedstat").read_text(encoding="ascii").split()[1]) / 1e9


class LoopSoak(TestCase):
    """Two hubs, two or three links between them, and a packet that never ends."""

    timeout = 120

    def setUp(self) -> None:
        self.reports: list[str] = []
        self.graph = Graph(
            find_type,
            lambda work: reactor.callLater(0, work),
            reactor.seconds,
            lambda sentence, error: self.reports.append(f"{sentence} {error}"),
            available=available,
            reactor=reactor,
        )
        node, inbox = Socket(), deque[Item]()
        node.on_message = inbox.append
        self.graph.add(socket, node)
        self.said: list[str] = []
        port = GraphPort(self.graph, node, inbox=inbox)
        self.session = Session(port, self.said.append, self.reports.append, None)  # type: ignore[arg-type]
        self.addCleanup(self._end)

    async def _end(self) -> None:
        self.graph.close()
        await deferLater(reactor, 0.2, lambda: None)

    def run_lines(self, *lines: str) -> None:
        """Carry out lines of ngctl."""
        for line in lines:
            self.session.run(line)

    async def turn_round(self, links: int, seconds: float) -> None:
        """Let packets go round; ask a hub for its status all the time."""
        self.run_lines("mkpeer hub in in", "name .:in one", "mkpeer one: hub l0 l0")
        self.run_lines(
            "name one:l0 two", *(f"connect one: two: l{n} l{n}" for n in range(1, links))
        )
        before = rss()
        walls: list[float] = []
        delays: list[float] = []  # without what other processes took
        sizes: list[int] = []
        done: Deferred[None] = Deferred()
        end = reactor.seconds() + seconds

        def ask(due: float, idle: float) -> None:
            self.said.clear()
            self.run_lines("status two:")
            walls.append(reactor.seconds() - due)
            delays.append(walls[-1] - (waited() - idle))
            sizes.append(rss() - before)
            if self.said != [f'Status for "two:":\n{links} hooks']:
                done.errback(AssertionError(f"the hub says {self.said}"))
            elif reactor.seconds() > end:
                done.callback(None)
            else:
                reactor.callLater(EVERY, ask, reactor.seconds() + EVERY, waited())

        self.run_lines("write in 1 2 3")
        reactor.callLater(EVERY, ask, reactor.seconds() + EVERY, waited())
        await done
        hooks = [hook for node in self.graph for hook in node.hooks.values()]
        drops = sum(sum(hook.drops.values()) for hook in hooks)
        packets = sum(hook.packets for hook in hooks)
        print(
            f"\n{links} links, {seconds} s: {packets} packets, {drops} dropped; "
            f"{len(delays)} questions, answered within {max(walls) * 1000:.1f} ms, "
            f"or {max(delays) * 1000:.1f} ms but for other processes; "
            f"memory grew by at most {max(sizes) >> 10} KiB"
        )
        self.assertEqual([], self.reports)
        self.assertGreater(packets, 1000)
        self.assertLess(max(delays), ANSWERED)
        self.assertLess(max(sizes), GROWTH)

    async def test_two_links(self):
        """One packet goes round for a minute: bounded memory, messages within 100 ms."""
        await self.turn_round(2, 60)

    async def test_three_links(self):
        """Packets that double at each turn, for a minute: they are dropped, and counted."""
        await self.turn_round(3, 60)
