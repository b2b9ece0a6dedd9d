"""Replay: that a script read once does, each time, what its session would do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from errno import EINPROGRESS, EINVAL, EPERM
from typing import Annotated, Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ngksock.netgraph import Graph, Hook, Item, Node, Reply, command, command_later
from ngksock.netgraph.edges import mkpeer
from ngksock.netgraph.layout import (
    INT32,
    STRING,
    Counted,
    CountedBytes,
    FixedString,
    Int32,
    Lexer,
    ParseType,
    Prefixed,
    Reader,
    Seen,
    StringType,
    Struct,
    UInt16,
)
from ngksock.netgraph.message import GENERIC_COOKIE
from ngksock.netgraph.replay import NoFiles, Replay, ScriptPort
from ngksock.netgraph.scalars import IntType
from ngksock.netgraph.session import Session
from ngksock.plugin import NodeType

ALLOWED = frozenset({"mkpeer", "connect", "name", "rmhook", "shutdown", "msg"})


@dataclass
class Pair:
    """What a message may carry."""

    a: UInt16
    words: Annotated[list[str], Prefixed(STRING)]


class Counter(ParseType[int]):
    """A word that means another number each time it is read."""

    size = 4
    read_so_far = 0

    def scan(self, text: Lexer, seen: Seen) -> int:
        text.word("a word")
        Counter.read_so_far += 1
        return Counter.read_so_far

    def show(self, value: int, seen: Seen) -> str:
        return str(value)

    def write(self, value: int, out: bytearray, seen: Seen) -> None:
        out.extend(INT32.pack(value))

    def read(self, data: Reader, seen: Seen) -> int:
        return INT32.unpack(data.take(4))

    def shape(self) -> str:
        return "<word>"


class Next(IntType):
    """An integer type that reads by a rule of its own, and does not say that it is steady."""

    def scan(self, text: Lexer, seen: Seen) -> int:
        return super().scan(text, seen) + COUNTER.scan(Lexer("x"), seen)


COUNTER = Counter()


def grown() -> int:
    """Return another number each time."""
    return COUNTER.scan(Lexer("x"), {})


@dataclass
class Stamped:
    """Has in its bytes what was not in the text."""

    a: Int32

    def __post_init__(self) -> None:
        self.a += grown()


@dataclass(frozen=True)
class Numbered:
    """Nobody can change it, and no two are the same."""

    a: Int32
    number: int = field(init=False, default_factory=grown)


def so_many(seen: Seen) -> int:
    """Return the length of an array, which is not always the same."""
    return Counter.read_so_far % 3


@dataclass
class Sized:
    """An array, as long as its layout likes."""

    items: Annotated[list[int], Counted(INT32, so_many)]


@dataclass
class Octets:
    """Bytes, as many as their layout likes."""

    octets: Annotated[bytes, CountedBytes(so_many)]


class Doubtful(StringType):
    """Does not know whether its text lasts."""

    def lasts(self, text: str) -> bool:
        raise KeyError("bug")


class Base(Node):
    """Notes its messages; there is one of each sort."""

    def __init__(self) -> None:
        super().__init__()
        self.replies: list[Reply[int]] = []

    def rcvmsg(self, item: Item, lasthook: Hook | None) -> None:
        arrived = lasthook.name if lasthook else None
        self.graph.shared["log"].append((self.id, item.message, item.source, arrived))
        super().rcvmsg(item, lasthook)

    def note(self, *what: object) -> None:
        self.graph.shared["log"].append((self.id, *what))

    @command(2, arg=Struct(Pair))
    def pair(self, value: Pair) -> None:
        """Take a pair, and change it."""
        self.note("pair", value.a, tuple(value.words))
        value.words.append("mine")

    @command(3, arg=COUNTER)
    def counter(self, value: int) -> None:
        """Take what means something else each time."""
        self.note("counter", value)

    @command_later(4, arg=STRING, resp=INT32, cmdstr="LATER")
    def later(self, value: str, reply: Reply[int]) -> None:
        """Answer later."""
        self.note("later", value)
        self.replies.append(reply)
        raise OSError(EINPROGRESS, "under way")

    @command(5, resp=STRING)
    def refuse(self) -> str:
        """Refuse."""
        raise OSError(EPERM, "never")

    @command(6)
    def fail(self) -> None:
        """Have a bug."""
        raise KeyError("bug")

    @command(7, resp=INT32)
    def answer(self) -> int:
        """Answer at once."""
        return 42

    @command(8, arg=Next(32, "int"))
    def following(self, value: int) -> None:
        """Take a number that grows."""
        self.note("following", value)

    @command(10, arg=Struct(Stamped))
    def stamped(self, value: Stamped) -> None:
        """Take what its class has changed."""
        self.note("stamped", value.a)

    @command(11, arg=Struct(Numbered))
    def numbered(self, value: Numbered) -> None:
        """Take what its class has numbered."""
        self.note("numbered", value.a, value.number)

    @command(12, arg=Struct(Sized))
    def sized(self, value: Sized) -> None:
        """Take as many as there are."""
        self.note("sized", tuple(value.items))

    @command(13, arg=Struct(Octets))
    def octets(self, value: Octets) -> None:
        """Take as many as there are."""
        self.note("octets", value.octets)

    @command(5, cookie=GENERIC_COOKIE, arg=FixedString(32))
    def unhook(self, value: str) -> None:
        """Never be called: the number is that of rmhook, which all nodes have."""

    @command(9)
    def go(self) -> None:
        """End when the call is over."""
        self.graph.rmnode_self(self)


class Probe(Base):
    """Has a message of one name."""

    @command(1, arg=INT32)
    def number(self, value: int) -> None:
        """Take a number."""
        self.note("number", value)

    @command(14, arg=Doubtful())
    def doubtful(self, value: str) -> None:
        """Take a string."""
        self.note("doubtful", value)


class Other(Base):
    """Has messages of those names, and of another form."""

    @command(15, name="doubtful", arg=FixedString(8))
    def sure(self, value: str) -> None:
        """Take a string."""
        self.note("sure", value)

    @command(1, arg=STRING)
    def number(self, value: str) -> None:
        """Take a string."""
        self.note("string", value)


KINDS = {"probe": NodeType("probe", 901, Probe), "other": NodeType("other", 902, Other)}


def find_type(name: str) -> NodeType:
    """Return a type of the test's."""
    try:
        return KINDS[name]
    except KeyError:
        raise FileNotFoundError(2, f'there is no node type "{name}"') from None


