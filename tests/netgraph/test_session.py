"""Tests for ngctl's commands: what they do and what they print, to the byte (netgraph.md §9.4)."""

from __future__ import annotations

from errno import (
    EEXIST,
    EHOSTUNREACH,
    EINPROGRESS,
    EINVAL,
    ENOENT,
    ENOSYS,
    ENOTCONN,
    EPERM,
)  # fmt: skip

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ngksock.netgraph import Hook, Item, Message, Node, Reply, command, command_later
from ngksock.netgraph.controlforms import Origin
from ngksock.netgraph.layout import INT32, STRING, UINT32
from ngksock.netgraph.ngctl import LineError, Quit
from ngksock.netgraph.session import Session
from ngksock.plugin import NodeType
from tests.netgraph.rig import GraphTests, NoFiles


class Talker(Node):
    """Has a status, a config and messages that answer now, later, or with a refusal."""

    reply: Reply[int] | None = None
    text = "as it was"

    @command(1, arg=UINT32)
    def setn(self, n: int) -> None:
        """Take a number."""
        if n > 9:
            raise OSError(EPERM, f"{n} is too much")

    @command(2, resp=STRING)
    def gettext(self) -> str:
        """Tell the text."""
        return self.text

    @command(3)
    def reset(self) -> None:
        """Do nothing."""

    @command_later(4, resp=INT32)
    def connect_to(self, reply: Reply[int]) -> None:
        """Begin, and answer later."""
        self.reply = reply
        raise OSError(EINPROGRESS, "on its way")

    @command(5, arg=STRING)
    def settext(self, text: str) -> None:
        self.text = text

    def status(self) -> str:
        return "up\nand well"

    def rcvmsg(self, item: Item, lasthook: Hook | None) -> None:
        if item.message.cmd == 14:
            if item.message.data:
                self.text = item.message.data[:-1].decode()
            self.graph.reply(item, self.text.encode() + b"\0")
        else:
            super().rcvmsg(item, lasthook)


class SessionTests(GraphTests):
    def setUp(self) -> None:
        super().setUp()
        self.add(NodeType("talker", 55, Talker))

    def fails(self, line: str) -> LineError:
        error: LineError = self.assertRaises(LineError, self.session.run, line)
        return error

    def wrong(self, line: str, errno: int, text: str, at: int, remedy: str = "") -> None:
        """Assert what is said about *line*, and where."""
        error = self.fails(line)
        self.assertEqual(
            (errno, text, at, remedy), (error.errno, error.strerror, error.at, error.remedy), line
        )


