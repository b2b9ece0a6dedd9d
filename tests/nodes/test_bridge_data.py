"""bridge: what it does with frames (netgraph.md §10.11)."""

from __future__ import annotations

from errno import EINVAL, EIO, ELOOP, EPERM
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from ngksock.netgraph import EOF, Batch, Packet
from ngksock.netgraph.edges import connect
from ngksock.nodes.bridge import bridge
from ngksock.nodes.bridge.node import Bridge
from ngksock.packet import Record
from ngksock.testing import Sandbox
from tests.nodes.bridges import (
    ALL,
    GROUP,
    HOST,
    LINKS,
    A,
    B,
    BridgeTestCase,
    C,
    D,
    Keeper,
    frame,
)

HOOKS = ("link0", "link1", "link2", "uplink1")
# Most frames are sound, and from a host that is where it sends from.
SENDERS = dict(zip(HOOKS, (A, B, C, D), strict=True))
TARGETS = st.sampled_from([A, B, B, C, C, D, ALL, GROUP])


def _datas(hook: str) -> st.SearchStrategy[tuple[str, list[bytes]]]:
    sources = st.sampled_from([SENDERS[hook]] * 6 + ["02:04:06:00:00:09", D, A, GROUP])
    frames = st.builds(frame, TARGETS, sources, st.sampled_from(["", "x"]))
    few = st.binary(max_size=13)
    return st.tuples(st.just(hook), st.lists(frames | frames | frames | few, max_size=10))


RUNS = st.lists(st.sampled_from(HOOKS).flatmap(_datas), min_size=1, max_size=4)


