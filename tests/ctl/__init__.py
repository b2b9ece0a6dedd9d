"""Tests of the console programs."""
