"""Sphinx: tables made from what the code declares, and colours for ngctl.

``.. netgraph-messages:: TYPE`` lists the control messages of a type of node,
``.. netgraph-messages:: generic`` and ``control`` those every node has.
``.. netgraph-options::`` lists the words for socket options,
``.. netgraph-commands::`` the commands of ngctl.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import Directive
from pygments.lexer import RegexLexer, bygroups
from pygments.token import Comment, Keyword, Name, Number, Punctuation, String, Text
from sphinx.application import Sphinx

from ngksock.kpi.sockopt import WORDS
from ngksock.netgraph import Row
from ngksock.netgraph.generic import CONTROL, GENERIC
from ngksock.netgraph.message import HASREPLY, READONLY
from ngksock.netgraph.ngctl import COMMANDS, find_command
from ngksock.plugin import find_type

COMMON = {"generic": GENERIC, "control": CONTROL}


class NgctlLexer(RegexLexer):
    """Lines of ngctl."""

    name = "ngctl"
    aliases: ClassVar[list[str]] = ["ngctl"]
    url = "https://man.freebsd.org/ngctl"
    tokens: ClassVar[dict[str, Any]] = {
        "root": [
            (r"\s*#.*\n", Comment),
            (r"(\s*)([a-z.?]+)", bygroups(Text, Keyword), "line"),
            (r"\s+", Text),
        ],
        "line": [
            (r"\\\n", Punctuation),
            (r"\n", Text, "#pop"),
            (r'"(?:[^"\\\n]|\\.)*"', String),
            (r"[{}\[\]=]", Punctuation),
            (r"-?(?:0x[0-9a-fA-F]+|[0-9]+)(?=[\s{}\[\]=])", Number),
            (r"[A-Za-z_]+(?==)", Name.Attribute),
            (r'[^\s{}\[\]="\\]+', Name),
            (r"\s+", Text),
            (r".", Text),
        ],
    }


def _paragraph(*parts: str | nodes.Node) -> nodes.paragraph:
    children = [nodes.Text(part) if isinstance(part, str) else part for part in parts]
    return nodes.paragraph("", "", *children)


def _code(text: str) -> nodes.literal:
    return nodes.literal(text=text)


def table(heads: Iterable[str], rows: Iterable[Iterable[nodes.Node]]) -> nodes.table:
    """Return a table; each cell is one node."""
    titles = list(heads)
    group = nodes.tgroup(cols=len(titles))
    group += [nodes.colspec(colwidth=24) for _ in titles]
    group += nodes.thead("", _row(_paragraph(title) for title in titles))
    group += nodes.tbody("", *(_row(cells) for cells in rows))
    return nodes.table("", group)


def _row(cells: Iterable[nodes.Node]) -> nodes.row:
    return nodes.row("", *(nodes.entry("", cell) for cell in cells))


class Messages(Directive):
    """The control messages of a type of node, or those common to all."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        source: Any = COMMON.get(name)
        if source is None:
            source = find_type(name)
        rows = source.rows.all if name in COMMON else source.commands.all
        if not rows:
            return [_paragraph(f"None of its own with an ASCII form.  Cookie: {source.cookie}.")]
        made: list[nodes.Node] = []
        # What we added to a type of FreeBSD's has a cookie of its own.
        for cookie in dict.fromkeys([source.cookie, *(row.cookie for row in rows)]):
            chosen = [row for row in rows if row.cookie == cookie]
            items = [self._item(row) for row in sorted(chosen, key=_number)]
            made += [_paragraph(f"Cookie {cookie}:"), nodes.definition_list("", *items)]
        return made

    def _item(self, row: Row) -> nodes.definition_list_item:
        number = str(_number(row))
        if _number(row) != row.cmd:
            number += f", with its flags {row.cmd:#x}"
        term = nodes.term("", "", _code(row.name), nodes.Text(f" ({number})"))
        # In docstrings the argument stands between stars.
        text, faults = self.state.inline_text(row.doc.replace("*", "``"), self.lineno)
        about = nodes.definition("", nodes.paragraph("", "", *text, *faults))
        if row.arg is not None:
            about += _paragraph("Argument: ", _code(row.arg.shape()))
        if row.resp is not None:
            later = " (may come later)" if row.later else ""
            about += _paragraph(f"Response{later}: ", _code(row.resp.shape()))
        return nodes.definition_list_item("", term, about)


def _number(row: Row) -> int:
    return row.cmd & ~(READONLY | HASREPLY)


class Options(Directive):
    """The words for socket options."""

    def run(self) -> list[nodes.Node]:
        heads = ("Word", "Value", "FreeBSD's level, name", "Option on Linux")
        return [table(heads, (self._cells(word) for word in sorted(WORDS)))]

    def _cells(self, word: str) -> Iterator[nodes.Node]:
        option = WORDS[word]
        try:
            host = option.host()
        except OSError:
            name = "none"
        else:
            name = host.name + (f", needs {host.privilege}" if host.privilege else "")
        yield _paragraph(_code(word))
        yield _paragraph(option.kind)
        yield _paragraph(_code(f"{option.level:#x}"), ", ", _code(f"{option.number:#x}"))
        yield _paragraph(name)


class Commands(Directive):
    """The commands of ngctl, and the shortest words for each."""

    def run(self) -> list[nodes.Node]:
        heads = ("Command", "Also", "Shortest", "What it does")
        return [table(heads, (self._cells(at) for at in range(len(COMMANDS))))]

    def _cells(self, at: int) -> Iterator[nodes.Node]:
        command = COMMANDS[at]
        yield _paragraph(_code(command.syntax))
        yield _listed(command.aliases)
        yield _listed(_shortest(name) for name in command.names)
        yield _paragraph(command.summary)


def _listed(words: Iterable[str]) -> nodes.paragraph:
    parts: list[str | nodes.Node] = []
    for word in words:
        parts += [", ", _code(word)] if parts else [_code(word)]
    return _paragraph(*parts)


def _shortest(name: str) -> str:
    """Return the shortest beginning of *name* that means one command."""
    for end in range(1, len(name)):
        try:
            find_command(name[:end])
        except OSError:
            continue
        return name[:end]
    return name


def setup(app: Sphinx) -> dict[str, Any]:
    """Tell Sphinx."""
    app.add_directive("netgraph-messages", Messages)
    app.add_directive("netgraph-options", Options)
    app.add_directive("netgraph-commands", Commands)
    app.add_lexer("ngctl", NgctlLexer)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
