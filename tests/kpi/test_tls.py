"""TLS between two of our sockets: life, data, ends, and what was agreed on."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from typing import Any

from OpenSSL import SSL

from ngksock.kpi import constants as c
from ngksock.kpi.tlsopt import IPPROTO_TLS, gettls
from tests.kpi.sockets import INET, INET6, STREAM, UNIX, Owner, driver, packets
from tests.kpi.tlspeers import CLIENT, NAME, RawPeer, TLSTestCase, pem_of


class LifeTests(TLSTestCase):
    async def both_ways(self, domain: int, **client: Any) -> None:
        listener = self.server(domain)
        one = self.client(listener.so.getsockname(), domain, **client)
        one.so.sendbatch(packets(b"sent ", b"while connecting"))
        self.assertFalse(one.so.isconnected())
        two = await self.accepted(listener)
        two.so.sendbatch(packets(b"welcome"))
        await two.until(lambda: two.data == b"sent while connecting")
        await one.until(lambda: one.data == b"welcome")
        self.assertEqual((domain, STREAM, IPPROTO_TLS), two.so.gettype())
        one.so.close()
        await two.until(lambda: two.eof)
        self.assertIsNone(two.error)

    async def test_inet(self) -> None:
        """What is sent while connecting waits for the handshake, and all arrives."""
        await self.both_ways(INET)

    async def test_inet6(self) -> None:
        """The same over inet6, whose address the certificate names too."""
        await self.both_ways(INET6)

    async def test_local(self) -> None:
        """The same over a local socket, with a name to check."""
        await self.both_ways(UNIX, servername=NAME)

    async def test_told(self) -> None:
        """Connected is told once, when the handshake is done."""
        listener = self.server()
        one = self.client(listener.so.getsockname())
        await self.accepted(listener)
        await one.until(lambda: 0x5000 in one.told)
        self.assertEqual(["read", "write", 0x5000], one.told)
        self.assertEqual(["read"], listener.told)

    async def test_info(self) -> None:
        """Both ends know what was agreed on; before, they say ENOTCONN."""
        listener = self.server(alpn=("h2", "x"))
        fresh = self.tls()
        self.assertEqual(errno.ENOTCONN, self.errno_of(gettls, fresh))
        one = self.client(listener.so.getsockname(), alpn=("x", "h2"))
        two = await self.accepted(listener)
        await one.until(one.so.isconnected)
        for owner in (one, two):
            info = gettls(owner.so)
            self.assertEqual("TLSv1.3", info.version)
            self.assertIn("_", info.cipher)
            self.assertEqual("h2", info.alpn)  # the server's order
            self.assertFalse(info.resumed)
        self.assertIn("O=trustme", gettls(one.so).subject)
        self.assertEqual("", gettls(two.so).subject)

    async def test_client_certificate(self) -> None:
        """A server that requires a certificate knows whose it is."""
        mine = self.file("client.pem", pem_of(CLIENT))
        one, two = await self.both({"ca": self.ca, "verify": True}, {"cert": mine})
        self.assertIn("CN=a client", gettls(two.so).subject)
        one.so.sendbatch(packets(b"hello"))
        await two.until(lambda: two.data == b"hello")

    async def test_key_in_its_own_file(self) -> None:
        """Certificate and key come from two files as well."""
        chain = b"".join(blob.bytes() for blob in CLIENT.cert_chain_pems)
        cert = self.file("cert.pem", chain)
        key = self.file("key.pem", CLIENT.private_key_pem.bytes())
        _, two = await self.both({"ca": self.ca, "verify": True}, {"cert": cert, "key": key})
        self.assertIn("CN=a client", gettls(two.so).subject)

    async def test_versions(self) -> None:
        """1.3 alone is 1.3; a peer that has 1.2 alone gets 1.2."""
        one, _two = await self.both({"minversion": "1.3"}, {})
        self.assertEqual("TLSv1.3", gettls(one.so).version)

    async def test_not_verified(self) -> None:
        """verify=0 takes whoever is there."""
        one, two = await self.both({}, {"verify": False, "ca": "", "servername": "other.org"})
        one.so.sendbatch(packets(b"hello"))
        await two.until(lambda: two.data == b"hello")

    async def test_keylog(self) -> None:
        """The key log has NSS's lines, and only its owner reads it."""
        path = os.path.join(self.folder, "keys")
        await self.both({}, {"keylog": path})
        self.assertEqual(0o600, stat.S_IMODE(os.stat(path).st_mode))
        with open(path) as file:
            labels = [line.split()[0] for line in file]
        self.assertIn("CLIENT_TRAFFIC_SECRET_0", labels)

    async def test_resumed(self) -> None:
        """The second connection goes on with the session of the first, and tells so."""
        listener = self.server()
        for expected in (False, True, True):
            one = self.client(listener.so.getsockname())
            two = await self.accepted(listener)
            two.so.sendbatch(packets(b"x"))
            await one.until(lambda one: one.data == b"x", one)
            self.assertEqual(expected, gettls(one.so).resumed)
            self.assertEqual(expected, gettls(two.so).resumed)
            one.so.close()
            await two.until(lambda two: two.eof, two)
            two.so.close()

    async def test_session_of_its_name(self) -> None:
        """A session is not used for another name, nor without verification for one with."""
        listener = self.server()
        for values in ({"verify": False}, {}, {"servername": NAME}):
            one = self.client(listener.so.getsockname(), **values)
            two = await self.accepted(listener)
            two.so.sendbatch(packets(b"x"))
            await one.until(lambda one: one.data == b"x", one)
            self.assertFalse(gettls(one.so).resumed)
            one.so.close()


