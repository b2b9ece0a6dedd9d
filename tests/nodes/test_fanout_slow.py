"""One to many with slow receivers: they lose, the others do not wait, each hook tells its own."""

from __future__ import annotations

import errno
import os
import socket

from tests.nodes.reactive import UDP
from tests.nodes.test_ksocket_mmsg import WaysCase

ROUNDS = 30
ROUND = 40


class SlowTests(WaysCase):
    """A local socket that nobody reads and a UDP socket with hardly any room, beside good ones."""

    def local_far(self) -> tuple[socket.socket, str]:
        """Return a local datagram socket, and its address as messages have it."""
        path = os.path.abspath(self.mktemp())
        path = os.path.relpath(path)
        sock = self.owned(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        sock.bind(path)
        self.addCleanup(os.unlink, path)
        return sock, f'local/"{path}"'

    def left(self, sock: socket.socket) -> list[bytes]:
        """Return what waits in a receiver."""
        got = []
        try:
            while True:
                got.append(sock.recv(70_000))
        except BlockingIOError:
            return got

    async def fan(self, lines: list[str], hooks: list[str], source: str) -> None:
        """Fan out to all receivers, and look at each of them and at its hook."""
        first, last = self.udp(), self.udp()
        tight, nobody = self.udp(), self.local_far()
        tight[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        for sock, _ in (first, last):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        # The slow ones are in the middle: somebody is served after each.
        receivers = [first, tight, nobody, last]
        self.run_lines(*lines)
        for hook, (sock, address) in zip(hooks, receivers, strict=True):
            kind = UDP if sock.family == socket.AF_INET else "local/dgram/0"
            self.run_lines(
                f"mkpeer fan: ksocket {hook} {kind}", f"msg fan:{hook} connect {address}"
            )
        if source == "one":  # links count once they are there
            self.run_lines("msg fan: setconfig { xmitAlg=2 failAlg=1 enabledLinks=[ 1 1 1 1 ] }")
        self.run_lines(f"msg fan:{source} bind inet/127.0.0.1:0")
        port = int(self.ask(f"fan:{source}", "getname").rpartition(":")[2])
        sender, wanted = self.udp()[0], []
        for number in range(ROUNDS):
            # Runs, mixed sizes, and empty ones.
            sizes = [200] * ROUND if number % 2 else [i * 37 % 500 for i in range(ROUND)]
            sent = [(i.to_bytes(2) * 250)[:size] for i, size in enumerate(sizes, number * ROUND)]
            for data in sent:
                sender.sendto(data, ("127.0.0.1", port))
            wanted += sent
            for sock, _ in (first, last):
                got = await self.datagrams(sock, ROUND)
                self.assertEqual(sent, [data for data, _ in got])
        links = self.node("fan:").hooks
        total = ROUNDS * ROUND, sum(map(len, wanted))
        for hook in hooks:
            self.assertEqual(total, (links[hook].packets, links[hook].bytes))
            self.assertFalse(links[hook].high, "nobody was asked to wait")
        arrived = self.left(nobody[0])
        self.assertEqual(wanted[: len(arrived)], arrived)
        lost = ROUNDS * ROUND - len(arrived)
        # Of what a UDP socket has no room for its system tells nobody.
        drops = [{}, {}, {errno.EAGAIN: lost}, {}]
        self.assertEqual(drops, [links[hook].drops for hook in hooks])
        self.assertEqual({}, links[source].peer.drops)
        some = self.left(tight[0])
        self.assertLess(len(some), len(wanted))
        self.assertEqual(wanted[: len(some)], some)
        so = links[hooks[2]].peer.node.so
        self.assertEqual((len(arrived), {errno.EAGAIN: lost}), (so.sndpackets, so.senderrors))

    async def test_one2many(self):
        """A one2many that transmits to all."""
        lines = ["mkpeer one2many boot many63", "name boot fan", f"mkpeer fan: ksocket one {UDP}"]
        await self.fan(lines, ["many0", "many1", "many2", "many3"], "one")

    async def test_hub(self):
        """A hub."""
        lines = ["mkpeer hub boot boot", "name boot fan", f"mkpeer fan: ksocket in {UDP}"]
        await self.fan(lines, ["out1", "out2", "out3", "out4"], "in")


class LooseSlowTests(SlowTests):
    """The same without segments."""

    way = "mmsg"


class PlainSlowTests(SlowTests):
    """The same with a system call for each."""

    way = "off"
