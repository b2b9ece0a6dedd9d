"""car: netgraph.md §10.9."""

from __future__ import annotations

import struct
from errno import EINVAL, EIO, ENETDOWN
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from ngksock.netgraph import EOF, Batch, Hook, Message, Packet, Tag
from ngksock.nodes.car import car
from ngksock.nodes.car.layouts import CONF, STATS, WayConf
from ngksock.nodes.car.way import Way
from ngksock.packet import Record
from ngksock.plugin import find_type
from ngksock.testing import GraphTestCase, RecordingNode, check_node_type
from tests.nodes.shaping import stamper

OWN = 1750000306
ACTIONS = "greenAction=1 yellowAction=1 redAction=2"
GREEN, YELLOW, RED = (Tag(OWN, 1, bytes((colour,))) for colour in range(3))


class CarTestCase(GraphTestCase):
    node_types = (stamper,)

    def car(self, downstream: str = "", upstream: str = "") -> None:
        """Make a car between the test's hooks ``upper`` and ``lower``, and configure it."""
        self.graph("mkpeer car upper upper", "name upper c", "connect c: lower lower")
        self.configure(downstream, upstream)
        self.local.forget()

    def configure(self, downstream: str = "", upstream: str = "") -> None:
        """Set one direction, or both."""
        ways = (("downstream", downstream), ("upstream", upstream))
        text = " ".join(f"{name}={{ {way} }}" for name, way in ways if way)
        if text:
            self.assertIsNone(self.msg("c:", f"setconf {{ {text} }}"))

    def stats(self) -> str:
        """Return the counters of downstream."""
        text = self.msg("c:", "getstats") or ""
        return text.removeprefix("{ downstream={ ").removesuffix(" } }")


class TypeTests(CarTestCase):
    def test_conforms(self) -> None:
        """It keeps the promises of all types, in every mode."""
        for setup in (
            "",
            f"upstream={{ cbs=6 ebs=5 cir=100 pir=50 mode=1 opt=1 {ACTIONS} }} "
            f"downstream={{ cbs=3 ebs=2 cir=8 mode=3 {ACTIONS} }}",
            "upstream={ cbs=6 ebs=15 cir=100 mode=2 opt=3 greenAction=3 yellowAction=3 "
            "redAction=3 } downstream={ cbs=5 redAction=1 mode=2 }",
            "upstream={ cbs=3 ebs=1 cir=2 pir=50 mode=3 opt=2 greenAction=3 }",
        ):
            check_node_type(
                car, setup=[f"setconf {{ {setup} }}"] if setup else [], seconds=60, examples=15
            )

    def test_found(self) -> None:
        """Its name finds it, and its cookie is FreeBSD's."""
        self.assertIs(car, find_type("car"))
        self.assertEqual(1173648034, car.cookie)

    def test_rows(self) -> None:
        """Its messages have FreeBSD's numbers and sizes."""
        rows = [
            (row.cmd, row.name, row.arg and row.arg.size, row.resp and row.resp.size)
            for row in car.commands.all
        ]
        self.assertEqual(
            [
                (1, "getstats", None, 96),
                (2, "clrstats", None, None),
                (3, "getclrstats", None, 96),
                (4, "getconf", None, 80),
                (5, "setconf", 80, None),
            ],
            rows,
        )

    def test_layouts(self) -> None:
        """Every field stands where FreeBSD has it, upstream first."""
        data = struct.pack("<4Q5B3x4Q5B3x", *range(1, 19))
        text = (
            "{ upstream={ cbs=1 ebs=2 cir=3 pir=4 greenAction=5 yellowAction=6 redAction=7 mode=8 "
            "opt=9 } downstream={ cbs=10 ebs=11 cir=12 pir=13 greenAction=14 yellowAction=15 "
            "redAction=16 mode=17 opt=18 } }"
        )
        self.assertEqual(text, CONF.unparse(CONF.unpack(data)))
        self.assertEqual(data, CONF.pack(CONF.parse(text)))
        data = struct.pack("<12Q", *range(1, 13))
        text = (
            "{ upstream={ passed=1 dropped=2 green=3 yellow=4 red=5 errors=6 } "
            "downstream={ passed=7 dropped=8 green=9 yellow=10 red=11 errors=12 } }"
        )
        self.assertEqual(text, STATS.unparse(STATS.unpack(data)))
        self.assertEqual(data, STATS.pack(STATS.parse(text)))

    def test_length(self) -> None:
        """A configuration that has not exactly 80 bytes is EINVAL."""
        self.car()
        for size in (0, 40, 79, 81):
            message = Message(car.cookie, 5, b"\1" * size)
            send = partial(self.net.send, self.local, "c:", message)
            self.assertEqual(EINVAL, self.errno(send))

    def test_hooks(self) -> None:
        """Its hooks are upper and lower."""
        self.car()
        for name in ("left", "upper2", "Upper"):
            self.assertEqual(EINVAL, self.errno(f"connect c: x {name}"), name)


