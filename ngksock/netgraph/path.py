"""Names and addresses: ids, node names, hook names and paths (netgraph.md §1.3, §4)."""

from __future__ import annotations

import re
from errno import EINVAL
from functools import lru_cache
from typing import Final, NamedTuple

__all__ = ["NAME_MAX", "PATH_MAX", "Path", "check_hook_name", "check_node_name", "decode_id"]

NAME_MAX: Final = 31
"""Bytes in the name of a node, a hook or a type (the NUL not counted)."""
PATH_MAX: Final = 511
"""Bytes in a path; what is longer is cut, as FreeBSD does."""

REMEMBERED: Final = 1024
"""Paths whose parts are known: the same few come again and again, and a large file's just once."""

_ID: Final = re.compile(r"\[(?:0[xX])?([0-9a-fA-F]+)\]", re.ASCII)


def decode_id(text: str) -> int | None:
    """
    Return the id that *text* (``[1d]``) writes, or None if it is not one.

    ``[0]`` is not an id, and neither is one of more than 32 bits: both are
    legal node names.
    """
    match = _ID.fullmatch(text) if text.startswith("[") else None
    if match is None:
        return None
    value = int(match[1], 16)
    return value if 0 < value < 1 << 32 else None


def _check(kind: str, name: str) -> None:
    if name and len(name) <= NAME_MAX and "." not in name and ":" not in name:
        return
    if not name:
        raise OSError(EINVAL, f"a {kind} name may not be empty")
    if len(name) > NAME_MAX:
        raise OSError(EINVAL, f'{kind} name "{name}" is longer than {NAME_MAX} bytes')
    for char in ".:":
        if char in name:
            raise OSError(EINVAL, f'{kind} name "{name}" contains "{char}"')


def check_node_name(name: str) -> None:
    """
    Raise unless *name* may be given to a node.

    Raises:
        OSError: EINVAL: empty, longer than 31 bytes, contains ``.`` or ``:``,
            or has the form of an id.
    """
    _check("node", name)
    if decode_id(name) is not None:
        raise OSError(EINVAL, f'node name "{name}" has the form of a node id')


def check_hook_name(name: str) -> None:
    """Raise OSError(EINVAL) unless *name* may be given to a hook (§12.2 #24)."""
    _check("hook", name)


class Path(NamedTuple):
    """
    A parsed address.

    ``node`` is None for the local node, else an id or a name; ``hooks`` are
    the hooks to follow from there.
    """

    node: str | None
    hooks: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Path:
        """
        Parse an address by the rules of netgraph.md §4.2.

        Raises:
            OSError: EINVAL: empty node part, a second colon, a dot inside the
                node part, two dots in a row.
        """
        return _parse(text[:PATH_MAX])


@lru_cache(REMEMBERED)
def _parse(text: str) -> Path:
    node: str | None = None
    name, colon, rest = text.partition(":")
    if colon:
        if not name:
            raise OSError(EINVAL, f'path "{text}" has nothing before its ":"')
        if ":" in rest:
            raise OSError(EINVAL, f'path "{text}" has a second ":"')
        if name != ".":
            if "." in name:
                raise OSError(EINVAL, f'path "{text}" has a "." inside its node name')
            node = name
    else:
        rest = text
    if ".." in rest:
        raise OSError(EINVAL, f'path "{text}" has two dots in a row')
    rest = rest.removeprefix(".").removesuffix(".")
    return Path(node, tuple(rest.split(".")) if rest else ())
