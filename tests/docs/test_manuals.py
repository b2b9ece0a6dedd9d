"""The manual pages and the shell completions: well-formed, and about all there is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from ngksock.ctl import console, ngkctl, ngkhook
from ngksock.ctl.commands import AS_JSON, MORE
from ngksock.netgraph.ngctl import COMMANDS, find_command
from ngksock.service.tap import Options
from tests.docs.console import Terminal
from tests.docs.pages import ROOT

MAN = ROOT / "docs" / "man"
COMPLETIONS = ROOT / "docs" / "completions"
PROGRAMS = {"ngkctl": ngkctl.OPTIONS, "ngkhook": ngkhook.OPTIONS}

SECTIONS = (
    "NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "PATHS", "COMMANDS", "COMMAND FILES", "SIGNALS",
    "ENVIRONMENT", "FILES", "EXIT STATUS", "EXAMPLES", "DIFFERENCES FROM", "SEE ALSO",
)  # fmt: skip
"""In their order; these may be missing:"""
SOME = {"PATHS", "COMMANDS", "COMMAND FILES", "SIGNALS"}

# The macros of mdoc(7) that the pages use.
BLOCKS = {"Bl": "El", "Bd": "Ed", "Oo": "Oc"}
HEADS = {"Dd", "Dt", "Os", "Sh", "Nm", "Nd", "Pp", "It", *BLOCKS, *BLOCKS.values()}
INLINE = {"Op", "Ar", "Fl", "Cm", "Ic", "Ql", "Xr", "Pa", "Ev", "Dv", "Ns", "No", "Oo", "Oc"}
ESCAPES = re.compile(r"\\[&e]")


def complaints(page: str) -> Iterator[str]:
    """Yield what is wrong with the roff of *page*."""
    open_: list[str] = []
    literal = False
    for number, line in enumerate(page.splitlines(), 1):
        where = f"{number}: {line}"
        if not line.isascii() or not line.isprintable() or len(line) > 80:
            yield f"{where}: no short line of ASCII"
        if line != line.rstrip() or not line:
            yield f"{where}: blanks"
        if "\\" in ESCAPES.sub("", line.removeprefix(".\\")):
            yield f"{where}: an escape"
        if line.startswith("'"):
            yield f"{where}: a control line by mistake"
        if not line.startswith(".") or line.startswith('.\\"'):
            continue
        if line.count('"') % 2:
            yield f"{where}: a quote is open"
        macro, *words = re.findall(r'"[^"]*"|\S+', line[1:])
        if macro not in HEADS | INLINE:
            yield f"{where}: {macro} is none of our macros"
        if literal and macro != "Ed":
            yield f"{where}: a macro in a literal display"
        literal = macro == "Bd" or (literal and macro != "Ed")
        for word in [macro, *words] if macro not in ("Sh", "Dt", "Nd") else [macro]:
            if word in BLOCKS:
                open_.append(BLOCKS[word])
            elif word in BLOCKS.values() and (not open_ or open_.pop() != word):
                yield f"{where}: nothing to close"
        if macro == "It" and "El" not in open_:
            yield f"{where}: no list"
        if macro == "Sh" and open_:
            yield f"{where}: {open_.pop()} is missing"
    if open_:
        yield f"{open_.pop()} is missing"


def items(page: str) -> list[list[str]]:
    """Return the heads of the items of all lists: their words."""
    return [line.split()[1:] for line in page.splitlines() if line.startswith(".It ")]


def names(words: list[str]) -> set[str]:
    """Return the options that the head of an item is about."""
    flags = {"-" + flag for flag in re.findall(r"Fl (\S+)", " ".join(words))}
    return flags if words and words[0] == "Fl" else set()


def syntax(words: list[str]) -> list[str]:
    """Return what a reader sees of a head, without what marks options."""
    text = re.sub(r"\bFl (?=\w)", "-", " ".join(words))
    return [word for word in re.findall(r"-?[\w.]+", text) if word not in INLINE]


def offered(text: str) -> list[tuple[set[str], str]]:
    """Return the options that a program's ``--help`` lists, and what each takes."""
    found = re.findall(r"(?m)^  (?:(-\w), |    )(--[a-z-]+)(?: ([A-Z]+))?", text)
    return [({letter, word} - {""}, value) for letter, word, value in found]


