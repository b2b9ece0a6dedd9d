"""What FreeBSD's own tests assert of bridge (netgraph.md §11.3), over NGD/1.

The numbers are those of that list.
"""

from __future__ import annotations

import errno
import struct

from tests.control import rawclient as raw
from tests.control.case import ControlCase

BRIDGE = 1569321993
OWN = 1750000302
GETTABLE, SETPERSISTENT, GETTABLEPAGE = 7, 8, 1
BROADCAST = b"\xff" * 6
MULTICAST = bytes.fromhex("01005e000001")
UNKNOWN = bytes.fromhex("02aaaaaaaaaa")


def mac(number: int) -> bytes:
    """Return the address of a host."""
    return b"\x02\x04\x06\x00" + number.to_bytes(2)


def frame(to: bytes, source: bytes) -> bytes:
    """Return an Ethernet frame."""
    return to + source + b"\x08\x00test"


def entries(data: bytes) -> dict[bytes, str]:
    """Return the hosts of a table, with their hooks."""
    found = {}
    for at in range(0, len(data), 42):
        address, hook, _, _ = struct.unpack_from("=6s32sHH", data, at)
        found[address] = raw.text(hook)
    assert len(found) == len(data) / 42
    return found


class BridgeTests(ControlCase):
    def bridge(self, *hooks: tuple[str, str], queue: int = 0) -> raw.Client:
        """Return a program with a bridge, of hooks of its own to hooks of the bridge."""
        p = self.client(queue=queue)
        (ours, theirs), *rest = hooks
        self.ok(p.mkpeer(".", "bridge", ours, theirs), p.name(f".:{ours}", "bridge"))
        self.ok(*(p.link(".", "bridge:", ours, theirs) for ours, theirs in rest))
        return p

    def table(self, p: raw.Client) -> dict[bytes, str]:
        """Return the table, whose length must be right."""
        data = p.ask("bridge:", BRIDGE, GETTABLE)
        found = entries(data[4:])
        self.assertEqual((len(found),), struct.unpack_from("=I", data))
        return found

    def sent(self, p: raw.Client, out: str, data: bytes, *hooks: str) -> dict[str, int]:
        """Send a frame, and return how many arrived at each of *hooks*."""
        self.ok(p.write(out, data))
        return p.counts(*hooks)

    def test_14_basic(self) -> None:
        """No bounce, to the two others; learned; a link that goes takes its host along."""
        p = self.bridge(("a", "link0"), ("b", "link1"), ("c", "link2"))
        hooks = "abc"
        for out in hooks:
            found = self.sent(p, out, frame(UNKNOWN, mac(ord(out))), *hooks)
            self.assertEqual({hook: int(hook != out) for hook in hooks}, found)
        for out in hooks:
            for to in hooks:
                found = self.sent(p, out, frame(mac(ord(to)), mac(ord(out))), *hooks)
                self.assertEqual({hook: int(hook == to != out) for hook in hooks}, found)
        learned = {mac(ord(hook)): f"link{at}" for at, hook in enumerate(hooks)}
        self.assertEqual(learned, self.table(p))
        self.ok(p.rmhook(".", "b"))
        del learned[mac(ord("b"))]
        self.assertEqual(learned, self.table(p))
        found = self.sent(p, "a", frame(UNKNOWN, mac(ord("a"))), *hooks)
        self.assertEqual({"a": 0, "b": 0, "c": 1}, found)
        self.ok(p.shutdown("bridge:"))

    def test_15_persistence(self) -> None:
        """A persistent bridge outlives its only hook; both forms of the message."""
        for binary in (False, True):
            p = self.bridge(("a", "link0"))
            if binary:
                self.ok(p.send("bridge:", BRIDGE, SETPERSISTENT))
            else:
                self.ok(p.ascii("bridge:", "setpersistent"))
            self.ok(p.rmhook(".", "a"))
            self.assertEqual({"bridge": "bridge"}, p.names())
            self.ok(p.shutdown("bridge:"))

    def test_16_loop(self) -> None:
        """Two bridges: one link passes a frame once; a second one is detected as a loop."""
        p = self.bridge(("a", "link0"))
        self.ok(p.mkpeer(".", "bridge", "b", "link0"), p.name(".:b", "far"))
        self.ok(p.link("bridge:", "far:", "link1", "link1"))
        found = self.sent(p, "a", frame(UNKNOWN, mac(1)), "a", "b")
        self.assertEqual({"a": 0, "b": 1}, found)
        self.ok(p.link("bridge:", "far:", "link2", "link2"))
        for source, to in ((2, UNKNOWN), (3, BROADCAST)):
            self.assertIn(p.write("a", frame(to, mac(source))), (0, errno.ELOOP))
            self.assertEqual({"a": 0, "b": 1}, p.counts("a", "b"))
        self.ok(p.shutdown("bridge:"), p.shutdown("far:"))

    def test_17_many_unicasts(self) -> None:
        """A thousand links, a unicast from each: all arrive; the table, whole and in pages."""
        p = self.bridge(("l0", "link0"))
        self.ok(p.write("l0", frame(BROADCAST, mac(0))))
        seen = 0
        for n in range(1, 1001):
            self.ok(p.link(".", "bridge:", f"l{n}", f"link{n}"))
            self.ok(p.write(f"l{n}", frame(mac(0), mac(n))))
            found = p.counts("l0")
            self.assertEqual({"l0"}, set(found))
            seen += found["l0"]
        self.assertEqual(1000, seen)
        expected = {mac(n): f"link{n}" for n in range(1001)}
        self.assertEqual(expected, self.table(p))
        small = self.client(queue=20480)
        self.assertEqual(errno.ENOBUFS, small.send("bridge:", BRIDGE, GETTABLE))
        pages: dict[bytes, str] = {}
        start = bytes(6)
        for _ in range(6):
            data = small.ask("bridge:", OWN, GETTABLEPAGE, struct.pack("=6sxxI", start, 0))
            total, start, count = struct.unpack_from("=I6sxxI", data)
            page = entries(data[16:])
            self.assertEqual((1001, count), (total, len(page)))
            pages |= page
        self.assertEqual((bytes(6), expected), (start, pages))

    def test_18_many_broadcasts(self) -> None:
        """A broadcast from each of a thousand links: more than 100 arrive on both sides."""
        p = self.bridge(("a", "link0"), ("b", "link1"))
        seen = {"a": 0, "b": 0}
        # Between those who listen a second program has the links: its queue may overflow.
        q = self.client(queue=4 << 20)
        for n in range(2, 1001):
            self.ok(q.link(".", "bridge:", f"l{n}", f"link{n}"))
            code = q.write(f"l{n}", frame(BROADCAST, mac(n)))
            self.assertIn(code, (0, errno.ENOBUFS))
            q.data.drain()
            for hook, count in p.counts("a", "b").items():
                seen[hook] += count
        for count in seen.values():
            self.assertGreater(count, 100)

    def modes(self, p: raw.Client) -> dict[str, list[int]]:
        """Return what items 19 and 20 send: how many arrive at l0, u1, u2, l3."""
        l0, u1, u2, l3 = (mac(n) for n in range(4))
        steps = {
            "unknown from u1": ("u1", frame(UNKNOWN, u1)),
            "unknown from l0": ("l0", frame(UNKNOWN, l0)),
            "known from u2": ("u2", frame(l0, u2)),
            "known from l3": ("l3", frame(l0, l3)),
            "on an uplink from u1": ("u1", frame(u2, u1)),
            "on an uplink from l0": ("l0", frame(u1, l0)),
            "multicast from u1": ("u1", frame(MULTICAST, u1)),
            "multicast from l0": ("l0", frame(MULTICAST, l0)),
            "broadcast from u1": ("u1", frame(BROADCAST, u1)),
            "broadcast from l0": ("l0", frame(BROADCAST, l0)),
        }
        found = {
            what: list(self.sent(p, *step, "l0", "u1", "u2", "l3").values())
            for what, step in steps.items()
        }
        self.assertEqual({l0: "link0", l3: "link3"}, self.table(p))
        return found

    def test_19_private(self) -> None:
        """The first hook is an uplink (so uplinks are supported: 21); private mode."""
        p = self.bridge(("u1", "uplink1"), ("u2", "uplink2"), ("l0", "link0"), ("l3", "link3"))
        self.assertEqual(
            {
                "unknown from u1": [0, 0, 1, 0],
                "unknown from l0": [0, 1, 1, 0],
                "known from u2": [1, 0, 0, 0],
                "known from l3": [1, 0, 0, 0],
                "on an uplink from u1": [0, 0, 1, 0],
                "on an uplink from l0": [0, 1, 1, 0],
                "multicast from u1": [1, 0, 1, 1],
                "multicast from l0": [0, 1, 1, 1],
                "broadcast from u1": [1, 0, 1, 1],
                "broadcast from l0": [0, 1, 1, 1],
            },
            self.modes(p),
        )

    def test_20_classic(self) -> None:
        """The first hook is a link; classic mode."""
        p = self.bridge(("l0", "link0"), ("u1", "uplink1"), ("u2", "uplink2"), ("l3", "link3"))
        self.assertEqual(
            {
                "unknown from u1": [1, 0, 1, 1],
                "unknown from l0": [0, 1, 1, 1],
                "known from u2": [1, 0, 0, 0],
                "known from l3": [1, 0, 0, 0],
                "on an uplink from u1": [1, 0, 1, 1],
                "on an uplink from l0": [0, 1, 1, 1],
                "multicast from u1": [1, 0, 1, 1],
                "multicast from l0": [0, 1, 1, 1],
                "broadcast from u1": [1, 0, 1, 1],
                "broadcast from l0": [0, 1, 1, 1],
            },
            self.modes(p),
        )

    def test_21_uplinks(self) -> None:
        """mkpeer with uplink1 works, with uplink0 it fails."""
        p = self.client()
        self.ok(p.mkpeer(".", "bridge", "u1", "uplink1"))
        self.assertEqual(errno.EINVAL, p.mkpeer(".", "bridge", "u0", "uplink0"))
