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
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from ngksock.kpi.constants import (
    MSG_NOSIGNAL,
    SS_CANTSENDMORE,
    SS_DEFUNCT,
    SS_ISCONNECTED,
    SS_NOFDREF,
)
from ngksock.kpi.pipes import CHUNK, Lent, Pipes, can_splice
from ngksock.kpi.stream import BUSY, StreamDriver
from ngksock.kpi.ways import chosen
from ngksock.packet import Batch, Packet

if TYPE_CHECKING:
    from ngksock.kpi.socket import Socket

__all__ = ["COUPLE", "Relay", "Relays"]

BUFFER: Final = 256 * 1024

COUPLE: Final = 1024 * 1024
"""A relay that has moved so many bytes is worth a pipe."""

SMALL: Final = 16 * 1024
"""Below this, copying costs less than two splices."""

ROUNDS: Final = 4
"""So many full splices at most in one wake of a relay that has the reactor to itself."""

ALONE: Final = 16
"""So many wakes on end without anybody else's: then it has."""

_NEVER: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.EOPNOTSUPP})
"""What splice says of sockets, or to processes, for which it is not meant."""

_NOT_NOW: Final = BUSY | _NEVER
"""What it says when the socket may be well: a read tells."""

_LOOKED_AT: Final = SS_ISCONNECTED | SS_CANTSENDMORE | SS_DEFUNCT | SS_NOFDREF


class Tally(Protocol):
    """Whoever wants to know what a relay carries."""

    packets: int
    bytes: int


