"""The socket options of TLS, and the calls that set and tell all of them.

Level `SOL_NGK_TLS`.  Texts are utf-8 bytes, numbers are ints.  What is set
must be set before connect or listen; connections that come in have what their
listener has.  What a connection turned out to be can be read once the
handshake is done.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from ngksock.errors import oserror
from ngksock.kpi.tlsconfig import TLSConfig

if TYPE_CHECKING:
    from ngksock.kpi.socket import Socket

__all__ = [
    "IPPROTO_TLS",
    "SOL_NGK_TLS",
    "TLS_ALPN",
    "TLS_ALPN_SELECTED",
    "TLS_CA",
    "TLS_CERT",
    "TLS_CERTDIR",
    "TLS_CIPHER",
    "TLS_KEY",
    "TLS_KEYLOG",
    "TLS_MINVERSION",
    "TLS_PEERSUBJECT",
    "TLS_RESUMED",
    "TLS_SERVERNAME",
    "TLS_TIMEOUT",
    "TLS_VERIFY",
    "TLS_VERSION",
    "TLSInfo",
    "gettls",
    "handshaking",
    "settls",
]

IPPROTO_TLS: Final = 0x544C53
"""The protocol of a socket that speaks TLS: the letters.  No host has it: theirs are below 512."""

SOL_NGK_TLS: Final = IPPROTO_TLS
"""The level of the options below, the protocol's number as with any protocol."""

TLS_CERT: Final = 1
"""PEM file of our certificate and its chain."""

TLS_KEY: Final = 2
"""PEM file of its key, if it is another file."""

TLS_CA: Final = 3
"""PEM file of the certificates that are trusted."""

TLS_VERIFY: Final = 4
"""An int: 1 check the peer's certificate, 0 do not, -1 as usual (clients do)."""

TLS_SERVERNAME: Final = 5
"""The name the server must have, and is asked for."""

TLS_ALPN: Final = 6
"""The protocols to offer or to choose from, the best first, with commas between."""

TLS_MINVERSION: Final = 7
"""1.2 or 1.3, a text."""

TLS_CERTDIR: Final = 8
"""Folder of PEM files to serve each name with its own."""

TLS_KEYLOG: Final = 9
"""File the secrets are appended to."""

TLS_TIMEOUT: Final = 10
"""An int: milliseconds a handshake may take."""

TLS_VERSION: Final = 32
"""Read: ``TLSv1.3`` or ``TLSv1.2``."""

TLS_CIPHER: Final = 33
"""Read: the cipher, in OpenSSL's words."""

TLS_PEERSUBJECT: Final = 34
"""Read: the subject of the peer's certificate as of RFC 4514; empty: it has none."""

TLS_ALPN_SELECTED: Final = 35
"""Read: the protocol that was agreed on; empty for none."""

TLS_RESUMED: Final = 36
"""Read, an int: 1 when an earlier session goes on."""

_FIELDS: Final = {
    TLS_CERT: "cert",
    TLS_KEY: "key",
    TLS_CA: "ca",
    TLS_SERVERNAME: "servername",
    TLS_MINVERSION: "minversion",
    TLS_CERTDIR: "certdir",
    TLS_KEYLOG: "keylog",
}
_FILES: Final = frozenset({TLS_CERT, TLS_KEY, TLS_CA, TLS_CERTDIR, TLS_KEYLOG})
_TOLD: Final = {
    TLS_VERSION: "version",
    TLS_CIPHER: "cipher",
    TLS_PEERSUBJECT: "subject",
    TLS_ALPN_SELECTED: "alpn",
    TLS_RESUMED: "resumed",
}


@dataclass(frozen=True)
class TLSInfo:
    """
    What a handshake has brought.

    Args:
        version: "TLSv1.2" or "TLSv1.3".
        cipher: The cipher, in OpenSSL's words.
        subject: Of the peer's certificate, as of RFC 4514; "" without one.
        alpn: The protocol agreed on; "" for none.
        resumed: Whether an earlier session goes on.
    """

    version: str
    cipher: str
    subject: str
    alpn: str
    resumed: bool


