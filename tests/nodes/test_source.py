"""source, its queue, its runs and its messages: netgraph.md §10.10, §12.4 #45."""

from __future__ import annotations

from errno import E2BIG, EBUSY, EINVAL, ENOBUFS, ENOENT, ENOTCONN, ENXIO
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from ngksock.netgraph import EOF, Message, Packet, Tag
from ngksock.nodes.source import Source, source
from ngksock.nodes.source.layouts import COUNTER, EMBED, STATS
from ngksock.packet import Piece, Record
from ngksock.plugin import find_type
from ngksock.testing import GraphTestCase, check_node_type
from tests.nodes.sources import SourceTestCase

MARKS = (
    "settimestamp { flags=3 offset=2 }",
    "setcounter { offset=1 flags=1 width=2 max_val=9 increment=4 }",
    "setcounter { offset=3 flags=3 width=1 max_val=2 increment=-1 index=3 }",
)


class TypeTests(GraphTestCase):
    def test_conforms(self) -> None:
        """A source keeps the promises of all types, stopped and running."""
        check_node_type(source)
        run = ("setpps 1000", 'adddata "some 20 bytes of it"', *MARKS, "start 20")
        check_node_type(source, setup=run, seconds=0.05, examples=20)
        check_node_type(source, setup=("setinterval 5000", "start -1"), seconds=0.001, examples=20)
        check_node_type(source, hooks=("input",), examples=10)

    def test_found(self) -> None:
        """Its name finds it; cookie and numbers are FreeBSD's, those of ours have their own."""
        self.assertIs(source, find_type("source"))
        self.assertEqual(1110646684, source.cookie)
        rows = {row.name: (row.cookie, row.cmd) for row in source.commands.all}
        names = (
            "getstats", "clrstats", "getclrstats", "start", "stop", "clrdata", "setiface",
            "setpps", "settimestamp", "gettimestamp", "setcounter", "getcounter",
        )  # fmt: skip
        expected = {name: (1110646684, number) for number, name in enumerate(names, 1)}
        ours = ("setinterval", "getinterval", "adddata")
        expected.update({name: (1750000301, number) for number, name in enumerate(ours, 1)})
        self.assertEqual(expected, rows)

    def test_sizes(self) -> None:
        """The counters are 96 bytes, embed info 4 and counter info 24."""
        self.assertEqual([96, 4, 24], [kind.size for kind in (STATS, EMBED, COUNTER)])

    def test_stats_bytes(self) -> None:
        """The counters in both forms."""
        text = (
            "{ outOctets=1 outFrames=2 queueOctets=3 queueFrames=4 maxPps=5 "
            "startTime={ tv_sec=6 tv_usec=7 } endTime={ tv_sec=8 } "
            "elapsedTime={ tv_usec=-1 } lastTime={ tv_sec=10 tv_usec=11 } }"
        )
        data = bytes.fromhex(
            "0100000000000000 0200000000000000 03000000 04000000 05000000 00000000"
            "0600000000000000 0700000000000000 0800000000000000 0000000000000000"
            "0000000000000000 ffffffffffffffff 0a00000000000000 0b00000000000000"
        )
        self.assertEqual(data, STATS.pack(STATS.parse(text)))
        self.assertEqual(text, STATS.unparse(STATS.unpack(data)))

    def test_mark_bytes(self) -> None:
        """What is written into packets, in both forms: the time's fields are hexadecimal."""
        text, data = "{ offset=0x102 flags=0x3 }", bytes.fromhex("0201 03 00")
        self.assertEqual(data, EMBED.pack(EMBED.parse(text)))
        self.assertEqual(text, EMBED.unparse(EMBED.unpack(data)))
        text = (
            "{ offset=20 flags=1 width=4 next_val=7 min_val=5 max_val=4294967295 "
            "increment=-2 index=3 }"
        )
        data = bytes.fromhex("1400 01 04 07000000 05000000 ffffffff feffffff 03 000000")
        self.assertEqual(data, COUNTER.pack(COUNTER.parse(text)))
        self.assertEqual(text, COUNTER.unparse(COUNTER.unpack(data)))

    def test_wrong_hook(self) -> None:
        """There are two hooks."""
        self.assertEqual(EINVAL, self.errno("mkpeer source a in"))


