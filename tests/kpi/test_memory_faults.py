"""The memory driver: datagrams, faults on request, and what is left behind."""

from __future__ import annotations

import errno
import random
from typing import Any

from ngksock.kpi import constants as c
from ngksock.kpi.msghdr import MsgHdr
from ngksock.packet import Batch, Packet
from tests.kpi.sockets import DGRAM, INET, INET6, UNIX, Owner, packets
from tests.kpi.test_memory import KINDS, MemoryTestCase, told


def addressed(to: Any, *contents: bytes) -> Batch:
    """Return a batch whose packets all go to *to*."""
    batch = packets(*contents)
    batch.names = [to] * len(batch)
    return batch


class DgramTests(MemoryTestCase):
    def couple(self, domain: int = INET) -> list[Owner]:
        """Return two sockets that are each other's peer."""
        one, other = self.bound(domain, DGRAM), self.bound(domain, DGRAM)
        one.connect(other.getsockname())
        other.connect(one.getsockname())
        self.turn()
        return [Owner(one), Owner(other)]

    def test_boundaries(self) -> None:
        """Datagrams stay apart, empty ones too, and have their sender's name; an upcall each."""
        for domain in (INET, INET6, UNIX):
            receiver = Owner(self.bound(domain, DGRAM))
            sender = self.bound(domain, DGRAM)
            to = receiver.so.getsockname()
            self.assertEqual(3, sender.sendbatch(addressed(to, b"abc", b"", b"d")))
            self.assertEqual([], receiver.received)
            self.turn()
            self.assertEqual([b"abc", b"", b"d"], receiver.received)
            self.assertEqual([sender.getsockname()] * 3, receiver.names)
            self.assertEqual(["read"] * 3, receiver.told)

    def test_unbound(self) -> None:
        """Who sends unbound gets a port; a local one has no name."""
        receiver = Owner(self.bound(INET, DGRAM))
        sender = self.socket(INET, DGRAM)
        self.send(sender, b"x", receiver.so.getsockname())
        self.turn()
        self.assertEqual([("127.0.0.1", sender.getsockname()[1])], receiver.names)
        receiver = Owner(self.bound(UNIX, DGRAM))
        self.send(self.socket(UNIX, DGRAM), b"x", receiver.so.getsockname())
        self.turn()
        self.assertEqual([""], receiver.names)

    def test_connected(self) -> None:
        """A connected socket hears its peer alone, who is heard nowhere else."""
        one, other = self.couple()
        third = Owner(self.socket(INET, DGRAM))
        third.so.bind(("0.0.0.0", other.so.getsockname()[1] + 9))
        self.send(third.so, b"no", other.so.getsockname())
        self.send(one.so, b"yes")
        self.turn()
        self.assertEqual(([b"yes"], []), (other.received, other.names))
        self.assertEqual(1, self.net.dropped)
        self.fails(errno.EISCONN, self.send, one.so, b"x", third.so.getsockname())
        self.assertEqual(0, one.so.sendbatch(addressed(("127.0.0.1", 1), b"x")))
        one.so.connect(("127.0.0.1", third.so.getsockname()[1]))
        self.send(one.so, b"new")
        self.turn()
        self.assertEqual([b"new"], third.received)

    def test_local_connected(self) -> None:
        """A local receiver with a peer takes from nobody else; one that is gone refuses."""
        one, other = self.couple(UNIX)
        self.fails(errno.EPERM, self.send, self.socket(UNIX, DGRAM), b"", one.so.getsockname())
        other.so.close()
        self.fails(errno.ECONNREFUSED, self.send, one.so, b"x")

    def test_refused(self) -> None:
        """Nobody there: a connected sender is told later, another one never."""
        nobody = ("127.0.0.1", 9)
        sender = Owner(self.socket(INET, DGRAM))
        self.send(sender.so, b"x", nobody)
        self.turn()
        self.assertEqual(([], 1), (sender.told, self.net.dropped))
        sender.so.connect(nobody)
        self.turn()
        sender.told.clear()
        sender.so.sendbatch(packets(b"x", b"y"))
        self.assertEqual([], sender.told)
        self.turn()
        self.assertEqual((["read", "write"], errno.ECONNREFUSED), told(sender))
        self.send(sender.so, b"x")
        sender.so.close()

    def test_errors(self) -> None:
        """What cannot be sent is an errno, in a batch a counted one."""
        so = self.socket(INET, DGRAM)
        for to in (("192.0.2.1", 9), ("127.0.0.1", 0), None):
            batch = packets(b"x")
            batch.names = None if to is None else [to]
            self.assertEqual(0, so.sendbatch(batch))
        so.sendbatch(addressed(("127.0.0.1", 9), bytes(65508)))
        expected = (errno.ENETUNREACH, errno.EINVAL, errno.EDESTADDRREQ, errno.EMSGSIZE)
        self.assertEqual(dict.fromkeys(expected, 1), so.senderrors)
        self.fails(errno.EINVAL, so.connect, ("127.0.0.1", 0))
        self.fails(errno.EOPNOTSUPP, so.driver.sendmsg, [b"x"], 0, None, [(0, 1, b"")])
        self.fails(errno.EOPNOTSUPP, so.driver.listen, 1)
        self.fails(errno.EOPNOTSUPP, so.driver.accept)
        self.fails(errno.EOPNOTSUPP, so.driver.recvoob, False)
        local = self.bound(UNIX, DGRAM)
        local.sendbatch(addressed(local.getsockname(), bytes(70000)))
        self.turn()
        self.assertEqual(1, local.truncated)

    def test_overflow(self) -> None:
        """A slow receiver loses what its buffer does not hold: of bytes, and of datagrams."""
        for size, most in ((1000, 15), (0, 2048)):
            self.net.wire = 5000
            receiver = Owner(self.bound(INET, DGRAM), reads=False)
            receiver.so.setsockopt(c.SOL_SOCKET, c.SO_RCVBUF, 10000)
            sender = self.socket(INET, DGRAM)
            dropped = self.net.dropped
            for _ in range(3000):
                self.send(sender, bytes(size), receiver.so.getsockname())
                self.turn()
            receiver.reads = True
            receiver.drain()
            self.turn()
            self.assertEqual(most, len(receiver.received))
            self.assertEqual(3000, self.net.dropped - dropped + most)

    def test_local_overflow(self) -> None:
        """A local sender is told that there is no room, and when there is."""
        self.net.wire = 1000
        receiver = Owner(self.bound(UNIX, DGRAM), reads=False)
        senders = [Owner(self.socket(UNIX, DGRAM)) for _ in range(3)]
        for sender in senders:
            sender.so.connect(receiver.so.getsockname())
        self.turn()
        self.send(senders[0].so, bytes(900))
        for sender in senders:
            sender.told.clear()
            for _ in range(2):
                self.fails(errno.EWOULDBLOCK, self.send, sender.so, bytes(900))
        senders[0].so.close()
        self.assertEqual(0, senders[1].so.sendbatch(packets(bytes(900))))
        self.turn()
        self.assertEqual([["write"]] * 2, [sender.told for sender in senders[1:]])
        self.send(senders[1].so, bytes(900))
        self.fails(errno.EWOULDBLOCK, self.send, senders[2].so, bytes(900))
        receiver.so.close()
        senders[2].so.close()
        self.turn()