FRESH = f"cbs=8192 ebs=8192 cir=10240 {ACTIONS}"


class ConfigTests(CarTestCase):
    def test_default(self) -> None:
        """A direction begins with two buckets of 8192 bytes and 10240 bit/s."""
        self.car()
        self.assertEqual(
            f"{{ upstream={{ {FRESH} }} downstream={{ {FRESH} }} }}", self.msg("c:", "getconf")
        )
        self.assertEqual([], self.node("c:").config())

    def test_one_direction(self) -> None:
        """A direction that is left out stays as it is; one that is given is replaced."""
        self.car()
        self.configure("cbs=5 cir=9")
        text = f"{{ upstream={{ {FRESH} }} downstream={{ cbs=5 cir=9 }} }}"
        self.assertEqual(text, self.msg("c:", "getconf"))
        self.assertEqual(["msg . setconf { downstream={ cbs=5 cir=9 } }"], self.node("c:").config())
        self.configure("", "ebs=7 opt=2 mode=1")
        text = "{ upstream={ ebs=7 mode=1 opt=2 } downstream={ cbs=5 cir=9 } }"
        self.assertEqual(text, self.msg("c:", "getconf"))
        self.assertEqual([f"msg . setconf {text}"], self.node("c:").config())

    def test_invalid(self) -> None:
        """What cannot be is EINVAL, and neither direction changes then."""
        self.car("cbs=5", "cbs=6")
        for bad in (
            "cir=1", "cbs=1 cir=1000000001", "cbs=1 pir=1000000001", "cbs=1 mode=3",
            "cbs=1 mode=4", "cbs=1 opt=2 cir=976563", "ebs=1 opt=3 pir=976563", "greenAction=1",
        ):  # fmt: skip
            for text in (f"downstream={{ {bad} }}", f"downstream={{ cbs=1 }} upstream={{ {bad} }}"):
                self.assertEqual(EINVAL, self.errno(f"msg c: setconf {{ {text} }}"), text)
        self.assertEqual(EINVAL, self.errno("msg c: setconf {}"))
        self.assertEqual("{ upstream={ cbs=6 } downstream={ cbs=5 } }", self.msg("c:", "getconf"))
        self.configure("cbs=1 cir=1000000000 pir=1000000000", "ebs=1 opt=2 cir=976562 mode=3")

    def test_anew(self) -> None:
        """A direction begins anew when the hook it enters by is connected."""
        self.car("cbs=5", "cbs=6")
        self.send_batch("upper", [b"123", b"456"])
        self.graph("rmhook upper", "connect c: upper upper")
        self.assertEqual(
            f"{{ upstream={{ cbs=6 }} downstream={{ {FRESH} }} }}", self.msg("c:", "getconf")
        )
        self.assertEqual("{}", self.msg("c:", "getstats"))


