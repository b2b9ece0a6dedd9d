"""car: rates over time, what waits in mode 3, and streams."""

from __future__ import annotations

from errno import ENOENT
from random import Random

from ngksock.netgraph import EOF
from ngksock.nodes.car import way as way_module
from ngksock.packet import Piece, Record
from tests.nodes.shaping import Stamper
from tests.nodes.test_car import ACTIONS, CarTestCase

MS = 0.001
SECONDS = 10


class RateTests(CarTestCase):
    def beyond(self, config: str) -> Stamper:
        """Make a car behind the test's hook ``upper``; return what stands beyond lower."""
        self.graph("mkpeer car upper upper", "name upper c", "mkpeer c: stamper lower in")
        self.configure(config)
        node = self.node("c:lower")
        assert isinstance(node, Stamper)
        return node

    def test_police(self) -> None:
        """Over 10 s, of twice the rate, a policer passes the rate, and its bucket once."""
        for bits, length in ((64_000, 100), (1_000_000, 500), (100_000_000, 10_000)):
            for mode in (0, 1, 2):
                beyond = self.beyond(f"cbs=20000 cir={bits} mode={mode} {ACTIONS}")
                every = length * 8 / bits / 2
                for _ in range(round(SECONDS / every)):
                    self.send("upper", bytes(length))
                    self.pass_time(every)
                passed = len(beyond.times) * length - 20_000
                self.assertApproximates(bits * SECONDS / 8, passed, bits * SECONDS / 8 * 0.01)
                self.graph("shutdown c:", "shutdown " + f"[{beyond.id:x}]:")

    def test_shape(self) -> None:
        """Over 10 s mode 3 sends at the rate, each packet within 1 ms of its time."""
        for bits, length, at_once in ((64_000, 100, 1), (1_000_000, 500, 3), (10**9, 60_000, 20)):
            beyond = self.beyond(f"cbs={length} cir={bits} mode=3 {ACTIONS}")
            cost, began = length * 8 / bits, self.clock.seconds()
            for _ in range(round(SECONDS / cost / at_once * 1.2)):
                self.send_batch("upper", [bytes(length)] * at_once)
                self.pass_time(cost * at_once / 1.2)
            times = [time - began for time in beyond.times if time - began <= SECONDS]
            self.assertApproximates(SECONDS, len(times) * cost, SECONDS * 0.01)
            for number, time in enumerate(times):
                self.assertTrue(-1e-5 <= time - number * cost < MS, f"{number}: {time}")
            self.pass_time(100 * cost)
            self.graph("shutdown c:", "shutdown " + f"[{beyond.id:x}]:")

    def test_shape_packets(self) -> None:
        """Mode 3 that counts packets sends so many a second, whatever their length."""
        beyond = self.beyond(f"cbs=1 cir=100 mode=3 opt=2 {ACTIONS}")
        choose = Random(1)
        for _ in range(1100):
            self.send("upper", bytes(choose.randrange(1500)))
            self.pass_time(0.0095)
        times = [time for time in beyond.times if time <= SECONDS]
        self.assertApproximates(1000, len(times), 10)
        self.pass_time(2)

    def test_late_timer(self) -> None:
        """A reactor that is late costs no rate, even with a small bucket."""
        beyond = self.beyond(f"cbs=1 cir=1000000 mode=3 {ACTIONS}")
        sent = 0
        while self.clock.seconds() < SECONDS:
            while sent < self.clock.seconds() * 110:
                self.send("upper", bytes(1250))
                sent += 1
            self.clock.advance(0.037)
        self.assertApproximates(1000, len(beyond.times), 10)
        self.pass_time(2)

    def test_many(self) -> None:
        """100,000 packets a second arrive in batches, at the right rate."""
        beyond = self.beyond(f"cbs=5000 cir=80000000 mode=3 {ACTIONS}")
        for _ in range(2000):
            self.send_batch("upper", [bytes(100)] * 50)
            self.pass_time(0.0005)
        self.pass_time(0.01)
        self.assertEqual(100_000, len(beyond.times))
        self.assertLess(beyond.batches, 6100)

    def test_set_back(self) -> None:
        """A clock that is set back takes nothing from the buckets, and stops nothing."""
        self.clock.rightNow = 10_000.0
        self.car(f"cbs=1000 cir=80000 {ACTIONS}", f"cbs=1000 cir=80000 mode=3 {ACTIONS}")
        for _ in range(3):
            self.send("upper", bytes(1000))
            self.send("lower", bytes(1000))
            self.pass_time(0.05)
        self.clock.rightNow = 5000.0
        for _ in range(20):
            self.send("upper", bytes(1000))
            self.pass_time(0.1)
        passed = len(self.received["lower"])
        self.assertApproximates(22, passed, 1)
        self.assertEqual(3, len(self.received["upper"]))


