"""The worlds of the table's columns, as these tests make them."""

from __future__ import annotations

import atexit
import shutil
import socket
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import trustme
from twisted.internet import reactor

from ngksock.kpi.tlsopt import IPPROTO_TLS, SOL_NGK_TLS, TLS_CA, TLS_CERT, TLS_SERVERNAME
from ngksock.testing.kpi import HostWorld, MemoryWorld, SocketWorld

__all__ = ["make_world"]

NAME = "kpi.test"
EXPERIMENTAL = 253
"""A protocol number for experiments, RFC 3692: nobody else speaks it."""

KINDS = {
    "tcp4": (socket.AF_INET, socket.SOCK_STREAM, 0),
    "tcp6": (socket.AF_INET6, socket.SOCK_STREAM, 0),
    "local_stream": (socket.AF_UNIX, socket.SOCK_STREAM, 0),
    "seqpacket": (socket.AF_UNIX, socket.SOCK_SEQPACKET, 0),
    "tls": (socket.AF_INET, socket.SOCK_STREAM, IPPROTO_TLS),
    "udp4": (socket.AF_INET, socket.SOCK_DGRAM, 0),
    "udp6": (socket.AF_INET6, socket.SOCK_DGRAM, 0),
    "local_dgram": (socket.AF_UNIX, socket.SOCK_DGRAM, 0),
    "raw": (socket.AF_INET, socket.SOCK_RAW, EXPERIMENTAL),
}


@cache
def _certificates() -> tuple[bytes, bytes]:
    """Return the names of two PEM files, who is trusted and who we are."""
    folder = Path(tempfile.mkdtemp(prefix="ngk"))
    atexit.register(shutil.rmtree, folder)
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    ca.issue_cert(NAME).private_key_and_cert_chain_pem.write_to_path(str(folder / "cert.pem"))
    return str(folder / "ca.pem").encode(), str(folder / "cert.pem").encode()


def _use_tls(so: Any) -> None:
    """Let *so* be either end: both trust the same, and one has a certificate for NAME."""
    ca, cert = _certificates()
    so.setsockopt(SOL_NGK_TLS, TLS_CA, ca)
    so.setsockopt(SOL_NGK_TLS, TLS_CERT, cert)
    so.setsockopt(SOL_NGK_TLS, TLS_SERVERNAME, NAME.encode())


def make_world(column: str, flush: Callable[[Any], Any] | None = None) -> SocketWorld:
    """Return the world of *column*."""
    if column == "memory":
        return MemoryWorld(flush=flush)
    prepare = _use_tls if column == "tls" else _nothing
    return HostWorld(reactor, *KINDS[column], column=column, prepare=prepare, flush=flush)


def _nothing(so: Any) -> None:
    """Leave *so* as it is."""
