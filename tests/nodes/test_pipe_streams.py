"""pipe: what holds of streams."""

from __future__ import annotations

from ngksock.netgraph import EOF
from ngksock.nodes.pipe import way as way_module
from ngksock.packet import Piece, Record
from tests.nodes.test_pipe import PipeTestCase
from tests.nodes.test_pipe_queue import SLOW, ip


class StreamTests(PipeTestCase):
    def held(self, hook: str) -> bool:
        """Whether the test's source at *hook* is asked to hold."""
        return self.local.hooks[hook].high

    def test_not_lost(self) -> None:
        """No chance loses, doubles or reorders a stream; a queue that is full holds it."""
        for mode in ("fifo=1", "drr=40", "wfq=1"):
            self.pipe(
                "setseed 1",
                "setloss { downstream=500000 }",
                f"setcfg {{ bandwidth=800000 delay=10000 downstream={{ {mode} BER=1000 "
                "duplicate=50 queuelen=5 delaylen=5 } }",
            )
            pieces = [ip(number % 5, 20 + number) for number in range(100)]
            self.send_batch("upper", [*map(Piece, pieces), EOF])
            self.assertTrue(self.held("upper"))
            self.pass_time(5)
            self.assertEqual([*pieces, EOF], self.take()["lower"])
            self.assertFalse(self.held("upper"))
            self.graph("shutdown p:", "rmhook upper")

    def test_held(self) -> None:
        """A stream's source is held where others would be dropped, and goes on at half."""
        self.pipe(SLOW, "setcfg { downstream={ queuelen=10 } }")
        for count in range(11):
            self.assertEqual(count == 11, self.held("upper"))
            self.send("upper", Piece(b"x" * 10))
        self.assertTrue(self.held("upper"))
        self.pass_time(0.045)
        self.assertTrue(self.held("upper"))
        self.pass_time(0.01)
        self.assertFalse(self.held("upper"))

    def test_held_by_bytes(self) -> None:
        """Long pieces count as as many packets of 1500 bytes."""
        self.pipe("setcfg { bandwidth=100000000 downstream={ queuelen=10 } }")
        self.send_batch("upper", [Piece(bytes(7500))] * 2)
        self.assertFalse(self.held("upper"))
        self.send("upper", Piece(bytes(7500)))
        self.assertTrue(self.held("upper"))

    def test_plain(self) -> None:
        """A packet that may be of a stream is dropped, but its source was told to hold before."""
        self.pipe(SLOW, "setcfg { downstream={ queuelen=5 } }")
        for _ in range(6):
            self.assertFalse(self.held("upper"))
            self.send("upper", b"x")
        self.assertTrue(self.held("upper"))
        self.assertNotIn("Drop", self.msg("p:", "getstats") or "")
        self.send("upper", b"x")
        self.assertIn("queueDropFrames=1 ", self.msg("p:", "getstats") or "")

    def test_records(self) -> None:
        """Sources of datagrams are never held."""
        self.pipe(SLOW, "setcfg { downstream={ queuelen=5 } }")
        self.send_batch("upper", [Record(b"x")] * 60)
        self.assertFalse(self.held("upper"))

    def test_promptly(self) -> None:
        """A source is let go when the queue is low, not when something arrives."""
        self.pipe("setcfg { bandwidth=8000 overhead=-1 delay=9000000 downstream={ queuelen=10 } }")
        self.send_batch("upper", [Piece(b"x" * 10)] * 11)
        self.assertTrue(self.held("upper"))
        self.pass_time(0.06)
        self.assertFalse(self.held("upper"))

    def test_full_sink(self) -> None:
        """A sink that is full has its stream wait here, and its source told; datagrams go on."""
        self.pipe("setcfg { delay=100000 }")
        self.send("upper", Record(b"1"))
        self.send("upper", Piece(b"2"))
        self.send_batch("upper", [Record(b"3")])
        sink = self.local.hooks["lower"]
        sink.send_flow(True)
        self.assertTrue(self.held("upper"))
        self.pass_time(1)
        self.assertEqual({"lower": [b"1"]}, self.take())
        self.assertEqual([], self.clock.getDelayedCalls())
        sink.send_flow(False)
        self.assertEqual({"lower": [b"2", b"3"]}, self.take())
        self.assertFalse(self.held("upper"))

    def test_fills_again(self) -> None:
        """A sink that is full again after one piece gets no more; nothing is lost."""
        self.pipe("setcfg { delay=1000 }")
        for _ in range(4):
            self.send("upper", Piece(bytes(40_000)))
        sink = self.local.hooks["lower"]
        seen: list[int] = []

        def fill(hook, packet):
            seen.append(packet.len)
            if len(seen) % 2 == 0:
                sink.send_flow(True)

        sink.rcvdata = fill
        sink.peer.link(sink)
        self.pass_time(1)
        self.assertEqual(2, len(seen))
        sink.send_flow(False)
        self.assertEqual(4, len(seen))
        sink.send_flow(False)

    def test_link_down(self) -> None:
        """While the link is down a stream waits, and its source is held."""
        self.pipe("setcfg { downstream={ BER=1 queuelen=5 } }")
        self.send_batch("upper", [b"lost", Piece(b"1"), Piece(b"2"), EOF])
        for number in (3, 4):
            self.send("upper", Piece(b"%d" % number))
        self.assertTrue(self.held("upper"))
        self.pass_time(5)
        self.assertEqual({}, self.received)
        self.tell("setcfg { downstream={ BER=-1 } }")
        self.assertEqual({"lower": [b"1", b"2", EOF, b"3", b"4"]}, self.received)
        self.assertFalse(self.held("upper"))

    def test_changed_link(self) -> None:
        """A link may go down, or be connected anew, while a stream waits for room."""
        self.pipe("setcfg { delay=100000 downstream={ BER=100 delaylen=5 } }")
        self.send_batch("upper", [*(Piece(b"%d" % number) for number in range(6)), Record(b"x")])
        self.tell("setcfg { downstream={ BER=1 delaylen=-1 } }")
        self.pass_time(1)
        self.assertEqual({"lower": [b"0", b"1", b"2", b"3", b"4"]}, self.take())
        self.graph("rmhook upper")
        self.pass_time(1)
        self.assertEqual({}, self.take())
        self.graph("connect p: upper upper")
        self.pass_time(1)
        self.assertEqual({"lower": [b"5"]}, self.take())

    def test_answered(self) -> None:
        """Who answers what it gets, within the delivery, reorders nothing."""
        self.pipe("setcfg { bandwidth=8000000 downstream={ queuelen=500 } }")
        sink = self.local.hooks["lower"]
        came: list[int] = []

        def answer(hook, packet):
            number = int(bytes(packet))
            came.append(number)
            if number % 10 == 0 and number < 200:
                self.send("upper", Piece(b"%d" % (200 + number // 10)))

        sink.rcvdata = answer
        sink.peer.link(sink)
        self.send_batch("upper", (Piece(b"%d" % number) for number in range(200)))
        self.clock.advance(1)
        self.pass_time(1)
        self.assertEqual(list(range(220)), came)

    def test_answers_itself(self) -> None:
        """A neighbour that answers without end leaves the reactor its turns."""
        self.pipe("setloss { downstream=1 }")
        sink = self.local.hooks["lower"]
        sink.rcvdata = lambda hook, packet: self.send("upper", b"x")
        sink.peer.link(sink)
        self.send("upper", b"x")
        for _ in range(3):
            self.clock.advance(0.001)
            self.turn()
        self.graph("rmhook lower")
        self.settle()
        self.pass_time(1)

    def test_limit(self) -> None:
        """A stream whose source heeds nothing has the same limit in the end, and is counted."""
        self.patch(way_module, "LIMIT", 10_000)
        self.pipe("setcfg { bandwidth=100 }")
        self.send_batch("upper", [Piece(bytes(744))] * 30)
        self.assertIn("queueDropFrames=", self.msg("p:", "getstats") or "")
        self.assertTrue(self.held("upper"))
        self.graph("rmhook lower")
        self.pass_time(9000)

    def test_chain(self) -> None:
        """Of two pipes the first keeps what the second one has no room for."""
        self.graph("mkpeer pipe upper upper", "name upper p", "mkpeer p: pipe lower upper")
        self.graph("name p:lower q", "connect q: lower lower")
        self.tell("setcfg { bandwidth=8000000 delay=5000 }")
        self.assertIsNone(self.msg("q:", "setcfg { bandwidth=80000 downstream={ queuelen=5 } }"))
        pieces = [b"%03d" % number for number in range(300)]
        for number in range(0, 300, 10):
            self.send_batch("upper", map(Piece, pieces[number : number + 10]))
            self.pass_time(0.001)
        self.pass_time(0.05)
        queued = self.node("q:").ways["upper"].waiting  # type: ignore[attr-defined]
        self.assertLess(queued, 75)  # what was due when it was low
        self.assertTrue(self.held("upper"))
        self.pass_time(10)
        self.assertEqual({"lower": pieces}, self.received)
        self.assertFalse(self.held("upper"))

    def test_mark_behind(self) -> None:
        """A mark leaves behind all that came before it, whatever the flows."""
        for mode in ("drr=40", "wfq=1"):
            self.pipe(SLOW, f"setcfg {{ downstream={{ {mode} }} }}")
            self.send_batch("upper", [*(ip(number % 4, 40) for number in range(30)), EOF])
            self.pass_time(9)
            got = self.take()["lower"]
            self.assertEqual((31, EOF), (len(got), got[-1]))
            self.graph("shutdown p:", "rmhook upper")
