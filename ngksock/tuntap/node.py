"""Interface: a node that is a TUN or TAP device."""

from __future__ import annotations

from errno import EINVAL, EIO, ENOBUFS, ENODEV, ENXIO
from typing import ClassVar, Final

from ngksock.netgraph import Batch, Hook, Node, Packet
from ngksock.netgraph.layout import STRING, FixedString
from ngksock.tuntap.device import Device, check_name

__all__ = ["IFNAME", "Interface"]

IFNAME: Final = FixedString(16)
MTU: Final = 1500
"""What Linux begins with."""
MTU_MIN: Final = 68


class Interface(Node):
    """
    A node with one device, made with its first hook and removed by ``shutdown``.

    In a dry run there is none, and the node knows what was asked of it alone.
    Subclasses say in ``received`` what becomes of packets from the device, and
    may set ``hook.private`` to the one first half-byte that packets to it have.
    """

    pattern: ClassVar[str]
    """How Linux is to name devices, with ``%d`` for a number."""
    ethernet: ClassVar[bool]
    """Whether they are TAP."""
    mtu_max: ClassVar[int]
    """The greatest MTU Linux takes."""

    def __init__(self) -> None:
        super().__init__()
        self.device: Device | None = None
        self.unread = 0  # packets of the device for which there was no hook
        self._first = ""  # the name Linux chose
        self._last = ""  # the last name that is known
        self._named = False
        self._mtu = 0  # asked for; 0: none was
        self._up = False

    # -- life

    def newhook(self, hook: Hook, name: str) -> None:
        """Make the device, with the first hook."""
        super().newhook(hook, name)
        if self._first:
            return
        if self.graph.checking:
            self._first = self._last = self.pattern.replace("%d", "0")
            return
        device = Device(
            self.pattern,
            self.ethernet,
            self.graph.reactor,
            self.received,
            self._gone,
            self.graph.shared.get("tuntap"),  # what stands in for Linux, in tests
        )
        device.startListening()
        self.device = device
        self._first = self._last = device.name

    def disconnect(self, hook: Hook) -> None:
        """Stay, for the interface does."""

    def shutdown(self) -> None:
        """Remove the device."""
        if self.device is not None:
            self.device.close()

    def _gone(self) -> None:
        self.graph.report(
            f"{self.type.name} {self!r}: the interface {self._last} was removed by somebody", None
        )

    # -- packets

    def received(self, datas: list[bytes]) -> None:
        """Take the packets of a round."""
        raise NotImplementedError

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        errno = self._put(hook, packet)
        if errno:
            raise OSError(errno, f"{self._last}: {WHY.get(errno, 'the system refused a packet')}")

    def rcvbatch(self, hook: Hook, batch: Batch) -> None:
        put = self._put
        for packet in batch:
            errno = put(hook, packet)
            if errno:
                hook.peer.drop(errno)

    def _put(self, hook: Hook, packet: Packet) -> int:
        """Give *packet* to the device; return why it did not take it, or 0."""
        if packet.eof:
            return 0  # an interface never ends what it says
        if self.device is None:
            return ENXIO
        first = hook.private
        if first is not None and (not packet.len or packet.data[0] >> 4 != first):
            return EINVAL
        return self.device.put(packet.data)

    def rcvflow(self, hook: Hook, high: bool) -> None:
        """Hold nobody: what comes out of the device is lost where there is no room."""

    # -- what the messages of the types do

    def ifname(self) -> str:
        """Return the name the device has now."""
        if self.device is not None:
            self._last = self.device.name
        return self._last

    def ifindex(self) -> int:
        """Return the number of the device, 0 in a dry run."""
        return 0 if self.graph.checking else self._made().index

    def rename(self, name: str) -> None:
        """Give the device a name."""
        check_name(name)
        if not self.graph.checking:
            self._made().rename(name)
        self._last, self._named = name, True

    def resize(self, mtu: int) -> None:
        """Set the device's MTU."""
        if not MTU_MIN <= mtu <= self.mtu_max:
            raise OSError(EINVAL, f"mtu {mtu} is not in {MTU_MIN}..{self.mtu_max}")
        if not self.graph.checking:
            self._made().mtu = mtu
        self._mtu = mtu

    def size(self) -> int:
        """Return the device's MTU."""
        return (self._mtu or MTU) if self.graph.checking else self._made().mtu

    def bring(self, up: bool) -> None:
        """Let packets pass, or not."""
        if not self.graph.checking:
            self._made().up = up
        self._up = up

    def is_up(self) -> bool:
        """Return whether packets pass."""
        return self._up if self.graph.checking else self._made().up

    def _made(self) -> Device:
        if self.device is None:
            raise OSError(ENXIO, f"{self.type.name} {self!r} has no interface; it had no hook yet")
        return self.device

    # -- what it tells of itself

    def _look(self) -> tuple[bool, bool]:
        """Learn what others have changed; return whether the device is there, and here."""
        device = self.device
        if device is None:
            return self.graph.checking and bool(self._first), True
        try:
            self._last = device.name
        except OSError:
            return False, False
        try:
            mtu, self._up = device.mtu, device.up
        except OSError as error:
            return True, error.errno != ENODEV
        self._mtu = mtu if self._mtu or mtu != MTU else 0
        return True, True

    def config(self) -> list[str]:
        """Return name, MTU and up; of a device that was moved, what was asked here."""
        self._look()
        lines = []
        if self._named or self._last != self._first:
            lines.append(f"msg . setifname {STRING.unparse(self._last)}")
        if self._mtu:
            lines.append(f"msg . setmtu {self._mtu}")
        if self._up:
            lines.append("msg . up")
        return lines

    def status(self) -> str:
        """Return name, up or down, MTU, and what was lost for lack of a hook."""
        there, here = self._look()
        if not self._first:
            text = "no interface yet"
        elif not there:
            text = f"{self._last}, removed by somebody"
        elif not here:
            text = f"{self._last}, in another network namespace"
        else:
            text = f"{self._last} {'up' if self._up else 'down'}, mtu {self._mtu or MTU}"
        return f"{text}; {self.unread} dropped for lack of a hook" if self.unread else text


WHY: Final = {
    EINVAL: "this is no packet it takes",
    EIO: "the interface is down",
    ENOBUFS: "its queue is full",
    ENXIO: "there is no interface",
}
