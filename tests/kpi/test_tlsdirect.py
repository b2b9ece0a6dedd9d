"""TLS by OpenSSL's own functions: a guest, which does what pyOpenSSL does."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL
from twisted.internet import reactor

from ngksock.kpi import SocketKPI, tlsdirect
from ngksock.kpi.tlsdirect import USABLE, DirectRecords
from ngksock.kpi.tlsrecord import RECORD, Records
from tests.kpi import (
    test_tls,
    test_tlsbuffers,
    test_tlscert,
    test_tlsdamaged,
    test_tlsfail,
    test_tlsodd,
    test_tlspeer,
    test_tlsreload,
)
from tests.kpi.sockets import driver, packets
from tests.kpi.tlspeers import TLSTestCase

WAYS = {"off": Records, "direct": DirectRecords}

STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("write"), st.sampled_from((1, 2, 100, RECORD, RECORD + 1, 70_000, 300_000))
        ),
        st.tuples(st.just("small"), st.integers(1, 60)),
    ),
    max_size=6,
)
ENDS = st.sampled_from(("open", "open", "close_notify", "garbage", "damage", "cut"))
CHUNKS = st.lists(
    st.sampled_from((1, 4, 5, 6, 100, 16_000, 65_536, 262_144)), min_size=1, max_size=5
)


class Pair:
    """
    A client, and a server whose records are read as *way* says; the handshake is done.

    Args:
        way: As `SocketKPI` has it.
        cert: The server's PEM file.
        version: The version of TLS.
    """

    def __init__(self, way: str, cert: str, version: int) -> None:
        theirs, ours = SSL.Context(SSL.TLS_CLIENT_METHOD), SSL.Context(SSL.TLS_SERVER_METHOD)
        theirs.set_max_proto_version(version)
        ours.use_certificate_chain_file(cert)
        ours.use_privatekey_file(cert)
        self.client, server = SSL.Connection(theirs, None), SSL.Connection(ours, None)
        self.client.set_connect_state()
        server.set_accept_state()
        made: Any = SocketKPI(reactor, tls=way).records(server)
        self.records: Records = made
        done = False
        while not done:
            done = self.steps()

    def steps(self) -> bool:
        """Let both take a step of the handshake; return whether they are done."""
        try:
            self.client.do_handshake()
        except SSL.WantReadError:
            self.answer()
            return False
        return self.answer()

    def answer(self) -> bool:
        """Let the server go on with what the client has said; return whether it is done."""
        done = self.records.shake(self.said()) is True
        self.hear()
        return done

    def said(self) -> bytes:
        """Return what the client has to send."""
        try:
            return self.client.bio_read(1 << 24)
        except SSL.WantReadError:
            return b""

    def hear(self) -> int:
        """Give the client what the server has to send; return how much that was."""
        count = self.records.waiting
        far: Any = self
        self.records.push(far)
        return count

    def send(self, piece: bytes | memoryview, flags: int) -> int:
        """Be the socket: give the client *piece*."""
        return self.client.bio_write(bytes(piece))

    def sendmsg(self, pieces: list[bytes | memoryview], control: object, flags: int) -> int:
        """Be the socket: give the client *pieces*."""
        return sum(self.send(piece, flags) for piece in pieces)


class EqualTests(TLSTestCase):
    @settings(max_examples=60, deadline=None)
    @given(STEPS, ENDS, CHUNKS, st.sampled_from((SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION)))
    def test_open(
        self, steps: list[tuple[str, int]], end: str, chunks: list[int], version: int
    ) -> None:
        """Whatever comes, in whatever pieces: the same plaintext, end and answers either way."""
        seen = {way: self.outcome(way, steps, end, chunks, version) for way in WAYS}
        self.assertEqual(seen["off"], seen["direct"])
        plain, _ended, _answers, waiting = seen["off"]
        self.assertEqual(0, waiting)
        if end == "open":
            self.assertEqual(sum(size for _, size in steps), len(plain))

    def outcome(
        self, way: str, steps: list[tuple[str, int]], end: str, chunks: list[int], version: int
    ) -> tuple[bytes, str, int, int]:
        """Return plaintext, how it ended, the bytes of answers, and what waits after them."""
        pair = Pair(way, self.cert, version)
        self.assertIs(WAYS[way], type(pair.records))
        pair.records.seal(b"hello")
        pair.hear()
        for what, size in steps:
            if what == "write":
                pair.client.sendall(bytes(range(256)) * (size // 256) + bytes(size % 256))
            else:
                for _ in range(size):
                    pair.client.send(b"s")
        if end == "close_notify":
            pair.client.shutdown()
        wire = pair.said()
        if end == "garbage":
            wire += b"\x17\x03\x03\x00\x20" + bytes(32)
        elif end == "damage" and wire:
            wire = wire[:-1] + bytes([wire[-1] ^ 1])
        elif end == "cut":
            wire = wire[:-3]
        plain, ended, at, turn, answers = b"", "", 0, 0, 0
        while at < len(wire) and not ended:
            size = chunks[turn % len(chunks)] if turn < 3000 else 1 << 18
            batch, why = pair.records.open(wire[at : at + size])
            self.assertEqual(sum(packet.len for packet in batch), batch.nbytes)
            plain += b"".join(bytes(packet.data) for packet in batch)
            ended = "" if why is None else f"{type(why).__name__} {why}"
            answers += pair.hear()
            at, turn = at + size, turn + 1
        return plain, ended, answers, pair.records.waiting

    async def test_own_bytes(self) -> None:
        """What was read stays as it is, whatever comes later: packets own their bytes."""
        first, second = os.urandom(70_000), os.urandom(70_000)
        one, two = await self.both({}, {})
        one.so.sendbatch(packets(first))
        await two.until(lambda: len(two.data) == len(first))
        one.so.sendbatch(packets(second))
        await two.until(lambda: len(two.data) == len(first + second))
        self.assertEqual(first + second, two.data)

    async def test_chosen(self) -> None:
        """The guest serves unless told otherwise, or pyOpenSSL is another one than it knows."""
        self.assertTrue(USABLE)
        environ = {name: value for name, value in os.environ.items() if name != "NGKSOCK_TLS"}
        self.patch(os, "environ", environ)
        self.kpi = SocketKPI(reactor)
        self.addCleanup(self.kpi.closeall)
        one, two = await self.both({}, {})
        for owner in (one, two):
            self.assertIs(DirectRecords, type(driver(owner.so).records))
        conn = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)
        self.assertIs(Records, type(SocketKPI(reactor, tls="off").records(conn)))
        self.patch(tlsdirect, "USABLE", False)
        self.assertIs(Records, type(SocketKPI(reactor).records(conn)))
        with self.assertRaises(ValueError):
            SocketKPI(reactor, tls="on")

    def test_environment(self) -> None:
        """NGKSOCK_TLS chooses where the program does not."""
        conn = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)
        self.patch(os, "environ", os.environ | {"NGKSOCK_TLS": "off"})
        self.assertIs(Records, type(SocketKPI(reactor).records(conn)))
        self.assertIs(DirectRecords, type(SocketKPI(reactor, tls="direct").records(conn)))

    async def test_held(self) -> None:
        """What nobody has accepted is not read, by either way, and all comes after accept."""
        for way in WAYS:
            self.kpi = SocketKPI(reactor, tls=way)
            self.addCleanup(self.kpi.closeall)
            listener = self.server()
            one = self.client(listener.so.getsockname())
            await listener.until(lambda so=listener.so: so.so_comp)
            waiting = listener.so.so_comp
            assert waiting is not None
            held = waiting[0]
            await one.until(one.so.isconnected)
            one.so.sendbatch(packets(b"early"))
            driver(held).doRead()
            self.assertEqual((False, 0), (driver(held).reading, held.so_rcv.cc))
            two = await self.accepted(listener)
            await two.until(lambda two: two.data == b"early", two)


def _plain(case: type[TLSTestCase]) -> type[TLSTestCase]:
    name = case.__name__.removesuffix("Tests") + "PlainTests"
    doc = f"{case.__name__}, by pyOpenSSL alone."
    return type(name, (case,), {"way": "off", "__doc__": doc, "__module__": __name__})


for _module in (
    test_tls,
    test_tlsbuffers,
    test_tlscert,
    test_tlsdamaged,
    test_tlsfail,
    test_tlsodd,
    test_tlspeer,
    test_tlsreload,
):
    for _case in list(vars(_module).values()):
        if isinstance(_case, type) and issubclass(_case, TLSTestCase) and _case is not TLSTestCase:
            globals()[_case.__name__.removesuffix("Tests") + "PlainTests"] = _plain(_case)
del _case, _module
