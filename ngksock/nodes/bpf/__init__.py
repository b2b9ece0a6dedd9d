"""bpf: sort packets with programs of the classic BPF machine.

Hooks: any name, any number.  Each has a program of its own, for the packets
that come in by it, and the names of two hooks: a packet that matches goes to
``ifMatch``, cut to the length that the program returned, any other to
``ifNotMatch``.  A name that is empty, or of a hook that is not connected, drops
its packets; that is no error, and a hook of that name that is connected later
is found.  A new hook's program matches nothing, and both names are empty.

An empty packet matches nothing, whatever the program.  An end-of-file mark goes
to both hooks, for each of them may carry a part of the stream that it ends.

Messages (cookie 944100792); the argument of all but the first is the name of a
hook, and ENOENT says that there is none of that name:

* 1 ``setprogram``: set the program of ``thisHook``, and both names: 100 bytes,
  and 8 for each of 1 to 512 instructions.
* 2 ``getprogram``: tell them.
* 3 ``getstats``: tell the hook's counters.
* 4 ``clrstats``: reset them.
* 5 ``getclrstats``: tell them, then reset them.

Of our own (cookie 1750000305):

* 1 ``setfilter``: compile ``filter``, an expression such as ``udp port 53``,
  into the hook's program.  It needs the extra ``[bpf]``; EOPNOTSUPP without.
* 2 ``setdump``: set the program that ``tcpdump -ddd`` printed.

A program is checked before anything changes (EINVAL): known instructions, jumps
ahead and not behind the end, memory 0 to 15, no division by the constant zero, a
return at the end.  Then it is translated into a function of Python.  A load
beyond the end of the packet, and a division by zero, return 0: no match.

What was received is counted by its original length, what was sent by that to
which it was cut, before it is delivered.  The counters of a hook begin at zero
when it is connected.

Back-pressure: a full sink beyond a hook holds the hooks whose packets may go
there.

It ends by ``shutdown``, or with its last hook.
"""

from ngksock.nodes.bpf.node import BPF, bpf

__all__ = ["BPF", "bpf"]
