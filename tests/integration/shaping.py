"""pipe and car in real time, between real sockets."""

from __future__ import annotations

import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random
from statistics import median

from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred, gatherResults

from tests.nodes.reactive import TCP, UDP, ReactiveCase
from tests.nodes.shaping import Stamper, spread, stamper

__all__ = ["ShapingCase"]

STAMP = struct.Struct("=d")
WITHIN = 0.05
TRIES = 4
"""A busy machine may stop us in the midst of a measurement, longer than queues and buckets last."""
BURST = 50
"""So many datagrams are sent before the reactor has its turn, for a socket has little room."""

Measured = tuple[float, float, str]
"""What was wanted, what was found, and of what."""


class ShapingCase(ReactiveCase):
    """A case with a node between a real socket and one that writes down what comes."""

    timeout = 120

    def between(self, kind: str, *messages: str) -> Stamper:
        """Make a node ``n`` of type *kind* behind a UDP socket; return what stands beyond."""
        beyond = Stamper()
        self.net.add(stamper, beyond)
        self.run_lines(f"mkpeer {kind} boot lower", "name boot n", f"mkpeer n: ksocket upper {UDP}")
        self.run_lines("msg n:upper bind inet/127.0.0.1:0", "rmhook boot")
        self.run_lines(f"connect n: [{beyond.id:x}]: lower in")
        self.run_lines(*(f"msg n: {text}" for text in messages))
        return beyond

    async def offer(self, seconds: float, length: int, rate: float) -> int:
        """Send stamped datagrams of that length, *rate* a second; return how many."""
        name = self.ask("n:upper", "getname").removeprefix("inet/")
        host, _, port = name.partition(":")
        sender = self.owned(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        sender.connect((host, int(port)))
        began, sent = reactor.seconds(), 0
        while (passed := reactor.seconds() - began) < seconds:
            for _ in range(min(int(passed * rate) + 1 - sent, BURST)):
                sender.send(STAMP.pack(reactor.seconds()).ljust(length, b"\0"))
                sent += 1
            await self.pause(0.002)
        return sent

    async def assert_near(self, measure: Callable[[], Awaitable[Measured]]) -> str:
        """
        Assert that what *measure* finds is within 5 % of what is wanted.

        Only the measure has another try; whatever must hold in any case fails in the first one.
        """
        tried = []
        for _ in range(TRIES):
            wanted, found, what = await measure()
            tried.append(f"{found:.6g}")
            if abs(found - wanted) <= wanted * WITHIN:
                return f"{what}: {', '.join(tried)}; {wanted:.6g} wanted"
            if "n" in self.net.names:
                self.run_lines("shutdown n:")
        self.fail(f"{what}: {', '.join(tried)}, not {wanted:.6g}")

    async def assert_delay(self, seconds: float) -> str:
        """Datagrams arrive after the delay."""
        return await self.assert_near(lambda: self.delay(seconds))

    async def delay(self, seconds: float) -> Measured:
        """Measure the delay."""
        beyond = self.between("pipe", "setcfg { delay=100000 }")
        sent = await self.offer(seconds, 100, 200)
        await self.until(lambda: len(beyond.times) == sent)
        delays = [time - STAMP.unpack_from(packet.data)[0] for time, packet in beyond.arrivals]
        self.assertGreaterEqual(min(delays), 0.1 - 1e-5)
        return 0.1, median(delays), f"median of {sent} delays"

    async def assert_rate(self, kind: str, config: str, cost: float, seconds: float) -> str:
        """Of more datagrams than fit as many arrive as do; each costs so many seconds."""
        return await self.assert_near(lambda: self.rate(kind, config, cost, seconds))

    async def rate(self, kind: str, config: str, cost: float, seconds: float) -> Measured:
        """Measure how many arrive."""
        beyond = self.between(kind, config)
        await self.offer(seconds, 990, 1.5 / cost)
        times = beyond.times
        rate = (len(times) - 1) / (times[-1] - times[0])
        return 1 / cost, rate, f"packets a second of {kind}"

    async def assert_policed(self, seconds: float) -> str:
        """What a policer passes is its rate, and one bucket."""
        return await self.assert_near(lambda: self.policed(seconds))

    async def policed(self, seconds: float) -> Measured:
        """Measure how much passes."""
        config = "cbs=5000 ebs=0 cir=1000000 greenAction=1 yellowAction=2 redAction=2"
        beyond = self.between("car", f"setconf {{ downstream={{ {config} }} }}")
        began = reactor.seconds()
        await self.offer(seconds, 1000, 250)
        took = reactor.seconds() - began
        rate = (len(beyond.times) * 1000 - 5000) * 8 / took
        return 1_000_000, rate, "bit/s of a policer"

    async def assert_loss(self, seconds: float) -> str:
        """As many are lost as chance has it."""
        beyond = self.between(
            "pipe", "setseed 5", "setloss { downstream=100000 }", "setcfg { delay=20000 }"
        )
        sent = await self.offer(seconds, 50, 1000)
        node = self.node("n:")
        await self.until(lambda: "under way" not in node.status())
        lost = sent - len(beyond.times)
        self.assertApproximates(sent * 0.1, lost, spread(sent, 0.1))
        return f"{lost} of {sent} lost"

    async def assert_stream(self, kind: str, config: str, size: int, least: float) -> str:
        """A TCP stream through *kind* arrives whole, both ways, in its time, and ends."""
        return await self.assert_near(lambda: self.stream(kind, config, size, least))

    async def stream(self, kind: str, config: str, size: int, least: float) -> Measured:
        """Measure how long it takes."""
        self.run_lines(f"mkpeer {kind} boot lower", "name boot n")
        ends = []
        for hook in ("upper", "lower"):
            server, address = self.server()
            self.run_lines(f"mkpeer n: ksocket {hook} {TCP}", f"msg n:{hook} connect {address}")
            ends.append(await self.accepted(server))
            if hook == "upper":
                self.run_lines("rmhook boot")
        self.run_lines(f"msg n: {config}")
        node, (one, other) = self.node("n:"), ends
        ways = [self.carry(one, other, size), self.carry(other, one, size)]
        took = await gatherResults([ensureDeferred(way) for way in ways])
        await self.until(self.gone(node))
        self.assertEqual([], self.reports)
        return least, max(took), f"seconds of {size >> 10} KiB each way through {kind}"

    async def carry(self, source: socket.socket, sink: socket.socket, size: int) -> float:
        """Send so many bytes and the end; return how long it took until all was there."""
        data = memoryview(Random(size).randbytes(size))
        began, sent, got = reactor.seconds(), 0, bytearray()
        while True:
            with suppress(BlockingIOError):
                if sent < size:
                    sent += source.send(data[sent : sent + 65536])
                    if sent == size:
                        source.shutdown(socket.SHUT_WR)
            with suppress(BlockingIOError):
                while more := sink.recv(65536):
                    got += more
                break
            await self.pause(0.001)
        self.assertEqual((size, True), (len(got), got == data))
        return reactor.seconds() - began
