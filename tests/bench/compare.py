"""The rounds: every relay once a round, in rotated order, one measurement a test."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from tests.bench.checks import check, tcheck, ucheck
from tests.bench.datagrams import datagrams, open_loop
from tests.bench.idle import idle
from tests.bench.machine import busy_cpu
from tests.bench.relay import Relay
from tests.bench.settings import opt
from tests.bench.streams import bulk, crr, rr

__all__ = ["GROUPS", "TESTS", "Results", "compare", "kind", "net"]

Results = list[dict[str, Any]]
"""Measurements: ``test``, ``relay``, ``round``, ``noise``, and ``v`` or ``error``."""


TESTS: Final[dict[str, Callable[[Relay], dict[str, Any]]]] = {
    "check": check,
    "bulk": lambda relay: bulk(relay, 1),
    "bulk16": lambda relay: bulk(relay, 16),
    "cheap": lambda relay: bulk(relay, 1, cheap=True),
    "cheap16": lambda relay: bulk(relay, 16, cheap=True),
    "rr": rr,
    "crr": crr,
    "idle": lambda relay: idle(relay, 1000),
    "idle10k": lambda relay: idle(relay, 10000),
    "tcheck": tcheck,
    "tbulk": lambda relay: bulk(relay, 1, tls=True),
    "tcrr": lambda relay: crr(relay, tls=True),
    "ucheck": ucheck,
    "udp64": lambda relay: datagrams(relay, 64),
    "udp512": lambda relay: datagrams(relay, 512),
    "udp1400": lambda relay: datagrams(relay, 1400),
    "gudp1400": lambda relay: datagrams(relay, 1400, segments=True),
    "open64": lambda relay: open_loop(relay, 64),
    "open512": lambda relay: open_loop(relay, 512),
    "open1400": lambda relay: open_loop(relay, 1400),
    "fcheck": lambda relay: ucheck(relay, opt.fan),
    "fan64": lambda relay: datagrams(relay, 64, opt.fan),
    "fan512": lambda relay: datagrams(relay, 512, opt.fan),
    "fan1400": lambda relay: datagrams(relay, 1400, opt.fan),
    "lcheck": check,
    "lbulk": lambda relay: bulk(relay, 1),
    "lrr": rr,
    "lcrr": crr,
    "dcheck": ucheck,
    "dgram512": lambda relay: datagrams(relay, 512),
}
"""Each test by its name: what it does to a relay that has been started."""

GROUPS: Final = {
    "tcp": ["check", "bulk", "bulk16", "cheap", "cheap16", "rr", "crr", "idle"],
    "tls": ["tcheck", "tbulk", "tcrr"],
    "udp": ["ucheck", "udp64", "udp512", "udp1400", "gudp1400", "open64", "open512", "open1400"],
    "fanout": ["fcheck", "fan64", "fan512", "fan1400"],
    "unix": ["lcheck", "lbulk", "lrr", "lcrr"],
    "unixgram": ["dcheck", "dgram512"],
}
CHECKS: Final = frozenset({"check", "tcheck", "ucheck", "fcheck", "lcheck", "dcheck"})


def kind(test: str) -> str:
    """Return what *test* measures: check, bulk, rr, crr, udp or idle."""
    if test in CHECKS:
        return "check"
    for name, start in (("crr", ("crr", "tcrr", "lcrr")), ("rr", ("rr", "lrr"))):
        if test in start:
            return name
    if test.startswith("idle"):
        return "idle"
    return "bulk" if test.rstrip("16") in ("bulk", "cheap", "tbulk", "lbulk") else "udp"


def net(test: str) -> tuple[str, int, bool]:
    """Return the kind of socket for *test*, how many targets, and whether it is to be alone."""
    if test in GROUPS["fanout"]:
        return "udp", opt.fan, False
    if test in GROUPS["udp"]:
        return "udp", 1, False
    if test in GROUPS["unixgram"]:
        return "unixgram", 1, False
    if test in GROUPS["unix"]:
        return "unix", 1, False
    return "tcp", 1, kind(test) == "idle"  # memory is that of a fresh process


def _measure(relay: Relay, test: str) -> dict[str, Any]:
    """Measure once, with the CPU share that foreign processes took meanwhile."""
    busy, own, used, began = busy_cpu(), os.times(), relay.cpu(), time.monotonic()
    try:
        result = TESTS[test](relay)
    except (RuntimeError, OSError) as error:
        result = {"error": str(error)}
    now, ended = os.times(), time.monotonic()
    ours = sum(now[:4]) - sum(own[:4]) + relay.cpu() - used
    result["noise"] = max(0.0, (busy_cpu() - busy - ours) / (ended - began))
    return result


def _quietest(relay: Relay, test: str) -> dict[str, Any]:
    """Measure, again while others disturb it; the least disturbed one counts."""
    best: dict[str, Any] | None = None
    repeats = 0 if kind(test) in ("check", "idle") else opt.retries
    for turn in range(repeats + 1):
        began = time.monotonic()
        result = _measure(relay, test)
        if turn:
            opt.spare -= time.monotonic() - began
        if best is None or ("error" in best, best["noise"]) > (
            "error" in result,
            result["noise"],
        ):
            best = result
        if best["noise"] <= opt.quiet or opt.spare <= 0:
            break
    assert best is not None  # the loop ran once at least
    return best


def _batches(relay: Relay, tests: Sequence[str], round_: int) -> list[list[str]]:
    """Return the tests of *relay* in this round, in groups for which it is started once."""
    once = {"check", "idle"}
    todo = [t for t in tests if t in relay.tests and not (round_ and kind(t) in once)]
    groups: dict[tuple[object, ...], list[str]] = {}
    for test in todo:
        key = (*net(test), test if net(test)[2] else "")
        groups.setdefault(key, []).append(test)
    return list(groups.values())


def compare(relays: Sequence[Relay], tests: Sequence[str], results: Results) -> None:
    """Run all rounds, appending to *results*; those there are stay if it is interrupted."""
    began = time.monotonic()
    complained: set[tuple[str, str]] = set()
    try:
        for number in range(opt.runs):
            turn = number % max(1, len(relays))
            for relay in [*relays[turn:], *relays[:turn]]:
                for group in _batches(relay, tests, number):
                    if time.monotonic() - began > opt.max_minutes * 60:
                        continue
                    for result in _run(relay, group):
                        result |= {"relay": relay.name, "round": number}
                        results.append(result)
                        key = (relay.name, result["test"])
                        if "error" in result and key not in complained:
                            complained.add(key)
                            print(*key, result["error"], file=sys.stderr, flush=True)
            passed = time.monotonic() - began
            print(f"round {number + 1} done, {passed:.0f} s", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
    finally:
        for relay in relays:
            relay.stop()


def _run(relay: Relay, group: list[str]) -> list[dict[str, Any]]:
    """Start *relay*, do the tests of *group*, stop it."""
    where, fan, _ = net(group[0])
    try:
        relay.start(where, fan)
    except (RuntimeError, OSError) as error:
        return [{"test": test, "error": str(error), "noise": 0.0} for test in group]
    try:
        return [{"test": test} | _quietest(relay, test) for test in group]
    finally:
        relay.stop()
