"""The ksocket node: one socket of the host's, one hook (netgraph.md §7)."""

from __future__ import annotations

from errno import EALREADY, EINPROGRESS, EINVAL, EISCONN, EOPNOTSUPP
from functools import lru_cache
from typing import Any, Final

from ngksock.kpi import Socket, SocketKPI, TLSConfig, settls
from ngksock.kpi.constants import (
    FIONBIO,
    MSG_DONTWAIT,
    SO_FILT_HINT_CONNECTED,
    SO_FILT_HINT_DISCONNECTED,
)
from ngksock.kpi.sockopt import host_option
from ngksock.netgraph import Hook, Reply, command, command_later
from ngksock.netgraph.layout import INT32
from ngksock.nodes.ksocket.accepted import ACCEPTED, Accepted
from ngksock.nodes.ksocket.address import SOCKADDR, SockAddr
from ngksock.nodes.ksocket.datapath import OWN_COOKIE
from ngksock.nodes.ksocket.describe import describe
from ngksock.nodes.ksocket.family import LOCAL, Kind
from ngksock.nodes.ksocket.fuse import Facing
from ngksock.nodes.ksocket.option import (
    OPTION_NAME,
    SOCKOPT,
    SOCKOPT_REPLY,
    OptionName,
    Sockopt,
    in_words,
)
from ngksock.nodes.ksocket.tags import COOKIE, AddressTags
from ngksock.nodes.ksocket.tls import GETTLS, SETTLS, TLSOptions, TLSState, check_tls
from ngksock.plugin import NodeType

__all__ = ["COOKIE", "KSocket", "kpi_of", "ksocket"]

ACCEPTED_MARK: Final = "# accepted"
"""The first line that `config` tells of a connection that was accepted."""
LEAVES: Final = {(0, 13): (0, 12), (41, 13): (41, 12)}
"""Options by which a group is left, and those by which it was joined."""
MEMBERSHIPS: Final = {*LEAVES, *LEAVES.values()}
"""Options that add up: each group is joined and left by itself."""
REPLY_SPACE: Final = 1024
"""Largest option value ``getopt`` returns (§1.2)."""
ORDER: Final = ("setopt", "settls", "bind", "listen", "connect")
"""The commands that `config` tells, first to last."""
USUAL: Final = TLSConfig()
"""How TLS is spoken until something else is said."""

_kind_of: Final = lru_cache(256)(Kind.parse)
"""The same few kinds come again with every connection."""


def kpi_of(graph: Any) -> SocketKPI:
    """Return the socket layer that the ksockets of *graph* share."""
    kpi: SocketKPI | None = graph.shared.get("kpi")
    if kpi is None:
        directory = graph.shared.get("directory")  # set by who knows a better one than the current
        kpi = graph.shared["kpi"] = SocketKPI(graph.reactor, directory=directory)
    return kpi


