"""The bench's command line.

    python -m tests.bench                all rows, at least five rounds, and docs/benchmarks
    python -m tests.bench quick          the chief rows in two minutes, nothing written
    python -m tests.bench profile        flame graphs, into docs/benchmarks
    python -m tests.bench micro          single steps: hops, messages, large files
    python -m tests.bench tlscost        where TLS spends its CPU
    python -m tests.bench compare ...    choose relays and tests, as below
    python -m tests.bench replay FILE    the tables of results that were kept

Every relay is a command; {listen} in it is the port it must listen on and {target}
the port it must forward to (all on 127.0.0.1, or paths of local sockets).  Fan-out
relays get {target1}..{targetN} or {targets}.  {tmp} is a folder with the relay's own
"files", {here} the folder of this program, {python} and {twistd} those programs,
{cert} a PEM file with a fresh P-256 key.

    compare --relay 'mine=socat TCP4-LISTEN:{listen},fork TCP4:127.0.0.1:{target}'
    compare --file relays.json --tests bulk,rr --runs 5 --only socat,haproxy,mine

A file of relays is JSON: {"NAME": {"cmd": "...", "tests": ["tcp"], "files": {...}}}.
"tests" are tests, or the groups tcp, tls, udp, fanout, unix, unixgram.

tests:
  check, tcheck, ucheck, fcheck, lcheck, dcheck
             correctness of TCP, TLS, UDP, UDP to several, local streams, local
             datagrams: both ways at once, half-close, SHA-256, boundaries, order
  bulk       TCP throughput, 1 connection   (ordinary send/recv endpoints)
  bulk16     the same with 16 connections
  cheap      1 connection, endpoints that do not copy (sendfile, MSG_TRUNC):
             shows the relay's own limit instead of the endpoints'
  cheap16    the same with 16 connections
  rr         TCP ping-pong of 64 bytes: p50, p99
  crr        connections per second (connect, 1 byte each way, close), 8 clients
  idle       KiB of memory for each of 1,000 idle connections; idle10k: of 10,000
  tbulk      TLS in, plaintext out: throughput of 1 connection
  tcrr       TLS connections per second (full handshake, 1 byte each way, close)
  udp64 udp512 udp1400          highest loss-free datagram rate (window of
             unanswered datagrams, so the source cannot outrun the relay)
  gudp1400   the same, source and sink using UDP_SEGMENT / UDP_GRO
  open64 open512 open1400       highest fixed rate with loss <= 0.1 %
  fan64 fan512 fan1400          as udp*, to --fan targets; input datagrams/s
  lbulk lrr lcrr dgram512       as bulk, rr, crr and udp512, with local sockets

The built-in relay "direct" has no relay in the path.  Rounds are interleaved:
each round runs every relay once, in rotated order, and ratios are the median
of the ratios within rounds.  CPU is the relay's own, in seconds a GB or in
microseconds an operation.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tests.bench.compare import GROUPS, TESTS, Results, compare, kind
from tests.bench.flame import flames
from tests.bench.install import install
from tests.bench.machine import describe
from tests.bench.product import product
from tests.bench.relay import Relay, certificate, raise_limit
from tests.bench.report import Table, disturbance, markdown, show, tables
from tests.bench.settings import HERE, ROOT, opt
from tests.bench.targets import judge
from tests.bench.tlscost import tls_costs

DOCS: Final = ROOT / "docs" / "benchmarks"
DIRECT: Final = [*GROUPS["tcp"], "udp", "unix", "unixgram"]
# Left out: the relay's own limit, the sizes between, and what searches for a rate.
RARE: Final = {"cheap", "cheap16", "udp512", "fan512", "open64", "open512", "open1400"}
FULL: Final = [test for test in TESTS if test not in RARE]
QUICK: Final = [
    "check", "bulk", "bulk16", "rr", "crr", "tcheck", "tbulk", "tcrr",
    "ucheck", "udp64", "fcheck", "fan1400",
]  # fmt: skip
QUICK_RELAYS: Final = [
    "direct", "socat", "haproxy", "haproxy-splice", "twistd-portforward", "c-splice",
    "ngksock-forward", "ngksock-ten", "haproxy-tls", "ngksock-tls",
    "c-udp-mmsg", "ngksock-udp", "ngksock-udp-ten",
    "c-udp-plain", "c-udp-mmsggso", "ngksock-fan-one2many",
]  # fmt: skip


def rows(files: Sequence[str], commands: Sequence[str]) -> list[Relay]:
    """Return all relays: ours, the peers, those of *files* and of *commands*."""
    direct = [test for test in DIRECT if kind(test) != "idle"]
    specs: dict[str, dict[str, Any]] = {"direct": {"cmd": "", "tests": direct}}
    specs |= json.loads((HERE / "peers.json").read_text())
    specs |= product()
    for name in files:
        specs |= json.loads(Path(name).read_text())
    for text in commands:
        name, _, command = text.partition("=")
        name, _, tests = name.partition("@")
        specs[name] = {"cmd": command, "tests": tests.split(",") if tests else ["tcp"]}
    return [Relay(name, spec, GROUPS) for name, spec in specs.items()]


def measured(relays: Sequence[Relay], tests: Sequence[str]) -> Results:
    """Run all rounds for those *relays* that have one of *tests* and can run."""
    todo = [relay for relay in relays if set(relay.tests) & set(tests)]
    for relay in todo:
        if relay.note:
            print(f"{relay.name} is left out: {relay.note}", file=sys.stderr)
    results: Results = []
    compare([relay for relay in todo if not relay.note], tests, results)
    return results


def microbenchmarks() -> dict[str, float]:
    """Return what single steps cost, in a process that did nothing else."""
    print("microbenchmarks", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "tests.bench.micro"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        return {}
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def steps(figures: dict[str, float]) -> Table:
    """Return the table of microbenchmarks."""
    found = Table("Single steps", ["step", "figure"])
    found.rows = [[name, show(figure)] for name, figure in figures.items()]
    return found


def tls_table() -> Table:
    """Return what TLS costs in memory, by this process and without its sockets."""
    head = ["by", "us a handshake", "s/GB decrypted", "s/GB encrypted"]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        return Table("TLS in memory, a server's side", head, tls_costs(certificate(folder)))


def pages(kept: dict[str, Any]) -> list[Table]:
    """Return all tables of what was kept of a run."""
    results, names = kept["results"], kept["relays"]
    micro = kept["micro"]
    judged = judge(results, micro)
    first = [judged] if judged.rows else []
    facts = Table("Machine and versions", ["what", "which"])
    facts.rows = [[name, text] for name, text in kept["machine"].items()]
    notes = Table("Left out", ["row", "why"])
    notes.rows = [[name, text] for name, text in kept["notes"].items()]
    rest = [steps(micro)] if micro else []
    noise = disturbance(results) if results else 0.0
    if noise > opt.quiet:
        facts.rows.append(["disturbance", f"others used {noise:.0%} of a CPU, in the median"])
    return [*first, *tables(results, names), *rest, facts, *([notes] if notes.rows else [])]


def preface(kept: dict[str, Any]) -> str:
    """Return how the figures came about, and whether the machine was busy."""
    noise = disturbance(kept["results"])
    if noise <= opt.quiet:
        return str(kept["how"])
    return (
        f"{kept['how']}\n\nOther processes used {noise:.0%} of a CPU meanwhile, in the median, of "
        f"{kept['machine']['CPU'].split()[0]}: the rates, and the ratios of rates, are disturbed; "
        "the columns of CPU time hold."
    )


def write(kept: dict[str, Any], folder: Path) -> None:
    """Write the results and their tables into *folder*."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(result, sort_keys=True) for result in kept["results"]]
    rest = {name: part for name, part in kept.items() if name != "results"}
    head = json.dumps(rest, indent=1, ensure_ascii=False).removesuffix("\n}")
    joined = ",\n  ".join(lines)
    (folder / "results.json").write_text(f'{head},\n "results": [\n  {joined}\n ]\n}}\n')
    made = "<!-- Written by `tox -e bench`; a change here is lost. -->"
    text = [made, "", "# The last full run", "", preface(kept), ""]
    (folder / "table.md").write_text(
        "\n\n".join(["\n".join(text), *map(markdown, pages(kept))]) + "\n"
    )


