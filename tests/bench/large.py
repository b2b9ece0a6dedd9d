"""Large graphs: what a service needs to load a file of 10,000 nodes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.bench.machine import session_memory, split_cpu
from tests.bench.settings import ROOT, pause

__all__ = ["NODES", "large", "loading"]

NODES: Final = 10_000


def large(path: Path, chain: bool, nodes: int = NODES) -> None:
    """Write a file that makes so many hubs with names: a chain, or a star."""
    lines = ["mkpeer hub boot boot", "name boot n0"]
    for number in range(1, nodes):
        before = number - 1 if chain else 0
        lines.append(f"mkpeer n{before}: hub h{number} up")
        lines.append(f"name n{before}:h{number} n{number}")
    path.write_text("\n".join([*lines, ""]))


def _service(path: Path) -> tuple[float, float]:
    """Return the CPU seconds until the service runs with a file, and its KiB then."""
    log = path.with_suffix(".log")
    command = [str(Path(sys.executable).with_name("twistd")), "-n", "--pidfile="]
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    with log.open("wb") as out:
        proc = subprocess.Popen(
            [*command, "ngksock", "--no-control", str(path)],
            stdout=out,
            stderr=out,
            cwd=path.parent,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
            start_new_session=True,
        )
    try:
        end = time.monotonic() + 120
        while b" from " not in log.read_bytes():  # "10000 nodes, 9999 links from FILE"
            if proc.poll() is not None or time.monotonic() > end:
                raise RuntimeError(log.read_text()[-500:])
            pause(0.02)
        cpu = sum(split_cpu(proc.pid))
        pause(0.3)
        return cpu, session_memory(proc.pid)
    finally:
        proc.send_signal(signal.SIGKILL)
        proc.wait()


def loading() -> Iterator[tuple[str, float]]:
    """Yield CPU seconds and memory beyond those of a service with one node."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        path = Path(folder, "large.ng")
        large(path, True, 1)
        cpu, memory = _service(path)
        for shape in ("chain", "star"):
            large(path, shape == "chain")
            more, larger = _service(path)
            yield f"load {NODES} nodes, {shape}, s", more - cpu
            yield f"load {NODES} nodes, {shape}, KiB a node", (larger - memory) / NODES
