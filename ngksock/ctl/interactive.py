"""ngkctl at a terminal: a prompt, history, completion, and what comes meanwhile."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, Final, Protocol

from ngksock.client import NodeSocket
from ngksock.ctl.completion import Completion
from ngksock.ctl.console import NO_DAEMON, as_bytes, as_text, code_of
from ngksock.ctl.runner import Runner
from ngksock.ctl.traffic import Traffic
from ngksock.netgraph.ngctl import Quit

__all__ = ["converse"]

PROMPT: Final = "+ "
HISTORY_MAX: Final = 100


class Front(Protocol):
    """How lines are asked for."""

    def ask(self) -> str:
        """Return a line; raises EOFError and KeyboardInterrupt."""

    def show(self, text: str) -> None:
        """Print *text* while a line is being typed; called from any thread."""


def converse(runner: Runner, node: NodeSocket) -> int:
    """Carry out what is typed; return the exit status."""
    node.open_data()
    completion = Completion(runner.session.port)
    front = _front(completion)
    runner.line("help")
    with Traffic(node, runner.session, front.show) as traffic:
        completion.lock = traffic.lock
        while traffic.error is None:
            try:
                traffic.asking = True
                line = front.ask()
                traffic.asking = False
                with traffic.lock:
                    if runner.line(line) == NO_DAEMON:
                        return NO_DAEMON
                    traffic.shown()
            except KeyboardInterrupt:
                traffic.asking = False
                print()
            except EOFError:
                traffic.asking = False
                print()
                return 0
            except Quit:
                return 0
        runner.console.complain(traffic.error.strerror or str(traffic.error))
        return code_of(traffic.error)


def _front(completion: Completion) -> Front:
    """Return the best there is: prompt_toolkit, readline, or neither."""
    try:
        toolkit = import_module("prompt_toolkit")
    except ImportError:
        return Plain(completion)
    return Toolkit(toolkit, completion)


class Plain:
    """Asks with input(), and with readline where Python has it."""

    def __init__(self, completion: Completion) -> None:
        self._buffer: Callable[[], str] = str
        try:
            import readline
        except ImportError:
            return
        self._buffer = readline.get_line_buffer
        found: list[str] = []

        def complete(word: str, state: int) -> str | None:
            if state == 0:
                before = readline.get_line_buffer()[: readline.get_begidx()]
                found[:] = completion.candidates(as_text(before), as_text(word))
            if state >= len(found):
                return None
            return as_bytes(found[state]).decode("utf-8", "surrogateescape")

        readline.set_history_length(HISTORY_MAX)
        readline.set_completer_delims(completion.delimiters)
        readline.set_completer(complete)
        for line in ("tab: complete", "set enable-bracketed-paste off"):
            readline.parse_and_bind(line)

    def ask(self) -> str:
        return as_text(input(PROMPT))

    def show(self, text: str) -> None:
        typed = os.fsencode(self._buffer())
        raw = b"\r\x1b[K" + as_bytes(text) + b"\n" + PROMPT.encode() + typed
        os.write(sys.stdout.fileno(), raw)


class Toolkit:
    """Asks with prompt_toolkit: history over sessions, and a menu of completions."""

    def __init__(self, toolkit: Any, completion: Completion) -> None:
        def part(name: str) -> Any:
            return import_module(f"prompt_toolkit.{name}")

        def offers(_: Any, document: Any, __: Any) -> Iterator[Any]:
            text = as_text(document.text_before_cursor)
            at = completion.start(text)
            for found in completion.candidates(text[:at], text[at:]):
                shown = as_bytes(found).decode("utf-8", "replace")
                yield part("completion").Completion(shown, start_position=at - len(text))

        # Made so because its base is unknown where the extra is not installed.
        completer = type("Offers", (part("completion").Completer,), {"get_completions": offers})
        path = os.path.expanduser("~/.ngkctl_history")
        histories = part("history")
        writable = os.access(path if os.path.exists(path) else os.path.dirname(path), os.W_OK)
        history = histories.FileHistory(path) if writable else histories.InMemoryHistory()
        self._patched = part("patch_stdout").patch_stdout
        self._session = toolkit.PromptSession(
            history=history, completer=completer(), complete_while_typing=False
        )

    def ask(self) -> str:
        with self._patched(raw=True):
            return as_text(self._session.prompt(PROMPT))

    def show(self, text: str) -> None:
        print(as_bytes(text).decode("utf-8", "replace"), flush=True)
