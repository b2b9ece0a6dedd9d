"""The numbers of the socket KPI.

MSG_* and SO_* names that the host has too carry the host's values; the state
bits and the hints are XNU's.  The KPI's own flags live above bit 32, where no
system call can see them.
"""

from __future__ import annotations

import socket
import sys
import termios
from typing import Final

# What the header has; the sizes below are our own.
__all__ = [
    "EJUSTRETURN", "FIOASYNC", "FIONBIO", "FIONREAD", "MBUF_DONTWAIT", "MBUF_WAITOK",
    "MSG_CTRUNC", "MSG_DONTROUTE", "MSG_DONTWAIT", "MSG_EOF", "MSG_EOR", "MSG_FLUSH",
    "MSG_HAVEMORE", "MSG_HOLD", "MSG_NBIO", "MSG_NEEDSA", "MSG_NOSIGNAL", "MSG_OOB", "MSG_PEEK",
    "MSG_RCVMORE", "MSG_SEND", "MSG_SKIPCFIL", "MSG_TRUNC", "MSG_USEUPCALL", "MSG_WAITALL",
    "MSG_WAITSTREAM", "NET_SERVICE_TYPE_AV", "NET_SERVICE_TYPE_BE", "NET_SERVICE_TYPE_BK",
    "NET_SERVICE_TYPE_OAM", "NET_SERVICE_TYPE_RD", "NET_SERVICE_TYPE_RV",
    "NET_SERVICE_TYPE_SIG", "NET_SERVICE_TYPE_VI", "NET_SERVICE_TYPE_VO",
    "SHUTDOWN_SOCKET_LEVEL_DISCONNECT_ALL", "SHUTDOWN_SOCKET_LEVEL_DISCONNECT_SVC", "SHUT_RD",
    "SHUT_RDWR", "SHUT_WR", "SIOCATMARK", "SIOCGPGRP", "SIOCSPGRP", "SOL_SOCKET", "SOMAXCONN",
    "SONPX_SETOPTSHUT", "SO_ACCEPTCONN", "SO_BROADCAST", "SO_DEBUG", "SO_DEFUNCTOK",
    "SO_DONTROUTE", "SO_DONTTRUNC", "SO_ERROR", "SO_FILT_HINT_ADAPTIVE_RTIMO",
    "SO_FILT_HINT_ADAPTIVE_WTIMO", "SO_FILT_HINT_CANTRCVMORE", "SO_FILT_HINT_CANTSENDMORE",
    "SO_FILT_HINT_CONNECTED", "SO_FILT_HINT_CONNINFO_UPDATED", "SO_FILT_HINT_CONNRESET",
    "SO_FILT_HINT_DISCONNECTED", "SO_FILT_HINT_IFDENIED", "SO_FILT_HINT_KEEPALIVE",
    "SO_FILT_HINT_LOCKED", "SO_FILT_HINT_NOSRCADDR", "SO_FILT_HINT_RESUME",
    "SO_FILT_HINT_SUSPEND", "SO_FILT_HINT_TIMEOUT", "SO_ISDEFUNCT", "SO_KEEPALIVE", "SO_LINGER",
    "SO_LINGER_SEC", "SO_NET_SERVICE_TYPE", "SO_NOADDRERR", "SO_NOSIGPIPE", "SO_NP_EXTENSIONS",
    "SO_NREAD", "SO_NUMRCVPKT", "SO_NWRITE", "SO_OOBINLINE", "SO_RCVBUF", "SO_RCVLOWAT",
    "SO_RCVTIMEO", "SO_RESTRICTIONS", "SO_RESTRICT_DENY_CELLULAR",
    "SO_RESTRICT_DENY_CONSTRAINED", "SO_RESTRICT_DENY_EXPENSIVE", "SO_RESTRICT_DENY_IN",
    "SO_RESTRICT_DENY_OUT", "SO_REUSEADDR", "SO_REUSEPORT", "SO_SNDBUF", "SO_SNDLOWAT",
    "SO_SNDTIMEO", "SO_TC_AV", "SO_TC_BE", "SO_TC_BK", "SO_TC_BK_SYS", "SO_TC_CTL",
    "SO_TC_NETSVC", "SO_TC_OAM", "SO_TC_RD", "SO_TC_RV", "SO_TC_VI", "SO_TC_VO",
    "SO_TRAFFIC_CLASS", "SO_TRAFFIC_MGT", "SO_TYPE", "SO_UPCALLCLOSEWAIT", "SO_WANTMORE",
    "SO_WANTOOBFLAG", "SS_ASYNC", "SS_CANTRCVMORE", "SS_CANTSENDMORE", "SS_COMP", "SS_DEFUNCT",
    "SS_DRAINING", "SS_INCOMP", "SS_ISCONFIRMING", "SS_ISCONNECTED", "SS_ISCONNECTING",
    "SS_ISDISCONNECTED", "SS_ISDISCONNECTING", "SS_LOCKED", "SS_NBIO", "SS_NOFDREF", "SS_PRIV",
    "SS_RCVATMARK", "TRAFFIC_MGT_SO_BACKGROUND", "TRAFFIC_MGT_TCP_RECVBG",
]  # fmt: skip

