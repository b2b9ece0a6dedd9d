"""bridge: what FreeBSD's own tests of it assert (netgraph.md §11.3), loops, and large ones."""

from __future__ import annotations

import sys
import tracemalloc
from errno import ELOOP, ENOBUFS, ENOENT, ENOMEM

from ngksock.netgraph import Node, Packet
from ngksock.netgraph.edges import connect
from ngksock.netgraph.worklist import CAP
from ngksock.nodes.bridge import layouts as of
from ngksock.nodes.bridge import node as bridge_node
from ngksock.nodes.bridge.node import MOST_HOSTS, Bridge
from ngksock.plugin import NodeType
from tests.nodes.bridges import ALL, GROUP, LINKS, A, B, BridgeTestCase, C, D, Keeper, frame

UNKNOWN = "02:aa:aa:aa:aa:aa"
MUTE = "link1 is muted for 60 s"


class Silent(Node):
    """Takes packets, and is done."""


class FreeBSDTests(BridgeTestCase):
    """The numbers are those of the list."""

    def counts(self, out: str, data: bytes) -> list[int]:
        """Send a frame, and return how many arrive at l0, u1, u2, l3."""
        self.send(out, data)
        found = self.take()
        return [len(found.get(name, ())) for name in ("link0", "uplink1", "uplink2", "link3")]

    def test_14_basic(self) -> None:
        """Unknown to the two others, learned to one; the table forgets a link's host with it."""
        self.bridge(*LINKS)
        macs = dict(zip(LINKS, (A, B, C), strict=True))
        for out, source in macs.items():
            self.assertEqual({*LINKS} - {out}, self.heard(out, frame(UNKNOWN, source)))
        for out, source in macs.items():
            for to, address in macs.items():
                self.assertEqual({to} - {out}, self.heard(out, frame(address, source)))
        self.assertEqual(3, len(self.hosts()))
        self.graph("rmhook link1")
        self.assertEqual({A: "link0", C: "link2"}, self.hosts())
        self.assertEqual({"link2"}, self.heard("link0", frame(UNKNOWN, A)))

    def test_15_persistence(self) -> None:
        """A persistent bridge outlives its only hook, and can be shut down by name."""
        self.bridge("link0")
        self.assertIsNone(self.msg("b:", "setpersistent"))
        self.graph("rmhook link0", "shutdown b:")
        self.assertEqual(ENOENT, self.errno("show b:"))

    def test_16_loop(self) -> None:
        """Two bridges: one link passes a frame once; with a second one the loop is detected."""
        self.bridge("link0")
        self.graph("mkpeer bridge far link0", "name far c", "connect b: c: link1 link1")
        self.assertEqual({"far": [frame(ALL, A)]}, self.looped(frame(ALL, A)))
        self.graph("connect b: c: link2 link2")
        self.pass_time(1)
        self.assertEqual({"far": [frame(ALL, B)]}, self.looped(frame(ALL, B)))
        self.assertEqual({"far": [frame(UNKNOWN, A)]}, self.looped(frame(UNKNOWN, A)))
        self.assertEqual("link0", self.hosts()[B])
        self.assertIn("muted: link", self.graph("status b:"))

    def looped(self, data: bytes) -> dict[str, list[bytes | Packet]]:
        """Send a frame out of link0, which may be ELOOP; return who received what."""
        self.assertIn(self.errno(lambda: self.send("link0", data)), (0, ELOOP))
        self.settle()
        return self.take()

    def test_17_many_unicasts(self) -> None:
        """A thousand links, a frame from each to one that was learned: all arrive, only there."""
        self.bridge("link0")
        self.send("link0", frame(ALL, A))
        for number in range(1, 1001):
            name = f"link{number}"
            connect(self.net, self.local, name, self.node("b:"), name)
            self.send(name, frame(A, f"02:00:00:00:{number >> 8:x}:{number & 255:x}"))
        self.assertEqual({"link0": 1000}, {k: len(v) for k, v in self.received.items()})
        self.assertEqual(1001, len(self.hosts()))

    def test_18_many_broadcasts(self) -> None:
        """A thousand links, a broadcast from each: all arrive at the first."""
        self.bridge("link0")
        node = self.node("b:")
        for number in range(1, 1001):
            name = f"link{number}"
            connect(self.net, self.local, name, node, name)
            self.send(name, frame(ALL, f"02:00:00:00:{number >> 8:x}:{number & 255:x}"))
            self.local.events.clear()
        self.settle()
        self.assertEqual(1000, len(self.received["link0"]))
        self.assertEqual(999, len(self.received["link1"]))

    def modes(self, *hooks: str) -> dict[str, list[int]]:
        """Return what items 19 and 20 send: who received it, of l0, u1, u2, l3."""
        self.bridge(*hooks)
        seen = {
            "unknown from u1": self.counts("uplink1", frame(UNKNOWN, B)),
            "unknown from l0": self.counts("link0", frame(UNKNOWN, A)),
            "known from u2": self.counts("uplink2", frame(A, C)),
            "known from l3": self.counts("link3", frame(A, D)),
            "on an uplink from u1": self.counts("uplink1", frame(C, B)),
            "on an uplink from l0": self.counts("link0", frame(B, A)),
            "multicast from u1": self.counts("uplink1", frame(GROUP, B)),
            "multicast from l0": self.counts("link0", frame(GROUP, A)),
            "broadcast from u1": self.counts("uplink1", frame(ALL, B)),
            "broadcast from l0": self.counts("link0", frame(ALL, A)),
        }
        self.assertEqual({A: "link0", D: "link3"}, self.hosts())
        return seen

    def test_19_private(self) -> None:
        """The first hook is an uplink: only uplinks get frames to addresses nobody knows."""
        self.assertEqual(
            {
                "unknown from u1": [0, 0, 1, 0],
                "unknown from l0": [0, 1, 1, 0],
                "known from u2": [1, 0, 0, 0],
                "known from l3": [1, 0, 0, 0],
                "on an uplink from u1": [0, 0, 1, 0],
                "on an uplink from l0": [0, 1, 1, 0],
                "multicast from u1": [1, 0, 1, 1],
                "multicast from l0": [0, 1, 1, 1],
                "broadcast from u1": [1, 0, 1, 1],
                "broadcast from l0": [0, 1, 1, 1],
            },
            self.modes("uplink1", "uplink2", "link0", "link3"),
        )

    def test_20_classic(self) -> None:
        """The first hook is a link: all get frames to addresses nobody knows."""
        self.assertEqual(
            {
                "unknown from u1": [1, 0, 1, 1],
                "unknown from l0": [0, 1, 1, 1],
                "known from u2": [1, 0, 0, 0],
                "known from l3": [1, 0, 0, 0],
                "on an uplink from u1": [1, 0, 1, 1],
                "on an uplink from l0": [0, 1, 1, 1],
                "multicast from u1": [1, 0, 1, 1],
                "multicast from l0": [0, 1, 1, 1],
                "broadcast from u1": [1, 0, 1, 1],
                "broadcast from l0": [0, 1, 1, 1],
            },
            self.modes("link0", "uplink1", "uplink2", "link3"),
        )

    def test_21_uplinks(self) -> None:
        """Uplinks are supported."""
        self.bridge("uplink1")


