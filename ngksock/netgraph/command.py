"""One row per control message: `command` and `command_later`.

A row says everything about a message once: number, ASCII name, layouts of
argument and response.  From it come dispatch, the arglen check, both forms,
``help``, the manual page and the property tests.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from errno import EINVAL
from typing import Any, Generic, TypeVar, overload

from ngksock.netgraph.layout import ParseType
from ngksock.netgraph.message import Item

__all__ = ["Reply", "Row", "Rows", "command", "command_later", "rows_of"]

N = TypeVar("N")
A = TypeVar("A")
R = TypeVar("R")


class Reply(Generic[R]):
    """
    The right to answer one request, later and at most once.

    It owns the token and the return address, which are fixed before anything
    can complete.  A requester that is gone by then is no error: the answer is
    dropped.  ``source`` is the requester's id.
    """

    __slots__ = ("_item", "_row", "_send", "source")

    def __init__(self, row: Row, item: Item, send: Callable[..., None]) -> None:
        self.source = item.source
        self._row = row
        self._item: Item | None = item
        self._send = send

    def __call__(self, value: R, source: int | None = None) -> None:
        """
        Answer the request; a second answer is ignored.

        Args:
            value: The response.
            source: The id of the node the answer is said to come from, if
                not the one that was asked (netgraph.md §7.7).
        """
        item, self._item = self._item, None
        if item is not None:
            row = self._row
            assert row.resp is not None  # else there would be nothing to reply
            self._send(item, row.resp.pack(value), row.cmdstr, source)


@dataclass(frozen=True, slots=True)
class Row:
    """
    One control message of a type.

    ``cookie`` is None until `rows_of` fills in the type's own; ``method`` is
    the name of the attribute that carries the command out.
    """

    cmd: int
    name: str
    method: str
    arg: ParseType[Any] | None
    resp: ParseType[Any] | None
    cookie: int | None
    later: bool
    lenient: bool
    cmdstr: str
    doc: str

    def layout(self, response: bool) -> ParseType[Any] | None:
        """Return the layout of the response, or of the request."""
        return self.resp if response else self.arg

    def unpack(self, data: bytes) -> tuple[Any, ...]:
        """
        Return the arguments for the method: none, or one.

        Raises:
            OSError: EINVAL, *data* is not of this message's length.
        """
        if self.arg is not None:
            return (self.arg.unpack(data),)
        if data and not self.lenient:
            raise OSError(EINVAL, f"{self.name} takes no argument, {len(data)} bytes were sent")
        return ()

    def call(self, target: object, item: Item, reply: Callable[..., None], *first: object) -> None:
        """
        Carry out *item*: unpack, call the method, send what it returns.

        Args:
            target: Whose method it is.
            item: The request.
            reply: ``reply(item, data, cmdstr, source)`` queues a response.
            first: Arguments to put before the message's own.

        Raises:
            OSError: The command's errno; nothing was replied then.
        """
        given = item.given
        args = self.unpack(item.message.data) if given is None or given[0] is not self else given[1]
        method = getattr(target, self.method)
        if self.later:
            method(*first, *args, Reply(self, item, reply))
            return
        result = method(*first, *args)
        if self.resp is not None:
            reply(item, self.resp.pack(result))


def _row(
    cmd: int,
    name: str | None,
    arg: ParseType[Any] | None,
    resp: ParseType[Any] | None,
    cookie: int | None,
    later: bool = False,
    lenient: bool = False,
    cmdstr: str = "",
) -> Callable[[Any], Any]:
    def decorate(method: Any) -> Any:
        ascii_name = name or method.__name__
        doc = inspect.getdoc(method) or ""
        method.netgraph_row = Row(
            cmd, ascii_name, method.__name__, arg, resp, cookie, later, lenient, cmdstr, doc
        )
        return method

    return decorate


@overload
def command(
    cmd: int, name: str | None = None, *, cookie: int | None = None, lenient: bool = False
) -> Callable[[Callable[[N], None]], Callable[[N], None]]: ...
@overload
def command(
    cmd: int, name: str | None = None, *, arg: ParseType[A], cookie: int | None = None
) -> Callable[[Callable[[N, A], None]], Callable[[N, A], None]]: ...
@overload
def command(
    cmd: int,
    name: str | None = None,
    *,
    resp: ParseType[R],
    cookie: int | None = None,
    lenient: bool = False,
) -> Callable[[Callable[[N], R]], Callable[[N], R]]: ...
@overload
def command(
    cmd: int,
    name: str | None = None,
    *,
    arg: ParseType[A],
    resp: ParseType[R],
    cookie: int | None = None,
) -> Callable[[Callable[[N, A], R]], Callable[[N, A], R]]: ...
def command(
    cmd: int,
    name: str | None = None,
    *,
    arg: ParseType[Any] | None = None,
    resp: ParseType[Any] | None = None,
    cookie: int | None = None,
    lenient: bool = False,
) -> Any:
    """
    Make a method of a node the answer to a control message.

    Args:
        cmd: The command number, READONLY and HASREPLY bits included.
        name: The ASCII name; by default the method's.
        arg: Layout of the argument, which the method takes; None: none.
        resp: Layout of the response, which the method returns; None: none.
        cookie: Of the message, if not the type's own.
        lenient: Whether arguments to a command that takes none are ignored.

    The method raises OSError to refuse.  Its docstring is the message's help.
    """
    return _row(cmd, name, arg, resp, cookie, lenient=lenient)


@overload
def command_later(
    cmd: int,
    name: str | None = None,
    *,
    resp: ParseType[R],
    cookie: int | None = None,
    cmdstr: str = "",
) -> Callable[[Callable[[N, Reply[R]], None]], Callable[[N, Reply[R]], None]]: ...
@overload
def command_later(
    cmd: int,
    name: str | None = None,
    *,
    arg: ParseType[A],
    resp: ParseType[R],
    cookie: int | None = None,
    cmdstr: str = "",
) -> Callable[[Callable[[N, A, Reply[R]], None]], Callable[[N, A, Reply[R]], None]]: ...
def command_later(
    cmd: int,
    name: str | None = None,
    *,
    arg: ParseType[Any] | None = None,
    resp: ParseType[Any],
    cookie: int | None = None,
    cmdstr: str = "",
) -> Any:
    """
    As `command`, for a method that answers when it can: its last argument is a `Reply`.

    Args:
        cmdstr: The name in the header of the late response (netgraph.md §2.3).
    """
    return _row(cmd, name, arg, resp, cookie, later=True, cmdstr=cmdstr)


class Rows:
    """
    The rows of a type, found by number or by ASCII name.

    Args:
        rows: In the order in which help and manual show them.

    Raises:
        ValueError: Two rows share a number or a name.
    """

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self.all = tuple(rows)
        self._by_number = {(row.cookie, row.cmd): row for row in self.all}
        self._by_name = {row.name: row for row in self.all}
        if not len(self.all) == len(self._by_number) == len(self._by_name):
            raise ValueError("two control messages share a number or a name")

    def find(self, cookie: int, cmd: int) -> Row | None:
        """Return the row of that number, or None."""
        return self._by_number.get((cookie, cmd))

    def named(self, name: str) -> Row | None:
        """Return the row of that ASCII name, or None."""
        return self._by_name.get(name)


def rows_of(cls: type, cookie: int) -> Rows:
    """Collect the rows of the methods of *cls*; those without a cookie get *cookie*."""
    rows: dict[str, Row] = {}
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            row = getattr(value, "netgraph_row", None)
            if isinstance(row, Row):
                own = cookie if row.cookie is None else row.cookie
                rows[name] = Row(
                    row.cmd, row.name, name, row.arg, row.resp, own,
                    row.later, row.lenient, row.cmdstr, row.doc,
                )  # fmt: skip
    return Rows(rows.values())
