"""The ksocket keeps what all types promise, with each kind of socket there is."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

import tests.nodes.test_ksocket  # noqa: F401 - it says how addresses and options look
from ngksock.nodes.ksocket import ksocket
from ngksock.testing import check_node_type
from tests.integration.service import free_port


class ConformTests(SynchronousTestCase):
    """
    Real sockets, on a reactor that never reads nor writes them.

    What comes back from the system is the subject of the other modules.
    """

    def conforms(self, kind: str, *setup: str) -> None:
        """Assert that a ksocket with that hook keeps the promises."""
        check_node_type(ksocket, hooks=(kind,), setup=setup, examples=20)

    def test_udp(self) -> None:
        """Datagrams of both families, also bound, and with an option."""
        self.conforms("inet/dgram/udp")
        self.conforms("inet6/dgram/udp")
        bind = f"bind inet/127.0.0.1:{free_port()}"  # which status() tells
        self.conforms("inet/dgram/udp", "setopt { so_rcvbuf=65536 }", bind)

    def test_streams(self) -> None:
        """Streams that are not connected, and one that listens."""
        self.conforms("inet/stream/tcp")
        self.conforms("local/stream/0")
        self.conforms("inet/stream/tcp", f"bind inet/127.0.0.1:{free_port()}", "listen 5")

    def test_local(self) -> None:
        """Local datagrams and packets."""
        self.conforms("local/dgram/0")
        self.conforms("local/seqpacket/0")

    def test_tls(self) -> None:
        """A stream that speaks TLS."""
        self.conforms("inet/stream/tls")
