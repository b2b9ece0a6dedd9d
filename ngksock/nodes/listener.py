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
from collections.abc import Sequence
from dataclasses import dataclass, replace
from errno import EINVAL, ENOENT, ENOTCONN, ETIMEDOUT, errorcode
from typing import Annotated, Final

from ngksock.netgraph import Hook, Item, Message, Node, Timer, command
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
from ngksock.netgraph.replay import NoFiles, Replay, ScriptPort
from ngksock.netgraph.session import Session
from ngksock.plugin import NodeType

KSOCKET_COOKIE: Final = 942710669
KSOCKET_OWN_COOKIE: Final = 1750000200
LISTEN, ACCEPT, CONNECT, UNACCEPT = 2, 3, 4, 2
ASK: Final = Message(KSOCKET_COOKIE, ACCEPT, token=1 << 31)
"""No message of a script has this token: what that accepts is not the listener's."""
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


class Connection:
    """
    One accepted connection.

    Args:
        node: Its ksocket.
        since: When it was accepted, or last carried a packet.

    ``carried`` are the packets it had carried then.  ``waiting`` has the tokens
    of its connects under way, with their script lines; None: there are none.
    ``made`` are the nodes its script made, which end with it.  ``alive`` are the
    ids of its sockets that have not ended: the accepted one, and those among
    *made*, which may have something left to send.
    """

    __slots__ = ("alive", "carried", "made", "node", "since", "waiting")

    def __init__(self, node: Node, since: float) -> None:
        self.node = node
        self.since = since
        self.carried = 0
        self.waiting: dict[int, str] | None = None
        self.made: Sequence[Node] = ()
        self.alive: tuple[int, ...] = (node.id,)


