"""Messages every node understands: netgraph.md §3, and seven of our own.

`GENERIC` has the fourteen of FreeBSD, `CONTROL` those of the control cookie
(wire.md "Beyond netgraph").  Their methods take the addressed node first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from errno import EINVAL, ENOSYS
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar, cast, overload

from ngksock.netgraph.command import Row, Rows, command, rows_of
from ngksock.netgraph.controlforms import (
    Bypass,
    CommandInfo,
    Description,
    DropCount,
    HookStats,
    Insert,
    NameOrNothing,
    Origin,
)
from ngksock.netgraph.edges import connect, mkpeer
from ngksock.netgraph.layout import (
    STRING,
    Counted,
    FixedString,
    Hex32,
    ParseType,
    Prefixed,
    Rest,
    Struct,
    UInt8,
    UInt32,
)
from ngksock.netgraph.lexer import Lexer, ParseError
from ngksock.netgraph.live import BYPASS, INSERT, bypass, hook_of, insert
from ngksock.netgraph.message import (
    CONTROL_COOKIE,
    GENERIC_COOKIE,
    HASREPLY,
    HEADER_SIZE,
    READONLY,
    Message,
)
from ngksock.netgraph.parse import Reader, Seen

if TYPE_CHECKING:
    from ngksock._inetgraph import INodeType
    from ngksock.netgraph.hook import Hook
    from ngksock.netgraph.node import Node

__all__ = ["PASSED", "SHARED_ROWS", "ascii2binary", "binary2ascii", "message_names", "row_named"]

Name = Annotated[str, FixedString(32)]
PathText = Annotated[str, FixedString(512)]
READS: Final = READONLY | HASREPLY


# -- layouts (§3.2): field names are the ASCII names


@dataclass
class MkPeer:
    type: Name
    ourhook: Name
    peerhook: Name


@dataclass
class Connect:
    path: PathText
    ourhook: Name
    peerhook: Name


@dataclass
class SetName:
    name: Name


@dataclass
class RmHook:
    hook: Name


@dataclass
class NodeInfo:
    name: Name
    type: Name
    id: Hex32
    hooks: UInt32


@dataclass
class LinkInfo:
    ourhook: Name
    peerhook: Name
    nodeinfo: NodeInfo


@dataclass
class HookList:
    nodeinfo: NodeInfo
    linkinfo: Annotated[
        list[LinkInfo], Counted(Struct(LinkInfo), lambda seen: seen["nodeinfo"].hooks)
    ]


@dataclass
class NameList:
    numnames: UInt32
    nodeinfo: Annotated[list[NodeInfo], Counted(Struct(NodeInfo), "numnames")]


@dataclass
class TypeInfo:
    typename: Name
    numnodes: UInt32


@dataclass
class TypeList:
    numtypes: UInt32
    typeinfo: Annotated[list[TypeInfo], Counted(Struct(TypeInfo), "numtypes")]


@dataclass
class MessageForm:
    version: UInt8
    arglen: UInt32
    cmd: Hex32
    flags: Hex32
    token: UInt32
    typecookie: UInt32
    cmdstr: Name
    data: Annotated[bytes, Rest()]


class MessageType(ParseType[Message]):
    """A whole message as an argument: header and data; bytes beyond its arglen are ignored."""

    greedy = True
    _form = Struct(MessageForm)

    @property
    def minsize(self) -> int:
        return HEADER_SIZE

    def scan(self, text: Lexer, seen: Seen) -> Message:
        form = self._form.scan(text, seen)
        return Message(
            form.typecookie, form.cmd, form.data, form.token, form.flags, form.cmdstr, form.version
        )

    def show(self, value: Message, seen: Seen) -> str:
        form = MessageForm(
            value.version, len(value.data), value.cmd, value.flags, value.token,
            value.cookie, value.cmdstr, value.data,
        )  # fmt: skip
        return self._form.show(form, seen)

    def write(self, value: Message, out: bytearray, seen: Seen) -> None:
        out.extend(value.pack())

    def read(self, data: Reader, seen: Seen) -> Message:
        return Message.unpack(data.take(data.left))

    def shape(self) -> str:
        return self._form.shape()


MESSAGE = MessageType()


# -- the rows

N = TypeVar("N")
A = TypeVar("A")
R = TypeVar("R")


@overload
def about(
    cmd: int, *, arg: ParseType[A]
) -> Callable[[Callable[[N, Node, A], None]], Callable[[N, Node, A], None]]: ...
@overload
def about(
    cmd: int, *, arg: ParseType[A], resp: ParseType[R]
) -> Callable[[Callable[[N, Node, A], R]], Callable[[N, Node, A], R]]: ...
@overload
def about(
    cmd: int, *, resp: ParseType[R]
) -> Callable[[Callable[[N, Node], R]], Callable[[N, Node], R]]: ...
@overload
def about(cmd: int) -> Callable[[Callable[[N, Node], None]], Callable[[N, Node], None]]: ...
def about(
    cmd: int, *, arg: ParseType[Any] | None = None, resp: ParseType[Any] | None = None
) -> Any:
    """As `command`, for a method that takes the node it is about; extra arguments are ignored."""
    decorate = cast(Any, command)
    if arg is None:
        return decorate(cmd, resp=resp, lenient=True)
    return decorate(cmd, arg=arg, resp=resp)


def _info(node: Node) -> NodeInfo:
    return NodeInfo(node.name, node.type.name, node.id, len(node.hooks))


def _link(hook: Hook) -> LinkInfo:
    return LinkInfo(hook.name, hook.peer.name, _info(hook.peer.node))


class Generic:
    """The fourteen generic messages (§3.3)."""

    @about(1)
    def shutdown(self, node: Node) -> None:
        """Destroy the node."""
        node.graph.rmnode(node)

    @about(2, arg=Struct(MkPeer))
    def mkpeer(self, node: Node, arg: MkPeer) -> None:
        """Make a node of a type, linked to this one."""
        mkpeer(node.graph, node, arg.type, arg.ourhook, arg.peerhook)

    @about(3, arg=Struct(Connect))
    def connect(self, node: Node, arg: Connect) -> None:
        """Link a hook of this node to one of the node at a path."""
        far, _ = node.graph.find(arg.path, node)
        connect(node.graph, node, arg.ourhook, far, arg.peerhook)

    @about(4, arg=Struct(SetName))
    def name(self, node: Node, arg: SetName) -> None:
        """Give the node a name."""
        node.graph.rename(node, arg.name)

    @about(5, arg=Struct(RmHook))
    def rmhook(self, node: Node, arg: RmHook) -> None:
        """Remove a hook; one that does not exist is no error."""
        hook = node.hooks.get(arg.hook)
        if hook is not None:
            node.graph.rmhook(hook)
        elif not node.graph.checking:
            node.graph.report(f'rmhook: node {node!r} has no hook "{arg.hook}" to remove', None)

    @about(6 | READS, resp=Struct(NodeInfo))
    def nodeinfo(self, node: Node) -> NodeInfo:
        """Tell name, type, id and number of hooks."""
        return _info(node)

    @about(7 | READS, resp=Struct(HookList))
    def listhooks(self, node: Node) -> HookList:
        """List the hooks, the newest first, and what is beyond them."""
        links = [_link(hook) for hook in reversed(node.hooks.values()) if hook.valid]
        info = _info(node)
        info.hooks = len(links)
        return HookList(info, links)

    @about(8 | READS, resp=Struct(NameList))
    def listnames(self, node: Node) -> NameList:
        """List the nodes that have a name, by ascending id."""
        infos = [_info(other) for other in node.graph if other.name]
        return NameList(len(infos), infos)

    @about(9 | READS, resp=Struct(NameList))
    def listnodes(self, node: Node) -> NameList:
        """List all nodes, by ascending id."""
        infos = [_info(other) for other in node.graph]
        return NameList(len(infos), infos)

    @about(10 | READS, resp=Struct(TypeList))
    def listtypes(self, node: Node) -> TypeList:
        """List the types in use so far, the newest first, with their living nodes."""
        graph = node.graph
        infos = [TypeInfo(name, graph.living.get(name, 0)) for name in reversed(graph.types)]
        return TypeList(len(infos), infos)

    @about(11 | READS, resp=STRING)
    def textstatus(self, node: Node) -> str:
        """Tell how the node is, in words; EINVAL if its type has none."""
        raise OSError(EINVAL, "textstatus is the node's own to answer")

    @about(12 | READS, arg=MESSAGE, resp=MESSAGE)
    def binary2ascii(self, node: Node, arg: Message) -> Message:
        """Convert the arguments of a message to text."""
        return binary2ascii(node.type, arg)

    @about(13 | READS, arg=MESSAGE, resp=MESSAGE)
    def ascii2binary(self, node: Node, arg: Message) -> Message:
        """Convert the arguments of a message to bytes."""
        if not arg.data:
            raise OSError(EINVAL, "a text has at least its NUL")
        text = arg.data[:-1].split(b"\0", 1)[0].decode("latin-1")
        return ascii2binary(node.type, arg, text)

    @about(14, resp=STRING)
    def textconfig(self, node: Node) -> str:
        """Set or tell a configuration in words; EINVAL if the type has none."""
        raise OSError(EINVAL, "textconfig is the node's own to answer")

    cookie: Final = GENERIC_COOKIE
    rows: Rows


class Control:
    """The messages of the control cookie."""

    @about(1 | READS, arg=NameOrNothing(), resp=Struct(Description))
    def describe(self, node: Node, arg: str) -> Description:
        """Describe the node's type, or the one named: its hooks, its messages and their shapes."""
        kind = node.graph.look(arg) if arg else node.type
        about = node if kind is node.type else kind.constructor
        names = getattr(about, "hook_names", None)
        form = getattr(about, "hook_form", "any name" if names is None else "")
        rows = [*kind.commands.all, *GENERIC.rows.all, *CONTROL.rows.all]
        commands = [
            CommandInfo(
                row.name, row.cookie or 0, row.cmd,
                row.arg.shape() if row.arg else "", row.resp.shape() if row.resp else "",
                row.doc.encode("latin-1", "replace").decode("latin-1"),
            )
            for row in rows
        ]  # fmt: skip
        return Description(kind.name, kind.cookie, list(names or ()), form, commands)

    @about(2 | READS, resp=Prefixed(Struct(HookStats)))
    def hookstats(self, node: Node) -> list[HookStats]:
        """Count what was sent out of each hook, the newest first, and what of it was lost."""
        return [
            HookStats(
                hook.name, hook.packets, hook.bytes,
                [DropCount(name, count) for name, count in hook.drop_names().items()],
            )
            for hook in reversed(node.hooks.values())
        ]  # fmt: skip

    @about(3 | READS, resp=Prefixed(STRING))
    def config(self, node: Node) -> list[str]:
        """List the ngctl lines that make this node's state again; its path in them is ``.``."""
        return node.config()

    @about(4 | READS, resp=Prefixed(STRING))
    def available(self, node: Node) -> list[str]:
        """List the types that could be used and were not yet."""
        graph = node.graph
        return sorted(set(graph.available()) - set(graph.types))

    @about(5 | READS, resp=Prefixed(Struct(Origin)))
    def origins(self, node: Node) -> list[Origin]:
        """List the types there are, where each comes from, and why it cannot be used."""
        return node.graph.origins()

    @about(INSERT, arg=Struct(Insert))
    def insert(self, node: Node, arg: Insert) -> None:
        """Put a new node into the live link at a hook; packets pass through it from then on."""
        insert(node.graph, hook_of(node, arg.hook), arg.type, arg.into, arg.out, arg.name)

    @about(BYPASS, arg=Struct(Bypass))
    def bypass(self, node: Node, arg: Bypass) -> None:
        """Take the node out of a live path: the peers of its hooks in and out are joined."""
        bypass(node.graph, node, arg.into, arg.out)

    cookie: Final = CONTROL_COOKIE
    rows: Rows


