"""Datagrams by the batch: one system call in, one out.

A guest beside `ngksock.kpi.dgram`, which does all that is rare: control
messages, single datagrams, names that are missing or wrong, raw sockets.
What the far ends see, what is counted and who is told are the same either
way; this is only quicker.  Without this file everything works.

Three ways out, in the order they are tried: a run of equal datagrams to one
target as segments (`ngksock.kpi.segments`), the others by sendmmsg(2), and
what that refuses one by one, as often as it refuses.

sendmmsg(2) does not tell what stopped it after the first datagram.  That one
is tried again, and what holds for it shows again; but a refusal of an older
one, kept for the socket, may so be told once where single sends tell it often.
"""

from __future__ import annotations

import errno
import socket
import sys
from contextlib import suppress
from itertools import compress
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from ngksock.kpi import segments
from ngksock.kpi.ancillary import Datagram
from ngksock.kpi.constants import DGRAM_ROUND, DGRAM_SLOT, MSG_NOSIGNAL
from ngksock.kpi.dgram import OLD_ERRORS, DgramDriver
from ngksock.kpi.rawname import READ, pack
from ngksock.kpi.segments import Wire
from ngksock.kpi.slots import APART, APART_MOST, UDP_GRO, Inbox, Outbox, calls
from ngksock.kpi.sockaddr import SockAddr
from ngksock.packet import Batch, Packet, Record, Slab, rows

if TYPE_CHECKING:
    from ngksock.kpi.provider import SocketKPI

__all__ = ["MmsgDriver", "usable"]

COPIED: Final = 4096
"""Larger datagrams, on the average, leave one by one: to gather them costs more."""

NOT_SEGMENTED: Final = (errno.EINVAL, errno.EIO, errno.EMSGSIZE)
"""What the system says when it is the run that it does not like, not the datagrams."""

CROWDED: Final = (errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM)
"""There is no room for the run; for some of its datagrams there may be."""

_THEIRS: Final = (1, 103, 104)
"""UDP_CORK, UDP_SEGMENT, UDP_GRO: who has set them sees to such things himself."""

ALIKE_ROUNDS: Final = 8
"""After so many full rounds of equal datagrams trains are asked for."""

SURE: Final = 8
"""So many datagrams of one length let expect more of it."""

TRAINS: Final = 4
"""So many trains are taken at a time: as many bytes as so_rcv holds."""


class _Boxes:
    """What the sockets of one `SocketKPI` share; each box is made for the first who needs it."""

    def __init__(self) -> None:
        self._inbox: Inbox | None = None
        self._outbox: Outbox | None = None

    @property
    def inbox(self) -> Inbox:
        if self._inbox is None:
            self._inbox = Inbox()
        return self._inbox

    @property
    def outbox(self) -> Outbox:
        if self._outbox is None:
            self._outbox = Outbox()
        return self._outbox


_boxes: Final[WeakKeyDictionary[SocketKPI, _Boxes]] = WeakKeyDictionary()


def usable() -> bool:
    """Say whether the system may have the calls; with the first datagram it is tried."""
    return sys.platform == "linux"  # platform: elsewhere the layout of a header is another


