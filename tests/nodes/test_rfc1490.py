"""rfc1490: netgraph.md §10.16, RFC 2427 and RFC 1973."""

from __future__ import annotations

from errno import EEXIST, EINVAL, ENETDOWN, EPROTONOSUPPORT
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from ngksock.netgraph import EOF, Message, Packet, Tag
from ngksock.nodes.rfc1490 import Rfc1490, rfc1490
from ngksock.packet import Record
from ngksock.plugin import find_type
from ngksock.testing import GraphTestCase, check_node_type
from ngksock.testing.recording import Data

HOOKS = ("downstream", "inet", "ppp", "ethernet")
ENCAPSULATIONS = {"ietf-ip": "03cc", "ietf-snap": "0300800000000800", "cisco": "0800"}
FRAME = bytes.fromhex("020000000001 020000000002 0800") + b"payload"


def frame(header: str, payload: bytes = b"payload") -> bytes:
    """Return a frame with a header written in hexadecimal."""
    return bytes.fromhex(header) + payload


class Rfc1490TestCase(GraphTestCase):
    def setUp(self) -> None:
        super().setUp()
        first, *rest = HOOKS
        self.graph(f"mkpeer rfc1490 {first} {first}", f"name {first} r")
        self.graph(*(f"connect r: {hook} {hook}" for hook in rest))
        self.local.forget()

    def setencap(self, name: str) -> None:
        """Choose the encapsulation."""
        self.msg("r:", f'setencap "{name}"')

    def sent(self, hook: str, data: Data) -> dict[str, list[Data]]:
        """Send *data* by a hook of the test, alone and in a batch; both must do the same."""
        self.send(hook, data)
        alone = self.take()
        self.send_batch(hook, [data])
        self.assertEqual(alone, self.take())
        return alone

    def refused(self, hook: str, data: Data) -> int:
        """Return the errno by which *data* is refused, alone and in a batch."""
        drops = dict(self.local.hooks[hook].drops)
        errno = self.errno(lambda: self.send(hook, data))
        self.send_batch(hook, [data])
        drops[errno] = drops.get(errno, 0) + 2
        self.assertEqual(drops, self.local.hooks[hook].drops)
        self.assertEqual({}, self.take())
        return errno


class TypeTests(Rfc1490TestCase):
    def test_conforms(self) -> None:
        """It keeps the promises of all types, with each encapsulation."""
        check_node_type(rfc1490)
        for name in ("ietf-snap", "cisco"):
            check_node_type(rfc1490, setup=(f'setencap "{name}"',), examples=20)

    def test_found(self) -> None:
        """Its name finds it; cookie and numbers are FreeBSD's."""
        self.assertIs(rfc1490, find_type("rfc1490"))
        self.assertEqual(1086947474, rfc1490.cookie)
        self.assertEqual(
            [(0, "setencap"), (1, "getencap")], [(r.cmd, r.name) for r in rfc1490.commands.all]
        )


