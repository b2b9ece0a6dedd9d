"""ngksock as a relay: a row of the bench for each graph in ``graphs``."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from tests.bench.relay import certificate, fill
from tests.bench.settings import HERE, ROOT

__all__ = ["GRAPHS", "product", "refusal"]

GRAPHS: Final[dict[str, list[str]]] = {
    "forward": ["check", "bulk", "bulk16", "cheap", "cheap16", "rr", "crr", "idle", "idle10k"],
    "ten": ["check", "bulk", "rr", "crr"],
    "tee": ["check", "bulk", "rr"],
    "tls": ["tls"],
    "udp": ["udp"],
    "udp-ten": ["udp"],
    "udp-bpf": ["udp"],
    "fan-one2many": ["fanout"],
    "fan-hub": ["fanout"],
    "unix": ["unix"],
    "unixgram": ["unixgram"],
}
"""The tests of each graph; peers are held against the first that has a test."""
COMMAND: Final = "{twistd} -n --pidfile= -r epoll ngksock --no-control {tmp}/relay.ng"


def product() -> dict[str, dict[str, Any]]:
    """Return the rows, as a file of relays has them; ``note`` says why one cannot run."""
    rows: dict[str, dict[str, Any]] = {}
    for name, tests in GRAPHS.items():
        text = (HERE / "graphs" / f"{name}.ng").read_text()
        rows[f"ngksock-{name}"] = {"cmd": COMMAND, "tests": tests, "files": {"relay.ng": text}}
        note = refusal(text)
        if note:
            rows[f"ngksock-{name}"]["note"] = note
    return rows


def refusal(text: str) -> str:
    """Return what ``--check`` has against a graph, or nothing."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        local = "local/" in text
        values: dict[str, object] = {f"target{n}": 12000 + n for n in range(1, 5)}
        values["target"] = f"{folder}/target" if local else 12001
        values["listen"] = f"{folder}/listen" if local else 12000
        if "{cert}" in text:
            values["cert"] = certificate(folder)
        Path(folder, "relay.ng").write_text(fill(text, values))
        paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        done = subprocess.run(
            [Path(sys.executable).with_name("twistd"), "ngksock", "--check", "relay.ng"],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
            capture_output=True,
            text=True,
            check=False,
        )
    said = done.stderr.strip() if done.returncode else ""
    return said.splitlines()[-1] if said.startswith("Traceback") else said
