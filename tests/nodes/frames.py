"""Frames, packets and tags as they are met, made at random; and nodes that sort or change them."""

from __future__ import annotations

from random import Random
from typing import Final, NamedTuple

from ngksock.netgraph import EOF, Packet, Tag
from ngksock.packet import Piece, Record

__all__ = ["SCENES", "Scene", "packet"]

STATIONS: Final = [bytes((2, 4, 6, 0, 0, n)) for n in range(1, 6)]
GROUPS: Final = [b"\xff" * 6, bytes((1, 0, 0x5E, 0, 0, 1))]
PROTOCOLS: Final = (b"\x81\0", b"\x88\xa8", b"\x91\0", b"\x92\0", b"\x93\0")
RELAYED: Final = [
    bytes.fromhex(text)
    for text in [
        "03cc",
        "0300cc",
        "0800",
        "03cf",
        "05",
        "0381",
        "03800000000800",
        "0300800000000800",
        "03800080c20007",
        "03800080c20001",
        "0300800080c20001",
    ]
]


def ip(r: Random) -> bytes:
    """Return an IP packet that holds UDP, TCP, SCTP or ICMP."""
    protocol = r.choice((1, 6, 17, 132))
    body = bytearray(r.randbytes(r.choice((8, 20, 21, 40))))
    if protocol == 17:
        body[4:6] = len(body).to_bytes(2)
    if r.random() < 0.6:
        sizes = b"\x45\0" + (20 + len(body)).to_bytes(2)
        return bytes(sizes + bytes((0, 0, 0, 0, 64, protocol, 0, 0)) + r.randbytes(8) + body)
    sizes = b"\x60\0\0\0" + len(body).to_bytes(2)
    return bytes(sizes + bytes((protocol, 64)) + r.randbytes(32) + body)


def ethernet(r: Random) -> bytes:
    """Return an Ethernet frame, with tags or without, perhaps cut off."""
    addresses = r.choice(STATIONS + GROUPS) + r.choice(STATIONS + GROUPS[r.randrange(20) :])
    vlans = (0, 5, 100, 200, 300, 4095, 0xE064)
    depth = r.choice((0, 0, 1, 1, 2, 3, 9, 10, 11, 300))
    tags = [r.choice(PROTOCOLS) + r.choice(vlans).to_bytes(2) for _ in range(depth)]
    payload = ip(r) if r.random() < 0.6 else r.randbytes(r.randrange(30))
    frame = addresses + b"".join(tags) + r.choice((b"\x08\0", b"\x86\xdd", b"\x08\x06")) + payload
    return frame[: r.randrange(len(frame) + 1)] if r.random() < 0.1 else frame


def relayed(r: Random) -> bytes:
    """Return a frame as rfc1490 has them, perhaps cut off."""
    frame = r.choice(RELAYED) + r.randbytes(r.randrange(12))
    return frame[: r.randrange(len(frame) + 1)] if r.random() < 0.2 else frame


def packet(r: Random) -> Packet:
    """Return any packet: a frame of some kind, with tags or without; or a mark."""
    if r.random() < 0.05:
        return EOF
    data: bytes | memoryview = r.choice((ethernet, ethernet, ip, relayed))(r)
    data = r.choice((data, data, data, memoryview(data), b"" if r.random() < 0.2 else data))
    tags = tuple(
        Tag(
            r.choice((1068486472, 942710669, 7)),
            r.choice((1, 1, 2)),
            r.choice((b"", b"\0\x64", b"\1\x2c", b"abc", b"abcd")),
        )
        for _ in range(r.choice((0, 0, 0, 1, 2)))
    )
    return r.choice((Packet, Record, Piece))(data, tags)


class Scene(NamedTuple):
    """
    A node at work.

    Args:
        kind: Its type.
        hooks: Its hooks.
        setup: Messages that prepare it.
        changes: Messages that change where packets go; some may be refused.
    """

    kind: str
    hooks: tuple[str, ...]
    setup: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()


