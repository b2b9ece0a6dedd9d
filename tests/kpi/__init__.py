"""Tests of the socket KPI."""
