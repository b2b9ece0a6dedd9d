"""The control socket's place, without a process: groups, folders, and what is said of them."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from ngksock import ngd
from ngksock.netgraph import Graph
from ngksock.plugin import find_type
from ngksock.service.control import ControlServer, Place, PlaceError, group_number, place


class PlaceTests(TestCase):
    """Where it is made, what is said if it cannot be, and what is left behind."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ngk"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.graph = Graph(
            find_type, lambda work: reactor.callLater(0, work), reactor.seconds, self.report
        )
        self.warned: list[str] = []
        self.closing = ExitStack()
        self.addCleanup(self.closing.close)

    def report(self, sentence: str, error: Exception | None) -> None:
        self.fail(f"{sentence}: {error}")

    def opened(self, where: Place) -> ControlServer | None:
        server = where.open(self.graph, reactor, self.warned.append)
        if server is not None:
            self.closing.callback(server.close)
        return server

    def test_relative(self) -> None:
        """A relative path begins in the folder of the start."""
        server = self.opened(Place("c.sock", directory=str(self.folder)))
        self.assertEqual(f"{self.folder}/c.sock", str(server))
        self.assertEqual(["c.sock"], os.listdir(self.folder))
        self.closing.close()
        self.assertEqual([], os.listdir(self.folder))

    def test_close_twice(self) -> None:
        """Closed twice, or with its file gone, or replaced: no error, no other's file removed."""
        path = self.folder / "c.sock"
        server = self.opened(Place(str(path)))
        assert server is not None
        path.unlink()
        path.write_text("another's")
        server.close()
        server.close()
        self.assertEqual("another's", path.read_text())

    def test_usual_place(self) -> None:
        """The usual place that cannot be had is a warning, and no server."""
        self.patch(os, "environ", os.environ | {"NGD_SOCKET": f"{self.folder}/no/c"})
        self.patch(ngd.default_path, "__defaults__", (os.environ,))
        self.assertIsNone(self.opened(Place()))
        self.assertEqual(
            [
                f"no control socket at {self.folder}/no/c: No such file or directory; "
                "--control PATH makes one elsewhere"
            ],
            self.warned,
        )

    def test_asked_for(self) -> None:
        """One that was asked for is an error of one line; the system's words are there once."""
        said = str(self.assertRaises(PlaceError, self.opened, Place(f"{self.folder}/no/c")))
        self.assertEqual(
            f"ngksock: --control {self.folder}/no/c: ENOENT (No such file or directory)", said
        )
        self.assertEqual([], self.warned)

    def test_folder(self) -> None:
        """Of the usual folders only /run/ngksock is made, whatever the umask, and once."""
        made = self.folder / "run"
        self.patch(place, "RUN", str(made))
        before = os.umask(0o077)
        self.addCleanup(os.umask, before)
        for _ in range(2):
            place.make_folder(f"{made}/ngksock.sock")
            self.assertEqual(0o755, made.stat().st_mode & 0o777)
            made.chmod(0o755)
        place.make_folder(f"{self.folder}/other/ngksock.sock")
        self.assertEqual(["run"], os.listdir(self.folder))

    def test_groups(self) -> None:
        """A group is a name or a number."""
        self.assertEqual(0, group_number("root"))
        self.assertEqual(4242, group_number("4242"))
        for wrong in ("no such group", "", "-1", "1.5", "99999999999", "\u0663"):
            self.assertRaises(ValueError, group_number, wrong)

    def test_group_refused(self) -> None:
        """A group that the file cannot be given to: an error, and no file stays."""

        def refuse(*_: object) -> None:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

        self.patch(os, "chown", refuse)
        said = self.assertRaises(
            PlaceError, self.opened, Place(f"{self.folder}/c", group=os.getgid())
        )
        self.assertEqual("ngksock: --control-group: EPERM (Operation not permitted)", str(said))
        said = self.assertRaises(PlaceError, self.opened, Place(f"{self.folder}/c", user=1))
        self.assertEqual("ngksock: --uid: EPERM (Operation not permitted)", str(said))
        self.assertEqual([], os.listdir(self.folder))
