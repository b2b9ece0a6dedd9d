"""pipe: what waits and what is dropped, whose turn it is, and what holds of streams."""

from __future__ import annotations

import struct
from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ngksock.netgraph import EOF, Packet
from ngksock.nodes.pipe import way as way_module
from ngksock.nodes.pipe.queues import FIRST, Queue, RoundRobin, Weighted, flow_of
from ngksock.packet import Piece, Record
from tests.nodes.test_pipe import DOWN, FLOW, UP, PipeTestCase

SLOW = "setcfg { bandwidth=8000 overhead=-1 }"
"""A millisecond a byte."""


def ip(source: int, length: int = 20, offset: int = 0, first: int = 0x45, mark: int = 0) -> bytes:
    """Return an IPv4 packet behind so many bytes, from a source of that number."""
    header = struct.pack("!BBHHHBBHII", first, 0, length, mark, 0, 64, 17, 0, source, 1)
    return (bytes(offset) + header).ljust(length + offset, b"\0")


class FlowTests(SynchronousTestCase):
    def test_flow(self) -> None:
        """A flow is an IPv4 source and destination at the offset."""
        for offset in (0, 1, 14, 63):
            packet = Packet(ip(7, 40, offset))
            self.assertEqual(struct.pack("!II", 7, 1), flow_of(packet, offset))
            self.assertEqual(FIRST, flow_of(packet, offset + 1), offset)
        self.assertEqual(struct.pack("!II", 7, 1), flow_of(Packet(memoryview(ip(7))), 0))

    def test_malformed(self) -> None:
        """What is cut short, or no IPv4, is flow 0; so are streams and their ends."""
        for offset in (0, 14):
            whole = ip(7, 20, offset)
            for length in range(len(whole)):
                self.assertEqual(FIRST, flow_of(Packet(whole[:length]), offset))
        for first in (0x00, 0x44, 0x50, 0x65, 0xFF):
            self.assertEqual(FIRST, flow_of(Packet(ip(7, first=first)), 0))
        self.assertEqual(FIRST, flow_of(Piece(ip(7)), 0))
        self.assertEqual(FIRST, flow_of(EOF, 0))

    @given(st.binary(max_size=100), st.integers(0, 63))
    def test_anything(self, data: bytes, offset: int) -> None:
        """Nothing makes it fail."""
        self.assertIn(len(flow_of(Packet(data), offset)), (0, 8))


KINDS = (Queue, Weighted, lambda: RoundRobin(32), lambda: RoundRobin(2048))
LOADS = st.one_of(
    st.tuples(st.integers(0, 3), st.integers(1, 3000), st.booleans()), st.none(), st.booleans()
)


