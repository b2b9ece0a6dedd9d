"""Tests of ngksock.tuntap."""
