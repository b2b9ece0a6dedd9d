"""The BPF machine: what makes a program valid, and that its translation does what it says."""

from __future__ import annotations

from collections.abc import Sequence
from errno import EINVAL

from hypothesis import given
from twisted.trial.unittest import SynchronousTestCase

from ngksock.nodes.bpf.machine import Instruction, check, parse_dump
from ngksock.nodes.bpf.translate import source_of, translate
from ngksock.testing.exchange import limits
from tests.nodes.bpfprograms import ALL, CODES, interpret, packets, program, programs

RETURN = (0x06, 1)
RETURN_A = (0x16, 0)
PACKET = bytes(range(1, 33))


class MachineTestCase(SynchronousTestCase):
    def refused(self, *steps: tuple[int, ...]) -> str:
        """Return the sentence by which a program is refused with EINVAL; "": it is not."""
        try:
            check(program(*steps))
        except OSError as error:
            self.assertEqual(EINVAL, error.errno)
            return str(error)
        return ""

    def run_steps(self, *steps: tuple[int, ...], packet: bytes = PACKET) -> int:
        """Return what a valid program returns, which the interpreter does, too."""
        made = program(*steps)
        check(made)
        result = translate(made)(packet)
        self.assertEqual(interpret(made, packet), result)
        return result


class CheckTests(MachineTestCase):
    def test_codes(self) -> None:
        """Of all 65536 codes those of the classic machine are known, and no others."""
        known = set()
        for code in range(65536):
            if not self.refused((code, 1), (0x06, 1), (0x06, 1)):
                known.add(code)
        self.assertEqual(CODES, known)

    def test_length(self) -> None:
        """A program has 1 to 512 instructions."""
        self.assertIn("0 instructions, not 1 to 512", self.refused())
        self.assertEqual("", self.refused(*[RETURN] * 512))
        self.assertIn("513 instructions, not 1 to 512", self.refused(*[RETURN] * 513))

    def test_end(self) -> None:
        """The last instruction is a return, of a constant or of A."""
        self.assertEqual("", self.refused(RETURN))
        self.assertEqual("", self.refused(RETURN_A))
        for last in ((0x00, 1), (0x05, 0), (0x07, 0), (0x84, 0)):
            self.assertTrue(self.refused(RETURN, last), last)

    def test_jumps(self) -> None:
        """Jumps end within the program, forward, whatever their width."""
        self.assertEqual("", self.refused((0x15, 0, 1, 7), RETURN, RETURN))
        self.assertIn("instruction 0 (code 0x15)", self.refused((0x15, 0, 2, 7), RETURN, RETURN))
        self.assertIn("jumps 2", self.refused((0x1D, 2, 0, 7), RETURN, RETURN))
        self.assertEqual("", self.refused((0x05, 0), RETURN))
        for far in (1, 0x7FFFFFFF, ALL - 1, ALL):
            self.assertIn(f"jumps {far}", self.refused((0x05, far), RETURN))

    def test_memory(self) -> None:
        """Memory is 0 to 15."""
        for code in (0x02, 0x03, 0x60, 0x61):
            self.assertEqual("", self.refused((code, 15), RETURN))
            self.assertIn("memory 16", self.refused((code, 16), RETURN))
            self.assertTrue(self.refused((code, ALL), RETURN))

    def test_division(self) -> None:
        """A division by the constant zero is refused; one by X is not."""
        for code in (0x34, 0x94):
            self.assertIn("divides by zero", self.refused((code, 0), RETURN))
            self.assertEqual("", self.refused((code, 1), RETURN))
            self.assertEqual("", self.refused((code | 8, 0), RETURN))

    def test_unreachable(self) -> None:
        """What no way leads to is checked all the same."""
        self.assertTrue(self.refused(RETURN, (0xFFFF, 0), RETURN))


