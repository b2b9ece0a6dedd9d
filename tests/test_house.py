"""The rules of the house, held with ast: layers, sizes, names, and traps.

A rule is a function from the sources (path -> text) to a list of complaints.
Each rule has two tests: the tree keeps it, and a bad sample breaks it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parent.parent

Sources = dict[str, str]
Rule = Callable[[Sources], list[str]]

# What each layer may import of ours, itself apart.  A new module at the top of
# the package needs a line here: where does it stand?
LAYERS: dict[str, set[str]] = {
    "": set(),
    "packet": set(),
    "errors": {"packet"},
    "ethernet": set(),
    "interfaces": {"packet"},
    "ngd": set(),
    "netgraph": {"interfaces", "packet"},
    "kpi": {"errors", "interfaces", "packet"},
    "plugin": {"interfaces", "netgraph", "packet"},
    "tuntap": {"netgraph", "packet"},
    "nodes": {"ethernet", "interfaces", "netgraph", "packet", "plugin"},
    "service": {"errors", "interfaces", "kpi", "netgraph", "ngd", "nodes", "packet", "plugin"},
    "client": {"interfaces", "netgraph", "ngd", "packet"},
    "ctl": {"client", "interfaces", "netgraph", "ngd", "packet"},
    "testing": set(),  # imports anything, and nothing imports it
}
# For these a mention to the type checker is an import like any other.
SIBLINGS = {"netgraph": "kpi", "kpi": "netgraph"}
# The node types that touch the world.
KSOCKET = "ksocket"
DOORS = {"kpi": {KSOCKET}, "errors": {KSOCKET}, "tuntap": {"iface", "eiface"}}

TYPING = {"TYPE_CHECKING", "typing.TYPE_CHECKING"}
NOT_PURE = {"asyncio", "ctypes", "os", "select", "selectors", "socket", "threading", "twisted"}

FORBIDDEN = re.compile("(handler|manager|processor|engine|util|helper|common|misc)s?")


def read_sources(root: Path = ROOT) -> Sources:
    """Return all Python files the rules are about, by their path from *root*."""
    return {
        path.relative_to(root).as_posix(): path.read_text(encoding="utf-8")
        for folder in ("ngksock", "tests", "twisted")
        for path in sorted((root / folder).rglob("*.py"))
        if "_trial_temp" not in str(path)
    }


def package(sources: Sources) -> Sources:
    """Return the files of the package alone."""
    return {path: text for path, text in sources.items() if path.startswith("ngksock/")}


def module_name(path: str) -> str:
    """Return the dotted name of the module at *path*."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def layer(module: str) -> str:
    """Return the layer one of our modules stands in."""
    top = module.split(".", 2)[1] if "." in module else ""
    return "interfaces" if top.startswith("_i") else top


def walk(node: ast.AST, typing: bool = True, inner: bool = True) -> Iterator[ast.AST]:
    """Walk *node*, with or without what is *typing* only and *inner* to functions."""
    yield node
    children: Iterable[ast.AST] = ast.iter_child_nodes(node)
    if not typing and isinstance(node, ast.If) and ast.unparse(node.test) in TYPING:
        children = node.orelse
    for child in children:
        if inner or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from walk(child, typing, inner)


def imports(
    path: str, text: str, known: set[str], typing: bool = True, inner: bool = True
) -> list[tuple[int, str]]:
    """Return line and target of each import: a *known* module of ours, or a foreign name."""
    here = module_name(path).split(".")
    if path.endswith("/__init__.py"):
        here.append("__init__")
    found = []
    for node in walk(ast.parse(text), typing, inner):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(here[: len(here) - node.level]) if node.level else ""
            origin = ".".join(filter(None, [base, node.module]))
            ours = origin.split(".")[0] == "ngksock"
            for alias in node.names:
                full = f"{origin}.{alias.name}"
                found.append((node.lineno, origin if ours and full not in known else full))
    return found


