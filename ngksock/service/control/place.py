"""Where the control socket is, and what becomes of a place that cannot be had."""

from __future__ import annotations

import errno
import grp
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ngksock import ngd
from ngksock.errors import words
from ngksock.service.control.server import ControlServer

if TYPE_CHECKING:
    from ngksock.netgraph import Graph

__all__ = ["RUN", "Place", "PlaceError", "group_number", "make_folder"]

RUN: Final = "/run/ngksock"


class PlaceError(Exception):
    """The control socket cannot be where it was asked for."""


def group_number(name: str) -> int:
    """
    Return the number of the group *name*, which may be a number already.

    Raises:
        ValueError: There is no such group.
    """
    with suppress(KeyError):
        return grp.getgrnam(name).gr_gid
    if name.isascii() and name.isdecimal() and int(name) < 1 << 31:
        return int(name)
    raise ValueError(f"there is no group {name!r}")


@dataclass(frozen=True)
class Place:
    """
    Where outside programs attach.

    Args:
        path: The socket's; None: the usual place, and to have none is no error.
        group: The number of the group whose members may connect; None: none.
        user: The number of the user to become; None: none other.
        directory: What a relative path is relative to: the directory at the
            start, for twistd changes it when it becomes a daemon.
    """

    path: str | None = None
    group: int | None = None
    user: int | None = None
    directory: str = field(default_factory=os.getcwd)

    def open(self, graph: Graph, reactor: Any, warn: Callable[[str], None]) -> ControlServer | None:
        """
        Begin to serve *graph* there.

        Returns:
            The server; None if the usual place cannot be had, and *warn* was told.

        Raises:
            PlaceError: A place, or a group, that was asked for cannot be had.
        """
        path = ngd.default_path() if self.path is None else self.path
        try:
            if self.path is None:
                make_folder(path)
            server = ControlServer(graph, reactor, os.path.join(self.directory, path), self.group)
        except OSError as error:
            if self.path is None:
                why = error.strerror or str(error)
                warn(f"no control socket at {path}: {why}; --control PATH makes one elsewhere")
                return None
            raise PlaceError(f"ngksock: --control {path}: {_told(error)}") from None
        try:
            self._give(server)
        except OSError as error:
            server.close()
            option = "--control-group" if self.group is not None else "--uid"
            raise PlaceError(f"ngksock: {option}: {_told(error)}") from None
        return server

    def _give(self, server: ControlServer) -> None:
        user = -1 if self.user is None else self.user
        group = -1 if self.group is None else self.group
        if (user, group) != (-1, -1):
            server.give(user, group)


def _told(error: OSError) -> str:
    """Return what went wrong, with its name; the system's words for it once."""
    told, why = words(error.errno or errno.EIO), error.strerror or str(error)
    return told if why in told else f"{told}: {why}"


def make_folder(path: str) -> None:
    """Make the folder of the system's usual place, which nobody else makes."""
    folder = os.path.dirname(path)
    if folder == RUN:
        with suppress(FileExistsError):
            os.mkdir(folder)
            os.chmod(folder, 0o755)  # whatever the umask says
