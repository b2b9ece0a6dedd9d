"""ngksock: netgraph graphs and kernel-style sockets in user space, on Twisted."""

__all__ = ["__version__"]

__version__ = "0.1.0"
