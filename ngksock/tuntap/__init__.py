"""TUN and TAP devices of Linux, for the two node types that are one: iface and eiface.

Theory of operation.  A device is made by opening ``/dev/net/tun``, and is there
while that descriptor is: `Device` is the descriptor, a reader of the reactor
that hands on whole rounds of packets.  Its descriptor stays the device's
wherever the device goes.  Its name does not: anybody can rename a device, or
move it to another network namespace, where a name means another device.  So the
name is asked of the descriptor each time, and what Linux can do by name alone
is refused while the device is elsewhere.

`Interface` is the node around a device: when it is made, what was asked of it,
packets to it, and what ``config`` and ``status`` say.  The types add their
hooks and their messages.
"""

from ngksock.tuntap.device import Device
from ngksock.tuntap.node import IFNAME, Interface
from ngksock.tuntap.system import System

__all__ = ["IFNAME", "Device", "Interface", "System"]
