"""Tests of the daemon's side of NGD/1, and of its bytes."""
