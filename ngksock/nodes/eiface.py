"""eiface: an Ethernet interface of this system, a TAP device.

Hook: ``ether``.  The frames that the system sends by the interface leave there,
from the destination address on and without a checksum; without the hook they
are dropped, and counted in ``status``.  What arrives there, one frame at a time,
is received by the system as if it had come over a wire.

The device is made with its hook, called ``ngeth0``, or the next number that is
free; it is down then, and has an Ethernet address chosen by the system.  That
needs Linux, and the capability CAP_NET_ADMIN: else mkpeer fails, by EOPNOTSUPP
or by EPERM.

A frame is refused by EINVAL if it is shorter than its header; by EIO while the
interface is down; by ENOBUFS where the system has no room; by ENXIO when
somebody has removed the device.  End-of-file marks end nothing and are
swallowed.  Nobody is ever held: where a neighbour has no room, frames of the
interface are lost, as on any wire.

Messages (cookie 948105892):

* 1 ``getifname``: tell the interface's name.
* 2 ``set``: set its Ethernet address, of one host and not all zeros.

Ours (cookie 1750000308):

* 1 ``setifname``: give it another name, 1 to 15 bytes.
* 2 ``setmtu``, 3 ``getmtu``: the length of its longest packet, without the
  header, 68 to 65521.
* 4 ``up``, 5 ``down``: let frames pass, or not.

The device may be moved to another network namespace, with ``ip link set ngeth0
netns NAME``; frames pass as before, ``getifname`` and ``set`` work still, but
all else has to be done there (ENODEV).

It ends by ``shutdown`` alone, and its device with it; it lives without a hook.
"""

from __future__ import annotations

from errno import EINVAL
from typing import Final

from ngksock.netgraph import Batch, command
from ngksock.netgraph.layout import ETHER, STRING, UINT32
from ngksock.packet import Record
from ngksock.plugin import NodeType
from ngksock.tuntap import IFNAME, Interface

OWN_COOKIE: Final = 1750000308


class EIface(Interface):
    """A node that is a TAP device."""

    hook_names = ("ether",)
    pattern = "ngeth%d"
    ethernet = True
    mtu_max = 65521

    def __init__(self) -> None:
        super().__init__()
        self._address = b""  # asked for; none: the system's choice

    def received(self, datas: list[bytes]) -> None:
        """Send the frames out of the hook."""
        hook = self.hooks.get("ether")
        if hook is None:
            self.unread += len(datas)
        else:
            hook.send_batch(Batch(map(Record, datas)))

    # -- messages

    @command(1, resp=IFNAME)
    def getifname(self) -> str:
        """Tell the name of the interface."""
        return self.ifname()

    @command(2, arg=ETHER)
    def set(self, address: bytes) -> None:
        """Set the Ethernet address of the interface."""
        if address[0] & 1 or not any(address):
            raise OSError(EINVAL, f"{ETHER.unparse(address)} is not the address of one interface")
        if not self.graph.checking:
            self._made().set_address(address)
        self._address = address

    @command(1, arg=STRING, cookie=OWN_COOKIE)
    def setifname(self, name: str) -> None:
        """Give the interface another name, of 1 to 15 bytes."""
        self.rename(name)

    @command(2, arg=UINT32, cookie=OWN_COOKIE)
    def setmtu(self, mtu: int) -> None:
        """Set the length of the longest packet, without the header: 68 to 65521 bytes."""
        self.resize(mtu)

    @command(3, resp=UINT32, cookie=OWN_COOKIE)
    def getmtu(self) -> int:
        """Tell the length of the longest packet."""
        return self.size()

    @command(4, cookie=OWN_COOKIE)
    def up(self) -> None:
        """Let frames pass."""
        self.bring(True)

    @command(5, cookie=OWN_COOKIE)
    def down(self) -> None:
        """Let no frames pass."""
        self.bring(False)

    def config(self) -> list[str]:
        """Return the address, if it was set here, then as of any interface."""
        own = [f"msg . set {ETHER.unparse(self._address)}"] if self._address else []
        return own + super().config()


eiface = NodeType("eiface", 948105892, EIface)
