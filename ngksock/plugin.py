"""Types of node: how one is declared, and how one is found by its name.

Found are the stock types in `ngksock.nodes`, those that an installed
distribution announces under the entry point group ``ngksock.node_types``, and
objects that provide both IPlugin and INodeType in ``twisted/plugins``.

Nothing of a distribution is imported before somebody asks for its type, or for
where all types come from.  What cannot be read or loaded is logged once, with
its distribution, and hides nothing else.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from errno import EEXIST, EINVAL, ENOENT
from functools import partial
from importlib.metadata import Distribution, distributions
from types import ModuleType
from typing import Any, Final

from twisted.logger import Logger
from twisted.plugin import IPlugin, getCache
from zope.interface import implementer

from ngksock import __version__
from ngksock._inetgraph import INodeType
from ngksock.netgraph.command import Rows, rows_of
from ngksock.netgraph.controlforms import Origin
from ngksock.netgraph.path import NAME_MAX

__all__ = ["ABI", "GROUP", "NodeType", "available", "find_type", "origins"]

ABI: Final = 1
"""What a node type and the graph expect of each other; another number, another `INode`."""
GROUP: Final = "ngksock.node_types"
OURS: Final = "ngksock"
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
        abi: The `ABI` it was written for: the number, not the name `ABI`,
            which means whatever is installed.  Types that say none were
            written for the first.

    The messages are those methods of *constructor* that are a `command`.
    ``place`` is the distribution it was found in, for the log; "" if it is ours.

    Raises:
        ValueError: A name or cookie out of range, or two messages alike.
    """

    def __init__(
        self, name: str, cookie: int, constructor: Callable[[], Any], abi: int = 1
    ) -> None:
        if not 1 <= len(name.encode("latin-1")) <= NAME_MAX:
            raise ValueError(f"type name {name!r} has not 1 to {NAME_MAX} bytes")
        if not 0 < cookie < 1 << 32:
            raise ValueError(f"cookie {cookie} is not a positive 32-bit number")
        self.name = name
        self.cookie = cookie
        self.constructor = constructor
        self.abi = abi
        self.place = ""
        self.commands = rows_of(constructor, cookie) if isinstance(constructor, type) else Rows()

    def __repr__(self) -> str:
        return f"NodeType({self.name!r}, {self.cookie})"


def find_type(name: str) -> INodeType:
    """
    Return the type of that name.

    Raises:
        OSError: ENOENT, there is none; EEXIST, two places offer one; EINVAL,
            the only one there is cannot be loaded, is no type, or was written
            for another `ABI` (where there is more to say, the log says it).
    """
    found = list(_offers(name))
    if not found:
        raise OSError(ENOENT, f'there is no node type "{name}"')
    if len(found) > 1:
        raise _clash(found)
    return found[0].type()


def available() -> list[str]:
    """Return the names of all types that could be found, sorted; all can be in a message."""
    return sorted({offer.name for offer in _offers() if _is_name(offer.name)})


def origins() -> list[Origin]:
    """
    Return where each type comes from, and what is wrong with it, by name.

    What has no name, for it cannot be read, comes first.  The types of
    distributions are loaded to see whether that works.
    """
    told = [_origin("", place, problem) for place, problem in _unreadable()]
    offers: dict[str, list[_Offer]] = {}
    for offer in _offers():
        offers.setdefault(offer.name, []).append(offer)
    for name in sorted(offers):
        same = offers[name]
        for offer in same:
            problem = (_clash(same).strerror or "") if len(same) > 1 else offer.problem()
            told.append(_origin(name, f"{offer.place} {offer.version}".rstrip(), problem))
    return told


def _origin(*texts: str) -> Origin:
    """Return an origin in characters that a message can carry."""
    shown = (text.replace("\0", "?").encode("latin-1", "replace") for text in texts)
    return Origin(*(text.decode("latin-1") for text in shown))


# -- where types are offered


