"""ngkhook: looks at a wire of a running graph, or feeds one, as nghook(8) does."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Final

from ngksock import __version__, ngd
from ngksock.ctl.console import USAGE, Console, StartError, as_text, attach, seconds, whole
from ngksock.ctl.copying import Copy

__all__ = ["main"]

SYNOPSIS: Final = (
    "usage: ngkhook [-adhilLSx] [-b bytes] [-m message] [-n packets] [-s path] [-t seconds] "
    "path [hook]"
)
OPTIONS: Final = f"""\
{SYNOPSIS}

Links a node of its own to HOOK ("debug" if none is given) of the node at PATH:
standard input goes there, and what comes from there to standard output. Each
read of standard input is a packet, and packets are written as they are, unless:

  -a, --ascii        print packets as a hex dump with ASCII beside it
  -L, --lines        a line is a packet, without its newline, in and out
  -x, --hex          a line is a packet, in hexadecimal digits, in and out

  -b, --bytes N      most bytes that are read from input at once; 8192
  -d, --debug        tell on standard error what is sent and received
  -i, --no-input     do not read standard input; go on until stopped
  -l, --loop         send everything that comes back to the hook too
  -m, --message TEXT send a message to the node first: "COMMAND ARGUMENTS"
  -n, --packets N    end when N packets have come
  -s, --socket PATH  where the daemon listens; $NGD_SOCKET, or the usual place
  -S, --stdin-out    write to descriptor 0 rather than 1: it may be a socket
  -t, --time SECONDS end when nothing came or went for so long
      --version      print the version
  -h, --help         print this

It ends with its input, unless -n or -t say for what it is to stay, when the
link is removed, and by Ctrl-C.

While a stream behind the hook is full it reads no more input.  A packet that a
node refuses, or has no room for, is complained of, once for each reason, and
makes the exit code 71; the others go on.

Exit codes: 64 wrong usage, 69 no daemon, 71 an error, 75 fewer packets than -n
came within -t, 77 not permitted.
"""
WORDS: Final = (
    "ascii", "lines", "hex", "bytes=", "debug", "no-input", "loop", "message=", "packets=",
    "socket=", "stdin-out", "time=", "version", "help",
)  # fmt: skip
LETTERS: Final = {
    "a": "ascii", "L": "lines", "x": "hex", "b": "bytes", "d": "debug", "i": "no-input",
    "l": "loop", "m": "message", "n": "packets", "s": "socket", "S": "stdin-out", "t": "time",
    "h": "help",
}  # fmt: skip
READ_MAX: Final = 8192


class Options:
    """
    The options of the command line.

    Raises:
        StartError: They are wrong.
    """

    def __init__(self, argv: Sequence[str]) -> None:
        import getopt

        letters = "".join(
            one + (":" if f"{word}=" in WORDS else "") for one, word in LETTERS.items()
        )
        try:
            found, rest = getopt.gnu_getopt(list(argv), letters, list(WORDS))
        except getopt.GetoptError as error:
            raise StartError(error.msg, USAGE) from None
        given = {LETTERS.get(name.lstrip("-"), name.lstrip("-")): value for name, value in found}
        self.print = ""
        if "help" in given or "version" in given:
            self.print = OPTIONS if "help" in given else f"ngkhook {__version__}\n"
            return
        if not 1 <= len(rest) <= 2:
            raise StartError("one path, and maybe a hook, are needed", USAGE)
        self.path = as_text(rest[0])
        self.hook = as_text(rest[1]) if len(rest) > 1 else "debug"
        forms = [form for form in ("ascii", "lines", "hex") if form in given]
        if len(forms) > 1:
            raise StartError(f"--{forms[0]} and --{forms[1]} cannot be used together", USAGE)
        self.form = forms[0] if forms else "raw"
        self.size = whole(given["bytes"], "b") if "bytes" in given else READ_MAX
        if self.size > ngd.PAYLOAD_MAX:
            raise StartError(f"-b: a packet has at most {ngd.PAYLOAD_MAX} bytes", USAGE)
        self.debug = "debug" in given
        self.reads = "no-input" not in given
        self.loop = "loop" in given
        self.message = as_text(given["message"]) if "message" in given else ""
        self.packets = whole(given["packets"], "n") if "packets" in given else None
        self.socket = given.get("socket") or ngd.default_path()
        self.output = 0 if "stdin-out" in given else 1
        self.time = seconds(given["time"], "t") if "time" in given else None


def main(argv: Sequence[str] | None = None) -> int:
    """Run ngkhook; return its exit status."""
    import signal

    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    _reserve()
    console = Console("ngkhook")
    try:
        options = Options(sys.argv[1:] if argv is None else argv)
        if options.print:
            print(options.print, end="")
            return 0
        node = attach(options.socket, f"ngkhook{os.getpid()}")
        with node:
            return Copy(node, options, console).run()
    except StartError as error:
        console.complain(str(error))
        if error.code == USAGE:
            print(SYNOPSIS, file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        return 130


def _reserve() -> None:
    """Have standard streams that are closed be nothing, lest a socket take their numbers."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is this one.  Writing to the output is then EBADF.
            os.open(os.devnull, os.O_WRONLY if number == 2 else os.O_RDONLY)
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - as long as the program
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


if __name__ == "__main__":
    sys.exit(main())
