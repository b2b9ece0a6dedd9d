"""The tests of ngksock; run them with ``python -m twisted.trial tests``."""
