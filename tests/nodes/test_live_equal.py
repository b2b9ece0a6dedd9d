"""Nodes put into live edges, and taken out, under load: the far ends see what they would have."""

from __future__ import annotations

import os
import socket
from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ngksock.nodes.ksocket import fuse
from tests.nodes.editing import KINDS, EditedDatagrams, EditedStreams
from tests.nodes.facing import DEADLINE

MORE: Final = int(os.environ.get("NGKSOCK_EXAMPLES", "1"))
PLACES: Final = st.integers(0, 40)
EDIT: Final = st.one_of(
    st.tuples(st.just("insert"), st.sampled_from(("tee", "hub", *KINDS)), PLACES),
    st.tuples(st.just("bypass"), st.just(""), PLACES),
    st.tuples(st.just("look"), st.just(""), PLACES),
)
SIZE: Final = st.sampled_from((0, 1, 64, 3000, 20_000, 70_000, 300_000))
PAUSE: Final = st.sampled_from(("turn", "turn", "turn", "settle"))
STREAM_ROUNDS: Final = st.lists(
    st.tuples(SIZE, SIZE, PAUSE, st.integers(1, 25), EDIT, SIZE, SIZE), min_size=6, max_size=20
)
"""What either end writes, how long that travels, an edit, and what either end reads then."""
TRAIN: Final = st.tuples(st.sampled_from((0, 1, 60, 500, 1400)), st.integers(0, 20))
DATAGRAM_ROUNDS: Final = st.lists(
    st.tuples(TRAIN, TRAIN, PAUSE, st.integers(0, 3), EDIT), min_size=6, max_size=20
)

SHUTS: Final = st.tuples(st.integers(3, 60), st.integers(3, 60))

Round = tuple[Any, ...]


class StreamRun:
    """
    One run of steps over two facing streams.

    Args:
        how: The way a socket layer has.
        family: Of the sockets.
    """

    def __init__(self, how: str, family: str = "inet") -> None:
        self.facing = EditedStreams(how, family)
        self.written = {"client": bytearray(), "server": bytearray()}

    def run(self, rounds: list[Round], shuts: tuple[int, int]) -> Any:
        """
        Carry out *rounds*; return what the far ends saw and what was counted.

        Args:
            rounds: The rounds.
            shuts: After which of them client and server send an end of file.
        """
        facing = self.facing
        try:
            for number, (mine, yours, pause, turns, edit, here, there) in enumerate(rounds):
                self.write("client", mine)
                self.write("server", yours)
                if pause == "settle":
                    self.settle()
                for _ in range(turns):
                    for end in facing.ends.values():
                        end.push()
                    facing.turn()
                facing.middles.edit(*edit)
                for name, size, last in zip(facing.ends, (here, there), shuts, strict=True):
                    facing.ends[name].read(max(size, 1))
                    facing.ends[name].shuts |= number == last
            self.settle()
            self.probe()
            return self.seen()
        finally:
            facing.close()

    def probe(self) -> None:
        """Whatever is between now sees what is sent now."""
        middles = self.facing.middles
        if not (middles.whole and not any(end.shuts for end in self.facing.ends.values())):
            return
        before = middles.passed()
        self.write("client", 1000)
        self.write("server", 500)
        self.settle()
        assert middles.passed() == [(a + 1000, b + 500) for a, b in before], "a node is gone past"

    def settle(self) -> None:
        """Let all arrive; a pipe may wait for the time, in which nothing moves."""
        until = self.facing.reactor.seconds() + DEADLINE
        while self.facing.reactor.seconds() < until:
            self.facing.settle()
            if all(
                len(end.got) >= len(self.written[other])
                and (end.over == "end" or not self.facing.ends[other].shuts)
                for (_, end), other in zip(
                    self.facing.ends.items(), ("server", "client"), strict=True
                )
            ):
                return

    def write(self, name: str, size: int) -> None:
        """Have one end send *size* bytes more."""
        end = self.facing.ends[name]
        if not end.shuts and end.over in ("", "end"):
            start = len(self.written[name])
            data = bytes((start + n * 31) & 255 for n in range(251)) * (size // 251 + 1)
            end.out += data[:size]
            self.written[name] += data[:size]
            end.push()

    def seen(self) -> Any:
        """Return what came, when it is what was sent, and what the hooks of both ends counted."""
        facing = self.facing
        facing.middles.check()
        for name, other in (("client", "server"), ("server", "client")):
            end, wanted = facing.ends[name], bytes(self.written[other])
            got = bytes(end.got)
            assert got == wanted, f"{name} got {len(got)} of {len(wanted)}, or others"
            assert (end.over == "end") == facing.ends[other].shuts, f"{name} is {end.over}"
        counted = []
        for node in (facing.near, facing.far):
            if node.valid and node.so is not None:
                (hook,) = node.hooks.values()
                counted.append((hook.bytes, dict(hook.drops), node.so.rcvbytes, node.so.sndbytes))
        return {name: bytes(end.got) for name, end in facing.ends.items()}, counted


class StreamTests(SynchronousTestCase):
    """In each way a socket layer relays streams."""

    def setUp(self) -> None:
        self.patch(fuse, "READS", 2)  # so that those who were parted are soon fused again

    def same(self, rounds: list[Round], shuts: tuple[int, int], family: str = "inet") -> None:
        """Assert that each way brings the same."""
        ways = ("off", "fuse", "splice")
        first, *others = [StreamRun(way, family).run(rounds, shuts) for way in ways]
        for way, other in zip(ways[1:], others, strict=True):
            self.assertTrue(first == other, f"{way}: {rounds}, {shuts}")

    @settings(max_examples=40 * MORE, deadline=None)
    @given(STREAM_ROUNDS, SHUTS)
    def test_inet(self, rounds: list[Round], shuts: tuple[int, int]) -> None:
        """Not one byte is lost, doubled or out of its place."""
        self.same(rounds, shuts)

    @settings(max_examples=15 * MORE, deadline=None)
    @given(STREAM_ROUNDS, SHUTS)
    def test_local(self, rounds: list[Round], shuts: tuple[int, int]) -> None:
        """Over local sockets."""
        self.same(rounds, shuts, "local")


class DatagramTests(SynchronousTestCase):
    """In each way a socket layer moves datagrams."""

    def all_ways(self, rounds: list[Round], inet: int = socket.AF_INET) -> None:
        """Carry out *rounds* in each, and see that all arrives."""
        for how in ("off", "mmsg", "segments"):
            path = EditedDatagrams(how, inet)
            try:
                for mine, yours, pause, turns, edit in rounds:
                    path.write("client", *mine)
                    path.write("server", *yours)
                    path.turn(turns)
                    if pause == "settle":
                        path.settle()
                        path.check()
                    path.middles.edit(*edit)
                    path.read()
                path.settle()
                before = path.middles.passed()
                path.write("client", 96, 10)
                path.write("server", 46, 10)
                path.settle()
                path.check()
                passed = [(a + 1000, b + 500) for a, b in before]
                self.assertEqual(passed, path.middles.passed())
            finally:
                path.close()

    @settings(max_examples=40 * MORE, deadline=None)
    @given(DATAGRAM_ROUNDS)
    def test_inet(self, rounds: list[Round]) -> None:
        """Not one datagram is lost, doubled or out of order."""
        self.all_ways(rounds)

    @settings(max_examples=15 * MORE, deadline=None)
    @given(DATAGRAM_ROUNDS)
    def test_inet6(self, rounds: list[Round]) -> None:
        """Over inet6."""
        self.all_ways(rounds, socket.AF_INET6)
