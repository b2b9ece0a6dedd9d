"""A client that packs every byte by itself: what ngksock.ngd says is not taken on trust."""

from __future__ import annotations

import array
import itertools
import os
import re
import select
import socket
import struct
from typing import Final

DATA: Final = 1
CONTROL: Final = 2
HELLO, BIND, CONNECT, SEND, GETNAME = 1, 2, 3, 4, 5
MAGIC: Final = 0x4E474431
GENERIC: Final = 1137070366
KSOCKET: Final = 942710669
EXTRA: Final = 1750000001
SHUTDOWN, MKPEER, LINK, NAME, RMHOOK = 1, 2, 3, 4, 5
NODEINFO, LISTHOOKS, LISTNAMES, LISTNODES, LISTTYPES = range(0x30000006, 0x3000000B)
TEXTSTATUS, BINARY2ASCII, ASCII2BINARY = 0x3000000B, 0x3000000C, 0x3000000D
DEADLINE: Final = 20.0
JUNK: Final = b"\xa5"
"""What real clients send behind the NUL of a string: whatever was on their stack."""

_tokens = itertools.count(1)


class EndedError(Exception):
    """The daemon closed the connection."""


def field(text: str, size: int = 32, junk: bytes = JUNK) -> bytes:
    """Return *text* as a C string in *size* bytes, with junk behind its NUL."""
    raw = text.encode("latin-1") + b"\0"
    return (raw + junk * size)[:size]


def text(raw: bytes) -> str:
    """Return the C string at the beginning of *raw*."""
    return raw.split(b"\0", 1)[0].decode("latin-1")


def call(op: int, seq: int, address: bytes = b"", payload: bytes = b"") -> bytes:
    """Return a call."""
    return struct.pack("=BBHI", op, 0, len(address), seq) + address + payload


def hello(kind: int, queue: int = 0, version: int = 1, magic: int = MAGIC) -> bytes:
    """Return the payload of a HELLO."""
    return struct.pack("=IHBBI", magic, version, kind, 0, queue)


def message(
    cookie: int, cmd: int, data: bytes = b"", token: int = 0, flags: int = 0, cmdstr: str = ""
) -> bytes:
    """Return a struct ng_mesg."""
    head = struct.pack("=BBHIIIII", 8, 0xA5, 0xA5A5, len(data), cmd, flags, token, cookie)
    return head + field(cmdstr) + data


class Reply:
    """A message that was received: ``path`` of its sender, header, ``data``."""

    def __init__(self, path: str, raw: bytes) -> None:
        self.path = path
        (
            self.version, _, _, self.arglen, self.cmd, self.flags, self.token, self.cookie, name,
        ) = struct.unpack_from("=BBHIIIII32s", raw)  # fmt: skip
        self.cmdstr = text(name)
        self.data = raw[56:]


class RawSocket:
    """
    One connection: a netgraph socket, as a program sees it.

    Args:
        path: The daemon's.
        kind: CONTROL or DATA; None: say no HELLO.
        queue: The bytes wanted.
    """

    def __init__(self, path: str, kind: int | None = CONTROL, queue: int = 0) -> None:
        self.calls = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.calls.settimeout(DEADLINE)
        self.events: socket.socket | None = None
        self.seq = 0x01020304
        self.errno = self.node = self.payload_max = self.queue = self.version = 0
        try:
            self.calls.connect(path)
            if kind is not None:
                code, body = self.hello(hello(kind, queue))
                if code:
                    raise OSError(code, os.strerror(code), body)
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        return self.calls.fileno()

    def close(self) -> None:
        """Close both channels, the events first."""
        if self.events is not None:
            self.events.close()
        self.calls.close()

    # -- calls

    def raw(self, packet: bytes) -> tuple[bytes, list[int]]:
        """Send a packet as it is; return the reply, and the descriptors that came along."""
        self.calls.send(packet)
        return self.reply()

    def reply(self) -> tuple[bytes, list[int]]:
        """Return the next reply, and the descriptors that came along."""
        numbers = array.array("i")
        try:
            raw, extra, flags, _ = self.calls.recvmsg(4096, socket.CMSG_SPACE(64))
        except ConnectionResetError:
            raise EndedError from None
        for _, _, some in extra:
            numbers.frombytes(some)
        assert not flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC), "a reply is short"
        if not raw:
            raise EndedError
        return raw, numbers.tolist()

    def call(self, op: int, address: bytes = b"", payload: bytes = b"") -> tuple[int, bytes]:
        """Do a call; return the errno and the body of its reply."""
        self.seq = (self.seq + 1) & 0xFFFFFFFF
        raw, numbers = self.raw(call(op, self.seq, address, payload))
        code, body = self.checked(op, raw)
        assert not numbers, "only a HELLO brings a descriptor"
        return code, body

    def checked(self, op: int, raw: bytes) -> tuple[int, bytes]:
        """Return errno and body of a reply, whose other bytes must be right."""
        head = struct.unpack_from("=BBHIi", raw)
        assert head[:4] == (op | 0x80, 0, 0, self.seq), head
        assert head[4] >= 0, head
        return head[4], raw[12:]

    def hello(self, payload: bytes) -> tuple[int, bytes]:
        """Say HELLO."""
        self.seq += 1
        raw, numbers = self.raw(call(HELLO, self.seq, b"", payload))
        code, body = self.checked(HELLO, raw)
        assert len(numbers) == (not code), numbers
        if not code:
            self.events = socket.socket(fileno=numbers[0])
            self.events.settimeout(DEADLINE)
            self.version, pad, self.node, self.payload_max, self.queue = struct.unpack(
                "=HHIII", body
            )
            assert pad == 0
        return code, body

    def do(self, op: int, address: str = "", payload: bytes = b"") -> bytes:
        """Do a call that must succeed, and return its body; else OSError."""
        code, body = self.call(op, address.encode("latin-1"), payload)
        if code:
            raise OSError(code, f"{os.strerror(code)}: {op} {address}")
        return body

    def errno_of(self, op: int, address: str = "", payload: bytes = b"") -> int:
        """Do a call; return its errno."""
        return self.call(op, address.encode("latin-1"), payload)[0]

    # -- events

    def event(self) -> tuple[int, str, bytes]:
        """Return kind, address and payload of the next event."""
        assert self.events is not None
        raw = self.events.recv(1 << 20)
        if not raw:
            raise EndedError
        kind, zero, length, size, address = struct.unpack_from("=BBHI32s", raw)
        assert zero == 0 and size == len(raw) - 40, raw[:40]
        assert address == address[:length].ljust(32, b"\0"), "NUL padded"
        return kind, address[:length].decode("latin-1"), raw[40:]

    def pending(self) -> bool:
        """Say whether an event, or the end of them, is there now."""
        assert self.events is not None
        return bool(select.select([self.events], [], [], 0)[0])

    def drain(self) -> list[tuple[str, bytes]]:
        """Return address and payload of each event that is there now."""
        found = []
        while self.pending():
            found.append(self.event()[1:])
        return found

    def message(self) -> Reply:
        """Return the next message."""
        kind, address, payload = self.event()
        assert kind == CONTROL and re.fullmatch(r"\[[0-9a-f]+\]:", address), (kind, address)
        return Reply(address, payload)


