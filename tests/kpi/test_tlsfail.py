"""Handshakes that fail: one errno and one sentence, and nothing stays behind."""

from __future__ import annotations

import errno
import re
import select
from typing import Any

from OpenSSL import SSL
from twisted.internet import reactor
from twisted.internet.error import ConnectionLost
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from ngksock.kpi import tlsfail, tlsrecord, tlsshake
from ngksock.kpi.tls import TLSDriver
from ngksock.kpi.tlsopt import IPPROTO_TLS, gettls
from tests.kpi.sockets import INET, INET6, STREAM, UNIX, Owner, driver, packets
from tests.kpi.tlspeers import (
    CA,
    NAME,
    OTHER_CA,
    RawPeer,
    TLSTestCase,
    pem_of,
    self_made,
)


class FailTests(TLSTestCase):
    def nothing_left(self) -> None:
        """Assert that the reactor knows no driver of ours any more."""
        known = [*reactor.getReaders(), *reactor.getWriters()]
        self.assertEqual([], [each for each in known if isinstance(each, TLSDriver)])

    async def refused(
        self, code: int, why: str, log: str, server: dict[str, Any], client: dict[str, Any]
    ) -> None:
        """Assert that *client* gets *code* and *why*, and the server logs *log*."""
        listener = self.server(**server)
        one = self.client(listener.so.getsockname(), **client)
        one.so.sendbatch(packets(b"a secret"))
        error, said = await self.fails(one)
        self.assertEqual(code, error, said)
        self.assertRegex(said, why)
        while not (lines := [line for line in self.logged if "handshake with" in line]):
            await self.turn()
        self.assertEqual(1, len(lines))
        self.assertRegex(lines[0], r"^the TLS handshake with .*127.0.0.1.* failed: " + log)
        self.assertFalse(listener.so.so_comp)
        self.assertNotIn("read", listener.told)
        self.assertEqual({}, driver(listener.so).embryos)
        self.assertEqual(0, one.so.sndcount)
        one.so.close()
        listener.so.close()
        self.nothing_left()

    async def turn(self) -> None:
        """Let the reactor have a turn."""
        await deferLater(reactor, 0)

    async def test_untrusted(self) -> None:
        """A certificate of an unknown authority is refused, and which is said."""
        cert = self.file("x.pem", pem_of(OTHER_CA.issue_cert("127.0.0.1")))
        await self.refused(
            errno.EACCES,
            r"the certificate of .* is not trusted: it is signed by .*somebody else",
            "the peer refuses our certificate: unknown ca",
            {"cert": cert},
            {},
        )

    async def test_system_store(self) -> None:
        """Without ca the system says who is trusted: not our tests."""
        await self.refused(errno.EACCES, "is not trusted", ".*unknown ca", {}, {"ca": ""})

    async def test_self_signed(self) -> None:
        """A certificate signed by itself is refused."""
        cert = self.file("x.pem", self_made(NAME, -1, 1))
        why = f"the certificate of {NAME} is signed by nobody but itself"
        await self.refused(errno.EACCES, why, ".*unknown ca", {"cert": cert}, {"servername": NAME})

    async def test_expired(self) -> None:
        """An expired certificate is refused with its last day; its owner was warned."""
        cert = self.file("x.pem", self_made(NAME, -9, -2))
        await self.refused(
            errno.EACCES,
            rf"the certificate of {NAME} expired on 20\d\d-\d\d-\d\d$",
            ".*certificate expired",
            {"cert": cert},
            {"ca": cert, "servername": NAME},
        )
        self.assertRegex(self.logged[0], r"the certificate in .*x.pem expired on 20")

    async def test_too_early(self) -> None:
        """A certificate of the future is refused with its first day."""
        cert = self.file("x.pem", self_made(NAME, 2, 9))
        why = rf"the certificate of {NAME} is not valid before 20\d\d-\d\d-\d\d$"
        client = {"ca": cert, "servername": NAME}
        await self.refused(errno.EACCES, why, "", {"cert": cert}, client)

    async def test_wrong_name(self) -> None:
        """A good certificate of another name is refused, with all it is for."""
        why = f"the certificate is for {NAME}, 127.0.0.1, ::1, not for other.example.org"
        await self.refused(
            errno.EACCES, re.escape(why), "", {}, {"servername": "other.example.org"}
        )

    async def test_wrong_address(self) -> None:
        """Without servername the address that is connected to must be named."""
        cert = self.file("x.pem", pem_of(CA.issue_cert("10.1.1.1")))
        why = re.escape("the certificate is for 10.1.1.1, not for 127.0.0.1")
        await self.refused(errno.EACCES, why, "", {"cert": cert}, {})

    async def test_no_client_certificate_1_2(self) -> None:
        """A client without the certificate that is required hears of it (TLS 1.2)."""
        listener = self.server(ca=self.ca, verify=True)
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        plain = await self.plain(listener.so.getsockname())
        raw = RawPeer(plain, context, server=False)
        await plain.until(lambda: raw.go() and raw.ended)
        self.assertIn("handshake failure", str(raw.ended))
        self.assertIn("the peer has no certificate, and one is required", self.logged[-1])

    async def test_no_client_certificate(self) -> None:
        """In TLS 1.3 the client is connected by then, and is told afterwards."""
        await self.refused(
            errno.EACCES,
            "the peer requires a certificate, and we have none",
            "the peer has no certificate, and one is required",
            {"ca": self.ca, "verify": True},
            {},
        )

    async def test_foreign_client_certificate(self) -> None:
        """A client's certificate of another authority is refused on both sides."""
        mine = self.file("mine.pem", pem_of(OTHER_CA.issue_cert("me@example.org")))
        await self.refused(
            errno.EACCES,
            "the peer refuses our certificate: unknown ca",
            "the certificate of .* is not trusted",
            {"ca": self.ca, "verify": True},
            {"cert": mine},
        )

    async def test_alpn(self) -> None:
        """No protocol in common ends it, as RFC 7301 has it."""
        await self.refused(
            errno.EPROTO,
            "the peer ended TLS with an alert: no application protocol",
            "the peer offers only protocols we do not speak: h2, h3",
            {"alpn": ("http/1.1",)},
            {"alpn": ("h2", "h3")},
        )

    async def test_plaintext_server(self) -> None:
        """A server that does not speak TLS is found out, and told no secret."""
        for banner in (b"220 mail.example.org ESMTP\r\n", b"HTTP/1.0 400 Bad\r\n\r\n", b"\0" * 9):
            listener = self.listener()
            one = self.client(listener.so.getsockname())
            one.so.sendbatch(packets(b"a secret"))
            two = await self.accepted(listener)
            two.so.sendbatch(packets(banner))
            expected = (errno.EPROTO, "the peer does not speak TLS")
            self.assertEqual(expected, await self.fails(one))
            await two.until(lambda two: two.eof or two.error, two)
            self.assertNotIn(b"a secret", two.data)

    async def test_plaintext_client(self) -> None:
        """A client that does not speak TLS is logged and sent away."""
        listener = self.server()
        for words in (b"GET / HTTP/1.0\r\n\r\n", b"hello\n", b"\xff" * 5000):
            plain = Owner(self.socket())
            self.connect(plain.so, listener.so.getsockname())
            plain.so.sendbatch(packets(words))
            await plain.until(lambda plain: plain.eof or plain.error, plain)
        self.assertEqual(3, sum("does not speak TLS" in line for line in self.logged))
        self.assertFalse(listener.so.so_comp)

    async def test_peer_leaves(self) -> None:
        """A peer that closes in mid-handshake is ECONNRESET."""
        listener = self.listener()
        one = self.client(listener.so.getsockname())
        two = await self.accepted(listener)
        await two.until(lambda: two.data)
        two.so.shutdown(1)
        expected = (errno.ECONNRESET, "the peer closed the connection during the TLS handshake")
        self.assertEqual(expected, await self.fails(one))

    async def test_peer_resets(self) -> None:
        """One that resets it is the same; on local sockets too."""
        for domain in (INET, UNIX):
            listener = self.listener(domain)
            one = self.client(listener.so.getsockname(), domain, servername=NAME)
            two = await self.accepted(listener)
            await two.until(lambda two: two.data, two)
            two.so.abort()
            error, why = await self.fails(one)
            self.assertEqual(errno.ECONNRESET, error)
            self.assertIn("during the TLS handshake", why)

    async def test_client_leaves(self) -> None:
        """A client that leaves, silent or in mid-handshake, is logged."""
        listener = self.server()
        for words in (b"", b"\x16\x03\x01"):
            plain = Owner(self.socket())
            self.connect(plain.so, listener.so.getsockname())
            plain.so.sendbatch(packets(words))
            await plain.until(plain.so.isconnected)
            plain.so.close()
        while len(self.logged) < 2:
            await self.turn()
        self.assertIn("closed the connection during the TLS handshake", self.logged[0])
        self.assertEqual({}, driver(listener.so).embryos)

    async def test_nobody_there(self) -> None:
        """A refused connection is ECONNREFUSED as without TLS."""
        gone = self.listener()
        to = gone.so.getsockname()
        gone.so.close()
        one = self.client(to)
        self.assertEqual(errno.ECONNREFUSED, (await self.fails(one))[0])

    async def test_versions(self) -> None:
        """No version in common: both ends say so."""
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        listener = self.server(minversion="1.3")
        plain = await self.plain(listener.so.getsockname())
        raw = RawPeer(plain, context, server=False)
        await plain.until(lambda: raw.go() and raw.ended)
        self.assertIn("the peer speaks no version of TLS that is allowed", self.logged[-1])

    async def test_old_server(self) -> None:
        """A client that wants 1.3 of a server of 1.2 fails with EPROTO."""
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        listener = self.listener()
        one = self.client(listener.so.getsockname(), minversion="1.3")
        two = await self.accepted(listener)
        raw = RawPeer(two, context, server=True)
        two.until(lambda: raw.go() and raw.ended).addErrback(lambda _: None)
        expected = (errno.EPROTO, "the peer allows no version of TLS that we do")
        self.assertEqual(expected, await self.fails(one))

    async def test_no_cipher(self) -> None:
        """No cipher in common is said in the log."""
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        context.set_cipher_list(b"AES256-SHA")
        listener = self.server()
        plain = await self.plain(listener.so.getsockname())
        raw = RawPeer(plain, context, server=False)
        await plain.until(lambda: raw.go() and raw.ended)
        self.assertIn("no cipher in common", self.logged[-1])


