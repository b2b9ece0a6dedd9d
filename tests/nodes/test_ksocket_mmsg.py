"""Graphs of datagram ksockets: the same with each way datagrams come and go."""

from __future__ import annotations

import errno
import socket
from itertools import pairwise
from random import Random
from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import SynchronousTestCase

from ngksock.kpi import SocketKPI
from ngksock.netgraph import EOF, Batch, Packet, Tag
from ngksock.nodes.ksocket import tags
from ngksock.packet import Record
from tests.nodes.reactive import UDP, ReactiveCase, inet

COOKIE = 942710669


class WaysCase(ReactiveCase):
    """The tests that follow, with the quickest driver."""

    way = "segments"

    def setUp(self):
        super().setUp()
        self.net.shared["kpi"] = SocketKPI(reactor, mmsg=self.way)

    async def datagrams(self, sock: socket.socket, count: int) -> list[tuple[bytes, Any]]:
        """Return the next *count* datagrams of a peer, and their senders."""
        got: list[tuple[bytes, Any]] = []

        def more() -> bool:
            try:
                while True:
                    got.append(sock.recvfrom(70_000))
            except BlockingIOError:
                return len(got) >= count

        await self.until(more)
        return got


class TagTests(SynchronousTestCase):
    """How a ksocket marks what it receives with where it came from."""

    def marked(self, known: tags.AddressTags, *names: Any) -> Batch:
        """Return datagrams of those senders, with their tags."""
        batch = Batch(Record(b"x") for _ in names)
        batch.names = list(names)
        known.mark(batch, 7)
        self.assertIsNone(batch.names)
        return batch

    def test_senders(self) -> None:
        """Each answers to its sender, however many there are; only so many are remembered."""
        self.patch(tags, "KNOWN_MAX", 3)
        known = tags.AddressTags()
        names = [("127.0.0.1", 5000 + number) for number in range(10)]
        for _ in range(2):
            for first, second in pairwise(names):
                batch = self.marked(known, first, second)
                found = [tags.destination(packet.tags, 7, 2) for packet in batch]
                self.assertEqual([first, second], found)
                self.assertLessEqual(len(known._known), 3)

    def test_uniform(self) -> None:
        """A batch of one sender, or of the peer, shares its tags, and is vouched for."""
        known, one, two = tags.AddressTags(), ("127.0.0.1", 1), ("127.0.0.1", 2)
        first, again = self.marked(known, one, one), self.marked(known, one, one)
        self.assertIs(first[1].tags, again[0].tags)
        self.assertEqual((True, True), (first.uniform, again.uniform))
        self.assertFalse(self.marked(known, one, two).uniform)
        nameless = self.marked(known, "", "")
        self.assertEqual((True, ()), (nameless.uniform, nameless.tags()))
        peers = Batch([Record(b"x")])
        known.mark(peers, 7)
        self.assertEqual((True, ()), (peers.uniform, peers.tags()))


