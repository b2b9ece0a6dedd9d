"""Tests for words, the table of commands and their abbreviations (netgraph.md §9.2, §9.3)."""

from errno import EINVAL

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ngksock.netgraph.ngctl import COMMANDS, LineError, Word, find_command, near, split

PIECES = st.sampled_from(['"', "\\", " ", "\t", "a", "{", "\n", '" "', '\\"', "\xa0"])


class SplitTests(SynchronousTestCase):
    def expect(self, line: str, *words: str) -> None:
        """Assert the words of *line*, and that each stands where it says."""
        found = split(line)
        self.assertEqual(list(words), found, line)
        for word in found:
            self.assertEqual(word, line[word.start : word.start + len(word)])

    def test_blanks(self) -> None:
        """Any white space separates words; at both ends it is nothing."""
        self.expect("")
        self.expect(" \t ")
        self.expect("  mkpeer\thub  a \v a\f\r\n", "mkpeer", "hub", "a", "a")

    def test_quotes(self) -> None:
        """Blanks survive within a quoted run, wherever in a word it stands."""
        self.expect('name x "test hub"', "name", "x", '"test hub"')
        self.expect('msg a: set { s="a  b" }', "msg", "a:", "set", "{", 's="a  b"', "}")
        self.expect('a"b c"d"e f"g h', 'a"b c"d"e f"g', "h")
        self.expect('"" x', '""', "x")

    def test_escapes(self) -> None:
        r"""Within quotes ``\"`` and ``\\`` do not end them; outside a backslash is nothing."""
        self.expect(r'"a \" b" c', r'"a \" b"', "c")
        self.expect(r'"a \\" b', r'"a \\"', "b")
        self.expect(r"a\ b", "a\\", "b")
        self.expect(r'a\"b c" d', r'a\"b c"', "d")

    def test_unclosed(self) -> None:
        """A quote that nothing closes is an ordinary character, and so are those after it."""
        self.expect('a "b c', "a", '"b', "c")
        self.expect('"a b" c"d e', '"a b"', 'c"d', "e")
        self.expect('"a b"c"d e', '"a b"c"d', "e")
        self.expect('"a \\" b', '"a', '\\"', "b")
        self.expect('"', '"')

    def test_long(self) -> None:
        """A line of a million quotes that nothing closes takes linear time."""
        self.assertEqual(1, len(split('"' + '\\"' * 500_000)))
        self.assertEqual(300_000, len(split('"' + '\\" ' * 300_000)))

    @given(st.lists(PIECES, max_size=12).map("".join))
    def test_any(self, line: str) -> None:
        """Words are substrings in order, without overlap, with blanks alone between them."""
        at = 0
        for word in split(line):
            self.assertEqual("", line[at : word.start].strip(" \t\n\r\f\v"))
            at = word.start + len(word)
            self.assertEqual(word, line[word.start : at])
        self.assertEqual("", line[at:].strip(" \t\n\r\f\v"))

    def test_unquoted(self) -> None:
        """Quotes go only where they enclose the whole word."""
        for text, bare in (
            ('"a b"', "a b"), ('""', ""), ('"a"b', '"a"b'), ('"a"b"', '"a"b"'), ('"', '"'),
            ("ab", "ab"), (r'"a\"', r'"a\"'), (r'"a\"b"', r"a\"b"),
        ):  # fmt: skip
            self.assertEqual(bare, Word.at(text, 0).unquoted(), text)


ABBREVIATIONS = {
    "l": "list", "ls": "list", "w": "write", "q": "quit", "e": "quit", "t": "types",
    "j": "connect", "g": "dot", "k": "shutdown", "i": "show", ".": "read", "?": "help",
    "h": "help", "n": "name", "mk": "mkpeer", "ms": "msg", "cm": "msg", "so": "read",
    "sho": "show", "shu": "shutdown", "st": "status", "rmn": "shutdown",
    "rmh": "rmhook", "dis": "rmhook", "de": "debug", "confi": "config", "confd": "dot",
    "kill": "shutdown", "exit": "quit", "join": "connect", "cmd": "msg", "source": "read",
}  # fmt: skip


class CommandTests(SynchronousTestCase):
    def test_table(self) -> None:
        """Names, order and aliases are those of §9.2."""
        names = (
            "config connect debug dot help list mkpeer msg name read rmhook show shutdown "
            "status types write quit"
        )
        self.assertEqual(names.split(), [entry.name for entry in COMMANDS])
        aliases = {entry.name: entry.aliases for entry in COMMANDS if entry.aliases}
        self.assertEqual(
            {
                "connect": ("join",), "dot": ("graphviz", "confdot"), "help": ("?",),
                "list": ("ls",), "msg": ("cmd",), "read": ("source", "."),
                "rmhook": ("disconnect",), "show": ("inquire", "info"),
                "shutdown": ("kill", "rmnode"), "write": ("w",), "quit": ("exit",),
            },
            aliases,
        )  # fmt: skip

    def test_abbreviations(self) -> None:
        """Any unique prefix of a name or alias will do, in any case."""
        for word, name in ABBREVIATIONS.items():
            self.assertEqual(name, find_command(word).name, word)
            self.assertEqual(name, find_command(word.upper()).name, word)

    def test_exact(self) -> None:
        """A whole name or alias is never ambiguous (§12.3 #39)."""
        for entry in COMMANDS:
            for name in entry.names:
                self.assertIs(entry, find_command(name))

    def test_ambiguous(self) -> None:
        """What begins several is refused, and the error lists them."""
        for word in ("c", "co", "con", "conf", "d", "m", "r", "rm", "s", "sh"):
            error = self.assertRaises(LineError, find_command, word, 3)
            self.assertEqual(
                (EINVAL, f'"{word}": ambiguous command', 3, True),
                (error.errno, error.strerror, error.at, error.syntax),
            )
        self.assertEqual("it may be rmhook, shutdown", self.remedy("rm"))

    def remedy(self, word: str) -> str:
        error: LineError = self.assertRaises(LineError, find_command, word)
        return error.remedy

    def test_unknown(self) -> None:
        """What begins none is unknown; near names are offered."""
        error = self.assertRaises(LineError, find_command, "mkper", 2)
        self.assertEqual('"mkper": unknown command', error.strerror)
        self.assertEqual((2, 'did you mean "mkpeer"?'), (error.at, error.remedy))
        self.assertEqual("", self.remedy("#"))

    def test_unknown_long(self) -> None:
        """A word of any length that is no command is quoted from its beginning alone."""
        error = self.assertRaises(LineError, find_command, "x" * 500_000)
        self.assertEqual(f'"{"x" * 40}...": unknown command', error.strerror)

    def test_near(self) -> None:
        """At most two near names, in the form asked for; among very many only the first."""
        self.assertEqual('did you mean "bge1:" or "bge2:"?',
                         near("bge3", ["bge1", "bge2", "zzz"], "{}:").replace(
                             '"bge2:" or "bge1:"', '"bge1:" or "bge2:"'))  # fmt: skip
        self.assertEqual('did you mean "connect"?', near("conect", ["connect", "x", "connect"]))
        self.assertEqual("", near("bge", []))
        self.assertEqual("", near("target", (f"n{i}" for i in range(10**9))))