@dataclass(frozen=True)
class _Offer:
    """A place that offers a type: which, a distribution or a file, and what loads it."""

    name: str
    place: str
    version: str
    load: Callable[[], Any]

    def type(self) -> INodeType:
        """
        Return the type.

        Raises:
            OSError: EINVAL, the code or what it made is wrong; logged once if
                only a traceback explains it.
        """
        what = f'node type "{self.name}" of {self.place}'
        try:
            kind: INodeType = self.load()
        except KeyboardInterrupt:
            raise  # the operator's
        except BaseException as error:  # SystemExit too: a module may be a program
            said = _words(error)
            if _once(what):
                _log.failure("{what} cannot be loaded", what=what)
            raise OSError(EINVAL, f"{what} cannot be loaded: {said}") from error
        try:
            wrong = _wrong(kind, self.name, self.place)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # even to look at it is dangerous
            wrong = f"{what} cannot be used: {_words(error)}"
        if wrong:
            if _once(what):
                _log.warn("{sentence}", sentence=wrong)
            raise OSError(EINVAL, wrong)
        if self.place != OURS:
            with _harmless():  # a bare provider may have no room for it
                vars(kind)["place"] = self.place
        return kind

    def problem(self) -> str:
        """Return why the type cannot be had, "" if it can."""
        if self.place == OURS:
            return ""
        if not _is_name(self.name):
            return f"this is no name of a node type: 1 to {NAME_MAX} bytes of latin-1"
        try:
            self.type()
        except OSError as error:
            return error.strerror or ""
        return ""


def _wrong(kind: Any, name: str, place: str) -> str:
    """Return why what *place* offers cannot be used as the type *name*, "" if it can."""
    if not INodeType.providedBy(kind):
        return f'{place} offers something that is no node type "{name}"'
    if kind.name != name:
        return f'{place} announces node type "{kind.name}" as "{name}", and so it is neither'
    what = f'node type "{name}" of {place}'
    abi = getattr(kind, "abi", 1)  # who does not know the number was there before it
    if abi != ABI and place != OURS:  # what came with this ABI need not say so
        remedy = f"install a newer {place}"
        if not isinstance(abi, int) or abi > ABI:
            remedy = "install a newer ngksock"
        return (
            f"{what} was written for ABI {abi} of node types,"
            f" ngksock {__version__} has ABI {ABI}; {remedy}"
        )
    if not isinstance(kind.cookie, int) or not 0 < kind.cookie < 1 << 32:
        return f"{what} has the cookie {kind.cookie!r}, which is no positive 32-bit number"
    if not isinstance(kind.commands, Rows) or not callable(kind.constructor):
        return f"{what} has no rows as its commands, or a constructor that cannot be called"
    return ""


def _clash(found: list[_Offer]) -> OSError:
    places = " and by ".join(sorted(offer.place for offer in found))
    return OSError(EEXIST, f'node type "{found[0].name}" is offered by {places}')


def _offers(name: str | None = None) -> Iterator[_Offer]:
    """Yield the places that offer types, or one of that *name*, each once."""
    for stock in [name] if name is not None else _stock():
        if _is_stock(stock):
            yield _Offer(stock, OURS, __version__, partial(_load_stock, stock))
    for distribution in _distributions():
        yield from _announced(distribution, name)
    for module, plugin in _plugins():
        called = _name(plugin)
        if called and name in (None, called):
            place = f"twisted/plugins ({module})"
            yield _Offer(called, place, "", partial(_itself, plugin))


def _stock() -> list[str]:
    return [m.name for m in pkgutil.iter_modules(importlib.import_module(_STOCK).__path__)]


def _is_stock(name: str) -> bool:
    if not name.isidentifier() or name.startswith("_"):
        return False
    return importlib.util.find_spec(f"{_STOCK}.{name}") is not None


def _load_stock(name: str) -> Any:
    return getattr(importlib.import_module(f"{_STOCK}.{name}"), name)


def _itself(kind: Any) -> Any:
    return kind


# -- distributions


def _distributions() -> Iterator[Distribution]:
    """Yield what is installed; what comes first on the path hides the others, as with modules."""
    seen: set[str] = set()
    for distribution in distributions():
        # Not by its name if its folder tells: to read all metadata takes long.
        folder = str(getattr(getattr(distribution, "_path", None), "name", ""))
        place = folder.partition("-")[0].lower() or _place(distribution)
        if place not in seen:
            seen.add(place)
            yield distribution


