"""The two buffers of a socket: so_rcv holds packets, so_snd holds bytes.

Neither knows of upcalls or descriptors: each counts what it holds against its
marks and says when it is full or has room again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import accumulate, islice
from typing import TYPE_CHECKING, Any, Final

from ngksock.kpi.constants import RCV_PACKETS, SB_HIWAT, SB_LIMIT, SND_LIMIT, SND_LOWAT
from ngksock.packet import Batch, Packet, Piece

if TYPE_CHECKING:
    from ngksock.kpi.wait import Wait

__all__ = ["RcvBuf", "SndBuf", "SockBuf", "Urgent", "WaitQueue"]

GATHER: Final = 64
"""So many pieces leave in one system call; the limit of the host is 1024."""


class Urgent(bytes):
    """A byte that leaves by itself, as urgent data."""


class WaitQueue:
    """
    Calls that wait.

    ``waits`` are they, in order, or None; ``waking`` says that they are about
    to be served; ``nointr`` that nobody can cancel them.
    """

    __slots__ = ("nointr", "waits", "waking")

    def __init__(self) -> None:
        self.waits: deque[Wait[Any]] | None = None
        self.waking = False
        self.nointr = False


class SockBuf(WaitQueue):
    """
    What both sides have.

    ``upcall`` and ``upcallarg`` are the owner's callback and cookie;
    ``posted`` is the number of the upcall that waits to run, 0 for none;
    ``timeo`` is the timeout of a waiting call, in seconds (0: none).
    """

    __slots__ = ("hiwat", "lowat", "posted", "timeo", "upcall", "upcallarg")

    def __init__(self, hiwat: int, lowat: int) -> None:
        self.waits = None  # as the base does it: every connection makes four of these
        self.waking = self.nointr = False
        self.hiwat = hiwat
        self.lowat = lowat
        self.posted = 0
        self.timeo = 0.0
        self.upcall: Callable[[Any, Any, int], object] | None = None
        self.upcallarg: Any = None

    @property
    def seconds(self) -> float | None:
        """The limit of a wait on this side, None for none."""
        return self.timeo or None


class RcvBuf(SockBuf):
    """
    so_rcv: packets that have arrived, for datagrams each with its sender.

    ``drop`` is set when nothing may come in any more; ``full`` once the
    transport was told to pause, until it was told to go on.
    """

    __slots__ = ("batch", "drop", "full")

    def __init__(self) -> None:
        super().__init__(SB_HIWAT, 1)
        self.batch: Batch | None = None  # made for the first packet: idle is small
        self.drop = False
        self.full = False

    @property
    def cc(self) -> int:
        """The bytes that wait here."""
        return 0 if self.batch is None else self.batch.nbytes

    def append(self, packet: Packet) -> bool:
        """Take in *packet*; return whether there is room for another."""
        batch = self.batch
        if batch is None:
            batch = self.batch = Batch((packet,), packet.len)
            return self.room(batch)
        batch.append(packet)
        batch.nbytes += packet.len
        return self.room(batch)

    def append_batch(self, more: Batch) -> bool:
        """Take in *more*, names and all; return whether there is still room."""
        batch = self.batch
        if batch is None:
            self.batch = batch = more
            return self.room(batch)
        if batch.names is not None or more.names is not None:
            names = batch.names if batch.names is not None else [None] * len(batch)
            names += more.names if more.names is not None else [None] * len(more)
            batch.names = names
        batch.extend(more)
        batch.nbytes += more.nbytes
        return self.room(batch)

    def room(self, batch: Batch) -> bool:
        """Note whether *batch* fills the buffer; return whether it does not."""
        if batch.nbytes >= self.hiwat or len(batch) >= RCV_PACKETS:
            self.full = True
            return False
        return True

    def take(self, limit: int) -> Batch | None:
        """
        Give away the oldest packets, or None if there are none.

        At most *limit* of them, and, beyond the first, no more bytes than any
        so_snd takes at once: what is read can be sent.
        """
        batch = self.batch
        if batch is not None and batch.nbytes > SB_HIWAT:
            sums = accumulate(packet.len for packet in batch)
            limit = min(limit, max(1, sum(1 for total in sums if total <= SB_HIWAT)))
        if batch is None or len(batch) <= limit:
            self.batch = None
            return batch
        first = Batch(batch[:limit])
        del batch[:limit]
        batch.nbytes -= first.nbytes
        if batch.names is not None:
            first.names = batch.names[:limit]
            del batch.names[:limit]
        return first

    def look(self, count: int) -> list[bytes | memoryview]:
        """Return the first *count* bytes of a stream, which stay here."""
        pieces: list[bytes | memoryview] = []
        for packet in self.batch or ():
            if packet.len > count:
                pieces.append(memoryview(packet.data)[:count])
                break
            pieces.append(packet.data)
            count -= packet.len
        return pieces

    def sbdrop(self, count: int) -> None:
        """Forget the first *count* bytes of a stream; all that there is, at most."""
        batch = self.batch
        if batch is None:
            return
        batch.nbytes -= count
        gone = 0
        for packet in batch:
            if packet.len > count:
                if count:
                    batch[gone] = packet.replace(memoryview(packet.data)[count:])
                break
            count -= packet.len
            gone += 1
        del batch[:gone]
        if not batch:
            self.batch = None

    def drop_record(self, keep: bytes | memoryview | None = None) -> None:
        """Forget the first record, or all of it but the tail *keep*."""
        batch = self.batch
        assert batch is not None
        first = batch[0]
        if keep is not None:
            batch.nbytes += len(keep) - first.len
            batch[0] = first.replace(keep)
            return
        batch.nbytes -= first.len
        del batch[0]
        if batch.names is not None:
            del batch.names[0]
        if not batch:
            self.batch = None

    def sbcompress(self) -> None:
        """Join the packets of a stream: many small ones fill the buffer with few bytes."""
        batch = self.batch
        if batch is not None and len(batch) > 1:
            self.batch = Batch((Piece(b"".join(p.data for p in batch)),), batch.nbytes)

    @property
    def low(self) -> bool:
        """Whether a paused transport may go on: small bites do not wake it each time."""
        batch = self.batch
        return batch is None or (batch.nbytes <= self.hiwat // 2 and len(batch) <= RCV_PACKETS // 2)

    def came_from(self, peer: Any) -> None:
        """Note that what is here came from *peer*, which is about to be another."""
        batch = self.batch
        if batch is not None and peer is not None:
            names = [None] * len(batch) if batch.names is None else batch.names
            batch.names = [peer if name is None else name for name in names]

    def flush(self) -> None:
        """Forget everything."""
        self.batch = None


class SndBuf(SockBuf):
    """
    so_snd: bytes that wait for the transport, in the pieces they came in.

    ``high`` is set from the moment the high-water mark is reached until the
    low one is.
    """

    __slots__ = ("cc", "high", "queue")

    def __init__(self) -> None:
        super().__init__(SB_HIWAT, SND_LOWAT)
        self.cc = 0
        self.high = False
        self.queue: deque[bytes | memoryview] | None = None  # idle is small

    @property
    def limit(self) -> int:
        """The most bytes this buffer ever holds."""
        return max(SB_LIMIT * self.hiwat, SND_LIMIT)

    @property
    def space(self) -> int:
        """What fits under the high-water mark; negative when above it."""
        return self.hiwat - self.cc

    @property
    def urgent(self) -> bool:
        """Whether the first piece is an urgent byte."""
        return self.queue is not None and isinstance(self.queue[0], Urgent)

    def append_urgent(self, byte: bytes) -> None:
        """Queue an urgent byte behind what waits."""
        if self.queue is None:
            self.queue = deque()
        self.queue.append(Urgent(byte))
        self.cc += 1

    def append(self, batch: Batch, skip: int) -> None:
        """Queue *batch* without its first *skip* bytes: those have left."""
        queue = self.queue
        if queue is None:
            queue = self.queue = deque()
        self.cc += batch.nbytes - skip
        for packet in batch:
            if skip >= packet.len:  # gone already, or empty
                skip -= packet.len
            elif skip:
                queue.append(memoryview(packet.data)[skip:])
                skip = 0
            else:
                queue.append(packet.data)
        if self.cc >= self.hiwat:
            self.high = True

    def gather(self) -> list[bytes | memoryview]:
        """Return the oldest pieces, as many as leave in one system call; an urgent one alone."""
        pieces: list[bytes | memoryview] = []
        for piece in islice(self.queue or (), GATHER):
            if isinstance(piece, Urgent):
                return pieces or [piece]
            pieces.append(piece)
        return pieces

    def sbdrop(self, count: int) -> None:
        """Forget the first *count* bytes: the transport has taken them."""
        self.cc -= count
        queue = self.queue
        while count and queue:
            piece = queue[0]
            if len(piece) > count:
                queue[0] = memoryview(piece)[count:]
                return
            count -= len(piece)
            queue.popleft()
        if not queue:
            self.queue = None

    def lowered(self) -> bool:
        """Say, once, that the buffer was high and is low again: a quarter, and lowat is free."""
        if self.high and self.cc <= min(self.hiwat // 4, max(0, self.hiwat - self.lowat)):
            self.high = False
            return True
        return False

    def flush(self) -> None:
        """Forget everything."""
        self.queue = None
        self.cc = 0
