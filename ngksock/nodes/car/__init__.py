"""car: hold the traffic between ``upper`` and ``lower`` to a rate.

Hooks: ``upper`` and ``lower``.  *Downstream* is what enters by upper, *upstream*
what enters by lower; each direction has a configuration and counters of its own,
which begin anew when the hook it enters by is connected.

A committed bucket of ``cbs`` bytes fills at ``cir`` bit/s, a second one of ``ebs``
bytes as the mode says.  A packet whose length is in the first bucket is *green*;
if it is not, after the buckets were filled, the mode decides:

* 0, single rate: what flows over from the first bucket fills the second; yellow
  if the length is in that one, else red.
* 1, double rate: the second bucket fills at ``pir`` bit/s; as above.
* 2, RED: yellow while what is borrowed since the last red is below ``ebs``, and
  ``cir`` pays back; else red.
* 3, shape: it waits until the first bucket has its length.  It is yellow; but
  red, and dropped, where 99 wait, and now and then where more than 8 do.

The action of its colour follows: 1, forward; 2, drop; 3, mark it with the
colour and forward; another, drop.  ``opt`` is the sum of 1, colour aware (a
packet marked yellow is not made green, and a red one stays red), and 2, count
packets: rates are packets a second then, and buckets packets.

The mark is a `Tag` of cookie 1750000306, type 1, with one byte: 0 green, 1
yellow, 2 red.

Messages (cookie 1173648034):

* 1 ``getstats``: tell the counters; 2 ``clrstats``: reset them; 3
  ``getclrstats``: tell them, then reset them.
* 4 ``getconf``: tell the configuration; 5 ``setconf``: replace that of the
  directions that are given.

EINVAL: a rate above 10**9 (with opt 2, 976562), both buckets of no size, no
``cir`` in mode 3, an unknown mode, or no direction given at all.

What is known to come from a stream (`ngksock.packet.Piece`) is never dropped: it waits,
in every mode, as in mode 3, and its source is held.  Marks at the end of a
stream cost nothing, have no colour, and are not overtaken.

It ends by ``shutdown``, or with its last hook.  What waits is dropped with the
hook by which it came, but for streams.
"""

from ngksock.nodes.car.node import Car, car

__all__ = ["Car", "car"]
