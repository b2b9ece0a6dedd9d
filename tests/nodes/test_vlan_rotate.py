"""vlan_rotate: netgraph.md §10.16, §11.6."""

from __future__ import annotations

from errno import EINVAL

from hypothesis import assume, given
from hypothesis import strategies as st

from ngksock.ethernet import VLAN_PROTOCOLS
from ngksock.netgraph import EOF, Packet, Tag
from ngksock.nodes.vlan_rotate import CONFIG, DEPTH, STATS, VlanRotate, depth_of, vlan_rotate
from ngksock.packet import Record
from ngksock.plugin import find_type
from ngksock.testing import GraphTestCase, check_node_type

HOOKS = ("original", "ordered", "excessive", "incomplete")
ADDRESSES = bytes.fromhex("020000000001020000000002")
OTHER = {"original": "ordered", "ordered": "original"}

Stack = list[tuple[int, int]]
"""Protocol and VLAN of each tag, the outermost first."""


def frame(stack: Stack, payload: bytes = b"payload") -> bytes:
    """Return an IPv4 frame with these tags."""
    tags = b"".join(p.to_bytes(2, "big") + v.to_bytes(2, "big") for p, v in stack)
    return ADDRESSES + tags + b"\x08\0" + payload


def stack_of(data: bytes, depth: int) -> Stack:
    """Return the outermost *depth* tags of a frame."""
    return [
        (int.from_bytes(data[at : at + 2]), int.from_bytes(data[at + 2 : at + 4]))
        for at in range(12, 12 + 4 * depth, 4)
    ]


def plain(depth: int) -> Stack:
    """Return a stack of *depth* tags, numbered from 0."""
    return [(0x8100, number) for number in range(depth)]