class ColourTests(CarTestCase):
    def test_single(self) -> None:
        """Mode 0: green from the first bucket, yellow from the second, then red."""
        self.car(f"cbs=100 ebs=60 cir=800 {ACTIONS}")
        for length in (60, 50, 30, 40, 1):
            self.send("upper", bytes(length))
        self.assertEqual("passed=4 dropped=1 green=3 yellow=1 red=1", self.stats())
        self.pass_time(1)  # 100 bytes: 1 was left in the first one's 10, 10 in the second
        self.send_batch("upper", [bytes(100), bytes(10), bytes(1)])
        lengths = {len(bytes(data)) for data in self.received["lower"]}
        self.assertEqual({100, 60, 50, 30, 1, 10}, lengths)

    def test_overflow(self) -> None:
        """Mode 0: what flows over from the first bucket fills the second, up to its size."""
        self.car(f"cbs=10 ebs=25 cir=80 {ACTIONS}")
        self.send_batch("upper", [bytes(10), bytes(25), bytes(1)])
        self.assertEqual("passed=2 dropped=1 green=1 yellow=1 red=1", self.stats())
        self.pass_time(3)
        self.send_batch("upper", [bytes(20), bytes(10), bytes(1)])
        self.assertEqual("passed=4 dropped=2 green=2 yellow=2 red=2", self.stats())
        self.pass_time(100)
        self.send_batch("upper", [bytes(25), bytes(10), bytes(1)])
        self.assertEqual("passed=6 dropped=3 green=3 yellow=3 red=3", self.stats())

    def test_double(self) -> None:
        """Mode 1: the second bucket fills at a rate of its own."""
        self.car(f"cbs=10 ebs=25 cir=80 pir=40 mode=1 {ACTIONS}")
        self.send_batch("upper", [bytes(10), bytes(25), bytes(1)])
        self.pass_time(3)
        self.send_batch("upper", [bytes(10), bytes(15), bytes(1)])
        self.assertEqual("passed=4 dropped=2 green=2 yellow=2 red=2", self.stats())

    def test_red(self) -> None:
        """Mode 2: borrows from the first bucket until that is too much, then begins again."""
        self.car(f"cbs=100 ebs=1000 cir=8 mode=2 {ACTIONS}")
        for _ in range(9):
            self.send("upper", bytes(100))
        # Borrowed: 100, 200 (300), 300 (600), 400 would be 1000, which is not below ebs.
        # From then on 300 are owed: 400 (400), 500 (900), 600 is red, and so on.
        self.assertEqual("passed=7 dropped=2 green=1 yellow=6 red=2", self.stats())

    def test_red_too_much(self) -> None:
        """Mode 2: a packet that is too long by itself is red, and forgives nothing."""
        self.car(f"cbs=100 ebs=1000 cir=8 mode=2 {ACTIONS}")
        self.send_batch("upper", [bytes(551), bytes(550)])
        self.assertEqual("passed=1 dropped=1 yellow=1 red=1", self.stats())

    def test_count(self) -> None:
        """Opt 2: buckets hold packets, and rates are packets a second, whatever their length."""
        self.car(f"cbs=3 ebs=2 cir=2 opt=2 {ACTIONS}")
        self.send_batch("upper", [bytes(1500)] * 4 + [b""] * 3)
        self.assertEqual("passed=5 dropped=2 green=3 yellow=2 red=2", self.stats())
        self.pass_time(0.5)
        self.send_batch("upper", [bytes(9)] * 2)
        self.assertEqual("passed=6 dropped=3 green=4 yellow=2 red=3", self.stats())

    def test_actions(self) -> None:
        """1 forwards, 2 and whatever else drops, 3 marks and forwards."""
        seen: list[tuple[int | None, bytes]] = []

        def see(node: RecordingNode, hook: Hook, packet: Packet) -> None:
            tag = packet.find_tag(OWN, 1)
            seen.append((None if tag is None else tag.data[0], bytes(packet)))

        self.patch(RecordingNode, "rcvdata", see)
        for green, yellow, red, expected in (
            (3, 3, 3, [(0, b"g"), (1, b"y"), (2, b"r")]),
            (1, 2, 3, [(None, b"g"), (2, b"r")]),
            (0, 1, 4, [(None, b"y")]),
            (255, 3, 1, [(1, b"y"), (None, b"r")]),
        ):
            actions = f"greenAction={green} yellowAction={yellow} redAction={red}"
            self.car(f"cbs=1 ebs=1 {actions}")
            for batch in (False, True):
                self.configure(f"cbs=1 ebs=1 {actions}")
                if batch:
                    self.send_batch("upper", [b"g", b"y", b"r"])
                else:
                    for data in (b"g", b"y", b"r"):
                        self.send("upper", data)
                self.assertEqual(expected, seen)
                seen.clear()
            self.graph("shutdown c:")

    def test_mark_replaced(self) -> None:
        """A mark takes the place of an earlier one; other tags, and the packet's kind, stay."""
        other = Tag(7, 1, b"x")
        seen: list[Packet] = []
        self.patch(RecordingNode, "rcvdata", lambda node, hook, packet: seen.append(packet))
        self.car("cbs=1 ebs=1 redAction=3 greenAction=3 yellowAction=3")
        first = Record(b"x", (GREEN, other))
        for _ in range(3):
            self.local.send("upper", first)
        self.assertEqual([other, other, other], [packet.tags[0] for packet in seen])
        self.assertEqual([b"\0", b"\1", b"\2"], [packet.tags[1].data for packet in seen])
        self.assertEqual({Record}, {type(packet) for packet in seen})
        self.assertEqual((GREEN, other), first.tags)

    def test_aware(self) -> None:
        """Opt 1: a packet marked yellow is not made green, and one marked red stays red."""
        for mode, counts in (
            (0, "passed=2 dropped=2 green=1 yellow=1 red=2"),
            (1, "passed=2 dropped=2 green=1 yellow=1 red=2"),
            (2, "passed=2 dropped=2 green=1 yellow=1 red=2"),
        ):
            self.car(f"cbs=100 ebs=100 mode={mode} opt=1 {ACTIONS}")
            for tag in (GREEN, YELLOW, RED, Tag(OWN, 1, b"\7")):
                self.local.send("upper", Packet(b"12345", (tag,)))
            self.assertEqual(counts, self.stats())
            self.graph("shutdown c:", "rmhook upper")
        self.car(f"cbs=100 ebs=100 {ACTIONS}")
        self.local.send("upper", Packet(b"12345", (RED,)))
        self.assertEqual("passed=1 green=1", self.stats())

    def test_same_batch(self) -> None:
        """A batch that is all green goes on as it is."""
        self.car()
        seen: list[Batch] = []
        self.patch(RecordingNode, "rcvbatch", lambda node, hook, batch: seen.append(batch))
        self.graph("rmhook lower", "connect c: lower lower")
        for opt in ("", " opt=1"):
            self.configure(f"cbs=10 {ACTIONS}{opt}")
            batch = Batch((Packet(b"1"), EOF, Packet(b"2")))
            self.local.hooks["upper"].send_batch(batch)
            self.assertIs(batch, seen.pop())
        self.assertIn("green=4", self.stats())

    def test_directions(self) -> None:
        """Downstream is what enters by upper; each direction has its own buckets."""
        self.car(f"cbs=1 {ACTIONS}", f"cbs=2 {ACTIONS}")
        self.send_batch("upper", [b"1"] * 3)
        self.send_batch("lower", [b"1"] * 3)
        self.assertEqual(
            "{ upstream={ passed=2 dropped=1 green=2 red=1 } "
            "downstream={ passed=1 dropped=2 green=1 red=2 } }",
            self.msg("c:", "getclrstats"),
        )
        self.assertEqual("{}", self.msg("c:", "getstats"))

    def test_errors(self) -> None:
        """A delivery that fails counts as passed and as error; without a hook it is ENETDOWN."""
        self.car()
        self.local.refuse("rcvdata", EIO, "lower")
        self.assertEqual(EIO, self.errno(lambda: self.send("upper", b"1")))
        self.send_batch("upper", [b"2", b"3"])
        self.assertEqual("passed=3 green=3 errors=3", self.stats())
        self.graph("rmhook lower")
        self.assertEqual(ENETDOWN, self.errno(lambda: self.send("upper", b"1")))
        self.send_batch("upper", [b"2", b"3"])
        self.assertEqual(3, self.local.hooks["upper"].drops[ENETDOWN])
        self.assertEqual("passed=3 green=3 errors=6", self.stats())

    def test_bug(self) -> None:
        """A neighbour's bug is an error, one by one as in a batch."""
        self.car()
        self.local.hooks["lower"].rcvdata = lambda hook, packet: {}[packet]  # type: ignore[index]
        self.local.hooks["lower"].peer.link(self.local.hooks["lower"])
        self.send("upper", b"1")
        self.send_batch("upper", [b"2", b"3"])
        self.assertEqual("passed=3 green=3 errors=3", self.stats())
        self.flush_bugs(KeyError)

    def test_mark_of_eof(self) -> None:
        """The end of a stream passes whatever the actions, and costs nothing."""
        self.car("cbs=1 ebs=1 opt=2")
        self.send("upper", EOF)
        self.send_batch("upper", [EOF, b"x"])
        self.assertEqual({"lower": [EOF, EOF]}, self.received)
        self.assertEqual("passed=2 dropped=1 green=1", self.stats())

    @given(
        st.integers(0, 3000), st.integers(0, 3000), st.integers(0, 100_000),
        st.integers(0, 100_000), st.integers(0, 1),
        st.lists(st.tuples(st.integers(0, 2000), st.floats(0, 2)), max_size=40),
    )  # fmt: skip
    def test_bound(self, cbs, ebs, cir, pir, mode, traffic) -> None:
        """Never is more green, or yellow, than was in the bucket and has come since."""
        way = Way()
        way.configure(WayConf(cbs, ebs, cir, pir, 1, 1, 2, mode), 0)
        now = green = yellow = 0.0
        for length, pause in traffic:
            now += pause
            passed: list[Packet] = []
            before = way.stats.green, way.stats.yellow
            way.police(Packet(bytes(length)), now, passed)
            green += length * (way.stats.green - before[0])
            yellow += length * (way.stats.yellow - before[1])
            self.assertEqual(len(passed), sum((way.stats.green, way.stats.yellow)) - sum(before))
            self.assertLessEqual(green, cbs + cir / 8 * now + 1e-6)
            more = pir / 8 * now if mode else cir / 8 * now
            self.assertLessEqual(yellow, ebs + more + 1e-6)
            if not mode:
                self.assertLessEqual(green + yellow, cbs + ebs + cir / 8 * now + 1e-6)
