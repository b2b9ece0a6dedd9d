"""ngkhook where one side is slow: it holds the other, grows for nobody, doubles nothing."""

from __future__ import annotations

import errno
import signal
import socket
import subprocess
import tempfile

from ngksock.client import NodeSocket, connect
from ngksock.netgraph.message import FLOW_COOKIE
from tests.ctl.programs import NGKHOOK, variables
from tests.ctl.test_ngkhook import HookCase
from tests.integration.service import until


class SlowTests(HookCase):
    """A slow graph, a slow reader, and both."""

    def hub(self) -> tuple[NodeSocket, str]:
        """Return a node that takes no packets, linked to a new hub, and the hub's path."""
        node = self.connect(data=False)
        node.send_ascii_msg(".", 'mkpeer { type="hub" ourhook="x" peerhook="x" }')
        info = node.request_ascii("x", "nodeinfo")
        return node, f"[{int(info.split('id=0x')[1].split()[0], 16):x}]:"

    def joined(self, hub: str, queue: int = 0) -> NodeSocket:
        """Return a node that takes packets, linked to the hub."""
        node = connect(None, self.path, queue=queue)
        self.addCleanup(node.close)
        hook = f"n{node.id}"
        node.send_ascii_msg(".", f'connect {{ path="{hub}" ourhook="x" peerhook="{hook}" }}')
        return node

    def test_echo_flood(self) -> None:
        """More packets in one read than any queue has room for come back, all of them."""
        lines = b"".join(b"%d\n" % (number % 10) for number in range(16_000))
        self.assertEqual((0, lines, b""), self.hook("-L", "-b", "65536", "ec:", "h", given=lines))

    def test_held(self) -> None:
        """While a stream behind the hook is full no input is read, and nothing is lost."""
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        node, hub = self.hub()
        node.send_ascii_msg(hub, 'mkpeer { type="ksocket" ourhook="k" peerhook="inet/stream/tcp" }')
        port = listener.getsockname()[1]
        self.assertEqual("0", node.request_ascii(f"{hub}k", f"connect inet/127.0.0.1:{port}"))
        taker = listener.accept()[0]
        self.addCleanup(taker.close)
        taker.settimeout(20)
        size = 16 << 20
        with tempfile.TemporaryFile() as file:
            file.truncate(size)
            command = subprocess.Popen(
                [*NGKHOOK, hub, "feed"], env=variables(self.path), stdin=file,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
            self.addCleanup(self.end, command)
            message = node.recv_msg(20).message
            self.assertEqual((FLOW_COOKIE, 34), (message.cookie, message.cmd))
            for _ in range(500):  # time enough to do it wrong
                node.request_ascii(hub, "nodeinfo")
            self.assertIsNone(command.poll())
            self.assertLess(file.tell(), size)
        while size and (raw := taker.recv(1 << 20)):
            size -= len(raw)
        _, err = command.communicate(timeout=20)
        self.assertEqual((0, 0, b""), (size, command.returncode, err))

    def test_told(self) -> None:
        """Held by a flow message it takes no input until the next one; with -t it gives up."""
        node, hub = self.hub()
        command = self.start("-L", "-t", "0.2", hub, "feed")
        until(lambda: '"feed"' in node.request_ascii(hub, "listhooks"), "its hook")
        node.send_msg(f"ngkhook{command.pid}:", FLOW_COOKIE, 34, bytes(24))
        out, err = command.communicate(b"line\n", timeout=20)
        self.assertEqual((71, b""), (command.returncode, out))
        self.assertEqual(b"ngkhook: the hook takes no more of the input\n", err)
        taker = self.joined(hub)
        command = self.start("-L", hub, "feed")
        until(lambda: '"feed"' in node.request_ascii(hub, "listhooks"), "its hook")
        assert command.stdin is not None
        for cmd in (34, 35):
            node.send_msg(f"ngkhook{command.pid}:", FLOW_COOKIE, cmd, bytes(24))
        command.stdin.write(b"line\n")
        command.stdin.flush()
        self.assertEqual(b"line", taker.recv_data(20)[1])

    def test_one_way(self) -> None:
        """A program at the other end that is slow has every packet: there is time for it."""
        node = self.connect("slowly")
        command = self.start("-L", "slowly:", "h")
        assert command.stdin is not None
        lines = [b"%d" % number for number in range(2000)]
        command.stdin.write(b"\n".join(lines))
        command.stdin.close()
        command.stdin = None
        self.assertEqual(lines, [node.recv_data(20)[1] for _ in lines])
        self.assertEqual(0, command.wait(20))

    def test_no_doubles(self) -> None:
        """Where packets go to several nodes the slow one misses some; no other has two."""
        _, hub = self.hub()
        stopped, taker = self.joined(hub, 4096), self.joined(hub, 4 << 20)
        lines = [b"%d" % number for number in range(1000)]
        code, _, err = self.hook("-L", hub, "feed", given=b"\n".join(lines))
        self.assertEqual(
            (71, b"ngkhook: writing to hook: No buffer space available\n"), (code, err)
        )
        self.assertEqual(lines, [taker.recv_data(0)[1] for _ in lines])
        self.assertEqual(b"0", stopped.recv_data(0)[1])

    def test_stopped_reader(self) -> None:
        """Who does not read its output holds it: who sends is told, and what was taken comes."""
        _, hub = self.hub()
        command = self.start("-i", "-L", hub, "look")
        node = self.joined(hub)
        until(lambda: '"look"' in node.request_ascii(hub, "listhooks"), "its hook")
        line, taken = b"x" * 1000, 0
        error: OSError | None = None
        while error is None and taken < 20_000:
            try:
                node.send_data("x", line)
                taken += 1
            except OSError as full:
                error = full
        assert error is not None, "it grows"
        self.assert_errno(errno.ENOBUFS, error)
        assert command.stdout is not None
        for _ in range(taken):
            self.assertEqual(line + b"\n", command.stdout.readline())
        command.send_signal(signal.SIGINT)
        out, err = command.communicate(timeout=20)
        self.assertEqual((130, b"", b""), (command.returncode, out, err))

    def test_last_words(self) -> None:
        """What came before its node was shut down is written, however much that is."""
        node, hub = self.hub()
        command = self.start("-i", "-L", hub, "look")
        until(lambda: '"look"' in node.request_ascii(hub, "listhooks"), "its hook")
        feed = self.joined(hub)
        command.send_signal(signal.SIGSTOP)
        for number in range(500):
            feed.send_data("x", b"%d" % number)
        node.send_ascii_msg(f"ngkhook{command.pid}:", "shutdown")
        command.send_signal(signal.SIGCONT)
        out, err = command.communicate(timeout=20)
        self.assertEqual((71, b"ngkhook: the node was shut down\n"), (command.returncode, err))
        self.assertEqual([b"%d" % number for number in range(500)], out.splitlines())
