"""tee: netgraph.md §10.2."""

from __future__ import annotations

from errno import EIO, ENOENT, EPERM

from ngksock.netgraph import EOF, Message
from ngksock.nodes.tee import STATS, Tee, tee
from ngksock.plugin import find_type
from ngksock.testing import GraphTestCase, check_node_type
from ngksock.testing.recording import Data

FLOW = 851672669
HOOKS = ("left", "right", "left2right", "right2left")


class TeeTestCase(GraphTestCase):
    def tee(self, *hooks: str) -> None:
        """Make a tee with hooks to the test's own of the same names."""
        first, *rest = hooks
        self.graph(f"mkpeer tee {first} {first}", f"name {first} t")
        self.graph(*(f"connect t: {hook} {hook}" for hook in rest))
        self.local.forget()

    def sent(self, hook: str, data: Data) -> dict[str, list[Data]]:
        """Send *data* by a hook of the test, alone and in a batch; both must do the same."""
        self.send(hook, data)
        alone = self.take()
        self.send_batch(hook, [data])
        self.assertEqual(alone, self.take())
        return alone


class TypeTests(TeeTestCase):
    def test_conforms(self) -> None:
        """A tee keeps the promises of all types, whichever hooks it has."""
        check_node_type(tee)
        check_node_type(tee, hooks=("left", "left2right", "right2left"), examples=20)

    def test_found(self) -> None:
        """Its name finds it, and its cookie is FreeBSD's."""
        self.assertIs(tee, find_type("tee"))
        self.assertEqual(916107047, tee.cookie)

    def test_rows(self) -> None:
        """Its messages have FreeBSD's numbers, and statistics 128 bytes."""
        rows = [
            (row.cmd, row.name, row.arg, row.resp and row.resp.size) for row in tee.commands.all
        ]
        self.assertEqual(
            [
                (1, "getstats", None, 128),
                (2, "clrstats", None, None),
                (3, "getclrstats", None, 128),
            ],
            rows,
        )


class DataTests(TeeTestCase):
    def test_through(self) -> None:
        """What comes from one side goes to the other, with a copy to the onlooker."""
        self.tee(*HOOKS)
        self.assertEqual({"left2right": [b"x"], "right": [b"x"]}, self.sent("left", b"x"))
        self.assertEqual({"right2left": [b"x"], "left": [b"x"]}, self.sent("right", b"x"))

    def test_copy_first(self) -> None:
        """The copy leaves before the packet itself."""
        self.tee(*HOOKS)
        self.send("left", b"x")
        self.assertEqual(
            [("rcvdata", "left2right", b"x"), ("rcvdata", "right", b"x")], self.local.events
        )

    def test_injection(self) -> None:
        """What onlookers send goes to the side they are told about, without a copy."""
        self.tee(*HOOKS)
        self.assertEqual({"left": [b"x"]}, self.sent("left2right", b"x"))
        self.assertEqual({"right": [b"x"]}, self.sent("right2left", b"x"))

    def test_side_missing(self) -> None:
        """Without right, packets from left go to left2right alone; and the mirror image."""
        self.tee("left", "left2right", "right2left")
        self.assertEqual({"left2right": [b"x"]}, self.sent("left", b"x"))
        self.graph("rmhook left", "connect t: right right")
        self.assertEqual({"right2left": [b"x"]}, self.sent("right", b"x"))

    def test_no_onlooker(self) -> None:
        """Without onlookers packets pass."""
        self.tee("left", "right")
        self.assertEqual({"right": [b"x"]}, self.sent("left", b"x"))
        self.assertEqual({"left": [b"x"]}, self.sent("right", b"x"))

    def test_nowhere(self) -> None:
        """A packet without a destination is dropped; that is no error and no loss."""
        for hook in HOOKS:
            self.tee(hook)
            self.assertEqual({}, self.sent(hook, b"x"))
            self.assertEqual({}, self.local.hooks[hook].drops)
            self.graph("shutdown t:")

    def test_mark(self) -> None:
        """An end-of-file mark passes like any packet."""
        self.tee(*HOOKS)
        self.assertEqual({"left2right": [EOF], "right": [EOF]}, self.sent("left", EOF))

    def test_copy_fails(self) -> None:
        """A copy that cannot be delivered does not stop the packet; its sender learns of it."""
        self.tee(*HOOKS)
        self.local.refuse("rcvdata", EIO, "left2right")
        self.assertEqual(EIO, self.errno(lambda: self.send("left", b"x")))
        self.assertEqual({"right": [b"x"]}, self.received)
        self.assertEqual({EIO: 1}, self.node("t:").hooks["left2right"].drops)

    def test_both_fail(self) -> None:
        """If both fail, the sender learns the packet's own error."""
        self.tee(*HOOKS)
        self.local.refuse("rcvdata", EIO, "left2right")
        self.local.refuse("rcvdata", EPERM, "right")
        self.assertEqual(EPERM, self.errno(lambda: self.send("left", b"x")))
        self.assertEqual({}, self.local.hooks["left"].drops)


