"""Every call, and every error of the table in docs/wire, against a real daemon."""

from __future__ import annotations

import errno
import socket
import struct

from tests.control import rawclient as raw
from tests.control.case import ControlCase
from tests.control.rawclient import BIND, CONNECT, CONTROL, DATA, GETNAME, HELLO, SEND, EndedError


class HelloTests(ControlCase):
    def test_control(self) -> None:
        """A control HELLO makes a socket node, and tells its id and its limits."""
        sock = self.socket(CONTROL)
        self.assertEqual((1, 65536, 131072), (sock.version, sock.payload_max, sock.queue))
        self.assertEqual(f"[{sock.node:x}]".encode(), sock.do(GETNAME))
        self.assertIn(("", "socket", sock.node, 0), self.client().nodes())

    def test_data(self) -> None:
        """A data HELLO makes none."""
        before = len(self.client().nodes())
        self.assertEqual(0, self.socket(DATA).node)
        self.assertEqual(before + 1, len(self.client().nodes()))

    def test_queue(self) -> None:
        """What is wanted is held within bounds, and what is in force is told."""
        for wanted, least, most in (
            (1, 4096, 4096), (4096, 4096, 4096), (8192, 8192, 8192),
            (0xFFFFFFFF, 131072, 4 << 20), (0, 131072, 131072),
        ):  # fmt: skip
            queue = self.socket(CONTROL, wanted).queue
            self.assertTrue(least <= queue <= most, (wanted, queue))

    def test_refused(self) -> None:
        """Wrong magic, version, kind or length: an errno; then another try may succeed."""
        sock = self.socket(None)
        for payload, code, body in (
            (raw.hello(CONTROL, magic=1), errno.EPROTO, struct.pack("=H", 1)),
            (raw.hello(CONTROL, version=2), errno.EPROTO, struct.pack("=H", 1)),
            (raw.hello(CONTROL, version=0), errno.EPROTO, struct.pack("=H", 1)),
            (raw.hello(CONTROL, version=2) + bytes(90), errno.EPROTO, struct.pack("=H", 1)),
            (b"", errno.EPROTO, struct.pack("=H", 1)),
            (raw.hello(0), errno.EPROTONOSUPPORT, b""),
            (raw.hello(3), errno.EPROTONOSUPPORT, b""),
            (raw.hello(CONTROL)[:-1], errno.EINVAL, b""),
            (raw.hello(CONTROL) + b"x", errno.EINVAL, b""),
            (bytes(65537), errno.EMSGSIZE, b""),
        ):
            self.assertEqual((code, body), sock.hello(payload), payload[:20])
        self.assertEqual(0, sock.hello(raw.hello(CONTROL))[0])

    def test_second(self) -> None:
        """A second HELLO is EISCONN, whatever it says; the first stands."""
        for kind in (CONTROL, DATA):
            sock = self.socket(kind)
            for payload in (raw.hello(kind), raw.hello(9), b""):
                self.assertEqual((errno.EISCONN, b""), sock.hello(payload))
        self.assertEqual(errno.ENOTCONN, sock.errno_of(GETNAME))

    def test_first(self) -> None:
        """Any other call before HELLO closes the connection, that one alone."""
        other = self.client()
        for op in (0, BIND, CONNECT, SEND, GETNAME, 6, 0x81, 0xFF):
            sock = self.socket(None)
            self.assertRaises(EndedError, sock.call, op)
        self.assertTrue(other.nodes())
        self.assertEqual(8, self.log_since().count("a call before HELLO"))

    def test_silent(self) -> None:
        """Who says no HELLO within 5 s is closed; a refused one does not count."""
        sock = self.socket(None)
        sock.hello(b"")
        self.assertRaises(EndedError, sock.reply)
        self.assertIn("no HELLO within 5 s", self.log_since())