class World:
    """A graph with a node that has a script, and those for whom it is run."""

    def __init__(self) -> None:
        self.reports: list[str] = []
        self.warnings: list[str] = []
        self.graph = Graph(find_type, lambda work: None, lambda: 0.0, self.report)
        self.log: list[tuple[object, ...]] = []
        self.graph.shared["log"] = self.log
        self.source = self.graph.make(KINDS["probe"])
        self.graph.rename(mkpeer(self.graph, self.source, "other", "x", "y"), "far")

    def report(self, sentence: str, error: Exception | None) -> None:
        self.reports.append(sentence)

    def rounds(self, kinds: list[str], run: Callable[[Node, dict[int, str]], str]) -> list[object]:
        """Run a script for a new node of each kind; return all that can be seen of it."""
        seen: list[object] = []
        for kind in kinds:
            here = self.graph.make(KINDS[kind])
            waiting: dict[int, str] = {}
            newborn = self.graph.newborn = []
            try:
                failed = run(here, waiting)
            finally:
                self.graph.newborn = None
            seen.append((failed, waiting, [node.id for node in newborn], self.state()))
        return [*seen, self.log, self.reports, self.warnings]

    def state(self) -> list[object]:
        """Return nodes, names and links."""
        return [
            (
                node.id, node.name, node.type.name, node.busy,
                [(h.name, h.peer.name, h.peer.node.id) for h in node.hooks.values()],
            )
            for node in self.graph
        ]  # fmt: skip

    def by_session(self, lines: list[str]) -> Callable[[Node, dict[int, str]], str]:
        """Return what runs the lines one by one, as everybody's are run."""
        token = 0

        def run(here: Node, waiting: dict[int, str]) -> str:
            nonlocal token
            port = ScriptPort(self.graph, self.source, here)
            port.waiting = waiting
            session = Session(port, self.warnings.append, self.warnings.append, NoFiles(), ALLOWED)
            session.token = token
            try:
                for line in lines:
                    port.line = line
                    session.run(line)
            except OSError as error:
                return f"{port.line}: {error.errno or EINVAL} {error.strerror or error}"
            finally:
                token = session.token
            return ""

        return run

    def by_replay(self, lines: list[str]) -> Callable[[Node, dict[int, str]], str]:
        """Return what replays them."""
        port = ScriptPort(self.graph, self.source, self.source)
        session = Session(port, self.warnings.append, self.warnings.append, NoFiles(), ALLOWED)
        replay = Replay(session, port, lines)

        def run(here: Node, waiting: dict[int, str]) -> str:
            port.here, port.waiting = here, waiting
            try:
                replay.run()
            except OSError as error:
                return f"{port.line}: {error.errno or EINVAL} {error.strerror or error}"
            return ""

        return run


def blend(*parts: list[str]) -> st.SearchStrategy[str]:
    """Return lines that have one of each of *parts*."""
    return st.tuples(*map(st.sampled_from, parts)).map(lambda words: " ".join(filter(None, words)))


