"""The peers: Debian's packages, installed where they are missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

__all__ = ["install"]

PACKAGES: Final = {
    "socat": "socat",
    "haproxy": "haproxy",
    "nginx": "nginx",
    "gcc": "gcc",
    "openssl": "openssl",
    "/usr/include/stdio.h": "libc6-dev",
    "/usr/lib/nginx/modules/ngx_stream_module.so": "libnginx-mod-stream",
}
"""What is looked for, and the package that has it.  Debian has no samplicator: what it
does, one datagram a call, is what ``c-udp-plain`` does too."""


def _missing() -> list[str]:
    there = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin"
    return [
        package
        for name, package in PACKAGES.items()
        if not (Path(name).exists() if name.startswith("/") else shutil.which(name, path=there))
    ]


def install() -> None:
    """Install what is missing, if there is apt-get; a peer that stays away fails its row."""
    missing = _missing()
    if missing and shutil.which("apt-get"):
        print("installing", *missing, file=sys.stderr, flush=True)
        quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update", "-q"], ["install", "-qy", "--no-install-recommends", *missing]):
            subprocess.run(["apt-get", *command], env=quiet, stdout=sys.stderr, check=False)
    if _missing():
        print("still missing:", *_missing(), file=sys.stderr)
