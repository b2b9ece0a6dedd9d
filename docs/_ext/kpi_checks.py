"""Sphinx: the table of the 94 checks of the socket KPI, as the tests run it.

``.. kpi-checks::`` makes the table, check by kind of socket, and below it what
differs and what does not apply, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

from ngksock.testing.kpi import COLUMNS, TABLE
from ngksock.testing.kpi.registry import CHECKS, Verdict, statement

SIGNS = {"holds": "✓", "differs": "≠", "n/a": "–"}


class Checks(Directive):
    """The table, what its signs mean, and the reasons."""

    def run(self) -> list[nodes.Node]:
        return [
            nodes.paragraph("", ", ".join(f"{sign} {word}" for word, sign in SIGNS.items()) + "."),
            self._table(),
            self._reasons("What differs, and how:", "differs"),
            self._reasons("What does not apply, and why:", "n/a"),
        ]

    def _table(self) -> nodes.table:
        heads = ["No.", "Statement", *(column.replace("_", " ") for column in COLUMNS)]
        group = nodes.tgroup(cols=len(heads))
        group += [nodes.colspec(colwidth=width) for width in (4, 50, *(5 for _ in COLUMNS))]
        group += nodes.thead("", _row(heads))
        group += nodes.tbody("", *(_row(self._cells(number)) for number in TABLE))
        return nodes.table("", group, classes=["kpi-checks"])

    def _cells(self, number: int) -> list[str]:
        signs = [SIGNS[what.word] for what in TABLE[number].values()]
        return [str(number), statement(CHECKS[number]), *signs]

    def _reasons(self, title: str, word: str) -> nodes.Node:
        items = [
            nodes.list_item("", nodes.paragraph("", f"{number}, {_listed(columns)}: {what.why}"))
            for number, row in TABLE.items()
            for what, columns in _groups(row).items()
            if what.word == word
        ]
        return nodes.container("", nodes.paragraph("", title), nodes.bullet_list("", *items))


def _groups(row: dict[str, Verdict]) -> dict[Verdict, list[str]]:
    """Return which columns have the same verdict."""
    groups: dict[Verdict, list[str]] = {}
    for column, what in row.items():
        groups.setdefault(what, []).append(column)
    return groups


def _listed(columns: Iterable[str]) -> str:
    return ", ".join(column.replace("_", " ") for column in columns)


def _row(cells: Iterable[str]) -> nodes.row:
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", cell)) for cell in cells))


def setup(app: Sphinx) -> dict[str, Any]:
    """Tell Sphinx."""
    app.add_directive("kpi-checks", Checks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
