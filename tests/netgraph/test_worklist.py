"""Tests for depth, credit, caps and order: what does not go by a direct call."""

from errno import ENOBUFS

from ngksock.netgraph import Batch, Hook, Message, Node, Packet
from ngksock.netgraph.worklist import CAP, CREDIT, DEPTH, HOOK_CAP, SLICE
from ngksock.plugin import NodeType
from tests.netgraph.rig import READS, GraphTests


class DepthTests(GraphTests):
    def test_within(self) -> None:
        """As many nodes as the depth allows are reached by direct calls."""
        self.chain("pass", DEPTH - 1)
        self.send("x", "a")
        self.assertEqual((["a"], 0), (self.node("sink:").got, len(self.turns)))

    def test_beyond(self) -> None:
        """One more node, and the packet arrives in the next turn; order holds."""
        nodes = self.chain("pass", DEPTH)
        self.send("x", "a", "b")
        self.send_batch("x", "c", "d")
        self.send("x", "e")
        sink = self.node("sink:")
        self.assertEqual(([], 5), (sink.got, nodes[-1].hooks["out"].waiting))
        self.assertEqual(1, len(self.turns))
        self.turn()
        self.assertEqual((list("abcde"), 0), (sink.got, len(self.graph.work)))
        self.assertEqual(0, len(self.turns))

    def test_far_beyond(self) -> None:
        """A chain of any length is passed, in order, without recursion."""
        self.chain("train", 300)
        self.send("x", "a")
        self.send_batch("x", "b", "c")
        self.turn(20)
        self.assertEqual((list("abc"), 0), (self.node("sink:").got, len(self.turns)))

    def test_error_beyond(self) -> None:
        """An error beyond the depth is counted where it happens and reaches nobody."""
        nodes = self.chain("pass", DEPTH + 3)
        self.node("sink:").error = OSError(ENOBUFS, "full")
        self.send("x", "a")
        self.turn(5)
        losses = [node.hooks["out"].drop_names() for node in nodes]
        self.assertEqual([{}] * (DEPTH + 2) + [{"ENOBUFS": 1}], losses)

    def test_bug_beyond(self) -> None:
        """So is a bug, of a packet and of a batch."""
        self.chain("train", DEPTH)
        self.node("sink:").error = ZeroDivisionError()
        self.send("x", "a")
        self.send_batch("x", "b", "c")
        self.turn(5)
        self.assertEqual(1, len(self.reports))
        self.assertEqual({"EINVAL": 3}, self.hook("in", self.node("sink:")).peer.drop_names())

    def test_batch_error(self) -> None:
        """An errno out of rcvbatch is a bug, at once and beyond: all of the batch is lost."""

        class Broken(Node):
            def rcvbatch(self, hook: Hook, batch: Batch) -> None:
                raise OSError(ENOBUFS, "which rcvbatch never raises")

        self.add(NodeType("broken", 1, Broken))
        self.ngctl("mkpeer broken y y")
        for depth in (0, DEPTH):
            self.graph.work.depth = depth
            self.send_batch("y", "a", "b")
            self.graph.work.depth = 0
            self.turn(len(self.turns))
            self.assertEqual({"EINVAL": 2}, self.hook("y").drop_names())
            self.hook("y").drops.clear()
        self.assertEqual(1, len(self.reports))

    def test_messages(self) -> None:
        """Messages sent below the depth are delivered when the outermost call returns."""

        class Caller(Node):
            def rcvdata(self, hook: Hook, packet: Packet) -> None:
                self.graph.send_hook(self.hooks["ask"], Message(4711, 5))

        self.add(NodeType("caller", 1, Caller))
        self.chain("pass", DEPTH - 1)
        sink = self.node("sink:")
        self.ngctl("shutdown sink:", "mkpeer x hub y y")
        del sink
        last = self.node(".".join(["x"] + ["out"] * (DEPTH - 2)))
        self.ngctl(f"mkpeer [{last.id:x}]: caller out in", f"name [{last.id:x}]:out caller")
        self.ngctl("connect me: caller: me ask")
        self.send("x", "p")
        self.assertEqual([5], [item.message.cmd for item in self.inbox])


