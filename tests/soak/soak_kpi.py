"""Sockets by the thousand, made, connected, accepted and closed: nothing stays behind."""

from __future__ import annotations

import ctypes
import gc
import os
import time
from collections.abc import Awaitable, Callable

from twisted.internet.defer import Deferred, ensureDeferred, gatherResults

from ngksock.kpi import MsgHdr, Socket
from ngksock.kpi.tlsconfig import TLSConfig
from ngksock.kpi.tlsopt import IPPROTO_TLS, settls
from tests.kpi.sockets import ANY, INET, STREAM
from tests.kpi.tlspeers import TLSTestCase

AT_ONCE = 20


def descriptors() -> int:
    """Return how many descriptors this process has."""
    return len(os.listdir("/proc/self/fd"))


def rss() -> int:
    """Return the resident memory of this process, in KiB, all that is free given back."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
    if trim is not None:
        trim(0)  # else it moves with where the free pieces happen to lie
    with open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("VmRSS"):
                return int(line.split()[1])
    raise AssertionError("no VmRSS")


def later(result: object) -> Deferred[object]:
    """Return what a call in blocking mode gave."""
    assert isinstance(result, Deferred)
    return result


class CyclesSoak(TLSTestCase):
    timeout = 300

    async def cycle(self, listener: Socket, client: Socket) -> None:
        """Connect, exchange a word both ways, and close both ends."""
        accepting = later(listener.accept())
        await later(client.connect(listener.getsockname()))
        accepted = await accepting
        assert isinstance(accepted, tuple)
        server: Socket = accepted[0]
        for one, other in ((client, server), (server, client)):
            await later(one.send(MsgHdr(iov=[b"hello"])))
            buffer = bytearray(5)
            await later(other.receive(MsgHdr(iov=[buffer])))
            self.assertEqual(b"hello", buffer)
        await gatherResults([client.close(), server.close()])

    async def cycles(self, count: int, one: Callable[[], Awaitable[None]]) -> float:
        """Make *count* cycles, some at once; return the seconds."""
        began = time.monotonic()
        left = count

        async def row() -> None:
            nonlocal left
            while left:
                left -= 1
                await one()
                self.logged.clear()  # it is the test's own

        await gatherResults([ensureDeferred(row()) for _ in range(AT_ONCE)])
        return time.monotonic() - began

    async def hold(self, what: str, count: int, one: Callable[[], Awaitable[None]]) -> None:
        """Make *count* cycles twice, and compare what is held after each."""
        await self.cycles(count, one)
        before, files = rss(), descriptors()
        seconds = await self.cycles(count, one)
        after = rss()
        print(f"\n{count} {what} in {seconds:.1f} s; {files} descriptors, {before} / {after} KiB")
        self.assertEqual(files, descriptors())
        self.assertEqual(set(), self.kpi.flushing)
        self.assertLess(after - before, 1024, "KiB of memory stayed behind")

    async def test_cycles(self):
        """10,000 connections, accepted and closed, leave memory and descriptors as they were."""
        listener = self.kpi.socket(INET, STREAM)
        listener.bind(ANY)
        listener.listen(128)

        async def one() -> None:
            await self.cycle(listener, self.kpi.socket(INET, STREAM))

        await self.hold("connections", 10_000, one)
        listener.close()

    async def test_handshakes(self):
        """1,000 TLS connections, and as many refused certificates, leave nothing either."""
        listener = self.kpi.socket(INET, STREAM, IPPROTO_TLS)
        settls(listener, TLSConfig(cert=self.cert))
        listener.bind(ANY)
        listener.listen(128)

        async def one() -> None:
            client = self.kpi.socket(INET, STREAM, IPPROTO_TLS)
            settls(client, TLSConfig(ca=self.ca))
            await self.cycle(listener, client)
            stranger = self.kpi.socket(INET, STREAM, IPPROTO_TLS)
            settls(stranger, TLSConfig(ca=self.ca, servername="another.example.org"))
            try:
                await later(stranger.connect(listener.getsockname()))
            except PermissionError:
                await stranger.close()
            else:
                self.fail("connected to a server of another name")

        await self.hold("handshakes, and refused ones", 1_000, one)
        listener.close()
