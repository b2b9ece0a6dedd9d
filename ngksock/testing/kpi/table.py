"""The table: each check of kpi-socket.md §16 in each kind of socket.

A check that is not named here holds as written, in every column.  The test
suite makes a test of each cell that is not n/a, and the documentation shows
the whole: there is no other place where any of this is said.
"""

from __future__ import annotations

from typing import Final

from ngksock.testing.kpi import checks_birth as birth
from ngksock.testing.kpi import checks_connect as connect
from ngksock.testing.kpi import checks_ending as ending
from ngksock.testing.kpi import checks_listen as listen
from ngksock.testing.kpi import checks_marking as marking
from ngksock.testing.kpi import checks_mbuf  # noqa: F401 - puts its checks in the registry
from ngksock.testing.kpi import checks_receive as receive
from ngksock.testing.kpi import checks_records as records
from ngksock.testing.kpi import checks_send as send
from ngksock.testing.kpi import checks_telling as telling
from ngksock.testing.kpi.registry import CHECKS, COUNT, HOLDS, Verdict, differs, na

__all__ = ["COLUMNS", "TABLE"]

COLUMNS: Final = {
    "tcp4": "TCP over IPv4",
    "tcp6": "TCP over IPv6",
    "local_stream": "local stream",
    "seqpacket": "local seqpacket",
    "tls": "TLS over TCP and IPv4",
    "memory": "the memory driver of ngksock.testing",
    "udp4": "UDP over IPv4",
    "udp6": "UDP over IPv6",
    "local_dgram": "local datagrams",
    "raw": "raw IPv4",
}
"""The kinds of sockets, and what they are called in words."""

_UDP: Final = ("udp4", "udp6")
_DGRAM: Final = (*_UDP, "local_dgram", "raw")
_LOCAL: Final = ("local_stream", "seqpacket")
_UNIX: Final = (*_LOCAL, "local_dgram")
_STREAM: Final = ("tcp4", "tcp6", "local_stream", "tls", "memory")
_CONNECTED: Final = (*_STREAM, "seqpacket")

_NO_CONNECTIONS: Final = na("datagram sockets have no connections")
_NO_END: Final = na("datagrams have no end of file and no reset")
_NO_DATAGRAMS: Final = na("it is about datagrams")
_NO_RECORDS: Final = na("a stream has no records")
_AT_ONCE: Final = na("it connects within the call")
_NO_WAIT: Final = na("a datagram never waits for space: what the system does not take is an error")
_NO_FILTERS: Final = na("filters are for inet and inet6, as in XNU")
_NO_PORTS: Final = na("there are no ports")

