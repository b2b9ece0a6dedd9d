"""Control messages that come in with datagrams."""

from __future__ import annotations

import socket
from typing import Final

from ngksock.kpi.msghdr import Control
from ngksock.packet import Record

__all__ = ["Datagram", "asks_for_control"]

_LINUX: Final = {  # names Python's socket module does not have
    "UDP_GRO": (socket.IPPROTO_UDP, 104),
    "IP_PKTINFO": (socket.IPPROTO_IP, 8),
    "IP_RECVTTL": (socket.IPPROTO_IP, 12),
    "IP_RECVTOS": (socket.IPPROTO_IP, 13),
    "IP_RECVORIGDSTADDR": (socket.IPPROTO_IP, 20),
    "SO_TIMESTAMP": (socket.SOL_SOCKET, 29),
    "SO_TIMESTAMPNS": (socket.SOL_SOCKET, 35),
    "SO_RXQ_OVFL": (socket.SOL_SOCKET, 40),
    "IPV6_RECVPKTINFO": (socket.IPPROTO_IPV6, 49),
    "IPV6_RECVHOPLIMIT": (socket.IPPROTO_IPV6, 51),
    "IPV6_RECVTCLASS": (socket.IPPROTO_IPV6, 66),
}
_ASKING: Final = frozenset(
    (int(level), int(getattr(socket, name, number))) for name, (level, number) in _LINUX.items()
)


class Datagram(Record):
    """
    A datagram with its control messages.

    Args:
        data: The bytes.
        control: The messages.
        flags: MSG_CTRUNC if there was no room for all of them, or 0.
    """

    __slots__ = ("control", "flags")

    def __init__(self, data: bytes, control: list[Control], flags: int) -> None:
        super().__init__(data)
        self.control = control
        self.flags = flags

    def replace(self, data: bytes | memoryview) -> Record:
        """Return a datagram of other bytes: the control messages were about these."""
        return Record(data, self.tags, self.eof)


def asks_for_control(level: int, name: int) -> bool:
    """Say whether a socket with that option set gets control messages."""
    return (level, name) in _ASKING