class StatsTests(TeeTestCase):
    def test_example(self) -> None:
        """Two packets of ten bytes in all are counted on the three hooks they passed."""
        self.tee(*HOOKS)
        self.send("left", b"12345")
        self.send_batch("left", [b"12345"])
        self.assertEqual(
            "{ right={ outOctets=10 outFrames=2 } left={ inOctets=10 inFrames=2 }"
            " left2right={ outOctets=10 outFrames=2 } }",
            self.msg("t:", "getstats"),
        )

    def test_order(self) -> None:
        """The blocks stand in the order right, left, right2left, left2right."""
        self.tee(*HOOKS)
        for count, hook in enumerate(("right", "left", "right2left", "left2right"), 1):
            self.send_batch(hook, [b""] * count)
        node = self.node("t:")
        assert isinstance(node, Tee)
        raw = STATS.pack(node.stats)
        in_frames = [int.from_bytes(raw[at + 8 : at + 16], "little") for at in range(0, 128, 32)]
        self.assertEqual([1, 2, 3, 4], in_frames)

    def test_failures(self) -> None:
        """A copy that failed is not counted as sent, a packet that failed is."""
        self.tee(*HOOKS)
        self.local.refuse("rcvdata", EIO)
        self.errno(lambda: self.send("left", b"12345"))
        self.send_batch("left", [b"12345"])
        self.assertEqual(
            "{ right={ outOctets=10 outFrames=2 } left={ inOctets=10 inFrames=2 } }",
            self.msg("t:", "getstats"),
        )

    def test_clear(self) -> None:
        """clrstats resets all; getclrstats tells first."""
        self.tee("left")
        self.send("left", b"1")
        self.assertIsNone(self.msg("t:", "clrstats"))
        self.assertEqual("{}", self.msg("t:", "getstats"))
        self.send("left", b"1")
        self.assertEqual("{ left={ inOctets=1 inFrames=1 } }", self.msg("t:", "getclrstats"))
        self.send("left", b"22")
        self.assertEqual("{ left={ inOctets=2 inFrames=1 } }", self.msg("t:", "getclrstats"))

    def test_anew(self) -> None:
        """Counters outlive their hook, and are reset when it is connected anew."""
        self.tee("left", "right")
        self.send("left", b"1")
        self.graph("rmhook left")
        self.assertIn("left={ inOctets=1 inFrames=1 }", self.msg("t:", "getstats") or "")
        self.graph("connect t: left left")
        self.assertEqual("{ right={ outOctets=1 outFrames=1 } }", self.msg("t:", "getstats"))

    def test_status(self) -> None:
        """The status tells the counters of the hooks there are in words."""
        self.tee("right", "left")
        self.send("left", b"123")
        self.assertEqual(
            'Status for "t:":\n'
            "left: in 1 packets, 3 bytes; out 0 packets, 0 bytes\n"
            "right: in 0 packets, 0 bytes; out 1 packets, 3 bytes",
            self.graph("status t:"),
        )


