"""When two ksockets are fused, when not, and what stays true while they are."""

from __future__ import annotations

import errno as e
import os
import socket
import sys
from collections import deque
from itertools import product
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ngksock.kpi import SocketKPI
from ngksock.kpi.stream import StreamDriver
from ngksock.nodes.ksocket.fuse import READS
from ngksock.packet import Packet
from tests.nodes.facing import SMALL, SOL, Facing

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

    def test_beside(self) -> None:
        """A source is not starved by another that feeds the same sink through the graph."""
        for how in ("fuse", "splice"):
            facing = self.facing(how, "tee")
            facing.lines("connect . m0: beside right2left")
            self.assertIsNotNone(facing.near._relay)
            beside, far = facing.local.hooks["beside"], facing.far.so
            facing.ends["client"].out += BIG
            for _ in range(200):
                while not beside.high and far.sndspace() > 0:
                    beside.send_data(Packet(bytes(SMALL)))
                facing.ends["client"].push()
                facing.turn()
                facing.ends["server"].read(20_000)
            self.assertLess(300_000, facing.near.so.rcvbytes)
            facing.settle()


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
            before = facing.near.so.rcvbytes
            facing.near.so.rcvd()  # as whoever takes what so_rcv was full of
            facing.turn(9)
            self.assertEqual(before, facing.near.so.rcvbytes)
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
        drops, far = facing.made[0].hooks["right"].drops, facing.far.so
        facing.ends["client"].out += b"lost"
        facing.ends["client"].push()
        far.driver.sock.shutdown(socket.SHUT_WR)  # behind our back: EPIPE follows
        facing.until(lambda: facing.near.so is None or facing.near.so.rcvbytes == 4)
        self.assertEqual(({e.EPIPE: 1}, 0, 0), (drops, far.sndpackets, far.sndbytes))

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

    def test_left(self) -> None:
        """Whoever waits to read or to send, or for an urgent byte, has the driver read."""
        facing = self.facing("fuse")
        near, far = facing.near.so, facing.far.so
        for what, name, doubt in (
            (near.so_rcv, "waits", deque()),
            (far.so_snd, "waits", deque()),
            (near.so_rcv, "drop", True),
            (near.driver, "urgent", b""),
        ):
            self.assertTrue(facing.near._relay.carry(), name)
            patch = self.patch(what, name, doubt)
            self.assertFalse(facing.near._relay.carry(), name)
            patch.restore()

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
        for how, mark in product(("fuse", "splice"), (5000, 1 << 18)):
            facing = self.facing(how, "tee")
            far = facing.far
            far.so.so_snd.hiwat = mark
            self.fill(facing)
            full = far.so.sndspace() <= 0
            self.assertTrue(full or mark > 5000)
            facing.lines("connect . m0: look left2right")
            self.assertIsNone(facing.near._relay)
            self.assertEqual(full, far._high)
            facing.settle(reads=False)
            self.assertTrue(facing.near.hook.high)
            self.empty(facing)

    def test_both_full(self) -> None:
        """A sink that has taken all does not let a source read on whose so_rcv is full."""
        facing = self.facing("fuse")
        self.fill(facing)
        near = facing.near.so
        self.patch(near.so_rcv, "full", True)
        facing.far.so.driver.drained()
        self.assertEqual((False, False), (facing.near.held, near.driver.reading))
        near.rcvd()
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
        self.assertEqual(0, facing.pipes._made)
