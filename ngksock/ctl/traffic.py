"""What comes while a person thinks about the next command."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable, Iterator

from ngksock.client import NoAnswerError, NodeSocket
from ngksock.ctl.commands import ConsoleSession
from ngksock.netgraph import display

__all__ = ["Traffic"]

AGAIN = 0.1
"""Seconds between two attempts to end what waits for a line."""


TURN = 64
"""Packets that are shown before whoever waits for the lock has it."""
PAUSE = 0.001
"""Seconds for which it is free then."""


class Traffic:
    """
    Shows messages and packets as they come, in a thread of its own.

    ``lock`` is held by whoever uses the node: this thread, or the one that
    carries out commands; that one says by ``asking`` that it waits for a line,
    and is interrupted when nothing will come any more, for the ``error``.

    Args:
        node: Where things come.
        session: Says how messages are shown.
        show: Prints a piece of text while a line is being typed.
    """

    def __init__(
        self, node: NodeSocket, session: ConsoleSession, show: Callable[[str], None]
    ) -> None:
        self.lock = threading.RLock()
        self.error: OSError | None = None
        self.asking = False
        self._node = node
        self._session = session
        self._show = show
        self._stop, self._wake = os.pipe()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._wake)
        self._thread.join()
        os.close(self._stop)

    def _watch(self) -> None:
        # The main thread takes signals: one here would not end what a person types.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        poll = select.poll()
        for number in (self._stop, self._node.fileno(), self._node.data_fileno()):
            poll.register(number, select.POLLIN)
        while True:
            if any(number == self._stop for number, _ in poll.poll()):
                return
            with self.lock:
                if not self._take(self._show):
                    break
            # A lock that is taken again at once is given to nobody else.
            select.select((), (), (), PAUSE)
        # Again and again: one that comes just before readline waits is lost.
        while self.asking:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            select.select((), (), (), AGAIN)

    def _take(self, show: Callable[[str], None]) -> bool:
        """Show what has come; return False when nothing will come any more."""
        say, self._session.say = self._session.say, show
        try:
            self._session.show_received()
            for text in self._packets():
                show(text)
        except OSError as error:
            self.error = error
            return False
        finally:
            self._session.say = say
        return True

    def shown(self) -> None:
        """Show what came while a command was carried out."""
        self._take(self._session.say)

    def _packets(self) -> Iterator[str]:
        for _ in range(TURN):
            try:
                hook, data = self._node.recv_data(0)
            except NoAnswerError:
                return
            if data:
                yield f'Rec\'d data packet on hook "{hook}":\n{display.dump(data)}'
            else:
                yield f'Rec\'d empty data packet on hook "{hook}"'
