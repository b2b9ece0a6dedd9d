"""Two streams fused: what one receives is sent by the other at once, and no packet exists.

Theory of operation.  A relay is a guest of its source's driver, which asks it
first whenever there is something to read.  It reads into one buffer that all
relays share and sends inline to the sink.  It keeps nothing: what the sink's
system does not take goes to the sink's so_snd, as ever, and until that has
left, the source is not read (unless so_snd was made to hold another read).  So
whatever else happens to either socket (its end of file, an error, a message,
its close) finds nothing in the way, and a relay may be ended between any two
reads.

At any doubt a read is left to the driver.  The end of file always is.

Once a relay has moved `COUPLE` bytes, the kernel moves them from socket to
socket by splice(2) through a pipe that is lent for the purpose.  What the sink
does not take stays in that pipe, which goes to the *sink's* driver: there it is
the head of so_snd, counted by it and sent before the rest of it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from ngksock.kpi.constants import (
    MSG_NOSIGNAL,
    SS_CANTSENDMORE,
    SS_DEFUNCT,
    SS_ISCONNECTED,
    SS_NOFDREF,
)
from ngksock.kpi.pipes import CHUNK, Pipes, can_splice
from ngksock.kpi.stream import BUSY, StreamDriver
from ngksock.packet import Batch, Packet

if TYPE_CHECKING:
    from ngksock.kpi.socket import Socket

__all__ = ["COUPLE", "Relay", "Relays"]

BUFFER: Final = 256 * 1024

COUPLE: Final = 1024 * 1024
"""A relay that has moved so many bytes is worth a pipe."""

SMALL: Final = 16 * 1024
"""Below this, copying costs less than two splices."""

_NO_SPLICE: Final = frozenset({errno.EAGAIN, errno.EINVAL})

_LOOKED_AT: Final = SS_ISCONNECTED | SS_CANTSENDMORE | SS_DEFUNCT | SS_NOFDREF


class Tally(Protocol):
    """Whoever wants to know what a relay carries."""

    packets: int
    bytes: int


class Relays:
    """
    What the relays of one `SocketKPI` share.

    Args:
        how: "off", "fuse" (never leave it to the kernel) or "splice"; None
            for the environment's NGKSOCK_RELAY, or else the best there is.
    """

    def __init__(self, how: str | None = None) -> None:
        how = how or os.environ.get("NGKSOCK_RELAY") or "splice"
        if how not in ("off", "fuse", "splice"):
            raise ValueError(f'a relay is "off", "fuse" or "splice", not "{how}"')
        self.on = how != "off"
        self.splices = how == "splice" and can_splice()
        self.couple = COUPLE
        self.small = SMALL
        self.pipes = Pipes()
        self._buffer: memoryview | None = None

    @property
    def buffer(self) -> memoryview:
        """Where every relay reads to, and leaves nothing."""
        if self._buffer is None:
            self._buffer = memoryview(bytearray(BUFFER))
        return self._buffer

    def fuse(
        self,
        source: Socket,
        sink: Socket,
        tallies: Sequence[Tally],
        lost: Callable[[int], None],
    ) -> Relay | None:
        """
        Let *sink* send what *source* receives, from now on until the relay is ended.

        Args:
            source: A connected stream.
            sink: Another one.
            tallies: Count each read as a packet.
            lost: Told of an errno when what was read could not be sent.

        Returns:
            The relay; None: these two are better served otherwise.
        """
        if not self.on or source is sink:
            return None
        first, second = source.driver, sink.driver
        if type(first) is not StreamDriver or type(second) is not StreamDriver:
            return None  # TLS and records are another matter, and so are drivers of others
        both = source.state & sink.state
        if not both & SS_ISCONNECTED or first.lane is not None or second.drained is not None:
            return None
        return Relay(self, source, sink, first, second, tallies, lost)


class Relay:
    """
    One direction of a fused pair; `Relays.fuse` makes it.

    ``held`` says that the source waits for the sink.
    """

    __slots__ = (
        "_buffer",
        "_coupled",
        "_couples",
        "_lost",
        "_moved",
        "_rcv",
        "_relays",
        "_sink",
        "_snd",
        "_so",
        "_source",
        "_tallies",
        "_to",
        "held",
    )

    def __init__(
        self,
        relays: Relays,
        so: Socket,
        to: Socket,
        source: StreamDriver,
        sink: StreamDriver,
        tallies: Sequence[Tally],
        lost: Callable[[int], None],
    ) -> None:
        self._relays = relays
        self._so, self._to = so, to
        self._source, self._sink = source, sink
        self._rcv, self._snd = so.so_rcv, to.so_snd
        self._tallies = tallies
        self._lost = lost
        self._buffer = relays.buffer
        self._moved = 0
        self._couples = relays.splices
        self._coupled = False
        self.held = False
        source.lane = self.carry
        sink.drained = self._let_go

    def end(self) -> None:
        """Leave every further read to the source's driver."""
        self._source.lane = None
        self._sink.drained = None
        self._let_go()
        self._uncouple()

    # -- the source's driver calls this

    def carry(self) -> bool:
        """
        Move what the source has to the sink.

        Returns:
            False: the driver is to read, as if there were no relay.
        """
        snd, rcv = self._snd, self._rcv
        if snd.cc and snd.cc + BUFFER > snd.hiwat:
            self._hold()
            return True
        if (
            self._to.state & _LOOKED_AT != SS_ISCONNECTED
            or rcv.batch is not None
            or rcv.waits is not None
            or rcv.drop
            or snd.waits is not None
            or self._source.urgent is not None
        ):
            return False
        if self._coupled and not snd.cc and self._moved >= self._relays.small:
            return self._couple()
        return self._copy()

    # -- by our buffer

    def _copy(self) -> bool:
        source, sink, buffer, snd = self._source, self._sink, self._buffer, self._snd
        try:
            count = source.sock.recv_into(buffer)
        except BlockingIOError:
            return True
        except OSError as error:
            source.broke(error.errno)
            return True
        if not count:
            return False
        self._count(count)
        sent = 0
        if not snd.cc:
            try:
                sent = sink.sock.send(buffer[:count], MSG_NOSIGNAL)
            except OSError as error:
                if error.errno not in BUSY:
                    self._fail(error.errno, count)
                    return True
        if sent < count:
            rest = bytes(buffer[sent:count])
            snd.append(Batch((Packet(rest),), count - sent), 0)
            sink.want_write()
            self._hold()
        return True

    def _count(self, count: int) -> None:
        so, to = self._so, self._to
        so.rcvpackets += 1
        so.rcvbytes += count
        to.sndpackets += 1
        to.sndbytes += count
        for tally in self._tallies:
            tally.packets += 1
            tally.bytes += count
        if self._coupled:
            self._moved = count
            return
        self._moved += count
        if self._moved >= self._relays.couple and self._couples:
            self._coupled = True
            self._relays.pipes.enter()

    def _fail(self, code: int | None, count: int) -> None:
        """The sink could not send; what was read is lost, as any packet would be."""
        self._to.sndpackets -= 1  # it was counted as sent
        self._to.sndbytes -= count
        self._sink.failed(code)
        self._lost(errno.EPIPE)

    # -- by the kernel

    def _couple(self) -> bool:
        relays, sink, snd = self._relays, self._sink, self._snd
        lent = relays.pipes.lend()
        if lent is None:
            return self._copy()
        try:
            count = lent.fill(self._source.sock, min(CHUNK, max(BUFFER, 2 * snd.hiwat)))
        except OSError as error:
            lent.give_back()
            if error.errno not in _NO_SPLICE:
                self._source.broke(error.errno)
                return True
            if error.errno == errno.EINVAL:
                self._couples = False  # not of these sockets
                self._uncouple()
            # Else there is nothing, or an urgent byte is in the way, which a read leaves out.
            return self._copy()
        if not count:
            lent.give_back()
            return False
        self._count(count)
        try:
            lent.send(sink.sock)
        except OSError as error:
            if error.errno not in BUSY:
                lent.give_back()
                self._fail(error.errno, count)
                return True
        if lent.left:
            sink.ahead = lent
            snd.cc += lent.left
            snd.high = snd.high or snd.cc >= snd.hiwat
            sink.want_write()
            self._hold()
        else:
            lent.give_back()
        return True

    def _uncouple(self) -> None:
        if self._coupled:
            self._coupled = False
            self._relays.pipes.leave()

    # -- while the sink takes nothing

    def _hold(self) -> None:
        """Read nothing until so_snd of the sink is empty, unless it was made a large one."""
        if self._snd.cc + BUFFER > self._snd.hiwat:
            self.held = True
            if self._source.reading:
                self._source.pause()

    def _let_go(self) -> None:
        if self.held:
            self.held = False
            if not self._rcv.full:
                self._source.rcvd()
