"""Sphinx: tables of the socket KPI, made from the interface and the code.

``.. kpi-functions::`` lists the calls of ISocketKPI, by theme, with the first
line of each docstring and how far each goes on Linux, macOS and BSD.  A call that
``kpi_status.STATUS`` lacks, or a row there without a call, ends the build.
``.. kpi-transitions::`` lists what changes the state of a socket, and who is
told of it in which order: ``ngksock.kpi.state``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from kpi_status import OURS, STATUS, calls, missing
from netgraph_rows import table
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from zope.interface import Interface
from zope.interface.interface import Method

from ngksock.interfaces import (
    ISocketData,
    ISocketEvents,
    ISocketKPIProvider,
    ISocketLife,
    ISocketNames,
    ISocketOptions,
)
from ngksock.kpi import constants
from ngksock.kpi.state import EVENT, READ, TRANSITIONS, WRITE

_THEMES: dict[str, type[Interface]] = {
    "Beginning, connecting, ending": ISocketLife,
    "Addresses and states": ISocketNames,
    "Options, controls, privileges": ISocketOptions,
    "Data": ISocketData,
    "Upcalls and events": ISocketEvents,
}

_SOCKET_PREFIX = {
    "defunct",
    "set_traffic_mgt_flags",
    "clear_traffic_mgt_flags",
    "set_traffic_mgt_flags_locked",
    "clear_traffic_mgt_flags_locked",
}
"""In the header their names begin with socket_, those of the others with sock_."""


def c_name(name: str) -> str:
    """Return the name of a call in XNU's header, or nothing if it is ours."""
    if STATUS[name].note.startswith(OURS):
        return ""
    return f"socket_{name}" if name in _SOCKET_PREFIX else f"sock_{name}"


class Functions(Directive):
    """Every call of the KPI, and how far it goes where."""

    def run(self) -> list[nodes.Node]:
        wrong = missing()
        if wrong:
            raise ExtensionError(f"kpi-functions: {'; '.join(wrong)}")
        made: list[nodes.Node] = []
        for title, interface in _THEMES.items():
            methods = calls(interface)
            if interface is ISocketLife:
                methods = {"socket": calls(ISocketKPIProvider)["socket"], **methods}
            heads = ("Call", "What it does", "Linux", "macOS", "BSD", "Note")
            made.append(nodes.rubric("", title))
            rows = (self._cells(name, methods[name]) for name in STATUS if name in methods)
            made.append(table(heads, rows))
        return made

    def _cells(self, name: str, method: Method) -> Iterator[nodes.Node]:
        status = STATUS[name]
        call = nodes.paragraph("", "", nodes.literal(text=name))
        if c_name(name):
            call += nodes.Text(" ")
            call += nodes.inline(text=f"({c_name(name)})")
        yield call
        yield self._text(method.getDoc().strip().splitlines()[0])
        for word in status[:3]:
            yield nodes.paragraph(text=word)
        yield nodes.paragraph(text=status.note)

    def _text(self, words: str) -> nodes.Node:
        # In docstrings an argument stands between stars, a name between backticks.
        words = re.sub(r"[*`]+", "``", words)
        text, faults = self.state.inline_text(words, self.lineno)
        return nodes.paragraph("", "", *text, *faults)


_WHEN = {
    "connecting": "connect was begun",
    "connected": "the connection is there (the side that called connect)",
    "cantrcvmore": "the peer's end of file came, or shutdown for reading",
    "cantsendmore": "shutdown for writing",
    "disconnected": "it is over: both ends of file, a reset, a timeout, a refusal, defunct",
}

_TOLD = {READ: "read upcall", WRITE: "write upcall"}


def _names(prefix: str, bits: int) -> str:
    found = {
        getattr(constants, name): name
        for name in constants.__all__
        if name.startswith(prefix) and getattr(constants, name) & bits
    }
    return " | ".join(name.removeprefix(prefix) for _, name in sorted(found.items()))


class Transitions(Directive):
    """What changes the state, and who is told in which order."""

    def run(self) -> list[nodes.Node]:
        heads = ("When", "State bits set", "State bits cleared", "Who is told, in this order")
        return [table(heads, (self._cells(name) for name in TRANSITIONS))]

    def _cells(self, name: str) -> Iterator[nodes.Node]:
        change = TRANSITIONS[name]
        event = "event " + _names("SO_FILT_HINT_", change.hint)
        told = [event if what == EVENT else _TOLD[what] for what in change.order]
        yield nodes.paragraph(text=_WHEN[name])
        yield nodes.paragraph(text=_names("SS_", change.set))
        yield nodes.paragraph(text=_names("SS_", change.clear))
        yield nodes.paragraph(text=", ".join(told) or "nobody")


def setup(app: Sphinx) -> dict[str, Any]:
    """Tell Sphinx."""
    app.add_directive("kpi-functions", Functions)
    app.add_directive("kpi-transitions", Transitions)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
