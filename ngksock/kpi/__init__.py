"""The socket KPI: XNU's kernel socket calls over the sockets of the host.

Theory of operation.  `SocketKPI` makes `Socket` objects on one reactor.  A
program installs upcalls, which say *look again* and carry no data, and looks
with calls that never block: EWOULDBLOCK means wait for the next upcall.

Three layers::

    Socket            the verbs, the states, so_rcv and so_snd (no descriptor)
    IUserRequests     the narrow waist, in BSD's words
    StreamDriver ...  the host's descriptors on Twisted's reactor (no rule)

This version has the non-blocking calls alone: every socket has SS_NBIO set.
The waiting forms, which return a Deferred, come beside them later and change
none of them.
"""

from ngksock.kpi.provider import SocketKPI
from ngksock.kpi.socket import Socket

__all__ = ["Socket", "SocketKPI"]
