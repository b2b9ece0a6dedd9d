"""hub: netgraph.md §10.1, and what FreeBSD's own tests of it assert (§11.1, §11.2)."""

from __future__ import annotations

from errno import EADDRINUSE, EEXIST, EINVAL, EIO, ENOBUFS, ENOENT, EPERM

from ngksock.netgraph import Batch, Hook, Message, Node, Packet, Tag
from ngksock.netgraph.worklist import CAP
from ngksock.nodes.hub import hub
from ngksock.plugin import NodeType, find_type
from ngksock.testing import GraphTestCase, RecordingNode, check_node_type


class Relay:
    """A third party's node: no base class, and it knows ``rcvdata`` alone."""

    hooks: dict[str, Hook]

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        for other in list(self.hooks.values()):
            if other is not hook:
                other.send_data(packet)


class Cutter(RecordingNode):
    """Removes the hook ``c`` of the node beyond when a packet arrives."""

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        super().rcvdata(hook, packet)
        self.graph.rmhook(hook.peer.node.hooks["c"])


class Keeper(Node):
    """Keeps the very objects that arrive."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Packet | Batch] = []

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        self.kept.append(packet)

    def rcvbatch(self, hook: Hook, batch: Batch) -> None:
        self.kept.append(batch)


class HubTestCase(GraphTestCase):
    node_types = (
        NodeType("relay", 1, Relay),
        NodeType("cutter", 2, Cutter),
        NodeType("keeper", 3, Keeper),
    )

    def hub(self, *hooks: str, name: str = "h") -> None:
        """Make a hub with hooks to the test's own of the same names."""
        first, *rest = hooks
        self.graph(f"mkpeer hub {first} {first}", f"name {first} {name}")
        self.graph(*(f"connect {name}: {hook} {hook}" for hook in rest))


class BasicsTests(HubTestCase):
    def test_self_link(self) -> None:
        """A packet out of one end of a node's link to itself arrives once at the other (11.1)."""
        self.graph("connect . a b")
        self.send("a", b"hello")
        self.assertEqual({"b": [b"hello"]}, self.received)

    def test_blanks(self) -> None:
        """A name with a blank works in paths; to give it again changes nothing (11.2)."""
        self.graph("mkpeer hub a a", 'name a "test hub"', 'name a "test hub"')
        self.graph('connect "test hub:" b b', 'shutdown "test hub:"')
        self.assertEqual(ENOENT, self.errno("show a"))

    def test_named_hub(self) -> None:
        """A packet goes to all others, and to fewer when a hook is removed (11.3)."""
        self.hub("a", "b", "c", name="test")
        self.send("a", b"1")
        self.assertEqual({"b": [b"1"], "c": [b"1"]}, self.take())
        self.graph("rmhook b")
        self.send("a", b"2")
        self.assertEqual({"c": [b"2"]}, self.take())
        self.graph("shutdown test:")

    def test_collisions(self) -> None:
        """A hook is linked once, never to itself, and a name belongs to one node (11.5)."""
        self.hub("a")
        self.assertEqual(EEXIST, self.errno("connect . a b"))
        self.assertEqual(EEXIST, self.errno("connect . b b"))
        self.assertEqual(EADDRINUSE, self.errno("name . h"))

    def test_many_unread(self) -> None:
        """What a link accepted can be read, nothing lost and nothing extra (11.6)."""
        self.graph("connect . a b")
        for _ in range(1000):
            self.send("a", b"12345")
        self.assertEqual({"b": [b"12345"] * 1000}, self.received)

    def test_no_such_node(self) -> None:
        """To shut down a name that does not exist is an error (11.13)."""
        self.assertEqual(ENOENT, self.errno("shutdown nobody:"))


