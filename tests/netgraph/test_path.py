"""Tests for ids, names and addresses (netgraph.md §1.3, §4)."""

from errno import EINVAL, ENOENT, ENXIO

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ngksock.netgraph.path import Path, check_hook_name, check_node_name, decode_id
from tests.netgraph.rig import GraphTests


class IdTests(SynchronousTestCase):
    def test_ids(self) -> None:
        """Upper and lower case, leading zeros and 0x are read (§1.3)."""
        for text in ("[1a]", "[1A]", "[0000001a]", "[0x1a]", "[0X1A]", f"[{'0' * 400}1a]"):
            self.assertEqual(0x1A, decode_id(text), text)
        self.assertEqual(0xFFFFFFFF, decode_id("[ffffffff]"))

    def test_no_ids(self) -> None:
        """0, more than 32 bits, signs, blanks and rests are not ids."""
        wrong: tuple[str, ...] = (
            "[]",
            "[0]",
            "[000]",
            "[0x]",
            "[0x0]",
            "[100000000]",
            "[1a",
            "1a]",
            "1a",
            "[g]",
        )
        wrong += ("[ 1]", "[1 ]", "[+1]", "[-1]", "[1]x", "x[1]", "[1]\n", "[[1]]", "[1_0]", "")
        wrong += ("[\u0661]",)
        for text in wrong:
            self.assertIsNone(decode_id(text), text)

    @given(st.integers(1, 0xFFFFFFFF))
    def test_round_trip(self, number: int) -> None:
        """Every id reads back from each of its forms."""
        for form in ("[{:x}]", "[{:08x}]", "[{:X}]", "[0x{:x}]"):
            self.assertEqual(number, decode_id(form.format(number)))


class NameTests(SynchronousTestCase):
    def refused(self, check, *names: str) -> None:
        for name in names:
            self.assertEqual(EINVAL, self.assertRaises(OSError, check, name).errno, name)

    def test_node_names(self) -> None:
        """Any byte but ``.`` and ``:`` may be in a node's name, 31 of them at most."""
        for name in ("a", "test hub", "[0]", "[xyz]", "[", "\x01", "\xff", "x" * 31, "[100000000]"):
            check_node_name(name)
        self.refused(check_node_name, "", "a.b", "a:b", ".", "x" * 32, "[1f]", "[0x1f]", "[001]")

    def test_hook_names(self) -> None:
        """A hook may look like an id or an address with slashes; empty, dots, colons: EINVAL."""
        for name in ("inet/dgram/udp", "[1f]", "a b", "0x1d", "a=b", "x" * 31):
            check_hook_name(name)
        self.refused(check_hook_name, "", "a.b", "a:b", ".", ":", "x" * 32)

    def test_sentences(self) -> None:
        """The error says what is wrong with which name."""
        error = self.assertRaises(OSError, check_hook_name, "a.b")
        self.assertEqual('hook name "a.b" contains "."', error.strerror)


GOOD = {
    "": (None, ()),
    ".": (None, ()),
    ".:": (None, ()),
    ".:.": (None, ()),
    "foo:": ("foo", ()),
    "foo:.": ("foo", ()),
    "foo": (None, ("foo",)),
    ".foo": (None, ("foo",)),
    "foo.": (None, ("foo",)),
    ".foo.": (None, ("foo",)),
    ".:foo": (None, ("foo",)),
    ".:.foo": (None, ("foo",)),
    "a:b": ("a", ("b",)),
    "a:.b.": ("a", ("b",)),
    "a.b.c": (None, ("a", "b", "c")),
    "[1a]:b.c": ("[1a]", ("b", "c")),
    "[0]:": ("[0]", ()),
    "test hub:a b": ("test hub", ("a b",)),
    "inet/dgram/udp": (None, ("inet/dgram/udp",)),
}