class HeaderTests(Rfc1490TestCase):
    def test_inet(self) -> None:
        """IP packets leave as the encapsulation says, ietf-ip at first."""
        self.assertEqual({"downstream": [frame("03cc")]}, self.sent("inet", b"payload"))
        for name, header in ENCAPSULATIONS.items():
            self.setencap(name)
            self.assertEqual({"downstream": [frame(header)]}, self.sent("inet", b"payload"))

    def test_others(self) -> None:
        """PPP and Ethernet frames leave with the header of RFC 1490, whatever the encapsulation."""
        for name in ENCAPSULATIONS:
            self.setencap(name)
            ppp = {"downstream": [frame("03cf")]}
            self.assertEqual(ppp, self.sent("ppp", b"payload"))
            ethernet = {"downstream": [frame("03008000 80c20007", FRAME)]}
            self.assertEqual(ethernet, self.sent("ethernet", FRAME))

    def test_arrived(self) -> None:
        """The header tells the hook, with a pad and without, whatever the encapsulation."""
        for name in ENCAPSULATIONS:
            self.setencap(name)
            for pad in ("", "00"):
                for header, hook in (
                    ("cc", "inet"), ("80 000000 0800", "inet"), ("cf", "ppp"),
                    ("80 0080c2 0007", "ethernet"),
                ):  # fmt: skip
                    got = self.sent("downstream", frame(f"03 {pad} {header}", FRAME))
                    self.assertEqual({hook: [FRAME]}, got, f"{name}: {pad} {header}")

    def test_fcs(self) -> None:
        """A bridged frame with a checksum loses it."""
        for pad in ("", "00"):
            data = frame(f"03 {pad} 80 0080c2 0001", FRAME + b"\1\2\3\4")
            self.assertEqual({"ethernet": [FRAME]}, self.sent("downstream", data))
        header = "0300800080c20001"
        for size in range(4):
            self.assertEqual(EINVAL, self.refused("downstream", frame(header, b"1234"[:size])))
        self.assertEqual({"ethernet": [b""]}, self.sent("downstream", frame(header, b"1234")))

    def test_cisco(self) -> None:
        """A frame without UI is IP by its ethertype if the encapsulation is cisco."""
        for name in ("ietf-ip", "ietf-snap"):
            self.setencap(name)
            self.assertEqual(EINVAL, self.refused("downstream", frame("0800")))
        self.setencap("cisco")
        self.assertEqual({"inet": [b"payload"]}, self.sent("downstream", frame("0800")))
        self.assertEqual(EPROTONOSUPPORT, self.refused("downstream", frame("86dd")))
        for short in (b"", b"\x08"):
            self.assertEqual(EINVAL, self.refused("downstream", short))

    def test_short(self) -> None:
        """A frame that ends within its header is refused; one that ends with it is not."""
        for header, hook in (
            ("03cc", "inet"), ("0300cc", "inet"), ("03cf", "ppp"), ("0380 000000 0800", "inet"),
            ("030080 000000 0800", "inet"), ("030080 0080c2 0007", "ethernet"),
        ):  # fmt: skip
            whole = frame(header, b"")
            for size in range(len(whole)):
                self.assertEqual(EINVAL, self.refused("downstream", whole[:size]), whole[:size])
            self.assertEqual({hook: [b""]}, self.sent("downstream", whole))

    def test_unknown(self) -> None:
        """Frames that begin otherwise, or carry anything else, are refused."""
        for first in ("00", "02", "08", "13", "ff"):
            self.assertEqual(EINVAL, self.refused("downstream", frame(f"{first}cc")))
        for header in (
            "0381", "0308", "038e", "030000", "030000cc", "0380 000000 0806", "0380 000000 86dd",
            "0380 0080c2 0003", "0380 0080c2 0008", "0380 0080c2 000b", "0380 00000c 0800",
        ):  # fmt: skip
            self.assertEqual(EPROTONOSUPPORT, self.refused("downstream", frame(header)), header)

    @given(
        st.sampled_from(sorted(ENCAPSULATIONS)),
        st.sampled_from(HOOKS[1:]),
        st.binary(max_size=60),
        st.booleans(),
    )
    def test_there_and_back(self, name: str, hook: str, data: bytes, view: bool) -> None:
        """What leaves by one node with a header comes out of its like at the same hook."""
        self.setencap(name)
        ((wrapped,),) = self.sent(hook, Packet(memoryview(data)) if view else data).values()
        assert isinstance(wrapped, bytes)
        back = self.sent("downstream", Packet(memoryview(wrapped)) if view else wrapped)
        self.assertEqual({hook: [data]}, back)

    @given(st.sampled_from(sorted(ENCAPSULATIONS)), st.binary(max_size=20), st.booleans())
    def test_noise(self, name: str, data: bytes, ui: bool) -> None:
        """Whatever bytes come are a frame, or refused."""
        self.setencap(name)
        noise = b"\x03" + data if ui else data
        errno = self.errno(lambda: self.send("downstream", noise))
        self.assertIn(errno, (0, EINVAL, EPROTONOSUPPORT))
        self.assertEqual(errno == 0, len(self.take()) == 1)

    def test_batch(self) -> None:
        """A batch is sorted; each hook gets its packets in order, and losses are counted."""
        self.send_batch(
            "downstream",
            [
                frame("03cc", b"1"), frame("03cf", b"2"), b"", frame("0300cc", b"3"),
                frame("0381"), EOF,
            ],
        )  # fmt: skip
        self.assertEqual(
            {"inet": [b"1", b"3", EOF], "ppp": [b"2", EOF], "ethernet": [EOF]}, self.received
        )
        self.assertEqual({EINVAL: 1, EPROTONOSUPPORT: 1}, self.local.hooks["downstream"].drops)

    def test_missing(self) -> None:
        """Where the destination is missing a packet is lost as ENETDOWN."""
        self.graph("rmhook inet")
        self.assertEqual(ENETDOWN, self.refused("downstream", frame("03cc")))
        self.graph("rmhook downstream")
        self.assertEqual(ENETDOWN, self.refused("ppp", b"payload"))
        self.graph("connect r: downstream downstream")
        self.assertEqual({"downstream": [frame("03cf")]}, self.sent("ppp", b"payload"))

    def test_mark(self) -> None:
        """An end-of-file mark from downstream goes to all, one from elsewhere to downstream."""
        everywhere = {name: [EOF] for name in HOOKS[1:]}
        self.assertEqual(everywhere, self.sent("downstream", EOF))
        for hook in HOOKS[1:]:
            self.assertEqual({"downstream": [EOF]}, self.sent(hook, EOF))
        self.graph("rmhook downstream")
        self.assertEqual({}, self.sent("inet", EOF))

    def test_kept(self) -> None:
        """A packet keeps its tags and stays a datagram, both ways."""
        node = self.node("r:")
        assert isinstance(node, Rfc1490)
        packet = Record(b"\x03\xcc!", (Tag(1, 2, b"3"),))
        for name in HOOKS:
            _, done = node._wrapped(node.hooks[name], packet)
            self.assertEqual((packet.tags, True), (done.tags, done.record))
        self.assertEqual(b"\x03\xcc!", bytes(packet))

    def test_pressure(self) -> None:
        """A full sink downstream holds all others, one elsewhere holds downstream."""
        self.local.hooks["downstream"].send_flow(True)
        self.assertEqual(set(HOOKS[1:]), {event[1] for event in self.local.events})
        self.local.hooks["downstream"].send_flow(False)
        self.local.forget()
        self.local.hooks["ppp"].send_flow(True)
        self.assertEqual([("rcvflow", "downstream", True)], self.local.events)