class QueueTests(SynchronousTestCase):
    @given(st.sampled_from(KINDS), st.lists(LOADS, max_size=60))
    def test_model(self, kind, steps) -> None:
        """Of what came in each leaves once: within a flow, and about a mark, in order."""
        queue = kind()
        fifo = type(queue) is Queue
        inside: list[tuple[bytes, Packet]] = []
        for step in steps:
            if isinstance(step, tuple):
                number, length, piece = step
                flow = b"%d" % number if number else FIRST
                packet = Piece(bytes(length)) if piece and not number else Packet(bytes(length))
                inside.append((flow, packet))
                queue.push(flow, packet)
            elif step is None:
                mark = Packet(b"", eof=True)
                inside.append((FIRST, mark))
                queue.push(FIRST, mark)
            elif inside and step:
                packet = queue.pop()
                at = [other for _, other in inside].index(packet)
                flow = inside[at][0]
                if fifo:
                    self.assertEqual(0, at)
                self.assertNotIn(flow, [other for other, _ in inside[:at]])
                self.assertFalse(any(p.eof for _, p in inside[:at]), "a mark was overtaken")
                self.assertFalse(packet.eof and at, "a mark overtook")
                del inside[at]
            elif inside:
                dropped = queue.shed(bool(len(inside) % 2))
                if dropped is None:
                    self.assertTrue(all(p.eof or p.stream for _, p in inside))
                else:
                    self.assertFalse(dropped.eof or dropped.stream)
                    del inside[[other for _, other in inside].index(dropped)]
            self.assertEqual(len(inside), queue.frames)
            self.assertEqual(sum(p.len for _, p in inside), queue.octets)
            self.assertEqual(bool(inside), bool(queue.flows))
        self.assertEqual(Counter(p for _, p in inside), Counter(queue.drain()))

    def test_fair(self) -> None:
        """wfq and drr give flows the same bytes, whatever they send at a time."""
        for queue in (Weighted(), RoundRobin(2048), RoundRobin(100)):
            choose = Random(1)
            sizes = {b"a": (1500, 1500), b"b": (40, 100), b"c": (1, 1500)}
            for _ in range(3000):
                for flow, (least, most) in sizes.items():
                    queue.push(flow, Packet(flow * choose.randint(least, most)))
            sent: Counter[bytes] = Counter()
            while sum(sent.values()) < 300_000:
                packet = queue.pop()
                sent[bytes(packet)[:1]] += packet.len
            for flow in sizes:
                self.assertApproximates(100_000, sent[flow], 2048 + 1500, f"{queue} {flow!r}")

    def test_newcomer(self) -> None:
        """A flow that begins late has its share from then on, and makes up for nothing."""
        for queue in (Weighted(), RoundRobin(500)):
            for _ in range(100):
                queue.push(b"a", Packet(b"a" * 500))
            for _ in range(50):
                queue.pop()
            for _ in range(50):
                queue.push(b"b", Packet(b"b" * 500))
            first = [bytes(queue.pop())[:1] for _ in range(40)]
            self.assertApproximates(20, first.count(b"b"), 1)

    def test_longest(self) -> None:
        """What is dropped is of the flow with most packets, the last or the first."""
        for queue in (Weighted(), RoundRobin(2048)):
            for name in (b"a1", b"b1", b"b2", b"b3", b"c1"):
                queue.push(name[:1], Packet(name))
            self.assertEqual(b"b3", bytes(queue.shed(False) or b""))
            self.assertEqual(b"b1", bytes(queue.shed(True) or b""))
            self.assertEqual({b"a1", b"b2", b"c1"}, {bytes(p) for p in queue.drain()})


class DropTests(PipeTestCase):
    def test_queuelen(self) -> None:
        """One is on the line, queuelen wait, the others are dropped: the last of them."""
        self.pipe(SLOW, "setcfg { downstream={ queuelen=5 } }")
        for number in range(10):
            self.send("upper", b"%d" % number)
        run = "{ downstream={ queues=1 queuedOctets=5 queuedFrames=5 delayedOctets=1 delayedFrames=1 } }"  # noqa: E501
        self.assertEqual(run, self.msg("p:", "getrun"))
        self.pass_time(1)
        self.assertEqual({"lower": [b"0", b"1", b"2", b"3", b"4", b"5"]}, self.received)
        self.assertEqual(
            "{ downstream={ FwdOctets=6 FwdFrames=6 queueDropOctets=4 queueDropFrames=4 } }",
            self.msg("p:", "getstats"),
        )

    def test_drophead(self) -> None:
        """With drophead the oldest that waits is dropped."""
        self.pipe(SLOW, "setcfg { downstream={ queuelen=5 drophead=1 } }")
        self.send_batch("upper", [b"%d" % number for number in range(10)])
        self.pass_time(1)
        self.assertEqual({"lower": [b"0", b"5", b"6", b"7", b"8", b"9"]}, self.received)

    def test_fair(self) -> None:
        """A flow of few packets passes one of many; fifo lets it wait and be dropped."""
        for mode, lost in (("drr=32", 0), ("wfq=1", 0), ("fifo=1", 10)):
            self.pipe(SLOW, f"setcfg {{ header_offset=14 downstream={{ {mode} queuelen=40 }} }}")
            self.send_batch("upper", [ip(1, offset=14)] * 100)
            self.assertEqual(10 if mode == "fifo=1" else 0, lost)
            self.send_batch("upper", [ip(2, offset=14)] * 10)
            queues = (self.msg("p:", "getrun") or "").split()[2]
            self.assertEqual("queues=1" if lost else "queues=2", queues)
            self.pass_time(5)
            got = self.take()["lower"]
            self.assertEqual(10 - lost, got.count(ip(2, offset=14)))
            if not lost:
                self.assertIn(ip(2, offset=14), got[:3])
            self.graph("shutdown p:", "rmhook upper")

    def test_mode_changed(self) -> None:
        """When the discipline changes what waits stays."""
        self.pipe(SLOW)
        sent = [ip(number % 3, 20 + number) for number in range(20)]
        self.send_batch("upper", sent)
        for mode in ("drr=1", "drr=77", "wfq=1", "wfq=1", "fifo=1", "drr=99"):
            self.tell(f"setcfg {{ downstream={{ {mode} }} }}")
        self.pass_time(5)
        self.assertCountEqual(sent, self.received["lower"])

    def test_delaylen(self) -> None:
        """More than delaylen under way is dropped, behind the queue."""
        self.pipe("setcfg { delay=100000 downstream={ delaylen=5 } }")
        self.send_batch("upper", [b"%d" % number for number in range(8)])
        self.assertEqual(
            "{ downstream={ delayedOctets=5 delayedFrames=5 } }", self.msg("p:", "getrun")
        )
        self.pass_time(1)
        self.assertEqual({"lower": [b"0", b"1", b"2", b"3", b"4"]}, self.received)
        self.assertIn("delayDropOctets=3 delayDropFrames=3", self.msg("p:", "getstats") or "")

    def test_bounded(self) -> None:
        """However long the queue and the delay may be, what is kept has a limit."""
        self.patch(way_module, "LIMIT", 10_000)
        self.pipe("setcfg { delay=1000000 upstream={ bandwidth=100 queuelen=-1 } }")
        for hook in ("upper", "lower"):
            self.send_batch(hook, [bytes(744)] * 30)
            for _ in range(30):
                self.send(hook, b"")
        run = self.msg("p:", "getrun") or ""
        self.assertIn("delayedFrames=10 ", run)
        self.assertIn(" queuedFrames=10 ", run)
        self.assertIn(" delayDropFrames=50 ", self.msg("p:", "getstats") or "")

    def test_malformed(self) -> None:
        """Packets of any contents pass each discipline, at every offset."""
        choose = Random(1)
        sent = [choose.randbytes(choose.randrange(90)) for _ in range(300)]
        for mode in ("fifo=1", "drr=1", "wfq=1"):
            self.pipe(
                "setcfg { bandwidth=1000000 header_offset=63 downstream={ queuelen=400 } }",
                f"setcfg {{ downstream={{ {mode} }} }}",
            )
            self.send_batch("upper", sent)
            self.pass_time(1)
            self.assertCountEqual(sent, self.take()["lower"])
            self.graph("shutdown p:", "rmhook upper")


