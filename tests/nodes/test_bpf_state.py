"""bpf: what it counts, keeps and tells, and whom it holds."""

from __future__ import annotations

from errno import EINVAL, EIO, ENOENT

from ngksock.netgraph import EOF, Hook
from ngksock.testing.recording import Data
from tests.nodes.test_bpf import ALL_OF_IT, BY_FIRST, ODD, BPFTestCase


class StatsTests(BPFTestCase):
    def test_counted(self) -> None:
        """Received counts the original length, sent the cut one; a batch counts the same."""
        for batch in (False, True):
            self.hooks("a", "b", "c")
            self.program(ODD)
            datas: list[Data] = [b"\1\2\3", b"\2\2\3\4", b"\1", b"", EOF]
            if batch:
                self.send_batch("a", datas)
            else:
                self.sent("a", *datas)
            self.assertEqual(
                "{ recvFrames=5 recvOctets=8 recvMatchFrames=2 recvMatchOctets=4 }",
                self.stats("a"),
            )
            self.assertEqual("{ xmitFrames=3 xmitOctets=3 }", self.stats("b"))
            self.assertEqual("{ xmitFrames=3 xmitOctets=4 }", self.stats("c"))
            self.graph("shutdown f:")

    def test_match_dropped(self) -> None:
        """What matches counts as a match, even if it has nowhere to go."""
        self.hooks("a", "b")
        self.program(ODD, match="x")
        self.sent("a", b"\1")
        self.send_batch("a", [b"\1"])
        self.assertEqual(
            "{ recvFrames=2 recvOctets=2 recvMatchFrames=2 recvMatchOctets=2 }", self.stats("a")
        )

    def test_before_delivery(self) -> None:
        """What is sent is counted before it is delivered, and whatever becomes of it."""
        self.hooks("a", "b")
        self.program(ALL_OF_IT)
        self.local.refuse("rcvdata", EIO, "b")
        self.assertEqual(EIO, self.errno(lambda: self.send("a", b"x")))
        self.send_batch("a", [b"x"])
        self.assertEqual("{ xmitFrames=2 xmitOctets=2 }", self.stats("b"))

    def test_clear(self) -> None:
        """clrstats resets one hook; getclrstats tells first; the program stays."""
        self.hooks("a", "b")
        self.program(ALL_OF_IT)
        self.sent("a", b"123")
        full = "{ recvFrames=1 recvOctets=3 recvMatchFrames=1 recvMatchOctets=3 }"
        self.assertEqual(full, self.msg("f:", 'getclrstats "a"'))
        self.assertEqual(
            ("{}", "{ xmitFrames=1 xmitOctets=3 }"), (self.stats("a"), self.stats("b"))
        )
        self.assertIsNone(self.msg("f:", 'clrstats "b"'))
        self.assertEqual("{}", self.stats("b"))
        self.assertEqual({"b": [b"123"]}, self.sent("a", b"123"))
        self.assertEqual(
            (full, "{ xmitFrames=1 xmitOctets=3 }"), (self.stats("a"), self.stats("b"))
        )

    def test_new_program(self) -> None:
        """The counters outlive a new program."""
        self.hooks("a")
        self.sent("a", b"1")
        self.program(ALL_OF_IT)
        self.assertEqual("{ recvFrames=1 recvOctets=1 }", self.stats("a"))


class DumpTests(BPFTestCase):
    def test_set(self) -> None:
        """setdump sets what tcpdump -ddd printed; getprogram and config() show the program."""
        self.hooks("a", "b", "c")
        text = r'thisHook="a" ifMatch="b" ifNotMatch="c" dump="3\n48 0 0 0\n21 0 0 1\n6 0 0 96\n"'
        self.assertIsNone(self.msg("f:", f"setdump {{ {text} }}"))
        program = (
            '{ thisHook="a" ifMatch="b" ifNotMatch="c" bpf_prog_len=3 bpf_prog=[ '
            "{ code=0x30 } { code=0x15 k=1 } { code=0x6 k=96 } ] }"
        )
        self.assertEqual(program, self.msg("f:", 'getprogram "a"'))
        self.assertEqual([f"msg . setprogram {program}"], self.node("f:").config())

    def test_refused(self) -> None:
        """No dump, or one of an invalid program, is EINVAL; an unknown hook ENOENT."""
        self.hooks("a")
        for dump in ("", "ip", "1 0 0 0 0", "2 6 0 0 0"):
            line = f'msg f: setdump {{ thisHook="a" dump="{dump}" }}'
            self.assertEqual(EINVAL, self.errno(line), dump)
        self.assertEqual(ENOENT, self.errno('msg f: setdump { thisHook="x" dump="1 6 0 0 0" }'))
        self.assertEqual([], self.node("f:").config())

    def test_longest(self) -> None:
        """A dump of 512 instructions fits a message, and its config() line as well."""
        self.hooks("a")
        dump = " ".join(["512", *["21 255 255 4294967295"] * 256, *["6 0 0 4294967295"] * 256])
        self.assertIsNone(self.msg("f:", f'setdump {{ thisHook="a" dump="{dump}" }}'))
        [line] = self.node("f:").config()
        self.graph(line, here="f:")
        self.assertEqual([line], self.node("f:").config())


