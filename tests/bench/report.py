"""Tables: medians, ratios within rounds, CPU a unit."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.bench.compare import TESTS, Results, kind
from tests.bench.settings import opt

__all__ = [
    "TITLES",
    "Table",
    "disturbance",
    "markdown",
    "median",
    "ratio",
    "show",
    "tables",
    "value",
]

UNITS: Final = {
    "bulk": ("Gbit/s", "CPU s/GB"),
    "rr": ("p50 us", "CPU us/turn"),
    "crr": ("conn/s", "CPU us/conn"),
    "udp": ("kpps", "CPU us/datagram"),
    "idle": ("KiB/conn", ""),
    "check": ("", ""),
}
LESS_IS_MORE: Final = ("rr", "idle")
TITLES: Final = {
    "bulk": "TCP, one connection",
    "bulk16": "TCP, 16 connections",
    "cheap": "TCP, one connection, ends that do not copy",
    "cheap16": "TCP, 16 connections, ends that do not copy",
    "rr": "TCP, ping-pong of 64 bytes",
    "crr": "TCP, connections per second",
    "idle": "TCP, memory of 1,000 idle connections",
    "idle10k": "TCP, memory of 10,000 idle connections",
    "tbulk": "TLS in, plaintext out",
    "tcrr": "TLS, connections per second, full handshakes",
    "lbulk": "Local stream sockets, one connection",
    "lrr": "Local stream sockets, ping-pong of 64 bytes",
    "lcrr": "Local stream sockets, connections per second",
    "dgram512": "Local datagram sockets, 512 bytes",
    **{f"udp{size}": f"UDP 1 to 1, {size} bytes" for size in (64, 512, 1400)},
    "gudp1400": "UDP 1 to 1, 1400 bytes, trains (UDP_SEGMENT, UDP_GRO)",
    **{f"open{size}": f"UDP 1 to 1, {size} bytes, fixed rate" for size in (64, 512, 1400)},
    **{f"fan{size}": f"UDP 1 to 4, {size} bytes" for size in (64, 512, 1400)},
}


@dataclass
class Table:
    """What is printed, whatever the markup."""

    title: str
    header: list[str]
    rows: list[list[str]] = field(default_factory=list)


def median(values: Iterable[float | None]) -> float | None:
    """Return the median of those that are there."""
    there = [number for number in values if number is not None]
    return statistics.median(there) if there else None


def _good(results: Results, test: str, relay: str) -> Results:
    """Return the measurements that count: the undisturbed ones, if they are enough."""
    found = [r for r in results if (r["test"], r["relay"]) == (test, relay) and "v" in r]
    quiet = [r for r in found if r["noise"] <= opt.quiet]
    return quiet if len(quiet) >= 3 else found


def value(results: Results, test: str, relay: str, what: str = "v") -> float | None:
    """Return the median of *what* over the rounds."""
    return median(r.get(what) for r in _good(results, test, relay))


def ratio(results: Results, test: str, relay: str, base: str, what: str = "v") -> float | None:
    """
    Return the median, over the rounds, of the ratio between two relays in one round.

    Where three rounds left both of them undisturbed, those alone count.
    """
    mine, theirs = (
        {r["round"]: r for r in results if (r["test"], r["relay"]) == (test, name) and r.get(what)}
        for name in (relay, base)
    )
    both = [(mine[number], theirs[number]) for number in mine if number in theirs]
    quiet = [pair for pair in both if all(r["noise"] <= opt.quiet for r in pair)]
    return median(ours[what] / other[what] for ours, other in (quiet if len(quiet) >= 3 else both))


def disturbance(results: Results) -> float:
    """Return the median of the CPUs that foreign processes used meanwhile."""
    return median(r["noise"] for r in results if "v" in r) or 0.0


def show(number: float | None, form: str = ".3g") -> str:
    """Return *number* for a table."""
    if number is None:
        return "–"
    return f"{number:.0f}" if abs(number) >= 1000 else format(number, form)


def _notes(all_: Results, good: Results) -> str:
    notes = []
    errors = sum(r.get("bad", 0) for r in good)
    if errors:
        notes.append(f"{errors} errors")
    loss = median(r.get("loss") for r in good)
    if loss is not None and loss > 0.001:
        notes.append(f"{loss:.2%} lost")
    failed = [r for r in all_ if "error" in r]
    if failed:
        notes.append(f"{len(failed)} failed: {failed[0]['error'][:60]}")
    noise = median(r["noise"] for r in good)
    if noise is not None and noise > opt.quiet:
        notes.append(f"others used {noise:.0%} CPU")
    return ", ".join(notes)


def _row(results: Results, test: str, relay: str, product: str) -> tuple[float, list[str]]:
    good = _good(results, test, relay)
    what = kind(test)
    median_ = median(r["v"] for r in good)
    cells = [relay, show(median_)]
    values = [r["v"] for r in good]
    spread = (max(values) - min(values)) / median_ * 100 if median_ else None
    cells.append(show(spread, ".0f"))
    if what == "rr":
        cells.append(show(value(results, test, relay, "p99")))
    direct = relay == "direct"
    if UNITS[what][1]:
        cells.append("–" if direct else show(value(results, test, relay, "cpu")))
    if what in ("bulk", "udp"):
        use = value(results, test, relay, "util")
        cells.append("–" if direct or use is None else f"{use * 100:.0f}")
    cells.append(show(ratio(results, test, relay, "direct"), ".2f"))
    same = relay == product
    cells.append("1" if same else show(ratio(results, test, product, relay), ".2f"))
    if UNITS[what][1]:
        cells.append("1" if same else show(ratio(results, test, product, relay, "cpu"), ".2f"))
    mine = [r for r in results if (r["test"], r["relay"]) == (test, relay)]
    cells.append(_notes(mine, good))
    return median_ or 0.0, cells


def tables(results: Results, relays: Sequence[str]) -> list[Table]:
    """Return a table for each test that was made, and one for the checks."""
    made = [test for test in TESTS if any(r["test"] == test for r in results)]
    found = []
    checks = Table("Correctness", ["relay", "check", "result"])
    for test in made:
        measured = [n for n in relays if any((r["test"], r["relay"]) == (test, n) for r in results)]
        what = kind(test)
        if what == "check":
            for name in measured:
                bad = [
                    r["error"]
                    for r in results
                    if (r["test"], r["relay"]) == (test, name) and "error" in r
                ]
                checks.rows.append([name, test, bad[0][:160] if bad else "ok"])
            continue
        product = next((name for name in measured if name.startswith("ngksock")), "")
        unit, cpu = UNITS[what]
        header = ["relay", unit, "spread %"] + (["p99 us"] if what == "rr" else [])
        header += ([cpu] if cpu else []) + (["busy %"] if what in ("bulk", "udp") else [])
        header += ["to direct", "ngksock to this", *(["its CPU to this"] if cpu else []), "notes"]
        table = Table(TITLES.get(test, test), header)
        good = [name for name in measured if _good(results, test, name)]
        ranked = sorted(
            (_row(results, test, name, product) for name in good),
            key=lambda pair: pair[0],
            reverse=what not in LESS_IS_MORE,
        )
        table.rows = [cells for _, cells in ranked]
        for name in measured:
            if name not in good:
                error = next(r["error"] for r in results if (r["test"], r["relay"]) == (test, name))
                table.rows.append([name, "failed", *[""] * (len(header) - 3), error[:60]])
        found.append(table)
    return ([checks] if checks.rows else []) + found


def _plain(cell: str) -> str:
    """Return *cell* on one line, with what would be markup escaped."""
    return re.sub(r"([\\`*|])", r"\\\1", " ".join(cell.split()))


def markdown(table: Table) -> str:
    """Return *table* in Markdown, aligned for those who read it as it is."""
    rows = [[_plain(cell) for cell in row] for row in (table.header, *table.rows)]
    wide = [max(len(row[n]) for row in rows) for n in range(len(table.header))]
    last = len(wide) - 1

    def line(cells: Sequence[str]) -> str:
        aligned: list[str] = []
        for n, cell in enumerate(cells):
            pad: Callable[[int], str] = cell.ljust if n in (0, last) else cell.rjust
            aligned.append(pad(wide[n]))
        return f"| {' | '.join(aligned)} |"

    rule = "|".join("-" * (n + 2) for n in wide)
    return "\n".join([f"## {table.title}", "", line(rows[0]), f"|{rule}|", *map(line, rows[1:])])