class EndTests(TLSTestCase):
    async def test_half_close(self) -> None:
        """After SHUT_WR the peer sees the end, and what it sends still comes."""
        one, two = await self.both({}, {})
        one.so.sendbatch(packets(b"question"))
        one.so.shutdown(c.SHUT_WR)
        await two.until(lambda: two.eof)
        self.assertEqual(b"question", two.data)
        self.assertTrue(two.so.isconnected())
        two.so.sendbatch(packets(b"answer"))
        two.so.shutdown(c.SHUT_WR)
        await one.until(lambda: one.eof)
        self.assertEqual(b"answer", one.data)
        self.assertIsNone(one.error)
        self.assertEqual(errno.EPIPE, self.errno_of(one.so.sendbatch, packets(b"more")))

    async def test_close_at_once(self) -> None:
        """Who closes at once has still sent all, and the end of it."""
        local: dict[str, Any] = {"servername": NAME}
        for domain, values in ((INET, {}), (UNIX, local)):
            listener = self.server(domain)
            one = self.client(listener.so.getsockname(), domain, **values)
            data = os.urandom(700_000)
            one.so.sendbatch(packets(data))
            await one.until(one.so.isconnected)
            flushed = one.so.close()
            two = await self.accepted(listener)
            await two.until(lambda two: two.eof or two.error, two)
            self.assertEqual((True, None), (two.eof, two.error))
            self.assertEqual(data, two.data)
            await flushed

    async def test_close_idle(self) -> None:
        """An idle connection that is closed ends whole for the peer, local ones too."""
        local: dict[str, Any] = {"servername": NAME}
        for domain, values in ((INET, {}), (UNIX, local)):
            listener = self.server(domain)
            one = self.client(listener.so.getsockname(), domain, **values)
            two = await self.accepted(listener)
            await one.until(one.so.isconnected)
            await two.so.close()
            await one.until(lambda one: one.eof or one.error, one)
            self.assertEqual((True, None), (one.eof, one.error))

    async def test_cut(self) -> None:
        """An end of file without close_notify is an error, after what came before it."""
        one, two = await self.both({}, {})
        two.so.sendbatch(packets(b"part of it"))
        await one.until(lambda: one.data == b"part of it")
        driver(two.so).sock.shutdown(1)  # behind the back of TLS
        self.assertEqual(
            (
                errno.ECONNRESET,
                "the peer closed the connection without the alert that ends TLS; "
                "data may be missing",
            ),
            await self.fails(one),
        )

    async def test_aborted(self) -> None:
        """A reset is ECONNRESET, and says nothing in farewell."""
        one, two = await self.both({}, {})
        two.so.abort()
        self.assertEqual(errno.ECONNRESET, (await self.fails(one))[0])

    async def test_local_cut(self) -> None:
        """A local peer that vanishes was not at its end."""
        listener = self.server(UNIX)
        one = self.client(listener.so.getsockname(), UNIX, servername=NAME)
        two = await self.accepted(listener)
        await one.until(one.so.isconnected)
        two.so.abort()
        self.assertEqual(errno.ECONNRESET, (await self.fails(one))[0])
        self.assertIn("without the alert", one.so.why)

    async def test_listener_closed(self) -> None:
        """A listener that is closed takes along those who wait and shake hands."""
        listener = self.server()
        plain = Owner(self.socket())
        self.connect(plain.so, listener.so.getsockname())
        waiting = self.client(listener.so.getsockname())
        await listener.until(lambda: listener.so.so_comp)
        listener.so.close()
        self.assertEqual({}, driver(listener.so).embryos)
        await waiting.until(lambda: waiting.error)
        await plain.until(lambda: plain.error or plain.eof)

    async def test_no_urgent_data(self) -> None:
        """TLS has neither urgent data nor control data."""
        one, _two = await self.both({}, {})
        for call in (driver(one.so).sendmsg, driver(one.so).recvoob):
            self.assertEqual(errno.EOPNOTSUPP, self.errno_of(call, [b"!"], 1, None, []))


