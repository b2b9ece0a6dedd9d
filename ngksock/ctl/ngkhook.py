"""ngkhook: looks at a wire of a running graph, or feeds one, as nghook(8) does."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Iterator, Sequence
from errno import EAGAIN, EHOSTUNREACH, EINVAL, ENOBUFS, EPIPE, ETIMEDOUT
from typing import Final

from ngksock import __version__, ngd
from ngksock.client import NoAnswerError, NoDaemonError, NodeSocket
from ngksock.ctl.console import (
    FAILED,
    LATE,
    USAGE,
    Console,
    StartError,
    as_bytes,
    as_text,
    attach,
    code_of,
    seconds,
    whole,
)

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

  -b, --bytes N      most bytes of a packet that is read from input; 8192
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

A packet that a node refuses is complained of, once for each reason, and makes
the exit code 71; the others go on.

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
OWN_HOOK: Final = "hook"
READ_MAX: Final = 8192
RETRY: Final = 0.01
"""Seconds before a packet that found no room is sent again."""
PATIENCE: Final = 5.0
"""Seconds for which that is done."""
FATAL: Final = (EHOSTUNREACH, EPIPE, ETIMEDOUT)
"""What no other packet will fare better with."""
LOOK: Final = 1.0
"""Seconds after which it is looked whether the link is still there."""


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


class Copy:
    """
    Copies between a hook and the standard streams.

    Args:
        node: Ours, not linked yet.
        options: What is wanted.
        console: Takes complaints.
    """

    def __init__(self, node: NodeSocket, options: Options, console: Console) -> None:
        self.node = node
        self.options = options
        self.console = console
        self.came = 0
        self._input = b""
        self._failed: set[int | None] = set()

    def run(self) -> int:
        """Copy until there is nothing more to do; return the exit status."""
        try:
            self.node.open_data()
            self._link()
        except OSError as error:
            system = os.strerror(error.errno or 0)
            self.console.complain(f"can't connect to node: {system}")
            if error.strerror != system:
                self.console.complain(f"{error.strerror}{self._remedy()}")
            return code_of(error)
        try:
            return self._copy() or (FAILED if self._failed else 0)
        except OSError as error:
            self.console.complain(error.strerror or str(error))
            return code_of(error)

    def _remedy(self) -> str:
        """Return what may help who forgot a colon."""
        from ngksock.client.port import ClientPort

        path = self.options.path
        if ":" in path or path not in ClientPort(self.node).names():
            return ""
        return f'; did you mean the node "{path}:"?'

    def _link(self) -> None:
        from ngksock.client.port import ClientPort
        from ngksock.netgraph.generic import Connect
        from ngksock.netgraph.layout import Struct
        from ngksock.netgraph.message import GENERIC_COOKIE, Message

        if self.options.message:
            self.node.send_ascii_msg(self.options.path, self.options.message)
        arg = Connect(self.options.path, OWN_HOOK, self.options.hook)
        ClientPort(self.node).send(".", Message(GENERIC_COOKIE, 3, Struct(Connect).pack(arg)))

    def _linked(self) -> bool:
        from ngksock.netgraph.generic import READS, NodeInfo
        from ngksock.netgraph.layout import Struct
        from ngksock.netgraph.message import GENERIC_COOKIE

        raw = self.node.request(".", GENERIC_COOKIE, 6 | READS).data
        return Struct(NodeInfo).unpack(raw).hooks > 0

    def _copy(self) -> int:
        options = self.options
        poll = select.poll()
        data = self.node.data_fileno()
        poll.register(data, select.POLLIN)
        reading = options.reads
        if reading:
            poll.register(0, select.POLLIN)
        moved = looked = time.monotonic()
        while True:
            now = time.monotonic()
            if options.time is not None and now - moved >= options.time:
                return LATE if options.packets is not None else 0
            if now - looked >= LOOK:
                looked = now
                if not self._linked():
                    return self._over("the link was removed")
            left = LOOK if options.time is None else min(LOOK, moved + options.time - now)
            ready = [number for number, _ in poll.poll(max(left, 0) * 1000 + 1)]
            if ready:
                moved = time.monotonic()
            if data in ready and self._receive():
                return 0
            if 0 in ready and reading and not self._send():
                reading = False
                poll.unregister(0)
                if options.packets is None and options.time is None:
                    self._receive()  # what it brought about is here already
                    return 0

    def _over(self, why: str) -> int:
        if self.options.packets is not None and self.came < self.options.packets:
            self.console.complain(why)
            return FAILED
        return 0

    # -- from the hook

    def _receive(self) -> bool:
        """Write the packets that are here; return True if they are as many as wanted."""
        wanted = self.options.packets
        while wanted is None or self.came < wanted:
            try:
                _, packet = self.node.recv_data(0)
            except NoAnswerError:
                return False
            self.came += 1
            self._tell("received", packet)
            _write_all(self.options.output, self._shown(packet))
            if self.options.loop:
                self._out(packet)
        return True

    def _shown(self, packet: bytes) -> bytes:
        form = self.options.form
        if form == "ascii":
            from ngksock.netgraph.display import dump

            return as_bytes(f"{dump(packet)}\n\n" if packet else "empty\n\n")
        if form == "hex":
            return packet.hex(" ").encode() + b"\n"
        return packet + b"\n" if form == "lines" else packet

    # -- to the hook

    def _send(self) -> bool:
        """Send what is readable; return False at the end of the input."""
        raw = os.read(0, self.options.size)
        for packet in self._packets(raw):
            self._out(packet)
        return bool(raw)

    def _packets(self, raw: bytes) -> Iterator[bytes]:
        if self.options.form in ("raw", "ascii"):
            if raw:
                yield raw
            return
        self._input += raw
        *lines, self._input = self._input.split(b"\n")
        if not raw and self._input:
            lines, self._input = [self._input], b""
        for line in lines:
            yield self._packet(line)

    def _packet(self, line: bytes) -> bytes:
        if self.options.form == "lines":
            return line
        try:
            return bytes.fromhex(line.decode("ascii"))
        except ValueError:
            shown = line[:40].decode("latin-1")
            raise OSError(EINVAL, f'"{shown}" are no hexadecimal digits') from None

    def _out(self, packet: bytes) -> None:
        end = time.monotonic() + PATIENCE
        self._tell("sent", packet)
        while True:
            try:
                self.node.send_data(OWN_HOOK, packet)
                return
            except OSError as error:
                if error.errno in FATAL or isinstance(error, NoDaemonError):
                    raise
                if error.errno not in (ENOBUFS, EAGAIN) or time.monotonic() > end:
                    self._lost(error)
                    return
            select.select((), (), (), RETRY)

    def _lost(self, error: OSError) -> None:
        """Say, once for each reason, that packets do not get where they should."""
        if error.errno not in self._failed:
            self._failed.add(error.errno)
            self.console.complain(f"writing to hook: {error.strerror}")

    def _tell(self, what: str, packet: bytes) -> None:
        if self.options.debug:
            self.console.complain(f"{what} {len(packet)} bytes")


def _write_all(number: int, data: bytes) -> None:
    while data:
        data = data[os.write(number, data) :]


if __name__ == "__main__":
    sys.exit(main())