class MmsgDriver(DgramDriver):
    """
    A socket of datagrams, which come and go by the batch.

    ``longest`` is the longest segment the system has not refused; 0: none.
    ``alike`` counts full rounds of equal datagrams: where so many come, they
    may have left as trains, and by UDP_GRO the system lets them be trains to
    the end.  It is never given up again: a train that waits could not be told
    from a datagram any more.  ``merged`` says that trains may come, ``most``
    how many datagrams are taken at a time.  ``apart`` is how far from each other
    they land: as long as they were, if all were, and then they are one piece.
    """

    def __init__(self, kpi: SocketKPI, sock: socket.socket) -> None:
        super().__init__(kpi, sock)
        boxes = _boxes.get(kpi)
        if boxes is None:
            boxes = _boxes[kpi] = _Boxes()
        self.boxes = boxes
        self.family = int(sock.family)
        self.longest = segments.BYTES
        # A protocol that is not UDP would pass over the mark and send a run as one.
        udp = sock.family != socket.AF_UNIX and sock.proto in (0, segments.SOL_UDP)
        if not udp or kpi.mmsg != "segments":
            self.longest = 0
        self.alike = 0
        self.merged = False
        self.most = DGRAM_ROUND
        self.apart = APART

    # -- IUserRequests

    def adopted(self) -> int:
        if self.longest and any(map(self._has_set, _THEIRS)):
            self.longest = 0
        return super().adopted()

    def _has_set(self, option: int) -> int:
        """Return what an option of UDP is set to: 0 where the system has no such option."""
        try:
            return self.sock.getsockopt(segments.SOL_UDP, option)
        except OSError:
            return 0

    def ctloutput(
        self, level: int, name: int, value: int | bytes | None = None, length: int = 0
    ) -> int | bytes:
        if value is not None and level == segments.SOL_UDP:
            self.longest = 0  # whatever it means, it is not about our runs
        done = super().ctloutput(level, name, value, length)
        if (level, name) == UDP_GRO and (any(value) if isinstance(value, bytes) else value):
            self.merged = False  # they are told themselves what each train is made of
        return done

    def send(self, batch: Batch) -> int:
        names = batch.names
        if len(batch) < 2 or (names is None) != self.connected or calls() is None:
            return super().send(batch)
        targets = None if names is None else self._targets(names)
        if targets is None and names is not None:
            return super().send(batch)  # which says what is wrong with which
        wire: Wire | None = batch.wire
        if wire is None:
            wire = Wire(batch)
            if batch.uniform:
                batch.wire = wire
        sent = 0
        for start, stop, size in wire.cut(targets, self.longest):
            if size:
                sent += self._send_run(wire, targets, start, stop)
            else:
                sent += self._send_loose(wire, targets, start, stop)
        return sent

    def _targets(self, names: list[SockAddr]) -> list[SockAddr] | None:
        """Return *names* as the system calls take them, or None if one is missing or no good."""
        first = names[0]
        try:
            if names.count(first) == len(names):
                return [self._target(first)] * len(names)
            return list(map(self._target, names))
        except OSError:
            return None

    # -- out

    def _send_run(self, wire: Wire, targets: list[SockAddr] | None, start: int, stop: int) -> int:
        """Send a run as segments; what the system does not like about that goes loose."""
        size = wire.lens[start]
        run = wire.run(start, stop)
        control = segments.segmented(size)
        code = errno.ECONNREFUSED
        for _ in range(OLD_ERRORS):
            try:
                if targets is None:
                    self.sock.sendmsg(run, control, MSG_NOSIGNAL)
                else:
                    self.sock.sendmsg(run, control, MSG_NOSIGNAL, targets[start])
                return stop - start
            except OSError as error:
                code = error.errno or errno.EIO
            if code != errno.ECONNREFUSED:
                break
            self.so.soerror(code)  # of an older datagram: none of these is lost
        if code in NOT_SEGMENTED:
            sent = self._send_loose(wire, targets, start, stop)
            if sent:  # so the run was to blame: it is above the path's MTU, say
                self.longest = 0 if code == errno.EIO else min(self.longest, size - 1)
            return sent
        if code not in CROWDED and code != errno.ECONNREFUSED:
            # It was kept for this socket, or holds for this target: one datagram pays.
            self.so.sosenderror(code, size)
            start += 1
        return self._send_loose(wire, targets, start, stop)

    def _send_loose(self, wire: Wire, targets: list[SockAddr] | None, start: int, stop: int) -> int:
        """Send datagrams of any lengths to anybody, in as few system calls as it takes."""
        lens, count = wire.lens[start:stop], stop - start
        nbytes = sum(lens)
        if count < 2 or nbytes > COPIED * count:
            batch = Batch(map(Packet, wire.data(start, stop)), nbytes)
            if targets is None:
                return self._send_connected(batch)
            return self._send_named(batch, targets[start:stop])
        outbox, family = self.boxes.outbox, self.family
        sent = 0
        for at in range(start, stop, DGRAM_ROUND):
            end = min(at + DGRAM_ROUND, stop)
            outbox.load(wire.run(at, end), wire.lens[at:end])
            if targets is not None:
                outbox.address(family, [pack(family, to) for to in targets[at:end]])
            sent += self._send_round(outbox, wire.lens[at:end])
        outbox.clear()
        return sent

    def _send_round(self, outbox: Outbox, lens: list[int]) -> int:
        """Send what *outbox* has, stepping over each datagram that fails."""
        so, fd = self.so, self.sock.fileno()
        patience = 0 if self.family == socket.AF_UNIX else OLD_ERRORS
        at = lost = refusals = 0
        while at < len(lens):
            try:
                at += outbox.send(fd, at, len(lens) - at)
                refusals = 0
            except OSError as error:
                if error.errno == errno.ECONNREFUSED and refusals < patience:
                    refusals += 1
                    so.soerror(error.errno)
                    continue
                so.sosenderror(error.errno, lens[at])
                refusals = 0
                lost += 1
                at += 1
        return len(lens) - lost

    # -- in

    def _read(self) -> None:
        if self.ancillary or calls() is None:
            super()._read()
            return
        so = self.so
        family = 0 if self.connected else self.family
        inbox = self.boxes.inbox
        fd, most, apart = self.sock.fileno(), self.most if self.merged else 0, self.apart
        for _ in range(DGRAM_ROUND):
            try:
                lens = inbox.receive(fd, family, most, apart)
                break
            except BlockingIOError:
                return
            except OSError as error:
                # What became of an older datagram; the next may be well.
                so.soerror(error.errno)
        else:
            return
        count = len(lens)
        names = inbox.names(family, count, READ[family]) if family else None
        trains = inbox.trains(family, count) if self.merged else None
        if self.merged:
            self.most = TRAINS if trains else DGRAM_ROUND
        whole = inbox.whole(lens) if trains is None else None
        if whole is not None:
            batch: Batch = Slab(whole, apart)
            batch.names = names
        else:
            batch = self._sorted(inbox.data(lens), lens, names, trains)
            if not batch:
                return
        if count == DGRAM_ROUND and self.longest and not self.merged:
            self._look_out(lens)
        if not so.sbappendbatch(batch):
            self.pause()

    def _sorted(
        self,
        data: list[bytes],
        lens: list[int],
        names: list[SockAddr] | None,
        trains: list[int] | None,
    ) -> Batch:
        """Return datagrams without those that are too long, and trains taken apart."""
        size = lens[0]
        if max(lens) > DGRAM_SLOT:
            fits = [size <= DGRAM_SLOT for size in lens]
            self.so.truncated += fits.count(False)
            data = list(compress(data, fits))
            names = None if names is None else list(compress(names, fits))
            trains = None if trains is None else list(compress(trains, fits))
        elif trains is None and len(lens) >= SURE:
            # The next ones are as long, if these were: then they lie in one piece.
            alike = 0 < size <= APART_MOST and lens.count(size) == len(lens)
            self.apart = size if alike else APART
        if trains:
            data, names = split(data, names, trains)
        batch = Batch(map(Record, data), sum(map(len, data)))
        batch.names = names
        return batch

    def _look_out(self, lens: list[int]) -> None:
        """Ask for trains once it looks as if some might come."""
        self.alike = self.alike + 1 if lens.count(lens[0]) == len(lens) else 0
        if self.alike == ALIKE_ROUNDS:
            with suppress(OSError):  # a system without them
                self.sock.setsockopt(*UDP_GRO, 1)
                self.merged = True

    def _receive_all(self, batch: Batch, names: list[SockAddr] | None) -> None:
        super()._receive_all(batch, names)
        last = batch[-1] if batch else None
        if not self.merged or not isinstance(last, Datagram):
            return
        for number, (level, kind, told) in enumerate(last.control):
            if (level, kind) != UDP_GRO:
                continue
            del last.control[number]
            size = int.from_bytes(told, sys.byteorder)
            batch[-1:] = [
                Datagram(bytes(last.data[at : at + size]), list(last.control), last.flags)
                for at in range(0, last.len, size)
            ]
            if names is not None:
                names += [names[-1]] * (len(batch) - len(names))
            return


def split(
    data: list[bytes], names: list[SockAddr] | None, trains: list[int]
) -> tuple[list[bytes], list[SockAddr] | None]:
    """Return datagrams and their senders with each of *trains* (as `Inbox.trains`) taken apart."""
    apart: list[bytes] = []
    senders: list[SockAddr] | None = None if names is None else []
    for number, (one, size) in enumerate(zip(data, trains, strict=True)):
        before = len(apart)
        count, rest = divmod(len(one), size) if size else (0, 1)
        if count:
            apart += rows(size, 0, count).unpack_from(one)
        if rest:
            apart.append(one[count * size :])
        if senders is not None and names is not None:
            senders += [names[number]] * (len(apart) - before)
    return apart, senders
