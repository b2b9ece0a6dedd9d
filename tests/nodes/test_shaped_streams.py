"""Streams through chains of pipes and cars, whatever is done to these meanwhile."""

from __future__ import annotations

from random import Random

from ngksock.netgraph import Packet
from ngksock.packet import Piece, Record
from ngksock.testing import GraphTestCase

RUNS = 150
ENDS = {"upper": "lower", "lower": "upper"}
PIPE = (
    "fifo=1", "wfq=1", "drr=1", "drr=32", "BER=1", "BER=-1", "BER=1000", "duplicate=50",
    "duplicate=-1", "queuelen=5", "queuelen=-1", "queuelen=50", "delaylen=5", "delaylen=-1",
    "bandwidth=-1", "bandwidth=1000", "bandwidth=1000000", "drophead=1", "droptail=1",
)  # fmt: skip
FRONT = (
    "", "delay=1000", "delay=-1", "delay=200000", "bandwidth=-1", "bandwidth=100000",
    "header_offset=14", "header_offset=-1",
)  # fmt: skip


class ShapedStreamTests(GraphTestCase):
    def test_whole(self) -> None:
        """Of a stream nothing is lost, doubled or reordered; its source is let go in the end."""
        for seed in range(RUNS):
            self._chain(Random(seed), f"seed {seed}")
            self.sandbox.close()
            self.setUp()

    def _chain(self, choose: Random, name: str) -> None:
        kinds = [choose.choice(("pipe", "pipe", "car")) for _ in range(choose.randint(1, 3))]
        self.graph(f"mkpeer {kinds[0]} upper upper", "name upper n0")
        for number, kind in enumerate(kinds[1:]):
            self.graph(
                f"mkpeer n{number}: {kind} lower upper", f"name n{number}:lower n{number + 1}"
            )
        self.graph(f"connect n{len(kinds) - 1}: lower lower")
        sent: dict[str, list[bytes]] = {"upper": [], "lower": []}
        for _ in range(choose.randint(5, 60)):
            self._step(choose, kinds, sent)
        for hook in ENDS:
            self.local.hooks[hook].send_flow(False)
        ended = kinds.count("car") == 0 and choose.random() < 0.3
        for number, kind in enumerate(kinds):
            if ended:
                self.graph(f"shutdown n{number}:")
            elif kind == "pipe":
                text = "setcfg { downstream={ BER=-1 } upstream={ BER=-1 } }"
                self.assertIsNone(self.msg(f"n{number}:", text))
        self.pass_time(20_000)
        for hook, far in ENDS.items():
            came = [bytes(data) for data in self.received.get(far, [])]
            self.assertEqual(sent[hook], [data for data in came if len(data) > 40], name)
            self.assertFalse(self.local.hooks[hook].high, name)

    def _step(self, choose: Random, kinds: list[str], sent: dict[str, list[bytes]]) -> None:
        """Send something, let time pass, fill or empty a sink, or configure a node."""
        what, hook = choose.random(), choose.choice(tuple(ENDS))
        number = choose.randrange(len(kinds))
        if what < 0.45:
            if self.local.hooks[hook].high:
                return
            packets: list[Packet] = []
            for _ in range(choose.choice((1, 1, 3, 20))):
                if choose.random() < 0.8:
                    data = b"E" + bytes(11) + choose.randbytes(choose.choice((30, 150, 3000)))
                    packets.append(Piece(data))
                    sent[hook].append(data)
                else:
                    packets.append(choose.choice((Record, Packet))(bytes(choose.randrange(40))))
            if choose.random() < 0.5:
                self.send_batch(hook, packets)
            else:
                for packet in packets:
                    self.errno(lambda packet=packet: self.send(hook, packet))  # type: ignore[misc]
        elif what < 0.65:
            self.pass_time(choose.choice((0.0001, 0.001, 0.01, 0.5, 3)))
        elif what < 0.7:
            self.clock.advance(choose.choice((0.05, 5)))  # as a reactor that is late
            self.settle()
        elif what < 0.9:
            self._configure(choose, kinds, number)
        elif what < 0.98:
            self.local.hooks[hook].send_flow(choose.random() < 0.5)
        else:
            self.clock.rightNow -= 1000

    def _configure(self, choose: Random, kinds: list[str], number: int) -> None:
        way = choose.choice(("downstream", "upstream"))
        if kinds[number] == "pipe":
            fields = {text.partition("=")[0]: text for text in choose.sample(PIPE, 3)}
            text = f"setcfg {{ {choose.choice(FRONT)} {way}={{ {' '.join(fields.values())} }} }}"
        else:
            action = ("1", "2", "3", "9")
            text = (
                f"setconf {{ {way}={{ cbs={choose.choice((1, 1000, 8192))} "
                f"ebs={choose.choice((0, 100, 8192))} cir={choose.choice((8000, 100000, 10**7))} "
                f"pir={choose.choice((0, 8000))} greenAction={choose.choice(action)} "
                f"yellowAction={choose.choice(action)} redAction={choose.choice(action)} "
                f"mode={choose.randrange(4)} opt={choose.randrange(2)} }} }}"
            )
        self.assertIsNone(self.msg(f"n{number}:", text))
