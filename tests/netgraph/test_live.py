"""Editing a live edge: insert and bypass, who is told, what is refused, where packets go."""

from __future__ import annotations

from collections.abc import Callable
from errno import EADDRINUSE, EEXIST, EINVAL, ENETDOWN, ENOENT, ENOTCONN, ENXIO, EPERM
from functools import partial
from typing import Any

from ngksock.netgraph import Hook, Node, Packet
from ngksock.netgraph.live import bypass, insert
from ngksock.nodes.tee import Tee, tee
from ngksock.plugin import NodeType
from tests.netgraph.rig import GraphTests, Life

IN_OUT = 'hook="out" type="%s" in="left" out="right"'
OUT_OF = 'bypass { in="left" out="right" }'


class Seer(Life):
    """Notes its life, and passes packets on to the other of its hooks, as `tests` know Pass."""

    def rcvdata(self, hook: Hook, packet: Packet) -> None:
        self.note("rcvdata", bytes(packet).decode())
        for other in list(self.hooks.values()):
            if other is not hook:
                other.send_data(packet)


class LiveTests(GraphTests):
    """``one`` (out) - (in) ``two``, both noting their lives; so does what is put between."""

    def setUp(self) -> None:
        super().setUp()
        self.log: list[str] = []
        self.refuse: dict[str, Any] = {}
        for label in ("one", "two", "mid"):
            self.add(NodeType(label, 77, partial(Seer, label, self.log, self.refuse)))
        self.add(tee)
        self.ngctl("mkpeer one x x", "name x one", "mkpeer one: two out in", "name one:out two")
        self.one, self.two = self.node("one:"), self.node("two:")
        self.out, self.into = self.one.hooks["out"], self.two.hooks["in"]
        self.log.clear()

    def noted(self) -> list[str]:
        """Return what was noted since the last time."""
        noted = list(self.log)
        self.log.clear()
        return noted

    def insert(self, kind: str = "mid", name: str = "mid", where: str = "one:") -> None:
        """Put a node at the hook ``out``."""
        self.ngctl(f'msg {where} insert {{ {IN_OUT % kind} name="{name}" }}')

    def sends(self, *texts: str) -> list[str]:
        """Send packets from outside by way of one; return what two got."""
        self.noted()
        self.send("x", *texts)
        return [line.split()[2] for line in self.noted() if line.startswith("rcvdata two")]

    def assert_linked(self) -> None:
        """The two face each other, by the hooks they had, and packets pass both ways."""
        self.assertEqual((self.into, self.out), (self.out.peer, self.into.peer))
        self.assertEqual(["in"], list(self.two.hooks))
        self.assertEqual(["p", "q"], self.sends("p", "q"))
        self.got.clear()
        self.into.send_data(Packet(b"back"))
        self.assertEqual([("x", "back")], self.got)
        self.assert_whole()


