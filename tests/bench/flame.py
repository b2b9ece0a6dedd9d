"""Where the time goes: flame graphs of ngksock under load, by py-spy."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, Final

from tests.bench.compare import GROUPS, TESTS, net
from tests.bench.job import collect, spawn
from tests.bench.machine import split_cpu
from tests.bench.product import product
from tests.bench.relay import Relay
from tests.bench.settings import opt, pause

__all__ = ["flames"]

PROFILES: Final = (
    ("tcp-forward", "forward", "bulk", "TCP forward, one connection"),
    ("tcp-connections", "forward", "crr", "TCP forward, connections per second"),
    ("udp-1-1", "udp", "udp64", "UDP 1 to 1, 64 bytes"),
    ("udp-1-4", "fan-one2many", "fan1400", "UDP 1 to 4, 1400 bytes"),
    ("tls", "tls", "tbulk", "TLS termination"),
)
SECONDS: Final = 5
TOP: Final = 8
INTRODUCTION: Final = """\
.. Written by `python -m tests.bench profile`; a change here is lost.

Where the time goes
===================

Flame graphs of the service under load, by py-spy: 500 samples a second of the Python
stack while it uses the CPU.  A system call is part of the line that makes it; what the
kernel's part is, each section says.  ``doPoll`` is waiting, which py-spy cannot always
tell.  This page and its pictures are made again by::

   pip install py-spy
   python -m tests.bench profile

Open a picture by itself to search in it and to zoom.

"""


def _spy(pid: int, form: str, path: Path) -> None:
    program = shutil.which("py-spy") or str(Path(sys.executable).with_name("py-spy"))
    command = [program, "record", "-p", str(pid), "-d", str(SECONDS), "-r", "500"]
    subprocess.run([*command, "-f", form, "-o", str(path)], check=True, capture_output=True)


def _top(raw: str) -> list[str]:
    """Return the functions that are most often at the top of the stack, with their shares."""
    counts: Counter[str] = Counter()
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        top = stack.rpartition(";")[2]
        if "doPoll" not in top:  # py-spy cannot always tell that a process waits
            counts[top] += int(count)
    total = sum(counts.values()) or 1
    return [f"{count / total:6.1%}  {name}" for name, count in counts.most_common(TOP)]


def _one(relay: Relay, test: str, picture: Path, title: str) -> str:
    where, fan, _ = net(test)
    relay.start(where, fan)
    assert relay.proc is not None  # ngksock's row has a command
    try:
        load = spawn(TESTS[test], relay)
        pause(opt.warm + 0.7)
        before = split_cpu(relay.proc.pid)
        _spy(relay.proc.pid, "flamegraph", picture)
        after = split_cpu(relay.proc.pid)
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            raw = Path(folder, "raw")
            _spy(relay.proc.pid, "raw", raw)
            top = _top(raw.read_text())
        result: dict[str, Any] = collect(load)
    finally:
        relay.stop()
    user, system = (late - early for late, early in zip(after, before, strict=True))
    share = system / (user + system) if user + system else 0.0
    lines = [
        title,
        "-" * len(title),
        "",
        f"``{relay.name}`` in the test ``{test}``: {result['v']:.4g} while it was looked at;"
        f" {share:.0%} of the CPU time in the kernel.",
        "",
        f".. image:: {picture.name}",
        "   :width: 100%",
        "",
        f"(:download:`{picture.name}`)  Most often at the top of the stack, waiting left out::",
        "",
        *(f"   {line}" for line in top),
        "",
    ]
    return "\n".join(lines)


def flames(folder: Path) -> None:
    """Write the page ``profile.rst`` and its pictures into *folder*."""
    opt.secs = 2.0 * SECONDS + 4
    rows = product()
    sections = []
    for picture, graph, test, title in PROFILES:
        relay = Relay(f"ngksock-{graph}", rows[f"ngksock-{graph}"], GROUPS)
        print("profile of", relay.name, test, file=sys.stderr, flush=True)
        sections.append(_one(relay, test, folder / f"{picture}.svg", title))
    (folder / "profile.rst").write_text(INTRODUCTION + "\n".join(sections))
