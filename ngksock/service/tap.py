"""``twistd ngksock``: options, checking before anything is opened, and exit codes."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final, NoReturn

from twisted.application.service import IService
from twisted.python import usage

from ngksock import __version__
from ngksock.netgraph.ngctl import near
from ngksock.service.check import Check
from ngksock.service.control import Place, PlaceError, group_number
from ngksock.service.host import GraphService
from ngksock.service.run import ScriptError
from ngksock.service.script import Library

__all__ = ["Options", "makeService"]

USAGE: Final = 64
OPTIONS: Final = ("--check", "--control", "--no-control", "--control-group", "--version", "--help")
APPLYING: Final = 71


class Options(usage.Options):
    """The options of ``twistd ngksock``; a wrong one ends the process with 64."""

    synopsis = "[--check] [--control PATH | --no-control] [--control-group GROUP] [FILE...]"
    longdesc = (
        "Hosts the netgraph graph that FILEs make: ngctl(8) commands, one a line; - is standard "
        "input. Without a FILE the graph is empty, and made from outside by ngkctl(8). "
        "Exit codes: 64 wrong usage, 65 an error in a file, 66 a file that cannot be "
        "read, 71 a command that failed when it was applied, or no place for --control PATH."
    )
    optFlags = (
        ("check", None, "Look for errors in FILEs, open nothing, and end."),
        ("no-control", None, "Let no outside program attach."),
    )
    optParameters = (
        ("control", None, None, "Where ngkctl and other programs attach: the path of a socket."),
        ("control-group", None, None, "A group whose members may attach as well."),
    )

    def opt_version(self) -> NoReturn:
        """Show the version and end."""
        print(f"ngksock {__version__}")
        raise SystemExit(0)

    def parseArgs(self, *files: str) -> None:
        """Take the names of the files."""
        self["files"] = files

    def postOptions(self) -> None:
        """Look whether there is something to host."""
        files: Sequence[str] = self["files"]
        if not files and (self["check"] or self["no-control"]):
            raise usage.UsageError("no FILE given; name a file of ngctl commands, or - for stdin")
        if self["no-control"] and (self["control"], self["control-group"]) != (None, None):
            raise usage.UsageError("--no-control leaves nothing to --control and --control-group")
        if self["control"] == "":
            raise usage.UsageError("an empty path for the control socket")
        self["group"] = None
        if self["control-group"] is not None:
            try:
                self["group"] = group_number(self["control-group"])
            except ValueError as error:
                raise usage.UsageError(str(error)) from None
        if files.count("-") > 1:
            raise usage.UsageError("standard input can be read only once; give - only once")

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse *options*; raises SystemExit(64) for wrong ones."""
        try:
            usage.Options.parseOptions(self, options)
        except usage.UsageError as error:
            _print([f"ngksock: {error}{_hint(str(error))}"])
            raise SystemExit(USAGE) from None


def _hint(message: str) -> str:
    words = [word for word in message.split() if word.startswith("-")]
    close = near(words[0], OPTIONS) if words else ""
    return f"; {close}" if close else "; --help lists the options"


def _print(lines: Iterable[str]) -> None:
    """Print to where people look: twistd replaces sys.stderr."""
    if sys.__stderr__ is not None:
        with suppress(OSError):
            sys.__stderr__.writelines(f"{line}\n" for line in lines)
            sys.__stderr__.flush()


def _report(sentence: str, error: Exception) -> None:
    """Tell of a bug in a node's code while files are checked: there is no log yet."""
    _print([sentence, *traceback.format_exception(error)])


class _Main(GraphService):
    """The graph as what the whole process is for: it ends when the graph cannot be made."""

    def __init__(
        self, library: Library, files: Sequence[str], place: Place | None, pidfile: str
    ) -> None:
        super().__init__(library, files, place=place)
        self._pid = os.getpid()
        self._pidfile = pidfile
        self._stderr: int | None = None
        with suppress(OSError):  # it may be closed
            self._stderr = os.dup(2)  # a daemon has none of its own

    def apply(self) -> None:
        message = ""
        try:
            super().apply()
        except (ScriptError, PlaceError) as failed:
            message = str(failed)
        stderr, self._stderr = self._stderr, None
        try:
            if message:  # and not in the except clause: what raised it is no news to anybody
                self._fail(message, stderr)
        finally:
            if stderr is not None:
                os.close(stderr)

    def _fail(self, message: str, stderr: int | None) -> NoReturn:
        if os.getpid() != self._pid:
            # Daemonized.  twistd's first process waits for word of this one, and
            # gets it for an Exception alone: SystemExit would hang it for ever.  It
            # shows 100 bytes of it; the whole goes to where twistd was started.
            if stderr is not None:
                with suppress(OSError):
                    os.write(stderr, f"{message}\n".encode(errors="backslashreplace"))
            sys.tracebacklimit = 0  # a user's mistake is not worth a traceback
            raise RuntimeError(message)
        _print([message])
        self._remove_pidfile()
        raise SystemExit(APPLYING)

    def _remove_pidfile(self) -> None:
        """Remove what twistd removes for any end but this."""
        with suppress(OSError, ValueError):
            with open(self._pidfile, encoding="ascii") as file:
                own = int(file.read()) == self._pid
            if own:
                os.unlink(self._pidfile)


def makeService(options: Options) -> IService:
    """
    Return the service, its files read and found good.

    Raises:
        SystemExit: 65 or 66, with messages; 0 for ``--check``.
    """
    library = Library()
    check = Check(library, _report)
    for name in options["files"]:
        check.file(name)
    if check.findings.count:
        _print(check.findings.lines())
        raise SystemExit(check.findings.code)
    if options["check"]:
        raise SystemExit(0)
    parent = getattr(options, "parent", None) or {}
    place = None
    if not options["no-control"]:
        place = Place(options["control"], options["group"], parent.get("uid"))
    return _Main(library, options["files"], place, parent.get("pidfile") or "")
