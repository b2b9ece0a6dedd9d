"""Clients that do what they should not, and a great many that do nothing wrong."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import resource
import signal
import subprocess
import sys
import time
from unittest import SkipTest

from tests.control import rawclient as raw
from tests.control.case import ControlCase
from tests.control.rawclient import BIND, CONTROL, GETNAME, SEND, Client, EndedError, RawSocket
from tests.integration.service import environment, until

PROGRAM = """\
import os, signal, sys
from tests.control.rawclient import Client
client = Client(sys.argv[1], "stopped")
print(client.link("other:", "stopped:", "out", "in"), flush=True)
if sys.argv[2] == "fork" and os.fork():
    os._exit(0)
print(os.getpid(), flush=True)
signal.pause()
"""


class HostileTests(ControlCase):
    def program(self, mode: str = "") -> subprocess.Popen[bytes]:
        """Run a client in a process of its own; return it once it is linked to `other`."""
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, self.path, mode],
            env=environment(), stdout=subprocess.PIPE,
        )  # fmt: skip
        self.addCleanup(process.wait)
        assert process.stdout is not None
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.kill)
        self.assertEqual(b"0\n", process.stdout.readline())
        return process

    def end(self, pid: int) -> None:
        """End a child's child, if it is there yet."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def test_stopped(self) -> None:
        """A stopped client: ENOBUFS for those who send to it, and nobody is slower."""
        other, third = self.client("other"), self.client("third")
        self.ok(third.link(".", ".", "a", "b"))
        process = self.program()
        process.send_signal(signal.SIGSTOP)
        codes = [other.write("out", b"x") for _ in range(1000)]
        fitted = codes.count(0)
        self.assertTrue(100 < fitted < 1000, fitted)
        self.assertEqual([0] * fitted + [errno.ENOBUFS] * (1000 - fitted), codes)
        # Each call waits for the daemon alone: the slowest shows what a wait would be.
        slowest = 0.0
        for turn in range(300):
            began = time.monotonic()
            self.assertEqual(errno.ENOBUFS, other.write("out", b"x"))
            self.ok(third.write("a", b"%d" % turn))
            self.assertEqual([("b", b"%d" % turn)], third.data.drain())
            self.assertIn("stopped", third.names())
            slowest = max(slowest, time.monotonic() - began)
        self.assertLess(slowest, 1.0)
        process.kill()
        until(lambda: "stopped" not in third.names(), "its node to go")

    def test_forked(self) -> None:
        """The node of a program that forks lives until the last process has ended."""
        other = self.client("other")
        process = self.program("fork")
        assert process.stdout is not None
        child = int(process.stdout.readline())
        self.addCleanup(self.end, child)
        process.wait()
        self.assertIn("stopped", self.client().names())
        self.ok(other.write("out", b"x"))
        self.end(child)
        until(lambda: "stopped" not in other.names(), "its node to go")

    def test_dies_between(self) -> None:
        """A client that dies between its call and the reply: the call is done."""
        other = self.client()
        for turn in range(50):
            client = Client(self.path, "dying")
            name = raw.field("hub") + raw.field("a") + raw.field("b")
            self.ok(other.link(".", "dying:", "a", "b"))
            client.control.calls.send(
                raw.call(SEND, 1, b"b", raw.message(raw.GENERIC, raw.NAME, raw.field(f"n{turn}")))
            )
            client.close()
            self.client().close()
            self.ok(other.send(".", raw.GENERIC, raw.NODEINFO))
            self.assertEqual(f"n{turn}", raw.text(other.control.message().data), name)

    def test_never_reads(self) -> None:
        """A client that reads no event loses some; its calls go on."""
        client = self.client("mute")
        codes = [client.send(".", 99, 1) for _ in range(2000)]
        self.assertEqual({0, errno.ENOBUFS}, set(codes))
        self.assertEqual(b"mute", client.control.do(GETNAME))
        self.assertEqual(codes.count(0), len(client.control.drain()))
        self.assertTrue(client.names())

    def test_writes_events(self) -> None:
        """What a client writes into its event channel is nobody's; others notice nothing."""
        client = self.client("odd")
        assert client.control.events is not None
        client.control.events.setblocking(False)
        for _ in range(2000):
            try:
                client.control.events.send(b"x" * 1000)
            except OSError:
                break
        self.assertEqual({"odd": "socket"}, client.names())

    def test_garbage(self) -> None:
        """Conversions of garbage are errnos; messages with a lying inner length too."""
        client = self.client()
        for inner in (b"", bytes(55), bytes(56), b"\xff" * 56, raw.message(raw.GENERIC, 2, b"x")):
            for cmd in (raw.BINARY2ASCII, raw.ASCII2BINARY):
                self.assertIn(
                    client.send(".", raw.GENERIC, cmd, inner), (errno.EINVAL, errno.ENOSYS)
                )
        big = b'{ type="' + b"x" * 60000 + b'" }\0'
        inner = raw.message(raw.GENERIC, 0, big, cmdstr="mkpeer")
        self.assertEqual(errno.E2BIG, client.send(".", raw.GENERIC, raw.ASCII2BINARY, inner))
        deep = b"[" * 60000 + b"\0"
        inner = raw.message(raw.GENERIC, 0, deep, cmdstr="mkpeer")
        self.assertEqual(errno.EINVAL, client.send(".", raw.GENERIC, raw.ASCII2BINARY, inner))


