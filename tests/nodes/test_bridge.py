"""bridge: netgraph.md §10.11."""

from __future__ import annotations

import struct
from errno import EINVAL, ELOOP, ENOENT, ENOTCONN, EOPNOTSUPP
from functools import partial

from ngksock.netgraph import Message
from ngksock.netgraph.layout import ETHER
from ngksock.nodes.bridge import bridge
from ngksock.nodes.bridge import layouts as of
from ngksock.nodes.bridge.node import PAGE
from ngksock.plugin import find_type
from ngksock.testing import check_node_type
from tests.nodes.bridges import ALL, GROUP, HOST, LINKS, A, B, BridgeTestCase, C, D, frame

OWN = 1750000302


class TypeTests(BridgeTestCase):
    def test_conforms(self) -> None:
        """It keeps the promises of all types, classic and private, persistent or not."""
        check_node_type(bridge, examples=30)
        hooks = ("uplink1", "uplink2", "link0", "link10")
        odd = "setconfig { debugLevel=255 maxStaleness=7 }"
        check_node_type(bridge, hooks=hooks, setup=[odd], examples=20)
        for setup in (["setpersistent"], ["setprivate 0"], ["setprivate 1", "reset"]):
            check_node_type(bridge, hooks=hooks[2:], setup=setup, examples=10)

    def test_found(self) -> None:
        """Its name finds it, and its cookie is FreeBSD's."""
        self.assertIs(bridge, find_type("bridge"))
        self.assertEqual(1569321993, bridge.cookie)

    def test_rows(self) -> None:
        """Its messages have FreeBSD's numbers and sizes; what is ours has our cookie."""
        rows = [
            (row.cookie, row.cmd, row.name, row.arg and row.arg.size, row.resp and row.resp.size)
            for row in bridge.commands.all
        ]
        ours = bridge.cookie
        self.assertEqual(
            {
                (ours, 1, "setconfig", 16, None),
                (ours, 2, "getconfig", None, 16),
                (ours, 3, "reset", None, None),
                (ours, 4, "getstats", 4, 112),
                (ours, 5, "clrstats", 4, None),
                (ours, 6, "getclrstats", 4, 112),
                (ours, 7, "gettable", None, None),
                (ours, 8, "setpersistent", None, None),
                (ours, 9, "movehost", None, None),  # at least 38
                (OWN, 1, "gettablepage", 12, None),
                (OWN, 2, "clrpersistent", None, None),
                (OWN, 3, "setprivate", 1, None),
            },
            set(rows),
        )

    def test_forms(self) -> None:
        """The examples of the spec become their bytes, and these the same text."""
        config = "{ debugLevel=1 loopTimeout=60 maxStaleness=900 minStableAge=1 }"
        packed = struct.pack("=B3xIII", 1, 60, 900, 1)
        self.assertEqual(packed, of.CONFIG.pack(of.CONFIG.parse(config)))
        self.assertEqual(config, of.CONFIG.unparse(of.CONFIG.unpack(packed)))
        entry = struct.pack("=6s32sHH", bytes.fromhex("020406000001"), b"link0", 12, 3)
        packed = struct.pack("=I", 1) + entry
        self.assertEqual(46, len(packed))
        self.assertEqual(packed, of.TABLE.pack(of.TABLE.parse(HOST)))
        self.assertEqual(HOST, of.TABLE.unparse(of.TABLE.unpack(packed)))
        move = '{ addr=02:04:06:00:00:01 hook="link1" }'
        packed = struct.pack("=6s32s", bytes.fromhex("020406000001"), b"link1")
        self.assertEqual(packed, of.MOVE.pack(of.MOVE.parse(move)))
        self.assertEqual(move, of.MOVE.unparse(of.MOVE.unpack(packed + b"more")))
        names = (
            *("recvOctets", "recvPackets", "recvMulticast", "recvBroadcast", "recvUnknown"),
            *("recvRunts", "recvInvalid", "xmitOctets", "xmitPackets", "xmitMulticasts"),
            *("xmitBroadcasts", "loopDrops", "loopDetects", "memoryFailures"),
        )
        text = " ".join(f"{name}={at}" for at, name in enumerate(names, 1))
        packed = struct.pack("=14Q", *range(1, 15))
        self.assertEqual(f"{{ {text} }}", of.STATS.unparse(of.STATS.unpack(packed)))

    def test_hooks(self) -> None:
        """Hooks are link0... and uplink1..., in canonical decimal; others are EINVAL."""
        self.bridge("link0", "link10", "link2147483647", "uplink1", "uplink2147483647")
        for name in (
            "uplink0", "uplink01", "link00", "link01", "link+1", "link-1", "link", "uplink",
            "link2147483648", "link99999999999999999999", "link1x", "Link1", "xlink1", "link\u00b2",
        ):  # fmt: skip
            self.assertEqual(EINVAL, self.errno(f"connect b: x {name}"), name)
        self.assertEqual(EINVAL, self.errno("mkpeer bridge x uplink0"))

    def test_itself(self) -> None:
        """A link of a bridge to itself is ELOOP, and nothing is left of it."""
        self.bridge("link0")
        self.assertEqual(ELOOP, self.errno("connect b: b: link1 link2"))
        self.assertEqual(["link0"], list(self.node("b:").hooks))
        self.assertEqual(set(), self.heard("link0", frame(ALL, A)))

    def test_status(self) -> None:
        """The status tells links, hosts and mode, and which links are muted."""
        self.bridge("uplink1", "link0", "link1")
        self.send("link0", frame(ALL, A))
        self.assertEqual(ELOOP, self.errno(lambda: self.send("link1", frame(ALL, A))))
        self.assertIsNone(self.msg("b:", "setpersistent"))
        self.assertEqual(
            'Status for "b:":\n2 links, 1 uplinks, 1 hosts, private, persistent; muted: link1',
            self.graph("status b:"),
        )


