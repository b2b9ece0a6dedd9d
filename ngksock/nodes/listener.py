"""listener: what becomes of each connection that a ksocket accepts.

Hooks: ``socket`` goes to the ksocket that will listen.  Any other hook is a
mere anchor: nothing is sent out of it, and what arrives there is dropped.

Messages: setscript and getscript, the ngctl commands run for every accepted
connection, with ``.`` the accepted ksocket; start and stop; setlimit, how many
connections live at once (beyond it they wait in the backlog); settimeouts;
getstats, clrstats, getclrstats.

A script that fails, or whose connect fails or takes too long afterwards, closes
that connection, is counted and logged, and disturbs no other.  Each connection
lives as long as its accepted ksocket does, also after the listener's end; the
nodes its script made end with it.

It ends when ``socket`` goes.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from errno import EINPROGRESS, EINVAL, ENOENT, ENOTCONN, EOPNOTSUPP, ETIMEDOUT, errorcode
from typing import Annotated, Final

from ngksock.netgraph import Graph, Hook, Item, Message, Node, Timer, command
from ngksock.netgraph.layout import (
    INT32,
    STRING,
    UINT32,
    Prefixed,
    Struct,
    UInt32,
    UInt64,
    quote,
)
from ngksock.netgraph.ngctl import LineError
from ngksock.netgraph.port import GraphPort
from ngksock.netgraph.session import Session
from ngksock.plugin import NodeType

KSOCKET_COOKIE: Final = 942710669
KSOCKET_OWN_COOKIE: Final = 1750000200
LISTEN, ACCEPT, CONNECT, UNACCEPT = 2, 3, 4, 2
ALLOWED: Final = frozenset({"mkpeer", "connect", "name", "rmhook", "shutdown", "msg"})
"""Commands a script may have: those that shape the graph."""


@dataclass
class Script:
    """The commands, one line each."""

    lines: Annotated[list[str], Prefixed(STRING)]


@dataclass
class Timeouts:
    """Seconds; 0 is for ever."""

    connect: UInt32 = 10
    idle: UInt32 = 0


@dataclass
class Stats:
    """What became of the connections."""

    accepted: UInt64 = 0
    active: UInt64 = 0
    failed: UInt64 = 0
    timedout: UInt64 = 0


@dataclass(eq=False)
class Connection:
    """
    One accepted connection.

    Args:
        node: Its ksocket.
        since: When it was accepted, or last carried a packet.
        carried: The packets it had carried then.
        waiting: Tokens of its connects under way, with their script lines.
        made: The nodes its script made; they end with it.
        alive: The ids of its sockets that have not ended: the accepted one,
            and those among *made*, which may have something left to send.
    """

    node: Node
    since: float
    carried: int = 0
    waiting: dict[int, str] = field(default_factory=dict)
    made: list[Node] = field(default_factory=list)
    alive: set[int] = field(default_factory=set)


class NoFiles:
    """The script of a listener reads and writes no files."""

    def run(self, name: str) -> None:
        raise OSError(EOPNOTSUPP, "a script cannot read another one")

    def load(self, name: str, size: int) -> bytes:
        raise OSError(EOPNOTSUPP, "a script cannot read a file")

    def save(self, name: str, text: str) -> None:
        raise OSError(EOPNOTSUPP, "a script cannot write a file")


class ScriptPort(GraphPort):
    """A port that notes which connects are under way, for the connection at hand."""

    def __init__(self, graph: Graph, source: Node, here: Node) -> None:
        super().__init__(graph, source, here)
        self.line = ""
        self.waiting: dict[int, str] = {}

    def send(self, path: str, message: Message) -> None:
        try:
            super().send(path, message)
        except OSError as error:
            if error.errno == EINPROGRESS:
                self.waiting[message.token] = self.line
            raise


class Listener(Node):
    """Runs a script for each connection."""

    hook_form = "any name; socket leads to the ksocket that listens"

    def __init__(self) -> None:
        super().__init__()
        self.script: list[str] = []
        self.limit = 0
        self.timeouts = Timeouts()
        self.stats = Stats()
        self.backlog: int | None = None  # while started
        self.connections: dict[int, Connection] = {}  # by the id of the accepted node
        self._made: dict[int, Connection] = {}  # by the id of a ksocket its script made
        self._connecting: dict[int, Connection] = {}  # by the token of the connect
        self._asking = False
        self._token = 0
        self._tick = Timer(self, self._look)

    # -- life

    def disconnect(self, hook: Hook) -> None:
        """End when the listening socket goes."""
        if hook.name == "socket" and self.valid:
            self.graph.rmnode_self(self)

    def shutdown(self) -> None:
        """Accept no more, and forget the timeouts; the connections live on."""
        self.backlog = None
        self._connecting.clear()
        self._tick.stop()

    # -- messages

    @command(1, arg=Struct(Script))
    def setscript(self, script: Script) -> None:
        """Set the ngctl commands to run for each connection."""
        port = ScriptPort(self.graph, self, self)
        session = Session(port, _silent, _silent, NoFiles(), ALLOWED)
        for number, line in enumerate(script.lines, 1):
            try:
                session.parse(line)
            except LineError as error:
                raise self._refused(number, line, error) from error
        self.script = list(script.lines)

    @command(2, resp=Struct(Script))
    def getscript(self) -> Script:
        """Tell the commands."""
        return Script(self.script)

    @command(3, arg=INT32)
    def start(self, backlog: int) -> None:
        """Listen, with a backlog, and accept connections from now on."""
        socket = self.hooks.get("socket")
        if socket is None:
            raise OSError(ENOTCONN, f'listener {self!r} has nothing at its hook "socket"')
        if not self.script:
            raise OSError(EINVAL, f"listener {self!r} has no script yet; setscript comes first")
        self.graph.send_hook(socket, Message(KSOCKET_COOKIE, LISTEN, INT32.pack(backlog)))
        before, self.backlog = self.backlog, backlog
        try:
            if self.graph.checking:
                self._rehearse()
            else:
                self._ask()
        except OSError:
            self.backlog = before
            raise

    @command(4)
    def stop(self) -> None:
        """Accept no more; connections that come wait in the backlog, others go on."""
        self.backlog = None
        socket = self.hooks.get("socket")
        if self._asking and socket is not None:
            self._asking = False
            self.graph.send_hook(socket, Message(KSOCKET_OWN_COOKIE, UNACCEPT))

    @command(5, arg=UINT32)
    def setlimit(self, limit: int) -> None:
        """Set how many connections live at once; 0: as many as come."""
        self.limit = limit
        self._ask()

    @command(6, resp=Struct(Stats))
    def getstats(self) -> Stats:
        """Count the connections: accepted, active now, failed, timed out."""
        return replace(self.stats, active=len(self.connections))

    @command(7)
    def clrstats(self) -> None:
        """Begin to count anew."""
        self.stats = Stats()

    @command(8, resp=Struct(Stats))
    def getclrstats(self) -> Stats:
        """Count, then begin anew."""
        stats = self.getstats()
        self.clrstats()
        return stats

    @command(9, arg=Struct(Timeouts))
    def settimeouts(self, timeouts: Timeouts) -> None:
        """Set how long a connect, and silence, may last, in seconds; 0: for ever."""
        self.timeouts = timeouts
        self._tick.stop()  # it may be due too late for the new ones
        self._start_tick()

    def rcvmsg(self, item: Item, lasthook: Hook | None) -> None:
        """Take the replies of ksockets: who was accepted, which connect has ended."""
        message = item.message
        if not message.is_response:
            super().rcvmsg(item, lasthook)
        elif message.cookie == KSOCKET_COOKIE and message.cmd == ACCEPT:
            self._accepted(item.source)
        elif message.cookie == KSOCKET_COOKIE and message.cmd == CONNECT:
            self._connected(message.token, INT32.unpack(message.data))

    # -- connections

    def _ask(self) -> None:
        """Ask for the next connection, unless there are enough."""
        socket = self.hooks.get("socket")
        if (
            self._asking
            or socket is None
            or self.backlog is None
            or (self.limit and len(self.connections) >= self.limit)
        ):
            return
        self._asking = True
        try:
            self.graph.send_hook(socket, Message(KSOCKET_COOKIE, ACCEPT))
        except OSError:
            self._asking = False
            raise

    def _go_on(self) -> None:
        """Ask again; nobody is there to be told that this failed."""
        try:
            self._ask()
        except OSError as error:
            self.backlog = None
            self._warn(f"accepts no more: {error.strerror}")

    def _accepted(self, number: int) -> None:
        self._asking = False
        node = self.graph.nodes.get(number)
        if node is not None:
            self.stats.accepted += 1
            self._serve(node)
        self._go_on()

    def _serve(self, node: Node) -> None:
        """Run the script for the connection that *node* is."""
        connection = Connection(node, self.graph.clock(), alive={node.id})
        self.connections[node.id] = connection
        node.watch(self._ended)
        port = ScriptPort(self.graph, self, node)
        session = Session(port, _silent, self._warn, NoFiles(), ALLOWED)
        session.token = self._token
        self.graph.newborn = connection.made
        try:
            for line in self.script:
                port.line = line
                session.run(line)
        except LineError as error:
            self._fail(connection, port.line, error.errno or EINVAL, error.strerror)
            return
        finally:
            self.graph.newborn = None
            self._token = session.token
        if not node.hooks:
            self._fail(connection, port.line, ENOTCONN, "the script links nothing to it")
            return
        for made in connection.made:
            if made.type.name == "ksocket" and made.valid:
                connection.alive.add(made.id)
                self._made[made.id] = connection
                made.watch(self._ended)
        connection.waiting = port.waiting
        for token in port.waiting:
            self._connecting[token] = connection
        self._start_tick()

    def _connected(self, token: int, errno: int) -> None:
        connection = self._connecting.pop(token, None)
        if connection is None:
            return
        line = connection.waiting.pop(token)
        connection.since = self.graph.clock()
        if errno:
            self._fail(connection, line, errno)

    def _fail(self, connection: Connection, line: str, errno: int, text: str | None = None) -> None:
        """Close *connection*, whose script failed at *line*."""
        self.stats.failed += 1
        known = os.strerror(errno)
        more = f"; {text}" if text and text != known else ""
        name = errorcode.get(errno, str(errno))
        self._warn(f'connection {connection.node!r}: "{line}": {name} ({known}){more}')
        self.graph.rmnode(connection.node)

    def _ended(self, node: Node) -> None:
        """A ksocket has ended; its connection ends with the last."""
        connection = self._made.pop(node.id, None) or self.connections.get(node.id)
        if connection is None:
            return
        connection.alive.discard(node.id)
        if node is connection.node:
            for token in connection.waiting:
                self._connecting.pop(token, None)
            connection.waiting.clear()
            connection.since = self.graph.clock()
            # First what is in the middle: the sockets end with their hooks then,
            # when they have sent what they hold.
            for made in sorted(connection.made, key=lambda made: made.type.name == "ksocket"):
                if made.type.name != "ksocket":
                    self.graph.rmnode(made)
                for hook in list(made.hooks.values()):
                    self.graph.rmhook(hook)
        if not connection.alive and self.connections.pop(connection.node.id, None) is not None:
            self._go_on()

    def _warn(self, text: str) -> None:
        self.graph.report(f"listener {self!r}: {text}", None)

    # -- time: one timer for all connections

    def _start_tick(self) -> None:
        wanted = (self.timeouts.idle and self.connections) or (
            self.timeouts.connect and self._connecting
        )
        if wanted and not self._tick.active:
            limits = [seconds for seconds in (self.timeouts.connect, self.timeouts.idle) if seconds]
            self._tick.start(min(limits) / 8)

    def _look(self) -> None:
        """Close the connections whose time is up."""
        now = self.graph.clock()
        limits = self.timeouts
        for connection in list(self.connections.values()):
            if connection.waiting:
                if limits.connect and now - connection.since >= limits.connect:
                    self._time_out(connection, next(iter(connection.waiting.values())))
                continue
            carried = self._carried(connection)
            if carried != connection.carried:
                connection.carried, connection.since = carried, now
            elif limits.idle and now - connection.since >= limits.idle:
                self._time_out(connection, "")
        self._start_tick()

    def _carried(self, connection: Connection) -> int:
        """Return a number that grows while the sockets of *connection* carry anything."""
        found = map(self.graph.nodes.get, connection.alive)
        nodes = [node for node in found if node is not None]
        packets = sum(h.packets + h.peer.packets for node in nodes for h in node.hooks.values())
        return packets + sum(getattr(node, "left", 0) for node in nodes)

    def _time_out(self, connection: Connection, line: str) -> None:
        self.stats.timedout += 1
        if line:
            name = errorcode[ETIMEDOUT]
            self._warn(f'connection {connection.node!r}: "{line}": {name} (no answer in time)')
        self.graph.rmnode(connection.node)
        for number in list(connection.alive):
            if number in self.graph.nodes:
                self.graph.rmnode(self.graph.nodes[number])

    # -- the dry run

    def _refused(self, number: int, line: str, error: LineError) -> OSError:
        remedy = f"; {error.remedy}" if error.remedy else ""
        text = f"script line {number} ({quote(line)}): {error.strerror}{remedy}"
        return OSError(error.errno or EINVAL, text)

    def _rehearse(self) -> None:
        """Run the script for a connection that does not exist."""
        kind = self.graph.type("ksocket")
        stand_in = StandIn()
        self.graph.add(kind, stand_in)
        session = Session(
            ScriptPort(self.graph, self, stand_in), _silent, _silent, NoFiles(), ALLOWED
        )
        made = self.graph.newborn = []
        try:
            for number, line in enumerate(self.script, 1):
                try:
                    session.run(line)
                except LineError as error:
                    raise self._refused(number, line, error) from error
        finally:
            self.graph.newborn = None
            for node in [stand_in, *made]:
                self.graph.rmnode(node)

    # -- what it tells of itself

    def config(self) -> list[str]:
        """Return script, limit and timeouts, and start if it was started."""
        lines = [
            f"msg . setscript {Struct(Script).unparse(Script(self.script))}",
            f"msg . setlimit {self.limit}",
            f"msg . settimeouts {Struct(Timeouts).unparse(self.timeouts)}",
        ]
        if self.backlog is not None:
            lines.append(f"msg . start {self.backlog}")
        return lines

    def status(self) -> str:
        """Return whether it accepts, and the counters, in words."""
        stats = self.getstats()
        limit = f" of at most {self.limit}" if self.limit else ""
        return (
            f"{'stopped' if self.backlog is None else 'accepting'}; "
            f"active {stats.active}{limit}, accepted {stats.accepted}, "
            f"failed {stats.failed}, timed out {stats.timedout}"
        )


class StandIn(Node):
    """In a dry run: the accepted ksocket that is not there.  It takes anything."""

    def rcvmsg(self, item: Item, lasthook: Hook | None) -> None:
        """Accept every message a ksocket has."""
        row = self.type.commands.find(item.message.cookie, item.message.cmd)
        if row is None:
            raise OSError(ENOENT, "a ksocket has no such message")
        row.unpack(item.message.data)


def _silent(text: str) -> None:
    """Say nothing: a script's output has no reader."""


listener = NodeType("listener", 1750000100, Listener)
