"""Checking: all true errors, and no others."""

from __future__ import annotations

from ngksock.netgraph import Graph, Node, Packet, command
from ngksock.netgraph.hook import Hook
from ngksock.netgraph.layout import INT32
from ngksock.plugin import NodeType, available, find_type
from ngksock.service import sketch as module
from ngksock.service.check import Findings
from ngksock.service.script import Problem
from ngksock.service.sketch import Sketch
from tests.service.folder import FolderTestCase, check_files


class Strict(Node):
    """Goes only once a speed was set; crashes on demand; must never see a packet."""

    def __init__(self) -> None:
        super().__init__()
        self.speed = 0

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        raise AssertionError("a packet in a dry run")

    @command(1, arg=INT32)
    def setspeed(self, speed: int) -> None:
        """Set the speed."""
        if speed < 1:
            raise OSError(22, "a speed is at least 1")
        self.speed = speed

    @command(2)
    def go(self) -> None:
        """Go."""
        if not self.speed:
            raise OSError(22, "no speed was set")

    @command(3)
    def crash(self) -> None:
        """Fail as a bug does."""
        raise ZeroDivisionError


strict = NodeType("strict", 1_700_000_001, Strict)
HUB = "mkpeer hub boot boot\nname boot fan\n"


class PhantomTests(FolderTestCase):
    """What a wrong line would have made is not missed afterwards."""

    def setUp(self) -> None:
        super().setUp()
        known = {"strict": strict}
        self.patch(module, "find_type", lambda name: known.get(name) or find_type(name))
        self.patch(module, "available", lambda: [*available(), "strict"])

    def found(self, text: str) -> list[str]:
        """Return the messages without the file's name."""
        return [line.removeprefix("a.ng:") for line in self.check(text)]

    def test_unknown_type(self) -> None:
        """The node of an unknown type takes any hook, name and message."""
        found = self.found(
            "mkpeer nosuch boot boot\nname boot x\nmsg x: set { a=1\nmkpeer x: hub out in\n"
            "mkpeer x: hub out2 in\nmsg x:out setpersistent\nmsg x:other.one hello\n"
            "connect x:out x: a b\nshow x:\nstatus x:\nconfig x:\nrmhook x: out\nshutdown x:\n"
        )
        self.assertEqual(['1:8: there is no node type "nosuch"'], found)

    def test_what_hangs_on_a_phantom_is_checked(self) -> None:
        """Real nodes beyond a phantom are still real."""
        found = self.found(
            "mkpeer nosuch boot boot\nmkpeer .boot hub out in\nmsg .boot.out nonsense\n"
            "mkpeer .boot nosuch2 b b\nmkpeer .boot hub out in\n"
        )
        self.assertEqual(
            [
                '1:8: there is no node type "nosuch"',
                '3:15: a hub has no message "nonsense"',
                '4:14: there is no node type "nosuch2"',
                '5:18: node [2] has a hook "out" already',
            ],
            found,
        )

    def test_ended_phantom(self) -> None:
        """A phantom that was shut down is as gone as another node."""
        found = self.found(
            "mkpeer nosuch boot boot\nname boot x\nmsg x: hi\nshutdown x:\nmsg x: hi\n"
        )
        self.assertEqual(
            ['1:8: there is no node type "nosuch"', '5:5: there is no node "x:"'], found
        )

    def test_missing_node(self) -> None:
        """A name that nobody has is reported at its first use."""
        found = self.found("msg x: hi\nmsg x: ho\nmkpeer x: hub a a\nmsg x:a setpersistent\n")
        self.assertEqual(['1:5: there is no node "x:"'], found)

    def test_used_too_early(self) -> None:
        """A name may still be given after it was used too early."""
        found = self.found("msg x: hi\nmkpeer hub a a\nname a x\nmsg x: nonsense\n")
        self.assertEqual(
            ['1:5: there is no node "x:"', '4:8: a hub has no message "nonsense"'], found
        )

    def test_missing_hook(self) -> None:
        """A hook that is not there is reported at its first use, and may come later."""
        found = self.found(
            HUB + "msg fan:out hi\nmsg fan:out ho\nmkpeer fan: tee out left\nmsg fan:out hi\n"
        )
        self.assertEqual(
            ['3:5: node fan has no hook "out"', '6:13: a tee has no message "hi"'], found
        )

    def test_two_errors_in_one_line(self) -> None:
        """A line that lacks a node is looked at again for what else is wrong with it."""
        found = self.found("mkpeer x: nosuch out in\nconnect y: z: a b\n")
        self.assertEqual(
            [
                '1:8: there is no node "x:"',
                '1:11: there is no node type "nosuch"',
                '2:9: there is no node "y:"',
                '2:12: there is no node "z:"',
            ],
            found,
        )

    def test_hook_taken(self) -> None:
        """Behind a hook that was taken stands for later lines what they mean."""
        found = self.found(
            HUB + "mkpeer fan: hub out in\nmkpeer fan: one2many out one\nmsg fan:out getconfig\n"
            "name fan:out many\nmsg many: getconfig\n"
        )
        self.assertEqual(['4:22: node fan has a hook "out" already'], found)

    def test_failed_connect(self) -> None:
        """Both ends of a link that could not be made are there for later lines."""
        found = self.found(
            HUB + "mkpeer fan: tee out left\nname fan:out t\nconnect t: fan: wrong new\n"
            "msg t:wrong setpersistent\nmsg fan:new getstats\n"
        )
        self.assertEqual(1, len(found))
        self.assertTrue(found[0].startswith('5:17: tee has no hook "wrong"'), found)

    def test_failed_name(self) -> None:
        """A node whose name was refused is known by it, and checked."""
        found = self.found(HUB + "name fan: a.b\nmsg a.b: setpersistent\nmsg a.b: nonsense\n")
        self.assertEqual(
            ['3:11: node name "a.b" contains "."', '5:10: a hub has no message "nonsense"'], found
        )

    def test_name_taken(self) -> None:
        """A name that two nodes were given may mean either."""
        found = self.found(
            HUB + "mkpeer fan: one2many out one\nname fan:out fan\nmsg fan: getconfig\n"
        )
        self.assertEqual(['4:6: another node has the name "fan"'], found)

    def test_refused_message(self) -> None:
        """A node that lacks what a wrong line would have set is excused; its texts are not."""
        found = self.found(
            "mkpeer strict a a\nmsg a: x\nmsg .a setspeed fast\n"
            "msg .a go\nmsg .a go now\nmsg .a gone\n"
        )
        self.assertEqual(
            [
                '2:5: there is no node "a:"',
                "3:17: fast is not a number",
                "5:11: go takes no argument",
                '6:8: a strict has no message "gone"; did you mean "go"?',
            ],
            found,
        )

    def test_edited_links(self) -> None:
        """insert and bypass are carried out: later lines find what they make, and miss the rest."""
        edit = 'insert { hook="%s" type="%s" in="left" out="right" name="tap" }'
        good = (
            HUB
            + "mkpeer fan: hole out in\n"
            + f"msg fan: {edit % ('out', 'tee')}\nmsg tap: getstats\n"
            + 'msg fan:out.right getstats "in"\n'
            + 'msg tap: bypass { in="left" out="right" }\n'
        )
        self.assertEqual([], self.found(good))
        self.assertEqual(['8:5: there is no node "tap:"'], self.found(f"{good}msg tap: getstats\n"))

    def test_wrong_edits(self) -> None:
        """What a wrong insert would have put in is not missed afterwards."""
        edit = (
            'insert { hook="%s" type="%s" in="left" out="right" name="tap" }\nmsg tap: getstats\n'
        )
        self.assertEqual(
            ['3:17: fan: node fan has no hook "out"; it has boot'],
            self.found(f"{HUB}msg fan: {edit % ('out', 'tee')}"),
        )
        self.assertEqual(
            ['3:17: fan: there is no node type "te"; did you mean "tee"?'],
            self.found(f"{HUB}msg fan: {edit % ('boot', 'te')}"),
        )
        self.assertEqual(
            ['1:5: there is no node "fan:"'], self.found(f"msg fan: {edit % ('out', 'tee')}")
        )

    def test_node_is_named(self) -> None:
        """What a node itself refuses is told with its address, at the argument."""
        found = self.found("mkpeer strict a a\nname a s\nmsg s: setspeed 0\n")
        self.assertEqual(["3:17: s: a speed is at least 1"], found)
        self.assertEqual(
            ["3:8: s: no speed was set"], self.found("mkpeer strict a a\nname a s\nmsg s: go\n")
        )

    def test_misspelt_command(self) -> None:
        """What a misspelt or incomplete line would have made is not missed."""
        found = self.found(
            "mkpear hub a a\nmsg a: hi\nmsg .a hi\nnaem .a x\nmsg x: hi\nname .a y z\nmsg y: hi\n"
        )
        self.assertEqual(
            [
                '1:1: "mkpear": unknown command; did you mean "mkpeer"?',
                '4:1: "naem": unknown command; did you mean "name"?',
                "6:11: usage: name <path> <name>",
            ],
            found,
        )

    def test_unreadable_file(self) -> None:
        """When a file is missing nobody knows what is there; what is there is still checked."""
        found = self.found("read nosuch.ng\n" + HUB + "msg x: hi\nmsg fan:y hi\nmsg fan: hi\n")
        self.assertEqual(
            ["1:6: nosuch.ng: No such file or directory", '6:10: a hub has no message "hi"'], found
        )

    def test_misspelt_read(self) -> None:
        """A misspelt read counts as one."""
        found = self.found("raed x.ng\nmsg x: hi\n")
        self.assertEqual(['1:1: "raed": unknown command; did you mean "read"?'], found)

    def test_write(self) -> None:
        """No packet is sent; a hook that is not there is missed once."""
        found = self.found("mkpeer strict a a\nwrite a 1\nwrite b 1\nwrite b 2\nmkpeer hub b b\n")
        self.assertEqual(['3:7: the file\'s own node has no hook "b"'], found)

    def test_nothing_is_written(self) -> None:
        """dot draws nothing in a dry run."""
        self.assertEqual([], self.found("dot out.dot\n"))
        self.assertFalse((self.folder / "out.dot").exists())

    def test_bug(self) -> None:
        """A node that fails is reported with what it raised."""
        found = self.found("mkpeer strict a a\nname a s\nmsg s: crash\n")
        self.assertEqual(
            [
                "3:8: s: node s failed; the log says where",
                "strict node s failed ZeroDivisionError()",
            ],
            found,
        )

    def test_bad_paths(self) -> None:
        """A path that cannot be one is wrong each time."""
        found = self.found(HUB + "msg fan:: x\nmsg fan:a..b x\n")
        self.assertEqual(
            ['3:5: path "fan::" has a second ":"', '4:5: path "fan:a..b" has two dots in a row'],
            found,
        )