class StallTests(TLSTestCase):
    async def test_server_stalls(self) -> None:
        """A server that says nothing: ETIMEDOUT after the time that was set, no sooner."""
        listener = self.listener()
        clock = self.clocked()
        one = self.client(listener.so.getsockname(), timeout=3.0)
        two = await self.accepted(listener)
        await two.until(lambda: two.data)
        clock.advance(2.9)
        self.assertFalse(one.error)
        clock.advance(0.1)
        expected = (errno.ETIMEDOUT, "the peer did not finish the TLS handshake in 3 s")
        self.assertEqual(expected, await self.fails(one))
        clock.advance(0)
        self.assertEqual([], clock.getDelayedCalls())
        self.assertNotIn(driver(one.so), reactor.getReaders())

    async def test_client_stalls(self) -> None:
        """A client that says nothing is sent away after 10 s, and logged."""
        clock = self.clocked()
        listener = self.server()
        plain = await self.plain(listener.so.getsockname())
        driver(listener.so).doRead()
        self.assertEqual(1, len(driver(listener.so).embryos))
        clock.advance(10)
        self.assertIn("did not finish the TLS handshake in 10 s", self.logged[-1])
        await plain.until(lambda: plain.eof)
        listener.so.close()
        clock.advance(0)
        self.assertEqual([], clock.getDelayedCalls())

    async def test_closed_meanwhile(self) -> None:
        """Client and listener closed in mid-handshake leave nothing behind."""
        other = self.listener()
        clock = self.clocked()
        listener = self.server()
        plain = await self.plain(listener.so.getsockname())
        driver(listener.so).doRead()
        one = self.client(other.so.getsockname())
        two = await self.accepted(other)
        await two.until(lambda: two.data)
        one.so.close()
        listener.so.close()
        await plain.until(lambda: plain.eof or plain.error)
        clock.advance(0)
        self.assertEqual([], clock.getDelayedCalls())

    async def test_bounded(self) -> None:
        """So many handshakes at once: for one more the oldest goes, and the new one is served."""
        self.patch(tlsshake, "EMBRYOS", 2)
        clock = self.clocked()
        listener = self.server()
        below = driver(listener.so)
        silent = []
        for count in (1, 2, 2):
            silent.append(await self.plain(listener.so.getsockname()))
            below.doRead()
            self.assertEqual(count, len(below.embryos))
        await silent[0].until(lambda: silent[0].eof or silent[0].error)
        self.assertFalse(silent[1].eof or silent[2].eof)
        who = f"127.0.0.1:{silent[0].so.getsockname()[1]}"
        why = "too many others are under way, and it was the oldest"
        self.assertEqual([f"the TLS handshake with {who} failed: {why}"], self.logged)
        one = self.client(listener.so.getsockname())
        await self.accepted(listener)
        await one.until(one.so.isconnected)
        await silent[1].until(lambda: silent[1].eof or silent[1].error)
        self.assertEqual(1, len(below.embryos))
        listener.so.close()
        one.so.abort()
        clock.advance(0)
        self.assertEqual([], clock.getDelayedCalls())

    async def test_hung_up(self) -> None:
        """A handshake that fails with what came before the hang-up is let go of once."""
        clock = self.clocked()
        listener = self.server()
        below = driver(listener.so)
        plain = await self.plain(listener.so.getsockname())
        below.doRead()
        (embryo,) = below.embryos
        plain.so.sendbatch(packets(b"GET / HTTP/1.0\r\n\r\n"))
        select.select([embryo], [], [], 10)
        reactor.removeReader(embryo)  # as it does before it tells
        embryo.connectionLost(Failure(ConnectionLost()))
        self.assertEqual({}, below.embryos)
        self.assertEqual(1, len(self.logged))
        listener.so.close()
        clock.advance(0)
        self.assertEqual([], clock.getDelayedCalls())

    async def test_many_lines(self) -> None:
        """Of very many failures a second, some are logged, and that there are more."""
        clock = self.clocked()
        below = driver(self.server().so)
        for _ in range(50):
            below._tell("127.0.0.1:1", "a reason")
        self.assertEqual(20, len(self.logged))
        self.assertEqual("more TLS handshakes fail, too many to tell of each", self.logged[-1])
        clock.advance(1)
        below._tell("a local peer", "a reason")
        self.assertEqual("the TLS handshake with a local peer failed: a reason", self.logged[-1])

    async def test_addresses(self) -> None:
        """The log names a peer as people write it."""
        for domain, name in ((INET, "127.0.0.1"), (INET6, "[::1]"), (UNIX, None)):
            plain = self.socket(domain, STREAM)
            self.connect(plain, self.server(domain).so.getsockname())
            who = f"{name}:{plain.getsockname()[1]}" if name else "a local peer"
            plain.close()
            while not self.logged:
                await deferLater(reactor, 0)
            self.assertIn(f"the TLS handshake with {who} failed: ", self.logged.pop())

    async def test_flood(self) -> None:
        """Who asks for ever new keys and takes no answer is cut off."""
        one, two = await self.both({}, {})
        below = driver(one.so)
        below.records.waiting = 2 << 20
        below.writing = True
        below._take(b"")
        self.assertEqual(errno.EPROTO, one.so.so_error)
        self.assertIn("new keys", one.so.why)
        below.records.waiting = 0
        await two.until(lambda: two.error or two.eof)


