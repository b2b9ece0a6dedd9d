"""Bridge, the node: learning, forwarding, ageing, messages."""

from __future__ import annotations

import re
from errno import EINVAL, EIO, ELOOP, ENOENT, ENOMEM, ENOTCONN
from heapq import nsmallest
from typing import Final

from ngksock.ethernet import BROADCAST, HEADER, is_group, too_short
from ngksock.netgraph import Batch, Hook, Item, Node, Packet, Timer, command
from ngksock.netgraph.layout import ETHER, UINT8, UINT32
from ngksock.nodes.bridge.layouts import (
    CONFIG,
    MOVE,
    PAGES,
    STATS,
    TABLE,
    WANTED,
    Config,
    HostInfo,
    Move,
    Page,
    Stats,
    Table,
    Wanted,
)
from ngksock.nodes.bridge.ways import Flood, Host, Link, Way

__all__ = ["MOST_HOSTS", "Bridge"]

OWN: Final = 1750000302
LAST: Final = (1 << 31) - 1  # numbers of uplinks are told as negative ones of 32 bits
MOST_HOSTS: Final = 1 << 17
PAGE: Final = 200  # as text it still fits the buffers that FreeBSD's clients have
NAME: Final = re.compile("link(0|[1-9][0-9]{0,9})|uplink([1-9][0-9]{0,9})")


def _seconds(time: float) -> int:
    return min(max(int(time), 0), 0xFFFF)  # clocks may be set back; the field has 16 bits


