"""pipe: netgraph.md §10.8; its messages, its life, and what passes when."""

from __future__ import annotations

import struct
from errno import EINVAL, EIO, ENETDOWN, ENOENT
from functools import partial
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ngksock.netgraph import EOF, Batch, Hook, Message, Packet
from ngksock.netgraph.layout import ParseType
from ngksock.nodes.pipe import pipe
from ngksock.nodes.pipe.layouts import ALL, ALL64, CONFIG, RUN, STATS, Config, WayConfig
from ngksock.packet import Piece, Record
from ngksock.plugin import find_type
from ngksock.testing import GraphTestCase, RecordingNode, check_node_type

FLOW, UP, DOWN = 851672669, 32, 33
OWN = 1750000304


class PipeTestCase(GraphTestCase):
    def pipe(self, *config: str) -> None:
        """Make a pipe between the test's hooks ``upper`` and ``lower``, and configure it."""
        self.graph("mkpeer pipe upper upper", "name upper p", "connect p: lower lower")
        for text in config:
            self.tell(text)
        self.local.forget()

    def tell(self, text: str) -> None:
        """Send the pipe a message that has no answer."""
        self.assertIsNone(self.msg("p:", text))

    def cfg(self, text: str) -> str | None:
        """Change the configuration, and return what it is then."""
        self.tell(f"setcfg {{ {text} }}")
        return self.msg("p:", "getcfg")


FRESH = "queuelen=50 fifo=1 droptail=1"


def both(front: str, downstream: str = FRESH, upstream: str = FRESH) -> str:
    """Return a configuration as getcfg tells it."""
    parts = [front, f"downstream={{ {downstream} }}", f"upstream={{ {upstream} }}"]
    return f"{{ {' '.join(filter(None, parts))} }}"


class TypeTests(PipeTestCase):
    def test_conforms(self) -> None:
        """It keeps the promises of all types, however it is configured."""
        for setup in (
            (),
            ("setcfg { delay=50000 }",),
            ("setcfg { bandwidth=10000 downstream={ queuelen=5 duplicate=30 } "
             "upstream={ drr=1 queuelen=5 } }", "setseed 5"),
            ("setcfg { downstream={ wfq=1 BER=1000 bandwidth=100 queuelen=5 drophead=1 } "
             "upstream={ BER=1 } }", "setloss { downstream=100000 }", "setseed 7"),
            ("setcfg { delay=4000 upstream={ delaylen=5 queuelen=-1 } }", "setseed -3",
             "setloss { downstream=300000 upstream=1000000 }"),
        ):  # fmt: skip
            check_node_type(pipe, setup=setup, seconds=30, examples=15)

    def test_found(self) -> None:
        """Its name finds it, and its cookie is FreeBSD's."""
        self.assertIs(pipe, find_type("pipe"))
        self.assertEqual(200708191, pipe.cookie)

    def test_rows(self) -> None:
        """Its messages have FreeBSD's numbers and sizes; those added a cookie of their own."""
        rows = [
            (row.cookie, row.cmd, row.name, row.arg and row.arg.size, row.resp and row.resp.size)
            for row in pipe.commands.all
        ]
        self.assertEqual(
            [
                (200708191, 1, "getstats", None, 96),
                (200708191, 2, "clrstats", None, None),
                (200708191, 3, "getclrstats", None, 96),
                (200708191, 4, "getrun", None, 40),
                (200708191, 5, "getcfg", None, 120),
                (200708191, 6, "setcfg", 120, None),
                (OWN, 1, "setloss", 8, None),
                (OWN, 2, "getloss", None, 8),
                (OWN, 3, "setseed", 8, None),
            ],
            rows,
        )

    def test_layouts(self) -> None:
        """Every field stands where FreeBSD has it."""
        text = "{ downstream={ bandwidth=20000000 fifo=1 } }"
        expected = struct.pack("<QQII", 0, 0, 0, 0)
        expected += struct.pack("<QQ8I", 20000000, 0, 0, 0, 0, 1, 0, 0, 0, 0) + bytes(48)
        self.assertEqual(expected, CONFIG.pack(CONFIG.parse(text)))
        self.assertEqual(text, CONFIG.unparse(CONFIG.unpack(expected)))
        layouts: tuple[tuple[ParseType[Any], bytes, str], ...] = (
            (
                CONFIG,
                struct.pack("<QQIIQQ8IQQ8I", *range(1, 25)),
                "{ bandwidth=1 delay=2 header_offset=3 overhead=4 downstream={ bandwidth=5 BER=6 "
                "queuelen=7 delaylen=8 duplicate=9 fifo=10 drr=11 wfq=12 droptail=13 drophead=14 } "
                "upstream={ bandwidth=15 BER=16 queuelen=17 delaylen=18 duplicate=19 fifo=20 "
                "drr=21 wfq=22 droptail=23 drophead=24 } }",
            ),
            (
                STATS,
                struct.pack("<12Q", *range(1, 13)),
                "{ downstream={ FwdOctets=1 FwdFrames=2 queueDropOctets=3 queueDropFrames=4 "
                "delayDropOctets=5 delayDropFrames=6 } upstream={ FwdOctets=7 FwdFrames=8 "
                "queueDropOctets=9 queueDropFrames=10 delayDropOctets=11 delayDropFrames=12 } }",
            ),
            (
                RUN,
                struct.pack("<10I", *range(1, 11)),
                "{ downstream={ queues=1 queuedOctets=2 queuedFrames=3 delayedOctets=4 "
                "delayedFrames=5 } upstream={ queues=6 queuedOctets=7 queuedFrames=8 "
                "delayedOctets=9 delayedFrames=10 } }",
            ),
        )
        for layout, data, text in layouts:
            self.assertEqual(text, layout.unparse(layout.unpack(data)))
            self.assertEqual(data, layout.pack(layout.parse(text)))

    def test_length(self) -> None:
        """A configuration that has not exactly 120 bytes is EINVAL."""
        self.pipe()
        for size in (0, 24, 119, 121):
            message = Message(pipe.cookie, 6, bytes(size))
            send = partial(self.net.send, self.local, "p:", message)
            self.assertEqual(EINVAL, self.errno(send))

    def test_hooks(self) -> None:
        """Its hooks are upper and lower."""
        self.pipe()
        for name in ("left", "upper2", "Upper"):
            self.assertEqual(EINVAL, self.errno(f"connect p: x {name}"), name)


