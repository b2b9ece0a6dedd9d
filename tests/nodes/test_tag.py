"""tag: netgraph.md §10.13, §12.4 #51."""

from __future__ import annotations

from errno import EINVAL, EIO, ENOENT
from functools import partial
from time import process_time

from hypothesis import given
from hypothesis import strategies as st

from ngksock.netgraph import EOF, Message, Packet, Tag
from ngksock.netgraph.edges import connect
from ngksock.nodes.tag import HOOK_IN, HOOK_OUT, HookIn, TagNode, tag
from ngksock.packet import Record
from ngksock.plugin import find_type
from ngksock.testing import GraphTestCase, check_node_type

HOOKS = ("a", "b", "c")
COOKIE = 77
RULE_IN = (
    'sethookin { thisHook="a" ifMatch="b" ifNotMatch="c" tag_cookie=77 tag_id=5 '
    "tag_len=2 tag_data=[ 1 2 ] }"
)
RULE_OUT = 'sethookout { thisHook="b" tag_cookie=77 tag_id=6 tag_len=1 tag_data=[ 9 ] }'
ADDRESS = (
    'sethookout { thisHook="out" tag_cookie=942710669 tag_id=1 tag_len=20 '
    "tag_data=[ 4=16 2 0x13 0x88 192 168 1 9 ] }"
)
WANTED = Tag(COOKIE, 5, b"\x01\x02\x03")


def packet(*tags: Tag, data: bytes = b"x") -> Packet:
    """Return a packet with these tags."""
    return Packet(data, tags)


