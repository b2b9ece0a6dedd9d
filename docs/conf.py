"""Sphinx's settings."""

import sys
from pathlib import Path

from ngksock import __version__

project = "ngksock"
author = "The ngksock developers"
project_copyright = "2026, The ngksock developers"
release = version = __version__

sys.path.insert(0, str(Path(__file__).parent / "_ext"))
extensions = ["kpi_checks", "kpi_rows", "netgraph_rows", "sphinx.ext.autodoc"]
exclude_patterns = ["_build", "examples", "newsfragments"]
default_role = "any"
autodoc_member_order = "bysource"
autodoc_typehints = "description"

# The build has no network, so what others document cannot be linked.
nitpick_ignore_regex = [
    (r"py:.*", r"(?!ngksock\b).*"),
]
html_theme = "furo"
html_title = f"ngksock {release}"