class CommandTests(SessionTests):
    def test_silent(self) -> None:
        """mkpeer, connect, name, rmhook, shutdown print nothing, and the path may be left out."""
        said = self.ngctl(
            "mkpeer hub a a", "mkpeer a hub b b", "connect a b c c", "connect a y z",
            "name a one", "rmhook a", "rmhook one: c", "shutdown one:",
        )  # fmt: skip
        self.assertEqual([], said)

    def test_own_hook(self) -> None:
        """One's own hook is written in three ways."""
        self.ngctl("mkpeer hub a a")
        for path in ("a", ".a", ".:a"):
            self.assertEqual(0, self.errno(f"name {path} hub"))

    def test_list(self) -> None:
        """One line a node, by id; -n only those with a name; -l as show, with empty lines."""
        self.ngctl("mkpeer hub x in", "mkpeer x sink out in", "name x.out a-name-longer-than-15")
        head = "There are 3 total nodes:\n"
        me = "  Name: me              Type: socket          ID: 00000001   Num hooks: 1"
        hub = "  Name: <unnamed>       Type: hub             ID: 00000002   Num hooks: 2"
        sink = "  Name: a-name-longer-than-15 Type: sink            ID: 00000003   Num hooks: 1"
        self.assertEqual([head + "\n".join([me, hub, sink])], self.ngctl("list"))
        named = "There are 2 total named nodes:\n" + "\n".join([me, sink])
        self.assertEqual([named] * 2, self.ngctl("list -n", "ls -nn"))
        (long,) = self.ngctl("list -l")
        self.assertEqual((True, 2), (long.startswith(head + me + "\n"), long.count("\n\n")))
        (long,) = self.ngctl("list -ln")
        self.assertEqual((1, 0), (long.count("\n\n"), long.count(hub + "\n  Local")))

    def test_show(self) -> None:
        """The table of §9.4, last column padded; -n or no hooks: the first line alone."""
        self.ngctl("mkpeer hub inet/dgram/udp x", "name inet/dgram/udp ks")
        first = "  Name: ks              Type: hub             ID: 00000002   Num hooks: 1"
        self.assertEqual(
            [first + "\n"
             "  Local hook      Peer name       Peer type    Peer ID         Peer hook      \n"
             "  ----------      ---------       ---------    -------         ---------      \n"
             "  x               me              socket       00000001        inet/dgram/udp "],
            self.ngctl("show ks:"),
        )  # fmt: skip
        self.assertEqual([first] * 2, self.ngctl("show -n ks:", "info -n ks:"))
        self.ngctl("rmhook inet/dgram/udp")
        self.assertEqual(
            ["  Name: me              Type: socket          ID: 00000001   Num hooks: 0"],
            self.ngctl("show ."),
        )

    def test_types(self) -> None:
        """Types in use, newest first, with the number of living nodes."""
        self.ngctl("mkpeer hub x in")
        self.assertEqual(
            ["There are 2 total types:\n"
             "      Type name   Number of living nodes\n"
             "      ---------   ----------------------\n"
             "            hub       1\n"
             "         socket       1"], self.ngctl("types"))  # fmt: skip

    def test_origins(self) -> None:
        """With -v: all types, where each comes from, and what is wrong with it."""
        self.ngctl("mkpeer hub x in")
        self.graph.origins = lambda: [
            Origin("", "zz-torn", "it is torn"), Origin("hub", "ngksock 1", ""),
            Origin("odd", "zz 2", "it is odd"),
        ]  # fmt: skip
        self.assertEqual(
            ["There are 2 types:\n"
             "      Type name   Nodes   From\n"
             "      ---------   -----   ----\n"
             "              -       -   zz-torn: it is torn\n"
             "            hub       1   ngksock 1\n"
             "            odd       0   zz 2: it is odd"], self.ngctl("types -v"))  # fmt: skip
        self.assertEqual(EINVAL, self.errno("types -x"))

    def test_status(self) -> None:
        """The text, or that there is none; another errno is an error."""
        self.ngctl("mkpeer talker x x", "mkpeer hub y y")
        self.assertEqual(['Status for "x":\nup\nand well'], self.ngctl("status x"))
        self.assertEqual(['No status available for "y"'], self.ngctl("status y"))
        self.assertEqual(ENOENT, self.errno("status nobody:"))

    def test_status_of_an_outside(self) -> None:
        """A socket node does not answer: no status, for one's own node too; nothing stays."""
        other = self.socket("other")
        other.on_message = lambda item: None
        self.assertEqual(
            ['No status available for "."', 'No status available for "other:"',
             'No config available for "me:"'],
            self.ngctl("status .", "status other:", "config me:"),
        )  # fmt: skip
        self.assertEqual(0, len(self.inbox))

    def test_config(self) -> None:
        """Shown, or set with words joined by blanks, or not available."""
        self.ngctl("mkpeer talker x x", "mkpeer hub y y", 'name x "a b"')
        self.assertEqual(
            ['Config for "a b:":\nas it was', 'Config for "x":\nnew "q q" text',
             'No config available for "y"'],
            self.ngctl('config "a b:"', 'config x new  "q q"   text', "config y"),
        )  # fmt: skip
        self.assertEqual(ENOENT, self.errno("config nobody:"))

    def test_msg(self) -> None:
        """The reply is printed; a message without one prints nothing."""
        self.ngctl("mkpeer talker x x", "name x t")
        self.assertEqual(
            ['Rec\'d response "gettext" (2) from "[2]:":\nArgs:\t"as it was"'],
            self.ngctl("msg t: gettext"),
        )
        self.assertEqual([], self.ngctl("msg t: setn 5", "cmd t: reset"))

    def test_msg_quotes(self) -> None:
        """Blanks within quotes survive, all others become one; a quoted path is a path."""
        self.ngctl("mkpeer talker x x", 'name x "t t"')
        self.ngctl('msg "t t:"   settext   "a  b"')
        self.assertEqual("a  b", self.node("x").text)

    def test_msg_in_progress(self) -> None:
        """EINPROGRESS is no failure (§9.3); the answer is shown when it has come."""
        self.ngctl("mkpeer talker x x")
        self.assertEqual([], self.ngctl("msg x connect_to"))
        self.node("x").reply(111)
        self.session.show_received()
        self.assertEqual(['Rec\'d response "connect_to" (4) from "[2]:":\nArgs:\t111'], self.said)

    def test_late_answer_is_no_other(self) -> None:
        """A late answer is not taken for the reply to another request (§12.3 #34)."""
        self.ngctl("mkpeer talker x x", "msg x connect_to")
        self.node("x").reply(5)
        self.assertIn("Name: me", self.ngctl("show .")[0])
        self.assertEqual(1, len(self.inbox))

    def test_answer_of_one_that_is_gone(self) -> None:
        """The answer is in words even if its sender is gone (§12.3 #43)."""
        self.ngctl("mkpeer talker x x", "msg x connect_to")
        reply = self.node("x").reply
        self.ngctl("shutdown x")
        reply(7)
        self.session.show_received()
        self.assertIn("Args:\t7", self.said[-1])

    def test_received_without_words(self) -> None:
        """What cannot be converted is shown in numbers, with a dump."""
        self.ngctl("mkpeer hub x x")
        self.graph.send(self.node("x"), "me:", Message(1, 2, b"abc", flags=1))
        self.graph.send(self.node("x"), "me:", Message(1, 3))
        self.session.show_received()
        dump = "0000:  61 62 63 " + 13 * "   " + " abc" + 13 * " "
        self.assertEqual(
            [f'Rec\'d response 2 from "[2]:":\n{dump}',
             'Rec\'d command 3 from "[2]:":\nNo arguments'], self.said)  # fmt: skip

    def test_write(self) -> None:
        """Bytes in any base, negative ones too, go out of one's own hook."""
        self.ngctl("mkpeer hub x x", "connect . x y y")
        seen: list[bytes] = []
        self.me.on_data = lambda hook, packet: seen.append(bytes(packet))
        self.ngctl("write x 1 0x10 010 -1 255 -128", 'w x "7"')
        self.assertEqual([bytes([1, 16, 8, 255, 255, 128]), b"\x07"], seen)

    def test_write_errors(self) -> None:
        """Bad bytes, a missing hook, a refusing neighbour."""
        self.ngctl("mkpeer sink x x")
        for word in ("256", "-129", "x", "1x", "1.0", ""):
            line = f'write x 1 "{word}"'
            self.wrong(line, EINVAL, f'invalid byte "{word}"', 10)
        self.wrong("write y 1", EHOSTUNREACH, 'node me has no hook "y"', 6)
        self.node("x").error = OSError(ENOTCONN, "no")
        self.assertEqual(ENOTCONN, self.errno("write x 1"))
        self.assertEqual(EINVAL, self.errno("write x -f"))
        self.assertEqual(EINVAL, self.errno("write x -f a b"))

    def test_files(self) -> None:
        """read, write -f and dot FILE go through the files they are given."""
        calls: list[tuple[str, ...]] = []

        class Files(NoFiles):
            def run(self, name: str) -> None:
                calls.append(("run", name))

            def load(self, name: str, size: int) -> bytes:
                calls.append(("load", name, str(size)))
                return b"" if name == "empty" else b"abc"

            def save(self, name: str, text: str) -> None:
                calls.append(("save", name, text[:5] + text[-2:]))

        self.session = Session(self.port, self.said.append, self.warned.append, Files())
        self.ngctl("mkpeer sink x x", 'read "a b.ng"', ". c", "write x -f data", "dot out.dot")
        self.assertEqual(
            [("run", "a b.ng"), ("run", "c"), ("load", "data", "8192"),
             ("save", "out.dot", "graph}\n")], calls)  # fmt: skip
        self.assertEqual(["abc"], self.node("x").got)
        self.wrong("write x -f empty", EINVAL, 'file "empty" is empty', 11)

    def test_debug(self) -> None:
        """Shown, set, raised, lowered to 0 and no further."""
        said = self.ngctl("debug", "debug +", "debug +", "debug -", "debug", "debug 7", "debug",
                          "debug 0", "debug -", "debug")  # fmt: skip
        self.assertEqual([f"Current debug level is {n}" for n in (0, 1, 7, 0)], said)
        self.wrong("debug x", EINVAL, 'invalid debug level "x"', 6)
        self.wrong("debug -5", EINVAL, 'invalid debug level "-5"', 6)

    def test_help(self) -> None:
        """The list, or one command by any of its names."""
        (text,) = self.ngctl("help")
        self.assertEqual("Available commands:", text.split("\n")[0])
        self.assertEqual(
            (18, True), (text.count("\n") + 1, text.split("\n")[-1].startswith("  quit"))
        )
        (text,) = self.ngctl("? kill")
        self.assertEqual(
            "usage:    shutdown <path>\nAliases:  kill, rmnode\nSummary:  end a node", text
        )
        self.assertNotIn("Aliases", self.ngctl("help types")[0])
        self.wrong("help nosuch", EINVAL, '"nosuch": unknown command', 5)

    def test_quit(self) -> None:
        """quit and exit end, whatever else."""
        for line in ("quit", "exit", "q"):
            self.assertRaises(Quit, self.session.run, line)

    def test_nothing(self) -> None:
        """Blank lines and comments do nothing; a quoted # is a word."""
        self.assertEqual([], self.ngctl("", "  \t", "# x", "  # x", "###", "#"))
        self.assertEqual(EINVAL, self.errno('"#" x'))


