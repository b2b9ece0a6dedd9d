"""From a valid BPF program to a Python function.

Theory of operation
-------------------
Jumps only go forward, so a program is a graph without loops, and one pass over
it in order meets each instruction before all that can follow it.

An instruction that one jump alone leads to is written where the jump is, in a
branch of an ``if``; so is a return, which is short, wherever it is jumped to.
What several jumps lead to (or one from too deep inside: Python counts levels)
begins a *part*.  The parts stand one after the other, in the program's order; a
jump to one notes its number in ``at`` and falls through to ``if at == number:``.
So each instruction is written once, returns aside, and the function is as long
as the program.

A load beyond the packet's end, where the machine returns 0, is left to Python
to find: IndexError, or struct.error.  That costs the others nothing.  X + k is
not cut to 32 bits where it addresses the packet, for libpcap's machine returns
0 there, too, where it does not fit.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

from ngksock.nodes.bpf.machine import Instruction

__all__ = ["Filter", "source_of", "translate"]

Filter = Callable[[bytes | memoryview], int]
"""Tells how many bytes of a packet to keep; 0: it does not match."""

DEEPEST: Final = 24
"""Levels of indentation; Python's compiler takes 100."""
_ALL: Final = 0xFFFFFFFF

_RETURNS: Final = {0x06: "return {k}", 0x16: "return A"}
_ALWAYS: Final = 0x05
_JUMPS: Final = {  # condition, and the opposite
    0x15: ("A == {k}", "A != {k}"),
    0x1D: ("A == X", "A != X"),
    0x25: ("A > {k}", "A <= {k}"),
    0x2D: ("A > X", "A <= X"),
    0x35: ("A >= {k}", "A < {k}"),
    0x3D: ("A >= X", "A < X"),
    0x45: ("A & {k}", "not A & {k}"),
    0x4D: ("A & X", "not A & X"),
}
_STEPS: Final = {
    0x00: "A = {k}",
    0x20: "A, = word(p, {k})",
    0x28: "A, = half(p, {k})",
    0x30: "A = p[{k}]",
    0x40: "A, = word(p, X + {k})",
    0x48: "A, = half(p, X + {k})",
    0x50: "A = p[X + {k}]",
    0x60: "A = M{k}",
    0x80: "A = len(p)",
    0x01: "X = {k}",
    0x61: "X = M{k}",
    0x81: "X = len(p)",
    0xB1: "X = (p[{k}] & 15) << 2",
    0x02: "M{k} = A",
    0x03: "M{k} = X",
    0x04: "A = A + {k} & ALL",
    0x14: "A = A - {k} & ALL",
    0x24: "A = A * {k} & ALL",
    0x34: "A //= {k}",
    0x44: "A |= {k}",
    0x54: "A &= {k}",
    0x64: "A = A << {k} & ALL if {k} < 32 else 0",
    0x74: "A >>= {k}",
    0x84: "A = -A & ALL",
    0x94: "A %= {k}",
    0xA4: "A ^= {k}",
    0x0C: "A = A + X & ALL",
    0x1C: "A = A - X & ALL",
    0x2C: "A = A * X & ALL",
    0x3C: "A //= X",
    0x4C: "A |= X",
    0x5C: "A &= X",
    0x6C: "A = A << X & ALL if X < 32 else 0",
    0x7C: "A >>= X",
    0x9C: "A %= X",
    0xAC: "A ^= X",
    0x07: "X = A",
    0x87: "A = X",
}

_WORLD: Final = {
    "word": struct.Struct(">I").unpack_from,
    "half": struct.Struct(">H").unpack_from,
    # OverflowError: an offset of more than a pointer's size, on small machines.
    "Over": (IndexError, struct.error, ZeroDivisionError, OverflowError),
    "ALL": _ALL,
    "len": len,
    "__builtins__": {},
}


def translate(program: Sequence[Instruction]) -> Filter:
    """Return *program*, which is valid, as a function."""
    names: dict[str, Any] = dict(_WORLD)
    exec(compile(source_of(program), "<bpf>", "exec"), names)
    function: Filter = names["run"]
    return function


def source_of(program: Sequence[Instruction]) -> str:
    """Return the text of the function that `translate` makes of *program*."""
    lines = ["def run(p):", " try:"]
    registers = sorted({"A", "X", *(f"M{step.k}" for step in program if step.code in (0x60, 0x61))})
    lines.append(f"  {' = '.join(registers)} = 0")
    lines += [f"  {line}" for line in _Writer(program).parts()]
    lines += [" except Over:", "  return 0"]
    return "\n".join(lines) + "\n"


class _Writer:
    """Writes one program down."""

    def __init__(self, program: Sequence[Instruction]) -> None:
        self.program = program
        self.shared = _shared(program)
        self.waiting: set[int] = {0}

    def parts(self) -> list[str]:
        """Write all parts, each behind those that jump to it."""
        lines: list[str] = []
        while self.waiting:
            start = min(self.waiting)
            alone = len(self.waiting) == 1  # all ways that are left lead there
            self.waiting.remove(start)
            part, _ = self.way(start, 0)
            if alone:
                lines += part
            else:
                lines += [f"if at == {start}:", *_deeper(part)]
        return lines

    def branch(self, at: int, depth: int) -> tuple[list[str], bool]:
        """Write a jump to *at*, and tell whether all ends there; it may be another part's."""
        step = self.program[at]
        if step.code in _RETURNS:
            return [_RETURNS[step.code].format(k=step.k)], True
        if at in self.shared or depth > DEEPEST:
            self.waiting.add(at)
            return [f"at = {at}"], False
        return self.way(at, depth)

    def way(self, at: int, depth: int) -> tuple[list[str], bool]:
        """Write what happens from *at* on, and tell whether all of it ends in returns."""
        lines: list[str] = []
        while True:
            step = self.program[at]
            if step.code in _STEPS:
                lines.append(_STEPS[step.code].format(k=step.k))
                after = at + 1
            elif step.code in _RETURNS:
                return [*lines, _RETURNS[step.code].format(k=step.k)], True
            else:
                holds, fails = _targets(step, at)
                after = holds
                if holds != fails:
                    # The short branch first: the other one need not be a level deeper.
                    yes, no = (text.format(k=step.k) for text in _JUMPS[step.code])
                    if self.program[fails].code in _RETURNS:
                        yes, no, holds, fails = no, yes, fails, holds
                    first, ends = self.branch(holds, depth + 1)
                    lines += [f"if {yes}:", *_deeper(first)]
                    if not ends:
                        second, ends = self.branch(fails, depth + 1)
                        return [*lines, "else:", *_deeper(second)], False
                    after = fails
            if after in self.shared or self.program[after].code in _RETURNS:
                rest, ends = self.branch(after, depth)
                return lines + rest, ends
            at = after


def _deeper(lines: list[str]) -> list[str]:
    return [f" {line}" for line in lines]


def _targets(step: Instruction, at: int) -> tuple[int, int]:
    """Return where the instruction *at* leads if it holds, and if not."""
    if step.code == _ALWAYS:
        return at + 1 + step.k, at + 1 + step.k
    if step.code in _JUMPS:
        return at + 1 + step.jt, at + 1 + step.jf
    return at + 1, at + 1


def _shared(program: Sequence[Instruction]) -> set[int]:
    """Return the instructions that several ways lead to."""
    ways: Counter[int] = Counter({0: 1})
    for at, step in enumerate(program):
        if ways[at] and step.code not in _RETURNS:
            ways.update(set(_targets(step, at)))
    return {at for at, count in ways.items() if count > 1}
