"""check_socket_kpi: the promises that every implementation of the socket KPI keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from zope.interface import Interface
from zope.interface.verify import verifyObject

from ngksock.interfaces import ISocketKPI, ISocketKPIProvider
from ngksock.testing.kpi.registry import CHECKS, Verdict, statement
from ngksock.testing.kpi.table import COLUMNS, TABLE
from ngksock.testing.kpi.world import SocketWorld

__all__ = ["check_socket_kpi", "run_check"]


async def check_socket_kpi(
    world: SocketWorld,
    numbers: Iterable[int] | None = None,
    *,
    exceptions: Mapping[int, Verdict] | None = None,
) -> None:
    """
    Hold sockets to the socket KPI, check by check.

    Each check has fresh sockets, which are closed after it; then no
    descriptor, reader, writer or delayed call may be left.

    Args:
        world: The sockets.  Its ``column`` says which column of the table
            they are held to.
        numbers: Which checks, of 1 to 94; None: all that apply.
        exceptions: Verdicts in place of the table's, by number: `differs` or
            `na` of `ngksock.testing.kpi.registry`.

    Raises:
        AssertionError: A check does not hold; the text says which.
        zope.interface.Invalid: An interface is not provided.
    """
    verdicts = {number: row[world.column] for number, row in TABLE.items()} | dict(exceptions or {})
    await _begin(world)
    _verify(ISocketKPIProvider, world.provider)
    so = world.provider.socket(world.domain, world.type, world.protocol)
    _verify(ISocketKPI, so)
    world.mine(so)
    await world.close()
    for number in sorted(TABLE if numbers is None else numbers):
        if verdicts[number].word != "n/a":
            await run_check(world, number, verdicts[number])


async def _begin(world: SocketWorld) -> None:
    await world.pause(0)  # a reactor that begins to run makes what it needs itself
    world.open()


def _verify(interface: type[Interface], thing: Any) -> None:
    verifyObject(interface, thing)


async def run_check(world: SocketWorld, number: int, what: Verdict | None = None) -> None:
    """
    Run one check, or what is so instead, and claim that nothing is left.

    Args:
        world: The sockets.
        number: Which check.
        what: Its verdict; None: the table's.

    Raises:
        AssertionError: It does not hold, or something is left.
    """
    what = TABLE[number][world.column] if what is None else what
    function = what.variant or CHECKS[number]
    where = f"check {number}, {COLUMNS.get(world.column, world.column)}: {statement(function)}"
    await _begin(world)
    try:
        await function(world)
    except Exception as error:
        world.abandon()
        text = error if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
        raise AssertionError(f"{where} -- {text}") from error
    try:
        await world.close()
    except AssertionError as error:
        raise AssertionError(f"{where} -- {error}") from error