class ConfigTests(BridgeTestCase):
    def test_default(self) -> None:
        """A new one has FreeBSD's defaults, and nothing to save."""
        self.bridge("link0")
        self.assertEqual(
            "{ debugLevel=1 loopTimeout=60 maxStaleness=900 minStableAge=1 }",
            self.msg("b:", "getconfig"),
        )
        self.assertEqual([], self.node("b:").config())

    def test_replaced(self) -> None:
        """setconfig replaces everything: what is left out becomes 0."""
        self.bridge("link0")
        for text in ("{ loopTimeout=4294967295 }", "{ debugLevel=255 minStableAge=7 }", "{}"):
            self.assertIsNone(self.msg("b:", f"setconfig {text}"))
            self.assertEqual(text, self.msg("b:", "getconfig"))
            self.assertEqual([f"msg . setconfig {text}"], self.node("b:").config())

    def test_out_of_range(self) -> None:
        """Values that do not fit, and structures not of 16 bytes, are EINVAL and change nothing."""
        self.bridge("link0")
        for text in ("debugLevel=256", "loopTimeout=4294967296", "minStableAge=x"):
            self.assertEqual(EINVAL, self.errno(f"msg b: setconfig {{ {text} }}"), text)
        self.assertEqual(ENOENT, self.errno("msg b: setconfig { maxAge=1 }"))
        self.assertEqual(EINVAL, self.errno("msg b: setprivate 2"))
        for size in (0, 15, 17):
            message = Message(bridge.cookie, 1, bytes(size))
            self.assertEqual(EINVAL, self.errno(partial(self.net.send, self.local, "b:", message)))
        self.assertEqual([], self.node("b:").config())

    def test_saved(self) -> None:
        """What config tells makes the state again, in whatever order hooks are made."""
        self.bridge("uplink1", "link0")
        self.assertEqual(["msg . setprivate 1"], self.node("b:").config())
        self.assertIsNone(self.msg("b:", "setprivate 0"))
        self.assertIsNone(self.msg("b:", "setpersistent"))
        self.assertIsNone(self.msg("b:", "setconfig { maxStaleness=7 }"))
        lines = [
            "msg . setconfig { maxStaleness=7 }",
            "msg . setpersistent",
            "msg . setprivate 0",
        ]
        self.assertEqual(lines, self.node("b:").config())
        self.graph("mkpeer bridge x link0", "name x other", "connect other: y uplink1")
        self.graph(*lines, here="other:")
        self.assertEqual(lines, self.node("other:").config())

    def test_mode(self) -> None:
        """setprivate 1 makes a bridge private that was not, setprivate 0 the reverse."""
        self.bridge(*LINKS, "uplink1")
        self.assertEqual({"link1", "link2", "uplink1"}, self.heard("link0", frame(D, A)))
        self.assertIsNone(self.msg("b:", "setprivate 1"))
        self.assertEqual({"uplink1"}, self.heard("link0", frame(D, A)))
        self.assertIsNone(self.msg("b:", "setprivate 0"))
        self.assertEqual({"link1", "link2", "uplink1"}, self.heard("link0", frame(D, A)))


