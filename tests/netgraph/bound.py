"""A type with the number and the cookie of ksocket's bind, and texts of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from ngksock.netgraph import Node, command
from ngksock.netgraph.layout import FixedBytes, Struct, UInt8
from ngksock.plugin import NodeType

KSOCKET = 942710669


@dataclass
class Bind:
    len: UInt8
    family: UInt8
    data: Annotated[bytes, FixedBytes(14)]


class Address(Struct):
    """A socket address as §6.9 writes it: inet/127.0.0.1:5000."""

    def parse(self, text: str) -> Bind:
        host, _, port = text.removeprefix("inet/").partition(":")
        raw = int(port).to_bytes(2, "big") + bytes(map(int, host.split(".")))
        return Bind(16, 2, raw.ljust(14, b"\0"))


class Bound(Node):
    """Has a row with the number and cookie of ksocket's bind, and texts of its own."""

    bound: Bind | None = None

    @command(1, arg=Address(Bind))
    def bind(self, to: Bind) -> None:
        """Bind, as bind(2) \N{RIGHTWARDS ARROW} or not."""
        self.bound = to

    @command(4)
    def connect_it(self) -> None:
        pass

    @command(9, "name")
    def own_name(self) -> None:
        """Shadow the generic name."""

    def status(self) -> str | None:
        return "bound \N{SNOWMAN}" if self.bound else None

    def config(self) -> list[str]:
        return ["msg . bind inet/127.0.0.1:5000"]


bound = NodeType("bound", KSOCKET, Bound)