class ManualTests(SynchronousTestCase):
    """docs/man/*.8."""

    def page(self, name: str) -> str:
        return (MAN / f"{name}.8").read_text(encoding="ascii")

    def test_roff(self) -> None:
        """The pages are well-formed mdoc."""
        pages = sorted(path.stem for path in MAN.glob("*.8"))
        self.assertEqual(["ngkctl", "ngkhook", "ngksock"], pages)
        for name in pages:
            self.assertEqual([], list(complaints(self.page(name))), name)

    def test_roff_can_fail(self) -> None:
        """What is not well-formed is found."""
        for bad in (
            "long " * 20, "café", "a ", "\tb", "", "a \\fBbold", "'tis", '.Ql "a', ".Foo bar",
            ".Bl -tag\n.It Fl a", ".It Fl a", ".El", ".Oo Ar a", ".Bl -tag\n.Sh A\n.El",
            ".Bd -literal\n.Pp\n.Ed", ".Bl -tag\n.Ed",
        ):  # fmt: skip
            self.assertNotEqual([], list(complaints(f"{bad}\n")), bad)
        self.assertEqual([], list(complaints('.\\" Comment\n.Oo Ar a Oc Fl b\ntext \\e\n')))

    def test_sections(self) -> None:
        """Each page has the usual sections, in their order."""
        for path in MAN.glob("*.8"):
            found = re.findall(r"(?m)^\.Sh (.*)", self.page(path.stem))
            found = [re.sub(r"(?<=DIFFERENCES FROM) .*", "", name) for name in found]
            self.assertEqual([name for name in SECTIONS if name in {*found} or name not in SOME],
                             found)  # fmt: skip

    def test_commands(self) -> None:
        """ngkctl(8) has each command, with its syntax and its aliases."""
        page = self.page("ngkctl")
        heads = {words[1]: syntax(words[1:]) for words in items(page) if words[0] == "Ic"}
        shown = re.split(r"(?m)^\.It Ic (?=\w)", page)[1:]
        paragraphs = {text.split()[0]: text for text in shown}
        self.assertEqual({command.name for command in (*COMMANDS, *MORE)}, set(heads))
        for command in (*COMMANDS, *MORE):
            self.assertEqual(re.findall(r"-?[\w.]+", command.syntax), heads[command.name])
            for alias in command.aliases:
                self.assertIn(alias, paragraphs[command.name].replace("\\&", ""))
        ours = page[page.index("does not have.") :]
        self.assertEqual([], [row.name for row in MORE if f".It Ic {row.name}" not in ours])

    def test_file_commands(self) -> None:
        """ngksock(8) names the commands of a file."""
        named = re.findall(r"(?m)^\.Ic (\w+)", self.page("ngksock"))
        self.assertEqual([command.name for command in COMMANDS], named)

    def test_options(self) -> None:
        """Each option has an item, with what it takes."""
        for program, text in PROGRAMS.items():
            heads = [words for words in items(self.page(program)) if names(words)]
            wanted = [(found, value.lower()) for found, value in offered(text)]
            self.assertGreater(len(wanted), 7)
            for found, value in wanted:
                [words] = [words for words in heads if names(words) == found]
                takes = words[words.index("Ar") + 1].lower() if "Ar" in words else ""
                self.assertEqual(value, takes, f"{program} {found}")
            self.assertEqual(len(wanted), len(heads), program)

    def test_synopsis(self) -> None:
        """The synopsis is that of the program."""
        for program, text in PROGRAMS.items():
            section = re.findall(r"\.Sh SYNOPSIS\n(.*?)\.Sh", self.page(program), re.DOTALL)[0]
            lines = [syntax(line.split()) for line in section.replace(".", "", 1).split("\n.")]
            usage = text.splitlines()[0].replace("usage: ", "")
            shown = [word for line in lines for word in line]
            wanted = re.findall(r"-{0,2}[\w.]+", usage)
            wanted = [re.sub("(file|node)name", r"\1", word) for word in wanted]
            shown = [re.sub("^name$", "node", re.sub("^-+json", "json", word)) for word in shown]
            wanted = [re.sub("^-+json", "json", word) for word in wanted]
            self.assertEqual(["Nm", *wanted[1:]], shown, program)

    def test_service_options(self) -> None:
        """ngksock(8) has the options of ``twistd ngksock``."""
        page = self.page("ngksock")
        heads = {name for words in items(page) for name in names(words)}
        flags = {f"--{row[0]}" for row in (*Options.optFlags, *Options.optParameters)}
        self.assertEqual(set(), {*flags, "--version", "--help"} - heads)

    def test_exit_status(self) -> None:
        """Each exit code is explained, and no other."""
        codes = {value for name, value in vars(console).items() if name.isupper()
                 and isinstance(value, int) and value < 128}  # fmt: skip
        for program, text in PROGRAMS.items():
            said = {int(code) for code in re.findall(r"\b\d\d\b", text[text.index("Exit codes") :])}
            found = {int(words[0]) for words in items(self.page(program)) if words[0].isdecimal()}
            self.assertEqual({0, *said}, found, program)
            self.assertEqual(set(), said - codes)


