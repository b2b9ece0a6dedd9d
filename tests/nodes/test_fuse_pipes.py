"""Fused ksockets that are coupled in the kernel: few pipes, and what becomes of them."""

from __future__ import annotations

import errno as e
import os
import signal
import socket
from collections.abc import Callable
from typing import Any

from ngksock.kpi import pipes, relay
from ngksock.kpi.pipes import Lent
from ngksock.kpi.state import READ
from tests.nodes.facing import SOL, Facing
from tests.nodes.test_fuse import BIG, FuseCase


class PipeTests(FuseCase):
    """Pipes are few."""

    def test_none(self) -> None:
        """Without a pipe bytes are carried as before."""
        facing = self.facing("splice")
        self.patch(facing.pipes, "lend", lambda: None)
        self.swaps(facing, BIG)

    def refuse(self, facing: Facing, code: int, verb: str) -> list[int]:
        """Have a *verb* of every pipe answer *code*; return where it is noted how often."""
        pool = facing.pipes
        asked: list[int] = []

        class Refusing(Lent):
            pass

        def refuses(*args: Any) -> int:
            asked.append(code)
            raise OSError(code, "no")

        def lend() -> Lent:
            pool._made += 1
            return Refusing(pool, *os.pipe2(os.O_NONBLOCK))

        setattr(Refusing, verb, refuses)
        self.patch(pool, "lend", lend)
        return asked

    def test_unable(self) -> None:
        """Sockets, or processes, for which splice is not meant are asked but once, each way."""
        for code in (e.EINVAL, e.ENOSYS, e.EPERM, e.EOPNOTSUPP):
            for verb in ("fill", "send"):
                facing = self.facing("splice")
                asked = self.refuse(facing, code, verb)
                self.swaps(facing, BIG)
                self.assertEqual(2, len(asked))
                self.assertEqual(0, facing.pipes._users)

    def test_short_of_memory(self) -> None:
        """A system that is short of memory has not ended the connection."""
        for code in (e.ENOMEM, e.ENOBUFS):
            facing = self.facing("splice")
            asked = self.refuse(facing, code, "fill")
            self.swaps(facing, BIG)
            self.assertLess(2, len(asked))

    def test_broken(self) -> None:
        """An error of the connection that splice is told of, and nobody else, ends it."""
        facing = self.facing("splice")
        self.refuse(facing, e.ETIMEDOUT, "fill")
        for _ in range(2):
            facing.ends["client"].out += BIG[:2000]
            facing.settle()
        self.assertEqual("ECONNRESET", facing.ends["server"].over)

    def test_unsent(self) -> None:
        """A sink that is over when it is sent to has the pipe given back, and the loss counted."""
        facing = self.facing("splice")
        self.refuse(facing, e.EPIPE, "send")
        hook = facing.near.hook
        for _ in range(2):
            facing.ends["client"].out += BIG[:2000]
            facing.settle()
        self.assertEqual({e.EPIPE: 1}, hook.drops)
        self.assertEqual(0, facing.pipes._made)
        self.assertEqual("ECONNRESET", facing.ends["client"].over)

    def test_signal(self) -> None:
        """Whoever wants to die of SIGPIPE, and says so before a relay is coupled, does not."""
        facing = self.facing("splice")
        before = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        try:
            self.swaps(facing, BIG)
        finally:
            signal.signal(signal.SIGPIPE, before)
        self.assertEqual(0, facing.pipes._users)

    def test_last(self) -> None:
        """A sink that takes nothing does not keep the last pipe from the others."""
        self.patch(pipes, "_MOST", 1)
        facing = self.facing("splice")
        self.fill(facing)
        driver = facing.far.so.driver
        pool = facing.pipes
        self.assertTrue(facing.far.so.sndcount)
        self.assertEqual((None, 1), (driver.ahead, len(pool._idle)))
        self.empty(facing)

    def most(self, facing: Facing, beside: Callable[[], object]) -> int:
        """Return what is moved at most in one wake while *beside* is done between any two."""
        client, near = facing.ends["client"], facing.near.so
        before = last = near.rcvbytes
        client.out += BIG[:20_000]
        client.push()
        steps: list[int] = []
        for _ in range(1000):
            if near.rcvbytes == before + 20_000:
                break
            beside()
            facing.turn()
            steps.append(near.rcvbytes - last)
            last = near.rcvbytes
        self.empty(facing, BIG[:20_000])
        facing.ends["server"].got.clear()
        return max([step for step in steps if step][2:])  # nobody was beside the first

    def test_rounds(self) -> None:
        """What fills a splice is followed at once by more, unless anybody else does anything."""
        self.patch(relay, "CHUNK", 1000)
        self.patch(relay, "ALONE", 1)
        facing = self.facing("splice")
        facing.ends["client"].out += BIG[:9000]
        facing.settle()
        facing.ends["server"].got.clear()
        relays: Any = facing.kpi.relays
        server = facing.ends["server"].sock

        def answer() -> None:
            server.send(b"answer")

        def other() -> None:
            facing.far.so.post(READ, facing.far.so.so_rcv)

        self.assertEqual(4000, self.most(facing, tuple))
        self.assertEqual(1000, self.most(facing, answer))
        self.assertEqual(1000, self.most(facing, other))
        self.assertEqual(4000, self.most(facing, tuple))
        facing.lines(f"shutdown [{facing.near.id:x}]:")
        self.assertIsNone(relays.last)

    def test_rounds_end(self) -> None:
        """An end of file behind a splice that was filled is none but that."""
        self.patch(relay, "CHUNK", 1000)
        self.patch(relay, "ALONE", 1)
        facing = self.facing("splice")
        facing.ends["client"].out += BIG[:9000]
        facing.settle()
        facing.ends["client"].out += BIG[9000:11_000]
        facing.ends["client"].shuts = True
        facing.settle()
        server = facing.ends["server"]
        self.assertEqual((BIG[:11_000], "end"), (bytes(server.got), server.over))
        server.out += b"answer"
        facing.settle()
        self.assertEqual(b"answer", facing.ends["client"].got)

    def test_given_back(self) -> None:
        """No pipe is lent beyond the bytes in it, nor kept when the last coupled relay ended."""
        facing = self.facing("splice")
        pool = facing.pipes
        self.swaps(facing, BIG)
        self.assertEqual((2, True), (pool._users, pool._made == len(pool._idle) > 0))
        facing.lines(f"shutdown [{facing.near.id:x}]:")
        facing.settle()
        self.assertEqual((0, 0, []), (pool._users, pool._made, pool._idle))

    def test_sizes(self) -> None:
        """The far ends see a reset where the buffers are the smallest there are."""
        facing = self.facing("splice", couple=1)
        for node in (facing.near, facing.far):
            node.so.driver.sock.setsockopt(SOL, socket.SO_SNDBUF, 1)
        self.swaps(facing, BIG[:100_000])
