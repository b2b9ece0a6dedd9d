"""Sphinx's settings."""

import logging

from ngksock import __version__

project = "ngksock"
author = "The ngksock developers"
project_copyright = "2026, The ngksock developers"
release = version = __version__

extensions = ["sphinx.ext.autodoc"]
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

# index.rst lists pages by pattern; one that matches no page yet is no mistake.
# (Sphinx gives this warning a subtype only, so suppress_warnings cannot name it.)
logging.getLogger("sphinx.sphinx.directives.other").addFilter(
    lambda record: getattr(record, "subtype", None) != "empty_glob"
)
