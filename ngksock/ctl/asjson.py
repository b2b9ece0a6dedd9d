"""Replies as values for JSON: the ASCII form of a message, read without its layout."""

from __future__ import annotations

from typing import Any

from ngksock.netgraph.display import text
from ngksock.netgraph.generic import HookList, NodeInfo
from ngksock.netgraph.lexer import Lexer, ParseError
from ngksock.netgraph.message import Message
from ngksock.netgraph.scalars import number

__all__ = ["ascii_value", "hooks", "message", "node"]


def node(info: NodeInfo) -> dict[str, Any]:
    """Return a node; ``path`` is one that always reaches it."""
    return {
        "id": info.id,
        "path": f"[{info.id:x}]:",
        "name": info.name or None,
        "type": info.type,
        "hooks": info.hooks,
    }


def hooks(table: HookList) -> dict[str, Any]:
    """Return a node and what its hooks lead to."""
    links = [
        {"hook": link.ourhook, "peerhook": link.peerhook, "peer": node(link.nodeinfo)}
        for link in table.linkinfo
    ]
    return {**node(table.nodeinfo), "links": links}


def message(address: str, raw: Message, decoded: Message | None) -> dict[str, Any]:
    """Return a message that came; *decoded* is its ASCII form, if it has one."""
    found: dict[str, Any] = {
        "from": address,
        "kind": "response" if raw.is_response else "command",
        "cookie": raw.cookie,
        "cmd": raw.cmd,
    }
    if decoded is None:
        return {**found, "command": None, "data": raw.data.hex()}
    shown = text(decoded.data)
    return {**found, "command": decoded.cmdstr, "text": shown, "args": ascii_value(shown)}


def ascii_value(shown: str) -> Any:
    """
    Return what an ASCII form says: objects, lists, numbers and strings.

    Fields that it leaves out are left out; a list with gaps is an object.
    What has another form stays one string, and nothing is None.
    """
    if not shown:
        return None
    lexer = Lexer(shown)
    try:
        value = _value(lexer)
        lexer.end()
    except ParseError:
        return shown
    return value


def _value(lexer: Lexer) -> Any:
    kind = lexer.peek()
    if kind == "{":
        return _struct(lexer)
    if kind == "[":
        return _array(lexer)
    if kind == '"':
        return lexer.string("a value")
    word = lexer.word("a value")
    value = number(word)
    return word if value is None else value


def _struct(lexer: Lexer) -> dict[str, Any]:
    found = {}
    lexer.open("{", "a value")
    while not lexer.at_close():
        name = lexer.word("a name")
        lexer.equals(name)
        found[name] = _value(lexer)
    lexer.close()
    return found


def _array(lexer: Lexer) -> list[Any] | dict[str, Any]:
    found: dict[int, Any] = {}
    at = 0
    lexer.open("[", "a value")
    while not lexer.at_close():
        key = lexer.key()
        if key is not None:
            at = number(key[0]) or 0
        found[at] = _value(lexer)
        at += 1
    lexer.close()
    if list(found) == list(range(len(found))):
        return list(found.values())
    return {str(index): value for index, value in found.items()}
