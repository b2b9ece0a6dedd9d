"""check_node_type: what it lets pass, and what it finds."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from errno import EINVAL
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import Invalid

from ngksock.netgraph import Hook, Item, Node, Packet, Reply, command, command_later
from ngksock.netgraph.layout import STRING, UINT32, IntType, Seen
from ngksock.plugin import NodeType, origins
from ngksock.testing import check_node_type
from ngksock.testing.descriptors import left_open, open_descriptors
from tests.docs.pages import ROOT
from tests.strange import CALLBACKS, strange
from tests.test_testing import EveryNth, Relay


class Count(Node):
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


def _modules(name: str) -> list[str]:
    """Return the texts of the test modules of a type."""
    paths = (ROOT / "tests" / "nodes").glob(f"test_{name}*.py")
    return [path.read_text(encoding="utf-8") for path in paths]


def _checks(text: str) -> bool:
    """Whether a test module, or a case it takes from another, calls `check_node_type`."""
    taken = re.findall(r"(?m)^from (tests\.[\w.]+) import", text)
    paths = [ROOT / f"{module.replace('.', '/')}.py" for module in taken]
    texts = [text, *(path.read_text(encoding="utf-8") for path in paths if path.is_file())]
    return any(re.search(r"\bcheck_node_type\(", one) for one in texts)


class StockTests(SynchronousTestCase):
    def test_all(self) -> None:
        """Each type of ours has a test module that holds it to `check_node_type`."""
        ours = [one.type for one in origins() if one.origin.startswith("ngksock ")]
        self.assertIn("ksocket", ours)
        missing = [name for name in ours if not any(map(_checks, _modules(name)))]
        self.assertEqual([], missing)


class CheckCase(SynchronousTestCase):
    """A case with types that break a promise."""

    def broken(self, cls: Callable[[], Any], words: str, **options: Any) -> None:
        """Assert that the check finds what is wrong with nodes made by *cls*, and says so."""
        kind = NodeType("broken", 1234567, cls)
        error = self.assertRaises(AssertionError, check_node_type, kind, examples=20, **options)
        self.assertIn(words, str(error))


class CheckNodeTypeTests(CheckCase):
    def test_good(self) -> None:
        """Types that keep the promises pass, with a base class or without."""
        check_node_type(NodeType("count", 1234567, Count), setup=["setlimit 3"], examples=20)
        check_node_type(NodeType("everynth", 1763800000, EveryNth), examples=20)
        check_node_type(NodeType("relay", 1, Relay), examples=20)

    def test_no_type(self) -> None:
        """What does not provide INodeType is found."""
        self.assertRaises(Invalid, check_node_type, object())

    def test_signature(self) -> None:
        """A method with another signature than its interface's is found."""

        class Broken(Count):
            def rcvflow(self, hook: Hook) -> None:  # type: ignore[override]
                pass

        self.assertRaises(Invalid, check_node_type, NodeType("broken", 1, Broken))

    def test_help(self) -> None:
        """A message without a docstring is found."""

        class Broken(Count):
            @command(9)
            def silent(self) -> None:
                pass

        self.broken(Broken, "the message silent has no docstring")

    def test_immortal(self) -> None:
        """A node that does not end by shutdown is found."""

        class Broken(Count):
            def shutdown(self) -> bool:
                return True

        self.broken(Broken, "the node lives on after shutdown")

    def test_cuts_a_live_link(self) -> None:
        """A node that cuts the link it is put into, or as it refuses to be taken out, is found."""

        class Refuses(Count):
            def connect(self, hook: Hook) -> None:
                if hook.peer.peer is not hook:  # it is put into a live link
                    self.graph.rmhook(hook.peer)

        class Clings(Count):
            def rcvbypass(self, one: Hook, other: Hook) -> None:
                self.graph.rmhook(other)

        class Tells(Count):
            def rcvbypass(self, one: Hook, other: Hook) -> None:
                one.peer.node.disconnect(one.peer)

        self.broken(Refuses, "it has cut that")
        self.broken(Clings, "it refuses to be taken out and changes that")
        self.broken(Tells, "it has its neighbours told")

    def test_bug_in_disconnect(self) -> None:
        """A bug in disconnect is found."""

        class Broken(Count):
            def disconnect(self, hook: Hook) -> None:
                raise KeyError(hook.name)

        self.broken(Broken, "a node had a bug: KeyError")

    def test_dead_hook(self) -> None:
        """A node that does not look before it uses its hooks is found."""

        class Broken(Count):
            def rcvdata(self, hook: Hook, packet: Packet) -> None:
                self.hooks["b"].send_data(packet)
                self.hooks["b"].send_data(packet)

        self.broken(Broken, "within rcvdata of its neighbour, by way of a")

    def test_timer(self) -> None:
        """A call that is left waiting is found, also one that only packets begin."""

        class Always(Count):
            def connect(self, hook: Hook) -> None:
                self.graph.reactor.callLater(60, print)

        class Later(Count):
            def rcvdata(self, hook: Hook, packet: Packet) -> None:
                if packet.len == 64:  # and so in no delivery at random
                    self.graph.reactor.callLater(60, print)

        self.broken(Always, "is left")
        self.broken(Later, "with packets under way")

    def test_descriptor(self) -> None:
        """A descriptor that is left open is found, and what it is."""
        opened: list[int] = []
        self.addCleanup(lambda: any(map(os.close, opened)))

        class Broken(Count):
            def connect(self, hook: Hook) -> None:
                opened.append(os.open("/dev/null", os.O_RDONLY))

        self.broken(Broken, "is left open")
        self.assertEqual([], left_open(open_descriptors()))

    def test_dry_run(self) -> None:
        """A node that opens something in a dry run is found, though it closes it in the end."""

        class Broken(Count):
            opened = -1

            @command(9)
            def open(self) -> None:
                """Open it."""
                self.opened = os.open(os.devnull, os.O_RDONLY)

            def shutdown(self) -> None:
                if self.opened >= 0:
                    os.close(self.opened)

        self.broken(Broken, "in a dry run open opens descriptor")

    def test_no_hooks(self) -> None:
        """A type without hooks is none the worse for it."""
        check_node_type(NodeType("alone", 5, type("Alone", (Count,), {"hook_names": ()})))

    def test_kept_hooks(self) -> None:
        """A node that keeps a hook is found."""

        class Broken(Count):
            def disconnect(self, hook: Hook) -> None:
                self.graph.soon(lambda: self.hooks.update({hook.name: hook}))

        self.broken(Broken, "the node keeps hooks after shutdown")

    def test_half_set_up(self) -> None:
        """A node that cannot end in the midst of its setup is found."""

        class Broken(Count):
            def shutdown(self) -> None:
                if self.limit == 3:
                    raise KeyError

        setup = ["setlimit 3", "setlimit 4"]
        self.broken(Broken, "after 1 messages of its setup: a node had a bug", setup=setup)

    def test_moments(self) -> None:
        """A node that cannot end while a hook is made, goes, or tells of flow is found."""

        class Making(Count):
            def shutdown(self) -> None:
                assert self.connected or not self.asked

            connected = asked = False

            def newhook(self, hook: Hook, name: str) -> None:
                self.asked = True

            def connect(self, hook: Hook) -> None:
                self.connected = True

        class Going(Count):
            def disconnect(self, hook: Hook) -> None:
                if self.closing and len(self.hooks) == 1 and not hook.peer.valid:
                    self.hooks["a"].send_data(Packet(b""))
                super().disconnect(hook)

        class Holding(Count):
            def rcvflow(self, hook: Hook, high: bool) -> None:
                raise KeyError(hook.name)

        self.broken(
            Making, "within connect of its neighbour, by way of a: a node had a bug: AssertionError"
        )
        self.broken(Holding, "within rcvflow of its neighbour")

    def test_bugs(self) -> None:
        """A bug in any callback is found, and so is what is no Exception."""
        for where in CALLBACKS:
            if where in ("__repr__", "__init__"):
                continue
            for way in ("bug", "exit"):
                self.assertRaises(
                    AssertionError, check_node_type, strange("strange", where, way), examples=5,
                    setup=["setlimit 1"], seconds=2,
                )  # fmt: skip

    def test_constructor(self) -> None:
        """A constructor that fails is found."""
        error = self.assertRaises(
            AssertionError, check_node_type, strange("strange", "__init__", "bug")
        )
        self.assertIn("the constructor of type strange failed", str(error))

    def test_no_errno(self) -> None:
        """A refusal without an errno is found."""

        class Broken(Count):
            def rcvdata(self, hook: Hook, packet: Packet) -> None:
                raise OSError("no number")

        self.broken(Broken, "a refusal has no errno")

    def test_hook_names(self) -> None:
        """hook_names that are no tuple of names are found."""
        for names in ("abc", ["a", "b"], (b"a",)):
            self.broken(type("Broken", (Count,), {"hook_names": names}), "hook_names is")

    def test_abi(self) -> None:
        """A provider that does not say for which ABI it was written is found."""
        kind = NodeType("broken", 1, Count)
        del kind.abi
        self.assertRaises(Invalid, check_node_type, kind)

    def test_strange_hook(self) -> None:
        """A type that names its hooks and takes others is found."""

        class Broken(Count):
            hook_names = ("a", "b")

            def newhook(self, hook: Hook, name: str) -> None:
                pass

        self.broken(Broken, "a hook of no known name is answered by 0, not EINVAL")

    def test_config(self) -> None:
        """A configuration that makes another node, or is no message, is found."""

        class Forgets(Count):
            def config(self) -> list[str]:
                return [f"msg . setlimit {self.limit + 1}"]

        class Renames(Count):
            def config(self) -> list[str]:
                return ["name . x"]

        self.broken(Forgets, "the node it makes says")
        self.broken(Renames, "which is no message to .")

    def test_config_later(self) -> None:
        """A configuration that is wrong after some message alone is found."""

        class Broken(Count):
            def config(self) -> list[str]:
                return [f"msg . setlimit {self.limit + 1}"] if self.limit > 99 else []

        self.broken(Broken, "the node it makes says")

    def test_status(self) -> None:
        """A status that is no text is found."""

        class Broken(Count):
            def status(self) -> Any:
                return 5

        self.broken(Broken, "status() is no text")

    def test_odd_status(self) -> None:
        """A status that no message can carry is found."""
        for text in ("\u2192", "a\0b"):
            broken = type("Broken", (Count,), {"status": lambda self, text=text: text})
            self.broken(broken, f"status() says {text!r}, which is more than latin-1, or has")

    def test_forms(self) -> None:
        """A layout whose text loses something is found."""

        class Rounded(IntType):
            def show(self, value: int, seen: Seen) -> str:
                return str(value // 10 * 10)

        class Broken(Count):
            @command(9, arg=Rounded(32, "uint"))
            def round(self, value: int) -> None:
                """Take a value."""

        self.broken(Broken, "the argument of round")

    def test_unstable_form(self) -> None:
        """A layout whose text changes on the second pass is found."""

        class Growing(IntType):
            def read(self, data: Any, seen: Seen) -> int:
                return min(super().read(data, seen) + 1, 1 << 31)

        class Broken(Count):
            @command(9, resp=Growing(32, "uint"))
            def grow(self) -> int:
                """Tell a value."""
                return 0

        self.broken(Broken, "the response of grow")

    def test_length(self) -> None:
        """A message that takes an argument of another length is found."""

        class Broken(Count):
            def rcvmsg(self, item: Item, lasthook: Hook | None) -> None:
                if item.message.cmd != 1:
                    super().rcvmsg(item, lasthook)

        self.broken(Broken, "setlimit with 0 bytes of argument")

    def test_bug_in_message(self) -> None:
        """A message that fails for one value is found."""

        class Broken(Count):
            @command(9, arg=UINT32)
            def divide(self, value: int) -> None:
                """Divide."""
                self.limit = 1 // value

        self.broken(Broken, "ZeroDivisionError")

    def test_responses(self) -> None:
        """A response where none belongs, or none where one does, is found."""

        class Talks(Count):
            def rcvmsg(self, item: Item, lasthook: Hook | None) -> None:
                super().rcvmsg(item, lasthook)
                if item.message.cmd == 3 and item.message.data == b"\0":
                    self.graph.reply(item, b"")

        class Keeps(Count):
            def rcvmsg(self, item: Item, lasthook: Hook | None) -> None:
                if item.message.cmd != 2 or item.message.data:
                    super().rcvmsg(item, lasthook)

        self.broken(Talks, "setname has no response, but is answered by one")
        self.broken(Keeps, "getlimit is answered by 0 responses")

    def test_others(self) -> None:
        """What becomes of unknown messages must be declared."""

        class Swallows(Count):
            def rcvmsg(self, item: Item, lasthook: Hook | None) -> None:
                if self.type.commands.find(item.message.cookie, item.message.cmd):
                    super().rcvmsg(item, lasthook)

        self.broken(Swallows, f"is answered by (0, []), not ({EINVAL}, [])")
        self.broken(Count, "not (0, [b'data'])", others="returned")
        check_node_type(NodeType("swallows", 5, Swallows), others="swallowed", examples=5)
