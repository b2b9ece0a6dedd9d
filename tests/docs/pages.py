"""The code blocks of the documentation, as they stand in its pages."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from os import getpid
from pathlib import Path
from textwrap import dedent

__all__ = ["DOCS", "ROOT", "Block", "blocks", "free_ports", "names_of_pages", "with_ports"]

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs"

_DIRECTIVE = re.compile(r"( *)\.\. code-block:: ?(\S*)")
_OPTION = re.compile(r" +:([a-z]+):(?: (.*))?")
_PORT = re.compile(r"\b(?:8080|9\d{3})\b")


@dataclass(frozen=True)
class Block:
    """
    A code block.

    Args:
        page: The page's path below docs, without its suffix.
        line: Where its directive is, from 1.
        language: What the directive names.
        caption: Of the block, or "": the name of a file.
        text: What it holds.
    """

    page: str
    line: int
    language: str
    caption: str
    text: str

    def __str__(self) -> str:
        return f"docs/{self.page}.rst:{self.line}"


def names_of_pages() -> list[str]:
    """Return the pages there are."""
    paths = [*DOCS.glob("*.rst"), *DOCS.glob("nodes/*.rst")]
    return sorted(path.relative_to(DOCS).with_suffix("").as_posix() for path in paths)


def blocks(page: str, *languages: str) -> list[Block]:
    """Return the code blocks of *page* in one of *languages*, in order."""
    text = (DOCS / f"{page}.rst").read_text(encoding="utf-8")
    return [block for block in _blocks(page, text.split("\n")) if block.language in languages]


def _blocks(page: str, lines: list[str]) -> Iterator[Block]:
    for number, line in enumerate(lines, 1):
        start = _DIRECTIVE.fullmatch(line)
        if start is None:
            continue
        options: dict[str, str] = {}
        body: list[str] = []
        for follower in lines[number:]:
            option = None if body else _OPTION.fullmatch(follower)
            if option is not None:
                options[option[1]] = option[2] or ""
            elif follower.strip() and not follower.startswith(start[1] + " "):
                break
            else:
                body.append(follower)
        text = dedent("\n".join(body)).strip("\n") + "\n"
        yield Block(page, number, start[2], options.get("caption", ""), text)


def with_ports(block: Block, ports: dict[str, str]) -> Block:
    """Return *block* with the documented ports replaced by those they map to."""
    return replace(block, text=_PORT.sub(lambda match: ports[match[0]], block.text))


def free_ports(found: list[Block]) -> dict[str, str]:
    """Map each port that *found* name to one nobody uses, for TCP and UDP."""
    wanted = sorted({port for block in found for port in _PORT.findall(block.text)})
    ports: dict[str, str] = {}
    # Below those the system gives to clients, and apart from other runs.
    number = 10_000 + getpid() * 97 % 20_000
    with ExitStack() as taken:
        for port in wanted:
            while True:
                number += 1
                try:
                    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                        sock = taken.enter_context(socket.socket(socket.AF_INET, kind))
                        sock.bind(("127.0.0.1", number))
                except OSError:
                    continue
                break
            ports[port] = str(number)
    return ports
