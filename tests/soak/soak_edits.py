"""Live edges edited under load for a minute: nothing is lost, doubled or reordered."""

from __future__ import annotations

import os
import time
from collections import Counter
from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ngksock.nodes.ksocket import fuse
from tests.nodes.editing import KINDS, EditedDatagrams
from tests.nodes.test_live_equal import StreamRun

SECONDS = 30
SIZES = (0, 1, 64, 3000, 20_000, 70_000, 300_000, 1_000_000)
ROUNDS = 60


def edit(choose: Random) -> tuple[str, str, int]:
    """Return something to change."""
    what = choose.choice(("insert", "bypass", "bypass", "look"))
    kind = choose.choice(("tee", "hub", *KINDS)) if what == "insert" else ""
    return what, kind, choose.randrange(41)


class EditsSoak(SynchronousTestCase):
    """Random rounds, whose seed is told when they fail; it may be given in NGKSOCK_SEED."""

    def setUp(self) -> None:
        self.patch(fuse, "READS", 2)  # so that those who were parted are soon fused again
        self.seed = int(os.environ.get("NGKSOCK_SEED", time.time_ns() & 0xFFFFFF))
        self.made: Counter[str] = Counter()

    def seeds(self) -> Any:
        """Yield seeds for half a minute; the one that was given, just once."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            yield self.seed
            if "NGKSOCK_SEED" in os.environ:
                return
            self.seed += 1
        print(f"\n{sum(self.made.values())} runs: {dict(self.made)}")

    def test_streams(self) -> None:
        """Streams, fused or not, left to the kernel or not."""
        for seed in self.seeds():
            choose = Random(seed)
            rounds = [
                (
                    choose.choice(SIZES), choose.choice(SIZES),
                    choose.choice(("turn", "turn", "turn", "settle")), choose.randrange(1, 40),
                    edit(choose), choose.choice(SIZES), choose.choice(SIZES),
                )
                for _ in range(choose.randrange(6, ROUNDS))
            ]  # fmt: skip
            shuts = choose.randrange(3, 3 * ROUNDS), choose.randrange(3, 3 * ROUNDS)
            family = choose.choice(("inet", "inet", "inet6", "local"))
            seen = []
            for way in ("off", "fuse", "splice"):
                try:
                    seen.append(StreamRun(way, family).run(rounds, shuts))
                except AssertionError as error:
                    self.fail(f"seed {seed}, {way}, {family}: {error}")
                self.made[way] += 1
            self.assertTrue(seen[0] == seen[1] == seen[2], f"seed {seed}, {family}")

    def test_datagrams(self) -> None:
        """Datagrams, one by one, in batches, or in segments."""
        for seed in self.seeds():
            choose = Random(seed)
            path = EditedDatagrams(choose.choice(("off", "mmsg", "segments")))
            try:
                for _ in range(choose.randrange(6, 2 * ROUNDS)):
                    for side in path.sent:
                        path.write(side, choose.choice((0, 1, 60, 500, 1400)), choose.randrange(20))
                    path.turn(choose.randrange(4))
                    path.middles.edit(*edit(choose))
                    if not choose.randrange(3):
                        path.settle()
                        path.check()
                path.settle()
                path.check()
            except AssertionError as error:
                self.fail(f"seed {seed}: {error}")
            finally:
                path.close()
            self.made["datagrams"] += 1