class ManyTests(ControlCase):
    """Each has as many descriptors as it takes, here and in the daemon."""

    NUMBER = 4500

    def setUp(self) -> None:
        super().setUp()
        for pid in (os.getpid(), self.daemon.service.pid):
            soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            if hard != resource.RLIM_INFINITY and hard < self.NUMBER:
                raise SkipTest(f"needs {self.NUMBER} descriptors: ulimit -Hn")
            self.addCleanup(resource.prlimit, pid, resource.RLIMIT_NOFILE, (soft, hard))
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (max(soft, self.NUMBER), hard))

    def test_two_hundred(self) -> None:
        """200 programs at once, each with both sockets, in one fan of hooks."""
        hub = self.client("hub-owner")
        self.ok(hub.mkpeer(".", "hub", "all", "x"), hub.name("all", "fan"))
        clients = [self.client(f"c{n}") for n in range(200)]
        for n, client in enumerate(clients):
            self.ok(client.link(".", "fan:", "in", f"o{n}"))
        for n, client in enumerate(clients):
            self.ok(client.write("", b"%d" % n))
            data = client.ask(".", raw.GENERIC, raw.NODEINFO)
            self.assertEqual(f"c{n}", raw.text(data))
        for n, client in enumerate(clients):
            found = [int(packet) for _, packet in client.data.drain()]
            self.assertEqual([m for m in range(200) if m != n], found)
        self.assertEqual(202, len(hub.names()))

    def test_a_thousand(self) -> None:
        """A thousand connections take two descriptors each, and a HELLO stays quick."""
        socks = [self.socket(CONTROL) for _ in range(1000)]
        for n, sock in enumerate(socks):
            sock.do(BIND, f"n{n}")
        self.assertEqual(self.before + 2000, self.daemon.service.descriptors)
        began = time.monotonic()
        for _ in range(100):
            Client(self.path, "one more").close()
        each = (time.monotonic() - began) / 100
        self.assertLess(each, 0.2, "a HELLO looks at those that have ended, not at all")

    def test_silent_thousand(self) -> None:
        """A thousand that connect and say nothing do not keep one from being served."""
        for _ in range(1000):
            self.open.append(RawSocket(self.path, None))
        self.assertTrue(self.client("served").nodes())


class RefusedTests(ControlCase):
    def test_told_once(self) -> None:
        """That a HELLO was refused is one line of the log, however often it is said."""
        sock = self.socket(None)
        for _ in range(5):
            self.assertEqual(errno.EPROTONOSUPPORT, sock.hello(raw.hello(7))[0])
        self.assertEqual(0, sock.hello(raw.hello(CONTROL))[0])
        self.assertEqual(errno.EISCONN, sock.hello(raw.hello(CONTROL))[0])
        self.daemon.service.wait_for("HELLO refused: no kind of socket is 7")
        self.assertEqual(1, self.log_since().count("HELLO refused"))

    def test_control_characters(self) -> None:
        """A name that a client chose is one line of the log, and does nothing to a terminal."""
        client = self.client("n\n\x1b[2J")
        self.ok(client.rmhook(".", "q\nfake \x1b[31m"))
        line = r'rmhook: node n\x0a\x1b[2J has no hook "q\x0afake \x1b[31m" to remove'
        self.daemon.service.wait_for(re.escape(line))

    def test_only_that_one(self) -> None:
        """Malformed packets by the hundred close one connection each."""
        good = self.client("good")
        for n in range(300):
            sock = RawSocket(self.path, CONTROL if n % 2 else None)
            self.assertRaises(EndedError, sock.raw, b"\4\0\xff\xff" + bytes(n))
            sock.close()
        self.assertEqual({"good": "socket"}, good.names())
