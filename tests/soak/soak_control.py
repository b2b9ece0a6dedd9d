"""The control socket for a long time: ten thousand random calls, and packets of nonsense.

``NGD_STEPS`` and ``NGD_FUZZ_SECONDS`` say how long; 10000 and 60 if not said.
``NGD_FUZZ_SEED`` repeats a run.
"""

from __future__ import annotations

import contextlib
import os
import random
import struct
import time
from typing import Final

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.control import rawclient as raw
from tests.control.case import ControlCase
from tests.control.machine import ControlMachine
from tests.control.rawclient import CONTROL, DATA, EndedError, RawSocket
from tests.integration.service import until

STEPS: Final = int(os.environ.get("NGD_STEPS", "10000"))
SECONDS: Final = float(os.environ.get("NGD_FUZZ_SECONDS", "60"))
GROWTH: Final = 8 << 20
ANSWERED: Final = 2.0
"""Seconds in which an honest client is answered, whatever the others send."""


class MachineSoak(ControlCase):
    timeout = 3600

    def test_steps(self) -> None:
        """Ten thousand calls: the same errnos, the same graph, nothing leaked."""

        class Machine(ControlMachine):
            path = self.path

        with RawSocket(self.path).calls:  # what is loaded at the first use is no leak
            before = self.daemon.service.rss
        runs = 0
        while Machine.steps < STEPS:
            run_state_machine_as_test(
                Machine,
                settings=settings(
                    max_examples=50, stateful_step_count=60, deadline=None, database=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )  # fmt: skip
            runs += 1
        growth = self.daemon.service.rss - before
        print(f"\n{Machine.steps} calls in {runs} times 50 runs; memory grew {growth >> 10} KiB")
        self.assertLess(growth, GROWTH)


# -- nonsense --------------------------------------------------------------------------

NAMES: Final = [
    "n",
    "a",
    "b",
    "inet/dgram/udp",
    "inet/stream/tcp",
    "x" * 31,
    "y" * 32,
    "",
    ".",
    "[1]",
    "h\xff",
    "a.b",
    "c:d",
]
KINDS: Final = ["hub", "tee", "hole", "echo", "one2many", "socket", "ksocket", "nothing"]
COOKIES: Final = [raw.GENERIC, raw.EXTRA, 851601233, 1082189597, 916107047, 1100897444, 1]
TEXTS: Final = [
    "mkpeer { type=\"hub\" ourhook=\"a\" peerhook=\"b\" }", "name { name=\"x\" }", "setconfig { ",
    "setopt { level=0xffff name=4 value=[ 1 ] }", "bind inet/127.0.0.1:0", "connect local/x",
    "x [ 999999999=1 ]", "name { name=[ 31=1 ] }", "setconfig { xmitAlg=1 enabledLinks=[ 1 2=3 ] }",
    "mkpeer " + "{ " * 500, "x \"\\xff\\777\"",
]  # fmt: skip


class Nonsense:
    """Packets that are nearly calls, from one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def message(self) -> bytes:
        """Return a message that might be meant."""
        pick = self.random.choice
        kind = self.random.randrange(7)
        if kind == 0:
            data = raw.field(pick(KINDS)) + raw.field(pick(NAMES)) + raw.field(pick(NAMES))
            return raw.message(raw.GENERIC, raw.MKPEER, data)
        if kind == 1:
            data = raw.field(self.path(), 512) + raw.field(pick(NAMES)) + raw.field(pick(NAMES))
            return raw.message(raw.GENERIC, raw.LINK, data)
        if kind == 2:
            cmd = pick([raw.NAME, raw.RMHOOK])
            return raw.message(raw.GENERIC, cmd, raw.field(pick(NAMES)))
        if kind == 3:
            name, _, rest = pick(TEXTS).partition(" ")
            inner = raw.message(0, 0, rest.encode("latin-1") + b"\0", cmdstr=name)
            return raw.message(raw.GENERIC, raw.ASCII2BINARY, inner)
        if kind == 4:
            inner = raw.message(
                pick([*COOKIES, raw.KSOCKET]), self.number(), self.some(700), flags=pick([0, 1])
            )
            return raw.message(raw.GENERIC, raw.BINARY2ASCII, inner)
        if kind == 5:
            return raw.message(raw.KSOCKET, pick([5, 6, 7, 8]), self.some(40))
        return raw.message(pick(COOKIES), self.number(), self.some(200), flags=pick([0, 0, 1]))

    def path(self) -> str:
        names = [*NAMES, "[2]", "[3]", ".", "none"]
        path = self.random.choice(names) + ":"
        return path + ".".join(self.random.choices(names, k=self.random.randrange(3)))

    def number(self) -> int:
        bits: int = self.random.choice([0, 0x20000000, 0x30000000])
        low: int = self.random.choice([*range(16), 99])
        return low | bits

    def some(self, most: int) -> bytes:
        return self.random.randbytes(self.random.randrange(most))

    def call(self) -> bytes:
        """Return a call that might be meant."""
        op = self.random.choice([1, 2, 3, 4, 4, 4, 4, 4, 4, 5])
        payload = b""
        if op == 1:
            payload = raw.hello(self.random.randrange(4), self.random.choice([0, 1, 1 << 31]))
        elif op == 4:
            payload = self.message() if self.random.randrange(4) else self.some(2000)
        address = self.random.choice([*NAMES, self.path()]).encode("latin-1")
        return raw.call(op, self.random.getrandbits(32), address[:511], payload)

    def packet(self) -> bytes:
        """Return a call, or what chance made of one."""
        packet = bytearray(self.call())
        way = self.random.randrange(8)
        if way == 0:
            del packet[self.random.randrange(len(packet)) :]
        elif way == 1:
            packet += self.some(300)
        elif way == 2:
            for _ in range(self.random.randrange(1, 9)):
                packet[self.random.randrange(len(packet))] = self.random.getrandbits(8)
        elif way == 3:
            at = self.random.randrange(len(packet))
            packet[at:at] = struct.pack("=I", self.random.choice([0, 1, 255, 0xFFFFFFFF]))
        elif way == 4 and self.random.randrange(50) == 0:
            packet += bytes(self.random.choice([65536, 90000]))
        elif way == 5 and self.random.randrange(10) == 0:
            packet = bytearray(self.some(100))
        return bytes(packet)

    def harmless(self) -> bytes:
        """Return a packet that opens no way to the world outside: no bind, listen, connect."""
        while True:
            packet = self.packet()
            before = packet.split(struct.pack("=I", raw.KSOCKET))[:-1]
            if all(piece[-12:-11] in (b"\5", b"\6", b"\7", b"\x08") for piece in before):
                return packet


class FuzzSoak(ControlCase):
    timeout = SECONDS + 120

    def clear(self) -> None:
        """End all nodes but one's own."""
        client = raw.Client(self.path)
        for _, _, number, _ in client.nodes():
            if number != client.control.node:
                client.shutdown(f"[{number:x}]:")
        client.close()

    def test_nonsense(self) -> None:
        """Random packets: the daemon lives, answers others, and is as big as before."""
        seed = int(os.environ.get("NGD_FUZZ_SEED", random.SystemRandom().getrandbits(32)))
        print(f"\nNGD_FUZZ_SEED={seed}")
        nonsense = Nonsense(seed)
        began, sent, ended, slowest = time.monotonic(), 0, 0, 0.0
        before, codes = 0, set()
        socks: list[RawSocket] = []
        while (now := time.monotonic()) < began + SECONDS:
            if not before and now > began + min(SECONDS / 4, 20):
                before = self.level(socks)  # all that is loaded at the first use has been
            while len(socks) < 6:
                kind = nonsense.random.choice([CONTROL, CONTROL, DATA, None])
                socks.append(RawSocket(self.path, kind))
                if kind == DATA and socks[0].node:
                    socks[-1].errno_of(raw.CONNECT, f"[{socks[0].node:x}]:")
            sock = nonsense.random.choice(socks)
            try:
                reply, numbers = sock.raw(nonsense.harmless())
                codes.add(struct.unpack_from("=i", reply, 8)[0])
                for number in numbers:
                    os.close(number)
            except EndedError:
                ended += 1
                socks.remove(sock)
                sock.close()
            except OSError:
                socks.remove(sock)
                sock.close()
            sent += 1
            if nonsense.random.randrange(100) == 0:
                for one in socks:
                    with contextlib.suppress(EndedError, AssertionError, OSError):
                        if one.events is not None:
                            one.drain()
            if sent % 500 == 0:
                asked = time.monotonic()
                self.clear()
                slowest = max(slowest, time.monotonic() - asked)
        growth = self.level(socks) - before
        print(
            f"{sent} packets, {ended} connections closed, {len(codes)} errnos; an honest client "
            f"was served within {slowest * 1000:.0f} ms; memory grew {growth >> 10} KiB"
        )
        self.assertLess(slowest, ANSWERED)
        self.assertLess(growth, GROWTH)
        self.assertGreater(len(codes), 8)

    def level(self, socks: list[RawSocket]) -> int:
        """Close all, and return the memory of the daemon then."""
        while socks:
            socks.pop().close()
        self.clear()
        until(lambda: self.daemon.service.descriptors == self.before, "its descriptors")
        return self.daemon.service.rss