GENERIC: Final = Generic()
GENERIC.rows = rows_of(Generic, GENERIC_COOKIE)
CONTROL: Final = Control()
CONTROL.rows = rows_of(Control, CONTROL_COOKIE)

SHARED_ROWS: Final[dict[int, Generic | Control]] = {
    GENERIC_COOKIE: GENERIC,
    CONTROL_COOKIE: CONTROL,
}
PASSED: Final = frozenset({"textstatus", "textconfig"})
"""Generic messages that the node itself answers."""


# -- conversion


def binary2ascii(kind: INodeType, message: Message) -> Message:
    """
    Return *message* with its arguments as text and its ``cmdstr`` filled in.

    Args:
        kind: The type of the node that sent or gets it.
        message: In binary form.

    Raises:
        OSError: ENOSYS, *kind* knows no such message; EINVAL, the arguments
            do not have its layout.
    """
    row = kind.commands.find(message.cookie, message.cmd)
    if row is None and message.cookie in SHARED_ROWS:
        row = SHARED_ROWS[message.cookie].rows.find(message.cookie, message.cmd)
    if row is None:
        raise OSError(
            ENOSYS, f"a {kind.name} has no message {message.cmd} of cookie {message.cookie}"
        )
    layout = row.layout(message.is_response)
    text = "" if layout is None else layout.unparse(layout.unpack(message.data))
    return replace(message, cmdstr=row.name, data=text.encode("latin-1") + b"\0")