PATHS = 4 * [".", ".:a", "far:", "n:"] + [
    ".",
    ".:a",
    ".:a.b",
    ".:b",
    "far:",
    "far:a",
    "n:",
    "[1]:",
    "[4]:",
    "a..b",
    "x:y:z",
    "nix:",
]
HOOKS = 5 * ["a", "b", "c"] + ["a", "b", "c", '"a"', "h" * 40, "x.y", "\u00e9", "\u20ac", '"a b"']
NAMES = ["n", "m", "far", "[5]", "o" * 33]
MESSAGES = [
    "number 5", 'number "5"', "number 0x10", "number", "number 99999999999", "number 1 2", "go",
    'pair { a=3 words=[ "x" "y z" ] }', "pair {}", "pair { b=1 }", "counter w", "following 3",
    'later "x"', "later", "refuse", "fail", "answer", "answer 1", "unknown", "shutdown",
    'mkpeer { type="probe" ourhook="m" peerhook="m" }', "nodeinfo", 'config', "textstatus",
    "stamped { a=1 }", "numbered { a=1 }", "sized { }", "octets { }", 'doubtful "x"', 'unhook "a"',
    'name { name="said" }', "binary2ascii { }", 'rmhook { hook="a" }',
]  # fmt: skip
LINE = st.one_of(
    blend(["mkpeer", "mk", "MKPEER"], ["", *PATHS], ["probe", "other", "none"], HOOKS, HOOKS),
    blend(["mkpeer probe a a", "mkpeer other b b", "mkpeer .:a probe b b"], ["", "", "#"]),
    blend(["connect", "join"], ["", *PATHS], PATHS, HOOKS, HOOKS),
    blend(["name"], PATHS, NAMES),
    blend(["rmhook", "disconnect"], ["", *PATHS], HOOKS),
    blend(["shutdown", "kill"], PATHS),
    blend(["msg", "  msg", "cmd"], PATHS, MESSAGES),
    blend(["msg"], [".", ".:a"], MESSAGES),
    st.sampled_from(
        ["", "# nothing", "list", "write a 1", "mkpeer", "nonsense", 'msg "." number 1']
    ),
)
"""Lines, the wrong ones among them."""
BEGINNINGS = [[], ["mkpeer probe a a"], ["mkpeer probe a a", "name .:a n", "mkpeer n: other b a"]]


class EqualTests(SynchronousTestCase):
    @settings(max_examples=300, deadline=None)
    @given(
        st.builds(list.__add__, st.sampled_from(BEGINNINGS), st.lists(LINE, max_size=6)),
        st.lists(st.sampled_from(["probe", "probe", "other"]), min_size=1, max_size=4),
    )
    @example(["msg . counter a", 'msg . pair { words=[ "a" ] }', 'msg . later "x"'], 3 * ["probe"])
    @example(["mkpeer probe a a", 'msg .:a later ""', "msg . number 3"], ["probe", "other"])
    @example(["mkpeer other a a", "msg .:a following 2", "msg .a answer"], ["other", "probe"])
    @example(["msg . stamped { a=1 }", "msg . numbered { a=2 }"], 3 * ["probe"])
    @example(["msg . counter x", "msg . sized {}", "msg . octets {}"], 4 * ["probe"])
    @example(['msg . doubtful "x"'], ["other", "probe", "other"])
    @example(["mkpeer probe a a", 'msg . unhook "a"'], 2 * ["probe"])
    def test_equal(self, lines: list[str], kinds: list[str]) -> None:
        """Graphs, messages, tokens, errors, warnings: all as if a session had run the lines."""
        slow, fast = World(), World()
        Counter.read_so_far = 0
        expected = slow.rounds(kinds, slow.by_session(lines))
        Counter.read_so_far = 0
        self.assertEqual(expected, fast.rounds(kinds, fast.by_replay(lines)))


class WorkTests(SynchronousTestCase):
    """What a replay does not do again."""

    def setUp(self) -> None:
        self.world = World()
        self.read: list[str] = []
        for kind in (Session, ScriptPort):
            name = "run" if kind is Session else "encode"
            self.patch(kind, name, self.noted(getattr(kind, name)))

    def noted(self, method: Any) -> Callable[..., Any]:
        """Return *method*, whose calls are counted."""

        def call(*args: Any) -> Any:
            self.read.append(method.__name__)
            return method(*args)

        return call

    def run_twice(self, *lines: str, kinds: tuple[str, str] = ("probe", "probe")) -> list[str]:
        """Return what was read for the second of two nodes."""
        run = self.world.by_replay(list(lines))
        self.world.rounds([kinds[0]], run)
        self.read.clear()
        self.world.rounds([kinds[1]], run)
        return self.read

    def test_read_once(self) -> None:
        """No line and no argument is read again for the next node."""
        lines = (
            "mkpeer probe a a", "name .:a n", "name n: n2", "msg .:a number 7", 'msg .:a later "x"',
            "msg .:a pair { a=1 }", "connect n2: . b b", "rmhook b", "shutdown .:a",
        )  # fmt: skip
        self.assertEqual([], self.run_twice(*lines))

    def test_unsteady(self) -> None:
        """What may mean something else is converted each time, and nothing else is."""
        self.assertEqual(["encode"], self.run_twice("msg . number 7", "msg . counter x"))
        self.assertEqual(["encode"], self.run_twice("msg . following 7"))

    def test_other_type(self) -> None:
        """A node of another type has its own form of a message."""
        lines = 'msg . number "5"', "msg . answer"
        found = self.run_twice(*lines, kinds=("other", "probe"))
        self.assertEqual(["encode"], found)  # which fails

    def test_warns(self) -> None:
        """A line that warns does so each time."""
        self.assertEqual(["run"], self.run_twice(f"mkpeer probe {'h' * 40} a"))
        self.assertEqual(2, len(self.world.warnings))
