"""What a check claims: small comparisons that say what they expected."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

__all__ = ["equal", "errno_of", "fails", "holds", "named"]


def named(code: int | None) -> str:
    """Return the name of an errno."""
    return errno.errorcode.get(code, str(code)) if code else "no error"


def equal(expected: object, got: object, what: str = "") -> None:
    """Claim that *got* is *expected*; *what* says of which."""
    if expected != got:
        raise AssertionError(f"{what + ': ' if what else ''}expected {expected!r}, got {got!r}")


def holds(condition: object, what: str) -> None:
    """Claim *condition*, which *what* puts in words."""
    if not condition:
        raise AssertionError(f"not so: {what}")


def errno_of(call: Callable[..., Any], *args: Any) -> int:
    """Return the errno *call* raises; 0: it returned something, which is no Deferred."""
    try:
        got = call(*args)
    except OSError as error:
        return error.errno or 0
    if isinstance(got, Deferred):
        got.addErrback(lambda _failure: None)
        got.cancel()
        raise AssertionError(f"{_words(call, args)}: a Deferred where no call may wait")
    return 0


def fails(code: int, call: Callable[..., Any], *args: Any) -> None:
    """Claim that *call* raises *code* at once."""
    got = errno_of(call, *args)
    if got != code:
        raise AssertionError(f"{_words(call, args)}: expected {named(code)}, got {named(got)}")


def _words(call: Callable[..., Any], args: tuple[Any, ...]) -> str:
    text = f"{getattr(call, '__name__', call)}{args!r}"
    return text if len(text) < 200 else text[:200] + "..."
