"""``watch``: the counters of hooks, and what they gained, again and again."""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from contextlib import suppress
from errno import ENOENT, ENXIO
from typing import Any, NamedTuple

from ngksock.client.port import ClientPort
from ngksock.netgraph.controlforms import HookStats
from ngksock.netgraph.generic import READS
from ngksock.netgraph.layout import Prefixed, Struct
from ngksock.netgraph.message import CONTROL_COOKIE

__all__ = ["watch"]

HOOKSTATS = 2 | READS


class Count(NamedTuple):
    """What went out of a hook so far."""

    packets: int
    octets: int
    drops: dict[str, int]


Counts = dict[tuple[str, str], Count]


def watch(
    port: ClientPort,
    path: str | None,
    every: float,
    times: float | None,
    say: Callable[[str], None],
    tell: Callable[[Any], None] | None,
) -> None:
    """
    Show counters until *times* are shown, or Ctrl-C.

    Args:
        port: The daemon.
        path: Whose hooks; None: those of all nodes.
        every: Seconds between two looks.
        times: How often; None: until Ctrl-C.
        say: Prints text.
        tell: Prints values as JSON instead, if it is not None.
    """
    before: Counts = {}
    looked = time.monotonic()
    shown = 0
    with suppress(KeyboardInterrupt):
        while times is None or shown < times:
            if shown:
                select.select((), (), (), every)
            now, counts = time.monotonic(), _counts(port, path)
            gained = _rates(before, counts, now - looked) if shown else {}
            if tell is not None:
                tell([_value(key, counts[key], gained.get(key)) for key in counts])
            else:
                say("\n".join(_table(counts, gained)))
            before, looked = counts, now
            shown += 1


def _counts(port: ClientPort, path: str | None) -> Counts:
    layout = Prefixed(Struct(HookStats))
    if path is not None:
        places = [(path, path)]
    else:
        own = port.node.id
        places = [
            (f"[{info.id:x}]:", f"{info.name}:" if info.name else f"[{info.id:x}]:")
            for info in port.nodes()
            if info.id != own and info.hooks
        ]
    found: Counts = {}
    for address, shown in places:
        try:
            stats = port.ask(address, HOOKSTATS, layout, CONTROL_COOKIE)
        except OSError as error:
            if path is not None or error.errno not in (ENOENT, ENXIO):
                raise
            continue  # it has ended since it was listed
        for hook in reversed(stats):
            drops = {drop.errno: drop.packets for drop in hook.drops}
            found[shown, hook.hook] = Count(hook.packets, hook.bytes, drops)
    return found


def _rates(
    before: Counts, now: Counts, seconds: float
) -> dict[tuple[str, str], tuple[float, float]]:
    seconds = max(seconds, 0.001)
    rates = {}
    for key, count in now.items():
        old = before.get(key)
        if old is not None and old.packets <= count.packets:
            rates[key] = (
                (count.packets - old.packets) / seconds,
                (count.octets - old.octets) / seconds,
            )
    return rates


def _table(counts: Counts, gained: dict[tuple[str, str], tuple[float, float]]) -> list[str]:
    lines = [
        f"  {'Node':<15} {'Hook':<15} {'Packets':>12} {'per s':>10} {'Bytes':>15} {'per s':>12}"
        "  Dropped"
    ]
    for (node, hook), count in counts.items():
        packets, octets = gained.get((node, hook), (0.0, 0.0))
        drops = ", ".join(f"{number} {name}" for name, number in count.drops.items()) or "0"
        lines.append(
            f"  {node:<15} {hook:<15} {count.packets:>12} {packets:>10.0f} "
            f"{count.octets:>15} {octets:>12.0f}  {drops}"
        )
    return lines


def _value(
    key: tuple[str, str], count: Count, gained: tuple[float, float] | None
) -> dict[str, Any]:
    packets, octets = gained or (None, None)
    return {
        "node": key[0],
        "hook": key[1],
        "packets": count.packets,
        "bytes": count.octets,
        "packets_per_s": packets,
        "bytes_per_s": octets,
        "drops": count.drops,
    }
