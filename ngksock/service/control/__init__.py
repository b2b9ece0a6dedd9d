"""The daemon's side of NGD/1: outside programs as nodes of the graph (docs/wire).

Theory of operation.  A `ControlServer` listens; each `Connection` is one
netgraph socket of a client: it reads a call, does it, and writes the reply
before it reads the next.  What arrives at the client's node is written to the
event channel there and then, by one non-blocking send, never through a buffer:
so whatever a call causes is there before the reply to the call, and what does
not fit is an ENOBUFS of the delivery.  An `Attachment` ties a control and a
data connection to their one node of type socket.
"""

from ngksock.service.control.place import Place, PlaceError, group_number
from ngksock.service.control.server import ControlServer

__all__ = ["ControlServer", "Place", "PlaceError", "group_number"]
