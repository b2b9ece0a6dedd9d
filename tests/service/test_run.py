"""Applying files: what is said, what fails, what ends."""

from __future__ import annotations

import os
from errno import EADDRINUSE, ENOENT

from ngksock.netgraph import Hook, Node
from ngksock.plugin import NodeType
from ngksock.service.run import READS_MAX, ScriptError
from tests.service.folder import ROOT, FolderTestCase, check_files

SCRIPTS = ROOT / "tests" / "scripts"


class Busy(Node):
    def newhook(self, hook: Hook, name: str) -> None:
        """Refuse in one of three ways."""
        if name == "own":
            raise OSError(EADDRINUSE, "127.0.0.1:9000 is taken")
        if name == "system":
            raise OSError(ENOENT, os.strerror(ENOENT))
        raise OSError(99999, "what no system knows")


busy = NodeType("busy", 1_700_000_002, Busy)


class ApplyTests(FolderTestCase):
    def failure(self, text: str) -> str:
        """Return the message of a file that fails when it is applied."""
        self.write("a.ng", text)
        return str(self.assertRaises(ScriptError, self.apply, "a.ng", types=(busy,)))

    def test_message(self) -> None:
        """FILE:LINE:COL: COMMAND: ERRNO (strerror); our sentence, if it says more."""
        self.assertEqual(
            "a.ng:2:8: mkpeer: EADDRINUSE (Address already in use); 127.0.0.1:9000 is taken",
            self.failure("\nmkpeer busy x own\n"),
        )

    def test_message_of_the_system(self) -> None:
        """The system's own words are said once."""
        found = self.failure("mkpeer busy x system\n")
        self.assertEqual("a.ng:1:8: mkpeer: ENOENT (No such file or directory)", found)

    def test_unknown_errno(self) -> None:
        """A number without a name is shown as it is."""
        self.assertIn("mkpeer: 99999 (", self.failure("mkpeer busy x y\n"))

    def test_remedy(self) -> None:
        """What may help is said at the end."""
        self.assertEqual(
            'a.ng:3:5: msg: ENOENT (No such file or directory); there is no node "fam:"; '
            'did you mean "fan:"?',
            self.failure("mkpeer hub a a\nname a fan\nmsg fam: x\n"),
        )

    def test_read(self) -> None:
        """An error in a file that was read has its place there, and tells from where."""
        self.write("sub/b.ng", "# b\n\nmsg x: y\n")
        found = self.failure("list\nread sub/b.ng\n")
        self.assertTrue(found.startswith("sub/b.ng:3:5: msg: ENOENT ("), found)
        self.assertTrue(found.endswith('there is no node "x:"; read from a.ng:2'), found)

    def test_what_went_before_stays(self) -> None:
        """A failed file leaves what it made; its own node is gone."""
        self.write("a.ng", "mkpeer hub a a\nmkpeer .a hub b b\nmkpeer .a busy c c\n")
        self.assertRaises(ScriptError, self.apply, "a.ng", types=(busy,))
        self.assertEqual(["[2] hub", "[3] hub"], self.nodes(self.graph))

    def test_quit(self) -> None:
        """quit ends its own file, with success; the file that read it goes on."""
        self.write("a.ng", "read b.ng\nmkpeer hub a a\nmsg .a setpersistent\nquit\nnonsense\n")
        self.write("b.ng", "mkpeer hub b b\nmsg .b setpersistent\nquit\nnonsense\n")
        self.assertEqual(2, len(self.nodes(self.apply("a.ng"))))

    def test_same_node(self) -> None:
        """A file that is read acts through the node of the file that reads it."""
        self.write("a.ng", "mkpeer hub a a\nread b.ng\nmsg .a setpersistent\n")
        self.write("b.ng", "name .a fan\n")
        self.assertEqual(["fan hub"], self.nodes(self.apply("a.ng")))

    def test_nesting(self) -> None:
        """Files nest sixteen deep, and no deeper."""
        for number in range(20):
            self.write(f"{number}.ng", f"read {number + 1}.ng\n")
        self.write("16.ng", "list\n")
        self.assertEqual([], check_files(self.folder, "1.ng")[0])
        self.assertEqual(
            ["15.ng:1:6: files read each other more than 16 deep; read from 14.ng:1"],
            check_files(self.folder, "0.ng")[0],
        )

    def test_no_explosion(self) -> None:
        """Files that read each other twice come to an end."""
        for number in range(15):
            self.write(f"{number}.ng", f"read {number + 1}.ng\n" * 5)
        self.write("15.ng", "")
        lines, code = check_files(self.folder, "0.ng")
        self.assertIn(f"files read each other more than {READS_MAX} times", lines[0])
        self.assertEqual(65, code)

    def test_long_names_are_cut(self) -> None:
        """As in ngctl a name that is too long is cut; a warning says so, and where."""
        self.write("a.ng", f"mkpeer hub a a\n  name .a {'n' * 40}\nmsg .a setpersistent\n")
        graph = self.apply("a.ng")
        self.assertEqual([f"{'n' * 31} hub"], self.nodes(graph))
        self.assertEqual(1, len(self.warned))
        self.assertTrue(self.warned[0].startswith("a.ng:2:1: "), self.warned)

    def test_name_of_its_own_node(self) -> None:
        """The file's node is called as ngctl's; when that name is taken it has none."""
        self.write(
            "a.ng", f"mkpeer hub a a\nmsg .a setpersistent\nname . x\nname .a ngctl{os.getpid()}\n"
        )
        self.write("b.ng", "show .\n")
        self.apply("a.ng", "b.ng")
        self.assertIn("Name: <unnamed>", self.said[0])

    def test_save_and_load(self) -> None:
        """dot writes beside its file, write reads from there."""
        self.write("sub/a.ng", "mkpeer hub a a\nwrite a -f data\ndot out.dot\n")
        self.write("sub/data", b"\1\2\3")
        self.apply("sub/a.ng")
        self.assertIn("graph netgraph {", (self.folder / "sub/out.dot").read_text())


