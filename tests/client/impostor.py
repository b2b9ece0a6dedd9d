"""What only seems to be a daemon, for the tests of those who attach to it."""

from __future__ import annotations

import socket
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from ngksock import ngd

Serve = Callable[["Peer"], None]


class Peer:
    """
    One client of an `Impostor`.

    Args:
        sock: Its connection.

    ``events`` is our end of its event channel, once it was welcomed.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.events, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def call(self) -> ngd.Call:
        """Return the next call; EPROTO at the end."""
        return ngd.Call.unpack(self.sock.recv(ngd.CALL_MAX))

    def reply(self, call: ngd.Call, body: bytes = b"", errno: int = 0) -> None:
        """Answer *call*."""
        self.sock.send(ngd.Reply(call.op, call.seq, errno, body).pack())

    def welcome(self, body: bytes | None = None, given: int | None = None) -> None:
        """Answer HELLO; *given* is the descriptor to pass, if not that of the events."""
        call = self.call()
        said = ngd.Welcome(1, 131072).pack() if body is None else body
        number = self.theirs.fileno() if given is None else given
        socket.send_fds(self.sock, [ngd.Reply(call.op, call.seq, 0, said).pack()], [number])

    def wait(self) -> None:
        """Wait until it lets go, whatever it says."""
        while self.sock.recv(ngd.CALL_MAX):
            pass

    def close(self) -> None:
        """Let go of it."""
        for sock in (self.sock, self.events, self.theirs):
            sock.close()


class Impostor:
    """
    Listens like a daemon until the test ends.

    Args:
        case: The test.
        serve: Takes each client, in a thread, one after the other.
        backlog: How many may wait to be accepted.
    """

    def __init__(self, case: SynchronousTestCase, serve: Serve, backlog: int = 5) -> None:
        self._serve = serve
        self._held = ExitStack()
        folder = self._held.enter_context(tempfile.TemporaryDirectory(prefix="ngk"))
        self.path = str(Path(folder) / "d.sock")
        self._listener = self._held.enter_context(
            socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        )
        self._listener.bind(self.path)
        self._listener.listen(backlog)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        case.addCleanup(self._close)

    def start(self) -> str:
        """Begin to accept clients; return the path of the socket."""
        self._thread.start()
        return self.path

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                peer = Peer(self._listener.accept()[0])
                with suppress(OSError):
                    self._serve(peer)
                peer.close()

    def _close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        if self._thread.ident is not None:
            self._thread.join(10)
        self._held.close()
