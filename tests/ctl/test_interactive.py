"""ngkctl at a terminal."""

from __future__ import annotations

import importlib.util

from tests.client.daemon import Daemon, DaemonCase
from tests.ctl.programs import NGKCTL, Terminal
from tests.integration.service import until

GRAPH = "mkpeer hub boot boot\nname boot fan\nmkpeer fan: ksocket in inet/dgram/udp\n"
PROMPT = r"\+ $"
OURS = 1234567
# What readline and the terminal are told to do with the line, not what is said.
PLAIN = (NGKCTL[0], "-c", (
    "import sys, importlib.util; sys.modules['prompt_toolkit'] = None;"
    "from ngksock.ctl.ngkctl import main; sys.exit(main())"
))  # fmt: skip


class InteractiveTests(DaemonCase):
    """What is typed, and what comes meanwhile; with readline, where there is no prompt_toolkit."""

    graph = GRAPH

    def terminal(self, *words: str) -> Terminal:
        """Return a running ngkctl, at its prompt."""
        terminal = Terminal(self.path, *PLAIN, *words)
        self.addCleanup(terminal.kill)
        terminal.wait_for("quit       end\n")
        terminal.wait_for(PROMPT)
        return terminal

    def test_commands(self) -> None:
        """It begins with the help, answers commands, and ends with quit and 0."""
        terminal = self.terminal()
        self.assertIn("Available commands:\n  config ", terminal.screen)
        terminal.type("show -n fan:\n")
        terminal.wait_for(
            "  Name: fan             Type: hub             ID: 00000002   Num hooks: 1\n"
        )
        terminal.type("quit\n")
        self.assertEqual(0, terminal.ended())

    def test_errors(self) -> None:
        """An error ends nothing, nor does an empty line or a comment."""
        terminal = self.terminal()
        terminal.type("bogus\n")
        terminal.wait_for('ngkctl: "bogus": unknown command\n')
        terminal.type("\n# nothing\nshow\n")
        terminal.wait_for("ngkctl: usage: show ")
        terminal.type("exit\n")
        self.assertEqual(0, terminal.ended())

    def test_end_of_file(self) -> None:
        """Ctrl-D prints a newline and ends with 0."""
        terminal = self.terminal()
        terminal.type("\x04")
        self.assertEqual(0, terminal.ended())
        self.assertTrue(terminal.screen.endswith("+ \n"), repr(terminal.screen[-20:]))

    def test_interrupt(self) -> None:
        """Ctrl-C drops what was typed, and ends a command that goes on."""
        terminal = self.terminal()
        terminal.type("shutdown fan:")
        terminal.wait_for("shutdown fan:")
        terminal.interrupt()
        terminal.type("watch -i 0.6 fan:\n")
        terminal.wait_for("Node +Hook +Packets")
        terminal.interrupt()
        terminal.type("wait nosuch:\n")
        terminal.wait_for("wait nosuch:\n")
        terminal.interrupt()
        terminal.type("show -n fan:\n")
        terminal.wait_for("Name: fan")
        self.assertEqual(0, terminal.leave())

    def test_messages(self) -> None:
        """A message that comes is shown at once, and the prompt and what was typed after it."""
        terminal = self.terminal("-n", "typing")
        node = self.connect()
        terminal.type("show -n f")
        terminal.wait_for("show -n f")
        node.send_msg("typing:", OURS, 7, b"hello\0")
        terminal.wait_for(rf'Rec\'d command 7 from "\[{node.id:x}\]:":\n')
        terminal.wait_for("0000:  68 65 6c 6c 6f 00 ")
        terminal.wait_for(r"\n\+ show -n f")
        terminal.type("an:\n")
        terminal.wait_for("Name: fan")
        self.assertEqual(0, terminal.leave())

    def test_data(self) -> None:
        """Packets are dumped, and an empty one does no harm."""
        terminal = self.terminal("-n", "reading")
        node = self.connect()
        node.send_ascii_msg(".", 'connect { path="reading:" ourhook="x" peerhook="h" }')
        node.send_data("x", b"Hello, peer!\0\1\2\3ABC")
        terminal.wait_for('Rec\'d data packet on hook "h":\n')
        terminal.wait_for(
            "0000:  48 65 6c 6c 6f 2c 20 70 65 65 72 21 00 01 02 03  Hello, peer!....\n"
        )
        terminal.wait_for(
            "0010:  41 42 43                                         ABC             \n"
        )
        node.send_data("x", b"")
        terminal.wait_for('Rec\'d empty data packet on hook "h"\n')
        terminal.type("write h 1 2 3\n")
        terminal.wait_for("write h 1 2 3\n")
        self.assertEqual(("x", b"\1\2\3"), node.recv_data(10))
        self.assertEqual(0, terminal.leave())

    def test_replies(self) -> None:
        """Replies to messages, and what came while a command ran, are shown."""
        terminal = self.terminal("-n", "asking")
        terminal.type("msg fan: nodeinfo\n")
        terminal.wait_for('Rec\'d response "nodeinfo" \\(805306374\\) from "\\[2\\]:":\n')
        terminal.wait_for('Args:\t{ name="fan" type="hub" id=0x2 hooks=1 }\n')
        self.assertEqual(0, terminal.leave())

    def test_completion(self) -> None:
        """The tabulator completes commands, paths, messages and fields."""
        terminal = self.terminal()
        for typed, completed in (
            ("insp\t", "inspect"),
            (" fa\t", " fan:"),
            ("i\t", "in"),
        ):
            terminal.type(typed)
            terminal.wait_for(completed + "$")
        terminal.type("\x15msg fan:in getn\t")
        terminal.wait_for("msg fan:in getname")
        terminal.type("\x15msg fan:in setopt { le\t")
        terminal.wait_for("level=$")
        terminal.type("\x15")
        self.assertEqual(0, terminal.leave())

    def test_history(self) -> None:
        """The line before can be had back."""
        terminal = self.terminal()
        terminal.type("show -n fan:\n")
        terminal.wait_for(r"Name: fan[^+]*\+ $")
        terminal.type("\x10\n")
        terminal.wait_for("Name: fan")
        self.assertEqual(0, terminal.leave())

    def test_shut_down(self) -> None:
        """When its node is shut down it says so and ends, typed or not."""
        terminal = self.terminal("-n", "mortal")
        terminal.type("half a li")
        terminal.wait_for("half a li")
        self.connect().send_ascii_msg("mortal:", "shutdown")
        terminal.wait_for("ngkctl: the node was shut down\n")
        self.assertEqual(71, terminal.ended())
        terminal = self.terminal()
        terminal.type("shutdown .\n")
        terminal.wait_for("ngkctl: the node was shut down\n")
        self.assertEqual(71, terminal.ended())

    def test_daemon_ends(self) -> None:
        """When the daemon ends it says so, and ends with 69."""
        with Daemon() as running:
            terminal = Terminal(running.path, *PLAIN)
            self.addCleanup(terminal.kill)
            terminal.wait_for(PROMPT)
        terminal.wait_for("ngkctl: the daemon at .* has gone")
        self.assertEqual(69, terminal.ended())

    def test_nothing_left(self) -> None:
        """Its node ends with it."""
        terminal = self.terminal("-n", "passing")
        terminal.type("quit\n")
        terminal.ended()
        node = self.connect()
        until(lambda: "passing" not in node.request_ascii(".", "listnames"), "its end")


class ToolkitTests(DaemonCase):
    """The same with prompt_toolkit, of the extra [cli]."""

    graph = GRAPH
    if importlib.util.find_spec("prompt_toolkit") is None:
        skip = "prompt_toolkit is not installed"

    def test_conversation(self) -> None:
        """Commands, a message that comes meanwhile, completion, and the end."""
        terminal = Terminal(self.path, *NGKCTL, "-n", "kit", term="xterm")
        self.addCleanup(terminal.kill)
        terminal.wait_for(r"\+")
        terminal.type("show -n fan:\r")
        terminal.wait_for("Name: fan")
        terminal.wait_for(r"\+")
        self.connect().send_msg("kit:", OURS, 7, b"hello\0")
        terminal.wait_for("Rec'd command 7 from")
        terminal.wait_for(r"\+")
        terminal.type("inspe\t")
        terminal.wait_for("ct")
        terminal.type(" fa\t")
        terminal.wait_for("n:")
        terminal.type("\r")
        terminal.wait_for("Type hub")
        terminal.wait_for(r"\+")
        terminal.type("\x04")
        self.assertEqual(0, terminal.ended())
