"""Sphinx's settings."""

import sys
from pathlib import Path

from ngksock import __version__

project = "ngksock"
author = "The ngksock developers"
project_copyright = "2026, The ngksock developers"
release = version = __version__

sys.path.insert(0, str(Path(__file__).parent / "_ext"))
from manpages import summary  # noqa: E402 - it is beside the extensions

extensions = ["kpi_checks", "kpi_rows", "myst_parser", "netgraph_rows", "sphinx.ext.autodoc"]
exclude_patterns = ["_build", "examples", "newsfragments"]
default_role = "any"
autodoc_member_order = "bysource"
autodoc_typehints = "description"

# One manual page for each type of node: `tox -e man` makes them, and they are
# committed, for who installs a wheel has no Sphinx.
man_pages = [
    (f"nodes/{path.stem}", f"ngk_{path.stem}", summary(path), author, 4)
    for path in sorted((Path(__file__).parent / "nodes").glob("*.rst"))
]

# The build has no network, so what others document cannot be linked.
nitpick_ignore_regex = [
    (r"py:.*", r"(?!ngksock\b).*"),
]
html_theme = "furo"
html_title = f"ngksock {release}"
