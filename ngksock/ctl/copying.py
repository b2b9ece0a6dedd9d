"""What ngkhook does: packets go from a hook to the standard streams, and back.

Nothing here waits for one side alone, but for standard output: while the graph
has no room for what was read, what comes from it is written all the same.  So
two programs that feed each other do not wait for each other.  What was read and
not sent yet is never more than one read: before that is gone no other is made.
"""

from __future__ import annotations

import os
import select
import time
from collections import deque
from collections.abc import Iterator
from errno import EAGAIN, EHOSTUNREACH, EINVAL, EMSGSIZE, ENOBUFS, EPIPE, ETIMEDOUT
from typing import TYPE_CHECKING, Final

from ngksock import ngd
from ngksock.client import NoAnswerError, NoDaemonError, NodeSocket
from ngksock.ctl.console import FAILED, LATE, Console, as_bytes, code_of
from ngksock.netgraph.message import FLOW_COOKIE, Message

if TYPE_CHECKING:
    from ngksock.ctl.ngkhook import Options

__all__ = ["Copy"]

OWN_HOOK: Final = "hook"
HIGH: Final = 34
LOW: Final = 35
RETRY: Final = 0.01
"""Seconds before a packet that found no room is sent again."""
PATIENCE: Final = 5.0
"""Seconds for which that is done."""
FATAL: Final = (EHOSTUNREACH, EPIPE, ETIMEDOUT)
"""What no other packet will fare better with."""
ENDS: Final = ("echo", "ksocket", "socket")
"""Types that pass no packet on to another hook."""
FAR: Final = 16
"""Nodes that are looked at to find where packets go."""
LOOK: Final = 1.0
"""Seconds after which it is looked whether the link is still there."""
TURN: Final = 64
"""Packets in one direction before the other has its turn."""
LAST: Final = 8192
"""Packets that are looked for at the end: more than the queue has room for."""
LINE_MAX: Final = 4 * ngd.PAYLOAD_MAX
"""Bytes of a line: as many as the digits of the longest packet, with blanks."""


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
        self._pending: deque[bytes] = deque()  # read, and not sent yet
        self._blocked: float | None = None  # since when the first of them finds no room
        self._held = False  # a node behind the hook is full, and will say when it is not
        self._deaf = False  # no message will come any more
        self._ended = not options.reads  # of the input
        self._wrong: OSError | None = None  # what ended it
        self._input = b""
        self._skip = False  # the line that is being read was too long
        self._failed: set[int | None] = set()
        self._moved = time.monotonic()

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
        from ngksock.netgraph.message import GENERIC_COOKIE

        if self.options.message:
            self.node.send_ascii_msg(self.options.path, self.options.message)
        arg = Connect(self.options.path, OWN_HOOK, self.options.hook)
        ClientPort(self.node).send(".", Message(GENERIC_COOKIE, 3, Struct(Connect).pack(arg)))
        self._heed()

    def _linked(self) -> bool:
        from ngksock.netgraph.generic import READS, NodeInfo
        from ngksock.netgraph.layout import Struct
        from ngksock.netgraph.message import GENERIC_COOKIE

        raw = self.node.request(".", GENERIC_COOKIE, 6 | READS).data
        return Struct(NodeInfo).unpack(raw).hooks > 0

    def _copy(self) -> int:
        options = self.options
        looked = self._moved = time.monotonic()
        while True:
            self._feed()
            if self._ended and not self._pending and self._over():
                return 0
            ready = self._ready()
            now = time.monotonic()
            if now - looked >= LOOK:
                looked = now
                if not self._linked():
                    return self._cut("the link was removed")
            if 0 in ready:
                self._read()
            elif not ready and options.time is not None and now - self._moved >= options.time:
                return self._late()
            self._receive(TURN)
            if self.came == options.packets:
                return 0
            self._heed()

    def _over(self) -> bool:
        """Say whether the end of the input is that of the program."""
        if self._wrong is not None:
            raise self._wrong
        if not self.options.reads or self.options.packets or self.options.time is not None:
            return False
        # What the input brought about is here already.
        for _ in range(LAST):
            if not self._receive(1):
                break
            self._feed()
        return True

    def _ready(self) -> list[int]:
        """Wait for something to do; return the descriptors that can be read."""
        poll = select.poll()
        if not self._deaf:
            poll.register(self.node.fileno(), select.POLLIN)
        left = LOOK
        if not self._pending:
            if not self._ended:
                poll.register(0, select.POLLIN)
        elif not self._held:
            left = 0 if self._blocked is None else RETRY
        if not (self.options.loop and self._pending):
            poll.register(self.node.data_fileno(), select.POLLIN)
        if self.options.time is not None:
            left = max(min(left, self._moved + self.options.time - time.monotonic()), 0)
        return [number for number, _ in poll.poll(left * 1000 + 1 if left else 0)]

    def _late(self) -> int:
        if self._pending:
            self.console.complain("the hook takes no more of the input")
            return FAILED
        return 0 if self.options.packets is None else LATE

    def _cut(self, why: str) -> int:
        if self._pending or self.options.packets is not None:
            self.console.complain(why)
            return FAILED
        return 0

    def _heed(self) -> None:
        """Take the messages that came: the graph says when to stop, and when to go on."""
        if self._deaf:
            return
        try:
            for _ in range(TURN):
                message = self.node.recv_msg(0).message
                if message.cookie == FLOW_COOKIE and message.cmd in (HIGH, LOW):
                    self._held = message.cmd == HIGH
                    self._blocked = None
        except NoAnswerError:
            pass
        except OSError:
            # The node has ended: so says the data channel too, behind what is still in it.
            self._deaf, self._held = True, False

    # -- from the hook

    def _receive(self, most: int) -> int:
        """Write packets that are here, at most so many, and no more than wanted."""
        wanted = self.options.packets
        if wanted is not None:
            most = min(most, wanted - self.came)
        for count in range(most):
            if self.options.loop and self._pending:
                return count
            try:
                _, packet = self.node.recv_data(0)
            except NoAnswerError:
                return count
            self.came += 1
            self._tell("received", packet)
            _write_all(self.options.output, self._shown(packet))
            self._moved = time.monotonic()
            if self.options.loop:
                self._pending.append(packet)
        return most

    def _shown(self, packet: bytes) -> bytes:
        form = self.options.form
        if form == "ascii":
            from ngksock.netgraph.display import dump

            return as_bytes(f"{dump(packet)}\n\n" if packet else "empty\n\n")
        if form == "hex":
            return packet.hex(" ").encode() + b"\n"
        return packet + b"\n" if form == "lines" else packet

    # -- to the hook

    def _read(self) -> None:
        """Read what is there of the input."""
        try:
            raw = os.read(0, self.options.size)
        except BlockingIOError:
            return  # another program, which has the terminal too, was faster
        self._moved = time.monotonic()
        self._ended = not raw
        try:
            for packet in self._packets(raw):
                self._pending.append(packet)
        except OSError as error:
            self._wrong, self._ended = error, True

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
            if not self._skip:
                yield self._packet(line)
            self._skip = False
        if len(self._input) > LINE_MAX:
            self._lost(OSError(EMSGSIZE, os.strerror(EMSGSIZE)))
            self._skip, self._input = True, b""

    def _packet(self, line: bytes) -> bytes:
        if self.options.form == "lines":
            return line
        try:
            return bytes.fromhex(line.decode("ascii"))
        except ValueError:
            shown = line[:40].decode("latin-1")
            raise OSError(EINVAL, f'"{shown}" are no hexadecimal digits') from None

    def _feed(self) -> None:
        """Send what was read, as far as the graph takes it."""
        for _ in range(TURN):
            if not self._pending or self._held or not self._sent(self._pending[0]):
                return
            self._pending.popleft()
            self._blocked = None
            self._heed()  # a stream that is overfilled would be cut

    def _sent(self, packet: bytes) -> bool:
        """Send a packet; return False if it is to be sent again, for there was no room."""
        try:
            self.node.send_data(OWN_HOOK, packet)
        except OSError as error:
            if error.errno in FATAL or isinstance(error, NoDaemonError):
                raise
            if error.errno in (ENOBUFS, EAGAIN):
                now = time.monotonic()
                if self._blocked is None and self._one_way():
                    self._blocked = now
                if self._blocked is not None and now - self._blocked < PATIENCE:
                    return False
            self._lost(error)
        else:
            self._moved = time.monotonic()
            self._tell("sent", packet)
        return True

    def _one_way(self) -> bool:
        """Say whether a packet gets to one place at most; else others would have it twice."""
        from ngksock.client.port import ClientPort

        port, path, came = ClientPort(self.node), OWN_HOOK, (self.node.id, OWN_HOOK)
        try:
            for _ in range(FAR):
                there = port.hooklist(path)
                links = [one for one in there.linkinfo if (one.nodeinfo.id, one.peerhook) != came]
                if there.nodeinfo.type in ENDS or not links:
                    return True
                if len(links) > 1:
                    return False
                path, came = f"[{links[0].nodeinfo.id:x}]:", (there.nodeinfo.id, links[0].ourhook)
        except OSError:
            pass  # what it was is not there any more
        return False

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
        try:
            data = data[os.write(number, data) :]
        except BlockingIOError:  # another program had it not block
            poll = select.poll()
            poll.register(number, select.POLLOUT)
            poll.poll()
