"""What the system tells: CPU used, memory, ports that are open, versions."""

from __future__ import annotations

import os
import platform
import random
import re
import socket
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from OpenSSL import SSL

from tests.bench.settings import HOST

__all__ = [
    "busy_cpu",
    "describe",
    "free_ports",
    "is_open",
    "pin",
    "session_cpu",
    "session_memory",
    "split_cpu",
]

TICKS: Final = os.sysconf("SC_CLK_TCK")
_PEERS: Final = {
    "socat": ["socat", "-V"],
    "haproxy": ["haproxy", "-v"],
    "nginx": ["nginx", "-v"],
    "gcc": ["gcc", "--version"],
    "OpenSSL of the peers": ["openssl", "version"],
}
_VERSION: Final = re.compile(r"\d+\.\d+(?:\.\d+)*")


def pin(cpu: int | None) -> None:
    """Let this process run on *cpu* alone."""
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})


def _session(sid: int) -> list[tuple[int, list[str]]]:
    """Return pid and the fields of stat, from the state on, of each process of a session."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == sid:
                found.append((int(name), fields))
    return found


def session_cpu(sid: int) -> float:
    """Return the CPU seconds of every process of a session, reaped children included."""
    return sum(sum(map(int, fields[11:15])) for _, fields in _session(sid)) / TICKS


def split_cpu(pid: int) -> tuple[float, float]:
    """Return the CPU seconds of one process outside and inside of the kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) / TICKS, int(fields[12]) / TICKS


def session_memory(sid: int) -> float:
    """Return the KiB of a session's processes, what they share counted once."""
    total = 0.0
    for pid, _ in _session(sid):
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in text.splitlines() if line[:4] == "Pss:")
    return total


def busy_cpu() -> float:
    """Return the CPU seconds that the whole machine has spent."""
    with open("/proc/stat") as file:
        values = list(map(int, file.readline().split()[1:9]))
    return (sum(values) - values[3] - values[4]) / TICKS


def is_open(address: int | str, datagram: bool) -> bool:
    """Whether somebody listens at a port, or at a local path."""
    if isinstance(address, str):
        # haproxy listens under another name first, and renames the file.
        return Path(address).exists() and any(
            line.partition(address)[1] and (datagram or line.split()[3] == "00010000")
            for line in Path("/proc/net/unix").read_text().splitlines()
        )
    wanted = f":{address:04X}"
    for family in ("", "6"):
        try:
            text = Path(f"/proc/net/{'udp' if datagram else 'tcp'}{family}").read_text()
        except OSError:
            continue
        for line in text.splitlines()[1:]:
            words = line.split()
            if words[1].endswith(wanted) and (datagram or words[3] == "0A"):
                return True
    return False


def free_ports(count: int) -> list[int]:
    """Return ports that nobody uses, below those the system gives to clients."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(12000, 32000)
        if port in found:
            continue
        try:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(socket.AF_INET, kind) as probe:
                    probe.bind((HOST, port))
        except OSError:
            continue
        found.append(port)
    return found


def _program(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return "missing"
    return _number(done.stdout + done.stderr)


def _number(text: str) -> str:
    match = _VERSION.search(text)
    return match[0] if match else "unknown"


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"


def describe() -> dict[str, str]:
    """Return what machine this is, and the versions of all that is compared."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    facts = {
        "CPU": f"{os.cpu_count()} x {model}",
        "kernel": platform.release(),
        "Python": sys.version.split()[0],
        "Twisted": _installed("Twisted"),
        "pyOpenSSL": _installed("pyOpenSSL"),
        "OpenSSL of pyOpenSSL": _number(SSL.SSLeay_version(SSL.SSLEAY_VERSION).decode()),
    }
    return facts | {name: _program(command) for name, command in _PEERS.items()}
