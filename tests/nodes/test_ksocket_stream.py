"""The ksocket node: connections (netgraph.md §7.6, §7.7), their bytes and their ends."""

from __future__ import annotations

import errno as e
import shutil
import socket
import struct
import tempfile
from functools import partial

from ngksock.netgraph import EOF
from ngksock.netgraph.port import GraphPort
from ngksock.testing import RecordingNode, recorder
from tests.nodes.reactive import TCP, UDP, ReactiveCase, inet

COOKIE, OWN = 942710669, 1750000200


class AcceptTests(ReactiveCase):
    """listen and accept (§7.7)."""

    def setUp(self) -> None:
        super().setUp()
        self.run_lines(f"mkpeer ksocket l {TCP}", "msg .:l bind inet/127.0.0.1:0")
        self.name = self.ask(".:l", "getname")

    def other(self) -> RecordingNode:
        """Return another requester, with a hook so that it can name the socket."""
        node = RecordingNode()
        self.net.add(recorder, node)
        return node

    def path(self) -> str:
        """Return the listening socket's own address."""
        return f"[{self.node('.:l').id:x}]:"

    def test_not_listening(self):
        """accept before listen is EINVAL, listen on a datagram socket EOPNOTSUPP."""
        self.assertEqual(e.EINVAL, self.errno("msg .:l accept"))
        self.run_lines(f"mkpeer ksocket u {UDP}")
        self.assertEqual(e.EOPNOTSUPP, self.errno("msg .:u listen 5"))

    async def test_one_request_one_reply(self):
        """Each request is answered once, with its token, by the new node; others wait."""
        self.run_lines("msg .:l listen 5")
        first = self.post(".:l", "accept")
        self.assertEqual(e.EALREADY, self.errno("msg .:l accept"))
        clients = [self.client(self.name) for _ in range(3)]
        [(sender, message)] = await self.until(lambda: self.answers(first))
        clone = self.net.nodes[sender]
        port = clients[0].getsockname()[1]
        self.assertEqual(struct.pack("=I", sender) + inet(port), message.data)
        self.assertEqual("NGM_KSOCKET_ACCEPT", message.cmdstr)
        await self.pause(0.02)
        self.assertEqual(3, len(self.net.nodes))  # local, the listening one, the clone
        self.assertEqual((COOKIE, 3), (message.cookie, message.cmd))
        second = self.other()
        token = self.post(self.path(), "accept", second)
        [(sender, message)] = await self.until(lambda: self.answers(token, second))
        self.assertEqual(clients[1].getsockname()[1], int.from_bytes(message.data[6:8]))
        self.assertEqual(1, len(self.answers(first)))
        self.assertIsNot(clone, self.net.nodes[sender])

    async def test_requester_gone(self):
        """The connection of a requester that is gone waits for the next one."""
        self.run_lines("msg .:l listen 5")
        gone = self.other()
        self.post(self.path(), "accept", gone)
        self.net.rmnode(gone)
        client = self.client(self.name)
        await self.pause(0.02)
        self.assertEqual(2, len(self.net.nodes))  # local and the listening one
        token = self.post(".:l", "accept")
        [(_, message)] = await self.until(lambda: self.answers(token))
        self.assertEqual(client.getsockname()[1], int.from_bytes(message.data[6:8]))

    async def test_unaccept(self):
        """A request that was withdrawn is not answered, and another may be made."""
        self.run_lines("msg .:l listen 5")
        first = self.post(".:l", "accept")
        self.assertEqual([], self.binary(".:l", OWN, 2))
        self.client(self.name)
        await self.pause(0.02)
        self.assertEqual([], self.answers(first))
        second = self.post(".:l", "accept")
        await self.until(lambda: self.answers(second))

    async def test_data_before_hook(self):
        """What comes before the clone has a hook, its end too, follows the hook."""
        self.run_lines("msg .:l listen 5")
        token = self.post(".:l", "accept")
        client = self.client(self.name)
        client.send(b"early")
        client.shutdown(socket.SHUT_WR)
        [(sender, _)] = await self.until(lambda: self.answers(token))
        await self.pause(0.02)
        self.run_lines(f"connect [{sender:x}]: in any-name")
        await self.until(lambda: self.local.received.get("in", [])[-1:] == [EOF])
        self.assertEqual(b"early", self.got("in"))
        self.local.send("in", b"late")
        self.assertEqual(b"late", await self.read(client, 4))
        self.assertEqual(e.EISCONN, self.errno(f"connect [{sender:x}]: in2 x"))

    async def test_embryos(self):
        """A clone without a hook ends with its parent, one with a hook lives on."""
        self.run_lines("msg .:l listen 5")
        clones = []
        for _ in range(2):
            token = self.post(".:l", "accept")
            client = self.client(self.name)
            await self.until(partial(self.answers, token))
            [(sender, _)] = self.answers(token)
            clones.append((sender, client))
        self.run_lines(f"connect [{clones[0][0]:x}]: in x", "shutdown .:l")
        self.assertIn(clones[0][0], self.net.nodes)
        self.assertNotIn(clones[1][0], self.net.nodes)
        self.assertEqual(b"", await self.read(clones[1][1], 1))

    def test_status(self):
        """The status says that it listens, and where."""
        self.run_lines("msg .:l listen 5")
        self.assertTrue(
            self.node(".:l").status().startswith(f"inet/stream/tcp listening {self.name}; ")
        )
        self.assertEqual("msg . listen 5", self.node(".:l").config()[-1])


