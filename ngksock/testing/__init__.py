"""Tools for testing node types and graphs; public, for third parties too.

* `GraphTestCase`: tests that speak ngctl.
* `RecordingNode`: a node that records all that happens to it.
* `Sandbox`: a graph with a clock and turns of its own, for other test runners.
* `MemoryNet`: sockets in memory, for programs that use the socket KPI.
* `check_socket_kpi`: the promises of the socket KPI, for a `SocketWorld` of
  one's own; `HostWorld` and `MemoryWorld` are ours.
* `check_node_type`: the promises every node type keeps (needs hypothesis).
"""

from ngksock.testing.case import GraphTestCase
from ngksock.testing.conformance import check_node_type
from ngksock.testing.kpi import HostWorld, MemoryWorld, SocketWorld, check_socket_kpi
from ngksock.testing.memory import MemoryNet
from ngksock.testing.recording import RecordingNode, recorder
from ngksock.testing.sandbox import Sandbox

__all__ = [
    "GraphTestCase",
    "HostWorld",
    "MemoryNet",
    "MemoryWorld",
    "RecordingNode",
    "Sandbox",
    "SocketWorld",
    "check_node_type",
    "check_socket_kpi",
    "recorder",
]
