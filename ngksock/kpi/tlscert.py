"""Certificates and keys out of files: what is there, and what is wrong with it.

Every complaint is one OSError with a sentence that names the file.  A
certificate is made by others, a peer's by strangers: what reads one takes any
exception of the libraries for damage.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from OpenSSL import SSL

from ngksock.errors import oserror

__all__ = [
    "Identity",
    "PrivateKey",
    "Stamp",
    "called",
    "load_authorities",
    "load_identity",
    "pem_files",
    "stamp",
]

PrivateKey = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
    | dsa.DSAPrivateKey
)

Stamp = tuple[int, int, int, int] | None
"""When contents and rights changed, in ns, size and inode of a file; None: there is none."""

LARGEST: Final = 16 * 1024 * 1024
"""No file of certificates is larger; /dev/zero is."""

LARGEST_IDENTITY: Final = 1024 * 1024
"""Nor is one with a certificate, its chain and its key."""

_BEGIN: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]{0,32}PRIVATE KEY)-----")


@dataclass(frozen=True, eq=False)
class Identity:
    """
    Who somebody is: a key, its certificate, and who vouches for it.

    Args:
        path: The file the certificate is from.
        chain: The certificate, and those that lead to its root.
        key: The private key of the first one.
        names: The DNS names the certificate is for, in lower case.
    """

    path: str
    chain: tuple[x509.Certificate, ...]
    key: PrivateKey
    names: tuple[str, ...]

    def use(self, context: SSL.Context) -> None:
        """Let *context* show it, whatever OpenSSL raises."""
        context.use_certificate(self.chain[0])
        for cert in self.chain[1:]:
            context.add_extra_chain_cert(cert)
        context.use_privatekey(self.key)


def stamp(path: str) -> Stamp:
    """Return by what a changed file is known."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def load_identity(cert: str, key: str = "") -> Identity:
    """
    Return the certificate in the file *cert* with its chain and key.

    Args:
        cert: A PEM file, the certificate first and then its chain.
        key: The file its key is in, if another.

    Raises:
        OSError: ENOENT, EACCES, EISDIR and so on, the file cannot be read.
            EINVAL, it has not what is sought, the two do not match, or
            OpenSSL will not use them.
    """
    raw = _read(cert, LARGEST_IDENTITY)
    chain = _certificates(cert, raw)
    private = _private_key(key or cert, _read(key, LARGEST_IDENTITY) if key else raw)
    try:
        matches = _spki(chain[0].public_key()) == _spki(private.public_key())
        identity = Identity(cert, chain, private, tuple(_dns(_san(chain[0]))))
        if matches:
            identity.use(SSL.Context(SSL.TLS_METHOD))
    except Exception as error:
        raise oserror(
            errno.EINVAL, f"TLS cannot use the certificate in {cert}: {_complaint(error)}"
        ) from None
    if not matches:
        other = f"in {key} " if key else ""
        raise oserror(errno.EINVAL, f"the key {other}does not match the certificate in {cert}")
    return identity


def load_authorities(path: str) -> tuple[x509.Certificate, ...]:
    """
    Return the certificates in the file *path*, all of them to be trusted.

    Raises:
        OSError: As `load_identity`.
    """
    return _certificates(path, _read(path, LARGEST))


def pem_files(folder: str) -> list[str]:
    """
    Return the files of *folder* whose names end in .pem, sorted.

    Raises:
        OSError: ENOENT, there is no folder, or no such file in it.  ENOTDIR.
    """
    try:
        names = os.listdir(folder)
    except (OSError, ValueError) as error:
        raise _cannot_read(folder, error) from None
    found = sorted(os.path.join(folder, name) for name in names if name.endswith(".pem"))
    if not found:
        raise oserror(errno.ENOENT, f"{folder} has no file whose name ends in .pem")
    return found


def dns_names(cert: x509.Certificate) -> list[str]:
    """Return the DNS names *cert* is for, in lower case; none if they cannot be read."""
    try:
        return _dns(_san(cert))
    except Exception:  # a peer's may hold anything, and cryptography raises of any class
        return []


def all_san(cert: x509.Certificate) -> list[str]:
    """Return the DNS names and addresses *cert* is for; none if they cannot be read."""
    try:
        names = _san(cert)
        addresses = names.get_values_for_type(x509.IPAddress) if names is not None else []
        return _dns(names) + [str(address) for address in addresses]
    except Exception:  # as above
        return []


