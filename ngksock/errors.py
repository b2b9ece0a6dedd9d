"""Foreign errors become errno here, and nowhere else.

Everything in ngksock raises plain `OSError(errno, text)` and Python picks the
subclass.  Twisted has exceptions of its own; `errno_of` turns each of them
into an errno, and a test enumerates ``twisted.internet.error`` and fails on
one that has no row here.  `words` is the way back: what people read.
"""

from __future__ import annotations

import errno
import os
from typing import Final

from twisted.internet import error as foreign
from twisted.python.failure import Failure

__all__ = ["TWISTED", "errno_name", "errno_of", "oserror", "words"]

TWISTED: Final[dict[type[BaseException], int]] = {
    # the end of a connection
    foreign.ConnectionDone: 0,  # a clean end is no error
    foreign.ProcessDone: 0,
    foreign.ConnectionLost: errno.ECONNRESET,
    foreign.ConnectionClosed: errno.ECONNRESET,
    foreign.ConnectionAborted: errno.ECONNABORTED,
    foreign.ConnectionFdescWentAway: errno.EBADF,
    foreign.FileDescriptorOverrun: errno.EMSGSIZE,
    foreign.ProcessTerminated: errno.ECONNRESET,
    # beginning one
    foreign.ConnectError: errno.ECONNREFUSED,
    foreign.ConnectBindError: errno.EADDRNOTAVAIL,
    foreign.ConnectionRefusedError: errno.ECONNREFUSED,
    foreign.ConnectInProgressError: errno.EINPROGRESS,
    foreign.ConnectingCancelledError: errno.ECONNABORTED,
    foreign.NoRouteError: errno.EHOSTUNREACH,
    foreign.TCPTimedOutError: errno.ETIMEDOUT,
    foreign.TimeoutError: errno.ETIMEDOUT,
    foreign.UserError: errno.ECONNABORTED,
    foreign.BadFileError: errno.ENOTSOCK,
    foreign.SSLError: errno.EPROTO,
    foreign.CertificateError: errno.EACCES,
    foreign.VerifyError: errno.EACCES,
    foreign.PeerVerifyError: errno.EACCES,
    # names and addresses: there is no resolver here, so a name is EINVAL
    foreign.DNSLookupError: errno.EINVAL,
    foreign.UnknownHostError: errno.EINVAL,
    foreign.ServiceNameUnknownError: errno.EINVAL,
    foreign.InvalidAddressError: errno.EINVAL,
    foreign.BindError: errno.EADDRNOTAVAIL,
    foreign.CannotListenError: errno.EADDRINUSE,
    foreign.UnsupportedAddressFamily: errno.EAFNOSUPPORT,
    foreign.UnsupportedSocketType: errno.EPROTONOSUPPORT,
    foreign.MessageLengthError: errno.EMSGSIZE,
    foreign.MulticastJoinError: errno.EADDRNOTAVAIL,
    # a call at the wrong moment
    foreign.AlreadyCalled: errno.EALREADY,
    foreign.AlreadyCancelled: errno.EALREADY,
    foreign.AlreadyListened: errno.EALREADY,
    foreign.NotConnectingError: errno.EINVAL,
    foreign.NotListeningError: errno.EINVAL,
    foreign.NoProtocol: errno.ECONNABORTED,
    foreign.ProcessExitedAlready: errno.ESRCH,
    foreign.ReactorAlreadyInstalledError: errno.EALREADY,
    foreign.ReactorAlreadyRunning: errno.EALREADY,
    foreign.ReactorNotRestartable: errno.EINVAL,
    foreign.ReactorNotRunning: errno.EINVAL,
}
"""Every exception of ``twisted.internet.error``, with the errno it stands for."""


def errno_of(reason: Failure | BaseException) -> int:
    """
    Return the errno of any exception or failure; 0 for a clean end.

    The system's own number is preferred wherever the exception carries one
    (an OSError, the ``osError`` of a ConnectError, the ``socketError`` of a
    CannotListenError); then the row of the nearest class; else EIO.
    """
    exc = reason.value if isinstance(reason, Failure) else reason
    for carried in (
        exc,
        getattr(exc, "osError", None),
        getattr(exc, "socketError", None),
    ):
        code = carried if isinstance(carried, int) else getattr(carried, "errno", None)
        if isinstance(code, int) and code:
            return code
    for cls in type(exc).__mro__:
        if cls in TWISTED:
            return TWISTED[cls]
    return errno.EIO


def errno_name(code: int) -> str:
    """Return the symbol of an errno, as ``ECONNREFUSED``; else the number."""
    return errno.errorcode.get(code, str(code))


def words(code: int) -> str:
    """Return an errno as people read it: ``ECONNREFUSED (Connection refused)``."""
    return f"{errno_name(code)} ({os.strerror(code)})"


def oserror(code: int, text: str | None = None) -> OSError:
    """
    Return the OSError of an errno; Python picks the subclass.

    Args:
        code: The errno, a number of this host.
        text: A sentence that says more than strerror does, or None.
    """
    return OSError(code, os.strerror(code) if text is None else text)
