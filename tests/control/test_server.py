"""The server without a process: turns are made by hand, and faults are planted."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import shutil
import socket
import struct
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from ngksock.kpi.local import Paths
from ngksock.netgraph import Graph, Hook, Item, Message, Node, Packet
from ngksock.plugin import NodeType, find_type
from ngksock.service.control import ControlServer, alone, server
from ngksock.service.control.peer import Peer
from tests.control import rawclient as raw
from tests.control.rawclient import BIND, CONTROL, DATA, GETNAME, SEND, EndedError, RawSocket


class Loop(Node):
    """Sends itself each message that it gets, for ever."""

    def rcvmsg(self, item: Item, lasthook: Hook | None) -> None:
        self.graph.deliver(self, Item(item.message, self.id))


loop = NodeType("loop", 4711, Loop)


class ServerTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="ngk"))
        self.addCleanup(shutil.rmtree, folder)
        self.reactor = MemoryReactorClock()
        self.graph = Graph(
            find_type, lambda work: self.reactor.callLater(0, work), self.reactor.seconds,
            lambda sentence, error: self.fail(f"{sentence}: {error}"),
        )  # fmt: skip
        self.path = str(folder / "c")
        self.server = ControlServer(self.graph, self.reactor, self.path)
        self.addCleanup(self.server.close)

    def client(self, kind: int | None = CONTROL) -> RawSocket:
        """Return a client that was accepted, and welcomed."""
        sock = RawSocket(self.path, None)
        self.addCleanup(sock.close)
        self.turn()
        if kind is not None:
            sock.seq = 1
            sock.calls.send(raw.call(raw.HELLO, 1, b"", raw.hello(kind)))
            self.turn()
            reply, numbers = sock.reply()
            sock.events = socket.socket(fileno=numbers[0])
            sock.node = struct.unpack_from("=I", reply, 16)[0]
        return sock

    def turn(self) -> None:
        """Read whatever there is to be read, once."""
        for reader in list(self.reactor.getReaders()):
            reader.doRead()

    def code(self, sock: RawSocket, op: int, address: bytes = b"", payload: bytes = b"") -> int:
        """Do a call; return its errno."""
        sock.calls.send(raw.call(op, 7, address, payload))
        self.turn()
        number: int = struct.unpack_from("=i", sock.reply()[0], 8)[0]
        return number

    def test_bug(self) -> None:
        """An exception that no call should raise is EIO and one traceback; all go on."""

        def fail(*_: object) -> None:
            raise ZeroDivisionError("planted")

        sock = self.client()
        patched = self.patch(self.graph, "find", fail)
        ask = raw.message(raw.GENERIC, raw.NODEINFO)
        self.assertEqual(errno.EIO, self.code(sock, SEND, b".", ask))
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        patched.restore()
        self.assertEqual(0, self.code(sock, SEND, b".", ask))

    def test_bug_in_hello(self) -> None:
        """The same in HELLO."""

        def fail(*_: object) -> None:
            raise ZeroDivisionError("planted")

        sock = self.client(None)
        patched = self.patch(self.graph, "add", fail)
        self.assertEqual(errno.EIO, self.code(sock, raw.HELLO, b"", raw.hello(CONTROL)))
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        patched.restore()
        self.assertEqual(0, self.code(sock, raw.HELLO, b"", raw.hello(CONTROL)))

    def test_error_without_number(self) -> None:
        """An OSError that has no errno, or none that a reply can tell, is EIO."""
        sock = self.client()
        for error in (OSError("no number"), OSError(-5, ""), OSError(1 << 31, ""), OSError("", "")):

            def fail(*_: object, error: OSError = error) -> None:
                raise error

            self.patch(self.graph, "find", fail)
            self.assertEqual(errno.EIO, self.code(sock, SEND, b".", raw.message(1, 1)))

    def test_storm(self) -> None:
        """Guarantee 3 holds at a node for which hundreds of messages always wait."""
        node = Loop()
        self.graph.add(loop, node)
        for _ in range(600):
            self.graph.work.enter()
            self.graph.work.enter()  # so that it is busy: nothing is delivered at once
            node.busy += 1
            self.graph.deliver(node, Item(Message(4711, 1), node.id))
            node.busy -= 1
            self.graph.work.leave()
            self.graph.work.leave()
        self.assertGreater(len(self.graph.work), 500)
        sock = self.client()
        for turn in range(5):
            ask = raw.message(raw.GENERIC, raw.NODEINFO, token=turn)
            path = f"[{node.id:x}]:".encode()
            self.assertEqual(0, self.code(sock, SEND, path, ask))
            self.assertTrue(sock.pending(), "the response is there")
            self.assertEqual(turn, sock.message().token)

    def test_end_of_stream(self) -> None:
        """The mark at the end of a stream does not cross the wire; an empty packet does."""
        sock, data = self.client(), self.client(DATA)
        path = f"[{sock.node:x}]:".encode()
        self.assertEqual(0, self.code(data, raw.CONNECT, path))
        link = raw.field(".", 512) + raw.field("a") + raw.field("b")
        link = raw.message(raw.GENERIC, raw.LINK, link)
        self.assertEqual(0, self.code(sock, SEND, b".", link))
        hook = self.graph.nodes[sock.node].hooks["a"]
        hook.send_data(Packet(b"", eof=True))
        self.assertFalse(data.pending())
        hook.send_data(Packet(b""))
        self.assertEqual([("b", b"")], data.drain())

    def test_silent(self) -> None:
        """Five seconds without a HELLO are enough; a client in use is not closed."""
        sock, used = self.client(None), self.client()
        self.reactor.advance(4.9)
        self.assertEqual(2, len(self.server.connections))
        self.reactor.advance(0.2)
        self.assertRaises(EndedError, sock.reply)
        self.assertEqual(0, self.code(used, GETNAME))
        self.assertEqual([], self.reactor.getDelayedCalls())

    def test_ends_in_hello(self) -> None:
        """Several that said HELLO and went, swept up by one another: nothing stays."""
        for kinds in ((CONTROL, CONTROL), (DATA, CONTROL, DATA, CONTROL, CONTROL)):
            socks = [self.client(None) for _ in kinds]
            for sock, kind in zip(socks, kinds, strict=True):
                sock.calls.send(raw.call(raw.HELLO, 1, b"", raw.hello(kind)))
                sock.calls.send(raw.call(BIND, 2, b"same"))
                sock.close()
            self.turn()
            self.turn()
            self.assertEqual(({}, {}), (self.server.connections, self.server.attachments))
            self.assertEqual({}, self.graph.nodes)

    def test_swept(self) -> None:
        """Guarantee 5 in one turn: the HELLO is read before the end that came before it."""
        first, second = self.client(), self.client(None)
        self.assertEqual(0, self.code(first, BIND, b"same"))
        first.close()
        second.calls.send(raw.call(raw.HELLO, 1, b"", raw.hello(CONTROL)))
        (connection,) = [c for c in self.server.connections if not c.kind]
        connection.doRead()
        self.assertEqual({}, self.graph.names)
        self.assertEqual(1, len(self.server.connections))

    def test_ended_before_a_call(self) -> None:
        """Who closes is gone for the next call of anybody, as on FreeBSD, not for HELLO alone."""
        first, second, data = self.client(), self.client(), self.client(DATA)
        self.assertEqual(0, self.code(first, BIND, b"same"))
        self.assertEqual(0, self.code(data, raw.CONNECT, b"same:"))
        (connection,) = [c for c in self.server.connections if c.attachment and c.kind == CONTROL
                         and c.attachment.node.id == second.node]  # fmt: skip
        first.close()
        data.close()
        second.calls.send(raw.call(BIND, 7, b"same"))
        connection.doRead()
        self.assertEqual(bytes(4), second.reply()[0][8:])
        self.assertEqual({"same"}, set(self.graph.names))
        self.assertEqual(1, len(self.server.connections))

    def test_reset(self) -> None:
        """What a client sent is done, though it went with a reply unread."""
        sock, other = self.client(), self.client()
        sock.calls.send(raw.call(GETNAME, 1))
        self.turn()
        rename = raw.message(raw.GENERIC, raw.NAME, raw.field("late"))
        sock.calls.send(raw.call(SEND, 2, b"[%x]:" % other.node, rename))
        sock.close()
        for _ in range(3):
            self.turn()
        self.assertEqual({"late"}, set(self.graph.names))
        self.assertEqual(1, len(self.server.connections))

    def test_closed(self) -> None:
        """A server that is closed lets nobody in, and ends everything."""
        sock = self.client()
        self.server.close()
        self.server.close()
        self.assertRaises(EndedError, sock.reply)
        self.assertRaises(EndedError, sock.event)
        self.assertEqual(([], {}), (self.reactor.getReaders(), self.graph.nodes))
        self.assertRaises(FileNotFoundError, RawSocket, self.path)

    def test_connection_lost(self) -> None:
        """What the reactor finds broken is closed."""
        sock = self.client()
        for reader in list(self.reactor.getReaders()):
            reader.connectionLost(None)
            self.assertTrue(reader.logPrefix())
        self.assertRaises(EndedError, sock.reply)
        self.assertEqual([], self.reactor.getReaders())

    def test_spurious(self) -> None:
        """A turn with nothing to read does nothing."""
        sock = self.client()
        self.turn()
        self.assertEqual(0, self.code(sock, GETNAME))

    def test_peer_gone(self) -> None:
        """A client that went before it was accepted leaves nothing."""
        RawSocket(self.path, None).close()
        self.turn()
        self.turn()
        self.assertEqual({}, self.server.connections)
        self.assertEqual([], self.reactor.getDelayedCalls())

    def test_limits(self) -> None:
        """Connections get half of the descriptors, but for a reserve, and never none."""
        for limit, most in (
            (1024, 448), (200, 36), (64, 2), (1 << 20, 4096),
            (resource.RLIM_INFINITY, 4096),
        ):  # fmt: skip
            self.patch(resource, "getrlimit", lambda _, limit=limit: (limit, limit))
            self.assertEqual(most, server.connections_max())

    def test_too_many(self) -> None:
        """Beyond that HELLO is ENOBUFS."""
        self.client()
        self.patch(server, "connections_max", lambda: 1)
        sock = self.client(None)
        hello = raw.hello(DATA)
        self.assertEqual(errno.ENOBUFS, self.code(sock, raw.HELLO, b"", hello))

    def test_silent_ones_count(self) -> None:
        """Clients that say nothing leave the graph its descriptors; the log tells of it once."""
        self.patch(server, "connections_max", lambda: 1)
        self.patch(server, "SPARE", 1)
        with capturedLogs() as events:
            socks = [self.client(None) for _ in range(5)]
            self.turn()
            for sock in socks[:3]:
                self.assertEqual(2, len(self.server.connections))
                sock.close()
                self.turn()
                self.reactor.advance(0)
                self.turn()
        self.assertEqual(2, len(self.server.connections))
        told = [formatEvent(event) for event in events]
        self.assertEqual(1, len([line for line in told if "cannot accept a client" in line]), told)
        self.assertEqual(0, self.code(socks[3], raw.HELLO, b"", raw.hello(DATA)), "one to spare")

    def test_alone(self) -> None:
        """Of two daemons that start neither takes the other's new socket for a stale one."""
        folder = os.open(os.path.dirname(self.path), os.O_RDONLY)
        self.addCleanup(os.close, folder)
        bind = Paths.bind

        def look(paths: Paths, *given: Any) -> None:
            with self.assertRaises(BlockingIOError):
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            bind(paths, *given)

        self.patch(Paths, "bind", look)
        ControlServer(self.graph, self.reactor, self.path + "2").close()
        self.patch(Paths, "bind", bind)
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)  # and whoever keeps it stops nobody
        self.patch(alone, "PATIENCE", 0.02)
        ControlServer(self.graph, self.reactor, self.path + "3").close()

    def test_file_goes_first(self) -> None:
        """The file is removed while it answers: later it might be that of another daemon."""
        answered = []
        release = Paths.release

        def look(paths: Paths, path: bytes) -> None:
            RawSocket(self.path, None).close()
            answered.append(path)
            release(paths, path)

        self.patch(Paths, "release", look)
        self.server.close()
        self.assertEqual([self.path.encode()], answered)

    def test_too_long(self) -> None:
        """A path that no address has room for."""
        error = self.assertRaises(
            OSError, ControlServer, self.graph, self.reactor, "/tmp/" + "x" * 103
        )
        self.assertEqual(errno.ENAMETOOLONG, error.errno)


class PeerTests(SynchronousTestCase):
    def test_may_control(self) -> None:
        """Root, whom the daemon acts as (with --euid too), and the members of a group."""
        self.patch(os, "geteuid", lambda: 4242)
        for uid, group, may in ((0, None, True), (4242, None, True), (7, None, False),
                                (7, 70, True), (7, 71, False)):  # fmt: skip
            peer = Peer(1, uid, frozenset({70}))
            self.assertEqual(may, peer.may_control(group), (uid, group))
