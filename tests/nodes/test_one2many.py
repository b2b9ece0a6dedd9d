"""one2many: netgraph.md §10.6."""

from __future__ import annotations

from errno import EINVAL, EIO, ENETDOWN, ENOENT, ENOTCONN, EPERM

from ngksock.netgraph import EOF, Message
from ngksock.nodes.one2many import one2many
from ngksock.plugin import find_type
from ngksock.testing import GraphTestCase, check_node_type
from ngksock.testing.recording import Data

FLOW, UP, DOWN = 851672669, 32, 33
HOOKS = ("one", "many0", "many1", "many2")
ENABLED = "enabledLinks=[ 1 1 1 ]"
ROUND_ROBIN, ALL, FAILOVER = (f"xmitAlg={alg} failAlg=1 {ENABLED}" for alg in (1, 2, 3))


class One2ManyTestCase(GraphTestCase):
    def links(self, *hooks: str) -> None:
        """Make a one2many with hooks to the test's own of the same names."""
        first, *rest = hooks
        self.graph(f"mkpeer one2many {first} {first}", f"name {first} o")
        self.graph(*(f"connect o: {hook} {hook}" for hook in rest))
        self.local.forget()

    def configure(self, config: str) -> None:
        """Set the configuration."""
        self.assertIsNone(self.msg("o:", f"setconfig {{ {config} }}"))

    def sent(self, hook: str, *datas: Data) -> dict[str, list[Data]]:
        """Send *datas* out of a hook one by one, and return who received what."""
        for data in datas:
            self.send(hook, data)
        return self.take()


class TypeTests(One2ManyTestCase):
    def test_conforms(self) -> None:
        """It keeps the promises of all types, whatever its algorithm."""
        for config in (ROUND_ROBIN, ALL, FAILOVER, "xmitAlg=1 failAlg=2"):
            check_node_type(one2many, setup=[f"setconfig {{ {config} }}"], examples=20)

    def test_found(self) -> None:
        """Its name finds it, and its cookie is FreeBSD's."""
        self.assertIs(one2many, find_type("one2many"))
        self.assertEqual(1100897444, one2many.cookie)

    def test_rows(self) -> None:
        """Its messages are numbered from 0; configuration 72 bytes, statistics 40."""
        rows = [
            (row.cmd, row.name, row.arg and row.arg.size, row.resp and row.resp.size)
            for row in one2many.commands.all
        ]
        self.assertEqual(
            [
                (0, "setconfig", 72, None),
                (1, "getconfig", None, 72),
                (2, "getstats", 4, 40),
                (3, "clrstats", 4, None),
                (4, "getclrstats", 4, 40),
            ],
            rows,
        )

    def test_hooks(self) -> None:
        """Its hooks are one, and many0 to many63 in plain decimal; others are EINVAL."""
        self.links("one", "many0", "many63")
        for name in ("many64", "many00", "many01", "many+1", "many-1", "many", "many1x", "two"):
            self.assertEqual(EINVAL, self.errno(f"connect o: x {name}"), name)


