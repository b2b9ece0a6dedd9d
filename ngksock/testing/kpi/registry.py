"""The checks of kpi-socket.md §16 by number, and what becomes of one where.

A check is a coroutine function of a world; its docstring is its statement.
A *variant* of a check says what is so where the check cannot hold as written:
its docstring is how that differs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from ngksock.testing.kpi.world import SocketWorld

__all__ = ["CHECKS", "COUNT", "HOLDS", "Check", "Verdict", "check", "differs", "na", "statement"]

COUNT: Final = 94
"""How many checks §16 has."""

Check = Callable[["SocketWorld"], Awaitable[None]]

CHECKS: Final[dict[int, Check]] = {}
"""Number to check."""


def check(number: int) -> Callable[[Check], Check]:
    """Put the function that follows under *number*."""

    def register(function: Check) -> Check:
        assert number not in CHECKS, f"check {number} is there twice"
        CHECKS[number] = function
        return function

    return register


def statement(function: Check) -> str:
    """Return what a check or a variant states, on one line."""
    return " ".join((function.__doc__ or "").split())


class Verdict(NamedTuple):
    """
    What is so of one check in one kind of world.

    Args:
        word: "holds", "differs" or "n/a".
        why: How it differs, or why there is nothing to check.
        variant: What is run in place of the check where it differs.
    """

    word: str
    why: str = ""
    variant: Check | None = None


HOLDS: Final = Verdict("holds")
"""It holds as written."""


def differs(variant: Check) -> Verdict:
    """Say that *variant* is so instead; its docstring says how."""
    return Verdict("differs", statement(variant), variant)


def na(why: str) -> Verdict:
    """Say that there is nothing to check, and *why*."""
    return Verdict("n/a", why)
