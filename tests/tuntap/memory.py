"""Linux in memory, as far as TUN and TAP devices go; tests/integration/test_tuntap.py is true."""

from __future__ import annotations

import struct
from errno import (
    EBADF,
    EBADFD,
    EBUSY,
    EEXIST,
    EINVAL,
    EIO,
    ENODEV,
    EPERM,
)
from itertools import count
from typing import Any

from twisted.pair.testing import MemoryIOSystem, Tunnel

from ngksock.netgraph import Graph, Hook, Node
from ngksock.tuntap import device as sioc
from ngksock.tuntap.device import IFF_UP, Device
from ngksock.tuntap.node import Interface
from ngksock.tuntap.system import TUNGETIFF, TUNSETIFF

TUN = b"/dev/net/tun"


class MemoryDevice(Tunnel):
    """
    A device, as Linux sees it.

    ``readBuffer`` is what the interface sends, ``writeBuffer`` what it received.
    """

    SEND_BUFFER_SIZE = 1 << 17

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.name: str = ""
        self.tunnelMode: int = 0
        self.up = False
        self.mtu = 1500
        self.address = bytes.fromhex("020000000001")
        self.here = True
        self.gone = False
        self.renames_up = True
        self.failure = 0

    @property
    def ethernet(self) -> bool:
        """Whether it is TAP."""
        return bool(self.tunnelMode & 2)

    def check(self) -> None:
        """Raise what Linux answers when the device is no more."""
        if self.gone:
            raise OSError(EBADFD, "File descriptor in bad state")

    def read(self, limit: int) -> bytes:
        """Return one packet."""
        self.check()
        data: bytes = super().read(limit)
        return data

    def write(self, data: bytes) -> int:
        """Take one packet."""
        self.check()
        if self.failure:
            raise OSError(self.failure, "as the test said")
        if not self.up:
            raise OSError(EIO, "Input/output error")
        if len(data) < 14 if self.ethernet else not data or data[0] >> 4 not in (4, 6):
            raise OSError(EINVAL, "Invalid argument")
        size: int = super().write(bytes(data))
        return size


class MemoryLinux(MemoryIOSystem):
    """What a device needs of the operating system; ``others`` has further names in use."""

    def __init__(self, absent: bool = False) -> None:
        super().__init__()
        self.others = {"lo", "eth0"}
        self.permissions.add("control")
        if not absent:
            self.registerSpecialDevice(TUN, MemoryDevice)

    @property
    def devices(self) -> list[MemoryDevice]:
        """The devices there are, in order."""
        return list(self._openFiles.values())

    def _names(self) -> set[str]:
        return self.others | {d.name for d in self.devices if d.here and not d.gone}

    def ioctl(self, fd: int, request: int, argument: bytes) -> bytes:
        """Do what the ioctls of a TUN descriptor do."""
        if "ioctl" not in self.permissions:
            raise OSError(EPERM, "Operation not permitted")
        if fd not in self._openFiles:
            raise OSError(EBADF, "Bad file descriptor")
        found: MemoryDevice = self._openFiles[fd]
        found.check()
        if request == TUNSETIFF:
            name, found.tunnelMode = struct.unpack("16sH", argument)
            pattern = name.rstrip(b"\0").decode()
            names = (pattern.replace("%d", str(number)) for number in count())
            found.name = next(name for name in names if name not in self._names())
            return struct.pack("16sH", found.name.encode(), found.tunnelMode)
        if request == TUNGETIFF:
            return struct.pack("16sH22x", found.name.encode("latin-1"), found.tunnelMode)
        if request != sioc.SIOCSIFHWADDR:
            raise OSError(EINVAL, "Invalid argument")
        found.address = argument[18:24]
        return argument

    def control(self, request: int, argument: bytes) -> bytes:
        """Do what the ioctls about an interface do, by its name."""
        name = argument[:16].rstrip(b"\0").decode("latin-1")
        found = [d for d in self.devices if d.name == name and d.here and not d.gone]
        if not found:
            raise OSError(ENODEV, "No such device")
        device, value = found[0], argument[16:]
        changes = request in (sioc.SIOCSIFMTU, sioc.SIOCSIFNAME, sioc.SIOCSIFFLAGS)
        if changes and "control" not in self.permissions:
            raise OSError(EPERM, "Operation not permitted")
        if request == sioc.SIOCSIFMTU:
            [device.mtu] = struct.unpack("=i", value[:4])
        elif request == sioc.SIOCSIFFLAGS:
            device.up = bool(value[0] & IFF_UP)
        elif request == sioc.SIOCSIFNAME:
            new = value.rstrip(b"\0").decode("latin-1")
            if new != name and new in self._names():
                raise OSError(EEXIST, "File exists")
            if device.up and not device.renames_up:
                raise OSError(EBUSY, "Device or resource busy")
            device.name = new
        answers = {
            sioc.SIOCGIFMTU: struct.pack("=i", device.mtu),
            sioc.SIOCGIFFLAGS: struct.pack("=H", 0x1010 | (IFF_UP if device.up else 0)),
            sioc.SIOCGIFINDEX: struct.pack("=i", 7),
        }
        return argument[:16] + answers.get(request, value)

    def is_here(self, fd: int) -> bool:
        """Whether nobody has moved the device."""
        here: bool = self._openFiles[fd].here
        return here


def linux_of(graph: Graph) -> MemoryLinux:
    """Return the Linux of *graph*, which is one in memory from now on."""
    linux: MemoryLinux = graph.shared.setdefault("tuntap", MemoryLinux())
    return linux


def device_of(node: Node) -> MemoryDevice:
    """Return the device of *node*, as Linux sees it."""
    assert isinstance(node, Interface)
    found: MemoryDevice = linux_of(node.graph).getTunnel(reader_of(node))
    return found


def reader_of(node: Node) -> Device:
    """Return the device of *node*, as the reactor sees it."""
    assert isinstance(node, Interface)
    assert node.device is not None
    return node.device


def in_memory(kind: type[Interface]) -> type[Interface]:
    """Return a class of nodes like *kind* whose devices are in memory."""

    class InMemory(kind):  # type: ignore[misc, valid-type]
        def newhook(self, hook: Hook, name: str) -> None:
            linux_of(self.graph)
            super().newhook(hook, name)

    return InMemory
