"""What the batches of datagrams are made of: system calls, runs, and names."""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ngksock.kpi import rawname, segments, slots
from tests.kpi.sockets import INET, INET6, UNIX


class CallsTests(SynchronousTestCase):
    """Whether the system has what it takes."""

    def test_here(self) -> None:
        """Linux has the calls, and runs."""
        self.assertIsNotNone(slots.calls())
        self.assertIn(segments.most_segments(), segments.MOST)

    def test_missing(self) -> None:
        """A C library without them, and a sandbox that forbids them, are none."""

        def forbidden(*args: object) -> int:
            ctypes.set_errno(errno.ENOSYS)
            return -1

        for library in (object(), type("C", (), {"recvmmsg": forbidden, "sendmmsg": forbidden})):
            self.patch(ctypes, "CDLL", lambda name, use_errno, it=library: it)
            self.assertIsNone(slots.calls.__wrapped__())

    def test_fewer_segments(self) -> None:
        """Where the longest run is refused the next shorter one is tried, and then none."""
        self.patch(segments, "MOST", (4096, 64))
        self.assertEqual(64, segments.most_segments.__wrapped__())
        self.patch(segments, "MOST", (4096,))
        self.assertEqual(0, segments.most_segments.__wrapped__())

    def test_silence(self) -> None:
        """A system that passes over the mark in silence has no runs."""
        self.patch(segments, "segmented", lambda size: [(segments.SOL_UDP + 99, 1, b"")])
        self.assertEqual(0, segments.most_segments.__wrapped__())


class CutTests(SynchronousTestCase):
    """Where batches are cut."""

    @given(
        st.lists(st.tuples(st.integers(0, 3), st.sampled_from((0, 5, 9, 700, 40_000)))).filter(
            bool
        ),
        st.booleans(),
        st.sampled_from((0, 9, 65507)),
        st.sampled_from((4, 64, 128)),
    )
    def test_cut(
        self, datagrams: list[tuple[int, int]], named: bool, longest: int, most: int
    ) -> None:
        """All leave, once and in order; a run keeps the kernel's rules."""
        lens = [size for _, size in datagrams]
        targets = [target // 3 for target, _ in datagrams] if named else None
        pieces = segments.cut(lens, targets, longest, most)
        self.assertEqual(
            list(range(len(lens))), [i for start, stop, _ in pieces for i in range(start, stop)]
        )
        for start, stop, size in pieces:
            if not size:
                continue
            self.assertEqual({size}, set(lens[start : stop - 1]))
            self.assertTrue(0 < lens[stop - 1] <= size <= longest)
            alone = len({*zip(targets or lens, lens, strict=True)}) == 1
            self.assertTrue((2 if alone else segments.WORTH) <= stop - start <= most)
            self.assertLessEqual(sum(lens[start:stop]), segments.BYTES)
            if targets is not None:
                self.assertEqual(1, len(set(targets[start:stop])))

    def test_long_runs(self) -> None:
        """As many of a run go together as the system takes."""
        self.assertEqual([(0, 64, 60)], segments.cut([60] * 64, None, 65507, 64))
        self.assertEqual(
            [(0, 46, 1400), (46, 64, 1400)], segments.cut([1400] * 64, None, 65507, 64)
        )
        self.assertEqual([(0, 64, 60)], segments.cut([60] * 63 + [59], ["x"] * 64, 65507, 64))
        self.assertEqual([(0, 64, 0)], segments.cut([40_000] * 64, None, 65507, 64))
        self.assertEqual([(0, 64, 0)], segments.cut([60] * 64, None, 0, 1))
        self.assertEqual([(0, 2, 60)], segments.cut([60] * 2, ["x"] * 2, 65507, 64))
        self.assertEqual([(0, 64, 60), (64, 65, 0)], segments.cut([60] * 65, None, 65507, 64))


class NameTests(SynchronousTestCase):
    """Addresses as the system calls have them."""

    @given(st.ip_addresses(v=4), st.integers(0, 65535))
    def test_inet(self, host: Any, port: int) -> None:
        """An inet name is what it was, there and back."""
        name = (str(host), port)
        raw = rawname.pack(INET, name)
        self.assertEqual(struct.pack("=H", INET), raw[:2])
        self.assertEqual((16, name), (len(raw), rawname.READ[INET](raw)))

    @given(
        st.ip_addresses(v=6),
        st.integers(0, 65535),
        st.integers(0, 0xFFFFF),
        st.integers(0, 0xFFFFFFFF),
    )
    def test_inet6(self, host: Any, port: int, flow: int, scope: int) -> None:
        """An inet6 name, too, with flow and scope, or without."""
        text = socket.inet_ntop(INET6, host.packed)
        for name in ((text, port, flow, scope), (text, port)):
            raw = rawname.pack(INET6, name)
            back = rawname.READ[INET6](raw)
            self.assertEqual((28, (*name, 0, 0)[:4]), (len(raw), back))

    def test_local(self) -> None:
        """A path ends with a NUL, an abstract name does not."""
        for path, raw in ((b"/a", b"/a\0"), (b"\0a", b"\0a")):
            packed = rawname.pack(UNIX, path)
            self.assertEqual(struct.pack("=H", UNIX) + raw, packed)
            self.assertEqual(path.decode(), rawname.READ[UNIX](packed))
