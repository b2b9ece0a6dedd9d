"""bridge: whatever happens in whatever order, it does what a model of 60 lines does."""

from __future__ import annotations

import contextlib
from errno import EINVAL, ELOOP

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from ngksock.netgraph import Packet
from ngksock.netgraph.edges import connect
from ngksock.nodes.bridge import bridge
from ngksock.nodes.bridge.node import Bridge
from ngksock.testing.sandbox import Sandbox

HOOKS = ("link0", "link1", "link2", "link3", "uplink1", "uplink2")
NAMES = st.sampled_from(HOOKS)
HOSTS = st.sampled_from([bytes((2, 0, 0, 0, 0, n)) for n in range(1, 5)])
GROUPS = st.sampled_from([b"\xff" * 6, b"\1\0\x5e\0\0\1"])
HEADS = st.tuples(HOSTS | GROUPS, HOSTS | HOSTS | HOSTS | GROUPS)
FRAMES = HEADS.map(lambda head: b"".join(head) + b"\x08\0") | st.binary(max_size=13)


class Model:
    """What a bridge is said to do, with a list of hosts and whole seconds."""

    def __init__(self) -> None:
        self.hooks: list[str] = []
        self.private = False
        self.timeout, self.stale, self.stable = 60, 900, 1
        self.now = 0
        self.hosts: dict[bytes, tuple[str, int, int]] = {}  # hook, there since, last heard
        self.muted: dict[str, int] = {}

    def connect(self, hook: str) -> None:
        self.private |= not self.hooks and hook.startswith("uplink")
        self.hooks.append(hook)

    def forget(self, hook: str) -> None:
        self.hosts = {a: host for a, host in self.hosts.items() if host[0] != hook}

    def rmhook(self, hook: str) -> None:
        self.hooks.remove(hook)
        self.muted.pop(hook, None)
        self.forget(hook)

    def wait(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now += 1
            self.hosts = {a: h for a, h in self.hosts.items() if self.now - h[2] < self.stale}

    def send(self, hook: str, data: bytes) -> tuple[int, set[str]]:
        """Return the errno, and where the frame goes."""
        to, source, now = data[:6], data[6:12], self.now
        if len(data) < 14 or source[0] & 1:
            return EINVAL, set()
        if self.muted.get(hook, 0) > now:
            return ELOOP, set()
        if source in self.hosts:
            there, since, _ = self.hosts[source]
            self.hosts[source] = there, since, now
            if there != hook and now - since < self.stable:
                self.muted[hook] = now + self.timeout
                self.forget(hook)
                return ELOOP, set()
            if there != hook:
                self.hosts[source] = hook, now, now
        elif hook.startswith("link"):
            self.hosts[source] = hook, now, now
        if to in self.hosts:
            return 0, {self.hosts[to][0]} - {hook}
        few = self.private and not to[0] & 1
        return 0, {h for h in self.hooks if h != hook and not (few and h.startswith("link"))}


class BridgeMachine(RuleBasedStateMachine):
    """Frames, alone and in batches, time, links that come and go, and messages."""

    def __init__(self) -> None:
        super().__init__()
        self.sandbox = Sandbox()
        self.graph, self.local = self.sandbox.graph, self.sandbox.local
        node = self.graph.make(bridge)
        assert isinstance(node, Bridge)
        self.node, self.model = node, Model()
        self.node.setpersistent()

    @initialize(hooks=st.lists(NAMES, unique=True, min_size=2))
    def begin(self, hooks: list[str]) -> None:
        for hook in hooks:
            self.toggle(hook)

    @rule(hook=NAMES)
    def toggle(self, hook: str) -> None:
        if hook in self.node.hooks:
            self.graph.rmhook(self.node.hooks[hook])
            self.model.rmhook(hook)
        else:
            connect(self.graph, self.local, hook, self.node, hook)
            self.model.connect(hook)

    @rule(hook=NAMES, datas=st.lists(FRAMES, max_size=8), batch=st.booleans())
    def send(self, hook: str, datas: list[bytes], batch: bool) -> None:
        if hook not in self.node.hooks:
            return
        out = self.local.hooks[hook]
        expected: dict[str, list[bytes]] = {}
        drops: dict[int, int] = {}
        for data in datas:
            errno, hooks = self.model.send(hook, data)
            if errno:
                drops[errno] = drops.get(errno, 0) + 1
            for name in hooks:
                expected.setdefault(name, []).append(data)
        self.local.forget()
        out.drops.clear()
        if batch:
            self.local.send_batch(hook, datas)
        else:
            for data in datas:
                with contextlib.suppress(OSError):  # it is counted
                    out.send_data(Packet(data))
        assert self.local.received == expected
        assert out.drops == drops

    @rule(seconds=st.integers(1, 7))
    def wait(self, seconds: int) -> None:
        self.sandbox.pass_time(seconds)
        self.model.wait(seconds)

    @rule(timeout=st.integers(0, 4), stale=st.integers(0, 8), stable=st.integers(0, 3))
    def configure(self, timeout: int, stale: int, stable: int) -> None:
        settings = self.node.settings
        settings.loop_timeout = self.model.timeout = timeout
        settings.max_staleness = self.model.stale = stale
        settings.min_stable_age = self.model.stable = stable

    @rule()
    def reset(self) -> None:
        self.node.reset()
        self.model.hosts.clear()
        self.model.muted.clear()

    @rule(private=st.booleans())
    def setprivate(self, private: bool) -> None:
        self.node.setprivate(int(private))
        self.model.private = private

    @invariant()
    def same_table(self) -> None:
        """The tables are the same, and what the bridge keeps beside its own agrees with it."""
        now = self.model.now
        told = {
            host.addr: (host.hook, now - host.age, now - host.staleness)
            for host in self.node.gettable().hosts
        }
        assert told == self.model.hosts
        for hook in self.node.hooks.values():
            theirs = {a for a, host in self.node.hosts.items() if host.link is hook.private}
            assert hook.private.hosts == theirs
        assert self.node.timer.active or not self.node.hosts

    def teardown(self) -> None:
        self.sandbox.close()


class ModelTests(SynchronousTestCase):
    def test_any_order(self) -> None:
        """No order of frames, batches, links, time and messages tells the two apart."""
        run_state_machine_as_test(
            BridgeMachine,
            settings=settings(
                max_examples=150,
                stateful_step_count=30,
                deadline=None,
                database=None,
                derandomize=True,
            ),
        )
