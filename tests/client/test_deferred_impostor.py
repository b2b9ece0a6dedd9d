"""The Twisted flavour of the client where calls fail, are cancelled, or get no answer."""

from __future__ import annotations

import errno
import threading
from functools import partial
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import TestCase

from ngksock import ngd
from ngksock.client import NoAnswerError, NoDaemonError
from ngksock.client.deferred import DeferredNodeSocket, connect
from ngksock.netgraph.message import Message
from tests.client.impostor import Impostor, Peer, Serve
from tests.client.test_deferred import coroutine

OURS = 1234567


class ImpostorTests(TestCase):
    """Every Deferred fires, once, and leaves nothing behind: trial looks at the reactor."""

    async def node(self, serve: Serve, timeout: float | None = 10.0) -> DeferredNodeSocket:
        """Return a node without data of an impostor."""
        from twisted.internet import reactor

        path = Impostor(self, serve).start()
        node = await connect(reactor, None, path, data=False, timeout=timeout)
        self.addCleanup(node.close)
        return node

    async def fails(self, waiting: Deferred[Any], number: int) -> OSError:
        """Assert that *waiting* fails with that errno; return the error."""
        try:
            await waiting
        except OSError as error:
            self.assertEqual(number, error.errno, str(error))
            return error
        self.fail("it did not fail")

    @coroutine
    async def test_once(self) -> None:
        """A call made because one failed in its turn is made once."""
        ops: list[int] = []
        gate = threading.Event()

        def count(peer: Peer) -> None:
            peer.welcome()
            while True:
                call = peer.call()
                gate.wait(10)
                ops.append(call.op)
                peer.reply(call, b"me")

        node = await self.node(count)
        first = node.name()
        too_long = node.send_msg(".", OURS, 1, bytes(4 << 20))
        then = Deferred.fromCoroutine(self._name_after(node, too_long))
        gate.set()
        self.assertEqual(["me", "me", "me"], [await first, await then, await node.name()])
        self.assertEqual([ngd.GETNAME] * 3, ops)

    async def _name_after(self, node: DeferredNodeSocket, failing: Deferred[int]) -> str:
        await self.fails(failing, errno.EMSGSIZE)
        return await node.name()

    @coroutine
    async def test_many_fail(self) -> None:
        """Thousands of calls that fail one after the other need no stack."""
        gate = threading.Event()

        def patient(peer: Peer) -> None:
            peer.welcome()
            call = peer.call()
            gate.wait(10)
            peer.reply(call, b"me")
            peer.wait()

        node = await self.node(patient)
        name, huge = node.name(), bytes(4 << 20)
        waiting = [node.send_msg(".", OURS, 1, huge) for _ in range(20)]
        waiting += [node.send_msg("\u20ac:", OURS, 1) for _ in range(3000)]
        gate.set()
        self.assertEqual("me", await name)
        for number, one in enumerate(waiting):
            await self.fails(one, errno.EMSGSIZE if number < 20 else errno.EINVAL)

    @coroutine
    async def test_gone(self) -> None:
        """When the daemon ends all that is under way fails, and on_end is called once."""

        def die(peer: Peer) -> None:
            peer.welcome()
            peer.reply(peer.call())
            peer.call()

        node = await self.node(die)
        ended: Deferred[None] = Deferred()
        node.on_end = partial(ended.callback, None)  # twice would be an error
        asked = node.request("x:", OURS, 1)  # delivered, not answered
        waiting = [node.name() for _ in range(5)]
        every: list[Deferred[Any]] = [asked, *waiting]
        for one in every:
            self.assertIsInstance(await self.fails(one, errno.ECONNRESET), NoDaemonError)
        await ended
        await self.fails(node.name(), errno.ECONNRESET)

    @coroutine
    async def test_no_hello(self) -> None:
        """HELLO that is answered with nonsense, or never, fails connect()."""
        from twisted.internet import reactor

        def nonsense(peer: Peer) -> None:
            peer.call()
            peer.sock.send(b"xyz")
            peer.wait()

        def short(peer: Peer) -> None:
            peer.welcome(b"12")
            peer.wait()

        for serve in (nonsense, short):
            path = Impostor(self, serve).start()
            error = await self.fails(connect(reactor, None, path), errno.EPROTO)
            self.assertIsInstance(error, NoDaemonError)
            self.assertIn(path, str(error))
        path = Impostor(self, Peer.wait).start()
        waiting = connect(reactor, None, path, timeout=0.05)
        self.assertIsInstance(await self.fails(waiting, errno.ETIMEDOUT), NoAnswerError)

    @coroutine
    async def test_backlog(self) -> None:
        """Where too many wait to be accepted we wait too, as long as a call may take."""
        import socket

        from twisted.internet import reactor

        impostor = Impostor(self, Peer.welcome, backlog=0)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as first:
            first.connect(impostor.path)
            waiting = connect(reactor, None, impostor.path, timeout=0.05)
            await self.fails(waiting, errno.ETIMEDOUT)
            waiting = connect(reactor, None, impostor.path, data=False)
            impostor.start()
        (await waiting).close()

    @coroutine
    async def test_late_reply(self) -> None:
        """A call takes no longer than it may, and its late reply is nobody else's."""
        gate = threading.Event()

        def late(peer: Peer) -> None:
            peer.welcome()
            call = peer.call()
            gate.wait(10)
            peer.reply(call, b"first")
            peer.reply(peer.call(), b"second")
            peer.wait()

        node = await self.node(late, timeout=0.05)
        await self.fails(node.name(), errno.ETIMEDOUT)
        await self.fails(node.request("x:", OURS, 1, timeout=0.01), errno.ETIMEDOUT)
        gate.set()
        node._control.timeout = 10.0
        self.assertEqual("second", await node.name())

    @coroutine
    async def test_cancel(self) -> None:
        """A call that is cancelled in time is never made; nothing of it stays behind."""
        gate = threading.Event()
        ops: list[int] = []

        def patient(peer: Peer) -> None:
            peer.welcome()
            while True:
                call = peer.call()
                gate.wait(10)
                ops.append(call.op)
                peer.reply(call, b"me")

        node = await self.node(patient)
        waiting: list[Deferred[Any]] = [node.name(), node.request("x:", OURS, 1)]
        waiting.append(node.request_ascii("x:", "nodeinfo"))
        for one in waiting:
            one.cancel()
        gate.set()
        for one in waiting:
            with self.assertRaises(CancelledError):
                await one
        self.assertEqual("me", await node.name())
        asked = node.request("x:", OURS, 1)  # delivered: what is cancelled is the waiting
        self.assertEqual("me", await node.name())
        asked.cancel()
        with self.assertRaises(CancelledError):
            await asked
        self.assertEqual([ngd.GETNAME, ngd.GETNAME, ngd.SEND, ngd.GETNAME], ops)

    @coroutine
    async def test_nonsense(self) -> None:
        """A reply nobody waits for, and an event that is none, end the node with EPROTO."""

        def unasked(peer: Peer) -> None:
            peer.welcome()
            peer.reply(ngd.Call(ngd.GETNAME, 99))
            peer.wait()

        def no_event(peer: Peer) -> None:
            peer.welcome()
            peer.reply(peer.call())
            peer.events.send(b"xyz")
            peer.wait()

        def no_message(peer: Peer) -> None:
            peer.welcome()
            peer.reply(peer.call())
            peer.events.send(ngd.Event(ngd.CONTROL, "[1]:", b"short").pack())
            peer.wait()

        for serve in (unasked, no_event, no_message):
            node = await self.node(serve)
            ended: Deferred[None] = Deferred()
            node.on_end = partial(ended.callback, None)
            await self.fails(node.request("x:", OURS, 1), errno.EPROTO)
            await ended

    @coroutine
    async def test_our_bugs(self) -> None:
        """What a program's own function raises is logged, and what comes next is taken."""

        came: Deferred[int] = Deferred()

        def take(received: Any) -> None:
            if received.message.cmd == 1:
                raise ZeroDivisionError
            came.callback(received.message.cmd)

        gate = threading.Event()

        def serve(peer: Peer) -> None:
            peer.welcome()
            gate.wait(10)
            for cmd in (1, 2):
                message = Message(OURS, cmd).pack()
                peer.events.send(ngd.Event(ngd.CONTROL, "[1]:", message).pack())
            peer.wait()

        node = await self.node(serve)
        node.on_message = take
        gate.set()
        self.assertEqual(2, await came)
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
