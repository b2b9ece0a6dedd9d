"""What `check_node_type` asks of batches: the effect of their packets one by one."""

from __future__ import annotations

from collections.abc import Sequence
from errno import EIO
from typing import Any, Final

from hypothesis import given
from hypothesis import strategies as st

from ngksock.interfaces import INodeType
from ngksock.netgraph import EOF, Batch, Hook, Message, Packet
from ngksock.packet import Record, Tag
from ngksock.testing.exchange import limits
from ngksock.testing.recording import RecordingNode
from ngksock.testing.stage import Stage, errno_of

__all__ = ["check_batches"]

NOTE: Final = Tag(0x5A5A5A5A, 1, b"note")

Runs = list[tuple[str, list[Packet]]]
"""Hooks, and the packets sent out of each at a time."""


def check_batches(
    kind: INodeType,
    hooks: Sequence[str],
    setup: Sequence[str],
    examples: int,
    seconds: float = 0,
    samples: Sequence[bytes] = (),
) -> None:
    """
    Whatever is sent to a node has the same effect in batches and one by one.

    The effect is what each neighbour receives, in its order, with tags and
    marks, the counters of all hooks, the answers to messages without arguments,
    and the status, so many *seconds* later.  Some of the neighbours may refuse
    what they get.  *samples* are sent too, among packets at random.
    """
    contents = st.binary(max_size=8) | st.binary(min_size=14, max_size=64)
    if samples:
        contents |= st.sampled_from(list(samples))
    packets = st.just(EOF) | st.builds(
        lambda kind, data, tags, view: kind(memoryview(data) if view else data, tags),
        st.sampled_from((Packet, Record)),
        contents,
        st.sampled_from(((), (NOTE,))),
        st.booleans(),
    )
    runs = st.lists(st.tuples(st.sampled_from(hooks), st.lists(packets, max_size=6)), max_size=8)

    @limits(examples)
    @given(runs, st.sets(st.sampled_from(hooks)))
    def prove(runs: Runs, refusing: set[str]) -> None:
        single = _effect(kind, hooks, setup, runs, refusing, seconds, batches=False)
        batched = _effect(kind, hooks, setup, runs, refusing, seconds, batches=True)
        for what, effect in single.items():
            assert effect == batched[what], (
                f"{what}: {effect} one by one, {batched[what]} in batches,"
                f" of {[(name, list(map(_shown, packets))) for name, packets in runs]}"
                f" while {sorted(refusing)} refuse"
            )

    prove()


class _Witness(RecordingNode):
    """Keeps of each packet all that it is, refused or not."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, object]] = []

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        self.seen.append((hook.name, _shown(packet)))
        super().rcvdata(hook, packet)


def _shown(packet: Packet) -> object:
    """Return all that a packet is, in values; of a plain one its bytes."""
    plain = type(packet) is Packet and not packet.tags and not packet.eof
    tags = [(tag.cookie, tag.type, tag.data) for tag in packet.tags]
    whole = type(packet).__name__, bytes(packet), tags, "eof" if packet.eof else ""
    return bytes(packet) if plain else whole


def _effect(
    kind: INodeType,
    hooks: Sequence[str],
    setup: Sequence[str],
    runs: Runs,
    refusing: set[str],
    seconds: float,
    batches: bool,
) -> dict[str, Any]:
    local = _Witness()
    stage = Stage(kind, hooks, setup, local=local)
    node = stage.node
    local.seen.clear()
    sent = [_shown(packet) for _, packets in runs for packet in packets]
    for name in refusing:
        local.refuse("rcvdata", EIO, name)
    for name, packets in runs:
        if batches:
            batch = Batch(packets)
            nbytes = batch.nbytes
            local.hooks[name].send_batch(batch)
            assert (batch, batch.nbytes) == (packets, nbytes), "a batch was changed"
        else:
            for packet in packets:
                errno_of(local.hooks[name].send_data, packet)
    stage.sandbox.settle()
    if seconds:
        stage.sandbox.pass_time(seconds)
    still = [_shown(packet) for _, packets in runs for packet in packets]
    assert still == sent, f"packets were changed: {sent} became {still}"
    effect: dict[str, Any] = {
        f"received by {name}": [shown for other, shown in local.seen if other == name]
        for name in hooks
    }
    for owner, side in ((local, "the neighbour"), (node, "the node")):
        for name, hook in owner.hooks.items():
            counters = hook.packets, hook.bytes, hook.drops
            effect[f"counters of {name} of {side}"] = counters
    effect["status"] = stage.told("status")
    for row in kind.commands.all:
        if row.arg is None and row.resp is not None and row.cookie is not None:
            effect[f"the answer to {row.name}"] = stage.ask(Message(row.cookie, row.cmd))
    stage.end("after packets")
    return effect
