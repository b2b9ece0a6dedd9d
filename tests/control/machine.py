"""Random calls from several clients, each compared with the model."""

from __future__ import annotations

import struct
from errno import EADDRINUSE, EDESTADDRREQ, EHOSTUNREACH, EINVAL, EPIPE
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    precondition,
    rule,
)

from tests.control import rawclient as raw
from tests.control.model import KINDS, Model, Node, Refused
from tests.control.rawclient import BIND, CONNECT, GETNAME, Client

HOOKS = st.sampled_from(["a", "b", "c", "d", "h" * 31, "\xff", "", "x.y", "p:q"])
NAMES = st.sampled_from(["n", "test hub", "[0]", "m" * 31, "\xe4", "", "[1f]", "a.b", "a:b"])
PLACES = st.one_of(
    st.just(""), st.sampled_from(["n", "test hub", "[0]", "none", "[ffffff]"]), st.integers(0, 30)
)
WAYS = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=2)
CLIENTS_MAX = 5


class ControlMachine(RuleBasedStateMachine):
    """
    Several clients, and the model they are held against.

    ``path`` is the daemon's; ``steps`` counts calls over all runs.
    """

    path: ClassVar[str] = ""
    steps: ClassVar[int] = 0
    clients: Any = Bundle("clients")

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.open: dict[Client, Node] = {}
        self.spare = Client(self.path)
        self.seen = 0

    def teardown(self) -> None:
        try:
            self.compare()
        finally:
            for client in self.open:
                client.close()
            for node in list(self.model.nodes.values()):
                self.spare.shutdown(f"[{node.number:x}]:")
            left = self.spare.nodes()
            self.spare.close()
        assert len(left) == 1, left

    # -- addresses

    def address(self, client: Client, place: str | int, way: list[str]) -> tuple[str, Node]:
        """Return an address as text, and the node the model finds there, or Refused."""
        if isinstance(place, int):
            numbers = sorted(self.model.nodes)
            place = f"[{numbers[place % len(numbers)]:x}]" if numbers else "none"
        path = (f"{place}:" if place else ".:") + ".".join(way)
        self.last = path
        return path, self.model.find(place, way, self.open[client])

    def same(self, client: Client, expected: int, found: int) -> None:
        """Compare the errnos; of a client whose node is gone it is EPIPE."""
        type(self).steps += 1
        if self.open[client].number not in self.model.nodes and not self.alive(client):
            expected = EPIPE
        assert found == expected, (found, expected, getattr(self, "last", ""))

    def alive(self, client: Client) -> bool:
        """Say whether the client's node was there before this call."""
        return self.open[client] in self.before

    def act(self, client: Client, place: str | int, way: list[str]) -> tuple[str, Node | None, int]:
        """Return path, node and errno of an address; remember who was there."""
        self.before = set(self.model.nodes.values())
        try:
            path, node = self.address(client, place, way)
        except Refused as refused:
            return self.last, None, refused.code
        return path, node, 0

    def mine(self, client: Client) -> bool:
        return self.open[client].number in self.model.nodes

    # -- clients come and go

    @precondition(lambda self: len(self.open) < CLIENTS_MAX)
    @rule(target=clients, queue=st.sampled_from([0, 65536]))
    def hello(self, queue: int) -> Client:
        client = Client(self.path, queue=queue)
        self.open[client] = self.model.add("socket", client.control.node)
        type(self).steps += 1
        return client

    @rule(client=consumes(clients))
    def bye(self, client: Client) -> None:
        client.close()
        node = self.open.pop(client)
        if node.number in self.model.nodes:
            self.model.shutdown(node)
        Client(self.path).close()  # a HELLO: it is gone
        type(self).steps += 1

    # -- calls

    @rule(client=clients, name=NAMES)
    def bind(self, client: Client, name: str) -> None:
        self.before = set(self.model.nodes.values())
        expected = 0
        if self.mine(client):
            try:
                if not name:
                    raise Refused(EINVAL)
                self.model.rename(self.open[client], name)
            except Refused as refused:
                expected = refused.code
        self.last = f"bind {name}"
        self.same(client, expected, client.control.errno_of(BIND, name))

    @rule(client=clients)
    def getname(self, client: Client) -> None:
        node = self.open[client]
        for sock in (client.control, client.data):
            code, body = sock.call(GETNAME)
            if self.mine(client):
                expected = node.name or f"[{node.number:x}]"
                assert (code, body) == (0, expected.encode("latin-1"))
            else:
                assert code == EPIPE
        type(self).steps += 2

    @rule(client=clients, place=PLACES)
    def attach_again(self, client: Client, place: str | int) -> None:
        path, node, code = self.act(client, place, [])
        data = raw.RawSocket(self.path, raw.DATA)
        try:
            found = data.errno_of(CONNECT, path)
        finally:
            data.close()
        type(self).steps += 1
        if path == ".:":
            assert found == EINVAL
        elif node is None:
            assert found == code
        else:
            assert found == (EADDRINUSE if node.kind == "socket" else EINVAL), (path, found)

    @rule(
        client=clients, place=PLACES, way=WAYS, kind=st.sampled_from(KINDS), our=HOOKS, peer=HOOKS
    )
    def mkpeer(self, client: Any, place: Any, way: Any, kind: str, our: str, peer: str) -> None:
        path, node, code = self.act(client, place, way)
        if node is not None and self.mine(client):
            try:
                self.model.may_mkpeer(node, kind, our, peer)
            except Refused as refused:
                code = refused.code
        found = client.mkpeer(path, kind, our, peer)
        self.same(client, code, found)
        if not found:
            assert node is not None
            info = self.spare.ask(f"[{node.number:x}]:{our}", raw.GENERIC, raw.NODEINFO)
            new = self.model.add(kind, raw.nodeinfo(info)[2])
            self.model.join(node, our, new, peer)

    @rule(client=clients, place=PLACES, way=WAYS, to=PLACES, our=HOOKS, peer=HOOKS)
    def link(self, client: Any, place: Any, way: Any, to: Any, our: str, peer: str) -> None:
        path, node, code = self.act(client, place, way)
        far = ".:"
        if node is not None and self.mine(client):
            try:
                other = node
                if to != "":
                    far, other = self.address(client, to, [])
                self.model.connect(node, our, other, peer)
            except Refused as refused:
                far, code = self.last if to != "" else far, refused.code
        self.last = path
        self.same(client, code, client.link(path, far, our, peer))

    @rule(client=clients, place=PLACES, way=WAYS, hook=HOOKS)
    def rmhook(self, client: Any, place: Any, way: Any, hook: str) -> None:
        path, node, code = self.act(client, place, way)
        if node is not None and self.mine(client):
            self.model.rmhook(node, hook)
        self.same(client, code, client.rmhook(path, hook))

    @rule(client=clients, place=PLACES, way=WAYS, name=NAMES)
    def name(self, client: Any, place: Any, way: Any, name: str) -> None:
        path, node, code = self.act(client, place, way)
        if node is not None and self.mine(client):
            try:
                self.model.rename(node, name)
            except Refused as refused:
                code = refused.code
        self.same(client, code, client.name(path, name))

    @rule(client=clients, place=PLACES, way=WAYS)
    def persist(self, client: Any, place: Any, way: Any) -> None:
        path, node, code = self.act(client, place, way)
        if node is not None and self.mine(client):
            if node.kind == "hub":
                node.persistent = True
            elif node.kind == "socket":
                return  # it would be handed to its program
            else:
                code = 0 if node.kind == "echo" else EINVAL
        self.same(client, code, client.send(path, 1082189597, 1))
        if self.mine(client):
            client.control.drain()  # an echo answers

    @rule(client=clients, place=PLACES, way=WAYS)
    def shutdown(self, client: Any, place: Any, way: Any) -> None:
        path, node, code = self.act(client, place, way)
        if node is not None and self.mine(client):
            self.model.shutdown(node)
        self.same(client, code, client.shutdown(path))

    @rule(client=clients, hook=HOOKS)
    def write(self, client: Client, hook: str) -> None:
        self.before = set(self.model.nodes.values())
        node = self.open[client]
        self.last = f"write {hook}"
        if not self.mine(client):
            self.same(client, EPIPE, client.write(hook, b"x"))
            return
        if not hook and len(node.hooks) != 1:
            self.same(client, EDESTADDRREQ, client.write(hook, b"x"))
            return
        out = hook or next(iter(node.hooks))
        if out not in node.hooks:
            self.same(client, EHOSTUNREACH, client.write(hook, b"x"))
            return
        receivers = self.model.receivers(node, out)
        if receivers is None:
            return  # it may go round, and nobody can say how often
        for other in self.open:
            if self.mine(other):
                other.data.drain()
        packet = struct.pack("=I", type(self).steps)
        self.same(client, 0, client.write(hook, packet))
        for other, its in self.open.items():
            if self.mine(other):
                expected = sorted((name, packet) for there, name in receivers if there is its)
                assert sorted(other.data.drain()) == expected

    # -- all the time

    @invariant()
    def compare(self) -> None:
        """The daemon's graph is the model's: nodes by id, hooks the newest first."""
        self.seen += 1
        nodes = [node for node in self.spare.nodes() if node[2] != self.spare.control.node]
        expected = [
            (node.name, node.kind, node.number, len(node.hooks))
            for _, node in sorted(self.model.nodes.items())
        ]
        assert nodes == expected, (nodes, expected)
        if self.seen % 10 == 0:
            for node in self.model.nodes.values():
                data = self.spare.ask(f"[{node.number:x}]:", raw.GENERIC, raw.LISTHOOKS)
                links = [data[at : at + 136] for at in range(72, len(data), 136)]
                found = [(raw.text(x), raw.text(x[32:]), raw.nodeinfo(x[64:])[2]) for x in links]
                hooks = [(name, peer, far.number) for name, (far, peer) in node.hooks.items()]
                assert found == hooks[::-1], (found, hooks)