class RelayTests(WaysCase):
    async def test_fan_out(self):
        """A hub sends what one ksocket hears to several: payload, order and boundaries."""
        sinks = [self.udp() for _ in range(4)]
        self.run_lines("mkpeer hub a a", "name a fan", f"mkpeer fan: ksocket in {UDP}")
        for i, (_, address) in enumerate(sinks):
            kind = f"out{i}"
            self.run_lines(f"mkpeer fan: ksocket {kind} {UDP}", f"msg fan:{kind} connect {address}")
        self.run_lines("msg fan:in bind inet/127.0.0.1:0")
        port = self.ask("fan:in", "getname").rpartition(":")[2]
        rnd, wanted, (source, _) = Random(5), [], self.udp()
        for i in range(400):
            size = rnd.choice((0, 1, 60, 60, 60, 508, 1396, 1396, 1396, 1396))
            wanted.append(i.to_bytes(4) + rnd.randbytes(size))
            source.sendto(wanted[-1], ("127.0.0.1", int(port)))
            if i % 40 == 39:
                for sink, _ in sinks:
                    got = await self.datagrams(sink, 40)
                    self.assertEqual(wanted[-40:], [data for data, _ in got])
        hooks = self.node("fan:").hooks
        total = sum(map(len, wanted))
        for i in range(4):
            out = hooks[f"out{i}"]
            self.assertEqual((400, total, {}), (out.packets, out.bytes, out.drops))
            so = out.peer.node.so
            self.assertEqual((400, total), (so.sndpackets, so.sndbytes))

    async def test_answers(self):
        """An echo node answers each of many senders, whose datagrams came in one batch."""
        self.run_lines("mkpeer echo a a", f"mkpeer a ksocket in {UDP}")
        self.run_lines("msg a.in bind inet/127.0.0.1:0")
        to = ("127.0.0.1", int(self.ask("a.in", "getname").rpartition(":")[2]))
        clients = [self.udp()[0] for _ in range(5)]
        wanted: list[list[bytes]] = [[] for _ in clients]
        for i in range(60):
            which = i * i % 5 if i < 30 else i // 6 % 5
            wanted[which].append(bytes([i]) * (i % 3 * 700 if i < 30 else 80))
            clients[which].sendto(wanted[which][-1], to)
        for client, sent in zip(clients, wanted, strict=True):
            got = await self.datagrams(client, len(sent)) if sent else []
            self.assertEqual([(data, to) for data in sent], got)

    async def test_shortened(self):
        """Past tees that only pass on each still counts; one that gets a hook is asked at once."""
        self.run_lines("mkpeer tee boot left2right", "name boot t1")
        for i in (1, 2, 3):
            self.run_lines(f"mkpeer t{i}: tee right left", f"name t{i}:right t{i + 1}")
        self.run_lines("rmhook boot", f"mkpeer t1: ksocket left {UDP}")
        self.run_lines(f"mkpeer t4: ksocket right {UDP}", "msg t1:left bind inet/127.0.0.1:0")
        (sink, address), (source, _) = self.udp(), self.udp()
        self.run_lines(f"msg t4:right connect {address}")
        to = ("127.0.0.1", int(self.ask("t1:left", "getname").rpartition(":")[2]))
        sent = 0

        async def pass_on(rounds: int) -> None:
            nonlocal sent
            for _ in range(rounds):
                wanted = [bytes([sent % 256, i] * 20) for i in range(10)]
                for data in wanted:
                    source.sendto(data, to)
                self.assertEqual(wanted, [d for d, _ in await self.datagrams(sink, 10)])
                sent += 10

        def seen(links: int = 4) -> list[int]:
            told = [self.ask(f"t{i}:", "getstats").partition("left={")[2] for i in (1, 2, 3, 4)]
            hooks = [self.node(f"t{i + 1}:").hooks["right"] for i in range(links)]
            return [int(text.split("inFrames=")[1].split()[0]) for text in told] + [
                hook.packets for hook in hooks
            ]

        node = self.node("t1:left")
        await pass_on(20)
        self.assertIs(self.node("t4:").hooks["right"], node._route.hooks[-1])
        self.assertEqual([sent] * 8, seen())
        self.assertEqual((sent, sent * 40), (node.hook.packets, node.hook.bytes))
        self.run_lines("connect . t2: copy left2right")
        self.assertIsNone(node._route)
        before = sent
        await pass_on(20)
        self.assertEqual([sent] * 8, seen())
        self.assertEqual(sent - before, len(self.local.received["copy"]))
        self.run_lines("rmhook copy")
        await pass_on(20)
        self.assertEqual(4 + 1, len(node._route.hooks))
        self.run_lines("rmhook t4: right")
        self.assertIsNone(node._route)
        source.sendto(b"x", to)
        await self.until(lambda: node.so.rcvpackets == sent + 1)
        self.assertEqual([sent + 1] * 4 + [sent + 1] * 3, seen(3))

    async def test_tags(self):
        """A batch whose packets have tags, none, those of others and a mark goes where they say."""
        a, b = self.udp()[0], self.udp()[0]
        self.run_lines(f"mkpeer ksocket x {UDP}")
        node, hook = self.node(".:x"), self.local.hooks["x"]

        def tagged(data: bytes, number: int, sock: socket.socket) -> Packet:
            raw = number.to_bytes(4, "little") + inet(sock.getsockname()[1])
            return Packet(data, (Tag(COOKIE, 1, raw),))

        other = Tag(1, 1, b"")
        hook.send_batch(
            Batch((tagged(b"1", 0, a), EOF, tagged(b"2", node.id, b), Packet(b"lost", (other,))))
        )
        hook.send_batch(Batch((EOF,), 0))
        hook.send_batch(Batch([tagged(b"3", node.id, a)] * 3))
        hook.send_batch(Batch([tagged(b"4", node.id + 1, a)] * 2))
        self.assertEqual([b"1", b"3", b"3", b"3"], [d for d, _ in await self.datagrams(a, 4)])
        self.assertEqual([b"2"], [d for d, _ in await self.datagrams(b, 1)])
        self.assertEqual({errno.EDESTADDRREQ: 3}, hook.drops)
        self.run_lines("rmhook x")

    async def test_losses(self):
        """What a batch loses is counted on the hook by the errno of each, not by the last one."""
        a = self.udp()[0]
        self.run_lines(f"mkpeer ksocket x {UDP}")
        hook, port = self.local.hooks["x"], a.getsockname()[1]

        def tagged(data: bytes, port: int) -> Packet:
            return Packet(data, (Tag(COOKIE, 1, bytes(4) + inet(port)),))

        batch = [tagged(bytes(65_508), port), tagged(b"1", port), tagged(b"2", 0), Packet(b"3")]
        hook.send_batch(Batch(batch))
        self.assertEqual([b"1"], [data for data, _ in await self.datagrams(a, 1)])
        lost = {errno.EMSGSIZE: 1, errno.EINVAL: 1, errno.EDESTADDRREQ: 1}
        self.assertEqual(lost, hook.drops)
        with self.assertRaises(OSError) as caught:
            hook.send_data(tagged(b"4", 0))
        self.assertEqual(errno.EINVAL, caught.exception.errno)
        hook.send_batch(Batch([tagged(b"5", port), Packet(b"6")]))
        lost[errno.EINVAL] += 1
        lost[errno.EDESTADDRREQ] += 1
        self.assertEqual(lost, hook.drops)

    async def test_shared(self):
        """A batch that several nodes are given stays as it is: no names get into the graph."""
        a = self.udp()[0]
        self.run_lines("mkpeer hub h h", f"mkpeer h ksocket x {UDP}", "connect . h h2 y")
        raw = bytes(4) + inet(a.getsockname()[1])
        batch = Batch([Packet(b"x", (Tag(COOKIE, 1, raw),))] * 4)
        self.local.hooks["h"].send_batch(batch)
        self.assertIsNone(batch.names)
        self.assertEqual([b"x"] * 4, [d for d, _ in await self.datagrams(a, 4)])


class LooseRelayTests(RelayTests):
    """The same without segments."""

    way = "mmsg"


class PlainRelayTests(RelayTests):
    """The same with a system call for each."""

    way = "off"