class LoopTests(BridgeTestCase):
    def loop(self) -> None:
        """Let A be heard on link0 and, too soon, on link1, which knows B."""
        self.bridge(*LINKS)
        self.send("link0", frame(ALL, A))
        self.send("link1", frame(ALL, B))
        self.take()
        self.assertEqual(ELOOP, self.errno(lambda: self.send("link1", frame(ALL, A))))

    def test_detected(self) -> None:
        """A host that moves too soon stays; its frame is lost, the new link muted and emptied."""
        self.loop()
        self.assertEqual({}, self.received)
        self.assertEqual({A: "link0"}, self.hosts())
        self.assertEqual(ELOOP, self.errno(lambda: self.send("link1", frame(ALL, B))))
        self.send_batch("link1", [frame(ALL, B), frame(A, B)])
        self.assertEqual({ELOOP: 4}, self.local.hooks["link1"].drops)
        self.assertIn("recvPackets=2", self.stats(1))
        self.assertIn("loopDrops=4 loopDetects=1 }", self.stats(1))
        self.assertEqual({"link1", "link2"}, self.heard("link0", frame(ALL, A)))

    def test_told(self) -> None:
        """The operator is told once, unless debugLevel is 0."""
        self.loop()
        self.errno(lambda: self.send("link1", frame(ALL, A)))
        self.assertEqual(
            [f"bridge b: a loop: {A} moved from link0 to link1 within 1 s; {MUTE}"],
            self.sandbox.reports,
        )
        self.graph("msg b: reset", "msg b: setconfig { loopTimeout=60 minStableAge=1 }")
        self.send("link0", frame(ALL, A))
        self.assertEqual(ELOOP, self.errno(lambda: self.send("link1", frame(ALL, A))))
        self.assertEqual(1, len(self.sandbox.reports))

    def test_ends(self) -> None:
        """After loopTimeout the link is heard again."""
        self.loop()
        self.pass_time(59.5)
        self.assertEqual(ELOOP, self.errno(lambda: self.send("link1", frame(ALL, B))))
        self.assertIn("muted: link1", self.graph("status b:"))
        self.pass_time(0.5)
        self.assertNotIn("muted", self.graph("status b:"))
        self.assertEqual({"link0", "link2"}, self.heard("link1", frame(ALL, B)))

    def test_stable(self) -> None:
        """With minStableAge 0 no move is a loop; with loopTimeout 0 no link is muted."""
        self.bridge(*LINKS)
        self.graph("msg b: setconfig { loopTimeout=60 maxStaleness=900 }")
        for name in LINKS:
            self.send(name, frame(ALL, A))
            self.assertEqual({A: name}, self.hosts())
        self.graph("msg b: setconfig { maxStaleness=900 minStableAge=5 }")
        self.pass_time(4)
        self.take()
        self.assertEqual(ELOOP, self.errno(lambda: self.send("link0", frame(ALL, A))))
        self.assertEqual({"link1", "link2"}, self.heard("link0", frame(ALL, B)))
        self.pass_time(1)
        self.send("link0", frame(ALL, A))
        self.assertEqual({A: "link0", B: "link0"}, self.hosts())

    def test_uplink(self) -> None:
        """A host that was learned moves to an uplink that hears it, as to any other link."""
        self.bridge("link0", "uplink1")
        self.send("link0", frame(ALL, A))
        self.pass_time(2)
        self.send("uplink1", frame(ALL, A))
        self.assertEqual({A: "uplink1"}, self.hosts())
        self.assertEqual(ELOOP, self.errno(lambda: self.send("link0", frame(ALL, A))))
        self.assertEqual({A: "uplink1"}, self.hosts())

    def test_alive(self) -> None:
        """Two bridges, two links, batches both ways: it comes to rest, each frame once."""
        self.bridge("link0")
        self.graph("mkpeer bridge far link0", "name far c")
        self.graph("connect b: c: link1 link1", "connect b: c: link2 link2")
        for _ in range(20):
            self.send_batch("link0", [frame(ALL, A)] * 64)
            self.send_batch("far", [frame(ALL, B)] * 64)
            self.settle()
        self.assertTrue(all(len(datas) <= 20 * 64 for datas in self.received.values()))


