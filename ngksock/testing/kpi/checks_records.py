"""Checks 42 to 45: what receive says of datagrams and records."""

from __future__ import annotations

import errno

from ngksock.kpi import constants as c
from ngksock.kpi.msghdr import MsgHdr
from ngksock.testing.kpi.claims import equal, errno_of, fails, holds
from ngksock.testing.kpi.recorder import Recorder
from ngksock.testing.kpi.registry import check
from ngksock.testing.kpi.world import SocketWorld


@check(42)
async def check_42(w: SocketWorld) -> None:
    """Of a longer datagram the rest is gone: MSG_TRUNC, and no input flag; and who sent it."""
    one, other = w.socket(), w.socket()
    one.bind(w.address())
    other.bind(w.address())
    for data in (b"abcdef", b"xyz"):
        w.send(one, data, to=other.getsockname())
        await w.arrived(other, 3)
    await w.arrived(other, 9 + w.header)
    data, msg = w.receive_msg(other, 3)
    equal((b"abc", c.MSG_TRUNC), (data, msg.flags), "a truncated datagram and its flags")
    equal(one.getsockname()[: len(msg.name)], msg.name, "who sent it")
    data, msg = w.receive_msg(other, 3)
    equal((b"xyz", 0), (data, msg.flags), "the next datagram and its flags")


async def check_42_raw(w: SocketWorld) -> None:
    """The same; the sender has port 0, whatever getsockname of a raw socket says."""
    one, other = w.socket(), w.socket()
    one.bind(w.address())
    other.bind(w.address())
    for data in (b"abcdef", b"xyz"):
        w.send(one, data, to=(other.getsockname()[0], 0))
    await w.arrived(other, 9 + w.header)
    data, msg = w.receive_msg(other, 3)
    equal((b"abc", c.MSG_TRUNC), (data, msg.flags), "a truncated datagram and its flags")
    equal((one.getsockname()[0], 0), msg.name, "who sent it")
    equal(b"xyz", w.receive(other, 3), "the next datagram")


async def check_42_connected(w: SocketWorld) -> None:
    """Of a longer record the rest is gone, with MSG_TRUNC; no name, for it is the peer's."""
    one, other = await w.pair()
    w.send(one, b"abcdef")
    w.send(one, b"xyz")
    await w.arrived(other, 9)
    data, msg = w.receive_msg(other, 3)
    equal((b"abc", c.MSG_TRUNC, None), (data, msg.flags, msg.name), "a truncated record")
    data, msg = w.receive_msg(other, 3)
    equal((b"xyz", 0, None), (data, msg.flags, msg.name), "the next record")


@check(43)
async def check_43(w: SocketWorld) -> None:
    """An empty datagram is told of, and is a chain of length 0, not None."""
    one, other = await w.pair()
    owner = Recorder(other)
    w.send(one, b"")
    await w.until(lambda: owner.count("read"), "an upcall")
    chain, size = other.receivembuf(100, None, c.MSG_DONTWAIT)
    holds(chain is not None, "there is a chain")
    equal((w.header, w.header), (size, len(bytes(chain))), "its length")
    fails(errno.EWOULDBLOCK, other.receivembuf, 100, None, c.MSG_DONTWAIT)


async def check_43_records(w: SocketWorld) -> None:
    """Linux cannot tell an empty record from the end of file: none is ever sent."""
    one, other = await w.pair()
    owner = Recorder(other)
    equal(0, one.send(MsgHdr(iov=[b""]), c.MSG_DONTWAIT), "send")
    await w.turn()
    equal([], owner.told, "what is told")
    await w.exchange(one, other)


@check(44)
async def check_44(w: SocketWorld) -> None:
    """With SO_DONTTRUNC the rest of a datagram is kept: MSG_RCVMORE says so."""
    one, other = await w.pair()
    other.setsockopt(c.SOL_SOCKET, c.SO_DONTTRUNC, 1)
    w.send(one, b"abcdef")
    await w.arrived(other, 6)
    data, msg = w.receive_msg(other, 3)
    equal((b"abc", c.MSG_RCVMORE), (data, msg.flags), "the first half")
    space = bytearray(3)
    msg = MsgHdr(iov=[space])
    equal(3, other.receive(msg, c.MSG_DONTWAIT), "the second half")
    equal((b"def", 0), (bytes(space), msg.flags), "the second half")
    fails(errno.EWOULDBLOCK, w.receive, other)


@check(45)
async def check_45(w: SocketWorld) -> None:
    """What a connected peer refuses is ECONNREFUSED at the next receive, once."""
    so = w.socket()
    so.bind(w.address())
    so.connect(w.unused(), c.MSG_DONTWAIT)
    owner = Recorder(so)
    await w.turn()
    owner.clear()
    w.send(so, b"x")
    await w.until(
        lambda: errno_of(w.receive, so, 1, c.MSG_PEEK) == errno.ECONNREFUSED, "the refusal"
    )
    await w.until(lambda: owner.count("read"), "an upcall")
    fails(errno.ECONNREFUSED, w.receive, so)
    fails(errno.EWOULDBLOCK, w.receive, so)
    w.send(so, b"x")


async def check_45_local(w: SocketWorld) -> None:
    """The send itself is ECONNREFUSED when the peer is closed; nothing is left for receive."""
    one, other = await w.pair()
    other.close()
    fails(errno.ECONNREFUSED, w.send, one, b"x")
    fails(errno.EWOULDBLOCK, w.receive, one)


async def check_45_raw(w: SocketWorld) -> None:
    """No host answers: of a protocol that some raw socket has, Linux refuses no packet."""
    so = w.socket()
    so.bind(w.address())
    so.connect(w.unused(), c.MSG_DONTWAIT)
    w.send(so, b"x")
    await w.turn()
    fails(errno.EWOULDBLOCK, w.receive, so)
    equal(0, so.getsockopt(c.SOL_SOCKET, c.SO_ERROR), "SO_ERROR")