class RunTests(MachineTestCase):
    def test_returns(self) -> None:
        """A return tells a constant of 32 bits, or A, which is 0 at first, as is all else."""
        self.assertEqual(ALL, self.run_steps((0x06, ALL)))
        self.assertEqual(0, self.run_steps(RETURN_A))
        self.assertEqual(7, self.run_steps((0x00, 7), RETURN_A))
        self.assertEqual(0, self.run_steps((0x00, 7), (0x87, 0), RETURN_A))
        self.assertEqual(0, self.run_steps((0x00, 7), (0x60, 3), RETURN_A))
        self.assertEqual(5, self.run_steps((0x0C, 0), (0x04, 5), RETURN_A))

    def test_loads(self) -> None:
        """Loads are of 4, 2 or 1 bytes, the highest first, at k or at X + k."""
        for code, value in ((0x20, 0x03040506), (0x28, 0x0304), (0x30, 0x03)):
            self.assertEqual(value, self.run_steps((code, 2), RETURN_A))
        for code, value in ((0x40, 0x03040506), (0x48, 0x0304), (0x50, 0x03)):
            self.assertEqual(value, self.run_steps((0x01, 1), (code, 1), RETURN_A))

    def test_beyond(self) -> None:
        """A load of which one byte is beyond the end returns 0, wherever it is."""
        for code, size in ((0x20, 4), (0x28, 2), (0x30, 1), (0xB1, 1)):
            last = len(PACKET) - size
            self.assertEqual(1, self.run_steps((code, last), RETURN))
            for far in (last + 1, len(PACKET), 0x7FFFFFFF, ALL):
                self.assertEqual(0, self.run_steps((code, far), RETURN), (code, far))
        for code, size in ((0x40, 4), (0x48, 2), (0x50, 1)):
            last = len(PACKET) - size
            self.assertEqual(1, self.run_steps((0x01, 1), (code, last - 1), RETURN))
            for x, k in ((1, last), (last + 1, 0), (ALL, ALL), (ALL, 1), (1, ALL)):
                self.assertEqual(0, self.run_steps((0x01, x), (code, k), RETURN), (x, k))
        self.assertEqual(0, self.run_steps((0x30, 0), RETURN, packet=b""))

    def test_length(self) -> None:
        """The length of the packet can be loaded, into A and into X."""
        self.assertEqual(32, self.run_steps((0x80, 0), RETURN_A))
        self.assertEqual(32, self.run_steps((0x81, 0), (0x87, 0), RETURN_A))

    def test_header_length(self) -> None:
        """MSH: four times the low half of a byte, into X; A stays."""
        steps = ((0x00, 9), (0xB1, 0), (0x0C, 0), RETURN_A)
        self.assertEqual(9 + 20, self.run_steps(*steps, packet=b"\x45"))
        self.assertEqual(9 + 60, self.run_steps(*steps, packet=b"\xff"))

    def test_memory(self) -> None:
        """A and X are stored, and loaded again."""
        for number in (0, 15):
            steps = ((0x00, 5), (0x01, 6), (0x02, number), (0x03, 15 - number))
            self.assertEqual(5, self.run_steps(*steps, (0x60, number), RETURN_A))
            self.assertEqual(6, self.run_steps(*steps, (0x61, 15 - number), (0x87, 0), RETURN_A))
        self.assertEqual(8, self.run_steps((0x00, 8), (0x07, 0), (0x00, 1), (0x87, 0), RETURN_A))

    def test_arithmetic(self) -> None:
        """All arithmetic is of 32 bits without a sign; a shift of 32 or more leaves 0."""
        for code, a, operand, result in (
            (0x04, ALL, 2, 1), (0x14, 1, 2, ALL), (0x24, 0x10001, 0x10001, 0x20001),
            (0x34, ALL, 2, 0x7FFFFFFF), (0x44, 5, 10, 15), (0x54, 7, 10, 2),
            (0x64, ALL, 4, 0xFFFFFFF0), (0x64, 1, 31, 1 << 31), (0x64, 1, 32, 0), (0x64, 1, ALL, 0),
            (0x74, ALL, 28, 15), (0x74, ALL, 32, 0), (0x74, ALL, ALL, 0),
            (0x94, 17, 5, 2), (0xA4, 5, 15, 10), (0xA4, ALL, ALL, 0),
        ):  # fmt: skip
            by_k = self.run_steps((0x00, a), (code, operand), RETURN_A)
            by_x = self.run_steps((0x00, a), (0x01, operand), (code | 8, 0), RETURN_A)
            self.assertEqual((result, result), (by_k, by_x), (code, a, operand))
        self.assertEqual(ALL, self.run_steps((0x00, 1), (0x84, 0), RETURN_A))
        self.assertEqual(0, self.run_steps((0x84, 0), RETURN_A))

    def test_division_by_zero(self) -> None:
        """A division by an X of 0, and a remainder, return 0."""
        for code in (0x3C, 0x9C):
            self.assertEqual(0, self.run_steps((0x00, 5), (code, 0), RETURN))

    def test_tests(self) -> None:
        """Tests compare A, without a sign, with k or X."""
        for code, a, operand, holds in (
            (0x15, 5, 5, 1), (0x15, 5, 6, 0), (0x25, ALL, 1, 1), (0x25, 5, 5, 0),
            (0x35, 5, 5, 1), (0x35, 4, 5, 0), (0x45, 6, 2, 1), (0x45, 6, 9, 0),
        ):  # fmt: skip
            for test in ((code, 1, 0, operand), (code | 8, 1, 0, 0)):
                steps = ((0x00, a), (0x01, operand), test, (0x06, 10), (0x06, 11))
                self.assertEqual(10 + holds, self.run_steps(*steps), (test, a, operand))

    def test_jump(self) -> None:
        """A jump leaves out what it passes."""
        self.assertEqual(3, self.run_steps((0x05, 2), (0x06, 1), (0x06, 2), (0x06, 3)))

    def test_way_taken_alone(self) -> None:
        """A load beyond the end matters only on the way that is taken."""
        steps = ((0x15, 0, 1, 1), (0x30, 999), (0x06, 4))
        self.assertEqual(4, self.run_steps((0x00, 2), *steps))
        self.assertEqual(0, self.run_steps((0x00, 1), *steps))

    @limits(600)
    @given(programs(200), packets())
    def test_random(self, steps: list[Instruction], packet: bytes) -> None:
        """Any valid program, translated, returns what the interpreter says, of a view as well."""
        run = translate(steps)
        expected = interpret(steps, packet)
        self.assertEqual((expected, expected), (run(packet), run(memoryview(packet))))


