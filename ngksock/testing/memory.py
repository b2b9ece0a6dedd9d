"""MemoryNet: an internet in memory, for tests of programs that use sockets.

A program gets its sockets from a `SocketKPI`; here is one whose sockets never
leave the process and whose time is a clock that the test turns::

    clock = Clock()
    net = MemoryNet(clock)
    program = Program(net.kpi())
    test = net.kpi().socket(AF_INET, SOCK_STREAM)
    ...
    clock.advance(0)
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Iterable
from typing import Any, Final

from twisted.internet.interfaces import IReactorTime

from ngksock.errors import oserror
from ngksock.kpi import Socket, SocketKPI
from ngksock.kpi.protosw import Protosw
from ngksock.kpi.sockaddr import SockAddr, path_text
from ngksock.testing.memorydgram import MemoryDgram
from ngksock.testing.memorydriver import MemorySocket
from ngksock.testing.memorystream import MemorySeqpacket, MemoryStream

__all__ = ["MemoryNet", "Names"]

EPHEMERAL: Final = range(49152, 65536)
"""The ports of those who ask for none."""

_WILDCARDS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Every address, and whom one reaches there."""

_DRIVERS: Final[dict[int, type[MemorySocket]]] = {
    int(socket.SOCK_STREAM): MemoryStream,
    int(socket.SOCK_SEQPACKET): MemorySeqpacket,
    int(socket.SOCK_DGRAM): MemoryDgram,
}


class MemoryNet:
    """
    An internet of its own.

    Sockets of all the providers made here reach each other, and nothing else;
    each provider stands for a program or a host.  They do as the host's do:
    who is refused, reset, full or gone gets the same upcalls, events and
    errors.  Nothing happens but on *clock*: what a call causes elsewhere
    arrives in a later turn of it, each arrival in a turn of its own and in
    the order of sending.  (`Clock.advance` runs all turns that are due, also
    those that begin meanwhile: two programs that answer each other for ever
    need a *latency*.)  When all sockets are closed, what they sent has arrived
    and a turn has passed, no delayed call is left.

    Args:
        clock: Time; `twisted.internet.task.Clock` as a rule.
        addresses: The networks whose every address is a local one.  To
            connect or send elsewhere is ENETUNREACH, to bind there
            EADDRNOTAVAIL.

    To set at any time:

    ``latency``
        Seconds anything takes to the other end; a connection takes twice
        that.  Local sockets (AF_UNIX) take none.
    ``timeout``
        Seconds until one who hears no answer gets ETIMEDOUT.
    ``wire``
        How many bytes one direction of a connection, or the buffer of a
        datagram socket, holds beside so_snd and so_rcv.

    ``dropped`` counts the datagrams that nobody got.

    What is different: inet and inet6 are two worlds, without mapped
    addresses.  There are no raw sockets, groups, reserved ports, control
    messages or files (the path of a local socket is a name), TIME_WAIT or
    keep-alive probes.  Of two urgent bytes the older is lost unless it was
    fetched, and `SO_OOBINLINE` leaves no mark.  Options are kept, but those
    of SO_REUSEADDR, SO_REUSEPORT and SO_OOBINLINE alone do something.
    """

    def __init__(
        self, clock: IReactorTime, addresses: Iterable[str] = ("127.0.0.0/8", "::1")
    ) -> None:
        self.clock = clock
        self.names = Names(addresses)
        self.latency = 0.0
        self.timeout = 75.0
        self.wire = 256 * 1024
        self.dropped = 0

    def kpi(self, **options: Any) -> SocketKPI:
        """
        Return a new provider of sockets in this net.

        Args:
            options: As `SocketKPI` has them, but for the reactor, the clock
                and the drivers.
        """
        # Memory needs no reactor: one who asks the clock for readers fails.
        return SocketKPI(self.clock, self.clock, drivers=self.driver, **options)

    def driver(self, kpi: SocketKPI, proto: Protosw) -> MemorySocket:
        """
        Return the driver of a new socket: the ``drivers`` of a `SocketKPI`.

        Raises:
            OSError: EPROTONOSUPPORT, a raw socket.
        """
        kind = _DRIVERS.get(proto.type)
        if kind is None:
            raise oserror(errno.EPROTONOSUPPORT, "there are no raw sockets in memory")
        return kind(self, kpi, proto)

    def reset(self, so: Socket) -> None:
        """
        Reset the connection of *so*, as somebody between the two ends would.

        Both get ECONNRESET, behind what is on its way.

        Raises:
            OSError: ENOTCONN, there is no connection.
        """
        _driver(so).reset()

    def cut(self, so: Socket) -> None:
        """
        Let the connection of *so* vanish: nothing passes, and nobody is told.

        What the other end has not read is lost.  Who wants something to pass
        gets ETIMEDOUT, *timeout* seconds later.  Of an attempt to connect
        the answer is lost; a datagram socket is alone from now on.

        Raises:
            OSError: ENOTCONN, there is neither connection nor attempt.
        """
        _driver(so).cut()


