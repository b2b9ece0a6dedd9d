"""Tests for hooks: sending, counting, and the errors of nodes."""

import contextlib
from errno import EINVAL, EIO, ENETDOWN, ENOBUFS, EPERM, EWOULDBLOCK

from twisted.trial.unittest import SynchronousTestCase

from ngksock.interfaces import INode
from ngksock.netgraph import Batch, Hook, Node, Packet, Shares
from ngksock.netgraph.worklist import DEPTH
from ngksock.packet import EOF
from ngksock.plugin import NodeType
from tests.netgraph.rig import GraphTests

Counts = tuple[int, int, dict[str, int]]


def counts(hook: Hook) -> Counts:
    """Return what *hook* counted: packets, bytes, drops."""
    return hook.packets, hook.bytes, hook.drop_names()


class SendTests(GraphTests):
    """One link: me -x- sink."""

    def setUp(self) -> None:
        super().setUp()
        self.ngctl("mkpeer sink x in", "name x sink")
        self.sink = self.node("sink:")

    def test_delivered(self) -> None:
        """Packets arrive in order, one by one and in batches, and are counted on the sender."""
        self.send("x", "a", "bc")
        self.send_batch("x", "def", "")
        self.assertEqual(["a", "bc", "def", ""], self.sink.got)
        self.assertEqual((4, 6, {}), counts(self.hook("x")))
        self.assertEqual((0, 0, {}), counts(self.sink.hooks["in"]))

    def test_no_batch(self) -> None:
        """An empty batch is no packet."""
        self.hook("x").send_batch(Batch())
        self.assertEqual((([], (0, 0, {}))), (self.sink.got, counts(self.hook("x"))))

    def test_same_object(self) -> None:
        """The packet that was sent is the packet that arrives: nothing is copied."""
        seen: list[object] = []
        self.me.on_data = lambda hook, packet: seen.append(packet)
        self.sink.hooks["in"].send_data(EOF)
        self.assertIs(EOF, seen[0])

    def test_error(self) -> None:
        """send_data raises what the far node did, after counting it."""
        self.sink.error = OSError(ENOBUFS, "full")
        self.assertIs(self.sink.error, self.assertRaises(OSError, self.send, "x", "ab"))
        self.assertEqual((1, 2, {"ENOBUFS": 1}), counts(self.hook("x")))

    def test_error_in_a_batch(self) -> None:
        """send_batch raises nothing; every packet that was refused is counted."""
        self.sink.error = OSError(ENOBUFS, "full")
        self.send_batch("x", "ab", "c", "d")
        self.assertEqual((3, 4, {"ENOBUFS": 3}), counts(self.hook("x")))

    def test_errors_of_many_kinds(self) -> None:
        """Drops are counted by errno, one without a number as EINVAL."""
        for error in (OSError(EPERM, ""), OSError("no number"), BlockingIOError(EWOULDBLOCK, "")):
            self.sink.error = error
            self.assertRaises(OSError, self.send, "x", "a")
        self.assertEqual({"EPERM": 1, "EINVAL": 1, "EAGAIN": 1}, self.hook("x").drop_names())

    def test_unknown_errno_has_a_name(self) -> None:
        """An errno the system does not know is shown as its number."""
        self.hook("x").drop(99999, 2)
        self.assertEqual({"99999": 2}, self.hook("x").drop_names())

    def test_bug(self) -> None:
        """Another exception is the far node's bug: counted, told once a kind, and not raised."""
        self.sink.error = ZeroDivisionError("oops")
        self.send("x", "a", "b")
        self.send_batch("x", "c", "d")
        self.assertEqual((4, 4, {"EINVAL": 4}), counts(self.hook("x")))
        self.assertEqual([("sink node sink failed", self.sink.error)], self.reports)
        self.assertEqual(4, self.graph.bugs[self.sink.id, "ZeroDivisionError"])
        self.sink.error = KeyError("other")
        self.send("x", "e")
        self.assertEqual(2, len(self.reports))

    def test_bug_does_not_last(self) -> None:
        """After a bug the node is called as before, and the depth is where it was."""
        self.sink.error = ZeroDivisionError()
        self.send("x", "a")
        self.sink.error = None
        self.send("x", "b")
        self.assertEqual((["b"], 0), (self.sink.got, self.graph.work.depth))

    def test_batch_bug(self) -> None:
        """A bug in rcvbatch loses the whole batch, and is told."""

        class Broken(Node):
            def rcvbatch(self, hook: Hook, batch: Batch) -> None:
                raise IndexError

        self.add(NodeType("broken", 1, Broken))
        self.ngctl("mkpeer broken y y")
        self.send_batch("y", "a", "b")
        self.assertEqual((2, 2, {"EINVAL": 2}), counts(self.hook("y")))
        self.assertEqual(1, len(self.reports))

    def test_blames_who_failed(self) -> None:
        """A node that removes its hook and then fails is the one that is named."""

        class Rash(Node):
            def rcvdata(self, hook: Hook, packet: Packet) -> None:
                self.graph.rmhook(hook)
                raise ValueError

        self.add(NodeType("rash", 1, Rash))
        self.ngctl("mkpeer rash y y", "name y hasty")
        self.send("y", "a")
        self.assertEqual(["rash node hasty failed"], [text for text, _ in self.reports])
        self.assert_whole()

    def test_removed(self) -> None:
        """A hook that is removed refuses with ENETDOWN, in batches by counting."""
        hook = self.hook("x")
        self.ngctl("rmhook x")
        error = self.assertRaises(OSError, hook.send_data, Packet(b"a"))
        hook.send_batch(Batch([Packet(b"b"), Packet(b"c")]))
        self.assertEqual(ENETDOWN, error.errno)
        self.assertEqual((3, 3, {"ENETDOWN": 3}), counts(hook))

    def test_removed_and_deep(self) -> None:
        """A removed hook refuses at any depth; nothing is queued for nowhere."""
        hook, work = self.hook("x"), self.graph.work
        self.ngctl("rmhook x")
        work.depth = DEPTH
        error = self.assertRaises(OSError, hook.send_data, Packet(b"a"))
        work.depth = 0
        self.assertEqual((ENETDOWN, 0), (error.errno, len(work)))

    def test_repr(self) -> None:
        """A hook is shown with its node."""
        self.assertEqual("<Hook in of sink>", repr(self.sink.hooks["in"]))

    def test_private(self) -> None:
        """A hook has room for its owner, and no more."""
        self.assertIsNone(self.hook("x").private)
        self.assertRaises(AttributeError, setattr, self.hook("x"), "colour", 1)


