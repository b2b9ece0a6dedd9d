"""Recorder: an owner of a socket that writes down what it is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Recorder"]


class Recorder:
    """
    Installs callbacks on a socket, and records.

    Args:
        so: The socket.
        mask: Which events to ask for.

    ``told`` has "read", "write" and hints, in the order they came; ``calls``
    what each upcall was given.  ``hook`` is called within each upcall.
    """

    def __init__(self, so: Any, mask: int = 0xFFFFFFFF) -> None:
        self.so = so
        self.told: list[str | int] = []
        self.calls: list[tuple[Any, Any, int]] = []
        self.hook: Callable[[], object] = lambda: None
        so.catchevents(self._event, "events", mask)
        so.setupcalls(self._read, 1, self._write, 2)

    @property
    def events(self) -> list[int]:
        """The hints alone."""
        return [what for what in self.told if isinstance(what, int)]

    def count(self, what: str | int) -> int:
        """Return how often it was told *what*."""
        return self.told.count(what)

    def has(self, number: int) -> bool:
        """Tell whether it was told *number* things."""
        return len(self.told) == number

    def clear(self) -> None:
        """Forget what was told."""
        self.told.clear()
        self.calls.clear()

    def _read(self, so: Any, cookie: Any, waitf: int) -> None:
        self.told.append("read")
        self.calls.append((so, cookie, waitf))
        self.hook()

    def _write(self, so: Any, cookie: Any, waitf: int) -> None:
        self.told.append("write")
        self.calls.append((so, cookie, waitf))
        self.hook()

    def _event(self, so: Any, cookie: Any, hint: int) -> None:
        self.told.append(hint)
