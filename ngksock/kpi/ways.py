"""Which way the guests go: as the program says, as the environment does, or the best one."""

from __future__ import annotations

import os

from twisted.logger import Logger

__all__ = ["chosen"]

_log = Logger(namespace="ngksock.kpi")


def chosen(asked: str | None, variable: str, ways: tuple[str, ...]) -> str:
    """
    Return one of *ways*, the last of which is the best.

    Args:
        asked: What the program says, or None.
        variable: Of the environment; what it says where the program does not.
        ways: What either may say.  Another word in the environment is a
            user's slip: it is logged, and changes nothing.

    Raises:
        ValueError: *asked* is none of them.
    """
    if asked is not None:
        if asked not in ways:
            raise ValueError(f"this is one of {', '.join(ways)}, not {asked!r}")
        return asked
    found = os.environ.get(variable) or ways[-1]
    if found not in ways:
        _log.warn(
            "{variable} is one of {ways}, not {found!r}; it is ignored",
            variable=variable,
            ways=", ".join(ways),
            found=found,
        )
        return ways[-1]
    return found
