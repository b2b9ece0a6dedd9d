"""The numbers of the socket KPI.

MSG_* and SO_* names that the host has too carry the host's values; the state
bits and the hints are XNU's.  The KPI's own flags live above bit 32, where no
system call can see them.
"""

from __future__ import annotations

import socket
from typing import Final

# Flags of a call.
MSG_DONTWAIT: Final = int(socket.MSG_DONTWAIT)
MSG_NOSIGNAL: Final = int(getattr(socket, "MSG_NOSIGNAL", 0))

SHUT_RD: Final = 0
SHUT_WR: Final = 1
SHUT_RDWR: Final = 2

SOMAXCONN: Final = 128
"""The backlog of a listen(2) that asks for none, for less, or for more."""

MBUF_DONTWAIT: Final = 1
"""The ``waitf`` of every upcall."""

# Bits of Socket.state.
SS_NOFDREF: Final = 0x0001
SS_ISCONNECTED: Final = 0x0002
SS_ISCONNECTING: Final = 0x0004
SS_ISDISCONNECTING: Final = 0x0008
SS_CANTSENDMORE: Final = 0x0010
SS_CANTRCVMORE: Final = 0x0020
SS_NBIO: Final = 0x0100
SS_COMP: Final = 0x1000
SS_ISDISCONNECTED: Final = 0x2000

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
