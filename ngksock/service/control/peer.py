"""Who is at the other end of a local socket, and what he may do."""

from __future__ import annotations

import os
import socket
import struct
from typing import Final, NamedTuple

__all__ = ["Peer"]

_UCRED: Final = struct.Struct("iII")
_SO_PEERGROUPS: Final = 59
_GROUPS_MAX: Final = 1024


class Peer(NamedTuple):
    """
    The process at the other end.

    Args:
        pid: Its number.
        uid: Its user.
        groups: Its groups.
    """

    pid: int
    uid: int
    groups: frozenset[int]

    @classmethod
    def of(cls, sock: socket.socket) -> Peer:
        """Return who connected *sock*, as the system noted it then."""
        raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        pid, uid, gid = _UCRED.unpack(raw)
        groups = {gid}
        try:
            more = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_MAX)
        except OSError:
            more = b""  # more groups than that, or a system that does not tell
        groups.update(struct.unpack(f"{len(more) // 4}I", more))
        return cls(pid, uid, frozenset(groups))

    def may_control(self, group: int | None) -> bool:
        """Say whether he may have a control socket: root, ourselves, or the *group*."""
        return self.uid in (0, os.geteuid()) or (group is not None and group in self.groups)

    def __str__(self) -> str:
        return f"process {self.pid} of user {self.uid}"
