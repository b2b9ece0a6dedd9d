"""The Twisted flavour of the client, against a daemon in a process of its own."""

from __future__ import annotations

import errno
from typing import Any

from twisted.internet.defer import Deferred

from ngksock.client import NoAnswerError, NoDaemonError, Received
from ngksock.client.deferred import DeferredNodeSocket, connect
from tests.client.daemon import DeferredDaemonCase

OURS = 1234567


def coroutine(function: Any) -> Any:
    """Have a test that is a coroutine function return the Deferred trial knows."""

    def run(self: Any) -> Deferred[None]:
        return Deferred.fromCoroutine(function(self))

    run.__doc__ = function.__doc__
    return run


class DeferredTests(DeferredDaemonCase):
    """Each call, and that nothing is left behind: trial looks at the reactor."""

    graph = "mkpeer hub a b\nname a fan\n"

    async def node(self, name: str | None = None, data: bool = True) -> DeferredNodeSocket:
        """Return a node that ends with the test."""
        from twisted.internet import reactor

        node = await connect(reactor, name, self.path, data)
        self.addCleanup(node.close)
        return node

    async def fails(self, waiting: Deferred[Any], number: int) -> OSError:
        """Assert that *waiting* fails with that errno; return the error."""
        try:
            await waiting
        except OSError as error:
            self.assertEqual(number, error.errno)
            return error
        self.fail("it did not fail")

    @coroutine
    async def test_connect(self) -> None:
        """connect() gives a named node, and fails as the blocking one does."""
        from twisted.internet import reactor

        node = await self.node("async")
        self.assertEqual("async", await node.name())
        await self.fails(connect(reactor, "async", self.path), errno.EADDRINUSE)
        error = await self.fails(connect(reactor, None, "/nowhere/x"), errno.ENOENT)
        self.assertIsInstance(error, NoDaemonError)

    @coroutine
    async def test_calls_at_once(self) -> None:
        """Many requests may be on their way; each gets its own response."""
        node = await self.node()
        waiting = [node.request_ascii(".", "nodeinfo") for _ in range(20)]
        waiting.append(node.request_ascii(".", "listtypes"))
        answers = [await one for one in waiting]
        self.assertEqual(1, len(set(answers[:-1])))
        self.assertIn("typename", answers[-1])

    @coroutine
    async def test_messages(self) -> None:
        """What answers no request goes to on_message."""
        one, two = await self.node(), await self.node("two")
        came: Deferred[Received] = Deferred()
        two.on_message = came.callback
        await one.send_msg("two:", OURS, 3, b"hello")
        received = await came
        self.assertEqual(f"[{one.id:x}]:", received.address)
        self.assertEqual((3, b"hello"), (received.message.cmd, received.message.data))

    @coroutine
    async def test_answers(self) -> None:
        """A program answers another one; its own request to itself fails at once."""
        one, two = await self.node(), await self.node("two")

        def answer(received: Received) -> None:
            two.send_reply_msg(*received, received.message.data.upper())

        two.on_message = answer
        self.assertEqual(b"HELLO", (await one.request("two:", OURS, 3, b"hello")).data)
        await self.fails(one.request(".", OURS, 3), errno.ENOSYS)
        await self.fails(one.send_ascii_msg("two:", "\u20ac"), errno.EINVAL)

    @coroutine
    async def test_data(self) -> None:
        """Packets go out of a hook and come to on_data."""
        one, two = await self.node(), await self.node("peer")
        came: Deferred[tuple[str, bytes]] = Deferred()
        two.on_data = lambda hook, data: came.callback((hook, data))
        await one.send_ascii_msg(".", 'connect { path="peer:" ourhook="x" peerhook="y" }')
        await one.send_data("x", b"packet")
        self.assertEqual(("y", b"packet"), await came)
        await self.fails(one.send_data("z", b""), errno.EHOSTUNREACH)

    @coroutine
    async def test_errors(self) -> None:
        """The errno of a delivery, of a conversion, and of a silence come as errors."""
        node, _ = await self.node(data=False), await self.node("mute")
        await self.fails(node.send_msg("nosuch:", OURS, 1), errno.ENOENT)
        await self.fails(node.request("nosuch:", OURS, 1), errno.ENOENT)
        await self.fails(node.request_ascii(".", "nosuch"), errno.ENOSYS)
        await self.fails(node.send_data("x", b""), errno.EBADF)
        silence = await self.fails(node.request("mute:", OURS, 1, timeout=0.02), errno.ETIMEDOUT)
        self.assertIsInstance(silence, NoAnswerError)

    @coroutine
    async def test_end(self) -> None:
        """A node that is shut down says so, and what it waited for fails."""
        one, two = await self.node(), await self.node("mortal")
        ended: Deferred[None] = Deferred()
        two.on_end = lambda: ended.callback(None)
        waiting = two.request(one_path(one), OURS, 1)
        await one.send_ascii_msg("mortal:", "shutdown")
        await ended
        await self.fails(waiting, errno.EPIPE)

    @coroutine
    async def test_close(self) -> None:
        """Closing fails what is under way, and twice is once."""
        one, two = await self.node(), await self.node("other")
        waiting = one.request("other:", OURS, 1)
        await two.name()
        one.close()
        one.close()
        with self.assertRaises(OSError):
            await waiting
        await self.fails(one.name(), errno.EPIPE)


def one_path(node: DeferredNodeSocket) -> str:
    """Return the path of *node*."""
    return f"[{node.id:x}]:"
