"""ksocket: a socket as a node of the graph.

Bytes that arrive at the socket leave through the node's hook; packets that
arrive on the hook are written to the socket.  The hook's name chooses the
socket: ``inet/dgram/udp``, ``inet6/stream/tcp``, ``local/seqpacket/0``...

Messages: bind, listen, accept, connect, getname, getpeername, setopt, getopt,
eof, unaccept; settls and gettls, of a stream whose protocol is ``tls``.  A
stream that ends sends one empty packet with the end-of-file mark, and one that
receives the mark ends its own writing side once its queue is empty; when both
directions have ended, so does the node.
"""

from ngksock.nodes.ksocket.node import KSocket, kpi_of, ksocket

__all__ = ["KSocket", "kpi_of", "ksocket"]