class InsertTests(LiveTests):
    def test_inserted(self) -> None:
        """Only the new node is told; the outer ones keep their hooks, which lead to it now."""
        private = self.out.private = object()
        self.send("x", "before")
        self.log.clear()
        self.insert()
        mid = self.node("mid:")
        self.assertEqual(
            ["constructor mid", "newhook mid left", "newhook mid right",
             "connect mid left", "connect mid right"],
            self.noted(),
        )  # fmt: skip
        left, right = mid.hooks["left"], mid.hooks["right"]
        self.assertEqual(
            (left, self.out, right, self.into),
            (self.out.peer, left.peer, self.into.peer, right.peer),
        )
        self.assertIs(private, self.out.private)
        self.assertEqual(["a", "b"], self.sends("a", "b"))
        self.assertEqual((3, 2), (self.out.packets, right.packets))
        self.assertIs(mid, self.node("one:out"))
        self.assertIs(self.two, self.node("one:out.right"))
        self.assert_whole()

    def test_linked_in_connect(self) -> None:
        """In its connect the new node finds its peers, no path leads to it, nothing may be sent."""
        seen: list[Any] = []

        class Curious(Node):
            def connect(self, hook: Hook) -> None:
                seen.append((hook.name, hook.peer.name, hook.valid, list(self.hooks)))
                try:
                    hook.send_data(Packet(b"early"))
                except OSError as error:
                    seen.append(error.errno and "refused")

        self.add(NodeType("curious", 1, Curious))
        self.insert("curious")
        both = ["left", "right"]
        self.assertEqual(
            [("left", "out", False, both), "refused", ("right", "in", False, both), "refused"], seen
        )
        self.assertEqual([], self.noted())
        self.assert_whole()

    def test_without_a_name(self) -> None:
        """An empty name, or none in the text, is no name."""
        self.insert(name="")
        self.assertEqual("", self.node("one:out").name)
        self.ngctl(f"msg one: insert {{ {IN_OUT % 'mid'} }}")
        self.assertEqual("mid", self.node("one:out.right").type.name)
        self.assert_whole()

    def test_at_either_end(self) -> None:
        """The hook *in* faces the node that was told, whichever it is."""
        self.ngctl('msg two: insert { hook="in" type="mid" in="left" out="right" name="m" }')
        self.assertIs(self.into, self.node("m:").hooks["left"].peer)
        self.assertEqual(["a"], self.sends("a"))

    def test_on_one_node(self) -> None:
        """Where both ends are on one node it has the new one between them."""
        self.ngctl("connect one: one: a b")
        self.ngctl('msg one: insert { hook="a" type="mid" in="left" out="right" name="m" }')
        mid = self.node("m:")
        a, b = self.one.hooks["a"], self.one.hooks["b"]
        self.assertEqual([a, b], [mid.hooks["left"].peer, mid.hooks["right"].peer])
        self.ngctl(f"msg m: {OUT_OF}")
        self.assertIs(a, b.peer)
        self.assert_whole()

    def test_within_rcvdata(self) -> None:
        """A node may edit its own edge from its rcvdata: the packet in its hands takes the new."""

        def edit() -> None:
            self.one.during.clear()
            self.insert()

        self.one.during["rcvdata"] = edit
        self.send("x", "a", "b")
        self.assertEqual(
            ["rcvdata mid a", "rcvdata two a", "rcvdata one b", "rcvdata mid b", "rcvdata two b"],
            [line for line in self.noted() if line.startswith("rcvdata")][1:],
        )
        self.assert_whole()

    def test_within_a_batch(self) -> None:
        """From within the delivery of a batch: the rest of it is on its way, and not doubled."""

        def edit() -> None:
            self.two.during.clear()
            self.insert()

        self.two.during["rcvdata"] = edit
        self.send_batch("x", "a", "b", "c")
        self.send_batch("x", "d")
        got = [line[12:] for line in self.noted() if line.startswith("rcvdata two")]
        self.assertEqual(["a", "b", "c", "d"], got)
        self.assert_whole()

    def test_twice_in_connect(self) -> None:
        """Of two insertions at one hook, the one within the other, the inner is done."""

        def again() -> None:
            self.insert(name="inner")

        class Nested(Node):
            def connect(self, hook: Hook) -> None:
                if hook.name == "left":
                    again()

        self.add(NodeType("nested", 1, Nested))
        self.assertEqual(ENOTCONN, self.errno(f"msg two: {self.text('nested', hook='in')}"))
        self.assertIs(self.two, self.node("inner:right"))
        self.assertEqual(4, len(self.graph.nodes))  # me, one, two and inner
        self.assertEqual(["a"], self.sends("a"))
        self.assert_whole()

    def text(self, kind: str = "mid", **changes: str) -> str:
        fields = {"hook": "out", "type": kind, "in": "left", "out": "right", "name": "m", **changes}
        return "insert { " + " ".join(f'{key}="{value}"' for key, value in fields.items()) + " }"


