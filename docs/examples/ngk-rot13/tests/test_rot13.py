"""Tests of rot13."""

from __future__ import annotations

from errno import EINVAL, ENOTCONN

from ngk_rot13 import rot13

from ngksock.netgraph import EOF
from ngksock.testing import GraphTestCase, check_node_type


class Rot13Tests(GraphTestCase):
    node_types = (rot13,)

    def setUp(self) -> None:
        super().setUp()
        self.graph("mkpeer rot13 a left", "name a turn", "connect turn: b right")

    def test_conforms(self) -> None:
        """It keeps the promises every type keeps."""
        check_node_type(rot13)
        check_node_type(rot13, setup=["setshift -1"])

    def test_letters(self) -> None:
        """Letters are turned, either way, and nothing else."""
        self.send("a", b"Hello, 13 Worlds!")
        self.send_batch("b", [b"Uryyb", bytes(3), EOF])
        self.assertEqual({"b": [b"Uryyb, 13 Jbeyqf!"], "a": [b"Hello", bytes(3), EOF]},
                         self.received)  # fmt: skip

    def test_shift(self) -> None:
        """Another shift counts from then on; one out of range changes nothing."""
        self.graph("msg turn: setshift -1")
        self.assertEqual(EINVAL, self.errno("msg turn: setshift 26"))
        self.assertEqual("-1", self.msg("turn:", "getshift"))
        self.send("a", b"IBM")
        self.assertEqual({"b": [b"HAL"]}, self.received)

    def test_stats(self) -> None:
        """Packets and letters are counted; zeros are left out of the text."""
        self.assertEqual("{}", self.msg("turn:", "getstats"))
        self.send("a", b"a b c")
        self.send_batch("a", [b"12", b"de"])
        self.assertEqual("{ packets=3 letters=5 }", self.msg("turn:", "getstats"))
        self.assertIn("3 packets", self.graph("status turn:"))

    def test_alone(self) -> None:
        """Without its other hook it loses what comes, and says so."""
        self.graph("rmhook b")
        self.assertEqual(ENOTCONN, self.errno(lambda: self.send("a", b"x")))
        self.send_batch("a", [b"x", b"y"])
        self.assertEqual({ENOTCONN: 3}, self.local.hooks["a"].drops)
