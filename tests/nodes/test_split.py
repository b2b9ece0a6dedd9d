"""split: netgraph.md §10.5."""

from __future__ import annotations

from errno import EEXIST, EINVAL, EIO

from ngksock.netgraph import EOF, Message
from ngksock.nodes.split import split
from ngksock.plugin import find_type
from ngksock.testing import GraphTestCase, check_node_type
from ngksock.testing.recording import Data

HOOKS = ("mixed", "in", "out")


class SplitTests(GraphTestCase):
    def split(self, *hooks: str) -> None:
        """Make a split with hooks to the test's own of the same names."""
        first, *rest = hooks
        self.graph(f"mkpeer split {first} {first}", f"name {first} s")
        self.graph(*(f"connect s: {hook} {hook}" for hook in rest))
        self.local.forget()

    def sent(self, hook: str, data: Data) -> dict[str, list[Data]]:
        """Send *data* by a hook of the test, alone and in a batch; both must do the same."""
        self.send(hook, data)
        alone = self.take()
        self.send_batch(hook, [data])
        self.assertEqual(alone, self.take())
        return alone

    def test_conforms(self) -> None:
        """A split keeps the promises of all types, and swallows messages it does not know."""
        check_node_type(split, others="swallowed")
        check_node_type(split, hooks=("in", "out"), others="swallowed", examples=20)

    def test_found(self) -> None:
        """Its name finds it, and its cookie is FreeBSD's; it has no messages of its own."""
        self.assertIs(split, find_type("split"))
        self.assertEqual((949409402, ()), (split.cookie, split.commands.all))

    def test_ways(self) -> None:
        """What comes in goes to mixed, what comes from mixed goes out."""
        self.split(*HOOKS)
        for data in (b"x", b"", EOF):
            self.assertEqual({"mixed": [data]}, self.sent("in", data))
            self.assertEqual({"out": [data]}, self.sent("mixed", data))

    def test_same_batch(self) -> None:
        """A batch is handed on as it is."""
        self.split(*HOOKS)
        self.send_batch("in", [b"1", b"2", EOF])
        self.assertEqual({"mixed": [b"1", b"2", EOF]}, self.received)

    def test_out(self) -> None:
        """Nothing may come in by out, whether there are other hooks or not."""
        for hooks in (HOOKS, ("out",)):
            self.split(*hooks)
            self.assertEqual(EINVAL, self.errno(lambda: self.send("out", b"x")))
            self.send_batch("out", [b"x", b"y"])
            self.assertEqual({EINVAL: 3}, self.local.hooks["out"].drops)
            self.assertEqual({}, self.received)
            self.graph("shutdown s:")

    def test_nowhere(self) -> None:
        """A packet without a destination is dropped; that is no error and no loss."""
        for hook in ("in", "mixed"):
            self.split(hook)
            self.assertEqual({}, self.sent(hook, b"x"))
            self.assertEqual({}, self.local.hooks[hook].drops)
            self.graph("shutdown s:")

    def test_later(self) -> None:
        """A destination counts from when it is connected until it is removed."""
        self.split("in")
        self.graph("connect s: mixed mixed")
        self.assertEqual({"mixed": [b"x"]}, self.sent("in", b"x"))
        self.graph("rmhook mixed")
        self.assertEqual({}, self.sent("in", b"x"))

    def test_refused(self) -> None:
        """The sender learns what the far node answered."""
        self.split(*HOOKS)
        self.local.refuse("rcvdata", EIO, "mixed")
        self.assertEqual(EIO, self.errno(lambda: self.send("in", b"x")))

    def test_hooks(self) -> None:
        """It has its three hooks, each of them once."""
        self.split(*HOOKS)
        self.assertEqual(EINVAL, self.errno("connect s: x both"))
        self.assertEqual(EEXIST, self.errno("connect s: x in"))

    def test_messages(self) -> None:
        """Flow messages and all others vanish; it has no status."""
        self.split(*HOOKS)
        self.net.send(self.local, "s:", Message(851672669, 32))
        self.assertEqual([], self.local.messages)
        self.assertEqual('No status available for "s:"', self.graph("status s:"))

    def test_pressure(self) -> None:
        """A full sink holds the sources whose packets go there, and no others."""
        self.split(*HOOKS)
        self.local.hooks["mixed"].send_flow(True)
        self.assertEqual([("rcvflow", "in", True)], self.local.events)
        self.local.hooks["mixed"].send_flow(False)
        self.local.forget()
        self.local.hooks["out"].send_flow(True)
        self.assertEqual([("rcvflow", "mixed", True)], self.local.events)
        self.local.hooks["out"].send_flow(False)

    def test_end(self) -> None:
        """It ends with its last hook."""
        self.split("in", "out")
        node = self.node("s:")
        self.graph("rmhook in")
        self.assertTrue(node.valid)
        self.graph("rmhook out")
        self.assertFalse(node.valid)
