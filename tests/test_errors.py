"""Foreign errors: each has an errno, and people can read it."""

from __future__ import annotations

import errno
import inspect
import os

from twisted.internet import error as foreign
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ngksock.errors import TWISTED, errno_name, errno_of, oserror, words


class ErrorTests(SynchronousTestCase):
    def test_total(self) -> None:
        """Every exception of twisted.internet.error has a row, and no row is stale."""
        theirs = {
            cls
            for _, cls in inspect.getmembers(foreign, inspect.isclass)
            if issubclass(cls, BaseException) and cls.__module__ == foreign.__name__
        }
        self.assertGreater(len(theirs), 40)
        self.assertEqual(theirs, set(TWISTED))

    def test_numbers(self) -> None:
        """A row holds a number this host knows, or 0 for a clean end."""
        clean = {cls for cls, code in TWISTED.items() if not code}
        self.assertEqual({foreign.ConnectionDone, foreign.ProcessDone}, clean)
        self.assertEqual(set(), {c for c in TWISTED.values() if c} - set(errno.errorcode))

    def test_row(self) -> None:
        """An exception without a number of its own has that of its row."""
        self.assertEqual(errno.ECONNRESET, errno_of(foreign.ConnectionLost()))
        self.assertEqual(0, errno_of(Failure(foreign.ConnectionDone())))
        self.assertEqual(errno.ETIMEDOUT, errno_of(foreign.TCPTimedOutError()))

    def test_nearest_class(self) -> None:
        """An exception we never heard of has the number of its nearest known class."""

        class Odd(foreign.ConnectionRefusedError):
            pass

        self.assertEqual(errno.ECONNREFUSED, errno_of(Odd()))
        self.assertEqual(errno.EIO, errno_of(KeyError("bug")))

    def test_own_number(self) -> None:
        """The system's own number is preferred to the row's."""
        self.assertEqual(errno.ENETDOWN, errno_of(OSError(errno.ENETDOWN, "down")))
        self.assertEqual(errno.EACCES, errno_of(foreign.ConnectError(errno.EACCES)))
        refused = foreign.CannotListenError("", 80, OSError(errno.EACCES, "no"))
        self.assertEqual(errno.EACCES, errno_of(refused))
        taken = foreign.CannotListenError("", 80, OSError("no number"))
        self.assertEqual(errno.EADDRINUSE, errno_of(taken))

    def test_words(self) -> None:
        """An errno reads as its symbol and the system's sentence."""
        self.assertEqual("ECONNREFUSED", errno_name(errno.ECONNREFUSED))
        text = f"ECONNREFUSED ({os.strerror(errno.ECONNREFUSED)})"
        self.assertEqual(text, words(errno.ECONNREFUSED))
        self.assertEqual("99999", errno_name(99999))

    def test_oserror(self) -> None:
        """Python picks the subclass; the sentence is strerror's unless given."""
        self.assertIsInstance(oserror(errno.EINPROGRESS), BlockingIOError)
        self.assertEqual(os.strerror(errno.EPIPE), oserror(errno.EPIPE).strerror)
        self.assertEqual("full", oserror(errno.ENOBUFS, "full").strerror)