class ErrorTests(SessionTests):
    """Which word is to blame, and what may help."""

    def setUp(self) -> None:
        super().setUp()
        self.ngctl("mkpeer hub a a", "name a bge1", "mkpeer talker t t", "name t talk")

    def test_usage(self) -> None:
        """Too few words blame the command, too many the first that is too much."""
        for line, at in (
            ("  mkpeer hub x", 2), ("mkpeer a b c d e", 15), ("name x", 0),
            ("types x", 6), ("types -v x", 9),
            ("connect a b", 0), ("show", 0), ("show a b c", 9), ("quit now", 5), ("write x", 0),
        ):  # fmt: skip
            error = self.fails(line)
            self.assertEqual((EINVAL, at, True), (error.errno, error.at, error.syntax), line)
            self.assertRegex(error.strerror or "", "^usage: ")

    def test_options(self) -> None:
        """Unknown options are usage errors at their place."""
        self.wrong("list -x", EINVAL, "usage: list [-ln]", 5)
        self.wrong("list bge1:", EINVAL, "usage: list [-ln]", 5)
        self.wrong("show -l bge1:", EINVAL, "usage: show [-n] <path>", 5)
        self.wrong("show -n", EINVAL, "usage: show [-n] <path>", 5)
        self.wrong("dot a b", EINVAL, "usage: dot [-c] [outputfile]", 6)

    def test_unknown_node(self) -> None:
        """Near names are offered, with their colon."""
        self.wrong("shutdown bge2:", ENOENT, 'there is no node "bge2:"', 9,
                   'did you mean "bge1:"?')  # fmt: skip
        self.wrong("connect . bge2: x y", ENOENT, 'there is no node "bge2:"', 10,
                   'did you mean "bge1:"?')  # fmt: skip

    def test_forgotten_colon(self) -> None:
        """A node's name without its colon is a missing hook: the colon is offered."""
        self.wrong("shutdown bge1", ENOENT, 'node me has no hook "bge1"', 9,
                   'did you mean the node "bge1:"?')  # fmt: skip

    def test_unknown_type(self) -> None:
        """Near types are offered."""
        self.wrong("mkpeer hubb x x", ENOENT, 'there is no node type "hubb"', 7,
                   'did you mean "hub"?')  # fmt: skip

    def test_no_remedy(self) -> None:
        """Where what is near cannot be asked, as of a service that just ended, none is offered."""

        def gone(*_: str) -> list[str]:
            raise OSError(EPERM, "no answer")

        for name in ("types", "names", "messages"):
            self.patch(self.port, name, gone)
        self.wrong("mkpeer hubb x x", ENOENT, 'there is no node type "hubb"', 7)
        self.wrong("shutdown bge2:", ENOENT, 'there is no node "bge2:"', 9)
        self.assertEqual((ENOSYS, ""), (self.fails("msg talk: settex x").errno,
                                        self.fails("msg talk: settex x").remedy))  # fmt: skip

    def test_unknown_message(self) -> None:
        """Near messages of the node are offered, its path quoted or not."""
        self.wrong("msg talk: settex x", ENOSYS, 'a talker has no message "settex"', 10,
                   'did you mean "settext" or "gettext"?')  # fmt: skip
        self.ngctl('name talk: "t t"')
        self.wrong('msg "t t:" settex x', ENOSYS, 'a talker has no message "settex"', 11,
                   'did you mean "settext" or "gettext"?')  # fmt: skip

    def test_taken_hook(self) -> None:
        """A hook that exists is blamed where it is written."""
        self.wrong("mkpeer bge1: hub a b", EEXIST, 'node bge1 has a hook "a" already', 17)

    def test_arguments(self) -> None:
        """An argument is blamed where it stands in the line, blanks before it counted."""
        for line, at in (
            ("msg talk: setn x", 15), ("msg talk:   setn   5   x", 23), ("msg talk: setn", 10),
            ('msg talk: settext  "a  b"   x', 28), ("msg talk: reset  x", 17),
            ("msg talk: setn 99999999999999999999999", 15),
        ):  # fmt: skip
            error = self.fails(line)
            self.assertEqual((EINVAL, at, True), (error.errno, error.at, error.syntax), line)

    def test_refused(self) -> None:
        """A node's refusal carries its sentence; the line itself is right."""
        error = self.fails("msg talk: setn 10")
        self.assertEqual(
            (EPERM, "10 is too much", "msg", False),
            (error.errno, error.strerror, error.command, error.syntax),
        )

    def test_only(self) -> None:
        """Where only some commands are allowed the others are refused."""
        session = Session(self.port, self.said.append, self.warned.append, NoFiles(),
                          frozenset({"msg", "name"}))  # fmt: skip
        error = self.assertRaises(LineError, session.run, " list")
        self.assertEqual(("list cannot be used here", "only msg, name", 1),
                         (error.strerror, error.remedy, error.at))  # fmt: skip
        session.run("msg talk: reset")

    def test_cut_names(self) -> None:
        """Over-long names are cut with a warning, as ngctl cuts them."""
        self.ngctl(f"name bge1: {'n' * 40}")
        self.assertEqual("n" * 31, self.node("a").name)
        self.assertEqual(
            [f'name "{"n" * 40}" is longer than 31 bytes and was cut, as ngctl does'], self.warned
        )

    def test_quotes_elsewhere(self) -> None:
        """A word that is wholly quoted loses its quotes, but not in msg and config."""
        self.ngctl('name bge1: "test hub"', 'mkpeer "test hub:" "hub" "x" "y"')
        self.assertEqual("y", self.node("test hub:").hooks["x"].peer.name)

    def test_not_a_byte(self) -> None:
        """A character beyond latin-1 is EINVAL wherever it stands."""
        for line in ("name bge1: \u2192", "mkpeer \u2192 x x", "msg talk: settext \u2192",
                     "msg talk: \u2192", "shutdown \u2192:", "config talk: \u2192",
                     "connect \u2192: a b", "rmhook bge1: \u2192", "status \u2192:"):  # fmt: skip
            self.assertIn(self.errno(line), (EINVAL, ENOENT, ENOSYS), line)


