"""pipe: when packets arrive, how many, and which chance loses or doubles."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from ngksock.netgraph import Packet
from ngksock.netgraph.edges import mkpeer
from ngksock.netgraph.timer import TICK
from ngksock.testing import GraphTestCase
from ngksock.testing.sandbox import Sandbox
from tests.nodes.shaping import Stamper, spread, stamper

MS = 0.001
SECONDS = 10


class TimeTestCase(GraphTestCase):
    node_types = (stamper,)

    def pipe(self, *messages: str) -> Stamper:
        """Make a pipe behind the test's hook ``upper``; return what stands beyond lower."""
        self.graph("mkpeer pipe upper upper", "name upper p", "mkpeer p: stamper lower in")
        for text in messages:
            self.assertIsNone(self.msg("p:", text))
        node = self.node("p:lower")
        assert isinstance(node, Stamper)
        return node

    def feed(self, length: int, every: float, seconds: float = SECONDS, at_once: int = 1) -> int:
        """Send packets regularly for so long; return how many."""
        count = round(seconds / every)
        for _ in range(count):
            if at_once == 1:
                self.send("upper", bytes(length))
            else:
                self.send_batch("upper", [bytes(length)] * at_once)
            self.pass_time(every)
        return count * at_once


class DelayTests(TimeTestCase):
    def test_delay(self) -> None:
        """Over 10 s every packet arrives after the delay, never early, at most 1 ms late."""
        beyond = self.pipe("setcfg { delay=50000 }")
        choose, sent = Random(1), []
        while self.clock.seconds() < SECONDS:
            sent += [self.clock.seconds()] * (count := choose.randrange(1, 4))
            self.send_batch("upper", [b"x"] * count)
            self.pass_time(choose.choice((0, 0.0001, 0.001, 0.013)))
        self.pass_time(0.051)
        self.assertEqual(len(sent), len(beyond.times))
        late = [there - here - 0.05 for here, there in zip(sent, beyond.times, strict=True)]
        self.assertGreaterEqual(min(late), -1e-6)
        self.assertLess(max(late), MS)

    def test_alone(self) -> None:
        """A packet that is alone is not late at all."""
        beyond = self.pipe("setcfg { delay=1000000 }")
        for _ in range(3):
            self.send("upper", b"x")
            self.pass_time(0.25)
        self.pass_time(1)
        for ideal, time in zip((1, 1.25, 1.5), beyond.times, strict=True):
            self.assertApproximates(ideal, time, 1e-6)

    def test_batch_kept(self) -> None:
        """A batch that is only delayed arrives as the same object."""
        self.pipe("setcfg { delay=1000 }")
        seen: list[object] = []
        self.patch(Stamper, "rcvbatch", lambda node, hook, batch: seen.append(batch))
        self.graph("rmhook p: lower", "mkpeer p: stamper lower in")
        self.send_batch("upper", [b"1", b"2"])
        [(_, batch)] = self.node("p:").ways["upper"].line  # type: ignore[attr-defined]
        self.pass_time(0.01)
        self.assertEqual(1, len(seen))
        self.assertIs(batch, seen[0])

    def test_shorter(self) -> None:
        """A delay that becomes shorter lets nobody overtake; what is under way keeps its time."""
        beyond = self.pipe("setcfg { delay=500000 }")
        self.send("upper", b"1")
        self.pass_time(0.1)
        self.assertIsNone(self.msg("p:", "setcfg { delay=-1 }"))
        self.send("upper", b"2")
        self.pass_time(0.3)
        self.assertEqual([], beyond.data)
        self.pass_time(0.2)
        self.assertEqual([b"1", b"2"], beyond.data)
        self.send("upper", b"3")
        self.assertEqual([b"1", b"2", b"3"], beyond.data)

    def test_echo(self) -> None:
        """What the far end sends back in the same moment takes its time as well."""
        self.graph("mkpeer pipe upper upper", "name upper p", "mkpeer p: echo lower in")
        self.assertIsNone(self.msg("p:", "setcfg { delay=100000 }"))
        self.send_batch("upper", [b"1", b"2"])
        self.pass_time(0.199)
        self.assertEqual({}, self.received)
        self.pass_time(0.002)
        self.assertEqual({"upper": [b"1", b"2"]}, self.received)

    def test_set_back(self) -> None:
        """A clock that is set back stops nothing: time stands still for a moment."""
        self.clock.rightNow = 10_000.0
        beyond = self.pipe("setcfg { delay=100000 bandwidth=8000 overhead=-1 }")
        self.send("upper", b"1")
        self.pass_time(1)
        self.clock.rightNow = 5000.0
        for number in range(2, 12):
            self.send("upper", b"%d" % number)
            self.pass_time(0.01)
        self.clock.rightNow = 2000.0
        self.send("upper", b"12")
        self.pass_time(0.2)
        self.assertEqual([b"%d" % number for number in range(1, 13)], beyond.data)
        self.assertApproximates(2000.011, beyond.times[1], MS)

    def test_long(self) -> None:
        """The longest delay, and the slowest line, are kept like the others."""
        beyond = self.pipe("setcfg { delay=9999999 bandwidth=100 overhead=-1 }")
        self.send_batch("upper", [bytes(100)] * 3)
        self.pass_time(60)
        for ideal, time in zip((18, 26, 34), beyond.times, strict=True):
            self.assertApproximates(ideal, time, MS)


