"""macfilter: netgraph.md §10.15, and what FreeBSD's own test of it asserts (§11.7)."""

from __future__ import annotations

import random
import re
import struct
from errno import EEXIST, EINVAL, EIO, ENOENT, EOPNOTSUPP, EPERM
from functools import partial
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ngksock.netgraph import EOF, Batch, Message, Packet
from ngksock.netgraph.edges import connect
from ngksock.netgraph.layout import ETHER, ParseType
from ngksock.nodes.macfilter import MacFilter, macfilter
from ngksock.plugin import NodeType, find_type
from ngksock.testing import GraphTestCase, Sandbox, check_node_type
from ngksock.testing.recording import Data
from tests.nodes.bridges import Keeper, frame

HOOKS = ("ether", "default", "out1", "out2")
A, B, C, D = (f"00:00:00:00:01:0{n}" for n in range(1, 5))
DIRECT = f'direct {{ ether={A} hookname="out1" }}'

ADDRESSES = st.sampled_from([A, B, C, D])
FRAMES = st.builds(frame, ADDRESSES, ADDRESSES, st.sampled_from(["", "x", "xy"]))
RUNS = st.lists(
    st.tuples(st.sampled_from(HOOKS), st.lists(FRAMES | st.binary(max_size=13), max_size=6)),
    max_size=6,
)


class MacFilterTestCase(GraphTestCase):
    node_types = (NodeType("keeper", 1, Keeper),)

    def filter(self, *hooks: str) -> MacFilter:
        """Make a macfilter with hooks to the test's own of the same names."""
        first, *rest = hooks
        self.graph(f"mkpeer macfilter {first} {first}", f"name {first} m")
        self.graph(*(f"connect m: {hook} {hook}" for hook in rest))
        node = self.node("m:")
        assert isinstance(node, MacFilter)
        return node

    def direct(self, address: str, hook: str) -> None:
        """Direct an address to a hook."""
        self.assertIsNone(self.msg("m:", f'direct {{ ether={address} hookname="{hook}" }}'))

    def sent(self, hook: str, *datas: Data) -> dict[str, list[Data]]:
        """Send *datas* out of a hook one by one, and return who received what."""
        for data in datas:
            self.send(hook, data)
        return self.take()

    def hooks(self) -> dict[str, tuple[int, int]]:
        """Return numbers and counts of the upper hooks as FreeBSD's script reads them."""
        told = self.msg("m:", "gethooks") or ""
        found = re.findall(r'hookname="([^"]+)"(?: hookid=(\d+))?(?: maccnt=(\d+))?', told)
        self.assertEqual(f"{{ n={len(found)} hooks=[", told[: told.index("[") + 1])
        return {name: (int(number or 0), int(count or 0)) for name, number, count in found}

    def layout(self, name: str, response: bool = False) -> ParseType[Any]:
        """Return a layout of a message."""
        row = macfilter.commands.named(name)
        assert row is not None
        layout = row.layout(response)
        assert layout is not None
        return layout


