"""A real service with third parties' types that go wrong in every callback."""

from __future__ import annotations

import signal
import subprocess
import sys

from tests.service.twistd import TwistdTestCase
from tests.strange import CALLBACKS

WAYS = ("bug", "exit", "number")
MODULE = """
from tests.strange import strange

"""


class StrangeServiceTests(TwistdTestCase):
    def setUp(self) -> None:
        super().setUp()
        names = [f"{where.strip('_')}_{way}" for where in CALLBACKS for way in WAYS]
        wanted = [(where, way) for where in CALLBACKS for way in WAYS]
        lines = [f'{n} = strange("{n}", "{w}", "{y}")' for n, (w, y) in zip(names, wanted)]  # noqa: B905
        self.write("zz_types.py", MODULE + "\n".join(lines) + "\n")
        self.write("zz_exit.py", "raise SystemExit(3)\n")
        info = self.folder / "zz_dist-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: zz-dist\nVersion: 1.0\n")
        entries = ["[ngksock.node_types]", "zz-exit = zz_exit:x"]
        entries += [f"{name} = zz_types:{name}" for name in names]
        (info / "entry_points.txt").write_text("\n".join(entries) + "\n")
        torn = self.folder / "zz_torn-1.0.dist-info"
        torn.mkdir()
        (torn / "METADATA").write_text("Metadata-Version: 2.1\nName: zz-torn\nVersion: 1.0\n")
        (torn / "entry_points.txt").write_text("[ngksock.node_types]\nno equals sign\n")
        self.names = names

    def environment(self) -> dict[str, str]:
        env = super().environment()
        return {**env, "PYTHONPATH": f"{self.folder}:{env['PYTHONPATH']}"}

    def test_lives(self) -> None:
        """Nodes of each are made, fed, asked and ended from outside, and the service is well."""
        self.write("a.ng", "mkpeer hub boot boot\nname boot fan\ntypes -v\n")
        running = self.start("twistd", "-n", "--pidfile=", "ngksock", "--control", "c.sock", "a.ng")
        steps = []
        for name in self.names:
            steps += [
                f"mkpeer {name} x in", "connect x y out", "write x 1", "msg x setlimit 1",
                "msg x getlimit", "msg x config", "msg x describe", "status x", "show x",
                "rmhook y", "shutdown x",
            ]  # fmt: skip
        steps += ["mkpeer zz-exit x in"] * 2
        self.write("steps.py", CLIENT.replace("STEPS", repr(steps)))
        done = subprocess.run([sys.executable, "steps.py"], cwd=self.folder, text=True,
                              env=self.environment(), capture_output=True, timeout=60)  # fmt: skip
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        self.assertIn("alive", done.stdout)
        running.process.send_signal(signal.SIGUSR1)
        running.wait_for("counters of ")
        self.assertLess(running.end(signal.SIGTERM), 4)
        log = "".join(running.lines)
        said = 'node type "zz-exit" of zz-dist cannot be loaded'
        # Once with its traceback; and where types -v in the file printed it.
        self.assertEqual(1, log.count(f"#critical] {said}"), log)
        self.assertEqual(1, log.count("entry points of zz-torn cannot be read"), log)
        self.assertIn("-   zz-torn: its entry points cannot be read", log)
        self.assertIn(f"0   zz-dist 1.0: {said}: SystemExit: 3", log)
        self.assertIn("constructor failed (the type is of zz-dist)", log)

    def test_check(self) -> None:
        """--check loads a type on its first use, and names one that cannot be loaded."""
        self.write("zz_exit.py", "print('imported')\nraise SystemExit(3)\n")
        self.write("good.ng", "mkpeer rcvdata_bug x in\nwrite x 1\n")
        self.write("bad.ng", "\nmkpeer zz-exit x in\n")
        self.write("hub.ng", "mkpeer hub boot boot\n")
        for name in ("good", "hub"):
            found = self.run_to_end("twistd", "-n", "ngksock", "--check", f"{name}.ng")
            self.assertEqual((0, "", ""), found)
        status, out, err = self.run_to_end("twistd", "-n", "ngksock", "--check", "bad.ng")
        self.assertEqual((65, "imported\n"), (status, out))
        said = 'node type "zz-exit" of zz-dist cannot be loaded: SystemExit: 3'
        self.assertIn(f"bad.ng:2:8: {said}\n", err)

    def test_start(self) -> None:
        """A node that would end the program is a mistake in the file; a nonsense status is none."""
        self.write("a.ng", "mkpeer connect_exit x in\n")
        status, _, err = self.run_to_end("twistd", "-n", "--pidfile=", "ngksock", "a.ng")
        self.assertEqual(65, status)
        self.assertIn("failed; the log says where", err)
        self.write("b.ng", "mkpeer status_number x in\nname x odd\nmkpeer odd: hub out x\n")
        running = self.start("twistd", "-n", "--pidfile=", "ngksock", "b.ng")
        self.assertLess(running.end(signal.SIGTERM), 2)


CLIENT = '''
"""Carry out each step, whatever becomes of the others."""
from ngksock.client import connect
from ngksock.client.port import ClientPort
from ngksock.ctl.commands import ConsoleSession
from ngksock.ctl.console import Console
from ngksock.ctl.runner import Runner

node = connect(None, "c.sock")
console = Console("steps")
session = ConsoleSession(ClientPort(node), console, Runner(console))
session.say = lambda text: None
for step in STEPS:
    try:
        session.run(step)
        session.show_received()
    except OSError as error:
        assert error.errno not in (32, 104, 107), (step, error)
session.say = print
session.run("list")
print("alive")
'''