# Flags of a call: the host's where it has them.
MSG_OOB: Final = int(socket.MSG_OOB)
MSG_PEEK: Final = int(socket.MSG_PEEK)
MSG_DONTROUTE: Final = int(socket.MSG_DONTROUTE)
MSG_EOR: Final = int(socket.MSG_EOR)
MSG_TRUNC: Final = int(socket.MSG_TRUNC)
MSG_CTRUNC: Final = int(socket.MSG_CTRUNC)
MSG_WAITALL: Final = int(socket.MSG_WAITALL)
MSG_DONTWAIT: Final = int(socket.MSG_DONTWAIT)
MSG_NOSIGNAL: Final = int(getattr(socket, "MSG_NOSIGNAL", 0))

# Darwin's alone: its numbers, moved above bit 32, where no system call sees them.
MSG_EOF: Final = 0x100 << 32
MSG_WAITSTREAM: Final = 0x200 << 32
MSG_FLUSH: Final = 0x400 << 32
MSG_HOLD: Final = 0x800 << 32
MSG_SEND: Final = 0x1000 << 32
MSG_HAVEMORE: Final = 0x2000 << 32
MSG_RCVMORE: Final = 0x4000 << 32
MSG_NEEDSA: Final = 0x10000 << 32
MSG_NBIO: Final = 0x20000 << 32
MSG_SKIPCFIL: Final = 0x40000 << 32
MSG_USEUPCALL: Final = 0x80000000 << 32

SHUT_RD: Final = 0
SHUT_WR: Final = 1
SHUT_RDWR: Final = 2

SOMAXCONN: Final = 128
"""The backlog of a listen(2) that asks for none, for less, or for more."""

SHUTDOWN_SOCKET_LEVEL_DISCONNECT_SVC: Final = 0x1
SHUTDOWN_SOCKET_LEVEL_DISCONNECT_ALL: Final = 0x2

MBUF_WAITOK: Final = 0
MBUF_DONTWAIT: Final = 1
"""The ``waitf`` of every upcall."""

EJUSTRETURN: Final = -2
"""What a filter returns to stop a call with success."""

# Options of the socket level: the host's numbers where it has them.
SOL_SOCKET: Final = int(socket.SOL_SOCKET)
SO_DEBUG: Final = int(socket.SO_DEBUG)
SO_REUSEADDR: Final = int(socket.SO_REUSEADDR)
SO_REUSEPORT: Final = int(getattr(socket, "SO_REUSEPORT", 0x200))
SO_KEEPALIVE: Final = int(socket.SO_KEEPALIVE)
SO_DONTROUTE: Final = int(socket.SO_DONTROUTE)
SO_BROADCAST: Final = int(socket.SO_BROADCAST)
SO_LINGER: Final = int(socket.SO_LINGER)
SO_OOBINLINE: Final = int(socket.SO_OOBINLINE)
SO_SNDBUF: Final = int(socket.SO_SNDBUF)
SO_RCVBUF: Final = int(socket.SO_RCVBUF)
SO_SNDLOWAT: Final = int(socket.SO_SNDLOWAT)
SO_RCVLOWAT: Final = int(socket.SO_RCVLOWAT)
SO_SNDTIMEO: Final = int(socket.SO_SNDTIMEO)
SO_RCVTIMEO: Final = int(socket.SO_RCVTIMEO)
SO_ERROR: Final = int(socket.SO_ERROR)
SO_TYPE: Final = int(socket.SO_TYPE)
SO_ACCEPTCONN: Final = int(socket.SO_ACCEPTCONN)

# Darwin's alone, with Darwin's numbers: kept in Python.
SO_NREAD: Final = 0x1020
SO_NOSIGPIPE: Final = 0x1022
SO_NOADDRERR: Final = 0x1023
SO_NWRITE: Final = 0x1024
SO_UPCALLCLOSEWAIT: Final = 0x1027
SO_LINGER_SEC: Final = 0x1080
SO_RESTRICTIONS: Final = 0x1081
SO_NP_EXTENSIONS: Final = 0x1083
SO_TRAFFIC_CLASS: Final = 0x1086
SO_DEFUNCTOK: Final = 0x1100
SO_ISDEFUNCT: Final = 0x1101
SO_NUMRCVPKT: Final = 0x1112
SO_NET_SERVICE_TYPE: Final = 0x1116
SO_DONTTRUNC: Final = 0x2000
SO_WANTMORE: Final = 0x4000
SO_WANTOOBFLAG: Final = 0x8000

SO_TRAFFIC_MGT: Final = 0x4E470002
"""Ours, to read only: the bits of set_traffic_mgt_flags."""

SO_RESTRICT_DENY_IN: Final = 0x1
SO_RESTRICT_DENY_OUT: Final = 0x2
SO_RESTRICT_DENY_CELLULAR: Final = 0x4
SO_RESTRICT_DENY_EXPENSIVE: Final = 0x8
SO_RESTRICT_DENY_CONSTRAINED: Final = 0x10