class Relays:
    """
    What the relays of one `SocketKPI` share; ``last`` is the one that last moved something.

    Args:
        how: "off", "fuse" (never leave it to the kernel) or "splice"; None
            for the environment's NGKSOCK_RELAY, or else the best there is.
    """

    def __init__(self, how: str | None = None) -> None:
        how = chosen(how, "NGKSOCK_RELAY", ("off", "fuse", "splice"))
        self.on = how != "off"
        self.splices = how == "splice" and can_splice()
        self.couple = COUPLE
        self.small = SMALL
        self.rounds = ROUNDS
        self.last: Relay | None = None
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
        tally: Tally,
        lost: Callable[[int], None],
    ) -> Relay | None:
        """
        Let *sink* send what *source* receives, from now on until the relay is ended.

        Args:
            source: A connected stream.
            sink: Another one.
            tally: Counts each read as a packet.
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
        return Relay(self, source, sink, first, second, tally, lost)


class Relay:
    """
    One direction of a fused pair; `Relays.fuse` makes it.

    ``held`` says that the source waits for the sink.
    """

    __slots__ = (
        "_alone",
        "_buffer",
        "_coupled",
        "_couples",
        "_large",
        "_lost",
        "_moved",
        "_rcv",
        "_relays",
        "_serial",
        "_sink",
        "_snd",
        "_so",
        "_source",
        "_tally",
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
        tally: Tally,
        lost: Callable[[int], None],
    ) -> None:
        self._relays = relays
        self._so, self._to = so, to
        self._source, self._sink = source, sink
        self._rcv, self._snd = so.so_rcv, to.so_snd
        self._tally = tally
        self._lost = lost
        self._buffer = relays.buffer
        self._moved = 0
        self._couples = relays.splices
        self._coupled = False
        self._alone = 0  # so many wakes; see _splice
        self._serial = 0  # of the upcalls, the last time
        self._large = False  # coupled, and what came last was worth a splice
        self.held = False
        source.lane = self.carry
        sink.drained = self._let_go

    def end(self) -> None:
        """Leave every further read to the source's driver."""
        self._source.lane = None
        self._sink.drained = None
        self._let_go()
        self._uncouple()
        if self._relays.last is self:
            self._relays.last = None

    # -- the source's driver calls this

    def carry(self) -> bool:
        """
        Move what the source has to the sink.

        Returns:
            False: the driver is to read, as if there were no relay.
        """
        snd, rcv = self._snd, self._rcv
        waits = snd.cc
        if waits and waits + BUFFER > snd.hiwat:
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
        relays = self._relays
        alone = relays.last is self
        relays.last = self
        if self._large and not waits:
            return self._splice(alone)
        return self._copy()

    # -- by our buffer

    def _copy(self) -> bool:
        source, buffer = self._source, self._buffer
        try:
            count = source.sock.recv_into(buffer)
        except BlockingIOError:
            return True
        except OSError as error:
            source.broke(error.errno)
            return True
        if not count:
            return False
        sent = 0
        if not self._snd.cc:
            try:
                sent = self._sink.sock.send(buffer[:count], MSG_NOSIGNAL)
            except OSError as error:
                if error.errno not in BUSY:
                    self._count(count)
                    self._fail(error.errno, count)
                    return True
        self._count(count)
        if sent < count:
            self._queue(bytes(buffer[sent:count]))
        return True

    def _count(self, count: int) -> None:
        """Count a read that is sent, or will be."""
        so, to = self._so, self._to
        so.rcvpackets += 1
        so.rcvbytes += count
        to.sndpackets += 1
        to.sndbytes += count
        tally = self._tally
        tally.packets += 1
        tally.bytes += count
        if self._coupled:
            self._large = count >= self._relays.small
        elif self._couples:
            self._moved += count
            if self._moved >= self._relays.couple:
                self._couple()

    def _queue(self, rest: bytes) -> None:
        """Leave to the sink's driver what the system did not take."""
        self._snd.append(Batch((Packet(rest),), len(rest)), 0)
        self._sink.want_write()
        self._hold()

    def _fail(self, code: int | None, count: int) -> None:
        """The sink could not send; what was read is lost, as any packet would be."""
        self._to.sndpackets -= 1  # it was counted as sent
        self._to.sndbytes -= count
        self._sink.failed(code)
        self._lost(errno.EPIPE)

    # -- by the kernel

    def _couple(self) -> None:
        self._couples = can_splice()  # somebody may want to die of SIGPIPE by now
        if self._couples:
            self._coupled = self._large = True
            self._relays.pipes.enter()

    def _uncouple(self) -> None:
        if self._coupled:
            self._coupled = self._large = False
            self._relays.pipes.leave()

    def _never(self) -> None:
        self._couples = False
        self._uncouple()

    def _splice(self, alone: bool) -> bool:
        """
        Move what there is by a pipe, and more than once while it fills one splice.

        That saves wakes, but only while nobody waits meanwhile: for a while no
        other relay has moved anything (*alone*), and no upcall was posted.
        """
        relays, source, sink = self._relays, self._source.sock, self._sink.sock
        serial = self._so.kpi.upcalls.serial
        self._alone = self._alone + 1 if alone and serial == self._serial else 0
        self._serial = serial
        rounds = relays.rounds if self._alone >= ALONE else 1
        pipes, hiwat = relays.pipes, self._snd.hiwat
        lent = pipes.lend()
        if lent is None:
            return self._copy()
        most = CHUNK if 2 * hiwat >= CHUNK else max(BUFFER, 2 * hiwat)
        for again in range(rounds):
            try:
                count = lent.fill(source, most)
            except OSError as error:
                pipes.take_back(lent)
                return self._empty(error.errno, bool(again))
            if not count:
                pipes.take_back(lent)
                return False
            self._count(count)
            try:
                lent.send(sink)
            except OSError as error:
                if error.errno in _NEVER:
                    self._never()
                elif error.errno not in BUSY:
                    pipes.take_back(lent)
                    self._fail(error.errno, count)
                    return True
            if lent.left:
                self._leave(lent)
                return True
            if count < most:
                break
        pipes.take_back(lent)
        return True

    def _empty(self, code: int | None, again: bool) -> bool:
        """Splice has brought nothing, and this is why."""
        if code not in _NOT_NOW:
            self._source.broke(code)
            return True
        if code in _NEVER:
            self._never()
        # Else there is nothing, or an urgent byte is in the way, which a read leaves out.
        return again or self._copy()

    def _leave(self, lent: Lent) -> None:
        """Leave to the sink's driver what is in the pipe, and the pipe if it can be spared."""
        relays, sink, snd = self._relays, self._sink, self._snd
        if relays.pipes.scarce or not self._couples:
            # A sink that takes nothing would keep from others what it does not need.
            rest = lent.take()
            relays.pipes.take_back(lent)
            self._queue(rest)
            return
        sink.ahead = lent
        snd.cc += lent.left
        snd.high = snd.high or snd.cc >= snd.hiwat
        sink.want_write()
        self._hold()

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
