"""BPF programs for tests: a plain interpreter, and programs and packets at random."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from ngksock.nodes.bpf.machine import Instruction, check

ALL: Final = 0xFFFFFFFF

LOADS: Final = (0x20, 0x28, 0x30, 0x40, 0x48, 0x50, 0xB1)
STEPS: Final = (0x00, 0x01, 0x80, 0x81, 0x07, 0x87)
OF_MEMORY: Final = (0x60, 0x61, 0x02, 0x03)
SUMS: Final = tuple(op | x for op in range(0x04, 0xB4, 0x10) for x in (0, 8) if op | x != 0x8C)
TESTS: Final = tuple(op | x for op in range(0x15, 0x55, 0x10) for x in (0, 8))
ALWAYS, RETURN, RETURN_A = 0x05, 0x06, 0x16

CODES: Final = frozenset((*LOADS, *STEPS, *OF_MEMORY, *SUMS, *TESTS, ALWAYS, RETURN, RETURN_A))


def program(*steps: tuple[int, ...]) -> list[Instruction]:
    """Return a program of (code, k), or of (code, jt, jf, k)."""
    return [
        Instruction(step[0], 0, 0, step[1]) if len(step) == 2 else Instruction(*step)
        for step in steps
    ]


def interpret(steps: Sequence[Instruction], packet: bytes) -> int:
    """Run a program, one instruction after the other, as the books say."""
    a = x = at = 0
    memory = [0] * 16
    while True:
        step = steps[at]
        code, k = step.code, step.k
        at += 1
        kind, source = code & 7, x if code & 8 else k
        if kind in (0, 1):
            mode, value = code & 0xE0, 0
            if mode == 0x00:
                value = k
            elif mode == 0x60:
                value = memory[k]
            elif mode == 0x80:
                value = len(packet)
            else:
                where = x + k if mode == 0x40 else k
                size = {0x00: 4, 0x08: 2, 0x10: 1}[code & 0x18]
                if where + size > len(packet):
                    return 0
                value = int.from_bytes(packet[where : where + size], "big")
                if mode == 0xA0:
                    value = (value & 15) * 4
            if kind == 0:
                a = value
            else:
                x = value
        elif kind == 2:
            memory[k] = a
        elif kind == 3:
            memory[k] = x
        elif kind == 4:
            op = code & 0xF0
            if op in (0x30, 0x90) and source == 0:
                return 0
            if op == 0x00:
                a = a + source
            elif op == 0x10:
                a = a - source
            elif op == 0x20:
                a = a * source
            elif op == 0x30:
                a = a // source
            elif op == 0x40:
                a = a | source
            elif op == 0x50:
                a = a & source
            elif op == 0x60:
                a = a << source if source < 32 else 0
            elif op == 0x70:
                a = a >> source if source < 32 else 0
            elif op == 0x80:
                a = -a
            elif op == 0x90:
                a = a % source
            elif op == 0xA0:
                a = a ^ source
            a &= ALL
        elif kind == 5:
            op = code & 0xF0
            if op == 0x00:
                at += k
            else:
                holds = {0x10: a == source, 0x20: a > source, 0x30: a >= source, 0x40: a & source}
                at += step.jt if holds[op] else step.jf
        elif kind == 6:
            return a if code == RETURN_A else k
        elif code == 0x07:
            x = a
        else:
            a = x


@st.composite
def programs(draw: DrawFn, most: int = 60) -> list[Instruction]:
    """Generate valid programs; all memory is set first, which libpcap leaves as it was."""
    # From a seed that is drawn: to draw hundreds of numbers takes hypothesis long.
    choose = random.Random(draw(st.integers(0, ALL)))
    return random_program(choose, draw(st.integers(1, most)))


def random_program(choose: random.Random, length: int) -> list[Instruction]:
    """Return a valid program of *length* instructions, behind 16 that set the memory."""
    steps = [Instruction(0x02, 0, 0, number) for number in range(16)]
    numbers = (0, 1, 2, 4, 14, 31, 0x0800, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
    for left in range(length - 1, 0, -1):
        code = choose.choice(
            choose.choice((LOADS, LOADS, STEPS, OF_MEMORY, SUMS, TESTS, TESTS, TESTS, (ALWAYS,)))
        )
        jt = jf = 0
        k = choose.choice((choose.choice(numbers), choose.randrange(64), choose.getrandbits(32)))
        if code in LOADS:
            k = choose.choice((choose.randrange(8), choose.randrange(40), choose.choice(numbers)))
        elif code in OF_MEMORY:
            k = choose.randrange(16)
        elif code in TESTS:
            jt, jf = (choose.randrange(min(left, choose.choice((4, 256)))) for _ in "tf")
        elif code == ALWAYS:
            k = choose.randrange(min(left, 4))
        elif code in (0x34, 0x94):
            k = k or 1
        elif code in (0x64, 0x74):
            k %= 32  # more is a matter of the processor in libpcap
        if left > 1 and choose.random() < 0.03:
            code, k, jt, jf = choose.choice((RETURN, RETURN_A)), choose.randrange(3), 0, 0
        steps.append(Instruction(code, jt, jf, k))
    steps.append(Instruction(choose.choice((RETURN, RETURN_A)), 0, 0, choose.randrange(3)))
    check(steps)
    return steps


def packets() -> SearchStrategy[bytes]:
    """Generate packets, short ones above all."""
    return st.binary(max_size=12) | st.binary(max_size=64)
