"""Every interface of ngksock, in one place."""

from ngksock._ikpi import IBatchSocket, ISocketKPI, ISocketKPIProvider, IUserRequests
from ngksock._inetgraph import INode, INodeType

__all__ = [
    "IBatchSocket",
    "INode",
    "INodeType",
    "ISocketKPI",
    "ISocketKPIProvider",
    "IUserRequests",
]
