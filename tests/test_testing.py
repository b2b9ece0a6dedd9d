"""The testing kit: what it promises to those who test with it, and that it can fail."""

from __future__ import annotations

import unittest
from collections.abc import Callable
from dataclasses import dataclass
from errno import EIO, ENOENT, ENOSYS, EOPNOTSUPP, EPERM

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from ngksock.interfaces import INode, INodeType
from ngksock.netgraph import EOF, Hook, Message, Node, Packet, command
from ngksock.netgraph.layout import UINT32, Struct, UInt64
from ngksock.plugin import NodeType
from ngksock.testing import GraphTestCase, RecordingNode, Sandbox, check_node_type, recorder


class Relay:
    """A third party's node: no base class, and it knows ``rcvdata`` alone."""

    hooks: dict[str, Hook]

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        for other in list(self.hooks.values()):
            if other is not hook:
                other.send_data(packet)


@dataclass
class Stats:
    """What EveryNth counts."""

    seen: UInt64 = 0
    passed: UInt64 = 0


class EveryNth(Node):
    """The node type of house.md "A third party's node type, whole"."""

    hook_names = ("in", "out")

    def __init__(self) -> None:
        super().__init__()
        self.n, self.stats = 1, Stats()

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        self.stats.seen += 1
        out = self.hooks.get("out")
        if out is not None and self.stats.seen % self.n == 0:
            self.stats.passed += 1
            out.send_data(packet)

    @command(1, arg=UINT32)
    def setn(self, n: int) -> None:
        """Pass one packet in *n* (at least 1)."""
        self.n = max(n, 1)

    @command(2, resp=Struct(Stats))
    def getstats(self) -> Stats:
        """Count the packets seen and passed."""
        return self.stats


class RecordingNodeTests(GraphTestCase):
    def test_provides(self) -> None:
        """A recording node is a node, and its type conforms but for taking any message."""
        verifyObject(INode, self.local)
        verifyObject(INodeType, recorder)
        check_node_type(recorder, others="swallowed", examples=10)

    def test_life(self) -> None:
        """All that happens is recorded, in order."""
        self.graph("mkpeer recorder a b", "name a r")
        node = self.node("r:")
        assert isinstance(node, RecordingNode)
        message = Message(1, 2, b"x")
        self.send("a", b"1")
        self.send_batch("a", [b"2", EOF])
        self.net.send_hook(self.local.hooks["a"], message)
        self.net.send(self.local, "r:", message)
        self.local.hooks["a"].send_flow(True)
        self.local.hooks["a"].send_flow(False)
        self.graph("shutdown r:")
        self.assertEqual(
            [
                ("newhook", "b"),
                ("connect", "b"),
                ("rcvdata", "b", b"1"),
                ("rcvdata", "b", b"2"),
                ("rcvdata", "b", EOF),
                ("rcvmsg", "b", message),
                ("rcvmsg", None, message),
                ("rcvflow", "b", True),
                ("rcvflow", "b", False),
                ("close",),
                ("disconnect", "b"),
                ("shutdown",),
            ],
            node.events,
        )
        self.assertEqual([("b", message), (None, message)], node.messages)
        self.assertEqual([message, message], [item.message for item in node.inbox])

    def test_sent_and_received(self) -> None:
        """Packets are kept by hook; a hook without any has no entry."""
        self.graph("connect . a b")
        self.send("a", b"1")
        self.send_batch("b", [b"2", Packet(b"3"), EOF])
        self.assertEqual({"a": [b"1"], "b": [b"2", b"3", EOF]}, self.local.sent)
        self.assertEqual({"b": [b"1"], "a": [b"2", b"3", EOF]}, self.received)
        self.local.forget()
        self.assertEqual(({}, {}, []), (self.local.sent, self.received, self.local.events))

    def test_refuse(self) -> None:
        """It refuses what it is told to, with any errno, until it is told to accept."""
        self.local.refuse("newhook", EPERM)
        self.assertEqual(EPERM, self.errno("connect . a b"))
        self.local.refuse("newhook", 0)
        self.local.refuse("connect", EIO, "b")
        self.assertEqual(EIO, self.errno("connect . a b"))
        self.local.refuse("connect", 0, "b")
        self.graph("connect . a b")
        self.local.refuse("rcvdata", EIO, "b")
        self.assertEqual(EIO, self.errno(lambda: self.send("a", b"x")))
        self.send("b", b"y")
        self.assertEqual({"a": [b"y"]}, self.received)
        self.assertIn(("rcvdata", "b", b"x"), self.local.events)

    def test_refuse_messages(self) -> None:
        """A refused message is recorded, and not kept."""
        self.local.refuse("rcvmsg", EIO)
        send = self.net.send
        self.assertEqual(EIO, self.errno(lambda: send(self.local, ".", Message(1, 2))))
        self.assertEqual([(None, Message(1, 2))], self.local.messages)
        self.assertFalse(self.local.inbox)