class ConfigTests(PipeTestCase):
    def test_fresh(self) -> None:
        """A direction begins with a queue of 50, first in first out, that drops the last."""
        self.pipe()
        self.assertEqual(both(""), self.msg("p:", "getcfg"))
        self.assertEqual([], self.node("p:").config())

    def test_unchanged(self) -> None:
        """0, or nothing, leaves everything as it is."""
        self.pipe("setcfg { delay=7 header_offset=14 upstream={ drr=1 drophead=1 BER=9 } }")
        before = self.msg("p:", "getcfg")
        self.assertEqual(before, self.cfg(""))
        self.assertEqual(before, self.cfg("delay=0 upstream={ BER=0 fifo=0 droptail=0 }"))

    def test_reset(self) -> None:
        """-1 resets a value to 0."""
        names = "delay=-1 header_offset=-1 overhead=-1"
        way = "{ BER=-1 queuelen=-1 delaylen=-1 duplicate=-1 }"
        self.pipe(
            "setcfg { delay=7 header_offset=14 overhead=3 upstream={ BER=9 delaylen=9 duplicate=9 "
            "} }"
        )
        way0 = "fifo=1 droptail=1"
        self.assertEqual(both("", way0, way0), self.cfg(f"{names} downstream={way} upstream={way}"))

    def test_ranges(self) -> None:
        """What is out of range changes nothing, silently; its neighbours take effect."""
        self.pipe()
        for name, least, most in (
            ("delay", 1, 9_999_999), ("overhead", 1, 255), ("header_offset", 1, 63)
        ):  # fmt: skip
            for value in (least, most):
                self.assertIn(f"{name}={value} ", self.cfg(f"{name}={value}") or "")
            self.assertIn(f"{name}={most} ", self.cfg(f"{name}={most + 1}") or "")
        for name, least, most in (
            ("bandwidth", 100, 10**9), ("BER", 1, 10**12), ("queuelen", 5, ALL - 1),
            ("delaylen", 5, ALL - 1), ("duplicate", 1, 50),
        ):  # fmt: skip
            for value in (least, most):
                self.assertIn(f" {name}={value} ", self.cfg(f"upstream={{ {name}={value} }}") or "")
            beyond = {least - 1, most + 1}
            for value in beyond - {ALL}:
                self.assertIn(
                    f" {name}={most} ", self.cfg(f"upstream={{ {name}={value} }}") or "", name
                )
        self.assertIn("delay=3 ", self.cfg("delay=3 overhead=256") or "")

    def test_all_ones(self) -> None:
        """-1 is all the bits of a field: 32 of them are a number in one of 64."""
        self.pipe("setcfg { bandwidth=1000 delay=7 }")
        self.assertIn(f" BER={ALL} ", self.cfg(f"downstream={{ BER={ALL} }}") or "")
        same = self.cfg("")
        self.assertEqual(same, self.cfg(f"delay={ALL} bandwidth={ALL}"))
        self.assertEqual(same, self.cfg(f"upstream={{ bandwidth={ALL} }}"))

    def test_bandwidth(self) -> None:
        """In front it sets both directions, and the overhead that goes with it."""
        self.pipe()
        self.assertEqual(both("bandwidth=9999999 overhead=10"), self.cfg("bandwidth=9999999"))
        self.assertEqual(both("bandwidth=10000000 overhead=24"), self.cfg("bandwidth=10000000"))
        self.assertEqual(
            both("overhead=24", f"bandwidth=500 {FRESH}", f"bandwidth=10000000 {FRESH}"),
            self.cfg("downstream={ bandwidth=500 }"),
        )
        self.assertEqual(both("bandwidth=500 overhead=24"), self.cfg("upstream={ bandwidth=500 }"))
        self.assertEqual(both("bandwidth=700 overhead=3"), self.cfg("bandwidth=700 overhead=3"))
        self.assertEqual(both("bandwidth=700 overhead=3"), self.cfg("bandwidth=99"))
        self.assertEqual(both(""), self.cfg("bandwidth=-1"))

    def test_bandwidth_cleared(self) -> None:
        """-1 for one direction clears it, and selects fifo there."""
        self.pipe("setcfg { bandwidth=1000 downstream={ wfq=1 } upstream={ wfq=1 } }")
        wfq = "queuelen=50 wfq=1 droptail=1"
        self.assertEqual(
            both("overhead=10", FRESH, f"bandwidth=1000 {wfq}"),
            self.cfg("downstream={ bandwidth=-1 }"),
        )
        self.assertEqual(both("", FRESH, wfq), self.cfg("bandwidth=-1"))

    def test_modes(self) -> None:
        """One discipline at a time: of several wfq goes before fifo, and drr before both."""
        self.pipe()
        for asked, got in (
            ("wfq=1", "wfq=1"), ("fifo=7", "fifo=1"), ("drr=1", "drr=2048"), ("drr=31", "drr=2048"),
            ("drr=32", "drr=32"), ("fifo=1 wfq=9", "wfq=1"), ("fifo=1 wfq=1 drr=99", "drr=99"),
        ):  # fmt: skip
            expected = both("", f"queuelen=50 {got} droptail=1")
            self.assertEqual(expected, self.cfg(f"downstream={{ {asked} }}"), asked)

    def test_drops(self) -> None:
        """The last or the first is dropped; of both the first."""
        self.pipe()
        head = "queuelen=50 fifo=1 drophead=1"
        self.assertEqual(both("", head), self.cfg("downstream={ drophead=2 }"))
        self.assertEqual(both(""), self.cfg("downstream={ droptail=1 }"))
        self.assertEqual(both("", head), self.cfg("downstream={ droptail=1 drophead=1 }"))

    def test_connected_anew(self) -> None:
        """A direction begins anew when the hook it enters by is connected; the rest stays."""
        self.pipe("setcfg { delay=7 bandwidth=1000 }", "setloss { downstream=5 upstream=6 }")
        self.send("upper", b"x")
        self.graph("rmhook upper", "connect p: upper upper")
        self.assertEqual(
            both("delay=7 overhead=10", FRESH, f"bandwidth=1000 {FRESH}"), self.msg("p:", "getcfg")
        )
        self.assertEqual("{ upstream=6 }", self.msg("p:", "getloss"))
        self.assertEqual("{}", self.msg("p:", "getstats"))

    def test_loss(self) -> None:
        """setloss: 0 means unchanged, -1 resets; more than a million is EINVAL, and nothing is."""
        self.pipe("setloss { downstream=100000 upstream=1000000 }")
        self.tell("setloss { downstream=0 }")
        self.assertEqual("{ downstream=100000 upstream=1000000 }", self.msg("p:", "getloss"))
        self.assertEqual(EINVAL, self.errno("msg p: setloss { downstream=1 upstream=1000001 }"))
        self.assertEqual("{ downstream=100000 upstream=1000000 }", self.msg("p:", "getloss"))
        self.tell("setloss { upstream=-1 }")
        self.assertEqual("{ downstream=100000 }", self.msg("p:", "getloss"))

    def test_config(self) -> None:
        """config() tells what differs from a fresh pipe."""
        self.pipe("setcfg { bandwidth=1000 overhead=-1 downstream={ queuelen=-1 drr=9 } }")
        self.tell("setloss { upstream=20 }")
        self.tell("setseed 18446744073709551614")
        self.tell("setseed -2")
        self.assertEqual(
            [
                "msg . setcfg { downstream={ bandwidth=1000 queuelen=4294967295 drr=2048 } "
                "upstream={ bandwidth=1000 } }",
                "msg . setloss { upstream=20 }",
                "msg . setseed -2",
            ],
            self.node("p:").config(),
        )

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["bandwidth", "delay", "overhead", "header_offset"])
                | st.tuples(
                    st.sampled_from(["downstream", "upstream"]),
                    st.sampled_from(list(WayConfig.__dataclass_fields__)),
                ),
                st.sampled_from([0, 1, 4, 5, 30, 50, 51, 63, 64, 100, 10**7, 10**9, ALL, ALL64]),
            ),
            max_size=8,
        )
    )
    def test_round_trip(self, changes) -> None:
        """Whatever was set, config() makes the same configuration."""
        first, second = (Config(0, 0, 0, 0, WayConfig.fresh(), WayConfig.fresh()) for _ in "12")
        for where, value in changes:
            wanted = Config()
            target = wanted
            if isinstance(where, tuple):
                target = getattr(wanted, where[0])
                where = where[1]
            narrow = where not in ("bandwidth", "delay", "ber")
            setattr(target, where, min(value, ALL) if narrow else value)
            first.change(wanted)
        told = Config(0, first.delay, first.header_offset, first.overhead)
        told.downstream, told.upstream = first.downstream.difference(), first.upstream.difference()
        second.change(CONFIG.parse(CONFIG.unparse(told)))
        self.assertEqual(first, second)


