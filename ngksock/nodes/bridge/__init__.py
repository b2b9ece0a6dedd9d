"""bridge: an Ethernet switch, which learns who is where.

Hooks: ``link0``, ``link1``, ... and ``uplink1``, ``uplink2``, ..., in plain
decimal up to 2147483647; ``uplink0`` and all else is EINVAL, a link of the
bridge to itself ELOOP.

A frame shorter than 14 bytes, or from a group address, is EINVAL.  A link
learns the source of each frame.  A frame to an address that was learned goes to
its link alone (nowhere, if that is where it came from); any other frame goes to
all other links, one to an unknown address only to those that want unknowns.

* *Uplinks* learn no new address, and always want unknowns.  A host that a link
  has learned moves to an uplink like to any other link.
* *Private mode*: an uplink was connected when there was no other hook, so that
  only uplinks want unknowns.  Otherwise, in *classic* mode, all links do.
* *A loop*: a host moves to another link before it was ``minStableAge`` seconds
  on its old one.  The frame is lost (ELOOP), the host stays where it was, the
  new link is muted for ``loopTimeout`` seconds (what it sends is lost, ELOOP)
  and all hosts learned there are forgotten.  With ``debugLevel`` 1 or more the
  operator is told.
* *Ageing*: once a second, hosts not heard for ``maxStaleness`` seconds vanish;
  as FreeBSD, the last part of a second may be missing.
* *A full table*: it holds 131072 addresses.  What is beyond is not learned, so
  frames to it go to all links; ``memoryFailures`` counts it.

Messages (cookie 1569321993); links are told by number, uplinks by a negative one:

* 1 ``setconfig``: replace the configuration; what is left out becomes 0.
* 2 ``getconfig``: tell it.
* 3 ``reset``: forget all hosts, mutes and counters.
* 4 ``getstats``, 5 ``clrstats``, 6 ``getclrstats``: counters of a link;
  ENOTCONN without it.  A frame counts as sent whatever became of it.
* 7 ``gettable``: tell all hosts.
* 8 ``setpersistent``: live on without hooks.
* 9 ``movehost``: put a host on a link; at once, it is no sign of a loop.  Without
  ``hook``: on the link by which the message came.

Messages of our own (cookie 1750000302):

* 1 ``gettablepage``: tell some hosts, in the order of their addresses, from
  ``start`` on; ``next`` is where the next page starts, left out on the last one.
* 2 ``clrpersistent``: end with the last hook again, at once if it is gone.
* 3 ``setprivate``: 1 for private mode, 0 for classic mode.

An end-of-file mark is dropped, not counted: that one link has ended is not the
end of what the others send each other.  Back-pressure: a full sink beyond any
link holds the sources beyond all others.

It ends by ``shutdown``, or with its last hook unless it is persistent.
"""

from __future__ import annotations

from ngksock.nodes.bridge.node import Bridge
from ngksock.plugin import NodeType

__all__ = ["bridge"]

bridge = NodeType("bridge", 1569321993, Bridge)