class PathTests(SynchronousTestCase):
    def test_good(self) -> None:
        """Each form of §4.1 and §4.2 reads as its table says."""
        for text, expected in GOOD.items():
            self.assertEqual(expected, tuple(Path.parse(text)), text)

    def test_bad(self) -> None:
        """Two dots in a row, an empty node part, a second colon, a dot before one: EINVAL."""
        for text in (
            "a..b", "..", "..a", "a..", ".:a..b", "x:..", ":foo", ":", "a:b:c", "::", "a::",
            "a.b:c", "..:", ".a:", "a.:",
        ):  # fmt: skip
            self.assertEqual(EINVAL, self.assertRaises(OSError, Path.parse, text).errno, text)

    def test_cut(self) -> None:
        """What is longer than 511 bytes is cut silently, errors beyond it included."""
        self.assertEqual(Path("n", ("x" * 509,)), Path.parse("n:" + "x" * 509 + "..:"))

    @given(st.text(".:[]a1", max_size=8))
    def test_any_text(self, text: str) -> None:
        """Any text is a path of non-empty parts, or EINVAL."""
        try:
            path = Path.parse(text)
        except OSError as error:
            self.assertEqual(EINVAL, error.errno)
        else:
            self.assertTrue(all(path.hooks) and path.node != "")


class FindTests(GraphTests):
    """Resolution, at a graph me -x- pass -out- sink."""

    def setUp(self) -> None:
        super().setUp()
        self.chain("pass", 1)
        self.ngctl("name x middle")

    def find(self, path: str) -> tuple[str, str | None]:
        node, arrival = self.graph.find(path, self.me)
        return node.name, None if arrival is None else arrival.name

    def fails(self, errno: int, path: str) -> str:
        error = self.assertRaises(OSError, self.graph.find, path, self.me)
        self.assertEqual(errno, error.errno, path)
        return error.strerror or ""

    def test_found(self) -> None:
        """A path ends at the node and the hook of it by which it arrived; names have none."""
        for path in ("", ".", ".:", "me:", "[1]:", "[001]:"):
            self.assertEqual(("me", None), self.find(path), path)
        for path in ("x", ".x", "x.", ".:x", "me:x", "[1]:x"):
            self.assertEqual(("middle", "in"), self.find(path), path)
        for path in ("x.out", "middle:out"):
            self.assertEqual(("sink", "in"), self.find(path), path)
        self.assertEqual(("me", "x"), self.find("x.in"))
        self.assertEqual(("middle", "out"), self.find("sink:in"))

    def test_unknown(self) -> None:
        """Unknown names, ids and hooks are ENOENT, and the sentence names what is missing."""
        for path in ("nobody:", "[99]:", "[0]:", "[1ffffffff]:", "y", "x.y", "x.out.in.y"):
            self.fails(ENOENT, path)
        self.assertEqual('there is no node "nobody:"', self.fails(ENOENT, "nobody:x"))
        self.assertEqual('node middle has no hook "y"', self.fails(ENOENT, "x.y"))

    def test_order_of_the_node_part(self) -> None:
        """An id wins over a name; only what is no id can be a name."""
        self.ngctl("name x [0]")
        self.assertEqual(("[0]", None), self.find("[0]:"))
        self.assertEqual(("me", None), self.find("[1]:"))

    def test_name_like_an_id_is_refused(self) -> None:
        """A node cannot take a name that an id would hide."""
        self.assertEqual(EINVAL, self.errno("name x [1f]"))

    def test_no_local_node(self) -> None:
        """A relative address without a local node is EINVAL, an absolute one is not."""
        for path in ("", ".", ".:", "x", ".:x"):
            error = self.assertRaises(OSError, self.graph.find, path, None)
            self.assertEqual(EINVAL, error.errno, path)
        self.assertEqual("sink", self.graph.find("sink:", None)[0].name)

    def test_dying(self) -> None:
        """A node being destroyed is ENXIO by its hooks, on the way too, and ENOENT by name."""
        middle = self.node("middle:")
        self.graph.work.enter()
        self.graph.rmnode_self(middle)
        self.fails(ENXIO, "x")
        self.fails(ENXIO, "x.out")
        self.fails(ENOENT, "middle:")
        self.fails(ENOENT, f"[{middle.id:x}]:")
        self.graph.work.leave()
        self.fails(ENOENT, "x")

    def test_long_name(self) -> None:
        """31 bytes are a name, and a path of more than 511 is cut and resolved."""
        self.ngctl(f"name x {'n' * 31}")
        self.assertEqual(("n" * 31, None), self.find("n" * 31 + ":"))
        self.fails(ENOENT, "n" * 32 + ":")
        self.assertEqual(("me", "x"), self.find(".:" + ".".join(["x", "in"] * 200)[:505]))
