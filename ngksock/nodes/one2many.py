"""one2many: spread packets from ``one`` over many links, and gather them again.

Hooks: ``one``, and ``many0`` to ``many63``.

What comes from a many hook goes to ``one``, always (ENETDOWN without it).
What comes from ``one`` goes to the *active* links, those that are connected and
enabled (ENOTCONN if there are none), as ``xmitAlg`` says:

* 1, round robin: to one after the other, in ascending order.  An end-of-file
  mark goes to all active links: it ends the stream, not one link's share.
* 2, all: to every one, the first active link last.
* 3, failover: to the first active link.

Who enables links is ``failAlg``: 1, only setconfig; 2, also flow messages 32
(link up) and 33 (down) that arrive by a many hook.  Connecting a link enables
it and resets its counters, disconnecting disables it.  When the number of active
links becomes 0, flow message 33 goes out of ``one``; when it leaves 0, 32.

Messages (cookie 1100897444); the argument of those about counters is the
number of a link, connected or not, or -1 for ``one``:

* 0 ``setconfig``: replace the whole configuration, such as
  ``{ xmitAlg=3 failAlg=1 enabledLinks=[ 1 1 ] }``; links that are not listed
  are disabled.
* 1 ``getconfig``: tell it.
* 2 ``getstats``: tell the counters of a link.
* 3 ``clrstats``: reset them.
* 4 ``getclrstats``: tell them, then reset them.

A packet counts as sent whatever became of it, but not where its hook is
missing (FreeBSD counts that too).  ``memoryFailures`` stays 0: a packet that
goes to many links is shared, not copied.

Back-pressure: a full sink beyond ``one`` holds all links, one beyond a link
that is in use holds ``one``.

It ends by ``shutdown``, or with its last hook.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from errno import EINVAL, ENETDOWN, ENOTCONN
from typing import Annotated, Final

from ngksock.netgraph import (
    FLOW_COOKIE,
    Batch,
    Hook,
    Item,
    Message,
    Node,
    Packet,
    command,
    send_all,
)
from ngksock.netgraph.layout import INT32, UINT8, FixedArray, Struct, UInt32, UInt64
from ngksock.plugin import NodeType

LINKS: Final = 64
ONE: Final = -1
ROUND_ROBIN, ALL, FAILOVER = 1, 2, 3
MANUAL, NOTIFY = 1, 2
UP, DOWN = 32, 33
WORDS: Final = {ROUND_ROBIN: "round robin over", ALL: "all of", FAILOVER: "the first of"}


@dataclass
class Config:
    """Which links are used, and how."""

    xmit_alg: UInt32 = field(default=0, metadata={"name": "xmitAlg"})
    fail_alg: UInt32 = field(default=0, metadata={"name": "failAlg"})
    enabled_links: Annotated[list[int], FixedArray(UINT8, LINKS)] = field(
        default_factory=lambda: [0] * LINKS, metadata={"name": "enabledLinks"}
    )


@dataclass
class Stats:
    """What was received and sent by one hook."""

    recv_octets: UInt64 = field(default=0, metadata={"name": "recvOctets"})
    recv_packets: UInt64 = field(default=0, metadata={"name": "recvPackets"})
    xmit_octets: UInt64 = field(default=0, metadata={"name": "xmitOctets"})
    xmit_packets: UInt64 = field(default=0, metadata={"name": "xmitPackets"})
    memory_failures: UInt64 = field(default=0, metadata={"name": "memoryFailures"})

    def received(self, packets: int, octets: int) -> None:
        """Count packets that arrived."""
        self.recv_packets += packets
        self.recv_octets += octets

    def sent(self, packets: int, octets: int) -> None:
        """Count packets that left."""
        self.xmit_packets += packets
        self.xmit_octets += octets


CONFIG: Final = Struct(Config)
STATS: Final = Struct(Stats)


def _number(hook: Hook) -> int:
    return ONE if hook.name == "one" else int(hook.name.removeprefix("many"))


class One2Many(Node):
    """A node that makes many links look like one."""

    hook_names = ("one", *(f"many{number}" for number in range(LINKS)))

    def __init__(self) -> None:
        super().__init__()
        self.settings = Config(ROUND_ROBIN, MANUAL)
        self.stats = {number: Stats() for number in range(ONE, LINKS)}
        self.one: Hook | None = None
        self.active: tuple[Hook, ...] = ()
        self.outputs: tuple[Hook, ...] = ()  # those a packet goes to, in this order
        self.turn = 0

    def newhook(self, hook: Hook, name: str) -> None:
        if name not in self.hook_names:
            raise OSError(
                EINVAL,
                f'one2many has no hook "{name}"; its hooks are one, and many0 to many{LINKS - 1}',
            )
        hook.private = self.stats[_number(hook)] = Stats()

    def connect(self, hook: Hook) -> None:
        if hook.name == "one":
            self.one = hook
        else:
            self.settings.enabled_links[_number(hook)] = 1
            self._choose()

    # -- packets --------------------------------------------------------------------------

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        hook.private.received(1, packet.len)
        if hook is not self.one:
            if self.one is None:
                raise OSError(ENETDOWN, "there is no hook one")
            self.one.private.sent(1, packet.len)
            self.one.send_data(packet)
            return
        outputs = self.outputs
        if not outputs:
            raise OSError(ENOTCONN, "no link is active")
        if len(outputs) > 1 and self.settings.xmit_alg == ROUND_ROBIN and not packet.eof:
            outputs = (outputs[self.turn],)
            self.turn = (self.turn + 1) % len(self.outputs)
        for link in outputs:
            link.private.sent(1, packet.len)
        send_all(outputs, packet)

    def rcvbatch(self, hook: Hook, batch: Batch) -> None:
        if not batch:
            return
        hook.private.received(len(batch), batch.nbytes)
        if hook is not self.one:
            if self.one is None:
                hook.peer.drop(ENETDOWN, len(batch))
                return
            self.one.private.sent(len(batch), batch.nbytes)
            self.one.send_batch(batch)
            return
        outputs = self.outputs
        if not outputs:
            hook.peer.drop(ENOTCONN, len(batch))
            return
        shares = [batch] * len(outputs)
        if len(outputs) > 1 and self.settings.xmit_alg == ROUND_ROBIN:
            shares = self._deal(batch)
        for link, share in zip(outputs, shares, strict=True):
            if share:
                link.private.sent(len(share), share.nbytes)
                link.send_batch(share)

    def _deal(self, batch: Batch) -> list[Batch]:
        """Deal *batch* to the active links, packet by packet."""
        shares = [Batch() for _ in self.outputs]
        turn, count = self.turn, len(shares)
        for packet in batch:
            if packet.eof:
                for share in shares:
                    share.add(packet)
            else:
                shares[turn].add(packet)
                turn = (turn + 1) % count
        self.turn = turn
        return shares

    def rcvflow(self, hook: Hook, high: bool) -> None:
        """Hold the hooks whose packets go out of *hook*."""
        if hook is self.one:
            for other in list(self.hooks.values()):
                if other is not hook:
                    other.send_flow(high)
        elif self.one is not None and hook in self.outputs:
            self.one.send_flow(high)

    # -- which links are used -----------------------------------------------------------

    def _choose(self) -> None:
        """Find the active links after a change, and tell ``one`` if none are left."""
        flow = self.graph.flow
        held = flow.near((self,))  # sinks beyond links that may be in use no more
        enabled, before = self.settings.enabled_links, self.active
        links = sorted((_number(hook), hook) for hook in self.hooks.values())
        self.active = active = tuple(hook for at, hook in links if at != ONE and enabled[at])
        if self.settings.xmit_alg == ROUND_ROBIN:
            self.outputs = active
        elif self.settings.xmit_alg == ALL:
            self.outputs = active[1:] + active[:1]
        else:
            self.outputs = active[:1]
        if active:
            self.turn %= len(active)
        flow.renew(held)
        if bool(active) != bool(before) and self.one is not None and self.valid:
            with suppress(OSError):  # most nodes do not understand it
                self.graph.send_hook(self.one, Message(FLOW_COOKIE, UP if active else DOWN))

    # -- messages -------------------------------------------------------------------------

    def rcvmsg(self, item: Item, lasthook: Hook | None) -> None:
        message = item.message
        if message.cookie != FLOW_COOKIE:
            super().rcvmsg(item, lasthook)
        elif (
            self.settings.fail_alg == NOTIFY
            and message.cmd in (UP, DOWN)
            and lasthook is not None
            and lasthook is not self.one
        ):
            self.settings.enabled_links[_number(lasthook)] = int(message.cmd == UP)
            self._choose()

    @command(0, arg=CONFIG)
    def setconfig(self, config: Config) -> None:
        """Set both algorithms and the links that are enabled; links not listed are disabled."""
        if config.xmit_alg not in WORDS:
            raise OSError(EINVAL, f"xmitAlg is {config.xmit_alg}, not 1, 2 or 3")
        if config.fail_alg not in (MANUAL, NOTIFY):
            raise OSError(EINVAL, f"failAlg is {config.fail_alg}, not 1 or 2")
        config.enabled_links = [int(bool(enabled)) for enabled in config.enabled_links]
        self.settings = config
        self._choose()

    @command(1, resp=CONFIG)
    def getconfig(self) -> Config:
        """Tell the configuration."""
        return self.settings

    @command(2, arg=INT32, resp=STATS)
    def getstats(self, link: int) -> Stats:
        """Count packets and bytes by one link, or by ``one`` (-1)."""
        self._check(link)
        return self.stats[link]

    @command(3, arg=INT32)
    def clrstats(self, link: int) -> None:
        """Reset the counters of one link."""
        self.getclrstats(link)

    @command(4, arg=INT32, resp=STATS)
    def getclrstats(self, link: int) -> Stats:
        """Tell the counters of one link, then reset them."""
        self._check(link)
        stats, fresh = self.stats[link], Stats()
        self.stats[link] = fresh
        for hook in self.hooks.values():
            if hook.private is stats:
                hook.private = fresh
        return stats

    def _check(self, link: int) -> None:
        if link not in self.stats:
            raise OSError(EINVAL, f"link {link} is not in -1..{LINKS - 1}")

    def config(self) -> list[str]:
        linked = [int(f"many{number}" in self.hooks) for number in range(LINKS)]
        if self.settings == Config(ROUND_ROBIN, MANUAL, linked):
            return []  # as it is made by connecting the hooks
        return [f"msg . setconfig {CONFIG.unparse(self.settings)}"]

    def status(self) -> str:
        names = ", ".join(hook.name for hook in self.active)
        return f"{WORDS[self.settings.xmit_alg]} {names}" if names else "no active links"

    # -- the end ----------------------------------------------------------------------------

    def disconnect(self, hook: Hook) -> None:
        if hook is self.one:
            self.one = None
        else:
            self.settings.enabled_links[_number(hook)] = 0
            self._choose()
        super().disconnect(hook)


one2many = NodeType("one2many", 1100897444, One2Many)
