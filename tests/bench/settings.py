"""What a run of the bench was asked to do."""

from __future__ import annotations

import select
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

__all__ = ["HERE", "HOST", "ROOT", "Settings", "opt", "pause"]

HOST: Final = "127.0.0.1"
HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parent.parent


@dataclass
class Settings:
    """
    The options; `opt` is the one of this process and of those it forks.

    ``spare`` is how many seconds all repeats of disturbed measurements may
    still take: on a busy machine they would double the run, and help little.
    """

    runs: int = 5
    secs: float = 1.0
    warm: float = 0.3
    pin: str = ""
    window: int = 256
    burst: int = 32
    fan: int = 4
    quiet: float = 0.1
    retries: int = 1
    spare: float = 360.0
    max_minutes: float = 22.0
    tests: list[str] = field(default_factory=list)

    @property
    def pin_relay(self) -> int | None:
        """The CPU of the relay, if it is to have one."""
        return int(self.pin.split(",")[0]) if self.pin else None

    @property
    def pin_load(self) -> int | None:
        """The CPU of sources and sinks, if they are to have one."""
        return int(self.pin.split(",")[1]) if self.pin else None


opt: Final = Settings()


def pause(seconds: float) -> None:
    """Wait: here alone the passing of time is what is wanted."""
    select.poll().poll(max(0.0, seconds) * 1000)
