"""Datagrams that take a route past nodes: the same as node by node, whatever happens on the way."""

from __future__ import annotations

from collections.abc import Callable
from errno import EPERM
from typing import Any, Final

from ngksock.netgraph import Batch, Hook, Node, Packet
from ngksock.nodes.ksocket.fuse import Facing
from ngksock.plugin import NodeType
from tests.nodes.reactive import UDP
from tests.nodes.test_ksocket_mmsg import WaysCase

ROUND: Final = 10
WHEN: Final = 3
"""The packet of a round that makes something happen."""

INSERT: Final = 'insert {{ hook="{}" type="tee" in="left" out="right" name="new" }}'
BYPASS: Final = 'bypass { in="left" out="right" }'

LINES: Final = (
    "shutdown source:",
    "shutdown t:",
    "shutdown p:",
    "shutdown p:right",
    "rmhook t: left",
    "rmhook p: left",
    "rmhook p: right",
    "msg t: " + INSERT.format("left"),
    "msg t: " + INSERT.format("right"),
    "msg p: " + INSERT.format("right"),
    f"msg t: {BYPASS}",
    f"msg p: {BYPASS}",
    "connect . t: look left2right",
    "msg t: clrstats",
)
"""Carried out within ``rcvdata`` of the node at the end of the route."""


class Passer(Node):
    """A third party's node that knows packets alone, and does something in between."""

    hook_names = ("left", "right")

    def __init__(self) -> None:
        super().__init__()
        self.between: Callable[[Passer], object] | None = None

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        to = self.hooks["right" if hook.name == "left" else "left"]
        if self.between is not None and bytes(packet)[0] == WHEN:
            between, self.between = self.between, None
            between(self)
        to.send_data(packet)


passer = NodeType("passer", 1763800001, Passer)


def _fails(error: Exception) -> Callable[[Passer], object]:
    def fail(node: Passer) -> None:
        raise error

    return fail


def _wait(node: Passer) -> None:
    """Have packets wait before the tee, which are not to be overtaken."""
    tee, work = node.hooks["left"].peer.node, node.graph.work
    depth, work.depth = work.depth, 99
    try:
        tee.hooks["left"].peer.send_batch(Batch([Packet(b"first"), Packet(b"second")]))
    finally:
        work.depth = depth


class RouteTests(WaysCase):
    """source (a ksocket), a tee t that only passes on, a passer p, and a ksocket p:right."""

    async def result(self, between: Callable[[Passer], object], short: bool) -> dict[str, Any]:
        """Return what two rounds bring, in the first of which *between* is called."""
        node = Passer()
        self.net.add(passer, node)
        self.net.rename(node, "p")
        self.run_lines(
            "mkpeer tee boot left2right", "name boot t", "connect t: p: right left", "rmhook boot",
            f"mkpeer t: ksocket left {UDP}", f"mkpeer p: ksocket right {UDP}",
            "name t:left source", "msg source: bind inet/127.0.0.1:0",
        )  # fmt: skip
        (sink, address), (sender, _) = self.udp(), self.udp()
        self.run_lines(f"msg p:right connect {address}")
        to = ("127.0.0.1", int(self.ask("source:", "getname").rpartition(":")[2]))
        source, tee = self.node("source:"), self.node("t:")
        hooks = [*tee.hooks.values(), *(hook.peer for hook in tee.hooks.values())]
        hooks += [node.hooks["right"], node.hooks["right"].peer]
        so = source.so

        async def send() -> None:
            before = so.rcvpackets
            for number in range(ROUND):
                sender.sendto(bytes([number] * 9), to)
            if source.valid:
                await self.until(lambda: so.rcvpackets == before + ROUND or not source.valid)

        for _ in range(20):
            await send()
        self.assertEqual(short, source._route is not None)
        await self.datagrams(sink, 20 * ROUND)
        node.between = between
        await send()
        await send()
        await self.until(lambda: not len(self.net.work))
        told = {
            "got": [data for data, _ in await self.datagrams(sink, 0)],
            "hooks": [(hook.packets, hook.bytes, hook.drops, hook.valid) for hook in hooks],
            "tee": tee.status(),
            "copied": dict(self.local.received),
            "bugs": list(map(repr, self.bugs)),
        }
        self.assertIsNone(node.between)
        self.bugs.clear()
        self.local.received.clear()
        for one in list(self.net.nodes.values()):
            if one is not self.local:
                self.net.rmnode(one)
        return told

    async def same(self, between: Callable[[Passer], object], what: str) -> dict[str, Any]:
        """Return what happens, once with the route and once without, which is the same."""
        short = await self.result(between, True)
        with_routes = Facing._shorten
        self.patch(Facing, "_shorten", lambda node, hook: None)
        long = await self.result(between, False)
        self.patch(Facing, "_shorten", with_routes)
        self.assertEqual(long, short, what)
        return short

    async def test_edited_within(self):
        """Edits, ends and cuts within a delivery lose and count the same as without a route."""
        for line in LINES:

            def between(node: Passer, line: str = line) -> None:
                self.run_lines(line)

            await self.same(between, line)

    async def test_taken_out(self):
        """A node that is taken out in the middle of a batch passes on the rest of it."""
        told = await self.same(lambda node: self.run_lines(f"msg p: {BYPASS}"), "bypass")
        self.assertEqual([bytes([number] * 9) for number in range(ROUND)] * 2, told["got"])
        self.assertEqual([{}] * 6, [drops for _, _, drops, _ in told["hooks"]])

    async def test_failing(self):
        """What a node does not take, for an errno or for a bug, is counted the same."""
        await self.same(_fails(OSError(EPERM, "no")), "errno")
        told = await self.same(_fails(ValueError("a bug")), "bug")
        self.assertEqual(["ValueError('a bug')"], told["bugs"])

    async def test_waiting(self):
        """Packets that wait in the work list are not overtaken by those that come later."""
        told = await self.same(_wait, "waiting")
        rounds = [bytes([number] * 9) for number in range(ROUND)]
        self.assertEqual([*rounds, b"first", b"second", *rounds], told["got"])
