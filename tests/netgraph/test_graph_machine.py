"""A graph under random orders: whatever is done to it, what it keeps agrees with itself."""

from __future__ import annotations

import contextlib

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from ngksock.netgraph import Hook, Node, Packet
from ngksock.netgraph.ngctl import LineError
from ngksock.plugin import NodeType
from tests.netgraph.rig import GraphTests

HOOKS = st.sampled_from("abc")
PATHS = st.sampled_from(["me:", "n1:", "n2:", "n3:", ".", "a", "b", "a.b", "n1:a", "n2:b.c"])
NAMES = st.sampled_from(["n1", "n2", "n3", "n4"])


class Lasting(Node):
    """Stays when it is shut down, as an interface would."""

    def shutdown(self) -> bool:
        return True


class Moody(Node):
    """Refuses hooks called c, and ends when a packet comes in by hook b."""

    def newhook(self, hook: Hook, name: str) -> None:
        if name == "c":
            raise OSError(1, "not c")

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        if hook.name == "b":
            self.graph.rmnode_self(self)


class GraphMachine(RuleBasedStateMachine):
    """Random ngctl lines, packets, words of flow and bypasses, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.test = GraphTests()
        self.test.setUp()
        self.test.add(NodeType("lasting", 1, Lasting), NodeType("moody", 2, Moody))
        self.high: list[Hook] = []

    def run(self, line: str) -> None:
        with contextlib.suppress(LineError):
            self.test.session.run(line)

    @rule(path=PATHS, kind=st.sampled_from(["hub", "pass", "train", "lasting", "moody"]),
          ours=HOOKS, theirs=HOOKS, name=NAMES)  # fmt: skip
    def mkpeer(self, path: str, kind: str, ours: str, theirs: str, name: str) -> None:
        self.run(f"mkpeer {path} {kind} {ours} {theirs}")
        self.run(f"name {path.rstrip('.')}{'' if path[-1] in ':.' else '.'}{ours} {name}")

    @rule(one=PATHS, other=PATHS, ours=HOOKS, theirs=HOOKS)
    def connect(self, one: str, other: str, ours: str, theirs: str) -> None:
        self.run(f"connect {one} {other} {ours} {theirs}")

    @rule(path=PATHS, name=NAMES)
    def rename(self, path: str, name: str) -> None:
        if path not in ("me:", "."):
            self.run(f"name {path} {name}")

    @rule(path=PATHS, hook=HOOKS)
    def rmhook(self, path: str, hook: str) -> None:
        self.run(f"rmhook {path} {hook}")

    @rule(path=PATHS)
    def shutdown(self, path: str) -> None:
        node = self.at(path)
        if node is not None and node is not self.test.me:
            self.run(f"shutdown {path}")

    @rule(path=PATHS, one=HOOKS, other=HOOKS)
    def bypass(self, path: str, one: str, other: str) -> None:
        node = self.at(path)
        if node is not None and one != other and {one, other} <= set(node.hooks):
            self.test.graph.bypass(node.hooks[one], node.hooks[other])

    @rule(path=PATHS, kind=st.sampled_from(["hub", "pass", "train", "lasting", "moody"]),
          hook=HOOKS, ours=HOOKS, theirs=HOOKS, name=NAMES)  # fmt: skip
    def insert(self, path: str, kind: str, hook: str, ours: str, theirs: str, name: str) -> None:
        self.run(
            f'msg {path} insert {{ hook="{hook}" type="{kind}" in="{ours}" out="{theirs}"'
            f' name="{name}" }}'
        )

    @rule(path=PATHS, one=HOOKS, other=HOOKS)
    def join(self, path: str, one: str, other: str) -> None:
        self.run(f'msg {path} bypass {{ in="{one}" out="{other}" }}')

    @rule(path=PATHS, hook=HOOKS)
    def send(self, path: str, hook: str) -> None:
        node = self.at(path)
        if node is not None and hook in node.hooks:
            with contextlib.suppress(OSError):
                node.hooks[hook].send_data(Packet(b"p"))

    @rule(path=PATHS, hook=HOOKS, high=st.booleans())
    def flow(self, path: str, hook: str, high: bool) -> None:
        node = self.at(path)
        if node is not None and hook in node.hooks:
            node.hooks[hook].send_flow(high)
            if high:
                self.high.append(node.hooks[hook])

    @rule()
    def turn(self) -> None:
        self.test.turn()

    def at(self, path: str) -> Node | None:
        with contextlib.suppress(OSError):
            return self.test.graph.find(path, self.test.me)[0]
        return None

    @invariant()
    def whole(self) -> None:
        """Links are symmetric, maps agree, nothing waits that nobody will fetch."""
        graph, held = self.test.graph, 0
        for number, node in graph.nodes.items():
            assert (number, True, False, 0) == self.test.state(node)
            for name, hook in node.hooks.items():
                assert (hook.name, hook.node, hook.valid) == (name, node, True)
                assert hook.peer is not hook and hook.peer.peer is hook
                assert hook.peer.node.hooks[hook.peer.name] is hook.peer
                assert graph.nodes[hook.peer.node.id] is hook.peer.node
                held += hook.waiting
        assert graph.names == {n.name: n for n in graph.nodes.values() if n.name}
        kinds = [node.type.name for node in graph.nodes.values()]
        assert {k: c for k, c in graph.living.items() if c} == {k: kinds.count(k) for k in kinds}
        assert (graph.work.held, graph.work.depth, len(graph._queued)) == (held, 0, 0)
        assert len(self.test.turns) in ((1,) if len(graph.work) else (0, 1))  # what waited may go
        assert [error for _, error in self.test.reports if error] == []

    @invariant()
    def flowing(self) -> None:
        """A hook is high exactly where a wave of a high sink came in."""
        flow = self.test.graph.flow
        marked = {
            (hook, sink)
            for node in self.test.graph
            for hook in node.hooks.values()
            for sink in hook.sinks or ()
        }
        assert marked == {(h, s) for s, hooks in flow._reached.items() for h in hooks if h.valid}
        assert all(sink.valid for sink in flow._reached)

    def teardown(self) -> None:
        for hook in self.high:
            hook.send_flow(False)
        assert len(self.test.graph.flow) == 0
        self.flowing()
        for node in list(self.test.graph):
            if isinstance(node, Lasting):
                node.shutdown = lambda: False  # type: ignore[method-assign]
        self.test.graph.close()
        self.test.turn(99)
        assert (len(self.test.graph.nodes), len(self.test.graph.work)) == (0, 0)


class MachineTests(SynchronousTestCase):
    def test_any_order(self) -> None:
        """No order of lines, packets and words breaks what the graph keeps."""
        run_state_machine_as_test(
            GraphMachine,
            settings=settings(max_examples=50, stateful_step_count=30, deadline=None),
        )