class SentenceTests(TLSTestCase):
    def explained(self, *args: Any) -> tuple[int, str]:
        return tlsfail.explain(SSL.Error([("SSL routines", "", args[0])]), *args[1:])

    def test_alerts(self) -> None:
        """Alerts on certificates are EACCES, all others EPROTO."""
        code, why = self.explained("tlsv1 alert access denied")
        self.assertEqual(
            (errno.EACCES, "the peer refuses our certificate: access denied"), (code, why)
        )
        code, why = self.explained("tlsv1 alert internal error")
        self.assertEqual(
            (errno.EPROTO, "the peer ended TLS with an alert: internal error"), (code, why)
        )

    def test_unknown(self) -> None:
        """What OpenSSL does not explain is EPROTO all the same."""
        for error in (SSL.Error(), SSL.Error([]), SSL.Error([("", "", "")])):
            code, why = tlsfail.explain(error)
            self.assertEqual(errno.EPROTO, code)
            self.assertIn("the peer does not keep to TLS", why)
        self.assertEqual(errno.EACCES, self.explained("certificate verify failed")[0])

    def test_broken_before(self) -> None:
        """Nothing is encrypted, and no alert sent, where TLS has not begun or has broken."""
        records = tlsrecord.Records(SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None))
        records.conn.set_connect_state()
        self.assertIs(False, records.shake())
        self.assertIsInstance(records.shake(b"\0" * 20), SSL.Error)
        self.assertEqual(errno.EPROTO, self.errno_of(records.seal, b"secret"))
        before = records.waiting
        records.notify()
        self.assertEqual(before, records.waiting)

    async def test_not_tls(self) -> None:
        """A plain socket has nothing to tell of TLS."""
        plain = self.socket(INET, STREAM)
        self.assertEqual(errno.EOPNOTSUPP, self.errno_of(gettls, plain))
        self.assertEqual(IPPROTO_TLS, self.tls().gettype()[2])
