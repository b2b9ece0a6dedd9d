"""MsgHdr: what receive and send are given, C's ``struct msghdr``; and its checks."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from ngksock.errors import oserror

__all__ = ["Control", "MsgHdr", "control_of", "iov_in", "iov_out", "without_iov"]

Control = tuple[int, int, bytes]
"""Level, type and contents of one control message."""

CMSG_HEADER: Final = 12
CONTROL_MAX: Final = 224
"""What fits in one small mbuf of XNU's."""

INT_MAX: Final = (1 << 31) - 1


@dataclass
class MsgHdr:
    """
    Buffers, an address, control messages and flags.

    Args:
        name: To send: where to, or None.  After receiving: from where.
        iov: The buffers, in order: writable ones to receive into.
        control: (level, type, bytes) of each control message, or None.
        flags: After receiving: MSG_TRUNC, MSG_RCVMORE and the like.
    """

    name: Any = None
    iov: Sequence[Any] | None = None
    control: list[Control] | None = None
    flags: int = 0


def _views(msg: MsgHdr | None) -> list[memoryview]:
    if not isinstance(msg, MsgHdr) or not msg.iov or isinstance(msg.iov, (bytes, str)):
        raise oserror(errno.EINVAL, "a MsgHdr whose iov is a list of buffers is needed")
    try:
        views = [memoryview(piece).cast("B") for piece in msg.iov]
    except (TypeError, ValueError) as error:
        raise oserror(errno.EINVAL, f"iov: {error}") from None
    if sum(view.nbytes for view in views) > INT_MAX:
        raise oserror(errno.EINVAL, "iov has more than 2147483647 bytes")
    return views


def _is_int32(number: object) -> bool:
    return isinstance(number, int) and -INT_MAX - 1 <= number <= INT_MAX


def iov_in(msg: MsgHdr | None) -> list[memoryview]:
    """
    Return the buffers to receive into.

    Raises:
        OSError: EINVAL, there are none, the first is empty, or one is none.
    """
    views = _views(msg)
    if not views[0].nbytes:
        raise oserror(errno.EINVAL, "the first buffer of iov is empty")
    if any(view.readonly for view in views):
        raise oserror(errno.EINVAL, "a buffer of iov cannot be written to")
    return views


def iov_out(msg: MsgHdr | None) -> list[memoryview]:
    """
    Return the buffers to send; empty ones are fine.

    Raises:
        OSError: EINVAL, there are none, or one is none.
    """
    return _views(msg)


def without_iov(msg: MsgHdr | None) -> None:
    """Raise EINVAL for a *msg* with buffers, beside a chain, or for one that is none."""
    if msg is not None and (not isinstance(msg, MsgHdr) or msg.iov):
        raise oserror(errno.EINVAL, "beside a chain msg is a MsgHdr without iov, or None")


def control_of(msg: MsgHdr | None) -> list[Control]:
    """
    Return the control messages of *msg* (kpi-socket.md §6.22).

    Raises:
        OSError: EINVAL, not a list of (level, type, bytes), or too long.
    """
    if msg is None or msg.control is None:
        return []
    control = msg.control
    if not isinstance(control, list) or not all(
        isinstance(one, tuple)
        and len(one) == 3
        and _is_int32(one[0])
        and _is_int32(one[1])
        and isinstance(one[2], (bytes, bytearray, memoryview))
        for one in control
    ):
        raise oserror(errno.EINVAL, "control is a list of (level, type, bytes)")
    if sum(CMSG_HEADER + len(data) for _, _, data in control) > CONTROL_MAX:
        raise oserror(errno.EINVAL, f"control has more than {CONTROL_MAX} bytes")
    return [(level, type, bytes(data)) for level, type, data in control]
