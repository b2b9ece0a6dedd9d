"""source: how many packets it sends by when, netgraph.md §10.10, §12.4 #45."""

from __future__ import annotations

from errno import ENOBUFS
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from ngksock.nodes.source.pace import LONGEST, MOST, SECOND, TICK, Pace
from tests.nodes.sources import SourceTestCase

HOUR = 3600


class RateTests(SourceTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.msg("s:", 'adddata "x"')
        self.batches: list[tuple[float, int]] = []
        hook = self.local.hooks["output"]
        hook.rcvbatch = lambda hook, batch: self.batches.append((self.clock.seconds(), len(batch)))
        hook.peer.link(hook)

    def reactor_turn(self) -> None:
        """Do what is due now, and not what that makes due."""
        clock = self.clock
        for call in [call for call in clock.calls if call.getTime() <= clock.seconds()]:
            clock.calls.remove(call)
            call.called = 1
            call.func()

    @property
    def count(self) -> int:
        """How many packets came."""
        return sum(count for _, count in self.batches)

    def test_rates(self) -> None:
        """After any time as many packets were sent as are due, a packet more or less."""
        for text, rate, times in (
            (f"setinterval {HOUR * SECOND}", Fraction(1, HOUR), (3599, 2, 36000, 86400.5)),
            (f"setinterval {7 * SECOND}", Fraction(1, 7), (1, 6, 700, 0.001)),
            ("setpps 1", 1, (0.5, 0.5, 9, 100.25, HOUR)),
            ("setpps 7", 7, (1, 1 / 7, 2.3, 10, 100)),
            ("setpps 999", 999, (0.1, 0.9, 3.7)),
            ("setpps 1000", 1000, (0.1, 0.9, 3.7)),
            ("setpps 12345", 12345, (0.1, 0.9, 3)),
            ("setpps 1000000", 1000000, (0.1, 0.9, 1)),
            ("setinterval 1000", 1000000, (1, 0.25)),
        ):
            self.msg("s:", text)
            for begin in (0.0, 0.37):  # the clock needs not stand at a whole second
                self.pass_time(begin)
                self.batches.clear()
                self.msg("s:", "start -1")
                passed = Fraction(0)
                for seconds in times:
                    self.pass_time(seconds)
                    passed += Fraction(seconds)
                    self.assertLessEqual(abs(passed * rate - self.count), 1, (text, passed))
                self.msg("s:", "stop")

    def test_when(self) -> None:
        """The n-th packet leaves n intervals after the start."""
        self.msg("s:", "setpps 4")
        self.pass_time(10)
        self.msg("s:", "start 3")
        self.pass_time(5)
        self.assertEqual([(10.25, 1), (10.5, 1), (10.75, 1)], self.batches)

    def test_bursts(self) -> None:
        """Fast ones leave together, once in a millisecond and at most 256 in a turn."""
        self.msg("s:", "setpps 5000")
        self.msg("s:", "start 15")
        self.pass_time(1)
        self.assertEqual([5, 5, 5], [count for _, count in self.batches])
        self.batches.clear()
        self.msg("s:", "setpps 1000000")
        self.msg("s:", "start 1100")
        self.pass_time(1)
        self.assertEqual([256, 256, 256, 232, 100], [count for _, count in self.batches])

    def test_long(self) -> None:
        """Of long packets so many leave in a turn as have 256 KiB, but one always."""
        self.msg("s:", "setinterval 0")
        for size, expected in ((1024, 256), (1025, 255), (60000, 4), (1 << 20, 1), (9, 1)):
            self.send("input", bytes(size))
            self.batches.clear()
            self.msg("s:", "start -1")
            self.reactor_turn()
            self.assertEqual(expected, self.count, size)
            self.msg("s:", "stop")
        self.msg("s:", "clrdata")
        self.send("input", b"short")
        self.msg("s:", "start -1")
        self.reactor_turn()
        self.assertEqual(1 + MOST, self.count)
        self.msg("s:", "stop")

    def test_fast(self) -> None:
        """As fast as it can: 256 in each turn, with turns for others between, and exactly all."""
        self.msg("s:", "setinterval 0")
        self.msg("s:", "start 100000")
        self.assertEqual([], self.batches)
        turns = 0
        while self.clock.getDelayedCalls():
            self.reactor_turn()
            turns += 1
            self.assertEqual(turns, len(self.batches))
        self.assertEqual((100000, -(-100000 // MOST)), (self.count, turns))
        self.assertIn("stopped", self.source.status())

    def test_fast_iface(self) -> None:
        """So it is for an interface."""
        self.msg("s:", "setpps 0")
        self.msg("s:", 'setiface "lo"')
        self.msg("s:", "start 1000")
        self.pass_time(0)
        self.assertEqual(1000, self.count)

    def test_fast_held(self) -> None:
        """As fast as it can ends where the sink is full, and goes on when it is not."""
        self.msg("s:", "setinterval 0")
        self.msg("s:", "start -1")
        self.reactor_turn()
        self.local.hooks["output"].send_flow(True)
        self.pass_time(100)
        self.assertEqual(MOST, self.count)
        self.assertEqual([], self.clock.getDelayedCalls())
        self.local.hooks["output"].send_flow(False)
        self.reactor_turn()
        self.assertEqual(2 * MOST, self.count)
        self.msg("s:", "stop")

    def test_fast_lossy(self) -> None:
        """As fast as it can waits a millisecond after a loss."""
        hook = self.local.hooks["output"]
        hook.rcvbatch = lambda hook, batch: hook.peer.drop(ENOBUFS, 1)
        hook.peer.link(hook)
        self.msg("s:", "setinterval 0")
        self.msg("s:", "start -1")
        self.pass_time(0.0105)
        self.assertEqual(11 * MOST, self.source.out_frames)

    def test_changed(self) -> None:
        """Another rate holds at once, from then on."""
        self.msg("s:", "setpps 1")
        self.msg("s:", "start -1")
        self.pass_time(0.9)
        self.msg("s:", "setpps 10")
        self.pass_time(1)
        self.assertEqual(10, self.count)
        self.msg("s:", f"setinterval {HOUR * SECOND}")
        self.pass_time(3599)
        self.assertEqual(10, self.count)
        self.pass_time(1)
        self.assertEqual(11, self.count)

    def test_stalled(self) -> None:
        """After a stall the packets of a second are made up for, and one."""
        for text, stall, expected in (
            ("setpps 1000", 0.5, 500), ("setpps 1000", 60, 1001), ("setpps 10", 60, 11),
            ("setinterval 7000000000", 60, 1), ("setpps 100000", 60, 100001),
        ):  # fmt: skip
            self.msg("s:", text)
            self.msg("s:", "start -1")
            self.batches.clear()
            self.clock.rightNow += stall
            self.pass_time(0)
            self.assertEqual(expected, self.count, text)
            self.assertLessEqual(max(count for _, count in self.batches), MOST)
            self.msg("s:", "stop")

    def test_stall_keeps_phase(self) -> None:
        """What is given up for lost moves none of the times to come."""
        self.msg("s:", "setinterval 7000000000")
        self.msg("s:", "start -1")
        self.clock.rightNow += 60
        self.pass_time(20)
        self.assertEqual([(60, 1), (63, 1), (70, 1), (77, 1)], self.batches)

    def test_set_back(self) -> None:
        """A clock that is set back loses nothing but the time since the last packet."""
        self.pass_time(1000)
        self.msg("s:", "setpps 10")
        self.msg("s:", "start -1")
        self.pass_time(1)
        calls = self.clock.getDelayedCalls()
        self.clock.rightNow -= 500
        for call in calls:
            call.reset(call.getTime() - 500 - self.clock.seconds())
        self.pass_time(1)
        self.assertEqual(19, self.count)

    def test_long_wait(self) -> None:
        """A wait that no reactor has the numbers for is divided."""
        self.msg("s:", "setinterval -1")
        self.msg("s:", "start 1")
        [call] = self.clock.getDelayedCalls()
        self.assertEqual(LONGEST, call.getTime())
        self.pass_time(10 * LONGEST)
        self.assertEqual([], self.batches)


class PaceTests(SourceTestCase):
    @given(
        st.integers(1, 1 << 32),
        st.integers(1, 1 << 40),
        st.floats(0, 2e9),
        st.lists(st.floats(0, 1), max_size=30),
    )
    def test_model(self, packets: int, span: int, begin: float, steps: list[float]) -> None:
        """Asked at whatever times, it says what exact arithmetic does: see EARLY."""
        pace = Pace(packets, span)
        pace.begin(begin)
        now, sent = begin, 0
        for step in steps:
            now += step
            due = pace.due(now)
            pace.sent(due)
            sent += due
            exact = (Fraction(now) - Fraction(begin)) * SECOND
            low, high = ((exact + slack) * packets / span for slack in (0, 1001))
            self.assertLessEqual(int(low), sent)
            self.assertLessEqual(sent, high)

    @given(st.integers(1, 10**6), st.integers(SECOND, 1 << 40), st.floats(0, 2e9))
    def test_wait(self, packets: int, span: int, begin: float) -> None:
        """It wakes when a packet is due, never twice in a millisecond."""
        pace = Pace(packets, span)
        pace.begin(begin)
        wait = pace.wait(begin)
        self.assertGreaterEqual(wait, TICK / SECOND - 1e-6)
        if wait < LONGEST:
            self.assertGreaterEqual(pace.due(begin + wait), 1)