class Client:
    """
    A program with a control and a data socket on one node, in libnetgraph's terms.

    Args:
        path: The daemon's.
        name: The node's, or "".
        queue: The bytes wanted for each channel.
    """

    def __init__(self, path: str, name: str = "", queue: int = 0) -> None:
        self.control = RawSocket(path, CONTROL, queue)
        try:
            self.data = RawSocket(path, DATA, queue)
            if name:
                self.control.do(BIND, name)
            self.data.do(CONNECT, f"{name}:" if name else f"[{self.control.node:x}]:")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close both sockets."""
        self.control.close()
        if hasattr(self, "data"):
            self.data.close()

    def send(self, path: str, cookie: int, cmd: int, data: bytes = b"") -> int:
        """Send a message; return the errno."""
        self.token = next(_tokens)
        raw = message(cookie, cmd, data, self.token, cmdstr=f"cmd{cmd}")
        return self.control.errno_of(SEND, path, raw)

    def ask(self, path: str, cookie: int, cmd: int, data: bytes = b"") -> bytes:
        """Send a request; return the arguments of the response, which must be there already."""
        code = self.send(path, cookie, cmd, data)
        if code:
            raise OSError(code, os.strerror(code))
        assert self.control.pending(), "the response is there before the reply to the call"
        reply = self.control.message()
        assert (reply.version, reply.flags, reply.token) == (8, 1, self.token)
        assert (reply.cookie, reply.cmd, reply.cmdstr) == (cookie, cmd, f"cmd{cmd}"[:31])
        assert reply.arglen == len(reply.data)
        return reply.data

    # -- the generic messages; each returns an errno

    def mkpeer(self, path: str, kind: str, ourhook: str, peerhook: str) -> int:
        data = field(kind) + field(ourhook) + field(peerhook)
        return self.send(path, GENERIC, MKPEER, data)

    def link(self, path: str, far: str, ourhook: str, peerhook: str) -> int:
        data = field(far, 512) + field(ourhook) + field(peerhook)
        return self.send(path, GENERIC, LINK, data)

    def name(self, path: str, name: str) -> int:
        return self.send(path, GENERIC, NAME, field(name))

    def rmhook(self, path: str, hook: str) -> int:
        return self.send(path, GENERIC, RMHOOK, field(hook))

    def shutdown(self, path: str) -> int:
        return self.send(path, GENERIC, SHUTDOWN)

    def ascii(self, path: str, words: str) -> int:
        """Send a message in its ASCII form, as NgSendAsciiMsg does; return the errno."""
        name, _, rest = words.partition(" ")
        given = rest.encode("latin-1") + b"\0"
        inner = struct.pack("=BBHIIIII", 0, 0, 0, len(given), 0, 0, 0, 0) + field(name) + given
        try:
            binary = Reply("", self.ask(path, GENERIC, ASCII2BINARY, inner))
        except OSError as error:
            return error.errno or -1
        return self.send(path, binary.cookie, binary.cmd, binary.data[: binary.arglen])

    # -- data

    def write(self, hook: str, packet: bytes) -> int:
        """Send a packet out of *hook*; return the errno."""
        return self.data.errno_of(SEND, hook, packet)

    def counts(self, *hooks: str) -> dict[str, int]:
        """Return how many packets have arrived at each of *hooks*, and at any other."""
        found = dict.fromkeys(hooks, 0)
        for hook, _ in self.data.drain():
            found[hook] = found.get(hook, 0) + 1
        return found

    # -- what there is

    def names(self) -> dict[str, str]:
        """Return the named nodes with their types."""
        return {name: kind for name, kind, _, _ in self.nodes(LISTNAMES)}

    def nodes(self, cmd: int = LISTNODES) -> list[tuple[str, str, int, int]]:
        """Return name, type, id and number of hooks of each node."""
        data = self.ask(".", GENERIC, cmd)
        (count,) = struct.unpack_from("=I", data)
        assert len(data) == 4 + 72 * count
        return [nodeinfo(data[4 + 72 * n :]) for n in range(count)]


def nodeinfo(raw: bytes) -> tuple[str, str, int, int]:
    """Return name, type, id and number of hooks."""
    number, hooks = struct.unpack_from("=II", raw, 64)
    return text(raw[:32]), text(raw[32:64]), number, hooks