class FaultTests(MemoryTestCase):
    def test_latency(self) -> None:
        """Everything takes its time to the other end, a connection there and back."""
        self.net.latency = 1.0
        listener = self.listener()
        client = self.dial(listener.so.getsockname())
        self.clock.advance(1.9)
        self.assertEqual([], listener.told)
        self.clock.advance(0.1)
        server = self.accept(listener)
        client.so.sendbatch(packets(b"a"))
        self.clock.advance(0.5)
        self.net.latency = 0.1  # and nothing is overtaken
        client.so.sendbatch(packets(b"b"))
        closed = client.so.close()
        self.assertEqual(3, client.so.driver.outq())  # the end of file counts
        self.clock.advance(0.49)
        self.assertEqual([], server.received)
        self.clock.advance(0.02)
        self.assertEqual([b"a", b"b"], server.received)
        self.assertNoResult(closed)
        self.clock.pump([0.05] * 10)
        self.successResultOf(closed)
        self.assertTrue(server.eof)

    def test_refused_later(self) -> None:
        """A refusal takes a way and back, too."""
        self.net.latency = 1.0
        sender = Owner(self.socket(INET, DGRAM))
        sender.so.connect(("127.0.0.1", 9))
        client = self.dial(("127.0.0.1", 9))
        self.send(sender.so, b"x")
        self.clock.advance(1.9)
        self.assertEqual([None, None], [client.error, sender.error])
        self.clock.advance(0.1)
        self.assertEqual([errno.ECONNREFUSED] * 2, [client.error, sender.error])

    def test_reset(self) -> None:
        """A connection that is reset on the way is so for both, behind what was sent."""
        one, other = self.pair()
        one.so.sendbatch(packets(b"last"))
        self.net.reset(one.so)
        self.turn()
        self.assertEqual([errno.ECONNRESET] * 2, [one.error, other.error])
        self.assertEqual(b"last", other.data)
        for so in (one.so, self.socket(), self.socket(INET, DGRAM)):
            self.fails(errno.ENOTCONN, self.net.reset, so)

    def test_cut(self) -> None:
        """Of a cut connection nobody hears; who sends gives up in the net's time."""
        one, other = self.pair()
        one.so.sendbatch(packets(b"never"))
        self.net.cut(other.so)
        self.turn()
        self.assertEqual(5, one.so.driver.outq())
        self.clock.advance(self.net.timeout / 2)
        other.so.sendbatch(packets(b"neither"))
        self.clock.advance(self.net.timeout / 2)
        self.assertEqual(([0x10, 0x6000, "write", "read"], errno.ETIMEDOUT), told(one))
        self.assertEqual(([], None, b""), (*told(other), other.data))
        self.clock.advance(self.net.timeout / 2)
        self.assertEqual(errno.ETIMEDOUT, other.error)
        self.fails(errno.ENOTCONN, self.net.cut, one.so)

    def test_cut_closed(self) -> None:
        """Who closes a cut connection waits as for any that has not arrived, and no longer."""
        one, other = self.pair()
        self.net.cut(one.so)
        one.so.sendbatch(packets(b"x"))
        closed = one.so.close()
        self.assertNoResult(closed)
        self.clock.pump([1.0] * 600)
        self.successResultOf(closed)
        self.assertEqual([], other.told)
        other.so.sendbatch(packets(b"x"))
        other.so.abort()

    def test_cut_attempt(self) -> None:
        """The answer to a cut attempt never comes."""
        client = self.dial(self.listener().so.getsockname())
        self.net.cut(client.so)
        self.clock.advance(self.net.timeout)
        self.assertEqual(errno.ETIMEDOUT, client.error)

    def test_cut_datagrams(self) -> None:
        """A cut datagram socket is alone, and is not told so."""
        for domain in (INET, UNIX):
            one, other = Owner(self.bound(domain, DGRAM)), Owner(self.bound(domain, DGRAM))
            self.net.cut(one.so)
            one.so.connect(other.so.getsockname())
            self.send(one.so, b"x")
            self.send(other.so, b"x", one.so.getsockname())
            other.so.close()
            if domain == INET:
                self.send(one.so, b"x")
            self.clock.advance(1)
            self.assertEqual(([], []), (one.received, other.received))

    def test_random(self) -> None:
        """Whatever sockets do, and whenever they end, nothing is left and nothing is logged."""
        for seed in range(150):
            Monkey(self, seed).run()