class MalformedTests(ControlCase):
    def test_closed(self) -> None:
        """Short headers and lying lengths close the connection, and nothing else."""
        other = self.client("other")
        long = struct.pack("=BBHI", SEND, 0, 512, 1) + b"a" * 600
        beyond = struct.pack("=BBHI", SEND, 0, 4, 1) + b"a:b"
        for packet in (b"\4", bytes(7), long, beyond, b""):
            sock = self.socket(CONTROL)
            if packet:
                self.assertRaises(EndedError, sock.raw, packet)
            else:
                sock.calls.send(packet)  # looks like the end of the file
                self.assertRaises(EndedError, sock.reply)
            self.assertRaises(EndedError, sock.event)
        self.assertEqual({"other": "socket"}, other.names())

    def test_too_long(self) -> None:
        """A payload of more than 65536 bytes is EMSGSIZE for every call, and no more."""
        sock = self.client()
        for op in (BIND, CONNECT, SEND, GETNAME, 77):
            self.assertEqual(errno.EMSGSIZE, sock.control.errno_of(op, "", bytes(65537)))
            self.assertEqual(errno.EMSGSIZE, sock.control.errno_of(op, "a" * 511, bytes(90000)))
        self.ok(sock.link(".", ".", "a", "b"), sock.write("a", bytes(65536)))
        self.assertEqual([("b", bytes(65536))], sock.data.drain())

    def test_unknown(self) -> None:
        """Calls that do not exist are EOPNOTSUPP."""
        for kind in (CONTROL, DATA):
            sock = self.socket(kind)
            for op in (0, 6, 7, 127):
                self.assertEqual(errno.EOPNOTSUPP, sock.errno_of(op))

    def test_nul(self) -> None:
        """An address is text: a NUL in it is EINVAL."""
        client = self.client()
        for op in (BIND, SEND):
            self.assertEqual(errno.EINVAL, client.control.errno_of(op, "a\0b", bytes(56)))
        self.assertEqual(errno.EINVAL, client.data.errno_of(SEND, "a\0"))

    def test_descriptors(self) -> None:
        """Descriptors that a client sends along are not kept; see the case's cleanup."""
        sock = self.socket(CONTROL)
        for seq in range(1, 20):
            packet = raw.call(GETNAME, seq)
            socket.send_fds(sock.calls, [packet], [0, 1, 2])
            self.assertEqual(0, struct.unpack_from("=i", sock.reply()[0], 8)[0])
        self.assertEqual(self.before + 2, self.daemon.service.descriptors)


class BindTests(ControlCase):
    def test_names(self) -> None:
        """Names of 1 to 31 bytes of any kind but `.`, `:`, NUL and the form of an id."""
        sock = self.socket(CONTROL)
        for name in ("x", "test hub", "[0]", "[xyz]", "[", "n" * 31, "\xe4\xff\x01\n"):
            sock.do(BIND, name)
            self.assertEqual(name.encode("latin-1"), sock.do(GETNAME))
        sock.do(BIND, "x")
        sock.do(BIND, "x")

    def test_every_byte(self) -> None:
        """Each byte alone is a name, but for three."""
        sock = self.socket(CONTROL)
        bad = [b for b in range(256) if sock.errno_of(BIND, chr(b)) == errno.EINVAL]
        self.assertEqual([0, ord("."), ord(":")], bad)

    def test_refused(self) -> None:
        """Empty, too long, with a dot or a colon, an id: EINVAL; taken: EADDRINUSE."""
        other, sock = self.client("other"), self.socket(CONTROL)
        for name in ("", "n" * 32, "n" * 511, ".", "a.b", ":", "a:", "[1]", "[0x2f]", "[fFf]"):
            self.assertEqual(errno.EINVAL, sock.errno_of(BIND, name), name)
        self.assertEqual(errno.EADDRINUSE, sock.errno_of(BIND, "other"))
        self.assertEqual(errno.EINVAL, other.data.errno_of(BIND, "another"))
        self.assertEqual(errno.EINVAL, self.socket(DATA).errno_of(BIND, "another"))