def known_modules(sources: Sources) -> set[str]:
    """Return the names of all modules in *sources*."""
    return {module_name(path) for path in sources}


def node_type(module: str) -> str:
    """Return the type a module of nodes belongs to, "" for the package and other modules."""
    found = re.match(r"ngksock\.nodes\.(\w+)", module)
    return found[1] if found else ""


def may_import(importer: str, target: str) -> bool:
    """Tell whether our module *importer* may import our module *target*."""
    above, below, own = layer(importer), layer(target), node_type(importer)
    if above == below == "nodes":
        # A type knows its own files; only the package itself names them all.
        return own in ("", node_type(target))
    if above == "nodes" and below in DOORS:
        return own in DOORS[below]
    return above == "testing" or below in ("", above) or below in LAYERS.get(above, set())


def check_layers(sources: Sources) -> list[str]:
    """Imports go down house.md's diagram; siblings do not know each other."""
    known, bad = known_modules(sources), []
    for path, text in package(sources).items():
        importer = module_name(path)
        if layer(importer) not in LAYERS:
            bad.append(f"{path}: no layer is called {layer(importer)!r}")
        sibling = SIBLINGS.get(layer(importer))
        runtime = set(imports(path, text, known, typing=False))
        for line, target in imports(path, text, known):
            if target.split(".")[0] != "ngksock":
                continue
            if (line, target) in runtime and not may_import(importer, target):
                bad.append(f"{path}:{line}: {importer} imports {target}")
            elif sibling is not None and layer(target) == sibling:
                bad.append(f"{path}:{line}: {importer} mentions its sibling {target}")
    return bad


def check_pure_core(sources: Sources) -> list[str]:
    """Nothing in netgraph, packet and the interfaces touches the world, whoever asks."""
    bad = []
    for path, text in package(sources).items():
        # The interfaces may name a Deferred to the type checker.
        pure = layer(module_name(path))
        if pure not in ("", "interfaces", "netgraph", "packet"):
            continue
        for line, target in imports(path, text, set(), typing=pure == "netgraph"):
            if target.split(".")[0] in NOT_PURE:
                bad.append(f"{path}:{line}: {target} in the pure core")
    return bad


def check_nodes(sources: Sources) -> list[str]:
    """Of the nodes ksocket alone imports twisted; twisted.pair is for what is under iface."""
    bad = []
    for path, text in package(sources).items():
        module = module_name(path)
        own, in_nodes = node_type(module), path.startswith("ngksock/nodes/")
        for line, target in imports(path, text, set()):
            pair = target.startswith("twisted.pair")
            twisted = target.startswith("twisted") and in_nodes and not pair
            if (pair and layer(module) != "tuntap") or (twisted and own != KSOCKET):
                bad.append(f"{path}:{line}: {target} is not for this file")
    return bad


def reach(start: str, edges: dict[str, set[str]]) -> set[str]:
    """Return every module an import of *start* executes, parents of packages too."""
    seen: set[str] = set()
    todo = [start]
    while todo:
        module = todo.pop()
        if module in seen:
            continue
        seen.add(module)
        todo += edges.get(module, set())
        if "." in module:
            todo.append(module.rpartition(".")[0])
    return seen


def runtime_edges(sources: Sources) -> dict[str, set[str]]:
    """Return which module imports which, in functions too, typing apart."""
    known = known_modules(sources)
    return {
        module_name(path): {name for _, name in imports(path, text, known, typing=False)}
        for path, text in package(sources).items()
    }


def check_ctl(sources: Sources) -> list[str]:
    """The client programs start without Twisted, however far one follows the imports."""
    edges = runtime_edges(sources)
    return [
        f"{module} reaches twisted"
        for module in edges
        if layer(module) == "ctl" and "twisted" in reach(module, edges)
    ]


