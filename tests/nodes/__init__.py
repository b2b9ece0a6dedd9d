"""Tests of the stock types of node, one file each."""

from hypothesis import settings

# How long an example takes says how busy the machine is: what is to be fast has a test of its own.
settings.register_profile("ngksock", deadline=None)
settings.load_profile("ngksock")
