"""What the messages of a bpf node carry."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Final

from ngksock.netgraph.layout import (
    Counted,
    FixedString,
    Int32,
    IntType,
    LooseString,
    Seen,
    String,
    Struct,
    UInt64,
)
from ngksock.nodes.bpf.machine import Instruction

__all__ = [
    "DUMP",
    "EXPRESSION",
    "NAME",
    "PROGRAM",
    "STATS",
    "Dump",
    "Expression",
    "Program",
    "Stats",
]

_FIELD: Final = 32


class _Usual(IntType):
    """An unsigned 32-bit number that is *usual* if it is left out."""

    def __init__(self, usual: int) -> None:
        super().__init__(32, "uint")
        self.usual = usual

    def default(self, seen: Seen) -> int:
        return self.usual


_Hook = Annotated[str, FixedString(_FIELD)]
_ETHERNET: Final = 1
_WHOLE: Final = 262144


@dataclass
class Ways:
    """Whose program is set, and where packets go then: the names of three hooks."""

    this_hook: _Hook = field(default="", metadata={"name": "thisHook"})
    if_match: _Hook = field(default="", metadata={"name": "ifMatch"})
    if_not_match: _Hook = field(default="", metadata={"name": "ifNotMatch"})


@dataclass
class Program(Ways):
    """A program in its instructions."""

    length: Int32 = field(default=0, metadata={"name": "bpf_prog_len"})
    steps: Annotated[list[Instruction], Counted(Instruction, "length")] = field(
        default_factory=list, metadata={"name": "bpf_prog"}
    )


@dataclass
class Expression(Ways):
    """A program as an expression, for packets that begin as *dlt* says; matches are cut."""

    dlt: Annotated[int, _Usual(_ETHERNET)] = _ETHERNET
    snaplen: Annotated[int, _Usual(_WHOLE)] = _WHOLE
    filter: String = ""


@dataclass
class Dump(Ways):
    """A program as ``tcpdump -ddd`` prints it."""

    dump: String = ""


@dataclass
class Stats:
    """What came in by a hook, how much of it matched, and what went out."""

    recv_frames: UInt64 = field(default=0, metadata={"name": "recvFrames"})
    recv_octets: UInt64 = field(default=0, metadata={"name": "recvOctets"})
    recv_match_frames: UInt64 = field(default=0, metadata={"name": "recvMatchFrames"})
    recv_match_octets: UInt64 = field(default=0, metadata={"name": "recvMatchOctets"})
    xmit_frames: UInt64 = field(default=0, metadata={"name": "xmitFrames"})
    xmit_octets: UInt64 = field(default=0, metadata={"name": "xmitOctets"})


NAME: Final = LooseString(_FIELD)
PROGRAM: Final = Struct(Program)
EXPRESSION: Final = Struct(Expression)
DUMP: Final = Struct(Dump)
STATS: Final = Struct(Stats)
