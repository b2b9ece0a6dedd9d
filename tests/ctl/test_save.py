"""``ngkctl save``: what is saved makes the same graph, and it works."""

from __future__ import annotations

import os
import re
import socket
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from ngksock.client import connect
from tests.certificates import SERVER, pem_of
from tests.client.daemon import Daemon
from tests.ctl.conversation import ngkctl
from tests.integration.namespaces import need
from tests.integration.service import EXAMPLES, free_port, until

ODD = """\
mkpeer hub boot boot
name boot "test hub"
mkpeer "test hub:" tee a left
connect "test hub:a" "test hub:" right b
mkpeer "test hub:a" one2many left2right many3
mkpeer "test hub:a.left2right" one2many one many0
msg "test hub:a.left2right" setconfig { xmitAlg=2 failAlg=1 enabledLinks=[ 3=1 ] }
mkpeer hub lone x
msg lone setpersistent
rmhook lone
mkpeer hub un x
msg un setpersistent
mkpeer un hub a b
mkpeer un hub c d
connect un.a b.c x y
connect un .: s t
mkpeer hub self p
msg self setpersistent
connect self . e f
mkpeer echo named e
name named #7
mkpeer #7: hole f g
"""
"""Names with blanks, circles, links to itself, nodes without names and without hooks."""

EDITED = """\
mkpeer hub boot boot
name boot fan
mkpeer fan: hole out in
connect fan: fan: one two
msg fan: insert { hook="out" type="tee" in="left" out="right" name="tap" }
msg tap: insert { hook="right" type="pipe" in="upper" out="lower" }
msg fan: insert { hook="two" type="hub" in="a" out="b" name="loop" }
mkpeer tap: hole left2right in
msg fan:out.right setcfg { delay=1000 }
msg fan: insert { hook="out" type="hub" in="x" out="y" name="gone" }
msg gone: bypass { in="x" out="y" }
rmhook boot
"""
"""Links that were edited while they were in use."""

SWITCHES = """\
mkpeer hub boot a
name boot first
mkpeer first: bridge b link0
name first:b private
connect private: private:link0 uplink3 c
msg private: setprivate 1
msg private: setconfig { loopTimeout=5 maxStaleness=300 minStableAge=2 }
mkpeer private: bridge link1 uplink1
name private:link1 classic
mkpeer classic: hole link7 x
msg classic: setprivate 0
mkpeer classic: macfilter link2 ether
name classic:link2 sort
mkpeer sort: hole out1 x
mkpeer sort: hole "two words" x
msg sort: direct { ether=02:00:00:00:00:01 hookname="two words" }
msg sort: direct { ether=02:00:00:00:00:02 hookname="out1" }
mkpeer bridge lone uplink1
name lone lone
msg lone: setpersistent
rmhook lone
rmhook boot
"""
"""Bridges of both modes, whose hooks are saved in another order, and a macfilter."""

SORTERS = """\
mkpeer hub boot a
name boot first
mkpeer first: vlan b downstream
name first:b tags
mkpeer tags: vlan_rotate "v 1 #" original
name "tags:v 1 #" turn
mkpeer tags: vlan nomatch downstream
name tags:nomatch inner
msg tags: addfilter { hook="v 1 #" vlan=1 pcp=7 cfi=1 }
msg tags: setdecap -1
msg tags: setencap 3
msg inner: setencapproto 0x88a8
mkpeer turn: split ordered in
name turn:ordered part
mkpeer turn: hole excessive x
msg turn: setconf { rot=-2 min=1 max=5 }
mkpeer part: bpf mixed z
name part:mixed sort
mkpeer sort: rfc1490 a downstream
name sort:a relay
mkpeer sort: hole b x
msg relay: setencap "cisco"
msg sort: setdump { thisHook="z" ifMatch="b" ifNotMatch="later" \
    dump="4 40 0 0 12 21 0 1 2048 6 0 0 4294967295 6 0 0 0" }
msg sort: setfilter { thisHook="a" ifMatch="z" filter="udp port 53" dlt=12 snaplen=99 }
mkpeer relay: tag inet in
name relay:inet mark
mkpeer relay: hole ppp x
mkpeer mark: patch out inside
name mark:out fix
msg mark: sethookin { thisHook="in" ifMatch="out" ifNotMatch="none" strip=1 tag_id=7 \
    tag_len=3 tag_data=[ 0 2=9 ] }
msg mark: sethookout { thisHook="out" tag_cookie=-1 tag_len=2 }
msg fix: setdlt 1
msg fix: setconfig { count=2 csum_flags=-1 relative_offset=1 ops=[ { length=8 value=-1 mode=99 } \
    { offset=-1 length=2 mode=5 } ] }
mkpeer fix: checksum outside in
name fix:outside sum
msg sum: setconfig { csum_flags=0xf0f csum_offload=5 }
msg sum: setdlt 1
rmhook boot
"""
"""All that sorts or changes packets, with odd settings."""