class LearningTests(BridgeTestCase):
    def test_learned(self) -> None:
        """A frame to an address that was learned goes to its link alone, others everywhere."""
        self.bridge(*LINKS)
        self.assertEqual({"link1", "link2"}, self.heard("link0", frame(B, A)))
        self.assertEqual({"link0"}, self.heard("link1", frame(A, B)))
        self.assertEqual({"link1"}, self.heard("link2", frame(B, C)))
        self.assertEqual({A: "link0", B: "link1", C: "link2"}, self.hosts())

    def test_same_link(self) -> None:
        """A frame to the link it came from is dropped; that is no error."""
        self.bridge(*LINKS)
        self.send("link0", frame(ALL, A))
        self.take()
        self.assertEqual(set(), self.heard("link0", frame(A, B)))
        self.assertEqual({}, self.local.hooks["link0"].drops)

    def test_groups(self) -> None:
        """Frames to group addresses go to all others."""
        self.bridge(*LINKS)
        self.assertEqual({"link1", "link2"}, self.heard("link0", frame(ALL, A)))
        self.assertEqual({"link0", "link2"}, self.heard("link1", frame(GROUP, B)))

    def test_short(self) -> None:
        """Frames shorter than a header are EINVAL, from nothing to 13 bytes; 14 are enough."""
        self.bridge(*LINKS)
        for size in range(14):
            data = frame(ALL, A)[:size]
            self.assertEqual(EINVAL, self.errno(partial(self.send, "link0", data)), size)
        self.send_batch("link0", [frame(ALL, A)[:13], frame(ALL, A), b""])
        self.assertEqual({EINVAL: 16}, self.local.hooks["link0"].drops)
        self.assertEqual({name: [frame(ALL, A)] for name in LINKS[1:]}, self.take())
        self.assertEqual(
            "{ recvOctets=14 recvPackets=1 recvBroadcast=1 recvRunts=16 }", self.stats(0)
        )

    def test_invalid(self) -> None:
        """A frame from a group address is EINVAL, and nobody is learned."""
        self.bridge(*LINKS)
        for source in (ALL, GROUP):
            data = frame(B, source)
            self.assertEqual(EINVAL, self.errno(partial(self.send, "link0", data)))
        self.assertEqual({}, self.hosts())
        self.assertEqual("{ recvInvalid=2 }", self.stats(0))

    def test_view(self) -> None:
        """A frame may be a view of bytes that could change."""
        self.bridge(*LINKS)
        for hook, data in (("link0", frame(ALL, A)), ("link1", frame(A, B))):
            self.local.hooks[hook].send_data(Packet(memoryview(bytearray(data))))
            self.local.hooks[hook].send_batch(Batch([Packet(memoryview(bytearray(data)))] * 2))
        self.assertEqual({A: "link0", B: "link1"}, self.hosts())
        self.assertEqual([frame(A, B)] * 3, self.received["link0"])

    def test_move(self) -> None:
        """A host that was on its link for minStableAge moves when another one hears it."""
        self.bridge(*LINKS)
        self.send("link0", frame(ALL, A))
        self.pass_time(1)
        self.send("link1", frame(ALL, A))
        self.assertEqual({A: "link1"}, self.hosts())
        self.take()
        self.assertEqual({"link1"}, self.heard("link2", frame(A, C)))

    def test_ages(self) -> None:
        """The table tells since when a host is on its link, and when it was heard."""
        self.bridge(*LINKS)
        self.send("link0", frame(ALL, A))
        self.pass_time(9)
        self.send("link0", frame(ALL, A))
        self.pass_time(3)
        self.assertEqual(HOST, self.msg("b:", "gettable"))
        self.graph("msg b: setconfig { maxStaleness=4294967295 minStableAge=1 }")
        self.pass_time(70_000)
        self.assertIn("age=65535 staleness=65535 }", self.msg("b:", "gettable") or "")

    def test_ageing(self) -> None:
        """A host that is not heard for maxStaleness vanishes, and the timer with the last one."""
        self.bridge(*LINKS)
        self.assertEqual([], self.clock.getDelayedCalls())
        self.send("link0", frame(ALL, A))
        self.pass_time(500)
        self.send("link1", frame(A, B))
        self.send("link1", frame(A, C))
        self.pass_time(399)
        self.send("link1", frame(A, C))
        self.assertEqual({A: "link0", B: "link1", C: "link1"}, self.hosts())
        self.pass_time(1)
        self.assertEqual({B: "link1", C: "link1"}, self.hosts())
        self.pass_time(500)
        self.assertEqual({C: "link1"}, self.hosts())
        self.pass_time(399)
        self.assertEqual({}, self.hosts())
        self.assertEqual([], self.clock.getDelayedCalls())
        self.send("link0", frame(ALL, A))
        self.assertEqual(1, len(self.clock.getDelayedCalls()))

    def test_ageing_changes(self) -> None:
        """A shorter maxStaleness holds for who is there; with 0 all vanish each second."""
        self.bridge(*LINKS)
        self.send("link0", frame(ALL, A))
        self.pass_time(10)
        self.send("link0", frame(ALL, B))
        self.graph("msg b: setconfig { maxStaleness=10 minStableAge=1 }")
        self.pass_time(1)
        self.assertEqual({B: "link0"}, self.hosts())
        self.graph("msg b: setconfig {}")
        self.pass_time(1)
        self.assertEqual({}, self.hosts())

    def test_clock_set_back(self) -> None:
        """A clock that is set back makes no loop of a move, and no age of its own."""
        self.bridge(*LINKS)
        self.clock.rightNow = 1000.0
        self.send("link0", frame(ALL, A))
        self.clock.rightNow = 0.0
        self.assertEqual(f'{{ numHosts=1 hosts=[ {{ addr={A} hook="link0" }} ] }}', self.msg(
            "b:", "gettable"
        ))  # fmt: skip
        self.send("link1", frame(ALL, A))
        self.assertEqual({A: "link1"}, self.hosts())

    def test_link_removed(self) -> None:
        """A link that is removed takes its hosts along, and no others."""
        self.bridge(*LINKS)
        for number, source in enumerate((A, B, C)):
            self.send(f"link{number}", frame(ALL, source))
        self.send("link0", frame(ALL, D))
        self.take()
        self.graph("rmhook link0")
        self.assertEqual({B: "link1", C: "link2"}, self.hosts())
        self.assertEqual({"link2"}, self.heard("link1", frame(A, B)))

    def test_mark(self) -> None:
        """An end-of-file mark ends one link's stream alone: it is dropped, and not counted."""
        self.bridge(*LINKS)
        self.send("link0", EOF)
        self.send_batch("link0", [EOF, frame(ALL, A), EOF])
        self.assertEqual({name: [frame(ALL, A)] for name in LINKS[1:]}, self.received)
        self.assertEqual("{ recvOctets=14 recvPackets=1 recvBroadcast=1 }", self.stats(0))
        self.assertEqual({}, self.local.hooks["link0"].drops)

    def test_failures(self) -> None:
        """A link that fails does not stop the others; the last error is the sender's."""
        self.bridge(*LINKS)
        self.local.refuse("rcvdata", EPERM, "link2")
        self.assertEqual(EPERM, self.errno(lambda: self.send("link0", frame(ALL, A))))
        self.assertEqual({"link1": [frame(ALL, A)]}, self.received)


