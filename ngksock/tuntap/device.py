"""Device: one TUN or TAP device, its packets, and what Linux knows about it."""

from __future__ import annotations

import platform
import struct
from collections.abc import Callable
from errno import (
    EACCES,
    EAGAIN,
    EBADF,
    EBADFD,
    EBUSY,
    EEXIST,
    EINTR,
    EINVAL,
    ENOBUFS,
    ENODEV,
    ENOENT,
    ENOMEM,
    ENOSYS,
    ENXIO,
    EOPNOTSUPP,
    EPERM,
    errorcode,
)
from typing import Any, Final

from twisted.internet.abstract import FileDescriptor
from twisted.pair.ethernet import EthernetProtocol
from twisted.pair.ip import IPProtocol
from twisted.pair.tuntap import TunnelFlags, TuntapPort

from ngksock.tuntap.system import TUNGETIFF, TUNSETIFF, System

__all__ = ["Device", "check_name"]

ROUND: Final = 64
"""Packets taken from a device at a time: then others get their turn."""
LONGEST: Final = 65535 + 18
"""Of the longest packet, with an Ethernet header and a VLAN tag before it."""
NAME_MAX: Final = 15
NAME_REFUSED: Final = frozenset(b"\0/:%\t\n\v\f\r \xa0")
"""Bytes Linux refuses in a name, and the percent sign, which makes it a pattern."""

ARPHRD_ETHER: Final = 1
IFF_UP: Final = 1
SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8913, 0x8914
SIOCGIFMTU, SIOCSIFMTU = 0x8921, 0x8922
SIOCSIFNAME = 0x8923
SIOCSIFHWADDR = 0x8924
SIOCGIFINDEX = 0x8933

_ABSENT: Final = (ENOENT, ENXIO, ENODEV, ENOSYS)
_RETRY: Final = (EAGAIN, EINTR, ENOBUFS, ENOMEM)
_GONE: Final = (EBADF, EBADFD)


def check_name(name: str) -> None:
    """
    Raise what setting this name would: an interface of Linux cannot have it.

    Raises:
        OSError: EINVAL.
    """
    data = name.encode("latin-1")
    if not 1 <= len(data) <= NAME_MAX:
        raise OSError(EINVAL, f"an interface name has 1 to {NAME_MAX} bytes, not {len(data)}")
    odd = sorted(NAME_REFUSED & set(data))
    if odd or name in (".", ".."):
        raise OSError(
            EINVAL,
            f"{name!r} is no interface name: it may have no blank, slash, colon or percent sign, "
            "and is neither . nor ..",
        )