class DyingTests(GraphTests):
    """Between a node's wish to end and its end."""

    def test_no_data(self) -> None:
        """A node that is invalid gets no packet any more: ENETDOWN (§5.9)."""
        self.ngctl("mkpeer sink x in", "name x sink")
        sink = self.node("sink:")
        self.graph.work.enter()
        self.graph.rmnode_self(sink)
        error = self.assertRaises(OSError, self.send, "x", "a")
        self.send_batch("x", "b", "c")
        self.assertEqual((ENETDOWN, []), (error.errno, sink.got))
        self.assertEqual({"ENETDOWN": 3}, self.hook("x").drop_names())
        sink.hooks["in"].send_data(Packet(b"farewell"))
        self.assertEqual([("x", "farewell")], self.got)
        self.graph.work.leave()
        self.assertEqual({}, self.me.hooks)

    def test_rest_of_a_batch(self) -> None:
        """A node that ends amid a batch gets no more of it; the rest is counted as EIO."""

        class Once(Node):
            calls = 0

            def rcvdata(self, hook: Hook, packet: Packet) -> None:
                self.calls += 1
                self.graph.rmnode(self)

        self.add(NodeType("once", 1, Once))
        self.ngctl("mkpeer once x in")
        hook, node = self.hook("x"), self.node("x")
        hook.send_batch(Batch(Packet(b"p") for _ in range(5)))
        self.assertEqual((1, (5, 5, {"EIO": 4})), (node.calls, counts(hook)))
        self.assert_whole()

    def test_waiting(self) -> None:
        """What waits for a link that goes is lost with EIO."""
        self.ngctl("mkpeer sink x in")
        hook, work = self.hook("x"), self.graph.work
        work.depth = DEPTH
        hook.send_data(Packet(b"a"))
        self.send_batch("x", "b", "c")
        work.depth = 0
        self.assertEqual((3, 3), (hook.waiting, len(work)))
        self.ngctl("rmhook x")
        self.assertEqual((0, 0, {"EIO": 3}), (hook.waiting, len(work), hook.drop_names()))
        self.assertEqual(EIO, *hook.drops)
        self.turn(5)
        self.assertEqual({"EIO": 3}, hook.drop_names())


