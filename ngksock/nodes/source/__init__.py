"""source: send the packets of a queue again and again, at a rate: a load generator.

Hooks: ``input``, what comes in by it joins the queue; ``output``, the load goes
out of it, and what comes in by it is discarded.

The queue holds 2048 packets, and at most 64 MiB of them; more are refused
(ENOBUFS).  A run takes the packet at the head, sends it (or a copy, if something
is written into it) and puts it back at the tail, until the number of packets is
reached.  With an empty queue it runs on, and waits.

The rate is what ``setpps`` or ``setinterval`` said last, else, after
``setiface``, as fast as it can.  After t seconds t * rate packets were sent,
rounded down: the first leaves one interval after the start.  After a stall the
packets of one second, and one more, are made up for at most.  At most 256
leave in one turn of the reactor, of long ones as many as have 256 KiB.  "As fast
as it can" means: that many in each turn; after a loss a millisecond passes, for
the sink had no room.

Messages (cookie 1110646684):

* 1 ``getstats``, 2 ``clrstats``, 3 ``getclrstats``: tell the counters, reset
  them (those of a run under way begin now), or both.
* 4 ``start``: send so many packets, -1: without end.  ENXIO: no rate is set;
  ENOTCONN: there is no hook output; EBUSY: it runs.
* 5 ``stop``.
* 6 ``clrdata``: empty the queue.
* 7 ``setiface``: be as fast as one may for an interface of this host, unless
  another rate is set; ENXIO: it has none of that name.
* 8 ``setpps``: set the rate, in packets a second; 0: none.
* 9 ``settimestamp``, 10 ``gettimestamp``: write the time into packets, at
  ``offset``: 16 bytes, of which 0 to 3 are the seconds and 8 to 11 the
  microseconds, big-endian, and the others 0.
* 11 ``setcounter``, 12 ``getcounter``: write a number of ``width`` 1, 2 or 4
  bytes, big-endian, at ``offset``; there are four, ``index`` 0 to 3.  Then
  ``increment`` is added; what leaves ``min_val`` to ``max_val`` by one end enters
  by the other.

``flags``: 1, do it; 2, the same value for all packets of a round of the queue.
What does not fit a packet is not written into it, nor the number advanced.

Messages of our own (cookie 1750000301):

* 1 ``setinterval``: set the rate, by the nanoseconds between packets; 0: as fast
  as it can.
* 2 ``getinterval``: tell the nanoseconds between packets.
* 3 ``adddata``: put a packet into the queue, such as ``"text"``, ``[ 1 2 3 ]`` or
  ``[ 999=0 ]`` (1000 zeros).

A full sink beyond ``output`` holds the run.  An end-of-file mark ends the input
and is no packet: it is not queued.

It ends by ``shutdown``, with its ``output``, or with its last hook.
"""

from ngksock.nodes.source.node import Source, source

__all__ = ["Source", "source"]
