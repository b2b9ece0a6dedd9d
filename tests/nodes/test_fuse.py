"""When two ksockets are fused, when not, and what stays true while they are."""

from __future__ import annotations

import errno as e
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ngksock.kpi import SocketKPI, pipes, relay
from ngksock.kpi.pipes import Lent
from ngksock.kpi.state import READ
from ngksock.kpi.stream import StreamDriver
from ngksock.nodes.ksocket.fuse import READS
from ngksock.packet import Packet
from tests.nodes.facing import SOL, Facing

BIG = bytes(range(256)) * 4000


class FuseCase(SynchronousTestCase):
    """A case with one relay."""

    def facing(self, how: str = "fuse", middle: str = "plain", **more: Any) -> Facing:
        """Return a relay that is closed after the test."""
        made = Facing(how, middle, **more)
        self.addCleanup(made.close)
        return made

    def swaps(self, facing: Facing, data: bytes = b"some") -> None:
        """See *data* arrive both ways."""
        for name, other in (("client", "server"), ("server", "client")):
            facing.ends[name].out += data
            facing.settle()
            self.assertTrue(facing.ends[other].got == data, f"{name} to {other}")
            facing.ends[other].got.clear()

    def fill(self, facing: Facing) -> None:
        """Send until the relay takes no more, for nobody reads; it is coupled, if it may be."""
        facing.ends["client"].out += BIG[:9000]
        facing.settle()
        facing.ends["server"].got.clear()
        facing.ends["client"].out += BIG
        facing.settle(reads=False)

    def empty(self, facing: Facing, data: bytes = BIG) -> None:
        """See *data* arrive at the server."""
        facing.settle()
        self.assertTrue(facing.ends["server"].got == data)


class DecisionTests(FuseCase):
    """Who is fused."""

    def test_ways(self) -> None:
        """Facing streams are, both ways; not when it is off, or there is no such thing."""
        for middle in ("plain", "tee", "hub", "three"):
            for family in ("inet", "inet6", "local"):
                facing = self.facing(middle=middle, family=family)
                self.assertNotIn(None, facing.relays)
                self.swaps(facing)
        facing = self.facing("off")
        self.assertEqual((None, None), facing.relays)
        self.swaps(facing)

    def test_deleted(self) -> None:
        """Without the guest's file everything works as before."""
        there = sys.modules["ngksock.kpi.relay"]
        self.addCleanup(sys.modules.__setitem__, "ngksock.kpi.relay", there)
        sys.modules["ngksock.kpi.relay"] = None  # type: ignore[assignment]
        facing = self.facing(middle="three")
        self.assertIsNone(facing.kpi.relays)
        self.assertEqual((None, None), facing.relays)
        self.swaps(facing, BIG)

    def test_argument(self) -> None:
        """The environment decides if the argument does not; what it cannot be is a ValueError."""
        self.assertRaises(ValueError, SocketKPI, Clock(), relay="fast")
        self.patch(os, "environ", {"NGKSOCK_RELAY": "off"})
        for given, on in ((None, False), ("fuse", True)):
            relays = SocketKPI(Clock(), relay=given).relays
            assert relays is not None
            self.assertEqual(on, relays.on)

    def test_first(self) -> None:
        """A direction is fused once it has carried something; one that is idle never is."""
        facing = self.facing(fused=False)
        for size in (10, 20, 30):
            self.assertIsNone(facing.near._relay)
            facing.ends["client"].out += BIG[:size]
            facing.settle()
        self.assertEqual(BIG[:10] + BIG[:20] + BIG[:30], bytes(facing.ends["server"].got))
        self.assertIsNotNone(facing.near._relay)
        self.assertIsNone(facing.far._relay)

    def test_stranger(self) -> None:
        """A ksocket whose neighbour is any other node is not."""
        facing = self.facing("fuse", "tee")
        facing.lines("connect . m0: look left2right")
        self.assertIsNone(facing.near._relay)
        self.assertIsNotNone(facing.far._relay)  # nobody looks at that direction

    def test_again(self) -> None:
        """When the last onlooker has gone it is fused again, after some reads."""
        facing = self.facing("fuse", "tee")
        facing.lines("connect . m0: look left2right", "rmhook look")
        self.assertIsNone(facing.near._relay)
        for _ in range(READS):
            self.swaps(facing)
        self.assertNotIn(None, facing.relays)

    def test_two_sources(self) -> None:
        """A sink that has a relay already gets no second one."""
        facing = self.facing("fuse", "plain")
        relays: Any = facing.kpi.relays
        near, far, tally = facing.near.so, facing.far.so, facing.near.hook
        self.assertIsNone(relays.fuse(near, far, tally, print))
        self.assertIsNone(relays.fuse(near, near, tally, print))