class BatchTests(BridgeTestCase):
    def keepers(self) -> dict[str, list[Packet | Batch]]:
        """Make a bridge with three links to nodes that keep what they get, and to our link0."""
        self.bridge("link0")
        kept = {}
        for name in ("link1", "link2", "link3"):
            self.graph(f"mkpeer b: keeper {name} x")
            node = self.node(f"b:{name}")
            assert isinstance(node, Keeper)
            kept[name] = node.kept
            node.hooks["x"].send_data(Packet(frame(ALL, f"02:00:00:00:00:0{name[-1]}")))
        for kepts in kept.values():
            kepts.clear()
        return kept

    def sent(self, *datas: bytes | Packet) -> Batch:
        """Send one batch out of link0, and return it."""
        batch = Batch(d if isinstance(d, Packet) else Packet(d) for d in datas)
        self.local.hooks["link0"].send_batch(batch)
        return batch

    def test_one_link(self) -> None:
        """A batch for one link is handed on as the same object."""
        kept = self.keepers()
        batch = self.sent(*[frame("02:00:00:00:00:01", A), frame("02:00:00:00:00:01", B)] * 2)
        self.assertEqual([batch], kept["link1"])
        self.assertIs(batch, kept["link1"][0])
        self.assertEqual(([], []), (kept["link2"], kept["link3"]))

    def test_flood(self) -> None:
        """A batch of broadcasts is handed to all links as the same object."""
        kept = self.keepers()
        batch = self.sent(frame(ALL, A), frame(ALL, B))
        for kepts in kept.values():
            self.assertEqual(1, len(kepts))
            self.assertIs(batch, kepts[0])

    def test_split(self) -> None:
        """A batch is split by destination; each link gets one share, packets are not copied."""
        kept = self.keepers()
        to1, to2 = (Record(frame(f"02:00:00:00:00:0{n}", A)) for n in (1, 2))
        self.sent(to1, to2, to1, to2, to1)
        self.assertEqual([[to1] * 3], kept["link1"])
        self.assertEqual([[to2] * 2], kept["link2"])
        share = kept["link1"][0]
        assert isinstance(share, Batch)
        self.assertEqual(3 * 14, share.nbytes)
        self.assertIs(to1, share[0])

    def test_order(self) -> None:
        """Each link sees its frames in the order of the batch, floods among them."""
        kept = self.keepers()
        first, flood, unknown, last = (
            Packet(frame(to, A)) for to in ("02:00:00:00:00:01", ALL, D, "02:00:00:00:00:01")
        )
        self.sent(first, first, flood, flood, unknown, last)
        self.assertEqual([[first, first], [flood, flood], [unknown], [last]], kept["link1"])
        self.assertEqual([[flood, flood], [unknown]], kept["link2"])
        self.assertIs(kept["link2"][0], kept["link3"][0])

    def test_order_between(self) -> None:
        """A frame to one link stays between the two floods it came between."""
        kept = self.keepers()
        flood, one = Packet(frame(ALL, A)), Packet(frame("02:00:00:00:00:01", A))
        self.sent(flood, one, flood, one)
        self.assertEqual([[flood], [one], [flood], [one]], kept["link1"])

    @settings(max_examples=150, deadline=None, database=None, derandomize=True)
    @given(RUNS, st.booleans())
    def test_same_effect(self, runs: list[tuple[str, list[bytes]]], private: bool) -> None:
        """Frames in batches have the same effect as one by one, counters and table included."""
        effects = []
        for batches in (False, True):
            sandbox = Sandbox(bridge)
            node = sandbox.graph.make(bridge)
            assert isinstance(node, Bridge)
            for name in HOOKS:
                connect(sandbox.graph, sandbox.local, name, node, name)
            node.setprivate(int(private))
            for name, source in zip(HOOKS, (A, B, C), strict=False):
                sandbox.local.send(name, frame(ALL, source))
            for name, datas in runs:
                if batches:
                    sandbox.local.send_batch(name, datas)
                else:
                    for data in datas:
                        self.errno(partial(sandbox.local.send, name, data))
            ends = [*sandbox.local.hooks.values(), *node.hooks.values()]
            counters = [(hook.packets, hook.bytes, hook.drops) for hook in ends]
            stats = [hook.private.stats for hook in node.hooks.values()]
            effects.append((dict(sandbox.local.received), counters, stats, node.gettable()))
            sandbox.close()
        self.assertEqual(*effects)

    def test_losses(self) -> None:
        """What a batch loses is counted where it was sent, by errno, and the rest goes on."""
        kept = self.keepers()
        moved = frame(ALL, "02:00:00:00:00:01")
        self.sent(b"", frame(D, ALL), frame(ALL, A), moved, frame(ALL, A))
        self.assertEqual({EINVAL: 2, ELOOP: 2}, self.local.hooks["link0"].drops)
        self.assertEqual(1, len(kept["link2"]))

    def test_cut(self) -> None:
        """If a delivery removes the link, the rest of the batch is lost (EIO), nobody learned."""
        self.bridge("link0", "link1")
        self.graph("mkpeer b: cutter link2 x")
        ours = self.local.hooks["link0"]
        self.sent(frame(ALL, A), frame(D, A), frame(D, B), frame(ALL, C))
        self.assertEqual({EIO: 3}, ours.drops)
        self.assertEqual({}, self.hosts())
        self.assertEqual(2, len(self.node("b:").hooks))
