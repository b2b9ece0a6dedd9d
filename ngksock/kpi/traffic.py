"""Traffic classes and traffic management (kpi-socket.md §6.12 to §6.14, §10).

A class is a number that Python remembers, and two marks on what the host
sends: a DSCP for the network and SO_PRIORITY for Linux's own queues.  XNU sets
the class for itself and marks packets only where a policy says so; there is no
policy to ask here, so marking the DSCP is an approximation, which
``SocketKPI.marks_dscp`` turns off.  Because the class is what counts, a host
(or a driver without one) that refuses a mark does not make a call fail.

In background (SO_BACKGROUND) the marks are those of the lowest class, and
what was asked for meanwhile is made good when the background is left.  XNU's
background congestion control has no equal here: which algorithms there are is
the administrator's business.  Receiving in the background (TCP_RECVBG) clamps
the receive window where the host can.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from ngksock.errors import oserror
from ngksock.kpi import constants as c
from ngksock.kpi.sockopt import SOL_BSD, forget, recall, remember

if TYPE_CHECKING:
    from ngksock.kpi.callbacks import Callbacks
    from ngksock.kpi.msghdr import Control

__all__ = [
    "CLASSES",
    "Mark",
    "clear_flags",
    "gettclassopt",
    "inherited",
    "marked",
    "set_class",
    "set_flags",
    "set_service",
    "settclassopt",
]


class Mark(NamedTuple):
    """
    How packets of a class are marked.

    Args:
        tos: The TOS or traffic class byte: the DSCP, times four.
        priority: SO_PRIORITY; above 6 it would need a privilege.
    """

    tos: int
    priority: int


CLASSES: Final = {
    c.SO_TC_BK_SYS: Mark(0x20, 1),
    c.SO_TC_BK: Mark(0x20, 2),
    c.SO_TC_BE: Mark(0x00, 0),
    c.SO_TC_RD: Mark(0x48, 3),
    c.SO_TC_OAM: Mark(0x40, 3),
    c.SO_TC_AV: Mark(0x68, 4),
    c.SO_TC_RV: Mark(0x80, 5),
    c.SO_TC_VI: Mark(0x88, 5),
    c.SO_TC_VO: Mark(0xB8, 6),
    c.SO_TC_CTL: Mark(0xC0, 6),
}
"""Every value of SO_TRAFFIC_CLASS, after the RFC 4594."""

_LEGACY: Final = {1: c.SO_TC_BK, 2: c.SO_TC_VI, 3: c.SO_TC_VO}

_SERVICES: Final = {
    c.NET_SERVICE_TYPE_BE: c.SO_TC_BE,
    c.NET_SERVICE_TYPE_BK: c.SO_TC_BK,
    c.NET_SERVICE_TYPE_SIG: c.SO_TC_VI,  # as 802.11e queues signalling
    c.NET_SERVICE_TYPE_VI: c.SO_TC_VI,
    c.NET_SERVICE_TYPE_VO: c.SO_TC_VO,
    c.NET_SERVICE_TYPE_RV: c.SO_TC_RV,
    c.NET_SERVICE_TYPE_AV: c.SO_TC_AV,
    c.NET_SERVICE_TYPE_OAM: c.SO_TC_OAM,
    c.NET_SERVICE_TYPE_RD: c.SO_TC_RD,
}

_BACKGROUND: Final = Mark(0x20, 1)
_MANAGED: Final = c.TRAFFIC_MGT_SO_BACKGROUND | c.TRAFFIC_MGT_TCP_RECVBG

# Remembered beside the options: what to go back to.
_SAVED_TOS: Final = 0x4E470010
_SAVED_PRIORITY: Final = 0x4E470011
_SAVED_CLAMP: Final = 0x4E470012

_TOS: Final = (int(socket.IPPROTO_IP), int(socket.IP_TOS))
_TCLASS: Final = (int(socket.IPPROTO_IPV6), int(socket.IPV6_TCLASS))
_BYTE: Final = {int(socket.AF_INET): _TOS, int(socket.AF_INET6): _TCLASS}
_MARKED: Final = {int(socket.AF_INET): (_TOS,), int(socket.AF_INET6): (_TOS, _TCLASS)}
"""Where the byte is set; inet6 may speak to IPv4, and there it is the other option."""

_PRIORITY: Final = (c.SOL_SOCKET, getattr(socket, "SO_PRIORITY", 0))
_WINDOW_CLAMP: Final = (int(socket.IPPROTO_TCP), getattr(socket, "TCP_WINDOW_CLAMP", 0))

RECVBG_WINDOW: Final = 32 * 1024
"""The receive window in the background."""

_NO_CLAMP: Final = 1 << 30
"""Back to no clamp: Linux takes the 0 it began with only before connecting."""


# -- classes


def set_class(so: Callbacks, value: int) -> None:
    """
    Set SO_TRAFFIC_CLASS.

    Args:
        so: The socket.
        value: One of SO_TC_*; 1, 2 or 3 of old; or SO_TC_NETSVC plus a
            network service type.

    Raises:
        OSError: EINVAL, there is no such class.
    """
    if value >= c.SO_TC_NETSVC:
        set_service(so, value - c.SO_TC_NETSVC)
        return
    value = _LEGACY.get(value, value)
    if value not in CLASSES:
        raise oserror(errno.EINVAL, f"there is no traffic class {value}")
    forget(so, c.SO_NET_SERVICE_TYPE)
    _enter_class(so, value)


def set_service(so: Callbacks, value: int) -> None:
    """Set SO_NET_SERVICE_TYPE, and the class that goes with it; EINVAL if there is none."""
    if value not in _SERVICES:
        raise oserror(errno.EINVAL, f"there is no network service type {value}")
    remember(so, c.SO_NET_SERVICE_TYPE, value)
    _enter_class(so, _SERVICES[value])


def _enter_class(so: Callbacks, value: int) -> None:
    remember(so, c.SO_TRAFFIC_CLASS, value)
    mark = CLASSES[value]
    _mark(so, mark.tos if so.kpi.marks_dscp else None, mark.priority)


def settclassopt(so: Callbacks, value: int) -> None:
    """
    Set the traffic class by a whole TOS byte; see `ISocketOptions.settclassopt`.

    The byte itself goes into packets only if the destination is local;
    towards others neither it nor the DSCP of the class is written, as in XNU.
    """
    if not isinstance(value, int) or not 0 <= value <= 0xFF:
        raise oserror(errno.EINVAL, f"{value!r} is not a byte")
    if not so.state & c.SS_ISCONNECTED:
        raise oserror(errno.ENOTCONN)
    if so.proto.domain not in _BYTE:
        raise oserror(errno.EINVAL, "this family has no traffic class byte")
    chosen = _class_of_byte(value)
    forget(so, c.SO_NET_SERVICE_TYPE)
    remember(so, c.SO_TRAFFIC_CLASS, chosen)
    _mark(so, value if _is_local(so) else None, CLASSES[chosen].priority)


def gettclassopt(so: Callbacks) -> int:
    """Return the byte packets carry, as the host has it; EINVAL of other families."""
    option = _BYTE.get(so.proto.domain)
    if option is None:
        raise oserror(errno.EINVAL, "this family has no traffic class byte")
    return _ask(so, option)


def _class_of_byte(value: int) -> int:
    dscp = value >> 2
    if dscp >= 0x30:
        return c.SO_TC_VO
    if dscp >= 0x20:
        return c.SO_TC_VI
    if 0x08 <= dscp <= 0x17:
        return c.SO_TC_BK_SYS
    return c.SO_TC_BE


def _is_local(so: Callbacks) -> bool:
    """
    Say whether the peer is this host or on a link of it, as far as addresses tell.

    XNU asks its routes, and takes whatever is directly connected for local.
    """
    try:
        here, there = so.driver.sockaddr()[0], so.driver.peeraddr()[0]
        address = ipaddress.ip_address(there)
    except (OSError, ValueError):
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_link_local or here == there


# -- management


def set_flags(so: Callbacks, flags: int) -> None:
    """Set traffic management bits; see `ISocketOptions.set_traffic_mgt_flags`."""
    before = recall(so, c.SO_TRAFFIC_MGT)
    _manage(so, before, before | _bits(flags))


def clear_flags(so: Callbacks, flags: int) -> None:
    """Clear traffic management bits; what they changed is restored."""
    before = recall(so, c.SO_TRAFFIC_MGT)
    _manage(so, before, before & ~_bits(flags))


def _bits(flags: int) -> int:
    if not isinstance(flags, int):
        raise oserror(errno.EINVAL, f"{flags!r} is not a set of bits")
    return flags & _MANAGED


def _manage(so: Callbacks, before: int, after: int) -> None:
    remember(so, c.SO_TRAFFIC_MGT, after)
    changed = before ^ after
    if changed & c.TRAFFIC_MGT_SO_BACKGROUND:
        if after & c.TRAFFIC_MGT_SO_BACKGROUND:
            _into_background(so)
        else:
            _out_of_background(so)
    if changed & c.TRAFFIC_MGT_TCP_RECVBG and so.proto.is_tcp:
        if after & c.TRAFFIC_MGT_TCP_RECVBG:
            with suppress(OSError):
                remember(so, _SAVED_CLAMP, _ask(so, _WINDOW_CLAMP))
            _tell(so, _WINDOW_CLAMP, RECVBG_WINDOW)
        else:
            _unclamp(so)


def _into_background(so: Callbacks) -> None:
    byte = _BYTE.get(so.proto.domain)
    for name, option in ((_SAVED_TOS, byte), (_SAVED_PRIORITY, _PRIORITY)):
        with suppress(OSError):
            remember(so, name, 0 if option is None else _ask(so, option))
    _write(so, _BACKGROUND.tos if so.kpi.marks_dscp else None, _BACKGROUND.priority)


def _out_of_background(so: Callbacks) -> None:
    tos = recall(so, _SAVED_TOS, -1)
    _write(so, None if tos < 0 else tos, recall(so, _SAVED_PRIORITY))
    forget(so, _SAVED_TOS)
    forget(so, _SAVED_PRIORITY)


def _unclamp(so: Callbacks) -> None:
    _tell(so, _WINDOW_CLAMP, recall(so, _SAVED_CLAMP) or _NO_CLAMP)
    forget(so, _SAVED_CLAMP)


def inherited(so: Callbacks) -> None:
    """
    Mark *so*, which has come in and remembers what its listener does.

    The host hands down the byte and the clamp, Linux no SO_PRIORITY; of the
    two management bits SO_BACKGROUND alone is inherited.
    """
    flags = recall(so, c.SO_TRAFFIC_MGT)
    if flags & c.TRAFFIC_MGT_TCP_RECVBG:
        remember(so, c.SO_TRAFFIC_MGT, flags & ~c.TRAFFIC_MGT_TCP_RECVBG)
        _unclamp(so)
    mark = CLASSES[recall(so, c.SO_TRAFFIC_CLASS)]
    if flags & c.TRAFFIC_MGT_SO_BACKGROUND:
        mark = _BACKGROUND
    if mark.priority:
        _write(so, None, mark.priority)


# -- single packets


def marked(so: Callbacks, control: list[Control]) -> list[Control]:
    """
    Return the control messages of one packet as the host takes them.

    SO_TRAFFIC_CLASS or SO_NET_SERVICE_TYPE (of the socket level, an int; the
    first valid one counts) becomes the TOS byte of a datagram; a stream has
    no packets of its own, and loses them.  In background they are all void,
    IP_TOS and IPV6_TCLASS as well.
    """
    if not control:
        return control
    chosen: Mark | None = None
    byte = _BYTE.get(so.proto.domain)
    background = recall(so, c.SO_TRAFFIC_MGT) & c.TRAFFIC_MGT_SO_BACKGROUND
    kept = []
    for one in control:
        level, name, data = one
        if level in (c.SOL_SOCKET, SOL_BSD) and name in (c.SO_TRAFFIC_CLASS, c.SO_NET_SERVICE_TYPE):
            chosen = chosen or _class_of_message(name, data)
        elif not (background and (level, name) in (_TOS, _TCLASS)):
            kept.append(one)
    if chosen is None or byte is None or so.proto.connrequired or background:
        return kept
    if so.kpi.marks_dscp:
        kept.append((*byte, struct.pack("i", chosen.tos)))
    return kept


def _class_of_message(name: int, data: bytes) -> Mark | None:
    if len(data) < 4:
        return None
    value: int = struct.unpack_from("i", data)[0]
    if name == c.SO_TRAFFIC_CLASS:
        if value < c.SO_TC_NETSVC:
            return CLASSES.get(_LEGACY.get(value, value))
        value -= c.SO_TC_NETSVC
    service = _SERVICES.get(value)
    return None if service is None else CLASSES[service]


# -- marks


def _mark(so: Callbacks, tos: int | None, priority: int) -> None:
    """Mark what *so* sends (*tos* None: leave it), or do so after the background."""
    if not recall(so, c.SO_TRAFFIC_MGT) & c.TRAFFIC_MGT_SO_BACKGROUND:
        _write(so, tos, priority)
        return
    if tos is not None:
        remember(so, _SAVED_TOS, tos)
    remember(so, _SAVED_PRIORITY, priority)


def _write(so: Callbacks, tos: int | None, priority: int) -> None:
    if so.proto.domain not in _MARKED:
        return
    if tos is not None:
        for option in _MARKED[so.proto.domain]:
            _tell(so, option, tos)
    _tell(so, _PRIORITY, priority)  # the last, for IP_TOS rewrites it


def _tell(so: Callbacks, option: tuple[int, int], value: int) -> None:
    """Set an option of the host's, if there is one: the class is what counts."""
    if option[1]:
        with suppress(OSError):
            so.driver.ctloutput(*option, value)


def _ask(so: Callbacks, option: tuple[int, int]) -> int:
    if not option[1]:
        raise oserror(errno.ENOPROTOOPT)
    found = so.driver.ctloutput(*option)
    assert isinstance(found, int)
    return found
