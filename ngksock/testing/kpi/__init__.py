"""Conformance of sockets to the KPI: the 94 checks of kpi-socket.md §16.

* `check_socket_kpi` runs those that apply to the sockets of a world.
* `SocketWorld` says what sockets of one kind are like; `HostWorld` and
  `MemoryWorld` are ours.
* `TABLE` is what holds where, what differs there and how, and why not.
"""

from ngksock.testing.kpi.host import HostWorld
from ngksock.testing.kpi.memoryworld import MemoryWorld
from ngksock.testing.kpi.suite import check_socket_kpi, run_check
from ngksock.testing.kpi.table import COLUMNS, TABLE
from ngksock.testing.kpi.world import SocketWorld

__all__ = [
    "COLUMNS",
    "TABLE",
    "HostWorld",
    "MemoryWorld",
    "SocketWorld",
    "check_socket_kpi",
    "run_check",
]