VOCABULARY = r"""mkpeer connect name rmhook msg config show list dot status types write debug help
    read c rm hub talker socket a b x: me: . .: [1]: [0]: a.b : :: .. -n -l -f -c 1 -1 256 setn
    settext gettext nodeinfo { } [ ] = " "" \\" "a b" # name= binary2ascii connect_to describe
    textconfig ascii2binary {data=[1]} 99999999999999999999"""
WORDS = st.sampled_from([*VOCABULARY.split(), "\u2192", "\xff", "\0"])
LINES = st.one_of(st.lists(WORDS, max_size=6).map(" ".join), st.text(max_size=40))


class PropertyTests(SessionTests):
    @settings(max_examples=300, suppress_health_check=list(HealthCheck), deadline=None)
    @given(st.lists(LINES, max_size=6))
    def test_any_lines(self, lines: list[str]) -> None:
        """Whatever is typed fails with a LineError within the line, or quits, or works."""
        self.setUp()
        self.ngctl("mkpeer talker t t", "name t x")
        for line in lines:
            try:
                self.session.run(line)
            except LineError as error:
                self.assertTrue(0 <= error.at <= len(line), (line, error.at))
                self.assertTrue(error.errno and error.strerror, line)
            except Quit:
                pass
        self.assertEqual([], [error for _, error in self.reports if error])
        self.turn(99)
        self.assert_whole()
