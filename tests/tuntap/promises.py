"""What iface and eiface have to show alike."""

from __future__ import annotations

import platform
from errno import (
    EACCES,
    EAGAIN,
    EBUSY,
    EEXIST,
    EINVAL,
    EIO,
    EMFILE,
    ENOBUFS,
    ENODEV,
    ENOENT,
    ENOMEM,
    ENXIO,
    EOPNOTSUPP,
    EPERM,
)
from functools import partial
from typing import Any

from ngksock.netgraph import EOF, Message, Node
from ngksock.netgraph.edges import mkpeer
from ngksock.netgraph.port import GraphPort
from ngksock.plugin import NodeType, find_type
from ngksock.testing import GraphTestCase, Sandbox, check_node_type
from tests.tuntap.memory import MemoryDevice, MemoryLinux, device_of, in_memory, linux_of, reader_of


class InterfaceCase(GraphTestCase):
    """A case with the node ``i:``, whose hooks lead to hooks of the same names of the test."""

    kind: NodeType
    """The type."""
    hooks: tuple[str, ...]
    """All it has."""
    cookie: int
    """Of what FreeBSD's type does not have."""
    first: str
    """What the first device is called."""
    largest: int
    """The greatest MTU."""
    good: bytes
    """A packet it takes by the first of *hooks*."""

    def setUp(self) -> None:
        super().setUp()
        self.linux = linux_of(self.net)
        one, *others = self.hooks
        self.graph(f"mkpeer {self.kind.name} {one} {one}", f"name {one} i")
        self.graph(*(f"connect i: {name} {name}" for name in others))
        self.local.forget()

    @property
    def device(self) -> MemoryDevice:
        """The device of ``i:``, as Linux sees it."""
        return device_of(self.node("i:"))

    def round(self) -> Any:
        """Read the device once, as the reactor does; return what the reactor is told."""
        return reader_of(self.node("i:")).doRead()

    def sends(self, *datas: bytes) -> None:
        """Let the interface send packets."""
        self.device.readBuffer.extend(datas)
        self.assertIsNone(self.round())

    def sentence(self, line: str) -> str:
        """Return the words with which a line fails."""
        return str(self.assertRaises(OSError, self.graph, line))


