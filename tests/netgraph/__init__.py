"""Tests of the graph core and of the ASCII form."""
