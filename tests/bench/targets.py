"""The targets of the data path, and where the figures of a run stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from tests.bench.compare import Results, kind
from tests.bench.report import Table, ratio, show, value

__all__ = ["TARGETS", "Target", "judge"]


class Target(NamedTuple):
    """
    One promise.

    Args:
        job: What it is about, for people.
        test: The test, or the name of a microbenchmark.
        row: The graph whose figure counts, or nothing for a microbenchmark.
        what: Which figure: ``v``, ``cpu`` or ``p99``.
        base: The relay it is divided by; nothing: it is taken as it is.
        bound: What it must reach; with ``most`` what it may not exceed.
    """

    job: str
    test: str
    row: str
    what: str
    base: str
    bound: float
    most: bool = False


def _least(job: str, test: str, row: str, **bounds: float) -> list[Target]:
    return [
        Target(job, test, row, "v", base.replace("_", "-"), bound) for base, bound in bounds.items()
    ]


def _tcp() -> list[Target]:
    bulk, bulk16, rr, crr = (
        ("TCP bulk, 1", "bulk", "ngksock-forward"),
        ("TCP bulk, 16", "bulk16", "ngksock-forward"),
        ("ping-pong p50", "rr", "ngksock-forward"),
        ("connections/s", "crr", "ngksock-forward"),
    )
    portforward = "twistd-portforward"
    return [
        *_least(*bulk, socat=2.4, haproxy=1.7, haproxy_splice=0.9, direct=0.65),
        Target(*bulk, "v", portforward, 2.0),
        Target(*bulk, "cpu", "c-splice", 1.3, True),
        *_least(*bulk16, socat=2.4, haproxy=1.8, haproxy_splice=0.85, direct=0.6),
        Target(*bulk16, "v", portforward, 3.0),
        Target(*rr, "v", "socat", 1.1, True),
        Target(*rr, "v", "haproxy", 1.1, True),
        Target(*rr, "v", "direct", 2.7, True),
        Target(*rr, "v", portforward, 0.8, True),
        Target("ping-pong p99", *rr[1:], "p99", "haproxy", 1.3, True),
        *_least(*crr, socat=5, haproxy=0.7, direct=0.5),
        Target(*crr, "v", portforward, 2.3),
        *_least(
            "aim: the best tuned peer", *bulk[1:], socat_b256k=1.0, nginx_b256k=1.0, c_splice=1.0
        ),
        Target("ten nodes in the path, TCP", "bulk", "ngksock-ten", "v", "ngksock-forward", 0.9),
        Target("idle memory, KiB a connection", "idle", "ngksock-forward", "v", "", 6, True),
        Target("idle memory", "idle", "ngksock-forward", "v", portforward, 2.5, True),
        Target("idle memory, 10,000 connections", "idle10k", "ngksock-forward", "v", "", 6, True),
    ]


def _udp() -> list[Target]:
    found = []
    for size in (64, 1400):
        one = (f"UDP 1 to 1, {size} B", f"udp{size}", "ngksock-udp")
        found += [
            *_least(*one, socat_udp=2.8, direct=0.6, twisted_datagram=2.4, nginx_udp=1.4),
            *_least(*one, c_udp_mmsg=0.85),
        ]
    found.append(
        Target("ten nodes in the path, UDP", "udp64", "ngksock-udp-ten", "v", "ngksock-udp", 0.9)
    )
    for size in (64, 1400):
        for graph in ("fan-one2many", "fan-hub"):
            fan = (f"UDP 1 to 4, {size} B, {graph[4:]}", f"fan{size}", f"ngksock-{graph}")
            found += _least(*fan, twisted_datagram=4, c_udp_plain=2.0, c_udp_mmsggso=0.75)
    return found


def _tls() -> list[Target]:
    bulk = ("TLS bulk", "tbulk", "ngksock-tls")
    return [
        *_least(*bulk, socat_tls=1.1, haproxy_tls=1.0, twistd_tls=1.4),
        Target("TLS handshake, CPU", "tcrr", "ngksock-tls", "cpu", "haproxy-tls", 1.0, True),
    ]


TARGETS: Final = [
    *_tcp(),
    *_udp(),
    *_tls(),
    *(
        Target(
            f"10,000 nodes from a file, {shape}, {unit}",
            f"load 10000 nodes, {shape}, {unit}",
            "",
            "v",
            "",
            3,
            True,
        )
        for shape in ("chain", "star")
        for unit in ("s", "KiB a node")
    ),
    Target("a node with only rcvdata to a plain hop", "third party / hop", "", "v", "", 1.3, True),
]


def _by_cpu(results: Results, target: Target) -> str:
    if target.what != "v" or not target.base or kind(target.test) == "idle":
        return ""
    names = (target.row, target.base)
    ours, theirs = names if target.most else reversed(names)
    figure = ratio(results, target.test, ours, theirs, "cpu")
    return show(figure) if figure is not None else ""


def judge(results: Results, micro: Mapping[str, float]) -> Table:
    """
    Return the table of targets whose test was made: met, or missed, with the figure.

    The last column holds what the ratio is by CPU time, which a loaded machine
    disturbs less: how much more the other used for the same, or of a time how
    much we did.
    """
    table = Table("Targets", ["job", "figure", "against", "target", "measured", "", "by CPU"])
    made = {result["test"] for result in results} | set(micro)
    for target in TARGETS:
        if target.test not in made:
            continue
        if not target.row:
            figure = micro.get(target.test)
        elif target.base:
            figure = ratio(results, target.test, target.row, target.base, target.what)
        else:
            figure = value(results, target.test, target.row, target.what)
        sign = "<=" if target.most else ">="
        verdict = "not measured"
        if figure is not None:
            met = figure <= target.bound if target.most else figure >= target.bound
            verdict = "met" if met else "missed"
        name = {"v": "", "cpu": "CPU", "p99": "p99"}[target.what]
        table.rows.append(
            [target.job, f"{target.row or 'core'} {name}".strip(), target.base or "–",
             f"{sign} {target.bound:g}", show(figure), verdict, _by_cpu(results, target)]
        )  # fmt: skip
    return table