def check_cycles(sources: Sources) -> list[str]:
    """No module imports itself by way of others."""
    edges = runtime_edges(sources)

    def follow(module: str, seen: set[str]) -> set[str]:
        for target in edges.get(module, set()) - seen:
            seen.add(target)
            follow(target, seen)
        return seen

    return [f"{module} is in a cycle" for module in edges if module in follow(module, set())]


def check_sizes(sources: Sources) -> list[str]:
    """No file over 500 lines, interfaces 600; the package's mean is under 200."""
    lengths = {path: text.count("\n") for path, text in sources.items()}
    bad = [
        f"{path}: {length} lines"
        for path, length in lengths.items()
        if length > (600 if path.startswith("ngksock/_i") else 500)
    ]
    ours = [lengths[path] for path in package(sources)]
    if ours and sum(ours) / len(ours) >= 200:
        bad.append(f"the mean is {sum(ours) / len(ours):.0f} lines")
    return bad


def check_names(sources: Sources) -> list[str]:
    """No name says "something is done here" instead of what."""
    bad = []
    for path, text in sources.items():
        names = [(1, part) for part in module_name(path).split(".")]
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                names.append((node.lineno, node.name))
        for line, name in names:
            parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
            if any(FORBIDDEN.fullmatch(part.lower()) for part in parts):
                bad.append(f"{path}:{line}: {name} says too little")
    return bad


def check_statements(sources: Sources) -> list[str]:
    """No star import, no reactor at module level, no time.sleep, no bare except."""
    bad = []
    for path, text in sources.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ExceptHandler) and node.type is None:
                bad.append(f"{path}:{node.lineno}: a bare except")
            elif isinstance(node, ast.Attribute) and ast.unparse(node) == "time.sleep":
                bad.append(f"{path}:{node.lineno}: time.sleep")
            elif isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
                bad.append(f"{path}:{node.lineno}: a star import")
        for line, target in imports(path, text, set()):
            if target == "time.sleep":
                bad.append(f"{path}:{line}: time.sleep")
        if path.startswith("ngksock/"):
            for line, target in imports(path, text, set(), typing=False, inner=False):
                if target == "twisted.internet.reactor":
                    bad.append(f"{path}:{line}: the reactor at module level")
    return bad


def check_ignores(sources: Sources) -> list[str]:
    """The plugin file holds the one ``type: ignore`` outside the tests."""
    allowed = "twisted/plugins/ngksock_plugin.py"
    return [
        f"{path}: {text.count('# type: ignore')} times type: ignore"
        for path, text in sources.items()
        if not path.startswith("tests/")
        and text.count("# type: ignore") > (1 if path == allowed else 0)
    ]


def check_packages(sources: Sources) -> list[str]:
    """No __init__.py under twisted/; one wherever trial is to look for tests."""
    packages = {path.removesuffix("/__init__.py") for path in sources}
    folders = {path.rpartition("/")[0] for path in sources}
    twisted = {folder for folder in folders if folder.startswith("twisted")}
    bad = [f"{folder}/__init__.py breaks Twisted" for folder in twisted & packages]
    return bad + [f"{folder}/ lacks __init__.py" for folder in sorted(folders - twisted - packages)]


def check_docstrings(sources: Sources) -> list[str]:
    """Each test states its promise."""
    return [
        f"{path}:{node.lineno}: {node.name} has no docstring"
        for path, text in sources.items()
        if path.startswith("tests/")
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]


