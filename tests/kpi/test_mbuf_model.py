"""Mbufs against a model: chains that share memory behave like byte strings that do not."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from ngksock.kpi.mbuf import M_COPYALL, Mbuf
from ngksock.packet import Packet

DATA = st.binary(max_size=40)
SHARE = st.floats(0, 1)  # how far into a chain; 1 is its very end
PICK = st.integers(0, 99)


@dataclass
class Modelled:
    """A chain, and what it ought to hold."""

    chain: Mbuf
    data: bytes

    def at(self, share: float) -> int:
        """Return the offset that *share* is of the data."""
        return round(share * len(self.data))


class ChainMachine(RuleBasedStateMachine):
    """Chains are made, cut, joined, copied, written to and freed, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[Modelled] = []
        self.lent: list[tuple[Packet, bytes]] = []
        self.attached = 0
        self.returned = 0

    def pick(self, number: int) -> Modelled:
        return self.all[number % len(self.all)]

    def add(self, chain: Mbuf, data: bytes) -> None:
        self.all.append(Modelled(chain, data))

    def drop(self, one: Modelled) -> None:
        self.all = [other for other in self.all if other is not one]

    def take_back(self, buffer: bytearray, size: int, arg: object) -> None:
        """The free function: whoever still looks at the buffer shall notice."""
        buffer[:size] = b"\xee" * size
        self.returned += 1

    # -- making

    @rule(pieces=st.lists(DATA, max_size=5))
    def wrap(self, pieces: list[bytes]) -> None:
        """Packets that exist, one mbuf each, on read-only memory."""
        self.add(Mbuf.from_packets([Packet(piece) for piece in pieces]), b"".join(pieces))

    @rule(length=st.sampled_from([1, 200, 256, 300, 2048, 4096, 4097, 9000]), data=DATA)
    def allocate(self, length: int, data: bytes) -> None:
        """Memory of our own in several clusters, written to across them."""
        chain = Mbuf.allocpacket(length)
        if data:
            chain.copyback(length // 2, data)
        model = bytes(length // 2) + data
        self.add(chain, model.ljust(length, b"\0"))

    @rule(data=DATA.filter(len), start=st.integers(0, 20), room=st.integers(0, 20))
    def attach(self, data: bytes, start: int, room: int) -> None:
        """Memory of somebody else's, without a header."""
        buffer = bytearray(start) + data + bytes(room)
        m = Mbuf.attachcluster(buffer, self.take_back)
        m.setdata(start, len(data))
        self.attached += 1
        self.add(m, data)

    # -- changing

    @precondition(lambda self: self.all)
    @rule(number=PICK, share=SHARE)
    def split(self, number: int, share: float) -> None:
        """Both halves together are what was there."""
        one = self.pick(number)
        off = one.at(share)
        tail = one.chain.split(off)
        assert (tail.pkthdr is None) == (one.chain.pkthdr is None)
        self.add(tail, one.data[off:])
        one.data = one.data[:off]

    @precondition(lambda self: self.all)
    @rule(number=PICK, data=DATA)
    def prepend(self, number: int, data: bytes) -> None:
        """What is written before a chain harms no other."""
        one = self.pick(number)
        one.chain = one.chain.prepend(len(data))
        if data:  # else it is the memory there was, perhaps read-only
            one.chain.data()[: len(data)] = data
        one.data = data + one.data

    @precondition(lambda self: self.all)
    @rule(number=PICK, share=SHARE)
    def pullup(self, number: int, share: float) -> None:
        """The first bytes are in one piece and all are the same."""
        one = self.pick(number)
        count = one.at(share)
        one.chain = one.chain.pullup(count)
        assert bytes(one.chain.data()[:count]) == one.data[:count]

    @precondition(lambda self: self.all)
    @rule(number=PICK, first=SHARE, second=SHARE)
    def pulldown(self, number: int, first: float, second: float) -> None:
        """Bytes in the middle are in one piece and all are the same."""
        one = self.pick(number)
        off, end = sorted((one.at(first), one.at(second)))
        m, where = one.chain.pulldown(off, end - off)
        assert any(m is other for other in one.chain)
        assert bytes(m.data()[where : where + end - off]) == one.data[off:end]

    @precondition(lambda self: self.all)
    @rule(number=PICK, n=st.integers(-50, 50) | st.sampled_from([-4000, -2000, 2000, 4000]))
    def adj(self, number: int, n: int) -> None:
        """Trimming takes away at the right end."""
        one = self.pick(number)
        one.chain.adj(n)
        one.data = one.data[n:] if n >= 0 else one.data[:n]

    @precondition(lambda self: self.all)
    @rule(number=PICK, off=st.integers(0, 300), data=DATA.filter(len))
    def copyback(self, number: int, off: int, data: bytes) -> None:
        """What is written into a chain harms no other, and gaps are zero."""
        one = self.pick(number)
        one.chain.copyback(off, data)
        one.data = one.data[:off].ljust(off, b"\0") + data + one.data[off + len(data) :]

    @precondition(lambda self: len(self.all) > 1)
    @rule(number=PICK, other=PICK)
    def concatenate(self, number: int, other: int) -> None:
        """Two chains become one, and the header is set by hand."""
        one, two = self.pick(number), self.pick(other)
        if one is two:
            return
        one.chain.concatenate(two.chain)
        one.data += two.data
        if one.chain.pkthdr is not None:
            one.chain.pkthdr_setlen(len(one.data))
        self.drop(two)

    # -- copying

    @precondition(lambda self: self.all)
    @rule(number=PICK, first=SHARE, second=SHARE, all=st.booleans())
    def copym(self, number: int, first: float, second: float, all: bool) -> None:
        """A copy on the same memory is the same bytes, and stays them."""
        one = self.pick(number)
        off, end = sorted((one.at(first), one.at(second)))
        if all:
            end = len(one.data)
        copy = one.chain.copym(off, M_COPYALL if all else end - off)
        self.add(copy, one.data[off:end])

    @precondition(lambda self: self.all)
    @rule(number=PICK)
    def dup(self, number: int) -> None:
        """A copy on memory of its own is the same bytes."""
        one = self.pick(number)
        self.add(one.chain.dup(), one.data)

    @precondition(lambda self: self.all)
    @rule(number=PICK, first=SHARE, second=SHARE)
    def copydata(self, number: int, first: float, second: float) -> None:
        """Bytes are copied out from anywhere."""
        one = self.pick(number)
        off, end = sorted((one.at(first), one.at(second)))
        assert one.chain.copydata(off, end - off) == one.data[off:end]

    @precondition(lambda self: self.all)
    @rule(number=PICK)
    def packets(self, number: int) -> None:
        """Packets of a chain are its bytes, and will be whatever happens to it."""
        one = self.pick(number)
        batch = one.chain.packets()
        assert batch.nbytes == len(one.data)
        assert b"".join(map(bytes, batch)) == one.data
        self.lent += [(packet, bytes(packet)) for packet in batch]

    # -- failing and freeing

    @precondition(lambda self: self.all)
    @rule(number=PICK)
    def too_far(self, number: int) -> None:
        """A request beyond the end changes nothing."""
        one = self.pick(number)
        over = len(one.data) + 1
        for code, call in (
            (errno.ENOMEM, lambda: one.chain.split(over)),
            (errno.ENOMEM, lambda: one.chain.copym(0, over)),
            (errno.EINVAL, lambda: one.chain.copydata(1, over - 1)),
            (errno.EINVAL, lambda: one.chain.concatenate(one.chain)),
        ):
            try:
                call()
            except OSError as error:
                assert error.errno == code
            else:
                raise AssertionError("it did not fail")

    @precondition(lambda self: self.all)
    @rule(number=PICK, pull=st.booleans())
    def free(self, number: int, pull: bool) -> None:
        """A chain is freed by its owner, or by a call that fails; others stay."""
        one = self.pick(number)
        mbufs = list(one.chain)
        if pull:
            try:
                one.chain.pullup(len(one.data) + 1)
            except OSError as error:
                assert error.errno == errno.ENOMEM
        else:
            one.chain.freem()
        assert all(m.freed for m in mbufs)
        self.drop(one)

    @invariant()
    def agrees(self) -> None:
        """Every chain, every header and every packet lent is what the model says."""
        for one in self.all:
            one.chain.check()
            assert bytes(one.chain) == one.data
            header = 0 if one.chain.pkthdr is None else len(one.data)
            assert one.chain.pkthdr_len == header
        assert all(bytes(packet) == data for packet, data in self.lent)

    def teardown(self) -> None:
        """Once all is freed, each attached buffer was given back once."""
        for one in self.all:
            one.chain.freem()
        assert (self.returned, self.attached) == (self.attached, self.attached)


class ModelTests(SynchronousTestCase):
    def test_any_order(self) -> None:
        """No order of calls lets one chain see what was done to another."""
        run_state_machine_as_test(
            ChainMachine,
            settings=settings(max_examples=60, stateful_step_count=30, deadline=None),
        )
