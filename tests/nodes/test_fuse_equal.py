"""The same traffic in each way a socket layer has to relay it: the far ends see the same."""

from __future__ import annotations

import os
from typing import Any, Final

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ngksock.kpi import relay
from ngksock.netgraph.live import insert
from ngksock.nodes.ksocket import fuse
from tests.nodes.facing import MIDDLES, Facing

MORE: Final = int(os.environ.get("NGKSOCK_EXAMPLES", "1"))
SOURCE: Final = {"left2right": "left", "right2left": "right"}
WAYS: Final = ("off", "fuse", "splice")
SIDES: Final = st.sampled_from(("client", "server"))
SIZES: Final = st.sampled_from((1, 1, 64, 3000, 20_000, 70_000, 300_000))
EDGE: Final = st.sampled_from(
    ("look", "look back", "look away", "out", "clear", "small", "large", "eof", "insert")
)
STEPS: Final = st.lists(
    st.one_of(
        st.tuples(st.just("write"), SIDES, SIZES),
        st.tuples(st.just("write"), SIDES, SIZES),
        st.tuples(st.just("read"), SIDES, SIZES),
        st.tuples(st.just("turn"), st.just(""), st.integers(1, 30)),
        st.tuples(st.just("shut"), SIDES, st.just(0)),
        st.tuples(st.just("edge"), EDGE, st.just(0)),
        st.tuples(st.just("settle"), st.just(""), st.just(0)),
        st.tuples(st.just("cut"), SIDES, st.just(0)),
    ),
    min_size=1,
    max_size=25,
)