class StatsTests(BridgeTestCase):
    def test_counted(self) -> None:
        """Frames and bytes are counted where they come in, by kind, and where they go out."""
        self.bridge(*LINKS)
        self.send("link0", frame(D, A))
        self.send("link0", frame(ALL, A, "x"))
        self.send_batch("link0", [frame(GROUP, A), frame(GROUP, A, "y"), frame(C, A)])
        self.send("link1", frame(A, B))
        self.assertEqual(
            "{ recvOctets=72 recvPackets=5 recvMulticast=2 recvBroadcast=1 recvUnknown=2"
            " xmitOctets=14 xmitPackets=1 }",
            self.stats(0),
        )
        sent = "xmitOctets=72 xmitPackets=5 xmitMulticasts=2 xmitBroadcasts=1"
        self.assertEqual(f"{{ recvOctets=14 recvPackets=1 {sent} }}", self.stats(1))
        self.assertEqual(f"{{ {sent} }}", self.stats(2))

    def test_clear(self) -> None:
        """clrstats resets one link; getclrstats tells first."""
        self.bridge("uplink7", "link3")
        self.send("uplink7", frame(ALL, A))
        self.assertEqual("{ recvOctets=14 recvPackets=1 recvBroadcast=1 }", self.stats(-7))
        self.assertIsNone(self.msg("b:", "clrstats -7"))
        self.assertEqual("{}", self.stats(-7))
        told = "{ xmitOctets=14 xmitPackets=1 xmitBroadcasts=1 }"
        self.assertEqual(told, self.msg("b:", "getclrstats 3"))
        self.assertEqual("{}", self.stats(3))

    def test_missing(self) -> None:
        """A link that is not connected is ENOTCONN, whatever its number."""
        self.bridge("link0", "uplink1")
        for name in ("getstats", "clrstats", "getclrstats"):
            for number in (1, -2, 2147483647, -2147483648):
                self.assertEqual(ENOTCONN, self.errno(f"msg b: {name} {number}"), number)


class HostMessageTests(BridgeTestCase):
    def test_movehost(self) -> None:
        """movehost puts a host, known or not, on a link: at once, and that is no loop."""
        self.bridge(*LINKS)
        self.send("link0", frame(ALL, A))
        self.assertIsNone(self.msg("b:", f'movehost {{ addr={A} hook="link1" }}'))
        self.assertIsNone(self.msg("b:", f'movehost {{ addr={B} hook="link1" }}'))
        self.assertEqual({A: "link1", B: "link1"}, self.hosts())
        self.take()
        self.assertEqual({"link1"}, self.heard("link2", frame(A, C)))
        self.graph("rmhook link1")
        self.assertEqual({C: "link2"}, self.hosts())

    def test_movehost_here(self) -> None:
        """Without a hook it is the one by which the message came; without that ENOENT."""
        self.bridge(*LINKS)
        self.assertIsNone(self.msg("link2", f"movehost {{ addr={A} }}"))
        self.assertEqual({A: "link2"}, self.hosts())
        self.assertEqual(ENOENT, self.errno(f"msg b: movehost {{ addr={B} }}"))

    def test_movehost_again(self) -> None:
        """A host that is there already counts as heard, and keeps its age."""
        self.bridge(*LINKS)
        self.send("link0", frame(ALL, A))
        self.pass_time(12)
        self.graph(f'msg b: movehost {{ addr={A} hook="link0" }}')
        self.assertIn('hook="link0" age=12 }', self.msg("b:", "gettable") or "")

    def test_movehost_wrong(self) -> None:
        """An unknown hook is ENOENT, a group address EINVAL, none EOPNOTSUPP; 38 bytes at least."""
        self.bridge(*LINKS)
        for text, errno in (
            (f'{{ addr={A} hook="link9" }}', ENOENT),
            (f'{{ addr={GROUP} hook="link1" }}', EINVAL),
            ('{ hook="link1" }', EOPNOTSUPP),
        ):
            self.assertEqual(errno, self.errno(f"msg b: movehost {text}"), text)
        packed = of.MOVE.pack(of.Move(ETHER.parse(A), "link1"))
        short = Message(bridge.cookie, 9, packed[:37])
        self.assertEqual(EINVAL, self.errno(lambda: self.net.send(self.local, "b:", short)))
        self.assertEqual({}, self.hosts())
        self.net.send(self.local, "b:", Message(bridge.cookie, 9, packed + b"more"))
        self.assertEqual({A: "link1"}, self.hosts())

    def test_reset(self) -> None:
        """reset forgets hosts, mutes and counters, and needs no timer any more."""
        self.bridge(*LINKS)
        self.send("link0", frame(ALL, A))
        self.assertEqual(ELOOP, self.errno(lambda: self.send("link1", frame(ALL, A))))
        self.assertIsNone(self.msg("b:", "reset"))
        self.assertEqual(["{}"] * 3, [self.stats(n) for n in range(3)])
        self.assertEqual("{}", self.msg("b:", "gettable"))
        self.assertEqual([], self.clock.getDelayedCalls())
        self.send("link1", frame(ALL, A))
        self.assertEqual({A: "link1"}, self.hosts())


