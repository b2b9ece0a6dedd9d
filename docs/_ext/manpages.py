"""The manual pages of node types: docs/nodes/*.rst as docs/man/man4/ngk_*.4.

``python docs/_ext/manpages.py`` makes them all, and removes those whose type
has no page any more; so does ``tox -e man``.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

__all__ = ["summary"]

DOCS = Path(__file__).resolve().parent.parent
MAN = DOCS / "man" / "man4"
DATE = re.compile(r'(?m)^(\.TH "[^"]*" "4" )"[^"]*"')
SEE_ALSO = """\
.SH SEE ALSO
.sp
.BR ngkctl (8),
.BR ngksock (8)
"""


def summary(page: Path) -> str:
    """Return what the page of a type says first, for its line in apropos(1)."""
    first = page.read_text(encoding="utf-8").split("\n\n")[1]
    plain = re.sub(r":\w+:`([^`<]*?)(?: <[^`]*)?`|``", lambda found: found[1] or "", first)
    return " ".join(plain.split()).rstrip(".").partition(". ")[0]


def made(text: str) -> str:
    """Return a page as Sphinx made it, with what it lacks and without what nobody needs."""
    text = re.sub(r"(?m)^\.SH Author\n.*?(?=^\.SH|\Z)", "", text, flags=re.DOTALL)
    text = re.sub(r"(?m)^\.SH Copyright\n.*?(?=^\.\\\" |\Z)", SEE_ALSO, text, flags=re.DOTALL)
    text = re.sub(r" ?\\%<[^>\n]*>", "", text)  # addresses of pages that are no pages here
    name = re.search(r"(?m)^ngk_(\w+) .*$", text)
    intro = re.search(r"(?m)(?<=^\.SH NAME\n)(.*?)^\.SH DESCRIPTION\n", text, re.DOTALL)
    if name is not None and intro is not None:
        # What the title's line does not say already belongs to the description.
        line, *paragraphs = intro[1].split(".sp\n")
        rest = "".join(f".sp\n{paragraph}" for paragraph in paragraphs[1:])
        kind = "" if name[1] == "socket" else _synopsis(name[1])
        text = text.replace(intro[0], f"{line}{kind}.SH DESCRIPTION\n{rest}", 1)
    # What is in narrow columns of tables cannot be adjusted to both sides.
    text = re.sub(r"(?m)^(\.TH .*\n)", r"\1.ad l\n", text)
    text = re.sub(r"[^\x00-\x7f]", lambda found: f"\\[u{ord(found[0]):04X}]", text)
    return re.sub(r"(?m)[ \t]+$", "", text)


def _synopsis(kind: str) -> str:
    return f".SH SYNOPSIS\n.sp\n.B mkpeer\n.RI [ path ]\n.B {kind}\n.I hook peerhook\n"


def main() -> None:
    """Make the pages."""
    MAN.mkdir(exist_ok=True)
    old = {path.name: path for path in MAN.glob("ngk_*.4")}
    env = {
        **os.environ,
        "PYTHONPATH": f"{DOCS.parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
    }
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-m", "sphinx", "-q", "-E", "-b", "man", DOCS, folder],
            check=True, env=env,
        )  # fmt: skip
        for page in sorted(Path(folder).glob("ngk_*.4")):
            text = made(page.read_text(encoding="utf-8"))
            before = old.pop(page.name, None)
            # A page that says the same is no younger.
            if before is not None:
                was = before.read_text(encoding="utf-8")
                if DATE.sub(r"\1", was) == DATE.sub(r"\1", text):
                    continue
            (MAN / page.name).write_text(text, encoding="utf-8")
            print(page.name)
    for path in old.values():
        path.unlink()
        print(f"{path.name} is gone")


if __name__ == "__main__":
    main()
