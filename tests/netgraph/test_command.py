"""Tests for the rows: what a `command` declares, and how it is carried out."""

from dataclasses import dataclass
from errno import EINVAL, EPERM

from twisted.trial.unittest import SynchronousTestCase

from ngksock.netgraph import Item, Message, Node, Reply, Rows, command, command_later, rows_of
from ngksock.netgraph.layout import INT32, UINT32, Struct, UInt32
from ngksock.netgraph.message import READONLY
from ngksock.plugin import NodeType
from tests.netgraph.rig import GraphTests

OTHER = 4242


@dataclass
class Pair:
    a: UInt32 = 0
    b: UInt32 = 0


class Counter(Node):
    def __init__(self) -> None:
        super().__init__()
        self.n = 0
        self.waiting: list[Reply[int]] = []

    @command(1, arg=UINT32)
    def setn(self, n: int) -> None:
        """Set the number."""
        if n == 13:
            raise OSError(EPERM, "13 is not for you")
        self.n = n

    @command(2 | READONLY, resp=UINT32)
    def getn(self) -> int:
        """Tell the number."""
        return self.n

    @command(3, "sum", arg=Struct(Pair), resp=UINT32)
    def add_up(self, pair: Pair) -> int:
        return pair.a + pair.b

    @command(4)
    def reset(self) -> None:
        self.n = 0

    @command(5, lenient=True)
    def tolerant(self) -> None:
        self.n += 1

    @command_later(6, arg=UINT32, resp=INT32, cmdstr="LATER")
    def later(self, n: int, reply: Reply[int]) -> None:
        self.waiting.append(reply)
        if n:
            reply(n)

    @command(7, cookie=OTHER)
    def foreign(self) -> None:
        self.n = 7

    @command_later(8, resp=INT32)
    def both(self, reply: Reply[int]) -> None:
        reply(8)
        raise OSError(EPERM, "an error beside a reply")

    @command(9, resp=UINT32)
    def garbage(self) -> int:
        return "no number"  # type: ignore[return-value]


counter = NodeType("counter", 99, Counter)


class RowsTests(SynchronousTestCase):
    def test_declared(self) -> None:
        """A row has its number, its name, its layouts, and its help from the docstring."""
        row = counter.commands.find(99, 1)
        assert row is not None
        self.assertEqual(
            (1, "setn", "setn", UINT32, None, 99, False, "Set the number."),
            (row.cmd, row.name, row.method, row.arg, row.resp, row.cookie, row.later, row.doc),
        )
        self.assertIs(UINT32, row.layout(response=False))
        self.assertIsNone(row.layout(response=True))

    def test_found(self) -> None:
        """By number with its bits and its cookie, or by exact name; anything else is None."""
        rows = counter.commands
        found = [rows.find(99, 2 | READONLY), rows.find(99, 3), rows.find(OTHER, 7)]
        self.assertEqual(["getn", "sum", "foreign"], [row.name for row in found if row])
        self.assertEqual([None] * 3, [rows.find(99, 2), rows.find(OTHER, 1), rows.find(99, 7)])
        self.assertEqual([None] * 3, [rows.named("add_up"), rows.named("SETN"), rows.named("")])

    def test_order(self) -> None:
        """Rows stand in the order of the class, a base's before its heirs'."""

        class Heir(Counter):
            @command(20)
            def more(self) -> None:
                pass

        names = [row.name for row in rows_of(Heir, 5).all]
        self.assertEqual([row.name for row in counter.commands.all] + ["more"], names)
        self.assertEqual({5, OTHER}, {row.cookie for row in rows_of(Heir, 5).all})

    def test_heirs(self) -> None:
        """An heir's plain method takes the place of the base's under the same row."""

        class Heir(Counter):
            def getn(self) -> int:
                return 1000

        heir, answers = Heir(), []
        row = rows_of(Heir, 99).named("getn")
        assert row is not None
        row.call(heir, Item(Message(99, 2), 1), lambda item, data: answers.append(data))
        self.assertEqual([UINT32.pack(1000)], answers)

    def test_clash(self) -> None:
        """Two messages with one number, or one name, are a mistake found at once."""

        class SameNumber:
            @command(1)
            def one(self) -> None:
                pass

            @command(1)
            def two(self) -> None:
                pass

        class SameName:
            @command(1, "one")
            def one(self) -> None:
                pass

            @command(2, "one")
            def two(self) -> None:
                pass

        for cls in (SameNumber, SameName):
            self.assertRaises(ValueError, NodeType, "x", 1, cls)
        self.assertEqual((), Rows().all)


