"""Tests for types: how one is declared, and where one is found."""

from __future__ import annotations

import os
import shutil
import sys
from errno import EEXIST, EINVAL, ENOENT
from importlib import invalidate_caches
from pathlib import Path

import twisted.plugins
from twisted.trial.unittest import SynchronousTestCase

from ngksock import __version__, plugin
from ngksock.netgraph import Node, Rows
from ngksock.netgraph.controlforms import Origin
from ngksock.nodes.socket import socket
from ngksock.plugin import ABI, NodeType, available, find_type, origins


class NodeTypeTests(SynchronousTestCase):
    def test_declared(self) -> None:
        """A type has a name, a cookie, what makes its nodes, and rows."""
        kind = NodeType("x", 5, Node)
        self.assertEqual(("x", 5, Node, ()), (kind.name, kind.cookie, kind.constructor,
                                              kind.commands.all))  # fmt: skip
        self.assertEqual("NodeType('x', 5)", repr(kind))
        self.assertIsInstance(NodeType("x", 5, lambda: Node()).commands, Rows)

    def test_arguments(self) -> None:
        """Names of 1 to 31 single bytes and positive 32-bit cookies; anything else is refused."""
        for name in ("a", "x" * 31, "a b", "vlan_rotate", "\xe9"):
            NodeType(name, 0xFFFFFFFF, Node)
        for name in ("", "x" * 32, "\u2192"):
            self.assertRaises(ValueError, NodeType, name, 1, Node)
        for cookie in (0, -1, 1 << 32):
            self.assertRaises(ValueError, NodeType, "x", cookie, Node)


BARE = """
from zope.interface import implementer
from ngksock.interfaces import INodeType
from ngksock.netgraph import Rows

@implementer(INodeType)
class Bare:
    name = "zz"
    cookie = 7
    commands = Rows()
    def constructor(self): pass
    # more

zz = Bare()
"""
GOOD = "from ngksock.netgraph import Node\nfrom ngksock.plugin import NodeType\n"