class LargeTests(BridgeTestCase):
    node_types = (*BridgeTestCase.node_types, NodeType("silent", 4, Silent))

    def large(self, links: int) -> Bridge:
        """Make a bridge with so many links to one silent node, and our link0."""
        self.bridge("link0")
        self.graph("mkpeer b: silent link1 1", "name b:link1 s")
        node, far = self.node("b:"), self.node("s:")
        for number in range(2, links):
            connect(self.net, far, str(number), node, f"link{number}")
        assert isinstance(node, Bridge)
        return node

    def calls(self, data: bytes) -> int:
        """Send a frame out of link0, and count the calls of functions that are made for it."""
        events: list[str] = []
        before = sys.getprofile()
        sys.setprofile(lambda frame, event, arg: events.append(event))
        try:
            self.send("link0", data)
        finally:
            sys.setprofile(before)
        return len(events)

    def test_hooks(self) -> None:
        """4,000 hooks: a frame to one costs as much as ever, and all hooks can be removed."""
        node = self.large(3)
        self.send("link0", frame(ALL, A))
        self.node("s:").hooks["2"].send_data(Packet(frame(ALL, B)))
        few = self.calls(frame(B, A))
        self.graph("shutdown b:")
        node = self.large(4000)
        far = self.node("s:")
        self.send("link0", frame(ALL, A))
        far.hooks["3999"].send_data(Packet(frame(A, B)))
        self.assertEqual(few, self.calls(frame(B, A)))
        sent = {name: hook.packets for name, hook in node.hooks.items() if hook.packets > 1}
        self.assertEqual({"link3999": 2}, sent)
        self.settle()
        self.assertEqual({}, node.hooks["link3998"].drops)
        self.graph("shutdown s:")
        self.assertEqual({A: "link0"}, self.hosts())

    def test_hooks_shut_down(self) -> None:
        """A bridge with 4,000 hooks, each with a host, ends; a batch to all is bounded."""
        node = self.large(4000)
        for number, hook in enumerate(self.node("s:").hooks.values()):
            hook.peer.private.hosts.add(number.to_bytes(6))
            node._put(hook.peer.private, number.to_bytes(6))
        self.send_batch("link0", [frame(ALL, A)] * 64)
        self.assertLessEqual(self.net.work.held, CAP)
        lost = sum(hook.drops.get(ENOBUFS, 0) for hook in node.hooks.values())
        self.assertEqual(64 * 3999, lost + sum(
            h.packets - h.drops.get(ENOBUFS, 0) for n, h in node.hooks.items() if n != "link0"
        ))  # fmt: skip
        self.graph("shutdown b:")
        self.assertEqual({}, node.hosts)

    def test_hosts(self) -> None:
        """100,000 addresses are learned in 300 bytes each, and looked through when one is due."""
        self.bridge("link0", "link1")
        self.graph("mkpeer b: keeper link2 x")
        node, keeper = self.node("b:"), self.node("b:link2")
        assert isinstance(node, Bridge) and isinstance(keeper, Keeper)
        send = keeper.hooks["x"].send_data
        send(Packet(frame(ALL, A)))
        self.send("link0", frame(A, B))
        few = self.calls(frame(A, B))
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        before = tracemalloc.get_traced_memory()[0]
        head, tail = frame(B, A)[:6], frame(B, A)[12:]
        for number in range(100_000):
            send(Packet(head + b"\x06" + number.to_bytes(5) + tail))
            if not number % 1000:
                self.local.forget()
        self.local.forget()
        used = tracemalloc.get_traced_memory()[0] - before
        self.assertLess(used, 300 * 100_000)
        tracemalloc.stop()
        self.assertEqual(100_002, len(node.hosts))
        self.assertEqual(few, self.calls(frame(A, B)))
        hosts = self.hosts()
        self.assertEqual((100_002, "link0", "link2"), (len(hosts), hosts[B], hosts[A]))
        self.pass_time(450)
        self.assertEqual(0.0, node.oldest)  # it has not looked through the table
        self.send("link0", frame(A, B))
        self.pass_time(450)
        self.assertEqual({B: "link0"}, self.hosts())

    def test_full(self) -> None:
        """At the limit an address is not learned: that is counted, frames to it go to all."""
        self.bridge(*LINKS)
        node = self.node("b:")
        assert isinstance(node, Bridge)
        self.patch(bridge_node, "MOST_HOSTS", 2)
        self.send("link0", frame(ALL, A))
        self.send("link1", frame(ALL, B))
        self.send("link2", frame(B, C))
        self.send_batch("link2", [frame(B, C)] * 3)
        self.assertEqual({A: "link0", B: "link1"}, self.hosts())
        self.assertIn("memoryFailures=4 }", self.stats(2))
        self.take()
        self.assertEqual({"link1", "link2"}, self.heard("link0", frame(C, A)))
        full = f'msg b: movehost {{ addr={D} hook="link0" }}'
        self.assertEqual(ENOMEM, self.errno(full))
        self.pass_time(1)
        self.send("link2", frame(A, B))  # one that is known can still move
        self.assertEqual({A: "link0", B: "link2"}, self.hosts())
        self.graph("rmhook link0")
        self.send("link2", frame(B, C))
        self.assertEqual({B: "link2", C: "link2"}, self.hosts())
        self.assertGreater(MOST_HOSTS, 100_000)
        self.assertEqual(of.Table(), of.TABLE.unpack(bytes(4)))