class DispatchTests(GraphTests):
    """Rows, called by messages."""

    def setUp(self) -> None:
        super().setUp()
        self.add(counter)
        self.ngctl("mkpeer counter x x", "name x c")
        self.counter = self.node("c:")

    def test_argument(self) -> None:
        """The method gets the unpacked argument; what it raises is the sender's errno."""
        self.assertEqual((0, 5), (self.tell("c:", 1, UINT32.pack(5), 99), self.counter.n))
        self.assertEqual((EPERM, 5), (self.tell("c:", 1, UINT32.pack(13), 99), self.counter.n))
        self.assertEqual([], self.reports)

    def test_response(self) -> None:
        """What the method returns is the reply."""
        self.counter.n = 6
        self.assertEqual(UINT32.pack(6), self.ask("c:", 2 | READONLY, cookie=99))
        self.assertEqual(UINT32.pack(5), self.ask("c:", 3, Struct(Pair).pack(Pair(2, 3)), 99))

    def test_arglen(self) -> None:
        """A length that is not the layout's is EINVAL, and nothing is called."""
        for data in (b"", b"123", b"12345"):
            self.assertEqual(EINVAL, self.tell("c:", 1, data, 99))
        self.assertEqual(EINVAL, self.tell("c:", 4, b"x", 99))
        self.assertEqual(0, self.counter.n)

    def test_lenient(self) -> None:
        """Only where the row says so is an argument nobody takes ignored."""
        self.assertEqual((0, 1), (self.tell("c:", 5, b"junk", 99), self.counter.n))

    def test_unknown(self) -> None:
        """Another number, a number without its bits, another cookie, a response: EINVAL."""
        for cookie, cmd in ((99, 77), (99, 2), (12345, 1), (OTHER, 1)):
            self.assertEqual(EINVAL, self.tell("c:", cmd, UINT32.pack(1), cookie))
        answer = Message(99, 1, UINT32.pack(1), flags=1)
        self.assertEqual(
            EINVAL, self.assertRaises(OSError, self.graph.send, self.me, "c:", answer).errno
        )

    def test_cookie_of_a_row(self) -> None:
        """A row may have a cookie of its own."""
        self.assertEqual((0, 7), (self.tell("c:", 7, b"", OTHER), self.counter.n))

    def test_later(self) -> None:
        """A late reply carries token, cookie, number and the row's name, once only."""
        self.graph.send(self.me, "c:", Message(99, 6, UINT32.pack(0), 31))
        self.assertEqual(0, len(self.inbox))
        (reply,) = self.counter.waiting
        reply(-5)
        reply(-6)
        (item,) = self.inbox
        self.assertEqual(
            (Message(99, 6, INT32.pack(-5), 31, 1, "LATER"), self.counter.id),
            (item.message, item.source),
        )

    def test_later_from_another(self) -> None:
        """A late reply may be said to come from another node (§7.7)."""
        self.tell("c:", 6, UINT32.pack(0), 99)
        self.counter.waiting[0](1, source=77)
        self.assertEqual([77], [item.source for item in self.inbox])

    def test_later_and_gone(self) -> None:
        """The answer to a requester that is gone is dropped, without an error."""
        other = self.socket("other")
        other.on_message = self.inbox.append
        self.graph.send(other, "c:", Message(99, 6, UINT32.pack(0)))
        self.graph.rmnode(other)
        self.counter.waiting[0](1)
        self.assertEqual((0, []), (len(self.inbox), self.reports))

    def test_later_after_the_node(self) -> None:
        """A node that is gone may still answer; the id is the one it had."""
        self.tell("c:", 6, UINT32.pack(0), 99)
        self.ngctl("shutdown c:")
        self.counter.waiting[0](4)
        self.assertEqual([self.counter.id], [item.source for item in self.inbox])

    def test_later_at_once(self) -> None:
        """A reply given at once is there when the send returns."""
        self.assertEqual(INT32.pack(3), self.ask("c:", 6, UINT32.pack(3), 99))

    def test_error_beside_a_reply(self) -> None:
        """Of an error and a reply the reply counts (§3.4)."""
        self.assertEqual(INT32.pack(8), self.ask("c:", 8, cookie=99))

    def test_garbage(self) -> None:
        """A method that returns something else than it declared is a bug: EINVAL and a report."""
        self.assertEqual((EINVAL, 1), (self.tell("c:", 9, cookie=99), len(self.reports)))

    def test_text(self) -> None:
        """Both forms reach the same method, and a reply is shown in words."""
        self.assertEqual(
            [f'Rec\'d response "sum" (3) from "[{self.counter.id:x}]:":\nArgs:\t30'],
            self.ngctl("msg c: sum { a=10 b=20 }"),
        )
