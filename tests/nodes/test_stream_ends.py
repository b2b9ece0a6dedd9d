"""The ends of streams: who stays to send what is left, what a reset becomes, what is lost."""

from __future__ import annotations

import errno as e
import random
import socket
import struct
from functools import partial
from typing import Any

from ngksock.netgraph import EOF, Batch, Packet, Tag
from ngksock.nodes.ksocket import kpi_of
from tests.nodes.reactive import TCP, UDP, ReactiveCase

OWN = 1750000200
SOL = socket.SOL_SOCKET
MUCH = random.Random(3).randbytes(3 << 20)
SOME = MUCH[:600_000]
MIDDLES = {
    "plain": (),
    "tee": ("mkpeer {} tee x left", "{}x", "right"),
    "hub": ("mkpeer {} hub x left", "{}x", "right"),
}


class RelayCase(ReactiveCase):
    """A case with relays: a client, an accepted ksocket, another one, a peer."""

    def setUp(self) -> None:
        super().setUp()
        self.run_lines(f"mkpeer ksocket l {TCP}", "msg .:l bind inet/127.0.0.1:0")
        self.run_lines("msg .:l listen 5")
        self.name = self.ask(".:l", "getname")
        self.few = set(self.net.nodes)

    async def relay(self, middle: str = "plain") -> tuple[socket.socket, socket.socket]:
        """Join two connections; ``near`` and ``far`` are their nodes."""
        server, address = self.server()
        server.setsockopt(SOL, socket.SO_RCVBUF, 1 << 14)
        token = self.post(".:l", "accept")
        client = self.owned(socket.socket())
        client.setsockopt(SOL, socket.SO_RCVBUF, 1 << 14)
        host, _, port = self.name.removeprefix("inet/").partition(":")
        client.connect_ex((host, int(port)))
        [(number, _)] = await self.until(lambda: self.answers(token))
        path, hook = f"[{number:x}]:", "x"
        if MIDDLES[middle]:
            make, further, hook = MIDDLES[middle]
            self.run_lines(make.format(path))
            path = further.format(path)
        self.run_lines(f"mkpeer {path} ksocket {hook} {TCP}")
        path += "." * (not path.endswith(":")) + hook
        self.run_lines(f"msg {path} connect {address}")
        self.near, self.far = self.net.nodes[number], self.node(path)
        peer = await self.accepted(server)
        await self.until(lambda: "connected" in self.far.status().split()[1])
        return client, peer

    def deepen(self, node: Any) -> None:
        """Let *node* queue much, and its system little."""
        node.so.setsockopt(SOL, socket.SO_SNDBUF, 4 << 20)
        node.so.driver.sock.setsockopt(SOL, socket.SO_SNDBUF, 1 << 14)

    async def write(self, sock: socket.socket, data: bytes) -> None:
        """Write all of *data*."""
        left = memoryview(data)

        def more() -> bool:
            nonlocal left
            try:
                left = left[sock.send(left) :]
            except BlockingIOError:
                return False
            return not left

        await self.until(more)

    def has_read(self, node: Any, count: int) -> bool:
        """Tell whether *node* has taken in so many bytes."""
        return bool(node.so.rcvbytes == count)

    def cut(self, sock: socket.socket) -> None:
        """Close *sock* by a reset."""
        sock.setsockopt(SOL, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    async def rest(self, sock: socket.socket) -> tuple[bytes, int]:
        """Return what *sock* receives until its end, and the errno of that end."""
        data, ends = bytearray(), list[int]()

        def more() -> bool:
            try:
                got = sock.recv(1 << 16)
            except BlockingIOError:
                return False
            except OSError as error:
                ends.append(error.errno or 0)
                return True
            data.extend(got)
            if not got:
                ends.append(0)
            return not got

        await self.until(more)
        return bytes(data), ends[0]

    async def arrives(self, data: bytes, errno: int, sock: socket.socket) -> None:
        """See exactly *data* come, and then that end."""
        got, end = await self.rest(sock)
        self.assertEqual((len(data), errno), (len(got), end))
        self.assertTrue(data == got)

    async def clear(self) -> None:
        """Wait until the relay's nodes and sockets are gone."""
        kpi = kpi_of(self.net)
        left = self.few | {n.id for n in self.net if n.type.name in ("tee", "hub")}
        await self.until(lambda: set(self.net.nodes) <= left and not kpi.flushing)


class StayTests(RelayCase):
    """One side has ended both ways; the other still has much to send."""

    async def stays(self, middle: str, back: bool = False) -> None:
        """Let one node end and the other stay; *back*: the accepted one stays."""
        client, peer = await self.relay(middle)
        writer, reader, ending, staying = client, peer, self.near, self.far
        if back:
            writer, reader, ending, staying = peer, client, self.far, self.near
        self.deepen(staying)
        reader.shutdown(socket.SHUT_WR)
        await self.arrives(b"", 0, writer)
        await self.write(writer, MUCH)
        writer.shutdown(socket.SHUT_WR)
        await self.until(self.gone(ending))
        self.assertIn(staying.id, self.net.nodes)
        if middle == "plain":
            self.assertEqual({}, staying.hooks)
        else:  # the middle still holds on to it
            self.run_lines(*(f"shutdown [{n.id:x}]:" for n in self.net if n.type.name == middle))
        self.assertGreater(staying.so.sndcount, 1 << 20)
        path = f"[{staying.id:x}]:"
        self.assertEqual(e.EISCONN, self.errno(f"connect . {path} again {TCP}"))
        self.assertNotIn("again", self.local.hooks)
        await self.arrives(MUCH, 0, reader)
        await self.until(self.gone(staying))
        await self.clear()
        self.assertEqual([], self.reports)

    async def test_accepted_ends(self):
        """The far node stays, without a hook, until all is sent; a second hook is EISCONN."""
        await self.stays("plain")

    async def test_accepted_stays(self):
        """So does the accepted one when the far one has ended."""
        await self.stays("plain", back=True)

    async def test_tee(self):
        """So it is when what stood between them goes."""
        await self.stays("tee")
        await self.stays("tee", back=True)

    async def test_reset(self):
        """A node that stays ends when its reader resets it."""
        client, peer = await self.relay()
        self.deepen(self.far)
        peer.shutdown(socket.SHUT_WR)
        await self.arrives(b"", 0, client)
        await self.write(client, MUCH)
        client.shutdown(socket.SHUT_WR)
        await self.until(self.gone(self.near))
        self.assertIn(self.far.id, self.net.nodes)
        self.cut(peer)
        await self.clear()

    async def test_shutdown(self):
        """A node that stays may be shut down; what it holds is still sent."""
        client, peer = await self.relay()
        self.deepen(self.far)
        peer.shutdown(socket.SHUT_WR)
        await self.write(client, MUCH)
        client.shutdown(socket.SHUT_WR)
        await self.until(self.gone(self.near))
        self.run_lines(f"shutdown [{self.far.id:x}]:")
        await self.arrives(MUCH, 0, peer)
        await self.clear()


class ResetTests(RelayCase):
    """A reset goes on as a reset, an end as an end."""

    async def passes(self, middle: str) -> None:
        """See resets through, both ways, after what was queued, and an end that is none."""
        for back in (False, True):
            client, peer = await self.relay(middle)
            writer, reader, other = client, peer, self.far
            if back:
                writer, reader, other = peer, client, self.near
            self.deepen(other)
            source = self.near if other is self.far else self.far
            await self.write(writer, SOME)
            await self.until(partial(self.has_read, source, len(SOME)))
            self.assertGreater(other.so.sndcount, 0)
            self.cut(writer)
            await self.until(self.gone(source))
            await self.arrives(SOME, e.ECONNRESET, reader)
            await self.clear()
        client, peer = await self.relay(middle)
        client.send(b"there")
        client.shutdown(socket.SHUT_WR)
        await self.arrives(b"there", 0, peer)
        peer.send(b"back")
        peer.close()
        await self.arrives(b"back", 0, client)
        await self.clear()

    async def test_plain(self):
        """Between two linked ksockets."""
        await self.passes("plain")

    async def test_tee(self):
        """Through a tee."""
        await self.passes("tee")

    async def test_hub(self):
        """Through a hub."""
        await self.passes("hub")

    async def test_after_end(self):
        """A reset after the other direction's end is a reset too."""
        for back in (False, True):
            client, peer = await self.relay()
            writer, reader = (peer, client) if back else (client, peer)
            reader.shutdown(socket.SHUT_WR)
            await self.arrives(b"", 0, writer)
            await self.write(writer, b"half a")
            self.assertEqual(b"half a", await self.read(reader, 6))
            self.cut(writer)
            # The reactor does not tell of it: the watch does, in its time.
            look: Any = kpi_of(self.net).watch._call
            look.reset(0)
            await self.arrives(b"", e.ECONNRESET, reader)
            await self.clear()

    async def test_marks(self):
        """A node that looks on sees one mark with the tag of a reset, of an end a bare one."""
        for tags, end in ((1, self.cut), (0, socket.socket.close)):
            self.local.forget()
            token = self.post(".:l", "accept")
            client = self.client(self.name)
            [(number, _)] = await self.until(partial(self.answers, token))
            marks: list[Packet] = []
            self.run_lines(f"connect [{number:x}]: in x")
            hook = self.local.hooks["in"]
            self.patch(self.local, "rcvdata", lambda hook, packet, to=marks: to.append(packet))
            hook.peer.link(hook)  # the link asks whom to call but once
            end(client)
            await self.until(partial(list, marks))
            self.assertEqual([True], [packet.eof for packet in marks])
            self.assertEqual(tags, len(marks[0].tags))
            self.assertEqual(bool(tags), marks[0].find_tag(OWN, 1) is not None)
            if not tags:
                hook.send_data(EOF)
            await self.clear()


class BatchTests(RelayCase):
    """Marks in batches, and to sockets without an end."""

    async def test_marks(self):
        """Of a batch with two marks the data and the end of file arrive."""
        cases: list[list[bytes | Packet]] = [
            [b"data", EOF, EOF],
            [b"da", b"ta", EOF, EOF],
            [EOF, b"lost", EOF],
        ]
        for datas in cases:
            server, address = self.server()
            self.run_lines(f"mkpeer ksocket t {TCP}", f"msg .:t connect {address}")
            peer = await self.accepted(server)
            self.local.send_batch("t", datas)
            wanted = b"" if datas[0] is EOF else b"data"
            await self.arrives(wanted, 0, peer)
            peer.close()
            await self.clear()
        self.assertEqual([], self.reports)

    async def test_no_end(self):
        """eof of a datagram socket is EOPNOTSUPP, and it lives on."""
        sink, address = self.udp()
        self.run_lines(f"mkpeer ksocket u {UDP}", f"msg .:u connect {address}")
        self.assertEqual(e.EOPNOTSUPP, self.errno("msg .:u eof"))
        self.local.send_batch("u", [b"one", EOF, b"two"])
        self.assertEqual(b"one", await self.read(sink, 9))
        self.assertEqual(b"two", await self.read(sink, 9))
        self.assertEqual({}, self.local.hooks["u"].drops)

    async def test_never_raises(self):
        """A datagram socket's rcvbatch raises nothing, whatever comes: losses are counted."""
        _, address = self.udp()
        long, tag = Packet(bytes(70_000)), Tag(942710669, 1, b"\1")
        odd = Packet(b"x", (tag, Tag(942710669, 1, bytes(4) + b"\x1c\x1c" + bytes(26))))
        batches = [[], [EOF], [EOF, EOF], [Packet(b"x")], [long], [odd, EOF], [odd, long]]
        for kind in (UDP, "inet6/dgram/udp", "local/dgram/0"):
            for prepare in ("", "connect", "shut", "gone"):
                self.run_lines(f"mkpeer ksocket u {kind}")
                node, hook = self.node(".:u"), self.local.hooks["u"]
                if prepare in ("connect", "shut") and kind == UDP:
                    self.run_lines(f"msg .:u connect {address}")
                if prepare == "shut" and kind == UDP:
                    node.so.shutdown(socket.SHUT_WR)
                for packets in batches:
                    if prepare == "gone":
                        node.so, so = None, node.so
                        node._dgram_batch(hook.peer, Batch(packets))
                        node.so = so
                    else:
                        node._dgram_batch(hook.peer, Batch(packets))
                self.assertNotEqual({}, hook.drops, (kind, prepare))
                self.run_lines("rmhook u")


class RecordTests(RelayCase):
    """Datagrams into a stream that is full."""

    async def test_hub(self):
        """A stalled stream loses records, counted on the hub's hook; nobody else loses any."""
        sink, to = self.udp()
        server, address = self.server()
        server.setsockopt(SOL, socket.SO_RCVBUF, 1 << 14)
        self.run_lines("mkpeer hub h h", f"mkpeer .:h ksocket in {UDP}")
        self.run_lines("msg .:h.in bind inet/127.0.0.1:0", f"mkpeer .:h ksocket fast {UDP}")
        self.run_lines(f"msg .:h.fast connect {to}", f"mkpeer .:h ksocket slow {TCP}")
        self.run_lines(f"msg .:h.slow connect {address}", "rmhook h")
        peer = await self.accepted(server)
        hub: Any = next(n for n in self.net if n.type.name == "hub")
        slow: Any = hub.hooks["slow"].peer.node
        slow.so.driver.sock.setsockopt(SOL, socket.SO_SNDBUF, 1 << 14)
        path = f"[{hub.id:x}]:in"
        host, _, port = self.ask(path, "getname").removeprefix("inet/").partition(":")
        source = self.owned(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        drops = hub.hooks["slow"].drops
        count = 0
        while sum(drops.values()) < 10:
            self.assertLess(count, 200, "the stream never fills")
            record = b"%04d" % count + bytes(50_000)
            source.sendto(record, (host, int(port)))
            self.assertEqual(record, await self.read(sink, 1 << 16))
            count += 1
        self.assertEqual({e.ENOBUFS}, set(drops))
        self.assertTrue(slow.valid)
        kept = (count - drops[e.ENOBUFS]) * 50_004
        got = await self.read(peer, kept)
        heads = [int(got[at : at + 4]) for at in range(0, kept, 50_004)]
        self.assertEqual(sorted(set(heads)), heads)
        whole = b"".join(b"%04d" % head + bytes(50_000) for head in heads)
        self.assertTrue(got == whole, "there is a hole in a record")
        await self.until(lambda: not slow.so.sndcount)
        source.sendto(b"again", (host, int(port)))
        self.assertEqual(b"again", await self.read(sink, 1 << 16))
        self.assertEqual(b"again", await self.read(peer, 5))
        self.assertEqual([], self.reports)
        self.run_lines(f"shutdown [{hub.id:x}]:")
