"""A plugin for coverage: save what was measured before a process kills itself.

twistd ends by the signal that stopped it: it restores the default action and
sends itself the signal again.  No exit function runs then, so without this
every line that only a service executes would look unreached.
"""

from __future__ import annotations

import os
import signal

from coverage import Coverage
from coverage.plugin_support import Plugins

__all__ = ["coverage_init"]

_kill = os.kill


def _save_and_kill(pid: int, sig: int) -> None:
    """Do as os.kill, and save first if this is the process's own end."""
    if pid == os.getpid() and sig and signal.getsignal(sig) is signal.SIG_DFL:
        measuring = Coverage.current()
        if measuring is not None:
            measuring.save()
    _kill(pid, sig)


def coverage_init(reg: Plugins, options: object) -> None:
    """Be called by coverage when it starts in a process."""
    os.kill = _save_and_kill
