"""Golden conversations with ngkctl, to the byte."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.ctl.conversation import GOLDEN, play


class GoldenTests(SynchronousTestCase):
    """Each file of tests/ctl/golden is answered as it says."""

    maxDiff = None

    def answered(self, name: str) -> None:
        """Assert that the conversation *name* is answered as it is written down."""
        text = (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")
        self.assertEqual(text.split("\n"), play(text).split("\n"))

    def test_ngctl(self) -> None:
        """The commands of ngctl(8): output, errors, exit codes, abbreviations."""
        self.answered("ngctl")

    def test_ours(self) -> None:
        """What ngkctl has beyond: JSON, inspect, save, wait, watch."""
        self.answered("ours")

    def test_number(self) -> None:
        """There are at least sixty commands among them."""
        files = GOLDEN.glob("*.txt")
        count = sum(file.read_text(encoding="utf-8").count("\n$ ngkctl") for file in files)
        self.assertGreaterEqual(count, 60)
