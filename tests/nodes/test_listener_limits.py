"""The limits of listeners and ksockets: times, requests, what is left over, and numbers."""

from __future__ import annotations

import errno as e
import operator
import socket
import struct
from functools import partial
from typing import Any

from twisted.internet import reactor

from ngksock.kpi.sockopt import WORDS
from ngksock.netgraph import Hook, Node, Packet, Reply, command_later
from ngksock.netgraph.layout import INT32
from ngksock.nodes.ksocket import kpi_of
from ngksock.nodes.ksocket.address import SOCKADDR
from ngksock.plugin import NodeType
from ngksock.testing import RecordingNode, recorder
from tests.nodes.reactive import TCP, UDP, ReactiveCase, inet
from tests.nodes.test_listener import ECHO, OUT, ListenerCase

LONG = "9" * 5000
ZEROS = "0" * 5000
SLOWEST = 1.3
"""Linux sends a SYN that got no answer once more after a second."""


def shut(sock: socket.socket) -> None:
    """End one direction of *sock*."""
    sock.shutdown(socket.SHUT_WR)


def cut(sock: socket.socket) -> None:
    """Close *sock* by a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Slow(Node):
    """Begins what takes time; sends back what it gets."""

    reply: Reply[int] | None = None

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        hook.send_data(packet)

    @command_later(1, resp=INT32)
    def begin(self, reply: Reply[int]) -> None:
        """Begin."""
        self.reply = reply
        raise OSError(e.EINPROGRESS, "it takes time")


class LimitCase(ListenerCase):
    """A case with others who ask the listener's socket for connections."""

    def other(self) -> RecordingNode:
        """Return another requester."""
        node = RecordingNode()
        self.net.add(recorder, node)
        return node

    def socket_path(self) -> str:
        """Return the absolute path of the listening ksocket."""
        return f"[{self.node('door:socket').id:x}]:"

    def taken(self, server: socket.socket) -> dict[socket.socket, tuple[str, int]]:
        """Accept all connections that wait at *server*; tell whose each is."""
        found: dict[socket.socket, tuple[str, int]] = {}
        while True:
            try:
                sock, name = server.accept()
            except BlockingIOError:
                return found
            found[self.owned(sock)] = name

    def outs(self) -> list[Any]:
        """Return the ksockets that scripts made."""
        nodes: list[Any] = [n for n in self.net if n.type.name == "ksocket"]
        return [node for node in nodes if node.id not in self.few and not node.cloned]

    async def clear(self, few: set[int] | None = None) -> None:
        """Wait until the nodes are the few there were, and no socket is being flushed."""
        wanted, kpi = few or self.few, kpi_of(self.net)
        await self.until(lambda: set(self.net.nodes) == wanted and not kpi.flushing)

    async def ended(self, sock: socket.socket) -> None:
        """Wait until *sock* has no peer any more."""

        def over() -> bool:
            try:
                return not sock.recv(1 << 16)
            except BlockingIOError:
                return False
            except ConnectionResetError:
                return True

        await self.until(over)


class RequestTests(LimitCase):
    """Who asks for connections, and in whose way that is."""

    async def test_requester_gone(self):
        """A request whose requester has ended is in nobody's way."""
        self.run_lines("msg door:socket listen 5")
        gone, next_one = self.other(), self.other()
        self.post(self.socket_path(), "accept", gone)
        self.assertEqual(e.EALREADY, self.errno("msg door:socket accept"))
        self.net.rmnode(gone)
        token = self.post(self.socket_path(), "accept", next_one)
        client = self.client(self.name)
        [(_, message)] = await self.until(lambda: self.answers(token, next_one))
        self.assertEqual(inet(client.getsockname()[1]), message.data[4:])

    async def test_listener_next(self):
        """A listener that starts after such a requester serves."""
        self.run_lines("msg door:socket listen 5")
        gone = self.other()
        self.post(self.socket_path(), "accept", gone)
        self.net.rmnode(gone)
        self.begin(ECHO)
        await self.echoed(self.client(self.name))

    async def test_start_fails(self):
        """A start while another asks is EALREADY and leaves it stopped; a later one works."""
        self.run_lines("msg door:socket listen 5")
        other = self.other()
        token = self.post(self.socket_path(), "accept", other)
        self.run_lines(f"msg door: setscript {{ lines=[ {ECHO} ] }}")
        for _ in range(2):
            self.assertEqual(e.EALREADY, self.errno("msg door: start 5"))
            self.assertTrue(self.door.status().startswith("stopped; "), self.door.status())
            self.assertNotIn("msg . start 5", self.door.config())
        self.run_lines("msg door: setlimit 3", "msg door: stop")
        self.client(self.name)
        await self.until(lambda: self.answers(token, other))  # stop withdrew nothing of others'
        self.assertEqual((0, 0, 0, 0), self.stats())
        token = self.post(self.socket_path(), "accept", other)
        self.assertEqual(e.EALREADY, self.errno("msg door: start 5"))
        self.net.rmnode(other)
        self.run_lines("msg door: start 5")
        self.assertTrue(self.door.status().startswith("accepting; "), self.door.status())
        await self.echoed(self.client(self.name))
        self.assertEqual((1, 1, 0, 0), self.stats())

    async def test_start_again(self):
        """A start that fails, of one that was started, changes nothing."""
        self.begin(ECHO)
        self.run_lines("msg door: start 5")
        self.assertIn("msg . start 5", self.door.config())
        await self.echoed(self.client(self.name))