class ConfigTests(One2ManyTestCase):
    def test_default(self) -> None:
        """A new one sends round robin over what is connected."""
        self.links("one", "many1")
        self.assertEqual(
            "{ xmitAlg=1 failAlg=1 enabledLinks=[ 1=1 ] }", self.msg("o:", "getconfig")
        )
        self.assertEqual([], self.node("o:").config())

    def test_replaced(self) -> None:
        """setconfig replaces everything: a link that is not listed is switched off."""
        self.links(*HOOKS)
        self.configure("xmitAlg=3 failAlg=1 enabledLinks=[ 1 1 ]")
        self.assertEqual(
            "{ xmitAlg=3 failAlg=1 enabledLinks=[ 1 1 ] }", self.msg("o:", "getconfig")
        )
        self.assertEqual(
            ["msg . setconfig { xmitAlg=3 failAlg=1 enabledLinks=[ 1 1 ] }"],
            self.node("o:").config(),
        )

    def test_invalid(self) -> None:
        """Other algorithms are EINVAL, and change nothing."""
        self.links("one")
        for config in (
            "xmitAlg=0 failAlg=1",
            "xmitAlg=4 failAlg=1",
            "xmitAlg=1",
            "xmitAlg=1 failAlg=3",
        ):
            self.assertEqual(EINVAL, self.errno(f"msg o: setconfig {{ {config} }}"), config)
        self.assertEqual("{ xmitAlg=1 failAlg=1 }", self.msg("o:", "getconfig"))

    def test_nonzero(self) -> None:
        """Any value but 0 enables a link, and reads back as 1."""
        self.links("one")
        self.configure("xmitAlg=1 failAlg=1 enabledLinks=[ 7 0 255 ]")
        self.assertIn("enabledLinks=[ 1 2=1 ]", self.msg("o:", "getconfig") or "")

    def test_length(self) -> None:
        """A configuration that has not exactly 72 bytes is EINVAL."""
        self.links("one")
        for size in (71, 73):
            message = Message(one2many.cookie, 0, bytes((1, 0, 0, 0, 1)).ljust(size, b"\0"))
            with self.assertRaises(OSError) as caught:
                self.net.send(self.local, "o:", message)
            self.assertEqual(EINVAL, caught.exception.errno)

    def test_connecting(self) -> None:
        """Connecting a link enables it, disconnecting disables it."""
        self.links("one", "many0")
        self.configure("xmitAlg=1 failAlg=1")
        self.graph("connect o: many1 many1", "rmhook many0")
        self.assertIn("enabledLinks=[ 1=1 ]", self.msg("o:", "getconfig") or "")
        self.graph("rmhook many1")
        self.assertEqual("{ xmitAlg=1 failAlg=1 }", self.msg("o:", "getconfig"))

    def test_status(self) -> None:
        """The status tells the active links and what is done with them."""
        self.links(*HOOKS)
        for config, words in (
            (ROUND_ROBIN, "round robin over many0, many1, many2"),
            (ALL, "all of many0, many1, many2"),
            (FAILOVER, "the first of many0, many1, many2"),
            ("xmitAlg=1 failAlg=1", "no active links"),
        ):
            self.configure(config)
            self.assertEqual(f'Status for "o:":\n{words}', self.graph("status o:"))


class DataTests(One2ManyTestCase):
    def test_round_robin(self) -> None:
        """Packets go to the active links in turn, in ascending order whenever connected."""
        self.links("one", "many2", "many0", "many1")
        self.assertEqual(
            {"many0": [b"1", b"4"], "many1": [b"2"], "many2": [b"3"]},
            self.sent("one", b"1", b"2", b"3", b"4"),
        )

    def test_round_robin_batch(self) -> None:
        """A batch is dealt packet by packet, and the next one continues."""
        self.links(*HOOKS)
        self.send_batch("one", [b"1", b"2", b"3", b"4"])
        self.send_batch("one", [b"5", b"6"])
        self.assertEqual(
            {"many0": [b"1", b"4"], "many1": [b"2", b"5"], "many2": [b"3", b"6"]}, self.received
        )

    def test_round_robin_changes(self) -> None:
        """When the set changes, the position counts modulo the new number of links."""
        self.links(*HOOKS)
        self.sent("one", b"1", b"2")
        self.graph("rmhook many0")
        self.assertEqual({"many1": [b"3"]}, self.sent("one", b"3"))

    def test_mark(self) -> None:
        """Round robin, an end-of-file mark goes to all active links, and takes no turn."""
        self.links(*HOOKS)
        self.configure("xmitAlg=1 failAlg=1 enabledLinks=[ 1 0 1 ]")
        self.assertEqual(
            {"many0": [b"1", EOF], "many2": [EOF, b"2"]}, self.sent("one", b"1", EOF, b"2")
        )
        self.send_batch("one", [b"1", EOF, b"2", b"3"])
        self.assertEqual({"many0": [b"1", EOF, b"3"], "many2": [EOF, b"2"]}, self.take())

    def test_all(self) -> None:
        """All: every active link gets a packet, the first one last."""
        self.links(*HOOKS)
        self.configure(ALL)
        self.local.forget()
        self.send("one", b"x")
        order = [event[1] for event in self.local.events]
        self.assertEqual(["many1", "many2", "many0"], order)
        self.send_batch("one", [b"y", b"z"])
        self.assertEqual({name: [b"x", b"y", b"z"] for name in HOOKS[1:]}, self.received)

    def test_failover(self) -> None:
        """Failover: only the first active link, the next one when it goes."""
        self.links(*HOOKS)
        self.configure(FAILOVER)
        self.assertEqual({"many0": [b"1", b"2"]}, self.sent("one", b"1", b"2"))
        self.graph("rmhook many0")
        self.send_batch("one", [b"3", b"4"])
        self.assertEqual({"many1": [b"3", b"4"]}, self.received)

    def test_disabled(self) -> None:
        """A disabled link gets nothing, but what it sends goes to one."""
        self.links(*HOOKS)
        self.configure("xmitAlg=2 failAlg=1 enabledLinks=[ 0 1 ]")
        self.assertEqual({"many1": [b"x"]}, self.sent("one", b"x"))
        self.assertEqual({"one": [b"y"]}, self.sent("many0", b"y"))

    def test_no_link(self) -> None:
        """Without an active link what comes from one is lost: ENOTCONN."""
        self.links("one", "many0")
        self.configure("xmitAlg=1 failAlg=1")
        self.assertEqual(ENOTCONN, self.errno(lambda: self.send("one", b"x")))
        self.send_batch("one", [b"y", b"z"])
        self.assertEqual({ENOTCONN: 3}, self.local.hooks["one"].drops)

    def test_no_one(self) -> None:
        """Without one what comes from a link is lost: ENETDOWN, and not counted as sent."""
        self.links("many0")
        self.assertEqual(ENETDOWN, self.errno(lambda: self.send("many0", b"x")))
        self.send_batch("many0", [b"y", b"z"])
        self.assertEqual({ENETDOWN: 3}, self.local.hooks["many0"].drops)
        self.assertEqual("{}", self.msg("o:", "getstats -1"))

    def test_failures(self) -> None:
        """A link that fails does not stop the others; the last error is the sender's."""
        self.links(*HOOKS)
        self.configure(ALL)
        self.local.refuse("rcvdata", EPERM, "many1")
        self.local.refuse("rcvdata", EIO, "many0")
        self.assertEqual(EIO, self.errno(lambda: self.send("one", b"x")))
        self.assertEqual({"many2": [b"x"]}, self.received)
        self.assertEqual({}, self.local.hooks["one"].drops)


