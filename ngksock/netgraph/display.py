"""What ngctl prints, to the byte (netgraph.md §9.4, §9.5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from ngksock.netgraph.message import Message

if TYPE_CHECKING:
    from ngksock.netgraph.controlforms import Origin
    from ngksock.netgraph.generic import HookList, NodeInfo, TypeInfo
    from ngksock.netgraph.ngctl import Command

__all__ = [
    "WRITE_MAX", "dot", "dump", "help_all", "help_one", "list_header", "message", "node",
    "node_line", "origins", "text", "types",
]  # fmt: skip

UNNAMED: Final = "<unnamed>"
WRITE_MAX: Final = 8192
"""Most bytes in a packet of the command ``write``."""


def text(raw: bytes) -> str:
    """Return NUL-ended text."""
    return raw.split(b"\0", 1)[0].decode("latin-1")


def node_line(info: NodeInfo) -> str:
    """Return the line of one node in ``list`` and ``show``."""
    return (
        f"  Name: {info.name or UNNAMED:<15} Type: {info.type:<15} "
        f"ID: {info.id:08x}   Num hooks: {info.hooks}"
    )


def list_header(count: int, named: bool) -> str:
    """Return the first line of ``list``."""
    return f"There are {count} total {'named ' if named else ''}nodes:"


def _columns(*cells: str) -> str:
    return "  {:<15} {:<15} {:<12} {:<15} {:<15}".format(*cells)


def node(table: HookList, bare: bool = False) -> str:
    """Return what ``show`` prints of a node; *bare*: without its hooks."""
    lines = [node_line(table.nodeinfo)]
    if table.linkinfo and not bare:
        lines.append(_columns("Local hook", "Peer name", "Peer type", "Peer ID", "Peer hook"))
        lines.append(_columns("----------", "---------", "---------", "-------", "---------"))
        for link in table.linkinfo:
            peer = link.nodeinfo
            lines.append(
                _columns(
                    link.ourhook, peer.name or UNNAMED, peer.type, f"{peer.id:08x}", link.peerhook
                )
            )
    return "\n".join(lines)


def types(infos: Sequence[TypeInfo]) -> str:
    """Return what ``types`` prints."""
    lines = [f"There are {len(infos)} total types:"]
    if infos:
        lines.append(f"{'Type name':>15}   Number of living nodes")
        lines.append(f"{'---------':>15}   ----------------------")
        lines.extend(f"{info.typename:>15}   {info.numnodes:5d}" for info in infos)
    return "\n".join(lines)


def origins(found: Sequence[Origin], living: Mapping[str, int]) -> str:
    """Return what ``types -v`` prints; *living* is how many nodes of a type there are."""
    lines = [f"There are {len({o.type for o in found if o.type})} types:"]
    lines.append(f"{'Type name':>15}   Nodes   From")
    lines.append(f"{'---------':>15}   -----   ----")
    for one in found:
        number = f"{living.get(one.type, 0):5d}" if one.type else "    -"
        where = one.origin + (f": {one.problem}" if one.problem else "")
        lines.append(f"{one.type or '-':>15}   {number}   {where}")
    return "\n".join(lines)


def dump(data: bytes) -> str:
    """Return a hex dump, 16 bytes a line."""
    lines = []
    for at in range(0, len(data), 16):
        row = data[at : at + 16]
        digits = "".join(f"{byte:02x} " for byte in row).ljust(48)
        chars = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
        lines.append(f"{at:04x}:  {digits} {chars:<16}")
    return "\n".join(lines)


def message(address: str, raw: Message, decoded: Message | None) -> str:
    """Return how a received message is shown; *decoded* is its ASCII form, if it has one."""
    kind = "response" if raw.is_response else "command"
    if decoded is None:
        head = f'Rec\'d {kind} {raw.cmd} from "{address}":'
        return f"{head}\n{dump(raw.data) if raw.data else 'No arguments'}"
    shown = text(decoded.data)
    head = f'Rec\'d {kind} "{decoded.cmdstr}" ({raw.cmd}) from "{address}":'
    return f"{head}\nArgs:\t{shown}" if shown else f"{head}\nNo arguments"


def help_all(commands: Iterable[Command], more: Iterable[Command] = ()) -> str:
    """Return what ``help`` prints; *more* are commands that ngctl does not have."""
    lines = ["Available commands:"]
    lines += [f"  {entry.name:<10} {entry.summary}" for entry in commands]
    ours = [f"  {entry.name:<10} {entry.summary}" for entry in more]
    return "\n".join([*lines, *(["And beyond ngctl:"] if ours else []), *ours])


def help_one(entry: Command) -> str:
    """Return what ``help COMMAND`` prints."""
    lines = [f"usage:    {entry.syntax}"]
    if entry.aliases:
        lines.append(f"Aliases:  {', '.join(entry.aliases)}")
    lines.append(f"Summary:  {entry.summary}")
    return "\n".join(lines)


def _escape(name: str) -> str:
    return "".join("\\" + char if char in '{}|<>"\\' else char for char in name)


def _label(info: NodeInfo) -> str:
    name = _escape(info.name or UNNAMED)
    return f'label="{{{name}:|{{{_escape(info.type)}|[{info.id:x}]:}}}}"'


def _quote(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def dot(tables: Sequence[HookList], compact: bool) -> str:
    """Return the graph as GraphViz text; *compact*: links straight from node to node."""
    linked = [table for table in tables if table.linkinfo]
    lines = [f"{'digraph' if compact else 'graph'} netgraph {{"]
    if compact:
        lines.append('\tedge [ dir = "none" fontsize = 10 ];')
    else:
        lines.append("\tedge [ weight = 1.0 ];")
    lines.append("\tnode [ shape = record, fontsize = 12 ];")
    lines.extend(f'\t"{t.nodeinfo.id:x}" [ {_label(t.nodeinfo)} ];' for t in linked)
    alone = [table for table in tables if not table.linkinfo]
    if alone:
        lines.append('\tsubgraph cluster_disconnected {\n\t\tbgcolor = "pink";')
        lines.extend(f'\t\t"{t.nodeinfo.id:x}" [ {_label(t.nodeinfo)} ];' for t in alone)
        lines.append("\t}")
    if not compact:
        lines.append("\tnode [ shape = octagon, fontsize = 10 ];")
        for table in linked:
            own = f"{table.nodeinfo.id:x}"
            for link in table.linkinfo:
                hook = _quote(f"{own}.{link.ourhook}")
                lines.append(f"\t{hook} [ label = {_quote(link.ourhook)} ];")
                lines.append(f'\t"{own}" -- {hook} [ style = bold, weight = 2.0 ];')
    for table in linked:
        lines.extend(_edges(table, compact))
    return "\n".join([*lines, "}"])


def _edges(table: HookList, compact: bool) -> list[str]:
    own, lines = table.nodeinfo.id, []
    for link in table.linkinfo:
        peer = link.nodeinfo.id
        # Each link is listed at both of its ends; a loop twice at the one node.
        if peer > own or (peer == own and link.peerhook > link.ourhook):
            continue
        if compact:
            labels = f"headlabel = {_quote(link.peerhook)}, taillabel = {_quote(link.ourhook)}"
            lines.append(f'\t"{own:x}" -> "{peer:x}" [ {labels} ];')
        else:
            ends = (f"{own:x}.{link.ourhook}", f"{peer:x}.{link.peerhook}")
            lines.append(f"\t{' -- '.join(map(_quote, ends))};")
    return lines