SHAPE = f"cbs=10 cir=80 mode=3 {ACTIONS}"
"""Ten bytes a second."""


class ShapeTests(CarTestCase):
    def test_order(self) -> None:
        """A packet passes at once while there is enough, then each waits for its length."""
        self.car(SHAPE)
        self.send_batch("upper", [b"0123456789", b"12345", b"1"])
        self.send("upper", b"2")
        self.assertEqual({"lower": [b"0123456789"]}, self.take())
        self.assertEqual("passed=1 green=1 yellow=3", self.stats())
        self.assertIn("3 waiting", self.graph("status c:"))
        for seconds, data in ((0.499, None), (0.002, b"12345"), (0.097, None), (0.004, b"1")):
            self.pass_time(seconds)
            self.assertEqual({"lower": [data]} if data else {}, self.take())
        self.pass_time(0.2)
        self.assertEqual({"lower": [b"2"]}, self.take())
        self.assertEqual("passed=4 green=1 yellow=3", self.stats())
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_long(self) -> None:
        """A packet longer than the bucket has to wait, and passes."""
        self.car(SHAPE)
        self.send("upper", bytes(25))
        self.pass_time(1.49)
        self.assertEqual({}, self.received)
        self.pass_time(0.02)
        self.assertEqual({"lower": [bytes(25)]}, self.received)

    def test_full(self) -> None:
        """At most 99 wait; up to 8 none is dropped, then some, and more the more wait."""
        self.car(SHAPE)
        self.send("upper", bytes(10))
        self.send_batch("upper", [b"x"] * 9)
        self.assertEqual("passed=1 green=1 yellow=9", self.stats())
        lost, before = [], 0
        for _ in range(4):
            self.send_batch("upper", [b"x"] * 100)
            red = int(self.stats().rpartition("red=")[2])
            lost.append(red - before)
            before = red
        self.assertEqual(sorted(lost), lost)
        self.assertGreater(lost[0], 0)
        self.assertIn(f"dropped={before} ", self.stats())
        waiting = len(self.node("c:").ways["upper"].queue)  # type: ignore[attr-defined]
        self.assertEqual(99, waiting)

    def test_reconfigured(self) -> None:
        """What waits when the rate changes goes by the new one."""
        self.car(SHAPE)
        self.send_batch("upper", [bytes(10), b"1" * 10, b"2" * 10, b"3" * 10])
        self.take()
        self.configure(f"cbs=10 cir=8000 mode=3 {ACTIONS}")
        self.assertEqual({"lower": [b"1" * 10]}, self.take())
        self.pass_time(0.011)
        self.assertEqual({"lower": [b"2" * 10]}, self.take())
        self.configure(f"cbs=100 {ACTIONS}")
        self.assertEqual({"lower": [b"3" * 10]}, self.take())

    def test_aware(self) -> None:
        """With opt 1 a marked packet waits its turn, if only for no time."""
        self.car(f"{SHAPE} opt=1")
        self.send("upper", b"1")
        self.assertEqual("passed=1 green=1", self.stats())

    def test_end(self) -> None:
        """It ends with its last hook, or by shutdown, whatever waits."""
        for line in ("rmhook upper", "shutdown c:"):
            self.car(SHAPE, SHAPE)
            for hook in ("upper", "lower"):
                self.send_batch(hook, [bytes(10)] * 5)
            self.graph(line)
            if line != "shutdown c:":
                self.graph("show c:", "rmhook lower")
            self.assertEqual(ENOENT, self.errno("show c:"))
            self.assertEqual([], self.clock.getDelayedCalls())


