"""pipe: a slow, narrow and lossy link between ``upper`` and ``lower``.

Hooks: ``upper`` and ``lower``.  *Downstream* is from upper to lower, *upstream*
from lower to upper; what is configured and counted for a direction belongs to
the hook by which its packets enter, and begins anew when that is connected.

With nothing configured packets pass straight through.  Otherwise a packet

* waits in a queue until the line is free: one queue (``fifo``), or one for each
  IPv4 source and destination, served in turn (``drr``) or by weight (``wfq``);
  what is no IPv4 at ``header_offset``, or is cut short, is flow 0.  Over
  ``queuelen`` packets, one of the longest flow is dropped, its last or its
  first (``drophead``);
* is sent twice, by a chance of ``duplicate`` percent, and again;
* takes ``(length + overhead) * 8 / bandwidth`` seconds on the line;
* is lost, by a chance of ``1 - (1 - 1/BER) ** (8 * (length + overhead))``, and
  by that which ``setloss`` sets;
* is dropped if ``delaylen`` packets are under way;
* arrives ``delay`` microseconds later.

Times are reckoned from the ideal ones, not from when a timer fired, and
delivery is never early and up to 0.5 ms late by intent.

Messages (cookie 200708191):

* 1 ``getstats``: tell the counters; 2 ``clrstats``: reset them; 3
  ``getclrstats``: tell them, then reset them.
* 4 ``getrun``: tell what waits, and what is under way.
* 5 ``getcfg``: tell the configuration; 6 ``setcfg``: change it.

In setcfg 0, or left out, means unchanged, -1 resets to 0, and values out of
range are ignored: delay 1 to 9999999; bandwidth 100 to 1000000000 (in front, it
sets both directions, and overhead: 24 from 10000000, else 10); overhead 1 to
255; header_offset 1 to 63; BER 1 to 10**12, 1 is a link that is down; queuelen
and delaylen from 5; duplicate 1 to 50; fifo, wfq or drr (the last one given
wins), drr from 32 is the quantum, less means 2048; droptail or drophead.

Messages of our own (cookie 1750000304):

* 1 ``setloss``: set a plain chance of loss, in parts per million; 2
  ``getloss``: tell it.
* 3 ``setseed``: make chance repeat itself.

When BER becomes 1 flow message 33 goes out of both hooks, when it ceases to be
32.

What is known to come from a stream (`ngksock.packet.Piece`), and the mark at its end,
is delayed and limited like all else, but not lost, doubled or reordered: where
another packet would be dropped it waits and its source is held, and so it does
while the link is down, or a sink beyond the pipe is full.  No more than 64 MiB
wait or are under way in a direction; what is more is dropped.

It ends by ``shutdown``, which joins the neighbours, or with its last hook.
What has not arrived by then is lost, but for streams, which are sent on at
once.  A hook that is removed takes along what entered by it, but for streams.
"""

from ngksock.nodes.pipe.node import Pipe, pipe

__all__ = ["Pipe", "pipe"]
