"""The bench itself: its graphs, its tables, and that it can fail."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.bench import compare
from tests.bench.compare import GROUPS, TESTS, kind
from tests.bench.product import GRAPHS, product, refusal
from tests.bench.relay import Relay, fill
from tests.bench.report import Table, markdown, ratio, tables, value
from tests.bench.settings import HERE, opt
from tests.bench.targets import TARGETS, judge


def measurement(test: str, relay: str, number: int, v: float, **more: Any) -> dict[str, Any]:
    return {"test": test, "relay": relay, "round": number, "noise": 0.0, "v": v} | more


class GraphTests(SynchronousTestCase):
    def test_graphs(self) -> None:
        """Every graph is one that the service takes, unless a type of it is not there."""
        for name, row in product().items():
            note = row.get("note", "")
            self.assertTrue(not note or "no node type" in note, f"{name}: {note}")

    def test_refused(self) -> None:
        """A graph that the service does not take is said to be so, in its words."""
        self.assertIn('no node type "nonsense"', refusal("mkpeer nonsense a b\n"))

    def test_files(self) -> None:
        """Each file in the folder of graphs is a row, and each row has a file."""
        files = {path.stem for path in (HERE / "graphs").glob("*.ng")}
        self.assertEqual(set(GRAPHS), files)

    def test_tests(self) -> None:
        """Rows and targets name tests that there are; every test measures something known."""
        named = {test for tests in GRAPHS.values() for test in tests} - set(GROUPS)
        named |= {target.test for target in TARGETS if target.row}
        self.assertEqual(set(), named - set(TESTS))
        self.assertEqual(set(TESTS), {test for tests in GROUPS.values() for test in tests}
                         | {"idle10k"})  # fmt: skip
        kinds = {"check", "bulk", "rr", "crr", "udp", "idle"}
        self.assertEqual(kinds, {kind(test) for test in TESTS})

    def test_fill(self) -> None:
        """Names in braces are replaced, and a graph's own braces stay."""
        self.assertEqual("{ a=1 } 7", fill("{ a=1 } {port}", {"port": 7}))


class RoundTests(SynchronousTestCase):
    def test_spare(self) -> None:
        """Disturbed measurements are repeated until the time for repeats is used up."""
        made: list[str] = []

        def measure(relay: Relay, test: str) -> dict[str, Any]:
            made.append(test)
            return measurement(test, "x", 0, 1) | {"noise": 0.9}

        self.patch(compare, "_measure", measure)
        relay = Relay("x", {"cmd": ""}, GROUPS)
        for spare, expected in ((100.0, 3), (0.0, 1)):
            self.patch(opt, "spare", spare)
            self.patch(opt, "retries", 2)
            made.clear()
            compare._quietest(relay, "bulk")
            self.assertEqual(expected, len(made))


class ReportTests(SynchronousTestCase):
    def setUp(self) -> None:
        rates = {"direct": (8, 20, 10), "ngksock-forward": (4, 30, 5), "socat": (1, 1, 1)}
        self.results = [
            measurement("bulk", relay, number, v, cpu=0.5, util=1.0)
            for relay, values in rates.items()
            for number, v in enumerate(values)
        ]

    def test_ratio(self) -> None:
        """A ratio is the median of those within rounds, not that of the medians."""
        self.assertEqual(5, value(self.results, "bulk", "ngksock-forward"))
        self.assertEqual(0.5, ratio(self.results, "bulk", "ngksock-forward", "direct"))

    def test_quiet(self) -> None:
        """Disturbed measurements do not count where there are three that were not."""
        for number, v in enumerate((100, 100), 3):
            self.results.append(measurement("bulk", "socat", number, v) | {"noise": 0.9})
        self.assertEqual(1, value(self.results, "bulk", "socat"))

    def test_quiet_ratio(self) -> None:
        """A ratio is of rounds that left both undisturbed, where there are three of them."""
        for number, v in enumerate((100, 100, 100, 100), 3):
            self.results.append(measurement("bulk", "direct", number, v))
            more = measurement("bulk", "ngksock-forward", number, 900) | {"noise": 0.9}
            self.results.append(more)
        self.assertEqual(0.5, ratio(self.results, "bulk", "ngksock-forward", "direct"))

    def test_failed(self) -> None:
        """A relay that failed stays in its table, with the reason."""
        failed = {"test": "bulk", "relay": "nginx", "round": 0, "noise": 0.0, "error": "no start"}
        self.results.append(failed)
        (table,) = tables(self.results, ["direct", "ngksock-forward", "socat", "nginx"])
        self.assertEqual(
            ["direct", "ngksock-forward", "socat", "nginx"], [r[0] for r in table.rows]
        )
        self.assertEqual("no start", table.rows[-1][-1])
        self.assertEqual({len(table.header)}, {len(row) for row in table.rows})

    def test_judge(self) -> None:
        """A target is met, missed or not measured."""
        micro = {"load 10000 nodes, star, s": 4.0}
        verdicts = {(row[0], row[2]): row[5] for row in judge(self.results, micro).rows}
        self.assertEqual("met", verdicts["TCP bulk, 1", "socat"])
        self.assertEqual("missed", verdicts["TCP bulk, 1", "direct"])
        self.assertEqual("missed", verdicts["10,000 nodes from a file, star, s", "–"])
        self.assertEqual("not measured", verdicts["TCP bulk, 1", "haproxy"])
        self.assertNotIn(("TLS bulk", "socat-tls"), verdicts)  # no such test was made

    def test_markup(self) -> None:
        """A table holds every cell, on one line, and what is markup itself is escaped."""
        table = Table("T", ["a", "b"], [["x", "1*2\nor|3"]])
        expected = "## T\n\n| a | b          |\n|---|------------|\n| x | 1\\*2 or\\|3 |"
        self.assertEqual(expected, markdown(table))
