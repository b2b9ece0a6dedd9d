"""MemoryWorld: sockets of the memory driver, on a clock that the checks turn."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock

from ngksock.testing.kpi.world import SocketWorld
from ngksock.testing.memory import MemoryNet

__all__ = ["MemoryWorld"]


class MemoryWorld(SocketWorld):
    """
    Streams of inet in a `MemoryNet`.

    Args:
        column: The column of the table; see `SocketWorld`.
        flush: See `SocketWorld`.
    """

    def __init__(
        self, *, column: str = "memory", flush: Callable[[Any], Any] | None = None
    ) -> None:
        clock = Clock()
        self.net = MemoryNet(clock)
        self.net.timeout = 3.0
        super().__init__(
            self.net.kpi(),
            clock,
            int(socket.AF_INET),
            int(socket.SOCK_STREAM),
            column=column,
            strict=self.net.kpi(strict_xnu=True),
            flush=flush,
        )
        self.resolved = int(socket.IPPROTO_TCP)
        self._ports = itertools.count(1024)

    def address(self) -> Any:
        return ("127.0.0.1", 0)

    def unused(self) -> Any:
        return ("127.0.0.1", next(self._ports))

    def stuck(self) -> Any:
        full = self.listener(1)
        self.begin(self.socket(), full.getsockname())
        return full.getsockname()

    def impatient(self, so: Any) -> None:
        """Nothing to do: the net has a short timeout."""

    async def pause(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def leftovers(self) -> list[str]:
        return [f"delayed call {call}" for call in self.clock.getDelayedCalls()]
