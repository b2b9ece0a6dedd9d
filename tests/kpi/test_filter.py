"""Socket filters: whom they are attached to, in which order, and what they may refuse."""

from __future__ import annotations

import errno
from typing import Any

from zope.interface import implementer
from zope.interface.verify import verifyObject

from ngksock.interfaces import ISocketFilter
from ngksock.kpi import MsgHdr, Socket
from ngksock.kpi import constants as c
from tests.kpi.sockets import DGRAM, INET, INET6, STREAM, UNIX, KPITestCase, Owner


@implementer(ISocketFilter)
class Recorder:
    """
    Records its calls in a list that filters may share.

    Args:
        told: The list.
        name: What the entries begin with, and its cookie.
        attaching: Raised by sf_attach.
        accepting: Raised by sf_accept, or returned.
    """

    def __init__(
        self,
        told: list[Any],
        name: str = "f",
        attaching: Exception | None = None,
        accepting: Any = None,
    ) -> None:
        self.told = told
        self.name = name
        self.attaching = attaching
        self.accepting = accepting

    def sf_attach(self, so: Socket) -> str:
        self.told.append((self.name, "attach", so))
        if self.attaching is not None:
            raise self.attaching
        return self.name

    def sf_accept(
        self, cookie: Any, listener: Socket, so: Socket, local: Any, remote: Any
    ) -> int | None:
        self.told.append((cookie, "accept", listener, so, local, remote))
        if isinstance(self.accepting, Exception):
            raise self.accepting
        verdict: int | None = self.accepting
        return verdict

    def sf_detach(self, cookie: Any, so: Socket) -> None:
        self.told.append((cookie, "detach", so))


class FilterCase(KPITestCase):
    def setUp(self) -> None:
        super().setUp()
        self.told: list[Any] = []

    def register(self, name: str = "f", **kwargs: Any) -> Recorder:
        """Register a Recorder for TCP over inet."""
        made = Recorder(self.told, name, **kwargs)
        self.kpi.filters.register(made, INET, STREAM, 6)
        return made

    async def connected(self, listener: Owner) -> Owner:
        """Return a client of *listener* once its connection waits to be accepted."""
        client = Owner(self.socket())
        self.connect(client.so, listener.so.getsockname())
        await listener.until(lambda: listener.so.so_comp)
        return client


class RegistryTests(FilterCase):
    def test_provides(self) -> None:
        """What these tests register is an ISocketFilter."""
        verifyObject(ISocketFilter, Recorder([]))

    def test_refused(self) -> None:
        """A filter of another family, twice the same, an unknown one or none at all is refused."""
        filters = self.kpi.filters
        self.assertFalse(filters.active)
        one = self.register()
        self.assertTrue(filters.active)
        for code, args in (
            (errno.EINVAL, (Recorder([]), UNIX, STREAM, 0)),
            (errno.EINVAL, (Recorder([]), 99, STREAM, 0)),
            (errno.EINVAL, (Recorder([]), "AF_INET", STREAM, 0)),
            (errno.EINVAL, (object(), INET, STREAM, 6)),
            (errno.EPROTOTYPE, (Recorder([]), INET, STREAM, 17)),
            (errno.EEXIST, (one, INET, STREAM, 6)),
            (errno.EEXIST, (one, INET6, DGRAM, 0)),
        ):
            self.assertEqual(code, self.errno_of(filters.register, *args), args)
        self.assertEqual(errno.ENOENT, self.errno_of(filters.unregister, Recorder([])))
        filters.unregister(one)
        self.assertFalse(filters.active)
        self.assertEqual(errno.ENOENT, self.errno_of(filters.unregister, one))

    def test_whom(self) -> None:
        """A filter sees sockets of its own protocol, made after it; the newest is first."""
        before = self.socket()
        self.register("old")
        new = self.register("new")
        self.socket(INET, DGRAM)
        self.socket(INET6, STREAM)
        self.socket(UNIX, STREAM)
        so = self.socket()
        before.close()
        self.assertEqual([("new", "attach", so), ("old", "attach", so)], self.told)
        self.told.clear()
        self.kpi.filters.unregister(new)
        another = self.socket()
        so.close()
        wanted = [("old", "attach", another), ("new", "detach", so), ("old", "detach", so)]
        self.assertEqual(wanted, self.told)

    def test_usual_protocol(self) -> None:
        """Protocol 0 is the usual one, as of a socket."""
        self.kpi.filters.register(Recorder(self.told), INET6, DGRAM)
        so = self.socket(INET6, DGRAM)
        self.assertEqual([("f", "attach", so)], self.told)

    def test_declined(self) -> None:
        """A filter that does not want a socket hears no more of it; others do."""
        self.register("fine")
        self.register("declines", attaching=OSError(errno.EPERM, "no"))
        self.register("breaks", attaching=ValueError("a bug"))
        so = self.socket()
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))
        so.close()
        self.assertEqual(
            [(name, "attach", so) for name in ("breaks", "declines", "fine")]
            + [("fine", "detach", so)],
            self.told,
        )

    def test_breaks_at_the_end(self) -> None:
        """A filter that fails in sf_detach is logged, and stops neither others nor the end."""

        class Breaks(Recorder):
            def sf_detach(self, cookie: Any, so: Socket) -> None:
                raise ValueError("a bug")

        self.register("fine")
        self.kpi.filters.register(Breaks(self.told), INET, STREAM, 6)
        so = self.socket()
        so.close()
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))
        self.assertEqual(("fine", "detach", so), self.told[-1])

    def test_closes_at_once(self) -> None:
        """A filter may close the socket it is shown: those that had it are told."""

        class Closes(Recorder):
            def sf_attach(self, so: Socket) -> str:
                so.close()
                return super().sf_attach(so)

        self.register("late")
        closes = Closes(self.told, "closes")
        self.kpi.filters.register(closes, INET, STREAM, 6)
        self.register("early")
        so = self.kpi.socket(INET, STREAM)
        wanted = [
            ("early", "attach", so),
            ("early", "detach", so),
            ("closes", "attach", so),
            ("closes", "detach", so),
        ]
        self.assertEqual(wanted, self.told)


