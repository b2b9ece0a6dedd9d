"""Programs outside of the daemon: a node of type ``socket``, from any process.

In libnetgraph's terms, with blocking sockets and no Twisted::

    from ngksock.client import connect

    with connect() as node:
        node.send_ascii_msg(".", 'mkpeer { type="hub" ourhook="x" peerhook="y" }')
        node.send_data("x", b"hello")
        print(node.request_ascii("[1]:", "nodeinfo"))

`ngksock.client.deferred` is the same for programs that run a reactor, and
`ngksock.client.port` carries out ngctl's commands.
"""

from ngksock.client.channel import NoAnswerError, NoDaemonError
from ngksock.client.nodesocket import NodeSocket, Received, connect

__all__ = ["NoAnswerError", "NoDaemonError", "NodeSocket", "Received", "connect"]
