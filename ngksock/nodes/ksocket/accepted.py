"""The reply to ``accept`` (netgraph.md §7.5, §7.7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ngksock.netgraph.layout import Hex32, Lexer, ParseType, Reader, Seen, Struct
from ngksock.nodes.ksocket.address import GenericAddress, SockAddr

__all__ = ["ACCEPTED", "Accepted"]


@dataclass
class Accepted:
    """The reply to ``accept``: the new node, and who connected."""

    nodeid: Hex32
    addr: GenericAddress


class AcceptedType(ParseType[Accepted]):
    """`Accepted` in exactly 4 + ``len`` bytes: FreeBSD pads nothing behind the address."""

    _form = Struct(Accepted)

    def scan(self, text: Lexer, seen: Seen) -> Accepted:
        return self._form.scan(text, {})

    def show(self, value: Accepted, seen: Seen) -> str:
        return self._form.show(value, {})

    def write(self, value: Accepted, out: bytearray, seen: Seen) -> None:
        self._form.fields[0].type.write(value.nodeid, out, {})
        data = value.addr.data
        out.extend((len(data) + 2, value.addr.family))
        out.extend(data)

    def read(self, data: Reader, seen: Seen) -> Accepted:
        nodeid = self._form.fields[0].type.read(data, {})
        return Accepted(nodeid, SockAddr.unpack(data.take(data.left)).generic())

    def shape(self) -> str:
        return self._form.shape()


ACCEPTED: Final = AcceptedType()
