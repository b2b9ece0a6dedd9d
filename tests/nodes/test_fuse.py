"""When two ksockets are fused, when not, and what stays true while they are."""

from __future__ import annotations

import errno as e
import os
import socket
import sys
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ngksock.kpi import SocketKPI
from ngksock.kpi.pipes import Lent
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
        self.assertIsNone(relays.fuse(facing.near.so, facing.far.so, (), print))
        self.assertIsNone(relays.fuse(facing.near.so, facing.near.so, (), print))


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

    def test_unable(self) -> None:
        """Sockets that cannot be spliced are asked but once, each way."""
        facing = self.facing("splice")
        pipes: Any = facing.kpi.relays.pipes  # type: ignore[union-attr]
        asked: list[int] = []

        class Refusing(Lent):
            def fill(self, sock: socket.socket, count: int) -> int:
                asked.append(count)
                raise OSError(e.EINVAL, "no")

        def lend() -> Lent:
            pipes._made += 1
            return Refusing(pipes, *os.pipe())

        self.patch(pipes, "lend", lend)
        self.swaps(facing, BIG)
        self.assertEqual((2, 0), (len(asked), pipes._users))

    def test_given_back(self) -> None:
        """No pipe is lent beyond the bytes in it, nor kept when the last coupled relay ended."""
        facing = self.facing("splice")
        pipes: Any = facing.kpi.relays.pipes  # type: ignore[union-attr]
        self.swaps(facing, BIG)
        self.assertEqual((2, True), (pipes._users, pipes._made == len(pipes._idle) > 0))
        facing.lines(f"shutdown [{facing.near.id:x}]:")
        facing.settle()
        self.assertEqual((0, 0, []), (pipes._users, pipes._made, pipes._idle))

    def test_sizes(self) -> None:
        """The far ends see a reset where the buffers are the smallest there are."""
        facing = self.facing("splice", couple=1)
        for node in (facing.near, facing.far):
            node.so.driver.sock.setsockopt(SOL, socket.SO_SNDBUF, 1)
        self.swaps(facing, BIG[:100_000])