class Configured(Protocol):
    """A driver that has these options."""

    config: TLSConfig

    def configure(self, config: TLSConfig) -> None:
        """Take *config*; EISCONN or EINVAL when it is too late."""

    def info(self) -> TLSInfo:
        """Return how it is connected; ENOTCONN before the handshake is done."""


def settls(so: Socket, config: TLSConfig) -> None:
    """
    Configure a TLS socket, before connect or listen.

    Args:
        so: The socket.
        config: All of it; relative paths are relative to the provider's
            directory.  Every file is looked at.

    Raises:
        OSError: EOPNOTSUPP, not a TLS socket.  EISCONN, EINVAL, too late.
            Else as `TLSConfig.load`.
    """
    driver = _driver(so)
    driver.configure(driver.config)  # is it too late?  That comes before what files say
    config.check()
    config = config.absolute(so.kpi.paths.absolute)
    config.load()
    driver.configure(config)


def gettls(so: Socket) -> TLSInfo:
    """
    Return what the handshake of *so* has brought.

    Raises:
        OSError: EOPNOTSUPP, not a TLS socket.  ENOTCONN, not connected (yet).
    """
    return _driver(so).info()


def handshaking(so: Socket) -> bool:
    """
    Tell whether the stream below *so* is there, and its handshake not done yet.

    Raises:
        OSError: EOPNOTSUPP, not a TLS socket.
    """
    driver: Any = _driver(so)
    return bool(driver.shaking and not driver.shaken)


def _driver(so: Socket) -> Configured:
    so.check_open()
    driver: Any = so.driver
    if not isinstance(getattr(driver, "config", None), TLSConfig):
        raise oserror(errno.EOPNOTSUPP, "not a TLS socket")
    found: Configured = driver
    return found


def getopt(driver: Configured, name: int, length: int) -> int | bytes:
    """
    Return an option of *driver*.

    Raises:
        OSError: ENOPROTOOPT, unknown.  ENOTCONN, the handshake is not done.
    """
    config = driver.config
    value: object
    if name in _FIELDS:
        value = getattr(config, _FIELDS[name])
    elif name in _TOLD:
        value = getattr(driver.info(), _TOLD[name])
    elif name == TLS_VERIFY:
        value = -1 if config.verify is None else config.verify
    elif name == TLS_TIMEOUT:
        value = round(config.timeout * 1000)
    elif name == TLS_ALPN:
        value = ",".join(config.alpn)
    else:
        raise oserror(errno.ENOPROTOOPT)
    if isinstance(value, int):
        return struct.pack("i", value)[:length] if length else int(value)
    raw = os.fsencode(str(value)) if name in _FILES else str(value).encode()
    return raw[:length] if length else raw


def setopt(driver: Configured, name: int, value: int | bytes) -> TLSConfig:
    """
    Return *driver*'s configuration with one option changed.

    Raises:
        OSError: ENOPROTOOPT, unknown or to be read only.  EINVAL, a value
            it cannot have.
    """
    changed: dict[str, Any]
    if name in _FIELDS:
        changed = {_FIELDS[name]: _text(value, name in _FILES)}
    elif name == TLS_ALPN:
        names = _text(value)
        changed = {"alpn": tuple(names.split(",")) if names else ()}
    elif name == TLS_VERIFY:
        number = _int(value)
        if number not in (-1, 0, 1):
            raise oserror(errno.EINVAL, f"verify is 1, 0, or -1 for the usual, not {number}")
        changed = {"verify": None if number < 0 else bool(number)}
    elif name == TLS_TIMEOUT:
        changed = {"timeout": _int(value) / 1000}
    else:
        known = name in _TOLD
        raise oserror(errno.ENOPROTOOPT, "the option can only be read" if known else None)
    config = replace(driver.config, **changed)
    config.check()
    return config


def _text(value: int | bytes, path: bool = False) -> str:
    if isinstance(value, int):
        raise oserror(errno.EINVAL, "the option takes a text")
    try:
        return os.fsdecode(value) if path else value.decode()
    except UnicodeDecodeError:
        raise oserror(errno.EINVAL, "the option takes a text in utf-8") from None


def _int(value: int | bytes) -> int:
    if isinstance(value, int):
        return value
    if len(value) < 4:
        raise oserror(errno.EINVAL, "the option takes an int")
    return int.from_bytes(value[:4], sys.byteorder, signed=True)
