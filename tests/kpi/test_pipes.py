"""Pipes on loan: how many, how large, and what becomes of them."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ngksock.kpi.pipes import CHUNK, Pipes, can_splice


def is_open(fd: int) -> bool:
    """Whether *fd* is a descriptor."""
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


class PipeTests(SynchronousTestCase):
    """A pool that somebody uses."""

    def setUp(self) -> None:
        if not can_splice():
            self.skipTest("the host does not splice")
        self.pipes = Pipes()
        self.pipes.enter()

    def tearDown(self) -> None:
        self.assertEqual(0, self.pipes._made)

    def test_few(self) -> None:
        """There are sixteen at most; what is given back is lent again, the newest first."""
        lent: list[Any] = [self.pipes.lend() for _ in range(17)]
        self.assertIsNone(lent.pop())
        self.assertNotIn(None, lent)
        lent[3].give_back()
        self.assertIs(lent[3], self.pipes.lend())
        for one in lent:
            one.give_back()
        self.pipes.leave()
        self.assertFalse(any(is_open(one._out) or is_open(one._into) for one in lent))

    def test_late(self) -> None:
        """A pipe that comes back after the last user has left is closed."""
        lent = self.pipes.lend()
        assert lent is not None
        self.pipes.leave()
        self.assertTrue(is_open(lent._out))
        lent.give_back()
        self.assertFalse(is_open(lent._out))

    def test_rest(self) -> None:
        """What goes in comes out, in pieces; a pipe with a rest in it is not lent again."""
        one, other = socket.socketpair()
        self.addCleanup(one.close)
        self.addCleanup(other.close)
        far, near = socket.socketpair()
        self.addCleanup(far.close)
        self.addCleanup(near.close)
        for sock in (one, other, far, near):
            sock.setblocking(False)
        lent = self.pipes.lend()
        assert lent is not None
        self.assertRaises(BlockingIOError, lent.fill, other, CHUNK)
        one.send(b"abc")
        self.assertEqual(3, lent.fill(other, CHUNK))
        self.assertEqual((3, 0, b"abc"), (lent.send(near), lent.left, far.recv(9)))
        one.send(b"rest")
        one.close()
        lent.fill(other, CHUNK)
        lent.give_back()
        again = self.pipes.lend()
        assert again is not None
        self.assertIsNot(lent, again)
        self.assertEqual(0, again.fill(other, CHUNK))
        again.give_back()
        self.pipes.leave()

    def test_spent(self) -> None:
        """When the system gives small pipes, or none, there are none; none is left open."""
        fds = len(os.listdir("/proc/self/fd"))

        def small(*args: Any) -> int:
            return 8192

        def denied(*args: Any) -> int:
            raise PermissionError(errno.EPERM, "spent")

        for answer in (small, denied):
            patch = self.patch(fcntl, "fcntl", answer)
            self.assertIsNone(Pipes().lend())
            patch.restore()
        patch = self.patch(os, "pipe2", denied)
        self.assertIsNone(Pipes().lend())
        patch.restore()
        self.assertEqual(fds, len(os.listdir("/proc/self/fd")))

    def test_refused(self) -> None:
        """A system that has refused one is not asked for every read, but asked again."""
        asked: list[int] = []

        def denied(flags: int) -> int:
            asked.append(flags)
            raise PermissionError(errno.EPERM, "spent")

        self.assertFalse(self.pipes.scarce)
        patch = self.patch(os, "pipe2", denied)
        self.assertEqual({None}, {self.pipes.lend() for _ in range(257)})
        self.assertEqual((1, False), (len(asked), self.pipes.scarce))
        self.pipes.lend()
        self.assertEqual((2, True), (len(asked), self.pipes.scarce))
        patch.restore()

    def test_taken(self) -> None:
        """What is in a pipe can be had; it is empty then, and lent again."""
        one, other = socket.socketpair()
        self.addCleanup(one.close)
        self.addCleanup(other.close)
        other.setblocking(False)
        data = bytes(range(256)) * 700
        lent = self.pipes.lend()
        assert lent is not None
        one.setblocking(False)
        sent = one.send(data)
        lent.fill(other, CHUNK)
        self.assertEqual(data[: lent.left], lent.take())
        self.assertTrue(sent)
        self.assertEqual((0, b""), (lent.left, lent.take()))
        lent.give_back()
        self.assertIs(lent, self.pipes.lend())
        lent.give_back()
        self.pipes.leave()

    def test_signal(self) -> None:
        """Where a closed socket would kill the process, or be told to it, nothing is spliced."""
        for action in (signal.SIG_DFL, lambda number, frame: None):
            before = signal.signal(signal.SIGPIPE, action)
            try:
                self.assertFalse(can_splice())
            finally:
                signal.signal(signal.SIGPIPE, before)
