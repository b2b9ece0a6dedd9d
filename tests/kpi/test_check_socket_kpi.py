"""check_socket_kpi: what it lets pass, and what it finds."""

from __future__ import annotations

import socket
from errno import ECONNABORTED
from typing import Any
from unittest.mock import sentinel

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import Invalid

from ngksock.kpi import SocketKPI
from ngksock.testing import MemoryWorld, SocketWorld, check_socket_kpi
from ngksock.testing.kpi.registry import HOLDS, na
from ngksock.testing.memorystream import MemoryStream
from tests.kpi.worlds import make_world


class CheckSocketKPITests(SynchronousTestCase):
    def check(self, world: SocketWorld, *numbers: int, **words: Any) -> None:
        """Run checks, which a world of memory does without a reactor."""
        done = Deferred.fromCoroutine(check_socket_kpi(world, numbers or None, **words))
        self.successResultOf(done)

    def broken(self, words: str, driver: type[MemoryStream], *numbers: int) -> None:
        """Assert that sockets on *driver* are found to be broken, in *words*."""
        world = MemoryWorld(flush=self.flushLoggedErrors)
        net = world.net
        world.provider = SocketKPI(
            net.clock, net.clock, drivers=lambda kpi, proto: driver(net, kpi, proto)
        )
        done = Deferred.fromCoroutine(check_socket_kpi(world, numbers))
        error = self.failureResultOf(done, AssertionError).value
        self.assertIn(words, str(error))

    def test_memory(self) -> None:
        """All checks that apply to sockets in memory pass."""
        self.check(MemoryWorld(flush=self.flushLoggedErrors))

    def test_numbers(self) -> None:
        """Some checks may be chosen; those that do not apply are not run."""
        self.check(MemoryWorld(), 42, 43, 44)

    def test_exceptions(self) -> None:
        """A third party may have verdicts of its own."""
        silent = {22: na("it is slow")}
        world = MemoryWorld(column="udp4")
        self.check(world, 22, exceptions=silent)
        self.check(world, 22, exceptions={22: HOLDS})
        done = Deferred.fromCoroutine(check_socket_kpi(world, [43], exceptions={43: HOLDS}))
        self.failureResultOf(done, AssertionError)

    def test_interfaces(self) -> None:
        """What is no provider, or makes no sockets, is found."""
        world = MemoryWorld()
        provider, world.provider = world.provider, sentinel.provider
        self.failureResultOf(Deferred.fromCoroutine(check_socket_kpi(world)), Invalid)
        world.provider = provider
        self.patch(type(provider), "socket", lambda self, *args: sentinel.socket)
        self.failureResultOf(Deferred.fromCoroutine(check_socket_kpi(world)), Invalid)

    def test_deaf(self) -> None:
        """An end of file that is not sent is found, with the number of the check."""

        class Broken(MemoryStream):
            def shutdown(self) -> None:
                pass

        self.broken("check 49, the memory driver", Broken, 49)

    def test_wrong_errno(self) -> None:
        """A wrong errno is found, and both are named."""

        class Broken(MemoryStream):
            def lost(self, code: int) -> None:
                super().lost(ECONNABORTED)

        self.broken("expected 'ECONNREFUSED', got 'ECONNABORTED'", Broken, 24)

    def test_wrong_bytes(self) -> None:
        """What arrives changed is found."""

        class Broken(MemoryStream):
            def _put(self, data: bytes) -> int:
                return super()._put(data.upper())

        self.broken("expected b'abc', got b'ABC'", Broken, 32)

    def test_bug(self) -> None:
        """An exception that is no OSError is a broken promise, too."""

        class Broken(MemoryStream):
            def listen(self, backlog: int) -> None:
                raise KeyError(backlog)

        self.broken("KeyError: 5", Broken, 13)

    def test_leftovers(self) -> None:
        """A delayed call that a closed socket leaves behind is found."""

        class Broken(MemoryStream):
            def abort(self) -> None:
                super().abort()
                self.net.clock.callLater(60, lambda: None)

        self.broken("closed sockets have left behind ['delayed call", Broken, 8)


class HostLeftoversTests(TestCase):
    async def test_descriptor(self) -> None:
        """A descriptor that is left behind is found, on a real reactor."""
        world = make_world("tcp4")
        await world.pause(0)
        world.open()
        with socket.socket():
            (left,) = world.leftovers()
        self.assertIn("socket:", left)
        self.assertEqual([], world.leftovers())

    async def test_public(self) -> None:
        """check_socket_kpi is the same suite on a real reactor."""
        await check_socket_kpi(make_world("udp4", self.flushLoggedErrors), [4, 31, 71])
