"""Where a bridge sends frames to: one link, or all others."""

from __future__ import annotations

from typing import Protocol

from ngksock.netgraph import Batch, Hook, Packet, send_all
from ngksock.nodes.bridge.layouts import Stats

__all__ = ["Flood", "Host", "Link", "Way"]


class Link:
    """
    One link: a hook's ``private``, and a way for frames to a host that is there.

    ``muted`` is the time until which it is muted, or 0; ``hosts`` the addresses
    that were learned here.
    """

    __slots__ = ("hook", "hosts", "learns", "muted", "number", "stats")
    flood = False

    def __init__(self, hook: Hook, number: int) -> None:
        self.hook = hook
        self.number = number
        self.learns = number >= 0
        self.muted = 0.0
        self.stats = Stats()
        self.hosts: set[bytes] = set()

    def send(self, arrival: Link, packet: Packet) -> None:
        """Send a frame that came by *arrival*."""
        stats = self.stats
        stats.xmit_packets += 1
        stats.xmit_octets += packet.len
        self.hook.send_data(packet)

    def send_batch(self, arrival: Link, batch: Batch) -> None:
        """Send several."""
        self.stats.xmit_packets += len(batch)
        self.stats.xmit_octets += batch.nbytes
        self.hook.send_batch(batch)


class Flood:
    """
    The way to all links but that of arrival.

    Args:
        multicasts: What its frames are: 1, multicasts.
        broadcasts: 1, broadcasts.
    """

    __slots__ = ("broadcasts", "hooks", "links", "multicasts")
    flood = True

    def __init__(self, multicasts: int = 0, broadcasts: int = 0) -> None:
        self.multicasts = multicasts
        self.broadcasts = broadcasts
        self.links: tuple[Link, ...] = ()
        self.hooks: tuple[Hook, ...] = ()

    def lead(self, links: tuple[Link, ...]) -> None:
        """Lead to *links* from now on."""
        self.links = links
        self.hooks = tuple(link.hook for link in links)

    def send(self, arrival: Link, packet: Packet) -> None:
        """Send a frame that came by *arrival*; raises the last error, when all were served."""
        self._count(arrival, 1, packet.len)
        send_all(self.hooks, packet, arrival.hook)

    def send_batch(self, arrival: Link, batch: Batch) -> None:
        """Send several."""
        self._count(arrival, len(batch), batch.nbytes)
        but = arrival.hook
        for hook in self.hooks:
            if hook is not but:
                hook.send_batch(batch)

    def _count(self, arrival: Link, packets: int, octets: int) -> None:
        for link in self.links:
            if link is not arrival:
                stats = link.stats
                stats.xmit_packets += packets
                stats.xmit_octets += octets
                stats.xmit_multicasts += packets * self.multicasts
                stats.xmit_broadcasts += packets * self.broadcasts


class Way(Protocol):
    """Where frames go: `Link` or `Flood`."""

    @property
    def flood(self) -> bool:
        """Whether it leads to more than one link."""

    def send(self, arrival: Link, packet: Packet) -> None:
        """Send a frame."""

    def send_batch(self, arrival: Link, batch: Batch) -> None:
        """Send several."""


class Host:
    """
    Where a host is.

    ``born`` is the time at which it came to its link, ``seen`` the tick in
    which it was heard last (or a time since then).
    """

    __slots__ = ("born", "link", "seen")

    def __init__(self, link: Link, now: float) -> None:
        self.link = link
        self.born = self.seen = now