class HouseTests(SynchronousTestCase):
    """Each rule, and that it can fail."""

    maxDiff = None
    sources = read_sources()

    def kept(self, rule: Rule) -> None:
        """Assert that the tree keeps *rule*."""
        self.assertEqual([], rule(self.sources))

    def broken(self, rule: Rule, *samples: Sources) -> None:
        """Assert that *rule* has one complaint about each of *samples*."""
        for sample in samples:
            self.assertEqual(1, len(rule(sample)), f"{sample}: {rule(sample)}")

    def test_sources(self) -> None:
        """The rules see the package, the tests and the plugin file."""
        expected = {"ngksock/packet.py", "tests/test_house.py", "twisted/plugins/ngksock_plugin.py"}
        self.assertEqual(set(), expected - set(self.sources))

    def test_layers(self) -> None:
        """Imports go down house.md's diagram."""
        self.kept(check_layers)

    def test_layers_can_fail(self) -> None:
        """An import upwards or sideways is found, however it is written."""
        typing = "if TYPE_CHECKING:\n    "
        self.broken(
            check_layers,
            {"ngksock/netgraph/hook.py": "import ngksock.plugin"},
            {"ngksock/netgraph/hook.py": "def f():\n    from ..nodes import hub"},
            {"ngksock/netgraph/hook.py": typing + "from ngksock.kpi import socket"},
            {"ngksock/kpi/socket.py": typing + "from ngksock.netgraph.hook import Hook"},
            {"ngksock/kpi/__init__.py": "from ..netgraph import hook"},
            {"ngksock/nodes/hub.py": "from ngksock.kpi.socket import Socket"},
            {"ngksock/nodes/hub.py": "from ngksock.nodes.tee import tee"},
            {"ngksock/nodes/hub.py": "from ngksock.tuntap import Interface"},
            {"ngksock/service/tap.py": "from ngksock import testing", "ngksock/testing.py": ""},
            {"ngksock/packet.py": "from ngksock.netgraph import Hook"},
            {"ngksock/utilities.py": ""},
        )

    def test_layers_can_pass(self) -> None:
        """Imports downwards, and mentions to the type checker, are no complaint."""
        sample = {
            "ngksock/_inetgraph.py": "if TYPE_CHECKING:\n    from ngksock.netgraph import Hook",
            "ngksock/nodes/ksocket.py": "from ngksock.kpi import socket",
            "ngksock/nodes/iface.py": "from ngksock.tuntap import Interface",
            "ngksock/nodes/__init__.py": "from ngksock.nodes.hub import hub",
            "ngksock/service/tap.py": "from ngksock import __version__",
        }
        self.assertEqual([], check_layers(sample))

    def test_pure_core(self) -> None:
        """The core, packets and interfaces import nothing that touches the world."""
        self.kept(check_pure_core)

    def test_pure_core_can_fail(self) -> None:
        """Twisted, sockets and the system are found, in netgraph for typing too."""
        self.broken(
            check_pure_core,
            {"ngksock/netgraph/a.py": "import os.path"},
            {"ngksock/netgraph/a.py": "if TYPE_CHECKING:\n    from twisted.internet import defer"},
            {"ngksock/netgraph/a.py": "def f():\n    from socket import AF_INET"},
            {"ngksock/_ikpi.py": "from twisted.internet.defer import Deferred"},
        )

    def test_nodes(self) -> None:
        """Twisted is for ksocket, and its packet interfaces for ngksock.tuntap."""
        self.kept(check_nodes)

    def test_nodes_can_fail(self) -> None:
        """A hub that knows the reactor and a tap outside of ngksock.tuntap are found."""
        self.broken(
            check_nodes,
            {"ngksock/nodes/hub.py": "from twisted.internet import task"},
            {"ngksock/nodes/iface.py": "from twisted.pair import tuntap"},
            {"ngksock/kpi/dgram.py": "import twisted.pair.tuntap"},
        )

    def test_ctl(self) -> None:
        """The client programs start without Twisted."""
        self.kept(check_ctl)

    def test_ctl_can_fail(self) -> None:
        """Twisted is found behind a module, and behind that module's package."""
        ctl = {"ngksock/ctl/main.py": "from ngksock.nodes.hub import x"}
        reactor = "def f():\n    from twisted.internet import reactor"
        self.broken(
            check_ctl,
            {"ngksock/ctl/main.py": "import twisted"},
            {**ctl, "ngksock/nodes/hub.py": reactor},
            {**ctl, "ngksock/nodes/hub.py": "", "ngksock/nodes/__init__.py": reactor},
        )

    def test_cycles(self) -> None:
        """No module imports itself by way of others."""
        self.kept(check_cycles)

    def test_cycles_can_fail(self) -> None:
        """A circle is found through a package, and inside a function; typing is none."""
        closing = "from ngksock.netgraph import Node"
        circle = {"ngksock/netgraph/__init__.py": "from .node import Node"}
        for text in (closing, f"def f():\n    {closing}"):
            sample = {**circle, "ngksock/netgraph/node.py": text}
            self.assertEqual(2, len(check_cycles(sample)))
        sample = {**circle, "ngksock/netgraph/node.py": f"if TYPE_CHECKING:\n    {closing}"}
        self.assertEqual([], check_cycles(sample))

    def test_sizes(self) -> None:
        """Files are short."""
        self.kept(check_sizes)

    def test_sizes_can_fail(self) -> None:
        """A long file, a long interface and a high mean are found."""
        self.broken(
            check_sizes,
            {"tests/test_a.py": "\n" * 501},
            {"ngksock/_ikpi.py": "\n" * 601, **{f"ngksock/{n}.py": "" for n in range(4)}},
            {"ngksock/a.py": "\n" * 200, "tests/a.py": ""},
        )

    def test_names(self) -> None:
        """No module, class or function has one of the empty names."""
        self.kept(check_names)

    def test_names_can_fail(self) -> None:
        """The words are found in any spelling, and only as whole parts."""
        self.broken(
            check_names,
            {"ngksock/string_utils.py": ""},
            {"ngksock/common/__init__.py": ""},
            {"tests/a.py": "class HTTPHandler: pass"},
            {"tests/a.py": "class NodeManager2: pass"},
            {"tests/a.py": "async def run_engine(): pass"},
        )
        self.assertEqual([], check_names({"tests/a.py": "def commonest(): pass"}))

    def test_statements(self) -> None:
        """No star import, reactor at module level, time.sleep or bare except."""
        self.kept(check_statements)

    def test_statements_can_fail(self) -> None:
        """Each of the four is found; a reactor inside a function is fine."""
        reactor = "from twisted.internet import reactor"
        self.broken(
            check_statements,
            {"tests/a.py": "from os import *"},
            {"tests/a.py": "import time\ntime.sleep(1)"},
            {"tests/a.py": "from time import sleep"},
            {"tests/a.py": "try:\n    pass\nexcept:\n    pass"},
            {"ngksock/a.py": f"try:\n    {reactor}\nexcept ImportError:\n    pass"},
        )
        self.assertEqual([], check_statements({"ngksock/a.py": f"def f():\n    {reactor}"}))

    def test_ignores(self) -> None:
        """mypy is told to look away once, in the plugin file."""
        self.kept(check_ignores)

    def test_ignores_can_fail(self) -> None:
        """A second one is found."""
        ignore = "x = 1  # " + "type: ignore[misc]\n"
        self.broken(
            check_ignores,
            {"ngksock/a.py": ignore},
            {"twisted/plugins/ngksock_plugin.py": ignore * 2},
        )

    def test_packages(self) -> None:
        """Folders are packages, except for Twisted's."""
        self.kept(check_packages)

    def test_packages_can_fail(self) -> None:
        """A package under twisted/, and tests that trial would not find, are found."""
        self.broken(
            check_packages,
            {"twisted/plugins/__init__.py": ""},
            {"tests/__init__.py": "", "tests/kpi/test_mbuf.py": ""},
        )

    def test_docstrings(self) -> None:
        """Every test states its promise."""
        self.kept(check_docstrings)

    def test_docstrings_can_fail(self) -> None:
        """A silent test is found in a class and outside."""
        self.broken(
            check_docstrings,
            {"tests/a.py": "def test_x(): pass"},
            {"tests/a.py": "class A:\n    async def test_x(self): pass"},
        )