class TimeTests(LimitCase):
    """Times that are changed, and connects that were given up."""

    async def deaf(self) -> tuple[socket.socket, set[tuple[str, int]]]:
        """Start with a script that connects to a server whose backlog is full; return who fills."""
        server = self.owned(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        fillers = [self.owned(socket.socket()) for _ in range(4)]
        for filler in fillers:
            filler.connect_ex(server.getsockname())
        script = OUT.format("inet/{}:{}".format(*server.getsockname()))
        self.begin(script, "settimeouts { connect=800 }")
        return server, {filler.getsockname() for filler in fillers}

    async def waiting(self) -> socket.socket:
        """Return a client whose data waits for a connection that is not made."""
        client = self.client(self.name)
        client.send(b"GHOST")
        await self.until(lambda: any(out.so.sndcount for out in self.outs()))
        return client

    async def nobody(self, server: socket.socket, fillers: set[tuple[str, int]]) -> None:
        """Free the backlog, and see nobody come but those who filled it."""
        strangers = []
        end = reactor.seconds() + SLOWEST
        while reactor.seconds() < end:
            strangers += [name for name in self.taken(server).values() if name not in fillers]
            await self.pause(0.01)
        self.assertEqual([], strangers)

    async def test_ghost(self):
        """A connect that was given up after its time never delivers later."""
        server, fillers = await self.deaf()
        client = await self.waiting()
        self.patch(self.net, "clock", lambda: reactor.seconds() + 900)
        self.run_lines("msg door: settimeouts { connect=1 }")
        await self.ended(client)
        await self.clear()
        self.assertEqual((1, 0, 0, 1), self.stats())
        self.assertIn("ETIMEDOUT", self.reports[0])
        self.assertEqual(set(), kpi_of(self.net).flushing)
        await self.nobody(server, fillers)

    async def test_ghost_reset(self):
        """Nor does one whose client has reset."""
        server, fillers = await self.deaf()
        cut(await self.waiting())
        await ListenerCase.clear(self)
        await self.nobody(server, fillers)

    async def test_shorter_idle(self):
        """A shorter time for silence counts at once, not when the longer one was due."""
        self.begin(ECHO, "settimeouts { connect=0 idle=800 }")
        client = self.client(self.name)
        await self.echoed(client)
        self.run_lines("msg door: settimeouts { connect=0 idle=1 }")
        began = reactor.seconds()
        await self.ended(client)
        self.assertLess(reactor.seconds() - began, 3)
        self.assertEqual((1, 0, 0, 1), self.stats())

    async def test_looks(self):
        """Without a time for silence nobody looks at connections that wait for nothing."""
        self.begin(ECHO)
        for _ in range(3):
            await self.echoed(self.client(self.name))
        looked: list[int] = []

        def carried(connection: Any) -> int:
            looked.append(connection.node.id)
            return 0

        self.patch(self.door, "_carried", carried)
        self.door._look()
        self.assertEqual([], looked)
        self.run_lines("msg door: settimeouts { connect=10 idle=800 }")
        self.door._look()
        self.assertEqual(sorted(self.door.connections), looked)

    async def test_longer_idle(self):
        """A longer one, or none, spares those who are silent, and leaves no timer."""
        self.begin(ECHO, "settimeouts { connect=0 idle=1 }")
        client = self.client(self.name)
        await self.echoed(client)
        self.run_lines("msg door: settimeouts { connect=0 idle=0 }")
        self.assertFalse(self.door._tick.active)
        self.patch(self.net, "clock", lambda: reactor.seconds() + 100)
        self.run_lines("msg door: settimeouts { connect=0 idle=800 }")
        self.door._tick.start(0)
        await self.pause(0.01)
        await self.echoed(client)
        self.assertEqual((1, 1, 0, 0), self.stats())

    async def test_own_type(self):
        """What a node of any type begins, and answers later, is under way until it has."""
        kind = self.net.types["slow"] = NodeType("slow", 1763800001, Slow)
        self.begin('"mkpeer slow x x" "msg .:x begin"', "settimeouts { connect=800 }")
        clients = [self.client(self.name) for _ in range(2)]
        done, _ = await self.until(
            lambda: self.stats()[0] == 2 and [n for n in self.net if n.type is kind]
        )
        assert done.reply is not None
        done.reply(0)
        self.patch(self.net, "clock", lambda: reactor.seconds() + 900)
        self.door._look()
        await self.ended(clients[1])
        await self.echoed(clients[0])
        self.assertEqual((2, 1, 0, 1), self.stats())


class LeftTests(LimitCase):
    """Nothing that a script made outlives its connection."""

    async def tapped(self) -> tuple[socket.socket, socket.socket, socket.socket]:
        """Return a client, its peer, and a tap that sees what passes."""
        server, address = self.server()
        tap, to = self.udp()
        if self.door.backlog is None:
            self.begin(
                f'"mkpeer tee left left" "mkpeer .:left ksocket right {TCP}" '
                f'"mkpeer .:left ksocket left2right {UDP}" "msg .:left.left2right connect {to}" '
                f'"mkpeer .:left hub right2left x" "msg .:left.right2left setpersistent" '
                f'"msg .:left.right connect {address}"'
            )
        client = self.client(self.name)
        peer = await self.accepted(server)
        client.send(b"seen")
        self.assertEqual(b"seen", await self.read(peer, 4))
        self.assertEqual(b"seen", await self.read(tap, 99))
        return client, peer, tap

    async def left(self, gone: bool) -> None:
        """End connections in every way; *gone*: after the end of their listener."""
        ends = (
            ((shut, 0), (shut, 1)),
            ((shut, 1), (shut, 0)),
            ((cut, 0),),
            ((cut, 1),),
            ((shut, 0), (cut, 1)),
        )
        for number, steps in enumerate(ends):
            if number:
                await self.tearDownDoor()
            client, peer, _ = await self.tapped()
            few = self.few
            if gone:
                self.run_lines("shutdown door:")
                few = {self.local.id}
                self.assertGreater(len(self.net.nodes), 4)
            for step, which in steps:
                step((client, peer)[which])
            await self.clear(few)
            client.close()
            peer.close()

    async def tearDownDoor(self) -> None:  # noqa: N802
        """Begin anew with another door."""
        if self.door.valid:
            self.run_lines("shutdown door:")
        self.run_lines("mkpeer listener boot boot", "name .:boot door")
        self.run_lines(
            f"mkpeer door: ksocket socket {TCP}", "msg door:socket bind inet/127.0.0.1:0"
        )
        self.name, self.door = self.ask("door:socket", "getname"), self.node("door:")
        self.few = set(self.net.nodes)

    async def test_tap(self):
        """Neither a tee nor its taps, however the connection ended."""
        await self.left(False)

    async def test_listener_gone(self):
        """Nor when the listener had ended before."""
        await self.left(True)

    async def test_slow_reader(self):
        """The far end stays until its reader has all, then nothing is left; none was cut."""
        server, address = self.server()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
        self.begin(OUT.format(address))
        for gone in (False, True):
            client = self.client(self.name)
            peer = await self.accepted(server)
            shut(peer)
            self.assertEqual(b"", await self.read(client, 1))
            [out] = self.outs()
            out.so.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
            out.so.driver.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 14)
            data = bytes(range(256)) * (3 << 12)
            left = memoryview(data)
            while left:
                try:
                    left = left[client.send(left) :]
                except BlockingIOError:
                    await self.pause(0.001)
            if gone:
                self.run_lines("shutdown door:")
                self.few = {self.local.id}
            client.close()
            await self.until(partial(operator.not_, out.hooks))
            self.assertTrue(out.valid)
            self.assertGreater(out.so.sndcount, 1 << 20)
            if not gone:  # it lives until its last socket has sent what it holds
                self.assertEqual((1, 1, 0, 0), self.stats())
            path = f"[{out.id:x}]:"
            self.assertEqual(e.EISCONN, self.errno(f"connect . {path} again {TCP}"))
            got = await self.read(peer, len(data) + 1)
            self.assertEqual((len(data), True), (len(got), data == got))
            await self.clear()
            if not gone:
                self.assertEqual((1, 0, 0, 0), self.stats())
        self.assertEqual([], self.reports)


