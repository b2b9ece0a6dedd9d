"""The seqpacket driver: a stream that keeps its packets apart.

It lives as a stream does, and each packet of a batch is one record.  A record
of no bytes cannot be told from the end of file at the other end, so none is
ever sent.
"""

from __future__ import annotations

import errno

from ngksock.kpi.constants import DGRAM_SLOT, MSG_NOSIGNAL
from ngksock.kpi.stream import StreamDriver, folded
from ngksock.packet import Batch, Packet

__all__ = ["SeqpacketDriver"]

TOO_LONG = (errno.EMSGSIZE, errno.ENOBUFS)


class SeqpacketDriver(StreamDriver):
    """A connection-oriented socket of records."""

    def _read(self) -> None:
        size = self._receive()
        if size is None:
            return
        if not size:
            self._ended()
        elif size > DGRAM_SLOT:
            self.so.truncated += 1
        elif not self.so.sbappend(Packet(bytes(self.kpi.slot[:size]))):
            self.pause()

    def _receive(self) -> int | None:
        try:
            return self.sock.recv_into(self.kpi.slot)
        except BlockingIOError:
            return None
        except OSError as error:
            self._lost(folded(error.errno))
            return None

    def _send_many(self, batch: Batch) -> int:
        total = 0
        for packet in batch:
            if not packet.len:
                continue
            try:
                self.sock.send(packet.data, MSG_NOSIGNAL)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno not in TOO_LONG:
                    raise
                self.so.sosenderror(error.errno, packet.len)
            total += packet.len  # sent, or it never will be
        return total

    def send(self, batch: Batch) -> int:
        try:
            sent = self._send_many(batch)
        except OSError as error:
            self._lost(self.refused(error.errno))
            raise
        if sent < batch.nbytes:
            self._want_write()
        return sent

    def _push(self) -> None:
        snd = self.so.so_snd
        for piece in snd.gather():
            try:
                self.sock.send(piece, MSG_NOSIGNAL)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno not in TOO_LONG:
                    raise
                self.so.sosenderror(error.errno, len(piece))
            snd.sbdrop(len(piece))

    def _pull(self) -> None:
        while True:
            try:
                size = self.sock.recv_into(self.kpi.slot)
            except OSError:
                return  # nothing more; why is known already
            if not size:
                return
            if size > DGRAM_SLOT:
                self.so.truncated += 1
            else:
                self.so.sbappend(Packet(bytes(self.kpi.slot[:size])))
