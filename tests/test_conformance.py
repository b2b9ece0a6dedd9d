"""check_node_type: what it lets pass, and what it finds."""

from __future__ import annotations

from collections.abc import Callable
from errno import EINVAL, EIO
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import Invalid

from ngksock.netgraph import Batch, Hook, Item, Node, Packet, Reply, command, command_later
from ngksock.netgraph.layout import STRING, UINT32, IntType, Seen
from ngksock.plugin import NodeType
from ngksock.testing import check_node_type
from tests.test_testing import EveryNth, Relay


class _Count(Node):
    """Right in all respects; what follows breaks one promise each."""

    def __init__(self) -> None:
        super().__init__()
        self.limit = 0

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        for other in list(self.hooks.values()):
            if other is not hook:
                other.send_data(packet)
                return

    @command(1, arg=UINT32)
    def setlimit(self, limit: int) -> None:
        """Set the limit."""
        self.limit = limit

    @command(2, resp=UINT32)
    def getlimit(self) -> int:
        """Tell the limit."""
        return self.limit

    @command(3, arg=STRING)
    def setname(self, name: str) -> None:
        """Set the name."""

    @command_later(4, resp=UINT32)
    def wait(self, reply: Reply[int]) -> None:
        """Answer some time."""

    def config(self) -> list[str]:
        return [f"msg . setlimit {self.limit}"] if self.limit else []

    def status(self) -> str:
        return f"limit {self.limit}"