class CompletionTests(SynchronousTestCase):
    """docs/completions/*."""

    def test_whole(self) -> None:
        """The files of each shell mention each command, alias and option."""
        for shell in ("bash", "zsh", "fish"):
            files = sorted(COMPLETIONS.glob(f"*.{shell}"))
            text = "\n".join(path.read_text(encoding="ascii") for path in files)
            for command in (*COMMANDS, *MORE):
                for name in {*command.names} - {"?", ".", "w", "write", "exit"}:
                    self.assertRegex(text, rf"(?<![\w-]){name}(?![\w-])", f"{shell} {name}")
            for program, options in PROGRAMS.items():
                only = "\n".join(path.read_text() for path in files if program in path.read_text())
                for found, _ in offered(options):
                    for name in found:
                        # In fish it is "-s f -l file" that declares "-f, --file".
                        dash = f"-{'l' if len(name) > 2 else 's'} {name.lstrip('-')}"
                        wanted = dash if shell == "fish" else name
                        self.assertRegex(only, rf"(?<!\w){re.escape(wanted)}(?!\w)", program)

    def test_json(self) -> None:
        """Bash offers --json where it is taken."""
        for command in AS_JSON:
            self.assertIn("--json", self.bash(f"ngkctl {command} --"), command)

    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="ngksock-man-"))
        self.terminal: Terminal | None = None

    def tearDown(self) -> None:
        if self.terminal is not None:
            self.terminal.run("kill %twistd; wait", "...Server Shut Down....")
            self.terminal.close()
        for path in self.directory.iterdir():
            path.unlink()
        self.directory.rmdir()

    def daemon(self) -> None:
        """Start a daemon with a graph, at g.sock."""
        graph = "mkpeer hub a a\nname a fan\nmkpeer fan: ksocket in inet/dgram/udp\n"
        (self.directory / "g.ng").write_text(graph + "mkpeer fan: tee out left\n")
        self.terminal = Terminal(self.directory)
        self.terminal.run(
            "twistd -n --pidfile= ngksock --control g.sock g.ng &", "...nodes, 2 links from g.ng..."
        )

    def bash(self, line: str) -> list[str]:
        """Return what bash offers for the end of *line*."""
        program = line.split()[0]
        script = (
            f"source {COMPLETIONS / program}.bash; COMP_LINE=$1 COMP_POINT=${{#1}}; _{program}; "
            r"""printf '%s\n' "${COMPREPLY[@]}" """
        )
        programs = Path(__file__).parent / "bin"
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-c", script, "bash", line],
            env={
                **os.environ,
                "PATH": os.pathsep.join([os.path.dirname(sys.executable), str(programs),
                                         os.environ["PATH"]]),
                "PYTHONPATH": str(ROOT),
                "NGD_SOCKET": "g.sock",
            },
            cwd=self.directory, capture_output=True, text=True, check=False,
        )  # fmt: skip
        self.assertEqual((0, ""), (done.returncode, done.stderr), line)
        return done.stdout.split()

    def test_bash_without_daemon(self) -> None:
        """Without a daemon, commands and options are offered, and nothing complains."""
        every = sorted(command.name for command in (*COMMANDS, *MORE))
        self.assertEqual(every, self.bash("ngkctl "))
        self.assertEqual(every, self.bash("ngkctl help "))
        self.assertEqual(["save", "show", "shutdown", "status"], self.bash("ngkctl -d s"))
        self.assertEqual([], self.bash("ngkctl show "))
        self.assertEqual([], self.bash("ngkctl -n "))
        self.assertEqual([], self.bash("ngkhook -n 1 "))
        for program, text in PROGRAMS.items():
            wanted = set().union(*(found for found, _ in offered(text)))
            self.assertEqual(wanted, set(self.bash(f"{program} -")), program)

    def test_bash(self) -> None:
        """Nodes, hooks, types and messages are those of the graph."""
        self.daemon()
        for line, wanted in [
            ("ngkctl show ", "fan:"),
            ("ngkctl show fan:", "in out"),
            ("ngkctl i fan:o", "out"),
            ("ngkctl -s g.sock status f", "fan:"),
            ("ngkctl -s none.sock status f", ""),
            ("ngkctl connect fan: fan:out.", "out.left"),
            ("ngkctl mkpeer fan: k", "ksocket"),
            ("ngkctl mkpeer te", "tee"),
            ("ngkctl msg fan:in getp", "getpeername"),
            ("ngkctl rmhook fan: ", "in out"),
            ("ngkctl wait -t 1 ", "fan:"),
            ("ngkctl wait -t ", ""),
            ("ngkctl -f g.n", "g.ng"),
            ("ngkctl read g.n", "g.ng"),
            ("ngkhook -L -n 1 ", "fan:"),
            ("ngkhook -s g.sock fan:", "in out"),
            ("ngkhook fan: ", ""),
        ]:
            self.assertEqual(wanted.split(), self.bash(line), line)

    def test_abbreviations(self) -> None:
        """What bash takes an abbreviation for is what ngkctl takes it for."""
        words = [
            "l",
            "t",
            "j",
            "g",
            "k",
            "i",
            "inf",
            "sho",
            "w",
            "ins",
            "wat",
            "wai",
            "sa",
            "ls",
            "?",
            "Li",
            "e",
        ]
        script = f'source {COMPLETIONS / "ngkctl.bash"}; for w; do _ngkctl_full "$w"; done'
        done = subprocess.run(
            ["bash", "-c", script, "bash", *words], capture_output=True, text=True, check=True
        )
        self.assertEqual([find_command(word, 0, MORE).name for word in words], done.stdout.split())
