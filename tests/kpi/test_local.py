"""Local sockets: who may take a path, and who removes it."""

from __future__ import annotations

import errno
import os
import socket
import stat
import sys

from ngksock.kpi import SocketKPI
from ngksock.kpi.sockaddr import SUN_PATH
from ngksock.kpi.sockopt import SO_MODE, WORDS
from tests.kpi.sockets import DGRAM, SEQPACKET, STREAM, UNIX, KPITestCase, Owner, packets

SOL = int(socket.SOL_SOCKET)


class PathTests(KPITestCase):
    def stale(self, type: int = STREAM) -> str:
        """Return a path a program left behind when it crashed."""
        path = self.mktemp_short()
        with socket.socket(socket.AF_UNIX, type) as sock:
            sock.bind(path)
        return path

    def test_stale(self) -> None:
        """A path nobody answers on is taken over, whatever the type."""
        for type in (STREAM, DGRAM, SEQPACKET):
            path = self.stale(type)
            so = self.socket(UNIX, type)
            so.bind(path)
            self.assertEqual(path, so.getsockname())
            so.close()
            self.assertFalse(os.path.exists(path))

    def test_live(self) -> None:
        """A path somebody answers on is in use: listening, or a datagram socket's."""
        for type in (STREAM, DGRAM, SEQPACKET):
            path = self.mktemp_short()
            with socket.socket(socket.AF_UNIX, type) as sock:
                sock.bind(path)
                if type != DGRAM:
                    sock.listen(1)
                for mine in (STREAM, DGRAM, SEQPACKET):
                    call = self.socket(UNIX, mine).bind
                    self.assertEqual(errno.EADDRINUSE, self.errno_of(call, path))
            self.assertTrue(os.path.exists(path))

    def test_not_listening_yet(self) -> None:
        """One of ours that is bound and does not listen yet keeps its path."""
        path = self.mktemp_short()
        self.socket(UNIX).bind(path)
        self.assertEqual(errno.EADDRINUSE, self.errno_of(self.socket(UNIX).bind, path))

    def test_other_file(self) -> None:
        """A file of another kind is never touched; the sentence says what to do."""
        path = self.mktemp_short()
        with open(path, "w") as file:
            file.write("precious")
        error = self.assertRaises(OSError, self.socket(UNIX).bind, path)
        self.assertEqual(errno.EADDRINUSE, error.errno)
        self.assertIn("remove it", error.strerror or "")
        with open(path) as file:
            self.assertEqual("precious", file.read())

    def test_only_our_own(self) -> None:
        """Close removes our file alone, not one that has taken its place."""
        path = self.mktemp_short()
        so = self.socket(UNIX)
        so.bind(path)
        os.unlink(path)
        so.close()  # nothing there: fine
        so = self.socket(UNIX)
        so.bind(path)
        keep = os.stat(path)  # noqa: F841  (its inode is not reused while linked)
        os.rename(path, path + ".old")
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(path)
            so.close()
            self.assertTrue(os.path.exists(path))

    def test_folder_gone(self) -> None:
        """A socket closes whatever became of the folder its file was in."""
        for again in (os.mkdir, lambda path: os.close(os.open(path, os.O_CREAT))):
            folder = self.mktemp_short()
            os.mkdir(folder)
            so = self.socket(UNIX, DGRAM)
            so.bind(f"{folder}/s")
            os.unlink(f"{folder}/s")
            os.rmdir(folder)
            again(folder)
            self.successResultOf(so.close())
            self.assertEqual(set(), self.kpi._sockets)

    def test_mode(self) -> None:
        """The file has mode 0660, or the one asked for; the umask is as before."""
        mask = os.umask(0o022)
        self.addCleanup(os.umask, mask)
        for mode in (None, 0o600, 0o666, 0o777):
            so = self.socket(UNIX)
            if mode is not None:
                so.setsockopt(SOL, SO_MODE, mode)
            so.bind(path := self.mktemp_short())
            found = stat.S_IMODE(os.stat(path).st_mode)
            self.assertEqual(0o660 if mode is None else mode, found)
        self.assertEqual(0o022, os.umask(0o022))
        word = WORDS["so_mode"]
        word.host().set(so, word.encode("0640"))
        self.assertEqual("0640", word.decode(word.host().get(so)))

    def test_too_long(self) -> None:
        """A path that does not fit is ENAMETOOLONG with a sentence, however it is given."""
        so = self.socket(UNIX)
        for path in ("/" + "x" * SUN_PATH, "x" * (SUN_PATH - 1)):
            error = self.assertRaises(OSError, so.bind, path)
            self.assertEqual(errno.ENAMETOOLONG, error.errno)
            self.assertIn(str(SUN_PATH), error.strerror or "")

    def test_absolute(self) -> None:
        """A relative path counts from where the KPI was made, not from where we are."""
        before = os.getcwd()
        self.addCleanup(os.chdir, before)
        folder = os.path.dirname(self.mktemp_short())
        os.chdir(folder)
        kpi = SocketKPI(self.kpi.reactor)
        os.chdir("/")
        self.assertEqual(f"{folder}/s", kpi.absolute("s"))
        self.assertEqual("/s", kpi.absolute(b"/s"))
        so = kpi.socket(UNIX, DGRAM)
        so.bind("s")
        self.assertEqual(f"{folder}/s", so.getsockname())
        sender = kpi.socket(UNIX, DGRAM)
        batch = packets(b"x")
        batch.names = ["s"]
        self.assertEqual(1, sender.sendbatch(batch))
        kpi.closeall()
        self.assertFalse(os.path.exists(f"{folder}/s"))

    def test_odd_bytes(self) -> None:
        """Any byte but NUL can be in a path; it comes back as one character."""
        path = self.mktemp_short().encode() + b"\xff\xc3\xa9"
        so = self.socket(UNIX, DGRAM)
        so.bind(path.decode("latin-1"))
        self.assertTrue(os.path.exists(path))
        self.assertEqual(path.decode("latin-1"), so.getsockname())

    async def test_abstract(self) -> None:
        """On Linux a name with a leading NUL is no file at all."""
        if sys.platform != "linux":
            self.assertEqual(errno.EINVAL, self.errno_of(self.socket(UNIX).bind, "\0x"))
            return
        name = f"\0ngksock-{os.getpid()}"
        server = Owner(self.socket(UNIX, DGRAM))
        server.so.bind(name)
        self.assertEqual(name, server.so.getsockname())
        batch = packets(b"x")
        batch.names = [name]
        self.socket(UNIX, DGRAM).sendbatch(batch)
        await server.until(lambda: server.received)

    def test_no_such_path(self) -> None:
        """Connecting to no file or to a dead one fails at once; the socket lives on."""
        so = self.socket(UNIX)
        self.assertEqual(errno.ENOENT, self.errno_of(so.connect, self.mktemp_short()))
        self.assertEqual(errno.ECONNREFUSED, self.errno_of(so.connect, self.stale()))
        listener = self.listener(UNIX)
        so.connect(listener.so.getsockname())
        self.assertTrue(so.isconnected())


class EndTests(KPITestCase):
    async def test_closed_in_order(self) -> None:
        """A peer that closed in order leaves its end of file, whatever a send met before it."""
        for type in (STREAM, SEQPACKET):
            client, server = await self.pair(UNIX, type, reads=False)
            server.so.sendbatch(packets(b"last words"))
            server.so.close()
            self.assertEqual(errno.EPIPE, self.errno_of(client.so.sendbatch, packets(b"x")))
            client.drain()
            self.assertEqual((b"last words", True, None), (client.data, client.eof, client.error))
