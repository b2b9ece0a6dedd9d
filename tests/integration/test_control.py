"""Where the control socket is: its place, its mode, its end, and who may come in."""

from __future__ import annotations

import errno
import os
import resource
import signal
import socket
import stat
import struct
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path
from unittest import SkipTest

from tests.control import rawclient as raw
from tests.control.rawclient import BIND, CONNECT, CONTROL, DATA, GETNAME, Client, RawSocket
from tests.integration.service import (
    ROOT,
    TWIST,
    TWISTD,
    IntegrationCase,
    Service,
    environment,
    until,
)

NOBODY = 65534
AS_USER = """\
import os, sys
from tests.control.rawclient import RawSocket
os.setgroups([int(group) for group in sys.argv[4:]]); os.setgid({gid}); os.setuid(int(sys.argv[2]))
try:
    sock = RawSocket(sys.argv[1], int(sys.argv[3]))
    print("in", flush=True)
    if sys.argv[3] == "1":
        print(sock.errno_of(3, "mine:"), flush=True)
except OSError as error:
    print(error.errno, flush=True)
"""


def unmeasured() -> dict[str, str]:
    """Return the environment of a child that may not write where coverage data go."""
    return {name: value for name, value in environment().items() if not name.startswith("COVERAGE")}


class PlaceCase(IntegrationCase):
    def setUp(self) -> None:
        super().setUp()
        self.path = str(self.folder / "c.sock")

    def served(self, path: str | Path = "") -> None:
        """Fail unless a client is answered at *path*."""
        with closing(Client(str(path) or self.path)) as client:
            self.assertIn(("", "socket"), {(name, kind) for name, kind, _, _ in client.nodes()})

    def refused(self, *words: str, env: dict[str, str] | None = None) -> str:
        """Start where it must fail with 71 and one line; return the line."""
        service = self.spawn(*words, env=env)
        self.assertEqual(71, service.ended(), service.last_words)
        self.assertNotIn("Traceback", service.log)
        lines = [line for line in service.log.splitlines() if line.startswith("ngksock:")]
        self.assertEqual(1, len(lines), service.log)
        return lines[0]

    def mode(self, path: str | Path) -> int:
        return stat.S_IMODE(os.lstat(path).st_mode)