class HubTests(HubTestCase):
    def test_conforms(self) -> None:
        """A hub keeps the promises of all types, persistent or not."""
        check_node_type(hub)
        check_node_type(hub, setup=["setpersistent"])

    def test_found(self) -> None:
        """Its name finds it, and its cookie is FreeBSD's."""
        self.assertIs(hub, find_type("hub"))
        self.assertEqual(1082189597, hub.cookie)

    def test_no_bounce(self) -> None:
        """With one hook alone a packet is dropped, which is no error (11.7)."""
        self.hub("a")
        self.send("a", b"x")
        self.send_batch("a", [b"y", b"z"])
        self.assertEqual({}, self.received)
        self.assertEqual({}, self.local.hooks["a"].drops)

    def test_all_others(self) -> None:
        """From each hook a packet reaches all others, as one object (11.8)."""
        self.hub("a", "b", "c")
        for hook in "abc":
            self.send(hook, b"x")
            others = sorted({*"abc"} - {hook})
            self.assertEqual({other: [b"x"] for other in others}, self.take())
        self.graph("rmhook h: c")
        self.send("a", b"y")
        self.assertEqual({"b": [b"y"]}, self.received)

    def test_newest_first(self) -> None:
        """The newest hook gets a packet first."""
        self.hub("a", "b", "c", "d")
        self.local.forget()
        self.send("b", b"x")
        self.assertEqual(
            [("rcvdata", "d", b"x"), ("rcvdata", "c", b"x"), ("rcvdata", "a", b"x")],
            self.local.events,
        )

    def test_shared(self) -> None:
        """All destinations get the same packet, and the same batch, with mark and tags."""
        self.hub("a")
        self.graph("mkpeer h: keeper b b", "mkpeer h: keeper c c")
        packet = Packet(b"x", (Tag(1, 2, b"tag"),), eof=True)
        batch = Batch([packet])
        self.local.hooks["a"].send_data(packet)
        self.local.hooks["a"].send_batch(batch)
        for path in ("h:b", "h:c"):
            node = self.node(path)
            assert isinstance(node, Keeper)
            self.assertIs(packet, node.kept[0])
            self.assertIs(batch, node.kept[1])

    def test_failure(self) -> None:
        """A failing destination does not stop the others; the last error is the sender's."""
        self.hub("a", "b", "c", "d")
        self.local.refuse("rcvdata", EPERM, "d")
        self.local.refuse("rcvdata", EIO, "c")
        self.assertEqual(EIO, self.errno(lambda: self.send("a", b"x")))
        self.assertEqual({"b": [b"x"]}, self.received)

    def test_failure_counted(self) -> None:
        """A loss is counted once, on the hook it could not go out of; so in a batch."""
        self.hub("a", "b", "c")
        self.local.refuse("rcvdata", EIO, "c")
        self.errno(lambda: self.send("a", b"x"))
        self.send_batch("a", [b"y", b"z"])
        self.assertEqual({EIO: 3}, self.node("h:").hooks["c"].drops)
        self.assertEqual({}, self.node("h:").hooks["b"].drops)
        self.assertEqual({}, self.local.hooks["a"].drops)

    def test_removed_meanwhile(self) -> None:
        """A hook that a delivery removes is passed over, without an error."""
        self.hub("a", "b", "c")
        self.graph("mkpeer h: cutter x x")
        self.send("a", b"x")
        self.assertEqual({"b": [b"x"]}, self.received)

    def test_setpersistent(self) -> None:
        """A persistent hub survives its last hook, and ends by shutdown (11.4, 11.9)."""
        self.hub("a")
        self.assertIsNone(self.msg("h:", "setpersistent"))
        self.graph("rmhook a", "show h:", "shutdown h:")
        self.assertEqual(ENOENT, self.errno("show h:"))

    def test_setpersistent_number(self) -> None:
        """setpersistent is message 1, without argument and without response."""
        row = hub.commands.named("setpersistent")
        assert row is not None
        self.assertEqual((1, None, None), (row.cmd, row.arg, row.resp))
        self.assertEqual([row], list(hub.commands.all))

    def test_last_hook(self) -> None:
        """A hub ends with its last hook."""
        self.hub("a", "b")
        self.graph("rmhook a", "show h:", "rmhook b")
        self.assertEqual(ENOENT, self.errno("show h:"))

    def test_text(self) -> None:
        """Status and configuration tell the hooks and whether it is persistent."""
        self.hub("a")
        self.assertEqual('Status for "h:":\n1 hook', self.graph("status h:"))
        self.assertEqual([], self.node("h:").config())
        self.msg("h:", "setpersistent")
        self.assertEqual('Status for "h:":\n1 hook, persistent', self.graph("status h:"))
        self.assertEqual(["msg . setpersistent"], self.node("h:").config())

    def test_flow_message(self) -> None:
        """A hub does not understand flow messages: EINVAL."""
        self.hub("a")
        message = Message(851672669, 32)
        self.assertEqual(EINVAL, self.errno(lambda: self.net.send(self.local, "a", message)))


