"""pipe: what waits and what is dropped, and whose turn it is."""

from __future__ import annotations

import struct
from collections import Counter
from random import Random
from time import perf_counter

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

    def test_memory(self) -> None:
        """Of flows that were dropped nothing is left, however many there were."""
        queue = Weighted()
        for number in range(10_000):
            queue.push(b"%d" % number, Packet(b"x" * (1 + number % 7)))
            if queue.frames > 5:
                queue.shed(number % 2 == 0)
        self.assertLess(len(queue._heap), 100)
        self.assertEqual(5, len(queue.drain()))

    def test_many_flows(self) -> None:
        """Turns, and drops, cost the same however many flows there are, and however long."""
        queues = Weighted(), RoundRobin(32)
        for queue in queues:
            for number in range(50_000):
                queue.push(b"%d" % number, Packet(bytes(60_000)))
            began = perf_counter()
            for _ in range(1000):
                queue.pop()
                queue.shed(False)
            self.assertLess(perf_counter() - began, 2)  # it was minutes

    def test_rounds(self) -> None:
        """Long packets wait for as many rounds of a small quantum as their length has."""
        queue = RoundRobin(100)
        for flow, length in ((b"a", 1000), (b"b", 500), (b"c", 950), (b"d", 501)):
            queue.push(flow, Packet(flow * length))
        queue.push(b"b", Packet(b"b" * 500))
        self.assertEqual([b"b", b"d", b"a", b"b", b"c"], [bytes(p)[:1] for p in queue.drain()])


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

    def test_delaylen_late(self) -> None:
        """What has arrived but for a late timer is not under way: it takes nobody's place."""
        self.pipe("setcfg { bandwidth=8000000 overhead=-1 delay=3000 downstream={ delaylen=5 } }")
        sent = [b"%02d" % number + bytes(998) for number in range(50)]
        self.send_batch("upper", map(Record, sent))
        self.clock.advance(1)  # and the timer fires once
        self.pass_time(1)
        self.assertEqual({"lower": sent}, self.take())
        # 20 us on the line, and 80 behind it: five are under way.
        self.tell("setcfg { bandwidth=400000000 overhead=-1 delay=80 }")
        self.send_batch("upper", map(Record, sent))
        self.pass_time(1)
        self.assertEqual({"lower": sent}, self.take())
        self.tell("setcfg { delay=180 }")
        self.send_batch("upper", map(Record, sent))
        self.pass_time(1)
        self.assertApproximates(25, len(self.take()["lower"]), 3)

    def test_marks_bounded(self) -> None:
        """Marks are kept, but not without a limit."""
        self.patch(way_module, "LIMIT", 10_000)
        self.pipe("setcfg { delay=1000000 }")
        for _ in range(50):
            self.send_batch("upper", [EOF] * 10)
        node = self.node("p:").ways["upper"]  # type: ignore[attr-defined]
        self.assertLess(node.line_frames + node.waiting, 100)
        self.pass_time(5)

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
