"""What `check_node_type` asks of a node's life: it ends without a trace, at any moment."""

from __future__ import annotations

from collections.abc import Sequence
from errno import EINVAL, EPERM
from itertools import permutations
from typing import Final

from ngksock.interfaces import INodeType
from ngksock.netgraph import EOF
from ngksock.netgraph.edges import connect, mkpeer
from ngksock.netgraph.live import bypass, insert
from ngksock.testing.recording import RecordingNode
from ngksock.testing.stage import Stage, errno_of

__all__ = ["check_edits", "check_ends", "check_lives", "check_refusals"]

STRANGER: Final = "no-such-hook"
EDITED: Final = ("newhook", "connect", "disconnect", "close", "shutdown")
"""What a neighbour is not to notice when a link of its own is edited."""
MOMENTS: Final = ("newhook", "connect", "disconnect", "rcvflow", "rcvdata", "rcvmsg")
"""What may happen to a neighbour when it ends the node."""


class _Ender(RecordingNode):
    """Shuts all nodes of type *victims* down as soon as *moment* comes, once it is *armed*."""

    def __init__(self, moment: str, victims: INodeType) -> None:
        super().__init__()
        self.moment = moment
        self.victims = victims
        self.armed = False

    def _record(self, callback: str, hook: str | None = None, *rest: object) -> None:
        super()._record(callback, hook, *rest)
        if callback == self.moment and self.armed:
            for node in [node for node in self.graph if node.type is self.victims]:
                self.graph.rmnode(node)


def check_lives(
    kind: INodeType, hooks: Sequence[str], setup: Sequence[str], seconds: float
) -> None:
    """A node ends whatever hooks it has, and in whatever way and order they go."""
    for count in range(len(hooks) + 1):
        Stage(kind, hooks[:count]).end(f"with {count} hooks")
    for count in range(len(setup)):
        Stage(kind, hooks, setup[:count]).end(f"after {count} messages of its setup")
    for theirs in (True, False):
        for order in (hooks, hooks[::-1]):
            stage = Stage(kind, order, setup)
            for name in order:
                if name in stage.node.hooks:  # some types end with one hook of several
                    owner = stage.node if theirs else stage.local
                    stage.graph.rmhook(owner.hooks[name])
            stage.end("after its hooks were removed")
    for busy in (0, seconds):
        stage = Stage(kind, hooks, setup)
        for name in hooks:
            stage.feed(name)
        stage.sandbox.pass_time(busy)
        for name in list(stage.node.hooks)[:-1]:
            if name in stage.node.hooks:
                stage.graph.rmhook(stage.node.hooks[name])
        stage.end("with packets under way")


def check_ends(kind: INodeType, hooks: Sequence[str], setup: Sequence[str]) -> None:
    """A node ends from within whatever it causes at a neighbour."""
    for moment in MOMENTS:
        making = moment in ("newhook", "connect")
        for name in hooks:
            for other in (True, False) if making or moment == "rcvdata" else (False,):
                ender = _Ender(moment, kind)
                stage = Stage(kind, () if making else hooks, () if making else setup, local=ender)
                ender.armed = True
                _provoke(stage, moment, name, other)
                stage.end(f"within {moment} of its neighbour, by way of {name}")


def _provoke(stage: Stage, moment: str, name: str, other: bool) -> None:
    """Do what makes *moment* come, if it does; there may be an *other* way."""
    graph, local = stage.graph, stage.local
    if moment in ("newhook", "connect"):
        if other:
            errno_of(mkpeer, graph, local, stage.kind.name, name, name)
        else:
            errno_of(connect, graph, local, name, stage.node, name)
        return
    hook = local.hooks.get(name)
    if hook is None:
        return
    if moment == "disconnect":
        stage.graph.rmhook(hook)
    elif moment == "rcvflow":
        for one in list(stage.local.hooks.values()):
            one.send_flow(True)
            one.send_flow(False)
    elif other:
        stage.local.send_batch(name, [b"1", EOF, b"2"])
    else:
        errno_of(stage.local.send, name, b"1")


def check_edits(kind: INodeType, hooks: Sequence[str], seconds: float) -> None:
    """A node is put into a live link and taken out again, and the outer ones are told nothing."""
    for into, out in permutations(hooks[:3], 2):
        stage = Stage(kind)
        graph, near, far = stage.graph, stage.local, stage.sandbox.recorder()
        connect(graph, near, "x", far, "y")
        ends = near.hooks["x"], far.hooks["y"]
        for busy in (False, True):
            near.forget()
            far.forget()
            when = f"between {into} and {out} of a live link"
            if not errno_of(insert, graph, ends[0], kind.name, into, out, "new"):
                node = ends[0].peer.node
                if busy:
                    errno_of(near.send, "x", b"1")
                    far.send_batch("y", [b"2", b"3"])
                    stage.sandbox.pass_time(seconds)
                linked = ends[0].peer, ends[1].peer
                refused = errno_of(bypass, graph, node, into, out)
                kept = (ends[0].peer, ends[1].peer) == linked
                graph.rmnode(node)
                stage.sandbox.settle()
                if refused:
                    assert kept, f"put {when}, it refuses to be taken out and changes that"
                    break  # its end cuts the link
            whole = (ends[0].peer, ends[1].peer) == ends[::-1]
            assert whole, f"put {when}, it has cut that"
            told = [one for one in (*near.events, *far.events) if one[0] in EDITED]
            assert not told, f"put {when}, it has its neighbours told {told}"
            far.received.clear()
            near.send("x", b"after")
            stage.sandbox.settle()
            assert far.received == {"y": [b"after"]}, f"a link is not whole after it was {when}"
        stage.end("after it was in a live link")


def check_refusals(kind: INodeType, hooks: Sequence[str], any_name: bool) -> None:
    """A node survives a neighbour that refuses, and refuses hooks it does not have."""
    for callback in ("newhook", "connect"):
        for place, name in enumerate(hooks):
            stage = Stage(kind, hooks[:place])
            stage.local.refuse(callback, EPERM)
            refused = errno_of(connect, stage.graph, stage.local, name, stage.node, name)
            assert refused == EPERM, f"connect of {name} answers {refused}, its neighbour {EPERM}"
            refused = errno_of(mkpeer, stage.graph, stage.local, kind.name, "new", name)
            assert refused == EPERM, f"mkpeer by {name} answers {refused}, its neighbour {EPERM}"
            assert name not in stage.node.hooks, f"the refused hook {name} is left"
            stage.end(f"after its neighbour refused {name}")
    if not any_name:
        stage = Stage(kind)
        refused = errno_of(connect, stage.graph, stage.local, "x", stage.node, STRANGER)
        assert refused == EINVAL, f"a hook of no known name is answered by {refused}, not EINVAL"
        stage.end("after it refused a hook")
