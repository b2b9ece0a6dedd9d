"""What FreeBSD's own test asserts of macfilter (netgraph.md §11.7), over NGD/1.

The numbers are those of that list.  FreeBSD's is a script that reads what ngctl
prints; so every message here goes by its ASCII form, and gethooks is read with
the script's pattern.
"""

from __future__ import annotations

import errno
import random
import re
import struct

from tests.control import rawclient as raw
from tests.control.case import ControlCase

MACFILTER = 1042445461
GETMACS, GETHOOKS = 4, 7
PATTERN = re.compile(r'hookname="([^"]*)"(?: hookid=([0-9]+))?(?: maccnt=([0-9]+))? ')


class MacFilterTests(ControlCase):
    def filter(self, *hooks: str) -> raw.Client:
        """Return a program with a macfilter called MF, linked to hooks of the same names."""
        p = self.client()
        self.ok(p.mkpeer(".", "macfilter", "ether", "ether"), p.name(".:ether", "MF"))
        self.ok(*(p.link(".", "MF:", hook, hook) for hook in hooks))
        return p

    def gethooks(self, p: raw.Client) -> dict[str, int]:
        """Return the upper hooks with how many addresses they have, as printed."""
        data = p.ask("MF:", MACFILTER, GETHOOKS)
        inner = raw.message(MACFILTER, GETHOOKS, data, flags=1, cmdstr="gethooks")
        reply = raw.Reply("", p.ask("MF:", raw.GENERIC, raw.BINARY2ASCII, inner))
        printed = raw.text(reply.data)
        found = PATTERN.findall(printed)
        self.assertTrue(printed.startswith(f"{{ n={len(found)} hooks=[ "), printed)
        return {name: int(count or 0) for name, _, count in found}

    def direct(self, p: raw.Client, number: int, hook: str) -> None:
        address = ":".join(f"{byte:02x}" for byte in number.to_bytes(6))
        self.ok(p.ascii("MF:", f'direct {{ hookname="{hook}" ether={address} }}'))

    def test_30_default(self) -> None:
        """Connecting a second hook called default fails."""
        p = self.filter("default")
        self.assertEqual(errno.EEXIST, p.link(".", "MF:", "other", "default"))

    def test_31_hooks(self) -> None:
        """gethooks lists exactly the hooks that exist, for dozens of them."""
        p = self.filter("default", "out1", "out2", "out3")
        self.assertEqual(["default", "out1", "out2", "out3"], list(self.gethooks(p)))
        self.ok(*(p.rmhook(".", f"out{n}") for n in (1, 2, 3)))
        self.assertEqual(["default"], list(self.gethooks(p)))
        for n in range(1, 51):
            self.ok(p.link(".", "MF:", f"xxx{n}", f"xxx{n}"))
            self.assertEqual(n + 1, len(self.gethooks(p)))
        self.ok(*(p.rmhook(".", f"xxx{n}") for n in range(4, 51)))
        self.assertEqual(["default", "xxx1", "xxx2", "xxx3"], list(self.gethooks(p)))

    def test_32_to_36_counts(self) -> None:
        """Hundreds of addresses: directed, re-directed, at random, to default, reset."""
        hooks = ["default", "out1", "out2", "out3"]
        p = self.filter(*hooks)
        none = dict.fromkeys(hooks, 0)
        for n in range(300):  # 32
            self.direct(p, n, "out1")
        self.assertEqual({**none, "out1": 300}, self.gethooks(p))
        for n in range(300):  # 33
            self.direct(p, n, "out2")
            if n % 50 == 49:
                moved = {**none, "out1": 299 - n, "out2": n + 1}
                self.assertEqual(moved, self.gethooks(p))
        for n in range(300):  # 34
            self.direct(p, n, "default")
        self.assertEqual(none, self.gethooks(p))
        where, chance = {}, random.Random(11)
        for _ in range(500):  # 35
            n, hook = chance.randrange(200), chance.choice(hooks)
            self.direct(p, n, hook)
            where[n] = hook
        expected = {hook: list(where.values()).count(hook) for hook in hooks}
        self.assertEqual({**expected, "default": 0}, self.gethooks(p))
        self.ok(p.ascii("MF:", "reset"))  # 36
        self.assertEqual(none, self.gethooks(p))
        self.assertEqual(struct.pack("=II", 0, 0), p.ask("MF:", MACFILTER, GETMACS))
        self.assertEqual(errno.ENOENT, p.ascii(
            "MF:", 'direct { hookname="nobody" ether=0:0:0:0:0:1 }'
        ))  # fmt: skip
