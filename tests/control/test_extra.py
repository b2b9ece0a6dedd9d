"""The messages of the control cookie, decoded by hand from their layouts in docs/wire."""

from __future__ import annotations

from tests.control import rawclient as raw
from tests.control.case import ControlCase

DESCRIBE, HOOKSTATS, CONFIG, AVAILABLE = range(0x30000001, 0x30000005)


class Reader:
    """Arguments, from the front: integers begin at a multiple of their size."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def integer(self, size: int) -> int:
        self.at += -self.at % size
        self.at += size
        return int.from_bytes(self.data[self.at - size : self.at], "little")

    def u32(self) -> int:
        return self.integer(4)

    def string(self) -> str:
        end = self.data.index(b"\0", self.at)
        found, self.at = self.data[self.at : end], end + 1
        return found.decode("latin-1")

    def pad(self, size: int) -> None:
        """Go on to a multiple of *size*: so does each element of an array of structures."""
        self.at += -self.at % size


class ExtraTests(ControlCase):
    def reader(self, path: str, cmd: int) -> Reader:
        return Reader(self.asker.ask(path, raw.EXTRA, cmd))

    def setUp(self) -> None:
        super().setUp()
        self.asker = self.client("me")
        self.ok(
            self.asker.mkpeer(".", "hub", "h", "x"), self.asker.name("h", "hub"),
            self.asker.send("hub:", 1082189597, 1), self.asker.write("h", b"four"),
        )  # fmt: skip

    def test_describe(self) -> None:
        """The type, its hooks, and each message with both shapes and its help."""
        reader = self.reader("hub:", DESCRIBE)
        self.assertEqual(("hub", 1082189597), (reader.string(), reader.u32()))
        self.assertEqual([], [reader.string() for _ in range(reader.u32())])
        self.assertEqual("any name", reader.string())
        found = {}
        for _ in range(reader.u32()):
            reader.pad(4)
            name, cookie, cmd = reader.string(), reader.u32(), reader.u32()
            found[name] = cookie, cmd, reader.string(), reader.string(), reader.string()
        reader.pad(4)
        self.assertEqual(len(reader.data), reader.at)
        self.assertEqual((1082189597, 1, "", "", "Live on without hooks."), found["setpersistent"])
        self.assertEqual((raw.GENERIC, 2), found["mkpeer"][:2])
        self.assertIn("ourhook=", found["mkpeer"][2])
        self.assertEqual((raw.EXTRA, DESCRIBE), found["describe"][:2])

    def test_describe_hooks(self) -> None:
        """A type with hooks of fixed names tells them."""
        self.ok(self.asker.mkpeer(".", "tee", "t", "left"))
        reader = self.reader("t", DESCRIBE)
        self.assertEqual(("tee", 916107047), (reader.string(), reader.u32()))
        hooks = [reader.string() for _ in range(reader.u32())]
        self.assertEqual(["left", "left2right", "right", "right2left"], sorted(hooks))
        self.assertEqual("", reader.string())

    def test_describe_other(self) -> None:
        """The argument names a type, of which there need be no node."""
        reader = Reader(self.asker.ask("hub:", raw.EXTRA, DESCRIBE, b"hole\0"))
        self.assertEqual(("hole", 915433206), (reader.string(), reader.u32()))

    def test_hookstats(self) -> None:
        """Each hook, the newest first: packets, bytes, and what was lost, by errno."""
        self.ok(self.asker.link(".", ".", "a", "b"))
        lost = 0
        while not self.asker.write("a", b"12345"):
            lost += 1
        reader = self.reader(".", HOOKSTATS)
        found = []
        for _ in range(reader.u32()):
            reader.pad(8)
            name = raw.text(reader.data[reader.at :])
            reader.at += 32
            counts = reader.integer(8), reader.integer(8)
            drops = {}
            for _ in range(reader.u32()):
                reader.pad(8)
                error = reader.string()
                drops[error] = reader.integer(8)
            found.append((name, *counts, drops))
        total = lost + 1
        expected = [("b", 0, 0, {}), ("a", total, 5 * total, {"ENOBUFS": 1}), ("h", 1, 4, {})]
        self.assertEqual(expected, found)

    def test_config(self) -> None:
        """Lines that make the state again."""
        reader = self.reader("hub:", CONFIG)
        self.assertEqual(["msg . setpersistent"], [reader.string() for _ in range(reader.u32())])

    def test_available(self) -> None:
        """Types that were not used yet: nothing that is in use is among them."""
        reader = self.reader("hub:", AVAILABLE)
        found = [reader.string() for _ in range(reader.u32())]
        self.assertNotIn("hub", found)
        self.assertNotIn("socket", found)
        self.assertEqual(sorted(found), found)