class TypeTests(MacFilterTestCase):
    def test_conforms(self) -> None:
        """It keeps the promises of all types, with a table and without."""
        check_node_type(macfilter, hooks=HOOKS)
        check_node_type(macfilter, hooks=HOOKS[::-1], setup=[DIRECT], examples=20)
        check_node_type(macfilter, hooks=HOOKS[1:3], examples=20)

    def test_found(self) -> None:
        """Its name finds it, and its cookie is FreeBSD's."""
        self.assertIs(macfilter, find_type("macfilter"))
        self.assertEqual(1042445461, macfilter.cookie)

    def test_rows(self) -> None:
        """Its messages have FreeBSD's numbers and sizes."""
        rows = [
            (row.cmd, row.name, row.arg and row.arg.size, row.resp is not None)
            for row in macfilter.commands.all
        ]
        self.assertEqual(
            [
                (1, "reset", None, False),
                (2, "direct", 38, False),
                (3, "directi", 8, False),
                (4, "getmacs", None, True),
                (5, "getclrmacs", None, True),
                (6, "clrmacs", None, False),
                (7, "gethooks", None, True),
            ],
            rows,
        )

    def test_forms(self) -> None:
        """The examples of the spec become their bytes, and these text again, in FreeBSD's order."""
        direct = self.layout("direct")
        packed = struct.pack("=6s32s", b"\0\0\0\0\1\2", b"out1")
        text = '{ hookname="out1" ether=00:00:00:00:01:02 }'
        self.assertEqual(packed, direct.pack(direct.parse(text)))
        again = '{ ether=00:00:00:00:01:02 hookname="out1" }'
        self.assertEqual(again, direct.unparse(direct.unpack(packed)))
        hooks = self.layout("gethooks", response=True)
        packed = struct.pack("=I32sHxxI32sHxxI", 2, b"default", 0, 0, b"out1", 1, 5)
        text = '{ n=2 hooks=[ { hookname="default" } { hookname="out1" hookid=1 maccnt=5 } ] }'
        self.assertEqual(packed, hooks.pack(hooks.parse(text)))
        self.assertEqual(text, hooks.unparse(hooks.unpack(packed)))
        macs = self.layout("getmacs", response=True)
        packed = struct.pack("=I4x6sH4Q", 1, b"\0\0\0\0\1\2", 1, 2, 3, 4, 5)
        text = (
            "{ n=1 macs=[ { ether=00:00:00:00:01:02 hookid=1"
            " packets_in=2 bytes_in=3 packets_out=4 bytes_out=5 } ] }"
        )
        self.assertEqual(text, macs.unparse(macs.unpack(packed)))
        self.assertEqual(packed, macs.pack(macs.parse(text)))
        self.assertEqual(bytes(8), macs.pack(macs.parse("{}")))

    def test_numbers(self) -> None:
        """default is 0, another hook gets the lowest free number, ether none."""
        self.filter("x", "ether", "y", "default", "z")
        self.assertEqual({"default": (0, 0), "x": (1, 0), "y": (2, 0), "z": (3, 0)}, self.hooks())
        self.graph("rmhook y", "rmhook x", "connect m: w w", "connect m: v v", "connect m: u u")
        self.assertEqual(
            {"default": (0, 0), "w": (1, 0), "v": (2, 0), "z": (3, 0), "u": (4, 0)}, self.hooks()
        )

    def test_refused(self) -> None:
        """A hook that its neighbour refused takes no number."""
        self.filter("ether")
        self.local.refuse("connect", EPERM, "x")
        self.assertEqual(EPERM, self.errno("connect m: x out1"))
        self.local.refuse("connect", 0, "x")
        self.graph("connect m: x out2")
        self.assertEqual({"out2": (1, 0)}, self.hooks())

    def test_config(self) -> None:
        """What config tells directs the same addresses again."""
        self.filter(*HOOKS)
        self.assertEqual([], self.node("m:").config())
        for address, hook in ((C, "out2"), (A, "out1"), (B, "out2")):
            self.direct(address, hook)
        lines = [
            f'msg . direct {{ ether={address} hookname="{hook}" }}'
            for address, hook in ((A, "out1"), (B, "out2"), (C, "out2"))
        ]
        self.assertEqual(lines, self.node("m:").config())
        self.graph("mkpeer macfilter x out2", "name x other", "connect other: y out1")
        self.graph(*lines, here="other:")
        self.assertEqual(lines, self.node("other:").config())
        self.assertEqual('Status for "m:":\n3 addresses, 3 upper hooks', self.graph("status m:"))


