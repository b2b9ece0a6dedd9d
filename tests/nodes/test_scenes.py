"""Nodes that sort or change packets, at work: real frames, changes meanwhile, rude neighbours."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from errno import EIO, EPERM
from random import Random
from sys import byteorder
from typing import Any, Final

from twisted.trial.unittest import SynchronousTestCase

from ngksock.netgraph import Batch, Hook, Message, Packet
from ngksock.netgraph.edges import connect
from ngksock.plugin import find_type
from ngksock.testing import RecordingNode
from ngksock.testing.stage import Stage, errno_of
from tests.nodes.frames import SCENES, Scene, packet

SEEDS: Final = 25
GONE: Final = "the neighbour has enough"


class Neighbour(RecordingNode):
    """Keeps all of what it receives; at some events it does what ``plan`` says."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, list[tuple[object, ...]]] = {}
        self.plan: dict[int, Callable[[], object]] = {}
        self.count = 0

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        tags = tuple((tag.cookie, tag.type, tag.data) for tag in packet.tags)
        kept = bytes(packet), packet.eof, type(packet), tags
        self.kept.setdefault(hook.name, []).append(kept)
        super().rcvdata(hook, packet)
        self._act()

    def rcvflow(self, hook: Hook, high: bool) -> None:
        super().rcvflow(hook, high)
        self._act()

    def _act(self) -> None:
        self.count += 1
        self.plan.pop(self.count, int)()


def stage_of(scene: Scene, r: Random, checking: bool = False) -> Stage:
    """Set a scene, its hooks made in any order."""
    kind = find_type(scene.kind)
    hooks = r.sample(scene.hooks, len(scene.hooks))
    return Stage(kind, hooks, scene.setup, local=Neighbour(), checking=checking)


def change(scene: Scene, r: Random, stage: Stage) -> None:
    """Send the node of a scene any message; it may refuse it."""
    if scene.setup + scene.changes:
        with contextlib.suppress(OSError):
            stage.tell(r.choice(scene.setup + scene.changes))


def relink(scene: Scene, r: Random, stage: Stage) -> None:
    """Remove a hook of the scene, or make it again."""
    name = r.choice(scene.hooks)
    hook = stage.node.hooks.get(name)
    if hook is None and stage.node.valid:
        with contextlib.suppress(OSError):
            connect(stage.graph, stage.local, name, stage.node, name)
    elif hook is not None and len(stage.node.hooks) > 1:
        stage.graph.rmhook(hook)


