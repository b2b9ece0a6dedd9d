"""ngkctl as a process: how it starts, ends, reads files, and where no daemon is."""

from __future__ import annotations

import errno
import os
import resource
import socket
import subprocess
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from ngksock.client import connect
from ngksock.ctl.commands import MORE
from ngksock.ctl.explain import DESCRIPTIONS
from ngksock.ctl.ngkctl import OPTIONS, SYNOPSIS
from ngksock.netgraph.ngctl import COMMANDS
from tests.client.daemon import DaemonCase
from tests.ctl.conversation import ngkctl
from tests.ctl.programs import NGKCTL, run, variables
from tests.integration.service import until

GRAPH = "mkpeer hub boot boot\nname boot fan\nmsg fan: setpersistent\n"


class FileTests(DaemonCase):
    """Commands from files and from standard input."""

    graph = GRAPH

    def written(self, text: str | bytes, name: str = "x.ng") -> str:
        """Write a file, and return its path."""
        if not hasattr(self, "folder"):
            self.folder = Path(self.mktemp())
            self.folder.mkdir()
        path = self.folder / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return str(path.absolute())

    def played(self, text: str | bytes, *words: str) -> tuple[int, str]:
        """Run ngkctl on a file with that text."""
        return ngkctl(self.path, *words, "-f", self.written(text))

    def test_file(self) -> None:
        """The lines are carried out in turn, by one node that lives till the end."""
        code, text = self.played("mkpeer hub a b\nname a f1\nshow -n f1:\nquit\nnonsense\n")
        self.assertEqual(0, code)
        self.assertRegex(text, r"^  Name: f1              Type: hub             ID: \w{8}   ")

    def test_superset(self) -> None:
        """Comments, indented ones too, blanks, continued lines, and no newline at the end."""
        text = "# one\n\n   # two\n\t \nmsg \\\n fan: \\\nnodeinfo\r\n###\nshow -n \\\nfan:"
        code, text = self.played(text)
        self.assertEqual(0, code)
        self.assertEqual(3, text.count("\n"))

    def test_failing_line(self) -> None:
        """The first failure ends the file: the line's number, comments counted."""
        code, text = self.played("# one\n\nshow -n fan:\nshow nosuch:\nshow -n fan:\n")
        self.assertEqual(71, code)
        self.assertEqual(
            ["ngkctl: send msg: No such file or directory",
             'ngkctl: there is no node "nosuch:"',
             "ngkctl: line 4: error in file"],
            text.splitlines()[1:],
        )  # fmt: skip

    def test_usage_in_file(self) -> None:
        """A line with a wrong number of words gives 64, as the command alone does."""
        code, text = self.played("show\n")
        self.assertEqual((64, 2), (code, text.count("\n")))

    def test_nested(self) -> None:
        """A file that reads a file: the inner line is told first."""
        inner = self.written("bogus\n", "inner.ng")
        code, text = self.played(f"\nread {inner}\n")
        self.assertEqual(71, code)
        self.assertEqual(
            ["ngkctl: line 1: error in file", "ngkctl: line 2: error in file"],
            text.splitlines()[1:],
        )

    def test_nested_quit(self) -> None:
        """quit in a file ends the program, with success."""
        inner = self.written("quit\n", "inner.ng")
        self.assertEqual((0, ""), self.played(f"read {inner}\nbogus\n"))

    def test_reads_itself(self) -> None:
        """A file that reads itself fails, in the end."""
        path = self.written("", "self.ng")
        Path(path).write_text(f"read {path}\n", encoding="ascii")
        code, text = ngkctl(self.path, "-f", path)
        self.assertEqual(71, code)
        self.assertIn("files read each other more than 16 deep", text)

    def test_folder(self) -> None:
        """A folder is no file: 66 on the command line."""
        code, text = ngkctl(self.path, "-f", "/tmp")
        self.assertEqual((66, "ngkctl: /tmp: Is a directory\n"), (code, text))

    def test_stdin(self) -> None:
        """``-f -`` is standard input, and each line is carried out as it comes."""
        command = subprocess.Popen(
            [*NGKCTL, "-f", "-"], env=variables(self.path), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )  # fmt: skip
        self.addCleanup(command.wait)
        assert command.stdin is not None and command.stdout is not None
        for _ in range(2):
            command.stdin.write(b"show -n fan:\n")
            command.stdin.flush()
            self.assertIn(b"Name: fan", command.stdout.readline())
        command.stdin.close()
        self.assertEqual(0, command.wait(10))
        command.stdout.close()

    def test_connect_in_progress(self) -> None:
        """A connect that takes time is success, and its outcome is shown when it comes."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            lines = f"mkpeer ksocket a inet/stream/tcp\nmsg a connect inet/127.0.0.1:{port}\n"
            for words in ((), ("-w", "5")):
                code, text = self.played(lines, *words)
                self.assertEqual(0, code)
                expected = r"^Rec'd response \"connect\" \(4\) from \"\[\w+\]:\":\nArgs:\t0\n$"
                self.assertRegex(text, expected)

    def test_bytes(self) -> None:
        """Names are bytes: what is written comes back."""
        code, text = self.played(b"mkpeer hub a b\nname a \xff\xc3\xa9\nshow -n \xff\xc3\xa9:\n")
        self.assertEqual(0, code)
        self.assertIn("Name: \udcffé ", text)

    def test_json_word(self) -> None:
        """--json is a word like others in commands that do not know it."""
        lines = "mkpeer hub --json b\nname --json --json\nshow -n --json:\n"
        code, text = self.played(lines)
        self.assertEqual(0, code, text)
        self.assertIn("Name: --json ", text)

    def test_command_wins(self) -> None:
        """With a command the file is opened, and not read."""
        code, text = ngkctl(self.path, "-f", self.written("bogus\n"), "show", "-n", "fan:")
        self.assertEqual((0, 1), (code, text.count("\n")))

    def test_write(self) -> None:
        """write sends a packet of bytes or of a file; dot draws to a file."""
        node = self.connect("sink")
        drawing = self.written("", "drawing")
        data = self.written(bytes(range(256)) * 40, "data")
        lines = (
            "connect . sink: out in\nwrite out 0x41 010 -1 255\n"
            f"write out -f {data}\ndot {drawing}\n"
        )
        self.assertEqual((0, ""), self.played(lines))
        self.assertEqual(("in", b"\x41\x08\xff\xff"), node.recv_data(5))
        self.assertEqual((bytes(range(256)) * 40)[:8192], node.recv_data(5)[1])
        self.assertTrue(Path(drawing).read_text().startswith("graph netgraph {\n"))


class ProcessTests(DaemonCase):
    """The program from outside."""

    graph = GRAPH

    def test_start(self) -> None:
        """``ngkctl types`` takes less than 0.1 s of processor time, and no Twisted."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        runs = 5
        env = {k: v for k, v in variables(self.path).items() if not k.startswith("COV")}
        for _ in range(runs):
            subprocess.run([*NGKCTL, "types"], env=env, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        # The promise is 0.1; a machine that does something else takes longer.
        self.assertLess(used / runs, 0.3)
        code = (
            "import sys, ngksock.ctl.ngkctl, ngksock.ctl.ngkhook, ngksock.ctl.interactive;"
            "print([m for m in sys.modules if m.split('.')[0] == 'twisted'])"
        )
        self.assertEqual((0, b"[]\n", b""), run(self.path, (NGKCTL[0], "-c", code)))

    def test_no_command(self) -> None:
        """Without a command, a file and a terminal there is nothing to do: 64."""
        code, _, err = run(self.path, NGKCTL)
        self.assertEqual(64, code)
        self.assertEqual(f"ngkctl: no command specified\n{SYNOPSIS}\n", err.decode())

    def test_help(self) -> None:
        """--help and --version need no daemon, and go to standard output."""
        for word in ("-h", "--help"):
            self.assertEqual((0, OPTIONS.encode(), b""), run("/nowhere/x", NGKCTL, word))
        code, out, _ = run("/nowhere/x", NGKCTL, "--version")
        self.assertEqual(0, code)
        self.assertRegex(out.decode(), r"^ngkctl \d+\.\d+")

    def test_streams(self) -> None:
        """Output goes to standard output, complaints to standard error."""
        code, out, err = run(self.path, NGKCTL, "show", "-n", "fan:")
        self.assertEqual((0, b""), (code, err))
        self.assertIn(b"Name: fan", out)
        code, out, err = run(self.path, NGKCTL, "show", "nosuch:")
        self.assertEqual((71, b""), (code, out))
        self.assertIn(b"ngkctl: send msg: ", err)

    def test_own_node(self) -> None:
        """Its node is called ngkctl and its process id, unless -n names it."""
        _, out, _ = run(self.path, NGKCTL, "list")
        self.assertRegex(out.decode(), r"Name: ngkctl\d+ +Type: socket")

    def test_no_daemon(self) -> None:
        """No daemon is 69, with the path and what starts one."""
        code, out, err = run("/nowhere/ngd.sock", NGKCTL, "list")
        self.assertEqual((69, b""), (code, out))
        self.assertEqual(
            "ngkctl: no daemon answers at /nowhere/ngd.sock: No such file or directory; "
            '"twistd ngksock" starts one\n',
            err.decode(),
        )

    def test_closed_streams(self) -> None:
        """What is closed is no reason for a traceback; standard input is needed by -f - alone."""
        for words, code, said in (
            ("list >&-", 0, b""),
            ("show nosuch: 2>&-", 71, b""),
            ("-f - <&-", 66, b"ngkctl: standard input is closed\n"),
            ("<&-", 64, f"ngkctl: no command specified\n{SYNOPSIS}\n".encode()),
        ):
            line = f'exec "$@" {words}'
            found, _, err = run(self.path, ("/bin/sh", "-c", line, "sh", *NGKCTL))
            self.assertEqual((code, said), (found, err), words)

    def test_full(self) -> None:
        """Output that finds no room is an error; complaints that find none are lost."""
        full = b"ngkctl: standard output: No space left on device\n"
        for words, code, said in (
            ("list >/dev/full", 71, full),
            ("-h >/dev/full", 71, full),
            ("-x 2>/dev/full", 64, b""),
            ("show nosuch: 2>/dev/full", 71, b""),
        ):
            line = f'exec "$@" {words}'
            found, _, err = run(self.path, ("/bin/sh", "-c", line, "sh", *NGKCTL))
            self.assertEqual((code, said), (found, err), words)

    def test_broken_pipe(self) -> None:
        """Who stops reading ends it without a word."""
        command = subprocess.Popen(
            [*NGKCTL, "watch", "-i", "0.01"], env=variables(self.path),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert command.stdout is not None and command.stderr is not None
        command.stdout.readline()
        command.stdout.close()
        self.assertEqual(b"", command.stderr.read())
        command.stderr.close()
        self.assertEqual(-13, command.wait(10))

    def test_interrupt(self) -> None:
        """Ctrl-C ends watch with 0, and wait with 130, without a traceback."""
        for words, status in ((("watch", "-i", "0.05", "fan:"), 0), (("wait", "nosuch:"), 130)):
            command = subprocess.Popen(
                [*NGKCTL, "-n", "interrupted", *words], env=variables(self.path),
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
            assert command.stdout is not None and command.stderr is not None
            until(lambda: self.is_there("interrupted:"), "its node")
            if words[0] == "watch":
                command.stdout.readline()  # it watches by now
            command.send_signal(2)
            self.assertEqual(b"", command.communicate()[1])
            self.assertEqual(status, command.wait(10))

    def is_there(self, path: str) -> bool:
        """Tell whether there is such a node."""
        with connect(None, self.path, data=False) as node:
            try:
                node.request_ascii(path, "nodeinfo")
            except OSError:
                return False
        return True

    def test_wait(self) -> None:
        """wait ends with 0 when the node comes."""
        command = subprocess.Popen([*NGKCTL, "wait", "coming:"], env=variables(self.path))
        self.connect("coming")
        self.assertEqual(0, command.wait(10))

    def test_wait_for_daemon(self) -> None:
        """wait waits for the daemon itself too, and with -t no longer than that: 75."""
        code, _, err = run("/nowhere/x", NGKCTL, "wait", "-t", "0.1", "fan:")
        self.assertEqual(75, code)
        self.assertIn(b"no daemon answers at /nowhere/x", err)

    def test_debug(self) -> None:
        """-d -d logs the messages to standard error; once, only what fails."""
        code, _, err = run(self.path, NGKCTL, "-dd", "msg", "fan:", "nodeinfo")
        self.assertEqual(0, code)
        self.assertIn(b'SENDING MESSAGE:\nngkctl: SOCKADDR: { fam=32 len=7 addr="fan:" }', err)
        self.assertIn(b"RECEIVED RESPONSE:", err)
        _, _, err = run(self.path, NGKCTL, "-d", "shutdown", "nosuch:")
        self.assertIn(b'ngkctl: sendto "nosuch:": No such file or directory\n', err)

    def test_debug_arguments(self) -> None:
        """-d -d -d logs the arguments too, as text and as bytes; no node is left of that."""
        code, _, err = run(self.path, NGKCTL, "-ddd", "msg", "fan:", "nodeinfo")
        self.assertEqual(0, code)
        lines = err.decode().replace("ngkctl: ", "").splitlines()
        self.assertIn("  cmd    nodeinfo (805306374)", lines)
        told = [line for line in lines if line.startswith('  args   { name="fan" type="hub" ')]
        self.assertEqual(1, len(told))
        self.assertTrue(lines[lines.index(told[0]) + 1].startswith("0000:  66 61 6e 00 "))
        _, out, _ = run(self.path, NGKCTL, "list")
        self.assertEqual(b"There are 2 total nodes:", out.split(b"\n")[0])

    def test_debug_own_node(self) -> None:
        """What is sent to one's own node, or has ended it, is shown as well as may be."""
        _, _, err = run(self.path, NGKCTL, "-ddd", "msg", ".", "nodeinfo")
        self.assertIn(b'args   { name="ngkctl', err)
        code, _, err = run(self.path, NGKCTL, "-ddd", "shutdown", ".")
        self.assertEqual(0, code)
        self.assertIn(b"  cmd    1\nngkctl:   args (0 bytes)", err)

    def test_help_all(self) -> None:
        """help explains every command, in lines of at most 64 characters."""
        for entry in (*COMMANDS, *MORE):
            code, text = ngkctl(self.path, "help", entry.name)
            self.assertEqual(0, code)
            told = text.split("\nDescription:\n")[1].splitlines()
            self.assertTrue(all(line.startswith("  ") and len(line) <= 64 for line in told))
        self.assertEqual({entry.name for entry in (*COMMANDS, *MORE)}, set(DESCRIPTIONS))

    def test_shut_down(self) -> None:
        """Who shuts his own node down is told what follows, not that the daemon has gone."""
        code, text = ngkctl(self.path, "-n", "mine", "shutdown", "mine:")
        self.assertEqual((0, ""), (code, text))


class SilentTests(SynchronousTestCase):
    """Something at the path that is no daemon, or not for us."""

    def test_silent(self) -> None:
        """A daemon that says nothing is 75."""
        self.patch(__import__("ngksock.ctl.console").ctl.console, "TIMEOUT", 0.1)
        path = tempfile.mktemp(prefix="ngk", dir="/tmp")
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            sock.bind(path)
            sock.listen()
            self.addCleanup(os.unlink, path)
            code, text = ngkctl(path, "list")
        self.assertEqual(75, code)
        self.assertEqual(f"ngkctl: the daemon at {path} does not answer\n", text)

    def test_not_permitted(self) -> None:
        """A socket that may not be connected to is 77."""
        from ngksock.client import channel

        error = channel.no_daemon(OSError(errno.EACCES, "no"), "/run/x")
        self.assertIsInstance(error, PermissionError)

        def refuse(*_: object, **__: object) -> None:
            raise error

        from ngksock.ctl import console

        self.patch(console, "NodeSocket", refuse)
        error = PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        self.assertEqual(
            (77, "ngkctl: the daemon at /run/x does not let this user in: "
                 "Operation not permitted\n"), ngkctl("/run/x", "list")
        )  # fmt: skip
        error = channel.no_daemon(OSError(errno.EACCES, "no"), "/run/x")
        code, text = ngkctl("/run/x", "list")
        self.assertEqual(77, code)
        self.assertEqual(
            "ngkctl: not permitted to attach to the daemon at /run/x: Permission denied\n", text
        )