class RotateTestCase(GraphTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.rotate(*HOOKS)

    def rotate(self, *hooks: str) -> None:
        """Make a vlan_rotate with hooks to the test's own of the same names."""
        first, *rest = hooks
        self.graph(f"mkpeer vlan_rotate {first} {first}", f"name {first} r")
        self.graph(*(f"connect r: {hook} {hook}" for hook in rest))
        self.local.forget()

    def setconf(self, text: str) -> None:
        """Set the configuration."""
        self.msg("r:", f"setconf {{ {text} }}")

    def sent(self, hook: str, data: bytes) -> tuple[str, bytes]:
        """Send *data*, alone and in a batch; return by which hook it came back, and what."""
        self.send(hook, data)
        alone = self.take()
        self.send_batch(hook, [data])
        self.assertEqual(alone, self.take())
        ((name, (packet,)),) = alone.items()
        return name, bytes(packet)


class TypeTests(RotateTestCase):
    def test_conforms(self) -> None:
        """It keeps the promises of all types."""
        check_node_type(vlan_rotate)
        check_node_type(
            vlan_rotate, hooks=("ordered", "original"), setup=("setconf { rot=1 }",), examples=20
        )

    def test_found(self) -> None:
        """Its name finds it; cookie, numbers and sizes are FreeBSD's."""
        self.assertIs(vlan_rotate, find_type("vlan_rotate"))
        self.assertEqual(1568378766, vlan_rotate.cookie)
        self.assertEqual(
            [(1, "getconf"), (2, "setconf"), (3, "getstat"), (4, "clrstat"), (5, "getclrstat")],
            [(row.cmd, row.name) for row in vlan_rotate.commands.all],
        )
        self.assertEqual((3, 13 * 8), (CONFIG.size, STATS.size))
        self.assertEqual(b"\xfe\x01\x07", CONFIG.pack(CONFIG.parse("{ rot=-2 min=1 max=7 }")))


class RotationTests(RotateTestCase):
    def check(self, hook: str, sense: int, protocols: list[int]) -> None:
        """Turn stacks of 9 to 1 tags by all numbers there are, from *hook*."""
        for depth in range(9, 0, -1):
            stack = [(protocols[at % len(protocols)], at) for at in range(depth)]
            for rot in range(1 - depth, depth):
                self.setconf(f"min=0 max=9 rot={rot}")
                name, data = self.sent(hook, frame(stack))
                self.assertEqual(OTHER[hook], name)
                wanted = [stack[(at + sense * rot) % depth] for at in range(depth)]
                self.assertEqual(frame(wanted), data, f"{depth} tags by {rot}")

    def test_rotation(self) -> None:
        """From original, tag i is afterwards the old tag (i - rot) mod length (§11.6, 26)."""
        self.check("original", -1, [0x8100])

    def test_reverse(self) -> None:
        """From ordered, tag i is afterwards the old tag (i + rot) mod length (27)."""
        self.check("ordered", 1, [0x8100])

    def test_ethertypes(self) -> None:
        """Protocols move with their tags, in both directions (28)."""
        protocols = [0x8100, 0x88A8, 0x9100]
        self.check("original", -1, protocols)
        self.check("ordered", 1, protocols)

    def test_limits(self) -> None:
        """Too short stacks are incomplete, too long ones excessive, from either side (29)."""
        self.setconf("min=3 max=7 rot=0")
        for hook, other in OTHER.items():
            for depth in range(1, 10):
                way = "incomplete" if depth < 3 else "excessive" if depth > 7 else other
                self.assertEqual((way, frame(plain(depth))), self.sent(hook, frame(plain(depth))))
        for hook in ("excessive", "incomplete"):
            for depth in (0, 1, 5, 9, 12):
                data = frame(plain(depth))
                self.assertEqual(("original", data), self.sent(hook, data))

    def test_not_enough(self) -> None:
        """A stack that is not longer than the turn is incomplete, one without tags always."""
        self.setconf("rot=3 min=0 max=9")
        for depth in range(4):
            self.assertEqual("incomplete", self.sent("ordered", frame(plain(depth)))[0])
        self.assertEqual("original", self.sent("ordered", frame(plain(4)))[0])
        self.setconf("rot=0")
        self.assertEqual("incomplete", self.sent("ordered", frame([]))[0])

    def test_any_depth(self) -> None:
        """Ten tags and more are excessive, however many; the frame is not changed."""
        for depth in (10, 11, 300):
            data = frame(plain(depth))
            self.assertEqual(("excessive", data), self.sent("original", data))
        self.assertEqual("{ excessive=6 }", self.msg("r:", "getstat"))

    @given(
        st.lists(
            st.tuples(st.sampled_from(sorted(VLAN_PROTOCOLS)), st.integers(0, 65535)),
            min_size=1,
            max_size=9,
        ),
        st.integers(-8, 8),
    )
    def test_there_and_back(self, stack: Stack, rot: int) -> None:
        """What was turned one way is turned back the other way."""
        assume(abs(rot) < len(stack))
        self.setconf(f"rot={rot} max=9")
        data = frame(stack)
        _, turned = self.sent("ordered", data)
        self.assertEqual(stack[rot % len(stack)], stack_of(turned, 1)[0])
        self.assertEqual(("ordered", data), self.sent("original", turned))

    @given(st.binary(max_size=80))
    def test_noise(self, data: bytes) -> None:
        """Whatever bytes come, a frame keeps its length, and fewer tags than it has room for."""
        _, done = self.sent("ordered", data)
        self.assertEqual(len(data), len(done))
        self.assertLessEqual(depth_of(data), min(DEPTH, max(0, len(data) - 12) // 4))

    def test_kept(self) -> None:
        """A turned frame keeps its packet tags and stays a datagram."""
        node = VlanRotate()
        node.setconf(CONFIG.parse("{ rot=1 }"))
        packet = Record(frame(plain(2)), (Tag(1, 2, b"3"),))
        hook = self.node("r:").hooks["ordered"]
        _, turned = node._sort(hook, packet)
        self.assertEqual((packet.tags, True), (turned.tags, turned.record))
        self.assertEqual(frame(plain(2)), bytes(packet))

    def test_mark(self) -> None:
        """An end-of-file mark goes all ways the data of its hook may go, and is not counted."""
        sorted_out = ("excessive", "incomplete")
        for hook in HOOKS:
            self.send(hook, EOF)
            self.send_batch(hook, [EOF])
            ways = (OTHER[hook], *sorted_out) if hook in OTHER else ("original",)
            self.assertEqual({way: [EOF, EOF] for way in ways}, self.take())
        self.assertEqual("{}", self.msg("r:", "getstat"))

    def test_missing(self) -> None:
        """Where the destination is missing a frame is dropped and counted; that is no error."""
        self.graph("rmhook ordered", "rmhook incomplete")
        for data in (frame(plain(2)), frame([])):
            self.send("original", data)
            self.send_batch("original", [data, Packet(data)])
        self.assertEqual({}, self.received)
        self.assertEqual({}, self.local.hooks["original"].drops)
        self.assertEqual(
            "{ drops=6 incomplete=3 histogram=[ 3 2=3 ] }", self.msg("r:", "getclrstat")
        )
        self.assertEqual("{}", self.msg("r:", "getstat"))

    def test_pressure(self) -> None:
        """A full sink holds those whose frames may go there."""
        for hook, sources in (
            ("ordered", {"original"}),
            ("original", {"ordered", "excessive", "incomplete"}),
            ("excessive", {"original", "ordered"}),
        ):
            self.local.hooks[hook].send_flow(True)
            self.assertEqual(sources, {event[1] for event in self.local.events})
            self.local.hooks[hook].send_flow(False)
            self.local.forget()


class ConfigTests(RotateTestCase):
    def test_default(self) -> None:
        """At first nothing is turned, and up to ten tags pass."""
        self.assertEqual("{ max=10 }", self.msg("r:", "getconf"))
        self.assertEqual([], self.node("r:").config())

    def test_max_kept(self) -> None:
        """Max 0 leaves max as it is."""
        self.setconf("rot=1 max=5")
        self.setconf("rot=2 min=3")
        self.assertEqual("{ rot=2 min=3 max=5 }", self.msg("r:", "getconf"))
        self.assertEqual(["msg . setconf { rot=2 min=3 max=5 }"], self.node("r:").config())

    def test_refused(self) -> None:
        """Values out of range are EINVAL and change nothing."""
        self.setconf("rot=1 max=5")
        for bad in ("max=11", "min=6", "min=3 max=2", "rot=5", "rot=-5", "rot=-128", "rot=9 max=9"):
            self.assertEqual(EINVAL, self.errno(f"msg r: setconf {{ {bad} }}"), bad)
        self.assertEqual("{ rot=1 max=5 }", self.msg("r:", "getconf"))

    def test_status(self) -> None:
        """The status tells the configuration and the counters."""
        self.assertEqual(
            'Status for "r:":\nstacks of 0 to 10 tags turned by 0; '
            "0 frames dropped, 0 excessive, 0 incomplete",
            self.graph("status r:"),
        )
