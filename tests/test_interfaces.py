"""Tests for the public interfaces: who provides them, and what is exported."""

from functools import partial

from twisted.plugin import IPlugin
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyClass, verifyObject

import ngksock.interfaces
import ngksock.kpi.constants
import ngksock.netgraph
import ngksock.packet
import ngksock.plugin
from ngksock import (
    _ikpi,
    _ikpi_data,
    _ikpi_events,
    _ikpi_life,
    _ikpi_names,
    _ikpi_options,
    _inetgraph,
)
from ngksock.interfaces import INode, INodeType
from ngksock.netgraph import Node
from ngksock.netgraph.node import bare_node
from ngksock.nodes.socket import Socket
from ngksock.nodes.socket import socket as socket_type
from ngksock.plugin import NodeType
from tests.netgraph.rig import GraphTests


class InterfaceTests(GraphTests):
    def test_node(self) -> None:
        """Node and Socket provide INode, as classes and as nodes of a graph."""
        for cls in (Node, Socket):
            verifyClass(INode, cls)
        verifyObject(INode, self.me)

    def test_bare(self) -> None:
        """What speaks for a bare provider provides the whole of INode."""

        class Bare:
            def rcvdata(self, hook: object, packet: object) -> None:
                pass

        node = bare_node(Bare())
        self.graph.add(NodeType("bare", 1, Bare), node)
        verifyObject(INode, node)
        self.assertIs(self.me, bare_node(self.me))

    def test_type(self) -> None:
        """A NodeType is a plugin and a type of node."""
        for kind in (socket_type, NodeType("x", 1, Node), NodeType("x", 1, partial(Node))):
            verifyObject(INodeType, kind)
            self.assertTrue(IPlugin.providedBy(kind))

    def test_every_method_is_described(self) -> None:
        """Each method of the interfaces has a docstring."""
        for interface in (INode, INodeType):
            for name in interface.names():
                self.assertTrue(interface[name].__doc__, name)


class ExportTests(SynchronousTestCase):
    def test_exports(self) -> None:
        """What a module says it exports is there, sorted as ruff sorts it, each once."""
        for module in (ngksock.interfaces, ngksock.netgraph, ngksock.packet, ngksock.plugin):
            names = module.__all__
            self.assertEqual(len(set(names)), len(names))
            for name in names:
                self.assertTrue(hasattr(module, name), f"{module.__name__}.{name}")

    def test_every_interface_is_public(self) -> None:
        """Every interface, and both types of callbacks, are found in `ngksock.interfaces`."""
        private = [_ikpi, _ikpi_data, _ikpi_events, _ikpi_life, _ikpi_names, _ikpi_options]
        for module in [_inetgraph, *private]:
            self.assertEqual(set(), set(module.__all__) - set(ngksock.interfaces.__all__))

    def test_constants(self) -> None:
        """Whatever the header has a name for is found in `ngksock.kpi`."""
        for name in ngksock.kpi.constants.__all__:
            self.assertEqual(getattr(ngksock.kpi, name), getattr(ngksock.kpi.constants, name))