class FolderTests(SynchronousTestCase):
    """Types of distributions and plugin files that stand in a temporary folder."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()
        self.patch(sys, "path", [str(self.folder), *sys.path])
        self.patch(plugin, "_told", set())
        before = set(sys.modules)
        self.addCleanup(lambda: [sys.modules.pop(name) for name in set(sys.modules) - before])

    def distribution(self, name: str, entries: str, folder: str = "") -> None:
        """Install a distribution that announces *entries*."""
        info = self.folder / folder / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(entries)

    def announce(self, dist: str, *lines: str) -> None:
        self.distribution(dist, "\n".join(["[ngksock.node_types]", *lines]))

    def module(self, name: str, text: str) -> None:
        (self.folder / f"{name}.py").write_text(text)
        invalidate_caches()

    def fails(self, errno: int, name: str) -> str:
        error = self.assertRaises(OSError, find_type, name)
        self.assertEqual(errno, error.errno)
        return error.strerror or ""


class FindTests(FolderTests):
    """Stock types, and those of distributions."""

    def test_stock(self) -> None:
        """A stock type is found by its name."""
        self.assertIs(socket, find_type("socket"))
        self.assertIn("socket", available())

    def test_unknown(self) -> None:
        """Anything else is ENOENT, however it is written."""
        names = ["nosuch", "", "no such", "os.path", "..socket", "__init__", "__pycache__"]
        names += ["SOCKET", "socket.socket", "a/b", "\0", "\u2192", "x" * 5000]
        for name in names:
            self.assertEqual(f'there is no node type "{name}"', self.fails(ENOENT, name))

    def test_available(self) -> None:
        """Names are sorted, each once, without what is private."""
        names = available()
        self.assertEqual(sorted(set(names)), names)
        self.assertEqual([], [name for name in names if not name or name.startswith("_")])

    def test_entry_point(self) -> None:
        """A distribution's type is found, and imported only when it is."""
        self.module("zz_every", GOOD + 'every = NodeType("zz-every", 7, Node)\n')
        self.announce("zz-dist", "zz-every = zz_every:every")
        self.assertIn("zz-every", available())
        self.assertNotIn("zz_every", sys.modules)
        self.assertEqual(7, find_type("zz-every").cookie)

    def test_clash(self) -> None:
        """Two places that offer one name are EEXIST, and both are named."""
        self.announce("zz-one", "zz = zz_mod:zz")
        self.announce("zz-two", "zz = zz_mod:zz", "socket = zz_mod:zz")
        self.assertEqual(
            'node type "zz" is offered by zz-one and by zz-two', self.fails(EEXIST, "zz")
        )
        self.assertEqual(
            'node type "socket" is offered by ngksock and by zz-two', self.fails(EEXIST, "socket")
        )
        self.assertEqual(1, available().count("zz"))

    def test_hidden(self) -> None:
        """A distribution that stands on the path twice is looked at once."""
        self.announce("zz-one", "zz = zz_mod:zz")
        self.distribution("zz-one", "[ngksock.node_types]\nzz = zz_old:zz", folder="old")
        self.patch(sys, "path", [*sys.path, str(self.folder / "old")])
        self.module("zz_mod", GOOD + 'zz = NodeType("zz", 8, Node)\n')
        self.assertEqual(8, find_type("zz").cookie)

    def test_broken(self) -> None:
        """A type that cannot be loaded is EINVAL, with its distribution; others are found."""
        self.announce("zz-bad", "zz-a = zz_nosuch:x", "zz-b = zz_bad:x", "zz-c = zz_exit:x",
                      "zz-d = zz_ok:nosuch", "zz-ok = zz_ok:ok")  # fmt: skip
        self.module("zz_bad", "1 / 0")
        self.module("zz_exit", "raise SystemExit('gone')")
        self.module("zz_ok", GOOD + 'ok = NodeType("zz-ok", 7, Node)\n')
        for letter, reason in zip("abcd", ("zz_nosuch", "division by zero", "gone", "nosuch"),
                                  strict=True):  # fmt: skip
            text = self.fails(EINVAL, f"zz-{letter}")
            self.assertIn(f'node type "zz-{letter}" of zz-bad cannot be loaded', text)
            self.assertIn(reason, text)
        self.assertEqual(4, len(self.flushLoggedErrors()))
        self.assertEqual(7, find_type("zz-ok").cookie)
        self.assertEqual(set(), {"zz-a", "zz-b", "zz-c", "zz-d", "zz-ok"} - set(available()))

    def test_no_type(self) -> None:
        """An object that is no type is EINVAL."""
        self.announce("zz-odd", "zz-a = zz_odd:a", "zz-c = zz_odd:Node")
        self.module("zz_odd", GOOD + "a = object()\n")
        for letter in "ac":
            self.assertEqual(
                f'zz-odd offers something that is no node type "zz-{letter}"',
                self.fails(EINVAL, f"zz-{letter}"),
            )

    def test_broken_metadata(self) -> None:
        """A distribution nobody can read hides no other, and is logged."""
        self.distribution("zz-torn", "[ngksock.node_types]\nno equals sign here")
        self.announce("zz-good", "zz-ok = zz_ok:ok")
        self.module("zz_ok", GOOD + 'ok = NodeType("zz-ok", 7, Node)\n')
        self.assertEqual(7, find_type("zz-ok").cookie)
        self.assertIs(socket, find_type("socket"))
        self.assertIn("zz-ok", available())
        self.assertEqual([], self.flushLoggedErrors())  # no traceback: the package is not run
        self.assertEqual([["zz-torn"]], [[o.origin] for o in origins() if not o.type])


