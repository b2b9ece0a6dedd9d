"""The client library: libnetgraph's calls against a daemon in a process of its own."""

from __future__ import annotations

import errno
import os
import select
import socket
import tempfile
import threading
import time

from ngksock import ngd
from ngksock.client import NoAnswerError, NoDaemonError, NodeSocket, connect
from ngksock.client.channel import Channel
from ngksock.netgraph.generic import READS
from ngksock.netgraph.message import GENERIC_COOKIE
from tests.client.daemon import Daemon, DaemonCase

GRAPH = """
mkpeer hub boot boot
name boot fan
msg fan: setpersistent
mkpeer fan: ksocket in inet/dgram/udp
"""
OURS = 1234567  # a cookie that nobody else has


class NodeTests(DaemonCase):
    """A node in the graph, and its end."""

    graph = GRAPH

    def test_unnamed(self) -> None:
        """Without a name the node is called by its id."""
        node = self.connect()
        self.assertEqual(f"[{node.id:x}]", node.name)
        self.assertEqual(f"[{node.id:x}]:", node.address)

    def test_named(self) -> None:
        """The node is in the graph under its name, until it is closed."""
        other = self.connect()
        with connect("me", self.path) as node:
            self.assertEqual("me", node.name)
            self.assertIn(f"id=0x{node.id:x}", other.request_ascii("me:", "nodeinfo"))
        node.close()
        error = self.assertRaises(OSError, other.request_ascii, "me:", "nodeinfo")
        self.assert_errno(errno.ENOENT, error)

    def test_bad_names(self) -> None:
        """A taken name is EADDRINUSE, an illegal one EINVAL, and no node stays behind."""
        before = self.connect().request_ascii(".", "listnames")
        for number, name in ((errno.EADDRINUSE, "fan"), (errno.EINVAL, "a.b")):
            self.assert_errno(number, self.assertRaises(OSError, connect, name, self.path))
        after = self.connect().request_ascii(".", "listnames")
        self.assertEqual(before, after)

    def test_same_name_again(self) -> None:
        """A node that was closed leaves its name free at once."""
        for _ in range(20):
            connect("again", self.path).close()

    def test_shut_down(self) -> None:
        """When the node is shut down what has come can be read, and then all is EPIPE."""
        node, other = self.connect("victim"), self.connect()
        other.send_msg("victim:", OURS, 1, b"last words")
        other.send_msg("victim:", GENERIC_COOKIE, 1)
        self.assertEqual(b"last words", node.recv_msg(5).message.data)
        for call in (node.recv_msg, node.recv_data, lambda: node.send_msg(".", OURS, 1)):
            self.assert_errno(errno.EPIPE, self.assertRaises(OSError, call))

    def test_without_data(self) -> None:
        """A node made without data says so, and can be given it later."""
        node = self.connect(data=False)
        self.assert_errno(errno.EBADF, self.assertRaises(OSError, node.send_data, "x", b"y"))
        node.open_data()
        node.open_data()
        self.assert_errno(errno.EHOSTUNREACH, self.assertRaises(OSError, node.send_data, "x", b""))