def _driver(so: Socket) -> MemorySocket:
    driver = so.driver
    if not isinstance(driver, MemorySocket):
        raise TypeError(f"{so!r} is not in memory")
    return driver


class Names:
    """
    Who has which address.

    Args:
        addresses: The networks whose every address is a local one.
    """

    def __init__(self, addresses: Iterable[str]) -> None:
        self._networks = [ipaddress.ip_network(address) for address in addresses]
        self._ports: dict[tuple[int, int, int, int], list[MemorySocket]] = {}
        self._paths: dict[bytes, MemorySocket] = {}
        self._next = 0

    # -- taking one

    def bind(self, driver: MemorySocket, to: SockAddr) -> None:
        """
        Give *driver* the name *to*.

        Raises:
            OSError: EADDRINUSE, EADDRNOTAVAIL.
        """
        if isinstance(to, bytes):
            if to in self._paths:
                raise oserror(errno.EADDRINUSE, f"another socket is at {path_text(to)}")
            self._paths[to] = driver
            driver.name = to
            return
        host, port = _literal(to[0]), to[1]
        if host not in _WILDCARDS and not self._is_local(host):
            raise oserror(errno.EADDRNOTAVAIL)
        if port == 0:
            self.ephemeral(driver, host)
            return
        if any(not _may_share(driver, other) for other in self._near(driver, host, port)):
            raise oserror(errno.EADDRINUSE)
        driver.name = (host, port)
        self.add(driver)

    def ephemeral(self, driver: MemorySocket, host: str | None) -> None:
        """
        Give *driver* a port of ours at *host*, None: at every address.

        Raises:
            OSError: EADDRNOTAVAIL, all are taken.  EINVAL, a local socket.
        """
        domain = driver.proto.domain
        if domain == socket.AF_UNIX:
            raise oserror(errno.EINVAL, "the socket has no name")
        for _ in EPHEMERAL:
            port = EPHEMERAL[self._next % len(EPHEMERAL)]
            self._next += 1
            if _key(driver.proto, port) not in self._ports:
                everywhere = "0.0.0.0" if domain == socket.AF_INET else "::"
                driver.name = (everywhere if host is None else host, port)
                self.add(driver)
                return
        raise oserror(errno.EADDRNOTAVAIL, "every port is taken")

    def add(self, driver: MemorySocket) -> None:
        """Note the name that *driver* has; an accepted one shares its listener's."""
        self._ports.setdefault(_key(driver.proto, driver.name[1]), []).append(driver)

    def release(self, driver: MemorySocket) -> None:
        """Forget the name of *driver*."""
        name = driver.name
        if isinstance(name, bytes):
            if self._paths.get(name) is driver:
                del self._paths[name]
        elif name is not None:
            key = _key(driver.proto, name[1])
            self._ports[key].remove(driver)
            if not self._ports[key]:
                del self._ports[key]
        driver.name = None

    def check_listen(self, driver: MemorySocket) -> None:
        """
        See to it that one socket listens at a name.

        Raises:
            OSError: EADDRINUSE, another one does.
        """
        if isinstance(driver.name, bytes):
            return
        for other in self._near(driver, *driver.name):
            if other is not driver and other.listens and not _both(driver, other, "SO_REUSEPORT"):
                raise oserror(errno.EADDRINUSE, "another socket listens there")

    def settle(self, driver: MemorySocket, host: str) -> None:
        """Give *driver* the name by which it talks to *host*, if it has none such."""
        if driver.name is None:
            self.ephemeral(driver, self.source(driver, host)[0])
        else:
            driver.name = self.source(driver, host)

    # -- finding one

    def reachable(self, to: SockAddr) -> tuple[str, int]:
        """
        Return *to* in the form that names have here.

        Raises:
            OSError: ENETUNREACH, it is none of the local addresses.
        """
        host = _literal(to[0])
        host = _WILDCARDS.get(host, host)
        if not self._is_local(host):
            raise oserror(errno.ENETUNREACH)
        return host, to[1]

    def source(self, driver: MemorySocket, host: str) -> tuple[str, int]:
        """Return the address that *host* sees *driver* at."""
        own, port = ("0.0.0.0", 0) if driver.name is None else driver.name
        if own not in _WILDCARDS:
            return own, port
        return ("127.0.0.1" if host.startswith("127.") else host), port

    def listener(self, proto: Protosw, to: tuple[str, int]) -> MemorySocket | None:
        """Return who listens at *to*: rather at this address than at every."""
        found = [other for other in self._at(proto, *to) if other.listens]
        return max(found, key=lambda other: other.name == to, default=None)

    def receiver(
        self, proto: Protosw, to: tuple[str, int], source: tuple[str, int]
    ) -> MemorySocket | None:
        """Return who gets a datagram to *to*: its peer, else who is bound there, latest first."""
        found = [other for other in self._at(proto, *to) if other.peername in (None, source)]
        return max(
            reversed(found),
            key=lambda other: (other.peername is not None, other.name == to),
            default=None,
        )

    def at(self, path: bytes, proto: Protosw) -> MemorySocket:
        """
        Return the local socket at *path*.

        Raises:
            OSError: ENOENT, there is none (ECONNREFUSED: of an abstract
                name).  EPROTOTYPE, it is of another type.
        """
        found = self._paths.get(path)
        if found is None:
            abstract = path[:1] == b"\0"
            raise oserror(errno.ECONNREFUSED if abstract else errno.ENOENT)
        if found.proto.type != proto.type:
            raise oserror(errno.EPROTOTYPE, f"the socket at {path_text(path)} is of another type")
        return found

    def _at(self, proto: Protosw, host: str, port: int) -> list[MemorySocket]:
        """Return all who can be reached at *host* and *port*."""
        everyone = self._ports.get(_key(proto, port), ())
        return [other for other in everyone if other.name[0] in (host, *_WILDCARDS)]

    def _near(self, driver: MemorySocket, host: str, port: int) -> list[MemorySocket]:
        """Return all whose addresses overlap with *host* and *port*."""
        if host not in _WILDCARDS:
            return self._at(driver.proto, host, port)
        return self._ports.get(_key(driver.proto, port), [])

    def _is_local(self, host: str) -> bool:
        address = ipaddress.ip_address(host)
        return any(address in network for network in self._networks)


def _key(proto: Protosw, port: int) -> tuple[int, int, int, int]:
    return (proto.domain, proto.type, proto.protocol, port)


def _literal(host: str) -> str:
    """Return a numeric address as it is mostly written."""
    return str(ipaddress.ip_address(host.partition("%")[0]))


def _both(one: MemorySocket, other: MemorySocket, name: str) -> bool:
    number = int(getattr(socket, name))
    return bool(one.option(number) and other.option(number))


def _may_share(driver: MemorySocket, other: MemorySocket) -> bool:
    """Whether *driver* may be bound where *other* is."""
    if _both(driver, other, "SO_REUSEPORT"):
        return True
    return _both(driver, other, "SO_REUSEADDR") and not other.listens
