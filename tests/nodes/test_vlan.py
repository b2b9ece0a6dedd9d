"""vlan: netgraph.md §10.14."""

from __future__ import annotations

from errno import EEXIST, EINVAL, ENETDOWN, ENOENT, EOPNOTSUPP
from time import process_time

from hypothesis import given
from hypothesis import strategies as st

from ngksock.netgraph import EOF, Message, Packet, Tag
from ngksock.netgraph.edges import connect
from ngksock.nodes.vlan import BESIDE, COOKIE, FILTER, TABLE, Vlan, vlan
from ngksock.packet import Record
from ngksock.plugin import find_type
from ngksock.testing import GraphTestCase, check_node_type
from ngksock.testing.recording import Data

HOOKS = ("downstream", "nomatch", "v100", "v200")
SETUP = (
    'addfilter { hook="v100" vid=100 pcp=5 cfi=1 }',
    'addfilter { hook="v200" vlan=200 }',
)
ADDRESSES = bytes.fromhex("020000000001020000000002")
FLOW = 851672669


def frame(*tags: int, protocol: int = 0x8100, payload: bytes = b"payload") -> bytes:
    """Return an IPv4 frame with VLAN tags."""
    inner = b"".join(protocol.to_bytes(2) + tag.to_bytes(2) for tag in tags)
    return ADDRESSES + inner + b"\x08\0" + payload


def beside(tag: int, data: bytes | None = None) -> Packet:
    """Return an untagged frame with a VLAN tag beside it."""
    return Packet(frame() if data is None else data, (Tag(COOKIE, BESIDE, tag.to_bytes(2)),))