class FindingsTests(FolderTestCase):
    def test_said_once(self) -> None:
        """A file that is read twice has its errors once."""
        self.write("b.ng", "nonsense\n")
        self.assertEqual(
            ['b.ng:1:1: "nonsense": unknown command; read from a.ng:1'], self.check("read b.ng\n")
        )
        self.assertEqual(1, len(self.check(2 * "read b.ng \\\n\n")))

    def test_limit(self) -> None:
        """A hundred are kept, all are counted, the first one's code stays."""
        findings = Findings()
        for number in range(150):
            findings.add(Problem("a", number, 1, "x", code=66 if number else 65))
        self.assertEqual((150, 100, 65), (findings.count, len(findings.shown), findings.code))
        self.assertEqual("50 more errors are not shown", findings.lines()[-1])

    def test_several_files(self) -> None:
        """Files are run one after the other on one graph."""
        self.write("a.ng", HUB + "msg fan: setpersistent\n")
        self.write("b.ng", "msg fan: nonsense\nmkpeer fan: hub b b\n")
        self.write("c.ng", "msg fan:b setpersistent\n")
        lines, code = check_files(self.folder, "a.ng", "b.ng", "c.ng")
        self.assertEqual((['b.ng:1:10: a hub has no message "nonsense"'], 65), (lines, code))

    def test_own_hooks_end(self) -> None:
        """What a file left on its own node alone is gone for the next."""
        self.write("a.ng", HUB)
        self.write("b.ng", "msg fan: setpersistent\n")
        lines, _ = check_files(self.folder, "a.ng", "b.ng")
        self.assertEqual(['b.ng:1:5: there is no node "fan:"'], lines)


class SketchTests(FolderTestCase):
    def test_is_a_dry_run(self) -> None:
        """Nodes see that they must open nothing."""
        sketch = Sketch(lambda text, error: None)
        self.assertIsInstance(sketch, Graph)
        self.assertTrue(sketch.checking)

    def test_turns(self) -> None:
        """Work for later turns is done, but not for ever."""
        sketch = Sketch(lambda text, error: None)
        done: list[int] = []

        def again() -> None:
            done.append(1)
            sketch.soon(again)

        sketch.soon(again)
        sketch.turn()
        self.assertEqual([1], done)
