"""TLS in odd moments: resets that overtake, alerts that wait, files that go, leaks."""

from __future__ import annotations

import errno
import gc
import os
from typing import Any

from OpenSSL import SSL
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from ngksock.kpi import constants as c
from ngksock.kpi import tlsctx
from ngksock.kpi.tlsconfig import TLSConfig
from ngksock.kpi.tlsopt import gettls
from ngksock.kpi.tlsrecord import Records
from ngksock.kpi.tlsreload import certificates
from tests.kpi.sockets import Owner, driver, packets
from tests.kpi.tlspeers import CA, NAME, RawPeer, TLSTestCase, pem_of

BROKEN = b"\x17\x03\x03\x00\x20" + bytes(32)
GONE = Failure(ConnectionDone())


def refuse(records: Records, sock: Any) -> bool:
    """Send nothing, as a system whose buffers are full."""
    return False


def reset(records: Records, sock: Any) -> bool:
    """Fail as a connection that was reset."""
    raise ConnectionResetError(errno.ECONNRESET, "reset")


class ResetTests(TLSTestCase):
    async def raw(self, context: SSL.Context | None = None) -> tuple[RawPeer, Owner]:
        """Return a raw client and our accepted end of it, paused."""
        listener = self.server()
        plain = await self.plain(listener.so.getsockname())
        raw = RawPeer(plain, context or SSL.Context(SSL.TLS_CLIENT_METHOD), server=False)
        await plain.until(raw.go)
        two = await self.accepted(listener)
        driver(two.so).pause()
        return raw, two

    async def test_send_to_the_reset(self) -> None:
        """Who sends after a reset it has not seen is told EPIPE, and why when it reads."""
        one, two = await self.both({}, {})
        two.so.abort()
        self.assertEqual(errno.EPIPE, self.errno_of(one.so.sendbatch, packets(b"x")))
        await one.until(lambda: one.error)
        self.assertEqual(errno.ECONNRESET, one.error)

    async def test_shutdown_after_the_reset(self) -> None:
        """Shutting down a connection that was reset is no error; the reader is told."""
        one, two = await self.both({}, {})
        two.so.abort()
        one.so.shutdown(c.SHUT_WR)
        await one.until(lambda: one.error)
        self.assertEqual(errno.ECONNRESET, one.error)

    async def test_flush_to_the_reset(self) -> None:
        """What waits in so_snd is lost with the connection."""
        one, two = await self.both({}, {})
        patched = self.patch(Records, "push", refuse)
        one.so.sendbatch(packets(b"waits"))
        self.assertEqual(5, one.so.sndcount)
        patched.restore()
        two.so.abort()
        driver(one.so).doWrite()
        self.assertEqual(0, one.so.sndcount)
        await one.until(lambda: one.error)
        self.assertEqual(errno.ECONNRESET, one.error)

    async def test_whole_before_the_reset(self) -> None:
        """An end that came before a reset is found, and all before it."""
        raw, two = await self.raw()
        raw.conn.send(b"the last words")
        raw.conn.shutdown()
        raw.flush()
        raw.owner.so.abort()
        driver(two.so).found_reset()
        await two.until(lambda: two.error)
        self.assertEqual((errno.ECONNRESET, b"the last words"), (two.error, two.data))

    async def test_broken_before_the_reset(self) -> None:
        """What was wrong before a reset is told instead of it."""
        raw, two = await self.raw()
        raw.owner.so.sendbatch(packets(BROKEN))
        raw.owner.so.abort()
        driver(two.so).found_reset()
        self.assertEqual(errno.EPROTO, (await self.fails(two))[0])

    async def test_hung_up(self) -> None:
        """A descriptor the reactor gives up, without an error, was cut."""
        one, _two = await self.both({}, {})
        driver(one.so).connectionLost(GONE)
        error, why = await self.fails(one)
        self.assertEqual(errno.ECONNRESET, error)
        self.assertIn("without the alert", why)

    async def test_hung_up_early(self) -> None:
        """The same in mid-handshake, and before it."""
        listener = self.listener()
        one = self.client(listener.so.getsockname())
        two = await self.accepted(listener)
        await two.until(lambda: two.data)
        driver(one.so).connectionLost(GONE)
        error, why = await self.fails(one)
        self.assertEqual(errno.ECONNRESET, error)
        self.assertIn("during the TLS handshake", why)
        other = self.client(listener.so.getsockname())
        driver(other.so).connectionLost(GONE)
        self.assertEqual(errno.ECONNABORTED, (await self.fails(other))[0])

    async def test_nothing_fits(self) -> None:
        """A handshake for which there is no room goes on when there is."""
        patched = self.patch(Records, "push", refuse)
        listener = self.listener()
        one = self.client(listener.so.getsockname())
        two = await self.accepted(listener)
        while not driver(one.so).shaking:
            driver(one.so).doWrite()
        self.assertTrue(driver(one.so).writing)
        patched.restore()
        await two.until(lambda: two.data)
        self.assertFalse(driver(one.so).writing)

    async def test_reset_while_shaking(self) -> None:
        """An error of sending in mid-handshake is left to the reader."""
        listener = self.listener()
        one = self.client(listener.so.getsockname())
        two = await self.accepted(listener)
        await two.until(lambda: two.data)
        self.patch(Records, "push", reset)
        two.so.sendbatch(packets(b"not TLS at all"))
        self.assertEqual(errno.EPROTO, (await self.fails(one))[0])

    async def test_answer_waits(self) -> None:
        """An answer of TLS's own, here a refusal, waits for room like all else."""
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        raw, two = await self.raw(context)
        patched = self.patch(Records, "push", refuse)
        raw.conn.renegotiate()
        raw.go()
        driver(two.so).doRead()
        self.assertGreater(driver(two.so).records.waiting, 0)
        self.assertTrue(driver(two.so).writing)
        patched.restore()
        await raw.owner.until(lambda: raw.go() and raw.ended)
        self.assertIn("renegotiation", str(raw.ended))


