"""The graph, without Twisted: nodes, hooks, messages and their two forms.

What a node type needs is here and in `ngksock.netgraph.layout`.
"""

from ngksock.netgraph.command import Reply, Row, Rows, command, command_later, rows_of
from ngksock.netgraph.fork import Fork, Forks
from ngksock.netgraph.graph import Graph
from ngksock.netgraph.hook import Hook, Shares, send_all
from ngksock.netgraph.lexer import ParseError
from ngksock.netgraph.message import FLOW_COOKIE, Item, Message
from ngksock.netgraph.node import Node
from ngksock.netgraph.route import Route, Tally, follow
from ngksock.netgraph.timer import Schedule, Timer
from ngksock.packet import EOF, Batch, Packet, Tag

__all__ = [
    "EOF",
    "FLOW_COOKIE",
    "Batch",
    "Fork",
    "Forks",
    "Graph",
    "Hook",
    "Item",
    "Message",
    "Node",
    "Packet",
    "ParseError",
    "Reply",
    "Route",
    "Row",
    "Rows",
    "Schedule",
    "Shares",
    "Tag",
    "Tally",
    "Timer",
    "command",
    "command_later",
    "follow",
    "rows_of",
    "send_all",
]