class ChainTests(GraphTests):
    """A loss is counted once, on the hook nearest to it, however long the way back."""

    def losses(self, nodes: list[Node]) -> list[dict[str, int]]:
        return [self.hook("x").drop_names()] + [n.hooks["out"].drop_names() for n in nodes]

    def test_one_by_one(self) -> None:
        """The error reaches the sender through five nodes; the last hook alone counts it."""
        nodes = self.chain("pass", 5)
        self.node("sink:").error = OSError(ENOBUFS, "full")
        for _ in range(3):
            self.assertRaises(OSError, self.send, "x", "a")
        self.assertEqual([{}] * 5 + [{"ENOBUFS": 3}], self.losses(nodes))
        self.assertEqual([3] * 5, [node.hooks["out"].packets for node in nodes])

    def test_batched(self) -> None:
        """In batches too, through nodes that know batches and nodes that do not."""
        for kind in ("pass", "train"):
            nodes = self.chain(kind, 5)
            self.node("sink:").error = OSError(ENOBUFS, "full")
            self.send_batch("x", "a", "b", "c")
            self.assertEqual([{}] * 5 + [{"ENOBUFS": 3}], self.losses(nodes))
            self.ngctl("rmhook x", "shutdown sink:")

    def test_one_exception_many_times(self) -> None:
        """A node that raises the same object for each packet loses each packet."""
        nodes = self.chain("pass", 2)
        self.node("sink:").error = OSError(ENOBUFS, "made once")
        self.send_batch("x", "a", "b", "c")
        self.assertEqual({"ENOBUFS": 3}, self.losses(nodes)[-1])

    def test_branches(self) -> None:
        """Each branch of a hub counts its own loss; the way in counts none."""
        self.ngctl("mkpeer pass x in", "mkpeer x hub out in", "name x.out hub")
        for number in range(3):
            self.ngctl(f"mkpeer hub: sink s{number} in")
            self.node(f"hub:s{number}").error = OSError(EPERM if number else ENOBUFS, "")
        error = self.assertRaises(OSError, self.send, "x", "a")
        self.assertEqual(ENOBUFS, error.errno)  # the last one, oldest hook
        hub = self.node("hub:")
        self.assertEqual(
            [{"ENOBUFS": 1}, {"EPERM": 1}, {"EPERM": 1}],
            [hub.hooks[f"s{number}"].drop_names() for number in range(3)],
        )
        self.assertEqual([{}, {}], self.losses([self.node("x")]))

    def test_branches_with_a_swallowed_error(self) -> None:
        """A loss that another branch kept to itself does not make the first count twice."""

        class Mild(Node):
            def rcvdata(self, hook: Hook, packet: Packet) -> None:
                for other in self.hooks.values():
                    if other is not hook:
                        with contextlib.suppress(OSError):
                            other.send_data(packet)

        self.add(NodeType("mild", 1, Mild))
        self.ngctl(
            "mkpeer hub x in", "name x hub", "mkpeer hub: mild a in", "mkpeer hub: sink b in"
        )
        self.ngctl("mkpeer hub:a sink out in")
        self.node("hub:b").error = OSError(ENOBUFS, "")
        self.node("hub:a.out").error = OSError(EPERM, "")
        self.assertRaises(OSError, self.send, "x", "p")
        self.assertEqual({}, self.hook("x").drop_names())
        self.assertEqual({"EPERM": 1}, self.node("hub:a").hooks["out"].drop_names())
        self.assertEqual({"ENOBUFS": 1}, self.hook("b", self.node("hub:")).drop_names())

    def test_another_error(self) -> None:
        """A node that makes an error of its own out of one has lost the packet itself."""

        class Translator(Node):
            def rcvdata(self, hook: Hook, packet: Packet) -> None:
                try:
                    self.hooks["out"].send_data(packet)
                except OSError as error:
                    raise OSError(EPERM, "not so") from error

        self.add(NodeType("translator", 1, Translator))
        self.ngctl("mkpeer translator x in", "mkpeer x sink out in")
        self.node("x.out").error = OSError(ENOBUFS, "")
        self.assertRaises(OSError, self.send, "x", "a")
        self.assertEqual([{"EPERM": 1}, {"ENOBUFS": 1}], self.losses([self.node("x")]))