class StatsTests(One2ManyTestCase):
    def test_counted(self) -> None:
        """Packets and bytes are counted where they come in and where they go out."""
        self.links("one", "many0")
        self.send("one", b"123")
        self.send_batch("many0", [b"1", b"2"])
        self.assertEqual(
            "{ recvOctets=3 recvPackets=1 xmitOctets=2 xmitPackets=2 }",
            self.msg("o:", "getstats -1"),
        )
        self.assertEqual(
            "{ recvOctets=2 recvPackets=2 xmitOctets=3 xmitPackets=1 }",
            self.msg("o:", "getstats 0"),
        )

    def test_clear(self) -> None:
        """clrstats resets one link; getclrstats tells first."""
        self.links("one", "many0")
        self.send("one", b"123")
        self.assertIsNone(self.msg("o:", "clrstats 0"))
        self.assertEqual("{}", self.msg("o:", "getstats 0"))
        self.assertEqual("{ recvOctets=3 recvPackets=1 }", self.msg("o:", "getclrstats -1"))
        self.send("one", b"4")
        self.assertEqual("{ recvOctets=1 recvPackets=1 }", self.msg("o:", "getclrstats -1"))

    def test_range(self) -> None:
        """A link number out of range is EINVAL; one that is not connected may be read."""
        self.links("one")
        for name in ("getstats", "clrstats", "getclrstats"):
            for link in (-2, 64):
                self.assertEqual(EINVAL, self.errno(f"msg o: {name} {link}"))
        self.assertEqual("{}", self.msg("o:", "getstats 63"))

    def test_anew(self) -> None:
        """Counters outlive their link, until it is connected anew."""
        self.links("one", "many0")
        self.send("many0", b"123")
        self.graph("rmhook many0")
        self.assertEqual("{ recvOctets=3 recvPackets=1 }", self.msg("o:", "getstats 0"))
        self.graph("connect o: many0 many0")
        self.assertEqual("{}", self.msg("o:", "getstats 0"))