def called(cert: x509.Certificate) -> str:
    """Return what to call *cert* in a sentence."""
    names = dns_names(cert)
    if names:
        return names[0]
    try:
        subject = cert.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        return str(subject[0].value) if subject else cert.subject.rfc4514_string() or "nobody"
    except Exception:  # as above
        return "nobody"


def _san(cert: x509.Certificate) -> x509.SubjectAlternativeName | None:
    """Return what *cert* is for, None if it does not say; of a damaged one anything is raised."""
    try:
        return cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None


def _dns(names: x509.SubjectAlternativeName | None) -> list[str]:
    if names is None:
        return []
    return [name.lower() for name in names.get_values_for_type(x509.DNSName)]


def _complaint(error: Exception) -> str:
    """Return what a library found wrong."""
    queue = error.args[0] if error.args else None
    if isinstance(error, SSL.Error) and isinstance(queue, list):
        return ", ".join(str(entry[-1]) for entry in queue) or "it does not say why"
    return str(queue or type(error).__name__)


def _read(path: str, largest: int) -> bytes:
    try:
        # Not opened before it is known to be a file: a FIFO would wait.
        found = os.stat(path)
        if stat.S_ISDIR(found.st_mode):
            raise oserror(errno.EISDIR)
        if not stat.S_ISREG(found.st_mode) or found.st_size > largest:
            raise oserror(errno.EINVAL, f"{path} is not a file of certificates")
        with open(path, "rb") as file:
            return file.read(largest)
    except (OSError, ValueError) as error:
        raise _cannot_read(path, error) from None


def _cannot_read(path: str, error: OSError | ValueError) -> OSError:
    code = error.errno if isinstance(error, OSError) and error.errno else errno.EINVAL
    if code == errno.EINVAL:
        return oserror(code, str(error.args[-1]) if error.args else None)
    said = {
        errno.ENOENT: "does not exist",
        errno.EISDIR: "is a directory, not a file",
        errno.ENOTDIR: "is not a directory",
        errno.EACCES: "cannot be read: permission denied",
    }.get(code, f"cannot be read: {os.strerror(code).lower()}")
    return oserror(code, f"{path} {said}")


def _certificates(path: str, raw: bytes) -> tuple[x509.Certificate, ...]:
    try:
        found = x509.load_pem_x509_certificates(raw)
    except Exception:  # a version nobody knows is neither ValueError nor OSError
        found = []
    if not found:
        raise oserror(errno.EINVAL, f"{path} has no certificate in PEM form")
    return tuple(found)


def _private_key(path: str, raw: bytes) -> PrivateKey:
    block = _key_block(raw)
    if not block:
        raise oserror(errno.EINVAL, f"{path} has no private key in PEM form")
    try:
        key = load_pem_private_key(block, None)
    except TypeError:
        raise oserror(
            errno.EINVAL,
            f"the key in {path} is encrypted and nobody can be asked for the passphrase; "
            "decrypt it with openssl pkey",
        ) from None
    except UnsupportedAlgorithm:
        raise oserror(errno.EINVAL, f"TLS cannot use the kind of key in {path}") from None
    except Exception:
        raise oserror(errno.EINVAL, f"the private key in {path} is damaged") from None
    if not isinstance(key, PrivateKey):
        raise oserror(errno.EINVAL, f"TLS cannot use the kind of key in {path}")
    return key


def _key_block(raw: bytes) -> bytes:
    """Return the first private key in *raw*, armour and all; b"" if there is none."""
    endless = set()
    for begin in _BEGIN.finditer(raw):
        label = begin[1]
        end = b"-----END " + label + b"-----"
        found = -1 if label in endless else raw.find(end, begin.end())
        if found >= 0:
            return raw[begin.start() : found + len(end)]
        endless.add(label)  # not sought again: a large file may begin a thousand keys
    return b""


def _spki(key: x509.Certificate | object) -> bytes:
    encode = getattr(key, "public_bytes")  # noqa: B009 (every kind of key has it)
    raw: bytes = encode(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return raw


def all_names(identities: Iterable[Identity]) -> dict[str, Identity]:
    """Return who serves which name; of several the first."""
    found: dict[str, Identity] = {}
    for identity in identities:
        for name in identity.names:
            found.setdefault(name, identity)
    return found