class KSocket(Facing):
    """
    A socket as a node.

    Its hook's name, ``family/type/protocol``, says which socket; a node that
    ``accept`` made has one already and takes any name.  It ends with its hook,
    when both directions of a connection have ended, or on its socket's error.
    """

    __slots__ = ("_accepting", "_begun", "_config", "_settings", "embryos", "parent")

    hook_form = "family/type/protocol, as inet/dgram/udp; any name if it was accepted"

    def __init__(self) -> None:
        super().__init__()
        self.parent: KSocket | None = None
        self.embryos: list[KSocket] | None = None  # made with the first
        self._settings: tuple[tuple[str, object, str], ...] = ()
        self._accepting: Reply[Accepted] | None = None
        self._config = USUAL
        self._begun = False  # in a dry run: it would be connecting, or listening

    # -- life

    def newhook(self, hook: Hook, name: str) -> None:
        """Open the socket the name asks for; a second hook is EISCONN."""
        if self.hooks or self.hook is not None or self._eof_received:
            raise OSError(EISCONN, f'ksocket {self!r} has its hook already; "{name}" is one more')
        if self.cloned:
            self._leave_parent()
            return
        self.kind = _kind_of(name)
        if not self.graph.checking:
            kind = self.kind
            self.so = kpi_of(self.graph).socket(kind.domain, kind.type, kind.protocol)
            self.so.ioctl(FIONBIO, 1)  # a node never waits

    def connect(self, hook: Hook) -> None:
        """Decide how packets go out, and begin to listen to the socket."""
        self.hook = hook
        if self.so is None:
            return
        assert self.kind is not None
        if self.kind.connected:
            hook.rcvdata, hook.rcvbatch = self._stream_data, self._stream_batch
        else:
            hook.rcvdata, hook.rcvbatch = self._dgram_data, self._dgram_batch
            self._tags = AddressTags()
        # Functions with the node as their cookie: bound methods would be one
        # object more each, for every socket.
        self.so.catchevents(_told, self, SO_FILT_HINT_CONNECTED | SO_FILT_HINT_DISCONNECTED)
        self.so.setupcalls(_readable, self, _writable, self)

    def disconnect(self, hook: Hook) -> None:
        """End with the hook, once a stream that has ended both ways is sent."""
        self.hook = None
        if self.valid:
            self._abandoned = self._connecting is not None
        sending = self.so is not None and self.so.sndcount
        if self.valid and not (self._eof_seen and self._eof_received and sending):
            self.graph.rmnode_self(self)

    def shutdown(self) -> None:
        """Close the socket; what is queued is still sent.  Embryos end too."""
        so, self.so = self.so, None
        if so is not None and self._abandoned:
            so.abort()  # else what waits for the connection might still make it, unseen
        elif so is not None and self._cut:
            so.reset()
        elif so is not None:
            so.close()
        self._leave_parent()
        for embryo in list(self.embryos or ()):
            self.graph.rmnode(embryo)

    def _leave_parent(self) -> None:
        """Be an embryo no longer."""
        parent, self.parent = self.parent, None
        if parent is not None and parent.embryos is not None:
            parent.embryos.remove(self)

    # -- messages

    def _remember(self, command: str, text: str, which: object = None) -> None:
        """Keep what `config` tells; of a command, and of *which* it is about, the last counts."""
        self._forget(command, which)  # in the order of what counts
        self._settings = (*self._settings, (command, which, text))

    def _forget(self, command: str, which: object) -> bool:
        """Keep no more what was said by a command, and of *which*; say whether anything was."""
        before = self._settings
        if before:
            self._settings = tuple(line for line in before if line[:2] != (command, which))
        return len(self._settings) < len(before)

    def _full(self, to: SockAddr) -> SockAddr:
        """Return *to* as it is true in any directory: a relative path made absolute."""
        if to.family != LOCAL or self.so is None:
            return to
        return SockAddr(LOCAL, self.so.kpi.paths.absolute(to.host(LOCAL)))

    @command(1, arg=SOCKADDR)
    def bind(self, to: SockAddr) -> None:
        """Bind the socket to an address, as bind(2) does."""
        name = to.host(self._kind().family)
        if not self.graph.checking:
            self._socket().bind(name)
        self._remember("bind", self._full(to).text())

    @command(2, arg=INT32)
    def listen(self, backlog: int) -> None:
        """Let connections come in; at most *backlog* wait to be accepted."""
        if not self._kind().connected:
            raise OSError(EOPNOTSUPP, f"a socket of kind {self._kind().words()} cannot listen")
        if not self.graph.checking:
            self._socket().listen(backlog)
            self._listening = True
        else:
            self._begun = True
            if self._kind().tls:
                self._config.check_listen()
        self._remember("listen", str(backlog))

    @command_later(3, "accept", resp=ACCEPTED, cmdstr="NGM_KSOCKET_ACCEPT")
    def soaccept(self, reply: Reply[Accepted]) -> None:
        """Accept one connection, now or when one comes; the reply names its new node."""
        if self.graph.checking:
            return
        self._socket()
        if self._accepting is not None and self._accepting.source not in self.graph.nodes:
            self._accepting = None  # whoever asked is gone
        if not self._listening:
            raise OSError(EINVAL, f"ksocket {self!r} does not listen")
        if self._accepting is not None:
            raise OSError(EALREADY, f"ksocket {self!r} has a request to accept already")
        self._accepting = reply
        self._accept()

    @command_later(4, "connect", arg=SOCKADDR, resp=INT32, cmdstr="NGM_KSOCKET_CONNECT")
    def soconnect(self, to: SockAddr, reply: Reply[int]) -> None:
        """Connect to an address; EINPROGRESS, and an errno in a later reply, if that takes time."""
        name = to.host(self._kind().family)
        if self.graph.checking:
            self._begun = True
            if self._kind().tls:
                self._config.expected(name)
            return
        so = self._socket()
        if self._connecting is not None:
            raise OSError(EALREADY, f"ksocket {self!r} is connecting already")
        begun: OSError | None = None
        try:
            so.connect(name, MSG_DONTWAIT)
        except OSError as error:
            if error.errno != EINPROGRESS:
                raise  # what it was connected to, if it was, it still is
            begun, self._connecting = error, reply
        full = self._full(to)
        self._target = to.text()
        self._remember("connect", self._target if full is to else full.text())
        if begun is not None:
            try:
                raise begun
            finally:
                begun = None  # its traceback holds this frame, and all that called it

    @command(5, resp=SOCKADDR)
    def getname(self) -> SockAddr:
        """Tell the address the socket is bound to."""
        if self.graph.checking:
            return SockAddr(self._kind().family, b"")
        return SockAddr.of_host(self._socket().getsockname())

    @command(6, resp=SOCKADDR)
    def getpeername(self) -> SockAddr:
        """Tell the address the socket is connected to."""
        if self.graph.checking:
            return SockAddr(self._kind().family, b"")
        return SockAddr.of_host(self._socket().getpeername())

    @command(7, arg=SOCKOPT)
    def setopt(self, option: Sockopt) -> None:
        """Set a socket option, by FreeBSD's numbers or by one word."""
        host = host_option(option.level, option.name)
        if not self.graph.checking:
            host.set(self._socket(), option.value)
        number = (option.level, option.name)
        if number in LEAVES and self._forget("setopt", (*LEAVES[number], option.value)):
            return  # as if it had not been joined
        which = (*number, option.value if number in MEMBERSHIPS else b"")
        self._remember("setopt", in_words(option), which)

    @command(8, arg=OPTION_NAME, resp=SOCKOPT_REPLY)
    def getopt(self, option: OptionName) -> Sockopt:
        """Tell the value of a socket option."""
        host = host_option(option.level, option.name)
        value = bytes(4) if self.graph.checking else host.get(self._socket())
        return Sockopt(option.level, option.name, value[:REPLY_SPACE])

    @command(1, cookie=OWN_COOKIE)
    def eof(self) -> None:
        """Send what is queued and then end of file; what arrives is still received."""
        if not self._kind().connected:
            raise OSError(EOPNOTSUPP, f"a socket of kind {self._kind().words()} has no end of file")
        if not self.graph.checking:
            self._shut()

    @command(2, cookie=OWN_COOKIE)
    def unaccept(self) -> None:
        """Withdraw the request to accept; it is never answered."""
        self._accepting = None

    @command(3, arg=SETTLS, cookie=OWN_COOKIE)
    def settls(self, options: TLSOptions) -> None:
        """Say how to speak TLS, before connect or listen; what is left out is as usual."""
        check_tls(self._kind())
        config = options.config()
        if not self.graph.checking:
            so = self._socket()
            settls(so, config)
            options = options.absolute(so.kpi.paths.absolute)
        elif self._begun:
            raise OSError(EINVAL, "TLS is configured before listen or connect")
        self._config = config
        self._remember("settls", SETTLS.unparse(options))

    @command(4, resp=GETTLS, cookie=OWN_COOKIE)
    def gettls(self) -> TLSState:
        """Tell what the handshake has brought."""
        check_tls(self._kind())
        return TLSState() if self.graph.checking else TLSState.of(self._socket())

    def _accept(self) -> None:
        """Give a waiting connection to the waiting request."""
        reply, so = self._accepting, self.so
        if reply is None or so is None:
            return
        if reply.source not in self.graph.nodes:
            self._accepting = None  # whoever asked is gone; the connection waits for the next
            return
        try:
            accepted = so.accept(MSG_DONTWAIT)
            assert isinstance(accepted, tuple)  # a Deferred only of a call that waits
        except BlockingIOError:
            return
        except OSError as error:
            self.lasterror = error.errno or EINVAL
            if so.so_comp:  # that one is gone, and the next may be well
                self.graph.work.call(self._accept)
            return
        self._accepting = None
        connection, name = accepted
        clone = KSocket()
        clone.kind, clone.so, clone.cloned, clone.parent = self.kind, connection, True, self
        if self.embryos is None:
            self.embryos = []
        self.embryos.append(clone)
        self.graph.add(ksocket, clone)
        reply(Accepted(clone.id, SockAddr.of_host(name).generic()), clone.id)

    # -- what it tells of itself

    @property
    def left(self) -> int:
        """The bytes that have left the node for the system."""
        return 0 if self.so is None else self.so.sndbytes - self.so.sndcount

    def config(self) -> list[str]:
        """Return the options, then the addresses, as messages; a mark before those accepted."""
        lines = sorted(self._settings, key=lambda line: ORDER.index(line[0]))
        mark = [ACCEPTED_MARK] if self.cloned else []
        return mark + [f"msg . {name} {text}" for name, _, text in lines]

    def status(self) -> str:
        """Return state, addresses, queues and counters in words."""
        if self.kind is None:
            return "no socket"
        return describe(self.kind, self.so, self._state(), self.lasterror)

    def _state(self) -> str:
        so = self.so
        if so is None:
            return "closed"
        if self._listening:
            return "listening"
        if self._connecting is not None:
            return "connecting"
        held = " held" if self.held and self._kind().connected else ""
        return ("connected" if so.isconnected() else "unconnected") + held


# -- the callbacks of the socket; their cookie is the node


def _readable(so: Socket, node: KSocket, waitf: int) -> None:
    if node._listening:
        node._accept()
    elif node._connecting is None:
        node._read()


def _writable(so: Socket, node: KSocket, waitf: int) -> None:
    node._writable(so)


def _told(so: Socket, node: KSocket, event: int) -> None:
    node._event(so, event)


ksocket = NodeType("ksocket", COOKIE, KSocket)