class OrderTests(GraphTests):
    def test_no_overtaking(self) -> None:
        """A direct send never overtakes packets that wait on the same hook."""
        self.ngctl("mkpeer sink x in", "mkpeer sink y in")
        work, hook = self.graph.work, self.hook("x")
        work.depth = DEPTH
        self.send("x", "a")
        work.depth = 0
        self.send("x", "b")
        self.send("y", "free")
        self.assertEqual(([], ["free"]), (self.node("x").got, self.node("y").got))
        self.turn()
        self.assertEqual((["a", "b"], 0), (self.node("x").got, hook.waiting))

    def test_rotation(self) -> None:
        """Hooks are served in turn, so that none waits for the end of another's queue."""
        seen: list[str] = []

        class Note(Node):
            def rcvdata(self, hook: Hook, packet: Packet) -> None:
                seen.append(bytes(packet).decode())

        self.add(NodeType("note", 1, Note))
        self.ngctl("mkpeer note x in", "mkpeer note y in")
        self.graph.work.depth = DEPTH
        self.send("x", "x1", "x2", "x3")
        self.send("y", "y1", "y2")
        self.graph.work.depth = 0
        self.turn()
        self.assertEqual(["x1", "y1", "x2", "y2", "x3"], seen)

    def test_scheduled_once(self) -> None:
        """However much waits, one turn is asked for."""
        self.ngctl("mkpeer sink x in", "mkpeer sink y in")
        self.graph.work.depth = DEPTH
        for number in range(10):
            self.send("xy"[number % 2], "p")
        self.assertEqual(1, len(self.turns))
        self.graph.work.depth = 0
        self.turn()
        self.assertEqual(0, len(self.turns))

    def test_hook_removed_in_a_slice(self) -> None:
        """A delivery that removes a hook which has more waiting harms nothing."""
        self.ngctl("mkpeer sink x in", "mkpeer sink y in")
        sink = self.node("x")
        other = self.hook("y")
        sink.rcvdata = lambda hook, packet: self.graph.rmhook(other)
        self.hook("x").link(sink.hooks["in"])
        self.graph.work.depth = DEPTH
        self.send("x", "a")
        self.send("y", "b", "c")
        self.graph.work.depth = 0
        self.turn()
        self.assertEqual(({"EIO": 2}, 0), (other.drop_names(), len(self.graph.work)))