class NumberTests(ReactiveCase):
    """Numbers that are none, too large, or far too long."""

    def refused(self, line: str) -> str:
        """Return the sentence by which *line* fails; only an OSError will do."""
        with self.assertRaises(OSError, msg=line[:80]) as caught:
            self.run_lines(line)
        error = caught.exception
        self.assertIsInstance(error.errno, int, line[:80])
        self.assertIn(" ", error.strerror, line[:80])
        return str(error.strerror)

    def test_addresses(self):
        """In an address such a number is refused in words, and the word shown is short."""
        self.run_lines(f"mkpeer ksocket u {UDP}")
        said = self.refused("msg .:u bind inet/127.0.0.0000000001234:5")
        self.assertIn("above 255", said)
        for line in (
            f"127.0.0.{LONG}:5", f"{LONG}.0.0.1:5", f"127.0.0.1:{LONG}", "127.0.0.1:65536",
            "127.0.0.1:99999999999", "127.0.0.1:\N{ARABIC-INDIC DIGIT THREE}", "127.0.0.1:-1",
        ):  # fmt: skip
            self.assertLess(len(self.refused(f"msg .:u bind inet/{line}")), 200)
        self.run_lines("mkpeer ksocket v inet6/dgram/udp")
        for scope in ("99999999999", "4294967296", LONG, ZEROS + "x", ""):
            self.refused(f"msg .:v bind inet6/[::1%{scope}]:0")
        self.refused(f"msg .:v bind inet6/[::1]:{LONG}")
        self.refused(f"msg .:v bind {LONG}/1.2.3.4")
        self.refused(f"msg .:u bind {{ len={LONG} family=2 data=[ 1 ] }}")
        self.refused(f"msg .:u listen {LONG}")

    def test_zeros(self):
        """Zeros in front change no number."""
        self.assertEqual("inet/127.0.0.1:80", SOCKADDR.parse("inet/127.0.0.1:0000000080").text())
        text = f"inet/{ZEROS}127.00.{ZEROS}.01:{ZEROS}80"
        self.assertEqual("inet/127.0.0.1:80", SOCKADDR.parse(text).text())
        for name, words in {
            "0000000000002/2/17": UDP, "inet/dgram/0000000000017": UDP,
            "inet/0000000000001/6": TCP, "inet/0000000002/000000000017": UDP,
        }.items():  # fmt: skip
            node = self.net.make(self.net.type("ksocket"))
            self.run_lines(f"connect . [{node.id:x}]: h {name}")
            self.assertEqual(words, self.node(".:h").status().split()[0], name[:40])
            self.run_lines("rmhook h")

    def test_hook_names(self):
        """In a hook's name such a number is refused."""
        for number in (LONG, "2147483648", "99999999999", "-1", "1_0"):
            for name in (f"{number}/2/17", f"inet/{number}/17", f"inet/dgram/{number}"):
                self.refused(f"mkpeer ksocket h {name}")
        self.assertEqual({}, self.local.hooks)

    def test_options(self):
        """So it is in every option, by its word or by its number."""
        self.run_lines(f"mkpeer ksocket u {UDP}")
        for number in (LONG, "99999999999", "4294967296", "-" + LONG, "0x" + "f" * 5000):
            for word in WORDS:
                self.refused(f"msg .:u setopt {{ {word}={number} }}")
            for word, group in {
                "ip_add_membership": "239.1.1.1", "ip_drop_membership": "239.1.1.1",
                "ipv6_join_group": "ff02::1", "ipv6_leave_group": "ff02::1",
            }.items():  # fmt: skip
                self.refused(f'msg .:u setopt {{ {word}="{group}%{number}" }}')
            self.refused(f"msg .:u setopt {{ level={number} name=4 value=[ 1 ] }}")
            self.refused(f"msg .:u getopt {{ level=0xffff name={number} }}")
            self.refused(f"msg .:u setopt {{ level=0xffff name=4 value=[ {number} ] }}")
            self.refused(f"msg .:u setopt {{ level=0xffff name=4 value=[ {number}=1 ] }}")

    def test_interfaces(self):
        """No number of an interface is beyond a sentence: some fit 32 bits, but not an int."""
        self.run_lines(f"mkpeer ksocket u {UDP}")
        for number in (1 << 31, (1 << 32) - 1):
            for value in (
                f"ip_multicast_if={number}", f"ipv6_multicast_if={number}",
                f'ip_add_membership="239.1.1.1%{number}"',
                f'ip_drop_membership="239.1.1.1%{number}"',
                f'ipv6_join_group="ff02::1%{number}"',
            ):  # fmt: skip
                self.refused(f"msg .:u setopt {{ {value} }}")
