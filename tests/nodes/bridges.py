"""What the tests of bridges share: frames, nodes to link to, and a case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from ngksock.interfaces import INodeType
from ngksock.netgraph import Batch, Hook, Message, Node, Packet
from ngksock.netgraph.layout import ETHER
from ngksock.nodes.bridge import bridge
from ngksock.nodes.bridge import layouts as of
from ngksock.plugin import NodeType
from ngksock.testing import GraphTestCase, RecordingNode

LINKS = ("link0", "link1", "link2")
A, B, C, D = (f"02:04:06:00:00:0{n}" for n in range(1, 5))
ALL, GROUP = "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01"
HOST = '{ numHosts=1 hosts=[ { addr=02:04:06:00:00:01 hook="link0" age=12 staleness=3 } ] }'
"""The example of the spec (netgraph.md §10.11)."""


def frame(to: str, source: str, text: str = "") -> bytes:
    """Return an Ethernet frame."""
    return ETHER.parse(to) + ETHER.parse(source) + b"\x08\x00" + text.encode()


class Keeper(Node):
    """Keeps the very objects that arrive."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Packet | Batch] = []

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        self.kept.append(packet)

    def rcvbatch(self, hook: Hook, batch: Batch) -> None:
        self.kept.append(batch)


class Cutter(RecordingNode):
    """Removes the hook ``link0`` of the bridge beyond when a packet arrives."""

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        super().rcvdata(hook, packet)
        if "link0" in hook.peer.node.hooks:
            self.graph.rmhook(hook.peer.node.hooks["link0"])


class BridgeTestCase(GraphTestCase):
    node_types: ClassVar[Sequence[INodeType]] = (
        NodeType("keeper", 1, Keeper),
        NodeType("cutter", 2, Cutter),
    )

    def bridge(self, *hooks: str, name: str = "b") -> None:
        """Make a bridge with hooks to the test's own of the same names."""
        first, *rest = hooks
        self.graph(f"mkpeer bridge {first} {first}", f"name {first} {name}")
        self.graph(*(f"connect {name}: {hook} {hook}" for hook in rest))

    def hosts(self) -> dict[str, str]:
        """Return which host is on which hook, as gettable tells."""
        self.net.send(self.local, "b:", Message(bridge.cookie, 7))
        table = of.TABLE.unpack(self.local.inbox.pop().message.data)
        return {ETHER.unparse(host.addr): host.hook for host in table.hosts}

    def stats(self, number: int) -> str:
        """Return the counters of a link."""
        return self.msg("b:", f"getstats {number}") or ""

    def heard(self, hook: str, *datas: bytes) -> set[str]:
        """Send *datas* out of a hook one by one, and return which others received them."""
        for data in datas:
            self.send(hook, data)
        return set(self.take())