class GraphTestCaseTests(GraphTestCase):
    node_types = (NodeType("relay", 1, Relay), NodeType("everynth", 1763800000, EveryNth))

    def test_graph(self) -> None:
        """Lines of ngctl are carried out, and what they print is returned."""
        self.assertEqual("", self.graph("mkpeer relay a b", "name a r"))
        self.assertIn("Name: r ", self.graph("show r:"))
        self.assertNotIn("Name: r ", self.graph("show ."))

    def test_here(self) -> None:
        """The node that is ``.`` may be another one than the test."""
        self.graph("mkpeer relay a b", "name a r")
        self.graph("mkpeer relay c d", "name c s", here="r:")
        self.assertIs(self.node("r:c"), self.node("s:"))

    def test_msg(self) -> None:
        """msg returns the response in its ASCII form, or None."""
        self.graph("mkpeer everynth a in", "name a n")
        self.assertIsNone(self.msg("n:", "setn 2"))
        self.send_batch("a", [b"1", b"2", b"3"])
        self.assertEqual("{ seen=3 }", self.msg("n:", "getstats"))
        self.graph("connect n: b out")
        self.send("a", b"4")
        self.assertEqual({"b": [b"4"]}, self.received)
        self.assertEqual("{ seen=4 passed=1 }", self.msg("n:", "getstats"))
        self.assertEqual([], list(self.local.inbox))

    def test_errno(self) -> None:
        """errno tells by which errno a line or a call fails, 0 if it does not."""
        self.assertEqual(ENOENT, self.errno("show nobody:"))
        self.assertEqual(0, self.errno("show ."))
        self.assertEqual(ENOSYS, self.errno(lambda: self.msg(".", "nonsense")))
        self.assertEqual(0, self.errno(lambda: None))

    def test_take(self) -> None:
        """take returns what arrived since the last time."""
        self.graph("connect . a b")
        self.send("a", b"1")
        self.assertEqual({"b": [b"1"]}, self.take())
        self.send("a", b"2")
        self.assertEqual({"b": [b"2"]}, self.take())
        self.assertEqual({}, self.take())

    def test_no_files(self) -> None:
        """Commands that need files are refused."""
        for line in ("read x", "dot x", "write a -f x"):
            self.assertEqual(EOPNOTSUPP, self.errno(line))

    def test_turns(self) -> None:
        """A turn does what waited when it began; settle takes turns until nothing waits."""
        done: list[str] = []
        self.net.soon(lambda: done.append("now"))

        def later() -> None:
            self.net.soon(lambda: done.append("later"))

        self.net.soon(later)
        self.turn()
        self.assertEqual(["now"], done)
        self.assertEqual(1, self.settle())
        self.assertEqual((["now", "later"], 0), (done, self.settle()))

    def test_never_settled(self) -> None:
        """settle gives up on a graph that has work for ever."""
        self.graph("mkpeer echo a a", "mkpeer a echo b b")
        self.node("a").hooks["b"].send_data(EOF)
        error = self.assertRaises(AssertionError, self.settle, 5)
        self.assertIn("work left after 5 turns", str(error))

    def test_clock(self) -> None:
        """The graph's time is the test's."""
        self.clock.advance(3)
        self.assertEqual(3, self.net.clock())

    def test_flush_bugs(self) -> None:
        """Bugs that are taken do not fail the test."""
        self.net.bug(self.local, KeyError("x"))
        self.net.bug(self.local, ValueError("y"))
        self.assertEqual(["KeyError"], [type(bug).__name__ for bug in self.flush_bugs(KeyError)])
        self.assertEqual(["ValueError"], [type(bug).__name__ for bug in self.flush_bugs()])

    def test_available(self) -> None:
        """Types of the test are offered beside the installed ones."""
        self.assertLessEqual({"relay", "recorder", "hub"}, {*self.net.available()})
        places = {one.type: one.origin for one in self.net.origins()}
        self.assertEqual("the test", places["relay"])
        self.assertIn("ngksock", places["hub"])


class TearDownTests(SynchronousTestCase):
    def outcome(self, body: Callable[[GraphTestCase], object]) -> str:
        """Return how a test case with *body* as its test fails, or ""."""

        class Case(GraphTestCase):
            def test_it(self) -> None:
                """Whatever *body* does leaves nothing behind."""
                body(self)

        result = unittest.TestResult()
        Case("test_it").run(result)
        return "".join(str(text) for _, text in result.failures + result.errors)

    def test_clean(self) -> None:
        """A test may leave its graph standing, with packets waiting."""
        self.assertEqual("", self.outcome(lambda case: case.graph("mkpeer hub a a", "name a h")))
        self.assertEqual(
            "", self.outcome(lambda case: case.graph("mkpeer echo a a", "mkpeer a echo b b"))
        )

    def test_bug(self) -> None:
        """A bug of a node fails the test."""
        text = self.outcome(lambda case: case.net.bug(case.local, KeyError("x")))
        self.assertIn("a node had a bug: KeyError('x')", text)

    def test_delayed_call(self) -> None:
        """A delayed call that is left fails the test."""
        self.assertIn("is left", self.outcome(lambda case: case.clock.callLater(1, print)))

    def test_node(self) -> None:
        """A node that does not end fails the test."""

        def body(case: GraphTestCase) -> None:
            case.net.add(recorder, _Immortal())

        self.assertIn("of type recorder is left", self.outcome(body))

    def test_peerless(self) -> None:
        """A hook without its peer fails the test."""

        def body(case: GraphTestCase) -> None:
            case.graph("connect . a b")
            del case.local.hooks["a"]

        self.assertIn("has no proper peer", self.outcome(body))


class _Immortal(RecordingNode):
    def shutdown(self) -> bool:  # type: ignore[override]
        return True


class SandboxTests(SynchronousTestCase):
    def test_alone(self) -> None:
        """A sandbox serves test runners of any kind, in a dry run too."""
        sandbox = Sandbox(checking=True)
        self.assertTrue(sandbox.graph.checking)
        self.assertIs(sandbox.local, next(iter(sandbox.graph)))
        sandbox.graph.report("a sentence", None)
        self.assertEqual(["a sentence"], sandbox.reports)
        sandbox.close()

    def test_high(self) -> None:
        """A sink that is still high when all is closed is found."""
        sandbox = Sandbox()
        sandbox.graph.flow._reached[Hook(sandbox.local, "x")] = []
        error = self.assertRaises(AssertionError, sandbox.close)
        self.assertIn("1 sinks are still high", str(error))
