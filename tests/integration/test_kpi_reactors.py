"""The socket KPI on the reactors that are not Linux's usual one.

Each runs a part of the checks in a process of its own: how a socket begins,
connects, moves data, ends, and what it leaves behind.
"""

from __future__ import annotations

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.service import DEADLINE, ROOT, environment

COLUMNS = "tcp4,tcp6,local_stream,seqpacket,tls,udp4,local_dgram"
LIFE = (4, 7, 14, 15, 16, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 29, 31)
DATA = (32, 34, 35, 36, 37, 38, 41, 42, 43, 45, 46, 47, 49, 50, 51, 52, 55, 57)
ENDS = (60, 61, 62, 63, 64, 65, 67, 68, 69, 70, 71, 72, 74, 75, 76, 77, 78, 79)

PROGRAM = """
import sys
from twisted.internet import asyncioreactor, pollreactor, selectreactor
name, columns, numbers = sys.argv[1:]
module = {"asyncio": asyncioreactor, "poll": pollreactor, "select": selectreactor}[name]
module.install()
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import react
from ngksock.testing import check_socket_kpi
from tests.kpi.worlds import make_world

async def main():
    for column in columns.split(","):
        await check_socket_kpi(make_world(column), map(int, numbers.split(",")))
    print(type(reactor).__name__, "is fine")

react(lambda reactor: Deferred.fromCoroutine(main()))
"""


class ReactorsTests(SynchronousTestCase):
    def run_on(self, name: str) -> str:
        """Run the checks on a reactor, and return what was said."""
        numbers = ",".join(map(str, (*LIFE, *DATA, *ENDS)))
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, name, COLUMNS, numbers],
            env=environment(ROOT),
            cwd="/",
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        return done.stdout

    def test_poll(self) -> None:
        """On poll life cycle, data and close of all kinds of sockets hold."""
        said = self.run_on("poll")
        self.assertEqual("PollReactor is fine\n", said)

    def test_select(self) -> None:
        """On select they hold."""
        said = self.run_on("select")
        self.assertEqual("SelectReactor is fine\n", said)

    def test_asyncio(self) -> None:
        """On asyncio they hold."""
        said = self.run_on("asyncio")
        self.assertEqual("AsyncioSelectorReactor is fine\n", said)