class CapTests(GraphTests):
    def test_hook_cap(self) -> None:
        """One hook holds so many packets; the next raises ENOBUFS and is counted."""
        self.ngctl("mkpeer sink x in")
        self.graph.work.depth = DEPTH
        self.send("x", *["p"] * HOOK_CAP)
        error = self.assertRaises(OSError, self.send, "x", "p")
        self.assertEqual((ENOBUFS, {"ENOBUFS": 1}), (error.errno, self.hook("x").drop_names()))
        self.send_batch("x", "p", "p")
        self.assertEqual({"ENOBUFS": 3}, self.hook("x").drop_names())
        self.graph.work.depth = 0
        self.turn(9)
        self.assertEqual(HOOK_CAP, len(self.node("x").got))
        self.assertEqual(0, len(self.graph.work))

    def test_cap(self) -> None:
        """All hooks together hold so many."""
        self.graph.work.depth = DEPTH
        for number in range(CAP // HOOK_CAP):
            self.graph.work.depth = 0
            self.ngctl(f"mkpeer sink x{number} in")
            self.graph.work.depth = DEPTH
            self.send(f"x{number}", *["p"] * HOOK_CAP)
        self.graph.work.depth = 0
        self.ngctl("mkpeer sink y in")
        self.graph.work.depth = DEPTH
        self.assertEqual(ENOBUFS, self.assertRaises(OSError, self.send, "y", "p").errno)
        self.assertEqual(CAP, self.graph.work.held)
        self.graph.work.depth = 0
        self.turn(99)
        self.assertEqual((0, 0), (self.graph.work.held, len(self.turns)))

    def test_cap_along_a_chain(self) -> None:
        """The ENOBUFS of a full list is counted once on its way back to the sender."""
        nodes = self.chain("pass", DEPTH)
        self.send("x", *["p"] * HOOK_CAP)
        self.assertRaises(OSError, self.send, "x", "p")
        losses = [self.hook("x"), *(node.hooks["out"] for node in nodes)]
        self.assertEqual([{}] * DEPTH + [{"ENOBUFS": 1}], [hook.drop_names() for hook in losses])

    def test_batch_counts_packets(self) -> None:
        """A batch takes as much room as it has packets, and is lost whole."""
        self.ngctl("mkpeer sink x in")
        self.graph.work.depth = DEPTH
        self.hook("x").send_batch(Batch(Packet(b"") for _ in range(HOOK_CAP + 1)))
        self.assertEqual({"ENOBUFS": HOOK_CAP + 1}, self.hook("x").drop_names())
        self.graph.work.depth = 0

    def test_messages_capped(self) -> None:
        """A node that floods a busy one with messages is refused with ENOBUFS."""
        errnos: list[int | None] = []

        class Flood(Node):
            def rcvmsg(self, item, lasthook) -> None:
                if errnos:
                    return
                for _ in range(CAP + 5):
                    try:
                        self.graph.send(self, ".", Message(1, 1))
                    except OSError as error:
                        errnos.append(error.errno)

        self.add(NodeType("flood", 1, Flood))
        self.ngctl("mkpeer flood x in")
        self.tell("x", 1, cookie=1)
        self.assertEqual([ENOBUFS] * 5, errnos)
        self.turn(99)
        self.assertEqual(0, len(self.graph.work))


class LoopTests(GraphTests):
    """Two hubs joined by more than one link."""

    def loop(self, links: int) -> int:
        self.ngctl("mkpeer hub x x", "name x one", "mkpeer one: hub l0 l0", "name one:l0 two")
        for number in range(1, links):
            self.ngctl(f"connect one: two: l{number} l{number}")
        self.ngctl("connect me: two: y y")
        self.send("x", "p")
        most = 0
        for _ in range(200):
            self.assertEqual(1, len(self.turns))
            self.turn()
            most = max(most, self.graph.work.held)
        return most

    def test_two_links(self) -> None:
        """A packet circulates, bounded, one turn at a time, and is seen again and again."""
        self.assertLessEqual(self.loop(2), CAP)
        self.assertGreater(self.got.count(("y", "p")), 7)
        self.answered()

    def test_three_links(self) -> None:
        """Where packets multiply the list is full at most, and the losses are counted."""
        most = self.loop(3)
        self.assertGreater(most, HOOK_CAP)
        self.assertLessEqual(most, CAP)
        drops = [h.drops.get(ENOBUFS, 0) for n in self.graph for h in n.hooks.values()]
        self.assertGreater(sum(drops), 0)
        self.answered()

    def answered(self) -> None:
        """A message is answered between two turns, and the loop can be ended."""
        listed = self.ngctl("show one:")[0]
        self.assertIn("Name: one", listed)
        self.ngctl("shutdown one:", "shutdown two:")
        self.turn(9)
        self.assertEqual((0, 0), (len(self.graph.work), len(self.turns)))
        self.assert_whole()

    def test_bounded_turn(self) -> None:
        """One turn delivers no more than its credit, and neither does one send."""
        self.loop(3)
        before = sum(h.packets for n in self.graph for h in n.hooks.values())
        self.turn()
        after = sum(h.packets for n in self.graph for h in n.hooks.values())
        self.assertLessEqual(after - before, 3 * CREDIT + 3)
        self.answered()


class ControlTests(GraphTests):
    """Work that is left for the end of the outermost call."""

    def test_now(self) -> None:
        """Outside of any call work is done at once, within one at its end, in order."""
        work = self.graph.work
        done: list[int] = []

        def more() -> None:
            done.append(3)
            work.call(lambda: done.append(4))

        work.call(lambda: done.append(1))
        self.assertEqual([1], done)
        work.enter()
        work.enter()
        work.call(lambda: done.append(2))
        work.call(more)
        work.leave()
        self.assertEqual([1], done)
        work.leave()
        self.assertEqual([1, 2, 3, 4], done)

    def test_endless(self) -> None:
        """Work that makes more work without end leaves the reactor its turns."""
        work = self.graph.work
        done: list[int] = []

        def again() -> None:
            done.append(1)
            if len(done) < 10 * SLICE:
                work.call(again)

        work.call(again)
        self.assertEqual((SLICE, 1), (len(done), len(self.turns)))
        self.turn(99)
        self.assertEqual((10 * SLICE, 0), (len(done), len(work)))

    def test_many_ends(self) -> None:
        """However many nodes end with a hub, the next request has its reply at once."""
        self.ngctl("mkpeer hub x x", "name x hub")
        for number in range(4 * SLICE):
            self.ngctl(f"mkpeer hub: hub h{number} h")
        self.ngctl("shutdown hub:")
        self.ask(".", 6 | READS)
        self.assertEqual(["There are 1 total nodes:\n" + self.line()], self.ngctl("list"))
        self.assert_whole()

    def line(self) -> str:
        return f"  Name: {'me':<15} Type: {'socket':<15} ID: 00000001   Num hooks: 0"

    def test_long_fall(self) -> None:
        """A chain of nodes that end one after the other ends whole, over some turns."""

        class Domino(Node):
            def disconnect(self, hook: Hook) -> None:
                if self.valid:
                    self.graph.rmnode_self(self)

        self.add(NodeType("domino", 1, Domino))
        self.chain("domino", 3 * SLICE)
        self.ngctl("rmhook x")
        self.assertGreater(len(list(self.graph)), 1)
        self.ask(".", 6 | READS)
        self.turn(99)
        self.assertEqual([self.me], list(self.graph))
        self.assert_whole()