class ThroughTests(PipeTestCase):
    def test_through(self) -> None:
        """With nothing configured a packet, and a batch, passes at once and as it is."""
        self.pipe()
        batches: list[Any] = []
        for way, back in (("upper", "lower"), ("lower", "upper")):
            packet, batch = Packet(b"x"), Batch((Packet(b"1"), EOF, Packet(b"")))
            out = self.node("p:").hooks[back]
            self.patch(
                RecordingNode, "rcvbatch", lambda node, hook, batch: batches.append((hook, batch))
            )
            self.local.hooks[way].peer.node.hooks[back].link(out.peer)
            self.local.send(way, packet)
            self.local.hooks[way].send_batch(batch)
            self.assertEqual({back: [b"x"]}, self.take())
            self.assertIs(batch, batches.pop()[1])
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_counted(self) -> None:
        """What passes is counted, by direction; clrstats resets, getclrstats tells before."""
        self.pipe()
        self.send("upper", b"123")
        self.send_batch("lower", [b"1", b"22"])
        stats = "{ downstream={ FwdOctets=3 FwdFrames=1 } upstream={ FwdOctets=3 FwdFrames=2 } }"
        self.assertEqual(stats, self.msg("p:", "getstats"))
        self.assertEqual(stats, self.msg("p:", "getclrstats"))
        self.send("upper", b"")
        self.assertEqual("{ downstream={ FwdFrames=1 } }", self.msg("p:", "getstats"))
        self.tell("clrstats")
        self.assertEqual("{}", self.msg("p:", "getclrstats"))

    def test_failure(self) -> None:
        """A delivery that fails counts as delayDrop; at once the sender learns of it."""
        self.pipe()
        self.local.refuse("rcvdata", EIO, "lower")
        self.assertEqual(EIO, self.errno(lambda: self.send("upper", b"123")))
        self.send_batch("upper", [b"1", b"2"])
        self.tell("setcfg { delay=1000 }")
        self.send("upper", b"4567")
        self.pass_time(1)
        self.assertEqual(
            "{ downstream={ delayDropOctets=9 delayDropFrames=4 } }", self.msg("p:", "getstats")
        )

    def test_bug(self) -> None:
        """A neighbour's bug is a delivery that failed, one by one as in a batch."""
        self.pipe()
        self.local.hooks["lower"].rcvdata = lambda hook, packet: {}[packet]  # type: ignore[index]
        self.local.hooks["lower"].peer.link(self.local.hooks["lower"])
        self.send("upper", b"1")
        self.send_batch("upper", [b"2", b"3"])
        self.assertEqual(
            "{ downstream={ delayDropOctets=3 delayDropFrames=3 } }", self.msg("p:", "getstats")
        )
        self.flush_bugs(KeyError)

    def test_one_sided(self) -> None:
        """Without the other hook a packet is lost (ENETDOWN), and a delayDrop."""
        self.graph("mkpeer pipe upper upper", "name upper p")
        self.assertEqual(ENETDOWN, self.errno(lambda: self.send("upper", b"12")))
        self.send_batch("upper", [b"3", b"4"])
        self.assertEqual({ENETDOWN: 3}, self.local.hooks["upper"].drops)
        self.assertEqual(
            "{ downstream={ delayDropOctets=4 delayDropFrames=3 } }", self.msg("p:", "getstats")
        )


