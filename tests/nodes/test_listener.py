"""The listener node: a script for each connection, limits, times, and counters."""

from __future__ import annotations

import errno as e
import socket
from typing import Any

from ngksock.netgraph.ngctl import LineError
from ngksock.nodes.ksocket.address import SOCKADDR
from ngksock.nodes.ksocket.option import SOCKOPT
from ngksock.nodes.ksocket.tls import SETTLS
from ngksock.nodes.listener import listener
from ngksock.testing import GraphTestCase, check_node_type
from tests.nodes.reactive import TCP, ReactiveCase

OUT = f'"mkpeer ksocket out {TCP}" "msg .:out connect {{}}"'
ECHO = '"mkpeer echo back back"'


class ListenerCase(ReactiveCase):
    """A case with a listener called ``door`` on a free port."""

    def setUp(self) -> None:
        super().setUp()
        self.run_lines("mkpeer listener boot boot", "name .:boot door")
        self.run_lines(
            f"mkpeer door: ksocket socket {TCP}", "msg door:socket bind inet/127.0.0.1:0"
        )
        self.name = self.ask("door:socket", "getname")
        self.door = self.node("door:")
        self.few = set(self.net.nodes)

    def begin(self, script: str, *messages: str) -> None:
        """Set the script, send the messages, and start."""
        self.run_lines(f"msg door: setscript {{ lines=[ {script} ] }}")
        self.run_lines(*(f"msg door: {text}" for text in messages), "msg door: start 64")

    def stats(self) -> tuple[int, int, int, int]:
        """Return how many were accepted, are active, have failed, have timed out."""
        stats = self.door.getstats()
        return stats.accepted, stats.active, stats.failed, stats.timedout

    async def clear(self) -> None:
        """Wait until the nodes are those that were there at first."""
        await self.until(lambda: set(self.net.nodes) == self.few)

    async def echoed(self, client: socket.socket, data: bytes = b"hello") -> None:
        """Send *data* and see it come back."""
        client.send(data)
        self.assertEqual(data, await self.read(client, len(data)))


class MessageTests(ListenerCase):
    """The messages, before any connection."""

    def test_conforms(self):
        """A listener keeps the promises of all types."""
        check_node_type(listener, hooks=("socket", "a", "b"), examples=20)

    def test_script(self):
        """The script is told as it was set, quotes, blanks and all."""
        text = '{ lines=[ "mkpeer echo a b" "name . \\"x\\"" ] }'
        self.run_lines(f"msg door: setscript {text}")
        self.assertEqual(text, self.ask("door:", "getscript"))
        self.assertEqual(f"msg . setscript {text}", self.door.config()[0])

    def test_bad_scripts(self):
        """A line that can never work is refused with its number, and the old script stays."""
        self.run_lines(f"msg door: setscript {{ lines=[ {ECHO} ] }}")
        for line, said in {
            "nonsense": "line 2", "mkpeer echo": "usage", "read x": "cannot be used here",
            "write a 1": "cannot be used here", "quit": "cannot be used here",
        }.items():  # fmt: skip
            with self.assertRaises(LineError, msg=line) as caught:
                self.run_lines(f'msg door: setscript {{ lines=[ {ECHO} "{line}" ] }}')
            self.assertEqual(e.EINVAL, caught.exception.errno)
            self.assertIn(said, str(caught.exception))
        self.assertEqual(f"{{ lines=[ {ECHO} ] }}", self.ask("door:", "getscript"))

    def test_lasting(self):
        """An argument of a script is packed once, unless it names an interface."""
        for layout, lasting, passing in (
            (SOCKADDR, "inet6/[::1]:80", "inet6/[fe80::1%lo]:80"),
            (SOCKOPT, "{ tcp_nodelay=1 }", "{ so_bindtodevice=lo }"),
            (SETTLS, '{ verify=0 alpn=[ "h2" ] }', None),
        ):
            self.assertTrue(layout.lasts(lasting), lasting)
            self.assertFalse(passing is not None and layout.lasts(passing), passing)

    def test_no_socket(self):
        """start without a socket is ENOTCONN, and of one that cannot listen its errno."""
        self.run_lines("mkpeer listener other other")
        self.assertEqual(e.ENOTCONN, self.errno("msg .:other start 5"))
        self.run_lines("mkpeer .:other ksocket socket inet/dgram/udp")
        self.run_lines('msg .:other setscript { lines=[ "mkpeer echo e e" ] }')
        self.assertEqual(e.EOPNOTSUPP, self.errno("msg .:other start 5"))
        self.assertTrue(self.node(".:other").status().startswith("stopped; "))

    def test_settings(self):
        """Limit, timeouts and start are told by config; the status says the same in words."""
        self.begin(ECHO, "setlimit 7", "settimeouts { connect=3 idle=4 }")
        self.assertEqual(
            ["msg . setlimit 7", "msg . settimeouts { connect=3 idle=4 }", "msg . start 64"],
            self.door.config()[1:],
        )
        self.assertEqual(
            "accepting; active 0 of at most 7, accepted 0, failed 0, timed out 0",
            self.door.status(),
        )
        self.run_lines("msg door: stop")
        self.assertNotIn("msg . start 64", self.door.config())

    def test_ends(self):
        """It ends when its socket goes, not when an anchor does."""
        self.run_lines("mkpeer door: hub anchor x", "rmhook door: anchor", "rmhook boot")
        self.assertTrue(self.door.valid)
        self.run_lines("rmhook door: socket")
        self.assertEqual([self.local.id], list(self.net.nodes))


