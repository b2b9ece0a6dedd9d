"""iface: an IP interface of this system, a TUN device.

Hooks: ``inet`` and ``inet6``.  The IPv4 packets that the system sends by the
interface leave by the one, its IPv6 packets by the other; without the hook they
are dropped, and counted in ``status``.  What arrives by a hook, one IP packet at
a time, is received by the system as if it had come over a wire.

The device is made with the first hook, called ``ng0``, or the next number that
is free; it is down then, and has no addresses.  That needs Linux, and the
capability CAP_NET_ADMIN: else mkpeer fails, by EOPNOTSUPP or by EPERM.

A packet is refused by EINVAL if it is not of its hook's protocol, or none at
all; by EIO while the interface is down; by ENOBUFS where the system has no room;
by ENXIO when somebody has removed the device.  End-of-file marks end nothing
and are swallowed.  Nobody is ever held: where a neighbour has no room, packets
of the interface are lost, as on any wire.

Messages (cookie 1108312559):

* 1 ``getifname``: tell the interface's name.
* 2 ``point2point``: make it point-to-point, which a TUN device always is;
  EBUSY while it is up.
* 3 ``broadcast``: EOPNOTSUPP, a TUN device cannot.
* 4 ``getifindex``: tell its number.

Ours (cookie 1750000307):

* 1 ``setifname``: give it another name, 1 to 15 bytes.
* 2 ``setmtu``, 3 ``getmtu``: the length of its longest packet, 68 to 65535.
* 4 ``up``, 5 ``down``: let packets pass, or not.

The device may be moved to another network namespace, with ``ip link set ng0
netns NAME``; packets pass as before, and its name is known still, but all
else has to be done there (ENODEV).

It ends by ``shutdown`` alone, and its device with it; it lives without hooks.
"""

from __future__ import annotations

from errno import EBUSY, EOPNOTSUPP
from typing import Final

from ngksock.netgraph import Batch, Hook, command
from ngksock.netgraph.layout import STRING, UINT32
from ngksock.packet import Record
from ngksock.plugin import NodeType
from ngksock.tuntap import IFNAME, Interface

OWN_COOKIE: Final = 1750000307
VERSIONS: Final = {"inet": 4, "inet6": 6}


class Iface(Interface):
    """A node that is a TUN device."""

    hook_names = ("inet", "inet6")
    pattern = "ng%d"
    ethernet = False
    mtu_max = 65535

    def newhook(self, hook: Hook, name: str) -> None:
        super().newhook(hook, name)
        hook.private = VERSIONS[name]

    def received(self, datas: list[bytes]) -> None:
        """Send the packets of each protocol out of its hook."""
        lost = len(datas)
        for name, version in VERSIONS.items():
            hook = self.hooks.get(name)
            if hook is not None:
                first, after = bytes([version << 4]), bytes([version + 1 << 4])
                batch = Batch(Record(data) for data in datas if first <= data < after)
                if batch:
                    lost -= len(batch)
                    hook.send_batch(batch)
        self.unread += lost

    # -- messages

    @command(1, resp=IFNAME)
    def getifname(self) -> str:
        """Tell the name of the interface."""
        return self.ifname()

    @command(2)
    def point2point(self) -> None:
        """Be a point-to-point interface, as it always is; not while it is up."""
        if self.is_up():
            raise OSError(EBUSY, f"{self.ifname()} is up; say down first")

    @command(3)
    def broadcast(self) -> None:
        """Be a broadcast interface: refused, a TUN device cannot."""
        raise OSError(EOPNOTSUPP, "a TUN device is point-to-point; eiface makes one that is not")

    @command(4, resp=UINT32)
    def getifindex(self) -> int:
        """Tell the number of the interface."""
        return self.ifindex()

    @command(1, arg=STRING, cookie=OWN_COOKIE)
    def setifname(self, name: str) -> None:
        """Give the interface another name, of 1 to 15 bytes."""
        self.rename(name)

    @command(2, arg=UINT32, cookie=OWN_COOKIE)
    def setmtu(self, mtu: int) -> None:
        """Set the length of the longest packet, 68 to 65535 bytes."""
        self.resize(mtu)

    @command(3, resp=UINT32, cookie=OWN_COOKIE)
    def getmtu(self) -> int:
        """Tell the length of the longest packet."""
        return self.size()

    @command(4, cookie=OWN_COOKIE)
    def up(self) -> None:
        """Let packets pass."""
        self.bring(True)

    @command(5, cookie=OWN_COOKIE)
    def down(self) -> None:
        """Let no packets pass."""
        self.bring(False)


iface = NodeType("iface", 1108312559, Iface)