class PluginTests(FolderTests):
    """Types in ``twisted/plugins``."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(twisted.plugins, "__path__", [str(self.folder)])

    def plugin(self, name: str, text: str) -> None:
        self.module(name, GOOD + text)

    def test_plugin(self) -> None:
        """A plugin file's type is found beside those of distributions."""
        self.plugin("zz_plug", 'kind = NodeType("zz-plug", 9, Node)\n')
        self.assertEqual(9, find_type("zz-plug").cookie)
        self.assertIn("zz-plug", available())

    def test_broken_plugin(self) -> None:
        """A plugin file that cannot be imported harms no other."""
        self.plugin("zz_plug", 'kind = NodeType("zz-plug", 9, Node)\n')
        self.plugin("zz_torn", "1 / 0\n")
        self.assertEqual(9, find_type("zz-plug").cookie)
        self.assertIs(socket, find_type("socket"))
        self.assertGreater(len(self.flushLoggedErrors(ZeroDivisionError)), 0)

    def test_two_plugins(self) -> None:
        """Two plugin files that offer one name are a clash, whatever their classes."""
        for number in (1, 2):
            self.plugin(f"zz_plug{number}", f'kind = NodeType("zz-plug", {number}, Node)\n')
        self.assertIn('"zz-plug" is offered by', self.fails(EEXIST, "zz-plug"))

    def test_plugin_and_stock(self) -> None:
        """So are a plugin file and a stock type."""
        self.plugin("zz_plug", 'kind = NodeType("socket", 9, Node)\n')
        self.assertEqual(
            'node type "socket" is offered by ngksock and by '
            "twisted/plugins (twisted.plugins.zz_plug)",
            self.fails(EEXIST, "socket"),
        )

    def test_nameless(self) -> None:
        """An object that claims to be a type and has no name is passed over."""
        self.plugin(
            "zz_none",
            """
from twisted.plugin import IPlugin
from zope.interface import implementer
from ngksock.interfaces import INodeType

@implementer(IPlugin, INodeType)
class Nameless:
    @property
    def name(self):
        return 1 // 0

nameless = Nameless()
""",
        )
        self.plugin("zz_plug", 'kind = NodeType("zz-plug", 9, Node)\n')
        self.assertEqual(9, find_type("zz-plug").cookie)
        self.assertIn("zz-plug", available())
        self.assertNotIn("", available())

    def test_leaving(self) -> None:
        """So is one that ends the program when it is asked for its name."""
        self.plugin(
            "zz_none",
            """
from twisted.plugin import IPlugin
from zope.interface import implementer
from ngksock.interfaces import INodeType

@implementer(IPlugin, INodeType)
class Leaving:
    @property
    def name(self):
        raise SystemExit(9)

leaving = Leaving()
""",
        )
        self.assertIs(socket, find_type("socket"))
        self.assertNotIn("", available())

    def test_broken_once(self) -> None:
        """A broken file is imported and logged once, not each time somebody asks."""
        self.plugin("zz_torn", "1 / 0\n")
        for _ in range(3):
            available()
            self.assertRaises(OSError, find_type, "zz-nosuch")
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        (torn,) = [one for one in origins() if not one.type]
        self.assertTrue(torn.origin.endswith("zz_torn.py"), torn)
        self.assertIn("cannot be imported", torn.problem)

    def test_changed(self) -> None:
        """A file that comes, or is repaired, while the program runs is found."""
        self.assertNotIn("zz-plug", available())
        self.plugin("zz_plug", 'kind = NodeType("zz-plug", 9, Node)\n')
        self.assertIn("zz-plug", available())

    def test_gone(self) -> None:
        """What Twisted's cache knows and the file has no more is named, and harms nobody."""
        self.plugin("zz_plug", 'kind = NodeType("zz-plug", 9, Node)\n')
        available()
        del sys.modules["twisted.plugins.zz_plug"]
        path = self.folder / "zz_plug.py"
        path.write_text("# nothing\n" * 9)
        os.utime(path, (1, 1))  # older than the cache
        invalidate_caches()
        self.assertNotIn("zz-plug", available())
        self.assertEqual(1, len(self.flushLoggedErrors()))
        self.assertIn("cannot be loaded", next(one.problem for one in origins() if not one.type))