class DataTests(MacFilterTestCase):
    def test_up(self) -> None:
        """From ether a frame goes where its source was directed, else to default."""
        self.filter(*HOOKS)
        self.direct(A, "out1")
        self.direct(B, "out2")
        frames = [frame(D, source) for source in (A, B, C)]
        expected: dict[str, list[Data]] = {
            hook: [data] for hook, data in zip(("out1", "out2", "default"), frames, strict=True)
        }
        self.assertEqual(expected, self.sent("ether", *frames))
        self.send_batch("ether", frames)
        self.assertEqual(expected, self.take())

    def test_down(self) -> None:
        """From upper hooks frames go to ether, whatever is in the table."""
        self.filter(*HOOKS)
        self.direct(A, "out1")
        for hook in HOOKS[1:]:
            for to in (A, B):
                self.assertEqual({"ether": [frame(to, C)]}, self.sent(hook, frame(to, C)))

    def test_missing(self) -> None:
        """Where the hook is missing a frame is dropped, not counted, and no error."""
        self.filter("out1")
        self.direct(A, "out1")
        self.assertEqual({}, self.sent("out1", frame(A, B)))
        self.send_batch("out1", [frame(A, B)] * 2)
        self.graph("connect m: ether ether")
        self.assertEqual({}, self.sent("ether", frame(A, B)))
        self.send_batch("ether", [frame(A, B)] * 2)
        self.assertEqual(f"{{ n=1 macs=[ {{ ether={A} hookid=1 }} ] }}", self.msg("m:", "getmacs"))
        for hook in self.local.hooks.values():
            self.assertEqual({}, hook.drops)

    def test_short(self) -> None:
        """Frames shorter than a header are EINVAL on either side; 14 bytes are enough."""
        self.filter("ether", "default")
        for hook, other in (("ether", "default"), ("default", "ether")):
            for size in range(14):
                data = frame(A, B)[:size]
                self.assertEqual(EINVAL, self.errno(partial(self.send, hook, data)), size)
            self.send_batch(hook, [b"", frame(A, B), frame(A, B)[:13]])
            self.assertEqual({other: [frame(A, B)]}, self.take())
            self.assertEqual({EINVAL: 16}, self.local.hooks[hook].drops)

    def test_mark(self) -> None:
        """A mark from ether goes to all upper hooks in its place, one from above to ether."""
        self.filter(*HOOKS)
        self.direct(A, "out1")
        both: list[Data] = [frame(D, A), EOF, frame(D, A)]
        expected = {"out1": both, "out2": [EOF], "default": [EOF]}
        self.assertEqual(expected, self.sent("ether", *both))
        self.send_batch("ether", both)
        self.assertEqual(expected, self.take())
        self.send_batch("out2", [EOF, frame(A, D)])
        self.assertEqual({"ether": [EOF, frame(A, D), EOF]}, self.sent("out1", EOF))

    def test_shared(self) -> None:
        """A batch with one way is handed on as the same object."""
        self.filter("default")
        self.graph("mkpeer m: keeper ether x")
        keeper = self.node("m:ether")
        assert isinstance(keeper, Keeper)
        batch = Batch([Packet(frame(A, B))] * 3)
        self.local.hooks["default"].send_batch(batch)
        self.graph("rmhook default", "mkpeer m: keeper default x")
        upper = self.node("m:default")
        assert isinstance(upper, Keeper)
        keeper.hooks["x"].send_batch(batch)
        for kept in (keeper.kept, upper.kept):
            self.assertEqual(1, len(kept))
            self.assertIs(batch, kept[0])

    def test_failure(self) -> None:
        """An upper hook that fails does not stop the others of a batch."""
        self.filter(*HOOKS)
        self.direct(A, "out1")
        self.local.refuse("rcvdata", EIO, "out1")
        self.assertEqual(EIO, self.errno(partial(self.send, "ether", frame(D, A))))
        self.send_batch("ether", [frame(D, A), frame(D, B)])
        self.assertEqual({"default": [frame(D, B)]}, self.received)

    def test_pressure(self) -> None:
        """A full sink beyond ether holds the upper hooks; one beyond an upper hook holds ether."""
        for full, held in (("ether", {"default", "out1"}), ("out1", {"ether"})):
            self.filter(full)
            others = {"ether", "default", "out1"} - {full}
            self.graph(*(f"mkpeer m: recorder {hook} x" for hook in others))
            far = {hook: self.node(f"m:{hook}").hooks["x"] for hook in others}
            self.direct(A, "out1")
            self.local.hooks[full].send_flow(True)
            self.assertEqual(held, {name for name, hook in far.items() if hook.high})
            self.graph("shutdown m:")

    def test_pressure_by_table(self) -> None:
        """An upper hook to which nothing is directed holds nobody; default always may."""
        self.filter(*HOOKS)
        ether = self.local.hooks["ether"]
        self.local.hooks["out1"].send_flow(True)
        self.assertFalse(ether.high)
        for made, undone in (
            (f'direct {{ ether={A} hookname="out1" }}', f'direct {{ ether={A} hookname="out2" }}'),
            (f"directi {{ ether={A} hookid=1 }}", f"directi {{ ether={A} }}"),
            (f"directi {{ ether={A} hookid=1 }}", "reset"),
        ):
            self.msg("m:", made)
            self.assertTrue(ether.high, made)
            self.msg("m:", undone)
            self.assertFalse(ether.high, undone)
        self.local.hooks["default"].send_flow(True)
        self.assertTrue(ether.high)

    @settings(max_examples=100, deadline=None, database=None, derandomize=True)
    @given(RUNS, st.dictionaries(st.sampled_from([A, B, C]), st.sampled_from(["out1", "out2"])))
    def test_batches(self, runs: list[tuple[str, list[bytes]]], table: dict[str, str]) -> None:
        """Frames in batches have the same effect as one by one, counters included."""
        effects = []
        for batches in (False, True):
            sandbox = Sandbox(macfilter)
            node = sandbox.graph.make(macfilter)
            assert isinstance(node, MacFilter)
            for name in HOOKS:
                connect(sandbox.graph, sandbox.local, name, node, name)
            for address, hook in table.items():
                node._direct(ETHER.parse(address), node.hooks[hook].private)
            for name, datas in runs:
                if batches:
                    sandbox.local.send_batch(name, datas)
                else:
                    for data in datas:
                        self.errno(partial(sandbox.local.send, name, data))
            ends = [*sandbox.local.hooks.values(), *node.hooks.values()]
            counters = [(hook.packets, hook.bytes, hook.drops) for hook in ends]
            effects.append((dict(sandbox.local.received), counters, node.getmacs()))
            sandbox.close()
        self.assertEqual(*effects)


