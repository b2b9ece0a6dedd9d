"""rfc1490: carry IP, PPP and Ethernet over one link, as over frame relay.

Hooks: ``downstream`` carries frames with a header that says what is in them
(RFC 1490, now RFC 2427), the others what is behind it: ``inet`` IPv4 packets,
``ppp`` PPP frames that begin with their protocol number (RFC 1973),
``ethernet`` Ethernet frames without a checksum.

========================================== =========================
a frame from ``downstream`` that begins    goes, without that, to
========================================== =========================
``03 CC``                                  ``inet``
``03 80 00 00 00 08 00``                   ``inet``
``08 00``, with ``cisco``                  ``inet``
``03 CF``                                  ``ppp``
``03 80 00 80 C2 00 07``                   ``ethernet``
``03 80 00 80 C2 00 01``                   ``ethernet``, and without its last
                                           4 bytes, a checksum
========================================== =========================

Behind 03 may be one byte of 0.  A frame that ends within this header is refused
(EINVAL), as is one that begins otherwise; one that says anything else is of an
unknown protocol (EPROTONOSUPPORT).  What is behind the header is not looked at.

What comes from another hook gets a header and goes to ``downstream``: ``03 CF``
from ``ppp``, ``03 00 80 00 80 C2 00 07`` from ``ethernet``, and from ``inet``
what the encapsulation says:

* ``ietf-ip``, the default: ``03 CC``.
* ``ietf-snap``: ``03 00 80 00 00 00 08 00``.
* ``cisco``: ``08 00``.

ENETDOWN where the hook it should go to is missing.

Messages (cookie 1086947474):

* 0 ``setencap``: choose the encapsulation: ``"ietf-snap"``.
* 1 ``getencap``: tell it.

An end-of-file mark from ``downstream`` goes to all hooks, one from elsewhere to
``downstream``.  Back-pressure takes the ways of the packets against them.

It ends by ``shutdown``, or with its last hook.
"""

from __future__ import annotations

from errno import EINVAL, ENETDOWN, EPROTONOSUPPORT
from typing import Final

from ngksock.netgraph import Batch, Hook, Node, Packet, Shares, command, send_all
from ngksock.netgraph.layout import STRING, quote
from ngksock.plugin import NodeType

UI, PAD, IP, PPP, SNAP = 0x03, 0x00, 0xCC, 0xCF, 0x80
CISCO_IP: Final = b"\x08\x00"
SNAP_SIZE: Final = 5
FCS: Final = 4
BRIDGED: Final = b"\x00\x80\xc2\x00\x07"
BRIDGED_FCS: Final = b"\x00\x80\xc2\x00\x01"
SNAPS: Final = {b"\0\0\0\x08\0": "inet", BRIDGED: "ethernet", BRIDGED_FCS: "ethernet"}
NLPIDS: Final = {IP: "inet", PPP: "ppp"}

DEFAULT: Final = "ietf-ip"
ENCAPSULATIONS: Final = {
    DEFAULT: bytes([UI, IP]),
    "ietf-snap": bytes([UI, PAD, SNAP]) + b"\0\0\0\x08\0",
    "cisco": CISCO_IP,
}
"""What is put before IP packets."""
HEADERS: Final = {"ppp": bytes([UI, PPP]), "ethernet": bytes([UI, PAD, SNAP]) + BRIDGED}
"""What is put before the packets of other hooks."""