class TwoHubsTests(HubTestCase):
    def joined(self, links: int) -> None:
        """Make two hubs, each with one hook to the test, joined by *links*."""
        self.hub("a", name="one")
        self.hub("b", name="two")
        self.graph(*(f"connect one: two: link{n} link{n}" for n in range(links)))

    def test_open_loop(self) -> None:
        """Through two hubs joined by one link a packet arrives once (11.10)."""
        self.joined(1)
        self.send("a", b"x")
        self.assertEqual({"b": [b"x"]}, self.received)

    def test_closed_loop(self) -> None:
        """Joined by two links it circulates, a turn does not last, and both can end (11.11)."""
        self.joined(2)
        self.send("a", b"x")
        for _ in range(10):
            self.turn()
        self.assertGreater(len(self.received["a"]) + len(self.received["b"]), 7)
        self.assertLessEqual(self.net.work.held, CAP)
        self.graph("shutdown one:", "shutdown two:")
        self.settle()
        self.assertEqual(0, self.net.work.held)

    def test_multiplying_loop(self) -> None:
        """Joined by three links packets multiply: what waits stays bounded, drops are counted."""
        self.joined(3)
        self.send("a", b"x")
        for _ in range(20):
            self.turn()
            self.assertLessEqual(self.net.work.held, CAP)
        drops = [
            hook.drops.get(ENOBUFS, 0)
            for name in ("one:", "two:")
            for hook in self.node(name).hooks.values()
        ]
        self.assertGreater(sum(drops), 0)
        self.assertIn("ENOBUFS", self.msg("one:", "hookstats") or "")

    def test_many_hooks(self) -> None:
        """Of a thousand hooks that each send a packet, the first gets them all (11.12)."""
        self.hub("a0")
        for number in range(1, 1000):
            self.graph(f"connect h: a{number} a{number}")
            self.send(f"a{number}", b"x")
            self.local.events.clear()
        self.assertEqual(999, len(self.received["a0"]))


class BackPressureTests(HubTestCase):
    def test_all_others_hold(self) -> None:
        """A full sink holds every source of the hub, and lets go of it again."""
        self.hub("a", "b")
        self.graph("mkpeer h: recorder out in")
        self.local.forget()
        sink = self.node("h:out").hooks["in"]
        sink.send_flow(True)
        words = [("rcvflow", "a", True), ("rcvflow", "b", True)]
        self.assertEqual(words, sorted(self.local.events))
        self.assertTrue(self.local.hooks["a"].high)
        sink.send_flow(False)
        self.assertFalse(self.local.hooks["a"].high)

    def test_third_party(self) -> None:
        """Back-pressure passes a node that has only rcvdata, and so do packets and batches."""
        self.graph("mkpeer relay a a", "mkpeer a hub b b", "name a.b h", "mkpeer h: recorder c c")
        far = self.node("h:c")
        assert isinstance(far, RecordingNode)
        self.send("a", b"1")
        self.send_batch("a", [b"2", b"3"])
        self.assertEqual({"c": [b"1", b"2", b"3"]}, far.received)
        far.hooks["c"].send_flow(True)
        self.assertTrue(self.local.hooks["a"].high)
        self.assertIn(("rcvflow", "a", True), self.local.events)
        far.hooks["c"].send_flow(False)
        self.assertFalse(self.local.hooks["a"].high)
        self.assertIn(("rcvflow", "a", False), self.local.events)