class ConnectTests(ControlCase):
    def test_paths(self) -> None:
        """A data socket attaches by name and by id."""
        for path in ("n:", "[{:x}]:", "[0x{:X}]:"):
            sock, data = self.socket(CONTROL), self.socket(DATA)
            sock.do(BIND, "n")
            data.do(CONNECT, path.format(sock.node))
            self.assertEqual(b"n", data.do(GETNAME))
            sock.close()
            data.close()

    def test_refused(self) -> None:
        """Each error of the table."""
        client, sock, data = self.client("n"), self.socket(CONTROL), self.socket(DATA)
        self.ok(client.mkpeer(".", "hub", "h", "h"), client.name(".:h", "hub"))
        self.assertEqual(errno.EINVAL, sock.errno_of(CONNECT, "n:"))
        for path, code in (
            ("n", errno.EINVAL), ("", errno.EINVAL), (".", errno.EINVAL), (".:", errno.EINVAL),
            (":", errno.EINVAL), ("a:b:c", errno.EINVAL), ("hub:", errno.EINVAL),
            ("no:", errno.ENOENT), ("[ffff]:", errno.ENOENT), ("n:none", errno.ENOENT),
            ("n:", errno.EADDRINUSE), ("hub:h", errno.EADDRINUSE),
        ):  # fmt: skip
            self.assertEqual(code, data.errno_of(CONNECT, path), path)
        data.do(CONNECT, f"[{sock.node:x}]:")
        self.assertEqual(errno.EISCONN, data.errno_of(CONNECT, f"[{sock.node:x}]:"))
        self.assertEqual(errno.EISCONN, data.errno_of(CONNECT, "no:"))


class SendTests(ControlCase):
    def test_messages(self) -> None:
        """A message shorter than its header, of another version or with a lying arglen."""
        sock = self.socket(CONTROL)
        good = raw.message(raw.GENERIC, raw.NODEINFO, b"1234")
        sock.do(SEND, ".", good)
        sock.do(SEND, "", good + b"behind")
        sock.drain()
        lies = (
            b"", good[:55], good[:-1], b"\7" + good[1:], b"\0" + good[1:],
            good[:4] + b"\xff\xff\xff\xff" + good[8:], good[:4] + b"\5\0\0\0" + good[8:],
        )  # fmt: skip
        for lie in lies:
            self.assertEqual(errno.EINVAL, sock.errno_of(SEND, ".", lie), lie[:12])
        self.assertFalse(sock.pending())

    def test_paths(self) -> None:
        """The errors of addresses (netgraph.md 4.2)."""
        client = self.client("n")
        self.ok(client.link(".", ".", "a", "b"))
        for path, code in (
            (".", 0), (".:", 0), ("", 0), ("n:", 0), ("a", 0), (".a", 0), ("a.", 0), ("a.a.b", 0),
            ("n:a.b.", 0), (f"[{client.control.node:x}]:a", 0), ("a..b", errno.EINVAL),
            (":foo", errno.EINVAL), ("a:b:c", errno.EINVAL), ("a.b:c", errno.EINVAL),
            ("none:", errno.ENOENT), ("[0]:", errno.ENOENT), ("none", errno.ENOENT),
            ("x" * 511, errno.ENOENT), ("n:" + "a." * 254, 0), ("\xff:", errno.ENOENT),
        ):  # fmt: skip
            self.assertEqual(code, client.send(path, raw.GENERIC, raw.NODEINFO), path)

    def test_deliveries(self) -> None:
        """What clients rely on (the last section of the specification)."""
        client = self.client("n")
        self.ok(client.mkpeer(".", "hub", "a", "x"), client.name("a", "h"))
        self.ok(client.rmhook("h:", "none"))
        inval = errno.EINVAL
        self.assertEqual(inval, client.send("h:", raw.GENERIC, raw.TEXTSTATUS ^ 0x30000000))
        self.assertEqual(errno.ENOENT, client.mkpeer(".", "no_such_type", "b", "b"))
        self.assertEqual(errno.EEXIST, client.mkpeer(".", "hub", "a", "b"))
        self.assertEqual(inval, client.mkpeer(".", "socket", "b", "b"))
        self.assertEqual(errno.ENOENT, client.shutdown("none:"))
        self.assertEqual(errno.ENOSYS, client.ascii("h:", "nonsense"))
        self.assertEqual(inval, client.send("h:", raw.GENERIC, 99))
        self.assertEqual(inval, client.send("h:", 12345, 1))
        self.assertEqual(inval, client.send("h:", raw.GENERIC, 14))  # textconfig

    def test_lengths(self) -> None:
        """arglen must be the structure's size exactly."""
        client = self.client("n")
        sizes = {raw.MKPEER: 96, raw.LINK: 576, raw.NAME: 32, raw.RMHOOK: 32}
        for cmd, size in sizes.items():
            for wrong in (0, 1, size - 1, size + 1):
                code = client.send(".", raw.GENERIC, cmd, b"x" * wrong)
                self.assertEqual(errno.EINVAL, code, (cmd, wrong))

    def test_strings(self) -> None:
        """Junk behind a NUL is no part of a name; a name without a NUL is cut."""
        client = self.client()
        self.ok(client.send(".", raw.GENERIC, raw.NAME, b"ab\0" + b"\xff" * 29))
        self.assertEqual(b"ab", client.control.do(GETNAME))
        self.ok(client.send(".", raw.GENERIC, raw.NAME, b"y" * 32))
        self.assertEqual(b"y" * 31, client.control.do(GETNAME))
        data = client.ask(".", raw.GENERIC, raw.NODEINFO)
        self.assertEqual(b"y" * 31 + b"\0" + b"socket".ljust(32, b"\0"), data[:64])

    def test_latin(self) -> None:
        """Names are bytes: any above 127 comes back as it went in."""
        client = self.client()
        name = bytes(range(0xE0, 0xFF)).decode("latin-1")
        self.ok(client.name(".", name), client.link(".", ".", name, "b"))
        self.ok(client.send(f"{name}:{name}", raw.GENERIC, raw.NODEINFO))
        self.assertEqual(name, raw.text(client.control.message().data))
        self.ok(client.write("b", b"x"))
        self.assertEqual([(name, b"x")], client.data.drain())