def _program(hook: str, match: str, other: str, k: int = 30) -> str:
    return (
        f'setprogram {{ thisHook="{hook}" ifMatch="{match}" ifNotMatch="{other}"'
        f" bpf_prog_len=1 bpf_prog=[ {{ code=6 k={k} }} ] }}"
    )


SCENES: Final = (
    Scene(
        "bpf",
        ("a", "b", "c", "d"),
        (
            'setdump { thisHook="a" ifMatch="b" ifNotMatch="c"'
            ' dump="4 40 0 0 12 21 0 1 2048 6 0 0 20 6 0 0 0" }',
            _program("b", "a", "a"),
            _program("d", "nobody", "c"),
        ),
        (_program("a", "d", ""), _program("a", "", "a", 0), _program("c", "b", "d")),
    ),
    Scene(
        "bridge",
        ("link0", "link1", "uplink1", "link2"),
        ("setconfig { minStableAge=0 maxStaleness=10 }",),
        ("setprivate 1", "setprivate 0", "reset", "setconfig { minStableAge=1 loopTimeout=3 }"),
    ),
    Scene(
        "macfilter",
        ("ether", "default", "o1", "o2"),
        (
            'direct { ether=02:04:06:00:00:01 hookname="o1" }',
            'direct { ether=02:04:06:00:00:02 hookname="o2" }',
        ),
        (
            "reset",
            "clrmacs",
            'direct { ether=02:04:06:00:00:01 hookname="default" }',
            "directi { ether=02:04:06:00:00:02 }",
            "directi { ether=02:04:06:00:00:01 hookid=2 }",
        ),
    ),
    Scene(
        "vlan",
        ("downstream", "nomatch", "v100", "v200", "v3"),
        ('addfilter { hook="v100" vid=100 pcp=3 }', 'addfilter { hook="v200" vid=200 }'),
        (
            'delfilter "v100"',
            "delvidflt 200",
            'addfilter { hook="v3" vid=300 }',
            'addfilter { hook="v3" vid=100 }',
            'delfilter "v3"',
            "setencap 2",
            "setdecap 1",
            "setencapproto 0x88a8",
        ),
    ),
    Scene(
        "vlan_rotate",
        ("original", "ordered", "excessive", "incomplete"),
        ("setconf { rot=1 min=2 max=4 }",),
        ("setconf {}", "setconf { rot=-2 max=9 }", "clrstat"),
    ),
    Scene(
        "tag",
        ("a", "b", "c", "d"),
        (
            'sethookin { thisHook="a" ifMatch="b" ifNotMatch="c" strip=1'
            " tag_cookie=942710669 tag_id=1 }",
            'sethookin { thisHook="b" ifMatch="a" ifNotMatch="b" tag_cookie=7 tag_id=1'
            ' tag_len=3 tag_data="abc" }',
            'sethookout { thisHook="c" tag_cookie=7 tag_id=2 tag_len=2 tag_data="hi" }',
        ),
        (
            'sethookin { thisHook="a" }',
            'sethookin { thisHook="a" ifMatch="d" }',
            'sethookin { thisHook="d" ifMatch="a" tag_id=3 }',
            'sethookout { thisHook="c" }',
        ),
    ),
    Scene(
        "patch",
        ("in", "out"),
        (
            "setdlt 1",
            "setconfig { count=3 relative_offset=1 ops=[ { mode=3 value=1 length=1 offset=8 }"
            " { mode=2 value=70000 length=4 offset=2 } { mode=5 length=8 } ] }",
        ),
        ("setdlt 12", "setconfig {}", "clrstats"),
    ),
    Scene("split", ("mixed", "in", "out")),
    Scene(
        "rfc1490",
        ("downstream", "inet", "ppp", "ethernet"),
        ('setencap "cisco"',),
        ('setencap "ietf-snap"', 'setencap "ietf-ip"'),
    ),
    Scene(
        "checksum",
        ("in", "out"),
        ("setconfig { csum_flags=0xf0f }",),
        ("setdlt 1", "setdlt 12", "setconfig {}", "clrstats"),
    ),
)