class LinkTests(GraphTests):
    """Who is called is decided when the link is made."""

    def test_hook_rcvdata(self) -> None:
        """A hook's own rcvdata goes before the node's, for batches too."""
        seen: list[str] = []

        class Special(Node):
            def connect(self, hook: Hook) -> None:
                hook.rcvdata = lambda hook, packet: seen.append(bytes(packet).decode())

            def rcvbatch(self, hook: Hook, batch: Batch) -> None:
                raise AssertionError("the node's own")

        self.add(NodeType("special", 1, Special))
        self.ngctl("mkpeer special x in")
        self.send("x", "a")
        self.send_batch("x", "b", "c")
        self.assertEqual(["a", "b", "c"], seen)

    def test_hook_rcvdata_refuses(self) -> None:
        """What a hook's own rcvdata refuses of a batch is counted packet by packet."""

        def picky(hook: Hook, packet: Packet) -> None:
            if packet.len > 1:
                raise OSError(EPERM, "too long")

        class Special(Node):
            def newhook(self, hook: Hook, name: str) -> None:
                hook.rcvdata = picky

        self.add(NodeType("special", 1, Special))
        self.ngctl("mkpeer special x in")
        self.send_batch("x", "a", "bb", "c", "dd")
        self.assertEqual((4, 6, {"EPERM": 2}), counts(self.hook("x")))

    def test_hook_rcvbatch(self) -> None:
        """A hook's own rcvbatch takes the batches, the node's rcvdata single packets."""
        sizes: list[int] = []

        class Special(Node):
            def newhook(self, hook: Hook, name: str) -> None:
                hook.rcvbatch = lambda hook, batch: sizes.append(len(batch))

            def rcvdata(self, hook: Hook, packet: Packet) -> None:
                sizes.append(-1)

        self.add(NodeType("special", 1, Special))
        self.ngctl("mkpeer special x in")
        self.send_batch("x", "a", "b")
        self.send("x", "c")
        self.assertEqual([2, -1], sizes)

    def test_not_linked_yet(self) -> None:
        """In newhook and in connect a hook sends nothing yet: ENETDOWN."""
        errnos: list[int | None] = []

        class Eager(Node):
            def newhook(self, hook: Hook, name: str) -> None:
                self.try_it(hook)

            def connect(self, hook: Hook) -> None:
                self.try_it(hook)

            def try_it(self, hook: Hook) -> None:
                try:
                    hook.send_data(Packet(b"too early"))
                except OSError as error:
                    errnos.append(error.errno)

        self.add(NodeType("eager", 1, Eager))
        self.ngctl("mkpeer eager x in")
        self.assertEqual(([ENETDOWN] * 2, []), (errnos, self.got))


