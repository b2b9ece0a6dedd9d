"""Why a handshake failed, or a connection broke: OpenSSL's words, as ours.

A number and a sentence: EACCES, a certificate was refused, by us or by the
peer; EPROTO, all else that is not as TLS has it.
"""

from __future__ import annotations

import errno
import re
from typing import Any, Final

from cryptography import x509
from OpenSSL import SSL

from ngksock.kpi.tlscert import called

__all__ = [
    "CUT",
    "CUT_EARLY",
    "NoSharedProtocolError",
    "explain",
    "refused",
    "shown",
    "speaks_tls",
]

CUT: Final = "the peer closed the connection without the alert that ends TLS; data may be missing"
CUT_EARLY: Final = "the peer closed the connection during the TLS handshake"

SHOWN: Final = 200
"""So many characters of what a peer says are repeated."""

_ALERT: Final = re.compile(r"\balert (.+)$")

_OF_CERTIFICATES: Final = frozenset(
    {
        "bad certificate",
        "unsupported certificate",
        "certificate revoked",
        "certificate expired",
        "certificate unknown",
        "unknown ca",
        "access denied",
    }
)
"""Alerts by which a peer refuses the certificate it was shown."""

_SENTENCES: Final = {
    "unsupported protocol": "the peer speaks no version of TLS that is allowed here",
    "no protocols available": "the peer speaks no version of TLS that is allowed here",
    "no shared cipher": "the peer has no cipher in common with us",
    "no suitable signature algorithm": "the peer has no kind of signature in common with us",
    "no renegotiation": "the peer asked for a renegotiation, which is refused",
}

_CODES: Final = {
    value: name.removeprefix("ERR_").replace("_", " ").lower()
    for name, value in vars(SSL.X509VerificationCodes).items()
    if name.startswith("ERR_")
}
_UNTRUSTED: Final = frozenset(
    {
        SSL.X509VerificationCodes.ERR_UNABLE_TO_GET_ISSUER_CERT,
        SSL.X509VerificationCodes.ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
        SSL.X509VerificationCodes.ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE,
        SSL.X509VerificationCodes.ERR_CERT_UNTRUSTED,
        SSL.X509VerificationCodes.ERR_SELF_SIGNED_CERT_IN_CHAIN,
    }
)


class NoSharedProtocolError(Exception):
    """The client offers protocols, and none that we speak; the argument names them."""


def shown(said: str, most: int = SHOWN) -> str:
    """Return what a peer *said* as it can be logged: one line, of a size, and no control codes."""
    text = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode()
        for char in said[: most + 1]
    )
    return text if len(text) <= most else text[: most - 3] + "..."


def speaks_tls(first: bytes) -> bool:
    """Say whether *first*, the beginning of what a peer sent, can be a TLS record."""
    return first[:1] in (b"", b"\x14", b"\x15", b"\x16", b"\x17") and first[1:2] in (b"", b"\x03")


def refused(cert: x509.Certificate, code: int) -> str:
    """Return why OpenSSL refuses *cert*, the *code* of X509_verify_cert."""
    who = f"the certificate of {shown(called(cert))}"
    if code == SSL.X509VerificationCodes.ERR_CERT_HAS_EXPIRED:
        return f"{who} expired on {cert.not_valid_after_utc:%Y-%m-%d}"
    if code == SSL.X509VerificationCodes.ERR_CERT_NOT_YET_VALID:
        return f"{who} is not valid before {cert.not_valid_before_utc:%Y-%m-%d}"
    if code == SSL.X509VerificationCodes.ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        return f"{who} is signed by nobody but itself, and is not trusted"
    if code in _UNTRUSTED:
        issuer = shown(cert.issuer.rfc4514_string()) or "nobody"
        return f"{who} is not trusted: it is signed by {issuer}"
    return f"{who} is refused: {_CODES.get(code, f'error {code}')}"


def explain(error: Exception, why: str = "", first: bytes = b"") -> tuple[int, str]:
    """
    Return an errno and a sentence for what OpenSSL raised.

    Args:
        error: What was raised.
        why: What verification said against the peer's certificate.
        first: The beginning of what the peer sent.
    """
    if why:
        return errno.EACCES, why
    if isinstance(error, NoSharedProtocolError):
        return errno.EPROTO, f"the peer offers only protocols we do not speak: {shown(str(error))}"
    reason = _reason(error)
    if not speaks_tls(first) or reason == "http request":
        return errno.EPROTO, "the peer does not speak TLS"
    if reason == "peer did not return a certificate":
        return errno.EACCES, "the peer has no certificate, and one is required"
    if reason == "certificate verify failed":
        return errno.EACCES, "the peer's certificate is refused"
    alert = _ALERT.search(reason)
    if alert is None:
        said = _SENTENCES.get(reason, f"the peer does not keep to TLS: {reason}")
        return errno.EPROTO, said
    if alert[1] == "certificate required":
        return errno.EACCES, "the peer requires a certificate, and we have none"
    if alert[1] in _OF_CERTIFICATES:
        return errno.EACCES, f"the peer refuses our certificate: {alert[1]}"
    if alert[1] == "protocol version":
        return errno.EPROTO, "the peer allows no version of TLS that we do"
    return errno.EPROTO, f"the peer ended TLS with an alert: {alert[1]}"


def _reason(error: Exception) -> str:
    """Return the first reason in OpenSSL's queue, the one that led to the others."""
    queue: Any = error.args[0] if error.args else None
    if isinstance(queue, list) and queue and isinstance(queue[0], tuple):
        return str(queue[0][-1]).lower() or "unknown"
    return shown(str(error)) or type(error).__name__
