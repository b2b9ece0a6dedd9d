"""Memory for recvmmsg(2) and sendmmsg(2): laid out once, filled and read in one go.

Both calls take an array of headers that point to buffers and addresses.  None
of that changes from call to call except lengths and, to send, where the bytes
are; those are moved with strided views, all of a batch at a time.

An `Inbox` and an `Outbox` serve all sockets of one `SocketKPI`: whoever calls
copies out, or is done, before the next one's turn.  An inbox takes 64 of the
longest datagrams, 4 MiB of it, but memory nobody wrote to is not there yet:
short datagrams stay within the first 128 KiB.  They lie as far apart as the
socket's owner expects them to be long: those that are lie in one piece.

ctypes is as quick as cffi here (0.3 µs a call, measured) and starts at once,
where cffi would parse a declaration for 35 ms.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import socket
import struct
import sys
from array import array
from collections.abc import Callable, Iterable
from functools import cache
from itertools import accumulate
from typing import Any, Final, NamedTuple

from ngksock.kpi.constants import DGRAM_ROUND, DGRAM_SLOT, MSG_NOSIGNAL
from ngksock.kpi.rawname import STRIDE
from ngksock.packet import rows

__all__ = ["APART", "APART_MOST", "UDP_GRO", "Calls", "Inbox", "Outbox", "calls"]

APART: Final = 2048
"""Datagrams of nobody knows what length are so far apart; what is longer lands elsewhere."""

APART_MOST: Final = 16384
"""They are never farther apart."""

FAR: Final = DGRAM_SLOT + 1

UDP_GRO: Final = (int(socket.IPPROTO_UDP), 104)
"""Level and number of the option, and of the control message that it brings."""


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("len", ctypes.c_size_t))


class _Msghdr(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("namelen", ctypes.c_uint),
        ("iov", ctypes.c_void_p),
        ("iovlen", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("controllen", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Mmsghdr(ctypes.Structure):
    _fields_ = (("hdr", _Msghdr), ("len", ctypes.c_uint))


_HEADER: Final = ctypes.sizeof(_Mmsghdr)
_WORD: Final = ctypes.sizeof(ctypes.c_size_t)
_SIZES: Final = "Q" if _WORD == 8 else "I"

_SAME: Final = 8
"""So many datagrams of one length are taken out in one go."""

_CMSGHDR: Final = struct.Struct("@Nii")
_CONTROL: Final = 256
"""Room for control messages: one that we ask for, behind some that others did."""


class Calls(NamedTuple):
    """
    The two system calls, as the C library has them.

    Args:
        recvmmsg: (fd, headers, count, flags, None) -> datagrams, or -1.
        sendmmsg: (fd, headers, count, flags) -> datagrams, or -1.
    """

    recvmmsg: Callable[..., int]
    sendmmsg: Callable[..., int]


@cache  # one look is enough
def calls() -> Calls | None:
    """Return the calls, or None where there are none: another system, or a sandbox."""
    if sys.platform != "linux":
        return None  # platform: not on Linux, where the layout of a header would be another
    library = ctypes.CDLL(None, use_errno=True)
    try:
        found = Calls(library.recvmmsg, library.sendmmsg)
    except AttributeError:
        return None
    tried = ((found.recvmmsg, (-1, None, 0, 0, None)), (found.sendmmsg, (-1, None, 0, 0)))
    for call, args in tried:
        if call(*args) >= 0 or ctypes.get_errno() != errno.EBADF:
            return None  # ENOSYS, EPERM: somebody forbids it
    return found


def _memory(size: int) -> mmap.mmap:
    """Return *size* bytes that take no room before they are written to."""
    # Private: a process that this one becomes the parent of must not write into it.
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def _address(memory: mmap.mmap | bytearray) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


class _Headers:
    """
    Headers for a round of datagrams.

    Args:
        iov: The address of the first header's pieces.
        pieces: So many pieces has each.
        names: The address of the first name, or 0: no names.
        stride: The bytes from name to name, and the room of each.
        control: The address of the first one's control messages, or 0: none.

    ``at`` has the address of each header, ``lens`` the lengths of the
    datagrams, ``namelens`` those of the names, ``controllens`` those of control
    messages, as views to read and write; ``room`` and ``space`` are what the
    latter two begin with.
    """

    def __init__(self, iov: int, pieces: int, names: int, stride: int, control: int = 0) -> None:
        self.storage = bytearray(DGRAM_ROUND * _HEADER)
        start = _address(self.storage)
        self.at = [ctypes.c_void_p(start + i * _HEADER) for i in range(DGRAM_ROUND)]
        for i, one in enumerate((_Mmsghdr * DGRAM_ROUND).from_buffer(self.storage)):
            one.hdr.iov = iov + i * pieces * 2 * _WORD
            one.hdr.iovlen = pieces
            if names:
                one.hdr.name = names + i * stride
                one.hdr.namelen = stride
            if control:
                one.hdr.control = control + i * _CONTROL
                one.hdr.controllen = _CONTROL
        words = memoryview(self.storage).cast("I")
        self.lens = words[_Mmsghdr.len.offset // 4 :: _HEADER // 4]
        self.namelens = words[_Msghdr.namelen.offset // 4 :: _HEADER // 4]
        self.controllens = memoryview(self.storage).cast(_SIZES)[
            _Msghdr.controllen.offset // _WORD :: _HEADER // _WORD
        ]
        self.space = memoryview(array(_SIZES, [_CONTROL] * DGRAM_ROUND))
        self.room = memoryview(array("I", [stride] * DGRAM_ROUND))


class Inbox:
    """Where datagrams land; the calls are there, see `calls`."""

    def __init__(self) -> None:
        found = calls()
        assert found is not None
        self._recvmmsg = found.recvmmsg
        self._near = _memory(DGRAM_ROUND * APART_MOST)
        self._far = _memory(DGRAM_ROUND * FAR)
        self._iov = bytearray(DGRAM_ROUND * 2 * 2 * _WORD)
        far = _address(self._far)
        for i, one in enumerate((_Iovec * (2 * DGRAM_ROUND)).from_buffer(self._iov)):
            if i % 2:
                one.base = far + i // 2 * FAR
        words = memoryview(self._iov).cast(_SIZES)
        self._bases, self._rooms, self._beyond = words[::4], words[1::4], words[3::4]
        self._start = _address(self._near)
        self._apart = 0
        self._lay(APART)
        self._names = _memory(DGRAM_ROUND * max(STRIDE.values()))
        iov = _address(self._iov)
        self._control = bytearray(DGRAM_ROUND * _CONTROL)
        names, control = _address(self._names), _address(self._control)
        rooms = {0: 0, **STRIDE}
        self._headers = {
            family: _Headers(iov, 2, names if family else 0, stride)
            for family, stride in rooms.items()
        }
        self._marked = {
            family: _Headers(iov, 2, names if family else 0, stride, control)
            for family, stride in rooms.items()
        }

    def _lay(self, apart: int) -> None:
        """Have datagrams land *apart* bytes from each other."""
        start = self._start
        bases = array(_SIZES, range(start, start + DGRAM_ROUND * apart, apart))
        self._bases[:] = memoryview(bases)
        self._rooms[:] = memoryview(array(_SIZES, [apart]) * DGRAM_ROUND)
        self._beyond[:] = memoryview(array(_SIZES, [DGRAM_SLOT + 1 - apart]) * DGRAM_ROUND)
        self._apart = apart

    def receive(self, fd: int, family: int, most: int = 0, apart: int = APART) -> list[int]:
        """
        Receive a round of datagrams.

        Args:
            fd: The socket, non-blocking.
            family: The host's number of its family; 0: leave out the names.
            most: Of a socket that may get trains, at most so many, up to
                DGRAM_ROUND; 0: of one that gets none.
            apart: How long they probably are, at most APART_MOST.

        Returns:
            The lengths, DGRAM_SLOT + 1 for what is too long.  They are to be
            taken with `data` and `names` before anybody receives again.

        Raises:
            OSError: As recvmsg(2) of the first.
        """
        if apart != self._apart:
            self._lay(apart)
        if most:
            headers = self._marked[family]
            headers.controllens[:] = headers.space
        else:
            headers, most = self._headers[family], DGRAM_ROUND
        if family == socket.AF_UNIX:
            # Names differ in length, and the system tells it where it is told the room.
            headers.namelens[:] = headers.room
        count = self._recvmmsg(fd, headers.at[0], most, 0, None)
        if count <= 0:  # some sandboxes say 0 for nothing
            code = ctypes.get_errno() if count else errno.EAGAIN
            raise OSError(code, os.strerror(code))
        return headers.lens[:count].tolist()

    def trains(self, family: int, count: int) -> list[int] | None:
        """
        Return which of the last round are trains, datagrams that came as one (UDP_GRO).

        Args:
            family: As it was given to `receive`.
            count: How many there were.

        Returns:
            The lengths of their datagrams, of which the last may be shorter,
            and 0 for what is no train; None if there is none.
        """
        told = self._marked[family].controllens[:count].tolist()
        if not any(told):
            return None
        return [self._segment(i * _CONTROL, size) for i, size in enumerate(told)]

    def _segment(self, at: int, size: int) -> int:
        """Return what UDP_GRO says in the control messages at *at*, *size* bytes of them; or 0."""
        end = at + size
        while at + _CMSGHDR.size <= end:
            length, level, kind = _CMSGHDR.unpack_from(self._control, at)
            if (level, kind) == UDP_GRO:
                start = at + _CMSGHDR.size
                return int.from_bytes(self._control[start : start + 4], sys.byteorder)
            at += max(-(-length // _WORD) * _WORD, _CMSGHDR.size)
        return 0

    def whole(self, lens: list[int]) -> bytes | None:
        """Return what was received in one piece; None, unless all are as long as expected."""
        apart, count = self._apart, len(lens)
        return self._near[: count * apart] if _SAME <= count == lens.count(apart) else None

    def data(self, lens: list[int]) -> list[bytes]:
        """Return what was received, given the *lens* of it."""
        near, apart = self._near, self._apart
        size, most = lens[0], max(lens)
        if most > apart:
            return [self._one(i, size) for i, size in enumerate(lens)]
        if len(lens) >= _SAME and lens.count(size) == len(lens):
            return list(rows(size, apart - size, len(lens)).unpack_from(near))
        starts = range(0, DGRAM_ROUND * apart, apart)
        return [near[at : at + size] for at, size in zip(starts, lens, strict=False)]

    def _one(self, i: int, size: int) -> bytes:
        apart = self._apart
        at, far = i * apart, i * FAR
        if size <= apart:
            return self._near[at : at + size]
        with memoryview(self._near) as first, memoryview(self._far) as rest:
            return b"".join((first[at : at + apart], rest[far : far + size - apart]))

    def names(self, family: int, count: int, read: Callable[[bytes], Any]) -> list[Any]:
        """
        Return who sent the last round of *count* datagrams.

        Args:
            family: As it was given to `receive`.
            count: How many there were.
            read: Makes a name of the bytes of one.
        """
        stride = STRIDE[family]
        raw = self._names[: count * stride]
        if family == socket.AF_UNIX:
            lens = self._headers[family].namelens[:count].tolist()
            return [read(raw[i * stride : i * stride + size]) for i, size in enumerate(lens)]
        first = raw[:stride]
        if raw == first * count:
            return [read(first)] * count
        return [read(raw[at : at + stride]) for at in range(0, len(raw), stride)]


class Outbox:
    """From where datagrams are sent; the calls are there, see `calls`."""

    def __init__(self) -> None:
        found = calls()
        assert found is not None
        self._sendmmsg = found.sendmmsg
        self._iov = bytearray(DGRAM_ROUND * 2 * _WORD)
        self._names = _memory(DGRAM_ROUND * max(STRIDE.values()))
        self._bare = _Headers(_address(self._iov), 1, 0, 0)
        self._named = {
            family: _Headers(_address(self._iov), 1, _address(self._names), stride)
            for family, stride in STRIDE.items()
        }
        words = memoryview(self._iov).cast(_SIZES)
        self._bases, self._lens = words[::2], words[1::2]
        self._keep = b""
        self._headers = self._bare

    def load(self, data: list[bytes | memoryview], lens: list[int]) -> None:
        """Lay out a round of datagrams, at most DGRAM_ROUND, for the peer."""
        self._keep = joined = b"".join(data)
        at = ctypes.cast(ctypes.c_char_p(joined), ctypes.c_void_p).value or 0
        bases = list(accumulate(lens, initial=at))
        bases.pop()
        count = len(lens)
        self._bases[:count] = memoryview(array(_SIZES, bases))
        self._lens[:count] = memoryview(array(_SIZES, lens))
        self._headers = self._bare

    def address(self, family: int, names: Iterable[bytes]) -> None:
        """Have what was laid out go to *names* (as `rawname.pack` makes them) instead."""
        self._headers = headers = self._named[family]
        names = list(names)
        stride = STRIDE[family]
        self._names[: len(names) * stride] = b"".join([name.ljust(stride, b"\0") for name in names])
        headers.namelens[: len(names)] = memoryview(array("I", map(len, names)))

    def send(self, fd: int, start: int, count: int) -> int:
        """
        Send *count* of what was laid out, from number *start* on.

        Returns:
            How many went, at least one; what stopped the next is not told.

        Raises:
            OSError: As sendmsg(2) of the first.
        """
        sent = self._sendmmsg(fd, self._headers.at[start], count, MSG_NOSIGNAL)
        if sent <= 0:
            code = ctypes.get_errno() if sent else errno.EAGAIN
            raise OSError(code, os.strerror(code))
        return sent

    def clear(self) -> None:
        """Keep nothing of what was laid out."""
        self._keep = b""
