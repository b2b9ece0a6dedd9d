"""The bench: relays compared side by side, ngksock's graphs among them.

``python -m tests.bench --help`` is the manual; ``tox -e bench`` runs it all.
Nothing here is a test of trial's but the files called ``test_*.py``.
"""