class SaveTests(SynchronousTestCase):
    """Saved, loaded, and saved again."""

    maxDiff = None

    def saved(self, running: Daemon) -> str:
        """Return the saved graph of a daemon."""
        code, text = ngkctl(running.path, "save")
        self.assertEqual(0, code, text)
        return text

    def shape(self, running: Daemon) -> list[list[object]]:
        """Return types, names and links of a graph, without its ids."""
        with connect(None, running.path, data=False) as node:
            lists = re.findall(r"id=0x(\w+)", node.request_ascii(".", "listnodes"))
            found = []
            for number in lists:
                text = node.request_ascii(f"[{number}]:", "listhooks")
                if 'type="socket"' not in text.split("linkinfo")[0]:
                    found.append(sorted(re.findall(r'(?:name|type|hook)="([^"]*)"', text)))
        return sorted(found)

    def round_trip(self, graph: str) -> str:
        """Assert that saving and loading *graph* changes nothing; return what is saved."""
        with Daemon(graph) as first:
            text, shape = self.saved(first), self.shape(first)
        with Daemon(text) as second:
            self.assertEqual(text.split("\n"), self.saved(second).split("\n"))
            self.assertEqual(shape, self.shape(second))
        return text

    def example(self, name: str) -> tuple[str, dict[int, int]]:
        """Return an example with free ports, and which they are."""
        text = (EXAMPLES / name).read_text(encoding="utf-8")
        text = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))
        folder = tempfile.TemporaryDirectory(prefix="ngk")
        self.addCleanup(folder.cleanup)
        pem = Path(folder.name, "server.pem")
        pem.write_bytes(pem_of(SERVER))
        text = text.replace("server.pem", str(pem))
        text = text.replace("/tmp/ngksock-example.sock", f"{folder.name}/example.sock")
        ports: dict[int, int] = {}
        for found in re.findall(r"(?<=[\d\]]):(\d+)\b", text):
            ports.setdefault(int(found), free_port())
        return re.sub(r"(?<=[\d\]]):(\d+)\b", lambda m: f":{ports[int(m[1])]}", text), ports

    def test_examples(self) -> None:
        """Each example: loaded, what is saved of it gives the same graph and the same text."""
        # Those with addresses of other hosts need network namespaces, which they are given by
        # tests.integration.test_saved.
        paths = [path for path in EXAMPLES.glob("*.ng") if "192.0.2." not in path.read_text()]
        names = sorted(path.name for path in paths)
        self.assertGreater(len(names), 13)
        for name in names:
            text = self.round_trip(self.example(name)[0])
            self.assertGreater(text.count("\n"), 5, name)

    def test_bridge(self) -> None:
        """So it is with bridge.ng, whose devices need privileges."""
        need()
        self.assertGreater(self.round_trip(self.example("bridge.ng")[0]).count("\n"), 5)

    def test_odd(self) -> None:
        """A graph of oddities comes back as it was."""
        self.round_trip(ODD)

    def test_edited(self) -> None:
        """What insert and bypass left is saved as any other graph."""
        text = self.round_trip(EDITED)
        self.assertNotIn("insert", text)
        self.assertNotIn("gone", text)
        self.assertIn("pipe", text)

    def test_switches(self) -> None:
        """Modes, persistence and addresses are saved, whichever hook is made first."""
        text = self.round_trip(SWITCHES)
        for line in (
            "msg private: setconfig { loopTimeout=5 maxStaleness=300 minStableAge=2 }",
            "msg private: setprivate 1",
            "msg classic: setprivate 0",
            "msg lone: setpersistent",
            "msg lone: setprivate 1",
            'msg sort: direct { ether=02:00:00:00:00:01 hookname="two words" }',
        ):
            self.assertIn(f"{line}\n", text)

    def test_sorters(self) -> None:
        """Types that sort or change packets keep even odd settings."""
        text = self.round_trip(SORTERS)
        self.assertEqual(SORTERS.count("\nmsg "), text.count("\nmsg "), text)

    def test_empty(self) -> None:
        """An empty graph is a heading."""
        self.assertEqual("# Made by ngkctl save.\n", self.round_trip(""))

    def test_traffic(self) -> None:
        """What was saved of fanout.ng sends a datagram to all three receivers."""
        text, ports = self.example("fanout.ng")
        with Daemon(text) as first:
            saved = self.saved(first)
        receivers = []
        for number in (9001, 9002, 9003):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.addCleanup(sock.close)
            sock.bind(("127.0.0.1", ports[number]))
            sock.settimeout(10)
            receivers.append(sock)
        with Daemon(saved), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"hello", ("127.0.0.1", ports[9000]))
            self.assertEqual([b"hello"] * 3, [sock.recv(100) for sock in receivers])

    def test_traffic_back(self) -> None:
        """What was saved of udp-reply.ng and forward.ng answers, and forwards."""
        for name, kind in (("udp-reply.ng", socket.SOCK_DGRAM), ("forward.ng", socket.SOCK_STREAM)):
            text, ports = self.example(name)
            with Daemon(text) as first:
                saved = self.saved(first)
            with Daemon(saved), socket.socket(socket.AF_INET, kind) as client:
                client.settimeout(10)
                if kind == socket.SOCK_DGRAM:
                    client.connect(("127.0.0.1", ports[9000]))
                    client.send(b"hello")
                    self.assertEqual(b"hello", client.recv(100))
                    continue
                with socket.create_server(("127.0.0.1", ports[9000])) as server:
                    client.connect(("127.0.0.1", ports[8080]))
                    client.send(b"hello")
                    with server.accept()[0] as accepted:
                        accepted.settimeout(10)
                        self.assertEqual(b"hello", accepted.recv(100))

    def test_connections(self) -> None:
        """Connections that a listener accepted are left out, and what hangs on them."""
        text, ports = self.example("forward.ng")
        server = socket.create_server(("127.0.0.1", ports[9000]))
        self.addCleanup(server.close)
        with Daemon(text) as running:
            before = self.saved(running)
            with socket.create_connection(("127.0.0.1", ports[8080])) as client:
                client.sendall(b"x")
                server.settimeout(10)
                with server.accept()[0] as accepted:
                    accepted.settimeout(10)
                    self.assertEqual(b"x", accepted.recv(1))
                    now = self.saved(running)
        lines = [line for line in now.split("\n") if not line.startswith("# left out")]
        self.assertEqual(before.split("\n"), lines)
        self.assertIn("an accepted connection", now)

    def test_unconfigured(self) -> None:
        """A ksocket of which nothing was configured is saved: only the mark says accepted."""
        graph = "mkpeer hub a b\nname a fan\nmkpeer fan: ksocket x local/stream/0\n"
        self.assertIn("ksocket x", self.round_trip(graph).replace("right", "x"))

    def test_paths(self) -> None:
        """Paths of files and local sockets are saved in full: they hold in any directory."""
        folder = tempfile.TemporaryDirectory(prefix="ngk")
        self.addCleanup(folder.cleanup)
        Path(folder.name, "own.pem").write_bytes(pem_of(SERVER))
        here = folder.name.lstrip("/")  # daemons in tests begin in /
        text = self.round_trip(
            "mkpeer hub a b\nname a fan\nmkpeer fan: ksocket t inet/stream/tls\n"
            "mkpeer fan: ksocket l local/dgram/0\n"
            f'msg fan:t settls {{ cert="{here}/own.pem" }}\nmsg fan:l bind local/"{here}/own"\n'
        )
        self.assertIn(f'msg fan:t settls {{ cert="{folder.name}/own.pem" }}\n', text)
        self.assertIn(f'msg fan:l bind local/"{folder.name}/own"\n', text)

    def test_programs(self) -> None:
        """A program's node, and its link, are left out, and that is said."""
        with Daemon("mkpeer hub a b\nname a fan\nmsg a setpersistent\n") as running:
            before = self.saved(running)
            with connect("tap", running.path) as node:
                node.send_ascii_msg(".", 'connect { path="fan:" ourhook="x" peerhook="probe" }')
                now = self.saved(running)
            until(lambda: self.saved(running) == before, "the program's end")
        self.assertIn("# left out: a program at fan:probe\n", now)
        lines = [line for line in now.split("\n") if not line.startswith("# left out")]
        self.assertEqual(before.split("\n"), lines)

    def test_held_by_program(self) -> None:
        """What ends with a program is left out with it; what lives on is made, and loads."""
        with Daemon() as running, connect(None, running.path) as node:
            for kind, ours, theirs in (
                ("ksocket", "k", "inet/dgram/udp"), ("tee", "t", "left"),
                ("hub", "h", "a"), ("hub", "p", "b"),
            ):  # fmt: skip
                arg = f'{{ type="{kind}" ourhook="{ours}" peerhook="{theirs}" }}'
                node.send_ascii_msg(".", f"mkpeer {arg}")
            node.send_ascii_msg("k", "bind inet/127.0.0.1:0")
            node.send_ascii_msg("h", 'name { name="fleeting" }')
            node.send_ascii_msg("p", 'name { name="lasting" }')
            node.send_ascii_msg("p", "setpersistent")
            text = self.saved(running)
        self.assertEqual(3, text.count("which a program alone holds"), text)
        self.assertIn("# left out: fleeting: (hub), which a program alone holds\n", text)
        lines = [line for line in text.split("\n") if not line.startswith("# left out")]
        with Daemon(text) as second:
            self.assertEqual(lines, self.saved(second).split("\n"))
        self.assertIn("name boot lasting", lines)

    def test_named_by_connection(self) -> None:
        """A node with a name that ends with an accepted connection is left out as well."""
        address = f"ngk-{os.getpid()}"
        graph = (
            "mkpeer hub b b\nname b door\nmkpeer door: ksocket l local/stream/0\n"
            f'msg door:l bind local/"\\x00{address}"\nmsg door:l listen 5\n'
        )
        with (
            Daemon(graph) as running, connect(None, running.path) as node,
            socket.socket(socket.AF_UNIX) as client,
        ):  # fmt: skip
            before = self.saved(running)
            node.send_ascii_msg("door:l", "accept")
            client.connect(f"\0{address}")
            path, _ = node.recv_msg(10)
            for words in (["mkpeer", path, "tee", "x", "left"], ["name", f"{path}x", "tap"]):
                self.assertEqual((0, ""), ngkctl(running.path, *words))
            now = self.saved(running)
        kept = [line for line in now.split("\n") if not line.startswith("# left out")]
        self.assertEqual(before.split("\n"), kept)
        self.assertIn("# left out: tap: (tee), what hangs on one\n", now)

    def test_to_file(self) -> None:
        """With a name the text goes to that file, which ngkctl -f reads."""
        with Daemon(ODD) as first, Daemon() as second:
            path = str(first.folder / "saved.ng")
            self.assertEqual((0, ""), ngkctl(first.path, "save", path))
            self.assertEqual((0, ""), ngkctl(second.path, "-f", path))
            self.assertEqual(self.saved(first), self.saved(second))

    def test_unwritable_name(self) -> None:
        """A name that no line can hold is an error, not a wrong file."""
        with Daemon() as running, connect(None, running.path) as node:
            node.bind("line\nfeed")
            node.send_ascii_msg(".", 'mkpeer { type="hub" ourhook="a" peerhook="b" }')
            node.send_ascii_msg("a", 'name { name="a\\nb" }')
            left = "# left out: a?b: (hub), which a program alone holds\n"
            self.assertEqual(f"# Made by ngkctl save.\n{left}", self.saved(running))
            node.send_ascii_msg("a", "setpersistent")
            code, text = ngkctl(running.path, "save")
        self.assertEqual(71, code)
        self.assertIn("cannot be written in a command file", text)
