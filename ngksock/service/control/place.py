"""Where the control socket is, and what becomes of a place that cannot be had."""

from __future__ import annotations

import errno
import grp
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ngksock import ngd
from ngksock.errors import words
from ngksock.service.control.server import ControlServer

if TYPE_CHECKING:
    from ngksock.netgraph import Graph

__all__ = ["Place", "PlaceError", "group_number"]


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
    """

    path: str | None = None
    group: int | None = None

    def open(self, graph: Graph, reactor: Any, warn: Callable[[str], None]) -> ControlServer | None:
        """
        Begin to serve *graph* there.

        Returns:
            The server; None if the usual place cannot be had, and *warn* was told.

        Raises:
            PlaceError: A place that was asked for cannot be had.
        """
        path = ngd.default_path() if self.path is None else self.path
        try:
            if self.path is None:
                _make_folder(path)
            return ControlServer(graph, reactor, path, self.group)
        except OSError as error:
            why = error.strerror or str(error)
            if self.path is None:
                warn(f"no control socket at {path}: {why}; --control PATH makes one elsewhere")
                return None
            told = words(error.errno or errno.EIO)
            raise PlaceError(f"ngksock: --control {path}: {told}: {why}") from None


def _make_folder(path: str) -> None:
    """Make the folder of the usual place, as nobody else does."""
    folder = os.path.dirname(path)
    if folder == "/run/ngksock":
        os.makedirs(folder, 0o755, exist_ok=True)