class Bridge(Node):
    """A node that sends frames where their destination is."""

    hook_names = ("link0", "link1", "link2", "link3", "uplink1")  # some of them, to complete words
    hook_form = "link0, link1...; uplink1, uplink2..."

    def __init__(self) -> None:
        super().__init__()
        self.settings = Config()
        self.persistent = False
        self.private = False
        self.hosts: dict[bytes, Host] = {}
        self.unknown, self.multicast, self.broadcast = Flood(), Flood(1, 0), Flood(0, 1)
        self.arrival: Hook | None = None  # of the message that is being carried out
        self.timer = Timer(self, self._tick)
        self.now = 0.0  # when it ticked last: asking the clock for each frame would cost more
        self.oldest = 0.0  # no host was heard before that

    def newhook(self, hook: Hook, name: str) -> None:
        match = NAME.fullmatch(name)
        if match is None or int(match[1] or match[2]) > LAST:
            raise OSError(
                EINVAL,
                f'bridge has no hook "{name}"; its hooks are link0 to link{LAST}'
                f" and uplink1 to uplink{LAST}",
            )
        hook.private = Link(hook, int(match[1]) if match[1] else -int(match[2]))

    def connect(self, hook: Hook) -> None:
        if hook.peer.node is self:
            raise OSError(ELOOP, "a bridge cannot be linked to itself")
        if len(self.hooks) == 1 and not hook.private.learns:
            self.private = True
        self._sort()

    def _sort(self) -> None:
        """Find, after a change, where frames for all go."""
        links: tuple[Link, ...] = tuple(hook.private for hook in reversed(self.hooks.values()))
        self.multicast.lead(links)
        self.broadcast.lead(links)
        if self.private:
            links = tuple(link for link in links if not link.learns)
        self.unknown.lead(links)

    # -- packets --------------------------------------------------------------------------

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        if packet.eof:
            return
        link: Link = hook.private
        way = self._way(link, packet)
        if way is not None:
            way.send(link, packet)

    def _way(self, link: Link, packet: Packet) -> Way | None:
        """Count a frame, learn its source, and return its way; None: it is there already."""
        stats = link.stats
        if packet.len < HEADER:
            stats.recv_runts += 1
            raise too_short(packet.len)
        data = packet.data
        if data.__class__ is not bytes:
            data = bytes(data[:HEADER])
        if data[6] & 1:
            stats.recv_invalid += 1
            raise OSError(EINVAL, f"a frame comes from a group address, {_shown(data[6:12])}")
        if link.muted:
            self._check_muted(link)
        stats.recv_packets += 1
        stats.recv_octets += packet.len
        source, hosts = data[6:12], self.hosts
        host = hosts.get(source)
        if host is None:
            if link.learns:
                self._learn(link, source)
        elif host.link is link:
            host.seen = self.now
        else:
            self._moved(link, host, source)
        to = data[:6]
        if not data[0] & 1:
            host = hosts.get(to)
            if host is None:
                stats.recv_unknown += 1
                return self.unknown
            return None if host.link is link else host.link
        if to == BROADCAST:
            stats.recv_broadcasts += 1
            return self.broadcast
        stats.recv_multicasts += 1
        return self.multicast

    def rcvbatch(self, hook: Hook, batch: Batch) -> None:
        link: Link = hook.private
        sender, size = hook.peer, len(batch)
        # Frames for single links are put together for each link, those for many as long as
        # they follow each other and are of one kind: so each link sees the order of the batch.
        shares: dict[Way, Batch] = {}
        share = Batch()
        flow: bytes | memoryview = b""  # of the frame before: most follow one of their own flow
        same = octets = 0
        for at, packet in enumerate(batch):
            if packet.data[:12] == flow and packet.len >= HEADER:
                same += 1
                octets += packet.len
                share.append(packet)
                share.nbytes += packet.len
                continue
            if packet.eof:
                continue
            flow = b""
            try:
                way = self._way(link, packet)
            except OSError as error:
                sender.lost(error, ends=True)
                continue
            if way is None:
                continue
            known = shares.get(way)
            if known is None:
                if shares and (way.flood or next(iter(shares)).flood):
                    link.stats.recv_packets += same
                    link.stats.recv_octets += octets
                    same = octets = 0
                    self._send_shares(link, shares, batch)
                    if not hook.valid:
                        sender.drop(EIO, size - at)  # the link went, perhaps the node with it
                        return
                    shares = {}
                known = shares[way] = Batch()
            share = known
            share.add(packet)
            # With a full table each frame has to be looked at: it counts as not learned.
            if not way.flood and len(self.hosts) < MOST_HOSTS:
                flow = packet.data[:12]
        link.stats.recv_packets += same
        link.stats.recv_octets += octets
        self._send_shares(link, shares, batch)

    def _send_shares(self, link: Link, shares: dict[Way, Batch], batch: Batch) -> None:
        """Send each way its share of *batch*: the very object, if it is all of it."""
        for way, share in shares.items():
            way.send_batch(link, batch if len(share) == len(batch) else share)

    # -- who is where ---------------------------------------------------------------------

    def _learn(self, link: Link, address: bytes) -> None:
        if len(self.hosts) >= MOST_HOSTS:
            link.stats.memory_failures += 1
        else:
            self._put(link, address)

    def _put(self, link: Link, address: bytes) -> None:
        """Put a host on *link*, wherever it was."""
        now = self.graph.clock()
        before = self.hosts.get(address)
        if before is not None:
            before.link.hosts.discard(address)
        self.hosts[address] = Host(link, now)
        link.hosts.add(address)
        if not self.timer.active:
            self.now = self.oldest = now
            self.timer.start(1)

    def _moved(self, link: Link, host: Host, address: bytes) -> None:
        """Let a host move to *link*, unless that is a loop (ELOOP)."""
        now, settings = self.graph.clock(), self.settings
        host.seen = self.now
        if not 0 <= now - host.born < settings.min_stable_age:
            self._put(link, address)
            return
        link.stats.loop_drops += 1
        link.stats.loop_detects += 1
        self._forget(link)
        text = (
            f"{_shown(address)} moved from {host.link.hook.name} to {link.hook.name}"
            f" within {settings.min_stable_age} s"
        )
        if settings.loop_timeout:
            link.muted = now + settings.loop_timeout
            if settings.debug_level:
                mute = f"{link.hook.name} is muted for {settings.loop_timeout} s"
                self.graph.report(f"bridge {self!r}: a loop: {text}; {mute}", None)
        raise OSError(ELOOP, f"there is a loop: {text}")

    def _check_muted(self, link: Link) -> None:
        left = link.muted - self.graph.clock()
        if left > 0:
            link.stats.loop_drops += 1
            raise OSError(ELOOP, f"{link.hook.name} is muted for {left:.0f} s, there was a loop")
        link.muted = 0.0

    def _forget(self, link: Link) -> None:
        for address in link.hosts:
            del self.hosts[address]
        link.hosts.clear()

    def _tick(self) -> None:
        """Forget who was not heard for long; look only when there may be some."""
        self.now = now = self.graph.clock()
        last = now - self.settings.max_staleness
        if self.oldest <= last:
            hosts = self.hosts
            for address in [address for address, host in hosts.items() if host.seen <= last]:
                hosts.pop(address).link.hosts.discard(address)
            self.oldest = min((host.seen for host in hosts.values()), default=now)
        if self.hosts:
            self.timer.start(1)

    # -- messages ---------------------------------------------------------------------------

    def rcvmsg(self, item: Item, lasthook: Hook | None) -> None:
        self.arrival = lasthook
        super().rcvmsg(item, lasthook)

    @command(1, arg=CONFIG)
    def setconfig(self, config: Config) -> None:
        """Set when hosts are forgotten and what is a loop; what is left out becomes 0."""
        self.settings = config

    @command(2, resp=CONFIG)
    def getconfig(self) -> Config:
        """Tell the configuration."""
        return self.settings

    @command(3)
    def reset(self) -> None:
        """Forget all hosts, all mutes and all counters."""
        for hook in self.hooks.values():
            hook.private.hosts.clear()
            hook.private.muted = 0.0
            hook.private.stats = Stats()
        self.hosts.clear()
        self.timer.stop()

    @command(4, arg=UINT32, resp=STATS)
    def getstats(self, number: int) -> Stats:
        """Count what a link received and sent; uplinks have negative numbers."""
        return self._link(number).stats

    @command(5, arg=UINT32)
    def clrstats(self, number: int) -> None:
        """Reset the counters of a link."""
        self._link(number).stats = Stats()

    @command(6, arg=UINT32, resp=STATS)
    def getclrstats(self, number: int) -> Stats:
        """Tell the counters of a link, then reset them."""
        link = self._link(number)
        stats, link.stats = link.stats, Stats()
        return stats

    def _link(self, number: int) -> Link:
        name = f"link{number}" if number <= LAST else f"uplink{(1 << 32) - number}"
        hook = self.hooks.get(name)
        if hook is None:
            raise OSError(ENOTCONN, f"{name} is not connected")
        link: Link = hook.private
        return link

    @command(7, resp=TABLE)
    def gettable(self) -> Table:
        """Tell all hosts; a program whose buffer they do not fit asks for pages."""
        hosts = self._infos(sorted(self.hosts))
        return Table(len(hosts), hosts)

    @command(1, cookie=OWN, arg=WANTED, resp=PAGES)
    def gettablepage(self, wanted: Wanted) -> Page:
        """Tell *count* hosts (200) from address *start* on; *next* starts the next page."""
        count = min(wanted.count or PAGE, MOST_HOSTS)
        found = nsmallest(count + 1, (at for at in self.hosts if at >= wanted.start))
        after = found[count] if len(found) > count else bytes(6)
        hosts = self._infos(found[:count])
        return Page(len(self.hosts), after, len(hosts), hosts)

    def _infos(self, addresses: list[bytes]) -> list[HostInfo]:
        now, infos = self.graph.clock(), []
        for address in addresses:
            host = self.hosts[address]
            age, staleness = _seconds(now - host.born), _seconds(now - host.seen)
            infos.append(HostInfo(address, host.link.hook.name, age, staleness))
        return infos

    @command(8)
    def setpersistent(self) -> None:
        """Live on without hooks."""
        self.persistent = True

    @command(2, cookie=OWN)
    def clrpersistent(self) -> None:
        """End with the last hook again; at once, if there is none."""
        self.persistent = False
        if not self.hooks and self.valid:
            self.graph.rmnode_self(self)

    @command(3, cookie=OWN, arg=UINT8)
    def setprivate(self, private: int) -> None:
        """Set private mode (1: only uplinks get frames to unknown addresses) or classic (0)."""
        if private > 1:
            raise OSError(EINVAL, f"the mode is {private}, not 1 (private) or 0 (classic)")
        self.private = bool(private)
        self._sort()

    @command(9, arg=MOVE)
    def movehost(self, move: Move) -> None:
        """Put a host on the link *hook*; without one, on that by which the message came."""
        hook = self.hooks.get(move.hook) if move.hook else self.arrival
        if hook is None or not hook.valid:
            missing = f'a hook "{move.hook}"' if move.hook else "a hook by which this came"
            raise OSError(ENOENT, f"there is not {missing}")
        if is_group(move.addr):
            raise OSError(EINVAL, f"{_shown(move.addr)} is a group address: no host has it")
        host = self.hosts.get(move.addr)
        if host is not None and host.link is hook.private:
            host.seen = self.graph.clock()
            return
        if host is None and len(self.hosts) >= MOST_HOSTS:
            raise OSError(ENOMEM, f"the table is full: it holds {MOST_HOSTS} hosts")
        self._put(hook.private, move.addr)

    def config(self) -> list[str]:
        lines = []
        if self.settings != Config():
            lines.append(f"msg . setconfig {CONFIG.unparse(self.settings)}")
        if self.persistent:
            lines.append("msg . setpersistent")
        # Whoever makes the hooks again may begin with another one.
        if self.private or any(not hook.private.learns for hook in self.hooks.values()):
            lines.append(f"msg . setprivate {int(self.private)}")
        return lines

    def status(self) -> str:
        now = self.graph.clock()
        links: list[Link] = [hook.private for hook in self.hooks.values()]
        uplinks = sum(not link.learns for link in links)
        words = [f"{len(links) - uplinks} links", f"{uplinks} uplinks", f"{len(self.hosts)} hosts"]
        words.append("private" if self.private else "classic")
        if self.persistent:
            words.append("persistent")
        muted = [link.hook.name for link in links if link.muted > now]
        return ", ".join(words) + (f"; muted: {', '.join(muted)}" if muted else "")

    # -- the end ----------------------------------------------------------------------------

    def disconnect(self, hook: Hook) -> None:
        self._forget(hook.private)
        if self.valid:
            self._sort()
        if not self.persistent:
            super().disconnect(hook)


def _shown(address: bytes) -> str:
    return ETHER.unparse(address)
