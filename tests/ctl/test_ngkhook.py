"""ngkhook: a program's standard streams as the end of a wire."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile

from ngksock.ctl.ngkhook import OPTIONS, SYNOPSIS
from tests.client.daemon import DaemonCase
from tests.ctl.programs import NGKHOOK, run, variables
from tests.integration.service import DEADLINE, until

GRAPH = """
mkpeer echo boot boot
name boot ec
mkpeer hub x x
name x fan
msg fan: setpersistent
mkpeer ec: hole keep keep
mkpeer fan: hole victim v
"""


class HookCase(DaemonCase):
    """A case that runs ngkhook."""

    graph = GRAPH

    def hook(self, *words: str, given: bytes = b"") -> tuple[int, bytes, bytes]:
        """Run ngkhook to its end."""
        return run(self.path, NGKHOOK, *words, given=given)

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Begin to run ngkhook, its streams pipes."""
        command = subprocess.Popen(
            [*NGKHOOK, *words], env=variables(self.path), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.addCleanup(self.end, command)
        return command

    def end(self, command: subprocess.Popen[bytes]) -> None:
        """End *command* if nothing else has."""
        if command.poll() is None:
            command.kill()
        command.communicate()

    def hooks(self, path: str) -> str:
        """Return the hooks of a node."""
        return self.connect(data=False).request_ascii(path, "listhooks")


class HookTests(HookCase):
    """What goes in and what comes out, and how it ends."""

    def test_stream(self) -> None:
        """What is read is sent, what comes back is written as it is; the end is the input's."""
        raw = bytes(range(256)) * 16
        self.assertEqual((0, raw, b""), self.hook("ec:", "h", given=raw))
        self.assertEqual((0, b"", b""), self.hook("ec:", "h"))

    def test_sizes(self) -> None:
        """-b is the most that one packet takes of the input."""
        code, out, err = self.hook("-d", "-b", "3", "ec:", "h", given=b"abcdefgh")
        self.assertEqual((0, b"abcdefgh"), (code, out))
        self.assertEqual(3, err.count(b"ngkhook: sent"))
        self.assertIn(b"ngkhook: received 2 bytes\n", err)

    def test_lines(self) -> None:
        """-L: a line is a packet; an empty one is an empty packet, the last needs no newline."""
        code, out, err = self.hook("-dL", "ec:", "h", given=b"one\n\nthree")
        self.assertEqual((0, b"one\n\nthree\n"), (code, out))
        sent = [line.split()[2] for line in err.splitlines() if b"sent" in line]
        self.assertEqual([b"3", b"0", b"5"], sent)

    def test_hex(self) -> None:
        """-x: a line of digits is a packet, in both directions."""
        code, out, _ = self.hook("-x", "ec:", "h", given=b"00 ff\n\n4142\n")
        self.assertEqual((0, b"00 ff\n\n41 42\n"), (code, out))
        code, _, err = self.hook("-x", "ec:", "h", given=b"4g\n")
        self.assertEqual((71, b'ngkhook: "4g" are no hexadecimal digits\n'), (code, err))

    def test_dump(self) -> None:
        """-a: packets as ngctl dumps them."""
        code, out, _ = self.hook("-a", "ec:", "h", given=b"Hello")
        dump = b"0000:  48 65 6c 6c 6f                                   Hello           \n\n"
        self.assertEqual((0, dump), (code, out))

    def test_count(self) -> None:
        """-n packets: it stays after its input, and ends when they have come."""
        command = self.start("-L", "-n", "2", "fan:", "counted")
        assert command.stdin is not None
        command.stdin.close()
        command.stdin = None
        until(lambda: '"counted"' in self.hooks("fan:"), "its hook")
        node = self.connect()
        node.send_ascii_msg(".", 'connect { path="fan:" ourhook="x" peerhook="feed" }')
        for packet in (b"one", b"two"):
            node.send_data("x", packet)
        out, _ = command.communicate(timeout=10)
        self.assertEqual((0, b"one\ntwo\n"), (command.returncode, out))

    def test_time(self) -> None:
        """-t seconds of silence end it: 0, or 75 when -n packets did not come."""
        self.assertEqual((0, b"", b""), self.hook("-t", "0.05", "fan:", "timed"))
        self.assertEqual(75, self.hook("-n", "1", "-t", "0.05", "fan:", "timed")[0])

    def test_message(self) -> None:
        """-m sends a message first; without a hook's name it is ``debug``."""
        command = self.start("-i", "-m", "shutdown", "fan:victim")
        _, err = command.communicate(timeout=10)
        self.assertEqual(71, command.returncode)
        self.assertIn(b"can't connect to node: No such file or directory", err)
        command = self.start("-i", "fan:")
        until(lambda: '"debug"' in self.hooks("fan:"), "its hook")

    def test_loop(self) -> None:
        """-l sends back what comes, and writes it."""
        command = self.start("-il", "fan:", "mirror")
        until(lambda: '"mirror"' in self.hooks("fan:"), "its hook")
        node = self.connect()
        node.send_ascii_msg(".", 'connect { path="fan:" ourhook="x" peerhook="feed" }')
        node.send_data("x", b"and back")
        self.assertEqual(("x", b"and back"), node.recv_data(10))
        command.send_signal(signal.SIGINT)
        out, err = command.communicate(timeout=10)
        self.assertEqual((130, b"and back", b""), (command.returncode, out, err))

    def test_loop_ends(self) -> None:
        """-l where everything comes back: the end of the input is the end all the same."""
        code, out, err = self.hook("-l", "ec:", "h", given=b"x")
        self.assertEqual((0, b"x", b""), (code, out[:1], err))

    def test_no_time(self) -> None:
        """-t 0: what is there is sent, and what that brings is written."""
        with tempfile.TemporaryFile() as file:
            file.write(b"hello")
            file.seek(0)
            words = [*NGKHOOK, "-t", "0", "ec:", "h"]
            done = subprocess.run(
                words, env=variables(self.path), stdin=file, capture_output=True, timeout=DEADLINE
            )
        self.assertEqual((0, b"hello", b""), (done.returncode, done.stdout, done.stderr))

    def test_closed_streams(self) -> None:
        """No socket takes the place of a standard stream that is closed."""
        for closed, code, out, err in (
            ("0<&-", 0, b"", b""),
            ("1>&-", 71, b"", b"ngkhook: Bad file descriptor\n"),
            ("2>&-", 0, b"hello", b""),
        ):
            shell = ("sh", "-c", f'exec "$@" {closed}', "sh", *NGKHOOK)
            done = run(self.path, shell, "ec:", "h", given=b"hello")
            self.assertEqual((code, out, err), done, closed)

    def test_long_line(self) -> None:
        """A line too long for a packet is refused like one, and takes no more memory."""
        for size in (70_000, 300_000, 1_000_000):
            code, out, err = self.hook("-L", "ec:", "h", given=bytes(size) + b"\nshort\n")
            self.assertEqual((71, b"short\n"), (code, out))
            self.assertEqual(b"ngkhook: writing to hook: Message too long\n", err)

    def test_stdin_out(self) -> None:
        """-S writes to descriptor 0, which may be a socket."""
        import socket

        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        command = subprocess.Popen(
            [*NGKHOOK, "-S", "ec:", "both"], env=variables(self.path), stdin=theirs.fileno()
        )
        theirs.close()
        ours.settimeout(10)
        ours.sendall(b"there")
        self.assertEqual(b"there", ours.recv(100))
        ours.shutdown(socket.SHUT_WR)
        self.assertEqual(0, command.wait(10))

    def test_interrupt(self) -> None:
        """Ctrl-C ends it without a word; its hook goes with it."""
        command = self.start("-i", "fan:", "stopped")
        until(lambda: '"stopped"' in self.hooks("fan:"), "its hook")
        command.send_signal(signal.SIGINT)
        out, err = command.communicate(timeout=10)
        self.assertEqual((130, b"", b""), (command.returncode, out, err))
        until(lambda: '"stopped"' not in self.hooks("fan:"), "the end of its hook")

    def test_removed(self) -> None:
        """When the link is removed, or its node shut down, it ends."""
        command = self.start("-i", "fan:", "cut")
        until(lambda: '"cut"' in self.hooks("fan:"), "its hook")
        self.connect().send_ascii_msg("fan:", 'rmhook { hook="cut" }')
        self.assertEqual(0, command.wait(10))
        command = self.start("-i", "fan:", "shut")
        until(lambda: '"shut"' in self.hooks("fan:"), "its hook")
        self.connect().send_ascii_msg(f"ngkhook{command.pid}:", "shutdown")
        _, err = command.communicate(timeout=10)
        self.assertEqual((71, b"ngkhook: the node was shut down\n"), (command.returncode, err))

    def test_refused(self) -> None:
        """A packet that a node refuses is told once, and the others go on: 71 in the end."""
        node = self.connect()
        node.send_ascii_msg(".", 'mkpeer { type="ksocket" ourhook="x" peerhook="inet/dgram/udp" }')
        node.send_ascii_msg(".", 'mkpeer { type="hub" ourhook="y" peerhook="y" }')
        hub = f"[{int(node.request_ascii('y', 'nodeinfo').split('0x')[1].split()[0], 16):x}]:"
        node.send_ascii_msg(hub, 'mkpeer { type="ksocket" ourhook="k" peerhook="inet/dgram/udp" }')
        code, _, err = self.hook("-L", hub, "h", given=b"1\n2\n3\n")
        said = os.strerror(89).encode()
        self.assertEqual((71, b"ngkhook: writing to hook: " + said + b"\n"), (code, err))
        self.assertEqual([b"1", b"2", b"3"], [node.recv_data(5)[1] for _ in range(3)])

    def test_no_such_place(self) -> None:
        """A node or a hook that is not there, or not free, is 71 with a reason."""
        code, _, err = self.hook("fan", "x")
        self.assertEqual(71, code)
        self.assertIn(b'did you mean the node "fan:"?', err)
        code, _, err = self.hook("ec:", "keep")
        self.assertEqual((71, b"ngkhook: can't connect to node: File exists\n"), (code, err))

    def test_usage(self) -> None:
        """Wrong options are 64 with the usage line; --help goes to standard output."""
        for words, why in (
            ((), "one path, and maybe a hook, are needed"),
            (("a:", "b", "c"), "one path, and maybe a hook, are needed"),
            (("-n", "0", "a:"), '-n: "0" is no number above 0'),
            (("-t", "soon", "a:"), '-t: "soon" is no number of seconds'),
            (("-b", "70000", "a:"), "-b: a packet has at most 65536 bytes"),
            (("-ax", "a:"), "--ascii and --hex cannot be used together"),
            (("-q", "a:"), "option -q not recognized"),
        ):
            code, out, err = self.hook(*words)
            self.assertEqual((64, b""), (code, out))
            self.assertEqual(f"ngkhook: {why}\n{SYNOPSIS}\n", err.decode())
        self.assertEqual((0, OPTIONS.encode(), b""), self.hook("--help"))
        self.assertRegex(self.hook("--version")[1].decode(), r"^ngkhook \d")

    def test_no_daemon(self) -> None:
        """No daemon is 69."""
        code, _, err = self.hook("-s", "/nowhere/x", "fan:", "x")
        self.assertEqual(69, code)
        self.assertIn(b"no daemon answers at /nowhere/x", err)