class StateTests(BPFTestCase):
    def test_config(self) -> None:
        """config() has the programs that were set, hook by hook, and none of a new hook."""
        self.hooks("a", "b", "c")
        self.assertEqual([], self.node("f:").config())
        self.program(ODD, "c", "", "")
        self.program("{ code=6 }", "b", "", "")  # what a new hook has
        self.program(BY_FIRST, "a", 'q\\"\\n', "elsewhere")
        self.assertEqual(
            [
                'msg . setprogram { thisHook="a" ifMatch="q\\"\\n" ifNotMatch="elsewhere" '
                "bpf_prog_len=2 bpf_prog=[ { code=0x30 } { code=0x16 } ] }",
                'msg . setprogram { thisHook="c" bpf_prog_len=4 bpf_prog=[ { code=0x30 } '
                "{ code=0x45 jf=1 k=1 } { code=0x6 k=2 } { code=0x6 } ] }",
            ],
            self.node("f:").config(),
        )

    def test_status(self) -> None:
        """The status tells each hook's program, its ways, and how much matched."""
        self.hooks("a", "b")
        self.program(ODD, other="")
        self.sent("a", b"\1", b"\2")
        self.assertEqual(
            'Status for "f:":\n'
            "a: a program of 4 instructions to b, others to nobody; 1 of 2 packets matched\n"
            "b: a program of 1 instruction to nobody, others to nobody; 0 of 0 packets matched",
            self.graph("status f:"),
        )

    def test_last_hook(self) -> None:
        """It ends with its last hook."""
        self.hooks("a", "b")
        self.graph("rmhook a", "show f:", "rmhook b")
        self.assertEqual(ENOENT, self.errno("show f:"))


class BackPressureTests(BPFTestCase):
    def sources(self) -> dict[str, Hook]:
        """Return the far ends of hooks a, b and c, each of a node of its own; d is the test's."""
        self.hooks("d")
        self.graph(*(f"mkpeer f: recorder {hook} x" for hook in "abc"))
        return {hook: self.node(f"f:{hook}").hooks["x"] for hook in "abc"}

    def held(self, sources: dict[str, Hook]) -> set[str]:
        """Return the hooks whose sources are held."""
        return {name for name, hook in sources.items() if hook.high}

    def test_held(self) -> None:
        """A full sink holds the hooks whose packets may go there, and no others."""
        sources = self.sources()
        self.program(ODD, "a", "d", "c")
        self.program(ODD, "b", "c", "d")
        self.local.hooks["d"].send_flow(True)
        self.assertEqual({"a", "b"}, self.held(sources))
        self.local.hooks["d"].send_flow(False)
        self.assertEqual(set(), self.held(sources))

    def test_new_program(self) -> None:
        """A new program, or a new hook, holds and frees as its ways are."""
        sources = self.sources()
        self.program(ODD, "a", "d", "")
        self.program(ODD, "b", "e", "")
        self.local.hooks["d"].send_flow(True)
        self.program(ODD, "a", "e", "")
        self.program(ODD, "c", "", "d")
        self.assertEqual({"c"}, self.held(sources))
        self.graph("connect f: e e")
        self.local.hooks["e"].send_flow(True)
        self.assertEqual({"a", "b", "c"}, self.held(sources))
        self.graph("rmhook e")
        self.assertEqual({"c"}, self.held(sources))