class CheckNodeTypeTests(SynchronousTestCase):
    def broken(self, cls: Callable[[], Any], words: str, **options: Any) -> None:
        """Assert that the check finds what is wrong with nodes made by *cls*, and says so."""
        kind = NodeType("broken", 1234567, cls)
        error = self.assertRaises(AssertionError, check_node_type, kind, examples=20, **options)
        self.assertIn(words, str(error))

    def test_good(self) -> None:
        """Types that keep the promises pass, with a base class or without."""
        check_node_type(NodeType("count", 1234567, _Count), setup=["setlimit 3"], examples=20)
        check_node_type(NodeType("everynth", 1763800000, EveryNth), examples=20)
        check_node_type(NodeType("relay", 1, Relay), examples=20)

    def test_no_type(self) -> None:
        """What does not provide INodeType is found."""
        self.assertRaises(Invalid, check_node_type, object())

    def test_signature(self) -> None:
        """A method with another signature than its interface's is found."""

        class Broken(_Count):
            def rcvflow(self, hook: Hook) -> None:  # type: ignore[override]
                pass

        self.assertRaises(Invalid, check_node_type, NodeType("broken", 1, Broken))

    def test_help(self) -> None:
        """A message without a docstring is found."""

        class Broken(_Count):
            @command(9)
            def silent(self) -> None:
                pass

        self.broken(Broken, "the message silent has no docstring")

    def test_immortal(self) -> None:
        """A node that does not end by shutdown is found."""

        class Broken(_Count):
            def shutdown(self) -> bool:
                return True

        self.broken(Broken, "of type broken is left")

    def test_bug_in_disconnect(self) -> None:
        """A bug in disconnect is found."""

        class Broken(_Count):
            def disconnect(self, hook: Hook) -> None:
                raise KeyError(hook.name)

        self.broken(Broken, "a node had a bug: KeyError")

    def test_dead_hook(self) -> None:
        """A node that does not look before it uses its hooks is found."""

        class Broken(_Count):
            def rcvdata(self, hook: Hook, packet: Packet) -> None:
                self.hooks["b"].send_data(packet)
                self.hooks["b"].send_data(packet)

        self.broken(Broken, "within a delivery from")

    def test_strange_hook(self) -> None:
        """A type that names its hooks and takes others is found."""

        class Broken(_Count):
            hook_names = ("a", "b")

            def newhook(self, hook: Hook, name: str) -> None:
                pass

        self.broken(Broken, "a hook of no known name is answered by 0, not EINVAL")

    def test_config(self) -> None:
        """A configuration that makes another node, or is no message, is found."""

        class Forgets(_Count):
            def config(self) -> list[str]:
                return [f"msg . setlimit {self.limit + 1}"]

        class Renames(_Count):
            def config(self) -> list[str]:
                return ["name . x"]

        self.broken(Forgets, "the node it makes says")
        self.broken(Renames, "which is no message to .")

    def test_status(self) -> None:
        """A status that is no text is found."""

        class Broken(_Count):
            def status(self) -> Any:
                return 5

        self.broken(Broken, "status() is no text")

    def test_forms(self) -> None:
        """A layout whose text loses something is found."""

        class Rounded(IntType):
            def show(self, value: int, seen: Seen) -> str:
                return str(value // 10 * 10)

        class Broken(_Count):
            @command(9, arg=Rounded(32, "uint"))
            def round(self, value: int) -> None:
                """Take a value."""

        self.broken(Broken, "the argument of round")

    def test_unstable_form(self) -> None:
        """A layout whose text changes on the second pass is found."""

        class Growing(IntType):
            def read(self, data: Any, seen: Seen) -> int:
                return min(super().read(data, seen) + 1, 1 << 31)

        class Broken(_Count):
            @command(9, resp=Growing(32, "uint"))
            def grow(self) -> int:
                """Tell a value."""
                return 0

        self.broken(Broken, "the response of grow")

    def test_length(self) -> None:
        """A message that takes an argument of another length is found."""

        class Broken(_Count):
            def rcvmsg(self, item: Item, lasthook: Hook | None) -> None:
                if item.message.cmd != 1:
                    super().rcvmsg(item, lasthook)

        self.broken(Broken, "setlimit with 0 bytes of argument")

    def test_bug_in_message(self) -> None:
        """A message that fails for one value is found."""

        class Broken(_Count):
            @command(9, arg=UINT32)
            def divide(self, value: int) -> None:
                """Divide."""
                self.limit = 1 // value

        self.broken(Broken, "ZeroDivisionError")

    def test_responses(self) -> None:
        """A response where none belongs, or none where one does, is found."""

        class Talks(_Count):
            def rcvmsg(self, item: Item, lasthook: Hook | None) -> None:
                super().rcvmsg(item, lasthook)
                if item.message.cmd == 3 and item.message.data == b"\0":
                    self.graph.reply(item, b"")

        class Keeps(_Count):
            def rcvmsg(self, item: Item, lasthook: Hook | None) -> None:
                if item.message.cmd != 2 or item.message.data:
                    super().rcvmsg(item, lasthook)

        self.broken(Talks, "setname has no response, but is answered by one")
        self.broken(Keeps, "getlimit is answered by 0 responses")

    def test_others(self) -> None:
        """What becomes of unknown messages must be declared."""

        class Swallows(_Count):
            def rcvmsg(self, item: Item, lasthook: Hook | None) -> None:
                if self.type.commands.find(item.message.cookie, item.message.cmd):
                    super().rcvmsg(item, lasthook)

        self.broken(Swallows, f"is answered by (0, []), not ({EINVAL}, [])")
        self.broken(_Count, "not (0, [b'data'])", others="returned")
        check_node_type(NodeType("swallows", 5, Swallows), others="swallowed", examples=5)

    def test_batch_order(self) -> None:
        """A batch that arrives in another order is found."""

        class Broken(_Count):
            def rcvbatch(self, hook: Hook, batch: Batch) -> None:
                super().rcvbatch(hook, Batch(reversed(batch)))

        self.broken(Broken, "received by")

    def test_batch_counters(self) -> None:
        """A batch of which losses are not counted is found."""

        class Broken(_Count):
            def rcvdata(self, hook: Hook, packet: Packet) -> None:
                raise OSError(EIO, "lost")

            def rcvbatch(self, hook: Hook, batch: Batch) -> None:
                pass

        self.broken(Broken, "counters of")

    def test_batch_answers(self) -> None:
        """A batch that a node's own counters forget is found."""

        class Broken(_Count):
            def rcvdata(self, hook: Hook, packet: Packet) -> None:
                self.limit += 1

            def rcvbatch(self, hook: Hook, batch: Batch) -> None:
                self.limit += bool(batch)

        self.broken(Broken, "status: limit")

    def test_batch_changed(self) -> None:
        """A node that changes the batch it was given is found."""

        class Broken(_Count):
            def rcvbatch(self, hook: Hook, batch: Batch) -> None:
                super().rcvbatch(hook, batch)
                batch.clear()

        self.broken(Broken, "a batch was changed")