class Device(TuntapPort):
    """
    A TUN or TAP device.

    Args:
        pattern: Its name, or with ``%d`` how its name begins: the lowest free
            number is taken.
        ethernet: Whether it is TAP.
        reactor: Reads it.
        receive: Gets the packets of a round.
        lost: Called when the device was taken away, and not by `close`.
        system: Linux, or what stands in for it.
    """

    def __init__(
        self,
        pattern: str,
        ethernet: bool,
        reactor: Any,
        receive: Callable[[list[bytes]], None],
        lost: Callable[[], None],
        system: System | None = None,
    ) -> None:
        # The protocol says what kind of device it is, and does nothing else: packets go in rounds.
        protocol = EthernetProtocol() if ethernet else IPProtocol()
        name, linux = pattern.encode("latin-1"), system or System()
        TuntapPort.__init__(self, name, protocol, LONGEST, reactor, linux)
        self._linux = linux
        self._receive = receive
        self._lost = lost
        self._fileno = -1

    # -- life

    def startListening(self) -> None:
        """
        Make the device, and read it from now on.

        Raises:
            OSError: EPERM, a privilege is missing; EOPNOTSUPP, Linux, or its
                device, is.
        """
        system = self._linux
        what = "a TAP device" if self.ethernet else "a TUN device"
        if platform.system() != "Linux":
            raise OSError(EOPNOTSUPP, f"{what} is made on Linux alone, not on {platform.system()}")
        mode = self._mode.value | TunnelFlags.IFF_NO_PI.value
        try:
            fileno = system.open(
                b"/dev/net/tun", system.O_RDWR | system.O_NONBLOCK | system.O_CLOEXEC
            )
            try:
                # As TuntapPort._openTunnel, which keeps the descriptor of what failed.
                made = system.ioctl(fileno, TUNSETIFF, struct.pack("16sH", self.interface, mode))
            except OSError:
                system.close(fileno)
                raise
        except OSError as error:
            raise _unmade(error, what) from error
        self.interface = made[:16].rstrip(b"\0")
        self._fileno = fileno
        self.connected = 1
        FileDescriptor.startReading(self)

    def doRead(self) -> OSError | None:
        """Hand on what there is, at most a round; return why there will be no more."""
        read, fileno = self._linux.read, self._fileno
        found: list[bytes] = []
        failed = None
        try:
            while len(found) < ROUND:
                found.append(read(fileno, LONGEST))
        except OSError as error:
            failed = None if error.errno in _RETRY else error
        if found:
            self._receive(found)
        return failed

    def connectionLost(self, reason: object = None) -> None:
        """The reactor says that the device is gone."""
        if self.connected:
            self.close()
            self._lost()

    def close(self) -> None:
        """Remove the device."""
        if self.connected:
            FileDescriptor.connectionLost(self, None)
            fileno, self._fileno = self._fileno, -1
            self._linux.close(fileno)

    # -- packets

    def put(self, data: bytes | memoryview) -> int:
        """
        Give Linux one packet, as if it had arrived at the interface.

        Returns:
            0; or why it was not taken: EINVAL, it is no packet; EIO, the
            interface is down; ENOBUFS, no room; ENXIO, there is no device.
        """
        try:
            self._linux.write(self._fileno, data)
        except OSError as error:
            if error.errno in _GONE:
                return ENXIO
            return ENOBUFS if error.errno in _RETRY else error.errno or EINVAL
        return 0

    # -- what Linux knows about it

    @property
    def name(self) -> str:
        """Its name now, wherever it is."""
        return self._ioctl(TUNGETIFF)[:16].rstrip(b"\0").decode("latin-1")

    def set_address(self, address: bytes) -> None:
        """Give it an Ethernet address, wherever it is."""
        self._ioctl(SIOCSIFHWADDR, struct.pack("16xH6s16x", ARPHRD_ETHER, address))

    @property
    def index(self) -> int:
        """Its number in our network namespace."""
        return self._number(self._control(SIOCGIFINDEX))

    @property
    def mtu(self) -> int:
        """The bytes of the longest packet it sends, without the Ethernet header."""
        return self._number(self._control(SIOCGIFMTU))

    @mtu.setter
    def mtu(self, mtu: int) -> None:
        self._control(SIOCSIFMTU, struct.pack("=i", mtu))

    @property
    def up(self) -> bool:
        """Whether packets pass."""
        return bool(self._flags() & IFF_UP)

    @up.setter
    def up(self, up: bool) -> None:
        flags = self._flags() & ~IFF_UP | (IFF_UP if up else 0)
        self._control(SIOCSIFFLAGS, struct.pack("=H", flags))

    def rename(self, name: str) -> None:
        """Give it another name."""
        self._control(SIOCSIFNAME, name.encode("latin-1"), name)

    def _flags(self) -> int:
        flags: int = struct.unpack("=H", self._control(SIOCGIFFLAGS)[:2])[0]
        return flags

    def _number(self, answer: bytes) -> int:
        number: int = struct.unpack("=i", answer[:4])[0]
        return number

    def _ioctl(self, request: int, argument: bytes = b"") -> bytes:
        """Ask the descriptor, which is the device's wherever that is."""
        try:
            if not self.connected:
                raise OSError(EBADF, "it was closed")
            return self._linux.ioctl(self._fileno, request, argument.ljust(40, b"\0"))
        except OSError as error:
            raise self._refused(error) from error

    def _control(self, request: int, value: bytes = b"", told: str = "") -> bytes:
        """Ask for the interface of that name, which has to be this one."""
        name = self.name
        argument = struct.pack("16s24s", name.encode("latin-1"), value)
        try:
            if not self._linux.is_here(self._fileno):
                raise OSError(ENODEV, "another may have that name")
            return self._linux.control(request, argument)[16:]
        except OSError as error:
            if error.errno != ENODEV:
                raise self._refused(error, told) from error
            raise OSError(
                ENODEV,
                f"{name} is in another network namespace, where it is out of reach; "
                f"say it there, as with ip -n NAMESPACE link set {name} up",
            ) from error

    def _refused(self, error: OSError, told: str = "") -> OSError:
        number = error.errno or EINVAL
        name = self.interface.decode("latin-1")
        if number in _GONE:
            return OSError(ENXIO, f"the interface {name} was removed; what is left is shutdown")
        if number == EPERM:
            return OSError(EPERM, f"{name} cannot be changed without the capability CAP_NET_ADMIN")
        if number == EEXIST:
            return OSError(EEXIST, f"there is another interface {told} already")
        if number == EBUSY:
            return OSError(EBUSY, f"{name} is in use; say down first")
        return OSError(number, f"the system refuses this of {name} ({errorcode.get(number)})")


def _unmade(error: OSError, what: str) -> OSError:
    """Say why a device could not be made."""
    if error.errno in (EPERM, EACCES):
        return OSError(
            EPERM, f"{what} needs the capability CAP_NET_ADMIN, and access to /dev/net/tun; be root"
        )
    if error.errno in _ABSENT:
        return OSError(
            EOPNOTSUPP, f"{what} needs /dev/net/tun, which is not there; try modprobe tun"
        )
    return OSError(error.errno or EINVAL, f"{what} cannot be made: {error.strerror}")