_BUT: Final[dict[int, tuple[tuple[tuple[str, ...] | str, Verdict], ...]]] = {
    2: ((_UNIX, differs(birth.check_2_local)), ("raw", differs(birth.check_2_raw))),
    3: ((("raw", "tls"), differs(birth.check_3_named)),),
    4: ((("tls", "memory"), differs(birth.check_4_made)),),
    5: (("memory", differs(birth.check_5_bare)),),
    7: ((_UNIX, differs(birth.check_7_local)), ("raw", differs(birth.check_7_raw))),
    12: ((_LOCAL, differs(listen.check_12_local)),),
    13: ((_DGRAM, _NO_CONNECTIONS),),
    14: ((_DGRAM, _NO_CONNECTIONS),),
    15: ((_DGRAM, _NO_CONNECTIONS),),
    16: ((_DGRAM, _NO_CONNECTIONS),),
    17: ((_DGRAM, _NO_CONNECTIONS),),
    18: ((_DGRAM, _NO_CONNECTIONS),),
    19: ((_DGRAM, _NO_CONNECTIONS), (_LOCAL, differs(listen.check_19_local))),
    20: ((_DGRAM, _NO_CONNECTIONS), (_LOCAL, differs(listen.check_20_local))),
    21: ((_DGRAM, _NO_CONNECTIONS),),
    22: ((_DGRAM, _NO_CONNECTIONS), (_LOCAL, differs(connect.check_22_atonce))),
    23: ((_DGRAM, _NO_CONNECTIONS),),
    24: ((_DGRAM, _NO_CONNECTIONS), (_LOCAL, differs(connect.check_24_atonce))),
    25: ((_DGRAM, _NO_CONNECTIONS), (_LOCAL, differs(connect.check_25_atonce))),
    26: ((_DGRAM, _NO_CONNECTIONS), (_LOCAL, differs(connect.check_26_atonce))),
    27: ((_DGRAM, _NO_CONNECTIONS), (_LOCAL, _AT_ONCE)),
    28: ((_DGRAM, _NO_CONNECTIONS), (_LOCAL, _AT_ONCE)),
    29: ((_DGRAM, _NO_CONNECTIONS), (_LOCAL, _AT_ONCE)),
    30: ((_DGRAM, _NO_CONNECTIONS), (_LOCAL, differs(connect.check_30_local))),
    31: ((_CONNECTED, _NO_DATAGRAMS),),
    34: ((_DGRAM, _NO_END),),
    35: ((_DGRAM, _NO_END),),
    36: ((_DGRAM, _NO_END),),
    38: ((("seqpacket", *_DGRAM), differs(receive.check_38_records)),),
    39: ((("seqpacket", *_DGRAM), differs(receive.check_39_records)),),
    40: ((("seqpacket", *_DGRAM), differs(receive.check_40_records)),),
    42: (
        (_STREAM, _NO_RECORDS),
        ("seqpacket", differs(records.check_42_connected)),
        ("raw", differs(records.check_42_raw)),
    ),
    43: ((_STREAM, _NO_RECORDS), ("seqpacket", differs(records.check_43_records))),
    44: ((_STREAM, _NO_RECORDS),),
    45: (
        (_CONNECTED, _NO_DATAGRAMS),
        ("local_dgram", differs(records.check_45_local)),
        ("raw", differs(records.check_45_raw)),
    ),
    49: ((_DGRAM, differs(send.check_49_dgram)),),
    50: ((_DGRAM, _NO_END),),
    51: (
        ("seqpacket", differs(send.check_51_records)),
        ("local_dgram", differs(send.check_51_dgram)),
        ((*_UDP, "raw"), _NO_WAIT),
    ),
    52: (
        ("seqpacket", na("a record goes whole, and 8 MiB is too long for one")),
        (_DGRAM, _NO_WAIT),
    ),
    53: (((*_UDP, "raw"), _NO_WAIT),),
    56: (
        (("seqpacket", *_DGRAM), differs(send.check_56_records)),
        ("tls", differs(send.check_56_none)),
    ),
    57: ((_DGRAM, _NO_END),),
    59: ((_STREAM, _NO_RECORDS),),
    61: ((_DGRAM, differs(ending.check_61_dgram)),),
    62: ((_DGRAM, differs(ending.check_62_dgram)),),
    63: ((_DGRAM, _NO_END),),
    77: ((_DGRAM, differs(telling.check_77_dgram)),),
    78: ((_DGRAM, _NO_END),),
    79: ((_DGRAM, _NO_CONNECTIONS),),
    80: ((_DGRAM, _NO_CONNECTIONS), (_LOCAL, _NO_FILTERS)),
    81: ((_DGRAM, _NO_CONNECTIONS), (_LOCAL, _NO_FILTERS)),
    82: ((_UNIX, differs(marking.check_82_bare)),),
    83: ((_UNIX, differs(marking.check_83_bare)),),
    85: ((_UNIX, differs(marking.check_85_local)),),
    86: (((*_UNIX, "raw"), _NO_PORTS),),
}


def _row(number: int) -> dict[str, Verdict]:
    row = dict.fromkeys(COLUMNS, HOLDS)
    for where, what in _BUT.get(number, ()):
        for column in (where,) if isinstance(where, str) else where:
            assert row[column] is HOLDS, f"check {number} has two verdicts for {column}"
            row[column] = what
    return row


assert sorted(CHECKS) == list(range(1, COUNT + 1)), f"of {COUNT} checks there are {sorted(CHECKS)}"

TABLE: Final = {number: _row(number) for number in range(1, COUNT + 1)}
"""Number to column to verdict."""