class Monkey:
    """
    A program that does anything, in any order.

    Args:
        case: Where it does it.
        seed: Of its fancies.
    """

    def __init__(self, case: MemoryTestCase, seed: int) -> None:
        self.case = case
        self.random = random.Random(seed)
        case.net.wire = self.random.choice([10, 1000, 70000])
        case.net.latency = self.random.choice([0.0, 0.0, 0.5])
        self.kinds = self.random.sample(KINDS, 2)
        self.listeners: dict[tuple[int, int], Owner] = {}
        self.alive: list[Owner] = []

    def run(self) -> None:
        verbs = [self.make, self.accept, self.send, self.send, self.turn, self.end, self.fault]
        for _ in range(120):
            try:
                self.random.choice(verbs)()
            except OSError as error:
                assert error.errno, error
        self.case.kpi.closeall()
        self.case.clock.pump([1.0] * 3)
        self.case.tearDown()

    def one(self, owners: list[Owner]) -> Owner:
        if not owners:
            raise OSError(errno.ENOENT, "nobody is there yet")
        return self.random.choice(owners)

    def make(self) -> None:
        kind = self.random.choice(self.kinds)
        if kind not in self.listeners:
            so = self.case.bound(*kind)
            if kind[1] != DGRAM:
                so.listen(2)
            self.listeners[kind] = Owner(so)
        owner = Owner(self.case.socket(*kind), self.random.random() < 0.6)
        self.alive.append(owner)
        owner.so.setsockopt(c.SOL_SOCKET, c.SO_RCVBUF, self.random.choice([5, 5000]))
        owner.so.connect(self.listeners[kind].so.getsockname())

    def accept(self) -> None:
        listener = self.one(list(self.listeners.values()))
        self.alive.append(self.case.accept(listener, self.random.random() < 0.6))

    def send(self) -> None:
        so = self.one(self.alive).so
        data = bytes(self.random.choice([0, 1, 5, 300, 80000]))
        if self.random.random() < 0.5:
            so.sendbatch(Batch([Packet(data)]))
        else:
            so.send(MsgHdr(iov=[data]), self.random.choice([0, c.MSG_OOB, c.MSG_EOF]))

    def turn(self) -> None:
        self.case.clock.advance(self.random.choice([0, 0, 0.3, 1, 100]))

    def end(self) -> None:
        if self.random.random() < 0.05 and self.listeners:
            self.listeners.pop(self.random.choice(list(self.listeners))).so.close()
        owner = self.one(self.alive)
        call = self.random.randrange(5)
        if call < 2:
            self.alive.remove(owner)
            (owner.so.close, owner.so.abort)[call]()
        elif call == 2:
            owner.drain()
        else:
            owner.so.shutdown(self.random.randrange(3))

    def fault(self) -> None:
        so = self.one(self.alive).so
        fault = self.random.random()
        if fault < 0.2:
            self.case.net.reset(so)
        elif fault < 0.4:
            self.case.net.cut(so)
