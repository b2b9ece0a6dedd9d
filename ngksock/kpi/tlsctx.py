"""OpenSSL's contexts: what many connections of one configuration share.

A context never changes once it was made: files that change make a new one, and
connections keep the one they began with.  OpenSSL calls the functions here by
pointers a context owns, so a connection holds its contexts to the end, the one
it began with too.
"""

from __future__ import annotations

import datetime
import errno
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from cryptography import x509
from OpenSSL import SSL, crypto
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import extract_patterns
from service_identity.hazmat import DNS_ID, verify_service_identity
from twisted.logger import Logger

from ngksock.errors import oserror
from ngksock.kpi import tlscert, tlsconfig
from ngksock.kpi.tlscert import Identity, Stamp
from ngksock.kpi.tlsconfig import TLSConfig
from ngksock.kpi.tlsfail import NoSharedProtocolError, refused

__all__ = ["ClientContext", "Expected", "ServerContexts", "seen"]

log = Logger(namespace="ngksock.kpi")

T = TypeVar("T")

PARTIAL_WRITE: Final = 1
"""OpenSSL's SSL_MODE_ENABLE_PARTIAL_WRITE, which pyOpenSSL sets: a call would write one record."""

CIPHERS: Final = b"ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20"
"""For TLS 1.2; of TLS 1.3 all are good."""

SESSIONS: Final = 256
"""So many sessions a client keeps to go on with."""

_MIN: Final = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}


class Expected:
    """
    What one connection expects of its peer, for the functions OpenSSL calls.

    Args:
        contexts: Whose context the connection began with.
        identity: What the peer's certificate must vouch for, or None.
        name: That, as people write it.

    ``why`` is what was found wrong with the peer's certificate.
    """

    __slots__ = ("contexts", "identity", "name", "why")

    def __init__(
        self, contexts: ClientContext | ServerContexts, identity: Any = None, name: str = ""
    ) -> None:
        self.contexts = contexts
        self.identity = identity
        self.name = name
        self.why = ""


class _Files:
    """
    What was loaded out of files, each with the stamps it had.

    ``fresh`` is whether anything was loaded, and not all taken from before.
    """

    def __init__(self, config: TLSConfig, before: _Files | None) -> None:
        self.config = config
        self.stamps = seen(config)  # before reading: a change meanwhile is seen later
        self.fresh = False
        self._before = before
        self._loaded: dict[tuple[str, ...], tuple[list[Stamp], Any]] = {}

    def load(self, call: Callable[..., T], *paths: str) -> T | None:
        """
        Return what *call* loads from *paths*, or what it did before.

        Raises:
            OSError: There is no before, and it cannot be loaded.
        """
        paths = tuple(filter(None, paths))
        stamps = [tlscert.stamp(path) for path in paths]
        was = self._before._loaded.get(paths) if self._before is not None else None
        if was is not None and was[0] == stamps:
            value = was[1]
        else:
            value = None if was is None else was[1]
            try:
                value = call(*paths)
                self.fresh = True
                if isinstance(value, Identity):
                    _warn(value)
            except OSError as error:
                if self._before is None:
                    raise
                stays = "; the old one stays in use" if was is not None else ""
                log.error("{why}{stays}", why=error.strerror, stays=stays)
        self._loaded[paths] = stamps, value
        result: T | None = value
        return result

    def done(self) -> None:
        """Forget what was before."""
        self._before = None


class ServerContexts(_Files):
    """
    The contexts a listener serves with: by name, and for all other names.

    Args:
        config: What to load.
        before: Those in use until now; a bad file leaves its old contents
            from there, and is logged, instead of raising.

    Raises:
        OSError: As `TLSConfig.load`.
    """

    def __init__(self, config: TLSConfig, before: ServerContexts | None = None) -> None:
        super().__init__(config, before)
        trusted: Sequence[x509.Certificate] = ()
        if config.verify:
            trusted = self.load(tlscert.load_authorities, config.ca) or ()
        first = self.load(tlscert.load_identity, config.cert, config.key) if config.cert else None
        self._paths: list[str] = []
        if config.certdir:
            try:
                self._paths = tlscert.pem_files(config.certdir)
            except OSError as error:
                if before is None:
                    raise
                log.error("{why}; the old ones stay in use", why=error.strerror)
                self._paths = before._paths
        loaded = [self.load(tlscert.load_identity, path) for path in self._paths]
        identities = [identity for identity in loaded if identity is not None]
        self.default: SSL.Context
        self._named: dict[str, SSL.Context] = {}
        if first is not None or identities:
            default = first or identities[0]
            made = {id(default): self._context(default, trusted)}
            self.default = made[id(default)]
            for name, identity in tlscert.all_names(identities).items():
                if id(identity) not in made:
                    made[id(identity)] = self._context(identity, trusted)
                self._named[name] = made[id(identity)]
        elif before is not None:  # all bad by now
            self.default, self._named = before.default, before._named
        self.done()

    def _context(self, identity: Identity, trusted: Sequence[x509.Certificate]) -> SSL.Context:
        context = _context(SSL.TLS_SERVER_METHOD, self.config, identity)
        context.set_session_id(b"ngksock")
        if trusted:
            _trust(context, trusted)
            for cert in trusted:
                context.add_client_ca(cert)
            context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _verify)
        if self.config.alpn:
            context.set_alpn_select_callback(_select)
        context.set_tlsext_servername_callback(_serve)
        return context

    def serves(self, name: str) -> SSL.Context:
        """Return the context for *name*: its own, one for its domain, or the usual one."""
        name = name.lower().rstrip(".")
        wild = "*." + name.partition(".")[2]
        return self._named.get(name) or self._named.get(wild) or self.default

    def connection(self) -> SSL.Connection:
        """Return a server's side of a connection."""
        connection = SSL.Connection(self.default, None)
        connection.set_app_data(Expected(self))
        connection.set_accept_state()
        return connection


