"""Tests of ngksock.client: the library of those who attach to a daemon."""
