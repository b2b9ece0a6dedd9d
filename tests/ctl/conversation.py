"""Golden conversations: commands, and what ngkctl answers to the byte.

A file begins with the graph, in a daemon's command file; then each ``$ ngkctl``
line is followed by all that it prints, and by ``[71]`` where that is its exit
code.  ``@port1@`` to ``@port9@`` are free ports, ``@dir@`` is a folder.

``python -m tests.ctl.conversation FILE...`` writes down what is answered now.
"""

from __future__ import annotations

import io
import re
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

from ngksock.ctl.console import Console, StartError
from ngksock.ctl.ngkctl import SYNOPSIS, Options, run
from tests.client.daemon import Daemon
from tests.integration.service import free_port

GOLDEN = Path(__file__).parent / "golden"
PROMPT = "$ ngkctl "


def ngkctl(path: str, *words: str) -> tuple[int, str]:
    """Run ngkctl in this process; return its exit code and all that it printed."""
    out = io.BytesIO()
    console = Console("ngkctl", out, out)
    try:
        code = run(Options(["-s", path, *words]), console)
    except StartError as error:
        console.complain(str(error))
        if error.code == 64:
            out.write(f"{SYNOPSIS}\n".encode())
        code = error.code
    return code, out.getvalue().decode("utf-8", "surrogateescape")


def play(text: str) -> str:
    """Return a conversation with what is answered now."""
    graph, *steps = re.split(r"(?m)^(?=\$ )", text)
    folder = tempfile.mkdtemp(prefix="ngk")
    names = {f"@port{number}@": str(free_port()) for number in range(1, 10)}
    names["@dir@"] = folder

    def real(words: str) -> str:
        for name, value in names.items():
            words = words.replace(name, value)
        return words

    def golden(words: str) -> str:
        for name, value in names.items():
            # A port may be a part of a longer number, which is not it.
            words = re.sub(rf"(?<!\d){re.escape(value)}(?!\d)", name, words)
        return words

    answered = [graph]
    try:
        with Daemon(real(graph)) as running:
            for step in steps:
                line = step.split("\n", 1)[0]
                assert line.startswith(PROMPT), line
                words = shlex.split(real(line.removeprefix(PROMPT)))
                code, printed = ngkctl(running.path, *words)
                shown = printed if printed.endswith("\n") or not printed else printed + "\n"
                answered.append(f"{line}\n{golden(shown)}{f'[{code}]' + chr(10) if code else ''}")
    finally:
        shutil.rmtree(folder)
    return "".join(answered)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        file = Path(name)
        answered = play(file.read_text(encoding="utf-8"))
        file.write_text(answered, encoding="utf-8")