class RateTests(TimeTestCase):
    def assert_rate(self, bandwidth: int, length: int, at_once: int, every: float) -> None:
        """Send more than fits for 10 s; see that what fits arrives, and when."""
        beyond = self.pipe(f"setcfg {{ bandwidth={bandwidth} }}")
        overhead = 24 if bandwidth >= 10**7 else 10
        cost, began = (length + overhead) * 8 / bandwidth, self.clock.seconds()
        self.feed(length, every, at_once=at_once)
        times = [time - began for time in beyond.times if time - began <= SECONDS]
        self.assertApproximates(SECONDS, len(times) * cost, max(SECONDS * 0.01, cost))
        late = [time - number * cost for number, time in enumerate(times, 1)]
        self.assertGreaterEqual(min(late), -1e-5)
        self.assertLess(max(late), MS)
        self.pass_time(51 * cost)
        self.graph("shutdown p:", "shutdown upper")

    def test_rates(self) -> None:
        """Over 10 s the rate is right within 1 %, and each packet within 1 ms."""
        for bandwidth, length, at_once, every in (
            (100, 2, 1, 0.5),
            (64_000, 150, 2, 0.025),
            (10**6, 1490, 1, 0.01),
            (10**7, 1476, 10, 0.01),
            (10**8, 15_000, 10, 0.01),
            (10**9, 65_507, 20, 0.008),
        ):
            self.assert_rate(bandwidth, length, at_once, every)

    def test_late_timer(self) -> None:
        """A reactor that is late costs no rate: times are reckoned from the ideal ones."""
        beyond = self.pipe("setcfg { bandwidth=1000000 overhead=-1 delay=20000 downstream={ "
                           "queuelen=1000 } }")  # fmt: skip
        sent = 0
        while self.clock.seconds() < SECONDS:
            while sent < self.clock.seconds() * 200 + 1:
                self.send("upper", bytes(1250))
                sent += 1
            self.clock.advance(0.037)
        self.assertApproximates(1, len(beyond.times) * 0.01 / SECONDS, 0.01)

    def test_many_in_a_millisecond(self) -> None:
        """100,000 packets a second arrive in batches: one a tick, and one an arrival."""
        beyond = self.pipe("setcfg { bandwidth=80000000 overhead=-1 downstream={ queuelen=5000 } }")
        self.feed(100, 0.01, 1, at_once=1000)
        self.pass_time(0.01)
        self.assertEqual(100_000, len(beyond.times))
        self.assertLessEqual(beyond.batches, 1 / TICK + 110)
        for number, time in enumerate(beyond.times):
            self.assertApproximates((number + 1) * 1e-5, time, MS)

    def test_late_clock(self) -> None:
        """A clock that counts since 1970 has few digits left; the rate is right all the same."""
        self.clock.rightNow = began = 1.8e9
        beyond = self.pipe("setcfg { bandwidth=1000000000 downstream={ queuelen=20000 } }")
        for _ in range(100):
            self.send_batch("upper", [bytes(76)] * 200)
            self.pass_time(0.00016)
        self.pass_time(0.001)
        self.assertEqual(20_000, len(beyond.times))
        for number, time in enumerate(beyond.times, 1):
            self.assertTrue(-1e-5 < time - began - number * 0.8e-6 < MS)

    def test_directions(self) -> None:
        """Each direction has a line of its own."""
        self.graph("mkpeer pipe upper upper", "name upper p", "connect p: lower lower")
        self.assertIsNone(self.msg("p:", "setcfg { downstream={ bandwidth=8000 } }"))
        self.send_batch("upper", [bytes(500)] * 2)
        self.send_batch("lower", [b"x"] * 2)
        self.assertEqual({"upper": [b"x"] * 2}, self.take())
        self.pass_time(0.75)
        self.assertEqual({"lower": [bytes(500)]}, self.take())

    def test_idle(self) -> None:
        """An idle line saves nothing up."""
        beyond = self.pipe("setcfg { bandwidth=8000 overhead=-1 }")
        self.pass_time(5)
        self.send_batch("upper", [bytes(500)] * 2)
        self.pass_time(2)
        for ideal, time in zip((5.5, 6), beyond.times, strict=True):
            self.assertApproximates(ideal, time, MS)

    def test_changed(self) -> None:
        """Another bandwidth holds from the next packet on; without one what waits goes at once."""
        beyond = self.pipe("setcfg { bandwidth=8000 overhead=-1 }")
        self.send_batch("upper", [bytes(1000)] * 5)
        self.pass_time(0.5)
        self.assertIsNone(self.msg("p:", "setcfg { bandwidth=16000 overhead=-1 }"))
        self.pass_time(1.25)
        self.assertIsNone(self.msg("p:", "setcfg { bandwidth=-1 }"))
        self.pass_time(1)
        for ideal, time in zip((1, 1.5, 2, 2, 2), beyond.times, strict=True):
            self.assertApproximates(ideal, time, MS)

    @settings(max_examples=40, deadline=None)
    @given(
        st.integers(100, 10**6),
        st.integers(0, 200_000),
        st.lists(
            st.tuples(st.integers(0, 2000), st.sampled_from([0.0, 0.0003, 0.01, 0.5])), max_size=40
        ),
    )
    def test_model(self, bandwidth, delay, traffic) -> None:
        """Whatever is sent when, each packet leaves when the one before has, and its own bits."""
        sandbox = Sandbox(stamper)
        graph, local = sandbox.graph, sandbox.local
        node = mkpeer(graph, local, "pipe", "upper", "upper")
        beyond = mkpeer(graph, node, "stamper", "lower", "in")
        assert isinstance(beyond, Stamper)
        settings = node.settings  # type: ignore[attr-defined]
        settings.delay, settings.overhead = delay, 10
        settings.downstream.bandwidth, settings.downstream.queuelen = bandwidth, 0
        node._configure()  # type: ignore[attr-defined]
        free, ideal = 0.0, []
        for length, pause in traffic:
            local.send("upper", Packet(bytes(length)))
            free = max(free, sandbox.clock.seconds()) + (length + 10) * 8 / bandwidth
            ideal.append(free + delay / 1e6)
            sandbox.pass_time(pause)
        sandbox.pass_time(free + 1)
        self.assertEqual(len(ideal), len(beyond.times))
        for wanted, time in zip(ideal, beyond.times, strict=True):
            self.assertTrue(-1e-5 <= time - wanted < MS, f"{time} for {wanted}")
        sandbox.close()


