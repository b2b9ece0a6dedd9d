"""Both forms of the messages that every node understands say the same (spec §6)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ngksock.netgraph import Message
from ngksock.netgraph.generic import SHARED_ROWS, MessageType
from ngksock.netgraph.message import CONTROL_COOKIE, GENERIC_COOKIE
from ngksock.testing.exchange import check_forms
from ngksock.testing.strategies import register_values

WORD = st.integers(0, (1 << 32) - 1)
NAME = st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=31)


@register_values(MessageType)
def _messages(kind: Any, seen: Any, small: bool) -> st.SearchStrategy[Message]:
    data = st.binary(max_size=80)
    return st.builds(Message, WORD, WORD, data, WORD, WORD, NAME, st.integers(0, 255))


class FormTests(SynchronousTestCase):
    def forms(self, cookie: int, count: int) -> None:
        rows = SHARED_ROWS[cookie].rows
        self.assertEqual(count, len(rows.all))
        check_forms(cast(Any, SimpleNamespace(commands=rows)), 40)

    def test_generic(self) -> None:
        """Canonical bytes of the fourteen survive their text; others settle after one pass."""
        self.forms(GENERIC_COOKIE, 14)

    def test_control(self) -> None:
        """So do those of the seven under the control cookie."""
        self.forms(CONTROL_COOKIE, 7)
