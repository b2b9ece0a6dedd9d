"""NGD/1 on the wire: the units that a daemon and its clients exchange (docs/wire).

One packet of an AF_UNIX SOCK_SEQPACKET socket is one unit: a call, its reply,
or, on the event channel, a message or some data.  Integers are in host byte
order, nothing is aligned.  This file knows bytes and no more; both ends use it.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from errno import EINVAL, EPROTO, ERANGE
from typing import Final, NamedTuple

__all__ = [
    "ADDRESS_MAX",
    "CALL_MAX",
    "PAYLOAD_MAX",
    "VERSION",
    "Call",
    "Event",
    "Hello",
    "Reply",
    "Welcome",
    "default_path",
]

MAGIC: Final = 0x4E474431
VERSION: Final = 1

HELLO: Final = 1
BIND: Final = 2
CONNECT: Final = 3
SEND: Final = 4
GETNAME: Final = 5
REPLY_BIT: Final = 0x80

DATA: Final = 1
"""The kind of a data socket, and of an event that is a packet."""
CONTROL: Final = 2
"""The kind of a control socket, and of an event that is a message."""

ADDRESS_MAX: Final = 511
PAYLOAD_MAX: Final = 65536
NAME_SIZE: Final = 32

_CALL: Final = struct.Struct("=BBHI")
_REPLY: Final = struct.Struct("=BBHIi")
_EVENT: Final = struct.Struct("=BBHI32s")
_HELLO: Final = struct.Struct("=IHBBI")
_OFFER: Final = struct.Struct("=IH")
_WELCOME: Final = struct.Struct("=HHIII")

CALL_MAX: Final = _CALL.size + ADDRESS_MAX + PAYLOAD_MAX
"""The longest call there can be, in bytes."""
REPLY_MAX: Final = _REPLY.size + 256
EVENT_HEADER: Final = _EVENT.size
SERVED: Final = struct.pack("=H", VERSION)
"""The body of the reply that refuses a HELLO with EPROTO: the highest version served."""


def default_path(environ: Mapping[str, str] = os.environ) -> str:
    """Return where the daemon listens, and clients look for it, unless told otherwise."""
    if path := environ.get("NGD_SOCKET"):
        return path
    if folder := environ.get("XDG_RUNTIME_DIR"):
        return os.path.join(folder, "ngksock.sock")
    return "/run/ngksock/ngksock.sock"


class Call(NamedTuple):
    """
    What a client asks for.

    Args:
        op: HELLO, BIND, CONNECT, SEND or GETNAME.
        seq: Chosen by the client, copied into the reply.
        address: A path, a name or a hook; at most 511 bytes of latin-1.
        payload: The rest.
    """

    op: int
    seq: int
    address: str = ""
    payload: bytes = b""

    def pack(self) -> bytes:
        """
        Return the call as it stands on the wire.

        Raises:
            OSError: ERANGE, too long an address.  EINVAL, it is not latin-1:
                another node might have the name that would be left of it.
        """
        try:
            address = self.address.encode("latin-1")
        except UnicodeEncodeError:
            raise OSError(EINVAL, f'"{self.address}" is not latin-1') from None
        if len(address) > ADDRESS_MAX:
            raise OSError(ERANGE, f"an address has at most {ADDRESS_MAX} bytes")
        return _CALL.pack(self.op, 0, len(address), self.seq) + address + self.payload

    @classmethod
    def unpack(cls, raw: bytes) -> Call:
        """
        Read a call.

        Raises:
            OSError: EPROTO, too short, or an address longer than the packet
                or than 511 bytes: nothing that follows can be trusted.
        """
        if len(raw) < _CALL.size:
            raise OSError(EPROTO, f"a call of {len(raw)} bytes")
        op, _, length, seq = _CALL.unpack_from(raw)
        end = _CALL.size + length
        if length > ADDRESS_MAX or end > len(raw):
            raise OSError(EPROTO, f"an address of {length} bytes in a call of {len(raw)}")
        return cls(op, seq, raw[_CALL.size : end].decode("latin-1"), raw[end:])


class Reply(NamedTuple):
    """
    The daemon's answer to a call.

    Args:
        op: The call's.
        seq: The call's.
        errno: 0, or why it failed; a number of the host.
        body: What the call asked for.
    """

    op: int
    seq: int
    errno: int = 0
    body: bytes = b""

    def pack(self) -> bytes:
        """Return the reply as it stands on the wire."""
        return _REPLY.pack(self.op | REPLY_BIT, 0, 0, self.seq, self.errno) + self.body

    @classmethod
    def unpack(cls, raw: bytes) -> Reply:
        """Read a reply; EPROTO if it is none."""
        if len(raw) < _REPLY.size or not raw[0] & REPLY_BIT:
            raise OSError(EPROTO, f"a reply of {len(raw)} bytes")
        op, _, _, seq, errno = _REPLY.unpack_from(raw)
        return cls(op & ~REPLY_BIT, seq, errno, raw[_REPLY.size :])


class Event(NamedTuple):
    """
    Something that arrived at a socket node.

    Args:
        kind: DATA or CONTROL.
        address: The receiving hook, or ``[1a]:`` of the sending node.
        payload: The packet, or the message with its header.
    """

    kind: int
    address: str
    payload: bytes

    def pack(self) -> bytes:
        """Return the event as it stands on the wire."""
        address = self.address.encode("latin-1")
        return _EVENT.pack(self.kind, 0, len(address), len(self.payload), address) + self.payload

    @classmethod
    def unpack(cls, raw: bytes) -> Event:
        """Read an event; EPROTO if it is none."""
        if len(raw) < _EVENT.size:
            raise OSError(EPROTO, f"an event of {len(raw)} bytes")
        kind, _, length, size, address = _EVENT.unpack_from(raw)
        if length > NAME_SIZE or size != len(raw) - _EVENT.size:
            raise OSError(EPROTO, f"an event of {len(raw)} bytes whose lengths are wrong")
        return cls(kind, address[:length].decode("latin-1"), raw[_EVENT.size :])


class Hello(NamedTuple):
    """
    The first call's payload.

    Args:
        kind: DATA or CONTROL.
        queue: The bytes wanted for the event channel; 0: the usual.
        version: Of the protocol.
        magic: Says that this is NGD.
    """

    kind: int
    queue: int = 0
    version: int = VERSION
    magic: int = MAGIC

    def pack(self) -> bytes:
        """Return it as it stands on the wire."""
        return _HELLO.pack(self.magic, self.version, self.kind, 0, self.queue)

    @classmethod
    def unpack(cls, raw: bytes) -> Hello:
        """
        Read it.

        Raises:
            OSError: EPROTO, another protocol, or another version of it,
                whose HELLO may be longer.  EINVAL, a length that is not ours.
        """
        if len(raw) < _OFFER.size or _OFFER.unpack_from(raw) != (MAGIC, VERSION):
            raise OSError(EPROTO, "another protocol, or another version of it")
        if len(raw) != _HELLO.size:
            raise OSError(EINVAL, f"a HELLO of {len(raw)} bytes")
        magic, version, kind, _, queue = _HELLO.unpack(raw)
        return cls(kind, queue, version, magic)


class Welcome(NamedTuple):
    """
    The body of the reply to HELLO.

    Args:
        node: The id of the new socket node; 0 for a data socket.
        queue: The bytes in force for the event channel.
        payload_max: The longest payload of a call.
        version: Of the protocol.
    """

    node: int
    queue: int
    payload_max: int = PAYLOAD_MAX
    version: int = VERSION

    def pack(self) -> bytes:
        """Return it as it stands on the wire."""
        return _WELCOME.pack(self.version, 0, self.node, self.payload_max, self.queue)

    @classmethod
    def unpack(cls, raw: bytes) -> Welcome:
        """Read it; EPROTO if it is too short."""
        if len(raw) < _WELCOME.size:
            raise OSError(EPROTO, f"a welcome of {len(raw)} bytes")
        version, _, node, payload_max, queue = _WELCOME.unpack_from(raw)
        return cls(node, queue, payload_max, version)
