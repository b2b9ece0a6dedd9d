"""Tools for testing node types and graphs; public, for third parties too.

* `GraphTestCase`: tests that speak ngctl.
* `RecordingNode`: a node that records all that happens to it.
* `Sandbox`: a graph with a clock and turns of its own, for other test runners.
* `check_node_type`: the promises every node type keeps (needs hypothesis).
"""

from ngksock.testing.case import GraphTestCase
from ngksock.testing.conformance import check_node_type
from ngksock.testing.recording import RecordingNode, recorder
from ngksock.testing.sandbox import Sandbox

__all__ = ["GraphTestCase", "RecordingNode", "Sandbox", "check_node_type", "recorder"]
