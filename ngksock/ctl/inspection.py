"""``inspect``: what a type says of itself, with an example of each message."""

from __future__ import annotations

import re
from collections.abc import Iterator
from errno import ENOENT
from typing import Any, Final

from ngksock.client.port import ClientPort
from ngksock.netgraph.controlforms import CommandInfo, Description
from ngksock.netgraph.generic import READS
from ngksock.netgraph.layout import STRING, Struct
from ngksock.netgraph.message import CONTROL_COOKIE, GENERIC_COOKIE
from ngksock.netgraph.ngctl import LineError, Word, near

__all__ = ["as_json", "as_text", "described", "example", "fields", "find"]

SHARED: Final = (GENERIC_COOKIE, CONTROL_COOKIE)
# What stands for a value in a shape, and a value.
_EXAMPLES: Final = (
    (r"^nothing$", ""),
    (r"<option>=<value>", "so_reuseaddr=1"),
    (r"<option>", "so_reuseaddr"),
    (r'"?<string[^>]*>"?', '"text"'),
    (r"<a\.b\.c\.d>", "127.0.0.1"),
    (r"<port>", "9000"),
    (r"<path>", "/tmp/socket"),
    (r"<hex[0-9]*>", "0x1"),
    (r"<u?int[0-9]*>", "1"),
    (r" x [0-9]+(?= \])", ""),
    (r" \.\.\.(?= \])", ""),
)
_FIELD: Final = re.compile(r"([A-Za-z_]\w*)=")


def example(shape: str) -> str:
    """Return arguments of the first of the forms that *shape* lists."""
    depth, end = 0, len(shape)
    for at, char in enumerate(shape):
        depth += (char in "{[") - (char in "}]")
        if char == "|" and not depth:
            end = at
            break
    text = shape[:end].strip()
    for pattern, value in _EXAMPLES:
        text = re.sub(pattern, value, text)
    return text


def fields(shape: str) -> list[str]:
    """Return the names of the fields in *shape*, in its order, each once."""
    return list(dict.fromkeys(_FIELD.findall(shape)))


def find(port: ClientPort, wanted: Word) -> tuple[str, Description]:
    """
    Return the description of a type, and the path of a node to try it on.

    Args:
        port: The daemon.
        wanted: A path, or the name of a type.

    Raises:
        OSError: ENOENT, there is none.
    """
    if ":" in wanted or wanted.startswith("."):
        return wanted, port.describe(wanted)
    for info in port.nodes():
        if info.type == wanted:
            path = f"{info.name}:" if info.name else f"[{info.id:x}]:"
            return path, port.describe(path)
    types = list(port.types())
    if wanted not in types:
        remedy = near(wanted, [*types, *(f"{name}:" for name in port.names())])
        text = f'there is no node type "{wanted}"'
        raise LineError(ENOENT, text, wanted.start, remedy=remedy, syntax=True)
    return "PATH", described(port, wanted)


def described(port: ClientPort, kind: str) -> Description:
    """Return what the type *kind* says of itself, be there a node of it or not."""
    told = port.node.request(".", CONTROL_COOKIE, 1 | READS, STRING.pack(kind)).data
    return Struct(Description).unpack(told)


def as_text(about: Description, path: str, everything: bool) -> str:
    """
    Return *about* for people.

    Args:
        about: What a type says of itself.
        path: A node for the examples.
        everything: With the messages that all types have.
    """
    path = f'"{path}"' if " " in path else path
    own = [row for row in about.commands if everything or row.cookie not in SHARED]
    lines = [f"Type {about.type}, cookie {about.cookie}"]
    lines.append(f"Hooks: {about.hookform or ', '.join(_runs(about.hooks)) or 'none'}")
    lines.append("Messages:" if own else "It has no messages of its own.")
    for row in own:
        lines.extend(_row(row, path))
    shared = [row.name for row in about.commands if row.cookie in SHARED]
    if not everything:
        lines.append(f"Like every node, it understands {', '.join(shared)}.")
    return "\n".join(lines)


def _runs(names: list[str]) -> list[str]:
    """Return *names* with ``many0 to many63`` for what is numbered."""
    runs: list[list[str]] = []
    for name in names:
        stem, number = _numbered(name)
        if runs and number is not None and _numbered(runs[-1][-1]) == (stem, number - 1):
            runs[-1].append(name)
        else:
            runs.append([name])
    return [run[0] if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs]


def _numbered(name: str) -> tuple[str, int | None]:
    match = re.fullmatch(r"(.*?)(0|[1-9][0-9]*)", name, re.ASCII)
    return (match[1], int(match[2])) if match is not None else (name, None)


def _row(row: CommandInfo, path: str) -> Iterator[str]:
    yield f"  {row.name}{f' {row.arg}' if row.arg else ''}"
    if row.help:
        yield f"      {row.help}"
    if row.resp:
        yield f"      It answers {row.resp}"
    yield f"      msg {path} {row.name} {example(row.arg)}".rstrip()


def as_json(about: Description) -> dict[str, Any]:
    """Return *about* as values for JSON."""
    return {
        "type": about.type,
        "cookie": about.cookie,
        "hooks": about.hooks,
        "hookform": about.hookform or None,
        "messages": [
            {
                "name": row.name,
                "cookie": row.cookie,
                "cmd": row.cmd,
                "args": row.arg or None,
                "answer": row.resp or None,
                "help": row.help,
                "example": f"{row.name} {example(row.arg)}".rstrip(),
            }
            for row in about.commands
        ],
    }
