"""iface, in memory; with Linux itself: tests/integration/test_tuntap.py."""

from __future__ import annotations

from errno import EBUSY, EINVAL, EOPNOTSUPP
from functools import partial

from ngksock.netgraph import Packet
from ngksock.nodes.iface import iface
from tests.tuntap.memory import device_of
from tests.tuntap.promises import InterfaceCase, Promises

FOUR, SIX = b"\x45" + bytes(19), b"\x60" + bytes(39)


class IfaceTests(Promises, InterfaceCase):
    kind, hooks, cookie = iface, ("inet", "inet6"), 1750000307
    first, largest, good = "ng0", 65535, FOUR

    def test_rows(self) -> None:
        """Its name and cookie are FreeBSD's, its messages have FreeBSD's numbers."""
        self.assertEqual(("iface", 1108312559), (iface.name, iface.cookie))
        rows = [
            (row.cmd, row.name, row.arg, row.resp and row.resp.size)
            for row in iface.commands.all
            if row.cookie == iface.cookie
        ]
        self.assertEqual(
            [
                (1, "getifname", None, 16),
                (2, "point2point", None, None),
                (3, "broadcast", None, None),
                (4, "getifindex", None, 4),
            ],
            rows,
        )

    def test_hooks(self) -> None:
        """Its hooks are inet and inet6; others are EINVAL, and make no device."""
        for name in ("inet4", "INET", "ether", "atalk"):
            self.assertEqual(EINVAL, self.errno(f"connect i: x {name}"), name)
            self.assertEqual(EINVAL, self.errno(f"mkpeer iface x {name}"), name)
        self.assertEqual(1, len(self.linux.devices))

    def test_tun(self) -> None:
        """Its device is TUN, without a header before packets."""
        self.assertEqual(0x1001, self.device.tunnelMode)

    def test_protocols(self) -> None:
        """What the interface sends leaves by the hook of its protocol, each in order."""
        self.sends(FOUR, SIX, FOUR + b"2", b"\x00\x01", SIX + b"2", b"")
        self.assertEqual({"inet": [FOUR, FOUR + b"2"], "inet6": [SIX, SIX + b"2"]}, self.received)
        # What is neither has no hook to leave by.
        self.assertIn("; 2 dropped", self.graph("status i:"))

    def test_one_protocol(self) -> None:
        """Without one of the hooks its protocol is dropped, and the other passes."""
        self.graph("rmhook inet6")
        self.sends(FOUR, SIX)
        self.assertEqual({"inet": [FOUR]}, self.received)
        self.assertIn("; 1 dropped", self.graph("status i:"))

    def test_other_protocol(self) -> None:
        """A packet that is not of its hook's protocol is EINVAL."""
        self.graph("msg i: up")
        for hook, good, bad in (("inet", FOUR, SIX), ("inet6", SIX, FOUR)):
            self.send(hook, Packet(memoryview(good)))
            self.assertEqual(EINVAL, self.errno(partial(self.send, hook, bad)))
            self.send_batch(hook, [bad, good])
            self.assertEqual({EINVAL: 2}, self.local.hooks[hook].drops)
        self.assertEqual([FOUR, FOUR, SIX, SIX], list(self.device.writeBuffer))

    def test_point2point(self) -> None:
        """point2point is how it is; while it is up it is EBUSY, as on FreeBSD."""
        self.assertIsNone(self.msg("i:", "point2point"))
        self.graph("msg i: up")
        self.assertEqual(EBUSY, self.errno("msg i: point2point"))

    def test_broadcast(self) -> None:
        """broadcast is refused: Linux has no such TUN device."""
        self.assertEqual(EOPNOTSUPP, self.errno("msg i: broadcast"))
        self.assertIn("eiface", self.sentence("msg i: broadcast"))

    def test_getifindex(self) -> None:
        """getifindex tells the number of the interface, here."""
        self.assertEqual("7", self.msg("i:", "getifindex"))
        device_of(self.node("i:")).here = False
        self.assertIn("another network namespace", self.sentence("msg i: getifindex"))
