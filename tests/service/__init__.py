"""Tests of the service: files, checking, hosting, and twistd itself."""
