"""Control messages: the 56-byte header of netgraph.md §2 and its numbers."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from errno import EINVAL
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from ngksock.netgraph.command import Row
    from ngksock.netgraph.node import Node

__all__ = [
    "CONTROL_COOKIE",
    "FLOW_COOKIE",
    "GENERIC_COOKIE",
    "HASREPLY",
    "HEADER_SIZE",
    "READONLY",
    "RESPONSE",
    "VERSION",
    "Item",
    "Message",
    "cut_string",
]

VERSION: Final = 8
HEADER: Final = struct.Struct("=BBHIIIII32s")
HEADER_SIZE: Final = HEADER.size

RESPONSE: Final = 0x1
"""The flag of a header that answers a request."""
READONLY: Final = 0x10000000
"""Part of a command number: the command changes nothing."""
HASREPLY: Final = 0x20000000
"""Part of a command number: success always brings a reply."""

GENERIC_COOKIE: Final = 1137070366
FLOW_COOKIE: Final = 851672669
CONTROL_COOKIE: Final = 1750000001
"""Ours: the messages every node understands beside the generic ones."""


def cut_string(raw: bytes) -> str:
    """Return a fixed string's text: up to the NUL, the last byte never counts."""
    return raw[: len(raw) - 1].split(b"\0", 1)[0].decode("latin-1")


@dataclass(frozen=True, slots=True)
class Message:
    """
    One control message (netgraph.md §2.1).

    Args:
        cookie: The namespace of *cmd*.
        cmd: The command number with its READONLY and HASREPLY bits.
        data: The arguments in binary form; its length is the header's arglen.
        token: Chosen by the requester, copied into the response.
        flags: 0, or RESPONSE.
        cmdstr: A name for people; meaningful in the conversion messages alone.
        version: 8, but for the inner header of a conversion request.
    """

    cookie: int
    cmd: int
    data: bytes = b""
    token: int = 0
    flags: int = 0
    cmdstr: str = ""
    version: int = VERSION

    def pack(self) -> bytes:
        """Return header and arguments as they stand on the wire."""
        return HEADER.pack(
            self.version,
            0,
            0,
            len(self.data),
            self.cmd,
            self.flags,
            self.token,
            self.cookie,
            self.cmdstr.encode("latin-1")[:31],
        ) + bytes(self.data)

    @classmethod
    def unpack(cls, raw: bytes) -> Self:
        """
        Read a message; bytes beyond its arglen are ignored.

        Raises:
            OSError: EINVAL, shorter than a header or than arglen says.
        """
        if len(raw) < HEADER_SIZE:
            raise OSError(EINVAL, f"{len(raw)} bytes are less than a message header")
        version, _, _, arglen, cmd, flags, token, cookie, cmdstr = HEADER.unpack_from(raw)
        if len(raw) - HEADER_SIZE < arglen:
            raise OSError(
                EINVAL, f"arglen {arglen} exceeds the {len(raw) - HEADER_SIZE} bytes sent"
            )
        data = bytes(raw[HEADER_SIZE : HEADER_SIZE + arglen])
        return cls(cookie, cmd, data, token, flags, cut_string(cmdstr), version)

    def with_token(self, token: int) -> Message:
        """Return the same message under another token."""
        return replace(self, token=token)

    @property
    def is_response(self) -> bool:
        """Whether this answers a request."""
        return bool(self.flags & RESPONSE)

    def response(self, data: bytes, cmdstr: str = "") -> Message:
        """Return the answer to this request that carries *data*, under another name (§2.3)."""
        flags = self.flags | RESPONSE
        return Message(self.cookie, self.cmd, data, self.token, flags, cmdstr or self.cmdstr)


class Item:
    """
    A control message on its way to one node.

    Args:
        message: What is delivered.
        source: The id of the node that sent it, where replies go.
        cause: For a reply: the item it answers, whose sender learns when the
            reply could not be delivered (netgraph.md §3.4).

    ``error`` is that failure.  ``replied`` is true once a reply was queued.
    ``target`` is the node it is delivered to, whose id a reply carries.
    ``given`` is the row that carries it out, and the arguments as that row
    unpacks them, from a sender who has them at hand; None: nobody has.
    """

    __slots__ = ("cause", "error", "given", "message", "replied", "source", "target")

    target: Node

    def __init__(self, message: Message, source: int, cause: Item | None = None) -> None:
        self.message = message
        self.source = source
        self.cause = cause
        self.error: OSError | None = None
        self.replied = False
        self.given: tuple[Row, tuple[Any, ...]] | None = None