def run(relays: Sequence[Relay], tests: Sequence[str], micro: bool) -> dict[str, Any]:
    """Measure everything, and return what is to be kept of it."""
    steps_ = microbenchmarks() if micro else {}
    results = measured(relays, tests)
    names = {result["relay"] for result in results}
    where = f"relay and load pinned to CPUs {opt.pin}" if opt.pin else "not pinned"
    how = (
        f"{opt.runs} interleaved rounds, {opt.secs:g} s a measurement, medians; {where}. "
        'The column "ngksock to this" divides ngksock\'s figure by that of the row, within '
        "a round."
    )
    return {
        "how": how,
        "machine": describe(),
        "notes": {relay.name: relay.note for relay in relays if relay.note},
        "micro": steps_,
        "relays": [relay.name for relay in relays if relay.name in names],
        "results": results,
    }


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        "python -m tests.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    choices = ("full", "quick", "profile", "micro", "tlscost", "compare", "replay")
    parser.add_argument("what", nargs="?", default="full", choices=choices)
    parser.add_argument("path", nargs="?", help="of results that were kept, for replay")
    parser.add_argument("--relay", action="append", default=[], metavar="NAME[@TESTS]=CMD")
    parser.add_argument("--file", action="append", default=[], help="JSON file of relays")
    parser.add_argument("--only", help="relays, comma separated")
    parser.add_argument("--skip", default="", help="relays, comma separated")
    parser.add_argument("--tests", help="tests or groups, comma separated")
    parser.add_argument("--runs", type=int)
    parser.add_argument("--secs", type=float)
    parser.add_argument("--warm", type=float, default=opt.warm)
    parser.add_argument("--pin", metavar="RELAYCPU,LOADCPU", help="'' for none; else 1,0")
    parser.add_argument("--window", type=int, default=opt.window, help="datagrams under way")
    parser.add_argument("--burst", type=int, default=opt.burst)
    parser.add_argument("--fan", type=int, default=opt.fan)
    parser.add_argument("--max-minutes", type=float, default=opt.max_minutes)
    quiet = "CPUs used by foreign processes above which a measurement is repeated"
    parser.add_argument("--quiet", type=float, default=opt.quiet, help=quiet)
    parser.add_argument("--retries", type=int, help="repeats of a disturbed measurement")
    parser.add_argument("--no-micro", action="store_true", help="no microbenchmarks")
    parser.add_argument("--output", type=Path, help="folder for tables and results")
    return parser.parse_args(words)