class Bare:
    """A provider of INode with nothing but rcvdata."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        self.seen.append(f"{hook.name} {bytes(packet).decode()}")
        for other in self.hooks.values():  # type: ignore[attr-defined]
            if other is not hook:
                other.send_data(packet)


class BareTests(GraphTests):
    def setUp(self) -> None:
        super().setUp()
        self.add(NodeType("bare", 4321, Bare))
        self.ngctl("mkpeer bare x in", "name x b")
        self.bare = self.node("b:").inner

    def test_data(self) -> None:
        """A node of rcvdata alone gets packets and batches, and sends by its hooks."""
        self.ngctl("mkpeer b: sink out in")
        self.send("x", "a")
        self.send_batch("x", "b", "c")
        self.assertEqual(["in a", "in b", "in c"], self.bare.seen)
        self.assertEqual(["a", "b", "c"], self.node("b:out").got)

    def test_attributes(self) -> None:
        """The graph sets its attributes, the name from the first moment on."""
        node = self.node("b:")
        self.assertEqual(
            (node.id, "b", "bare", self.graph),
            (self.bare.id, self.bare.name, self.bare.type.name, self.bare.graph),
        )
        self.assertIs(node.hooks, self.bare.hooks)
        self.ngctl("mkpeer bare y in")
        self.assertEqual("", self.node("y").inner.name)

    def test_defaults(self) -> None:
        """Status, messages and flow behave as Node's; the last hook ends it."""
        self.assertEqual(EINVAL, self.tell("b:", 0x3000000B))
        self.assertEqual(EINVAL, self.tell("b:", 1, cookie=4321))
        self.ngctl("mkpeer b: sink out in")
        self.node("b:out").hooks["in"].send_flow(True)
        self.assertTrue(self.hook("x").high)
        self.ngctl("rmhook x", "shutdown b:")
        self.assert_whole()

    def test_optional_methods(self) -> None:
        """What a provider has beyond rcvdata is called."""
        calls: list[str] = []

        class More(Bare):
            def status(self) -> str:
                return "fine"

            def config(self) -> list[str]:
                return ["msg . x"]

            def close(self) -> None:
                calls.append("close")

        self.add(NodeType("more", 1, More))
        self.ngctl("mkpeer more y in", "name y m")
        self.assertEqual(['Status for "m:":\nfine'], self.ngctl("status m:"))
        self.ngctl("shutdown m:")
        self.assertEqual(["close"], calls)

    def test_rows(self) -> None:
        """Its methods may be commands, as those of a Node."""
        from ngksock.netgraph import command

        class Talking(Bare):
            said = 0

            @command(1)
            def speak(self) -> None:
                """Say something."""
                self.said += 1

        self.add(NodeType("talking", 5, Talking))
        self.ngctl("mkpeer talking y in", "msg y speak")
        self.assertEqual((1, []), (self.node("y").inner.said, self.reports))


class SharesTests(GraphTests):
    """A batch that is sorted."""

    def test_shares(self) -> None:
        """Each hook gets its packets in order, counted, and none that has none gets a batch."""
        self.ngctl("mkpeer sink x in", "name x sink", "connect sink: y in2", "connect sink: z in3")
        hooks = self.me.hooks
        packets = [Packet(bytes(size)) for size in range(5)]
        shares = Shares()
        for packet in packets:
            shares[hooks["xy"[packet.len % 2]]].add(packet)
        shares.send(Batch(packets))
        self.assertEqual(
            [(3, 6, {}), (2, 4, {}), (0, 0, {})], [counts(hooks[name]) for name in "xyz"]
        )

    def test_whole(self) -> None:
        """A share that is all of the batch is the batch itself; one of other packets is not."""
        self.ngctl("mkpeer sink x in", "name x sink")
        hook, got = self.me.hooks["x"], list[Batch]()
        hook._batch = lambda peer, load: got.append(load)
        batch = Batch([Packet(b"1"), EOF])
        for packets in (batch, batch[:1], [batch[0].replace(b"1"), EOF]):
            shares = Shares()
            for packet in packets:
                shares[hook].add(packet)
            shares.send(batch)
        self.assertEqual([True, False, False], [load is batch for load in got])
        self.assertEqual([2, 1, 2], [load.nbytes + load[-1].eof for load in got])


class NodeBaseTests(SynchronousTestCase):
    def test_public_names(self) -> None:
        """Node offers the methods of INode and two names more."""
        names = {name for name in dir(Node) if not name.startswith("_")}
        self.assertEqual({"hook_names", "watch"}, names - set(INode.names(all=True)))
