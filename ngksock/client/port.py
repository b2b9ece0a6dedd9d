"""A session's way into the graph of a daemon."""

from __future__ import annotations

from collections.abc import Iterable
from errno import EHOSTUNREACH, EINVAL, ENOENT, ENOSYS
from typing import Final, TypeVar

from ngksock.client.channel import NoAnswerError
from ngksock.client.nodesocket import NodeSocket
from ngksock.netgraph.controlforms import Description
from ngksock.netgraph.generic import READS, HookList, MkPeer, NameList, NodeInfo, TypeList
from ngksock.netgraph.layout import STRING, ParseType, Prefixed, Struct
from ngksock.netgraph.message import CONTROL_COOKIE, GENERIC_COOKIE, HASREPLY, Message
from ngksock.netgraph.path import Path

__all__ = ["GRACE", "ClientPort"]

T = TypeVar("T")

GRACE: Final = 0.25
"""Seconds that an answer may take that need not come."""
MKPEER: Final = 2
_EXPLAINED: Final = 3
"""How many hooks into a path are looked at to say which of them is wrong."""


class ClientPort:
    """
    A `ngksock.netgraph.session.Port` to the daemon behind a `NodeSocket`.

    The daemon says an errno and no more: the sentence that goes with it is
    made here, by asking what there is.

    Args:
        node: The node that sends, and to which replies go.
        wait: Seconds to wait for the reply to an ASCII message; None: for
            such a reply alone as is announced, and no longer than `GRACE`.
    """

    def __init__(self, node: NodeSocket, wait: float | None = None) -> None:
        self.node = node
        self.wait = wait
        self._awaited: tuple[int, float] | None = None

    # -- what a session asks for

    def send(self, path: str, message: Message) -> None:
        token = self.node.next_token()
        try:
            done = self.node.send(path, message.with_token(token))
        except OSError as error:
            raise self._explained(path, message, error) from error
        asked = message.cookie != GENERIC_COOKIE or message.cmd & HASREPLY
        if asked and self.wait is not None:
            self._awaited = token, self.wait
        elif not done:
            self._awaited = token, GRACE

    def request(self, path: str, message: Message) -> bytes:
        sure = message.cmd & HASREPLY
        try:
            return self.node.ask(path, message, None if sure else GRACE).message.data
        except NoAnswerError as error:
            if sure:
                raise
            raise OSError(ENOSYS, f'node "{path}" gave no answer') from error
        except OSError as error:
            raise self._explained(path, message, error) from error

    def encode(self, path: str, name: str, text: str) -> Message:
        try:
            return self.node.encode(path, f"{name} {text}")
        except OSError as error:
            if error.errno == ENOENT and (missing := self._missing(path)):
                raise OSError(ENOENT, missing) from error
            if error.errno == ENOSYS and (kind := self._kind(path)):
                raise OSError(ENOSYS, f'a {kind} has no message "{name}"') from error
            if isinstance(error, NoAnswerError) or not (takes := self._takes(path, name)):
                raise
            raise OSError(error.errno, takes) from error

    def received(self) -> list[tuple[str, Message]]:
        if self._awaited is not None:
            token, seconds = self._awaited
            self._awaited = None
            self._wait_for(token, seconds)
        found: list[tuple[str, Message]] = []
        try:
            while True:
                found.append(self.node.recv_msg(0))
        except NoAnswerError:
            return found

    def _wait_for(self, token: int, seconds: float) -> None:
        try:
            address, message = self.node.response(token, seconds)
        except NoAnswerError:
            if self.wait is not None:
                raise
        else:
            self.node.put_back(address, message)

    def decode(self, address: str, message: Message) -> Message | None:
        try:
            return self.node.decode(address, message)
        except OSError:
            return None  # it is not of that type, or has ended

    def write(self, hook: str, data: bytes) -> None:
        self.node.open_data()
        try:
            self.node.send_data(hook, data)
        except OSError as error:
            if error.errno == EHOSTUNREACH:
                raise OSError(EHOSTUNREACH, f'this node has no hook "{hook}"') from error
            raise

    def names(self) -> Iterable[str]:
        return [info.name for info in self.nodes() if info.name]

    def types(self) -> Iterable[str]:
        used = self.ask(".", 10 | READS, Struct(TypeList)).typeinfo
        unused = self.ask(".", 4 | READS, Prefixed(STRING), CONTROL_COOKIE)
        return sorted({*(info.typename for info in used), *unused})

    def hooks(self, path: str) -> Iterable[str]:
        return [link.ourhook for link in self.hooklist(path).linkinfo]

    def messages(self, path: str) -> Iterable[str]:
        return [command.name for command in self.describe(path).commands]

    # -- more, for programs

    def ask(self, path: str, cmd: int, layout: ParseType[T], cookie: int = GENERIC_COOKIE) -> T:
        """Return the answer to a request without arguments; cmd has the has-reply bit."""
        return layout.unpack(self.request(path, Message(cookie, cmd)))

    def nodes(self) -> list[NodeInfo]:
        """Return all nodes, by ascending id."""
        return self.ask(".", 9 | READS, Struct(NameList)).nodeinfo

    def nodeinfo(self, path: str) -> NodeInfo:
        """Return what there is to know of the node at *path*."""
        return self.ask(path, 6 | READS, Struct(NodeInfo))

    def hooklist(self, path: str) -> HookList:
        """Return the hooks of the node at *path*, the newest first."""
        return self.ask(path, 7 | READS, Struct(HookList))

    def describe(self, path: str) -> Description:
        """Return what the type of the node at *path* says of itself."""
        return self.ask(path, 1 | READS, Struct(Description), CONTROL_COOKIE)

    # -- sentences

    def _explained(self, path: str, message: Message, error: OSError) -> OSError:
        """Return *error* with a sentence in it, if there is something to say."""
        if error.errno != ENOENT or isinstance(error, NoAnswerError):
            return error
        text = self._missing(path)
        if not text and message.cookie == GENERIC_COOKIE and message.cmd == MKPEER:
            text = f'there is no node type "{Struct(MkPeer).unpack(message.data).type}"'
        elif not text and message.cookie == GENERIC_COOKIE and message.data:
            far = message.data.split(b"\0", 1)[0].decode("latin-1")  # of a connect
            text = self._missing(far, ".:" if path == "." else path)
        return OSError(ENOENT, text) if text else error

    def _missing(self, path: str, start: str = ".:") -> str:
        """Say which part of *path* is not there, "" if all is."""
        try:
            node, hooks = Path.parse(path)
            at = start if node is None else f"{node}:"
            if node is not None and not self._is_there(at):
                return f'there is no node "{at}"'
            for hook in hooks[:_EXPLAINED]:
                links = self._bare(at, 7 | READS, Struct(HookList)).linkinfo
                if hook not in [link.ourhook for link in links]:
                    return f'{self._called(at)} has no hook "{hook}"'
                at = f"{at}{hook}" if at.endswith(":") else f"{at}.{hook}"
        except OSError:
            pass  # what was to be explained is worth more
        return ""

    def _bare(self, path: str, cmd: int, layout: ParseType[T]) -> T:
        """Return an answer; an error explains itself no further."""
        return layout.unpack(self.node.request(path, GENERIC_COOKIE, cmd).data)

    def _called(self, path: str) -> str:
        info = self._bare(path, 6 | READS, Struct(NodeInfo))
        if info.id == self.node.id:
            return "this program's node"
        return f"node {info.name or f'[{info.id:x}]'}"

    def _is_there(self, path: str) -> bool:
        try:
            self._bare(path, 6 | READS, Struct(NodeInfo))
        except OSError as error:
            if error.errno in (ENOENT, EINVAL):
                return False
            raise
        return True

    def _kind(self, path: str) -> str:
        try:
            return self._bare(path, 6 | READS, Struct(NodeInfo)).type
        except OSError:
            return ""

    def _takes(self, path: str, name: str) -> str:
        """Say what the arguments of a message look like, "" if nobody knows."""
        try:
            found = [row for row in self.describe(path).commands if row.name == name]
        except OSError:
            return ""
        if not found:
            return ""
        return f"{name} takes {found[0].arg or 'no argument'}"
