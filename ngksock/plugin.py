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
from importlib.metadata import EntryPoint, distributions
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
        if not 1 <= len(name.encode("latin-1")) <= NAME_MAX:
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
    found = _places(name)
    if not found:
        raise OSError(ENOENT, f'there is no node type "{name}"')
    if len(found) > 1:
        places = " and by ".join(sorted(place for place, _ in found))
        raise OSError(EEXIST, f'node type "{name}" is offered by {places}')
    ((place, load),) = found
    try:
        kind = load()
    except (Exception, SystemExit) as error:
        _log.failure("node type {name} of {place} cannot be loaded", name=name, place=place)
        raise OSError(EINVAL, f'node type "{name}" of {place} cannot be loaded: {error}') from error
    if not INodeType.providedBy(kind) or kind.name != name:
        raise OSError(EINVAL, f'{place} offers something that is no node type "{name}"')
    return kind


def available() -> list[str]:
    """Return the names of all types that could be found, sorted."""
    stock = pkgutil.iter_modules(importlib.import_module(_STOCK).__path__)
    names = {module.name for module in stock if _is_stock(module.name)}
    names.update(entry.name for _, entry in _entries())
    names.update(_name(kind) for kind in _plugins())
    return sorted(names - {""})


def _places(name: str) -> list[tuple[str, Callable[[], Any]]]:
    """Return where a type of that name is, and what loads it, each place once."""
    places: dict[str, Callable[[], Any]] = {}
    if _is_stock(name) and importlib.util.find_spec(f"{_STOCK}.{name}") is not None:
        places["ngksock"] = partial(_load_stock, name)
    for place, entry in _entries():
        if entry.name == name:
            places.setdefault(place, entry.load)
    # All objects of one name count, for nothing else tells two plugin files apart.
    plugins = {id(kind): kind for kind in _plugins() if _name(kind) == name}
    return [*places.items(), *((_plugin_place(k), partial(_itself, k)) for k in plugins.values())]


def _is_stock(name: str) -> bool:
    return name.isidentifier() and not name.startswith("_")


def _load_stock(name: str) -> Any:
    return getattr(importlib.import_module(f"{_STOCK}.{name}"), name)


def _itself(kind: Any) -> Any:
    return kind


def _name(kind: Any) -> str:
    """Return the name of what calls itself a node type, "" if it has none."""
    name = getattr(kind, "name", "")
    return name if isinstance(name, str) else ""


def _plugin_place(kind: Any) -> str:
    module = getattr(getattr(kind, "constructor", kind), "__module__", type(kind).__module__)
    return f"twisted/plugins ({module})"


def _entries() -> Iterator[tuple[str, EntryPoint]]:
    """Yield our entry points, each with the name of its distribution."""
    seen: set[str] = set()
    for distribution in distributions():
        try:
            place = distribution.name
            # What comes first on the path hides the others, as with modules.
            if place not in seen:
                seen.add(place)
                for entry in distribution.entry_points.select(group=GROUP):
                    yield place, entry
        except Exception:  # its metadata are broken, which is no matter of ours
            _log.failure("an installed distribution cannot be read")


def _plugins() -> Iterator[Any]:
    # One broken plugin raises for all who ask; it is logged by Twisted and harms nobody here.
    yield from getPlugins(INodeType)