def ascii2binary(kind: INodeType, message: Message, text: str) -> Message:
    """
    Return *message* with the number its ``cmdstr`` names and *text* as bytes.

    A type's own names shadow the common ones.

    Raises:
        OSError: ENOSYS, *kind* has no message of that name.
        ParseError: The text's own; it carries the offset.
    """
    row = row_named(kind, message.cmdstr)
    if row is None:
        raise OSError(ENOSYS, f'a {kind.name} has no message "{message.cmdstr}"')
    layout = row.layout(message.is_response)
    if layout is not None:
        data = layout.pack(layout.parse(text))
    elif text.strip():
        at = len(text) - len(text.lstrip())
        raise ParseError(EINVAL, f"{row.name} takes no argument", at)
    else:
        data = b""
    assert row.cookie is not None
    return replace(message, cmd=row.cmd, cookie=row.cookie, data=data)


def row_named(kind: INodeType, name: str) -> Row | None:
    """Return the row of that ASCII name, the type's own before the common ones, or None."""
    return kind.commands.named(name) or GENERIC.rows.named(name) or CONTROL.rows.named(name)


def message_names(kind: INodeType) -> list[str]:
    """Return the ASCII names of the messages a node of type *kind* understands."""
    rows = [*kind.commands.all, *GENERIC.rows.all, *CONTROL.rows.all]
    return list(dict.fromkeys(row.name for row in rows))