class QueueTests(SourceTestCase):
    def test_in_turn(self) -> None:
        """Packets leave in turn, again and again, until the number is reached."""
        self.send("input", b"a")
        self.send_batch("input", [b"bb", b"ccc"])
        self.assertEqual([b"a", b"bb", b"ccc", b"a", b"bb"], self.run_for(5, 1.0))
        self.assertEqual([b"ccc", b"a"], self.run_for(2))
        self.send("input", b"d")
        self.assertEqual([b"bb", b"ccc", b"a", b"d", b"bb"], self.run_for(5))

    def test_shared(self) -> None:
        """Unless something is written into it, the packet itself is sent, tags and all."""
        one, other = Record(b"x", (Tag(1, 2, b"t"),)), Packet(b"yy")
        got = self.packets()
        self.send_batch("input", [one, other])
        self.run_for(3)
        self.assertEqual([one, other, one], got)
        self.assertEqual(3, self.local.hooks["output"].peer.packets)
        self.assertEqual(4, self.local.hooks["output"].peer.bytes)

    def test_marked_copy(self) -> None:
        """Otherwise it is a copy, of the same kind and with the same tags; the queue keeps its."""
        tag = Tag(1, 2, b"t")
        self.msg("s:", "setcounter { flags=1 width=1 max_val=9 increment=1 next_val=5 }")
        self.send_batch("input", [Record(b"x", (tag,))])
        got = self.packets()
        self.run_for(1)
        self.assertEqual((b"\x05", (tag,), True), (got[0].data, got[0].tags, got[0].record))
        self.assertEqual(b"x", self.source.queue[0].data)

    def test_piece(self) -> None:
        """A piece of a stream is sent as a plain packet: again and again, it is none any more."""
        self.send("input", Piece(b"part"))
        self.assertEqual((False, b"part"), (self.source.queue[0].stream, self.source.queue[0].data))

    def test_full(self) -> None:
        """The queue holds 2048 packets; more is ENOBUFS, alone and in a batch, by any way in."""
        self.send_batch("input", [b"x"] * 2050)
        self.assertEqual({ENOBUFS: 2}, self.local.hooks["input"].drops)
        self.assertEqual(ENOBUFS, self.errno(lambda: self.send("input", b"x")))
        self.assertEqual(ENOBUFS, self.errno("msg s: adddata [ 1 ]"))
        self.assertEqual("{ queueOctets=2048 queueFrames=2048 maxPps=1000 }", self.stats())
        self.assertEqual(2048, len(self.run_for(2048)))
        self.msg("s:", "clrdata")
        self.assertEqual(0, self.errno(lambda: self.send("input", b"x")))

    def test_octets(self) -> None:
        """The queue holds 64 MiB: shorter packets still find room."""
        big = bytes(1 << 20)
        self.send_batch("input", [big] * 63 + [big[:-1], big, b"x", b"y"])
        self.assertEqual({ENOBUFS: 2}, self.local.hooks["input"].drops)
        self.assertEqual(64 << 20, self.source.octets)

    def test_eof(self) -> None:
        """An end-of-file mark is not queued, and no loss, whether there is room or not."""
        self.send("input", EOF)
        self.send_batch("input", [EOF, b"x", EOF])
        self.assertEqual(1, len(self.source.queue))
        self.send_batch("input", [b"x"] * 2047 + [EOF])
        self.send("input", EOF)
        self.assertEqual({}, self.local.hooks["input"].drops)

    def test_empty_packet(self) -> None:
        """A packet without bytes is one."""
        self.send("input", b"")
        self.msg("s:", 'adddata ""')
        self.assertEqual([b"", b"", b""], self.run_for(3))

    def test_output(self) -> None:
        """What comes in by output is discarded."""
        self.send("output", b"x")
        self.send_batch("output", [b"x", EOF])
        self.assertEqual("{ maxPps=1000 }", self.stats())
        self.assertEqual({}, self.local.hooks["output"].drops)

    def test_adddata(self) -> None:
        """adddata puts a packet into the queue: text, numbers, or so many zeros."""
        for text in ('"text"', "[ 1 2 0x03 ]", "[ 99=0 ]", "[]"):
            self.msg("s:", f"adddata {text}")
        self.assertEqual([b"text", b"\1\2\3", bytes(100), b""], self.run_for(4))

    def test_clrdata(self) -> None:
        """clrdata empties the queue."""
        self.send("input", b"x")
        self.msg("s:", "clrdata")
        self.assertEqual("{ maxPps=1000 }", self.stats())
        self.assertEqual([], self.run_for(3))


