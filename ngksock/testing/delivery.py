"""What `check_node_type` asks of batches: the effect of their packets one by one."""

from __future__ import annotations

from collections.abc import Sequence
from errno import EIO
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ngksock.interfaces import INodeType
from ngksock.netgraph import EOF, Batch, Message, Packet
from ngksock.testing.exchange import limits
from ngksock.testing.stage import Stage, errno_of

__all__ = ["check_batches"]

Runs = list[tuple[str, list[Packet]]]
"""Hooks, and the packets sent out of each at a time."""


def check_batches(
    kind: INodeType,
    hooks: Sequence[str],
    setup: Sequence[str],
    examples: int,
    seconds: float = 0,
) -> None:
    """
    Whatever is sent to a node has the same effect in batches and one by one.

    The effect is what each neighbour receives, in its order, the counters of
    all hooks, the answers to messages without arguments, and the status, so
    many *seconds* later.  Some of the neighbours may refuse what they get.
    """
    packets = st.binary(max_size=8).map(Packet) | st.just(EOF)
    runs = st.lists(st.tuples(st.sampled_from(hooks), st.lists(packets, max_size=6)), max_size=8)

    @limits(examples)
    @given(runs, st.sets(st.sampled_from(hooks)))
    def prove(runs: Runs, refusing: set[str]) -> None:
        single = _effect(kind, hooks, setup, runs, refusing, seconds, batches=False)
        batched = _effect(kind, hooks, setup, runs, refusing, seconds, batches=True)
        for what, effect in single.items():
            assert effect == batched[what], (
                f"{what}: {effect} one by one, {batched[what]} in batches, of {runs}"
                f" while {sorted(refusing)} refuse"
            )

    prove()


def _effect(
    kind: INodeType,
    hooks: Sequence[str],
    setup: Sequence[str],
    runs: Runs,
    refusing: set[str],
    seconds: float,
    batches: bool,
) -> dict[str, Any]:
    stage = Stage(kind, hooks, setup)
    local, node = stage.local, stage.node
    local.forget()
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
    seen: dict[str, list[object]] = {name: [] for name in hooks}
    for event in local.events:
        if event[0] == "rcvdata":
            seen[event[1]].append(event[2])
    effect: dict[str, Any] = {f"received by {name}": seen[name] for name in hooks}
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