class RefusedTests(LiveTests):
    """Whatever is refused, the link is as it was, and nothing is left."""

    def refused(self, errno: int, text: str, where: str = "one:") -> None:
        """Assert that a message fails, and leaves no trace."""
        before = sorted(self.graph.nodes), dict(self.graph.names)
        self.assertEqual(errno, self.errno(f"msg {where} {text}"), text)
        self.assertEqual(before, (sorted(self.graph.nodes), self.graph.names), text)
        self.assert_linked()

    def test_arguments(self) -> None:
        """Each errno that has to do with what was asked for."""
        for errno, fields in (
            (ENOENT, 'hook="none" type="mid" in="left" out="right" name=""'),
            (ENOENT, 'hook="out" type="none" in="left" out="right" name=""'),
            (EINVAL, 'hook="out" type="mid" in="" out="right" name=""'),
            (EINVAL, 'hook="out" type="mid" in="left" out="a.b" name=""'),
            (EEXIST, 'hook="out" type="mid" in="left" out="left" name=""'),
            (EINVAL, 'hook="out" type="tee" in="left" out="wrong" name=""'),
            (EINVAL, 'hook="out" type="tee" in="wrong" out="left" name=""'),
            (EINVAL, 'hook="out" type="socket" in="left" out="right" name=""'),
            (EADDRINUSE, 'hook="out" type="mid" in="left" out="right" name="two"'),
            (EINVAL, 'hook="out" type="mid" in="left" out="right" name="a:b"'),
            (EINVAL, 'hook="out" type="mid" in="left" out="right" name="[7]"'),
        ):
            self.refused(errno, f"insert {{ {fields} }}")

    def test_callbacks(self) -> None:
        """Whichever callback of the new node refuses, or fails, it is undone; nobody else knows."""
        made = ["constructor mid", "newhook mid left", "newhook mid right", "connect mid left"]
        undone = ["close mid", "disconnect mid right", "disconnect mid left", "shutdown mid"]
        for callback, calls in {
            "constructor mid": made[:1],
            "newhook mid": [*made[:2], "close mid", "shutdown mid"],
            "connect mid": [*made, *undone],
        }.items():
            for error in (OSError(EPERM, "no"), ZeroDivisionError("a bug")):
                self.refuse[callback] = error
                self.log.clear()
                expected = EPERM if isinstance(error, OSError) else EINVAL
                self.assertEqual(
                    expected, self.errno(f'msg one: insert {{ {IN_OUT % "mid"} name="m" }}')
                )
                self.refuse.clear()
                self.assertEqual(calls, self.noted(), callback)
                self.assertNotIn("m", self.graph.names)
                self.assert_linked()

    def test_late_callbacks(self) -> None:
        """So for the second of its hooks."""
        for callback, wanted in (("newhook", "right"), ("connect", "right")):

            class Picky(Seer):
                def note(self, what: str, detail: str = "", fails=(callback, wanted)) -> None:
                    super().note(what, detail)
                    if (what, detail) == fails:
                        raise OSError(EPERM, "no")

            self.add(NodeType("picky", 1, lambda: Picky("picky", self.log, {})))
            self.refused(EPERM, f"insert {{ {IN_OUT % 'picky'} }}")

    def test_talks_at_connect(self) -> None:
        """A type that raises and lowers words of flow in connect, and refuses, leaves none."""

        class Loud(Node):
            def connect(self, hook: Hook) -> None:
                hook.send_flow(True)
                if hook.name == "right":
                    raise OSError(EPERM, "no")

        self.add(NodeType("loud", 1, Loud))
        self.refused(EPERM, f"insert {{ {IN_OUT % 'loud'} }}")
        self.assertEqual((False, 0), (self.out.high, len(self.graph.flow)))

    def test_ends(self) -> None:
        """A new node that ends, or removes its hook, or the outer one, in a callback: ENXIO."""
        acts: dict[str, Callable[[Node], object]] = {
            "end": lambda node: self.graph.rmnode(node),
            "end soon": lambda node: self.graph.rmnode_self(node),
            "unhook": lambda node: self.graph.rmhook(node.hooks["left"]),
            "bypass": lambda node: bypass(self.graph, node, "left", "right"),
        }
        for callback in ("newhook", "connect"):
            for name, act in acts.items():

                class Rash(Node):
                    def newhook(self, hook: Hook, name: str, act=act, now=callback) -> None:
                        if now == "newhook" and name == "right":
                            act(self)

                    def connect(self, hook: Hook, act=act, now=callback) -> None:
                        if now == "connect":
                            act(self)

                self.add(NodeType("rash", 1, Rash))
                errno = self.errno(f"msg one: insert {{ {IN_OUT % 'rash'} }}")
                self.assertIn(errno, (ENXIO, ENOENT, ENOTCONN), f"{callback} {name}")
                self.assertEqual(3, len(self.graph.nodes))
                self.assert_linked()

    def test_outer_ends(self) -> None:
        """An outer node that goes while the new one is asked: ENXIO, and no more is lost."""

        class Rash(Node):
            def connect(self, hook: Hook) -> None:
                self.graph.rmnode(hook.peer.node)

        self.add(NodeType("rash", 1, Rash))
        errno = self.errno(f"msg one: insert {{ {IN_OUT % 'rash'} }}")
        self.assertIn(errno, (ENXIO, ENOTCONN))
        self.assertEqual([], [node for node in self.graph if node.type.name == "rash"])
        self.assert_whole()

    def test_tee_ends_among_changes(self) -> None:
        """A tee that ends as it is asked joins nothing: not what is linked anew, or gone."""

        class Rash(Tee):
            def connect(self, hook: Hook) -> None:
                super().connect(hook)
                if hook.name == "right":
                    acts.pop()()
                    self.graph.rmnode(self)

        self.add(NodeType("rash", 1, Rash))
        acts: list[Callable[[], object]] = [
            lambda: insert(self.graph, self.out, "mid", "left", "right", "mid"),
            lambda: None,
        ]
        self.refused(ENXIO, f"insert {{ {IN_OUT % 'rash'} }}")
        self.assertEqual(ENXIO, self.errno(f"msg one: insert {{ {IN_OUT % 'rash'} }}"))
        self.assertIs(self.out.peer, self.node("mid:").hooks["left"])
        self.assertEqual(["a"], self.sends("a"))
        acts.append(lambda: self.graph.rmhook(self.out))
        self.assertEqual(ENXIO, self.errno(f"msg one: insert {{ {IN_OUT % 'rash'} }}"))
        self.assertEqual((False, True), (self.out.valid, self.into.valid))
        self.assertEqual(ENETDOWN, self.errno_of(lambda: self.out.send_data(Packet(b"lost"))))
        self.assert_whole()

    def test_interrupted(self) -> None:
        """A Ctrl-C while the new node is asked leaves nothing of it either."""
        self.refuse["connect mid"] = KeyboardInterrupt()
        with self.assertRaises(KeyboardInterrupt):
            insert(self.graph, self.out, "mid", "left", "right", "m")
        self.refuse.clear()
        self.assertEqual(3, len(self.graph.nodes))
        self.assert_linked()

    def test_not_linked(self) -> None:
        """A hook that is just being made is not linked: ENOTCONN; of a node that ends: ENXIO."""
        errnos: list[int] = []

        def edit() -> None:
            errnos.append(
                self.errno_of(lambda: insert(self.graph, self.hook("y"), "mid", "l", "r"))
            )

        self.two.during["connect"] = edit
        self.ngctl("connect . two: y z")
        self.assertEqual([ENOTCONN], errnos)
        errnos.clear()
        self.two.during.clear()
        self.two.during["close"] = lambda: errnos.extend(
            self.errno_of(partial(insert, self.graph, hook, "mid", "l", "r"))
            for hook in (self.out, self.into)
        )
        self.ngctl("shutdown two:")
        self.assertEqual([ENXIO, ENXIO], errnos)
        self.assert_whole()

    def errno_of(self, call: Callable[[], object]) -> int:
        try:
            call()
        except OSError as error:
            return error.errno or -1
        return 0