class RunTests(SourceTestCase):
    def test_refused(self) -> None:
        """start: ENXIO without a rate, ENOTCONN without output, EBUSY twice, EINVAL for none."""
        self.assertEqual(EINVAL, self.errno("msg s: start 0"))
        self.msg("s:", "start 1")
        self.assertEqual(EBUSY, self.errno("msg s: start 1"))
        self.msg("s:", "stop")
        self.msg("s:", "setpps 0")
        self.assertEqual(ENXIO, self.errno("msg s: start 1"))
        self.assertEqual(ENXIO, self.errno("msg s: getinterval"))
        self.graph("mkpeer source in input", "msg .:in setpps 5")
        self.assertEqual(ENOTCONN, self.errno("msg .:in start 1"))

    def test_times(self) -> None:
        """The counters tell when it began, ended and sent last, and how long it ran."""
        self.pass_time(1.5)
        self.send("input", b"abc")
        self.msg("s:", "start 3")
        self.pass_time(0.0025)
        self.assertEqual(
            "{ outOctets=6 outFrames=2 queueOctets=3 queueFrames=1 maxPps=1000 "
            "startTime={ tv_sec=1 tv_usec=500000 } elapsedTime={ tv_usec=2500 } "
            "lastTime={ tv_sec=1 tv_usec=502000 } }",
            self.stats(),
        )
        self.pass_time(7.0)
        self.assertEqual(
            "{ outOctets=9 outFrames=3 queueOctets=3 queueFrames=1 maxPps=1000 "
            "startTime={ tv_sec=1 tv_usec=500000 } endTime={ tv_sec=1 tv_usec=503000 } "
            "elapsedTime={ tv_usec=3000 } lastTime={ tv_sec=1 tv_usec=503000 } }",
            self.stats(),
        )

    def test_stop(self) -> None:
        """stop ends a run, and no error if there is none; another may be started."""
        self.send("input", b"x")
        self.msg("s:", "stop")
        self.msg("s:", "start -1")
        self.pass_time(0.01)
        self.msg("s:", "stop")
        self.pass_time(1)
        self.assertEqual(10, len(self.take()["output"]))
        self.assertIn("elapsedTime={ tv_usec=10000 }", self.stats() or "")
        self.assertEqual([b"x", b"x"], self.run_for(2))

    def test_empty(self) -> None:
        """A run without packets goes on until stopped; it begins with the first packet."""
        self.msg("s:", "start 3")
        self.pass_time(5)
        self.assertEqual([], self.clock.getDelayedCalls())
        self.send("input", b"x")
        self.assertEqual({}, self.take())
        self.pass_time(0.002)
        self.assertEqual({"output": [b"x", b"x"]}, self.take())
        self.msg("s:", "clrdata")
        self.pass_time(5)
        self.msg("s:", 'adddata "y"')
        self.pass_time(5)
        self.assertEqual({"output": [b"y"]}, self.take())
        self.assertEqual(0, self.errno("msg s: start 1"))

    def test_connected(self) -> None:
        """The counters begin anew when output is connected."""
        self.graph("mkpeer source in input", "name in t", "connect t: out output")
        self.assertEqual("{}", self.msg("t:", "getstats"))
        node = self.node("t:")
        assert isinstance(node, Source)
        node.out_frames = 5
        node.connect(node.hooks["output"])
        self.assertEqual("{}", self.msg("t:", "getstats"))

    def test_cleared(self) -> None:
        """clrstats resets; of a run under way the counters, and its start, are those from now."""
        self.send("input", b"x")
        self.msg("s:", "start 8")
        self.pass_time(0.003)
        told = self.msg("s:", "getclrstats")
        self.assertIn("outFrames=3 queue", told or "")
        self.assertEqual(
            "{ queueOctets=1 queueFrames=1 maxPps=1000 startTime={ tv_usec=3000 } }", self.stats()
        )
        self.pass_time(1)
        self.assertEqual(
            "{ outOctets=5 outFrames=5 queueOctets=1 queueFrames=1 maxPps=1000 "
            "startTime={ tv_usec=3000 } endTime={ tv_usec=8000 } elapsedTime={ tv_usec=5000 } "
            "lastTime={ tv_usec=8000 } }",
            self.stats(),
        )
        self.msg("s:", "clrstats")
        self.assertEqual("{ queueOctets=1 queueFrames=1 maxPps=1000 }", self.stats())

    def test_lost(self) -> None:
        """What the sink refuses is counted on the hook, and the run goes on."""
        self.local.refuse("rcvdata", ENOBUFS, "output")
        self.send("input", b"x")
        self.run_for(5)
        self.assertEqual({ENOBUFS: 5}, self.source.hooks["output"].drops)
        self.assertIn("outFrames=5 ", self.stats() or "")

    def test_again(self) -> None:
        """Who gets the last packet may start it anew, or remove it."""
        hook = self.local.hooks["output"]
        acts = [lambda: self.msg("s:", "start 2"), lambda: self.net.rmnode(hook.peer.node)]
        count = 0

        def rcvdata(*args: object) -> None:
            nonlocal count
            count += 1
            if count % 2 == 0 and acts:
                acts.pop(0)()

        hook.rcvdata = rcvdata
        hook.peer.link(hook)
        self.msg("s:", 'adddata "x"')
        self.msg("s:", "start 2")
        self.pass_time(1)
        self.assertEqual((4, ENOENT), (count, self.errno("msg s: stop")))

    def test_ends(self) -> None:
        """It ends with output, whatever else it has, and with its last hook."""
        self.send("input", b"x")
        self.msg("s:", "start -1")
        self.graph("rmhook output")
        self.assertEqual({}, self.local.hooks)
        self.graph("mkpeer source output output", "name output t", "connect t: input input")
        self.graph("rmhook input", "msg t: stop", "rmhook output")
        self.assertEqual(ENOENT, self.errno("msg t: stop"))

    def test_pressure(self) -> None:
        """A full sink holds the run; then what it missed is made up for, up to a second of it."""
        self.send("input", b"x")
        self.msg("s:", "start -1")
        self.pass_time(0.001)
        self.local.hooks["output"].send_flow(True)
        self.assertIn("; held, no end;", self.graph("status s:"))
        self.pass_time(0.009)
        self.assertEqual({"output": [b"x"]}, self.take())
        self.local.hooks["output"].send_flow(False)
        self.assertEqual({}, self.take())
        self.pass_time(0)
        self.assertEqual(9, len(self.take()["output"]))
        self.local.hooks["output"].send_flow(True)
        self.pass_time(100)
        self.local.hooks["output"].send_flow(False)
        self.pass_time(0)
        self.assertEqual(1001, len(self.take()["output"]))
        self.assertEqual([], [event for event in self.local.events if event[0] == "rcvflow"])


