"""The client library against what is no daemon, or one that is out of its mind."""

from __future__ import annotations

import errno
import os
import socket
import struct
import threading

from ngksock import ngd
from ngksock.client import NoAnswerError, NoDaemonError, NodeSocket, connect
from ngksock.client.channel import room
from ngksock.netgraph.message import Message
from tests.client.daemon import DaemonCase
from tests.client.impostor import Impostor, Peer, Serve
from tests.integration.service import until

EMPTY = Message(1234567, 1).pack()


def descriptors() -> set[str]:
    """Return the descriptors of this process."""
    return set(os.listdir("/proc/self/fd"))


class ImpostorTests(DaemonCase):
    """Everything it may say is an OSError, in time."""

    def setUp(self) -> None:
        """Have no daemon: each test has its impostor."""

    def node(self, serve: Serve, timeout: float | None = 10.0) -> NodeSocket:
        """Return a node of an impostor."""
        node = connect(None, Impostor(self, serve).start(), data=False, timeout=timeout)
        self.addCleanup(node.close)
        return node

    def test_no_hello(self) -> None:
        """What answers HELLO with nonsense, or in another version, is no daemon of ours."""

        def nonsense(peer: Peer) -> None:
            peer.call()
            peer.sock.send(b"xyz")
            peer.wait()

        def another(peer: Peer) -> None:
            peer.reply(peer.call(), struct.pack("=H", 2), errno.EPROTO)
            peer.wait()

        def no_channel(peer: Peer) -> None:
            peer.reply(peer.call(), ngd.Welcome(1, 131072).pack())
            peer.wait()

        def short(peer: Peer) -> None:
            peer.welcome(b"12")
            peer.wait()

        def newer(peer: Peer) -> None:
            peer.welcome(ngd.Welcome(1, 131072, version=9).pack())
            peer.wait()

        for serve, why in (
            (nonsense, "a reply of 3 bytes"), (another, "it serves version 2 of NGD"),
            (no_channel, "it gave no event channel"), (short, "a welcome of 2 bytes"),
            (newer, "it speaks version 9 of NGD"),
        ):  # fmt: skip
            path = Impostor(self, serve).start()
            error = self.assertRaises(NoDaemonError, connect, None, path)
            self.assert_errno(errno.EPROTO, error)
            self.assertEqual(f"what answers at {path} is no daemon of ours: {why}", error.strerror)

    def test_descriptors(self) -> None:
        """Descriptors that are no event channel are closed at once."""

        def a_file(peer: Peer) -> None:
            with open(os.devnull, "rb") as null:
                peer.welcome(given=null.fileno())
            peer.wait()

        def again(peer: Peer) -> None:
            peer.welcome()
            call = peer.call()
            reply = ngd.Reply(call.op, call.seq, 0, b"me").pack()
            socket.send_fds(peer.sock, [reply], [peer.theirs.fileno()])
            peer.events.send(ngd.Event(ngd.CONTROL, "[1]:", EMPTY).pack())
            peer.wait()

        path = Impostor(self, a_file).start()
        for _ in range(2):  # the first one may import something
            before = descriptors()
            self.assertRaises(NoDaemonError, connect, None, path)
        # Three are the impostor's own; its file may be open for a moment yet.
        until(lambda: len(descriptors()) <= len(before) + 3, "descriptors to be closed")
        node = self.node(again)
        before = descriptors()
        self.assertEqual("me", node.name)
        self.assertEqual(before, descriptors())
        self.assertEqual("[1]:", node.recv_msg(10).address)

    def test_queue(self) -> None:
        """A queue that nobody can have does not make us take its memory."""
        self.assertLess(room(0xFFFFFFFF), 20 << 20)
        self.assertGreater(room(0), ngd.PAYLOAD_MAX)
        self.assertGreater(room(4 << 20), 8 << 20)

    def test_replies(self) -> None:
        """A reply to another op, and an errno there is not, are EPROTO."""

        def other(peer: Peer) -> None:
            peer.welcome()
            call = peer.call()
            peer.reply(ngd.Call(ngd.BIND, call.seq))
            peer.reply(peer.call(), errno=-5)
            peer.wait()

        node = self.node(other)
        for _ in range(2):
            error = self.assertRaises(OSError, lambda: node.name)
            self.assert_errno(errno.EPROTO, error)

    def test_backlog(self) -> None:
        """Where many wait to be accepted we wait too, as long as a call may take."""
        impostor = Impostor(self, Peer.welcome, backlog=0)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as first:
            first.connect(impostor.path)
            error = self.assertRaises(NoAnswerError, connect, None, impostor.path, timeout=0.05)
            self.assert_errno(errno.ETIMEDOUT, error)
            timer = threading.Timer(0.05, impostor.start)
            timer.start()
        connect(None, impostor.path, data=False).close()
        timer.join()

    def test_timeout_taken_away(self) -> None:
        """Without a time limit a call takes its time, whatever the limit was before."""
        late = threading.Event()

        def slow(peer: Peer) -> None:
            peer.welcome()
            peer.call()
            call = peer.call()
            late.wait(10)
            peer.reply(call, b"at last")
            peer.wait()

        node = self.node(slow, timeout=0.05)
        self.assertRaises(NoAnswerError, lambda: node.name)
        node.timeout = None
        timer = threading.Timer(0.2, late.set)
        timer.start()
        self.assertEqual("at last", node.name)
        timer.join()

    def test_long_timeouts(self) -> None:
        """A time limit beyond what the system can count is one all the same."""

        def one_later(peer: Peer) -> None:
            peer.welcome()
            call = peer.call()
            peer.reply(call, b"me")
            peer.wait()

        def speak(peer: Peer) -> None:
            peer.welcome()
            peer.reply(peer.call(), b"me")
            threading.Timer(
                0.05, peer.events.send, [ngd.Event(ngd.CONTROL, "[1]:", EMPTY).pack()]
            ).start()
            peer.wait()

        for seconds in (1e7, 1e12, float("inf")):
            node = self.node(one_later, timeout=seconds)
            self.assertEqual("me", node.name)
            node = self.node(speak, timeout=seconds)
            self.assertEqual("me", node.name)
            self.assertEqual("[1]:", node.recv_msg(seconds).address)


class WaitingTests(DaemonCase):
    """What waits while a request is under way."""

    graph = "mkpeer hub boot boot\nname boot fan\nmsg fan: setpersistent\n"

    def test_bounded(self) -> None:
        """A program that only asks, and never receives, does not grow: what is too much goes."""
        node, other = self.connect("asks", data=False), self.connect(data=False)
        for _ in range(100):
            for _ in range(50):
                other.send_msg("asks:", 1234567, 1)
            self.assertIn("fan", node.request_ascii("fan:", "nodeinfo"))
        kept = node.waiting
        self.assertLess(kept, 1000)
        self.assertEqual(5000, kept + node.dropped)
        for _ in range(kept):
            node.recv_msg(0)
        other.send_msg("asks:", 1234567, 2)
        self.assertIn("fan", node.request_ascii("fan:", "nodeinfo"))
        self.assertEqual(2, node.recv_msg(0).message.cmd)

    def test_not_latin(self) -> None:
        """What has no bytes in the graph is EINVAL, in a message as in a path."""
        node = self.connect(data=False)
        for path, text in (
            ("fan:", 'name { name="\u20ac" }'),
            ("fan:", "\u20ac"),
            ("\u20ac:", "x"),
        ):
            error = self.assertRaises(OSError, node.send_ascii_msg, path, text)
            self.assert_errno(errno.EINVAL, error)
