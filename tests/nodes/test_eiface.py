"""eiface, in memory; with Linux itself: tests/integration/test_tuntap.py."""

from __future__ import annotations

from errno import EINVAL

from ngksock.nodes.eiface import eiface
from tests.tuntap.promises import InterfaceCase, Promises

FRAME = bytes.fromhex("ffffffffffff 020000000001 0806") + bytes(28)


class EIfaceTests(Promises, InterfaceCase):
    kind, hooks, cookie = eiface, ("ether",), 1750000308
    first, largest, good = "ngeth0", 65521, FRAME

    def test_rows(self) -> None:
        """Its name and cookie are FreeBSD's, its messages have FreeBSD's numbers."""
        self.assertEqual(("eiface", 948105892), (eiface.name, eiface.cookie))
        rows = [
            (row.cmd, row.name, row.arg and row.arg.size, row.resp and row.resp.size)
            for row in eiface.commands.all
            if row.cookie == eiface.cookie
        ]
        self.assertEqual([(1, "getifname", None, 16), (2, "set", 6, None)], rows)

    def test_hooks(self) -> None:
        """Its hook is ether; others are EINVAL, and make no device."""
        for name in ("ether0", "lower", "inet"):
            self.assertEqual(EINVAL, self.errno(f"connect i: x {name}"), name)
            self.assertEqual(EINVAL, self.errno(f"mkpeer eiface x {name}"), name)
        self.assertEqual(1, len(self.linux.devices))

    def test_tap(self) -> None:
        """Its device is TAP, without a header before frames."""
        self.assertEqual(0x1002, self.device.tunnelMode)

    def test_short(self) -> None:
        """A frame shorter than its header is EINVAL, one that is nothing else passes."""
        self.graph("msg i: up")
        self.send_batch("ether", [FRAME[:13], FRAME[:14]])
        self.assertEqual([FRAME[:14]], list(self.device.writeBuffer))
        self.assertEqual({EINVAL: 1}, self.local.hooks["ether"].drops)

    def test_set(self) -> None:
        """set gives it an Ethernet address, which config tells, in another namespace too."""
        self.assertIsNone(self.msg("i:", "set 2:0:0:0:0:aB"))
        self.assertEqual(bytes.fromhex("0200000000ab"), self.device.address)
        self.assertEqual(["msg . set 02:00:00:00:00:ab"], self.node("i:").config())
        self.device.here = False
        self.graph("msg i: set 02:00:00:00:00:ac")
        self.assertEqual(["msg . set 02:00:00:00:00:ac"], self.node("i:").config())

    def test_bad_addresses(self) -> None:
        """An address of a group, or none at all, is EINVAL."""
        for address in ("01:00:00:00:00:01", "ff:ff:ff:ff:ff:ff", "0:0:0:0:0:0"):
            self.assertEqual(EINVAL, self.errno(f"msg i: set {address}"), address)
            self.assertIn("not the address of one", self.sentence(f"msg i: set {address}"))
        for text in ("", "2:0:0:0:0", "2:0:0:0:0:0:0", "2:0:0:0:0:100", '"x"'):
            self.assertEqual(EINVAL, self.errno(f"msg i: set {text}") or EINVAL)
        self.assertEqual([], self.node("i:").config())

    def test_conforms_with_address(self) -> None:
        """An address that was set is part of what makes an equal node."""
        self.graph('msg i: setifname "lan0"', "msg i: set 2:0:0:0:0:1", "msg i: up")
        lines = self.node("i:").config()
        self.assertEqual(
            ["msg . set 02:00:00:00:00:01", 'msg . setifname "lan0"', "msg . up"], lines
        )
        self.graph("shutdown i:", "mkpeer eiface ether ether", "name ether i")
        self.graph(*(line.replace(" . ", " i: ") for line in lines))
        self.assertEqual(lines, self.node("i:").config())