class LinkMessageTests(One2ManyTestCase):
    def told(self) -> list[tuple[str | None, int]]:
        """Return who was told which flow message."""
        return [(n, m.cmd) for n, m in self.local.messages if m.cookie == FLOW]

    def flow(self, hook: str, cmd: int) -> None:
        """Send a flow message by *hook*."""
        self.net.send_hook(self.local.hooks[hook], Message(FLOW, cmd))

    def test_by_config(self) -> None:
        """When setconfig leaves no active link, 33 goes out of one; with the first again, 32."""
        self.links(*HOOKS)
        self.configure("xmitAlg=1 failAlg=1")
        self.configure("xmitAlg=3 failAlg=1")
        self.assertEqual([("one", DOWN)], self.told())
        self.configure(ALL)
        self.configure(FAILOVER)
        self.assertEqual([("one", DOWN), ("one", UP)], self.told())

    def test_by_links(self) -> None:
        """The first link that is connected makes 32 go out of one, the last that goes 33."""
        self.links("one")
        self.graph("connect o: many0 many0", "connect o: many1 many1")
        self.assertEqual([("one", UP)], self.told())
        self.graph("rmhook many0", "rmhook many1")
        self.assertEqual([("one", UP), ("one", DOWN)], self.told())

    def test_one_that_does_not_care(self) -> None:
        """That the node at one understands no flow messages is no error."""
        self.links("many0")
        self.graph("mkpeer o: hub one x", "rmhook many0", "show o:")

    def test_at_the_end(self) -> None:
        """Shut down, it tells nobody that its links go."""
        self.links(*HOOKS)
        self.graph("shutdown o:")
        self.assertEqual([], self.told())

    def test_manual(self) -> None:
        """With failAlg 1, 32 and 33 from a link change nothing; no flow message is refused."""
        self.links(*HOOKS)
        for cmd in range(32, 49):
            for hook in HOOKS:
                self.flow(hook, cmd)
        self.net.send(self.local, "o:", Message(FLOW, DOWN))
        self.assertIn("enabledLinks=[ 1 1 1 ]", self.msg("o:", "getconfig") or "")

    def test_notify(self) -> None:
        """With failAlg 2, 33 from a link disables it, and 32 enables it."""
        self.links(*HOOKS)
        self.configure(f"xmitAlg=3 failAlg=2 {ENABLED}")
        self.flow("many0", DOWN)
        self.assertEqual({"many1": [b"x"]}, self.sent("one", b"x"))
        self.flow("many0", UP)
        self.assertEqual({"many0": [b"x"]}, self.sent("one", b"x"))

    def test_notify_others(self) -> None:
        """With failAlg 2, other flow messages, and those from one, change nothing."""
        self.links(*HOOKS)
        self.configure(f"xmitAlg=1 failAlg=2 {ENABLED}")
        self.flow("one", DOWN)
        self.flow("many0", 34)
        self.assertIn("enabledLinks=[ 1 1 1 ]", self.msg("o:", "getconfig") or "")

    def test_notify_last(self) -> None:
        """When the last link says 33, the node at one is told."""
        self.links("one", "many0")
        self.configure("xmitAlg=1 failAlg=2 enabledLinks=[ 1 ]")
        self.flow("many0", DOWN)
        self.assertEqual([("one", DOWN)], self.told())


class BackPressureTests(One2ManyTestCase):
    def held(self, full: str, config: str) -> set[str]:
        """Return the hooks behind which sources are held by a full sink at *full*."""
        self.links(full)
        others = {*HOOKS} - {full}
        self.graph(*(f"mkpeer o: recorder {hook} x" for hook in others))
        self.configure(config)
        far = {hook: self.node(f"o:{hook}").hooks["x"] for hook in others}
        self.local.hooks[full].send_flow(True)
        return {name for name, hook in far.items() if hook.high}

    def test_one(self) -> None:
        """A full sink beyond one holds all links, active or not."""
        self.assertEqual({*HOOKS[1:]}, self.held("one", "xmitAlg=1 failAlg=1"))

    def test_many(self) -> None:
        """A full sink beyond an active link holds one, and no other link."""
        self.assertEqual({"one"}, self.held("many1", ROUND_ROBIN))

    def test_in_reserve(self) -> None:
        """A link that failover holds in reserve holds nobody, until it is used."""
        self.assertEqual(set(), self.held("many1", FAILOVER))
        source = self.node("o:one").hooks["x"]
        self.graph("rmhook o: many0")
        self.assertTrue(source.high)
        self.configure("xmitAlg=3 failAlg=1 enabledLinks=[ 0 0 1 ]")
        self.assertFalse(source.high)


class EndTests(One2ManyTestCase):
    def test_last_hook(self) -> None:
        """It ends with its last hook."""
        self.links("one", "many0")
        self.graph("rmhook one", "show o:", "rmhook many0")
        self.assertEqual(ENOENT, self.errno("show o:"))