class DataTests(ControlCase):
    def test_errors(self) -> None:
        """Each error of the table."""
        client, sock = self.client(), self.socket(DATA)
        self.assertEqual(errno.ENOTCONN, sock.errno_of(SEND, "a", b"x"))
        self.assertEqual(errno.ENOTCONN, sock.errno_of(SEND, "", b"x"))
        self.assertEqual(errno.EDESTADDRREQ, client.write("", b"x"))
        self.assertEqual(errno.EHOSTUNREACH, client.write("a", b"x"))
        self.ok(client.link(".", ".", "a", "b"))
        self.assertEqual(errno.EDESTADDRREQ, client.write("", b"x"))
        self.assertEqual(errno.EHOSTUNREACH, client.write("c", b"x"))
        self.assertEqual(errno.EHOSTUNREACH, client.write("a" * 511, b"x"))

    def test_only_hook(self) -> None:
        """With exactly one hook its name may be left out; an empty packet is a packet."""
        client, other = self.client(), self.client("other")
        self.ok(client.link(".", "other:", "a" * 31, "b"))
        self.ok(client.write("", b"x"), client.write("", b""), client.write("a" * 31, b"y"))
        self.assertEqual([("b", b"x"), ("b", b""), ("b", b"y")], other.data.drain())

    def test_no_data_socket(self) -> None:
        """Data for a node without a data socket is dropped, with success."""
        client, other = self.client(), self.socket(CONTROL)
        other.do(BIND, "other")
        self.ok(client.link(".", "other:", "a", "b"), client.write("a", b"x"))
        self.assertFalse(other.pending())

    def test_closed_channel(self) -> None:
        """A client that has closed its event channel alone loses events, not more."""
        client, other = self.client(), self.client("other")
        self.ok(client.link(".", "other:", "a", "b"))
        assert other.data.events is not None and other.control.events is not None
        other.data.events.close()
        other.control.events.close()
        self.assertEqual(errno.ENOBUFS, client.write("a", b"x"))
        self.assertEqual(errno.ENOBUFS, client.send("other:", 99, 1))
        self.assertEqual(errno.ENOBUFS, other.send(".", raw.GENERIC, raw.LISTNODES))
        self.assertEqual(b"other", other.control.do(GETNAME))
        self.ok(other.shutdown("."))