def main(words: Sequence[str]) -> None:
    """Do what the command line says."""
    args = arguments(words)
    quick = args.what == "quick"
    opt.warm, opt.window, opt.burst, opt.fan = args.warm, args.window, args.burst, args.fan
    opt.quiet, opt.max_minutes = args.quiet, args.max_minutes
    opt.runs = args.runs or (3 if quick else 5)
    opt.secs = args.secs or (0.4 if quick else 1.0)
    opt.retries = (0 if quick else 1) if args.retries is None else args.retries
    opt.pin = "1,0" if args.pin is None else args.pin
    if args.what == "micro":
        print(markdown(steps(microbenchmarks())))
        return
    if args.what == "tlscost":
        print(markdown(tls_table()))
        return
    if args.what == "replay":
        kept = json.loads(Path(args.path or DOCS / "results.json").read_text())
        print("\n\n".join(map(markdown, pages(kept))))
        if args.output:
            write(kept, args.output)
        return
    raise_limit()
    install()
    if args.what == "profile":
        flames(args.output or DOCS)
        return
    chosen = args.tests.split(",") if args.tests else QUICK if quick else FULL
    tests = [test for name in chosen for test in GROUPS.get(name, [name])]
    unknown = [test for test in tests if test not in TESTS]
    if unknown:
        raise SystemExit(f"no such test: {', '.join(unknown)}")
    relays = rows(args.file, args.relay)
    only = args.only.split(",") if args.only else QUICK_RELAYS if quick else None
    relays = [
        r for r in relays if (not only or r.name in only) and r.name not in args.skip.split(",")
    ]
    kept = run(relays, tests, args.what == "full" and not args.no_micro)
    output = args.output or (DOCS if args.what == "full" else None)
    if output is not None:
        write(kept, output)
    print(f"bench: {preface(kept)}\n")
    print("\n\n".join(map(markdown, pages(kept))))


if __name__ == "__main__":
    main(sys.argv[1:])
