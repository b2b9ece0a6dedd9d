"""Tests for types: how one is declared, and where one is found."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from errno import EEXIST, EINVAL, ENOENT
from importlib import invalidate_caches
from pathlib import Path

import twisted.plugins
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides

from ngksock import plugin
from ngksock.interfaces import INodeType
from ngksock.netgraph import Node, Rows
from ngksock.nodes.socket import socket
from ngksock.plugin import NodeType, available, find_type


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


GOOD = "from ngksock.netgraph import Node\nfrom ngksock.plugin import NodeType\n"


class FolderTests(SynchronousTestCase):
    """Types of distributions and plugin files that stand in a temporary folder."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()
        self.patch(sys, "path", [str(self.folder), *sys.path])
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
        """An object that is no type, or has another name, is EINVAL."""
        self.announce("zz-odd", "zz-a = zz_odd:a", "zz-b = zz_odd:b", "zz-c = zz_odd:Node")
        self.module("zz_odd", GOOD + 'a = object()\nb = NodeType("other", 7, Node)\n')
        for letter in "abc":
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
        self.assertGreater(len(self.flushLoggedErrors()), 0)


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
            "twisted/plugins (ngksock.netgraph.node)",
            self.fails(EEXIST, "socket"),
        )

    def test_nameless(self) -> None:
        """An object that claims to be a type and has no name is passed over."""

        class Nameless:
            pass

        nameless = Nameless()
        directlyProvides(nameless, INodeType)

        def plugins(interface: object) -> Iterator[object]:
            return iter([nameless, NodeType("zz-plug", 9, Node)])

        self.patch(plugin, "getPlugins", plugins)
        self.assertEqual(9, find_type("zz-plug").cookie)
        self.assertIn("zz-plug", available())