class Listener(Node):
    """Runs a script for each connection."""

    hook_form = "any name; socket leads to the ksocket that listens"

    def __init__(self) -> None:
        super().__init__()
        self.script: list[str] = []
        self._replay: Replay | None = None  # of the script
        self.limit = 0
        self.timeouts = Timeouts()
        self.stats = Stats()
        self.backlog: int | None = None  # while started
        self.connections: dict[int, Connection] = {}  # by the id of the accepted node
        self._made: dict[int, Connection] = {}  # by the id of a ksocket its script made
        self._connecting: dict[int, Connection] = {}  # by the token of the connect
        self._asking = False
        self._at_end = self._ended  # one for all that are watched
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
        if self._replay is None:
            port = ScriptPort(self.graph, self, self)
            session = Session(port, _silent, self._warn, NoFiles(), ALLOWED)
        else:  # whose tokens go on: a connect of the script before may be under way
            port, session = self._replay.port, self._replay.session
        for number, line in enumerate(script.lines, 1):
            try:
                session.parse(line)
            except LineError as error:
                raise self._refused(number, line, error) from error
        self.script = list(script.lines)
        self._replay = Replay(session, port, self.script)

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
        self._withdraw()

    @command(5, arg=UINT32)
    def setlimit(self, limit: int) -> None:
        """Set how many connections live at once; 0: as many as come."""
        self.limit = limit
        if self._full:
            self._withdraw()
        else:
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
        """Take the replies: who was accepted, which connect, or what else, has ended."""
        message = item.message
        if not message.is_response:
            super().rcvmsg(item, lasthook)
        elif message.cookie == KSOCKET_COOKIE and message.cmd == ACCEPT:
            if message.token == ASK.token:
                self._accepted(item.source)
        elif message.cookie == KSOCKET_COOKIE and message.cmd == CONNECT:
            self._connected(message.token, INT32.unpack(message.data))
        else:  # of a type that has its own word for a failure, and its own ways
            self._connected(message.token, 0)

    # -- connections

    def _ask(self) -> None:
        """Ask for the next connection, unless there are enough."""
        socket = self.hooks.get("socket")
        if (
            self._asking
            or socket is None
            or self.backlog is None
            or self._full
            or self.graph.closing
        ):
            return
        self._asking = True
        try:
            self.graph.send_hook(socket, ASK)
        except OSError:
            self._asking = False
            raise

    @property
    def _full(self) -> bool:
        """Whether there are as many connections as may be."""
        return bool(self.limit) and len(self.connections) >= self.limit

    def _withdraw(self) -> None:
        """Ask no more for a connection."""
        socket = self.hooks.get("socket")
        if self._asking and socket is not None:
            self._asking = False
            self.graph.send_hook(socket, Message(KSOCKET_OWN_COOKIE, UNACCEPT))

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
        graph, replay = self.graph, self._replay
        assert replay is not None  # it was started, and so has a script
        connection = Connection(node, graph.clock())
        self.connections[node.id] = connection
        node.watch(self._at_end)
        port = replay.port
        port.here, port.waiting = node, {}
        made: list[Node] = []
        graph.newborn = connection.made = made
        try:
            replay.run()
        except OSError as error:
            text = error.strerror or str(error)
            self._fail(connection, port.line, error.errno or EINVAL, text)
            return
        finally:
            graph.newborn = None
            port.here = self
        if not node.hooks:
            self._fail(connection, port.line, ENOTCONN, "the script links nothing to it")
            return
        connection.made = tuple(made)
        for one in made:
            if one.type.name == "ksocket" and one.valid:
                connection.alive += (one.id,)
                self._made[one.id] = connection
                one.watch(self._at_end)
        if port.waiting:
            connection.waiting = port.waiting
            for token in port.waiting:
                self._connecting[token] = connection
        if not self._tick.active:
            self._start_tick()

    def _connected(self, token: int, errno: int) -> None:
        connection = self._connecting.pop(token, None)
        if connection is None or connection.waiting is None:
            return
        line = connection.waiting.pop(token)
        if not connection.waiting:
            connection.waiting = None
        connection.since = self.graph.clock()
        if errno:
            self._fail(connection, line, errno)

    def _fail(self, connection: Connection, line: str, errno: int, text: str | None = None) -> None:
        """Close *connection*, whose script failed at *line*."""
        self.stats.failed += 1
        known = os.strerror(errno)
        more = f"; {text}" if text and text != known else ""
        name = errorcode.get(errno, str(errno))
        where = f'"{line}": ' if line else ""
        self._warn(f"connection {connection.node!r}: {where}{name} ({known}){more}")
        if connection.node.closing:  # by the script itself, which then made more
            self._sweep(connection)
        self.graph.rmnode(connection.node)

    def _ended(self, node: Node) -> None:
        """A ksocket has ended; its connection ends with the last."""
        number = node.id
        connection = self._made.pop(number, None) or self.connections.get(number)
        if connection is None:
            return
        connection.alive = tuple([other for other in connection.alive if other != number])
        if node is connection.node:
            for token in connection.waiting or ():
                self._connecting.pop(token, None)
            connection.waiting = None
            connection.since = self.graph.clock()
            self._sweep(connection)
        if not connection.alive and self.connections.pop(connection.node.id, None) is not None:
            self._go_on()

    def _sweep(self, connection: Connection) -> None:
        """End what the script made: the sockets when they have sent what they hold."""
        for made in connection.made:
            if made.type.name != "ksocket":  # first what is in the middle
                self.graph.rmnode(made)
                self._unlink(made)
        for made in connection.made:
            if made.type.name == "ksocket":
                self._unlink(made)  # it ends with its hook

    def _unlink(self, node: Node) -> None:
        for hook in list(node.hooks.values()):
            self.graph.rmhook(hook)

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
        if limits.connect:
            for connection in list(self._connecting.values()):
                waiting = connection.waiting
                if waiting and now - connection.since >= limits.connect:
                    self._time_out(connection, next(iter(waiting.values())))
        # Only who asks for it pays for a look at all connections.
        for connection in list(self.connections.values()) if limits.idle else ():
            if connection.waiting:
                continue
            carried = self._carried(connection)
            if carried != connection.carried:
                connection.carried, connection.since = carried, now
            elif now - connection.since >= limits.idle:
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