class ConnectionTests(ListenerCase):
    """What becomes of connections."""

    async def test_forward(self):
        """Two scripts' lines make a forwarder; when both ends are done nothing is left."""
        server, address = self.server()
        self.begin(OUT.format(address))
        client = self.client(self.name)
        peer = await self.accepted(server)
        client.send(b"there")
        self.assertEqual(b"there", await self.read(peer, 5))
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(b"", await self.read(peer, 1))
        peer.send(b"and back")
        peer.close()
        self.assertEqual(b"and back", await self.read(client, 9))
        await self.clear()
        self.assertEqual((1, 0, 0, 0), self.stats())
        self.assertEqual([], self.reports)

    async def test_many(self):
        """Connections live side by side; counters count, and are cleared."""
        self.begin(ECHO)
        clients = [self.client(self.name) for _ in range(20)]
        for number, client in enumerate(clients):
            await self.echoed(client, b"%d" % number)
        self.assertEqual("{ accepted=20 active=20 }", self.ask("door:", "getstats"))
        self.assertEqual("{ accepted=20 active=20 }", self.ask("door:", "getclrstats"))
        self.assertEqual("{ active=20 }", self.ask("door:", "getstats"))
        for client in clients:
            client.close()
        await self.clear()
        self.run_lines("msg door: clrstats")
        self.assertEqual((0, 0, 0, 0), self.stats())

    async def test_limit(self):
        """Beyond the limit connections wait in the backlog, until one ends or it is raised."""
        self.begin(ECHO, "setlimit 1")
        clients = [self.client(self.name) for _ in range(3)]
        await self.echoed(clients[0])
        clients[1].send(b"second")
        await self.pause(0.05)
        self.assertEqual((1, 1, 0, 0), self.stats())
        clients[0].close()
        self.assertEqual(b"second", await self.read(clients[1], 6))
        self.run_lines("msg door: setlimit 0")
        await self.echoed(clients[2])
        self.assertEqual((3, 2, 0, 0), self.stats())

    async def test_stop(self):
        """stop leaves what comes in the backlog, and what is there alone; start goes on."""
        self.begin(ECHO)
        first = self.client(self.name)
        await self.echoed(first)
        self.run_lines("msg door: stop")
        second = self.client(self.name)
        second.send(b"wait")
        await self.pause(0.05)
        self.assertEqual((1, 1, 0, 0), self.stats())
        await self.echoed(first)
        self.run_lines("msg door: start 64")
        self.assertEqual(b"wait", await self.read(second, 4))

    async def test_script_fails(self):
        """A script that fails closes its connection, says which line, and harms no other."""
        self.begin(f'{ECHO} "name .:back only"')
        first = self.client(self.name)
        await self.echoed(first)
        second = self.client(self.name)
        self.assertEqual(b"", await self.read(second, 1))
        await self.echoed(first)
        self.assertEqual((2, 1, 1, 0), self.stats())
        [report] = self.reports
        self.assertIn('"name .:back only": EADDRINUSE', report)

    async def test_connect_fails(self):
        """A connect that fails later closes its connection, and is logged with its line."""
        server, address = self.server()
        server.close()
        self.begin(OUT.format(address))
        client = self.client(self.name)
        self.assertEqual(b"", await self.read(client, 1))
        await self.clear()
        self.assertEqual((1, 0, 1, 0), self.stats())
        self.assertTrue(
            any(f'"msg .:out connect {address}": ECONNREFUSED' in r for r in self.reports),
            self.reports,
        )

    async def test_connect_times_out(self):
        """A connect that nobody answers is given up after its time."""
        deaf = self.owned(socket.socket())
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        fillers = [self.owned(socket.socket()) for _ in range(4)]
        for filler in fillers:
            filler.connect_ex(deaf.getsockname())
        self.begin(
            OUT.format("inet/{}:{}".format(*deaf.getsockname())), "settimeouts { connect=1 }"
        )
        client = self.client(self.name)
        self.assertEqual(b"", await self.read(client, 1))
        await self.clear()
        self.assertEqual((1, 0, 0, 1), self.stats())
        self.assertIn("ETIMEDOUT", self.reports[0])

    async def test_idle(self):
        """A connection that is silent for its time ends; one that is not lives."""
        self.begin(ECHO, "settimeouts { idle=1 }")
        silent, busy = self.client(self.name), self.client(self.name)
        ended: list[bytes] = []
        while not ended:
            await self.echoed(busy)
            await self.pause(0.1)
            try:
                ended.append(silent.recv(1))
            except BlockingIOError:
                continue
        self.assertEqual([b""], ended)
        await self.echoed(busy)
        self.assertEqual((2, 1, 0, 1), self.stats())

    async def test_longer_chain(self):
        """All that a script made ends with its connection, a reset one too."""
        server, address = self.server()
        self.begin(
            f'"mkpeer tee left left" "mkpeer .:left ksocket right {TCP}" '
            f'"msg .:left.right connect {address}"'
        )
        client = self.client(self.name)
        peer = await self.accepted(server)
        client.send(b"x")
        self.assertEqual(b"x", await self.read(peer, 1))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        with self.assertRaises(ConnectionResetError):  # no end of file: the stream was cut
            await self.read(peer, 1)
        await self.clear()

    async def test_listener_gone(self):
        """Connections outlive their listener."""
        self.begin(ECHO)
        client = self.client(self.name)
        await self.echoed(client)
        self.run_lines("shutdown door:")
        await self.echoed(client)

    async def test_no_script(self):
        """Without a script there is nothing to start."""
        self.run_lines("mkpeer listener bare bare")
        self.run_lines("mkpeer .:bare ksocket socket inet/stream/tcp")
        self.assertEqual(e.EINVAL, self.errno("msg .:bare start 5"))

    async def test_loose_end(self):
        """A connection to which the script links nothing is closed, and has failed."""
        self.begin('"msg . setopt { tcp_nodelay=1 }"')
        client = self.client(self.name)
        self.assertEqual(b"", await self.read(client, 1))
        await self.until(lambda: self.stats() == (1, 0, 1, 0))

    async def test_ends_itself(self):
        """What a script makes after it has ended its connection ends too."""
        self.run_lines("mkpeer door: hub x y", "name door:x wall")
        self.few = set(self.net.nodes)
        self.begin('"mkpeer echo a a" "shutdown ." "mkpeer wall: hub later x"')
        client = self.client(self.name)
        self.assertEqual(b"", await self.read(client, 1))
        await self.clear()
        self.assertEqual((1, 0, 1, 0), self.stats())
        self.assertEqual(["y"], list(self.node("wall:").hooks))

    async def test_new_script(self):
        """A script that is set while connects of the one before are under way has its own."""
        server, address = self.server()
        self.begin(OUT.format(address))
        first = self.client(self.name)
        await self.until(lambda: self.stats()[0])
        peer = await self.accepted(server)
        self.run_lines(f"msg door: setscript {{ lines=[ {ECHO} ] }}")
        await self.echoed(self.client(self.name))
        self.assertEqual((2, 2, 0, 0), self.stats())
        first.close()
        peer.close()
        await self.until(lambda: self.stats()[1] == 1)

    async def test_limit_lowered(self):
        """A limit that is lowered holds for the next connection already."""
        self.begin(ECHO)
        first = self.client(self.name)
        await self.echoed(first)
        self.run_lines("msg door: setlimit 1")
        second = self.client(self.name)
        second.send(b"wait")
        lower = self.node("door:socket").so
        await self.until(lambda: lower.so_comp)
        self.assertEqual((1, 1, 0, 0), self.stats())
        self.run_lines("msg door: setlimit 2")
        self.assertEqual(b"wait", await self.read(second, 4))
        self.assertEqual((2, 2, 0, 0), self.stats())

    async def test_graph_closed(self):
        """When the graph is closed connections that wait are not let in where others end."""
        self.begin(ECHO, "setlimit 1")
        await self.echoed(self.client(self.name))
        waiting = self.client(self.name)
        lower = self.node("door:socket").so
        await self.until(lambda: lower.so_comp)
        self.net.close()
        self.assertEqual({}, self.net.nodes)
        self.assertEqual((1, 0, 0, 0), self.stats())
        with self.assertRaises(ConnectionResetError):
            await self.read(waiting, 1)

    async def test_script_emptied(self):
        """A connection for which there is no line any more has failed, and none is blamed."""
        self.begin(ECHO)
        await self.echoed(self.client(self.name))
        self.run_lines("msg door: setscript { lines=[ ] }")
        self.assertEqual(b"", await self.read(self.client(self.name), 1))
        [report] = self.reports
        self.assertIn("connection [6]: ENOTCONN (", report)

    async def test_own_accept(self):
        """What a socket of a script's own accepts is no connection of the listener's."""
        self.begin(
            f'"mkpeer hub h h" "mkpeer .:h ksocket k {TCP}" "msg .:h.k bind inet/127.0.0.1:0" '
            '"msg .:h.k listen 5" "msg .:h.k accept"'
        )
        self.client(self.name)
        await self.until(lambda: self.stats()[0])
        inner: Any
        [inner] = (node.hooks["k"].peer.node for node in self.net if "k" in node.hooks)
        self.client(SOCKADDR.unparse(inner.getname()))
        await self.until(lambda: inner.embryos)
        self.client(self.name)
        await self.until(lambda: self.stats() == (2, 2, 0, 0))
        self.assertEqual([], self.reports)

    async def test_neighbour(self):
        """A connection that a script has another listener accept is that one's, and outlives it."""
        self.run_lines(
            "mkpeer listener other other",
            "name .:other next",
            f"mkpeer next: ksocket socket {TCP}",
            "msg next:socket bind inet/127.0.0.1:0",
            f"msg next: setscript {{ lines=[ {ECHO} ] }}",
            "msg next: setlimit 1",
            "msg next: start 5",
        )
        name = self.ask("next:socket", "getname")
        await self.echoed(self.client(name))
        waiting = self.client(name)
        lower = self.node("next:socket").so
        await self.until(lambda: lower.so_comp)
        self.begin(f'{ECHO} "msg next: setlimit 0"')
        client = self.client(self.name)
        await self.echoed(client)
        await self.echoed(waiting)
        client.close()
        await self.until(lambda: self.stats()[1] == 0)
        await self.echoed(waiting)


