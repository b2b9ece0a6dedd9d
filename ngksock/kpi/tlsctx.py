"""OpenSSL's contexts: what many connections of one configuration share.

A context never changes once it was made: files that change make a new one, and
connections keep the one they began with.  OpenSSL calls the functions here by
pointers a context owns, so a connection holds its contexts to the end, the one
it began with too.

What these functions raise pyOpenSSL keeps with the context they were called
for, and raises it in whatever connection asks that context next: another one's,
once a name has changed the context.  So they raise nothing, but for the choice
of a protocol, which comes after that change.
"""

from __future__ import annotations

import datetime
import errno
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from cryptography import x509
from OpenSSL import SSL, crypto
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import extract_patterns
from service_identity.hazmat import DNS_ID, verify_service_identity
from twisted.logger import Logger

from ngksock.kpi import tlscert, tlsconfig
from ngksock.kpi.tlscert import Identity, Stamp
from ngksock.kpi.tlsconfig import TLSConfig
from ngksock.kpi.tlsfail import NoSharedProtocolError, refused, shown

__all__ = ["ClientContext", "Expected", "ServerContexts", "seen"]

log = Logger(namespace="ngksock.kpi")

T = TypeVar("T")

PARTIAL_WRITE: Final = 1
"""OpenSSL's SSL_MODE_ENABLE_PARTIAL_WRITE, which pyOpenSSL sets: a call would write one record."""

CIPHERS: Final = b"ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20"
"""For TLS 1.2; of TLS 1.3 all are good."""

SESSIONS: Final = 256
"""So many sessions a client keeps to go on with."""

FINAL: Final = frozenset({errno.EINVAL, errno.ENOENT, errno.EISDIR})
"""What stays wrong with a file until it changes; anything else, say EMFILE, may pass by itself."""

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


class _Loaded(NamedTuple):
    """What was loaded, of which files, and of what was wrong that which may pass by itself."""

    stamps: list[Stamp]
    value: Any
    passing: str = ""


class _Files:
    """
    What was loaded out of files, each with the stamps it had.

    ``fresh`` is whether anything was loaded, and not all taken from before.
    ``again`` is whether to try again though no file has changed.
    """

    def __init__(self, config: TLSConfig, before: _Files | None) -> None:
        self.config = config
        self.stamps = seen(config)  # before reading: a change meanwhile is seen later
        self.fresh = False
        self.again = False
        self._before = before
        self._loaded: dict[tuple[str, ...], _Loaded] = {}
        if before is None and config.keylog:
            tlsconfig.append(config.keylog, b"")

    def load(self, call: Callable[..., T], *paths: str) -> T | None:
        """
        Return what *call* loads from *paths*, or what it did before.

        Raises:
            OSError: There is no before, and it cannot be loaded.
        """
        paths = tuple(filter(None, paths))
        stamps = [tlscert.stamp(path) for path in paths]
        was = self._before._loaded.get(paths) if self._before is not None else None
        if was is not None and was.stamps == stamps and not was.passing:
            loaded = was
        else:
            loaded = self._load(call, paths, stamps, was)
        self._loaded[paths] = loaded
        result: T | None = loaded.value
        return result

    def _load(
        self,
        call: Callable[..., Any],
        paths: tuple[str, ...],
        stamps: list[Stamp],
        was: _Loaded | None,
    ) -> _Loaded:
        try:
            value = call(*paths)
        except OSError as error:
            if self._before is None:
                raise
            old = None if was is None else was.value
            stays = "; the old one stays in use" if old is not None else ""
            passing = self._complain(error, stays, "" if was is None else was.passing)
            return _Loaded(stamps, old, passing)
        self.fresh = True
        if isinstance(value, Identity):
            _warn(value)
        return _Loaded(stamps, value)

    def _complain(self, error: OSError, stays: str, said: str) -> str:
        """Log *error*, unless it was *said* before; return that which may pass by itself."""
        why = str(error.strerror)
        if why != said:
            log.error("{why}{stays}", why=why, stays=stays)
        if error.errno in FINAL:
            return ""
        self.again = True
        return why

    def done(self) -> None:
        """Forget what was before."""
        self._before = None


