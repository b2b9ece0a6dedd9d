"""Third parties' nodes that fail in every callback, or return nonsense: they harm nobody."""

from __future__ import annotations

import contextlib
import itertools

from twisted.trial.unittest import SynchronousTestCase

from ngksock.netgraph import Node, Packet
from ngksock.netgraph.port import GraphPort
from ngksock.netgraph.session import Session
from ngksock.plugin import NodeType
from ngksock.service.host import _counters, _summary
from ngksock.testing import GraphTestCase, RecordingNode, Sandbox
from tests.strange import CALLBACKS, WAYS, strange

LINES = (
    "mkpeer strange x in", "name x odd", "connect odd: y out", "mkpeer odd: strange more more",
    "msg odd: setlimit 5", "msg odd: getlimit", "msg odd: config", "msg odd: describe",
    "msg odd: nonsense", "status odd:", "config odd:", "show odd:", "list -l", "dot", "types",
    "rmhook odd: out", "shutdown odd:",
)  # fmt: skip


class CallbackTests(SynchronousTestCase):
    """Each callback, gone wrong in each way."""

    def play(self, sandbox: Sandbox) -> list[str]:
        """Do with nodes of type strange what can be done; return the names of the bugs."""
        graph, local = sandbox.graph, sandbox.local
        port = GraphPort(graph, local, inbox=local.inbox)
        session = Session(port, lambda text: None, lambda text: None, None)  # type: ignore[arg-type]
        for line in LINES:
            with contextlib.suppress(OSError):
                session.run(line)
            with contextlib.suppress(OSError):
                session.show_received()
            for name in list(local.hooks):
                hook = local.hooks.get(name)
                if name in "xy" and hook is not None:
                    with contextlib.suppress(OSError):
                        hook.send_data(Packet(b"1"))
                    local.send_batch(name, [b"1", b"2"])
                    hook.send_flow(True)
                    hook.send_flow(False)
            sandbox.pass_time(2)
            list(_summary(graph, "a test"))
            list(_counters(graph))
        return [str(type(bug).__name__) for bug in sandbox.bugs]

    def test_all(self) -> None:
        """Nothing but OSError comes out of the graph, and the nodes beside are well."""
        for where, way in itertools.product(CALLBACKS, WAYS):
            with self.subTest(where=where, way=way):
                self.one(where, way)

    def one(self, where: str, way: str) -> None:
        sandbox = Sandbox(strange("strange", where, way))
        session = Session(GraphPort(sandbox.graph, sandbox.local), lambda text: None,
                          lambda text: None, None)  # type: ignore[arg-type]  # fmt: skip
        session.run("mkpeer hub a a")
        session.run("connect a b b")
        bugs = self.play(sandbox)
        sandbox.local.forget()
        sandbox.local.send("a", b"alive")
        self.assertEqual({"b": [b"alive"]}, sandbox.local.received)
        if way in ("bug", "exit", "odd", "generator") and where not in ("config", "__repr__"):
            name = "KeyError" if way == "bug" else "EscapeError"
            self.assertIn(name, bugs, f"{where} {way}")
        sandbox.bugs.clear()
        nodes = list(sandbox.graph)
        sandbox.graph.close()
        sandbox.settle()
        stays = where == "shutdown" and way == "true"
        left = [node for node in nodes if node.id in sandbox.graph.nodes]
        self.assertEqual(stays, bool(left), f"{where} {way}: {left}")


class ConstructorTests(GraphTestCase):
    """Constructors that return what is no node."""

    def test_nonsense(self) -> None:
        """Each is EINVAL, reported once, and leaves nothing."""
        only = RecordingNode()
        things: list[object] = [None, 5, "x", [], Node, only]
        for number, made in enumerate(things):
            name = f"odd{number}"
            self.sandbox._types[name] = NodeType(name, 1, lambda made=made: made)  # type: ignore[misc]
            if made is only:
                self.graph(f"mkpeer {name} only only", "name only only")
            before = len(self.net.nodes)
            for _ in range(2):
                self.assertNotEqual(0, self.errno(f"mkpeer {name} a a"), name)
            self.assertEqual(before, len(self.net.nodes), name)
            self.assertEqual(1, len(self.flush_bugs()), name)
        self.assertIs(only, self.node("only:"))

    def test_hook_names(self) -> None:
        """hook_names that are no tuple refuse hooks, and describe is EINVAL."""
        for names in (5, None, "abc", object(), {"a": 1}, [b"x", 3]):
            cls = type("Odd", (Node,), {"hook_names": names})
            self.sandbox._types["odd"] = NodeType("odd", 1, cls)
            self.net.types.pop("odd", None)
            with contextlib.suppress(OSError):
                self.graph("mkpeer odd a a", "msg a describe")
            self.errno("rmhook a")
            self.flush_bugs()

    def test_own_layout(self) -> None:
        """A layout that fails is the node's bug, not the file's."""

        class Broken:
            size = None
            minsize = 0

            def __getattr__(self, name: str) -> object:
                raise ZeroDivisionError(name)

        from ngksock.netgraph import command

        class Odd(Node):
            @command(1, arg=Broken())  # type: ignore[call-overload]
            def a(self, value: object) -> None:
                """Take anything."""

        self.sandbox._types["odd"] = NodeType("odd", 1, Odd)
        self.graph("mkpeer odd a a")
        for line in ("msg a a 1", "msg a describe"):
            self.assertNotEqual(0, self.errno(line))
        self.assertTrue(self.flush_bugs(ZeroDivisionError))