class MessageTests(Rfc1490TestCase):
    def test_encap(self) -> None:
        """The encapsulation is told as it was set, and made again by config."""
        self.assertEqual('"ietf-ip"', self.msg("r:", "getencap"))
        self.assertEqual([], self.node("r:").config())
        for name in ("ietf-snap", "cisco"):
            self.setencap(name)
            self.assertEqual(f'"{name}"', self.msg("r:", "getencap"))
            self.assertEqual([f'msg . setencap "{name}"'], self.node("r:").config())
        self.setencap("ietf-ip")
        self.assertEqual([], self.node("r:").config())

    def test_forms(self) -> None:
        """A name is its characters and a NUL; without the NUL it is EINVAL."""
        for data, errno in ((b"cisco\0", 0), (b"cisco", EINVAL), (b"", EINVAL)):
            message = Message(1086947474, 0, data)
            self.assertEqual(errno, self.errno(partial(self.net.send, self.local, "r:", message)))
        self.assertEqual('"cisco"', self.msg("r:", "getencap"))

    def test_refused(self) -> None:
        """An unknown name is EINVAL and changes nothing."""
        self.setencap("cisco")
        for name in ("", "ietf", "CISCO", "ietf-ip ", "cisco2"):
            self.assertEqual(EINVAL, self.errno(f'msg r: setencap "{name}"'))
        self.assertEqual('"cisco"', self.msg("r:", "getencap"))

    def test_hooks(self) -> None:
        """A hook is there once, and has one of four names."""
        self.assertEqual(EEXIST, self.errno("connect r: x inet"))
        self.assertEqual(EINVAL, self.errno("connect r: x inet6"))

    def test_status(self) -> None:
        """The status tells the encapsulation."""
        self.assertEqual('Status for "r:":\nencapsulation ietf-ip', self.graph("status r:"))
