"""tag: sort packets by the tags they carry, take tags off, and put tags on.

Hooks: any name, any number.  Each hook has a rule for what comes in by it and
one for what goes out of it.

*In.*  If cookie and id of the rule are not both 0, the first tag of that cookie
and id whose data begin with ``tag_data`` matches: the packet goes to ``ifMatch``,
without the tag if ``strip`` says so.  Else it goes to ``ifNotMatch``.  Where that
hook is not named or not there, a packet is dropped; that is no error.

*Out.*  If cookie and id of the rule are not both 0, the packet gets a new tag in
front of those it has.

A new hook has rules of zeros: what comes in by it is dropped, what goes out of it
passes as it is.

Messages (cookie 1149771193):

* 1 ``sethookin``: set the rule for what comes in by a hook.
* 2 ``gethookin``: tell it.
* 3 ``sethookout``: set the rule for what goes out of a hook.
* 4 ``gethookout``: tell it.

Destinations are hooks by name: they may be connected later, or anew.  With a
ksocket beyond, a rule ``out`` chooses where datagrams go: ``tag_cookie=942710669
tag_id=1``, and as data the id of the ksocket (0: any) and an address.

An end-of-file mark goes all ways a rule in may send packets, and gets no tag.
Back-pressure takes the ways of the rules against the packets.

It ends by ``shutdown``, or with its last hook.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from errno import ENOENT
from typing import Annotated, Final

from ngksock.netgraph import (
    Batch,
    Fork,
    Forks,
    Hook,
    Node,
    Packet,
    Shares,
    Tag,
    command,
    send_all,
)
from ngksock.netgraph.layout import (
    CountedBytes,
    FixedString,
    LooseString,
    Struct,
    UInt8,
    UInt16,
    UInt32,
)
from ngksock.plugin import NodeType

Name = Annotated[str, FixedString(32)]


@dataclass
class HookIn:
    """What becomes of packets that come in by a hook."""

    this_hook: Name = field(default="", metadata={"name": "thisHook"})
    if_match: Name = field(default="", metadata={"name": "ifMatch"})
    if_not_match: Name = field(default="", metadata={"name": "ifNotMatch"})
    strip: UInt8 = 0
    tag_cookie: UInt32 = 0
    tag_id: UInt16 = 0
    tag_len: UInt16 = 0
    tag_data: Annotated[bytes, CountedBytes("tag_len")] = b""


@dataclass
class HookOut:
    """Which tag packets get that go out of a hook."""

    this_hook: Name = field(default="", metadata={"name": "thisHook"})
    tag_cookie: UInt32 = 0
    tag_id: UInt16 = 0
    tag_len: UInt16 = 0
    tag_data: Annotated[bytes, CountedBytes("tag_len")] = b""


NAME: Final = LooseString(32)
HOOK_IN: Final = Struct(HookIn, loose=True)
HOOK_OUT: Final = Struct(HookOut, loose=True)


class Ways(Fork):
    """
    The rules of one hook, made ready: its ``private``.

    ``wanted`` says whether its packets are searched for tags, ``mark`` is the
    tag of what goes out of the hook, or None.
    """

    __slots__ = ("mark", "rule", "wanted")

    def __init__(self, name: str) -> None:
        super().__init__()
        self.rule = HookIn(name)
        self.wanted = False
        self.mark: Tag | None = None

    def sort(self, packet: Packet) -> tuple[Hook | None, Packet]:
        """Return where *packet* goes, and what it becomes, before it goes out."""
        rule = self.rule
        for place, tag in enumerate(packet.tags if self.wanted else ()):
            if (
                tag.cookie == rule.tag_cookie
                and tag.type == rule.tag_id
                and tag.data.startswith(rule.tag_data)
            ):
                if rule.strip:
                    packet = _retagged(packet, packet.tags[:place] + packet.tags[place + 1 :])
                return self.match, packet
        return self.other, packet


def _retagged(packet: Packet, tags: tuple[Tag, ...]) -> Packet:
    """Return *packet* with other tags."""
    other = packet.replace(packet.data)
    other.tags = tags
    return other


class TagNode(Node):
    """A node that looks at tags alone."""

    def __init__(self) -> None:
        super().__init__()
        self.forks = Forks(self)
        self.marks: dict[str, HookOut] = {}

    def newhook(self, hook: Hook, name: str) -> None:
        hook.private = Ways(name)

    def connect(self, hook: Hook) -> None:
        self.forks.changed(hook.name)

    # -- packets --------------------------------------------------------------------------

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        ways: Ways = hook.private
        if packet.eof:
            send_all(ways.both, packet)
            return
        out, packet = ways.sort(packet)
        if out is not None:
            mark = out.private.mark
            out.send_data(packet if mark is None else _retagged(packet, (mark, *packet.tags)))

    def rcvbatch(self, hook: Hook, batch: Batch) -> None:
        ways: Ways = hook.private
        shares = Shares()
        for packet in batch:
            if packet.eof:
                for out in ways.both:
                    shares[out].add(packet)
                continue
            way, packet = ways.sort(packet)
            if way is not None:
                mark = way.private.mark
                if mark is not None:
                    packet = _retagged(packet, (mark, *packet.tags))
                shares[way].add(packet)
        shares.send(batch)

    def rcvflow(self, hook: Hook, high: bool) -> None:
        """Hold the hooks whose packets may go out of *hook*."""
        for other in list(self.hooks.values()):
            if hook in other.private.both:
                other.send_flow(high)

    # -- messages ---------------------------------------------------------------------------

    @command(1, arg=HOOK_IN)
    def sethookin(self, rule: HookIn) -> None:
        """Set the rule for what comes in by a hook."""
        ways: Ways = self._hook(rule.this_hook).private
        ways.rule = rule
        ways.wanted = bool(rule.tag_cookie or rule.tag_id)
        self.forks.lead(ways, rule.if_match if ways.wanted else "", rule.if_not_match)

    @command(2, arg=NAME, resp=HOOK_IN)
    def gethookin(self, name: str) -> HookIn:
        """Tell the rule for what comes in by a hook."""
        ways: Ways = self._hook(name).private
        return ways.rule

    @command(3, arg=HOOK_OUT)
    def sethookout(self, rule: HookOut) -> None:
        """Set the rule for what goes out of a hook."""
        hook = self._hook(rule.this_hook)
        self.marks[hook.name] = rule
        wanted = rule.tag_cookie or rule.tag_id
        hook.private.mark = Tag(rule.tag_cookie, rule.tag_id, rule.tag_data) if wanted else None

    @command(4, arg=NAME, resp=HOOK_OUT)
    def gethookout(self, name: str) -> HookOut:
        """Tell the rule for what goes out of a hook."""
        return self.marks.get(self._hook(name).name) or HookOut(name)

    def _hook(self, name: str) -> Hook:
        hook = self.hooks.get(name)
        if hook is None:
            raise OSError(ENOENT, f'node {self!r} has no hook "{name}"')
        return hook

    def config(self) -> list[str]:
        lines = []
        for name, hook in self.hooks.items():
            if hook.private.rule != HookIn(name):
                lines.append(f"msg . sethookin {HOOK_IN.unparse(hook.private.rule)}")
        for name, rule in self.marks.items():
            if rule != HookOut(name):
                lines.append(f"msg . sethookout {HOOK_OUT.unparse(rule)}")
        return lines

    def status(self) -> str:
        rules = sum(hook.private.wanted for hook in self.hooks.values())
        marks = sum(hook.private.mark is not None for hook in self.hooks.values())
        return f"{len(self.hooks)} hooks: {rules} look for tags, {marks} put tags on"

    # -- the end ----------------------------------------------------------------------------

    def disconnect(self, hook: Hook) -> None:
        self.marks.pop(hook.name, None)
        self.forks.forget(hook.private)
        self.forks.changed(hook.name)
        super().disconnect(hook)


tag = NodeType("tag", 1149771193, TagNode)
