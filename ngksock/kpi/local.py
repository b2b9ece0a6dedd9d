"""Paths of local sockets: who may take one, and who may remove it.

A path that a crashed program left behind is taken over, one that anybody
answers on is not, and only a file this process made is ever removed.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from typing import Any

from ngksock.errors import oserror
from ngksock.kpi.sockaddr import path_text

__all__ = ["Paths"]


class Paths:
    """
    The paths the sockets of one `SocketKPI` are bound to.

    Args:
        directory: What a relative path is relative to: the directory at the
            start, for twistd changes it when it becomes a daemon.
    """

    def __init__(self, directory: bytes) -> None:
        self._directory = directory
        self._bound: dict[bytes, tuple[int, int]] = {}

    def absolute(self, path: bytes) -> bytes:
        """Return *path* in full; an abstract name is full already."""
        if path[:1] in (b"/", b"\0"):
            return path
        return os.path.join(self._directory, path)

    def bind(self, sock: socket.socket, path: bytes, mode: int) -> None:
        """
        Bind *sock* to *path*, in place of a socket that nobody answers on.

        Raises:
            OSError: EADDRINUSE, somebody answers there, or the file is not
                a socket; else what bind(2) says.
        """
        if path[:1] == b"\0":
            sock.bind(path)
            return
        self._clear(path, sock.type)
        # The umask is the process's, but nothing else runs meanwhile; so no
        # moment exists at which the file is open to more people than asked.
        before = os.umask(~mode & 0o777)
        try:
            sock.bind(path)
        finally:
            os.umask(before)
        made = os.lstat(path)
        if stat.S_IMODE(made.st_mode) != mode:  # a default ACL, or odd bits
            os.chmod(path, mode)
        self._bound[path] = (made.st_dev, made.st_ino)

    def _clear(self, path: bytes, kind: int) -> None:
        """Remove a socket that a crash has left at *path*."""
        try:
            there = os.lstat(path)
        except OSError:
            return  # nothing there; of any other trouble bind(2) will tell
        name = path_text(path)
        if not stat.S_ISSOCK(there.st_mode):
            raise oserror(errno.EADDRINUSE, f"{name} exists and is not a socket; remove it")
        # One of ours that does not listen yet would not answer either.
        if self._bound.get(path) != (there.st_dev, there.st_ino):
            with socket.socket(socket.AF_UNIX, kind) as probe:
                probe.setblocking(False)
                if probe.connect_ex(path) == errno.ECONNREFUSED:
                    os.unlink(path)
                    return
        raise oserror(errno.EADDRINUSE, f"another socket answers at {name}")

    def release(self, name: Any) -> None:
        """Remove the file of a socket bound to *name*, if it is still ours."""
        ours = self._bound.pop(name, None) if isinstance(name, bytes) else None
        if ours is None:
            return
        try:
            there = os.lstat(name)
            if (there.st_dev, there.st_ino) == ours:
                os.unlink(name)
        except OSError:
            return  # somebody was quicker, or has taken the folder: to close is no error
