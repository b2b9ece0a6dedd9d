"""Every interface of ngksock, in one place."""

from ngksock._ikpi import (
    IBatchSocket,
    ISocketFilter,
    ISocketKPI,
    ISocketKPIProvider,
    IUserRequests,
)
from ngksock._ikpi_data import ISocketData
from ngksock._ikpi_events import ISocketEvents, SockEvupcall, SockUpcall
from ngksock._ikpi_life import ISocketLife
from ngksock._ikpi_names import ISocketNames
from ngksock._ikpi_options import ISocketOptions
from ngksock._inetgraph import INode, INodeType

__all__ = [
    "IBatchSocket",
    "INode",
    "INodeType",
    "ISocketData",
    "ISocketEvents",
    "ISocketFilter",
    "ISocketKPI",
    "ISocketKPIProvider",
    "ISocketLife",
    "ISocketNames",
    "ISocketOptions",
    "IUserRequests",
    "SockEvupcall",
    "SockUpcall",
]
