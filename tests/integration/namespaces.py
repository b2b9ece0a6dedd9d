"""Network namespaces for tests: made with ip, used by processes and sockets, taken away again.

Where a machine has none, or no TUN devices, the tests that need them are skipped: `need`.
"""

from __future__ import annotations

import ctypes
import fcntl
import itertools
import os
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final
from unittest import SkipTest

from ngksock.tuntap.system import TUNSETIFF
from tests.integration.service import (
    DEADLINE,
    TWISTD,
    IntegrationCase,
    Service,
    environment,
    until,
)

NGKCTL: Final = (sys.executable, "-m", "ngksock.ctl")
NAMED: Final = Path("/run/netns")
CLONE_NEWNET: Final = 0x40000000
IFF_TUN: Final = 1

_numbers = itertools.count()
_libc = ctypes.CDLL(None, use_errno=True)


@cache
def lacking(spaces: bool = False) -> str:
    """
    Return why this machine cannot make TUN and TAP devices, "" if it can: it is tried.

    Args:
        spaces: Whether network namespaces are needed too.
    """
    # Not with our own code: where that is wrong tests are to fail.
    try:
        fileno = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(fileno, TUNSETIFF, struct.pack("16sH22x", b"ngkprobe%d", IFF_TUN))
        finally:
            os.close(fileno)
    except OSError as error:
        return f"no TUN devices can be made here: {error}"
    return _spaceless() if spaces else ""


def _spaceless() -> str:
    """Return why this machine cannot make network namespaces."""
    for program in ("ip", "ping", "setpriv"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    name = f"ngk{os.getpid()}-probe"
    try:
        run("ip", "netns", "add", name)
        try:
            run("ip", "-n", name, "link", "set", "lo", "up")
            run("ip", "netns", "exec", name, "ping", "-n", "-c", "1", "127.0.0.1")
        finally:
            run("ip", "netns", "delete", name)
    except AssertionError as error:
        return f"no network namespaces can be used here: {' '.join(str(error).split())}"
    return ""


def need(spaces: bool = False) -> None:
    """Skip the test if the machine cannot do what it needs; the arguments are `lacking`'s."""
    reason = lacking(spaces)
    if reason:
        raise SkipTest(reason)


def run(*words: str, env: Any = None) -> str:
    """Run a command; return what it said, and fail with that if it fails."""
    done = subprocess.run(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEADLINE,
        env=env,
    )
    if done.returncode:
        raise AssertionError(f"{' '.join(words)}: status {done.returncode}\n{done.stdout}")
    return done.stdout


def _enter(path: Path) -> None:
    """Let this thread be in a network namespace (os.setns is there from Python 3.12 on)."""
    fileno = os.open(path, os.O_RDONLY)
    try:
        if _libc.setns(fileno, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter {path}")
    finally:
        os.close(fileno)


class Space:
    """
    A network namespace of its own.

    Args:
        label: Makes its name readable; no two spaces have the same name.
    """

    def __init__(self, label: str) -> None:
        self.name = f"ngk{os.getpid()}-{next(_numbers)}-{label}"
        run("ip", "netns", "add", self.name)
        try:
            self.ip("link", "set", "lo", "up")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Delete it, and the devices in it."""
        run("ip", "netns", "delete", self.name)

    def ip(self, *words: str) -> str:
        """Run ip there."""
        return run("ip", "-n", self.name, *words)

    @property
    def program(self) -> tuple[str, ...]:
        """The words before those of a command that is to run there."""
        return ("ip", "netns", "exec", self.name)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Let this thread be there for a time."""
        fileno = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            _enter(NAMED / self.name)
            try:
                yield
            finally:
                _enter(Path(f"/proc/self/fd/{fileno}"))
        finally:
            os.close(fileno)

    def socket(self, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM) -> socket.socket:
        """Return a socket that is there for ever."""
        with self.entered():
            return socket.socket(family, kind)

    def pings(self, address: str, count: int = 1) -> str:
        """Ping *address* from there until it answers each of *count*; return what ping said."""
        words = [*self.program, "ping", "-n", "-i", "0.2", "-W", "2", "-c", str(count), address]

        def answered() -> str:
            done = subprocess.run(words, capture_output=True, text=True, timeout=DEADLINE)
            return done.stdout if done.returncode == 0 and " 0% packet loss" in done.stdout else ""

        said: str = until(answered, f"answers of {address} in {self.name}")
        return said


class SpaceCase(IntegrationCase):
    """A case with network namespaces, which are deleted after its services were stopped."""

    def setUp(self) -> None:
        need(spaces=True)
        super().setUp()

    def space(self, label: str) -> Space:
        """Make a namespace."""
        space = Space(label)
        self.addCleanup(space.close)
        return space

    def serve(self, space: Space, file: Path, **how: Any) -> Service:
        """Start the service there."""
        return self.start(file, program=(*space.program, *TWISTD), **how)

    def tell(self, service: Service, *words: str) -> str:
        """Let ngkctl carry out one command; return what it printed."""
        [place] = {
            line.split()[-1] for line in service.log.splitlines() if "control socket" in line
        }
        return run(*NGKCTL, "-s", place, *words, env=environment())

    def wire(self, one: Space, other: Space) -> None:
        """Lay a wire between two namespaces: 192.0.2.1 and 192.0.2.2."""
        run(
            "ip", "link", "add", "wire", "netns", one.name,
            "type", "veth", "peer", "wire", "netns", other.name,
        )  # fmt: skip
        for number, space in enumerate((one, other), 1):
            space.ip("address", "add", f"192.0.2.{number}/24", "dev", "wire")
            space.ip("link", "set", "wire", "up")

    def connected(
        self, client: Space, server: Space, address: str
    ) -> tuple[socket.socket, socket.socket]:
        """Return both ends of a TCP connection, the server's at *address*."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listening = self.owned(server.socket(family))
        listening.bind((address, 0))
        listening.listen()
        sock = self.owned(client.socket(family))
        sock.connect(listening.getsockname()[:2])
        return sock, self.accept(listening)
