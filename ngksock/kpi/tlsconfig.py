"""What TLS is told before a connection begins: one immutable value."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from service_identity.hazmat import DNS_ID, IPAddress_ID

from ngksock.errors import oserror
from ngksock.kpi import tlscert
from ngksock.kpi.sockaddr import SockAddr

__all__ = ["VERSIONS", "TLSConfig", "identity_of"]

VERSIONS: Final = ("1.2", "1.3")
"""What ``minversion`` may be."""

ALPN_MAX: Final = 4096
"""The bytes of all protocols' names, each with one for its length; a first message has 64 KiB."""

# It does not wait for the reader of a FIFO, nor write where a link leads.
_APPEND: Final = (
    os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
)


@dataclass(frozen=True)
class TLSConfig:
    """
    How to be a TLS client or a TLS server.

    Args:
        cert: PEM file of our certificate and its chain; "" for none.
        key: PEM file of its key; "" when it is in *cert* too.
        ca: PEM file of who is trusted; "" for the system's (client only).
        verify: Check the peer's certificate; as a server: require one, signed
            by *ca*.  None: a client does, a server does not.
        servername: The name the server must have, and is asked for; "" for
            the address that is connected to.
        alpn: Protocols to offer or to choose from, the best first.
        minversion: "1.2" or "1.3".
        certdir: Folder of PEM files, certificate, chain and key each; one is
            chosen by the name the client asks for, else *cert* serves, else
            the first file.
        keylog: File the secrets are appended to, for wireshark; "" for none.
        timeout: Seconds a handshake may take.
    """

    cert: str = ""
    key: str = ""
    ca: str = ""
    verify: bool | None = None
    servername: str = ""
    alpn: tuple[str, ...] = ()
    minversion: str = "1.2"
    certdir: str = ""
    keylog: str = ""
    timeout: float = 10.0

    def check(self) -> None:
        """
        Look at the values, and at no file.

        Raises:
            OSError: EINVAL, with a sentence.
        """
        if self.minversion not in VERSIONS:
            raise oserror(errno.EINVAL, f"minversion is 1.2 or 1.3, not {self.minversion!r}")
        if not 0 < self.timeout < 1e6:
            raise oserror(errno.EINVAL, f"{self.timeout:g} s is no time for a handshake")
        self._check_alpn()
        if self.servername:
            identity_of(self.servername)
        for path in (self.cert, self.key, self.ca, self.certdir, self.keylog):
            if "\0" in path or not _encodable(path, os.fsencode):
                raise oserror(errno.EINVAL, f"{path!r} is not a path")

    def _check_alpn(self) -> None:
        total = 0
        for name in self.alpn:
            if not _encodable(name, str.encode):
                raise oserror(errno.EINVAL, f"{name!r} is not a protocol's name")
            size = len(name.encode())
            if not 0 < size < 256:
                raise oserror(errno.EINVAL, "a protocol's name has 1 to 255 bytes")
            total += size + 1
        if total > ALPN_MAX:
            raise oserror(errno.EINVAL, f"the names of all protocols have at most {ALPN_MAX} bytes")

    def check_connect(self) -> None:
        """As `check`, and what a client needs besides."""
        self.check()
        if self.key and not self.cert:
            raise oserror(errno.EINVAL, "a key is given, and no certificate")

    def check_listen(self) -> None:
        """As `check`, and what a server needs besides."""
        self.check_connect()
        if not self.cert and not self.certdir:
            raise oserror(errno.EINVAL, "who listens needs a certificate: set cert or certdir")
        if self.verify and not self.ca:
            raise oserror(errno.EINVAL, "who verifies clients needs ca: whom may they be signed by")

    def expected(self, to: SockAddr) -> str:
        """
        Return the name the server at *to* must have; "" for none.

        Raises:
            OSError: EINVAL, nobody says whom to expect at a local address.
        """
        name = self.servername
        if not name and isinstance(to, tuple):
            name = to[0]
        if not name and self.verify is not False:
            raise oserror(
                errno.EINVAL,
                "a local address does not say who is there: set servername, or verify=0",
            )
        return name

    def load(self) -> None:
        """
        Look at the values, and whether all files can be used.

        Raises:
            OSError: EINVAL, ENOENT, EACCES, EISDIR, ENOTDIR, with a sentence.
        """
        self.check_connect()
        if self.cert:
            tlscert.load_identity(self.cert, self.key)
        if self.ca:
            tlscert.load_authorities(self.ca)
        if self.certdir:
            for path in tlscert.pem_files(self.certdir):
                tlscert.load_identity(path)
        if self.keylog:
            append(self.keylog, b"")

    def absolute(self, full: Callable[[bytes], bytes]) -> TLSConfig:
        """Return this with each path made whole by *full*."""

        def whole(path: str) -> str:
            return path and os.fsdecode(full(os.fsencode(path)))

        return replace(
            self,
            cert=whole(self.cert),
            key=whole(self.key),
            ca=whole(self.ca),
            certdir=whole(self.certdir),
            keylog=whole(self.keylog),
        )


def identity_of(name: str) -> Any:
    """
    Return what a certificate must vouch for: a DNS name, or an address.

    Raises:
        OSError: EINVAL, it is neither.
    """
    bare, scope, _ = name.partition("%")
    try:
        address = IPAddress_ID(bare.removesuffix("."))
        if not scope or address.ip.version == 6:
            return address
    except ValueError:
        pass
    try:
        found = DNS_ID(name.removesuffix(".").lower())  # idna knows no capitals
    except ValueError:  # of the idna package too
        raise oserror(errno.EINVAL, f"{name!r} is not the name of a server") from None
    labels = found.hostname.split(b".")
    if len(found.hostname) <= 253 and all(0 < len(label) <= 63 for label in labels):
        return found
    raise oserror(errno.EINVAL, f"{name!r} is not the name of a server")


def append(path: str, line: bytes) -> None:
    """
    Append *line* to the key log at *path*, which only its owner may read.

    Raises:
        OSError: As open(2) and write(2).  EACCES, it is no file, or not the
            owner's alone: whoever can read it can read the connections.
    """
    try:
        file = os.open(path, _APPEND, 0o600)
    except OSError as error:
        code = error.errno or errno.EIO
        if code == errno.ENXIO:
            raise _no_log(path, "is not a file") from None
        if code == errno.ELOOP and os.path.islink(path):
            raise _no_log(path, "is a symbolic link") from None
        raise oserror(code, f"the key log {path}: {os.strerror(code).lower()}") from None
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            raise _no_log(path, "is not a file")
        if found.st_uid != os.geteuid():
            raise _no_log(path, "is somebody else's")
        if found.st_mode & 0o077:
            raise _no_log(path, "is not its owner's alone; chmod 600 it, or remove it")
        if line:
            os.write(file, line + b"\n")
    finally:
        os.close(file)


def _no_log(path: str, why: str) -> OSError:
    return oserror(errno.EACCES, f"the key log {path} {why}")


def _encodable(text: str, encode: Callable[[str], bytes]) -> bool:
    try:
        return bool(encode(text)) or not text
    except UnicodeError:
        return False