class FlowTests(TeeTestCase):
    def held_by(self, full: str) -> set[str]:
        """Return the hooks of the tee behind which sources are held by a sink at *full*."""
        self.tee(full)
        others = {*HOOKS} - {full}
        self.graph(*(f"mkpeer t: recorder {hook} x" for hook in others))
        far = {hook: self.node(f"t:{hook}").hooks["x"] for hook in others}
        self.local.hooks[full].send_flow(True)
        held = {name for name, hook in far.items() if hook.high}
        self.local.hooks[full].send_flow(False)
        self.assertFalse(any(hook.high for hook in far.values()))
        return held

    def test_right(self) -> None:
        """A full sink at right holds left, and who injects by right2left."""
        self.assertEqual({"left", "right2left"}, self.held_by("right"))

    def test_left(self) -> None:
        """A full sink at left holds right, and who injects by left2right."""
        self.assertEqual({"right", "left2right"}, self.held_by("left"))

    def test_onlookers(self) -> None:
        """A slow onlooker holds the side it looks at."""
        self.assertEqual({"left"}, self.held_by("left2right"))
        self.graph("shutdown t:")
        self.assertEqual({"right"}, self.held_by("right2left"))

    def test_side_missing(self) -> None:
        """Without right, a full sink at left2right holds left all the same."""
        self.tee("left", "left2right")
        self.graph("rmhook left2right", "mkpeer t: recorder left2right x")
        self.node("t:left2right").hooks["x"].send_flow(True)
        self.assertTrue(self.local.hooks["left"].high)

    def told(self, hook: str, cmd: int) -> list[tuple[str | None, int]]:
        """Send a flow message by *hook*; return who got which."""
        self.local.forget()
        self.net.send_hook(self.local.hooks[hook], Message(FLOW, cmd))
        return [(name, message.cmd) for name, message in self.local.messages]

    def test_messages(self) -> None:
        """Flow messages from left and right go on to the other side; others are swallowed."""
        self.tee(*HOOKS)
        for cmd in range(32, 49):
            self.assertEqual([("right", cmd)], self.told("left", cmd))
            self.assertEqual([("left", cmd)], self.told("right", cmd))
            self.assertEqual([], self.told("left2right", cmd))
            self.assertEqual([], self.told("right2left", cmd))

    def test_messages_nowhere(self) -> None:
        """A flow message is swallowed if there is no other side, or no hook it came by."""
        self.tee("left", "left2right")
        self.assertEqual([], self.told("left", 32))
        self.net.send(self.local, "t:", Message(FLOW, 32))
        self.assertEqual([], self.local.messages)


class EndTests(TeeTestCase):
    def test_bypass(self) -> None:
        """Shut down between left and right, a tee joins its neighbours untold."""
        self.tee(*HOOKS)
        self.graph("shutdown t:")
        told = [event for event in self.local.events if event[1:] in [("left",), ("right",)]]
        self.assertEqual([], told)
        self.send("left", b"x")
        self.send("right", b"y")
        self.assertEqual({"right": [b"x"], "left": [b"y"]}, self.received)
        self.assertEqual({"left", "right"}, {*self.local.hooks})
        self.assertEqual(ENOENT, self.errno("show t:"))

    def test_one_side(self) -> None:
        """With one side alone there is nobody to join."""
        self.tee("left", "left2right")
        self.graph("shutdown t:")
        self.assertEqual({}, self.local.hooks)

    def test_self(self) -> None:
        """A tee whose left is linked to its own right just ends."""
        self.tee("left2right")
        self.graph("connect t: . left right")
        self.graph("shutdown t:")
        self.assertEqual({}, self.local.hooks)

    def test_last_hook(self) -> None:
        """A tee ends with its last hook, and joins nobody then."""
        self.tee("left", "right")
        self.graph("rmhook left", "show t:", "rmhook right")
        self.assertEqual(ENOENT, self.errno("show t:"))
        self.assertEqual({}, self.local.hooks)