class EndTests(PipeTestCase):
    def test_last_hook(self) -> None:
        """It ends with its last hook, whatever waits in it."""
        self.pipe("setcfg { delay=1000000 bandwidth=1000 }")
        for hook in ("upper", "lower"):
            self.send_batch(hook, [b"x" * 100] * 20)
        self.graph("rmhook upper", "show p:", "rmhook lower")
        self.assertEqual(ENOENT, self.errno("show p:"))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_shutdown(self) -> None:
        """shutdown joins the neighbours, and what had not arrived is lost."""
        self.pipe("setcfg { delay=1000000 }")
        self.send("upper", b"lost")
        self.graph("shutdown p:")
        self.send("upper", b"x")
        self.send("lower", b"y")
        self.assertEqual({"lower": [b"x"], "upper": [b"y"]}, self.received)
        self.assertEqual([], [event for event in self.local.events if event[0] == "disconnect"])

    def test_shutdown_stream(self) -> None:
        """shutdown sends on what is left of a stream first, in order."""
        self.pipe("setcfg { delay=1000000 bandwidth=1000 }")
        self.send_batch("upper", [Piece(b"1"), Record(b"2"), Piece(b"3"), EOF])
        self.graph("shutdown p:")
        self.send("upper", b"4")
        self.assertEqual({"lower": [b"1", b"3", EOF, b"4"]}, self.received)

    def test_source_gone(self) -> None:
        """A hook that is removed takes along what entered by it, but for a stream's rest."""
        self.pipe("setcfg { delay=1000000 bandwidth=1000 }")
        self.send_batch("upper", [b"1", Piece(b"2"), Record(b"3"), EOF])
        self.send("lower", b"4")
        self.graph("rmhook upper")
        self.pass_time(5)
        self.assertEqual({"lower": [b"2", EOF]}, self.received)
        self.assertIn("delayDropFrames=1", self.msg("p:", "getstats") or "")

    def test_within_delivery(self) -> None:
        """A neighbour may end the pipe from within a delivery by its timer."""
        self.pipe("setcfg { delay=1000 }")

        def end(hook: Hook, batch: Batch) -> None:
            self.net.rmnode(hook.peer.node)

        self.send_batch("upper", [b"1", b"2"])
        self.send("upper", b"3")
        self.patch(RecordingNode, "rcvbatch", lambda node, hook, batch: end(hook, batch))
        self.local.hooks["upper"].peer.node.hooks["lower"].link(self.local.hooks["lower"])
        self.pass_time(1)
        self.assertEqual(ENOENT, self.errno("show p:"))

    def test_status(self) -> None:
        """The status tells what passed, what was lost, and what is in it."""
        self.pipe("setcfg { bandwidth=8000 overhead=-1 delay=500000 upstream={ BER=1 } }")
        self.send_batch("upper", [b"x" * 500] * 4)
        self.send("lower", b"x")
        self.pass_time(1.1)
        self.assertEqual(
            'Status for "p:":\n'
            "downstream: 1 packets passed, 1 waiting, 2 under way\n"
            "upstream: 0 packets passed, 1 lost; link down",
            self.graph("status p:"),
        )
