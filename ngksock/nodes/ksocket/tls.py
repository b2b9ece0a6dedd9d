"""TLS in messages: what settls takes, and what gettls tells.

Both stand under a cookie of our own; FreeBSD's ksocket has no TLS.  In text, and
so in strings here, a character is a byte; what is within the bytes is utf-8.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from errno import EINVAL, EOPNOTSUPP
from typing import Annotated, Final

from ngksock.kpi import Socket, TLSConfig, gettls
from ngksock.kpi.tlsopt import handshaking
from ngksock.netgraph.layout import STRING, Int32, IntType, Prefixed, Seen, String, Struct
from ngksock.nodes.ksocket.family import Kind, family_name

__all__ = ["GETTLS", "SETTLS", "TLSOptions", "TLSState", "check_tls", "tls_words"]

VERIFY: Final = {-1: None, 0: False, 1: True}
PATHS: Final = ("cert", "key", "ca", "certdir", "keylog")


class Usual(IntType):
    """
    An int32 whose default is another than 0.

    Args:
        usual: The default.
    """

    steady = True

    def __init__(self, usual: int) -> None:
        super().__init__(32, "int")
        self.usual = usual

    def default(self, seen: Seen) -> int:
        return self.usual


@dataclass
class TLSOptions:
    """How to speak TLS; the fields are those of `ngksock.kpi.TLSConfig`."""

    cert: String = ""
    key: String = ""
    ca: String = ""
    verify: Annotated[int, Usual(-1)] = -1
    servername: String = ""
    alpn: Annotated[list[str], Prefixed(STRING)] = field(default_factory=list)
    minversion: String = ""
    certdir: String = ""
    keylog: String = ""
    timeout: Annotated[int, Usual(10)] = 10

    def config(self) -> TLSConfig:
        """
        Return this as the socket layer has it; no file is touched.

        Raises:
            OSError: EINVAL, with a sentence.
        """
        if self.verify not in VERIFY:
            raise OSError(EINVAL, f"verify is 1, 0, or -1 for the usual, not {self.verify}")
        config = TLSConfig(
            cert=_path(self.cert),
            key=_path(self.key),
            ca=_path(self.ca),
            verify=VERIFY[self.verify],
            servername=_text(self.servername, "servername"),
            alpn=tuple(_text(name, "alpn") for name in self.alpn),
            minversion=_text(self.minversion, "minversion") or TLSConfig.minversion,
            certdir=_path(self.certdir),
            keylog=_path(self.keylog),
            timeout=self.timeout,
        )
        config.check_connect()
        return config

    def absolute(self, full: Callable[[bytes], bytes]) -> TLSOptions:
        """Return this with its paths made absolute by *full*: true in any directory."""
        copy = replace(self)
        for name in PATHS:
            if path := getattr(self, name):
                setattr(copy, name, full(path.encode("latin-1")).decode("latin-1"))
        return copy


@dataclass
class TLSState:
    """What a handshake has brought."""

    version: String = ""
    cipher: String = ""
    subject: String = ""
    alpn: String = ""
    resumed: Int32 = 0

    @classmethod
    def of(cls, so: Socket) -> TLSState:
        """
        Return the state of *so*.

        Raises:
            OSError: ENOTCONN, the handshake is not done.
        """
        info = gettls(so)
        return cls(
            version=_bytes(info.version),
            cipher=_bytes(info.cipher),
            subject=_bytes(info.subject),
            alpn=_bytes(info.alpn),
            resumed=int(info.resumed),
        )


SETTLS: Final = Struct(TLSOptions)
GETTLS: Final = Struct(TLSState)


def check_tls(kind: Kind) -> None:
    """Raise EOPNOTSUPP unless *kind* speaks TLS."""
    if not kind.tls:
        hook = f"{family_name(kind.family)}/stream/tls"
        raise OSError(EOPNOTSUPP, f"a socket of kind {kind.words()} speaks no TLS; {hook} does")


def tls_words(so: Socket) -> list[str]:
    """Return what the status of a TLS socket says of it: at most one part."""
    if handshaking(so):
        return ["in the TLS handshake"]
    try:
        state = TLSState.of(so)
    except OSError:
        return []  # not connected, or not yet
    words = [f"{state.version} {state.cipher}", f"peer {state.subject or 'without certificate'}"]
    if state.alpn:
        words.append(f"alpn {state.alpn}")
    if state.resumed:
        words.append("resumed")
    return [", ".join(words)]


def _path(text: str) -> str:
    return os.fsdecode(text.encode("latin-1"))


def _text(text: str, what: str) -> str:
    try:
        return text.encode("latin-1").decode()
    except UnicodeDecodeError:
        raise OSError(EINVAL, f"{what} is not in utf-8") from None


def _bytes(text: str) -> str:
    """Return *text* with its utf-8 as characters; a NUL would end the string early."""
    return text.replace("\0", "?").encode("utf-8", "replace").decode("latin-1")