class Rfc1490(Node):
    """A node that tells protocols apart by the header of RFC 1490."""

    hook_names = ("downstream", "inet", "ppp", "ethernet")

    def __init__(self) -> None:
        super().__init__()
        self.encapsulation = DEFAULT
        self.downstream: Hook | None = None

    def connect(self, hook: Hook) -> None:
        if hook.name == "downstream":
            self.downstream = hook
        self._direct()

    def _direct(self) -> None:
        """Decide which header packets get: the ``private`` of the hook they come from."""
        for name, hook in self.hooks.items():
            hook.private = HEADERS.get(name, ENCAPSULATIONS[self.encapsulation])

    # -- packets --------------------------------------------------------------------------

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        if packet.eof:
            send_all(self._ended(hook), packet)
            return
        out, packet = self._wrapped(hook, packet)
        out.send_data(packet)

    def rcvbatch(self, hook: Hook, batch: Batch) -> None:
        shares = Shares()
        for packet in batch:
            if packet.eof:
                for out in self._ended(hook):
                    shares[out].add(packet)
                continue
            try:
                out, wrapped = self._wrapped(hook, packet)
            except OSError as error:
                hook.peer.drop(error.errno or EINVAL)
            else:
                shares[out].add(wrapped)
        shares.send(batch)

    def _wrapped(self, hook: Hook, packet: Packet) -> tuple[Hook, Packet]:
        """
        Return where *packet* from *hook* goes, with its header put on or taken off.

        Raises:
            OSError: EINVAL, it has no whole header; EPROTONOSUPPORT, there is no
                hook for what it carries; ENETDOWN, the hook is not connected.
        """
        out, name = self.downstream, "downstream"
        if hook is not out:
            header: bytes = hook.private
            packet = packet.replace(header + packet.data)
        else:
            name, data = self._unwrapped(packet.data)
            packet = packet.replace(data)
            out = self.hooks.get(name)
        if out is None:
            raise OSError(ENETDOWN, f"there is no hook {name}")
        return out, packet

    def _unwrapped(self, frame: bytes | memoryview) -> tuple[str, bytes | memoryview]:
        """
        Return the name of the hook a frame is for, and what is behind its header.

        Raises:
            OSError: As `_wrapped` does.
        """
        if self.encapsulation == "cisco" and frame[:1] != bytes([UI]):
            return _unwrapped_cisco(frame)
        at = 2 if frame[1:2] == bytes([PAD]) else 1
        if len(frame) <= at:
            raise OSError(EINVAL, f"a frame of {len(frame)} bytes ends within its header")
        if frame[0] != UI:
            raise OSError(EINVAL, f"a frame begins with {frame[0]:#04x}, not with 0x03")
        nlpid = frame[at]
        at += 1
        if nlpid != SNAP:
            if nlpid not in NLPIDS:
                raise OSError(EPROTONOSUPPORT, f"no hook is for NLPID {nlpid:#04x}")
            return NLPIDS[nlpid], frame[at:]
        kind = bytes(frame[at : at + SNAP_SIZE])
        at += SNAP_SIZE
        end = len(frame)
        if kind == BRIDGED_FCS:
            end -= FCS
        if end < at:
            raise OSError(EINVAL, f"a frame of {len(frame)} bytes is too short")
        if kind not in SNAPS:
            raise OSError(EPROTONOSUPPORT, f"no hook is for SNAP protocol {kind.hex('-')}")
        return SNAPS[kind], frame[at:end]

    def _ended(self, hook: Hook) -> tuple[Hook, ...]:
        """Return the hooks that an end-of-file mark from *hook* goes to."""
        if hook is self.downstream:
            return tuple(other for other in self.hooks.values() if other is not hook)
        return () if self.downstream is None else (self.downstream,)

    def rcvflow(self, hook: Hook, high: bool) -> None:
        """Hold the hooks whose packets go out of *hook*."""
        for other in list(self.hooks.values()):
            if other is not hook and self.downstream in (hook, other):
                other.send_flow(high)

    # -- messages ---------------------------------------------------------------------------

    @command(0, arg=STRING)
    def setencap(self, name: str) -> None:
        """Choose how IP packets are sent: ietf-ip, ietf-snap or cisco."""
        if name not in ENCAPSULATIONS:
            known = ", ".join(ENCAPSULATIONS)
            raise OSError(EINVAL, f"there is no encapsulation {quote(name)}; there are {known}")
        self.encapsulation = name
        self._direct()

    @command(1, resp=STRING)
    def getencap(self) -> str:
        """Tell how IP packets are sent."""
        return self.encapsulation

    def config(self) -> list[str]:
        if self.encapsulation == DEFAULT:
            return []
        return [f"msg . setencap {STRING.unparse(self.encapsulation)}"]

    def status(self) -> str:
        return f"encapsulation {self.encapsulation}"

    # -- the end ----------------------------------------------------------------------------

    def disconnect(self, hook: Hook) -> None:
        if hook is self.downstream:
            self.downstream = None
        super().disconnect(hook)


def _unwrapped_cisco(frame: bytes | memoryview) -> tuple[str, bytes | memoryview]:
    """
    Return the same of a frame that begins with an ethertype.

    Raises:
        OSError: EINVAL, it is too short; EPROTONOSUPPORT, it is not IP.
    """
    ethertype, data = bytes(frame[:2]), frame[2:]
    if len(ethertype) < 2:
        raise OSError(EINVAL, f"a frame of {len(frame)} bytes is shorter than its ethertype")
    if ethertype != CISCO_IP:
        raise OSError(EPROTONOSUPPORT, f"no hook is for ethertype 0x{ethertype.hex()}")
    return "inet", data


rfc1490 = NodeType("rfc1490", 1086947474, Rfc1490)