class PageTests(BridgeTestCase):
    def page(self, wanted: str) -> of.Page:
        """Return a page of the table."""
        return of.PAGES.parse(self.msg("b:", f"gettablepage {wanted}") or "")

    def test_page(self) -> None:
        """A page has so many hosts in the order of addresses, and tells where the next starts."""
        self.bridge(*LINKS)
        for link, source in (("link2", C), ("link0", A), ("link1", B)):
            self.send(link, frame(ALL, source))
        self.assertEqual(
            f"{{ total=3 next={C} numHosts=2 hosts=["
            f' {{ addr={A} hook="link0" }} {{ addr={B} hook="link1" }} ] }}',
            self.msg("b:", "gettablepage { count=2 }"),
        )
        self.assertEqual(
            f'{{ total=3 numHosts=1 hosts=[ {{ addr={C} hook="link2" }} ] }}',
            self.msg("b:", f"gettablepage {{ start={C} count=2 }}"),
        )
        self.assertEqual("{ total=3 }", self.msg("b:", f"gettablepage {{ start={D} }}"))
        self.graph("msg b: reset")
        self.assertEqual("{}", self.msg("b:", "gettablepage {}"))

    def test_pages(self) -> None:
        """Page by page comes every host that stays, once, whatever comes and goes meanwhile."""
        self.bridge(*LINKS)
        for number in range(0, 1000, 2):
            self.send("link0", frame(ALL, f"02:00:00:00:{number >> 8:x}:{number & 255:x}"))
        seen, pages, start = [], [], bytes(6)
        while True:
            page = self.page(f"{{ start={ETHER.unparse(start)} }}")
            seen += [host.addr for host in page.hosts]
            pages.append(page.num_hosts)
            start = page.next
            if not any(start):
                break
            self.send("link1", frame(ALL, f"02:00:00:00:00:{2 * len(pages) - 1:x}"))
        self.assertEqual([200, 200, 100], pages)
        self.assertEqual(sorted(set(seen)), seen)
        self.assertEqual(502, page.total)

    def test_zero(self) -> None:
        """The address of zeros is on the first page, and the last page has no next one."""
        self.bridge(*LINKS)
        self.send("link0", frame(ALL, "0:0:0:0:0:0"))
        self.send("link0", frame(ALL, A))
        page = self.page("{ count=1 }")
        self.assertEqual((2, ETHER.parse(A), 1), (page.total, page.next, page.num_hosts))
        self.assertEqual(bytes(6), self.page(f"{{ start={A} count=4294967295 }}").next)

    def test_size(self) -> None:
        """A full page, as text or as bytes, fits the 20480 bytes that a client's buffer has."""
        longest = of.HostInfo(b"\xff" * 6, "uplink2147483647", 65535, 65535)
        page = of.Page(131072, b"\xff" * 6, PAGE, [longest] * PAGE)
        self.assertLess(len(of.PAGES.pack(page)), 20480 - 56)
        self.assertLess(len(of.PAGES.unparse(page)), 20480 - 112)


class EndTests(BridgeTestCase):
    def test_last_hook(self) -> None:
        """It ends with its last hook, and its timer with it."""
        self.bridge("link0", "uplink1")
        self.send("link0", frame(ALL, A))
        self.graph("rmhook link0", "show b:", "rmhook uplink1")
        self.assertEqual(ENOENT, self.errno("show b:"))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_persistent(self) -> None:
        """A persistent one lives without hooks, until clrpersistent or shutdown."""
        self.bridge("link0")
        self.graph("msg b: setpersistent", "rmhook link0", "show b:", "msg b: clrpersistent")
        self.assertEqual(ENOENT, self.errno("show b:"))
        self.bridge("link0")
        self.graph("msg b: setpersistent", "msg b: clrpersistent", "show b:", "rmhook link0")
        self.assertEqual(ENOENT, self.errno("show b:"))

    def test_timer(self) -> None:
        """Shut down while hosts age, it leaves no timer."""
        self.bridge(*LINKS)
        self.send("link0", frame(ALL, A))
        self.assertEqual(1, len(self.clock.getDelayedCalls()))
        self.graph("shutdown b:")
        self.assertEqual([], self.clock.getDelayedCalls())