class StreamTests(CarTestCase):
    def held(self) -> bool:
        """Whether the test's source at upper is asked to hold."""
        return self.local.hooks["upper"].high

    def test_not_dropped(self) -> None:
        """Of a stream nothing is dropped, in any mode: it waits, and its source is held."""
        for mode in range(4):
            self.car(f"cbs=10 ebs=1 cir=8000 pir=100 mode={mode} {ACTIONS}")
            pieces = [b"%03d" % number for number in range(300)]
            for number in range(0, 300, 20):
                self.send_batch("upper", map(Piece, pieces[number : number + 20]))
            self.send("upper", EOF)
            self.assertTrue(self.held())
            self.pass_time(1)
            self.assertEqual([*pieces, EOF], self.take()["lower"])
            self.assertFalse(self.held())
            self.assertNotIn("dropped", self.stats())
            self.graph("shutdown c:", "rmhook upper")

    def test_charged_once(self) -> None:
        """A piece that comes alone and waits pays once, whatever its colour would do."""
        for mode, green, yellow in ((0, 1, 2), (0, 2, 2), (1, 2, 1), (2, 1, 2), (2, 2, 2)):
            actions = f"greenAction={green} yellowAction={yellow} redAction=2"
            self.car(f"cbs=1000 ebs=5000 cir=80000 mode={mode} {actions}")
            node = self.node("c:").ways["upper"]  # type: ignore[attr-defined]
            for _ in range(4000):
                if not node.queue:
                    self.send("upper", Piece(bytes(1000)))
                self.pass_time(0.0025)
            passed = len(self.take()["lower"])
            self.assertApproximates(100, passed, 8, f"{mode} {actions}")
            self.graph("shutdown c:", "rmhook upper")

    def test_beside_others(self) -> None:
        """While a stream waits other packets are policed as ever."""
        self.car(f"cbs=10 cir=80 {ACTIONS}")
        self.send_batch("upper", [Piece(bytes(10)), Piece(bytes(10)), Record(b"1"), b"2"])
        self.assertEqual("passed=1 dropped=2 green=1 yellow=1 red=2", self.stats())
        self.pass_time(2)
        self.assertEqual({"lower": [bytes(10)] * 2}, self.received)

    def test_held(self) -> None:
        """Its source is held with more than 8 pieces, or 64 KiB, and goes on at half."""
        self.car(SHAPE)
        self.send_batch("upper", [Piece(bytes(10))] * 9)
        self.assertFalse(self.held())
        self.send("upper", Piece(bytes(10)))
        self.assertTrue(self.held())
        self.pass_time(4.5)
        self.assertTrue(self.held())
        self.pass_time(1)
        self.assertFalse(self.held())
        self.send("upper", Piece(bytes(1 << 16)))
        self.assertTrue(self.held())
        self.configure(f"cbs=1 cir=1000000000 {ACTIONS}")
        self.pass_time(1)
        self.assertFalse(self.held())

    def test_records(self) -> None:
        """Sources of datagrams are never held."""
        self.car(SHAPE)
        self.send_batch("upper", [Record(bytes(10))] * 60)
        self.assertFalse(self.held())

    def test_full_sink(self) -> None:
        """A sink that is full has its stream wait here."""
        self.car(SHAPE)
        self.send_batch("upper", [Piece(bytes(10)), Piece(b"1"), EOF])
        self.take()
        sink = self.local.hooks["lower"]
        sink.send_flow(True)
        self.assertTrue(self.held())
        self.pass_time(5)
        self.assertEqual({}, self.take())
        self.assertEqual([], self.clock.getDelayedCalls())
        sink.send_flow(False)
        self.assertEqual({"lower": [b"1", EOF]}, self.take())

    def test_source_gone(self) -> None:
        """The rest of a stream whose source has ended goes on; datagrams do not."""
        self.car(SHAPE)
        self.send_batch("upper", [bytes(10), b"1", Piece(b"2"), Record(b"3"), EOF])
        self.take()
        self.graph("rmhook upper")
        self.pass_time(5)
        self.assertEqual({"lower": [b"2", EOF]}, self.take())

    def test_sink_gone(self) -> None:
        """What waits for a hook that is gone is lost, and an error."""
        self.car(SHAPE)
        self.send_batch("upper", [Piece(bytes(10))] * 3)
        self.graph("rmhook lower")
        self.pass_time(5)
        self.assertEqual("passed=1 green=1 yellow=2 errors=2", self.stats())

    def test_limit(self) -> None:
        """A stream whose source heeds nothing has a limit, and is counted."""
        self.patch(way_module, "LIMIT", 2500)
        self.car(SHAPE)
        self.send_batch("upper", [Piece(bytes(10))] * 30)
        self.assertEqual("passed=1 dropped=19 green=1 yellow=10 red=19", self.stats())
        self.send_batch("upper", [EOF] * 5)
        self.assertEqual("passed=1 dropped=24 green=1 yellow=10 red=19", self.stats())
