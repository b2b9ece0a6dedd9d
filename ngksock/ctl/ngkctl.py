"""ngkctl: ngctl(8)'s commands on the graph of a running daemon."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import BinaryIO, Final

from ngksock import __version__, ngd
from ngksock.client.port import ClientPort
from ngksock.ctl.commands import ConsoleSession, patience
from ngksock.ctl.console import (
    CANNOT_OPEN,
    USAGE,
    Console,
    StartError,
    as_text,
    attach,
    seconds,
)
from ngksock.ctl.runner import Runner
from ngksock.ctl.trace import Trace, translator
from ngksock.netgraph.ngctl import Word

__all__ = ["main"]

SYNOPSIS: Final = (
    "usage: ngkctl [-d] [-f filename] [-n nodename] [-s path] [-w seconds] [--json] [command ...]"
)
OPTIONS: Final = f"""\
{SYNOPSIS}

Carries out ngctl(8) commands on the graph of a running "twistd ngksock".

  -d, --debug        log what could not be sent; twice: the messages that go and come
                     too; three times: their arguments too, as text and as bytes
  -f, --file FILE    read commands from FILE; - is standard input
  -n, --name NAME    the name of the program's own node; ngkctl and its process id
  -s, --socket PATH  where the daemon listens; $NGD_SOCKET, or the usual place
  -w, --wait SECONDS wait so long for the reply to a msg; none in time is an error
      --json         print list, show, types, status, and messages as JSON
      --version      print the version
  -h, --help         print this

Without a command and without -f, on a terminal, it asks for commands.
"help" lists the commands, and "help COMMAND" explains one.

Exit codes: 64 wrong usage, 66 a file that cannot be read, 69 no daemon,
71 a command failed, 75 no answer in time, 77 not permitted.
"""


class Options:
    """
    The options of the command line.

    Raises:
        StartError: They are wrong.
    """

    def __init__(self, argv: Sequence[str]) -> None:
        import getopt

        letters, words = "df:n:s:w:h", ("debug", "file=", "name=", "socket=", "wait=", "json")
        try:
            found, rest = getopt.getopt(list(argv), letters, [*words, "help", "version"])
        except getopt.GetoptError as error:
            raise StartError(error.msg, USAGE) from None
        self.debug = 0
        self.file: str | None = None
        self.name = f"ngkctl{os.getpid()}"
        self.socket = ngd.default_path()
        self.wait: float | None = None
        self.json = False
        self.print = ""
        self.words = [as_text(word) for word in rest]
        for option, value in found:
            self._take(option, value)

    def _take(self, option: str, value: str) -> None:
        if option in ("-d", "--debug"):
            self.debug += 1
        elif option in ("-f", "--file"):
            self.file = value
        elif option in ("-n", "--name"):
            self.name = as_text(value)[:31]
        elif option in ("-s", "--socket"):
            self.socket = value
        elif option in ("-w", "--wait"):
            self.wait = seconds(value, "w")
        elif option == "--json":
            self.json = True
        else:
            self.print = OPTIONS if option in ("-h", "--help") else f"ngkctl {__version__}\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Run ngkctl; return its exit status."""
    import signal

    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    console = Console("ngkctl")
    try:
        return run(Options(sys.argv[1:] if argv is None else argv), console)
    except StartError as error:
        console.complain(str(error))
        if error.code == USAGE:
            console.remark(SYNOPSIS)
        return error.code
    except KeyboardInterrupt:
        return 130


def run(options: Options, console: Console) -> int:
    """
    Do what *options* say; return the exit status.

    Raises:
        StartError: The program cannot begin.
    """
    if options.print:
        console.say(options.print.removesuffix("\n"))
        return 0
    file = _open(options.file)
    interactive = not options.words and file is None
    if interactive and not all(
        stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout)
    ):
        raise StartError("no command specified", USAGE)
    node = attach(options.socket, options.name, patience(options.words))
    try:
        runner = Runner(console)
        port = ClientPort(node, options.wait)
        session = ConsoleSession(port, console, runner, options.json)
        session.debug = options.debug
        runner.session = session
        node.trace = Trace(console.complain, lambda: session.debug, translator(node))
        if options.words:
            return runner.words([Word.at(word, 0) for word in options.words])
        if file is not None:
            return runner.stream(file)
        from ngksock.ctl.interactive import converse

        return converse(runner, node)
    finally:
        node.close()


def _open(name: str | None) -> BinaryIO | None:
    if name is None:
        return None
    if name == "-" and sys.stdin is None:
        raise StartError("standard input is closed", CANNOT_OPEN)
    try:
        return sys.stdin.buffer if name == "-" else open(name, "rb")
    except OSError as error:
        raise StartError(f"{name}: {error.strerror}", CANNOT_OPEN) from error
