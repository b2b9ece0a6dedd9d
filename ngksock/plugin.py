"""Types of node: how one is declared, and how one is found by its name.

Found are the stock types in `ngksock.nodes`, those that an installed
distribution announces under the entry point group ``ngksock.node_types``, and
objects that provide both IPlugin and INodeType in ``twisted/plugins``.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Callable, Iterator
from errno import EEXIST, EINVAL, ENOENT
from functools import partial
from importlib.metadata import entry_points
from typing import Any, Final

from twisted.logger import Logger
from twisted.plugin import IPlugin, getPlugins
from zope.interface import implementer

from ngksock._inetgraph import INodeType
from ngksock.netgraph.command import Rows, rows_of
from ngksock.netgraph.path import NAME_MAX

__all__ = ["GROUP", "NodeType", "available", "find_type"]

GROUP: Final = "ngksock.node_types"
_STOCK: Final = "ngksock.nodes"
_log: Final = Logger(namespace="ngksock.plugin")


@implementer(IPlugin, INodeType)
class NodeType:
    """
    A type of node.

    Args:
        name: What mkpeer asks for, 1 to 31 bytes.
        cookie: The namespace of its messages; by convention the time at which
            the type was defined, in Unix seconds.
        constructor: The class of its nodes; called without arguments.

    The messages are those methods of *constructor* that are a `command`.

    Raises:
        ValueError: A name or cookie out of range, or two messages alike.
    """

    def __init__(self, name: str, cookie: int, constructor: Callable[[], Any]) -> None:
        if not 1 <= len(name) <= NAME_MAX:
            raise ValueError(f"type name {name!r} has not 1 to {NAME_MAX} bytes")
        if not 0 < cookie < 1 << 32:
            raise ValueError(f"cookie {cookie} is not a positive 32-bit number")
        self.name = name
        self.cookie = cookie
        self.constructor = constructor
        self.commands = rows_of(constructor, cookie) if isinstance(constructor, type) else Rows()

    def __repr__(self) -> str:
        return f"NodeType({self.name!r}, {self.cookie})"


def find_type(name: str) -> INodeType:
    """
    Return the type of that name.

    Raises:
        OSError: ENOENT, there is none; EEXIST, two places offer one; EINVAL,
            the only one there is cannot be loaded (the log says why).
    """
    found = dict(_places(name))
    if not found:
        raise OSError(ENOENT, f'there is no node type "{name}"')
    if len(found) > 1:
        raise OSError(EEXIST, f'node type "{name}" is offered by {" and by ".join(sorted(found))}')
    (place, load), *_ = found.items()
    try:
        kind = load()
    except Exception as error:
        _log.failure("node type {name} of {place} cannot be loaded", name=name, place=place)
        raise OSError(EINVAL, f'node type "{name}" of {place} cannot be loaded: {error}') from error
    if not INodeType.providedBy(kind) or kind.name != name:
        raise OSError(EINVAL, f'{place} offers something that is no node type "{name}"')
    return kind


def available() -> list[str]:
    """Return the names of all types that could be found, sorted."""
    names = {
        module.name for module in pkgutil.iter_modules(importlib.import_module(_STOCK).__path__)
    }
    names.update(entry.name for entry in entry_points(group=GROUP))
    names.update(kind.name for kind in _plugins())
    return sorted(names)


def _places(name: str) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield where a type of that name is, and what loads it."""
    if name.isidentifier() and importlib.util.find_spec(f"{_STOCK}.{name}") is not None:
        yield "ngksock", lambda: getattr(importlib.import_module(f"{_STOCK}.{name}"), name)
    for entry in entry_points(group=GROUP, name=name):
        place = entry.dist.name if entry.dist is not None else entry.value
        yield place, entry.load
    for kind in _plugins():
        if kind.name == name:
            yield f"twisted/plugins ({type(kind).__module__})", partial(_itself, kind)


def _itself(kind: Any) -> Any:
    return kind


def _plugins() -> Iterator[Any]:
    # One broken plugin raises for all who ask; it is logged by Twisted and harms nobody here.
    yield from getPlugins(INodeType)
