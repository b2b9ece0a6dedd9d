"""source: what it writes into packets, netgraph.md §10.10."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ngksock.nodes.source.layouts import CounterInfo
from tests.nodes.sources import SourceTestCase


class MarkTests(SourceTestCase):
    def test_timestamp(self) -> None:
        """Seconds and microseconds, big-endian, in front of two fields of 8 bytes."""
        self.msg("s:", "settimestamp { offset=1 flags=1 }")
        self.send("input", b"\xaa" * 18)
        self.pass_time(66051.5)
        sent = self.run_for(2)
        for number, data in enumerate(sent, 1):
            time = bytes.fromhex(f"00010203 00000000 {500000 + number * 1000:08x} 00000000")
            self.assertEqual(b"\xaa" + time + b"\xaa", data)
        self.assertEqual(2, len(sent))

    def test_timestamp_once(self) -> None:
        """With flag 2 all packets of a round have the time at which it began."""
        self.msg("s:", "settimestamp { flags=3 }")
        self.send_batch("input", [bytes(16)] * 3)
        times = [int.from_bytes(data[8:12]) for data in self.run_for(7)]
        self.assertEqual([1000, 1000, 1000, 4000, 4000, 4000, 7000], times)

    def test_short_packets(self) -> None:
        """What does not fit is left out, to the byte, and does not advance a number."""
        self.msg("s:", "settimestamp { flags=1 offset=1 }")
        self.msg("s:", "setcounter { flags=1 width=4 offset=2 max_val=99 increment=1 next_val=7 }")
        self.send_batch("input", [bytes(5), bytes(6), bytes(16), bytes(17)])
        sent = self.run_for(4)
        self.assertEqual([bytes(5), bytes(5) + b"\7"], sent[:2])
        self.assertEqual(bytes(5) + b"\x08" + bytes(10), sent[2])
        self.assertEqual(bytes(5) + b"\x09" + bytes(5) + b"\x0f\xa0" + bytes(4), sent[3])
        self.assertIn("next_val=10 ", self.msg("s:", "getcounter 0") or "")

    def test_far_offset(self) -> None:
        """The farthest offset of all is beyond."""
        self.msg("s:", "settimestamp { flags=1 offset=0xffff }")
        self.msg("s:", "setcounter { flags=1 width=1 offset=0xffff max_val=9 }")
        self.send("input", bytes(9))
        self.assertEqual([bytes(9)], self.run_for(1))

    def test_off(self) -> None:
        """Without flag 1 nothing is written."""
        self.msg("s:", "settimestamp { flags=2 }")
        self.msg("s:", "setcounter { flags=2 width=1 max_val=9 increment=1 next_val=5 }")
        self.send("input", bytes(16))
        self.assertEqual([bytes(16)], self.run_for(1))

    def test_widths(self) -> None:
        """A number has 1, 2 or 4 bytes, big-endian, and the low ones of a larger number."""
        for index, width in enumerate((1, 2, 4)):
            self.msg(
                "s:",
                f"setcounter {{ index={index} flags=1 width={width} offset={4 * index} "
                "next_val=0x01020304 max_val=0xffffffff increment=-4 }",
            )
        self.send("input", b"\xff" * 12)
        self.assertEqual(
            ["04ffffff0304ffff01020304", "00ffffff0300ffff01020300"],
            [bytes.hex(data) for data in self.run_for(2)],
        )

    def test_wraps(self) -> None:
        """A number stays in its range: what leaves it by one end enters by the other."""
        for start, low, high, step, expected in (
            (5, 3, 6, 1, [5, 6, 3, 4, 5]),
            (3, 3, 6, -1, [3, 6, 5, 4, 3]),
            (0, 0, 9, 4, [0, 4, 8, 2, 6]),
            (250, 0, 255, 3, [250, 253, 0, 3, 6]),
            (7, 7, 7, 5, [7, 7, 7]),
            (200, 3, 6, 0, [200, 4, 4]),
        ):
            self.msg("s:", "clrdata")
            self.msg("s:", "adddata [ 0 ]")
            self.msg(
                "s:",
                f"setcounter {{ flags=1 width=1 next_val={start} min_val={low} max_val={high} "
                f"increment={step} }}",
            )
            self.assertEqual(expected, [data[0] for data in self.run_for(len(expected))])

    def test_once(self) -> None:
        """With flag 2 a number is the same for all packets of a round, however many there are."""
        self.msg("s:", "setcounter { flags=3 width=1 max_val=255 increment=1 }")
        self.send_batch("input", [bytes(1)] * 3)
        self.assertEqual([0, 0, 0, 1, 1], [data[0] for data in self.run_for(5)])
        self.send_batch("input", [bytes(1)] * 2)
        self.assertEqual([1, 2, 2, 2, 2, 2, 3], [data[0] for data in self.run_for(7)])
        self.msg("s:", "setinterval 0")
        self.msg("s:", "clrdata")
        self.send_batch("input", [bytes(1)] * 100)
        self.assertEqual([3] * 100 + [4] * 100 + [5] * 99, [d[0] for d in self.run_for(299)])

    def test_rounds_unmarked(self) -> None:
        """Rounds are counted while nothing is written, too."""
        self.send_batch("input", [bytes(16)] * 3)
        self.run_for(4)
        self.msg("s:", "settimestamp { flags=3 }")
        times = [int.from_bytes(data[8:12]) for data in self.run_for(3)]
        self.assertEqual([4000, 4000, 7000], times)

    @given(
        st.lists(st.integers(0, 40), min_size=1, max_size=4),
        st.lists(
            st.builds(
                CounterInfo,
                offset=st.integers(0, 40),
                flags=st.integers(0, 3),
                width=st.sampled_from((1, 2, 4)),
                next_val=st.integers(0, 1 << 32),
                min_val=st.integers(0, 99),
                max_val=st.integers(99, (1 << 32) - 1),
                increment=st.integers(-(1 << 31), (1 << 31) - 1),
            ),
            max_size=4,
        ),
        st.integers(1, 20),
    )
    def test_model(self, sizes: list[int], counters: list[CounterInfo], count: int) -> None:
        """Any counters write what a plain model of them writes."""
        self.msg("s:", "clrdata")
        for index in range(4):
            off = CounterInfo(width=1, index=index)
            info = counters[index] if index < len(counters) else off
            info.index, info.next_val = index, info.next_val & 0xFFFFFFFF
            self.source.setcounter(info)
        values = [counter.next_val for counter in counters]
        expected = []
        for number in range(count):
            data = bytearray(sizes[number % len(sizes)])
            last = number % len(sizes) == len(sizes) - 1
            for index, counter in enumerate(counters):
                if not counter.flags & 1:
                    continue
                end = counter.offset + counter.width
                if end <= len(data):
                    low = values[index] % (1 << 8 * counter.width)
                    data[counter.offset : end] = low.to_bytes(counter.width, "big")
                if last if counter.flags & 2 else end <= len(data):
                    value = values[index] + counter.increment
                    span = counter.max_val - counter.min_val + 1
                    while not counter.min_val <= value <= counter.max_val:
                        value += span * -(-(counter.min_val - value) // span)
                    values[index] = value
            expected.append(bytes(data))
        self.send_batch("input", [bytes(size) for size in sizes])
        self.assertEqual(expected, self.run_for(count))
        self.assertEqual(values, [counter.next_val for counter in counters])
