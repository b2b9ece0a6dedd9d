"""Relays: programs that listen at one address and forward to others."""

from __future__ import annotations

import contextlib
import os
import resource
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from tests.bench.machine import free_ports, is_open, pin, session_cpu
from tests.bench.settings import HERE, HOST, ROOT, opt, pause

__all__ = ["FILES_MAX", "Relay", "certificate", "fill", "raise_limit"]

FILES_MAX: Final = 65536
"""Descriptors that relays, sources and sinks may have."""


def raise_limit() -> None:
    """Let this process have as many descriptors as the system allows, up to `FILES_MAX`."""
    with contextlib.suppress(ValueError, OSError):  # only root may raise the hard limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (FILES_MAX, FILES_MAX))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def certificate(folder: str) -> str:
    """Make a PEM file with a self-signed P-256 certificate and its key; return its path."""
    key, crt, pem = (os.path.join(folder, f"c.{end}") for end in ("key", "crt", "pem"))
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30"
    subprocess.run(
        [*command.split(), "-subj", "/CN=localhost", "-keyout", key, "-out", crt],
        check=True,
        capture_output=True,
    )
    Path(pem).write_bytes(Path(crt).read_bytes() + Path(key).read_bytes())
    return pem


class Relay:
    """
    One program under test.

    Args:
        name: Its name in the tables.
        spec: Its row in a file of relays: ``cmd``, ``tests``, ``files``.
        groups: What the names of groups in ``tests`` stand for.

    ``listen`` is where it listens and ``targets`` where it forwards to: ports of
    127.0.0.1, or paths.  With an empty command nothing is in the way.  ``sinks``
    are bound to the targets already where a relay could not start without.
    """

    def __init__(self, name: str, spec: dict[str, Any], groups: dict[str, list[str]]) -> None:
        self.name = name
        self.cmd: str = spec["cmd"]
        self.files: dict[str, str] = spec.get("files", {})
        self.note: str = spec.get("note", "")
        self.tests: list[str] = []
        for test in spec.get("tests", ["tcp"]):
            self.tests += groups.get(test, [test])
        self.proc: subprocess.Popen[bytes] | None = None
        self.tmp = ""
        self.net = "tcp"
        self.listen: int | str = 0
        self.targets: list[int] | list[str] = []
        self.sinks: list[socket.socket] = []

    @property
    def local(self) -> bool:
        """Whether addresses are paths."""
        return self.net.startswith("unix")

    @property
    def address(self) -> str | tuple[str, int]:
        """What to connect to."""
        return self.listen if isinstance(self.listen, str) else (HOST, self.listen)

    @property
    def datagram(self) -> bool:
        """Whether it relays datagrams."""
        return self.net in ("udp", "unixgram")

    def start(self, net: str, fan: int) -> None:
        """
        Start the program, and wait until it listens.

        Raises:
            RuntimeError: It does not.
        """
        self.net = net
        self.tmp = tempfile.mkdtemp(prefix="bench-")
        if self.local:
            self.targets = [f"{self.tmp}/target{number}" for number in range(fan)]
            self.listen = f"{self.tmp}/listen"
        else:
            self.listen, *self.targets = free_ports(fan + 1)
        if net == "unixgram":
            for target in self.targets:
                self.sinks.append(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
                self.sinks[-1].bind(str(target))
        if not self.cmd:
            self.listen = self.targets[0]
            return
        values = self._values()
        for name, text in self.files.items():
            Path(self.tmp, name).write_text(fill(text, values))
        log = Path(self.tmp, "log")
        paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        with log.open("wb") as out:
            self.proc = subprocess.Popen(
                shlex.split(fill(self.cmd, values)),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=self.tmp,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
                preexec_fn=_in_child,
            )
        end = time.monotonic() + 15
        while not is_open(self.listen, self.datagram):
            if time.monotonic() > end or self.proc.poll() is not None:
                text = log.read_text(errors="replace")[-500:]
                self.stop()
                raise RuntimeError(f"{self.name} did not start: {text}")
            pause(0.01)
        pause(0.1)

    def _values(self) -> dict[str, object]:
        values: dict[str, object] = {
            "listen": self.listen,
            "target": self.targets[0],
            "targets": " ".join(map(str, self.targets)),
            "tmp": self.tmp,
            "python": sys.executable,
            "twistd": Path(sys.executable).with_name("twistd"),
            "here": HERE,
        }
        if "{cert}" in self.cmd + "".join(self.files.values()):
            values["cert"] = certificate(self.tmp)
        return values | {f"target{n}": target for n, target in enumerate(self.targets, 1)}

    def cpu(self) -> float:
        """Return the CPU seconds it has used."""
        return session_cpu(self.proc.pid) if self.proc else 0.0

    def stop(self) -> None:
        """End the program and what it started."""
        if self.proc:
            for number in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.proc.pid, number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.proc.wait(1)
                    break
            self.proc.wait()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.proc.pid, signal.SIGKILL)
        while self.sinks:
            self.sinks.pop().close()
        if self.tmp:
            shutil.rmtree(self.tmp, ignore_errors=True)
        self.proc, self.tmp = None, ""


def fill(text: str, values: dict[str, object]) -> str:
    """Put *values* in place of their names in braces; other braces stay."""
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text


def _in_child() -> None:
    os.setsid()
    raise_limit()
    pin(opt.pin_relay)