class EndTests(FolderTestCase):
    """What ends with a file, as all that ngctl's own node held does."""

    def test_section_7_14(self) -> None:
        """A node linked to the file alone ends with it, and is named."""
        self.write("fanout.ng", "mkpeer hub x x\nname x ks\n")
        self.assertEqual([], self.nodes(self.apply("fanout.ng")))
        self.assertEqual(
            ['fanout.ng: node "ks" (hub) ended with the file: its last hook led to the file\'s '
             "own node; link it to a node that stays"],
            self.warned,
        )  # fmt: skip

    def test_chain(self) -> None:
        """One that ended because its neighbour did is told so; those without name have ids."""
        self.write("a.ng", "mkpeer tee l left\nmkpeer .l hub right r\nrmhook . l\n")
        self.apply("a.ng")
        self.assertEqual([], self.warned)
        self.write("b.ng", "mkpeer echo l l\nmkpeer hub m m\nname m far\n")
        self.apply("b.ng")
        self.assertEqual(2, len(self.warned))
        self.assertIn("b.ng: node [2] (echo) ended with the file", self.warned[0])

    def test_what_stays(self) -> None:
        """What is linked to another node, or persistent, stays without a word."""
        self.write(
            "a.ng", "mkpeer hub a a\nmkpeer .a hub b b\nmkpeer hub c c\nmsg .c setpersistent\n"
        )
        self.assertEqual(3, len(self.nodes(self.apply("a.ng"))))
        self.assertEqual([], self.warned)

    def test_many(self) -> None:
        """Beyond twenty the others are counted."""
        self.write("a.ng", "".join(f"mkpeer hub h{n} h\n" for n in range(30)))
        self.assertEqual([], self.nodes(self.apply("a.ng")))
        self.assertEqual(21, len(self.warned))
        self.assertEqual("a.ng: 10 more nodes ended with the file", self.warned[-1])


class GoldenTests(FolderTestCase):
    """The conversations in tests/scripts."""

    def test_conversations(self) -> None:
        """Each file is found good, and says what its ``.out`` holds, to the byte."""
        names = sorted(path.stem for path in SCRIPTS.glob("*.ng"))
        self.assertNotEqual([], names)
        self.patch(os, "getpid", lambda: 77)
        self.folder = SCRIPTS
        for name in names:
            self.assertEqual(([], 0), check_files(SCRIPTS, f"{name}.ng"))
            self.apply(f"{name}.ng")
            expected = (SCRIPTS / f"{name}.out").read_text(encoding="latin-1")
            self.assertEqual(expected, "".join(f"{line}\n" for line in self.said), name)