SONPX_SETOPTSHUT: Final = 0x1
"""Of SO_NP_EXTENSIONS: options may be set when both directions are shut down."""

# Values of SO_TRAFFIC_CLASS, and bits of set_traffic_mgt_flags.
SO_TC_BE: Final = 0
SO_TC_BK_SYS: Final = 100
SO_TC_BK: Final = 200
SO_TC_RD: Final = 300
SO_TC_OAM: Final = 400
SO_TC_AV: Final = 500
SO_TC_RV: Final = 600
SO_TC_VI: Final = 700
SO_TC_VO: Final = 800
SO_TC_CTL: Final = 900
SO_TC_NETSVC: Final = 10000
"""From here on SO_TRAFFIC_CLASS means this plus a NET_SERVICE_TYPE."""

NET_SERVICE_TYPE_BE: Final = 0
NET_SERVICE_TYPE_BK: Final = 1
NET_SERVICE_TYPE_SIG: Final = 2
NET_SERVICE_TYPE_VI: Final = 3
NET_SERVICE_TYPE_VO: Final = 4
NET_SERVICE_TYPE_RV: Final = 5
NET_SERVICE_TYPE_AV: Final = 6
NET_SERVICE_TYPE_OAM: Final = 7
NET_SERVICE_TYPE_RD: Final = 8

TRAFFIC_MGT_SO_BACKGROUND: Final = 0x1
TRAFFIC_MGT_TCP_RECVBG: Final = 0x2

# Requests of ioctl: the host's numbers.  Darwin's are understood, too.
FIONBIO: Final = int(getattr(termios, "FIONBIO", 0x5421))
FIOASYNC: Final = int(getattr(termios, "FIOASYNC", 0x5452))
FIONREAD: Final = int(termios.FIONREAD)
SIOCATMARK: Final = 0x8905 if sys.platform == "linux" else 0x40047307
SIOCSPGRP: Final = 0x8902 if sys.platform == "linux" else 0x80047308
SIOCGPGRP: Final = 0x8904 if sys.platform == "linux" else 0x40047309

# Bits of Socket.state.
SS_NOFDREF: Final = 0x0001
SS_ISCONNECTED: Final = 0x0002
SS_ISCONNECTING: Final = 0x0004
SS_ISDISCONNECTING: Final = 0x0008
SS_CANTSENDMORE: Final = 0x0010
SS_CANTRCVMORE: Final = 0x0020
SS_RCVATMARK: Final = 0x0040
SS_PRIV: Final = 0x0080
SS_NBIO: Final = 0x0100
SS_ASYNC: Final = 0x0200
SS_ISCONFIRMING: Final = 0x0400
SS_INCOMP: Final = 0x0800
SS_COMP: Final = 0x1000
SS_ISDISCONNECTED: Final = 0x2000
SS_DRAINING: Final = 0x4000
SS_DEFUNCT: Final = 0x8000
SS_LOCKED: Final = 0x20000
"""Ours: a filter looks at a connection that has just come in; see `ngksock.kpi.filter`."""

# Hints: what catchevents asks for and its callback is told.
SO_FILT_HINT_LOCKED: Final = 0x1
SO_FILT_HINT_CONNRESET: Final = 0x2
SO_FILT_HINT_CANTRCVMORE: Final = 0x4
SO_FILT_HINT_CANTSENDMORE: Final = 0x8
SO_FILT_HINT_TIMEOUT: Final = 0x10
SO_FILT_HINT_NOSRCADDR: Final = 0x20
SO_FILT_HINT_IFDENIED: Final = 0x40
SO_FILT_HINT_SUSPEND: Final = 0x80
SO_FILT_HINT_RESUME: Final = 0x100
SO_FILT_HINT_KEEPALIVE: Final = 0x200
SO_FILT_HINT_ADAPTIVE_WTIMO: Final = 0x400
SO_FILT_HINT_ADAPTIVE_RTIMO: Final = 0x800
SO_FILT_HINT_CONNECTED: Final = 0x1000
SO_FILT_HINT_DISCONNECTED: Final = 0x2000
SO_FILT_HINT_CONNINFO_UPDATED: Final = 0x4000

# Sizes.
SB_HIWAT: Final = 256 * 1024
"""so_rcv and so_snd are full from here on."""

SB_LIMIT: Final = 4
"""So many times its high-water mark so_snd takes before it says ENOBUFS."""

SND_LIMIT: Final = SB_LIMIT * SB_HIWAT
"""What so_snd takes at least, however small its buffer was set."""

SND_LOWAT: Final = 2048
"""so_snd has room again from here down."""

RCV_PACKETS: Final = 1024
"""So many packets fill so_rcv whatever their size: empty ones count too."""

DGRAM_SLOT: Final = 65535
"""The longest datagram taken in; a longer one is counted and dropped."""

DGRAM_ROUND: Final = 64
"""At most so many datagrams are read before others get their turn."""

LINGER_SECONDS: Final = 30.0
"""So long a closed socket goes on flushing without any progress."""

SETTLE_SECONDS: Final = 0.05
"""How often a socket that was closed and flushed looks whether all has arrived."""
