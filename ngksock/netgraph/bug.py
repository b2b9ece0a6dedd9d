"""What the code of a node raises and should not."""

from __future__ import annotations

__all__ = ["EscapeError", "as_bug"]


class EscapeError(Exception):
    """The code of a node raised what is no Exception: SystemExit, GeneratorExit..."""


def as_bug(error: BaseException) -> Exception:
    """
    Return what the code of a node raised as the bug that it is.

    ``sys.exit()`` in a node, or in a library it calls, must not end the
    service.  A KeyboardInterrupt is the operator's, not the node's: it is raised.
    """
    if isinstance(error, Exception):
        return error
    if isinstance(error, KeyboardInterrupt):
        raise error
    bug = EscapeError(f"{type(error).__name__}: {error}".rstrip(": "))
    return bug.with_traceback(error.__traceback__)