class SceneTests(SynchronousTestCase):
    """Promises of all of them."""

    def test_batches(self) -> None:
        """Real frames in a batch have the same effect as one by one, counters and tags too."""
        for scene in SCENES:
            for seed in range(SEEDS):
                one, other = (self.effect(scene, seed, batches) for batches in (False, True))
                self.assertEqual(one, other, f"{scene.kind}, seed {seed}")

    def effect(self, scene: Scene, seed: int, batches: bool) -> dict[str, object]:
        """Return all that can be seen of what some packets did."""
        r = Random(seed)
        stage = stage_of(scene, r)
        local, node = stage.local, stage.node
        assert isinstance(local, Neighbour)
        for name in scene.hooks:
            if r.random() < 0.15:
                local.refuse("rcvdata", EIO, name)
        for _ in range(r.randrange(1, 7)):
            hook = local.hooks[r.choice(scene.hooks)]
            batch = Batch(packet(r) for _ in range(r.randrange(8)))
            before, octets = list(batch), batch.nbytes
            if batches:
                hook.send_batch(batch)
            else:
                for each in batch:
                    errno_of(hook.send_data, each)
            self.assertEqual((before, octets), (list(batch), batch.nbytes))
        stage.sandbox.settle()
        effect: dict[str, object] = {"received": local.kept, "status": stage.told("status")}
        for owner in (local, node):
            for name, hook in owner.hooks.items():
                effect[f"{owner!r} {name}"] = hook.packets, hook.bytes, hook.drops
        for row in stage.kind.commands.all:
            if row.arg is None and row.resp is not None and row.cookie is not None:
                effect[row.name] = stage.ask(Message(row.cookie, row.cmd))
        if scene.kind == "bridge":  # whose counters are asked for by link
            for link in (0, 1, 2, 0xFFFFFFFF):
                effect[f"stats {link}"] = stage.ask(
                    Message(1569321993, 4, link.to_bytes(4, byteorder))
                )
        if scene.kind == "bpf":
            for name in scene.hooks:
                effect[f"stats {name}"] = stage.ask(Message(944100792, 3, name.encode() + b"\0"))
        stage.end("after packets")
        return effect

    def test_config(self) -> None:
        """What config() says makes the same node, whatever the order of its hooks."""
        for scene in SCENES:
            for seed in range(SEEDS):
                r = Random(seed)
                stage = stage_of(scene, r)
                for _ in range(6):
                    change(scene, r, stage)
                lines = stage.lines()
                stage.end("after changes")
                for checking in (False, True):
                    bare = scene._replace(setup=())
                    again = stage_of(bare, r, checking)
                    for line in lines:
                        again.tell(line.removeprefix("msg . "))
                    self.assertEqual(sorted(lines), sorted(again.lines()), scene.kind)
                    again.end("after config")

    def test_pressure(self) -> None:
        """After any change of ways those are held whose packets may reach a full sink."""
        for scene in SCENES:
            for seed in range(SEEDS):
                r = Random(seed)
                stage = stage_of(scene, r)
                hooks = stage.local.hooks
                for _ in range(25):
                    move = r.randrange(5)
                    if move < 2:
                        hooks[r.choice(list(hooks))].send_flow(r.random() < 0.7)
                    elif move < 4:
                        change(scene, r, stage)
                    else:
                        relink(scene, r, stage)
                    held = {name for name, hook in hooks.items() if hook.high}
                    stage.graph.flow.rerouted(stage.node)
                    now = {name for name, hook in hooks.items() if hook.high}
                    self.assertEqual(now, held, f"{scene.kind}, seed {seed}")
                for hook in list(hooks.values()):
                    hook.send_flow(False)
                stage.end("after pressure")

    def test_rude_neighbours(self) -> None:
        """Whatever a neighbour does while it is served, the node goes on and ends as it should."""
        for scene in SCENES:
            for seed in range(3 * SEEDS):
                self.check_rude(scene, Random(seed))

    def check_rude(self, scene: Scene, r: Random) -> None:
        """Have a neighbour do some of it."""
        stage = stage_of(scene, r)
        local = stage.local
        assert isinstance(local, Neighbour)

        def fail() -> None:
            raise LookupError(GONE)

        def answer() -> None:
            if local.hooks:
                local.hooks[r.choice(list(local.hooks))].send_batch(Batch([packet(r), packet(r)]))

        def press() -> None:
            if local.hooks:
                local.hooks[r.choice(list(local.hooks))].send_flow(r.random() < 0.6)

        deeds: list[Callable[[], Any]] = [
            fail,
            answer,
            press,
            lambda: change(scene, r, stage),
            lambda: relink(scene, r, stage),
            lambda: relink(scene, r, stage),
            lambda: stage.graph.rmnode(stage.node) if r.random() < 0.3 else None,
        ]
        local.plan = {event: r.choice(deeds) for event in r.sample(range(1, 25), 6)}
        for _ in range(10):
            hook = local.hooks.get(r.choice(scene.hooks))
            if hook is not None:
                batch = Batch(packet(r) for _ in range(6))
                before = list(batch)
                if r.random() < 0.6:
                    hook.send_batch(batch)
                else:
                    for each in batch:
                        errno_of(hook.send_data, each)
                self.assertEqual(before, list(batch))
        stage.sandbox.settle()
        local.plan.clear()
        for hook in list(local.hooks.values()):
            hook.send_flow(False)
        self.assertIsInstance(stage.lines(), list)
        stage.told("status")
        bugs = stage.sandbox.bugs
        self.assertEqual([], [bug for bug in bugs if GONE not in str(bug)])
        bugs.clear()
        stage.end("after its neighbour was rude")

    def test_refused_hooks(self) -> None:
        """A hook that a neighbour refuses, whichever side asked, changes nothing."""
        for scene in SCENES:
            for name in scene.hooks:
                others = tuple(hook for hook in scene.hooks if hook != name)
                stage = Stage(find_type(scene.kind), others)
                for text in scene.setup:
                    with contextlib.suppress(OSError):  # it may be about the hook that is missing
                        stage.tell(text)
                for callback in ("newhook", "connect"):
                    stage.local.refuse(callback, EPERM, name)
                    for one, other in ((stage.node, stage.local), (stage.local, stage.node)):
                        refused = errno_of(connect, stage.graph, one, name, other, name)
                        self.assertEqual(EPERM, refused)
                    stage.local.refuse(callback, 0, name)
                lines = stage.lines()
                got = self.answers(stage, Random(1), others)
                stage.end("after a refusal")
                fresh = Stage(find_type(scene.kind), others)
                for text in scene.setup:
                    with contextlib.suppress(OSError):
                        fresh.tell(text)
                self.assertEqual(lines, fresh.lines())
                self.assertEqual(got, self.answers(fresh, Random(1), others), scene.kind)
                fresh.end("without refusal")

    def answers(self, stage: Stage, r: Random, hooks: tuple[str, ...]) -> dict[str, Any]:
        """Return what comes back of some packets."""
        for _ in range(20):
            errno_of(stage.local.hooks[r.choice(hooks)].send_data, packet(r))
        return stage.local.received
