"""Tests of kwic.wire."""