class VlanTestCase(GraphTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.vlan(*HOOKS)

    def vlan(self, *hooks: str) -> None:
        """Make a vlan with hooks to the test's own of the same names, and two filters."""
        first, *rest = hooks
        self.graph(f"mkpeer vlan {first} {first}", f"name {first} v")
        self.graph(*(f"connect v: {hook} {hook}" for hook in rest))
        for text in SETUP:
            self.msg("v:", text)
        self.local.forget()

    def sent(self, hook: str, data: Data) -> dict[str, list[Data]]:
        """Send *data* by a hook of the test, alone and in a batch; both must do the same."""
        self.send(hook, data)
        alone = self.take()
        self.send_batch(hook, [data])
        self.assertEqual(alone, self.take())
        return alone

    def refused(self, hook: str, data: Data) -> int:
        """Return the errno by which *data* is refused, alone and in a batch."""
        drops = dict(self.local.hooks[hook].drops)
        errno = self.errno(lambda: self.send(hook, data))
        self.send_batch(hook, [data])
        drops[errno] = drops.get(errno, 0) + 2
        self.assertEqual(drops, self.local.hooks[hook].drops)
        return errno

    def tags_of(self, hook: str, data: Data) -> tuple[str, bytes, list[bytes]]:
        """Return by which hook a frame leaves, what it is, and the tags beside it."""
        packet = data if isinstance(data, Packet) else Packet(data)
        node = self.node("v:")
        assert isinstance(node, Vlan)
        out, done = node._sort(node.hooks[hook], packet)
        return out.name, bytes(done), [tag.data for tag in done.tags if tag.cookie == COOKIE]


class TypeTests(VlanTestCase):
    def test_conforms(self) -> None:
        """A vlan keeps the promises of all types, with filters and without."""
        check_node_type(vlan, hooks=HOOKS, setup=SETUP)
        check_node_type(vlan, hooks=HOOKS, examples=20)
        options = ("setdecap 1", "setencap 2", "setencapproto 0x88a8")
        check_node_type(vlan, hooks=HOOKS, setup=SETUP + options, examples=20)

    def test_found(self) -> None:
        """Its name finds it; cookie, numbers and sizes are FreeBSD's."""
        self.assertIs(vlan, find_type("vlan"))
        self.assertEqual(1068486472, vlan.cookie)
        names = (
            "addfilter delfilter gettable delvidflt getdecap setdecap getencap setencap "
            "getencapproto setencapproto"
        )
        self.assertEqual(
            list(enumerate(names.split(), 1)), [(row.cmd, row.name) for row in vlan.commands.all]
        )
        self.assertEqual(38, FILTER.size)

    def test_table(self) -> None:
        """A table is a count and 38 bytes a filter, without padding."""
        answer = self.node("v:").type.commands.named("gettable")
        assert answer is not None
        node = self.node("v:")
        assert isinstance(node, Vlan)
        data = TABLE.pack(node.gettable())
        self.assertEqual(4 + 2 * 38, len(data))
        self.assertEqual(
            '{ n=2 filter=[ { hook="v100" vlan=100 vid=100 pcp=5 cfi=1 } '
            '{ hook="v200" vlan=200 vid=200 } ] }',
            self.msg("v:", "gettable"),
        )


class FrameTests(VlanTestCase):
    def test_upstream(self) -> None:
        """Tagged frames go to the hook of their VLAN, without the tag; others to nomatch."""
        self.assertEqual({"v100": [frame()]}, self.sent("downstream", frame(100)))
        self.assertEqual({"v200": [frame()]}, self.sent("downstream", frame(0xE000 | 200)))
        self.assertEqual({"nomatch": [frame(300)]}, self.sent("downstream", frame(300)))
        self.assertEqual({"nomatch": [frame()]}, self.sent("downstream", frame()))

    def test_downstream(self) -> None:
        """Frames of VLAN hooks leave tagged as their filter says."""
        self.assertEqual({"downstream": [frame(0xB000 | 100)]}, self.sent("v100", frame()))
        self.assertEqual({"downstream": [frame(200)]}, self.sent("v200", frame()))
        self.assertEqual({"downstream": [frame(200, 7)]}, self.sent("v200", frame(7)))

    def test_nomatch(self) -> None:
        """Frames of nomatch leave as they are."""
        for data in (frame(), frame(100)):
            self.assertEqual({"downstream": [data]}, self.sent("nomatch", data))

    @given(st.lists(st.integers(0, 4095), min_size=1, max_size=50), st.binary(max_size=20))
    def test_stack(self, tags: list[int], payload: bytes) -> None:
        """The outermost tag of any stack decides, and only it is taken off."""
        name = {100: "v100", 200: "v200"}.get(tags[0], "nomatch")
        left = tags[1:] if name != "nomatch" else tags
        got = self.sent("downstream", frame(*tags, payload=payload))
        self.assertEqual({name: [frame(*left, payload=payload)]}, got)

    def test_batch(self) -> None:
        """A batch is sorted; each hook gets its frames in order."""
        self.send_batch(
            "downstream", [frame(100, payload=b"1"), frame(), frame(200), frame(100, payload=b"2")]
        )
        self.assertEqual(
            {
                "v100": [frame(payload=b"1"), frame(payload=b"2")],
                "nomatch": [frame()],
                "v200": [frame()],
            },
            self.received,
        )

    def test_short(self) -> None:
        """A frame shorter than its header, or than its tag, is refused."""
        for hook in HOOKS:
            self.assertEqual(EINVAL, self.refused(hook, bytes(13)))
            self.assertEqual(EINVAL, self.refused(hook, b""))
        for size in range(14, 18):
            self.assertEqual(EINVAL, self.refused("downstream", frame(100)[:size]))
        self.assertEqual({"v100": [frame()[:14]]}, self.sent("downstream", frame(100)[:18]))

    @given(st.sampled_from(HOOKS), st.binary(max_size=40))
    def test_noise(self, hook: str, data: bytes) -> None:
        """Whatever bytes come are a frame, or too short."""
        self.assertIn(self.errno(lambda: self.send(hook, data)), (0, EINVAL))
        self.take()

    def test_missing(self) -> None:
        """Where the destination is missing a frame is lost as ENETDOWN."""
        self.graph("rmhook nomatch")
        self.assertEqual(ENETDOWN, self.refused("downstream", frame()))
        self.assertEqual(ENETDOWN, self.refused("downstream", frame(300)))
        self.graph("rmhook downstream")
        self.assertEqual(ENETDOWN, self.refused("v100", frame()))

    def test_no_filter(self) -> None:
        """A VLAN hook without a filter can send nothing."""
        self.graph("connect v: v300 v300")
        self.assertEqual(EOPNOTSUPP, self.refused("v300", frame()))

    def test_mark(self) -> None:
        """An end-of-file mark from downstream goes to all, one from elsewhere to downstream."""
        everywhere = {name: [EOF] for name in HOOKS[1:]}
        self.assertEqual(everywhere, self.sent("downstream", EOF))
        for hook in HOOKS[1:]:
            self.assertEqual({"downstream": [EOF]}, self.sent(hook, EOF))
        self.graph("rmhook downstream")
        self.assertEqual({}, self.sent("v100", EOF))

    def test_protocol(self) -> None:
        """Tags are known, and made, by the protocol that was set."""
        self.msg("v:", "setencapproto 0x88a8")
        outer = frame(100, protocol=0x88A8)
        self.assertEqual({"v100": [frame()]}, self.sent("downstream", outer))
        self.assertEqual({"nomatch": [frame(100)]}, self.sent("downstream", frame(100)))
        self.assertEqual({"downstream": [frame(200, protocol=0x88A8)]}, self.sent("v200", frame()))

    def test_kept(self) -> None:
        """A frame keeps its other tags and stays a datagram."""
        node = self.node("v:")
        assert isinstance(node, Vlan)
        packet = Record(frame(), (Tag(1, 2, b"3"),))
        _, done = node._sort(node.hooks["v100"], packet)
        self.assertEqual((packet.tags, True), (done.tags, done.record))
        self.assertEqual(frame(), bytes(packet))


class BesideTests(VlanTestCase):
    def test_upstream(self) -> None:
        """A tag beside a frame counts like one inside, and is taken away."""
        self.assertEqual(("v100", frame(), []), self.tags_of("downstream", beside(0xB000 | 100)))
        self.assertEqual(
            ("nomatch", frame(), [b"\x01\x2c"]), self.tags_of("downstream", beside(300))
        )

    def test_decap(self) -> None:
        """With decap the tag of a frame for nomatch is put beside it."""
        self.msg("v:", "setdecap 1")
        self.assertEqual(
            ("nomatch", frame(), [b"\x01\x2c"]), self.tags_of("downstream", frame(300))
        )
        self.assertEqual(("nomatch", frame(), []), self.tags_of("downstream", frame()))

    def test_encap(self) -> None:
        """Without bit 1 tags of VLAN hooks go beside; with bit 2 those from nomatch go in."""
        self.msg("v:", "setencap 0")
        self.assertEqual(("downstream", frame(), [b"\0\xc8"]), self.tags_of("v200", frame()))
        self.assertEqual(("downstream", frame(7), [b"\0\xc8"]), self.tags_of("v200", beside(7)))
        self.assertEqual(("downstream", frame(), [b"\0\x07"]), self.tags_of("nomatch", beside(7)))
        self.msg("v:", "setencap 2")
        self.assertEqual(("downstream", frame(7), []), self.tags_of("nomatch", beside(7)))
        self.assertEqual(("downstream", frame(), []), self.tags_of("nomatch", frame()))

    def test_stacked(self) -> None:
        """A tag beside a frame of a VLAN hook counts like one inside: it becomes the inner one."""
        self.assertEqual(("downstream", frame(200, 7), []), self.tags_of("v200", beside(7)))

    def test_nonsense(self) -> None:
        """A packet tag of another size is no VLAN tag."""
        for data in (b"", b"1", b"123"):
            packet = Packet(frame(), (Tag(COOKIE, BESIDE, data),))
            self.assertEqual(("nomatch", frame(), [data]), self.tags_of("downstream", packet))


class MessageTests(VlanTestCase):
    def test_refused(self) -> None:
        """A filter that cannot be is refused, and nothing is changed."""
        before = self.msg("v:", "gettable")
        self.graph("connect v: v300 v300")
        for errno, text in (
            (EINVAL, 'hook="v300" vid=4096'),
            (EINVAL, 'hook="v300" vid=1 pcp=8'),
            (EINVAL, 'hook="v300" vid=1 cfi=2'),
            (EINVAL, 'hook="v300" vid=1 vlan=2'),
            (EINVAL, 'hook="downstream" vid=1'),
            (EINVAL, 'hook="nomatch" vid=1'),
            (ENOENT, 'hook="v400" vid=1'),
            (ENOENT, "vid=1"),
            (EEXIST, 'hook="v100" vid=1'),
            (EEXIST, 'hook="v300" vid=200'),
        ):
            self.assertEqual(errno, self.errno(f"msg v: addfilter {{ {text} }}"), text)
        self.assertEqual(before, self.msg("v:", "gettable"))

    def test_both_names(self) -> None:
        """Vid and vlan may both be given if they agree; VLAN 0 is one, too."""
        self.graph("connect v: v300 v300", "connect v: v0 v0")
        self.msg("v:", 'addfilter { hook="v300" vid=300 vlan=300 }')
        self.msg("v:", 'addfilter { hook="v0" }')
        self.assertEqual({"v300": [frame()]}, self.sent("downstream", frame(300)))
        self.assertEqual({"v0": [frame()]}, self.sent("downstream", frame(0)))

    def test_delete(self) -> None:
        """A filter is deleted by its hook or its VLAN, once."""
        self.msg("v:", 'delfilter "v100"')
        self.assertEqual(ENOENT, self.errno('msg v: delfilter "v100"'))
        self.msg("v:", "delvidflt 200")
        self.assertEqual(ENOENT, self.errno("msg v: delvidflt 200"))
        self.assertEqual("{}", self.msg("v:", "gettable"))
        self.assertEqual({"nomatch": [frame(100)]}, self.sent("downstream", frame(100)))

    def test_rmhook(self) -> None:
        """A filter goes with its hook."""
        self.graph("rmhook v100")
        self.assertEqual(
            '{ n=1 filter=[ { hook="v200" vlan=200 vid=200 } ] }', self.msg("v:", "gettable")
        )
        self.assertEqual({"nomatch": [frame(100)]}, self.sent("downstream", frame(100)))

    def test_options(self) -> None:
        """Options are told as they were set; an unknown protocol is refused."""
        self.assertEqual(
            ["0x0", "0x1", "0x8100"],
            [self.msg("v:", f"get{name}") for name in ("decap", "encap", "encapproto")],
        )
        self.assertEqual(EINVAL, self.errno("msg v: setencapproto 0x800"))
        self.assertEqual("0x8100", self.msg("v:", "getencapproto"))

    def test_config(self) -> None:
        """The configuration is filters and options."""
        self.msg("v:", "setdecap 1")
        self.msg("v:", "setencap 3")
        self.msg("v:", "setencapproto 0x9100")
        self.assertEqual(
            [
                'msg . addfilter { hook="v100" vlan=100 vid=100 pcp=5 cfi=1 }',
                'msg . addfilter { hook="v200" vlan=200 vid=200 }',
                "msg . setdecap 0x1",
                "msg . setencap 0x3",
                "msg . setencapproto 0x9100",
            ],
            self.node("v:").config(),
        )
        self.assertEqual(
            'Status for "v:":\nVLANs: 100 to v100, 200 to v200', self.graph("status v:")
        )

    def test_flow_messages(self) -> None:
        """Flow messages from downstream reach all VLAN hooks; others are swallowed."""
        self.net.send_hook(self.local.hooks["downstream"], Message(FLOW, 33))
        self.assertEqual(
            ["v100", "v200"], [hook for hook, message in self.local.messages if message.cmd == 33]
        )
        self.local.forget()
        self.net.send_hook(self.local.hooks["v100"], Message(FLOW, 33))
        self.assertEqual([], self.local.messages)

    def test_flow_messages_refused(self) -> None:
        """A neighbour that does not understand flow messages keeps none from the others."""
        self.local.refuse("rcvmsg", EINVAL, "v100")
        self.net.send_hook(self.local.hooks["downstream"], Message(FLOW, 33))
        self.assertEqual(["v100", "v200"], [hook for hook, _ in self.local.messages])

    def test_pressure(self) -> None:
        """A full sink downstream holds all others, one elsewhere holds downstream."""
        self.local.hooks["downstream"].send_flow(True)
        self.assertEqual(set(HOOKS[1:]), {event[1] for event in self.local.events})
        self.local.hooks["downstream"].send_flow(False)
        self.local.forget()
        self.local.hooks["v100"].send_flow(True)
        self.assertEqual([("rcvflow", "downstream", True)], self.local.events)

    def test_pressure_by_filter(self) -> None:
        """A hook holds downstream, and is held by it, only while a filter leads there."""
        self.local.hooks["v100"].send_flow(True)
        source = self.local.hooks["downstream"]
        self.assertTrue(source.high)
        self.msg("v:", 'delfilter "v100"')
        self.assertFalse(source.high)
        self.msg("v:", SETUP[0])
        self.assertTrue(source.high)
        self.msg("v:", "delvidflt 100")
        self.assertFalse(source.high)
        self.local.hooks["v100"].send_flow(False)
        source.send_flow(True)
        self.assertEqual(
            {"nomatch", "v200"}, {name for name, hook in self.local.hooks.items() if hook.high}
        )

    def test_many(self) -> None:
        """All 4096 VLANs can have hooks, filters and an end, each in its time."""
        self.graph("shutdown v:", "mkpeer vlan downstream downstream", "name downstream v")
        node = self.node("v:")
        assert isinstance(node, Vlan)
        for vid in range(4096):
            connect(self.net, self.local, f"h{vid}", node, f"h{vid}")
        begin = process_time()
        for vid in range(4096):
            node.addfilter(FILTER.parse(f'{{ hook="h{vid}" vid={vid} }}'))
        for data in (frame(vid) for vid in range(0, 4096, 99)):
            self.send("downstream", data)
        self.assertEqual({f"h{vid}": [frame()] for vid in range(0, 4096, 99)}, self.take())
        self.graph("shutdown v:")
        self.assertLess(process_time() - begin, 2)