class Schedule:
    """
    One run of steps over a `Facing`.

    Args:
        how: The way.
        middle: What stands between.
        family: Which sockets.
    """

    def __init__(self, how: str, middle: str, family: str) -> None:
        self.facing = Facing(how, middle, family)
        self.written = {"client": bytearray(), "server": bytearray()}
        self.was_cut = self.inserted = False
        self.seed = 0
        self.middle = middle
        self.looked: dict[tuple[Any, str], int] = {}  # how much had gone by before

    def run(self, steps: list[tuple[str, str, int]]) -> Any:
        """Carry out *steps*, and return what the far ends saw and what was counted."""
        facing = self.facing
        try:
            for what, which, size in steps:
                getattr(self, what)(which, size)
            facing.settle()
            self.check()
            seen = {name: (bytes(end.got), end.over) for name, end in facing.ends.items()}
            return seen, self.counted()
        finally:
            facing.close()

    def counted(self) -> Any:
        """Return what was counted that does not depend on how often was read."""
        facing = self.facing
        if self.was_cut:
            return {}  # how much of what nobody takes was read, and lost, is as it happens
        octets = {}
        for node in facing.made:
            if node.type.name == "tee" and node.valid:
                stats = node.getstats()
                octets[node.name] = [
                    (stats.of(name).in_octets, stats.of(name).out_octets)
                    for name in ("left", "right")
                ]
        hooks = {}
        for name, node in (("near", facing.near), ("far", facing.far)):
            if node.valid and node.so is not None:
                hooks[name] = [
                    # A hub that came under load counts what was left by then.
                    (h.bytes, not self.inserted and h.peer.bytes, dict(h.drops))
                    for h in node.hooks.values()
                ]
                hooks[name] += [node.so.rcvbytes, node.so.sndbytes, node.so.sndcount]
                hooks[name].append(node.status().split(";")[0].replace(" held", "").split()[:2])
        return octets, hooks

    def check(self) -> None:
        """What has arrived is what was written, in order; all of it, if nothing was cut."""
        for name, other in (("client", "server"), ("server", "client")):
            got = bytes(self.facing.ends[name].got)
            written = bytes(self.written[other])
            assert written.startswith(got), f"{name} got {len(got)} bytes, some of them others"
            assert self.was_cut or got == written, f"{name} got {len(got)} of {len(written)}"
        for (tee, hook), before in self.looked.items():
            whole = self.written["client" if self.from_near(tee, hook) else "server"]
            data = self.facing.local.received.get(tee.name + hook, ())
            seen = b"".join(part for part in data if isinstance(part, bytes))
            assert seen in whole, f"{hook} saw {len(seen)} bytes, with a gap"
            if hook in tee.hooks:
                passed = tee.getstats().of(SOURCE[hook]).in_octets - before
                assert len(seen) == passed, f"{hook} saw {len(seen)} of {passed} bytes"

    def from_near(self, tee: Any, hook: str) -> bool:
        """Whether what comes from the near ksocket is copied to that hook of *tee*."""
        place = self.facing.made.index(tee)
        return bool(MIDDLES[self.middle][place][1] == SOURCE[hook])

    # -- steps

    def write(self, name: str, size: int) -> None:
        """Have one end send *size* bytes more."""
        end = self.facing.ends[name]
        if end.shuts or end.over not in ("", "end") or end.sock.fileno() < 0:
            return
        self.seed += 1
        data = bytes((self.seed * 7 + n * 31) & 255 for n in range(251)) * (size // 251 + 1)
        end.out += data[:size]
        self.written[name] += data[:size]
        end.push()

    def read(self, name: str, size: int) -> None:
        """Have one end read."""
        self.facing.ends[name].read(size)

    def turn(self, _: str, count: int) -> None:
        """Let the reactor turn, while the ends send and do not read."""
        for _turn in range(count):
            for end in self.facing.ends.values():
                end.push()
            self.facing.turn()

    def settle(self, _: str, __: int) -> None:
        """Let all arrive."""
        self.facing.settle()

    def shut(self, name: str, _: int) -> None:
        """Have one end send its end of file, after all before it."""
        self.facing.ends[name].shuts = True

    def cut(self, name: str, _: int) -> None:
        """Reset, when nothing is under way: what a reset overtakes is the system's affair."""
        self.facing.settle()
        end = self.facing.ends[name]
        if end.sock.fileno() >= 0:
            self.check()
            self.was_cut = True
            end.cut()
            self.facing.settle()

    def edge(self, what: str, _: int) -> None:
        """Change the edge, or a node on it, whatever is under way."""
        facing = self.facing
        middle = next((node for node in facing.made if node.valid), None)
        if what in ("small", "large"):
            for node in (facing.near, facing.far):
                if node.valid and node.so is not None:
                    size = 5000 if what == "small" else 1 << 20
                    node.so.so_snd.hiwat = size
        elif what == "insert":
            self.insert()
        elif what == "eof":
            facing.settle()
            self.check()
            self.was_cut = True  # what comes behind it is lost
            if facing.far.valid and facing.far.so is not None and not facing.far._eof_received:
                facing.far.eof()
        elif middle is None or middle.type.name != "tee":
            return
        elif what in ("look", "look back"):
            hook = "left2right" if what == "look" else "right2left"
            if hook not in middle.hooks:
                self.looked[middle, hook] = middle.getstats().of(SOURCE[hook]).in_octets
                facing.local.received.pop(middle.name + hook, None)
                facing.lines(f"connect . {middle.name}: {middle.name}{hook} {hook}")
        elif what == "look away":
            for hook in list(facing.local.hooks):
                facing.lines(f"rmhook {hook}")
        elif what == "out":
            facing.lines(f"shutdown {middle.name}:")
        elif what == "clear":
            facing.lines(f"msg {middle.name}: getstats")

    def insert(self) -> None:
        """Put a hub into the live link at the near ksocket, which is told nothing of it."""
        hook = self.facing.near.hook
        if hook is None or not hook.valid:
            return
        self.inserted = True
        insert(self.facing.graph, hook, "hub", "one", "other")


class EqualTests(SynchronousTestCase):
    """Whatever the steps, each way brings the same."""

    def setUp(self) -> None:
        self.patch(fuse, "READS", 2)  # so that those who were parted are soon fused again
        self.patch(relay, "CHUNK", 5000)  # so that one splice is often not all
        self.patch(relay, "ALONE", 1)

    def same(self, middle: str, steps: list[tuple[str, str, int]], family: str = "inet") -> None:
        """Assert that each way brings what the first does."""
        first, *others = [Schedule(way, middle, family).run(steps) for way in WAYS]
        for way, other in zip(WAYS[1:], others, strict=True):
            if first != other:  # both are long: say by which steps it came
                self.fail(f"{way} of {family} {middle}: {steps}")

    @settings(max_examples=40 * MORE, deadline=None)
    @given(STEPS)
    @example([("write", "client", 300_000), ("turn", "", 9), ("shut", "client", 0)])
    @example([("write", "server", 1), ("shut", "server", 0), ("write", "client", 70_000)])
    @example([("write", "client", 9), ("settle", "", 0), ("cut", "client", 0)])
    @example([("write", "client", 70_000), ("turn", "", 2), ("edge", "insert", 0)])
    def test_plain(self, steps: list[tuple[str, str, int]]) -> None:
        """Two ksockets that are linked."""
        self.same("plain", steps)

    @settings(max_examples=40 * MORE, deadline=None)
    @given(STEPS)
    @example(
        [
            ("write", "client", 300_000),
            ("turn", "", 9),
            ("edge", "out", 0),
            ("write", "server", 70_000),
        ]
    )
    @example([("write", "client", 300_000), ("turn", "", 9), ("edge", "look", 0), ("turn", "", 9)])
    def test_tee(self, steps: list[tuple[str, str, int]]) -> None:
        """A tee between them, onlookers that come and go, and its own end under load."""
        self.same("tee", steps)

    @settings(max_examples=25 * MORE, deadline=None)
    @given(st.sampled_from(sorted(MIDDLES)), STEPS)
    def test_middles(self, middle: str, steps: list[tuple[str, str, int]]) -> None:
        """Tees and a hub between them."""
        self.same(middle, steps)

    @settings(max_examples=10 * MORE, deadline=None)
    @given(STEPS)
    def test_inet6(self, steps: list[tuple[str, str, int]]) -> None:
        """Over inet6."""
        self.same("tee", steps, "inet6")

    @settings(max_examples=20 * MORE, deadline=None)
    @given(STEPS)
    def test_local(self, steps: list[tuple[str, str, int]]) -> None:
        """Over local sockets."""
        self.same("tee", steps, "local")