class ClientContext(_Files):
    """
    The context of connecting sockets of one configuration, and their sessions.

    Args:
        config: What to load; its servername and timeout do not matter.
        before: As with `ServerContexts`.

    Raises:
        OSError: As `TLSConfig.load`.
    """

    def __init__(self, config: TLSConfig, before: ClientContext | None = None) -> None:
        super().__init__(config, before)
        identity = (
            self.load(tlscert.load_identity, config.cert, config.key) if config.cert else None
        )
        self._context = context = _context(SSL.TLS_CLIENT_METHOD, config, identity)
        if config.verify is not False:
            if config.ca:
                _trust(context, self.load(tlscert.load_authorities, config.ca) or ())
            else:
                context.set_default_verify_paths()
            context.set_verify(SSL.VERIFY_PEER, _verify)
        if config.alpn:
            context.set_alpn_protos([name.encode() for name in config.alpn])
        self._sessions: OrderedDict[object, SSL.Session] = OrderedDict()
        self.done()

    def connection(self, name: str, to: object) -> SSL.Connection:
        """Return a client's side of a connection to *name* at *to*."""
        connection = SSL.Connection(self._context, None)
        expected = Expected(self)
        if name:
            identity = tlsconfig.identity_of(name)
            if isinstance(identity, DNS_ID):
                connection.set_tlsext_host_name(identity.hostname)
            if self.config.verify is not False:
                expected.identity, expected.name = identity, name
        connection.set_app_data(expected)
        session = self._sessions.get((name, to))
        if session is not None:
            connection.set_session(session)
        connection.set_connect_state()
        return connection

    def keep(self, connection: SSL.Connection, name: str, to: object) -> None:
        """Keep the session of *connection* for the next one to *name* at *to*."""
        session = connection.get_session()
        if session is not None:
            self._sessions[name, to] = session
            self._sessions.move_to_end((name, to))
            if len(self._sessions) > SESSIONS:
                self._sessions.popitem(last=False)


def seen(config: TLSConfig) -> list[tuple[str, Stamp]]:
    """Return all files of *config*, and by what a change of each is known."""
    paths = [config.cert, config.key, config.ca]
    if config.certdir:
        try:
            paths += tlscert.pem_files(config.certdir)
        except OSError:
            paths.append(config.certdir)
    return [(path, tlscert.stamp(path)) for path in paths if path]


def _context(method: int, config: TLSConfig, identity: Identity | None) -> SSL.Context:
    context = SSL.Context(method)
    context.set_min_proto_version(_MIN[config.minversion])
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    context.clear_mode(PARTIAL_WRITE)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.set_cipher_list(CIPHERS)
    # Tickets need no cache, and a cache would grow with every client.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    if identity is not None:
        try:
            context.use_certificate(identity.chain[0])
            for cert in identity.chain[1:]:
                context.add_extra_chain_cert(cert)
            context.use_privatekey(identity.key)
        except SSL.Error as error:
            words = ", ".join(str(entry[-1]) for entry in error.args[0])
            raise oserror(
                errno.EINVAL, f"TLS cannot use the certificate in {identity.path}: {words}"
            ) from None
    if config.keylog:
        tlsconfig.append(config.keylog, b"")
        context.set_keylog_callback(_log_key)
    return context


def _trust(context: SSL.Context, trusted: Sequence[x509.Certificate]) -> None:
    store = context.get_cert_store()
    assert store is not None  # every context has one
    for cert in trusted:
        store.add_cert(crypto.X509.from_cryptography(cert))
    # Who is named is trusted, be it a root or not.
    store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)


def _warn(identity: Identity) -> None:
    until = identity.chain[0].not_valid_after_utc
    if until < datetime.datetime.now(datetime.UTC):
        log.warn(
            "the certificate in {path} expired on {day:%Y-%m-%d}", path=identity.path, day=until
        )


# -- OpenSSL calls these


def _verify(connection: SSL.Connection, cert: crypto.X509, code: int, depth: int, ok: int) -> bool:
    expected: Expected = connection.get_app_data()
    if ok and (depth or expected.identity is None):
        return True
    try:
        found = cert.to_cryptography()
        if not ok:
            expected.why = expected.why or refused(found, code)
            return False
        verify_service_identity(extract_patterns(found), [expected.identity], [])
    except (VerificationError, CertificateError):
        names = ", ".join(tlscert.all_san(found)) or "no name at all"
        expected.why = f"the certificate is for {names}, not for {expected.name}"
        return False
    except ValueError as error:
        expected.why = f"the peer's certificate is damaged: {error}"
        return False
    return True


def _serve(connection: SSL.Connection) -> None:
    name = connection.get_servername()
    contexts = connection.get_app_data().contexts
    if name and contexts.serves(name.decode("latin-1")) is not connection.get_context():
        connection.set_context(contexts.serves(name.decode("latin-1")))


def _select(connection: SSL.Connection, offered: list[bytes]) -> bytes:
    for name in connection.get_app_data().contexts.config.alpn:
        if name.encode() in offered:
            return bytes(name.encode())
    names = b", ".join(offered).decode("latin-1")
    raise NoSharedProtocolError(names)


def _log_key(connection: SSL.Connection, line: bytes) -> None:
    try:
        tlsconfig.append(connection.get_app_data().contexts.config.keylog, line)
    except OSError as error:
        log.error("{why}", why=error.strerror)
