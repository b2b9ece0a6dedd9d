"""A daemon in a process of its own, for the tests of those who attach to it."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase, TestCase

from ngksock.client import NodeSocket, connect
from tests.integration.service import TWISTD, Service, environment


class Daemon:
    """
    A daemon; it is ready when this returns.

    Args:
        text: The commands that make its graph.

    ``path`` is that of its control socket, ``folder`` is its own.
    """

    _shared: dict[str, Daemon] = {}  # noqa: RUF012 - of all of them

    def __init__(self, text: str = "") -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ngk"))
        script = self.folder / "graph.ng"
        script.write_text(text, encoding="utf-8")
        env = environment(self.folder)
        self.path = env["NGD_SOCKET"]
        words = [*TWISTD, "-n", "--pidfile=", "ngksock", str(script)]
        self.service = Service(words, env)
        atexit.register(self.stop)
        try:
            self.service.wait_ready()
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Daemon:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.check()

    @classmethod
    def shared(cls, text: str) -> Daemon:
        """Return the daemon with that graph, which lives until the process ends."""
        found = cls._shared.get(text)
        if found is None:
            found = cls._shared[text] = cls(text)
        return found

    def check(self) -> None:
        """Assert that nothing went wrong in it so far."""
        if "Traceback" in self.service.log:
            raise AssertionError(self.service.last_words)

    def stop(self) -> None:
        """End it; again is no error."""
        atexit.unregister(self.stop)
        if self.service.process.poll() is None:
            self.service.stop()
        self.service.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class SharedDaemon:
    """
    What cases have whose tests share a daemon.

    ``graph`` makes its graph; ``path`` is that of its control socket.
    """

    graph = ""
    path: str

    def share(self, case: SynchronousTestCase) -> None:
        """See that the daemon runs, and that the test leaves it well."""
        running = Daemon.shared(self.graph)
        self.path = running.path
        case.addCleanup(running.check)


class DaemonCase(SharedDaemon, SynchronousTestCase):
    """A case whose tests share a daemon, and wait for it."""

    maxDiff = None

    def setUp(self) -> None:
        self.share(self)

    def connect(self, name: str | None = None, data: bool = True) -> NodeSocket:
        """Return a node that ends with the test."""
        node = connect(name, self.path, data)
        self.addCleanup(node.close)
        return node

    def assert_errno(self, number: int, error: OSError) -> None:
        """Assert that *error* has that errno."""
        self.assertEqual(number, error.errno, str(error))


class DeferredDaemonCase(SharedDaemon, TestCase):
    """A case whose tests share a daemon, and return Deferreds."""

    maxDiff = None

    def setUp(self) -> None:
        self.share(self)