class AlertTests(TLSTestCase):
    async def test_waits(self) -> None:
        """close_notify waits for room; only then the connection is over."""
        one, two = await self.both({}, {})
        two.so.shutdown(c.SHUT_WR)
        await one.until(lambda: one.eof)
        patched = self.patch(Records, "push", refuse)
        one.so.shutdown(c.SHUT_WR)
        self.assertTrue(one.so.isconnected())
        self.assertGreater(driver(one.so).outq(), 0)
        patched.restore()
        await two.until(lambda: two.eof or two.error)
        self.assertIsNone(two.error)
        self.assertFalse(one.so.isconnected())

    async def test_waits_for_the_peer(self) -> None:
        """The same while the peer has not ended: half closed it stays."""
        one, two = await self.both({}, {})
        patched = self.patch(Records, "push", refuse)
        one.so.shutdown(c.SHUT_WR)
        driver(one.so).doWrite()
        patched.restore()
        await two.until(lambda: two.eof)
        self.assertTrue(one.so.isconnected())
        two.so.sendbatch(packets(b"still here"))
        await one.until(lambda: one.data == b"still here")


class OddFileTests(TLSTestCase):
    async def test_chain(self) -> None:
        """A chain is sent, so that whoever knows the root alone is content."""
        middle = CA.create_child_ca()
        cert = self.file("leaf.pem", pem_of(middle.issue_cert(NAME)))
        one, _two = await self.both({"cert": cert}, {"servername": NAME})
        self.assertEqual("TLSv1.3", gettls(one.so).version)

    async def test_middle_trusted(self) -> None:
        """Who is named in ca is trusted, root or not."""
        middle = CA.create_child_ca()
        cert = self.file("leaf.pem", pem_of(middle.issue_cert(NAME)))
        ca = self.file("middle.pem", middle.cert_pem.bytes())
        one, _two = await self.both({"cert": cert}, {"servername": NAME, "ca": ca})
        self.assertTrue(one.so.isconnected())

    async def test_keylog_gone(self) -> None:
        """A key log that cannot be written is logged, and the connection goes on."""
        path = os.path.join(self.folder, "keys")
        so = self.tls(ca=self.ca, keylog=path)
        listener = self.server()
        certificates(self.kpi).client(driver(so).config)
        os.unlink(path)
        os.mkdir(path)
        one = Owner(so)
        self.connect(so, listener.so.getsockname())
        await one.until(so.isconnected)
        self.assertIn("is a directory", self.logged[-1])

    async def test_sessions_bounded(self) -> None:
        """Sessions of very many servers are not kept."""
        self.patch(tlsctx, "SESSIONS", 1)
        for _ in range(3):
            one, two = await self.both({}, {})
            one.so.close()
            await two.until(lambda two: two.eof, two)
        known = certificates(self.kpi).client(TLSConfig(ca=self.ca))
        self.assertEqual(1, len(known._sessions))

    async def test_nothing_left(self) -> None:
        """A hundred connections leave no descriptor, and nothing of OpenSSL's."""
        listener = self.server()

        async def once() -> None:
            one = self.client(listener.so.getsockname())
            two = await self.accepted(listener)
            await one.until(one.so.isconnected)
            one.so.close()
            await two.until(lambda: two.eof or two.error)
            two.so.close()

        await once()
        gc.collect()
        before = len(os.listdir("/dev/fd"))
        for _ in range(100):
            await once()
        self.assertEqual(before, len(os.listdir("/dev/fd")))
        gc.collect()
        left = [each for each in gc.get_objects() if isinstance(each, SSL.Connection)]
        self.assertLess(len(left), 20)