def _announced(distribution: Distribution, name: str | None) -> Iterator[_Offer]:
    """Yield what *distribution* offers; nothing, and a line in the log, if it cannot be read."""
    try:
        entries = {(e.name, e.value): e for e in distribution.entry_points.select(group=GROUP)}
        if not entries:
            return
        version = str(distribution.version or "")
    except Exception as error:  # broken in a way that is no matter of ours
        place = _place(distribution)
        if _once(place):
            _log.warn(
                "the entry points of {place} cannot be read: {error}", place=place, error=error
            )
        return
    place = _place(distribution)
    for (called, _), entry in entries.items():
        if name in (None, called):
            yield _Offer(called, place, version, entry.load)


def _place(distribution: Distribution) -> str:
    """Return the name of *distribution*, or of the folder it should be in."""
    found: Any = None
    with suppress(Exception):  # the metadata may be broken in any way
        found = distribution.name
    folder = getattr(distribution, "_path", None)
    return str(found or getattr(folder, "name", "") or "a distribution without a name")


# -- twisted/plugins


class _PluginFiles:
    """
    What twisted/plugins holds.

    Twisted imports a file that failed again, and logs it again, each time it
    looks; so it looks when a file has changed.
    """

    def __init__(self) -> None:
        self._stamp: object = None
        self._found: list[tuple[str, Any]] = []
        self.broken: dict[str, str] = {}

    def look(self) -> list[tuple[str, Any]]:
        """Return the module and the object of each plugin that says it is a node type."""
        import twisted.plugins

        files = dict(_python_files(list(twisted.plugins.__path__)))
        if files != self._stamp:
            self._stamp = files
            self._read(twisted.plugins, files)
        return self._found

    def _read(self, package: ModuleType, files: dict[str, int]) -> None:
        dropins = getCache(package)
        self._found, self.broken = [], {}
        for path in files:
            if os.path.splitext(os.path.basename(path))[0] not in dropins:
                self.broken[path] = "the file cannot be imported; the log says why"
        for dropin in dropins.values():
            for cached in dropin.plugins:
                if not any(provided.isOrExtends(INodeType) for provided in cached.provided):
                    continue
                try:
                    self._found.append((dropin.moduleName, cached.load()))
                except KeyboardInterrupt:
                    raise
                except BaseException as error:  # the cache knows what the file has no more
                    _log.failure("{module} cannot be loaded", module=dropin.moduleName)
                    self.broken[dropin.moduleName] = f"it cannot be loaded: {_words(error)}"


def _python_files(folders: list[str]) -> Iterator[tuple[str, int]]:
    for folder in folders:
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.name.endswith(".py") and entry.name != "__init__.py":
                    yield entry.path, entry.stat().st_mtime_ns


_plugin_files: Final = _PluginFiles()
_plugins: Final = _plugin_files.look


def _name(kind: Any) -> str:
    """Return the name of what calls itself a node type, "" if it has none."""
    name = None
    with _harmless():  # it may be any object
        name = getattr(kind, "name", "")
    return name if isinstance(name, str) else ""


# -- what is wrong


def _is_name(name: str) -> bool:
    """Whether mkpeer can ask for a type of that name."""
    try:
        return 1 <= len(name.encode("latin-1")) <= NAME_MAX and "\0" not in name
    except UnicodeEncodeError:
        return False


def _words(error: BaseException) -> str:
    """Return what an error says, if it can."""
    said = ""
    with _harmless():
        said = str(error)
    return f"{type(error).__name__}: {said}".rstrip(": ")


@contextmanager
def _harmless() -> Iterator[None]:
    """Go on whatever a stranger's code does, unless it is the operator's Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException:
        return


def _unreadable() -> Iterator[tuple[str, str]]:
    """Yield the places that cannot be read, and why."""
    for distribution in _distributions():
        try:
            list(distribution.entry_points.select(group=GROUP))
        except Exception as error:
            yield _place(distribution), f"its entry points cannot be read: {error}"
    _plugin_files.look()
    yield from _plugin_files.broken.items()


_told: Final[set[str]] = set()


def _once(what: str) -> bool:
    """Whether it is for the first time that *what* is to be logged."""
    new = what not in _told
    _told.add(what)
    return new
