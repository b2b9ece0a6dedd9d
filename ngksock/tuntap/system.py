"""The calls to Linux about TUN and TAP devices, in one place: tests have others."""

from __future__ import annotations

import fcntl
import os
import platform
import socket
from errno import EMFILE, ENFILE, ENOMEM
from typing import Final

__all__ = ["TUNGETIFF", "TUNSETIFF", "System"]

# These machines write the direction of an ioctl in other bits than the rest.
_ODD: Final = platform.machine().startswith(("alpha", "mips", "parisc", "ppc", "sparc"))
TUNSETIFF: Final = 0x800454CA if _ODD else 0x400454CA
TUNGETIFF: Final = 0x400454D2 if _ODD else 0x800454D2
TUNGETDEVNETNS: Final = 0x200054E3 if _ODD else 0x000054E3
SIOCGSKNS: Final = 0x894C


class System:
    """What a device needs of the operating system; the first half is Twisted's idea."""

    O_RDWR = os.O_RDWR
    O_NONBLOCK = os.O_NONBLOCK
    O_CLOEXEC = os.O_CLOEXEC

    open = staticmethod(os.open)
    read = staticmethod(os.read)
    write = staticmethod(os.write)
    close = staticmethod(os.close)

    def ioctl(self, fileno: int, request: int, argument: bytes) -> bytes:
        """Carry out an ioctl about the device that *fileno* is."""
        return fcntl.ioctl(fileno, request, argument)

    def control(self, request: int, argument: bytes) -> bytes:
        """Carry out an ioctl about the interface whose name *argument* begins with."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            return fcntl.ioctl(control, request, argument)

    def is_here(self, fileno: int) -> bool:
        """
        Whether the device is in the network namespace in which `control` looks for names.

        Raises:
            OSError: EMFILE, ENFILE, ENOMEM; it takes descriptors to ask.
        """
        spaces: list[int] = []
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
                spaces.append(fcntl.ioctl(fileno, TUNGETDEVNETNS))
                spaces.append(fcntl.ioctl(control, SIOCGSKNS))
            device, ours = map(os.fstat, spaces)
            return (device.st_dev, device.st_ino) == (ours.st_dev, ours.st_ino)
        except OSError as error:
            if error.errno in (EMFILE, ENFILE, ENOMEM):
                raise
            return True  # too old a system, or no privilege left to ask it: it was made here
        finally:
            for space in spaces:
                os.close(space)  # or the namespace, and its devices, would live on