class StrangeTests(FolderTests):
    """Types of distributions that are wrong in all the ways there are."""

    def odd(self, text: str, errno: int = EINVAL) -> str:
        """Install a type made by *text*, and return why it cannot be had."""
        self.announce("zz-dist", "zz = zz_mod:zz")
        self.module("zz_mod", GOOD + text)
        said = self.fails(errno, "zz")
        self.assertIn("zz-dist", said)
        self.assertIs(socket, find_type("socket"))
        (told,) = [one for one in origins() if one.type == "zz"]
        self.assertEqual(("zz-dist 1.0", said), (told.origin, told.problem))
        return said

    def test_abi(self) -> None:
        """A type for another ABI is refused: its name, place, both numbers, the remedy."""
        self.assertEqual(
            'node type "zz" of zz-dist was written for ABI 2 of node types, ngksock '
            f"{__version__} has ABI {ABI}; install a newer ngksock",
            self.odd('zz = NodeType("zz", 7, Node, abi=2)'),
        )

    def test_old_abi(self) -> None:
        """For an older one, the remedy is another package."""
        self.patch(plugin, "ABI", 3)
        self.assertIn(
            "was written for ABI 1 of node types, ngksock "
            f"{__version__} has ABI 3; install a newer zz-dist",
            self.odd('zz = NodeType("zz", 7, Node)'),
        )

    def test_no_abi(self) -> None:
        """A bare provider without the number is taken to be of ABI 1."""
        self.announce("zz-dist", "zz = zz_mod:zz")
        self.module("zz_mod", BARE)
        self.assertEqual("zz", find_type("zz").name)

    def test_odd_abi(self) -> None:
        """A number that is none is another one."""
        self.assertIn("ABI one of", self.odd('zz = NodeType("zz", 7, Node, abi="one")'))

    def test_interrupting(self) -> None:
        """A module that ends the program on import ends nothing, but Ctrl-C does."""
        self.assertIn("SystemExit: 3", self.odd("raise SystemExit(3)"))
        self.assertEqual(1, len(self.flushLoggedErrors(SystemExit)))
        self.module("zz_mod", "raise KeyboardInterrupt")
        self.assertRaises(KeyboardInterrupt, find_type, "zz")

    def test_base_exception(self) -> None:
        """So does one that raises what is no Exception."""
        self.assertIn("Odd: no", self.odd('class Odd(BaseException): pass\nraise Odd("no")'))
        self.assertEqual(1, len(self.flushLoggedErrors()))

    def test_two_messages(self) -> None:
        """A class with two messages of one name."""
        said = self.odd(
            "from ngksock.netgraph import command\n"
            "class X(Node):\n"
            "    @command(1)\n    def a(self): 'A.'\n"
            "    @command(2, 'a')\n    def b(self): 'B.'\n"
            "zz = NodeType('zz', 7, X)"
        )
        self.assertIn("two control messages share a number or a name", said)
        self.flushLoggedErrors(ValueError)

    def test_nonsense(self) -> None:
        """A provider whose attributes are nonsense."""
        for line, words in {
            "cookie = 'x'": "the cookie 'x'", "cookie = 0": "the cookie 0",
            "commands = None": "no rows", "constructor = 5": "no rows as its commands, or",
        }.items():  # fmt: skip
            self.patch(plugin, "_told", set())
            sys.modules.pop("zz_mod", None)
            for folder in self.folder.glob("*.dist-info"):
                shutil.rmtree(folder)
            shutil.rmtree(self.folder / "__pycache__", ignore_errors=True)
            self.assertIn(words, self.odd(BARE.replace("# more", line)), line)

    def test_attributes_that_raise(self) -> None:
        """A provider that cannot even be looked at."""
        line = "@property\n    def abi(self): return 1 // 0"
        self.assertIn("ZeroDivisionError", self.odd(BARE.replace("# more", line)))

    def test_attributes_that_exit(self) -> None:
        """So is one that ends the program when it is looked at; Ctrl-C is the operator's."""
        line = "def __getattr__(self, name): raise SystemExit(9)"
        self.assertIn("cannot be used: SystemExit: 9", self.odd(BARE.replace("# more", line)))
        self.patch(plugin, "_wrong", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        self.assertRaises(KeyboardInterrupt, find_type, "zz")

    def test_speechless(self) -> None:
        """An error that cannot say what it is has at least a name."""
        text = "class Odd(Exception):\n    def __str__(self): raise SystemExit(9)\nraise Odd"
        self.assertTrue(self.odd(text).endswith("cannot be loaded: Odd"))
        self.assertEqual(1, len(self.flushLoggedErrors()))
        line = "class Odd(Exception):\n        def __str__(self): return 1 // 0"
        line += "\n    @property\n    def abi(self): raise self.Odd"
        sys.modules.pop("zz_mod", None)
        shutil.rmtree(self.folder / "zz_dist-1.0.dist-info")
        shutil.rmtree(self.folder / "__pycache__", ignore_errors=True)
        self.assertTrue(self.odd(BARE.replace("# more", line)).endswith("cannot be used: Odd"))

    def test_another_name(self) -> None:
        """A type that is announced under another name than its own: both are told."""
        self.assertEqual(
            'zz-dist announces node type "zy" as "zz", and so it is neither',
            self.odd('zz = NodeType("zy", 7, Node)'),
        )

    def test_unspeakable(self) -> None:
        """A name that no message can carry is not among the names, and is told where from."""
        long = "x" * 32
        self.announce("zz-dist", "\u0436 = zz_mod:zz", f"{long} = zz_mod:zz", "zz = zz_mod:zz")
        self.module("zz_mod", GOOD + 'zz = NodeType("zz", 7, Node)')
        self.assertIn("zz", available())
        self.assertEqual([], [n for n in available() if "\u0436" in n or n == long])
        told = {one.type: one.problem for one in origins()}
        for name in ("?", long):
            self.assertIn("is no name of a node type", told[name])

    def test_twice(self) -> None:
        """A distribution that offers two objects under one name clashes with itself."""
        self.announce("zz-dist", "zz = zz_mod:zz", "zz = zz_mod:other", "zz = zz_mod:zz")
        self.assertIn("offered by zz-dist and by zz-dist", self.fails(EEXIST, "zz"))
        self.assertEqual(2, len([one for one in origins() if one.type == "zz"]))

    def test_once(self) -> None:
        """A broken type is logged once, whoever asks for it and how often."""
        self.announce("zz-dist", "zz = zz_mod:zz")
        self.module("zz_mod", "1 / 0")
        for _ in range(3):
            self.fails(EINVAL, "zz")
            origins()
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))

    def test_no_metadata(self) -> None:
        """A folder without metadata is passed over."""
        self.announce("zz-dist", "zz = zz_mod:zz")
        (self.folder / "zz_dist-1.0.dist-info" / "METADATA").unlink()
        (self.folder / "zz_empty-1.0.dist-info").mkdir()
        self.assertIn("zz", available())

    def test_origins(self) -> None:
        """Types are listed by name, with distribution and version, and they are loaded."""
        self.announce("zz-dist", "zz = zz_mod:zz")
        self.module("zz_mod", GOOD + 'zz = NodeType("zz", 7, Node)')
        told = [one for one in origins() if one.type]
        self.assertEqual(sorted(one.type for one in told), [one.type for one in told])
        self.assertIn(Origin("zz", "zz-dist 1.0", ""), told)
        self.assertIn(Origin("socket", f"ngksock {__version__}", ""), told)
        self.assertEqual("zz-dist", vars(find_type("zz"))["place"])
