"""TLS above small buffers: what was not taken does not leave, and all leaves once."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from ngksock.kpi import MsgHdr
from ngksock.kpi import constants as c
from ngksock.kpi.tlsrecord import WINDOW, Records
from tests.kpi.sockets import Owner, driver, packets
from tests.kpi.tlspeers import TLSTestCase

SIZES = (1, 2, 3, 100, 1000, 2000, 4096, 16384, 65536, 131072, 2 * WINDOW)


def stingy(limit: int) -> Callable[[Records, Any], bool]:
    """Return a push that finds room for some bytes at a time, at most *limit*, or for none."""
    dice = random.Random(limit)

    def push(records: Records, sock: Any) -> bool:
        room = dice.randrange(limit)
        out = records._out
        while out and room:
            try:
                sent = sock.send(memoryview(out[0])[:room])
            except BlockingIOError:
                return False
            records.waiting -= sent
            room -= sent
            out[0] = memoryview(out[0])[sent:]
            if not out[0]:
                out.popleft()
        return not out

    return push


class SmallBufferTests(TLSTestCase):
    async def small(self, size: int) -> tuple[Owner, Owner]:
        """Return a connection whose first end has an so_snd of *size* bytes."""
        one, two = await self.both({}, {})
        one.so.setsockopt(c.SOL_SOCKET, c.SO_SNDBUF, size)
        return one, two

    def holds(self, one: Owner) -> None:
        """Assert that what is encrypted ahead is what so_snd has, or less."""
        self.assertLessEqual(driver(one.so).sealed, one.so.sndcount)

    async def test_one_call(self) -> None:
        """A send that does not wait takes what so_snd holds, and that is what arrives."""
        for size in SIZES:
            one, two = await self.small(size)
            data = os.urandom(size + WINDOW)
            patched = self.patch(Records, "push", lambda records, sock: False)
            self.assertEqual(size, one.so.send(MsgHdr(iov=[data])))
            self.holds(one)
            with self.assertRaises(BlockingIOError):
                one.so.send(MsgHdr(iov=[data]))
            patched.restore()
            driver(one.so).doWrite()
            self.assertEqual(0, one.so.sndcount)
            one.so.shutdown(c.SHUT_WR)
            await two.until(lambda two: two.eof or two.error, two)
            self.assertEqual(data[:size], two.data, size)

    async def test_batch(self) -> None:
        """A batch is taken whole, and leaves in pieces no larger than so_snd is."""
        for size in SIZES:
            one, two = await self.small(size)
            data = os.urandom(min(5 * size, WINDOW))
            patched = self.patch(Records, "push", lambda records, sock: False)
            one.so.sendbatch(packets(data[:10], data[10:]))
            self.assertEqual(len(data), one.so.sndcount)
            self.holds(one)
            self.assertLessEqual(driver(one.so).sealed, size)
            patched.restore()
            await two.until(lambda two, data: len(two.data) >= len(data), two, data)
            self.assertEqual(data, two.data, size)

    async def test_made_smaller(self) -> None:
        """An so_snd that is made smaller while something waits holds that until it has left."""
        one, two = await self.both({}, {})
        patched = self.patch(Records, "push", lambda records, sock: False)
        one.so.sendbatch(packets(bytes(WINDOW)))
        one.so.setsockopt(c.SOL_SOCKET, c.SO_SNDBUF, 100)
        self.holds(one)
        patched.restore()
        await two.until(lambda: len(two.data) == WINDOW)
        self.assertEqual(0, one.so.sndcount)

    async def test_without_waiting(self) -> None:
        """Whoever sends on until it blocks, and again when told, sends all of it once."""
        for size in SIZES:
            one, two = await self.small(size)
            data = os.urandom(min(size * 40, 1 << 20))
            left = [memoryview(data)]

            def more(*_: Any, one: Owner = one, left: list[memoryview] = left) -> None:
                while left[0]:
                    try:
                        count = one.so.send(MsgHdr(iov=[left[0]]))
                    except BlockingIOError:
                        return
                    assert isinstance(count, int)
                    left[0] = left[0][count:]
                    self.holds(one)

            one.so.setupcalls(one._read, None, more, None)
            patched = self.patch(Records, "push", stingy(2 * size + 60))
            more()
            await two.until(lambda two, data: len(two.data) >= len(data), two, data)
            patched.restore()
            one.so.shutdown(c.SHUT_WR)
            await two.until(lambda two: two.eof or two.error, two)
            self.assertEqual(data, two.data, size)

    async def test_waiting(self) -> None:
        """A send that waits until all is taken, likewise."""
        for size in SIZES:
            one, two = await self.small(size)
            one.so.ioctl(c.FIONBIO, 0)
            data = os.urandom(min(size * 40, 1 << 20))
            patched = self.patch(Records, "push", stingy(2 * size + 60))
            sent = one.so.send(MsgHdr(iov=[data[:1], data[1:]]))
            count = await sent if isinstance(sent, Deferred) else sent
            self.assertEqual(len(data), count)
            await two.until(lambda two, data: len(two.data) >= len(data), two, data)
            patched.restore()
            one.so.shutdown(c.SHUT_WR)
            await two.until(lambda two: two.eof or two.error, two)
            self.assertEqual(data, two.data, size)

    async def test_slow_reader(self) -> None:
        """The same at a peer that reads late, with the host's buffers in between."""
        one, two = await self.small(4096)
        driver(two.so).pause()
        one.so.ioctl(c.FIONBIO, 0)
        data = os.urandom(8 << 20)
        sent = one.so.send(MsgHdr(iov=[data]))
        self.holds(one)
        assert isinstance(sent, Deferred)
        driver(two.so).rcvd()
        self.assertEqual(len(data), await sent)
        one.so.shutdown(c.SHUT_WR)
        await two.until(lambda: two.eof or two.error)
        self.assertEqual(data, two.data)
