"""The 94 checks of kpi-socket.md §16, each where it holds or differs: the table is the tests.

Every cell of `ngksock.testing.kpi.TABLE` that is not n/a is a test here,
``test_NUMBER_COLUMN``, in the class of its column.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.trial.unittest import SynchronousTestCase, TestCase

from ngksock.testing.kpi import COLUMNS, TABLE, run_check
from ngksock.testing.kpi.registry import CHECKS, COUNT, Verdict, statement
from tests.kpi.worlds import make_world


class Column(TestCase):
    """The tests of one column."""

    timeout = 12
    column = ""

    async def check(self, number: int) -> None:
        """Run check *number* for the column."""
        await run_check(make_world(self.column, self.flushLoggedErrors), number)


def _test(number: int, column: str, what: Verdict) -> Callable[[Column], Coroutine[Any, Any, None]]:
    async def test(self: Column) -> None:
        await self.check(number)

    test.__name__ = test.__qualname__ = f"test_{number}_{column}"
    test.__doc__ = statement(what.variant or CHECKS[number])
    return test


def _case(column: str) -> type[Column]:
    tests = {
        f"test_{number}_{column}": _test(number, column, row[column])
        for number, row in TABLE.items()
        if row[column].word != "n/a"
    }
    name = "".join(word.capitalize() for word in column.split("_")) + "Checks"
    attributes = {"column": column, "__module__": __name__, "__doc__": COLUMNS[column], **tests}
    made: type[Column] = type(name, (Column,), attributes)
    return made


Tcp4Checks = _case("tcp4")
Tcp6Checks = _case("tcp6")
LocalStreamChecks = _case("local_stream")
SeqpacketChecks = _case("seqpacket")
TlsChecks = _case("tls")
MemoryChecks = _case("memory")
Udp4Checks = _case("udp4")
Udp6Checks = _case("udp6")
LocalDgramChecks = _case("local_dgram")
RawChecks = _case("raw")
CASES = (
    Tcp4Checks,
    Tcp6Checks,
    LocalStreamChecks,
    SeqpacketChecks,
    TlsChecks,
    MemoryChecks,
    Udp4Checks,
    Udp6Checks,
    LocalDgramChecks,
    RawChecks,
)


class TableTests(SynchronousTestCase):
    def test_complete(self) -> None:
        """The table has a verdict for each of the 94 checks in each column."""
        self.assertEqual(list(range(1, COUNT + 1)), list(TABLE))
        for number, row in TABLE.items():
            self.assertEqual(list(COLUMNS), list(row), f"check {number}")

    def test_reasons(self) -> None:
        """What holds needs no reason; what differs has a test of how, and says it."""
        for row in TABLE.values():
            for what in row.values():
                self.assertIn(what.word, ("holds", "differs", "n/a"))
                self.assertEqual(what.word != "holds", bool(what.why))
                self.assertEqual(what.word == "differs", what.variant is not None)

    def test_held_somewhere(self) -> None:
        """Each check holds as it is written in one column at least."""
        never = [n for n, row in TABLE.items() if "holds" not in {v.word for v in row.values()}]
        self.assertEqual([], never)

    def test_parametrization(self) -> None:
        """Every cell that holds or differs is a test, with its number and statement."""
        expected = {
            f"test_{number}_{column}": statement(what.variant or CHECKS[number])
            for number, row in TABLE.items()
            for column, what in row.items()
            if what.word != "n/a"
        }
        found = {
            name: getattr(case, name).__doc__
            for case in CASES
            for name in dir(case)
            if name.startswith("test_")
        }
        self.assertEqual(expected, found)