class MessageTests(DaemonCase):
    """Messages, in both forms, and their responses."""

    graph = GRAPH

    def test_request(self) -> None:
        """A request returns the response to it."""
        response = self.connect().request("fan:", GENERIC_COOKIE, 6 | READS)
        self.assertTrue(response.is_response)
        self.assertEqual(b"fan", response.data[:3])

    def test_ascii(self) -> None:
        """An ASCII message is converted by the node it is for, its response by its sender."""
        node = self.connect()
        token = node.send_ascii_msg("fan:", "nodeinfo")
        received = node.recv_ascii_msg(5)
        self.assertEqual((token, "nodeinfo"), (received.message.token, received.message.cmdstr))
        self.assertEqual('{ name="fan" type="hub" id=0x2 hooks=1 }', received.text)

    def test_ascii_arguments(self) -> None:
        """Arguments are what follows the first blank, with the blanks in them."""
        node = self.connect()
        node.send_ascii_msg(".", 'mkpeer  { type="hub" ourhook="a  b" peerhook="x" }')
        self.assertIn('"a  b"', node.request_ascii(".", "listhooks"))

    def test_ascii_errors(self) -> None:
        """What cannot be converted has the errno that FreeBSD gives it."""
        node = self.connect()
        for number, path, text in (
            (errno.ENOSYS, "fan:", "nosuch"),
            (errno.ENOENT, "fan:", "name { nosuch=1 }"),
            (errno.EINVAL, "fan:in", "bind nonsense"),
            (errno.EALREADY, "fan:", 'name { name="a" name="b" }'),
            (errno.ENOENT, "nosuch:", "nodeinfo"),
        ):
            self.assert_errno(number, self.assertRaises(OSError, node.send_ascii_msg, path, text))

    def test_late_message(self) -> None:
        """A message that comes first is not taken for the response, and is not lost."""
        node, other = self.connect("patient"), self.connect()
        other.send_msg("patient:", OURS, 1, b"first")
        other.send_msg("patient:", OURS, 2, b"second")
        self.assertIn('name="fan"', node.request_ascii("fan:", "nodeinfo"))
        self.assertEqual(2, node.waiting)
        came = [node.recv_msg(0).message.data for _ in range(2)]
        self.assertEqual([b"first", b"second"], came)

    def test_tokens(self) -> None:
        """Tokens differ, and each response bears that of its request."""
        node = self.connect()
        tokens = [node.send_msg("fan:", GENERIC_COOKIE, 6 | READS) for _ in range(50)]
        self.assertEqual(50, len(set(tokens)))
        for token in reversed(tokens):
            self.assertEqual(token, node.response(token, 5).message.token)

    def test_programs(self) -> None:
        """A program answers another one by the token of its request."""
        asking, answering = self.connect("asking"), self.connect("answering")

        def answer() -> None:
            address, message = answering.recv_msg(10)
            answering.send_reply_msg(address, message, message.data.upper())

        thread = threading.Thread(target=answer)
        thread.start()
        response = asking.request("answering:", OURS, 7, b"hello")
        thread.join()
        self.assertEqual((b"HELLO", 7, True), (response.data, response.cmd, response.is_response))

    def test_no_answer(self) -> None:
        """A program that does not answer is ETIMEDOUT, in the time that was given."""
        node, _ = self.connect(), self.connect("mute")
        began = time.monotonic()
        error = self.assertRaises(NoAnswerError, node.request, "mute:", OURS, 7, b"", 0.1)
        self.assert_errno(errno.ETIMEDOUT, error)
        self.assertLess(time.monotonic() - began, 5)

    def test_itself(self) -> None:
        """A request to the program itself fails at once: it would wait for ever."""
        node = self.connect()
        self.assert_errno(errno.ENOSYS, self.assertRaises(OSError, node.request, ".", OURS, 7))

    def test_nothing_came(self) -> None:
        """Receiving with a time limit, and without waiting, is ETIMEDOUT when nothing comes."""
        node = self.connect()
        for receive in (node.recv_msg, node.recv_data):
            for seconds in (0, 0.02):
                error = self.assertRaises(NoAnswerError, receive, seconds)
                self.assert_errno(errno.ETIMEDOUT, error)

    def test_in_progress(self) -> None:
        """A connect that takes time is no failure, and its outcome is the response."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=1)
        self.addCleanup(listener.close)
        node = self.connect()
        node.send_ascii_msg(
            ".", 'mkpeer { type="ksocket" ourhook="tcp" peerhook="inet/stream/tcp" }'
        )
        port = listener.getsockname()[1]
        self.assertEqual("0", node.request_ascii("tcp", f"connect inet/127.0.0.1:{port}"))

    def test_select(self) -> None:
        """The descriptor is readable when a message waits, and not before."""
        node, other = self.connect("waits"), self.connect()
        self.assertEqual([], select.select([node.fileno()], [], [], 0)[0])
        other.send_msg("waits:", OURS, 1)
        self.assertEqual([node.fileno()], select.select([node.fileno()], [], [], 5)[0])

    def test_long_message(self) -> None:
        """An argument of the greatest length goes and comes unharmed."""
        node, other = self.connect("long"), self.connect()
        data = os.urandom(ngd.PAYLOAD_MAX - 56)
        other.send_msg("long:", OURS, 1, data)
        self.assertEqual(data, node.recv_msg(5).message.data)
        error = self.assertRaises(OSError, other.send_msg, "long:", OURS, 1, data + b"x")
        self.assert_errno(errno.EMSGSIZE, error)


class DataTests(DaemonCase):
    """Packets."""

    graph = GRAPH

    def pair(self) -> tuple[NodeSocket, NodeSocket]:
        """Return two nodes, ``x`` of the one linked to ``y`` of the other."""
        one, two = self.connect(), self.connect()
        one.send_ascii_msg(".", f'connect {{ path="{two.address}" ourhook="x" peerhook="y" }}')
        return one, two

    def test_packets(self) -> None:
        """Packets keep their bounds and their order, and name the hook they came to."""
        one, two = self.pair()
        packets = [b"", b"one", bytes(range(256)), b"", b"z" * ngd.PAYLOAD_MAX]
        for packet in packets:
            one.send_data("x", packet)
            self.assertEqual(("y", packet), two.recv_data(5))

    def test_only_hook(self) -> None:
        """Without a name the packet leaves by the only hook; with two it cannot."""
        one, two = self.pair()
        one.send_data("", b"here")
        self.assertEqual(("y", b"here"), two.recv_data(5))
        one.send_ascii_msg(".", f'connect {{ path="{two.address}" ourhook="x2" peerhook="y2" }}')
        self.assert_errno(errno.EDESTADDRREQ, self.assertRaises(OSError, one.send_data, "", b""))

    def test_no_hook(self) -> None:
        """A hook that is not there is EHOSTUNREACH."""
        one, _ = self.pair()
        error = self.assertRaises(OSError, one.send_data, "nosuch", b"")
        self.assert_errno(errno.EHOSTUNREACH, error)

    def test_too_long(self) -> None:
        """A packet beyond the limit is EMSGSIZE, and the node lives on."""
        one, two = self.pair()
        for size in (ngd.PAYLOAD_MAX + 1, 4 << 20):
            error = self.assertRaises(OSError, one.send_data, "x", bytes(size))
            self.assert_errno(errno.EMSGSIZE, error)
        one.send_data("x", b"on")
        self.assertEqual(("y", b"on"), two.recv_data(5))

    def test_full(self) -> None:
        """Who does not read makes ENOBUFS for who sends, and loses nothing that was taken."""
        one, two = self.pair()
        taken = 0
        error: OSError | None = None
        while error is None and taken < 10_000:
            try:
                one.send_data("x", str(taken).encode())
                taken += 1
            except OSError as full:
                error = full
        assert error is not None, "10,000 packets found room"
        self.assert_errno(errno.ENOBUFS, error)
        came = [two.recv_data(5)[1] for _ in range(taken)]
        self.assertEqual([str(number).encode() for number in range(taken)], came)


class NoDaemonTests(DaemonCase):
    """Where no daemon answers."""

    def test_nobody(self) -> None:
        """A path where nobody listens is told, with what helps."""
        error = self.assertRaises(NoDaemonError, connect, None, "/nowhere/ngd.sock")
        self.assert_errno(errno.ENOENT, error)
        self.assertIn("/nowhere/ngd.sock", str(error))
        self.assertIn('"twistd ngksock"', str(error))

    def test_stale(self) -> None:
        """A socket that its daemon left behind is ECONNREFUSED; so is a file."""
        path = tempfile.mktemp(prefix="ngk", dir="/tmp")
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            sock.bind(path)
        self.addCleanup(os.unlink, path)
        self.assert_errno(errno.ECONNREFUSED, self.assertRaises(NoDaemonError, connect, None, path))
        error = self.assertRaises(NoDaemonError, connect, None, __file__)
        self.assert_errno(errno.ECONNREFUSED, error)

    def test_strange_paths(self) -> None:
        """A folder, a path that is too long and a socket of another kind are no daemon."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            path = tempfile.mktemp(prefix="ngk", dir="/tmp")
            sock.bind(path)
            sock.listen()
            self.addCleanup(os.unlink, path)
            for number, place in (
                (errno.EPROTOTYPE, path),
                (errno.ECONNREFUSED, "/tmp"),
                (errno.ENAMETOOLONG, "/tmp/" + "x" * 200),
            ):
                error = self.assertRaises(NoDaemonError, connect, None, place)
                self.assert_errno(number, error)

    def test_usual_place(self) -> None:
        """Without a path it is $NGD_SOCKET that is tried."""
        self.patch(os, "environ", {"NGD_SOCKET": "/nowhere/else.sock"})
        self.assertEqual("/nowhere/else.sock", ngd.default_path(os.environ))

    def test_silent_daemon(self) -> None:
        """Something that listens and says nothing is ETIMEDOUT."""
        path = tempfile.mktemp(prefix="ngk", dir="/tmp")
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            sock.bind(path)
            sock.listen()
            self.addCleanup(os.unlink, path)
            error = self.assertRaises(NoAnswerError, connect, None, path, timeout=0.1)
            self.assert_errno(errno.ETIMEDOUT, error)

    def test_late_reply(self) -> None:
        """A reply that comes when its call was given up is not taken for the next one's."""
        path = tempfile.mktemp(prefix="ngk", dir="/tmp")
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            sock.bind(path)
            sock.listen()
            self.addCleanup(os.unlink, path)
            thread = threading.Thread(target=self._serve_late, args=(sock,))
            thread.start()
            channel = Channel(ngd.CONTROL, path, 0.2)
            self.assertRaises(NoAnswerError, channel.call, ngd.GETNAME)
            channel.timeout = 10
            self.assertEqual(b"second", channel.call(ngd.GETNAME))
            channel.close()
            thread.join()

    @staticmethod
    def _serve_late(listener: socket.socket) -> None:
        """Be a daemon that answers its second call together with the third."""
        with listener.accept()[0] as sock:
            hello = ngd.Call.unpack(sock.recv(ngd.CALL_MAX))
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            welcome = ngd.Reply(ngd.HELLO, hello.seq, 0, ngd.Welcome(1, 131072).pack())
            socket.send_fds(sock, [welcome.pack()], [theirs.fileno()])
            calls = [ngd.Call.unpack(sock.recv(ngd.CALL_MAX)) for _ in range(2)]
            for call, body in zip(calls, (b"first", b"second"), strict=True):
                sock.send(ngd.Reply(ngd.GETNAME, call.seq, 0, body).pack())
            sock.recv(1)
            ours.close()
            theirs.close()

    def test_daemon_ends(self) -> None:
        """When the daemon ends, whoever waits and whoever calls is told that it has gone."""
        with Daemon() as running:
            node = connect("alone", running.path)
            self.addCleanup(node.close)
        for call in (lambda: node.recv_msg(5), lambda: node.recv_data(5), lambda: node.name):
            self.assertRaises(NoDaemonError, call)