class RehearsalTests(GraphTestCase):
    """In a dry run ``start`` tries the script on a connection that does not exist."""

    def setUp(self) -> None:
        super().setUp()
        self.net.checking = True
        self.graph("mkpeer listener boot boot", "name boot door")
        self.graph(f"mkpeer door: ksocket socket {TCP}")

    def test_leaves_nothing(self):
        """What the script makes, names too, is gone again: it may be tried twice."""
        script = f'"mkpeer hub mid in" "mkpeer .:mid ksocket out {TCP}" "name .:mid.out end"'
        self.graph(f"msg door: setscript {{ lines=[ {script} ] }}")
        before = list(self.net)
        for _ in range(2):
            self.graph("msg door: start 5", "msg door: stop")
            self.assertEqual(before, list(self.net))

    def test_finds(self):
        """A line that cannot work is named, once: what it left behind is no second error."""
        script = f'"mkpeer hub mid in" "name .:mid end" "msg .:out connect inet/127.0.0.1:9" {ECHO}'
        self.graph(f"msg door: setscript {{ lines=[ {script} ] }}")
        before = list(self.net)
        for _ in range(2):
            with self.assertRaises(LineError) as caught:
                self.graph("msg door: start 5")
            self.assertIn("script line 3", str(caught.exception))
            self.assertEqual(before, list(self.net))