class NodeTests(ControlCase):
    """The life of a socket node."""

    def test_ends_with_both(self) -> None:
        """The node ends when its control and data connections are closed, in either order."""
        for first, second in (("control", "data"), ("data", "control")):
            client, other = self.client("n"), self.client()
            getattr(client, first).close()
            self.assertIn("n", other.names())
            getattr(client, second).close()
            self.assertNotIn("n", self.client().names())

    def test_data_alone(self) -> None:
        """With the control socket closed, data flows on, and messages are refused."""
        client, other = self.client("n"), self.client()
        self.ok(other.link(".", "n:", "a", "b"))
        client.control.close()
        self.client()
        self.ok(other.write("a", b"x"), client.write("b", b"y"))
        self.assertEqual([("b", b"x")], client.data.drain())
        self.assertEqual([("a", b"y")], other.data.drain())
        self.assertEqual(errno.EINVAL, other.send("n:", 99, 1))

    def test_shutdown(self) -> None:
        """What waits is read, then the end; later calls are EPIPE."""
        client, other = self.client("n"), self.client()
        self.ok(other.link(".", "n:", "a", "b"), other.write("a", b"x"))
        self.ok(other.send("n:", 99, 7, b"data"), other.shutdown("n:"))
        self.assertEqual((1, "b", b"x"), client.data.event())
        self.assertEqual(7, client.control.message().cmd)
        for sock in (client.control, client.data):
            self.assertRaises(EndedError, sock.event)
            for op in (BIND, CONNECT, SEND, GETNAME):
                self.assertEqual(errno.EPIPE, sock.errno_of(op, "x", bytes(56)))
            self.assertEqual(errno.EISCONN, sock.errno_of(HELLO))
            self.assertEqual(errno.EOPNOTSUPP, sock.errno_of(9))
        self.assertEqual(errno.ENOENT, self.socket(DATA).errno_of(CONNECT, "n:"))

    def test_own_shutdown(self) -> None:
        """A client may end its own node: success, then EPIPE."""
        client = self.client()
        self.ok(client.shutdown("."))
        self.assertEqual(errno.EPIPE, client.shutdown("."))

    def test_linger(self) -> None:
        """NOLINGER: it ends with its last hook; LINGER, the default, does not."""
        cookie = 851601233
        client = self.client("n")
        self.assertEqual(errno.EINVAL, client.send(".", cookie, 3))
        self.ok(client.link(".", ".", "a", "b"), client.rmhook(".", "a"))
        self.ok(client.send(".", cookie, 1), client.send(".", cookie, 2))
        self.ok(client.link(".", ".", "a", "b"), client.rmhook(".", "a"))
        self.ok(client.send(".", cookie, 1), client.link(".", ".", "a", "b"))
        self.ok(client.rmhook(".", "a"))
        self.assertRaises(EndedError, client.control.event)
        self.assertEqual(errno.EPIPE, client.control.errno_of(GETNAME))

    def test_messages(self) -> None:
        """Everything that is not generic is handed to the program, responses among it."""
        client, other = self.client("n"), self.client()
        packet = raw.message(raw.GENERIC, raw.NODEINFO, b"made up", 5, flags=1, cmdstr="me")
        other.control.do(SEND, "n:", packet)
        got = client.control.message()
        self.assertEqual((f"[{other.control.node:x}]:", 1, 5), (got.path, got.flags, got.token))
        self.assertEqual((b"made up", "me", 7), (got.data, got.cmdstr, got.arglen))
        self.ok(other.send("n:", raw.GENERIC, raw.TEXTSTATUS))
        self.assertEqual(raw.TEXTSTATUS, client.control.message().cmd)