class ChanceTests(TimeTestCase):
    def lost(self, *messages: str, length: int = 100) -> list[bool]:
        """Send 10,000 packets in 10 s; return which were lost."""
        beyond = self.pipe(*messages)
        for number in range(10_000):
            self.send("upper", number.to_bytes(length, "big"))
            if number % 100 == 99:
                self.pass_time(0.1)
        self.pass_time(1)
        came = {int.from_bytes(data, "big") for data in beyond.data}
        self.assertEqual(len(came), len(beyond.data))
        stats = self.msg("p:", "getstats") or ""
        for name, count in (("FwdFrames", len(came)), ("delayDropFrames", 10_000 - len(came))):
            self.assertIn(f" {name}={count} " if count else "{", stats)
        self.graph("shutdown p:", "shutdown upper")
        return [number not in came for number in range(10_000)]

    def test_loss(self) -> None:
        """A loss of 10 % is one within the binomial bound, delayed or not."""
        for more in ("", "delay=50000", "bandwidth=1000000 downstream={ queuelen=10000 }"):
            lost = self.lost("setseed 1", "setloss { downstream=100000 }", f"setcfg {{ {more} }}")
            self.assertApproximates(1000, sum(lost), spread(10_000, 0.1))

    def test_errors(self) -> None:
        """BER loses packets by their length, as each bit may be wrong."""
        for ber, length in ((10_000, 100), (10_000, 1000), (100_000, 1400), (2, 2)):
            chance = 1 - (1 - 1 / ber) ** (8 * (length + 10))
            config = f"setcfg {{ overhead=10 downstream={{ BER={ber} }} }}"
            lost = self.lost("setseed 2", config, length=length)
            self.assertApproximates(
                10_000 * chance, sum(lost), spread(10_000, chance) + 1, f"{ber} {length}"
            )

    def test_both(self) -> None:
        """A packet must survive BER and the plain loss."""
        lost = self.lost(
            "setseed 3", "setloss { downstream=200000 }", "setcfg { downstream={ BER=10000 } }"
        )
        chance = 1 - 0.8 * (1 - 1e-4) ** 800
        self.assertApproximates(10_000 * chance, sum(lost), spread(10_000, chance))

    def test_seed(self) -> None:
        """The same seed loses the same packets, whatever goes the other way; another others."""
        first = self.lost("setseed 7", "setloss { downstream=100000 upstream=500000 }")
        again = self.lost("setseed 7", "setloss { downstream=100000 }", "setcfg { delay=9000 }")
        other = self.lost("setseed 8", "setloss { downstream=100000 }")
        self.assertEqual(first, again)
        self.assertNotEqual(first, other)

    def test_unseeded(self) -> None:
        """Without a seed no two pipes are alike."""
        loss = "setloss { downstream=100000 }"
        self.assertNotEqual(self.lost(loss), self.lost(loss))

    def test_extremes(self) -> None:
        """A loss of a million loses all; the rarest error of all loses none."""
        self.assertEqual(10_000, sum(self.lost("setloss { downstream=1000000 }")))
        self.assertEqual(0, sum(self.lost("setcfg { downstream={ BER=1000000000000 } }")))

    def test_duplicate(self) -> None:
        """A packet goes twice by that chance, each copy again; copies follow at once."""
        beyond = self.pipe("setseed 4", "setcfg { downstream={ duplicate=20 } }")
        for number in range(10_000):
            self.send("upper", number.to_bytes(2, "big"))
        came = beyond.data
        self.assertEqual(sorted(came), came)
        self.assertEqual(10_000, len(set(came)))
        # With a chance p of one more each time, the mean is p / (1 - p), the variance p / (1 - p)^2
        self.assertApproximates(2500, len(came) - 10_000, 5 * (10_000 * 0.3125) ** 0.5)

    def test_duplicate_takes_time(self) -> None:
        """Copies take their time on the line."""
        beyond = self.pipe(
            "setseed 5",
            "setcfg { bandwidth=8000 overhead=-1 downstream={ duplicate=50 queuelen=100 } }",
        )
        self.send_batch("upper", [bytes(10)] * 50)
        self.pass_time(60)
        self.assertGreater(len(beyond.times), 60)
        for number, time in enumerate(beyond.times, 1):
            self.assertApproximates(number * 0.01, time, MS)