class SizeTests(SynchronousTestCase):
    """Programs of 512 instructions whose ways branch and join in all manners."""

    def assert_handy(self, steps: Sequence[Instruction]) -> None:
        """Its source has few levels and a few lines an instruction; it does what it should."""
        check(steps)
        lines = source_of(steps).splitlines()
        self.assertLess(max(len(line) - len(line.lstrip()) for line in lines), 50)
        self.assertLess(len(lines), 5 * len(steps) + 10)
        run = translate(steps)
        for packet in (b"", bytes(64), bytes(range(64)), b"\xff" * 64, b"\0\xff" * 32):
            self.assertEqual(interpret(steps, packet), run(packet))

    def test_straight(self) -> None:
        """511 sums and a return."""
        self.assert_handy(program(*[(0x24, 77), (0x04, 5)] * 255, (0x04, 1), RETURN_A))

    def test_diamonds(self) -> None:
        """Ways that part and join 100 times: written once each, not 2 ** 100 times."""
        diamond = ((0x30, 9), (0x25, 0, 2, 128), (0x04, 3), (0x05, 1), (0x04, 1))
        self.assert_handy(program(*diamond * 100, RETURN_A))

    def test_nested(self) -> None:
        """Tests within tests, on the side that holds and on the other, to one end."""
        for side in (0, 1):
            steps: list[tuple[int, ...]] = []
            for level in range(120):
                away = 239 - 2 * level
                far = (away, 0) if side else (0, away)
                steps += [(0x30, level % 60), (0x15 if side else 0x35, *far, level)]
            self.assert_handy(program(*steps, (0x04, 1), RETURN_A))

    def test_crossing(self) -> None:
        """Each test leads two different ways ahead, all of which cross."""
        tests = [(0x25, at % 7, at % 5, at) for at in range(500)]
        self.assert_handy(program(*tests, *[(0x04, 1)] * 11, RETURN_A))

    def test_all_shared(self) -> None:
        """Every instruction is led to from two."""
        tests = [(0x45, at % 2, 1 - at % 2, at) for at in range(509)]
        self.assert_handy(program(*tests, RETURN, RETURN_A, RETURN))

    def test_deep_branches(self) -> None:
        """A comb of branches that end nowhere soon is cut before Python's 100 levels."""
        steps: list[tuple[int, ...]] = []
        for level in range(100):
            steps += [(0x45, 0, 1, 1 << level % 32), (0x05, 398 - 4 * level), (0x04, 1), (0x04, 2)]
        self.assert_handy(program(*steps, (0x04, 1), RETURN_A))


class DumpTests(SynchronousTestCase):
    def test_tcpdump(self) -> None:
        """What `tcpdump -ddd ip` prints is its program."""
        self.assertEqual(
            program((0x28, 12), (0x15, 0, 1, 2048), (0x06, 262144), (0x06, 0)),
            parse_dump("4\n40 0 0 12\n21 0 1 2048\n6 0 0 262144\n6 0 0 0\n"),
        )

    def test_separators(self) -> None:
        """Blanks and commas separate as ends of lines do."""
        expected = program((0x28, 12), (0x06, 5))
        for text in (
            "2 40 0 0 12 6 0 0 5", "2,40 0 0 12,6 0 0 5", " 2, 40,0,0,12,\t6,0,0,5,\r\n",
        ):  # fmt: skip
            self.assertEqual(expected, parse_dump(text))

    def test_refused(self) -> None:
        """What is no dump is EINVAL, and says why."""
        for text, words in (
            ("", "no decimal number"),
            ("ip", '"ip"'),
            ("1 6 0 0 -1", '"-1"'),
            ("1 0x6 0 0 1", '"0x6"'),
            ("1 6 0 0", "4 numbers"),
            ("1 6 0 0 1 2", "4 numbers"),
            ("6 0 0 1", "24 numbers"),
            ("9999999999", "39999999996 numbers"),
            ("1 65536 0 0 1", "out of range"),
            ("1 6 256 0 1", "out of range"),
            ("1 6 0 256 1", "out of range"),
            ("1 6 0 0 4294967296", "out of range"),
            ("1 6 0 0 99999999999", "no decimal number"),
        ):
            with self.assertRaises(OSError) as caught:
                parse_dump(text)
            self.assertEqual(EINVAL, caught.exception.errno, text)
            self.assertIn(words, str(caught.exception), text)
