"""Every interface of ngksock, in one place."""

from ngksock._inetgraph import INode, INodeType

__all__ = ["INode", "INodeType"]