class ServerContexts(_Files):
    """
    The contexts a listener serves with: by name, and for all other names.

    A context is made when the first client asks for its name.  The one for all
    other names has the keys of all tickets, so a session goes on under whatever
    name; whom the listener trusts is the same for all of them.

    Args:
        config: What to load.
        before: Those in use until now; a bad file leaves its old contents
            from there, and is logged, instead of raising.

    Raises:
        OSError: As `TLSConfig.load`.
    """

    def __init__(self, config: TLSConfig, before: ServerContexts | None = None) -> None:
        super().__init__(config, before)
        self._trusted: tuple[x509.Certificate, ...] = ()
        if config.verify:
            self._trusted = self.load(tlscert.load_authorities, config.ca) or ()
        first = self.load(tlscert.load_identity, config.cert, config.key) if config.cert else None
        self._paths: list[str] = []
        self._said = ""
        if config.certdir:
            try:
                self._paths = tlscert.pem_files(config.certdir)
            except OSError as error:
                if before is None:
                    raise
                self._complain(error, "; the old ones stay in use", before._said)
                self._said = str(error.strerror)
                self._paths = before._paths
        loaded = [self.load(tlscert.load_identity, path) for path in self._paths]
        identities = [identity for identity in loaded if identity is not None]
        if first is not None or identities or before is None:
            self._usual = first or identities[0]
            self._named = tlscert.all_names(identities)
        else:  # all bad by now
            self._usual, self._named = before._usual, before._named
        self._made: dict[Identity, SSL.Context] = {}
        if before is not None and before._trusted is self._trusted:
            used = {self._usual, *self._named.values()}
            self._made = {who: made for who, made in before._made.items() if who in used}
        self.default = self._context(self._usual)
        self.done()

    def _context(self, identity: Identity) -> SSL.Context:
        context = self._made.get(identity)
        if context is None:
            context = self._made[identity] = self._make(identity)
        return context

    def _make(self, identity: Identity) -> SSL.Context:
        context = _context(SSL.TLS_SERVER_METHOD, self.config, identity)
        context.set_session_id(b"ngksock")
        if self.config.verify:
            _trust(context, self._trusted)
            for cert in self._trusted:
                context.add_client_ca(cert)
            context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _verify)
        if self.config.alpn:
            context.set_alpn_select_callback(_select)
        if self.config.certdir:  # else one serves whatever the name
            context.set_tlsext_servername_callback(_serve)
        return context

    def serves(self, name: str) -> SSL.Context:
        """Return the context for *name*: its own, one for its domain, or the usual one."""
        name = name.lower().rstrip(".")
        wild = "*." + name.partition(".")[2]
        return self._context(self._named.get(name) or self._named.get(wild) or self._usual)

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
        trusted: tuple[x509.Certificate, ...] | None = None
        if config.verify is not False and config.ca:
            trusted = self.load(tlscert.load_authorities, config.ca) or ()
        self._of = identity, trusted
        self._context: SSL.Context
        self._sessions: OrderedDict[object, SSL.Session]
        if before is not None and before._of[0] is identity and before._of[1] is trusted:
            self._context, self._sessions = before._context, before._sessions
        else:
            self._context = self._make(identity, trusted)
            self._sessions = OrderedDict()
        self.done()

    def _make(
        self, identity: Identity | None, trusted: Sequence[x509.Certificate] | None
    ) -> SSL.Context:
        context = _context(SSL.TLS_CLIENT_METHOD, self.config, identity)
        if self.config.verify is not False:
            if trusted is None:
                context.set_default_verify_paths()
            else:
                _trust(context, trusted)
            context.set_verify(SSL.VERIFY_PEER, _verify)
        if self.config.alpn:
            context.set_alpn_protos([name.encode() for name in self.config.alpn])
        return context

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
        identity.use(context)
    if config.keylog:
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
        names = shown(", ".join(tlscert.all_san(found))) or "no name at all"
        expected.why = f"the certificate is for {names}, not for {expected.name}"
        return False
    except Exception as error:
        why = shown(str(error)) or type(error).__name__
        expected.why = expected.why or f"the peer's certificate is damaged: {why}"
        return False
    return True


def _serve(connection: SSL.Connection) -> None:
    name = connection.get_servername()
    try:
        found = connection.get_app_data().contexts.serves((name or b"").decode("latin-1"))
        if found is not connection.get_context():
            connection.set_context(found)
    except Exception:
        log.failure("no certificate for {name!r}; the usual one serves", name=name)


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
