"""The service under real twistd and twist: exit codes, messages, signals, reactors."""

from __future__ import annotations

import os
import signal
import socket
from time import monotonic

from tests.integration.service import until
from tests.service.folder import ROOT
from tests.service.twistd import TwistdTestCase, programs, wait_for_end

BAD = ROOT / "tests" / "scripts" / "bad"
GOOD = "mkpeer hub boot boot\nname boot fan\nmkpeer fan: ksocket in inet/dgram/udp\n"
NO_FILE = "ngksock: no FILE given; name a file of ngctl commands, or - for stdin\n"
NOTHING_LEFT = "ngksock: --no-control leaves nothing to --control and --control-group\n"
BIND = "msg fan:in bind inet/127.0.0.1:{}\n"


class CheckTests(TwistdTestCase):
    """What --check prints, and with which status it ends."""

    def test_good(self) -> None:
        """A good file: status 0, not a word, and nothing is left behind."""
        self.write("a.ng", GOOD + BIND.format(0) + "show fan:\n")
        for program in programs():
            self.assertEqual((0, "", ""), self.run_to_end(*program, "ngksock", "--check", "a.ng"))
        self.assertEqual(["a.ng"], os.listdir(self.folder))

    def test_bad(self) -> None:
        """A wrong file: status 65 and its messages, with and without --check."""
        folder = os.path.relpath(BAD, self.folder)
        programs_of: dict[str, list[tuple[str, ...]]] = {
            "several": [(*program, "ngksock", "--check") for program in programs()],
            "ksocket-port": [(*program, "ngksock") for program in programs()],
            "error-in-a-read-file": [("twistd", "-n", "ngksock", "--check")],
        }
        for name, starts in programs_of.items():
            expected = (BAD / f"{name}.expect").read_text(encoding="utf-8")
            for start in starts:
                status, out, err = self.run_to_end(*start, f"{folder}/{name}.ng")
                found = err.replace(f"{folder}/", "") + f"exit {status}\n"
                self.assertEqual(("", expected), (out, found))
        self.assertEqual([], os.listdir(self.folder))

    def test_unreadable(self) -> None:
        """A missing file and a directory: status 66, in the system's words."""
        expected = "no.ng: No such file or directory\n.: Is a directory\n"
        for program in programs():
            found = self.run_to_end(*program, "ngksock", "no.ng", ".")
            self.assertEqual((66, "", expected), found)

    def test_stdin(self) -> None:
        """- is standard input, called <stdin>."""
        found = self.run_to_end("twistd", "-n", "ngksock", "--check", "-", stdin="\n  nonsense\n")
        self.assertEqual((65, "", '<stdin>:2:3: "nonsense": unknown command\n'), found)
        found = self.run_to_end("twistd", "ngksock", "--check", "-", stdin=GOOD)
        self.assertEqual((0, "", ""), found)


class UsageTests(TwistdTestCase):
    def test_wrong(self) -> None:
        """Wrong usage: status 64, and one line with a hint."""
        cases = {
            (
                "--chek",
                "a",
            ): 'ngksock: option --chek not recognized; did you mean "--check" or "--help"?\n',
            ("--check",): NO_FILE,
            ("--no-control",): NO_FILE,
            (
                "--control=",
                "a",
            ): "ngksock: an empty path for the control socket; --help lists the options\n",
            ("--no-control", "--control=b", "a"): NOTHING_LEFT,
            ("--no-control", "--control-group=0", "a"): NOTHING_LEFT,
            (
                "--control-group=no such",
                "a",
            ): "ngksock: there is no group 'no such'; --help lists the options\n",
            ("-", "-"): "ngksock: standard input can be read only once; give - only once\n",
            ("--check=1", "a"): "ngksock: option --check must not have an argument\n",
        }
        for args, expected in cases.items():
            for program in programs() if args == ("--check",) else programs()[1:2]:
                status, out, err = self.run_to_end(*program, "ngksock", *args)
                self.assertEqual((64, "", 1), (status, out, err.count("\n")))
                self.assertEqual(expected[:-1], err[: len(expected) - 1])

    def test_help(self) -> None:
        """--help and --version tell what they should, with status 0."""
        status, out, err = self.run_to_end("twistd", "ngksock", "--help")
        self.assertEqual((0, ""), (status, err))
        self.assertIn(
            "ngksock [--check] [--control PATH | --no-control] [--control-group GROUP] [FILE...]",
            out,
        )
        self.assertEqual(
            (0, "ngksock 0.1.0\n", ""), self.run_to_end("twist", "ngksock", "--version")
        )