class MessageTests(SourceTestCase):
    def test_short(self) -> None:
        """Arguments of a wrong length are EINVAL, also where FreeBSD does not look."""
        path = f"[{self.source.id:x}]:"
        for cmd, data in ((12, b""), (12, b"\0\0"), (4, bytes(4)), (11, bytes(23)), (7, b"")):
            message = Message(source.cookie, cmd, data)
            attempt = partial(self.net.send, self.local, path, message)
            self.assertEqual(EINVAL, self.errno(attempt), cmd)

    def test_iface(self) -> None:
        """setiface: an interface of this host; one it has not is ENXIO, no name EINVAL."""
        self.assertEqual(EINVAL, self.errno('msg s: setiface ""'))
        self.assertEqual(ENXIO, self.errno('msg s: setiface "no such one"'))
        self.assertEqual(ENXIO, self.errno('msg s: setiface "\\xff\\xfe"'))
        self.assertEqual(E2BIG, self.errno('msg s: setiface "0123456789abcdef"'))
        self.msg("s:", "setpps 0")
        self.assertEqual([], self.source.config())
        self.msg("s:", 'setiface "lo"')
        self.assertEqual("0", self.msg("s:", "getinterval"))
        self.assertEqual(['msg . setiface "lo"'], self.source.config())
        path, data = f"[{self.source.id:x}]:", b"lo".ljust(16, b"\0")
        self.net.send(self.local, path, Message(source.cookie, 7, data))

    def test_rates(self) -> None:
        """The last of setpps and setinterval counts, and setiface where there is neither."""
        for text, interval in (
            ("setpps 1000", 1000000), ('setiface "lo"', 1000000), ("setinterval 7", 7),
            ("setpps 3", 333333334), ("setpps 4294967295", 1), ("setinterval 0", 0),
            ("setpps 1", 10**9), ("setpps 0", 0), ("setinterval -1", (1 << 64) - 1),
        ):  # fmt: skip
            self.msg("s:", text)
            self.assertEqual(str(interval), self.msg("s:", "getinterval"), text)
            self.assertEqual(text == "setpps 3", "maxPps=3 " in (self.stats() or ""))

    def test_no_rate(self) -> None:
        """A run cannot lose its rate."""
        self.msg("s:", "start 1")
        self.assertEqual(EBUSY, self.errno("msg s: setpps 0"))
        self.msg("s:", 'setiface "lo"')
        self.msg("s:", "setpps 0")

    def test_counters(self) -> None:
        """Four counters are set and told; another index, width, or range is EINVAL."""
        for text in (
            "{ width=3 }", "{ width=0 }", "{ width=8 }", "{ width=1 index=4 }",
            "{ width=1 index=255 }", "{ width=4 min_val=1 }", "{}",
        ):  # fmt: skip
            self.assertEqual(EINVAL, self.errno(f"msg s: setcounter {text}"), text)
        for index in range(4):
            expected = f"{{ index={index} }}" if index else "{}"
            self.assertEqual(expected, self.msg("s:", f"getcounter {index}"))
            text = (
                f"{{ offset={index + 1} width=2 next_val=9 max_val=7{f' {index=}' * (index > 0)} }}"
            )
            self.msg("s:", f"setcounter {text}")
            self.assertEqual(text, self.msg("s:", f"getcounter {index}"))
        self.assertEqual(EINVAL, self.errno("msg s: getcounter 4"))
        self.assertEqual(EINVAL, self.errno("msg s: getcounter -1"))

    def test_timestamp(self) -> None:
        """The place of the time is set and told."""
        self.assertEqual("{}", self.msg("s:", "gettimestamp"))
        self.msg("s:", "settimestamp { offset=20 flags=1 }")
        self.assertEqual("{ offset=0x14 flags=0x1 }", self.msg("s:", "gettimestamp"))

    def test_status(self) -> None:
        """status tells the queue, the rate and the run."""
        self.assertEqual(
            'Status for "s:":\n0 packets, 0 bytes queued; 1000 packets a second; stopped;'
            " 0 packets, 0 bytes sent",
            self.graph("status s:"),
        )
        self.msg("s:", "start 5")
        self.assertIn("; no packets to send, 5 to go;", self.graph("status s:"))
        self.msg("s:", 'adddata "abc"')
        self.msg("s:", "setinterval 3000000")
        self.pass_time(0.008)
        self.assertIn(
            "1 packets, 3 bytes queued; a packet every 3000000 ns; running, 3 to go;"
            " 2 packets, 6 bytes sent",
            self.graph("status s:"),
        )
        self.msg("s:", "stop")
        self.msg("s:", "setinterval 0")
        self.assertIn("; as fast as it can; stopped;", self.graph("status s:"))
        self.msg("s:", "setpps 0")
        self.assertIn("; no rate; stopped;", self.graph("status s:"))

    def test_config(self) -> None:
        """config() lists the rate, the marks, the packets, and a run, however far it is."""
        self.assertEqual(["msg . setpps 1000"], self.source.config())
        for text in MARKS:
            self.msg("s:", text)
        self.send_batch("input", [b"one, 18 bytes long", b"\0\0\0\1", b"", b'"\n\xff'])
        self.msg("s:", "start 5")
        self.pass_time(0.002)
        self.assertEqual(
            [
                "msg . setpps 1000",
                "msg . settimestamp { offset=0x2 flags=0x3 }",
                "msg . setcounter { offset=1 flags=1 width=2 max_val=9 increment=4 }",
                "msg . setcounter { offset=3 flags=3 width=1 max_val=2 increment=-1 index=3 }",
                'msg . adddata "one, 18 bytes long"',
                "msg . adddata [ 3=0x1 ]",
                "msg . adddata []",
                'msg . adddata "\\"\\n\\xff"',
                "msg . start 5",
            ],
            self.source.config(),
        )
        self.msg("s:", "stop")
        self.msg("s:", "start -1")
        self.msg("s:", "setinterval 3600000000000")
        lines = self.source.config()
        self.assertEqual(
            ("msg . setinterval 3600000000000", "msg . start -1"), (lines[0], lines[-1])
        )

    def test_config_bound(self) -> None:
        """Of a long queue config() lists the first packets, as far as a reply has room."""
        self.send_batch("input", [bytes([number % 251]) * 100 for number in range(2048)])
        lines = self.source.config()
        self.assertLess(50, len(lines))
        self.assertLess(sum(map(len, lines)), 50000)
        self.msg("s:", "clrdata")
        self.send("input", bytes(range(256)) * 256)
        self.assertEqual(["msg . setpps 1000"], self.source.config())

    @given(st.lists(st.binary(max_size=3000), max_size=20))
    def test_config_packets(self, packets: list[bytes]) -> None:
        """The packets that config() lists are, in their order, those of the queue."""
        self.msg("s:", "clrdata")
        self.send_batch("input", packets)
        lines = self.source.config()[1:]
        self.msg("s:", "clrdata")
        for line in lines:
            self.msg("s:", line.removeprefix("msg . "))
        again = [packet.data for packet in self.source.queue]
        self.assertEqual(packets[: len(again)], again)
        if sum(map(len, packets)) < 5000:
            self.assertEqual(packets, again)