class CountersTests(MacFilterTestCase):
    def macs(self, name: str = "getmacs") -> str:
        """Return the addresses and counters."""
        return self.msg("m:", name) or ""

    def test_counted(self) -> None:
        """In by source, out by destination whichever hook it came by; bytes without headers."""
        self.filter(*HOOKS)
        self.direct(B, "out2")
        self.direct(A, "out1")
        self.sent("ether", frame(D, A, "12345"), frame(A, D))
        self.sent("default", frame(A, D, "123"), frame(D, A))
        self.send_batch("out2", [frame(A, B, "1"), frame(B, A)])
        self.assertEqual(
            f"{{ n=2 macs=[ {{ ether={A} hookid=1"
            " packets_in=1 bytes_in=5 packets_out=2 bytes_out=4 }"
            f" {{ ether={B} hookid=2 packets_out=1 }} ] }}",
            self.macs(),
        )  # fmt: skip

    def test_clear(self) -> None:
        """clrmacs resets the counters; getclrmacs tells first; both keep the addresses."""
        self.filter(*HOOKS)
        self.direct(A, "out1")
        cleared = f"{{ n=1 macs=[ {{ ether={A} hookid=1 }} ] }}"
        counted = f"{{ n=1 macs=[ {{ ether={A} hookid=1 packets_in=1 }} ] }}"
        self.send("ether", frame(D, A))
        self.assertEqual(counted, self.macs("getclrmacs"))
        self.assertEqual(cleared, self.macs())
        self.send("ether", frame(D, A))
        self.assertIsNone(self.msg("m:", "clrmacs"))
        self.assertEqual(cleared, self.macs())

    def test_redirected(self) -> None:
        """An address that is directed elsewhere keeps its counters."""
        self.filter(*HOOKS)
        self.direct(A, "out1")
        self.send("ether", frame(D, A))
        self.assertIsNone(self.msg("m:", f"directi {{ ether={A} hookid=2 }}"))
        self.assertIn("hookid=2 packets_in=1", self.macs())

    def test_order(self) -> None:
        """Addresses are told in their order, as bytes without a sign."""
        self.filter(*HOOKS)
        addresses = ("00:00:00:00:00:01", "7f:0:0:0:0:0", "80:0:0:0:0:0", "ff:0:0:0:0:0")
        for address in (addresses[2], addresses[0], addresses[3], addresses[1]):
            self.direct(address, "out1")
        told = re.findall("ether=([0-9a-f:]+)", self.macs())
        self.assertEqual([ETHER.unparse(ETHER.parse(a)) for a in addresses], told)

    def test_directed_wrongly(self) -> None:
        """A hook that is not there is ENOENT, ether EINVAL, a number nobody has EINVAL."""
        self.filter(*HOOKS)
        self.direct(A, "out1")
        for text, errno in (
            (f'direct {{ ether={A} hookname="out9" }}', ENOENT),
            (f"direct {{ ether={A} }}", ENOENT),
            (f'direct {{ ether={A} hookname="ether" }}', EINVAL),
            ('direct { hookname="out1" }', EOPNOTSUPP),
            (f"directi {{ ether={A} hookid=3 }}", EINVAL),
            (f"directi {{ ether={A} hookid=65535 }}", EINVAL),
            (f"directi {{ ether={A} hookid=65536 }}", EINVAL),
        ):
            self.assertEqual(errno, self.errno(f"msg m: {text}"), text)
        for cmd, size in ((2, 37), (2, 39), (3, 7), (3, 9)):
            message = Message(macfilter.cookie, cmd, bytes(size))
            wrong = partial(self.net.send, self.local, "m:", message)
            self.assertEqual(EINVAL, self.errno(wrong))
        self.assertEqual(f"{{ n=1 macs=[ {{ ether={A} hookid=1 }} ] }}", self.macs())

    def test_default(self) -> None:
        """Directed to default, by name or number, connected or not, an address is forgotten."""
        self.filter("ether", "out1")
        for forget in (f'direct {{ ether={A} hookname="default" }}', f"directi {{ ether={A} }}"):
            self.direct(A, "out1")
            for _ in range(2):
                self.assertIsNone(self.msg("m:", forget))
                self.assertEqual("{}", self.macs())


