"""What `check_node_type` asks of messages."""

from __future__ import annotations

from collections.abc import Sequence
from errno import EINVAL
from typing import Any, Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ngksock.interfaces import INodeType
from ngksock.netgraph import Message, Row
from ngksock.netgraph.layout import ParseType
from ngksock.testing.stage import Stage, check_config
from ngksock.testing.strategies import bytes_of

__all__ = ["check_forms", "check_messages", "check_others", "limits"]

UNKNOWN_CMD: Final = 0x0ABCDEF
UNKNOWN_COOKIE: Final = 0x5A5A5A5A


def limits(examples: int) -> settings:
    """Return how far hypothesis goes: the same examples each time, and no files."""
    return settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        report_multiple_bugs=False,  # one AssertionError, and no group of them
        suppress_health_check=[HealthCheck.too_slow],  # the machine's fault, not the type's
    )


def _any_bytes(layout: ParseType[Any]) -> st.SearchStrategy[bytes]:
    if layout.size is not None:
        return st.binary(min_size=layout.size, max_size=layout.size)
    return st.binary(min_size=layout.minsize, max_size=layout.minsize + 64)


def check_forms(kind: INodeType, examples: int) -> None:
    """Both forms of each message say the same."""
    for row in kind.commands.all:
        for response in (False, True):
            layout = row.layout(response)
            if layout is not None:
                part = "response" if response else "argument"
                layout.shape()
                _check_form(layout, f"the {part} of {row.name}", examples)


def _check_form(layout: ParseType[Any], what: str, examples: int) -> None:
    @limits(examples)
    @given(bytes_of(layout))
    def canonical(data: bytes) -> None:
        text = layout.unparse(layout.unpack(data))
        again = layout.pack(layout.parse(text))
        assert again == data, f"{what}: {data!r} becomes {text!r}, and that {again!r}"

    @limits(examples)
    @given(_any_bytes(layout))
    def arbitrary(data: bytes) -> None:
        try:
            value = layout.unpack(data)
        except OSError as error:
            assert error.errno == EINVAL, f"{what}: {data!r} is refused with {error}, not EINVAL"
            return
        first = layout.unparse(value)
        second = layout.unparse(layout.unpack(layout.pack(layout.parse(first))))
        assert second == first, f"{what}: {data!r} is shown as {first!r}, that as {second!r}"

    canonical()
    arbitrary()


def _wrong(row: Row) -> list[bytes]:
    """Return arguments of lengths that *row* does not have."""
    if row.arg is None:
        return [] if row.lenient else [b"\0"]
    if row.arg.size is None:
        return [bytes(row.arg.minsize - 1)] if row.arg.minsize else []
    sizes = {0, row.arg.size - 1, row.arg.size + 1} - {row.arg.size, -1}
    return [bytes(size) for size in sorted(sizes)]


def check_messages(
    kind: INodeType, hooks: Sequence[str], setup: Sequence[str], examples: int
) -> None:
    """Wrong lengths are EINVAL; whatever a message says, it is no bug."""
    for row in kind.commands.all:
        assert row.cookie is not None
        stage = Stage(kind, hooks, setup, checking=True)
        for data in _wrong(row):
            answer = stage.ask(Message(row.cookie, row.cmd, data))
            said = f"{row.name} with {len(data)} bytes of argument"
            assert answer == (EINVAL, []), f"{said} is answered by {answer}, not EINVAL"
        stage.end(f"after {row.name} of wrong lengths")
        if row.arg is None:
            stage = Stage(kind, hooks, setup, checking=True)
            _check_answer(stage, row, b"", hooks)
        else:
            _check_random(kind, hooks, setup, row, row.arg, examples)


def _check_random(
    kind: INodeType,
    hooks: Sequence[str],
    setup: Sequence[str],
    row: Row,
    arg: ParseType[Any],
    examples: int,
) -> None:
    @limits(examples)
    @given(bytes_of(arg) | _any_bytes(arg))
    def prove(data: bytes) -> None:
        _check_answer(Stage(kind, hooks, setup, checking=True), row, data, hooks)

    prove()


def _check_answer(stage: Stage, row: Row, data: bytes, hooks: Sequence[str]) -> None:
    assert row.cookie is not None
    errno, answers = stage.ask(Message(row.cookie, row.cmd, data))
    opened = stage.opened()
    assert not opened, f"in a dry run {row.name} opens {', '.join(opened)}"
    if errno:
        assert not answers, f"{row.name} is answered by errno {errno} and by a response"
    elif row.resp is None:
        assert not answers, f"{row.name} has no response, but is answered by one"
    elif not row.later:
        assert len(answers) == 1, f"{row.name} is answered by {len(answers)} responses"
        row.resp.unpack(answers[0])
    lines = stage.lines() if stage.node.valid else None
    left = [name for name in hooks if name in stage.node.hooks]
    stage.end(f"after {row.name} of {data!r}")
    if lines is not None:
        check_config(stage.kind, left, lines, checking=True)


def check_others(kind: INodeType, others: str) -> None:
    """Messages the type does not know are refused, returned or swallowed."""
    expected = {"refused": (EINVAL, []), "returned": (0, [b"data"]), "swallowed": (0, [])}[others]
    for cookie, cmd in ((kind.cookie, UNKNOWN_CMD), (kind.cookie ^ UNKNOWN_COOKIE, 1)):
        stage = Stage(kind)
        answer = stage.ask(Message(cookie, cmd, b"data"))
        said = f"message {cmd} of cookie {cookie}"
        assert answer == expected, f"{said} is answered by {answer}, not {expected}"
        stage.end("after messages it does not know")
