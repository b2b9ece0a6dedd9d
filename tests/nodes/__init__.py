"""Tests of the stock types of node, one file each."""
