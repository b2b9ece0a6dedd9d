"""A third party's package, built and installed beside ours as a stranger would do it.

Not called ``test_*``, for what `installs` says; ``tox -e packaging`` runs both.
"""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.docs.pages import blocks
from tests.packaging.installs import ROOT, build, run

PACKAGE = ROOT / "docs" / "examples" / "ngk-rot13"
SECONDS = 20


@cache
def installed() -> tuple[Path, str]:
    """Do with a copy of the package what the page says; return its folder, and what came out."""
    folder = Path("stranger").absolute()
    copy = folder / PACKAGE.name
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "dist"))
    (commands,) = [
        block for block in blocks("writing-a-node-type", "sh") if block.caption == "publish"
    ]
    script = folder / "publish.sh"
    # Our wheel is not on the index: pip finds it beside.
    script.write_text(
        f"set -ex; cd {folder}\n"
        f"export PATH={Path(sys.executable).parent}:$PATH PIP_FIND_LINKS={build()[1].parent}\n"
        f"{commands.text}"
    )
    return copy, run("bash", script)


class StrangerTests(SynchronousTestCase):
    """ngk-rot13, from the folder ``/``."""

    def setUp(self) -> None:
        self.copy, self.said = installed()
        self.programs = self.copy / "try" / "bin"
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()

    def file(self, here: int, there: int) -> Path:
        """Write the package's example, with ports of ours."""
        text = (self.copy / "examples" / "rot13.ng").read_text(encoding="utf-8")
        self.assertIn("mkpeer rot13 ", text)
        path = self.folder / "rot13.ng"
        text = text.replace("9000", str(here)).replace("9001", str(there))
        path.write_text(text, encoding="utf-8")
        return path

    def test_own_tests(self) -> None:
        """The package's tests pass where it is installed: `check_node_type` is among them."""
        text = self.said
        self.assertIn("test_conforms ...", text)
        self.assertRegex(text, r"PASSED \(successes=\d+\)")

    def test_check(self) -> None:
        """--check knows the type, and what is wrong with its messages."""
        path = self.file(9000, 9001)
        self.assertEqual("", run(self.programs / "twistd", "-n", "ngksock", "--check", path))
        path.write_text(path.read_text().replace("setshift 13", "setshift 99"))
        error = self.assertRaises(
            AssertionError, run, self.programs / "twistd", "-n", "ngksock", "--check", path
        )
        self.assertIn("a shift of 99 is none: -25 to 25", str(error))

    def test_service(self) -> None:
        """It works in a file under twistd, and ngkctl sees it and talks to it."""
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(receiver.close)
        self.addCleanup(sender.close)
        receiver.settimeout(SECONDS)
        receiver.bind(("127.0.0.1", 0))
        sender.bind(("127.0.0.1", 0))
        here = sender.getsockname()[1]
        sender.close()
        path = self.file(here, receiver.getsockname()[1])
        # Not in the test's own folder, whose path may be too long for a socket's.
        short = tempfile.mkdtemp(prefix="ngk-")
        self.addCleanup(shutil.rmtree, short)
        control = Path(short) / "c.sock"
        process = subprocess.Popen(
            [self.programs / "twistd", "-n", "--pidfile=", "ngksock", "--control", control, path],
            cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={k: v for k, v in os.environ.items() if not k.startswith(("COVERAGE_", "PYTHON"))},
        )  # fmt: skip
        self.addCleanup(self.end, process)
        assert process.stdout is not None
        log = ""
        while not re.search(r"turn: +rot13 +letters move 13 places", log):
            self.assertTrue(select.select([process.stdout], [], [], SECONDS)[0], log)
            # Not by readline, which takes more than a line, where select does not see it.
            read = os.read(process.stdout.fileno(), 1 << 16)
            self.assertTrue(read, log)
            log += read.decode()

        def ngkctl(*words: str) -> str:
            return run(self.programs / "ngkctl", "-s", control, *words)

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"Hello", ("127.0.0.1", here))
            self.assertEqual(b"Uryyb", receiver.recv(100))
            ngkctl("msg", "turn:", "setshift", "-1")
            client.sendto(b"IBM", ("127.0.0.1", here))
            self.assertEqual(b"HAL", receiver.recv(100))
        self.assertIn("Args:\t{ packets=2 letters=8 }", ngkctl("msg", "turn:", "getstats"))
        self.assertRegex(ngkctl("types", "-v"), r"rot13 +1 +ngk-rot13 1\.0\n")
        told = {one["type"]: one for one in json.loads(ngkctl("--json", "types", "-v"))}
        self.assertEqual(
            {"type": "rot13", "nodes": 1, "origin": "ngk-rot13 1.0", "problem": None},
            told["rot13"],
        )
        self.assertIn("setshift <int32>", ngkctl("inspect", "rot13"))
        saved = ngkctl("save")
        self.assertIn(" rot13 left left\n", saved)
        self.assertIn("msg turn: setshift -1\n", saved)

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """End the service, which takes it no time."""
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=SECONDS)
        self.assertNotIn(b"Traceback", rest)