class AcceptTests(FilterCase):
    async def test_80_listener(self) -> None:
        """Check 80: getlistener is the listener in sf_attach, locked, and None later."""
        listener = self.listener()
        seen: list[Any] = []
        case = self

        class Looks(Recorder):
            def sf_attach(self, so: Socket) -> str:
                head = so.getlistener()
                seen.append(head)
                if head is not None:
                    case.assertRaises(RuntimeError, head.getsockname)
                    case.assertRaises(RuntimeError, head.close)
                return super().sf_attach(so)

        self.kpi.filters.register(Looks(self.told), INET, STREAM, 6)
        client = await self.connected(listener)
        queued = (listener.so.so_comp or [])[0]
        self.assertEqual([None, listener.so], seen)
        self.assertEqual([("f", "attach", client.so), ("f", "attach", queued)], self.told)
        self.assertFalse(listener.so.state & c.SS_LOCKED)
        self.assertIs(listener.so, queued.getlistener())
        accepted, name = self.accept(listener.so)
        self.assertIs(queued, accepted)
        self.assertIs(None, accepted.getlistener())
        local = accepted.getsockname()
        self.assertEqual(("f", "accept", listener.so, accepted, local, name), self.told[-1])

    async def test_closes_what_waits(self) -> None:
        """A filter may close a connection that has just come in: nobody accepts it."""

        class Closes(Recorder):
            def sf_attach(self, so: Socket) -> str:
                if so.getlistener() is not None:
                    so.close()
                return super().sf_attach(so)

        listener = self.listener()
        self.kpi.filters.register(Closes(self.told), INET, STREAM, 6)
        client = Owner(self.socket())
        self.connect(client.so, listener.so.getsockname())
        await client.until(lambda: client.eof or client.error)
        self.assertEqual("detach", self.told[-1][1])
        self.assertEqual(errno.EWOULDBLOCK, self.errno_of(listener.so.accept))
        listener.so.close()

    async def test_81_refused(self) -> None:
        """Check 81: what sf_accept raises is what accept raises, and the connection is closed."""
        for accepting, code, bugs in (
            (OSError(errno.EPERM, "not you"), errno.EPERM, 0),
            (OSError(errno.EBUSY, "not now"), errno.EBUSY, 0),
            (OSError("nobody knows"), errno.EPERM, 0),
            (ValueError("a bug"), errno.EPERM, 1),
        ):
            listener = self.listener()
            made = self.register(accepting=accepting)
            client = await self.connected(listener)
            self.assertEqual(code, self.errno_of(listener.so.accept))
            self.assertEqual(bugs, len(self.flushLoggedErrors(ValueError)))
            await client.until(lambda client=client: client.eof or client.error)
            self.kpi.filters.unregister(made)
            self.assertEqual("detach", self.told[-1][1])

    async def test_81_wrong_verdict(self) -> None:
        """Check 81: a verdict that means nothing refuses: a filter that errs lets nobody in."""
        listener = self.listener()
        self.register(accepting=errno.EPERM)
        await self.connected(listener)
        self.assertEqual(errno.EPERM, self.errno_of(listener.so.accept))

    async def test_81_defunct(self) -> None:
        """Check 81: with EJUSTRETURN accept succeeds, and the socket is of no use."""
        listener = self.listener()
        self.register("old", accepting=OSError(errno.EPERM, "not asked"))
        self.register("new", accepting=c.EJUSTRETURN)
        client = await self.connected(listener)
        accepted, _name = self.accept(listener.so)
        self.assertEqual("new", self.told[-1][0])
        self.assertEqual(errno.EPIPE, self.errno_of(accepted.send, MsgHdr(iov=[b"x"])))
        msg = MsgHdr(iov=[bytearray(9)])
        self.assertEqual(errno.ENOTCONN, self.errno_of(accepted.receive, msg))
        self.assertTrue(accepted.getsockopt(c.SOL_SOCKET, c.SO_ISDEFUNCT))
        code = self.errno_of(accepted.setsockopt, c.SOL_SOCKET, c.SO_DEFUNCTOK, 1)
        self.assertEqual(errno.EBADF, code)
        await client.until(lambda: client.eof or client.error)
