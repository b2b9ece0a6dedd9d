"""TLS in memory by OpenSSL's own functions: a guest beside `ngksock.kpi.tlsrecord`.

pyOpenSSL's ``recv`` makes a buffer, fills it, copies it, and raises when there
is nothing more; here one buffer takes in what several records hold, and a look
tells whether there is something to send.  What is done differs in nothing else:
all that is not plain success goes to pyOpenSSL, which knows what to raise.

The names are pyOpenSSL's private ones.  Where one is missing `USABLE` is False,
and nobody takes this way.
"""

from __future__ import annotations

from typing import Any, Final

from OpenSSL import SSL, _util

from ngksock.kpi.tlsrecord import RECORD, Records
from ngksock.packet import Batch, Piece

__all__ = ["USABLE", "DirectRecords"]

_ffi: Final[Any] = _util.ffi
_lib: Final[Any] = _util.lib


def _usable() -> bool:
    """Return whether pyOpenSSL has, and does, what this needs."""
    names = ("SSL_read", "SSL_get_error", "SSL_ERROR_WANT_READ", "BIO_get_mem_data")
    if not all(hasattr(_lib, name) for name in names):
        return False
    try:
        conn = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)
        conn.bio_write(b"abc")
        there = _lib.BIO_get_mem_data(conn._into_ssl, _ffi.NULL)
        absent = _lib.BIO_get_mem_data(conn._from_ssl, _ffi.NULL)
        return (there, absent) == (3, 0) and callable(conn._raise_ssl_error) and bool(conn._ssl)
    except Exception:  # whatever it is, it is not what is known here
        return False


USABLE: Final = _usable()


class DirectRecords(Records):
    """
    One side of a connection, by OpenSSL's own functions.

    Args:
        conn: OpenSSL's, on buffers in memory.
        slot: Where plaintext is put before it is copied out, a record's at
            least; all connections of one thread may share it.
    """

    __slots__ = ("_at", "_bio", "_slot", "_ssl")

    def __init__(self, conn: SSL.Connection, slot: memoryview) -> None:
        super().__init__(conn)
        self._ssl: Any = conn._ssl
        self._bio: Any = conn._from_ssl
        self._slot = slot
        # Of what is below: a view that lends itself cannot be collected.
        self._at: Any = _ffi.from_buffer(slot.obj)

    def open(self, data: bytes = b"") -> tuple[Batch, Exception | None]:
        conn, ssl, at, read = self.conn, self._ssl, self._at, _lib.SSL_read
        if data:
            conn.bio_write(data)
        batch = Batch((), 0)
        most = len(self._slot) - RECORD
        size = 0
        ended: Exception | None = None
        while True:
            got = read(ssl, at + size, RECORD)
            if got <= 0:
                break
            size += got
            if size > most:
                batch.add(Piece(bytes(self._slot[:size])))
                size = 0
        if size:
            batch.add(Piece(bytes(self._slot[:size])))
        if _lib.SSL_get_error(ssl, got) != _lib.SSL_ERROR_WANT_READ:
            try:
                conn._raise_ssl_error(ssl, got)
            except SSL.WantReadError:  # pragma: no cover (it was looked at before)
                pass
            except Exception as error:
                ended = error
        self._collect(0)
        return batch, ended

    def _collect(self, plain: int) -> None:
        waits = _lib.BIO_get_mem_data(self._bio, _ffi.NULL)
        if waits:
            self._out.append(self.conn.bio_read(waits))
            self.waiting += waits