class ApplyTests(TwistdTestCase):
    """A file that is good, and fails when it is applied."""

    def setUp(self) -> None:
        super().setUp()
        taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(taken.close)
        taken.bind(("127.0.0.1", 0))
        self.write("a.ng", GOOD + BIND.format(taken.getsockname()[1]))
        self.expected = "a.ng:4:17: msg: EADDRINUSE (Address already in use)\n"

    def test_foreground(self) -> None:
        """Status 71, the message and nothing else on standard error; no pid file stays."""
        for program in programs()[1:]:
            status, out, err = self.run_to_end(*program, "ngksock", "a.ng")
            self.assertEqual((71, self.expected), (status, err))
            self.assertNotIn("Traceback", out)
            self.assertEqual(["a.ng"], os.listdir(self.folder))

    def test_daemonized(self) -> None:
        """Back to the shell within 5 s, with the message and status 1; no pid file stays."""
        before = monotonic()
        status, out, err = self.run_to_end("twistd", "--pidfile=t.pid", "ngksock", "a.ng")
        self.assertLess(monotonic() - before, 5)
        self.assertEqual((1, ""), (status, out))
        self.assertTrue(err.startswith(self.expected + "An error has occurred: "), err)
        # twistd's first process ends before the other has removed the pid file.
        left = {"a.ng", "twistd.log"}
        until(lambda: left == set(os.listdir(self.folder)), "the pid file to go")
        log = (self.folder / "twistd.log").read_text()
        self.assertIn(self.expected, log)
        self.assertNotIn("Traceback", log)
        self.assertNotIn("During handling", log)


class RunningTests(TwistdTestCase):
    """A service that stays."""

    def setUp(self) -> None:
        super().setUp()
        self.write("a.ng", GOOD + BIND.format(0) + "msg fan:in getname\n")

    def test_reactors(self) -> None:
        """SIGTERM and Ctrl-C end it within 2 s, cleanly, on each reactor."""
        for reactor in ("epoll", "poll", "select", "asyncio"):
            for number in (signal.SIGTERM, signal.SIGINT):
                args = ("-n", "--pidfile=t.pid", f"--reactor={reactor}", "ngksock", "a.ng")
                running = self.start("twistd", *args)
                self.assertLess(running.end(number), 2)
                self.assertEqual(-number, running.process.returncode)
                output = "".join(running.lines)
                self.assertIn(f"{reactor}reactor.", output)
                self.assertIn("] 2 nodes, 1 link from a.ng", output)
                self.assertIn("] Args:\tinet/127.0.0.1:", output)
                self.assertNotIn("Traceback", output)
                self.assertEqual(["a.ng"], os.listdir(self.folder))

    def test_twist(self) -> None:
        """It runs under twist too, on a reactor of one's choice."""
        for reactor in ("default", "asyncio"):
            running = self.start(
                "twist", f"--reactor={reactor}", "--log-format=text", "ngksock", "a.ng"
            )
            self.assertLess(running.end(signal.SIGTERM), 2)
            self.assertNotIn("Traceback", "".join(running.lines))

    def test_signals(self) -> None:
        """SIGHUP and SIGUSR1 are answered in the log, and it lives on."""
        running = self.start("twistd", "-n", "--pidfile=", "ngksock", "a.ng")
        running.process.send_signal(signal.SIGHUP)
        running.wait_for("reload is not there yet")
        running.process.send_signal(signal.SIGUSR1)
        running.wait_for("counters of 2 nodes:")
        running.wait_for(
            "  fan:            hub             in              sent 0 packets, 0 bytes"
        )
        self.assertLess(running.end(signal.SIGTERM), 2)

    def test_daemonized(self) -> None:
        """Daemonized it logs to its file, ends within 2 s, and leaves no pid file."""
        status = self.run_to_end("twistd", "--pidfile=t.pid", "ngksock", "a.ng")
        self.assertEqual((0, "", ""), status)
        pid = int((self.folder / "t.pid").read_text())
        # Before its reactor runs SIGTERM ends twistd as any process; SIGUSR1 is answered then.
        os.kill(pid, signal.SIGUSR1)
        until(lambda: "sent 0 packets" in (self.folder / "twistd.log").read_text(), "counters")
        os.kill(pid, signal.SIGTERM)
        self.assertLess(wait_for_end(pid), 2)
        self.assertEqual({"a.ng", "twistd.log"}, set(os.listdir(self.folder)))
        log = (self.folder / "twistd.log").read_text()
        self.assertIn("2 nodes, 1 link from a.ng", log)
        self.assertNotIn("Traceback", log)

    def test_another_directory(self) -> None:
        """Files are found from where they were named, though twistd goes elsewhere."""
        (self.folder / "sub").mkdir()
        self.write("a.ng", "mkpeer hub boot boot\nname boot fan\nread sub/b.ng\n")
        self.write("sub/b.ng", "mkpeer fan: hub out in\nwrite boot -f data\ndot drawn\n")
        self.write("sub/data", "x")
        status = self.run_to_end("twistd", "-d", "/", f"--pidfile={self.folder}/t.pid",
                                 f"--logfile={self.folder}/t.log", "ngksock", "a.ng")  # fmt: skip
        self.assertEqual((0, "", ""), status)
        pid = int((self.folder / "t.pid").read_text())
        os.kill(pid, signal.SIGTERM)
        wait_for_end(pid)
        self.assertIn("graph netgraph {", (self.folder / "sub" / "drawn").read_text())