class TagTestCase(GraphTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.graph("mkpeer tag a a", "name a t", "connect t: b b", "connect t: c c")
        self.local.forget()
        self.seen: list[tuple[str, list[tuple[int, int, bytes]]]] = []
        for name, hook in self.node(".").hooks.items():
            # The recorder keeps bytes alone; what counts here are the tags.
            peer = hook.peer
            hook.rcvdata = partial(self.record, name)
            peer.link(hook)

    def record(self, name: str, hook: object, got: Packet) -> None:
        """Write down by which hook a packet came, and its tags."""
        self.seen.append((name, [(tag.cookie, tag.type, tag.data) for tag in got.tags]))

    def sent(self, *packets: Packet) -> list[tuple[str, list[tuple[int, int, bytes]]]]:
        """Send packets by hook a, alone and in a batch; return where each went, with its tags."""
        for one in packets:
            self.send("a", one)
        alone, self.seen = self.seen, []
        self.send_batch("a", packets)
        batched, self.seen = self.seen, []
        self.assertEqual(sorted(alone), sorted(batched))
        return alone


class TypeTests(GraphTestCase):
    def test_conforms(self) -> None:
        """A tag node keeps the promises of all types, with rules and without."""
        check_node_type(tag)
        back = 'sethookin { thisHook="b" ifMatch="c" ifNotMatch="a" strip=1 tag_id=6 }'
        check_node_type(tag, hooks=HOOKS, setup=(RULE_IN, RULE_OUT, back), examples=20)

    def test_found(self) -> None:
        """Its name finds it; cookie and numbers are FreeBSD's."""
        self.assertIs(tag, find_type("tag"))
        self.assertEqual(1149771193, tag.cookie)
        self.assertEqual(
            [(1, "sethookin"), (2, "gethookin"), (3, "sethookout"), (4, "gethookout")],
            [(row.cmd, row.name) for row in tag.commands.all],
        )

    def test_layouts(self) -> None:
        """Rules are 108 and 40 bytes, and the tag's data."""
        name = b"a".ljust(32, b"\0")
        text = RULE_IN.partition(" ")[2]
        data = HOOK_IN.pack(HOOK_IN.parse(text))
        expected = name + b"b".ljust(32, b"\0") + b"c".ljust(32, b"\0")
        expected += bytes.fromhex("00000000 4d000000 0500 0200 0102")
        self.assertEqual(expected, data)
        data = HOOK_OUT.pack(HOOK_OUT.parse(ADDRESS.partition(" ")[2]))
        self.assertEqual(60, len(data))
        self.assertEqual("000000001002" + "1388c0a80109" + "00" * 8, data[40:].hex())

    @given(st.binary(max_size=40), st.integers(0, (1 << 32) - 1), st.integers(0, 65535))
    def test_any_rule(self, data: bytes, cookie: int, number: int) -> None:
        """Any rule survives both forms; bytes behind its data are ignored."""
        rule = HOOK_IN.parse('{ thisHook="a" }')
        rule.tag_cookie, rule.tag_id, rule.tag_len, rule.tag_data = cookie, number, len(data), data
        self.assertEqual(rule, HOOK_IN.unpack(HOOK_IN.pack(rule) + b"more"))
        self.assertEqual(rule, HOOK_IN.parse(HOOK_IN.unparse(rule)))


class PacketTests(TagTestCase):
    def test_new(self) -> None:
        """A new hook drops what comes in by it; that is no error and no loss."""
        self.assertEqual([], self.sent(packet(), packet(WANTED)))
        self.assertEqual({}, self.local.hooks["a"].drops)

    def test_match(self) -> None:
        """Cookie, id and the beginning of the data decide."""
        self.msg("t:", RULE_IN)
        for cookie, number, data, way in (
            (77, 5, b"\x01\x02", "b"),
            (77, 5, b"\x01\x02\x03", "b"),
            (77, 5, b"\x01", "c"),
            (77, 5, b"\x02\x01", "c"),
            (77, 6, b"\x01\x02", "c"),
            (78, 5, b"\x01\x02", "c"),
        ):
            tags = [(cookie, number, data)]
            self.assertEqual([(way, tags)], self.sent(packet(Tag(cookie, number, data))))
        self.assertEqual([("c", [])], self.sent(packet()))

    def test_first_match(self) -> None:
        """The first tag that matches is the one, whatever is before it; strip takes only it."""
        self.msg("t:", RULE_IN.replace("tag_cookie", "strip=1 tag_cookie"))
        other, again = Tag(77, 5, b"\x09"), Tag(77, 5, b"\x01\x02")
        self.assertEqual(
            [("b", [(77, 5, b"\x09"), (77, 5, b"\x01\x02")])],
            self.sent(packet(other, WANTED, again)),
        )

    def test_half_zero(self) -> None:
        """A rule is off only if cookie and id are both 0."""
        self.msg("t:", 'sethookin { thisHook="a" ifMatch="b" ifNotMatch="c" tag_id=5 }')
        self.assertEqual([("b", [(0, 5, b"")])], self.sent(packet(Tag(0, 5, b""))))
        self.msg("t:", 'sethookin { thisHook="a" ifMatch="b" ifNotMatch="c" tag_cookie=5 }')
        self.assertEqual([("b", [(5, 0, b"")])], self.sent(packet(Tag(5, 0, b""))))
        self.msg("t:", 'sethookin { thisHook="a" ifMatch="b" ifNotMatch="c" }')
        self.assertEqual([("c", [(0, 0, b"")])], self.sent(packet(Tag(0, 0, b""))))

    def test_mark(self) -> None:
        """What goes out gets its tag in front of those it has, not instead."""
        self.msg("t:", RULE_IN)
        self.msg("t:", RULE_OUT)
        self.assertEqual(
            [("b", [(77, 6, b"\x09"), (77, 5, b"\x01\x02\x03")])], self.sent(packet(WANTED))
        )
        self.assertEqual([("c", [])], self.sent(packet()))

    def test_later(self) -> None:
        """Destinations may be connected later, and anew."""
        self.msg("t:", 'sethookin { thisHook="a" ifNotMatch="z" }')
        self.assertEqual([], self.sent(packet()))
        self.graph("connect t: z z")
        self.send("a", packet())
        self.assertEqual({"z": [b"x"]}, self.take())
        self.graph("rmhook z")
        self.send("a", packet())
        self.assertEqual({}, self.take())
        self.graph("connect t: z z")
        self.send_batch("a", [packet()])
        self.assertEqual({"z": [b"x"]}, self.take())

    def test_shared(self) -> None:
        """The packet that came is not changed; what leaves is of its kind."""
        self.msg("t:", RULE_IN.replace("tag_cookie", "strip=1 tag_cookie"))
        node = self.node("t:")
        assert isinstance(node, TagNode)
        one = Record(b"x", (WANTED,))
        _, done = node.hooks["a"].private.sort(one)
        self.assertEqual(((WANTED,), (), True), (one.tags, done.tags, done.record))

    def test_end(self) -> None:
        """An end-of-file mark goes both ways, once if they are one, without a tag."""
        self.msg("t:", RULE_IN)
        self.msg("t:", RULE_OUT)
        self.assertEqual([("b", []), ("c", [])], self.sent(EOF))
        self.msg("t:", RULE_IN.replace('ifMatch="b"', 'ifMatch="c"'))
        self.assertEqual([("c", [])], self.sent(EOF))

    def test_end_of_idle_rule(self) -> None:
        """A rule that looks for no tag sends nothing to ifMatch, no mark either."""
        self.msg("t:", 'sethookin { thisHook="a" ifMatch="b" ifNotMatch="c" }')
        self.assertEqual([("c", [])], self.sent(EOF))

    def test_pressure(self) -> None:
        """A full sink holds those whose packets may go there."""
        self.msg("t:", RULE_IN)
        for hook in ("b", "c"):
            self.local.hooks[hook].send_flow(True)
            self.assertEqual([("rcvflow", "a", True)], self.local.events)
            self.local.hooks[hook].send_flow(False)
            self.local.forget()
        self.local.hooks["a"].send_flow(True)
        self.assertEqual([], self.local.events)


class RefusalTests(GraphTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.graph("mkpeer tag a a", "name a t", "connect t: b b", "connect t: c c")
        self.local.forget()

    def test_unknown(self) -> None:
        """A hook that does not exist is ENOENT, whichever the message."""
        for text in (
            'sethookin { thisHook="z" }', 'sethookout { thisHook="z" }', "sethookin {}",
            'gethookin "z"', 'gethookout "z"', 'gethookin ""',
        ):  # fmt: skip
            self.assertEqual(ENOENT, self.errno(f"msg t: {text}"), text)

    def test_short(self) -> None:
        """A rule shorter than it says is EINVAL; one with more behind is not."""
        node = self.node("t:")
        data = HOOK_IN.pack(HOOK_IN.parse(RULE_IN.partition(" ")[2]))
        for cut, errno in ((data[:-1], EINVAL), (data[:107], EINVAL), (data + b"..", 0)):
            message = Message(tag.cookie, 1, cut)
            self.assertEqual(
                errno, self.errno(partial(self.net.send, self.local, f"[{node.id:x}]:", message))
            )

    def test_told(self) -> None:
        """Rules are told as they were set; those of a new hook are zeros."""
        self.msg("t:", RULE_IN)
        self.msg("t:", RULE_OUT)
        self.assertEqual(
            '{ thisHook="a" ifMatch="b" ifNotMatch="c" tag_cookie=77 tag_id=5 tag_len=2 '
            "tag_data=[ 0x1 0x2 ] }",
            self.msg("t:", 'gethookin "a"'),
        )
        self.assertEqual(
            '{ thisHook="b" tag_cookie=77 tag_id=6 tag_len=1 tag_data=[ 0x9 ] }',
            self.msg("t:", 'gethookout "b"'),
        )
        self.assertEqual('{ thisHook="b" }', self.msg("t:", 'gethookin "b"'))
        self.assertEqual('{ thisHook="a" }', self.msg("t:", 'gethookout "a"'))
        self.assertEqual(
            'Status for "t:":\n3 hooks: 1 look for tags, 1 put tags on', self.graph("status t:")
        )

    def test_forgotten(self) -> None:
        """The rules of a hook go with it."""
        self.msg("t:", RULE_IN)
        self.msg("t:", RULE_OUT)
        self.graph("rmhook a", "rmhook b", "connect t: a a", "connect t: b b")
        self.assertEqual([], self.node("t:").config())

    def test_lost(self) -> None:
        """The sender learns what the far node answered."""
        self.msg("t:", RULE_IN)
        self.local.refuse("rcvdata", EIO, "c")
        self.assertEqual(EIO, self.errno(lambda: self.send("a", b"x")))

    def test_many(self) -> None:
        """Thousands of hooks can be connected, ruled and removed, each in its time."""
        node = self.node("t:")
        assert isinstance(node, TagNode)
        begin = process_time()
        for number in range(4000):
            connect(self.net, self.local, f"h{number}", node, f"h{number}")
        for number in range(4000):
            node.sethookin(HookIn(f"h{number}", "a", f"h{(number + 1) % 4000}"))
        self.send("h7", b"x")
        self.graph("rmhook h8")
        self.send("h7", b"y")
        self.graph("connect t: h8 h8")
        self.send("h7", b"z")
        self.assertEqual({"h8": [b"x", b"z"]}, self.received)
        self.graph("shutdown t:")
        self.assertLess(process_time() - begin, 1.5)
