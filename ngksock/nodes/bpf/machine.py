"""The classic BPF machine: its instructions, what makes a program valid, and `tcpdump -ddd`.

A program sees one packet.  It has an accumulator A, an index register X and 16
words of memory M, all 32 bits and zero at first, and ends by returning how many
bytes of the packet to keep; 0: none of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from errno import EINVAL
from typing import Final

from ngksock.netgraph.layout import Hex16, UInt8, UInt32

__all__ = ["MEMORY", "MOST", "Instruction", "check", "parse_dump"]

MOST: Final = 512
"""The most instructions of a program (netgraph.md §10.7)."""
MEMORY: Final = 16


@dataclass(frozen=True)
class Instruction:
    """One instruction: what to do, how far to jump if it holds, or not, and a constant."""

    code: Hex16 = 0
    jt: UInt8 = 0
    jf: UInt8 = 0
    k: UInt32 = 0


_LOADS: Final = {0x00, 0x20, 0x28, 0x30, 0x40, 0x48, 0x50, 0x60, 0x80}
_INDEX_LOADS: Final = {0x01, 0x61, 0x81, 0xB1}
_STORES: Final = {0x02, 0x03}
_ARITHMETIC: Final = {op | source for op in range(0x04, 0xB4, 0x10) for source in (0, 8)} - {0x8C}
_JUMPS: Final = {0x05} | {op | source for op in range(0x15, 0x55, 0x10) for source in (0, 8)}
_RETURNS: Final = {0x06, 0x16}
_MOVES: Final = {0x07, 0x87}
_CODES: Final = frozenset(
    _LOADS | _INDEX_LOADS | _STORES | _ARITHMETIC | _JUMPS | _RETURNS | _MOVES
)
_OF_MEMORY: Final = frozenset({0x60, 0x61} | _STORES)
_DIVISIONS: Final = frozenset({0x34, 0x94})
_ALWAYS: Final = 0x05


def check(program: Sequence[Instruction]) -> None:
    """
    Refuse a program that might run wild.

    What passes ends after at most as many steps as it has instructions: all
    jumps go forward, and whatever way it takes, a return is at the end.

    Raises:
        OSError: EINVAL; the sentence names the instruction, counted from 0.
    """
    if not 1 <= len(program) <= MOST:
        raise OSError(EINVAL, f"the program has {len(program)} instructions, not 1 to {MOST}")
    last = len(program) - 1
    for at, step in enumerate(program):
        wrong = _fault(step, last - at)
        if wrong:
            raise OSError(EINVAL, f"instruction {at} (code {step.code:#x}) {wrong}")
    if program[last].code not in _RETURNS:
        raise OSError(EINVAL, f"the program's last instruction, {last}, is no return (0x6 or 0x16)")


def _fault(step: Instruction, behind: int) -> str:
    """Tell what is wrong with *step*, which *behind* others follow; "": nothing."""
    if step.code not in _CODES:
        return "is not known"
    if step.code in _OF_MEMORY and step.k >= MEMORY:
        return f"uses memory {step.k}, not 0 to {MEMORY - 1}"
    if step.code in _DIVISIONS and not step.k:
        return "divides by zero"
    if step.code in _JUMPS:
        far = step.k if step.code == _ALWAYS else max(step.jt, step.jf)
        if far >= behind:
            return f"jumps {far} instructions ahead, behind the end of the program"
    return ""


def parse_dump(text: str) -> list[Instruction]:
    """
    Read a program as ``tcpdump -ddd`` prints it: the number of instructions, then 4 numbers each.

    Args:
        text: Decimal numbers; blanks, ends of lines and commas separate them.

    Raises:
        OSError: EINVAL, it is none.
    """
    words = re.split(r"[\s,]+", text.strip(" \t\r\n\v\f,"))
    for word in words:
        if not re.fullmatch("[0-9]{1,10}", word):
            raise OSError(EINVAL, f'"{word[:40]}" in the dump is no decimal number')
    count, *numbers = map(int, words)
    if len(numbers) != 4 * count:
        raise OSError(
            EINVAL,
            f"the dump begins with {count}, the number of instructions, and {4 * count} numbers"
            f" should follow, 4 for each; there are {len(numbers)}",
        )
    program = []
    for at in range(count):
        code, jt, jf, k = numbers[4 * at : 4 * at + 4]
        if code > 0xFFFF or jt > 0xFF or jf > 0xFF or k > 0xFFFFFFFF:
            raise OSError(
                EINVAL,
                f"instruction {at} of the dump, {code} {jt} {jf} {k}, is out of range: "
                "at most 65535 255 255 4294967295",
            )
        program.append(Instruction(code, jt, jf, k))
    return program