class Promises:
    """The tests; to be mixed into an `InterfaceCase`."""

    def test_conforms(self: Any) -> None:
        """It keeps the promises of all types, whether its interface is up or down."""
        kind = NodeType(self.kind.name, self.kind.cookie, in_memory(self.kind.constructor))
        for setup in ([], ["up"], ['setifname "lan\xe90"', "setmtu 1400", "up"]):
            check_node_type(kind, hooks=self.hooks, setup=setup, examples=20)

    def test_found(self: Any) -> None:
        """Its name finds it."""
        self.assertIs(self.kind, find_type(self.kind.name))

    def test_own_rows(self: Any) -> None:
        """What FreeBSD does not have is under a cookie of ours."""
        rows = [
            (row.cmd, row.name, row.arg and row.arg.minsize, row.resp and row.resp.size)
            for row in self.kind.commands.all
            if row.cookie == self.cookie
        ]
        self.assertEqual(
            [
                (1, "setifname", 1, None),
                (2, "setmtu", 4, None),
                (3, "getmtu", None, 4),
                (4, "up", None, None),
                (5, "down", None, None),
            ],
            rows,
        )

    def test_persists(self: Any) -> None:
        """It lives without hooks, and keeps its device, till shutdown removes both."""
        self.graph(*(f"rmhook {name}" for name in self.hooks))
        self.assertEqual(1, len(self.linux.devices))
        self.assertEqual(f"{self.first} down, mtu 1500", self.node("i:").status())
        hook = self.hooks[0]
        self.graph(f"connect i: {hook} {hook}")  # and that is no second device
        self.assertEqual(1, len(self.linux.devices))
        self.graph("shutdown i:")
        self.assertEqual([], self.linux.devices)
        self.assertEqual(set(), {*self.clock.getReaders()})

    def test_names(self: Any) -> None:
        """Linux gives the lowest number that is free, and getifname tells it in 16 bytes."""
        stem = self.first.removesuffix("0")
        self.linux.others.add(f"{stem}1")
        self.graph(*(f"mkpeer {self.kind.name} x{n} {self.hooks[0]}" for n in range(2)))
        for path, name in (("i:", self.first), (".:x0", f"{stem}2"), (".:x1", f"{stem}3")):
            self.assertEqual(f'"{name}"', self.msg(path, "getifname"))
        self.net.send(self.local, "i:", Message(self.kind.cookie, 1))
        answer = self.local.inbox.pop().message
        self.assertEqual(self.first.encode().ljust(16, b"\0"), answer.data)

    def test_setifname(self: Any) -> None:
        """It is renamed at once, to its own name too, and others' names are EEXIST."""
        self.assertIsNone(self.msg("i:", 'setifname "lan0"'))
        self.assertEqual("lan0", self.device.name)
        self.assertEqual('"lan0"', self.msg("i:", "getifname"))
        self.assertIsNone(self.msg("i:", 'setifname "lan0"'))
        self.assertEqual(EEXIST, self.errno('msg i: setifname "eth0"'))
        self.assertIn("another interface eth0", self.sentence('msg i: setifname "eth0"'))
        self.assertEqual("lan0", self.device.name)

    def test_setifname_up(self: Any) -> None:
        """Where Linux does not rename what is up, that is EBUSY, and says what to do."""
        self.graph("msg i: up")
        self.device.renames_up = False
        self.assertEqual(EBUSY, self.errno('msg i: setifname "lan0"'))
        self.assertIn("say down first", self.sentence('msg i: setifname "lan0"'))
        self.graph("msg i: down", 'msg i: setifname "lan0"')

    def test_bad_names(self: Any) -> None:
        """What is no name of an interface is EINVAL, and nothing is changed."""
        for name in ("", "x" * 16, ".", "..", "a/b", "a b", "a:b", r"a\tb", "a%d", r"\xa0"):
            self.assertEqual(EINVAL, self.errno(f'msg i: setifname "{name}"'), name)
        self.assertEqual(self.first, self.device.name)
        self.assertEqual([], self.node("i:").config())
        self.assertIn("1 to 15 bytes, not 16", self.sentence(f'msg i: setifname "{"x" * 16}"'))

    def test_odd_names(self: Any) -> None:
        """All other bytes may be in a name, and come back in answer and config."""
        for name in (r"\x01\xff", r"q\"\\", "...", "a" * 15, "'#;[{$"):
            self.graph(f'msg i: setifname "{name}"')
            self.assertEqual(f'"{name}"', self.msg("i:", "getifname"))
            self.assertEqual([f'msg . setifname "{name}"'], self.node("i:").config())

    def test_mtu(self: Any) -> None:
        """The MTU is 1500 at first, and may be as Linux allows."""
        self.assertEqual("1500", self.msg("i:", "getmtu"))
        for mtu in (68, 9000, self.largest, 1500):
            self.assertIsNone(self.msg("i:", f"setmtu {mtu}"))
            self.assertEqual(mtu, self.device.mtu)
            self.assertEqual(str(mtu), self.msg("i:", "getmtu"))
        for mtu in (0, 67, self.largest + 1, -1, 1 << 31):
            self.assertEqual(EINVAL, self.errno(f"msg i: setmtu {mtu}"), mtu)
        self.assertIn(f"mtu 67 is not in 68..{self.largest}", self.sentence("msg i: setmtu 67"))
        self.assertEqual(1500, self.device.mtu)

    def test_up(self: Any) -> None:
        """Up and down are the flag of the interface; its other flags stay; twice is once."""
        for message, up in (("up", True), ("up", True), ("down", False), ("down", False)):
            self.assertIsNone(self.msg("i:", message))
            self.assertIs(up, self.device.up)
            word = "up" if up else "down"
            self.assertEqual(f"{self.first} {word}, mtu 1500", self.node("i:").status())

    def test_down(self: Any) -> None:
        """While it is down what is sent to it is EIO."""
        with self.assertRaises(OSError) as caught:
            self.send(self.hooks[0], self.good)
        self.assertEqual(EIO, caught.exception.errno)
        self.assertIn(f"{self.first}: the interface is down", str(caught.exception))
        self.send_batch(self.hooks[0], [self.good] * 3)
        self.assertEqual({EIO: 4}, self.local.hooks[self.hooks[0]].drops)
        self.assertEqual([], list(self.device.writeBuffer))

    def test_sent(self: Any) -> None:
        """What arrives is written at once, in order, views too; marks are swallowed."""
        self.graph("msg i: up")
        self.send(self.hooks[0], self.good)
        longer = self.good + bytes(range(256)) * 5
        self.send_batch(self.hooks[0], [longer, EOF, self.good])
        self.send(self.hooks[0], EOF)
        self.assertEqual([self.good, longer, self.good], list(self.device.writeBuffer))
        self.assertEqual({}, self.local.hooks[self.hooks[0]].drops)

    def test_refused(self: Any) -> None:
        """One packet that is refused costs itself alone; no room is ENOBUFS, never a wait."""
        self.graph("msg i: up")
        self.send_batch(self.hooks[0], [self.good, b"", b"x", self.good])
        self.assertEqual([self.good] * 2, list(self.device.writeBuffer))
        drops = self.local.hooks[self.hooks[0]].drops
        self.assertEqual({EINVAL: 2}, drops)
        for errno in (ENOBUFS, EAGAIN, ENOMEM):
            self.device.failure = errno
            send = partial(self.send, self.hooks[0], self.good)
            self.assertEqual(ENOBUFS, self.errno(send))
        self.assertEqual({EINVAL: 2, ENOBUFS: 3}, drops)

    def test_rounds(self: Any) -> None:
        """Of many packets 64 are read at a time, and leave as one batch; order is kept."""
        datas = [self.good + number.to_bytes(2) for number in range(150)]
        self.device.readBuffer.extend(datas)
        counts = []
        for _ in range(4):
            self.assertIsNone(self.round())
            counts.append(len(self.received[self.hooks[0]]))
        self.assertEqual([64, 128, 150, 150], counts)
        self.assertEqual({self.hooks[0]: datas}, self.received)

    def test_records(self: Any) -> None:
        """What the interface sends are records: where there is no room they may be lost."""
        seen = []
        self.local.hooks[self.hooks[0]].node.rcvdata = lambda hook, packet: seen.append(packet)
        self.graph(f"rmhook {self.hooks[0]}", f"connect i: {self.hooks[0]} {self.hooks[0]}")
        self.sends(self.good, self.good)
        self.assertEqual([True, True], [packet.record for packet in seen])

    def test_unread(self: Any) -> None:
        """Without a hook packets of the interface are dropped, counted in the status."""
        self.graph(f"rmhook {self.hooks[0]}")
        self.sends(self.good, self.good)
        self.assertEqual({}, self.received)
        self.assertEqual(
            f"{self.first} down, mtu 1500; 2 dropped for lack of a hook", self.node("i:").status()
        )

    def test_flow(self: Any) -> None:
        """A full sink beyond a hook holds nobody, and what the interface sends still leaves."""
        self.local.hooks[self.hooks[0]].send_flow(True)
        self.sends(self.good)
        self.assertEqual([self.good], self.received[self.hooks[0]])
        self.assertEqual([False] * len(self.hooks), [h.high for h in self.local.hooks.values()])
        self.local.hooks[self.hooks[0]].send_flow(False)

    def test_unprivileged(self: Any) -> None:
        """Where a privilege is missing mkpeer is EPERM, names it, and leaves nothing."""
        line = f"mkpeer {self.kind.name} x {self.hooks[0]}"
        for lacking in ("open", "ioctl"):
            self.linux.permissions.remove(lacking)
            self.assertEqual(EPERM, self.errno(line))
            self.assertIn("CAP_NET_ADMIN", self.sentence(line))
            self.linux.permissions.add(lacking)
            self.assertEqual(1, len(self.linux.devices))
        self.assertNotIn("x", self.local.hooks)

    def test_changes_unprivileged(self: Any) -> None:
        """When the privilege is given up later, changes are EPERM, and packets pass."""
        self.graph("msg i: up")
        self.linux.permissions.remove("control")
        for text in ("down", "setmtu 1400", 'setifname "x"'):
            self.assertEqual(EPERM, self.errno(f"msg i: {text}"), text)
            self.assertIn("CAP_NET_ADMIN", self.sentence(f"msg i: {text}"))
        self.send(self.hooks[0], self.good)
        self.assertEqual(["msg . up"], self.node("i:").config())

    def test_no_device(self: Any) -> None:
        """Without /dev/net/tun, or on another system than Linux, mkpeer is EOPNOTSUPP."""
        line = f"mkpeer {self.kind.name} x {self.hooks[0]}"
        self.net.shared["tuntap"] = MemoryLinux(absent=True)
        self.assertEqual(EOPNOTSUPP, self.errno(line))
        self.assertIn("modprobe tun", self.sentence(line))
        self.patch(self.net.shared["tuntap"], "open", _raiser(EACCES))
        self.assertEqual(EPERM, self.errno(line))
        self.patch(self.net.shared["tuntap"], "open", _raiser(ENOMEM))
        self.assertEqual(ENOMEM, self.errno(line))
        self.patch(self.net.shared["tuntap"], "open", _raiser(ENOENT))
        self.assertEqual(EOPNOTSUPP, self.errno(line))
        self.patch(platform, "system", lambda: "Darwin")
        self.assertIn("on Linux alone, not on Darwin", self.sentence(line))
        self.net.shared["tuntap"] = self.linux

    def test_moved(self: Any) -> None:
        """In another namespace packets pass; what Linux does by name is ENODEV, and says so."""
        self.graph("msg i: setmtu 1400", "msg i: up")
        self.device.here = False
        self.linux.others.add(self.first)  # a namesake of it, which is not touched
        for text in ("up", "down", "setmtu 1400", "getmtu", 'setifname "x"'):
            self.assertEqual(ENODEV, self.errno(f"msg i: {text}"), text)
            self.assertIn("another network namespace", self.sentence(f"msg i: {text}"))
        self.device.name = "inside0"
        self.assertEqual('"inside0"', self.msg("i:", "getifname"))
        self.assertEqual("inside0, in another network namespace", self.node("i:").status())
        self.send(self.hooks[0], self.good)
        self.sends(self.good)
        self.assertEqual([self.good], self.received[self.hooks[0]])
        self.assertEqual(
            ['msg . setifname "inside0"', "msg . setmtu 1400", "msg . up"],
            self.node("i:").config(),
        )

    def test_unasked(self: Any) -> None:
        """Where Linux cannot be asked just now, the status tells what was known last."""
        self.graph("msg i: setmtu 1400", "msg i: up")
        self.patch(self.linux, "is_here", _raiser(EMFILE))
        self.assertEqual(EMFILE, self.errno("msg i: down"))
        self.assertEqual(f"{self.first} up, mtu 1400", self.node("i:").status())
        self.assertEqual(["msg . setmtu 1400", "msg . up"], self.node("i:").config())

    def test_removed(self: Any) -> None:
        """A device that somebody removed is reported once; the node answers ENXIO, and stays."""
        self.graph('msg i: setifname "lan0"', "msg i: up")
        self.device.gone = True
        error = self.round()
        self.assertIsInstance(error, OSError)
        reader_of(self.node("i:")).connectionLost(error)  # as the reactor does then
        self.assertEqual(
            [f"{self.kind.name} i: the interface lan0 was removed by somebody"],
            self.sandbox.reports,
        )
        self.assertEqual([], self.clock.getReaders())
        self.assertEqual([], self.linux.devices)
        for text in ("up", "down", "setmtu 1400", "getmtu", 'setifname "x"', "getifname"):
            self.assertEqual(ENXIO, self.errno(f"msg i: {text}"), text)
        self.assertEqual(ENXIO, self.errno(partial(self.send, self.hooks[0], self.good)))
        self.assertEqual("lan0, removed by somebody", self.node("i:").status())
        self.assertEqual(['msg . setifname "lan0"', "msg . up"], self.node("i:").config())
        reader_of(self.node("i:")).connectionLost(error)
        self.assertEqual(1, len(self.sandbox.reports))

    def test_removed_unnoticed(self: Any) -> None:
        """What is asked before the reactor has noticed is ENXIO as well."""
        self.device.gone = True
        self.assertEqual(ENXIO, self.errno("msg i: up"))
        self.assertEqual(ENXIO, self.errno(partial(self.send, self.hooks[0], self.good)))
        self.assertEqual(f"{self.first}, removed by somebody", self.node("i:").status())

    def test_before_hooks(self: Any) -> None:
        """A node that never had a hook has no device; its messages are ENXIO."""
        node = self.net.make(self.kind)
        self.net.rename(node, "bare")
        for text in ("up", "getmtu", "setmtu 1400", 'setifname "x"'):
            self.assertEqual(ENXIO, self.errno(f"msg bare: {text}"), text)
        self.assertEqual("no interface yet", node.status())
        self.assertEqual([], node.config())

    def test_config(self: Any) -> None:
        """It says what was asked, and what others have done: name, MTU and up."""
        node = self.node("i:")
        self.assertEqual([], node.config())
        self.device.up, self.device.mtu, self.device.name = True, 9000, "byhand0"
        lines = ['msg . setifname "byhand0"', "msg . setmtu 9000", "msg . up"]
        self.assertEqual(lines, node.config())
        self.device.up, self.device.mtu = False, 1500
        self.assertEqual(['msg . setifname "byhand0"', "msg . setmtu 1500"], node.config())
        # A name that was asked for is told even if it is the one Linux would choose.
        self.graph(f'msg i: setifname "{self.first}"')
        self.assertEqual(f'msg . setifname "{self.first}"', node.config()[0])

    def test_dry_run(self: Any) -> None:
        """In a dry run nothing is opened, and all that can be checked is."""
        sandbox = Sandbox(checking=True)
        sandbox.graph.shared["tuntap"] = MemoryLinux(absent=True)
        node = self._dry(sandbox)
        self.assertEqual("[]", str(node.config()))
        self.assertEqual(f"{self.first} down, mtu 1500", node.status())
        told = partial(self._tell, sandbox, node)
        for text in ('setifname "a b"', "setmtu 1", 'setifname "x%d"'):
            self.assertEqual(EINVAL, self.errno(partial(told, text)), text)
        for text in ('setifname "lan0"', "setmtu 1400", "up", "getifname", "getmtu"):
            told(text)
        self.assertEqual(["1400", '"lan0"'], [self.heard.pop(), self.heard.pop()])
        lines = ['msg . setifname "lan0"', "msg . setmtu 1400", "msg . up"]
        self.assertEqual(lines, node.config())
        self.assertEqual("lan0 up, mtu 1400", node.status())
        self.assertEqual(ENXIO, self.errno(partial(sandbox.local.send, self.hooks[0], self.good)))
        sandbox.close()

    def _dry(self: Any, sandbox: Sandbox) -> Node:
        self.heard: list[str] = []
        hook = self.hooks[0]
        return mkpeer(sandbox.graph, sandbox.local, self.kind.name, hook, hook)

    def _tell(self: Any, sandbox: Sandbox, node: Node, text: str) -> None:
        name, _, args = text.partition(" ")
        port = GraphPort(sandbox.graph, sandbox.local, inbox=sandbox.local.inbox)
        port.send(f"[{node.id:x}]:", port.encode(f"[{node.id:x}]:", name, args))
        while sandbox.local.inbox:
            answer = port.decode(f"[{node.id:x}]:", sandbox.local.inbox.popleft().message)
            assert answer is not None
            self.heard.append(answer.data[:-1].decode("latin-1"))


def _raiser(errno: int) -> Any:
    def fail(*args: object) -> None:
        raise OSError(errno, "as the test said")

    return fail