class StreamTests(ReactiveCase):
    """connect (§7.6), bytes both ways, and the end."""

    def setUp(self) -> None:
        super().setUp()
        self.run_lines(f"mkpeer ksocket t {TCP}")
        self.t = self.node(".:t")

    async def connected(self) -> socket.socket:
        """Connect the ksocket to a server; return the server's end."""
        server, address = self.server()
        self.run_lines(f"msg .:t connect {address}")
        peer = await self.accepted(server)
        await self.until(lambda: "connected" in self.t.status().split()[1])
        return peer

    def connect(self, address: str) -> tuple[int, int]:
        """Begin to connect; return the errno of the request, and its token."""
        try:
            return 0, self.post(".:t", f"connect {address}")
        except OSError as error:
            return error.errno or 0, next(self._tokens) - 1

    async def test_reply(self):
        """A connect under way is EINPROGRESS, another EALREADY; the reply has the token."""
        server, address = self.server()
        errno, token = self.connect(address)
        self.assertEqual(e.EINPROGRESS, errno)
        self.assertIn(" connecting ", self.t.status())
        self.assertEqual(e.EALREADY, self.connect(address)[0])
        [(sender, message)] = await self.until(lambda: self.answers(token))
        self.assertEqual((self.t.id, bytes(4)), (sender, message.data))
        self.assertEqual("NGM_KSOCKET_CONNECT", message.cmdstr)
        self.assertEqual(address, self.ask(".:t", "getpeername"))
        self.assertEqual(e.EISCONN, self.connect(address)[0])
        await self.accepted(server)

    async def test_refused(self):
        """A connect that fails tells its requester, nobody else, and ends the node."""
        server, address = self.server()
        server.close()
        errno, token = self.connect(address)
        self.assertEqual(e.EINPROGRESS, errno)
        [(_, message)] = await self.until(lambda: self.answers(token))
        self.assertEqual(struct.pack("=i", e.ECONNREFUSED), message.data)
        await self.until(self.gone(self.t))
        self.assertEqual([], self.reports)

    async def test_refused_unheard(self):
        """A connect that fails when its requester is gone is reported, with its address."""
        server, address = self.server()
        server.close()
        other = RecordingNode()
        self.net.add(recorder, other)
        port = GraphPort(self.net, other, self.local)
        message = port.encode(".:t", "connect", address)
        with self.assertRaises(BlockingIOError):
            port.send(".:t", message)
        self.net.rmnode(other)
        await self.until(self.gone(self.t))
        self.assertEqual([f"ksocket {self.t!r} ({address}) failed: ECONNREFUSED"], self.reports)

    async def test_too_early(self):
        """Data before any connect is ENOTCONN; while connecting it waits, the end with it."""
        self.assertEqual(e.ENOTCONN, self.code(self.local.send, "t", b"x"))
        server, address = self.server()
        self.run_lines(f"msg .:t connect {address}")
        self.local.send("t", b"one")
        self.local.send_batch("t", [b"two", b"three", EOF])
        peer = await self.accepted(server)
        self.assertEqual(b"onetwothree", await self.read(peer, 100))

    async def test_both_ways(self):
        """Bytes go both ways; an empty packet without the mark is nothing."""
        peer = await self.connected()
        self.local.send("t", b"to")
        self.local.send("t", b"")
        self.assertEqual(b"to", await self.read(peer, 2))
        peer.send(b"fro")
        await self.until(lambda: self.got("t") == b"fro")

    async def test_their_end_first(self):
        """Their end is one mark; the other direction lives on, until the mark ends it too."""
        peer = await self.connected()
        peer.send(b"last")
        peer.shutdown(socket.SHUT_WR)
        await self.until(lambda: self.local.received.get("t", [])[-1:] == [EOF])
        self.assertEqual(b"last", self.got("t"))
        self.local.send("t", b"answer")
        self.assertEqual(b"answer", await self.read(peer, 6))
        self.assertEqual(1, self.local.received["t"].count(EOF))
        self.local.send("t", EOF)
        self.assertEqual(b"", await self.read(peer, 1))
        await self.until(self.gone(self.t))
        self.assertEqual([], self.reports)

    async def test_our_end_first(self):
        """The message eof ends our direction alone, after what is queued; then EPIPE."""
        peer = await self.connected()
        self.local.send("t", b"x" * 100000)
        self.run_lines("msg .:t eof")
        self.assertEqual(e.EPIPE, self.code(self.local.send, "t", b"more"))
        self.assertEqual(100000, len(await self.read(peer, 100001)))
        peer.send(b"still")
        await self.until(lambda: self.got("t") == b"still")
        peer.close()
        await self.until(self.gone(self.t))

    async def test_reset(self):
        """A reset ends the node, with one sentence that says why."""
        peer = await self.connected()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        await self.until(self.gone(self.t))
        self.assertIn("ECONNRESET", self.reports[0])

    async def test_high(self):
        """A peer that does not read makes the ksocket tell its neighbour to hold, then go on."""
        peer = await self.connected()
        hook = self.local.hooks["t"]
        sent = 0
        while not hook.high:
            self.local.send("t", bytes(65536))
            sent += 65536
            await self.pause()
        self.assertIn(("rcvflow", "t", True), self.local.events)
        self.assertEqual(sent, len(await self.read(peer, sent)))
        await self.until(lambda: not hook.high)
        self.assertEqual(("rcvflow", "t", False), self.local.events[-1])

    async def test_unheeded(self):
        """A neighbour that goes on sending is cut off: a stream has no holes."""
        peer = await self.connected()
        errno = 0
        while not errno:
            errno = self.code(self.local.send, "t", bytes(65536))
        self.assertEqual(e.ENOBUFS, errno)
        await self.until(self.gone(self.t))
        self.assertIn("ENOBUFS", self.reports[0])
        peer.close()

    async def test_held(self):
        """While a sink beyond asks for it nothing is read; the status says so."""
        peer = await self.connected()
        self.local.hooks["t"].send_flow(True)
        self.assertIn("connected held", self.t.status())
        peer.send(b"wait")
        await self.pause(0.02)
        self.assertEqual({}, self.local.received)
        self.local.hooks["t"].send_flow(False)
        await self.until(lambda: self.got("t") == b"wait")

    async def test_shutdown(self):
        """Removing the hook closes the connection, after what is queued."""
        peer = await self.connected()
        self.local.send("t", b"x" * 100000)
        self.run_lines("rmhook t")
        self.assertEqual(100000, len(await self.read(peer, 100001)))


class LocalTests(ReactiveCase):
    """Local sockets that keep boundaries."""

    async def test_seqpacket(self):
        """A packet is a record each way."""
        folder = tempfile.mkdtemp(prefix="ngk")
        self.addCleanup(shutil.rmtree, folder)
        path = f"{folder}/s"
        self.run_lines("mkpeer ksocket l local/seqpacket/0", f'msg .:l bind local/"{path}"')
        self.run_lines("msg .:l listen 5")
        token = self.post(".:l", "accept")
        client = self.owned(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        client.connect(path)
        [(sender, _)] = await self.until(lambda: self.answers(token))
        self.run_lines(f"connect [{sender:x}]: in x")
        for record in (b"one", b"two"):
            client.send(record)
        await self.until(lambda: len(self.local.received.get("in", [])) == 2)
        self.local.send("in", b"three")
        self.assertEqual(b"three", await self.read(client, 5))
        self.assertEqual([b"one", b"two"], self.local.received["in"])