class AmountTests(TLSTestCase):
    async def test_large(self) -> None:
        """8 MiB each way at once arrive as they were sent."""
        one, two = await self.both({}, {})
        piece = os.urandom(65536)
        sums = {}
        for sender, receiver in ((one, two), (two, one)):
            left = [128]

            def feed(so: object, cookie: object, waitf: int, sender=sender, left=left) -> None:
                while left[0] and sender.so.sndspace() > 0:
                    sender.so.sendbatch(packets(piece))
                    left[0] -= 1

            sender.so.setupcalls(sender._read, None, feed, None)
            feed(None, None, 1)
            sums[id(receiver)] = receiver
        for owner in sums.values():
            await owner.until(lambda owner: sum(map(len, owner.received)) >= 8 << 20, owner)
            expected = hashlib.sha256(piece * 128).digest()
            self.assertEqual(expected, hashlib.sha256(owner.data).digest())

    async def test_back_pressure(self) -> None:
        """Nobody reads: so_rcv fills, so_snd fills, little is encrypted ahead; then all comes."""
        one, two = await self.both({}, {})
        two.reads = False
        sent = b""
        while one.so.sndspace() > 0 and len(sent) < 64 << 20:
            piece = os.urandom(100_000)
            sent += piece
            one.so.sendbatch(packets(piece))
        await two.until(lambda: two.so.so_rcv.full)
        self.assertFalse(driver(two.so).reading)
        self.assertLessEqual(driver(one.so).records.waiting, 300 * 1024)
        self.assertGreater(one.so.sndcount, 0)
        one.so.shutdown(c.SHUT_WR)
        two.reads = True
        two.drain()
        await two.until(lambda: two.eof or two.error)
        self.assertEqual(hashlib.sha256(sent).digest(), hashlib.sha256(two.data).digest())

    async def test_small_pieces(self) -> None:
        """A batch of many small packets leaves in few records."""
        one, two = await self.both({}, {})
        one.so.sendbatch(packets(*[b"%04d" % n for n in range(1000)]))
        await two.until(lambda: len(two.data) == 4000)
        self.assertEqual(1, len(two.received))

    async def test_closing_flushes(self) -> None:
        """The last alert waits its turn when nothing fits, even if the peer ended first."""
        one, two = await self.both({}, {})
        two.reads = False
        two.so.shutdown(c.SHUT_WR)
        await one.until(lambda: one.eof)
        sent = 0
        while not one.so.sndcount:
            sent += one.so.sendbatch(packets(bytes(200_000))) * 200_000
        flushed = one.so.close()
        self.assertFalse(flushed.called)
        two.reads = True
        two.drain()
        await two.until(lambda: two.eof or two.error)
        self.assertEqual((None, sent), (two.error, len(two.data)))
        await flushed


class OddPeerTests(TLSTestCase):
    async def raw_client(self, context: SSL.Context) -> tuple[RawPeer, Owner]:
        """Return a peer of ours on a plain socket, connected to a TLS server."""
        listener = self.server()
        plain = Owner(self.socket())
        self.connect(plain.so, listener.so.getsockname())
        await plain.until(plain.so.isconnected)
        raw = RawPeer(plain, context, server=False)
        await plain.until(raw.go)
        return raw, await self.accepted(listener)

    async def test_version_1_2(self) -> None:
        """A peer that has 1.2 alone is served with it, and sees a clean end."""
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        raw, two = await self.raw_client(context)
        self.assertEqual("TLSv1.2", gettls(two.so).version)
        two.so.sendbatch(packets(b"hello"))
        await raw.owner.until(lambda: raw.go() and raw.plain == b"hello")
        two.so.close()
        await raw.owner.until(lambda: raw.go() and raw.ended)
        self.assertIsInstance(raw.ended, SSL.ZeroReturnError)

    async def test_renegotiation(self) -> None:
        """Who asks for a renegotiation is refused it."""
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        raw, two = await self.raw_client(context)
        raw.conn.renegotiate()
        await raw.owner.until(lambda: raw.go() and raw.ended)
        self.assertIn("renegotiation", str(raw.ended))
        self.assertEqual(0, driver(two.so).records.conn.total_renegotiations())

    async def test_broken_record(self) -> None:
        """A record that was tampered with ends the connection, and says so."""
        raw, two = await self.raw_client(SSL.Context(SSL.TLS_CLIENT_METHOD))
        raw.owner.so.sendbatch(packets(b"\x17\x03\x03\x00\x20" + bytes(32)))
        error, why = await self.fails(two)
        self.assertEqual(errno.EPROTO, error)
        self.assertIn("bad record mac", why)

    async def test_early(self) -> None:
        """What comes with the last message of the handshake is there after accept."""
        listener = self.server()
        one = self.client(listener.so.getsockname())
        one.so.sendbatch(packets(b"early"))
        await one.until(one.so.isconnected)
        one.so.shutdown(c.SHUT_WR)
        two = await self.accepted(listener)
        await two.until(lambda: two.eof)
        self.assertEqual(b"early", two.data)

    async def test_reset_while_paused(self) -> None:
        """What came before a reset is read before the error, in plain."""
        one, two = await self.both({}, {})
        two.reads = False
        driver(two.so).pause()
        one.so.sendbatch(packets(b"the last words"))
        one.so.abort()
        two.reads = True
        driver(two.so).found_reset()
        await two.until(lambda: two.error)
        self.assertEqual(b"the last words", two.data)
        self.assertEqual(errno.ECONNRESET, two.error)