class FreeBSDTests(MacFilterTestCase):
    """The numbers are those of §11.7."""

    def addresses(self, count: int) -> list[str]:
        """Return so many addresses."""
        return [f"00:00:00:00:{n >> 8:02x}:{n & 255:02x}" for n in range(count)]

    def counts(self) -> dict[str, int]:
        """Return how many addresses each hook has."""
        return {name: count for name, (_, count) in self.hooks().items()}

    def test_30_default(self) -> None:
        """A second hook named default fails."""
        self.filter("ether", "default")
        self.assertEqual(EEXIST, self.errno("connect m: other default"))

    def test_31_hooks(self) -> None:
        """gethooks lists exactly the hooks there are, also dozens, while they come and go."""
        self.filter("ether", "default", "out1", "out2", "out3")
        self.assertEqual(["default", "out1", "out2", "out3"], list(self.hooks()))
        self.graph("rmhook out1", "rmhook out2", "rmhook out3")
        self.assertEqual(["default"], list(self.hooks()))
        for number in range(1, 61):
            self.graph(f"connect m: xxx{number} xxx{number}")
            self.assertEqual(number + 1, len(self.hooks()))
        for number in range(4, 61):
            self.graph(f"rmhook xxx{number}")
        self.assertEqual({"default": 0, "xxx1": 1, "xxx2": 2, "xxx3": 3}, {
            name: number for name, (number, _) in self.hooks().items()
        })  # fmt: skip

    def test_32_to_36_counts(self) -> None:
        """Hundreds of addresses, directed, redirected at random, to default, and reset."""
        self.filter("ether", "default", "out1", "out2", "out3")
        rest = {"default": 0, "out1": 0, "out2": 0, "out3": 0}
        addresses = self.addresses(300)
        for address in addresses:  # 32
            self.direct(address, "out1")
        self.assertEqual({**rest, "out1": 300}, self.counts())
        for done, address in enumerate(addresses, 1):  # 33
            self.direct(address, "out2")
            if not done % 50:
                self.assertEqual({**rest, "out1": 300 - done, "out2": done}, self.counts())
        for address in addresses:  # 34
            self.direct(address, "default")
        self.assertEqual(rest, self.counts())
        chosen, chance = {}, random.Random(1)
        for _ in range(1000):  # 35
            address, hook = chance.choice(addresses), chance.choice(list(rest))
            self.direct(address, hook)
            chosen[address] = hook
        where = list(chosen.values())
        expected = {hook: where.count(hook) for hook in rest}
        self.assertEqual({**expected, "default": 0}, self.counts())
        self.assertIsNone(self.msg("m:", "reset"))  # 36
        self.assertEqual(rest, self.counts())
        self.assertEqual("{}", self.msg("m:", "getmacs"))


class EndTests(MacFilterTestCase):
    def test_hook_removed(self) -> None:
        """A hook takes its addresses along; what comes from them goes to default."""
        self.filter(*HOOKS)
        self.direct(A, "out1")
        self.direct(B, "out2")
        self.graph("rmhook out1")
        self.assertEqual({"default": (0, 0), "out2": (2, 1)}, self.hooks())
        self.assertEqual({"default": [frame(D, A)]}, self.sent("ether", frame(D, A)))

    def test_last_hook(self) -> None:
        """It ends with its last hook."""
        self.filter("ether", "default", "out1")
        self.graph("rmhook ether", "rmhook default", "show m:", "rmhook out1")
        self.assertEqual(ENOENT, self.errno("show m:"))

    def test_many(self) -> None:
        """4,000 hooks with 25 addresses each: a frame goes to one; removal leaves nothing."""
        node = self.filter("ether")
        self.graph("mkpeer m: hole 1 1", "name m:1 s")
        far = self.node("s:")
        for number in range(2, 4001):
            connect(self.net, far, str(number), node, str(number))
        for number in range(100_000):
            upper = node.numbers[number % 4000 + 1]
            node._direct(number.to_bytes(6), upper)
        self.send("ether", bytes(6) + (77_777).to_bytes(6) + b"\x08\0")
        sent = {name: hook.packets for name, hook in node.hooks.items() if hook.packets}
        self.assertEqual({str(77_777 % 4000 + 1): 1}, sent)
        self.graph("rmhook m: 1")
        self.assertEqual(100_000 - 25, len(node.macs))
        self.graph("shutdown m:")
        self.assertEqual(({}, {}), (node.macs, node.numbers))