class TruthTests(FuseCase):
    """What is counted and told."""

    def test_counters(self) -> None:
        """Each read is a packet, on every hook and node of the way, and on both sockets."""
        for how in ("fuse", "splice"):
            facing = self.facing(how, "tee")
            for _ in range(3):
                facing.ends["client"].out += BIG[:20_000]
                facing.settle()
            near, far = facing.near.so, facing.far.so
            self.assertEqual(60_000, near.rcvbytes)
            self.assertLessEqual(3, near.rcvpackets)
            tee = facing.made[0]
            counts = {
                (near.rcvpackets, near.rcvbytes),
                (far.sndpackets, far.sndbytes),
                *((hook.packets, hook.bytes) for hook in facing.near.hooks.values()),
                (tee.hooks["right"].packets, tee.hooks["right"].bytes),
                (tee.getstats().left.in_frames, tee.stats.left.in_octets),
                (tee.stats.right.out_frames, tee.stats.right.out_octets),
            }
            self.assertEqual(1, len(counts), counts)
            self.assertEqual(far.sndbytes - far.sndcount, facing.far.left)

    def test_held(self) -> None:
        """A sink that takes nothing holds its source, which says so; so_snd has the rest."""
        for how in ("fuse", "splice"):
            facing = self.facing(how)
            self.fill(facing)
            self.assertTrue(facing.near.held)
            self.assertIn("connected held", facing.near.status())
            self.assertFalse(facing.near.so.driver.reading)
            self.assertTrue(0 < facing.far.so.sndcount <= 512 * 1024)
            self.assertEqual(how == "splice", facing.far.so.driver.ahead is not None)
            self.assertLess(facing.near.so.rcvbytes, len(BIG))
            self.empty(facing)
            self.assertFalse(facing.near.held)
            self.assertNotIn("held", facing.near.status())

    def test_large(self) -> None:
        """A so_snd that was made large is filled, behind what waits in a pipe."""
        for how in ("fuse", "splice"):
            facing = self.facing(how)
            facing.far.so.so_snd.hiwat = 1 << 20
            self.fill(facing)
            self.assertGreater(facing.far.so.sndcount, 600_000)
            self.empty(facing)

    def test_refused(self) -> None:
        """What the sink cannot send is one packet lost, counted on the hook before it, as EPIPE."""
        facing = self.facing("fuse", "tee")
        drops = facing.made[0].hooks["right"].drops
        facing.ends["client"].out += b"lost"
        facing.ends["client"].push()
        facing.far.so.driver.sock.shutdown(socket.SHUT_WR)  # behind our back: EPIPE follows
        facing.until(lambda: facing.near.so is None or facing.near.so.rcvbytes == 4)
        self.assertEqual({e.EPIPE: 1}, drops)

    def test_urgent(self) -> None:
        """An urgent byte is left out and stops nothing, copied or spliced."""
        for how in ("fuse", "splice"):
            facing = self.facing(how)
            client = facing.ends["client"]
            client.out += BIG[:40_000]
            facing.settle()
            client.sock.send(b"!", socket.MSG_OOB)
            client.out += BIG[40_000:90_000]
            facing.settle()
            self.assertTrue(facing.ends["server"].got == BIG[:90_000])

    def test_quiet(self) -> None:
        """Nothing is woken in vain: by an urgent byte, while a sink is full, after one end."""
        for family in ("inet", "local"):
            facing = self.facing("splice", family=family)
            client = facing.ends["client"]
            self.fill(facing)
            full = self.idle(facing)
            facing.settle()
            client.sock.send(b"!", socket.MSG_OOB)
            facing.turn(20)
            marked = self.idle(facing)
            client.shuts = True
            facing.settle()
            self.assertEqual((0, 0, 0), (full, marked, self.idle(facing)))

    def idle(self, facing: Facing) -> int:
        """Return how often a driver is woken while the ends do nothing."""
        woken: list[int] = []
        patches = []
        for name in ("doRead", "doWrite", "connectionLost"):
            patches.append(self.patch(StreamDriver, name, lambda *args: woken.append(1)))
        facing.turn(20)
        for patch in patches:
            patch.restore()
        return len(woken)


