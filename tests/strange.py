"""Node types that go wrong wherever they can, as modules of third parties are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ngksock.netgraph import Batch, Hook, Item, Node, Packet, Timer, command
from ngksock.netgraph.layout import UINT32
from ngksock.plugin import NodeType

__all__ = ["CALLBACKS", "WAYS", "strange"]

CALLBACKS: Final = (
    "__init__", "newhook", "connect", "rcvdata", "rcvbatch", "rcvflow", "rcvmsg", "setlimit",
    "getlimit", "timer", "config", "status", "disconnect", "close", "shutdown", "watch",
    "__repr__",
)  # fmt: skip


class Odd(BaseException):
    """What is no Exception."""


def _raise(error: type[BaseException]) -> Callable[[], Any]:
    def fail() -> Any:
        raise error("strange")

    return fail


WAYS: Final[dict[str, Callable[[], Any]]] = {
    "bug": _raise(KeyError),
    "exit": _raise(SystemExit),
    "odd": _raise(Odd),
    "generator": _raise(GeneratorExit),
    "number": lambda: 5,
    "text": lambda: "nonsense",
    "object": object,
    "list": lambda: [5, None, b"x"],
    "true": lambda: True,
}


class _Strange(Node):
    """Does right, and as it is told where *where* says."""

    where = ""
    way: Callable[[], Any]

    def __init__(self) -> None:
        super().__init__()
        self.limit = 0
        self.timer = Timer(self, lambda: self.go("timer"))
        self.watch(lambda node: self.go("watch"))
        self.go("__init__")

    def go(self, here: str, usual: Any = None) -> Any:
        return type(self).way() if here == self.where else usual

    def __repr__(self) -> str:
        return str(self.go("__repr__")) if self.where == "__repr__" else super().__repr__()

    def newhook(self, hook: Hook, name: str) -> None:
        return self.go("newhook")  # type: ignore[no-any-return]

    def connect(self, hook: Hook) -> None:
        return self.go("connect")  # type: ignore[no-any-return]

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        return self.go("rcvdata")  # type: ignore[no-any-return]

    def rcvbatch(self, hook: Hook, batch: Batch) -> None:
        return self.go("rcvbatch")  # type: ignore[no-any-return]

    def rcvflow(self, hook: Hook, high: bool) -> None:
        return self.go("rcvflow")  # type: ignore[no-any-return]

    def rcvmsg(self, item: Item, lasthook: Hook | None) -> None:
        self.go("rcvmsg")
        super().rcvmsg(item, lasthook)

    @command(1, arg=UINT32)
    def setlimit(self, limit: int) -> None:
        """Set the limit."""
        self.go("setlimit")
        self.timer.start(1)

    @command(2, resp=UINT32)
    def getlimit(self) -> int:
        """Tell the limit."""
        return self.go("getlimit", 7)  # type: ignore[no-any-return]

    def config(self) -> list[str]:
        return self.go("config", [])  # type: ignore[no-any-return]

    def status(self) -> str:
        return self.go("status", "well")  # type: ignore[no-any-return]

    def disconnect(self, hook: Hook) -> None:
        self.go("disconnect")
        super().disconnect(hook)

    def close(self) -> None:
        return self.go("close")  # type: ignore[no-any-return]

    def shutdown(self) -> bool | None:
        return self.go("shutdown")  # type: ignore[no-any-return]


def strange(name: str, where: str, way: str) -> NodeType:
    """Return a type whose nodes go wrong *way* in the callback *where*; one may be nowhere."""
    cls = type("Strange", (_Strange,), {"where": where, "way": staticmethod(WAYS[way])})
    return NodeType(name, 1763800020, cls)