class PlaceTests(PlaceCase):
    def test_explicit(self) -> None:
        """At --control PATH, mode 0600, in the log, and gone at the end."""
        service = self.start("--control", self.path)
        self.assertIn(f"control socket: {self.path}\n", service.log)
        self.assertEqual(0o600, self.mode(self.path))
        self.served()
        self.assert_stops(service)
        self.assertFalse(os.path.lexists(self.path))
        self.services.clear()

    def test_clients_at_the_end(self) -> None:
        """Clients that are there when it stops read the end, on both channels."""
        service = self.start("--control", self.path)
        with closing(Client(self.path)) as client:
            self.assert_stops(service)
            self.services.clear()
            self.assertRaises(raw.EndedError, client.control.event)
            self.assertRaises((raw.EndedError, OSError), client.control.call, GETNAME)

    def test_environment(self) -> None:
        """$NGD_SOCKET, else the user's run-time folder."""
        env = environment()
        env["NGD_SOCKET"] = self.path
        self.start(env=env)
        self.served()
        env["NGD_SOCKET"], env["XDG_RUNTIME_DIR"] = "", str(self.folder)
        self.start(env=env)
        self.served(self.folder / "ngksock.sock")

    def test_none(self) -> None:
        """--no-control makes no socket."""
        file = self.file("a.ng", "mkpeer hub a a\nmsg .:a setpersistent\n")
        env = environment()
        env["NGD_SOCKET"] = self.path
        service = self.start("--no-control", file, env=env)
        self.assertNotIn("control socket", service.log)
        self.assertFalse(os.path.lexists(self.path))

    def test_stale(self) -> None:
        """A socket that a crash has left is replaced, of whatever kind it was."""
        for kind in (socket.SOCK_SEQPACKET, socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(socket.AF_UNIX, kind) as left:
                left.bind(self.path)
            service = self.start("--control", self.path)
            self.served()
            service.kill()
            self.services.remove(service)
            self.assertTrue(os.path.lexists(self.path))
            os.unlink(self.path)

    def test_live(self) -> None:
        """A live one is never stolen: an error if it was asked for, a warning if not."""
        self.start("--control", self.path)
        with closing(Client(self.path, "mine")) as client:
            line = self.refused("--control", self.path)
            self.assertEqual(
                f"ngksock: --control {self.path}: EADDRINUSE (Address already in use): "
                f"another socket answers at {self.path}",
                line,
            )
            env = environment()
            env["NGD_SOCKET"] = self.path
            second = self.start(env=env)
            self.assertEqual(1, second.log.count(f"no control socket at {self.path}"))
            self.assertIn("--control PATH makes one elsewhere", second.log)
            self.assert_stops(second)
            self.services.remove(second)
            self.assertEqual({"mine": "socket"}, client.names())
        self.served()

    def test_stopped_daemon(self) -> None:
        """One that is stopped is alive, and keeps its socket."""
        service = self.start("--control", self.path)
        service.process.send_signal(signal.SIGSTOP)
        self.assertIn("another socket answers", self.refused("--control", self.path))
        service.process.send_signal(signal.SIGCONT)
        self.served()

    def test_wrong_places(self) -> None:
        """A file, a folder, no folder, too long, no permission: one line each that says so."""
        file = self.folder / "file"
        file.write_text("precious")
        long = str(self.folder / ("x" * 120))
        for path, expected in (
            (str(file), f": {file} exists and is not a socket; remove it"),
            (str(self.folder), "is not a socket; remove it"),
            (f"{self.folder}/no/c", "ENOENT (No such file or directory)"),
            (f"{file}/c", "ENOTDIR (Not a directory)"),
            (long, "ENAMETOOLONG (File name too long): a socket's path has at most 107 bytes"),
            ("/proc/c.sock", "E"),
        ):  # fmt: skip
            line = self.refused("--control", path)
            self.assertTrue(line.startswith(f"ngksock: --control {path}: "), line)
            self.assertIn(expected, line)
        self.assertEqual("precious", file.read_text())

    def test_wrong_usual_place(self) -> None:
        """The usual place that cannot be had is one warning; the graph is hosted."""
        env = environment()
        env["NGD_SOCKET"] = str(self.folder / "no" / "such")
        service = self.start(env=env)
        self.assertEqual(1, service.log.count("no control socket at"))
        self.assertIn("No such file or directory; --control PATH makes one elsewhere", service.log)

    def test_run(self) -> None:
        """The system's usual folder is made, for anybody to look into."""
        made = not os.path.exists("/run/ngksock")
        if os.getuid() or (not made and os.listdir("/run/ngksock")):
            raise SkipTest("needs root, and no daemon at the system's usual place")
        env = environment()
        env["NGD_SOCKET"] = env["XDG_RUNTIME_DIR"] = ""
        service = self.start(env=env, options=("-n", "--pidfile=", "--umask=077"))
        try:
            self.assertEqual(0o755, self.mode("/run/ngksock"))
            self.assertEqual(0o600, self.mode("/run/ngksock/ngksock.sock"))
            self.assert_stops(service)
            self.services.remove(service)
            self.assertEqual([], os.listdir("/run/ngksock"))
        finally:
            service.kill()
            if made:
                os.rmdir("/run/ngksock")

    def test_daemonized(self) -> None:
        """In the background: relative paths begin where it was started, modes hold, it ends."""
        pidfile = self.folder / "pid"
        words = [*TWISTD, f"--pidfile={pidfile}", f"--logfile={self.folder}/log", "-d", "/",
                 "ngksock", "--control", "c.sock"]  # fmt: skip
        done = subprocess.run(
            words, cwd=self.folder, env=environment(ROOT), capture_output=True, check=True
        )
        self.assertEqual((b"", b""), (done.stdout, done.stderr))
        pid = int(pidfile.read_text())
        try:
            self.assertEqual(0o600, self.mode(self.path))
            self.served()
        finally:
            os.kill(pid, signal.SIGTERM)
        until(lambda: not os.path.lexists(self.path) and not pidfile.exists(), "its end")

    def test_daemonized_failure(self) -> None:
        """In the background the same line is on the terminal, the status 1, and nothing stays."""
        self.start("--control", self.path)
        words = [*TWISTD, f"--pidfile={self.folder}/pid", f"--logfile={self.folder}/log",
                 "ngksock", "--control", "c.sock"]  # fmt: skip
        done = subprocess.run(
            words, cwd=self.folder, env=environment(ROOT), capture_output=True, check=False
        )
        self.assertEqual((1, b""), (done.returncode, done.stdout))
        self.assertTrue(
            done.stderr.startswith(
                b"ngksock: --control c.sock: EADDRINUSE (Address already in use"
            ),
            done.stderr,
        )
        # twistd's first process ends before the other has removed the pid file.
        until(lambda: {"c.sock", "log"} == set(os.listdir(self.folder)), "the pid file to go")
        self.served()

    def test_reactors(self) -> None:
        """On each reactor, and under twist, calls are answered and clients are missed."""
        ways = [(TWISTD, ("-n", "--pidfile=", f"--reactor={name}"))
                for name in ("epoll", "poll", "select", "asyncio")]  # fmt: skip
        for program, options in [*ways, (TWIST, ("--log-format=text",))]:
            service = self.start("--control", self.path, program=program, options=options)
            for _ in range(20):
                with closing(Client(self.path, "again")) as client:
                    self.assertEqual(0, client.mkpeer(".", "hub", "a", "a"))
            with closing(Client(self.path)) as client:
                self.assertEqual(1, len(client.nodes()))
            self.assert_stops(service)
            self.services.remove(service)


class CredentialTests(PlaceCase):
    """Who may come in; other users are root's to be."""

    def setUp(self) -> None:
        super().setUp()
        if os.getuid():
            raise SkipTest("needs root, to be others")
        os.chmod(self.folder, 0o755)

    def as_user(self, uid: int, kind: int = CONTROL, *groups: int, gid: int = NOBODY) -> list[str]:
        """Connect as another user; return what he was told."""
        words = [sys.executable, "-c", AS_USER.format(gid=gid), self.path, uid, kind, *groups]
        done = subprocess.run(
            [str(word) for word in words],
            cwd="/", env=unmeasured(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        self.assertEqual("", done.stderr)
        return done.stdout.split()

    def test_mode(self) -> None:
        """Without a group the file itself keeps others out."""
        self.start("--control", self.path)
        self.assertEqual([str(errno.EACCES)], self.as_user(NOBODY))

    def test_group(self) -> None:
        """--control-group: 0660, for its members, by their first group or another."""
        service = self.start("--control", self.path, "--control-group", "4242")
        status = os.lstat(self.path)
        self.assertEqual((0o660, 4242), (stat.S_IMODE(status.st_mode), status.st_gid))
        self.assertEqual(["in"], self.as_user(NOBODY, CONTROL, 4242))
        self.assertEqual(["in"], self.as_user(NOBODY, CONTROL, gid=4242))
        self.assertEqual([str(errno.EACCES)], self.as_user(NOBODY, CONTROL, 4243))
        os.chmod(self.path, 0o666)  # whatever the file says, others are not let in
        self.assertEqual([str(errno.EPERM)], self.as_user(NOBODY, CONTROL, 4243))
        self.assertEqual(0, service.log.count("Traceback"))

    def test_data(self) -> None:
        """A data socket attaches to a node of the same user only."""
        self.start("--control", self.path, "--control-group", "4242")
        os.chmod(self.path, 0o666)
        with closing(RawSocket(self.path)) as sock:
            sock.do(BIND, "mine")
            self.assertEqual(["in", str(errno.EPERM)], self.as_user(NOBODY, DATA))
            self.assertEqual(["in", "0"], self.as_user(0, DATA, gid=0))

    def test_becomes_another(self) -> None:
        """With --uid the file belongs to the user the daemon becomes, who may come in."""
        options = ("-n", "--pidfile=", f"--uid={NOBODY}", f"--gid={NOBODY}")
        os.chown(self.folder, NOBODY, NOBODY)
        service = self.start("--control", self.path, options=options, env=unmeasured())
        self.assertEqual((0o600, NOBODY), (self.mode(self.path), os.lstat(self.path).st_uid))
        self.assertEqual(["in"], self.as_user(NOBODY))
        self.served()
        self.assert_stops(service)
        self.services.remove(service)
        self.assertFalse(os.path.lexists(self.path))

    def test_not_his_group(self) -> None:
        """A group that cannot be given the file is an error, and nothing is left behind."""
        without_cap_chown = "import ctypes; ctypes.CDLL(None).prctl(24, 0)"
        program = (
            sys.executable, "-c",
            f"{without_cap_chown}; import os, sys; os.execv(sys.argv[1], sys.argv[1:])", *TWISTD,
        )  # fmt: skip
        service = self.spawn("--control", self.path, "--control-group=4242", program=program)
        self.assertEqual(71, service.ended(), service.last_words)
        self.assertIn("ngksock: --control-group: EPERM (Operation not permitted)\n", service.log)
        self.assertFalse(os.path.lexists(self.path))


class ShortageTests(PlaceCase):
    def limit(self, service: Service, number: int) -> None:
        """Let a service have so many descriptors."""
        _, hard = resource.prlimit(service.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(service.pid, resource.RLIMIT_NOFILE, (number, hard))

    def cpu(self, service: Service) -> int:
        """Return the processor time it has used, in ticks."""
        words = Path(f"/proc/{service.pid}/stat").read_text().rpartition(")")[2].split()
        return int(words[11]) + int(words[12])

    def test_accept(self) -> None:
        """Without a descriptor for a client he waits; it does not spin, and says so once."""
        service = self.start("--control", self.path)
        with closing(Client(self.path)) as client:
            self.limit(service, service.descriptors)
            waiting = [RawSocket(self.path, None) for _ in range(5)]
            service.wait_for("cannot accept a client")
            used, began = self.cpu(service), time.monotonic()
            until(lambda: time.monotonic() - began > 0.5, "half a second", 0.1)
            self.assertLess(self.cpu(service) - used, 10, "of 50 ticks")
            self.assertTrue(client.nodes())
            self.limit(service, 1024)
            for sock in waiting:
                self.assertEqual(0, sock.hello(raw.hello(CONTROL))[0])
                sock.close()
        self.assertEqual(1, service.log.count("cannot accept a client: EMFILE"))

    def test_room_again(self) -> None:
        """Whoever waits is taken as soon as another client goes."""
        service = self.start("--control", self.path)
        client = Client(self.path)
        self.limit(service, service.descriptors)
        waiting = RawSocket(self.path, None)
        service.wait_for("cannot accept a client")
        client.close()
        self.limit(service, 1024)
        self.assertEqual(0, waiting.hello(raw.hello(CONTROL))[0])
        waiting.close()

    def test_hello(self) -> None:
        """Without descriptors for the event channel, HELLO is EMFILE; another try succeeds."""
        service = self.start("--control", self.path)
        with closing(RawSocket(self.path, None)) as sock:
            until(lambda: service.descriptors, "it")
            self.assertEqual(errno.EPROTO, sock.hello(b"")[0])  # it is accepted
            self.limit(service, service.descriptors)
            code, body = sock.hello(raw.hello(CONTROL))
            self.assertEqual((errno.EMFILE, b""), (code, body))
            self.limit(service, 1024)
            self.assertEqual(0, sock.hello(raw.hello(CONTROL))[0])

    def test_limit(self) -> None:
        """More connections than there should be: ENOBUFS, and the graph keeps descriptors."""
        service = self.start("--control", self.path)
        self.limit(service, 256)
        socks: list[RawSocket] = []
        closing_all = ExitStack()
        self.addCleanup(closing_all.close)
        with self.assertRaises(OSError) as caught:
            while len(socks) < 200:
                socks.append(closing_all.enter_context(closing(RawSocket(self.path))))
        self.assertEqual(errno.ENOBUFS, caught.exception.errno)
        self.assertTrue(50 < len(socks) < 128, len(socks))
        socks.pop().close()
        closing_all.enter_context(closing(RawSocket(self.path)))
        self.assertNotIn("cannot accept", service.log)


class ThroughputTests(PlaceCase):
    def test_rates(self) -> None:
        """5,000 messages and 5,000 packets a second, daemon and client on one processor."""
        from time import process_time

        service = self.start("--control", self.path)
        before = os.sched_getaffinity(0)
        one = {min(before)}
        self.addCleanup(os.sched_setaffinity, 0, before)
        os.sched_setaffinity(0, one)
        os.sched_setaffinity(service.pid, one)
        turns = 5000
        with closing(Client(self.path)) as client:
            self.assertEqual(0, client.link(".", ".", "a", "b"))
            ticks, began = self.ticks(service), process_time()
            for _ in range(turns):
                client.ask(".", raw.GENERIC, raw.NODEINFO)
            messages = turns / (process_time() - began + self.ticks(service) - ticks)
            ticks, began = self.ticks(service), process_time()
            for _ in range(turns):
                client.write("a", b"x" * 64)
                client.data.event()
            packets = turns / (process_time() - began + self.ticks(service) - ticks)
        print(f"\n{messages:.0f} messages/s, {packets:.0f} packets/s of one processor")
        self.assertGreater(min(messages, packets), 5000)

    def ticks(self, service: Service) -> float:
        """Return the processor seconds it has used: what others take does not count."""
        words = Path(f"/proc/{service.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


class NothingTests(PlaceCase):
    def test_probe(self) -> None:
        """A client that connects and goes leaves no word in the log."""
        service = self.start("--control", self.path)
        for _ in range(20):
            RawSocket(self.path, None).close()
        self.served()
        self.assertNotIn("process ", service.log)

    def test_connect_to_a_files_node(self) -> None:
        """A socket node of the service's own is no program's: EINVAL."""
        file = self.file("a.ng", "mkpeer hub a a\nname .:a h\nmsg h: setpersistent\n")
        self.start("--control", self.path, file)
        with closing(Client(self.path)) as client:
            self.assertEqual({"h": "hub"}, client.names())
            with closing(RawSocket(self.path, DATA)) as data:
                self.assertEqual(errno.EINVAL, data.errno_of(CONNECT, "h:"))

    def test_credentials_are_of_the_kernel(self) -> None:
        """The layout of struct ucred is what this system has."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            found = ours.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        self.assertEqual((os.getpid(), os.getuid(), os.getgid()), struct.unpack("iII", found))