class DoubtTests(FuseCase):
    """Reads that are left to the driver."""

    def test_queued(self) -> None:
        """Nothing overtakes what is in so_rcv, or in a graph."""
        facing = self.facing("fuse")
        near = facing.near.so
        near.so_rcv.append(Packet(b"first "))
        facing.ends["client"].out += b"second"
        self.empty(facing, b"first second")

    def test_own_end(self) -> None:
        """After our own end of file what comes is lost as ever, and the other way lives on."""
        for how in ("off", "fuse"):
            facing = self.facing(how)
            facing.far.eof()
            facing.ends["client"].out += b"late"
            facing.ends["server"].out += b"answer"
            facing.settle()
            self.assertEqual("end", facing.ends["server"].over)
            self.assertEqual(b"answer", facing.ends["client"].got)
            hook = facing.near.hook
            self.assertEqual((1, {e.EPIPE: 1}), (hook.packets, hook.drops))
            self.assertEqual(0, facing.far.so.sndpackets)

    def test_unfused_full(self) -> None:
        """An edge that changes while a pipe is full: the source is held by the graph then."""
        for how in ("fuse", "splice"):
            facing = self.facing(how, "tee")
            self.fill(facing)
            far = facing.far
            full = far.so.sndspace() <= 0
            facing.lines("connect . m0: look left2right")
            self.assertIsNone(facing.near._relay)
            self.assertEqual(full, far._high)
            facing.settle(reads=False)
            self.assertTrue(facing.near.hook.high)
            self.empty(facing)

    def test_unfused_smaller(self) -> None:
        """So is it when the sink's buffer was made a smaller one than what is in it."""
        for how in ("fuse", "splice"):
            facing = self.facing(how, "tee")
            far = facing.far
            far.so.so_snd.hiwat = 1 << 21
            self.fill(facing)
            self.assertFalse(far.so.so_snd.high)
            far.so.setsockopt(SOL, socket.SO_SNDBUF, 5000)
            facing.lines("connect . m0: look left2right")
            self.assertTrue(far._high)
            self.empty(facing)
            self.assertFalse(far._high)

    def test_closed(self) -> None:
        """A node that is shut down while a pipe is full still sends that; then it is over."""
        facing = self.facing("splice")
        self.fill(facing)
        taken = facing.near.so.rcvbytes - 9000
        so = facing.far.so
        facing.lines(f"shutdown [{facing.far.id:x}]:")
        self.assertTrue(so.sndcount)
        facing.settle()
        facing.until(lambda: not facing.kpi.flushing or facing.ends["server"].read(1 << 16))
        facing.settle()
        self.assertTrue(facing.ends["server"].got == BIG[:taken])

    def test_aborted(self) -> None:
        """A sink that is reset while a pipe is full gives it back."""
        facing = self.facing("splice")
        self.fill(facing)
        facing.ends["server"].cut()
        facing.settle()
        self.assertEqual("ECONNRESET", facing.ends["client"].over)
        self.assertEqual(0, facing.kpi.relays.pipes._made)  # type: ignore[union-attr]


class PipeTests(FuseCase):
    """Pipes are few."""

    def test_none(self) -> None:
        """Without a pipe bytes are carried as before."""
        facing = self.facing("splice")
        self.patch(facing.kpi.relays.pipes, "lend", lambda: None)  # type: ignore[union-attr]
        self.swaps(facing, BIG)

    def refuse(self, facing: Facing, code: int, verb: str) -> list[int]:
        """Have a *verb* of every pipe answer *code*; return where it is noted how often."""
        pool: Any = facing.kpi.relays.pipes  # type: ignore[union-attr]
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
                self.assertEqual(0, facing.kpi.relays.pipes._users)  # type: ignore[union-attr]

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

    def test_signal(self) -> None:
        """Whoever wants to die of SIGPIPE, however late he says so, does not of a pipe of ours."""
        facing = self.facing("splice")
        before = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        try:
            self.swaps(facing, BIG)
        finally:
            signal.signal(signal.SIGPIPE, before)
        self.assertEqual(0, facing.kpi.relays.pipes._users)  # type: ignore[union-attr]

    def test_last(self) -> None:
        """A sink that takes nothing does not keep the last pipe from the others."""
        self.patch(pipes, "_MOST", 1)
        facing = self.facing("splice")
        self.fill(facing)
        driver = facing.far.so.driver
        pool: Any = facing.kpi.relays.pipes  # type: ignore[union-attr]
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
        pool: Any = facing.kpi.relays.pipes  # type: ignore[union-attr]
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