class LinkTests(PipeTestCase):
    def told(self) -> list[tuple[str | None, int]]:
        """Return who was told which flow message since the last time."""
        told = [(name, m.cmd) for name, m in self.local.messages if m.cookie == FLOW]
        self.local.forget()
        return told

    def test_down(self) -> None:
        """BER 1 is a link that is down: 33 out of both hooks, and all is lost one way."""
        self.pipe()
        self.tell("setcfg { downstream={ BER=1 } }")
        self.assertEqual([("upper", DOWN), ("lower", DOWN)], self.told())
        self.send_batch("upper", [b"1", b"2"])
        self.send("upper", b"3")
        self.send("lower", b"4")
        self.assertEqual({"upper": [b"4"]}, self.received)
        self.assertIn("delayDropFrames=3 ", self.msg("p:", "getstats") or "")
        self.tell("setcfg { downstream={ BER=1 } }")
        self.assertEqual([], self.told())
        self.tell("setcfg { downstream={ BER=100 } }")
        self.assertEqual([("upper", UP), ("lower", UP)], self.told())
        self.tell("setcfg { downstream={ BER=-1 } upstream={ BER=1 } }")
        self.assertEqual([("upper", DOWN), ("lower", DOWN)], self.told())

    def test_both(self) -> None:
        """Both directions at once are one message; one that comes and one that goes are two."""
        self.pipe("setcfg { downstream={ BER=1 } }")
        self.tell("setcfg { downstream={ BER=-1 } upstream={ BER=1 } }")
        self.assertEqual([UP, UP, DOWN, DOWN], [cmd for _, cmd in self.told()])
        self.tell("setcfg { upstream={ BER=-1 } }")
        self.told()
        self.tell("setcfg { downstream={ BER=1 } upstream={ BER=1 } }")
        self.assertEqual([DOWN, DOWN], [cmd for _, cmd in self.told()])

    def test_not_understood(self) -> None:
        """Neighbours that understand no flow messages are no error."""
        self.graph("mkpeer pipe x upper", "name x p", "mkpeer p: hub lower in")
        self.tell("setcfg { downstream={ BER=1 } }")
        self.assertIn("BER=1 ", self.msg("p:", "getcfg") or "")


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
